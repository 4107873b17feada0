"""Cross-validation: a spec trained once for each fold of its rows, and tested on that fold.

Each fold is a run of its own spec, `data.split: {folds: N, fold: k}`, which `train` could train
as well. They belong to one run, which has the means and deviations.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from trainer.checkpoints.facts import Outcome, recorded_of
from trainer.checkpoints.folder import FILES, RunFolder
from trainer.errors import (
    CheckpointError,
    DivergedError,
    InterruptedRun,
    RunError,
    TrackingError,
    UsageError,
)
from trainer.report.folds import write_folds
from trainer.runs.facts import facts_of, named
from trainer.runs.folds import CrossValidation, Plan, plan_folds
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.recording import Following, Recorder, found_in, open_recorder
from trainer.runs.train import Order, carry_out
from trainer.runs.unfinished import DATA_TAG, close_killed
from trainer.spec.emit import to_yaml
from trainer.spec.schema import Spec
from trainer.tracking.recorder import JOINS
from trainer.training import (
    Event,
    Listener,
    Run,
    Started,
    Status,
    Stop,
    Warned,
    never,
    nobody,
)

KIND: Final = "crossval"


def crossval(
    spec: Spec,
    folds: int | None = None,
    *,
    profile: Profile = DEFAULT,
    listen: Listener = nobody,
    stop: Stop = never,
    again: bool = False,
) -> CrossValidation:
    """Trains one fold of the spec after the other; see `plan_folds` and `train` for the arguments.

    `listen` hears the events of each fold in turn. A fold that was trained before is not trained
    twice, unless `again` says otherwise. An earlier one of the same folds that was killed, and the
    fold that it was at, are closed as such. What stops one fold stops the whole. Raises what
    `plan_folds` and `train` raise; the `run` of a `RunError` is the cross-validation as far as it
    came.
    """
    return _Folds(plan_folds(spec, folds), profile, listen, stop, again).train()


@dataclass
class _Folds:
    """The folds while they are trained."""

    plan: Plan
    profile: Profile
    listen: Listener
    stop: Stop
    again: bool
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._runs: list[Run] = []
        self._notes = list(self.plan.notes)
        self._folder: RunFolder | None = None
        self._recorder: Recorder | None = None
        self._following: Following | None = None
        self._facts = facts_of(
            named(self.plan.spec, f"{self.plan.spec.name} {len(self.plan.specs)} folds"),
            self.profile, KIND, tags={DATA_TAG: self.plan.data_sha256},
        )  # fmt: skip

    def train(self) -> CrossValidation:
        """All of them. Raises a `RunError` that carries those that were trained."""
        self._open()
        try:
            for number, spec in enumerate(self.plan.specs, start=1):
                self._train(number, spec)
        except BaseException as error:
            killed = isinstance(error, InterruptedRun | KeyboardInterrupt)
            diverged = isinstance(error, DivergedError)
            found = self._so_far("KILLED" if killed else "DIVERGED" if diverged else "FAILED")
            with suppress(CheckpointError, TrackingError):  # what stopped the folds matters more
                found = self._close(found, str(error))
            if isinstance(error, RunError):
                error.run = found
            raise
        found = self._so_far("FINISHED")
        try:
            return self._close(found, "")
        except TrackingError as error:
            error.run = self._placed(found)
            raise

    def _open(self) -> None:
        """The folder of the run that holds the folds, and who records them all."""
        profile = self.profile
        if profile.runs is None:
            return
        if profile.recorded:
            if os.environ.get(JOINS):
                raise UsageError(
                    f"{JOINS} names one run to join, and these are several\n  hint: unset it, and "
                    "give MLFLOW_EXPERIMENT_NAME where they are to stand together"
                )
            self._recorder = open_recorder(profile, self.plan.spec)
        self._folder = RunFolder(profile.runs / self._facts.id)
        spec = self._facts.spec
        self._folder.write(f"{FILES}/config/resolved.yaml", to_yaml(dict(spec)))
        if self._facts.spec_text is not None:
            self._folder.write(f"{FILES}/config/spec.yaml", self._facts.spec_text)
        self._folder.begin(replace(self._facts, description=self._description(None)))
        close_killed(self._facts, profile.runs, self._recorder)
        if self._recorder is not None:
            self._following = self._recorder.follow(self._folder.path, 1)

    def _train(self, number: int, spec: Spec) -> None:
        """Trains one fold and keeps its run, also the part of it that an error carries."""
        count, parent = len(self.plan.specs), self._folder.id if self._folder else None
        tags = {"trainer.fold": f"{number}/{count}"}
        order = Order(
            spec, self.profile, self._hear, self.stop, self.again, parent=parent,
            recorder=self._recorder, tags=tags,
        )  # fmt: skip
        if self.stop() and self._runs:
            raise InterruptedRun(f"stopped after {len(self._runs)} of {count} folds")
        try:
            self._runs.append(carry_out(order))
        except RunError as error:
            if isinstance(error.run, Run):
                self._runs.append(error.run)
                error.args = (f"fold {number} of {count}: {error}",)
            raise

    def _hear(self, event: Event) -> None:
        if isinstance(event, Started):
            self._notes += [note for note in event.notes if note not in self._notes]
        self.listen(event)

    # What comes out ------------------------------------------------------------------------

    def _so_far(self, status: Status) -> CrossValidation:
        seconds = time.monotonic() - self.began
        folder = self._folder.path if self._folder else None
        return CrossValidation(
            self.plan, tuple(self._runs), tuple(self._notes), status, folder,
            seconds=seconds,
        )  # fmt: skip

    def _close(self, found: CrossValidation, reason: str) -> CrossValidation:
        """Keeps the table, its picture, the means and deviations, and how the whole ended."""
        folder = self._folder
        if folder is None:
            return found
        try:
            if found.measured:
                ids = [run.id for run in found.runs]
                write_folds(found.name, found.measured, ids, folder.files)
        except Exception as error:  # whatever a picture meets
            text = f"the folds have no table or picture: {type(error).__name__}: {error}"
            self.listen(Warned(text))
        metrics = {f"{name}_mean": value for name, value in found.mean.items()}
        metrics |= {f"{name}_deviation": value for name, value in found.deviation.items()}
        tags = {"trainer.diverged": reason[:5000]} if found.status == "DIVERGED" else {}
        try:
            folder.end(Outcome(
                found.status, 0, 0, reason, metrics, tags=tags, seconds=found.seconds,
                description=self._description(found),
            ))  # fmt: skip
        finally:
            folder.release()
        if self._following is None:
            return found
        self._following.wait()
        return self._placed(found)

    def _placed(self, found: CrossValidation) -> CrossValidation:
        """With its place in MLflow, and that of its runs."""
        runs = []
        for run in found.runs:
            there = recorded_of(run.folder) if run.folder else None
            runs.append(found_in(run, there) if there else run)
        there = self._following.recorded() if self._following else None
        if there is None:
            return replace(found, runs=runs)
        return replace(
            found, runs=runs, run_id=there.run_id, experiment=there.experiment,
            tracking_uri=there.store,
        )  # fmt: skip

    def _description(self, found: CrossValidation | None) -> list[str]:
        """The description of the whole, in Markdown."""
        count, data = len(self.plan.specs), self.plan.spec.data
        how = f", `{data.split.group}` kept together" if data.split.group else ""
        name = self.plan.spec.name
        lines = [f"**{name}**: cross-validation in {count} folds{how}", ""]
        if found is not None:
            lines += _results(found, count)
        return lines + [f"- Note: {note}" for note in self._notes]


def _results(found: CrossValidation, count: int) -> Sequence[str]:
    lines = [
        f"- {name.replace('_', ' ')}: {mean:.5g} ± {found.deviation[name]:.2g}"
        for name, mean in found.mean.items()
    ]
    if found.runs and found.status != "FINISHED":
        ended = sum(run.status == "FINISHED" for run in found.runs)
        lines.append(f"- Result: {found.status.lower()} after {ended} of {count} folds")
    return lines
