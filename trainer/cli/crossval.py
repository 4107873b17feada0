"""The command that trains a spec once for each fold of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.cli.hints import show_store, ui_command
from trainer.cli.options import (
    Again,
    Cluster,
    Config,
    Engine,
    EngineChoice,
    Json,
    Name,
    Quiet,
    Runs,
    Set,
    Threads,
    TrackingUri,
)
from trainer.cli.places import RUNS
from trainer.cli.streams import print_json
from trainer.cli.training import heard
from trainer.errors import RunError, SpecError
from trainer.runs.ahead import start_ahead

if TYPE_CHECKING:
    from trainer.sweeps.folds import CrossValidation


def crossval(
    config: Config,
    folds: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="[default: the spec's, else 5]")
    ] = None,
    set_: Set = None,
    name: Name = None,
    again: Again = False,
    runs: Runs = RUNS,
    tracking_uri: TrackingUri = None,
    engine: Engine = EngineChoice.auto,
    threads: Threads = None,
    workers: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Processes that train a fold each; 1 is this one."),
    ] = 1,
    cluster: Cluster = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a spec once for each fold of its rows, and test it on that fold.

    Each fold is a run of its own, below one run that has means and deviations.

    Example: train crossval configs/iris.yaml --folds 10
    """
    start_ahead()
    from trainer.runs.facts import named
    from trainer.runs.profile import Profile
    from trainer.spec import load_spec
    from trainer.sweeps.crossval import crossval as train_folds
    from trainer.sweeps.folds import CrossValidation

    spec = named(load_spec(config, set_), name)
    profile = Profile(engine.value, threads, runs, tracking_uri, workers=workers, cluster=cluster)
    cross: CrossValidation | None = None
    try:
        with heard(quiet or json_, results=False) as hear:
            cross = train_folds(spec, folds, profile=profile, again=again, **hear)
    except SpecError as error:
        raise _asked(error, folds) from None
    except RunError as error:
        cross = error.run if isinstance(error.run, CrossValidation) else None
        raise
    finally:
        if cross is not None and json_:
            print_json(cross.as_json())
        elif cross is not None and not quiet:
            _show(cross)


def _asked(error: SpecError, folds: int | None) -> SpecError:
    """The error, at the option that asks for folds where it is with their number."""
    from trainer.errors import Problem

    if folds is None:
        return error
    return SpecError([
        Problem("", problem.message, problem.hint, file="--folds", code=problem.code)
        if problem.path == "data.split.folds" and problem.line is None else problem
        for problem in error.problems
    ])  # fmt: skip


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
    before = sum(run.known for run in cross.runs)
    known = f", {before} of them trained before" if before else ""
    count = len(cross.plan.specs)
    yield f"{cross.status} in {cross.seconds:.1f} s: {done} of {count} folds{known}"
    if cross.run_id is not None and cross.folder is not None:
        uri = cross.tracking_uri or ""
        yield f"run {cross.folder.name} in experiment '{cross.experiment}', {show_store(uri)}"
        if look := ui_command(uri):
            yield f"next: {look}"
