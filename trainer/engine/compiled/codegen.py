"""From a graph to the source of its kernel: readable Python that Numba compiles.

A kernel is one function that runs many steps. Its arrays are arguments: the examples, the
parameters and states, one buffer for each value that outlives its loop. Elementwise ops are
written as the `kernel` of their row in the table of ops.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from trainer.engine.compiled.blas import use_loops, use_tiles
from trainer.engine.compiled.schedule import REDUCTIONS, Loop, Schedule, Step, Whole, plan, space_of
from trainer.graph.graph import Graph, Node
from trainer.graph.ops import BATCH, LEAKY_SLOPE, OPS, Shape

INDICES: Final = "ijk"
FUNCTIONS: Final = (
    "exp", "log", "tanh", "sigmoid", "softplus", "normal_cdf", "normal_pdf", "logistic_loss",
)  # fmt: skip
JIT: Final = (
    'njit(cache=True, error_model="numpy", fastmath={"contract"}, nogil=True, '
    "pipeline_class=NoAlias)"
)
FEW_ROWS: Final = 8  # full batches of no more rows get code of their own


@dataclass
class Kernel:
    """The source of one function and the arrays that it needs beside the examples.

    `leaves` are the parameters and states in the order of the arguments, `buffers` the shapes
    of the work arrays by argument name, where `BATCH` is the largest batch.
    """

    source: str
    leaves: tuple[str, ...]
    buffers: Mapping[str, Shape]


def training_kernel(graph: Graph, batch_size: int, full: bool = False) -> Kernel:
    """`train(x, y, batch_size, first, last, learning_rate, *leaves, *buffers, losses, norms,
    parameter_norms, predictions)`: the steps first … last; returns how many were done.

    It stops before a step whose loss or gradient norm is not finite; that changes nothing.
    With `full` it is called `train_full` and takes full batches alone: loops over a few rows
    are then of known length, and vanish.
    """
    parameters = [node.name for node in graph.parameters]
    loss, norm = graph.outputs["loss"], graph.outputs["grad_norm"]
    norms = [graph.outputs[f"grad_norm/{name}"] for name in parameters]
    prediction = graph.outputs["prediction"]
    check = [loss, norm, *norms, prediction]
    schedule = plan(graph, check, list(graph.updates.values()))
    w = _Writer(graph, schedule, batch_size, full)
    with w.block("for step in range(first, last):"):
        w.line("begin = step * batch_size")
        if not full:
            w.line("n = min(batch_size, x.shape[0] - begin)")
        w.steps(schedule.steps[: schedule.checked])
        w.line(f"if not (isfinite({w.scalar(loss)}) and isfinite({w.scalar(norm)})):")
        w.line("    return done")
        w.line(f"losses[done] = {w.scalar(loss)}")
        w.line(f"norms[done] = {w.scalar(norm)}")
        for k, name in enumerate(norms):
            w.line(f"parameter_norms[done, {k}] = {w.scalar(name)}")
        w.copy_rows("predictions", prediction, "begin - first * batch_size")
        w.steps(schedule.steps[schedule.checked :], graph.updates)
        w.line("done += 1")
    arguments = ["x", "y", "batch_size", "first", "last", "learning_rate"]
    after = ["losses", "norms", "parameter_norms", "predictions"]
    name = "train_full" if full else "train"
    return w.function(name, arguments, after, ["done = 0"], "return done")


def evaluation_kernel(graph: Graph, batch_size: int) -> Kernel:
    """`evaluate(x, y, batch_size, first, last, total, *leaves, *buffers, predictions)`: adds the
    loss of the batches first … last, times their rows, to `total` and returns it.
    """
    loss, prediction = graph.outputs["loss"], graph.outputs["prediction"]
    schedule = plan(graph, [loss, prediction])
    w = _Writer(graph, schedule, batch_size)
    with w.block("for step in range(first, last):"):
        w.line("begin = step * batch_size")
        w.line("n = min(batch_size, x.shape[0] - begin)")
        w.steps(schedule.steps)
        w.line(f"total += float64({w.scalar(loss)}) * n")
        w.copy_rows("predictions", prediction, "begin")
    arguments = ["x", "y", "batch_size", "first", "last", "total"]
    return w.function("evaluate", arguments, ["predictions"], [], "return total")


def values_kernel(graph: Graph, fetch: Sequence[str]) -> Kernel:
    """`values(*leaves, *buffers, *outputs)`: the nodes `fetch`, once; inputs count as leaves."""
    schedule = plan(graph, fetch)
    w = _Writer(graph, schedule)
    w.steps(schedule.steps)
    for k, name in enumerate(fetch):
        w.copy(f"out{k}", name)
    return w.function("values", [], [f"out{k}" for k in range(len(fetch))], [], "return")


def kernels_of(graph: Graph, batch_size: int, evaluation_rows: int) -> dict[str, Kernel]:
    """The kernels of a training graph, by the names of their functions.

    The batch sizes decide how matrix products are computed; any batch may have fewer rows.
    """
    kernels = {"train": training_kernel(graph, batch_size)}
    if batch_size <= FEW_ROWS:
        kernels["train_full"] = training_kernel(graph, batch_size, full=True)
    return kernels | {"evaluate": evaluation_kernel(graph, evaluation_rows)}


def kernel_source(graph: Graph, batch_size: int, evaluation_rows: int) -> str:
    """The whole source that runs a training graph."""
    title = "Kernels for many SGD steps and for evaluation, made from a spec's graph."
    kernels = kernels_of(graph, batch_size, evaluation_rows).values()
    return module_source(title, graph.nodes[0].dtype, list(kernels))


def module_source(title: str, dtype: str, kernels: Sequence[Kernel]) -> str:
    """The module that holds the kernels; it imports and computes in `dtype` alone."""
    short = {"float32": "f32", "float64": "f64"}[dtype]
    body = "\n\n\n".join(kernel.source for kernel in kernels)
    code = re.sub(r"#.*", "", body)
    used = [name for name in FUNCTIONS if re.search(rf"\b{name}\(", code)]
    products = sorted(set(re.findall(r"\b((?:tiled_)?gemm_(?:nn|tn|nt))\(", code)))
    imports = ["from math import isfinite, sqrt"]
    imports += [
        "from numba import njit",
        f"from numpy import {dtype} as real",
        "from numpy import float64",
        "",
    ]
    imports += [
        f"from trainer.engine.compiled.blas import {name}_{short} as {name}" for name in products
    ]
    imports += [
        f"from trainer.engine.compiled.functions import {name}_{short} as {name}" for name in used
    ]
    imports += ["from trainer.engine.compiled.pipeline import NoAlias"]
    constants = [
        f"ZERO, ONE, SLOPE = real(0), real(1), real({LEAKY_SLOPE})",
        *sorted(set(re.findall(r"\bC_\w+ = .*", body))),
    ]
    body = re.sub(r"^ *C_\w+ = .*\n", "", body, flags=re.MULTILINE)
    return "\n".join([f'"""{title}"""', "", *imports, "", *constants, "", "", body, ""])


class _Writer:
    """Writes the statements of one kernel."""

    def __init__(
        self, graph: Graph, schedule: Schedule, batch_size: int = 1, full: bool = False
    ) -> None:
        self._batch_size = batch_size
        self._rows = str(batch_size) if full else "n"
        self._graph = graph
        self._schedule = schedule
        self._lines: list[str] = []
        self._depth = 1
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        self._buffers: dict[str, Shape] = {}
        self._leaves: list[str] = []

    # Text ----------------------------------------------------------------------------------

    def line(self, text: str) -> None:
        self._lines.append("    " * self._depth + text if text else "")

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def function(
        self, name: str, before: list[str], after: list[str], setup: list[str], end: str
    ) -> Kernel:
        kinds = ("parameter", "state") if before else ("parameter", "state", "input")
        leaves = [node.name for node in self._graph if node.op in kinds]
        arguments = [*before, *(self.name(leaf) for leaf in leaves), *self._buffers, *after]
        lines = [f"@{JIT}", f"def {name}({', '.join(arguments)}):"]
        lines += [f"    {text}" for text in setup] + self._lines + [f"    {end}"]
        return Kernel("\n".join(lines), tuple(leaves), dict(self._buffers))

    # Names and elements --------------------------------------------------------------------

    def name(self, node: str) -> str:
        """The variable that holds a node: its name, made fit for Python."""
        if node not in self._names:
            inputs = self._graph[node].op == "input"
            stem = re.sub(r"\W+", "_", node).strip("_") or "value"
            stem = stem if inputs else f"v_{stem}" if stem[0].isdigit() else f"{stem}_"
            fresh, number = stem, 2
            while fresh in self._taken:
                fresh, number = f"{stem}{number}", number + 1
            self._taken.add(fresh)
            self._names[node] = fresh
        return self._names[node]

    def scalar(self, node: str) -> str:
        """A node of shape ()."""
        found = self._graph[node]
        if found.op == "constant":
            value = found.attributes["value"]
            label = "C_" + re.sub(r"\W", "_", f"{value!r}")
            self.line(f"{label} = real({value!r})")
            return label
        if found.op in ("parameter", "state"):
            return f"{self.name(node)}[()]"
        return self.name(node)

    def element(self, node: str, space: Shape, indices: Sequence[str]) -> str:
        """The element of a node that belongs to this place of the space, by broadcasting."""
        shape = self._graph[node].shape
        if shape == ():
            return self.scalar(node)
        axes = range(len(space) - len(shape), len(space))
        return self.at(node, [
            "0" if dim == 1 and space[a] != 1 else indices[a]
            for a, dim in zip(axes, shape, strict=True)
        ])  # fmt: skip

    def at(self, node: str, indices: Sequence[str]) -> str:
        """An element of an array; rows of an input begin where the batch does."""
        found = self._graph[node]
        if found.op == "input" and found.shape[:1] == (BATCH,):
            indices = [f"begin + {indices[0]}", *indices[1:]]
        return f"{self.name(node)}[{', '.join(indices)}]"

    def size(self, dim: int | str) -> str:
        return self._rows if dim == BATCH else str(dim)

    def buffer(self, node: str) -> str:
        name = self.name(node)
        self._buffers[name] = self._graph[node].shape
        return name

    def lanes(self, node: str, dim: int | str) -> str:
        name = f"{self.name(node)}lanes"
        self._buffers[name] = (dim,)
        return name

    # Steps ---------------------------------------------------------------------------------

    def steps(self, steps: Sequence[Step], updates: Mapping[str, str] | None = None) -> None:
        """The steps, and with them the updates: as early as no later step reads the old value."""
        updates = updates or {}
        numbers = {id(step): k for k, step in enumerate(self._schedule.steps)}
        early = {leaf: node for leaf, node in updates.items() if self._may_overwrite(leaf, node)}
        late = {leaf: node for leaf, node in updates.items() if leaf not in early}
        self._schedule.stored.update(late.values())
        for step in steps:
            if isinstance(step, Whole):
                self._whole(step.node)
            else:
                here = {
                    node: leaf
                    for leaf, node in early.items()
                    if self._schedule.place[node] == numbers[id(step)]
                }
                self._loop(step, here)
        for leaf, node in late.items():
            self.copy(self.name(leaf), node)

    def _may_overwrite(self, leaf: str, node: str) -> bool:
        """Whether the loop that computes a new value may store it over the old one."""
        place = self._schedule.place
        step = self._schedule.steps[place[node]] if node in place else None
        shape = self._graph[leaf].shape
        if not isinstance(step, Loop) or step.space != shape or self._graph[node].shape != shape:
            return False
        readers = [n for n in self._graph if leaf in n.inputs and n.name in place]
        readers += [
            self._graph[name]
            for name, base in self._schedule.transposed.items()
            if base == leaf
            for n in self._graph
            if name in n.inputs and n.name in place
        ]
        last = max((self._last_use(n) for n in readers), default=0)
        inside = [n for n in readers if place.get(n.name) == place[node]]
        return last <= place[node] and all(space_of(n, self._graph) == shape for n in inside)

    def _last_use(self, reader: Node) -> int:
        """The number of the last step in which a reader, or what multiplies it, runs."""
        place = self._schedule.place
        if reader.name in place:
            return place[reader.name]
        return max(
            place[n.name] for n in self._graph if reader.name in n.inputs and n.name in place
        )

    def copy(self, target: str, node: str) -> None:
        shape = self._graph[node].shape
        indices = INDICES[: len(shape)]
        with self._nest(shape):
            value = self.element(node, shape, indices)
            self.line(f"{target}[{', '.join(indices) or '()'}] = {value}")

    def copy_rows(self, target: str, node: str, offset: str) -> None:
        shape = self._graph[node].shape
        with self._nest(shape):
            self.line(f"{target}[{offset} + i, j] = {self.element(node, shape, 'ij')}")

    @contextmanager
    def _nest(self, shape: Shape) -> Iterator[None]:
        depth = self._depth
        for index, dim in zip(INDICES, shape, strict=False):
            self.line(f"for {index} in range({self.size(dim)}):")
            self._depth += 1
        yield
        self._depth = depth

    # Loops ---------------------------------------------------------------------------------

    def _loop(self, loop: Loop, updates: Mapping[str, str]) -> None:
        space = loop.space
        for node in loop.nodes:
            self.line(f"# {node.name} = {node.formula}")
        sums = [_Sum.of(self, node, space) for node in loop.nodes if node.op in REDUCTIONS]
        for total in sums:
            for text in total.before:
                self.line(text)
        with self._nest(space):
            for node in loop.nodes:
                if node.op not in REDUCTIONS:
                    self._element(node, space)
                    if node.name in updates:
                        place = ", ".join(INDICES[: len(space)]) or "()"
                        self.line(f"{self.name(updates[node.name])}[{place}] = {self._value(node)}")
            for total in sums:
                for text in total.inside:
                    self.line(text)
        for total in sums:
            for text in total.after:
                self.line(text)
        self.line("")

    def _value(self, node: Node) -> str:
        """The variable of an element that the loop at hand has computed."""
        return self.name(node.name) if node.shape == () else f"{self.name(node.name)}at"

    def _element(self, node: Node, space: Shape) -> None:
        """One statement for one element of an elementwise node, stored if a later step reads it."""
        indices = INDICES[: len(space)]
        value = self._value(node)
        self.line(f"{value} = {self._expression(node, space, indices)}")
        if node.name in self._schedule.stored and node.shape != ():
            self.line(f"{self.buffer(node.name)}[{', '.join(indices)}] = {value}")

    def read(self, source: str, reader: Node, space: Shape, indices: Sequence[str]) -> str:
        """An input's element: a variable of this loop, or read from its array."""
        found = self._graph[source]
        place = self._schedule.place
        here = source in place and place[source] == place[reader.name]
        if here and found.shape == space and found.op not in REDUCTIONS:
            return self._value(found)
        return self.element(source, space, indices)

    def _expression(self, node: Node, space: Shape, indices: str) -> str:
        if node.op == "count":
            shape = self._graph[node.inputs[0]].shape
            dims = [self.size(shape[axis]) for axis in node.attributes["axes"]]
            return f"real({' * '.join(dims) or '1'})"
        if node.op == "transpose":
            source = node.inputs[0]
            return self.at(source, indices[::-1])
        if node.op == "expand_like":
            source = node.inputs[0]
            axes = () if node.attributes.get("keepdims") else node.attributes["axes"]
            kept = [a for a in range(len(space)) if a not in axes]
            part = tuple(space[a] for a in kept)
            return self.read(source, node, part, [indices[a] for a in kept])
        terms = [self.read(source, node, space, indices) for source in node.inputs]
        kernel = OPS[node.op].kernel
        assert kernel is not None
        return kernel.format(*terms)

    # Whole nodes ---------------------------------------------------------------------------

    def _whole(self, node: Node) -> None:
        self.line(f"# {node.name} = {node.formula}")
        if node.op == "matmul":
            self._product(node)
        else:
            self._softmax(node)
        self.line("")

    def _product(self, node: Node) -> None:
        """A matrix product: loops where it is small, else a call of BLAS, in tiles if large."""
        flips = [source in self._schedule.transposed for source in node.inputs]
        a, b = (self._schedule.transposed.get(source, source) for source in node.inputs)
        self.buffer(node.name)
        rows, columns = node.shape
        inner = self._graph[node.inputs[0]].shape[1]
        sizes = [self._batch_size if dim == BATCH else int(dim) for dim in (rows, columns, inner)]
        strided = any(BATCH in self._graph[name].shape[1:] for name in (a, b, node.name))
        if strided or all(flips) or use_loops(*sizes):
            self._product_loops(node, a, b, flips)
            return
        kind = f"gemm_{'t' if flips[0] else 'n'}{'t' if flips[1] else 'n'}"
        tiled = "tiled_" if use_tiles(*sizes) else ""
        self.line(f"{tiled}{kind}({self._matrix(a)}, {self._matrix(b)}, {self._matrix(node.name)})")

    def _matrix(self, name: str) -> str:
        """A whole matrix, as far as it is filled."""
        found = self._graph[name]
        if found.shape[0] != BATCH:
            return self.name(name)
        end = self._rows
        rows = f"begin:begin + {end}" if found.op == "input" else f":{end}"
        return f"{self.name(name)}[{rows}]"

    def _product_loops(self, node: Node, a: str, b: str, flips: Sequence[bool]) -> None:
        rows, columns = (self.size(dim) for dim in node.shape)
        inner = self.size(self._graph[node.inputs[0]].shape[1])
        out = self.name(node.name)
        left = self.at(a, ("k", "i") if flips[0] else ("i", "k"))
        right = self.at(b, ("j", "k") if flips[1] else ("k", "j"))
        if flips[0]:
            with self.block(f"for i in range({rows}):"):
                self.line(f"for j in range({columns}):")
                self.line(f"    {out}[i, j] = ZERO")
            with self.block(f"for k in range({inner}):"), self.block(f"for i in range({rows}):"):
                self.line(f"factor = {left}")
                self.line(f"for j in range({columns}):")
                self.line(f"    {out}[i, j] += factor * {right}")
            return
        with self.block(f"for i in range({rows}):"):
            self.line(f"for j in range({columns}):")
            self.line(f"    {out}[i, j] = ZERO")
            with self.block(f"for k in range({inner}):"):
                self.line(f"factor = {left}")
                self.line(f"for j in range({columns}):")
                self.line(f"    {out}[i, j] += factor * {right}")

    def _softmax(self, node: Node) -> None:
        source, out = node.inputs[0], self.buffer(node.name)
        *rows, columns = node.shape
        before = INDICES[: len(rows)]
        last = INDICES[len(rows)]
        x = self.at(source, [*before, last])
        y = f"{out}[{', '.join([*before, last])}]"
        depth = self._depth
        for index, dim in zip(before, rows, strict=True):
            self.line(f"for {index} in range({self.size(dim)}):")
            self._depth += 1
        every = f"for {last} in range({self.size(columns)}):"
        self.line(f"top, mass = {self.at(source, [*before, '0'])}, ZERO")
        with self.block(every):
            self.line(f"top = max(top, {x})")
        with self.block(every):
            self.line(f"{y} = exp({x} - top)")
        with self.block(every):
            self.line(f"mass += {y}")
        if node.op == "log_softmax":
            self.line("mass = log(mass)")
        with self.block(every):
            self.line(f"{y} = {x} - top - mass" if node.op == "log_softmax" else f"{y} /= mass")
        self._depth = depth


