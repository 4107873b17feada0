"""Matrix products for generated kernels: SciPy's BLAS, called by address, without copies.

`gemm_*` is one BLAS call, `gemm_*_tile` computes one tile of the result, over the whole inner
dimension. The shape of the tiles depends on the sizes alone and nothing is summed across them,
so the bits do not depend on who computes which tile — provided that BLAS itself uses one thread:
call within `threadpoolctl.threadpool_limits(1, "blas")`, entered after this module was imported,
which is what loads SciPy's BLAS. Such calls may run at once on several threads.

All take C-contiguous arrays of one dtype, float32 or float64, with no size of 0. `out` is
overwritten, never read, and may not overlap `a` or `b`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic
from scipy.linalg import cython_blas

_SYMBOLS = {types.float32: "trainer_sgemm", types.float64: "trainer_dgemm"}

for _symbol in _SYMBOLS.values():
    _name = _symbol.removeprefix("trainer_")
    _declared = repr(cython_blas.__pyx_capi__[_name])
    if _declared.count("int *") != 6:  # m, n, k and three leading dimensions
        raise ImportError(f"SciPy's {_name} does not take C ints: {_declared}")
    binding.add_symbol(_symbol, get_cython_function_address("scipy.linalg.cython_blas", _name))

_N, _T = ord("N"), ord("T")


@intrinsic
def _gemm(
    typing_context: Any,
    trans_a: Any, trans_b: Any, m: Any, n: Any, k: Any,
    a: Any, at_a: Any, ld_a: Any,
    b: Any, at_b: Any, ld_b: Any,
    out: Any, at_out: Any, ld_out: Any,
) -> Any:  # fmt: skip
    """BLAS's gemm, column-major, with alpha 1 and beta 0; each array from an offset on."""
    arrays = (a, b, out)
    symbol = _SYMBOLS.get(out.dtype)
    if symbol is None or any((x.dtype, x.layout) != (out.dtype, "C") for x in arrays):
        return None

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()

        def address(value: Any) -> Any:
            return builder.bitcast(cgutils.alloca_once_value(builder, value), pointer)

        def integer(i: int) -> Any:
            return context.cast(builder, values[i], signature.args[i], types.int64)

        def number(i: int, bits: int = 32) -> Any:
            return address(builder.trunc(integer(i), ir.IntType(bits)))

        def matrix(i: int) -> tuple[Any, Any]:
            data = context.make_array(signature.args[i])(context, builder, values[i]).data
            return builder.bitcast(builder.gep(data, [integer(i + 1)]), pointer), number(i + 2)

        real = context.get_value_type(out.dtype)
        arguments = [
            *(number(i, bits=8) for i in (0, 1)),
            *(number(i) for i in (2, 3, 4)),
            address(ir.Constant(real, 1.0)),
            *matrix(5),
            *matrix(8),
            address(ir.Constant(real, 0.0)),
            *matrix(11),
        ]
        kind = ir.FunctionType(ir.VoidType(), [pointer] * len(arguments))
        builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol), arguments)
        return context.get_dummy_value()

    operands = (trans_a, trans_b, m, n, k, a, at_a, ld_a, b, at_b, ld_b, out, at_out, ld_out)
    return types.void(*operands), generate


# A row-major matrix is its transpose to BLAS, and out.T = b.T @ a.T: so b comes first below.


@njit
def _extent(tile: int, rows: int, columns: int, m: int, n: int) -> tuple[int, int, int, int]:
    """Where a tile begins, and how high and wide it is; tiles are numbered row by row."""
    across = (n + columns - 1) // columns
    i, j = tile // across * rows, tile % across * columns
    return i, j, min(rows, m - i), min(columns, n - j)


@njit
def gemm_nn_tile(tile: int, rows: int, columns: int, a: Any, b: Any, out: Any) -> None:
    """One tile of rows × columns of out = a @ b."""
    m, k = a.shape
    n = b.shape[1]
    i, j, high, wide = _extent(tile, rows, columns, m, n)
    _gemm(_N, _N, wide, high, k, b, j, n, a, i * k, k, out, i * n + j, n)


@njit
def gemm_tn_tile(tile: int, rows: int, columns: int, a: Any, b: Any, out: Any) -> None:
    """One tile of rows × columns of out = a.T @ b."""
    k, m = a.shape
    n = b.shape[1]
    i, j, high, wide = _extent(tile, rows, columns, m, n)
    _gemm(_N, _T, wide, high, k, b, j, n, a, i, m, out, i * n + j, n)


