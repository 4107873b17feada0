"""The course of a sweep: which trial begins or goes on when, by a clock of its own.

Everything here follows from the log's entries alone. Time is virtual: an integer that grows by what
trials cost, their epochs times the operations of an epoch. There are so many `slots`, each of which
trains one trial at a time; a decision at a moment knows the results that were there by then, as if
the slots were workers. How many workers there are and how fast changes nothing.

Promotion is that of ASHA (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys
2020): of n trials that have reached a rung the best ⌊n / factor⌋ may go on to the next.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from trainer.sweeps.log import Began, Chosen, Closed, Entry, Found, Promoted, Settled


@dataclass
class Place:
    """Where a trial is: at which rung, with which losses (the less the better) by epoch. `cost` is
    that of an epoch in virtual time.
    """

    number: int
    values: Mapping[str, Any]
    cost: int
    until: int
    losses: dict[int, float] = field(default_factory=dict)
    epochs: int = 0
    running: bool = True
    status: Literal["running"] | Settled = "running"
    parameters: str = ""

    @property
    def ended(self) -> bool:
        """Whether it will not go on."""
        return not self.running and self.status != "waiting"

    @property
    def loss(self) -> float:
        """That of where it is; infinite before its first rung."""
        return self.losses[max(self.losses)] if self.losses else math.inf


@dataclass(frozen=True)
class Rules:
    """What a sweep's declaration says of its course.

    `rungs` are epochs, ascending, the last of them a whole training's. `factor` is that of halving,
    None without. `sign` turns an objective into a loss. Trials that do not depend on each other are
    all begun at once.
    """

    rungs: Sequence[int]
    factor: int | None
    slots: int
    planned: int
    sign: float
    by_arrival: bool = False


class Rung:
    """The trials that have reached a number of epochs, by (loss, number); some of them stay."""

    def __init__(self) -> None:
        self._reached: list[tuple[float, int]] = []  # ascending
        self._staying: list[tuple[float, int]] = []  # a heap, without those of no use

    def add(self, loss: float, number: int) -> None:
        """A trial has reached it."""
        insort(self._reached, (loss, number))
        if math.isfinite(loss):
            heapq.heappush(self._staying, (loss, number))

    @property
    def best(self) -> int | None:
        """The best of those that stay."""
        return self._staying[0][1] if self._staying else None

    def good(self, factor: int) -> int | None:
        """The best of those that stay, where it is one of the best ⌊n / factor⌋ of all."""
        if not self._staying:
            return None
        rank = bisect_left(self._reached, self._staying[0])
        return self.best if rank < len(self._reached) // factor else None

    def leave(self) -> None:
        """The best of those that stay goes on."""
        heapq.heappop(self._staying)


class Course:
    """The state that a log leads to, and what comes next."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.now = 0
        self.closed = False
        self.places: list[Place] = []
        self._running: list[tuple[int, int]] = []  # when it ends, which trial; ascending
        self._rungs = {epoch: Rung() for epoch in rules.rungs}
        self._whole = 0  # trials that came to a good end

    # The past ------------------------------------------------------------------------------

    def take(self, entry: Entry) -> None:
        """Takes the next entry of the log. Raises `ValueError` where it cannot follow on those
        before.
        """
        match entry:
            case Chosen():
                if entry.trial != len(self.places):
                    raise ValueError(f"trial {entry.trial} comes out of turn")
                self.places.append(Place(entry.trial, entry.values, entry.cost, entry.until))
                self._start(self.places[-1], entry.until)
            case Promoted():
                self._promote(entry)
            case Found():
                self._find(entry)
            case Closed():
                self.closed = True
            case Began():
                pass

    def _start(self, place: Place, until: int) -> None:
        end = self.now + (until - place.epochs) * place.cost
        place.running, place.status, place.until = True, "running", until
        insort(self._running, (end, place.number))

    def _promote(self, entry: Promoted) -> None:
        place = self._place(entry.trial)
        rung = self._rungs[place.until]
        if place.status != "waiting" or rung.best != place.number:
            raise ValueError(f"trial {entry.trial} is not the next to be promoted")
        rung.leave()
        self._start(place, entry.until)
        self._pass_on()

    def _find(self, entry: Found) -> None:
        place = self._place(entry.trial)
        if not place.running or entry.until != place.until:
            raise ValueError(f"trial {entry.trial} was not training to epoch {entry.until}")
        end = self.when(entry.trial)
        self._running.remove((end, entry.trial))
        self.now = self.now + 1 if self.rules.by_arrival else max(self.now, end)
        place.running, place.status, place.epochs = False, entry.status, entry.epochs
        place.parameters = entry.parameters
        loss = math.inf if entry.value is None else self.rules.sign * entry.value
        self._whole += entry.status == "finished" and math.isfinite(loss)
        self._reach(place, entry.until, loss)
        self._pass_on()

    def _place(self, number: int) -> Place:
        if not 0 <= number < len(self.places):
            raise ValueError(f"there is no trial {number} yet")
        return self.places[number]

    def _reach(self, place: Place, epoch: int, loss: float) -> None:
        place.losses[epoch] = loss
        self._rungs[epoch].add(loss, place.number)

    def _pass_on(self) -> None:
        """Trials that ended early are at the next rung, with what they have, once they are good
        enough to be promoted.
        """
        if self.rules.factor is None:
            return
        for epoch, following in pairwise(self.rules.rungs):
            rung = self._rungs[epoch]
            while (good := rung.good(self.rules.factor)) is not None and self.places[good].ended:
                rung.leave()
                self._reach(self.places[good], following, self.places[good].losses[epoch])

    # The future ----------------------------------------------------------------------------

    @property
    def running(self) -> list[int]:
        """The trials that are running, those first whose results count first."""
        return [number for _, number in self._running]

    def when(self, number: int) -> int:
        """When the result of a running trial counts."""
        return next(end for end, trial in self._running if trial == number)

    def next(self) -> Promoted | int | None:
        """What a free slot does now: a promotion, or a new trial by its number; None where there is
        nothing to do before the next result, or with nothing running at all.
        """
        if not self.rules.by_arrival and self._running and self._running[0][0] <= self.now:
            return None  # a result of this moment counts first
        if len(self._running) >= self.rules.slots:
            return None
        if not self.closed:
            promoted = self._promotion()
            if promoted is not None:
                return promoted
        if len(self.places) < (1 if self.closed else self.rules.planned):
            return len(self.places)
        return None if self._running else self._last()

    def _promotion(self) -> Promoted | None:
        if self.rules.factor is None:
            return None
        for epoch, following in reversed([*pairwise(self.rules.rungs)]):
            good = self._rungs[epoch].good(self.rules.factor)
            if good is not None:
                return Promoted(good, self.now, following)
        return None

    def _last(self) -> Promoted | None:
        """Where no trial came to its end, the best of the highest rung goes on to it."""
        if self._whole:
            return None
        for rung in reversed(self._rungs.values()):
            if rung.best is not None and not self.places[rung.best].ended:
                return Promoted(rung.best, self.now, self.rules.rungs[-1])
        return None
