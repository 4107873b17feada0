"""The learning-rate finder, and the drawing of schedules."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from trainer import Profile, load_spec
from trainer.checkpoints.folder import find_folder, folders
from trainer.errors import DivergedError, InterruptedRun, UsageError
from trainer.runs.prepare import Prepared, prepare
from trainer.runs.rate_search import CURVE_ALONE, find_learning_rate
from trainer.runs.rate_trials import affordable
from trainer.training.range_test import RangeTest, before_rise, smooth
from trainer.training.trials import Trial, Trials, neighbour, next_rates

UNKEPT = Profile(runs=None)
PNG = b"\x89PNG\r\n\x1a\n"


# The curve --------------------------------------------------------------------------------------


def test_smoothing_by_hand() -> None:
    """Still 2, 1, 4 with mean 7/3; changes 0, -0.5, -1: a₂ = 0.1 · -0.5, a₃ = 0.9 · a₂ - 0.1."""
    still = np.array([2.0, 1, 4])
    expected = 7 / 3 + np.array([0, -0.05 / 0.19, -0.145 / 0.271])
    np.testing.assert_allclose(smooth(np.array([2, 0.5, 3]), still), expected, rtol=1e-12)
    np.testing.assert_allclose(smooth(np.full(500, 0.3), np.full(500, 0.5)), 0.3, rtol=1e-12)


def test_batches_that_differ_are_no_fall() -> None:
    """However much batches differ: what a rate does not change stays where it is."""
    still = np.random.default_rng(0).uniform(0, 9, 60)
    rates = np.geomspace(1e-6, 1e-2, 60)
    found = RangeTest.of(rates, still - np.where(rates > 1e-3, 1e3 * rates, 0), still)
    np.testing.assert_allclose(found.smoothed[rates <= 1e-3], still.mean())
    assert found.steepest is not None
    assert found.steepest > 1e-3


RISES = [
    ([1.0, 2, 3.9], 3),
    ([1.0, 4.0, 4.1, 1], 2),
    ([1.0, 0.1, 0.41, 0.1], 2),
    ([1.0, 1e308, 2], 1),
    ([1.0, float("inf")], 1),
    ([1e308, 1.1e308], 2),
    ([2.0], 1),
    # a loss that goes below 0: 3 times the larger of |-0.1| and |1| above -0.1
    ([1.0, -0.1, 2.8, 3.0], 3),
    ([-1.0, -2, 3.9, 4.1], 3),
]


@pytest.mark.parametrize(("smoothed", "count"), RISES)
def test_where_a_rise_ends_the_curve(smoothed: list[float], count: int) -> None:
    assert before_rise(np.array(smoothed)) == count


def sweep(smoothed: list[float]) -> RangeTest:
    """With the rates 0.001, 0.002, 0.004, …"""
    values = np.array(smoothed)
    rates = 0.001 * 2.0 ** np.arange(len(values))
    return RangeTest(rates, values, values, values, len(values), "range")


# smoothed losses, the steepest fall, rate of the least
CURVES = [
    ([5, 5, 4, 2, 1.5, 1.4, 1.6], 0.004, 0.032),
    ([5, 5, 4, 3, 1.5, 1.4, 1.6], 0.008, 0.032),
    ([5, 4.9, 4, 3.5, 3, 0.9, 1.6], 0.016, 0.032),
    # what comes after the least does not count
    ([5, 4, 3.9, 9, 4.1], 0.001, 0.004),
    ([5, 6, 7], None, 0.001),
    ([5], None, 0.001),
]  # fmt: skip


@pytest.mark.parametrize(("smoothed", "steepest", "minimum"), CURVES)
def test_the_steepest_fall_is_before_the_least(
    smoothed: list[float], steepest: float | None, minimum: float
) -> None:
    found = sweep(smoothed)
    assert found.steepest == steepest
    assert found.minimum == pytest.approx(minimum)
    assert (found.fall is None) == (steepest is None)


def test_where_the_fall_is() -> None:
    """5 to 1 falls from where it is below 4.8 for good, which is after the rate of 4.9."""
    assert sweep([5, 4.7, 5, 4.9, 4, 2, 1, 3]).fall == pytest.approx((0.008, 0.064))


def test_the_steepest_fall_has_two_digits() -> None:
    rates = np.array([0.0123, 0.0345678, 0.0999, 0.2])
    values = np.array([3, 2.9, 1, 0.99])
    assert RangeTest(rates, values, values, values, 4, "range").steepest == 0.035


def test_why_a_sweep_is_over() -> None:
    rates, still = np.geomspace(1e-3, 1, 5), np.ones(5)
    risen = RangeTest.of(rates, np.array([1, 1, 500.0, 1]), still, diverged=True)
    assert (risen.end, len(risen.rates), risen.tried) == ("rise", 2, 5)
    assert RangeTest.of(rates, np.array([1, 0.9, 0.8]), still, True).end == "divergence"
    whole = RangeTest.of(rates, np.array([1, 0.9, 0.8, 0.7, 0.6, 99.0]), np.ones(6))
    assert (whole.end, len(whole.rates)) == ("range", 5)


# The trials -------------------------------------------------------------------------------------

BOUNDS = (1e-6, 10.0)


@pytest.mark.parametrize(
    ("rate", "places", "found"),
    [(0.01, 0, 0.01), (0.17, 0, 0.2), (0.01, -1, 0.005), (0.01, 2, 0.05), (0.2, 3, 2.0),
     (7.5, 0, 10.0), (0.0007, -4, 2e-5), (3.0, 0, 2.0)],
)  # fmt: skip
def test_the_series_of_rates(rate: float, places: int, found: float) -> None:
    assert neighbour(rate, places) == found


INF = float("inf")


@pytest.mark.parametrize(
    ("losses", "wanted"),
    [
        ({}, [0.001, 0.01, 0.1, 1]),
        # two on each side of the best, which is 0.005, 0.02, 0.1
        ({0.005: 1, 0.01: 2, 0.02: 3, 0.05: 4, 0.1: 5}, [0.001, 0.002]),
        ({0.02: 3, 0.05: 2, 0.1: 1}, [0.2, 0.5]),
        # of equal ones the least; beyond one that diverged there is nothing
        ({0.005: 1, 0.01: 1, 0.02: 1}, [0.001, 0.002]),
        ({0.02: 1, 0.05: INF}, [0.005, 0.01]),
        ({0.02: INF, 0.05: INF}, [0.005, 0.01]),
        # then the middles, but for neighbours that are about as good
        ({0.005: 3, 0.01: 2, 0.02: 1, 0.05: 2, 0.1: 3}, [0.015, 0.03]),
        ({0.02: 2, 0.05: 1.05, 0.1: 1, 0.2: INF}, [0.15]),
        ({0.01: 2, 0.02: 2, 0.05: 1, 0.1: INF}, [0.03, 0.07]),
        ({0.005: 3, 0.01: 1.1, 0.02: 1, 0.05: 1.1, 0.1: 3}, []),
        # and that is all
        ({0.005: 3, 0.01: 2, 0.015: 1.5, 0.02: 1, 0.03: 2, 0.05: 2, 0.1: 3}, []),
        ({0.005: 3, 0.01: 2, 0.015: 2, 0.02: 1, 0.03: 0.5, 0.05: 2, 0.1: 3}, []),
    ],
)
def test_which_rates_are_tried_next(losses: dict[float, float], wanted: list[float]) -> None:
    assert next_rates(losses, (0.0017, 0.2), BOUNDS) == wanted


def test_no_rate_is_tried_beyond_the_ends() -> None:
    fall = (0.001, 0.1)
    assert next_rates({}, fall, (0.006, 0.05)) == [0.01]
    assert next_rates({0.01: 3, 0.02: 2, 0.03: 2, 0.05: 1}, fall, (0.006, 0.05)) == []
    assert next_rates({}, fall, (0.02, 0.04)) == [pytest.approx(0.0283, rel=1e-3)]
    assert next_rates({}, (1.0, 1.0), BOUNDS) == [1.0]


@pytest.mark.parametrize("best", [1e-5, 0.003, 0.2, 5.0])
def test_the_least_of_a_valley_is_found_from_anywhere(best: float) -> None:
    """In few trials, though the guess is wrong by decades."""
    done: dict[float, float] = {}
    while rates := next_rates(done, (0.003, 0.03), BOUNDS):
        done |= {rate: 1 + np.log10(rate / best) ** 2 for rate in rates}
    assert abs(np.log10(min(done, key=lambda rate: done[rate]) / best)) < 0.2
    assert len(done) < 20


def trials(losses: dict[float, float], **how: Any) -> Trials:
    known = {"epochs": 20, "whole": 20, "judged_by": "val_loss", "start": 9.0, "bounds": BOUNDS}
    return Trials(**{**known, **how}, done=tuple(starmap(Trial, losses.items())))


VALLEY = {0.01: 3.0, 0.02: 1.05, 0.05: 1.0, 0.1: 1.09, 0.2: 2.0, 0.5: INF}


@pytest.mark.parametrize(
    ("found", "good", "doubts"),
    [
        (trials(VALLEY), (0.02, 0.1), []),
        (trials(VALLEY, whole=50), (0.02, 0.1), ["the trials had 20 of the 50 epochs"]),
        (trials(VALLEY, judged_by="train_loss"), (0.02, 0.1), ["no validation rows"]),
        (trials(VALLEY, start=0.9), (0.02, 0.1), ["no trial ended with a lower loss"]),
        (trials({**VALLEY, 0.001: 1.01}), (0.02, 0.1), ["0.001 does as well, with worse"]),
        (trials({5.0: 2.0, 10.0: 1.0}), (10, 10), ["beyond 10 were not tried: --to"]),
        (trials({1e-6: 1.0, 2e-6: 1.0}), (1e-6, 2e-6), ["beyond 1e-06 were not tried: --from"]),
        (trials({0.1: -2.0, 0.2: -1.9, 0.5: -1.0}), (0.1, 0.2), []),
        (trials({0.1: INF}), None, ["every trial diverged"]),
    ],
)
def test_how_sure_it_is(found: Trials, good: tuple[float, float] | None, doubts: list[str]) -> None:
    assert found.as_good == good
    told = list(found.doubts())
    assert len(told) == len(doubts)
    for doubt, text in zip(doubts, told, strict=True):
        assert doubt in text


# The search -------------------------------------------------------------------------------------

LINE = {
    "data.source": {"inline": {"x": [[1.0], [2.0], [-1.0]], "y": [1.0, 3.5, -2.0]}},
    "model.layers": [{"units": 1, "init": "zeros"}],
    "model.loss": "squared",
    "sgd.batch_size": "full",
    "sgd.momentum": 0.5,
}


def test_the_losses_are_those_of_sgd_with_these_rates(write_spec) -> None:
    """A line by hand, in NumPy: ŷ = w x + b, momentum 0.5, the rate of each step."""
    spec = load_spec(write_spec({**LINE, "sgd.schedule": {"type": "step", "every": 1}}))
    found = find_learning_rate(spec, lowest=1e-3, highest=0.1, steps=12, profile=UNKEPT).test
    x, y = np.array([1.0, 2, -1]), np.array([1, 3.5, -2])
    at, velocity, losses = np.zeros(2), np.zeros(2), []
    rates = 1e-3 * 100.0 ** (np.arange(12) / 11)
    for rate in rates:
        error = at[0] * x + at[1] - y
        losses.append((error**2).mean())
        velocity = 0.5 * velocity + 2 * np.array([(error * x).mean(), error.mean()])
        at = at - rate * velocity
    np.testing.assert_allclose(found.rates, rates, rtol=1e-12)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-12)
    assert found.end == "range"


def test_it_starts_where_the_run_starts(write_spec) -> None:
    """The first loss is that of the run's first step, whatever rate, average and end it has."""
    changes = {"sgd.average": {"type": "ema"}, "sgd.schedule": "cosine"}
    spec = load_spec(write_spec(changes))
    run = trainer.train(spec, profile=UNKEPT)
    found = find_learning_rate(spec, steps=10, profile=UNKEPT).test
    assert found.losses[0] == run.history["train_loss_step"].values[0]
    again = find_learning_rate(spec, steps=10, profile=UNKEPT).test
    assert again.losses.tobytes() == found.losses.tobytes()


