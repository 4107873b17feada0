"""Kernels as plain Python: the text that `train check --kernel` shows, run as it stands, with a
true `fma` and the canonical order of products. Slow, readable, and to the bits of the machine code.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from test_products import canonical, canonical_column

from trainer.engine.compiled.engine import Compiled, CompiledEngine
from trainer.engine.compiled.kernels import Kernel
from trainer.engine.compiled.target import host_target
from trainer.engine.compiled.text import source_of
from trainer.graph.graph import Graph
from trainer.graph.loops import Function
from trainer.graph.ops import Array
from trainer.numerics.elementary import FUNCTIONS, ArrayArithmetic

_LIBM = ctypes.CDLL("libm.so.6")
_FMA: dict[str, Any] = {}
for _dtype, _name, _kind in (
    ("float32", "fmaf", ctypes.c_float), ("float64", "fma", ctypes.c_double),
):  # fmt: skip
    _FMA[_dtype] = getattr(_LIBM, _name)
    _FMA[_dtype].argtypes, _FMA[_dtype].restype = [_kind] * 3, _kind


class Scalars(ArrayArithmetic):
    """Single numbers, with a true `fma`."""

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self._real(_FMA[self.dtype](float(a), float(b), float(c)))

    def where(self, test: Any, a: Any, b: Any) -> Any:
        return self._real(a if test else b)


class PlainKernels:
    """What `Compiled` is for machine code."""

    def __init__(self, kernels: Mapping[str, Kernel], dtype: str) -> None:
        self.kernels = kernels
        text = source_of("", dtype, [kernel.function for kernel in kernels.values()])
        self._module = names_for(dtype)
        exec(text, self._module)

    def call(
        self, name: str, arrays: Sequence[Array], numbers: Sequence[int], _pool: Any, _helpers: int
    ) -> int:
        with np.errstate(all="ignore"):
            return int(self._module[name](*arrays, *numbers))


def plain_engine(graph: Graph, *sizes: int, **options: Any) -> CompiledEngine:
    """The compiled engine, with its kernels run as Python."""
    engine = CompiledEngine(graph, *sizes, **options)
    engine.__dict__["usual"] = PlainKernels(engine.usual.kernels, engine.dtype.name)
    engine.__dict__["parts"] = PlainKernels(engine.parts.kernels, engine.dtype.name)
    return engine


def names_for(dtype: str) -> dict[str, Any]:
    """What the text takes for granted."""
    arithmetic = Scalars(dtype)
    real = np.dtype(dtype).type

    def function(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *values: real(f(arithmetic, *values))

    def total(lanes: Array) -> Any:
        combine = np.add if lanes.base is None else _greater
        values = np.array(lanes)
        while len(values) > 1:
            half = len(values) // 2
            values = combine(values[:half], values[half:])
        return real(values[0])

    def greatest() -> Array:
        return np.full(33, -np.inf, dtype)[:32]  # a view, which `total` knows it by

    def pairwise(parts: Array, count: int, _width: int) -> None:
        distance = 1
        while distance < count:
            for i in range(0, count - distance, 2 * distance):
                parts[i] += parts[i + distance]
            distance *= 2

    def product(turn_a: bool, turn_b: bool) -> Callable[..., None]:
        def product(m: int, n: int, k: int, a: Array, b: Array, out: Array) -> None:
            left = a[:k, :m].T if turn_a else a[:m, :k]
            right = b[:n, :k].T if turn_b else b[:k, :n]
            out[:m, :n] = canonical(np.ascontiguousarray(left), np.ascontiguousarray(right))

        return product

    def column(m: int, n: int, k: int, a: Array, b: Array, out: Array) -> None:
        out[:m] = canonical_column(np.ascontiguousarray(a[:m, :k]), b.reshape(-1, 1)[:k])

    return {
        "shared": _anyhow, "sqrt": np.sqrt, "isfinite": np.isfinite, "fma": arithmetic.fma,
        "max": lambda a, b: b if b > a else a, "lanes": lambda: np.zeros(32, dtype),
        "greatest": greatest, "total": total, "pairwise": pairwise, "int": int,
        "product_nn": product(False, False), "product_nt": product(False, True),
        "product_tn": product(True, False), "product_tt": product(True, True),
        "product_column": column, "inf": math.inf,
        **{name: function(f) for name, f in FUNCTIONS.items()},
    }  # fmt: skip


def _greater(a: Array, b: Array) -> Array:
    return np.where(b > a, b, a)


def _anyhow(pieces: Iterable[int]) -> list[int]:
    """Any order will do."""
    found = list(pieces)
    return found[1::2] + found[::2][::-1]


# Single functions ---------------------------------------------------------------------------------


def kernel_of(function: Function) -> Kernel:
    """A function of its own, as a kernel without inputs."""
    return Kernel(function, (), (), {})


def run_both(function: Function, dtype: str, arrays: Sequence[Array], *numbers: int) -> list[Array]:
    """The arrays after the function, as machine code and as Python, which agree in every bit."""
    results = []
    for kind in (compiled, PlainKernels):
        given = [array.copy() for array in arrays]
        kind({function.name: kernel_of(function)}, dtype).call(
            function.name, given, numbers, POOL, 1
        )
        results.append(given)
    for found, expected in zip(*results, strict=True):
        same_bits(found, expected)
    return results[0]


def same_bits(found: Array, expected: Array) -> None:
    """Every bit, but for those of what is no number: IEEE 754 leaves them to the CPU."""
    np.testing.assert_array_equal(found, expected)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(expected[known]))


def compiled(kernels: Mapping[str, Kernel], dtype: str) -> Compiled:
    """Machine code for this CPU."""
    return Compiled(kernels, dtype, host_target())


POOL = ThreadPoolExecutor(3)
