"""What was trained is used: predict, evaluate, MLflow's model, registering, serving."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, TINY
from mlflow import MlflowClient
from pyarrow import csv as pacsv
from sklearn import metrics
from typed import MODELS as TYPED
from typed import typed_model, typed_spec, typed_table

from trainer import DataError, Profile, Run, UsageError, load_spec
from trainer import train as begin
from trainer.data import (
    Preprocessing,
    Table,
    load_dataset,
    load_table,
    read_rows,
    split_rows,
    written,
)  # fmt: skip
from trainer.explain.cases import case_of_spec
from trainer.network.build import build_graph
from trainer.network.memory import estimate_memory
from trainer.network.model import Model
from trainer.network.summary import column_rows, describe_model
from trainer.numerics.functions import expm1
from trainer.runs.facts import named
from trainer.runs.predict import evaluate_file, predict_file
from trainer.runs.use import load_model
from trainer.spec import Spec
from trainer.tracking.model import RegisteredName

pytestmark = pytest.mark.models

WriteSpec = Callable[..., Path]
Train = Callable[..., tuple[int, str, str]]

FLATS = """rooms,area,"the, floor",rent,town
2,54,1,820,A
3,78,2,1130,B
1,31,4,560,A
4,102,3,1480,C
2,61,5,900,B
3,85,1,1190,C
"""
NUMBERS: dict[str, Any] = {
    "data": {"source": {"csv": "flats.csv"}, "target": "rent", "standardize": True,
             "features": ["rooms", "area", "the, floor"]},
    "model.loss": "squared", "model.layers": [{"units": 1}], "sgd.learning_rate": 0.01,
}  # fmt: skip
TOWNS = NUMBERS | {
    "data": NUMBERS["data"] | {"target": "town"},
    "model.loss": "logistic", "model.layers": [{"units": 4, "activation": "relu"}, {"units": 3}],
}  # fmt: skip
TWO: dict[str, Any] = {}  # the tiny spec as it is: classes 0 and 1
KINDS = {"numbers": NUMBERS, "three classes": TOWNS, "two classes": TWO}


@pytest.fixture
def flats(folder: Path) -> Path:
    path = folder / "flats.csv"
    path.write_text(FLATS)
    return path


def untrained(spec_file: Path) -> Model:
    """The model of a spec after one epoch, without a run."""
    spec = load_spec(spec_file, {"sgd.epochs": 1})
    run = begin(spec, profile=Profile(runs=None))
    return Model.from_parts(spec, run.parameters, load_dataset(spec).preprocessing)


@pytest.fixture
def recorded(store: str, flats: Path, write_spec: WriteSpec) -> Callable[..., Run]:
    return lambda changes, **how: begin(load_spec(write_spec(changes)), **how)


# Preprocessing and the model --------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("flats")
def test_preprocessing_as_json_is_exact(kind: str, write_spec: WriteSpec) -> None:
    how = load_dataset(load_spec(write_spec(KINDS[kind]))).preprocessing
    again = Preprocessing.from_json(json.loads(json.dumps(how.as_json())))
    assert again.as_json() == how.as_json()
    for name in ("shift", "scale"):
        old, new = getattr(how.scaling, name), getattr(again.scaling, name)
        assert (old is None) == (new is None) == (kind == "two classes")
        assert old is None or old.tobytes() == new.tobytes()
    assert [type(label) for label in again.classes or ()] == [
        type(label) for label in how.classes or ()
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.usefixtures("flats")
def test_raw_rows_give_what_the_engine_gives(kind: str, dtype: str, write_spec: WriteSpec) -> None:
    model = untrained(write_spec(KINDS[kind] | {"model.dtype": dtype}))
    raw, data = load_table(model.spec).x, load_dataset(model.spec)
    x = model.preprocessing.encode(raw).astype(dtype)
    assert x.tobytes() == data.train.x.tobytes()
    p = model.parameters
    if kind == "numbers":
        expected = x @ p["dense_1/W"] + p["dense_1/b"]
        np.testing.assert_allclose(model.predict(raw)["prediction"], expected[:, 0], rtol=1e-6)
        return
    hidden = x @ p["dense_1/W"] + p["dense_1/b"]
    hidden = np.maximum(hidden, 0) if kind == "three classes" else np.tanh(hidden)
    logits = hidden @ p["dense_2/W"] + p["dense_2/b"]
    if kind == "two classes":
        logits = np.concatenate([0 * logits, logits], axis=1)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = model.predict(raw)
    assert tuple(found) == model.columns
    for i, label in enumerate(model.preprocessing.classes or ()):
        np.testing.assert_allclose(found[f"probability/{label}"], expected[:, i], rtol=1e-5)
    labels = np.array(model.preprocessing.classes)[expected.argmax(axis=1)]
    assert found["prediction"].tolist() == labels.tolist()


@pytest.mark.parametrize("logit", [-1000.0, 0.0, 1000.0])
def test_probabilities_of_extreme_logits(logit: float, write_spec: WriteSpec) -> None:
    model = untrained(write_spec())
    below, above = model.probabilities(np.array([[logit]]))[0]
    assert (below, above) == {-1000.0: (1, 0), 0.0: (0.5, 0.5), 1000.0: (0, 1)}[logit]
    assert model.classify(np.array([[logit]])).tolist() == [int(logit > 0)]


def test_parameters_of_another_network(write_spec: WriteSpec) -> None:
    model = untrained(write_spec())
    wrong = {**model.parameters, "dense_1/W": np.zeros((2, 4))}
    with pytest.raises(Exception, match=r"'dense_1/W' to be float64 of \(2, 3\)"):
        Model.from_parts(model.spec, wrong, model.preprocessing)


# Rows of files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_rows_by_the_names_of_their_columns(
    name: str, flats: Path, write_spec: WriteSpec, folder: Path
) -> None:
    how = load_dataset(load_spec(write_spec(TOWNS))).preprocessing
    table = pd.read_csv(flats)[["town", "the, floor", "rent", "area", "rooms"]]
    _write(table, folder / name)
    (rows,) = read_rows(folder / name, how.columns, how.target_columns)
    assert rows.x.tolist() == table[["rooms", "area", "the, floor"]].to_numpy().tolist()
    assert rows.target is not None
    assert rows.target.tolist() == [0, 1, 0, 2, 1, 2]


def _write(table: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)


FAULTS: dict[str, tuple[Callable[[pd.DataFrame], Any], str]] = {
    "a column is missing": (lambda t: t.rename(columns={"area": "aera"}),
                            "needs the column 'area', which is missing.*did you mean 'aera'"),
    "a text": (lambda t: t.assign(area=t["area"].astype(str).replace("61", "big")),
               "column 'area': (row 4: )?expected a number, found the text 'big'"),
    "an empty cell": (lambda t: t.assign(area=t["area"].where(t["area"] != 61)),
                      "column 'area'.* an empty cell"),
    "a class that it does not know": (lambda t: t.replace({"town": {"C": "D"}}),
                                      "row 3: expected a class that the model knows, found 'D'"),
    "no rows": (lambda t: t[:0], "no rows"),
    "too large for its dtype": (lambda t: t.assign(area=t["area"].astype(float).replace(61, 1e60)),
                                "row 4: the number is too large for float32"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
@pytest.mark.parametrize("fault", FAULTS)
def test_rows_that_do_not_fit(
    fault: str, name: str, flats: Path, write_spec: WriteSpec, folder: Path
) -> None:
    model = untrained(write_spec(TOWNS | {"model.dtype": "float32"}))
    change, message = FAULTS[fault]
    _write(change(pd.read_csv(flats)), folder / name)
    with pytest.raises(DataError) as error:
        evaluate_file(model, folder / name)
    assert re.search(f"(?s){message}", str(error.value)), error.value
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rooms,area,rooms\n1,2,3\n", "'rooms' stands 2 times"),
        (b"rooms,area,\"the, floor\"\n1,2\n", ":2: expected 3 cells as in the header, found 2"),
        (b"rooms,area,\"the, floor\"\n1,2,\"3\n", "quotation mark opens in this row"),
        (b"rooms,area,\"the, floor\"\n1,2,3\n1,nan,3\n", "'area': row 1: .* an empty cell"),
        (b"\xff\xfer\0o\0", "UTF-16|not UTF-8"),
        (b"rooms,area,\"the, floor\",n\xfcl\n1,2,3,4\n", "0xfc is not UTF-8"),
        (b"", "the model needs the column 'rooms'|empty"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("flats")
def test_csv_files_that_are_none(
    content: bytes, message: str, write_spec: WriteSpec, folder: Path
) -> None:
    model = untrained(write_spec(NUMBERS))
    (folder / "rows.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        predict_file(model, folder / "rows.csv", folder / "out.csv")
    assert not (folder / "out.csv").exists()


@pytest.mark.usefixtures("flats")
def test_no_such_file(write_spec: WriteSpec, folder: Path) -> None:
    model = untrained(write_spec(NUMBERS))
    with pytest.raises(DataError, match=r"no\.csv: the file is not there"):
        predict_file(model, folder / "no.csv", io.BytesIO())
    with pytest.raises(DataError, match="is a directory"):
        predict_file(model, folder, io.BytesIO())
    (folder / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        predict_file(model, folder / "no.parquet", io.BytesIO())


@pytest.mark.usefixtures("flats")
def test_a_damaged_page_is_told_of_the_file_that_is_read(
    write_spec: WriteSpec, folder: Path
) -> None:
    model = untrained(write_spec(NUMBERS))
    path = folder / "rows.parquet"
    table = pa.table({name: [1.0] * 100 for name in model.preprocessing.features})
    pq.write_table(table, path, row_group_size=50)
    column = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data = bytearray(path.read_bytes())
    begin = column.dictionary_page_offset or column.data_page_offset
    data[begin : begin + 40] = bytes(byte ^ 0xFF for byte in data[begin : begin + 40])
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"rows\.parquet: this file cannot be read: "):
        predict_file(model, path, folder / "p.csv")
    assert {item.name for item in folder.iterdir() if item.name.startswith(("p.", ".p"))} == set()


# Predicting and evaluating ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_predict_gives_the_same_everywhere(
    kind: str, train: Train, recorded: Callable[..., Run], flats: Path, folder: Path
) -> None:
    """On the terminal, in a CSV file, in a Parquet file, by MLflow's model, and in memory."""
    run = recorded(KINDS[kind])
    table = pd.DataFrame({"x1": [0, 1, 0.5], "x2": [1, 1, 0]})
    if kind != "two classes":
        table = pd.read_csv(flats).drop(columns=["rent", "town"])
    _write(table, folder / "rows.csv")
    trained = load_model("last")
    expected = trained.model.predict(table.to_numpy(dtype=float))

    code, out, err = train("predict", "last", "--data", "rows.csv")
    assert (code, err) == (0, "")
    for name in ("p.csv", "p.parquet"):
        code, said, _ = train("predict", str(run.id)[:6], "--data", "rows.csv", "--out", name)
        assert (code, f"{len(table)} rows predicted by tiny" in said) == (0, True)
    assert out == (folder / "p.csv").read_text()
    loaded = mlflow.pyfunc.load_model(f"{_model_folder(run)}")
    tables = [
        pacsv.read_csv(io.BytesIO(out.encode())).to_pandas(),
        pd.read_parquet("p.parquet"), loaded.predict(table),
    ]  # fmt: skip
    for found in tables:
        assert tuple(found.columns) == trained.model.columns
        for name, values in expected.items():
            again = found[name].to_numpy()
            if values.dtype.kind == "f":
                np.testing.assert_array_equal(again.astype(values.dtype), values)
            else:
                assert again.tolist() == values.tolist()


