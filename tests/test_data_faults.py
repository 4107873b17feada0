"""Data that cannot be used, and exactly what a user is told. A fault that is found is a row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
import yaml

from trainer import DataError, SpecError
from trainer.data import Dataset, load_dataset
from trainer.data.reading import bundled, csv
from trainer.spec import load_spec
from trainer.spec.sources import CsvSource

CODE = "(write `encoding: cp1252` in the source, or what else it was saved in)"
CUT = "(the file ends within a character: is it whole?)"
BINARY = "a NUL byte stands here: the file is binary (save the table as CSV)"
OUT = "(leave the row or column out)"
STANDS = "which stands for an empty cell"
CLASSES = "(use `loss: logistic` if the column names classes)"
RESCALE = "(use `dtype: float64` or rescale the data)"
UNCLOSED = "a quotation mark opens in this row and is never closed"
AFTER = "a quoted cell in this row goes on after its closing quotation mark"
TWICE = "(write a quotation mark inside a quoted cell twice)"
LONG = "x" * 5_000_000


def fill(name: str, how: str = "median") -> str:
    """What is advised of missing cells."""
    own = f"`data.columns: {{{name}: {{missing: {how}}}}}`"
    return f"(write `data.missing: {how}` or {own}, or leave the column out)"


def declare(name: str) -> str:
    """What is advised of a text among numbers."""
    return f"(correct it, or write `data.columns: {{{name}: {{type: categorical}}}}`)"


def marker(text: str, name: str = "a") -> str:
    """What is advised of a text that may stand for nothing."""
    every = '"", NA, N/A, NaN, nan, "null", "NULL"'
    return (
        f"(if it stands for nothing, write `source: {{csv: …, missing_values: [{every}, {text}]}}`"
        f", or `data.columns: {{{name}: {{type: categorical}}}}`)"
    )


def signs(said: str, source: bool = True, more: str = "") -> str:
    """What is advised of numbers that are written with other signs."""
    column = f"`data.columns: {{a: {{{said}}}}}`"
    whole = f"`source: {{csv: …, {said}}}`, or of this column alone " if source else ""
    return f"(write {whole}{column}{more})"


@dataclass(frozen=True)
class Row:
    """A file t.csv, or another source; changes of the spec; and what is said of them.

    The spec is trained with `loss`, by default squared, and one output. `told` has a line for
    each problem, as `tell` writes it.
    """

    name: str
    csv: str | bytes | None
    told: str
    loss: str = "squared"
    units: int = 1
    data: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    error: type[DataError | SpecError] = DataError


def tell(error: DataError | SpecError) -> str:
    """The problems, one a line: `place: path: message (hint)`; the spec's lines are left out."""
    lines = []
    for problem in error.problems:
        in_spec = problem.file == "spec.yaml"
        place = "" if in_spec else f"{problem.file}:{problem.line or ''}".rstrip(":")
        hint = f" ({problem.hint})" if problem.hint else ""
        parts = (place, problem.path, problem.message)
        lines.append(": ".join(part for part in parts if part) + hint)
    return "\n".join(lines)


def load(row: Row, write_spec: Callable[..., Path]) -> Dataset:
    """The data set of the row's spec, which is written to the current folder."""
    data = {"source": {"csv": "t.csv"}, "target": "y"} | row.data
    if not isinstance(data["source"], dict) or "csv" not in data["source"]:
        data = row.data
    if row.csv is not None:
        Path("t.csv").write_bytes(row.csv if isinstance(row.csv, bytes) else row.csv.encode())
    changes = {
        "data": data,
        "model.dtype": "float32",
        "model.layers": [{"units": row.units}],
        "model.loss": row.loss,
        "sgd.batch_size": "full",
    }
    return load_dataset(load_spec(write_spec(changes | row.more).name))


def inline(y: str, x: str = "[[1], [2], [3]]") -> dict[str, Any]:
    return {"source": {"inline": {"x": yaml.safe_load(x), "y": yaml.safe_load(y)}}}


