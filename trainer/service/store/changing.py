"""What becomes of jobs: one place where their states change, each change once."""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import Connection, bindparam, select, update

from trainer.service.records import Job, Wish
from trainer.service.states import OVER, State, may_become
from trainer.service.store.counting import count
from trainer.service.store.events import add_event, is_marked
from trainer.service.store.part import Part, new_mark
from trainer.service.store.refusals import NoJob, NotAllowed, Stale
from trainer.service.store.rows import job_by_id
from trainer.service.store.tables import jobs

_LOOK: Final = (
    select(jobs.c.id, jobs.c.user, jobs.c.state, jobs.c.attempt, jobs.c.started, jobs.c.priority)
    .where(jobs.c.id == bindparam("job"))
    .with_for_update()
)


class Found(TypedDict, total=False):
    """What else of a job may be written along with a change of its state."""

    step: int
    epoch: int
    epochs: int | None
    metrics: Mapping[str, float]
    digest: str
    seconds: float
    run: str | None
    known: bool
    stuck: int
    started: float | None
    ended: float | None
    fingerprint: str | None


class Changing(Part):
    """Changes of jobs."""

    def change(
        self,
        job: str,
        to: State,
        reason: str,
        *,
        attempt: int | None,
        mark: str,
        wish: Wish | None | EllipsisType = ...,
        **fields: Unpack[Found],
    ) -> Job:
        """Has a job come into another state, and gives it as it is then. With the same `mark`,
        which a caller makes up for each change, it happens once.

        With an `attempt` the job must still be in it. A `wish` stays unless it is given, or the job
        is over. A job that comes to run has a new attempt. Raises `NoJob`, `NotAllowed` where no
        job may come into this state from the one it is in, and `Stale`.
        """
        values: dict[str, Any] = dict(fields)
        if wish is not ...:
            values["wish"] = wish
        elif to in OVER:
            values["wish"] = None

        def write(connection: Connection) -> Job:
            if is_marked(connection, mark) is None:
                row = _look(connection, job)
                if attempt is not None and row.attempt != attempt:
                    raise Stale(f"the job {job} is in its attempt {row.attempt}, not {attempt}")
                if not may_become(row.state, to):
                    raise NotAllowed(f"the job {job} is {row.state} and cannot become {to}")
                move(connection, row, to, reason, self._clock(), mark, values)
            return _whole(connection, job)

        return self._db.write(write)

    def wish(self, job: str, wish: Wish | None) -> Job:
        """Says what the worker of a running job is to do, or that it need not any more. Raises
        `NoJob`, and `Stale` where the job does not run, and so no worker will see it.
        """

        def write(connection: Connection) -> Job:
            row = _look(connection, job)
            if row.state != "running" and wish is not None:
                raise Stale(f"the job {job} is {row.state}: no worker has it")
            connection.execute(update(jobs).where(jobs.c.id == job).values(wish=wish))
            return _whole(connection, job)

        return self._db.write(write)

    def prioritize(self, job: str, priority: int) -> Job:
        """Has a job begin before those of its user with lower priorities. Raises `NoJob`, and
        `NotAllowed` where it is over.
        """
        mark = new_mark()

        def write(connection: Connection) -> Job:
            row = _look(connection, job)
            if row.state in OVER:
                raise NotAllowed(f"the job {job} is {row.state}: its priority counts no more")
            if is_marked(connection, mark) is None and row.priority != priority:
                connection.execute(update(jobs).where(jobs.c.id == job).values(priority=priority))
                text = {"text": f"priority {priority}, before {row.priority}"}
                add_event(connection, job, "note", text, self._clock(), mark, row.user)
            return _whole(connection, job)

        return self._db.write(write)


def move(
    connection: Connection,
    row: Any,
    to: State,
    reason: str,
    now: float,
    mark: str,
    values: Mapping[str, Any],
) -> None:
    """Writes the new state of a job with these values, and its event. `row` holds its id, user,
    state, attempt and when it first started.
    """
    written = {"state": to, "reason": reason, "ended": now if to in OVER else None}
    attempt = row.attempt
    if to == "running":
        attempt += 1
        written |= {"attempt": attempt, "started": row.started or now}
    connection.execute(update(jobs).where(jobs.c.id == row.id).values(written | dict(values)))
    count(connection, row.user, row.state, -1)
    count(connection, row.user, to, 1)
    data = {"from": row.state, "to": to, "reason": reason, "attempt": attempt}
    add_event(connection, row.id, "state", data, now, mark, row.user)


def _look(connection: Connection, job: str) -> Any:
    row = connection.execute(_LOOK, {"job": job}).first()
    if row is None:
        raise NoJob(f"there is no job '{job}'")
    return row


def _whole(connection: Connection, job: str) -> Job:
    found = job_by_id(connection, job)
    assert found is not None
    return found
