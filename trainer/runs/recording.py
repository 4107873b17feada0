"""The recorder of a run, as the process sees it that trains: started, asked, awaited."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from trainer.checkpoints import Recorded, read_recorded
from trainer.checkpoints.disk import told
from trainer.checkpoints.folder import CHILDREN
from trainer.errors import CheckpointError, TrackingError
from trainer.tracking.store import Store
from trainer.training import Run

LATER: Final = "the run is trained, and kept on this disk; send it later with: train sync"
LOOK_SECONDS: Final = 0.2


class Process(Protocol):
    """What runs the recorder."""

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""

    def wait(self) -> int:
        """Waits for its end; its exit code."""

    def terminate(self) -> None:
        """Ends it."""


def start_process(folder: Path, store: Store, attempt: int) -> Process:
    """The recorder as a process of its own, which signals to this one do not reach."""
    here = str(Path(__file__).parent.parent.parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-m", "trainer.tracking.recorder", str(folder), store.uri,
         str(attempt)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path}, start_new_session=True,
    )  # fmt: skip


class Recorder:
    """Tells MLflow of an attempt at the run in a folder, which need not be there yet."""

    def __init__(self, folder: Path, store: Store, attempt: int) -> None:
        self.store = store
        self._folder, self._attempt = folder, attempt
        self._process = start_process(folder, store, attempt)
        self._problem: str | None = None
        self._looked = 0.0

    @property
    def problem(self) -> str | None:
        """What keeps the store from being told, as far as that is known by now."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            recorded = self.recorded()
            self._problem = recorded.problem if recorded else None
            if self._process.poll() is not None and not (recorded and recorded.whole):
                self._problem = self._problem or "the recorder of the run has ended"
        return self._problem

    def recorded(self) -> Recorded | None:
        """What the recorder said last."""
        with suppress(CheckpointError, OSError):
            found = read_recorded(self._folder)
            return found if found and found.attempt == self._attempt else None
        return None

    def cancel(self) -> None:
        """Ends the recorder: there is no run."""
        self._process.terminate()
        self._process.wait()

    def wait(self) -> Recorded:
        """What MLflow holds, once it is all. Raises `TrackingError` where that failed."""
        self._process.wait()
        recorded = self.recorded()
        if recorded is None or not recorded.whole:
            why = (recorded and recorded.problem) or "the recorder of the run has ended"
            raise TrackingError(f"{why}\n  {LATER}")
        return recorded


def found_in(run: Run, recorded: Recorded) -> Run:
    """The run with its place in MLflow."""
    return replace(
        run, run_id=recorded.run_id, experiment=recorded.experiment or run.experiment,
        tracking_uri=recorded.store,
    )  # fmt: skip


def adopt(folder: Path, parent: str | None) -> None:
    """Lets the recorder of the run `parent` know the run in the folder, which belongs to it."""
    if parent is not None:
        with told(folder), (folder.parent / parent / CHILDREN).open("a") as children:
            children.write(f"{folder.name}\n")
