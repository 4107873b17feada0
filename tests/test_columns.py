"""Columns, tables of rows and branches in one network: both engines train it alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from derivatives import backprop, complex_step, relative_error

from trainer.engine import evaluate, make_engine
from trainer.engine.compiled import engine
from trainer.engine.compiled.kernels import training_kernel
from trainer.graph import Expr, Graph, GraphBuilder, gradients
from trainer.graph.ops import BATCH, Array, Dim
from trainer.network.fingerprint import parameters_sha256

CODES, WIDTH = 5, 3  # rows of the table, columns of its rows
MEASURED = 2


def network(builder: GraphBuilder, rows: Dim, width: int = WIDTH, units: int = 4) -> Expr:
    """The loss, a mean: of x the last column numbers a row of E, the others are measured.

    Where a target is negative it counts as not there.
    """
    x = builder.leaf("input", "x", (rows, MEASURED + 1))
    y = builder.leaf("input", "y", (rows, 1))
    table = builder.leaf("parameter", "E", (CODES, width))
    found = table.apply("lookup", x.apply("columns", start=MEASURED, stop=MEASURED + 1))
    both = found.apply("concat", x.apply("columns", start=0, stop=MEASURED))
    h = (both @ builder.leaf("parameter", "W", (width + MEASURED, units))).apply("tanh")
    turned = h.apply("concat", h.apply("columns", start=1, stop=3).apply("square"))
    out = (turned @ builder.leaf("parameter", "v", (units + 2, 1))).apply("add", 0.1, name="out")
    square = y.apply("where", (out - y).apply("square"), out * out.apply("sign") * 0.01)
    builder.outputs |= {"prediction": "out", "eval/prediction": "out"}
    return square.apply("mean", name="loss", axes=(0, 1))


def with_updates(builder: GraphBuilder, loss: Expr, momentum: float = 0.9) -> Graph:
    """Plain SGD with momentum, and the norms that engines record."""
    builder.outputs |= {"loss": loss.node.name, "eval/loss": loss.node.name}
    names = [node.name for node in builder.build().parameters]
    builder = GraphBuilder.extend(gradients(builder.build(), loss.node.name, names))
    rate = builder.leaf("input", "learning_rate", ())
    total: Expr | float = 0.0
    for name in names:
        g, p = builder[builder.outputs[f"gradient/{name}"]], builder[name]
        every = tuple(range(len(g.shape)))
        norm = g.apply("square").apply("sum", axes=every).apply("sqrt", name=f"grad_norm/{name}")
        builder.outputs[f"grad_norm/{name}"] = norm.node.name
        total = norm.apply("square") + total
        moved = builder.leaf("state", f"velocity/{name}", p.shape) * momentum + g
        builder.updates[f"velocity/{name}"] = moved.node.name
        builder.updates[name] = (p - rate * moved).node.name
    assert isinstance(total, Expr)
    builder.outputs["grad_norm"] = total.apply("sqrt", name="grad_norm").node.name
    return builder.build()


def values_of(graph: Graph, rows: int, seed: int = 3) -> dict[str, Array]:
    """Random values; of the numbers of rows some are not there, and so with the targets."""
    random = np.random.default_rng(seed)
    values = {}
    for node in graph:
        if node.op in ("input", "parameter", "state") and node.shape != ():
            shape = tuple(rows if dim == BATCH else int(dim) for dim in node.shape)
            made = np.zeros(shape) if node.op == "state" else random.normal(size=shape) * 0.7
            values[node.name] = made
    values["x"][:, MEASURED] = random.integers(-1, CODES + 1, rows)
    values["x"][rows // 2, MEASURED] = np.nan
    return {name: value.astype(graph.nodes[0].dtype) for name, value in values.items()}


def trained(graph: Graph, name: str, rows: int, batch: int, **how: Any) -> dict[str, Array]:
    """The state after an epoch, and what was recorded on the way."""
    values = values_of(graph, rows)
    arrays = {name: values.pop(name) for name in ("x", "y")}
    count = -(-rows // batch)
    session = make_engine(graph, name, batch, **how).load(values)
    rates = {"learning_rate": np.full(count, 0.1, graph.nodes[0].dtype)}
    steps, predictions = session.train(arrays, rates, batch, 0, count)
    loss, evaluated = session.predict(arrays, 10)
    assert steps.rows == rows
    return session.fetch() | {
        "losses": steps.losses, "norms": steps.grad_norms, "loss": np.array(loss),
        "predictions": predictions, "evaluated": evaluated,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "tolerance", "batch"), [("float64", 1e-12, 4), ("float32", 2e-5, 9)]
)
def test_both_engines_train_it_alike(dtype: str, tolerance: float, batch: int) -> None:
    """21 rows: the last batch is short; of batches of 4 the full ones have code of their own."""
    builder = GraphBuilder(dtype)
    graph = with_updates(builder, network(builder, BATCH))
    found, expected = (trained(graph, name, 21, batch) for name in ("compiled", "reference"))
    start = values_of(graph, 21)
    for name, value in expected.items():
        assert np.isfinite(value).all(), name
        assert relative_error(found[name], value) <= tolerance, name
        if name in start:
            assert relative_error(start[name], value) > 0.01, name  # it was trained


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With loops that are shared between threads, and rows that are added to a small table."""
    monkeypatch.setattr(engine, "SHARED_SECONDS", 0)
    builder = GraphBuilder("float32")
    graph = with_updates(builder, network(builder, BATCH, width=80, units=64))
    assert training_kernel(graph, 600).shared
    states = [trained(graph, "compiled", 1000, 600, threads=n) for n in (1, 2, 3)]
    assert len({parameters_sha256(state) for state in states}) == 1
    expected = trained(graph, "reference", 1000, 600)
    assert relative_error(states[0]["E"], expected["E"]) <= 2e-5


