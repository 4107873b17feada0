"""How well predictions fit their targets: metrics that are collected batch by batch.

Each is what scikit-learn's function computes, with its `sample_weight` where rows have weights;
scikit-learn itself takes a second to import. Predictions are the outputs of the network: logits
for classes, numbers otherwise. Targets are columns of y, as the loss takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Final

import numpy as np

from trainer.graph.ops import Array
from trainer.metrics.classes import Auc, Classes, OfCounts, balanced_accuracy, mean_f1
from trainer.metrics.numbers import R2, absolute_errors, squared_errors
from trainer.metrics.score import Mean, Score
from trainer.spec.schema import METRICS, OF_CLASSES, OF_NUMBERS

__all__ = ["R2", "Score", "Scores", "default_metric", "fitting_metrics", "scores_for"]

_SCORES: Final[Mapping[str, Callable[[Classes], Score]]] = {
    "accuracy": lambda of: Mean("accuracy", of.hits),
    "balanced_accuracy": lambda of: OfCounts("balanced_accuracy", of, balanced_accuracy),
    "f1": lambda of: OfCounts("f1", of, mean_f1),
    "auc": Auc,
    "log_loss": lambda of: Mean("log_loss", of.cross_entropy),
    "r2": lambda _: R2(),
    "rmse": lambda _: Mean("rmse", squared_errors, np.sqrt),
    "mae": lambda _: Mean("mae", absolute_errors),
}


class Scores:
    """Several metrics of the same rows. `decode` brings predictions and targets, of shape (rows,
    outputs) and in float64, to the units in which they are measured.
    """

    def __init__(
        self,
        makers: Sequence[Callable[[], Score]],
        decode: Callable[[Array], Array] | None = None,
    ) -> None:
        self._makers = makers
        self._scores = {score.name: score for score in (make() for make in makers)}
        self._decode = decode

    def fresh(self) -> Scores:
        """Empty scores of the same metrics."""
        return Scores(self._makers, self._decode)

    def add(self, prediction: Array, y: Array, weight: Array | None = None) -> None:
        """Takes the predictions and targets of some rows, both of shape (rows, outputs), and how
        much each row counts, of shape (rows, 1); without it each counts 1.
        """
        if not len(y):
            return
        if self._decode is not None:
            prediction = self._decode(prediction.astype(np.float64))
            y = self._decode(y.astype(np.float64))
        for score in self._scores.values():
            score.add(prediction, y, weight)

    def values(self) -> dict[str, float]:
        """The metrics of all rows so far that are defined and finite, in the order of METRICS."""
        found = {name: score.value() for name, score in self._scores.items()}
        return {
            name: value for name, value in found.items() if value is not None and isfinite(value)
        }

    def state(self) -> dict[str, Array]:
        """What the metrics collected, as arrays by `<metric>/<array>`."""
        return {
            f"{name}/{part}": array
            for name, score in self._scores.items()
            for part, array in score.state().items()
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Goes on where `state` was taken, of scores with the same metrics: to the same bits."""
        for name, score in self._scores.items():
            parts = [key for key in state if key.startswith(f"{name}/")]
            score.restore({key.removeprefix(f"{name}/"): state[key] for key in parts})


def scores_for(
    loss: str,
    outputs: int,
    names: Sequence[str],
    *,
    multi_label: bool = False,
    decode: Callable[[Array], Array] | None = None,
) -> Scores:
    """Empty scores of the metrics `names` for a network with so many outputs.

    With `multi_label` each output is a yes or no: accuracy and log_loss are means over rows and
    outputs, the others over outputs. `decode` is for numbers: it brings them back to the target's
    units. Raises `ValueError` for names that do not fit the loss.
    """
    unfit = [name for name in names if name not in fitting_metrics(loss)]
    if unfit:
        raise ValueError(f"no metrics of the loss '{loss}': {', '.join(unfit)}")
    classes = Classes(outputs, multi_label)
    makers = [partial(_SCORES[name], classes) for name in METRICS if name in names]
    return Scores(makers, decode)


def fitting_metrics(loss: str) -> tuple[str, ...]:
    """The metrics that fit a loss: those of classes, or those of numbers."""
    return OF_CLASSES if loss == "logistic" else OF_NUMBERS


def default_metric(loss: str) -> str:
    """The metric that is always measured: `accuracy` of classes, `r2` of numbers."""
    return fitting_metrics(loss)[0]
