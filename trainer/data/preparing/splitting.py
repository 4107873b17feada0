"""Which rows train, and which are held back: by chance, by groups, by time, in folds, by files."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Final

import numpy as np

from trainer.data.columns.table import Label, Table, show
from trainer.data.columns.targets import TARGET
from trainer.data.misfits import Misfit, MisfitError
from trainer.errors import DataError, SpecError
from trainer.graph.ops import Array
from trainer.randomness import random_rows, stream
from trainer.spec.data import SplitSpec
from trainer.spec.document import Path

SPLIT: Final[Path] = ("data", "split")
"""Where the spec says how rows are split."""
PARTS: Final = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)
BY_COUNTER: Final = 2
"""The index of the stream `split` for rows that stay on disk."""


def split_table(split: SplitSpec, seed: int, table: Table) -> dict[str, Array]:
    """The row numbers of `train`, `validation` and `test`, each ascending.

    By chance, rows are put in an order drawn from the seed. Of each class (of all rows, without
    classes) the first rows in this order are for testing, the next for validation, the rest for
    training. The counts by class are differences of rounded cumulative counts, so that they add
    up to the fraction of all rows. With `group` whole groups are dealt, in an order drawn from
    the seed, until a part has its fraction of the rows; with `time` the latest rows are for
    testing and those before them for validation, and of equal times the later in the file.

    Rows of validation and test files are what they are, and so is the fold for testing; fractions
    are then of the other rows. Folds are dealt row by row in the drawn order, class by class; or
    group by group to the fold that has the fewest rows; or as blocks that follow one another in
    time.

    Raises `MisfitError` where a part that is asked for would have no row, or training none of
    some class, and for more folds than there are rows or groups.
    """
    dealt = _deal(split, seed, table)
    parts = {name: np.flatnonzero(dealt == i) for i, name in enumerate(PARTS)}
    sizes = [len(rows) for rows in parts.values()]
    check_parts(split, sizes, table.classes, table.count_classes(parts["train"]))
    return parts


def deal_by_counter(split: SplitSpec, seed: int, first: int, part: Array) -> tuple[Array, Array]:
    """The number of each row's part among `PARTS`, drawn by the row's number, and 32 random bits
    for each; for rows from `first` on that are never in memory together.

    `part` is as in `Table.part`. A row that is to be split is for testing with the probability of
    that fraction, and so on: the fractions come out about right, in any class alike.
    """
    drawn = random_rows(seed, "split", BY_COUNTER, 0, first, len(part), 2)
    tested = round(split.test * 2**32)
    held = tested + round(split.validation * 2**32)
    dealt = np.where(drawn[:, 0] < tested, TEST, np.where(drawn[:, 0] < held, VALIDATION, TRAIN))
    return np.where(part == TRAIN, dealt, part), drawn[:, 1]


def _deal(split: SplitSpec, seed: int, table: Table) -> Array:
    """The number of each row's part among `PARTS`."""
    dealt = np.zeros(len(table.x), np.int8) if table.part is None else table.part.astype(np.int8)
    if split.folds is not None:
        rest = np.flatnonzero(dealt == TRAIN)
        tested = _folds(split, seed, table, rest) == (split.fold or 1) - 1
        dealt[rest[tested]] = TEST
    if split.validation or split.test:
        if table.part is None and split.folds is None:
            _deal_fractions(split, seed, table, dealt)
        else:
            rest = np.flatnonzero(dealt == TRAIN)
            some = dealt[rest]
            _deal_fractions(split, seed, table, some, rest)
            dealt[rest] = some
    return dealt


def _deal_fractions(
    split: SplitSpec, seed: int, table: Table, dealt: Array, rows: Array | None = None
) -> None:
    """Deals rows (all, or those with these numbers) by the fractions of the spec."""
    everything = slice(None) if rows is None else rows
    if split.time is not None:
        return _deal_by_time(split, _times(split, table)[everything], dealt)
    if split.group is not None:
        assert table.group is not None
        return _deal_groups(split, seed, table.group[everything], dealt)
    order = stream(seed, "split", int(split.folds is not None)).permutation(len(dealt))
    ends = np.array([len(order)])
    if table.classes is not None:
        target = table.target[everything]
        order = order[_by_class(target[order], len(table.classes))]
        ends = np.cumsum(np.bincount(target, minlength=len(table.classes)))
    tested, validated = (
        np.diff(np.floor(fraction * ends + 0.5).astype(int), prepend=0)
        for fraction in (split.test, split.validation)
    )
    for group, first, following in zip(np.split(order, ends[:-1]), tested, validated, strict=True):
        dealt[group[:first]] = TEST
        dealt[group[first : first + following]] = VALIDATION
    return None


def _by_class(classes: Array, count: int) -> Array:
    """The order that brings rows of one class together and changes nothing else."""
    # numbers of one or two bytes NumPy sorts by radix
    return np.argsort(classes.astype(np.min_scalar_type(count)), kind="stable")


# Time and groups --------------------------------------------------------------------------------


