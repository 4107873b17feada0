"""Metrics of numbers: R², and the errors that `Mean` takes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trainer.graph.ops import Array
from trainer.metrics.score import Weight, named, part
from trainer.numerics.sums import Sum, mean


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
        self._weight = Weight()
        self._from: Array | None = None  # the first target that counts: spreads are seen from it
        self._sums = Sum()  # of the errors, the targets and their squares, side by side

    def add(self, prediction: Array, y: Array, weight: Array | None = None) -> None:
        """Adds the squared errors and the spread of some rows, in float64.

        Where all targets are alike they are all 0 from the first, and so have exactly no spread.
        """
        self._rows += len(y)
        self._weight.add(y, weight)
        target = y.astype(np.float64)
        if weight is not None:
            counts = weight[:, 0] > 0
            target, prediction, weight = target[counts], prediction[counts], weight[counts]
        if not len(target):
            return
        if self._from is None:
            self._from = target[0].copy()
            self._sums = Sum(3 * target.shape[1])
        with np.errstate(all="ignore"):  # what overflows has no finite score
            error, apart = target - prediction, target - self._from
            each = np.concatenate([error * error, apart, apart * apart], axis=1)
            self._sums.add(each if weight is None else each * weight.astype(np.float64))

    def state(self) -> Mapping[str, Array]:
        """The number of rows and what they weigh; where a target counts, that, and the sums."""
        kept = {"rows": np.array(self._rows), **named(self._weight.state(), "weight")}
        if self._from is None:
            return kept
        return {"from": self._from, **kept, **named(self._sums.state(), "sums")}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes these sums."""
        self._rows, self._from = int(state["rows"]), state.get("from")
        self._weight.restore(part(state, "weight"))
        if self._from is not None:
            self._sums = Sum.of(part(state, "sums"))

    def value(self) -> float | None:
        """1 where every target is met, 0 for a constant guess at the mean, below 0 for worse."""
        weight = self._weight.value()
        if self._rows < 2 or weight == 0:
            return None
        errors, apart, squares = self._sums.value().reshape(3, -1)
        with np.errstate(all="ignore"):
            spread = _spread(squares, apart, weight)
            scores = 1 - errors / spread
        return mean(np.where(spread > 0, scores, np.where(errors > 0, 0.0, 1.0)))


def _spread(squares: Array, apart: Array, weight: float) -> Array:
    """Σ(y - mean y)², from the sums of the squares of y and of y, both less the same number."""
    return np.maximum(squares - apart * apart / weight, 0.0)
