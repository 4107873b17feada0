"""Reading cells that are all numbers without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.data.columns.cells import number
from trainer.data.columns.values import CellError, Plain
from trainer.export.runtime.cells import column
from trainer.export.runtime.facts import DTYPE, FEATURES
from trainer.graph.ops import Array


def plain_numbers(name: str, values: Sequence[Any]) -> Array:
    """A column as float64. Raises ValueError with the row where one is no number."""
    return column(name, values, present)


def present(cell: Plain) -> float:
    """A cell that is a number. Raises `CellError`."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise CellError("expected a value, found an empty cell")
    return number(cell)


def check_plain(raw: Array, x: Array) -> None:
    """Raises ValueError where a number of x is not finite."""
    for i, j in np.argwhere(~np.isfinite(x))[:1]:
        message = f"expected a number that is finite in {DTYPE}, found {raw[i, j]}"
        raise ValueError(f"row {i}, column {FEATURES[j]!r}: {message}")
