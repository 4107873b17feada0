"""What keeps a run on disk, so that it can be resumed: its folder, lock, journal, checkpoints."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from trainer.checkpoints.checkpoint import (
    Checkpoint,
    Saver,
    flush_folder,
    load_checkpoint,
    write_file,
)
from trainer.checkpoints.journal import Journal, read_journal
from trainer.errors import CheckpointError, UsageError
from trainer.training.events import Ended, EpochDone, Event, StepsDone
from trainer.training.job import Job

FACTS: Final = "run.json"
FINISHED: Final = "finished"  # marks a run that came to its end
UNSENT: Final = "unsent"  # marks a run that its store did not take whole
_EVERY: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|steps?|epochs?)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Every:
    """How often a checkpoint is saved: after so many seconds, steps or epochs."""

    seconds: float | None = None
    steps: int | None = None
    epochs: int | None = None

    @classmethod
    def parse(cls, text: str) -> Every:
        """From `30s`, `5min`, `1h`, `1000 steps` or `1 epoch`. Raises `UsageError`."""
        match = _EVERY.fullmatch(text.strip())
        if not match or not float(match[1]):
            hint = "write 30s, 5min, 1000steps or 1epoch"
            raise UsageError(f"'{text}' is no time between checkpoints\n  hint: {hint}")
        number, unit = float(match[1]), match[2]
        if unit in _SECONDS:
            return cls(seconds=number * _SECONDS[unit])
        if unit.startswith("step"):
            return cls(steps=max(1, int(number)))
        return cls(epochs=max(1, int(number)))


class RunFolder:
    """The folder of one run, held by one process at a time.

    The lock is the operating system's and goes with the process that holds it, however it ends.
    Raises `CheckpointError` where another process holds the run, or the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _disk_at(path):
            path.mkdir(parents=True, exist_ok=True)
            flush_folder(path.parent)
            self._lock: IO[bytes] = (path / "lock").open("a+b", buffering=0)
        try:
            with _disk_at(path):
                self._take()
        except CheckpointError:
            self._lock.close()
            raise

    def _take(self) -> None:
        """Takes the lock and says who holds it, as far as the disk has room for that."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            holder = self._lock.read().decode(errors="replace").strip() or "another process"
            raise CheckpointError(
                f"the run {self.path.name} is being written by {holder}"
            ) from None
        with suppress(OSError):
            self._lock.truncate(0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            text = f"process {os.getpid()} on {socket.gethostname()}, since {since}"
            self._lock.write(text.encode())

    def release(self) -> None:
        """Lets others have the run."""
        self._lock.close()

    def write(self, name: str, text: str) -> None:
        """Keeps a small text. Raises `CheckpointError`."""
        with _disk_at(self.path):
            write_file(self.path / name, text.encode())

    def mark(self, name: str, on: bool) -> None:
        """Sets or takes away a mark, as far as the disk allows it."""
        with suppress(OSError):
            if on:
                (self.path / name).touch()
            else:
                (self.path / name).unlink(missing_ok=True)

    def write_facts(self, facts: Mapping[str, Any]) -> None:
        """Keeps what a later process needs to know to resume the run. Raises `CheckpointError`."""
        self.write(FACTS, json.dumps(facts, indent=2) + "\n")

    def restore(self, job: Job, warn: Callable[[str], None]) -> tuple[list[Event], int]:
        """Puts the job where the newest whole checkpoint was; the events until then, and the
        bytes of the journal that hold them.
        """
        found, events = load_progress(self.path, warn)
        if found is None:
            return [], 0
        job.restore(found, events)
        past: list[Event] = [event for event in events if not isinstance(event, Ended)]
        return past, int(found.position["journal"])


@contextmanager
def _disk_at(path: Path) -> Iterator[None]:
    """An `OSError` within it becomes a `CheckpointError`."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"the folder {path} cannot be used: {error.strerror}") from None


def load_progress(
    folder: Path, warn: Callable[[str], None]
) -> tuple[Checkpoint | None, list[Event]]:
    """The newest checkpoint that is whole, and all events until then; None where there is none.

    Without its events a checkpoint is not whole. Raises as `load_checkpoint` does.
    """
    events: list[Event] = []

    def check(found: Checkpoint) -> None:
        events[:] = read_journal(folder / "journal", int(found.position["journal"]))

    return load_checkpoint(folder, warn, check), events


def read_facts(path: Path) -> dict[str, Any]:
    """What `write_facts` kept. Raises `CheckpointError` where it is not there or damaged."""
    try:
        facts = json.loads((path / FACTS).read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path / FACTS} cannot be read: {error}") from None
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path / FACTS} cannot be read: it is no mapping")
    return facts


class Keeper:
    """The listener that writes the journal and saves checkpoints.

    A disk that refuses does not stop the training: `warn` is told, and it is tried again when
    the next checkpoint is due. Raises `CheckpointError` where the journal cannot be opened.
    """

    def __init__(
        self,
        folder: RunFolder,
        job: Job,
        every: Every,
        warn: Callable[[str], None],
        journal_size: int = 0,
    ) -> None:
        self.folder = folder
        self._job = job
        self._every = every
        self._warn = warn
        with _disk_at(folder.path):
            self._journal = Journal(folder.path / "journal", journal_size)
        self._saver = Saver(folder.path)
        self._step, self._epoch, self._time = (
            job.progress.step,
            job.progress.epoch,
            time.monotonic(),
        )
        self.saved_step: int | None = None
        """The step of the last checkpoint that this process saved."""

    def on(self, event: Event) -> None:
        """Takes one event, and saves where it is time."""
        try:
            self._journal.add(event)
            if isinstance(event, Ended) or self._is_due(event):
                self.save()
        except OSError as error:
            self._mark()
            self._warn(f"no checkpoint after step {self._job.progress.step}: {error.strerror}")

    def _is_due(self, event: StepsDone | EpochDone) -> bool:
        every, now = self._every, self._job.progress
        if every.seconds is not None:
            return time.monotonic() - self._time >= every.seconds
        if every.steps is not None:
            return now.step - self._step >= every.steps
        assert every.epochs is not None
        return isinstance(event, EpochDone) and now.epoch - self._epoch >= every.epochs

    def save(self) -> None:
        """Saves a checkpoint of where the job is. Raises `OSError`."""
        size = self._journal.flush()
        snapshot = self._job.snapshot()
        position = {**snapshot.position, "journal": size}
        self._saver.save(replace(snapshot, position=position))
        self.saved_step = snapshot.step
        self._mark()

    def _mark(self) -> None:
        now = self._job.progress
        self._step, self._epoch, self._time = now.step, now.epoch, time.monotonic()

    def close(self) -> None:
        """Closes the journal and lets others have the run."""
        self._journal.close()
        self.folder.release()


def check_room(folder: Path, job: Job) -> None:
    """Raises `CheckpointError` where the disk of `folder` has no room for checkpoints."""
    need = 4 * sum(value.nbytes for value in job.state.values()) + 2**20
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < need:
        raise CheckpointError(
            f"checkpoints need about {need / 1e6:.0f} MB in {folder}, "
            f"where {free / 1e6:.0f} MB are free"
        )
