"""What one column of a table holds: how much is missing, how often what stands in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeAlias

import numpy as np

from trainer.data import Column, Label, Table, show_raw
from trainer.data.columns.table import show
from trainer.graph.ops import Array

BINS: Final = 20
"""How many bars a histogram has, at most."""
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
        """The values that are not missing; no zero among them has a sign."""
        found: Array = self.values[~np.isnan(self.values)] + 0.0
        return found

    @cached_property
    def _sorted(self) -> tuple[Array, Array, Array]:
        values, places, counts = np.unique(
            self.values + 0.0, return_inverse=True, return_counts=True
        )
        kept = len(values) - int(len(values) > 0 and np.isnan(values[-1]))
        return values[:kept], places.astype(np.int32), counts[:kept]

    @property
    def counted(self) -> tuple[Array, Array]:
        """The distinct values, ascending, and how often each stands."""
        return self._sorted[0], self._sorted[2]

    @property
    def places(self) -> Array:
        """Each row's place among the distinct values, int32; a missing one stands behind all."""
        return self._sorted[1]

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(self.counted[0])

    @property
    def missing(self) -> int:
        """How many cells have no value."""
        return len(self.values) - int(self.counted[1].sum())

    @property
    def are_amounts(self) -> bool:
        """Whether the numbers have a size: they are no names of categories."""
        return self.column.kind in ("numeric", "date")

    @cached_property
    def are_whole(self) -> bool:
        """Whether all numbers are whole."""
        values = self.counted[0]
        return bool((values == np.floor(values)).all())

    def show(self, value: float) -> str:
        """A value as it stands in the file, but for numbers of very many digits."""
        if self.column.kind == "numeric" and value.is_integer() and abs(value) < 2**53:
            return f"{value + 0.0:.0f}"
        return show_raw(value, self.column)

    def tell(self, value: float) -> str:
        """A value in a message: a text of the user's is in quotation marks."""
        text = self.show(value)
        return show(text) if self.column.kind in ("categorical", "ordinal") else text


@dataclass(frozen=True)
class PartFacts:
    """What a column holds in the rows of one part: how many there are, how many have no value, and
    how many lie in each bar of the histogram, or have each of the frequent values.
    """

    part: str
    rows: int
    missing: int
    counts: tuple[int, ...]


@dataclass(frozen=True)
class ColumnFacts:
    """What a column holds.

    `missing` and `distinct` count cells and values; `frequent` has the most frequent values and how
    often each stands. Of numbers and dates (as days since 1970-01-01): the least, the median, the
    largest, mean, standard deviation, skewness, and a histogram of equal bars, each from one of the
    `edges` to below the next. A target of classes is a column like any other. `parts` has the parts
    of the rows side by side, of targets and of columns that differ between them.
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
    edges: tuple[float, ...] = ()
    shown: tuple[str, str, str] | None = None
    """The least, the median and the largest as they would stand in the file."""
    parts: tuple[PartFacts, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Its fields, without those that say nothing of such a column."""
        return {key: value for key, value in asdict(self).items() if value not in (None, ())}


def facts_of(cells: Cells, parts: Mapping[str, Array] | None = None) -> ColumnFacts:
    """What a column holds; with `parts`, by number of row, also in the rows of each."""
    values, counts = cells.counted
    often = np.argsort(-counts, kind="stable")[:FREQUENT]
    column = cells.column
    facts = ColumnFacts(
        name=column.name,
        kind=column.notation.describe(column.kind),
        rows=len(cells.values),
        missing=cells.missing,
        distinct=len(values),
        frequent=tuple((cells.show(float(values[i])), int(counts[i])) for i in often),
    )
    if cells.are_amounts and len(values):
        bars, edges = _bars(values, cells.are_whole)
        facts = _with_amounts(facts, cells, bars, edges)
    else:
        bars, edges = np.full(len(values), len(often)), often
        bars[often] = np.arange(len(often))
    if not parts:
        return facts
    shown = len(facts.histogram or often)
    beside = [_part(cells, name, rows, bars, shown) for name, rows in parts.items() if len(rows)]
    return replace(facts, parts=tuple(beside))


