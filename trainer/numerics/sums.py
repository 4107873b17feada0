"""Sums in one order of additions, wherever and however they are computed.

Places along the last axis go to 32 lanes, place j to lane j mod 32; each lane is a chain of
additions in order, from +0, and lanes are added by halves: l and l + 16, then l + 8, l + 4, l + 2,
l + 1. Rows are taken in segments of 64. In a segment the lanes of a total run over its rows, place
after place, and a sum that keeps columns is one chain a column. The segments' sums are added
pairwise: for d = 1, 2, 4, … s[i] += s[i + d] for each i that is a multiple of 2 d. A vector is a
matrix with rows of 32, and so is a matrix with a single row or column.

This is written here as additions of arrays, each of them exactly rounded: NumPy's own sums go by an
order that nothing promises. Adding +0 changes no chain, since none is ever at -0; so what fills
lanes and rows up is +0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

LANES: Final = 32
SEGMENT: Final = 64  # rows
CELLS: Final = 2**16  # numbers that are in work at a time; no result depends on it
FEW: Final = 2**13  # numbers, up to which calls cost more than additions
MANY: Final = 16  # segments that are in work at least
NARROW: Final = 16  # columns, below which segments lie side by side and not columns


def total(x: Array) -> float:
    """The sum of all numbers of a vector or matrix, added in its dtype; 0 without any."""
    plain = x.ndim != 2 or 1 in x.shape
    found = _of_vector(x.ravel()) if plain else _segments(x, keeps_columns=False)
    return float(_pairwise(found)[0]) if len(found) else 0.0


def mean(x: Array) -> float:
    """The total by the count; nan without numbers."""
    if x.size == 1:
        return float(x.reshape(())) + 0.0
    return float(x.dtype.type(total(x)) / x.dtype.type(x.size)) if x.size else float("nan")


def column_sums(x: Array) -> Array:
    """The sum of each column of a matrix, in its dtype, of shape (columns,)."""
    if x.shape[1] == 1:
        return np.full(1, total(x), x.dtype)
    found = _segments(x, keeps_columns=True)
    return _pairwise(found) if len(found) else np.zeros(x.shape[1], x.dtype)


def column_means(x: Array) -> Array:
    """The sum of each column by the count, of shape (columns,)."""
    return np.asarray(column_sums(x) / x.dtype.type(len(x)))


def row_sums(x: Array) -> Array:
    """The sum of each row of a matrix, of shape (rows,): lanes and halves, without segments."""
    step = max(1, CELLS // max(1, x.shape[1]))
    pieces = [_lanes(x[start : start + step, None]) for start in range(0, len(x), step)]
    return np.concatenate(pieces) if pieces else np.zeros(0, x.dtype)


def row_means(x: Array) -> Array:
    """The sum of each row by the count, of shape (rows,)."""
    return np.asarray(row_sums(x) / x.dtype.type(x.shape[1]))


class Sum:
    """A sum over rows that come in pieces, to the same bits however they are cut; in float64.

    With `columns`, pieces have the shape (rows, columns), and each column has its sum. Without it
    they are vectors, and the sum is that of all numbers.
    """

    def __init__(self, columns: int | None = None) -> None:
        self._shape = () if columns is None else (columns,)
        self._columns = None if columns == 1 else columns
        self._rest: Array = np.zeros(0)
        # sums of 2^k segments that wait for their neighbour, by the level k
        self._waiting: dict[int, Array] = {}

    def add(self, rows: Array) -> None:
        """Takes the next rows."""
        new = np.asarray(rows, np.float64).ravel()
        unit = SEGMENT * (self._columns or LANES)
        if len(self._rest):
            lacks = unit - len(self._rest)
            self._rest = np.concatenate([self._rest, new[:lacks]])
            new = new[lacks:]
            if len(self._rest) < unit:
                return
            self._carry(self._sums(self._rest))
        whole = len(new) // unit * unit
        self._rest = new[whole:].copy()
        self._carry(self._sums(new[:whole]))

    def _carry(self, sums: Array) -> None:
        """Takes the sums of the next segments, and adds those up that have their neighbour."""
        level = 0
        while len(sums):
            if level in self._waiting:
                sums = np.concatenate([self._waiting.pop(level)[None], sums])
            if len(sums) % 2:
                self._waiting[level], sums = sums[-1].copy(), sums[:-1]
            level, sums = level + 1, sums[::2] + sums[1::2]

    def value(self) -> Array:
        """The sum so far, of shape (columns,) or ()."""
        last = self._sums(self._rest)  # at most one
        found = [*last, *(self._waiting[level] for level in sorted(self._waiting))]
        result = found[0] if found else np.zeros(self._columns or 1)
        for earlier in found[1:]:
            result = earlier + result
        return result.reshape(self._shape).copy()

    def _sums(self, numbers: Array) -> Array:
        if self._columns is None:
            return _of_vector(numbers)
        return _segments(numbers.reshape(-1, self._columns), keeps_columns=True)

    def state(self) -> Mapping[str, Array]:
        """What it holds, as arrays of a size that grows with the logarithm of the rows alone."""
        levels = sorted(self._waiting)
        waiting = [self._waiting[level] for level in levels]
        return {
            "columns": np.array(self._shape, np.int64),
            "rest": self._rest,
            "levels": np.array(levels, np.int64),
            "waiting": np.array(waiting).reshape(len(levels), self._columns or 1),
        }

    @classmethod
    def of(cls, state: Mapping[str, Array]) -> Sum:
        """Goes on where `state` was taken."""
        found = cls(*state["columns"].tolist())
        found._rest = state["rest"]
        found._waiting = dict(zip(state["levels"].tolist(), state["waiting"], strict=True))
        return found


# The order ----------------------------------------------------------------------------------------


def _of_vector(x: Array) -> Array:
    """The sums of the segments of a vector, of shape (segments, 1)."""
    whole = len(x) // (SEGMENT * LANES) * SEGMENT * LANES
    found = _segments(x[:whole].reshape(-1, LANES), keeps_columns=False)
    if whole == len(x):
        return found
    last = np.zeros(-(-(len(x) - whole) // LANES) * LANES, x.dtype)
    last[: len(x) - whole] = x[whole:]
    end = _segments(last.reshape(-1, LANES), keeps_columns=False)
    return np.concatenate([found, end]) if len(found) else end


def _segments(x: Array, keeps_columns: bool) -> Array:
    """The sums of the segments of a matrix, of shape (segments, columns) or (segments, 1)."""
    rows, columns = x.shape
    whole = rows // SEGMENT
    step = max(MANY, CELLS // (SEGMENT * max(1, columns)))
    sums = _chains if keeps_columns else _totals
    segments = x[: whole * SEGMENT].reshape(whole, SEGMENT, columns)
    pieces = [sums(segments[start : start + step]) for start in range(0, whole, step)]
    if rows % SEGMENT:
        pieces.append(sums(x[None, whole * SEGMENT :]))
    if len(pieces) == 1:
        return pieces[0]
    return np.concatenate(pieces) if pieces else np.zeros((0, columns if keeps_columns else 1))


def _totals(segments: Array) -> Array:
    return _lanes(segments)[:, None]


def _lanes(segments: Array) -> Array:
    """The sums of segments, of shape (segments, rows, columns), by lanes and halves."""
    count, rows, columns = segments.shape
    width = min(LANES, 1 << max(0, columns - 1).bit_length())  # the others stay +0
    if segments.size <= FEW and columns == width:
        lanes = _chain(segments)
    else:
        lanes = np.zeros((count, width), segments.dtype)
        for row in range(rows):
            for start in range(0, columns, LANES):
                some = segments[:, row, start : start + LANES]
                lanes[:, : some.shape[1]] += some
    while width > 1:
        width //= 2
        lanes = lanes[:, :width] + lanes[:, width:]
    return lanes[:, 0]


def _chains(segments: Array) -> Array:
    """The sums of segments, of shape (segments, rows, columns), by column."""
    count, rows, columns = segments.shape
    if segments.size <= FEW:
        return _chain(segments)
    if columns < min(NARROW, count):
        beside = np.ascontiguousarray(segments.transpose(1, 2, 0))
        found = np.zeros((columns, count), segments.dtype)
        for row in range(rows):
            found += beside[row]
        return found.T
    found = np.zeros((count, columns), segments.dtype)
    for row in range(rows):
        found += segments[:, row]
    return found


def _chain(segments: Array) -> Array:
    """One chain of additions over the rows of each segment, in a single call."""
    return np.asarray(np.add.accumulate(segments, axis=1)[:, -1] + 0.0)  # from +0, so never -0


def _pairwise(sums: Array) -> Array:
    """The sum of one segment or more, added pairwise, from shape (segments, n) to (n,)."""
    while len(sums) > 1:
        even = len(sums) // 2 * 2
        added = sums[0:even:2] + sums[1:even:2]
        sums = np.concatenate([added, sums[even:]]) if even < len(sums) else added
    return np.asarray(sums[0])
