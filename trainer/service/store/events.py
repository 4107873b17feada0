"""Events: written along with what they tell of, read by who has read up to a number."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select

from trainer.service.records import Event, Heard
from trainer.service.store.database import Database
from trainer.service.store.part import Part, last_number, new_mark, next_number
from trainer.service.store.refusals import NoJob
from trainer.service.store.tables import events, jobs

MOST: Final = 10_000
"""Events that are read at once, at most."""
_log: Final = logging.getLogger(__name__)
_MARKED: Final = select(events.c.job).where(events.c.mark == bindparam("mark"))
_OWNER: Final = select(jobs.c.user).where(jobs.c.id == bindparam("job"))
_LAST: Final = select(func.max(events.c.number)).where(events.c.job == bindparam("job"))
_WRITE: Final = insert(events)


class Events(Part):
    """The events of all jobs."""

    def __init__(self, db: Database, clock: Callable[[], float]) -> None:
        super().__init__(db, clock)
        self._hearers: list[Callable[[int], None]] = []
        self._hearing = threading.Lock()
        db.watch(lambda connection: last_number(connection, "events"), self._tell)

    def events(
        self, after: int, job: str | None, user: str | None, limit: int = 500
    ) -> list[Event]:
        """The first events behind the number `after`, of all jobs, one, or those of a user."""
        query = select(events).where(events.c.number > after)
        if job is not None:
            query = query.where(events.c.job == job)
        if user is not None:
            query = query.where(events.c.user == user)
        query = query.order_by(events.c.number).limit(max(1, min(limit, MOST)))
        return self._db.read(
            lambda connection: [event_of(row) for row in connection.execute(query).mappings()]
        )

    def last_event(self, job: str | None = None) -> int:
        """The number of the last event, of all jobs or one; 0 where there is none."""
        if job is None:
            return self._db.read(lambda connection: last_number(connection, "events"))
        found = self._db.read(lambda connection: connection.execute(_LAST, {"job": job}).scalar())
        return int(found or 0)

    def note(self, job: str, text: str) -> None:
        """Has people read something that a job's state does not tell. Raises `NoJob`."""
        mark = new_mark()

        def write(connection: Connection) -> None:
            if not is_marked(connection, mark):
                add_event(connection, job, "note", {"text": text}, self._clock(), mark)

        self._db.write(write)

    def subscribe(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Has `callback` told the highest number after each commit that wrote events, in the thread
        that writes: it must not wait for anything. What is returned ends that.
        """
        with self._hearing:
            self._hearers.append(callback)

        def unsubscribe() -> None:
            with self._hearing:
                if callback in self._hearers:
                    self._hearers.remove(callback)

        return unsubscribe

    def _tell(self, number: int) -> None:
        with self._hearing:
            hearers = list(self._hearers)
        for hearer in hearers:
            try:
                hearer(number)
            except Exception:  # what one of them cannot do is not for the others to suffer
                _log.exception("a subscriber of events failed")


def add_event(
    connection: Connection,
    job: str,
    kind: Heard,
    data: Mapping[str, Any],
    time: float,
    mark: str | None = None,
    user: str | None = None,
) -> int:
    """Writes an event, and gives its number. `mark` is that of a change which is made once; `user`
    saves looking for who owns the job. Raises `NoJob`.
    """
    if user is None:
        user = connection.execute(_OWNER, {"job": job}).scalar()
        if user is None:
            raise NoJob(f"there is no job '{job}'")
    number = next_number(connection, "events")
    values = {
        "number": number, "job": job, "user": user, "time": time, "kind": kind, "data": data,
        "mark": mark,
    }  # fmt: skip
    connection.execute(_WRITE, values)
    return number


def is_marked(connection: Connection, mark: str) -> str | None:
    """The id of the job that a change with this mark was made to, if it was made."""
    return connection.execute(_MARKED, {"mark": mark}).scalar()


def event_of(row: RowMapping) -> Event:
    """The event of a row."""
    return Event(row["number"], row["job"], row["user"], row["time"], row["kind"], row["data"])
