"""Tables that stay in their files: read from beginning to end, a piece of some thousand rows each.

Pieces are cut by the numbers of their rows alone, so nothing depends on how a reader batches them.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from trainer.data.columns.roles import Roles, wanted_extra, wanted_features, wanted_targets
from trainer.data.columns.table import Column, Table
from trainer.data.columns.targets import Targets
from trainer.data.reading.dropping import ROW_NUMBERS, Dropping
from trainer.data.reading.filecolumns import FileColumns, take
from trainer.data.reading.noting import notes_on
from trainer.data.reading.sources import Reading, notes_of, open_files, origin_of, silent
from trainer.data.reading.tablefile import CELLS, ROWS, TableFile
from trainer.errors import DataError, Problem
from trainer.graph.ops import Array
from trainer.spec.schema import Spec

PIECE: Final = ROWS
"""The rows of a piece, at most."""


@dataclass(frozen=True)
class TableOnDisk:
    """The columns of a spec's files, of which the first are the features.

    `parts` says of which part each file is, as in `Table.part`; `stamps` holds what tells that a
    file was written to; `dropping` counts the rows that are left out, pass by pass;
    `of_files` are notes on how files are read.
    """

    cells: FileColumns
    parts: Sequence[int]
    roles: Roles
    targets: Targets
    stamps: Sequence[tuple[int, ...]]
    dropping: Dropping
    of_files: tuple[str, ...]

    @classmethod
    def open(cls, spec: Spec, told: Reading = silent) -> TableOnDisk:
        """Opens the files and finds what the columns are; of large ones it is `told`.

        Raises `DataError` and `MisfitError`.
        """
        files, parts, roles = open_files(spec, told, loaded=False)
        stamps = [_stamp(file) for file in files]
        targets, extra = wanted_targets(roles, spec.data), wanted_extra(roles, spec.data)
        dropping = Dropping(files)
        extra += [ROW_NUMBERS] * dropping.asked
        wanted = [*wanted_features(roles.features, spec.data), *targets, *extra]
        cells = FileColumns.find(files, wanted, thorough=False)
        columns = cells.columns[len(roles.features) :][: len(targets)]
        if roles.goal == "class" and not columns[0].categories:
            deque(cells.batches(), maxlen=0)  # which tells where labels are missing
            raise cells.empty()
        notes = notes_of(files, roles)
        return cls(cells, parts, roles, Targets.of(columns, roles.goal), stamps, dropping, notes)

    @property
    def features(self) -> tuple[Column, ...]:
        """What the features are."""
        return self.cells.columns[: len(self.roles.features)]

    @property
    def others(self) -> tuple[Column, ...]:
        """What the other columns are."""
        return self.cells.columns[len(self.roles.features) :]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the cells."""
        wanted = self.cells.wanted[: len(self.features)]
        return (
            *self.of_files,
            *self.cells.notes,
            *notes_on(self.cells.files, wanted, self.features),
        )

    @property
    def origin(self) -> str:
        """Where the rows come from."""
        return origin_of(self.cells.files)

    @property
    def size(self) -> int:
        """The rows of a piece; the last may have fewer."""
        return max(1, min(PIECE, CELLS // len(self.cells.columns)))

    def check(self) -> None:
        """Raises `DataError` where a file was written to since it was opened."""
        for file, stamp in zip(self.cells.files, self.stamps, strict=True):
            if _stamp(file) != stamp:
                message = "this file changed while it was read"
                raise DataError(
                    Problem("", message, "train when it is whole", file.label, code="TR-D036")
                )

    def pieces(self) -> Iterator[tuple[int, Table]]:
        """All rows, as tables of the same number of rows each (the last may have fewer), with the
        number of the first row. The next piece overwrites the arrays.

        Raises `DataError` with the faults of the first rows that have some.
        """
        width, total, size = len(self.features), len(self.cells.columns), self.size
        x, rest = np.empty((size, width)), np.empty((size, total - width))
        part, first, filled = np.zeros(size, np.int8), 0, 0
        for number, values in self._batches():
            at = 0
            while at < len(values):
                stop = min(filled + len(values) - at, size)
                here, there = slice(filled, stop), slice(at, at + stop - filled)
                x[here], rest[here] = values[there, :width], values[there, width:]
                part[here] = self.parts[number]
                at, filled = there.stop, stop
                if filled == size:
                    yield first, self._table(x, rest, part)
                    first, filled = first + size, 0
        if filled:
            yield first, self._table(x[:filled], rest[:filled], part[:filled])
        elif not first:
            raise self.cells.empty()

    def _batches(self) -> Iterator[tuple[int, Array]]:
        try:
            yield from self.cells.batches()
        except DataError:
            self.check()  # which says more
            raise

    def _table(self, x: Array, rest: Array, part: Array) -> Table:
        weights = self.roles.weights
        return Table(
            self.features, x, self.roles.targets, self.targets.read(rest), self.targets.classes,
            self.origin,
            weights=take(rest, self.others, weights, "numeric") if weights else None,
            part=part if any(self.parts) else None,
            numbers=rest[:, -1].astype(np.int64) if self.dropping.asked else None,
        )  # fmt: skip


def _stamp(file: TableFile) -> tuple[int, ...]:
    """What differs after someone wrote to a file."""
    found = os.stat(str(file.label))
    # whoever writes to a file may set the time of that back, but not the time of its last change
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
