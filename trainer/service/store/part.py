"""What the parts of the store have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, Table, bindparam, insert, select, update

from trainer.service.store.database import Database
from trainer.service.store.tables import counters


class Part:
    """A part of the store: it writes and reads in `db`, and `clock` tells it seconds since 1970."""

    def __init__(self, db: Database, clock: Callable[[], float]) -> None:
        self._db, self._clock = db, clock


def new_mark() -> str:
    """A name for something that is to be written once, however often it is tried."""
    return uuid4().hex


_NEXT: Final = (
    update(counters)
    .where(counters.c.name == bindparam("counter"))
    .values(value=counters.c.value + 1)
    .returning(counters.c.value)
)
_LAST: Final = select(counters.c.value).where(counters.c.name == bindparam("counter"))


def next_number(connection: Connection, counter: str) -> int:
    """The next number of a sequence, without gaps: what is taken back gives its number back.
    Whoever has one keeps others from the next until it is committed.
    """
    return int(connection.execute(_NEXT, {"counter": counter}).scalar_one())


def last_number(connection: Connection, counter: str) -> int:
    """The last number of a sequence that counts, 0 before the first."""
    return int(connection.execute(_LAST, {"counter": counter}).scalar_one())


def put(connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Has the row with this key hold these values; makes it where there is none."""
    same = [table.c[name] == value for name, value in key.items()]
    if not connection.execute(update(table).where(*same).values(**values)).rowcount:
        connection.execute(insert(table).values(**key, **values))
