"""Jobs are claimed, given to slots, and settled: each once, whatever dies in between.

The queue in the database is the truth. An attempt has a number there; what comes of an attempt that
is not the last one any more counts for nothing. Who claims a job and then dies has claimed it for
nothing, too: the next service finds it running, and puts it back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

from trainer.errors import MachineError
from trainer.service.records import Job, Wish
from trainer.service.sending import UPLOADS, without_folders
from trainer.service.states import OVER, State
from trainer.service.store import NotAllowed, Stale, Store
from trainer.service.work.errands import Errand
from trainer.service.work.reach import Reach
from trainer.service.work.slots import Slot
from trainer.service.work.verdicts import Verdict, verdict_of, verdict_of_loss
from trainer.service.work.watching import Watch, watch
from trainer.workers.processes import LostError
from trainer.workers.task import Answer

log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 0.2
LOOK_SECONDS: Final = 1.0
"""So often a free slot looks for a job by itself; usually it is told."""
_WISHED: Final[Mapping[Wish, State]] = {"cancel": "cancelled", "pause": "paused"}
AWAY_SECONDS: Final = 0.5
"""Between two tries of a database that is away."""


class Recording(Protocol):
    """Who has MLflow told of runs; see `Recorders`."""

    def follow(self, run: str) -> None:
        """Has a run followed."""

    def settle(self, run: str, several: bool) -> None:
        """A job is settled."""


@dataclass
class _Place:
    """A slot, and the job that it has."""

    name: str
    make: Callable[[], Slot]
    slot: Slot | None = None
    job: Job | None = None
    watch: Watch | None = None
    lost: int = 0
    thread: threading.Thread | None = field(default=None, repr=False)
    guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def has(self, job: str) -> bool:
        """Whether it has the job with this id."""
        return self.job is not None and self.job.id == job

    def stop(self, job: str) -> None:
        """Has the worker save the job, if it still has it. May wait for a cluster."""
        if self.has(job) and self.slot is not None:
            self.slot.stop()

    @property
    def state(self) -> str:
        """`starting`, `idle` or `busy`."""
        if self.job is not None:
            return "busy"
        return "idle" if self.slot is not None and self.slot.is_ready else "starting"


class Dispatcher:
    """Has jobs trained in slots."""

    def __init__(
        self,
        store: Store,
        runs: Path,
        slots: Sequence[Callable[[], Slot]],
        recorders: Recording,
        *,
        most: int | None = None,
        hidden: Sequence[Path] = (),
        **how: Any,
    ) -> None:
        """A user has at most so many jobs running; `how` is that of `Errand`, and reasons do not
        name the folders `hidden`.
        """
        self._store, self._runs, self._recorders = store, runs.absolute(), recorders
        self._most, self._how = most, how
        self._hidden = (self._runs / UPLOADS, self._runs, *hidden)
        self._places = [_Place(f"worker-{i + 1}", make) for i, make in enumerate(slots)]
        self._news = threading.Condition()
        self._claiming = threading.Lock()
        self._over = threading.Event()
        self._later: dict[str, float] = {}  # jobs that wait, and until when
        self.draining = False
        """Whether nothing new is begun."""
        self._leaving = False

    # The outside ---------------------------------------------------------------------------

    def start(self) -> None:
        """Puts back what an earlier service left running, and begins."""
        for job in self._store.unfinished():
            self._change(job, Verdict(*_left(job)), f"{job.id}-{job.attempt}-left")
        for job in self._store.waiting():
            self._change(job, Verdict("queued", "the service started"), _mark(job))
        for place in self._places:
            place.thread = threading.Thread(
                target=self._serve, args=[place], name=place.name, daemon=True
            )
            place.thread.start()
        threading.Thread(target=self._watch, name="watching", daemon=True).start()

    def poke(self) -> None:
        """Something was queued."""
        with self._news:
            self._news.notify_all()

    def stop_job(self, job: str) -> None:
        """There is a wish for a running job: its worker saves and answers."""
        for place in self._places:
            if place.has(job):
                threading.Thread(target=place.stop, args=[job], daemon=True).start()

    def workers(self) -> list[dict[str, Any]]:
        """Name, kind, state and job of each slot."""
        return [
            {
                "name": place.name, "kind": place.slot.kind if place.slot else "process",
                "state": place.state, "job": place.job.id if place.job else None,
            }
            for place in self._places
        ]  # fmt: skip

    def drain(self) -> None:
        """Begins nothing new; what runs goes on to its end."""
        self.draining = True

    @property
    def is_idle(self) -> bool:
        """Whether no slot has a job."""
        return all(place.job is None for place in self._places)

    def leave(self) -> None:
        """Has all that runs saved and put back into the queue, and ends the slots."""
        self.draining = self._leaving = True
        for place in self._places:
            if place.job is not None:
                self.stop_job(place.job.id)
        self._over.set()
        self.poke()
        for place in self._places:
            if place.thread is not None:
                place.thread.join()

    # A slot --------------------------------------------------------------------------------

    def _serve(self, place: _Place) -> None:
        place.slot = place.make()
        try:
            while not self._over.is_set():
                if not self._next(place):
                    with self._news:
                        self._news.wait(LOOK_SECONDS)
        finally:
            place.slot.close()

    def _next(self, place: _Place) -> bool:
        """Trains the next job, if there is one for this slot."""
        assert place.slot is not None
        try:
            with self._claiming:
                if self.draining:
                    return False
                place.job = job = self._store.claim(self._running(), self._most)
        except MachineError:  # the database is away
            self._over.wait(AWAY_SECONDS)
            return False
        if job is None:
            return False
        try:
            self._train(place, job)
        except MachineError:  # the service ends, and cannot say so: the next one finds the job
            assert self._leaving
        finally:
            place.job = place.watch = None
            self.poke()
        return True

    def _running(self) -> Mapping[str, int]:
        return Counter(place.job.user for place in self._places if place.job is not None)

    def _train(self, place: _Place, job: Job) -> None:
        """One attempt at a job, from its last checkpoint to its verdict."""
        reach = Reach(job, self._runs)
        self._recorders.follow(job.id)
        told = self._patiently(lambda: self._store.journal_place(job.id))
        try:
            answer = self._answer(place, job, told)
        except LostError as error:
            place.lost = 0 if error.begun else place.lost + 1
            now = self._now(job)
            verdict = verdict_of_loss(now, reach.got(self._told(job)), error.begun, place.lost)
        else:
            place.lost = 0
            got = reach.got(self._told(job))
            verdict = verdict_of(self._now(job), answer, got, self._leaving)
        self._tell_progress(place, job)
        self._recorders.settle(job.id, job.kind != "train")
        self._change(job, verdict, f"{job.id}-{job.attempt}-end", job.attempt)

    def _answer(self, place: _Place, job: Job, told: int) -> Answer:
        """What the slot answers; a fault of our own is the answer that the machine is to blame: the
        slot goes on with the next job. Raises `LostError`.
        """
        assert place.slot is not None
        wished = self._wish(job) is not None
        try:
            place.watch = watch(job, self._runs, told)
            if wished or self._leaving:  # it came while the job was claimed
                place.slot.stop()
            return place.slot.do(Errand.of(job, self._runs, **self._how))
        except LostError:
            raise
        except Exception as error:
            log.exception("the job %s met what nobody expected", job.id)
            reason = f"{type(error).__name__}: {error}"
            return Answer(job.id, "FAILED", reason=reason, fault="machine")

    def _now(self, job: Job) -> Job:
        """The job as it was claimed, with the wish that there is now."""
        return replace(job, wish=self._wish(job))

    def _wish(self, job: Job) -> Any:
        found = self._patiently(lambda: self._store.job(job.id))
        return found.wish if found is not None else None

    def _told(self, job: Job) -> int:
        """The step that the job got to, as far as it was told."""
        found = self._patiently(lambda: self._store.job(job.id))
        return int(found.step) if found is not None else 0

    # The verdict ---------------------------------------------------------------------------

    def _change(self, job: Job, verdict: Verdict, mark: str, attempt: int | None = None) -> None:
        """Settles an attempt, however long the database is away; a stale one counts for nothing."""
        with suppress(Stale, NotAllowed), self._claiming:
            now = self._patiently(lambda: self._store.change(
                job.id, verdict.to, without_folders(verdict.reason, self._hidden),
                attempt=attempt, mark=mark, **verdict.fields,
            ))  # fmt: skip
            if now.wish is not None and now.state in ("queued", "waiting"):
                # it was asked for after the worker had answered
                to, reason = _WISHED[now.wish], "as was asked"
                self._patiently(lambda: self._store.change(
                    job.id, to, reason, attempt=attempt, mark=f"{mark}-wish", wish=None
                ))  # fmt: skip
            if verdict.to == "waiting" and verdict.after is not None:
                self._later[job.id] = time.monotonic() + verdict.after
        if verdict.to == "finished" and job.cost.operations and job.attempt == 1:
            self._learn(job, verdict)

    def _learn(self, job: Job, verdict: Verdict) -> None:
        seconds = verdict.fields.get("seconds", 0.0)
        if job.kind == "train" and not verdict.fields.get("known") and seconds > 1.0:
            assert job.cost.operations is not None
            with suppress(MachineError):
                self._store.learn_speed("process", job.cost.operations, seconds)

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """What the database says, once it is there. Raises `MachineError` where it is still away
        when the service ends.
        """
        while True:
            try:
                return ask()
            except MachineError:
                if self._leaving:
                    raise
                time.sleep(AWAY_SECONDS)

    # Watching ------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._over.wait(WATCH_SECONDS):
            for place in self._places:
                if (job := place.job) is not None:
                    with logged("how far a job is cannot be told"):
                        self._tell_progress(place, job)
            with logged("jobs that wait cannot be queued again"):
                self._wake_waiting()

    def _tell_progress(self, place: _Place, job: Job) -> None:
        """Tells what is new of a run; what the database does not take now is in the folder."""
        with place.guard, suppress(MachineError):
            found = place.watch.news() if place.watch is not None else None
            if found is None:
                return
            self._store.progress(
                job.id, job.attempt, place=found.place, epoch=found.epoch, step=found.step,
                metrics=found.metrics, series=found.series, epochs=job.epochs,
            )  # fmt: skip

    def _wake_waiting(self) -> None:
        now = time.monotonic()
        for job in [job for job, until in self._later.items() if until <= now]:
            with suppress(MachineError):
                found = self._store.job(job)
                if found is not None and found.state == "waiting":
                    with suppress(Stale, NotAllowed):
                        self._store.change(
                            job, "queued", "it is tried again", attempt=None, mark=_mark(found)
                        )
                del self._later[job]
                self.poke()


@contextmanager
def logged(what: str) -> Iterator[None]:
    """Nothing that goes wrong within it ends the thread that others rely on."""
    try:
        yield
    except Exception:
        log.exception(what)


def _left(job: Job) -> tuple[Any, str]:
    """What becomes of a job that an earlier service left running."""
    if job.wish == "cancel":
        return "cancelled", "as was asked, before the service ended"
    if job.wish == "pause":
        return "paused", "as was asked, before the service ended"
    assert job.state not in OVER
    return "queued", "the service had ended; it goes on from where it was saved"


def _mark(job: Job) -> str:
    """Names the end of this waiting."""
    return f"{job.id}-{job.attempt}-again"
