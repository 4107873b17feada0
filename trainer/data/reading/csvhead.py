"""The first lines of a CSV file: what its columns are called, and what is odd about them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from trainer.data.columns.cells import looks_numeric
from trainer.data.columns.dates import days_of
from trainer.data.columns.table import show
from trainer.data.reading.tablefile import show_visible
from trainer.spec.names import clean_name, collisions
from trainer.spec.sources import CsvSource

DELIMITERS: Final = (",", ";", "\t", "|", ":")


class HeadError(Exception):
    """The first lines are not as the source says: where, what is wrong, what to do, the code."""

    def __init__(
        self, line: int, message: str, hint: str | None = None, code: str = "TR-D008"
    ) -> None:
        super().__init__(message)
        self.line, self.message, self.hint, self.code = line, message, hint, code


@dataclass(frozen=True)
class Head:
    """What the first lines say.

    `names` are those of the columns, and `raw` as they are written. The header, if there is one,
    begins in the line `line` and ends in the line `end`; without one both are the line before the
    first row. `fault` says what is wrong with all rows.
    """

    names: tuple[str, ...]
    raw: tuple[str, ...]
    line: int
    end: int
    header: bool
    notes: tuple[str, ...] = ()
    fault: HeadError | None = None


Lines: TypeAlias = Iterator[tuple[int, int, list[str]]]
"""Rows that are not empty: their first line, their last line, their cells."""


def read_head(rows: Lines, form: CsvSource, skipped: int, absent: Sequence[str] = ()) -> Head:
    """What the first rows say; `absent` are columns that a file without a header may lack.

    Raises `HeadError`, and what reading rows raises.
    """
    line, end, first = next(rows, (skipped + 1, skipped + 1, []))
    if not first or (line > skipped + 1 and not form.comment and form.header):
        expected = "the names of the columns" if form.header else "a row"
        raise HeadError(skipped + 1, f"expected {expected}, found an empty line")
    if not form.header:
        return _without_header(first, line, end, form, absent)
    second = _second(rows)
    return _with_header(first, second, line, end, form)


def _second(rows: Lines) -> list[str]:
    """The row after the header, which may be at fault: that is told where rows are read."""
    with suppress(csv.Error, UnicodeDecodeError):
        return next(rows, (0, 0, []))[2]
    return []


def _without_header(
    first: list[str], line: int, end: int, form: CsvSource, absent: Sequence[str]
) -> Head:
    made = [f"column_{i}" for i in range(1, len(first) + 1)]
    names = list(form.names or made)
    if len(first) != len(names) and len(names) - len(first) == len(absent):
        names = [name for name in names if name not in absent]
    if len(first) != len(names):
        message = f"expected {len(names)} cells, one for each of the names, found {len(first)}"
        raise HeadError(line, message, _doubt_of_cells(first, form), "TR-D010")
    cleaned = [clean_name(cell) for cell in first]
    if cleaned == names or (form.names and set(cleaned) <= {*form.names}):  # it has one after all
        return Head(tuple(cleaned), tuple(first), line, end, True)
    return Head(tuple(names), tuple(names), line - 1, line - 1, False)


def _with_header(first: list[str], second: list[str], line: int, end: int, form: CsvSource) -> Head:
    notes, fault = [], None
    if len(first) > 1 and not first[-1].strip() and len(second) == len(first) - 1:
        notes.append("the header ends in a delimiter and the rows do not: the name is left out")
        first = first[:-1]
    elif len(second) == len(first) + 1 and (len(first) > 1 or not second[-1].strip()):
        fault = _longer(first, second, end + 1, form)
    names = tuple(map(clean_name, first))
    _check_different(first, names, line, second, form)
    return Head(names, tuple(first), line, end, True, tuple(notes), fault)


def _longer(first: list[str], second: list[str], line: int, form: CsvSource) -> HeadError:
    """What is said of rows that have one cell more than the header."""
    count = f"the header has {len(first)} cells, the first row {len(second)}"
    if not second[-1].strip():
        hint = "let the header end in one too, and choose columns with `data.features`"
        message = f"{count}: rows end in a delimiter, the header does not"
        return HeadError(line, message, hint, "TR-D010")
    hint = "write one, as `row,…`, and choose columns with `data.features`"
    if form.separator == ",":
        hint = f"{hint}; or is a decimal comma among the cells?"
    return HeadError(line, f"{count}: has the first column no name?", hint, "TR-D010")


def _check_different(
    raw: Sequence[str], names: Sequence[str], line: int, second: Sequence[str], form: CsvSource
) -> None:
    """Raises `HeadError` where two columns have one name."""
    repeated = [name for name, count in Counter(raw).items() if count > 1 and name.strip()]
    if repeated and looks_like_row(raw):
        raise HeadError(line, *_no_names(form))
    if repeated:
        times = list(raw).count(repeated[0])
        message = f"the column {show(repeated[0])} stands {times} times in the header"
        raise HeadError(line, message, "give each column its own name", "TR-D009")
    alike = collisions(raw)
    if alike:
        both = " and ".join(map(show_visible, alike[0]))
        message = f"the names {both} differ in nothing that can be seen"
        raise HeadError(line, message, "give each column its own name", "TR-D009")


# Doubts ------------------------------------------------------------------------------------------


def looks_like_row(cells: Sequence[str]) -> bool:
    """Whether cells look like a row of data rather than like names: half of them are values."""
    present = [cell for cell in cells if cell.strip()]
    values = [cell for cell in present if looks_numeric(cell) or days_of(cell.strip()) is not None]
    return 2 * len(values) >= len(present) > 0


def doubt_of(
    lines: Sequence[str], wanted: Sequence[str], form: CsvSource, skipped: int
) -> tuple[str, str] | None:
    """What may be wrong with a header that lacks wanted columns: a message and a hint; None where
    nothing is odd about it. `lines` are the first ones that are not skipped.
    """
    first = lines[0]
    named = re.match(r"(?i)sep=(.)\s*$", first)
    if named:
        hint = f"write `skip_lines: 1` and `delimiter: {_quoted(named[1])}` in the source"
        return "the first line is a note for Excel, not the header", hint
    for delimiter in (*DELIMITERS, "blanks"):
        names = {clean_name(cell) for cell in _split(first, delimiter, form)}
        if delimiter != _own(form) and set(wanted) <= names and len(names) > 1:
            message = f"the names stand between {_between(delimiter)}"
            return message, f"write `delimiter: {_quoted(delimiter)}` in the source"
    for i, line in enumerate(lines[1:], skipped + 1):
        if set(wanted) <= {clean_name(cell) for cell in _split(line, _own(form), form)}:
            return f"the names stand in line {i + 1}", f"write `skip_lines: {i}` in the source"
    cells = _split(first, _own(form), form)
    best = max((*DELIMITERS, "blanks"), key=lambda each: len(_split(first, each, form)))
    other = best != _own(form) and (len(cells) == 1 or "" in map(str.strip, cells))
    if looks_like_row(_split(first, best, form) if other else cells):
        return _no_names(form, best if other else None)
    if other and _own(form) == " ":
        message = "several blanks stand between names"
        return message, "write `delimiter: blanks` in the source"
    return None


def _doubt_of_cells(cells: Sequence[str], form: CsvSource) -> str | None:
    """What to do about a first row with another number of cells than there are names."""
    if form.separator == " " and "" in cells:
        return "write `delimiter: blanks` for several blanks between cells"
    best = max((*DELIMITERS, "blanks"), key=lambda each: len(_split(cells[0], each, form)))
    if len(cells) == 1 and len(_split(cells[0], best, form)) == len(form.names or ()):
        return f"write `delimiter: {_quoted(best)}` in the source"
    return None


def _no_names(form: CsvSource, delimiter: str | None = None) -> tuple[str, str]:
    message = "the first line looks like data: are the names missing?"
    also = ""
    if delimiter == "blanks":
        message, also = f"{message} Several blanks stand between cells", "`delimiter: blanks`, "
    elif delimiter:
        message = f"{message} Cells stand between {_between(delimiter)}"
        also = f"`delimiter: {_quoted(delimiter)}`, "
    return message, f"write {also}`header: false` and `names: […]` in the source"


def _own(form: CsvSource) -> str:
    return form.delimiter or form.separator


def _split(line: str, delimiter: str, form: CsvSource) -> list[str]:
    """The cells of a line, were they delimited so."""
    if delimiter == "blanks":
        return line.split()
    quote = None if form.quote == "none" else form.quote
    with suppress(csv.Error):
        return next(csv.reader([line], delimiter=delimiter, quotechar=quote), [])
    return []


def _between(delimiter: str) -> str:
    return {"blanks": "blanks", "\t": "tabs", " ": "blanks"}.get(delimiter, f"'{delimiter}'")


def _quoted(delimiter: str) -> str:
    if delimiter == "blanks":
        return delimiter
    return r'"\t"' if delimiter == "\t" else f'"{delimiter}"'
