"""Rows that are left out: all is as if the files had never had them, but for the rows' numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from trainer import Profile, train
from trainer.data import Dataset, load_dataset
from trainer.errors import DataError, Problem, SpecError, TrainerError, UsageError
from trainer.explain.cases import case_of_spec
from trainer.network.model import Model
from trainer.runs.predict import evaluate_file, predict_file
from trainer.spec import Spec, load_spec

SPEC = """\
name: rows
seed: 3
data:
  source: {csv: all.csv}
  target: y
  drop_rows: {missing: [target, features]}
  split: {validation: 0.2, test: 0.1}
  scale: standard
model:
  layers: [{units: 4, activation: tanh}, {units: 1}]
  loss: squared
sgd: {learning_rate: 0.05, batch_size: 16, epochs: 2}
"""

HEAD, FILES = ("a", "b", "c", "y"), ("all", "kept")


def cells(count: int = 120) -> list[list[str]]:
    """Rows of which every tenth has no target, and every fifteenth no b."""
    drawn = random.Random(5)
    rows = []
    for i in range(count):
        a, b, c = drawn.gauss(0, 1), drawn.gauss(5, 2), drawn.choice("xyz")
        y = "" if i % 10 == 0 else f"{2 * a - b:.4f}"
        rows.append([f"{a:.4f}", "NA" if i % 15 == 3 else f"{b:.4f}", c, y])
    rows[20][0] = "oops"  # which is in a row without a target
    rows[30][2] = "nowhere else"
    return rows


def kept(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Those that have all."""
    return [row for row in rows if row[3] and row[1] != "NA"]


