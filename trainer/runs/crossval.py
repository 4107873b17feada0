"""Cross-validation: a spec trained once for each fold of its rows, and tested on that fold.

Each fold is a run of its own spec, `data.split: {folds: N, fold: k}`, which `train` could train
as well. In MLflow they stand below one run, which has the means and deviations.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from trainer.cli.signals import Interrupt, signals_caught
from trainer.engine import EngineName
from trainer.errors import DivergedError, InterruptedRun, TrackingError, TrainerError
from trainer.report.folds import write_folds
from trainer.runs.folds import CrossValidation
from trainer.runs.train import Listener, train, warn_by_default
from trainer.tracking.group import RunGroup
from trainer.tracking.store import Store, resolve_store
from trainer.training import Job

KIND: Final = "crossval"

FoldStart = Callable[[int, Job], None]
Warn = Callable[[str], None]


def train_folds(
    cross: CrossValidation,
    *,
    tracking_uri: str | None = None,
    track: bool = True,
    engine: EngineName = "auto",
    threads: int | None = None,
    listeners: Sequence[Listener] = (),
    on_start: FoldStart | None = None,
    warn: Warn = warn_by_default,
) -> None:
    """Trains one fold after the other and fills `cross`; records all in MLflow unless `track` is
    false. The arguments are those of `train`; `on_start` is told the number of the fold, too.

    What stops one fold stops the whole, and what was measured until then stays in `cross` and in
    the store. Raises what `train` raises.
    """
    began = time.monotonic()
    store = resolve_store(tracking_uri, cross.spec.tracking.uri) if track else None
    group: RunGroup | None = None
    how: dict[str, Any] = {
        "tracking_uri": tracking_uri, "track": track, "engine": engine, "threads": threads,
        "listeners": listeners, "warn": warn,
    }  # fmt: skip
    with signals_caught() as interrupt:
        try:
            group = _open(cross, store) if store is not None else None
            for fold in range(1, len(cross.specs) + 1):
                _train_fold(cross, fold, group, on_start, how)
                _look_out(cross, interrupt)
        except BaseException as error:
            failure = _failure(cross, error, interrupt)
            cross.seconds = time.monotonic() - began
            if group is not None:
                with suppress(TrainerError):  # what stopped the folds matters more
                    _record_end(cross, group, failure, warn)
            if failure is error:
                raise
            raise failure from None
        cross.seconds = time.monotonic() - began
        if group is not None:
            _close(cross, group, warn)


def _train_fold(
    cross: CrossValidation,
    fold: int,
    group: RunGroup | None,
    on_start: FoldStart | None,
    how: Mapping[str, Any],
) -> None:
    """Trains one fold and keeps its run, also the part of it that an error carries."""

    def started(job: Job) -> None:
        cross.notes += [note for note in job.dataset.notes if note not in cross.notes]
        if on_start is not None:
            on_start(fold, job)

    tags = {**group.child_tags, "trainer.fold": f"{fold}/{len(cross.specs)}"} if group else None
    try:
        spec, name = cross.specs[fold - 1], cross.fold_name(fold)
        cross.runs.append(train(spec, name=name, tags=tags, on_start=started, **how))
    except TrainerError as error:
        if error.run is not None:
            cross.runs.append(error.run)
            error.args = (f"fold {fold} of {len(cross.specs)}: {error}",)
        raise


def _look_out(cross: CrossValidation, interrupt: Interrupt) -> None:
    """Raises `KeyboardInterrupt` for a signal that came when a fold was trained already."""
    if interrupt.number is not None and len(cross.runs) < len(cross.specs):
        raise KeyboardInterrupt


def _failure(cross: CrossValidation, error: BaseException, interrupt: Interrupt) -> BaseException:
    """What to raise for what stopped the folds, whose status it sets."""
    if isinstance(error, KeyboardInterrupt):
        message = f"stopped after {len(cross.runs)} of {len(cross.specs)} folds"
        error = InterruptedRun(message, interrupt.number or signal.SIGINT)
        error.run = cross.runs[-1] if cross.runs else None
    killed, diverged = isinstance(error, InterruptedRun), isinstance(error, DivergedError)
    cross.status = "KILLED" if killed else "DIVERGED" if diverged else "FAILED"
    return error


# Recording --------------------------------------------------------------------------------------


def _open(cross: CrossValidation, store: Store) -> RunGroup:
    """The run that holds the folds. Raises `TrackingError` and `UsageError`."""
    group = RunGroup(store, cross.spec, cross.group_name, KIND)
    group.open({"trainer.data_sha256": cross.data_sha256}, _description(cross))
    cross.run_id, cross.experiment, cross.tracking_uri = group.run_id, group.experiment, store.uri
    return group


def _close(cross: CrossValidation, group: RunGroup, warn: Warn) -> None:
    """Records the end of all folds. Raises `TrackingError`, which carries the last run."""
    try:
        _record_end(cross, group, None, warn)
    except TrackingError as error:
        cross.status = "FAILED"
        error.args = (f"all folds are trained and recorded, but not their summary\n{error}",)
        error.run = cross.runs[-1]
        raise


def _record_end(
    cross: CrossValidation, group: RunGroup, failure: BaseException | None, warn: Warn
) -> None:
    """The table, its picture, the means and deviations, and how the whole ended."""
    try:
        if cross.measured:
            ids = [run.run_id for run in cross.runs]
            write_folds(cross.name, cross.measured, ids, group.files)
    except Exception as error:  # whatever a picture meets
        warn(f"the folds have no table or picture: {type(error).__name__}: {error}")
    metrics = {f"{name}_mean": value for name, value in cross.mean.items()}
    metrics |= {f"{name}_deviation": value for name, value in cross.deviation.items()}
    tags = {}
    if cross.status == "DIVERGED":
        tags["trainer.diverged"] = str(failure)[:5000]
    group.close(cross.status, metrics, tags, _description(cross))


def _description(cross: CrossValidation) -> str:
    """The description of the whole in the UI, in Markdown."""
    count, data = len(cross.specs), cross.spec.data
    how = f", `{data.split.group}` kept together" if data.split.group else ""
    lines = [f"**{cross.name}**: cross-validation in {count} folds{how}", ""]
    lines += [
        f"- {name.replace('_', ' ')}: {mean:.5g} ± {cross.deviation[name]:.2g}"
        for name, mean in cross.mean.items()
    ]
    if cross.runs and cross.status != "FINISHED":
        ended = sum(run.status == "FINISHED" for run in cross.runs)
        lines.append(f"- Result: {cross.status.lower()} after {ended} of {count} folds")
    lines += [f"- Note: {note}" for note in cross.notes]
    return "\n".join(lines)
