"""Cross-validation: which rows each fold tests, what is computed of the folds, what is recorded."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from here import open_here
from mlflow import MlflowClient

from trainer import Profile, crossval, load_spec
from trainer.checkpoints.facts import OUTCOME, read_facts, read_outcome
from trainer.checkpoints.folder import RunFolder, folders
from trainer.data import load_table, split_rows
from trainer.errors import DataError, DivergedError, InterruptedRun, SpecError, UsageError
from trainer.report.folds import write_folds
from trainer.runs.facts import named
from trainer.sweeps import crossval as module
from trainer.sweeps.folds import CrossValidation, Plan, plan_folds
from trainer.training import Ended, EpochDone, Event, Run, Saved, Started, StepsDone

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
        Run("made up", "FINISHED", 1, 1, {}, values, {}, "", "", "", (), (), 0.0)
        for values in metrics
    ]
    specs: Any = [None] * (folds or len(runs))
    return CrossValidation(Plan(specs[0], specs, ""), runs)


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


def held_back(plan: Plan) -> list[np.ndarray[Any, Any]]:
    """The numbers of the rows that each fold tests; no fold trains on them."""
    found = []
    for spec in plan.specs:
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
    plan = plan_folds(load_spec(write_spec(IRIS | {"data.split": {"validation": 0.2}})), folds)
    found = held_back(plan)
    assert len(found) == folds
    assert sorted(np.concatenate(found)) == list(range(150))
    assert {len(rows) for rows in found} == sizes
    target = load_table(plan.spec).target
    for counts in (np.bincount(target[rows], minlength=3) for rows in found):
        assert counts.min() >= 50 // folds
        assert counts.max() <= -(-50 // folds)


def test_groups_stay_whole(write_spec: WriteSpec, folder: Path) -> None:
    write_csv(folder, "ab" * 12, groups="ppppqqqqrrrrssssttttuuuu")
    plan = plan_folds(load_spec(write_spec(CSV | {"data.split": {"group": "g"}})), 3)
    found = held_back(plan)
    assert sorted(np.concatenate(found)) == list(range(24))
    assert [len(rows) for rows in found] == [8, 8, 8]
    for rows in found:  # the groups are of four rows that follow one another
        assert {row // 4 for row in rows} == {row // 4 for row in rows if row % 4 == 0}


@pytest.mark.parametrize("overrides", [{"sgd.epochs": 1}, ["sgd.epochs=1"], ()])
def test_the_spec_of_a_fold(write_spec: WriteSpec, overrides: Any) -> None:
    """It is the config with its fold, and `split.test` makes room for it."""
    path = write_spec(IRIS | {"data.split": {"validation": 0.2, "test": 0.25}})
    plan = plan_folds(load_spec(path, overrides), 3)
    assert plan.notes == ("the folds take the place of data.split.test (0.25)",)
    by_hand = ["data.split={validation: 0.2, folds: 3, fold: 2}", "sgd.epochs=1"]
    expected = load_spec(path, by_hand if overrides else by_hand[:1])
    assert plan.specs[1].sha256 == expected.sha256
    assert [spec.data.split.fold for spec in (plan.spec, *plan.specs)] == [None, 1, 2, 3]


@pytest.mark.parametrize(("declared", "asked", "folds"), [(None, None, 5), (4, None, 4), (4, 3, 3)])
def test_the_number_of_folds(
    write_spec: WriteSpec, declared: int | None, asked: int | None, folds: int
) -> None:
    split = {"folds": declared, "fold": 2} if declared else {}
    plan = plan_folds(load_spec(write_spec(IRIS | {"data.split": split})), asked)
    assert [spec.data.split.folds for spec in (plan.spec, *plan.specs)] == [folds] * (folds + 1)
    assert plan.notes == ()


# What is told before anything is trained --------------------------------------------------------


FAULTS: dict[str, tuple[dict[str, Any], int, type[Exception], str]] = {
    "more folds than rows": (DIVERGING, 31, SpecError, "31 folds and 30 rows"),
    "more folds than rows of a class": (
        CSV, 5, DataError,
        r"data.target: 5 folds need as many rows of each class, and 'b' has 3 rows \[TR-W011\]"
        r"\n(.*\n)*"
        r" +hint: take 3 folds, or more rows of it",
    ),
    "a class with one row": (
        CSV | {"data.target": "g"}, 2, DataError,
        r"'z' has 1 row \[TR-W011\]\n(.*\n)* +hint: leave its rows out, or more rows of it",
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
        crossval(load_spec(write_spec(changes)), folds)
    assert not (folder / "runs").exists()


# What is recorded -------------------------------------------------------------------------------


def all_runs(store: str) -> list[Any]:
    """All runs of a store: those that hold others, and then the folds in their order."""
    client = MlflowClient(store)
    numbers = [experiment.experiment_id for experiment in client.search_experiments()]
    found = client.search_runs(numbers)
    return sorted(found, key=lambda run: run.data.tags.get("trainer.fold", ""))


def test_the_folds_do_not_join_one_run(
    write_spec: WriteSpec, store: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    spec = load_spec(write_spec(IRIS))
    with pytest.raises(UsageError, match="MLFLOW_RUN_ID names one run"):
        crossval(spec, 2)
    assert not list(folders(folder / "runs"))
    cross = crossval(spec, 2, profile=Profile(record=False))
    assert (cross.status, cross.run_id, len(all_runs(store))) == ("FINISHED", None, 0)


@pytest.mark.pictures
def test_one_run_holds_the_folds(store: str, write_spec: WriteSpec, folder: Path) -> None:
    path = write_spec(IRIS | {"data.split": {"test": 0.2}, "tracking.experiment": "flowers"})
    cross = crossval(named(load_spec(path), "petals"), 2, profile=Profile("reference"))
    parent, *folds = all_runs(store)
    assert parent.info.run_id == cross.run_id
    assert cross.folder is not None
    assert parent.data.tags["trainer.run"] == cross.folder.name
    assert parent.info.run_name == "petals 2 folds"
    assert parent.info.status == cross.status == "FINISHED"
    assert MlflowClient(store).get_experiment(parent.info.experiment_id).name == "flowers"
    tags = parent.data.tags
    assert tags["trainer.kind"] == "crossval"
    assert tags["trainer.spec_sha256"] == cross.plan.spec.sha256
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
        assert fold.data.tags["trainer.run"] == run.id
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
    assert [row["run"] for row in rows] == [run.id for run in cross.runs]
    assert [float(row["test_loss"]) for row in rows] == cross.measured["test_loss"]
    kept = [(facts.kind, facts.parent) for facts in map(read_facts, folders(folder / "runs"))]
    assert kept == [("crossval", None), *2 * [("train", cross.folder.name)]]


def test_a_fold_is_not_trained_twice(store: str, write_spec: WriteSpec) -> None:
    """Of more epochs none is known; what is known is recorded below the new whole."""
    spec = load_spec(write_spec(IRIS))
    first, second, anew = crossval(spec, 2), crossval(spec, 2), crossval(spec, 2, again=True)
    other = crossval(spec.changed({"sgd.epochs": 3}), 2)
    known = [[run.known for run in cross.runs] for cross in (first, second, anew, other)]
    assert known == [[False] * 2, [True] * 2, [False] * 2, [False] * 2]
    assert first.mean == second.mean == anew.mean != other.mean
    runs = all_runs(store)
    assert len(runs) == 12
    for cross in (first, second, anew, other):
        below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == cross.run_id]
        assert [run.info.run_id for run in below] == [run.run_id for run in cross.runs]
        assert [run.data.metrics["test_loss"] for run in below] == cross.measured["test_loss"]


def test_a_fold_is_reproduced_alone(train: Any, store: str, write_spec: WriteSpec) -> None:
    code, out, _ = train("crossval", write_spec(IRIS), "--folds", 2, "--json")
    assert code == 0
    fold = json.loads(out)["folds"][1]["id"]
    code, out, _ = train("reproduce", fold)
    assert (code, out.partition(":")[0]) == (0, "identical")
    for command in (["reproduce", "tiny 2 folds"], ["evaluate", "tiny 2 folds", "--data", "x.csv"]):
        code, _, err = train(*command)
        assert code == 2
        assert "(crossval) trained no model" in err


@pytest.mark.pictures
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
    lines = ["fold,run,test_loss,test_auc,test_f1", "1,,0.5,,", "2,,0.25,1.0,", "3,,0.1,0.0,"]
    assert made[0][0].decode().splitlines() == lines
    assert made[0][1].startswith(b"\x89PNG")


# The command ------------------------------------------------------------------------------------


def test_the_same_command_gives_the_same_numbers(
    train: Any, store: str, write_spec: WriteSpec
) -> None:
    path = write_spec(IRIS)
    first, second = (
        json.loads(
            train("crossval", path, "--folds", 3, "--json", "--again", "--threads", threads)[1]
        )
        for threads in (1, 2)
    )
    assert list(first) == [
        "id", "run_id", "experiment", "tracking_uri", "name", "status", "folds", "mean",
        "deviation", "seconds",
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
    for fold in (1, 2):
        assert f"tiny fold {fold}/2: 15 parameters, 75 training rows, 1 epochs of 4 steps" in err
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
    again = train("crossval", write_spec(IRIS), "--folds", 2, "--set", "sgd.epochs=1")[1]
    assert "2 of 2 folds, 2 of them trained before" in again
    assert again.splitlines()[:3] == lines[:3]
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

    def plan(spec: Any, folds: int) -> Plan:
        found = plan_folds(spec, folds)
        one, two, three = found.specs
        return replace(found, specs=[one, two.changed({"sgd.learning_rate": 1e200}), three])

    monkeypatch.setattr("trainer.sweeps.crossval.plan_folds", plan)
    with pytest.raises(DivergedError, match="fold 2 of 3: ") as caught:
        crossval(load_spec(write_spec(DIVERGING | {"sgd.learning_rate": 0.01})), 3)
    cross = caught.value.run
    assert isinstance(cross, CrossValidation)
    assert [run.status for run in cross.runs] == ["FINISHED", "DIVERGED"]
    parent, *_ = all_runs(store)
    assert parent.info.run_id == cross.run_id
    assert "diverged after 1 of 3 folds" in parent.data.tags["mlflow.note.content"]
    table = folder / "runs" / "artifacts" / parent.info.run_id / "artifacts" / "folds.csv"
    assert len(table.read_text().splitlines()) == 3


def stopping(when: Callable[[Event, int], bool]) -> tuple[dict[str, Any], list[int]]:
    """The arguments `listen` and `stop`: it is to stop once `when` is true of an event and the
    fold that it belongs to. The list has the folds that began.
    """
    began: list[int] = []
    asked: list[bool] = []

    def listen(event: Event) -> None:
        if isinstance(event, Started):
            began.append(len(began) + 1)
        if when(event, len(began)):
            asked.append(True)

    return {"listen": listen, "stop": lambda: bool(asked)}, began


def in_the_middle_of_two(event: Event, fold: int) -> bool:
    return isinstance(event, EpochDone) and event.epoch == 1 and fold == 2


def before_two_trains(event: Event, fold: int) -> bool:
    return isinstance(event, Started) and fold == 2


def at_the_end_of_one(event: Event, fold: int) -> bool:
    return isinstance(event, Ended) and fold == 1


STOPS = [
    (in_the_middle_of_two, "fold 2 of 3: interrupted after 4 steps", ["FINISHED", "KILLED"]),
    (before_two_trains, "fold 2 of 3: interrupted after 0 steps", ["FINISHED", "KILLED"]),
    (at_the_end_of_one, "stopped after 1 of 3 folds", ["FINISHED"]),
]


@pytest.mark.parametrize(("when", "message", "folds"), STOPS)
def test_a_stop_ends_the_whole(
    store: str, write_spec: WriteSpec, when: Any, message: str, folds: list[str]
) -> None:
    heard, began = stopping(when)
    with pytest.raises(InterruptedRun, match=message) as caught:
        crossval(load_spec(write_spec(IRIS | {"sgd.batch_size": 25})), 3, **heard)
    cross = caught.value.run
    assert isinstance(cross, CrossValidation)
    assert (cross.status, len(began), caught.value.exit_code) == ("KILLED", len(folds), 130)
    assert [run.status for run in cross.runs] == folds
    parent, *recorded = all_runs(store)
    assert parent.info.status == "KILLED"
    assert [run.info.status for run in recorded] == folds


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_fold_is_set_up(
    train: Any, store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals, code: int,
) -> None:  # fmt: skip
    """Nothing trains then, so it stops at once."""
    carry_out, before = module.carry_out, signal.getsignal(number)

    def kill_the_second(order: Any) -> Run:
        if order.tags["trainer.fold"] == "2/3":
            os.kill(os.getpid(), number)
        return carry_out(order)

    monkeypatch.setattr(module, "carry_out", kill_the_second)
    assert train("crossval", write_spec(IRIS), "--folds", 3, "--quiet")[0] == code
    parent, *folds = all_runs(store)
    assert parent.info.status == "KILLED"
    assert [run.info.status for run in folds] == ["FINISHED"]
    assert signal.getsignal(number) is before


# Several workers --------------------------------------------------------------------------------


@pytest.fixture
def one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """All workers are this process, and each waits for the one before."""
    monkeypatch.setattr(module, "open_workers", open_here)


def test_folds_that_are_trained_at_once(folder: Path, write_spec: WriteSpec) -> None:
    """Two processes give the bits, the table and the events of one; what is known is found."""
    spec = load_spec(write_spec(IRIS))
    heard: dict[str, list[Event]] = {"one": [], "two": []}
    one = crossval(spec, 2, profile=Profile(record=False), listen=heard["one"].append)
    apart = Profile(record=False, workers=2, runs=Path("apart"))
    two = crossval(spec, 2, profile=apart, listen=heard["two"].append)
    assert two.measured == one.measured
    assert (two.mean, two.deviation, two.notes) == (one.mean, one.deviation, one.notes)
    for ours, theirs in zip(one.runs, two.runs, strict=True):
        assert theirs.parameters_sha256 == ours.parameters_sha256
        assert (theirs.name, theirs.status, theirs.known) == (ours.name, "FINISHED", False)
        assert theirs.folder is not None
        assert (theirs.folder / "files" / "config" / "spec.yaml").exists()
        assert (theirs.folder / "model").is_dir()
    kinds = {
        name: [type(event) for event in events if not isinstance(event, Saved | StepsDone)]
        for name, events in heard.items()
    }
    assert kinds["two"] == kinds["one"]
    starts = [
        [replace(event, run=None) for event in events if isinstance(event, Started)]
        for events in heard.values()
    ]
    assert starts[0] == starts[1]
    again = crossval(spec, 2, profile=apart)
    assert [run.known for run in again.runs] == [True] * 2
    assert again.measured == one.measured


@pytest.mark.usefixtures("one_after_the_other")
def test_folds_of_workers_in_mlflow(store: str, write_spec: WriteSpec) -> None:
    cross = crossval(load_spec(write_spec(IRIS)), 2, profile=Profile(workers=2))
    parent, *folds = all_runs(store)
    assert parent.info.run_id == cross.run_id
    assert [fold.data.tags["mlflow.parentRunId"] for fold in folds] == [cross.run_id] * 2
    assert {run.run_id for run in cross.runs} == {fold.info.run_id for fold in folds}
    assert {fold.data.tags["trainer.fold"] for fold in folds} == {"1/2", "2/2"}


@pytest.mark.usefixtures("one_after_the_other")
def test_what_stops_one_fold_of_several_workers(
    folder: Path, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are stopped, and what stopped them is told; the folds before it are shown."""

    def plan(spec: Any, folds: int) -> Plan:
        found = plan_folds(spec, folds)
        one, two, three = found.specs
        return replace(found, specs=[one, two.changed({"sgd.learning_rate": 1e200}), three])

    monkeypatch.setattr(module, "plan_folds", plan)
    profile = Profile(workers=2, record=False)
    spec = load_spec(write_spec(DIVERGING | {"sgd.learning_rate": 0.01}))
    with pytest.raises(DivergedError, match="fold 2 of 3: ") as caught:
        crossval(spec, 3, profile=profile)
    cross = caught.value.run
    assert isinstance(cross, CrossValidation)
    assert (cross.status, [run.status for run in cross.runs]) == (
        "DIVERGED", ["FINISHED", "DIVERGED"],
    )  # fmt: skip