def write(path: Path, rows: Sequence[Sequence[str]], head: Sequence[str] = HEAD) -> None:
    path.write_text("".join(",".join(row) + "\n" for row in (head, *rows)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The file all.csv, kept.csv without the rows that miss something, and a spec."""
    write(tmp_path / "all.csv", cells())
    write(tmp_path / "kept.csv", kept(cells()))
    for name in FILES:
        texts = dict.fromkeys(HEAD, pa.string())
        options = pacsv.ConvertOptions(column_types=texts, strings_can_be_null=True)
        table = pacsv.read_csv(tmp_path / f"{name}.csv", convert_options=options)
        pq.write_table(table, tmp_path / f"{name}.parquet")
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


def data_of(folder: Path, *changes: str) -> tuple[Spec, Dataset]:
    spec = load_spec(folder / "spec.yaml", [*changes])
    return spec, load_dataset(spec)


def problems(function: Callable[[], Any], kind: type[TrainerError] = DataError) -> list[Problem]:
    with pytest.raises(kind) as raised:
        function()
    found: list[Problem] = raised.value.problems  # type: ignore[attr-defined]  # of a DataError
    return found


LEFT = "20 of 120 rows are left out: 12 without 'y', 8 without 'b'"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["data.stream=true"],
        ["data.columns={c: {type: categorical}, a: {type: numeric}}"],
        ["data.features=[a, b]"],  # the short way
        ["data.split={folds: 3, fold: 2}"],
        ["data.weights=a", "data.features=[b, c]"],
    ],
    ids=["memory", "disk", "declared", "numbers", "folds", "weights"],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_all_is_as_if_the_file_had_never_had_them(
    suffix: str, changes: list[str], folder: Path
) -> None:
    if changes == ["data.weights=a", "data.features=[b, c]"]:
        for name in ("all.csv", "kept.csv"):
            path = folder / name
            path.write_text(path.read_text().replace("\n-", "\n").replace("oops", "1"))
        suffix = "csv"
    sources = [f"data.source={{{suffix}: {name}.{suffix}}}" for name in FILES]
    pairs = [data_of(folder, source, *changes)[1] for source in sources]
    assert len({each.sha256 for each in pairs}) == 1
    assert pairs[0].preprocessing.as_json() == pairs[1].preprocessing.as_json()
    for name in ("train", "validation", "test"):
        ours, theirs = (getattr(each, name) for each in pairs)
        assert (ours is None) == (theirs is None)
        if ours is not None:
            for key, array in ours.span(0, len(ours)).items():
                assert np.array_equal(array, theirs.span(0, len(theirs))[key])
    assert pairs[0].notes[0] == LEFT
    assert pairs[0].notes[1:] == pairs[1].notes


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ("target", "12 of 120 rows are left out: 12 without 'y'"),
        ("b", "8 of 120 rows are left out: 8 without 'b'"),
        ("[b, y]", "20 of 120 rows are left out: 8 without 'b', 12 without 'y'"),
        ("[b, features]", "8 of 120 rows are left out: 8 without 'b'"),
        ("[a]", None),
    ],
)
def test_columns_are_named_one_by_one(asked: str, left: str | None, folder: Path) -> None:
    rows = cells()
    rows[20][0] = "0"
    for row in rows:  # what is not left out is filled
        row[3] = row[3] or ("" if asked in ("target", "[b, y]") else "1")
    write(folder / "all.csv", rows)
    _, dataset = data_of(folder, f"data.drop_rows={{missing: {asked}}}", "data.missing=median")
    notes = [note for note in dataset.notes if "left out" in note]
    assert notes == ([] if left is None else [left])


def test_several_files_count_together(folder: Path) -> None:
    rows = cells()
    write(folder / "one.csv", rows[:50])
    write(folder / "two.csv", rows[50:110])
    write(folder / "three.csv", rows[110:])
    changes = ["data.source.csv=[one.csv, two.csv]", "data.test=three.csv", "data.split={}"]
    for stream in ("false", "true"):
        _, dataset = data_of(folder, *changes, f"data.stream={stream}")
        assert dataset.notes[0] == LEFT
        assert len(dataset.test or ()) == len(kept(rows[110:]))


# Numbers of rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.parametrize("row", [1, 11, 119])
def test_explain_takes_the_numbers_of_the_file(row: int, stream: str, folder: Path) -> None:
    spec, _ = data_of(folder, f"data.stream={stream}")
    case = case_of_spec(spec, row=row)
    assert f"row {row} of " in case.notes[0]
    b = float(cells()[row][3])
    shift = load_dataset(spec).preprocessing
    assert shift.features == ("a", "b", "c")
    assert case.feeds["y"].item() == pytest.approx(b)


def test_explain_of_a_row_that_is_left_out(folder: Path) -> None:
    spec, _ = data_of(folder)
    assert "row 1 of " in case_of_spec(spec).notes[0]  # row 0 has no target
    with pytest.raises(UsageError, match=r"row 10 is left out.*\n.*the next is row 11"):
        case_of_spec(spec, row=10)
    with pytest.raises(UsageError, match="there is no row 120: the data have 120"):
        case_of_spec(spec, row=120)


@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.parametrize(
    ("column", "value", "changes", "told"),
    [
        (0, "oops", [], "all.csv:13: column 'a': expected a number, found the text 'oops'"),
        (0, "-5", ["data.scale=log1p"], "row 11, counted from 0"),
        (0, "-5", ["data.weights=a"], "row 11, counted from 0"),
        (3, "1e300", [], "row 11, counted from 0"),
    ],
)
def test_faults_have_the_numbers_of_the_file(
    column: int, value: str, changes: list[str], told: str, stream: str, folder: Path
) -> None:
    rows = cells()
    for row in rows:  # no other is at fault
        row[0] = row[0].removeprefix("-") if row[0] != "oops" else "0"
    rows[11][column] = value
    write(folder / "all.csv", rows)
    if stream == "true" and changes == ["data.scale=log1p"]:
        changes = ["data.scale=none", "data.weights=a"]
    found = problems(lambda: data_of(folder, *changes, f"data.stream={stream}"))
    assert told in str(DataError(found))


def test_times_have_the_numbers_of_the_file(folder: Path) -> None:
    rows = [[*row, "" if i == 34 else str(i)] for i, row in enumerate(cells())]
    rows[20][0] = "0"
    write(folder / "all.csv", rows, (*HEAD, "t"))
    changes = ["data.split={time: t, validation: 0.2}"]
    [found] = problems(lambda: data_of(folder, *changes))
    assert found.line == 36
    assert "`data.drop_rows: {missing: t}`" in (found.hint or "")
    missing = "data.drop_rows={missing: [target, b, t]}"
    assert data_of(folder, *changes, missing)[1].notes[0].startswith("21 of 120")


# Mistakes ----------------------------------------------------------------------------------------


def test_an_empty_target_proposes_it(folder: Path) -> None:
    [first, *_] = problems(lambda: data_of(folder, "data.drop_rows=null"))
    assert first.message == "expected a number, found 12 empty cells, of which this is the first"
    assert first.hint == "fill it in, or leave the row out: `data.drop_rows: {missing: target}`"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("{missing: [tarket]}", "the data has no column 'tarket' (did you mean 'target'?)"),
        ("{missing: d}", "the data has no column 'd' (the columns are a, b, c, y)"),
        ("{missing: []}", "expected a text or a list of texts, found an empty list"),
        ("{missing: [b, b]}", "'b' is named twice"),
        ("{}", "required key is missing"),
        ("{empty: b}", "unknown key (the keys here are missing)"),
    ],
)
def test_mistakes(asked: str, told: str, folder: Path) -> None:
    found = problems(lambda: data_of(folder, f"data.drop_rows={asked}"), SpecError)
    texts = [f"{each.message} ({each.hint})" if each.hint else each.message for each in found]
    assert told in texts


@pytest.mark.parametrize("stream", ["false", "true"])
def test_no_row_is_left(stream: str, folder: Path) -> None:
    write(folder / "all.csv", [["1", "NA", "x", "2"]] * 3)
    [found] = problems(lambda: data_of(folder, f"data.stream={stream}"))
    assert found.message == (
        "every row is left out: each has an empty cell where it must have a value"
    )


# New rows ----------------------------------------------------------------------------------------


def test_evaluate_leaves_them_out_and_predict_does_not(folder: Path) -> None:
    spec = load_spec(folder / "spec.yaml")
    run = train(spec, profile=Profile(runs=None))
    model = Model.from_parts(spec, run.parameters, load_dataset(spec).preprocessing)
    metrics, same = (evaluate_file(model, folder / f"{name}.csv") for name in FILES)
    left = {"rows_left_out": 20.0, "left_out/y": 12.0, "left_out/b": 8.0}
    assert metrics == same | left
    rows = [row for row in cells() if row[0] != "oops"]
    write(folder / "new.csv", [row for row in rows if row[1] != "NA"])
    assert predict_file(model, folder / "new.csv", folder / "out.csv") == 111
    write(folder / "new.csv", rows)
    [found] = problems(lambda: predict_file(model, folder / "new.csv", folder / "out.csv"))
    assert found.path == "column 'b'"
    assert found.message == "row 3: expected a value, found an empty cell"
    write(folder / "new.csv", [["1", "NA", "x", "2"]])
    [found] = problems(lambda: evaluate_file(model, folder / "new.csv"))
    assert found.message == "the file has no row that has all it must have"


def test_a_run_is_that_of_a_file_without_them(folder: Path) -> None:
    specs = [load_spec(folder / "spec.yaml", [f"data.source.csv={name}.csv"]) for name in FILES]
    runs = [train(spec, profile=Profile(runs=None)) for spec in specs]
    assert len({run.parameters_sha256 for run in runs}) == 1
    assert runs[0].notes[0] == LEFT
