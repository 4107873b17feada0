"""`train explain --at`: cells by the names of their columns; and data that changed since a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Train, WriteSpec

import trainer
from trainer import DataError, Spec, UsageError, load_spec
from trainer.cli.explaining import _given
from trainer.data import load_dataset, load_table, matched
from trainer.explain.cases import case_of_spec

FLATS = ROOT / "configs/flats.yaml"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["x=1,2,3", "y=0"], {"x": "1,2,3", "y": "0"}),
        (["state=NSW,area=54"], {"state": "NSW", "area": "54"}),
        (["city=Washington, DC,area=5"], {"city": "Washington, DC", "area": "5"}),
        (['"a,b=c"="d,e=f", z='], {"a,b=c": "d,e=f", "z": ""}),
        (['f=a=b,g="say ""hi""",h=6"'], {"f": "a=b", "g": 'say "hi"', "h": '6"'}),
        ([" x = 1,,2 "], {"x": "1,,2"}),
    ],
)
def test_names_and_values(options: list[str], found: dict[str, str]) -> None:
    assert _given(options) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["1,2"], "expected a name and a value"),
        ([""], "expected a name and a value"),
        (["=3"], "there is no name before '='"),
        (["a=1", "b=2,a=3"], "'a' is given twice"),
    ],
)
def test_what_is_no_name_with_a_value(options: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _given(options)


def test_cells_in_their_own_units() -> None:
    """Texts of categories, dates, yes and no, numbers; the others are those of the row."""
    spec = load_spec(FLATS)
    table, how = load_table(spec), load_dataset(spec).preprocessing
    given = {"district": "Hafen", "area": "54", "balcony": "no", "renovated": "2001-03-04",
             "built": "", "rent": "1200"}  # fmt: skip
    case = case_of_spec(spec, row=2, at=given)
    raw = how.adopt(table, np.array([2]))
    cells = {"district": how.columns[how.features.index("district")].categories.index("Hafen"),
             "area": 54, "balcony": 0, "built": np.nan,
             "renovated": np.datetime64("2001-03-04").astype(int)}  # fmt: skip
    for name, number in cells.items():
        raw[0, how.features.index(name)] = number
    np.testing.assert_array_equal(case.feeds["x"], how.encode(raw))
    np.testing.assert_array_equal(case.feeds["y"], how.encode_target(np.array([[1200.0]])))
    assert case.notes[0].startswith("row 2 of ")
    assert case.notes[0].endswith("with district = Hafen, area = 54, balcony = no, "
                                  "renovated = 2001-03-04, built = , rent = 1200")  # fmt: skip


def test_the_target_of_the_row_stays() -> None:
    spec = load_spec(FLATS)
    row, changed = (case_of_spec(spec, row=1, at=at) for at in (None, {"area": "90"}))
    np.testing.assert_array_equal(row.feeds["y"], changed.feeds["y"])
    assert (row.feeds["x"] != changed.feeds["x"]).sum() == 1


IRIS = load_spec(ROOT / "configs/iris.yaml")
ALL = {f"{part} {size} (cm)": value for value, (part, size) in zip(
    ("5", "3", "1.5", "0.2"),
    [("sepal", "length"), ("sepal", "width"), ("petal", "length"), ("petal", "width")],
    strict=True,
)}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "label", "told"),
    [
        ({**ALL, "target": "versicolor"}, 1, "a given example"),
        ({**ALL, "y": "2"}, 2, "a given example"),
        (ALL, 0, "a given example, y = 0"),
        ({"target": "virginica"}, 2, "row 0 of scikit-learn/iris, with target = virginica"),
    ],
)
def test_classes_by_their_label(given: dict[str, str], label: int, told: str) -> None:
    case = case_of_spec(IRIS, at=given)
    assert np.argmax(case.feeds["y"]) == label
    assert case.notes[0].endswith(told)


def inline(names: list[str], x: list[list[float]], y: list[float], target: str) -> Spec:
    """A linear model of columns with these names."""
    head = ",".join([*names, target])
    rows = [",".join(map(str, [*row, value])) for row, value in zip(x, y, strict=True)]
    Path("rows.csv").write_text("\n".join([head, *rows]) + "\n")
    return Spec.model_validate({
        "name": "rows",
        "data": {"source": {"csv": "rows.csv"}, "target": target},
        "model": {"layers": [{"units": 1}], "loss": "squared"},
        "sgd": {"learning_rate": 0.1, "epochs": 1, "batch_size": 2},
    })  # fmt: skip