def test_every_engine_tries_every_rate(write_spec) -> None:
    """Also where the last epoch has more steps than are left."""
    spec = load_spec(write_spec({**LINE, "sgd.batch_size": 2}))
    one, other = (
        find_learning_rate(spec, highest=0.1, steps=11, profile=Profile(name, runs=None)).test
        for name in ("reference", "compiled")
    )
    assert len(one.losses) == 11
    np.testing.assert_allclose(one.losses, other.losses, rtol=1e-12)


def test_it_starts_from_a_trained_model(write_spec) -> None:
    from safetensors.numpy import save_file

    save_file({"dense_1/W": np.array([[2.0]]), "dense_1/b": np.array([0.5])}, "line.safetensors")
    start = {"model.init_from": {"file": "line.safetensors"}}
    found = find_learning_rate(load_spec(write_spec({**LINE, **start})), profile=UNKEPT)
    assert found.test.losses[0] == pytest.approx((1.5**2 + 1.0**2 + 0.5**2) / 3)


def test_it_ends_where_the_loss_rises_or_is_not_finite(write_spec) -> None:
    spec = load_spec(write_spec(LINE))
    found = find_learning_rate(spec, lowest=1e-2, highest=100, steps=50, profile=UNKEPT).test
    assert found.end == "rise"
    assert len(found.rates) < 50
    assert found.steepest is not None
    assert 0.01 < found.steepest < found.minimum < 10
    values = {"source": {"inline": {"x": [[1e200], [2.0]], "y": [1.0, 3.5]}}}
    diverging = load_spec(write_spec({**LINE, "data": values, "model.dtype": "float64"}))
    with pytest.raises(DivergedError):
        find_learning_rate(diverging, profile=UNKEPT)


