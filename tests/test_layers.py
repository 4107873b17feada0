"""Layers as nodes: values worked by hand, gradients in training and evaluation, named inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from derivatives import backprop, complex_step, relative_error

from trainer import Spec, build_graph
from trainer.data.preparing.layout import Field, Layout
from trainer.engine import evaluate
from trainer.errors import GraphError
from trainer.graph import Graph
from trainer.graph.initialisers import initial_parameters, initial_state
from trainer.graph.ops import Array
from trainer.network.layers import WRITERS
from trainer.spec.layers import LayerSpec
from trainer.spec.tagged import models_of

COLORS = Layout(
    (Field("age", 0, 1), Field("color", 1, 2, 3, 2), Field("size", 2, 4), Field("city", 4, 5, 2, 3),
     Field("city", 5, 6)), 1,
)  # fmt: skip
"""Two features are embedded: one of 3 categories, and one of 2 with an indicator."""


def spec_of(layers: list[dict[str, Any]], **model: Any) -> Spec:
    values = {"layers": layers, "loss": "squared", "dtype": "float64", **model}
    return Spec.model_validate(TINY | {"model": values})


def graph_of(
    layers: list[dict[str, Any]], layout: Layout, *, training: bool = True, **model: Any
) -> Graph:
    return build_graph(spec_of(layers, **model), layout, training=training)


def value(graph: Graph, name: str, **feeds: Any) -> list[Any]:
    """The value of a node at the initial parameters and statistics, and these feeds."""
    start = initial_parameters(graph, 3) | initial_state(graph)
    arrays = {key: np.array(given, np.float64) for key, given in feeds.items()}
    return list(evaluate(graph, start | arrays, [name])[name].tolist())


# Values by hand ---------------------------------------------------------------------------------

HEAD = {"type": "dense", "units": 1, "init": "ones"}


def test_dropout_is_a_mask_in_training_alone() -> None:
    layers = [{"type": "dropout", "rate": 0.75, "name": "d"}, HEAD]
    graph = graph_of(layers, Layout.plain(2, 1))
    mask = graph["d/mask"]
    assert (mask.op, mask.shape, dict(mask.attributes)) == ("input", ("B", 2), {"rate": 0.75})
    feeds = {"x": [[1, 2], [3, 4]], "d/mask": [[0, 4], [4, 0]]}
    assert value(graph, "d", **feeds) == [[0, 8], [12, 0]]
    assert value(graph, "dense_2", **feeds) == [[8], [12]]
    assert value(graph, "eval/dense_2", x=[[1, 2], [3, 4]]) == [[3], [7]]
    alone = graph_of(layers, Layout.plain(2, 1), training=False)
    assert [node.name for node in alone.leaves("input")] == ["x", "y"]
    assert value(alone, "dense_2", x=[[1, 2]]) == [[3]]


ROOT = (1 + 1e-5) ** 0.5


def test_batch_norm_and_its_running_averages() -> None:
    """Batches 1, 3 then 0, 0, 6 then 5 alone; PyTorch's BatchNorm1d gives these averages."""
    graph = graph_of([{"type": "batch_norm", "name": "n"}, HEAD], Layout.plain(1, 1))
    assert [(n.name, dict(n.attributes)) for n in graph.leaves("state")] == [
        ("n/mean", {"initial": 0.0, "statistic": True}),
        ("n/variance", {"initial": 1.0, "statistic": True}),
    ]
    assert value(graph, "n", x=[[1], [3]]) == [[-1 / ROOT], [1 / ROOT]]
    averages = initial_state(graph)
    for batch, mean, variance in [
        ([1, 3], 0.2, 0.9 + 0.2),  # mean 2, unbiased variance 2
        ([0, 0, 6], 0.18 + 0.2, 0.99 + 1.2),  # mean 2, variance 12
        ([5], 0.342 + 0.5, 0.9 * 2.19),  # of one row the biased variance, 0
    ]:
        feeds = averages | {"x": np.array(batch, float)[:, None]}
        after = evaluate(graph, feeds, list(graph.updates.values()))
        averages = {leaf: after[node] for leaf, node in graph.updates.items()}
        assert averages["n/mean"].item() == pytest.approx(mean, rel=1e-14)
        assert averages["n/variance"].item() == pytest.approx(variance, rel=1e-14)
    [[found]] = value(graph, "eval/n", x=[[7]], **averages)
    assert found == pytest.approx((7 - 0.842) / (1.971 + 1e-5) ** 0.5, rel=1e-14)


