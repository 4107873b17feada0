"""Where a training stands between two events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.graph.ops import Array


@dataclass(frozen=True)
class Snapshot:
    """Arrays by name, and the position as JSON values; `step` counts all SGD steps done.

    `best` holds the best parameters so far, and `best_key` says which they are, so that they
    need be kept once.
    """

    step: int
    position: Mapping[str, Any]
    arrays: Mapping[str, Array]
    best: Mapping[str, Array] = field(default_factory=dict)
    best_key: str = ""
