"""Files of tables by their kind: CSV, JSON lines, Excel, Parquet, Arrow, NumPy."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from trainer.data.columns.table import Column
from trainer.data.reading.contents import contents_of, looks_like_text
from trainer.data.reading.csv import CsvFile
from trainer.data.reading.excel import ExcelFile
from trainer.data.reading.files import KINDS, suffix_of, unreadable
from trainer.data.reading.jsonlines import JsonLinesFile
from trainer.data.reading.numpyfiles import read_npy, read_npz
from trainer.data.reading.packed import is_packed
from trainer.data.reading.tablefile import CELLS, ROWS, BinaryFile, TableFile
from trainer.errors import DataError
from trainer.inputs import open_regular
from trainer.spec.names import clean_name
from trainer.spec.sources import (
    MISSING_VALUES,
    ArrowSource,
    CsvSource,
    ExcelSource,
    FileSource,
    JsonlSource,
    NpzSource,
    ParquetSource,
)

PARQUET: Final = KINDS["parquet"].suffixes
_PIECE: Final = 2**20
"""Bytes of a column of a Parquet file that are read at a time."""


class SchemaFile(BinaryFile):
    """A file that says itself what its columns are."""

    @property
    @abstractmethod
    def schema(self) -> Any:
        """The pyarrow schema. Raises `DataError`."""

    @cached_property
    def raw_names(self) -> tuple[str, ...]:
        """The names as the file writes them. Raises `DataError`."""
        names = tuple(self.schema.names)
        self.check_names(names)
        return names

    @cached_property
    def types(self) -> Mapping[str, Any]:
        """The pyarrow types of the columns. Raises `DataError`."""
        return dict(zip(map(clean_name, self.raw_names), self.schema.types, strict=True))

    @cached_property
    def index(self) -> tuple[str, ...]:
        """The columns that the file's own metadata calls the index of pandas."""
        try:
            found = json.loads((self.schema.metadata or {})[b"pandas"])["index_columns"]
        except (KeyError, ValueError, TypeError):
            return ()
        # the index of plain numbers is no column, and is described by a mapping
        columns = [each for each in found or () if isinstance(each, str) and each in self.raw_names]
        return tuple(map(clean_name, columns))

    def written(self, names: Sequence[str]) -> list[str]:
        """How the file writes these names."""
        raw = {clean_name(name): name for name in self.raw_names}
        return [raw[name] for name in names]


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
class ParquetFile(SchemaFile):
    """A Parquet file, of which some thousand rows are in memory at a time."""

    path: Path

    @cached_property
    def schema(self) -> Any:
        """The pyarrow schema. Raises `DataError`."""
        import pyarrow.parquet as pq

        with _told(self.path, "Parquet"), pq.ParquetFile(self.path) as file:
            return file.schema_arrow

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns, up to `ROWS` rows and `CELLS` cells at a time. Raises `DataError`."""
        import pyarrow.parquet as pq

        names = list(dict.fromkeys(column.name for column in columns))
        rows = max(1, min(ROWS, CELLS // max(1, len(names))))
        # in pieces of a row group, which may be the whole table
        options = {"pre_buffer": False, "buffer_size": _PIECE}
        with _told(self.path, "Parquet"), pq.ParquetFile(self.path, **options) as file:
            raw = self.written(names)
            for batch in file.iter_batches(rows, columns=raw, use_threads=False):
                yield batch.select(raw).rename_columns(names)


@dataclass(frozen=True)
class ArrowFile(SchemaFile):
    """An Arrow file or stream, also called Feather (version 2)."""

    path: Path

    @cached_property
    def schema(self) -> Any:
        """The pyarrow schema. Raises `DataError`."""
        with _told(self.path, "Arrow"), self._open() as batches:
            return batches.schema

    def batches(self, columns: Sequence[Column]) -> Iterator[Any]:
        """The columns, up to `ROWS` rows at a time. Raises `DataError`."""
        names = list(dict.fromkeys(column.name for column in columns))
        with _told(self.path, "Arrow"), self._open() as reader:
            raw = self.written(names)
            for batch in _each(reader):
                chosen = batch.select(raw).rename_columns(names)
                chosen.validate(full=True)  # wrong offsets would reach beyond the memory
                for start in range(0, chosen.num_rows, ROWS):
                    yield chosen.slice(start, ROWS)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import pyarrow as pa

        with open_regular(self.path) as file:
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


# By source, or by what they hold -----------------------------------------------------------------


def open_source(source: FileSource, path: Path) -> TableFile:
    """A file of the source, which stays on disk; NumPy's arrays are read. Raises `DataError`."""
    if isinstance(source, CsvSource):
        return CsvFile(path, source)
    if isinstance(source, JsonlSource):
        return JsonLinesFile(path)
    if isinstance(source, ExcelSource):
        return ExcelFile(path, source)
    if isinstance(source, ParquetSource):
        return ParquetFile(path)
    if isinstance(source, ArrowSource):
        return ArrowFile(path)
    assert isinstance(source, NpzSource), "rows of .npy files are in two files"
    return read_npz(path)


def open_rows(
    path: Path,
    source: object = None,
    missing: tuple[str, ...] = MISSING_VALUES,
    absent: tuple[str, ...] = (),
) -> TableFile:
    """A file of rows to predict, of any kind. Raises `DataError` and `OSError`.

    `source` is what the spec says of the files that were trained on, which counts for those of the
    same kind; by default cells stand between tabs in text files called `.tsv`, else between commas.
    `missing` are the cells of text files that stand for nothing, and `absent` are columns that one
    without a header may lack.
    """
    kind = kind_of(path, source)
    if kind == "excel":
        sheet = source if isinstance(source, ExcelSource) else ExcelSource(excel=path.name)
        return ExcelFile(path, sheet, only=True)
    if kind == "csv":
        form = _form_of(path, source).model_copy(update={"missing_values": missing})
        return CsvFile(path, form, absent=absent)
    return _PLAIN_KINDS[kind](path)


_PLAIN_KINDS: Final[Mapping[str, Callable[[Path], TableFile]]] = {
    "jsonl": JsonLinesFile,
    "parquet": ParquetFile,
    "arrow": ArrowFile,
    "npz": read_npz,
    "npy": read_npy,
}
"""The kinds of files of which a source says no more than where they are."""


def kind_of(path: Path, source: object = None) -> str:
    """The key of the source that reads a file, by its name: that of the model's own source, if its
    files are called so, or that of its suffix. Where the name tells nothing, what the file holds
    does; all others are CSV.
    """
    suffix = suffix_of(path)
    named = next((key for key, kind in KINDS.items() if suffix in kind.suffixes), None)
    own = named or "csv"
    if isinstance(source, FileSource) and suffix in {suffix_of(Path(p)) for p in source.paths}:
        own = source.tag()
    if named is not None or is_packed(path):
        return own
    contents = contents_of(path)
    if contents is not None and contents.kind:
        return contents.kind
    return "csv" if looks_like_text(path) else own


def _form_of(path: Path, source: object) -> CsvSource:
    """How a text file is written: as those of the source, but for the delimiter that a name tells,
    as `.tsv` does, or that the source leaves to the names.
    """
    if not isinstance(source, CsvSource):
        return CsvSource(csv=path.name)
    tabs = ".tsv" in path.suffixes and not any(".tsv" in Path(p).suffixes for p in source.paths)
    if source.delimiter is None or tabs:
        return source.model_copy(update={"csv": path.name, "delimiter": None})
    return source
