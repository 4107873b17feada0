"""Matrix products in one canonical order of additions, for generated kernels.

Every element of a product is a sum over k: chains of fma over `CHAIN` consecutive k, each from +0,
added in order. A product with one column is 32 chains, the k-th product in chain k mod 32, added by
halves. Tiles, packing, threads and the CPU's vectors are free: they decide when an element is
computed, not how. So a product's bits are a function of its operands.
"""

from __future__ import annotations

from typing import Final

from trainer.engine.compiled.irtext import Function, Module, Value
from trainer.engine.compiled.target import Target
from trainer.engine.compiled.tiles import (
    CHAIN,
    Shape,
    add_copy,
    add_panel,
    add_turn,
    name_of,
)

NAMES: Final = ("product_nn", "product_nt", "product_tn", "product_column")
PARAMETERS: Final = "i64 m, i64 n, i64 k, ptr a, i64 lda, ptr b, i64 ldb, ptr out, i64 ldo"
STRIP: Final = 256  # columns of a transposed product that are computed before they are turned
CHAINS: Final = 32  # of a product with one column
PACK_A: Final = (512, 64)  # least n and k for which rows of A are packed
PACK_B: Final = (64, 512)  # least m, and numbers between rows of B, for which it is packed
PACKED: Final = 192 * 1024  # bytes of packed rows of A
ROWS: Final = 512 * 1024  # bytes of A that are used for all panels of B before others are


def products_text(dtype: str, target: Target) -> str:
    """LLVM's text of all products of a dtype.

    Each is `void f(i64 m, i64 n, i64 k, ptr a, i64 lda, ptr b, i64 ldb, ptr out, i64 ldo)`.
    """
    shape, module = Shape.of(dtype, target), Module()
    for vectors in range(shape.vectors + 1):
        add_panel(module, shape, vectors)
    add_turn(module, shape)
    for lanes in sorted({shape.lanes, shape.rows}):
        add_copy(module, shape, lanes)
    add_copy(module, shape, shape.lanes, narrow=True)
    _add_multiply(module, shape)
    _add_forms(module, shape)
    _add_column(module, shape)
    return str(module)


