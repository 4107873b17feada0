"""Every metric of the rows of a file, against scikit-learn, and by class, label or target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from trainer.data.columns.table import plain_columns
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.preparing.scaling import Scaling
from trainer.graph.ops import OPS
from trainer.metrics import fitting_metrics
from trainer.network.scoring import score_rows
from trainer.spec.layers import LossSpec

RNG = np.random.default_rng(2)
WEIGHTS = RNG.uniform(0.1, 3, (50, 1))


def how(outputs: int, targets: tuple[str, ...] = ("t",), **more: Any) -> Preprocessing:
    more = {"classes": None} | more
    return Preprocessing(plain_columns(["a"]), targets, outputs=outputs, dtype="float32", **more)


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
@pytest.mark.parametrize("labels", [("no", "yes"), (3, 1, 2)], ids=["two", "three"])
def test_classes(labels: tuple[Any, ...], weight: Any) -> None:
    outputs = 1 if len(labels) == 2 else 3
    logits = RNG.normal(size=(50, outputs)).astype(np.float32)
    right = RNG.integers(0, len(labels), 50)
    found = score_rows(
        LossSpec(loss="logistic"), how(outputs, classes=labels), logits, right, weight
    )
    kinds = ("precision", "recall", "f1", "rows")
    by_class = [f"{kind}/{label}" for label in labels for kind in kinds]
    assert list(found) == ["loss", *fitting_metrics("logistic"), *by_class]
    each = None if weight is None else weight[:, 0]
    guess = logits[:, 0] > 0 if outputs == 1 else logits.argmax(axis=1)
    expected = sk.precision_recall_fscore_support(right, guess, sample_weight=each)
    for i, label in enumerate(labels):
        for kind, values in zip(kinds[:3], expected, strict=False):
            assert found[f"{kind}/{label}"] == pytest.approx(values[i])
        assert found[f"rows/{label}"] == (right == i).sum()
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(right, guess, sample_weight=each))
    assert found["loss"] == pytest.approx(found["log_loss"])


def test_labels() -> None:
    logits, right = RNG.normal(size=(50, 2)), RNG.integers(0, 2, (50, 2)).astype(float)
    model = LossSpec(loss="logistic", multi_label=True)
    found = score_rows(model, how(2, ("wet", "cold"), multi_label=True), logits, right)
    expected = sk.precision_recall_fscore_support(right, logits > 0)
    for i, label in enumerate(("wet", "cold")):
        kinds = ("precision", "recall", "f1", "rows")
        assert [found[f"{kind}/{label}"] for kind in kinds] == pytest.approx(
            [e[i] for e in expected]
        )
    assert found["auc"] == pytest.approx(sk.roc_auc_score(right, logits))
    assert found["accuracy"] == pytest.approx(1 - sk.hamming_loss(right, logits > 0))
    assert found["loss"] == pytest.approx(found["log_loss"])
    assert found["log_loss"] == pytest.approx(
        np.mean([sk.log_loss(right[:, i], OPS["sigmoid"].forward(logits[:, i])) for i in (0, 1)])
    )


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["plain", "weighted"])
def test_scaled_targets_are_measured_in_their_units(weight: Any) -> None:
    """`loss` is that of training, of scaled numbers; all else is in the target's units."""
    scaled, right = RNG.normal(size=(50, 2)), RNG.normal(size=(50, 2)) * 10
    scaling = Scaling(shift=np.array([5.0, 0.0]), scale=np.array([10.0, 2.0]))
    each = None if weight is None else weight[:, 0]
    found = score_rows(LossSpec(loss="squared"), how(2, ("p", "q"), target_scaling=scaling),
                       scaled, right, weight)  # fmt: skip
    names = fitting_metrics("squared")
    assert list(found) == ["loss", *names, *(f"{m}/{t}" for t in "pq" for m in names)]
    guess = scaled * [10, 2] + [5, 0]
    assert found["rmse"] == pytest.approx(
        sk.root_mean_squared_error(right, guess, sample_weight=each)
    )
    for i, target in enumerate("pq"):
        pair = right[:, i], guess[:, i]
        assert found[f"mae/{target}"] == pytest.approx(
            sk.mean_absolute_error(*pair, sample_weight=each)
        )
        assert found[f"r2/{target}"] == pytest.approx(sk.r2_score(*pair, sample_weight=each))
    assert found["loss"] == pytest.approx(
        sk.mean_squared_error((right - [5, 0]) / [10, 2], scaled, sample_weight=each)
    )


def test_the_loss_is_the_one_that_was_trained() -> None:
    """Huber's with its delta, the cross-entropy with smoothed targets; one target has no table."""
    guess, right = np.array([[0.0], [0.0]]), np.array([[1.0], [10.0]])
    found = score_rows(LossSpec(loss="huber", huber_delta=2.0), how(1), guess, right)
    assert found["loss"] == (0.5 + 2 * (10 - 1)) / 2
    assert list(found) == ["loss", *fitting_metrics("huber")]
    model = LossSpec(loss="logistic", label_smoothing=0.5)
    found = score_rows(model, how(1, classes=(0, 1)), np.array([[3.0]]), np.array([1]))
    assert found["loss"] == pytest.approx(np.log1p(np.exp(3)) - 3 * 0.75)
    assert found["log_loss"] == pytest.approx(np.log1p(np.exp(-3)))


def test_what_is_not_defined_is_left_out() -> None:
    found = score_rows(LossSpec(loss="squared"), how(1), np.array([[1e300]]), np.array([[1.0]]))
    assert list(found) == ["mae"]
