"""What every metric can do, several at once, and the metrics that are means over rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Protocol

import numpy as np

from trainer.graph.ops import Array


class Score(Protocol):
    """Collects predictions batch by batch; `value` is the metric of all of them."""

    def add(self, prediction: Array, y: Array, weight: Array | None = None) -> None:
        """Takes the predictions and targets of some rows, both of shape (rows, outputs), and how
        much each row counts, of shape (rows, 1); without it each counts 1.
        """

    def value(self) -> float | None:
        """The metric so far, or None where it is not defined."""

    def state(self) -> Mapping[str, Array]:
        """What it collected, as C-contiguous arrays that later rows do not change."""

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes what another score collected."""


class Scores:
    """Several metrics of the same rows, by name. `decode` brings predictions and targets, of shape
    (rows, outputs) and in float64, to the units in which they are measured.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Score]],
        decode: Callable[[Array], Array] | None = None,
    ) -> None:
        self._makers = makers
        self._scores = {name: make() for name, make in makers.items()}
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


class Mean:
    """The mean over rows of `each` by column, then `finish` of it, then the mean over columns.

    `each` gives a figure for every row and column, of shape (rows, columns), from predictions and
    targets. Figures that are whole, and without weights, are added exactly.
    """

    def __init__(
        self,
        each: Callable[[Array, Array], Array],
        finish: Callable[[Array], Array] = np.asarray,
    ) -> None:
        self._each, self._finish = each, finish
        self._total: Array = np.zeros(1, np.int64)
        self._weight = 0.0

    def add(self, prediction: Array, y: Array, weight: Array | None = None) -> None:
        """Adds the figures of some rows."""
        with np.errstate(all="ignore"):  # what overflows has no finite mean
            each = self._each(prediction, y)
            if weight is not None:
                each = each * weight.astype(np.float64)
            one = each.dtype == bool and each.shape[1] == 1  # quickly: it is asked for at each call
            self._total = self._total + (np.count_nonzero(each) if one else each.sum(axis=0))
        self._weight += total_weight(y, weight)

    def state(self) -> Mapping[str, Array]:
        """The sums by column, and what the rows weigh."""
        return {"total": self._total, "weight": np.array(self._weight)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes these sums."""
        self._total, self._weight = state["total"], float(state["weight"])

    def value(self) -> float | None:
        """The mean; None without rows that count."""
        if self._weight == 0:
            return None
        if self._total.shape == (1,) and self._finish is np.asarray:
            return float(self._total[0]) / self._weight
        with np.errstate(all="ignore"):
            found = self._finish(self._total / self._weight)
            return float(np.add.reduce(found) / len(found))  # `mean` takes several times as long


def total_weight(y: Array, weight: Array | None) -> float:
    """What the rows weigh together: without weights their number."""
    return float(len(y) if weight is None else weight.sum(dtype=np.float64))
