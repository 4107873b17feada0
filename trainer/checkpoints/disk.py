"""The files of a run: read only where they are regular, written whole or not at all.

A link, a device, a named pipe or a socket in the folder of a run is not what a run has left there:
it is neither followed nor opened nor replaced. `open_within` is the one function that opens.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Final

from trainer.errors import CheckpointError, DamagedError, NoRoomError

TEMPORARY: Final = ".writing-"
FULL: Final = (errno.ENOSPC, errno.EDQUOT)
"""How a disk refuses that has no room."""
SOON_SECONDS: Final = 2.0  # for so long nothing waits for the disk, where that is asked for
_unflushed_since: ContextVar[float | None] = ContextVar("unflushed_since", default=None)
_PIECE: Final = 2**22  # bytes that are hashed at a time


# Opening ----------------------------------------------------------------------------------------


def open_within(folder: Path, name: str, mode: str = "rb", buffering: int = -1) -> IO[bytes]:
    """Opens a regular file below a folder. No part of `name` is followed where it is a link; the
    folder itself may be one, for runs that lie on another disk. A file that is opened to be
    written has no other name.

    Raises `OSError`, with words for people where something else than a file is there.
    """
    path = folder / name
    for parent in list(Path(name).parents)[:-1]:
        if not stat.S_ISDIR((folder / parent).lstat().st_mode):
            raise not_ours(folder / parent)
    try:
        # of `io`, where the tests of full disks stand in for it; the caller closes it
        file: IO[bytes] = io.open(path, mode, buffering, opener=_open)  # noqa: UP020, SIM115
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise not_ours(path) from None
        raise
    about = os.fstat(file.fileno())
    if not stat.S_ISREG(about.st_mode) or (file.writable() and about.st_nlink > 1):
        file.close()
        raise not_ours(path)
    return file


def _open(path: str, flags: int) -> int:
    """Without blocking: a named pipe would wait for someone at its other end."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def not_ours(path: Path) -> OSError:
    """What is raised for a thing that no run has put in its folder."""
    text = f"{path.name} is a link, a device, a pipe or a folder, where a file is expected"
    return OSError(errno.EINVAL, text, str(path))


def is_regular(path: Path) -> bool:
    """Whether there is a regular file, and no link to one."""
    with suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


# Reading ----------------------------------------------------------------------------------------


def read_within(folder: Path, name: str) -> bytes:
    """What a regular file below a folder holds. Raises `OSError`."""
    with open_within(folder, name) as file:
        return file.read()


def hash_within(folder: Path, name: str) -> str:
    """The SHA-256 of a regular file below a folder. Raises `OSError`."""
    digest = hashlib.sha256()
    with open_within(folder, name) as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def read_sealed(folder: Path, name: str, hashes: Mapping[str, str]) -> bytes | None:
    """What a file below a folder holds, if it is what was written; None where none was.

    `hashes` has the SHA-256 of each file by its name. Raises `CheckpointError` where the file is
    gone or is another one.
    """
    if name not in hashes:
        return None
    with told_of(folder / name):
        data = read_within(folder, name)
    check_seal(folder / name, hashlib.sha256(data).hexdigest(), hashes[name])
    return data


def text_of(path: Path, data: bytes) -> str:
    """The bytes of a file as text. Raises `CheckpointError`."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise damaged(path, "it is not UTF-8") from None


def check_sealed(folder: Path, hashes: Mapping[str, str]) -> None:
    """Raises `CheckpointError` where a file is gone or is not what was written."""
    for name, sha256 in hashes.items():
        with told_of(folder / name):
            check_seal(folder / name, hash_within(folder, name), sha256)


def check_seal(path: Path, found: str, expected: str) -> None:
    """Raises `CheckpointError` for a hash that is not the one that was recorded."""
    if found != expected:
        raise damaged(path, f"its SHA-256 is {found[:16]}…, the run recorded {expected[:16]}…")


def damaged(path: Path, why: object) -> DamagedError:
    """The error for a file of a run that is not what the run wrote."""
    return DamagedError(
        f"{path} is damaged or was changed: {why}\n"
        "  hint: bring back the file as it was, or train again with --again"
    )


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """An `OSError` within it becomes a `CheckpointError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise damaged(path, "it is gone") from None
    except OSError as error:
        raise damaged(path, error.strerror or error) from None


# Writing ----------------------------------------------------------------------------------------


def write_file(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, flushed to the disk, under its name in the end.

    Raises `OSError`, also where something else than a file has its name.
    """
    fresh = path.parent / f"{TEMPORARY}{path.name}"
    check_place(path)
    try:
        fresh.unlink(missing_ok=True)
        with fresh.open("xb") as file:
            file.write(data)
            file.flush()
            flush(file.fileno())
        fresh.replace(path)
        flush_folder(path.parent)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def check_place(path: Path) -> None:
    """Raises `OSError` where something else than a file has the name."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise not_ours(path)


def flush_folder(folder: Path) -> None:
    """Flushes the names of the files in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        flush(handle)
    finally:
        os.close(handle)


def flush(handle: int) -> None:
    """Has what was written to a file, by its number, lie on the disk. Raises `OSError`."""
    since = _unflushed_since.get()
    if since is None or time.monotonic() - since >= SOON_SECONDS:
        os.fsync(handle)


@contextmanager
def unflushed() -> Iterator[None]:
    """Within it nothing waits for the disk for a while. A process that is killed loses nothing by
    that, a machine without power what was written then: for what was made in less time than that,
    and can be made again.
    """
    token = _unflushed_since.set(time.monotonic())
    try:
        yield
    finally:
        _unflushed_since.reset(token)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """An `OSError` within it becomes a `CheckpointError`."""
    try:
        yield
    except OSError as error:
        kind = NoRoomError if error.errno in FULL else CheckpointError
        raise kind(f"the folder {path} cannot be used: {error.strerror}") from None
