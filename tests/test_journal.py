"""The journal: every event comes back to the bit, and what a crash left behind is dropped."""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trainer.checkpoints.journal import Follower, Journal, read_journal
from trainer.engine import Steps
from trainer.training import Ended, EpochDone, Event, StepsDone

counts = st.integers(0, 2**63)
named = st.dictionaries(st.text(), st.floats(allow_nan=False), max_size=4)


@st.composite
def steps_done(draw: Any) -> StepsDone:
    """Some steps, their numbers any bits of float64: NaN with a payload too."""
    count, parameters = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    rows, diverged = draw(counts), draw(st.booleans())

    def numbers(*shape: int) -> Any:
        return draw(arrays(np.uint64, shape)).view(np.float64)

    steps = Steps(numbers(count), numbers(count), numbers(count, parameters), rows, diverged)
    return StepsDone(draw(counts), draw(counts), steps)


epochs_done = st.builds(EpochDone, counts, counts, named, named, st.floats(0, 1e12))
ends = st.builds(
    Ended, st.sampled_from(["FINISHED", "KILLED", "DIVERGED"]), counts, counts, named, st.text()
)
some_events = st.lists(steps_done() | epochs_done | ends, max_size=6)


def bits(event: Event) -> tuple[Any, ...]:
    """All of an event, its numbers as their bytes."""
    kind = type(event).__name__
    if isinstance(event, StepsDone):
        steps = event.steps
        numbers = [steps.losses, steps.grad_norms, steps.parameter_norms]
        shown = [(n.shape, n.dtype.str, n.tobytes()) for n in numbers]
        return (kind, event.epoch, event.first, steps.rows, steps.diverged, *shown)
    if isinstance(event, EpochDone):
        norms = _packed(event.parameter_norms)
        return (kind, event.epoch, event.step, _packed(event.metrics), norms, event.time)
    return (kind, event.status, event.epoch, event.step, _packed(event.summary), event.reason)


def _packed(values: Any) -> list[tuple[str, bytes]]:
    return [(name, struct.pack("<d", value)) for name, value in values.items()]


def write(path: Path, events: list[Event], size: int = 0) -> list[int]:
    """Appends events after `size` bytes; the size of the file after each of them."""
    journal = Journal(path, size)
    sizes = []
    for event in events:
        journal.add(event)
        sizes.append(journal.flush())
    journal.close()
    return sizes


def read(path: Path, size: int | None = None) -> list[tuple[Any, ...]]:
    return [bits(event) for event in read_journal(path, size)]


def examples(count: int = 3) -> list[Event]:
    """An epoch 0, `count` steps one by one, and an end."""
    steps = [
        Steps(np.array([0.1 * i]), np.array([1 / 3]), np.array([[0.5, -0.0]]), 7, False)
        for i in range(count)
    ]
    return [
        EpochDone(0, 0, {"train_loss": 0.1 + 0.2}, {}, 1e9 + 1 / 3),
        *(StepsDone(1, 10 * i + 1, each) for i, each in enumerate(steps)),
        Ended("DIVERGED", 0, count, {"best_epoch": 0.0}, "the loss\nis not finite 😀"),
    ]


@settings(max_examples=100, deadline=None)
@given(events=some_events)
def test_events_come_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, events: list[Event]
) -> None:
    path = tmp_path_factory.getbasetemp() / "journal"
    path.unlink(missing_ok=True)
    sizes = write(path, events)
    assert read(path) == [bits(event) for event in events]
    for count, size in enumerate(sizes, start=1):
        assert read(path, size) == [bits(event) for event in events[:count]]


def test_what_is_read_can_be_written_to(tmp_path: Path) -> None:
    """Arrays are copies of their own, not parts of the file's bytes."""
    write(tmp_path / "journal", examples())
    for event in read_journal(tmp_path / "journal"):
        if isinstance(event, StepsDone):
            event.steps.losses[0] = 2
            event.steps.grad_norms[0] = 3
            assert event.steps.losses.tolist() == [2]


def test_a_tail_that_is_not_whole_is_dropped(tmp_path: Path) -> None:
    path, events = tmp_path / "journal", examples()
    sizes = write(path, events)
    data = path.read_bytes()
    whole = [bits(event) for event in events[:-1]]
    for end in range(sizes[-2], sizes[-1]):
        path.write_bytes(data[:end])
        assert read(path) == whole, end
        with pytest.raises(ValueError, match=f"damaged after {sizes[-2]} of {sizes[-1]} bytes"):
            read(path, sizes[-1])


def test_what_follows_a_changed_byte_is_dropped(tmp_path: Path) -> None:
    path, events = tmp_path / "journal", examples()
    sizes = write(path, events)
    data = path.read_bytes()
    for place in range(sizes[0], sizes[1]):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert read(path) == [bits(events[0])], place


@pytest.mark.parametrize(
    "tail",
    [
        b"\1",
        b"\xff" * 8,
        b"\xff" * 100,
        b"{}\n" * 20,
    ],
)
def test_any_tail_is_dropped(tmp_path: Path, tail: bytes) -> None:
    path, events = tmp_path / "journal", examples()
    write(path, events)
    path.write_bytes(path.read_bytes() + tail)
    assert read(path) == [bits(event) for event in events]


