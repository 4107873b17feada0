"""How a file is written: the keys of `data.source`, found in its name and its first lines."""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainer.data.columns.cells import looks_numeric
from trainer.data.columns.table import listing, show
from trainer.data.reading.contents import contents_of
from trainer.data.reading.csvhead import DELIMITERS, looks_like_row
from trainer.data.reading.files import check_named, refuse, unreadable
from trainer.data.reading.formats import kind_of
from trainer.data.reading.packed import DAMAGED, is_packed, opened
from trainer.data.reading.workbooks import opened_workbook
from trainer.errors import DataError, UsageError
from trainer.spec.names import clean_name

_START: Final = 2**18
"""Bytes that are looked at to see how a file is written."""
_LINES: Final = 200
_FEW: Final = 5
"""Rows that say too little of what is odd."""
_ABOVE: Final = 30
"""So many rows may stand above the names of the columns."""
_MARKS: Final = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_ENDS: Final = re.compile(r"\r\n|\r|\n")
_ALIKE: Final = 0.8
"""The share of lines with as many cells from which on a delimiter is taken for one."""


@dataclass
class Source:
    """The keys of a source, in their order; why some of them are there; and lines that are odd."""

    keys: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)


def source_of(path: Path, folder: Path, target: str | None = None) -> Source:
    """How the spec in `folder` names the file, and says how it is written. The names of the columns
    stand where the `target` is one of them.

    Raises `DataError` for what is no file or cannot be read, `UsageError` for two files in one.
    """
    check_named(path)
    kind = kind_of(path)
    if kind == "npy":
        message = f"'{path}' is an array without a target beside it"
        hint = "write a spec with `source: {npy: x.npy, y: y.npy}`, or save both in an .npz file"
        raise UsageError(f"{message}\n  hint: {hint}", code="TR-U012")
    source = Source({kind: os.path.relpath(path, folder).replace(os.sep, "/")})
    if kind == "csv":
        _look(source, path, target)
    elif kind == "excel" and target is not None:
        _look_at_sheets(source, path, target)
    return source


def _look_at_sheets(source: Source, path: Path, target: str) -> None:
    """Adds which sheet has the target among its names, and how many rows stand above these."""
    with opened_workbook(path) as book:
        for number, sheet in enumerate(book.worksheets):
            rows = [
                ["" if cell is None else str(cell) for cell in cells]
                for cells in sheet.iter_rows(max_row=_ABOVE + _LINES, values_only=True)
            ]
            for above in range(min(len(rows), _ABOVE)):
                if not _names(rows[above:], target):
                    continue
                if number:
                    source.keys["sheet"] = sheet.title
                    source.why["sheet"] = f"there is the column {show(target)}"
                if above:
                    source.keys["skip_lines"] = above
                    source.why["skip_lines"] = "the names stand below"
                return


def _names(rows: Sequence[Sequence[str]], target: str) -> bool:
    """Whether the first row names columns, the target among them: no two cells are alike, half of
    them are no values, and none stands in its column again.
    """
    names = [clean_name(cell) for cell in rows[0]]
    present = [name for name in names if name]
    if clean_name(target) not in present or len({*present}) < len(present):
        return False
    again = (name and name in map(clean_name, cells[i : i + 1])
             for cells in rows[1:] for i, name in enumerate(names))  # fmt: skip
    return not looks_like_row(rows[0]) and not any(again)


def _look(source: Source, path: Path, target: str | None) -> None:
    """Adds how a text file is written, where that is not plain."""
    try:
        if not is_packed(path):
            refuse(contents_of(path), path)
        with opened(path) as file:
            start = file.read(_START)
    except DAMAGED as error:
        raise DataError(unreadable(path, error)) from None
    encoding = _encoding(start)
    if encoding != "utf-8":
        source.keys["encoding"] = encoding
        source.why["encoding"] = "the bytes are no UTF-8"
    text = start.decode(encoding, "replace")
    lines = _ENDS.split(text)[:_LINES]  # a text has more ways to end a line than a file has
    if len(start) == _START:
        lines = lines[:-1] or lines
    _look_at_lines(source, lines, "\t" if ".tsv" in path.suffixes else ",", target)


