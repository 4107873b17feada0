"""What takes a sweep from where its log is to its end: it decides, has workers train, and waits.

Nothing is decided but by the `Course`; the driver appends each entry to the log before anything
follows from it, and hands tasks to workers in the order in which their results will count.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from trainer.checkpoints.disk import check_sealed
from trainer.checkpoints.facts import read_facts, read_outcome
from trainer.checkpoints.folder import CHECKPOINTS, Lock
from trainer.checkpoints.folder import LOCK as RUN_LOCK
from trainer.errors import (
    CheckpointError,
    DataError,
    InterruptedRun,
    SpecError,
)
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.log import Chosen, Closed, Entry, Found, Log, Promoted, Settled
from trainer.sweeps.plan import usual_epochs
from trainer.sweeps.sampling import Sampler
from trainer.sweeps.standing import Standing, Sweep, SweepListener
from trainer.sweeps.trials import Trials
from trainer.sweeps.view import Said, View, course_of
from trainer.training import Stop, Warned
from trainer.training.result import Status
from trainer.workers.pool import Workers
from trainer.workers.reached import refused
from trainer.workers.task import OURS, Answer, Told

TRIES: Final = 3  # of a task that fails for a reason outside
LOOK_SECONDS: Final = 0.1
TELL_SECONDS: Final = 0.25
TELL_SHARE: Final = 0.03  # of the time


@dataclass(frozen=True)
class Script:
    """What is to be repeated of a log: the order of results, where it goes by their arrival, and
    before which entry the sweep was closed.
    """

    results: Sequence[int]
    closed: int | None

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> Script:
        """That of a log."""
        closed = [i for i, entry in enumerate(entries) if isinstance(entry, Closed)]
        results = [entry.trial for entry in entries if isinstance(entry, Found)]
        return cls(results, closed[0] if closed else None)


@dataclass
class Driver:
    """A sweep while it is carried out. `heard` is told of each answer of a worker. `spent` are the
    seconds that earlier drivers took, and `script` is what is repeated, if anything is.
    """

    spec: SweepSpec
    trials: Trials
    log: Log
    sampler: Sampler
    workers: Workers
    listen: SweepListener
    stop: Stop
    heard: Callable[[Answer], None]
    spent: float = 0.0
    script: Script | None = None
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.course = course_of(self.spec, self.log.entries)
        self.view = View(self.spec, self.trials, self.course)
        self._arrived: dict[int, Answer] = {}  # those that do not count yet, in their order
        self._queued = set(self.course.running)
        self._busy: dict[Future[Answer], int] = {}
        self._tries: dict[int, int] = {}
        self._tell_from = 0.0
        self._expected = usual_epochs(self.spec)
        self._results = sum(isinstance(entry, Found) for entry in self.log.entries)
        self._sizes: dict[int, int] = {}

    def run(self) -> None:
        """Carries it to its end. Raises `InterruptedRun` where it was stopped, `CheckpointError`
        where the disk refuses, `MachineError` where a trial cannot be trained for a reason outside;
        each with all that runs paused.
        """
        try:
            while True:
                self._decide()
                if not self.course.running:
                    return
                self._settle(self._next_result())
        except BaseException:
            self._pause()
            raise

    @property
    def seconds(self) -> float:
        """The time that the sweep has taken so far."""
        return self.spent + time.monotonic() - self.began

    # Deciding ------------------------------------------------------------------------------

    def _decide(self) -> None:
        """Takes all the decisions of this moment."""
        new: list[Entry] = []
        while True:
            if self._is_spent(len(self.log.entries) + len(new)):
                new.append(Closed(self.course.now))
                self.course.take(new[-1])
            wanted = self.course.next()
            if wanted is None:
                break
            entry = wanted if isinstance(wanted, Promoted) else self._choose(wanted)
            self.course.take(entry)
            new.append(entry)
            self._queued.add(entry.trial)
        if new:
            self.log.append(new)

    def _choose(self, number: int) -> Chosen:
        """A new trial. One that fits no spec has failed before it begins."""
        values = self.sampler(number, self.course.places)
        try:
            cost = self.trials.cost(number, values)
        except (SpecError, DataError) as error:
            cost = 1
            self._arrived[number] = self._refused(number, error)
        return Chosen(number, self.course.now, self.course.rules.rungs[0], cost, values)

    def _refused(self, number: int, error: SpecError | DataError) -> Answer:
        """The answer of a trial that no worker need try."""
        fault: Told = "spec" if isinstance(error, SpecError) else "data"
        return Answer(self.trials.id(number), "FAILED", reason=str(error), fault=fault)

    def _is_spent(self, entries: int) -> bool:
        """Whether the sweep closes here, as its time is spent or the script says so."""
        if self.course.closed:
            return False
        if self.script is not None:
            return entries == self.script.closed
        limit = self.spec.budget.seconds
        return limit is not None and self.seconds >= limit

    # Results -------------------------------------------------------------------------------

    def _settle(self, number: int) -> None:
        """The result of a trial counts from now on."""
        answer, place = self._arrived.pop(number), self.course.places[number]
        status = self._status(answer)
        value = None
        if status in ("waiting", "finished"):
            value = answer.metrics.get(self.spec.objective.objective.metric)
        whole = status == "finished"
        at = self.course.now if self.course.rules.by_arrival else self.course.when(number)
        entry = Found(
            number, at, place.until, answer.epoch, status,
            value if value is not None and math.isfinite(value) else None,
            answer.parameters_sha256 if whole else "",
        )  # fmt: skip
        self.log.append([entry])
        self.course.take(entry)
        self._results += 1
        self.view.said[number] = Said.by(answer)
        if status in ("diverged", "failed"):
            self.listen(Warned(f"trial {number} {status}: {answer.reason}".rstrip(": ")))
        if status == "waiting":
            self._sizes.pop(number, None)
            self._make_room()

    def _status(self, answer: Answer) -> Settled:
        match answer.status:
            case "PAUSED":
                return "waiting"
            case "FINISHED":
                return "finished"
            case "DIVERGED":
                return "diverged"
            case _:
                return "failed"

    def _next_result(self) -> int:
        """Waits for the result that counts next; its trial."""
        while (number := self._counting()) is None:
            self._hand_out()
            for done in wait(self._busy, LOOK_SECONDS, FIRST_COMPLETED).done:
                self._take(self._busy.pop(done), done.result())
            self._tell()
            if self.stop():
                raise InterruptedRun(self._interrupted())
        return number

    def _counting(self) -> int | None:
        """The trial whose result counts next, if it is there."""
        number: int | None = self.course.running[0]
        if self.course.rules.by_arrival:
            number = next(iter(self._arrived), None)
            if self.script is not None and self._results < len(self.script.results):
                asked = self.script.results[self._results]
                # where the two differ already, there is nothing to wait for
                number = asked if asked in self.course.running else number
        return number if number in self._arrived else None

    def _take(self, number: int, answer: Answer) -> None:
        """Takes an answer. What failed for a reason outside is tried again."""
        if answer.status == "KILLED":
            self._queued.add(number)
            return
        if answer.status == "FAILED" and answer.fault not in OURS:
            self._tries[number] = self._tries.get(number, 0) + 1
            if self._tries[number] >= TRIES:
                raise refused(answer, f"trial {number} cannot be trained: {answer.reason}")
            self.listen(Warned(f"trial {number} is tried again: {answer.reason}"))
            self._queued.add(number)
            return
        self._tries.pop(number, None)
        self._arrived[number] = answer
        self.heard(answer)

    # Workers -------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        """Gives every free worker the task whose result counts first."""
        free = self.workers.count - len(self._busy)
        if free <= 0 or not self._queued:
            return
        self._queued -= self._arrived.keys()
        waiting = (number for number in self.course.running if number in self._queued)
        for number in [*islice(waiting, free)]:
            self._queued.remove(number)
            try:
                task = self.trials.task(self.course.places[number])
            except SpecError as error:  # one that an earlier process has chosen
                self._arrived[number] = self._refused(number, error)
            else:
                self._busy[self.workers.submit(task)] = number

    def mend(self, number: int) -> None:
        """Trains a trial again, to the same bits, of whose folder something is gone: a machine that
        loses its power may lose what was written last.
        """
        folder = self.trials.folder(number)
        try:
            facts, outcome = read_facts(folder), read_outcome(folder)
            if outcome is not None:
                check_sealed(folder, {**facts.files, **outcome.files})
                return
        except CheckpointError:
            pass
        shutil.rmtree(folder, ignore_errors=True)
        answer = self.workers.submit(self.trials.task(self.course.places[number])).result()
        self.heard(answer)

    def _pause(self) -> None:
        """Has all that runs saved, and waits for it."""
        if self._busy:
            self.workers.pause()
            for done in wait(self._busy).done:
                with suppress(Exception):
                    self.heard(done.result())
            self._busy = {}

    def _make_room(self) -> None:
        """Where the waiting trials' checkpoints take more than the budget, the worst trials' go: if
        one of them is promoted all the same, it is trained from its start, to the same bits.
        """
        limit = self.spec.budget.bytes
        if limit is None:
            return
        waiting = [place for place in self.course.places if place.status == "waiting"]
        for place in waiting:
            if place.number not in self._sizes:
                self._sizes[place.number] = _size(self.trials.folder(place.number) / CHECKPOINTS)
        total = sum(self._sizes[place.number] for place in waiting)
        if total <= limit:
            return
        for place in sorted(waiting, key=lambda p: (p.loss, p.number), reverse=True):
            if total <= limit:
                return
            if self._sizes[place.number] and _drop(self.trials.folder(place.number)):
                total -= self._sizes[place.number]
                self._sizes[place.number] = 0

    # What is seen --------------------------------------------------------------------------

    def _tell(self) -> None:
        began = time.monotonic()
        if began >= self._tell_from:
            self.listen(Standing(self.sweep("KILLED"), len(self._busy), self.workers.count,
                                 self._left()))  # fmt: skip
            spent = time.monotonic() - began
            self._tell_from = began + max(TELL_SECONDS, spent / TELL_SHARE)

    def _left(self) -> float | None:
        """About the seconds until the end."""
        done = sum(place.epochs for place in self.course.places)
        if not done:
            return None
        left = max(self._expected - done, 0.0) * self.seconds / done
        limit = self.spec.budget.seconds
        return left if limit is None else min(left, max(limit - self.seconds, 0.0))

    def _interrupted(self) -> str:
        done = sum(not place.running for place in self.course.places)
        return f"stopped after {done} of {self.spec.planned} trials"

    def sweep(self, status: Status) -> Sweep:
        """The sweep as it stands."""
        busy = {*self._busy.values(), *self._arrived}
        return self.view.sweep(status, self.log.digest, self.seconds, busy)


def _size(folder: Path) -> int:
    with suppress(OSError):
        return sum(path.lstat().st_size for path in folder.iterdir())
    return 0


def _drop(folder: Path) -> bool:
    """Removes the checkpoints of a run that nobody holds; whether that was done."""
    try:
        lock = Lock(folder / RUN_LOCK, patience=0)
    except OSError:
        return False
    try:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    finally:
        lock.release()
    return True
