"""Tables that are sent to a model: the shapes of MLflow's requests, CSV and Parquet."""

from __future__ import annotations

import io
import json
import math
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from faults.models import served_model, small_model
from mlflow.pyfunc import scoring_server

from trainer.data import Column
from trainer.export.program import write_program
from trainer.export.runtime import bodies
from trainer.tracking.model import signature_of

ROWS = [{"city": "Bonn", "size": 1}, {"city": "Ulm", "size": None}]
LISTS = {"city": ["Bonn", "Ulm"], "size": [1, None]}
SAME: dict[str, Any] = {
    "records": {"dataframe_records": ROWS},
    "split": {
        "dataframe_split": {"columns": ["size", "city"], "data": [[1, "Bonn"], [None, "Ulm"]]}
    },
    "instances": {"instances": ROWS},
    "inputs, rows": {"inputs": ROWS},
    "inputs, columns": {"inputs": LISTS},
    "instances, columns": {"instances": LISTS},
    "another column": {"dataframe_records": [row | {"id": [7]} for row in ROWS]},
    "parameters": {"inputs": LISTS, "params": {"a": 1}},
}
REFUSED: dict[str, tuple[Any, str]] = {
    "a list": ([{"city": "Ulm"}], "expected a mapping with one of dataframe_split, dataframe_rec"),
    "no table": ({"rows": ROWS}, "expected a mapping with one of dataframe_split, dataframe_rec"),
    "two tables": ({"inputs": LISTS, "instances": ROWS}, "expected a mapping with one of"),
    "a missing column": ({"inputs": [ROWS[0], {"city": "Ulm", "Size": 1}]},
                         r"row 1, column 'size': it is missing \(there are city, Size\)"),
    "a column less": ({"inputs": {"city": ["Ulm"]}}, r"missing columns: size \(there are city\)"),
    "a column twice": ({"dataframe_split": {"columns": ["city", "size", "city"], "data": []}},
                       "columns that stand twice: city"),
    "a short row": ({"dataframe_split": {"columns": ["city", "size"], "data": [["Ulm"]]}},
                    "row 0: expected 2 cells, found 1"),
    "no rows of lists": ({"dataframe_split": {"columns": ["city", "size"], "data": ["Ulm", 1]}},
                         "row 0: expected 2 cells, found 'Ulm'"),
    "no columns": ({"dataframe_split": {"data": [["Ulm", 1]]}}, "expected the lists `columns` and"),
    "no mapping": ({"dataframe_split": ROWS}, "expected the lists `columns` and `data` in data"),
    "records by column": ({"dataframe_records": LISTS}, "expected a list of rows"),
    "rows without names": ({"instances": [["Ulm", 1]]}, "row 0: expected a mapping with the names"),
    "lists of two lengths": ({"inputs": LISTS | {"size": [1]}},
                             "column 'size': expected a list of 2 cells, found 1"),
    "a list and a cell": ({"inputs": LISTS | {"size": 1}},
                          "column 'size': expected a list of 2 cells, found 1"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "FEATURES", ["city", "size"])


@pytest.mark.parametrize("name", SAME)
def test_every_shape_is_the_same_table(name: str) -> None:
    assert bodies.read_json(json.dumps(SAME[name]))[0] == LISTS


def test_one_row_and_none() -> None:
    assert bodies.read_json('{"inputs": {"city": "Ulm", "size": 2}}')[0] == {
        "city": ["Ulm"],
        "size": [2],
    }
    for empty in ('{"dataframe_records": []}', '{"inputs": {"city": [], "size": []}}'):
        assert bodies.read_json(empty)[0] == {"city": [], "size": []}


@pytest.mark.parametrize("name", REFUSED)
def test_other_bodies_are_refused(name: str) -> None:
    body, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        bodies.read_json(json.dumps(body))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ('{"inputs": {"city": ["a"], "city": ["b"], "size": [1]}}', "stand twice: city"),
        ('{"inputs": ' + "[" * 100_000, "expected a table, found lists in lists"),
    ],
)
def test_text_that_is_no_table(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bodies.read_json(text)


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("city,size\nNA,001\n", {"city": ("NA",), "size": ("001",)}),
        ('\ufeffsize,city\r\n 1,"Ulm, ""x""\u2028y"\r\n',
         {"size": (" 1",), "city": ('Ulm, "x"\u2028y',)}),
        ("city;size\nUlm;1\n", {"city": ("Ulm",), "size": ("1",)}),
        ("city,size\n", {"city": [], "size": []}),
    ],
)  # fmt: skip
def test_csv_as_it_is_written(text: str, columns: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "DELIMITER", ";")
    assert bodies.read_csv_text(text) == columns


