"""Metrics against scikit-learn's, in pieces, in any order, and restored from their state."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from sklearn import metrics as sk

from trainer.graph.ops import OPS, Array
from trainer.metrics import (
    DEFAULTS,
    METRICS,
    Classes,
    Scores,
    default_metric,
    direction,
    fitting_metrics,
    scores_for,
)
from trainer.metrics import classes as classes_module
from trainer.metrics import numbers as numbers_module
from trainer.metrics import score as score_module
from trainer.metrics.numbers import R2
from trainer.numerics.functions import softmax
from trainer.numerics.sums import column_sums


@dataclass(frozen=True)
class Kind:
    """A task with so many outputs, of whose classes only `present` occur."""

    loss: str
    outputs: int
    multi_label: bool = False
    present: int | None = None

    def scores(self, decode: Callable[[Array], Array] | None = None) -> Scores:
        return scores_for(self.loss, self.outputs, multi_label=self.multi_label, decode=decode)


KINDS = {
    "two classes": Kind("logistic", 1),
    "four classes": Kind("logistic", 4),
    "four classes, one missing": Kind("logistic", 4, present=3),
    "four classes, one there": Kind("logistic", 4, present=1),
    "two classes, one there": Kind("logistic", 1, present=1),
    "labels": Kind("logistic", 3, multi_label=True),
    "a label": Kind("logistic", 1, multi_label=True),
    "labels, all no": Kind("logistic", 3, multi_label=True, present=1),
    "a number": Kind("squared", 1),
    "numbers": Kind("huber", 3),
}


def table(kind: Kind, seed: int, rows: int = 60) -> tuple[Array, Array, Array]:
    """Predictions with many ties, targets, and weights of some rows."""
    rng = np.random.default_rng(seed)
    prediction = rng.integers(-4, 5, (rows, kind.outputs)) / 2
    if kind.loss != "logistic":
        y = rng.integers(-20, 21, prediction.shape) / 4
    elif kind.multi_label or kind.outputs == 1:
        y = rng.integers(0, kind.present or 2, prediction.shape).astype(float)
    else:
        y = np.eye(kind.outputs)[rng.integers(0, kind.present or kind.outputs, rows)]
    return prediction.astype(np.float32), y.astype(np.float32), rng.uniform(0.1, 3, (rows, 1))


def by_scikit_learn(kind: Kind, prediction: Array, y: Array, weight: Array | None) -> Any:
    """The same metrics; None where one is not defined."""
    how = {"sample_weight": None if weight is None else weight[:, 0]}
    z, y = prediction.astype(np.float64), y.astype(np.float64)
    if kind.loss != "logistic":
        return {
            "r2": sk.r2_score(y, z, **how),
            "rmse": sk.root_mean_squared_error(y, z, **how),
            "mae": sk.mean_absolute_error(y, z, **how),
        }
    if kind.multi_label:
        labels = range(kind.outputs)
        probable, guess = OPS["sigmoid"].forward(z), z > 0
        return {
            "accuracy": np.mean([sk.accuracy_score(y[:, i], guess[:, i], **how) for i in labels]),
            "balanced_accuracy": np.mean(
                [sk.balanced_accuracy_score(y[:, i], guess[:, i], **how) for i in labels]
            ),
            "f1": np.mean(
                [sk.f1_score(y[:, i], guess[:, i], zero_division=0.0, **how) for i in labels]
            ),
            "auc": np.mean([sk.roc_auc_score(y[:, i], probable[:, i], **how) for i in labels]),
            "log_loss": np.mean(
                [sk.log_loss(y[:, i], probable[:, i], labels=[0, 1], **how) for i in labels]
            ),
        }
    if kind.outputs == 1:
        right, guess, scores = y[:, 0], z[:, 0] > 0, OPS["sigmoid"].forward(z[:, 0])
        labels, columns = [0, 1], right
    else:
        # rows are tied where their probabilities are, to the bit
        right, guess, scores = y.argmax(axis=1), z.argmax(axis=1), softmax(z)
        labels, columns = list(range(kind.outputs)), np.eye(kind.outputs)[right]
    present = np.unique(np.append(right, guess))
    return {
        "accuracy": sk.accuracy_score(right, guess, **how),
        "balanced_accuracy": sk.balanced_accuracy_score(right, guess, **how),
        "f1": sk.f1_score(right, guess, labels=present, average="macro", zero_division=0.0, **how),
        "auc": sk.roc_auc_score(columns, scores, **how),  # of several the mean, one against all
        "log_loss": sk.log_loss(right, scores, labels=labels, **how),
    }


def disagreements(kind: Kind, seed: int, weighted: bool) -> list[str]:
    """The metrics that are not scikit-learn's; rows are added in three pieces."""
    prediction, y, weight = table(kind, seed)
    scores = kind.scores()
    for rows in (slice(0, 15), slice(15, 16), slice(16, None)):
        scores.add(prediction[rows], y[rows], weight[rows] if weighted else None)
    found = scores.values()
    assert all(type(value) is float for value in found.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that do not occur
        expected = by_scikit_learn(kind, prediction, y, weight if weighted else None)
    defined = {name: value for name, value in expected.items() if np.isfinite(value)}
    assert list(expected) == list(fitting_metrics(kind.loss))
    return [
        name
        for name in expected
        if (name in found) != (name in defined)
        or (name in found and found[name] != pytest.approx(defined[name], rel=1e-12, abs=1e-14))
    ]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_metrics_are_scikit_learns(kind: Kind, weighted: bool) -> None:
    for seed in range(10):
        assert disagreements(kind, seed, weighted) == [], seed


def _no_ties(scores: Array, positive: Array, weights: Array) -> float:
    """Equal scores in the order of their rows, as if they differed."""
    return AREA(scores + np.arange(len(scores)) * 1e-9, positive, weights)


AREA = classes_module.area
FAULTS = {
    "ties": (classes_module, "area", _no_ties, {"auc"}),
    "f1 is precision": (classes_module.Counts, "f1", classes_module.Counts.precision, {"f1"}),
    "recall is precision": (classes_module.Counts, "recall", classes_module.Counts.precision,
                            {"balanced_accuracy"}),
    "a mean without weights": (numbers_module, "_spread", lambda squares, *_: squares, {"r2"}),
    "rows for weights": (score_module.Weight, "value", lambda self: 60.0,
                         set(METRICS) - {"balanced_accuracy", "f1", "auc"}),
}  # fmt: skip


@pytest.mark.parametrize(("place", "name", "wrong", "caught"), FAULTS.values(), ids=FAULTS)
def test_wrong_metrics_are_caught(
    place: Any, name: str, wrong: Any, caught: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above tells which metric is wrong."""
    monkeypatch.setattr(place, name, wrong)
    found = {name for kind in KINDS.values() for name in disagreements(kind, 0, True)}
    assert found == caught


# Which there are --------------------------------------------------------------------------------

OF_CLASSES = ("accuracy", "balanced_accuracy", "f1", "auc", "log_loss")
OF_NUMBERS = ("r2", "rmse", "mae")
LOWER = {"log_loss", "rmse", "mae"}


def test_the_table() -> None:
    """What is measured above is the whole table, and each row is found by its name."""
    assert tuple(METRICS) == (*OF_CLASSES, *OF_NUMBERS)
    for name, row in METRICS.items():
        assert (row.name, row.of) == (name, "classes" if name in OF_CLASSES else "numbers")
        assert row.better == ("lower" if name in LOWER else "higher")
    assert {name for kind in KINDS.values() for name in fitting_metrics(kind.loss)} == set(METRICS)
    assert len({row.title for row in METRICS.values()}) == len(METRICS)
    assert DEFAULTS == ("accuracy", "r2")


@pytest.mark.parametrize(
    ("loss", "fitting", "default"),
    [("logistic", OF_CLASSES, "accuracy"), ("squared", OF_NUMBERS, "r2"),
     ("huber", OF_NUMBERS, "r2")],
)  # fmt: skip
def test_metrics_by_loss(loss: str, fitting: tuple[str, ...], default: str) -> None:
    """They come in the order of METRICS, however they were asked for."""
    assert (fitting_metrics(loss), default_metric(loss)) == (fitting, default)
    for scores in (scores_for(loss, 1, [*reversed(fitting), default]), scores_for(loss, 1)):
        scores.add(np.array([[1.0], [-1.0]]), np.array([[1.0], [0.0]]))
        assert tuple(scores.values()) == fitting
    (unfit, *_) = [name for name in METRICS if name not in fitting]
    with pytest.raises(ValueError, match=f"no metrics of the loss '{loss}': {unfit}"):
        scores_for(loss, 1, [default, unfit])


@pytest.mark.parametrize(
    ("better", "names"),
    [
        (1, ["accuracy", "val_accuracy", "best_val_f1", "test_auc", "r2/price", "eval/r2",
             "test_balanced_accuracy_mean", "Test AUC"]),
        (-1, ["loss", "val_loss", "train_loss_step", "log_loss", "val_log_loss", "test_rmse",
              "mae/rent", "my_error", "mse"]),
        (0, ["blossom", "grad_norm", "learning_rate", "best_epoch", "perf/seconds", "sf1",
             "test_accuracy_deviation"]),
    ],
)  # fmt: skip
def test_direction(better: int, names: list[str]) -> None:
    assert [direction(name) for name in names] == [better] * len(names)


def test_metrics_import_neither_scikit_learn_nor_the_spec() -> None:
    """The spec takes its names of metrics from here."""
    heavy = {"sklearn", "pydantic", "trainer.spec"}
    code = f"import sys, trainer.metrics; assert not {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


# Classes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "logits", "numbers", "probabilities"),
    [
        (Classes(1), [[-1.0], [0.0], [800.0]], [[0], [0], [1]],
         [[1 / (1 + np.exp(-1)), 1 / (1 + np.e)], [0.5, 0.5], [0, 1]]),
        (Classes(2), [[1.0, 1.0], [-1.0, 1.0], [800.0, -800.0]], [[0], [1], [0]],
         [[0.5, 0.5], [1 / (1 + np.exp(2)), 1 / (1 + np.exp(-2))], [1, 0]]),
        (Classes(3), [[0.0, 2.0, 2.0], [0.0, 0.0, np.log(2)]], [[1], [2]],
         [np.exp([0, 2, 2]) / (1 + 2 * np.exp(2)), [0.25, 0.25, 0.5]]),
        (Classes(2, multi_label=True), [[0.0, np.log(3)], [-800.0, 800.0]], [[0, 1], [0, 1]],
         [[0.5, 0.75], [0, 1]]),
        (Classes(1, multi_label=True), [[np.log(3)]], [[1]], [[0.75]]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_classes_from_logits(
    classes: Classes, logits: list[Any], numbers: list[Any], probabilities: list[Any], dtype: str
) -> None:
    """The rule of `Classes`: the first largest; of one output, and of each label, what is above 0.

    Exported programs say it in their own words, and are held to `Model.predict`, which asks here.
    """
    found = np.array(logits, dtype)
    assert classes.predicted(found).astype(int).tolist() == numbers
    assert classes.probabilities(found).dtype == dtype
    np.testing.assert_allclose(
        classes.probabilities(found), probabilities, rtol=1e-6 if dtype == "float32" else 1e-15
    )
    y = np.array(numbers, dtype)
    if classes.exclusive:
        y = np.eye(classes.outputs, dtype=dtype)[np.array(numbers)[:, 0]]
    assert classes.right(y).astype(int).tolist() == numbers
    assert classes.hits(found, y).all()


# Values by hand ---------------------------------------------------------------------------------

ONE, TWO = Kind("logistic", 1), Kind("logistic", 2)
NUMBER = Kind("squared", 1)


@pytest.mark.parametrize(
    ("kind", "prediction", "y", "expected"),
    [
        (ONE, [], [], {}),
        (NUMBER, [], [], {}),
        # a logit of 0 is class 0; of equal logits the first is taken
        (ONE, [[0.1], [-0.1], [0.0], [2.0]], [[1], [0], [0], [0]],
         {"accuracy": 0.75, "balanced_accuracy": (1 + 2 / 3) / 2, "f1": (0.8 + 2 / 3) / 2,
          "auc": 2 / 3}),
        (TWO, [[1.0, 1.0], [1.0, 2.0]], [[1, 0], [0, 1]], {"accuracy": 1.0, "auc": 1.0}),
        (ONE, [[3.0], [3.0]], [[1], [0]], {"auc": 0.5, "accuracy": 0.5}),
        # far from 0, where the probability itself is 0 or 1
        (ONE, [[1000.0], [-1000.0]], [[0], [0]], {"log_loss": 500.0}),
        (TWO, [[1000.0, 0.0], [0.0, 1000.0]], [[0, 1], [0, 1]], {"log_loss": 500.0}),
        (ONE, [[40.0], [50.0]], [[0], [1]], {"auc": 1.0}),
        # what is not defined, or not finite, is left out
        (ONE, [[1.0], [2.0]], [[1], [1]], {"auc": None, "accuracy": 1.0, "f1": 1.0}),
        (ONE, [[np.nan], [2.0]], [[0], [1]], {"auc": None, "log_loss": None, "accuracy": 1.0}),
        (TWO, [[np.nan, 0.0], [2.0, 0]], [[0, 1], [1, 0]], {"auc": None, "log_loss": None}),
        (NUMBER, [[1.0]], [[3.0]], {"r2": None, "rmse": 2.0, "mae": 2.0}),
        (NUMBER, [[1e300], [1.0]], [[1.0], [2.0]], {"r2": None, "rmse": None, "mae": 5e299}),
        # targets that are all alike
        (NUMBER, [[2.0], [2.0]], [[2.0], [2.0]], {"r2": 1.0, "rmse": 0.0, "mae": 0.0}),
        (NUMBER, [[2.0], [4.0]], [[2.0], [2.0]], {"r2": 0.0, "rmse": 2**0.5, "mae": 1.0}),
        (NUMBER, [[2.0], [2.0]], [[1.0], [3.0]], {"r2": 0.0}),
    ],
)  # fmt: skip
def test_values_by_hand(
    kind: Kind, prediction: list[Any], y: list[Any], expected: dict[str, float | None]
) -> None:
    scores, shape = kind.scores(), (len(y), kind.outputs)
    scores.add(
        np.reshape(np.array(prediction, float), shape), np.reshape(np.array(y, float), shape)
    )
    found = scores.values()
    assert found or not expected
    for name, value in expected.items():
        assert found.get(name) == (None if value is None else pytest.approx(value, rel=1e-15)), name


def test_numbers_are_measured_in_the_units_of_the_target() -> None:
    prediction, y = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 1.0], [0.0, 3.0]])
    plain, decoded = Kind("squared", 2).scores(), Kind("squared", 2).scores(lambda a: a * 8 + 3)
    for scores in (plain, decoded):
        scores.add(prediction.astype(np.float32), y.astype(np.float32))
    before, after = plain.values(), decoded.values()
    assert after == {"r2": before["r2"], "rmse": 8 * before["rmse"], "mae": 8 * before["mae"]}


def test_weighted_targets_that_are_all_alike_have_no_spread() -> None:
    score, rng = R2(), np.random.default_rng(0)
    for _ in range(3):
        score.add(rng.normal(size=(7, 1)), np.full((7, 1), 0.1), rng.uniform(0.1, 3, (7, 1)))
    assert score.value() == 0.0


# Weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_weight_is_so_many_rows(kind: Kind) -> None:
    """Whole weights are as good as rows that stand several times; 0 as one that is not there."""
    prediction, y, _ = table(kind, 3)
    times = np.arange(len(y)) % 4
    weighted, repeated = kind.scores(), kind.scores()
    for rows in (slice(0, 1), slice(1, None)):  # the first row has the weight 0
        weighted.add(prediction[rows], y[rows], times[rows, None].astype(np.float32))
    repeated.add(prediction.repeat(times, axis=0), y.repeat(times, axis=0))
    assert weighted.values() == pytest.approx(repeated.values(), rel=1e-13)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_rows_that_count_nothing_have_no_metrics(kind: Kind) -> None:
    prediction, y, weight = table(kind, 4)
    scores = kind.scores()
    scores.add(prediction, y, weight * 0)
    assert scores.values() == {}


# The same bits ----------------------------------------------------------------------------------


def test_r2_and_accuracy_have_these_bits() -> None:
    """Without weights R² is made of these sums, and accuracy this quotient, to the last bit."""
    rng = np.random.default_rng(1)
    y, prediction = rng.normal(size=(500, 2)), rng.normal(size=(500, 2)).astype(np.float32)
    score, accuracy = R2(), scores_for("logistic", 2, ["accuracy"])
    for start in range(0, 500, 130):
        batch, guess = y[start : start + 130], prediction[start : start + 130]
        score.add(guess, batch)
        accuracy.add(guess, batch)
    errors, apart, squares = (
        column_sums(each) for each in ((y - prediction) ** 2, y - y[0], (y - y[0]) ** 2)
    )
    spread = squares - apart * apart / 500
    first, second = (1 - errors / spread).tolist()
    assert score.value() == (first + second) / 2
    right = int((prediction.argmax(axis=1) == y.argmax(axis=1)).sum())
    assert accuracy.values() == {"accuracy": right / 500}


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_state_goes_on_to_the_same_bits(kind: Kind, weighted: bool) -> None:
    """Through a file, as a checkpoint keeps it, and though arrays are overwritten afterwards."""
    prediction, y, weight = table(kind, 5)
    whole, resumed = kind.scores(), kind.scores()
    resumed.restore(load(save(whole.state())))  # before any row
    for rows in (slice(0, 20), slice(20, 41), slice(41, None)):
        batch = [array[rows].copy() for array in (prediction, y, weight)[: 2 + weighted]]
        before = kind.scores()
        before.restore(resumed.state())
        whole.add(*batch)
        before.add(*batch)
        for array in batch:
            array[:] = -7
        resumed = kind.scores()
        resumed.restore(load(save(before.state())))
    assert resumed.values() == whole.values() != {}
    state = whole.state()
    whole.add(prediction, y)
    assert {name: array.tobytes() for name, array in state.items()} == {
        name: array.tobytes() for name, array in resumed.state().items()
    }


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_no_cut_of_the_rows_shows(kind: Kind, weighted: bool) -> None:
    """Batches of any size give the same bits."""
    rows = list(table(kind, 6, rows=3000)[: 2 + weighted])
    rows[0] = rows[0] * np.float32(0.3)
    found = []
    for size in (3000, 100, 64, 1111):
        scores = kind.scores()
        for start in range(0, 3000, size):
            scores.add(*(array[start : start + size] for array in rows))
        found.append(scores.values())
    assert found[1:] == found[:1] * 3


ROWS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 2)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 9), st.sampled_from(["two classes",
       "labels", "three"]))  # fmt: skip
def test_counts_and_ranks_know_no_order(rows: list[Any], rng: Any, size: int, name: str) -> None:
    """Without weights every metric but log_loss has the same bits in any order and batches."""
    names = [name for name in OF_CLASSES if name != "log_loss"]
    outputs = {"two classes": 1, "labels": 2, "three": 3}[name]

    def values(rows: list[Any], size: int) -> dict[str, float]:
        scores = scores_for("logistic", outputs, names, multi_label=name == "labels")
        for start in range(0, len(rows), size):
            batch = np.array(rows[start : start + size], dtype=np.float32)
            right = np.eye(3)[batch[:, 2].astype(int)]
            logits = np.concatenate([batch[:, :2], batch[:, :1] * batch[:, 1:2]], axis=1)
            scores.add(logits[:, :outputs], right[:, :outputs])
        return scores.values()

    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert values(shuffled, size) == values(rows, max(1, len(rows)))