def test_a_trial_is_the_run_at_its_rate(write_spec) -> None:
    """To the bit, with schedule, momentum, dropout and what normalises batches."""
    layers = [{"units": 4}, {"type": "batch_norm"}, {"type": "dropout", "rate": 0.2}, {"units": 1}]
    changes = {
        "data": {"source": "diabetes", "split": {"validation": 0.3}, "target_scale": "standard",
                 "scale": "standard"},
        "model": {"layers": layers, "loss": "squared"},
        "sgd.schedule": {"type": "cosine", "warmup": 1},
        "sgd.momentum": 0.9,
        "sgd.batch_size": 64,
    }  # fmt: skip
    spec = load_spec(write_spec(changes))
    found = find_learning_rate(spec, profile=UNKEPT)
    assert found.trials is not None
    assert found.trials.best is not None
    run = trainer.train(spec.changed({"sgd.learning_rate": found.suggestion}), profile=UNKEPT)
    assert run.metrics["val_loss"] == found.trials.best.loss
    assert run.history["val_loss"].values[0] == found.trials.start
    again = find_learning_rate(spec, profile=UNKEPT)
    assert again.as_json() == found.as_json()


def test_batches_of_noise_do_not_mislead(write_spec) -> None:
    """A target with large noise and small batches, on which losses of batches alone say nothing."""
    drawn = np.random.default_rng(1)
    x = drawn.normal(size=(300, 5))
    y = x[:, 0] - x[:, 1] + drawn.standard_t(2, size=300) * 3
    data = {"source": {"inline": {"x": x.tolist(), "y": y.tolist()}}, "split": {"validation": 0.3},
            "target_scale": "standard"}  # fmt: skip
    model = {"layers": [{"units": 16, "activation": "relu"}, {"units": 1}], "loss": "squared"}
    for seed in range(2):
        changes = {"data": data, "model": model, "seed": seed, "sgd.batch_size": 10}
        found = find_learning_rate(load_spec(write_spec(changes)), profile=UNKEPT)
        assert found.suggestion is not None
        assert found.test.steepest is not None
        assert 1e-3 < found.test.steepest < 1
        assert 1e-3 < found.suggestion < 0.2


