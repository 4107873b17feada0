"""Rows to predict, read from a file some thousand at a time: memory does not grow with the file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.data.columns.cells import code_of, codes_of, text_of
from trainer.data.columns.encoding import encode_batch
from trainer.data.columns.kinds import EXPECTED, Wanted, check_types
from trainer.data.columns.table import Column, listing, show
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.reading.faults import find_faults
from trainer.data.reading.files import unreadable
from trainer.data.reading.formats import PARQUET, open_by_name
from trainer.data.reading.tablefile import TableFile
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.data import MISSING_VALUES
from trainer.spec.messages import near

__all__ = ["PARQUET", "Rows", "read_rows"]


@dataclass(frozen=True)
class Rows:
    """Some rows that follow one another, `first` counted from 0.

    `x` is float64 of shape (rows, features): NaN for missing cells, −1 for categories that no
    training row has. `target`, where it was asked for, holds class numbers of shape (rows,), or
    float64 of shape (rows, targets); `weight` likewise how much each row counts, (rows, 1).
    """

    first: int
    x: Array
    target: Array | None
    weight: Array | None = None


def read_rows(
    path: Path,
    how: Preprocessing,
    *,
    target: bool = False,
    weights: str | None = None,
    delimiter: str | None = None,
    missing: tuple[str, ...] = MISSING_VALUES,
) -> Iterator[Rows]:
    """The features of a file, by the names of their columns; others are left out.

    The suffix tells the kind of the file: `.parquet`, `.pq`, `.arrow`, `.feather`, `.npz`, else
    CSV, also `.tsv`, and with `.gz` or `.zst` behind. `delimiter` and `missing` are of CSV files.

    With `target` also the columns to predict, and with `weights` the column of that name. Raises
    `DataError` with the columns that are missing, or the first cells that do not fit their
    columns, are no known classes or no weights.
    """
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "is not there"
        raise DataError(Problem("", f"the file {what}", None, str(path)))
    targets = [_target(name, how) for name in how.targets] if target else []
    targets += [Column(weights)] if weights else []
    try:
        file = open_by_name(path, delimiter, missing)
        _check_columns(path, file.names, [column.name for column in (*how.columns, *targets)])
        check_types(file, [column.name for column in (*how.columns, *targets)])
    except OSError as error:
        raise DataError(unreadable(path, error)) from None
    first = 0
    for x, y in _told(path, file, how, targets):
        weight = None
        if weights:
            y, weight = y[:, :-1], np.ascontiguousarray(y[:, -1:])
            _check_weights(path, weights, weight, first)
        yield Rows(first, x, _checked(path, file, how, y) if target else None, weight)
        first += len(x)
    if first == 0:
        raise DataError(Problem("", "the file has no rows", None, str(path)))


def _target(name: str, how: Preprocessing) -> Column:
    """What a target column must be."""
    if how.classes is not None:
        return Column(name, "categorical", tuple(map(text_of, how.classes)))
    return Column(name, "boolean" if how.multi_label else "numeric")


def _told(
    path: Path, file: TableFile, how: Preprocessing, targets: Sequence[Column]
) -> Iterator[tuple[Array, Array]]:
    """The features and the targets as numbers, or `DataError` for what cannot be read."""
    columns = [*how.columns, *targets]
    width = len(how.columns)
    try:
        for batch in file.batches(columns):
            if batch.num_rows:
                x = encode_batch(batch, columns, file.missing)
                if np.isnan(x[:, width:]).any():
                    raise ValueError
                yield np.ascontiguousarray(x[:, :width]), x[:, width:]
    except OSError as error:  # of the system, or of what decompresses
        raise DataError(unreadable(path, error)) from None
    except (ValueError, csv.Error):
        wanted = [_wanted(column, optional=i < width) for i, column in enumerate(columns)]
        faults = find_faults([file], wanted, columns, strict=False)
        raise DataError(faults or file.unknown) from None


def _wanted(column: Column, *, optional: bool) -> Wanted:
    advice = "the model was trained on numbers here" if optional else None
    expected = EXPECTED[column.kind]
    if not optional and column.kind == "categorical":
        expected = "a class label"
    return Wanted(column.name, column.kind, expected, advice, optional=optional)


def _check_weights(path: Path, name: str, weight: Array, first: int) -> None:
    """Raises `DataError` for a weight below 0."""
    if (weight < 0).any():
        row = int(np.argmax(weight < 0))
        message = f"row {first + row}: expected a weight of at least 0, found {weight[row, 0]:g}"
        raise DataError(Problem(f"column {show(name)}", message, None, str(path)))


def _checked(path: Path, file: TableFile, how: Preprocessing, y: Array) -> Array:
    """The targets as `Rows` has them. Raises `DataError` for a class that is not known."""
    if how.classes is None:
        return np.ascontiguousarray(y)
    if (y < 0).any():
        raise DataError(_unknown_class(path, file, how))
    return y[:, 0].astype(np.int64)


# Faults -----------------------------------------------------------------------------------------


def _check_columns(path: Path, header: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises `DataError` for every column that is not there."""
    problems = []
    for name in wanted:
        if name not in header:
            hint = near(name, header) or f"the columns are {listing(header, 12)}"
            message = f"the model needs the column {show(name)}, which is missing"
            problems.append(Problem("", message, hint, str(path)))
    if problems:
        raise DataError(problems)


def _unknown_class(path: Path, file: TableFile, how: Preprocessing) -> Problem:
    """The problem of the first row with a class that is not known."""
    assert how.classes is not None
    codes, known = codes_of(how.classes), [str(label) for label in how.classes]
    records = (each for each in file.records(how.targets) if not isinstance(each, Problem))
    row, text = next(
        (row, text_of(cells[0]))
        for row, (_, cells) in enumerate(records)
        if code_of(cells[0], codes) < 0
    )
    hint = near(text, known) or f"the classes are {listing(known, 12)}"
    message = f"row {row}: expected a class that the model knows, found {show(text)}"
    return Problem(f"column {show(how.target)}", message, hint, str(path))
