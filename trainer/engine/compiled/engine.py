"""The compiled engine: one generated kernel runs many steps."""

from __future__ import annotations

import ctypes
import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Final

import numpy as np

from trainer.engine.compiled.kernels import (
    Kernel,
    gradients_kernel,
    kernels_of,
    update_kernel,
)
from trainer.engine.compiled.lowering import PASSES, lower, slots_of
from trainer.engine.compiled.objects import load_code
from trainer.engine.compiled.products import Products, load_products
from trainer.engine.compiled.target import Target, host_target
from trainer.engine.compiled.team import ENDED, TEAM_SIZE, TICKET
from trainer.engine.compiled.text import source_of
from trainer.engine.steps import Gradients, Steps, inputs_of
from trainer.graph.graph import Graph, Node
from trainer.graph.loops import Product
from trainer.graph.ops import BATCH, LEAVES, OPS, Array, Shape
from trainer.graph.walking import statements
from trainer.machine import available_cores

CACHE_LINE: Final = 64  # bytes
CALL_SECONDS: Final = 0.05  # about what a call of a kernel takes, if not a step takes longer
SOON_SECONDS: Final = 0.03  # of steps, by the estimate: what code that is made soon may run for
SHARED_SECONDS: Final = 3e-4  # a shorter call is over before a thread is awake
NODE_SECONDS: Final = 2e-9
NUMBER_SECONDS: Final = 3e-10  # of an elementwise result
MULTIPLICATION_SECONDS: Final = 2e-11  # of a matrix product
TITLE: Final = "Kernels for many SGD steps and for evaluation, made from a spec's graph."


