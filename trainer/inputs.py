"""What a user names to be read: opened without waiting, and what is said where it is no file.

Nothing here reads a pipe, a device or a socket, which may have no end or never begin.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import IO, Final, NamedTuple

_NO_FILES: Final = {
    stat.S_IFDIR: "a directory", stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket",
}  # fmt: skip
_VARIABLE: Final = re.compile(r"\$\w+|\$\{[^}]*\}|%\w+%")
_ADDRESS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")
_DRIVE: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")


class NotAFileError(OSError):
    """A path names something that is no regular file; `what` says what it is."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(None, f"it is {what}, not a file", str(path))
        self.what = what


class Remark(NamedTuple):
    """What is wrong with a path, and what to do."""

    message: str
    hint: str


def check_regular(path: Path) -> os.stat_result:
    """What the system knows of a regular file.

    Raises `NotAFileError` for anything else, another `OSError` where nothing is there, and
    `ValueError` for what can be no path.
    """
    return _checked(path, path.stat())


def open_regular(path: Path) -> IO[bytes]:
    """A regular file, opened to be read. Raises what `check_regular` raises; never waits."""
    check_regular(path)  # opening a device may do something
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _checked(path, os.fstat(handle))  # it may have been replaced
        return open(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _checked(path: Path, found: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(found.st_mode):
        raise NotAFileError(path, _NO_FILES.get(stat.S_IFMT(found.st_mode), "no regular file"))
    return found


def remark_on(path: str, option: str) -> Remark | None:
    """Why a path, as it is written, names no file; None where nothing about it is special.

    Only for a path at which there is nothing. `option` is how the path is given on the command
    line.
    """
    address = _ADDRESS.match(path)
    if address and address[1].lower() == "file":
        return Remark(
            f"'{path}' is an address", f"write the path alone: {path[len(address[0]) - 1 :]}"
        )
    if address:
        hint = "download the file, and give its path"
        return Remark(f"'{path}' is an address, and only files of this machine are read", hint)
    if _DRIVE.match(path):
        hint = (
            f"write a path relative to the spec file: {path.replace(chr(92), '/').split('/')[-1]}"
        )
        return Remark(f"'{path}' is a path of Windows, which this system does not know", hint)
    variable = _VARIABLE.search(path)
    if path.startswith("~") or variable:
        what = f"'{variable[0]}'" if variable else "'~'"
        message = f"{what} in '{path}' stands for itself: a spec depends on no machine"
        hint = (
            f"write a path relative to the spec file, or give {option}=…, which the shell fills in"
        )
        return Remark(message, hint)
    if "\\" in path:
        other = path.replace("\\", "/")
        return Remark(f"there is no file '{path}'", f"write / between folders: {other}")
    return None
