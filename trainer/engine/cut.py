"""A step cut in two where all gradients are known: what a batch gives, and what is done with it.

So shards of a batch, other processes and other devices can stand in between.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.graph.graph import Graph, Node
from trainer.graph.ops import BATCH


@dataclass(frozen=True)
class Cut:
    """The nodes at which a training graph is cut: the loss, the gradients, and the statistics that
    the batch changes. `update` is the graph behind them, in which each is a state.
    """

    values: tuple[str, ...]
    update: Graph


def cut_graph(graph: Graph) -> Cut:
    """The cut of a training graph."""
    of_batch = _depending(graph, [n.name for n in graph.leaves("input") if BATCH in n.shape])
    gradients = [graph.outputs[f"gradient/{node.name}"] for node in graph.trainable]
    statistics = [
        updated for leaf, updated in graph.updates.items()
        if graph[leaf].attributes.get("statistic") and updated in of_batch
    ]  # fmt: skip
    values = tuple(dict.fromkeys([graph.outputs["loss"], *gradients, *statistics]))
    trained = [f"grad_norm/{node.name}" for node in graph.trainable]
    wanted = ["loss", "grad_norm", *trained]
    outputs = {role: graph.outputs[role] for role in wanted}
    targets = [*outputs.values(), *graph.updates, *graph.updates.values()]
    needed = _behind(graph, targets, set(values))
    nodes = tuple(
        Node(node.name, "state", (), node.shape, node.dtype) if node.name in values else node
        for node in graph
        if node.name in needed
    )
    return Cut(values, Graph(nodes, outputs, graph.updates))


def _depending(graph: Graph, sources: list[str]) -> set[str]:
    """What depends on the sources, with these."""
    found = set(sources)
    for node in graph:
        if not found.isdisjoint(node.inputs):
            found.add(node.name)
    return found


def _behind(graph: Graph, targets: list[str], cut: set[str]) -> set[str]:
    """What the targets need, without what stands before the cut."""
    needed = set(targets)
    for node in reversed(graph.nodes):
        if node.name in needed and node.name not in cut:
            needed.update(node.inputs)
    return needed
