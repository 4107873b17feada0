"""SGD: steps worked by hand, and 20 steps against an implementation that shares no code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import set_state, take_steps

from trainer import build_graph, load_spec
from trainer.data import load_dataset
from trainer.data.preparing.layout import Layout
from trainer.engine import ReferenceEngine
from trainer.graph.ops import Array
from trainer.spec.sgd import SGDSpec
from trainer.training import make_job, training_graph

# By hand ----------------------------------------------------------------------------------------
#
# ŷ = w x + b from w = 0.5, b = 0, on the one example x = 2, y = 3, with learning rate 0.1.
# Step 1: ŷ = 1, ŷ - y = -2, loss 4, ∇w = 2(ŷ - y) x = -8, ∇b = 2(ŷ - y) = -4,
# norm = √(64 + 16) = √80.

W0, B0 = 0.5, 0.0
ROOT_80 = 80**0.5


def by_hand(changes: dict[str, Any], w2: float, b2: float, w1: float, b1: float) -> Any:
    """One row: settings, and (w, b) after step 1 and after step 2."""
    return pytest.param(
        changes, (w1, b1), (w2, b2), id=" ".join(f"{k}={v}" for k, v in changes.items()) or "plain"
    )


HAND = [
    # w1 = 0.5 + 0.8, b1 = 0.4; then ŷ = 3, the error is 0 and nothing moves
    by_hand({}, 1.3, 0.4, 1.3, 0.4),
    # v1 = g1; step 2: g = 0, v2 = 0.9 v1 = (-7.2, -3.6)
    by_hand({"momentum": 0.9}, 1.3 + 0.72, 0.4 + 0.36, 1.3, 0.4),
    # step 1: g + 0.9 v1 = 1.9 g; w1 = 0.5 + 1.52 = 2.02, b1 = 0.76; ŷ = 4.8, error 1.8,
    # g2 = (7.2, 3.6); v2 = 0.9 (-8, -4) + g2 = (0, 0); g2 + 0.9 v2 = g2
    by_hand({"momentum": 0.9, "nesterov": True}, 2.02 - 0.72, 0.76 - 0.36, 2.02, 0.76),
    # weights alone decay: g1 = (-8 + 0.1 · 0.5, -4); w1 = 0.5 + 0.795, b1 = 0.4; ŷ = 2.99,
    # error -0.01, g2 = (-0.04 + 0.1295, -0.02)
    by_hand({"weight_decay": 0.1}, 1.295 - 0.00895, 0.402, 1.295, 0.4),
    # clip to norm 1: g1 = (-8, -4) / (√80 + 1e-6)
    by_hand({"clip_norm": 1.0}, None, None, 0.5 + 0.8 / (ROOT_80 + 1e-6), 0.4 / (ROOT_80 + 1e-6)),
    # a norm below the limit is left alone
    by_hand({"clip_norm": 9.0}, 1.3, 0.4, 1.3, 0.4),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "first", "second"), HAND)
def test_steps_by_hand(write_spec, changes, first, second) -> None:
    spec = load_spec(
        write_spec(
            {
                "data.source": {"inline": {"x": [[2.0]], "y": [3.0]}},
                "model": {"dtype": "float64", "layers": [{"units": 1}], "loss": "squared"},
                "sgd": {"learning_rate": 0.1, "batch_size": "full", "epochs": 1, **changes},
            }
        )
    )
    dataset = load_dataset(spec)
    job = make_job(spec, dataset, build_graph(spec, Layout.plain(1, 1)))
    set_state(job, {"dense_1/W": W0})
    for number, expected in enumerate((first, second)):
        steps, _ = take_steps(job, 0, 1)
        if number == 0:
            assert steps.losses[0] == 4
            assert steps.grad_norms[0] == pytest.approx(ROOT_80, rel=1e-15)
            assert steps.parameter_norms[0].tolist() == [8, 4]
        if expected[0] is not None:
            state = job.state
            w, b = state["dense_1/W"].item(), state["dense_1/b"].item()
            assert (w, b) == pytest.approx(expected, rel=1e-14)


# An independent implementation ------------------------------------------------------------------


def reference_steps(
    x: Array, y: Array, start: dict[str, Array], loss: str, sgd: SGDSpec, steps: int
) -> dict[str, Array]:
    """SGD on a network input → tanh → output, its gradient written out by hand.

    The update follows the text of PyTorch's documentation: clip_grad_norm_ scales by
    max_norm / (norm + 1e-6) where that is below 1, then SGD adds the decay, the momentum
    buffer (which starts as the first gradient) and Nesterov's look-ahead.
    """
    p = {name: value.copy() for name, value in start.items()}
    buffers: dict[str, Array] = {}
    for _ in range(steps):
        h = np.tanh(x @ p["dense_1/W"] + p["dense_1/b"])
        z = h @ p["dense_2/W"] + p["dense_2/b"]
        if loss == "squared":
            delta = 2 * (z - y) / y.size
        elif y.shape[1] == 1:
            delta = (1 / (1 + np.exp(-z)) - y) / len(y)
        else:
            e = np.exp(z - z.max(axis=1, keepdims=True))
            delta = (e / e.sum(axis=1, keepdims=True) - y) / len(y)
        back = (delta @ p["dense_2/W"].T) * (1 - h**2)
        gradient = {
            "dense_1/W": x.T @ back, "dense_1/b": back.sum(axis=0),
            "dense_2/W": h.T @ delta, "dense_2/b": delta.sum(axis=0),
        }  # fmt: skip
        norm = np.sqrt(sum(float((g**2).sum()) for g in gradient.values()))
        if sgd.clip_norm is not None:
            coefficient = min(1.0, sgd.clip_norm / (norm + 1e-6))
            gradient = {name: g * coefficient for name, g in gradient.items()}
        for name, g in gradient.items():
            if name.endswith("W"):
                g = g + sgd.weight_decay * p[name]
            if sgd.momentum:
                if name not in buffers:
                    buffers[name] = g.copy()
                else:
                    buffers[name] = sgd.momentum * buffers[name] + g
                g = g + sgd.momentum * buffers[name] if sgd.nesterov else buffers[name]
            p[name] = p[name] - sgd.learning_rate * g
    return p


SETTINGS: list[dict[str, Any]] = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.8, "nesterov": True},
    {"weight_decay": 0.01},
    {"clip_norm": 0.05},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "clip_norm": 0.05},
]
PROBLEMS = {
    "squared": {"source": "diabetes", "units": 1, "loss": "squared", "rate": 1e-3},
    "binary": {"source": "breast_cancer", "units": 1, "loss": "logistic", "rate": 0.3},
    "multinomial": {"source": "wine", "units": 3, "loss": "logistic", "rate": 0.3},
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "+".join(s) or "plain")
def test_20_steps_against_an_independent_implementation(write_spec, problem, settings) -> None:
    row = PROBLEMS[problem]
    layers = [{"units": 7, "activation": "tanh"}, {"units": row["units"]}]
    spec = load_spec(
        write_spec(
            {
                "data": {"source": row["source"], "standardize": True},
                "model": {"dtype": "float64", "layers": layers, "loss": row["loss"]},
                "sgd": {
                    "learning_rate": row["rate"], "batch_size": "full", "epochs": 20, **settings,
                },
            }
        )
    )  # fmt: skip
    dataset = load_dataset(spec)
    x, y = dataset.train.x, dataset.train.y
    job = make_job(spec, dataset, build_graph(spec, dataset.layout))
    for _ in range(20):
        take_steps(job, 0, 1)
    expected = reference_steps(x, y, job.initial, spec.model.loss, spec.sgd, 20)
    for name, value in expected.items():
        difference = np.abs(job.state[name] - value).max()
        assert difference <= 1e-12 * np.abs(value).max(), name
    moved = np.abs(expected["dense_1/W"] - job.initial["dense_1/W"]).max()
    assert moved > 1e-5  # the comparison is not one of standing still


def test_a_planted_wrong_update_is_caught(write_spec, monkeypatch: pytest.MonkeyPatch) -> None:
    """With another epsilon in the clipping the comparison above would fail."""
    monkeypatch.setattr("trainer.training.sgd.CLIP_EPSILON", 1e-8)
    with pytest.raises(AssertionError):
        test_20_steps_against_an_independent_implementation(
            write_spec, "binary", {"clip_norm": 0.05}
        )


# Batches ----------------------------------------------------------------------------------------


def test_the_mean_of_a_short_last_batch_is_over_its_rows(write_spec) -> None:
    """5 rows in batches of 2: the third step sees one row, and its loss is that row's alone."""
    x, y = [[1.0], [2.0], [3.0], [4.0], [5.0]], [1.0, 0.0, 2.0, -1.0, 3.0]
    spec = load_spec(
        write_spec(
            {
                "data.source": {"inline": {"x": x, "y": y}},
                "model": {"dtype": "float64", "layers": [{"units": 1}], "loss": "squared"},
                "sgd": {"learning_rate": 0.01, "batch_size": 2, "epochs": 1},
            }
        )
    )
    dataset = load_dataset(spec)
    job = make_job(spec, dataset, build_graph(spec, Layout.plain(1, 1)))
    assert job.steps_per_epoch == 3
    take_steps(job, 0, 2)
    w, b = job.state["dense_1/W"].item(), job.state["dense_1/b"].item()
    steps, _ = take_steps(job, 2, 3)
    error = w * 5 + b - 3
    assert steps.losses[0] == pytest.approx(error**2, rel=1e-14)
    assert job.state["dense_1/b"].item() == pytest.approx(b - 0.01 * 2 * error, rel=1e-14)


# The graph of a step ----------------------------------------------------------------------------


def test_the_update_is_part_of_the_graph(write_spec) -> None:
    spec = load_spec(write_spec({"sgd.momentum": 0.9}))
    graph = training_graph(build_graph(spec), spec.sgd)
    names = ["dense_1/W", "dense_1/b", "dense_2/W", "dense_2/b"]
    assert sorted(graph.updates) == sorted([*names, *(f"velocity/{name}" for name in names)])
    assert graph.unused() == ()
    assert ReferenceEngine(graph).name == "reference"
