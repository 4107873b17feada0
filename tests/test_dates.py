"""Dates as they are written: each format, times, zones; the same in every reader."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_data import make_spec, thorough

from trainer.data import load_table
from trainer.data.columns import cells
from trainer.data.columns.cells import date
from trainer.data.columns.dates import days_of
from trainer.data.columns.encoding import encode_column
from trainer.data.columns.notation import Notation
from trainer.data.columns.table import Column
from trainer.data.columns.values import CellError
from trainer.export.copying import Program
from trainer.export.literals import literal
from trainer.spec.writing import DATE_FORMATS, in_words


def day(year: int, month: int, day_: int, hours: float = 0) -> float:
    """Days since 1970-01-01, by Python's own calendar."""
    return (datetime.date(year, month, day_) - datetime.date(1970, 1, 1)).days + hours / 24


READ: list[tuple[str, str, float]] = [
    ("iso", "2024-12-31", day(2024, 12, 31)),
    ("iso", "1970-01-02 06:00", 1.25),
    ("iso", "1970-01-02T06:00:00Z", 1.25),
    ("iso", "1970-01-02 06:00:00 UTC", 1.25),
    ("iso", "1970-01-02 06:00 GMT", 1.25),
    ("iso", "1970-01-02 06:00 +0600", 1),
    ("iso", "1970-01-02 06:00-06", 1.5),
    ("iso", "1970-01-02 00:00+23:59", 1 - 1439 / 1440),
    ("year-month-day", "2024-5-6 7:30", day(2024, 5, 6, 7.5)),
    ("year-month-day", "1970-01-02 06:00:00,500", 1.25 + 0.5 / 86400),
    ("day/month/year", "31/12/2024", day(2024, 12, 31)),
    ("day/month/year", "1/2/2024", day(2024, 2, 1)),
    ("month/day/year", "1/2/2024", day(2024, 1, 2)),
    ("month/day/year", "5/6/2024, 3:04:30 PM", day(2024, 5, 6, 15.075)),
    ("month/day/year", "5/6/2024 12:00 AM", day(2024, 5, 6)),
    ("month/day/year", "5/6/2024 12:30 p.m.", day(2024, 5, 6, 12.5)),
    ("year/month/day", "2024/05/06", day(2024, 5, 6)),
    ("day.month.year", "31.12.2024 23:00 +01:00", day(2024, 12, 31, 22)),
    ("day.month.yy", "31.12.68", day(2068, 12, 31)),
    ("day.month.yy", "31.12.69", day(1969, 12, 31)),
    ("day month year", "5 May 2024", day(2024, 5, 5)),
    ("day month year", "Mon, 06 May 2024 10:00:00 GMT", day(2024, 5, 6, 10)),
    ("month day year", "May 5, 2024", day(2024, 5, 5)),
    ("month day year", "Sept. 1st 2024", day(2024, 9, 1)),
    ("day-month-yy", "05-May-24", day(2024, 5, 5)),
    ("day-month-year", "5-DECEMBER-2024", day(2024, 12, 5)),
    ("yearmonthday", "20240506", day(2024, 5, 6)),
    ("yearmonthday", "20240506T063000Z", day(2024, 5, 6, 6.5)),
    ("day/month/year", "2024-12-31", day(2024, 12, 31)),
    ("yearmonthday", "2024-12-31 06:00", day(2024, 12, 31, 6)),
]  # fmt: skip

REFUSED: list[tuple[str, str]] = [
    ("iso", "20240506"), ("iso", "2024-05-06x07:08"), ("iso", "2024-05-06 07:08+25:00"),
    ("iso", "2024-05-06 07:08+99:99"), ("iso", "2024-05-06 07:08+01:60"), ("iso", "0000-01-01"),
    ("iso", "0000-00-00"), ("iso", "2023-02-29"), ("iso", "2024-05-06 24:00"), ("iso", ""),
    ("iso", "2024-05-06 07:08 CET"), ("iso", "31/12/2024"), ("iso", "2024-05-06 07:08:60"),
    ("iso", "2024-05-06Z"), ("iso", "٢٠٢٤-٠٥-٠٦"), ("iso", "2024-05-06\n2024-05-06"),
    ("day/month/year", "12/31/2024"), ("day/month/year", "31/12/24"),
    ("day/month/year", "31.12.2024"), ("day/month/year", "31/12.2024"),
    ("month/day/year", "12/31/2024 13:00 PM"), ("month/day/year", "12/31/2024 0:00 AM"),
    ("day month year", "5 Mayday 2024"), ("day month year", "5 Ma 2024"),
    ("day-month-yy", "05-May-2024"), ("yy-month-day", "05-May-24"), ("yearmonthday", "20241301"),
    ("yearmonthday", "2024050"), ("day.month.yy", "31.12.2024"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "text", "days"), READ)
