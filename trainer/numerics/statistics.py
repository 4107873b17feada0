"""Quantiles, geometric series, and straight lines between points, operation by operation.

Of numbers that compare equal, 0 and -0, sorting may take either first; here both are 0.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from trainer.numerics.functions import exp, log

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]


def quantiles(values: Array, ranks: Array) -> Array:
    """The numbers at ranks from 0 to 1 of one number or more, of the shape of `ranks`.

    At h = (n - 1) rank, between the sorted numbers a and b before and after it, it is
    a + (b - a) (h - ⌊h⌋). Where a value is nan, all are.
    """
    ordered = np.sort(np.asarray(values, np.float64) + 0.0)
    if np.isnan(ordered[-1]):
        return np.full(np.shape(ranks), np.nan)
    last = len(ordered) - 1
    place = last * np.asarray(ranks, np.float64)
    low = np.minimum(np.floor(place), last).astype(np.intp)
    a, b = ordered[low], ordered[np.minimum(low + 1, last)]
    with np.errstate(all="ignore"):
        return np.where(place > low, a + (b - a) * (place - low), a)


def median(values: Array) -> float:
    """The quantile of rank 1/2."""
    return float(quantiles(values, np.array(0.5)))


def rising(low: float, high: float, count: int) -> Array:
    """So many numbers from `low` to `high`, each the one before by the same factor: number i is
    low exp(i / (count - 1) log(high / low)), and the last is `high` itself.
    """
    found = low * exp(np.arange(count) / max(count - 1, 1) * log(high / low))
    found[-1] = high if count > 1 else low
    return np.asarray(found)


def interpolate(x: Array, xs: Array, ys: Array) -> Array:
    """The straight lines through the points of `xs`, ascending, and `ys`, at each x.

    From (u, a) to (v, b) it is (b - a) / (v - u) (x - u) + a for u ≤ x < v. Before the first point
    and after the last it is as high as there; at several with the same x it is the last.
    """
    place = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(xs) - 2)
    u, a = xs[place], ys[place]
    with np.errstate(all="ignore"):
        found = (ys[place + 1] - a) / (xs[place + 1] - u) * (x - u) + a
    found = np.where(x < xs[0], ys[0], found)
    return np.asarray(np.where(x >= xs[-1], ys[-1], found))
