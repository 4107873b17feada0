"""The commands that use what was trained: predict, evaluate, promote, serve."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trainer.cli.hints import warn
from trainer.cli.options import Json, Kept, Quiet, RunReference, TrackingUri, ends_in, store_at
from trainer.cli.streams import binary_output, print_json, waiting
from trainer.errors import UsageError

if TYPE_CHECKING:
    from trainer.network.model import Model
    from trainer.runs.finding import FoundRun
    from trainer.runs.predict import Progress

SPOOLED: Final = 64 * 2**20
"""Bytes of predictions that are held in memory before they are printed; more are on disk."""

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        metavar="FILE",
        help="A file with the model's columns: CSV, JSON lines, Excel, Parquet, Arrow or NumPy.",
    ),
]


def predict(
    run: RunReference,
    data: Data,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=ends_in(".csv", ".parquet", ".pq"),
            help="A .csv or .parquet file. [default: standard output]",
        ),
    ] = None,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Predict the rows of a file with the model of a run.

    Classes get a label and the probability of each, numbers come in the target's units.

    Example: train predict best --data rows.csv --out predictions.csv
    """
    from trainer.runs.use import load_model

    if json_ and out is None:
        raise UsageError(
            "--json needs --out FILE: the predictions themselves are no JSON", code="TR-U002"
        )
    trained, began = (
        load_model(run, profile=store_at(tracking_uri, kept), warn=warn),
        time.monotonic(),
    )
    with _counting(quiet or json_ or out is None) as progress:
        rows = _predicted(trained.model, data, out, progress)
    if json_:
        columns = list(trained.model.columns)
        found = {
            "id": trained.run.id,
            "run_id": trained.run.run_id,
            "rows": rows,
            "out": str(out),
            "columns": columns,
        }
        print_json(found)
    elif out is not None and not quiet:
        seconds = time.monotonic() - began
        print(f"{rows:,} rows predicted by {_named(trained.run)} in {seconds:.1f} s: {out}")


def _predicted(model: Model, data: Path, out: Path | None, progress: Progress) -> int:
    """Predicts to a file, or to standard output, which gets all rows or none."""
    from trainer.runs.predict import predict_file

    if out is not None:
        return predict_file(model, data, out, progress)
    with tempfile.SpooledTemporaryFile(SPOOLED) as spool:
        rows = predict_file(model, data, spool, progress)
        spool.seek(0)
        with binary_output() as output:
            while piece := spool.read(2**20):
                output.write(piece)
    return rows


def evaluate(
    run: RunReference,
    data: Data,
    log: Annotated[
        bool, typer.Option("--log", help="Record the metrics with the run, as eval/….")
    ] = False,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Measure how well the model of a run predicts the target column of a file.

    Example: train evaluate best --data rows.csv --log
    """
    from trainer.runs.predict import evaluate_file
    from trainer.runs.use import load_model, record_evaluation

    trained = load_model(run, profile=store_at(tracking_uri, kept), warn=warn)
    with _counting(quiet or json_) as progress:
        metrics = evaluate_file(trained.model, data, progress)
    if log:
        record_evaluation(trained.run, metrics, profile=store_at(tracking_uri, kept))
    if json_:
        about = {"id": trained.run.id, "run_id": trained.run.run_id, "data": str(data)}
        print_json(about | {"metrics": metrics})
    elif not quiet:
        print(f"{_named(trained.run)} on {int(metrics['rows']):,} rows of {data}")
        print(*_left_out(metrics), sep="\n")
        print(_table(metrics))


def promote(
    run: RunReference,
    name: Annotated[str, typer.Argument(metavar="NAME[@ALIAS]", help="As flats@champion.")],
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Make the model of a run a version of a registered model, and point an alias at it.

    Example: train promote best flats@champion
    """
    from trainer.runs.use import promote as register

    profile = store_at(tracking_uri, kept)
    with waiting("asking MLflow", quiet or json_):
        found, known, version = register(run, name, profile=profile, warn=warn)
    uri = f"models:/{name}" if known.alias else f"models:/{name}/{version}"
    if json_:
        about = {"id": found.id, "run_id": found.run_id, "name": known.name}
        print_json(about | {"version": version, "alias": known.alias, "uri": uri})
    elif not quiet:
        print(f"{found.id[:8]} is version {version} of '{known.name}': {uri}")


def serve(
    run: RunReference,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5001,
) -> None:
    """Serve the model of a run over HTTP, by `mlflow models serve`.

    It listens on 127.0.0.1, for this machine alone.

    Example: train serve best --port 5001
    """
    from trainer.cli.ui import serve_model

    serve_model(run, tracking_uri, kept, port)


def _named(run: FoundRun) -> str:
    """A run in a sentence: name and beginning of its id."""
    return f"{run.name} ({run.id[:8]})"


def _left_out(metrics: Mapping[str, float]) -> Iterator[str]:
    """What is said of the rows that are left out, and an empty line."""
    from trainer.data import LeftOut

    rows = int(metrics.get("rows_left_out", 0))
    if rows:
        parts = ((name.partition("left_out/"), count) for name, count in metrics.items())
        missing = {name: int(count) for (start, which, name), count in parts if which and not start}
        yield LeftOut(rows, rows + int(metrics["rows"]), missing).note
    yield ""


def _table(metrics: Mapping[str, float]) -> str:
    """The metrics of all rows a line each, then those of each class or target in a table."""
    from trainer.metrics import fitting_metrics
    from trainer.report.comparing import TRIVIAL

    counts = ("rows", "rows_left_out")
    beside = {name.removeprefix(TRIVIAL): value for name, value in metrics.items()
              if name.startswith(TRIVIAL)}  # fmt: skip
    whole = {
        name: value
        for name, value in metrics.items()
        if "/" not in name and name not in counts and not name.startswith(TRIVIAL)
    }
    width = max(map(len, whole))
    lines = [f"{'':<{width}}  {'model':<9}  trivial"] * bool(beside)
    for name, value in whole.items():
        trivial = f"{beside[name]:.5g}" if name in beside else ""
        lines.append(f"{name:<{width}}  {f'{value:.5g}':<9}  {trivial}".rstrip())
    labels = [name.partition("/")[2] for name in metrics if name.startswith("recall/")]
    if labels:
        size = max(*map(len, labels), len("class"))
        lines += ["", f"{'class':<{size}}  precision   recall       f1     rows"]
        for label in labels:
            three = (metrics[f"{kind}/{label}"] for kind in ("precision", "recall", "f1"))
            cells = "  ".join(f"{value:7.4f}" for value in three)
            lines.append(f"{label:<{size}}    {cells}  {int(metrics[f'rows/{label}']):7,}")
    figures = fitting_metrics("squared")
    parts = [name.partition("/") for name in metrics]
    targets = dict.fromkeys(target for figure, _, target in parts if target and figure in figures)
    if targets:
        size = max(*map(len, targets), len("target"))
        lines += ["", f"{'target':<{size}}" + "".join(f"  {name:>10}" for name in figures)]
        for target in targets:
            values = (metrics.get(f"{name}/{target}", math.nan) for name in figures)
            lines.append(f"{target:<{size}}" + "".join(f"  {value:10.5g}" for value in values))
    return "\n".join(lines)


@contextmanager
def _counting(silent: bool) -> Iterator[Progress]:
    """Shows how many rows are done, on a terminal alone."""
    with waiting("0 rows", silent) as show:
        yield lambda rows: show(f"{rows:,} rows")