def test_a_search_without_trials(write_spec, train, folder: Path) -> None:
    path = write_spec(LINE)
    found = find_learning_rate(load_spec(path), epochs=0, profile=UNKEPT)
    assert (found.trials, found.suggestion) == (None, found.test.steepest)
    assert found.doubts == [CURVE_ALONE]
    code, out, err = train("lr-find", path, "--no-track", "--epochs", 0)
    assert (code, err) == (0, "tiny: 100 steps from 1e-06 to 10\n")
    assert "rate  " not in out


def test_rates_that_do_nothing_are_not_suggested(write_spec, train, folder: Path) -> None:
    """Where nothing is learned, since all is frozen, no rate is better than another."""
    path = write_spec({"model.layers": [{"units": 3, "freeze": True}, {"units": 1}],
                       "sgd.batch_size": 4})  # fmt: skip
    _, out, _ = train("lr-find", path, "--no-track", "--from", 1e-12, "--to", 1e-11)
    assert "unsure: rates beyond 1e-11 were not tried: --to takes another end" in out


@pytest.mark.parametrize(
    ("epochs", "rows", "found"),
    [(20, 64, 20), (10**6, 64, 1000), (10, 2 * 10**5, 1), (10, 10**9, 0)],
)
def test_how_many_epochs_a_trial_can_have(epochs: int, rows: int, found: int, write_spec) -> None:
    """As many as the spec, fewer where they take long, none where one takes too long."""
    prepared = prepare(load_spec(write_spec({"sgd.epochs": epochs})))

    class Many(Prepared):
        steps_per_epoch = rows // 2

    many = Many(**{each.name: getattr(prepared, each.name) for each in fields(prepared)})
    each = affordable(many)
    assert each == found if found < 1000 else 1 < each < epochs


