"""Jobs: submitted once, found by their id, and followed by what their journals say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from trainer.service.records import Job
from trainer.service.states import OVER, State
from trainer.service.store.counting import count
from trainer.service.store.events import add_event
from trainer.service.store.part import Part, next_number
from trainer.service.store.refusals import KeyTaken
from trainer.service.store.rows import WHOLE, job_by_id, job_of, row_of
from trainer.service.store.tables import jobs, specs

_BEGINNING: Final = re.compile("[0-9a-f]{6,}")
_KEYED: Final = select(jobs.c.id, jobs.c.request).where(
    jobs.c.user == bindparam("who"), jobs.c.key == bindparam("with_key")
)
_WRITE_JOB: Final = insert(jobs)
_WRITE_SPEC: Final = insert(specs)
_PLACE: Final = select(jobs.c.place).where(jobs.c.id == bindparam("job"))


class Jobs(Part):
    """What is known of jobs."""

    def submit(self, job: Job, key: str | None, request: str) -> tuple[Job, bool]:
        """Takes a job in, with the next number; and whether it is new. With the same `key` of this
        user, or the same id, it is the one that came before.

        `request` is the SHA-256 of what was asked. Raises `KeyTaken` where another request came
        with the key.
        """
        job = job if job.created else replace(job, created=self._clock())
        return self._db.write(lambda connection: self._submit(connection, job, key, request))

    def _submit(
        self, connection: Connection, job: Job, key: str | None, request: str
    ) -> tuple[Job, bool]:
        before = _before(connection, job, key, request)
        if before is not None:
            return before, False
        job = replace(job, number=next_number(connection, "jobs"))
        short, long = row_of(job)
        connection.execute(_WRITE_JOB, short | {"place": 0, "key": key, "request": request})
        connection.execute(_WRITE_SPEC, long)
        count(connection, job.user, job.state, 1)
        data = {"from": None, "to": job.state, "reason": job.reason, "attempt": job.attempt}
        add_event(connection, job.id, "state", data, self._clock(), user=job.user)
        return job, True

    def job(self, name: str) -> Job | None:
        """The job with this id, or with an id that begins so, as no other's does. What is to begin
        an id has six of its digits, or more.
        """
        return self._db.read(lambda connection: _named(connection, name))

    def unfinished(self) -> list[Job]:
        """The jobs that are running: when the server starts, those of the one before."""
        return self._in_state("running")

    def waiting(self) -> list[Job]:
        """The jobs that wait for something to be so."""
        return self._in_state("waiting")

    def _in_state(self, state: State) -> list[Job]:
        query = WHOLE.where(jobs.c.state == state).order_by(jobs.c.number)
        return self._db.read(
            lambda connection: [job_of(row) for row in connection.execute(query).mappings()]
        )

    # What the journal of a job's run says -------------------------------------------------------

    def progress(
        self,
        job: str,
        attempt: int,
        *,
        place: int,
        epoch: int,
        step: int,
        metrics: Mapping[str, float],
        series: Mapping[str, Sequence[Sequence[float]]],
        epochs: int | None,
    ) -> bool:
        """Tells how far a job is: until the `place` of the last event that is told.

        Nothing is written, and false comes back, where another attempt has begun, the job is over,
        or that was told before.
        """
        values = {
            "place": place, "epoch": epoch, "step": step, "metrics": metrics, "epochs": epochs,
        }  # fmt: skip
        data = {"epoch": epoch, "epochs": epochs, "step": step, "series": series}
        asked = (
            update(jobs)
            .where(jobs.c.id == job, jobs.c.attempt == attempt, jobs.c.place < place)
            .where(jobs.c.state.not_in(OVER))
            .values(values)
        )

        def write(connection: Connection) -> bool:
            if not connection.execute(asked).rowcount:
                return False
            add_event(connection, job, "progress", data, self._clock())
            return True

        return self._db.write(write)

    def journal_place(self, job: str) -> int:
        """The place in its run until which a job was told."""
        found = self._db.read(lambda connection: connection.execute(_PLACE, {"job": job}).scalar())
        return int(found or 0)


def _before(connection: Connection, job: Job, key: str | None, request: str) -> Job | None:
    """The job that this one is, if it came before. Raises `KeyTaken`."""
    if key is not None:
        values = {"who": job.user, "with_key": key}
        if (found := connection.execute(_KEYED, values).first()) is not None:
            if found.request != request:
                raise KeyTaken(f"the key '{key}' came with another request before")
            return job_by_id(connection, found.id)
    return job_by_id(connection, job.id)


def _named(connection: Connection, name: str) -> Job | None:
    job = job_by_id(connection, name)
    if job is not None or not _BEGINNING.fullmatch(name):
        return job
    query = WHOLE.where(jobs.c.id >= name, jobs.c.id < name + "g").limit(2)
    found: Sequence[Any] = connection.execute(query).mappings().all()
    return job_of(found[0]) if len(found) == 1 else None