def test_columns_called_x_and_y(folder: Path) -> None:
    """They are columns, unless x has as many numbers as there are columns."""
    spec = inline(["x", "y"], [[1, 2], [3, 4]], [5, 6], "z")
    for given, x, z in (
        ({"x": "7"}, [7, 2], 5),
        ({"y": "7", "z": "8"}, [1, 7], 8),
        ({"x": "7,8", "y": "9"}, [7, 8], 9),
        ({"x": np.array([7.0, 8]), "y": np.array([9.0])}, [7, 8], 9),
    ):
        found = case_of_spec(spec, at=given)
        assert (found.feeds["x"].tolist(), found.feeds["y"].tolist()) == ([x], [[z]])


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ({"distrct": "Hafen"}, ["there is no column 'distrct'", "did you mean 'district'?"]),
        ({"zzz": "1"}, ["there is no column 'zzz'", "the columns are rooms, area, floor"]),
        ({"district": "Haven"}, ["there is no category 'Haven'", "did you mean 'Hafen'?"]),
        ({"area": "wide", "heating": "gsa", "renovated": "May", "balcony": "perhaps", "none": "1"},
         ["'area': expected a number, found the text 'wide'", "did you mean 'gas'?",
          "'renovated': expected a date", "'balcony': expected true or false", "column 'none'"]),
        ({"rent": ""}, ["'rent': expected a value"]),
        ({"x": "1,2"}, ["x takes 8 numbers, found 2"]),
        ({"x": "1", "area": "2"}, ["no input 'area' beside x", "the columns by their names"]),
    ],
)  # fmt: skip
def test_every_mistake_is_told(given: dict[str, str], messages: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        case_of_spec(load_spec(FLATS), at=given)
    for message in messages:
        assert message in str(error.value)


def test_a_class_that_there_is_not() -> None:
    with pytest.raises(
        UsageError, match=r"there is no class 'setoso' \[TR-U006\]\n  hint: did you mean"
    ):
        case_of_spec(IRIS, at={"target": "setoso"})


# Data that changed ------------------------------------------------------------------------------

CHANGED = {
    "data.source": {"csv": "rows.csv"},
    "data.target": "kind",
    "model.layers": [{"units": 3}],
    "sgd.batch_size": 3,
}
ROWS = "a,town,kind\n1,x,P\n2,y,Q\n3,z,R\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,kind\n1,P\n2,Q\n3,R\n", "needs the column 'town', which is missing"),
        ("town,kind\nx,P\ny,Q\nz,R\n", "needs the column 'a', which is missing"),
        ("a,twon,kind\n1,x,P\n2,y,Q\n3,z,R\n", "hint: did you mean 'twon'?"),
        ("a,town,kind\n1,5,P\n2,6,Q\n3,7,R\n", "the column 'town' is numeric now"),
        ("a,town,kind\n1,x,S\n2,y,Q\n3,z,R\n", "found 'S'"),
    ],
)
def test_a_run_whose_data_changed(
    rows: str, message: str, write_spec: WriteSpec, folder: Path, train: Train
) -> None:
    (folder / "rows.csv").write_text(ROWS)
    trainer.train(load_spec(write_spec(CHANGED)), profile=trainer.Profile(record=False))
    (folder / "rows.csv").write_text(rows)
    code, _, err = train("explain", "--run", "tiny")
    assert (code, message in err) == (3, True), err
    # what is given as a whole needs no data
    assert train("explain", "--run", "tiny", "--at", "a=1,town=x", "--json")[0] == 0


def test_columns_are_found_by_name(write_spec: WriteSpec, folder: Path, train: Train) -> None:
    """Other columns, another order, and classes of which some are gone change nothing."""
    (folder / "rows.csv").write_text(ROWS)
    trainer.train(load_spec(write_spec(CHANGED)), profile=trainer.Profile(record=False))
    before = explained(train)
    (folder / "rows.csv").write_text("kind,new,town,a\nR,5,z,3\nQ,6,y,2\n")
    assert explained(train) == before


def explained(train: Train) -> Any:
    """The values of all nodes at the row whose kind is R."""
    row = "2" if Path("rows.csv").read_text() == ROWS else "0"
    code, out, _ = train("explain", "--run", "tiny", "--row", row, "--json")
    assert code == 0
    return [(node["name"], node["value"]) for node in json.loads(out)["nodes"]]


def test_a_table_that_fits_is_not_copied() -> None:
    table, how = load_table(IRIS), load_dataset(IRIS).preprocessing
    assert matched(table, how) is table
    flats = load_table(load_spec(FLATS))
    with pytest.raises(DataError) as error:
        matched(flats, how)
    assert len(error.value.problems) == 4


def test_the_command(folder: Path, train: Train) -> None:
    shutil.copytree(ROOT / "configs", folder / "configs")
    code, out, _ = train("explain", "configs/flats.yaml", "--at", "district=Hafen,area=54")
    assert (code, "flats.csv, with district = Hafen, area = 54" in out) == (0, True)
    code, _, err = train("explain", "configs/flats.yaml", "--at", "distrct=Hafen")
    assert (code, "hint: did you mean 'district'?" in err) == (2, True)
    assert train("gradcheck", "configs/iris.yaml", "--at", "target=virginica")[0] == 0
