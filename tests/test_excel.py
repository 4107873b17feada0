"""Sheets of Excel workbooks as tables: cells with types, and messages that name them."""

from __future__ import annotations

import datetime
import io
import re
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_files import read, refused

from trainer.data import read_rows
from trainer.data.reading import workbooks
from trainer.spec.sources import ExcelSource

DAY = datetime.datetime
ROWS = [[1, 3], [2, 4]]
DATA = "t.xlsx: sheet 'Data', "


def save(rows: Sequence[Sequence[Any]], name: str = "t.xlsx", **others: Any) -> None:
    """A workbook whose first sheet is called Data."""
    book = openpyxl.Workbook()
    sheets = {"Data": rows} | others
    for title, cells in sheets.items():
        sheet = book.create_sheet(title)
        for row in cells:
            sheet.append(list(row))
    del book["Sheet"]
    book.save(name)


def rewrite(change: Callable[[str], str], name: str = "t.xlsx") -> None:
    """Changes the XML of the first sheet."""
    with zipfile.ZipFile(name) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    parts[sheet] = change(parts[sheet].decode()).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for part, data in parts.items():
            archive.writestr(part, data)
    Path(name).write_bytes(file.getvalue())


# What cells mean ---------------------------------------------------------------------------------


def test_a_sheet_means_what_parquet_and_csv_mean(folder: Path) -> None:
    columns: dict[str, list[Any]] = {
        "a": [1, 2.5, 1e3, None, -7],
        "town": ["Köln", "Rom", None, "Rom", "Köln"],
        "flag": [True, False, True, None, True],
        "day": [DAY(2024, 1, 2), DAY(2024, 1, 3, 12, 30), None, DAY(2024, 1, 4), DAY(1900, 3, 1)],
        "code": ["007", "10", "8", "9", "1"],
        "y": [3, 4, 5, 6, 7],
    }
    rows = [
        ["" if cell is None else cell for cell in row]
        for row in zip(*columns.values(), strict=True)
    ]
    save([list(columns), *rows[:2], [], *rows[2:], [" ", None], [None]])
    pq.write_table(pa.table(columns), "t.parquet")
    lines = [",".join(str(cell).removesuffix(" 00:00:00") for cell in row) for row in rows]
    Path("t.csv").write_text("\n".join([",".join(columns), *lines]))
    how = {"missing": "most_frequent"}
    table = read({"excel": "t.xlsx"}, **how)
    assert table.sha256 == read({"parquet": "t.parquet"}, **how).sha256
    assert table.sha256 == read("t.csv", **how).sha256
    assert [column.kind for column in table.columns] == [
        "numeric", "categorical", "boolean", "date", "numeric",
    ]  # fmt: skip
    (read_again,) = read_rows(Path("t.xlsx"), table.columns)
    assert read_again.x.tobytes() == table.x.tobytes()


@pytest.mark.parametrize(
    ("cells", "kind", "x"),
    [
        ([1, "2", 3], "numeric", [1, 2, 3]),
        ([1, "x", 2.5], "categorical", [0, 2, 1]),
        ([10**20, 1, -1.5], "numeric", [1e20, 1, -1.5]),
        ([True, "no", False], "boolean", [1, 0, 0]),
        ([DAY(1970, 1, 2), "1970-01-03", DAY(1970, 1, 4, 12)], "date", [1, 2, 3.5]),
    ],
)
def test_columns_of_several_types(
    cells: list[Any], kind: str, x: list[float], folder: Path
) -> None:
    save([["a", "y"], *zip(cells, (1, 2, 3), strict=True)])
    declared = {"a": {"type": kind}} if kind == "categorical" else {}
    table = read({"excel": "t.xlsx"}, columns=declared)
    assert (table.columns[0].kind, table.x[:, 0].tolist()) == (kind, x)


def test_numbers_among_texts_are_no_texts(folder: Path) -> None:
    """How texts write numbers says nothing of those that the workbook holds as numbers."""
    save([["a", "y"], [1.234, 1], ["1.234,5", 2], [7, 3]])
    table = read({"excel": "t.xlsx"}, columns={"a": {"decimal": ",", "thousands": "."}})
    assert table.x[:, 0].tolist() == [1.234, 1234.5, 7.0]


def test_the_names_stand_in_the_first_row_that_is_not_skipped(folder: Path) -> None:
    save([["Sales"], [], [None, " a ", None, 2024, None, "y"], [None, 1, None, 5, None, 3]])
    table = read({"excel": "t.xlsx", "skip_lines": 2})
    assert [column.name for column in table.columns] == ["a", "2024"]
    assert table.x.tolist() == [[1.0, 5.0]]


