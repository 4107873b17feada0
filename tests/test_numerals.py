"""Numbers as they are written: decimal signs, thousands, units; the same in every reader."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data import make_spec, thorough

from trainer import SpecError
from trainer.data import Preprocessing, load_table, read_rows
from trainer.data.columns import cells
from trainer.data.columns.encoding import encode_column
from trainer.data.columns.notation import PLAIN, Notation
from trainer.data.columns.numerals import number_of
from trainer.data.columns.table import Column
from trainer.data.columns.values import CellError
from trainer.data.preparing.expand import Rule
from trainer.export.copying import Program
from trainer.export.literals import literal

READ: list[tuple[dict[str, str], str, float | None]] = [
    ({}, "-1.5e3", -1500), ({}, " +.5\t", 0.5), ({}, "1_000", None), ({}, "1,5", None),
    ({}, "١٢", None), ({}, "\u00a07", None), ({}, "", None), ({}, "1e999", math.inf),
    ({"decimal": ","}, "1,5", 1.5), ({"decimal": ","}, "-,5e1", -5),
    ({"decimal": ","}, "3.5", None),
    ({"decimal": ","}, "7", 7), ({"decimal": ","}, "1.234,5", None),
    ({"thousands": ","}, "1,234.5", 1234.5), ({"thousands": ","}, "1234.5", 1234.5),
    ({"thousands": ","}, "1,5", None), ({"thousands": ","}, "12,34,567", 1234567),
    ({"thousands": ","}, "1,2345", None), ({"thousands": ","}, ",123", None),
    ({"decimal": ",", "thousands": "."}, "1.234.567,89", 1234567.89),
    ({"decimal": ",", "thousands": "."}, "1.5", None),
    ({"thousands": " "}, "1 234\u00a0567.5", 1234567.5), ({"thousands": " "}, "1\u202f000", 1000),
    ({"thousands": " "}, "1  000", None), ({"thousands": "'"}, "1'000\u2019000", 1e6),
    ({"unit": "$"}, "$5", 5), ({"unit": "$"}, "-$5.5", -5.5), ({"unit": "$"}, "$ -5", -5),
    ({"unit": "$"}, "-$-5", None), ({"unit": "$"}, "5$", 5), ({"unit": "$"}, "5", 5),
    ({"unit": "$"}, "€5", None), ({"unit": "$", "thousands": ","}, "$1,336.00", 1336),
    ({"unit": "%"}, "12.5 %", 12.5), ({"unit": "m²"}, "3.5m²", 3.5),
    ({"unit": "kg"}, "12\u00a0kg", 12),
    ({"unit": "e"}, "1e", 1), ({"unit": "e"}, "1e5", 1e5),
]  # fmt: skip


@pytest.mark.parametrize(("signs", "text", "value"), READ)
def test_a_numeral_is_read(signs: dict[str, str], text: str, value: float | None) -> None:
    assert number_of(text, **signs) == value


NOTATIONS = [
    PLAIN, Notation(","), Notation(".", ","), Notation(",", "."), Notation(",", " "),
    Notation(".", "'"), Notation(unit="$"), Notation(",", ".", "€"), Notation(".", " ", "m²"),
]  # fmt: skip


def numeral(notation: Notation, value: float, grouped: bool, unit: bool) -> str:
    """A number as the notation writes it."""
    text = f"{value:,.6f}" if grouped and notation.thousands else repr(value)
    text = text.translate({ord(","): notation.thousands, ord("."): notation.decimal})
    return f"{text} {notation.unit}" if unit else text


@settings(thorough, max_examples=40)
@given(
    st.sampled_from(NOTATIONS),
    st.lists(st.tuples(st.floats(-1e15, 1e15), st.booleans(), st.booleans()),
             min_size=1, max_size=9),
)  # fmt: skip
def test_the_fast_way_has_the_bits_of_the_slow_one(
    notation: Notation, numbers: list[tuple[float, bool, bool]]
) -> None:
    texts = [numeral(notation, *each) for each in numbers]
    column = Column("a", "numeric", (), notation)
    slow = [notation.number(text) for text in texts]
    assert None not in slow
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        fast = encode_column(pa.array(texts, kind), column)
        assert fast.tobytes() == struct.pack(f"{len(texts)}d", *slow)
    plain = [float(t[:-2] if t.endswith(" ") else t) for t in map(repr, (v for v, _, _ in numbers))]
    ungrouped = [value for value, (_, grouped, _) in zip(slow, numbers, strict=True)
                 if not (grouped and notation.thousands)]  # fmt: skip
    assert ungrouped == [value for value, (_, grouped, _) in zip(plain, numbers, strict=True)
                         if not (grouped and notation.thousands)]  # fmt: skip


PIECES = st.sampled_from([*"0123456789", "12", "345", ".", ",", " ", "'", "-", "+", "e", "$", "€",
                          "m²", "\u00a0", "\u2019", "_", "x", "\t", "\u0663", "inf"])  # fmt: skip


def program_that_reads(notation: Notation) -> Any:
    """The reader of numbers that an exported program has, as it stands there."""
    program = Program()
    signs = ", ".join(map(literal, (notation.decimal, notation.thousands, notation.unit)))
    program.give("READ", f"READ = numbers_as({signs})", cells.__name__)
    scope: dict[str, Any] = {}
    exec(program.text('"""Numbers."""', ["READ"], cells.__name__), scope)
    return scope["READ"]


PROGRAMS = [program_that_reads(notation) for notation in NOTATIONS]


@thorough
@given(st.lists(PIECES, min_size=1, max_size=9).map("".join), st.integers(0, len(NOTATIONS) - 1))
def test_programs_and_columns_read_the_same_numbers(text: str, which: int) -> None:
    column = Column("a", "numeric", (), NOTATIONS[which])
    try:
        expected = float(encode_column(pa.array([text]), column)[0])
    except CellError:
        expected = None
    if not text.strip():
        return  # a missing cell, which readers of numbers never see
    try:
        assert PROGRAMS[which](text) == expected
    except ValueError:
        assert expected is None


# Tables ------------------------------------------------------------------------------------------

EUROPEAN = "a;b;y\n1.234,5;7;1,25\n,5;;-3\n"
SIGNS = {"decimal": ",", "thousands": "."}


@pytest.mark.parametrize("stream", [False, True])
def test_a_file_with_decimal_commas(stream: bool, folder: Path) -> None:
    Path("t.csv").write_text(EUROPEAN)
    source = {"csv": "t.csv", "delimiter": ";", **SIGNS}
    table = load_table(make_spec(source, target="y", missing="median", stream=stream))
    np.testing.assert_array_equal(table.x, [[1234.5, 7], [0.5, math.nan]])
    assert table.target[:, 0].tolist() == [1.25, -3]
    assert [column.notation for column in table.columns] == [Notation(**SIGNS)] * 2
    Path("plain.csv").write_text("a,b,y\n1234.5,7,1.25\n.5,,-3\n")
    plain = load_table(make_spec({"csv": "plain.csv"}, target="y", missing="median"))
    assert table.sha256 == plain.sha256


def test_columns_and_the_target_may_be_written_in_other_ways(folder: Path) -> None:
    Path("t.csv").write_text('a,b,w,y\n"$1,336.00","1,5",2,5%\n$7,2,1,6.5%\n')
    columns = {"a": {"unit": "$", "thousands": ","}, "b": {"decimal": ","}, "y": {"unit": "%"}}
    table = load_table(make_spec({"csv": "t.csv"}, target="y", weights="w", columns=columns))
    assert table.x.tolist() == [[1336, 1.5], [7, 2]]
    assert table.target[:, 0].tolist() == [5, 6.5]


@pytest.mark.parametrize(
    ("kind", "notation", "words"),
    [("numeric", PLAIN, "numeric"), ("numeric", Notation(",", "."), "numeric, 1.234,5"),
     ("numeric", Notation(unit="$"), "numeric, 1234.5 $"), ("date", PLAIN, "date"),
     ("date", Notation(",", format="day/month/year"), "date, day/month/year"),
     ("categorical", Notation(","), "categorical")],
)  # fmt: skip
def test_a_notation_is_described(kind: Any, notation: Notation, words: str) -> None:
    assert notation.describe(kind) == words


def test_rows_to_predict_are_read_as_the_training_rows(folder: Path) -> None:
    how = Preprocessing((Column("a", "numeric", (), Notation(",", ".", "€")),
                         Column("d", "date", (), Notation(format="day.month.year"))),
                        ("y",), None, 1, "float64", (Rule(), Rule(parts=("days",))))  # fmt: skip
    again = Preprocessing.from_json(how.as_json())
    assert again == how
    texts = pa.table({"a": ["1.234,5 €", "", "7"], "d": ["02.01.1970", "1970-01-03", None]})
    Path("r.csv").write_text('a,d\n"1.234,5 €",02.01.1970\n,1970-01-03\n7,\n')
    Path("r.csv.gz").write_bytes(gzip.compress(Path("r.csv").read_bytes()))
    pq.write_table(texts, "r.parquet")
    feather.write_feather(texts, "r.feather")
    np.savez(
        "r.npz", a=np.array(texts["a"].to_pylist()), d=np.array(["02.01.1970", "1970-01-03", ""])
    )
    for name in ("r.csv", "r.csv.gz", "r.parquet", "r.feather", "r.npz"):
        (rows,) = read_rows(Path(name), again.columns)
        np.testing.assert_array_equal(rows.x, [[1234.5, 1], [math.nan, 2], [7, math.nan]])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"source": {"csv": "t.csv", "thousands": "."}}, "'.' is the decimal sign already"),
        ({"source": {"csv": "t.csv", "decimal": "x"}}, "decimal"),
        ({"columns": {"a": {"thousands": ",", "decimal": ","}}}, "',' is the decimal sign already"),
        ({"columns": {"a": {"unit": "5"}}}, "expected a sign or unit such as \\$ or kg"),
        ({"columns": {"a": {"unit": "$", "type": "date"}}}, "unit belongs to a numeric column"),
        ({"columns": {"a": {"format": "day/month/year", "type": "numeric"}}}, "a format belongs"),
        ({"columns": {"a": {"format": "month/day"}}}, "expected a date format"),
    ],
)  # fmt: skip
def test_signs_that_do_not_fit(
    data: dict[str, Any], message: str, write_spec: Any, folder: Path
) -> None:
    from trainer.spec import load_spec

    whole = {"source": {"csv": "t.csv"}, "target": "y"} | data
    path = write_spec({"data": whole, "model.loss": "squared"})
    with pytest.raises(SpecError, match=message):
        load_spec(path.name)


def test_notes_on_many_columns_are_few(folder: Path) -> None:
    """A table of a thousand codes gives no thousand lines."""
    names = [f"c{i}" for i in range(30)]
    rows = "\n".join(",".join(["007"] * 30) + f",{i}" for i in range(12))
    Path("t.csv").write_text(f"{','.join(names)},y\n{rows}\n")
    notes = load_table(make_spec({"csv": "t.csv"}, target="y")).notes
    assert len(notes) == 9
    assert notes[-1].startswith("22 more columns of numbers look like something else: c8, c9, ")
