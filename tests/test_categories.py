"""One meaning for a cell: which category it is, in whatever type and writing it arrives."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from trainer.data.columns.categories import matcher, text_of
from trainer.data.columns.cells import reader
from trainer.data.columns.encoding import encode_column
from trainer.data.columns.notation import Notation
from trainer.data.columns.table import Column
from trainer.data.columns.values import CellError, plain
from trainer.data.reading.rows import spellings_of
from trainer.spec.sources import CsvSource

ZIP = ("01067", "04109", "10115")
IDS = tuple(str(76561198000000001 + i) for i in range(12))
ID = 76561198000000012
DIGITS = "digits of a category are lost"
SEVERAL = "several categories may be meant"

MATCHED: list[tuple[Sequence[str], Any, Any]] = [  # the categories, a cell, and which one it is
    (("red", "blue"), "blue", "blue"),
    (("red", "blue"), "  blue\t", "blue"),
    (("red", "blue"), "Blue", None),
    (("red", "blue"), "7", None),
    (("red", "blue"), 7, "expected a category, found the number 7"),
    (("red", "blue"), 0.5, "expected a category, found the number 0.5"),
    (("red", "blue"), True, "expected a category, found the truth value true"),
    (ZIP, "01067", "01067"),
    (ZIP, 1067, "01067"),
    (ZIP, "1067", "01067"),
    (ZIP, 1067.0, "01067"),
    (ZIP, "1067.0", "01067"),
    (ZIP, np.int32(4109), "04109"),
    (ZIP, Decimal("4109.00"), "04109"),
    (("0.1", "0.2"), Decimal("0.10"), "0.1"),
    (ZIP, "001067", "expected a known category, found '001067'"),
    (ZIP, "010115", "expected a known category, found '010115'"),
    (ZIP, 1068, None),
    (ZIP, "1068", None),
    (ZIP, "01068", None),
    (("007", "7"), "007", "007"),
    (("007", "7"), "7", "7"),
    (("007", "7"), 7, SEVERAL),
    (("007", "7"), "7.0", SEVERAL),
    (("007", "07"), "7", SEVERAL),
    (("1", "2", "2.5"), 2, "2"),
    (("1", "2", "2.5"), 2.0, "2"),
    (("1", "2", "2.5"), "+2", "2"),
    (("1", "2", "2.5"), "2e0", "2"),
    (("1", "2", "2.5"), " 2.50 ", "2.5"),
    (("1", "2", "2.5"), np.float32(2.5), "2.5"),
    (("1", "2", "2.5"), "1_0", None),
    (("1", "2", "2.5"), 3, None),
    (("1", "2", "2.5"), "02", "expected a known category, found '02'"),
    (("1", "2", "2.5"), True, "expected a category, found the truth value true"),
    (("-1", "0", "1"), -0.0, "0"),
    (("-1", "0", "1"), -1, "-1"),
    (("0.1", "0.2"), np.float32(0.1), "0.1"),
    (("0.1", "0.2"), np.float16(0.2), "0.2"),
    (("A", "1"), 1.0, "1"),
    (("A", "1"), "a", None),
    (IDS, ID, str(ID)),
    (IDS, np.int64(ID), str(ID)),
    (IDS, np.uint64(ID), str(ID)),
    (IDS, str(ID), str(ID)),
    (IDS, Decimal(ID), str(ID)),
    (IDS, float(ID), DIGITS),
    (IDS, f"{ID}.0", DIGITS),
    (IDS, str(float(ID)), DIGITS),
    (IDS, float(2**60), None),
    (IDS, 76561198000000099, None),
    (("16777216", "5"), np.float32(16777216), DIGITS),
    (("16777217", "5"), np.float32(16777216), DIGITS),
    (("16777216", "5"), 16777216.0, "16777216"),
    (("16777217", "5"), np.float32(5), "5"),
    (("1e+30", "2e+30"), 1e30, "1e+30"),
    (("12345678901234567890123", "1"), 12345678901234567890123, "12345678901234567890123"),
    (("Y", "N"), True, "Y"),
    (("Y", "N"), "true", "Y"),
    (("Y", "N"), "No", "N"),
    (("Y", "N"), 0, "N"),
    (("Y", "N"), 1.0, "Y"),
    (("Y", "N"), "y", "Y"),
    (("Y", "N"), 2, "expected a category, found the number 2"),
    (("no", "yes"), np.False_, "no"),
    (("false", "true"), "YES", "true"),
    (("0", "1"), True, "1"),
    (("0", "1", "2"), True, "expected a category, found the truth value true"),
    (("True", "False", "unknown"), True, "True"),
    (("True", "False", "unknown"), "TRUE", "True"),
    (("True", "False", "unknown"), "yes", None),
    (("True", "true"), "TRUE", SEVERAL),
    (("True", "true"), True, SEVERAL),
    (("True", "true"), "true", "true"),
    (("DE", "NO", "SE"), "no", "NO"),
    (("DE", "NO", "SE"), False, "expected a category, found the truth value false"),
    (("2024-05-06", "2024-05-06 07:08:00"), datetime.date(2024, 5, 6), "2024-05-06"),
    (("2024-05-06", "2024-05-06 07:08:00"), pd.Timestamp("2024-05-06"), "2024-05-06"),
    (("2024-05-06", "2024-05-06 07:08:00"), np.datetime64("2024-05-06T07:08", "m"),
     "2024-05-06 07:08:00"),
    (("2024-05-06",), np.datetime64("2024-05-06", "ns"), "2024-05-06"),
    (("1",), [1], "found a list"),
    (("1",), (), "found a list"),
    (("1",), np.array([1, 2]), "found a list"),
    (("1",), np.array(1), "1"),
    (("1",), {"a": 1}, "found a mapping"),
    (("1",), b"1", "found a value of the type bytes"),
    (("1",), 1j, "found a value of the type complex"),
    (("1",), pd.Timedelta(1), "found a value of the type Timedelta"),
]  # fmt: skip


@pytest.mark.parametrize(("categories", "cell", "meant"), MATCHED)
def test_which_category_a_cell_is(categories: tuple[str, ...], cell: Any, meant: Any) -> None:
    """Which one, None for one that is not known, or else what the error says."""
    if meant is None or meant in categories:
        assert matcher(categories)(cell) == (-1 if meant is None else categories.index(meant))
    else:
        with pytest.raises(CellError, match=meant.replace("(", r"\(")):
            matcher(categories)(cell)


@pytest.mark.parametrize(
    "cell", [None, math.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("nan")]
)
def test_what_stands_for_nothing(cell: Any) -> None:
    assert plain(cell) is None


@pytest.mark.parametrize(
    ("cell", "text"),
    [(2.0, "2"), (-0.5, "-0.5"), (True, "true"), (1e16, "1e+16"), (10**20, "1" + 20 * "0"),
     (Decimal("2.50"), "2.5"), (Decimal("1e3"), "1000"), (" a ", "a"), (np.float32(0.1), "0.1"),
     (datetime.datetime(2024, 5, 6, 7, 8, 9, 500000), "2024-05-06 07:08:09.5")],
)  # fmt: skip
def test_a_cell_as_the_text_of_a_category(cell: Any, text: str) -> None:
    assert text_of(cell) == text


ARROW: list[tuple[Any, Sequence[str], list[float]]] = [
    (pa.array([1, None, 2]), ("1", "2"), [0, math.nan, 1]),
    (pa.array([1.0, None, 2.0]), ("1", "2"), [0, math.nan, 1]),
    (pa.array([0.1, None], pa.float32()), ("0.1",), [0, math.nan]),
    (pa.array([Decimal(ID), None], pa.decimal128(20)), IDS, [11, math.nan]),
    (pa.array([True, None, False]), ("N", "Y"), [1, math.nan, 0]),
    (pa.array(["1067", "04109"]).dictionary_encode(), ZIP, [0, 1]),
    (pa.array([datetime.date(2024, 5, 6)]), ("2024-05-06",), [0]),
    (pa.array([datetime.datetime(2024, 5, 6)], pa.timestamp("ns")), ("2024-05-06",), [0]),
]


@pytest.mark.parametrize(("cells", "categories", "numbers"), ARROW)
def test_types_of_arrow_are_the_same_categories(
    cells: Any, categories: tuple[str, ...], numbers: list[float]
) -> None:
    found = encode_column(cells, Column("a", "categorical", categories))
    np.testing.assert_array_equal(found, numbers)


def test_a_decimal_is_a_number_whatever_the_signs_of_texts() -> None:
    read = reader(Column("a", notation=Notation(decimal=",", thousands=".")))
    assert [read(cell) for cell in (Decimal("1.234"), 1.234, "1,234")] == [1.234] * 3
    assert read("1.234") == 1234


def test_what_stands_for_nothing_is_no_category() -> None:
    """NA is Namibia where the spec says so, and where the model learned it from Parquet."""
    names = (Column("a", "categorical", ("DE", "NA")), Column("b"))
    assert spellings_of(names, object()) == ("", "N/A", "NaN", "nan", "null", "NULL")
    assert spellings_of(names[1:], object()) == ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
    source = CsvSource(csv=str(Path("t.csv")), missing_values=("", "?"))
    assert spellings_of(names, source) == ("", "?")