def test_scale_and_shift_follow_a_norm() -> None:
    graph = graph_of([{"type": "batch_norm", "name": "n"}, HEAD], Layout.plain(1, 1))
    own = [n for n in graph.parameters if n.name.startswith("n/")]
    assert [(n.name, n.shape, n.attributes["init"], n.attributes["decay"]) for n in own] == [
        ("n/scale", (1,), "ones", False), ("n/shift", (1,), "zeros", False),
    ]  # fmt: skip
    found = value(graph, "n", x=[[1], [3]], **{"n/scale": [3], "n/shift": [10]})
    assert found == [[10 - 3 / ROOT], [10 + 3 / ROOT]]
    for kind in ("batch_norm", "layer_norm"):
        layers = [{"type": kind, "affine": False}, HEAD]
        assert len(graph_of(layers, Layout.plain(2, 1)).parameters) == 2


def test_layer_norm_is_of_rows() -> None:
    layers = [{"type": "layer_norm", "name": "n"}, HEAD]
    for training in (True, False):
        graph = graph_of(layers, Layout.plain(2, 1), training=training)
        found = value(graph, "n", x=[[1, 3], [10, 6]])
        four = (4 + 1e-5) ** 0.5
        assert found == [[-1 / ROOT, 1 / ROOT], [2 / four, -2 / four]]
    assert graph_of(layers, Layout.plain(2, 1)).outputs["eval/loss"] == "loss"


def test_an_embedding_takes_a_row_of_its_matrix() -> None:
    rows = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    layers = [{"type": "embedding", "inputs": "color", "units": 2, "name": "e",
               "init": {"values": rows}},
              {"type": "concat", "inputs": ["x", "e"], "name": "c"}, HEAD]  # fmt: skip
    graph = graph_of(layers, COLORS)
    x = [[7, 2, 8, 9, 1, 0.5], [7, -1, 8, 9, 5, 0.5]]
    assert value(graph, "e", x=x) == [[5, 6], [0, 0]]
    # x is without the column that the layer takes; the city is looked up, its indicator stays
    city = [[9, 9, 9], [1, 2, 3]]
    assert value(graph, "c", x=x, **{"city/vectors": city}) == [
        [7, 8, 9, 1, 2, 3, 0.5, 5, 6], [7, 8, 9, 0, 0, 0, 0.5, 0, 0],
    ]  # fmt: skip
    assert "color/vectors" not in graph


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("add", [[8, 15]]), ("multiply", [[12, 105]]), ("concat", [[3, 5, 4, 7, 1, 3]])],
)
def test_layers_of_several_inputs(kind: str, expected: list[list[float]]) -> None:
    groups = {"a": ["x1", "x2"], "b": ["x3", "x4"], "c": ["x5", "x6"]}
    layers = [{"type": kind, "inputs": list(groups), "name": "k"}, HEAD]
    graph = graph_of(layers, Layout.plain(6, 1), inputs=groups)
    assert value(graph, "k", x=[[3, 5, 4, 7, 1, 3]]) == expected


# Gradients of every kind ------------------------------------------------------------------------

