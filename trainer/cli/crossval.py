"""The command that trains a spec once for each fold of its rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.cli.hints import show_store, ui_command, warn
from trainer.cli.options import Config, EngineChoice, Json, Quiet, Set, Threads, TrackingUri
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.cli.progress import Progress
    from trainer.runs.folds import CrossValidation
    from trainer.training import Event, Job


def crossval(
    config: Config,
    folds: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="[default: the spec's, else 5]")
    ] = None,
    set_: Set = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The runs' name. [default: the spec's]")
    ] = None,
    tracking_uri: TrackingUri = None,
    engine: Annotated[
        EngineChoice, typer.Option(help="What computes; `auto` compiles long runs.")
    ] = EngineChoice.auto,
    threads: Threads = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a spec once for each fold of its rows, and test it on that fold.

    Each fold is a run of its own, below one run that has means and deviations.

    Example: train crossval configs/iris.yaml --folds 10
    """
    from trainer.runs.crossval import train_folds
    from trainer.runs.folds import plan_folds

    cross = plan_folds(config, folds, set_, name=name)
    shown = _FoldProgress(len(cross.specs)) if not (quiet or json_) else None
    failed = True
    try:
        train_folds(
            cross, tracking_uri=tracking_uri, engine=engine.value, threads=threads, warn=warn,
            listeners=[shown.on] if shown else (), on_start=shown.start if shown else None,
        )  # fmt: skip
        failed = False
    except TrainerError as error:
        failed = error.run is None  # else main leaves standard output to this command
        raise
    finally:
        if shown is not None:
            shown.stop()
            _show(cross)
        elif json_ and not failed:
            print(json.dumps(cross.as_json()))


class _FoldProgress:
    """The progress of the fold at hand, on standard error."""

    def __init__(self, folds: int) -> None:
        self._folds = folds
        self._progress: Progress | None = None

    def start(self, fold: int, job: Job) -> None:
        from trainer.cli.progress import Progress

        self.stop()
        self._progress = Progress()
        print(f"fold {fold} of {self._folds}", file=sys.stderr)
        self._progress.start(job)

    def on(self, event: Event) -> None:
        assert self._progress is not None
        self._progress.on(event)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()


def _show(cross: CrossValidation) -> None:
    """The table of what was measured, how it ended and where it is."""
    from trainer.cli.showing import number
    from trainer.cli.tables import Column, Output, sheets, table

    output = Output()
    rows = cross.measured
    if rows:
        means = [_mean(cross, metric) for metric in rows]
        first = Column("test metric", [metric.removeprefix("test_") for metric in rows])
        columns = [Column("mean ± deviation", means, right=True)]
        columns += [
            Column(f"fold {i + 1}", [number(values[i]) for values in rows.values()], right=True)
            for i in range(len(cross.runs))
        ]
        for sheet in sheets(first, columns, output.width):
            output.show("", *table(sheet, output.width)[0])
    output.show("", *_ending(cross))


def _mean(cross: CrossValidation, metric: str) -> str:
    from trainer.cli.showing import NONE

    if metric not in cross.mean:
        return NONE
    return f"{cross.mean[metric]:.5g} ± {cross.deviation[metric]:.2g}"


def _ending(cross: CrossValidation) -> Iterator[str]:
    yield from (f"note: {note}" for note in cross.notes)
    for fold, run in enumerate(cross.runs, start=1):
        yield from (f"gradients of fold {fold}: {finding}" for finding in run.findings)
    done = sum(run.status == "FINISHED" for run in cross.runs)
    yield f"{cross.status} in {cross.seconds:.1f} s: {done} of {len(cross.specs)} folds"
    if cross.run_id is not None:
        uri = cross.tracking_uri or ""
        yield f"run {cross.run_id} in experiment '{cross.experiment}', {show_store(uri)}"
        yield f"next: {ui_command(uri)}"
