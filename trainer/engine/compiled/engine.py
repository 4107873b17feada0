"""The compiled engine: one generated kernel runs many steps."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from trainer.engine.compiled.cache import load_module, seal_module
from trainer.engine.compiled.codegen import Kernel, kernel_source, kernels_of
from trainer.engine.compiled.team import ENDED, TEAM_SIZE, TICKET
from trainer.engine.steps import Steps, inputs_of
from trainer.graph.graph import Graph, Node
from trainer.graph.ops import BATCH, LEAVES, OPS, Array, Shape

CALL_SECONDS: Final = 0.05  # about what a call of a kernel takes, if not a step takes longer
SHARED_SECONDS: Final = 3e-4  # a shorter call is over before a thread is awake
NODE_SECONDS: Final = 2e-9
NUMBER_SECONDS: Final = 3e-10  # of an elementwise result
MULTIPLICATION_SECONDS: Final = 2e-11  # of a matrix product


class CompiledEngine:
    """The engine (see `Engine`) that runs a graph by a kernel that Numba compiles.

    The same graph gives the same kernel and the same bits. They differ from the reference
    engine's in the last places, because sums are ordered otherwise.
    """

    name = "compiled"

    def __init__(
        self,
        graph: Graph,
        batch_size: int,
        evaluation_rows: int = 1024,
        threads: int | None = None,
    ) -> None:
        self._threads = threads or available_cores()
        self._pool = ThreadPoolExecutor(max(self._threads - 1, 1), "trainer")
        self._dtype = np.dtype(graph.nodes[0].dtype)
        self._kernels = kernels_of(graph, batch_size, evaluation_rows)
        self._module = load_module(kernel_source(graph, batch_size, evaluation_rows))
        self._trained = len(graph.trainable)
        self._rates = inputs_of(graph)[1]
        self._outputs = int(graph[graph.outputs["prediction"]].shape[1])
        self._buffers: dict[tuple[str, int], list[Array]] = {}
        trained = [node for node in graph if node.op not in LEAVES]
        forward = graph.ancestors([graph.outputs["eval/loss"], graph.outputs["eval/prediction"]])
        evaluated = [node for node in trained if node.name in forward]
        rows = inputs_of(graph)[0]
        self._rows = dict.fromkeys(self._kernels, rows)
        self._rows["evaluate"] = [name for name in rows if name in forward]
        self._step_seconds = _seconds(trained, graph, batch_size)
        self._batch_seconds = _seconds(evaluated, graph, evaluation_rows)
        self.steps_per_call = max(1, int(CALL_SECONDS / self._step_seconds))
        self.batches_per_call = max(1, int(CALL_SECONDS / self._batch_seconds))

    def prepare(self, state: Mapping[str, Array], arrays: Mapping[str, Array]) -> None:
        """Compiles every kernel, or loads it from the cache, for such rows."""
        made = np.empty((0, self._outputs), self._dtype)
        rates = [np.empty(0, self._dtype) for _ in self._rates]
        records = [*rates, np.empty(0), np.empty(0), np.empty((0, self._trained)), made]
        ended = np.full(TEAM_SIZE, ENDED)
        for name, kernel in self._kernels.items():
            given = [arrays[row] for row in self._rows[name]]
            given += [*(state[leaf] for leaf in kernel.leaves)]
            given += _allocate(kernel, 1, self._dtype)
            if kernel.shared:
                getattr(self._module, f"{name}_pieces")((ended, *given), 0)
                given.insert(0, ended)
            function = getattr(self._module, name)
            function(*given, 1, 0, 0, *([0.0, made] if name == "evaluate" else records))
        seal_module(self._module)

    def train(
        self,
        state: dict[str, Array],
        arrays: Mapping[str, Array],
        rates: Mapping[str, Array],
        batch_size: int,
        first: int,
        last: int,
    ) -> tuple[Steps, Array]:
        """All steps in a call of the kernel, or two: full batches may have code of their own."""
        count, held = last - first, len(arrays["x"])
        losses, norms = np.empty(count), np.empty(count)
        parameter_norms = np.empty((count, self._trained))
        rows = min(last * batch_size, held) - first * batch_size
        predictions = np.empty((rows, self._outputs), self._dtype)
        at_each = [rates[name].astype(self._dtype, copy=False) for name in self._rates]
        done = 0
        # full batches first, where they have code of their own
        cut = min(max(first, held // batch_size), last) if "train_full" in self._kernels else first
        for name, begin, end in (("train_full", first, cut), ("train", cut, last)):
            if begin == end or begin != first + done:  # nothing to do, or it diverged before
                continue
            given = self._arguments(name, state, arrays, batch_size)
            done += self._run(
                name, (end - begin) * self._step_seconds, given, batch_size, begin, end,
                *(values[done:] for values in at_each),
                losses[done:], norms[done:], parameter_norms[done:],
                predictions[done * batch_size :],
            )  # fmt: skip
        if done < count:
            rows = done * batch_size
        steps = Steps(losses[:done], norms[:done], parameter_norms[:done], rows, done < count)
        return steps, predictions[:rows]

    def predict(
        self, state: Mapping[str, Array], arrays: Mapping[str, Array], batch_size: int
    ) -> tuple[float, Array]:
        """All batches in a call of the kernel."""
        held = len(arrays["x"])
        predictions = np.empty((held, self._outputs), self._dtype)
        given = self._arguments("evaluate", state, arrays, min(batch_size, held))
        count = -(-held // batch_size)
        total = self._run(
            "evaluate", count * self._batch_seconds, given, batch_size, 0, count, 0.0, predictions
        )
        return total, predictions

    def _run(self, name: str, seconds: float, arrays: list[Any], *rest: Any) -> Any:
        """Calls a kernel, and lets other threads join its work where it takes long enough."""
        function = getattr(self._module, name)
        if not self._kernels[name].shared:
            return function(*arrays, *rest)
        work = (np.zeros(TEAM_SIZE, np.int64), *arrays)  # a team of its own for each call
        join = getattr(self._module, f"{name}_pieces")
        count = self._threads - 1 if seconds > SHARED_SECONDS else 0
        helpers = [self._pool.submit(join, work, 1) for _ in range(count)]
        try:
            return function(*work, *rest)
        finally:
            work[0][TICKET] = ENDED
            for helper in helpers:  # who has not begun need not come; others leave by themselves
                helper.cancel()

    def _arguments(
        self,
        function: str,
        state: Mapping[str, Array],
        arrays: Mapping[str, Array],
        batch_size: int,
    ) -> list[Any]:
        """The rows, the parameters and states, and the work arrays of a kernel."""
        kernel = self._kernels[function]
        buffers = self._buffers.get((function, batch_size))
        if buffers is None:
            buffers = _allocate(kernel, batch_size, self._dtype)
            self._buffers[function, batch_size] = buffers
        rows = [arrays[name] for name in self._rows[function]]
        return [*rows, *(state[leaf] for leaf in kernel.leaves), *buffers]


def _allocate(kernel: Kernel, batch_size: int, dtype: np.dtype[Any]) -> list[Array]:
    return [
        np.empty([batch_size if dim == BATCH else int(dim) for dim in shape], dtype)
        for shape in kernel.buffers.values()
    ]


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


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
