"""A second of training on one core, against what this core can do.

What it can do is measured, not looked up: a loop of fused multiply-adds without memory. Training
is of a network of 64-256-256-10 units in batches of 256 rows, in float32, whose time goes into
matrix products: it reaches some 70 % of that with vectors of 512 bits, 75 % with 256. What both
depend on, such as the clock, cancels out.
"""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from trainer.doctor.finding import Finding
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.engine.compiled.function import Module
    from trainer.engine.compiled.target import Target

SECONDS: Final = 1.0
SHARE: Final = 0.5
"""Below this share of the peak something is wrong: undisturbed it is 0.6 to 0.8."""
BUSY: Final = 0.85
"""Below this share of the time that passed, the core did other work, too."""
CLOCK: Final = 1.5e9
"""Fused multiply-adds of a vector twice a cycle: a core that gives fewer is slowed down."""
SUMS: Final = 12  # independent chains: the latency of a fused multiply-add times its rate, and more
TURNS: Final = 20_000  # of the loop, some 70 µs a time
SIZES: Final = (64, 256, 256, 10)
BATCH: Final = 256
STEPS: Final = 4

PEAK: Final = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)


def write_peak(module: Module, target: Target) -> None:
    """Adds `peak(times, out)`, the loop, to a module; `out` is of one vector."""
    from trainer.engine.compiled.function import Function

    lanes = target.vector_bytes // module.real.bytes
    f = Function(module, "peak", "i64 times, array out", exported=True)
    x = f.load(f.parameters["out"], lanes)
    with f.repeat([f.parameters["times"], *[f.number(0.0, lanes)] * SUMS]) as loop:
        left, *sums = loop.values
        loop.next = [left - 1, *(f.fma(x, x, each) for each in sums)]
        loop.again = loop.next[0] > 0
    total = loop.next[1]
    for each in loop.next[2:]:
        total += each
    f.store(total, f.parameters["out"])
    f.end()


def peak_rate(target: Target) -> float:
    """Additions and multiplications of float32 that one core does in a second of its time."""
    from trainer.engine.compiled.arithmetic import REALS
    from trainer.engine.compiled.function import Module
    from trainer.engine.compiled.target import Code, make_object

    module = Module(REALS["float32"])
    write_peak(module, target)
    code = Code(make_object(str(module), target), target)
    peak, out = PEAK(code.address("peak")), (ctypes.c_float * 32)()
    address = -(-ctypes.addressof(out) // 64) * 64
    least = float("inf")
    for _ in range(200):  # the least of many: a core that was busy elsewhere needs longer
        began = time.thread_time()
        peak(TURNS, address)
        least = min(least, time.thread_time() - began)
    return TURNS * SUMS * 2 * (target.vector_bytes // 4) / least


@dataclass(frozen=True)
class Trained:
    """How fast it trained: steps, additions and multiplications of its products in a second; `busy`
    is the share of the time in which the core was at work for it.
    """

    steps: float
    flops: float
    busy: float


def train_for(seconds: float) -> Trained:
    """Trains on one thread. Raises `TrainerError` where this CPU cannot run compiled kernels."""
    import numpy as np

    from trainer.data import Layout
    from trainer.engine import make_engine
    from trainer.graph.initialisers import initial_parameters
    from trainer.network.build import build_graph
    from trainer.spec import Spec
    from trainer.training import training_graph
    from trainer.training.rates import Rates

    hidden = [{"units": units, "activation": "relu"} for units in SIZES[1:-1]]
    spec = Spec.model_validate({
        "name": "doctor",
        "data": {"source": {"synthetic": "linear"}},  # only for form: not loaded
        "model": {"layers": [*hidden, {"units": SIZES[-1]}], "loss": "squared"},
        "sgd": {"learning_rate": 0.001, "batch_size": BATCH, "epochs": 1},
    })  # fmt: skip
    graph = training_graph(build_graph(spec, Layout.plain(SIZES[0], SIZES[-1])), spec.sgd)
    engine = make_engine(graph, "compiled", BATCH, threads=1)
    engine.prepare()
    session = engine.load(initial_parameters(graph, seed=0))
    arrays = {
        name: np.resize(np.arange(-8, 9, dtype="float32") / 8, (STEPS * BATCH, size))
        for name, size in (("x", SIZES[0]), ("y", SIZES[-1]))
    }
    rates = Rates(spec.sgd, STEPS * BATCH, BATCH).at(1, STEPS)
    session.train(arrays, rates, BATCH, 0, STEPS)  # caches and pages are warm after it
    steps, began, busy = 0, time.perf_counter(), time.thread_time()
    while (passed := time.perf_counter() - began) < seconds:
        session.train(arrays, rates, BATCH, 0, STEPS)
        steps += STEPS
    busy = (time.thread_time() - busy) / passed
    return Trained(steps / passed, steps / passed * _flops(), busy)


def _flops() -> int:
    """Additions and multiplications of a step's products: forward, and the gradients of weights
    and of all inputs but the first.
    """
    products = [a * b for a, b in pairwise(SIZES)]
    return 2 * BATCH * (3 * sum(products) - products[0])


def speed() -> Finding:
    """How fast this machine trains, and whether it should train faster."""
    from trainer.engine.compiled.target import host_target

    try:
        target = host_target()
    except TrainerError:  # what is to be told of the CPU is told of it already
        return Finding("speed", "note", "not measured: no kernels can be compiled for this CPU")
    before = peak_rate(target)
    trained = train_for(SECONDS)
    peak = max(before, peak_rate(target))
    facts = {
        "steps_per_second": round(trained.steps), "gflops": round(trained.flops / 1e9, 1),
        "peak_gflops": round(peak / 1e9, 1), "share": round(trained.flops / peak, 3),
        "expected_share": SHARE, "busy": round(trained.busy, 3),
    }  # fmt: skip
    clock = peak / (4 * target.vector_bytes // 4)
    says = (
        f"{facts['gflops']} of the {facts['peak_gflops']} Gflop/s of a core, "
        f"{trained.flops / peak:.0%} (at least {SHARE:.0%} is usual)"
    )
    todo = _todo(trained, peak, clock)
    return Finding("speed", "warning" if todo else "ok", says, todo, facts)


def _todo(trained: Trained, peak: float, clock: float) -> str | None:
    """What is wrong with the speed, if anything is."""
    if trained.busy < BUSY:
        return f"other programs took {1 - trained.busy:.0%} of the core's time: end them"
    if trained.flops < SHARE * peak:
        return (
            "other programs use its caches and memory, or its clock fell meanwhile: look at load "
            "and temperature, and try again"
        )
    if clock < CLOCK:
        return (
            f"the core multiplies and adds as if it ran at {clock / 1e9:.1f} GHz: it is slowed "
            "down (power, temperature, a shared machine), or has but one unit for it"
        )
    return None
