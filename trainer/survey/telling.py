"""Columns that tell the target by themselves: perhaps what is to be predicted stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from trainer.data.columns.table import show
from trainer.graph.ops import Array
from trainer.survey.columns import Cells, scaled
from trainer.survey.findings import FEW, Finding

TELLS: Final = 0.99
"""How much of the target one column may tell before it is a leak; see `Target.told_by`."""
_ROWS: Final = 100_000
"""The rows that are looked at, at most, drawn by chance."""
_LEAST: Final = 2_000
"""The rows that are looked at even where there are very many columns and targets."""
_WORK: Final = 4 * 10**7
"""Rows times columns times targets that are looked at, about."""
_BORDER: Final = 20
"""Rows to be told right, from which on a single wrong one may be where two values meet."""


@dataclass(frozen=True)
class Target:
    """What is to be told, looked at in two halves of some of its rows."""

    cells: Cells
    halves: tuple[Array, Array]

    @classmethod
    def of(cls, cells: Cells, pairs: int) -> Target:
        """The target with halves drawn by chance; there are so many `pairs` of columns and targets
        in the table.
        """
        rows = min(_ROWS, max(_LEAST, _WORK // max(1, pairs)))
        drawn = np.random.Generator(np.random.Philox(0)).permutation(len(cells.values))[:rows]
        half = len(drawn) // 2
        return cls(cells, (drawn[:half], drawn[half:]))

    @cached_property
    def _values(self) -> Array:
        """Amounts of a size that can be squared, or the numbers of classes."""
        cells = self.cells
        return scaled(cells.values) if cells.are_amounts else cells.values.astype(np.int64)

    def leaks(self, cells: Cells) -> Iterator[Finding]:
        """What is found of a column."""
        if cells.distinct + (cells.missing > 0) < 2:
            return
        share = self.told_by(cells)
        if share >= TELLS:
            message = f"tells {show(self.cells.name)} by itself ({100 * share:.4g}% of it)"
            advice = "leave it out, unless it is known before the target is"
            yield Finding("leak", (cells.name,), message, advice, grave=True, share=share)

    def told_by(self, cells: Cells) -> float:
        """How much of the target a column tells, from 0 to 1: in each half of the rows what is said
        by the other half, in rows of the same or the nearest value. Of numbers it is R², of classes
        the part of the mistakes of always saying the most frequent one that is avoided. 0 where
        there are too few rows to say.
        """
        first, second = self.halves
        if len(first) < FEW:
            return 0.0
        judge = _r2 if self.cells.are_amounts else _avoided
        found = []
        for known, asked in ((first, second), (second, first)):
            values, places = np.unique(cells.places[known], return_inverse=True)
            at = _nearest(values, cells.places[asked], cells.are_amounts)
            found.append(judge(places, self._values[known], at, self._values[asked]))
        share = float(np.mean(found))
        if cells.are_amounts and self.cells.are_amounts:
            drawn = np.concatenate(self.halves)
            share = max(share, _linear(cells.values[drawn], self._values[drawn]))
        return max(0.0, share)


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
    means = np.append(np.bincount(places, y) / np.bincount(places), y.mean())
    spread = ((truth - truth.mean()) ** 2).sum()
    return 1 - float(((truth - means[at]) ** 2).sum() / spread) if spread > 0 else 0.0


def _linear(x: Array, y: Array) -> float:
    """The squared correlation, if no x is missing."""
    if np.isnan(x).any():
        return 0.0
    x, y = scaled(x), y - y.mean()
    x = x - x.mean()
    spread = (x * x).sum() * (y * y).sum()
    return float((x * y).sum() ** 2 / spread) if spread > 0 else 0.0


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
