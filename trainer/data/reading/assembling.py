"""From open files to one table: kinds are found, cells become numbers, and what is wrong is told.

A CSV file whose features are numbers goes the short way: pyarrow parses it as a whole to float64.
All other tables are read twice, once to see what the columns are, once to encode them batch by
batch; of these only the raw matrix is ever in memory as a whole.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trainer.data.blocks import blocks
from trainer.data.columns.cells import CellError, labels_of
from trainer.data.columns.encoding import encode_batch, floats
from trainer.data.columns.kinds import Wanted, find_columns, wanted_features
from trainer.data.columns.table import Column, Label, Roles, Table, encode_classes, plain_columns
from trainer.data.reading.csv import CsvFile
from trainer.data.reading.faults import find_faults
from trainer.data.reading.tablefile import TableFile, TableInMemory
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.data import Kind
from trainer.spec.schema import Spec


@dataclass(frozen=True)
class Encoded:
    """Columns as numbers: `x` of shape (rows, features), `rest` of shape (rows, other columns)."""

    columns: tuple[Column, ...]
    x: Array
    others: tuple[Column, ...]
    rest: Array
    counts: tuple[int, ...]
    """The rows of each file."""

    def of(self, name: str, *kinds: Kind) -> Array:
        """The numbers of one of the other columns, which is of one of the kinds."""
        places = [i for i, c in enumerate(self.others) if c.name == name and c.kind in kinds]
        return np.ascontiguousarray(self.rest[:, places[0]])


def assemble(
    files: list[TableFile], roles: Roles, spec: Spec, origin: str
) -> tuple[Table, tuple[int, ...]]:
    """The rows of the files, one after the other, as a table; and how many are of each.

    The list is emptied on the way, so that no text is in memory beside the numbers. Raises
    `DataError` with the first faults found: where in which file, what was expected, what stands
    there.
    """
    encoded = encode_files(files, wanted_features(roles.features, spec), wanted_others(roles, spec))
    target, classes = _targets(encoded, roles, spec)
    extra = extra_columns(encoded, roles, spec)
    table = Table(encoded.columns, encoded.x, roles.targets, target, classes, origin, **extra)
    return table, encoded.counts


def wanted_others(roles: Roles, spec: Spec, targets: Sequence[str] | None = None) -> list[Wanted]:
    """What the columns beside the features must be; of the targets all, or those named."""
    names = roles.targets if targets is None else targets
    wanted = [_wanted_target(name, spec) for name in names]
    if roles.weights:
        wanted.append(Wanted(roles.weights, "numeric", "a weight"))
    if roles.group:
        wanted.append(Wanted(roles.group, "categorical", "a group"))
    if roles.time:
        wanted.append(Wanted(roles.time, None, "a time", "write numbers, or dates as 2024-12-31"))
    return wanted


def _wanted_target(name: str, spec: Spec) -> Wanted:
    if spec.model.multi_label:
        return Wanted(name, "boolean", "true or false")
    if spec.model.loss == "logistic":
        return Wanted(name, "categorical", "a class label")
    advice = "use `loss: logistic` if the column names classes"
    return Wanted(name, "numeric", "a number", advice)


# Reading -----------------------------------------------------------------------------------------


def encode_files(
    files: list[TableFile], features: Sequence[Wanted], others: Sequence[Wanted]
) -> Encoded:
    """The columns of all files as numbers, and the list of files emptied.

    Raises `DataError` with the faults of the files.
    """
    wanted, columns = [*features, *others], None
    try:
        encoded = _plain(files, features, others)
        if encoded is None:
            columns = find_columns(files, wanted)
            encoded = _typed(files, columns, len(features))
            _check(encoded, features, others)
    except (ValueError, csv.Error) as error:
        if columns is None:
            names = list(dict.fromkeys(want.name for want in wanted))
            columns = find_columns([_by_record(file, names) for file in files], wanted)
        raise DataError(find_faults(files, wanted, columns) or _unknown(files, error)) from None
    files.clear()
    _release_memory()
    return encoded


def _plain(
    files: list[TableFile], features: Sequence[Wanted], others: Sequence[Wanted]
) -> Encoded | None:
    """The columns of CSV files whose features are all numbers; None where some are not.

    Raises `ValueError` for missing cells in the other columns.
    """
    if not all(isinstance(file, CsvFile) for file in files):
        return None
    if any(want.kind not in (None, "numeric") for want in features):
        return None
    numbers = [*features, *(want for want in others if want.kind == "numeric")]
    texts = [want.name for want in others if want.kind != "numeric"]
    if {want.name for want in numbers} & {*texts}:
        return None
    tables = [_parsed(file, numbers, texts) for file in files]
    parsed = [table for table in tables if table is not None]
    if len(parsed) < len(files):
        return None
    rest = _typed(parsed, find_columns(parsed, others), 0)
    _check(rest, [], others)
    files.clear()  # only faults need their bytes
    names = [want.name for want in features]
    x = _side_by_side(parsed, names, sum(rest.counts))
    return replace(rest, columns=plain_columns(names), x=x)


def _parsed(
    file: TableFile, numbers: Sequence[Wanted], texts: Sequence[str]
) -> TableInMemory | None:
    """A CSV file with these columns; None where some numbers are none."""
    import pyarrow as pa

    assert isinstance(file, CsvFile)
    types = {want.name: pa.float64() for want in numbers} | dict.fromkeys(texts, pa.string())
    try:
        table = file.whole(types)
    except ValueError:
        return None
    if not all(_is_usable(table[want.name], want.optional) for want in numbers):
        return None
    return TableInMemory(table, file.missing)


def _is_usable(column: Any, optional: bool) -> bool:
    """Whether all numbers are finite, or missing where they may be."""
    if column.null_count and not optional:
        return False
    return all(np.isfinite(floats(chunk, 0.0)).all() for chunk in column.chunks)


def _side_by_side(tables: Sequence[TableInMemory], names: Sequence[str], rows: int) -> Array:
    """Columns of numbers as a matrix; NaN for missing cells."""
    x = np.empty((rows, len(names)))
    start = 0
    for table in tables:
        for batch in table.table.select(names).to_batches():
            end = start + batch.num_rows
            for i, column in enumerate(batch.columns):
                x[start:end, i] = floats(column)
            start = end
    return x


def _typed(files: Sequence[TableFile], columns: Sequence[Column], features: int) -> Encoded:
    """All columns encoded, of which the first are features; their raw matrix grows as it is read.

    Raises `CellError` and what `TableFile.batches` raises.
    """
    x, rest = _Growing(features), _Growing(len(columns) - features)
    counts = []
    for file in files:
        before = x.rows
        for batch in file.batches(columns):
            x.append(encode_batch(batch, columns[:features], file.missing))
            rest.append(encode_batch(batch, columns[features:], file.missing))
        counts.append(x.rows - before)
    if not x.rows:
        raise ValueError
    first, others = tuple(columns[:features]), tuple(columns[features:])
    return Encoded(first, x.done(), others, rest.done(), tuple(counts))


class _Growing:
    """A matrix to which rows are appended; it takes at most a half more than it holds."""

    def __init__(self, columns: int) -> None:
        self.rows = 0
        self._matrix: Array = np.empty((0, columns))

    def append(self, rows: Array) -> None:
        """Adds rows at the end."""
        end = self.rows + len(rows)
        if end > len(self._matrix):
            self._matrix.resize((end + end // 2, rows.shape[1]), refcheck=False)
        self._matrix[self.rows : end] = rows
        self.rows = end

    def done(self) -> Array:
        """The rows."""
        self._matrix.resize((self.rows, self._matrix.shape[1]), refcheck=False)
        return self._matrix


def _check(encoded: Encoded, features: Sequence[Wanted], others: Sequence[Wanted]) -> None:
    """Raises `ValueError` where a cell is missing that must not, or has a label that its column
    has not: an ordinal one outside the order, or any, if the file changed while it was read.
    """
    for wanted, columns, matrix in (
        (features, encoded.columns, encoded.x), (others, encoded.others, encoded.rest)
    ):  # fmt: skip
        if not wanted:
            continue
        strict = np.array([not want.optional for want in wanted])
        coded = np.array([bool(column.categories) for column in columns])
        for block in blocks(*matrix.shape):
            rows = matrix[block]
            if np.isnan(rows[:, strict]).any() or (rows[:, coded] < 0).any():
                raise ValueError


def _by_record(file: TableFile, names: Sequence[str]) -> TableFile:
    """A text file as far as its rows can be read, whatever is wrong with others."""
    import pyarrow as pa

    rows = [record[1] for record in file.records(names) if not isinstance(record, Problem)]
    cells = list(zip(*rows, strict=True)) or [() for _ in names]
    arrays = [pa.array(column, pa.string()) for column in cells]
    return TableInMemory(pa.table(arrays, names=list(names)), file.missing)


def _unknown(files: Sequence[TableFile], error: Exception) -> Problem:
    """What is said where no cell is at fault."""
    if isinstance(error, CellError):
        return Problem("", error.message, error.hint, files[0].label)
    return files[0].unknown


def _release_memory() -> None:
    """Gives back to the system what pyarrow would keep for the next file."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


