"""Files that a user names: there whole or not at all, and nothing but regular files.

What is written goes to a file of its own beside the named one, whose place it takes at the end. So
two commands that write the same name leave the file of one of them, and a command that fails, is
stopped, or finds the disk full leaves what was there.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from trainer.errors import MachineError, UsageError

TEMPORARY: Final = ".train-"


def check_place(path: Path, endings: Sequence[str] = ()) -> None:
    """Raises `UsageError` where no file can be written under this name: it is a folder, a device or
    a pipe, its folder is not there, or it has none of the `endings` (`.csv`), where these decide
    what is written.
    """
    target = _target(path)
    if endings and path.suffix.lower() not in endings:
        known = " or ".join(filter(None, [", ".join(endings[:-1]), endings[-1]]))
        found = f"'{path.suffix}'" if path.suffix else "none"
        if str(path) == "-":
            found = "'-'; standard output is written to where no file is named, if at all"
        raise UsageError(
            f"'{path}': expected a file's name that ends in {known}, found {found}", code="TR-U004"
        )
    if not target.parent.is_dir():
        place = path if not path.is_symlink() else target  # as it was written, if it may be
        raise UsageError(
            f"there is no folder '{place.parent}' for the file '{place.name}'", code="TR-U004"
        )


def _target(path: Path) -> Path:
    """The file that a path names, behind links, which stay. Raises `UsageError`."""
    try:
        target = Path(os.path.realpath(path))
        kind = stat.S_IFMT(target.stat().st_mode)
    except FileNotFoundError:
        return target
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"'{path}' cannot be written: {reason}", code="TR-U004") from None
    if kind == stat.S_IFDIR:
        raise UsageError(
            f"'{path}' is a folder, where the name of a file is expected", code="TR-U004"
        )
    if kind != stat.S_IFREG:
        what = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}.get(kind, "device")
        raise UsageError(
            f"'{path}' is a {what}, where the name of a file is expected", code="TR-U004"
        )
    return target


@contextmanager
def replacing(path: Path, endings: Sequence[str] = ()) -> Iterator[Path]:
    """A new, empty file to be written, which takes the place of `path` where all went well.

    A link stays a link: the file that it names is replaced. Raises what `check_place` raises, and
    `MachineError` where the system refuses, also for an `OSError` of what is done within.
    """
    check_place(path, endings)
    target = _target(path)
    # the ending is kept, since it tells many a writer what to write
    fresh = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{target.suffix}")
    try:
        try:
            os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            yield fresh
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            with suppress(FileNotFoundError):
                fresh.chmod(stat.S_IMODE(target.stat().st_mode))
            _target(path)  # it may have become another thing meanwhile
            fresh.replace(target)
            _flush(target.parent)
        except OSError as error:
            reason = error.strerror or error
            raise MachineError(f"'{path}' cannot be written: {reason}", code="TR-M004") from None
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def _flush(folder: Path) -> None:
    """Flushes the names of the files in a folder to the disk, where it may be read."""
    with suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
