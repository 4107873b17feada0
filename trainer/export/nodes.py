"""A graph as ONNX nodes.

Elementwise ops are written from their kernel expressions, as in `source.py`: each operator and
call becomes an ONNX node. What ONNX has no node for is defined here by another expression. Other
ops say themselves which nodes they are.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.graph import Graph
from trainer.graph.graph import Node
from trainer.graph.ops import LEAKY_SLOPE, OPS, Array

if TYPE_CHECKING:
    from onnx import NodeProto

NODES: Final[Mapping[str, str]] = {
    "abs": "Abs",
    "erf": "Erf",
    "exp": "Exp",
    "log": "Log",
    "maximum": "Max",
    "minimum": "Min",
    "sigmoid": "Sigmoid",
    "sqrt": "Sqrt",
    "tanh": "Tanh",
}
"""The functions of expressions that are ONNX nodes."""

EXPRESSIONS: Final[Mapping[str, tuple[str, str]]] = {
    # log(1 + x) for small x too: what 1 + x loses of x, the quotient gives back (Kahan)
    "log1p": ("x", "x if 1 + x == 1 else x * (log(1 + x) / ((1 + x) - 1))"),
    "softplus": ("x", "maximum(x, 0) + log1p(exp(-abs(x)))"),
    "logistic_loss": ("z y", "maximum(z, 0) - z * y + log1p(exp(-abs(z)))"),
    "normal_cdf": ("x", f"0.5 + 0.5 * erf(x * {math.sqrt(0.5)})"),
    "normal_pdf": ("x", f"exp(x * x * -0.5) * {math.sqrt(0.5 / math.pi)}"),
}
"""The other functions: their arguments, and what they are."""

SCALARS: Final[Mapping[str, float]] = {"ZERO": 0.0, "ONE": 1.0, "SLOPE": LEAKY_SLOPE}
OPERATORS: Final[Mapping[type[ast.AST], str]] = {
    ast.Add: "Add",
    ast.Sub: "Sub",
    ast.Mult: "Mul",
    ast.Div: "Div",
    ast.USub: "Neg",
    ast.Or: "Or",
    ast.And: "And",
    ast.Eq: "Equal",
    ast.Gt: "Greater",
    ast.GtE: "GreaterOrEqual",
    ast.Lt: "Less",
    ast.LtE: "LessOrEqual",
}


def kind(dtype: Any) -> int:
    """The number that ONNX has for a dtype."""
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


# Nodes ------------------------------------------------------------------------------------------


@dataclass
class Writer:
    """Collects ONNX nodes and constants. A node that is there already is not written again.

    `dtype` is the graph's. Names of tensors begin with `place`, the name of the graph's node
    that is being written.
    """

    dtype: str
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    place: str = ""
    _known: dict[Any, str] = field(default_factory=dict)

    def apply(self, op: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Adds a node and returns the name of its one output."""
        from onnx import helper

        key = (op, inputs, tuple(attributes.items()), name)
        if key not in self._known:
            output = name or f"{self.place}/{op}_{len(self.nodes)}"
            self.nodes.append(helper.make_node(op, list(inputs), [output], output, **attributes))
            self._known[key] = output
        return self._known[key]

    def constant(self, value: Any, dtype: Any = None) -> str:
        """The name of a constant, by default of the graph's dtype."""
        array = np.asarray(value, dtype=dtype or self.dtype)
        key = (array.dtype, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = f"constant_{len(self._known)}"
            self.constants[self._known[key]] = array
        return self._known[key]

    def cast(self, x: str, dtype: Any) -> str:
        """The same numbers in another dtype."""
        return self.apply("Cast", x, to=kind(dtype))

    def expression(self, tree: ast.expr, names: Mapping[str, str]) -> str:
        """Adds the nodes of an expression for one element, with these names for its inputs."""

        def write(part: ast.expr) -> str:
            return self.expression(part, names)

        match tree:
            case ast.Name(id):
                return names[id] if id in names else self.constant(SCALARS[id])
            case ast.Constant(value):
                return self.constant(value)
            case ast.UnaryOp(op=operator, operand=x):
                return self.apply(OPERATORS[type(operator)], write(x))
            case ast.BinOp(left=x, op=operator, right=y):
                return self.apply(OPERATORS[type(operator)], write(x), write(y))
            case ast.BoolOp(op=operator, values=[x, y]):
                return self.apply(OPERATORS[type(operator)], write(x), write(y))
            case ast.Compare(left=x, ops=[ast.NotEq()], comparators=[y]):
                return self.apply("Not", self.apply("Equal", write(x), write(y)))
            case ast.Compare(left=x, ops=[operator], comparators=[y]):
                return self.apply(OPERATORS[type(operator)], write(x), write(y))
            case ast.IfExp(test=test, body=x, orelse=y):
                return self.apply("Where", write(test), write(x), write(y))
            case ast.Call(func=ast.Name(id=function), args=arguments):
                return self.call(function, [write(argument) for argument in arguments])
        raise NotImplementedError(f"no ONNX is known for: {ast.unparse(tree)}")

    def call(self, function: str, inputs: Sequence[str]) -> str:
        """Adds the nodes of a function."""
        if function in NODES:
            return self.apply(NODES[function], *inputs)
        arguments, text = EXPRESSIONS[function]
        if function == "normal_cdf" and self.dtype == "float64":
            text = _normal_cdf()
        names = dict(zip(arguments.split(), inputs, strict=True))
        return self.expression(ast.parse(text, mode="eval").body, names)


@cache
def _normal_cdf() -> str:
    """Φ(x) in float64 as an expression, good to 2e-15; onnxruntime has no Erf for it.

    P(s) ≈ Φ(-t) exp(t²/2) for s = (t - 5) / (t + 5) and 0 ≤ t ≤ 9, a polynomial through
    Chebyshev's points; beyond, Φ(-t) is below 1e-19 and P(s) stays what it is at 9.
    """

    def ratio(s: Array) -> Array:
        t = 5 * (1 + s) / (1 - s)
        return np.array([math.erfc(v * math.sqrt(0.5)) * math.exp(v * v / 2) / 2 for v in t])

    points = np.polynomial.Chebyshev.interpolate(ratio, 20, [-1, 4 / 14])
    powers = points.convert(kind=np.polynomial.Polynomial, domain=[-1, 1]).coef.tolist()
    t = "minimum(abs(x), 9)"
    s = f"(({t} - 5) / ({t} + 5))"
    polynomial = repr(powers[-1])
    for power in reversed(powers[:-1]):
        polynomial = f"({polynomial} * {s} + {power!r})"
    tail = f"(exp(x * x * -0.5) * {polynomial})"
    return f"1 - {tail} if x > 0 else {tail}"


def write_node(writer: Writer, node: Node, names: Mapping[str, str]) -> str:
    """Adds what computes one node of the graph, with these names for its inputs."""
    writer.place = node.name
    if node.op == "constant":
        return writer.constant(node.attributes["value"])
    inputs = [names[name] for name in node.inputs]
    row = OPS[node.op]
    if row.onnx is not None:
        return row.onnx(writer, *inputs, **node.attributes)
    if row.kernel is None:
        raise NotImplementedError(f"no ONNX is known for the op '{node.op}'")
    places = [f"_{i}" for i in range(len(inputs))]
    tree = ast.parse(row.kernel.format(*places), mode="eval").body
    return writer.expression(tree, dict(zip(places, inputs, strict=True)))


def write_graph(writer: Writer, graph: Graph, output: str, names: Mapping[str, str]) -> str:
    """Adds what computes the node `output`, with these names for the leaves it needs."""
    needed = graph.ancestors([output])
    known = dict(names)
    for node in graph:
        if node.name in needed and node.name not in known:
            known[node.name] = write_node(writer, node, known)
    return known[output]
