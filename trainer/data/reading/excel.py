"""Sheets of Excel workbooks: cells with types, as the file stores them."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final

from trainer.data.columns.arrow import arrow_texts
from trainer.data.columns.categories import text_of
from trainer.data.columns.notation import PLAIN, Notation
from trainer.data.columns.table import Column, listing, show
from trainer.data.columns.values import plain
from trainer.data.reading.tablefile import ROWS, BinaryFile, Record
from trainer.data.reading.workbooks import (
    Cell,
    Fault,
    Grid,
    letters_of,
    opened_workbook,
    read_cells,
)
from trainer.errors import DataError, Problem
from trainer.spec.messages import near
from trainer.spec.names import clean_name
from trainer.spec.sources import ExcelSource

_GUESSED: Final = 20
"""Rows among which the names are looked for that are not in the first one."""


@dataclass(frozen=True)
class _Sheet:
    """A table in a sheet: the names of its columns as they are written, where each stands
    (counted from 0), and the rows below by their numbers.
    """

    title: str
    raw: tuple[str, ...]
    places: tuple[int, ...]
    rows: Grid
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ExcelFile(BinaryFile):
    """A sheet of a workbook, which is read once, as a whole.

    Rows are known by their numbers in the sheet. `only` takes the only sheet of a workbook that has
    none of the name that the source says.
    """

    path: Path
    form: ExcelSource
    only: bool = False

    @cached_property
    def _sheet(self) -> _Sheet:
        with opened_workbook(self.path) as book:
            sheet, notes = self._chosen(book)
            grid = read_cells(sheet, self.form.skip_lines, self.path)
        title, header = sheet.title, min(grid, default=0)
        if header != self.form.skip_lines + 1:
            where = f"sheet {show(title)}, row {self.form.skip_lines + 1}"
            hint = f"write `skip_lines: {header - 1}` in the source" if header else None
            message = "expected the names of the columns, found an empty row"
            raise DataError(Problem(where, message, hint, self.label, code="TR-D008"))
        first = grid.pop(header)
        used = sorted({i for row in (first, *grid.values()) for i, cell in enumerate(row)
                       if cell is not None})  # fmt: skip
        names = [first[place] if place < len(first) else None for place in used]
        for place, name in zip(used, names, strict=True):
            if isinstance(name, Fault):
                where = f"sheet {show(title)}, cell {letters_of(place)}{header}"
                raise DataError(Problem(where, name.message, name.hint, self.label, code="TR-D008"))
        raw = tuple("" if name is None else _text(name) for name in names)
        self.check_names([name for name in raw if name])
        return _Sheet(title, raw, tuple(used), grid, notes)

    def doubt(self, wanted: Sequence[str]) -> Problem | None:
        """What may be wrong with the names, which lack some of the wanted columns."""
        for number, row in islice(self._sheet.rows.items(), _GUESSED):
            texts = {clean_name(cell) for cell in row if isinstance(cell, str)}
            if wanted and {*wanted} <= texts:
                where = f"sheet {show(self._sheet.title)}"
                hint = f"write `skip_lines: {number - 1}` in the source"
                message = f"the names stand in row {number}"
                return Problem(where, message, hint, self.label, code="TR-D008")
        return None

    def _chosen(self, book: Any) -> tuple[Any, tuple[str, ...]]:
        """The sheet that is meant, and what is said of it. Raises `DataError`."""
        sheets, asked = book.worksheets, self.form.sheet
        titles = [sheet.title for sheet in sheets]
        if not sheets:
            raise DataError(
                Problem(
                    "", "the workbook has no sheet with cells", None, self.label, code="TR-D013"
                )
            )
        if asked is None:
            note = f"of {len(sheets)} sheets the first is read, {show(titles[0])}"
            return sheets[0], (note,) * (len(sheets) > 1)
        if isinstance(asked, int) and asked <= len(sheets):
            return sheets[asked - 1], ()
        if asked in titles:
            return sheets[titles.index(asked)], ()
        if self.only and len(sheets) == 1:
            return sheets[0], ()
        what, hint = show(str(asked)), None
        if isinstance(asked, int):
            what = f"number {asked}: there are {len(sheets)}"
            hint = f'write `sheet: "{asked}"` for its name' if str(asked) in titles else None
        hint = hint or near(str(asked), titles) or f"the sheets are {listing(titles, 12)}"
        raise DataError(
            Problem("", f"the workbook has no sheet {what}", hint, self.label, code="TR-D013")
        )

    @property
    def notes(self) -> tuple[str, ...]:  # type: ignore[override]  # it is read only when asked
        """What a reader should know of how the file is read."""
        return self._sheet.notes

    @property
    def raw_names(self) -> Sequence[str]:
        """The names as they are written."""
        return tuple(dict.fromkeys(self._sheet.raw))

    @cached_property
    def _columns(self) -> Mapping[str, int]:
        """Where each column stands; of those without a name the first."""
        pairs = zip(self._sheet.raw, self._sheet.places, strict=True)
        return {clean_name(name): place for name, place in reversed([*pairs])}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns. Raises `DataError`."""
        return tuple(map(clean_name, self.raw_names))

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns; texts where cells are of several."""
        return {name: _type_of(self._cells(name)) for name in self.names}

    def _cells(self, name: str) -> list[Cell]:
        place = self._columns[name]
        return [row[place] if place < len(row) else None for row in self._sheet.rows.values()]

    def cell(self, place: int, name: str) -> str | None:
        """Where a cell stands, such as `sheet 'Data', cell B7`."""
        if name not in self._columns:
            return None
        return f"sheet {show(self._sheet.title)}, cell {letters_of(self._columns[name])}{place}"

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns, up to `ROWS` rows at a time. Raises `DataError` for cells at fault."""
        import pyarrow as pa

        chosen = {column.name: column for column in reversed(columns)}
        self._check(list(chosen))
        arrays = [
            _array(self._cells(name), self.types[name], column.notation)
            for name, column in chosen.items()
        ]
        yield from pa.table(arrays, names=list(chosen)).to_batches(ROWS)

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Each row's number in the sheet, and its cells. Raises `DataError` for cells at fault."""
        self._check(names)
        rows = zip(*(self._cells(name) for name in names), strict=True)
        for number, cells in zip(self._sheet.rows, rows, strict=True):
            yield number, [*map(plain, cells)]
        if not self._sheet.rows:
            yield Problem("", "the file has no rows", None, self.label, code="TR-D007")

    def _check(self, names: Sequence[str]) -> None:
        """Raises `DataError` for cells at fault, those of a column that are alike once."""
        problems = []
        for name in names:
            faults = [
                (row, cell) for row, cell in zip(self._sheet.rows, self._cells(name), strict=True)
                if isinstance(cell, Fault)
            ]  # fmt: skip
            counts = Counter(fault.message for _, fault in faults)
            for message, count in counts.items():
                row, fault = next(each for each in faults if each[1].message == message)
                more = f", as in {count - 1} more of the column" if count > 1 else ""
                where = f"{self.cell(row, name)}, column {show(name)}"
                problems.append(
                    Problem(where, message + more, fault.hint, self.label, code="TR-D014")
                )
        if problems:
            raise DataError(problems)


