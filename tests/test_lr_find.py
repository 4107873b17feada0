"""The learning-rate finder, and the drawing of schedules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer
from trainer import Profile, load_spec
from trainer.checkpoints.folder import find_folder, folders
from trainer.errors import DivergedError, InterruptedRun, UsageError
from trainer.runs.rate_search import find_learning_rate
from trainer.training.range_test import RangeTest, before_rise, smooth

UNKEPT = Profile(runs=None)
PNG = b"\x89PNG\r\n\x1a\n"


# The curve --------------------------------------------------------------------------------------


def test_smoothing_by_hand() -> None:
    """a₁ = 0.02 · 2, a₂ = 0.98 · a₁ + 0.02 · 1, a₃ = 0.98 · a₂ + 0.02 · 4, over 1 - 0.98ⁱ."""
    expected = [0.04 / 0.02, 0.0592 / 0.0396, 0.138016 / 0.058808]
    np.testing.assert_allclose(smooth(np.array([2.0, 1, 4])), expected, rtol=1e-12)
    np.testing.assert_allclose(smooth(np.full(500, 0.3)), 0.3, rtol=1e-12)


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


def sweep(smoothed: list[float], tried: int | None = None) -> RangeTest:
    """With the rates 0.001, 0.002, 0.004, …"""
    values = np.array(smoothed)
    return RangeTest(
        0.001 * 2.0 ** np.arange(len(values)), values, values, tried or len(values), "range"
    )


# smoothed losses, steps of the range, suggestion, rate of the least
CURVES = [
    ([5, 5, 4, 2, 1.5, 1.4, 1.6], 7, 0.004, 0.032),
    ([5, 5, 4, 3, 1.5, 1.4, 1.6], 7, 0.008, 0.032),
    ([5, 4.9, 4, 3.5, 3, 0.9, 1.6], 7, 0.016, 0.032),
    # the first tenth does not count
    ([9, 5, 4.5, 4.4, 4, 3.5, 6], 20, 0.016, 0.032),
    # nor does what comes after the least
    ([5, 4, 3.9, 9, 4.1], 5, 0.001, 0.004),
    ([5, 6, 7], 3, None, 0.001),
    ([9, 5, 6, 7], 20, None, 0.002),
    ([5], 100, None, 0.001),
]  # fmt: skip


@pytest.mark.parametrize(("smoothed", "tried", "suggestion", "minimum"), CURVES)
def test_the_suggestion_is_the_steepest_descent_before_the_least(
    smoothed: list[float], tried: int, suggestion: float | None, minimum: float
) -> None:
    found = sweep(smoothed, tried)
    assert found.suggestion == suggestion
    assert found.minimum == pytest.approx(minimum)


def test_a_suggestion_has_two_digits() -> None:
    rates = np.array([0.0123, 0.0345678, 0.0999, 0.2])
    values = np.array([3, 2.9, 1, 0.99])
    assert RangeTest(rates, values, values, 4, "range").suggestion == 0.035


def test_why_a_sweep_is_over() -> None:
    rates = np.geomspace(1e-3, 1, 5)
    risen = RangeTest.of(rates, np.array([1, 1, 500.0, 1]), diverged=True)
    assert (risen.end, len(risen.rates), risen.tried) == ("rise", 2, 5)
    assert RangeTest.of(rates, np.array([1, 0.9, 0.8]), diverged=True).end == "divergence"
    whole = RangeTest.of(rates, np.array([1, 0.9, 0.8, 0.7, 0.6, 99.0]))
    assert (whole.end, len(whole.rates), whole.still_falls) == ("range", 5, True)
    assert not RangeTest.of(rates, np.array([1, 0.9, 0.8, 0.7, 0.9])).still_falls


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
    assert found.suggestion is not None
    assert 0.01 < found.suggestion < found.minimum < 10
    values = {"source": {"inline": {"x": [[1e200], [2.0]], "y": [1.0, 3.5]}}}
    diverging = load_spec(write_spec({**LINE, "data": values, "model.dtype": "float64"}))
    with pytest.raises(DivergedError):
        find_learning_rate(diverging, profile=UNKEPT)


WRONG = [
    ({"lowest": 0.0}, "no range of learning rates goes from 0 to 10"),
    ({"lowest": 1.0, "highest": 1.0}, "from 1 to 1"),
    ({"highest": float("inf")}, "to inf"),
    ({"lowest": float("nan")}, "from nan"),
    ({"steps": 9}, "9 steps make no curve: take 10 to 2000"),
    ({"steps": 2001}, "2001 steps"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_range_that_is_none(write_spec, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_learning_rate(load_spec(write_spec()), profile=UNKEPT, **arguments)


def test_it_can_be_stopped(write_spec, folder: Path) -> None:
    with pytest.raises(InterruptedRun, match="interrupted after 0 of 100 steps: nothing is rec"):
        find_learning_rate(load_spec(write_spec()), stop=lambda: True)
    assert not list(folders(Path("runs")))


# The command ------------------------------------------------------------------------------------


def test_what_it_prints(train, folder, write_spec) -> None:
    path = write_spec(LINE)
    code, out, err = train("lr-find", path, "--no-track", "--steps", 60, "--png", "curve.png")
    assert code == 0, err
    assert err == "tiny: 60 steps from 1e-06 to 10\n"
    lines = out.splitlines()
    assert lines[0] == "smoothed training loss by learning rate"
    assert lines[17].endswith("log10(rate)")
    assert lines[-1].startswith("suggestion: sgd.learning_rate: ")
    assert 1e-6 < float(lines[-1].split()[-1]) < 10
    assert lines[-2] == "picture: curve.png"
    assert Path("curve.png").read_bytes().startswith(PNG)
    assert not Path("runs").exists()


def test_quiet_json_and_files_that_cannot_be_written(train, folder, write_spec) -> None:
    path = write_spec()
    assert train("lr-find", path, "--no-track", "--quiet") == (0, "", "")
    code, out, err = train("lr-find", path, "--no-track", "--json", "--to", 1)
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    assert list(found) == [
        "name", "id", "run_id", "experiment", "tracking_uri", "suggested_learning_rate",
        "minimum_learning_rate", "end", "learning_rates", "losses", "smoothed",
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
