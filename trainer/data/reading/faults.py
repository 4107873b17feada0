"""What is wrong with a table that cannot be used, cell by cell: slow, and only after a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeAlias

from trainer.data.columns.cells import Reader, reader
from trainer.data.columns.roles import Wanted, as_found
from trainer.data.columns.table import Column, show
from trainer.data.columns.values import CellError
from trainer.data.reading.advice import Sort, sort_of, told
from trainer.data.reading.tablefile import TableFile
from trainer.errors import Problem
from trainer.spec.messages import plural, words

MAX_FAULTS: Final = 100
"""So many mistakes are told at most: one for each column and sort of mistake."""
_LINES: Final = 3
"""So many further lines of a mistake are told."""
_TEXTS: Final = 1000
"""So many different texts of a mistake are kept."""

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
class _Mistake:
    """Cells of a column, or rows, with the same mistake: the first of them, how many there are,
    some further lines, and their different texts.
    """

    file: TableFile
    place: Place
    error: CellError
    sort: Sort
    code: str | None
    count: int = 0
    lines: list[int] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)

    def add(self, place: Place, cell: Any) -> None:
        """Counts one more."""
        self.count += 1
        if self.count > 1 and len(self.lines) < _LINES and place[0] == self.place[0]:
            self.lines.append(place[1])
        text = str(cell)
        if text in self.texts or len(self.texts) < _TEXTS:
            self.texts[text] = self.texts.get(text, 0) + 1

    def more(self, message: str) -> str:
        """The message, and where the others are."""
        if self.count == 1:
            return message
        others, lines = self.count - 1, [*map(str, self.lines)]
        where = f"in {plural(others, self.file.counts).split()[1]} "
        where += words(lines) if others == len(lines) else f"{', '.join(lines)}, …"
        if not lines:
            where = "in other files"
        if self.sort == "marker":
            return f"{message}; the others {where}"
        return f"{message}, and {others} more like it, {where}"


@dataclass
class _Search:
    wanted: Sequence[Wanted]
    columns: Sequence[Column]
    readers: Sequence[Reader]
    mistakes: dict[Any, _Mistake] = field(default_factory=dict)
    missing: dict[int, _Missing] = field(default_factory=dict)

    def look(self, number: int, file: TableFile, rows: slice) -> None:
        """Adds what is wrong with rows of a file."""
        records = file.records([want.name for want in self.wanted])
        for record in islice(records, rows.start, rows.stop):
            if isinstance(record, Problem):
                error = CellError(record.message, record.hint)
                expected = record.message.rpartition(", found ")[0] or record.message
                key = (number, expected, record.path)
                place = (number, record.line or 0, -1)
                self._add(key, place, file, error, "other", record, record.code)
                continue
            line, cells = record
            for i, (want, cell) in enumerate(zip(self.wanted, cells, strict=True)):
                self._look_at(want, cell, file, (number, line, i))

    def _look_at(self, want: Wanted, cell: Any, file: TableFile, place: Place) -> None:
        try:
            value = self.readers[place[2]](cell)
        except CellError as error:
            start, sort = sort_of(error, cell, self.columns[place[2]])
            self._add((place[2], start, sort), place, file, error, sort, cell)
            return
        if math.isnan(value) and not want.optional:
            first = self.missing.setdefault(place[2], _Missing(0, file, place, cell))
            first.count += 1

    def _add(
        self, key: Any, place: Place, file: TableFile, error: CellError, sort: Sort, cell: Any,
        code: str | None = "TR-D018",
    ) -> None:  # fmt: skip
        mistake = self.mistakes.setdefault(key, _Mistake(file, place, error, sort, code))
        mistake.add(place, cell)

    def told(self) -> Iterator[tuple[Place, Problem]]:
        """Every mistake once."""
        markers = dict.fromkeys(
            text for each in self.mistakes.values() if each.sort == "marker" for text in each.texts
        )
        for mistake in self.mistakes.values():
            place, error = mistake.place, mistake.error
            if place[2] < 0:
                line = place[1] or None
                message = mistake.more(error.message)
                label, code = mistake.file.label, mistake.code
                yield place, Problem("", message, error.hint, label, line, code=code)
                continue
            want, column = self.wanted[place[2]], self.columns[place[2]]
            message, hint = told(
                mistake.sort, error, mistake.texts, want, column, mistake.file, markers
            )
            message = mistake.more(message)
            found = place_of(mistake.file, place[1], want.name, message, hint, code=mistake.code)
            yield place, found


def find_faults(
    files: Sequence[TableFile],
    wanted: Sequence[Wanted],
    columns: Sequence[Column],
    spellings: Sequence[str],
    *,
    strict: bool = True,
    rows: slice = slice(None),
) -> list[Problem]:
    """Each sort of fault in each column once, with its first place and how often it is there; and
    one problem for each column with missing cells.

    `columns` are what the wanted columns were found to be, `spellings` what stands for nothing.
    `strict` tells whether labels outside the order of an ordinal column are faults. Only
    these rows of each file are looked at.
    """
    wanted = [as_found(want, column) for want, column in zip(wanted, columns, strict=True)]
    readers = [
        reader(column, spellings, want.advice, strict=strict)
        for want, column in zip(wanted, columns, strict=True)
    ]
    search = _Search(wanted, columns, readers)
    for number, file in enumerate(files):
        search.look(number, file, rows)
    missing = [
        (each.place, _missing_problem(wanted[i], each)) for i, each in search.missing.items()
    ]
    faults = [
        problem for _, problem in sorted([*search.told(), *missing], key=lambda item: item[0])
    ]
    if len(faults) > MAX_FAULTS:
        rest = len(faults) - MAX_FAULTS
        faults[MAX_FAULTS:] = [
            Problem("", f"and {rest} more mistakes, in other columns", code="TR-S027")
        ]
    return faults


def _missing_problem(want: Wanted, missing: _Missing) -> Problem:
    blank = missing.cell is None or not str(missing.cell).strip()
    found = "an empty cell" if blank else f"{show(missing.cell)}, which stands for an empty cell"
    if missing.count > 1:
        found = f"{missing.count} empty cells, of which this is the first"
    message = f"expected {want.expected}, found {found}"
    file, place = missing.file, missing.place[1]
    return place_of(file, place, want.name, message, want.empty, code="TR-D019")


def place_of(
    file: TableFile, place: int, name: str, message: str, hint: str | None = None, *,
    code: str | None,
) -> Problem:  # fmt: skip
    """A problem with a cell: by the line of a text file, by the number of the row in others."""
    where = f"column {show(name)}"
    if file.counts == "line":
        return Problem(where, message, hint, file.label, place, code=code)
    if cell := file.cell(place, name):
        return Problem(f"{cell}, {where}", message, hint, file.label, code=code)
    return Problem(where, f"row {place}: {message}", hint, file.label, code=code)
