"""A recorder that is started ahead of everything else, since MLflow takes a second to import.

Nothing heavy is imported here: a command calls `start_ahead` as the first thing that it does.
"""

from __future__ import annotations

import atexit

from trainer.tracking.process import RecorderProcess

_ahead: list[RecorderProcess] = []


def start_process() -> RecorderProcess:
    """A new recorder."""
    return RecorderProcess()


def start_ahead() -> None:
    """Starts the recorder that the next run will take; it ends with this process if none does."""
    if not _ahead:
        _ahead.append(start_process())
        atexit.register(_drop)


def take() -> RecorderProcess:
    """The recorder that was started ahead, or a new one."""
    return _ahead.pop() if _ahead else start_process()


def _drop() -> None:
    while _ahead:
        _ahead.pop().terminate()
