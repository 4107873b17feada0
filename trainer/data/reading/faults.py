"""What is wrong with a table that cannot be used, cell by cell: slow, and only after a refusal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeAlias

from trainer.data.columns.cells import Reader, reader
from trainer.data.columns.roles import Wanted, as_found
from trainer.data.columns.table import Column, show
from trainer.data.columns.values import CellError
from trainer.data.reading.tablefile import TableFile
from trainer.errors import Problem

MAX_FAULTS: Final = 5

Place: TypeAlias = tuple[int, int, int]
"""The number of a file, of a line or row in it, and of a column."""


@dataclass
class _Missing:
    """The missing cells of a column that must have none: how many, and the first."""

    count: int
    file: TableFile
    place: Place
    cell: Any


@dataclass
class _Search:
    wanted: Sequence[Wanted]
    readers: Sequence[Reader]
    faults: list[tuple[Place, Problem]] = field(default_factory=list)
    missing: dict[int, _Missing] = field(default_factory=dict)

    def look(self, number: int, file: TableFile, rows: slice) -> None:
        """Adds what is wrong with rows of a file."""
        records = file.records([want.name for want in self.wanted])
        for record in islice(records, rows.start, rows.stop):
            if isinstance(record, Problem):
                self._add((number, record.line or 0, -1), record)
                continue
            line, cells = record
            for i, (want, cell) in enumerate(zip(self.wanted, cells, strict=True)):
                self._look_at(want, cell, file, (number, line, i))

    def _look_at(self, want: Wanted, cell: Any, file: TableFile, place: Place) -> None:
        try:
            value = self.readers[place[2]](cell)
        except CellError as error:
            self._add(place, place_of(file, place[1], want.name, error.message, error.hint))
            return
        if math.isnan(value) and not want.optional:
            first = self.missing.setdefault(place[2], _Missing(0, file, place, cell))
            first.count += 1

    def _add(self, place: Place, problem: Problem) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append((place, problem))


def find_faults(
    files: Sequence[TableFile],
    wanted: Sequence[Wanted],
    columns: Sequence[Column],
    spellings: Sequence[str],
    *,
    strict: bool = True,
    rows: slice = slice(None),
) -> list[Problem]:
    """The first faults, with their places, and one problem for each column with missing cells.

    `columns` are what the wanted columns were found to be, `spellings` what stands for nothing.
    `strict` tells whether labels outside the order of an ordinal column are faults. Only
    these rows of each file are looked at.
    """
    wanted = [as_found(want, column) for want, column in zip(wanted, columns, strict=True)]
    readers = [
        reader(column, spellings, want.advice, strict=strict)
        for want, column in zip(wanted, columns, strict=True)
    ]
    search = _Search(wanted, readers)
    for number, file in enumerate(files):
        search.look(number, file, rows)
    missing = [
        (each.place, _missing_problem(wanted[i], each)) for i, each in search.missing.items()
    ]
    return [problem for _, problem in sorted([*search.faults, *missing], key=lambda item: item[0])]


def _missing_problem(want: Wanted, missing: _Missing) -> Problem:
    blank = missing.cell is None or not str(missing.cell).strip()
    found = "an empty cell" if blank else f"{show(missing.cell)}, which stands for an empty cell"
    if missing.count > 1:
        found = f"{missing.count} empty cells, of which this is the first"
    message = f"expected {want.expected}, found {found}"
    return place_of(missing.file, missing.place[1], want.name, message, want.empty)


def place_of(
    file: TableFile, place: int, name: str, message: str, hint: str | None = None
) -> Problem:
    """A problem with a cell: by the line of a text file, by the number of the row in others."""
    where = f"column {show(name)}"
    if file.counts == "line":
        return Problem(where, message, hint, file.label, place)
    return Problem(where, f"row {place}: {message}", hint, file.label)