@njit
def gemm_nt_tile(tile: int, rows: int, columns: int, a: Any, b: Any, out: Any) -> None:
    """One tile of rows × columns of out = a @ b.T."""
    m, k = a.shape
    n = b.shape[0]
    i, j, high, wide = _extent(tile, rows, columns, m, n)
    _gemm(_T, _N, wide, high, k, b, j * k, k, a, i * k, k, out, i * n + j, n)


@njit
def gemm_nn(a: Any, b: Any, out: Any) -> None:
    """Out = a @ b."""
    gemm_nn_tile(types.int64(0), a.shape[0], b.shape[1], a, b, out)


@njit
def gemm_tn(a: Any, b: Any, out: Any) -> None:
    """Out = a.T @ b."""
    gemm_tn_tile(types.int64(0), a.shape[1], b.shape[1], a, b, out)


@njit
def gemm_nt(a: Any, b: Any, out: Any) -> None:
    """Out = a @ b.T."""
    gemm_nt_tile(types.int64(0), a.shape[0], b.shape[0], a, b, out)


def use_tiles(m: int, n: int, k: int) -> bool:
    """Whether tiles on two threads beat one call, for a result of m × n and inner size k.

    µs in float32 on two threads, each in its own best tiles:

    | form | m × n × k       | one call |  tiles |
    |------|-----------------|----------|--------|
    | tn   | 64, 10, 64      |      1.0 |    1.1 |
    | nn   | 64, 10, 64      |      1.2 |    0.8 |
    | nn   | 128, 10, 128    |      4.8 |    2.7 |
    | nt   | 128, 128, 10    |      5.2 |    4.7 |
    | nn   | 64, 128, 64     |      9.5 |    5.4 |
    | nt   | 64, 128, 64     |       13 |    8.5 |
    | tn   | 128, 64, 64     |       10 |    5.3 |
    | nn   | 128, 256, 784   |      564 |    250 |
    | nt   | 512, 2048, 10   |      528 |    279 |
    | tn   | 2048, 10, 512   |      889 |    144 |
    | nn   | 512, 2048, 1024 |   22 194 | 11 254 |
    """
    return m * n * k >= (100_000 if k >= 32 else 1_000_000)


def tile_shape(form: str, m: int, n: int, k: int) -> tuple[int, int]:
    """Rows and columns of a tile of an m × n result, with inner size k: the best that was found.

    Up to 10⁶ multiplications OpenBLAS (AVX-512) packs nothing, which is the fastest way through
    products of medium size. The largest products want to be packed, in pieces as large as leaves
    four of them.
    """
    if m * n * k > 100_000_000:
        height, width = min(m, 512), min(n, 2048 if form == "tn" else 1024)
        while -(-m // height) * -(-n // width) < 4 and max(height, width) > 64:
            height, width = (height // 2, width) if height > width else (height, width // 2)
        return height, width
    if form == "nt":
        return (32, 32) if k >= 32 else (128, n)
    height = 64 if form == "tn" and n <= 64 else 32
    width = n if n <= 128 else 128 if form == "tn" else 64
    while height > 16 and height * width * k > 1_000_000:
        height //= 2
    return height, width


def use_loops(m: int, n: int, k: int) -> bool:
    """Whether plain loops in the generated code beat one call.

    µs in float64, loops with constant n and k, the inner one over n (one call, loops):

    | m, n, k   | nn           | tn           | nt           |
    |-----------|--------------|--------------|--------------|
    | 1, 2, 3   | 0.018, 0.012 | 0.028, 0.013 | 0.068, 0.013 |
    | 1, 8, 8   | 0.026, 0.030 | 0.022, 0.032 | 0.071, 0.022 |
    | 8, 4, 4   | 0.039, 0.042 | 0.045, 0.043 | 0.139, 0.035 |
    | 1, 16, 16 | 0.038, 0.084 | 0.054, 0.108 | 0.139, 0.083 |
    | 8, 8, 8   | 0.050, 0.208 | 0.043, 0.164 | 0.126, 0.147 |
    | 64, 1, 8  | 0.184, 0.175 | 0.097, 0.264 | 0.369, 0.149 |
    | 32, 64, 1 | 0.403, 0.313 |              | 0.599, 0.191 |
    | 32, 1, 64 | 0.215, 1.248 | 0.172, 0.252 | 0.238, 1.088 |

    (For tn the columns m and k trade places.) Without AVX-512 a call costs twice as much.
    """
    return k == 1 or m * n * k <= 128