class CompiledEngine:
    """The engine (see `Engine`) that runs a graph by kernels of its own compiler.

    The same graph gives the same bits on every CPU. They differ from the reference engine's in the
    last places, because sums and products are ordered otherwise there.
    """

    name = "compiled"

    def __init__(
        self,
        graph: Graph,
        batch_size: int,
        evaluation_rows: int = 1024,
        threads: int | None = None,
        shards: int = 1,
    ) -> None:
        self.graph = graph
        self.threads = threads or available_cores()
        self.pool = ThreadPoolExecutor(max(self.threads - 1, 1), "trainer")
        self.dtype = np.dtype(graph.nodes[0].dtype)
        self.trained = [node.name for node in graph.trainable]
        self.rates = inputs_of(graph)[1]
        self.outputs = int(graph[graph.outputs["prediction"]].shape[1])
        self.step_seconds, self.batch_seconds = _seconds_of(graph, batch_size, evaluation_rows)
        self.steps_per_call = max(1, int(CALL_SECONDS / self.step_seconds))
        self.batches_per_call = max(1, int(CALL_SECONDS / self.batch_seconds))
        self._batch_size, self._evaluation_rows, self._shards = batch_size, evaluation_rows, shards
        self._target: Target = host_target()

    @cached_property
    def usual(self) -> Compiled:
        """The kernels that training and evaluation need."""
        return self._made(soon=False)

    def _made(self, soon: bool) -> Compiled:
        """These kernels; those that are made `soon` are slower and have the same bits."""
        sizes = (self._batch_size, self._evaluation_rows, self._shards)
        graph = self.graph
        recipe = f"{sizes} {graph.nodes} {graph.outputs} {graph.updates} {self._target}"
        with _without_collector():
            for made in (recipe, f"{recipe} soon") if soon else (recipe,):
                if made in _kept:
                    return _keep(made, _kept[made])
            kernels = kernels_of(graph, *sizes, full=not soon)
            code = Compiled(kernels, self.dtype.name, self._target, recipe, soon)
            return _keep(f"{recipe} soon" if soon else recipe, code)

    @cached_property
    def parts(self) -> Compiled:
        """The kernels of the two parts of a step, for who does them apart."""
        part = -(-self._batch_size // self._shards)
        kernels = {
            "gradients": gradients_kernel(self.graph, part),
            "update": update_kernel(self.graph, self._batch_size),
        }
        return Compiled(kernels, self.dtype.name, self._target)

    def prepare(self, steps: int | None = None) -> None:
        """Compiles the kernels, or loads them from the cache. Where so few steps are to come that
        good code would not make up for the time that it takes to make, it is made quickly.
        """
        if "usual" not in vars(self):
            seconds = math.inf if steps is None else steps * self.step_seconds
            self.usual = self._made(soon=seconds < SOON_SECONDS)

    def load(self, state: Mapping[str, Array]) -> CompiledSession:
        """A session that begins with a copy of these parameters and states."""
        held = {name: aligned(value.shape, self.dtype) for name, value in state.items()}
        for name, value in state.items():
            held[name][...] = value
        return CompiledSession(self, held)


_kept: dict[str, Compiled] = {}
_most = 0


def keep_kernels(most: int) -> None:
    """Has this process keep the kernels of the last so many graphs that it compiled; by default
    none: one that trains many runs need not make them anew.
    """
    global _most
    _most = most
    _drop()


def _keep(recipe: str, compiled: Compiled) -> Compiled:
    """Keeps the kernels as those that were used last."""
    _kept.pop(recipe, None)
    _kept[recipe] = compiled
    _drop()
    return compiled


def _drop() -> None:
    while len(_kept) > _most:
        del _kept[next(iter(_kept))]


class Compiled:
    """Kernels as machine code."""

    def __init__(
        self,
        kernels: Mapping[str, Kernel],
        dtype: str,
        target: Target,
        recipe: str = "",
        soon: bool = False,
    ) -> None:
        """With a `recipe`, all that the kernels are made of, they are lowered only where the cache
        has them not. `soon` makes short text of them, for which LLVM chooses instructions and
        registers quickly.
        """
        self.kernels = kernels
        functions = [kernel.function for kernel in kernels.values()]
        passes, level = ((), 0) if soon else (PASSES, 1)
        self._code = load_code(
            partial(lower, functions, dtype, target, soon), target, passes, level, recipe
        )
        self._products: Products | None = None
        if any(_calls_products(kernel) for kernel in kernels.values()):
            self._products = load_products(dtype, target)
        self._functions = {
            name: ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(self._code.address(name))
            for name in kernels
        }
        self._joins = {
            name: ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(
                self._code.address(f"{name}_pieces")
            )
            for name, kernel in kernels.items()
            if kernel.shared
        }

    def call(
        self, name: str, arrays: Sequence[Array], numbers: Sequence[int],
        pool: ThreadPoolExecutor, helpers: int,
    ) -> int:  # fmt: skip
        """Runs a kernel on these arrays; `helpers` threads of the pool join its work.

        Raises `TypeError` for an array that is not of the kernel's dtype, or not contiguous.
        """
        function = self.kernels[name].function
        slots = slots_of(function)
        block = (ctypes.c_int64 * len(slots))()
        for k, (array, declared) in enumerate(zip(arrays, function.arrays, strict=True), 1):
            if array.dtype != declared.dtype or not array.flags.c_contiguous:
                raise TypeError(f"{declared.name}: {declared.dtype}, contiguous, is expected")
            block[k] = array.__array_interface__["data"][0]
        for k, number in enumerate(numbers, 1 + len(arrays)):
            block[k] = number
        if self._products is not None:
            for k, slot in enumerate(slots):
                if slot.startswith("product_"):
                    block[k] = self._products.addresses[slot]
        team = np.zeros(TEAM_SIZE, np.int64)  # of its own for each call
        block[0] = team.__array_interface__["data"][0]
        work = ctypes.addressof(block)
        if name not in self._joins:
            return int(self._functions[name](work))

        def join(*_kept: object) -> None:
            self._joins[name](work, 1)

        # a thread may look at the team for the last time when the call is over: it keeps all
        joined = [pool.submit(join, block, team, arrays) for _ in range(helpers)]
        try:
            return int(self._functions[name](work))
        finally:
            team[TICKET] = ENDED
            for helper in joined:  # who has not begun need not come; others leave by themselves
                helper.cancel()


class CompiledSession:
    """A session (see `Session`) of the compiled engine."""

    def __init__(self, engine: CompiledEngine, state: dict[str, Array]) -> None:
        self._engine = engine
        self._state = state
        self._buffers: dict[tuple[str, int], list[Array]] = {}

    def train(
        self,
        arrays: Mapping[str, Array],
        rates: Mapping[str, Array],
        batch_size: int,
        first: int,
        last: int,
    ) -> tuple[Steps, Array]:
        """All steps in a call of the kernel, or two: full batches may have code of their own."""
        engine = self._engine
        code = engine.usual
        count, held = last - first, len(arrays["x"])
        losses, norms = np.empty(count), np.empty(count)
        parameter_norms = np.empty((count, len(engine.trained)))
        rows = min(last * batch_size, held) - first * batch_size
        predictions = np.empty((rows, engine.outputs), engine.dtype)
        with np.errstate(over="ignore"):  # an infinite rate is told as a divergence
            at_each = [rates[name].astype(engine.dtype, copy=False) for name in engine.rates]
        done = 0
        # full batches first, where they have code of their own
        cut = min(max(first, held // batch_size), last) if "train_full" in code.kernels else first
        for name, begin, end in (("train_full", first, cut), ("train", cut, last)):
            if begin == end or begin != first + done:  # nothing to do, or it diverged before
                continue
            given = [
                *self._arguments(code, name, arrays, batch_size),
                *(np.ascontiguousarray(values[done:]) for values in at_each),
                losses[done:], norms[done:], parameter_norms[done:],
                predictions[done * batch_size :],
            ]  # fmt: skip
            numbers = (held, batch_size, begin, end)
            done += self._run(code, name, given, numbers, (end - begin) * engine.step_seconds)
        if done < count:
            rows = done * batch_size
        steps = Steps(losses[:done], norms[:done], parameter_norms[:done], rows, done < count)
        return steps, predictions[:rows]

    def gradients(self, arrays: Mapping[str, Array], first: int, last: int) -> Gradients:
        """What the rows give by themselves."""
        engine = self._engine
        code = engine.parts
        kernel = code.kernels["gradients"]
        predictions = np.empty((last - first, engine.outputs), engine.dtype)
        values = {
            name: np.empty([int(dim) for dim in engine.graph[name].shape], engine.dtype)
            for name in kernel.values
        }
        given = self._arguments(code, "gradients", arrays, last - first)
        given += [*values.values(), predictions]
        self._run(code, "gradients", given, (first, last - first), engine.step_seconds)
        return Gradients(values, predictions)

    def update(self, gradients: Gradients, rates: Mapping[str, float]) -> Steps:
        """Norms and the update."""
        engine = self._engine
        code = engine.parts
        kernel = code.kernels["update"]
        losses, norms = np.empty(1), np.empty(1)
        parameter_norms = np.empty((1, len(engine.trained)))
        with np.errstate(over="ignore"):
            at_each = [np.array([rates[name]], engine.dtype) for name in engine.rates]
        given = self._arguments(code, "update", {}, 1)
        given += [np.ascontiguousarray(gradients.values[name]) for name in kernel.values]
        given += [*at_each, losses, norms, parameter_norms]
        done = self._run(code, "update", given, (), engine.step_seconds)
        rows = gradients.rows if done else 0
        return Steps(losses[:done], norms[:done], parameter_norms[:done], rows, not done)

    def predict(
        self,
        arrays: Mapping[str, Array],
        batch_size: int,
        parameters: Mapping[str, Array] | None = None,
        total: float = 0.0,
    ) -> tuple[float, Array]:
        """All batches in a call of the kernel."""
        engine, held = self._engine, len(arrays["x"])
        code = engine.usual
        predictions = np.empty((held, engine.outputs), engine.dtype)
        size = min(batch_size, held)
        count = -(-held // batch_size)
        losses = np.empty(count)
        given = self._arguments(code, "evaluate", arrays, size, parameters)
        numbers = (held, size, 0, count)
        seconds = count * engine.batch_seconds
        self._run(code, "evaluate", [*given, losses, predictions], numbers, seconds)
        for start, loss in zip(range(0, held, batch_size), losses.tolist(), strict=True):
            total += loss * (min(start + batch_size, held) - start)
        return total, predictions

    def fetch(self) -> dict[str, Array]:
        """Copies of the parameters and states."""
        return {name: value.copy() for name, value in self._state.items()}

    def _run(
        self, code: Compiled, name: str, arrays: Sequence[Array], numbers: Sequence[int],
        seconds: float,
    ) -> int:  # fmt: skip
        """Calls a kernel, and lets other threads join its work where it takes long enough."""
        engine = self._engine
        helpers = engine.threads - 1 if seconds > SHARED_SECONDS else 0
        return code.call(name, arrays, numbers, engine.pool, helpers)

    def _arguments(
        self, code: Compiled, name: str, arrays: Mapping[str, Array], batch_size: int,
        parameters: Mapping[str, Array] | None = None,
    ) -> list[Array]:  # fmt: skip
        """The rows, the parameters and states, and the work arrays of a kernel."""
        kernel = code.kernels[name]
        buffers = self._buffers.get((name, batch_size))
        if buffers is None:
            buffers = allocate(kernel.buffers, batch_size, self._engine.dtype)
            self._buffers[name, batch_size] = buffers
        other = parameters or {}
        return [
            *(arrays[row] for row in kernel.inputs),
            *(np.ascontiguousarray(other.get(leaf, self._state[leaf])) for leaf in kernel.leaves),
            *buffers,
        ]


@contextmanager
def _without_collector() -> Iterator[None]:
    """Without the collection of garbage: a program has many small parts, and none in a circle."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def kernel_source(
    graph: Graph, batch_size: int, evaluation_rows: int, shards: int = 1
) -> str:  # fmt: skip
    """The kernels of a training graph as readable Python."""
    kernels = kernels_of(graph, batch_size, evaluation_rows, shards)
    return source_of(TITLE, graph.nodes[0].dtype, [each.function for each in kernels.values()])


def allocate(
    buffers: Mapping[str, Shape], batch_size: int, dtype: np.dtype[Any]
) -> list[Array]:  # fmt: skip
    """Work arrays for batches of so many rows, each at the beginning of a cache line."""
    return [
        aligned([_length(dim, batch_size) for dim in shape], dtype) for shape in buffers.values()
    ]


def aligned(shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
    """An array without values that begins at a cache line, where wide vectors are read at once."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def _length(dim: int | str, batch_size: int) -> int:
    """`B` are the rows of a batch, `B/64` its segments of 64."""
    if isinstance(dim, int):
        return dim
    return -(-batch_size // int(dim.partition("/")[2] or 1))


def _calls_products(kernel: Kernel) -> bool:
    body = statements(kernel.function.body)
    return any(isinstance(each, Product) and not each.small for each in body)


def _seconds_of(graph: Graph, batch_size: int, evaluation_rows: int) -> tuple[float, float]:
    """About how long a step takes, and a batch of an evaluation, by sizes alone."""
    trained = [node for node in graph if node.op not in LEAVES]
    forward = graph.ancestors([graph.outputs["eval/loss"], graph.outputs["eval/prediction"]])
    evaluated = [node for node in trained if node.name in forward]
    return _seconds(trained, graph, batch_size), _seconds(evaluated, graph, evaluation_rows)


def _seconds(nodes: Sequence[Node], graph: Graph, rows: int) -> float:
    """About how long a batch of so many rows takes. It depends on the sizes alone."""
    seconds = NODE_SECONDS * len(nodes)
    for node in nodes:
        numbers = _numbers(node.shape, rows)
        if OPS[node.op].form == "product":
            inner = _numbers(graph[node.inputs[0]].shape[1:], rows)
            seconds += MULTIPLICATION_SECONDS * numbers * inner
        else:
            seconds += NUMBER_SECONDS * numbers
    return seconds


def _numbers(shape: Shape, rows: int) -> int:
    return math.prod(rows if dim == BATCH else int(dim) for dim in shape)
