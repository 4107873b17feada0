"""What is told of a run is told of the parameters that it keeps: restored, averaged, or those of
before it diverged.
"""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from stores import recorded

import trainer
from trainer import DivergedError, Profile, Run, SpecError, UsageError, build_graph, load_spec
from trainer import resume as go_on
from trainer.checkpoints.facts import Facts, Outcome
from trainer.data import load_dataset
from trainer.report.comparing import curve
from trainer.runs.use import load_model
from trainer.tracking.points import Points
from trainer.tracking.runs import Runs
from trainer.tracking.store import resolve_store
from trainer.training import Ended, EpochDone, Job, make_job, run_job

KEPT = Profile(record=False)
NOWHERE = Profile(runs=None)
STOPS = {"sgd": {"learning_rate": 0.5, "batch_size": 16, "epochs": 30,
                 "early_stopping": {"patience": 3}}}  # fmt: skip


def spec_of(folder: Path, **changes: Any) -> Path:
    """60 rows of a straight line with noise, in spec.yaml."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=60).round(3)
    y = (2 * x + rng.normal(size=60) * 0.3).round(3)
    values = {
        "name": "line",
        "data": {"source": {"inline": {"x": [[v] for v in x.tolist()], "y": y.tolist()}},
                 "split": {"validation": 0.25, "test": 0.25}},
        "model": {"layers": [{"units": 6, "activation": "tanh"}, {"units": 1}], "loss": "squared"},
        **STOPS,
        **changes,
    }  # fmt: skip
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def trained(path: Path) -> tuple[Job, list[EpochDone], Ended]:
    spec = load_spec(path)
    dataset = load_dataset(spec)
    job = make_job(spec, dataset, build_graph(spec, dataset.layout), "reference")
    events = list(run_job(job))
    ended = events[-1]
    assert isinstance(ended, Ended)
    return job, [event for event in events if isinstance(event, EpochDone)], ended


def loss_of(job: Job, part: Any) -> float:
    """The loss of the job's parameters on some rows."""
    total = job.session.predict(part.span(0, len(part)), 1024, job.parameters)[0]
    return total / len(part)


# The headline ------------------------------------------------------------------------------------


def test_metrics_are_those_of_the_restored_epoch(folder: Path) -> None:
    job, epochs, ended = trained(spec_of(folder))
    best = int(ended.summary["best_epoch"])
    assert 0 < best == job.kept_epoch < epochs[-1].epoch
    for name in ("val_loss", "val_r2"):  # to the bit, as that epoch measured them
        assert ended.summary[name] == epochs[best].metrics[name] != epochs[-1].metrics[name]
        assert ended.summary[f"last_{name}"] == epochs[-1].metrics[name]
    assert ended.summary["train_loss"] == loss_of(job, job.dataset.train)
    assert ended.summary["last_train_loss"] == epochs[-1].metrics["train_loss"]


@pytest.mark.parametrize("average", [{"type": "ema", "decay": 0.9}, {"type": "swa"}])
def test_metrics_are_those_of_the_averages(folder: Path, average: dict[str, Any]) -> None:
    sgd = {"learning_rate": 0.5, "batch_size": 16, "epochs": 6, "average": average}
    job, epochs, ended = trained(spec_of(folder, sgd=sgd))
    assert ended.summary["train_loss"] == loss_of(job, job.dataset.train)
    assert ended.summary["train_loss"] != epochs[-1].metrics["train_loss"]
    assert ended.summary["val_loss"] == epochs[-1].metrics["val_loss"]
    assert ended.summary["last_train_loss"] == epochs[-1].metrics["train_loss"]


@pytest.mark.parametrize("stopping", [None, {"patience": 3, "restore_best": False}])
def test_where_the_last_parameters_are_kept_there_is_one_value(folder: Path, stopping: Any) -> None:
    path = spec_of(folder, sgd={**STOPS["sgd"], "early_stopping": stopping})
    run = trainer.train(load_spec(path), profile=NOWHERE)
    assert not [name for name in run.metrics if name.startswith("last_")]
    for name in ("train_loss", "val_loss", "val_r2"):
        assert run.metrics[name] == run.history[name].values[-1]


