"""The database of the service's store: what is lost, full, damaged, or someone else's."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from conftest import ROOT
from postgres import cluster
from service_stores import (
    REQUEST,
    Made,
    all_pages,
    alone,
    change,
    job,
    lose_answers,
    opened,
    sqlite,
    submit,
    submit_many,
    told,
)

from trainer.errors import MachineError, UsageError
from trainer.service.store import (
    Database,
    JobFilter,
    StoreAway,
    StoreFull,
)
from trainer.service.store.schema import VERSION_TABLE
from trainer.service.store.tables import METADATA

__all__ = ["alone", "sqlite"]  # fixtures


# What is lost, full, damaged --------------------------------------------------------------------


def test_what_counts_unknown_to_the_writer_is_written_once(alone: Made) -> None:
    store = alone.store
    given, token = job(), "t"

    def once(act: Callable[[], Any]) -> Any:
        lose_answers(alone.db)
        return act()

    assert once(lambda: store.submit(given, "key", REQUEST))[0].number == 1
    assert once(lambda: store.claim({})).id == given.id
    assert store.claim({}) is None
    assert once(lambda: change(store, given, "paused", attempt=1)).state == "paused"
    once(lambda: store.prioritize(given.id, 4))
    once(lambda: store.note(given.id, "text"))
    change(store, given, "queued")
    store.claim({})
    more: Any = {"epoch": 1, "step": 1, "metrics": {}, "series": {}, "epochs": None}
    once(lambda: store.progress(given.id, 2, place=5, **more))
    assert once(lambda: store.wish(given.id, "cancel")).wish == "cancel"
    once(lambda: store.audit("ann", "cancel", given.id, {}))
    secret = once(lambda: store.add_token(token, "ann", "admin", False, None))
    user = store.token(secret)
    assert user is not None
    assert store.session(once(lambda: store.add_session(user, 1))) == user
    code = once(lambda: store.one_time(user))
    assert once(lambda: store.redeem(code)) == user
    assert store.redeem(code) is None
    once(lambda: store.revoke(token))
    assert [e[-1] for e in told(store)] == [
        "queued", "running", "paused", "note", "note", "queued", "running", "progress",
    ]  # fmt: skip
    assert [e.number for e in store.events(0, None, None)] == [*range(1, 9)]
    assert store.counts(None) == {"running": 1}
    assert store.verify() == 1


def test_lost_connections_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    server = cluster()
    address = server.address()
    with opened(tmp_path, address) as made:
        store = made.store
        over = threading.Event()

        def write(user: str) -> int:
            done = 0
            while not over.is_set() or done < 10:
                mine, new = store.submit(job(user), f"{user}{done}", REQUEST)
                assert new or mine.name == "tiny"
                change(store, mine, "cancelled")
                store.audit(user, "cancel", mine.id, {"done": done})
                assert store.job(mine.id) is not None
                done += 1
            return done

        with ThreadPoolExecutor(4) as threads:
            writers = [threads.submit(write, user) for user in "abcd"]
            for _ in range(12):
                over.wait(0.05)
                server.end_connections(address)
            over.set()
            done = sum(writer.result() for writer in writers)
        assert store.counts(None) == {"cancelled": done}
        assert store.verify() == done
        events: list[Any] = []
        while more := store.events(events[-1].number if events else 0, None, None):
            events += more
        assert [event.number for event in events] == [*range(1, 2 * done + 1)]
        assert set(Counter(event.job for event in events).values()) == {2}
        numbers = [j.number for j in all_pages(store, JobFilter(), "number", 500)]
        assert numbers == [*range(1, done + 1)]


WRITER = """
import sys
from pathlib import Path
from service_stores import job
from trainer.service.store import Database, Store
store = Store(Database.open(None, Path(sys.argv[1])))
while True:
    mine, _ = store.submit(job(), None, "")
    store.change(mine.id, "cancelled", "", attempt=None, mark=mine.id)
    store.audit("ann", "cancel", mine.id, {})
    print(mine.id, flush=True)
