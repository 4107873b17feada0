"""The survey of a spec's table: every column, and what is odd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from trainer.data import Table, load_table, split_rows
from trainer.graph.ops import Array
from trainer.spec.schema import Spec
from trainer.survey.columns import ColumnFacts, facts_of, features_of, targets_of
from trainer.survey.findings import (
    Finding,
    copies,
    gaps,
    grouped,
    idle,
    leaks,
    numbering,
    ordered,
    rare_classes,
    repeated,
    shifts,
)

ROWS: Final = 10**6
"""The rows of a table that stays on disk that are looked at, the first ones."""


@dataclass(frozen=True)
class Survey:
    """What a table holds: its features and targets, and what is odd about them. `parts` are the
    rows of each part; `notes` what was said of the files when they were read. `whole` is False
    where a table stays on disk and only its first rows were looked at.
    """

    origin: str
    rows: int
    features: tuple[ColumnFacts, ...]
    targets: tuple[ColumnFacts, ...]
    parts: Mapping[str, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    whole: bool = True


def survey(spec: Spec, rows: int = ROWS) -> Survey:
    """The survey of what the spec reads; of a table that stays on disk the first `rows`.

    Raises `DataError` or `SpecError` where it cannot be read as the spec says.
    """
    if not spec.data.stream:
        table = load_table(spec)
        return survey_table(table, split_rows(spec, table))
    found = survey_table(load_table(spec, rows), {})
    return replace(found, whole=found.rows < rows)


def survey_table(table: Table, parts: Mapping[str, Array]) -> Survey:
    """The survey of a table whose `parts` are the numbers of the rows of each."""
    features, targets = features_of(table), targets_of(table)
    findings: list[Finding] = [*idle(features), *numbering(features), *copies(features)]
    said = {name for each in findings for name in each.columns[:1]}
    telling = [cells for cells in features if cells.name not in said]
    for target in targets:
        findings += leaks(telling, target)
        if table.classes is not None:
            findings += rare_classes(target)
    findings += [*gaps(features), *ordered(features), *grouped(telling)]
    if parts:
        findings += [*repeated(table, parts), *shifts(telling, parts)]
    return Survey(
        origin=table.origin,
        rows=len(table.x),
        features=tuple(map(facts_of, features)),
        targets=tuple(map(facts_of, targets)),
        parts={name: len(rows) for name, rows in parts.items()},
        findings=tuple(findings),
        notes=table.notes,
    )
