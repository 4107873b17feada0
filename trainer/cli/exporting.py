"""The command that hands a trained model to other programs."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.cli.hints import warn
from trainer.cli.options import Json, Kept, RunReference, TrackingUri, ends_in, store_at
from trainer.cli.streams import print_json

if TYPE_CHECKING:
    from trainer.runs.finding import FoundRun


class FormatChoice(StrEnum):
    """What `--to` takes."""

    onnx = "onnx"
    safetensors = "safetensors"
    numpy = "numpy"


def export(
    run: RunReference,
    to: Annotated[FormatChoice, typer.Option("--to", help="What to write.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=ends_in(".onnx", ".safetensors", ".py"),
            help="[default: the run's name, in this folder]",
        ),
    ] = None,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    json_: Json = False,
) -> None:
    """Write the model of a run as one file that other programs use.

    `numpy` is a Python program that needs NumPy alone, `onnx` a model for inference engines,
    `safetensors` the numbers. What is done to raw rows is in each, and each is checked against
    the model before it is kept.

    Example: train export best --to onnx
    """
    from trainer.export.files import FORMATS, export_model
    from trainer.outputs import check_place
    from trainer.runs.use import load_model

    form = FORMATS[to.value]
    if out is not None:
        check_place(out, [form.suffix])
    trained = load_model(run, profile=store_at(tracking_uri, kept), warn=warn)
    path = out or Path(_file_name(trained.run.name) + form.suffix)
    made = export_model(trained.model, to.value, path, _facts(trained.run))
    if json_:
        checked = {"with": form.reader, "rows": made.rows, "on": made.sample}
        about = {
            "id": trained.run.id,
            "run_id": trained.run.run_id,
            "to": to.value,
            "file": str(path),
        }
        checked["largest_difference"] = made.difference
        print_json({**about, "bytes": made.size, "checked": checked})
        return
    named = f"{trained.run.name} ({trained.run.id[:8]})"
    apart = f"largest difference {made.difference:.1e}" if made.difference else "identical"
    print(
        f"{form.what} of {named}: {path}, {made.size:,} bytes; "
        f"checked with {form.reader} on {made.sample}: {apart}"
    )


def _facts(run: FoundRun) -> dict[str, str]:
    """What the file says of where it comes from."""
    return {"run_id": run.run_id or run.id, "run_name": run.name, **run.hashes}


def _file_name(name: str) -> str:
    """The run's name with `_` for all that is awkward in names of files."""
    return re.sub(r"[^\w.-]+", "_", name)[:100].lstrip(".-") or "model"
