"""Which columns matter: permutation importance, by hand and against other ways to it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, Train, WriteSpec

import trainer
from trainer import DataError, Spec, UsageError, load_spec
from trainer.data import load_dataset, load_table, split_rows
from trainer.graph.initialisers import initial_parameters
from trainer.network.build import build_graph
from trainer.network.importance import (
    Importance,
    choose_rows,
    deviations,
    permutation_importance,
)
from trainer.network.model import Model
from trainer.network.scoring import score_rows
from trainer.randomness import stream
from trainer.report.importance import importance_csv, write_importance
from trainer.runs.importance import record_importance

PNG = b"\x89PNG\r\n\x1a\n"


def linear(weights: list[float], bias: float, x: Any, y: Any) -> Model:
    """The model w · x + b of these rows, which is what it was given."""
    spec = Spec.model_validate({
        "name": "linear", "seed": 3,
        "data": {"source": {"inline": {"x": np.asarray(x).tolist(),
                                       "y": np.ravel(y).tolist()}}},
        "model": {"layers": [{"units": 1}], "loss": "squared", "dtype": "float64"},
        "sgd": {"learning_rate": 0.1, "epochs": 1, "batch_size": 5},
    })  # fmt: skip
    parameters = {
        "dense_1/W": np.array(weights, dtype=float)[:, None],
        "dense_1/b": np.array([bias], dtype=float),
    }
    return Model.from_parts(spec, parameters, load_dataset(spec).preprocessing)


X = np.array([[0.0, 5, 1], [1, 6, 0], [2, 7, 1], [3, 9, 0], [4, 8, 1]])
Y = (3 * X[:, :1] - X[:, 2:]).reshape(-1, 1)
"""y = 3a - c, and b says nothing."""


def test_a_linear_model_by_hand() -> None:
    """With a shuffled each row is off by 3 (a' - a), with b by nothing, with c by (c' - c); y has
    the variance v, and a mean square m costs m / v of R², which was 1.
    """
    model = linear([3, 0, -1], 0, X, Y)
    found = permutation_importance(model, X, Y, metric="r2", repeats=4)
    assert (found.columns, found.rows, found.score, found.loss) == (("x1", "x2", "x3"), 5, 1, 0)
    for repeat in range(4):
        order = stream(3, "importance", repeat + 1).permutation(5)
        squares = [np.mean((weight * (X[order, i] - X[:, i])) ** 2)
                   for i, weight in enumerate((3, 0, -1))]  # fmt: skip
        np.testing.assert_allclose(found.loss_gained[:, repeat], squares, atol=1e-12)
        np.testing.assert_allclose(found.score_lost[:, repeat], squares / Y.var(), atol=1e-12)
    assert found.order == (0, 2, 1)
    assert found.score_lost[1].tolist() == [0] * 4


def test_what_is_less_when_better_is_gained() -> None:
    model = linear([3, 0, -1], 0, X, Y)
    found = permutation_importance(model, X, Y, metric="rmse", repeats=2)
    np.testing.assert_allclose(found.score_lost**2, found.loss_gained, atol=1e-12)
    assert found.score_lost[0].min() > 0


def test_repeats_draw_alike_whatever_else_is_asked_for() -> None:
    """What is found of a column depends neither on how many repeats there are nor on the others."""
    model = linear([3, 0, -1], 0, X, Y)
    few, many = (permutation_importance(model, X, Y, metric="r2", repeats=n) for n in (2, 5))
    np.testing.assert_array_equal(few.score_lost, many.score_lost[:, :2])
    turned = linear([-1, 0, 3], 0, X[:, ::-1], Y)
    other = permutation_importance(turned, X[:, ::-1], Y, metric="r2", repeats=2)
    np.testing.assert_allclose(other.score_lost[::-1], few.score_lost, atol=1e-12)


def test_weights_of_rows_count() -> None:
    """A row that counts 0 is not measured, though its cells take part in the shuffling."""
    model, weight = linear([3, 0, -1], 0, X, Y), np.array([[1.0], [1], [1], [1], [0]])
    found = permutation_importance(model, X, Y, weight, metric="r2", repeats=1)
    order = stream(3, "importance", 1).permutation(5)
    squares = (3 * (X[order, 0] - X[:, 0])) ** 2
    assert found.loss_gained[0, 0] == pytest.approx(squares[:4].mean(), rel=1e-12)


def flats() -> tuple[Model, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """A model of numbers, categories, vectors, dates and gaps, and all rows of its table."""
    spec = load_spec(ROOT / "configs/flats.yaml")
    table, how = load_table(spec), load_dataset(spec).preprocessing
    parameters = initial_parameters(build_graph(spec, how.layout), spec.seed)
    return Model.from_parts(spec, parameters, how), how.adopt(table, slice(None)), table.target


def test_cells_are_shuffled_before_they_are_encoded() -> None:
    """What is done to columns of x is what shuffling the cells of the table does, for each kind."""
    model, raw, target = flats()
    found = permutation_importance(model, raw, target, metric="r2", repeats=1)
    order = stream(model.spec.seed, "importance", 1).permutation(len(raw))
    for i, name in enumerate(model.preprocessing.features):
        shuffled = raw.copy()
        shuffled[:, i] = raw[order, i]
        scores = score_rows(model.spec.model, model.preprocessing, model.outputs(shuffled), target)
        assert found.score - found.score_lost[i, 0] == pytest.approx(scores["r2"], rel=1e-9), name


def test_scikit_learn_finds_the_same() -> None:
    from sklearn.inspection import permutation_importance as other

    model, raw, target = flats()

    class Estimator:
        def fit(self, *_: Any) -> None: ...

        def score(self, x: Any, y: Any) -> float:
            outputs = model.outputs(x)
            return score_rows(model.spec.model, model.preprocessing, outputs, y)["r2"]

    mine = permutation_importance(model, raw, target, metric="r2", repeats=8)
    theirs = other(Estimator(), raw, target, n_repeats=8, random_state=0)
    spread = np.hypot(deviations(mine.score_lost), theirs.importances_std) / np.sqrt(8)
    apart = np.abs(mine.score_lost.mean(axis=1) - theirs.importances_mean)
    assert (apart <= 4 * spread + 1e-9).all()


# The rows ---------------------------------------------------------------------------------------


def test_which_rows_are_chosen() -> None:
    assert choose_rows(1, 4, 10).tolist() == [0, 1, 2, 3]
    chosen = choose_rows(1, 1000, 10)
    assert (len(set(chosen)), sorted(chosen)) == (10, chosen.tolist())
    assert choose_rows(2, 1000, 10).tolist() != chosen.tolist()


CLASSES = {
    "data.source": {"csv": "rows.csv"},
    "data.target": "kind",
    "data.split": {"validation": 0.25, "test": 0.25},
    "model.layers": [{"units": 3}],
    "sgd": {"learning_rate": 0.5, "batch_size": 20, "epochs": 30},
}


def write_rows(folder: Path, others: str = "") -> None:
    """80 rows, whose kind the town says and the number does not."""
    drawn = np.random.default_rng(0)
    towns, numbers = drawn.integers(0, 3, 80), drawn.normal(size=80)
    lines = [f"{'xyz'[t]},{n:.3f},{'ABC'[t]}" for t, n in zip(towns, numbers, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["town,number,kind", *lines]) + "\n" + others)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({}, "test"),
        ({"data.split": {"validation": 0.25}}, "validation"),
        ({"data.split": {}}, "train"),
        ({"data.stream": True}, "test"),
    ],
    ids=["test", "validation", "training", "streamed"],
)
def test_the_rows_of_a_run(
    write_spec: WriteSpec, folder: Path, train: Train, change: dict[str, Any], part: str
) -> None:
    write_rows(folder)
    path = write_spec(CLASSES | change)
    run = trainer.train(load_spec(path), profile=trainer.Profile(record=False))
    code, out, err = train("importance", run.name, "--json", "--no-track")
    found = json.loads(out)
    assert (code, err, found["data"]) == (0, "", part)
    town, number = found["columns"]
    assert (town["column"], number["column"]) == ("town", "number")
    assert town["accuracy_lost"] > 0.3 > 10 * abs(number["accuracy_lost"])
    if part == "test":
        assert found["loss"] == pytest.approx(run.metrics["test_loss"], rel=1e-5)
    if not change:
        spec = load_spec(path)
        rows = split_rows(spec, load_table(spec))["test"]
        lines = (folder / "rows.csv").read_text().splitlines()
        (folder / "some.csv").write_text("\n".join([lines[0], *(lines[1 + i] for i in rows)]))
        _, out, _ = train("importance", run.name, "--data", "some.csv", "--json", "--no-track")
        again = json.loads(out)
        assert again["columns"] == found["columns"]
        assert again["data"] == "some.csv"


def test_what_is_refused(write_spec: WriteSpec, folder: Path, train: Train) -> None:
    write_rows(folder)
    profile = trainer.Profile(record=False)
    run = trainer.train(load_spec(write_spec(CLASSES)), profile=profile)
    with pytest.raises(UsageError, match="'r2' is no metric of the loss 'logistic'"):
        trainer.importance(run.name, metric="r2", profile=profile)
    write_rows(folder, "x,1,A\n")
    with pytest.raises(DataError, match="not those any more that the run was trained on"):
        trainer.importance(run.name, profile=profile)
    code, _, err = train("importance", run.name, "--data", "rows.csv", "--rows", "10", "--quiet")
    assert (code, "the run is not recorded yet" in err) == (0, True)
    text = (folder / "rows.csv").read_text()
    (folder / "rows.csv").write_text("\n".join(line.partition(",")[2] for line in text.split("\n")))
    with pytest.raises(DataError, match="needs the column 'town', which is missing"):
        trainer.importance(run.name, profile=profile)


# What is shown and kept -------------------------------------------------------------------------


def test_the_table_and_the_picture_are_recorded(
    write_spec: WriteSpec, folder: Path, store: str, train: Train
) -> None:
    from mlflow import MlflowClient

    write_rows(folder)
    run = trainer.train(load_spec(write_spec(CLASSES)))
    code, out, err = train("importance", "last", "--png", "found.png")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].endswith(" on 20 test rows")
    assert lines[3].split() == ["column", "accuracy", "lost", "loss", "gained"]
    assert [line.split()[0] for line in lines[4:6]] == ["town", "number"]
    assert lines[-1] == "picture: found.png"
    client = MlflowClient(store)
    there = [item.path for item in client.list_artifacts(run.run_id, "importance")]
    assert there == ["importance/test.csv", "importance/test.png"]
    table = Path(client.download_artifacts(run.run_id, there[0], str(folder))).read_text()
    head = "column,accuracy_lost,accuracy_lost_deviation,loss_gained,loss_gained_deviation"
    assert table.splitlines()[0] == head
    assert Path(folder, "found.png").read_bytes().startswith(PNG)


def many(columns: int, value: float = 0.0) -> Importance:
    """The column of each number loses as much."""
    lost = np.arange(columns, dtype=float)[:, None] + np.zeros((columns, 2))
    return Importance(
        tuple(f"c{i}" for i in range(columns)), "r2", 9, 0.5, 1.0, lost, np.full_like(lost, value)
    )


@pytest.mark.parametrize(("columns", "value"), [(1, 1e300), (3000, np.nan)])
def test_pictures_of_any_size(columns: int, value: float, folder: Path) -> None:
    found = many(columns, value)
    write_importance(found, "a $name", "9 rows", folder / "found.png")
    assert (folder / "found.png").read_bytes().startswith(PNG)
    assert len(importance_csv(found).splitlines()) == columns + 1
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["columns"][0]["column"] == (
        f"c{columns - 1}"
    )


def test_many_columns_show_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    from trainer.cli.importance import _show
    from trainer.runs.importance import Measured

    run: Any = SimpleNamespace(id="0123456789", run_id=None, name="wide")
    _show(Measured(run, "train", 90, many(50)), None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "wide (01234567) on 9 of 90 training rows"
    assert [line.split()[0] for line in lines[4:24]] == [f"c{i}" for i in range(49, 29, -1)]
    assert lines[24] == "… and 30 more: --json has them all"
    assert not record_importance(Measured(run, "train", 90, many(50)))
