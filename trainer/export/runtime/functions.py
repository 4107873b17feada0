"""The functions that kernel expressions call, in NumPy and for real numbers."""

from __future__ import annotations

import math

import numpy as np

from trainer.export.runtime.facts import DTYPE
from trainer.graph.ops import LEAKY_SLOPE, Array

ZERO, ONE, SLOPE = (DTYPE.type(value) for value in (0, 1, LEAKY_SLOPE))

exp = np.exp
log = np.log
sqrt = np.sqrt
tanh = np.tanh


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))"""
    e = np.exp(-np.abs(x))  # in (0, 1]: never overflows
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


def softplus(x: Array) -> Array:
    """log(1 + exp(x))"""
    return np.asarray(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def normal_cdf(x: Array) -> Array:
    """The normal distribution function; NumPy itself has no error function."""
    z = x * -np.sqrt(0.5)
    erfc = np.fromiter(map(math.erfc, z.flat), np.float64, z.size).reshape(z.shape)
    return np.asarray((0.5 * erfc).astype(x.dtype))


def normal_pdf(x: Array) -> Array:
    """The density of the normal distribution."""
    return np.asarray((np.exp(x * x * -0.5) * np.sqrt(0.5 / np.pi)).astype(x.dtype))


def logistic_loss(z: Array, y: Array) -> Array:
    """log(1 + exp(z)) - z y"""
    return np.asarray(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z))))
