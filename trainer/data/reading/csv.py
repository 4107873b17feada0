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
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from trainer.data.columns.encoding import floats
from trainer.data.columns.table import Column
from trainer.data.reading.contents import START, contents_of, known_contents
from trainer.data.reading.csvhead import Head, HeadError, Lines, doubt_of, read_head
from trainer.data.reading.files import refuse, unreadable
from trainer.data.reading.packed import DAMAGED, is_packed
from trainer.data.reading.texts import is_as_read, text_of
from trainer.errors import DataError, Problem
from trainer.machine import machine_memory
from trainer.spec.sources import CsvSource

SMALL: Final = 2**26
"""Bytes of a file that is read into memory to tell what is wrong with it."""
BLOCKS: Final = (2**20, 2**26)
"""Bytes that pyarrow parses at a time: few, or, if a row is longer, as many as a row may have."""

CP1252: Final = "write `encoding: cp1252` in the source, or what else it was saved in"
_GUESSED: Final = 20
"""Lines among which a header is looked for that is not the first one."""


@dataclass(frozen=True)
class CsvFile:
    """A text file whose cells are written as `form` says.

    `data` is its text in UTF-8 without a byte order mark; None for a file that stays on disk and
    is read once more by every method. `absent` are columns that it may lack, if it has no header.
    """

    path: Path
    form: CsvSource
    data: bytes | None = field(default=None, repr=False)
    absent: tuple[str, ...] = ()

    counts = "line"
    y = ()
    index = ()

    @property
    def label(self) -> str:
        """Its path, for messages."""
        return str(self.path)

    @property
    def missing(self) -> tuple[str, ...]:
        """The cells that stand for nothing."""
        return self.form.missing_values

    def loaded(self) -> CsvFile:
        """The same in memory. Raises `DataError` for a file that is empty or no text."""
        return self._with(self._first(None))

    def _small(self) -> CsvFile | None:
        """The same in memory, if it is small."""
        data = self._first(SMALL + 1)
        return self._with(data) if len(data) <= SMALL else None

    def _with(self, data: bytes) -> CsvFile:
        _check_text(data, self.path)
        return replace(self, data=data.removeprefix(codecs.BOM_UTF8))

    def _first(self, size: int | None) -> bytes:
        """So many bytes of the text, or all. Raises `DataError`."""
        import pyarrow as pa

        try:
            with text_of(self.path, self.form) as file:
                if size is not None:
                    return file.read(size)
                as_it_is = is_as_read(self.form) and not is_packed(self.path)
                return file.read() if as_it_is else _whole(file)
        except (MemoryError, pa.ArrowMemoryError):
            message, hint = "not enough memory to hold this file", "write `data.stream: true`"
            raise DataError(Problem("", message, hint, self.label, code="TR-D015")) from None
        except DAMAGED as error:
            raise DataError(unreadable(self.path, error)) from None

    def check_start(self) -> None:
        """Raises `DataError` for a file on disk that begins as no text does."""
        start = self._first(BLOCKS[0] + 1)
        more = len(start) > BLOCKS[0]
        if not is_packed(self.path):
            refuse(contents_of(self.path), self.path)
        _check_text(start.rpartition(b"\n")[0] or start if more else start, self.path)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, of which none stands twice. Raises `DataError`."""
        return self._head.names

    @property
    def raw_names(self) -> tuple[str, ...]:
        """The names as they are written."""
        return self._head.raw

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how the file is read."""
        return self._head.notes

    @cached_property
    def _head(self) -> Head:
        with _Rows(self) as rows:
            try:
                return read_head(rows.present(), self.form, rows.skipped, self.absent)
            except HeadError as error:
                raise DataError(
                    self._problem(error.line, error.message, error.hint, error.code)
                ) from None
            except csv.Error as error:
                raise DataError(self._misquoted(rows.done + 1, error)) from None
            except UnicodeDecodeError:
                self.loaded()  # which says where
                raise

    def doubt(self, wanted: Sequence[str]) -> Problem | None:
        """What may be wrong with the header, which lacks some of the wanted columns."""
        with _Rows(self) as rows:
            lines = list(islice(rows.lines, _GUESSED))
            found = doubt_of(lines, wanted, self.form, rows.skipped) if lines else None
            return found and self._problem(rows.skipped + 1, *found, "TR-D008")

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
                    read_options=self._reading(block),
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
                read_options=self._reading(block),
                parse_options=self._parsing,
                convert_options=self._conversion(types),
            ) as batches,
        ):
            for batch in batches:
                for name, kind in types.items():
                    if kind == pa.float64() and _has_nan(batch.column(name)):
                        raise pa.ArrowInvalid("a text that reads as no number")
                yield batch

    def _reading(self, block: int) -> Any:
        from pyarrow import csv as pacsv

        head = self._head
        return pacsv.ReadOptions(
            block_size=block,
            use_threads=False,
            column_names=list(head.names),
            skip_rows=max(0, head.line - 1) if head.header else head.line,
            skip_rows_after_names=int(head.header),
        )

    @cached_property
    def _parsing(self) -> Any:
        from pyarrow import csv as pacsv

        quote = self.form.quote
        return pacsv.ParseOptions(
            delimiter=self.form.separator,
            quote_char=False if quote == "none" else quote,
            newlines_in_values=self._quoted,
        )

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

        Those of a header in the first line do not count: `names` has seen to them.
        """
        mark, head = self.form.quote.encode(), self._head
        if self.form.quote == "none":
            return False
        one_line = head.header and head.end == 1
        if self.data is not None:
            quoted = self.data.find(mark, (self.data.find(b"\n") + 1) * one_line) >= 0
        else:
            with self._bytes() as file:
                start = file.read(BLOCKS[0])
                rest = iter(lambda: file.read(BLOCKS[0]), b"")
                first = start[(start.find(b"\n") + 1) * one_line :]
                quoted = any(mark in piece for piece in chain((first,), rest))
        if quoted:
            with _Rows(self) as rows:
                deque(rows.reader, maxlen=0)
        return quoted

    def _bytes(self) -> Any:
        """The text as a stream of bytes, to be entered; none of Python's if that can be, since
        pyarrow reads it in a thread that nothing waits for, and which should not need Python's lock
        while Python ends.
        """
        import pyarrow as pa

        if self.data is not None:
            return pa.BufferReader(self.data)
        if is_as_read(self.form) and not is_packed(self.path):
            return pa.OSFile(os.fsencode(self.path))
        return text_of(self.path, self.form)

    def cell(self, place: int, name: str) -> str | None:
        """Where a cell stands, which its line and column tell."""
        return None

    def records(self, names: Sequence[str]) -> Iterator[tuple[int, list[Any]] | Problem]:
        """Each row's line and its cells of these columns; a problem for what is no row.

        Raises `DataError` for a file that is no text.
        """
        if self.data is None:
            small = self._small()
            if small is not None:
                yield from small.records(names)
                return
        head = self._head
        if head.fault is not None:
            fault = head.fault
            yield self._problem(fault.line, fault.message, fault.hint, fault.code)
            return
        places = [head.names.index(name) for name in names]
        expected = f"expected {len(head.names)} cells" + " as in the header" * head.header
        count = 0
        with _Rows(self) as rows:
            try:
                for start, _, cells in rows.present():
                    if start <= head.end:
                        continue
                    count += 1
                    if len(cells) == len(head.names):
                        yield start, [cells[place] for place in places]
                    else:
                        message = f"{expected}, found {len(cells)}"
                        yield self._problem(start, message, None, "TR-D010")
            except csv.Error as error:
                yield self._misquoted(rows.done + 1, error)
                return
            except UnicodeDecodeError as error:
                line = rows.done + len((error.object[: error.start] + b"?").splitlines())
                message = f"the byte 0x{error.object[error.start]:02x} is not UTF-8"
                hint = _encoding_of(error.object[error.start :])
                yield self._problem(line, message, hint, "TR-D006")
                return
        if not count:
            yield self._problem(head.line, "the file has a header and no rows", None, "TR-D007")

    def _problem(self, line: int, message: str, hint: str | None, code: str) -> Problem:
        """A problem in a line of the file."""
        return Problem("", message, hint, str(self.path), line, code=code)

    def _misquoted(self, line: int, error: csv.Error) -> Problem:
        """The problem of the row that begins at `line`, where Python's reader stopped."""
        if isinstance(error, _LongLineError):
            hint = "is this a table, with a line for each row?"
            message = f"the line is longer than {BLOCKS[-1] // 2**20} MB"
            return self._problem(line, message, hint, "TR-D011")
        if "end of data" in str(error):
            message = "a quotation mark opens in this row and is never closed"
            return self._problem(line, message, None, "TR-D011")
        message = "a quoted cell in this row goes on after its closing quotation mark"
        hint = "write a quotation mark inside a quoted cell twice"
        return self._problem(line, message, hint, "TR-D011")

    @property
    def unknown(self) -> Problem:
        """The problem of a file in which no fault is found, though pyarrow refused it."""
        hint = f"is every row shorter than {BLOCKS[-1] // 2**20} MB?"
        return Problem("", "this file cannot be read as CSV", hint, str(self.path), code="TR-D004")