FIRST = {"type": "dense", "units": 3, "activation": "tanh", "name": "a"}
SECOND = {"type": "dense", "units": 3, "name": "b", "inputs": "x", "activation": "sigmoid"}
LAST = {"type": "dense", "units": 2, "name": "out"}
GRADIENTS: dict[str, list[dict[str, Any]]] = {
    "dense": [FIRST, {"type": "dense", "units": 4, "bias": False, "activation": "softplus"}, LAST],
    "activation": [FIRST, {"type": "activation", "activation": "gelu"}, LAST],
    "dropout": [FIRST, {"type": "dropout", "rate": 0.5, "name": "d"}, LAST],
    "batch_norm": [FIRST, {"type": "batch_norm", "name": "n"}, LAST],
    "layer_norm": [FIRST, {"type": "layer_norm", "name": "n"}, LAST],
    "embedding": [FIRST, {"type": "embedding", "inputs": "color", "units": 3, "name": "e"},
                  {"type": "add", "inputs": ["a", "e"]}, LAST],
    "add": [FIRST, SECOND, {"type": "add", "inputs": ["a", "b"]}, LAST],
    "multiply": [FIRST, SECOND, {"type": "multiply", "inputs": ["a", "b"]}, LAST],
    "concat": [FIRST, SECOND, {"type": "concat", "inputs": ["b", "a", "x"]}, LAST],
}  # fmt: skip


def test_every_kind_of_layer_has_a_row() -> None:
    assert set(GRADIENTS) == set(models_of(LayerSpec)) == set(WRITERS)


def feeds_of(graph: Graph, random: np.random.Generator, rows: int = 5) -> dict[str, Array]:
    """Random values of all leaves; the columns of x that hold codes get codes."""
    feeds = {}
    for node in graph:
        if node.op in ("input", "parameter", "state"):
            shape = [rows if dim == "B" else int(dim) for dim in node.shape]
            feeds[node.name] = random.normal(size=shape)
            if node.name.endswith("/mask"):
                feeds[node.name] = 2.0 * random.integers(2, size=shape)
            if node.name.endswith("/variance"):
                feeds[node.name] = random.uniform(0.5, 2, size=shape)
    feeds["x"][:, 1], feeds["x"][:, 4] = [0, 2, 1, 0, -1], [1, 0, 0, 1, 3]
    return feeds


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("kind", GRADIENTS)
def test_gradients(kind: str, training: bool) -> None:
    """By complex steps, to 1e-12; each parameter's gradient is there."""
    layout = Layout(COLORS.fields, 2)
    graph = graph_of(GRADIENTS[kind], layout, training=training)
    feeds = feeds_of(graph, np.random.default_rng(0))
    names = [node.name for node in graph.trainable]
    found = backprop(graph, feeds, names)
    for name in names:
        expected = complex_step(graph, feeds, name)
        assert np.abs(expected).max() > 1e-6, name
        assert relative_error(found[name], expected) <= 1e-12, name


@pytest.mark.parametrize("kind", GRADIENTS)
def test_the_evaluation_within_the_training_graph(kind: str) -> None:
    """`eval/…` computes what the graph of the evaluation alone does, from the same parameters."""
    layout = Layout(COLORS.fields, 2)
    both, alone = (graph_of(GRADIENTS[kind], layout, training=t) for t in (True, False))
    feeds = feeds_of(both, np.random.default_rng(0))
    assert [n.name for n in both.learned] == [n.name for n in alone.learned]
    for role in ("loss", "prediction"):
        inside, outside = both.outputs[f"eval/{role}"], alone.outputs[role]
        np.testing.assert_array_equal(
            evaluate(both, feeds, [inside])[inside], evaluate(alone, feeds, [outside])[outside]
        )
    same = both.outputs["eval/loss"] == both.outputs["loss"]
    assert same == (kind not in ("dropout", "batch_norm"))
    assert both.unused() == alone.unused() == ()
    assert not alone.updates