FILES = [
    Row("empty", "", "t.csv: the file is empty"),
    Row("blank", " \n\r\n\t", "t.csv: the file is empty"),
    Row("only a byte order mark", b"\xef\xbb\xbf", "t.csv: the file is empty"),
    Row("header only", "a,y\n", "t.csv:1: the file has a header and no rows"),
    Row("header only, no line end", "a,y", "t.csv:1: the file has a header and no rows"),
    Row("header and blank lines", "a,y\n\n\n", "t.csv:1: the file has a header and no rows"),
    Row("blank line first", "\na,y\n1,2\n",
        "t.csv:1: expected the names of the columns, found an empty line"),
    Row("latin-1 in the header", "é,y\n1,2\n".encode("latin-1"),
        f"t.csv:1: the byte 0xe9 is not UTF-8 {CODE}"),
    Row("latin-1 in a label", "a,y\r\n1,b\r\n2,é\r\n".encode("latin-1"),
        f"t.csv:3: the byte 0xe9 is not UTF-8 {CODE}", "logistic"),
    Row("latin-1 in a column not used", "a,n,y\r1,b,1\r2,é,1\r".encode("latin-1"),
        f"t.csv:3: the byte 0xe9 is not UTF-8 {CODE}", data={"features": ["a"]}),
    Row("cut in a character", "a,y\n1,é".encode()[:-1],
        f"t.csv:2: the byte 0xc3 is not UTF-8 {CUT}", "logistic"),
    Row("utf-16", "a,y\n1,2\n".encode("utf-16"),
        "t.csv: this file is UTF-16 (write `encoding: utf-16` in the source)"),
    Row("utf-16 without a mark", "a,y\n1,2\n".encode("utf-16-le"),
        "t.csv:1: a NUL byte stands here: the file is UTF-16 without a mark that says so "
        "(write `encoding: utf-16-le` in the source)"),
    Row("NUL", "a,y\n1,\0\n",
        f"t.csv:2: {BINARY}"),
    Row("NUL far down, as a label", "a,y\n" + "1,2\n2,3\n" * 5000 + "1,\0\n",
        f"t.csv:10002: {BINARY}", "logistic"),
]  # fmt: skip

HEADERS = [
    Row("repeated column", "a,y,a,a\n1,2,3,4\n",
        "t.csv:1: the column 'a' stands 3 times in the header (give each column its own name)"),
    Row("no name", ",a,y\n0,1,2\n",
        "t.csv:1: column 1 has no name (name it, or choose columns with `data.features`)"),
    Row("unclosed quote in the header", 'a,"y\n1,2\n', f"t.csv:1: {UNCLOSED}"),
    Row("quote amid a name", '"a"b,y\n1,2\n', f"t.csv:1: {AFTER} {TWICE}"),
    Row("missing target", "size,price\n1,2\n",
        "data.target: the data has no column 'prise' (did you mean 'price'?)",
        data={"target": "prise"}, error=SpecError),
    Row("missing target, none is near", "a,z\n1,2\n",
        "data.target: the data has no column 'y' (the columns are a, z)", error=SpecError),
    Row("many columns and a long one", ",".join([LONG, *"abcdefghijklmn"]) + "\n",
        "data.target: the data has no column 'y' "
        f"(the columns are {'x' * 37}..., a, b, c, d, e, f, g, h, i, j, k, …)", error=SpecError),
    Row("missing features", "size,age,y\n1,2,3\n",
        "data.features[1]: the data has no column 'sise' (did you mean 'size'?)\n"
        "data.features[2]: the data has no column 'weight' (the columns are size, age, y)",
        data={"features": ["age", "sise", "weight"]}, error=SpecError),
    Row("target and feature missing", "a,b\n1,2\n",
        "data.target: the data has no column 'y' (the columns are a, b)\n"
        "data.features[0]: the data has no column 'c' (the columns are a, b)",
        data={"features": ["c"]}, error=SpecError),
    Row("a target alone", "y\n1\n",
        "data.target: the data has no column beside the target (add one to predict it from)",
        error=SpecError),
]  # fmt: skip

