"""Cross-validation: a spec trained once for each fold of its rows, and tested on that fold.

Each fold is a run of its own spec, `data.split: {folds: N, fold: k}`, which `train` could train
as well. They belong to one run, which has the means and deviations.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from trainer.checkpoints.facts import FACTS, OUTCOME, Outcome, read_facts, recorded_of
from trainer.checkpoints.folder import FILES, RunFolder, new_id
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
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.recording import Following, Recorder, found_in, open_recorder
from trainer.runs.train import Order, carry_out
from trainer.spec.emit import to_yaml
from trainer.spec.schema import Spec
from trainer.sweeps.folds import CrossValidation, Plan, plan_folds
from trainer.sweeps.unfinished import DATA_TAG, close_killed
from trainer.tracking.recorder import JOINS
from trainer.training import (
    Event,
    Listener,
    Run,
    Started,
    Status,
    Stop,
    Trained,
    Warned,
    never,
    nobody,
)
from trainer.workers.pool import Workers, open_workers
from trainer.workers.reached import events_of, run_of
from trainer.workers.task import Answer, Task

KIND: Final = "crossval"
STOP_SECONDS: Final = 0.1
"""So often is asked whether to stop, while workers train."""


def crossval(
    spec: Spec,
    folds: int | None = None,
    *,
    profile: Profile = DEFAULT,
    listen: Listener = nobody,
    stop: Stop = never,
    again: bool = False,
    id: str | None = None,  # noqa: A002 (it is that of the run)
) -> CrossValidation:
    """Trains a fold of the spec after the other; see `plan_folds` and `train` for the arguments.

    `listen` hears the events of each fold in turn. Where the profile names several workers, or a
    cluster, these train the folds at the same time, and they are heard once all are trained. A fold
    that was trained before is not trained twice, unless `again` says otherwise. An earlier one of
    the same folds that was killed, and the fold that it was at, are closed as such; but where the
    `id` of the run is given, this goes on with that run, and with each of its folds. What stops one
    fold stops the whole. Raises what `plan_folds` and `train` raise; the `run` of a `RunError` is
    the cross-validation as far as it came.
    """
    return _Folds(plan_folds(spec, folds), profile, listen, stop, again, id).train()


@dataclass
class _Folds:
    """The folds while they are trained."""

    plan: Plan
    profile: Profile
    listen: Listener
    stop: Stop
    again: bool
    id: str | None = None
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
            if (self.profile.workers or 1) > 1 or self.profile.cluster is not None or self.id:
                self._train_at_once()
            else:
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
                    "give MLFLOW_EXPERIMENT_NAME where they are to stand together",
                    code="TR-T008",
                )
            self._recorder = open_recorder(profile, self.plan.spec)
        if self.id is not None:
            self._facts = replace(self._facts, id=self.id, attempt=attempts(profile.runs / self.id))
        self._folder = RunFolder(profile.runs / self._facts.id)
        spec = self._facts.spec
        self._folder.write(f"{FILES}/config/resolved.yaml", to_yaml(dict(spec)))
        if self._facts.spec_text is not None:
            self._folder.write(f"{FILES}/config/spec.yaml", self._facts.spec_text)
        self._folder.begin(replace(self._facts, description=self._description(None)))
        if self.id is None:
            close_killed(self._facts, profile.runs, self._recorder)
        if self._recorder is not None:
            self._following = self._recorder.follow(self._folder.path, self._facts.attempt)

    def _train(self, number: int, spec: Spec) -> None:
        """Trains one fold and keeps its run, also the part of it that an error carries."""
        count = len(self.plan.specs)
        order = Order(
            spec, self.profile, self._hear, self.stop, self.again, parent=self._id,
            recorder=self._recorder, tags=self._tags(number),
        )  # fmt: skip
        if self.stop() and self._runs:
            raise InterruptedRun(f"stopped after {len(self._runs)} of {count} folds")
        self._keep(number, lambda: carry_out(order))

    def _train_at_once(self) -> None:
        """Trains all folds by workers, and keeps them in their order."""
        specs, profile = self.plan.specs, self.profile
        tasks = [self._task(number, spec) for number, spec in enumerate(specs, start=1)]
        with tempfile.TemporaryDirectory() as scratch:
            runs = profile.runs or Path(scratch)
            with open_workers(profile.workers, profile.cluster, runs) as workers:
                answers = self._answers([workers.submit(task) for task in tasks], workers, runs)
            self._keep_in_order(answers, runs)
        if profile.runs is None:
            self._runs = [replace(run, folder=None) for run in self._runs]

    def _task(self, number: int, spec: Spec) -> Task:
        profile = self.profile
        return Task(
            id=fold_id(self.id, number) if self.id else new_id(), spec=spec.resolved(),
            file=spec.file, text=spec.text, parent=self._id,
            tags=self._tags(number), engine=profile.engine, threads=profile.threads or 1,
            save_every=profile.save_every, record=profile.recorded, store=profile.address(spec),
            model=True, pictures=True, again=self.again,
        )  # fmt: skip

    def _answers(
        self, futures: Sequence[Future[Answer]], workers: Workers, runs: Path
    ) -> list[Answer]:
        """What the workers answer. What stops one fold stops the others."""
        left = set(futures)
        while left:
            done, left = wait(left, STOP_SECONDS, FIRST_COMPLETED)
            if self.stop() or any(future.result().status != "FINISHED" for future in done):
                workers.pause()
            for answer in (future.result() for future in done):
                if self._recorder is not None and (runs / answer.id / FACTS).exists():
                    self._recorder.follow(runs / answer.id, answer.attempt)
        return [future.result() for future in futures]

    def _keep_in_order(self, answers: Sequence[Answer], runs: Path) -> None:
        """Keeps the folds until the first that did not come to its end; those after it are found
        by the next cross-validation. Raises what stopped them, not what that stopped.
        """
        places = {number: partial(self._told, each, runs) for number, each in enumerate(answers, 1)}
        statuses = [answer.status for answer in answers]
        whole = next((i for i, status in enumerate(statuses) if status != "FINISHED"), len(answers))
        for number in range(1, whole + 1):
            self._keep(number, places[number])
        causes = [i for i, status in enumerate(statuses, 1) if status in ("DIVERGED", "FAILED")]
        if whole < len(answers):
            cause = causes[0] if causes else whole + 1
            if not causes and not (runs / answers[whole].id / OUTCOME).exists():
                raise InterruptedRun(f"stopped after {whole} of {len(answers)} folds")
            self._keep(cause, places[cause])

    def _told(self, answer: Answer, runs: Path) -> Run:
        """The run of an answer, once its events are told. Raises what its training would."""
        if answer.status != "FAILED" and (runs / answer.id / FACTS).exists():
            for event in events_of(runs / answer.id):
                self._hear(event)
        run = run_of(answer, runs)
        self.listen(Trained(run))
        return run

    def _keep(self, number: int, train: Callable[[], Run]) -> None:
        """Keeps the run of a fold, also the part of it that an error carries."""
        try:
            self._runs.append(train())
        except RunError as error:
            if isinstance(error.run, Run):
                if number == len(self._runs) + 1:  # else it is no next column of the table
                    self._runs.append(error.run)
                error.reword(f"fold {number} of {len(self.plan.specs)}: {error.message}")
            raise

    @property
    def _id(self) -> str | None:
        """The id of the run that holds the folds."""
        return self._folder.id if self._folder else None

    def _tags(self, number: int) -> Mapping[str, str]:
        return {"trainer.fold": f"{number}/{len(self.plan.specs)}"}

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


def fold_id(crossval: str, number: int) -> str:
    """The id of a fold of the cross-validation with a given id: so it is found again."""
    return hashlib.sha256(f"{crossval}/{number}".encode()).hexdigest()[:32]


def attempts(folder: Path) -> int:
    """The number of the attempt that begins, at a run that may be there."""
    return read_facts(folder).attempt + 1 if (folder / FACTS).is_file() else 1


def _results(found: CrossValidation, count: int) -> Sequence[str]:
    lines = [
        f"- {name.replace('_', ' ')}: {mean:.5g} ± {found.deviation[name]:.2g}"
        for name, mean in found.mean.items()
    ]
    if found.runs and found.status != "FINISHED":
        ended = sum(run.status == "FINISHED" for run in found.runs)
        lines.append(f"- Result: {found.status.lower()} after {ended} of {count} folds")
    return lines
