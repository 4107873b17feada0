"""`train check --data`: what is in the table of a spec, as a person sees it on a terminal."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.text import Text

from trainer.cli.options import HTML
from trainer.cli.tables import Column, Output, table
from trainer.data import listing
from trainer.outputs import replacing
from trainer.report.style import short
from trainer.report.survey_page import page, share
from trainer.survey import ColumnFacts, Finding, Survey

MOST_COLUMNS: Final = 20
"""Columns of which nothing is told that are shown."""
MOST_ALIKE: Final = 8
"""Findings of one kind that are shown."""
NAME_LENGTH: Final = 40
VALUE_LENGTH: Final = 24
VALUES: Final = 3
BLOCKS: Final = "▁▂▃▄▅▆▇█"


def write_survey(survey: Survey, name: str, path: Path) -> None:
    """Writes the page. Raises `MachineError` where the system refuses."""
    with replacing(path, HTML) as fresh:
        fresh.write_text(page(survey, name), encoding="utf-8", newline="\n")


def show_survey(output: Output, survey: Survey, name: str) -> None:
    """Prints what the table holds, column by column, and what is odd about it."""
    targets = listing([f"'{short(each.name, NAME_LENGTH)}'" for each in survey.targets], 4)
    count = len(survey.features)
    features = f"{count:,} feature{'s' * (count != 1)}"
    output.show(f"{name}: {survey.rows:,} rows of {survey.origin}, {features}, target {targets}")
    if not survey.whole:
        output.show("The table stays on disk; these are its first rows.")
    parts = [f"{rows:,} {part}" for part, rows in survey.parts.items() if rows]
    if parts:
        output.show(f"{', '.join(parts)} rows")
    told, more = _told(survey.findings)
    shown = _shown(survey, told)
    lines, _ = table([*_columns(survey, shown, output.width)], output.width)
    output.show("", *lines)
    rest = len(survey.features) + len(survey.targets) - len(shown)
    if rest:
        output.show(f"… and {rest:,} more columns; --html FILE and --json tell of all")
    output.show("", *map(_line, told), *more)
    output.show(*(f"note: {note}" for note in survey.notes))
    if not told and not survey.notes:
        output.show("Nothing odd was found.")


# Columns ----------------------------------------------------------------------------------------


def _shown(survey: Survey, told: Sequence[Finding]) -> list[ColumnFacts]:
    """The targets, the first features, and those of which something is told."""
    odd = {name for finding in told for name in finding.columns}
    features = survey.features
    kept = [f for i, f in enumerate(features) if i < MOST_COLUMNS or f.name in odd]
    return [*survey.targets[:MOST_COLUMNS], *kept]


def _columns(survey: Survey, shown: Sequence[ColumnFacts], width: int | None) -> Iterator[Column]:
    targets = {facts.name for facts in survey.targets}
    yield Column("column", [short(facts.name, NAME_LENGTH) for facts in shown], least=12)
    marks = [", target" if facts.name in targets else "" for facts in shown]
    kinds = [f"{facts.kind}{mark}" for facts, mark in zip(shown, marks, strict=True)]
    yield Column("type", kinds, rank=1)
    if any(facts.missing for facts in shown):
        empty = [share(facts.missing, facts.rows) if facts.missing else "" for facts in shown]
        yield Column("missing", empty, right=True)
    yield Column("distinct", [f"{facts.distinct:,}" for facts in shown], right=True, rank=2)
    yield Column("holds", list(map(_holds, shown)), least=20)
    if width is not None and sys.stdout.encoding.lower().startswith("utf"):
        yield Column("", [bars(facts.histogram) for facts in shown], rank=3)


def _holds(facts: ColumnFacts) -> str:
    """The least, the median and the largest; of names the most frequent."""
    if facts.shown is not None:
        low, median, high = (short(each, VALUE_LENGTH) for each in facts.shown)
        return f"{low} to {high}, median {median}" if facts.distinct > 1 else low
    often = [
        f"{short(value, VALUE_LENGTH)} ({share(count, facts.rows)})"
        for value, count in facts.frequent[:VALUES]
    ]
    return ", ".join([*often, *["…"] * (facts.distinct > VALUES)])


def bars(counts: Sequence[int]) -> str:
    """Counts as blocks of eight heights; where there is any there is a block."""
    most = max(counts, default=0)
    return "".join(
        BLOCKS[-(-count * len(BLOCKS) // most) - 1] if count else " " for count in counts
    )


# Findings ---------------------------------------------------------------------------------------


def _told(findings: Sequence[Finding]) -> tuple[list[Finding], list[str]]:
    """The first findings of each kind, and lines that tell of the others."""
    seen: Counter[str] = Counter()
    told: list[Finding] = []
    rest: dict[str, list[str]] = {}
    for finding in findings:
        seen[finding.kind] += 1
        if seen[finding.kind] <= MOST_ALIKE:
            told.append(finding)
        else:
            rest.setdefault(finding.kind, []).extend(finding.columns[:1])
    return told, [
        f"and {len(names):,} more like '{kind}': "
        + listing([short(name, NAME_LENGTH) for name in names], MOST_ALIKE)
        for kind, names in rest.items()
    ]


def _line(finding: Finding) -> Text | str:
    """What is odd, and what to do."""
    column = f"'{short(finding.columns[0], NAME_LENGTH)}' " if finding.columns else ""
    advice = f"; {finding.advice}" if finding.advice else ""
    mark = "grave" if finding.grave else "note"
    text = short(f"{column}{finding.message}{advice}", 1000)
    return Text.assemble((f"{mark}: ", "bold red"), text) if finding.grave else f"{mark}: {text}"
