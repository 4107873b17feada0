"""How the files of tables are found, opened and parsed: their bytes, and what comes of them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import sqlite3
import unicodedata
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from test_data import make_spec
from test_data_faults import tell

from trainer import DataError, SpecError, UsageError
from trainer.data import Table, load_dataset, load_table, read_rows
from trainer.data.columns.notation import Notation
from trainer.data.columns.table import Column
from trainer.data.reading import csv
from trainer.inputs import NotAFileError, open_regular
from trainer.spec.names import clean_name, look_alike
from trainer.spec.sources import CsvSource, FileSource, JsonlSource, ParquetSource

TEXT = "a,b,y\n1,2,3\n4,5,6\n7,8,10\n"
X = [[1.0, 2.0], [4.0, 5.0], [7.0, 8.0]]


def read(source: Mapping[str, Any] | str, **data: Any) -> Table:
    """The table of a source, or of a CSV file."""
    named = {"csv": source} if isinstance(source, str) else dict(source)
    return load_table(make_spec(named, data.pop("loss", "squared"), **({"target": "y"} | data)))


def both(source: Mapping[str, Any], **data: Any) -> Table:
    """The table, which a stream reads to the same bits."""
    data = {"target": "y"} | data
    table = read(source, **data)
    loss = data.pop("loss", "squared")
    streamed = load_dataset(make_spec(dict(source), loss, **data, stream=True))
    assert streamed.sha256 == table.sha256
    return table


def refused(source: Mapping[str, Any] | str, **data: Any) -> str:
    """What is said of a source that cannot be read, whole or streamed."""
    told = []
    named = {"csv": source} if isinstance(source, str) else source
    for stream in (
        (False, True) if {"csv", "jsonl", "parquet", "arrow"} & named.keys() else (False,)
    ):
        with pytest.raises((DataError, SpecError)) as caught:
            load_dataset(make_spec(dict(named), **({"target": "y"} | data), stream=stream))
        told.append(tell(caught.value).replace("None: ", ""))
    assert len(set(told)) == 1, told
    return told[0]


# What a file is ----------------------------------------------------------------------------------


def zipped(**members: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), text)
    return file.getvalue()


def written(write: Callable[[str], Any]) -> bytes:
    """What a writer leaves in a file."""
    write("w")
    data = Path("w").read_bytes()
    Path("w").unlink()
    return data


def database(path: str) -> None:
    with sqlite3.connect(path) as base:
        base.execute("create table t (a, y)")
    base.close()


FRAME = pa.table({"a": [1.0, 2.0], "y": [1.0, 2.0]})
SAVE = "(save the table as CSV, or as Parquet)"
UNPACK = "(unpack it, and name the file that was in it)"
NOT_TABLES: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "zip": (lambda: zipped(data_csv=TEXT),
            f"this is a zip archive, which holds 'data.csv' {UNPACK}"),
    "zip of several": (lambda: zipped(a_csv=TEXT, b_csv=TEXT),
                       f"this is a zip archive, which holds 'a.csv' and 1 more {UNPACK}"),
    "gzip": (lambda: gzip.compress(TEXT.encode()),
             "this is compressed with gzip (call it t.csv.gz, or unpack it)"),
    "bzip2": (lambda: bz2.compress(TEXT.encode()),
              "this is compressed with bzip2 (call it t.csv.bz2, or unpack it)"),
    "xz": (lambda: lzma.compress(TEXT.encode()),
           "this is compressed with xz (call it t.csv.xz, or unpack it)"),
    "zstd": (lambda: pa.compress(TEXT.encode() * 9, "zstd", asbytes=True),
             "this is compressed with zstd (call it t.csv.zst, or unpack it)"),
    "xlsx": (lambda: zipped(**{"[Content_Types]_xml": "", "xl__workbook_xml": ""}),
             "this is an Excel workbook (write `source: {excel: …}`)"),
    "xls": (lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
            "this is an old Office file, as of .xls, or one with a password "
            "(save the sheet as CSV or .xlsx)"),
    "parquet": (lambda: written(lambda path: pq.write_table(FRAME, path)),
                "this is a Parquet file (write `source: {parquet: …}`)"),
    "arrow": (lambda: written(lambda path: feather.write_feather(FRAME, path)),
              "this is an Arrow file (write `source: {arrow: …}`)"),
    "npz": (lambda: zipped(a_npy="", y_npy=""),
            "this is an archive of NumPy arrays (write `source: {npz: …}`)"),
    "sqlite": (lambda: written(database), f"this is an SQLite database {SAVE}"),
    "pdf": (lambda: b"%PDF-1.7\n%\xe2\xe3\n", f"this is a PDF {SAVE}"),
    "pickle": (lambda: pickle.dumps({"a": [1, 2]}),
               f"this is a Python pickle, which may run anything when it is read {SAVE}"),
    "html": (lambda: b"\n<!DOCTYPE html>\n<html><body>Sign in, please</body></html>\n",
             "this is an HTML page, not a table (is it a page to sign in, or an error?)"),
    "json": (lambda: json.dumps([{"a": 1, "y": 2}], indent=1).encode(),
             "this is JSON (write an object a line, and `source: {jsonl: …}`)"),
    "json lines": (lambda: b'{"a": 1, "y": 2}\n{"a": 2, "y": 3}\n',
                   "this is JSON lines (write `source: {jsonl: …}`)"),
    "git lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n",
                "this is a pointer of Git LFS, not the table itself "
                "(fetch the table with `git lfs pull`)"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_TABLES)
def test_what_is_no_csv_is_called_by_its_name(name: str, folder: Path) -> None:
    make, told = NOT_TABLES[name]
    Path("t.csv").write_bytes(make())
    assert refused("t.csv") == f"t.csv: {told}"
    with pytest.raises(DataError) as caught:
        next(read_rows(Path("t.csv"), [Column("a")]))
    assert tell(caught.value) == f"t.csv: {told}"


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ("ORC,y\n1,2\n2,3\n", [[1], [2]]),
        ("RDX,y\n1,2\n2,3\n", [[1], [2]]),
        ("BZh,y\n1,2\n2,3\n", [[1], [2]]),
        ("PAR1,y\n1,2\n2,3\n", [[1], [2]]),
        ("[a],y\n1,2\n2,3\n", [[1], [2]]),
        ("{a},y\n1,2\n2,3\n", [[1], [2]]),
        ("PK,y\n1,2\n2,3\n", [[1], [2]]),
    ],
)
def test_names_that_begin_as_other_files_do(text: str, x: list[Any], folder: Path) -> None:
    Path("t.csv").write_text(text)
    assert both({"csv": "t.csv"}).x.tolist() == x


@pytest.mark.parametrize(
    ("key", "data", "told"),
    [
        ("parquet", TEXT.encode(), "this is text (write `source: {csv: …}`)"),
        ("arrow", TEXT.encode(), "this is text (write `source: {csv: …}`)"),
        ("npz", TEXT.encode(), "this is text (write `source: {csv: …}`)"),
        ("parquet", gzip.compress(b"x", mtime=0),
         "this is compressed with gzip (call it t.gz, or unpack it)"),
        ("arrow", b"PAR1" + bytes(50), "this is a Parquet file (write `source: {parquet: …}`)"),
        ("parquet", b"ARROW1\0\0" + bytes(50),
         "this is an Arrow file (write `source: {arrow: …}`)"),
    ],
)  # fmt: skip
def test_binary_files_of_another_kind(key: str, data: bytes, told: str, folder: Path) -> None:
    Path("t").write_bytes(data)
    assert refused({key: "t"}) == f"t: {told}"


# Paths -------------------------------------------------------------------------------------------

RELATIVE = ("(write a path relative to the spec file, or give --set data.source.csv=…, which the "
            "shell fills in)")  # fmt: skip
DOWNLOAD = (
    "is an address, and only files of this machine are read (download the file, and give its path)"
)


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("~/t.csv", f"'~' in '~/t.csv' stands for itself: a spec depends on no machine {RELATIVE}"),
        ("$D/t.csv",
         f"'$D' in '$D/t.csv' stands for itself: a spec depends on no machine {RELATIVE}"),
        ("${D}/*.csv", "'${D}' in '${D}/*.csv' stands for itself: a spec depends on no machine "
                       f"{RELATIVE}"),
        ("https://example.org/t.csv?a=[1]", f"'https://example.org/t.csv?a=[1]' {DOWNLOAD}"),
        ("s3://bucket/t.csv", f"'s3://bucket/t.csv' {DOWNLOAD}"),
        ("file:///data/t.csv",
         "'file:///data/t.csv' is an address (write the path alone: /data/t.csv)"),
        (r"C:\data\t.csv", r"'C:\data\t.csv' is a path of Windows, which this system does not know "
                           "(write a path relative to the spec file: t.csv)"),
        (r"data\t.csv", r"there is no file 'data\t.csv' (write / between folders: data/t.csv)"),
        ("pipe",
         "'pipe' is a named pipe, which is not read (write what comes out of it to a file)"),
        ("/dev/null", "'/dev/null' is a device, which is not read"),
        ("empty", "the folder 'empty' holds no CSV files (their names end in .csv, .tsv, .txt; it "
                  "holds read.me)"),
    ],
)  # fmt: skip
def test_paths_that_name_no_file(path: str, told: str, folder: Path) -> None:
    os.mkfifo("pipe")
    Path("empty").mkdir()
    Path("empty/read.me").touch()
    assert refused(path) == f"data.source.csv: {told}"


def test_a_file_that_is_really_called_so(folder: Path) -> None:
    for name in ("~", "$D.csv", "C:\\t.csv", "a[1].csv"):
        Path(name).write_text(TEXT)
        assert read(name).x.tolist() == X


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("pipe", "pipe: this is a named pipe, not a file"),
        (".", ".: this is a directory, not a file"),
        ("t.cvs", "t.cvs: the file is not there (did you mean 't.csv'?)"),
        ("~/t.csv", "~/t.csv: '~' in '~/t.csv' stands for itself: a spec depends on no machine "
                    "(write a path relative to the spec file, or give --data=…, which the shell "
                    "fills in)"),
    ],
)  # fmt: skip
def test_rows_to_predict_are_no_file(path: str, told: str, folder: Path) -> None:
    os.mkfifo("pipe")
    Path("t.csv").write_text(TEXT)
    with pytest.raises(DataError) as caught:
        next(read_rows(Path(path), [Column("a")]))
    assert tell(caught.value) == told


def test_standard_input_is_not_read(folder: Path) -> None:
    with pytest.raises(UsageError, match="standard input is not read"):
        next(read_rows(Path("-"), [Column("a")]))


def test_opening_never_waits(folder: Path) -> None:
    os.mkfifo("pipe")
    for path, what in (("pipe", "a named pipe"), (".", "a directory"), ("/dev/zero", "a device")):
        with pytest.raises(NotAFileError) as caught:
            open_regular(Path(path))
        assert caught.value.what == what
    Path("t").write_bytes(b"abc")
    with open_regular(Path("t")) as file:
        assert file.read() == b"abc"


# Compression -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".bz2", ".xz", ".zip"])
def test_compressed_files(suffix: str, folder: Path) -> None:
    text = TEXT.encode()
    data = {
        ".gz": gzip.compress(text), ".zst": pa.compress(text, "zstd", asbytes=True),
        ".bz2": bz2.compress(text), ".xz": lzma.compress(text), ".zip": zipped(data_csv=TEXT),
    }[suffix]  # fmt: skip
    if suffix == ".zst":  # with its size before it, as streams have it
        with pa.output_stream("t.csv.zst", "zstd") as out:
            out.write(text)
    else:
        Path(f"t.csv{suffix}").write_bytes(data)
    assert both({"csv": f"t.csv{suffix}"}).x.tolist() == X
    Path(f"t.csv{suffix}").write_bytes(Path(f"t.csv{suffix}").read_bytes()[:-9])
    assert "cannot be read" in refused(f"t.csv{suffix}") or suffix == ".zst"
    Path(f"t.csv{suffix}").write_text(TEXT)
    assert refused(f"t.csv{suffix}") == (
        f"t.csv{suffix}: its name ends in {suffix}, but it is not compressed so "
        "(call it by what it is, as t.csv)"
    )


def test_an_archive_of_several_files(folder: Path) -> None:
    Path("t.zip").write_bytes(zipped(a_csv=TEXT, b_csv=TEXT))
    assert refused("t.zip") == (
        "t.zip: this zip archive holds 2 files, such as 'a.csv' "
        "(unpack it, and name the file that is meant)"
    )


# How CSV files are written -----------------------------------------------------------------------

HOW: Mapping[str, tuple[bytes, dict[str, Any]]] = {
    "cp1252": ("größe,b,y\n1,2,3\n4,5,6\n7,8,10\n".encode("cp1252"), {"encoding": "cp1252"}),
    "utf-16": (TEXT.encode("utf-16"), {"encoding": "utf-16"}),
    "utf-16-be": (TEXT.encode("utf-16-be"), {"encoding": "UTF-16BE"}),
    "ascii": (TEXT.encode(), {"encoding": "ascii"}),
    "skipped lines": (b'A "report\n\nof 2024\n' + TEXT.encode(), {"skip_lines": 3}),
    "skipped, carriage returns": (b"x\r" + TEXT.replace("\n", "\r").encode(), {"skip_lines": 1}),
    "no header": (TEXT.encode()[6:], {"header": False, "names": ["a", "b", "y"]}),
    "no header, skipped": (b"x\ny\n" + TEXT.encode()[6:],
                           {"header": False, "names": ["a", "b", "y"], "skip_lines": 2}),
    "no header, but there is one": (TEXT.encode(), {"header": False, "names": ["a", "b", "y"]}),
    "no header, first cell quoted": (b'"1",2,3\n4,5,6\n7,8,10\n',
                                     {"header": False, "names": ["a", "b", "y"]}),
    "blanks": (b"  a b\t y\n1   2 3  \n 4 5  6\n7\t8\t10\n", {"delimiter": "blanks"}),
    "blanks, no header": (b"1   2 3\n 4 5  6\n7\t8\t10",
                          {"delimiter": "blanks", "header": False, "names": ["a", "b", "y"]}),
    "blanks, carriage returns": (b"a b y \r\n1   2 3  \r\n 4 5  6\r\n7\t8\t10\r\n",
                                 {"delimiter": "blanks"}),
    "comments": (b"# made by hand\n#\na,b,y\n1,2,3\n#4,5,6\n4,5,6\n7,8,10\n# end",
                 {"comment": "#"}),
    "single quotes": (b"a,b,y\n'1',2,3\n4,'5',6\n7,8,10\n", {"quote": "'"}),
    "a header that ends in a comma": (b"a,b,y,\n1,2,3\n4,5,6\n7,8,10\n", {}),
    "a name with a line break": (b'"a",b,"y"\n1,2,3\n"4",5,6\n7,8,10\n', {}),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbf" + TEXT.encode(), {}),
    "blanks around names": (b" a , b , y \n1,2,3\n4,5,6\n7,8,10\n", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOW)
def test_ways_to_write_csv(name: str, folder: Path) -> None:
    """The same table, in memory and streamed."""
    data, how = HOW[name]
    Path("t.csv").write_bytes(data)
    table = both({"csv": "t.csv", **how})
    assert table.x.tolist() == X
    assert table.target.tolist() == [[3], [6], [10]]
    assert table.features == (("größe" if name == "cp1252" else "a"), "b")


def test_texts_in_every_encoding(folder: Path) -> None:
    for encoding in ("cp1252", "utf-16", "iso8859-15", "cp850", "gb18030"):
        Path("t.csv").write_bytes("town,y\nKöln,1\nGenève,2\nKöln,3\n".encode(encoding))
        table = both({"csv": "t.csv", "encoding": encoding})
        assert table.columns[0].categories == ("Genève", "Köln")


def test_texts_with_marks_and_blanks(folder: Path) -> None:
    Path("t.csv").write_bytes(b'town  y\n"New York"   1\nRome\t2\n\'x  3\n')
    table = both({"csv": "t.csv", "delimiter": "blanks"})
    assert table.columns[0].categories == ("'x", "New York", "Rome")
    Path("t.csv").write_bytes(b'town,y\n"a,1\nb",2\n"a,3\n')
    table = both({"csv": "t.csv", "quote": "none"})
    assert table.columns[0].categories == ('"a', 'b"')
    Path("t.csv").write_bytes(b'town,y\n"a\n# b",1\n# c\nd,2\n"a\n# b",3\n')
    table = both({"csv": "t.csv", "comment": "#"})
    assert table.columns[0].categories == ("a\n# b", "d")


def test_names_are_made_where_none_are_given(folder: Path) -> None:
    Path("t.csv").write_text("1,2,3\n4,5,6\n7,8,10\n")
    table = both({"csv": "t.csv", "header": False}, target="column_3")
    assert table.features == ("column_1", "column_2")
    assert table.x.tolist() == X


def test_many_comments_and_blanks_in_small_pieces(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.data.reading import texts

    lines = [f"{i}   'p {i % 3}'  {i}{'  ' * (i % 2)}\n# no {i}\n" for i in range(300)]
    Path("t.csv").write_text("a town   y\n" + "".join(lines))
    source = {"csv": "t.csv", "delimiter": "blanks", "comment": "#", "quote": "'"}
    first = both(source)
    assert first.columns[1].categories == ("p 0", "p 1", "p 2")
    assert first.x[:, 0].tolist() == list(range(300))
    for size in (1, 7, 64):
        monkeypatch.setattr(texts, "_SIZE", size)
        assert both(source).sha256 == first.sha256


FAULTS = [
    ("1.5,b,2\n2.5,c,3\n", {}, "t.csv:1: the first line looks like data: are the names missing? "
     "(write `header: false` and `names: […]` in the source)"),
    ("1  2  3\n4  5  6\n", {"delimiter": " "}, "t.csv:1: the first line looks like data: are the "
     "names missing? Several blanks stand between cells "
     "(write `delimiter: blanks`, `header: false` and `names: […]` in the source)"),
    ("1;2;3\n4;5;6\n", {}, "t.csv:1: the first line looks like data: are the names missing? Cells "
     "stand between ';' "
     "(write `delimiter: \";\"`, `header: false` and `names: […]` in the source)"),
    ("a;y\n1;2\n", {},
     "t.csv:1: the names stand between ';' (write `delimiter: \";\"` in the source)"),
    ("a\ty\n1\t2\n", {}, "t.csv:1: the names stand between tabs "
     "(write `delimiter: \"\\t\"` in the source)"),
    ("a  b  y\n1  2  3\n", {"delimiter": " "},
     "t.csv:1: the names stand between blanks (write `delimiter: blanks` in the source)"),
    ("Report\nof 2024\na,y\n1,2\n", {},
     "t.csv:1: the names stand in line 3 (write `skip_lines: 2` in the source)"),
    ("sep=;\na;y\n1;2\n", {}, "t.csv:1: the first line is a note for Excel, not the header "
     "(write `skip_lines: 1` and `delimiter: \";\"` in the source)"),
    ("3,3,4\n1,2,3\n", {}, "t.csv:1: the first line looks like data: are the names missing? "
     "(write `header: false` and `names: […]` in the source)"),
    ("a,y\nr1,1,2\nr2,2,3\n", {}, "t.csv:2: the header has 2 cells, the first row 3: has the first "
     "column no name? (write one, as `row,…`, and choose columns with `data.features`; or is a "
     "decimal comma among the cells?)"),
    ("1,2,3\n", {"header": False, "names": ["a", "y"]},
     "t.csv:1: expected 2 cells, one for each of the names, found 3"),
    ("x\n1,2\n3\n", {"header": False, "names": ["a", "y"], "skip_lines": 1},
     "t.csv:3: expected 2 cells, found 1"),
    ("x\na,y\n1,2\n3\n", {"skip_lines": 1}, "t.csv:4: expected 2 cells as in the header, found 1"),
    ("#\na,y\n#\n1,2\n3\n", {"comment": "#"},
     "t.csv:5: expected 2 cells as in the header, found 1"),
    (b"a,y\n1,\x81\n", {"encoding": "cp1252"}, "t.csv:2: the byte 0x81 means nothing in cp1252 "
     "(write how the file is encoded, as in `encoding: cp1252`)"),
    ("a,a ,y\n1,2,3\n", {}, "t.csv:1: the names 'a' and 'a ' differ in nothing that can be seen "
     "(give each column its own name)"),
    ("ö,o\u0308,y\n1,2,3\n", {}, "t.csv:1: the names 'ö' and 'o\\u0308' differ in nothing that can "
     "be seen (give each column its own name)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "how", "told"), FAULTS, ids=range(len(FAULTS)))
def test_one_message_that_says_what_to_do(
    text: str | bytes, how: dict[str, Any], told: str, folder: Path
) -> None:
    Path("t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    assert refused({"csv": "t.csv", **how}) == told


def test_rows_to_predict_are_written_as_the_training_rows(folder: Path) -> None:
    """Also where a file without a header lacks the target, or has a header after all."""
    form = CsvSource.model_validate(
        {"csv": "t.csv", "header": False, "names": ["y", "a", "b"], "delimiter": ";",
         "skip_lines": 1}
    )  # fmt: skip
    for text in ("-\n9;1;2\n", "-\n1;2\n", "-\na;b\n1;2\n", "-\nb;a\n2;1\n"):
        Path("new.csv").write_text(text)
        (rows,) = read_rows(Path("new.csv"), [Column("a"), Column("b")], source=form, absent=("y",))
        assert rows.x.tolist() == [[1, 2]], text


# Names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("plain", "plain"), ("two  blanks", "two  blanks"), (" a\t", "a"), ("a\nb", "a\nb"),
        ("a\r\nb", "a\nb"), ("Gro\u0308ße", "Größe"), ("Preis\u00a0EUR", "Preis EUR"),
        ("\ufeffa", "a"), ("a\u200bb", "ab"), ("a\u2009b\u3000", "a b"), ("\u00a0", ""),
        ("می\u200cخواهم", "می\u200cخواهم"), ("x" * 900, "x" * 900),
    ],
)  # fmt: skip
def test_one_form_of_a_name(raw: str, clean: str) -> None:
    assert clean_name(raw) == clean
    assert clean_name(clean) == clean


@pytest.mark.parametrize(
    ("name", "other", "told"),
    [
        ("preis", "prеis", "'prеis' looks the same, but has cyrillic small letter ie (U+0435) at "
                           "place 3, not latin small letter e (U+0065)"),
        ("a-b", "a–b", "'a–b' looks the same, but has en dash (U+2013) at place 2, not "
                       "hyphen-minus (U+002D)"),
        ("a b", "a  b", "'a  b' looks the same, but has other blanks between its words"),
        ("ﬁt", "fit", "'fit' looks the same, but has latin small letter f (U+0066) at place 1, not "
                      "latin small ligature fi (U+FB01)"),
        ("a\u200d", "a", "'a' looks the same, but lacks the zero width joiner (U+200D) at its end"),
        ("a", "b", None),
    ],
)  # fmt: skip
def test_how_names_differ_that_look_the_same(name: str, other: str, told: str | None) -> None:
    assert look_alike(name, ["z", other]) == told


def test_names_are_found_however_they_are_written(folder: Path) -> None:
    names = [
        unicodedata.normalize("NFD", "Größe"),
        "Preis\u00a0EUR",
        "Fläche ",
        "Wert\nin EUR",
        "y",
    ]
    table = pa.table([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [1.0, 2.0]], names=names)
    header = ",".join(f'"{name}"' for name in names)
    Path("t.csv").write_text(header + "\n1,3,5,7,1\n2,4,6,8,2\n", encoding="utf-8-sig")
    pq.write_table(table, "t.parquet")
    feather.write_feather(table, "t.feather")
    typed = ["Größe", "Preis EUR", "Fläche", "Wert\nin EUR"]
    named = ["Gro\u0308ße ", "Preis EUR", "Fläche", "Wert\r\nin EUR"]
    for source in ({"csv": "t.csv"}, {"parquet": "t.parquet"}, {"arrow": "t.feather"}):
        found = both(source, features=named, columns={"Fläche ": {"type": "numeric"}})
        assert found.features == tuple(typed)
        assert found.x.tolist() == [[1, 3, 5, 7], [2, 4, 6, 8]]
        (note,) = found.notes
        assert note.endswith(
            r"names are read in their plain form, as of 'Gro\u0308ße', 'Preis\xa0EUR'"
        )
        path = Path(next(iter(source.values())))
        for columns in (typed, names[:4]):  # also the names that older runs have kept
            (rows,) = read_rows(path, [Column(name) for name in columns])
            assert rows.x.tolist() == found.x.tolist()


def test_a_name_in_another_script_is_told(folder: Path) -> None:
    Path("t.csv").write_text("prеis,y\n1,2\n")  # with a Cyrillic letter
    told = refused("t.csv", features=["preis"])
    assert "the data has no column 'preis' ('prеis' looks the same, but has cyrillic" in told


# Folders and pandas ------------------------------------------------------------------------------


def test_a_folder_with_keys(folder: Path) -> None:
    for year, month in ((2023, 1), (2023, 2), (2024, 1)):
        place = Path(f"sales/year={year}/month={month}/town=New%20York")
        place.mkdir(parents=True)
        values = [float(year), float(month)]
        pq.write_table(pa.table({"a": values, "y": values}), place / "part-0.parquet")
    Path("sales/_SUCCESS").touch()
    Path("sales/.hidden.parquet").write_bytes(b"x")
    Path("sales/year=2023/_metadata").write_bytes(b"x")
    Path("sales/year=2023/README.md").write_bytes(b"x")
    for pattern in ("sales", "sales/", "sales/**/*.parquet", "sales/year=*"):
        table = both({"parquet": pattern})
        assert [(c.name, c.kind) for c in table.columns] == [
            ("a", "numeric"), ("year", "numeric"), ("month", "numeric"), ("town", "categorical"),
        ]  # fmt: skip
        assert table.x[:, 1].tolist() == [2023, 2023, 2023, 2023, 2024, 2024]
        assert table.x[:, 2].tolist() == [1, 1, 2, 2, 1, 1]
        assert table.columns[3].categories == ("New York",)
    assert both({"parquet": "sales/year=2023/*/*/*"}).features == ("a", "month", "town")
    assert both({"parquet": "sales"}, features=["year"]).x.tolist() == [[2023]] * 4 + [[2024]] * 2
    columns = [Column("year"), Column("a")]
    (rows,) = read_rows(Path("sales/year=2024/month=1/town=New%20York/part-0.parquet"), columns)
    assert rows.x.tolist() == [[2024, 2024], [2024, 1]]


def test_a_folder_of_csv_files(folder: Path) -> None:
    Path("days/kind=__HIVE_DEFAULT_PARTITION__").mkdir(parents=True)
    Path("days/kind=x").mkdir(parents=True)
    Path("days/_old.csv").write_text("b\n")
    Path("days/kind=__HIVE_DEFAULT_PARTITION__/b.csv").write_text("a,y\n1,2\n")
    Path("days/kind=x/a.csv.gz").write_bytes(gzip.compress(b"a,y\n3,4\n"))
    table = both({"csv": "days"}, missing="most_frequent")
    assert table.columns[1].categories == ("x",)
    assert np.isnan(table.x[0, 1])
    told = refused("days")
    assert told.startswith("days/kind=__HIVE_DEFAULT_PARTITION__/b.csv:2: column 'kind': expected")


def test_links_that_lead_in_a_circle(folder: Path) -> None:
    Path("d").mkdir()
    Path("d/t.csv").write_text(TEXT)
    Path("d/again").symlink_to(Path("d").resolve())
    Path("other").mkdir()
    Path("other/u.csv").write_text(TEXT)
    Path("d/other").symlink_to(Path("other").resolve())
    assert len(read("d").x) == 6


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_the_index_of_pandas_is_no_feature(kind: str, folder: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "y": [3.0, 2.0, 1.0]}, index=[5, 3, 4])

    def write(frame: pd.DataFrame) -> None:
        table = pa.Table.from_pandas(frame)
        if kind == "parquet":
            pq.write_table(table, "t")
        else:
            with pa.ipc.new_file("t", table.schema) as out:
                out.write_table(table)

    write(frame)
    table = both({kind: "t"})
    assert table.features == ("a",)
    assert table.notes == (
        "the index of pandas is no feature: '__index_level_0__'; `data.features` may name it",
    )
    write(frame.rename_axis("when"))
    assert both({kind: "t"}).features == ("a",)
    assert both({kind: "t"}, features=["when", "a"]).x.tolist() == [[5, 1], [3, 2], [4, 3]]
    assert not both({kind: "t"}, features=["when"]).notes
    assert both({kind: "t"}, columns={"when": {"type": "numeric"}}).features == ("a", "when")
    assert read({kind: "t"}, split={"group": "when"}).features == ("a",)
    assert both({kind: "t"}, target="when").features == ("a", "y")
    write(frame.reset_index(drop=True))
    assert both({kind: "t"}).features == ("a",)
    write(frame.set_index([["p", "q", "r"], [1, 2, 3]]))
    assert both({kind: "t"}).features == ("a",)


# NumPy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h", "m", "s", "ms", "us", "2D", "6h"])
def test_dates_far_from_today(unit: str, folder: Path) -> None:
    """Outside of what 64 bits of nanoseconds can hold, which are the years 1678 to 2262."""
    days = np.array(["2300-01-01", "1500-01-01", "2024-01-01", "NaT"], "M8[D]").astype(
        f"M8[{unit}]"
    )
    np.savez("t.npz", a=days, y=np.arange(4.0))
    table = read({"npz": "t.npz"}, missing="median")
    expected = days.astype("M8[D]").astype(float)
    assert table.columns[0].kind == "date"
    assert table.x[:3, 0].tolist() == expected[:3].tolist()
    assert np.isnan(table.x[3, 0])


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([b"a", b"\xff"]), "row 1: the byte 0xff is not UTF-8 "
                                    "(save texts, or texts in UTF-8)"),
        (np.array([0, 10**12], "M8[Y]"), "row 1: the date 1000000001970 is too far from today to "
                                         "be read (correct it, or leave the array out)"),
        (np.array([0, 10**9], "M8[W]"), None),
        (np.array([0, 3 * 10**9], "M8[D]"), None),
    ],
)  # fmt: skip
def test_values_of_arrays_that_cannot_be_read(values: Any, told: str | None, folder: Path) -> None:
    np.savez("t.npz", a=values, y=np.arange(2.0))
    found = refused({"npz": "t.npz"})
    assert found.startswith("t.npz: array 'a': row 1: ")
    assert told is None or found == f"t.npz: array 'a': {told}"


def test_a_member_that_stands_twice(folder: Path) -> None:
    with zipfile.ZipFile("t.npz", "w") as archive:
        for name in ("a.npy", "y.npy", "b.npy", "a"):
            file = io.BytesIO()
            np.save(file, np.arange(3.0))
            archive.writestr(name, file.getvalue())
    assert refused({"npz": "t.npz"}) == (
        "t.npz: the array 'a' stands 2 times (save each array once, under its own name)"
    )


# Files that change, or are too large -------------------------------------------------------------


def test_a_file_that_is_changed_in_place_and_dated_back(folder: Path) -> None:
    """As `rsync --inplace --times` does: its inode still tells."""
    path = Path("t.csv")
    path.write_text("a,y\n" + "".join(f"{i},{i + 1}\n" for i in range(999)))
    before = os.stat(path)

    def change(what: str, rows: int) -> None:
        if what == "read":
            with path.open("r+b") as file:
                file.seek(10)
                file.write(b"7")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    spec = make_spec({"csv": "t.csv"}, "squared", target="y", scale="standard", stream=True)
    with pytest.raises(DataError, match="changed while it was read"):
        load_dataset(spec, change)


def test_a_file_that_memory_cannot_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "machine_memory", lambda: 1000)
    monkeypatch.setattr(csv, "SMALL", 100)
    Path("t.csv.gz").write_bytes(gzip.compress(b"a,y\n" + b"1,2\n2,3\n" * 100))
    with pytest.raises(DataError) as caught:
        read("t.csv.gz")
    assert tell(caught.value) == (
        "t.csv.gz: not enough memory to hold this file (write `data.stream: true`)"
    )


# JSON lines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_json_lines_mean_what_csv_means(suffix: str, folder: Path) -> None:
    Path("t.csv").write_text(
        "a,town,flag,day,y,code\n1,Köln,true,2024-01-02,3,007\n2.5,Rom,false,2024-01-03,4,10\n"
        "1e3,,true,2024-01-04,5,8\n"
    )
    lines = [
        {"a": 1, "town": " Köln", "flag": True, "day": "2024-01-02", "y": 3, "code": "007"},
        {"town": "Rom", "a": 2.5, "flag": False, "day": "2024-01-03", "y": 4, "code": "10"},
        {"a": 1e3, "town": None, "flag": True, "day": "2024-01-04", "y": 5, "code": 8, "x": None},
    ]
    text = "\ufeff" + "\n\n".join(json.dumps(line) for line in lines)
    data = text.encode()
    Path(f"t{suffix}").write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    how = {"missing": "most_frequent", "features": ["a", "town", "flag", "day", "code"]}
    table = both({"jsonl": f"t{suffix}"}, **how)
    assert table.sha256 == both({"csv": "t.csv"}, **how).sha256
    assert [column.kind for column in table.columns] == [
        "numeric", "categorical", "boolean", "date", "numeric",
    ]  # fmt: skip
    (rows,) = read_rows(Path(f"t{suffix}"), table.columns)
    assert rows.x.tobytes() == table.x.tobytes()


def test_missing_cells_of_json_lines(folder: Path) -> None:
    lines = ['{"a": NaN, "y": 1}', '{"y": 2}', '{"a": null, "y": 3}', '{"a": 4, "y": 4}']
    Path("t.jsonl").write_text("\n".join(lines))
    assert np.isnan(both({"jsonl": "t.jsonl"}, missing="mean").x[:, 0]).tolist() == [True] * 3 + [
        False
    ]
    with pytest.raises(DataError, match=r"jsonl:1: column 'a': expected a number, found 3 empty"):
        read({"jsonl": "t.jsonl"})


LEAVE = "(leave the column out, or write a column for each of its values)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": [1], "y": 1}\n',
         f"t.jsonl:1: column 'a': expected a number or a text, found a list {LEAVE}"),
        ('{"a": 1, "y": 1}\n\n{"a": {"b": 1}, "y": 1}\n',
         f"t.jsonl:3: column 'a': expected a number or a text, found a mapping {LEAVE}"),
        ('{"a": 1, "y": 1}\n[1, 2]\n',
         't.jsonl:2: expected an object, found a list (write {"name": value, …})'),
        ('{"a": 1, "y": 1}\n{"a": 1, "y"\n', "t.jsonl:2: this is no JSON: Expecting ':' delimiter "
         '(column 13) (write an object on each line, as {"a": 1, "y": 2})'),
        ('{"a": 1, "a ": 2, "y": 1}\n', "t.jsonl:1: the key 'a' stands 2 times"),
        ('{"a": Infinity, "y": 1}\n',
         "t.jsonl:1: column 'a': expected a finite number, found 'Infinity' "
         "(leave the row or column out)"),
        ('{"a": "\\ud800", "y": 1}\n',
         "t.jsonl:1: column 'a': the text holds half of a character, as \\ud800 is"),
        ("[" * 100_000, "t.jsonl:1: this is nested too deeply"),
        ("\n", "t.jsonl: the file has no rows"),
    ],
    ids=range(9),
)  # fmt: skip
def test_faults_of_json_lines(text: str, told: str, folder: Path) -> None:
    Path("t.jsonl").write_text(text)
    assert refused({"jsonl": "t.jsonl"}) == told


@pytest.mark.parametrize(
    ("cells", "x"),
    [
        ([1.234, "1.234,5", -2e3], [1.234, 1234.5, -2000]),
        ([1.5, 2.25, 3], [1.5, 2.25, 3]),
        (["1.234", 5, "6"], [1234, 5, 6]),
    ],
)
def test_numbers_of_json_are_no_texts(cells: list[Any], x: list[float], folder: Path) -> None:
    """How texts write numbers says nothing of those that JSON itself writes."""
    rows = [{"a": cell, "y": 1} for cell in cells]
    Path("t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = both({"jsonl": "t.jsonl"}, columns={"a": {"decimal": ",", "thousands": "."}})
    assert table.x[:, 0].tolist() == x
    (read_again,) = read_rows(Path("t.jsonl"), table.columns)
    assert read_again.x[:, 0].tolist() == x
    Path("t.jsonl").write_text(json.dumps({"a": "z", "y": 1}) + '\n{"a": 1.5, "y": "z"}')
    told = refused({"jsonl": "t.jsonl"}, columns={"a": {"decimal": ",", "type": "numeric"}})
    assert "t.jsonl:1: column 'a'" in told
    assert "t.jsonl:2: column 'a'" not in told


# Rows to predict ---------------------------------------------------------------------------------


def test_rows_of_every_kind(folder: Path) -> None:
    """Files without a suffix that tells anything are known by what they hold."""
    table = pa.table({"b": [1.5, 2.5], "a": [3, 4]})
    writers: dict[str, Callable[[str], Any]] = {
        "csv": lambda path: Path(path).write_text("b,a\n1.5,3\n2.5,4\n"),
        "tsv": lambda path: Path(path).write_text("b\ta\n1.5\t3\n2.5\t4\n"),
        "jsonl": lambda path: Path(path).write_text('{"b": 1.5, "a": 3}\n{"b": 2.5, "a": 4}\n'),
        "xlsx": lambda path: table.to_pandas().to_excel(path, index=False),
        "parquet": lambda path: pq.write_table(table, path),
        "arrow": lambda path: feather.write_feather(table, path),
        "npz": lambda path: np.savez(path, a=[3, 4], b=[1.5, 2.5]),
    }
    sources = [CsvSource(csv="a.csv", delimiter=";"), ParquetSource(parquet="data")]
    for suffix, write in writers.items():
        path = Path(f"t.{suffix}")
        write(str(path))
        if suffix != "tsv":  # text, of which only the name tells that it has tabs
            path = path.rename(f"{suffix}-0")
        for source in sources[suffix == "csv" :]:
            (rows,) = read_rows(path, [Column("a"), Column("b")], source=source)
            assert rows.x.tolist() == [[3, 1.5], [4, 2.5]], (suffix, source)


@pytest.mark.parametrize(
    ("source", "name", "data"),
    [
        (JsonlSource(jsonl="day-*.txt"), "new.txt", b'{"a": 1}\n{"a": 2}\n'),
        (JsonlSource(jsonl="a.json.gz"), "b.json.gz", gzip.compress(b'{"a": 1}\n{"a": 2}\n')),
        (CsvSource(csv="a.arrow"), "b.arrow", b"a,b\n1,2\n2,3\n"),
        (CsvSource(csv="a.txt", delimiter=";", decimal=",", encoding="utf-16"), "b",
         "b;a\n1;1,0\n2;2,0\n".encode("utf-16")),
        (CsvSource(csv="a.txt", header=False, names=("y", "a"), skip_lines=1), "b",
         b"title\n1\n2\n"),
    ],
    ids=range(5),
)  # fmt: skip
def test_rows_are_written_as_those_of_the_source(
    source: FileSource, name: str, data: bytes, folder: Path
) -> None:
    Path(name).write_bytes(data)
    decimal = getattr(source, "decimal", ".")
    column = Column("a", notation=Notation(decimal=decimal))
    (rows,) = read_rows(Path(name), [column], source=source, absent=("y",))
    assert rows.x.tolist() == [[1.0], [2.0]]
