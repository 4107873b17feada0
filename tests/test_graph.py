"""The graph as data: it cannot be changed, and it says where something does not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from trainer import build_graph, load_spec
from trainer.data.preparing.layout import Layout
from trainer.engine import Interpreter, evaluate
from trainer.errors import GraphError
from trainer.graph import GraphBuilder
from trainer.graph.ops import BATCH, show_shape


def small() -> GraphBuilder:
    builder = GraphBuilder("float32")
    x = builder.leaf("input", "x", (BATCH, 3))
    W = builder.leaf("parameter", "W", (3, 2))
    builder.outputs["h"] = x.apply("matmul", W, name="h").node.name
    return builder


def test_a_graph_cannot_be_changed() -> None:
    graph = small().build()
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph.nodes = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        graph["h"].op = "add"
    with pytest.raises(TypeError):
        graph.outputs["h"] = "x"


def test_extending_leaves_the_first_graph_alone() -> None:
    graph = small().build()
    builder = GraphBuilder.extend(graph)
    builder["h"].apply("relu", name="r")
    assert "r" not in graph
    assert [node.name for node in builder.build()] == ["x", "W", "h", "r"]


def test_nodes_know_op_inputs_shape_dtype_and_formula() -> None:
    h = small().build()["h"]
    assert (h.op, h.inputs, h.shape, h.dtype) == ("matmul", ("x", "W"), (BATCH, 2), "float32")
    assert h.formula == "x @ W"


@pytest.mark.parametrize(("shape", "text"), [((), "()"), ((3,), "(3,)"), ((BATCH, 16), "(B, 16)")])
def test_show_shape(shape: tuple[int | str, ...], text: str) -> None:
    assert show_shape(shape) == text


def test_a_shape_error_names_the_place_in_the_spec() -> None:
    builder = small()
    with builder.at("model.layers[1]"), pytest.raises(GraphError) as error:
        builder["h"].apply("matmul", builder["W"], name="again")
    assert str(error.value) == (
        "model.layers[1]: node 'again': matmul of 'h' (B, 2) and 'W' (3, 2): "
        "the inner dimensions 2 and 3 differ [TR-G007]"
    )


@pytest.mark.parametrize(
    ("op", "attributes", "message"),
    [
        (
            "add",
            {},
            "node 'n': add of 'a' (2, 3) and 'b' (2,): (2, 3) and (2,) do not broadcast [TR-G007]",
        ),
        (
            "matmul",
            {},
            "node 'n': matmul of 'a' (2, 3) and 'b' (2,): both must be matrices [TR-G007]",
        ),
        ("nope", {}, "node 'n': there is no op 'nope' [TR-G016]"),
        ("tanh", {}, "node 'n': tanh takes 1 input, not 2 [TR-G016]"),
    ],
)
def test_errors_of_the_builder(op: str, attributes: dict[str, object], message: str) -> None:
    builder = GraphBuilder()
    a, b = builder.leaf("input", "a", (2, 3)), builder.leaf("input", "b", (2,))
    with pytest.raises(GraphError) as error:
        builder.add(op, a, b, name="n", **attributes)
    assert str(error.value) == message


def test_formulas_of_every_kind_of_node() -> None:
    builder = GraphBuilder()
    x = builder.leaf("input", "x", (BATCH, 1))
    y = builder.leaf("input", "y", (BATCH, 1))
    assert (x * 2.5).node.formula == "x · 2.5"
    assert x.apply("logistic_loss", y).node.formula == "log(1 + exp(x)) - x · y"
    assert builder["2.5"].node.formula == "2.5"
    assert x.node.formula == "input"


def test_layers_become_nodes(write_spec) -> None:
    graph = build_graph(load_spec(write_spec()), Layout.plain(2, 1))
    assert [(n.name, n.op, n.inputs, n.shape, n.place) for n in graph] == [
        ("x", "input", (), ("B", 2), ""),
        ("y", "input", (), ("B", 1), ""),
        ("dense_1/W", "parameter", (), (2, 3), "model.layers[0]"),
        ("dense_1/product", "matmul", ("x", "dense_1/W"), ("B", 3), "model.layers[0]"),
        ("dense_1/b", "parameter", (), (3,), "model.layers[0]"),
        ("dense_1/sum", "add", ("dense_1/product", "dense_1/b"), ("B", 3), "model.layers[0]"),
        ("dense_1", "tanh", ("dense_1/sum",), ("B", 3), "model.layers[0]"),
        ("dense_2/W", "parameter", (), (3, 1), "model.layers[1]"),
        ("dense_2/product", "matmul", ("dense_1", "dense_2/W"), ("B", 1), "model.layers[1]"),
        ("dense_2/b", "parameter", (), (1,), "model.layers[1]"),
        ("dense_2", "add", ("dense_2/product", "dense_2/b"), ("B", 1), "model.layers[1]"),
        ("loss/each", "logistic_loss", ("dense_2", "y"), ("B", 1), "model.loss"),
        ("loss", "mean", ("loss/each",), (), "model.loss"),
    ]
    assert dict(graph.outputs) == {
        "prediction": "dense_2", "loss": "loss", "eval/prediction": "dense_2", "eval/loss": "loss",
    }  # fmt: skip
    assert graph.unused() == ()


def test_names_and_bias_of_layers(write_spec) -> None:
    layers = [{"units": 2, "name": "hidden", "bias": False}, {"units": 1, "activation": "sigmoid"}]
    graph = build_graph(load_spec(write_spec({"model.layers": layers})), Layout.plain(2, 1))
    assert [node.name for node in graph.parameters] == ["hidden/W", "dense_2/W", "dense_2/b"]
    # the last sigmoid and the logistic loss are one op: the graph is that of a linear last layer
    assert "sigmoid" not in {node.op for node in graph}


def test_fused_and_linear_last_layers_are_the_same_graph(write_spec) -> None:
    linear = build_graph(load_spec(write_spec()), Layout.plain(2, 1))
    changed = write_spec({"model.layers": [{"units": 3, "activation": "tanh"},
                                           {"units": 1, "activation": "sigmoid"}]})  # fmt: skip
    assert build_graph(load_spec(changed), Layout.plain(2, 1)).nodes == linear.nodes


def test_the_interpreter_evaluates_what_is_needed_alone() -> None:
    builder = small()
    builder["h"].apply("log", name="never")
    feeds = {"x": np.ones((4, 3)), "W": -np.ones((3, 2))}
    assert list(Interpreter(builder.build(), ["h"])(feeds)) == ["h"]
    np.testing.assert_array_equal(evaluate(builder.build(), feeds)["h"], np.full((4, 2), -3.0))
