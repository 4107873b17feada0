"""Columns that say the same as another one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainer.data.columns.table import show
from trainer.graph.ops import Array
from trainer.survey.columns import Cells, scaled
from trainer.survey.findings import Finding

CHANCE: Final = 0.001
"""The chance by which a table of columns that have nothing to do with each other has a finding."""
_ALIKE: Final = 1e-9
"""How far columns may be from lying on one line, as parts of half their range and of the value."""
_SAMPLE: Final = 64
"""Rows that are compared first."""
_MANY: Final = 30
"""So many different values never stand in the same rows by chance."""


class Copies:
    """The columns of a table as they come, `columns` in all, of which later ones may say the same
    as earlier ones: the same values, amounts by another unit, the same categories by other names.
    """

    def __init__(self, columns: int) -> None:
        self._pairs = max(1, columns * (columns - 1) / 2)
        self._known: dict[bytes, list[_Known]] = {}

    def of(self, cells: Cells) -> Iterator[Finding]:
        """What is found of the next column."""
        if cells.distinct < 2 or self._may_be_chance(cells):
            return
        known = self._known.setdefault(_pattern(cells), [])
        found = _Known.of(cells, known[0].marks if known else None)
        for other in known:
            if not _by_values(cells) or found.is_on_a_line_with(other):
                message = f"says in every row the same as {show(other.name)}"
                names = (cells.name, other.name)
                yield Finding("copy", names, message, "leave one of them out")
                return
        known.append(found)

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


@dataclass(frozen=True)
class _Known:
    """A column that came before. `marks` are two rows whose values differ, the same for all columns
    of one pattern; `sample` are some of its values in the unit in which these are 0 and 1.
    """

    name: str
    values: Array
    marks: tuple[int, int]
    sample: Array

    @classmethod
    def of(cls, cells: Cells, marks: tuple[int, int] | None) -> _Known:
        """The column, without what was sorted."""
        if marks is None:
            quarter = cells.distinct // 4
            low, high = (
                int(np.argmax(cells.places == place))
                for place in (quarter, cells.distinct - 1 - quarter)
            )
            marks = (low, high)
        some = np.linspace(0, len(cells.values) - 1, _SAMPLE).astype(np.int64)
        return cls(cells.name, cells.values, marks, _in_unit(cells.values, marks)[some])

    def is_on_a_line_with(self, other: _Known) -> bool:
        """Whether the one is the other in another unit; both have values in the same rows."""
        if not _are_alike(self.sample, other.sample):  # which spares most of the time
            return False
        return _are_alike(*(_in_unit(each.values, each.marks) for each in (self, other)))


def _in_unit(values: Array, marks: tuple[int, int]) -> Array:
    """The values in the unit in which those of the two rows are 0 and 1; as they are where others
    are so large that these do not differ beside them.
    """
    values = scaled(values)
    low, high = values[list(marks)]
    with np.errstate(over="ignore"):
        return np.asarray((values - low) / (high - low)) if low != high else values


def _are_alike(x: Array, y: Array) -> bool:
    """Whether they are the same but for rounding, in each row by its own size."""
    there = ~np.isnan(x)
    x, y = x[there], y[there]
    with np.errstate(invalid="ignore"):  # what is infinite is like nothing
        return bool((np.abs(x - y) <= _ALIKE * (1 + np.abs(x))).all())
