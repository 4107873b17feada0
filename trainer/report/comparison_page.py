"""A comparison of runs as one page of HTML, which needs neither scripts nor a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from trainer.metrics import direction
from trainer.report.comparing import LETTERS, Comparison, Curve, title
from trainer.report.pages import document
from trainer.report.recorded import RecordedRun
from trainer.report.style import COLOURS, short
from trainer.report.svg import Line, line_chart

NONE: Final = "—"
NAME_LENGTH: Final = 60
_DASHES: Final = ("none", "6 3", "2 3")  # of the runs after those that have colours of their own
_SHOWN_FACT: Final = 12  # characters of a hash
_STYLE: Final = """\
td { white-space: nowrap; }
td div { width: max-content; max-width: 16rem; white-space: normal; overflow-wrap: break-word; }
.side th:first-child { position: sticky; left: 0; background: var(--paper); }
.side th:first-child, code { font: .88em/1.5 ui-monospace, monospace; }
.side .right { text-align: right; padding: .28rem .3rem .28rem 1rem; }
.best { color: var(--best); font-weight: 650; }
.chip { display: inline-block; min-width: 1.4em; padding: 0 .25em; text-align: center;
  font-weight: 650; color: var(--ink); border-bottom: 3px solid; }
.key span { display: inline-block; margin: 0 .8rem .3rem 0; }
.key .chip { margin: 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
  gap: 1.2rem 1.6rem; }
figure { margin: 0; max-width: 36rem; }
figcaption { font-weight: 600; margin: .4rem 0 .2rem; }
figcaption span { font-weight: 400; color: var(--soft); }
svg text { font: 12px system-ui, sans-serif; fill: var(--soft); }
svg .letter { fill: var(--ink); font-weight: 650; stroke: var(--paper); stroke-width: 3px;
  paint-order: stroke; }
