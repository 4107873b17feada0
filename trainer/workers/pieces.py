"""The folder of a run, in pieces that go from one machine to another.

A piece has what is new since the last one: files whole, as they are replaced whole, and of the
journal, which only grows, what follows. What is written is checked: it lies in the places where a
run has files, and has the hash that it had before it went.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trainer.checkpoints.disk import TEMPORARY, is_regular, read_within, told, write_file
from trainer.checkpoints.facts import FACTS, OUTCOME
from trainer.checkpoints.folder import CHECKPOINTS, FILES, JOURNAL, MODEL, RunFolder
from trainer.errors import CheckpointError

_PLACES: Final = (CHECKPOINTS, FILES, MODEL)
_NAME: Final = re.compile(rf"({'|'.join(_PLACES)})(/[^/.\0][^/\0]*)+")


@dataclass(frozen=True)
class Written:
    """What a folder had at some moment: the SHA-256 of each file, and the size and the SHA-256 of
    the journal.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    size: int = 0
    journal: str = hashlib.sha256().hexdigest()


@dataclass(frozen=True)
class Piece:
    """What a folder has more than at an earlier moment; of the journal what follows after `start`
    bytes. `after` is what the folder has with it.
    """

    files: Mapping[str, bytes]
    start: int
    journal: bytes
    after: Written


def look(folder: Path) -> Written:
    """What the folder has now. Raises `CheckpointError`."""
    with told(folder):
        files = {name: _hash(read_within(folder, name)) for name in _names(folder)}
        journal = _journal(folder)
    return Written(files, len(journal), _hash(journal))


def pack(folder: Path, before: Written) -> Piece:
    """What the folder has more than before. Raises `CheckpointError`."""
    with told(folder):
        found = {name: read_within(folder, name) for name in _names(folder)}
        journal = _journal(folder)
    hashes = {name: _hash(data) for name, data in found.items()}
    new = {name: data for name, data in found.items() if before.files.get(name) != hashes[name]}
    grew = _hash(journal[: before.size]) == before.journal
    start = before.size if grew else 0
    after = Written(hashes, len(journal), _hash(journal))
    return Piece(new, start, journal[start:], after)


def unpack(folder: RunFolder, piece: Piece) -> None:
    """Writes a piece where the folder is as it was when the piece began: a crash at any moment
    leaves a run that can go on. Raises `CheckpointError`, also for a piece that is not whole.
    """
    path, after = folder.path, piece.after
    for name in {**piece.files, **after.files}:
        if name not in (FACTS, OUTCOME) and not _NAME.fullmatch(name):
            raise CheckpointError(f"a worker sent a file that no run has: {name!r}", code="TR-W014")
    with told(path):
        kept = _journal(path)[: piece.start]
    journal = kept + piece.journal
    wrong = [n for n, data in piece.files.items() if _hash(data) != after.files.get(n)]
    if wrong or len(kept) != piece.start or _hash(journal) != after.journal:
        raise CheckpointError(
            f"{(*wrong, JOURNAL)[0]} came from a worker with other contents", code="TR-W014"
        )
    with told(path):
        if OUTCOME in piece.files or OUTCOME not in after.files:
            (path / OUTCOME).unlink(missing_ok=True)
        if piece.start:
            with (path / JOURNAL).open("r+b") as file:
                file.truncate(piece.start)
                file.seek(piece.start)
                file.write(piece.journal)
        else:
            write_file(path / JOURNAL, journal)
        for name in sorted(piece.files, key=_order):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            write_file(path / name, piece.files[name])
        for name in [name for name in _names(path) if name not in after.files]:
            (path / name).unlink(missing_ok=True)


def _order(name: str) -> tuple[bool, bool, bool, str]:
    """What names other files comes after them."""
    return name == OUTCOME, name == FACTS, name.endswith(".json"), name


def _names(folder: Path) -> Iterator[str]:
    """The files of a run, but its journal, and what belongs to this machine alone."""
    for name in (FACTS, OUTCOME):
        if is_regular(folder / name):
            yield name
    for place in _PLACES:
        for path in sorted((folder / place).rglob("*")):
            if is_regular(path) and not path.name.startswith(TEMPORARY):
                yield path.relative_to(folder).as_posix()


def _journal(folder: Path) -> bytes:
    with suppress(FileNotFoundError):
        return read_within(folder, JOURNAL)
    return b""


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
