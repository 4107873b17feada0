"""Processes that begin with a fresh interpreter and import nothing of the program that has them.

`multiprocessing` has each new process import the program's main module once more, so that a script
without `if __name__ == "__main__"` would begin anew in each of its workers. Ours need nothing of
it: what they are sent is defined in this package.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import context, popen_spawn_posix, process, spawn
from typing import Any, Final

from trainer.workers.begin import ALONE

_GUARD: Final = threading.Lock()
_MAIN: Final = ("init_main_from_name", "init_main_from_path")


class _Popen(popen_spawn_posix.Popen):
    def _launch(self, process_obj: process.BaseProcess) -> None:
        with _without_main(), _without_signals():
            super()._launch(process_obj)  # type: ignore[misc]  # it has no types


class _Process(context.SpawnProcess):
    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> Any:
        return _Popen(process_obj)


class Fresh(context.SpawnContext):
    """The context of such processes."""

    Process = _Process


@contextmanager
def _without_main() -> Iterator[None]:
    """What this thread spawns meanwhile is not told of the main module."""
    ours = threading.get_ident()
    with _GUARD:
        told = spawn.get_preparation_data

        def all_but_main(name: str) -> Mapping[str, Any]:
            data: dict[str, Any] = told(name)
            if threading.get_ident() == ours:
                data = {key: value for key, value in data.items() if key not in _MAIN}
            return data

        spawn.get_preparation_data = all_but_main  # type: ignore[assignment]  # a module of the standard library is patched
        try:
            yield
        finally:
            spawn.get_preparation_data = told


@contextmanager
def _without_signals() -> Iterator[None]:
    """What is spawned meanwhile lets signals wait until it has said what it does with them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ALONE)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
