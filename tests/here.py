"""A worker that is this process: to start one and have it import what it needs takes a second."""

from __future__ import annotations

from pathlib import Path

from trainer.checkpoints.disk import unflushed
from trainer.workers.pool import Workers
from trainer.workers.shelf import Shelf
from trainer.workers.task import Answer, Task
from trainer.workers.train import train_task


class Here:
    """Does one task after the other; once it is told to stop, it begins none."""

    def __init__(self, runs: Path) -> None:
        self.runs, self.stopped, self._shelf = runs.absolute(), False, Shelf()

    def answer(self, task: Task) -> Answer:
        if self.stopped:
            return Answer(task.id, "KILLED")
        with unflushed():
            return train_task(task, self.runs, shelf=self._shelf)

    def ask(self) -> None:
        self.stopped = True

    def close(self) -> None:
        """Holds nothing."""


def open_here(_count: int | None, _cluster: str | None, runs: Path) -> Workers:
    """What `open_workers` gives, with one worker of this kind."""
    runs.mkdir(parents=True, exist_ok=True)
    worker = Here(runs)
    return Workers([worker], worker.ask)
