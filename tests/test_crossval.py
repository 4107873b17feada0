"""Cross-validation: which rows each fold tests, what is computed of the folds, what is recorded."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from trainer import load_spec
from trainer.data import load_table, split_rows
from trainer.errors import DataError, DivergedError, InterruptedRun, SpecError, UsageError
from trainer.report.folds import write_folds
from trainer.runs.crossval import train_folds
from trainer.runs.folds import CrossValidation, plan_folds
from trainer.training import Ended, EpochDone, Event
from trainer.training.result import Run

WriteSpec = Callable[..., Path]

IRIS = {"data.source": "iris", "model.layers": [{"units": 3}], "sgd.batch_size": 20,
        "sgd.epochs": 2, "sgd.learning_rate": 0.05}  # fmt: skip
DIVERGING = {"data.source": {"synthetic": "linear", "rows": 30}, "model.loss": "squared",
             "sgd.learning_rate": 1e200}  # fmt: skip


def write_csv(folder: Path, labels: str, groups: str | None = None) -> None:
    """A table with a row a letter: its class, and its group."""
    rows = [f"{i},{label},{(groups or labels)[i]}" for i, label in enumerate(labels)]
    (folder / "rows.csv").write_text("\n".join(["x,y,g", *rows]) + "\n")


CSV = {"data.source": {"csv": "rows.csv"}, "data.target": "y", "data.features": ["x"],
       "model.layers": [{"units": 1}], "sgd.batch_size": "full"}  # fmt: skip


# Numbers ----------------------------------------------------------------------------------------


def made_up(*metrics: dict[str, float], folds: int | None = None) -> CrossValidation:
    """A cross-validation whose folds measured these."""
    runs = [
        Run(None, None, None, "FINISHED", 1, 1, {}, values, {}, "", "", "", (), 0.0)
        for values in metrics
    ]
    specs: Any = [None] * (folds or len(runs))
    return CrossValidation("made up", specs[0], specs, "", runs=runs)


def test_mean_and_deviation_by_hand() -> None:
    """Of 1, 2 and 6 the mean is 3 and the sample variance (4 + 1 + 9) / 2 = 7."""
    cross = made_up(
        {"test_loss": 1.0, "train_loss": 9.0, "test_auc": 0.5, "test_r2": 0.25},
        {"test_loss": 2.0, "train_loss": 9.0, "test_auc": math.inf, "test_r2": 0.25},
        {"test_loss": 6.0, "train_loss": 9.0, "test_auc": 0.5, "test_f1": 1.0, "test_r2": 0.25},
    )
    assert cross.mean == {"test_loss": 3.0, "test_r2": 0.25}
    assert cross.deviation == {"test_loss": pytest.approx(math.sqrt(7), rel=1e-15), "test_r2": 0}
    assert cross.measured["test_auc"] == [0.5, None, 0.5]
    assert cross.measured["test_f1"] == [None, None, 1.0]


def test_there_is_no_mean_before_the_last_fold() -> None:
    cross = made_up({"test_loss": 1.0}, {"test_loss": 2.0}, folds=3)
    assert (cross.mean, cross.deviation) == ({}, {})
    assert cross.measured == {"test_loss": [1.0, 2.0]}


# Folds ------------------------------------------------------------------------------------------


def held_back(cross: CrossValidation) -> list[np.ndarray[Any, Any]]:
    """The numbers of the rows that each fold tests; no fold trains on them."""
    found = []
    for spec in cross.specs:
        rows = split_rows(spec, load_table(spec))
        assert sorted(np.concatenate(list(rows.values()))) == list(
            range(sum(map(len, rows.values())))
        )
        found.append(rows["test"])
    return found


@pytest.mark.parametrize(("folds", "sizes"), [(5, {30}), (4, {37, 38}), (7, {21, 22})])
def test_every_row_is_tested_once_and_each_fold_has_its_share_of_each_class(
    write_spec: WriteSpec, folds: int, sizes: set[int]
) -> None:
    cross = plan_folds(write_spec(IRIS | {"data.split": {"validation": 0.2}}), folds)
    found = held_back(cross)
    assert len(found) == folds
    assert sorted(np.concatenate(found)) == list(range(150))
    assert {len(rows) for rows in found} == sizes
    target = load_table(cross.spec).target
    for counts in (np.bincount(target[rows], minlength=3) for rows in found):
        assert counts.min() >= 50 // folds
        assert counts.max() <= -(-50 // folds)


def test_groups_stay_whole(write_spec: WriteSpec, folder: Path) -> None:
    write_csv(folder, "ab" * 12, groups="ppppqqqqrrrrssssttttuuuu")
    cross = plan_folds(write_spec(CSV | {"data.split": {"group": "g"}}), 3)
    found = held_back(cross)
    assert sorted(np.concatenate(found)) == list(range(24))
    assert [len(rows) for rows in found] == [8, 8, 8]
    for rows in found:  # the groups are of four rows that follow one another
        assert {row // 4 for row in rows} == {row // 4 for row in rows if row % 4 == 0}


@pytest.mark.parametrize("overrides", [{"sgd.epochs": 1}, ["sgd.epochs=1"], None])
def test_the_spec_of_a_fold(write_spec: WriteSpec, overrides: Any) -> None:
    """It is the config with its fold, and `split.test` makes room for it."""
    path = write_spec(IRIS | {"data.split": {"validation": 0.2, "test": 0.25}})
    cross = plan_folds(path, 3, overrides)
    assert cross.notes == ["the folds take the place of data.split.test (0.25)"]
    by_hand = ["data.split={validation: 0.2, folds: 3, fold: 2}", "sgd.epochs=1"]
    expected = load_spec(path, by_hand if overrides else by_hand[:1])
    assert cross.specs[1].sha256 == expected.sha256
    assert [spec.data.split.fold for spec in (cross.spec, *cross.specs)] == [None, 1, 2, 3]


@pytest.mark.parametrize(("declared", "asked", "folds"), [(None, None, 5), (4, None, 4), (4, 3, 3)])
def test_the_number_of_folds(
    write_spec: WriteSpec, declared: int | None, asked: int | None, folds: int
) -> None:
    split = {"folds": declared, "fold": 2} if declared else {}
    cross = plan_folds(write_spec(IRIS | {"data.split": split}), asked)
    assert [spec.data.split.folds for spec in (cross.spec, *cross.specs)] == [folds] * (folds + 1)
    assert cross.notes == []


# What is told before anything is trained --------------------------------------------------------


FAULTS: dict[str, tuple[dict[str, Any], int, type[Exception], str]] = {
    "more folds than rows": (DIVERGING, 31, SpecError, "31 folds and 30 rows"),
    "more folds than rows of a class": (
        CSV, 5, DataError,
        r"data.target: 5 folds need as many rows of each class, and 'b' has 3 rows\n(.*\n)*"
        r" +hint: take 3 folds, or more rows of it",
    ),
    "a class with one row": (
        CSV | {"data.target": "g"}, 2, DataError,
        r"'z' has 1 row\n(.*\n)* +hint: leave its rows out, or more rows of it",
    ),
    "more folds than groups": (
        CSV | {"data.split": {"group": "g"}}, 4, SpecError, "4 folds and 3 groups",
    ),
    "files of test rows": (
        CSV | {"data.test": "rows.csv"}, 2, SpecError, "data.test: these rows test each model",
    ),
    "rows that stay on disk": (
        CSV | {"data.stream": True}, 2, SpecError, "split by chance alone",
    ),
    "a batch that one fold has not": (
        CSV | {"sgd.batch_size": 6}, 2, SpecError, "a batch of 6 rows is larger than the 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FAULTS)
def test_what_cannot_be_folded(write_spec: WriteSpec, folder: Path, what: str) -> None:
    changes, folds, error, message = FAULTS[what]
    write_csv(folder, "aaaaaaaabbb", groups="uuuuvvvvvvz")
    with pytest.raises(error, match=message):
        plan_folds(write_spec(changes), folds)
    assert not (folder / "runs").exists()


def test_the_folds_do_not_join_one_run(
    write_spec: WriteSpec, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    cross = plan_folds(write_spec(IRIS), 2)
    with pytest.raises(UsageError, match="MLFLOW_RUN_ID names one run"):
        train_folds(cross)
    assert (cross.status, cross.runs, cross.run_id) == ("FAILED", [], None)


# What is recorded -------------------------------------------------------------------------------


def all_runs(store: str) -> list[Any]:
    """All runs of a store, the first first."""
    client = MlflowClient(store)
    numbers = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(numbers, order_by=["attributes.start_time ASC"]))


def test_one_run_holds_the_folds(store: str, write_spec: WriteSpec, folder: Path) -> None:
    path = write_spec(IRIS | {"data.split": {"test": 0.2}, "tracking.experiment": "flowers"})
    cross = plan_folds(path, 2, name="petals")
    train_folds(cross, engine="reference")
    parent, *folds = all_runs(store)
    assert parent.info.run_id == cross.run_id
    assert parent.info.run_name == "petals 2 folds"
    assert parent.info.status == cross.status == "FINISHED"
    assert MlflowClient(store).get_experiment(parent.info.experiment_id).name == "flowers"
    tags = parent.data.tags
    assert tags["trainer.kind"] == "crossval"
    assert tags["trainer.spec_sha256"] == cross.spec.sha256
    assert tags["trainer.data_sha256"] == cross.runs[0].data_sha256
    assert "mlflow.parentRunId" not in tags
    assert (
        "- Note: the folds take the place of data.split.test (0.2)" in tags["mlflow.note.content"]
    )
    assert parent.data.params["data/split/folds"] == "2"
    assert parent.data.params["sgd/epochs"] == "2"
    expected = {f"{name}_mean": value for name, value in cross.mean.items()}
    expected |= {f"{name}_deviation": value for name, value in cross.deviation.items()}
    assert parent.data.metrics == expected
    assert {"test_loss_mean", "test_loss_deviation", "test_accuracy_mean"} <= expected.keys()

    for number, (fold, run) in enumerate(zip(folds, cross.runs, strict=True), start=1):
        assert fold.info.run_id == run.run_id
        assert fold.info.run_name == f"petals fold {number}/2"
        assert fold.info.experiment_id == parent.info.experiment_id
        assert fold.data.tags["mlflow.parentRunId"] == cross.run_id
        assert fold.data.tags["trainer.fold"] == f"{number}/2"
        assert fold.data.params["data/split/fold"] == str(number)
        assert fold.data.metrics["test_loss"] == run.metrics["test_loss"]

    files = folder / "runs" / "artifacts" / str(cross.run_id) / "artifacts"
    assert {str(p.relative_to(files)) for p in files.rglob("*.*")} == {
        "folds.csv", "plots/folds.png", "config/spec.yaml", "config/resolved.yaml",
    }  # fmt: skip
    with (files / "folds.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [row["run_id"] for row in rows] == [run.run_id for run in cross.runs]
    assert [float(row["test_loss"]) for row in rows] == cross.measured["test_loss"]
    assert not list(folder.glob("runs/.recording-*"))


def test_a_fold_is_reproduced_alone(train: Any, store: str, write_spec: WriteSpec) -> None:
    code, out, _ = train("crossval", write_spec(IRIS), "--folds", 2, "--json")
    assert code == 0
    fold = json.loads(out)["folds"][1]["run_id"]
    code, out, _ = train("reproduce", fold)
    assert (code, out.partition(":")[0]) == (0, "identical")
    for command in (["reproduce", "tiny 2 folds"], ["evaluate", "tiny 2 folds", "--data", "x.csv"]):
        code, _, err = train(*command)
        assert code == 2
        assert "(crossval) trained no model" in err


def test_the_table_and_the_picture_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    measured = {"test_loss": [0.5, 0.25, 0.1], "test_auc": [None, 1.0, 0.0],
                "test_f1": [None, None, None]}  # fmt: skip
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(
            [p.read_bytes() for p in write_folds("a", measured, [None] * 3, tmp_path / name)]
        )
    assert made[0] == made[1]
    lines = ["fold,run_id,test_loss,test_auc,test_f1", "1,,0.5,,", "2,,0.25,1.0,", "3,,0.1,0.0,"]
    assert made[0][0].decode().splitlines() == lines
    assert made[0][1].startswith(b"\x89PNG")


# The command ------------------------------------------------------------------------------------


def test_the_same_command_gives_the_same_numbers(
    train: Any, store: str, write_spec: WriteSpec
) -> None:
    path = write_spec(IRIS)
    first, second = (
        json.loads(train("crossval", path, "--folds", 3, "--json", "--threads", threads)[1])
        for threads in (1, 2)
    )
    assert list(first) == [
        "run_id", "experiment", "tracking_uri", "name", "status", "folds", "mean", "deviation",
        "seconds",
    ]  # fmt: skip
    hashes = [[fold["parameters_sha256"] for fold in it["folds"]] for it in (first, second)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == 3
    assert (first["mean"], first["deviation"]) == (second["mean"], second["deviation"])
    losses = [fold["metrics"]["test_loss"] for fold in first["folds"]]
    assert first["mean"]["test_loss"] == pytest.approx(sum(losses) / 3, rel=1e-12)
    assert first["deviation"]["test_loss"] == pytest.approx(np.std(losses, ddof=1), rel=1e-12)


def test_progress_and_the_table(train: Any, store: str, write_spec: WriteSpec) -> None:
    code, out, err = train("crossval", write_spec(IRIS), "--folds", 2, "--set", "sgd.epochs=1")
    assert code == 0
    assert [line for line in err.splitlines() if line.startswith("fold")] == [
        "fold 1 of 2", "fold 2 of 2",
    ]  # fmt: skip
    assert err.count("75 training rows, 1 epochs of 4 steps") == 2
    lines = out.splitlines()
    assert lines[1].split() == [
        "test",
        "metric",
        "mean",
        "±",
        "deviation",
        "fold",
        "1",
        "fold",
        "2",
    ]
    loss = lines[2].split()
    assert loss[0] == "loss"
    numbers = [float(loss[i]) for i in (1, 3, 4, 5)]
    assert numbers[0] == pytest.approx((numbers[2] + numbers[3]) / 2, rel=1e-4)
    assert numbers[1] == pytest.approx(abs(numbers[2] - numbers[3]) / math.sqrt(2), rel=0.05)
    assert any(line.endswith("2 of 2 folds") for line in lines)
    assert lines[-1] == "next: train ui"
    assert train("crossval", write_spec(IRIS), "--folds", 2, "--quiet") == (0, "", "")


@pytest.mark.parametrize("folds", ["1", "0", "two"])
def test_wrong_usage(train: Any, folder: Path, write_spec: WriteSpec, folds: str) -> None:
    code, out, err = train("crossval", write_spec(IRIS), "--folds", folds)
    assert (code, out) == (2, "")
    assert "--folds" in err


# Bad ends ---------------------------------------------------------------------------------------


def test_a_fold_that_diverges_fails_the_whole(
    train: Any, store: str, write_spec: WriteSpec
) -> None:
    code, out, err = train("crossval", write_spec(DIVERGING), "--folds", 3, "--json")
    assert code == 4
    assert err.startswith("train: fold 1 of 3: ")
    found = json.loads(out)
    assert (found["status"], found["mean"], found["deviation"]) == ("DIVERGED", {}, {})
    assert [fold["status"] for fold in found["folds"]] == ["DIVERGED"]
    parent, fold = all_runs(store)
    assert (parent.info.status, fold.info.status) == ("FAILED", "FAILED")
    assert parent.data.tags["trainer.diverged"].startswith("fold 1 of 3: ")
    assert fold.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert not parent.data.metrics


def test_what_was_measured_before_is_kept(
    store: str, write_spec: WriteSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second fold of three is made to diverge, by a rate that is too large."""
    cross = plan_folds(write_spec(DIVERGING | {"sgd.learning_rate": 0.01}), 3)
    cross.specs[1] = load_spec("spec.yaml", ["sgd.learning_rate=1e200"])
    with pytest.raises(DivergedError, match="fold 2 of 3: "):
        train_folds(cross)
    assert [run.status for run in cross.runs] == ["FINISHED", "DIVERGED"]
    parent, *_ = all_runs(store)
    assert "diverged after 1 of 3 folds" in parent.data.tags["mlflow.note.content"]
    table = folder / "runs" / "artifacts" / parent.info.run_id / "artifacts" / "folds.csv"
    assert len(table.read_text().splitlines()) == 3


