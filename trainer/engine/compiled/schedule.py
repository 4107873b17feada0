"""The plan of a kernel: which loops and matrix products run, in which order, over what.

Nodes of one shape are computed in one pass over that shape: a `Loop` fuses elementwise ops, the
reads of broadcast and repeated inputs, and sums over what it computes. Matrix products and
softmax end a pass, because they need their input whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from trainer.graph.graph import Graph, Node
from trainer.graph.ops import LEAVES, OPS, Shape

REDUCTIONS: Final = frozenset({"sum", "mean"})
WHOLE: Final = frozenset({"matmul", "softmax", "log_softmax"})


@dataclass
class Loop:
    """One pass over `space`: elementwise nodes of that shape, and sums of them."""

    space: Shape
    nodes: list[Node] = field(default_factory=list)


@dataclass
class Whole:
    """One node that takes its inputs whole: a matrix product, a softmax."""

    node: Node


Step: TypeAlias = Loop | Whole


@dataclass
class Schedule:
    """The steps in order, and which nodes need a buffer: those that a later step reads.

    The first `checked` steps compute what decides whether the others may run: loss and norms
    come before anything is updated. `transposed` maps a transpose that is only ever multiplied
    to the matrix itself; `place` maps a node to the number of its step.
    """

    steps: list[Step] = field(default_factory=list)
    checked: int = 0
    stored: set[str] = field(default_factory=set)
    transposed: dict[str, str] = field(default_factory=dict)
    place: dict[str, int] = field(default_factory=dict)


def plan(graph: Graph, check: Sequence[str], fetch: Sequence[str] = ()) -> Schedule:
    """The schedule that computes and stores the nodes `check`, then computes the nodes `fetch`."""
    schedule = Schedule()
    first, needed = graph.ancestors(check), graph.ancestors([*check, *fetch])
    nodes = [node for node in graph if node.name in needed and node.op not in LEAVES]
    schedule.transposed = _only_multiplied(nodes, {*check, *fetch})
    for checked in (True, False):
        for node in nodes:
            if (node.name in first) == checked and node.name not in schedule.transposed:
                _place(node, graph, schedule)
        if checked:
            schedule.checked = len(schedule.steps)
    schedule.stored = {name for name in check if name in schedule.place}
    for node in nodes:
        if node.name in schedule.place:
            for source in read_by(node):
                base = schedule.transposed.get(source, source)
                step = schedule.place[node.name]
                apart = schedule.place.get(base, step) != step
                if base in schedule.place and (apart or node.op in WHOLE):
                    schedule.stored.add(base)
    return schedule


def space_of(node: Node, graph: Graph) -> Shape:
    """The shape that a node is computed over: its own, or that of what it sums."""
    return graph[node.inputs[0]].shape if node.op in REDUCTIONS else node.shape


def read_by(node: Node) -> tuple[str, ...]:
    """The inputs whose values the node reads; of the others it needs the shape alone."""
    if node.op == "count":
        return ()
    return node.inputs[:1] if node.op == "expand_like" else node.inputs


def _only_multiplied(nodes: Sequence[Node], kept: set[str]) -> dict[str, str]:
    """Transposes that nothing but matrix products take: these read the matrix the other way."""
    others = {source for node in nodes if node.op != "matmul" for source in node.inputs}
    return {
        node.name: node.inputs[0]
        for node in nodes
        if node.op == "transpose" and node.name not in others | kept
    }


def _place(node: Node, graph: Graph, schedule: Schedule) -> None:
    """Adds the node to the last loop over its space, if its inputs are there by then, else to a
    new step.
    """
    steps, space = schedule.steps, space_of(node, graph)
    earliest = schedule.checked
    for source in read_by(node):
        number = schedule.place.get(schedule.transposed.get(source, source))
        if number is not None:
            producer = steps[number]
            inside = (
                isinstance(producer, Loop)
                and producer.space == graph[source].shape == space
                and graph[source].op not in REDUCTIONS
                and node.op != "transpose"
            )
            earliest = max(earliest, number if inside else number + 1)
    if node.op not in WHOLE:
        for number in range(len(steps) - 1, earliest - 1, -1):
            step = steps[number]
            if isinstance(step, Loop) and step.space == space:
                step.nodes.append(node)
                schedule.place[node.name] = number
                return
    schedule.place[node.name] = len(steps)
    steps.append(Whole(node) if node.op in WHOLE else Loop(space, [node]))


def unplanned_ops() -> set[str]:
    """Ops that no step can compute; empty, as a test sees to it."""
    known = WHOLE | REDUCTIONS | {"transpose", "expand_like", "count"}
    return {op.name for op in OPS.values() if op.kernel is None and op.name not in known}
