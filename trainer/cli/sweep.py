"""The command that tries many settings of a spec, and what `resume` and `reproduce` do of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainer.cli.completing import spec_files
from trainer.cli.options import (
    Again,
    CheckpointEvery,
    Cluster,
    Engine,
    EngineChoice,
    Json,
    OfflineOk,
    Quiet,
    Runs,
    Set,
    TrackingUri,
    Workers,
)
from trainer.cli.places import RUNS
from trainer.cli.proofs import show_proof
from trainer.cli.streams import print_json
from trainer.errors import RunError, UsageError

if TYPE_CHECKING:
    from trainer.cli.sweep_progress import SweepProgress
    from trainer.runs.profile import Profile
    from trainer.sweeps.declaration import SweepSpec
    from trainer.sweeps.standing import Sweep


def sweep(
    config: Annotated[
        Path,
        typer.Argument(metavar="SWEEP", help="The sweep: a YAML file.", autocompletion=spec_files),
    ],
    set_: Set = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sweep's name. [default: the file's]")
    ] = None,
    workers: Workers = None,
    cluster: Cluster = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check all of it, tell what it takes, train nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with this sweep, if it was stopped.")
    ] = False,
    again: Again = False,
    promote: Annotated[
        str | None, typer.Option(metavar="MODEL[@ALIAS]", help="Register the winner's model.")
    ] = None,
    runs: Runs = RUNS,
    tracking_uri: TrackingUri = None,
    engine: Engine = EngineChoice.auto,
    threads: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Threads of each worker. [default: 1]")
    ] = None,
    checkpoint_every: CheckpointEvery = "30s",
    offline_ok: OfflineOk = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Try the settings that a sweep declares, and record the best.

    Trials and winner are the same for any number of workers, and after any interruption.

    Example: train sweep configs/sweeps/flats.yaml --workers 2 --promote flats@champion
    """
    from trainer.runs.profile import Profile
    from trainer.sweeps.declaration import load_sweep

    spec = load_sweep(config, set_)
    if name is not None:
        spec = spec.changed({"name": name})
    if check:
        _plan(spec, workers, engine.value, json_)
        return
    if resume and again:
        raise UsageError(
            "--resume goes on with a sweep, --again begins anew: give one of them", code="TR-U002"
        )
    _start_ahead()
    profile = Profile(
        engine.value, threads, runs, tracking_uri, offline_ok=offline_ok,
        save_every=checkpoint_every, workers=workers, cluster=cluster,
    )  # fmt: skip
    from trainer.sweeps.drive import sweep as carry_out

    _show(
        lambda **heard: carry_out(
            spec, profile=profile, again=again, resume=resume, promote=promote, **heard
        ),
        quiet, json_,
    )  # fmt: skip


def _start_ahead() -> None:
    from trainer.runs.ahead import start_ahead

    start_ahead()


def _plan(spec: SweepSpec, workers: int | None, engine: Any, json_: bool) -> None:
    """What it will take."""
    from trainer.sweeps.plan import plan_sweep

    plan = plan_sweep(spec, workers, engine=engine)
    if json_:
        print_json(plan.as_json())
    else:
        print(plan.describe(), end="")


# What `resume` and `reproduce` do of a sweep ----------------------------------------------------


def is_sweep(reference: str, runs: Path | None) -> bool:
    """Whether a word stands for a sweep whose folder is in `runs`."""
    from trainer.checkpoints.facts import read_facts
    from trainer.checkpoints.folder import find_folder
    from trainer.errors import CheckpointError

    with suppress(UsageError, CheckpointError):
        return runs is not None and read_facts(find_folder(runs, reference)).kind == "sweep"
    return False


def resume_sweep(name: str, profile: Profile, quiet: bool, json_: bool) -> None:
    """Goes on with a sweep, and shows it as `train sweep` does."""
    from trainer.sweeps.drive import resume_sweep as go_on

    _show(lambda **heard: go_on(name, profile=profile, **heard), quiet, json_)


def reproduce_sweep(name: str, profile: Profile, quiet: bool, json_: bool) -> None:
    """Carries out a sweep again and shows whether it is the same. Exits with 1 where it is not."""
    from trainer.cli.sweep_progress import SweepProgress
    from trainer.sweeps.reproduce import reproduce_sweep as again

    with heard_of_sweep(SweepProgress(quiet or json_)) as hear:
        proof = again(name, profile=profile, **hear)
    show_proof(proof, quiet, json_)


# Showing ----------------------------------------------------------------------------------------


def _show(task: Callable[..., Sweep], quiet: bool, json_: bool) -> None:
    """Carries out a sweep, with its progress and its result shown as asked for."""
    from trainer.cli.sweep_progress import SweepProgress
    from trainer.sweeps.standing import Sweep

    found: Sweep | None = None
    progress = SweepProgress(quiet or json_)
    try:
        with heard_of_sweep(progress) as hear:
            found = task(**hear)
    except RunError as error:
        found = error.run if isinstance(error.run, Sweep) else None
        raise
    finally:
        if found is not None and json_:
            print_json(found.as_json())
        elif found is not None and not quiet:
            from trainer.cli.sweep_result import show_sweep

            show_sweep(found, before=not progress.begun)


@contextmanager
def heard_of_sweep(progress: SweepProgress) -> Iterator[dict[str, Any]]:
    """The arguments `listen` and `stop` of a sweep: they show how far it is, and pause it on a
    signal.
    """
    from trainer.cli.signals import signals_caught
    from trainer.sweeps.standing import Standing, SweepEvent

    with signals_caught() as interrupt:

        def listen(event: SweepEvent) -> None:
            if isinstance(event, Standing):
                interrupt.begun(not event.over)
            progress.on(event)

        try:
            yield {"listen": listen, "stop": interrupt.asked}
        finally:
            progress.stop()
