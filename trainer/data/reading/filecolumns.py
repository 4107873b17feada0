"""The one way from open files to numbers: columns are found, batches encoded, checked, faults told.

Tables in memory (`assembling.py`), tables on disk (`pieces.py`) and rows to predict (`rows.py`)
are all read by `FileColumns`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from trainer.data.columns.arrow import arrow_texts
from trainer.data.columns.encoding import encode_batch
from trainer.data.columns.roles import Wanted
from trainer.data.columns.table import Column
from trainer.data.columns.values import CellError
from trainer.data.reading.faults import find_faults
from trainer.data.reading.files import unreadable
from trainer.data.reading.finding import Findings, find_columns
from trainer.data.reading.tablefile import TableFile, TableInMemory
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.columns import Kind

_REFUSALS: Final = (ValueError, csv.Error, OSError)
"""What reading and encoding raise; `CellError` and pyarrow's errors are among them."""


class _UnfitError(ValueError):
    """A row of a batch has a cell that must not be missing, or a label without a number."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


@dataclass(frozen=True)
class FileColumns:
    """Columns of open files: what is `wanted` of each, and what it is.

    With `thorough` the faults of all rows are told where some have any, which reads all files
    again; else those of the rows up to the first with a fault. With `strict` every label must be
    among those of its column; else others become -1. `missing` are the texts that stand for
    nothing in files of every kind; None for those of each file. `notes` say what a reader should
    know.
    """

    files: Sequence[TableFile]
    wanted: Sequence[Wanted]
    columns: tuple[Column, ...]
    thorough: bool = True
    strict: bool = True
    missing: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def find(
        cls, files: Sequence[TableFile], wanted: Sequence[Wanted], *, thorough: bool = True
    ) -> FileColumns:
        """Finds what the columns are. Raises `DataError` with the faults of the files."""
        try:
            found = find_columns(files, wanted)
        except _REFUSALS as error:
            names = [want.name for want in wanted]
            if not thorough:
                raise DataError(_refused(files, names, error)) from None
            found = find_columns([_readable(file, names) for file in files], wanted)
            raise DataError(cls.of(files, wanted, found)._told(error, files[0])) from None
        if found.problems:
            raise DataError(cls.of(files, wanted, found, thorough)._told_beside(found.problems))
        return cls.of(files, wanted, found, thorough)

    @classmethod
    def of(
        cls, files: Sequence[TableFile], wanted: Sequence[Wanted], found: Findings,
        thorough: bool = True,
    ) -> FileColumns:  # fmt: skip
        """The columns that were found."""
        return cls(files, wanted, tuple(found.columns), thorough, notes=tuple(found.notes))

    def batches(self) -> Iterator[tuple[int, Array]]:
        """As many rows as a file gives at once, of shape (rows, columns) in float64; and the
        number of the file. Raises `DataError` with the first faults.
        """
        for number, file in enumerate(self.files):
            done, count = 0, 0
            try:
                for batch in file.batches(self.columns):
                    count = batch.num_rows
                    values = encode_batch(batch, self.columns, self._missing(file))
                    self._check(values)
                    yield number, values
                    done, count = done + count, 0
            except _REFUSALS as error:
                stop = error.row + 1 if isinstance(error, _UnfitError) else count
                raise DataError(self._told(error, file, rows=slice(done, done + stop))) from None

    def _missing(self, file: TableFile) -> tuple[str, ...]:
        return file.missing if self.missing is None else self.missing

    def empty(self) -> DataError:
        """What is told where no file has a row."""
        return DataError(self._told(ValueError(), *self.files))

    @cached_property
    def _required(self) -> Array:
        return np.array([not want.optional for want in self.wanted])

    @cached_property
    def _coded(self) -> Array:
        return np.array([self.strict and bool(column.categories) for column in self.columns])

    def _check(self, values: Array) -> None:
        """Raises `_UnfitError`. Only a file that changed since its columns were found has labels
        that a categorical column lacks; an ordinal one has the order that the spec declares.
        """
        required, coded = self._required, self._coded
        missing = np.isnan(values if required.all() else values[:, required])
        unknown = values[:, coded] < 0
        if missing.any() or unknown.any():
            raise _UnfitError(int((missing.any(axis=1) | unknown.any(axis=1)).argmax()))

    # Faults -------------------------------------------------------------------------------------

    def _told(
        self, error: Exception, *files: TableFile, rows: slice = slice(None)
    ) -> list[Problem]:
        """What is told of files in which reading stopped, at a cell of these rows."""
        of_cell = isinstance(error, CellError | _UnfitError)
        if not of_cell and (isinstance(error, OSError) or not self.thorough):
            return _refused(files, [want.name for want in self.wanted], error)
        if self.thorough:
            files, rows = tuple(self.files), slice(None)
        faults = find_faults(
            files, self.wanted, self.columns, self._missing(files[0]), strict=self.strict, rows=rows
        )
        if not faults and isinstance(error, CellError):
            return [Problem("", error.message, error.hint, files[0].label, code="TR-D018")]
        return faults or [files[0].unknown]

    def _told_beside(self, problems: Mapping[int, Problem]) -> list[Problem]:
        """What was found wrong with some columns, and the faults of the others."""
        others = [i for i in range(len(self.columns)) if i not in problems]
        if not self.thorough:
            return [*problems.values()]
        wanted = [self.wanted[i] for i in others]
        columns = [self.columns[i] for i in others]
        spellings = self._missing(self.files[0])
        return [*problems.values(), *find_faults(self.files, wanted, columns, spellings)]


def take(values: Array, columns: Sequence[Column], name: str, *kinds: Kind) -> Array:
    """The numbers of the column of this name that is of one of the kinds, of shape (rows,)."""
    place = next(i for i, c in enumerate(columns) if c.name == name and c.kind in kinds)
    return np.ascontiguousarray(values[:, place])


def _refused(files: Sequence[TableFile], names: Sequence[str], error: Exception) -> list[Problem]:
    """What is told where rows cannot be read: the first problem that is no matter of a cell."""
    for file in files:
        try:
            records = file.records(list(dict.fromkeys(names)))
            found = next((each for each in records if isinstance(each, Problem)), None)
        except OSError as refused:
            return [unreadable(Path(str(file.label)), refused)]
        if found is not None:
            return [found]
    if isinstance(error, OSError):
        return [unreadable(Path(str(files[0].label)), error)]
    return [files[0].unknown]


def _readable(file: TableFile, names: Sequence[str]) -> TableFile:
    """The columns of a text file as far as rows can be read, whatever is wrong with others."""
    import pyarrow as pa

    names = list(dict.fromkeys(names))
    rows = [record[1] for record in file.records(names) if not isinstance(record, Problem)]
    cells = list(zip(*rows, strict=True)) or [() for _ in names]
    arrays = [arrow_texts(column) for column in cells]
    return TableInMemory(pa.table(arrays, names=names), file.missing)
