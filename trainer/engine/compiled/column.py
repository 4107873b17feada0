"""A product with one column: every element is a row of A times b, 32 sums side by side.

Its sums run along k, so that A is read as it lies in memory; as a product of matrices with one
column it would have to be turned. The k-th product goes to the chain of fma number k mod 32; then
chains are added by halves, l and l + 16, then l + 8, and so on.
"""

from __future__ import annotations

from typing import Final

from trainer.engine.compiled.arithmetic import Value
from trainer.engine.compiled.function import Function, Module
from trainer.engine.compiled.tiles import PARAMETERS, Shape

CHAINS: Final = 32


def add_column(module: Module, shape: Shape) -> None:
    """Adds `product_column`: a product with one column, of contiguous rows of A and b."""
    f = Function(module, "product_column", PARAMETERS, exported=True)
    p, lanes = f.parameters, shape.lanes
    parts = CHAINS // lanes
    rows = 2 * shape.rows // parts
    with f.while_more([p["m"], p["a"], p["out"]]) as tiles:
        left, a, out = tiles.values
        row = [f.whole(0), *((left - 1).or_less(i) for i in range(1, rows))]
        a_at = [i * p["lda"] for i in row]
        zeros = [f.number(0.0, lanes)] * (rows * parts)
        with f.while_more([p["k"], a, p["b"], *zeros], CHAINS - 1) as loop:
            k, a_k, b_k, *sums = loop.values
            sums = _chained(f, shape, a_k, a_at, b_k, sums, None)
            loop.next = [k - CHAINS, f.at(a_k, CHAINS), f.at(b_k, CHAINS), *sums]
        k, a_k, b_k, *sums = loop.values
        with f.when(k > 0, sums) as rest:
            rest.next = _chained(f, shape, a_k, a_at, b_k, sums, k)
        sums = rest.values
        totals = _added_by_halves(f, [sums[i : i + parts] for i in range(0, len(sums), parts)])
        for i, at in enumerate(row):
            f.store(f.lane(totals, i), f.at(out, at * p["ldo"]))
        tiles.next = [
            left - rows,
            f.at(a, p["lda"] * rows),
            f.at(out, p["ldo"] * rows),
        ]
    f.end()


def _chained(
    f: Function, shape: Shape, a: Value, a_at: list[Value], b: Value, sums: list[Value],
    count: Value | None,
) -> list[Value]:  # fmt: skip
    """The chains of some rows after one more product each; of the first `count` alone, if given."""
    lanes = shape.lanes
    found = list(sums)
    parts = CHAINS // lanes
    for part in range(parts):
        start = part * lanes
        mask = None if count is None else f.places(start, lanes) < count
        column = f.load(f.at(b, start), lanes, mask)
        for row, at in enumerate(a_at):
            numbers = f.load(f.at(f.at(a, at), start), lanes, mask)
            before = sums[row * parts + part]
            after = f.fma(numbers, column, before)
            found[row * parts + part] = after if mask is None else mask.choose(after, before)
    return found


def _added_by_halves(f: Function, rows: list[list[Value]]) -> Value:
    """A vector with the total of each row: its lane l and lane l + half, until there is one."""
    while len(rows[0]) > 1:
        half = len(rows[0]) // 2
        rows = [[x + y for x, y in zip(r[:half], r[half:], strict=True)] for r in rows]
    vectors = [r[0] for r in rows]
    lanes = vectors[0].lanes
    groups, size = 1, lanes  # groups of lanes in a vector, each of one row
    while size > 1:
        both = [0] if len(vectors) == 1 else [0, lanes]
        pairs = list(zip(vectors[:: len(both)], vectors[len(both) - 1 :: len(both)], strict=True))
        low = [
            side + group * size + lane
            for side in both
            for group in range(groups)
            for lane in range(size // 2)
        ]
        high = [lane + size // 2 for lane in low]
        vectors = [f.shuffle(x, y, low) + f.shuffle(x, y, high) for x, y in pairs]
        groups, size = groups * len(both), size // 2
        lanes = vectors[0].lanes
    return vectors[0]
