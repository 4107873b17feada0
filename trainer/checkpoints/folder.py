"""The folder of a run, which one process writes at a time.

run.json       the facts at its start            files/    what the run leaves for people
journal        every event                        model/    the trained model, if it finished
checkpoints/   where the training stands          recorded.json   what MLflow has of it
result.json    how it ended                       lock      held by the process that trains
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from trainer.checkpoints.checkpoint import load_checkpoint
from trainer.checkpoints.choosing import matching, newest, the_one
from trainer.checkpoints.disk import (
    flush_folder,
    hash_within,
    is_regular,
    open_within,
    read_within,
    told,
    write_file,
)
from trainer.checkpoints.facts import (
    FACTS,
    OUTCOME,
    Facts,
    Outcome,
    has_model,
    read_facts,
    read_outcome,
    write_json,
)
from trainer.checkpoints.journal import Journal, read_journal, read_until
from trainer.errors import CheckpointError, NoRoomError, UsageError
from trainer.training.events import LoopEvent
from trainer.training.snapshot import Snapshot

if TYPE_CHECKING:
    from trainer.training.job import Job

LOCK: Final = "lock"
JOURNAL: Final = "journal"
CHECKPOINTS: Final = "checkpoints"
FILES: Final = "files"
MODEL: Final = "model"
TAKING_SECONDS: Final = 0.5  # who only looks whether the run is held has it for a moment


class Lock:
    """A file that one process holds; the lock goes with that process, however it ends."""

    def __init__(self, path: Path, patience: float = TAKING_SECONDS) -> None:
        """Raises `BlockingIOError` where another holds it for so many seconds, and `OSError`."""
        self._file = open_within(path.parent, path.name, "a+b", buffering=0)
        try:
            self._take(patience)
        except BaseException:
            self._file.close()
            raise

    def _take(self, patience: float) -> None:
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.01)
            else:
                break
        with suppress(OSError):  # who holds it, as far as the disk has room for that
            self._file.truncate(0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            text = f"process {os.getpid()} on {socket.gethostname()}, since {since}"
            self._file.write(text.encode())

    def release(self) -> None:
        """Lets others have it."""
        self._file.close()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock."""
    try:
        with open_within(path.parent, path.name) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none, or it is no file
        return False
    return False


class RunFolder:
    """The folder of one run, held by this process.

    Raises `CheckpointError` where another process holds the run for so many seconds of `patience`,
    or the disk refuses.
    """

    def __init__(self, path: Path, patience: float = TAKING_SECONDS) -> None:
        self.path = path
        self._written: dict[str, str] = {}  # the SHA-256 of files that no facts name yet
        with told(path):
            for place in (path, path / CHECKPOINTS, path / FILES):
                place.mkdir(parents=True, exist_ok=True)
            flush_folder(path.parent)
            try:
                self._lock = Lock(path / LOCK, patience)
            except BlockingIOError:
                holder = read_within(path, LOCK).decode(errors="replace").strip()
                holder = holder or "another process"
                raise CheckpointError(
                    f"the run {path.name} is being written by {holder}", code="TR-R002"
                ) from None

    @property
    def id(self) -> str:
        """The name of the folder."""
        return self.path.name

    @property
    def files(self) -> Path:
        """Where the run leaves what people look at."""
        return self.path / FILES

    def release(self) -> None:
        """Lets others have the run."""
        self._lock.release()

    def clear(self) -> None:
        """Drops what is there of a run that is begun anew. Raises `CheckpointError`."""
        with told(self.path):
            for path in self.path.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != LOCK:
                    path.unlink()
            for place in (CHECKPOINTS, FILES):
                (self.path / place).mkdir()

    def reopen(self) -> None:
        """The end of the attempt before is no end any more. Raises `CheckpointError`."""
        with told(self.path):
            (self.path / OUTCOME).unlink(missing_ok=True)

    def begin(self, facts: Facts, journal_size: int = 0) -> None:
        """Keeps the facts of an attempt, with the hashes of what was written for it; what the
        journal holds beyond so many bytes will be told anew. Raises `CheckpointError`.
        """
        self.reopen()
        with told(self.path):
            # before the facts: who follows this attempt must not read what is not of it
            Journal(self.path / JOURNAL, journal_size).close()
        write_facts(self.path, replace(facts, files=self._written))
        self._written = {}

    def end(self, outcome: Outcome) -> None:
        """Keeps how the attempt ended, with the hashes of its journal and of what was written since
        it began. Raises `CheckpointError`.
        """
        if is_regular(self.path / JOURNAL):
            self.seal(JOURNAL)
        write_json(self.path, OUTCOME, replace(outcome, files=self._written))

    def write(self, name: str, data: str | bytes) -> None:
        """Keeps a file, whole or not at all. Raises `CheckpointError`."""
        content = data.encode() if isinstance(data, str) else data
        with told(self.path):
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            write_file(self.path / name, content)
        self._written[name] = hashlib.sha256(content).hexdigest()

    def keeps(self, hashes: Mapping[str, str]) -> bool:
        """Whether the files with these hashes are there as they were written. Then they are those
        of the attempt that begins.
        """
        try:
            there = all(hash_within(self.path, name) == sha256 for name, sha256 in hashes.items())
        except OSError:
            return False
        if there:
            self._written |= hashes
        return there and bool(hashes)

    def seal(self, name: str) -> None:
        """Has the hash of a file recorded that is written. Raises `CheckpointError`."""
        with told(self.path):
            self._written[name] = hash_within(self.path, name)

    def restore(self, job: Job, warn: Callable[[str], None]) -> tuple[list[LoopEvent], int]:
        """Puts the job where the newest whole checkpoint was; the events until then, and the
        bytes of the journal that hold them.
        """
        found, events = load_progress(self.path, warn)
        if found is None:
            return [], 0
        try:
            job.restore(found, events)
        except (LookupError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the checkpoint of step {found.step} in {self.path} is none of this version: "
                f"{error}",
                code="TR-R006",
            ) from None
        return events, int(found.position["journal"])

    def go_back(self, job: Job) -> tuple[list[LoopEvent], int]:
        """Puts a job that was restored after its best epoch; the events until then, and the bytes
        of the journal that hold them. Raises `CheckpointError`.
        """
        with told(self.path):
            try:
                events, size = read_until(self.path / JOURNAL, job.progress.best.epoch)
            except ValueError as error:
                raise CheckpointError(
                    f"the run {self.path.name} cannot go back: {error}", code="TR-R006"
                ) from None
        job.go_back(events)
        return events, size