# Types -------------------------------------------------------------------------------------------


def _type_of(cells: Sequence[Cell]) -> Any:
    """The pyarrow type of a column."""
    import pyarrow as pa

    found = {type(cell) for cell in cells if cell is not None and not isinstance(cell, Fault)}
    if not found:
        return pa.null()
    if found <= {int, float}:
        whole = all(
            isinstance(cell, int) and abs(cell) < 2**63 for cell in cells if cell is not None
        )
        return pa.int64() if whole else pa.float64()
    plain_types = {bool: pa.bool_(), datetime.datetime: pa.timestamp("us")}
    return plain_types.get(found.pop(), pa.string()) if len(found) == 1 else pa.string()


def _array(cells: list[Cell], kind: Any, notation: Notation) -> Any:
    import pyarrow as pa

    if kind == pa.string():
        texts = [None if cell is None else _text(cell, notation) for cell in cells]
        return arrow_texts(texts)
    if kind == pa.float64():
        return pa.array([cell if cell is None else float(cell) for cell in cells], kind)  # type: ignore[arg-type]  # numbers
    return pa.array(cells, kind)


def _text(cell: Cell, notation: Notation = PLAIN) -> str:
    """A cell as the text that it would be in a CSV file of this notation."""
    if isinstance(cell, bool):
        return str(cell).lower()
    value = plain(cell)
    return value if isinstance(value, str) else notation.written(text_of(value))