def _model_folder(run: Run) -> Path:
    client = MlflowClient(run.tracking_uri)
    (output,) = client.get_run(str(run.run_id)).outputs.model_outputs
    place = client.get_logged_model(output.model_id).artifact_location
    return Path(place.removeprefix("file://"))


def test_predict_as_json(train: Train, recorded: Callable[..., Run], folder: Path) -> None:
    run = recorded(TWO)
    (folder / "rows.csv").write_text("x2,x1\n1,0\n")
    code, out, _ = train("predict", "last", "--data", "rows.csv", "--json", "--out", "p.csv")
    assert (code, json.loads(out)) == (0, {
        "id": run.id, "run_id": run.run_id, "rows": 1, "out": "p.csv",
        "columns": ["prediction", "probability/0", "probability/1"],
    })  # fmt: skip
    assert train("predict", "last", "--data", "rows.csv", "--json")[0] == 2
    code, _, err = train("predict", "last", "--data", "rows.csv", "--out", "nowhere/p.csv")
    assert (code, "there is no folder 'nowhere' for the file 'p.csv'" in err) == (2, True)


def test_labels_that_need_quotation_marks(
    recorded: Callable[..., Run], train: Train, flats: Path, folder: Path
) -> None:
    flats.write_text(FLATS.replace(",A\n", ',"A, or ""B"""\n'))
    recorded(TOWNS)
    assert train("predict", "last", "--data", "flats.csv", "--out", "p.csv")[0] == 0
    with (folder / "p.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["prediction", 'probability/A, or "B"', "probability/B", "probability/C"]
    assert {len(row) for row in rows} == {4}


def test_evaluate_takes_the_weights_of_rows(
    train: Train, recorded: Callable[..., Run], flats: Path, folder: Path
) -> None:
    """A row that counts twice is a row that is there twice; one that counts 0 is not there."""
    table = pd.read_csv(flats).assign(counts=1)
    _write(table, flats)
    name = next(
        name for name, spec in KINDS.items() if "csv" in str(spec) and name != "two classes"
    )
    recorded({**copy.deepcopy(KINDS[name]), "data.weights": "counts"})
    repeats = np.arange(len(table)) % 3
    _write(table.assign(counts=repeats), folder / "weighted.csv")
    _write(table.loc[table.index.repeat(repeats)], folder / "repeated.csv")
    weighted, repeated = (
        json.loads(train("evaluate", "last", "--data", f"{file}.csv", "--json")[1])["metrics"]
        for file in ("weighted", "repeated")
    )
    assert weighted.keys() == repeated.keys()
    for metric in ("loss", "accuracy", "r2", "mae", "f1"):
        if metric in repeated:
            assert weighted[metric] == pytest.approx(repeated[metric], rel=1e-9), metric
    _write(table.assign(counts=-1.0), folder / "wrong.csv")
    code, _, err = train("evaluate", "last", "--data", "wrong.csv")
    assert (code, "expected a weight of at least 0, found -1" in err) == (3, True)
    _write(table.drop(columns="counts"), folder / "without.csv")
    code, _, err = train("evaluate", "last", "--data", "without.csv")
    assert (code, "'counts'" in err) == (3, True)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_agrees_with_scikit_learn(
    kind: str, train: Train, recorded: Callable[..., Run], flats: Path, folder: Path
) -> None:
    run = recorded(KINDS[kind])
    table = pd.DataFrame({"x1": [0, 1, 0.5, 0], "x2": [1, 1, 0, 0], "y": [0, 1, 1, 0]})
    if kind != "two classes":
        table = pd.read_csv(flats)
    _write(table, folder / "rows.csv")
    code, out, _ = train("evaluate", "last", "--data", "rows.csv", "--json", "--log")
    found = json.loads(out)["metrics"]
    trained = load_model("last")
    how = trained.model.preprocessing
    guess = trained.model.predict(table[list(how.features)].to_numpy(dtype=float))
    right = table[how.target]
    assert (code, found["rows"]) == (0, len(table))
    expected = _by_hand(how, guess, right)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5, abs=1e-9), name
    logged = MlflowClient(run.tracking_uri).get_run(str(run.run_id)).data.metrics
    for name, value in found.items():
        assert logged[f"eval/{name}"] == value
    if kind != "two classes":  # all rows of these are training rows
        mean = run.history["train_loss"].values[0]
        assert found["loss"] != mean
    assert train("evaluate", "last", "--data", "rows.csv")[1].startswith("tiny (")