ROWS = [
    Row("short row", "a,b,y\n1,2,3\n\n1,2\n",
        "t.csv:4: expected 3 cells as in the header, found 2"),
    Row("long row", "a,b,y\n1,2,3\n1,2,3,4\n",
        "t.csv:3: expected 3 cells as in the header, found 4"),
    Row("spaces alone", "a,y\n1,2\n   \n", "t.csv:3: expected 2 cells as in the header, found 1"),
    Row("rows end in a comma", "a,y\n1,2,\n",
        "t.csv:2: the header has 2 cells, the first row 3: rows end in a delimiter, the header "
        "does not (let the header end in one too, and choose columns with `data.features`)"),
    Row("unclosed quote", 'a,n,y\n1,b,2\n3,"c,4\n5,d,6\n', f"t.csv:3: {UNCLOSED}",
        data={"features": ["a"]}),
    Row("unclosed quote in the last column", 'a,y\n1,b\n2,"c\n3,b\n4,c\n', f"t.csv:3: {UNCLOSED}",
        "logistic"),
    Row("quotes that swallow a row", 'a,n,y\n1,"c,4\n2,"b,3\n5,d,6\n', f"t.csv:2: {AFTER} {TWICE}",
        data={"features": ["a"]}),
    Row("quote amid a cell", 'a,y\n1,b\n2,"c"d\n', f"t.csv:3: {AFTER} {TWICE}", "logistic"),
    Row("fault after a quoted line end", 'a,n,y\n1,"b\r\nc\nd",2\n3,e,x\n',
        f"t.csv:5: column 'y': expected a number, found the text 'x' {CLASSES}",
        data={"features": ["a"]}),
    Row("fault in a file of carriage returns", "a,y\r1,2\r2,x\r",
        f"t.csv:3: column 'y': expected a number, found the text 'x' {CLASSES}"),
    Row("fault after other separators", "a,n,y\n1,b\x0b\x0c\x1c\x85\u2028c,2\n3,e,x\n",
        f"t.csv:3: column 'y': expected a number, found the text 'x' {CLASSES}",
        data={"features": ["a"]}),
    Row("all faults of a file", "a,b,y\n1,,3\nfoo,nan,inf\n1,2\n1,2,3\n",
        "t.csv:2: column 'b': expected a number, found 2 empty cells, of which this is the first "
        f"{fill('b')}\n"
        f"t.csv:3: column 'a': expected a number, found the text 'foo' {declare('a')}\n"
        f"t.csv:3: column 'y': expected a finite number, found 'inf' {OUT}\n"
        "t.csv:4: expected 3 cells as in the header, found 2"),
    Row("a row with more than five faults", "a,b,c,d,e,f,y\nx,x,x,x,x,x,1\n1,2,3,4,5,6,7\n",
        "\n".join(f"t.csv:2: column '{name}': expected a number, found the text 'x' "
                  f"{declare(name)}" for name in "abcdef")),
    Row("the same mistake in many rows", "a,y\n" + "1,1\n" * 300 + "x,1\n" * 298 + "1,z\n",
        "t.csv:302: column 'a': expected a number, found the text 'x', and 297 more like it, in "
        f"lines 303, 304, 305, … {declare('a')}\n"
        f"t.csv:600: column 'y': expected a number, found the text 'z' {CLASSES}"),
    Row("several sorts of mistakes in a column", "a,y\n1,1\n2,1\n-,1\ninf,1\nx,1\n-,1\n3,1\nz,1\n",
        "t.csv:4: column 'a': expected a number, found '-' (2 times); the others in line 7 "
        + marker('"-"') + "\n"
        f"t.csv:5: column 'a': expected a finite number, found 'inf' {OUT}\n"
        "t.csv:6: column 'a': expected a number, found the text 'x', and 1 more like it, in line 9 "
        f"{declare('a')}"),
    Row("many short rows", "a,b,y\n1,2,3\n" + "1,2\n" * 20_000,
        "t.csv:3: expected 3 cells as in the header, found 2, and 19999 more like it, in lines 4, "
        "5, 6, …"),
    Row("rows of many lengths", "a,b,y\n1,2,3\n1,2\n1,2,3,4\n5\n1,2,3\n1,2,3,4,5\n",
        "t.csv:3: expected 3 cells as in the header, found 2, and 3 more like it, in lines 4, 5 "
        "and 7"),
    Row("two columns with missing cells", "a,b,c,y\n,p,3,1\n1,,,2\n2,,4,3\n3,q,5,3\n",
        f"t.csv:2: column 'a': expected a number, found an empty cell {fill('a')}\n"
        "t.csv:3: column 'b': expected a category, found 2 empty cells, of which this is the first "
        f"{fill('b', 'most_frequent')}\n"
        f"t.csv:3: column 'c': expected a number, found an empty cell {fill('c')}"),
    Row("a short row among texts", "a,town,y\n1,p,2\n2,q\n",
        "t.csv:3: expected 3 cells as in the header, found 2"),
    Row("a missing target", "a,y\n1,2\n2,NA\n",
        f"t.csv:3: column 'y': expected a number, found 'NA', {STANDS} "
        "(fill it in, or leave the row out: `data.drop_rows: {missing: target}`)",
        data={"missing": "mean"}),
]  # fmt: skip


def cell(text: str, told: str, name: str | None = None) -> Row:
    """A row for a cell of the feature a, in line 3."""
    return Row(name or f"cell {text!r}", f'a,y\n1,2\n"{text}",3\n', f"t.csv:3: column 'a': {told}")