# Beside the features -----------------------------------------------------------------------------


def _targets(encoded: Encoded, roles: Roles, spec: Spec) -> tuple[Array, tuple[Label, ...] | None]:
    """The targets as a table has them, and the classes."""
    count = len(roles.targets)
    if spec.model.loss != "logistic" or spec.model.multi_label:
        return np.ascontiguousarray(encoded.rest[:, :count]), None
    codes = encoded.rest[:, 0].astype(np.int64)
    numbers, classes = encode_classes(labels_of(encoded.others[0].categories), spec)
    return numbers[codes], classes


def extra_columns(encoded: Encoded, roles: Roles, spec: Spec) -> dict[str, Array]:
    """The weights, group and time that the spec asks for, as a table has them.

    Raises `DataError` for weights that are none, and times that are texts.
    """
    found: dict[str, Array] = {}
    if roles.weights:
        found["weights"] = _weights(encoded.of(roles.weights, "numeric"), spec)
    if roles.group:
        found["group"] = encoded.of(roles.group, "categorical").astype(np.int64)
    if roles.time:
        if any(c.name == roles.time and c.kind in ("boolean", "categorical")
               for c in encoded.others):  # fmt: skip
            message = f"'{roles.time}' holds neither numbers nor dates"
            hint = "write dates as 2024-12-31 or 2024-12-31 23:59:59"
            raise DataError(spec.problem(("data", "split", "time"), message, hint))
        found["time"] = encoded.of(roles.time, "date", "numeric")
    return found


def _weights(weights: Array, spec: Spec) -> Array:
    """The weights, if none is negative and some is not 0. Raises `DataError`."""
    wrong = np.flatnonzero(weights < 0)
    if len(wrong):
        message = f"the weight {weights[wrong[0]]:g} is negative (row {wrong[0]}, counted from 0)"
        raise DataError(spec.problem(("data", "weights"), message, "weights are 0 or more"))
    if not weights.any():
        raise DataError(spec.problem(("data", "weights"), "all weights are 0"))
    return weights
