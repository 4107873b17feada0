"""From raw columns to the scales of x, and from outputs to the units of the targets."""

from __future__ import annotations

import numpy as np

from trainer.data.preparing.scaling import rank, unrank
from trainer.export.runtime.facts import LOGS, RANKED, TARGET_LOGS, TARGET_RANKED
from trainer.graph.ops import Array
from trainer.numerics.elementary import log1p
from trainer.numerics.functions import each
from trainer.numerics.further import expm1


def unscaled(x: Array, p: dict[str, Array]) -> Array:
    """The columns as they are."""
    return x


def standardized(x: Array, p: dict[str, Array]) -> Array:
    """The columns less their mean, divided by their scale."""
    return (x - p["x/mean"]) / p["x/scale"]


def bend(x: Array, p: dict[str, Array]) -> Array:
    """The columns whose scale is a curve, bent."""
    x = np.array(x)
    for j in LOGS:
        x[:, j] = each(log1p, x[:, j])
    for j in RANKED:
        x[:, j] = rank(x[:, j], p[f"x/quantiles/{j}"])
    return x


def bent_and_standardized(x: Array, p: dict[str, Array]) -> Array:
    """The columns bent, then less their mean, divided by their scale."""
    return standardized(bend(x, p), p)


def decode(out: Array, p: dict[str, Array]) -> Array:
    """Outputs in the units of the targets."""
    y = out.astype(np.float64)
    if "y/scale" in p:
        y = y * p["y/scale"] + p["y/mean"]
    for j in TARGET_LOGS:
        y[:, j] = each(expm1, y[:, j])
    for j in TARGET_RANKED:
        y[:, j] = unrank(y[:, j], p[f"y/quantiles/{j}"])
    return y
