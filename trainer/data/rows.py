"""Rows to predict, read from a file some thousand at a time: memory does not grow with the file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.data.csv import MAX_FAULTS, find_faults, has_quotes, read_chunks
from trainer.data.preprocessing import Preprocessing
from trainer.data.table import Label, listing, show
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.messages import near

PARQUET: Final = (".parquet", ".pq")
ROWS: Final = 2**16
"""Rows of a Parquet file that are read at a time."""


@dataclass(frozen=True)
class Rows:
    """Some rows that follow one another, `first` counted from 0.

    `x` is float64 of shape (rows, features). `target`, where it was asked for, holds class
    numbers of shape (rows,), or float64 of shape (rows, 1).
    """

    first: int
    x: Array
    target: Array | None


def read_rows(
    path: Path, how: Preprocessing, *, target: bool = False, delimiter: str = ","
) -> Iterator[Rows]:
    """The features of a CSV or Parquet file, by the names of their columns; others are left out.

    With `target` also the column to predict. Raises `DataError` with the columns that are missing,
    or the first cells that are no finite numbers or no known classes.
    """
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "is not there"
        raise DataError(Problem("", f"the file {what}", None, str(path)))
    read = _from_parquet if path.suffix.lower() in PARQUET else _from_csv
    first = 0
    for columns in _told(path, read(path, how, target, delimiter)):
        x = np.stack([columns[name] for name in how.features], axis=1)
        y = None
        if target:
            values = columns[how.target]
            y = values[:, None] if how.classes is None else values
        yield Rows(first, x, y)
        first += len(x)
    if first == 0:
        raise DataError(Problem("", "the file has no rows", None, str(path)))


def _told(path: Path, columns: Iterator[dict[str, Array]]) -> Iterator[dict[str, Array]]:
    """The same, with `DataError` for a file that stops being readable on the way."""
    try:
        yield from columns
    except OSError as error:  # of the system, or pyarrow's for a damaged page
        reason = error.strerror or str(error).splitlines()[0]
        message = f"this file cannot be read: {reason}"
        raise DataError(Problem("", message, None, str(path))) from None


# CSV --------------------------------------------------------------------------------------------


def _from_csv(
    path: Path, how: Preprocessing, target: bool, delimiter: str
) -> Iterator[dict[str, Array]]:
    wanted = (*how.features, *([how.target] if target else []))
    labelled = target and how.classes is not None
    try:
        header = _csv_header(path, delimiter)
        _check_columns(path, header, wanted)
        texts = [how.target] if labelled else []
        first = 0
        for table in read_chunks(path, delimiter, wanted, texts, has_quotes(path, delimiter)):
            columns = {name: np.from_dlpack(table[name]) for name in wanted if name not in texts}
            if not all(np.isfinite(values).all() for values in columns.values()):
                raise ValueError
            if labelled:
                columns[how.target] = _class_numbers(path, how, table[how.target], first)
            yield columns
            first += table.num_rows
    except (ValueError, csv.Error):
        advice = dict.fromkeys(wanted, "the model was trained on numbers here")
        faults = find_faults(path, delimiter, advice, how.target if labelled else None)
        unknown = Problem("", "this file cannot be read as CSV", None, str(path))
        raise DataError(list(islice(faults, MAX_FAULTS)) or unknown) from None


def _csv_header(path: Path, delimiter: str) -> list[str]:
    """The names of the columns. Raises `ValueError` for what is no text."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return next(csv.reader(file, delimiter=delimiter, strict=True), [])


def _class_numbers(path: Path, how: Preprocessing, column: Any, first: int) -> Array:
    """The number of each label of a column of texts."""
    assert how.classes is not None
    encoded = column.dictionary_encode()
    numbers = {_written(label): i for i, label in enumerate(how.classes)}
    found = [numbers.get(_written(_read(text))) for text in encoded.dictionary.to_pylist()]
    places = np.from_dlpack(encoded.indices)
    for place, (number, text) in enumerate(zip(found, encoded.dictionary.to_pylist(), strict=True)):
        if number is None:
            row = first + int(np.argmax(places == place))
            raise DataError(_unknown_class(path, how, text, row))
    return np.asarray(np.array(found, dtype=np.int64)[places])


