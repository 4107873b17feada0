"""Rows to predict, read from a file some thousand at a time: memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from trainer.data.columns.categories import text_of
from trainer.data.columns.cells import codes_of
from trainer.data.columns.roles import EXPECTED, Wanted
from trainer.data.columns.table import Column, LeftOut, listing, show
from trainer.data.reading.csv import CsvFile
from trainer.data.reading.dropping import ROW, ROW_NUMBERS, Dropping, keep_rows
from trainer.data.reading.excel import ExcelFile
from trainer.data.reading.filecolumns import FileColumns
from trainer.data.reading.files import check_named, keys_of, unreadable
from trainer.data.reading.finding import check_types
from trainer.data.reading.formats import open_rows
from trainer.data.reading.keyed import with_keys
from trainer.data.reading.tablefile import TableFile
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.messages import near
from trainer.spec.names import clean_name, like
from trainer.spec.sources import MISSING_VALUES

Told: TypeAlias = Callable[[LeftOut | None], None]
"""Hears which rows were left out."""


@dataclass(frozen=True)
class Rows:
    """Some rows that follow one another, `first` counted from 0.

    `x` is float64 of shape (rows, features): NaN for missing cells, −1 for categories that no
    training row has. `target`, where it was asked for, holds class numbers of shape (rows,), or
    float64 of shape (rows, targets); `weight` likewise how much each row counts, (rows, 1).
    `numbers` are those of the rows in the file, counted from 0: some may be left out.
    """

    first: int
    x: Array
    target: Array | None
    weight: Array | None
    numbers: Array


def read_rows(
    path: Path,
    columns: Sequence[Column],
    targets: Sequence[Column] = (),
    *,
    weights: Column | None = None,
    source: object = None,
    missing: tuple[str, ...] = MISSING_VALUES,
    absent: tuple[str, ...] = (),
    required: Sequence[str] = (),
    told: Told = lambda _: None,
) -> Iterator[Rows]:
    """The features of a file, by the names of their columns; others are left out.

    The suffix tells the kind of the file, or what it holds; `source` is what the spec says of the
    files that the model was trained on, which counts for this one too (`open_rows`). `absent` are
    columns that a text file without a header may lack; `missing` stand for nothing in files of
    every kind (`spellings_of`).

    With `targets` also the columns to predict (`Preprocessing.target_columns`), and with `weights`
    that column. Rows without a value in a column that is `required`, if the file has
    it, are left out, and `told` hears at the end how many. Raises `DataError` with the columns
    that are missing, or the first cells that do not fit their columns, are no known classes or no
    weights.
    """
    columns, targets = _clean(columns), _clean(targets)
    weights = _clean([weights])[0] if weights else None
    cells = _open(path, columns, targets, weights, source, missing, absent, required)
    dropping = Dropping(cells.files)
    first, width = 0, len(columns)
    for _, values in cells.batches():
        if not len(values):
            continue
        weight = None
        if weights:
            weight = np.ascontiguousarray(values[:, width + len(targets)][:, None])
        numbers = first + np.arange(len(values))
        if dropping.asked:
            numbers = values[:, -1].astype(np.int64)
        target = values[:, width : width + len(targets)]
        rows = Rows(
            first, np.ascontiguousarray(values[:, :width]),
            _checked(path, cells.files[0], targets, target) if targets else None, weight, numbers,
        )  # fmt: skip
        if weights:
            _check_weights(path, weights.name, rows)
        yield rows
        first += len(values)
    told(dropping.told())
    if first == 0:
        what = "no row that has all it must have" if dropping.told() else "no rows"
        raise DataError(Problem("", f"the file has {what}", None, str(path), code="TR-D007"))


def spellings_of(columns: Sequence[Column], source: object) -> tuple[str, ...]:
    """The texts that stand for nothing in rows to predict, be they in files or not: those of the
    source that the model was trained on, or the usual ones where that was no text, but none that
    is a category of the columns. A model that was trained on Parquet may know NA.
    """
    known = {text for column in columns for text in column.categories}
    missing: tuple[str, ...] = getattr(source, "missing_values", MISSING_VALUES)
    return tuple(text for text in missing if text not in known)


def _clean(columns: Sequence[Column]) -> list[Column]:
    """The columns by the names that files' columns have, which those of old runs may not."""
    return [replace(column, name=clean_name(column.name)) for column in columns]


