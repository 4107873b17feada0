"""`train init`: what is found in a table decides a spec, and stands beside what it decided."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data import load_dataset
from trainer.drafting import Draft, draft
from trainer.drafting.network import Size, layers_for, loss_for, sgd_for
from trainer.drafting.source import source_of
from trainer.drafting.writing import value
from trainer.errors import DataError, TrainerError, UsageError
from trainer.runs.prepare import prepare
from trainer.spec import read_spec
from trainer.spec.document import parse, plain
from trainer.survey import survey

ROWS = 60


def table(
    folder: Path, columns: Mapping[str, Sequence[object]], name: str = "t.csv",
    delimiter: str = ",", encoding: str = "utf-8", before: str = "", header: bool = True,
) -> Path:  # fmt: skip
    rows = [delimiter.join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    lines = [delimiter.join(columns)] * header + rows
    path = folder / name
    path.write_text(before + "\n".join(lines) + "\n", encoding=encoding)
    return path


def numbers(rows: int = ROWS, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [f"{draw.gauss(0, 1):.3f}" for _ in range(rows)]


def cycle(*values: object, rows: int = ROWS) -> list[object]:
    return [values[i % len(values)] for i in range(rows)]


def drafted(
    folder: Path, target: str = "y", rows: int = ROWS, **columns: Sequence[object]
) -> Draft:
    columns = {"a": numbers(rows), **columns}
    columns.setdefault("y", numbers(rows, 1))
    return draft(table(folder, columns), target, folder)


# How a file is written ---------------------------------------------------------------------------

PLAIN = {"a": cycle(1.5, 2.5), "b": cycle("x", "y", "z"), "y": cycle(0, 1)}
GERMAN = {"a": cycle("1,5", "2,25"), "b": cycle("x", "y", "z"), "y": cycle(0, 1)}


@pytest.mark.parametrize(
    ("columns", "how", "keys"),
    [
        (PLAIN, {}, {}),
        (PLAIN, {"delimiter": ";"}, {"delimiter": ";"}),
        (PLAIN, {"delimiter": "\t"}, {"delimiter": "\t"}),
        (PLAIN, {"delimiter": "\t", "name": "t.tsv"}, {}),
        (PLAIN, {"delimiter": "|"}, {"delimiter": "|"}),
        (PLAIN, {"delimiter": "   "}, {"delimiter": "blanks"}),
        (GERMAN, {"delimiter": ";"}, {"delimiter": ";"}),
        (PLAIN, {"encoding": "utf-8-sig"}, {}),
        (PLAIN, {"encoding": "utf-16"}, {"encoding": "utf-16"}),
        (PLAIN | {"b": cycle("ä", "ö")}, {"encoding": "cp1252"}, {"encoding": "cp1252"}),
        (PLAIN, {"before": "Sales of May\n\n"}, {"skip_lines": 2}),
        (PLAIN, {"before": "# by hand\n# in May\n"}, {"comment": "#"}),
        (PLAIN | {"b": cycle(3, 4)}, {"header": False}, {"header": False}),
    ],
)
def test_how_a_file_is_written(
    tmp_path: Path, columns: dict[str, list[object]], how: dict[str, str], keys: dict[str, object]
) -> None:
    path = table(tmp_path, columns, **how)
    source = source_of(path, tmp_path)
    assert source.keys == {"csv": path.name} | keys
    target = "y" if how.get("header", True) else "column_3"
    assert draft(path, target, tmp_path).survey.rows == ROWS


def test_the_path_is_relative_to_the_spec(tmp_path: Path) -> None:
    path = table(tmp_path, PLAIN)
    (tmp_path / "specs").mkdir()
    assert source_of(path, tmp_path / "specs").keys == {"csv": "../t.csv"}


@pytest.mark.parametrize(
    ("lines", "target", "keys"),
    [
        (["region,2021,2022", *cycle("A,17,18", "B,30,40")], "2022", {}),
        (["Patient,,Outcome", "age,crp,died", *cycle("34,1.5,0", "50,2.5,1")], "died",
         {"skip_lines": 1}),
        (["Rents;;", "as of May;;", ";;", "area;floor;rent", *cycle("30;1;500", "40;2;600")],
         "rent", {"delimiter": ";", "skip_lines": 3}),
        (["a,b,y", *cycle("x,y,1", "y,n,0")], "y", {}),
        (["1,2,3", *cycle("4,y,6", "7,x,9")], "y", {"header": False}),
        (["a,b", "x,y", *cycle("u,v", "x,w")], "y", {}),  # there is none of this name
    ],
)  # fmt: skip
def test_the_names_stand_where_the_target_does(
    tmp_path: Path, lines: list[str], target: str, keys: dict[str, object]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    assert source_of(path, tmp_path, target).keys == {"csv": "t.csv"} | keys
    if target in lines[int(str(keys.get("skip_lines", 0)))].split(keys.get("delimiter", ",")):
        assert draft(path, target, tmp_path).survey.rows == ROWS


def test_the_sheet_and_the_row_that_have_the_target(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Rents of May"])
    for row in ([], ["Rents 2023"], [], ["rooms", "rent"], *([i % 5, i] for i in range(ROWS))):
        (book["data"] if "data" in book.sheetnames else book.create_sheet("data")).append(row)
    book.save(tmp_path / "t.xlsx")
    source = source_of(tmp_path / "t.xlsx", tmp_path, "rent")
    assert source.keys == {"excel": "t.xlsx", "sheet": "data", "skip_lines": 3}
    assert draft(tmp_path / "t.xlsx", "rent", tmp_path).survey.rows == ROWS
    assert source_of(tmp_path / "t.xlsx", tmp_path, "cost").keys == {"excel": "t.xlsx"}


def test_what_is_nested_is_left_out_with_the_reason(tmp_path: Path) -> None:
    rows = [json.dumps({"user": {"b": i}, "tags": ["x"], "a": i % 7, "y": i}) for i in range(ROWS)]
    (tmp_path / "t.jsonl").write_text("\n".join(rows) + "\n")
    made = draft(tmp_path / "t.jsonl", "y", tmp_path)
    assert made.plan.out["user"] == "expected a number or a text, found a mapping"
    assert made.plan.out["tags"] == "expected a number or a text, found a list"
    with pytest.raises(DataError, match="column 'tags': expected a number or a text"):
        draft(tmp_path / "t.jsonl", "tags", tmp_path)


def test_files_that_hold_no_table(tmp_path: Path) -> None:
    for name, data, what in (
        ("t.json", b'[{"a": 1, "y": 2}]', "this is JSON"),
        ("t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(900), "this is an old Office file"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=what):
            draft(tmp_path / name, "y", tmp_path)


COMMAS = cycle("88,4", "7,25", "1,5")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": cycle("2,946", "5,871"), "b": cycle("29,46", "0,5"), "y": cycle("1,5", "2,25")},
         {}),  # all alike: it is said of the source
        ({"b": cycle("88,4", "7,25"), "y": cycle("2.702", "3.015", "850")},
         {"b": {"decimal": ","}, "y": {"decimal": ",", "thousands": "."}}),
        ({"b": cycle("88,4", "7,25"), "y": cycle("2.702", "0.015")},
         {"b": {"decimal": ","}}),  # 0.015 has no thousands
        ({"b": cycle("2,702", "3,015"), "c": COMMAS, "y": cycle("1.5", "2.25", "3")},
         {"b": {"thousands": ","}, "c": {"decimal": ","}}),  # written in two ways
        ({"b": cycle("1,234,567", "2,345"), "c": COMMAS, "y": cycle(1, 2, 3, 4)},
         {"b": {"thousands": ","}, "c": {"decimal": ","}}),
    ],
)  # fmt: skip
def test_numbers_are_read_as_those_of_other_columns(
    tmp_path: Path, columns: dict[str, list[object]], said: dict[str, object]
) -> None:
    made = draft(table(tmp_path, columns, delimiter=";"), "y", tmp_path, "squared")
    assert made.plan.columns == said
    if not said:
        assert made.spec.data.source.decimal == ","


# Columns -----------------------------------------------------------------------------------------

DAYS = [f"{1 + i % 28:02d}/{1 + i // 28:02d}/2024" for i in range(ROWS)]
EARLY = [f"{1 + i % 12:02d}/{1 + i % 7:02d}/2024" for i in range(ROWS)]
OUT: list[tuple[str, list[object], str]] = [
    ("number", list(range(1, ROWS + 1)), "numbers the rows, from 1 to 60"),
    ("constant", ["same"] * ROWS, "is 'same' in all rows"),
    ("empty", [""] * ROWS, "has no value in any row"),
    ("copy", numbers(), "says in every row the same as 'a'"),
    ("names", [f"n{i}" for i in range(150)], "150 different texts, such as 'n0'"),
    (
        "mixed", [*numbers(110), *(f"x{i}" for i in range(40))],
        "holds 'x0' and the like among its numbers",
    ),
    (
        "clock", [f"{i % 24:02d}:{i % 60:02d}" for i in range(150)],
        "has numbers written in ways that are not read, as '00:00'",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "cells", "why"), OUT, ids=[each[0] for each in OUT])
def test_columns_that_are_left_out_with_the_reason(
    tmp_path: Path, name: str, cells: list[object], why: str
) -> None:
    made = drafted(tmp_path, rows=len(cells), **{name: cells})
    assert made.plan.out == {name: why}
    assert f"- {name} " in made.text
    assert f"# {why}" in made.text
    assert made.spec.data.features == {"except": (name,)}
    assert load_dataset(made.spec).features == ("a",)


SAID: list[tuple[str, list[object], dict[str, object]]] = [
    ("numbers", numbers(seed=3), {}),
    ("categories", cycle("red", "green", "blue"), {}),
    ("codes", cycle("007", "010", "011"), {"type": "categorical"}),
    ("money", cycle("$1,200.50", "$80", "$12,000"), {"thousands": ",", "unit": "$"}),
    ("percent", cycle("12.5%", "3%", "40%"), {"unit": "%"}),
    ("comma", cycle("1,5", "2,25", "0,125"), {"decimal": ","}),
    ("day first", DAYS, {}),
    ("either", EARLY, {"format": "day/month/year"}),
    ("gaps", cycle(1.5, "", 2.5, 3), {"indicator": True}),
    ("skewed", [2 ** (i / 4) for i in range(ROWS)], {"scale": ("log1p", "standard")}),
    ("a few", cycle("yes", "no", "perhaps"), {"type": "categorical"}),
]


@pytest.mark.parametrize(("name", "cells", "says"), SAID, ids=[each[0] for each in SAID])
def test_what_is_said_of_a_column(
    tmp_path: Path, name: str, cells: list[object], says: dict[str, object]
) -> None:
    quoted = [f'"{cell}"' if "," in str(cell) else cell for cell in cells]
    made = drafted(tmp_path, **{name: quoted})
    assert not made.plan.out
    column = made.spec.data.columns.get(name)
    assert (column.model_dump(exclude_unset=True) if column else {}) == says


def test_ranks_of_columns_with_a_few_far_values(tmp_path: Path) -> None:
    far = [*numbers(400, 3)[:-2], "900", "-900"]
    amounts = drafted(tmp_path, rows=400, b=far)
    assert amounts.spec.data.columns["b"].scale == ("quantile", "standard")
    assert "a" not in amounts.spec.data.columns
    # not where the target has such values itself, nor for classes
    assert not drafted(tmp_path, rows=400, b=far, y=far[::-1]).spec.data.columns
    assert not drafted(tmp_path, rows=400, b=far, y=cycle(0, 1, rows=400)).spec.data.columns


def test_many_categories_become_vectors(tmp_path: Path) -> None:
    made = drafted(tmp_path, rows=900, shop=cycle(*(f"s{i}" for i in range(300)), rows=900))
    assert made.spec.data.columns["shop"].encode == "embedding"
    assert "300 categories: a vector for each that has 5 rows" in made.text


def test_one_way_to_write_numbers_is_said_of_the_file(tmp_path: Path) -> None:
    columns = {
        "a": cycle("1,5", "2,5", "4"),
        "b": cycle("1.000,5", "0,25"),
        "y": cycle("3,5", "4,5"),
    }
    made = draft(table(tmp_path, columns, delimiter=";"), "a", tmp_path)
    assert made.plan.columns["b"] == {"decimal": ",", "thousands": "."}
    del columns["b"]
    made = draft(table(tmp_path, columns, delimiter=";"), "a", tmp_path)
    assert made.spec.data.source.decimal == ","
    assert not made.spec.data.columns


def test_marks_that_stand_for_nothing(tmp_path: Path) -> None:
    made = drafted(
        tmp_path, b=cycle(1, 2.5, "?", 4), c=cycle("x", "y", "-"), d=cycle("none", "some")
    )
    assert made.spec.data.source.missing_values[-2:] == ("?", "-")
    assert made.plan.data["missing"] == "median"
    assert dict(zip(("a", "b", "c", "d"), load_dataset(made.spec).missing, strict=True))["d"] == 0
    # a mark that another column means stays a category there
    made = drafted(tmp_path, b=cycle(1.5, 2, "unknown", 4), c=cycle("unknown", "known"))
    assert made.plan.out == {"b": "has 'unknown' among its values, which another column means"}
    made = drafted(tmp_path, b=cycle("yes", "no", "unknown"), c=cycle("unknown", "known"))
    assert (made.plan.out, made.plan.columns) == ({}, {"b": {"type": "categorical"}})


def test_a_column_without_a_name(tmp_path: Path) -> None:
    columns = {
        "": list(range(ROWS)),
        "id": list(range(1, ROWS + 1)),
        "a": numbers(),
        "y": cycle(0, 1),
    }
    made = draft(table(tmp_path, columns), "y", tmp_path)
    assert made.spec.data.features == ("a",)
    assert "# - id " in made.text


# Targets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "loss", "units"),
    [
        (numbers(), "squared", 1),
        (cycle(0, 1), "logistic", 1),
        (cycle("no", "yes"), "logistic", 1),
        (cycle("a", "b", "c"), "logistic", 3),
        (cycle(1, 2, 3), "logistic", 3),
        (cycle(0, 1, 2, 3), "logistic", 4),
        (cycle(*[0] * 40, *[1] * 15, 2, 3, 4, 5), "squared", 1),  # counts
        (cycle(3, 4, 5), "squared", 1),  # grades
        (cycle(1, 2, 4), "squared", 1),
        (list(range(ROWS)), "squared", 1),
    ],
)
def test_what_is_predicted(tmp_path: Path, cells: list[object], loss: str, units: int) -> None:
    made = drafted(tmp_path, y=cells)
    assert (made.spec.model.loss, made.spec.model.layers[-1].units) == (loss, units)
    prepare(made.spec)


def test_what_is_predicted_may_be_said(tmp_path: Path) -> None:
    path = table(tmp_path, {"a": numbers(), "y": cycle(0, 1, 2)})
    assert draft(path, "y", tmp_path, "squared").spec.model.loss == "squared"
    path = table(tmp_path, {"a": numbers(), "y": cycle(3, 4, 5)})
    assert draft(path, "y", tmp_path, "logistic").spec.model.layers[-1].units == 3


def test_rows_without_a_target_and_large_ones(tmp_path: Path) -> None:
    made = drafted(tmp_path, y=[*["", "NA"] * 5, *(3**k for k in range(ROWS - 10))])
    assert made.spec.data.drop_rows is not None
    assert made.survey.rows == ROWS - 10
    assert made.spec.data.target_scale == ("standard",)
    assert "  # target_scale: [log1p, standard]" in made.text.splitlines()


def test_rare_classes_have_weights(tmp_path: Path) -> None:
    assert drafted(tmp_path, y=cycle("a", "a", "a", "b")).spec.model.class_weights is None
    made = drafted(tmp_path, rows=400, y=["rare"] * 8 + ["often"] * 392)
    assert made.spec.model.class_weights == "balanced"
    assert "'rare' in 8 of 400 rows" in made.text


def test_numbers_that_may_stand_for_nothing_are_told_and_kept(tmp_path: Path) -> None:
    made = drafted(tmp_path, a=[*[-999] * 3, *range(ROWS - 3)], y=cycle("a", "b"))
    lines = made.text.splitlines()
    place = lines.index("  source: {csv: t.csv}")
    assert lines[place + 1].startswith("  # 'a' is -999 in 3 of ")
    assert "missing_values" in lines[place + 2]
    assert "a" in load_dataset(made.spec).features
    meant = made.text.replace("{csv: t.csv}", '{csv: t.csv, missing_values: ["-999"]}')
    assert survey(read_spec(meant, str(tmp_path / "t.yaml"))).features[0].missing == 3


def test_cells_that_mean_something_else_are_told_and_kept(tmp_path: Path) -> None:
    names = [*(f"n{i:03}" for i in range(ROWS - 1)), "Summe"]
    made = drafted(tmp_path, b=names, c=cycle("Berlin", "berlin", "Rome"), y=cycle(0, 1, 9))
    assert made.plan.oddities.keys() == {"b", "c", "y"}
    assert made.plan.oddities["b"].startswith("is 'Summe' in the last row: a sum of the others?")
    assert made.plan.oddities["c"].startswith("has 'Berlin', 'berlin', which differ in case")
    assert made.plan.oddities["y"].startswith("is 9 in 20 of 60 rows, far from all others, 0 to 1")
    made = drafted(tmp_path, y=cycle("positive", "negative", "-999"))
    assert made.plan.oddities["y"].startswith("is -999 in 20 of 60 rows, names in the others")


@pytest.mark.parametrize(
    ("line", "words"),
    [("s,°C,bar", "'s', '°C', 'bar'"), (",°C,bar", "'°C', 'bar'"), ("s,1,bar", ""), (",,bar", "")],
)
def test_units_below_the_names_are_told(tmp_path: Path, line: str, words: str) -> None:
    rows = [f"{i},{i / 4},{i % 7}" for i in range(ROWS)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", line, *rows]), encoding="utf-8")
    odd = draft(tmp_path / "t.csv", "y", tmp_path, "squared").plan.oddities
    assert odd.keys() == ({"line 2"} if words else set())
    assert not words or f"where numbers stand below, {words}: units" in odd["line 2"]


def test_a_class_of_one_row_trains(tmp_path: Path) -> None:
    for one in range(5):
        cells = cycle("a", "b", rows=40)
        cells[one] = "c"
        made = drafted(tmp_path, rows=40, y=cells)
        assert load_dataset(made.spec).classes == ("a", "b", "c")


# Proposals ---------------------------------------------------------------------------------------


def test_order_groups_and_leaks_are_proposed_and_not_assumed(tmp_path: Path) -> None:
    y = [int(float(v) > 0) for v in numbers(seed=5)]
    made = drafted(
        tmp_path, y=y, day=[f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(ROWS)],
        patient_id=[1 + i % 15 for i in range(ROWS)], result=["ill" if v else "well" for v in y],
    )  # fmt: skip
    assert made.spec.data.split.time is None
    assert made.spec.data.split.group is None
    lines = [line.strip().removeprefix("# ") for line in made.text.splitlines()]
    assert "split: {validation: 0.1, test: 0.2, time: day}" in lines
    assert "split: {validation: 0.1, test: 0.2, group: patient_id}" in lines
    assert made.plan.doubts.keys() == {"result"}
    assert load_dataset(made.spec).features == ("a", "day", "patient_id", "result")
    for heeded in ("time: day", "group: patient_id"):
        line = next(each for each in made.text.splitlines() if heeded in each)
        text = made.text.replace("  split: {", "  # split: {", 1).replace(
            line, line.replace("# ", "")
        )
        split = read_spec(text, "t.yaml").data.split
        assert getattr(split, heeded.split(":")[0]) == heeded.split(": ")[1]


# Faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "target", "says"),
    [
        (PLAIN, "z", r"has no column 'z'"),
        (PLAIN, None, r"predicted\? \[TR-U012\]\n  hint: .* the columns are a, b, y"),
        (PLAIN | {"day": DAYS}, "day", "holds dates; a number or a class"),
        (PLAIN | {"e": [""] * ROWS}, "e", "it has no value in any row"),
        ({"y": cycle(0, 1)}, "y", "no column is left from which 'y' can be predicted"),
        (
            {"id": list(range(ROWS)), "y": cycle(0, 1)}, "y",
            "'y' can be predicted .*\n  id: numbers the rows, from 0 to 59",
        ),
        (PLAIN | {"one": ["x"] * ROWS}, "one", "is 'x' in all rows: there is nothing to learn"),
    ],
)  # fmt: skip
def test_what_cannot_be_drafted(
    tmp_path: Path, columns: dict[str, list[object]], target: str | None, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as told:
        draft(table(tmp_path, columns), target, tmp_path)
    assert told.value.code == "TR-U012"


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("no.csv", None, DataError),
        ("e.csv", b"", DataError),
        ("b.csv", bytes(range(256)), TrainerError),
        ("p.parquet", b"PAR1", DataError),
        ("x.csv", b"a,y\n1,2\n1,2,3\n", DataError),
        ("q.csv", b'a,y\n1,"2\n', DataError),
    ],
)
def test_files_that_are_no_tables(
    tmp_path: Path, name: str, data: bytes | None, error: type[TrainerError]
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(error):
        draft(tmp_path / name, "y", tmp_path)


def test_arrays(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "t.npz", x=draw.normal(size=(50, 3)), y=np.arange(50) % 2)
    assert draft(tmp_path / "t.npz", "y", tmp_path).spec.model.loss == "logistic"
    np.save(tmp_path / "x.npy", draw.normal(size=(50, 3)))
    with pytest.raises(UsageError, match="without a target beside it"):
        draft(tmp_path / "x.npy", "y", tmp_path)


def test_types_of_parquet(tmp_path: Path) -> None:
    import datetime

    import pyarrow as pa
    import pyarrow.parquet as pq

    first = datetime.date(2024, 1, 1)
    columns = {
        "n": list(range(0, 120, 2)), "x": [float(v) for v in numbers()],
        "d": [first + datetime.timedelta(days=7 * i) for i in range(ROWS)],
        "t": [None, *cycle("u", "v", rows=ROWS - 1)], "l": [[1]] * ROWS, "y": cycle(True, False),
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    made = draft(tmp_path / "t.parquet", "y", tmp_path)
    assert made.plan.out == {
        "l": "holds the type list<element: int64>, not numbers or texts",
        "n": "numbers the rows, from 0 to 118",
    }
    assert made.spec.model.loss == "logistic"


# Names and texts of any kind ---------------------------------------------------------------------


@given(
    st.text(min_size=1, max_size=12) | st.sampled_from(["no", "null", "1e3", "~", "a: b", "- x"])
)
def test_any_text_is_written_so_that_it_is_read_back(text: str) -> None:
    root, problems = parse(f"a: {{{value(text)}: [{value(text)}]}}\n", "t.yaml")
    assert root is not None
    assert not problems
    assert plain(root) == {"a": {text: [text]}}


WORDS = st.sampled_from(
    ["1", "2.5", "x", "yes", "no", "?", "", "007", "1,5", "2024-01-02", "inf", "12%"]
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(WORDS, min_size=12, max_size=12), min_size=2, max_size=5),
    st.integers(0, 4),
)
def test_any_table_is_drafted_or_refused(
    tmp_path_factory: pytest.TempPathFactory, columns: list[list[str]], target: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    quoted = {f"c{i}": [f'"{cell}"' for cell in cells] for i, cells in enumerate(columns)}
    try:
        made = draft(table(folder, quoted), f"c{target % len(columns)}", folder)
    except (UsageError, DataError):
        return
    prepare(made.spec)


def test_no_name_and_no_cell_becomes_a_line_of_the_spec(tmp_path: Path) -> None:
    odd = "when\nseed: 7\n#\x07"
    days = [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d}" for i in range(ROWS)]
    columns = {"a": numbers(), f'"{odd}"': days, '"y\nname: z"': cycle(0, 1, 1)}
    columns |= {"c\u2028d": ['"x\ny: 1"'] * ROWS, "b": cycle(1.5, "?\x08", 2.5, 3)}
    made = draft(table(tmp_path, columns), "y\nname: z", tmp_path)
    assert (made.spec.name, made.spec.seed, made.spec.data.target) == ("t", 0, "y\nname: z")
    assert f"time: {value(odd)}" in made.text


# Sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "hidden", "batch", "epochs", "decays"),
    [
        (0, [64], 16, 200, (0.005, 0.03)),
        (300, [64], 16, 200, (0.005, 0.03)),
        (3000, [64], 32, 100, (0.003, 0.003)),
        (9999, [64], 32, 100, (0.001, 0.001)),
        (30_000, [128, 64], 128, 100, (0.0003, 0.0003)),
        (300_000, [128, 64], 256, 30, (3e-5, 3e-5)),
    ],
)
def test_networks_grow_with_the_table(
    rows: int, hidden: list[int], batch: int, epochs: int, decays: tuple[float, float]
) -> None:
    """And few rows have more against learning them by heart; numbers more than classes."""
    few = rows < 10_000
    for classes, decay in zip((True, False), decays, strict=True):
        size = Size(rows, 20, 1, classes)
        assert [layer["units"] for layer in layers_for(size) if "units" in layer] == [*hidden, 1]
        assert any("rate" in layer for layer in layers_for(size)) is few
        assert loss_for(size) == ({"label_smoothing": 0.05} if few and classes else {})
        sgd = sgd_for(size)
        assert (sgd["batch_size"], sgd["epochs"], sgd["weight_decay"]) == (batch, epochs, decay)


# The command -------------------------------------------------------------------------------------


def test_the_command(train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    columns = {"id": list(range(ROWS)), "a": numbers(), "y": cycle(0, 1)}
    table(tmp_path, columns, "shop.csv")
    code, out, err = train("init", "shop.csv", "--target", "y")
    assert (code, err) == (0, "")
    assert out.startswith("reading shop.csv\n60 rows, 1 feature; ")
    assert "left out  id      numbers the rows, from 0 to 59" in out
    assert "The spec is in shop.yaml. Next: " in out
    assert out.endswith(" shop.yaml\n")
    assert train("check", "shop.yaml")[0] == 0
    code, _, err = train("init", "shop.csv", "--target", "y")
    assert code == 2
    assert "'shop.yaml' is there already [TR-U013]" in err
    code, out, _ = train("init", "shop.csv", "--target", "y", "--force", "--json")
    assert json.loads(out) == {
        "spec": "shop.yaml", "rows": ROWS, "target": "y", "loss": "logistic", "features": ["a"],
        "left_out": {"id": "numbers the rows, from 0 to 59"}, "doubtful": {},
    }  # fmt: skip
