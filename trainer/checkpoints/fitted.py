"""What a run found out beside its parameters, read back: its preprocessing, its decision."""

from __future__ import annotations

import json
from pathlib import Path

from trainer.checkpoints.disk import damaged
from trainer.data import Preprocessing
from trainer.network.decision import Decision


def read_preprocessing(path: Path, data: bytes | None) -> Preprocessing:
    """What the bytes of the file say. Raises `CheckpointError`, whose message names `path`."""
    if data is None:
        raise damaged(path, "the run does not name its hash")
    try:
        return Preprocessing.from_json(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None


def read_decision(path: Path, data: bytes) -> Decision:
    """What the bytes of the file say. Raises `CheckpointError`, whose message names `path`."""
    try:
        return Decision.from_json(json.loads(data))
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(path, f"it tells no decision: {error}") from None