def _with_amounts(facts: ColumnFacts, cells: Cells, bars: Array, edges: Array) -> ColumnFacts:
    values, counts = cells.counted
    low, high = float(values[0]), float(values[-1])
    median = _median(values, counts, between=cells.column.kind != "date")
    mean, deviation, skew = moments(cells.present)
    histogram = np.bincount(bars, counts, minlength=len(edges) - 1)
    return replace(
        facts, low=low, median=median, high=high, mean=mean, deviation=deviation, skewness=skew,
        histogram=tuple(map(int, histogram)), edges=tuple(map(float, edges)),
        shown=(cells.show(low), cells.show(median), cells.show(high)),
    )  # fmt: skip


def _part(cells: Cells, part: str, rows: Array, bars: Array, shown: int) -> PartFacts:
    """`bars` says to which of the counts each distinct value belongs; those beyond are not told."""
    counts = np.bincount(cells.places[rows], minlength=cells.distinct + 1)
    told = np.bincount(bars, counts[:-1], minlength=shown)[:shown]
    return PartFacts(part, len(rows), int(counts[-1]), tuple(map(int, told)))


def _median(values: Array, counts: Array, between: bool) -> float:
    """The value in the middle; of two the middle `between` them, or the first."""
    below = np.cumsum(counts)
    last = int(below[-1]) - 1
    first, second = (float(values[np.searchsorted(below, i // 2 + 1)]) for i in (last, last + 1))
    return first / 2 + second / 2 if between and first != second else first


def _bars(values: Array, whole: bool) -> tuple[Array, Array]:
    """In which bar of a histogram each of the ascending values lies, and the edges of the bars.
    Whole numbers have bars of whole width, so that each has room for as many of them.
    """
    low, high = float(values[0]), float(values[-1])
    span = high / 2 - low / 2  # the distance itself may be infinite
    if not span > 0:
        return np.zeros(len(values), np.int64), np.array([low, high])
    if whole and span < 2**51:
        width = math.ceil((high - low + 1) / BINS)
        bars = math.ceil((high - low + 1) / width)
        return ((values - low) // width).astype(np.int64), low + width * np.arange(bars + 1)
    share = (values / 2 - low / 2) / span
    steps = np.arange(BINS + 1) / BINS
    edges = low * (1 - steps) + high * steps
    return np.minimum((share * BINS).astype(np.int64), BINS - 1), edges


def moments(values: Array) -> tuple[float, float, float]:
    """Mean, standard deviation and skewness of at least one value, however large they are."""
    if values.min() == values.max():
        return float(values[0]), 0.0, 0.0
    exponent, small = _exponent(values), scaled(values)
    mean = float(small.mean())
    away = small - mean
    squares = away * away
    deviation = math.sqrt(squares.mean())
    cubes = float((squares * away).mean())
    skew = cubes / deviation**3 if deviation**3 > 0 else 0.0
    return math.ldexp(mean, exponent), math.ldexp(deviation, exponent), skew


def scaled(values: Array) -> Array:
    """The values times a power of two by which their squares are neither infinite nor lost; NaN
    stays.
    """
    return np.asarray(np.ldexp(values, -_exponent(values)))


def _exponent(values: Array) -> int:
    """That of the largest of at least one value that is not missing."""
    return int(np.frexp(np.nanmax(np.abs(values)))[1])


def skewness(values: Array) -> float:
    """The third standardised moment of the values; 0 where they are all the same."""
    return moments(values)[2]


# Columns of a table ------------------------------------------------------------------------------


def features_of(table: Table) -> Iterator[Cells]:
    """The features, one after the other: what is sorted for one need not be held for all."""
    return (Cells(column, table.x[:, i]) for i, column in enumerate(table.columns))


def targets_of(table: Table) -> list[Cells]:
    """The targets: classes as a column of categories, in the order of their numbers."""
    if table.classes is not None:
        column = Column(table.target_name, "categorical", tuple(map(_text, table.classes)))
        return [Cells(column, table.target.astype(float))]
    values = table.target.reshape(len(table.x), -1)
    return [Cells(Column(name), values[:, i]) for i, name in enumerate(table.targets)]


def _text(label: Label) -> str:
    return label if isinstance(label, str) else str(label)