def load_progress(
    folder: Path, warn: Callable[[str], None]
) -> tuple[Snapshot | None, list[LoopEvent]]:
    """The newest checkpoint that is whole, and all events until then; None where there is none.

    Without its events a checkpoint is not whole. Raises as `load_checkpoint` does.
    """
    events: list[LoopEvent] = []

    def check(found: Snapshot) -> None:
        events[:] = read_journal(folder / JOURNAL, int(found.position["journal"]))

    return load_checkpoint(folder / CHECKPOINTS, warn, check), events


def check_room(folder: Path, job: Job) -> None:
    """Raises `CheckpointError` where the disk of `folder` has no room for checkpoints."""
    need = 4 * sum(value.nbytes for value in job.state.values()) + 2**20
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < need:
        raise NoRoomError(
            f"checkpoints need about {need / 1e6:.0f} MB in {folder}, "
            f"where {free / 1e6:.0f} MB are free"
        )


# Finding runs -----------------------------------------------------------------------------------


def new_id() -> str:
    """A name for the folder of a new run."""
    return uuid4().hex


def write_facts(folder: Path, facts: Facts) -> None:
    """Keeps the facts of an attempt, which makes the run the latest. Raises `CheckpointError`."""
    moment = next_moment(folder.parent, [facts.parent, facts.id] if facts.parent else None)
    write_json(folder, FACTS, facts)
    with told(folder):
        _set_moment(folder, moment)


def make_last(folder: Path) -> None:
    """Makes the run of this folder the latest, as one that begins now is."""
    with suppress(OSError):  # nobody may write there
        _set_moment(folder, next_moment(folder.parent))


def _set_moment(folder: Path, moment: float) -> None:
    os.utime(folder / FACTS, (moment, moment), follow_symlinks=False)


def next_moment(runs: Path | None, before: Sequence[str] | None = None) -> float:
    """The time, in seconds since 1970, but later than every run in the folder began or went on:
    the order of runs is that in which they came, whatever the clock says. Of a run that is one of
    very many not all are looked at, but those alone that have to come `before` it.
    """
    if runs is None:
        return time.time()
    paths = folders(runs) if before is None else [runs / name for name in before]
    latest = 0
    for path in paths:
        with suppress(FileNotFoundError, NotADirectoryError):
            latest = max(latest, (path / FACTS).lstat().st_mtime_ns)
    return max(time.time(), (latest + 10**6) / 1e9)


def folders(runs: Path) -> Iterator[Path]:
    """The folders of runs below `runs`, the oldest first."""
    found = [path.parent for path in runs.glob(f"*/{FACTS}")]
    yield from sorted(found, key=lambda path: (path / FACTS).lstat().st_mtime_ns)


@dataclass(frozen=True)
class _Kept:
    """The run in a folder, as a word may stand for it."""

    path: Path
    name: str
    trains: bool
    about: str

    @property
    def id(self) -> str:
        return self.path.name

    @classmethod
    def of(cls, path: Path) -> _Kept:
        try:
            facts, outcome = read_facts(path), read_outcome(path)
        except CheckpointError:
            return cls(path, "?", False, "its files are damaged")
        began = datetime.fromtimestamp(facts.began)
        status = outcome.status if outcome else "RUNNING" if is_held(path / LOCK) else "KILLED"
        trains = has_model(facts.kind, facts.tags)
        return cls(path, facts.name, trains, f"{began:%Y-%m-%d %H:%M}  {status}")


def find_folder(runs: Path, reference: str) -> Path:
    """The folder of the run with this id or beginning of an id, or the newest with this name;
    `last` is the newest that stands for a model: no trial of a sweep.

    Raises `UsageError` where there is none, or where several may be meant.
    """
    there = [_Kept.of(path) for path in folders(runs)][::-1]
    if not there:
        raise UsageError(f"there is no run in {runs}", code="TR-R001")
    if reference == "last":
        return newest(there)[0].path
    return the_one(reference, matching(reference, there), f"in {runs}", there).path
