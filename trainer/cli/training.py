"""The commands that train: a spec, a run that goes on, a run once more."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainer.cli.hints import headline, warn
from trainer.cli.options import (
    CheckpointEvery,
    Config,
    EngineChoice,
    Json,
    OfflineOk,
    Quiet,
    RunReference,
    Set,
    Threads,
    TrackingUri,
)
from trainer.errors import TrainerError

if TYPE_CHECKING:
    from trainer.cli.progress import Progress
    from trainer.training.result import Run


def run(
    config: Config,
    set_: Set = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The run's name. [default: the spec's]")
    ] = None,
    tracking_uri: TrackingUri = None,
    engine: Annotated[
        EngineChoice, typer.Option(help="What computes; `auto` compiles long runs.")
    ] = EngineChoice.auto,
    threads: Threads = None,
    checkpoint_every: CheckpointEvery = "30s",
    offline_ok: OfflineOk = False,
    register: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Register the model under this name.")
    ] = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a spec and record the run.

    Example: train run configs/hidden_layer.yaml --set sgd.learning_rate=0.01 --name slower
    """
    from trainer.runs.train import train
    from trainer.spec import load_spec

    spec = load_spec(config, set_)
    _show(
        train, quiet, json_, spec, name=name, tracking_uri=tracking_uri, engine=engine.value,
        threads=threads, checkpoint_every=checkpoint_every, offline_ok=offline_ok,
        register=register,
    )  # fmt: skip


def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name, id, beginning of an id, last.")],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="sgd.epochs=N", help="Train for more epochs."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although something differs; it is recorded.")
    ] = False,
    threads: Threads = None,
    checkpoint_every: CheckpointEvery = "30s",
    offline_ok: OfflineOk = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Go on with a run that was interrupted, from its last checkpoint, to the same bits.

    Runs are looked for in runs/checkpoints. A finished one can train for more epochs.

    Example: train resume last --set sgd.epochs=100
    """
    from trainer.runs.resume import resume as go_on

    _show(
        go_on, quiet, json_, run, changes=set_ or (), force=force, threads=threads,
        checkpoint_every=checkpoint_every, offline_ok=offline_ok,
    )  # fmt: skip


def reproduce(
    run: RunReference,
    tracking_uri: TrackingUri = None,
    threads: Threads = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a recorded run again and compare every bit of its parameters and metrics.

    What is found is recorded with the run. Exits with 1 where anything differs.

    Example: train reproduce last
    """
    from trainer.runs.reproduce import reproduce as again

    with _progress(quiet or json_) as (_, shown):
        proof = again(run, tracking_uri=tracking_uri, threads=threads, **shown)
    if json_:
        print(json.dumps(proof.as_json()))
    elif not quiet or not proof.identical:
        print(proof)
    if not proof.identical:
        raise typer.Exit(1)


def sync(quiet: Quiet = False) -> None:
    """Send what the tracking store did not take when its run ended.

    Example: train sync
    """
    from trainer.runs.resume import send, unsent_runs

    waiting, failure = unsent_runs(), None
    for run in waiting:
        try:
            sent = send(run, warn=warn)
        except TrainerError as error:  # the others need not wait for this one
            print(f"train: {run[:8]} was not sent: {headline(error)}", file=sys.stderr)
            failure = error
            continue
        if not quiet:
            print(f"sent {run[:8]} as run {sent.run_id} of {sent.tracking_uri}")
    if failure is not None:
        raise typer.Exit(failure.exit_code)
    if not waiting and not quiet:
        print("nothing waits to be sent")


def _show(task: Callable[..., Run], quiet: bool, json_: bool, *what: Any, **how: Any) -> None:
    """Trains, with the progress and the result shown as asked for."""
    from trainer.cli.progress import summarise

    try:
        with _progress(quiet or json_) as (progress, shown):
            result = task(*what, **how, **shown)
    except TrainerError as error:
        if error.run is not None and json_:
            print(json.dumps(error.run.as_json()))
        raise
    if json_:
        print(json.dumps(result.as_json()))
    elif progress:
        print(summarise(result, progress.notes))


@contextmanager
def _progress(silent: bool) -> Iterator[tuple[Progress | None, dict[str, Any]]]:
    """What shows the training, if anything does, and the arguments that let it."""
    from trainer.cli.progress import Progress

    if silent:
        yield None, {"warn": warn}
        return
    progress = Progress()
    try:
        yield (
            progress,
            {
                "listeners": [progress.on],
                "on_start": progress.start,
                "on_reading": progress.reading,
                "warn": warn,
            },
        )
    finally:
        progress.stop()
