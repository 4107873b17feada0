"""Rows of a spec's data on which a trained model can be tried: those that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from trainer.data.columns.table import Table
from trainer.data.misfits import located
from trainer.data.preparing.splitting import PARTS, deal_by_counter, split_table
from trainer.data.reading.pieces import TableOnDisk
from trainer.data.reading.sources import read_table
from trainer.graph.ops import Array
from trainer.spec.schema import Spec

ORDER: Final = ("test", "validation", "train")
"""Of which part rows are taken: the first that has some."""


@dataclass(frozen=True)
class HeldOut:
    """Some rows of the `part` of that name, which has `rows` of them; `table` holds those alone.

    `sha256` is the hash of all rows of the data; None where they stay on disk.
    """

    part: str
    rows: int
    table: Table
    sha256: str | None


def held_out(spec: Spec, choose: Callable[[int], Array]) -> HeldOut:
    """The test rows of the spec's data, else the validation rows, else the training rows.

    `choose` is given how many there are, and says which of them are taken, by their numbers in the
    part. Raises `DataError` or `SpecError`.
    """
    with located(spec):
        if spec.data.stream:
            return _on_disk(spec, choose)
        table = read_table(spec)
        parts = split_table(spec.data.split, spec.seed, table)
        name = next(name for name in ORDER if len(parts[name]))
        rows = parts[name]
        return HeldOut(name, len(rows), some_rows(table, rows[choose(len(rows))]), table.sha256)


def some_rows(table: Table, rows: Array, first: int = 0) -> Table:
    """Some rows of a table, by their places in it, copied; `first` is the number of its first."""

    def some(values: Array | None) -> Array | None:
        return None if values is None else values[rows]

    return replace(
        table, x=table.x[rows], target=table.target[rows], weights=some(table.weights),
        group=some(table.group), time=some(table.time), part=some(table.part),
        numbers=table.numbered(rows, first),
    )  # fmt: skip


def _on_disk(spec: Spec, choose: Callable[[int], Array]) -> HeldOut:
    """Counts the rows of each part, then reads those that are chosen."""
    source = TableOnDisk.open(spec)
    sizes = [0] * len(PARTS)
    for first, table in source.pieces():
        found = np.bincount(_dealt(spec, table, first), minlength=len(PARTS))
        sizes = [size + int(more) for size, more in zip(sizes, found, strict=True)]
    name = next(name for name in ORDER if sizes[PARTS.index(name)])
    number = PARTS.index(name)
    wanted = np.zeros(sizes[number], bool)
    wanted[choose(len(wanted))] = True
    done, kept = 0, []
    for first, table in source.pieces():
        rows = np.flatnonzero(_dealt(spec, table, first) == number)
        kept.append(some_rows(table, rows[wanted[done : done + len(rows)]], first))
        done += len(rows)
    return HeldOut(name, len(wanted), _joined(kept), None)


def _dealt(spec: Spec, table: Table, first: int) -> Array:
    part = np.zeros(len(table.x), np.int8) if table.part is None else table.part
    return deal_by_counter(spec.data.split, spec.seed, first, part)[0]


def _joined(tables: Sequence[Table]) -> Table:
    """The rows of tables of the same columns."""
    weights = [table.weights for table in tables if table.weights is not None]
    numbers = [table.numbered(np.arange(len(table.x))) for table in tables]
    return replace(
        tables[0], x=np.concatenate([table.x for table in tables]),
        target=np.concatenate([table.target for table in tables]),
        weights=np.concatenate(weights) if weights else None, part=None,
        numbers=np.concatenate(numbers),
    )  # fmt: skip