"""


def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    acknowledged: list[str] = []
    for round_ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert process.stdout is not None
        for _ in range(20 + round_):
            acknowledged.append(process.stdout.readline().strip())
        process.send_signal(signal.SIGKILL)
        acknowledged += process.communicate()[0].split()
    with opened(tmp_path) as made:
        assert made.query("PRAGMA integrity_check") == [("ok",)]
        for name in acknowledged:
            found = made.store.job(name)
            assert found is not None
            assert found.state == "cancelled"
        assert made.store.verify() in range(len(acknowledged), len(acknowledged) + 3)
        last = made.store.last_event()
        numbers = [e.number for e in made.store.events(0, None, None, limit=10_000)]
        assert numbers == [*range(1, last + 1)]
        assert (
            sum(made.store.counts(None).values()) == made.query("SELECT count(*) FROM jobs")[0][0]
        )


def test_a_full_disk_is_told_and_writing_goes_on_later(sqlite: Made) -> None:
    submit(sqlite.store)
    (pages,) = sqlite.query("PRAGMA page_count")[0]
    sqlite.tamper(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreFull, match=r"service\.db is full: nothing was written"):
        submit_many(sqlite.store, 100, text="x" * 5000)
    count = sqlite.query("SELECT count(*) FROM jobs")[0][0]
    with pytest.raises(MachineError):
        submit(sqlite.store, text="x" * 10**6)
    sqlite.tamper(f"PRAGMA max_page_count = {10**6}")
    assert submit(sqlite.store, text="x" * 10**6).number == count + 1
    assert sqlite.query("PRAGMA integrity_check") == [("ok",)]
    assert sqlite.store.last_event() == count + 1


def test_one_that_fails_takes_nothing_from_the_others(alone: Made) -> None:
    hold = threading.Event()
    alone.db.writing(lambda _: hold.wait())

    def broken(connection: Any) -> None:
        connection.exec_driver_sql("UPDATE counters SET value = 99")
        raise ValueError("mine alone")

    def wrong(connection: Any) -> None:
        connection.exec_driver_sql("UPDATE nowhere SET nothing = 1")

    first = alone.db.writing(lambda _: "done")
    failures = [alone.db.writing(broken), alone.db.writing(wrong)]
    last = alone.db.writing(lambda _: 7)
    hold.set()
    assert first.result() == "done"
    with pytest.raises(ValueError, match="mine alone"):
        failures[0].result()
    with pytest.raises(Exception, match="nowhere"):
        failures[1].result()
    assert last.result() == 7
    assert submit(alone.store).number == 1


def test_the_writer_does_not_wait_for_itself(sqlite: Made) -> None:
    with pytest.raises(RuntimeError, match="wait for itself"):
        sqlite.db.write(lambda _: submit(sqlite.store))


def test_a_database_that_stays_away_is_told(sqlite: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(sqlite.store)
    monkeypatch.setattr(sqlite.db._writer, "_patience", 0.2)
    lose_answers(sqlite.db, 10**6)
    with pytest.raises(StoreAway, match="does not answer: gone"):
        submit(sqlite.store)


def test_who_writes_beside_the_server_is_waited_for(sqlite: Made) -> None:
    other = sqlite3.connect(sqlite.folder / "service.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = sqlite.db.writing(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    assert sqlite.store.counts(None) == {}  # readers do not wait
    other.execute("COMMIT")
    assert waiting.result(10) == 1
    other.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as made:
        made.store.close()
        with pytest.raises(StoreAway, match="is closed"):
            submit(made.store)


def test_readers_cannot_write(alone: Made) -> None:
    with pytest.raises(MachineError):
        alone.query("UPDATE counters SET value = 99")


# Opening ----------------------------------------------------------------------------------------


def test_what_was_kept_is_there_again(alone: Made) -> None:
    kept = submit(alone.store)
    alone.store.audit("ann", "submit", kept.id, {})
    alone.store.close()
    with opened(alone.folder, alone.address) as again:
        assert again.store.job(kept.id) == kept
        assert submit(again.store).number == 2
        assert again.store.last_event() == 2
        assert again.store.verify() == 1


def test_a_second_server_is_told(alone: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.service.store.database.PATIENCE", 0.1)
    with pytest.raises(UsageError, match=r"another server .* has the database .*since \d{4}-"):
        Database.open(alone.address, alone.folder)
    submit(alone.store)  # the first one goes on
    alone.store.close()
    Database.open(alone.address, alone.folder).close()


def test_who_lost_the_database_to_another_server_writes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = cluster()
    address = server.address()
    with opened(tmp_path, address) as first:
        submit(first.store)
        monkeypatch.setattr(first.db._writer, "_patience", 0.5)
        server.end_connections(address)
        with opened(tmp_path, address) as second:
            with pytest.raises(StoreAway, match="another server of the service has the database"):
                submit(first.store)
            assert first.store.counts(None) == {"queued": 1}  # it may read
            submit(second.store)
        assert submit(first.store).number == 3


def test_migrations_make_the_tables_that_are_used(alone: Made) -> None:
    def differences(connection: Any) -> list[Any]:
        options = {"version_table": VERSION_TABLE, "compare_type": False}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, METADATA))

    assert alone.db.read(differences) == []


def test_a_database_of_a_later_version_is_left_alone(alone: Made) -> None:
    alone.tamper(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    alone.store.close()
    with pytest.raises(UsageError, match=r"made by a later version of trainer.* '9999'"):
        Database.open(alone.address, alone.folder)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "service.db")
    other.execute("CREATE TABLE recipes (cake TEXT)")
    other.close()
    with pytest.raises(UsageError, match="holds the tables of something else: recipes"):
        Database.open(None, tmp_path)
    assert not [*tmp_path.glob("service.db-*")]


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "service.db").write_text("my diary, " * 500)
    with pytest.raises(UsageError, match="is no database"):
        Database.open(None, tmp_path)
    assert (tmp_path / "service.db").read_text() == "my diary, " * 500


def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as made:
        for _ in range(20):
            submit(made.store, text="x" * 3000)
    path = tmp_path / "service.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with pytest.raises(MachineError, match=r"service\.db is damaged"):
        use(tmp_path)


def use(folder: Path) -> None:
    with opened(folder) as made:
        submit(made.store)
        made.store.jobs(JobFilter())


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write the database"):
        Database.open(None, tmp_path / "file")


@pytest.mark.parametrize(
    "address",
    ["", "runs", "mysql://me:secret@host/db", "sqlite://", "sqlite:///:memory:", "http://x", "::"],
)
def test_an_address_that_is_none(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match="no address of a database for the service") as error:
        Database.open(address, tmp_path)
    assert "secret" not in str(error.value)
    assert "sqlite:///runs/service.db" in str(error.value)


@pytest.mark.parametrize(
    "address", ["postgresql://me:secret@127.0.0.1:1/db", "postgres://me:secret@127.0.0.1:1/db"]
)
def test_a_server_that_is_not_there_is_told(tmp_path: Path, address: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreAway, match=r"does not answer: .*refused") as error:
        Database.open(address, tmp_path)
    assert "secret" not in str(error.value)


def test_a_driver_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r"needs the package psycopg \[TR-E005\]\n.*\[postgres\]"):
        Database.open("postgresql://me:secret@host/db", tmp_path)


def test_an_address_of_a_file_may_be_given(tmp_path: Path) -> None:
    with opened(tmp_path, f"sqlite:///{tmp_path}/other/jobs.db") as made:
        submit(made.store)
    assert {path.name for path in (tmp_path / "other").iterdir()} == {"jobs.db", "jobs.lock"}
