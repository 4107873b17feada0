"""From what the spec names as its data to one table."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from trainer.data.columns.roles import Roles, choose, required
from trainer.data.columns.table import Table, listing, show
from trainer.data.columns.targets import goal_of
from trainer.data.misfits import Misfit, MisfitError
from trainer.data.reading.arrays import from_arrays
from trainer.data.reading.assembling import assemble
from trainer.data.reading.bundled import read_bundled
from trainer.data.reading.csv import CsvFile
from trainer.data.reading.dropping import keep_rows
from trainer.data.reading.excel import ExcelFile
from trainer.data.reading.files import FoundFile, find_files
from trainer.data.reading.formats import open_source
from trainer.data.reading.inline import read_inline
from trainer.data.reading.keyed import with_keys
from trainer.data.reading.numpyfiles import read_npy
from trainer.data.reading.synthetic import draw_synthetic
from trainer.data.reading.tablefile import TableFile, show_visible
from trainer.errors import DataError, Problem
from trainer.spec.choosing import listed, named
from trainer.spec.data import DataSpec
from trainer.spec.fields import as_tuple
from trainer.spec.names import like
from trainer.spec.schema import Spec
from trainer.spec.sources import FileSource, InlineSource, NpySource, SyntheticSource

LARGE: Final = 10**6
"""Bytes of files from which on it is told that they are read, as that takes its time."""

Reading: TypeAlias = Callable[[str, int], None]
"""Hears what is read, with 0 rows, and then what is done with how many rows of it."""


def silent(what: str, rows: int) -> None:
    """Tells nobody."""


def read_table(spec: Spec, told: Reading = silent) -> Table:
    """The examples that the spec names, in memory. Raises `DataError` or `MisfitError`."""
    source, data, goal = spec.data.source, spec.data, goal_of(spec.model)
    if isinstance(source, FileSource):
        return _read_files(spec, told)
    if isinstance(source, SyntheticSource):
        x, y = draw_synthetic(source, spec.seed)
        return from_arrays(x, y, data, goal, f"synthetic/{source.synthetic}")
    if isinstance(source, InlineSource):
        return from_arrays(*read_inline(source, goal), data, goal, "inline")
    return read_bundled(source, data, goal)


def _read_files(spec: Spec, told: Reading) -> Table:
    """The rows of the spec's files; those of its validation and test files come last.

    A text file is read once into memory, so that what is hashed is what trains.
    """
    files, parts, roles = open_files(spec, told)
    notes = notes_of(files, roles)
    table, counts = assemble(files, roles, spec.data, origin_of(files))
    table = replace(table, notes=(*notes, *table.notes))
    if any(parts):
        return replace(table, part=np.repeat(np.array(parts, np.int8), counts))
    return table


def open_files(
    spec: Spec, told: Reading = silent, *, loaded: bool = True
) -> tuple[list[TableFile], list[int], Roles]:
    """All files of the spec, text files in memory if they are to be `loaded`; the part of each as
    in `Table.part`; and which of their columns are what. Of large ones it is `told`.

    Raises `DataError` for files that cannot be read, or whose columns differ, and `MisfitError`
    for paths that are no files and names that are no columns.
    """
    data, source = spec.data, spec.data.source
    assert isinstance(source, FileSource)
    folder = Path(spec.file).parent if spec.file else Path()
    files = _open(source, folder, loaded, told)
    parts = [0] * len(files)
    for part, name in enumerate(("validation", "test"), 1):
        patterns = as_tuple(getattr(data, name) or ())
        found = find_files(patterns, folder, ("data", name), source.tag())
        files += [_opened(source, file, loaded) for file in found]
        parts += [part] * len(found)
    _check_names(files[0], data)
    roles = choose(files[0].names, data, goal_of(spec.model), files[0].y, files[0].index)
    for file in files[1:]:
        _check_same(file, files[0], roles, data)
    return keep_rows(files, required(data, roles.targets, roles.features)), parts, roles


def _open(source: FileSource, folder: Path, loaded: bool, told: Reading) -> list[TableFile]:
    kind, place = source.tag(), ("data", "source")
    found = find_files(source.paths, folder, (*place, kind), kind)
    size = sum(file.path.stat().st_size for file in found)
    if size >= LARGE:
        told(f"reading {_listed([str(file.path) for file in found])}, {size / 1e6:,.0f} MB", 0)
    if not isinstance(source, NpySource):
        return [_opened(source, file, loaded) for file in found]
    targets = find_files(as_tuple(source.y), folder, (*place, "y"), kind)
    if len(targets) != len(found):
        message = f"expected as many files as of features, {len(found)}, found {len(targets)}"
        raise MisfitError(DataError, Misfit((*place, "y"), message, code="TR-D016"))
    return [read_npy(x.path, y.path) for x, y in zip(found, targets, strict=True)]


def _opened(source: FileSource, found: FoundFile, loaded: bool) -> TableFile:
    file = open_source(source, found.path)
    if isinstance(file, CsvFile):
        if loaded:
            file = file.loaded()
        else:
            file.check_start()
    return with_keys(file, found.keys)


def origin_of(files: Sequence[TableFile]) -> str:
    """Where the rows came from: the only file, or the first and the last."""
    return _listed([str(file.label) for file in files])


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{names[0]} … {names[-1]} ({len(names)} files)"


def notes_of(files: Sequence[TableFile], roles: Roles) -> tuple[str, ...]:
    """What a reader should know of how the files were read, each once."""
    used = {*roles.features, *roles.others}
    notes = [
        f"{file.label}: {note}" for file in files for note in (*file.notes, *_renamed(file, used))
    ]
    index = [name for name in files[0].index if name not in used]
    if index:
        notes.append(
            f"the index of pandas is no feature: {listing(list(map(show, index)), 4)}; "
            "`data.features` may name it"
        )
    if len(notes) > 3:
        notes[2:] = [f"{notes[2]}; {len(notes) - 3} more of the like"]
    return tuple(notes)


def _renamed(file: TableFile, used: Container[str]) -> Iterator[str]:
    """What is said of names that are read in another form than they are written in."""
    pairs = zip(file.names, file.raw_names, strict=True)
    changed = [show_visible(raw) for name, raw in pairs if name in used and name != raw.strip(" ")]
    if changed:
        yield f"names are read in their plain form, as of {listing(changed, 3)}"


def _check_names(file: TableFile, data: DataSpec) -> None:
    """Raises `DataError` for a column without a name, and for a header that seems to be none."""
    wanted = _named(data)
    nameless = "" in file.names and not data.lists_features
    if isinstance(file, CsvFile | ExcelFile) and (nameless or not wanted <= {*file.names}):
        doubt = file.doubt(sorted(wanted))
        if doubt is not None:
            raise DataError(doubt)
    if nameless:
        place = list(file.names).index("") + 1
        message = f"column {place} has no name"
        hint = "name it, or choose columns with `data.features`"
        line = 1 if file.counts == "line" else None
        raise DataError(Problem("", message, hint, file.label, line, code="TR-D008"))


def _named(data: DataSpec) -> set[str]:
    """All columns that the spec names."""
    others = (data.weights, data.split.group, data.split.time)
    features = (name for _, name in named(data.features))
    return {*data.targets, *features, *data.columns, *filter(None, others)}


def _check_same(file: TableFile, first: TableFile, roles: Roles, data: DataSpec) -> None:
    """Raises `DataError` where a file has not the columns of the first one, in whatever order.

    Where the spec names the features, or those that are none, other columns may differ.
    """
    problems = []
    no = [name for _, name in listed(data.features, "except")]
    theirs, ours = set(file.names), {*first.names, *no}
    needed = (*roles.features, *roles.others, *required(data, (), ()))
    for name in dict.fromkeys(needed):
        if name not in theirs:
            message = f"the column {show(name)} is missing, which {first.label} has"
            problems.append(
                Problem("", message, like(name, file.names), file.label, code="TR-D024")
            )
    for name in () if data.lists_features else file.names:
        if name not in ours and name not in file.index:
            message = f"the column {show(name)} is not in {first.label}"
            hint = like(name, first.names) or "choose columns with `data.features`"
            problems.append(Problem("", message, hint, file.label, code="TR-D024"))
    if problems:
        raise DataError(problems)