# Points ------------------------------------------------------------------------------------------


def points(known: dict[tuple[str, int], float]) -> Points:
    named = {field.name: None for field in dataclasses.fields(Facts)}
    facts = Facts(**named | {"kind": "train", "charts": {"steps": 9, "epochs": 9, "rows": 4}})
    return Points(facts, known)


def epoch(number: int, loss: float) -> EpochDone:
    return EpochDone(number, number, {"val_loss": loss}, {}, 1000.0 + number)


def sent(told: Points) -> list[tuple[float, int]]:
    return [(value, step) for name, value, _, step in told.unsent if name == "val_loss"]


FINISHED = Outcome("FINISHED", 2, 2, "", {})


def shown(told: Points) -> float:
    """What MLflow's table has: the largest step, then the latest, then the largest value."""
    return max((step, when, v) for name, v, when, step in told.unsent if name == "val_loss")[2]


@pytest.mark.parametrize("clock", [0.0, 1002.0, 5000.0], ids=["behind", "still", "ahead"])
def test_the_kept_value_comes_last_whatever_the_clock_says(
    clock: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.tracking.points.time.time", lambda: clock)
    told = points({})
    for number, loss in enumerate([3.0, 1.0, 2.0]):
        told.add(epoch(number, loss))
    end = Ended("FINISHED", 2, 2, {"val_loss": 1.0, "test_loss": 4.0})
    told.end(end, FINISHED)
    assert sent(told) == [(3.0, 0), (1.0, 1), (2.0, 2), (1.0, 2)]
    assert shown(told) == 1.0
    assert ("test_loss", 4.0, 0) in {(n, v, s) for n, v, _, s in told.unsent}
    told.end(end, FINISHED)
    assert len(sent(told)) == 4, "each point once"


def test_a_run_that_is_made_longer_has_its_series_whole() -> None:
    known = {("val_loss", 0): 3.0, ("val_loss", 1): 1.0, ("val_loss", 2): 1.0}  # the last: kept
    told = points(known)
    for number, loss in enumerate([3.0, 1.0, 2.0, 0.5]):
        told.add(epoch(number, loss))
    told.end(Ended("FINISHED", 3, 3, {"val_loss": 0.5}), FINISHED)
    assert sent(told) == [(0.5, 3), (2.0, 2)] or sent(told) == [(2.0, 2), (0.5, 3)]


def test_curves_end_with_the_last_epoch() -> None:
    recorded = [(0, 3.0), (1, 1.0), (2, 2.0), (2, 1.0)]
    assert curve(recorded) == [(0, 3.0), (1, 1.0), (2, 1.0)]
    assert curve(recorded, 2.0) == [(0, 3.0), (1, 1.0), (2, 2.0)]
    assert curve([], 2.0) == []


@pytest.mark.models
def test_mlflow_shows_the_kept_parameters_and_the_series_as_it_was(
    folder: Path, store: str
) -> None:
    run = trainer.train(load_spec(spec_of(folder)))
    shown = recorded(run, store).data.metrics
    assert {name: shown[name] for name in run.metrics} == dict(run.metrics)
    assert shown["val_loss"] == shown["best_val_loss"] < shown["last_val_loss"]
    points = Runs(resolve_store(store, Path())).points(str(run.run_id), "val_loss")
    series = curve(points, shown["last_val_loss"])
    assert [value for _, value in series] == run.history["val_loss"].values.tolist()
    model = MlflowClient(store).search_logged_models([recorded(run, store).info.experiment_id])[0]
    linked = {metric.key: metric.value for metric in model.metrics}
    assert linked["val_loss"] == run.metrics["val_loss"]
    assert trainer.reproduce(run.id).identical


# Divergence --------------------------------------------------------------------------------------

RISES = {"learning_rate": 4.0, "schedule": {"type": "constant", "warmup": 20}, "batch_size": 8,
         "epochs": 40}  # fmt: skip
LINEAR = {"layers": [{"units": 1}], "loss": "squared"}


def diverged(path: Path, profile: Profile = NOWHERE) -> tuple[Run, str]:
    with pytest.raises(DivergedError) as error:
        trainer.train(load_spec(path), profile=profile)
    assert isinstance(error.value.run, Run)
    assert error.value.exit_code == 4
    return error.value.run, str(error.value)


@pytest.mark.parametrize("stopping", [None, {"patience": 50}])
def test_after_a_divergence_the_best_epoch_is_kept(folder: Path, stopping: Any) -> None:
    path = spec_of(folder, sgd={**RISES, "early_stopping": stopping}, model=LINEAR)
    run, message = diverged(path)
    losses = run.history["val_loss"].values
    best = int(losses.argmin())
    assert 0 < best < len(losses) - 1
    assert f"best was epoch {best} (val_loss {losses[best]:.5g}), whose parameters" in message
    assert "the learning rate 4 (by then " in message
    assert run.metrics["val_loss"] == losses[best]
    assert run.metrics["last_val_loss"] == losses[-1] > 100 * losses[best]
    assert all(np.abs(value).max() < 10 for value in run.parameters.values())


def test_without_validation_rows_the_training_loss_tells(folder: Path) -> None:
    run, message = diverged(spec_of(folder, sgd=RISES, model=LINEAR, **_without_split(folder)))
    best = int(run.history["train_loss"].values.argmin())
    assert f"best was epoch {best} (train_loss " in message
    assert run.metrics["train_loss"] < run.history["train_loss"].values[0]


def _without_split(folder: Path) -> dict[str, Any]:
    values = yaml.safe_load(spec_of(folder).read_text())
    return {"data": {"source": values["data"]["source"]}}


def test_the_parameters_of_a_run_that_was_never_good_are_refused(folder: Path) -> None:
    sgd = {**RISES, "learning_rate": 1e6, "schedule": {"type": "constant"}}
    run, message = diverged(spec_of(folder, sgd=sgd, model=LINEAR), KEPT)
    assert "best was" not in message
    for reference in (run.id, "last"):
        with pytest.raises(UsageError, match="no epoch of it was better than the start"):
            load_model(reference, profile=KEPT)
    spec = load_spec(spec_of(folder, model={**LINEAR, "init_from": {"run": run.id}}))
    with pytest.raises(SpecError, match="no epoch of it was better than the start"):
        trainer.train(spec, profile=KEPT)
    assert not (run.folder / "model").exists()


def test_a_run_that_diverged_late_can_be_used_and_gone_on_with(folder: Path) -> None:
    run, message = diverged(spec_of(folder, sgd=RISES, model=LINEAR), KEPT)
    best, short = int(run.metrics["best_epoch"]), run.id[:8]
    assert f"train resume {short} --set sgd.learning_rate=…" in message
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = load_model("last", profile=KEPT).model
    said = f"the run {short} diverged: these are its parameters after epoch {best}, its best"
    assert [str(warning.message) for warning in told] == [said]
    for name, value in run.parameters.items():
        np.testing.assert_array_equal(model.parameters[name], value)
    assert (run.folder / "model" / "model.json").is_file()

    with pytest.raises(DivergedError):
        go_on(short, profile=KEPT)  # nothing differs, so nor does the end
    again = go_on(short, changes={"sgd.learning_rate": 0.05}, profile=KEPT)
    assert (again.status, again.epochs) == ("FINISHED", 40)
    assert again.metrics["val_loss"] < 1.5 * run.metrics["val_loss"]
    np.testing.assert_array_equal(again.history["val_loss"].steps, np.arange(41))
    known = trainer.train(
        load_spec(spec_of(folder, sgd={**RISES, "learning_rate": 0.05}, model=LINEAR)), profile=KEPT
    )
    assert not known.known, "a run that went on otherwise is not what its spec alone gives"


@pytest.mark.parametrize("changes", [{"seed": 3}, {"model.dtype": "float64"}])
def test_what_else_differs_needs_force_as_before(folder: Path, changes: dict[str, Any]) -> None:
    run, _ = diverged(spec_of(folder, sgd=RISES, model=LINEAR), KEPT)
    with pytest.raises(trainer.CheckpointError):
        go_on(run.id, changes={**changes, "sgd.learning_rate": 0.05}, profile=KEPT)
