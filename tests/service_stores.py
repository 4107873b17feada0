"""Stores for tests of the service, in SQLite and PostgreSQL, and jobs to put into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from postgres import cluster
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from trainer.service.records import Job
from trainer.service.states import State
from trainer.service.store import Database, JobFilter, Store
from trainer.service.store.tables import METADATA, audit_head, counters

BACKENDS = ("sqlite", "postgresql")
REQUEST = "0" * 64


@dataclass
class Clock:
    """A clock that the test sets."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Made:
    """A store, and what a test may want of where it is."""

    store: Store
    db: Database
    folder: Path
    address: str | None
    clock: Clock = field(default_factory=Clock)

    def query(self, text: str) -> list[Any]:
        """What the database answers, past the store."""
        return self.db.read(lambda connection: list(connection.exec_driver_sql(text)))

    def tamper(self, text: str) -> None:
        """Changes the database, past the store."""
        self.db.write(lambda connection: connection.exec_driver_sql(text).rowcount)


@contextmanager
def opened(folder: Path, address: str | None = None) -> Iterator[Made]:
    """A store in the folder or at the address, with a clock of the test's."""
    clock = Clock()
    db = Database.open(address, folder)
    store = Store(db, clock)
    try:
        yield Made(store, db, folder, address, clock)
    finally:
        store.close()


@pytest.fixture(scope="module", params=BACKENDS)
def kept(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    """A store that the tests of a file share, as making the tables takes longer than most tests."""
    with opened(tmp_path_factory.mktemp("store"), address_in(request.param)) as made:
        yield made


@pytest.fixture
def made(kept: Made) -> Made:
    """The store that tests share, emptied. It is not to be closed, or put to harm."""
    kept.db.write(empty)
    kept.clock = Clock()
    kept.store = Store(kept.db, kept.clock)
    return kept


def empty(connection: Connection) -> None:
    """Has the tables hold what new ones do."""
    for table in reversed(METADATA.sorted_tables):
        if table not in (counters, audit_head):
            connection.execute(table.delete())
    connection.execute(counters.update().values(value=0))
    connection.execute(audit_head.delete())
    connection.execute(audit_head.insert().values(id=1, lines=0, hash=""))


@pytest.fixture(params=BACKENDS)
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """A new store, for this test alone."""
    with opened(tmp_path, address_in(request.param)) as made:
        yield made


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Made]:
    """A new store in SQLite, for this test alone."""
    with opened(tmp_path) as made:
        yield made


def address_in(backend: str) -> str | None:
    """Where an empty database is; None for the default."""
    return None if backend == "sqlite" else cluster().address()


def job(user: str = "ann", **fields: Any) -> Job:
    """A job that nobody has submitted yet."""
    values: dict[str, Any] = {
        "id": uuid4().hex, "number": 0, "user": user, "name": "tiny", "kind": "train",
        "text": "name: tiny", "resolved": {"name": "tiny"}, "file": "spec.yaml",
    }  # fmt: skip
    return Job(**values | fields)


def submit(store: Store, user: str = "ann", **fields: Any) -> Job:
    """A job that was submitted just now."""
    return store.submit(job(user, **fields), None, REQUEST)[0]


def submit_many(store: Store, number: int, **fields: Any) -> list[Job]:
    """So many jobs."""
    return [submit(store, **fields) for _ in range(number)]


def change(store: Store, job: Job, to: State, **more: Any) -> Job:
    """The job in another state."""
    asked = {"attempt": None, "mark": uuid4().hex} | more
    return store.change(job.id, to, asked.pop("reason", "so"), **asked)


def told(store: Store, job: str | None = None) -> list[tuple[Any, ...]]:
    """What events say: the states from and to, or the kind of another event."""
    return [
        (e.data["from"], e.data["to"]) if e.kind == "state" else (e.kind,)
        for e in store.events(0, job, None)
    ]


def all_pages(store: Store, wanted: JobFilter, sort: str, limit: int) -> list[Job]:
    """The jobs of all pages."""
    found: list[Job] = []
    after = None
    while True:
        page = store.jobs(wanted, sort, limit, after)
        found += page.items
        if (after := page.next) is None:
            return found


def lose_answers(db: Database, times: int = 1) -> None:
    """Has so many commits count of which the writer is not told: it sees a lost connection."""
    writer: Any = db._writer
    whole: Callable[..., Any] = writer._try
    left = [times]

    def lost(batch: Any) -> Any:
        done = whole(batch)
        if left[0]:
            left[0] -= 1
            raise OperationalError("", {}, Exception("gone"), connection_invalidated=True)
        return done

    writer._try = lost
