"""The products of generated kernels: canonical bits on every CPU, in bounds, quick inside."""

from __future__ import annotations

import ctypes
import mmap
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from trainer.engine.compiled import target
from trainer.engine.compiled.column import CHAINS
from trainer.engine.compiled.function import Module
from trainer.engine.compiled.multiply import NAMES, products_text
from trainer.engine.compiled.products import load_products, tile_shape, use_loops, use_tiles
from trainer.engine.compiled.target import Target, assembly, host_target, make_object
from trainer.engine.compiled.tiles import CHAIN, Shape, add_panel

DTYPES = ["float32", "float64"]
FORMS = ["nn", "nt", "tn"]

# The canonical order, in NumPy ---------------------------------------------------------------


def two_sum(x, y):
    """The rounded sum, and what rounding took."""
    s = x + y
    part = s - x
    return s, (x - (s - part)) + (y - part)


def odd_sum(x, y):
    """x + y rounded to an odd last bit where it is not exact, so that it can be rounded again."""
    s, error = two_sum(x, y)
    even = (s.view(np.int64) & 1) == 0
    return np.where((error != 0) & even, np.nextafter(s, np.where(error > 0, np.inf, -np.inf)), s)


def two_product(x, y):
    """The rounded product, and what rounding took (Dekker)."""

    def halves(x):
        scaled = x * (2.0**27 + 1)
        high = scaled - (scaled - x)
        return high, x - high

    p, (a, b), (c, d) = x * y, halves(x), halves(y)
    return p, ((a * c - p) + a * d + b * c) + b * d


def fma(x, y, z):
    """x y + z, rounded once (for float64: Boldo and Melquiond; far from the ends of the range)."""
    if x.dtype == np.float32:
        return odd_sum(x.astype(np.float64) * y.astype(np.float64), z.astype(np.float64)).astype(
            np.float32
        )
    high, low = two_product(x, y)
    t_high, t_low = two_sum(z, low)
    v_high, v_low = two_sum(high, t_high)
    return v_high + odd_sum(t_low, v_low)


def canonical(a, b):
    """a b: chains of fma over `CHAIN` consecutive k, each from +0, added in order."""
    total = np.zeros((len(a), b.shape[1]), a.dtype)
    for start in range(0, a.shape[1], CHAIN):
        chain = np.zeros_like(total)
        for k in range(start, min(start + CHAIN, a.shape[1])):
            chain = fma(a[:, k : k + 1] + 0 * b[:1], b[k] + 0 * a[:, :1], chain)
        total = total + chain if start else chain
    return total


def canonical_column(a, b):
    """a b for one column: place k in chain k mod 32; then chains are added by halves."""
    chains = np.zeros((len(a), CHAINS), a.dtype)
    for k in range(a.shape[1]):
        at = k % CHAINS
        chains[:, at] = fma(a[:, k], b[k, 0] + 0 * a[:, k], chains[:, at])
    while chains.shape[1] > 1:
        half = chains.shape[1] // 2
        chains = chains[:, :half] + chains[:, half:]
    return chains


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fma_of_these_tests_rounds_once(dtype) -> None:
    rng = np.random.default_rng(0)
    bits = np.finfo(dtype).nmant
    x, y = (rng.integers(2**bits, 2 ** (bits + 1), (2, 3000)) / 2.0**bits).astype(dtype)
    z = (-x * y).astype(dtype)  # cancels all but the last bits, or nearly so, or hardly anything
    z[1000:] += (x[1000:] * 2.0 ** rng.integers(-60, 3, 2000)).astype(dtype)
    found = fma(x, y, z)
    for a, b, c, r in zip(x.tolist(), y.tolist(), z.tolist(), found, strict=True):
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        miss = abs(Fraction(float(r)) - exact)
        for other in np.nextafter(r, np.array([-np.inf, np.inf], dtype)):
            away = abs(Fraction(float(other)) - exact)
            assert miss < away or (miss == away and int(r.view(f"i{r.nbytes}")) % 2 == 0)
    assert (found != x * y + z).any(), "it differs from two roundings"


# CPUs ------------------------------------------------------------------------------------------

CPUS = {"haswell": "avx2", "skylake-avx512": "avx512vl", "znver4": "avx512_vbmi2"}
"""Kinds of CPU to make code for, and what of Linux's flags says that this one runs it."""


def flags() -> set[str]:
    with open("/proc/cpuinfo") as lines:
        return next((set(x.split(":")[1].split()) for x in lines if x.startswith("flags")), set())


