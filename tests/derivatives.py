"""Derivatives found without the chain rule, to hold the gradient rules against."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from trainer.engine import evaluate
from trainer.graph import Expr, Graph, GraphBuilder, gradients
from trainer.graph.ops import Array, Shape


def scalar_of(builder: GraphBuilder, out: Expr, values: dict[str, Array]) -> None:
    """Ends the graph in a scalar `loss`: the sum of `out` times fixed, uneven weights."""
    shape = tuple(int(dim) for dim in out.shape)
    size = int(np.prod(shape))
    values["weights"] = np.linspace(0.7, -1.3, size).reshape(shape) + 0.05
    weighted = out * builder.leaf("input", "weights", shape)
    loss = weighted.apply("sum", name="loss", axes=tuple(range(len(shape))))
    builder.outputs["loss"] = loss.node.name


def graph_of(
    op: str, inputs: list[Array], attributes: Mapping[str, object]
) -> tuple[Graph, dict[str, Array]]:
    """The graph of one op on parameters a, b, …, and the values of its leaves."""
    builder = GraphBuilder("float64")
    values = dict(zip("abc", inputs, strict=False))
    leaves = [builder.leaf("parameter", name, _shape(value)) for name, value in values.items()]
    out = leaves[0].apply(op, *leaves[1:], name="out", **attributes)
    scalar_of(builder, out, values)
    return builder.build(), values


def _shape(value: Array) -> Shape:
    return tuple(value.shape)


def backprop(graph: Graph, values: Mapping[str, Array], names: list[str]) -> dict[str, Array]:
    """The gradient of `loss` by the project's own differentiation."""
    graph = gradients(graph, "loss", names)
    wanted = {name: graph.outputs[f"gradient/{name}"] for name in names}
    found = evaluate(graph, values, list(wanted.values()))
    return {name: found[node] for name, node in wanted.items()}


def complex_step(graph: Graph, values: Mapping[str, Array], name: str, of: str = "loss") -> Array:
    """The derivative of the sum of node `of` by `name`: Im f(x + ih) / h, exact to rounding."""
    h = 1e-30

    def derivative(index: tuple[int, ...]) -> float:
        moved = {key: np.asarray(value, dtype=complex) for key, value in values.items()}
        moved[name] = moved[name].copy()
        moved[name][index] += 1j * h
        return float(np.sum(evaluate(graph, moved, [of])[of].imag) / h)

    return _each(values[name], derivative)


def central(graph: Graph, values: Mapping[str, Array], name: str) -> Array:
    """The derivative of `loss` by `name` from values on both sides, good to about 1e-9."""

    def at(index: tuple[int, ...], step: float) -> float:
        moved = dict(values)
        moved[name] = np.array(values[name], dtype=np.float64)
        moved[name][index] += step
        return float(evaluate(graph, moved, ["loss"])["loss"])

    def derivative(index: tuple[int, ...]) -> float:
        h = 6e-6 * max(1.0, abs(float(values[name][index])))
        return (at(index, h) - at(index, -h)) / (2 * h)

    return _each(values[name], derivative)


def _each(value: Array, derivative: Callable[[tuple[int, ...]], float]) -> Array:
    result = np.zeros(value.shape)
    for index in np.ndindex(value.shape):
        result[index] = derivative(index)
    return result


def relative_error(found: Array, expected: Array) -> float:
    """The largest difference by the largest expected value; absolute where all are 0."""
    scale = float(np.max(np.abs(expected), initial=0.0))
    return float(np.max(np.abs(found - expected), initial=0.0)) / (scale or 1.0)
