"""A survey of a table as one page of HTML: what is odd, and a card for each column."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from trainer.data import Column, show_raw
from trainer.report.pages import document
from trainer.report.style import short
from trainer.survey import ColumnFacts, Finding, PartFacts, Survey

NAME_LENGTH: Final = 60
VALUE_LENGTH: Final = 40
TEXT_LENGTH: Final = 400
WIDTH, HEIGHT, GAP = 240, 64, 2
"""Of a histogram, in its own units; it is as wide as its card."""
_STYLE: Final = """\
ul { margin: .4rem 0; padding: 0; list-style: none; max-width: 60rem; }
li { padding: .45rem .7rem; margin: .35rem 0; background: var(--band); overflow-wrap: anywhere;
  border-left: 4px solid var(--line); border-radius: .25rem; }
li.grave { border-color: var(--grave); }
li.grave b:first-child { color: var(--grave); }
li span { display: block; color: var(--soft); }
a { color: inherit; text-underline-offset: .15em; text-decoration-color: var(--soft); }
code { font: .92em ui-monospace, monospace; }
.facts { display: flex; flex-wrap: wrap; gap: .3rem 1.6rem; margin: .6rem 0; }
.facts div { font-variant-numeric: tabular-nums; }
.facts b { display: block; font-size: 1.2rem; font-weight: 650; }
.facts span { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr));
  gap: 1rem; align-items: start; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .8rem; min-width: 0; }
.card.odd { border-color: var(--soft); }
.card.grave { border-color: var(--grave); }
.card:target { outline: 3px solid var(--bar); outline-offset: 1px; }
h3 { font-size: .98rem; margin: 0; overflow-wrap: anywhere; }
.card p { font-size: .87rem; overflow-wrap: anywhere; }
.card p.odd { color: var(--ink); } .card p.grave { color: var(--grave); }
.card svg { margin-top: .5rem; height: 4rem; }
.ends { display: flex; justify-content: space-between; gap: 1rem; font-size: .8rem;
  color: var(--soft); font-variant-numeric: tabular-nums; border-top: 1px solid var(--soft); }
