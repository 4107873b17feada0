"""The pictures of a run: which there are, that they show the right numbers, and the same bytes."""

from __future__ import annotations

import copy
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TINY
from scipy.special import expit, softmax
from scipy.stats import binomtest
from sklearn import calibration as sklearn_calibration
from sklearn import metrics

from trainer import Spec, build_graph
from trainer.data import load_dataset
from trainer.metrics import Classes
from trainer.report import outcome as outcomes
from trainer.report import pictures, regression, style
from trainer.report import weights as weighing
from trainer.report.classification import class_numbers, confusion, roc_calibration
from trainer.report.curves import gradient_norms, learning_curves
from trainer.report.pictures import draw_pictures
from trainer.report.regression import predictions
from trainer.training import Job, make_job, run_job
from trainer.training.history import History

RANDOM = np.random.default_rng(1)
X = RANDOM.standard_normal((120, 3)).round(3)
SPLIT = {"validation": 0.25, "test": 0.25}
CURVES = ["learning_curves", "gradient_norms", "weights"]
OF_CLASSES = [*CURVES, "confusion", "roc_calibration"]
OF_NUMBERS = [*CURVES, "predictions"]


@pytest.fixture(autouse=True)
def _styled() -> Iterator[None]:
    """Figures are made as `draw_pictures` makes them."""
    with style.styled():
        yield


def data(y: Any, x: Any = X, **more: Any) -> dict[str, Any]:
    rows = {"x": np.asarray(x).tolist(), "y": np.asarray(y).tolist()}
    return {"source": {"inline": rows}, "split": SPLIT, **more}


def layers(*units: int, **more: Any) -> list[dict[str, Any]]:
    return [{"units": n, "activation": "tanh", **more} for n in units[:-1]] + [
        {"units": units[-1], **{key: value for key, value in more.items() if key != "name"}}
    ]


THREE = [["setosa", "_under", "$\\alpha$"][i % 3] for i in range(120)]
SQUARED: dict[str, Any] = {"model.loss": "squared", "model.layers": layers(1)}
BINARY = {"data": data((X[:, 0] > 0).astype(int)), "sgd.batch_size": 16}
CLASSES: dict[str, Any] = {
    "data": {"source": "iris", "split": SPLIT, "standardize": True},
    "model.layers": layers(5, 3),
    "sgd.batch_size": 16,
}
NUMBERS: dict[str, Any] = {
    "data": data(X[:, 0] * 2 + X[:, 1] ** 2),
    "sgd.learning_rate": 0.05,
    "sgd.batch_size": 16,
    **SQUARED,
}


def job_of(changes: Mapping[str, Any]) -> Job:
    """The job of the tiny spec with changes, dotted keys and their values; a call of its engine is
    a step.
    """
    values = copy.deepcopy(TINY)
    for path, value in changes.items():
        *parents, last = path.split(".")
        target = values
        for parent in parents:
            target = target[parent]
        target[last] = value
    spec = Spec.model_validate(values)
    dataset = load_dataset(spec)
    return make_job(spec, dataset, build_graph(spec, dataset.layout), "reference")


def trained(changes: Mapping[str, Any], asked: int | None = None) -> tuple[Job, History]:
    """A job after its training, which is stopped when it has asked so often."""
    job, history, times = job_of(changes), History(), count()
    for event in run_job(job, lambda: asked is not None and next(times) >= asked):
        history.on(event)
    return job, history


def drawn(changes: Mapping[str, Any], folder: Path, asked: int | None = None) -> list[Path]:
    job, history = trained(changes, asked)
    return draw_pictures(job, history, folder)


def chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """The chunks of a PNG file: name and content."""
    content, found, at = path.read_bytes(), [], 8
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def texts(figure: Any) -> str:
    """Everything that is written in a figure, line by line."""
    import matplotlib.text

    found = figure.findobj(matplotlib.text.Text)
    return "\n".join(text.get_text() for text in found if text.get_text())


# Which pictures there are ------------------------------------------------------------------------

