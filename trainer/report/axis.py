"""The axis of a chart that is drawn without Matplotlib: from values to places, and its ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from trainer.report.style import LARGEST, log_ticks, power

DECADES: Final = 0.7  # of positive values, from which on an axis is logarithmic


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Iterable[float], logarithmic: bool) -> Scale:
        """The axis for these values, of which there is one at least.

        If it may be `logarithmic`, it is where they are positive and the largest is five times
        the least or more. Alike values are put in the middle.
        """
        kept = list(values)
        low, high = min(kept), max(kept)
        if logarithmic and low > 1 / LARGEST and math.log10(high) - math.log10(low) >= DECADES:
            return cls(low, high, log=True)
        room = 0.1 * max(abs(low), abs(high)) or 1.0
        return cls(low - room, high + room) if high - low < 1e-6 * room else cls(low, high)

    @classmethod
    def of_epochs(cls, epochs: Iterable[int]) -> Scale:
        """The axis for these epochs, of which there is one at least."""
        kept = list(epochs)
        return cls(min(kept), max(max(kept), min(kept) + 1))

    def place(self, value: float) -> float:
        """Where a value is: 0 at `low`, 1 at `high`."""
        if self.log:
            low = math.log(self.low)
            return (math.log(value) - low) / (math.log(self.high) - low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int, whole: bool = False) -> dict[float, str]:
        """About `most` round values on the axis, or `whole` ones, and how they are written."""
        if self.log:
            return {value: power(value) for value in log_ticks(self.low, self.high, most)}
        step = _round_up((self.high - self.low) / most)
        step = max(step, 1.0) if whole else step
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        digits = max(6, 1 + math.ceil(math.log10(max(abs(self.low), abs(self.high)) / step)))
        return {i * step: f"{i * step:.{digits}g}" for i in range(first, last + 1)}


def drawable(curve: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """The points that a chart can show: with finite values that leave room for arithmetic."""
    return [point for point in curve if math.isfinite(point[1]) and abs(point[1]) < LARGEST]


def _round_up(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power_of_ten = 10.0 ** math.floor(math.log10(step))
    return next(d * power_of_ten for d in (1, 2, 5, 10) if d * power_of_ten >= step * 0.999)
