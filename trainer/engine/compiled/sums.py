"""Loops over a space, and the sums that they add up, in an order that depends on shapes alone.

A sum runs in lanes along the last axis, or in a cell for each place that it keeps, and over the
rows in segments of 64 (of a vector, 64 times 32 places), which are added pairwise at the end. So
neither the threads nor the vectors of a machine change a bit, and the error grows with the
logarithm of the number of segments. docs/numerics.md has it for readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainer.graph.graph import Node
from trainer.graph.loops import (
    LANES,
    SEGMENT,
    Add,
    Element,
    For,
    Lanes,
    Let,
    Name,
    Number,
    Pairwise,
    Share,
    Statement,
    Store,
    Term,
    Total,
    Whole,
    least,
    parts_of,
)
from trainer.graph.ops import BATCH, OPS, Shape

if TYPE_CHECKING:
    from trainer.engine.compiled.writer import Writer

SEGMENT_TERM = Name("segment", "int")
PIECE = Name("piece", "int")


class Nest:
    """A loop for each axis of a space, with what comes before, in and after them.

    `part` are the rows that a thread does at a time, or None where one thread does it all.
    """

    def __init__(
        self, writer: Writer, space: Shape, inner: Sequence[Statement], part: int | None
    ) -> None:
        self._writer = writer
        self._space = space
        self._part = part
        self.inner = list(inner)
        self.axes = [axis for axis, dim in enumerate(space) if dim != 1]
        depths = range(len(self.axes) + 1)
        self.before: list[list[Statement]] = [[] for _ in depths]  # by how many loops are around
        self.after: list[list[Statement]] = [[] for _ in depths]
        self.first: list[Statement] = []
        self.last: list[Statement] = []
        self.is_cut = False  # into segments

    @property
    def segment(self) -> int:
        """The places of the first axis that are added up by themselves."""
        return SEGMENT if len(self.axes) > 1 else SEGMENT * LANES

    @property
    def has_segments(self) -> bool:
        """Whether a full batch has more than one."""
        return bool(self.axes) and self._writer.nominal((self._dim,)) > self.segment

    @property
    def segments(self) -> Term:
        """How many there are."""
        return parts_of(self._writer.size(self._dim), self.segment)

    @property
    def most_segments(self) -> str | int:
        """The same for the shape of a buffer."""
        if self._dim == BATCH:
            return f"{BATCH}/{self.segment}"
        return -(-int(self._dim) // self.segment)

    @property
    def _dim(self) -> int | str:
        return self._space[self.axes[0]]

    def statements(self) -> list[Statement]:
        """All of it."""
        if self.is_cut and self.has_segments:
            return [*self.first, *self._in_segments(), *self.last]
        whole = self._part is None or not self.axes or self.axes[0] != 0 or self.is_cut
        if whole:
            return [*self.first, *self._loops(0), *self.last]
        size, part = self._writer.size(self._dim), self._part
        assert part is not None
        start = PIECE * part
        body = self._loops(0, start, least(start + part, size))
        return [*self.first, Share(PIECE.text, parts_of(size, part), tuple(body)), *self.last]

    def _in_segments(self) -> list[Statement]:
        size, unit = self._writer.size(self._dim), self.segment
        start: Term = SEGMENT_TERM * unit
        stop: Term = start + unit
        if not (isinstance(size, Whole) and size.value % unit == 0):
            stop = least(stop, size)
        body = tuple(self._loops(0, start, stop))
        count = self.segments
        if self._part is None or self.axes[0] != 0:
            return [For(SEGMENT_TERM.text, Whole(0), count, body)]
        group = max(1, self._part // unit)
        if group == 1:
            rename = Let(SEGMENT_TERM.text, PIECE)
            return [Share(PIECE.text, count, (rename, *body))]
        first = PIECE * group
        loop = For(SEGMENT_TERM.text, first, least(first + group, count), body)
        return [Share(PIECE.text, parts_of(count, group), (loop,))]

    def _loops(
        self, depth: int, start: Term | None = None, stop: Term | None = None
    ) -> list[Statement]:
        if depth == len(self.axes):
            inside = self.inner
        else:
            axis = self.axes[depth]
            inside = self._writer.over(self._space, axis, self._loops(depth + 1), start, stop)
        return [*self.before[depth], *inside, *self.after[depth]]


class Sums:
    """The sums and means of what a nest computes."""

    def __init__(self, writer: Writer, space: Shape, nest: Nest) -> None:
        self._writer = writer
        self._space = space
        self._nest = nest
        self._at = writer.places(space)

    def add(self, node: Node, value: Term) -> None:
        """Has the nest compute the sum `node` of these values."""
        summed = [axis for axis in self._nest.axes if axis in node.attributes["axes"]]
        kept = [axis for axis in self._nest.axes if axis not in summed]
        if not summed:
            self._nest.inner += self._result(node, Number(0.0) + value)
        elif not kept:
            self._total(node, value)
        elif kept == self._nest.axes[: len(kept)]:
            self._of_rows(node, value, len(kept))
        else:
            self._of_columns(node, value, kept)

    def _total(self, node: Node, value: Term) -> None:
        """Over everything."""
        nest, writer = self._nest, self._writer
        nest.is_cut = True
        lanes = Lanes(writer.work_name(node.name, "_lanes"))
        place = self._at[nest.axes[-1]] if nest.axes else Whole(0)
        nest.inner.append(Add(lanes, place, value))
        part = writer.work_name(node.name, "_sum")
        nest.before[0].append(lanes)
        nest.after[0].append(Total(part, lanes))
        if not nest.has_segments:
            nest.last += self._result(node, Name(part))
            return
        parts = writer.work(node.name, "_parts", (nest.most_segments, 1))
        nest.after[0].append(Store(parts, (SEGMENT_TERM, Whole(0)), Name(part)))
        nest.last.append(Pairwise(parts, nest.segments, 1))
        nest.last += self._result(node, Element(parts, (Whole(0), Whole(0))))

    def _of_rows(self, node: Node, value: Term, depth: int) -> None:
        """Over the last axes: within `depth` loops, a sum by itself each time."""
        nest, writer = self._nest, self._writer
        lanes = Lanes(writer.work_name(node.name, "_lanes"))
        part = writer.work_name(node.name, "_sum")
        nest.before[depth].append(lanes)
        nest.inner.append(Add(lanes, self._at[nest.axes[-1]], value))
        nest.after[depth] += [Total(part, lanes), *self._result(node, Name(part))]

    def _of_columns(self, node: Node, value: Term, kept: Sequence[int]) -> None:
        """Over the first axes, or some in the middle: a cell for each place that is kept."""
        nest, writer = self._nest, self._writer
        cell = self._cell(node)
        out = writer.buffer(node.name)
        dims = tuple(self._space[axis] for axis in kept)

        def each(*statements: Statement) -> list[Statement]:
            written = list(statements)
            for axis in reversed(kept):
                written = writer.over(self._space, axis, written)
            return written

        nest.is_cut = nest.is_cut or nest.axes[0] not in kept
        mean = self._mean(node, Element(out, cell))
        if nest.axes[0] in kept or not nest.has_segments:
            nest.first += each(Store(out, cell, Number(0.0)))
            nest.inner.append(Store(out, cell, Element(out, cell) + value))
            if mean is not None:
                nest.last += each(Store(out, cell, mean))
            return
        parts = writer.work(node.name, "_parts", (nest.most_segments, *dims))
        places = tuple(self._at[axis] for axis in kept)
        own = Element(parts, (SEGMENT_TERM, *places))
        nest.before[0] += each(Store(parts, own.at, Number(0.0)))
        nest.inner.append(Store(parts, own.at, own + value))
        nest.last.append(Pairwise(parts, nest.segments, writer.nominal(dims)))
        summed = Element(parts, (Whole(0), *places))
        nest.last += each(Store(out, cell, self._mean(node, summed) or summed))

    def _result(self, node: Node, total: Term) -> list[Statement]:
        """What keeps a sum: a number of its own, or a cell of its buffer."""
        value = self._mean(node, total) or total
        if node.shape == ():
            return [Let(self._writer.name(node.name), value)]
        return [Store(self._writer.buffer(node.name), self._cell(node), value)]

    def _mean(self, node: Node, total: Term) -> Term | None:
        """The sum divided by the number of places, of a mean."""
        if OPS[node.op].form != "mean":
            return None
        return total / self._writer.count(self._space, node.attributes["axes"])

    def _cell(self, node: Node) -> tuple[Term, ...]:
        """Where the node's own array has the sum of this place."""
        axes, keep = node.attributes["axes"], bool(node.attributes.get("keepdims"))
        return tuple(
            Whole(0) if axis in axes else self._at[axis]
            for axis in range(len(self._space))
            if keep or axis not in axes
        )
