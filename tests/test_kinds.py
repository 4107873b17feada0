"""Kinds of columns: found or declared, missing cells, targets, weights, groups, times, rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_data import inline, make_spec
from test_data_faults import declare, fill, marker, tell

from trainer import DataError, SpecError
from trainer.data import Column, Preprocessing, Table, load_dataset, load_table, read_rows
from trainer.data.columns.cells import date
from trainer.data.columns.notation import Notation
from trainer.data.columns.values import CellError
from trainer.spec import Spec, load_spec

NAN = math.nan


def read(text: str, loss: str = "squared", **data: Any) -> Table:
    """The table of a CSV file with this text; the target is y."""
    Path("t.csv").write_text(text)
    return load_table(make_spec({"csv": "t.csv"}, loss, **({"target": "y"} | data)))


def column(cells: Sequence[str], **declared: Any) -> tuple[Column, list[float]]:
    """The column a with these cells, as it is read."""
    columns = {"a": declared} if declared else {}
    table = read("a,y\n" + "".join(f'"{cell}",0\n' for cell in cells), columns=columns,
                 missing="most_frequent")  # fmt: skip
    return table.columns[0], table.x[:, 0].tolist()


def told(text: str, **data: Any) -> str:
    """What is said of a CSV file with this text."""
    with pytest.raises((DataError, SpecError)) as caught:
        read(text, **data)
    return tell(caught.value)


# Kinds that are found ----------------------------------------------------------------------------

NUMERIC, BOOLEAN, DATE = (Column("a", kind) for kind in ("numeric", "boolean", "date"))


def categories(*labels: str) -> Column:
    return Column("a", "categorical", labels)


def dates(form: str) -> Column:
    return Column("a", "date", (), Notation(format=form))


FOUND: list[tuple[list[str], Column, list[float]]] = [
    (["1", "2.5", "-3e2"], NUMERIC, [1, 2.5, -300]),
    (["1", "", " NA ", "4"], NUMERIC, [1, NAN, NAN, 4]),
    (["", "NA", "null"], NUMERIC, [NAN, NAN, NAN]),
    (["1", "0", "1"], NUMERIC, [1, 0, 1]),
    (["true", "False", "YES", "no", ""], BOOLEAN, [1, 0, 1, 0, NAN]),
    ([" b", "a ", "b", "", "c"], categories("a", "b", "c"), [1, 0, 1, NAN, 2]),
    (["yes", "maybe", "perhaps"], categories("maybe", "perhaps", "yes"), [2, 0, 1]),
    (["Y", "N", "y"], categories("N", "Y", "y"), [1, 0, 2]),
    (["None", "-", "None"], categories("-", "None"), [1, 0, 1]),
    (["18-24", "25-34", "35+"], categories("18-24", "25-34", "35+"), [0, 1, 2]),
    (["500 ml", "1 l", "500 ml", "1 l"], categories("1 l", "500 ml"), [1, 0, 1, 0]),
    (["9:00", "12:30", "12:30", "9:00"], categories("12:30", "9:00"), [1, 0, 0, 1]),
    (["31/12/2024", "", "1/2/2024"], dates("day/month/year"), [20088, NAN, 19754]),
    (["12/31/2024", "1/2/2024"], dates("month/day/year"), [20088, 19724]),
    (["31.12.2024", "2024-12-30"], dates("day.month.year"), [20088, 20087]),
    (["2024/12/31", "2024/1/2"], dates("year/month/day"), [20088, 19724]),
    (["5 May 2024", "6 May 2024 06:00"], dates("day month year"), [19848, 19849.25]),
    (["May 5, 2024", "June 1, 2024"], dates("month day year"), [19848, 19875]),
    (["05-May-24", "06-May-24"], dates("day-month-yy"), [19848, 19849]),
    (["2024-05-06 00:00:00 UTC", "2024-05-06 01:00:00 UTC"], DATE, [19849, 19849 + 1 / 24]),
    (["20240506", "20240507"], NUMERIC, [20240506, 20240507]),
    (["1", "x", "y"], categories("1", "x", "y"), [0, 1, 2]),
    (["1970-01-02", "", "1969-12-31"], DATE, [1, NAN, -1]),
    (["2000-01-01", "2000-01-01 12:00", "2000-01-01T06:00:00.5Z"], DATE,
     [10957, 10957.5, 10957 + 21600.5 / 86400]),
    (["2000-01-01", "soon", "late"], categories("2000-01-01", "late", "soon"), [0, 2, 1]),
    (["inf?", "é", "B", "b"], categories("B", "b", "inf?", "é"), [2, 3, 0, 1]),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "found", "values"), FOUND)
def test_the_kind_of_a_column_is_found(
    cells: list[str], found: Column, values: list[float], folder: Path
) -> None:
    read_as, numbers = column(cells)
    assert read_as == found
    np.testing.assert_array_equal(numbers, values)


DECLARED: list[tuple[dict[str, Any], list[str], Column, list[float]]] = [
    ({"type": "categorical"}, ["10", "9", "", "10.0"], categories("9", "10"), [1, 0, NAN, 1]),
    ({"type": "categorical"}, ["007", "7"], categories("007", "7"), [0, 1]),
    ({"type": "categorical"}, ["1.50", ".5"], categories("0.5", "1.5"), [1, 0]),
    ({"type": "boolean"}, ["1", "0", "1.0", "yes", ""], BOOLEAN, [1, 0, 1, 1, NAN]),
    ({"order": ["low", "mid", "high"]}, ["high", " low", ""],
     Column("a", "ordinal", ("low", "mid", "high")), [2, 0, NAN]),
    ({"order": [3, 2.5, 1]}, ["1.0", "3", "2.50"], Column("a", "ordinal", ("3", "2.5", "1")),
     [2, 0, 1]),
    ({"type": "date"}, ["2024-02-29", ""], DATE, [19782, NAN]),
    ({"type": "numeric"}, ["1", "nan"], NUMERIC, [1, NAN]),
    ({"encode": "embedding"}, ["20", "3"], categories("3", "20"), [1, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "cells", "expected", "values"), DECLARED)
def test_the_kind_of_a_column_is_declared(
    declared: dict[str, Any], cells: list[str], expected: Column, values: list[float], folder: Path
) -> None:
    read_as, numbers = column(cells, **declared)
    assert read_as == expected
    np.testing.assert_array_equal(numbers, values)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("1970-01-01T00:00:00+01:00", -1 / 24),
        ("1970-01-01 23:30-0100", 1 + 0.5 / 24),
        ("0001-01-01", -719162),
        ("9999-12-31", 2932896),
        ("2024-12-31 23:59:59.123456789", 20088.99998985482),
        ("1970-01-01T24:00", None), ("1970-02-30", None), ("70-01-01", None), ("1970-1-1", None),
        ("19700101", None), ("1970-01-01T", None), ("1970-01-01 10", None), ("12:00", None),
    ],
)  # fmt: skip
def test_dates(text: str, days: float | None) -> None:
    if days is None:
        with pytest.raises(CellError, match="expected a date"):
            date(text)
    else:
        assert date(text) == pytest.approx(days, abs=1e-6)


def test_dates_of_arrow_have_the_bits_of_texts(folder: Path) -> None:
    texts = ["2024-05-06 07:08:09", "1899-12-31 23:59:59", "2999-01-01 00:00:01"]
    stamps = pa.array(texts).cast(pa.timestamp("s"))
    for kind in (*(pa.timestamp(unit) for unit in ("s", "ms", "us")),
                 pa.timestamp("us", "Asia/Tokyo")):  # fmt: skip
        pq.write_table(pa.table({"a": stamps.cast(kind), "y": [1, 2, 3]}), "t.parquet")
        x = load_table(make_spec({"parquet": "t.parquet"}, target="y")).x
        assert x[:, 0].tolist() == [date(text) for text in texts]


# What is said ------------------------------------------------------------------------------------


def test_texts_like_identifiers(folder: Path) -> None:
    rows = "".join(f"u{i},{i}\n" for i in range(101))
    assert told("a,y\n" + rows) == (
        "t.csv: column 'a': 101 different texts in 101 rows, such as 'u0', look like identifiers, "
        "not categories (leave the column out, or write "
        "`data.columns: {a: {type: categorical}}`)"
    )
    assert len(read("a,y\n" + rows * 2).columns[0].categories) == 101
    assert len(read("a,y\n" + rows[: rows.index("u100")]).columns[0].categories) == 100
    declared = {"a": {"type": "categorical"}}
    assert len(read("a,y\n" + rows, columns=declared).columns[0].categories) == 101


TOLD = [
    ({"a": {"type": "numeric"}}, "a,y\n1,2\nx,3\nz,1\n",
     "t.csv:3: column 'a': expected a number, found the text 'x', and 1 more like it, in line 4 "
     "(correct it, or leave the column out)"),
    ({"a": {"type": "date"}}, "a,y\n2000-01-01,2\n3.4.2000,3\n",
     "t.csv: column 'a': dates such as '3.4.2000' may be day.month.year or month.day.year "
     "(write `data.columns: {a: {format: day.month.year}}`, or whichever it is)"),
    ({"a": {"type": "boolean"}}, "a,y\n1,2\n2,3\n",
     "t.csv:3: column 'a': expected true or false, found the text '2' "
     "(yes, no, 1 and 0 do as well)"),
    ({"a": {"order": ["low", "high"]}}, "a,y\nlow,1\nhihg,2\n",
     "t.csv:3: column 'a': expected a label of the column's order, found 'hihg' "
     "(did you mean 'high'?)"),
    ({}, "a,y\np,2\n,3\n",
     f"t.csv:3: column 'a': expected a category, found an empty cell {fill('a', 'most_frequent')}"),
    ({"a": {"encode": "embedding"}}, "a,y\n1,2\n,3\n",
     f"t.csv:3: column 'a': expected a category, found an empty cell {fill('a', 'most_frequent')}"),
    ({}, "a,y\nyes,2\nno,1\nmaybe,2\n",
     "t.csv:4: column 'a': expected true or false, found the text 'maybe' (yes, no, 1 and 0 do as "
     f"well; {marker('maybe')[1:]}"),
    ({}, "a,y\nyes,2\nno,1\nunknown,2\nunknown,1\n",
     "t.csv:4: column 'a': expected true or false, found 'unknown' (2 times); the others in line 5 "
     + marker("unknown")),
    ({}, "a,y\n2000-01-01,2\n2000-13-01,1\n",
     "t.csv:3: column 'a': expected a date, found the text '2000-13-01' (write it as 2024-12-31 or "
     "2024-12-31 23:59:59, or `data.columns: {a: {type: categorical}}`)"),
    ({"a": {"type": "date"}}, "a,y\n20240506,2\n20240507,1\n",
     "t.csv:2: column 'a': expected a date, found the text '20240506', and 1 more like it, in "
     "line 3 (write `data.columns: {a: {format: yearmonthday}}`)"),
    ({}, "a,y\n2000-01-01,2\n0000-00-00,1\n",
     "t.csv:3: column 'a': expected a date, found '0000-00-00' " + marker('"0000-00-00"')),
    ({}, "a,y\n31/12/2024,2\n1/2/2024,2\n12/31/2024,1\n30/12/2024,2\n",
     "t.csv:4: column 'a': expected a date as day/month/year, found the text '12/31/2024' "
     "(write `data.columns: {a: {format: month/day/year}}`, or all dates in one way, or "
     "`data.columns: {a: {type: categorical}}`)"),
    ({}, "a,y\n31/12/2024,2\n1/2/2024,2\n12/31/2024,1\n",
     "t.csv: column 'a': dates are written in several ways: '31/12/2024' is day/month/year and "
     "'12/31/2024' is month/day/year (write them in one way)"),
    ({}, "a,b,y\n1/2/2024,1,2\n3/4/2024,1,1\n,x,1\n",
     "t.csv: column 'a': dates such as '1/2/2024' may be day/month/year or month/day/year "
     "(write `data.columns: {a: {format: day/month/year}}`, or whichever it is)\n"
     f"t.csv:4: column 'b': expected a number, found the text 'x' {declare('b')}"),
    ({}, "a,b,y\n1,-,2\n2,3,1\nn/a,4,1\n",
     "t.csv:2: column 'b': expected a number, found '-' " + marker('"-", n/a', "b") + "\n"
     "t.csv:4: column 'a': expected a number, found 'n/a' " + marker('n/a, "-"')),
    ({"a": {"decimal": ","}}, "a,y\n\"1,5\",2\n2.5,1\n",
     "t.csv:3: column 'a': expected a number, found the text '2.5' "
     "(numbers are declared to be written as 1234,5 here)"),
    ({}, "a,y\n\"1,5\",2\n$3,1\n€4,1\n",
     "t.csv:2: column 'a': expected a number, found the text '1,5', a number but for the decimal "
     "comma, and 2 more like it, in lines 3 and 4 (write it plainly, as -1234.5, in one unit, "
     "or `data.columns: {a: {type: categorical}}`)"),
    ({"b": {"type": "date"}}, "a,y\n1,2\n",
     "data.columns.b: the data has no column 'b' (the columns are a, y)"),
    ({"aa": {"type": "date"}}, "aaa,y\n1,2\n",
     "data.columns.aa: the data has no column 'aa' (did you mean 'aaa'?)"),
    ({"y": {"type": "categorical"}}, "a,y\n1,2\n",
     "data.columns.y: 'y' is no feature (of "
     "other columns only decimal, format, thousands, unit are said here)"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "text", "expected"), TOLD)
def test_cells_and_declarations_that_do_not_fit(
    columns: dict[str, Any], text: str, expected: str, write_spec: Callable[..., Path]
) -> None:
    Path("t.csv").write_text(text)
    data = {"source": {"csv": "t.csv"}, "target": "y", "columns": columns}
    spec = load_spec(write_spec({"data": data, "model.loss": "squared"}).name)
    with pytest.raises((DataError, SpecError)) as caught:
        load_table(spec)
    assert tell(caught.value) == expected


def test_texts_of_other_files_are_told_alike(folder: Path) -> None:
    cells = [f"${n}.50" for n in range(60)]
    pq.write_table(pa.table({"a": cells, "y": list(range(60))}), "t.parquet")
    np.savez("t.npz", a=np.array(cells), y=np.arange(60))
    for kind in ("parquet", "npz"):
        with pytest.raises(DataError) as caught:
            load_table(make_spec({kind: f"t.{kind}"}, target="y"))
        assert tell(caught.value) == (
            f"t.{kind}: column 'a': row 0: expected a number, found the text '$0.50', a number but "
            "for the unit '$', and 59 more like it, in rows 1, 2, 3, … "
            '(write `data.columns: {a: {unit: "$"}}`)'
        )
        declared = {"a": {"unit": "$"}}
        table = load_table(make_spec({kind: f"t.{kind}"}, target="y", columns=declared))
        assert table.x[:, 0].tolist() == [n + 0.5 for n in range(60)]


def test_prices_that_are_few_among_texts_that_all_differ_are_told(folder: Path) -> None:
    cells = [f"${n}" if n % 3 == 0 else f"ask {n}" for n in range(60)]
    assert told("a,y\n" + "".join(f"{cell},1\n" for cell in cells)) == (
        "t.csv:2: column 'a': expected a number, found the text '$0', a number but for the unit "
        "'$', and 19 more like it, in lines 5, 8, 11, … "
        '(write `data.columns: {a: {unit: "$"}}`)\n'
        "t.csv:3: column 'a': expected a number, found the text 'ask 1', and 39 more like it, in "
        f"lines 4, 6, 7, … {declare('a')}"
    )


CATEGORICAL = "`data.columns: {a: {type: categorical}}`"
NOTES: list[tuple[list[str], str | None]] = [
    (["1067", "04109", "10115"], "the numbers of 'a' have leading zeros, as 04109 has, so they are "
     f"probably codes: {CATEGORICAL} keeps them"),
    (["", "76561198000000007"], "'a' has whole numbers beyond 2**53, such as 76561198000000007, "
     f"which are rounded; are they ids? {CATEGORICAL} keeps them"),
    (["20241231", "20240229"], "the numbers of 'a', such as 20241231, look like dates: "
     "`data.columns: {a: {format: yearmonthday}}` reads them"),
    (["500 ml", "1 l"] * 3, "the 2 different texts of 'a', such as '500 ml', are taken for "
     f"categories, not for numbers with a unit or times; {CATEGORICAL} says so"),
    ([f"who {n}" for n in range(30)], "the 30 different texts of 'a' in 30 rows become a column "
     f"each; are they identifiers? {CATEGORICAL} says that they are categories"),
    (["1.234", "850", "12.500", "0"], "'a' has three digits behind every point, as in 1.234, or no "
     "point: if they are thousands, write "
     '`data.columns: {a: {decimal: ",", thousands: "."}}`'),
    (["1.234", "12.500"], None), (["1.234", "850", "0.123"], None), (["1.234", "1000"], None),
    (["0", "0.5", "10"], None), (["20241231", "20241331"], None), (["9007199254740992"], None),
    (["yes", "no"], None), (["x", "y", "x"], None), (["2024-12-31"], None),
]  # fmt: skip


@pytest.mark.parametrize(("cells", "note"), NOTES)
@pytest.mark.parametrize("stream", [False, True])
def test_notes_on_columns(cells: list[str], note: str | None, stream: bool, folder: Path) -> None:
    text = "a,y\n" + "".join(f'"{cell}",{i}\n' for i, cell in enumerate(cells))
    Path("t.csv").write_text(text)
    source, data = {"csv": "t.csv"}, {"missing": "most_frequent", "split": {}}
    spec = make_spec(source, target="y", stream=stream, **data)
    notes = [each for each in load_dataset(spec).notes if "'a'" in each]
    assert notes == [note] * (note is not None)
    spec = make_spec(source, target="y", stream=stream, columns={"a": {"type": "categorical"}},
                     **data)  # fmt: skip
    assert not [each for each in load_dataset(spec).notes if "'a'" in each]


def test_missing_cells_are_kept_where_something_stands_for_them(folder: Path) -> None:
    text = "a,b,y\n1,p,1\n,,2\n3,q,3\n"
    table = read(text, missing="median")
    np.testing.assert_array_equal(table.x, [[1, 0], [NAN, NAN], [3, 1]])
    columns = {"a": {"missing": {"constant": 0}}, "b": {"missing": "most_frequent"}}
    np.testing.assert_array_equal(read(text, columns=columns).x, table.x)
    assert told(text, missing="median", columns={"a": {"missing": "error"}}) == (
        f"t.csv:3: column 'a': expected a number, found an empty cell {fill('a')}"
    )


def test_the_spellings_of_missing_cells(folder: Path) -> None:
    Path("t.csv").write_text("a,b,y\n-999,NA,1\n2,x,2\n,z,3\n")
    source = {"csv": "t.csv", "missing_values": ["-999"]}
    table = load_table(make_spec(source, target="y", missing="median"))
    np.testing.assert_array_equal(table.x, [[NAN, 0], [2, 1], [NAN, 2]])
    assert table.columns[1].categories == ("NA", "x", "z")


# Targets, weights, groups, times -----------------------------------------------------------------


def test_several_targets(folder: Path) -> None:
    table = read("a,b,c,y\n1,2,3,4\n5,6,7,8\n", target=["y", "b"])
    assert (table.features, table.targets) == (("a", "c"), ("y", "b"))
    assert table.target.tolist() == [[4, 2], [8, 6]]
    typed = read("a,b,c,y\nx,2,3,4\nz,6,7,8\n", target=["y", "b"])
    assert typed.target.tolist() == table.target.tolist()
    iris = load_table(make_spec("iris", units=2, target=["target", "petal width (cm)"]))
    assert (iris.x.shape, iris.target[0].tolist()) == ((150, 3), [0, 0.2])


def multi_label(source: Any, target: Any = "y") -> Table:
    model = {"layers": [{"units": 1}], "loss": "logistic", "multi_label": True}
    sgd = {"learning_rate": 1, "epochs": 1, "batch_size": 1}
    return load_table(Spec(name="t", data={"source": source, "target": target}, model=model,
                           sgd=sgd))  # fmt: skip


def test_labels_that_are_yes_or_no_each(folder: Path) -> None:
    Path("t.csv").write_text("a,p,q,r\n1,yes,0,TRUE\n2,no,1,false\n")
    table = multi_label({"csv": "t.csv"}, ["p", "q", "r"])
    assert (table.target.tolist(), table.classes) == ([[1, 0, 1], [0, 1, 0]], None)
    assert multi_label(inline([[1], [2]], [[1, 0], [0, 0]])).target.tolist() == [[1, 0], [0, 0]]
    Path("t.csv").write_text("a,p\n1,1\n2,2\n")
    with pytest.raises(DataError, match=r"t\.csv:3: column 'p': expected true or false"):
        multi_label({"csv": "t.csv"}, "p")
    with pytest.raises(DataError, match=r"expected 0 or 1 in each target, found 2 \(row 1"):
        multi_label(inline([[1], [2]], [[1, 0], [0, 2]]))


ROLES = "a,town,w,who,when,y\n1,p,1,u,2024-01-02,1\n2,q,0,x,2024-01-01,2\n3,p,2.5,u,2024-01-03,3\n"


@pytest.mark.parametrize("features", [None, ["a"]])
def test_weights_groups_and_times(features: list[str] | None, folder: Path) -> None:
    more = {"features": features} if features else {}
    by_group = read(ROLES, weights="w", split={"group": "who"},
                    **(more or {"features": ["a", "town"]}))  # fmt: skip
    assert by_group.weights is not None
    assert by_group.group is not None
    assert (by_group.weights.tolist(), by_group.group.tolist()) == ([1, 0, 2.5], [0, 1, 0])
    assert by_group.group.dtype == np.int64
    by_time = read(ROLES, weights="w", split={"time": "when"}, **more)
    assert by_time.time is not None
    assert by_time.time.tolist() == [19724, 19723, 19725]
    assert by_time.features == (("a",) if features else ("a", "town", "who"))


def test_a_time_may_be_a_feature_too(folder: Path) -> None:
    table = read(ROLES, features=["when", "a", "who"], split={"group": "who"})
    assert [column.kind for column in table.columns] == ["date", "numeric", "categorical"]
    assert table.group is not None
    assert table.x[:, 2].tolist() == table.group.tolist() == [0, 1, 0]
    data = {"features": ["x1", "x3"], "split": {"time": "x2"}, "weights": "x3"}
    x = [[1, 5, 2], [2, 4, 3]]
    with pytest.raises(Exception, match="cannot be a weight"):
        make_spec(inline(x, [1, 2]), **data)
    table = load_table(make_spec(inline(x, [1, 2]), **(data | {"features": ["x1", "x2"]})))
    assert table.time is not None
    assert table.weights is not None
    assert (table.time.tolist(), table.weights.tolist()) == ([5, 4], [2, 3])
    assert table.x.tolist() == [[1, 5], [2, 4]]


def test_numbers_of_other_sources_may_be_categories(folder: Path) -> None:
    table = load_table(make_spec("diabetes", columns={"sex": {"type": "categorical"}}))
    assert table.columns[1] == Column("sex", "categorical", ("1", "2"))
    assert set(table.x[:, 1]) == {0, 1}
    plain = load_table(make_spec("diabetes"))
    assert (table.x[:, [0, 2]] == plain.x[:, [0, 2]]).all()


@pytest.mark.parametrize(
    ("text", "data", "expected"),
    [
        ("a,w,y\n1,-1,1\n2,1,2\n", {"weights": "w"},
         "data.weights: the weight -1 is negative (row 0, counted from 0) (weights are 0 or more)"),
        ("a,w,y\n1,0,1\n2,0,2\n", {"weights": "w"},
         "data.weights: all weights are 0 (give some row a weight above 0)"),
        ("a,w,y\n1,0,1\n2,,2\n", {"weights": "w", "missing": "mean"},
         "t.csv:3: column 'w': expected a weight, found an empty cell "
         "(fill it in, or leave the row out: `data.drop_rows: {missing: w}`)"),
        ("a,g,y\n1,p,1\n2,,2\n", {"split": {"group": "g"}},
         "t.csv:3: column 'g': expected a group, found an empty cell "
         "(fill it in, or leave the row out: `data.drop_rows: {missing: g}`)"),
        ("a,t,y\n1,p,1\n2,q,2\n", {"split": {"time": "t"}},
         "data.split.time: 't' holds neither numbers nor dates "
         "(write dates as 2024-12-31 or 2024-12-31 23:59:59)"),
        ("a,y\n1,1\n", {"weights": "w", "split": {"group": "g"}},
         "data.weights: the data has no column 'w' (the columns are a, y)\n"
         "data.split.group: the data has no column 'g' (the columns are a, y)"),
        ("a,y\n1,1\n", {"split": {"time": "y"}},
         "data.split.time: 'y' is a target (name another column)"),
        ("a,town,y\n1,p,2\n,q,3\n,p,x\n", {},
         "t.csv:3: column 'a': expected a number, found 2 empty cells, of which this is the first "
         f"{fill('a')}\n"
         "t.csv:4: column 'y': expected a number, found the text 'x' "
         "(use `loss: logistic` if the column names classes)"),
        ("a,town,y\n1,p,2\n3,q,3\nz,p,4\n", {},
         f"t.csv:4: column 'a': expected a number, found the text 'z' {declare('a')}"),
    ],
)  # fmt: skip
def test_roles_that_do_not_fit(
    text: str, data: dict[str, Any], expected: str, folder: Path
) -> None:
    assert told(text, **data).replace("None: ", "") == expected


# Rows to predict ---------------------------------------------------------------------------------

HOW = Preprocessing(
    columns=(Column("a"), Column("town", "categorical", ("p", "q")), Column("f", "boolean"),
             Column("n", "ordinal", ("1", "2")), Column("d", "date")),
    targets=("y",), classes=(False, True), outputs=1, dtype="float64",
)  # fmt: skip


@pytest.mark.parametrize("name", ["r.csv", "r.tsv.gz", "r.parquet", "r.feather", "r.npz"])
def test_rows_of_every_kind_of_file(name: str, folder: Path) -> None:
    from test_formats import write

    kind = {"r.csv": "csv", "r.tsv.gz": "gz", "r.feather": "arrow"}.get(name, name[2:])
    table = pa.table({
        "y": [True, False, True], "town": ["q", "z", None], "n": [2.0, 1.0, 3.0],
        "f": ["yes", "no", None], "a": [1.5, None, 2.0],
        "d": pa.array([0, 86400 * 10**6, 1], pa.timestamp("us")), "more": ["", "x", "y"],
    })  # fmt: skip
    write(kind, table, Path(name))
    (rows,) = read_rows(Path(name), HOW.columns, HOW.target_columns)
    np.testing.assert_array_equal(
        rows.x, [[1.5, 1, 1, 1, 0], [NAN, -1, 0, 0, 1], [2, NAN, NAN, -1, 1 / 86400e6]]
    )
    assert rows.target is not None
    assert rows.target.tolist() == [1, 0, 1]
    Path(name).write_bytes(Path(name).read_bytes()[:-9])
    with pytest.raises(DataError, match=name):
        list(read_rows(Path(name), HOW.columns))


def test_rows_of_arrays_without_targets(folder: Path) -> None:
    how = Preprocessing((Column("x1"), Column("x2")), ("y",), None, outputs=1, dtype="float64")
    x = np.arange(6.0).reshape(3, 2)
    np.save("r.npy", x)
    np.savez("r.npz", x=x)
    for name in ("r.npy", "r.npz"):
        (rows,) = read_rows(Path(name), how.columns)
        assert rows.x.tolist() == x.tolist()
        with pytest.raises(DataError, match="needs the column 'y', which is missing"):
            next(read_rows(Path(name), how.columns, how.target_columns))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,town,f,n,d,y\n1,p,x,1,2000-01-01,true\n",
         "r.csv:2: column 'f': expected true or false, found the text 'x' "
         "(yes, no, 1 and 0 do as well)"),
        ("a,town,f,n,d,y\n1,p,,1,2000-01-01,true\n1,p,,1,2000-01-01,maybe\n",
         "r.csv: column 'y': row 1: expected a class that the model knows, found 'maybe' "
         "(the classes are False, True)"),
        ("a,town,f,n,d,y\n1,p,,1,2000-01-01,\n",
         "r.csv:2: column 'y': expected a class label, found an empty cell "
         "(fill it in, or leave the row out)"),
        ("a,town,f,n,y\nx,p,,1,true\n",
         "r.csv: the model needs the column 'd', which is missing "
         "(the columns are a, town, f, n, y)"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit(text: str, expected: str, folder: Path) -> None:
    Path("r.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        list(read_rows(Path("r.csv"), HOW.columns, HOW.target_columns))
    assert tell(caught.value) == expected