@pytest.mark.parametrize("sheet", ["Two", 2])
def test_the_sheet_is_chosen_by_name_or_number(sheet: str | int, folder: Path) -> None:
    save([["b"], [1]], Two=[["a", "y"], *ROWS])
    table = read({"excel": "t.xlsx", "sheet": sheet})
    assert table.x.tolist() == [[1.0], [2.0]]
    assert not table.notes
    save([["a"], [8]], "new.xlsx")  # the only sheet of rows to predict may be called otherwise
    (rows,) = read_rows(
        Path("new.xlsx"), table.columns, source=ExcelSource(excel="t.xlsx", sheet="Two")
    )
    assert rows.x.tolist() == [[8.0]]


def test_that_there_are_more_sheets_is_noted(folder: Path) -> None:
    save([["a", "y"], *ROWS], Two=[["b"]])
    assert read({"excel": "t.xlsx"}).notes == ("t.xlsx: of 2 sheets the first is read, 'Data'",)


def test_formulas_count_with_their_stored_values(folder: Path) -> None:
    save([["a", "b", "y"], ["=1+1", "=C2", 3], [4, "=C3", 5], [6, None, 7]])
    rewrite(
        lambda xml: (
            xml.replace("<f>1+1</f><v></v>", "<f>1+1</f><v>2</v>")
            .replace("<f>1+1</f><v />", "<f>1+1</f><v>2</v>")
            .replace('<c r="B2">', '<c r="B2" t="str">')
            .replace('<c r="B3">', '<c r="B3" t="str">')
            .replace("<f>C3</f><v />", "<f>C3</f><v>1</v>")
            .replace("<f>C3</f><v></v>", "<f>C3</f><v>1</v>")
        )
    )
    table = read({"excel": "t.xlsx"}, missing="mean")
    assert table.x[:, 0].tolist() == [2.0, 4.0, 6.0]
    assert np.isnan(table.x[:, 1]).tolist() == [True, False, True]


# Faults ------------------------------------------------------------------------------------------

MEND = "(mend its formula, empty the cell, or leave the column out)"
STORE = "(open the workbook in a spreadsheet program and save it)"
MINUTES = "(write a number, of minutes for example, or leave the column out)"
CATEGORICAL = "`data.columns: {a: {type: categorical}}`"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([["#DIV/0!", 1], ["#N/A", 2], ["#DIV/0!", 3]],
         f"{DATA}cell A2, column 'a': this cell holds the error #DIV/0!, as in 1 more of the "
         f"column {MEND}\n{DATA}cell A3, column 'a': this cell holds the error #N/A {MEND}"),
        ([[1, 1], ["=1+1", 2]],
         f"{DATA}cell A3, column 'a': the formula in this cell has no stored value {STORE}"),
        ([[1, 1], [1, 2], [None, "=1+1"]],
         f"{DATA}cell B4, column 'y': the formula in this cell has no stored value {STORE}"),
        ([[datetime.time(12, 30), 1]],
         f"{DATA}cell A2, column 'a': expected a number, text or date, found a time of day, "
         f"12:30:00 {MINUTES}"),
        ([[datetime.timedelta(hours=30), 1]],
         f"{DATA}cell A2, column 'a': expected a number, text or date, found a duration, "
         f"1 day, 6:00:00 {MINUTES}"),
        ([[1, 1], ["x", 2], [3, 4]],
         f"{DATA}cell A3, column 'a': expected a number, found the text 'x' "
         f"(correct it, or write {CATEGORICAL})"),
        ([[1, 1], ["n/a", 2], [3, 4], [5, 6], ["n/a", 3]],
         f"{DATA}cell A3, column 'a': expected a number, found 'n/a' (2 times); the others in "
         f"row 6 (if it stands for nothing, leave the cells empty, or {CATEGORICAL})"),
        ([[1, 1], [2, None]],
         f"{DATA}cell B3, column 'y': expected a number, found an empty cell (fill it in, or leave "
         "the row out: `data.drop_rows: {missing: target}`)"),
        ([[1, 1, 7]], "t.xlsx: column 3 has no name (name it, or choose columns with "
         "`data.features`)"),
        ([], "t.xlsx: the file has no rows"),
    ],
    ids=range(10),
)  # fmt: skip
def test_faults_of_cells(rows: list[Any], told: str, folder: Path) -> None:
    save([["a", "y"], *rows])
    assert refused({"excel": "t.xlsx"}) == told


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([["Sales 2024"], [], ["a", "y"], [1, 2]],
         "t.xlsx: sheet 'Data': the names stand in row 3 (write `skip_lines: 2` in the source)"),
        ([[], [], ["a", "y"], [1, 2]],
         f"{DATA}row 1: expected the names of the columns, found an empty row "
         "(write `skip_lines: 2` in the source)"),
        ([], f"{DATA}row 1: expected the names of the columns, found an empty row"),
        ([["a", "=1", "y"]],
         f"{DATA}cell B1: the formula in this cell has no stored value {STORE}"),
        ([["a", "a", "y"]],
         "t.xlsx: the column 'a' stands 2 times (give each column its own name)"),
    ],
    ids=range(5),
)  # fmt: skip
def test_faults_of_names(rows: list[Any], told: str, folder: Path) -> None:
    save([*rows, [1, None, 2]] if rows and rows[0] else rows)
    assert refused({"excel": "t.xlsx"}) == told


