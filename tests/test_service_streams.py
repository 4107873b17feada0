"""Events as streams: each once, in order, for who may read them, and no longer than that."""

from __future__ import annotations

import gc
import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from faults.served import Served, listening, serving

from trainer.service.store import JobFilter
from trainer.service.web import feed as feed_module
from trainer.service.web import streams as streams_module


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, requests_per_second=10_000) as made:
        yield made


OPEN: list[Reader] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """All streams that a test has opened are closed."""
    yield
    while OPEN:
        OPEN.pop().close()


@dataclass
class Told:
    """A message of a stream."""

    id: int | None = None
    kind: str = ""
    data: Any = None
    retry: int | None = None
    comment: str | None = None


class Reader:
    """A stream, read by hand from a socket."""

    def __init__(self, address: str, path: str, token: str, **headers: str) -> None:
        parts = urlsplit(address)
        assert parts.hostname
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        asked = {"Authorization": f"Bearer {token}", **headers}
        self.connection.request("GET", path, headers=asked)
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        OPEN.append(self)

    def next(self) -> Told | None:
        """The next message; None at the end."""
        told, any_ = Told(), False
        while line := self.answer.readline().decode().removesuffix("\n"):
            any_ = True
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                told.comment = line
            elif name == "id":
                told.id = int(value)
            elif name == "event":
                told.kind = value
            elif name == "data":
                told.data = json.loads(value)
            elif name == "retry":
                told.retry = int(value)
        return told if any_ else None

    def numbers(self, count: int) -> list[int]:
        """Of so many events."""
        found: list[int] = []
        while len(found) < count:
            told = self.next()
            assert told is not None
            if told.data is not None:
                assert told.id is not None
                found.append(told.id)
        return found

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def notes(served: Served, job: str, count: int) -> None:
    for k in range(count):
        served.store.note(job, f"note {k}")


def submitted(served: Served, name: str) -> str:
    return str(served.client(served.token(name)).submit().json()["id"])


def test_what_a_stream_says(served: Served) -> None:
    job = submitted(served, "ada")
    with listening(served) as address:
        reader = Reader(address, f"/jobs/{job}/events", served.token("ada"))
        assert reader.answer.getheader("content-type", "").startswith("text/event-stream")
        assert reader.answer.getheader("x-accel-buffering") == "no"
        assert reader.answer.getheader("cache-control") == "no-store"
        first = reader.next()
        assert first is not None
        assert (first.id, first.retry, first.data) == (0, 2000, None)
        state = reader.next()
        assert state is not None
        assert (state.id, state.kind) == (1, "state")
        assert state.data == {
            "job": job, "time": 1_796_000_000.0, "from": None, "to": "queued", "reason": "",
            "attempt": 0,
        }  # fmt: skip
        served.store.note(job, "a\nline\r\nand µ")
        note = reader.next()
        assert note is not None
        assert (note.id, note.kind, note.data["text"]) == (2, "note", "a\nline\r\nand µ")


def test_all_events_begin_now_and_those_of_a_job_at_its_first(served: Served) -> None:
    job = submitted(served, "ada")
    with listening(served) as address:
        reader = Reader(address, "/events", served.token("ada"))
        first = reader.next()
        assert first is not None
        assert first.id == 1
        served.store.note(job, "x")
        assert reader.numbers(1) == [2]


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [({"Last-Event-ID": "2"}, "", 3), ({}, "?after=1", 2), ({"Last-Event-ID": "3"}, "?after=1", 4),
     ({"Last-Event-ID": ""}, "?after=2", 3), ({}, "", 1)],
)  # fmt: skip
def test_a_reader_says_where_it_was(
    headers: dict[str, str], query: str, expected: int, served: Served
) -> None:
    job = submitted(served, "ada")
    notes(served, job, 5)
    with listening(served) as address:
        reader = Reader(address, f"/jobs/{job}/events{query}", served.token("ada"), **headers)
        assert reader.numbers(1) == [expected]


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "9" * 30, "٣"])
def test_a_place_that_is_none(text: str, served: Served) -> None:
    client = served.client(served.token("ada"))
    headers = {"Last-Event-ID": text.encode()}
    assert client.get("/events", headers=headers).status_code == 400
    assert client.get("/events", params={"after": text}).status_code == 400


def test_each_sees_its_own(served: Served) -> None:
    ada, bob = submitted(served, "ada"), submitted(served, "bob")
    with listening(served) as address:
        readers = {
            name: Reader(address, "/events?after=0", served.token(name, role, all=all_))
            for name, role, all_ in (("ada", "submitter", False), ("bob", "submitter", False),
                                     ("see", "reader", True), ("root", "admin", False))
        }  # fmt: skip
        for k in range(4):
            served.store.note((ada, bob)[k % 2], str(k))
        assert readers["ada"].numbers(3) == [1, 3, 5]
        assert readers["bob"].numbers(3) == [2, 4, 6]
        assert readers["see"].numbers(6) == readers["root"].numbers(6) == [1, 2, 3, 4, 5, 6]
        assert Reader(address, f"/jobs/{bob}/events", served.token("ada")).status == 404