CELLS = [
    cell("", f"expected a number, found an empty cell {fill('a')}", "empty cell"),
    cell(" \t", f"expected a number, found an empty cell {fill('a')}", "blank cell"),
    cell("1\n2", r"expected a number, found the text '1\n2' "
         "(a quotation mark may be missing in this row)"),
    cell(LONG, f"expected a number, found the text '{'x' * 37}...' {declare('a')}", "long text"),
    cell("9" * 5_000_000, f"the number '{'9' * 37}...' is too large for float64", "long number"),
    *(cell(text, f"expected a number, found the text {text!r} {declare('a')}") for text in (
        "foo", "1_0", "0x10", "0b1", "e5", "1e5.0", "--1", "1.2.3", "1d5", "0x1p3", "true",
        "2020-01-01", "nan(1)", "½", "\x1b[31m", "1 2", "12-14", "A1",
    )),
    *(cell(text, f"expected a number, found {text!r} {marker(quoted)}") for text, quoted in (
        (".", '"."'), ("-", '"-"'), ("?", '"?"'), ("#N/A", '"#N/A"'), ("1.#INF", '"1.#INF"'),
        ("n/a", "n/a"), ("None", "None"), ("#DIV/0!", '"#DIV/0!"'), ("not available",) * 2,
    )),
    *(cell(text, f"expected a number, found the text {text!r}, a number but for {odd} {hint}")
      for text, odd, hint in (
        ("1,5", "the decimal comma", signs('decimal: ","')),
        ("1 000", "' ' between thousands", signs('thousands: " "')),
        ("1\u202f000,5", "the decimal comma and ' ' between thousands",
         signs('decimal: ",", thousands: " "')),
        ("1'000", '"\'" between thousands', signs('thousands: "\'"')),
        ("1.234,5", "the decimal comma and '.' between thousands",
         signs('decimal: ",", thousands: "."')),
        ("1,234.5", "',' between thousands", signs('thousands: ","')),
        ("1,234", "the comma", signs(
            'thousands: ","', more='; if the comma is a decimal sign, `decimal: ","`')),
        ("5%", "the unit '%'", signs('unit: "%"', source=False)),
        ("€ 5", "the unit '€'", signs('unit: "€"', source=False)),
        ("5 EUR", "the unit 'EUR'", signs('unit: "EUR"', source=False)),
        ("3.5m²", "the unit 'm²'", signs('unit: "m²"', source=False)),
        ("$1,336.00", "the unit '$' and ',' between thousands",
         signs('unit: "$", thousands: ","', source=False)),
    )),
    *(cell(text, f"expected a number, found the text {text!r}, a number but for the unit {unit!r} "
           + signs(f'unit: "{unit}"', source=False,
                   more=", or `data.columns: {a: {type: categorical}}`"))
      for text, unit in (("12 kg", "kg"), ("1e", "e"), ("1f", "f"))),
    *(cell(text, f"expected a number, found the text {text!r}, a number but for {odd} "
           "(write it plainly, as -1234.5, or `data.columns: {a: {type: categorical}}`)")
      for text, odd in (
        ("1.2k", "the suffix 'k' of thousands or millions"),
        ("−1", "a minus other than '-'"), ("–1", "a minus other than '-'"),
        ("(1)", "parentheses for negative numbers"), ("1-", "a minus behind the digits"),
        ("١٢", "digits that are not 0 to 9"), ("１２", "digits that are not 0 to 9"),
        ("+ 5", "other blanks"), ("\u00a07", "other blanks"), ("7\x0b", "other blanks"),
    )),
    *(cell(text, f"expected a number, found the text {text!r}, a time of day or duration "
           "(write a number, of minutes for example, or `data.columns: {a: {type: categorical}}`)")
      for text in ("14:30", "2:30 PM", "7pm", "1h 30m", "PT1H30M", "01:02:03.5")),
    *(cell(text, f"the number {text!r} is too large for float64") for text in (
        "1e400", "-1e400", "1e999999999999",
    )),
    *(cell(text, f"expected a finite number, found {text!r} {OUT}") for text in (
        "-nan", "inf", "Inf", "-inf", "+Infinity",
    )),
    *(cell(text, f"expected a number, found {text!r}, {STANDS} {fill('a')}") for text in (
        "nan", "NaN", " nan ", "NA", "null",
    )),
]  # fmt: skip