def _encoding(start: bytes) -> str:
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    try:  # the last character may be cut
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _look_at_lines(source: Source, lines: Sequence[str], default: str, target: str | None) -> None:
    comments = [i for i, line in enumerate(lines) if line.startswith("#")]
    if comments and len(comments) < len(lines) / 2 and comments[0] == 0:
        source.keys["comment"] = "#"
        lines = [line for line in lines if not line.startswith("#")]
    delimiter, rows = _delimiter(lines, default)
    if delimiter != default:
        source.keys["delimiter"] = delimiter
    width = Counter(len(cells) for _, cells in rows).most_common(1)[0][0] if rows else 0
    first = next((i for i, (_, cells) in enumerate(rows) if len(cells) == width), 0)
    why = "what stands above has other cells than the table"
    named = False
    if target is not None and rows:
        named = clean_name(target) in map(clean_name, rows[first][1])
        table = [cells for _, cells in rows]
        below = range(first + 1, min(len(rows), first + 1 + _ABOVE))
        found = next((i for i in below if _names(table[i:], target)), None)
        if not named and found is not None and len(table[found]) == width:
            named, first, why = True, found, "the names stand below"
    if first and "comment" not in source.keys:
        source.keys["skip_lines"] = rows[first][0]
        source.why["skip_lines"] = why
    if rows and not named and looks_like_row(rows[first][1]):
        source.keys["header"] = False
        source.why["header"] = "the first line looks like data; `names: […]` names the columns"
    elif words := _words_above(rows[first + 1 :]):
        source.odd[f"line {rows[first + 1][0] + 1}"] = (
            f"holds words where numbers stand below, {listing(list(map(show, words)), 3)}: units, "
            "or other names? delete it, or it counts as a row without these"
        )


def _words_above(rows: Sequence[tuple[int, list[str]]]) -> list[str]:
    """The cells of the first row, if it holds words alone, several where numbers stand below."""
    if len(rows) < _FEW or any(looks_numeric(cell) for cell in rows[0][1]):
        return []
    below = [cells for _, cells in rows[1:]]
    words = [
        cell for i, cell in enumerate(rows[0][1])
        if cell.strip() and _share_of_numbers(below, i) >= _ALIKE
    ]  # fmt: skip
    return words if len(words) > 1 else []


def _share_of_numbers(rows: Sequence[Sequence[str]], place: int) -> float:
    return sum(place < len(cells) and looks_numeric(cells[place]) for cells in rows) / len(rows)


def _delimiter(lines: Sequence[str], default: str) -> tuple[str, list[tuple[int, list[str]]]]:
    """What stands between cells, and the rows: the line before each, and its cells."""
    best, found = default, _rows(lines, default)
    score = _score(found)
    for each in (*DELIMITERS[:4], "blanks"):
        rows = _rows(lines, each)
        better = _score(rows)
        if better[0] >= _ALIKE and better > score:
            best, found, score = each, rows, better
    return best, found


def _rows(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    if delimiter == "blanks":
        return [(i, line.split()) for i, line in enumerate(lines) if line.strip()]
    reader, rows, before = csv.reader(lines, delimiter=delimiter), [], 0
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((before, cells))
            before = reader.line_num
    except csv.Error:
        return []
    return rows


def _score(rows: Sequence[tuple[int, list[str]]]) -> tuple[float, int]:
    """How many rows have as many cells as most have, and how many these are; several are wanted."""
    widths = Counter(len(cells) for _, cells in rows)
    width, count = max(widths.items(), key=lambda item: item[1], default=(0, 0))
    return (count / len(rows), width) if width > 1 else (0.0, width)
