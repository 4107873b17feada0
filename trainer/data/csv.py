"""CSV files, read by pyarrow; what is wrong with one is found and told cell by cell.

pyarrow parses the columns that are needed straight to float64. Only when it refuses, or hands
back an empty or non-finite cell, does Python's own reader go through the file, slowly and with
line numbers, to say where the fault is. Files with quotation marks are always checked by that
reader too: pyarrow takes a mark that is never closed for a cell that holds all further rows.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import stat
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.data.table import Label, Table, choose, encode_classes, show
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.messages import near
from trainer.spec.schema import CsvSource, Spec

MAX_FAULTS: Final = 5
BLOCKS: Final = (2**20, 2**26)
"""Bytes that pyarrow parses at a time: few, or, if a row is longer, as many as a row may have."""

_SAVE = "save the table as CSV in UTF-8"
_NUMBER = re.compile(r"[ \t]*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?[ \t]*\Z", re.ASCII)
_NOT_FINITE = re.compile(r"[ \t]*[-+]?(nan|inf|infinity)[ \t]*\Z", re.IGNORECASE)
# Labels that are numbers; codes such as 007 and digits that float64 cannot hold stay texts.
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})\Z", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9]\d{0,14}|(?=\.\d))(\.\d*)?([eE][-+]?\d{1,2})?\Z", re.ASCII)


@dataclass(frozen=True)
class _File:
    """A CSV file in memory: UTF-8 without a byte order mark."""

    path: Path
    data: bytes
    delimiter: str

    def reader(self) -> Any:
        """Python's reader of all rows, which raises `csv.Error` for misplaced quotation marks."""
        csv.field_size_limit(2**31 - 1)  # a setting of the whole process; the default is 128 KB
        # newline="" leaves the line ends inside quoted cells as they are
        text = io.TextIOWrapper(io.BytesIO(self.data), "utf-8", newline="")
        return csv.reader(text, delimiter=self.delimiter, strict=True)

    def problem(
        self, line: int | None, message: str, hint: str | None = None, column: str | None = None
    ) -> Problem:
        where = "" if column is None else f"column {show(column)}"
        return Problem(where, message, hint, str(self.path), line)


def read_csv(source: CsvSource, spec: Spec) -> Table:
    """The file's chosen columns as a table.

    The file is read once into memory, so that what is hashed is what trains. Raises `DataError`
    with the first faults found: where in the file, what was expected, what stands there.
    """
    path = Path(spec.file).parent / source.csv if spec.file else Path(source.csv)
    file = _File(path, _read(path, spec), source.delimiter)
    header = _header(file, spec)
    features, target = choose(header, spec)
    is_class = spec.model.loss == "logistic"
    try:
        columns = _parse(file, features, target, is_class)
        classes_found, codes = _labels(columns[target]) if is_class else ([], None)
    except (ValueError, csv.Error):
        advice = dict.fromkeys(features, "choose numeric columns with `data.features`")
        advice[target] = "use `loss: logistic` if the column names classes"
        labels = target if is_class else None
        faults = list(islice(_faults(file, header, advice, labels), MAX_FAULTS))
        hint = f"is every row shorter than {BLOCKS[-1] // 2**20} MB?"
        unknown = file.problem(None, "this file cannot be read as CSV", hint)
        raise DataError(faults or unknown) from None
    del file  # only faults need its bytes
    x = _numbers(columns, features)
    if codes is None:
        y, classes = _numbers(columns, [target]), None
    else:
        numbers, classes = encode_classes(classes_found, spec)
        y = numbers[codes]
    del columns, codes
    _release_memory()
    return Table(features, x, target, y, classes, str(path))