LABELS = [
    Row("one row", "a,y\n1,2\n",
        "data.target: all rows have the same class, 2 (a classifier needs at least two classes)",
        "logistic"),
    Row("one class", "a,y\n1,yes\n2,yes\n",
        "data.target: all rows have the same class, 'yes' "
        "(a classifier needs at least two classes)", "logistic"),
    Row("one class, written in two ways", "a,y\n1,1\n2,1.0\n",
        "data.target: all rows have the same class, 1 (a classifier needs at least two classes)",
        "logistic"),
    Row("one long class", f"a,y\n1,{LONG}\n",
        f"data.target: all rows have the same class, '{'x' * 37}...' "
        "(a classifier needs at least two classes)", "logistic"),
    Row("real numbers", "a,y\n1,2\n2,.5\n3,-1e-3\n",
        "data.target: the loss 'logistic' needs classes, but the target holds numbers such as "
        "-0.001 (use `loss: squared`)", "logistic"),
    Row("empty label", "a,y\n1,b\n2,\n3,c\n",
        "t.csv:3: column 'y': expected a class label, found an empty cell "
        "(fill it in, or leave the row out: `data.drop_rows: {missing: target}`)", "logistic"),
    Row("blank label", 'a,y\n1,b\n2," "\n',
        "t.csv:3: column 'y': expected a class label, found an empty cell "
        "(fill it in, or leave the row out: `data.drop_rows: {missing: target}`)", "logistic"),
    Row("NaN label", "a,y\n1,0\n2,NaN\n3,1\n",
        f"t.csv:3: column 'y': expected a class label, found 'NaN', {STANDS} "
        "(fill it in, or leave the row out: `data.drop_rows: {missing: target}`)", "logistic"),
    Row("labels 1..3, one output", "a,y\n1,1\n2,2\n3,3\n",
        "model.layers[0].units: 'y' has 3 classes (1, 2, 3), found 1 unit (write units: 3)",
        "logistic", error=SpecError),
    Row("two classes, three outputs", "a,y\n1,b\n2,c\n",
        "model.layers[0].units: 'y' has 2 classes (b, c), found 3 units (write units: 1)",
        "logistic", 3, error=SpecError),
    Row("many classes, a long one", "a,y\n" + "".join(f"1,{t}\n" for t in ["a" + LONG, *"bcdef"]),
        f"model.layers[0].units: 'y' has 6 classes (a{'x' * 36}..., b, c, d, …), found 2 units "
        "(write units: 6)", "logistic", 2, error=SpecError),
    Row("one column, three outputs", "a,y\n1,1\n2,2\n",
        "model.layers[0].units: the target 'y' has 1 column, found 3 units "
        "(write units: 1; or `loss: logistic` if the target names classes)", units=3,
        error=SpecError),
]  # fmt: skip

INLINE = [
    Row("two columns, one output", None,
        "model.layers[0].units: the target 'y' has 2 columns, found 1 unit (write units: 2)",
        data=inline("[[1, 2], [3, 4], [5, 6]]"), error=SpecError),
    Row("lists as classes", None,
        "data.source.inline.y[0]: expected a class label for the loss 'logistic', found a list "
        "(write one label a row)", "logistic", data=inline("[[1], [2], [1]]"), error=SpecError),
    Row("inline real numbers", None,
        "data.target: the loss 'logistic' needs classes, but the target holds numbers such as 1.5 "
        "(use `loss: squared`)", "logistic", data=inline("[1, 1.5, 2]")),
    Row("inline empty label", None,
        "data.source.inline.y[1]: expected a class label, found the text ''", "logistic",
        data=inline("[a, '', b]"), error=SpecError),
    Row("texts as numbers", None,
        "data.source.inline.y[0]: expected a number for the loss 'squared', found the text '1_0' "
        "(use `loss: logistic` if the targets name classes)", data=inline("['1_0', '2', '3']"),
        error=SpecError),
    Row("truth values as numbers", None,
        "data.source.inline.y[0]: expected a number for the loss 'squared', found true "
        "(use `loss: logistic` if the targets name classes)", data=inline("[true, false, true]"),
        error=SpecError),
    Row("NaN target", None,
        "data.source.inline.y[1]: expected a finite number, found the number nan",
        data=inline("[1, .nan, 3]"), error=SpecError),
    Row("infinity in a list", None,
        "data.source.inline.y[2][1]: expected a finite number, found the number -inf", units=2,
        data=inline("[[1, 2], [3, 4], [5, -.inf]]"), error=SpecError),
    Row("another target", None,
        "data.target: the target of inline data is 'y', found 'x1' (leave `target` out)",
        data=inline("[1, 2, 3]", "[[1, 2], [3, 4], [5, 6]]") | {"target": "x1"}, error=SpecError),
    Row("inline feature", None,
        "data.features[0]: the data has no column 'x2' (the columns are x1, y)",
        data=inline("[1, 2, 3]") | {"features": ["x2"]}, error=SpecError),
    Row("inline one class", None,
        "data.target: all rows have the same class, True "
        "(a classifier needs at least two classes)", "logistic", data=inline("[true, true, true]")),
]  # fmt: skip