def test_a_date_is_read(form: str, text: str, days: float) -> None:
    assert date(f" {text} ", form) == pytest.approx(days, abs=1e-9)


@pytest.mark.parametrize(("form", "text"), REFUSED)
def test_what_is_no_date_of_its_format(form: str, text: str) -> None:
    named = "a date" if form == "iso" else f"a date as {form}"
    with pytest.raises(CellError, match=f"^expected {re.escape(named)}, found the text "):
        date(text, form)


@pytest.mark.parametrize(
    ("codes", "words"),
    [("%d/%m/%Y", "day/month/year"), ("%Y-%m-%d %H:%M:%S", "year-month-day"), ("DD.MM.YYYY",
     "day.month.year"), ("dd-MMM-yy", "day-month-yy"), ("%b %d, %Y", "month day year"),
     ("%Y%m%d", "yearmonthday"), ("MM/dd/yyyy hh:mm a", "month/day/year"), ("%d/%m", None),
     ("day/mont/year", None), ("", None)],
)  # fmt: skip
def test_codes_of_other_languages_are_told_in_words(codes: str, words: str | None) -> None:
    assert in_words(codes) == words


def test_every_format_has_a_row() -> None:
    """Those of each sign, and those of each order; the rest are made of the same pieces."""
    told = {form for form, _, _ in READ}
    assert told <= set(DATE_FORMATS)
    for piece in ("/", ".", "-", " ", "yy", "iso", "yearmonthday", "day", "month", "year"):
        assert any(form.startswith(piece) or piece in form for form in told)


@thorough
@given(st.dates(datetime.date(1970, 1, 1), datetime.date(2068, 12, 31)),
       st.sampled_from(DATE_FORMATS))  # fmt: skip
def test_a_date_is_what_python_writes(moment: datetime.date, form: str) -> None:
    """strftime is the oracle: its codes for the words of the format."""
    codes = {"year": "%Y", "yy": "%y", "month": "%m", "day": "%d"}
    pattern = (
        "%Y-%m-%d" if form == "iso" else re.sub("year|yy|month|day", lambda m: codes[m[0]], form)
    )
    assert days_of(moment.strftime(pattern), form) == (moment - datetime.date(1970, 1, 1)).days


def test_whole_numbers_are_dates_where_they_are_said_to_be(folder: Path) -> None:
    columns = {"a": {"format": "yearmonthday"}}
    Path("t.csv").write_text("a,y\n20240506,1\n20240507,2\n")
    pq.write_table(pa.table({"a": [20240506, 20240507], "y": [1, 2]}), "t.parquet")
    for source in ({"csv": "t.csv"}, {"parquet": "t.parquet"}):
        table = load_table(make_spec(source, target="y", columns=columns))
        assert table.columns == (Column("a", "date", (), Notation(format="yearmonthday")),)
        assert table.x[:, 0].tolist() == [day(2024, 5, 6), day(2024, 5, 7)]


# One grammar -------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    ["2024", "24", "05", "6", "31", "00", "12", "May", "sept", "-", "/", ".", " ", ", ", "T", ":",
     "7:08", "07:08", "07:08:09", ".5", " PM", "Z", " UTC", "+01:00", "+25:00", "-0130", "\u0661"]
)  # fmt: skip
TEXTS = st.one_of(
    st.lists(PIECES, max_size=9).map("".join),
    st.sampled_from([text for _, text, _ in READ]),
    st.sampled_from([text for _, text in REFUSED]),
)


def program_that_reads(form: str) -> Any:
    """The reader of dates that an exported program has, as it stands there."""
    program = Program()
    program.give("READ", f"READ = dates_as({literal(form)})", cells.__name__)
    scope: dict[str, Any] = {}
    exec(program.text('"""Dates."""', ["READ"], cells.__name__), scope)
    return scope["READ"]


FORMATS = ("iso", "day/month/year", "day month yy", "month day year", "yearmonthday")
PROGRAMS = {form: program_that_reads(form) for form in FORMATS}


@thorough
@given(TEXTS, st.sampled_from(sorted(PROGRAMS)))
def test_programs_and_columns_read_the_same_dates(text: str, form: str) -> None:
    column = Column("a", "date", (), Notation(format=form))
    try:
        expected = float(encode_column(pa.array([text]), column, ("",))[0])
    except CellError:
        expected = None
    if not text.strip():
        return  # a missing cell, which readers of dates never see
    try:
        assert PROGRAMS[form](text) == expected
    except ValueError:
        assert expected is None
