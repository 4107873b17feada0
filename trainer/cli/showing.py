"""Recorded runs and comparisons of them as a person sees them on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from rich.text import Text

from trainer.cli.chart import draw, style
from trainer.cli.tables import Column, Output, sheets, table
from trainer.metrics import DEFAULTS, direction
from trainer.report.axis import drawable
from trainer.report.comparing import LETTERS, Comparison, Curve
from trainer.report.recorded import RecordedRun
from trainer.report.style import short

NONE: Final = "—"
NAME_LENGTH: Final = 40
VALUE_LENGTH: Final = 28
CHART_WIDTH: Final = 70
_STATUS: Final = {"FINISHED": "green", "RUNNING": "cyan", "PAUSED": "yellow",
                   "KILLED": "yellow"}  # fmt: skip


def show_runs(output: Output, runs: Sequence[RecordedRun], sort: str) -> None:
    """Prints a table of runs with their main metrics, and the one that they are sorted by."""
    columns = [*_run_columns(runs, output.width), *_metric_columns(runs, sort), *_chosen(runs)]
    lines, dropped = table(columns, output.width)
    output.show(*lines)
    if dropped:
        output.show(f"(no room for {', '.join(dropped)})")


def show_comparison(output: Output, comparison: Comparison, metric: str) -> None:
    """Prints what the runs are, what differs, their metrics and the curves of one metric."""
    runs = comparison.runs
    letters = Column(
        "", LETTERS[: len(runs)], styles=[f"bold {style(i)}" for i in range(len(runs))]
    )
    lines, _ = table([letters, *_run_columns(runs, output.width)], output.width)
    output.show(*lines, "")
    output.show(*_differences(comparison, output.width))
    output.show(*_metrics(comparison, output.width))
    output.show(*_chart(comparison, metric, output.width))
    for note in comparison.notes:
        output.show(f"note: {note}")


# Tables -----------------------------------------------------------------------------------------


def _run_columns(runs: Sequence[RecordedRun], width: int | None) -> list[Column]:
    """What runs are. On a terminal ids are short, elsewhere whole."""
    ids = [run.id if width is None else run.id[:8] for run in runs]
    columns = [
        Column("id", ids),
        Column("name", [short(run.name, NAME_LENGTH) for run in runs], least=12),
        Column("status", [run.status for run in runs],
               styles=[_STATUS.get(run.status, "red") for run in runs]),
        Column("started", [when(run.started) for run in runs], rank=4),
        Column("duration", [duration(run.seconds) for run in runs], right=True, rank=6),
    ]  # fmt: skip
    if len({run.experiment for run in runs}) > 1:
        names = [short(run.experiment, NAME_LENGTH) for run in runs]
        columns.append(Column("experiment", names, least=10, rank=5))
    return columns


def _metric_columns(runs: Sequence[RecordedRun], sort: str) -> list[Column]:
    """The main metrics that some run has, and the one that the runs are sorted by."""
    held = {name for run in runs for name in run.metrics}
    ranks = {"val_loss": 2, "best_val_loss": 8, "test_loss": 7}
    if not all("val_loss" in run.metrics for run in runs):
        ranks["train_loss"] = 9
    for score in DEFAULTS:
        measured = (f"{part}_{score}" for part in ("test", "val", "train"))
        ranks[next((name for name in measured if name in held), score)] = 3
    ranks[sort] = 0
    return [
        Column(name, [number(run.metrics.get(name)) for run in runs], right=True, rank=rank)
        for name, rank in ranks.items()
        if name in held
    ]


def _chosen(runs: Sequence[RecordedRun]) -> list[Column]:
    """What trials of a sweep chose, where there are no others."""
    if not all(run.is_trial for run in runs):
        return []
    keys = dict.fromkeys(key for run in runs for key in run.chosen)
    return [
        Column(key, [short(run.chosen.get(key, NONE), VALUE_LENGTH) for run in runs], rank=3)
        for key in keys
    ]


def _differences(comparison: Comparison, width: int | None) -> Iterator[Text | str]:
    rows = comparison.differences
    if not rows:
        yield from ("The specs, the data and the engine are the same.", "")
        return
    titles = Column("differs", list(rows), least=16)
    columns = [
        Column(LETTERS[i], [value(path, values[i], VALUE_LENGTH) for path, values in rows.items()],
               least=8)
        for i in range(len(comparison.runs))
    ]  # fmt: skip
    yield from _sheets(titles, columns, width)


def _metrics(comparison: Comparison, width: int | None) -> Iterator[Text | str]:
    rows = comparison.results
    if not rows:
        yield from ("The runs have no metrics.", "")
        return
    best = [comparison.best(name) for name in rows]
    titles = Column("metric (* best)", list(rows), least=16)
    columns = [
        Column(
            f"{LETTERS[i]} ",
            [number(values[i]) + (" ", "*")[i in b]
             for values, b in zip(rows.values(), best, strict=True)],
            right=True,
            styles=["bold green" if i in b else "" for b in best],
        )
        for i in range(len(comparison.runs))
    ]  # fmt: skip
    yield from _sheets(titles, columns, width)


def _sheets(first: Column, columns: Sequence[Column], width: int | None) -> Iterator[Text | str]:
    for sheet in sheets(first, columns, width):
        yield from table(sheet, width)[0]
        yield ""


# The chart --------------------------------------------------------------------------------------


def _chart(comparison: Comparison, metric: str, width: int | None) -> Iterator[Text | str]:
    curves = [drawable(curve) for curve in comparison.curves[metric]]
    longest = max(map(len, curves))
    if longest == 0:
        yield f"No run has a point of {metric}."
        return
    if longest == 1:
        yield f"{metric} has one value a run, and no curve."
        return
    steps = "step" if metric.endswith("_step") else "epoch"
    yield Text(f"{metric} by {steps}", "bold")
    room = min(CHART_WIDTH, width or CHART_WIDTH)
    yield from draw(curves, LETTERS, steps, direction(metric) <= 0, room)
    yield ""
    for i, (run, curve) in enumerate(zip(comparison.runs, curves, strict=True)):
        yield _legend(i, run, curve, metric, steps)


def _legend(i: int, run: RecordedRun, curve: Curve, metric: str, steps: str) -> Text:
    text = Text().append(LETTERS[i], f"bold {style(i)}")
    text.append(f"  {short(run.name, NAME_LENGTH)}: ")
    if not curve:
        return text.append(f"no {metric}")
    last, final = curve[-1]
    text.append(f"{number(final)} at {steps} {last}")
    sign = direction(metric)
    best = max(curve, key=lambda point: sign * point[1])
    if sign and best[1] != final:
        text.append(f", best {number(best[1])} at {best[0]}")
    return text


# Values -----------------------------------------------------------------------------------------


def number(value: float | None) -> str:
    """A metric's value in five digits."""
    return NONE if value is None else f"{value:.5g}"


def value(path: str, text: str | None, length: int) -> str:
    """A leaf of the spec in at most `length` characters; a hash keeps its beginning."""
    if text is None:
        return NONE
    return text[:12] if path.endswith("sha256") else short(text, length)


def when(moment: datetime) -> str:
    """A time of this year without the year: `11-23 05:51`."""
    form = "%m-%d %H:%M" if moment.year == datetime.now().year else "%Y-%m-%d %H:%M"
    return moment.strftime(form)


def duration(seconds: float | None) -> str:
    """Seconds as people say them: `1.2 s`, `3 min 5 s`, `2 h 5 min`."""
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
