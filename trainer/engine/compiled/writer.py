"""Writes the statements of a kernel: loops, matrix products, and who runs them.

Large steps are jobs, whose pieces any number of threads do (see `team.py`). Where a piece begins
and ends changes no bit: what is added up is cut into segments first, whatever a piece is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, cast

from trainer.engine.compiled.elements import element
from trainer.engine.compiled.names import Names
from trainer.engine.compiled.products import tile_shape, use_loops, use_tiles
from trainer.engine.compiled.schedule import (
    Loop,
    Schedule,
    Step,
    is_sum,
    nodes_of,
    reads_elsewhere,
    space_of,
)
from trainer.engine.compiled.sums import Nest, Sums
from trainer.graph.graph import Graph, Node
from trainer.graph.loops import (
    Apply,
    Element,
    For,
    Let,
    Matrix,
    Name,
    Number,
    Product,
    Remark,
    Share,
    Statement,
    Store,
    Term,
    Whole,
    apply,
    least,
    parts_of,
)
from trainer.graph.ops import BATCH, OPS, InOrder, Places, Read, Rows, Shape
from trainer.graph.walking import split_at_choices
from trainer.numerics.elementary import FUNCTIONS

INDICES: Final = "ijk"
JOB_NUMBERS: Final = 32_768  # a loop over as many numbers is shared; a function counts for ten
MOST_PIECES: Final = 64


class Writer:
    """Writes the statements of one kernel.

    `batch_size` decides what is a loop, a call or a job. With `full` every batch has exactly so
    many rows, else at most. Without `share` one thread does all. `aliases` are names of variables
    for nodes; with `scalars`, inputs without axes are arrays, too.
    """

    def __init__(
        self,
        graph: Graph,
        schedule: Schedule,
        batch_size: int = 1,
        full: bool = False,
        share: bool = True,
        names: Names | None = None,
        aliases: Mapping[str, str] | None = None,
        scalars: bool = False,
    ) -> None:
        self.graph = graph
        self.schedule = schedule
        self._batch_size = batch_size
        self._n: Term = Whole(batch_size) if full else Name("n", "int")
        self._share = share
        self._names = names or Names()
        self._aliases = aliases or {}
        self._arrays = ("parameter", "state", "input") if scalars else ("parameter", "state")
        self._body: list[Statement] = []
        self.buffers: dict[str, Shape] = {}

    # Statements ----------------------------------------------------------------------------

    @property
    def body(self) -> list[Statement]:
        """What was written."""
        return self._body

    def add(self, *written: Statement) -> None:
        """Adds statements to those being written."""
        self._body += written

    @contextmanager
    def collected(self) -> Iterator[list[Statement]]:
        """What is written inside goes to a list of its own."""
        outside, self._body = self._body, []
        yield self._body
        self._body = outside

    # Names and elements --------------------------------------------------------------------

    def name(self, node: str) -> str:
        """The variable that holds a node: its name, its buffer's, or the one that it was given."""
        if node in self._aliases:
            return self._aliases[node]
        holder = self.schedule.slots.get(node, node)
        return self._names.of(holder)

    def variable(self, node: Node) -> str:
        """The variable of an element of a node."""
        return self._names.of(node.name, "" if node.shape == () else "_at")

    def scalar(self, node: str) -> Term:
        """A node of shape ()."""
        found = self.graph[node]
        if found.op == "constant":
            return Number(found.attributes["value"])
        if found.op in self._arrays:
            return Element(self.name(node), ())
        return Name(self.name(node))

    def element(self, node: str, space: Shape, at: Sequence[Term]) -> Term:
        """The element of a node that belongs to this place of the space, by broadcasting."""
        shape = self.graph[node].shape
        if shape == ():
            return self.scalar(node)
        axes = range(len(space) - len(shape), len(space))
        return self.at(node, [
            Whole(0) if dim == 1 else at[axis] for axis, dim in zip(axes, shape, strict=True)
        ])  # fmt: skip

    def at(self, node: str, places: Sequence[Term]) -> Element:
        """An element of an array; rows of an input begin where the batch does."""
        found = self.graph[node]
        if found.op == "input" and found.shape[:1] == (BATCH,):
            places = [Name("begin", "int") + places[0], *places[1:]]
        return Element(self.name(node), tuple(places))

    def size(self, dim: int | str) -> Term:
        """The length of an axis."""
        return self._n if dim == BATCH else Whole(int(dim))

    def nominal(self, shape: Shape) -> int:
        """The number of elements with a full batch."""
        return math.prod(self._batch_size if dim == BATCH else int(dim) for dim in shape)

    def places(self, space: Shape) -> list[Term]:
        """The variables of the loops over a space; an axis of length 1 has none."""
        return [Whole(0) if dim == 1 else Name(INDICES[a], "int") for a, dim in enumerate(space)]

    def buffer(self, node: str) -> str:
        """The array that a node is stored in."""
        name = self.name(node)
        self.buffers[name] = self.graph[node].shape
        return name

    def work_name(self, node: str, suffix: str) -> str:
        """The variable of something that a node needs besides."""
        return self._names.of(node, suffix)

    def work(self, node: str, suffix: str, shape: Shape) -> str:
        """An array that a node needs besides."""
        name = self.work_name(node, suffix)
        self.buffers[name] = shape
        return name

    # Steps ---------------------------------------------------------------------------------

    def steps(self, steps: Sequence[Step], updates: Mapping[str, str] | None = None) -> None:
        """The steps, and with them the updates: as early as no later step reads the old value."""
        updates = updates or {}
        numbers = {id(step): k for k, step in enumerate(self.schedule.steps)}
        early = {leaf: node for leaf, node in updates.items() if self._may_overwrite(leaf, node)}
        late = {leaf: node for leaf, node in updates.items() if leaf not in early}
        self.schedule.stored.update(late.values())
        for step in steps:
            if not nodes_of(step):  # all were postponed
                continue
            self.add(*(Remark(f"{node.name} = {node.formula}") for node in nodes_of(step)))
            if isinstance(step, Loop):
                here = {
                    node: leaf
                    for leaf, node in early.items()
                    if self.schedule.place[node] == numbers[id(step)]
                }
                self._loop(step, here)
            else:
                self._whole(step.node)
        for leaf, value in late.items():
            self.copy(self.name(leaf), value)

    def _may_overwrite(self, leaf: str, node: str) -> bool:
        """Whether the loop that computes a new value may store it over the old one."""
        place = self.schedule.place
        step = self.schedule.steps[place[node]] if node in place else None
        shape = self.graph[leaf].shape
        if not isinstance(step, Loop) or step.space != shape or self.graph[node].shape != shape:
            return False
        readers = [n for n in self.graph if leaf in n.inputs and n.name in place]
        readers += [
            self.graph[name]
            for name, base in self.schedule.transposed.items()
            if base == leaf
            for n in self.graph
            if name in n.inputs and n.name in place
        ]
        last = max((self._last_use(n) for n in readers), default=0)
        inside = [n for n in readers if place.get(n.name) == place[node]]
        return last <= place[node] and all(
            space_of(n, self.graph) == shape and not reads_elsewhere(n) for n in inside
        )

    def _last_use(self, reader: Node) -> int:
        """The number of the last step in which a reader, or what multiplies it, runs."""
        place = self.schedule.place
        if reader.name in place:
            return place[reader.name]
        return max(place[n.name] for n in self.graph if reader.name in n.inputs and n.name in place)

    def copy(self, target: str, node: str) -> None:
        """A node's elements to another array."""
        shape = self.graph[node].shape
        at = self.places(shape)
        self.add(*self.nest(shape, [Store(target, tuple(at), self.element(node, shape, at))]))

    def copy_rows(self, target: str, node: str, offset: Term) -> None:
        """The rows of a batch to an array of more rows."""
        shape = self.graph[node].shape
        i, j = at = self.places(shape)
        self.add(*self.nest(shape, [Store(target, (offset + i, j), self.element(node, shape, at))]))

    def nest(self, space: Shape, body: Sequence[Statement]) -> list[Statement]:
        """The body in a loop for each axis."""
        written = list(body)
        for axis in reversed(range(len(space))):
            if space[axis] != 1:
                written = self.over(space, axis, written)
        return written

    def over(
        self, space: Shape, axis: int, body: Sequence[Statement],
        start: Term | None = None, stop: Term | None = None,
    ) -> list[Statement]:  # fmt: skip
        """The loop over an axis, or over its places from `start` on and before `stop`; as several
        where a choice in it depends on the place alone.
        """
        first, last = start or Whole(0), stop or self.size(space[axis])
        if isinstance(first, Whole) and isinstance(last, Whole):
            return [*split_at_choices(INDICES[axis], first.value, last.value, body)]
        return [For(INDICES[axis], first, last, tuple(body))]

    # Jobs ----------------------------------------------------------------------------------

    def rows_of_a_piece(self, space: Shape, nodes: Sequence[Node]) -> int | None:
        """How many rows of a loop go to a thread at a time; None where one thread does it all."""
        numbers = self.nominal(space)
        slow = any(name in (OPS[n.op].kernel or "") for n in nodes for name in FUNCTIONS)
        slow = slow or any(isinstance(OPS[n.op].form, Rows) for n in nodes)
        if not self._share or not space or numbers * (10 if slow else 1) < JOB_NUMBERS:
            return None
        rows = self.nominal(space[:1])
        least_rows = JOB_NUMBERS // 2 // (10 if slow else 1)
        part = max(1, least_rows * rows // numbers, -(-rows // MOST_PIECES))
        return part if part < rows else None

    # Loops ---------------------------------------------------------------------------------

    def _loop(self, loop: Loop, updates: Mapping[str, str]) -> None:
        space = loop.space
        at = self.places(space)
        with self.collected() as inner:
            for node in loop.nodes:
                if not is_sum(node):
                    self._element(node, space, at)
                    if node.name in updates:
                        leaf, value = self.name(updates[node.name]), Name(self.variable(node))
                        self.add(Store(leaf, tuple(at), value))
        nest = Nest(self, space, inner, self.rows_of_a_piece(space, loop.nodes))
        sums = Sums(self, space, nest)
        for node in loop.nodes:
            if is_sum(node):
                sums.add(node, self.read(node.inputs[0], node, space, at))
        self.add(*nest.statements())

    def _element(self, node: Node, space: Shape, at: Sequence[Term]) -> None:
        """One statement for one element of an elementwise node, stored if a later step reads it."""
        value = self.variable(node)
        self.add(Let(value, self._expression(node, space, at)))
        if node.name in self.schedule.stored and node.shape != ():
            self.add(Store(self.buffer(node.name), tuple(at), Name(value)))

    def read(self, source: str, reader: Node, space: Shape, at: Sequence[Term]) -> Term:
        """An input's element: a variable of this loop, or read from its array."""
        found = self.graph[source]
        place = self.schedule.place
        here = source in place and place[source] == place[reader.name]
        if here and found.shape == space and not is_sum(found):
            return Name(self.variable(found))
        return self.element(source, space, at)

    def _expression(self, node: Node, space: Shape, at: Sequence[Term]) -> Term:
        form = OPS[node.op].form
        if form == "count":
            return self.count(self.graph[node.inputs[0]].shape, node.attributes["axes"])
        if isinstance(form, Places):
            shapes = [self.graph[name].shape for name in node.inputs]
            term: Term = form.element(self._reader(node), shapes, at, **node.attributes)
            return term
        if form == "repeat":
            axes = () if node.attributes.get("keepdims") else node.attributes["axes"]
            kept = [a for a in range(len(space)) if a not in axes]
            part = tuple(space[a] for a in kept)
            return self.read(node.inputs[0], node, part, [at[a] for a in kept])
        kernel = OPS[node.op].kernel
        assert kernel is not None
        return element(kernel, [self.read(source, node, space, at) for source in node.inputs])

    def count(self, shape: Shape, axes: Sequence[int]) -> Term:
        """How many places axes have, as a real number."""
        places: Term = Whole(1)
        for axis in axes:
            places = places * self.size(shape[axis])
        return Number(float(places.value)) if isinstance(places, Whole) else apply("real", places)

    def _reader(self, node: Node) -> Read:
        """What gives an element of an input at other places than the loop's."""
        return lambda number, places: self.at(node.inputs[number], places)

    # Whole nodes ---------------------------------------------------------------------------

    def _whole(self, node: Node) -> None:
        form = OPS[node.op].form
        if isinstance(form, Rows):
            self._in_rows(node, form)
        elif isinstance(form, InOrder):
            out = self.buffer(node.name)
            sizes = [[self.size(dim) for dim in self.graph[name].shape] for name in node.inputs]
            self.add(*form.statements(self._reader(node), out, sizes))
        else:
            self._product(node)

    def _in_rows(self, node: Node, form: Rows) -> None:
        """Row by row, each a few loops over its places."""
        space = node.shape
        last = len(space) - 1
        j = Name(INDICES[last], "int")
        at = [*self.places(space[:-1]), j]
        x = self.at(node.inputs[0], at)
        y = Element(self.buffer(node.name), tuple(at))
        every = self.size(space[-1])
        row = form.statements(x, y, lambda make: For(j.text, Whole(0), every, tuple(make(j))))
        nest = Nest(self, space[:-1], row, self.rows_of_a_piece(space, [node]) if last else None)
        self.add(*nest.statements())

    def _product(self, node: Node) -> None:
        """A matrix product: loops where it is small, else a call, in tiles if large."""
        flips = [source in self.schedule.transposed for source in node.inputs]
        a, b = (self.schedule.transposed.get(source, source) for source in node.inputs)
        out = self.buffer(node.name)
        rows, columns = node.shape
        inner = self.graph[node.inputs[0]].shape[1]
        m, n, k = (self.nominal((dim,)) for dim in (rows, columns, inner))
        form = f"{'t' if flips[0] else 'n'}{'t' if flips[1] else 'n'}"
        if columns == 1 and not flips[0]:
            form = "column"
        whole = Product(
            form, self.size(rows), self.size(columns), self.size(inner),
            self._matrix(a), self._matrix(b), Matrix(out),
        )  # fmt: skip
        strided = any(BATCH in self.graph[name].shape[1:] for name in (a, b, node.name))
        small = strided or form == "tt" or use_loops(m, n, k)
        if small or not self._share or not use_tiles(m, n, k):
            self.add(replace(whole, small=small))
            return
        self.add(_in_tiles(whole, *tile_shape(form, m, n, k)))

    def _matrix(self, name: str) -> Matrix:
        """Where a matrix begins: an input where the batch does."""
        found = self.graph[name]
        starts = found.op == "input" and found.shape[0] == BATCH
        return Matrix(self.name(name), Name("begin", "int") if starts else Whole(0))


def _in_tiles(whole: Product, high: int, wide: int) -> Share:
    """A product as a job: each piece is one tile of the result, over the whole inner axis."""
    down, across = parts_of(whole.m, high), parts_of(whole.n, wide)
    piece: Term = Name("piece", "int")
    row, column = piece * high, cast("Term", Whole(0))
    if across != Whole(1):
        row, column = Apply("over", (piece, across)) * high, Apply("rest", (piece, across)) * wide
    a, b = whole.a, whole.b
    tile = replace(
        whole,
        m=least(high, whole.m - row),
        n=least(wide, whole.n - column),
        a=replace(a, column=row) if whole.form == "tn" else replace(a, row=a.row + row),
        b=replace(b, row=column) if whole.form == "nt" else replace(b, column=column),
        out=Matrix(whole.out.array, row, column),
    )
    return Share("piece", down * across, (tile,))
