"""What people call their columns and classes, in the names that MLflow takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name, _validate_param_name
from stores import recorded

from trainer import load_spec, reproduce, train
from trainer.tracking.names import MAX_NAME, flatten, read, written
from trainer.tracking.record import record_metrics
from trainer.tracking.runs import Runs
from trainer.tracking.store import resolve_store

LONG = "a column of a questionnaire, " * 20


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grad_norm/dense_1/W", "grad_norm/dense_1/W"),
        ("Größe - alt.neu", "Größe - alt.neu"),
        ("Price (€)", "Price :28.20ac.29:"),
        ("precision/>50K", "precision/:3e:50K"),
        ("share %", "share :25:"),
        ("12:30", "12:3a:30"),
        ("a//b", "a/::/b"),
        ("../.", ":2e.2e:/:2e:"),
        ("/", "::/::"),
        ("", "::"),
        (" a ", ":20:a:20:"),
        ("two\nlines", "two:a:lines"),
        ("😀", ":1f600:"),
    ],
)
def test_names_as_mlflow_takes_them(name: str, expected: str) -> None:
    assert written(name) == expected
    assert read(expected) == name
    _validate_param_name(expected)


@given(st.text(max_size=300), st.text(max_size=300))
def test_each_name_has_one_of_its_own(one: str, other: str) -> None:
    name = written(one)
    _validate_param_name(name)
    _validate_metric_name(name)
    assert len(name) <= MAX_NAME
    assert written(read(name)) == name
    if one != other:
        assert written(other) != name
    if len("".join(map(written, one))) < MAX_NAME // 2:
        assert read(name) == one


@pytest.mark.parametrize("long", [LONG, "(" * 200, ("." * 9 + "é(") * 30, "a:" * 150])
def test_long_names_are_cut_and_differ(long: str) -> None:
    name = written(long)
    assert 200 < len(name) <= MAX_NAME
    assert name != written(long + "x")
    assert written(read(name)) == name


def test_keys_with_slashes_stay_apart() -> None:
    spec = {"columns": {"a/b": {"c": 1}, "a": {"b/c": 2}, "w//h": {"d": [{"e": None}, 3]}}}
    assert flatten(spec) == {
        "columns/a:2f:b/c": "1",
        "columns/a/b:2f:c": "2",
        "columns/w:2f.2f:h/d/0/e": "null",
        "columns/w:2f.2f:h/d/1": "3",
    }


def test_a_run_whose_names_are_odd(store: str, folder: Path) -> None:
    """Columns, classes and embeddings: recorded, read back under their names, reproduced."""
    names = ["Price (€)", "w//h", "two\nlines", LONG.strip()]
    classes = ("<=50K", ">50K")
    rows = [f"{i % 7},{i % 3},{'pq'[i % 2]},{i % 5},{classes[i % 4 > 0]}" for i in range(40)]
    header = ",".join(f'"{name}"' for name in names)
    Path("t.csv").write_text(f'{header},"a, b"\n' + "\n".join(rows) + "\n")
    Path("odd.yaml").write_text(
        """
name: odd
data:
  source: {csv: t.csv}
  target: "a, b"
  columns:
    "Price (€)": {scale: standard}
    "w//h": {scale: [log1p, standard]}
    "two\\nlines": {encode: embedding, dimensions: 2}
  split: {validation: 0.2}
model: {layers: [{units: 1}], loss: logistic, class_weights: {">50K": 3, "<=50K": 1}}
sgd: {learning_rate: 0.1, batch_size: 8, epochs: 1}
"""
    )
    run = train(load_spec("odd.yaml", {f'data.columns["{names[3]}"].scale': "minmax"}))
    params = recorded(run, store).data.params
    assert params["data/columns/Price :28.20ac.29:/scale"] == '["standard"]'
    assert params["model/class_weights/:3e:50K"] == "3.0"
    record_metrics(resolve_store(store, folder), str(run.run_id), {"eval/f1/>50K": 0.5})
    runs = Runs(resolve_store(store, folder))
    found = runs.find("odd")
    assert found.metrics["eval/f1/>50K"] == 0.5
    assert runs.points(found.run_id, "eval/f1/>50K") == [(0, 0.5)]
    assert found.params["data/columns/two\nlines/dimensions"] == "2"
    assert found.params["data/columns/w//h/scale"] == '["log1p", "standard"]'
    assert found.params["model/class_weights/<=50K"] == "1.0"
    assert reproduce("odd").identical
