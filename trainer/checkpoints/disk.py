"""Files that are there whole or not at all, whatever happens while they are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from trainer.errors import CheckpointError

TEMPORARY: Final = ".writing-"


def write_file(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, flushed to the disk, under its name in the end.

    Raises `OSError`.
    """
    fresh = path.parent / f"{TEMPORARY}{path.name}"
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        flush_folder(path.parent)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def flush_folder(folder: Path) -> None:
    """Flushes the names of the files in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """An `OSError` within it becomes a `CheckpointError`."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(f"the folder {path} cannot be used: {error.strerror}") from None
