"""The cells of a sheet of an Excel workbook, as the file stores them."""

from __future__ import annotations

import datetime
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from xml.etree import ElementTree

from trainer.data.reading.files import unreadable
from trainer.errors import DataError, Problem
from trainer.extras import install
from trainer.inputs import open_regular
from trainer.machine import machine_memory

MOST_ROWS: Final = 2**20
"""Rows that a sheet can have."""
_OF_A_CELL: Final = 64
"""Bytes that a cell takes in memory, about."""
_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_NOT_STORED: Final = "the formula in this cell has no stored value"


@dataclass(frozen=True)
class Fault:
    """A cell that means nothing: what is wrong, and what to do."""

    message: str
    hint: str


Cell: TypeAlias = str | bool | int | float | datetime.datetime | Fault | None
Grid: TypeAlias = dict[int, list[Cell]]
"""The rows of a sheet that are not empty, by their numbers, counted from 1."""


@contextmanager
def opened_workbook(path: Path) -> Iterator[Any]:
    """The workbook, whose cells are read as they are asked for. Raises `DataError`."""
    try:
        import openpyxl
    except ImportError as error:
        message = f"Excel workbooks need a package that is not installed ({error})"
        hint = install("excel")
        raise DataError(Problem("", message, hint, str(path), code="TR-E004")) from None
    try:
        with warnings.catch_warnings(), open_regular(path) as file:
            warnings.simplefilter("ignore")  # of parts that hold no cells
            _check_size(file, path)
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            yield book
    except DataError:
        raise
    except Exception as error:  # a damaged workbook may make the library raise anything
        raise DataError(unreadable(path, error, "Excel")) from None


def _check_size(file: Any, path: Path) -> None:
    """Raises `DataError` for a workbook that would fill the memory, as what a small file holds may
    do; no part of it is ever longer than it says here.
    """
    if not file.read(1):
        raise DataError(Problem("", "the file is empty", None, str(path), code="TR-D007"))
    with zipfile.ZipFile(file) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if size > machine_memory() // 4:
        raise _too_large(path, f"it holds {size / 2**30:.1f} GB of XML")
    file.seek(0)


def _too_large(path: Path, why: str) -> DataError:
    message = f"not enough memory to hold this workbook: {why}"
    return DataError(Problem("", message, "save the sheet as CSV", str(path), code="TR-D015"))


def read_cells(sheet: Any, skipped: int, path: Path) -> Grid:
    """The rows of a sheet that are not empty, without those that are skipped."""
    sheet.reset_dimensions()  # which may be wrong, or far more than there is
    grid: Grid = {}
    room, gaps = machine_memory() // 2, False
    for number, cells in enumerate(sheet.iter_rows(max_row=MOST_ROWS), 1):
        row = [_cell(each) for each in cells]
        while row and row[-1] is None:
            row.pop()
        gaps |= None in row or len(row) < len(cells)
        if number > skipped and row:
            grid[number] = row
            room -= _OF_A_CELL * len(row)
            if room < 0:
                raise _too_large(path, f"it has more than {number} rows")
    if gaps:
        for place, number in _formulas_without_values(sheet):
            if number > skipped:
                row = grid.setdefault(number, [])
                row += [None] * (place + 1 - len(row))
                row[place] = Fault(_NOT_STORED, "open the workbook in a spreadsheet program and "
                                   "save it")  # fmt: skip
    return dict(sorted(grid.items()))


def _cell(cell: Any) -> Cell:
    """A cell of the library as a value, or what is wrong with it; None for an empty one."""
    value = cell.value
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if cell.data_type == "e":
        hint = "mend its formula, empty the cell, or leave the column out"
        return Fault(f"this cell holds the error {value}", hint)
    if isinstance(value, datetime.time | datetime.timedelta):
        what = "a time of day" if isinstance(value, datetime.time) else "a duration"
        hint = "write a number, of minutes for example, or leave the column out"
        return Fault(f"expected a number, text or date, found {what}, {value}", hint)
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return datetime.datetime.combine(value, datetime.time())
    return value if isinstance(value, bool | int | float | datetime.datetime) else str(value)


def _formulas_without_values(sheet: Any) -> Iterator[tuple[int, int]]:
    """The column, counted from 0, and row, from 1, of formulas that no program has computed.

    The library tells them in no way from those that give an empty text.
    """
    from openpyxl.utils.cell import coordinate_to_tuple

    with sheet.parent._archive.open(sheet._worksheet_path) as file:
        for _, element in ElementTree.iterparse(file):  # noqa: S314  # expat bounds entities
            if element.tag == f"{_MAIN}c" and element.find(f"{_MAIN}f") is not None:
                bare = not element.findtext(f"{_MAIN}v") and element.get("t") != "str"
                if bare and (at := element.get("r")):
                    row, column = coordinate_to_tuple(at)
                    yield column - 1, row
            elif element.tag == f"{_MAIN}row":
                element.clear()


def letters_of(place: int) -> str:
    """The letters of a column, counted from 0."""
    letters, place = "", place + 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