WRONG = [
    ({"lowest": 0.0}, "no range of learning rates goes from 0 to 10"),
    ({"lowest": 1.0, "highest": 1.0}, "from 1 to 1"),
    ({"highest": float("inf")}, "to inf"),
    ({"lowest": float("nan")}, "from nan"),
    ({"steps": 9}, "9 steps make no curve: take 10 to 2000"),
    ({"steps": 2001}, "2001 steps"),
    ({"epochs": -1}, "a trial has no -1 epochs"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_range_that_is_none(write_spec, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_learning_rate(load_spec(write_spec()), profile=UNKEPT, **arguments)


def test_it_can_be_stopped(write_spec, folder: Path) -> None:
    with pytest.raises(InterruptedRun, match="interrupted after 0 steps: nothing is rec"):
        find_learning_rate(load_spec(write_spec()), stop=lambda: True)
    assert not list(folders(Path("runs")))


@pytest.mark.parametrize("last", [1, 2])
def test_a_trial_can_be_stopped(last: int, write_spec, folder: Path) -> None:
    """Before its first step as well; what went before is not kept."""
    told: list[Trial] = []
    with pytest.raises(InterruptedRun, match="interrupted in the trial at "):
        find_learning_rate(
            load_spec(write_spec()),
            stop=lambda: len(told) >= last,
            told=lambda _, trial: told.append(trial),
        )
    assert len(told) == last
    assert not list(folders(Path("runs")))


# The command ------------------------------------------------------------------------------------


def test_what_it_prints(train, folder, write_spec) -> None:
    path = write_spec(LINE)
    code, out, err = train("lr-find", path, "--no-track", "--steps", 60, "--png", "curve.png")
    assert code == 0, err
    head, *told = err.splitlines()
    assert head == "tiny: 60 steps from 1e-06 to 10"
    assert told[0].startswith("3 epochs at 0.001: ")
    lines = out.splitlines()
    assert lines[0] == "smoothed training loss by learning rate"
    assert lines[17].endswith("log10(rate)")
    assert lines[-1].startswith("suggestion: sgd.learning_rate: ")
    assert float(lines[-1].split()[-1]) in (0.05, 0.1, 0.2)
    assert lines[-3] == "unsure: there are no validation rows: the loss is that of training rows"
    assert "picture: curve.png" in lines
    (best,) = (line.split() for line in lines if line.endswith("  best"))
    assert best[0] == lines[-1].split()[-1]
    assert Path("curve.png").read_bytes().startswith(PNG)
    assert not Path("runs").exists()


def test_quiet_json_and_files_that_cannot_be_written(train, folder, write_spec) -> None:
    path = write_spec()
    assert train("lr-find", path, "--no-track", "--quiet") == (0, "", "")
    code, out, err = train("lr-find", path, "--no-track", "--json", "--to", 1)
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    assert list(found) == [
        "name", "id", "run_id", "experiment", "tracking_uri", "suggested_learning_rate", "sure",
        "unsure_because", "as_good_from_to", "judged_by", "epochs", "loss_before_training",
        "trials", "steepest_learning_rate", "minimum_learning_rate", "end", "learning_rates",
        "losses", "losses_without_training", "smoothed",
    ]  # fmt: skip
    assert (found["id"], found["run_id"]) == (None, None)
    assert found["learning_rates"][0] == 1e-6
    assert len(found["learning_rates"]) == len(found["losses"]) == len(found["smoothed"])
    code, _, err = train("lr-find", path, "--no-track", "--quiet", "--png", "no/such/folder.png")
    assert (code, "there is no folder 'no/such' for the file" in err) == (2, True)
    code, _, err = train("lr-find", path, "--no-track", "--from", 3, "--to", 2)
    assert (code, "no range of learning rates" in err) == (2, True)


def test_what_is_recorded(train, store, write_spec) -> None:
    from mlflow import MlflowClient

    path = write_spec({**LINE, "tracking.experiment": "rates"})
    code, out, _ = train("lr-find", path, "--json", "--name", "looking")
    found = json.loads(out)
    client = MlflowClient(store)
    run = client.get_run(found["run_id"])
    assert (run.info.run_name, run.info.status) == ("looking", "FINISHED")
    assert client.get_experiment(run.info.experiment_id).name == found["experiment"] == "rates"
    assert run.data.tags["trainer.kind"] == "lr-find"
    assert run.data.tags["trainer.run"] == found["id"]
    assert run.data.tags["trainer.spec_sha256"] == load_spec(path).sha256
    assert run.data.params["sgd/learning_rate"] == "0.5"
    assert run.data.metrics["suggested_learning_rate"] == found["suggested_learning_rate"]
    assert not {"train_loss", "val_loss"} & set(run.data.metrics)
    for name, curve in {"learning_rate": "learning_rates", "train_loss_step": "losses",
                        "smoothed_loss_step": "smoothed"}.items():  # fmt: skip
        points = client.get_metric_history(found["run_id"], name)
        assert [point.step for point in points] == list(range(1, len(found[curve]) + 1))
        assert [point.value for point in points] == found[curve]
    files = {item.path for item in client.list_artifacts(found["run_id"])}
    assert files == {"config", "plots", "lr_find.json"}
    picture = client.download_artifacts(found["run_id"], "plots/lr_find.png")
    assert Path(picture).read_bytes().startswith(PNG)
    assert [path.name for path in folders(Path("runs"))] == [found["id"]]
    # and it is not taken for a training
    code, _, err = train("predict", found["run_id"], "--data", "rows.csv")
    assert (code, "(lr-find) trained no model" in err) == (2, True)


# Schedules --------------------------------------------------------------------------------------


def test_check_draws_a_schedule(train, folder, write_spec) -> None:
    path = write_spec({"sgd.schedule": {"type": "linear", "warmup": 1}, "sgd.epochs": 20})
    code, out, err = train("check", path, "--plot-schedule", "--png", "rates.png")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "learning rate by step: linear, 20 epochs of 2 steps"
    assert lines[-3:] == [
        "first    0.25 at step 1",
        "largest  0.5 at step 2",
        "last     0.013158 at step 40",
    ]
    assert Path("rates.png").read_bytes().startswith(PNG)
    code, out, _ = train("check", path, "--plot-schedule", "--json")
    shown = json.loads(out)["schedule"]
    assert shown["steps"] == list(range(1, 41))
    assert shown["learning_rates"][:3] == [0.25, 0.5, 0.5]
    assert "schedule" not in json.loads(train("check", path, "--json")[1])


def test_a_long_schedule_is_drawn_from_its_first_to_its_last_step(
    train, folder, write_spec
) -> None:
    path = write_spec({"sgd.schedule": {"type": "exponential", "factor": 0.99},
                       "sgd.epochs": 2000})  # fmt: skip
    code, out, _ = train("check", path, "--plot-schedule", "--json")
    steps = json.loads(out)["schedule"]["steps"]
    assert (code, len(steps), steps[0], steps[-1]) == (0, 1000, 1, 4000)
    code, out, _ = train("check", path, "--plot-schedule")
    assert "┤" in out
    one = write_spec({"sgd.epochs": 1, "sgd.batch_size": "full"})
    code, out, _ = train("check", one, "--plot-schedule", "--png", "one.png")
    assert (code, out.splitlines()[-1]) == (0, "last     0.5 at step 1")


def test_it_is_not_the_last_run(train, store, write_spec) -> None:
    """What `last` stands for is a training, of which one has a model."""
    from trainer.tracking.runs import Runs
    from trainer.tracking.store import resolve_store

    path = write_spec(LINE)
    run = json.loads(train(path, "--json")[1])
    assert train("lr-find", path, "--quiet") == (0, "", "")
    runs = Runs(resolve_store(store, Path("runs")))
    assert len(runs.search()) == 2
    assert runs.find("last").run_id == run["run_id"]
    assert len(list(folders(Path("runs")))) == 2
    assert find_folder(Path("runs"), "last").name == run["id"]