OTHERS = [
    Row("bundled target", None,
        "data.target: the data has no column 'petal width' (did you mean 'petal width (cm)'?)",
        data={"source": "iris", "target": "petal width"}, error=SpecError),
    Row("bundled real numbers", None,
        "data.target: the loss 'logistic' needs classes, but the target holds numbers such as 0.2 "
        "(use `loss: squared`)", "logistic", data={"source": "iris", "target": "petal width (cm)"}),
    Row("bundled classes", None,
        "model.layers[0].units: 'target' has 3 classes (setosa, versicolor, virginica), "
        "found 2 units (write units: 3)", "logistic", 2, data={"source": "iris"},
        error=SpecError),
    Row("bundled constant target", None,
        "data.target: all rows have the same class, 0 (a classifier needs at least two classes)",
        "logistic", data={"source": "digits", "target": "pixel_0_0"}),
    Row("synthetic real numbers", None,
        "data.target: the loss 'logistic' needs classes, but the target holds numbers such as "
        "-0.6936907142366213 (use `loss: squared`)", "logistic",
        data={"source": {"synthetic": "linear"}}),
    Row("synthetic one row", None,
        "data.target: all rows have the same class, 0 (a classifier needs at least two classes)",
        "logistic", data={"source": {"synthetic": "xor", "rows": 1}}),
    Row("too much noise", None,
        "data.source.noise: noise of 1e+308 gives numbers too large for float64 (write less noise)",
        data={"source": {"synthetic": "linear", "noise": 1e308}}, error=SpecError),
]  # fmt: skip


def xor(rows: int, **split: float) -> dict[str, Any]:
    return {"source": {"synthetic": "xor", "rows": rows}, "split": split}


FITS = [
    Row("no validation rows", None,
        "data.split.validation: 0.01 of 7 rows leaves none for validation "
        "(use more data or a larger fraction)", data=xor(7, validation=0.01)),
    Row("no test row", None,
        "data.split.test: 0.4 of 1 row leaves none for test "
        "(use more data or a larger fraction)", data=xor(1, test=0.4)),
    Row("no training rows", None, "data.split: the split leaves none of 7 rows for training",
        data=xor(7, validation=0.5, test=0.49)),
    Row("a class without training rows", "a,y\n1,b\n2,b\n3,b\n4,b\n5,b\n6,c\n",
        "data.target: no row of class 'c' is left for training "
        "(use more rows of it, or a smaller split)", "logistic",
        data={"split": {"test": 0.45, "validation": 0.45}}),
    Row("batch larger than the training rows", None,
        "sgd.batch_size: a batch of 9 rows is larger than the 8 training rows "
        "(write batch_size: full, or at most 8)", "logistic", data=xor(12, test=0.3),
        more={"sgd.batch_size": 9}, error=SpecError),
    Row("units and batch", None,
        "model.layers[0].units: 'y' has 2 classes (0, 1), found 4 units (write units: 1)\n"
        "sgd.batch_size: a batch of 64 rows is larger than the 4 training rows "
        "(write batch_size: full, or at most 4)", "logistic", 4, data=xor(4),
        more={"sgd.batch_size": 64}, error=SpecError),
    Row("feature too large for float32", "a,b,y\n1,2,3\n4,-1e39,6\n",
        f"model.dtype: 'b' holds a number too large for float32 (row 1, counted from 0) {RESCALE}"),
    Row("target too large for float32", "a,b,y\n1,2,1e39\n4,5,6\n",
        f"model.dtype: 'y' holds a number too large for float32 (row 0, counted from 0) {RESCALE}"),
    Row("deviation too large", "a,y\n1e200,1\n-1e200,2\n",
        "data.standardize: the deviation of the feature 'a' is outside the range of float64 "
        "(rescale the column)", data={"standardize": True}),
    Row("deviation too small", "b,a,y\n1,1e-320,1\n2,0,2\n",
        "data.standardize: the deviation of the feature 'a' is outside the range of float64 "
        "(rescale the column)", data={"standardize": True}),
]  # fmt: skip

ALL = [*FILES, *HEADERS, *ROWS, *CELLS, *LABELS, *INLINE, *OTHERS, *FITS]


@pytest.mark.parametrize("row", ALL, ids=[row.name for row in ALL])
def test_one_exact_message(row: Row, write_spec: Callable[..., Path]) -> None:
    with pytest.raises(row.error) as caught:
        load(row, write_spec)
    assert tell(caught.value) == row.told
    assert caught.value.exit_code == {DataError: 3, SpecError: 2}[row.error]


