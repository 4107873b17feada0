"""When the second of two classes is said: the logit from above which it is, and how it is chosen.

A threshold t is a probability; the cut log(t / (1 - t)) is the logit that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from trainer.graph.ops import Array
from trainer.numerics.functions import log, sigmoid


def cut_of(threshold: float) -> float:
    """The logit of a probability: 0 for 0.5."""
    return float(log(threshold / (1 - threshold))) if threshold != 0.5 else 0.0


def threshold_of(cut: float) -> float:
    """The probability of a logit."""
    return float(sigmoid(cut))


@dataclass(frozen=True)
class Outcomes:
    """What rows weigh by what is said and what is right, of shape (cuts,): class 1 said rightly,
    wrongly, and the same of class 0.
    """

    true_positive: Array
    false_positive: Array
    true_negative: Array
    false_negative: Array


Value: TypeAlias = Callable[[Outcomes], Array]
"""How good each cut is; more is better."""


def f1_value(of: Outcomes) -> Array:
    """The metric `f1`: the mean over the classes that occur or are said."""
    wrong = of.false_positive + of.false_negative
    sizes = [2 * right + wrong for right in (of.true_positive, of.true_negative)]
    rights = (of.true_positive, of.true_negative)
    each = [
        np.divide(2 * right, size, out=np.zeros(size.shape), where=size > 0)
        for right, size in zip(rights, sizes, strict=True)
    ]
    counted = np.maximum((sizes[0] > 0).astype(int) + (sizes[1] > 0), 1)
    return np.asarray((each[0] + each[1]) / counted)


def cost_value(false_positive: float, false_negative: float) -> Value:
    """What all mistakes cost, negative."""
    return lambda of: -(false_positive * of.false_positive + false_negative * of.false_negative)


def value_of(asked: object) -> Value:
    """What a spec asks for: `f1`, or a mapping with the `cost` of both mistakes."""
    return cost_value(**asked["cost"]) if isinstance(asked, dict) else f1_value


def choose_cut(
    margins: Array, positive: Array, value: Value, weight: Array | None = None
) -> float | None:
    """The cut with the best value of some rows; None where they are all of one class.

    `margins` are the logits of class 1, `positive` says which rows are of it, `weight` how much
    each counts, all of shape (rows,). Cuts between the same two neighbouring logits say the same:
    for them stands the one halfway, or 0 if that lies between them; outside of all logits it is one
    beyond the last. Of several with the best value the one nearest to 0 is taken, of two equally
    near the lower. The cut is a number of the margins' dtype.
    """
    order = np.argsort(margins, kind="stable")
    weights = np.ones(len(margins)) if weight is None else weight.astype(np.float64)[order]
    logits, right = margins[order], positive[order]
    last = np.flatnonzero(np.append(logits[1:] != logits[:-1], True))  # of rows with equal logits
    below_one, below_zero = (
        np.append(0.0, np.cumsum(np.where(chosen, weights, 0.0))[last])
        for chosen in (right, ~right)
    )
    if not (below_one[-1] > 0 and below_zero[-1] > 0):
        return None
    outcomes = Outcomes(
        below_one[-1] - below_one, below_zero[-1] - below_zero, below_zero, below_one
    )
    values, cuts = value(outcomes), _cuts(logits[last])
    best = np.flatnonzero(values >= values.max() - 1e-12 * np.abs(values).max())
    return float(min(cuts[best].tolist(), key=lambda cut: (abs(cut), cut)))


def _cuts(logits: Array) -> Array:
    """The cut below all of some ascending logits, between each two, and above all."""
    low = np.append(logits[:1] - 1, logits)  # a cut is at its `low` or above, and below `high`
    high = np.append(logits, logits[-1:] + 2)
    with np.errstate(over="ignore"):
        middle = low + (high - low) / 2
    cuts = np.where((middle >= low) & (middle < high), middle, low)
    cuts[0] = min(logits[0] - 1, np.nextafter(logits[0], -np.inf))
    cuts[-1] = logits[-1] + 1
    low[0], high[-1] = -np.inf, np.inf
    return np.where((low <= 0) & (high > 0), 0, cuts)