def _by_hand(how: Preprocessing, guess: Mapping[str, Any], right: Any) -> dict[str, float]:
    if how.classes is None:
        squared = metrics.mean_squared_error(right, guess["prediction"])
        return {
            "loss": squared, "rmse": squared**0.5,
            "r2": metrics.r2_score(right, guess["prediction"]),
            "mae": metrics.mean_absolute_error(right, guess["prediction"]),
        }  # fmt: skip
    probable = np.stack([guess[f"probability/{label}"] for label in how.classes], axis=1)
    probable = probable.astype(float) / probable.astype(float).sum(axis=1, keepdims=True)
    several = {"multi_class": "ovr"} if len(how.classes) > 2 else {}
    scores = probable if several else probable[:, 1]
    report = metrics.classification_report(
        right, guess["prediction"], output_dict=True, zero_division=0.0
    )
    expected = {
        "loss": metrics.log_loss(right, probable),
        "accuracy": metrics.accuracy_score(right, guess["prediction"]),
        "balanced_accuracy": metrics.balanced_accuracy_score(right, guess["prediction"]),
        "f1": report["macro avg"]["f1-score"],
        "auc": metrics.roc_auc_score(right, scores, **several),
    }
    for label in how.classes:
        row = report[str(label)]
        expected |= {f"precision/{label}": row["precision"], f"recall/{label}": row["recall"],
                     f"f1/{label}": row["f1-score"], f"rows/{label}": row["support"]}  # fmt: skip
    return expected


