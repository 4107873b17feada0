"""Short trainings at several learning rates: which to try next, and what they say together.

Rates are those of the series 1, 2, 5, 10, … First the powers of ten are tried over all of the range
in which a loss was seen to fall; then those around the best, and further in the direction in which
the loss is less, until the best has two on each side: the fall and the rise are then seen, and not
only the noise between neighbours. Last, between the best and a neighbour that is not about as good,
the rate in the middle is tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

SIDES: Final = 2  # rates that are tried on each side of the best
MOST: Final = 24  # trials
AS_GOOD: Final = 0.1  # of the best loss, up to which a rate is as good
_DIGITS: Final = (1, 2, 5)
_MIDDLES: Final = (1.5, 3, 7)  # of each and the next


@dataclass(frozen=True)
class Trial:
    """A training at a rate: the `loss` at its end, infinite where it diverged."""

    rate: float
    loss: float


@dataclass(frozen=True)
class Trials:
    """Trainings of so many of the spec's epochs each (`epochs` of `whole`), in the order of rates.

    `judged_by` is what their losses are: `val_loss`, or `train_loss` where there are no validation
    rows. `start` is the loss before training, and `bounds` are the rates that may be tried.
    """

    epochs: int
    whole: int
    judged_by: str
    start: float
    bounds: tuple[float, float]
    done: tuple[Trial, ...] = field(default=())

    @property
    def best(self) -> Trial | None:
        """The trial with the least loss; None where all diverged."""
        best = min(self.done, key=lambda trial: trial.loss, default=None)
        return None if best is None or math.isinf(best.loss) else best

    @property
    def as_good(self) -> tuple[float, float] | None:
        """The least and the largest of the neighbouring rates that are about as good as the best:
        their losses are at most a tenth larger.
        """
        if self.best is None:
            return None
        place = self.done.index(self.best)
        low = high = place
        while low > 0 and self._is_as_good(self.done[low - 1]):
            low -= 1
        while high + 1 < len(self.done) and self._is_as_good(self.done[high + 1]):
            high += 1
        return self.done[low].rate, self.done[high].rate

    def doubts(self) -> Iterator[str]:
        """Why the best rate may be another one; none where that is sure."""
        if self.best is None:
            yield "every trial diverged"
            return
        if self.epochs < self.whole:
            yield f"the trials had {self.epochs} of the {self.whole} epochs of the spec"
        if self.judged_by == "train_loss":
            yield "there are no validation rows: the loss is that of training rows"
        if not self.best.loss < self.start:
            yield "no trial ended with a lower loss than before training"
        for name, rate, beyond in zip(("--from", "--to"), self.bounds, (-1, 1), strict=True):
            if not _within(neighbour(self.best.rate, beyond), self.bounds):
                yield f"rates beyond {rate:g} were not tried: {name} takes another end"
        yield from self._apart()

    def _apart(self) -> Iterator[str]:
        """Whether rates that lie apart do as well as the best."""
        good = self.as_good
        assert good is not None
        others = [f"{trial.rate:g}" for trial in self.done
                  if not good[0] <= trial.rate <= good[1] and self._is_as_good(trial)]  # fmt: skip
        if others:
            yield f"{', '.join(others)} does as well, with worse rates between"

    def _is_as_good(self, trial: Trial) -> bool:
        assert self.best is not None
        return trial.loss <= self.best.loss + AS_GOOD * abs(self.best.loss)

    def as_json(self) -> dict[str, Any]:
        """The trials as plain JSON values; the loss of one that diverged is None."""
        return {
            "judged_by": self.judged_by,
            "epochs": self.epochs,
            "loss_before_training": _plain(self.start),
            "trials": [
                {"learning_rate": trial.rate, "loss": _plain(trial.loss)}
                for trial in self.done
            ],
        }  # fmt: skip


def next_rates(
    losses: Mapping[float, float], fall: tuple[float, float], bounds: tuple[float, float]
) -> Sequence[float]:
    """The rates to try next, ascending: at first the powers of ten around and in the range of the
    fall, then those that the best still needs; none where it has all. `losses` are those of the
    rates that were tried.
    """
    if losses:
        best = min(losses, key=lambda rate: (losses[rate], rate))
        kept = _new(_around(best, losses), losses, bounds)
        kept = kept or _new(_middles(best, losses), losses, bounds)
    else:
        kept = _new(_powers(fall), losses, bounds)
        kept = kept or [math.sqrt(bounds[0] * bounds[1])]  # no power of ten lies between them
    return kept[: max(MOST - len(losses), 0)]


def _new(
    rates: Iterable[float], losses: Mapping[float, float], bounds: tuple[float, float]
) -> list[float]:
    """Those of the rates that may be tried and were not, ascending."""
    return sorted(rate for rate in rates if _within(rate, bounds) and rate not in losses)


def _powers(fall: tuple[float, float]) -> list[float]:
    """The powers of ten from below the fall to above it."""
    low, high = map(_decade, fall)
    powers = [float(f"1e{power}") for power in range(low, high + 2)]
    return powers if powers[-2] < fall[1] else powers[:-1]


def _around(best: float, losses: Mapping[float, float]) -> list[float]:
    """The neighbours of the best rate on both sides, if it is of the series itself."""
    if best != neighbour(best, 0):
        return []
    wanted = [neighbour(best, -places) for places in range(1, SIDES + 1)]
    for places in range(1, SIDES + 1):
        wanted.append(neighbour(best, places))
        if math.isinf(losses.get(wanted[-1], 0.0)):
            break  # what is larger diverges as well
    return wanted


def _middles(best: float, losses: Mapping[float, float]) -> list[float]:
    """What lies between the best rate and its neighbours, where these are not about as good; if it
    is of the series itself.
    """
    if best != neighbour(best, 0) or math.isinf(losses[best]):
        return []
    bound, place = losses[best] + AS_GOOD * abs(losses[best]), _place(best)
    wanted = []
    for lower, beside in ((place - 1, neighbour(best, -1)), (place, neighbour(best, 1))):
        if losses.get(beside, math.inf) > bound:
            decade, digit = divmod(lower, len(_DIGITS))
            wanted.append(float(f"{_MIDDLES[digit]}e{decade}"))
    return wanted


def neighbour(rate: float, places: int) -> float:
    """The rate so many places on in the series, from the one that is nearest by its logarithm."""
    decade, digit = divmod(_place(rate) + places, len(_DIGITS))
    return float(f"{_DIGITS[digit]}e{decade}")


def _place(rate: float) -> int:
    """The number of the nearest rate of the series."""
    decade = _decade(rate)
    candidates = range(len(_DIGITS) * decade, len(_DIGITS) * (decade + 1) + 1)

    def far(place: int) -> float:
        power, digit = divmod(place, len(_DIGITS))
        other = float(f"{_DIGITS[digit]}e{power}")
        return max(other / rate, rate / other)

    return min(candidates, key=far)


def _decade(rate: float) -> int:
    """The power of ten of the first digit, as the rate is written."""
    return Decimal(repr(rate)).adjusted()


def _plain(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None


def _within(rate: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] * (1 - 1e-9) <= rate <= bounds[1] * (1 + 1e-9)
