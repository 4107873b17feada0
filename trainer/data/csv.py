"""CSV files, read by pyarrow; what is wrong with one is found and told cell by cell.

The fast path lets pyarrow parse the columns that are needed straight to float64. Only when it
refuses, or hands back an empty or non-finite cell, is the file read again, slowly and with line
numbers, to say where the fault is.
"""

from __future__ import annotations

import csv
import io
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.data.table import Table, choose, encode_classes
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.messages import near
from trainer.spec.schema import CsvSource, Spec

MAX_FAULTS: Final = 5
MAX_CELL: Final = 2**24
_NUMBER = re.compile(r"\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\s*\Z", re.ASCII)
_NOT_FINITE = re.compile(r"\s*[-+]?(nan|inf|infinity)\s*\Z", re.IGNORECASE)
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})\Z", re.ASCII)


def read_csv(source: CsvSource, spec: Spec) -> Table:
    """The file's chosen columns as a table.

    The file is read once into memory, so that what is hashed is what trains. Raises `DataError`
    with the first faults found: where in the file, what was expected, what stands there.
    """
    path = Path(spec.file).parent / source.csv if spec.file else Path(source.csv)
    data = _read(path, spec)
    header = _header(data, path, source)
    features, target = choose(header, spec)
    text_target = spec.model.loss == "logistic"
    try:
        columns = _parse(data, source, features, target, text_target)
    except ValueError:  # pyarrow's ArrowInvalid; its own words are not for users
        columns = None
    labels: list[str] = []
    if columns is not None:
        if text_target:
            labels = columns[target]
            numbers = [columns[name] for name in features]
        else:
            numbers = [columns[name] for name in (*features, target)]
        if len(numbers[0]) == 0:
            message = "the file has a header and no rows"
            raise DataError(Problem("", message, file=str(path), line=1))
        broken = any(column is None or not np.isfinite(column).all() for column in numbers)
        if broken or (text_target and any(not label.strip() for label in labels)):
            columns = None
    if columns is None:
        raise DataError(_faults(data, path, source, header, features, target, text_target))
    x = np.column_stack([columns[name] for name in features])
    if not text_target:
        return Table(features, x, target, columns[target][:, None], None, str(path))
    whole = all(_INTEGER.match(label) for label in set(labels))
    codes, classes = encode_classes([int(v) for v in labels] if whole else labels, spec)
    return Table(features, x, target, codes, classes, str(path))


def _read(path: Path, spec: Spec) -> bytes:
    where = ("data", "source", "csv")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(spec.problem(where, f"'{path}' is no regular file"))
        data = path.read_bytes()
    except FileNotFoundError:
        folder = path.parent
        known = {p.name for p in folder.iterdir()} if folder.is_dir() else set()
        hint = near(path.name, known) or "the path is relative to the spec file"
        raise DataError(spec.problem(where, f"there is no file '{path}'", hint)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(spec.problem(where, f"'{path}' cannot be read: {reason}")) from None
    if not data.strip():
        raise DataError(Problem("", "the file is empty", file=str(path)))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4096]:
        message = "this is no CSV in UTF-8"
        raise DataError(Problem("", message, "save the table as CSV in UTF-8", str(path)))
    return data


def _header(data: bytes, path: Path, source: CsvSource) -> list[str]:
    """The column names, which must differ."""
    end = data.find(b"\n")
    first = data[: end if end >= 0 else len(data)].rstrip(b"\r")
    if b"\r" in first:
        message, hint = "lines end with a carriage return alone", "save with usual line ends"
        raise DataError(Problem("", message, hint, str(path), 1))
    try:
        names = next(csv.reader([first.decode("utf-8-sig")], delimiter=source.delimiter), [])
    except UnicodeDecodeError:
        raise DataError(_not_utf8(data, path)) from None
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        message = (
            f"the column '{repeated[0]}' stands {names.count(repeated[0])} times in the header"
        )
        raise DataError(Problem("", message, "give each column its own name", str(path), 1))
    return names


def _parse(
    data: bytes, source: CsvSource, features: tuple[str, ...], target: str, text_target: bool
) -> dict[str, Any]:
    """Columns by name: float64 arrays (None where a cell is empty), and a list of labels."""
    import pyarrow as pa
    from pyarrow import csv as pacsv

    types = dict.fromkeys((*features, target), pa.float64())
    if text_target:
        types[target] = pa.string()
    table = pacsv.read_csv(
        pa.py_buffer(data),
        read_options=pacsv.ReadOptions(block_size=max(2**20, min(len(data) + 1, 2**30))),
        parse_options=pacsv.ParseOptions(delimiter=source.delimiter, newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            include_columns=[*features, target],
            column_types=types,
            null_values=[""],
            strings_can_be_null=False,
        ),
    )
    columns: dict[str, Any] = {}
    for name in (*features, target):
        column = table[name]
        if text_target and name == target:
            columns[name] = column.to_pylist()
        else:
            columns[name] = None if column.null_count else _array(column)
    return columns


def _array(column: Any) -> Array:
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _faults(
    data: bytes,
    path: Path,
    source: CsvSource,
    header: list[str],
    features: tuple[str, ...],
    target: str,
    text_target: bool,
) -> list[Problem]:
    """The first faults of a file that cannot be used, with their lines."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return [_not_utf8(data, path)]
    faults: list[Problem] = []

    def fault(line: int, message: str, hint: str | None = None, column: str = "") -> None:
        where = f"column '{column}'" if column else ""
        faults.append(Problem(where, message, hint, str(path), line))

    csv.field_size_limit(MAX_CELL)
    # split at line ends alone: str.splitlines would also split at separators inside a cell
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=source.delimiter, strict=True)
    line = 1
    try:
        next(reader)
        for cells in reader:
            start, line = line + 1, reader.line_num
            if not cells:
                continue
            if len(cells) != len(header):
                message = f"expected {len(header)} cells as in the header, found {len(cells)}"
                fault(start, message)
            else:
                for name in (*features, target):
                    cell = cells[header.index(name)]
                    problem = _cell_fault(cell, text_target and name == target)
                    if problem:
                        fault(start, *problem, column=name)
            if len(faults) >= MAX_FAULTS:
                break
    except csv.Error as error:
        if "end of data" in str(error):
            fault(line + 1, "a quotation mark opens in this row and is never closed")
        else:
            fault(line + 1, "this row is not valid CSV", "check its quotation marks")
    return faults or [Problem("", "this file cannot be read as CSV", file=str(path))]


def _cell_fault(cell: str, is_label: bool) -> tuple[str, str | None] | None:
    """What is wrong with one cell, and what to do."""
    if not cell.strip():
        what = "a class label" if is_label else "a number"
        return f"expected {what}, found an empty cell", "fill it in, or leave the row or column out"
    if is_label or _NUMBER.match(cell):
        overflows = not is_label and not np.isfinite(float(cell))
        return (f"the number {cell.strip()} is too large", None) if overflows else None
    shown = cell if len(cell) <= 30 else cell[:27] + "..."
    if _NOT_FINITE.match(cell):
        return f"expected a finite number, found '{shown}'", "leave the row or column out"
    hint = "choose numeric columns with `data.features`"
    if "\n" in cell:
        shown, hint = shown.partition("\n")[0], "a quotation mark may be missing in this row"
    return f"expected a number, found the text '{shown}'", hint


def _not_utf8(data: bytes, path: Path) -> Problem:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        return Problem("", message, "save the table as CSV in UTF-8", str(path), line)
    raise AssertionError("called for data that is UTF-8")
