"""Metrics of numbers: R², and the errors that `Mean` takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trainer.graph.ops import Array
from trainer.metrics.score import total_weight


def squared_errors(prediction: Array, y: Array) -> Array:
    """(y - ŷ)² in float64, of shape (rows, outputs)."""
    return np.square(y.astype(np.float64) - prediction)


def absolute_errors(prediction: Array, y: Array) -> Array:
    """|y - ŷ| in float64, of shape (rows, outputs)."""
    return np.abs(y.astype(np.float64) - prediction)


class R2:
    """The coefficient of determination, 1 - Σ(y - ŷ)² / Σ(y - mean y)², averaged over outputs.

    As scikit-learn's `r2_score`: an output whose targets are all alike scores 1 when it is met
    exactly, else 0; fewer than two rows have no score.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._weight = 0.0
        self._errors: Array = np.zeros(1)
        self._mean: Array = np.zeros(1)
        self._spread: Array = np.zeros(1)

    def add(self, prediction: Array, y: Array, weight: Array | None = None) -> None:
        """Adds the squared errors and the spread of some rows, in float64.

        Spreads of groups are merged as by Chan, Golub and LeVeque, "Updating formulae and a
        pairwise algorithm for computing sample variances", 1979.
        """
        self._rows += len(y)
        here = total_weight(y, weight)
        if here == 0:
            return
        target, total = y.astype(np.float64), self._weight + here
        mean = _mean(target, weight)
        apart = mean - self._mean
        with np.errstate(all="ignore"):  # what overflows has no finite score
            errors, spread = np.square(target - prediction), np.square(target - mean)
            if weight is not None:
                errors, spread = errors * weight, spread * weight
            self._errors = self._errors + errors.sum(axis=0)
            between = np.square(apart) * (self._weight * here / total)
            self._spread = self._spread + spread.sum(axis=0) + between
        self._mean = self._mean + apart * (here / total)
        self._weight = total

    def state(self) -> Mapping[str, Array]:
        """The number of rows and what they weigh, and by output the errors, the mean and the
        spread.
        """
        return {"rows": np.array(self._rows), "weight": np.array(self._weight),
                "errors": self._errors, "mean": self._mean, "spread": self._spread}  # fmt: skip

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes these sums."""
        self._rows, self._weight = int(state["rows"]), float(state["weight"])
        self._errors, self._mean, self._spread = state["errors"], state["mean"], state["spread"]

    def value(self) -> float | None:
        """1 where every target is met, 0 for a constant guess at the mean, below 0 for worse."""
        if self._rows < 2 or self._weight == 0:
            return None
        with np.errstate(all="ignore"):
            scores = 1 - self._errors / self._spread
        scores = np.where(self._spread > 0, scores, np.where(self._errors > 0, 0.0, 1.0))
        return float(scores.mean())


def _mean(target: Array, weight: Array | None) -> Array:
    """The mean by output. With weights it is taken from the first row, so that targets that are
    all alike have exactly no spread.
    """
    if weight is None:
        return np.asarray(target.mean(axis=0))
    weight = weight.astype(np.float64)
    apart = ((target - target[0]) * weight).sum(axis=0)
    return np.asarray(target[0] + apart / weight.sum())
