"""The log of a sweep's decisions: what was chosen, promoted and found, each before it counts.

A line an entry, of JSON behind the beginning of a digest of the entry and all before it. So the
last digest names the whole, and damage shows. There is no time of day in it and no random name:
the same sweep has the same log, however many workers it had and however often it was killed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from trainer.checkpoints.disk import damaged, open_within, read_within, told
from trainer.stored import from_json

LOG: Final = "decisions"
Settled: TypeAlias = Literal["waiting", "finished", "diverged", "failed"]
SHOWN: Final = 16  # characters of the digest that stand in a line


@dataclass(frozen=True)
class Began:
    """What decides all that follows: the fingerprints of the sweep and of its data, the engine, the
    edition of its arithmetic, and the version of Optuna where that chooses.
    """

    sweep: str
    data: str
    engine: str
    arithmetic: str
    optuna: str | None


@dataclass(frozen=True)
class Chosen:
    """A new trial has these values, by key of the spec; it begins `at` this moment of virtual time
    and trains `until` an epoch, a rung. An epoch of it takes so much of that time (`cost`).
    """

    trial: int
    at: int
    until: int
    cost: int
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Promoted:
    """A trial that waited goes on, until this epoch."""

    trial: int
    at: int
    until: int


@dataclass(frozen=True)
class Found:
    """A trial is where it was to train to, or has ended before. `value` is the objective, None
    where it has none: it diverged, failed, or the number is not finite. `epochs` are those that are
    done; `parameters` is the SHA-256 of what a finished one has learned.
    """

    trial: int
    at: int
    until: int
    epochs: int
    status: Settled
    value: float | None
    parameters: str


@dataclass(frozen=True)
class Closed:
    """The budget is spent: no trial begins after this, and none is promoted but to the end."""

    at: int


Entry: TypeAlias = Began | Chosen | Promoted | Found | Closed
KINDS: Final[Mapping[str, type[Entry]]] = {
    "began": Began, "chosen": Chosen, "promoted": Promoted, "found": Found, "closed": Closed,
}  # fmt: skip
NAMES: Final = {kind: name for name, kind in KINDS.items()}


class Log:
    """The log in a sweep's folder; `entries` are those that it holds.

    An entry that a crash left half is dropped. Raises `CheckpointError` where it is damaged, or the
    disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG
        self.entries: list[Entry] = []
        self.digest = ""
        """SHA-256 of all entries."""
        with told(folder):
            with suppress(FileExistsError):
                self._path.open("xb").close()
            self.entries, self.digest, size = _read(folder)
            self._file = open_within(folder, LOG, "r+b", buffering=0)
            self._file.truncate(size)
            self._size = size

    def append(self, entries: Iterable[Entry]) -> None:
        """Puts entries on the disk. Raises `CheckpointError`; then none of them counts."""
        digest, lines = self.digest, []
        new = list(entries)
        for entry in new:
            text = _text(entry)
            digest = _chained(digest, text)
            lines.append(f"{digest[:SHOWN]} {text}\n")
        rest = memoryview("".join(lines).encode())
        size = self._size + len(rest)
        with told(self._path.parent):
            self._file.seek(self._size)  # over what a failed attempt wrote
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        self.entries += new
        self.digest, self._size = digest, size

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def read_log(folder: Path) -> tuple[list[Entry], str]:
    """The entries of the log in the folder, and their digest. Raises `CheckpointError`."""
    with told(folder):
        entries, digest, _ = _read(folder)
    return entries, digest


def digest_of(entries: Sequence[Entry]) -> str:
    """The digest of a log with these entries."""
    digest = ""
    for entry in entries:
        digest = _chained(digest, _text(entry))
    return digest


def _read(folder: Path) -> tuple[list[Entry], str, int]:
    """The whole entries, their digest, and the bytes that hold them."""
    data = read_within(folder, LOG)
    entries: list[Entry] = []
    digest, size = "", 0
    for line in data.splitlines(keepends=True):
        if not line.endswith(b"\n"):  # the crash came while it was written
            break
        try:
            shown, _, text = line.decode().rstrip("\n").partition(" ")
            chained = _chained(digest, text)
            if chained[:SHOWN] != shown:
                raise ValueError(f"its line {len(entries) + 1} was changed")
            entries.append(_entry(text))
        except ValueError as error:
            raise damaged(folder / LOG, error) from None
        digest, size = chained, size + len(line)
    return entries, digest, size


def _chained(digest: str, text: str) -> str:
    return hashlib.sha256(f"{digest}\n{text}".encode()).hexdigest()


def _text(entry: Entry) -> str:
    return json.dumps({"entry": NAMES[type(entry)], **asdict(entry)}, ensure_ascii=False)


def _entry(text: str) -> Entry:
    """Raises `ValueError`."""
    content = json.loads(text)
    kind = KINDS.get(content.pop("entry", "")) if isinstance(content, dict) else None
    if kind is None:
        raise ValueError("a line tells nothing that is known")
    return from_json(kind, content)