@pytest.mark.usefixtures("one_after_the_other")
def test_several_workers_are_told_to_stop(folder: Path, write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec(IRIS))
    with pytest.raises(InterruptedRun, match=r"stopped after \d of 3 folds") as caught:
        crossval(spec, 3, profile=Profile(workers=2, record=False), stop=lambda: True)
    assert isinstance(caught.value.run, CrossValidation)
    assert caught.value.run.status == "KILLED"


def test_without_mlflow(folder: Path, write_spec: WriteSpec) -> None:
    cross = crossval(load_spec(write_spec(IRIS)), 2, profile=Profile(runs=None))
    assert (cross.run_id, cross.folder, cross.status) == (None, None, "FINISHED")
    assert len(cross.runs) == 2
    assert not (folder / "runs").exists()


def test_a_killed_cross_validation_is_closed_by_the_next(
    folder: Path, write_spec: WriteSpec
) -> None:
    """With the fold that it was at; what is of other folds, or of a process that lives, is left."""
    spec, profile = load_spec(write_spec(IRIS)), Profile("reference", record=False)
    other = crossval(spec, 3, profile=profile)
    first = crossval(spec, 2, profile=profile)
    assert first.folder is not None
    assert other.folder is not None
    fold = first.folder.parent / first.runs[1].id
    for killed in (other.folder, first.folder, fold):
        (killed / OUTCOME).unlink()
    alive = RunFolder(fold)
    again = crossval(spec, 2, profile=profile)
    for path, reason in (
        (first.folder, f"killed; gone on with by {again.folder.name[:8]}"),
        (fold, None),
        (other.folder, None),
    ):
        outcome = read_outcome(path)
        assert (outcome and outcome.reason) == reason
    alive.release()
    crossval(spec, 2, profile=profile)
    outcome = read_outcome(fold)
    assert outcome is not None
    assert outcome.status == "KILLED"
