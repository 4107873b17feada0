"""What people and programs may do with the service, without HTTP.

Each method is a use case: who asks comes first, and what it may not do is refused here, whatever
way the question came. Files that were sent are in `uploading`, what a run left in `keeping`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from trainer.checkpoints.facts import read_outcome
from trainer.errors import CheckpointError, UsageError
from trainer.service.needed import Checked, Checker, Work
from trainer.service.quotas import Quotas
from trainer.service.records import Job, Kind, Role, User
from trainer.service.refusals import Conflict, Draining, Forbidden, Missing, TooLarge
from trainer.service.settings import Settings
from trainer.service.states import OVER, State
from trainer.service.store import JobFilter, Page, Stale, Store

MAX_PRIORITY: Final = 1000
"""Of a job, in either direction. It counts among the jobs of one user."""
MAX_KEY: Final = 200
"""Characters of an Idempotency-Key."""
TRIES: Final = 20
"""So often a job is looked at anew that came into another state in the meantime."""


@dataclass(frozen=True)
class Asked:
    """A spec, as it came in, and what is to be done with it."""

    text: str
    kind: Kind | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    again: bool = False
    parent: str | None = None

    @property
    def sha256(self) -> str:
        """What tells this request from another one."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Submitted:
    """A job as it was taken in. `new` is false where it came before; `place` is that in the queue,
    None where it does not wait.
    """

    job: Job
    new: bool
    place: int | None


