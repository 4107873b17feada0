"""How many jobs of each user are in each state: kept along, as counting them takes longer."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, insert, update

from trainer.service.states import State
from trainer.service.store.tables import counts

_MORE: Final = (
    update(counts)
    .where(counts.c.user == bindparam("who"), counts.c.state == bindparam("in_state"))
    .values(jobs=counts.c.jobs + bindparam("more"))
)
_FIRST: Final = insert(counts)


def count(connection: Connection, user: str, state: State, more: int) -> None:
    """Counts a job that came into a state (1), or left it (-1)."""
    values = {"who": user, "in_state": state, "more": more}
    if not connection.execute(_MORE, values).rowcount:
        connection.execute(_FIRST, {"user": user, "state": state, "jobs": more})
