"""How numbers are scaled, column by column, and back again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np

from trainer.graph.ops import Array
from trainer.numerics.elementary import log1p
from trainer.numerics.functions import each
from trainer.numerics.further import expm1
from trainer.numerics.statistics import interpolate

QUANTILES: Final = 1001
"""How many quantiles the curve `quantile` has at most."""


@dataclass(frozen=True)
class ScalingFields:
    """A scaling as JSON has it; see `Scaling.as_json`."""

    curves: dict[str, Literal["log1p"] | list[float]]
    shift: list[float] | None
    scale: list[float] | None


@dataclass(frozen=True)
class Scaling:
    """First a curve, for the columns that have one, then (x - shift) / scale.

    `curves` maps the number of a column to its fitted quantiles, an ascending array of 2 to
    `QUANTILES` numbers, or to None, which is log(1 + x). `shift` and `scale`, of shape (columns,)
    in float64, are 0 and 1 where a column stays as it is; both are None where all do.
    """

    curves: Mapping[int, Array | None] = field(default_factory=dict)
    shift: Array | None = None
    scale: Array | None = None

    @property
    def changes(self) -> bool:
        """Whether anything is scaled."""
        return bool(self.curves) or self.shift is not None

    def of(self, column: int) -> Scaling:
        """That of one column alone."""
        curves = {0: self.curves[column]} if column in self.curves else {}
        if self.shift is None or self.scale is None:
            return Scaling(curves)
        one = slice(column, column + 1)
        return Scaling(curves, self.shift[one], self.scale[one])

    def bend(self, x: Array) -> Array:
        """The curves alone. What log(1 + x) has no value for becomes NaN or infinite."""
        if not self.curves:
            return x
        bent = np.array(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            for column, quantiles in self.curves.items():
                values = bent[:, column]
                bent[:, column] = (
                    each(log1p, values) if quantiles is None else rank(values, quantiles)
                )
        return bent

    def apply(self, x: Array) -> Array:
        """Columns of shape (rows, columns) in float64, scaled."""
        bent = self.bend(x)
        return bent if self.shift is None else (bent - self.shift) / self.scale

    def undo(self, scaled: Array) -> Array:
        """What `apply` was given; float64 where anything is scaled.

        Ranks outside 0 to 1 become the smallest and the largest of the training rows.
        """
        if not self.changes:
            return scaled
        x = np.array(scaled, dtype=np.float64)
        with np.errstate(all="ignore"):
            if self.shift is not None and self.scale is not None:
                x = x * self.scale + self.shift
            for column, quantiles in self.curves.items():
                values = x[:, column]
                x[:, column] = (
                    each(expm1, values) if quantiles is None else unrank(values, quantiles)
                )
        return x

    def as_json(self) -> dict[str, Any]:
        """Its fields; `from_json` gives the same numbers again, to the bit."""
        return {
            "curves": {
                str(column): "log1p" if quantiles is None else quantiles.tolist()
                for column, quantiles in self.curves.items()
            },
            "shift": None if self.shift is None else self.shift.tolist(),
            "scale": None if self.scale is None else self.scale.tolist(),
        }

    @classmethod
    def from_json(cls, kept: ScalingFields) -> Scaling:
        """From what `as_json` gave. Raises `ValueError` for a curve of no column."""
        return cls(
            curves={
                int(column): None if isinstance(curve, str) else np.array(curve, np.float64)
                for column, curve in kept.curves.items()
            },
            shift=None if kept.shift is None else np.array(kept.shift, np.float64),
            scale=None if kept.scale is None else np.array(kept.scale, np.float64),
        )


def rank(values: Array, quantiles: Array) -> Array:
    """Where values stand among the quantiles, from 0 to 1; straight lines between them.

    A number that several quantiles share has the middle of their ranks, except at both ends. As
    scikit-learn's `QuantileTransformer` with uniform output does it.
    """
    ranks = _ranks(len(quantiles))
    last = interpolate(values, quantiles, ranks)
    first = -interpolate(-values, -quantiles[::-1], -ranks[::-1])
    found = 0.5 * (last + first)
    found[values >= quantiles[-1]] = 1
    found[values <= quantiles[0]] = 0
    return found


def unrank(ranks: Array, quantiles: Array) -> Array:
    """The numbers with these ranks: the inverse of `rank`."""
    return interpolate(ranks, _ranks(len(quantiles)), quantiles)


@lru_cache
def _ranks(count: int) -> Array:
    """The ranks of so many quantiles."""
    return np.linspace(0, 1, count)
