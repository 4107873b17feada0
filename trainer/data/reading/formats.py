"""Files of tables by their kind: CSV, Parquet, Arrow, NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from trainer.data.columns.table import Column
from trainer.data.reading.csv import CsvFile
from trainer.data.reading.files import suffix_of, unreadable
from trainer.data.reading.numpyfiles import read_npy, read_npz
from trainer.data.reading.tablefile import CELLS, ROWS, BinaryFile, TableFile
from trainer.errors import DataError
from trainer.spec.data import (
    MISSING_VALUES,
    ArrowSource,
    CsvSource,
    FileSource,
    NpzSource,
    ParquetSource,
)

PARQUET: Final = (".parquet", ".pq")
_PIECE: Final = 2**20
"""Bytes of a column of a Parquet file that are read at a time."""

NUMPY: Final = (".npz", ".npy")
ARROW: Final = (".arrow", ".feather", ".ipc")


@contextmanager
def _told(path: Path, kind: str) -> Iterator[None]:
    """`DataError` for what pyarrow refuses, and for damaged pages."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(unreadable(path, error, kind)) from None
    except OSError as error:  # of the system, or pyarrow's for a damaged page
        raise DataError(unreadable(path, error)) from None


@dataclass(frozen=True)
class ParquetFile(BinaryFile):
    """A Parquet file, of which some thousand rows are in memory at a time."""

    path: Path

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns. Raises `DataError`."""
        import pyarrow.parquet as pq

        with _told(self.path, "Parquet"), pq.ParquetFile(self.path) as file:
            self.check_names(file.schema_arrow.names)
            return {field.name: field.type for field in file.schema_arrow}

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns, up to `ROWS` rows and `CELLS` cells at a time. Raises `DataError`."""
        import pyarrow.parquet as pq

        names = list(dict.fromkeys(column.name for column in columns))
        rows = max(1, min(ROWS, CELLS // max(1, len(names))))
        # in pieces of a row group, which may be the whole table
        options = {"pre_buffer": False, "buffer_size": _PIECE}
        with _told(self.path, "Parquet"), pq.ParquetFile(self.path, **options) as file:
            yield from file.iter_batches(rows, columns=names, use_threads=False)


@dataclass(frozen=True)
class ArrowFile(BinaryFile):
    """An Arrow file or stream, also called Feather (version 2)."""

    path: Path

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns. Raises `DataError`."""
        with _told(self.path, "Arrow"), self._open() as batches:
            self.check_names(batches.schema.names)
            return {field.name: field.type for field in batches.schema}

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns, up to `ROWS` rows at a time. Raises `DataError`."""
        names = list(dict.fromkeys(column.name for column in columns))
        with _told(self.path, "Arrow"), self._open() as reader:
            for batch in _each(reader):
                chosen = batch.select(names)
                chosen.validate(full=True)  # wrong offsets would reach beyond the memory
                for start in range(0, chosen.num_rows, ROWS):
                    yield chosen.slice(start, ROWS)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import pyarrow as pa

        with self.path.open("rb") as file:
            magic = file.read(6)
        if magic[:4] == b"FEA1":
            raise pa.ArrowInvalid("it is Feather of version 1, which no longer is written")
        if not magic:
            raise pa.ArrowInvalid("the file is empty")
        with pa.memory_map(str(self.path)) as source:
            make = pa.ipc.open_file if magic == b"ARROW1" else pa.ipc.open_stream
            with make(source) as reader:
                yield reader


def _each(reader: Any) -> Iterator[Any]:
    """The batches of an Arrow file or stream."""
    count = getattr(reader, "num_record_batches", None)
    return iter(reader) if count is None else map(reader.get_batch, range(count))


# By source, or by name ---------------------------------------------------------------------------


def open_source(source: FileSource, path: Path) -> TableFile:
    """A file of the source, which stays on disk; NumPy's arrays are read. Raises `DataError`."""
    if isinstance(source, CsvSource):
        return CsvFile(path, source.separator, source.missing_values)
    if isinstance(source, ParquetSource):
        return ParquetFile(path)
    if isinstance(source, ArrowSource):
        return ArrowFile(path)
    assert isinstance(source, NpzSource), "rows of .npy files are in two files"
    return read_npz(path)


def open_by_name(
    path: Path, delimiter: str | None = None, missing: tuple[str, ...] = MISSING_VALUES
) -> TableFile:
    """A file of the kind that its suffix tells; CSV where it tells none. Raises `DataError`.

    `delimiter` and `missing` are those of text files; by default a tab in files called `.tsv`,
    else a comma.
    """
    suffix = suffix_of(path)
    if suffix in PARQUET:
        return ParquetFile(path)
    if suffix in ARROW:
        return ArrowFile(path)
    if suffix in NUMPY:
        return read_npz(path) if suffix == ".npz" else read_npy(path)
    return CsvFile(path, delimiter or ("\t" if suffix == ".tsv" else ","), missing)
