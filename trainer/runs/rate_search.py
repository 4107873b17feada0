"""The search for a learning rate. What the command `train lr-find` calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.checkpoints.facts import Outcome
from trainer.checkpoints.folder import FILES, RunFolder
from trainer.engine.blas_threads import one_blas_thread
from trainer.errors import DivergedError, InterruptedRun, UsageError
from trainer.graph.ops import Array
from trainer.report.rates import write_range_test
from trainer.runs.facts import facts_of
from trainer.runs.prepare import Prepared, prepare
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.recording import open_recorder
from trainer.runs.start import first_values
from trainer.spec.emit import to_yaml
from trainer.spec.schema import Spec
from trainer.training import (
    Ended,
    Job,
    Listener,
    StepsDone,
    Stop,
    Warned,
    compile_kernels,
    make_job,
    never,
    nobody,
    run_job,
)
from trainer.training.range_test import RangeTest, before_rise, smooth

LOWEST: Final = 1e-6
HIGHEST: Final = 10.0
STEPS: Final = 100
FEWEST, MOST = 10, 2000  # steps


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found, and where it is kept and recorded, if it is."""

    spec: Spec
    test: RangeTest
    folder: Path | None = None
    run_id: str | None = None
    experiment: str | None = None
    tracking_uri: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The JSON of `train lr-find`."""
        return {
            "name": self.spec.name,
            "id": self.folder.name if self.folder else None,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "tracking_uri": self.tracking_uri,
            **self.test.as_json(),
        }


def find_learning_rate(
    spec: Spec,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    profile: Profile = DEFAULT,
    listen: Listener = nobody,
    stop: Stop = never,
) -> Search:
    """Trains `spec` from its start while the rate rises by the same factor from step to step, from
    `lowest` to `highest` in so many `steps`, and looks at the losses (see `RangeTest`).

    Parameters, batches and everything else are those of the run that the spec declares, but for
    its schedule and its end. Nothing of the model is kept; the search itself is a run of the
    profile's folder of runs, and recorded as such. The same spec and arguments give the same bits.

    Raises `UsageError` for rates or steps that make no range, `SpecError`, `DataError`,
    `TrackingError`, `InterruptedRun`, and `DivergedError` where the first loss is not finite.
    """
    rates = _range(lowest, highest, steps)
    facts = facts_of(spec, profile, "lr-find")
    recorder = open_recorder(profile, spec) if profile.recorded else None
    try:
        job = _job(prepare(spec, listen), rates, profile)
        compile_kernels(job)
        with one_blas_thread():
            test = _run(job, rates, stop)
        folder = None
        if profile.runs is not None:
            facts = replace(facts, engine=job.engine.name, charts={"steps": len(test.rates)})
            folder = RunFolder(profile.runs / facts.id)
            folder.begin(facts)
            _leave(folder, spec, test, listen)
    except BaseException:
        if recorder is not None:
            recorder.cancel()
        raise
    found = Search(spec, test, folder.path if folder else None)
    if recorder is None or folder is None:
        return found
    there = recorder.follow(folder.path, facts.attempt).wait()
    return replace(
        found, run_id=there.run_id, experiment=there.experiment, tracking_uri=there.store
    )  # fmt: skip


def _range(lowest: float, highest: float, steps: int) -> Array:
    """The rates of the steps, (steps,)."""
    if not 0 < lowest < highest < float("inf"):
        raise UsageError(
            f"no range of learning rates goes from {lowest:g} to {highest:g}: "
            "the first must be above 0 and below the last"
        )
    if not FEWEST <= steps <= MOST:
        raise UsageError(f"{steps} steps make no curve: take {FEWEST} to {MOST}, 100 are usual")
    return np.geomspace(lowest, highest, steps)


def _job(prepared: Prepared, rates: Array, profile: Profile) -> Job:
    """The spec's job with other rates, and as many epochs as these take."""
    spec, initial = first_values(prepared.spec, prepared.model, profile)
    epochs = -(-len(rates) // prepared.steps_per_epoch)
    longer = spec.changed({"sgd.epochs": epochs, "sgd.early_stopping": None})

    def rising(first: int, count: int) -> Array:
        return rates[np.minimum(np.arange(first - 1, first - 1 + count), len(rates) - 1)]

    return make_job(
        longer, prepared.dataset, prepared.model, profile.engine, profile.threads,
        initial=initial, learning_rates=rising,
    )  # fmt: skip


def _run(job: Job, rates: Array, stop: Stop) -> RangeTest:
    """Trains until all rates are tried or the loss is too large."""
    found = np.empty(0)

    def is_over() -> bool:
        if stop() or len(found) >= len(rates):
            return True
        return len(found) > 0 and before_rise(smooth(found)) < len(found)

    ended: Ended | None = None
    for event in run_job(job, is_over):
        if isinstance(event, StepsDone):
            found = np.append(found, event.steps.losses)
        elif isinstance(event, Ended):
            ended = event
    if stop():
        raise InterruptedRun(
            f"interrupted after {len(found)} of {len(rates)} steps: nothing is recorded"
        )
    diverged = ended is not None and ended.status == "DIVERGED"
    if not len(found):
        raise DivergedError(ended.reason if ended else "")
    return RangeTest.of(rates, found, diverged)


def _leave(folder: RunFolder, spec: Spec, test: RangeTest, listen: Listener) -> None:
    """The spec, the whole curve, its picture, and the result."""
    try:
        folder.write(f"{FILES}/config/resolved.yaml", to_yaml(spec.resolved()))
        folder.write(f"{FILES}/lr_find.json", json.dumps(test.as_json(), indent=1) + "\n")
        _draw(folder, lambda place: write_range_test(test, spec.name, place), listen)
        metrics = {"minimum_learning_rate": test.minimum}
        if test.suggestion is not None:
            metrics["suggested_learning_rate"] = test.suggestion
        numbers = list(range(1, len(test.rates) + 1))
        curves = {
            "learning_rate": test.rates,
            "train_loss_step": test.losses,
            "smoothed_loss_step": test.smoothed,
        }
        folder.end(Outcome(
            "FINISHED", 0, len(numbers), "", metrics,
            curves={name: [[*map(float, numbers)], values.tolist()]
                    for name, values in curves.items()},
        ))  # fmt: skip
    finally:
        folder.release()


def _draw(folder: RunFolder, draw: Callable[[Path], None], listen: Listener) -> None:
    """Has the picture drawn. A failure of it takes nothing from the search."""
    try:
        (folder.files / "plots").mkdir(exist_ok=True)
        draw(folder.files / "plots" / "lr_find.png")
    except Exception as error:  # whatever a picture meets
        text = f"the search has no picture: {type(error).__name__}: {error}"
        listen(Warned(text))
