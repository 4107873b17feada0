"""Arguments and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trainer.cli.completing import run_names, spec_files
from trainer.cli.places import kept_runs
from trainer.outputs import check_place

if TYPE_CHECKING:
    from trainer.runs.profile import Profile


class EngineChoice(StrEnum):
    """What `--engine` takes."""

    auto = "auto"
    compiled = "compiled"
    reference = "reference"


Config = Annotated[
    Path,
    typer.Argument(metavar="CONFIG", help="The spec: a YAML file.", autocompletion=spec_files),
]
RunReference = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="Name, id, beginning of an id, last, best.", autocompletion=run_names
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the spec; repeatable."),
]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="The run's name. [default: the spec's]")
]
Engine = Annotated[EngineChoice, typer.Option(help="What computes; `auto` compiles.")]
Runs = Annotated[Path, typer.Option("--runs", metavar="FOLDER", help="Where runs are kept.")]
Kept = Annotated[
    Path | None,
    typer.Option(
        "--runs", metavar="FOLDER", help="Where runs are kept. [default: runs, here or above]"
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Train also what was trained before.")]
TrackingUri = Annotated[
    str | None,
    typer.Option(metavar="URI", help="MLflow's store. [default: runs/mlflow.db in this folder]"),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Threads of the compiled engine. [default: all]"),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Processes that train a trial each. [default: cores]"),
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Train on a Dask cluster, as tcp://scheduler:8786."),
]
CheckpointEvery = Annotated[
    str, typer.Option(metavar="TIME", help="As 30s, 5min, 1000steps or 1epoch.")
]
OfflineOk = Annotated[
    bool, typer.Option("--offline-ok", help="Train also where the store cannot be reached.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def ends_in(*endings: str) -> Callable[[Path | None], Path | None]:
    """A check of an option's file, made before all else that a command does: that it can be written
    under this name, which has one of these endings. It raises `UsageError`.
    """

    def check(path: Path | None) -> Path | None:
        if path is not None:
            check_place(path, endings)
        return path

    return check


HTML: Final = (".html", ".htm")
PICTURE: Final = (".png",)


def store_at(tracking_uri: str | None, runs: Path | None = None) -> Profile:
    """The profile of a command that looks at recorded runs."""
    from trainer.runs.profile import Profile

    return Profile(runs=runs or kept_runs(), store=tracking_uri)
