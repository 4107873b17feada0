"""The journal of a run: every event, in a file that only ever grows.

Each entry is framed by its length and a checksum, so whatever a crash left behind at the end is
recognised and dropped. An entry is one line of JSON, and for steps the numbers behind it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, Final

import numpy as np

from trainer.checkpoints.disk import flush, open_within
from trainer.engine import Steps
from trainer.stored import from_json
from trainer.training.events import Ended, EpochDone, LoopEvent, StepsDone

_FRAME: Final = Struct("<II")  # bytes of the entry, and their CRC-32
AT_ONCE: Final = 2**24  # bytes of entries


class Journal:
    """Appends events to the file at `path`, after its first `size` bytes; what follows is dropped.

    Entries are held in memory until they are written. Raises `OSError`.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        with suppress(FileExistsError):
            path.open("xb").close()
        self._file = open_within(path.parent, path.name, "r+b", buffering=0)
        self._file.truncate(size)
        self._size = size
        self._held: list[LoopEvent] = []

    def add(self, event: LoopEvent) -> None:
        """Takes an event."""
        self._held.append(event)

    def write(self) -> None:
        """Writes what is held to the file, where other processes see it."""
        data = b"".join(map(_framed, _merged(self._held)))
        rest = memoryview(data)
        self._file.seek(self._size)  # after a failed attempt, over what that one wrote
        while rest:
            rest = rest[self._file.write(rest) :]
        self._held = []
        self._size += len(data)

    def flush(self) -> int:
        """Writes what is held to the disk; returns the size of the file."""
        self.write()
        flush(self._file.fileno())
        return self._size

    def close(self) -> None:
        """Closes the file, without what is held."""
        self._file.close()


def read_journal(path: Path, size: int | None = None) -> Iterator[LoopEvent]:
    """The events of the first `size` bytes, or of all, up to the first entry that is not whole.

    Raises `ValueError` there if it is within the `size` bytes that are asked for.
    """
    follower = Follower(path, size)
    while events := follower.news():
        yield from events
    if size is not None and follower.place != size:
        raise ValueError(f"its journal is damaged after {follower.place} of {size} bytes")


def read_until(path: Path, epoch: int) -> tuple[list[LoopEvent], int]:
    """The events until the end of an epoch, and the bytes that hold them.

    Raises `OSError`, and `ValueError` where the journal does not tell of its end.
    """
    events: list[LoopEvent] = []
    for event, size in _entries(path.read_bytes()):
        events.append(event)
        if isinstance(event, EpochDone) and event.epoch == epoch:
            return events, size
    raise ValueError(f"its journal does not tell of epoch {epoch}")


class Follower:
    """Reads a journal, while another process may write it; of the first `size` bytes alone, where
    they are given. `place` is the number of bytes that are read.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self._path, self._size = path, size
        self.place = 0

    def news(self) -> list[LoopEvent]:
        """The events that are whole and were not handed out yet; of very many the first ones.

        Raises `OSError`; `ValueError` for an entry that is whole and tells no event.
        """
        with open_within(self._path.parent, self._path.name) as file:
            file.seek(self.place)
            data = file.read(_FRAME.size)
            if len(data) == _FRAME.size:
                data += file.read(max(_FRAME.unpack(data)[0], AT_ONCE))
        if self._size is not None:
            data = data[: self._size - self.place]
        found, read = [], 0
        for event, end in _entries(data):
            found.append(event)
            read = end
        self.place += read
        return found


def _entries(data: bytes) -> Iterator[tuple[LoopEvent, int]]:
    """The whole entries at the beginning of the bytes, and where each ends."""
    place = 0
    while place + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, place)
        entry = data[place + _FRAME.size : place + _FRAME.size + length]
        if len(entry) < length or zlib.crc32(entry) != checksum:
            return
        place += _FRAME.size + length
        yield _decode(entry), place


def _merged(events: Sequence[LoopEvent]) -> Iterator[LoopEvent]:
    """The events, where steps of one epoch that follow each other are one event: an engine that
    runs step by step gives as many events as steps.
    """
    run: list[StepsDone] = []
    for event in events:
        if run and not _continues(run[-1], event):
            yield _joined(run)
            run = []
        if isinstance(event, StepsDone):
            run.append(event)
        else:
            yield event
    if run:
        yield _joined(run)


def _continues(before: StepsDone, event: LoopEvent) -> bool:
    return (
        isinstance(event, StepsDone)
        and event.epoch == before.epoch
        and event.first == before.first + len(before.steps.losses)
        and not before.steps.diverged
    )


def _joined(run: Sequence[StepsDone]) -> StepsDone:
    parts = [event.steps for event in run]
    if len(parts) == 1:
        return run[0]
    steps = Steps(
        np.concatenate([part.losses for part in parts]),
        np.concatenate([part.grad_norms for part in parts]),
        np.concatenate([part.parameter_norms for part in parts]),
        sum(part.rows for part in parts),
        parts[-1].diverged,
    )
    return StepsDone(run[0].epoch, run[0].first, steps)


def _framed(event: LoopEvent) -> bytes:
    entry = _encode(event)
    return _FRAME.pack(len(entry), zlib.crc32(entry)) + entry


def _encode(event: LoopEvent) -> bytes:
    if isinstance(event, StepsDone):
        steps = event.steps
        head: dict[str, Any] = {
            "kind": "steps", "epoch": event.epoch, "first": event.first, "rows": steps.rows,
            "diverged": steps.diverged, "count": len(steps.losses),
        }  # fmt: skip
        numbers = np.column_stack([steps.losses, steps.grad_norms, steps.parameter_norms])
        return json.dumps(head).encode() + b"\n" + numbers.astype("<f8").tobytes()
    if isinstance(event, EpochDone):
        head = {
            "kind": "epoch", "epoch": event.epoch, "step": event.step, "time": event.time,
            "metrics": dict(event.metrics), "parameter_norms": dict(event.parameter_norms),
        }  # fmt: skip
    else:
        head = {
            "kind": "ended", "status": event.status, "epoch": event.epoch, "step": event.step,
            "summary": dict(event.summary), "reason": event.reason,
        }  # fmt: skip
    return json.dumps(head).encode()


@dataclass(frozen=True)
class _Steps:
    """What stands before the numbers of some steps."""

    epoch: int
    first: int
    rows: int
    diverged: bool
    count: int


def _decode(entry: bytes) -> LoopEvent:
    """The event of an entry. Raises `ValueError` where it tells none."""
    line, _, rest = entry.partition(b"\n")
    try:
        head = json.loads(line)
        kind = head.pop("kind")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("an entry of its journal tells no event") from None
    if kind != "steps":
        return from_json(EpochDone, head) if kind == "epoch" else from_json(Ended, head)
    about = from_json(_Steps, head)
    numbers = np.frombuffer(rest, "<f8").reshape(about.count, -1)
    norms = np.ascontiguousarray(numbers[:, 2:])
    steps = Steps(numbers[:, 0].copy(), numbers[:, 1].copy(), norms, about.rows, about.diverged)
    return StepsDone(about.epoch, about.first, steps)
