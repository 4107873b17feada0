"""CSV files, read by pyarrow, whole in memory or block by block from disk.

pyarrow parses columns of numbers straight to float64 and all others as texts. What it refuses is
looked for by Python's own reader, slowly and with line numbers (`records`, `faults.py`). Files
with quotation marks are always checked by that reader too: pyarrow takes a mark that is never
closed for a cell that holds all further rows.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.data.columns.encoding import floats
from trainer.data.columns.table import Column, show
from trainer.data.reading.files import COMPRESSED, open_bytes, read_bytes, unreadable
from trainer.errors import DataError, Problem

SMALL: Final = 2**26
"""Bytes of a file that is read into memory to tell what is wrong with it."""
BLOCKS: Final = (2**20, 2**26)
"""Bytes that pyarrow parses at a time: few, or, if a row is longer, as many as a row may have."""

_SAVE = "save the table as CSV in UTF-8"


@dataclass(frozen=True)
class CsvFile:
    """A text file with a header line. `missing` are the cells that stand for nothing.

    `data` is its text in UTF-8 without a byte order mark; None for a file that stays on disk and
    is read once more by every method.
    """

    path: Path
    delimiter: str
    missing: tuple[str, ...]
    data: bytes | None = field(default=None, repr=False)

    counts = "line"
    y = ()

    @property
    def label(self) -> str:
        """Its path, for messages."""
        return str(self.path)

    def loaded(self) -> CsvFile:
        """The same in memory. Raises `DataError` for a file that is empty or no text in UTF-8."""
        data = read_bytes(self.path)
        _check_text(data, self.path)
        return replace(self, data=data.removeprefix(codecs.BOM_UTF8))

    def check_start(self) -> None:
        """Raises `DataError` for a file on disk that begins as no text in UTF-8 does."""
        try:
            with self._bytes() as file:
                start, more = file.read(BLOCKS[0]), file.read(1)
        except OSError as error:  # of the system, or of what decompresses
            raise DataError(unreadable(self.path, error)) from None
        _check_text(start.rpartition(b"\n")[0] or start if more else start, self.path)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, of which none stands twice. Raises `DataError`."""
        with self._rows() as rows:
            try:
                names: list[str] = next(rows.reader, [])
            except csv.Error as error:
                raise DataError(self._misquoted(1, error)) from None
            except UnicodeDecodeError:
                self.loaded()  # which says where
                raise
        if not names:
            message = "expected the names of the columns, found an empty line"
            raise DataError(self._problem(1, message))
        repeated = [name for name, count in Counter(names).items() if count > 1 and name]
        if repeated:
            times = names.count(repeated[0])
            message = f"the column {show(repeated[0])} stands {times} times in the header"
            raise DataError(self._problem(1, message, "give each column its own name"))
        return tuple(names)

    @cached_property
    def types(self) -> dict[str, Any]:
        """The pyarrow types of the columns: all hold texts."""
        import pyarrow as pa

        return dict.fromkeys(self.names, pa.string())

    def whole(self, types: Mapping[str, Any]) -> Any:
        """The columns of these pyarrow types as one table, of a file in memory.

        Raises `ValueError` when pyarrow refuses the file, and `csv.Error` for misplaced quotation
        marks.
        """
        import pyarrow as pa
        from pyarrow import csv as pacsv

        for block in BLOCKS:
            with suppress(pa.ArrowException):
                return pacsv.read_csv(
                    pa.py_buffer(self.data),
                    # threads would parse the whole file before most of it has become numbers
                    read_options=pacsv.ReadOptions(block_size=block, use_threads=False),
                    parse_options=self._parsing,
                    convert_options=self._conversion(types),
                )
        raise ValueError

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns as record batches of one block each: numbers as float64, others as texts.

        Where a number is not written plainly, the rest of the file is all texts. Raises
        `ValueError`, `csv.Error` and `OSError` for what cannot be read.
        """
        import pyarrow as pa

        names = [column.name for column in columns]
        texts = dict.fromkeys(names, pa.string())
        plain = [c.name for c in columns if c.kind == "numeric" and c.notation.has_plain_numbers]
        floats = dict.fromkeys(plain, pa.float64())
        attempts = [(block, types) for block in BLOCKS for types in (texts | floats, texts)]
        done = 0
        for block, types in attempts if floats else attempts[::2]:
            skip = done
            try:
                for batch in self._blocks(types, block):
                    if batch.num_rows > skip:
                        rest = batch.slice(skip)
                        done += rest.num_rows
                        yield rest
                    skip = max(0, skip - batch.num_rows)
                return
            except pa.ArrowException:
                continue
        raise ValueError

    def _blocks(self, types: Mapping[str, Any], block: int) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import csv as pacsv

        with (
            self._bytes() as source,
            pacsv.open_csv(
                source,
                read_options=pacsv.ReadOptions(block_size=block, use_threads=False),
                parse_options=self._parsing,
                convert_options=self._conversion(types),
            ) as batches,
        ):
            for batch in batches:
                for name, kind in types.items():
                    if kind == pa.float64() and _has_nan(batch.column(name)):
                        raise pa.ArrowInvalid("a text that reads as no number")
                yield batch

    @cached_property
    def _parsing(self) -> Any:
        from pyarrow import csv as pacsv

        return pacsv.ParseOptions(delimiter=self.delimiter, newlines_in_values=self._quoted)

    def _conversion(self, types: Mapping[str, Any]) -> Any:
        from pyarrow import csv as pacsv

        return pacsv.ConvertOptions(
            include_columns=list(types),
            column_types=dict(types),
            null_values=["", *self.missing],
            strings_can_be_null=True,
        )

    @cached_property
    def _quoted(self) -> bool:
        """Whether there are quotation marks, which then all have a partner, or `csv.Error`.

        Those in the first line do not count: `names` has seen to them.
        """
        if self.data is not None:
            quoted = self.data.find(b'"', self.data.find(b"\n") + 1) >= 0
        else:
            with self._bytes() as file:
                start = file.read(BLOCKS[0])
                rest = iter(lambda: file.read(BLOCKS[0]), b"")
                first = start[start.find(b"\n") + 1 :]
                quoted = any(b'"' in piece for piece in chain((first,), rest))
        if quoted:
            with self._rows() as rows:
                deque(rows.reader, maxlen=0)
        return quoted

    def _bytes(self) -> Any:
        """The text as a stream of bytes: none of Python's, since pyarrow reads it in a thread that
        nothing waits for, and which must not need Python's lock while Python ends.
        """
        import pyarrow as pa

        if self.data is not None:
            return pa.BufferReader(self.data)
        plain = self.path.suffix.lower() not in COMPRESSED
        return pa.OSFile(os.fsencode(self.path)) if plain else open_bytes(self.path)

    def _rows(self) -> _Rows:
        source = open_bytes(self.path) if self.data is None else io.BytesIO(self.data)
        return _Rows(source, self.delimiter)

    def records(self, names: Sequence[str]) -> Iterator[tuple[int, list[Any]] | Problem]:
        """Each row's line and its cells of these columns; a problem for what is no row.

        Raises `DataError` for a file that is no text.
        """
        if self.data is None and self.path.stat().st_size <= SMALL:
            yield from self.loaded().records(names)
            return
        places = [self.names.index(name) for name in names]
        with self._rows() as rows:
            reader = rows.reader
            next(reader)
            end, count = reader.line_num, 0
            try:
                for cells in reader:
                    start, end = end + 1, reader.line_num
                    if not cells:
                        continue
                    count += 1
                    if len(cells) == len(self.names):
                        yield start, [cells[place] for place in places]
                        continue
                    message = f"expected {len(self.names)} cells as in the header"
                    yield self._problem(start, f"{message}, found {len(cells)}")
            except csv.Error as error:
                yield self._misquoted(end + 1, error)
                return
            except UnicodeDecodeError as error:
                line = end + len((error.object[: error.start] + b"?").splitlines())
                message = f"the byte 0x{error.object[error.start]:02x} is not UTF-8"
                yield self._problem(line, message, _SAVE)
                return
        if not count:
            yield self._problem(1, "the file has a header and no rows")

    def _problem(self, line: int, message: str, hint: str | None = None) -> Problem:
        """A problem in a line of the file."""
        return Problem("", message, hint, str(self.path), line)

    def _misquoted(self, line: int, error: csv.Error) -> Problem:
        """The problem of the row that begins at `line`, where Python's reader stopped."""
        if "end of data" in str(error):
            return self._problem(line, "a quotation mark opens in this row and is never closed")
        message = "a quoted cell in this row goes on after its closing quotation mark"
        return self._problem(line, message, "write a quotation mark inside a quoted cell twice")

    @property
    def unknown(self) -> Problem:
        """The problem of a file in which no fault is found, though pyarrow refused it."""
        hint = f"is every row shorter than {BLOCKS[-1] // 2**20} MB?"
        return Problem("", "this file cannot be read as CSV", hint, str(self.path))


