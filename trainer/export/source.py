"""A graph as a function of a NumPy program.

Elementwise ops are written from their kernel expressions, the ones that the compiled engine
uses, so an activation that has a row in the table of ops can be exported without another word.
Other ops are an expression of their own, or a call of their forward, which the program copies.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Mapping
from typing import Final

from trainer.export.copying import Program, read_file
from trainer.export.literals import literal
from trainer.export.runtime import functions
from trainer.graph import OPS, Graph, Node

_TAKEN: Final = frozenset({
    "x", "y", "p", "np", "DTYPE", "l", "O", "I",
    *read_file(functions.__name__).definitions, *keyword.kwlist,
})  # fmt: skip
"""Names that no variable may have; the letters that look like digits are among them."""


def give_network(program: Program, graph: Graph, output: str, docstring: str) -> None:
    """Gives the program `network(x, p)`: the node `output` of `graph`, from the input x and the
    parameters and states by name.
    """
    needed = graph.ancestors([output])
    nodes = [node for node in graph if node.name in needed]
    copied = [OPS[node.op].forward for node in nodes if _is_copied(node)]
    names = _variables(graph, {function.__name__ for function in copied})
    lines = [
        f"{names[node.name]} = {write_node(node, names)}"
        for node in nodes
        if node.op not in ("input", "parameter", "state")
    ]
    head = ["def network(x, p):", f"    {docstring}"]
    body = [f"    {line}" for line in [*lines, f"return {names[output]}"]]
    files = dict.fromkeys(function.__module__ for function in copied)
    program.give("network", "\n".join(head + body), functions.__name__, *files)


def write_node(node: Node, names: Mapping[str, str]) -> str:
    """The expression of one node, with these names for its inputs."""
    if node.op == "constant":
        return f"np.asarray({literal(node.attributes['value'])}, dtype=DTYPE)"
    row, inputs = OPS[node.op], [names[name] for name in node.inputs]
    if row.kernel is not None:
        return _vectorised(row.kernel, inputs)
    attributes = {key: literal(value) for key, value in node.attributes.items()}
    if row.program:
        return row.program.format(*inputs, **attributes)
    if not row.forward.__name__.isidentifier():
        raise NotImplementedError(f"the forward of the op '{node.op}' has no name to call it by")
    given = [*inputs, *(f"{key}={value}" for key, value in attributes.items())]
    return f"{row.forward.__name__}({', '.join(given)})"


def _is_copied(node: Node) -> bool:
    """Whether the program calls the forward of the node's op."""
    row = OPS.get(node.op)
    return row is not None and row.kernel is None and not row.program


def _vectorised(kernel: str, inputs: list[str]) -> str:
    """The expression for one element as one for arrays."""
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


def _variables(graph: Graph, called: set[str]) -> dict[str, str]:
    """A Python name for each node: `h_sum` for h/sum, `p['h/W']` for a parameter."""
    names: dict[str, str] = {}
    taken = _TAKEN | called
    for node in graph:
        if node.op in ("parameter", "state"):
            names[node.name] = f"p[{literal(node.name)}]"
        elif node.op == "input":
            names[node.name] = node.name
        else:
            variable = re.sub(r"\W|^(?=\d)", "_", node.name, flags=re.ASCII)
            while variable in taken:
                variable += "_"
            taken |= {variable}
            names[node.name] = variable
    return names
