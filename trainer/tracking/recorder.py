"""The recorder: a process of its own that tells MLflow what the folders of runs hold.

    python -m trainer.tracking.recorder FOLDER STORE ATTEMPT

It begins before there is a folder, so that importing MLflow costs the training nothing, follows
the run while it trains, and ends when all of it is in the store. A run that has others below it
names them in the file `children`; they are followed too. Exit code 0: all is recorded; 1: the
store did not take it all, or there never was a run.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from trainer.checkpoints.facts import FACTS, read_facts
from trainer.checkpoints.folder import CHILDREN, LOCK, Lock, is_held
from trainer.errors import TrainerError
from trainer.tracking.client import import_mlflow
from trainer.tracking.recording import PATIENCE_SECONDS, Recording
from trainer.tracking.store import Store, resolve_store

POLL_SECONDS: Final = 0.05
RECORDER_LOCK: Final = "recorder.lock"
JOINS: Final = "MLFLOW_RUN_ID"


def record(
    folder: Path,
    store: Store,
    wanted: Callable[[], bool] = lambda: True,
    attempt: int = 1,
    joins: str | None = None,
) -> bool:
    """Tells the store all of the run in the folder, and of those below it, until nothing is left;
    whether it took them. Where the attempt has not begun yet, `wanted` says whether it will.

    One recorder at a time has a folder; another one waits for it. Raises `CheckpointError`.
    """
    while not (folder / FACTS).exists() or read_facts(folder).attempt < attempt:
        if not wanted():
            return False
        time.sleep(POLL_SECONDS)
    lock = _taken(folder / RECORDER_LOCK)
    try:
        return _follow(folder, store, joins)
    finally:
        lock.release()


def _follow(folder: Path, store: Store, joins: str | None) -> bool:
    recordings = {folder.name: Recording(folder, store, joins)}
    ended: set[str] = set()
    until = None
    while True:
        for name in _children(folder) - recordings.keys():
            if (folder.parent / name / FACTS).exists() and recordings[folder.name].run_id:
                recordings[name] = Recording(folder.parent / name, store)
        ended |= {n for n, recording in recordings.items() if n not in ended and recording.step()}
        left = [recording for name, recording in recordings.items() if name not in ended]
        if not left and not is_held(folder / LOCK):
            return True
        if left and all(recording.waits_for_store for recording in left):
            until = until or time.monotonic() + PATIENCE_SECONDS
            if time.monotonic() > until:
                for recording in left:
                    recording.give_up()
                return False
        else:
            until = None
        time.sleep(POLL_SECONDS)


def _children(folder: Path) -> set[str]:
    """The names of the folders of the runs below this one."""
    try:
        return set((folder / CHILDREN).read_text().split())
    except FileNotFoundError:
        return set()


def _taken(path: Path) -> Lock:
    """The lock, once it is free."""
    while True:
        with suppress(BlockingIOError):
            return Lock(path)


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    folder, uri, attempt = Path(arguments[0]), arguments[1], int(arguments[2])
    gc.disable()  # it would look through all of MLflow's objects again and again
    for number in (signal.SIGINT, signal.SIGHUP):  # these are for the training alone
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    import_mlflow()
    try:
        store = resolve_store(uri, folder.parent)
        whole = record(
            folder, store, lambda: os.getppid() == parent, attempt, os.environ.get(JOINS)
        )
    except TrainerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if whole else 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the end of the interpreter would look through all of MLflow's objects
