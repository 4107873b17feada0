"""What one column of a table holds: how much is missing, how often what stands in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np

from trainer.data import Column, Label, Table, show_raw
from trainer.graph.ops import Array

BINS: Final = 20
"""How many bars a histogram has."""
FREQUENT: Final = 10
"""How many values are counted by themselves, the most frequent ones."""

Frequent: TypeAlias = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Cells:
    """The cells of a column as numbers, float64 of shape (rows,), NaN where one is missing; dates
    are days since 1970-01-01, categories the numbers of their labels.
    """

    column: Column
    values: Array

    @property
    def name(self) -> str:
        """The column's name."""
        return self.column.name

    @cached_property
    def present(self) -> Array:
        """The values that are not missing."""
        found: Array = self.values[~np.isnan(self.values)]
        return found

    @cached_property
    def counted(self) -> tuple[Array, Array]:
        """The distinct values, ascending, and how often each stands."""
        values, counts = np.unique(self.present, return_counts=True)
        return values, counts

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(self.counted[0])

    @property
    def are_amounts(self) -> bool:
        """Whether the numbers have a size: they are no names of categories."""
        return self.column.kind in ("numeric", "date")

    def show(self, value: float) -> str:
        """A value as it stands in the file."""
        return str(show_raw(value, self.column))


@dataclass(frozen=True)
class ColumnFacts:
    """What a column holds.

    `missing` and `distinct` count cells and values; `frequent` has the most frequent values and how
    often each stands. Of numbers and dates (as days since 1970-01-01): the least, the median, the
    largest, mean, standard deviation, skewness, and a histogram of equal bars between the least and
    the largest. A target of classes is a column like any other.
    """

    name: str
    kind: str
    rows: int
    missing: int
    distinct: int
    frequent: Frequent = ()
    low: float | None = None
    median: float | None = None
    high: float | None = None
    mean: float | None = None
    deviation: float | None = None
    skewness: float | None = None
    histogram: tuple[int, ...] = ()
    shown: tuple[str, str, str] | None = None
    """The least, the median and the largest as they would stand in the file."""


def facts_of(cells: Cells) -> ColumnFacts:
    """What a column holds."""
    values, counts = cells.counted
    order = np.argsort(-counts, kind="stable")[:FREQUENT]
    frequent = tuple((cells.show(float(values[i])), int(counts[i])) for i in order)
    column = cells.column
    facts = ColumnFacts(
        name=column.name,
        kind=column.notation.describe(column.kind),
        rows=len(cells.values),
        missing=len(cells.values) - len(cells.present),
        distinct=len(values),
        frequent=frequent,
    )
    return _with_amounts(facts, cells) if cells.are_amounts and len(values) else facts


def _with_amounts(facts: ColumnFacts, cells: Cells) -> ColumnFacts:
    present = cells.present
    low, median, high = (float(q) for q in np.quantile(present, [0.0, 0.5, 1.0]))
    bars = (int(n) for n in _histogram(present, low, high))
    mean, deviation = float(present.mean()), float(present.std())
    return replace(
        facts, low=low, median=median, high=high, mean=mean, deviation=deviation,
        skewness=skewness(present), histogram=tuple(bars),
        shown=(cells.show(low), cells.show(median), cells.show(high)),
    )  # fmt: skip


def _histogram(present: Array, low: float, high: float) -> Array:
    width = high - low
    if not (np.isfinite(width) and width > 0):
        return np.array([len(present)])
    places = np.minimum(((present - low) * (BINS / width)).astype(np.int64), BINS - 1)
    return np.bincount(places, minlength=BINS)


def skewness(values: Array) -> float:
    """The third standardised moment of the values; 0 where they are all the same."""
    deviation = values.std()
    if not deviation > 0:
        return 0.0
    return float((((values - values.mean()) / deviation) ** 3).mean())


# Columns of a table ------------------------------------------------------------------------------


def features_of(table: Table) -> list[Cells]:
    """The features."""
    return [Cells(column, table.x[:, i]) for i, column in enumerate(table.columns)]


def targets_of(table: Table) -> list[Cells]:
    """The targets: classes as a column of categories, in the order of their numbers."""
    if table.classes is not None:
        column = Column(table.target_name, "categorical", tuple(map(_text, table.classes)))
        return [Cells(column, table.target.astype(float))]
    kind = table.target.reshape(len(table.x), -1)
    return [Cells(Column(name), kind[:, i]) for i, name in enumerate(table.targets)]


def _text(label: Label) -> str:
    return label if isinstance(label, str) else str(label)
