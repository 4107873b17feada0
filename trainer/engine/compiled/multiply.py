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
    BLOCK,
    CHAIN,
    Shape,
    add_copies,
    add_copy_tiles,
    add_panel,
    add_turn,
)

NAMES: Final = ("product_nn", "product_nt", "product_tn", "product_column")
PARAMETERS: Final = "i64 m, i64 n, i64 k, ptr a, i64 lda, ptr b, i64 ldb, ptr out, i64 ldo"
STRIP: Final = 256  # columns of a transposed product that are computed before they are turned
CHAINS: Final = 32  # of a product with one column
SLIM: Final = 4  # so few columns are computed as rows, though A has to be turned, in wide vectors
FAR: Final = 512  # numbers between rows from which on packing pays,
PACK_A: Final = 128  # of a transposed A if there are so many columns,
PACK_B: Final = 64  # of B if there are so many rows,
MANY: Final = 256  # or so many, however near its rows are
PANELS: Final = 4  # of B that are packed at once: 192 KB
ROWS: Final = 48 * 1024  # bytes of A that meet all of them before others do


def products_text(dtype: str, target: Target) -> str:
    """LLVM's text of all products of a dtype.

    Each is `void f(i64 m, i64 n, i64 k, ptr a, i64 lda, ptr b, i64 ldb, ptr out, i64 ldo)`.
    """
    shape, module = Shape.of(dtype, target), Module()
    for vectors in range(shape.vectors + 1):
        add_panel(module, shape, vectors)
    for group in sorted({BLOCK, min(shape.lanes, 2 * BLOCK)}):
        add_turn(module, shape, group)
    add_copies(module, shape)
    add_copy_tiles(module, shape)
    _add_pack(module, shape)
    _add_block(module, shape)
    _add_multiply(module, shape)
    _add_tall(module, shape)
    for form in ("nn", "nt", "tn"):
        _add_form(module, shape, form)
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
    panels = f.array(real, PANELS * shape.width * CHAIN)
    height = ROWS // (CHAIN * real.bytes)
    tiles = f.array(real, height // shape.rows * shape.tile)
    with f.when(k.equals(0)), f.each(m) as i, f.each(n) as j:
        f.store(real, f.zeros(real.name), f.at(real, p["out"], i * ldo + j))

    narrow = n < lanes
    pack_a = a_row.equals(1) & (n >= PACK_A) & (a_k >= FAR)
    pack_b = p["turned"] | narrow | ((m >= PACK_B) & (ldb >= FAR)) | (m >= MANY)
    with f.each(k, CHAIN) as k0:
        deep = (k - k0).or_less(CHAIN)
        with f.while_more([n, f.whole(0)]) as blocks:
            left, j0 = blocks.values
            width = _part(left, PANELS * shape.vectors, lanes)
            source = f.at(real, p["b"], p["turned"].choose(j0 * ldb + k0, k0 * ldb + j0))
            with f.when(pack_b):
                f.call("pack", width, deep, source, ldb, p["turned"], panels)
            b = pack_b.choose(panels, source)
            with f.each(m, height) as i0:
                high = (m - i0).or_less(height)
                a = f.at(real, p["a"], i0 * a_row + k0 * a_k)
                whole = pack_a.choose(high // shape.rows * shape.rows, 0)
                rest = high - whole
                out = f.at(real, p["out"], i0 * ldo + j0)
                with f.when(whole > 0):
                    f.call("copy_tiles", a, a_k, whole, deep, tiles)
                    f.call("block", whole, width, deep, tiles, 1, shape.rows, shape.tile,
                           b, ldb, pack_b, out, ldo, k0 > 0)  # fmt: skip
                with f.when(rest > 0):
                    a_rest, out_rest = f.at(real, a, whole * a_row), f.at(real, out, whole * ldo)
                    f.call("block", rest, width, deep, a_rest, a_row, a_k, a_row * shape.rows,
                           b, ldb, pack_b, out_rest, ldo, k0 > 0)  # fmt: skip
            blocks.next = [left - width, j0 + width]
    f.end()


def _part(left: Value, most: int, lanes: int) -> Value:
    """How many of the columns that are left come next: whole vectors, `most` or less, so that no
    single vector is left over, which could not begin earlier.
    """
    vectors = (left + (lanes - 1)) // lanes
    vectors = vectors.equals(most + 1).choose(most - 1, vectors.or_less(most))
    return (vectors * lanes).or_less(left)


def _add_pack(module: Module, shape: Shape) -> None:
    """Adds `pack`: some columns of B, panel by panel, row by row."""
    f = Function(module, "pack", "i64 n, i64 k, ptr b, i64 ldb, i1 turned, ptr target")
    p, real, lanes = f.parameters, shape.real, shape.lanes
    n, k, b, ldb = p["n"], p["k"], p["b"], p["ldb"]
    narrow = n < lanes
    vectors = (n + (lanes - 1)) // lanes
    whole = (vectors - 2) // shape.vectors
    whole = (p["turned"] | (vectors < 3)).choose(0, whole)
    with f.when(whole > 0):
        f.call("copy3", b, ldb, k, p["target"], shape.width - lanes, whole)
    with f.while_more([n - whole * shape.width, whole * shape.width]) as panels:
        left, j = panels.values
        width = _part(left, shape.vectors, lanes)
        vectors = (width + (lanes - 1)) // lanes
        target = f.at(real, p["target"], j * CHAIN)
        with f.when(p["turned"]), f.each(vectors) as v:
            begin = (v * lanes).or_less(narrow.choose(0, width - lanes))
            source = f.at(real, p["b"], (j + begin) * ldb)
            to = f.at(real, target, v * lanes)
            turn = f"turn{min(lanes, 2 * BLOCK)}"
            f.call(turn, source, ldb, n.or_less(lanes), k, to, vectors * lanes, lanes)
        with f.when(p["turned"].equals(0)):
            copy = _chosen(f, shape, vectors, narrow, "copy")
            last = narrow.choose(n, width - lanes)
            f.call(copy, f.at(real, p["b"], j), ldb, k, target, last, 1)
        panels.next = [left - width, j + width]
    f.end()


def _add_block(module: Module, shape: Shape) -> None:
    """Adds `block`: some rows and columns of out = A B over one chain, panel by panel."""
    f = Function(
        module, "block",
        "i64 m, i64 n, i64 k, ptr a, i64 a_row, i64 a_k, i64 a_tile, ptr b, i64 ldb, i1 packed, "
        "ptr out, i64 ldo, i1 later",
    )  # fmt: skip
    p, real, lanes = f.parameters, shape.real, shape.lanes
    narrow, packed = p["n"] < lanes, p["packed"]
    with f.while_more([p["n"], f.whole(0)]) as panels:
        left, j = panels.values
        width = _part(left, shape.vectors, lanes)
        vectors = (width + (lanes - 1)) // lanes
        last = narrow.choose(p["n"], width - lanes)
        f.call(
            _chosen(f, shape, vectors, narrow, "panel"),
            p["m"], p["k"], p["a"], p["a_row"], p["a_k"], p["a_tile"],
            f.at(real, p["b"], packed.choose(j * CHAIN, j)),
            packed.choose(vectors * lanes, p["ldb"]),
            packed.choose((vectors - 1) * lanes, last),
            f.at(real, p["out"], j), p["ldo"], last, p["later"],
        )  # fmt: skip
        panels.next = [left - width, j + width]
    f.end()


def _chosen(f: Function, shape: Shape, vectors: Value, narrow: Value, name: str) -> Value:
    """The function of this name for so many vectors."""
    found = f.name(f"{name}{shape.vectors}")
    for fewer in range(shape.vectors - 1, 0, -1):
        found = vectors.equals(fewer).choose(f.name(f"{name}{fewer}"), found)
    return narrow.choose(f.name(f"{name}_narrow"), found)


def _add_form(module: Module, shape: Shape, form: str) -> None:
    """Adds the product of a form, as it is called: `nn`, `nt` with B's, `tn` with A's transpose."""
    f = Function(module, f"product_{form}", PARAMETERS, exported=True)
    m, n, k, a, lda, b, ldb, out, ldo = f.parameters.values()
    a_turned, b_turned = form[0] == "t", form[1] == "t"
    a_row, a_k = (f.whole(1), lda) if a_turned else (lda, f.whole(1))
    b_n, b_k = (ldb, f.whole(1)) if b_turned else (f.whole(1), ldb)
    most = shape.lanes - 1 if a_turned else SLIM if shape.lanes > 8 else 0
    slim = n < most + 1
    with f.when(slim):
        f.call("tall", m, n, k, a, lda, f.flag(not a_turned), b, b_n, b_k, out, ldo)
    with f.when(slim.equals(0)):
        f.call("multiply", m, n, k, a, a_row, a_k, b, ldb, f.flag(b_turned), out, ldo)
    f.end()


def _add_tall(module: Module, shape: Shape) -> None:
    """Adds `tall`: out = A B of less than a vector of columns: the transpose of B^T A^T, whose rows
    are long. A is (m, k) if `turned`, else (k, m); `b_n` and `b_k` are B's strides.
    """
    f = Function(
        module, "tall",
        "i64 m, i64 n, i64 k, ptr a, i64 lda, i1 turned, ptr b, i64 b_n, i64 b_k, ptr out, i64 ldo",
    )  # fmt: skip
    real = shape.real
    m, n, k, a, lda, turned, b, b_n, b_k, out, ldo = f.parameters.values()
    strip = f.array(real, shape.lanes * STRIP)
    contiguous = n.equals(1) & ldo.equals(1)
    with f.when(contiguous):
        f.call("multiply", n, m, k, b, b_n, b_k, a, lda, turned, out, m)
    with f.when(contiguous.equals(0)), f.each(m, STRIP) as i0:
        width, target = (m - i0).or_less(STRIP), f.at(real, out, i0 * ldo)
        a_i = f.at(real, a, turned.choose(i0 * lda, i0))
        f.call("multiply", n, width, k, b, b_n, b_k, a_i, lda, turned, strip, STRIP)
        with f.when(n >= BLOCK):
            f.call(f"turn{BLOCK}", strip, STRIP, n, width, target, ldo, n)
        with f.when(n < BLOCK), f.each(width) as i, f.each(n) as j:
            value = f.load(real, f.at(real, strip, j * STRIP + i))
            f.store(real, value, f.at(real, target, i * ldo + j))
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
