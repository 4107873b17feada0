"""From what the spec names as its data to one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from trainer.data.columns.table import Roles, Table, choose, show
from trainer.data.reading.assembling import assemble
from trainer.data.reading.bundled import read_bundled
from trainer.data.reading.csv import CsvFile
from trainer.data.reading.files import find_files
from trainer.data.reading.formats import open_source
from trainer.data.reading.inline import read_inline
from trainer.data.reading.numpyfiles import read_npy
from trainer.data.reading.synthetic import draw_synthetic
from trainer.data.reading.tablefile import TableFile
from trainer.errors import DataError, Problem
from trainer.spec.data import FileSource, InlineSource, NpySource, SyntheticSource
from trainer.spec.document import Path as Place
from trainer.spec.fields import as_tuple
from trainer.spec.messages import near
from trainer.spec.schema import Spec

_KINDS: Final = {
    "csv": "CSV", "parquet": "Parquet", "arrow": "Arrow", "npz": "NumPy", "npy": "NumPy",
}  # fmt: skip


def read_table(spec: Spec) -> Table:
    """The examples that the spec names, in memory. Raises `DataError` or `SpecError`."""
    source = spec.data.source
    if isinstance(source, FileSource):
        return read_files(source, spec)
    if isinstance(source, SyntheticSource):
        return draw_synthetic(source, spec)
    if isinstance(source, InlineSource):
        return read_inline(source, spec)
    return read_bundled(source, spec)


def read_files(source: FileSource, spec: Spec) -> Table:
    """The rows of the spec's files; those of its validation and test files come last.

    A text file is read once into memory, so that what is hashed is what trains. Raises `DataError`
    with the first faults found, and `SpecError` for names that are no columns.
    """
    files, parts, roles = open_files(source, spec)
    origin = origin_of(files)
    table, counts = assemble(files, roles, spec, origin)
    if any(parts):
        return replace(table, part=np.repeat(np.array(parts, np.int8), counts))
    return table


def open_files(
    source: FileSource, spec: Spec, *, loaded: bool = True
) -> tuple[list[TableFile], list[int], Roles]:
    """All files of the spec, text files in memory if they are to be `loaded`; the part of each as
    in `Table.part`; and which of their columns are what.

    Raises `DataError` for files that cannot be read, or whose columns differ, and `SpecError` for
    names that are no columns.
    """
    files, parts = _open(source, spec, loaded), []
    parts += [0] * len(files)
    for part, name in enumerate(("validation", "test"), 1):
        named = getattr(spec.data, name)
        if named is not None:
            more = [
                _opened(source, path, loaded)
                for path in _paths(spec, as_tuple(named), _kind(source), ("data", name))
            ]
            files += more
            parts += [part] * len(more)
    _check_names(files[0], spec)
    roles = choose(files[0].names, spec, files[0].y)
    for file in files[1:]:
        _check_same(file, files[0], roles, spec)
    return files, parts, roles


def _open(source: FileSource, spec: Spec, loaded: bool) -> list[TableFile]:
    kind = _kind(source)
    paths = _paths(spec, source.paths, kind, ("data", "source", kind))
    if not isinstance(source, NpySource):
        return [_opened(source, path, loaded) for path in paths]
    targets = _paths(spec, as_tuple(source.y), kind, ("data", "source", "y"))
    if len(targets) != len(paths):
        message = f"expected as many files as of features, {len(paths)}, found {len(targets)}"
        raise DataError(spec.problem(("data", "source", "y"), message))
    return [read_npy(*pair) for pair in zip(paths, targets, strict=True)]


def _kind(source: FileSource) -> str:
    return next(iter(type(source).model_fields))


def _paths(spec: Spec, patterns: Sequence[str], kind: str, place: Place) -> list[Path]:
    return find_files(patterns, spec, place, _KINDS[kind])


def _opened(source: FileSource, path: Path, loaded: bool) -> TableFile:
    file = open_source(source, path)
    if not isinstance(file, CsvFile):
        return file
    if loaded:
        return file.loaded()
    file.check_start()
    return file


def origin_of(files: Sequence[TableFile]) -> str:
    """Where the rows came from: the only file, or the first and the last."""
    names = [str(file.label) for file in files]
    if len(names) == 1:
        return names[0]
    return f"{names[0]} … {names[-1]} ({len(names)} files)"


def _check_names(file: TableFile, spec: Spec) -> None:
    if "" in file.names and spec.data.features is None:
        message = f"column {list(file.names).index('') + 1} has no name"
        hint = "name it, or choose columns with `data.features`"
        line = 1 if file.counts == "line" else None
        raise DataError(Problem("", message, hint, file.label, line))


def _check_same(file: TableFile, first: TableFile, roles: Roles, spec: Spec) -> None:
    """Raises `DataError` where a file has not the columns of the first one, in whatever order.

    Where the spec names the features, other columns may differ.
    """
    problems = []
    for name in dict.fromkeys((*roles.features, *roles.others)):
        if name not in file.names:
            message = f"the column {show(name)} is missing, which {first.label} has"
            problems.append(Problem("", message, near(name, file.names), file.label))
    for name in file.names if spec.data.features is None else ():
        if name not in first.names:
            message = f"the column {show(name)} is not in {first.label}"
            hint = near(name, first.names) or "choose columns with `data.features`"
            problems.append(Problem("", message, hint, file.label))
    if problems:
        raise DataError(problems)
