"""Sweeps: what the command `train sweep` calls, and going on with one that was stopped."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from trainer.checkpoints.disk import read_within, write_file
from trainer.checkpoints.environment import numeric_environment
from trainer.checkpoints.facts import FACTS, Facts, Outcome, read_facts, read_outcome, recorded_of
from trainer.checkpoints.folder import FILES, RunFolder, find_folder, folders
from trainer.engine import EngineName, choose_engine
from trainer.errors import (
    CheckpointError,
    DivergedError,
    InterruptedRun,
    RunError,
    TrackingError,
    TrainerError,
    UsageError,
)
from trainer.numerics import EDITION
from trainer.report.recorded import OBJECTIVE_TAG
from trainer.runs.facts import facts_of, spec_place
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.recording import Following, Recorder, open_recorder
from trainer.spec.emit import to_yaml
from trainer.sweeps.checking import check_trials
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.describe import describe_sweep, leave_sweep, objective_tag
from trainer.sweeps.driver import Driver, Script
from trainer.sweeps.log import LOG, Began, Log, read_log
from trainer.sweeps.sampling import Sampler, optuna_version, sampler_of
from trainer.sweeps.standing import Standing, Sweep, SweepEvent, SweepListener
from trainer.sweeps.trials import Trials
from trainer.sweeps.unfinished import DATA_TAG
from trainer.sweeps.view import View, course_of
from trainer.tracking.model import RegisteredName
from trainer.tracking.store import address_again
from trainer.training import Status, Stop, Warned, never
from trainer.workers.pool import open_workers
from trainer.workers.shelf import Shelf
from trainer.workers.task import Answer

KIND: Final = "sweep"
ENGINES: Final[tuple[EngineName, ...]] = ("compiled", "reference")
SPENT: Final = "spent"
"""The file that holds the seconds that a sweep has taken."""
SPENT_SECONDS: Final = 1.0  # between two writings of it


def hears_nothing(event: SweepEvent) -> None:
    """Hears nothing."""


def sweep(
    spec: SweepSpec,
    *,
    profile: Profile = DEFAULT,
    listen: SweepListener = hears_nothing,
    stop: Stop = never,
    again: bool = False,
    resume: bool = False,
    promote: str | None = None,
) -> Sweep:
    """Tries the spec's settings and returns what was found.

    All trials, results and promotions and the winner are the same for any number of workers,
    however often the sweep is stopped and gone on with (unless it decides by arrival, or a budget
    of time ends it). `profile` says where and how: `workers` processes, or those of a `cluster`.
    `listen` hears how far it is, and `stop` is asked whether to pause. A sweep of the same
    declaration, data and engine that came to its end in this folder of runs is found, not repeated;
    one that did not is gone on with where `resume` says so. `again` begins anew, and trains also
    what was trained before. `promote` (`NAME`, `NAME@alias`) registers the winner's model.

    Raises `SpecError` and `DataError` with all that is wrong before anything trains, `UsageError`
    where an earlier one is not finished, `CheckpointError` where another process carries it out;
    `InterruptedRun` where it was stopped, `DivergedError` where no trial came to a good end,
    `MachineError` where one cannot be trained for a reason outside, and `TrackingError`.
    """
    if promote is not None:
        RegisteredName.parse(promote)
    began = time.monotonic()
    shelf = Shelf()
    facts = facts_of_sweep(spec, profile, shelf, promote)
    before = None if again or profile.runs is None else _earlier(profile.runs, facts)
    if before is not None:
        path, outcome = before
        if outcome is not None and outcome.status == "FINISHED":
            return recall(path, profile)
        over = outcome is not None and outcome.status == "DIVERGED"
        if not resume and not over:
            raise UsageError(
                f"a sweep of this declaration and these data is not finished: {path.name[:8]}\n"
                f"  hint: --resume goes on with it, --again begins anew"
            )
        return resume_sweep(path.name, profile=profile, listen=listen, stop=stop)
    check_trials(spec, shelf)
    if profile.runs is not None:
        path = profile.runs / facts.id
        return Sweeping(spec, facts, path, profile, listen, stop, again, shelf, began).carry_out()
    with scratch_runs(profile) as elsewhere:
        path = (elsewhere.runs or Path()) / facts.id
        sweeping = Sweeping(
            spec, facts, path, elsewhere, listen, stop, True, shelf, began, kept=False
        )
        return replace(sweeping.carry_out(), folder=None)


def resume_sweep(
    sweep: str,
    *,
    profile: Profile = DEFAULT,
    listen: SweepListener = hears_nothing,
    stop: Stop = never,
) -> Sweep:
    """Goes on with a sweep of the profile's folder of runs: its id, the beginning of its id, or its
    name. What comes out is what an untouched one gives. Of the profile the engine is not
    asked for: it is the sweep's.

    Raises `UsageError` for one that is not there or is finished, `CheckpointError` where another
    process carries it out, its files are damaged, or its data or this version's arithmetic are
    others; and what `sweep` raises.
    """
    began = time.monotonic()
    path = find_folder(profile.runs or Path("runs"), sweep)
    facts, outcome = read_facts(path), read_outcome(path)
    if facts.kind != KIND:
        raise UsageError(f"the run {path.name[:8]} ({facts.kind}) is no sweep")
    if outcome is not None and outcome.status == "FINISHED":
        raise UsageError(f"the sweep {path.name[:8]} is finished")
    spec, shelf = spec_of(facts), Shelf()
    store = address_again(profile.store, facts.store)
    profile = replace(profile, engine=engine_of(facts), store=store)
    now = facts_of_sweep(spec, profile, shelf, facts.register)
    _check_same(path, facts, now)
    facts = replace(facts, attempt=facts.attempt + 1, record=facts.record or profile.recorded)
    return Sweeping(spec, facts, path, profile, listen, stop, False, shelf, began).carry_out()


def spec_of(facts: Facts) -> SweepSpec:
    """The declaration of a sweep; its data are found as `spec_place` says."""
    here = spec_place(facts.spec_file, facts.origin["source"])
    return SweepSpec.from_resolved(facts.spec, file=here, text=facts.spec_text)


def engine_of(facts: Facts) -> EngineName:
    """The engine of a sweep. Raises `CheckpointError` for one that this version has not."""
    for name in ENGINES:
        if name == facts.engine:
            return name
    raise CheckpointError(f"the sweep {facts.id[:8]} names no engine that is known")


@contextmanager
def scratch_runs(profile: Profile) -> Iterator[Profile]:
    """The profile with a folder of runs that is gone afterwards, and nothing recorded."""
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        yield replace(profile, runs=Path(folder), record=False)


# Facts ------------------------------------------------------------------------------------------


def facts_of_sweep(
    spec: SweepSpec, profile: Profile, shelf: Shelf, promote: str | None = None
) -> Facts:
    """What is known of a sweep before it has a trial. Raises `SpecError` and `DataError`."""
    base = spec.base
    engine = choose_engine(profile.engine)
    data = shelf.prepare(base).dataset.sha256
    facts = facts_of(
        base, profile, KIND, name=spec.name, spec_sha256=spec.sha256, spec_text=spec.text,
        spec_file=str(Path(spec.file).resolve()) if spec.file else None, engine=engine,
        environment=numeric_environment(engine), register=promote,
        tags={DATA_TAG: data, OBJECTIVE_TAG: objective_tag(spec.objective.objective)},
    )  # fmt: skip
    return replace(facts, spec=spec.resolved())


def _check_same(path: Path, facts: Facts, now: Facts) -> None:
    """Raises where the trials to come would not be those of an untouched sweep."""
    old = {"data_sha256": facts.tags.get(DATA_TAG), **facts.environment}
    new = {"data_sha256": now.tags.get(DATA_TAG), **now.environment}
    lines = [f"  {n}: {old.get(n)} → {new.get(n)}" for n in old | new if old.get(n) != new.get(n)]
    if lines:
        text = f"the sweep {path.name[:8]} cannot go on to the bit, since this differs:"
        hint = "  hint: begin anew with --again; trials that are still the same are found"
        raise CheckpointError("\n".join([text, *lines, hint]))


def _earlier(runs: Path, facts: Facts) -> tuple[Path, Outcome | None] | None:
    """The newest sweep of the same declaration, data and engine."""
    for path in reversed([*folders(runs)]):
        with suppress(CheckpointError):
            was = read_facts(path)
            if (
                was.kind == KIND
                and all(
                    getattr(was, name) == getattr(facts, name)
                    for name in ("name", "spec_sha256", "engine", "environment")
                )
                and was.tags.get(DATA_TAG) == facts.tags.get(DATA_TAG)
            ):
                return path, read_outcome(path)
    return None


def recall(path: Path, profile: Profile) -> Sweep:
    """The sweep in a folder, as far as its log tells of it. Raises `CheckpointError`."""
    facts, outcome = read_facts(path), read_outcome(path)
    spec = spec_of(facts)
    entries, digest = read_log(path)
    trials = Trials(spec, path.name, path.parent, profile, engine_of(facts))
    view = View(spec, trials, course_of(spec, entries))
    status, seconds = (outcome.status, outcome.seconds) if outcome else ("KILLED", _spent(path))
    return _placed(view.sweep(status, digest, seconds), path)


def _placed(found: Sweep, path: Path) -> Sweep:
    """With its place in MLflow."""
    there = recorded_of(path)
    found = replace(found, folder=path)
    if there is None:
        return found
    return replace(
        found, run_id=there.run_id, experiment=there.experiment, tracking_uri=there.store
    )


# Carrying out -----------------------------------------------------------------------------------


@dataclass
class Sweeping:
    """One process's part of a sweep."""

    spec: SweepSpec
    facts: Facts
    path: Path
    profile: Profile
    listen: SweepListener
    stop: Stop
    again: bool
    shelf: Shelf
    began: float
    script: Script | None = None
    kept: bool = True
    _recorder: Recorder | None = field(init=False, default=None)
    _following: Following | None = field(init=False, default=None)
    _written: float = field(init=False, default=0.0)

    def carry_out(self) -> Sweep:
        """Takes it to its end."""
        sampler = sampler_of(self.spec)
        folder = RunFolder(self.path)
        try:
            self._open(folder)
            return self._drive(folder, sampler)
        except BaseException:
            if self._recorder is not None:
                self._recorder.leave()
            raise
        finally:
            folder.release()

    def _open(self, folder: RunFolder) -> None:
        """The folder with all that is known at its start, and who records it."""
        if self.profile.recorded:
            self._recorder = open_recorder(self.profile, self.spec.base)
        folder.write(f"{FILES}/config/resolved.yaml", to_yaml(dict(self.facts.spec)))
        if self.facts.spec_text is not None:
            folder.write(f"{FILES}/config/sweep.yaml", self.facts.spec_text)
        folder.begin(self.facts)
        if self._recorder is not None:
            self._following = self._recorder.follow(self.path, self.facts.attempt)

    def _drive(self, folder: RunFolder, sampler: Sampler) -> Sweep:
        profile, spec = self.profile, self.spec
        assert profile.runs is not None
        store = self._recorder.store.uri if self._recorder is not None else None
        trials = Trials(
            spec, self.path.name, profile.runs, profile, engine_of(self.facts), store, self.again,
            self.shelf,
        )  # fmt: skip
        with (
            closing(Log(self.path)) as log,
            open_workers(profile.workers, profile.cluster, profile.runs) as workers,
        ):
            self._begin(log)
            driver = self._driver = Driver(
                spec, trials, log, sampler, workers, self.listen, self.stop, self._heard,
                _spent(self.path), self.script, self.began,
            )  # fmt: skip
            try:
                driver.run()
            except BaseException as error:
                self._broken_off(folder, driver, error)
                raise
        return self._finish(folder, driver)

    def _broken_off(self, folder: RunFolder, driver: Driver, error: BaseException) -> None:
        """Keeps how a sweep ended that is not at its end, and says in the error how to go on."""
        killed = isinstance(error, InterruptedRun | KeyboardInterrupt)
        found = self._end(folder, driver.sweep("KILLED" if killed else "FAILED"), str(error))
        if isinstance(error, RunError):
            error.run = found
        if isinstance(error, TrainerError) and self.kept:
            error.args = (f"{error}; go on with: train resume {self.path.name[:8]}",)

    def _begin(self, log: Log) -> None:
        """The first entry of the log, or a look at that which is there."""
        data, version = self.facts.tags[DATA_TAG], optuna_version(self.spec)
        first = Began(self.spec.sha256, data, self.facts.engine, str(EDITION), version)
        if not log.entries:
            log.append([first])
            return
        was = log.entries[0]
        if not isinstance(was, Began) or replace(was, optuna=version) != first:
            raise CheckpointError(f"the log of the sweep {self.path.name[:8]} is another sweep's")
        if was.optuna != version:
            self.listen(Warned(
                f"the sweep began with Optuna {was.optuna}, this is {version}: from here on it may "
                "choose otherwise"
            ))  # fmt: skip

    def _heard(self, answer: Answer) -> None:
        """A trial's folder has got farther."""
        trial = self.path.parent / answer.id
        if self._recorder is not None and (trial / FACTS).is_file():
            self._recorder.follow(trial, answer.attempt)
        if time.monotonic() - self._written >= SPENT_SECONDS:
            self._note_spent()

    def _note_spent(self) -> None:
        self._written = time.monotonic()
        with suppress(OSError):
            write_file(self.path / SPENT, f"{self._driver.seconds:.1f}\n".encode())

    # The end -------------------------------------------------------------------------------

    def _finish(self, folder: RunFolder, driver: Driver) -> Sweep:
        status: Status = "FINISHED" if driver.sweep("FINISHED").winner else "DIVERGED"
        found = self._end(folder, driver.sweep(status), "")
        folder.release()
        self.listen(Standing(found, 0, driver.workers.count))
        failure: RunError | None = None
        if status == "DIVERGED":
            failure = DivergedError(f"none of the {len(found.trials)} trials came to a good end")
        if self._following is not None:
            try:
                self._following.wait()
            except KeyboardInterrupt:
                failure = InterruptedRun("the sweep is done; it is recorded without this command")
            except TrackingError as error:
                if self.profile.offline_ok:
                    self.listen(Warned(str(error)))
                else:
                    failure = failure or error
        found = _placed(found, self.path)
        if failure is not None:
            failure.run = found
            raise failure
        return found

    def _end(self, folder: RunFolder, found: Sweep, reason: str) -> Sweep:
        """Keeps the table, the pictures, the winner's model, and how the sweep ended."""
        self._note_spent()
        found = replace(found, folder=self.path)
        try:
            leave_sweep(folder, found, self.spec)
        except Exception as error:  # whatever a picture meets
            text = f"the sweep has not all that it leaves: {type(error).__name__}: {error}"
            self.listen(Warned(text))
        with suppress(CheckpointError):
            folder.seal(LOG)
            folder.end(describe_sweep(found, self.spec, reason))
        return found


def _spent(path: Path) -> float:
    """The seconds that a sweep has taken in earlier processes."""
    with suppress(OSError, ValueError):
        return max(float(read_within(path, SPENT)), 0.0)
    return 0.0
