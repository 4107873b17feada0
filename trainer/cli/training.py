"""The commands that train: a spec, a run that goes on, a run once more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from trainer.cli.access import ProfileName, Secret, Server, is_elsewhere
from trainer.cli.hints import headline
from trainer.cli.jobs import resume_job
from trainer.cli.options import (
    Again,
    CheckpointEvery,
    Cluster,
    Config,
    Engine,
    EngineChoice,
    Json,
    Kept,
    Name,
    OfflineOk,
    Quiet,
    RunReference,
    Runs,
    Set,
    Threads,
    TrackingUri,
    Workers,
)
from trainer.cli.places import RUNS, kept_runs
from trainer.cli.proofs import show_proof
from trainer.cli.streams import print_json
from trainer.errors import RunError, TrainerError, UsageError
from trainer.runs.ahead import start_ahead

if TYPE_CHECKING:
    from trainer.training import Run

T = TypeVar("T")


def run(
    config: Config,
    set_: Set = None,
    name: Name = None,
    again: Again = False,
    runs: Runs = RUNS,
    tracking_uri: TrackingUri = None,
    engine: Engine = EngineChoice.auto,
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

    What was trained before is not trained again: its result is shown.

    Example: train run configs/hidden_layer.yaml --set sgd.learning_rate=0.01 --name slower
    """
    start_ahead()
    from trainer.runs.facts import named
    from trainer.runs.profile import Profile
    from trainer.runs.train import train
    from trainer.spec import load_spec

    profile = Profile(
        engine.value, threads, runs, tracking_uri, offline_ok=offline_ok,
        save_every=checkpoint_every,
    )  # fmt: skip
    spec = named(load_spec(config, set_), name)
    show_run(
        lambda **heard: train(spec, profile=profile, again=again, register=register, **heard),
        quiet, json_,
    )  # fmt: skip


def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name, id, beginning of an id, last.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="sgd.epochs=N",
            help="Train for more epochs; a run that diverged: otherwise from its best epoch.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although something differs; it is recorded.")
    ] = False,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    threads: Threads = None,
    workers: Workers = None,
    cluster: Cluster = None,
    checkpoint_every: CheckpointEvery = "30s",
    offline_ok: OfflineOk = False,
    server: Server = None,
    token: Secret = None,
    profile_: ProfileName = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Go on with a run that was interrupted, from its last checkpoint, to the same bits.

    A finished one can train for more epochs. A sweep goes on from its last decision, and a paused
    job of a service where it waits.

    Example: train resume last --set sgd.epochs=100
    """
    if is_elsewhere(run, kept or kept_runs(), server, profile_):
        if set_ or force:
            raise UsageError(
                "a job goes on as it was declared: --set and --force are for a run", code="TR-U002"
            )
        resume_job(run, server, token, profile_, quiet, json_)
        return
    start_ahead()
    from trainer.cli.sweep import is_sweep, resume_sweep
    from trainer.runs.profile import Profile
    from trainer.runs.resume import resume as go_on

    profile = Profile(
        "auto", threads, kept or kept_runs(), tracking_uri, offline_ok=offline_ok,
        save_every=checkpoint_every, workers=workers, cluster=cluster,
    )  # fmt: skip
    if is_sweep(run, profile.runs):
        if set_ or force:
            raise UsageError(
                "a sweep goes on as it was declared: --set and --force are for a run",
                code="TR-U002",
            )
        resume_sweep(run, profile, quiet, json_)
        return
    show_run(
        lambda **heard: go_on(run, changes=set_ or (), force=force, profile=profile, **heard),
        quiet, json_,
    )  # fmt: skip


def reproduce(
    run: RunReference,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    threads: Threads = None,
    workers: Workers = None,
    cluster: Cluster = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a recorded run again and compare every bit of its parameters and metrics.

    Of a sweep every trial, promotion and result. What is found of a run is recorded with it. Exits
    with 1 where anything differs.

    Example: train reproduce last
    """
    from trainer.cli.sweep import is_sweep, reproduce_sweep
    from trainer.runs.profile import Profile
    from trainer.runs.reproduce import reproduce as again

    profile = Profile(
        threads=threads, runs=kept or kept_runs(), store=tracking_uri, workers=workers,
        cluster=cluster,
    )  # fmt: skip
    if is_sweep(run, profile.runs):
        reproduce_sweep(run, profile, quiet, json_)
        return
    if sys.stderr.isatty() and not quiet and not json_:
        print(f"looking for the run '{run}'", file=sys.stderr, flush=True)  # MLflow takes its time
    with heard(quiet or json_, results=False) as hear:
        proof = again(run, profile=profile, **hear)
    show_proof(proof, quiet, json_)


def sync(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only this one, whether it waits or not.")
    ] = None,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    quiet: Quiet = False,
) -> None:
    """Send what the tracking store did not take when its run ended.

    Example: train sync
    """
    from trainer.runs.profile import Profile
    from trainer.runs.sync import send, sent_with_others, unsent_runs

    profile = Profile(runs=kept or kept_runs(), store=tracking_uri)
    waiting, failure = [run] if run else unsent_runs(profile), None
    for each in waiting:
        try:
            sent = (None if run else sent_with_others(each, profile)) or send(each, profile)
        except TrainerError as error:  # the others need not wait for this one
            print(f"train: {each[:8]} was not sent: {headline(error)}", file=sys.stderr)
            failure = error
            continue
        if not quiet:
            print(f"sent {each[:8]} as run {sent.run_id} of {sent.store}")
    if failure is not None:
        raise typer.Exit(failure.exit_code)
    if not waiting and not quiet:
        print("nothing waits to be sent")


def show_run(task: Callable[..., Run], quiet: bool, json_: bool) -> None:
    """Trains, with the progress and the result shown as asked for."""
    try:
        with heard(quiet or json_) as hear:
            result = task(**hear)
    except RunError as error:
        if error.run is not None and json_:
            print_json(error.run.as_json())
        raise
    if json_:
        print_json(result.as_json())


@contextmanager
def heard(silent: bool, results: bool = True) -> Iterator[dict[str, Any]]:
    """The arguments `listen` and `stop` of a task that trains: they show its progress, and with
    `results` what came out, and end it on a signal.
    """
    from trainer.cli.progress import Progress, only_warnings
    from trainer.cli.signals import signals_caught
    from trainer.training import Event

    progress = None if silent else Progress(results)
    with signals_caught() as interrupt:

        def listen(event: Event) -> None:
            interrupt.hear(event)
            (progress.on if progress else only_warnings)(event)

        try:
            yield {"listen": listen, "stop": interrupt.asked}
        finally:
            if progress is not None:
                progress.stop()
