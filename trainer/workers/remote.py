"""What runs on a worker of a cluster: a slice of a task, in a folder of the worker's own."""

from __future__ import annotations

import math
import secrets
import shutil
import tempfile
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final
from weakref import finalize

from trainer.checkpoints.folder import RunFolder
from trainer.training import EpochDone, Event, StepsDone
from trainer.workers.files import Elsewhere, Needed, Store
from trainer.workers.pieces import Piece, Written, look, pack, unpack
from trainer.workers.shelf import Shelf
from trainer.workers.task import Answer, Task
from trainer.workers.train import train_task

MOST_RUNS: Final = 32
"""Runs whose folders a worker keeps."""
KERNELS: Final = 16


@dataclass(frozen=True)
class Parcel:
    """A slice of so many seconds of a task, for a worker; `sweep` names those who can be told to
    stop together.

    `token` names the state in which the worker should have the folder of the run; empty where the
    run begins. What the worker said that it lacks is there: `contents` of files by their hash, and
    the `folder`. `first` says that it is the first slice, which is an attempt of its own.
    """

    task: Task
    origin: Mapping[str, Any]
    needed: Needed
    sweep: str
    seconds: float
    first: bool
    token: str
    contents: Mapping[str, bytes] = field(default_factory=dict)
    folder: Piece | None = None


@dataclass(frozen=True)
class Lacking:
    """What a worker has not that it needs: files, by their hash, and the folder of the run."""

    files: list[str]
    folder: bool


@dataclass(frozen=True)
class Slice:
    """What came out of a slice: the answer, what the folder has more by now, and the name of the
    state in which it is.
    """

    answer: Answer
    piece: Piece
    token: str


class _Desk:
    """What one process keeps, as a worker of a cluster."""

    def __init__(self) -> None:
        from trainer.engine.compiled.engine import keep_kernels

        self.folder = Path(tempfile.mkdtemp(prefix="trainer-worker-"))
        finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.store, self.shelf = Store(self.folder), Shelf()
        self.runs = self.folder / "runs"
        self.stopped: set[str] = set()
        self._states: OrderedDict[str, tuple[str, Written]] = OrderedDict()
        self._guard = Lock()
        keep_kernels(KERNELS)

    def has(self, run: str, token: str) -> bool:
        """Whether the folder of the run is here in this state."""
        return not token or self._states.get(run, ("", None))[0] == token

    def written(self, run: str) -> Written:
        """What the folder of the run had when its state was named."""
        return self._states[run][1] if run in self._states else Written()

    def take(self, run: str, folder: Piece | None) -> None:
        """Makes the folder of the run what it is elsewhere, or drops it."""
        shutil.rmtree(self.runs / run, ignore_errors=True)
        self._states.pop(run, None)
        if folder is not None:
            held = RunFolder(self.runs / run)
            try:
                unpack(held, folder)
            finally:
                held.release()
            self.name(run, look(self.runs / run))

    def name(self, run: str, written: Written) -> str:
        """Names the state in which the folder of the run is; drops those of the oldest runs."""
        token = secrets.token_hex(8)
        with self._guard:
            self._states[run] = token, written
            self._states.move_to_end(run)
            while len(self._states) > MOST_RUNS:
                oldest, _ = self._states.popitem(last=False)
                shutil.rmtree(self.runs / oldest, ignore_errors=True)
        return token


class _Clock:
    """The time of a slice, which begins with its first event: however long the reading of data or
    an evaluation takes, each slice gets farther than the one before.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until = math.inf

    def hear(self, event: Event) -> None:
        """Takes one event."""
        if isinstance(event, StepsDone | EpochDone):
            self._until = min(self._until, time.monotonic() + self._seconds)

    @property
    def is_over(self) -> bool:
        """Whether the slice is to end."""
        return time.monotonic() >= self._until


@cache
def _desk() -> _Desk:
    return _Desk()


def stop(sweep: str) -> None:
    """Has the slices of a sweep that this process trains end soon."""
    _desk().stopped.add(sweep)


def train_slice(parcel: Parcel) -> Slice | Lacking:
    """Trains a slice; or says what is not here that it needs."""
    desk, run = _desk(), parcel.task.id
    with desk.store.used():
        desk.store.add(parcel.contents)
        if parcel.folder is not None or not parcel.token:
            desk.take(run, parcel.folder)
        files = desk.store.lacks(parcel.needed)
        folder = parcel.folder is None and not desk.has(run, parcel.token)
        if files or folder:
            return Lacking(files, folder)
        root = desk.store.place(parcel.needed)
        shelf = Elsewhere(root, parcel.needed, desk.shelf, parcel.origin)
        before, clock = desk.written(run), _Clock(parcel.seconds)
        answer = train_task(
            parcel.task, desk.runs, shelf=shelf, same_attempt=not parcel.first, listen=clock.hear,
            stop=lambda: clock.is_over or parcel.sweep in desk.stopped,
        )  # fmt: skip
    answer = replace(answer, reason=answer.reason.replace(str(root), ""))
    piece = pack(desk.runs / run, before)
    return Slice(answer, piece, desk.name(run, piece.after))
