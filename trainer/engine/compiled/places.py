"""Expressions that read their inputs at another place than the loop is at, and scatter.

The inputs lie in buffers, whole: `schedule.py` sees to it for the ops in `ELSEWHERE`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from trainer.graph.graph import Node

if TYPE_CHECKING:
    from trainer.engine.compiled.writer import Writer

_Places: TypeAlias = Sequence[str]


def read_elsewhere(w: Writer, node: Node, inputs: Sequence[Node], indices: _Places) -> str:
    """The element of `node` at these indices, as an expression of elements of its inputs."""
    return _EXPRESSIONS[node.op](w, node, inputs, indices)


def write_scatter(w: Writer, node: Node, inputs: Sequence[Node]) -> None:
    """The rows of the first input, added up by their numbers: in their order, by one thread."""
    g, index, table = inputs
    out, (rows, columns) = w.buffer(node.name), map(w.size, node.shape)
    number = w.at(index.name, ["i", "0"])
    with w.block(f"for i in range({rows}):"), w.block(f"for j in range({columns}):"):
        w.line(f"{out}[i, j] = ZERO")
    with (
        w.block(f"for i in range({w.size(g.shape[0])}):"),
        w.block(f"if {_names_a_row(number, table)}:"),
        w.block(f"for j in range({columns}):"),
    ):
        w.line(f"{out}[int64({number}), j] += {w.at(g.name, 'ij')}")


def _transpose(w: Writer, _node: Node, inputs: Sequence[Node], indices: _Places) -> str:
    return w.at(inputs[0].name, indices[::-1])


def _concat(w: Writer, _node: Node, inputs: Sequence[Node], indices: _Places) -> str:
    a, b = inputs
    *before, column = indices
    left = w.at(a.name, indices)
    right = w.at(b.name, [*before, f"{column} - {a.shape[-1]}"])
    return f"{left} if {column} < {a.shape[-1]} else {right}"


def _columns(w: Writer, node: Node, inputs: Sequence[Node], indices: _Places) -> str:
    start = node.attributes["start"]
    *before, column = indices
    return w.at(inputs[0].name, [*before, f"{column} + {start}" if start else column])


def _pad_columns(w: Writer, node: Node, inputs: Sequence[Node], indices: _Places) -> str:
    start, stop = node.attributes["start"], node.attributes["stop"]
    *before, column = indices
    inner = w.at(inputs[0].name, [*before, f"{column} - {start}" if start else column])
    return f"{inner} if {start} <= {column} < {stop} else ZERO"


def _lookup(w: Writer, _node: Node, inputs: Sequence[Node], indices: _Places) -> str:
    table, index = inputs
    number = w.at(index.name, [indices[0], "0"])
    found = w.at(table.name, [f"int64({number})", indices[1]])
    return f"{found} if {_names_a_row(number, table)} else ZERO"


def _names_a_row(number: str, table: Node) -> str:
    """Whether a number names a row of the table; nan does not."""
    return f"ZERO <= {number} < {table.shape[0]}"


_EXPRESSIONS: Final[Mapping[str, Callable[[Writer, Node, Sequence[Node], _Places], str]]] = {
    "transpose": _transpose,
    "concat": _concat,
    "columns": _columns,
    "pad_columns": _pad_columns,
    "lookup": _lookup,
}