def _add_multiply(module: Module, shape: Shape) -> None:
    """Adds `multiply`: out = A B, with A's strides from row to row and from k to k, and B of
    (k, n), or of (n, k) if `turned`.
    """
    f = Function(
        module, "multiply",
        "i64 m, i64 n, i64 k, ptr a, i64 a_row, i64 a_k, ptr b, i64 ldb, i1 turned, "
        "ptr out, i64 ldo",
    )  # fmt: skip
    p, real, lanes = f.parameters, shape.real, shape.lanes
    m, n, k, a_row, a_k, ldb, ldo = (
        p[name] for name in ("m", "n", "k", "a_row", "a_k", "ldb", "ldo")
    )
    panel_b = f.array(real, shape.width * CHAIN)
    panels_a = f.array(real, PACKED // real.bytes)
    with f.when(k.equals(0)), f.each(m) as i, f.each(n) as j:
        f.store(real, f.zeros(real.name), f.at(real, p["out"], i * ldo + j))

    narrow = n < lanes
    pack_a = (n >= PACK_A[0]) & (k >= PACK_A[1]) & (m >= shape.rows)
    pack_b = p["turned"] | narrow | ((m >= PACK_B[0]) & (ldb >= PACK_B[1]))
    block = pack_a.choose(PACKED // (CHAIN * real.bytes), ROWS // (CHAIN * real.bytes))
    with f.each(k, CHAIN) as k0, f.each(m, block) as m0:
        deep = (k - k0).or_less(CHAIN)
        high = (m - m0).or_less(block)
        a = f.at(real, p["a"], m0 * a_row + k0 * a_k)
        whole = pack_a.choose(high // shape.rows * shape.rows, 0)
        with f.each(whole, shape.rows) as i:
            source, panel = f.at(real, a, i * a_row), f.at(real, panels_a, i * CHAIN)
            with f.when(a_k.equals(1)):
                f.call(
                    "turn", source, a_row, f.whole(shape.rows), deep, panel, shape.rows, shape.rows
                )
            with f.when(a_row.equals(1)):
                f.call(f"copy{shape.rows}", source, a_k, deep, panel, shape.rows)
        with f.while_more([n, f.whole(0)]) as columns:
            left, j = columns.values
            vectors = (left + (lanes - 1)) // lanes
            vectors = vectors.equals(shape.vectors + 1).choose(
                shape.vectors - 1, vectors.or_less(shape.vectors)
            )  # no single vector is left over, as it could not begin earlier
            wide = (vectors * lanes).or_less(left)
            last = narrow.choose(n, wide - lanes)
            source = f.at(real, p["b"], p["turned"].choose(j * ldb + k0, k0 * ldb + j))
            with f.when(pack_b), f.each(vectors) as v:
                begin = (v * lanes).or_less(narrow.choose(0, wide - lanes))
                to = f.at(real, panel_b, v * lanes)
                with f.when(p["turned"]):
                    source_v = f.at(real, source, begin * ldb)
                    f.call("turn", source_v, ldb, n.or_less(lanes), deep, to, shape.width, lanes)
                with f.when(f.neither(p["turned"], narrow)):
                    f.call(f"copy{lanes}", f.at(real, source, begin), ldb, deep, to, shape.width)
            with f.when(narrow & p["turned"].equals(0)):
                f.call("copy_narrow", source, ldb, deep, panel_b, shape.width, n)
            b, b_k = pack_b.choose(panel_b, source), pack_b.choose(shape.width, ldb)
            b_last = pack_b.choose((vectors - 1) * lanes, last)
            panel = f.name(name_of(shape.vectors))
            for fewer in range(shape.vectors - 1, 0, -1):
                panel = vectors.equals(fewer).choose(f.name(name_of(fewer)), panel)
            panel = narrow.choose(f.name(name_of(0)), panel)
            out = f.at(real, p["out"], m0 * ldo + j)
            rest = high - whole
            with f.when(whole > 0):
                f.call(panel, whole, deep, panels_a, 1, shape.rows, shape.rows * CHAIN,
                       b, b_k, b_last, out, ldo, last, k0 > 0)  # fmt: skip
            with f.when(rest > 0):
                a_rest = f.at(real, a, whole * a_row)
                f.call(panel, rest, deep, a_rest, a_row, a_k, a_row * shape.rows,
                       b, b_k, b_last, f.at(real, out, whole * ldo), ldo, last, k0 > 0)  # fmt: skip
            columns.next = [left - wide, j + wide]
    f.end()


def _add_forms(module: Module, shape: Shape) -> None:
    """Adds the products of two matrices, as they are called."""
    real = shape.real
    f = Function(module, "product_nn", PARAMETERS, exported=True)
    m, n, k, a, lda, b, ldb, out, ldo = f.parameters.values()
    f.call("multiply", m, n, k, a, lda, 1, b, ldb, f.flag(False), out, ldo)
    f.end()

    f = Function(module, "product_nt", PARAMETERS, exported=True)
    m, n, k, a, lda, b, ldb, out, ldo = f.parameters.values()
    turned = (k.equals(1) & ldb.equals(1)).choose(f.flag(False), f.flag(True))
    f.call("multiply", m, n, k, a, lda, 1, b, ldb, turned, out, ldo)
    f.end()

    f = Function(module, "product_tn", PARAMETERS, exported=True)
    m, n, k, a, lda, b, ldb, out, ldo = f.parameters.values()
    strip = f.array(real, shape.lanes // 2 * STRIP)
    slim = n * 2 < shape.lanes + 1
    alone = n.equals(1) & ldo.equals(1)  # out's transpose is as contiguous as out
    with f.when(alone):
        f.call("multiply", n, m, k, b, 1, ldb, a, lda, f.flag(False), out, m)
    with f.when(f.neither(alone, slim)):
        f.call("multiply", m, n, k, a, 1, lda, b, ldb, f.flag(False), out, ldo)
    with f.when(f.neither(alone, f.neither(slim, slim))), f.each(m, STRIP) as i0:
        wide = (m - i0).or_less(STRIP)
        f.call(
            "multiply", n, wide, k, b, 1, ldb, f.at(real, a, i0), lda, f.flag(False), strip, STRIP
        )
        with f.each(wide) as i, f.each(n) as j:
            value = f.load(real, f.at(real, strip, j * STRIP + i))
            f.store(real, value, f.at(real, out, (i0 + i) * ldo + j))
    f.end()


def _add_column(module: Module, shape: Shape) -> None:
    """Adds `product_column`: a product with one column, of contiguous rows of A and b."""
    f = Function(module, "product_column", PARAMETERS, exported=True)
    p, real, lanes = f.parameters, shape.real, shape.lanes
    parts = CHAINS // lanes
    rows = 2 * shape.rows // parts
    with f.while_more([p["m"], p["a"], p["out"]]) as tiles:
        left, a, out = tiles.values
        row = [f.whole(0), *((left - 1).or_less(i) for i in range(1, rows))]
        a_at = [i * p["lda"] for i in row]
        zeros = [f.zeros(real.vector(lanes))] * (rows * parts)
        with f.while_more([p["k"], a, p["b"], *zeros], CHAINS - 1) as loop:
            k, a_k, b_k, *sums = loop.values
            sums = _chained(f, shape, a_k, a_at, b_k, sums, None)
            loop.next = [k - CHAINS, f.at(real, a_k, CHAINS), f.at(real, b_k, CHAINS), *sums]
        k, a_k, b_k, *sums = loop.values
        with f.when(k > 0, sums) as rest:
            rest.next = _chained(f, shape, a_k, a_at, b_k, sums, k)
        sums = rest.values
        totals = _added_by_halves(f, [sums[i : i + parts] for i in range(0, len(sums), parts)])
        for i, at in enumerate(row):
            f.store(real, f.lane(totals, i), f.at(real, out, at * p["ldo"]))
        tiles.next = [
            left - rows,
            f.at(real, a, p["lda"] * rows),
            f.at(real, out, p["ldo"] * rows),
        ]
    f.end()


def _chained(
    f: Function, shape: Shape, a: Value, a_at: list[Value], b: Value, sums: list[Value],
    count: Value | None,
) -> list[Value]:  # fmt: skip
    """The chains of some rows after one more product each; of the first `count` alone, if given."""
    real, lanes = shape.real, shape.lanes
    found = list(sums)
    parts = CHAINS // lanes
    for part in range(parts):
        start = part * lanes
        mask = None if count is None else f.first(count, lanes, start)
        column = f.load(real, f.at(real, b, start), lanes, mask)
        for row, at in enumerate(a_at):
            numbers = f.load(real, f.at(real, f.at(real, a, at), start), lanes, mask)
            before = sums[row * parts + part]
            after = f.fma(real, numbers, column, before)
            found[row * parts + part] = after if mask is None else f.blend(mask, after, before)
    return found


def _added_by_halves(f: Function, rows: list[list[Value]]) -> Value:
    """A vector with the total of each row: its lane l and lane l + half, until there is one."""
    while len(rows[0]) > 1:
        half = len(rows[0]) // 2
        rows = [[f.add(x, y) for x, y in zip(r[:half], r[half:], strict=True)] for r in rows]
    vectors = [r[0] for r in rows]
    lanes = f.lanes(vectors[0])
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
        vectors = [f.add(f.shuffle(x, y, low), f.shuffle(x, y, high)) for x, y in pairs]
        groups, size = groups * len(both), size // 2
        lanes = f.lanes(vectors[0])
    return vectors[0]
