"""Where a training stands between two events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.graph.ops import Array


@dataclass(frozen=True)
class Position:
    """The epoch, how many of its steps are done, and the best value and epoch so far; the value is
    None before there is one. Raises `ValueError` for numbers that count nothing.
    """

    epoch: int
    done: int
    best_loss: float | None
    best_epoch: int

    def __post_init__(self) -> None:
        if min(self.epoch, self.done, self.best_epoch) < 0:
            raise ValueError("expected counts of epochs and steps, found a number below 0")


@dataclass(frozen=True)
class Snapshot:
    """Arrays by name, and the position as JSON values, those of `Position` among them; `step`
    counts all SGD steps done.

    `best` holds the best parameters so far, and `best_key` says which they are, so that they
    need be kept once.
    """

    step: int
    position: Mapping[str, Any]
    arrays: Mapping[str, Array]
    best: Mapping[str, Array] = field(default_factory=dict)
    best_key: str = ""
