"""The command that tells which columns matter: importance."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trainer.cli.hints import warn
from trainer.cli.options import (
    PICTURE,
    Json,
    Kept,
    Quiet,
    RunReference,
    TrackingUri,
    ends_in,
    store_at,
)
from trainer.cli.streams import console, print_json

if TYPE_CHECKING:
    from trainer.runs.importance import Measured


def importance(
    run: RunReference,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Rows with the target. [default: the run's test rows]"),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="As auc. [default: accuracy or r2]")
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Orders of each column. [default: 5]")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Rows at most. [default: 10000]")
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=ends_in(*PICTURE), help="Also write the picture to this file."
        ),
    ] = None,
    kept: Kept = None,
    tracking_uri: TrackingUri = None,
    no_track: Annotated[bool, typer.Option("--no-track", help="Record nothing.")] = False,
    quiet: Quiet = False,
    json_: Json = False,
) -> None:
    """Tell which columns the model of a run leans on: what it loses when one is shuffled.

    Table and picture are recorded with the run, in importance/.

    Example: train importance last
    """
    from trainer.runs.importance import importance as measure
    from trainer.runs.importance import record_importance

    profile = store_at(tracking_uri, kept)
    asked = {"repeats": repeats, "rows": rows}
    with _counting(quiet or json_) as progress:
        found = measure(
            run, data, metric=metric, profile=profile, progress=progress, warn=warn,
            **{name: value for name, value in asked.items() if value is not None},
        )  # fmt: skip
    if png is not None:
        from trainer.outputs import replacing
        from trainer.report.importance import write_importance

        with replacing(png, PICTURE) as fresh:
            write_importance(found.importance, found.run.name, found.told, fresh)
    if not quiet and not json_:
        _show(found, png)
    recorded = not no_track and record_importance(found, profile=profile)
    if json_:
        print_json(found.as_json())
    elif not no_track and not recorded:
        warn("the run is not recorded yet, so this is not either: send the run with train sync")


def _show(found: Measured, png: Path | None) -> None:
    """The table of the first columns, and on which rows."""
    from trainer.cli.tables import Column, Output, table
    from trainer.report.importance import SHOWN, title_of

    output, measured = Output(), found.importance
    columns = {name: values[:SHOWN] for name, values in measured.table().items()}
    names, *figures = columns.values()
    shown = [Column("column", [*map(str, names)], least=12)]
    for title, (means, deviations) in zip(
        (title_of(measured), "loss gained"), (figures[:2], figures[2:]), strict=True
    ):
        cells = [_figure(*pair) for pair in zip(means, deviations, strict=True)]
        shown.append(Column(title, cells, right=True))
    repeats = measured.score_lost.shape[1]
    output.show(*_head(found), "", *table(shown, output.width)[0])
    more = len(measured.columns) - len(names)
    if more:
        output.show(f"… and {more:,} more: --json has them all")
    times = "once" if repeats == 1 else f"{repeats} times: mean ± standard deviation"
    output.show("", f"each column was shuffled among the rows {times}")
    if png is not None:
        output.show(f"picture: {png}")


def _head(found: Measured) -> Iterator[str]:
    measured = found.importance
    yield f"{found.run.name} ({found.run.id[:8]}) on {found.told}"
    yield f"{measured.metric} {measured.score:.4g}, loss {measured.loss:.4g} as they are"


def _figure(mean: float, deviation: float) -> str:
    """A mean and its deviation to the same digit; what rounds to 0 has no sign."""
    digits = 4 if abs(mean) < 10 else 2 if abs(mean) < 1000 else 0
    return f"{round(mean, digits) + 0.0:.{digits}f} ± {deviation:.{digits}f}"


@contextmanager
def _counting(silent: bool) -> Iterator[Callable[[int, int], None]]:
    """Shows how many columns are done, on a terminal alone."""
    if silent or not sys.stderr.isatty():
        yield lambda *_: None
        return
    with console(stderr=True).status("reading rows") as status:
        yield lambda done, all_: status.update(f"{done:,} of {all_:,} columns")
