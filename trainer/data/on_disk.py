"""The data of a run that stay on disk: two passes over the files, then rows in the model's dtype.

The first pass counts, deals rows to parts and keeps a sample of the training rows, on which the
preprocessing is fitted; the second encodes all rows and writes them to a file for each part.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from trainer.data.columns.table import Table
from trainer.data.dataset import SAMPLE, Dataset, first_notes
from trainer.data.parts import Part
from trainer.data.preparing.fit_columns import Tally
from trainer.data.preparing.fit_table import fit_table
from trainer.data.preparing.preprocessing import Preprocessing
from trainer.data.preparing.splitting import PARTS, TRAIN, check_parts, deal_by_counter
from trainer.data.preparing.weighting import class_weights, raw_weights, scale_weights
from trainer.data.preparing.xy import encode_rows
from trainer.data.reading.pieces import TableOnDisk
from trainer.data.reading.sources import Reading, silent
from trainer.data.spool import RowFormat, Scratch, ScratchFile, Spool, StreamedPart
from trainer.graph.ops import Array
from trainer.numerics.sums import total
from trainer.spec.schema import Spec

SAMPLE_ROWS: Final = 2**20
"""The most training rows on which the preprocessing is fitted."""
SAMPLE_CELLS: Final = 2**24
"""The most numbers that they have."""
FOLDER: Final = Path("runs")
"""Where rows are kept, unless the environment names a TMPDIR."""
READ: Final = 2**22  # bytes at a time


def dataset_on_disk(spec: Spec, told: Reading = silent) -> Dataset:
    """The data of a run whose rows stay on disk. Raises `DataError` or `MisfitError`."""
    source = TableOnDisk.open(spec, told)
    survey = _survey(spec, source, told)
    by_name = {name: range(size) for name, size in zip(PARTS, survey.sizes, strict=True)}
    notes = [*source.notes, *first_notes(spec.data.split, by_name, source.dropping.told())]
    how, missing = _fit(spec, survey, notes)
    by_class = class_weights(spec.model.class_weights, survey.sample, survey.counts[TRAIN])
    parts, sha256 = _encode(spec, source, survey, how, by_class, told)
    return Dataset(
        preprocessing=how,
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        sample=how.adopt(survey.head, slice(None)),
        sha256=sha256,
        origin=source.origin,
        notes=tuple(notes),
        missing=missing,
    )


def preprocess_on_disk(spec: Spec) -> Preprocessing:
    """As `preprocess`, for rows that stay on disk."""
    return _fit(spec, _survey(spec, TableOnDisk.open(spec)), [])[0]


def first_rows(spec: Spec, count: int) -> Table:
    """The first rows of the files, in memory. Raises `DataError` or `MisfitError`."""
    tables: list[Table] = []
    for first, table in TableOnDisk.open(spec).pieces():
        numbers = table.numbered(np.arange(len(table.x)), first)
        tables.append(_some(table, np.flatnonzero(numbers < count)))
        if numbers[-1] + 1 >= count:
            break
    return _joined(tables)


def head_rows(spec: Spec, count: int) -> tuple[Table, bool]:
    """The first rows that are not left out, in memory, and whether these are all. Raises
    `DataError` or `MisfitError`.
    """
    tables: list[Table] = []
    missing = count
    for _, table in TableOnDisk.open(spec).pieces():
        if not missing:
            return _joined(tables), False
        taken = min(missing, len(table.x))
        tables.append(_some(table, np.arange(taken)))
        missing -= taken
        if taken < len(table.x):
            return _joined(tables), False
    return _joined(tables), True


# The first pass ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Survey:
    """What the first pass found. `sizes` are the rows of each part; `counts` and `weights` those
    of each class, and the sums of their weights, of shape (parts, classes), or (parts, 1) without
    classes. `head` holds the first training rows, `sample` those on which is fitted; `piece` rows
    are in memory at a time.
    """

    sizes: Sequence[int]
    counts: Array
    weights: Array
    tallies: Sequence[Tally]
    head: Table
    sample: Table
    piece: int


def _survey(spec: Spec, source: TableOnDisk, told: Reading = silent) -> _Survey:
    classes = len(source.targets.classes or " ")
    counts, weights = np.zeros((len(PARTS), classes), np.int64), np.zeros((len(PARTS), classes))
    tallies = [Tally(np.zeros(len(column.categories), np.int64), 0) for column in source.features]
    most = min(SAMPLE_ROWS, SAMPLE_CELLS // len(source.cells.columns))
    head, sample = _Sample(SAMPLE, thinned=False), _Sample(most)
    for first, table in source.pieces():
        dealt, drawn = _deal(spec, table, first)
        groups = dealt * classes + (table.target if table.classes else 0)
        alike = np.bincount(groups, minlength=counts.size).reshape(counts.shape)
        counts += alike
        if table.weights is not None:
            each = raw_weights(table, np.arange(len(dealt)), None, first)
            places = np.append(np.arange(counts.size), groups)  # one chain, wherever pieces end
            sums = np.bincount(places, np.append(weights, each), counts.size)
            weights[:] = sums.reshape(counts.shape)
        else:
            weights += alike
        train = np.flatnonzero(dealt == TRAIN)
        for i, (column, want) in enumerate(zip(table.columns, source.cells.wanted, strict=False)):
            if column.categories or want.optional:
                tallies[i] += Tally.of(column, table.x[train, i])
        head.add(table, train, drawn[train])
        sample.add(table, train, drawn[train])
        told("read", first + len(table.x))
    sizes = counts.sum(axis=1, dtype=np.int64).tolist()
    check_parts(spec.data.split, sizes, source.targets.classes, counts[TRAIN])
    piece = min(source.size, sum(sizes))
    return _Survey(sizes, counts, weights, tallies, head.table, sample.table, piece)


def _deal(spec: Spec, table: Table, first: int) -> tuple[Array, Array]:
    part = np.zeros(len(table.x), np.int8) if table.part is None else table.part
    return deal_by_counter(spec.data.split, spec.seed, first, part)


class _Sample:
    """At most `most` rows: those whose random number is small enough, or simply the first.

    Whether a row is among them depends on the numbers of all rows, not on how they are added: the
    bound is halved whenever too many are below it.
    """

    def __init__(self, most: int, *, thinned: bool = True) -> None:
        self._most, self._thinned, self._bound = most, thinned, 2**32
        self._tables: list[Table] = []
        self._drawn: list[Array] = []

    def add(self, table: Table, rows: Array, drawn: Array) -> None:
        """Takes some of these rows, which have these numbers."""
        there = sum(map(len, self._drawn))
        if not self._thinned:
            rows, drawn = rows[: self._most - there], drawn[: self._most - there]
        kept = drawn < self._bound
        self._tables.append(_some(table, rows[kept]))
        self._drawn.append(drawn[kept])
        while sum(map(len, self._drawn)) > self._most:
            self._bound //= 2
            below = [np.flatnonzero(numbers < self._bound) for numbers in self._drawn]
            for i, places in enumerate(below):  # one by one, so that each frees its memory
                self._tables[i] = _some(self._tables[i], places)
                self._drawn[i] = self._drawn[i][places]

    @property
    def table(self) -> Table:
        """The rows that are kept, without weights."""
        return _joined(self._tables)


def _some(table: Table, rows: Array) -> Table:
    """Some rows of a table, copied; without weights."""
    numbers = None if table.numbers is None else table.numbers[rows]
    return replace(
        table, x=table.x[rows], target=table.target[rows], weights=None, part=None, numbers=numbers
    )


def _joined(tables: Sequence[Table]) -> Table:
    """The rows of tables of the same columns."""
    x, target = (
        np.concatenate([getattr(table, name) for table in tables]) for name in ("x", "target")
    )
    numbers = [table.numbers for table in tables if table.numbers is not None]
    return replace(
        tables[0], x=x, target=target, numbers=np.concatenate(numbers) if numbers else None
    )


def _fit(spec: Spec, survey: _Survey, notes: list[str]) -> tuple[Preprocessing, tuple[int, ...]]:
    """The preprocessing, and how many training rows miss each feature."""
    sample, count, rows = survey.sample, survey.sizes[TRAIN], np.arange(len(survey.sample.x))
    how, missing = fit_table(spec, sample, rows, notes, survey.tallies, count, survey.piece)
    how = replace(how, weighted=spec.data.weights is not None or how.weighted)
    fitted = how.scaling.changes or how.target_scaling.changes
    if len(sample.x) < count and (fitted or any(rule.fill is not None for rule in how.rules)):
        notes.append(
            f"scales and what fills gaps are those of {len(sample.x):,} of {count:,} training "
            "rows, taken by chance"
        )
    return how, missing


# The second pass ---------------------------------------------------------------------------------


def _encode(
    spec: Spec,
    source: TableOnDisk,
    survey: _Survey,
    how: Preprocessing,
    by_class: Array | None,
    told: Reading,
) -> tuple[dict[str, StreamedPart], str]:
    """The parts that have rows, and the hash of the table. Raises `DataError`."""
    sizes = survey.sizes
    form = RowFormat(how.layout.width, how.outputs, how.weighted, spec.model.dtype)
    beside = len(how.targets) + bool(spec.data.weights) + any(source.parts)
    folder = Path(os.environ.get("TMPDIR") or FOLDER)
    scratch = Scratch(folder, sum(sizes) * (form.bytes + 8 * beside))
    scratch.check()
    spools = {name: Spool(scratch, form) for name, size in zip(PARTS, sizes, strict=True) if size}
    sums = survey.weights if by_class is None else survey.weights * by_class
    means = [total(sums[number]) / max(size, 1) for number, size in enumerate(sizes)]
    hashed = _Hash(survey.sample, sum(sizes), scratch)
    for first, table in source.pieces():
        dealt, _ = _deal(spec, table, first)
        hashed.add(table)  # before `encode_rows`, which may write into the table
        for number, name in enumerate(PARTS):
            rows = np.flatnonzero(dealt == number)
            if name in spools and len(rows):
                weights = None
                if how.weighted:
                    each = raw_weights(table, rows, by_class, first)
                    weights = scale_weights(table, each, means[number], name)
                x, y = encode_rows(spec.data, table, rows, how, first)
                spools[name].append(Part.of(x, y, weights))
        told("encoded", first + len(table.x))
    source.check()
    return {name: spool.done() for name, spool in spools.items()}, hashed.done()


class _Hash:
    """`Table.sha256` of a table that comes in pieces. What it takes after the features waits on
    disk.
    """

    def __init__(self, like: Table, rows: int, scratch: Scratch) -> None:
        self._digest, self._scratch = like.header(rows), scratch
        self._later: dict[str, ScratchFile] = {}

    def add(self, table: Table) -> None:
        """Takes the next rows."""
        self._digest.update(np.ascontiguousarray(table.x, dtype="<f8").data)
        kinds = {"target": "<i8" if table.classes is not None else "<f8"}
        for name in ("target", "weights", "part"):
            values = getattr(table, name)
            if values is not None:
                if name not in self._later:
                    self._later[name] = self._scratch.file()
                with self._scratch.told():
                    array = np.ascontiguousarray(values, dtype=kinds.get(name, "<f8"))
                    self._later[name].io.write(array.data)

    def done(self) -> str:
        """The hash."""
        for name, file in self._later.items():
            if name != "target":
                self._digest.update(name.encode())
            with self._scratch.told():
                file.io.seek(0)
                while piece := file.io.read(READ):
                    self._digest.update(piece)
        return self._digest.hexdigest()