def test_cells_at_fault_in_other_columns_do_no_harm(folder: Path) -> None:
    save([["a", "b", "y"], [1, "#REF!", 3], [2, datetime.time(1), 4]])
    assert read({"excel": "t.xlsx"}, features=["a"]).x.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("sheet", "told"),
    [
        ("Tow", "no sheet 'Tow' (did you mean 'Two'?)"),
        (4, "no sheet number 4: there are 3 (the sheets are Data, Two, 2024)"),
        (2024, 'no sheet number 2024: there are 3 (write `sheet: "2024"` for its name)'),
    ],
)
def test_sheets_that_are_not_there(sheet: str | int, told: str, folder: Path) -> None:
    save([["a", "y"], *ROWS], Two=[], **{"2024": []})
    assert refused({"excel": "t.xlsx", "sheet": sheet}) == f"t.xlsx: the workbook has {told}"


# Workbooks that are none -------------------------------------------------------------------------

OLD = (
    "this is an old Office file, as of .xls, or one with a password "
    "(save the sheet as CSV or .xlsx)"
)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is empty"),
        (b"a,y\n1,2\n", "this is text (write `source: {csv: …}`)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), OLD),
    ],
)
def test_files_that_are_no_workbooks(data: bytes, told: str, folder: Path) -> None:
    Path("t.xlsx").write_bytes(data)
    assert refused({"excel": "t.xlsx"}) == f"t.xlsx: {told}"


def _entities(xml: str) -> str:
    """XML in which one number is a text of some GB."""
    rows = [f'<!ENTITY e{i} "{f"&e{i - 1};" * 99}">' for i in range(1, 6)]
    return f'<!DOCTYPE x [<!ENTITY e0 "{"1" * 99}">{"".join(rows)}]>' + xml.replace(
        "<v>1</v>", "<v>&e5;</v>"
    )


@pytest.mark.parametrize(
    "change", [lambda xml: xml[:200], lambda xml: xml.replace(">1<", ">one<"), _entities]
)
def test_damaged_workbooks(change: Callable[[str], str], folder: Path) -> None:
    save([["a", "y"], *ROWS])
    whole = Path("t.xlsx").read_bytes()
    rewrite(change)
    told = refused({"excel": "t.xlsx"})
    assert re.match(r"t\.xlsx: this file cannot be read as Excel: .+$", told)
    Path("t.xlsx").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read as Excel" in refused({"excel": "t.xlsx"})


def test_a_sheet_is_no_larger_than_its_cells(folder: Path) -> None:
    """What a file says of its size is not believed."""
    save([["a", "y"], *ROWS])
    rewrite(lambda xml: xml.replace('ref="A1:B3"', 'ref="A1:XFD1048576"'))
    assert read({"excel": "t.xlsx"}).x.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("memory", "why"), [(4_000, r"holds 0\.0 GB of XML"), (50_000, "has more than 196 rows")]
)
def test_workbooks_that_memory_cannot_hold(
    memory: int, why: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workbooks, "machine_memory", lambda: memory)
    save([["a", "y"], *([1, 2] for _ in range(600))] if memory > 10_000 else ROWS)
    if memory > 10_000:
        monkeypatch.setattr(workbooks, "_check_size", lambda *_: None)
    told = refused({"excel": "t.xlsx"})
    assert re.fullmatch(
        rf"t\.xlsx: not enough memory to hold this workbook: it {why} \(save the sheet as CSV\)",
        told,
    )


def test_without_the_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save([["a", "y"], *ROWS])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    told = refused({"excel": "t.xlsx"})
    assert "Excel workbooks need a package that is not installed" in told
    assert told.endswith("(pip install 'specgrad[excel]')")


def test_a_workbook_that_is_called_csv(folder: Path) -> None:
    save([["a", "y"], *ROWS])
    Path("t.xlsx").rename("t.csv")
    assert refused("t.csv") == "t.csv: this is an Excel workbook (write `source: {excel: …}`)"
