"""Raw values as people write them, and send them to a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from trainer.data.columns.cells import labels_of
from trainer.data.columns.table import Column
from trainer.graph.ops import Array

Value: TypeAlias = str | bool | None


def written(raw: Array, columns: Sequence[Column]) -> dict[str, Array | list[Value]]:
    """Raw rows by column: numbers as an array, categories as texts, dates in ISO 8601, true and
    false; None for a missing value that is no number.
    """
    return {
        column.name: values if column.kind == "numeric" else [
            None if np.isnan(value) else write(float(value), column) for value in values
        ]
        for column, values in zip(columns, raw.T, strict=True)
    }  # fmt: skip


def write(value: float, column: Column) -> str | bool:
    """A raw value that is no number as people write it; a category that the column does not have
    as a text that none of its categories is.
    """
    if column.kind == "boolean":
        return bool(value)
    if column.kind == "date":
        moment = np.datetime64(round(value * 86_400_000), "ms")
        for unit in ("D", "s"):
            if moment.astype(f"datetime64[{unit}]") == moment:
                return str(moment.astype(f"datetime64[{unit}]"))
        return str(moment)
    if 0 <= value < len(column.categories):
        return column.categories[int(value)]
    return other_than(column.categories)


def other_than(categories: Sequence[str]) -> str:
    """A text that is none of these categories: `other`, where it is none."""
    known, other = set(categories), "other"
    while other in known:
        other += "_"
    return other


def holds_texts(column: Column) -> bool:
    """Whether the column has categories, and not all of them are written as numbers."""
    return any(isinstance(label, str) for label in labels_of(column.categories))


def show_raw(value: float, column: Column) -> str:
    """A raw value for a message or a table."""
    if column.kind == "numeric":
        return f"{value:.6g}"
    if column.kind == "categorical" and not 0 <= value < len(column.categories):
        return "zeros"
    return str(write(value, column)).lower() if column.kind == "boolean" else str(
        write(value, column)
    )  # fmt: skip
