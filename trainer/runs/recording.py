"""The recorder of runs, as the process sees it that trains: started, told, asked, awaited."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from trainer.checkpoints.facts import Recorded, read_recorded
from trainer.errors import CheckpointError, TrackingError
from trainer.runs.ahead import take
from trainer.runs.profile import Profile
from trainer.spec.schema import Spec
from trainer.tracking.store import Store, check_database
from trainer.training.result import Run

LATER: Final = "the run is trained, and kept on this disk; send it later with: train sync"
GONE: Final = "the recorder of the run has ended"
LOOK_SECONDS: Final = 0.2
LASTING_SECONDS: Final = 2.0  # a store may refuse a call and take the next one


class Process(Protocol):
    """What runs the recorder; see `RecorderProcess`."""

    def send(self, order: Mapping[str, Any]) -> None:
        """Tells it to follow a folder."""

    def close(self) -> None:
        """Tells it that there is no more to follow."""

    def wait(self) -> int:
        """Waits for its end; its exit code."""

    def terminate(self) -> None:
        """Ends it: there is nothing to record."""


class Recorder:
    """Tells MLflow of the runs in the folders that it is to follow, in one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.process: Process = take()

    def follow(self, folder: Path, attempt: int) -> Following:
        """Has an attempt at a run followed, whose facts are in its folder."""
        order = {"folder": str(folder.resolve()), "store": self.store.uri, "attempt": attempt}
        self.process.send(order)
        return Following(self, folder, attempt)

    def cancel(self) -> None:
        """Ends the recorder: there is no run."""
        self.process.terminate()

    def leave(self) -> None:
        """Lets it end by itself, once all that it follows is recorded or given up."""
        self.process.close()

    def finish(self) -> None:
        """Waits until all that it follows is recorded, or given up."""
        self.process.close()
        self.process.wait()


class Following:
    """An attempt at a run that a recorder follows."""

    def __init__(self, recorder: Recorder, folder: Path, attempt: int) -> None:
        self.recorder = recorder
        self._folder, self._attempt = folder, attempt
        self._problem: str | None = None
        self._looked, self._well = 0.0, time.monotonic()

    @property
    def store(self) -> Store:
        """Where it is recorded."""
        return self.recorder.store

    @property
    def problem(self) -> str | None:
        """What is wrong with the store, once that has lasted. That the recorder itself is gone is
        not said here: `wait` tells it.
        """
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            recorded = self.recorded()
            self._problem = recorded.problem if recorded else None
            if self._problem is None:
                self._well = self._looked
        return self._problem if self._looked - self._well >= LASTING_SECONDS else None

    def recorded(self) -> Recorded | None:
        """What the recorder said last."""
        with suppress(CheckpointError, OSError):
            found = read_recorded(self._folder)
            return found if found and found.attempt == self._attempt else None
        return None

    def wait(self) -> Recorded:
        """What MLflow holds, once it is all. Raises `TrackingError` where that failed."""
        self.recorder.finish()
        recorded = self.recorded()
        if recorded is None or not recorded.whole:
            why = (recorded and recorded.problem) or GONE
            raise TrackingError(f"{why}\n  {LATER}", code="TR-T009")
        return recorded


def open_recorder(profile: Profile, spec: Spec | None = None) -> Recorder:
    """The recorder of what the profile has recorded. Raises `TrackingError` for a store that can
    be told to be of no use without asking MLflow.
    """
    store = profile.find_store(spec)
    if store.database is not None:
        check_database(store.database)
    return Recorder(store)


def found_in(run: Run, recorded: Recorded) -> Run:
    """The run with its place in MLflow."""
    return replace(
        run, run_id=recorded.run_id, experiment=recorded.experiment or run.experiment,
        tracking_uri=recorded.store,
    )  # fmt: skip
