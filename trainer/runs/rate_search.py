"""The search for a learning rate. What the command `train lr-find` calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from trainer.cli.signals import Interrupt, signals_caught
from trainer.data import Dataset, load_dataset
from trainer.engine import EngineName
from trainer.errors import DivergedError, InterruptedRun, UsageError
from trainer.graph.ops import Array
from trainer.network.build import build_graph
from trainer.network.memory import check_memory
from trainer.report.rates import write_sweep
from trainer.runs.start import first_values
from trainer.runs.train import warn_by_default
from trainer.spec.schema import Spec
from trainer.tracking.store import check_store, resolve_store
from trainer.tracking.sweep import SweepRun, record_sweep
from trainer.training import Ended, Job, StepsDone, compile_kernels, full_batch, make_job, run_job
from trainer.training.range_test import Sweep, before_rise, smooth

LOWEST: Final = 1e-6
HIGHEST: Final = 10.0
STEPS: Final = 100
FEWEST, MOST = 10, 2000  # steps


@dataclass(frozen=True, eq=False)
class Search:
    """What a search found, and where it is recorded, if it is."""

    spec: Spec
    sweep: Sweep
    run_id: str | None = None
    experiment: str | None = None
    tracking_uri: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The JSON of `train lr-find`."""
        return {
            "name": self.spec.name,
            "run_id": self.run_id,
            "experiment": self.experiment,
            "tracking_uri": self.tracking_uri,
            **self.sweep.as_json(),
        }


def find_learning_rate(
    spec: Spec,
    *,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    name: str | None = None,
    tracking_uri: str | None = None,
    track: bool = True,
    engine: EngineName = "auto",
    threads: int | None = None,
    warn: Callable[[str], None] = warn_by_default,
) -> Search:
    """Trains `spec` from its start while the rate rises by the same factor from step to step, from
    `lowest` to `highest` in so many `steps`, and looks at the losses (see `Sweep`).

    Parameters, batches and everything else are those of the run that the spec declares, but for
    its schedule and its end. Nothing of the model is kept; with `track` the search is
    recorded as a run called `name`, by default the spec's, with the tag `trainer.kind`. `warn` is
    told where it has no picture. The same spec and arguments give the same bits.

    Raises `UsageError` for rates or steps that make no range, `SpecError`, `DataError`,
    `TrackingError`, `InterruptedRun`, and `DivergedError` where the first loss is not finite.
    """
    rates = _range(lowest, highest, steps)
    began = time.time()
    store = resolve_store(tracking_uri, spec.tracking.uri) if track else None
    with signals_caught() as interrupt:
        if store is not None:
            check_store(store)
        job = _job(spec, rates, engine, threads, tracking_uri)
        compile_kernels(job)
        with threadpool_limits(limits=1, user_api="blas"):
            sweep = _sweep(job, rates, interrupt)
        if store is None:
            return Search(spec, sweep)
        run = SweepRun(spec, name or spec.name, sweep, began, _drawing(sweep, spec.name, warn))
        run_id, experiment = record_sweep(store, run)
        return Search(spec, sweep, run_id, experiment, store.uri)


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


def _job(
    spec: Spec, rates: Array, engine: EngineName, threads: int | None, tracking_uri: str | None
) -> Job:
    """The spec's job with other rates, and as many epochs as these take."""
    dataset = load_dataset(spec)
    model = build_graph(spec, dataset.layout)
    check_memory(spec, dataset, model)
    spec, initial = first_values(
        spec, model, lambda: resolve_store(tracking_uri, spec.tracking.uri)
    )

    def rising(first: int, count: int) -> Array:
        return rates[np.minimum(np.arange(first - 1, first - 1 + count), len(rates) - 1)]

    return make_job(
        _for_steps(spec, dataset, len(rates)), dataset, model, engine, threads,
        initial=initial, learning_rates=rising,
    )  # fmt: skip


def _for_steps(spec: Spec, dataset: Dataset, steps: int) -> Spec:
    """The spec with epochs enough for so many steps, and no early end."""
    per_epoch = -(-len(dataset.train) // full_batch(spec, dataset))
    changes = {"epochs": -(-steps // per_epoch), "early_stopping": None}
    return spec.model_copy(update={"sgd": spec.sgd.model_copy(update=changes)})


def _sweep(job: Job, rates: Array, interrupt: Interrupt) -> Sweep:
    """Trains until all rates are tried or the loss is too large."""
    found = np.empty(0)

    def stop() -> bool:
        if interrupt.number is not None or len(found) >= len(rates):
            return True
        return len(found) > 0 and before_rise(smooth(found)) < len(found)

    interrupt.flagged = True
    ended: Ended | None = None
    for event in run_job(job, stop):
        if isinstance(event, StepsDone):
            found = np.append(found, event.steps.losses)
        elif isinstance(event, Ended):
            ended = event
    if interrupt.number is not None:
        message = f"interrupted after {len(found)} of {len(rates)} steps: nothing is recorded"
        raise InterruptedRun(message, interrupt.number)
    diverged = ended is not None and ended.status == "DIVERGED"
    if not len(found):
        raise DivergedError(ended.reason if ended else "")
    return Sweep.of(rates, found, diverged)


def _drawing(sweep: Sweep, name: str, warn: Callable[[str], None]) -> Callable[[Path], None]:
    """What draws the picture into a folder. A failure of it takes nothing from the search."""

    def draw(folder: Path) -> None:
        try:
            write_sweep(sweep, name, folder / "lr_find.png")
        except Exception as error:  # whatever a picture meets
            warn(f"the search has no picture: {type(error).__name__}: {error}")

    return draw