def test_appending_drops_what_followed(tmp_path: Path) -> None:
    path, (first, second, *rest) = tmp_path / "journal", examples()
    size = write(path, [first, second, *rest, *rest])[1]
    assert write(path, rest[:1], size) > [size]
    assert read(path) == [bits(first), bits(second), bits(rest[0])]
    write(path, [], size)
    assert path.stat().st_size == size


def test_events_are_held_until_they_are_flushed(tmp_path: Path) -> None:
    path, events = tmp_path / "journal", examples()
    journal = Journal(path)
    for event in events:
        journal.add(event)
    assert path.stat().st_size == 0
    size = journal.flush()
    assert (path.stat().st_size, journal.flush()) == (size, size), "nothing is written twice"
    journal.add(events[0])
    journal.close()
    assert read(path) == [bits(event) for event in events]


def test_a_flush_that_failed_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, events = tmp_path / "journal", examples()
    first, *rest = events
    write(path, [first])
    journal = Journal(path, path.stat().st_size)

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        for event in rest:
            journal.add(event)
            with pytest.raises(OSError, match="Input/output"):
                journal.flush()
            found = read(path)
            assert found == [bits(event) for event in events[: len(found)]]
    assert journal.flush() == path.stat().st_size
    journal.close()
    assert read(path) == [bits(event) for event in events]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process can grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("count", "room"),
    [
        (3, 0),
        (3, 100),
        (300, 0),
        (300, 100),
        (300, 20_000),
    ],
)
def test_a_full_disk_is_tried_again(tmp_path: Path, count: int, room: int) -> None:
    """Where only a part of what was written found room, the next flush writes all of it.

    Few events fit into the buffer of the file, many do not.
    """
    path, events = tmp_path / "journal", examples(count)
    first, *rest = events
    write(path, [first])
    size = path.stat().st_size
    journal = Journal(path, size)
    for event in rest:
        journal.add(event)
    for _ in range(2):
        with room_for(size + room), pytest.raises(OSError, match="File too large"):
            journal.flush()
    written = journal.flush()
    journal.close()
    assert written == path.stat().st_size
    assert read(path) == [bits(event) for event in events]


def test_steps_that_follow_each_other_become_one_entry(tmp_path: Path) -> None:
    """Those of one epoch: the same numbers in the same order."""
    parts = [
        StepsDone(
            epoch, first, Steps(*np.split(np.arange(4.0) + first, 2), np.ones((2, 3)), 5, last)
        )
        for epoch, first, last in [(1, 1, False), (1, 3, False), (2, 5, False), (2, 7, True)]
    ]
    journal = Journal(tmp_path / "journal")
    for part in parts:
        journal.add(part)
    journal.flush()
    journal.close()
    first, second = read_journal(tmp_path / "journal")
    assert isinstance(first, StepsDone)
    assert isinstance(second, StepsDone)
    assert [(e.epoch, e.first, e.steps.rows, e.steps.diverged) for e in (first, second)] == [
        (1, 1, 10, False), (2, 5, 10, True),
    ]  # fmt: skip
    assert first.steps.losses.tolist() == [1, 2, 3, 4]
    assert first.steps.grad_norms.tolist() == [3, 4, 5, 6]
    assert second.steps.parameter_norms.shape == (4, 3)


# Followed by another process --------------------------------------------------------------------


def test_a_follower_hears_each_event_once(tmp_path: Path) -> None:
    """Of an entry that is written in parts it hears once it is whole."""
    whole, path, events = tmp_path / "whole", tmp_path / "journal", examples()
    write(whole, events)
    follower, heard = Follower(path), []
    with pytest.raises(FileNotFoundError):
        follower.news()
    data = whole.read_bytes()
    for end in range(0, len(data) + 1, 7):
        path.write_bytes(data[:end])
        heard += follower.news()
    path.write_bytes(data)
    heard += follower.news()
    assert [bits(event) for event in heard] == [bits(event) for event in events]
    assert follower.news() == []


def test_a_follower_takes_a_long_journal_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also an entry that is longer than a part."""
    path, events = tmp_path / "journal", examples(200)
    write(path, events)
    monkeypatch.setattr("trainer.checkpoints.journal.AT_ONCE", 1)
    follower, parts = Follower(path), []
    while news := follower.news():
        parts.append(news)
    assert len(parts) > 100
    assert [bits(e) for part in parts for e in part] == [bits(event) for event in events]


def test_a_journal_that_is_cut_under_a_follower(tmp_path: Path) -> None:
    """It hears nothing of what is not there any more, and nothing wrong of what comes instead."""
    path, (first, second, *rest) = tmp_path / "journal", examples()
    size = write(path, [first])[0]
    write(path, [second, *rest], size)
    follower = Follower(path)
    assert len(follower.news()) == 2 + len(rest)
    journal = Journal(path, size)
    assert follower.news() == []
    journal.add(second)
    journal.flush()
    journal.close()
    assert follower.news() == []
