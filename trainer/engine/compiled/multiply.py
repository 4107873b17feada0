"""Matrix products in one canonical order of additions, for generated kernels.

Every element of a product is a sum over k: chains of fma over `CHAIN` consecutive k, each from +0,
added in order. A product with one column is 32 chains, the k-th product in chain k mod 32, added by
halves. Tiles, packing, threads and the CPU's vectors are free: they decide when an element is
computed, not how. So a product's bits are a function of its operands.

The loops, from the outside in: over chains; over blocks of B's columns, `PANELS` panels that are
packed where that pays and stay in the second cache; over groups of A's rows, `ROWS` bytes; over the
panels of a block; over the tiles of a panel (see `tiles.py`), whose sums stay in registers.
"""

from __future__ import annotations

from typing import Final

from trainer.engine.compiled.arithmetic import Value
from trainer.engine.compiled.column import add_column
from trainer.engine.compiled.function import Function, Module
from trainer.engine.compiled.target import Target
from trainer.engine.compiled.tiles import (
    BLOCK,
    CHAIN,
    PARAMETERS,
    Shape,
    add_copies,
    add_copy_tiles,
    add_panel,
    add_turn,
    name_of,
)

NAMES: Final = ("product_nn", "product_nt", "product_tn", "product_column")
STRIP: Final = 256  # columns of a transposed product that are computed before they are turned
SLIM: Final = 4  # so few columns are computed as rows, though A has to be turned, in wide vectors
FAR: Final = 512  # numbers between rows from which on packing pays,
PACK_A: Final = 128  # of a transposed A if there are so many columns,
PACK_B: Final = 64  # of B if there are so many rows,
MANY: Final = 256  # or so many, however near its rows are
PANELS: Final = 8  # of B that are packed at once: 384 KB
ROWS: Final = 48 * 1024  # bytes of A that meet all of them before others do


def products_text(dtype: str, target: Target) -> str:
    """LLVM's text of all products of a dtype.

    Each is `void f(…)` of `PARAMETERS`, over row-major arrays; `out` is overwritten, and overlaps
    neither `a` nor `b`. Threads may call them at once: what is packed lies on the stack, 256 KB.
    """
    shape = Shape.of(dtype, target)
    module = Module(shape.real)
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
    add_column(module, shape)
    return str(module)


