"""Columns that say the same as another one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from trainer.data.columns.table import show
from trainer.graph.ops import Array
from trainer.survey.columns import Cells, scaled
from trainer.survey.findings import Finding

CHANCE: Final = 0.001
"""The chance by which a table of columns that have nothing to do with each other has a finding."""
_ALIKE: Final = 1e-9
"""How far columns may be from lying on one line, as parts of their standard deviation."""
_MANY: Final = 30
"""So many different values never stand in the same rows by chance."""


class Copies:
    """The columns of a table as they come, `columns` in all, of which later ones may say the same
    as earlier ones: the same values, amounts by another unit, the same categories by other names.
    """

    def __init__(self, columns: int) -> None:
        self._pairs = max(1, columns * (columns - 1) / 2)
        self._known: dict[bytes, list[Cells]] = {}

    def of(self, cells: Cells) -> Iterator[Finding]:
        """What is found of the next column."""
        if cells.distinct < 2 or self._may_be_chance(cells):
            return
        kept = Cells(cells.column, cells.values)  # without what was sorted
        known = self._known.setdefault(_pattern(cells), [])
        for other in known:
            if not _by_values(cells) or _on_a_line(cells.values, other.values):
                message = f"says in every row the same as {show(other.name)}"
                names = (cells.name, other.name)
                yield Finding("copy", names, message, "leave one of them out")
                return
        known.append(kept)

    def _may_be_chance(self, cells: Cells) -> bool:
        """Whether the values are so few, or of so few rows, that another column of the table may
        have its own in the same rows by chance: of all orders of the rows only so many differ.
        """
        if cells.distinct > _MANY:
            return False
        counts = [*cells.counted[1].tolist(), cells.missing]
        orders = math.lgamma(len(cells.values) + 1) - sum(math.lgamma(n + 1) for n in counts)
        return orders < math.log(self._pairs / CHANCE)


def _by_values(cells: Cells) -> bool:
    """Whether amounts are nearly all different, so that which rows are alike tells little."""
    return cells.are_amounts and 2 * cells.distinct > len(cells.values)


def _pattern(cells: Cells) -> bytes:
    """What two columns share if each value of the one goes with one value of the other; of amounts
    that are nearly all different, if their order is the same, or the other way round.
    """
    places = cells.places
    if _by_values(cells):
        turned = np.where(places < cells.distinct, cells.distinct - 1 - places, places)
        named = min(places.tobytes(), turned.astype(np.int32).tobytes())
        return b"amounts" + hashlib.blake2b(named).digest()
    first = np.full(cells.distinct + 1, len(places), np.int64)
    first[places[::-1]] = np.arange(len(places))[::-1]  # of several the last one stays
    renamed = np.argsort(np.argsort(first))[places].astype(np.int32)
    return hashlib.blake2b(renamed.tobytes()).digest()


def _on_a_line(x: Array, y: Array) -> bool:
    """Whether the one is the other in another unit; both have values in the same rows."""
    there = ~np.isnan(x)
    x, y = (scaled(each[there]) for each in (x, y))
    x, y = ((each - each.mean()) / each.std() for each in (x, y))
    return bool(min(np.abs(x - y).max(), np.abs(x + y).max()) < _ALIKE)
