"""How logits tell classes, and metrics of classes: what is counted by class, and the area under
the ROC curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from trainer.graph.ops import OPS, Array
from trainer.numerics.functions import log_softmax, logistic_loss, softmax
from trainer.numerics.sums import mean, row_sums, total


@dataclass(frozen=True)
class Classes:
    """How classes are told from logits of shape (rows, outputs), and probabilities.

    Of several outputs the class is the first largest, and softmax gives the probabilities. One
    output tells two classes apart: the class is 1 where it is above 0, with the probability
    sigmoid(z). With `multi_label` each output is such a yes or no of its own. Of two classes the
    second can be said from another logit than 0 on, the `cut`.

    All that speaks of classes asks here; exported programs say the same in their own words.
    """

    outputs: int
    multi_label: bool = False
    cut: float = 0.0

    @property
    def exclusive(self) -> bool:
        """Whether each output stands for a class, of which one is right."""
        return self.outputs > 1 and not self.multi_label

    @property
    def shape(self) -> tuple[int, int]:
        """The number of labels that a row has, and of classes that each label can be."""
        return (1, self.outputs) if self.exclusive else (self.outputs, 2)

    def predicted(self, logits: Array) -> Array:
        """The numbers of the predicted classes, of shape (rows, labels); of two as booleans."""
        if not self.exclusive:
            return np.asarray(logits > self.cut)
        if self.outputs == 2 and self.cut:
            return (self.margins(logits) > self.cut).astype(np.intp)[:, None]
        return np.asarray(logits.argmax(axis=1)[:, None])

    def margins(self, logits: Array) -> Array:
        """Of two classes the logits of the second, of shape (rows,)."""
        return np.asarray(logits[:, 0] if self.outputs == 1 else logits[:, 1] - logits[:, 0])

    def right(self, y: Array) -> Array:
        """The numbers of the right classes, likewise, for targets as the loss takes them."""
        return y.argmax(axis=1)[:, None] if self.exclusive else y > 0.5

    def probabilities(self, logits: Array) -> Array:
        """The probability of each class, of shape (rows, classes); of several labels that of each,
        of shape (rows, labels).
        """
        if self.exclusive:
            return OPS["softmax"].forward(logits)
        sigmoid = OPS["sigmoid"].forward
        if self.multi_label:
            return sigmoid(logits)
        return np.concatenate([sigmoid(-logits), sigmoid(logits)], axis=1)

    def hits(self, logits: Array, y: Array) -> Array:
        """Which predicted classes are right, of shape (rows, labels)."""
        return np.asarray(self.predicted(logits) == self.right(y))

    def cross_entropy(self, logits: Array, y: Array) -> Array:
        """-log of the probability of the right class, in float64, of shape (rows, labels)."""
        logits, right = logits.astype(np.float64), self.right(y)
        if self.exclusive:
            return -np.take_along_axis(log_softmax(logits), right, axis=1)
        return logistic_loss(logits, right)


# Counts -----------------------------------------------------------------------------------------


class Counts:
    """How many rows of each class there are, are predicted, and are predicted rightly; with
    weights, what these rows weigh. All of shape (labels, classes).
    """

    def __init__(self, classes: Classes) -> None:
        self.classes = classes
        self.true = self.predicted = self.right = np.zeros(classes.shape, np.int64)

    def add(self, prediction: Array, y: Array, weight: Array | None = None) -> None:
        """Counts some rows."""
        predicted, right = self.classes.predicted(prediction), self.classes.right(y)
        _, count = self.classes.shape
        hits = np.where(predicted == right, right, count)  # misses go to a class of their own
        self.true = _count(self.true, right, weight)
        self.predicted = _count(self.predicted, predicted, weight)
        self.right = _count(self.right, hits, weight)

    @property
    def precision(self) -> Array:
        """Of the rows predicted as a class, the part that is of it; 0 where there are none."""
        return _ratio(self.right, self.predicted)

    @property
    def recall(self) -> Array:
        """Of the rows of a class, the part predicted as it; 0 where there are none."""
        return _ratio(self.right, self.true)

    @property
    def f1(self) -> Array:
        """The harmonic mean of precision and recall; 0 where neither is defined."""
        return _ratio(2 * self.right, self.true + self.predicted)


def _count(before: Array, numbers: Array, weight: Array | None) -> Array:
    """How often each number has occurred in each column, or what such rows weigh: of shape (labels,
    classes), for numbers of shape (rows, labels). A class beyond those is not counted.

    Weights are one chain of additions a class, which goes on from piece to piece.
    """
    classes, columns = before.shape[1], numbers.astype(np.intp).T
    if weight is None:
        return before + np.stack([np.bincount(c, None, classes)[:classes] for c in columns])
    first = np.arange(classes)
    return np.stack([
        np.bincount(np.append(first, column), np.append(some, weight[:, 0]))[:classes]
        for column, some in zip(columns, before, strict=True)
    ])  # fmt: skip


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros(whole.shape), where=whole > 0)


def balanced_accuracy(counts: Counts) -> float | None:
    """The mean recall of the classes that occur, then the mean over labels."""
    occurs = counts.true > 0
    if not occurs.any():
        return None
    return mean(row_sums(counts.recall) / np.count_nonzero(occurs, axis=1))


def mean_f1(counts: Counts) -> float | None:
    """The mean F1 of the classes that occur or are predicted; of several labels that of yes."""
    occurs = counts.true + counts.predicted > 0
    if not occurs.any():
        return None
    if counts.classes.multi_label:
        return mean(counts.f1[:, 1])
    return mean(counts.f1[occurs])


class OfCounts:
    """A metric that follows from the counts by class."""

    def __init__(self, classes: Classes, value: Callable[[Counts], float | None]) -> None:
        self._counts, self._value = Counts(classes), value

    def add(self, prediction: Array, y: Array, weight: Array | None = None) -> None:
        """Counts some rows."""
        self._counts.add(prediction, y, weight)

    def state(self) -> Mapping[str, Array]:
        """The counts."""
        now = self._counts
        return {"true": now.true, "predicted": now.predicted, "right": now.right}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes these counts."""
        now = self._counts
        now.true, now.predicted, now.right = state["true"], state["predicted"], state["right"]

    def value(self) -> float | None:
        """The metric of all rows; None without rows that count."""
        return self._value(self._counts)


