"""A layer between Python and the file system that fails, or kills the process, at a chosen call.

Files are opened with their writes in sight, so that a write can also be cut in the middle, as
a full disk and a crash cut it.
"""

from __future__ import annotations

import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from unittest.mock import patch

T = TypeVar("T")

WATCHED: Final = ("open", "fsync", "replace", "unlink", "listdir", "scandir")  # of `os`


@dataclass(frozen=True)
class Fault:
    """What happens at the call number `at`, counted from 1, and at all later ones if `lasting`.

    `error` is raised in place of the call, of a write after half of its bytes; without it the
    process is killed `before`, `amid` or `after` the call.
    """

    at: int
    error: int | None = None
    lasting: bool = False
    when: str = "before"

    def strikes(self, place: int) -> bool:
        return place == self.at or (self.lasting and place > self.at)

    def strike(self) -> None:
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))
        os.kill(os.getpid(), signal.SIGKILL)


NONE: Final = Fault(0)


@dataclass
class Full:
    """A disk that takes `room` more bytes, and no more until it is given more."""

    room: int

    def take(self, data: memoryview) -> memoryview:
        """The part of the bytes that fits. Raises `OSError` where none does."""
        if data and not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: self.room]
        self.room -= len(part)
        return part


@dataclass
class Layer:
    """Counts the calls that change or read files, and lets the fault happen."""

    fault: Fault = NONE
    calls: list[str] = field(default_factory=list)

    def arm(self, fault: Fault) -> None:
        """Lets a fault happen, at one of the calls from now on."""
        self.fault = fault
        self.calls.clear()

    def call(self, name: str, real: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """Makes a call, or meets the fault in its place."""
        self.calls.append(name)
        struck, fault = self.fault.strikes(len(self.calls)), self.fault
        if struck and name == "write" and (fault.error is not None or fault.when == "amid"):
            real(arguments[0][: len(arguments[0]) // 2])
            fault.strike()
        if struck and (fault.error is not None or fault.when != "after"):
            fault.strike()
        done = real(*arguments, **more)
        if struck:
            fault.strike()
        return done


@contextmanager
def interposed(fault: Fault = NONE, full: Full | None = None, below: str = "") -> Iterator[Layer]:
    """Within it, calls of `os` and files opened for bytes go through a layer.

    `full` is the disk of the files whose paths hold `below`.
    """
    layer = Layer(fault)
    real: dict[str, Any] = {name: getattr(os, name) for name in WATCHED}
    real_open = io.open

    class File(io.FileIO):
        def write(self, data: Any, /) -> int:
            view = memoryview(data).cast("B")
            part = full.take(view) if full and below in str(self.name) else view
            return layer.call("write", super().write, part)

        def truncate(self, size: int | None = None, /) -> int:
            return layer.call("truncate", super().truncate, size)

    def open_file(path: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        if "b" not in mode:
            return layer.call("open", real_open, path, mode, buffering, *rest, **more)
        raw = layer.call("open", File, path, mode.replace("b", ""))
        if buffering == 0:
            return raw
        if "+" in mode:
            return io.BufferedRandom(raw)
        return io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)

    def watched(name: str) -> Any:
        return lambda *arguments, **more: layer.call(name, real[name], *arguments, **more)

    with patch.multiple(os, **{name: watched(name) for name in WATCHED}), \
            patch.object(io, "open", open_file):  # fmt: skip
        yield layer
