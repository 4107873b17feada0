"""Gradient health: silence on sound runs, the right finding on planted faults, helpful advice."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from conftest import CONFIGS, set_state

from trainer import build_graph, load_spec
from trainer.data import load_dataset
from trainer.engine import Steps
from trainer.graph import GraphBuilder
from trainer.graph.ops import BATCH
from trainer.report.health import (
    APART,
    GROWN,
    KINDS,
    LARGE_MOVE,
    OUT_OF_SCALE,
    Finding,
    _Traces,
    examine,
    summarise,
    verdict,
)
from trainer.spec import Spec
from trainer.training import Ended, EpochDone, Job, StepsDone, make_job, run_job
from trainer.training.history import History


def make(spec: Spec, engine: Any = "reference") -> Job:
    dataset = load_dataset(spec)
    graph = build_graph(spec, dataset.layout)
    return make_job(spec, dataset, graph, engine)


def train(job: Job, stop: Callable[[], bool] = lambda: False) -> History:
    history = History()
    for event in run_job(job, stop):
        history.on(event)
    return history


def network(
    hidden: Sequence[str] = ("tanh",), source: Any = "iris", standardize: bool = True,
    units: int = 16, loss: str = "logistic", init: str | None = None, **sgd: Any,
) -> Spec:  # fmt: skip
    """A spec with a layer for each activation in `hidden`, and one for the output."""
    outputs = {"iris": 3, "wine": 3}.get(str(source), 1)
    layers = [{"units": units, "activation": name} for name in hidden] + [{"units": outputs}]
    return Spec.model_validate(
        {
            "name": "health",
            "seed": 1,
            "data": {"source": source, "standardize": standardize},
            "model": {
                "layers": [layer | ({"init": init} if init else {}) for layer in layers],
                "loss": loss,
            },
            "sgd": {"learning_rate": 0.1, "batch_size": 16, "epochs": 5} | sgd,
        }
    )


# Sound runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    ("rate", "units", "seed"), [(1, 1, 0), (0.3, 2, 1), (3, 1, 2)], ids=["as it is", "slow", "fast"]
)
def test_configs_and_their_neighbours_are_healthy(
    path: Any, rate: float, units: int, seed: int
) -> None:
    spec = load_spec(path)
    changes: dict[str, Any] = {"sgd.learning_rate": spec.sgd.learning_rate * rate}
    changes["seed"] = spec.seed + seed
    for i, layer in enumerate(getattr(spec.model, "layers", ())[:-1]):
        if hasattr(layer, "units"):
            changes[f"model.layers.{i}.units"] = layer.units * units
    job = make(load_spec(path, changes), "compiled")
    assert examine(job, train(job)) == []


# Faulty runs, and what their advice does -------------------------------------------------------

Spoil = Callable[[Job], None]


def scale_weights(times: float) -> Spoil:
    def spoil(job: Job) -> None:
        set_state(job, {n: value * times for n, value in job.state.items() if value.ndim == 2})
        job.initial = job.parameters

    return spoil


FAULTS: dict[str, tuple[dict[str, Any], Spoil | None, dict[str, str], str]] = {
    # name: spec, what is done to the job, kinds found and where, a part of the first advice
    "ten layers of sigmoid": (
        {"hidden": ["sigmoid"] * 10}, None,
        {"vanishing_gradients": "dense_1/W"}, "relu or tanh instead of sigmoid",
    ),
    "only zeros": (
        {"init": "zeros"}, None, {"vanishing_gradients": "dense_1/W"}, "`init` other than zeros",
    ),
    "raw inputs": (
        {"source": "wine", "hidden": [], "standardize": False, "learning_rate": 1e-4}, None,
        {"exploding_gradients": "dense_1/W"}, "`data.standardize: true`",
    ),
    "large initial weights": (
        {"hidden": ["relu"] * 4, "learning_rate": 0.01, "clip_norm": 1}, scale_weights(5),
        {"exploding_gradients": "dense_5/W"}, "`sgd.learning_rate: 0.001`, or another `init`",
    ),
    "a huge rate with clipping": (
        {"hidden": ["leaky_relu"] * 3, "learning_rate": 100, "clip_norm": 1}, None,
        {"exploding_gradients": "dense_./W", "updates_too_large": "dense_./W"},
        "`sgd.learning_rate: 10`",
    ),
    "divergence": (
        {"source": "diabetes", "hidden": [], "loss": "squared", "learning_rate": 10, "epochs": 50},
        None, {"exploding_gradients": "grad_norm"}, "`sgd.learning_rate: 1`, `sgd.clip_norm: 1`",
    ),
    "relu at a large rate": (
        {"hidden": ["relu"], "source": {"synthetic": "spirals"}, "learning_rate": 10}, None,
        {"dead_units": "dense_1", "updates_too_large": "dense_./W"}, "or leaky_relu",
    ),
    "raw inputs of sigmoid": (
        {"source": "wine", "hidden": ["sigmoid"], "standardize": False, "learning_rate": 0.01},
        None, {"vanishing_gradients": "dense_1/W", "saturated_units": "dense_1"},
        "what helps dense_1",
    ),
    "a huge rate": (
        {"learning_rate": 30}, None,
        {"saturated_units": "dense_1", "updates_too_large": "dense_2/W"}, "learning_rate: 3`",
    ),
    "a tiny rate": (
        {"learning_rate": 1e-9}, None, {"updates_too_small": "dense_2/W"}, "learning_rate: 0.00",
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(fault: str, dtype: str) -> None:
    settings, spoil, kinds, advice = FAULTS[fault]
    spec = network(**settings)
    job = make(spec.model_copy(update={"model": spec.model.model_copy(update={"dtype": dtype})}))
    if spoil:
        spoil(job)
    found = examine(job, train(job))
    assert [finding.kind for finding in found] == list(kinds), summarise(found)
    assert all(re.fullmatch(kinds[finding.kind], finding.where) for finding in found)
    assert advice in found[0].advice


MENDED: dict[str, dict[str, Any]] = {
    "ten layers of sigmoid": {"hidden": ["tanh"] * 10},
    "only zeros": {"init": None},
    "raw inputs": {"standardize": True},
    "raw inputs of sigmoid": {"standardize": True},
    "a huge rate with clipping": {"learning_rate": ...},
    "divergence": {"learning_rate": ...},
    "relu at a large rate": {"learning_rate": ...},
    "a huge rate": {"learning_rate": ...},
    "a tiny rate": {"learning_rate": ...},
}


@pytest.mark.parametrize("fault", MENDED)
def test_following_the_advice_helps(fault: str) -> None:
    """`...` stands for the learning rate of the last advice; it is followed up to three times."""
    settings = FAULTS[fault][0] | {"epochs": 10}
    job = make(network(**settings))
    history = train(job)
    losses = [history.last["train_loss"]]
    for _ in range(3):
        found = examine(job, history)
        if not found:
            break
        settings = settings | MENDED[fault]
        if settings.get("learning_rate") is ...:
            settings["learning_rate"] = float(re.findall(r"rate: ([^`]+)", found[-1].advice)[0])
        job = make(network(**settings))
        history = train(job)
        losses.append(history.last["train_loss"])
    assert examine(job, history) == []
    assert losses[-1] < 0.9 * losses[0]


# Thresholds and numbers, on traces that are made up --------------------------------------------


STEADY = (0.1,) * 40


def told(
    job: Job, relative: Mapping[str, float], steps: Sequence[float] = STEADY,
    epochs: Sequence[float] = (1.0, 1.0), loss: float = 0.5,
) -> History:  # fmt: skip
    """A history in which the relative norms are 0.1, or as given for some matrices, times the
    factor of the epoch; the training loss goes from 1 to `loss`.
    """
    history = History()
    history.on(EpochDone(0, 0, {"train_loss": 1.0}, {}))
    recorded = Steps(np.ones(len(steps)), np.array(steps), np.ones((len(steps), 1)), 1, False)
    history.on(StepsDone(1, 1, recorded))
    for epoch, factor in enumerate(epochs, start=1):
        norms = {}
        for name, value in job.initial.items():
            size = np.sqrt(2 / sum(1 / n for n in value.shape)) if value.ndim == 2 else 1
            norms[name] = factor * relative.get(name, 0.1) * float(size)
        history.on(EpochDone(epoch, 1, {"train_loss": loss, "grad_norm": 1.0}, norms))
    history.on(Ended("FINISHED", len(epochs), len(steps), {}))
    return history


def softplus(**settings: Any) -> Job:
    """Three matrices, of which the last has the smallest norm, so the largest moves."""
    job = make(network(["softplus", "softplus"], init="glorot_uniform", **settings))
    set_state(job, {"dense_3/W": job.state["dense_3/W"] / 2})
    job.initial = job.parameters
    return job


SPIKE = 10 * [1.0] + 10 * [0.01] + [GROWN * 1.2] + 9 * [0.01]


@pytest.mark.parametrize(
    ("rate", "relative", "steps", "expected"),
    [
        (0.1, {}, STEADY, None),
        (0.1, {"dense_1/W": 0.11 / APART}, STEADY, None),
        (0.1, {"dense_1/W": 0.09 / APART}, STEADY,
         ("vanishing_gradients", "dense_1/W", "110 times smaller than that of dense_")),
        (1e-3, {"dense_3/W": 11.0}, STEADY,
         ("vanishing_gradients", "dense_1/W", "110 times smaller than that of dense_3/W")),
        (0.1, {"dense_2/W": 0.0}, STEADY,
         ("vanishing_gradients", "dense_2/W", "is 0, unlike that of dense_3/W")),
        (1e-3, {"dense_2/W": 9.0}, STEADY, None),
        (1e-3, {"dense_2/W": 0.09 / APART}, STEADY,  # not the first layer's that exploded
         ("vanishing_gradients", "dense_2/W", "110 times smaller than that of dense_3/W")),
        (1e-3, {"dense_1/W": 1.1, "dense_2/W": 0.01, "dense_3/W": 0.01}, STEADY,
         ("exploding_gradients", "dense_1/W", "110 times larger than that of dense_2/W")),
        (1e-5, {f"dense_{i}/W": 0.9 * OUT_OF_SCALE for i in (1, 2, 3)}, STEADY, None),
        (1e-5, {f"dense_{i}/W": i * 0.4 * OUT_OF_SCALE for i in (1, 2, 3)}, STEADY,
         ("exploding_gradients", "dense_3/W", "is 120 times larger than usual (mean of epoch 1)")),
        (0.1, {}, SPIKE, ("exploding_gradients", "grad_norm",
                          "reached 1.2e+02 at step 21, 120 times the largest of the first steps")),
        (0.1, {}, [0.01 * norm for norm in SPIKE], None),  # as one leaves a plateau
        (9 * LARGE_MOVE, {}, STEADY, None),
        (11 * LARGE_MOVE, {}, STEADY,
         ("updates_too_large", "dense_3/W", "by 11% of its norm")),
        (2e-6, {}, STEADY, ("updates_too_small", "dense_3/W", "more than 2e-07 of their norm")),
    ],
)  # fmt: skip
def test_thresholds(rate: float, relative: Any, steps: Any, expected: Any) -> None:
    job = softplus(learning_rate=rate)
    found = examine(job, told(job, relative, steps))
    if expected is None:
        assert found == []
    else:
        kind, where, message = expected
        assert [(finding.kind, finding.where) for finding in found] == [(kind, where)]
        assert message in found[0].message


@pytest.mark.parametrize(
    ("relative", "epochs", "loss", "expected"),
    [
        ({}, (1, 0.1, 0.1), 0.5, []),
        ({}, (1, 0.1, 0.1), 1.5, ["in one epoch each step moved dense_3/W by 11% of its norm, and "
                                  "the training loss went from 1 to 1.5"]),
        ({"dense_1/W": 1e-5}, (1, 0.1, 0.1), 1.5,  # of which no learning rate is the cause
         ["for its size, the gradient of dense_1/W is 10,000 times smaller than that of dense_"]),
        ({}, (1, 0, 0), 0.5, ["each step moves dense_3/W by 11% of its norm"]),  # died after one
        ({"dense_1/W": 1e-5}, (0.1, 0, 0), 0.5,
         ["for its size, the gradient of dense_1/W is 10,000 times smaller than that of dense_"]),
    ],
)  # fmt: skip
def test_over_the_epochs(relative: Any, epochs: Any, loss: float, expected: list[str]) -> None:
    job = softplus(learning_rate=11 * LARGE_MOVE)
    found = examine(job, told(job, relative, epochs=epochs, loss=loss))
    for finding, message in zip(found, expected, strict=True):
        assert finding.message.startswith(message)


@pytest.mark.parametrize(("times", "count"), [(0.9, 0), (1.1, 1)])
def test_a_squared_loss_is_measured_by_its_targets(times: float, count: int) -> None:
    """Where 0 is predicted, the gradient by the prediction is 2 y."""
    job = make(network(["softplus"], "diabetes", loss="squared", learning_rate=1e-9))
    error = 2 * np.sqrt(np.mean(job.dataset.train.y.astype(float) ** 2))
    assert error > 300
    relative = dict.fromkeys(job.initial, times * OUT_OF_SCALE * error)
    kinds = [finding.kind for finding in examine(job, told(job, relative))]
    assert kinds.count("exploding_gradients") == count


def test_weights_that_grew_did_not_move_too_little() -> None:
    job = softplus(learning_rate=1e-3)
    set_state(job, {name: value * 1e6 for name, value in job.state.items()})
    assert examine(job, told(job, {})) == []


@pytest.mark.parametrize("clip", [None, 0.01])
def test_a_move_is_the_way_of_one_step(clip: float | None) -> None:
    """Without momentum, what a step of the whole data moved, by the norm of what it moved."""
    job = make(network(batch_size="full", epochs=1, clip_norm=clip))
    traces = _Traces.of(job, train(job))
    for i, name in enumerate(traces.names):
        fan_in, fan_out = job.initial[name].shape
        norms = [np.linalg.norm(value[name]) for value in (job.initial, job.state)]
        norm = max(*norms, np.sqrt(2 * fan_in * fan_out / (fan_in + fan_out)))
        way = np.linalg.norm(job.state[name] - job.initial[name])
        assert traces.moves[0, i] == pytest.approx(way / norm, rel=1e-3)


def test_momentum_makes_moves_longer() -> None:
    """A constant gradient adds up to 1 / (1 - momentum) times itself."""
    plain, heavy = (make(network(momentum=momentum)) for momentum in (0.0, 0.9))
    moves = [_Traces.of(job, told(job, {})).moves for job in (plain, heavy)]
    np.testing.assert_allclose(10 * moves[0], moves[1])


# Units -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "bias", "planted", "message"),
    [
        ("relu", -1e3, 16, "16 of 16 units of dense_1 (relu) give 0 for each of 150 training rows"),
        ("relu", -1e3, 8, "8 of 16 units of dense_1 (relu)"),
        ("relu", -1e3, 7, None),
        ("relu", 1e3, 16, None),
        ("leaky_relu", -1e3, 16, None),
        ("softplus", -1e3, 16, None),
        ("sigmoid", 1e3, 8, "8 of 16 units of dense_1 (sigmoid) are within 0.01 of a limit"),
        ("sigmoid", -1e3, 16, "16 of 16 units of dense_1 (sigmoid)"),
        ("sigmoid", -1e3, 7, None),
        ("sigmoid", 4.5, 16, None),  # 0.989
        ("sigmoid", 4.7, 16, "16 of 16"),  # 0.991
        ("tanh", -1e3, 12, "12 of 16 units of dense_1 (tanh)"),
        ("tanh", 2.6, 16, None),  # 0.989
        ("tanh", -2.7, 16, "16 of 16"),  # -0.991
    ],
)
def test_lost_units_are_counted(
    activation: str, bias: float, planted: int, message: str | None
) -> None:
    job = make(network([activation], init="glorot_uniform"))
    state = job.state
    state["dense_1/W"][:, :planted] = 0
    state["dense_1/b"][:planted] = bias
    set_state(job, state)
    found = examine(job, told(job, {}))
    assert len(found) == (message is not None)
    if message:
        assert (message in found[0].message, found[0].where) == (True, "dense_1")
        assert found[0].kind == ("dead_units" if activation == "relu" else "saturated_units")


def test_the_output_is_no_hidden_unit() -> None:
    spec = network([], {"synthetic": "linear"}, loss="squared")
    layers = (spec.model.layers[0].model_copy(update={"activation": "sigmoid"}),)
    job = make(spec.model_copy(update={"model": spec.model.model_copy(update={"layers": layers})}))
    set_state(job, {"dense_1/b": 100})
    assert examine(job, told(job, {})) == []


def test_at_most_2000_rows_are_looked_at() -> None:
    job = make(network(["relu"], {"synthetic": "two_moons", "rows": 5000}))
    set_state(job, {"dense_1/b": -100})
    (found,) = examine(job, told(job, {}))
    assert "each of 2,000 training rows" in found.message


def test_a_graph_without_layers() -> None:
    """σ(w · x), summed: a unit is found by its op, and there are no matrices to compare."""
    spec = network([], {"synthetic": "two_moons"}, epochs=2)
    dataset = load_dataset(spec)
    builder = GraphBuilder("float32")
    x = builder.leaf("input", "x", (BATCH, 2))
    y = builder.leaf("input", "y", (BATCH, 1))
    w = builder.leaf("parameter", "w", (2,), init="zeros", decay=True)
    hidden = x.apply("mul", w).apply("sigmoid", name="hidden")
    sums = hidden.apply("sum", axes=(1,), keepdims=True)
    loss = sums.apply("logistic_loss", y).apply("mean", axes=(0, 1))
    builder.outputs |= {"prediction": sums.node.name, "loss": loss.node.name}
    job = make_job(spec, dataset, builder.build(), "reference")
    history = train(job)
    assert examine(job, history) == []
    set_state(job, {"w": 1e6})
    assert [finding.where for finding in examine(job, history)] == ["hidden"]


# How a run ended -------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [0, 1, 5])
def test_a_run_stopped_in_its_first_epoch_gives_nothing(calls: int) -> None:
    job = make(network(["sigmoid"] * 10))
    asked = iter(range(100))
    assert examine(job, train(job, lambda: next(asked) >= calls)) == []


def test_a_run_that_diverged_is_never_healthy() -> None:
    job = make(network([], "diabetes", loss="squared", learning_rate=1e30))
    history = train(job)
    assert history.ended.epoch == 0
    assert verdict(examine(job, history)) == "exploding_gradients"
    history.on(Ended("DIVERGED", 0, 0, {}))
    fresh = History()
    fresh.on(Ended("DIVERGED", 0, 0, {}))
    (found,) = examine(make(network()), fresh)
    assert found.message == "the loss or its gradient stopped being finite before the first step"


# Words -----------------------------------------------------------------------------------------

TWO = [
    Finding("dead_units", "dense_1", "16 of 16 units of dense_1", "try a"),
    Finding("dead_units", "dense_2", "9 of 16 units of dense_2", "try a"),
    Finding("updates_too_large", "dense_1/W", "each step moves it", "try b"),
]


def test_words() -> None:
    assert (verdict([]), summarise([])) == ("healthy", "gradients look healthy")
    assert verdict(TWO) == "dead_units,updates_too_large"
    assert summarise(TWO).splitlines() == [
        "16 of 16 units of dense_1", "9 of 16 units of dense_2", "  try a",
        "each step moves it", "  try b",
    ]  # fmt: skip
    assert TWO[2].as_json() == {
        "kind": "updates_too_large", "where": "dense_1/W", "message": "each step moves it",
        "advice": "try b",
    }  # fmt: skip


def test_every_kind_is_planted_and_documented() -> None:
    from conftest import ROOT

    planted = {kind for _, _, kinds, _ in FAULTS.values() for kind in kinds}
    assert planted | {"one_row_batches"} == set(KINDS), "test_soundness.py plants that one"
    page = (ROOT / "docs" / "health.md").read_text()
    assert all(f"`{kind}`" in page for kind in KINDS)
