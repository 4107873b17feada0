"""MLflow is told of all runs, by a recorder that is made anew where it is lost.

A store that is away stops nothing: what it has not taken is offered again and again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from trainer.checkpoints.facts import FACTS, read_facts, recorded_of
from trainer.checkpoints.folder import LOCK, is_held
from trainer.errors import CheckpointError
from trainer.runs.profile import Profile
from trainer.runs.sync import unsent_runs
from trainer.tracking.process import RecorderProcess
from trainer.tracking.recorder import RECORDER_LOCK
from trainer.tracking.store import Store as Tracking

LOOK_SECONDS: Final = 0.25
AGAIN_SECONDS: Final = 15.0


class Process(Protocol):
    """What runs the recorder; see `RecorderProcess`."""

    def send(self, order: Mapping[str, Any]) -> None:
        """Tells it to follow a folder."""

    def close(self) -> None:
        """Tells it that there is no more to follow."""

    def wait(self) -> int:
        """Waits for its end; its exit code."""

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""


class Recorders:
    """Has MLflow told of the runs in a folder."""

    def __init__(self, runs: Path, store: Tracking) -> None:
        self._runs, self._store = runs, store
        self._expected: dict[str, int] = {}  # runs that are not whole: the attempt last sent
        self._open: set[str] = set()  # those that go on, whatever MLflow has of them
        self._families: list[str] = []
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._process: Process = RecorderProcess()
        self._looked = time.monotonic()
        self._thread = threading.Thread(target=self._look_again, name="recorders", daemon=True)

    def start(self) -> None:
        """Begins, with what earlier services left unsent."""
        self._thread.start()

    def follow(self, run: str) -> None:
        """Has a run followed that begins or goes on, as soon as it has a folder, until it is
        settled and MLflow has all of it.
        """
        with self._guard:
            self._open.add(run)
            self._expected.setdefault(run, 0)

    def _expect(self, run: str) -> None:
        with self._guard:
            self._expected.setdefault(run, 0)

    def settle(self, run: str, several: bool) -> None:
        """A job is settled: one that left no folder is not waited for; and of `several` runs those
        are followed, too, that its own recorder could not tell of.
        """
        if several:
            self._families.append(run)
        with self._guard:
            self._open.discard(run)
            if not (self._runs / run / FACTS).is_file():
                self._expected.pop(run, None)

    @property
    def unsent(self) -> int:
        """How many runs MLflow has not whole."""
        return len(self._expected)

    def stop(self, patience: float) -> None:
        """Lets the recorder end by itself, once all that it follows is told or given up; waits so
        long for it.
        """
        self._over.set()
        self._thread.join()
        self._process.close()
        waiting = threading.Thread(target=self._process.wait, daemon=True)
        waiting.start()
        waiting.join(patience)

    def _look_again(self) -> None:
        with suppress(CheckpointError, OSError):
            for run in unsent_runs(Profile(runs=self._runs)):
                self._expect(run)
        while not self._over.wait(LOOK_SECONDS):
            with suppress(CheckpointError, OSError):  # of a folder, or a process that is refused
                self._look()
        with suppress(CheckpointError, OSError):
            self._send()

    def _look(self) -> None:
        if self._process.is_gone:
            self._process = RecorderProcess()
            self._forget_sent()
        elif time.monotonic() - self._looked >= AGAIN_SECONDS:
            self._looked = time.monotonic()
            self._forget_sent(given_up=True)
        self._find_families()
        self._send()

    def _find_families(self) -> None:
        while self._families:
            parent = self._families[-1]
            for run in unsent_runs(Profile(runs=self._runs)):
                with suppress(CheckpointError):
                    if read_facts(self._runs / run).parent == parent:
                        self._expect(run)
            self._families.remove(parent)

    def _forget_sent(self, given_up: bool = False) -> None:
        """Has all runs sent anew that are not whole; or those alone that nobody records now."""
        with self._guard:
            for run in self._expected:
                folder = self._runs / run
                if not given_up or not (is_held(folder / RECORDER_LOCK) or is_held(folder / LOCK)):
                    self._expected[run] = 0

    def _send(self) -> None:
        with self._guard:
            expected = [*self._expected.items()]
        for run, sent in expected:
            folder = self._runs / run
            if not (folder / FACTS).is_file():
                continue
            with suppress(CheckpointError, OSError):
                facts, recorded = read_facts(folder), recorded_of(folder)
                if recorded is not None and recorded.whole and recorded.attempt == facts.attempt:
                    if not is_held(folder / LOCK):
                        self._drop(run)
                elif facts.record and facts.attempt != sent:
                    self._process.send({
                        "folder": str(folder.resolve()), "store": self._store.uri,
                        "attempt": facts.attempt,
                    })  # fmt: skip
                    with self._guard:
                        self._expected[run] = facts.attempt

    def _drop(self, run: str) -> None:
        """MLflow has all of a run, unless that goes on."""
        with self._guard:
            if run not in self._open:
                self._expected.pop(run, None)
