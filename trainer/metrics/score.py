"""What every metric can do, several at once, and the metrics that are means over rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Protocol

import numpy as np

from trainer.graph.ops import Array
from trainer.numerics.sums import Sum, mean


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
    (rows, outputs) and in float64, to the units in which they are measured, each by itself.
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
            both = self._decode(np.concatenate([prediction, y]).astype(np.float64))
            prediction, y = both[: len(y)], both[len(y) :]
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
            key: array
            for name, score in self._scores.items()
            for key, array in named(score.state(), name).items()
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        """Goes on where `state` was taken, of scores with the same metrics: to the same bits."""
        for name, score in self._scores.items():
            score.restore(part(state, name))


class Mean:
    """The mean over rows of `each` by column, then `finish` of it, then the mean over columns.

    `each` gives a figure for every row and column, of shape (rows, columns), from predictions and
    targets. Where it is true or false, and without weights, rows are counted.
    """

    def __init__(
        self,
        each: Callable[[Array, Array], Array],
        finish: Callable[[Array], Array] = np.asarray,
    ) -> None:
        self._each, self._finish = each, finish
        self._count: Array = np.zeros(1, np.int64)
        self._sum: Sum | None = None
        self._weight = Weight()

    def add(self, prediction: Array, y: Array, weight: Array | None = None) -> None:
        """Adds the figures of some rows."""
        with np.errstate(all="ignore"):  # what overflows has no finite mean
            each = self._each(prediction, y)
            if weight is None and each.dtype == bool:
                one = each.shape[1] == 1  # quickly: it is asked for at each call
                self._count = self._count + np.count_nonzero(each, axis=None if one else 0)
            else:
                self._sum = self._sum or Sum(each.shape[1])
                self._sum.add(each if weight is None else each * weight.astype(np.float64))
        self._weight.add(y, weight)

    def state(self) -> Mapping[str, Array]:
        """The counts or sums by column, and what the rows weigh."""
        kept = named(self._sum.state(), "sum") if self._sum else {"count": self._count}
        return kept | named(self._weight.state(), "weight")

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes these sums."""
        if "count" in state:
            self._count, self._sum = state["count"], None
        else:
            self._sum = Sum.of(part(state, "sum"))
        self._weight.restore(part(state, "weight"))

    def value(self) -> float | None:
        """The mean; None without rows that count."""
        weight = self._weight.value()
        if weight == 0:
            return None
        with np.errstate(all="ignore"):
            total = self._sum.value() if self._sum else self._count
            found = self._finish(total / weight)
            return float(found[0]) if len(found) == 1 else mean(found)


class Weight:
    """What rows weigh together: without weights their number."""

    def __init__(self) -> None:
        self._rows = 0
        self._sum: Sum | None = None

    def add(self, y: Array, weight: Array | None) -> None:
        """Takes some rows."""
        if weight is None:
            self._rows += len(y)
        else:
            self._sum = self._sum or Sum()
            self._sum.add(weight)

    def value(self) -> float:
        """The weight so far."""
        return self._rows + (float(self._sum.value()) if self._sum else 0.0)

    def state(self) -> Mapping[str, Array]:
        """The number of rows without weights, and the sum of the others' weights."""
        return {"rows": np.array(self._rows), **(self._sum.state() if self._sum else {})}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes these."""
        self._rows = int(state["rows"])
        self._sum = Sum.of(state) if "rest" in state else None


def named(state: Mapping[str, Array], name: str) -> dict[str, Array]:
    """A state as a part of another: `<name>/<array>`."""
    return {f"{name}/{key}": value for key, value in state.items()}


def part(state: Mapping[str, Array], name: str) -> dict[str, Array]:
    """That part of a state again."""
    start = f"{name}/"
    return {key.removeprefix(start): state[key] for key in state if key.startswith(start)}
