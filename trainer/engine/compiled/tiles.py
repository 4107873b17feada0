"""The innermost parts of matrix products: register tiles, and panels packed for them.

A register tile holds `rows` × `vectors` accumulators. For every k it loads a row of B as vectors,
and for each of its rows one number of A, which meets them all: 1 fma for each accumulator. All of
A's elements are found by two strides, from row to row and from k to k, so the same tile serves A,
its transpose, and packed panels of either.

No tile asks for a mask where a matrix ends. Rows beyond the last one are the last one again,
computed twice and written twice, the same each time. Likewise a last vector of columns that would
reach beyond the end begins earlier, and has columns in common with the one before it. Both hold
because a tile reads all of `out` that it adds to before it writes. Only where `out` is narrower
than one vector it is masked, and B is packed in rows of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trainer.engine.compiled.arithmetic import REALS, Real, Value
from trainer.engine.compiled.function import Function, Module
from trainer.engine.compiled.target import Target

PARAMETERS: Final = "i64 m, i64 n, i64 k, array a, i64 lda, array b, i64 ldb, array out, i64 ldo"
"""Of every product that is called: out of m × n, with inner size k, and numbers between rows."""

CHAIN: Final = 256
"""So many consecutive k are one chain of fma; chains are added in order."""

BLOCK: Final = 4
"""What is turned is turned in blocks of 4 × 4."""


@dataclass(frozen=True)
class Shape:
    """The register tiles of a kind of CPU, for a type of floats."""

    real: Real
    lanes: int
    """Of a vector."""
    rows: int
    """Of the largest tile, a power of 2: there are tiles of half as many, and so on."""
    vectors: int
    """Of the largest tile; there are tiles of fewer."""

    @classmethod
    def of(cls, dtype: str, target: Target) -> Shape:
        """24 accumulators where there are 32 registers of a vector's width, else 12 in 16."""
        real = REALS[dtype]
        wide = target.vector_bytes == 64
        return cls(real, target.vector_bytes // real.bytes, 8 if wide else 4, 3)

    @property
    def width(self) -> int:
        """Columns of the largest tile."""
        return self.lanes * self.vectors

    @property
    def tile(self) -> int:
        """Numbers from one packed tile of A to the next: a cache line more than they hold, for
        tiles that are a power of 2 apart would all want the same places of the cache.
        """
        return self.rows * CHAIN + 64 // self.real.bytes

    def heights(self, vectors: int) -> list[int]:
        """Rows of the tiles of so many vectors, the largest first. One vector alone needs more rows
        so that a sum is not waited for.
        """
        most = self.rows if vectors > 1 else 2 * self.rows
        return [most >> i for i in range(most.bit_length())]


def name_of(what: str, vectors: int) -> str:
    """The function for a panel of so many vectors; 0 stands for less than one."""
    return f"{what}{vectors}" if vectors else f"{what}_narrow"


def add_panel(module: Module, shape: Shape, vectors: int) -> None:
    """Adds `panel1`, …: some columns of out = A B over one chain of k, all their rows.

    A has m > 0 rows and k > 0 columns, strides `a_row` and `a_k`, and `a_tile` after `shape.rows`
    rows; the rows of B and `out` are `b_k` and `out_row` apart. The last vector of columns begins
    at `b_last` in B and at `last` in `out`; the narrow panel has `last` columns of `out`. Where
    `later` is set the chain is added to what is in `out`.
    """
    f = Function(
        module,
        name_of("panel", vectors),
        "i64 m, i64 k, array a, i64 a_row, i64 a_k, i64 a_tile, array b, i64 b_k, i64 b_last, "
        "array out, i64 out_row, i64 last, i1 later",
    )
    p = f.parameters
    heights = shape.heights(vectors)
    step = p["a_tile"] * (heights[0] // shape.rows)
    begin = [p["m"], p["a"], p["out"]]
    mask = None if vectors else f.places(0, shape.lanes) < p["last"]
    for rows, fewer in zip(heights, [*heights[1:], 0], strict=True):
        with f.while_more(begin, fewer) as tiles:
            left, a, out = tiles.values
            _add_tile(f, shape, rows, max(vectors, 1), left, a, out, mask)
            tiles.next = [
                left - rows,
                f.at(a, step),
                f.at(out, p["out_row"] * rows),
            ]
        begin = tiles.values
    f.end()


def _add_tile(
    f: Function, shape: Shape, rows: int, vectors: int,
    left: Value, a: Value, out: Value, mask: Value | None,
) -> None:  # fmt: skip
    """One tile of up to `rows` rows, of which `left` are there."""
    lanes, p = shape.lanes, f.parameters
    row = [f.whole(0), *((left - 1).or_less(i) for i in range(1, rows))]
    a_at = [i * p["a_row"] for i in row]
    b_at: list[Value | int] = [v * lanes for v in range(vectors)]
    out_at = list(b_at)
    if mask is None and vectors > 1:
        b_at[-1], out_at[-1] = p["b_last"], p["last"]

    zeros = [f.number(0.0, lanes)] * (rows * vectors)
    with f.repeat([p["k"], a, p["b"], *zeros]) as loop:
        k, a_k, b_k, *sums = loop.values
        columns = [f.load(f.at(b_k, at), lanes) for at in b_at]
        after = []
        for i in range(rows):
            number = f.splat(f.load(f.at(a_k, a_at[i])), lanes)
            after += [
                f.fma(number, column, sums[i * vectors + v]) for v, column in enumerate(columns)
            ]
        loop.next = [k - 1, f.at(a_k, p["a_k"]), f.at(b_k, p["b_k"]), *after]
        loop.again = loop.next[0] > 0
    chains = loop.next[3:]

    starts = [f.at(out, i * p["out_row"]) for i in row]
    places = [f.at(start, at) for start in starts for at in out_at]
    with f.when(p["later"]):
        totals = [
            f.load(place, lanes, mask) + chain for place, chain in zip(places, chains, strict=True)
        ]
        for total, place in zip(totals, places, strict=True):
            f.store(total, place, mask)
    with f.when(~p["later"]):
        for chain, place in zip(chains, places, strict=True):
            f.store(chain, place, mask)


def add_turn(module: Module, shape: Shape, group: int) -> None:
    """Adds `turn4` or `turn8`, by how many rows are turned at once.

    target[i, c] = source[c, i] for i < k and c < lanes, of which there are a group or more, with
    rows of `width` and `stride`. Where the source has less rows the last one is taken again.
    """
    f = Function(
        module, f"turn{group}",
        "array source, i64 stride, i64 rows, i64 k, array target, i64 width, i64 lanes",
    )  # fmt: skip
    p = f.parameters
    k = p["k"]
    with f.each(p["lanes"], group) as start:
        c = start.or_less(p["lanes"] - group)  # the last group may have lanes of the one before
        rows = [f.at(p["source"], c.or_less(p["rows"] - 1) * p["stride"])]
        for q in range(1, group):
            step = (c + q < p["rows"]).choose(p["stride"], 0)
            rows.append(f.at(rows[-1], step))
        target = f.at(p["target"], c)
        with f.when(k < BLOCK), f.each(k) as i:
            for q, row in enumerate(rows):
                value = f.load(f.at(row, i))
                f.store(value, f.at(target, i * p["width"] + q))
        with f.when(k >= BLOCK):
            with f.each(k - (BLOCK - 1), BLOCK) as i:
                _add_turned(f, rows, target, i)
            with f.when((k & (BLOCK - 1)) > 0):  # and so may the last block
                _add_turned(f, rows, target, k - BLOCK)
    f.end()


def _add_turned(f: Function, rows: Sequence[Value], target: Value, at: Value) -> None:
    """Turns a block of all rows and `BLOCK` columns."""
    block = [f.load(f.at(row, at), BLOCK) for row in rows]
    if len(rows) == 2 * BLOCK:  # two blocks side by side
        halves = zip(block[:BLOCK], block[BLOCK:], strict=True)
        block = [f.shuffle(x, y, range(2 * BLOCK)) for x, y in halves]
    width = f.parameters["width"]
    place = f.at(target, at * width)
    for column in _turned(f, block):
        f.store(column, place)
        place = f.at(place, width)


def _turned(f: Function, rows: Sequence[Value]) -> list[Value]:
    """The columns of four rows of four, in each four lanes."""
    a, b, c, d = rows
    lanes = a.lanes

    def mixed(x: Value, y: Value, pattern: Sequence[int]) -> Value:
        blocks = range(0, lanes, BLOCK)
        places = [at % BLOCK + at // BLOCK * lanes for at in pattern]
        return f.shuffle(x, y, [block + place for block in blocks for place in places])

    even, odd, low, high = [0, 4, 2, 6], [1, 5, 3, 7], [0, 1, 4, 5], [2, 3, 6, 7]
    pairs = [(mixed(a, b, places), mixed(c, d, places)) for places in (even, odd)]
    return [mixed(x, y, half) for half in (low, high) for x, y in pairs]


def add_copies(module: Module, shape: Shape) -> None:
    """Adds `copy1`, `copy2`, … of panels with so many vectors of columns, the last one beginning at
    `last`, and `copy_narrow` of one with `last` columns: rows of B, `stride` apart, one behind the
    other in each panel.
    """
    lanes = shape.lanes
    for vectors in range(shape.vectors + 1):
        f = Function(
            module,
            name_of("copy", vectors),
            "array source, i64 stride, i64 k, array target, i64 last, i64 panels",
        )
        p, width = f.parameters, max(vectors, 1) * lanes
        mask = None if vectors else f.places(0, lanes) < p["last"]
        places: list[Value | int] = [*range(0, width, lanes)]
        if vectors > 1:
            places[-1] = p["last"]
        with f.each(p["k"]) as i, f.each(p["panels"]) as panel:
            row = f.at(p["source"], i * p["stride"] + panel * width)
            columns = [f.load(f.at(row, place), lanes, mask) for place in places]
            target = f.at(p["target"], panel * (width * CHAIN) + i * width)
            for v, column in enumerate(columns):
                f.store(column, f.at(target, v * lanes))
        f.end()


def add_copy_tiles(module: Module, shape: Shape) -> None:
    """Adds `copy_tiles`: the rows of some whole tiles of a transposed A, tile by tile."""
    f = Function(module, "copy_tiles", "array source, i64 stride, i64 rows, i64 k, array target")
    p = f.parameters
    with f.each(p["k"]) as i:
        source = f.at(p["source"], i * p["stride"])
        target = f.at(p["target"], i * shape.rows)
        with f.each(p["rows"], shape.rows) as row:
            numbers = f.load(f.at(source, row), shape.rows)
            f.store(numbers, f.at(target, row // shape.rows * shape.tile))
    f.end()