def _add_multiply(module: Module, shape: Shape) -> None:
    """Adds `multiply`: out = A B, with A's strides from row to row and from k to k, and B of
    (k, n), or of (n, k) if `turned`.
    """
    f = Function(
        module, "multiply",
        "i64 m, i64 n, i64 k, array a, i64 a_row, i64 a_k, array b, i64 ldb, i1 turned, "
        "array out, i64 ldo",
    )  # fmt: skip
    p, lanes = f.parameters, shape.lanes
    m, n, k, a_row, a_k, ldb, ldo = (
        p[name] for name in ("m", "n", "k", "a_row", "a_k", "ldb", "ldo")
    )
    panels = f.array(PANELS * shape.width * CHAIN)
    height = ROWS // (CHAIN * shape.real.bytes)
    tiles = f.array(height // shape.rows * shape.tile)
    with f.when(k.equals(0)), f.each(m) as i, f.each(n) as j:
        f.store(f.number(0.0), f.at(p["out"], i * ldo + j))

    narrow = n < lanes
    pack_a = a_row.equals(1) & (n >= PACK_A) & (a_k >= FAR)
    pack_b = p["turned"] | narrow | ((m >= PACK_B) & (ldb >= FAR)) | (m >= MANY)
    with f.each(k, CHAIN) as k0:
        deep = (k - k0).or_less(CHAIN)
        with f.while_more([n, f.whole(0)]) as blocks:
            left, j0 = blocks.values
            width = _part(left, PANELS * shape.vectors, lanes)
            source = f.at(p["b"], p["turned"].choose(j0 * ldb + k0, k0 * ldb + j0))
            with f.when(pack_b):
                f.call("pack", width, deep, source, ldb, p["turned"], panels)
            b = pack_b.choose(panels, source)
            with f.each(m, height) as i0:
                high = (m - i0).or_less(height)
                a = f.at(p["a"], i0 * a_row + k0 * a_k)
                whole = pack_a.choose(high // shape.rows * shape.rows, 0)
                rest = high - whole
                out = f.at(p["out"], i0 * ldo + j0)
                with f.when(whole > 0):
                    f.call("copy_tiles", a, a_k, whole, deep, tiles)
                    f.call("block", whole, width, deep, tiles, 1, shape.rows, shape.tile,
                           b, ldb, pack_b, out, ldo, k0 > 0)  # fmt: skip
                with f.when(rest > 0):
                    a_rest, out_rest = f.at(a, whole * a_row), f.at(out, whole * ldo)
                    f.call("block", rest, width, deep, a_rest, a_row, a_k, a_row * shape.rows,
                           b, ldb, pack_b, out_rest, ldo, k0 > 0)  # fmt: skip
            blocks.next = [left - width, j0 + width]
    f.end()


def _part(left: Value, most: int, lanes: int) -> Value:
    """How many of the columns that are left come next: `most` vectors or less, so that no single
    one is left over. It could not begin earlier: the columns in common would be added twice.
    """
    vectors = (left + (lanes - 1)) // lanes
    vectors = vectors.equals(most + 1).choose(most - 1, vectors.or_less(most))
    return (vectors * lanes).or_less(left)


def _add_pack(module: Module, shape: Shape) -> None:
    """Adds `pack`: some columns of B, panel by panel, row by row."""
    f = Function(module, "pack", "i64 n, i64 k, array b, i64 ldb, i1 turned, array target")
    p, lanes = f.parameters, shape.lanes
    n, k, b, ldb = p["n"], p["k"], p["b"], p["ldb"]
    narrow = n < lanes
    vectors = (n + (lanes - 1)) // lanes
    whole = (p["turned"] | (vectors < 3)).choose(0, (vectors - 2) // shape.vectors)
    with f.when(whole > 0):  # all but the last ones at once, row by row
        copy = name_of("copy", shape.vectors)
        f.call(copy, b, ldb, k, p["target"], shape.width - lanes, whole)
    with f.while_more([n - whole * shape.width, whole * shape.width]) as panels:
        left, j = panels.values
        width = _part(left, shape.vectors, lanes)
        vectors = (width + (lanes - 1)) // lanes
        target = f.at(p["target"], j * CHAIN)
        with f.when(p["turned"]), f.each(vectors) as v:
            begin = (v * lanes).or_less(narrow.choose(0, width - lanes))
            source = f.at(b, (j + begin) * ldb)
            to = f.at(target, v * lanes)
            turn = f"turn{min(lanes, 2 * BLOCK)}"
            f.call(turn, source, ldb, n.or_less(lanes), k, to, vectors * lanes, lanes)
        with f.when(~p["turned"]):
            chosen = _chosen(f, shape, vectors, narrow, "copy")
            last = narrow.choose(n, width - lanes)
            f.call(chosen, f.at(b, j), ldb, k, target, last, 1)
        panels.next = [left - width, j + width]
    f.end()


def _add_block(module: Module, shape: Shape) -> None:
    """Adds `block`: some rows and columns of out = A B over one chain, panel by panel."""
    f = Function(
        module, "block",
        "i64 m, i64 n, i64 k, array a, i64 a_row, i64 a_k, i64 a_tile, "
        "array b, i64 ldb, i1 packed, array out, i64 ldo, i1 later",
    )  # fmt: skip
    p, lanes = f.parameters, shape.lanes
    narrow, packed = p["n"] < lanes, p["packed"]
    with f.while_more([p["n"], f.whole(0)]) as panels:
        left, j = panels.values
        width = _part(left, shape.vectors, lanes)
        vectors = (width + (lanes - 1)) // lanes
        last = narrow.choose(p["n"], width - lanes)
        f.call(
            _chosen(f, shape, vectors, narrow, "panel"),
            p["m"], p["k"], p["a"], p["a_row"], p["a_k"], p["a_tile"],
            f.at(p["b"], packed.choose(j * CHAIN, j)),
            packed.choose(vectors * lanes, p["ldb"]),
            packed.choose((vectors - 1) * lanes, last),
            f.at(p["out"], j), p["ldo"], last, p["later"],
        )  # fmt: skip
        panels.next = [left - width, j + width]
    f.end()


def _chosen(f: Function, shape: Shape, vectors: Value, narrow: Value, what: str) -> Value:
    """The function for a panel of so many vectors."""
    found = f.name(name_of(what, shape.vectors))
    for fewer in range(shape.vectors - 1, 0, -1):
        found = vectors.equals(fewer).choose(f.name(name_of(what, fewer)), found)
    return narrow.choose(f.name(name_of(what, 0)), found)


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
        f.call("tall", m, n, k, a, lda, f.whole(not a_turned, "bool"), b, b_n, b_k, out, ldo)
    with f.when(~slim):
        f.call("multiply", m, n, k, a, a_row, a_k, b, ldb, f.whole(b_turned, "bool"), out, ldo)
    f.end()


def _add_tall(module: Module, shape: Shape) -> None:
    """Adds `tall`: out = A B of less than a vector of columns: the transpose of B^T A^T, whose rows
    are long. A is (m, k) if `turned`, else (k, m); `b_n` and `b_k` are B's strides.
    """
    f = Function(
        module, "tall",
        "i64 m, i64 n, i64 k, array a, i64 lda, i1 turned, array b, i64 b_n, i64 b_k, "
        "array out, i64 ldo",
    )  # fmt: skip
    m, n, k, a, lda, turned, b, b_n, b_k, out, ldo = f.parameters.values()
    strip = f.array(shape.lanes * STRIP)
    contiguous = n.equals(1) & ldo.equals(1)
    with f.when(contiguous):
        f.call("multiply", n, m, k, b, b_n, b_k, a, lda, turned, out, m)
    with f.when(~contiguous), f.each(m, STRIP) as i0:
        width, target = (m - i0).or_less(STRIP), f.at(out, i0 * ldo)
        a_i = f.at(a, turned.choose(i0 * lda, i0))
        f.call("multiply", n, width, k, b, b_n, b_k, a_i, lda, turned, strip, STRIP)
        with f.when(n >= BLOCK):
            f.call(f"turn{BLOCK}", strip, STRIP, n, width, target, ldo, n)
        with f.when(n < BLOCK), f.each(width) as i, f.each(n) as j:
            value = f.load(f.at(strip, j * STRIP + i))
            f.store(value, f.at(target, i * ldo + j))
    f.end()