def _whole(file: IO[bytes]) -> bytes:
    """All bytes of a stream. Raises `MemoryError` where they would fill the memory, as what a small
    compressed file holds may do.
    """
    pieces, room = [], machine_memory() // 2  # they are joined at the end
    while piece := file.read(SMALL):
        pieces.append(piece)
        room -= len(piece)
        if room < 0:
            raise MemoryError
    return b"".join(pieces)


class _LongLineError(csv.Error):
    """A line is longer than any row may be."""


class _Rows:
    """Python's reader of all rows, which raises `csv.Error` for misplaced quotation marks and for
    lines that are longer than memory should be asked to hold.

    `done` is the last line of the rows that were read, and `skipped` those that are left out first.
    """

    def __init__(self, file: CsvFile) -> None:
        csv.field_size_limit(2**31 - 1)  # a setting of the whole process; the default is 128 KB
        self._file, self._stack, form = file, ExitStack(), file.form
        self.skipped = self.done = form.skip_lines
        self._how: dict[str, Any] = {"delimiter": form.separator, "strict": True}
        if form.quote == "none":
            self._how["quoting"] = csv.QUOTE_NONE
        else:
            self._how["quotechar"] = form.quote

    def __enter__(self) -> _Rows:
        file = self._file
        source: IO[bytes] = (
            io.BytesIO(file.data)
            if file.data is not None
            else self._stack.enter_context(text_of(file.path, file.form))
        )
        # newline="" leaves the line ends inside quoted cells as they are
        text = self._stack.enter_context(io.TextIOWrapper(source, "utf-8-sig", newline=""))
        self.lines = _bounded(text)
        deque(islice(self.lines, self.skipped), maxlen=0)
        self.reader = csv.reader(self.lines, **self._how)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def present(self) -> Lines:
        """The rows that are not empty: their first line, their last line, their cells."""
        for cells in self.reader:
            first, self.done = self.done + 1, self.skipped + self.reader.line_num
            if cells:
                yield first, self.done, cells