def targets():
    host = host_target()
    yield pytest.param(host, id="host")
    for name, needed in CPUS.items():
        yield pytest.param(
            Target(host.triple, name, "+64bit"), id=name,
            marks=pytest.mark.skipif(needed not in flags(), reason="this CPU is older"),
        )  # fmt: skip


every_target = pytest.mark.parametrize("kind", list(targets()))
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
PRODUCT = ctypes.CFUNCTYPE(
    None, *[ctypes.c_int64] * 3, *[ctypes.c_void_p, ctypes.c_int64] * 3
)  # fmt: skip


@cache
def functions(dtype, kind):
    return {
        name.removeprefix("product_"): PRODUCT(address)
        for name, address in load_products(dtype, kind).addresses.items()
    }


def stride(x) -> int:
    return x.strides[0] // x.itemsize


def call(kind, form, a, b, out) -> None:
    """`out` = the product of arrays as `form` has them."""
    k = a.shape[0] if form == "tn" else a.shape[1]
    function = functions(out.dtype.name, kind)[form]
    function(*out.shape, k, a.ctypes.data, stride(a), b.ctypes.data, stride(b),
             out.ctypes.data, stride(out))  # fmt: skip


def as_form(form, a, b):
    """Contiguous operands, as `form` has them, of the product of a and b."""
    return (np.ascontiguousarray(a.T) if form == "tn" else a,
            np.ascontiguousarray(b.T) if form == "nt" else b)  # fmt: skip


def same(found, expected) -> bool:
    kind = f"i{found.itemsize}"
    return np.array_equal(np.ascontiguousarray(found).view(kind),
                          np.ascontiguousarray(expected).view(kind))  # fmt: skip


@cache
def example(m, n, k, dtype):
    """a (m, k), b (k, n) and their product."""
    rng = np.random.default_rng([m, n, k])
    a = rng.standard_normal((m, k)).astype(dtype)
    b = rng.standard_normal((k, n)).astype(dtype)
    return a, b, canonical(a, b)


def parts_of(form, a, b, m, n):
    """The operands of the first m rows and n columns: parts of larger matrices."""
    return (a[:, :m] if form == "tn" else a[:m]), (b[:n] if form == "nt" else b[:, :n])


# Bits ------------------------------------------------------------------------------------------

SMALL = [1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 23, 31, 33, 40]
LARGE = [1, 47, 48, 49, 63, 64, 65, 80, 97, 100]


@every_target
@every_dtype
@pytest.mark.parametrize("form", FORMS)
def test_bits_of_products(form, dtype, kind) -> None:
    cases = [(40, SMALL, k) for k in (1, 2, 3, 5, 16, 30)]
    cases += [(100, LARGE, k) for k in (4, 65, 255, 256, 257)]
    cases += [(49, [1, 10, 49], k) for k in (512, 513, 700)]
    for size, sizes, k in cases:
        A, B, expected = example(size, size, k, dtype)
        whole_a, whole_b = as_form(form, A, B)
        for m, n in product(sizes, sizes):
            a, b = parts_of(form, whole_a, whole_b, m, n)
            out = np.full((m, n), np.nan, dtype)
            call(kind, form, a, b, out)
            assert same(out, expected[:m, :n]), (m, n, k)


@every_target
@every_dtype
def test_bits_of_one_column(dtype, kind) -> None:
    rng = np.random.default_rng(0)
    for k in [*range(1, 70), 255, 256, 257, 1000]:
        a, b = rng.standard_normal((20, k + 3)).astype(dtype)[:, :k], None
        b = rng.standard_normal((k, 1)).astype(dtype)
        expected = canonical_column(a, b)
        for m in (1, 2, 3, 7, 8, 9, 20):
            out = np.full((m, 2), np.nan, dtype)
            call(kind, "column", a[:m], b, out[:, :1])
            assert same(out[:, :1], expected[:m]), (m, k)
            assert np.isnan(out[:, 1]).all()


@cache
def some_of_a_large_one(m, n, k, dtype):
    """a and b, rows and columns at the edges of what is packed, and what the product has there."""
    rng = np.random.default_rng([m, n, k])
    a = rng.standard_normal((m, k)).astype(dtype)
    b = rng.standard_normal((k, n)).astype(dtype)
    edges = [0, 1, 7, 8, 15, 23, 24, 46, 47, 48, 63, 64, 95, 96, 143, 144, 191, 192, 193, 255, 256]
    rows = [x for x in (*edges, m - 9, m - 2, m - 1) if x < m]
    columns = [x for x in (*edges, 510, 512, n - 17, n - 16, n - 2, n - 1) if 0 <= x < n]
    return a, b, np.ix_(rows, columns), canonical(a[rows], b[:, columns])


