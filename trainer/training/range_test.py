"""The curve of a learning-rate finder: losses while the rate rises, and what they suggest.

The rate rises by the same factor at each step, from one that does nothing to one that is too large:
the learning-rate range test of L. N. Smith, "Cyclical learning rates for training neural networks",
2017, section 3.3. Batches differ by far more than a step at a small rate changes, so each loss is
compared with that of the same batch at the parameters of the start: the difference is 0 where the
rate does nothing, whatever the batch. The differences are smoothed with β = 0.9, without the bias
of the average towards 0, and start from the mean loss of all batches:

    a_i = β · a_(i-1) + (1 - β) · (loss_i - still_i),  a_0 = 0
    smoothed_i = mean(still) + a_i / (1 - βⁱ)

It ends where the smoothed loss is above four times its least. The steepest sustained fall is where
it falls most by step, that is on an axis of log(rate), before its least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from trainer.graph.ops import Array
from trainer.numerics.sums import mean

SMOOTHING: Final = 0.9
BEGUN: Final = 0.05  # of the whole fall, from which on the loss falls
RISE: Final = 4.0  # times the least smoothed loss, above which the search is over

End: TypeAlias = Literal["range", "rise", "divergence"]
"""Why a sweep is over: all its rates were tried, the loss rose, or it was not finite."""


@dataclass(frozen=True, eq=False)
class RangeTest:
    """Rates and the losses at them, step by step, up to where the loss rose; float64, (steps,).

    `still` are the losses of the same batches without any training, and `smoothed` what the steps
    make of them; `tried` is the number of steps of the whole range.
    """

    rates: Array
    losses: Array
    still: Array
    smoothed: Array
    tried: int
    end: End

    @classmethod
    def of(cls, rates: Array, losses: Array, still: Array, diverged: bool = False) -> RangeTest:
        """The sweep over `rates`, (steps,), whose first steps had these losses, and `still` without
        training; `diverged` tells that the loss of the next was not finite. At least one is there.
        """
        known = min(len(losses), len(rates))
        smoothed = smooth(losses[:known], still[:known])
        count = before_rise(smoothed)
        end: End = "rise" if count < len(smoothed) else "divergence" if diverged else "range"
        return cls(rates[:count], losses[:count], still[:count], smoothed[:count], len(rates), end)

    @property
    def minimum(self) -> float:
        """The rate at the least smoothed loss."""
        return float(self.rates[self.smoothed.argmin()])

    @property
    def steepest(self) -> float | None:
        """The rate of the steepest fall, to two digits; None where the loss does not fall."""
        last = int(self.smoothed.argmin())
        if last == 0:
            return None
        place = int(np.gradient(self.smoothed)[: last + 1].argmin())
        return float(f"{self.rates[place]:.2g}")

    @property
    def fall(self) -> tuple[float, float] | None:
        """From which rate on the loss falls, and at which it is least; None where it does not fall.

        It falls from where a twentieth of the whole fall is done, for good.
        """
        last = int(self.smoothed.argmin())
        if last == 0:
            return None
        first, least = self.smoothed[0], self.smoothed[last]
        high = self.smoothed[:last] > first - BEGUN * (first - least)
        return float(self.rates[np.flatnonzero(high)[-1]]), self.minimum

    def as_json(self) -> dict[str, Any]:
        """What was found, and the curve, as plain JSON values."""
        return {
            "steepest_learning_rate": self.steepest,
            "minimum_learning_rate": self.minimum,
            "end": self.end,
            "learning_rates": self.rates.tolist(),
            "losses": self.losses.tolist(),
            "losses_without_training": self.still.tolist(),
            "smoothed": self.smoothed.tolist(),
        }


def smooth(losses: Array, still: Array) -> Array:
    """The mean loss without training, and the average of what the steps changed, (steps,)."""
    average, power, found = 0.0, 1.0, []
    with np.errstate(over="ignore", invalid="ignore"):
        for change in (losses - still).tolist():
            power *= SMOOTHING
            average = SMOOTHING * average + (1 - SMOOTHING) * change
            found.append(average / (1 - power))
        return np.asarray(mean(still) + np.array(found))


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
