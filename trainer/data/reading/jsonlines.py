"""JSON lines: an object a line, whose values are cells as in CSV files."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias

from trainer.data.columns.arrow import arrow_texts
from trainer.data.columns.notation import Notation
from trainer.data.columns.table import Column, show
from trainer.data.reading.contents import contents_of
from trainer.data.reading.files import refuse, unreadable
from trainer.data.reading.packed import DAMAGED, is_packed, opened
from trainer.data.reading.tablefile import CELLS, ROWS, BinaryFile, Record
from trainer.errors import DataError, Problem
from trainer.spec.messages import describe
from trainer.spec.names import clean_name

LONGEST: Final = 2**26
"""Characters that a line may have."""

Row: TypeAlias = Mapping[str, Any]


class _Number(str):
    """A number as it stands in the file."""


class _LineError(Exception):
    """A line is no row: what is wrong, and what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class JsonLinesFile(BinaryFile):
    """A file with an object a line, which is read once more by every method.

    Cells are the texts that stand in the file: a number as it is written, true and false as these
    words. null, NaN and a key that is not there are missing cells.
    """

    path: Path
    counts = "line"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All keys, in the order in which they come. Raises `DataError`."""
        if not is_packed(self.path):
            contents = contents_of(self.path)
            refuse(contents if contents and "JSON" not in contents.what else None, self.path)
        names: dict[str, None] = {}
        for row in self._rows():
            if isinstance(row, Problem):
                raise DataError(row)
            names.update(dict.fromkeys(row[1]))
        if not names:
            raise DataError(Problem("", "the file has no rows", None, self.label, code="TR-D007"))
        self.check_names(list(names))
        return tuple(names)

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns: all hold texts."""
        import pyarrow as pa

        return dict.fromkeys(self.names, pa.string())

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns, up to `ROWS` rows at a time. Raises `DataError`."""
        import pyarrow as pa

        chosen = {column.name: column for column in reversed(columns)}
        records = self._cells(list(chosen))
        size = max(1, min(ROWS, CELLS // max(1, len(chosen))))
        while rows := list(islice(records, size)):
            cells = []
            for row in rows:
                if isinstance(row, Problem):
                    raise DataError(row)
                cells.append(row[1])
            arrays = [
                arrow_texts(_in_notation(texts, column.notation))
                for texts, column in zip(zip(*cells, strict=True), chosen.values(), strict=True)
            ]
            yield pa.record_batch(arrays, names=list(chosen))

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Each row's line and its cells of these columns, of which numbers are such; a problem for
        what is no row.
        """
        for row in self._cells(names):
            yield row if isinstance(row, Problem) else (row[0], [*map(_value, row[1])])

    def _cells(self, names: Sequence[str]) -> Iterator[tuple[int, list[str | None]] | Problem]:
        """Each row's line and the texts of its cells."""
        count = 0
        for row in self._rows():
            count += 1
            if isinstance(row, Problem):
                yield row
                continue
            line, values = row
            cells: list[str | None] = []
            try:
                cells.extend(_text(values.get(name)) for name in names)
                yield line, cells
            except _LineError as error:
                where = f"column {show(names[len(cells)])}"
                yield Problem(where, error.message, error.hint, self.label, line, code="TR-D012")
        if not count:
            yield Problem("", "the file has no rows", None, self.label, code="TR-D007")

    def _rows(self) -> Iterator[tuple[int, Row] | Problem]:
        """Each object with its line. Raises `DataError` for what cannot be read at all."""
        line = 0
        try:
            with opened(self.path) as file, io.TextIOWrapper(file, "utf-8-sig") as lines:
                while text := lines.readline(LONGEST):
                    line += 1
                    if len(text) == LONGEST:
                        raise _LineError(f"the line is longer than {LONGEST // 2**20} MB")
                    if not text.isspace():
                        yield line, _object(text)
        except _LineError as error:
            yield Problem("", error.message, error.hint, self.label, line, code="TR-D012")
        except UnicodeDecodeError as error:
            message = f"the byte 0x{error.object[error.start]:02x} is not UTF-8"
            yield Problem(
                "", message, "save the file in UTF-8", self.label, line + 1, code="TR-D006"
            )
        except DAMAGED as error:
            raise DataError(unreadable(self.path, error)) from None


def _object(text: str) -> Row:
    """The object in a line. Raises `_LineError`."""
    try:
        found = _DECODER.decode(text.strip())
    except json.JSONDecodeError as error:
        hint = 'write an object on each line, as {"a": 1, "y": 2}'
        raise _LineError(f"this is no JSON: {error.msg} (column {error.colno})", hint) from None
    except RecursionError:
        raise _LineError("this is nested too deeply") from None
    if not isinstance(found, dict):
        message = f"expected an object, found {describe(found)}"
        raise _LineError(message, 'write {"name": value, …}')
    return found


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = {clean_name(name): value for name, value in pairs}
    if len(row) < len(pairs):
        names = [clean_name(name) for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _LineError(f"the key {show(twice)} stands {names.count(twice)} times")
    return row


_DECODER: Final = json.JSONDecoder(
    parse_float=_Number,
    parse_int=_Number,
    parse_constant=lambda name: None if name == "NaN" else name,
    object_pairs_hook=_pairs,
)


def _is_cell(value: Any) -> bool:
    return value is None or isinstance(value, str | bool)


def _text(value: Any) -> str | None:
    """A cell as its text. Raises `_LineError` for lists and objects."""
    if isinstance(value, bool):
        return str(value).lower()
    if not _is_cell(value):
        hint = "leave the column out, or write a column for each of its values"
        raise _LineError(f"expected a number or a text, found {describe(value)}", hint)
    return value if value is None or value.isascii() else _whole(value)


def _in_notation(texts: Sequence[str | None], notation: Notation) -> Sequence[str | None]:
    """The texts of a column, whose numbers are all written in one way."""
    if notation.has_plain_numbers:
        return texts
    return [notation.written(text) if isinstance(text, _Number) else text for text in texts]


def _value(text: str | None) -> str | float | None:
    """A cell as a number, if it is one that float64 can hold."""
    number = float(text) if isinstance(text, _Number) else math.nan
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _LineError("the text holds half of a character, as \\ud800 is") from None
    return text
