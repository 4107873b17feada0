"""The trivial result: by hand, and as scikit-learn's Dummy estimators say it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Train
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier, DummyRegressor

import trainer
from trainer import Profile, build_graph, load_spec
from trainer.data import load_dataset
from trainer.report.standing import no_better, standing
from trainer.training import Ended, Job, make_job, run_job
from trainer.training.soundness import tail_of

RNG = np.random.default_rng(11)
NOWHERE = Profile(runs=None)


def job_of(folder: Path, train: list[Any], test: list[Any], **changes: Any) -> Job:
    """A job whose training and test targets are these; with `weights` a weight a training row."""
    weights = changes.pop("weights", None)
    for name, targets in (("train", train), ("test", test)):
        head = "x,w,y" if np.ndim(targets[0]) == 0 else "x,w,y,z"
        rows = [f"{i},{(weights or [1])[i % len(weights or [1])]},"
                + ",".join(map(str, np.atleast_1d(y))) for i, y in enumerate(targets)]  # fmt: skip
        (folder / f"{name}.csv").write_text("\n".join([head, *rows]) + "\n")
    numbers = isinstance(np.ravel(train)[0], float)
    classes = len(set(map(str, np.ravel(train))))
    units = np.ndim(train[0]) + 1 if numbers else classes if classes > 2 else 1
    values = {
        "name": "t",
        "data": {"source": {"csv": "train.csv"}, "test": "test.csv", "features": ["x"],
                 "target": "y" if np.ndim(train[0]) == 0 else ["y", "z"]},
        "model": {"layers": [{"units": units}],
                  "loss": "squared" if numbers else "logistic", "dtype": "float64"},
        "sgd": {"learning_rate": 1e-6, "epochs": 1, "batch_size": "full"},
    }  # fmt: skip
    if weights:
        values["data"]["weights"] = "w"
    for key, value in changes.items():
        room, _, name = key.partition("__")
        values[room][name] = value
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(values))
    spec = load_spec(path)
    dataset = load_dataset(spec)
    return make_job(spec, dataset, build_graph(spec, dataset.layout), "reference")


def trivial(job: Job) -> dict[str, float]:
    ended = list(run_job(job))[-1]
    assert isinstance(ended, Ended)
    begin = "trivial_test_"
    return {n.removeprefix(begin): v for n, v in ended.summary.items() if n.startswith(begin)}


# By hand -----------------------------------------------------------------------------------------


def test_two_classes_by_hand(folder: Path) -> None:
    """3 of 4 training rows are 'b': it is always said, with the probability 3/4."""
    job = job_of(folder, ["b", "a", "b", "b"], ["a", "b"])
    found = trivial(job)
    assert found["accuracy"] == 0.5
    assert found["loss"] == pytest.approx(-(math.log(1 / 4) + math.log(3 / 4)) / 2)
    assert found["log_loss"] == pytest.approx(found["loss"])
    assert (found["auc"], found["balanced_accuracy"]) == (0.5, 0.5)
    assert job.trivial.says(job.spec.model, job.dataset.preprocessing) == "always saying 'b'"


def test_numbers_by_hand(folder: Path) -> None:
    """The mean of 1, 2 and 6 is 3: errors of -1 and 1 to 2 and 4, whose own mean is 3 too."""
    job = job_of(folder, [1.0, 2.0, 6.0], [2.0, 4.0])
    assert trivial(job) == pytest.approx({"loss": 1.0, "r2": 0.0, "rmse": 1.0, "mae": 1.0})
    said = job.trivial.says(job.spec.model, job.dataset.preprocessing)
    assert said == "always saying the mean, 3,"


def test_huber_takes_the_median(folder: Path) -> None:
    """The median of 1, 2 and 90 is 2: errors of 0 and 3, of which huber makes 0 and 2.5."""
    job = job_of(folder, [1.0, 2.0, 90.0], [2.0, 5.0], model__loss="huber")
    found = trivial(job)
    assert (found["loss"], found["mae"]) == (1.25, 1.5)


def test_weights_count(folder: Path) -> None:
    """Weights 1, 1, 4 and 4: 'a' has 8 of 10, though it is half of the rows."""
    job = job_of(folder, ["b", "b", "a", "a"], ["a", "b", "b", "b"], weights=[1, 1, 4, 4])
    found = trivial(job)  # the test rows weigh 1, 1, 4, 4 as well
    assert found["accuracy"] == pytest.approx(0.1)
    expected = -(math.log(0.8) * 1 + math.log(0.2) * 9) / 10
    assert found["loss"] == pytest.approx(expected)


def test_class_weights_move_the_loss_alone(folder: Path) -> None:
    """Balanced classes count alike for the loss; metrics tell of the rows as they are."""
    job = job_of(folder, ["a", "a", "a", "b"], ["a", "b"], model__class_weights="balanced")
    found = trivial(job)
    assert found["loss"] == pytest.approx(math.log(2))
    assert found["log_loss"] == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)


def test_scaled_targets_are_measured_in_their_own_units(folder: Path) -> None:
    job = job_of(folder, [1.0, 3.0, 15.0, 1.0], [5.0, 9.0], data__target_scale="log1p")
    found = trivial(job)
    assert found["mae"] == pytest.approx(2.0), "the mean is 5"
    logs = np.log([2, 4, 16, 2]).mean()
    assert found["loss"] == pytest.approx(np.mean((np.log([6, 10]) - logs) ** 2))


# Against scikit-learn ----------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [["a", "b"], ["a", "b", "c"]], ids=["two", "three"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_classes_as_scikit_learn_says(folder: Path, labels: list[str], smoothing: float) -> None:
    shares = np.arange(1, len(labels) + 1) / sum(range(len(labels) + 1))
    train, test = (RNG.choice(labels, 40, p=shares) for _ in range(2))
    job = job_of(folder, train.tolist(), test.tolist(), model__label_smoothing=smoothing)
    found = trivial(job)
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((40, 1)), train)
    said, shares = (each(np.zeros((40, 1))) for each in (dummy.predict, dummy.predict_proba))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(test, said))
    assert found["log_loss"] == pytest.approx(sk.log_loss(test, shares))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(test, said))
    assert found["f1"] == pytest.approx(sk.f1_score(test, said, average="macro"))
    if not smoothing:
        assert found["loss"] == pytest.approx(found["log_loss"])


@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("columns", [1, 2])
def test_numbers_as_scikit_learn_says(folder: Path, loss: str, columns: int) -> None:
    train, test = (np.exp(RNG.normal(size=(31, columns))).round(4) for _ in range(2))
    plain = [(part if columns > 1 else part[:, 0]).tolist() for part in (train, test)]
    changes = {"model__loss": loss, "data__target_scale": "standard",
               "model__layers": [{"units": columns}]}  # fmt: skip
    found = trivial(job_of(folder, *plain, **changes))
    dummy = DummyRegressor(strategy="mean" if loss == "squared" else "median")
    said = dummy.fit(np.zeros((31, 1)), train).predict(np.zeros((31, 1))).reshape(31, -1)
    assert found["r2"] == pytest.approx(sk.r2_score(test, said))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(test, said))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(test, said))


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_no_other_constant_has_less_loss(folder: Path, loss: str) -> None:
    """On the training rows themselves, whatever weights and smoothing do."""
    train = [1.0, 2.5, 4.0, -1.0] if loss == "squared" else ["a", "b", "b", "b"]
    changes = {} if loss == "squared" else {"model__label_smoothing": 0.1}
    job = job_of(folder, train, train, weights=[1, 2, 3, 5], **changes)
    from dataclasses import replace

    def loss_of(shift: float) -> float:
        moved = replace(job.trivial, loss=tuple(each + shift for each in job.trivial.loss))
        scores = job.scores()
        return moved.measure(job.spec.model, job.dataset.train, scores, True)["loss"]

    assert all(loss_of(0) < loss_of(shift) for shift in (-0.3, -0.01, 0.01, 0.3))


# In words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metrics", "text"), [
    ({"test_loss": 0.2, "test_accuracy": 0.94, "trivial_test_loss": 0.6,
      "trivial_test_accuracy": 0.63}, "test accuracy 0.94; it gives 0.63"),
    ({"val_loss": 0.2, "val_r2": 0.5, "trivial_val_loss": 0.6, "trivial_val_r2": -0.1},
     "validation R² 0.5; it gives -0.1"),
    ({"test_loss": 1, "test_r2": 0.5, "test_rmse": 3.0, "trivial_test_loss": 2,
      "trivial_test_r2": 0.0, "trivial_test_rmse": 5.0},
     "test R² 0.5 and RMSE 3; it gives 0 and 5"),
    ({"test_loss": 0.2, "trivial_test_loss": 0.6}, "test loss 0.2; it gives 0.6"),
    ({"test_loss": 0.2}, None),
])  # fmt: skip
def test_where_one_stands(metrics: dict[str, float], text: str | None) -> None:
    assert standing(metrics, "it") == text


@pytest.mark.parametrize(("loss", "found"), [(0.5, False), (0.6, True), (0.7, True)])
def test_no_better_than_trivial_is_a_finding(loss: float, found: bool) -> None:
    text = no_better({"test_loss": loss, "trivial_test_loss": 0.6}, "always saying 'a'")
    assert (text is not None) == found
    assert text is None or text.startswith(
        f"the test loss, {loss:g}, is no better than 0.6, which always saying 'a' gives; try"
    )


def test_the_run_tells_it_and_evaluate_too(folder: Path, train: Train) -> None:
    job_of(folder, ["b", "a", "b", "b"] * 3, ["a", "b"] * 4)
    run = trainer.train(load_spec("spec.yaml"), profile=Profile(record=False))
    assert any("always saying 'b' gives 0.5" in note for note in run.notes)
    assert any("is no better than" in finding for finding in run.findings)
    code, out, err = train("evaluate", "last", "--data", "test.csv", "--json")
    assert code == 0, err
    import json

    found = json.loads(out)["metrics"]
    for name in ("accuracy", "loss", "log_loss", "auc"):
        assert found[f"trivial_{name}"] == pytest.approx(run.metrics[f"trivial_test_{name}"])
    assert "trivial" in train("evaluate", "last", "--data", "test.csv")[1]


# Long tails --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "begin"), [
    (RNG.normal(size=500), None),
    (np.full(50, 3.0), None),
    (np.repeat([0.0, 1.0], 50), None),
    (np.arange(100.0), None),
    (np.exp(RNG.normal(size=500) * 1.5), "is skewed (skewness "),
    (-np.exp(RNG.normal(size=500) * 1.5), "is skewed (skewness -"),
    (RNG.poisson(2.0, 500).astype(float), "counts (half of them at most 2, the largest "),
    (np.array([0, 0, 0, 1, 2, 9.0]), "counts (half of them at most 0.5, the largest 9)"),
])  # fmt: skip
def test_targets_with_a_tail(values: np.ndarray[Any, Any], begin: str | None) -> None:
    found = tail_of(values)
    assert (found is None) == (begin is None)
    assert begin is None or str(found).startswith(begin)


@pytest.mark.parametrize(("changes", "advice"), [
    ({}, "; `target_scale: log1p` or `loss: huber` may fit better"),
    ({"model__loss": "huber"}, "; `target_scale: log1p` may fit better"),
    ({"data__target_scale": "log1p", "model__loss": "huber"}, "decide"),
])  # fmt: skip
def test_one_word_on_them(folder: Path, changes: dict[str, Any], advice: str) -> None:
    from trainer.training.soundness import check_soundness

    targets = np.exp(np.random.default_rng(3).normal(size=60) * 2).round(3).tolist()
    job = job_of(folder, targets, targets[:5], **changes)
    notes = [n for n in check_soundness(job.spec, job.dataset) if "R² and RMSE" in n]
    assert len(notes) == 1
    assert notes[0].endswith(advice)