.grid { stroke: var(--line); } .axis { stroke: var(--soft); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.touch { fill-opacity: 0; stroke: none; } .touch:hover { fill-opacity: .9; }
"""


def page(comparison: Comparison) -> str:
    """The whole page, with the runs, what differs between them, their metrics and curves."""
    runs = comparison.runs
    names = {run.experiment for run in runs}
    where = ", ".join(f"<b>{escape(name)}</b>" for name in sorted(names))
    body = [
        f"<h1>{len(runs)} runs</h1>",
        f"<p>of the experiment{'s' * (len(names) > 1)} {where}</p>",
        *(f"<p>Note: {escape(note)}.</p>" for note in comparison.notes),
        *_runs(runs),
        *_differences(comparison),
        *_metrics(comparison),
        *_charts(comparison),
    ]
    told = f"{len(runs)} runs of {', '.join(sorted(names))}"
    return document(told, _STYLE + _colours(len(runs)), body)


def _colours(count: int) -> str:
    """The colour of each run, for the underline of its letter, its lines and their points.

    The last of the palette is black, which is white on a dark page.
    """
    rules = []
    for i in range(count):
        colour = COLOURS[i % len(COLOURS)].replace("#000000", "var(--last)")
        dash = _DASHES[i // len(COLOURS)]
        rules.append(
            f".r{i} {{ border-color: {colour}; }} path.r{i} {{ stroke: {colour}; "
            f"stroke-dasharray: {dash}; }} circle.r{i} {{ fill: {colour}; }}\n"
        )
    return "".join(rules)


# Tables -----------------------------------------------------------------------------------------


def _runs(runs: Sequence[RecordedRun]) -> Iterator[str]:
    several = len({run.experiment for run in runs}) > 1
    titles = ["", "name", "id", "status", "started", "duration", *["experiment"] * several]
    rows = []
    for i, run in enumerate(runs):
        cells = [
            _chip(i),
            _name(run),
            f"<code>{run.id[:8]}</code>",
            escape(run.status),
            f"{run.started:%Y-%m-%d %H:%M}",
            NONE if run.seconds is None else f"{run.seconds:,.1f} s",
            *[escape(short(run.experiment, NAME_LENGTH))] * several,
        ]
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    yield from _table([f"<th>{title}</th>" for title in titles], rows, "runs")


def _differences(comparison: Comparison) -> Iterator[str]:
    yield "<h2>What differs</h2>"
    if not comparison.differences:
        yield "<p>Nothing: the specs, the data and the engine are the same.</p>"
        return
    rows = []
    for path, values in comparison.differences.items():
        shown = [value[:_SHOWN_FACT] if value and path.endswith("sha256") else value
                 for value in values]  # fmt: skip
        cells = "".join(f"<td><div>{_text(value)}</div></td>" for value in shown)
        rows.append(f"<th>{escape(path)}</th>{cells}")
    yield from _table(_titles(comparison, "left"), rows, "side")


def _metrics(comparison: Comparison) -> Iterator[str]:
    yield "<h2>Metrics</h2>"
    rows = []
    for name, values in comparison.results.items():
        best = comparison.best(name)
        cells = [
            f'<td class="right best">★ {_number(value)}</td>' if i in best else
            f'<td class="right">{_number(value)}</td>'
            for i, value in enumerate(values)
        ]  # fmt: skip
        rows.append(f"<th>{escape(name)}</th>{''.join(cells)}")
    if not rows:
        yield "<p>The runs have no metrics.</p>"
        return
    yield "<p>After the last epoch, where the name says nothing else. ★ is the best.</p>"
    yield from _table(_titles(comparison, "right"), rows, "side")


def _titles(comparison: Comparison, side: str) -> list[str]:
    titles = [
        f'<th class="{side}" title="{_name(run)}">{_chip(i)}</th>'
        for i, run in enumerate(comparison.runs)
    ]
    return ["<th></th>", *titles]


def _table(titles: Sequence[str], rows: Sequence[str], kind: str) -> Iterator[str]:
    yield f'<div class="wide"><table class="{kind}"><thead><tr>{"".join(titles)}</tr></thead>'
    yield "<tbody>"
    yield from (f"<tr>{row}</tr>" for row in rows)
    yield "</tbody></table></div>"


# Charts -----------------------------------------------------------------------------------------


def _charts(comparison: Comparison) -> Iterator[str]:
    figures = [_figure(name, comparison.runs, curves) for name, curves in comparison.curves.items()]
    if any(figures):
        names = [f"<span>{_chip(i)} {_name(run)}</span>" for i, run in enumerate(comparison.runs)]
        yield f'<h2>Curves</h2>\n<p class="key">{" ".join(names)}</p>'
        yield '<p>Point at a line to see a value.</p>\n<div class="charts">'
        yield from filter(None, figures)
        yield "</div>"


def _figure(metric: str, runs: Sequence[RecordedRun], curves: Sequence[Curve]) -> str:
    lines = [
        Line(curve, LETTERS[i], short(run.name, NAME_LENGTH), f"r{i}")
        for i, (run, curve) in enumerate(zip(runs, curves, strict=True))
    ]
    steps = "step" if metric.endswith("_step") else "epoch"
    chart = line_chart(title(metric), lines, steps, logarithmic=direction(metric) <= 0)
    if not chart:
        return ""
    better = {1: ", more is better", -1: ", less is better", 0: ""}[direction(metric)]
    missing = ", ".join(line.letter for line in lines if not line.points)
    note = f"<p>Without it: {missing}</p>" if missing else ""
    return (f"<figure><figcaption>{escape(title(metric))}<span>{better}</span></figcaption>\n"
            f"{chart}\n{note}</figure>")  # fmt: skip


# Values -----------------------------------------------------------------------------------------


def _name(run: RecordedRun) -> str:
    return escape(short(run.name, NAME_LENGTH))


def _chip(i: int) -> str:
    return f'<span class="chip r{i}">{LETTERS[i]}</span>'


def _text(value: str | None) -> str:
    return NONE if value is None else escape(value)


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.5g}"
