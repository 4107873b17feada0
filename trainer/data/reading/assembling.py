"""From open files to one table in memory.

A CSV file whose features are numbers goes the short way: pyarrow parses it as a whole to float64.
All other tables are read twice, once to see what the columns are, once to encode them batch by
batch; of these only the raw matrix is ever in memory as a whole.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np

from trainer.data.columns.encoding import floats
from trainer.data.columns.roles import Roles, Wanted, wanted_extra, wanted_features, wanted_targets
from trainer.data.columns.table import Column, Table, plain_columns
from trainer.data.columns.targets import Targets
from trainer.data.misfits import Misfit, MisfitError
from trainer.data.reading.csv import CsvFile
from trainer.data.reading.dropping import ROW, ROW_NUMBERS, Dropping, KeptRows
from trainer.data.reading.filecolumns import FileColumns, take
from trainer.data.reading.noting import notes_on
from trainer.data.reading.tablefile import TableFile, TableInMemory
from trainer.errors import DataError
from trainer.graph.ops import Array
from trainer.spec.data import DataSpec


@dataclass(frozen=True)
class Encoded:
    """Columns as numbers: `x` of shape (rows, features), `rest` of shape (rows, other columns).
    `counts` are the rows of each file; `notes` say what a reader should know of the cells.
    """

    columns: tuple[Column, ...]
    x: Array
    others: tuple[Column, ...]
    rest: Array
    counts: tuple[int, ...]
    notes: tuple[str, ...] = ()


def assemble(
    files: list[TableFile], roles: Roles, data: DataSpec, origin: str
) -> tuple[Table, tuple[int, ...]]:
    """The rows of the files, one after the other, as a table; and how many are of each.

    The list is emptied on the way, so that no text is in memory beside the numbers. Raises
    `DataError` with the first faults found: where in which file, what was expected, what stands
    there; and `MisfitError` for targets, weights and times that are none.
    """
    others, dropping = [*wanted_targets(roles, data), *wanted_extra(roles, data)], Dropping(files)
    others += [ROW_NUMBERS] * dropping.asked
    encoded = encode_files(files, wanted_features(roles.features, data), others)
    targets = Targets.of(encoded.others[: len(roles.targets)], roles.goal)
    table = Table(
        encoded.columns, encoded.x, roles.targets, targets.read(encoded.rest), targets.classes,
        origin, notes=encoded.notes, left_out=dropping.told(), **extra_columns(encoded, roles),
    )  # fmt: skip
    return table, encoded.counts


def encode_files(
    files: list[TableFile], features: Sequence[Wanted], others: Sequence[Wanted]
) -> Encoded:
    """The columns of all files as numbers, and the list of files emptied.

    Raises `DataError` with the faults of the files.
    """
    import pyarrow as pa

    encoded = _encode_plain(files, features, others)
    if encoded is None:
        encoded = _collect(FileColumns.find(files, [*features, *others]), len(features))
        notes = notes_on(files, features, encoded.columns)
        encoded = replace(encoded, notes=(*encoded.notes, *notes))
    files.clear()
    pa.default_memory_pool().release_unused()  # which would be kept for the next file
    return encoded


def _collect(columns: FileColumns, features: int) -> Encoded:
    """All rows, of whose columns the first are features; their raw matrix grows as it is read."""
    x, rest = _Growing(features), _Growing(len(columns.columns) - features)
    counts = [0] * len(columns.files)
    for number, values in columns.batches():
        x.append(values[:, :features])
        rest.append(values[:, features:])
        counts[number] += len(values)
    if not x.rows:
        raise columns.empty()
    first, others = columns.columns[:features], columns.columns[features:]
    return Encoded(first, x.done(), others, rest.done(), tuple(counts), columns.notes)


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


# The short way -----------------------------------------------------------------------------------


def _encode_plain(
    files: list[TableFile], features: Sequence[Wanted], others: Sequence[Wanted]
) -> Encoded | None:
    """The columns of CSV files whose features are all numbers; None where some are not, or where
    anything is at fault, which the long way tells.
    """
    if any(want.kind not in (None, "numeric") for want in features):
        return None
    numbers = [*features, *(want for want in others if want.kind == "numeric")]
    if not all(want.notation.has_plain_numbers for want in numbers):
        return None
    texts = [want.name for want in others if want.kind != "numeric"]
    if {want.name for want in numbers} & {*texts}:
        return None
    parsed = _parse(files, numbers, texts)
    if parsed is None:
        return None
    try:
        rest = _collect(FileColumns.find(parsed, others), 0)
    except DataError:
        return None
    names = [want.name for want in features]
    columns = plain_columns(names)
    notes = notes_on(files, features, columns)
    files.clear()  # only faults and notes need their bytes
    x = _side_by_side(parsed, names, sum(rest.counts))
    return Encoded(columns, x, rest.others, rest.rest, rest.counts, notes)


def _parse(
    files: Sequence[TableFile], numbers: Sequence[Wanted], texts: Sequence[str]
) -> list[TableInMemory] | None:
    """CSV files with these columns; None where one cannot be read so, or some numbers are none."""
    import pyarrow as pa

    types = {want.name: pa.float64() for want in numbers} | dict.fromkeys(texts, pa.string())
    tables = []
    for file in files:
        if not isinstance(file, CsvFile | KeptRows):
            return None
        try:
            table = file.whole(types)
        except (ValueError, csv.Error):
            return None
        if not all(_is_usable(table[want.name], want.optional) for want in numbers):
            return None
        tables.append(TableInMemory(table, file.missing))
    return tables


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


# Beside the features -----------------------------------------------------------------------------


class Extra(TypedDict, total=False):
    """What a table has beside features and targets, where it is asked for."""

    weights: Array
    group: Array
    time: Array
    numbers: Array


def extra_columns(encoded: Encoded, roles: Roles) -> Extra:
    """The weights, group and time that the spec asks for, and the rows' numbers, as a table has
    them.

    Raises `MisfitError` for weights that are none, and times that are texts.
    """
    found: Extra = {}
    rest, others = encoded.rest, encoded.others
    if others and others[-1].name == ROW:
        found["numbers"] = rest[:, -1].astype(np.int64)
    if roles.weights:
        found["weights"] = take(rest, others, roles.weights, "numeric")
        _check_weights(found["weights"], found.get("numbers"))
    if roles.group:
        found["group"] = take(rest, others, roles.group, "categorical").astype(np.int64)
    if roles.time:
        if any(c.name == roles.time and c.kind in ("boolean", "categorical") for c in others):
            message = f"'{roles.time}' holds neither numbers nor dates"
            hint = "write dates as 2024-12-31 or 2024-12-31 23:59:59"
            raise MisfitError(
                DataError, Misfit(("data", "split", "time"), message, hint, code="TR-D032")
            )
        found["time"] = take(rest, others, roles.time, "date", "numeric")
    return found


def _check_weights(weights: Array, numbers: Array | None) -> None:
    """Raises `MisfitError` where a weight is negative, or all are 0."""
    at = ("data", "weights")
    wrong = np.flatnonzero(weights < 0)
    if len(wrong):
        row = wrong[0] if numbers is None else numbers[wrong[0]]
        message = f"the weight {weights[wrong[0]]:g} is negative (row {row}, counted from 0)"
        raise MisfitError(DataError, Misfit(at, message, "weights are 0 or more", code="TR-D033"))
    if not weights.any():
        raise MisfitError(
            DataError,
            Misfit(at, "all weights are 0", "give some row a weight above 0", code="TR-D033"),
        )
