"""What a program knows of its model; here of an example with the columns a and b."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from trainer.graph.ops import Array

FEATURES: list[str] = ["a", "b"]
COLUMNS: list[str] = ["prediction"]
CLASSES: list[Any] = []
CUT = 0.0
DTYPE = np.dtype("float64")
DELIMITER = ","

# of columns that are not numbers
MISSING: list[str] = [""]
PLACES: list[int] = [0, 1]
CATEGORIES: dict[str, list[str]] = {}
READERS: dict[str, tuple[str, Callable[[Any], float]]] = {}

# of scales that are curves: the columns of x and of y with a logarithm, and those that are ranked
LOGS: list[int] = []
RANKED: list[int] = []
TARGET_LOGS: list[int] = []
TARGET_RANKED: list[int] = []

WEIGHTS = "AgAAAAAAAAB7fQ=="


def network(x: Array, p: dict[str, Array]) -> Array:
    """The outputs, of shape (rows, outputs), for x of shape (rows, inputs)."""
    return x @ np.array([[1.0], [2.0]], dtype=DTYPE)
