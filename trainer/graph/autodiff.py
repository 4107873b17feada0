"""Reverse-mode differentiation: the backward pass as nodes of the same graph.

Walk the nodes from the loss to the leaves. A node's gradient ("adjoint") is the sum over all
nodes that take it, of what their rules hand back: one term a path. The rules stand in the table
of ops; this file only walks and adds.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.errors import GraphError
from trainer.graph.graph import Edge, Expr, Graph, GraphBuilder
from trainer.graph.ops import OPS, Shape


def gradients(graph: Graph, of: str, wrt: Sequence[str]) -> Graph:
    """`graph` with nodes for the gradient of the scalar node `of` with respect to each of `wrt`.

    The result's outputs have `gradient/<name>` for every name in `wrt`, of that node's shape;
    a node that does not influence `of` has gradient 0. Each new node remembers in `via` the
    forward edge that it comes from. Neither recursion nor chance is involved: the same graph
    gives the same nodes, and depth is limited by memory alone.

    Raises `GraphError` when `of` is not a scalar.
    """
    if graph[of].shape != ():
        raise GraphError(f"the gradient of '{of}' is asked for, which is no scalar", code="TR-G017")
    builder = GraphBuilder.extend(graph)
    influenced = _influenced(graph, wrt)
    terms: dict[str, list[Expr]] = {of: [builder.constant(1.0)]}
    adjoints: dict[str, Expr] = {}

    for node in reversed(graph.nodes):
        if node.name not in terms or node.name not in influenced:
            continue
        with builder.backward(f"grad/{node.name}", None):
            # terms arrive from the last consumer to the first: add them in the graph's order
            g = _total(terms.pop(node.name)[::-1])
        adjoints[node.name] = g
        out = builder[node.name]
        inputs = [builder[name] for name in node.inputs]
        rules = OPS[node.op].vjps if node.inputs else ()
        for position in reversed(range(len(rules))):
            source, rule = inputs[position], rules[position]
            if rule is None or source.node.name not in influenced:
                continue
            with builder.backward(f"grad/{source.node.name}", Edge(node.name, position)):
                term = unbroadcast(rule(g, out, *inputs), source.shape)
            terms.setdefault(source.node.name, []).append(term)

    for name in wrt:
        if name not in adjoints:
            x = builder[name]
            with builder.backward(f"grad/{name}", None):
                zero = builder.constant(0.0)
                adjoints[name] = zero.apply("expand_like", x, axes=tuple(range(len(x.shape))))
        builder.outputs[f"gradient/{name}"] = adjoints[name].node.name
    return builder.build()


def unbroadcast(g: Expr, shape: Shape) -> Expr:
    """`g` summed over the axes along which a value of `shape` was repeated to reach `g`'s shape."""
    extra = len(g.shape) - len(shape)
    if extra:
        g = g.apply("sum", axes=tuple(range(extra)))
    repeated = tuple(
        i for i, (have, want) in enumerate(zip(g.shape, shape, strict=True)) if have != want
    )
    return g.apply("sum", axes=repeated, keepdims=True) if repeated else g


def _influenced(graph: Graph, wrt: Sequence[str]) -> set[str]:
    """The nodes whose value depends on a node of `wrt`."""
    influenced = set(wrt)
    for node in graph.nodes:
        if not influenced.isdisjoint(node.inputs):
            influenced.add(node.name)
    return influenced


def _total(terms: Sequence[Expr]) -> Expr:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total
