"""How many operations a training takes: exact whole numbers, from shapes alone.

A product of (m, k) and (k, n) is m n sums of k products: 2 m k n operations. Any other op is one
operation for each number that it computes, or where it adds up (`sum`, `mean`, `scatter`), for each
that it reads. Turning rows into columns, repeating and cutting compute nothing. So it does not
matter what an engine fuses, nor which machine it runs on: networks are compared by it, and it is
not a time.
"""

from __future__ import annotations

import math
from typing import Final

from trainer.graph import Graph
from trainer.graph.ops import BATCH, LEAVES, OPS, InOrder, Op, Rows, Shape

EVALUATION: Final = ("eval/loss", "eval/prediction")
"""What is computed of rows that are measured."""


def operations(graph: Graph, rows: int) -> int:
    """The operations of one step of a training graph (see `training_graph`) with so many rows: the
    pass forward and backward, what is recorded of it, and the update.
    """
    roles = [role for role in graph.outputs if not role.startswith("eval/")]
    return _count(graph, [*(graph.outputs[role] for role in roles), *graph.updates.values()], rows)


def evaluation_operations(graph: Graph, rows: int) -> int:
    """The operations of measuring so many rows with the graph of a model that trains."""
    return _count(
        graph, [graph.outputs[role] for role in EVALUATION if role in graph.outputs], rows
    )


def epoch_operations(graph: Graph, rows: int, batch: int, measured: int = 0) -> int:
    """The operations of an epoch of a training graph: of steps of so many rows a `batch`, the last
    of them with those that are left, and of measuring the validation rows.
    """
    whole, rest = divmod(rows, batch)
    steps = whole * operations(graph, batch) + (operations(graph, rest) if rest else 0)
    return steps + (evaluation_operations(graph, measured) if measured else 0)


def _count(graph: Graph, targets: list[str], rows: int) -> int:
    needed = graph.ancestors(targets)
    return sum(
        _of_op(OPS[node.op], node.shape, [graph[name].shape for name in node.inputs], rows)
        for node in graph
        if node.name in needed and node.op not in LEAVES
    )


def _of_op(op: Op, shape: Shape, inputs: list[Shape], rows: int) -> int:
    """The operations of one node."""
    if op.form == "product":
        (m, k), (_, n) = inputs
        return 2 * _size((m, k, n), rows)
    if op.form in ("sum", "mean") or isinstance(op.form, InOrder):
        return _size(inputs[0], rows)
    computes = op.kernel is not None or isinstance(op.form, Rows)
    return _size(shape, rows) if computes else 0


def _size(shape: Shape, rows: int) -> int:
    return math.prod(rows if dim == BATCH else int(dim) for dim in shape)