def _times(split: SplitSpec, table: Table) -> Array:
    assert table.time is not None
    missing = np.flatnonzero(np.isnan(table.time))
    if len(missing):
        row = table.numbered(missing)[0]
        message = f"row {row}, counted from 0, has no value in {show(split.time or '')}"
        hint = "fill it in, leave the row out, or split by chance"
        raise MisfitError(DataError, Misfit((*SPLIT, "time"), message, hint, code="TR-D032"))
    return table.time


def _deal_by_time(split: SplitSpec, time: Array, dealt: Array) -> None:
    """The latest rows are for testing, those before them for validation."""
    order = np.argsort(time, kind="stable")[::-1]
    tested, validated = (
        int(np.floor(fraction * len(order) + 0.5)) for fraction in (split.test, split.validation)
    )
    dealt[order[:tested]] = TEST
    dealt[order[tested : tested + validated]] = VALIDATION


def _deal_groups(split: SplitSpec, seed: int, groups: Array, dealt: Array) -> None:
    """Whole groups, each part until it has its fraction of the rows."""
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = stream(seed, "split", int(split.folds is not None)).permutation(len(sizes))
    counted, part_of = np.cumsum(sizes[order]), np.zeros(len(sizes), np.int8)
    start, before = 0, 0
    for part, fraction in ((TEST, split.test), (VALIDATION, split.validation)):
        wanted = int(np.floor(fraction * len(groups) + 0.5))
        if wanted:
            stop = int(np.searchsorted(counted, before + wanted)) + 1
            part_of[order[start:stop]] = part
            start, before = stop, int(counted[min(stop, len(counted)) - 1])
    dealt[:] = part_of[numbers]


# Folds ------------------------------------------------------------------------------------------


def _folds(split: SplitSpec, seed: int, table: Table, rows: Array) -> Array:
    """The fold of each of these rows, counted from 0."""
    assert split.folds is not None
    folds, count, what = split.folds, len(rows), "rows"
    if split.group is not None:
        assert table.group is not None
        _, numbers, sizes = np.unique(table.group[rows], return_inverse=True, return_counts=True)
        count, what = len(sizes), "groups"
    if folds > count:
        message = f"there are {folds} folds and {count} {what}"
        hint = f"write folds: {count}, or fewer" if count > 1 else "leave folds out"
        raise MisfitError(SpecError, Misfit((*SPLIT, "folds"), message, hint, code="TR-D031"))
    if split.group is not None:
        order = stream(seed, "split").permutation(count)
        return np.asarray(_evenly(sizes, order, folds)[numbers])
    found = np.empty(count, np.int64)
    if split.time is not None:
        order = np.argsort(_times(split, table)[rows], kind="stable")
        found[order] = np.arange(count) * folds // count
        return found
    order = stream(seed, "split").permutation(count)
    if table.classes is not None:
        order = order[_by_class(table.target[rows][order], len(table.classes))]
    found[order] = np.arange(count) % folds
    return found


def _evenly(sizes: Array, order: Array, folds: int) -> Array:
    """The fold of each group: one by one, to the first fold of those with the fewest rows."""
    found = np.empty(len(sizes), np.int64)
    heap = [(0, fold) for fold in range(folds)]
    for group in order.tolist():
        rows, fold = heapq.heappop(heap)
        found[group] = fold
        heapq.heappush(heap, (rows + int(sizes[group]), fold))
    return found


# Checks -----------------------------------------------------------------------------------------


def check_parts(
    split: SplitSpec,
    sizes: Sequence[int],
    classes: tuple[Label, ...] | None,
    by_class: Array,
) -> None:
    """Raises `MisfitError` for a part without rows that the spec asks for, and for a class without
    training rows. `sizes` are in the order of `PARTS`, `by_class` the training rows of each class.
    """
    total, rows = sum(sizes), dict(zip(PARTS, sizes, strict=True))
    few = f"use smaller fractions: '{split.group}' has few groups, or large ones"
    for name, fraction in (("validation", split.validation), ("test", split.test)):
        if fraction and not rows[name]:
            message = f"{fraction:g} of {total} row{'s' * (total > 1)} leaves none for {name}"
            hint = "use more data or a larger fraction"
            if split.group is not None:
                message, hint = f"all groups are dealt before {name} has one", few
            raise MisfitError(DataError, Misfit((*SPLIT, name), message, hint, code="TR-D031"))
    if not rows["train"]:
        message = f"the split leaves none of {total} rows for training"
        advice = few if split.group is not None else None
        raise MisfitError(DataError, Misfit(SPLIT, message, advice, code="TR-D031"))
    if classes is not None and not by_class.all():
        missing = classes[int(np.argmin(by_class))]
        message = f"no row of class {show(missing)} is left for training"
        hint = "use more rows of it, or a smaller split"
        if split.group is not None or split.time is not None:
            hint = "use a smaller split, or one by chance, which takes some of each class"
        raise MisfitError(DataError, Misfit(TARGET, message, hint, code="TR-D031"))
