"""The command that hands a trained model to other programs."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trainer.cli.hints import warn
from trainer.cli.options import Json, RunReference, TrackingUri

if TYPE_CHECKING:
    from trainer.report.recorded import RecordedRun

HASHES: Final = ("spec_sha256", "data_sha256", "parameters_sha256")


class FormatChoice(StrEnum):
    """What `--to` takes."""

    onnx = "onnx"
    safetensors = "safetensors"
    numpy = "numpy"


def export(
    run: RunReference,
    to: Annotated[FormatChoice, typer.Option("--to", help="What to write.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="[default: the run's name, in this folder]")
    ] = None,
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
    from trainer.runs.use import load_model

    trained = load_model(run, tracking_uri=tracking_uri, warn=warn)
    form = FORMATS[to.value]
    path = out or Path(_file_name(trained.run.name) + form.suffix)
    made = export_model(trained.model, to.value, path, _facts(trained.run))
    if json_:
        checked = {"with": form.reader, "rows": made.rows, "on": made.sample}
        about = {"run_id": trained.run.run_id, "to": to.value, "file": str(path)}
        checked["largest_difference"] = made.difference
        print(json.dumps({**about, "bytes": made.size, "checked": checked}))
        return
    named = f"{trained.run.name} ({trained.run.run_id[:8]})"
    apart = f"largest difference {made.difference:.1e}" if made.difference else "identical"
    print(
        f"{form.what} of {named}: {path}, {made.size:,} bytes; "
        f"checked with {form.reader} on {made.sample}: {apart}"
    )


def _facts(run: RecordedRun) -> dict[str, str]:
    """What the file says of where it comes from."""
    hashes = {name: run.tags.get(f"trainer.{name}", "") for name in HASHES}
    return {"run_id": run.run_id, "run_name": run.name} | hashes


def _file_name(name: str) -> str:
    """The run's name with `_` for all that is awkward in names of files."""
    return re.sub(r"[^\w.-]+", "_", name)[:100].lstrip(".-") or "model"
