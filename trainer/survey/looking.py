"""The survey of a spec's table: every column, and what is odd."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from trainer.data import Table, load_head, split_rows
from trainer.graph.ops import Array
from trainer.spec.schema import Spec
from trainer.survey.columns import Cells, ColumnFacts, facts_of, features_of, targets_of
from trainer.survey.copying import Copies
from trainer.survey.findings import (
    KINDS,
    Finding,
    fillers,
    gaps,
    grouped,
    idle,
    names_things,
    numbering,
    ordered,
    rare_classes,
    spellings,
    total,
)
from trainer.survey.rows import Marks, shifts
from trainer.survey.telling import Telling

ROWS: Final = 10**6
"""The rows of a table that stays on disk that are looked at, the first ones."""


@dataclass(frozen=True)
class Survey:
    """What a table holds: its features and targets, and what is odd about them, what is grave
    first. `parts` are the rows of each part; `notes` what was said of the files when they were
    read. `whole` is False where a table stays on disk and only its first rows were looked at.
    """

    origin: str
    rows: int
    features: tuple[ColumnFacts, ...]
    targets: tuple[ColumnFacts, ...]
    parts: Mapping[str, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    whole: bool = True

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON has it."""
        return {
            "origin": self.origin,
            "rows": self.rows,
            "whole": self.whole,
            "parts": dict(self.parts),
            "notes": list(self.notes),
            "findings": [finding.as_json() for finding in self.findings],
            "targets": [facts.as_json() for facts in self.targets],
            "features": [facts.as_json() for facts in self.features],
        }


def survey(spec: Spec, rows: int = ROWS) -> Survey:
    """The survey of what the spec reads; of a table that stays on disk the first `rows`.

    Raises `DataError` or `SpecError` where it cannot be read as the spec says.
    """
    table, whole = load_head(spec, rows)
    found = survey_table(table, {} if spec.data.stream else split_rows(spec, table))
    findings = tuple(_unheeded(each, spec) for each in found.findings)
    return replace(found, findings=findings, whole=whole)


def _unheeded(finding: Finding, spec: Spec) -> Finding:
    """The finding, without advice that the spec has taken already."""
    says = spec.data.columns.get(finding.columns[0]) if finding.columns else None
    heeded = {
        "missing": says is not None and says.indicator,
        "rare": spec.model.class_weights is not None,
    }
    return replace(finding, advice="") if heeded.get(finding.kind) else finding


def survey_table(table: Table, parts: Mapping[str, Array]) -> Survey:
    """The survey of a table whose `parts` are the numbers of the rows of each.

    Columns are looked at one after the other, so little memory is needed beside that of the table.
    """
    looking = _Looking(table, parts)
    features = tuple(looking.feature(cells) for cells in features_of(table))
    targets = tuple(looking.target(cells) for cells in looking.targets)
    findings = [*looking.findings, *looking.marks.findings(parts)]
    if len(looking.telling) == 1:  # that it tells the target is then what it is for
        findings = [each for each in findings if each.kind != "leak"]
    return Survey(
        origin=table.origin,
        rows=len(table.x),
        features=features,
        targets=targets,
        parts={name: len(rows) for name, rows in parts.items()},
        findings=tuple(sorted(findings, key=lambda each: (not each.grave, KINDS.index(each.kind)))),
        notes=table.notes,
    )


class _Looking:
    """What was found so far; `telling` are the features that may tell something of the target."""

    def __init__(self, table: Table, parts: Mapping[str, Array]) -> None:
        self.table, self.parts = table, parts
        self.targets = targets_of(table)
        self.findings: list[Finding] = []
        self.telling: list[str] = []
        self.marks = Marks(len(table.x))
        self._copies = Copies(len(table.columns))
        self._told = Telling(self.targets, len(table.x), len(table.columns))
        self._columns = len(table.columns) + len(self.targets)

    def feature(self, cells: Cells) -> ColumnFacts:
        """Looks at the next feature."""
        self.marks.add(cells)
        told = len(self.findings)
        useless = list(idle(cells))
        if len(self.table.columns) > 1 or names_things(cells):
            useless += numbering(cells)
        useless = useless or list(self._copies.of(cells))  # else both might be left out
        self.findings += useless
        self.findings += gaps(cells)
        self.findings += [*fillers(cells), *total(cells), *spellings(cells)]
        if self.table.time is None:
            self.findings += ordered(cells)
        if not useless:
            self.telling.append(cells.name)
            self.findings += self._of_telling(cells)
        differs = any(each.kind == "shift" for each in self.findings[told:])
        return facts_of(cells, self.parts if differs else None)

    def _of_telling(self, cells: Cells) -> Iterator[Finding]:
        """Names of things tell nothing of others; dates differ where rows are split by time."""
        things = list(grouped(cells))
        if self.table.group is None:
            yield from things
        yield from self._told.leaks(cells, things=bool(things))
        dated = cells.column.kind == "date" and self.table.time is not None
        if not things and not names_things(cells) and not dated:
            yield from shifts(cells, self.parts, self._columns)

    def target(self, cells: Cells) -> ColumnFacts:
        """Looks at the next target."""
        self.marks.add(cells)
        if self.table.classes is not None:
            self.findings += rare_classes(cells)
        if len(cells.values) > 1 and cells.distinct == 1:
            advice = "there is nothing to learn"
            self.findings += [replace(each, advice=advice, grave=True) for each in idle(cells)]
        self.findings += [*fillers(cells), *total(cells), *spellings(cells)]
        self.findings += shifts(cells, self.parts, self._columns)
        return facts_of(cells, self.parts)
