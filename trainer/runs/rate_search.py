"""The search for a learning rate. What the command `train lr-find` calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from trainer.checkpoints.facts import Outcome
from trainer.checkpoints.folder import FILES, RunFolder
from trainer.engine.blas_threads import one_blas_thread
from trainer.errors import UsageError
from trainer.report.rates import write_search
from trainer.runs.facts import facts_of
from trainer.runs.prepare import prepare
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.rate_trials import course_of, run_range_test, run_trials
from trainer.runs.recording import open_recorder
from trainer.spec.emit import to_yaml
from trainer.spec.schema import Spec
from trainer.training import Listener, Stop, Warned, never, nobody
from trainer.training.range_test import RangeTest
from trainer.training.trials import Trial, Trials

LOWEST: Final = 1e-6
HIGHEST: Final = 10.0
STEPS: Final = 100
FEWEST, MOST = 10, 2000  # steps
CURVE_ALONE: Final = "one epoch takes long, so there are no trials: the curve alone was judged"


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found: by its curve, and by its `trials`, None where there are none; and where
    it is kept and recorded, if it is.
    """

    spec: Spec
    test: RangeTest
    trials: Trials | None = None
    folder: Path | None = None
    run_id: str | None = None
    experiment: str | None = None
    tracking_uri: str | None = None

    @property
    def suggestion(self) -> float | None:
        """The rate of the best trial, without trials that of the curve's steepest fall; None where
        all trials diverged, or neither they nor the curve fall.
        """
        if self.trials is None:
            return self.test.steepest
        best = self.trials.best
        if best is None or (best.loss >= self.trials.start and self.test.steepest is None):
            return None
        return best.rate

    @property
    def as_good(self) -> tuple[float, float] | None:
        """Between which rates all that were tried are about as good."""
        return None if self.trials is None or self.suggestion is None else self.trials.as_good

    @property
    def doubts(self) -> list[str]:
        """Why the suggestion may be wrong; none where it is sure."""
        return [CURVE_ALONE] if self.trials is None else [*self.trials.doubts()]

    def as_json(self) -> dict[str, Any]:
        """The JSON of `train lr-find`."""
        return {
            "name": self.spec.name,
            "id": self.folder.name if self.folder else None,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "tracking_uri": self.tracking_uri,
            **self.found(),
        }

    def found(self) -> dict[str, Any]:
        """The result, the trials and the curve, as plain JSON values."""
        return {
            "suggested_learning_rate": self.suggestion,
            "sure": self.suggestion is not None and not self.doubts,
            "unsure_because": self.doubts,
            "as_good_from_to": self.as_good,
            **({"trials": []} if self.trials is None else self.trials.as_json()),
            **self.test.as_json(),
        }


def find_learning_rate(
    spec: Spec,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    epochs: int | None = None,
    profile: Profile = DEFAULT,
    listen: Listener = nobody,
    told: Callable[[int, Trial], None] = lambda *_: None,
    stop: Stop = never,
) -> Search:
    """Trains `spec` from its start while the rate rises by the same factor from step to step, from
    `lowest` to `highest` in so many `steps` (see `RangeTest`); then for some `epochs` at each of
    several rates around where the loss fell most steeply (see `Trials`), and suggests the best.

    By default a trial has as many epochs as the spec, and fewer where that takes long, as told by
    sizes alone; without any, the curve suggests. Parameters, batches and everything else are those
    of the run that the spec declares: a trial of all epochs is that run, to the bit, at its rate.
    Nothing of the models is kept; the search itself is a run of the profile's folder of runs, and
    recorded as such. The same spec and arguments give the same bits. `told` hears of each trial,
    with its number of epochs.

    Raises `UsageError` for rates, steps or epochs that make no search, `SpecError`, `DataError`,
    `TrackingError`, `InterruptedRun`, and `DivergedError` where the first loss is not finite.
    """
    _check(lowest, highest, steps, epochs)
    facts = facts_of(spec, profile, "lr-find")
    recorder = open_recorder(profile, spec) if profile.recorded else None
    try:
        course = course_of(prepare(spec, listen), profile, epochs, stop)
        with one_blas_thread():
            test = run_range_test(course, lowest, highest, steps)
            trials = run_trials(course, test, (lowest, highest), told) if course.epochs else None
        found = Search(spec, test, trials)
        if profile.runs is not None:
            charts = {"steps": len(test.rates)}
            facts = replace(facts, engine=course.job.engine.name, charts=charts)
            folder = RunFolder(profile.runs / facts.id)
            folder.begin(facts)
            found = replace(found, folder=folder.path)
            _leave(folder, found, listen)
    except BaseException:
        if recorder is not None:
            recorder.cancel()
        raise
    if recorder is None or found.folder is None:
        return found
    there = recorder.follow(found.folder, facts.attempt).wait()
    return replace(
        found, run_id=there.run_id, experiment=there.experiment, tracking_uri=there.store
    )  # fmt: skip


