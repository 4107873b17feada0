"""What could not tell good from bad is refused or told before a training begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Train

import trainer
from trainer import DivergedError, Profile, SpecError, load_spec
from trainer.data import load_dataset
from trainer.report.health import examine
from trainer.training import EpochDone, History, make_job, run_job
from trainer.training.soundness import Targets, check_soundness

ROWS = 24
X = [[round(float(np.sin(7 * i)), 3), round(float(np.cos(5 * i)), 3)] for i in range(ROWS)]
LAST = {"split": {"validation": 0.25, "test": 0.25}}


def spec_of(folder: Path, train: list[Any], validation: list[Any], **changes: Any) -> Path:
    """A spec whose targets of training and validation rows are these; files without a split."""
    for name, targets in (("train", train), ("validation", validation)):
        lines = [",".join(map(str, (*X[i], *np.atleast_1d(y)))) for i, y in enumerate(targets)]
        columns = np.atleast_1d(targets[0]).size
        head = ["a,b,y"] if columns == 1 else ["a,b," + ",".join(f"y{i}" for i in range(columns))]
        (folder / f"{name}.csv").write_text("\n".join([*head, *lines]) + "\n")
    numbers = any(isinstance(y, float) for y in train)
    outputs = len({str(y) for y in train}) if not numbers else 1
    stopping = {"patience": 2, "monitor": changes.pop("monitor", "loss")}
    model = {"layers": [{"units": outputs if outputs > 2 else 1}],
             "loss": "squared" if numbers else "logistic"}  # fmt: skip
    sgd = {"learning_rate": 0.1, "batch_size": 4, "epochs": 3, "early_stopping": stopping}
    values: dict[str, Any] = {
        "name": "sound",
        "data": {"source": {"csv": "train.csv"}, "validation": "validation.csv", "target": "y"},
        "model": model, "sgd": sgd, "evaluation": {"metrics": changes.pop("metrics", [])},
    }  # fmt: skip
    for key, value in changes.items():
        room, _, name = key.partition("__")
        values[room][name] = value
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def notes_of(path: Path) -> list[str]:
    spec = load_spec(path)
    return check_soundness(spec, load_dataset(spec))


YES_NO = ["no", "yes"] * 6
REFUSED = [
    (YES_NO, ["no"] * 5, "auc", "hold one class (no), so there is no AUC to watch"),
    (YES_NO, ["yes"] * 5, "accuracy", "hold one class (yes), so there is no accuracy to watch"),
    (YES_NO, ["yes"], "f1", "hold one class (yes), so there is no f1 to watch"),
    (["a", "b", "c"] * 4, ["a", "b", "b"], "auc", "hold no row of c, so there is no AUC"),
    (["a", "b", "c"] * 4, ["b", "b", "b"], "balanced_accuracy", "hold one class (b), so"),
    ([1.5, 2.0, 0.25] * 4, [2.5], "r2", "are one row, so there is no R² to watch"),
    ([1.5, 2.0, 0.25] * 4, [2.5, 2.5, 2.5], "r2", "have the same y throughout, so"),
]


@pytest.mark.parametrize(("train_y", "validation_y", "monitor", "message"), REFUSED)
def test_what_cannot_be_watched_is_refused(
    folder: Path, train_y: list[Any], validation_y: list[Any], monitor: str, message: str
) -> None:
    metrics = [] if monitor in ("accuracy", "r2") else [monitor]
    path = spec_of(folder, train_y, validation_y, monitor=monitor, metrics=metrics)
    with pytest.raises(SpecError) as error:
        notes_of(path)
    [problem] = error.value.problems
    assert problem.path == "sgd.early_stopping.monitor"
    assert f"the validation rows {message}" in problem.message
    assert problem.hint == "use a larger split, or `monitor: loss`"
    with pytest.raises(SpecError):
        trainer.train(load_spec(path), profile=Profile(runs=None))


@pytest.mark.parametrize(("train_y", "validation_y", "note"), [
    (YES_NO, YES_NO, None),
    (YES_NO, ["no"] * 5, "the validation rows hold one class (no): accuracy, area under the ROC "
     "curve say nothing there"),
    ([1.5, 2.0, 0.25] * 4, [2.5], "the validation rows are one row: R² says nothing there"),
    ([1.5] * 12, [2.5, 1.0], "all training rows have the same y: there is nothing to learn"),
    ([1.5, 2.0, 0.25] * 4, [2.5, 1.0], None),
])  # fmt: skip
def test_what_says_nothing_is_told(
    folder: Path, train_y: list[Any], validation_y: list[Any], note: str | None
) -> None:
    metrics = [] if isinstance(train_y[0], float) else ["auc"]
    assert notes_of(spec_of(folder, train_y, validation_y, metrics=metrics)) == (
        [note] * bool(note)
    )


def test_rows_that_weigh_nothing_do_not_count() -> None:
    y, weight = np.array([[0.0], [1.0], [1.0]]), np.array([[0.0], [1.0], [2.0]])
    from trainer.data import Part

    part = Part(np.zeros((3, 1)), y, weight)
    assert Targets.of(part, True).same == [0]
    assert (Targets.of(part, True).rows, Targets.of(part, False).rows) == (2, 3)
    assert Targets.of(part, False).same == []


# Batch norm --------------------------------------------------------------------------------------

NORMED = [{"units": 3}, {"type": "batch_norm"}, {"units": 1}]


@pytest.mark.parametrize(("rows", "size", "refused", "finding"), [
    (12, 1, True, None),
    (12, 4, False, None),
    (9, 4, False, "sgd.batch_size: 5"),
    (9, 8, False, "sgd.batch_size: 9"),
    (13, 12, False, "sgd.batch_size: 13"),
    (12, "full", False, None),
])  # fmt: skip
def test_batch_norm_needs_two_rows(
    folder: Path, rows: int, size: Any, refused: bool, finding: str | None
) -> None:
    targets = [0.5 * i for i in range(rows)]
    changes = {"model__layers": NORMED, "sgd__batch_size": size, "sgd__epochs": 1}
    spec = load_spec(spec_of(folder, targets, targets, **changes))
    data = load_dataset(spec)
    if refused:
        with pytest.raises(SpecError, match="each batch has one row, and batch_norm normalises"):
            check_soundness(spec, data)
        return
    assert check_soundness(spec, data) == []
    job, history = (
        make_job(spec, data, trainer.build_graph(spec, data.layout), "reference"),
        History(),
    )
    for event in run_job(job):
        history.on(event)
    found = [each for each in examine(job, history) if each.kind == "one_row_batches"]
    assert len(found) == (finding is not None)
    for each in found:
        assert each.advice == f"try `{finding}`"
        better = int(each.advice.rstrip("`").split()[-1])
        assert rows % better != 1


def test_frozen_batch_norm_takes_any_batch(folder: Path) -> None:
    layers = [{"units": 3}, {"type": "batch_norm", "freeze": True}, {"units": 1}]
    changes = {"model__layers": layers, "sgd__batch_size": 1}
    assert notes_of(spec_of(folder, [0.5, 1.0, 2.0], [0.5, 1.0], **changes)) == []


# Schedules, and metrics that stop being finite ---------------------------------------------------


@pytest.mark.parametrize(("schedule", "epoch"), [
    ({"type": "exponential", "factor": 1e-10}, 2),
    ({"type": "step", "every": 2, "factor": 1e-12}, 3),
    ({"type": "linear"}, None),
    ({"type": "cosine", "final": 0.0}, None),
    ({"type": "exponential", "factor": 0.5}, None),
])  # fmt: skip
def test_a_schedule_that_ends_at_once_is_told(
    folder: Path, schedule: dict[str, Any], epoch: int | None
) -> None:
    changes = {"sgd__schedule": schedule, "sgd__epochs": 10}
    notes = notes_of(spec_of(folder, [0.5, 1.0, 2.0, 1.5], [0.5, 1.0], **changes))
    told = [note for note in notes if note.startswith("the schedule has taken the learning rate")]
    assert len(told) == (epoch is not None)
    assert not told or f"to 0 by epoch {epoch} of 10:" in told[0]


def test_what_stops_being_finite_while_it_is_watched_ends_the_run(folder: Path) -> None:
    """Predictions of a curve's logarithms may leave float64 while the loss stays finite."""
    targets = [1.0, 2.0, 4.0, 8.0] * 3
    changes = {
        "data__target_scale": "log1p",
        "monitor": "r2",
        "sgd__epochs": 60,
        "sgd__learning_rate": 1.2,
        "sgd__early_stopping": {"patience": 50, "monitor": "r2"},
    }
    seen: list[EpochDone] = []

    def listen(event: object) -> None:
        if isinstance(event, EpochDone):
            seen.append(event)

    with pytest.raises(DivergedError, match="val_r2, which early stopping watches, is no finite"):
        trainer.train(load_spec(spec_of(folder, targets, targets, **changes)),
                      profile=Profile(runs=None), listen=listen)  # fmt: skip
    assert all("val_r2" in event.metrics for event in seen[1:])


def test_check_tells_it_with_its_place(folder: Path, train: Train) -> None:
    spec_of(folder, YES_NO, ["no"] * 3, monitor="auc", metrics=["auc"])
    code, _, err = train("check", "spec.yaml")
    assert code == 2
    assert "spec.yaml:" in err
    assert "hint: use a larger split, or `monitor: loss`" in err
