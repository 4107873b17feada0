"""How far the runs of jobs are, as their folders tell it, becomes events of the service.

An epoch is told once, whoever trains it how often: the place of an event in its run, not in the
file, says whether it was told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from trainer.checkpoints.facts import read_outcome
from trainer.checkpoints.folder import JOURNAL
from trainer.checkpoints.journal import Follower
from trainer.errors import CheckpointError
from trainer.service.records import Job
from trainer.sweeps.crossval import fold_id
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.log import read_log
from trainer.sweeps.view import course_of
from trainer.training.events import EpochDone, LoopEvent, StepsDone

UNREAD: Final = 5
"""A journal whose end cannot be read for so many looks is read anew."""
POINTS: Final = 50
"""So many points of a series are told at a time; the run's folder has all of them."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: the events until `place` are told with it."""

    place: int
    epoch: int
    step: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, list[list[float]]] = field(default_factory=dict)


class Watch(Protocol):
    """Looks at what a job's folder tells."""

    def news(self) -> Progress | None:
        """What is new, if anything is. Raises nothing that a folder can cause."""


def watch(job: Job, runs: Path, told: int) -> Watch:
    """Looks at a job, of which the events until the place `told` are known."""
    if job.kind == "sweep":
        return _SweepWatch(job, runs)
    return _FoldsWatch(job, runs) if job.kind == "crossval" else RunWatch(runs / job.id, told)


class RunWatch:
    """Looks at the journal of one run. Step s is at place 2 s + 1, the epoch that ends with it at
    2 s + 2.
    """

    def __init__(self, folder: Path, told: int) -> None:
        self._path = folder / JOURNAL
        self._follower = Follower(self._path)
        self._told = told
        self._unread = 0
        self._metrics: Mapping[str, float] = {}

    def news(self) -> Progress | None:
        """What the journal tells that was not told; see `Watch`."""
        try:
            events = self._follower.news()
            size = self._path.stat().st_size
        except (OSError, ValueError):  # it is not there yet, or is damaged: who trains it says so
            return None
        place = self._follower.place
        self._unread = self._unread + 1 if size > place and not events else 0
        if size < place or self._unread > UNREAD:  # it went back to a checkpoint
            self._follower, self._unread = Follower(self._path), 0
            return None
        return self._of(events)

    def _of(self, events: Sequence[LoopEvent]) -> Progress | None:
        for event in events:
            if isinstance(event, EpochDone):
                self._metrics = event.metrics
        new = [event for event in events if _place(event) > self._told]
        if not new:
            return None
        self._told = _place(new[-1])
        epochs = [event for event in new if isinstance(event, EpochDone)]
        series: dict[str, list[list[float]]] = {}
        for event in thinned(epochs, POINTS):
            for name, value in event.metrics.items():
                if math.isfinite(value):
                    series.setdefault(name, []).append([event.epoch, value])
        last = new[-1]
        epoch = last.epoch - (isinstance(last, StepsDone))
        return Progress(self._told, max(epoch, 0), _step(last), self._metrics, series)


def _step(event: LoopEvent) -> int:
    return event.first + len(event.steps.losses) - 1 if isinstance(event, StepsDone) else event.step


def _place(event: LoopEvent) -> int:
    if isinstance(event, StepsDone):
        return 2 * _step(event) + 1
    return 2 * event.step + 2 if isinstance(event, EpochDone) else 0


def thinned(items: list[Any], most: int) -> list[Any]:
    """At most so many of them, evenly, the last one among them."""
    if len(items) <= most:
        return items
    step = len(items) / most
    return [items[min(math.ceil((i + 1) * step), len(items)) - 1] for i in range(most)]


class _SweepWatch:
    """Looks at the log of a sweep: trials that have ended are its epochs, and decisions its steps;
    the best value so far, at any rung, is its series.
    """

    def __init__(self, job: Job, runs: Path) -> None:
        self._folder = runs / job.id
        self._spec = SweepSpec.from_resolved(job.resolved, file=job.file)
        self._size = 0

    def news(self) -> Progress | None:
        """What the log tells; see `Watch`."""
        try:
            entries, _ = read_log(self._folder)
            if len(entries) <= self._size:
                return None
            course = course_of(self._spec, entries)
        except (CheckpointError, OSError, ValueError):
            return None
        self._size = len(entries)
        done = sum(place.ended for place in course.places)
        objective = self._spec.objective.objective
        losses = (loss for place in course.places for loss in place.losses.values())
        best = min(losses, default=math.inf)
        metrics = {objective.metric: objective.loss(best)} if math.isfinite(best) else {}
        series = {f"best_{name}": [[float(done), value]] for name, value in metrics.items()}
        return Progress(len(entries), done, len(entries), metrics, series)


class _FoldsWatch:
    """Looks at the folds of a cross-validation: those that have ended are its epochs."""

    def __init__(self, job: Job, runs: Path) -> None:
        count = int(job.options.get("folds") or 0)
        self._folders = [runs / fold_id(job.id, number) for number in range(1, count + 1)]
        self._done = 0

    def news(self) -> Progress | None:
        """How many folds have ended; see `Watch`."""
        done = 0
        for folder in self._folders:
            with suppress(CheckpointError, OSError):
                outcome = read_outcome(folder)
                done += outcome is not None and outcome.status == "FINISHED"
        if done <= self._done:
            return None
        self._done = done
        return Progress(done, done, done)
