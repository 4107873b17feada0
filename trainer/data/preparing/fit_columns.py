"""What the training rows say of the columns: which categories there are, what fills gaps.

No other row has a part in it, and weights have none. `fit_scales.py` does the same for scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trainer.data.columns.categories import text_of
from trainer.data.columns.cells import reader
from trainer.data.columns.table import Column, Table, show
from trainer.data.columns.values import CellError
from trainer.data.misfits import Misfit, MisfitError
from trainer.data.preparing.expand import Rule
from trainer.data.preparing.fit_categories import Limits, fit_categories, recoded
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.errors import DataError, SpecError
from trainer.graph.ops import Array
from trainer.numerics.statistics import median
from trainer.numerics.sums import mean
from trainer.spec.columns import ColumnSpec
from trainer.spec.data import DataSpec
from trainer.spec.document import Path
from trainer.spec.schema import Spec

DEFAULT_PARTS: Final = ("year", "month", "day", "weekday")
MOST_DIMENSIONS: Final = 50


@dataclass(frozen=True)
class Tally:
    """How many training rows have each category of a column, by its number (kinds without
    categories have none), and how many miss its value.
    """

    counts: Array
    missing: int

    @classmethod
    def of(cls, column: Column, values: Array) -> Tally:
        """Of the raw values of a column."""
        present = values[~np.isnan(values)]
        codes = present if column.kind == "categorical" else present[:0]
        counts = np.bincount(codes.astype(np.int64), minlength=len(column.categories))
        return cls(counts, len(values) - len(present))

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.counts + other.counts, self.missing + other.missing)


# Columns ----------------------------------------------------------------------------------------


def fit_columns(
    spec: Spec,
    table: Table,
    train: Array,
    notes: list[str],
    tallies: Sequence[Tally] | None = None,
) -> tuple[Preprocessing, tuple[int, ...]]:
    """What each column becomes, without its scale, and how many training rows miss it. Notes what
    a reader should know. Where the table is a sample, `tallies` are of all training rows.

    Raises `MisfitError` where the spec asks for what the kind of a column has not, and for a
    column without any value.
    """
    fits = [
        _fit_column(spec.data, table, train, i, notes, tallies[i] if tallies else None)
        for i in range(len(table.columns))
    ]
    how = Preprocessing(
        columns=tuple(column for column, _, _ in fits),
        targets=table.targets,
        classes=table.classes,
        outputs=spec.model.units,
        dtype=spec.model.dtype,
        rules=tuple(rule for _, rule, _ in fits),
        multi_label=spec.model.multi_label,
        weighted=table.weights is not None or spec.model.class_weights is not None,
    )
    return how, tuple(count for _, _, count in fits)


def _fit_column(
    data: DataSpec, table: Table, train: Array, number: int, notes: list[str], tally: Tally | None
) -> tuple[Column, Rule, int]:
    column = table.columns[number]
    asked = data.columns.get(column.name, ColumnSpec())
    _check_asked(data, column, asked)
    missing = asked.missing if asked.missing is not None else data.missing
    plain = column.kind == "numeric" and not asked.indicator
    if plain and missing == "error":
        return column, Rule(), 0
    values = table.x[train, number]
    present = values[~np.isnan(values)]
    tally = tally or Tally.of(column, values)
    if not len(present) and not isinstance(missing, dict):
        message = f"all training rows miss {show(column.name)}"
        hint = "leave it out of `data.features`, or fill it with {constant: …}"
        raise MisfitError(
            DataError, Misfit(_missing_path(asked, column), message, hint, code="TR-D019")
        )
    grouped = False
    if column.kind == "categorical":
        limits = Limits.of(data, asked)
        column, grouped = fit_categories(
            column, tally.counts, tally.missing, missing, limits, notes
        )
    fill_from = recoded(present, table.columns[number], column, grouped)
    fill = _fill(column, asked, missing, fill_from, grouped)
    rule = Rule(
        fill,
        indicator=asked.indicator,
        dimensions=_dimensions(column, asked),
        parts=(asked.parts or DEFAULT_PARTS) if column.kind == "date" else (),
        strict=asked.unknown == "error",
        grouped=grouped,
    )
    return column, rule, tally.missing


def _check_asked(data: DataSpec, column: Column, asked: ColumnSpec) -> None:
    """Raises `MisfitError` for what does not fit the kind that the column turned out to have."""
    path: Path = ("data", "columns", column.name)
    kinds = {"encode": ("categorical", "ordinal"), "dimensions": ("categorical", "ordinal"),
             "parts": ("date",), "order": ("ordinal",),
             "unknown": ("categorical", "ordinal"),
             "max_categories": ("categorical",), "min_count": ("categorical",)}  # fmt: skip
    for key, fitting in kinds.items():
        if getattr(asked, key) != ColumnSpec.model_fields[key].default and (
            column.kind not in fitting
        ):
            message = f"{show(column.name)} is {column.kind}, and has no '{key}'"
            hint = f"leave it out, or write type: {fitting[0]}"
            raise MisfitError(SpecError, Misfit((*path, key), message, hint, code="TR-D029"))
    if asked.scale and (column.kind == "categorical" or asked.encode == "embedding"):
        message = f"{show(column.name)} holds categories, which are not scaled"
        raise MisfitError(
            SpecError, Misfit((*path, "scale"), message, "leave scale out", code="TR-D029")
        )
    if asked.indicator and (asked.missing or data.missing) == "error":
        message = "an indicator tells where a value was missing, and here that is an error"
        hint = "say what stands for missing values too: missing: most_frequent, or another"
        raise MisfitError(SpecError, Misfit((*path, "indicator"), message, hint, code="TR-D029"))


def _missing_path(asked: ColumnSpec, column: Column) -> Path:
    """Where the spec says what stands for missing values."""
    if asked.missing is not None:
        return ("data", "columns", column.name, "missing")
    return ("data", "missing")


def _dimensions(column: Column, asked: ColumnSpec) -> int | None:
    if asked.encode != "embedding":
        return None
    return asked.dimensions or max(1, min(MOST_DIMENSIONS, (len(column.categories) + 1) // 2))


# Fills ------------------------------------------------------------------------------------------


def _fill(
    column: Column, asked: ColumnSpec, missing: Any, present: Array, grouped: bool
) -> float | None:
    """What stands for a missing value, as a raw number; None where that is an error.

    A group is no most frequent category, unless there is no other.
    """
    if missing == "error":
        return None
    group = len(column.categories) - 1
    if isinstance(missing, dict):
        constant = _constant(column, asked, missing["constant"])
        return float(group) if grouped and constant < 0 else constant
    if grouped and (present < group).any():
        present = present[present < group]
    if missing == "most_frequent" or column.kind not in ("numeric", "date"):
        values, counts = np.unique(present + 0.0, return_counts=True)
        return float(values[np.argmax(counts)])  # of several the smallest
    fill = mean(present) if missing == "mean" else median(present)
    if not np.isfinite(fill):
        message = f"the {missing} of {show(column.name)} is outside the range of float64"
        at = _missing_path(asked, column)
        raise MisfitError(DataError, Misfit(at, message, "rescale the column", code="TR-D030"))
    return fill


def _constant(column: Column, asked: ColumnSpec, constant: Any) -> float:
    """A constant that the spec names, as a raw number."""
    try:
        cell = text_of(constant) if column.categories else constant
        found = reader(column, strict=True)(cell)
        if np.isnan(found):
            raise CellError("expected a value, found nothing")
    except CellError as error:
        message = f"{show(column.name)} is {column.kind}: {error.message}"
        path = (*_missing_path(asked, column), "constant")
        raise MisfitError(SpecError, Misfit(path, message, error.hint, code="TR-D018")) from None
    return found
