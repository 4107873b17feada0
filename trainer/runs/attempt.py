"""One process's part of a run: the job is trained, kept, examined, and what it leaves is written.

The one way that `train` and `resume` share. Whoever else wants to know reads the run's folder.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from trainer.checkpoints.facts import Facts, Outcome
from trainer.checkpoints.folder import RunFolder
from trainer.checkpoints.keeper import Every, Keeper
from trainer.engine.blas_threads import one_blas_thread
from trainer.errors import (
    CheckpointError,
    DivergedError,
    InterruptedRun,
    RunError,
    TrackingError,
)
from trainer.network.fingerprint import parameters_sha256
from trainer.network.summary import describe_threshold
from trainer.report.comparing import TRIVIAL
from trainer.report.health import Finding, examine, verdict
from trainer.report.recorded import DIVERGED_TAG, KEPT_TAG, PAUSED_TAG
from trainer.report.standing import no_better, standing
from trainer.runs.describe import HEALTHY, describe_result, describe_run
from trainer.runs.facts import is_placed_by_mlflow
from trainer.runs.known import remember
from trainer.runs.leave import leave_model, leave_numbers, leave_pictures
from trainer.runs.recording import Following, found_in
from trainer.training import (
    Ended,
    History,
    Job,
    Listener,
    Run,
    Started,
    Status,
    Stop,
    Trained,
    Warned,
    run_job,
)
from trainer.training.events import LoopEvent

FAR_SECONDS: Final = 60.0
"""A run that has trained for less is stopped where its store cannot be used."""
_GO_ON: Final = "\n  hint: go on from there with: train resume {} --set sgd.learning_rate=…"


@dataclass
class Kept:
    """The folder of a run, what it says of it, and who tells MLflow, if anyone does, and whether
    the attempt `awaits` that. `past` are the events of earlier attempts and `size` the bytes of the
    journal that hold them. A run that comes to its end leaves its `model` and `pictures`; one
    without pictures leaves the record of its steps only then.
    """

    folder: RunFolder
    facts: Facts
    every: Every
    recorder: Following | None = None
    awaits: bool = True
    offline_ok: bool = False
    past: Sequence[LoopEvent] = ()
    size: int = 0
    model: bool = True
    pictures: bool = True


@dataclass
class Attempt:
    """A job that is ready to be trained, and who hears of it and may stop it. It waits after the
    epoch `pause_after`, if that comes before its end.
    """

    job: Job
    listen: Listener
    stop: Stop
    kept: Kept | None = None
    began: float = field(default_factory=time.monotonic)
    pause_after: int | None = None

    def __post_init__(self) -> None:
        self._history = History()
        self._keeper: Keeper | None = None
        self._trained_since = time.monotonic()
        self._away: str | None = None  # what is wrong with the store, once it was told

    def carry_out(self) -> Run:
        """Trains the job to its end, and returns what came out once MLflow has it.

        Raises `DivergedError`, `InterruptedRun` where it was stopped, and `TrackingError` where
        the store did not take all of it; each carries what was trained.
        """
        kept = self.kept
        try:
            run = self._train()
            failure = self._failure(run)
            try:
                self.listen(Trained(run))
            finally:
                self._leave(run)
        except BaseException:
            if kept is not None and kept.recorder is not None and kept.awaits:
                kept.recorder.recorder.leave()
            raise
        finally:
            if self._keeper is not None:
                self._keeper.close()
            if kept is not None:
                kept.folder.release()
        if kept is not None and kept.recorder is not None and kept.awaits:
            run, failure = self._recorded(kept.recorder, run, failure)
        if failure is not None:
            failure.run = run
            raise failure
        return run

    # Training ------------------------------------------------------------------------------

    def _train(self) -> Run:
        job, kept = self.job, self.kept
        for event in kept.past if kept else ():
            self._history.on(event)
        if kept is not None:
            self._keeper = Keeper(kept.folder, job, kept.every, self.listen, kept.size)
        try:
            self.listen(self._started())
            # entered here, since it limits the libraries that are loaded by now: the engine's too
            with one_blas_thread():
                self._trained_since = time.monotonic()
                for event in run_job(job, self._is_stopped, self.pause_after):
                    self._hear(event)
        except BaseException as error:
            self._broken_off(error)
            raise
        return self._result()

    def _started(self) -> Started:
        job = self.job
        return Started(
            run=self.kept.folder.id if self.kept else None,
            name=job.spec.name,
            parameters=sum(value.size for value in job.initial.values()),
            rows=len(job.dataset.train),
            epochs=job.spec.sgd.epochs,
            steps_per_epoch=job.steps_per_epoch,
            step=job.progress.step,
            notes=job.dataset.notes,
        )

    def _hear(self, event: LoopEvent) -> None:
        self._history.on(event)
        if self._keeper is not None:
            self._keeper.on(event)
        self.listen(event)

    def _is_stopped(self) -> bool:
        return self.stop() or self._store_is_away()

    def _store_is_away(self) -> bool:
        """Whether the run is to stop since it cannot be recorded; told once."""
        kept = self.kept
        if self._away is not None or kept is None or kept.recorder is None:
            return False
        problem = kept.recorder.problem
        if problem is None:
            return False
        self._away = problem
        young = time.monotonic() - self._trained_since < FAR_SECONDS
        if young and not kept.offline_ok:
            return True
        self.listen(Warned(f"{problem}\n  the run goes on, and is kept in {kept.folder.path}"))
        return False

    def _broken_off(self, error: BaseException) -> None:
        """Keeps how a training ended that something other than itself ended."""
        if self.kept is None:
            return
        now, reason = self.job.progress, f"{type(error).__name__}: {error}"
        status: Status = "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED"
        ended = Ended(status, max(now.epoch - 1, 0), now.step, {}, reason)
        with suppress(CheckpointError):
            self.kept.folder.end(self._outcome(ended, None, [], 0.0))

    # The result ----------------------------------------------------------------------------

    def _result(self) -> Run:
        job, ended, kept = self.job, self._history.ended, self.kept
        self._findings = self._examine()
        notes = list(job.dataset.notes)
        if ended.status == "FINISHED" and ended.reason:
            notes.append(ended.reason)
        metrics = self._history.last
        findings = [f"{found.message}; {found.advice}" for found in self._findings]
        if "threshold" in metrics and job.dataset.classes is not None:
            label, chosen = job.dataset.classes[-1], metrics["threshold"]
            notes.append(f"says {describe_threshold(job.spec.evaluation, label, chosen)}")
        if any(name.startswith(TRIVIAL) for name in metrics):
            says = job.trivial.says(job.spec.model, job.dataset.preprocessing)
            notes += filter(None, [standing(metrics, says)])
            findings += filter(None, [no_better(metrics, says)])
        return Run(
            name=job.spec.name,
            status=ended.status,
            epochs=ended.epoch,
            steps=ended.step,
            parameters=job.parameters,
            metrics=metrics,
            history=self._history.series(),
            parameters_sha256=parameters_sha256(job.parameters),
            spec_sha256=job.spec.sha256,
            data_sha256=job.dataset.sha256,
            findings=tuple(findings),
            notes=tuple(notes),
            seconds=time.monotonic() - self.began,
            folder=kept.folder.path if kept else None,
            experiment=self._experiment(),
            tracking_uri=kept.recorder.store.shown if kept and kept.recorder else None,
        )

    def _experiment(self) -> str | None:
        """The experiment in which MLflow has the run, as far as that is known here."""
        kept = self.kept
        if kept is None or kept.recorder is None or is_placed_by_mlflow():
            return None
        return kept.facts.experiment

    def _examine(self) -> list[Finding]:
        """What is wrong with the run's gradients. A failure of this takes nothing from the run."""
        try:
            return examine(self.job, self._history)
        except Exception as error:  # whatever a strange run meets there
            text = f"its gradients were not examined: {type(error).__name__}: {error}"
            self.listen(Warned(text))
            return []

    def _failure(self, run: Run) -> RunError | None:
        """What is to be told of a run that did not come to its end."""
        ended = self._history.ended
        if ended.status == "DIVERGED":
            hint = _GO_ON.format(run.id[:8]) if run.id and self._diverged_late(ended) else ""
            return DivergedError(ended.reason + hint)
        if ended.status != "KILLED":
            return None
        message = f"after {ended.step} steps ({ended.epoch} whole epochs)"
        saved = self._keeper is not None and self._keeper.saved_step == ended.step
        hint = f"; go on with: train resume {run.id[:8]}" if saved and run.id else ""
        if self._away is not None and not self.stop():
            text = f"{self._away}\n  stopped {message}{hint}"
            return TrackingError(
                f"{text}\n  hint: --offline-ok trains without the store", code="TR-T001"
            )
        return InterruptedRun(f"interrupted {message}{hint}")

    def _diverged_late(self, ended: Ended) -> bool:
        """Whether the run diverged after it was good, and keeps the parameters of that time."""
        return ended.status == "DIVERGED" and self.job.progress.best.learned

    # What it leaves ------------------------------------------------------------------------

    def _leave(self, run: Run) -> None:
        """Writes all that the run leaves. What cannot be written takes nothing from the run."""
        kept, ended = self.kept, self._history.ended
        if kept is None:
            return
        try:
            over = ended.status in ("FINISHED", "DIVERGED")
            leave_numbers(kept.folder, self.job, trace=over or kept.pictures)
            if kept.model and (ended.status == "FINISHED" or self._diverged_late(ended)):
                leave_model(kept.folder, self.job)
            outcome = self._outcome(ended, run.parameters_sha256, list(run.findings), run.seconds)
            kept.folder.end(replace(outcome, notes=list(run.notes)))
            if ended.status == "FINISHED":
                remember(kept.folder.path, kept.facts)
        except CheckpointError as error:
            self.listen(Warned(f"not all of the run is kept: {error}"))
            return
        try:
            # who stops a run does not want to wait, and it goes on
            if kept.pictures and ended.status not in ("PAUSED", "KILLED"):
                leave_pictures(kept.folder, self.job, self._history)
        except Exception as error:  # whatever a picture meets
            text = f"the run has not all of its pictures: {type(error).__name__}: {error}"
            self.listen(Warned(text))

    def _outcome(
        self, ended: Ended, parameters: str | None, findings: list[str], seconds: float
    ) -> Outcome:
        kept, said, tags = self.kept, findings, {}
        assert kept is not None
        if parameters is not None and (findings or ended.epoch):  # in less there is little to find
            said, tags = findings or [HEALTHY], {"trainer.gradients": verdict(self._findings)}
        if ended.status == "DIVERGED":
            tags[DIVERGED_TAG] = ended.reason[:5000] or "true"
        if ended.status == "PAUSED":
            tags[PAUSED_TAG] = f"after epoch {ended.epoch} of {self.job.spec.sgd.epochs}"
        if self._diverged_late(ended):
            tags[KEPT_TAG] = str(self.job.kept_epoch)
        result = describe_result(self.job, self._history.last, ended, said, kept.folder.id)
        return Outcome(
            ended.status, ended.epoch, ended.step, ended.reason, self._history.last, parameters,
            findings, description=describe_run(self.job, result), tags=tags, seconds=seconds,
        )  # fmt: skip

    def _recorded(
        self, recorder: Following, run: Run, failure: RunError | None
    ) -> tuple[Run, RunError | None]:
        """The run with its place in MLflow, and what is to be told of it."""
        try:
            recorder.wait()
        except KeyboardInterrupt:
            return run, InterruptedRun("the run is trained; it is recorded without this command")
        except TrackingError as error:
            kept = self.kept
            if kept is not None and kept.offline_ok:
                self.listen(Warned(str(error)))
            elif not isinstance(failure, TrackingError):
                failure = error if failure is None else type(failure)(f"{failure}\n{error}")
        there = recorder.recorded()
        return (found_in(run, there) if there else run), failure
