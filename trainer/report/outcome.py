"""What the trained parameters predict, and the numbers by which it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from trainer.graph.ops import Array
from trainer.report.style import drawable
from trainer.training import Job

ROWS: Final = 100_000
NUMBERS: Final = 5 * 10**6  # of predictions, which ROC curves sort
GATHERED: Final = 4096  # rows at a time
NORMAL_95: Final = 1.959963984540054  # 97.5 % of a standard normal variable are below


@dataclass(frozen=True)
class Outcome:
    """What was predicted for rows of one part of the data, and what is right.

    `prediction` (logits where the loss is logistic) and `y` have shape (rows, outputs), in
    float64. `where` says which rows these are, and how many.
    """

    prediction: Array
    y: Array
    where: str


def measure(job: Job) -> Outcome | None:
    """Predictions for the test rows, else the validation rows, else the training rows.

    Of more than `ROWS` rows, or `NUMBERS` predictions, evenly spaced ones are taken. Rows whose
    prediction is not finite are left out; None where no row is left.
    """
    data = job.dataset
    parts = {"test": data.test, "validation": data.validation, "training": data.train}
    name, part = next((name, part) for name, part in parts.items() if part is not None)
    count = min(len(part), ROWS, max(1, NUMBERS // data.outputs))
    rows = np.arange(count) * len(part) // count
    size = job.spec.evaluation.batch_size
    span = -(-GATHERED // size) * size
    predicted, true = [], []
    for start in range(0, count, span):
        some = part.take(rows[start : start + span])
        predicted.append(job.session.predict(some, size, job.evaluated)[1])
        true.append(some["y"])
    prediction, y = (np.concatenate(each).astype(np.float64) for each in (predicted, true))
    kept = drawable(prediction).all(axis=1) & drawable(y).all(axis=1)
    if not kept.any():
        return None
    where = f"{len(part):,} {name} row{'s' * (len(part) > 1)}"
    if count < len(part):
        where = f"{count:,} of {where}"
    if not kept.all():
        where += f" ({int((~kept).sum()):,} not finite)"
    return Outcome(prediction[kept], y[kept], where)


# Classes -----------------------------------------------------------------------------------------


def confusion_matrix(true: Array, predicted: Array, classes: int) -> Array:
    """How often each class (row) was taken for each class (column)."""
    pairs = np.bincount(true * classes + predicted, minlength=classes**2)
    return pairs.reshape(classes, classes)


def shares(counts: Array, total: Array) -> Array:
    """`counts / total`, and NaN where the total is 0."""
    result: Array = np.full(counts.shape, np.nan)
    return np.divide(counts, total, out=result, where=total > 0)


def roc_curve(positive: Array, score: Array) -> tuple[Array, Array] | None:
    """False and true positive rates, from (0, 0) to (1, 1), one point a distinct score.

    `positive` says which rows are of the class, `score` is larger where that is more probable.
    None where there are no rows of the class, or no others. After T. Fawcett, "An introduction
    to ROC analysis", 2006.
    """
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # of rows with this score
    true, false = hits[last], last + 1 - hits[last]
    if true[-1] == 0 or false[-1] == 0:
        return None
    return np.append(0, false / false[-1]), np.append(0, true / true[-1])


def area_under(x: Array, y: Array) -> float:
    """The area under a curve, by the trapezoidal rule."""
    return float(np.trapezoid(y, x))


@dataclass(frozen=True)
class Calibration:
    """By bin: the mean predicted probability, the share of rows it came true for, and the rows.

    `low` and `high` are the ends of Wilson's 95 % interval of the share. NaN in empty bins.
    """

    predicted: Array
    observed: Array
    low: Array
    high: Array
    count: Array


def calibration(came_true: Array, probability: Array, bins: int = 10) -> Calibration:
    """Compares probabilities with what happened, in bins of equal width from 0 to 1.

    A bin holds its upper end; the first holds 0 too.
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.searchsorted(edges[1:-1], probability)
    count = np.bincount(place, minlength=bins)
    hits = np.bincount(place, came_true.astype(float), minlength=bins)
    total = np.bincount(place, probability, minlength=bins)
    low, high = wilson(hits, count)
    return Calibration(shares(total, count), shares(hits, count), low, high, count)


def wilson(hits: Array, count: Array) -> tuple[Array, Array]:
    """The 95 % interval of a probability after `hits` of `count` trials; NaN for no trials.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    share, z = shares(hits, count), NORMAL_95
    n = np.maximum(count, 1)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half
