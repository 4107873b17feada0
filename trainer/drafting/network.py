"""Layers, loss and SGD for a table, by its size: a start that trains well, not the best there is.

The numbers were chosen on twenty real tables, on other splits than those that `benchmarks/INIT.md`
reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

_MANY: Final = 10_000
"""Rows from which on a network has a second layer; with fewer it must be kept from learning them by
heart."""


@dataclass(frozen=True)
class Size:
    """How large a table is: rows that train, columns of x once they are encoded, units of the last
    layer; and whether classes are predicted.
    """

    rows: int
    width: int
    outputs: int
    classes: bool


class _Pace(NamedTuple):
    """Batches and epochs up to so many rows: some thousand steps, on many rows ten thousands."""

    rows: float
    batch: int
    epochs: int


_PACES: Final = (
    _Pace(500, 16, 200),
    _Pace(_MANY, 32, 100),
    _Pace(100_000, 128, 100),
    _Pace(float("inf"), 256, 30),
)


def layers_for(size: Size) -> list[dict[str, Any]]:
    """The layers: more and wider ones where there are rows to fill them."""
    layers: list[dict[str, Any]] = []
    for units in (64,) if size.rows < _MANY else (128, 64):
        layers.append({"units": units, "activation": "relu"})
        if size.rows < _MANY:
            layers.append({"type": "dropout", "rate": 0.1})
    return [*layers, {"units": size.outputs}]


def loss_for(size: Size) -> dict[str, Any]:
    """What the loss has beside its name: few rows make a network too sure of their classes."""
    return {"label_smoothing": 0.05} if size.classes and size.rows < _MANY else {}


def sgd_for(size: Size) -> dict[str, Any]:
    """Learning rate, batches and epochs. The loss is a mean over rows, so a penalty is to weigh
    less the more rows there are; few numbers, never exact, need more of it than few classes.
    """
    pace = next(pace for pace in _PACES if size.rows < pace.rows)
    decay = min(10 / max(size.rows, 1), 0.005 if size.classes else 0.03)
    return {
        "learning_rate": 0.05 if size.classes else 0.02,
        "schedule": "cosine",
        "momentum": 0.9,
        "weight_decay": float(f"{decay:.0e}"),
        "clip_norm": 1.0,
        "batch_size": pace.batch,
        "epochs": pace.epochs,
    }
