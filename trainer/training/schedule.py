"""Learning-rate schedules: the rate of each SGD step.

Steps are counted from 1 over the whole run, which has N = epochs · steps_per_epoch of them. The
first w = warmup · steps_per_epoch, rounded to whole steps, are the warm-up. The other T = N - w
are the schedule's: n = 0 … T-1 counts those that are done before a step, and p = n / T is the part
of the schedule that they are. With r the spec's `learning_rate`, a step takes

    warm-up      r · s / w                                      s = 1 … w
    constant     r
    step         r · factor^⌊n / every⌋                         every in steps
    exponential  r · factor^(n / steps_per_epoch)
    linear       r · (final + (1 - final) · (1 - p))
    cosine       r · (final + (1 - final) · (1 + cos πp) / 2)
    one_cycle    r · (start + (1 - start) · (1 - cos(πp / peak)) / 2)           while p < peak
                 r · (final + (1 - final) · (1 + cos(π(p - peak) / (1 - peak))) / 2)  after it

So the first step of a schedule takes the whole rate (of one_cycle: `start` of it), and `final` is
where the rate is once the last step is done. With `cycle` the cosine starts again and again: p is
then the part of cycle i, which has cycle · growth^i epochs, that is done.

Sources: I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm restarts", 2017,
equation 5, for the cosine; L. N. Smith, "A disciplined approach to neural network
hyper-parameters: Part 1", 2018, for the one cycle, there with straight lines (momentum stays as it
is here); P. Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2, for the warm-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, assert_never

import numpy as np

from trainer.graph.ops import Array
from trainer.numerics.functions import cos_turns, expm1, log1p, power
from trainer.spec.sgd import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    LinearSchedule,
    OneCycleSchedule,
    ScheduleSpec,
    SGDSpec,
    StepSchedule,
)

NEARLY: Final = 1e-9  # of a period: 0.7 epochs of 10 steps are 7 steps, and in binary a bit more


def learning_rates(sgd: SGDSpec, steps_per_epoch: int, first: int, count: int) -> Array:
    """The rates of the steps `first` … `first` + `count` - 1, counted from 1; float64, (count,).

    A rate depends on the number of its step alone, to the bit: however a run is cut into calls,
    its steps take the same rates. They are above or at 0 and at most `sgd.learning_rate`.
    """
    if isinstance(sgd.schedule, ConstantSchedule) and not sgd.schedule.warmup:
        return np.full(count, sgd.learning_rate)  # asked for at every call of an engine
    steps = np.arange(first, first + count, dtype=np.float64)
    return rates_at(sgd, steps_per_epoch, steps)


def rates_at(sgd: SGDSpec, steps_per_epoch: int, steps: Array) -> Array:
    """The rates of the steps with these numbers, counted from 1; float64, the shape of `steps`."""
    warm = round(sgd.schedule.warmup * steps_per_epoch)
    total = max(1, sgd.epochs * steps_per_epoch - warm)
    done = np.maximum(steps - 1.0 - warm, 0)
    factors = _factors(sgd.schedule, _Time(done, total, steps_per_epoch))
    if warm:
        factors = np.where(steps <= warm, steps / warm, factors)
    return sgd.learning_rate * factors


@dataclass(frozen=True)
class _Time:
    """How many steps of a schedule are `done` before each step, of how many in `total`."""

    done: Array
    total: int
    per_epoch: int

    @property
    def share(self) -> Array:
        """The part of the schedule that is done."""
        return self.done / self.total

    def steps(self, epochs: float) -> float:
        """The length of a period in steps; one is the least."""
        return max(1.0, epochs * self.per_epoch)


def _factors(schedule: ScheduleSpec, time: _Time) -> Array:
    """What the rate is multiplied by at each step."""
    match schedule:
        case ConstantSchedule():
            return np.ones_like(time.done)
        case StepSchedule():
            changes = np.floor(time.done / time.steps(schedule.every) + NEARLY)
            return power(schedule.factor, changes)
        case ExponentialSchedule():
            return power(schedule.factor, time.done / time.per_epoch)
        case LinearSchedule():
            return _between(schedule.final, 1 - time.share)
        case CosineSchedule(cycle=None):
            return _between(schedule.final, _half_cosine(time.share))
        case CosineSchedule():
            return _between(schedule.final, _half_cosine(_share_of_cycle(schedule, time)))
        case OneCycleSchedule():
            return _one_cycle(schedule, time.share)
        case _:
            assert_never(schedule)


def _between(end: float, height: Array) -> Array:
    """From `end`, at height 0, to 1."""
    return end + (1 - end) * height


def _half_cosine(share: Array) -> Array:
    """From 1 to 0 while `share` goes from 0 to 1."""
    return (1 + cos_turns(share / 2)) / 2


def _share_of_cycle(schedule: CosineSchedule, time: _Time) -> Array:
    """The part that is done of the cycle in which a step is.

    Cycle i begins after 1 + g + … + gⁱ⁻¹ = (gⁱ - 1) / (g - 1) times the length of the first, with
    g its growth; `expm1` and `log1p` keep that exact where g is close to 1.
    """
    assert schedule.cycle is not None
    cycles, more = time.done / time.steps(schedule.cycle), schedule.growth - 1
    if more == 0:
        return cycles - np.floor(cycles + NEARLY)
    rate = log1p(more)
    whole = np.floor(log1p(cycles * more) / rate + NEARLY)
    begun = expm1(whole * rate)
    return np.asarray((cycles - begun / more) / (begun + 1))


def _one_cycle(schedule: OneCycleSchedule, share: Array) -> Array:
    peak = schedule.peak
    up = _between(schedule.start, 1 - _half_cosine(np.minimum(share, peak) / peak))
    down = _between(schedule.final, _half_cosine(np.maximum(share - peak, 0) / (1 - peak)))
    return np.where(share < peak, up, down)