FILES: dict[str, tuple[dict[str, Any], int | None, list[str]]] = {
    "two classes": (BINARY, None, OF_CLASSES),
    "two classes, two outputs": ({**BINARY, "model.layers": layers(2)}, None, OF_CLASSES),
    "three classes": (CLASSES, None, OF_CLASSES),
    "numbers": (NUMBERS, None, OF_NUMBERS),
    "three outputs": (
        {**NUMBERS, "data": data(X * 2), "model.layers": layers(3)}, None, OF_NUMBERS,
    ),
    "one epoch": ({**CLASSES, "sgd.epochs": 1}, None, OF_CLASSES),
    "stopped before anything": (CLASSES, 0, [*OF_CLASSES[2:]]),
    "stopped in the first epoch": (CLASSES, 4, ["learning_curves", *OF_CLASSES[2:]]),
    "diverged": (
        {**NUMBERS, "model.dtype": "float32", "sgd.learning_rate": 1e25},
        None,
        ["learning_curves", "weights", "predictions"],
    ),
    "no gradient": ({**NUMBERS, "data": data(X[:, 0] * 0),
                     "model.layers": layers(1, init="zeros")}, None, OF_NUMBERS),
    "no gradient in most layers": (
        {**CLASSES, "model.layers": layers(5, 4, 3, init="zeros")}, None, OF_CLASSES,
    ),
    "one parameter": (
        {**NUMBERS, "data": data(X[:, 1], X[:, :1]), "model.layers": layers(1, bias=False)},
        None,
        OF_NUMBERS,
    ),
    "one row": ({**SQUARED, "data": data([2.5], [[1]], split={}), "sgd.batch_size": 1}, None,
                OF_NUMBERS),
    "60 parameters": ({**BINARY, "model.layers": layers(*[4] * 29, 1)}, None, OF_CLASSES),
    "100 classes": (
        {"data": data([f"class {i % 100}" for i in range(1200)], np.repeat(X, 10, axis=0)),
         "model.layers": layers(100)},
        None,
        OF_CLASSES,
    ),
    "one class is tested": ({"data": data([0] * 19 + [1], X[:20], split={"test": 0.2})}, None,
                            OF_CLASSES),
    "strange names": (
        {"name": "$x^2$ \u4e2d\u6587 " * 9, "data": data([f"{name} \u4e2d" for name in THREE]),
         "model.layers": layers(4, 3, name="_hidden")},
        None,
        OF_CLASSES,
    ),
    "numbers near the largest": ({**NUMBERS, "data": data(X[:, 0] * 1e120)}, None, CURVES[2:]),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_files(case: str, tmp_path: Path) -> None:
    """Every kind of run has its pictures, of one size, without a warning."""
    changes, asked, names = FILES[case]
    files = drawn(changes, tmp_path, asked)
    assert files == [tmp_path / f"{name}.png" for name in names]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    for path in files:
        header, *others = chunks(path)
        assert struct.unpack(">II", header[1][:8]) == (990, 495), path
        assert {name for name, _ in others} <= {b"pHYs", b"IDAT", b"IEND"}, "no date, no version"
        assert 5_000 < path.stat().st_size < 200_000


def test_more_classes_than_a_picture_has_room_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pictures, "CLASSES", 2)
    assert [path.stem for path in drawn(CLASSES, tmp_path)] == CURVES


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the user set in Matplotlib, which is as before afterwards."""
    import matplotlib

    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    one = drawn(NUMBERS, first)
    with matplotlib.rc_context({"lines.linewidth": 9.0, "font.size": 30, "axes.facecolor": "red"}):
        two = drawn(NUMBERS, second)
        assert matplotlib.rcParams["font.size"] == 30
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    other = drawn({**NUMBERS, "seed": 6}, first)
    assert all(a.read_bytes() != b.read_bytes() for a, b in zip(other, two, strict=True))


def test_drawing_changes_neither_job_nor_history(tmp_path: Path) -> None:
    job, history = trained({**CLASSES, "sgd.momentum": 0.9}, asked=10)  # in the second epoch
    state = job.state
    position, metrics = job.snapshot().position, dict(history.last)
    assert len(draw_pictures(job, history, tmp_path)) == len(OF_CLASSES)
    assert (job.snapshot().position, history.last) == (position, metrics)
    for name, value in job.state.items():
        np.testing.assert_array_equal(value, state[name])


def test_matplotlib_is_imported_when_a_picture_is_drawn() -> None:
    code = "import sys, trainer.report.pictures; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Curves ------------------------------------------------------------------------------------------


def lines(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    """The curves of some axes by colour and dashes, without rings and leaders."""
    return {
        f"{line.get_color()} {line.get_linestyle()}": (
            line.get_xdata().tolist(), line.get_ydata().tolist(),
        )
        for line in axes.lines
        if line.get_linestyle() != "None" and line.get_transform() == axes.transData
    }  # fmt: skip


def test_learning_curves_show_the_history() -> None:
    job, history = trained({**NUMBERS, "sgd.epochs": 9, "sgd.learning_rate": 0.2})
    figure = learning_curves(job, history)
    assert figure is not None
    series = history.series()
    for axes, name in zip(figure.axes, ("loss", "r2"), strict=True):
        assert list(lines(axes).values()) == [
            (series[f"{part}_{name}"].steps.tolist(), series[f"{part}_{name}"].values.tolist())
            for part in ("train", "val")
        ]
        (ring,) = [line for line in axes.lines if line.get_linestyle() == "None"]
        best = int(history.last["best_epoch"])
        assert ring.get_xdata().tolist() == [best]
        assert ring.get_ydata().tolist() == [series[f"val_{name}"].values[best]]
    assert 0 < best < 9
    assert f"least validation loss, after epoch {best}" in texts(figure)
    assert f"training loss {history.last['train_loss']:.4g}" in texts(figure)


@pytest.mark.parametrize(
    ("values", "scale"),
    [([3.0, 2.9], "linear"), ([30, 2.0], "log"), ([1e9, 1e-9], "log"), ([5, 0.0], "linear"),
     ([5, 0.1, 0.0], "log"), ([7.0, 7.0], "linear"), ([0.0, 0.0], "linear")],
)  # fmt: skip
def test_scale_of_a_loss(values: list[float], scale: str) -> None:
    """It is logarithmic where positive losses span a decade."""
    job, history = trained({"sgd.epochs": len(values)})
    history._values["train_loss"] = (list(range(len(values))), values)
    figure = learning_curves(job, history)
    assert figure is not None
    assert figure.axes[0].get_yscale() == scale
    low, high = figure.axes[0].get_ylim()
    assert low < min(v for v in values if v > 0 or scale == "linear") <= max(values) < high


def test_a_long_run_shows_some_epochs_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    job, history = trained({"sgd.epochs": 2})
    history._values["train_loss"] = (list(range(5001)), np.linspace(1, 2, 5001).tolist())
    figure = learning_curves(job, history)
    assert figure is not None
    (curve,) = lines(figure.axes[0]).values()
    assert (len(curve[0]), curve[0][0], curve[0][-1]) == (1000, 0, 5000)
    assert "epoch (1,000 of 5,001 drawn)" in texts(figure)


def test_gradient_norms_show_the_history() -> None:
    """Colour by layer, biases dashed, all parameters in black."""
    job, history = trained(CLASSES)
    figure = gradient_norms(job, history)
    assert figure is not None
    series, found = history.series(), lines(figure.axes[0])
    for key, name in {
        "black -": "grad_norm",
        f"{style.COLOURS[0]} -": "grad_norm/dense_1/W",
        f"{style.COLOURS[0]} --": "grad_norm/dense_1/b",
        f"{style.COLOURS[1]} -": "grad_norm/dense_2/W",
        f"{style.COLOURS[1]} --": "grad_norm/dense_2/b",
    }.items():
        assert found.pop(key) == (series[name].steps.tolist(), series[name].values.tolist())
    assert not found
    assert figure.axes[0].get_yscale() == "log"
    assert {"all", "dense_1/W", "dense_1/b", "dense_2/W", "dense_2/b"} <= {*texts(figure).split()}


def test_a_gradient_that_is_always_0_is_named_instead() -> None:
    job, history = trained({**CLASSES, "model.layers": layers(5, 3, init="zeros")})
    figure = gradient_norms(job, history)
    assert figure is not None
    assert "always 0, not shown: dense_1/W and 2 more" in texts(figure)
    assert len(lines(figure.axes[0])) == 2


# Updates -----------------------------------------------------------------------------------------

RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"sgd.momentum": 0.9},
    "everything": {"sgd.momentum": 0.9, "sgd.nesterov": True, "sgd.weight_decay": 0.01,
                   "sgd.clip_norm": 0.1, "model.dtype": "float32"},
}  # fmt: skip


def after(changes: Mapping[str, Any], steps: int) -> Job:
    """A job that has done so many steps."""
    job = job_of(changes)
    events = run_job(job)
    while job.progress.step < steps:
        assert next(events) is not None
    return job


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [0, 1, 4, 5, 6])  # of 5 an epoch, the last one of 10 rows
def test_update_of_the_next_step_is_that_of_the_run(rule: str, steps: int) -> None:
    changes = {**CLASSES, "sgd.batch_size": 16, **RULES[rule]}
    before, then = after(changes, steps), after(changes, steps + 1).parameters
    assert before.steps_per_epoch == 5
    names = list(then)
    rows = weighing.batch_rows(before, *weighing.next_step(before))
    assert len(rows) == (10 if steps == 4 else 16)
    update = weighing.step_update(before, before.state, rows, names)
    for name, value in before.parameters.items():
        np.testing.assert_array_equal(update[name], then[name] - value)
        assert update[name].any()
    wrong = weighing.batch_rows(before, 3, 0)
    other = weighing.step_update(before, before.state, wrong, names)
    assert (other["dense_1/W"] != update["dense_1/W"]).any(), "other rows, another update"


def test_histograms_show_parameters_and_updates() -> None:
    """Shares of the values in each bin: start and end of the run, first step and next."""
    changes = {**CLASSES, "model.layers": layers(30, 3), "sgd.momentum": 0.9}
    job, _ = trained(changes)
    figure = weighing.weights(job)
    upper, lower = figure.axes[0], figure.axes[1]
    fresh = after(changes, 1)
    first = fresh.state["dense_1/W"] - job.initial["dense_1/W"]
    rows = weighing.batch_rows(job, 4, 0)
    last = weighing.step_update(job, job.state, rows, ["dense_1/W"])["dense_1/W"]
    pairs = {
        upper: (job.initial["dense_1/W"], job.state["dense_1/W"]),
        lower: (np.abs(first), np.abs(last)),
    }
    assert upper.get_title("left") == "dense_1/W\n(4, 30)"
    for axes, pair in pairs.items():
        for patch, values in zip(axes.patches, pair, strict=True):
            share, edges, _ = patch.get_data()
            np.testing.assert_allclose(share, np.histogram(values, edges)[0] / values.size)
            assert share.sum() == pytest.approx(1, abs=1e-12)
    assert (upper.get_xscale(), lower.get_xscale()) == ("linear", "log")


def test_a_large_batch_is_cut_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    job, _ = trained(CLASSES)
    assert "rows of the batch" not in texts(weighing.weights(job))
    whole = weighing.batch_rows(job, 1, 0)
    monkeypatch.setattr(weighing, "BATCH_ROWS", 7)
    np.testing.assert_array_equal(weighing.batch_rows(job, 1, 0), whole[:7])
    assert "size of its update (by the first 7 rows of the batch)" in texts(weighing.weights(job))


def test_which_parameters_are_shown() -> None:
    two = ["a/W", "a/b", "b/W", "b/b"]
    many = [f"{i}/{kind}" for i in range(30) for kind in "Wb"]
    assert weighing.chosen(two) == two
    assert weighing.chosen([*two, "c/W"]) == ["a/W", "b/W", "c/W"]
    assert weighing.chosen(many) == ["0/W", "6/W", "12/W", "17/W", "23/W", "29/W"]


# What is measured --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("split", "where"),
    [(SPLIT, "test"), ({"validation": 0.25}, "validation"), ({}, "training")],
)
def test_measured_rows(split: dict[str, float], where: str) -> None:
    job, _ = trained({**CLASSES, "data": {"source": "iris", "split": split}})
    outcome = outcomes.measure(job)
    assert outcome is not None
    part = getattr(job.dataset, {"training": "train"}.get(where, where))
    assert outcome.where == f"{len(part)} {where} rows"
    np.testing.assert_array_equal(outcome.y, part.y)
    np.testing.assert_array_equal(outcome.prediction, job.session.predict(part.arrays, 1024)[1])


def test_of_many_rows_some_are_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    job, _ = trained({**NUMBERS, "evaluation": {"batch_size": 3}})
    whole = outcomes.measure(job)
    monkeypatch.setattr(outcomes, "ROWS", 10)
    monkeypatch.setattr(outcomes, "GATHERED", 4)
    some = outcomes.measure(job)
    assert whole is not None
    assert some is not None
    assert (whole.where, some.where) == ("30 test rows", "10 of 30 test rows")
    np.testing.assert_array_equal(some.y, whole.y[::3])
    np.testing.assert_allclose(some.prediction, whole.prediction[::3], rtol=1e-14)


def test_predictions_that_are_not_finite_are_left_out() -> None:
    job, _ = trained(NUMBERS)
    test = job.dataset.test
    assert test is not None
    test.x[4] = np.inf
    outcome = outcomes.measure(job)
    assert outcome is not None
    assert outcome.where == "30 test rows (1 not finite)"
    assert len(outcome.y) == len(outcome.prediction) == 29
    test.x[:] = np.nan
    assert outcomes.measure(job) is None


def test_titles_give_the_scores_of_the_run() -> None:
    job, history = trained(CLASSES)
    outcome = outcomes.measure(job)
    assert outcome is not None
    right = round(history.last["test_accuracy"] * 38)
    assert f"{right} right ({right / 38:.1%}) of 38 test rows" in texts(confusion(job, outcome))
    job, history = trained(NUMBERS)
    outcome = outcomes.measure(job)
    assert outcome is not None
    title = texts(predictions(job, outcome))
    assert f"'y' of 30 test rows, R² {history.last['test_r2']:.4g}" in title


def test_confusion_matrix_is_drawn_with_its_counts() -> None:
    job, _ = trained({**CLASSES, "data": data(THREE)})
    outcome = outcomes.measure(job)
    assert outcome is not None
    counts = metrics.confusion_matrix(outcome.y.argmax(1), outcome.prediction.argmax(1))
    figure = confusion(job, outcome)
    image = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(image**2, counts / counts.sum(axis=1, keepdims=True))
    written = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    expected = np.ndenumerate(counts)
    assert written == {(column, row): str(n) for (row, column), n in expected if n}
    recall, precision = (line.get_xdata() for line in figure.axes[2].lines)
    np.testing.assert_allclose(recall, np.diag(counts) / counts.sum(axis=1))
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(precision, np.diag(counts) / counts.sum(axis=0))


def test_roc_curves_are_named_with_their_areas() -> None:
    """Classes whose names mean something to Matplotlib among them."""
    job, _ = trained({**CLASSES, "data": data(THREE)})
    outcome = outcomes.measure(job)
    assert outcome is not None
    figure = roc_calibration(job, outcome)
    probability = softmax(outcome.prediction, axis=1)
    areas = metrics.roc_auc_score(outcome.y, probability, average=None)
    names = job.dataset.classes or ()
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == [f"{name}: {area:.4f}" for name, area in zip(names, areas, strict=True)]
    assert labels[0].startswith("$")


def test_very_many_predictions_are_counted_in_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    job, _ = trained(NUMBERS)
    outcome = outcomes.measure(job)
    assert outcome is not None
    points = predictions(job, outcome).axes[0]
    assert not points.images
    assert points.lines[0].get_xdata().tolist() == outcome.y[:, 0].tolist()
    assert points.lines[0].get_ydata().tolist() == outcome.prediction[:, 0].tolist()
    monkeypatch.setattr(regression, "POINTS", 10)
    cells = predictions(job, outcome).axes[0]
    (image,) = cells.images
    counts = np.exp(image.get_array()).filled(0).round().astype(int)
    assert counts.sum() == 30
    left, right, low, high = image.get_extent()
    assert (left, right) == (low, high) == cells.get_xlim()
    column = int((outcome.y[0, 0] - left) / (right - left) * 120)
    row = int((outcome.prediction[0, 0] - low) / (high - low) * 120)
    assert counts[row, column] > 0


# The numbers -------------------------------------------------------------------------------------

TRUE = RANDOM.integers(0, 2, 300).astype(bool)
SCORES = {
    "spread": RANDOM.random(300),
    "good": np.clip(TRUE * 0.5 + RANDOM.random(300) * 0.6, 0, 1),
    "ties": (RANDOM.random(300) * 5).round() / 5,  # 0 and 1 and edges of bins among them
    "alike": np.full(300, 0.3),
    "perfect": TRUE * 1.0,
}


@pytest.mark.parametrize("case", SCORES)
def test_roc_curve_and_calibration_are_those_of_scikit_learn(case: str) -> None:
    score = SCORES[case]
    curve = outcomes.roc_curve(TRUE, score)
    assert curve is not None
    false, true, _ = metrics.roc_curve(TRUE, score, drop_intermediate=False)
    np.testing.assert_allclose(curve, (false, true), rtol=1e-15)
    assert outcomes.area_under(*curve) == pytest.approx(metrics.roc_auc_score(TRUE, score))
    bins = outcomes.calibration(TRUE, score)
    full = bins.count > 0
    observed, predicted = sklearn_calibration.calibration_curve(TRUE, score, n_bins=10)
    np.testing.assert_allclose(bins.observed[full], observed)
    np.testing.assert_allclose(bins.predicted[full], predicted)
    assert bins.count.sum() == 300
    assert np.isnan(bins.observed[~full]).all()


def test_one_class_has_no_roc_curve() -> None:
    assert outcomes.roc_curve(np.ones(3, bool), np.array([0.1, 0.2, 0.3])) is None
    assert outcomes.roc_curve(np.zeros(3, bool), np.array([0.1, 0.2, 0.3])) is None


@pytest.mark.parametrize(("hits", "rows"), [(0, 1), (1, 1), (3, 10), (50, 1000), (0, 40)])
def test_wilson_interval_is_that_of_scipy(hits: int, rows: int) -> None:
    low, high = outcomes.wilson(np.array([hits]), np.array([rows]))
    expected = binomtest(hits, rows).proportion_ci(method="wilson")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_confusion_matrix_is_that_of_scikit_learn() -> None:
    true, predicted = RANDOM.integers(0, 4, (2, 200))
    np.testing.assert_array_equal(
        outcomes.confusion_matrix(true, predicted, 5),
        metrics.confusion_matrix(true, predicted, labels=range(5)),
    )


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_probabilities_and_classes(outputs: int) -> None:
    logits = np.append(RANDOM.standard_normal((50, outputs)) * 3, np.zeros((1, outputs)), axis=0)
    logits[0] = [800, -800, 0][:outputs]
    classes = Classes(outputs)
    probability = classes.probabilities(logits)
    second = expit(logits[:, 0])
    expected = np.stack([1 - second, second], 1) if outputs == 1 else softmax(logits, axis=1)
    np.testing.assert_allclose(probability, expected, atol=1e-15)
    number = RANDOM.integers(0, max(outputs, 2), len(logits))
    y = number[:, None] if outputs == 1 else np.eye(outputs)[number]
    right, predicted = class_numbers(outcomes.Outcome(logits, y, "here"))
    np.testing.assert_array_equal(predicted, probability.round(12).argmax(axis=1))
    np.testing.assert_array_equal(right, number)


# Axes and names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.9e-3, 2, "0.001 0.01 0.1 1"), (3, 70, "5 10 20 50"), (1e-9, 1e9, "10⁻⁹ 10⁻⁶ 0.001 1 "
      "1000 10⁶ 10⁹"), (2e-6, 3e-6, "2·10⁻⁶"), (1.5e4, 2.5e5, "20000 50000 10⁵ 2·10⁵")],
)  # fmt: skip
def test_logarithmic_ticks(low: float, high: float, ticks: str) -> None:
    assert " ".join(map(style.power, style.log_ticks(low, high, 7))) == ticks


@pytest.mark.parametrize("size", [0.0, 5e-324, 1e-310, 1e-200, 1e-5, 1.0, 1e99])
@pytest.mark.parametrize("other", [0.0, 1.0, 1 + 1e-12, -1.0, 3.0])
def test_limits_hold_the_values_and_leave_room(size: float, other: float) -> None:
    values = np.array([size, size * other])
    low, high = style.linear_limits(values)
    assert low < values.min() <= values.max() < high
    assert len(np.unique(np.linspace(low, high, 40))) == 40
    if style.positive(values).all():
        low, high = style.log_limits(values)
        assert 0 < low < values.min() <= values.max() < high
        assert high / low > 4.9


@pytest.mark.parametrize(
    ("places", "moved"),
    [([], []), ([0.5], [0.5]), ([0.9, 0.1], [0.9, 0.1]), ([0.5, 0.5], [0.45, 0.55]),
     ([1.0, 1.0], [0.9, 1.0]), ([0.0, 0.02, 0.5], [0.0, 0.1, 0.5]),
     ([0.3, 0.3, 0.3], [0.2, 0.3, 0.4]), ([0.2, 0.21, 0.3], [0.1366667, 0.2366667, 0.3366667])],
)  # fmt: skip
def test_labels_are_moved_apart(places: list[float], moved: list[float]) -> None:
    assert style.spread(places, 0.1) == pytest.approx(moved, abs=1e-6)


def test_names_and_counts_are_shortened() -> None:
    assert style.short("a\n b\tc", 9) == "a b c"
    assert style.short("abcdefghij", 10) == "abcdefghij"
    assert style.short("abcdefghijk", 10) == "abcde…hijk"
    assert [style.compact(n) for n in (0, 9999, 12_345, 100_000)] == ["0", "9999", "12k", "100k"]
