"""Elementary functions of NumPy arrays: the same bits on every CPU, which NumPy's own are not.

Each takes float32 or float64 arrays, or what float64 can be made of, and gives the same shape and
dtype. What is not finite or not defined becomes infinite or nan, without a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

import numpy as np

from trainer.numerics import elementary, further
from trainer.numerics.elementary import Arithmetic, ArrayArithmetic
from trainer.numerics.sums import row_sums

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

CELLS: Final = 2**14  # numbers that are in work at a time; no result depends on it


@cache
def _arithmetic(dtype: str) -> ArrayArithmetic:
    return ArrayArithmetic(dtype)


def each(function: Callable[..., Any], *arguments: Array | float) -> Array:
    """An elementary function, as it is defined for all arithmetics, of arrays of one shape; some
    numbers at a time.
    """
    first = np.asarray(arguments[0])
    dtype = "float32" if first.dtype == np.float32 else "float64"
    ar: Arithmetic = _arithmetic(dtype)
    flat = [np.ascontiguousarray(each, dtype).ravel() for each in arguments]
    found = np.empty(first.size, dtype)
    with np.errstate(all="ignore"):
        for start in range(0, first.size, CELLS):
            some = slice(start, start + CELLS)
            found[some] = function(ar, *(each[some] for each in flat))
    return found.reshape(first.shape)


def exp(x: Array | float) -> Array:
    """eˣ"""
    return each(elementary.exp, x)


def expm1(x: Array | float) -> Array:
    """eˣ - 1"""
    return each(further.expm1, x)


def log(x: Array | float) -> Array:
    """The natural logarithm."""
    return each(elementary.log, x)


def log1p(x: Array | float) -> Array:
    """log(1 + x)"""
    return each(elementary.log1p, x)


def tanh(x: Array | float) -> Array:
    """The hyperbolic tangent."""
    return each(elementary.tanh, x)


def sigmoid(x: Array | float) -> Array:
    """1 / (1 + e⁻ˣ)"""
    return each(elementary.sigmoid, x)


def logistic_loss(z: Array, y: Array) -> Array:
    """log(1 + e^z) - z y, for arrays of one shape."""
    return each(elementary.logistic_loss, z, np.asarray(y, z.dtype))


def sin_turns(x: Array | float) -> Array:
    """sin(2 π x)"""
    return each(further.sin_turns, x)


def cos_turns(x: Array | float) -> Array:
    """cos(2 π x)"""
    return each(further.cos_turns, x)


def softmax(z: Array) -> Array:
    """e^z by the sum of its row, of shape (rows, columns): shifted by the row's largest z."""
    e, sums = _shifted(z)[1:]
    with np.errstate(all="ignore"):
        return np.asarray(e / sums)


def log_softmax(z: Array) -> Array:
    """The logarithm of `softmax`: z - max z - log Σ exp(z - max z)."""
    apart, _, sums = _shifted(z)
    with np.errstate(all="ignore"):
        return np.asarray(apart - log(sums))


def _shifted(z: Array) -> tuple[Array, Array, Array]:
    with np.errstate(all="ignore"):
        apart = z - z.max(axis=1, keepdims=True)
    e = exp(apart)
    return apart, e, row_sums(e)[:, None]


def power(base: float, x: Array) -> Array:
    """bˣ for 0 < b and 0 ≤ x < 2⁶³, in float64: by squares for the whole part n of x, from the
    lowest bit of n, times exp((x - n) log b).
    """
    n = np.floor(x).astype(np.int64)
    found, square, left = np.ones(x.shape), base, n
    with np.errstate(all="ignore"):
        while left.any():
            found = np.where(left & 1 == 1, found * square, found)
            square, left = square * square, left >> 1
        return np.asarray(found * exp((x - n) * log(base)))
