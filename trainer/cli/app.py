"""The commands. Each imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from trainer.errors import DataError, InterruptedRun, SpecError, TrainerError, UsageError

if TYPE_CHECKING:
    from trainer.cli.progress import Progress
    from trainer.result import Run

EXIT_CODES: Final = (
    "Exit codes: 0 done, 2 spec or usage, 3 data, 4 diverged, 5 tracking, 6 checkpoint, "
    "130 interrupted (143 by SIGTERM)."
)


ONE_THREAD: Final = (
    "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
)  # fmt: skip


class EngineChoice(StrEnum):
    """What `--engine` takes."""

    auto = "auto"
    compiled = "compiled"
    reference = "reference"


class _RunByDefault(TyperGroup):
    """`train CONFIG …` means `train run CONFIG …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {"--help", "--version", *self.commands}
        if args and args[0] not in own:
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise InterruptedRun("stopped") from None


app = typer.Typer(
    cls=_RunByDefault,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog=EXIT_CODES,
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The spec: a YAML file.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the spec; repeatable."),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(metavar="URI", help="MLflow's store. [default: runs/mlflow.db in this folder]"),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Threads of the compiled engine. [default: all]"),
]
CheckpointEvery = Annotated[
    str, typer.Option(metavar="TIME", help="As 30s, 5min, 1000steps or 1epoch.")
]
OfflineOk = Annotated[
    bool, typer.Option("--offline-ok", help="Train also where the store cannot be reached.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def _version(wanted: bool) -> None:
    if wanted:
        from trainer.tracking.environment import package_version

        typer.echo(f"train {package_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Train the network that a YAML file declares, and record the run in MLflow.

    `train CONFIG` is short for `train run CONFIG`.

    Example: train configs/hidden_layer.yaml
    """


@app.command()
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
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a spec and record the run.

    Example: train run configs/hidden_layer.yaml --set sgd.learning_rate=0.01 --name slower
    """
    from trainer.run import train
    from trainer.spec import load_spec

    spec = load_spec(config, set_)
    _show(
        train, quiet, json_, spec, name=name, tracking_uri=tracking_uri, engine=engine.value,
        threads=threads, checkpoint_every=checkpoint_every, offline_ok=offline_ok,
    )  # fmt: skip


@app.command()
def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, beginning of an id, name, last.")],
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
    from trainer.resuming import resume as go_on

    _show(
        go_on, quiet, json_, run, changes=set_ or (), force=force, threads=threads,
        checkpoint_every=checkpoint_every, offline_ok=offline_ok,
    )  # fmt: skip


@app.command()
def reproduce(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id, beginning of an id, name, last.")],
    tracking_uri: TrackingUri = None,
    threads: Threads = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Train a recorded run again and compare every bit of its parameters and metrics.

    What is found is recorded with the run. Exits with 1 where anything differs.

    Example: train reproduce last
    """
    from trainer.proof import reproduce as again

    with _progress(quiet or json_) as (_, shown):
        proof = again(run, tracking_uri=tracking_uri, threads=threads, **shown)
    if json_:
        print(json.dumps(proof.as_json()))
    elif not quiet or not proof.identical:
        print(proof)
    if not proof.identical:
        raise typer.Exit(1)


@app.command()
def sync(quiet: Quiet = False) -> None:
    """Send what the tracking store did not take when its run ended.

    Example: train sync
    """
    from trainer.resuming import send, unsent_runs

    waiting, failure = unsent_runs(), None
    for run in waiting:
        try:
            sent = send(run, warn=_warn)
        except TrainerError as error:  # the others need not wait for this one
            print(f"train: {run[:8]} was not sent: {_headline(error)}", file=sys.stderr)
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
        yield None, {"warn": _warn}
        return
    progress = Progress()
    try:
        yield progress, {"listeners": [progress.on], "on_start": progress.start, "warn": _warn}
    finally:
        progress.stop()


def _warn(text: str) -> None:
    print(f"train: warning: {text}", file=sys.stderr)


@app.command()
def check(
    config: Config,
    set_: Set = None,
    json_: Json = False,
    kernel: Annotated[
        bool, typer.Option("--kernel", help="Print the source of the compiled kernel.")
    ] = False,
) -> None:
    """Validate a spec and its data, without training.

    Shows the layers, the nodes of the graph, the memory needed and the fingerprint.

    Example: train check configs/hidden_layer.yaml --json
    """
    from trainer.build import build_graph
    from trainer.cli.hints import program
    from trainer.data import load_dataset
    from trainer.graph.ops import show_shape
    from trainer.memory import check_memory, count_parameters
    from trainer.spec import load_spec
    from trainer.summary import describe_model

    try:
        spec = load_spec(config, set_)
        dataset = load_dataset(spec)
        model = build_graph(spec, len(dataset.features), dataset.outputs)
        memory = check_memory(spec, dataset, model)
    except (SpecError, DataError) as error:
        if not json_:
            raise
        problems = [problem.as_json() for problem in error.problems]
        print(json.dumps({"valid": False, "errors": problems}))
        raise typer.Exit(error.exit_code) from None
    if kernel:
        from trainer.engine.compiled.codegen import kernel_source
        from trainer.training import full_batch, training_graph

        graph = training_graph(model, spec.sgd)
        rows = full_batch(spec, dataset), spec.evaluation.batch_size
        print(kernel_source(graph, *rows), end="")
        return
    if json_:
        nodes = [
            {"name": n.name, "op": n.op, "inputs": list(n.inputs), "shape": list(n.shape)}
            for n in model
        ]
        found = {"valid": True, "name": spec.name, "spec_sha256": spec.sha256}
        print(json.dumps({**found, "parameters": count_parameters(model), "nodes": nodes}))
        return
    print(describe_model(spec, dataset, model, memory))
    width = max(len(node.name) for node in model)
    print("graph")
    for node in model:
        print(f"  {node.name:<{width}}  {show_shape(node.shape):<12}  {node.formula}")
    print(f"\nspec {spec.sha256}\nThe spec is valid. Next: {program()} {config}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the spec.

    Editors that know it complete and check specs as they are written.

    Example: train schema > spec.schema.json
    """
    from trainer.spec import Spec

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    print(json.dumps(document | Spec.model_json_schema(), indent=2, ensure_ascii=False))


@app.command()
def ui(
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open MLflow's UI on the recorded runs.

    It listens on 127.0.0.1, for this machine alone.

    Example: train ui --port 5001
    """
    from trainer.cli.ui import serve_ui

    serve_ui(tracking_uri, port)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits. The one place that turns errors into exit codes."""
    arguments = sys.argv[1:] if arguments is None else arguments
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))  # read when NumPy loads its BLAS
    code = 0
    try:
        app(arguments, prog_name="train")  # exits by itself: 0, or 2 for wrong usage
    except TrainerError as error:
        code = error.exit_code
        if "--json" in arguments and error.run is None:
            print(json.dumps(error.as_json()))
        print(f"train: {_headline(error)}", file=sys.stderr)
    finally:
        gc.freeze()  # else Python looks through all of MLflow's objects once more: 0.8 s
    sys.exit(code)


def _headline(error: TrainerError) -> str:
    """The message; several problems begin on a line of their own, below their number."""
    if isinstance(error, SpecError | DataError):
        count = len(error.problems)
        what = "the spec" if isinstance(error, SpecError) else "the data"
        return f"{what} has {count} problem{'s' * (count != 1)}\n{error}"
    if isinstance(error, UsageError):
        return f"{error}\nTry `train --help`."
    return str(error)
