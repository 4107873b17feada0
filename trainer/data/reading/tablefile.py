"""The face of a table in a file, which is the same for every kind of file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from trainer.data.columns.encoding import plain_values
from trainer.data.columns.table import Column, show
from trainer.errors import DataError, Problem
from trainer.spec.names import collisions, visible

ROWS: Final = 2**16
"""Rows that are read at a time, where the file does not say."""
CELLS: Final = 2**22
"""Cells that are read at a time, where a row has many."""

Record: TypeAlias = tuple[int, list[Any]] | Problem


class TableFile(Protocol):
    """A table in a file, of any kind."""

    @property
    def label(self) -> str | None:
        """Its path, for messages; None for what is in no file."""

    @property
    def y(self) -> tuple[str, ...]:
        """The columns that the target `y` means, where that is no column."""

    @property
    def missing(self) -> tuple[str, ...]:
        """The texts that stand for nothing."""

    @property
    def counts(self) -> str:
        """What the places of `records` are numbers of: `line` or `row`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how the file is read."""

    @property
    def index(self) -> tuple[str, ...]:
        """The columns that number the rows, which are no features unless they are named."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns, of which none stands twice. Raises `DataError`."""

    @property
    def raw_names(self) -> Sequence[str]:
        """The names as they are written, in the same order."""

    @property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns."""

    @property
    def unknown(self) -> Problem:
        """What is said of a file that was refused, though no fault is found in it."""

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns as pyarrow's record batches, of a bounded number of rows each.

        Raises `DataError`, and for CSV files `ValueError`, `csv.Error` and `OSError`.
        """

    def cell(self, place: int, name: str) -> str | None:
        """Where a cell stands, in words; None where the place of its row and its column tell."""

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Each row's place and its cells of these columns; a problem for what is no row."""


@dataclass(frozen=True)
class Wrapped:
    """What a file that stands for another one says as that does."""

    file: TableFile

    @property
    def label(self) -> str | None:
        """Its path, for messages."""
        return self.file.label

    @property
    def y(self) -> tuple[str, ...]:
        """The columns that the target `y` means, where that is no column."""
        return self.file.y

    @property
    def missing(self) -> tuple[str, ...]:
        """The texts that stand for nothing."""
        return self.file.missing

    @property
    def counts(self) -> str:
        """What the places of `records` are numbers of: `line` or `row`."""
        return self.file.counts

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of how the file is read."""
        return self.file.notes

    @property
    def index(self) -> tuple[str, ...]:
        """The columns that number the rows."""
        return self.file.index

    @property
    def names(self) -> Sequence[str]:
        """The names of the file's columns. Raises `DataError`."""
        return self.file.names

    @property
    def raw_names(self) -> Sequence[str]:
        """The names as they are written."""
        return self.file.raw_names

    @property
    def unknown(self) -> Problem:
        """What is said of a file that was refused, though no fault is found in it."""
        return self.file.unknown

    def cell(self, place: int, name: str) -> str | None:
        """Where a cell stands, in words."""
        return self.file.cell(place, name)


class BinaryFile(ABC):
    """What tables have in common that are no texts: their rows are counted from 0."""

    path: Path | None
    missing: tuple[str, ...] = ()
    y: tuple[str, ...] = ()
    counts = "row"
    notes: tuple[str, ...] = ()

    @property
    def index(self) -> tuple[str, ...]:
        """The columns that number the rows."""
        return ()

    @property
    def label(self) -> str | None:
        """Its path, for messages; None for what is in no file."""
        return None if self.path is None else str(self.path)

    @property
    @abstractmethod
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns."""

    @property
    def unknown(self) -> Problem:
        """What is said where no fault is found."""
        return Problem("", "this file cannot be read", None, self.label, code="TR-D004")

    @abstractmethod
    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns as pyarrow's record batches."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.types)

    @property
    def raw_names(self) -> Sequence[str]:
        """The names as they are written."""
        return self.names

    def cell(self, place: int, name: str) -> str | None:
        """Where a cell stands, which the number of its row and its column tell."""
        return None

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Each row's number, counted from 0, and its cells."""
        first = 0
        for batch in self.batches([Column(name) for name in names]):
            cells = [plain_values(batch.column(name)) for name in names]
            yield from ((first + i, list(row)) for i, row in enumerate(zip(*cells, strict=True)))
            first += batch.num_rows
        if not first:
            yield Problem("", "the file has no rows", None, self.label, code="TR-D007")

    def check_names(self, names: Sequence[str]) -> None:
        """Raises `DataError` where a name stands twice, or two cannot be told from each other."""
        repeated = [name for name, count in Counter(names).items() if count > 1]
        alike = collisions(names)
        if repeated:
            message = f"the column {show(repeated[0])} stands {names.count(repeated[0])} times"
        elif alike:
            both = " and ".join(show_visible(name) for name in alike[0])
            message = f"the names {both} differ in nothing that can be seen"
        else:
            return
        raise DataError(
            Problem("", message, "give each column its own name", self.label, code="TR-D009")
        )


def show_visible(name: str) -> str:
    """A name for messages, with all that cannot be seen written out."""
    return show(visible(name)).replace("\\\\", "\\")


@dataclass(frozen=True)
class TableInMemory(BinaryFile):
    """A pyarrow table, all of it in memory."""

    table: Any
    missing: tuple[str, ...] = ()
    path = None

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns."""
        return {field.name: field.type for field in self.table.schema}

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns, as they lie in memory."""
        names = list(dict.fromkeys(column.name for column in columns))
        yield from self.table.select(names).to_batches()
