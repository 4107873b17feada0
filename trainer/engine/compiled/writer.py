"""Writes the statements of a kernel: loops, sums, matrix products, and who runs them.

Large steps are jobs: what is written for them runs piece by piece in the function `pieces`, on
any number of threads, while the kernel itself posts the job and waits (see `team.py`). Where a
piece begins and ends depends on sizes alone, and so do all bits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from trainer.engine.compiled.blas import tile_shape, use_loops, use_tiles
from trainer.engine.compiled.schedule import (
    Loop,
    Schedule,
    Step,
    is_sum,
    nodes_of,
    reads_elsewhere,
    space_of,
)
from trainer.graph.graph import Graph, Node
from trainer.graph.ops import BATCH, OPS, InOrder, Places, Read, Rows, Shape

INDICES: Final = "ijk"
FUNCTIONS: Final = (
    "exp", "log", "tanh", "sigmoid", "softplus", "normal_cdf", "normal_pdf", "logistic_loss",
)  # fmt: skip
JOB_NUMBERS: Final = 32_768  # a loop over as many numbers is shared; a function counts for ten
MOST_PIECES: Final = 64


class Writer:
    """Writes the statements of one kernel.

    `batch_size` decides what is a loop, a call of BLAS or a job. With `full` every batch has
    exactly so many rows, else at most. Without `share` one thread does all.
    """

    def __init__(
        self,
        graph: Graph,
        schedule: Schedule,
        batch_size: int = 1,
        full: bool = False,
        share: bool = True,
    ) -> None:
        self._graph = graph
        self._schedule = schedule
        self._batch_size = batch_size
        self._rows = str(batch_size) if full else "n"
        self._share = share
        self._lines: list[str] = []
        self._depth = 1
        self._names: dict[tuple[str, str], str] = {}
        self._taken: set[str] = {"n", "begin", "step", "start", "stop", "piece", "job", "scalars"}
        self._part: int | None = None  # rows in a piece, while one is written
        self._passed: dict[str, None] = {}  # scalars that this piece reads
        self.buffers: dict[str, Shape] = {}
        self.jobs: list[list[str]] = []

    # Text ----------------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """What was written for the kernel itself."""
        return self._lines

    def line(self, text: str) -> None:
        """One line at the current depth."""
        self._lines.append("    " * self._depth + text if text else "")

    def _write(self, lines: Sequence[str]) -> None:
        for text in lines:
            self.line(text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """What follows is inside this statement."""
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    # Names and elements --------------------------------------------------------------------

    def name(self, node: str) -> str:
        """The variable that holds a node: its name, or its buffer's, made fit for Python."""
        holder = self._schedule.slots.get(node, node)
        inputs = holder in self._graph and self._graph[holder].op == "input"
        return self._variable(holder, "" if inputs else "_")

    def _variable(self, holder: str, suffix: str) -> str:
        """A name like the holder's that no other one has."""
        key = (holder, suffix)
        if key not in self._names:
            stem = re.sub(r"\W+", "_", holder).strip("_") or "value"
            stem = (f"v_{stem}" if stem[0].isdigit() else stem) + suffix
            fresh, number = stem, 2
            while fresh in self._taken:
                fresh, number = f"{stem}{number}", number + 1
            self._taken.add(fresh)
            self._names[key] = fresh
        return self._names[key]

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
        if self._part is not None:
            self._passed[node] = None
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
        """The length of an axis."""
        return self._rows if dim == BATCH else str(dim)

    def over(self, space: Shape, axis: int) -> str:
        """The head of a loop over an axis: over the rows of the piece, where one is written."""
        part = self._part is not None and axis == 0
        return f"for {INDICES[axis]} in range({'start, stop' if part else self.size(space[axis])}):"

    def buffer(self, node: str) -> str:
        """The array that a node is stored in."""
        name = self.name(node)
        self.buffers[name] = self._graph[node].shape
        return name

    def work(self, node: str, suffix: str, shape: Shape) -> str:
        """An array that a sum needs besides."""
        name = f"{self.name(node)}{suffix}"
        self.buffers[name] = shape
        return name

    def _nominal(self, shape: Shape) -> int:
        """The number of elements with a full batch."""
        return math.prod(self._batch_size if dim == BATCH else int(dim) for dim in shape)

    # Steps ---------------------------------------------------------------------------------

    def steps(self, steps: Sequence[Step], updates: Mapping[str, str] | None = None) -> None:
        """The steps, and with them the updates: as early as no later step reads the old value."""
        updates = updates or {}
        numbers = {id(step): k for k, step in enumerate(self._schedule.steps)}
        early = {leaf: node for leaf, node in updates.items() if self._may_overwrite(leaf, node)}
        late = {leaf: node for leaf, node in updates.items() if leaf not in early}
        self._schedule.stored.update(late.values())
        for step in steps:
            if not nodes_of(step):  # all were postponed
                continue
            for node in nodes_of(step):
                self.line(f"# {node.name} = {node.formula}")
            if isinstance(step, Loop):
                here = {
                    node: leaf
                    for leaf, node in early.items()
                    if self._schedule.place[node] == numbers[id(step)]
                }
                self._loop(step, here)
            else:
                self._whole(step.node)
            self.line("")
        for leaf, value in late.items():
            self.copy(self.name(leaf), value)

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
        return last <= place[node] and all(
            space_of(n, self._graph) == shape and not reads_elsewhere(n) for n in inside
        )

    def _last_use(self, reader: Node) -> int:
        """The number of the last step in which a reader, or what multiplies it, runs."""
        place = self._schedule.place
        if reader.name in place:
            return place[reader.name]
        return max(
            place[n.name] for n in self._graph if reader.name in n.inputs and n.name in place
        )

    def copy(self, target: str, node: str) -> None:
        """A node's elements to another array."""
        shape = self._graph[node].shape
        indices = INDICES[: len(shape)]
        with self._nest(shape):
            value = self.element(node, shape, indices)
            self.line(f"{target}[{', '.join(indices) or '()'}] = {value}")

    def copy_rows(self, target: str, node: str, offset: str) -> None:
        """The rows of a batch to an array of more rows."""
        shape = self._graph[node].shape
        with self._nest(shape):
            self.line(f"{target}[{offset} + i, j] = {self.element(node, shape, 'ij')}")

    @contextmanager
    def _nest(self, space: Shape) -> Iterator[None]:
        depth = self._depth
        for axis in range(len(space)):
            self.line(self.over(space, axis))
            self._depth += 1
        yield
        self._depth = depth

    # Jobs ----------------------------------------------------------------------------------

    def _rows_of_a_piece(self, space: Shape, nodes: Sequence[Node]) -> int | None:
        """How many rows of a loop go to a thread at a time; None where one thread does it all."""
        numbers = self._nominal(space)
        slow = any(name in (OPS[n.op].kernel or "") for n in nodes for name in FUNCTIONS)
        slow = slow or any(isinstance(OPS[n.op].form, Rows) for n in nodes)
        if not self._share or len(space) < 1 or numbers * (10 if slow else 1) < JOB_NUMBERS:
            return None
        rows = self._nominal(space[:1])
        least = JOB_NUMBERS // 2 // (10 if slow else 1)
        return max(1, least * rows // numbers, -(-rows // MOST_PIECES))

    def _pieces(self, dim: int | str, part: int) -> str:
        """How many pieces of `part` rows or columns there are."""
        if dim == BATCH and self._rows == "n":
            return "n" if part == 1 else f"(n + {part - 1}) // {part}"
        return str(-(-self._nominal((dim,)) // part))

    @contextmanager
    def _job(self, pieces: str, part: int = 0) -> Iterator[None]:
        """What follows is written for the piece number `piece` of a job."""
        outside, depth = self._lines, self._depth
        self._lines, self._depth, self._part, self._passed = [], 3, part, {}
        yield
        body, passed = self._lines, list(self._passed)
        self._lines, self._depth, self._part = outside, depth, None
        reads = []
        for k, node in enumerate(passed):
            self.line(f"scalars[{k}] = {self.scalar(node)}")
            reads.append(f"            {self.name(node)} = scalars[{k}]")
            self.buffers["scalars"] = (max(8, k + 1),)
        number = len(self.jobs)
        self.jobs.append(reads + body)
        self.line(f"post(team, {number}, {pieces}, begin, {self._rows})")
        self.line("pieces(work, int64(0))")
        self.line("wait(team)")

    # Loops ---------------------------------------------------------------------------------

    def _loop(self, loop: Loop, updates: Mapping[str, str]) -> None:
        space = loop.space
        part = self._rows_of_a_piece(space, loop.nodes)
        if part is None:
            self._loop_body(loop, updates)
            return
        with self._job(self._pieces(space[0], part), part):
            self._rows_of(space, part)
            sums = self._loop_body(loop, updates)
        for total in sums:
            self._write(total.combine)

    def _rows_of(self, space: Shape, part: int) -> None:
        """Sets the first and the last row of a piece."""
        self.line(f"start = piece * {part}")
        self.line(f"stop = min(start + {part}, {self.size(space[0])})")

    def _loop_body(self, loop: Loop, updates: Mapping[str, str]) -> list[_Sum]:
        space = loop.space
        sums = [_Sum.of(self, node, space) for node in loop.nodes if is_sum(node)]
        for total in sums:
            self._write(total.before)
        with self._nest(space):
            for node in loop.nodes:
                if not is_sum(node):
                    self._element(node, space)
                    if node.name in updates:
                        place = ", ".join(INDICES[: len(space)]) or "()"
                        self.line(f"{self.name(updates[node.name])}[{place}] = {self._value(node)}")
            for total in sums:
                self._write(total.inside)
        for total in sums:
            self._write(total.after)
        return sums

    def _value(self, node: Node) -> str:
        """The variable of an element that this loop has computed."""
        return self._variable(node.name, "_" if node.shape == () else "_at")

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
        if here and found.shape == space and not is_sum(found):
            return self._value(found)
        return self.element(source, space, indices)

    def _expression(self, node: Node, space: Shape, indices: str) -> str:
        form = OPS[node.op].form
        if form == "count":
            shape = self._graph[node.inputs[0]].shape
            dims = [self.size(shape[axis]) for axis in node.attributes["axes"]]
            return f"real({' * '.join(dims) or '1'})"
        if isinstance(form, Places):
            shapes = [self._graph[name].shape for name in node.inputs]
            return form.element(self._reader(node), shapes, indices, **node.attributes)
        if form == "repeat":
            source = node.inputs[0]
            axes = () if node.attributes.get("keepdims") else node.attributes["axes"]
            kept = [a for a in range(len(space)) if a not in axes]
            part = tuple(space[a] for a in kept)
            return self.read(source, node, part, [indices[a] for a in kept])
        terms = [self.read(source, node, space, indices) for source in node.inputs]
        kernel = OPS[node.op].kernel
        assert kernel is not None
        return kernel.format(*terms)

    def _reader(self, node: Node) -> Read:
        """What writes an element of an input at other places than the loop's."""
        return lambda number, places: self.at(node.inputs[number], places)

    # Whole nodes ---------------------------------------------------------------------------

    def _whole(self, node: Node) -> None:
        form = OPS[node.op].form
        if isinstance(form, Rows):
            self._in_rows(node, form)
        elif isinstance(form, InOrder):
            self._in_order(node, form)
        else:
            self._product(node)

    def _in_order(self, node: Node, form: InOrder) -> None:
        out = self.buffer(node.name)
        sizes = [[*map(self.size, self._graph[name].shape)] for name in node.inputs]
        self._write(form.lines(self._reader(node), out, sizes))

    def _product(self, node: Node) -> None:
        """A matrix product: loops where it is small, else a call of BLAS, in tiles if large."""
        flips = [source in self._schedule.transposed for source in node.inputs]
        a, b = (self._schedule.transposed.get(source, source) for source in node.inputs)
        self.buffer(node.name)
        rows, columns = node.shape
        inner = self._graph[node.inputs[0]].shape[1]
        m, n, k = (self._nominal((dim,)) for dim in (rows, columns, inner))
        strided = any(BATCH in self._graph[name].shape[1:] for name in (a, b, node.name))
        if strided or all(flips) or use_loops(m, n, k):
            self._product_loops(node, a, b, flips)
            return
        form = f"{'t' if flips[0] else 'n'}{'t' if flips[1] else 'n'}"
        operands = ", ".join(self._matrix(name) for name in (a, b, node.name))
        if not self._share or not use_tiles(m, n, k):
            self.line(f"gemm_{form}({operands})")
            return
        high, wide = tile_shape(form, m, n, k)
        across = -(-n // wide)
        pieces = self._pieces(rows, high)
        with self._job(pieces if across == 1 else f"({pieces}) * {across}"):
            self.line(f"gemm_{form}_tile(piece, int64({high}), int64({wide}), {operands})")

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

    def _in_rows(self, node: Node, form: Rows) -> None:
        part = self._rows_of_a_piece(node.shape, [node])
        if part is None or len(node.shape) == 1:
            self._row_by_row(node, form)
            return
        with self._job(self._pieces(node.shape[0], part), part):
            self._rows_of(node.shape, part)
            self._row_by_row(node, form)

    def _row_by_row(self, node: Node, form: Rows) -> None:
        source, out = node.inputs[0], self.buffer(node.name)
        before, last = INDICES[: len(node.shape) - 1], INDICES[len(node.shape) - 1]
        x, first = self.at(source, [*before, last]), self.at(source, [*before, "0"])
        y = f"{out}[{', '.join([*before, last])}]"
        every = f"for {last} in range({self.size(node.shape[-1])}):"
        with self._nest(node.shape[:-1]):
            self._write(form.lines(x, first, y, every))

    @property
    def part(self) -> int | None:
        """The rows of a piece, while one is written."""
        return self._part

    def most_pieces(self, space: Shape) -> int:
        """How many pieces this loop has for a full batch."""
        assert self._part
        return -(-self._nominal(space[:1]) // self._part)

    def count_pieces(self, space: Shape) -> str:
        """The same for the current batch, as an expression."""
        assert self._part
        return self._pieces(space[0], self._part)


@dataclass
class _Sum:
    """The statements of one sum or mean within a loop, by where they stand.

    A sum of everything runs in lanes, one for each place of the last axis, which are added in
    order at the end: so the loop vectorises, and the order of additions is fixed. In a job each
    piece has sums of its own; `combine` adds them in order when all pieces are done.
    """

    before: list[str] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    combine: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, writer: Writer, node: Node, space: Shape) -> _Sum:
        """The sum `node` in a loop over `space`."""
        axes = tuple(node.attributes["axes"])
        indices = INDICES[: len(space)]
        value = writer.read(node.inputs[0], node, space, indices)
        dims = " * ".join(writer.size(space[axis]) for axis in axes) or "1"
        divide = f" / real({dims})" if OPS[node.op].form == "mean" else ""
        if not axes:
            return cls._stored(writer, node, f"{value}{divide}", indices)
        if set(axes) == set(range(len(space))):
            return cls._total(writer, node, space, value, divide)
        return cls._partial(writer, node, space, value, divide)

    @classmethod
    def _stored(cls, writer: Writer, node: Node, value: str, indices: str) -> _Sum:
        if node.shape == ():
            return cls(inside=[f"{writer.name(node.name)} = {value}"])
        return cls(inside=[f"{writer.buffer(node.name)}[{', '.join(indices)}] = {value}"])

    @classmethod
    def _total(cls, writer: Writer, node: Node, space: Shape, value: str, divide: str) -> _Sum:
        name = writer.name(node.name)
        total = name if node.shape == () else f"{name}total"
        wide = max((a for a in range(len(space)) if space[a] != 1), default=0)
        dim, lane = writer.size(space[wide]), INDICES[wide]
        shape: Shape = (space[wide],)
        place = ""
        if writer.part is not None:
            place = "piece, "
            if wide == 0:
                dim, lane, shape = "stop - start", "i - start", (writer.part,)
            shape = (writer.most_pieces(space), *shape)
        lanes = writer.work(node.name, "lanes", shape)
        before = [f"for i in range({dim}):", f"    {lanes}[{place}i] = ZERO"]
        inside = [f"{lanes}[{place}{lane}] += {value}"]
        add = [f"{total} = ZERO", f"for i in range({dim}):", f"    {total} += {lanes}[{place}i]"]
        end = [f"{total} = {total}{divide}"] if divide else []
        if node.shape != ():
            zeros = ", ".join("0" for _ in node.shape)
            end.append(f"{writer.buffer(node.name)}[{zeros}] = {total}")
        if writer.part is None:
            return cls(before, inside, [*add, *end])
        combine = [
            f"{total} = ZERO",
            f"for i in range({writer.count_pieces(space)}):",
            f"    {total} += {lanes}[i, 0]",
        ]
        return cls(before, inside, [*add, f"{lanes}[piece, 0] = {total}"], [*combine, *end])

    @classmethod
    def _partial(cls, writer: Writer, node: Node, space: Shape, value: str, divide: str) -> _Sum:
        """Over some axes of two or more: kept places have a cell of their own in the buffer."""
        axes = tuple(node.attributes["axes"])
        keep = bool(node.attributes.get("keepdims"))
        kept = [axis for axis in range(len(space)) if axis not in axes]
        cell = "{}[{}]".format(writer.buffer(node.name), ", ".join(
            "0" if axis in axes else INDICES[axis]
            for axis in range(len(space)) if keep or axis not in axes
        ))  # fmt: skip

        def each(statement: str, heads: Sequence[str]) -> list[str]:
            return ["    " * k + text for k, text in enumerate([*heads, statement])]

        heads = [writer.over(space, axis) for axis in kept]
        zero = each(f"{cell} = ZERO", heads)
        end = each(f"{cell} = {cell}{divide}", heads) if divide else []
        if writer.part is None or 0 not in axes:
            return cls(zero, [f"{cell} += {value}"], end)
        shape = (writer.most_pieces(space), *(space[axis] for axis in kept))
        parts = writer.work(node.name, "parts", shape)
        own = f"{parts}[piece, {', '.join(INDICES[axis] for axis in kept)}]"
        pieces = f"for piece in range({writer.count_pieces(space)}):"
        return cls(
            before=each(f"{own} = ZERO", heads),
            inside=[f"{own} += {value}"],
            combine=[*zero, *each(f"{cell} += {own}", [pieces, *heads]), *end],
        )