def _read(path: Path, spec: Spec) -> bytes:
    """The file's bytes, which are text in UTF-8; a byte order mark is taken off."""

    def fail(message: str, hint: str | None = None) -> DataError:
        return DataError(spec.problem(("data", "source", "csv"), message, hint))

    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise fail(f"'{path}' is a directory", "give the path of a CSV file")
        if not stat.S_ISREG(mode):
            raise fail(f"'{path}' is no regular file", "give the path of a CSV file")
        data = path.read_bytes()
    except FileNotFoundError:
        raise fail(f"there is no file '{path}'", _near_file(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise fail(f"'{path}' cannot be read: {reason}") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(Problem("", "this file is UTF-16", _SAVE, str(path)))
    data = data.removeprefix(codecs.BOM_UTF8)
    _check_text(data, path)
    return data


def _near_file(path: Path) -> str:
    """What to do about a file that does not exist."""
    if not path.parent.is_dir():
        return f"there is no directory '{path.parent}'"
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        names = []
    return near(path.name, names) or "the path is relative to the spec file"


def _check_text(data: bytes, path: Path) -> None:
    """Raises `DataError` for a file that is empty, binary, or not in UTF-8."""

    def fail(message: str, hint: str | None, at: int | None = None) -> DataError:
        line = None if at is None else len(data[: at + 1].splitlines())
        return DataError(Problem("", message, hint, str(path), line))

    if not data or data.isspace():
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


def _header(file: _File, spec: Spec) -> list[str]:
    """The names of the columns; those that have one differ."""
    try:
        names: list[str] = next(file.reader())
    except csv.Error as error:
        raise DataError(_misquoted(file, 1, error)) from None
    if not names:
        message = "expected the names of the columns, found an empty line"
        raise DataError(file.problem(1, message))
    repeated = [name for name, count in Counter(names).items() if count > 1 and name]
    if repeated:
        times = names.count(repeated[0])
        message = f"the column {show(repeated[0])} stands {times} times in the header"
        raise DataError(file.problem(1, message, "give each column its own name"))
    if "" in names and spec.data.features is None:
        message = f"column {names.index('') + 1} has no name"
        raise DataError(file.problem(1, message, "name it, or choose columns with `data.features`"))
    return names


def _parse(file: _File, features: Sequence[str], target: str, is_class: bool) -> Any:
    """The chosen columns as a pyarrow table: float64, and texts for a target of classes.

    Raises `ValueError` when pyarrow refuses the file, whose own words are not for users, or
    finds no rows, or a number that is missing or not finite, and `csv.Error` for misplaced
    quotation marks.
    """
    import pyarrow as pa

    quoted = b'"' in file.data
    if quoted:
        deque(file.reader(), maxlen=0)
    types = dict.fromkeys((*features, target), pa.float64())
    if is_class:
        types[target] = pa.string()
    table = _read_columns(file, types, quoted)
    numbers = [table[name] for name, kind in types.items() if kind == pa.float64()]
    if not table.num_rows or not all(map(_is_finite, numbers)):
        raise ValueError
    return table


def _read_columns(file: _File, types: Mapping[str, Any], quoted: bool) -> Any:
    """The columns of these types. Raises `ValueError` when pyarrow refuses the file."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    for block in BLOCKS:
        with suppress(pa.ArrowException):
            return pacsv.read_csv(
                pa.py_buffer(file.data),
                # threads would parse the whole file before most of it has become numbers
                read_options=pacsv.ReadOptions(block_size=block, use_threads=False),
                parse_options=pacsv.ParseOptions(
                    delimiter=file.delimiter, newlines_in_values=quoted
                ),
                convert_options=_conversion(types),
            )
    raise ValueError


def _conversion(types: Mapping[str, Any]) -> Any:
    """What pyarrow makes of cells: an empty one is no number, and no missing text."""
    from pyarrow import csv as pacsv

    return pacsv.ConvertOptions(
        include_columns=list(types),
        column_types=types,
        null_values=[""],
        strings_can_be_null=False,
    )


def _is_finite(column: Any) -> bool:
    return all(
        not chunk.null_count and np.isfinite(np.from_dlpack(chunk)).all() for chunk in column.chunks
    )


def _numbers(table: Any, names: Sequence[str]) -> Array:
    """Columns side by side."""
    numbers = np.empty((table.num_rows, len(names)))
    start = 0
    for batch in table.to_batches():
        end = start + batch.num_rows
        for i, name in enumerate(names):
            numbers[start:end, i] = np.from_dlpack(batch[name])  # to_numpy() would import pandas
        start = end
    return numbers


def _labels(column: Any) -> tuple[Sequence[Label], Array]:
    """The distinct labels, and each row's place among them.

    Labels are numbers where all are written as numbers, else texts without the spaces around
    them. Raises `ValueError` where one is missing.
    """
    encoded = column.dictionary_encode().combine_chunks()
    texts = [text.strip() for text in encoded.dictionary.to_pylist()]
    if any(_is_missing(text) for text in texts):
        raise ValueError
    labels: Sequence[Label] = texts
    if all(_INTEGER.match(text) for text in texts):
        labels = [int(text) for text in texts]
    elif all(_DECIMAL.match(text) for text in texts):
        labels = [float(text) for text in texts]
    return labels, np.from_dlpack(encoded.indices)


def _release_memory() -> None:
    """Gives back to the system what pyarrow would keep for the next file."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def _is_missing(label: str) -> bool:
    return label.strip().lower() in ("", "nan")


def has_quotes(path: Path, delimiter: str) -> bool:
    """Whether a file has quotation marks, which then all have a partner.

    Raises `csv.Error` where one has none: pyarrow would take all further rows for its cell.
    """
    with path.open("rb") as file:
        quoted = any(b'"' in piece for piece in iter(lambda: file.read(BLOCKS[0]), b""))
    if quoted:
        csv.field_size_limit(2**31 - 1)
        with path.open(newline="", encoding="utf-8-sig") as text:
            deque(csv.reader(text, delimiter=delimiter, strict=True), maxlen=0)
    return quoted


def read_chunks(
    path: Path, delimiter: str, columns: Sequence[str], texts: Sequence[str], quoted: bool
) -> Iterator[Any]:
    """The columns of a file, some thousand rows at a time, as pyarrow's record batches.

    Those in `texts` are texts, the others float64. Raises `ValueError` where pyarrow refuses the
    file or a cell is empty.
    """
    import pyarrow as pa
    from pyarrow import csv as pacsv

    types = {name: pa.string() if name in texts else pa.float64() for name in columns}
    try:
        with pacsv.open_csv(
            path,
            read_options=pacsv.ReadOptions(block_size=BLOCKS[0], use_threads=False),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=quoted),
            convert_options=_conversion(types),
        ) as reader:
            for batch in reader:
                if any(batch.column(name).null_count for name in columns):
                    raise ValueError
                yield batch
    except pa.ArrowException:
        raise ValueError from None


def find_faults(
    path: Path, delimiter: str, advice: Mapping[str, str], labels: str | None
) -> Iterator[Problem]:
    """The faults of a file that `read_chunks` refused, with their lines.

    `advice` says for each column what to do about a cell that does not fit; the column `labels`
    holds classes.
    """
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    _check_text(data, path)
    file = _File(path, data, delimiter)
    return _faults(file, next(file.reader()), advice, labels)


def _faults(
    file: _File, header: Sequence[str], advice: Mapping[str, str], labels: str | None
) -> Iterator[Problem]:
    """The faults of a file that cannot be used, with their lines."""
    places = {name: header.index(name) for name in advice}
    reader = file.reader()
    next(reader)
    end, rows = reader.line_num, 0
    try:
        for cells in reader:
            start, end = end + 1, reader.line_num
            if not cells:
                continue
            rows += 1
            if len(cells) != len(header):
                message = f"expected {len(header)} cells as in the header, found {len(cells)}"
                yield file.problem(start, message)
                continue
            for name, place in places.items():
                if name == labels:
                    found = _label_fault(cells[place])
                else:
                    found = _number_fault(cells[place], advice[name])
                if found:
                    yield file.problem(start, *found, column=name)
        if not rows:
            yield file.problem(1, "the file has a header and no rows")
    except csv.Error as error:
        yield _misquoted(file, end + 1, error)


def _number_fault(cell: str, advice: str) -> tuple[str, str | None] | None:
    """What is wrong with a cell that must hold a number, and what to do."""
    if not cell.strip():
        hint = "fill it in, or leave the row or column out"
        return "expected a number, found an empty cell", hint
    if _NUMBER.match(cell):
        too_large = not np.isfinite(float(cell))
        return (f"the number {show(cell)} is too large for float64", None) if too_large else None
    if _NOT_FINITE.match(cell):
        return f"expected a finite number, found {show(cell)}", "leave the row or column out"
    if "\n" in cell:
        advice = "a quotation mark may be missing in this row"
    return f"expected a number, found the text {show(cell)}", advice


def _label_fault(cell: str) -> tuple[str, str | None] | None:
    """What is wrong with a cell that must hold a class label, and what to do."""
    if not _is_missing(cell):
        return None
    found = show(cell) if cell.strip() else "an empty cell"
    return f"expected a class label, found {found}", "fill it in, or leave the row out"


def _misquoted(file: _File, line: int, error: csv.Error) -> Problem:
    """The problem of the row that begins at `line`, where Python's reader stopped."""
    if "end of data" in str(error):
        return file.problem(line, "a quotation mark opens in this row and is never closed")
    message = "a quoted cell in this row goes on after its closing quotation mark"
    return file.problem(line, message, "write a quotation mark inside a quoted cell twice")
