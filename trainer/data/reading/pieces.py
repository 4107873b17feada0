"""Tables that stay in their files: read from beginning to end, a piece of some thousand rows each.

Pieces are cut by the numbers of their rows alone, so nothing depends on how a reader batches them.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trainer.data.columns.cells import CellError, labels_of
from trainer.data.columns.encoding import encode_batch
from trainer.data.columns.kinds import Wanted, find_columns, wanted_features
from trainer.data.columns.table import Column, Label, Roles, Table, encode_classes
from trainer.data.reading.assembling import wanted_others
from trainer.data.reading.faults import find_faults
from trainer.data.reading.files import unreadable
from trainer.data.reading.sources import open_files, origin_of
from trainer.data.reading.tablefile import CELLS, ROWS, TableFile
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.data import FileSource
from trainer.spec.schema import Spec

PIECE: Final = ROWS
"""The rows of a piece, at most."""


class _UnfitError(ValueError):
    """A row with a cell that must not be missing, or whose category its column has not."""


@dataclass(frozen=True)
class TableOnDisk:
    """The files of a spec and what their columns are.

    `features` and `others` are the columns beside each other, with what is wanted of them;
    `parts` says of which part each file is, as in `Table.part`. `numbers` holds the number of each
    class by the code of its label, `stamps` what tells that a file was written to.
    """

    spec: Spec
    files: Sequence[TableFile]
    parts: Sequence[int]
    roles: Roles
    wanted: Sequence[Wanted]
    features: tuple[Column, ...]
    others: tuple[Column, ...]
    numbers: Array | None
    classes: tuple[Label, ...] | None
    stamps: Sequence[tuple[int, ...]]

    @classmethod
    def open(cls, spec: Spec) -> TableOnDisk:
        """Opens the files and finds what the columns are. Raises `DataError` and `SpecError`."""
        source = spec.data.source
        assert isinstance(source, FileSource)
        files, parts, roles = open_files(source, spec, loaded=False)
        stamps = [_stamp(file) for file in files]
        wanted = [*wanted_features(roles.features, spec), *wanted_others(roles, spec)]
        try:
            columns = find_columns(files, wanted)
        except (ValueError, csv.Error, OSError) as error:
            raise DataError(_refused(files, [want.name for want in wanted], error)) from None
        count = len(roles.features)
        features, others = columns[:count], columns[count:]
        numbers, classes = None, None
        if spec.model.loss == "logistic" and not spec.model.multi_label:
            labels = labels_of(others[0].categories)
            if not labels:
                raise DataError(_refused(files, [wanted[count].name], ValueError()))
            numbers, classes = encode_classes(labels, spec)
        return cls(
            spec, files, parts, roles, wanted, features, others, numbers, classes, stamps
        )  # fmt: skip

    @property
    def origin(self) -> str:
        """Where the rows come from."""
        return origin_of(self.files)

    def check(self) -> None:
        """Raises `DataError` where a file was written to since it was opened."""
        for file, stamp in zip(self.files, self.stamps, strict=True):
            if _stamp(file) != stamp:
                message = "this file changed while it was read"
                raise DataError(Problem("", message, "train when it is whole", file.label))

    def pieces(self) -> Iterator[tuple[int, Table]]:
        """All rows, as tables of the same number of rows each (the last may have fewer), with the
        number of the first row. The next piece overwrites the arrays.

        Raises `DataError` with the faults of the first rows that have some.
        """
        size = max(1, min(PIECE, CELLS // (len(self.features) + len(self.others))))
        x, rest = np.empty((size, len(self.features))), np.empty((size, len(self.others)))
        part, first, filled = np.zeros(size, np.int8), 0, 0
        for of, more, others in self._batches():
            at = 0
            while at < len(more):
                stop = min(filled + len(more) - at, size)
                here, there = slice(filled, stop), slice(at, at + stop - filled)
                x[here], rest[here], part[here] = more[there], others[there], of
                at, filled = there.stop, stop
                if filled == size:
                    yield first, self._table(x, rest, part)
                    first, filled = first + size, 0
        if filled:
            yield first, self._table(x[:filled], rest[:filled], part[:filled])
        elif not first:
            names = [want.name for want in self.wanted]
            raise DataError(_refused(self.files, names, ValueError()))

    def _table(self, x: Array, rest: Array, part: Array) -> Table:
        target = np.ascontiguousarray(rest[:, : len(self.roles.targets)])
        if self.numbers is not None:
            target = self.numbers[target[:, 0].astype(np.int64)]
        weights = None
        if self.roles.weights:
            [place] = [
                i for i, column in enumerate(self.others)
                if column.name == self.roles.weights and column.kind == "numeric"
            ]  # fmt: skip
            weights = np.ascontiguousarray(rest[:, place])
        given = part if any(self.parts) else None
        return Table(
            self.features, x, self.roles.targets, target, self.classes, self.origin, weights,
            part=given,
        )  # fmt: skip

    # Reading ------------------------------------------------------------------------------------

    def _batches(self) -> Iterator[tuple[int, Array, Array]]:
        """The part, the features and the other columns, as many rows as the files give at once."""
        columns = [*self.features, *self.others]
        for file, part in zip(self.files, self.parts, strict=True):
            done, count = 0, 0
            try:
                for batch in file.batches(columns):
                    count = batch.num_rows
                    x = encode_batch(batch, self.features, file.missing)
                    rest = encode_batch(batch, self.others, file.missing)
                    self._check(x, rest)
                    yield part, x, rest
                    done, count = done + count, 0
            except (CellError, _UnfitError) as error:
                self.check()
                stop = error.args[1] + 1 if isinstance(error, _UnfitError) else count
                rows = slice(done, done + stop)
                faults = find_faults([file], self.wanted, columns, rows=rows)
                raise DataError(faults or file.unknown) from None
            except (ValueError, csv.Error, OSError) as error:
                self.check()
                names = [column.name for column in columns]
                raise DataError(_refused([file], names, error)) from None

    def _check(self, x: Array, rest: Array) -> None:
        """Raises `_UnfitError` with the number of the first row that must not be so."""
        count = len(self.features)
        for wanted, columns, matrix in (
            (self.wanted[:count], self.features, x), (self.wanted[count:], self.others, rest),
        ):  # fmt: skip
            strict = np.array([not want.optional for want in wanted])
            coded = np.array([bool(column.categories) for column in columns])
            wrong = np.zeros(len(matrix), bool)
            if strict.any():
                wrong |= np.isnan(matrix if strict.all() else matrix[:, strict]).any(axis=1)
            if coded.any():
                wrong |= (matrix[:, coded] < 0).any(axis=1)
            if wrong.any():
                raise _UnfitError("a cell", int(wrong.argmax()))


def _stamp(file: TableFile) -> tuple[int, ...]:
    """What differs after someone wrote to a file."""
    if file.label is None:
        return ()
    found = os.stat(file.label)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _refused(files: Sequence[TableFile], names: Sequence[str], error: Exception) -> list[Problem]:
    """What is said where rows cannot be read: the first problem that is no matter of a cell."""
    for file in files:
        try:
            records: Iterator[Any] = file.records(list(dict.fromkeys(names)))
            found = next((each for each in records if isinstance(each, Problem)), None)
        except OSError as refused:
            return [unreadable(_path(file), refused)]
        if found is not None:
            return [found]
    if isinstance(error, OSError):
        return [unreadable(_path(files[0]), error)]
    return [files[0].unknown]


def _path(file: TableFile) -> Any:
    from pathlib import Path

    return Path(str(file.label))