class Desk:
    """The use cases. `runs` has the folders of runs by their id, `clock` tells seconds since
    1970.
    """

    def __init__(
        self,
        store: Store,
        checker: Checker,
        work: Work,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.checker = checker
        self.work = work
        self.settings = settings
        self.runs: Path = settings.runs
        self.clock = clock
        self._quotas = Quotas(store, settings, clock)

    # Reading ------------------------------------------------------------------------------------

    def job(self, user: User, name: str) -> Job:
        """The job with this id, or beginning of one. Raises `Missing`."""
        job = self.store.job(name)
        if job is None or not (user.sees_all or job.user == user.name):
            raise Missing(f"there is no job '{name}'")
        return job

    def jobs(
        self, user: User, wanted: JobFilter, sort: str, limit: int, after: str | None
    ) -> Page[Job]:
        """A page of the jobs that the user may see."""
        if not user.sees_all:
            if wanted.user not in (None, user.name):
                return Page(items=(), next=None, total=0)
            wanted = replace(wanted, user=user.name)
        try:
            return self.store.jobs(wanted, sort, limit, after)
        except OverflowError:  # of a number that somebody has put into a cursor
            raise UsageError(
                "after: expected what came with a page as its `next`", code="TR-V012"
            ) from None

    def counts(self, user: User) -> Mapping[State, int]:
        """How many jobs that the user may see are in each state."""
        return self.store.counts(None if user.sees_all else user.name)

    def place(self, job: Job) -> int | None:
        """Which of the queue the job is, None where it does not wait."""
        return self.store.place(job) if job.state == "queued" else None

    def folder(self, job: Job) -> Path:
        """Where the files of its run are, if there are any."""
        return self.runs / (job.run or job.id)

    # Submitting ---------------------------------------------------------------------------------

    def check(self, user: User, asked: Asked) -> Checked:
        """What is known of a spec before it is trained. Raises all its mistakes."""
        size = len(asked.text.encode())
        if size > self.settings.spec_bytes:
            raise TooLarge(f"a spec has at most {self.settings.spec_bytes:,} bytes, not {size:,}")
        return self.checker.check(asked.text, user.name, asked.kind, asked.options)

    def submit(self, user: User, asked: Asked, key: str | None = None) -> Submitted:
        """Takes a job in, if it has no mistakes and the user's quotas have room for it. With a
        `key` the same request is taken in once, however often it comes.
        """
        _demand(user, "submitter")
        before = self._before(user, asked, key)
        if before is not None:
            return Submitted(before, new=False, place=self.place(before))
        if self.work.draining:
            raise Draining("the service is about to end and takes no new jobs", seconds=30)
        if abs(asked.priority) > MAX_PRIORITY:
            raise UsageError(
                f"priority: expected -{MAX_PRIORITY} to {MAX_PRIORITY}", code="TR-V012"
            )
        parent = self._parent(user, asked.parent)
        checked = self.check(user, asked)
        job = self._made(user, asked, checked, parent, key)
        with self._quotas.room_for_job(user, none=job.state in OVER):
            kept, new = self.store.submit(job, key, asked.sha256)
        if new and kept.state not in OVER:
            self.work.poke()
        return Submitted(kept, new, self.place(kept))

    def _before(self, user: User, asked: Asked, key: str | None) -> Job | None:
        """The job that this key has made. Looked for first, as the spec's data may be gone since.
        Raises `KeyTaken` where another request came with it.
        """
        if key is None:
            return None
        if not 0 < len(key) <= MAX_KEY or not key.isprintable():
            raise UsageError(
                f"Idempotency-Key: expected 1 to {MAX_KEY} printable characters", code="TR-V012"
            )
        job = self.store.job(_id_of(user, key))
        return None if job is None else self.store.submit(job, key, asked.sha256)[0]

    def _parent(self, user: User, name: str | None) -> str | None:
        try:
            return None if name is None else self.job(user, name).id
        except Missing as error:
            raise UsageError(f"parent: {error.message}", code="TR-V012") from None

    def _made(
        self, user: User, asked: Asked, checked: Checked, parent: str | None, key: str | None
    ) -> Job:
        now = self.clock()
        job = Job(
            id=uuid4().hex if key is None else _id_of(user, key),
            number=0,
            user=user.name,
            name=checked.name,
            kind=checked.kind,
            text=checked.text,
            resolved=checked.resolved,
            file=checked.file,
            priority=asked.priority,
            options=checked.options,
            again=asked.again,
            fingerprint=checked.fingerprint,
            parent=parent,
            epochs=checked.epochs,
            cost=checked.cost,
            created=now,
        )
        if checked.known is None or asked.again:
            return replace(job, run=job.id)
        return self._known(replace(job, run=checked.known, known=True, ended=now))

    def _known(self, job: Job) -> Job:
        """The job as one that another run has done."""
        job = replace(job, state="finished", reason=f"trained before, as {job.run}")
        with suppress(CheckpointError):
            if (outcome := read_outcome(self.folder(job))) is not None:
                return replace(
                    job,
                    step=outcome.step,
                    epoch=outcome.epoch,
                    metrics=outcome.metrics,
                    digest=outcome.parameters_sha256 or "",
                )
        return job

    # Steering -----------------------------------------------------------------------------------

    def cancel(self, user: User, name: str) -> Job:
        """Ends a job: at once where it waits, as soon as its worker has saved where it runs."""
        return self._steer(user, name, lambda job: self._end(user, job))

    def pause(self, user: User, name: str) -> Job:
        """Has a job wait until someone resumes it."""
        return self._steer(user, name, lambda job: self._pause(user, job))

    def resume(self, user: User, name: str) -> Job:
        """Queues a paused job again, or takes back the wish to pause it."""
        return self._steer(user, name, lambda job: self._resume(user, job))

    def prioritize(self, user: User, name: str, priority: int) -> Job:
        """Moves a job among the user's others."""
        if abs(priority) > MAX_PRIORITY:
            raise UsageError(
                f"priority: expected -{MAX_PRIORITY} to {MAX_PRIORITY}", code="TR-V012"
            )
        return self._steer(user, name, lambda job: self._prioritize(job, priority))

    def _steer(self, user: User, name: str, act: Callable[[Job], Job]) -> Job:
        """Does something with a job as it is; again, where it became another one meanwhile."""
        _demand(user, "submitter")
        for _ in range(TRIES):
            job = self.job(user, name)
            with suppress(Stale):
                return act(job)
        raise Conflict(f"the job {name} changes too quickly, try again", seconds=1)

    def _end(self, user: User, job: Job) -> Job:
        if job.state == "cancelled":
            return job
        if job.state == "running":
            return self._wish(job, "cancel")
        return self._become(job, "cancelled", f"cancelled by {user.name}", ended=self.clock())

    def _pause(self, user: User, job: Job) -> Job:
        if job.state == "paused":
            return job
        if job.state == "running":
            if job.wish == "cancel":
                raise Conflict(f"the job {job.id} is being cancelled")
            return self._wish(job, "pause")
        return self._become(job, "paused", f"paused by {user.name}")

    def _resume(self, user: User, job: Job) -> Job:
        if job.state == "queued" or (job.state == "running" and job.wish is None):
            return job
        if job.state == "running" and job.wish == "pause":
            return self.store.wish(job.id, None)
        if job.state != "paused":
            raise Conflict(f"the job {job.id} is {job.state} and cannot be resumed")
        resumed = self._become(job, "queued", f"resumed by {user.name}")
        self.work.poke()
        return resumed

    def _prioritize(self, job: Job, priority: int) -> Job:
        if job.state in OVER:
            raise Conflict(f"the job {job.id} is {job.state}: its priority counts no more")
        if job.priority == priority:
            return job
        changed = self.store.prioritize(job.id, priority)
        self.work.poke()
        return changed

    def _wish(self, job: Job, wish: Any) -> Job:
        wished = job if job.wish == wish else self.store.wish(job.id, wish)
        self.work.stop_job(job.id)
        return wished

    def _become(self, job: Job, state: State, reason: str, **fields: Any) -> Job:
        """The job in another state. Raises `Stale` where a worker began it meanwhile."""
        mark = uuid4().hex
        return self.store.change(
            job.id, state, reason, attempt=job.attempt, mark=mark, wish=None, **fields
        )

    # Administration -----------------------------------------------------------------------------

    def drain(self, user: User) -> None:
        """Has the service begin nothing new."""
        _demand(user, "admin")
        self.work.drain()


def _demand(user: User, role: Role) -> None:
    if not user.may(role):
        raise Forbidden(f"this needs the role {role}, and {user.name} is a {user.role}")


def _id_of(user: User, key: str) -> str:
    """The id of the job that a user's key stands for: the same one however often it comes."""
    return hashlib.sha256(f"job\0{user.name}\0{key}".encode()).hexdigest()[:32]
