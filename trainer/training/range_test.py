"""The curve of a learning-rate finder: losses while the rate rises, and what they suggest.

The rate rises by the same factor at each step, from one that does nothing to one that is too large:
the learning-rate range test of L. N. Smith, "Cyclical learning rates for training neural networks",
2017, section 3.3. How its losses are smoothed and when it ends is S. Gugger, "How do you find a
good learning rate", 2018, with β = 0.98:

    a_i = β · a_(i-1) + (1 - β) · loss_i,  a_0 = 0        smoothed_i = a_i / (1 - βⁱ)

It ends where the smoothed loss is above four times its least. The suggestion is the rate at which
it falls most steeply, on an axis of log(rate), before its least; the first tenth of the range,
where the mean is one of few losses, does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from trainer.graph.ops import Array

SMOOTHING: Final = 0.98
RISE: Final = 4.0  # times the least smoothed loss, above which the search is over
SKIPPED: Final = 10  # one part in so many at the beginning suggests nothing

End: TypeAlias = Literal["range", "rise", "divergence"]
"""Why a sweep is over: all its rates were tried, the loss rose, or it was not finite."""


@dataclass(frozen=True, eq=False)
class RangeTest:
    """Rates and the losses at them, step by step, up to where the loss rose; float64, (steps,).

    `smoothed` are the means of the losses so far, of which the last ones count most; `tried` is
    the number of steps of the whole range.
    """

    rates: Array
    losses: Array
    smoothed: Array
    tried: int
    end: End

    @classmethod
    def of(cls, rates: Array, losses: Array, diverged: bool = False) -> RangeTest:
        """The sweep over `rates`, (steps,), whose first steps had these losses; `diverged` tells
        that the loss of the next was not finite. At least one loss is there.
        """
        smoothed = smooth(losses[: len(rates)])
        count = before_rise(smoothed)
        end: End = "rise" if count < len(smoothed) else "divergence" if diverged else "range"
        return cls(rates[:count], losses[:count], smoothed[:count], len(rates), end)

    @property
    def minimum(self) -> float:
        """The rate at the least smoothed loss."""
        return float(self.rates[self.smoothed.argmin()])

    @property
    def still_falls(self) -> bool:
        """Whether the loss is least at the largest rate of all."""
        return self.end == "range" and int(self.smoothed.argmin()) == len(self.smoothed) - 1

    @property
    def suggestion(self) -> float | None:
        """The rate of the steepest descent, to two digits; None where the loss does not fall."""
        first, last = self.tried // SKIPPED, int(self.smoothed.argmin())
        if first >= last:
            return None
        steepest = first + int(np.gradient(self.smoothed)[first : last + 1].argmin())
        return float(f"{self.rates[steepest]:.2g}")

    def as_json(self) -> dict[str, Any]:
        """What was found, and the curve, as plain JSON values."""
        return {
            "suggested_learning_rate": self.suggestion,
            "minimum_learning_rate": self.minimum,
            "end": self.end,
            "learning_rates": self.rates.tolist(),
            "losses": self.losses.tolist(),
            "smoothed": self.smoothed.tolist(),
        }


def smooth(losses: Array) -> Array:
    """The exponential moving average of the losses, (steps,), without its bias towards 0."""
    average, found = 0.0, []
    for i, loss in enumerate(losses.tolist(), 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        found.append(average / (1 - SMOOTHING**i))
    return np.array(found)


def before_rise(smoothed: Array) -> int:
    """How many smoothed losses there are before the first that is too large; at least one.

    Too large is above four times the least so far; where that is not positive, further above it
    than three times its size, or the first one's if that is larger.
    """
    least = np.minimum.accumulate(smoothed)
    size = np.where(least > 0, least, np.maximum(np.abs(least), abs(smoothed[0])))
    with np.errstate(over="ignore"):
        above = np.flatnonzero(smoothed > least + (RISE - 1) * size)
    return int(above[0]) if len(above) else len(smoothed)
