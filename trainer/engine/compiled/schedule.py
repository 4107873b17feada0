"""The plan of a kernel: which loops and matrix products run, in which order, over what.

Nodes of one shape are computed in one pass over that shape: a `Loop` fuses elementwise ops, the
reads of broadcast and repeated inputs, and sums over what it computes. Matrix products and
softmax end a pass, because they need their input whole; so does what is read at another place
than the loop's own, by a transpose or a lookup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from trainer.graph.graph import Graph, Node
from trainer.graph.ops import BATCH, LEAVES, OPS, InOrder, Places, Rows, Shape


@dataclass
class Loop:
    """One pass over `space`: elementwise nodes of that shape, and sums of them."""

    space: Shape
    nodes: list[Node] = field(default_factory=list)


@dataclass
class Whole:
    """One node that takes its inputs whole: a matrix product, a softmax, a scatter."""

    node: Node


Step: TypeAlias = Loop | Whole


@dataclass
class Schedule:
    """The steps in order, and which nodes need a buffer: those that a later step reads.

    The first `checked` steps compute what decides whether the others may run: loss and norms
    come before anything is updated. `transposed` maps a transpose that is only ever multiplied
    to the matrix itself; `place` maps a node to the number of its step, and `slots` a stored node
    to its buffer's name, where several nodes use one after the other.
    """

    steps: list[Step] = field(default_factory=list)
    checked: int = 0
    stored: set[str] = field(default_factory=set)
    transposed: dict[str, str] = field(default_factory=dict)
    place: dict[str, int] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)


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
    readers = _readers(graph, schedule)
    _postpone(graph, schedule, readers, {*check, *fetch})
    schedule.stored = {
        name for name in readers if name in check or _is_stored(name, schedule, readers)
    }
    _share_buffers(graph, schedule, readers, {*check, *fetch})
    return schedule


Readers: TypeAlias = Mapping[str, list[Node]]


def _readers(graph: Graph, schedule: Schedule) -> Readers:
    """The planned nodes that read each planned node, as it is or transposed, in order."""
    readers: dict[str, list[Node]] = {name: [] for name in schedule.place}
    for step in schedule.steps:
        for node in nodes_of(step):
            for source in dict.fromkeys(read_by(node)):
                base = schedule.transposed.get(source, source)
                if base in readers:
                    readers[base].append(node)
    return readers


def _is_stored(name: str, schedule: Schedule, readers: Readers) -> bool:
    """Whether another step reads the node, or one that takes its inputs whole."""
    place = schedule.place
    return any(place[node.name] != place[name] or takes_whole(node) for node in readers[name])


def _postpone(graph: Graph, schedule: Schedule, readers: Readers, kept: set[str]) -> None:
    """Moves elementwise nodes to the one later loop that reads them, where their inputs are
    stored anyway: what is computed where it is used needs no buffer.
    """
    place, steps = schedule.place, schedule.steps
    for number in reversed(range(len(steps))):
        step = steps[number]
        if not isinstance(step, Loop):
            continue
        for node in reversed(list(step.nodes)):
            uses = {place[reader.name] for reader in readers[node.name]}
            if node.name in kept or len(uses) != 1 or number in uses:
                continue
            [later] = uses
            cone = _cone(node, later, graph, schedule, readers, kept)
            target = steps[later]
            if cone and isinstance(target, Loop):
                target.nodes[:0] = [n for n in step.nodes if n.name in cone]
                step.nodes[:] = [n for n in step.nodes if n.name not in cone]
                place.update(dict.fromkeys(cone, later))


def _cone(
    node: Node, later: int, graph: Graph, schedule: Schedule, readers: Readers, kept: set[str]
) -> list[str]:
    """The nodes to move to the step `later` together with `node`; none where that saves nothing."""
    place, target, here = schedule.place, schedule.steps[later], schedule.place[node.name]
    if (
        not isinstance(target, Loop)
        or target.space != node.shape
        or here < schedule.checked <= later
    ):
        return []
    cone = [node.name]
    for member in cone:
        if is_sum(graph[member]) or reads_elsewhere(graph[member]):
            return []
        if any(map(reads_elsewhere, readers[member])):  # needs it whole
            return []
        for source in read_by(graph[member]):
            stays = source not in place or graph[source].shape == () or source in kept
            if stays or source in cone or _is_stored(source, schedule, readers):
                continue
            follows = all(r.name in cone or place[r.name] == later for r in readers[source])
            if not follows or place[source] != here or graph[source].shape != node.shape:
                return []
            cone.append(source)
    return cone


def _share_buffers(graph: Graph, schedule: Schedule, readers: Readers, kept: set[str]) -> None:
    """Gives a stored node the buffer of an earlier one of its shape that nobody reads any more.

    A loop may even store a value where it reads the old one, element by element.
    """
    order = {node.name: k for k, node in enumerate(n for s in schedule.steps for n in nodes_of(s))}
    free: dict[Shape, list[tuple[str, str]]] = {}  # by shape: buffer, and the node in it
    holders: dict[str, list[str]] = {}
    for name in sorted(schedule.stored, key=order.__getitem__):
        shape = graph[name].shape
        if name in kept or len(shape) < 2:
            continue
        chosen = next(
            (
                (slot, old)
                for slot, old in free.get(shape, [])
                if _is_over(old, name, graph, schedule, readers, order)
            ),
            None,
        )
        if chosen:
            free[shape].remove(chosen)
        slot = chosen[0] if chosen else name
        free.setdefault(shape, []).append((slot, name))
        holders.setdefault(slot, []).append(name)
    for names in holders.values():
        if len(names) > 1:
            label = "buffer_" + "_by_".join(
                "n" if d == BATCH else str(d) for d in graph[names[0]].shape
            )
            number = sum(slot.startswith(label) for slot in set(schedule.slots.values()))
            schedule.slots.update(dict.fromkeys(names, f"{label}.{number + 1}"))


def _is_over(
    old: str, new: str, graph: Graph, schedule: Schedule, readers: Readers, order: Mapping[str, int]
) -> bool:
    """Whether nobody reads `old` once `new` is stored."""
    place, step = schedule.place, schedule.place[new]
    last = max((place[reader.name] for reader in readers[old]), default=place[old])
    if last != step:
        return last < step
    found = schedule.steps[step]
    inside = [reader for reader in readers[old] if place[reader.name] == step]
    return (
        isinstance(found, Loop)
        and place[old] < step
        and not is_sum(graph[new])
        and found.space == graph[old].shape
        and all(
            not (is_sum(reader) or takes_whole(reader) or reads_elsewhere(reader))
            and OPS[reader.op].form != "repeat"
            and order[reader.name] <= order[new]
            for reader in inside
        )
    )


def nodes_of(step: Step) -> list[Node]:
    """The nodes that a step computes, in order."""
    return step.nodes if isinstance(step, Loop) else [step.node]


def space_of(node: Node, graph: Graph) -> Shape:
    """The shape that a node is computed over: its own, or that of what it sums."""
    return graph[node.inputs[0]].shape if is_sum(node) else node.shape


def is_sum(node: Node) -> bool:
    """Whether a loop over its input adds it up."""
    return OPS[node.op].form in ("sum", "mean")


def takes_whole(node: Node) -> bool:
    """Whether it is a step of its own, for which its inputs lie in buffers."""
    form = OPS[node.op].form
    return form == "product" or isinstance(form, Rows | InOrder)


def reads_elsewhere(node: Node) -> bool:
    """Whether a loop reads its inputs at another place than its own: from buffers."""
    return isinstance(OPS[node.op].form, Places)


def read_by(node: Node) -> tuple[str, ...]:
    """The inputs whose values the node reads; of the others it needs the shape alone."""
    return node.inputs[: OPS[node.op].reads]


def _only_multiplied(nodes: Sequence[Node], kept: set[str]) -> dict[str, str]:
    """Transposes that nothing but matrix products take: these read the matrix the other way."""
    others = {source for node in nodes if OPS[node.op].form != "product" for source in node.inputs}
    return {
        node.name: node.inputs[0]
        for node in nodes
        if OPS[node.op].is_transpose and node.name not in others | kept
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
                and not is_sum(graph[source])
                and not reads_elsewhere(node)
            )
            earliest = max(earliest, number if inside else number + 1)
    if not takes_whole(node):
        for number in range(len(steps) - 1, earliest - 1, -1):
            step = steps[number]
            if isinstance(step, Loop) and step.space == space:
                step.nodes.append(node)
                schedule.place[node.name] = number
                return
    schedule.place[node.name] = len(steps)
    steps.append(Whole(node) if takes_whole(node) else Loop(space, [node]))