def test_gradients_and_those_of_gradients() -> None:
    builder = GraphBuilder()
    builder.outputs["loss"] = network(builder, 7).node.name
    graph = builder.build()
    values = values_of(graph, 7)
    names = ["E", "W", "v"]
    found = backprop(graph, values, names)
    for name in names:
        assert relative_error(found[name], complex_step(graph, values, name)) <= 1e-12
    first = gradients(graph, "loss", names)
    builder = GraphBuilder.extend(first)
    slope = builder[first.outputs["gradient/E"]]
    slope.apply("square").apply("sum", name="slopes", axes=(0, 1))
    second = gradients(builder.build(), "slopes", names)
    for name in names:
        node = second.outputs[f"gradient/{name}"]
        expected = complex_step(second, values, name, of="slopes")
        assert np.abs(expected).max() > 1e-3
        assert relative_error(evaluate(second, values, [node])[node], expected) <= 1e-11


def moved(p: dict[str, Expr], index: Expr) -> dict[str, Expr]:
    """What stands at other places of square matrices, in their shape, by the op that reads it."""
    left, right = (p["concat"].apply("columns", start=a, stop=b) for a, b in ((0, 1), (1, 4)))
    part = p["pad_columns"].apply("columns", start=0, stop=3)
    return {
        "transpose": p["transpose"].T,
        "lookup": p["lookup"].apply("lookup", index),
        "concat": right.apply("concat", left),
        "pad_columns": part.apply("pad_columns", p["pad_columns"], start=1, stop=4),
    }


def test_an_update_waits_for_reads_at_other_places() -> None:
    """p' = p + what stands elsewhere in p: not stored where the old value is still to be read."""
    builder, names = GraphBuilder(), ["transpose", "lookup", "concat", "pad_columns"]
    x, y = (builder.leaf("input", name, (BATCH, 1)) for name in "xy")
    p = {name: builder.leaf("parameter", name, (4, 4)) for name in names}
    index = builder.leaf("state", "index", (4, 1))
    rate = builder.leaf("input", "learning_rate", ())
    difference = x.apply("sub", y, name="prediction")
    difference.apply("square").apply("mean", name="loss", axes=(0, 1))
    builder.outputs |= {f"{part}{name}": name for part in ("", "eval/")
                        for name in ("loss", "prediction")}  # fmt: skip
    for role in (
        "grad_norm",
        *(f"{part}/{n}" for part in ("grad_norm", "gradient") for n in names),
    ):
        builder.outputs[role] = "loss"
    for name, value in moved(p, index).items():
        builder.updates[name] = (value + rate * p[name]).node.name
    graph, results = builder.build(), []
    for kind in ("compiled", "reference"):
        start = {name: np.arange(16.0).reshape(4, 4) ** 2 + k for k, name in enumerate(names)}
        state = start | {"index": np.array([[3.0], [0.0], [1.0], [0.0]])}
        arrays = {"x": np.ones((6, 1)), "y": np.zeros((6, 1))}
        rates = {"learning_rate": np.array([0.5, 0.25])}
        session = make_engine(graph, kind, 3).load(state)
        session.train(arrays, rates, 3, 0, 2)
        results.append(session.fetch())
    for name in names:
        np.testing.assert_array_equal(results[0][name], results[1][name], err_msg=name)
