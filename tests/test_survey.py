"""What is odd about a table: each kind with its fault planted, and with a twin that lacks it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import assume, example, given
from hypothesis import strategies as st

from trainer import load_spec
from trainer.data import Column, Table
from trainer.graph.ops import Array
from trainer.survey import ColumnFacts, Finding, Survey, survey, survey_table
from trainer.survey.columns import BINS, Cells, facts_of, moments, skewness
from trainer.survey.findings import KINDS

ROWS = 200
DRAW = np.random.default_rng(0)
NOISE = DRAW.normal(size=(8, ROWS))
NAN = math.nan


def cells_of(name: str, values: Sequence[Any] | Array, kind: str | None = None) -> Cells:
    """Texts are categories, whatever else are numbers."""
    if isinstance(values[0], str):
        labels = tuple(sorted(set(values)))
        places = np.array([labels.index(value) for value in values], float)
        return Cells(Column(name, "categorical", labels), places)
    return Cells(Column(name, kind or "numeric"), np.array(values, float))


def table(
    columns: Mapping[str, Sequence[Any] | Array], y: Sequence[Any] | Array, **more: Any
) -> Table:
    """Names that begin with `date` are those of dates."""
    given = [
        cells_of(name, values, "date" if name.startswith("date") else None)
        for name, values in columns.items()
    ]
    target = cells_of("y", y)
    classes = target.column.categories or None
    return Table(
        tuple(cells.column for cells in given),
        np.column_stack([cells.values for cells in given]),
        ("y",),
        target.values.astype(np.int64) if classes else target.values.reshape(-1, 1),
        classes,
        "made.csv",
        **more,
    )


def parts_of(rows: int, seed: int = 1) -> dict[str, Array]:
    """Three of five rows train, the others are for validation and test."""
    drawn = np.random.default_rng(seed).permutation(rows)
    cuts = np.split(drawn, [rows * 3 // 5, rows * 4 // 5])
    return dict(zip(("train", "validation", "test"), map(np.sort, cuts), strict=True))


def told(found: Survey, kind: str) -> list[Finding]:
    return [each for each in found.findings if each.kind == kind]


# Each kind, planted and not ----------------------------------------------------------------------

ORDER = DRAW.permutation(ROWS)
AGES = DRAW.integers(18, 90, ROWS).astype(float)
TEXTS = [("north", "south", "east")[i] for i in DRAW.integers(0, 3, ROWS)]
CODES = {"north": "N", "south": "S", "east": "E"}
SOME = np.arange(ROWS) < 120
TEST = parts_of(ROWS)["test"]


def but(values: Array, places: Any, value: Any) -> Array:
    changed = np.array(values, float)
    changed[places] = value
    return changed


def classes(ones: int, names: tuple[str, str] = ("no", "yes")) -> list[str]:
    return [names[i < ones] for i in ORDER.tolist()]


LATE = but(NOISE[3], TEST, NOISE[3][TEST] + 3)
PLANTED: tuple[tuple[str, dict[str, Any], dict[str, Any], str], ...] = (
    # kind, columns with it, columns without it, what is told
    ("empty", {"a": [NAN] * ROWS}, {"a": but(NOISE[1], SOME, NAN)}, "has no value in any row"),
    ("constant", {"a": [7] * ROWS}, {"a": [7, 8] * (ROWS // 2)}, "is 7 in all rows"),
    ("constant", {"a": ["EUR"] * ROWS}, {"a": ["EUR", *["CHF"] * (ROWS - 1)]},
     "is 'EUR' in all rows"),
    ("constant", {"a": [0.0, -0.0] * (ROWS // 2)}, {"a": [0.0, 5e-324] * (ROWS // 2)},
     "is 0 in all rows"),
    ("missing", {"a": but(AGES, SOME, NAN)}, {"a": but(AGES, ~SOME, NAN)},
     "has no value in 120 of 200 rows"),
    ("missing", {"a": but(np.ones(ROWS), ~SOME, NAN)}, {"a": but(np.ones(ROWS), range(9), NAN)},
     "has no value in 80 of 200 rows and is 1 in all others"),
    ("filler", {"a": but(AGES, range(9), -999)}, {"a": but(AGES, range(9), -998)},
     "is -999 in 9 of 200 rows, far from all others, 18 to 89"),
    ("filler", {"a": but(ORDER, [5], 999.9)}, {"a": but(ORDER, [5], 299)},
     "is 999.9 in 1 of 200 rows, far from all others, 0 to 199"),
    ("filler", {"a": but(ORDER, [5], 9999)}, {"a": but(ORDER / 2.5, [5], 99)},
     "is 9999 in 1 of 200 rows, far from all others, 0 to 199"),
    ("filler", {"a": but(AGES % 2, [5, 6], 9)}, {"a": but(3 * (AGES % 2), [5, 6], 9)},
     "is 9 in 2 of 200 rows, far from all others, 0 to 1"),
    ("filler", {"a": but(AGES % 2 + 1, [5], -9)}, {"a": but(AGES % 2 + 4, [5], -9)},
     "is -9 in 1 of 200 rows, far from all others, 1 to 2"),
    ("filler", {"a": ["99", *TEXTS[1:]]}, {"a": ["x99", *TEXTS[1:]]},
     "is 99 in 1 of 200 rows, names in the others"),
    ("total", {"a": [*TEXTS[1:], "Grand total:"]}, {"a": ["Total", *TEXTS[1:]]},
     "is 'Grand total:' in the last row: a sum of the others?"),
    ("spelling", {"a": ["North ", *TEXTS[1:]]}, {"a": ["nort h", *TEXTS[1:]]},
     "has 'North ', 'north', which differ in case or blanks alone"),
    ("numbering", {"a": np.arange(ROWS) + 1}, {"a": ORDER + 1}, "numbers the rows, from 1 to 200"),
    ("numbering", {"a": 10 * np.arange(ROWS)[::-1]}, {"a": np.cumsum(1 + ORDER)},
     "numbers the rows, from 0 to 1990"),
    ("numbering", {"user_id": ORDER}, {"rank": ORDER}, "numbers the rows, from 0 to 199"),
    ("numbering", {"userId": 9**7 + ORDER**2}, {"paid": 9**7 + ORDER**2},
     "has another number in every row, from 4782969 to 4822570"),
    ("numbering", {"id": but(9 * ORDER, range(9), 5)}, {"id": but(9 * ORDER, range(40), 5)},
     "has another number in nearly every row, from 0 to 1791"),
    ("numbering", {"a": [f"name {i}" for i in range(ROWS)]},
     {"a": [f"name {i // 2}" for i in range(ROWS)]},
     "has another text in every row, from name 0 to name 99"),
    ("numbering", {"image_id": 9**7 + ORDER**2}, {"NO": 9**7 + ORDER**2},
     "has another number in every row, from 4782969 to 4822570"),
    ("numbering", {"lfd nr": np.arange(ROWS)}, {"rooms_no": np.arange(ROWS) // 2},
     "numbers the rows, from 0 to 199"),
    ("numbering", {"index": np.arange(ROWS)}, {"year": 1801 + np.arange(ROWS)},
     "numbers the rows, from 0 to 199"),
    ("copy", {"b": NOISE[1], "a": NOISE[1]}, {"b": NOISE[1], "a": NOISE[2]},
     "says in every row the same as 'b'"),
    ("copy", {"b": NOISE[1], "a": 32 + 1.8 * NOISE[1]}, {"b": NOISE[1], "a": NOISE[1] ** 3},
     "says in every row the same as 'b'"),
    ("copy", {"b": NOISE[1], "a": 1 - NOISE[1]}, {"b": NOISE[1], "a": but(1 - NOISE[1], 9, 7)},
     "says in every row the same as 'b'"),
    ("copy", {"b": TEXTS, "a": [CODES[text] for text in TEXTS]},
     {"b": TEXTS, "a": ["X", *[CODES[text] for text in TEXTS[1:]]]},
     "says in every row the same as 'b'"),
    ("copy", {"b": AGES, "a": but(AGES, SOME, NAN), "c": but(AGES, SOME, NAN)},
     {"b": AGES, "a": but(AGES, SOME, NAN), "c": but(AGES, ~SOME, NAN)},
     "says in every row the same as 'a'"),
    ("copy", {"b": np.arange(ROWS) % 2, "a": [str(i % 2 == 0) for i in range(ROWS)]},
     {"b": np.arange(ROWS) == 9, "a": np.arange(ROWS) == 9},  # so few rows are alike by chance
     "says in every row the same as 'b'"),
    ("leak", {"a": 3 - 2 * NOISE[0]}, {"a": 3 - 2 * NOISE[0] + 0.3 * NOISE[1]},
     "tells 'y' by itself (100% of it)"),
    ("leak", {"a": np.exp(NOISE[0])}, {"a": np.exp(NOISE[0] + 0.2 * NOISE[1])},
     "tells 'y' by itself (100% of it)"),
    ("ordered", {"date": np.arange(ROWS) // 3}, {"date": ORDER // 3},
     "has the dates in whose order the rows stand"),
    ("ordered", {"date": np.arange(ROWS)[::-1] // 3}, {"date": but(np.arange(ROWS) // 3, 9, 1)},
     "has the dates in whose order the rows stand"),
    ("ordered", {"birthyear": 1950 + np.arange(ROWS) // 3}, {"height": 950 + np.arange(ROWS) // 3},
     "has the dates in whose order the rows stand"),
    ("grouped", {"patient": TEXTS, "patient_id": ORDER // 4},
     {"patient_id": ORDER // 100, "paid": ORDER // 4, "citric acid": ORDER // 4,
      "body mass index": ORDER // 4}, "names 50 things, which stand in several rows each"),
    ("grouped", {"shopNr": [f"s{i // 4}" for i in ORDER]}, {"key": ORDER // 20, "NO": ORDER // 4},
     "names 50 things, which stand in several rows each"),
    ("shift", {"a": LATE}, {"a": NOISE[3]}, "differs between training and test rows by 97%"),
    ("shift", {"a": but(NOISE[3], TEST, NAN)}, {"a": but(NOISE[3], TEST[::20], NAN)},
     "differs between training and test rows by 100%"),
    ("shift", {"smoker_no": but(np.arange(ROWS) % 2, TEST, 1)}, {"smoker_no": np.arange(ROWS) % 2},
     "differs between training and test rows by 50%"),
    ("shift", {"a": ["d" if i in TEST else "ef"[i % 2] for i in range(ROWS)]},
     {"a": TEXTS}, "differs between training and test rows by 100%"),
)  # fmt: skip
CLASSES: tuple[tuple[str, list[Any], list[Any], str], ...] = (
    # kind, a target with it, one without it, what is told
    ("rare", classes(6), classes(60), "has 'yes' in 6 of 200 rows"),
    ("rare", [*map(str, np.arange(ROWS) % 80)], [*map(str, np.arange(ROWS) % 9)],
     "has 80 classes in 200 rows, 2.5 each on average"),
    ("rare", ["a"] * 150 + ["b"] * 41 + ["c"] * 7 + ["d"] * 2, ["a"] * 150 + ["b"] * 50,
     "has 'd' in 2 and 'c' in 7 of 200 rows"),
)  # fmt: skip
ELSEWHERE = {"repeated", "shared"}
"""Kinds of whole rows, which have tests of their own."""


def test_every_kind_is_planted() -> None:
    assert {row[0] for row in (*PLANTED, *CLASSES)} | ELSEWHERE == set(KINDS)


@pytest.mark.parametrize(("kind", "faulty", "clean", "message"), PLANTED)
def test_columns_with_a_fault_and_without(
    kind: str, faulty: dict[str, Any], clean: dict[str, Any], message: str
) -> None:
    others = {"other": NOISE[4], "more": NOISE[5]}
    [found] = told(survey_table(table(others | faulty, NOISE[0]), parts_of(ROWS)), kind)
    column = list(faulty)[-1]
    assert (found.columns[0], found.message) == (column, message)
    assert found.grave == (kind == "leak")
    assert 0 < found.share <= 1
    assert found.advice
    assert not told(survey_table(table(others | clean, NOISE[0]), parts_of(ROWS)), kind)


@pytest.mark.parametrize(("kind", "faulty", "clean", "message"), CLASSES)
def test_classes_with_a_fault_and_without(
    kind: str, faulty: list[str], clean: list[str], message: str
) -> None:
    [found] = told(survey_table(table({"a": NOISE[1]}, faulty), {}), kind)
    assert (found.columns, found.message) == (("y",), message)
    assert not told(survey_table(table({"a": NOISE[1]}, clean), {}), kind)


def test_a_target_that_is_the_same_in_all_rows() -> None:
    [found] = survey_table(table({"a": NOISE[1]}, [1.0] * ROWS), {}).findings
    assert (found.kind, found.columns, found.grave) == ("constant", ("y",), True)
    assert (found.message, found.advice) == ("is 1 in all rows", "there is nothing to learn")


def test_several_numbers_that_stand_for_nothing() -> None:
    ages = but(but(AGES, range(9), -99), [20, 30], 9999)
    found = told(survey_table(table({"a": ages}, NOISE[0]), {}), "filler")
    assert [each.message for each in found] == [
        "is 9999 in 2 of 200 rows, far from all others, -99 to 89",
        "is -99 in 9 of 200 rows, far from all others, 18 to 89",
    ]
    for others, count in ((3, 1), (2, 1), (1, 0)):
        codes = but(AGES % others, [0], 99)
        found = told(survey_table(table({"a": codes}, NOISE[0]), {}), "filler")
        assert len(found) == count


def test_a_date_that_never_comes() -> None:
    made = table({"date": but(20_000 + ORDER, [3], 2_932_896)}, NOISE[0])
    [found] = told(survey_table(made, {}), "filler")
    assert found.message.startswith("is 9999-12-31 in 1 of 200 rows, far from all others, 2024-")


YES = np.array([text == "yes" for text in classes(60)]).astype(int)


@pytest.mark.parametrize(
    ("column", "leaks"),
    [
        ([("out", "in")[yes] for yes in YES], True),
        (YES * 10.0, True),
        (np.where(YES, 5 + NOISE[1] / 9, NOISE[1] / 9), True),  # where it lies
        (np.where(YES, 1.0, NAN), True),  # that it is there
        ([f"{('out', 'in')[yes]} {i % 5}" for i, yes in enumerate(YES)], True),
        ([f"{('out', 'in')[yes]} {i}" for i, yes in enumerate(YES)], False),  # other texts each
        (np.where(YES, 1 + NOISE[1], NOISE[1]), False),
        ([("out", "in")[yes ^ (i % 15 == 0)] for i, yes in enumerate(YES)], False),
        (NOISE[1], False),
    ],
)
def test_columns_that_tell_the_class(column: Any, leaks: bool) -> None:
    found = survey_table(table({"b": NOISE[4], "a": column}, classes(60)), {})
    assert [each.columns for each in told(found, "leak")] == [("a",)] * leaks


@pytest.mark.parametrize(("rows", "value"), [(1, 1e4), (1, 1e300), (5, -999_999.0)])
def test_a_few_values_far_from_all_others_are_no_leak(rows: int, value: float) -> None:
    """Two columns share them, and nothing else."""
    draw = np.random.default_rng(1).normal(size=(3, 1000))
    draw[:2, :rows] = value
    found = survey_table(table({"b": draw[2], "a": draw[0]}, draw[1]), {})
    assert not told(found, "leak")
    cubes = np.append(draw[2] ** 3, value), np.append(draw[2], value)
    found = survey_table(table({"b": cubes[0], "a": cubes[1]}, np.append(draw[1], 0)), {})
    assert not told(found, "copy")


def test_leaks_are_found_whatever_the_order_of_rows() -> None:
    """Also where rows alternate, so that every second one is of one class."""
    y = ["no", "yes"] * (ROWS // 2)
    found = survey_table(table({"b": NOISE[4], "a": [text[0] for text in y]}, y), {})
    assert [each.columns for each in told(found, "leak")] == [("a",)]


def test_what_is_odd_of_one_column_is_told_once() -> None:
    """The copy of a column that is left out stays; ids tell the target of those who come again."""
    days = np.arange(ROWS) * 7
    found = survey_table(table({"a": days, "date": days, "b": NOISE[1]}, NOISE[0]), {})
    assert [each.columns for each in found.findings] == [("a",), ("date",)]
    assert [each.kind for each in found.findings] == ["numbering", "ordered"]
    ids = ORDER // 4
    y = [("no", "yes")[i % 2] for i in ids]
    found = survey_table(table({"patient_id": ids, "b": NOISE[1]}, y), {})
    assert [each.kind for each in found.findings] == ["grouped"]


def test_the_only_column_may_tell_the_target() -> None:
    assert not survey_table(table({"x": np.arange(ROWS)}, 3.0 * np.arange(ROWS)), {}).findings
    found = survey_table(table({"id": np.arange(ROWS)}, NOISE[0]), {})
    assert [each.kind for each in found.findings] == ["numbering"]


def test_what_a_split_heeds_is_not_told() -> None:
    """Where rows are split by time or group, dates in order and things that come again are meant,
    and dates of other parts are others.
    """
    columns = {"date": np.arange(ROWS), "id": np.arange(ROWS) // 4, "b": NOISE[1]}
    later = dict(zip(("train", "test"), np.split(np.arange(ROWS), [150]), strict=True))
    plain = survey_table(table(columns, NOISE[0]), later)
    assert [each.kind for each in plain.findings] == ["ordered", "grouped", "shift"]
    known = table(columns, NOISE[0], time=np.arange(ROWS) * 1.0, group=np.arange(ROWS) // 4)
    assert not survey_table(known, later).findings


# Whole rows --------------------------------------------------------------------------------------

ONCE = {"a": but(NOISE[1], 5, NAN), "b": TEXTS}
AGAIN = np.r_[0:ROWS, 0:40]
WHOLE = {name: [values[i] for i in AGAIN] for name, values in ONCE.items()}
Y = [NOISE[0][i] for i in AGAIN]


def kinds_and_messages(found: Survey) -> list[tuple[str, str, bool]]:
    return [(each.kind, each.message, each.grave) for each in found.findings]


def test_rows_that_stand_again() -> None:
    assert not survey_table(table(ONCE, NOISE[0]), parts_of(ROWS)).findings
    assert not survey_table(table(WHOLE, [*Y[:-40], *NOISE[7][:40]]), parts_of(len(Y))).findings
    repeated = ("repeated", "40 of 240 rows stand in the table before, in all their cells", False)
    found = survey_table(table(WHOLE, Y), {})
    assert kinds_and_messages(found) == [repeated]
    parts = {"train": np.r_[0:ROWS], "validation": np.r_[ROWS : ROWS + 10], "test": np.r_[210:240]}
    found = survey_table(table(WHOLE, Y), parts)
    assert kinds_and_messages(found)[:2] == [
        ("shared", "10 of 10 validation rows stand in the training rows, too", True),
        ("shared", "30 of 30 test rows stand in the training rows, too", True),
    ]
    parts = {"train": np.r_[30:240], "test": np.r_[0:30]}
    found = survey_table(table(WHOLE, Y), parts)
    assert told(found, "shared")[0].message == (
        "30 of 30 test rows stand in the training rows, too"
    )
    parts = {"train": np.r_[0:150, 200:201], "test": np.r_[0:1, 150:200]}
    [shared] = told(survey_table(table(WHOLE, Y), parts), "shared")
    assert shared.message == "1 of 51 test rows stands in the training rows, too"
    assert not shared.grave


def test_rows_of_few_different_cells_are_bound_to_be_alike() -> None:
    rows = 2000
    few = {name: DRAW.integers(0, 2, rows) for name in "abcde"}
    few["e"] = few["a"] ^ (DRAW.random(rows) < 0.1)  # they may have to do with each other
    found = survey_table(table(few, DRAW.integers(0, 2, rows)), parts_of(rows))
    assert not found.findings
    many = few | {"f": DRAW.normal(size=rows).round(1), "g": DRAW.normal(size=rows).round(1)}
    assert not survey_table(table(many, DRAW.normal(size=rows).round(1)), {}).findings


# False alarms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("flats", []),
        ("hidden_layer", []),
        ("linear_regression", []),
        ("spirals", []),
        ("xor", []),
        ("iris", [("shared", ()), ("repeated", ())]),  # a flower that is well known
        ("digits", [("constant", (f"pixel_{place}",)) for place in ("0_0", "4_0", "4_7", "7_0")]),
    ],
)
def test_known_tables(config: str, expected: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    found = survey(load_spec(ROOT / "configs" / f"{config}.yaml"))
    assert [(each.kind, each.columns) for each in found.findings] == expected
    assert not any(each.grave for each in found.findings)


@pytest.mark.parametrize("seed", range(2))
def test_noise_is_not_odd(seed: int) -> None:
    """Columns that have nothing to do with each other or the target, however many."""
    draw = np.random.default_rng(seed)
    rows, many = 120, 200
    columns: dict[str, Any] = {f"n{i}": draw.normal(size=rows) for i in range(many)}
    columns |= {f"b{i}": draw.integers(0, 2, rows) for i in range(many)}
    columns |= {f"s{i}": draw.random(rows) < 0.03 for i in range(many)}  # mostly zeros
    columns |= {f"c{i}": [*map(str, draw.integers(0, 40, rows))] for i in range(many)}
    y = [("no", "yes")[int(each)] for each in draw.random(rows) < 0.2]
    for target in (y, draw.normal(size=rows)):
        found = survey_table(table(columns, target), parts_of(rows, seed))
        assert {each.kind for each in found.findings} <= {"constant"}, found.findings


def test_few_rows_are_not_odd() -> None:
    for rows in range(1, 9):
        x = {"a": np.arange(rows), "b": np.arange(rows) % 2, "c": ["u"] * rows}
        for y in (np.arange(rows) % 2, [("no", "yes")[i % 2] for i in range(rows)]):
            found = survey_table(table(x, y), {"train": np.arange(rows)})
            assert [each.kind for each in found.findings] == ["constant"] * (rows > 1)


# Facts -------------------------------------------------------------------------------------------

FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**53), 2**53).map(float),
    st.sampled_from([0.0, -0.0, 1e308, -1e308, 5e-324, 2.0**53, NAN, 1.5]),
)
COLUMNS = st.lists(FLOATS, min_size=1, max_size=40)


def known(facts: ColumnFacts) -> list[float]:
    values = (facts.low, facts.median, facts.high, facts.mean, facts.deviation, facts.skewness)
    return [value for value in values if value is not None]


@given(COLUMNS)
@example([1e308, -1e308])
@example([1e308] * 3)
@example([0.0, 5e-324])
@example([NAN])
@example([2.0**53, 2.0**53 - 1])
@example([0.1] * 7)
def test_facts_of_numbers(values: list[float]) -> None:
    array = np.array(values)
    facts = facts_of(Cells(Column("a"), array), {"train": np.arange(len(values))})
    present = array[~np.isnan(array)]
    assert (facts.missing, facts.rows) == (len(values) - len(present), len(values))
    assert facts.distinct == len(set(present.tolist()))
    assert sum(facts.histogram) == len(present)
    assert len(facts.histogram) <= BINS
    assert [part.counts for part in facts.parts] == [facts.histogram]
    assert sum(count for _, count in facts.frequent) <= len(present)
    if not len(present):
        assert facts.low is facts.shown is None
        return
    assert np.isfinite([*known(facts), *facts.edges]).all()
    low, median, high, mean, *_ = known(facts)
    assert low == present.min() <= median <= present.max() == high
    assert low <= mean <= high
    assert list(facts.edges) == sorted(facts.edges)
    assert facts.deviation == 0 or facts.distinct > 1


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=40))
def test_facts_are_those_of_numpy(values: list[int]) -> None:
    x = np.array(values, float) / 8
    facts = facts_of(Cells(Column("a"), x))
    assert facts.median == np.median(x)
    assert facts.mean == pytest.approx(x.mean(), abs=1e-12)
    assert facts.deviation == pytest.approx(x.std(), abs=1e-12)
    if len(set(values)) > 1:
        cube = float((((x - x.mean()) / x.std()) ** 3).mean())
        assert skewness(x) == pytest.approx(cube, abs=1e-9)
        edges = np.array(facts.edges)
        bars = np.minimum(np.searchsorted(edges, x, side="right") - 1, len(edges) - 2)
        moved = np.abs(np.bincount(bars, minlength=len(edges) - 1) - facts.histogram).sum()
        assert moved <= 2 * sum(np.isclose(x, edge).sum() for edge in edges)  # those on an edge


@pytest.mark.parametrize(
    ("values", "histogram", "edges"),
    [
        ([1, 2, 2, 5], (1, 2, 0, 0, 1), (1, 2, 3, 4, 5, 6)),
        ([0, 1, 38, 39], (2, *[0] * 18, 2), tuple(range(0, 42, 2))),
        ([0.0, 0.5, 1.0], (1, *[0] * 9, 1, *[0] * 8, 1), tuple(i / 20 for i in range(21))),
        ([3, 3], (2,), (3, 3)),
    ],
)
def test_bars(values: list[float], histogram: tuple[int, ...], edges: tuple[float, ...]) -> None:
    facts = facts_of(Cells(Column("a"), np.array(values, float)))
    assert (facts.histogram, facts.edges) == (histogram, pytest.approx(edges))


@pytest.mark.parametrize(
    ("column", "values", "kind", "shown", "frequent"),
    [
        (Column("a"), [3, 1.5, -0.0, NAN], "numeric", ("0", "1.5", "3"), ("0", 1)),
        (Column("a"), [2.0**53 - 1] * 2, "numeric", ("9007199254740991",) * 3,
         ("9007199254740991", 2)),
        (Column("a"), [1e308, 1e-9], "numeric", ("1e-09", "5e+307", "1e+308"), ("1e-09", 1)),
        (Column("a", "date"), [0, 1, 19_000, 1], "date",
         ("1970-01-01", "1970-01-02", "2022-01-08"), ("1970-01-02", 2)),
        (Column("a", "date"), [0, 1], "date", ("1970-01-01", "1970-01-01", "1970-01-02"),
         ("1970-01-01", 1)),
        (Column("a", "boolean"), [1, 0, 1], "boolean", None, ("true", 2)),
        (Column("a", "categorical", ("x", "y")), [1, 1, 0], "categorical", None, ("y", 2)),
    ],
)  # fmt: skip
def test_what_is_shown(
    column: Column, values: list[float], kind: str, shown: Any, frequent: tuple[str, int]
) -> None:
    facts = facts_of(Cells(column, np.array(values, float)))
    assert (facts.kind, facts.shown, facts.frequent[0]) == (kind, shown, frequent)


def test_moments_of_numbers_whose_squares_are_infinite() -> None:
    mean, deviation, skew = moments(np.array([-1.0, 0.0, 0.0, 4.0]) * 4e307)
    assert (mean, deviation) == pytest.approx((3e307, math.sqrt(59 / 16) * 4e307))
    assert skew == pytest.approx(skewness(np.array([-1.0, 0.0, 0.0, 4.0])))


# Properties --------------------------------------------------------------------------------------

ANY = st.lists(st.tuples(FLOATS, FLOATS, st.sampled_from("xyz")), min_size=1, max_size=30)


@given(ANY, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing_but_what_is_told_of_it(
    rows: list[tuple[float, float, str]], random: Any
) -> None:
    moved = rows.copy()
    random.shuffle(moved)
    orders = {"ordered", "numbering", "leak"}  # a leak is looked at in halves drawn by place
    found = []
    for each in (rows, moved):
        a, b, c = zip(*each, strict=True)
        made = survey_table(table({"a": a, "b": b, "c": [*c]}, np.nan_to_num(b)), {})
        if told(made, "numbering"):
            return  # then copies of these columns are no copies
        found.append(([f for f in made.findings if f.kind not in orders], made.features))
    assert found[0][0] == found[1][0]
    for facts, other in zip(found[0][1], found[1][1], strict=True):
        assert known(facts) == pytest.approx(
            known(other), rel=1e-9, abs=1e-9 * (1 + abs(facts.high or 0))
        )
        assert (facts.frequent, facts.histogram) == (other.frequent, other.histogram)


@given(
    st.lists(st.integers(0, 5), min_size=40, max_size=60).filter(lambda v: len(set(v)) > 2),
    st.permutations(range(6)),
    st.booleans(),
)
def test_categories_by_other_names_are_a_copy(
    values: list[int], names: list[int], numbers: bool
) -> None:
    assume(max(np.bincount(values)) < len(values) - 12)
    other = [names[v] for v in values]
    named: Any = other if numbers else [str(v) for v in other]
    rows = len(values)
    made = table({"a": [f"k{v}" for v in values], "b": named}, NOISE[0][:rows])
    [found] = told(survey_table(made, {}), "copy")
    assert found.columns == ("b", "a")
    for columns in ({"a": values}, {"b": named}):
        assert not told(survey_table(table(columns, NOISE[0][:rows]), {}), "copy")


@given(
    st.floats(-1e6, 1e6).filter(lambda v: abs(v) > 1e-6),
    st.floats(-1e3, 1e3),
)
def test_another_unit_is_a_copy(factor: float, offset: float) -> None:
    x = NOISE[1][:50].round(3)
    made = table({"a": x, "b": x * factor + offset * abs(factor)}, NOISE[0][:50])
    assert [each.columns for each in told(survey_table(made, {}), "copy")] == [("b", "a")]


# Hostile tables ----------------------------------------------------------------------------------

HUGE = np.where(NOISE[1] > 0, 1e308, -1e308)


@pytest.mark.parametrize(
    "columns",
    [
        {"a": [NAN] * ROWS, "b": [NAN] * ROWS},
        {"a": HUGE, "b": HUGE * NOISE[2].clip(-1, 1)},
        {"a": np.full(ROWS, 1e308), "b": np.full(ROWS, -1e308)},
        {"a": 2.0**53 - np.arange(ROWS), "b": NOISE[1] * 5e-324},
        {"a": np.where(NOISE[1] > 0, 0.0, -0.0), "b": NOISE[1] * 1e-320},
        {"a": but(NOISE[1], SOME, NAN), "b": but(NOISE[1], ~SOME, NAN)},
    ],
)
@pytest.mark.parametrize("y", [NOISE[0], HUGE, HUGE * 1e-320, classes(60)])
def test_values_at_the_limits(columns: dict[str, Any], y: Any) -> None:
    found = survey_table(table(columns, y), parts_of(ROWS))
    for facts in (*found.features, *found.targets):
        assert np.isfinite(known(facts)).all()
    assert all(math.isfinite(each.share) for each in found.findings)


def test_very_many_categories_and_classes() -> None:
    """A table of counts by category and class would have 10⁹ cells."""
    rows = 100_000
    codes = DRAW.permutation(rows) // 2
    labels = tuple(f"c{i:06}" for i in range(rows))
    made = Table(
        (Column("a", "categorical", labels), Column("b")),
        np.column_stack([codes, DRAW.normal(size=rows)]),
        ("y",), DRAW.integers(0, 20_000, rows), labels[:20_000], "made.csv",
    )  # fmt: skip
    found = survey_table(made, parts_of(rows))
    assert [each.kind for each in found.findings] == ["rare"]
    assert found.features[0].distinct == rows // 2


def test_very_many_columns_and_targets() -> None:
    """They are looked at in fewer rows."""
    from trainer.survey.telling import Telling

    cells = cells_of("y", NOISE[0].repeat(1000))
    halves = [Telling([cells], len(cells.values), n).halves for n in (1, 400, 4000, 10**6)]
    assert [len(first) + len(second) for first, second in halves] == [
        100_000, 100_000, 10_000, 2_000
    ]  # fmt: skip


def test_a_table_that_stays_on_disk(folder: Any) -> None:
    rows = [f"{a:.6f},{a + b:.6f}" for a, b in NOISE[:2].T]
    (folder / "t.csv").write_text("\n".join(["a,y", *rows]) + "\n")
    spec = {
        "name": "t",
        "data": {"source": {"csv": "t.csv"}, "target": "y", "stream": True},
        "model": {"layers": [{"units": 1}], "loss": "squared"},
        "sgd": {"learning_rate": 0.1, "batch_size": 2, "epochs": 1},
    }
    from trainer import Spec

    read = Spec.model_validate(spec)
    for count, whole in ((10, False), (ROWS - 1, False), (ROWS, True), (500, True)):
        assert survey(read, count).rows == min(count, ROWS)
        assert survey(read, count).whole == whole
    assert not survey(read).parts


def test_rows_that_are_left_out_are_not_the_first_ones(folder: Any) -> None:
    lines = [f"{a:.6f},{'' if i < 60 or i % 10 == 0 else i}" for i, a in enumerate(NOISE[0])]
    (folder / "t.csv").write_text("\n".join(["a,y", *lines]) + "\n")
    spec = {
        "name": "t",
        "data": {"source": {"csv": "t.csv"}, "target": "y", "stream": True,
                 "drop_rows": {"missing": "target"}},
        "model": {"layers": [{"units": 1}], "loss": "squared"},
        "sgd": {"learning_rate": 0.1, "batch_size": 2, "epochs": 1},
    }  # fmt: skip
    from trainer import Spec

    found = [survey(Spec.model_validate(spec), count) for count in (50, 126, 200)]
    assert [(each.rows, each.whole) for each in found] == [(50, False), (126, True), (126, True)]