# The area under the ROC curve -------------------------------------------------------------------


class Auc:
    """The area under the ROC curve: how probable it is that of two rows, one of a class and one
    that is not, the first has the higher probability for it; ties count one half.

    For two classes that of class 1; of more the mean, each against the rest; of several labels
    the mean. Not defined where a class has no rows. It needs all rows and keeps their logits.
    """

    def __init__(self, classes: Classes) -> None:
        self._classes = classes
        self._logits: list[Array] = []
        self._right: list[Array] = []
        self._weights: list[Array] = []

    def add(self, prediction: Array, y: Array, weight: Array | None = None) -> None:
        """Keeps a copy of some rows."""
        self._logits.append(prediction.copy())
        self._right.append(self._classes.right(y).astype(np.int32))
        each = np.ones(len(y), np.float32) if weight is None else weight[:, 0].copy()
        self._weights.append(each)

    def state(self) -> Mapping[str, Array]:
        """The logits, the numbers of the right classes and the weights of all rows."""
        if not self._logits:
            return {}
        kept = {"logits": self._logits, "right": self._right, "weights": self._weights}
        return {name: np.concatenate(pieces) for name, pieces in kept.items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Takes these rows."""
        self._logits, self._right, self._weights = (
            [state[name]] if state else [] for name in ("logits", "right", "weights")
        )

    def value(self) -> float | None:
        """The area; 0.5 for a guess, 1 where all rows are in order."""
        state = self.state()
        if not state or np.isnan(state["logits"]).any():
            return None
        scores, right, weights = state["logits"], state["right"], state["weights"]
        if self._classes.exclusive:
            with np.errstate(all="ignore"):
                scores = softmax(scores.astype(np.float64))
            positive = right == np.arange(self._classes.outputs)
        else:  # the logits themselves: far from 0 their probabilities are all alike
            positive = right == 1
        areas = [area(*columns, weights) for columns in zip(scores.T, positive.T, strict=True)]
        found = [area for area in areas if area is not None]
        return mean(np.array(found)) if len(found) == len(areas) else None


def area(scores: Array, positive: Array, weights: Array) -> float | None:
    """The area under the ROC curve of some scores, all of shape (rows,), by the rank-sum
    statistic of Mann and Whitney; None where all rows that count are positive, or none.
    """
    order = np.argsort(scores, kind="stable")
    ranked, weight = scores[order], weights[order].astype(np.float64)
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of rows with equal scores
    until = [np.append(0.0, np.cumsum(np.where(chosen, weight, 0.0))[ends])
             for chosen in (positive[order], ~positive[order])]  # fmt: skip
    (higher, lower), below = map(np.diff, until), until[1][:-1]
    pairs = until[0][-1] * until[1][-1]
    if not pairs > 0:
        return None
    return float(total(higher * (below + lower / 2)) / pairs)