def _bounded(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a text. Raises `csv.Error` where one is too long to be a row."""
    most = BLOCKS[-1]
    while line := text.readline(most):
        if len(line) == most and not line.endswith(("\n", "\r")):
            raise _LongLineError
        yield line


def _has_nan(column: Any) -> bool:
    """Whether a number is NaN, which is written out where a null is meant."""
    return bool(np.isnan(floats(column, 0.0)).any())


def _check_text(data: bytes, path: Path) -> None:
    """Raises `DataError` for bytes that are none, binary, of another kind, or not in UTF-8."""

    def fail(
        message: str, hint: str | None, at: int | None = None, code: str = "TR-D006"
    ) -> DataError:
        line = None if at is None else len(data[: at + 1].splitlines())
        return DataError(Problem("", message, hint, str(path), line, code=code))

    refuse(known_contents(data[:START], path.name, io.BytesIO(data)), path)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise fail("this file is UTF-16", "write `encoding: utf-16` in the source")
    text = data.removeprefix(codecs.BOM_UTF8)
    if not text or text.isspace():
        raise fail("the file is empty", None, code="TR-D007")
    if b"\0" in data:
        raise fail(*_of_nul(data), data.index(b"\0"))
    at = _not_utf8(data)
    if at is not None:
        raise fail(f"the byte 0x{data[at]:02x} is not UTF-8", _encoding_of(data[at:]), at)


def _of_nul(data: bytes) -> tuple[str, str]:
    """What is said of a text with NUL bytes, half of which are in UTF-16."""
    start = data[: START // 2 * 2]
    for encoding, there in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if 4 * there.count(0) > 3 * len(there):
            message = "a NUL byte stands here: the file is UTF-16 without a mark that says so"
            return message, f"write `encoding: {encoding}` in the source"
    return "a NUL byte stands here: the file is binary", "save the table as CSV"


def _encoding_of(data: bytes) -> str:
    """What to do about bytes, of which the first is not UTF-8."""
    try:
        data[:4].decode()
    except UnicodeDecodeError as error:
        if len(data) < 4 and "unexpected end" in error.reason:
            return "the file ends within a character: is it whole?"
    with suppress(UnicodeDecodeError):
        data[:START].decode("cp1252")
        return CP1252
    return "write `encoding: …` in the source: as it was saved"


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
