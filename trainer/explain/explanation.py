"""One example through a graph, forward and backward, with every path of the chain rule.

A node's gradient is the sum over the nodes that take it, of upstream · local: the gradient of that
node times its derivative with respect to this one. The terms are the nodes of the backward graph;
nothing is differentiated a second time here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from trainer.engine import evaluate
from trainer.errors import GraphError
from trainer.explain.symbols import TOO_LONG, product, write_symbol
from trainer.graph import Graph, GraphBuilder, Node, gradients
from trainer.graph.graph import Edge, Expr
from trainer.graph.ops import BATCH, LEAVES, OPS, Array, Local, show_shape

LARGEST_JACOBIAN: Final = 64
"""Units up to which the local derivative of a softmax is computed, a matrix."""


@dataclass(frozen=True)
class Path:
    """One term of a gradient: from the loss through the node `through`.

    `upstream` is the gradient of that node, `local` its derivative with respect to this one (for
    each element; of a product of matrices the other factor, transposed; of a softmax its Jacobian
    matrix; None where that is too large), `term` their product summed over what was repeated.
    `symbol` and `local_symbol` say the same in letters.
    """

    through: str
    position: int
    local: Array | None
    upstream: Array
    term: Array
    local_symbol: str
    symbol: str


@dataclass(frozen=True)
class Step:
    """A node with its value and the gradient of the loss with respect to it.

    `symbol` is the gradient in letters, empty where it would be long.
    """

    node: Node
    value: Array
    gradient: Array
    paths: tuple[Path, ...]
    symbol: str

    @property
    def is_leaf(self) -> bool:
        """Whether it is an input, a parameter or a constant."""
        return self.node.op in LEAVES


@dataclass(frozen=True)
class Explanation:
    """All nodes that lead to the node `of`, in the order of the graph, for one example.

    Arrays have the shapes of one example: without the batch axis, and a number where that leaves
    one element.
    """

    name: str
    of: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    index: Mapping[str, Step] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", {step.node.name: step for step in self.steps})

    @property
    def loss(self) -> float:
        """The value of the node `of`."""
        return float(self.index[self.of].value)

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train explain --json`."""
        return {
            "name": self.name,
            "of": self.of,
            "loss": self.loss,
            "nodes": [_step_json(step) for step in self.steps],
            "parameters": {
                step.node.name: {"value": step.value.tolist(), "gradient": step.gradient.tolist()}
                for step in self.steps
                if step.node.op == "parameter"
            },
        }


def _step_json(step: Step) -> dict[str, Any]:
    return {
        "name": step.node.name,
        "op": step.node.op,
        "formula": step.node.formula,
        "inputs": list(step.node.inputs),
        "shape": list(step.value.shape),
        "value": step.value.tolist(),
        "gradient": step.gradient.tolist(),
        "symbol": step.symbol,
        "paths": [
            {
                "through": path.through,
                "position": path.position,
                "local": None if path.local is None else path.local.tolist(),
                "upstream": path.upstream.tolist(),
                "term": path.term.tolist(),
                "local_symbol": path.local_symbol,
                "symbol": path.symbol,
            }
            for path in step.paths
        ],
    }


def explain_graph(
    graph: Graph, feeds: Mapping[str, Array], of: str, name: str = "", notes: tuple[str, ...] = ()
) -> Explanation:
    """The explanation of the node `of` for a batch of one example.

    `feeds` holds an array for each input (with a batch axis of 1) and parameter. `of` is a scalar,
    or one number for each example. Raises `GraphError` where it is neither.
    """
    if any(dim not in (1, BATCH) for dim in graph[of].shape):
        raise GraphError(
            f"'{of}' has the shape {show_shape(graph[of].shape)}, expected a number", code="TR-G017"
        )
    needed = graph.ancestors([of])
    nodes = [node for node in graph if node.name in needed]
    names = [node.name for node in nodes if node.op != "constant"]
    builder = GraphBuilder.extend(graph)
    number = _scalar(builder, of)  # may add a node, so before the graph is built
    backward = gradients(builder.build(), number, names)
    locals_ = _Locals(backward, {node.name for node in nodes})
    values = evaluate(backward, feeds)
    grads = {n: values[backward.outputs[f"gradient/{n}"]] for n in names}
    terms = {node.via: node.name for node in backward if node.via is not None}
    symbols = {of: "1"}
    steps: dict[str, Step] = {}
    for node in reversed(nodes):
        if node.op == "constant":
            continue
        paths = []
        for consumer in nodes:
            for position, source in enumerate(consumer.inputs):
                if source != node.name or OPS[consumer.op].vjps[position] is None:
                    continue
                edge = Edge(consumer.name, position)
                # without a node of its own it is the gradient itself, or what nobody derives: 0
                term = values[terms[edge]] if edge in terms else grads[consumer.name]
                if term.shape != values[node.name].shape:
                    term = np.zeros_like(values[node.name])
                local, letters = locals_.of(consumer, position, values)
                symbol = _joined(symbols.get(consumer.name, ""), letters, consumer)
                paths.append(Path(
                    consumer.name, position, _one_local(local, consumer, position, node),
                    _one(grads[consumer.name], consumer), _one(term, node), letters, symbol,
                ))  # fmt: skip
        symbols.setdefault(node.name, _total(paths))
        steps[node.name] = Step(
            node, _one(values[node.name], node), _one(grads[node.name], node), tuple(paths),
            symbols[node.name],
        )  # fmt: skip
    ordered = tuple(steps[node.name] for node in nodes if node.name in steps)
    return Explanation(name, of, ordered, notes)


