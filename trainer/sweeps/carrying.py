"""One process's part of a sweep: its trials are driven, its log and all that it leaves are kept."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from trainer.checkpoints.disk import read_within, write_file
from trainer.checkpoints.facts import FACTS, Facts, recorded_of
from trainer.checkpoints.folder import FILES, RunFolder
from trainer.engine import EngineName
from trainer.errors import (
    CheckpointError,
    DivergedError,
    InterruptedRun,
    RunError,
    TrackingError,
    TrainerError,
)
from trainer.numerics import EDITION
from trainer.runs.profile import Profile
from trainer.runs.recording import Following, Recorder, open_recorder
from trainer.spec.emit import to_yaml
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.describe import describe_sweep, leave_sweep
from trainer.sweeps.driver import Driver, Script
from trainer.sweeps.log import LOG, Began, Log
from trainer.sweeps.sampling import Sampler, optuna_version, sampler_of
from trainer.sweeps.standing import Standing, Sweep, SweepEvent, SweepListener
from trainer.sweeps.trials import Trials
from trainer.sweeps.unfinished import DATA_TAG
from trainer.training import Status, Stop, Warned
from trainer.workers.pool import Workers, open_workers
from trainer.workers.shelf import Shelf
from trainer.workers.task import Answer

ENGINES: Final[tuple[EngineName, ...]] = ("compiled", "reference")
SPENT: Final = "spent"
"""The file that holds the seconds that a sweep has taken."""
SPENT_SECONDS: Final = 1.0  # between two writings of it


def hears_nothing(event: SweepEvent) -> None:
    """Hears nothing."""


def engine_of(facts: Facts) -> EngineName:
    """The engine of a sweep. Raises `CheckpointError` for one that this version has not."""
    for name in ENGINES:
        if name == facts.engine:
            return name
    raise CheckpointError(f"the sweep {facts.id[:8]} names no engine that is known", code="TR-R011")


def placed(found: Sweep, path: Path) -> Sweep:
    """With its place in MLflow."""
    there = recorded_of(path)
    found = replace(found, folder=path)
    if there is None:
        return found
    return replace(
        found, run_id=there.run_id, experiment=there.experiment, tracking_uri=there.store
    )


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
        """Takes it to its end. What is missing for it is told before there is a folder."""
        profile, sampler = self.profile, sampler_of(self.spec)
        assert profile.runs is not None
        if profile.recorded:
            self._recorder = open_recorder(profile, self.spec.base)
        try:
            with open_workers(profile.workers, profile.cluster, profile.runs) as workers:
                folder = RunFolder(self.path)
                try:
                    self._open(folder)
                    driver = self._drive(folder, sampler, workers)
                except BaseException:
                    folder.release()
                    raise
            return self._finish(folder, driver)
        except BaseException:
            if self._recorder is not None:
                self._recorder.leave()
            raise

    def _open(self, folder: RunFolder) -> None:
        """The folder with all that is known at its start, which is followed from here on."""
        folder.write(f"{FILES}/config/resolved.yaml", to_yaml(dict(self.facts.spec)))
        if self.facts.spec_text is not None:
            folder.write(f"{FILES}/config/sweep.yaml", self.facts.spec_text)
        folder.begin(self.facts)
        if self._recorder is not None:
            self._following = self._recorder.follow(self.path, self.facts.attempt)

    def _drive(self, folder: RunFolder, sampler: Sampler, workers: Workers) -> Driver:
        """Decides and trains, until nothing is left."""
        spec = self.spec
        store = self._recorder.store.uri if self._recorder is not None else None
        trials = Trials(
            spec, self.path.name, self.path.parent, self.profile, engine_of(self.facts), store,
            self.again, self.shelf,
        )  # fmt: skip
        with closing(Log(self.path)) as log:
            self._begin(log)
            driver = self._driver = Driver(
                spec, trials, log, sampler, workers, self.listen, self.stop, self._heard,
                spent_seconds(self.path), self.script, self.began,
            )  # fmt: skip
            try:
                driver.run()
                winner = driver.sweep("FINISHED").winner
                if winner is not None:
                    driver.mend(winner.number)
            except BaseException as error:
                self._broken_off(folder, driver, error)
                raise
        return driver

    def _broken_off(self, folder: RunFolder, driver: Driver, error: BaseException) -> None:
        """Keeps how a sweep ended that is not at its end, and says in the error how to go on."""
        killed = isinstance(error, InterruptedRun | KeyboardInterrupt)
        found = self._end(folder, driver.sweep("KILLED" if killed else "FAILED"), str(error))
        if isinstance(error, RunError):
            error.run = found
        if isinstance(error, TrainerError) and self.kept:
            error.reword(f"{error.message}; go on with: train resume {self.path.name[:8]}")

    def _begin(self, log: Log) -> None:
        """The first entry of the log, or a look at that which is there."""
        data, version = self.facts.tags[DATA_TAG], optuna_version(self.spec)
        first = Began(self.spec.sha256, data, self.facts.engine, str(EDITION), version)
        if not log.entries:
            log.append([first])
            return
        was = log.entries[0]
        if not isinstance(was, Began) or replace(was, optuna=version) != first:
            raise CheckpointError(
                f"the log of the sweep {self.path.name[:8]} is another sweep's", code="TR-R011"
            )
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
        try:
            found = self._end(folder, driver.sweep(status), "")
        finally:
            folder.release()
        self.listen(Standing(found, 0, driver.workers.count, over=True))
        failure: RunError | None = None
        if status == "DIVERGED":
            text = f"none of the {len(found.trials)} trials came to a good end"
            failure = DivergedError(text, code="TR-X003")
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
        found = placed(found, self.path)
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


def spent_seconds(path: Path) -> float:
    """The seconds that a sweep has taken in earlier processes."""
    with suppress(OSError, ValueError):
        return max(float(read_within(path, SPENT)), 0.0)
    return 0.0
