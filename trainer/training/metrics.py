"""How well predictions fit their targets: accuracy for classes, R² for numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from trainer.graph.ops import Array


class Score(Protocol):
    """Collects predictions batch by batch; `value` is the score of all of them."""

    name: str

    def add(self, prediction: Array, y: Array) -> None:
        """Takes the predictions and targets of some rows, both of shape (rows, outputs)."""

    def value(self) -> float | None:
        """The score so far, or None where it is not defined."""

    def state(self) -> Mapping[str, Array]:
        """What it collected, as arrays."""

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes what another score collected."""


class Accuracy:
    """The fraction of rows whose most probable class is the right one.

    Predictions are logits: of one output, the class is 1 where the logit is above 0; of
    several, the first largest.
    """

    name = "accuracy"

    def __init__(self) -> None:
        self._right = 0
        self._rows = 0

    def add(self, prediction: Array, y: Array) -> None:
        """Counts the rows that are right."""
        if y.shape[1] == 1:
            right = (prediction > 0) == (y > 0.5)
        else:
            right = prediction.argmax(axis=1) == y.argmax(axis=1)
        self._right += int(right.sum())
        self._rows += len(y)

    def state(self) -> Mapping[str, Array]:
        """The counts of right rows and of rows."""
        return {"right": np.array(self._right), "rows": np.array(self._rows)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes these counts."""
        self._right, self._rows = int(state["right"]), int(state["rows"])

    def value(self) -> float | None:
        """Right rows by all rows."""
        return self._right / self._rows if self._rows else None


class R2:
    """The coefficient of determination, 1 - Σ(y - ŷ)² / Σ(y - mean y)², averaged over outputs.

    As scikit-learn's `r2_score`: an output whose targets are all alike scores 1 when it is met
    exactly, else 0; fewer than two rows have no score.
    """

    name = "r2"

    def __init__(self) -> None:
        self._rows = 0
        self._errors: Array = np.zeros(1)
        self._mean: Array = np.zeros(1)
        self._spread: Array = np.zeros(1)

    def add(self, prediction: Array, y: Array) -> None:
        """Adds the squared errors and the spread of some rows, in float64.

        Spreads of groups are merged as by Chan, Golub and LeVeque, "Updating formulae and a
        pairwise algorithm for computing sample variances", 1979.
        """
        target = y.astype(np.float64)
        mean, rows = target.mean(axis=0), self._rows + len(y)
        apart = mean - self._mean
        with np.errstate(all="ignore"):  # what overflows has no finite score
            self._errors = self._errors + np.square(target - prediction).sum(axis=0)
            within = np.square(target - mean).sum(axis=0)
            between = np.square(apart) * (self._rows * len(y) / rows)
            self._spread = self._spread + within + between
        self._mean = self._mean + apart * (len(y) / rows)
        self._rows = rows

    def state(self) -> Mapping[str, Array]:
        """The number of rows, and by output the errors, the mean and the spread."""
        return {"rows": np.array(self._rows), "errors": self._errors, "mean": self._mean,
                "spread": self._spread}  # fmt: skip

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes these sums."""
        self._rows = int(state["rows"])
        self._errors, self._mean, self._spread = state["errors"], state["mean"], state["spread"]

    def value(self) -> float | None:
        """1 where every target is met, 0 for a constant guess at the mean, below 0 for worse."""
        if self._rows < 2:
            return None
        with np.errstate(all="ignore"):
            scores = 1 - self._errors / self._spread
        scores = np.where(self._spread > 0, scores, np.where(self._errors > 0, 0.0, 1.0))
        return float(scores.mean())


def score_for(loss: str) -> Score:
    """An empty score of the kind that fits the loss."""
    return Accuracy() if loss == "logistic" else R2()