def _check(lowest: float, highest: float, steps: int, epochs: int | None) -> None:
    """Raises `UsageError` for what makes no search."""
    if not 0 < lowest < highest < float("inf"):
        raise UsageError(
            f"no range of learning rates goes from {lowest:g} to {highest:g}: "
            "the first must be above 0 and below the last",
            code="TR-U003",
        )
    if not FEWEST <= steps <= MOST:
        raise UsageError(
            f"{steps} steps make no curve: take {FEWEST} to {MOST}, 100 are usual", code="TR-U003"
        )
    if epochs is not None and epochs < 0:
        raise UsageError(
            f"a trial has no {epochs} epochs: take 1 or more, or 0 for no trials", code="TR-U003"
        )


def _leave(folder: RunFolder, found: Search, listen: Listener) -> None:
    """The spec, the whole curve, its picture, and the result."""
    test = found.test
    try:
        folder.write(f"{FILES}/config/resolved.yaml", to_yaml(found.spec.resolved()))
        folder.write(f"{FILES}/lr_find.json", json.dumps(found.found(), indent=1) + "\n")
        _draw(
            folder, lambda place: write_search(test, found.trials, found.spec.name, place), listen
        )
        folder.end(Outcome(
            "FINISHED", 0, len(test.rates), "", _metrics(found), notes=found.doubts,
            curves={name: [[*map(float, range(1, len(values) + 1))], values]
                    for name, values in _curves(found).items()},
        ))  # fmt: skip
    finally:
        folder.release()


def _metrics(found: Search) -> dict[str, float]:
    rates = {
        "suggested_learning_rate": found.suggestion,
        "steepest_learning_rate": found.test.steepest,
        "minimum_learning_rate": found.test.minimum,
    }
    return {name: rate for name, rate in rates.items() if rate is not None}


def _curves(found: Search) -> Mapping[str, list[float]]:
    """The curve by step, and the trials by their number, those that diverged left out."""
    test = found.test
    curves = {
        "learning_rate": test.rates.tolist(),
        "train_loss_step": test.losses.tolist(),
        "smoothed_loss_step": test.smoothed.tolist(),
    }
    if found.trials is None:
        return curves
    ended = [trial for trial in found.trials.done if trial.loss < float("inf")]
    return curves | {
        "trial_learning_rate": [trial.rate for trial in ended],
        "trial_loss": [trial.loss for trial in ended],
    }


def _draw(folder: RunFolder, draw: Callable[[Path], None], listen: Listener) -> None:
    """Has the picture drawn. A failure of it takes nothing from the search."""
    try:
        (folder.files / "plots").mkdir(exist_ok=True)
        draw(folder.files / "plots" / "lr_find.png")
    except Exception as error:  # whatever a picture meets
        text = f"the search has no picture: {type(error).__name__}: {error}"
        listen(Warned(text))