@pytest.mark.parametrize("kind", GRADIENTS)
def test_layers_are_checked_and_explained(kind: str) -> None:
    """In evaluation: `train gradcheck` agrees, and each gradient is the sum of its paths."""
    from trainer.explain.cases import Case
    from trainer.explain.gradcheck import check_gradients

    graph = graph_of(GRADIENTS[kind], Layout(COLORS.fields, 2), training=False)
    feeds = feeds_of(graph, np.random.default_rng(0))
    one = {name: feed[:1] if name in ("x", "y") else feed for name, feed in feeds.items()}
    case = Case(kind, graph, one, "loss")
    assert check_gradients(case).passed
    for step in case.explain().steps:
        if step.paths:
            total = sum(path.term for path in step.paths)
            np.testing.assert_allclose(total, step.gradient, rtol=1e-13)


def test_passes_share_what_comes_before_the_first_difference() -> None:
    layers = [FIRST, {"type": "dropout", "rate": 0.5, "name": "d"},
              {"type": "embedding", "inputs": "color", "units": 3, "name": "e"},
              {"type": "add", "inputs": ["a", "e"], "name": "s"},
              {"type": "add", "inputs": ["d", "s"], "name": "t"}, LAST]  # fmt: skip
    graph = graph_of(layers, Layout(COLORS.fields, 2))
    assert [node.name for node in graph if node.name.startswith("eval/")] == [
        "eval/t", "eval/out/product", "eval/out", "eval/loss/error", "eval/loss/each", "eval/loss",
    ]  # fmt: skip
    assert graph["eval/t"].inputs == ("a", "s")