@pytest.mark.usefixtures("flats")
def test_evaluating_the_test_rows_gives_the_runs_own_figures(
    train: Train, store: str, folder: Path
) -> None:
    spec = load_spec(ROOT / "configs" / "hidden_layer.yaml", {"sgd.epochs": 3})
    run = begin(spec)
    table = load_table(spec)
    rows = split_rows(spec, table)["test"]
    frame = pd.DataFrame(table.x[rows], columns=list(table.features))
    frame["target"] = np.array(table.classes)[table.target[rows]]
    _write(frame, folder / "rows.csv")
    code, out, _ = train("evaluate", "last", "--data", "rows.csv", "--json")
    found = json.loads(out)["metrics"]
    assert (code, found["accuracy"]) == (0, run.metrics["test_accuracy"])
    assert found["loss"] == pytest.approx(run.metrics["test_loss"], rel=1e-6)


PREDICT: Final = """
import resource, sys
from pathlib import Path
from test_models import untrained
from trainer.runs.predict import predict_file
rows = predict_file(untrained(Path("spec.yaml")), Path("rows.csv"), Path("p.parquet"))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_predicting_many_rows_takes_little_memory(write_spec: WriteSpec, folder: Path) -> None:
    """Ten times the rows, the same memory: in processes that did nothing else before."""
    write_spec()
    line = b"0.25,0.75\n"
    peaks = []
    for count in (300_000, 3_000_000):
        (folder / "rows.csv").write_bytes(b"x1,x2\n" + line * count)
        paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
        done = subprocess.run(
            [sys.executable, "-c", PREDICT], env=os.environ | {"PYTHONPATH": paths},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        rows, peak = map(int, done.stdout.split())
        assert rows == count
        peaks.append(peak / 1024)
    assert peaks[1] < peaks[0] + 60, peaks  # MB; the file alone grows by 27, its numbers by 43


# A run's model in MLflow ------------------------------------------------------------------------


def test_a_finished_run_keeps_a_model(recorded: Callable[..., Run]) -> None:
    run = recorded(TOWNS | {"data.split": {"test": 0.3}, "sgd.batch_size": 1})
    client = MlflowClient(run.tracking_uri)
    (output,) = client.get_run(str(run.run_id)).outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert (model.name, model.model_type, str(model.status), output.step) == (
        "tiny", "classifier", "READY", 3,
    )  # fmt: skip
    shown = {metric.key: metric for metric in model.metrics}
    assert shown["test_loss"].value == run.metrics["test_loss"]
    assert shown["test_loss"].dataset_name == "flats.csv/test"
    for name in run.metrics:  # linking gives the run no second point
        assert len(client.get_metric_history(str(run.run_id), name)) == len(
            {p.step for p in client.get_metric_history(str(run.run_id), name)}
        )
    assert model.params["model/layers/0/units"] == "4"
    folder = _model_folder(run)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".pkl", ".pickle"))]
    assert {"MLmodel", "model.py", "artifacts/weights.safetensors", "input_example.json"} <= names
    requirements = (folder / "requirements.txt").read_text().split()
    assert {text.partition("==")[0] for text in requirements} == {"mlflow", "numpy", "pandas"}
    assert all("==" in text for text in requirements)


def test_a_run_that_diverged_keeps_none(train: Train, recorded: Callable[..., Run]) -> None:
    with pytest.raises(Exception, match="not finite"):
        recorded(NUMBERS | {"sgd.learning_rate": 1e10, "sgd.epochs": 100})
    code, _, err = train("promote", "last", "flats")
    assert (code, "diverged, and no epoch of it was better than the start" in err) == (2, True)


WRONG_INPUTS: dict[str, tuple[Callable[[pd.DataFrame], Any], str]] = {
    "a text": (lambda t: t.assign(area="big"), "row 0, column 'area': expected a number"),
    "a missing number": (lambda t: t.assign(area=np.nan), "row 0, column 'area'.*finite"),
    "a missing column": (lambda t: t.drop(columns="area"), r"missing inputs \['area'\]"),
}


def test_wrong_inputs_of_the_model(recorded: Callable[..., Run], flats: Path) -> None:
    run = recorded(NUMBERS)
    loaded = mlflow.pyfunc.load_model(str(_model_folder(run)))
    table = pd.read_csv(flats).drop(columns=["rent", "town"])
    assert len(loaded.predict(table)) == len(table)  # whole numbers too, and in any order
    assert loaded.predict(table[["area", "the, floor", "rooms"]]).equals(loaded.predict(table))
    for wrong, (change, message) in WRONG_INPUTS.items():
        with pytest.raises(mlflow.MlflowException) as caught:
            loaded.predict(change(table))
        assert re.search(message, str(caught.value)), wrong


def test_the_model_loads_where_this_package_and_pickle_are_not(
    recorded: Callable[..., Run], folder: Path
) -> None:
    run = recorded(TWO)
    code = """
