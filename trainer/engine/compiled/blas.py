"""Matrix products for generated kernels: SciPy's BLAS, called by address, without copies.

`gemm_*` is one BLAS call. `tiled_gemm_*` cuts the result into tiles whose shape depends on the
sizes alone; each tile is one such call over the whole inner dimension, and any number of Numba's
threads take tiles. Nothing is summed across tiles, so the bits are the same on any number of
threads — provided that BLAS itself uses one: call both within
`threadpoolctl.threadpool_limits(1, "blas")`, entered after this module was imported, which is
what loads SciPy's BLAS. Such calls may run at once on several threads.

All take C-contiguous arrays of one dtype, float32 or float64, with no size of 0. `out` is
overwritten, never read, and may not overlap `a` or `b`.
"""

from __future__ import annotations

import os
from typing import Any

from llvmlite import binding, ir
from numba import get_num_threads, njit, prange, types
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

# How long a thread of GNU's OpenMP spins before it sleeps. By default for milliseconds: where the
# cores are shared with other work, it then keeps the thread that it waits for from running. Much
# shorter, it falls asleep between the products of a step, and waking it takes some 50 µs. On two
# idle cores `mnist` of benchmarks/ took 0.9 to 1.3 ms a step with 1,000 and 0.77 to 0.86 with this.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "100000")

# Numba starts its threads when a parallel function is compiled or loaded, not when one comes
# along with a caller from the cache; that would crash. This starts them, and reads the above.
get_num_threads()

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
def gemm_nn(a: Any, b: Any, out: Any) -> None:
    """Out = a @ b."""
    m, k = a.shape
    n = b.shape[1]
    _gemm(_N, _N, n, m, k, b, 0, n, a, 0, k, out, 0, n)


@njit
def gemm_tn(a: Any, b: Any, out: Any) -> None:
    """Out = a.T @ b."""
    k, m = a.shape
    n = b.shape[1]
    _gemm(_N, _T, n, m, k, b, 0, n, a, 0, m, out, 0, n)


@njit
def gemm_nt(a: Any, b: Any, out: Any) -> None:
    """Out = a @ b.T."""
    m, k = a.shape
    n = b.shape[0]
    _gemm(_T, _N, n, m, k, b, 0, k, a, 0, k, out, 0, n)


@njit
def _tile(m: int, n: int, k: int, side: int, large: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a tile of an m × n result: small ones, or `large` for large products.

    Up to 10⁶ multiplications OpenBLAS (AVX-512) packs nothing, which is the fastest way through
    products of medium size; the largest products want to be packed, in large pieces.
    """
    width = min(n, side)
    height = side
    while height * width * k > 1_000_000:
        height //= 2
    if height < 16 or k < 32 or m * n * k > 100_000_000:
        return large
    return height, width


@njit(parallel=True)
def tiled_gemm_nn(a: Any, b: Any, out: Any) -> None:
    """Out = a @ b."""
    m, k = a.shape
    n = b.shape[1]
    rows, columns = _tile(m, n, k, 64, (512, 256))
    across = (n + columns - 1) // columns
    for tile in prange((m + rows - 1) // rows * across):
        i, j = tile // across * rows, tile % across * columns
        high, wide = min(rows, m - i), min(columns, n - j)
        _gemm(_N, _N, wide, high, k, b, j, n, a, i * k, k, out, i * n + j, n)


@njit(parallel=True)
def tiled_gemm_tn(a: Any, b: Any, out: Any) -> None:
    """Out = a.T @ b."""
    k, m = a.shape
    n = b.shape[1]
    rows, columns = _tile(m, n, k, 64, (512, 1024))
    across = (n + columns - 1) // columns
    for tile in prange((m + rows - 1) // rows * across):
        i, j = tile // across * rows, tile % across * columns
        high, wide = min(rows, m - i), min(columns, n - j)
        _gemm(_N, _T, wide, high, k, b, j, n, a, i, m, out, i * n + j, n)


@njit(parallel=True)
def tiled_gemm_nt(a: Any, b: Any, out: Any) -> None:
    """Out = a @ b.T."""
    m, k = a.shape
    n = b.shape[0]
    rows, columns = _tile(m, n, k, 32, (512, 256))
    across = (n + columns - 1) // columns
    for tile in prange((m + rows - 1) // rows * across):
        i, j = tile // across * rows, tile % across * columns
        high, wide = min(rows, m - i), min(columns, n - j)
        _gemm(_T, _N, wide, high, k, b, j * k, k, a, i * k, k, out, i * n + j, n)


gemm_nn_f32 = gemm_nn_f64 = gemm_nn
gemm_tn_f32 = gemm_tn_f64 = gemm_tn
gemm_nt_f32 = gemm_nt_f64 = gemm_nt
tiled_gemm_nn_f32 = tiled_gemm_nn_f64 = tiled_gemm_nn
tiled_gemm_tn_f32 = tiled_gemm_tn_f64 = tiled_gemm_tn
tiled_gemm_nt_f32 = tiled_gemm_nt_f64 = tiled_gemm_nt


def use_tiles(m: int, n: int, k: int) -> bool:
    """Whether tiles on two threads beat one call, for a result of m × n and inner size k.

    µs in float32, two threads; on idle cores they break even at 3·10⁵ multiplications. On busy
    ones, waking a thread costs some 50 µs, hence the limit:

    | form | m × n × k      | one call | tiles |
    |------|----------------|----------|-------|
    | nn   | 64, 10, 64     |      1.3 |   2.0 |
    | nn   | 128, 10, 128   |      4.7 |   3.8 |
    | nn   | 64, 128, 64    |      9.3 |   6.2 |
    | nt   | 64, 128, 64    |       13 |   8.0 |
    | nn   | 128, 128, 256  |       89 |    39 |
    | tn   | 256, 128, 128  |       92 |    42 |
    | nn   | 128, 256, 784  |      548 |   225 |
    | tn   | 784, 256, 128  |      526 |   248 |
    | tn   | 2048, 10, 512  |      657 |   136 |
    | nn   | 512, 2048, 1024 | 22 300  | 11 200 |
    """
    return m * n * k >= 2_000_000


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