def test_a_quotation_mark_that_is_never_closed() -> None:
    with pytest.raises(ValueError, match="row 1: no CSV"):
        bodies.read_csv_text('city,size\nUlm,1\nBonn,"2\nKiel,3\n')


# Through MLflow's scoring server ------------------------------------------------------------------

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def model() -> Any:
    """One whose columns are a country, NA among them, a long id and a number."""
    return small_model([
        Column("country", "categorical", ("DE", "NA")),
        Column("id", "categorical", tuple(str(76561198000000001 + i) for i in range(12))),
        Column("area"),
    ], missing_values=("",))  # fmt: skip


@pytest.fixture
def ask(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What MLflow's server answers to a body: predictions, or the text of an error."""
    for name in ("_parse_json_data", "parse_csv_input", "parse_parquet_input"):
        monkeypatch.setattr(scoring_server, name, getattr(scoring_server, name))
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    served = served_model(model, tmp_path)

    def answer(body: Any, kind: str = "application/json") -> Any:
        data = body if isinstance(body, bytes) else (
            body if kind == "text/csv" else json.dumps(body)
        ).encode()  # fmt: skip
        try:
            found = scoring_server.invocations(data, kind, served, served.schema)
        except mlflow.MlflowException as error:
            return f"{error.get_http_status_code()} {error.message}"
        return [row["prediction"] for row in json.loads(found.response)["predictions"]]

    return answer


def test_cells_come_as_they_were_sent(ask: Ask, model: Any, tmp_path: Path) -> None:
    """Not as pandas would have them, in every kind of body, beside a null and alone."""
    row = {"country": "NA", "id": 76561198000000012, "area": 2.5}
    expected = model.predict(np.array([[1, 11, 2.5], [1, math.nan, 2.5]]))["prediction"]
    beside = [row, row | {"id": None}]
    frame = pd.DataFrame(beside, dtype=object)
    frame["area"] = frame["area"].astype(float)
    parquet = io.BytesIO()
    frame.assign(id=pd.array([row["id"], None], "Int64")).to_parquet(parquet)
    write_program(model, tmp_path / "m.py")
    scope = runpy.run_path(str(tmp_path / "m.py"))
    text = "country,id,area\nNA,76561198000000012,2.5\nNA,,2.5\n"
    for found in (
        ask({"dataframe_records": beside}),
        ask(text, "text/csv"),
        ask(parquet.getvalue(), "application/vnd.apache.parquet"),
        scope["predict"](scope["read_csv"](io.StringIO(text)), scope["P"])["prediction"],
        scope["predict"](frame, scope["P"])["prediction"],
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(ask({"inputs": row}), expected[:1], rtol=1e-6)
    assert ask("country,id,area\n", "text/csv") == ask({"dataframe_records": []}) == []


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ({"inputs": [{"country": ["NA"], "id": 1, "area": 1}]}, "application/json",
         "row 0, column 'country': expected a single value, found a list"),
        ({"inputs": [{"country": "NA", "id": 7.6561198e16, "area": 1}]}, "application/json",
         "row 0, column 'id': the number 7.6561198e+16 is too long for its type"),
        ({"inputs": [{"country": "NA"}]}, "application/json", "row 0, column 'id': it is missing"),
        ("country,id,area\nNA,,NA\n", "text/csv", "row 0, column 'area': expected a number, found"),
        ("country,id\nNA,\n", "text/csv", "missing columns: area (there are country, id)"),
        (b"PAR1", "application/vnd.apache.parquet", ""),
    ],
)  # fmt: skip
def test_bodies_that_do_not_fit(ask: Ask, body: Any, kind: str, message: str) -> None:
    answer = ask(body, kind)
    assert answer.startswith("400 ")
    assert message in answer


def test_kept_texts_are_declared(model: Any, tmp_path: Path) -> None:
    served = served_model(model, tmp_path)
    kinds = {spec.name: str(spec.type) for spec in signature_of(served.about).inputs.inputs}
    assert kinds == {"country": "DataType.string", "id": "Any", "area": "Any"}
