"""Losses as nodes: values worked by hand, gradients, weights, smoothing, labels."""

from __future__ import annotations

from dataclasses import replace
from math import exp, log
from typing import Any, get_args

import numpy as np
import pytest
from conftest import TINY
from derivatives import backprop, central, complex_step, relative_error

from trainer import Spec, build_graph
from trainer.data.preparing.layout import Layout
from trainer.engine import evaluate
from trainer.errors import GraphError
from trainer.graph import Graph
from trainer.graph.ops import LEAVES, OPS
from trainer.network.losses import LOSSES as FUNCTIONS
from trainer.spec.layers import LOSSES, Loss


def graph_of(units: int, *, weighted: bool = False, training: bool = True, **model: Any) -> Graph:
    """A network without hidden layers, whose prediction is x @ W."""
    layers = [{"units": units, "bias": False, "name": "p"}]
    values = TINY | {"model": {"layers": layers, "dtype": "float64", **model}}
    layout = replace(Layout.plain(units, units), weighted=weighted)
    return build_graph(Spec.model_validate(values), layout, training=training)


def loss_of(graph: Graph, prediction: Any, y: Any, weight: Any = None) -> float:
    """The loss of these predictions: W is the identity."""
    x = np.array(prediction, float)
    feeds = {"x": x, "y": np.array(y, float), "p/W": np.eye(x.shape[1])}
    if weight is not None:
        feeds["weight"] = np.array(weight, float)[:, None]
    return float(evaluate(graph, feeds, ["loss"])["loss"])


def soft(z: float) -> float:
    """log(1 + exp(z))"""
    return log(1 + exp(z))


A, B = [1.0, 2.0, 0.5], [0.0, -1.0, 3.0]
LSE_A, LSE_B = (log(sum(map(exp, row))) for row in (A, B))
SMOOTH_A = LSE_A - (0.1 * 1.0 + 0.8 * 2.0 + 0.1 * 0.5)  # smoothing 0.3 over 3 classes
SMOOTH_B = LSE_B - (0.1 * 0.0 + 0.1 * -1.0 + 0.8 * 3.0)
LABELS = {"loss": "logistic", "multi_label": True}

# model, predictions, targets, the loss of each row (the mean over its outputs)
VALUES: dict[str, tuple[dict[str, Any], Any, Any, list[float]]] = {
    "squared": ({"loss": "squared"}, [[1, 2], [3, 5]], [[0, 0], [3, 1]], [2.5, 8]),
    # errors 0.5, -1, 3, -4: below and at δ e²/2, above δ(|e| - δ/2); PyTorch's HuberLoss
    "huber": ({"loss": "huber"}, [[0.5, -1], [3, -4]], [[0, 0], [0, 0]],
              [(0.125 + 0.5) / 2, (2.5 + 3.5) / 2]),
    "huber of delta 2": ({"loss": "huber", "huber_delta": 2.0}, [[1], [-5]], [[0], [0]],
                         [0.5, 2 * (5 - 1)]),
    "binary": ({"loss": "logistic"}, [[0], [2], [-3]], [[1], [0], [0]],
               [log(2), soft(2), soft(-3)]),
    "binary, smoothed": ({"loss": "logistic", "label_smoothing": 0.2}, [[2], [2]], [[1], [0]],
                         [soft(2) - 0.9 * 2, soft(2) - 0.1 * 2]),
    "multinomial": ({"loss": "logistic"}, [A, B], [[0, 1, 0], [0, 0, 1]], [LSE_A - 2, LSE_B - 3]),
    "multinomial, smoothed": ({"loss": "logistic", "label_smoothing": 0.3}, [A, B],
                              [[0, 1, 0], [0, 0, 1]], [SMOOTH_A, SMOOTH_B]),
    "labels": (LABELS, [[0, 2], [1, -1]], [[1, 0], [1, 1]],
               [(log(2) + soft(2)) / 2, (soft(1) - 1 + soft(-1) + 1) / 2]),
    "labels, smoothed": (LABELS | {"label_smoothing": 0.2}, [[1, 2, 3]], [[1, 0, 1]],
                         [(soft(1) - 0.9 + soft(2) - 0.2 + soft(3) - 2.7) / 3]),
}  # fmt: skip


def test_every_loss_has_a_row() -> None:
    assert {row[0]["loss"] for row in VALUES.values()} == set(LOSSES) == set(FUNCTIONS)
    assert set(get_args(Loss)) == set(LOSSES)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", VALUES)