import sys, warnings
sys.modules["trainer"] = None
import mlflow, pandas
found = mlflow.pyfunc.load_model(sys.argv[1]).predict(pandas.DataFrame({"x1": [0], "x2": [1]}))
print(found["prediction"][0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(_model_folder(run))], cwd="/", check=True,
        capture_output=True, text=True, env={"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
                                             "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    model = load_model("last").model
    assert done.stdout.strip() == str(model.predict(np.array([[0.0, 1.0]]))["prediction"][0])


# Columns of every kind --------------------------------------------------------------------------


@pytest.mark.parametrize("name", TYPED)
def test_a_file_with_columns_of_every_kind(name: str, folder: Path) -> None:
    """What is read from a file is what the table held; predictions come as the columns say."""
    model, raw = typed_model(**TYPED[name])
    frame = pd.DataFrame(written(raw, model.preprocessing.columns))
    expected = model.predict(raw)
    for suffix in ("csv", "parquet"):
        _write(frame, folder / f"rows.{suffix}")
        assert predict_file(model, folder / f"rows.{suffix}", folder / "out.parquet") == len(raw)
        found = pq.read_table(folder / "out.parquet").to_pandas()
        assert tuple(found) == tuple(expected) == model.columns == TYPED_COLUMNS[name]
        for column, values in expected.items():
            assert found[column].to_numpy().tolist() == values.tolist()


TYPED_COLUMNS = {
    **dict.fromkeys(["number", "scaled number", "ranked number"], ("prediction",)),
    "numbers": ("prediction/rent", "prediction/price"),
    "classes": ("prediction", "probability/no", "probability/perhaps", "probability/yes"),
    "two classes": ("prediction", "probability/False", "probability/True"),
    "labels": ("prediction/cat", "prediction/dog", "prediction/bird",
               "probability/cat", "probability/dog", "probability/bird"),
}  # fmt: skip


def test_predictions_come_in_the_units_of_the_target() -> None:
    """The network learned log(1 + y), scaled to mean 0 and deviation 1."""
    model, raw = typed_model(**TYPED["scaled number"])
    scaling = model.preprocessing.target_scaling
    assert scaling.shift is not None
    expected = expm1(model.outputs(raw).astype(np.float64) * scaling.scale + scaling.shift)
    np.testing.assert_array_equal(model.predict(raw)["prediction"], expected[:, 0])


def test_labels_are_yes_or_no_each() -> None:
    model, raw = typed_model(**TYPED["labels"])
    logits, found = model.outputs(raw), model.predict(raw)
    for i, name in enumerate(("cat", "dog", "bird")):
        np.testing.assert_allclose(
            found[f"probability/{name}"], 1 / (1 + np.exp(-logits[:, i])), rtol=1e-5
        )
        assert found[f"prediction/{name}"].tolist() == (logits[:, i] > 0).tolist()


@pytest.mark.usefixtures("store")
def test_the_model_of_a_typed_table_is_kept_and_loads(typed_file: Table) -> None:
    """Its input example is what users would send."""
    run = begin(typed_spec())
    place = _model_folder(run)
    example = json.loads((place / "input_example.json").read_text())
    kinds = [type(cell) for cell in example["data"][1]]
    assert str in kinds
    loaded = mlflow.pyfunc.load_model(str(place))
    again = load_model("last").model
    own = again.preprocessing.adopt(load_table(again.spec), slice(None))
    expected = again.predict(own)["prediction"]
    frame = pd.DataFrame(written(typed_file.x, typed_file.columns))
    found = loaded.predict(frame)["prediction"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.fixture
def typed_file(folder: Path) -> Table:
    """rows.csv in the current folder, and what it holds."""
    table = typed_table()
    frame = pd.DataFrame(written(table.x, table.columns))
    _write(frame.assign(rent=table.target[:, 0]), folder / "rows.csv")
    return table


@pytest.mark.usefixtures("typed_file")
def test_the_columns_are_shown() -> None:
    spec = typed_spec()
    rows = {row[0]: row[1:] for row in column_rows(spec, load_dataset(spec))}
    assert rows["income"][:2] == ("numeric", "log1p, minmax")
    assert rows["city"][0::2] == ("categorical", "18, filled with none")
    assert rows["city"][1] == '5 columns: 7, Bonn, Köln "am Rhein", …; whether it is missing'
    assert rows["street"][1].startswith("a vector of 2 for each of 5 categories")
    assert rows["size"][:2] == ("ordinal", "0 to 2: small, middle, large; robust")
    assert rows["rooms"] == ("numeric", "quantile", "")
    assert rows["garden"][0] == "boolean"
    dataset = load_dataset(spec)
    model = build_graph(spec, dataset.layout)
    text = describe_model(spec, dataset, model, estimate_memory(spec, dataset, model))
    assert "\ncolumn  type         becomes" in text
    assert "column  type" not in _described("wine")


def _described(source: str) -> str:
    model = {"layers": [{"units": 3}], "loss": "logistic"}
    spec = Spec.model_validate(TINY | {"data": {"source": source}, "model": model})
    dataset = load_dataset(spec)
    graph = build_graph(spec, dataset.layout)
    return describe_model(spec, dataset, graph, estimate_memory(spec, dataset, graph))


def test_a_raw_row_is_explained(typed_file: Table) -> None:
    spec = typed_spec(dtype="float64", target_scale=["log1p", "standard"])
    how = load_dataset(spec).preprocessing
    case = case_of_spec(spec, row=3)
    raw = how.adopt(typed_file, np.array([3]))
    np.testing.assert_array_equal(case.feeds["x"], how.encode(raw))
    np.testing.assert_array_equal(case.feeds["y"], how.encode_target(typed_file.target[3:4]))
    assert case.notes[2].startswith("x is age, age missing, income, city=7, city=Bonn")
    given = case_of_spec(spec, at={"x": raw[0], "y": typed_file.target[3]})
    np.testing.assert_array_equal(given.feeds["x"], case.feeds["x"])
    np.testing.assert_array_equal(given.feeds["y"], case.feeds["y"])
    raw[0, 5] = 9
    with pytest.raises(UsageError, match="the feature 'size': expected a category that its order"):
        case_of_spec(spec, at={"x": raw[0]})


# Names for models -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flats", ("flats", None)),
        ("my flats@best-one", ("my flats", "best-one")),
        *((wrong, None) for wrong in ["", "a/b", "a:b", "a@", "@b", "a@b@c", "a@latest", "a@v1"]),
    ],
)  # fmt: skip
def test_names(text: str, expected: tuple[str, str | None] | None) -> None:
    if expected is None:
        with pytest.raises(UsageError, match="no name for a model"):
            RegisteredName.parse(text)
    else:
        found = RegisteredName.parse(text)
        assert (found.name, found.alias) == expected


def test_registering_and_promoting(train: Train, store: str, write_spec: WriteSpec) -> None:
    first = begin(load_spec(write_spec()), register="tiny@champion")
    second = begin(named(load_spec(write_spec({"sgd.epochs": 4})), "longer"))
    client = MlflowClient(store, registry_uri=store)
    assert client.get_model_version_by_alias("tiny", "champion").run_id == first.run_id

    code, out, _ = train("promote", "longer", "tiny@champion")
    assert (code, out) == (
        0, f"{str(second.id)[:8]} is version 2 of 'tiny': models:/tiny@champion\n",
    )  # fmt: skip
    assert client.get_model_version_by_alias("tiny", "champion").run_id == second.run_id
    code, out, _ = train("promote", "longer", "tiny", "--json")  # it is a version already
    assert json.loads(out) == {
        "id": second.id, "run_id": second.run_id, "name": "tiny", "version": "2", "alias": None,
        "uri": "models:/tiny/2",
    }  # fmt: skip
    mlflow.set_tracking_uri(store)
    loaded = mlflow.pyfunc.load_model("models:/tiny@champion")
    assert loaded.metadata.run_id == second.run_id


def test_a_wrong_name_is_told_before_training(
    train: Train, store: str, write_spec: WriteSpec
) -> None:
    code, _, err = train(write_spec(), "--register", "a/b")
    assert (code, "'a/b' is no name for a model" in err) == (2, True)
    assert train("promote", "last", "tiny")[0] == 2  # there is no run


# Serving ----------------------------------------------------------------------------------------


@pytest.fixture
def served(recorded: Callable[..., Run], folder: Path) -> Iterator[str]:
    """The address of a served model of flats."""
    recorded(NUMBERS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "trainer", "serve", "last", "--port", str(port)]
    with (folder / "said").open("w") as said:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
    assert server.stdout is not None
    first = server.stdout.readline()
    assert f"http://127.0.0.1:{port}/invocations" in first, (folder / "said").read_text()
    yield f"http://127.0.0.1:{port}/invocations"
    server.terminate()
    assert server.wait(20) == 0
    server.stdout.close()


def ask(address: str, rows: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        address, json.dumps({"dataframe_records": rows}).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_model_is_served_over_http(served: str) -> None:
    row = {"rooms": 2, "area": 54.5, "the, floor": 1}
    began = time.monotonic()
    status, answer = ask(served, [row, row])
    assert time.monotonic() - began < 30
    model = load_model("last").model
    expected = model.predict(np.array([[2, 54.5, 1]]))["prediction"][0]
    assert (status, len(answer["predictions"])) == (200, 2)
    assert answer["predictions"][0]["prediction"] == pytest.approx(float(expected), rel=1e-6)
    status, answer = ask(served, [row | {"area": "big"}])
    assert status == 400
    assert "row 0, column 'area': expected a number, found the text 'big'" in answer["message"]
