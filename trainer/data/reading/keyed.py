"""Tables whose folders say more of every row: `year=2024/part-0.parquet` has a column `year`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainer.data.columns.table import Column
from trainer.data.reading.tablefile import Record, TableFile, Wrapped
from trainer.errors import Problem
from trainer.spec.names import clean_name


@dataclass(frozen=True)
class KeyedFile(Wrapped):
    """A file, with a column of one text for each of the `keys`; None is a missing one."""

    keys: Mapping[str, str | None]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, of which the last are those of the folders."""
        return (*self.file.names, *self.keys)

    @property
    def raw_names(self) -> tuple[str, ...]:
        """The names as they are written."""
        return (*self.file.raw_names, *self.keys)

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns."""
        import pyarrow as pa

        return {**self.file.types, **dict.fromkeys(self.keys, pa.string())}

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns as pyarrow's record batches."""
        import pyarrow as pa

        own = [column for column in columns if column.name not in self.keys]
        keys = list(dict.fromkeys(c.name for c in columns if c.name in self.keys))
        for batch in self.file.batches(own or [Column(self.file.names[0], "categorical")]):
            values = (pa.scalar(self.keys[key], pa.string()) for key in keys)
            arrays = [pa.repeat(value, batch.num_rows) for value in values]
            names = [*batch.schema.names, *keys]
            yield pa.RecordBatch.from_arrays([*batch.columns, *arrays], names=names)

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Each row's place and its cells of these columns; a problem for what is no row."""
        own = [name for name in names if name not in self.keys]
        for record in self.file.records(own or [self.file.names[0]]):
            if isinstance(record, Problem):
                yield record
                continue
            cells = dict(zip(own, record[1], strict=False))
            yield record[0], [self.keys[n] if n in self.keys else cells[n] for n in names]


def with_keys(file: TableFile, keys: Mapping[str, str | None]) -> TableFile:
    """The file with a column for each key that is none of its own."""
    own = {clean_name(key): value for key, value in keys.items()}
    further = {key: value for key, value in own.items() if key not in file.names}
    return KeyedFile(file, further) if further else file
