"""Layers and SGD for a table, by its size: a start that trains well, not the best there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Size:
    """How large a table is: rows that train, columns of x once they are encoded, units of the last
    layer; and whether classes are predicted.
    """

    rows: int
    width: int
    outputs: int
    classes: bool


def layers_for(size: Size) -> list[dict[str, Any]]:
    """The layers: wider ones where there are rows to fill them."""
    if size.rows < 500:
        hidden = [32]
    elif size.rows < 5000:
        hidden = [64]
    else:
        hidden = [128, 64]
    layers: list[dict[str, Any]] = [{"units": units, "activation": "relu"} for units in hidden]
    return [*layers, {"units": size.outputs}]


def sgd_for(size: Size) -> dict[str, Any]:
    """Learning rate, batches and epochs: some thousand steps, more for many rows."""
    batch = next(b for b, rows in ((32, 2000), (64, 10_000), (128, 40_000), (256, None))
                 if rows is None or size.rows < rows)  # fmt: skip
    epochs = 100 if size.rows < 5000 else 40 if size.rows < 40_000 else 30
    return {
        "learning_rate": 0.05 if size.classes else 0.02,
        "schedule": "cosine",
        "momentum": 0.9,
        "weight_decay": 0.001 if size.rows < 5000 else 0.0001,
        "clip_norm": 1.0,
        "batch_size": batch,
        "epochs": epochs,
    }
