"""Additions to plain SGD: accumulation, averages, L1, norm limits, early stopping, dropout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from conftest import set_state, take_steps
from hypothesis import given
from hypothesis import strategies as st

import trainer
from trainer import build_graph, load_spec
from trainer.data import load_dataset
from trainer.randomness import random_rows
from trainer.spec.sgd import SGDSpec
from trainer.training import Ended, EpochDone, Job, make_job, run_job
from trainer.training.masks import draw_masks, masks_of
from trainer.training.rates import Rates


def sgd(**changes: Any) -> SGDSpec:
    values = {"learning_rate": 0.1, "batch_size": 4, "epochs": 4, **changes}
    return SGDSpec.model_validate(values)


def job_of(write_spec: Any, changes: dict[str, Any], engine: str = "reference") -> Job:
    spec = load_spec(write_spec(changes))
    dataset = load_dataset(spec)
    return make_job(spec, dataset, build_graph(spec, dataset.layout), engine)


# Rates -------------------------------------------------------------------------------------------

# 10 rows in batches of 4: steps of 4, 4 and 2 rows
RATES = [
    ({}, {"learning_rate": [0.1] * 4}),
    ({"accumulate": 2}, {
        "accumulate/share": [0.5, 0.5, 1.0, 0.5],
        "accumulate/carry": [0, 1, 0, 0],
        "accumulate/apply": [0, 1, 1, 0],
    }),
    ({"accumulate": 3}, {
        "accumulate/share": [0.4, 0.4, 0.2, 0.4],
        "accumulate/carry": [0, 1, 1, 0],
        "accumulate/apply": [0, 0, 1, 0],
    }),
    # at first the mean of all, then a quarter of each new one
    ({"average": {"type": "ema", "decay": 0.75}}, {"average/rate": [1, 1 / 2, 1 / 3, 1 / 4]}),
    ({"average": {"type": "ema", "decay": 0.5}}, {"average/rate": [1, 1 / 2, 1 / 2, 1 / 2]}),
    ({"average": {"type": "ema", "decay": 0.5}, "accumulate": 2},
     {"average/rate": [0, 1, 1 / 2, 0]}),
    # of 4 epochs the last two count
    ({"average": {"type": "swa", "start": 0.5}},
     {"average/rate": [0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1 / 2]}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), RATES, ids=str)
def test_rates_by_hand(changes, expected) -> None:
    rates = Rates(sgd(**changes), rows=10, batch_size=4)
    for name, values in expected.items():
        found = rates.at(1, len(values))
        np.testing.assert_allclose(found[name], values, rtol=1e-15, err_msg=name)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 5), st.integers(0, 30))
def test_shares_add_up_and_do_not_depend_on_the_cut(rows, batch, accumulate, first) -> None:
    rates = Rates(sgd(accumulate=accumulate), rows, min(batch, rows))
    length = rates.steps_per_epoch
    epoch = rates.at(1, length)
    if accumulate > 1:
        updates = np.cumsum(epoch["accumulate/apply"]) - epoch["accumulate/apply"]
        sums = np.bincount(updates.astype(int), epoch["accumulate/share"])
        np.testing.assert_allclose(sums, 1)
        assert epoch["accumulate/apply"][-1] == 1
    whole = rates.at(1, first + 3)
    for name, values in rates.at(first + 1, 3).items():
        np.testing.assert_array_equal(values, whole[name][first:])


# Updates by hand ---------------------------------------------------------------------------------

DENSE = {"dtype": "float64", "layers": [{"units": 2, "bias": False}], "loss": "squared"}
# x = (1, 2), ŷ = x W with W = [[1, 0], [-1, 2]] gives (-1, 4); y = (0, 5): the error is (-1, -1),
# ∇W = 2/2 · x ⊗ error = [[-1, -1], [-2, -2]]
W0 = np.array([[1.0, 0.0], [-1.0, 2.0]])
MOVED = W0 + 0.1 * np.array([[1.0, 1.0], [2.0, 2.0]])  # [[1.1, 0.1], [-0.8, 2.2]]

HAND = [
    ({}, MOVED),
    ({"l1": 0.5}, MOVED - 0.05 * np.array([[1.0, 0.0], [-1.0, 1.0]])),
    ({"max_norm": 1.5}, MOVED * np.minimum(1, 1.5 / (np.sqrt([1.85, 4.85]) + 1e-6))),
    ({"max_norm": 9.0}, MOVED),
]


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize(("changes", "expected"), HAND, ids=lambda v: str(v)[:20])
def test_updates_by_hand(write_spec, engine, changes, expected) -> None:
    job = job_of(write_spec, {
        "data": {"source": {"inline": {"x": [[1.0, 2.0]], "y": [[0.0, 5.0]]}}},
        "model": DENSE,
        "sgd": {"learning_rate": 0.1, "batch_size": 1, "epochs": 1, **changes},
    }, engine)  # fmt: skip
    set_state(job, {"dense_1/W": W0})
    take_steps(job, 0, 1)
    np.testing.assert_allclose(job.state["dense_1/W"], expected, rtol=1e-14)


def network(write_spec: Any, changes: dict[str, Any], engine: str = "reference") -> Job:
    """A small network in float64 on 150 rows."""
    layers = [{"units": 5, "activation": "tanh"}, {"units": 3}]
    return job_of(write_spec, {
        "data": {"source": "iris", "standardize": True},
        "model": {"dtype": "float64", "layers": layers, "loss": "logistic"},
        "sgd": {"learning_rate": 0.3, "momentum": 0.9, "batch_size": 24, "epochs": 3, **changes},
    }, engine)  # fmt: skip


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_accumulated_steps_are_one_larger_batch(write_spec, engine) -> None:
    """150 rows: batches of 24 are 6 of 24 and one of 6; two at a time are those of 48."""
    changes = {"weight_decay": 0.01, "clip_norm": 0.5, "nesterov": True}
    found = network(write_spec, {"accumulate": 2, "batch_size": 24, **changes}, engine)
    wanted = network(write_spec, {"batch_size": 48, **changes}, engine)
    for job in (found, wanted):
        list(run_job(job))
    assert found.progress.step == 21
    assert wanted.progress.step == 12
    for name, value in wanted.parameters.items():
        np.testing.assert_allclose(found.parameters[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_between_two_updates_nothing_moves(write_spec, engine) -> None:
    job = network(write_spec, {"accumulate": 3}, engine)
    before = job.parameters
    take_steps(job, 0, 2)
    state = job.state
    assert all((state[name] == value).all() for name, value in before.items())
    take_steps(job, 2, 3)
    state = job.state
    assert all((state[name] != value).any() for name, value in before.items())


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_averages(write_spec, engine) -> None:
    """Against the definition, from the parameters after each step or epoch."""
    ema = network(write_spec, {"average": {"type": "ema", "decay": 0.8}}, engine)
    plain = network(write_spec, {}, engine)
    expected: dict[str, Any] = {}
    for step in range(7):
        take_steps(ema, step, step + 1)
        take_steps(plain, step, step + 1)
        rate = max(0.2, 1 / (step + 1))
        for name, value in plain.parameters.items():
            old = expected.get(name, np.zeros_like(value))
            expected[name] = old + rate * (value - old)
    for name, value in expected.items():
        np.testing.assert_allclose(ema.parameters[name], value, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(ema.state[name], plain.state[name], rtol=1e-12)

    swa = network(write_spec, {"average": {"type": "swa", "start": 0.3}}, engine)
    again = network(write_spec, {}, engine)
    kept = []
    for event in run_job(again):
        if isinstance(event, EpochDone) and event.epoch:
            kept.append(again.parameters)
    list(run_job(swa))
    assert len(kept) == 3
    for name, value in swa.parameters.items():  # int(0.3 · 3) = 0: all three count
        mean = sum(parameters[name] for parameters in kept) / 3
        np.testing.assert_allclose(value, mean, rtol=1e-9, atol=1e-12)


def test_the_average_is_what_is_evaluated(write_spec) -> None:
    job = network(write_spec, {"average": {"type": "ema", "decay": 0.9}})
    list(run_job(job))
    part = job.dataset.train
    loss = job.engine.load(job.state | job.parameters).predict(part.arrays, 1024)[0]
    assert job.session.predict(part.arrays, 1024, job.evaluated)[0] == loss
    assert job.session.predict(part.arrays, 1024)[0] != loss


# Early stopping ----------------------------------------------------------------------------------

STOPPING = {
    "data": {"source": "iris", "split": {"validation": 0.3, "test": 0.2}, "standardize": True},
    "model": {"layers": [{"units": 20, "activation": "tanh"}, {"units": 3}], "loss": "logistic"},
    "sgd": {"learning_rate": 1.0, "momentum": 0.9, "batch_size": 8, "epochs": 60,
            "early_stopping": {"patience": 4}},
}  # fmt: skip


def test_early_stopping_ends_and_restores_the_best(write_spec) -> None:
    job = job_of(write_spec, STOPPING)
    losses = {}
    kept = {}
    for event in run_job(job):
        if isinstance(event, EpochDone):
            losses[event.epoch] = event.metrics["val_loss"]
            kept[event.epoch] = job.state
    best = min(losses, key=losses.__getitem__)
    assert isinstance(event, Ended)
    assert (event.status, event.epoch) == ("FINISHED", best + 4)
    assert event.epoch < 60
    assert event.reason == (
        f"stopped after epoch {best + 4}: none was better than epoch {best}, "
        "whose parameters are the result"
    )
    assert event.summary["best_epoch"] == best
    for name, value in job.parameters.items():
        np.testing.assert_array_equal(value, kept[best][name])
    test = job.dataset.test
    expected = job.session.predict(test.arrays, 1024, kept[best])[0] / len(test)
    assert event.summary["test_loss"] == expected


@pytest.mark.parametrize(("changes", "name"), [
    ({"monitor": "accuracy"}, "best_val_accuracy"),
    ({"monitor": "loss", "min_delta": 0.05}, "best_val_loss"),
    ({"restore_best": False}, "best_val_loss"),
])  # fmt: skip
def test_what_early_stopping_watches(write_spec, changes, name) -> None:
    values = {**STOPPING, "sgd": {**STOPPING["sgd"],
                                  "early_stopping": {"patience": 3, **changes}}}  # fmt: skip
    job = job_of(write_spec, values)
    seen = [e.metrics["val_" + changes.get("monitor", "loss")] for e in run_job(job)
            if isinstance(e, EpochDone)]  # fmt: skip
    sign = -1 if changes.get("monitor") == "accuracy" else 1
    best, at = math.inf, 0
    for epoch, value in enumerate(seen):
        if sign * value < best - changes.get("min_delta", 0):
            best, at = sign * value, epoch
    assert job.progress.best.epoch == at
    assert job.progress.best.summary() == {name: seen[at], "best_epoch": at}
    assert len(seen) - 1 == at + 3
    restored = changes.get("restore_best", True)
    kept, state = job.parameters, job.state
    same = all((kept[n] == state[n]).all() for n in job.initial)
    assert same != restored


def test_early_stopping_needs_validation_rows(write_spec) -> None:
    values = {**STOPPING, "data": {"source": "iris"}}
    with pytest.raises(trainer.SpecError, match="early stopping needs validation rows"):
        load_spec(write_spec(values))


# Dropout -----------------------------------------------------------------------------------------

DROPOUT = {
    "data": {"source": "iris", "standardize": True},
    "model": {"dtype": "float64", "loss": "logistic", "layers": [
        {"units": 40, "activation": "relu"}, {"type": "dropout", "rate": 0.25}, {"units": 3}]},
    "sgd": {"learning_rate": 0.1, "batch_size": 16, "epochs": 2},
}  # fmt: skip


def test_masks(write_spec) -> None:
    job = job_of(write_spec, DROPOUT)
    [mask] = masks_of(job.graph)
    assert mask.shape == ("B", 40)
    drawn = draw_masks([mask], 3, 1, 0, 5000)[mask.name]
    assert sorted(np.unique(drawn)) == [0, 1 / 0.75]
    assert (drawn == 0).mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / drawn.size))
    later = draw_masks([mask], 3, 1, 4000, 1000)[mask.name]
    np.testing.assert_array_equal(later, drawn[4000:])
    assert (draw_masks([mask], 3, 2, 0, 5000)[mask.name] != drawn).any()


@given(st.integers(0, 50), st.integers(1, 20), st.integers(1, 30))
def test_rows_of_random_bits_do_not_depend_on_the_cut(first, rows, columns) -> None:
    whole = random_rows(7, "dropout", 2, 1, 0, first + rows, columns)
    np.testing.assert_array_equal(
        random_rows(7, "dropout", 2, 1, first, rows, columns), whole[first:]
    )


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_dropout_trains_with_masks_and_evaluates_without(write_spec, engine) -> None:
    job = job_of(write_spec, DROPOUT, engine)
    train = job.dataset.train
    _, predicted = take_steps(job, 0, 1)
    fresh = job_of(write_spec, DROPOUT, engine)
    _, evaluated = fresh.session.predict(train.arrays, 16)
    mask = draw_masks(masks_of(job.graph), job.spec.seed, 1, 0, 16)["dropout_2/mask"]
    p = fresh.parameters
    h = np.maximum(train.x[:16] @ p["dense_1/W"] + p["dense_1/b"], 0)
    np.testing.assert_allclose(predicted, (h * mask) @ p["dense_3/W"] + p["dense_3/b"], rtol=1e-10)
    np.testing.assert_allclose(evaluated[:16], h @ p["dense_3/W"] + p["dense_3/b"], rtol=1e-10)
