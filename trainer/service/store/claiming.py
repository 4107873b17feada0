"""Which job begins next, and how many begin before one.

Users take turns: who has the fewest slots comes first, of these who was served longest ago. Of a
user's own jobs the one with the highest priority begins, of these the one that came first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, func, or_, select

from trainer.service.records import Job
from trainer.service.states import State
from trainer.service.store.changing import move
from trainer.service.store.events import is_marked
from trainer.service.store.part import Part, new_mark, next_number, put
from trainer.service.store.rows import job_by_id
from trainer.service.store.tables import counts, jobs, served

_USERS: Final = (
    select(counts.c.user)
    .outerjoin(served, served.c.user == counts.c.user)
    .where(counts.c.state == "queued", counts.c.jobs > 0)
    .order_by(func.coalesce(served.c.last, 0), counts.c.user)
)
_FIRST: Final = (
    select(jobs.c.id, jobs.c.user, jobs.c.state, jobs.c.attempt, jobs.c.started)
    .where(jobs.c.user == bindparam("who"), jobs.c.state == "queued")
    .order_by(jobs.c.priority.desc(), jobs.c.number)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_BEFORE: Final = (
    select(func.count())
    .select_from(jobs)
    .where(jobs.c.user == bindparam("who"), jobs.c.state == "queued")
    .where(
        or_(
            jobs.c.priority > bindparam("at_priority"),
            (jobs.c.priority == bindparam("at_priority")) & (jobs.c.number < bindparam("at")),
        )
    )
)
_OTHERS: Final = select(counts.c.user, counts.c.state, counts.c.jobs).where(
    counts.c.state.in_(("queued", "running")), counts.c.jobs > 0
)


class Claiming(Part):
    """The queue."""

    def claim(self, running: Mapping[str, int], most: int | None = None) -> Job | None:
        """Begins the next job, if one is queued: it runs then, in a new attempt. `running` has how
        many slots each user's jobs take; who has `most` of them gets no more.
        """
        mark = new_mark()
        return self._db.write(lambda connection: self._claim(connection, running, most, mark))

    def _claim(
        self, connection: Connection, running: Mapping[str, int], most: int | None, mark: str
    ) -> Job | None:
        if (claimed := is_marked(connection, mark)) is not None:
            return job_by_id(connection, claimed)
        for user in _in_turn(connection.execute(_USERS).scalars().all(), running, most):
            row = connection.execute(_FIRST, {"who": user}).first()
            if row is not None:
                move(connection, row, "running", "", self._clock(), mark, {"wish": None})
                put(connection, served, {"user": user}, {"last": next_number(connection, "served")})
                return job_by_id(connection, row.id)
        return None

    def place(self, job: Job) -> int:
        """How many queued jobs begin before this one at most, and it itself: 1 is the next. It
        counts those that are queued now, with the priorities that they have.
        """
        return self._db.read(lambda connection: _place(connection, job))

    def counts(self, user: str | None) -> dict[State, int]:
        """How many jobs, of all or of a user, are in each state that any of them is in."""
        query = select(counts.c.state, func.sum(counts.c.jobs)).group_by(counts.c.state)
        if user is not None:
            query = query.where(counts.c.user == user)
        query = query.having(func.sum(counts.c.jobs) > 0)
        return self._db.read(
            lambda connection: {state: int(n) for state, n in connection.execute(query)}
        )


def _in_turn(users: Sequence[str], running: Mapping[str, int], most: int | None) -> Sequence[str]:
    """The users, who come as they were served, as their turns are."""
    mine = [user for user in users if most is None or running.get(user, 0) < most]
    return sorted(mine, key=lambda user: running.get(user, 0))


def _place(connection: Connection, job: Job) -> int:
    """Until this job's turn each other user is served as often as its own, and as often before
    that as it has fewer slots.
    """
    values = {"who": job.user, "at_priority": job.priority, "at": job.number}
    own = 1 + int(connection.execute(_BEFORE, values).scalar_one())
    found: dict[str, dict[str, int]] = {}
    for user, state, number in connection.execute(_OTHERS):
        found.setdefault(user, {})[state] = number
    slots = found.pop(job.user, {}).get("running", 0)
    others = (
        min(each.get("queued", 0), own + max(0, slots - each.get("running", 0)))
        for each in found.values()
    )
    return own + sum(others)
