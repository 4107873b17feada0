"""Files without the rows that the spec leaves out: what reads them sees a file that never had them.

So kinds, categories, faults, the hash and the split are those of such a file. Only the numbers of
rows stay: they come along as a column of their own, which messages and `explain` look up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np

from trainer.data.columns.arrow import arrow_array
from trainer.data.columns.cells import is_missing
from trainer.data.columns.encoding import floats, is_floating, missing_cells
from trainer.data.columns.roles import Wanted
from trainer.data.columns.table import Column, LeftOut
from trainer.data.reading.csv import CsvFile
from trainer.data.reading.tablefile import Record, TableFile, Wrapped
from trainer.errors import Problem
from trainer.graph.ops import Array

ROW: Final = "\0row"
"""The column with the numbers of the rows, counted from 0 over all files; no file's has this name.
"""
ROW_NUMBERS: Final = Wanted(ROW, "numeric", "a number")


@dataclass
class _Count:
    """What one pass over a file found: its rows, those that are left out, and why."""

    rows: int = 0
    dropped: int = 0
    missing: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptRows(Wrapped):
    """The rows of a file that have a value in each of the columns `by`.

    `before` are the counts of the files that are read before it, and `count` those of the last
    whole pass over this one. `spellings` are the texts that stand for nothing, by default those of
    the file.
    """

    by: tuple[str, ...]
    before: tuple[_Count, ...] = ()
    spellings: tuple[str, ...] | None = None
    count: _Count = field(default_factory=_Count)

    @property
    def missing(self) -> tuple[str, ...]:
        """The texts that stand for nothing."""
        return self.file.missing if self.spellings is None else self.spellings

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns, that of the rows' numbers among them."""
        import pyarrow as pa

        return {**self.file.types, ROW: pa.int64()}

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns as record batches, without the rows that are left out."""
        asked = [column for column in columns if column.name != ROW]
        known = {column.name for column in asked}
        also = [Column(name, "categorical") for name in self.by if name not in known]
        yield from self._kept(self.file.batches([*asked, *also]))

    def whole(self, types: Mapping[str, Any]) -> Any:
        """As `CsvFile.whole`, without the rows that are left out. Raises what that raises, and
        `ValueError` for a file of another kind.
        """
        import pyarrow as pa

        if not isinstance(self.file, CsvFile):
            raise ValueError
        asked = {name: kind for name, kind in types.items() if name != ROW}
        table = self.file.whole(dict.fromkeys(self.by, pa.string()) | asked)
        for name in self.by:
            chunks = table[name].chunks if is_floating(table[name].type) else ()
            if any(np.isnan(floats(chunk, 0.0)).any() for chunk in chunks):
                raise ValueError  # a text that reads as no number, and is not missing
        kept = list(self._kept(table.to_batches()))
        return pa.Table.from_batches(kept) if kept else self._empty(table.schema)

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """The places and cells of the rows that are kept."""
        asked = [name for name in names if name != ROW]
        place_of = {name: i for i, name in enumerate(asked)}
        places = [place_of.get(name, -1) for name in names]
        row, kept = self._first - 1, False
        for record in self.file.records([*asked, *self.by]):
            if isinstance(record, Problem):
                yield record
                continue
            row += 1
            place, cells = record
            if any(is_missing(cell, self.missing) for cell in cells[len(asked) :]):
                continue
            kept = True
            yield place, [row if at < 0 else cells[at] for at in places]
        if row >= self._first and not kept:
            message = "every row is left out: each has an empty cell where it must have a value"
            hint = "name fewer columns in `data.drop_rows`"
            yield Problem("", message, hint, self.label, code="TR-D007")

    @property
    def _first(self) -> int:
        """The number of the file's first row."""
        return sum(count.rows for count in self.before)

    def _kept(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches with the rows' numbers, without the rows that are left out; counts both."""
        count, first = _Count(), self._first
        for batch in batches:
            keep = self._full(batch, count.missing)
            numbers = first + count.rows + np.flatnonzero(keep)
            count.rows += len(keep)
            count.dropped += len(keep) - len(numbers)
            if not len(numbers):
                continue
            if len(numbers) < len(keep):
                batch = batch.filter(arrow_array(keep))
            yield batch.append_column(ROW, arrow_array(numbers))
        vars(self.count).update(vars(count))  # only now, as a pass may be ended early

    def _full(self, batch: Any, counts: dict[str, int]) -> Array:
        """Which rows have a value in each of the columns; counts those that have none."""
        keep = np.ones(batch.num_rows, bool)
        for name in self.by:
            missing = missing_cells(batch.column(name), self.missing)
            lost = int(np.count_nonzero(missing))
            if lost:
                keep &= ~missing
                counts[name] = counts.get(name, 0) + lost
        return keep

    def _empty(self, schema: Any) -> Any:
        import pyarrow as pa

        return schema.append(pa.field(ROW, pa.int64())).empty_table()


def keep_rows(
    files: Sequence[TableFile], by: tuple[str, ...], missing: tuple[str, ...] | None = None
) -> list[TableFile]:
    """The files without the rows that miss a value in one of these columns. `missing` are the
    texts that stand for nothing, by default those of each file.
    """
    if not by:
        return list(files)
    kept: list[KeptRows] = []
    for file in files:
        kept.append(KeptRows(file, by, tuple(each.count for each in kept), missing))
    return list(kept)


class Dropping:
    """What is left out of files, once they are read to their end; it holds none of their bytes."""

    def __init__(self, files: Sequence[TableFile]) -> None:
        kept = [file for file in files if isinstance(file, KeptRows)]
        self._by = kept[0].by if kept else ()
        self._counts = [file.count for file in kept]

    @property
    def asked(self) -> bool:
        """Whether rows are to be left out."""
        return bool(self._counts)

    def told(self) -> LeftOut | None:
        """The counts; None where nothing is left out."""
        rows, dropped = (
            sum(getattr(count, name) for count in self._counts) for name in ("rows", "dropped")
        )
        missing = {name: sum(c.missing.get(name, 0) for c in self._counts) for name in self._by}
        return LeftOut(dropped, rows, {n: c for n, c in missing.items() if c}) if dropped else None
