"""Reading cells that are all numbers without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trainer.export.runtime.facts import DTYPE, FEATURES
from trainer.graph.ops import Array


def plain_numbers(name: str, values: Sequence[Any]) -> Array:
    """A column as float64. Raises ValueError with the row where one is no number."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array([number(name, i, value) for i, value in enumerate(values)])


def number(name: str, i: int, value: Any) -> float:
    """One cell as a float."""
    try:
        return float(value)
    except (TypeError, ValueError):
        message = f"row {i}, column {name!r}: expected a number, found {value!r}"
        raise ValueError(message) from None


def check_plain(raw: Array, x: Array) -> None:
    """Raises ValueError where a number of x is not finite."""
    for i, j in np.argwhere(~np.isfinite(x))[:1]:
        message = f"expected a number that is finite in {DTYPE}, found {raw[i, j]}"
        raise ValueError(f"row {i}, column {FEATURES[j]!r}: {message}")