# The file itself -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("tabel.csv", "there is no file 'tabel.csv' (did you mean 'table.csv'?)"),
        ("zzz", "there is no file 'zzz' (the path is relative to the spec file)"),
        ("no/t.csv", "there is no file 'no/t.csv' (there is no directory 'no')"),
        (
            "folder.csv",
            "the folder 'folder.csv' holds no CSV files (their names end in .csv, .tsv, .txt)",
        ),
        (
            "pipe.csv",
            "'pipe.csv' is a named pipe, which is not read (write what comes out of it to a file)",
        ),
        ("table.csv/t", "'table.csv/t' cannot be read: Not a directory"),
        ("a" * 300, f"'{'a' * 300}' cannot be read: File name too long"),
    ],
)
def test_a_path_that_is_no_file(path: str, told: str, write_spec: Callable[..., Path]) -> None:
    Path("table.csv").write_text("a,y\n1,2\n")
    Path("folder.csv").mkdir()
    os.mkfifo("pipe.csv")
    with pytest.raises(DataError) as caught:
        load(Row("", None, "", data={"source": {"csv": path}}), write_spec)
    assert tell(caught.value) == f"data.source.csv: {told}"


def test_scikit_learn_without_its_data(
    write_spec: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "_folder", lambda: Path("nowhere"))
    bundled._contents.cache_clear()
    with pytest.raises(DataError) as caught:
        load(Row("", None, "", "logistic", 3, data={"source": "iris"}), write_spec)
    assert tell(caught.value) == (
        "data.source: the installed scikit-learn does not hold the data set 'iris' "
        "([Errno 2] No such file or directory: 'nowhere/iris.csv') "
        "(install the pinned versions: pip install -r requirements.lock)"
    )


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_file_is_read_once(
    loss: str, write_spec: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes after it was read: the values and their hash are the old ones."""
    before = Row("", "a,y\n1,2\n3,4\n", "", loss)
    after = Row("", "a,y\n5,6\n7,8\n", "", loss)
    changed, expected = load(after, write_spec), load(before, write_spec)
    reads = []
    text_of = csv.text_of

    @contextmanager
    def read_and_change(path: Path, form: CsvSource) -> Iterator[IO[bytes]]:
        with text_of(path, form) as text:
            yield text
        reads.append(path)
        path.write_text("a,y\n5,6\n7,8\n")

    monkeypatch.setattr(csv, "text_of", read_and_change)
    dataset = load(before, write_spec)
    assert len(reads) == 1
    assert dataset.sha256 == expected.sha256 != changed.sha256
    assert dataset.train.x.tolist() == [[1], [3]]


@pytest.mark.parametrize("size", range(1, 7))
def test_a_byte_that_is_not_utf8_is_found_where_it_stands(
    size: int, write_spec: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv, "BLOCKS", (size, 2**20))
    with pytest.raises(DataError) as caught:
        load(Row("", "a,y\n1,é€😀\n2,€".encode() + b"\xe9\n", "", "logistic"), write_spec)
    assert tell(caught.value) == f"t.csv:3: the byte 0xe9 is not UTF-8 {CODE}"


def test_a_row_that_is_too_long(
    write_spec: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv, "BLOCKS", (2**20,))
    row = Row("", f"a,n,y\n1,{LONG},2\n", "", data={"features": ["a"]})
    with pytest.raises(DataError) as caught:
        load(row, write_spec)
    long = "t.csv:2: the line is longer than 1 MB (is this a table, with a line for each row?)"
    assert tell(caught.value) == long


# How it is told --------------------------------------------------------------------------------


def test_a_fault_in_the_spec_is_shown_where_it_stands(write_spec: Callable[..., Path]) -> None:
    row = Row("", "size,price\n1,2\n", "", data={"target": "prise"})
    with pytest.raises(SpecError) as caught:
        load(row, write_spec)
    line = Path("spec.yaml").read_text().splitlines().index("  target: prise") + 1
    assert str(caught.value) == (
        f"spec.yaml:{line}:11: data.target: the data has no column 'prise' [TR-D023]\n"
        f"{line:>5} |   target: prise\n"
        "      |           ^^^^^\n"
        "      hint: did you mean 'price'?"
    )


def test_the_json_of_faults_in_the_data(write_spec: Callable[..., Path]) -> None:
    with pytest.raises(DataError) as caught:
        load(Row("", "a,y\n1,x\n2\n", ""), write_spec)
    place = {"file": "t.csv", "column": None}
    assert caught.value.as_json() == {
        "error": "data",
        "exit_code": 3,
        "code": "TR-D018",
        "message": caught.value.message,
        "errors": [
            place | {
                "line": 2,
                "path": "column 'y'",
                "message": "expected a number, found the text 'x'",
                "code": "TR-D018",
                "hint": "use `loss: logistic` if the column names classes",
            },
            place | {
                "line": 3,
                "path": "",
                "message": "expected 2 cells as in the header, found 1",
                "code": "TR-D010",
                "hint": None,
            },
        ],
    }  # fmt: skip


# What loads, though it looks odd ---------------------------------------------------------------

NO_SPLIT = "no split: every row trains, and nothing measures how the model generalises"
ODD = {
    "byte order mark": b"\xef\xbb\xbfa,y\n1,2\n3,4\n",
    "mark before a quote": b'\xef\xbb\xbf"a","y"\n1,2\n3,4\n',
    "CRLF": "a,y\r\n1,2\r\n3,4\r\n",
    "CR": "a,y\r1,2\r3,4\r",
    "line ends of all kinds": "a,y\n1,2\r3,4\r\n",
    "no line end at the end": "a,y\n1,2\n3,4",
    "blank lines": "a,y\n\n1,2\n\r\n3,4\n\n\n",
    "quoted numbers": '"a","y"\n"1",2\n3,"4"\n',
    "spaces and tabs": "a,y\n 1,\t2\n3 , 4\t\n",
    "other ways to write numbers": "a,y\n1.,+2\n0.3e1,004\n",
    "quoted line ends": 'a,"b\r\nb",y\n1,"c\nd",2\n3,"e ""f"", g\r",4\n',
    "a quotation mark amid a cell": 'a,b,y\n1,5" pipe,2\n3,"6"" pipe",4\n',
    "a long cell": f"a,b,y\n1,{LONG},2\n3,4,4\n",
    "a long name": f"a,{LONG},y\n1,5,2\n3,4,4\n",
    "a column without a name": ",a,y,\n0,1,2,\n1,3,4,\n",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
def test_odd_files_load(text: str | bytes, write_spec: Callable[..., Path]) -> None:
    dataset = load(Row("", text, "", data={"features": ["a"]}), write_spec)
    assert dataset.train.x.tolist() == [[1], [3]]
    assert dataset.train.y.tolist() == [[2], [4]]
    assert dataset.notes == (NO_SPLIT,)


def test_many_small_blocks_give_the_same_table(
    write_spec: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f'{i},"a\nb",c{i % 3}\n' for i in range(50))
    row = Row("", "x,n,y\n" + rows, "", "logistic", 3, data={"features": ["x"]})
    whole = load(row, write_spec)
    monkeypatch.setattr(csv, "BLOCKS", (20,))
    assert load(row, write_spec).sha256 == whole.sha256


def test_one_row_of_numbers_trains(write_spec: Callable[..., Path]) -> None:
    assert len(load(Row("", "a,y\n1,2\n", ""), write_spec).train) == 1


def test_a_constant_column_becomes_0_with_a_note(write_spec: Callable[..., Path]) -> None:
    row = Row("", "a,b,c,y\n1,0.1,7,1\n2,0.1,7,2\n3,0.1,7,3\n", "", data={"standardize": True})
    dataset = load(row, write_spec)
    assert dataset.train.x[:, 1:].tolist() == [[0, 0]] * 3
    assert dataset.notes[1] == "2 features are constant in the training rows and become 0: b, c"
    only = load(Row("", "a,y\n.1,1\n.1,2\n", "", data={"standardize": True}), write_spec)
    assert only.notes[1] == "1 feature is constant in the training rows and becomes 0: a"


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["3", "1", "10", "2"], (1, 2, 3, 10)),
        (["2.0", "1", "2", "1e1"], (1, 2, 10)),
        (["-0", "0", "-1", "1"], (-1, 0, 1)),
        (["b", "a", "é", "B"], ("B", "a", "b", "é")),
        (["true", "false", "true"], ("false", "true")),
        ([" b", "b ", "a"], ("a", "b")),
        (["01", "1", "2"], ("01", "1", "2")),
        (["1", "x", "2"], ("1", "2", "x")),
        (["9" * 20, "9" * 20 + "1"], ("9" * 20, "9" * 20 + "1")),
        (['"a\nb"', '"a,b"'], ("a\nb", "a,b")),
        (["-", "#", "inf"], ("#", "-", "inf")),
    ],
)
def test_labels(
    labels: list[str], classes: tuple[str | int, ...], write_spec: Callable[..., Path]
) -> None:
    text = "a,y\n" + "".join(f"0,{label}\n" for label in labels)
    units = len(classes) if len(classes) > 2 else 2
    dataset = load(Row("", text, "", "logistic", units), write_spec)
    assert dataset.classes == classes
    assert [type(label) for label in dataset.classes] == [type(label) for label in classes]
    for label, encoded in zip(labels, dataset.train.y, strict=True):
        chosen = classes[int(np.argmax(encoded))]
        assert label.strip().strip('"') == chosen or float(label) == chosen