def test_values_by_hand(name: str, training: bool) -> None:
    model, prediction, y, rows = VALUES[name]
    units = len(prediction[0])
    graph = graph_of(units, training=training, **model)
    assert loss_of(graph, prediction, y) == pytest.approx(np.mean(rows), rel=1e-14)
    # each row's loss times its weight, then the mean over the rows
    weights = [0.5, 2.0, 0.25][: len(rows)]
    weighted = graph_of(units, weighted=True, training=training, **model)
    found = loss_of(weighted, prediction, y, weights)
    assert found == pytest.approx(np.mean(np.multiply(rows, weights)), rel=1e-14)
    assert loss_of(weighted, prediction, y, [1.0] * len(rows)) == pytest.approx(np.mean(rows))


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", VALUES)
def test_gradients(name: str, weighted: bool) -> None:
    model, prediction, y, _ = VALUES[name]
    units = len(prediction[0])
    graph = graph_of(units, weighted=weighted, **model)
    random = np.random.default_rng(1)
    feeds = {
        "x": 2 * random.normal(size=(len(y), units)), "y": np.array(y, float),
        "p/W": random.normal(size=(units, units)), "weight": random.uniform(size=(len(y), 1)),
    }  # fmt: skip
    [found] = backprop(graph, feeds, ["p/W"]).values()
    analytic = all(node.op in LEAVES or OPS[node.op].analytic for node in graph)
    assert analytic == (model["loss"] != "huber")
    differences, allowed = (complex_step, 1e-12) if analytic else (central, 1e-8)
    assert relative_error(found, differences(graph, feeds, "p/W")) <= allowed


def test_huber_is_smooth_where_its_pieces_meet() -> None:
    """The derivative by the prediction is the error, held between -δ and δ."""
    graph = graph_of(1, loss="huber", huber_delta=1.5)
    for error in (-4.0, -1.5, -0.25, 0.0, 0.25, 1.5, 4.0):
        feeds = {"x": np.array([[1.0]]), "y": np.array([[2.0]]), "p/W": np.array([[2.0 + error]])}
        assert backprop(graph, feeds, ["p/W"])["p/W"].item() == max(-1.5, min(1.5, error))


@pytest.mark.parametrize("name", VALUES)
def test_equations_have_the_same_losses(name: str) -> None:
    model, prediction, y, rows = VALUES[name]
    units = len(prediction[0])
    equations = {"inputs": {"x": units}, "parameters": {"W": {"shape": [units, units]}},
                 "equations": {"p": "x @ W"}, "output": "p", "dtype": "float64"}  # fmt: skip
    values = TINY | {"model": equations | model}
    layout = replace(Layout.plain(units, units), weighted=True)
    graph = build_graph(Spec.model_validate(values), layout)
    feeds = {"x": np.array(prediction, float), "y": np.array(y, float), "W": np.eye(units),
             "weight": np.ones((len(rows), 1))}  # fmt: skip
    found = float(evaluate(graph, feeds, ["loss"])["loss"])
    assert found == pytest.approx(np.mean(rows), rel=1e-14)


def test_several_labels_of_equations_fuse_their_sigmoid() -> None:
    model = {
        "inputs": {"x": 2},
        "equations": {"p": "sigmoid(x)"},
        "output": "p",
        "dtype": "float64",
    }
    model |= {"parameters": {"b": {"shape": [2]}}, "equations": {"p": "sigmoid(x + b)"}} | LABELS
    graph = build_graph(Spec.model_validate(TINY | {"model": model}), Layout.plain(2, 2))
    assert {node.op for node in graph if node.op not in LEAVES} == {"add", "logistic_loss", "mean"}


def test_a_parameter_called_weight_beside_weights() -> None:
    model = {"inputs": {"x": 2}, "parameters": {"weight": {"shape": [2]}}, "loss": "squared",
             "equations": {"p": "dot(weight, x)"}, "output": "p"}  # fmt: skip
    spec = Spec.model_validate(TINY | {"model": model})
    assert build_graph(spec, Layout.plain(2, 1)).parameters
    with pytest.raises(GraphError, match="the name 'weight' is taken by the weights of the rows"):
        build_graph(spec, replace(Layout.plain(2, 1), weighted=True))


def test_a_wrong_huber_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainer.network import losses

    monkeypatch.setattr(losses, "LOSSES", {**losses.LOSSES, "huber": losses.LOSSES["squared"]})
    with pytest.raises(AssertionError):
        test_values_by_hand("huber", True)