def test_a_wrong_layer_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A normalisation that takes the running averages in training fails the hand-worked values."""
    from trainer.network import layers

    write = layers.WRITERS["batch_norm"]

    def frozen(layer: Any, place: Any, inputs: Any) -> Any:
        return write(layer.model_copy(update={"freeze": True}), place, inputs)

    monkeypatch.setattr(layers, "WRITERS", {**layers.WRITERS, "batch_norm": frozen})
    with pytest.raises(AssertionError):
        test_batch_norm_and_its_running_averages()


# Frozen layers ----------------------------------------------------------------------------------


def test_frozen_layers_have_no_gradient() -> None:
    layers = [
        {"type": "embedding", "inputs": "color", "units": 2, "name": "e", "freeze": True},
        {"type": "batch_norm", "name": "n", "freeze": True},
        {"type": "dense", "units": 2, "name": "a", "freeze": True},
        {"type": "layer_norm", "name": "l", "freeze": True},
        LAST,
    ]
    graph = graph_of(layers, Layout(COLORS.fields, 2))
    assert [node.name for node in graph.trainable] == ["out/W", "out/b"]
    assert [node.name for node in graph.learned] == [
        "e/W", "n/mean", "n/variance", "n/scale", "n/shift", "a/W", "a/b", "l/scale", "l/shift",
        "out/W", "out/b",
    ]  # fmt: skip
    # a frozen normalisation goes by its averages and leaves them alone, so modes do not differ
    assert not graph.updates
    assert graph.outputs["eval/loss"] == "loss"
    assert value(graph, "n", x=[[0, 0, 0, 0, 0, 0]], **{"e/W": [[2, 4]] * 3,
                 "n/mean": [1, 2], "n/variance": [1 - 1e-5, 4 - 1e-5]}) == [[1, 1]]  # fmt: skip
    with pytest.raises(GraphError, match="nothing is trained: every layer is frozen"):
        graph_of([LAST | {"freeze": True}], Layout.plain(2, 2))
    assert graph_of([LAST | {"freeze": True}], Layout.plain(2, 2), training=False).parameters


def test_sgd_leaves_frozen_layers_alone() -> None:
    from trainer.training import training_graph

    layers = [FIRST | {"freeze": True}, {"type": "batch_norm", "name": "n"}, LAST]
    spec = spec_of(layers)
    graph = training_graph(build_graph(spec, Layout.plain(2, 2)), spec.sgd)
    trained = ["n/scale", "n/shift", "out/W", "out/b"]
    assert sorted(graph.updates) == sorted(["n/mean", "n/variance", *trained])
    assert [r for r in graph.outputs if r.startswith("gradient/")] == [
        f"gradient/{name}" for name in trained
    ]


# Features ---------------------------------------------------------------------------------------


def test_embedded_features_are_looked_up() -> None:
    graph = graph_of([LAST], Layout(COLORS.fields, 2))
    assert [(n.name, n.shape, n.attributes["init"], n.attributes["decay"])
            for n in graph.parameters[:2]] == [
        ("color/vectors", (3, 2), "normal", True), ("city/vectors", (2, 3), "normal", True),
    ]  # fmt: skip
    assert graph["out/W"].shape == (1 + 2 + 2 + 3 + 1, 2)
    [taken] = [n for n in graph["out/product"].inputs if n != "out/W"]
    x = [[7, 1, 8, 9, 0, 0.5]]
    vectors = {"color/vectors": [[1, 2], [3, 4], [5, 6]], "city/vectors": [[10, 11, 12]] * 2}
    assert value(graph, taken, x=x, **vectors) == [[7, 3, 4, 8, 9, 10, 11, 12, 0.5]]


def test_inputs_are_groups_of_features() -> None:
    """In the order in which they are named; vectors are shared with x."""
    layers = [{"type": "dense", "units": 2, "inputs": "left", "name": "l"},
              {"type": "dense", "units": 2, "inputs": "age", "name": "r"},
              {"type": "concat", "inputs": ["l", "r", "x"]}, LAST]  # fmt: skip
    inputs = {"left": ["size", "city", "age"], "age": "age"}
    graph = graph_of(layers, Layout(COLORS.fields, 2), inputs=inputs)
    taken = graph["l/product"].inputs[0]
    x = [[7, 1, 8, 9, 0, 0.5]]
    vectors = {"color/vectors": [[1, 2], [3, 4], [5, 6]], "city/vectors": [[10, 11, 12]] * 2}
    assert value(graph, taken, x=x, **vectors) == [[8, 9, 10, 11, 12, 0.5, 7]]
    assert value(graph, graph["r/product"].inputs[0], x=x) == [[7]]
    assert [n.name for n in graph.parameters if n.name.endswith("vectors")] == [
        "city/vectors", "color/vectors",
    ]  # fmt: skip


def test_names_of_features_become_names_of_nodes() -> None:
    names = ["größe (cm)", "gr__e__cm_", "2nd", "eval", "x"]
    fields = tuple(Field(name, i, i + 1, 4, 2) for i, name in enumerate(names))
    graph = graph_of([LAST], Layout(fields, 2))
    assert [n.name for n in graph.parameters if n.name.endswith("vectors")] == [
        "gr__e__cm_/vectors", "gr__e__cm__2/vectors", "_2nd/vectors", "_eval/vectors", "_x/vectors",
    ]  # fmt: skip


def test_x_is_the_leaf_where_nothing_is_embedded() -> None:
    graph = graph_of([LAST], Layout.plain(3, 2))
    assert [node.name for node in graph][:4] == ["x", "y", "out/W", "out/product"]
    assert graph["out/product"].inputs == ("x", "out/W")


# Several outputs --------------------------------------------------------------------------------


def test_outputs_stand_side_by_side() -> None:
    layers = [LAST | {"name": "u", "init": "ones"}, HEAD | {"name": "v", "inputs": "x"}]
    graph = graph_of(layers, Layout.plain(2, 3), outputs=["v", "u"])
    assert graph[graph.outputs["prediction"]].shape == ("B", 3)
    parameters = {"u/W": [[1, 10], [2, 20]]}
    assert value(graph, graph.outputs["prediction"], x=[[1, 1]], **parameters) == [[2, 3, 30]]


def test_an_output_that_a_layer_takes_keeps_its_activation_there() -> None:
    """The logistic loss takes the logit of `p`; the next layer takes its probability."""
    layers = [HEAD | {"activation": "sigmoid", "name": "p"},
              HEAD | {"activation": "sigmoid", "name": "q"}]  # fmt: skip
    model = {"loss": "logistic", "multi_label": True, "outputs": ["p", "q"]}
    graph = graph_of(layers, Layout.plain(1, 2), **model)
    [[p, q]] = value(graph, graph.outputs["prediction"], x=[[3]])
    assert (p, q) == (3, pytest.approx(1 / (1 + np.exp(-3)), rel=1e-15))
    assert sum(node.op == "sigmoid" for node in graph) == 1  # q's is one with the loss


@pytest.mark.parametrize(
    "last",
    [{"units": 2, "activation": "softmax"},
     {"type": "activation", "activation": "softmax", "inputs": "h"}],
)  # fmt: skip
def test_a_last_softmax_is_one_with_the_loss(last: Mapping[str, Any]) -> None:
    graph = graph_of([LAST | {"name": "h"}, dict(last)], Layout.plain(2, 2), loss="logistic")
    assert {"softmax", "log_softmax"} & {node.op for node in graph} == {"log_softmax"}


# Mistakes ---------------------------------------------------------------------------------------

SIDE = {"type": "dense", "units": 4, "inputs": "x", "name": "s"}
MISTAKES: list[tuple[list[dict[str, Any]], dict[str, Any], str]] = [
    ([FIRST, SIDE, {"type": "add", "inputs": ["a", "s"]}, LAST], {},
     "model.layers[2].inputs: add takes inputs of one width, found 'a' (B, 3), 's' (B, 4) "
     "[TR-G007]"),
    ([FIRST, SIDE, {"type": "multiply", "inputs": ["a", "s"]}, LAST], {},
     "model.layers[2].inputs: multiply takes inputs of one width, found 'a' (B, 3), 's' (B, 4) "
     "[TR-G007]"),
    ([LAST | {"inputs": "place"}], {"inputs": {"place": ["age", "colour"]}},
     "model.inputs.place[1]: there is no feature 'colour' [TR-D023]"),
    ([LAST | {"inputs": "place"}], {"inputs": {"place": "nothing"}},
     "model.inputs.place: there is no feature 'nothing' [TR-D023]"),
    ([{"type": "embedding", "inputs": "age", "units": 2}, LAST], {},
     "model.layers[0].inputs: the feature 'age' is not embedded [TR-G013]"),
    ([{"type": "embedding", "inputs": "agee", "units": 2}, LAST], {},
     "model.layers[0].inputs: there is no feature 'agee' [TR-D023]"),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "model", "message"), MISTAKES)
def test_mistakes(layers: list[dict[str, Any]], model: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError) as error:
        graph_of(layers, Layout(COLORS.fields, 2), **model)
    assert str(error.value).splitlines()[0] == message


def test_hints() -> None:
    for name, hint in [("colour", "did you mean 'color'?"),
                       ("zzz", "the features are age, color, size, city")]:  # fmt: skip
        with pytest.raises(GraphError) as error:
            graph_of([LAST | {"inputs": "i"}], COLORS, inputs={"i": name})
        assert f"hint: {hint}" in str(error.value)


def test_an_empty_x() -> None:
    only = Layout((Field("color", 0, 1, 3, 2),), 2)
    embedding = {"type": "embedding", "inputs": "color", "units": 2, "name": "e"}
    assert graph_of([embedding, LAST], only).parameters
    with pytest.raises(GraphError, match="x is empty: embedding layers take every feature"):
        graph_of([embedding, LAST | {"inputs": "x", "name": "o"}], only, outputs=["e", "o"])


UNUSED: list[tuple[dict[str, Any], str]] = [
    ({"layers": [FIRST, LAST | {"inputs": "x"}]}, "nothing takes the layer 'a'"),
    ({"layers": [LAST], "inputs": {"place": "age"}}, "no layer takes the input 'place'"),
    ({"layers": [LAST | {"name": "eval"}]}, "the layer name 'eval' is taken"),
    ({"layers": [LAST | {"activation": "softmax"}, LAST | {"name": "b", "inputs": "x"}],
      "outputs": ["out", "b"], "loss": "logistic"}, "does not fit a last layer with 'softmax'"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "message"), UNUSED)
def test_what_leads_nowhere_is_told(model: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec_of(**model)


# Equations --------------------------------------------------------------------------------------


def test_equations_take_x_with_its_vectors() -> None:
    model = {"inputs": {"x": 9}, "parameters": {"w": {"shape": [9]}},
             "equations": {"out": "dot(w, x)"}, "output": "out", "loss": "squared"}  # fmt: skip
    spec = Spec.model_validate(TINY | {"model": model})
    graph = build_graph(spec, COLORS)
    assert {n.name for n in graph.parameters} == {"w", "color/vectors", "city/vectors"}
    model["inputs"] = {"x": 6}
    model["parameters"] = {"w": {"shape": [6]}}
    with pytest.raises(GraphError) as error:
        build_graph(Spec.model_validate(TINY | {"model": model}), COLORS)
    assert str(error.value).startswith("model.inputs.x: the features are 9 columns, found 6")


def equations_on(inputs: dict[str, Any], equation: str) -> Graph:
    model = {"inputs": inputs, "parameters": {"w": {"values": [10, 1]}}, "loss": "squared",
             "equations": {"out": equation}, "output": "out", "dtype": "float64"}  # fmt: skip
    return build_graph(Spec.model_validate(TINY | {"model": model}), COLORS_AND_MORE)


COLORS_AND_MORE = Layout((*COLORS.fields, Field("lon", 6, 7), Field("lat", 7, 8)), 1)


def test_equations_take_features_by_name() -> None:
    """A list of names is a vector, a name alone a number; the order is theirs."""
    graph = equations_on({"place": ["lat", "lon"], "age": "age"}, "dot(w, place) - age")
    assert value(graph, "out", x=[[7, 0, 0, 0, 0, 0, 2, 3], [1, 0, 0, 0, 0, 0, 0, 4]]) == [
        [30 + 2 - 7], [40 - 1],
    ]  # fmt: skip
    assert [node.name for node in graph.parameters] == ["w"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["lon", "size"],
            "model.inputs.v[1]: the feature 'size' is 2 columns, expected one [TR-G014]",
        ),
        (
            ["city", "lat"],
            "model.inputs.v[0]: the feature 'city' is 4 columns, expected one [TR-G014]",
        ),
        (["lon", "let"], "model.inputs.v[1]: there is no feature 'let' [TR-D023]"),
    ],
)
def test_mistakes_in_the_inputs_of_equations(names: list[str], message: str) -> None:
    with pytest.raises(GraphError) as error:
        equations_on({"v": names}, "dot(w, v)")
    assert str(error.value).splitlines()[0] == message


# The table of layers ----------------------------------------------------------------------------


def test_the_table_of_layers() -> None:
    from trainer.network.summary import layer_rows

    layers = [FIRST, {"type": "batch_norm"}, {"type": "dropout", "rate": 0.5},
              {"type": "embedding", "inputs": "color", "units": 3, "name": "color"},
              {"type": "add", "inputs": ["dropout_3", "color"]}, {"units": 2},
              {"type": "activation", "activation": "softmax", "name": "p"}]  # fmt: skip
    spec = spec_of(layers, loss="logistic")
    assert layer_rows(spec, build_graph(spec, Layout(COLORS.fields, 2))) == [
        ("x", "", "(B, 6)", "6"),
        ("a", "tanh", "(B, 3)", "24"),
        ("batch_norm_2", "batch_norm", "(B, 3)", "6"),
        ("dropout_3", "dropout", "(B, 3)", "0"),
        ("color", "embedding", "(B, 3)", "9"),
        ("add_5", "add", "(B, 3)", "0"),
        ("dense_6", "identity", "(B, 2)", "8"),
        ("p", "softmax", "(B, 2)", "0"),
    ]