def _read(text: str) -> Label:
    """A label as the classes hold it: a number where it is written as one."""
    plain = text.strip()
    try:
        number = float(plain)
    except ValueError:
        return plain
    return int(number) if number.is_integer() else number


def _written(label: Label) -> str:
    """One spelling for labels that are the same: 1, 1.0 and '1'."""
    read = _read(label) if isinstance(label, str) else label
    return str(int(read)) if isinstance(read, float) and read.is_integer() else str(read)


# Parquet ----------------------------------------------------------------------------------------


def _from_parquet(
    path: Path, how: Preprocessing, target: bool, _delimiter: str
) -> Iterator[dict[str, Array]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = [*how.features, *([how.target] if target else [])]
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names, wanted)
            first = 0
            for batch in file.iter_batches(ROWS, columns=wanted):
                columns = {
                    name: _numbers(path, name, batch.column(name), first) for name in how.features
                }
                if target:
                    columns[how.target] = _targets(path, how, batch.column(how.target), first)
                yield columns
                first += batch.num_rows
    except pa.ArrowException as error:
        reason = str(error).splitlines()[0]
        message = f"this file cannot be read as Parquet: {reason}"
        raise DataError(Problem("", message, None, str(path))) from None


def _numbers(path: Path, name: str, column: Any, first: int) -> Array:
    """A column as float64, all of it finite."""
    import pyarrow as pa

    try:
        values: Array = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        message = f"expected numbers, found the type {column.type}"
        raise DataError(Problem(f"column {show(name)}", message, None, str(path))) from None
    wrong = np.flatnonzero(~np.isfinite(values))
    if len(wrong):
        found = "an empty cell" if column[int(wrong[0])].as_py() is None else str(values[wrong[0]])
        message = f"row {first + wrong[0]}: expected a finite number, found {found}"
        hint = "fill it in, or leave the row out"
        raise DataError(Problem(f"column {show(name)}", message, hint, str(path)))
    return values


def _targets(path: Path, how: Preprocessing, column: Any, first: int) -> Array:
    import pyarrow as pa

    if how.classes is None:
        return _numbers(path, how.target, column, first)
    if isinstance(how.classes[0], bool) or pa.types.is_boolean(column.type):
        column = pa.array([None if value is None else str(value) for value in column.to_pylist()])
    texts = column.cast(pa.string())
    if texts.null_count:
        row = first + int(np.argmax(texts.is_null().to_numpy(zero_copy_only=False)))
        raise DataError(_unknown_class(path, how, "", row))
    return _class_numbers(path, how, texts, first)


# Faults -----------------------------------------------------------------------------------------


def _check_columns(path: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises `DataError` for every column that is not there."""
    problems = []
    for name in wanted:
        if name not in header:
            hint = near(name, header) or f"the columns are {listing(header, 12)}"
            message = f"the model needs the column {show(name)}, which is missing"
            problems.append(Problem("", message, hint, str(path)))
        elif list(header).count(name) > 1:
            message = f"the column {show(name)} stands {list(header).count(name)} times"
            problems.append(Problem("", message, "give each column its own name", str(path)))
    if problems:
        raise DataError(problems)


def _unknown_class(path: Path, how: Preprocessing, text: str, row: int) -> Problem:
    assert how.classes is not None
    known = [str(label) for label in how.classes]
    hint = near(text, known) or f"the classes are {listing(known, 12)}"
    found = show(text) if text.strip() else "an empty cell"
    message = f"row {row}: expected a class that the model knows, found {found}"
    return Problem(f"column {show(how.target)}", message, hint, str(path))
