"""The listener that keeps a training on disk: its journal, and checkpoints in between."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from trainer.checkpoints.checkpoint import Saver
from trainer.checkpoints.disk import told
from trainer.checkpoints.folder import CHECKPOINTS, JOURNAL, RunFolder
from trainer.checkpoints.journal import Journal
from trainer.errors import UsageError
from trainer.training.events import Ended, EpochDone, Listener, LoopEvent, Saved, StepsDone, Warned

if TYPE_CHECKING:
    from trainer.training.job import Job

WRITE_SECONDS: Final = 0.3  # so old are the events that others can see, at most
_EVERY: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|steps?|epochs?)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class Every:
    """How often a checkpoint is saved: after so many seconds, steps or epochs."""

    seconds: float | None = None
    steps: int | None = None
    epochs: int | None = None

    @classmethod
    def parse(cls, text: str) -> Every:
        """From `30s`, `5min`, `1h`, `1000 steps` or `1 epoch`. Raises `UsageError`."""
        match = _EVERY.fullmatch(text.strip())
        if not match or not float(match[1]):
            hint = "write 30s, 5min, 1000steps or 1epoch"
            raise UsageError(
                f"'{text}' is no time between checkpoints\n  hint: {hint}", code="TR-U003"
            )
        number, unit = float(match[1]), match[2]
        if unit in _SECONDS:
            return cls(seconds=number * _SECONDS[unit])
        if unit.startswith("step"):
            return cls(steps=max(1, int(number)))
        return cls(epochs=max(1, int(number)))


class Keeper:
    """Writes the journal and saves checkpoints, and tells `listen` of both.

    A disk that refuses does not stop the training: that is told, and it is tried again when the
    next checkpoint is due. Raises `CheckpointError` where the journal cannot be opened.
    """

    def __init__(
        self, folder: RunFolder, job: Job, every: Every, listen: Listener, journal_size: int = 0
    ) -> None:
        self.folder = folder
        self._job = job
        self._every = every
        self._listen = listen
        with told(folder.path):
            self._journal = Journal(folder.path / JOURNAL, journal_size)
        self._saver = Saver(folder.path / CHECKPOINTS)
        self._written = time.monotonic()
        self._stepped = False  # whether others can see that it takes steps
        self._mark()
        self.saved_step: int | None = None
        """The step of the last checkpoint that this process saved."""

    def on(self, event: LoopEvent) -> None:
        """Takes one event, and writes and saves where it is time."""
        try:
            self._journal.add(event)
            first = isinstance(event, StepsDone) and not self._stepped
            self._stepped = self._stepped or first
            if isinstance(event, Ended) or self._is_due(event):
                self.save()
            elif first or time.monotonic() - self._written >= WRITE_SECONDS:
                self._journal.write()
                self._written = time.monotonic()
        except OSError as error:
            self._mark()
            self._written = time.monotonic()
            step = self._job.progress.step
            self._listen(Warned(f"no checkpoint after step {step}: {error.strerror}"))

    def _is_due(self, event: StepsDone | EpochDone) -> bool:
        every, now = self._every, self._job.progress
        if every.seconds is not None:
            return time.monotonic() - self._time >= every.seconds
        if every.steps is not None:
            return now.step - self._step >= every.steps
        assert every.epochs is not None
        return isinstance(event, EpochDone) and now.epoch - self._epoch >= every.epochs

    def save(self) -> None:
        """Saves a checkpoint of where the job is. Raises `OSError`."""
        size = self._journal.flush()
        snapshot = self._job.snapshot()
        position = {**snapshot.position, "journal": size}
        self._saver.save(replace(snapshot, position=position))
        self.saved_step = snapshot.step
        self._mark()
        self._listen(Saved(snapshot.step))

    def _mark(self) -> None:
        now = self._job.progress
        self._step, self._epoch, self._time = now.step, now.epoch, time.monotonic()

    def close(self) -> None:
        """Closes the journal."""
        self._journal.close()
