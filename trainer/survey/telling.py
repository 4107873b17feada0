"""Columns that tell the target by themselves: perhaps what is to be predicted stands in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainer.data.columns.table import show
from trainer.graph.ops import Array
from trainer.survey.columns import Cells, scaled
from trainer.survey.findings import FEW, Finding

TELLS: Final = 0.99
"""How much of the target one column may tell before it is a leak; see `_Target.told_by`."""
_ROWS: Final = 100_000
"""The rows that are looked at, at most, drawn by chance."""
_LEAST: Final = 2_000
"""The rows that are looked at even where there are very many columns and targets."""
_WORK: Final = 4 * 10**7
"""Rows times columns times targets that are looked at, about."""
_BORDER: Final = 20
"""Rows to be told right, from which on a single wrong one may be where two values meet."""


class Telling:
    """Which of a table's columns tell its targets, looked at in two halves of some of its rows."""

    def __init__(self, targets: Sequence[Cells], rows: int, columns: int) -> None:
        self.halves = _halves(rows, columns * len(targets))
        few = len(self.halves[0]) < FEW
        told = [each for each in targets if each.distinct > 1 and not few]
        self._targets = [_Target.of(each, self.halves) for each in told]

    def leaks(self, cells: Cells, things: bool = False) -> Iterator[Finding]:
        """What is found of a column. One that names `things` tells nothing of a target that is
        different for more of them.
        """
        if cells.distinct + (cells.missing > 0) < 2 or not self._targets:
            return
        seen = _Seen.of(cells, self.halves)
        for target in self._targets:
            if things and cells.distinct > target.cells.distinct:
                continue
            share = target.told_by(seen)
            if share >= TELLS:
                message = f"tells {show(target.cells.name)} by itself ({100 * share:.4g}% of it)"
                advice = "leave it out, unless it is known before the target is"
                yield Finding("leak", (cells.name,), message, advice, grave=True, share=share)


def _halves(rows: int, pairs: int) -> tuple[Array, Array]:
    """Rows drawn by chance, fewer where there are many `pairs` of columns and targets."""
    count = min(_ROWS, max(_LEAST, _WORK // max(1, pairs)))
    drawn = np.random.Generator(np.random.Philox(0)).permutation(rows)[:count]
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]


@dataclass(frozen=True)
class _Seen:
    """A column in the halves. `ways` go from the one half to the other and back: the place of each
    row of the first among the values there, and for each row of the second that of the same or the
    nearest value, or -1.
    """

    cells: Cells
    ways: tuple[tuple[Array, Array], ...]

    @classmethod
    def of(cls, cells: Cells, halves: tuple[Array, Array]) -> _Seen:
        """The column in these rows."""
        ways = []
        for known, asked in (halves, halves[::-1]):
            values, places = np.unique(cells.places[known], return_inverse=True)
            ways.append((places, _nearest(values, cells.places[asked], cells.are_amounts)))
        return cls(cells, tuple(ways))


@dataclass(frozen=True)
class _Target:
    """What is to be told: its values in the halves, and which of them are `usual`: a few amounts
    that are far from all others would make all of the variance.
    """

    cells: Cells
    halves: tuple[Array, Array]
    values: tuple[Array, ...]
    usual: tuple[Array, ...]

    @classmethod
    def of(cls, cells: Cells, halves: tuple[Array, Array]) -> _Target:
        """The target in these rows: amounts that can be squared, or the numbers of classes."""
        kept = scaled(cells.values) if cells.are_amounts else cells.values.astype(np.int64)
        values = tuple(kept[half] for half in halves)
        if cells.are_amounts:
            usual = tuple(map(_usual, values))
        else:
            usual = tuple(np.ones(len(each), bool) for each in values)
        return cls(cells, halves, values, usual)

    def told_by(self, seen: _Seen) -> float:
        """How much of the target a column tells, from 0 to 1: in each half of the rows what is said
        by the other half, in rows of the same or the nearest value. Of numbers it is R², of classes
        the part of the mistakes of always saying the most frequent one that is avoided.
        """
        judge = _r2 if self.cells.are_amounts else _avoided
        found = []
        for (places, at), known, asked in zip(seen.ways, (0, 1), (1, 0), strict=True):
            inner, outer = self.usual[known], self.usual[asked]
            said = judge(places[inner], self.values[known][inner], at[outer],
                         self.values[asked][outer])  # fmt: skip
            found.append(said)
        share = float(np.mean(found))
        if seen.cells.are_amounts and self.cells.are_amounts:
            share = max(share, self._in_order(seen.cells))
        return max(0.0, share)

    def _in_order(self, cells: Cells) -> float:
        """The squared correlation of the ranks, if no value of the column is missing: 1 where the
        one rises or falls with the other.
        """
        if cells.missing:
            return 0.0
        rows = np.concatenate(self.halves)
        x, y = (each.places[rows].astype(float) for each in (cells, self.cells))
        x, y = x - x.mean(), y - y.mean()
        spread = (x * x).sum() * (y * y).sum()
        return float((x * y).sum() ** 2 / spread) if spread > 0 else 0.0


def _usual(values: Array) -> Array:
    """Which values are not among the hundredth, or the one, that is farthest out at either end."""
    ascending, out = np.sort(values), max(1, len(values) // 100)
    least, most = ascending[out], ascending[-1 - out]
    if least == most:
        return np.ones(len(values), bool)
    return np.asarray((values >= least) & (values <= most))


def _nearest(values: Array, asked: Array, amounts: bool) -> Array:
    """The place of the nearest value, which are ascending; -1 for a name that is none of them."""
    right = np.searchsorted(values, asked)
    above, below = np.minimum(right, len(values) - 1), np.maximum(right - 1, 0)
    if not amounts:
        return np.where(values[above] == asked, above, -1)
    nearer = np.abs(values[above] - asked) < np.abs(asked - values[below])
    return np.where(nearer, above, below)


def _r2(places: Array, y: Array, at: Array, truth: Array) -> float:
    """R² of the means at the places; where there is none it is the mean of all."""
    size = int(max(places.max(initial=0), at.max(initial=0))) + 2
    counts, sums = np.bincount(places, minlength=size), np.bincount(places, y, minlength=size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), y.mean())
    spread = ((truth - truth.mean()) ** 2).sum()
    return 1 - float(((truth - means[at]) ** 2).sum() / spread) if spread > 0 else 0.0


def _avoided(places: Array, y: Array, at: Array, truth: Array) -> float:
    """Of the mistakes of always saying the most frequent class, the part that those avoid which are
    most frequent at the places.
    """
    often = int(np.bincount(y).argmax())
    classes = int(y.max()) + 1
    pairs, counts = np.unique(places * classes + y, return_counts=True)
    best = np.lexsort((-pairs, counts))  # of classes as frequent the first one is written last
    said = np.full(int(places.max()) + 2, often)
    said[pairs[best] // classes] = pairs[best] % classes
    trivial, ours = int((truth != often).sum()), int((truth != said[at]).sum())
    if trivial >= _BORDER:
        ours = max(0, ours - 1)
    return 1 - ours / trivial if trivial >= FEW else 0.0