.ends span { min-width: 0; overflow-wrap: anywhere; }
.bar { fill: var(--bar); } .bar.other { fill: var(--other); }
.card table { width: 100%; font-size: .87rem; margin-top: .5rem; table-layout: fixed; }
.card th, .card td { padding: .12rem 0; border: 0; }
.card th { overflow-wrap: anywhere; width: 46%; padding-right: .5rem; }
.card td.number { width: 4.6rem; text-align: right; padding-left: .4rem; white-space: nowrap; }
.card td svg { margin: .3rem 0 0; height: .75rem; }
.card .parts th { width: auto; } .card .parts td { text-align: right; }
.card .parts td + td { padding-left: .4rem; }
"""


def page(survey: Survey, name: str) -> str:
    """The whole page; `name` is that of the spec."""
    body = [
        f"<h1>{_text(name, NAME_LENGTH)}: what is in the table</h1>",
        f"<p>{_text(survey.origin, TEXT_LENGTH)}</p>",
        *_overview(survey),
        *_findings(survey),
        *_cards(survey),
    ]
    return document(f"{short(name, NAME_LENGTH)}: what is in the table", _STYLE, body)


def _overview(survey: Survey) -> Iterator[str]:
    if not survey.whole:
        yield f"<p>Of a table that stays on disk: its first {survey.rows:,} rows.</p>"
    cells = sum(facts.rows for facts in survey.features)
    missing = sum(facts.missing for facts in survey.features)
    numbers = {
        "rows": f"{survey.rows:,}",
        **{f"rows for {_PARTS[part]}": f"{n:,}" for part, n in survey.parts.items() if n},
        "features": f"{len(survey.features):,}",
        "empty cells in them": share(missing, cells),
    }
    yield '<div class="facts">'
    yield from (
        f"<div><b>{value}</b><span>{title}</span></div>" for title, value in numbers.items()
    )
    yield "</div>"


_PARTS: Final = {"train": "training", "validation": "validation", "test": "test"}


def _findings(survey: Survey) -> Iterator[str]:
    yield "<h2>What is odd</h2>"
    if not survey.findings:
        yield "<p>Nothing odd was found.</p>"
    places = _places(survey)
    notes = [f"<li>{_prose(note)}</li>" for note in survey.notes]
    if survey.findings or notes:
        yield "<ul>"
        yield from (_finding(each, places) for each in survey.findings)
        yield from notes
        yield "</ul>"


def _finding(finding: Finding, places: Mapping[str, str]) -> str:
    column = ""
    for name in finding.columns[:1]:
        column = f'<b><a href="#{places[name]}">{_text(name, NAME_LENGTH)}</a></b> '
    grave = ' class="grave"' if finding.grave else ""
    advice = f"<span>{_prose(finding.advice)}</span>" if finding.advice else ""
    return f"<li{grave}>{column}{_prose(finding.message)}{advice}</li>"


# Cards ------------------------------------------------------------------------------------------


def _cards(survey: Survey) -> Iterator[str]:
    told: dict[str, list[Finding]] = defaultdict(list)
    for finding in survey.findings:
        for column in finding.columns[:1]:
            told[column].append(finding)
    places = _places(survey)
    for title, columns in (("Targets", survey.targets), ("Features", survey.features)):
        yield f"<h2>{title if len(columns) != 1 else title[:-1]}</h2>"
        yield '<div class="cards">'
        for facts in columns:
            yield from _card(facts, places[facts.name], told[facts.name])
        yield "</div>"


def _places(survey: Survey) -> dict[str, str]:
    """What the card of each column is called in links."""
    columns = (*survey.features, *survey.targets)
    return {facts.name: f"c{number}" for number, facts in enumerate(columns)}


def _card(facts: ColumnFacts, place: str, findings: Sequence[Finding]) -> Iterator[str]:
    grave = any(each.grave for each in findings)
    state = " grave" if grave else " odd" if findings else ""
    yield f'<section class="card{state}" id="{place}">'
    yield f"<h3>{_text(facts.name, NAME_LENGTH)}</h3>"
    empty = f", {share(facts.missing, facts.rows)} empty" if facts.missing else ""
    kind = _text(facts.kind, VALUE_LENGTH)
    yield f"<p>{kind}, {facts.distinct:,} different{empty}</p>"
    for each in findings:
        mark = "grave" if each.grave else "odd"
        yield f'<p class="{mark}">{_prose(each.message)}</p>'
    yield from _amounts(facts) if facts.shown else _values(facts)
    yield "</section>"


def _amounts(facts: ColumnFacts) -> Iterator[str]:
    assert facts.shown is not None
    low, median, high = (_text(each, VALUE_LENGTH) for each in facts.shown)
    if facts.distinct > 1:
        if facts.parts:
            yield from _histograms(facts)
        else:
            yield _histogram(facts, facts.histogram, facts.rows - facts.missing, "all rows")
            yield f'<div class="ends"><span>{low}</span><span>{high}</span></div>'
    yield "<table>"
    yield _row("median", median)
    if not facts.kind.startswith("date"):
        yield _row("mean", number(facts.mean))
    unit = " days" if facts.kind.startswith("date") else ""
    yield _row("standard deviation", number(facts.deviation) + unit)
    yield "</table>"


def _row(title: str, value: str) -> str:
    return f"<tr><th>{title}</th><td>{value}</td></tr>"


def _histograms(facts: ColumnFacts) -> Iterator[str]:
    """One for each part, all as high as their shares are."""
    assert facts.shown is not None
    most = max((n / part.rows for part in facts.parts for n in part.counts), default=1)
    for part in facts.parts:
        yield f"<p>{_beside(part)}</p>"
        yield _histogram(
            facts, part.counts, part.rows, f"{_PARTS[part.part]} rows", most * part.rows
        )
    low, _, high = (_text(each, VALUE_LENGTH) for each in facts.shown)
    yield f'<div class="ends"><span>{low}</span><span>{high}</span></div>'


def _beside(part: PartFacts) -> str:
    empty = f", {share(part.missing, part.rows)} empty" if part.missing else ""
    return f"{part.rows:,} {_PARTS[part.part]} rows{empty}"


def _histogram(
    facts: ColumnFacts, counts: Sequence[int], rows: int, of: str, most: float = 0
) -> str:
    """Bars that tell their number where the pointer is on them; `most` has the full height."""
    step = WIDTH / len(counts)
    most = most or max(counts, default=0) or 1
    name = escape(short(facts.name, NAME_LENGTH), quote=True)
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
             f'aria-label="Histogram of {name}, {of}">']  # fmt: skip
    other = " other" if of.startswith("test") else ""
    for i, count in enumerate(counts):
        high = max(1.0, HEIGHT * count / most) if count else 0
        told = f"{_edge(facts, i)} to {_edge(facts, i + 1)}: {count:,} rows"
        parts.append(
            f'<rect class="bar{other}" x="{i * step + GAP / 2:.2f}" y="{HEIGHT - high:.2f}" '
            f'width="{step - GAP:.2f}" height="{high:.2f}">'
            f"<title>{told}, {share(count, rows)}</title></rect>"
        )
    return "".join([*parts, "</svg>"])


def _edge(facts: ColumnFacts, i: int) -> str:
    """Where a bar begins."""
    value = facts.edges[i]
    return show_raw(value, Column("", "date")) if facts.kind.startswith("date") else number(value)


def _values(facts: ColumnFacts) -> Iterator[str]:
    """The most frequent values with bars, or a number for each part."""
    if facts.parts:
        yield from _values_by_part(facts)
        return
    most = max((count for _, count in facts.frequent), default=1)
    yield "<table>"
    for value, count in facts.frequent:
        yield (
            f"<tr><th>{_text(value, VALUE_LENGTH)}</th><td>"
            '<svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="bar" width="{100 * count / most:.1f}" height="10"/></svg></td>'
            f'<td class="number">{share(count, facts.rows)}</td></tr>'
        )
    yield "</table>"
    yield from _rest(facts)


def _values_by_part(facts: ColumnFacts) -> Iterator[str]:
    titles = "".join(f"<td>{_PARTS[part.part]}</td>" for part in facts.parts)
    yield f'<table class="parts"><tr><th></th>{titles}</tr>'
    for i, (value, _) in enumerate(facts.frequent):
        cells = "".join(f"<td>{share(part.counts[i], part.rows)}</td>" for part in facts.parts)
        yield f"<tr><th>{_text(value, VALUE_LENGTH)}</th>{cells}</tr>"
    yield "</table>"
    yield from _rest(facts)


def _rest(facts: ColumnFacts) -> Iterator[str]:
    more = facts.distinct - len(facts.frequent)
    if more:
        rows = facts.rows - facts.missing - sum(count for _, count in facts.frequent)
        yield f"<p>and {more:,} more in {share(rows, facts.rows)} of the rows</p>"


# Values -----------------------------------------------------------------------------------------


def share(count: int, of: int) -> str:
    """A part of a whole in percent; what is there is never 0%, and what lacks some never 100%."""
    if not count:
        return "0%"
    percent = 100 * count / of
    if 0 < percent < 0.1:
        return "< 0.1%"
    if 99.9 < percent < 100:
        return "> 99.9%"
    return f"{percent:.1f}%" if percent < 10 or 90 < percent < 100 else f"{percent:.0f}%"


def number(value: float | None) -> str:
    """A number of few digits."""
    return "" if value is None else f"{value:,.5g}" if abs(value) < 1e5 else f"{value:.5g}"


def _text(text: str, length: int) -> str:
    """A text of the user's: in one line, cut, and nothing but a text."""
    return escape(short(text, length))


def _prose(text: str) -> str:
    """A sentence; what it has between backticks is code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", _text(text, TEXT_LENGTH))
