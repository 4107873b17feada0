"""Whole rows that stand several times, and parts of the rows that differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from trainer.graph.ops import Array
from trainer.survey.columns import Cells
from trainer.survey.copying import CHANCE
from trainer.survey.findings import Finding

_MORE: Final = 10
"""How many times more rows must be alike than columns that have nothing to do with each other
would bring about, before they are told."""
SHIFT: Final = 0.1
"""How far the distributions of two parts may be apart, at least, before it is told."""
_SHARED: Final = 0.25
"""The share of a part's rows that may stand in the training rows before that is grave."""

_NONE: Final = np.array([], np.int64)


class Marks:
    """A number of 64 bits for each row, the same for rows with the same cells; of different ones it
    differs but for one pair in 10¹⁹.
    """

    def __init__(self, rows: int) -> None:
        self.marks = np.zeros(rows, np.uint64)
        self._chance = 0.0

    def add(self, cells: Cells) -> None:
        """Has a column count, too."""
        self.marks = _mixed(self.marks + cells.places.astype(np.uint64) + _GOLDEN)
        shares = np.append(cells.counted[1], cells.missing) / max(1, len(self.marks))
        self._chance += math.log(max(1e-300, float((shares * shares).sum())))

    def findings(self, parts: Mapping[str, Array]) -> Iterator[Finding]:
        """Rows that stand several times, and those for testing that train as well; not where there
        are so few different cells that rows are bound to be alike.
        """
        found, places, counts = np.unique(self.marks, return_inverse=True, return_counts=True)
        rows, again = len(places), len(places) - len(found)
        pairs = float((counts * (counts - 1.0)).sum()) / 2
        expected = rows * (rows - 1) / 2 * math.exp(self._chance)
        if not again or pairs <= _MORE * expected:
            return
        stand, their = ("stands", "its") if again == 1 else ("stand", "their")
        message = f"{again:,} of {rows:,} rows {stand} in the table before, in all {their} cells"
        yield Finding("repeated", (), message, "are they meant to count again?", share=again / rows)
        known = np.zeros(len(found), bool)
        known[places[parts.get("train", _NONE)]] = True
        for part in ("validation", "test"):
            yield from _shared(part, known[places[parts.get(part, _NONE)]])


def _shared(part: str, known: Array) -> Iterator[Finding]:
    count, rows = int(known.sum()), len(known)
    if count:
        verb = "stands" if count == 1 else "stand"
        message = f"{count:,} of {rows:,} {part} rows {verb} in the training rows, too"
        advice = "a metric of such rows tells what was learnt by heart"
        yield Finding(
            "shared", (), message, advice, grave=count > _SHARED * rows, share=count / rows
        )


_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)


def _mixed(x: Array) -> Array:
    """Each number with its bits mixed, as the generator SplitMix64 does."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


# Parts -------------------------------------------------------------------------------------------


def shifts(cells: Cells, parts: Mapping[str, Array], columns: int) -> Iterator[Finding]:
    """Whether a column, one of so many, is distributed otherwise in the test rows than in the
    training rows; where there are none, in the validation rows.
    """
    part = next((p for p in ("test", "validation") if len(parts.get(p, ()))), None)
    if part is None or not len(parts["train"]):
        return
    n, m = len(parts["train"]), len(parts[part])
    apart = distance(cells, parts["train"], parts[part])
    bound = np.sqrt(np.log(2 * columns / CHANCE) / 2 * (n + m) / (n * m))
    free = 1.0 if cells.are_amounts else np.sqrt(max(1, cells.distinct - 1))
    if apart >= max(SHIFT, bound * free):
        message = f"differs between training and {part} rows by {apart:.0%}"
        advice = "what was learnt of it may not hold there"
        yield Finding("shift", (cells.name,), message, advice, share=apart)


def distance(cells: Cells, first: Array, second: Array) -> float:
    """How far a column's distributions in two parts are apart, from 0 to 1: of amounts the largest
    distance of the distribution functions (Kolmogorov and Smirnov), else half the sum of the
    differences of all shares. Missing cells count as a value, above all others.
    """
    shares = [
        np.bincount(cells.places[rows], minlength=cells.distinct + 1) / len(rows)
        for rows in (first, second)
    ]
    gap = shares[0] - shares[1]
    if cells.are_amounts:
        return float(np.abs(np.cumsum(gap)).max())
    return float(np.abs(gap).sum() / 2)
