"""How far an attempt at a job got, as its folder tells it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from trainer.checkpoints.folder import JOURNAL
from trainer.checkpoints.journal import read_journal
from trainer.service.records import Job
from trainer.service.work.verdicts import Got
from trainer.sweeps.log import LOG
from trainer.training.events import Ended, StepsDone
from trainer.workers.processes import saved_step


class Reach:
    """Looks at a folder where an attempt begins and where it ends."""

    def __init__(self, job: Job, runs: Path) -> None:
        self._job, self._folder = job, runs / job.id
        self._began = saved_step(self._folder)
        self._moment = self._changed()

    def got(self, told: int) -> Got:
        """What it looks like now; the step `told` is the farthest that was told of the job. What is
        led by decisions takes its steps elsewhere.
        """
        saved = saved_step(self._folder)
        if self._job.kind != "train":
            return Got(max(saved, told), (self._folder / LOG).exists())
        steps = self._job.cost.steps
        stepped = saved > self._began or (steps is not None and saved >= steps)
        if not stepped and self._changed() != self._moment:
            stepped = self._last() > self._began
        return Got(max(saved, told), stepped)

    def _changed(self) -> int:
        """When the journal was written last."""
        with suppress(OSError):
            return (self._folder / JOURNAL).stat().st_mtime_ns
        return 0

    def _last(self) -> int:
        """The last step in the journal."""
        last = 0
        with suppress(OSError, ValueError):
            for event in read_journal(self._folder / JOURNAL):
                if isinstance(event, StepsDone):
                    last = event.first + len(event.steps.losses) - 1
                elif isinstance(event, Ended):
                    last = event.step
        return last