@dataclass
class _Sum:
    """The statements of one sum or mean within a loop, by where they stand.

    A sum of everything runs in lanes, one for each place of the last axis, which are added in
    order at the end: so the loop vectorises, and the order of additions is fixed.
    """

    before: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, writer: _Writer, node: Node, space: Shape) -> _Sum:
        axes = tuple(node.attributes["axes"])
        indices = INDICES[: len(space)]
        value = writer.read(node.inputs[0], node, space, indices)
        dims = " * ".join(writer.size(space[axis]) for axis in axes) or "1"
        divide = f" / real({dims})" if node.op == "mean" else ""
        if not axes:
            return cls._stored(writer, node, f"{value}{divide}", indices)
        if set(axes) == set(range(len(space))):
            return cls._total(writer, node, space, value, divide)
        return cls._partial(writer, node, space, value, divide)

    @classmethod
    def _stored(cls, writer: _Writer, node: Node, value: str, indices: str) -> _Sum:
        if node.shape == ():
            return cls(inside=[f"{writer.name(node.name)} = {value}"])
        return cls(inside=[f"{writer.buffer(node.name)}[{', '.join(indices)}] = {value}"])

    @classmethod
    def _total(cls, writer: _Writer, node: Node, space: Shape, value: str, divide: str) -> _Sum:
        name = writer.name(node.name)
        total = name if node.shape == () else f"{name}total"
        wide = max((a for a in range(len(space)) if space[a] != 1), default=0)
        lanes, lane = writer.lanes(node.name, space[wide]), INDICES[wide]
        dim = writer.size(space[wide])
        end = [f"{total} = ZERO", f"for i in range({dim}):", f"    {total} += {lanes}[i]"]
        if divide:
            end.append(f"{total} = {total}{divide}")
        if node.shape != ():
            zeros = ", ".join("0" for _ in node.shape)
            end.append(f"{writer.buffer(node.name)}[{zeros}] = {total}")
        return cls(
            before=[f"for i in range({dim}):", f"    {lanes}[i] = ZERO"],
            inside=[f"{lanes}[{lane}] += {value}"],
            after=end,
        )

    @classmethod
    def _partial(cls, writer: _Writer, node: Node, space: Shape, value: str, divide: str) -> _Sum:
        """Over some axes of two or more: kept places have a cell of their own in the buffer."""
        axes = tuple(node.attributes["axes"])
        keep = bool(node.attributes.get("keepdims"))
        out = writer.buffer(node.name)
        place = [
            "0" if axis in axes else INDICES[axis]
            for axis in range(len(space))
            if keep or axis not in axes
        ]
        cell = f"{out}[{', '.join(place)}]"
        kept = [axis for axis in range(len(space)) if axis not in axes]
        heads, depth = [], 0
        for axis in kept:
            heads.append(
                "    " * depth + f"for {INDICES[axis]} in range({writer.size(space[axis])}):"
            )
            depth += 1
        pad = "    " * depth
        after = [*heads, f"{pad}{cell} = {cell}{divide}"] if divide else []
        return cls(
            before=[*heads, f"{pad}{cell} = ZERO"], inside=[f"{cell} += {value}"], after=after
        )