def test_who_comes_back_misses_and_repeats_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many readers that break off again and again, at any place, while events come in; some of
    them so far behind that they read the store, since little is kept in memory.
    """
    monkeypatch.setattr(feed_module, "PAGE", 7)
    job, total = submitted(served, "ada"), 300
    mine = list(range(1, total + 2))
    with listening(served) as address:
        failures: list[str] = []

        def read(seed: int) -> None:
            chance, found, last = random.Random(seed), [], 0
            while len(found) < len(mine):
                headers = {"Last-Event-ID": str(last)}
                path = ("/events", f"/jobs/{job}/events")[seed % 2]
                reader = Reader(address, path, served.token("ada"), **headers)
                for _ in range(min(chance.randint(1, 40), len(mine) - len(found))):
                    found += reader.numbers(1)
                    last = found[-1]
                reader.close()
                if chance.random() < 0.2:
                    time.sleep(0.02)
            if found != mine:
                failures.append(f"reader {seed}: {found[:20]}…")

        threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        notes(served, job, total)
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    assert not failures


def test_who_is_far_behind_reads_pages_of_the_store(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "KEPT", 16)
    monkeypatch.setattr(feed_module, "PAGE", 5)
    job = submitted(served, "ada")
    other = submitted(served, "bob")
    served.app.state.feed._kept = feed_module.deque(maxlen=16)
    with listening(served) as address:
        for k in range(40):
            served.store.note((job, other)[k % 2], str(k))
        reader = Reader(address, "/events?after=0", served.token("ada"))
        assert reader.numbers(21) == [1, *range(3, 42, 2)]
        served.store.note(job, "now")
        assert reader.numbers(1) == [43]
        assert len(served.app.state.feed._kept) <= 16


def test_a_stream_ends_with_the_token(served: Served) -> None:
    submitted(served, "ada")
    admin = served.client(served.token("root", "admin"))
    with listening(served) as address:
        reader = Reader(address, "/events", served.token("ada"))
        other = Reader(address, "/events", served.token("bob"))
        assert reader.next() is not None
        began = time.monotonic()
        assert admin.ask("DELETE", "/tokens/ada").status_code == 204
        assert reader.next() is None
        assert time.monotonic() - began < 5
        other.next()
        job = submitted(served, "bob")
        assert other.numbers(1)
        assert job


def test_a_stream_ends_when_the_token_expires(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "PING", 0.05)
    token = served.token("ada", expires=served.clock.now + 10)
    with listening(served) as address:
        reader = Reader(address, "/events", token)
        assert reader.next() is not None
        ping = reader.next()
        assert ping is not None
        assert ping.comment == ": ping"
        served.clock.now += 11
        for _ in range(10):
            if reader.next() is None:
                break
        else:
            raise AssertionError("the stream goes on")


def test_the_server_ends_though_streams_are_open(served: Served) -> None:
    submitted(served, "ada")
    with listening(served) as address:
        readers = [Reader(address, "/events", served.token("ada")) for _ in range(5)]
        for reader in readers:
            assert reader.next() is not None
        began = time.monotonic()
    assert time.monotonic() - began < 3
    assert all(reader.next() is None for reader in readers)


def test_a_reader_who_does_not_read_holds_little(served: Served) -> None:
    """What waits for it is a page, however much happens."""
    job = submitted(served, "ada")
    text = "x" * 20_000
    with listening(served) as address:
        slow = Reader(address, f"/jobs/{job}/events", served.token("ada"))
        quick = Reader(address, f"/jobs/{job}/events", served.token("ada"))
        for _ in range(600):
            served.store.note(job, text)
        assert quick.numbers(601)[-1] == 601
        assert slow.numbers(601) == list(range(1, 602))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reader_who_never_reads_does_not_hold_the_server(served: Served) -> None:
    """It waits for such a one for as long as it is told to, a second here."""
    job = submitted(served, "ada")
    with listening(served) as address:
        Reader(address, f"/jobs/{job}/events", served.token("ada"))
        for _ in range(40):
            served.store.note(job, "x" * 500_000)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    gc.collect()  # what asyncio leaves of a connection that was cut is this test's


def test_nothing_is_asked_of_the_database_while_nothing_happens(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted(served, "ada")
    with listening(served) as address:
        readers = [Reader(address, "/events", served.token("ada")) for _ in range(3)]
        for reader in readers:
            assert reader.next() is not None
        asked: list[Any] = []
        reads = served.store._db.read
        monkeypatch.setattr(served.store._db, "read", lambda do: (asked.append(do), reads(do))[1])
        time.sleep(0.3)
        assert not asked
        served.store.note(served.store.jobs(JobFilter()).items[0].id, "x")
        for reader in readers:
            assert reader.numbers(1) == [2]
        assert len(asked) <= 3  # the page of the feed, once for all of them
