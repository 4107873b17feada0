"""Matrix products against the peak of this core, and against NumPy's OpenBLAS on one thread.

    python -m benchmarks.products [case …] [--seconds 0.5]

The peak is what a loop of fused multiply-adds without memory reaches. All three take turns, some
0.4 ms at a time; what counts is the least CPU time of a turn, so other work on the machine does
little harm. NumPy's is a call from Python, of which some 0.7 µs are not the product.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from benchmarks.cases import CASES, Case
from trainer.doctor.speed import PEAK, SUMS, write_peak
from trainer.engine.compiled.arithmetic import REALS
from trainer.engine.compiled.function import Function, Module
from trainer.engine.compiled.products import load_products, use_loops
from trainer.engine.compiled.target import Code, Target, host_target, make_object
from trainer.engine.compiled.tiles import PARAMETERS
from trainer.graph.ops import Array

TURN: Final = 4e-4  # seconds
ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1"}
UNSET: Final = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")  # both, or none: they belong together
LARGE: Final = Case("large", (784, 4096, 4096), "relu", "squared", 1024, "float32", 1, 0, 0.01)
LINE: Final = "{:8} {:14} {:>6} {:>6} {:>6} {:>11} {:>8} {:>7} {:>10}"

REPEAT: Final = ctypes.CFUNCTYPE(
    None,
    *[ctypes.c_int64, ctypes.c_void_p],
    *[ctypes.c_int64] * 3,
    *[ctypes.c_void_p, ctypes.c_int64] * 3,
)

Repeat = Callable[[int], object]
"""Does it so many times."""


@dataclass(frozen=True)
class Shape:
    """A product of a network's step: out of m × n, with inner size k."""

    form: str
    m: int
    n: int
    k: int

    @property
    def flops(self) -> int:
        """Additions and multiplications."""
        return 2 * self.m * self.n * self.k


def shapes_of(case: Case) -> Iterator[Shape]:
    """The products of a step that are calls: forward, weight gradient, gradient of the input."""
    for i, (inputs, outputs) in enumerate(pairwise(case.sizes)):
        shapes = [
            Shape("column" if outputs == 1 else "nn", case.batch, outputs, inputs),
            Shape("tn", inputs, outputs, case.batch),
            Shape("nt", case.batch, inputs, outputs),
        ]
        for shape in shapes[: 3 if i else 2]:
            if not use_loops(shape.m, shape.n, shape.k):
                yield shape


def helpers(dtype: str, target: Target) -> Code:
    """`peak(turns)`, the loop of fma, and `repeat(times, product, …)`, so that Python's calls do
    not count.
    """
    module = Module(REALS[dtype])
    write_peak(module, target)
    f = Function(module, "repeat", f"i64 times, ptr product, {PARAMETERS}", exported=True)
    times, function, *arguments = f.parameters.values()
    with f.each(times):
        f.call(function, *arguments)
    f.end()
    return Code(make_object(str(module), target), target)


def aligned(x: Array) -> Array:
    """The same at an address that is a multiple of 64, for all alike."""
    room = np.empty(x.nbytes + 64, np.uint8)
    start = -room.ctypes.data % 64
    found: Array = room[start : start + x.nbytes].view(x.dtype).reshape(x.shape)
    found[...] = x
    return found


def least_seconds(contenders: Mapping[str, Repeat], seconds: float) -> dict[str, float]:
    """CPU seconds of one time of each, the least of many turns."""
    times = {name: _times_in_a_turn(repeat) for name, repeat in contenders.items()}
    found = dict.fromkeys(contenders, float("inf"))
    end, rounds = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or rounds < 5:
        for name, repeat in contenders.items():
            found[name] = min(found[name], _seconds_of(repeat, times[name]) / times[name])
        rounds += 1
    return found


def _times_in_a_turn(repeat: Repeat) -> int:
    times = 1
    while True:
        took = _seconds_of(repeat, times)
        if took < 10 * TURN:  # what is short may have been disturbed, or found cold caches
            took = min(took, *(_seconds_of(repeat, times) for _ in range(4)))
        if took > TURN / 4:
            return max(1, round(times * TURN / took))
        times *= 4


def _seconds_of(repeat: Repeat, times: int) -> float:
    began = time.thread_time()
    repeat(times)
    return time.thread_time() - began


@dataclass(frozen=True)
class Measured:
    """Seconds of a product; its share of the peak; and what NumPy takes in terms of it."""

    seconds: float
    peak: float
    numpy: float


def measure(shape: Shape, dtype: str, target: Target, seconds: float) -> Measured:
    """One product, aligned and contiguous. Raises `AssertionError` if NumPy finds another."""
    code, products = helpers(dtype, target), load_products(dtype, target)
    repeat, peak = REPEAT(code.address("repeat")), PEAK(code.address("peak"))
    m, n, k = shape.m, shape.n, shape.k
    rng = np.random.default_rng(0)
    a = aligned(rng.standard_normal((k, m) if shape.form == "tn" else (m, k)).astype(dtype))
    b = aligned(rng.standard_normal((n, k) if shape.form == "nt" else (k, n)).astype(dtype))
    x, y = a.T if shape.form == "tn" else a, b.T if shape.form == "nt" else b
    out, theirs = aligned(np.empty((m, n), dtype)), aligned(np.empty((m, n), dtype))
    where = (a.ctypes.data, a.shape[1], b.ctypes.data, b.shape[1], out.ctypes.data, n)
    address = products.addresses[f"product_{shape.form}"]
    zeros = aligned(np.zeros(64, dtype))

    def numpy(times: int) -> None:
        for _ in range(times):
            np.matmul(x, y, out=theirs)

    found = least_seconds(
        {
            "own": lambda times: repeat(times, address, m, n, k, *where),
            "numpy": numpy,
            "peak": lambda times: peak(100 * times, zeros.ctypes.data),
        },
        seconds,
    )
    np.testing.assert_allclose(out, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())
    rate = 100 * 2 * SUMS * (target.vector_bytes // a.itemsize) / found["peak"]
    return Measured(found["own"], shape.flops / found["own"] / rate, found["numpy"] / found["own"])


def table(cases: list[Case], seconds: float) -> Iterator[str]:
    """The lines of the table, as they are measured."""
    target = host_target()
    yield f"{target.cpu}, vectors of {8 * target.vector_bytes} bits, one thread"
    yield LINE.format("case", "form", "m", "n", "k", "µs", "GF/s", "peak", "NumPy ÷ own")
    for case in cases:
        for shape in shapes_of(case):
            found = measure(shape, case.dtype, target, seconds)
            yield LINE.format(
                case.name, f"{shape.form} {case.dtype}", shape.m, shape.n, shape.k,
                f"{found.seconds * 1e6:,.2f}", f"{shape.flops / found.seconds / 1e9:.1f}",
                f"{found.peak:.0%}", f"{found.numpy:.2f}",
            )  # fmt: skip


def main() -> None:
    """Parses the command line, and starts anew if OpenBLAS was told something else."""
    known = {**CASES, LARGE.name: LARGE}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*known, []], help="all, unless some are named")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each product")
    given = parser.parse_args()
    wanted = {name: x for name, x in os.environ.items() if name not in UNSET} | ONE_THREAD
    if wanted != dict(os.environ):  # it reads them when it is loaded
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.products", *sys.argv[1:]], wanted
        )
    for line in table([known[name] for name in given.cases or known], given.seconds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