def stop_in_fold(fold: int) -> dict[str, Any]:
    """Listeners that send SIGINT in the middle of this fold."""
    at: list[int] = []

    def on(event: Event) -> None:
        if isinstance(event, EpochDone) and event.epoch == 1 and at[-1] == fold:
            os.kill(os.getpid(), signal.SIGINT)

    return {"on_start": lambda number, job: at.append(number), "listeners": [on]}


def test_ctrl_c_ends_the_whole(store: str, write_spec: WriteSpec) -> None:
    before = signal.getsignal(signal.SIGINT)
    cross = plan_folds(write_spec(IRIS), 3)
    with pytest.raises(InterruptedRun, match="fold 2 of 3: interrupted") as caught:
        train_folds(cross, **stop_in_fold(2))
    assert caught.value.exit_code == 130
    assert cross.status == "KILLED"
    assert [run.info.status for run in all_runs(store)] == ["KILLED", "FINISHED", "KILLED"]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_a_fold_trains(store: str, write_spec: WriteSpec) -> None:
    """While a fold is set up the signal stops it at once."""

    def stop(fold: int, job: object) -> None:
        if fold == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    cross = plan_folds(write_spec(IRIS), 3)
    with pytest.raises(InterruptedRun) as caught:
        train_folds(cross, on_start=stop)
    assert caught.value.exit_code == 143
    assert cross.status == "KILLED"
    parent, *folds = all_runs(store)
    assert parent.info.status == "KILLED"
    assert [run.info.status for run in folds] == ["FINISHED", "KILLED"]


def test_ctrl_c_while_a_fold_is_recorded(store: str, write_spec: WriteSpec) -> None:
    """The fold is finished then, and the next does not begin."""

    def on(event: Event) -> None:
        if isinstance(event, Ended):
            os.kill(os.getpid(), signal.SIGINT)

    cross = plan_folds(write_spec(IRIS), 3)
    with pytest.raises(InterruptedRun, match="stopped after 1 of 3 folds") as caught:
        train_folds(cross, listeners=[on])
    assert (caught.value.exit_code, cross.status) == (130, "KILLED")
    assert [run.info.status for run in all_runs(store)] == ["KILLED", "FINISHED"]


def test_without_mlflow(folder: Path, write_spec: WriteSpec) -> None:
    cross = plan_folds(write_spec(IRIS), 2)
    train_folds(cross, track=False)
    assert (cross.run_id, cross.status, len(cross.runs)) == (None, "FINISHED", 2)
    assert not (folder / "runs").exists()