def _scalar(builder: GraphBuilder, name: str) -> str:
    """The name of a node without axes that has the one number of this node."""
    axes = tuple(range(len(builder[name].shape)))
    return builder[name].apply("sum", axes=axes).node.name if axes else name


def _joined(upstream: str, local: str, consumer: Node) -> str:
    """The symbol of a term; empty where it would be long, or is more than products of numbers."""
    if not upstream or not local or (OPS[consumer.op].kernel is None and local != "1"):
        return ""
    text = product(upstream, local)
    return text if len(text) <= TOO_LONG else ""


def _total(paths: list[Path]) -> str:
    if not paths or not all(path.symbol for path in paths):
        return ""
    text = " + ".join(path.symbol for path in paths)
    return text if len(text) <= TOO_LONG else ""


def _one(value: Array, node: Node) -> Array:
    """The value for the one example: without the batch axis, and a number where it is one."""
    if node.shape[:1] == (BATCH,) and value.ndim == len(node.shape):
        value = value[0]
        return value.reshape(()) if value.size == 1 else value
    return value.reshape(()) if value.size == 1 else value


def _one_local(local: Array | None, node: Node, position: int, source: Node) -> Array | None:
    """A derivative for the one example."""
    row = OPS[node.op]
    if local is None or not row.locals:
        return local if local is None else _one(local, node if row.kernel is not None else source)
    # what a second input is multiplied with is transposed: its examples are columns
    return local[:, 0] if position == 1 and node.shape[:1] == (BATCH,) else local


class _Locals:
    """The derivatives of nodes with respect to their inputs, by the rules of the ops."""

    def __init__(self, graph: Graph, forward: set[str]) -> None:
        self._graph = graph
        self._known = {name: name for name in forward if graph[name].op != "constant"}

    def of(
        self, node: Node, position: int, values: Mapping[str, Array]
    ) -> tuple[Array | None, str]:
        """The derivative as numbers, and in letters."""
        row = OPS[node.op]
        if row.locals:
            return self._own(node, row.locals[position], values)
        builder = GraphBuilder.extend(self._graph)
        one: Expr = builder.constant(1.0)
        if row.kernel is None:  # a reduction, or what undoes one
            one = one.apply("expand_like", builder[node.name], axes=tuple(range(len(node.shape))))
        rule = row.vjps[position]
        assert rule is not None
        found = rule(one, builder[node.name], *(builder[name] for name in node.inputs))
        feeds = {name: values[name] for name in values if name in self._graph}
        leaves = {n.name: feeds[n.name] for n in self._graph if n.op in LEAVES - {"constant"}}
        value = evaluate(builder.build(), leaves, [found.node.name])[found.node.name]
        letters = write_symbol(found, self._known)
        if row.kernel is not None:
            value = np.broadcast_to(value, values[node.name].shape)
        if letters == "1 / n":
            count = round(1 / float(value.flat[0]))
            letters = "1" if count == 1 else f"1 / {count}"
        return value, letters

    def _own(
        self, node: Node, local: Local, values: Mapping[str, Array]
    ) -> tuple[Array | None, str]:
        """The derivative as the op's row has it; None where a Jacobian matrix is too large."""
        names = [self._plain(name) for name in node.inputs]
        letters = local.symbol.format(*names).replace("ᵀᵀ", "")  # twice transposed
        out = values[node.name]
        if local.jacobian and out.size > LARGEST_JACOBIAN:
            return None, letters
        return local.value(out, *(values[name] for name in node.inputs)), letters

    def _plain(self, name: str) -> str:
        """A transpose as what it is, `Wᵀ`."""
        node = self._graph[name]
        is_transpose = node.op not in LEAVES and OPS[node.op].is_transpose
        return node.formula if is_transpose else name


def is_finite(explanation: Explanation) -> bool:
    """Whether every value and gradient is a number."""
    return all(
        math.isfinite(float(np.sum(step.value))) and math.isfinite(float(np.sum(step.gradient)))
        for step in explanation.steps
    )