@every_target
@every_dtype
@pytest.mark.parametrize("form", FORMS)
def test_bits_where_panels_are_packed(form, dtype, kind) -> None:
    for m, n, k in [(75, 530, 70), (530, 77, 70), (1030, 7, 40), (513, 530, 300)]:
        A, B, places, expected = some_of_a_large_one(m, n, k, dtype)
        a, b = as_form(form, A, B)
        out = np.full((m, n), np.nan, dtype)
        call(kind, form, a, b, out)
        assert same(out[places], expected), (m, n, k)
        assert np.allclose(out, A @ B, rtol=1e-3, atol=1e-3)


@every_dtype
@pytest.mark.parametrize("form", FORMS)
def test_tiles_on_several_threads(form, dtype) -> None:
    m, n, k = 130, 150, 300
    A, B, expected = example(m, n, k, dtype)
    a, b = as_form(form, A, B)
    out = np.full((m, n), np.nan, dtype)
    rows, columns = tile_shape(form, m, n, k)

    def tile(at):
        i, j = at
        x = a[:, i : i + rows] if form == "tn" else a[i : i + rows]
        y = b[j : j + columns] if form == "nt" else b[:, j : j + columns]
        call(host_target(), form, x, y, out[i : i + rows, j : j + columns])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(tile, product(range(0, m, rows), range(0, n, columns))))
    assert same(out, expected)


ELSEWHERE = {
    "neoverse-v1": "aarch64-unknown-linux-gnu",
    "apple-m1": "arm64-apple-macosx",
    "znver5": "x86_64-unknown-linux-gnu",
}

