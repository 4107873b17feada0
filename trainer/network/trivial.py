"""The trivial result: what one says who knows the training targets and no feature.

Every row is told the same. Of classes these are their frequencies: the most frequent one is said,
with each one's share as its probability. Of numbers it is the mean, for the loss in the scale of
the loss and for metrics in the units of the target; where the loss is `huber` the median. Rows
count as they do for the loss, and for metrics as they do there. scikit-learn's Dummy estimators
(`prior`, `mean`, `median`) say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from trainer.data import AnyPart, Dataset, Preprocessing, rows_at_a_time
from trainer.graph.ops import Array
from trainer.metrics import Classes, Scores
from trainer.metrics.score import Weight
from trainer.network.scoring import losses_of
from trainer.numerics.functions import log, log1p
from trainer.numerics.statistics import median
from trainer.numerics.sums import Sum
from trainer.spec.layers import LossSpec
from trainer.spec.schema import Spec

GATHERED: Final = 2**21  # bytes of rows at a time
ROWS: Final = 2**20  # of which a median is taken; of more, evenly spaced ones
LEAST: Final = float(np.finfo(np.float64).eps)  # a probability, as in scikit-learn's log loss


@dataclass(frozen=True)
class Trivial:
    """The outputs that a network would give for each row: those with the least loss, and those by
    which metrics are measured. Logits of classes; numbers in the scale of y.
    """

    loss: tuple[float, ...]
    metrics: tuple[float, ...]

    def rows(self, count: int, of: Sequence[float]) -> Array:
        """One of both for so many rows, of shape (rows, outputs)."""
        return np.broadcast_to(np.array(of), (count, len(of)))

    def measure(
        self, model: LossSpec, part: AnyPart, scores: Scores, weighs_scores: bool
    ) -> dict[str, float]:
        """`loss` and the metrics of `scores`, which are empty, on the rows of a part."""
        losses, width = Sum(), 1
        for rows in _pieces(part):
            y, weight = rows["y"].astype(np.float64), rows.get("weight")
            each = losses_of(model, self.rows(len(y), self.loss), y, weight)
            width = each.size // len(each)
            losses.add(each)
            scores.add(self.rows(len(y), self.metrics), y, weight if weighs_scores else None)
        return {"loss": float(losses.value()) / (width * len(part)), **scores.values()}

    def says(self, model: LossSpec, how: Preprocessing) -> str:
        """What is said of every row, in words."""
        logits = self.rows(1, self.metrics)
        if how.classes is not None:
            number = int(Classes(how.outputs).predicted(logits)[0, 0])
            return f"always saying {how.classes[number]!r}"
        if how.multi_label:
            return "always saying of each label what is more frequent"
        what = "median" if model.loss == "huber" else "mean"
        if how.outputs > 1:
            return f"always saying the {what}s"
        return f"always saying the {what}, {how.decode_target(logits)[0, 0]:.4g},"

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Trivial:
        """What `as_json` gave."""
        loss, metrics = (tuple(map(float, found[name])) for name in ("loss", "metrics"))
        return cls(loss, metrics)


def fit_trivial(spec: Spec, dataset: Dataset, weighs_scores: bool) -> Trivial:
    """The trivial result of the training rows. `weighs_scores` tells whether metrics count rows by
    their weights.
    """
    how, model, train = dataset.preprocessing, spec.model, dataset.train
    if model.loss == "huber":
        rows = train.take(np.arange(min(len(train), ROWS)) * len(train) // min(len(train), ROWS))
        median = _medians(rows["y"].astype(np.float64), rows.get("weight"))
        return Trivial(median, median)
    if model.loss == "squared":
        units = _mean(train, weighs_scores, lambda y: how.decode_target(y))
        metrics = how.encode_target(units[None])[0]
        return Trivial(tuple(_mean(train, True, lambda y: y).tolist()), tuple(metrics.tolist()))
    by_loss, by_metrics = (_mean(train, weighs, lambda y: y) for weighs in (True, weighs_scores))
    exclusive = how.outputs > 1 and not model.multi_label
    s, classes = model.label_smoothing, how.outputs if exclusive else 2
    smoothed = by_loss * (1 - s) + s / classes
    return Trivial(_logits(smoothed, exclusive), _logits(by_metrics, exclusive))


def _pieces(part: AnyPart) -> Iterator[dict[str, Array]]:
    size = rows_at_a_time(part, 1, GATHERED)
    for start in range(0, len(part), size):
        yield part.span(start, start + size)


def _mean(part: AnyPart, weighs: bool, units: Callable[[Array], Array]) -> Array:
    """The mean of each column of y, in other units, of shape (outputs,)."""
    sums, weights = None, Weight()
    for rows in _pieces(part):
        y, weight = units(rows["y"].astype(np.float64)), rows.get("weight") if weighs else None
        if weight is not None:
            y = y * weight.astype(np.float64)
        sums = sums or Sum(y.shape[1])
        sums.add(y)
        weights.add(y, weight)
    assert sums is not None  # there are training rows
    return np.asarray(sums.value() / weights.value())


def _logits(share: Array, exclusive: bool) -> tuple[float, ...]:
    """The logits with which classes have these shares."""
    p = np.clip(share, LEAST, 1 - LEAST)
    return tuple((log(p) if exclusive else log(p) - log1p(-p)).tolist())


def _medians(y: Array, weight: Array | None) -> tuple[float, ...]:
    """The median of each column; with weights the least value at which half the weight is."""
    if weight is None:
        return tuple(median(column) for column in y.T)
    found = []
    for column in y.T:
        order = np.argsort(column, kind="stable")
        below = np.cumsum(weight[order, 0], dtype=np.float64)
        found.append(float(column[order[np.searchsorted(below, below[-1] / 2)]]))
    return tuple(found)
