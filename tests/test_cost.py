"""Operations of graphs against counts by hand."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import CONFIGS, ROOT

from trainer import load_spec
from trainer.graph import Graph, GraphBuilder
from trainer.graph.ops import BATCH, OPS
from trainer.network.cost import epoch_operations, evaluation_operations, operations
from trainer.runs.prepare import prepare


def graph_of(op: str, *shapes: tuple[Any, ...], **attributes: Any) -> Graph:
    """A graph whose output is one op of inputs of these shapes."""
    builder = GraphBuilder()
    leaves = [builder.leaf("input", f"x{i}", shape) for i, shape in enumerate(shapes)]
    builder.outputs["loss"] = builder.add(op, *leaves, **attributes).node.name
    return builder.build()


@pytest.mark.parametrize(
    ("graph", "count"),
    [
        (graph_of("matmul", (BATCH, 5), (5, 2)), 2 * 7 * 5 * 2),
        (graph_of("add", (BATCH, 5), (5,)), 7 * 5),  # the row is repeated, which is no operation
        (graph_of("tanh", (BATCH, 5)), 7 * 5),
        (graph_of("softmax", (BATCH, 3)), 7 * 3),
        (graph_of("sum", (BATCH, 5), axes=(0,)), 7 * 5),  # all that is read
        (graph_of("mean", (BATCH, 5), axes=(0, 1)), 7 * 5),
        (graph_of("count", (BATCH, 5), axes=(0,)), 0),
        (graph_of("expand_like", (5,), (BATCH, 5), axes=(0,)), 0),
        (graph_of("transpose", (BATCH, 5)), 0),
        (graph_of("concat", (BATCH, 5), (BATCH, 2)), 0),
        (graph_of("columns", (BATCH, 5), start=1, stop=3), 0),
        (graph_of("lookup", (9, 4), (BATCH, 1)), 0),
        (graph_of("scatter", (BATCH, 4), (BATCH, 1), (9, 4)), 7 * 4),
    ],
)
def test_of_an_op(graph: Graph, count: int) -> None:
    assert operations(graph, 7) == count


def test_of_a_training_by_hand() -> None:
    """y = w x + b with the squared loss: of each row 5 operations forward (w x, + b, - y, the
    square, its part of the mean) and 5 backward (twice the error, its part of the loss, its parts
    of db, of x dw and of dw); of each step 1 for a row's part of the loss, 8 for the norms (two
    squares, two sums, one sum of both, three roots) and 4 for the update.
    """
    graph = prepare(load_spec(ROOT / "configs/lecture/4_linear_regression.yaml")).training
    for rows in (1, 5, 1000):
        assert operations(graph, rows) == 13 + 10 * rows
        assert evaluation_operations(graph, rows) == 5 * rows
    assert epoch_operations(graph, 10, 4) == 2 * (13 + 40) + (13 + 20)
    assert epoch_operations(graph, 8, 4, measured=3) == 2 * (13 + 40) + 15
    assert epoch_operations(graph, 3, 4) == 13 + 30


def test_what_is_measured_is_no_part_of_a_step() -> None:
    """A network with dropout is another one where it is evaluated."""
    spec = load_spec(ROOT / "configs/residual.yaml")
    with_dropout = prepare(spec)
    assert any(node.name.startswith("eval/") for node in with_dropout.model)
    without = [n for n in with_dropout.training if not n.name.startswith("eval/")]
    kept = Graph(
        tuple(without),
        {r: n for r, n in with_dropout.training.outputs.items() if not r.startswith("eval/")},
        with_dropout.training.updates,
    )
    assert operations(kept, 32) == operations(with_dropout.training, 32)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_grows_with_the_rows(path: Any) -> None:
    """A step of more rows takes more, by the same for each row; and twice the width takes more."""
    graph = prepare(load_spec(path)).training
    one, two, three = (operations(graph, rows) for rows in (1, 2, 3))
    assert 0 < two - one == three - two
    assert 0 < evaluation_operations(graph, 1) < one


def test_every_op_is_counted_or_moves_numbers() -> None:
    """An op with a new form is looked at by whoever adds it."""
    free = {"transpose", "concat", "columns", "pad_columns", "lookup", "count", "expand_like"}
    counted = {name for name, op in OPS.items() if op.kernel is not None}
    others = {"matmul", "sum", "mean", "softmax", "log_softmax", "scatter"}
    assert free | counted | others == set(OPS)
