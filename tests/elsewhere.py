"""A machine that has no file of this one: workers of a cluster that are watched."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

from distributed import WorkerPlugin

_seen: list[str] = []


class Watched(WorkerPlugin):
    """Has a worker stand in a folder of its own, and notes what it opens below another one."""

    def __init__(self, forbidden: str) -> None:
        self._forbidden = forbidden

    def setup(self, worker: Any) -> None:
        os.chdir(tempfile.mkdtemp(prefix="worker-"))

        def note(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open" and isinstance(arguments[0], str):
                path = os.path.abspath(arguments[0])
                if path.startswith(self._forbidden):
                    _seen.append(path)

        sys.addaudithook(note)


def opened() -> list[str]:
    """What this worker has opened of what it should not."""
    return _seen


def place() -> tuple[int, str]:
    """The worker's process, and where it stands."""
    return os.getpid(), os.getcwd()
