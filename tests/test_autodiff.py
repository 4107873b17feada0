"""Differentiation of whole graphs: the lecture's numbers, shared nodes, depth, random graphs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from derivatives import backprop, complex_step, relative_error, scalar_of
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from trainer.engine import evaluate
from trainer.errors import GraphError
from trainer.graph import Edge, Expr, Graph, GraphBuilder, gradients
from trainer.graph.ops import Array


def scalars(**values: float) -> tuple[GraphBuilder, dict[str, Array], dict[str, Expr]]:
    """A builder with one scalar parameter a name."""
    builder = GraphBuilder()
    leaves = {name: builder.leaf("parameter", name, ()) for name in values}
    return builder, {name: np.array(value) for name, value in values.items()}, leaves


def sigmoid(z: float) -> float:
    return 1 / (1 + np.exp(-z))


# The lecture's worked examples ------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(3.0, 4.0), (-1.5, 0.25)])
def test_example_1(a: float, b: float) -> None:
    """e = (a + b) d at d = 2: ∂e/∂a = ∂e/∂b = 2, ∂e/∂d = a + b."""
    builder, values, x = scalars(a=a, b=b, d=2.0)
    (x["a"] + x["b"]).apply("mul", x["d"], name="loss")
    assert backprop(builder.build(), values, ["a", "b", "d"]) == {"a": 2, "b": 2, "d": a + b}


def test_example_2_sums_over_two_paths() -> None:
    """e = (a + b)(b + 1) at a = 2, b = 1: ∂e/∂b = (b + 1) + (a + b) = 2 + 3 = 5."""
    builder, values, x = scalars(a=2.0, b=1.0)
    c = x["a"].apply("add", x["b"], name="c")
    d = x["b"].apply("add", 1.0, name="d")
    c.apply("mul", d, name="loss")
    graph = gradients(builder.build(), "loss", ["a", "b"])
    found = evaluate(graph, values)
    assert found["loss"] == 6
    assert found[graph.outputs["gradient/a"]] == 2
    assert found[graph.outputs["gradient/b"]] == 5
    total = graph[graph.outputs["gradient/b"]]
    assert total.op == "add"
    assert [found[name] for name in total.inputs] == [2.0, 3.0]


def test_example_3_logistic_regression() -> None:
    """∇_w L = (σ(w·x) - y) x and ∂L/∂b = σ(w·x + b) - y: downhill for the loss."""
    w, b, x, y = 0.7, -0.2, 1.5, 1.0
    builder, values, leaf = scalars(w=w, b=b, x=x, y=y)
    (leaf["w"] * leaf["x"] + leaf["b"]).apply("logistic_loss", leaf["y"], name="loss")
    found = backprop(builder.build(), values, ["w", "b"])
    error = sigmoid(w * x + b) - y
    assert found["w"] == pytest.approx(error * x, rel=1e-15)
    assert found["b"] == pytest.approx(error, rel=1e-15)


def test_example_5_scalar_hidden_layer() -> None:
    """h = w₁x + b₁, ŷ = w₂h + b₂: ∂L/∂w₁ = 2(ŷ - y) w₂ x, ∂L/∂w₂ = 2(ŷ - y) h, ..."""
    w1, b1, w2, b2, x, y = 0.5, 0.1, -1.5, 0.3, 2.0, 1.0
    builder, values, leaf = scalars(w1=w1, b1=b1, w2=w2, b2=b2, x=x, y=y)
    h = leaf["w1"] * leaf["x"] + leaf["b1"]
    (leaf["w2"] * h + leaf["b2"] - leaf["y"]).apply("square", name="loss")
    found = backprop(builder.build(), values, ["w1", "b1", "w2", "b2"])
    hidden = w1 * x + b1
    error = 2 * (w2 * hidden + b2 - y)
    expected = {"w1": error * w2 * x, "b1": error * w2, "w2": error * hidden, "b2": error}
    assert {k: float(v) for k, v in found.items()} == pytest.approx(expected, rel=1e-15)


def test_example_6_local_errors() -> None:
    """3 → 2 → 1 with sigmoid: δᵢ = ∂L/∂ŷ W²ᵢ hᵢ(1 - hᵢ), ∇W¹ = x δᵀ, ∇W² = h ∂L/∂ŷ."""
    rng = np.random.default_rng(1)
    values = {
        "x": rng.normal(size=(1, 3)), "y": np.array([[0.4]]),
        "W1": rng.normal(size=(3, 2)), "W2": rng.normal(size=(2, 1)),
    }  # fmt: skip
    builder = GraphBuilder()
    leaf = {name: builder.leaf("parameter", name, value.shape) for name, value in values.items()}
    h = (leaf["x"] @ leaf["W1"]).apply("sigmoid", name="h")
    (h @ leaf["W2"] - leaf["y"]).apply("square").apply("mean", name="loss", axes=(0, 1))
    found = backprop(builder.build(), values, ["W1", "W2"])
    hidden = sigmoid(values["x"] @ values["W1"])
    error = 2 * (hidden @ values["W2"] - values["y"])
    delta = error * values["W2"].T * hidden * (1 - hidden)
    np.testing.assert_allclose(found["W2"], hidden.T * error, rtol=1e-14)
    np.testing.assert_allclose(found["W1"], values["x"].T * delta, rtol=1e-14)


# Structure --------------------------------------------------------------------------------------


def test_backward_nodes_remember_their_forward_edge() -> None:
    builder, _, x = scalars(a=2.0, b=1.0)
    c = x["a"].apply("add", x["b"], name="c")
    c.apply("mul", x["b"], name="loss")
    graph = gradients(builder.build(), "loss", ["b"])
    total = graph[graph.outputs["gradient/b"]]
    # the term through c is c's own gradient (∂c/∂b = 1), found along the edge loss → c
    assert [graph[name].via for name in total.inputs] == [Edge("loss", 0), Edge("loss", 1)]


def test_a_node_used_many_times() -> None:
    """L = x · x · x + x, by repeated use of one node: 3x² + 1."""
    builder, values, x = scalars(x=1.7)
    (x["x"] * x["x"] * x["x"]).apply("add", x["x"], name="loss")
    assert backprop(builder.build(), values, ["x"])["x"] == pytest.approx(3 * 1.7**2 + 1, rel=1e-15)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((2, 3), (3,)),
        ((), (2, 3)),
        ((2, 1), (1, 3)),
        ((1, 3), (2, 3)),
        ((1,), (4,)),
        ((2, 1), (3,)),
    ],
)
def test_gradients_sum_over_broadcast_axes(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    values = {"a": rng.normal(size=left), "b": rng.normal(size=right)}
    builder = GraphBuilder()
    a, b = (builder.leaf("parameter", name, value.shape) for name, value in values.items())
    scalar_of(builder, a * b, values)
    graph = builder.build()
    found = backprop(graph, values, ["a", "b"])
    for name in "ab":
        assert found[name].shape == values[name].shape
        assert relative_error(found[name], complex_step(graph, values, name)) <= 1e-12


def test_a_chain_of_10_000_nodes() -> None:
    """No recursion, and time that grows with length: y = x · 1.0001^10000."""
    builder, values, x = scalars(x=0.5)
    y = x["x"]
    for _ in range(9_999):
        y = y * 1.0001
    y.apply("mul", 1.0001, name="loss")
    began = time.process_time()
    found = backprop(builder.build(), values, ["x"])["x"]
    assert found == pytest.approx(1.0001**10_000, rel=1e-11)
    assert time.process_time() - began < 20  # quadratic time would take minutes


def test_what_does_not_influence_the_loss_has_gradient_0() -> None:
    builder, values, x = scalars(a=1.0, b=2.0)
    x["a"].apply("square", name="loss")
    assert backprop(builder.build(), values, ["a", "b"]) == {"a": 2.0, "b": 0.0}


def test_no_nodes_for_gradients_that_nobody_asked_for() -> None:
    builder, _, x = scalars(a=1.0, b=2.0)
    (x["a"] * x["b"].apply("exp")).apply("square", name="loss")
    graph = gradients(builder.build(), "loss", ["a"])
    assert not any(node.name.startswith("grad/b") for node in graph)


def test_only_a_scalar_has_a_gradient() -> None:
    builder = GraphBuilder()
    builder.leaf("parameter", "W", (2, 3)).apply("tanh", name="h")
    with pytest.raises(GraphError) as error:
        gradients(builder.build(), "h", ["W"])
    assert str(error.value) == "the gradient of 'h' is asked for, which is no scalar [TR-G017]"


def test_the_same_graph_gives_the_same_nodes() -> None:
    def build() -> Graph:
        builder, _, x = scalars(a=2.0, b=1.0)
        ((x["a"] + x["b"]) * x["b"]).apply("tanh", name="loss")
        return gradients(builder.build(), "loss", ["a", "b"])

    assert build().nodes == build().nodes


# Random graphs ----------------------------------------------------------------------------------

UNARY = [
    "neg", "tanh", "sigmoid", "softplus", "gelu", "normal_cdf", "normal_pdf", "square", "exp",
    "softmax", "log_softmax", "transpose", "sum", "mean", "sign", "columns",
]  # fmt: skip
BINARY = ["add", "sub", "mul", "matmul", "logistic_loss", "concat", "lookup"]
TERNARY = ["where"]
SHAPES = [(), (3,), (2, 3), (2, 1), (1, 3), (3, 2)]
EXACT = {"neg", "square", "transpose", "add", "sub", "mul", "sign", "columns", "concat", "lookup",
         "where"}  # fmt: skip
"""Ops whose results are the same bits in each engine: what jumps may take them, and no others."""


@st.composite
def random_graphs(draw: st.DrawFn) -> tuple[Graph, dict[str, Array]]:
    """Up to 4 parameters and 12 ops that take any nodes before them, also several times."""
    builder = GraphBuilder()
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values: dict[str, Array] = {}
    nodes: list[Expr] = []
    exact: set[str] = set()

    def pick(among: Callable[[Expr], bool] = lambda _: True) -> Expr:
        found = [node for node in nodes if among(node)]
        return found[draw(st.integers(0, len(found) - 1))] if found else nodes[0]

    for i, shape in enumerate(draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=4))):
        values[f"p{i}"] = rng.normal(size=shape)
        nodes.append(builder.leaf("parameter", f"p{i}", shape))
        exact.add(f"p{i}")
    for op in draw(st.lists(st.sampled_from(UNARY + BINARY + TERNARY), min_size=2, max_size=12)):
        x, y, z = pick(), pick(), pick()
        attributes = {}
        if op in ("sign", "where"):
            x = pick(lambda node: node.node.name in exact)
        if op == "lookup":
            x = pick(lambda node: len(node.shape) == 2)
            y = pick(lambda node: node.node.name in exact and node.shape[1:] == (1,))
        if op == "columns" and x.shape:
            start = draw(st.integers(0, int(x.shape[-1]) - 1))
            attributes = {"start": start, "stop": draw(st.integers(start + 1, int(x.shape[-1])))}
        elif op == "columns":
            continue
        if op in ("sum", "mean") and x.shape:
            attributes = {"axes": (draw(st.integers(0, len(x.shape) - 1)),)}
        elif op in ("sum", "mean"):
            attributes = {"axes": ()}
        if op == "exp":
            x = x.apply("tanh")
        others = [y, z][: (op in BINARY) + 2 * (op in TERNARY)]
        try:
            nodes.append(x.apply(op, *others, **attributes))
        except GraphError:  # shapes that do not fit: the graph goes on without this node
            continue
        if op in EXACT and all(node.node.name in exact for node in (x, *others)):
            exact.add(nodes[-1].node.name)
    last = nodes[-1]
    for node in nodes[:-1]:  # every parameter and most nodes take part
        if node.shape == last.shape:
            last = last + node
    scalar_of(builder, last.apply("tanh"), values)
    return builder.build(), values


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(random_graphs())
def test_random_graphs(case: tuple[Graph, dict[str, Array]]) -> None:
    graph, values = case
    names = [node.name for node in graph.parameters]
    largest = max(1.0, *(float(np.abs(v).max()) for v in evaluate(graph, values).values()))
    assume(largest < 1e3)
    found = backprop(graph, values, names)
    expected = {name: complex_step(graph, values, name) for name in names}
    scale = max(float(np.abs(value).max()) for value in expected.values())
    floor = 1e-3 * largest  # where tanh is nearly 1, 1 - tanh² keeps only the error of its value
    for name in names:
        assert np.abs(found[name] - expected[name]).max() <= 1e-11 * max(scale, floor)
