"""The objective of a sweep as an axis of its pictures, and how trials look there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.report.style import (
    BLUE,
    GREY,
    VERMILLION,
    drawable,
    linear_limits,
    log_axis,
    log_limits,
    positive,
)
from trainer.report.sweeps import SweepShown, TrialShown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DECADES: Final = 1  # of an objective, from which on its axis is logarithmic
SPAN: Final = 9.0  # decades that it shows at most
MANY: Final = 8  # results, of fewer all are shown
LOWEST: Final = -0.5  # of a score, where the best is above 0: an R² may be far below
FAR: Final = 6.0  # times as far off as the median is from the best: drawn at the edge only
_FINISHED: Final[Mapping[str, Any]] = {
    "color": BLUE, "marker": "o", "markersize": 4, "linestyle": "none", "markeredgewidth": 0,
    "zorder": 3, "alpha": 0.8,
}  # fmt: skip
_WAITING: Final[Mapping[str, Any]] = {
    **_FINISHED, "markerfacecolor": "white", "markeredgewidth": 0.8, "color": GREY, "zorder": 2,
}  # fmt: skip
_WORST: Final[Mapping[str, Any]] = {
    "color": VERMILLION, "marker": "x", "markersize": 4.5, "linestyle": "none", "zorder": 2,
    "clip_on": False, "markeredgewidth": 1.1,
}  # fmt: skip
_WINNER: Final[Mapping[str, Any]] = {
    "color": "black", "marker": "o", "markersize": 9, "linestyle": "none", "zorder": 5,
    "markerfacecolor": "none", "markeredgewidth": 1.5,
}  # fmt: skip
KINDS: Final[Sequence[tuple[str, Mapping[str, Any]]]] = (
    ("finished", _FINISHED), ("stopped at a rung", _WAITING), ("diverged or far off", _WORST),
)  # fmt: skip
"""The dots of trials: what they are called, and how they look."""


@dataclass(frozen=True)
class Measure:
    """The axis of the objective. Values far on its bad side are drawn at its edge, where they hide
    nothing of the others.
    """

    low: float
    high: float
    log: bool
    edge: float

    @classmethod
    def of(cls, sweep: SweepShown) -> Measure:
        """The axis for all results of a sweep, of which one at least can be drawn."""
        results = [value for trial in sweep.trials for value in trial.results.values()]
        values = np.array(results, dtype=float)
        values = values[drawable(values)]
        log = not sweep.maximise and bool(positive(values).all())
        log = log and bool(values.max() > values.min() * 10**DECADES)
        losses = np.log10(values) if log else values * (-1 if sweep.maximise else 1)
        kept = values[losses <= _far(losses, log, sweep.maximise)]
        low, high = log_limits(kept) if log else linear_limits(kept)
        return cls(low, high, log, low if sweep.maximise else high)

    def within(self, values: Sequence[float | None]) -> Array:
        """The values, and those that are none or beyond the axis at its edge."""
        kept = np.array([np.nan if v is None else v for v in values], dtype=float)
        bad = ~drawable(kept) | (kept < self.low) | (kept > self.high)
        return np.where(bad, self.edge, kept)

    def shows(self, value: float | None) -> bool:
        """Whether a value has its own place on the axis."""
        return value is not None and self.low <= value <= self.high

    def draw(self, axes: Axes) -> None:
        """Gives the axes this scale, upwards."""
        if self.log:
            log_axis(axes, "y", (self.low, self.high))
        else:
            axes.set_ylim(self.low, self.high)


def _far(losses: Array, log: bool, score: bool) -> float:
    """The loss, or its logarithm, or a score with its sign turned, beyond which a trial is far off:
    where most would lie in one line.
    """
    least, middle = float(losses.min()), float(np.median(losses))
    if log:
        return least + SPAN
    if score and least < 0:
        return max(-LOWEST, least)
    few = len(losses) < MANY or middle == least
    return math.inf if few else middle + FAR * (middle - least)


def first_of(sweep: SweepShown, keys: Sequence[str]) -> str:
    """What is told where there is no room for every key."""
    more = len(sweep.space) > len(keys)
    return f", {len(keys)} of {len(sweep.space)} keys" if more else ""


def look_of(trial: TrialShown, measure: Measure) -> Mapping[str, Any] | None:
    """How the dot of a trial looks; None where it has none yet."""
    if not trial.results:
        return None
    if not measure.shows(trial.value):
        return _WORST
    return _FINISHED if trial.status == "finished" else _WAITING


def ring(
    axes: Axes, sweep: SweepShown, measure: Measure, where: Callable[[TrialShown], float]
) -> list[Any]:
    """A ring around the winner, where there is one."""
    for trial in sweep.trials:
        if trial.number == sweep.winner and measure.shows(trial.value):
            at = measure.within([trial.value])
            return list(axes.plot([where(trial)], at, **_WINNER, clip_on=False))
    return []