HARNESS = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
typedef void product(int64_t, int64_t, int64_t, void *, int64_t, void *, int64_t, void *, int64_t);
product product_nn, product_nt, product_tn, product_column;
int main(void) {
  product *forms[] = {product_nn, product_nt, product_tn, product_column};
  int64_t h[7];
  while (fread(h, 8, 7, stdin) == 7) {  /* form, m, n, k, lda, ldb, bytes of a number */
    int64_t m = h[1], n = h[2], k = h[3], size = h[6];
    void *a = malloc(m * k * size), *b = malloc(k * n * size), *out = malloc(m * n * size);
    fread(a, size, m * k, stdin);
    fread(b, size, k * n, stdin);
    forms[h[0]](m, n, k, a, h[4], b, h[5], out, n);
    fwrite(out, size, m * n, stdout);
  }
}
"""


@pytest.mark.skipif(
    not (shutil.which("qemu-aarch64") and shutil.which("aarch64-linux-gnu-gcc")),
    reason="there is no qemu-aarch64 (Debian: qemu-user), or no compiler for it",
)
@every_dtype
def test_bits_on_aarch64(dtype, tmp_path) -> None:
    target.initialise_all()
    kind = Target(ELSEWHERE["neoverse-v1"], "neoverse-v1", "")
    (tmp_path / "main.c").write_text(HARNESS)
    (tmp_path / "products.o").write_bytes(make_object(products_text(dtype, kind), kind))
    build = ["aarch64-linux-gnu-gcc", "-static", "-o", "main", "main.c", "products.o"]
    subprocess.run(build, cwd=tmp_path, check=True)
    given, expected, column = [], [], None
    for k, m, n in product((1, 3, 30, 65, 257), (1, 3, 5, 13, 40), (1, 2, 5, 8, 9, 17, 40)):
        A, B, whole = example(40, 40, k, dtype)
        column = canonical_column(A, B[:, :1]) if m == n == 1 else column
        A, B = A[:m], np.ascontiguousarray(B[:, :n])
        for number, form in enumerate([*FORMS, "column"][: 4 if n == 1 else 3]):
            a, b = as_form(form, A, B)
            sizes = np.array([number, m, n, k, a.shape[1], b.shape[1], a.itemsize])
            given += [x.tobytes() for x in (sizes, a, b)]
            expected.append((column if form == "column" else whole)[:m, :n].ravel())
    done = subprocess.run(
        ["qemu-aarch64", tmp_path / "main"], input=b"".join(given), capture_output=True, check=True
    )
    assert same(np.frombuffer(done.stdout, dtype), np.concatenate(expected))


@pytest.mark.parametrize("form", [*FORMS, "column"])
def test_sizes_of_zero(form) -> None:
    for m, n, k in [(0, 1, 5), (5, 0, 5), (3, 1, 0), (0, 0, 0)]:
        out = np.full((m, n), np.nan, np.float32)
        a = np.ones((k, m) if form == "tn" else (m, k), np.float32)
        b = np.ones((n, k) if form == "nt" else (k, n), np.float32)
        call(host_target(), form, a, b, out)
        assert same(out, np.zeros((m, n), np.float32))


def test_signs_of_zero_and_what_is_no_number() -> None:
    """A chain begins with +0; nothing is flushed, and nothing of a neighbour gets in."""
    for form in FORMS:
        A = np.array([[-0.0], [1e-40], [np.inf], [np.nan], [-1e-30]], np.float32)
        B = np.array([[1, 0.5, -1, 1e-30]], np.float32)
        out = np.empty((5, 4), np.float32)
        call(host_target(), form, *as_form(form, A, B), out)
        zero, tiny = np.float32(0), np.float32(1e-40)
        assert same(out[0], np.zeros(4, np.float32))
        assert same(out[1], np.array([tiny, tiny * np.float32(0.5), -tiny, zero]))
        assert same(out[2], np.array([np.inf, np.inf, -np.inf, np.inf], np.float32))
        assert np.isnan(out[3]).all()
        assert np.isfinite(out[4]).all()
        assert same(out[4, 3:], np.array([-0.0], np.float32)), "-1e-60 is rounded to -0"


# Bounds ----------------------------------------------------------------------------------------

PAGE = mmap.PAGESIZE


class Fenced:
    """Arrays with forbidden pages before and behind them."""

    def __init__(self) -> None:
        self._maps = []

    def array(self, rows, columns, stride, dtype, at_end):
        """Rows that are `stride` apart, the first number or the last one beside a fence."""
        count = max((rows - 1) * stride + columns, 0)
        size = np.dtype(dtype).itemsize
        pages = -(-count * size // PAGE) + 2
        memory = mmap.mmap(-1, pages * PAGE)
        self._maps.append(memory)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        libc = ctypes.CDLL(None, use_errno=True)
        for fence in (start, start + (pages - 1) * PAGE):
            assert libc.mprotect(ctypes.c_void_p(fence), PAGE, 0) == 0
        offset = (pages - 1) * PAGE - count * size if at_end else PAGE
        flat = np.frombuffer(memory, dtype, count, offset)
        return np.lib.stride_tricks.as_strided(flat, (rows, columns), (stride * size, size)), flat


@every_target
@every_dtype
def test_nothing_beyond_the_arrays_is_read_or_written(dtype, kind) -> None:
    rng = np.random.default_rng(0)
    shapes = [(1, 1, 1), (5, 3, 2), (9, 17, 33), (3, 50, 7), (13, 31, 257), (70, 530, 65)]
    for (m, n, k), form, at_end in product(shapes, [*FORMS, "column"], (False, True)):
        n = 1 if form == "column" else n
        fenced = Fenced()
        sizes = ((k, m) if form == "tn" else (m, k), (n, k) if form == "nt" else (k, n), (m, n))
        more = (3, 0 if form == "column" else 515, 2)
        arrays = []
        for (rows, columns), wider in zip(sizes, more, strict=True):
            array, flat = fenced.array(rows, columns, columns + wider, dtype, at_end)
            flat[...] = np.nan
            arrays.append(array)
        a, b, out = arrays
        a[...], b[...] = rng.standard_normal(a.shape), rng.standard_normal(b.shape)
        call(kind, form, a, b, out)
        x, y = a.T if form == "tn" else a, b.T if form == "nt" else b
        assert np.allclose(out, x @ y, rtol=1e-3, atol=1e-3)
        assert np.isnan(flat).sum() == flat.size - m * n, "what is between the rows is as it was"


FAULT = """
import sys
sys.path.insert(0, {tests!r})
from test_products import Fenced, call, host_target
fenced = Fenced()
a, b, out = (fenced.array(8, 8, 8, "float32", True)[0] for _ in range(3))
a[...] = b[...] = 1
call(host_target(), "nn", a, b, out)
print("in bounds", flush=True)
call(host_target(), "nn", a, b[1:], out)
"""


def test_a_product_out_of_bounds_is_found() -> None:
    """The fences stand where they should: a row too many is beyond them."""
    source = FAULT.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout == "in bounds\n"
    assert done.returncode == -signal.SIGSEGV


# Accuracy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [*FORMS, "column"])
def test_accuracy_of_long_sums(form) -> None:
    """Over 60,000 rows, against OpenBLAS."""
    rng = np.random.default_rng(0)
    m, n, k = 16, 1 if form == "column" else 16, 60_000
    A, B = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))
    exact = A.astype(np.float64) @ B.astype(np.float64)
    out = np.empty((m, n), np.float32)
    call(host_target(), form, *as_form(form, A, B), out)
    own, blas = (np.sqrt(np.mean((x - exact) ** 2)) for x in (out, A @ B))
    assert own <= 2 * blas


# Machine code ----------------------------------------------------------------------------------


def inner_loops(text: str) -> list[list[str]]:
    """The instructions of each block with fused multiply-adds that branches back to itself."""
    loops, block, label = [], [], ""
    for line in map(str.strip, text.splitlines()):
        if named := re.match(r"([.\w$]+):", line):
            label, block = named[1], []
            continue
        block.append(line)
        if re.match(r"j\w+\s|b\.?\w*\s|cbn?z\s|tbn?z\s", line):
            if line.split()[-1] == label and any(re.match("v?fn?m[al]", x) for x in block):
                loops.append(block)
            label, block = "", []
    return loops


def spills(loop: list[str]) -> list[str]:
    """Instructions with a vector and a place on the stack."""
    return [
        line for line in loop
        if (re.search(r"[xyz]mm", line) and "(%rsp" in line)
        or (re.search(r"\b[qdsv]\d+", line) and re.search(r"\[(sp|x29)\b", line))
    ]  # fmt: skip


@pytest.mark.parametrize("cpu", [*CPUS, *ELSEWHERE, "host"])
@every_dtype
def test_accumulators_stay_in_registers(dtype, cpu) -> None:
    target.initialise_all()
    host = host_target()
    triple = ELSEWHERE.get(cpu, host.triple)
    kind = host if cpu == "host" else Target(triple, cpu, "+64bit" if "x86" in triple else "")
    loops = inner_loops(assembly(products_text(dtype, kind), kind))
    shape = Shape.of(dtype, kind)
    assert len(loops) >= sum(len(shape.heights(v)) for v in range(shape.vectors + 1))
    assert [line for loop in loops for line in spills(loop)] == []


@pytest.mark.parametrize("cpu", ["haswell", "znver4", "neoverse-v1"])
def test_a_tile_that_is_too_large_is_found(cpu) -> None:
    target.initialise_all()
    triple = ELSEWHERE.get(cpu, "x86_64-unknown-linux-gnu")
    kind = Target(triple, cpu, "+64bit" if "x86" in triple else "")
    shape = Shape.of("float32", kind)
    module = Module(shape.real)
    add_panel(module, replace(shape, rows=2 * shape.rows), shape.vectors)
    text = str(module).replace("define internal", "define")
    assert any(spills(loop) for loop in inner_loops(assembly(text, kind)))


@every_dtype
def test_the_text_leaves_no_choice(dtype) -> None:
    """Floats are added and fused, nothing else, and no flag lets LLVM do it in another way."""
    text = products_text(dtype, host_target())
    assert {*re.findall(r"\bf[a-z]+ <|\bf[a-z]+ (?:float|double)", text)} == {"fadd <"}
    assert not re.search(r"\b(fast|contract|reassoc|nnan|ninf|nsz|arcp|afn)\b", text)
    assert text == products_text(dtype, host_target())


def test_all_names_are_there() -> None:
    assert set(load_products("float32", host_target()).addresses) == set(NAMES)


@pytest.mark.parametrize(("form", "m", "n", "k", "tiled", "shape"), [
    ("nn", 32, 64, 30, False, (8, 64)),
    ("tn", 64, 128, 64, False, (16, 128)),
    ("nt", 64, 128, 64, False, (64, 32)),
    ("nn", 128, 256, 784, True, (32, 256)),
    ("tn", 2048, 10, 512, True, (528, 10)),
    ("nt", 512, 2048, 10, True, (128, 2048)),
    ("nn", 32, 2048, 1024, True, (32, 256)),
    ("nn", 512, 2048, 1024, True, (256, 192)),
    ("nt", 60_000, 784, 256, True, (512, 160)),
])  # fmt: skip
def test_tiles_depend_on_sizes_alone(form, m, n, k, tiled, shape) -> None:
    assert use_tiles(m, n, k) is tiled
    assert tile_shape(form, m, n, k) == shape


@pytest.mark.parametrize(("sizes", "loops"), [
    ((1, 2, 3), True), ((8, 8, 4), True), ((32, 64, 1), True), ((32, 64, 30), False),
])  # fmt: skip
def test_small_products_are_loops(sizes, loops) -> None:
    assert use_loops(*sizes) is loops