def _open(
    path: Path, columns: Sequence[Column], targets: Sequence[Column], weights: Column | None,
    source: object, missing: tuple[str, ...], absent: tuple[str, ...],
    required: Sequence[str],
) -> FileColumns:  # fmt: skip
    """The columns of the file. Raises `DataError` where some are missing, or hold no cells."""
    check_named(path)
    others = [*targets, *([weights] if weights else [])]
    names = [column.name for column in (*columns, *others)]
    try:
        file = open_rows(path, source, missing, absent)
        if isinstance(file, CsvFile):
            file.check_start()
        file = with_keys(file, {k: v for k, v in keys_of(path).items() if k in names})
        _check_columns(path, file, names)
        check_types(file, names)
    except OSError as error:
        raise DataError(unreadable(path, error)) from None
    advice = "the model was trained on numbers here"
    wanted = [Wanted(c.name, c.kind, EXPECTED[c.kind], advice, optional=True) for c in columns]
    for c in others:
        expected = "a class label" if c.categories else EXPECTED[c.kind]
        wanted.append(Wanted(c.name, c.kind, expected))
    files = keep_rows([file], tuple(name for name in required if name in file.names), missing)
    if Dropping(files).asked:
        wanted, others = [*wanted, ROW_NUMBERS], [*others, Column(ROW)]
    return FileColumns(files, wanted, (*columns, *others), strict=False, missing=missing)


def _check_weights(path: Path, name: str, rows: Rows) -> None:
    """Raises `DataError` for a weight below 0."""
    weight = rows.weight
    if weight is not None and (weight < 0).any():
        row = int(np.argmax(weight < 0))
        found = f"expected a weight of at least 0, found {weight[row, 0]:g}"
        message = f"row {rows.numbers[row]}: {found}"
        raise DataError(Problem(f"column {show(name)}", message, None, str(path), code="TR-D033"))


def _checked(path: Path, file: TableFile, targets: Sequence[Column], values: Array) -> Array:
    """The targets as `Rows` has them. Raises `DataError` for a class that is not known."""
    if not targets[0].categories:
        return np.ascontiguousarray(values)
    if (values < 0).any():
        raise DataError(_unknown_class(path, file, targets[0]))
    return values[:, 0].astype(np.int64)


# Faults -----------------------------------------------------------------------------------------


def _check_columns(path: Path, file: TableFile, wanted: Sequence[str]) -> None:
    """Raises `DataError` for every column that is not there."""
    missing = [name for name in wanted if name not in {*file.names}]
    doubt = file.doubt(wanted) if missing and isinstance(file, CsvFile | ExcelFile) else None
    if doubt is not None:
        raise DataError(doubt)
    problems = []
    for name in missing:
        hint = like(name, file.names) or f"the columns are {listing(file.names, 12)}"
        message = f"the model needs the column {show(name)}, which is missing"
        problems.append(Problem("", message, hint, str(path), code="TR-D037"))
    if problems:
        raise DataError(problems)


def _unknown_class(path: Path, file: TableFile, target: Column) -> Problem:
    """The problem of the first row with a class that is not known."""
    code = codes_of(target.categories)
    records = (each for each in file.records([target.name]) if not isinstance(each, Problem))
    row, text = next(
        (row, text_of(cells[0])) for row, (_, cells) in enumerate(records) if code(cells[0]) < 0
    )
    hint = near(text, target.categories) or f"the classes are {listing(target.categories, 12)}"
    message = f"row {row}: expected a class that the model knows, found {show(text)}"
    return Problem(f"column {show(target.name)}", message, hint, str(path), code="TR-D028")
