"""A graph as the text of a NumPy program.

Elementwise ops are written from their kernel expressions, the ones that the compiled engine
uses, so an activation that has a row in the table of ops can be exported without another word.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from trainer.graph import Graph
from trainer.graph.graph import Node
from trainer.graph.ops import LEAKY_SLOPE, OPS

FUNCTIONS: Final[Mapping[str, str]] = {
    "exp": "exp = np.exp",
    "log": "log = np.log",
    "sqrt": "sqrt = np.sqrt",
    "tanh": "tanh = np.tanh",
    "sigmoid": """\
def sigmoid(x):
    e = np.exp(-np.abs(x))  # in (0, 1]: never overflows
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))
""",
    "softplus": """\
def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
""",
    "normal_cdf": """\
def normal_cdf(x):
    z = x * -np.sqrt(0.5)
    erfc = np.fromiter(map(math.erfc, z.flat), np.float64, z.size).reshape(z.shape)
    return (0.5 * erfc).astype(x.dtype)
""",
    "normal_pdf": """\
def normal_pdf(x):
    return (np.exp(x * x * -0.5) * np.sqrt(0.5 / np.pi)).astype(x.dtype)
""",
    "logistic_loss": """\
def logistic_loss(z, y):
    return np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
""",
    "softmax": """\
def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
""",
    "log_softmax": """\
def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
""",
    "mean": """\
def mean(x, axes):
    return np.sum(x, axis=axes) / count(x, axes)
""",
    "count": """\
def count(x, axes):
    return np.prod([x.shape[axis] for axis in axes], dtype=x.dtype)
""",
    "expand_like": """\
def expand_like(g, x, axes, keepdims=False):
    return np.broadcast_to(g if keepdims else np.expand_dims(g, axes), x.shape)
""",
    "pad_columns": """\
def pad_columns(g, x, start, stop):
    out = np.zeros_like(x)
    out[..., start:stop] = g
    return out
""",
    "row_numbers": """\
def row_numbers(index, rows):
    number = index[:, 0]
    inside = (number >= 0) & (number < rows)  # others name no row, nan neither
    return inside, np.where(inside, number, 0).astype(np.int64)
""",
    "lookup": """\
def lookup(table, index):
    inside, numbers = row_numbers(index, len(table))
    return np.where(inside[:, None], table[numbers], table.dtype.type(0))
""",
    "scatter": """\
def scatter(g, index, table):
    inside, numbers = row_numbers(index, len(table))
    out = np.zeros_like(table)
    np.add.at(out, numbers[inside], g[inside])
    return out
""",
}
"""What expressions call, as NumPy. The formulas are those of the table of ops."""

WRITTEN: Final[Mapping[str, str]] = {
    "softmax": "softmax({0})",
    "log_softmax": "log_softmax({0})",
    "matmul": "{0} @ {1}",
    "transpose": "{0}.T",
    "sum": "np.sum({0}, axis={axes}, keepdims={keepdims})",
    "mean": "mean({0}, {axes})",
    "count": "count({0}, {axes})",
    "expand_like": "expand_like({0}, {1}, {axes}, {keepdims})",
    "concat": "np.concatenate(({0}, {1}), axis=-1)",
    "columns": "{0}[..., {start}:{stop}]",
    "pad_columns": "pad_columns({0}, {1}, {start}, {stop})",
    "lookup": "lookup({0}, {1})",
    "scatter": "scatter({0}, {1}, {2})",
}
"""The ops that are not elementwise."""

_TAKEN: Final = frozenset({
    "x", "y", "p", "np", "math", "DTYPE", "ZERO", "ONE", "SLOPE", "l", "O", "I",
    *FUNCTIONS, *keyword.kwlist,
})  # fmt: skip
"""Names that no variable may have; the letters that look like digits are among them."""

_CALL = re.compile(r"\b([a-z_]+)\(")


@dataclass(frozen=True)
class Source:
    """The text of a program that computes a node: the functions that it calls, and the lines of
    the body of `network(x, p)`, with `p` the parameters by name.
    """

    functions: str
    body: str


def write_source(graph: Graph, output: str) -> Source:
    """The program for the node `output` of `graph`, from the input x and the parameters."""
    needed = graph.ancestors([output])
    names = _variables(graph)
    lines = [
        f"    {names[node.name]} = {write_node(node, names)}"
        for node in graph
        if node.name in needed and node.op not in ("input", "parameter", "state")
    ]
    body = "\n".join([*lines, f"    return {names[output]}"])
    return Source(_definitions(body), body)


def write_node(node: Node, names: Mapping[str, str]) -> str:
    """The expression of one node, with these names for its inputs."""
    if node.op == "constant":
        return f"np.asarray({node.attributes['value']!r}, dtype=DTYPE)"
    inputs = [names[name] for name in node.inputs]
    kernel = OPS[node.op].kernel
    if kernel is None:
        attributes: dict[str, Any] = {"keepdims": False} | dict(node.attributes)
        return WRITTEN[node.op].format(*inputs, **attributes)
    places = [f"_{i}" for i in range(len(inputs))]
    tree = _Vectorised().visit(ast.parse(kernel.format(*places), mode="eval"))
    expression = ast.unparse(ast.fix_missing_locations(tree))
    return re.sub(r"\b_(\d)\b", lambda match: inputs[int(match[1])], expression)


class _Vectorised(ast.NodeTransformer):
    """An expression for one element as one for arrays."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """`a if test else b` becomes `np.where(test, a, b)`."""
        parts = [self.visit(part) for part in (node.test, node.body, node.orelse)]
        where = ast.Attribute(ast.Name("np", ast.Load()), "where", ast.Load())
        return ast.Call(where, parts, [])

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """`a or b` becomes `a | b`."""
        operator = ast.BitOr() if isinstance(node.op, ast.Or) else ast.BitAnd()
        first, *others = (self.visit(value) for value in node.values)
        for value in others:
            first = ast.BinOp(first, operator, value)
        return first  # type: ignore[no-any-return]


def _variables(graph: Graph) -> dict[str, str]:
    """A Python name for each node: `h_sum` for h/sum, `p['h/W']` for a parameter."""
    names: dict[str, str] = {}
    taken = set(_TAKEN)
    for node in graph:
        if node.op in ("parameter", "state"):
            names[node.name] = f"p[{node.name!r}]"
        elif node.op == "input":
            names[node.name] = node.name
        else:
            variable = re.sub(r"\W|^(?=\d)", "_", node.name, flags=re.ASCII)
            while variable in taken:
                variable += "_"
            taken.add(variable)
            names[node.name] = variable
    return names


def _definitions(body: str) -> str:
    """The definitions of all functions that the body needs, and of what these need."""
    needed: dict[str, None] = {}

    def require(text: str) -> None:
        for name in _calls(text):
            if name not in needed:
                require(FUNCTIONS[name])
                needed[name] = None

    require(body)
    scalars = f"ZERO, ONE, SLOPE = (DTYPE.type(value) for value in (0, 1, {LEAKY_SLOPE}))\n"
    used = [scalars] if re.search(r"\b(ZERO|ONE|SLOPE)\b", body) else []
    texts = [*used, *(FUNCTIONS[name] for name in needed)]
    return "\n\n\n".join(text.strip() for text in texts)


def _calls(text: str) -> Iterator[str]:
    """The names of our functions that a text calls, not those of its own definition."""
    own = re.match(r"def (\w+)", text)
    for match in _CALL.finditer(text):
        before = text[match.start() - 1 : match.start()]
        if before != "." and match[1] in FUNCTIONS and (own is None or match[1] != own[1]):
            yield match[1]
