"""Reading cells of every kind: numbers, categories, truth values, dates, and gaps.

What a cell means is decided where `train` decides it: `trainer/data/columns`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trainer.data.columns.cells import number
from trainer.data.columns.values import CellError, Plain, plain
from trainer.export.runtime.facts import DTYPE, FEATURES, MISSING, PLACES, READERS
from trainer.graph.ops import Array


def any_numbers(name: str, values: Sequence[Any]) -> Array:
    """A column as float64, nan where it is missing; categories as their numbers."""
    read = READERS[name][1] if name in READERS else number
    return column(name, values, lambda cell: np.nan if missing(cell) else read(cell))


def column(name: str, values: Sequence[Any], read: Callable[[Any], float]) -> Array:
    """A column as float64. Raises ValueError with the row of the first cell that is wrong."""
    if name not in READERS and getattr(values, "dtype", None) in ("float64", "float32", "int64"):
        return np.asarray(values, dtype=np.float64)
    found = np.empty(len(values))
    for i, value in enumerate(values):
        try:
            found[i] = read(plain(value))
        except CellError as error:
            raise ValueError(f"row {i}, column {name!r}: {error}") from None
    return found


def missing(cell: Plain) -> bool:
    """Whether a cell stands for nothing."""
    return cell is None or (isinstance(cell, str) and cell.strip() in MISSING)


def check_any(raw: Array, x: Array) -> None:
    """Raises ValueError where a number of x is not finite, and says why."""
    for i, j in np.argwhere(~np.isfinite(x))[:1]:
        name = FEATURES[PLACES[j]]
        value = raw[i, PLACES[j]]
        message = f"expected a number that is finite in {DTYPE}, found {value}"
        if np.isnan(value):
            message = "expected a value, found an empty cell"
        elif name in READERS:
            message = f"expected {READERS[name][0]} that the model knows"
        raise ValueError(f"row {i}, column {name!r}: {message}")
