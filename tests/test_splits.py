"""Which rows train: groups, times, folds, files. Splits by chance are in test_data.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from conftest import TINY

from trainer.data import Table, load_dataset, split_rows
from trainer.data.columns.table import Column
from trainer.errors import DataError, SpecError
from trainer.graph.ops import Array
from trainer.randomness import stream
from trainer.spec import Spec

PARTS = ("train", "validation", "test")
BY_GROUP = {"group": "g"}
BY_TIME = {"time": "t"}


def make_spec(split: Mapping[str, Any], seed: int = 7, classes: bool = False) -> Spec:
    data = {"source": {"csv": "rows.csv"}, "target": "y", "split": dict(split)}
    model = {"layers": [{"units": 1}], "loss": "logistic" if classes else "squared"}
    return Spec.model_validate(TINY | {"seed": seed, "data": data, "model": model})


def table_of(rows: int, **more: Any) -> Table:
    target: Array = np.zeros((rows, 1))
    names = {"target": target, "classes": None} | more
    return Table((Column("a"),), np.zeros((rows, 1)), ("y",), origin="here", **names)


def parts_of(split: Mapping[str, Any], table: Table, seed: int = 7) -> list[list[int]]:
    spec = make_spec(split, seed, classes=table.classes is not None)
    found = split_rows(spec, table)
    together = np.concatenate(list(found.values()))
    assert sorted(together.tolist()) == list(range(len(table.x)))
    assert all((np.diff(found[name]) > 0).all() for name in PARTS)
    return [found[name].tolist() for name in PARTS]


# Time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "split", "expected"),
    [
        ([5, 1, 4, 2, 3], {"validation": 0.2, "test": 0.4}, [[1, 3], [4], [0, 2]]),
        ([1, 1, 1, 1], {"validation": 0.25, "test": 0.25}, [[0, 1], [2], [3]]),
        ([3, 2, 1, 3], {"test": 0.25}, [[0, 1, 2], [], [3]]),  # of equal ones the later row
        ([5, 1, 4, 2, 3, 0], {"folds": 3, "fold": 1}, [[0, 2, 3, 4], [], [1, 5]]),
        ([5, 1, 4, 2, 3, 0], {"folds": 3, "fold": 2, "validation": 0.25},
         [[1, 2, 5], [0], [3, 4]]),
    ],
)  # fmt: skip
def test_by_time(time: list[float], split: dict[str, Any], expected: list[list[int]]) -> None:
    table = table_of(len(time), time=np.array(time, dtype=np.float64))
    for seed in (1, 2):
        assert parts_of(BY_TIME | split, table, seed) == expected


# Groups -----------------------------------------------------------------------------------------


def test_by_group() -> None:
    """Whole groups, in the order of the seed, until a part has its fraction of the rows."""
    group = np.repeat([30, 10, 20, 50, 40, 60], [2, 3, 1, 2, 2, 2])[
        [*range(0, 12, 2), *range(1, 12, 2)]
    ]
    order = (stream(7, "split").permutation(6) * 10 + 10).tolist()
    sizes = {30: 2, 10: 3, 20: 1, 50: 2, 40: 2, 60: 2}
    wanted, part, dealt = {2: 3, 1: 3}, 2, {}
    for number in order:
        dealt[number] = part
        if part:
            wanted[part] -= sizes[number]
            part -= wanted[part] <= 0
    found = parts_of(BY_GROUP | {"validation": 0.25, "test": 0.25}, table_of(12, group=group))
    assert found == [[i for i in range(12) if dealt[group[i]] == k] for k in range(3)]


@pytest.mark.parametrize("seed", range(20))
def test_groups_stay_together(seed: int) -> None:
    group = np.random.default_rng(seed).integers(0, 40, 300)
    table = table_of(300, group=group)
    found = parts_of(BY_GROUP | {"validation": 0.2, "test": 0.3}, table, seed)
    owners = [set(group[part].tolist()) for part in found]
    assert not owners[0] & owners[1] | owners[0] & owners[2] | owners[1] & owners[2]
    most = np.bincount(group).max()
    assert 90 <= len(found[2]) < 90 + most
    assert 60 <= len(found[1]) < 60 + most


# Folds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rows", "classes", "group", "time"])
@pytest.mark.parametrize("folds", [2, 3, 7])
def test_every_row_is_tested_once(kind: str, folds: int) -> None:
    random = np.random.default_rng(folds)
    more: dict[str, Any] = {
        "rows": {},
        "classes": {"target": random.integers(0, 3, 100), "classes": ("a", "b", "c")},
        "group": {"group": random.integers(0, 30, 100)},
        "time": {"time": random.integers(0, 9, 100).astype(np.float64)},
    }[kind]
    table, split = table_of(100, **more), {"group": BY_GROUP, "time": BY_TIME}.get(kind, {})
    tested = [parts_of(split | {"folds": folds, "fold": i + 1}, table)[2] for i in range(folds)]
    assert sorted(row for part in tested for row in part) == list(range(100))
    sizes = [len(part) for part in tested]
    assert max(sizes) - min(sizes) <= (np.bincount(more["group"]).max() if kind == "group" else 1)
    if kind == "classes":
        counts = np.array([np.bincount(table.target[part], minlength=3) for part in tested])
        assert np.ptp(counts, axis=0).max() <= 1
    if kind == "group":
        owners = [set(more["group"][part].tolist()) for part in tested]
        assert sum(map(len, owners)) == len(set.union(*owners))
    if kind == "time":
        latest = [table.time[part].max() for part in tested if table.time is not None]
        assert latest == sorted(latest)


def test_folds_as_documented() -> None:
    order = stream(7, "split").permutation(10)
    rest = np.sort(order[np.arange(10) % 3 != 1])
    validated = rest[stream(7, "split", 1).permutation(len(rest))[:2]]
    train, validation, test = parts_of({"folds": 3, "fold": 2, "validation": 0.25}, table_of(10))
    assert test == sorted(order[[1, 4, 7]].tolist())
    assert validation == sorted(validated.tolist())
    assert parts_of({"folds": 3}, table_of(10)) == parts_of({"folds": 3, "fold": 1}, table_of(10))
    assert parts_of({"folds": 3}, table_of(10), 8) != parts_of({"folds": 3}, table_of(10))
    assert len(train) == 5


# Files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "split", "sizes"),
    [
        ([0, 0, 0, 1, 2, 2], {}, (3, 1, 2)),
        ([0] * 10 + [2] * 4, {"validation": 0.2}, (8, 2, 4)),  # a fraction of the other rows
        ([0] * 10 + [1] * 4, {"test": 0.3}, (7, 4, 3)),
        ([0] * 10 + [1] * 4, {"folds": 5, "fold": 2}, (8, 4, 2)),
    ],
)
def test_rows_of_files_stay_there(part: list[int], split: dict[str, Any], sizes: Any) -> None:
    table = table_of(len(part), part=np.array(part, dtype=np.int8))
    found = parts_of(split, table)
    assert tuple(map(len, found)) == sizes
    for number in (1, 2):
        assert set(np.flatnonzero(table.part == number)) <= set(found[number])


# What cannot be split ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "more", "error", "message"),
    [
        ({"folds": 7}, {}, SpecError, "there are 7 folds and 6 rows(?s:.*)write folds: 6, or"),
        ({"folds": 3, **BY_GROUP}, {"group": np.array([1, 1, 1, 2, 2, 2])}, SpecError,
         "there are 3 folds and 2 groups(?s:.*)write folds: 2"),
        ({"test": 0.2, **BY_GROUP}, {"group": np.ones(6, np.int64)}, DataError,
         "leaves none of 6 rows for training(?s:.*)'g' has few groups"),
        ({"test": 0.2, "validation": 0.5, **BY_GROUP}, {"group": np.ones(6, np.int64)}, DataError,
         "all groups are dealt before validation has one"),
        ({"test": 0.05}, {}, DataError, "0.05 of 6 rows leaves none for test"),
        ({"test": 0.3, **BY_TIME}, {"time": np.array([1, 2, np.nan, 4, 5, 6])}, DataError,
         "row 2, counted from 0, has no value in 't'"),
        ({"test": 0.5, **BY_TIME},
         {"time": np.arange(6.0), "target": np.array([0, 0, 0, 1, 1, 1]), "classes": ("a", "b")},
         DataError, "no row of class 'b' is left for training(?s:.*)one by chance"),
        ({}, {"part": np.ones(6, np.int8)}, DataError, "leaves none of 6 rows for training"),
    ],
)  # fmt: skip
def test_impossible_splits(
    split: dict[str, Any], more: dict[str, Any], error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        parts_of(split, table_of(6, **more))


def test_a_fold_that_is_not_named_is_the_first() -> None:
    data = {"source": "iris", "split": {"folds": 5}}
    layers = {"layers": [{"units": 3}], "loss": "logistic"}
    dataset = load_dataset(Spec.model_validate(TINY | {"data": data, "model": layers}))
    assert dataset.test is not None
    assert (len(dataset.train), len(dataset.test)) == (120, 30)
    assert dataset.notes == ("fold 1 of 5 is for testing; `data.split.fold` names another",)