class _Rows:
    """Python's reader of all rows, which raises `csv.Error` for misplaced quotation marks."""

    def __init__(self, source: Any, delimiter: str) -> None:
        csv.field_size_limit(2**31 - 1)  # a setting of the whole process; the default is 128 KB
        # newline="" leaves the line ends inside quoted cells as they are
        self._text = io.TextIOWrapper(source, "utf-8-sig", newline="")
        self.reader = csv.reader(self._text, delimiter=delimiter, strict=True)

    def __enter__(self) -> _Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()


def _has_nan(column: Any) -> bool:
    """Whether a number is NaN, which is written out where a null is meant."""
    return bool(np.isnan(floats(column, 0.0)).any())


def _check_text(data: bytes, path: Path) -> None:
    """Raises `DataError` for bytes that are none, binary, or not in UTF-8."""

    def fail(message: str, hint: str | None, at: int | None = None) -> DataError:
        line = None if at is None else len(data[: at + 1].splitlines())
        return DataError(Problem("", message, hint, str(path), line))

    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise fail("this file is UTF-16", _SAVE)
    text = data.removeprefix(codecs.BOM_UTF8)
    if not text or text.isspace():
        raise fail("the file is empty", None)
    if b"\0" in data:
        message = "a NUL byte stands here: the file is binary or UTF-16"
        raise fail(message, _SAVE, data.index(b"\0"))
    at = _not_utf8(data)
    if at is not None:
        raise fail(f"the byte 0x{data[at]:02x} is not UTF-8", _SAVE, at)


def _not_utf8(data: bytes) -> int | None:
    """Where the first byte stands that is not UTF-8. The text is never there as a whole."""
    if data.isascii():
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), BLOCKS[0]):
        end = min(start + BLOCKS[0], len(data))
        try:
            decoder.decode(data[start:end], final=end == len(data))
        except UnicodeDecodeError as error:
            # its object begins with what was left of a character that the last piece cut
            return end - len(error.object) + error.start
    return None
