"""The recorder: a process of its own that tells MLflow what the folders of runs hold.

    python -m trainer.tracking.recorder

It is started before there is a folder, so that importing MLflow costs the training nothing, and
reads from standard input which folders to follow, a line of JSON each: `{"folder": …, "store": …,
"attempt": …}`. It follows runs while they train, and ends when all of them are in their store and
no more lines can come. Exit code 0: all is recorded; 1: some store did not take it all.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from typing import Any, Final, TypeAlias

from trainer.checkpoints.folder import Lock
from trainer.errors import TrainerError
from trainer.tracking.client import import_mlflow
from trainer.tracking.recording import PATIENCE_SECONDS, Recording
from trainer.tracking.store import resolve_store

POLL_SECONDS: Final = 0.05
RECORDER_LOCK: Final = "recorder.lock"
JOINS: Final = "MLFLOW_RUN_ID"

Orders: TypeAlias = "Queue[Mapping[str, Any] | None]"
"""What to follow; None where there is no more to come."""


def follow(orders: Orders) -> bool:
    """Tells their stores all of the runs in the folders that are named; whether they took it.

    One recorder at a time has a folder; another one waits for it.
    """
    followed: list[_Followed] = []
    whole, more = True, True
    while more or followed:
        with suppress(Empty):
            while more:
                order = orders.get(timeout=None if not followed else POLL_SECONDS)
                more = order is not None
                if order is not None:
                    followed.append(_Followed(order))
        for each in [each for each in followed if each.is_done()]:
            followed.remove(each)
            whole &= each.whole
        if followed and not more:
            time.sleep(POLL_SECONDS)
    return whole


class _Followed:
    """A folder that is followed, once this recorder has it."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        self._folder, self._attempt = Path(order["folder"]), int(order["attempt"])
        self._store = resolve_store(order["store"], self._folder.parent)
        self._lock: Lock | None = None
        self._recording: Recording | None = None
        self._until: float | None = None
        self.whole = False

    def is_done(self) -> bool:
        """Does a little; whether nothing can be done any more, `whole` telling whether all is."""
        try:
            done = self._step()
        except (TrainerError, OSError):  # the folder is damaged, or gone
            done = True
        if done and self._lock is not None:
            self._lock.release()
        return done

    def _step(self) -> bool:
        if self._lock is None:
            with suppress(BlockingIOError):
                self._lock = Lock(self._folder / RECORDER_LOCK, patience=0)
            if self._lock is None:
                return False
        if self._recording is None:
            self._recording = Recording(self._folder, self._store, os.environ.get(JOINS))
            if self._recording.facts.attempt != self._attempt:  # another one goes on
                return True
        if self._recording.step():
            self.whole = self._recording.is_whole
            return True
        if not self._recording.waits_for_store:
            self._until = None
            return False
        self._until = self._until or time.monotonic() + PATIENCE_SECONDS
        if time.monotonic() < self._until:
            return False
        self._recording.give_up()
        return True


def _read(orders: Orders) -> None:
    """Hands on the lines of standard input."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    orders.put(None)


def main() -> int:
    """The command; returns its exit code."""
    gc.disable()  # it would look through all of MLflow's objects again and again
    for number in (signal.SIGINT, signal.SIGHUP):  # these are for the training alone
        signal.signal(number, signal.SIG_IGN)
    orders: Orders = Queue()
    threading.Thread(target=_read, args=[orders], daemon=True).start()
    import_mlflow()
    return 0 if follow(orders) else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the end of the interpreter would look through all of MLflow's objects
