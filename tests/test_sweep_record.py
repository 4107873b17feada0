"""What a sweep says of itself, and that commands take its name for its best trial."""

from __future__ import annotations

import math
import os
import zlib
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from json import loads
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Train, WriteSpec
from mlflow import MlflowClient
from swept import RUNS, SWEEP, carry_out, declare, record
from test_comparing import Store

from trainer import Profile, load_model
from trainer.checkpoints.facts import read_outcome
from trainer.checkpoints.folder import find_folder
from trainer.errors import UsageError
from trainer.report.recorded import objective_of
from trainer.runs.finding import find_run
from trainer.sweeps.describe import declared, describe_sweep
from trainer.sweeps.standing import Objective, Sweep, Trial
from trainer.tracking.runs import Runs
from trainer.tracking.store import resolve_store
from trainer.tracking.view import VIEW_TAG

ROWS = {
    "data.source": {"synthetic": "two_moons", "rows": 40},
    "data.split": {"validation": 0.3, "test": 0.2},
    "sgd.batch_size": 8,
}
MOONS = np.array([[0.1, 0.2], [1.0, -0.5]])


# What it says -----------------------------------------------------------------------------------


def made(*trials: Trial, status: Any = "FINISHED", maximise: bool = False) -> Sweep:
    metric = "val_accuracy" if maximise else "val_loss"
    space = {"sgd.learning_rate": {"log": [1e-3, 10.0]}, "sgd.schedule": {"values": ["a|b", "c"]}}
    return Sweep(
        "flats", status, Objective(metric, maximise), space, 4, trials, decisions_sha256="abc"
    )


def trial(number: int, status: Any, results: Mapping[int, float], **others: Any) -> Trial:
    values = {"sgd.learning_rate": 0.01 * (number + 1), "sgd.schedule": "a|b"}
    return Trial(number, f"{number:032x}", values, status, results=results,
                 epochs=max(results, default=0), **others)  # fmt: skip


SWEPT: Mapping[str, tuple[Sweep, list[str], dict[str, float], dict[str, str]]] = {
    "finished": (
        made(trial(0, "finished", {1: 0.5, 3: 0.4}, metrics={"val_loss": 0.4, "test_loss": 0.6}),
             trial(1, "waiting", {1: 0.7}), trial(2, "diverged", {1: math.inf}),
             trial(3, "finished", {1: 0.6, 3: 0.5})),
        ["- Best: trial 0, val_loss 0.4", "- Trials: 2 finished, 1 stopped at a rung, 1 diverged",
         "- Spent: 8 epochs, 67% of the 12 that all whole would take",
         "- Predict: `train predict flats --data rows.csv`",
         "- Reproduce: `train reproduce flats`",
         "| trial | status | epochs | val_loss | sgd.learning_rate | sgd.schedule |",
         "| 0 | finished | 3 | 0.4 | 0.01 | a\\|b |", "| 3 | finished | 3 | 0.5 | 0.04 | a\\|b |",
         "| 1 | stopped at a rung | 1 | 0.7 | 0.02 | a\\|b |",
         "| `sgd.learning_rate` | 0.001 … 10, log | 0.01 |",
         "| `sgd.schedule` | a\\|b, c | a\\|b |"],
        {"val_loss": 0.4, "test_loss": 0.6, "trials/finished": 2, "trials/waiting": 1,
         "trials/diverged": 1, "trials/planned": 4, "epochs/spent": 8, "epochs/whole": 12},
        {"trainer.winner": "0" * 32, "trainer.winner.trial": "0",
         "trainer.winner.sgd.learning_rate": "0.01", "trainer.winner.sgd.schedule": "a|b"},
    ),
    "stopped": (
        made(trial(0, "waiting", {1: 0.5}), trial(1, "running", {}), status="KILLED"),
        ["- Best so far, after 1 epochs: trial 0, val_loss 0.5",
         "- Trials: killed; 1 stopped at a rung, 1 running, 2 to come",
         "- Go on: `train resume flats`"],
        {"trials/waiting": 1, "trials/running": 1, "trials/planned": 4, "epochs/spent": 1,
         "epochs/whole": 12}, {},
    ),
    "diverged": (
        made(trial(0, "diverged", {1: math.inf}), status="DIVERGED"),
        ["- Trials: diverged; 1 diverged"],
        {"trials/diverged": 1, "trials/planned": 4, "epochs/spent": 1, "epochs/whole": 12},
        {"trainer.diverged": "no trial came to a good end"},
    ),
    "nothing": (made(status="FAILED"), ["- Trials: failed; none yet"],
                {"trials/planned": 4, "epochs/spent": 0, "epochs/whole": 12}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", SWEPT)
def test_how_it_ended(write_spec: WriteSpec, name: str) -> None:
    write_spec(ROWS)
    found, lines, metrics, tags = SWEPT[name]
    outcome = describe_sweep(found, declare())
    assert outcome.status == found.status
    assert set(lines) <= set(outcome.description), "\n".join(outcome.description)
    assert outcome.metrics == metrics
    always = {"trainer.objective": "minimise val_loss", "trainer.decisions_sha256": "abc"}
    assert outcome.tags == always | tags


@pytest.mark.parametrize(("maximise", "best"), [(False, [0.5, 0.5, 0.4]), (True, [0.5, 0.6, 0.6])])
def test_the_series_of_the_best(write_spec: WriteSpec, maximise: bool, best: list[float]) -> None:
    write_spec(ROWS)
    values = [0.5, 0.6, 0.4]
    trials = [trial(2 * i, "finished", {3: value}) for i, value in enumerate(values)]
    found = made(*trials, trial(1, "diverged", {1: math.inf}), maximise=maximise)
    ((name, series),) = describe_sweep(found, declare()).curves.items()
    assert (name, series) == (f"best_{found.objective.metric}", [[0, 2, 4], best])


def test_forty_keys_fit_a_tag(write_spec: WriteSpec) -> None:
    """MLflow cuts a tag of more than 8000 characters."""
    write_spec(ROWS)
    space = {f"model.layers.{i}.units": {"values": ["<" * 60, "b" * 60]} for i in range(60)}
    values = dict.fromkeys(space, "<" * 60)
    trials = [replace(trial(i, "finished", {3: 0.1}), values=values) for i in range(20)]
    outcome = describe_sweep(replace(made(*trials), space=space), declare())
    assert len("\n".join(outcome.description)) < 8000


@pytest.mark.parametrize(
    ("dimension", "text"),
    [({"log": [1e-4, 0.3]}, "0.0001 … 0.3, log"), ({"uniform": [0, 1], "steps": 3}, "0 … 1"),
     ({"integers": [4, 64], "log": True}, "4 … 64, log, whole"),
     ({"values": [8, {"type": "cosine", "warmup": 5}]}, "8, cosine, warmup 5"), (7, "7")],
)  # fmt: skip
def test_what_was_declared(dimension: Any, text: str) -> None:
    assert declared(dimension) == text


@pytest.mark.parametrize(
    ("tags", "expected"),
    [({"trainer.objective": "maximise val_auc"}, (True, "val_auc")), ({}, (False, "val_loss"))],
)
def test_the_objective_by_tags(tags: dict[str, str], expected: tuple[bool, str]) -> None:
    assert objective_of(tags) == expected


# It stands for its winner -----------------------------------------------------------------------


def test_the_name_of_a_sweep_is_that_of_its_best_trial(write_spec: WriteSpec) -> None:
    write_spec(ROWS)
    found = carry_out(declare())
    winner, folder = found.trials[1], found.folder
    assert folder is not None
    assert found.winner == winner
    profile = Profile()
    for name in ("tiny-sweep", folder.name[:6], "last"):
        trained = load_model(name, profile=profile)
        assert trained.run.id == winner.id
    own = load_model(winner.id, profile=profile).model
    for name, predicted in own.predict(MOONS).items():
        assert np.array_equal(predicted, trained.model.predict(MOONS)[name])
    assert find_folder(RUNS, "last") == folder
    assert find_folder(RUNS, "trial 2 of tiny-sweep").name == found.trials[2].id
    for name in ("parameters.safetensors", "preprocessing.json"):
        assert (folder / "files" / name).read_bytes() == (
            RUNS / winner.id / "files" / name
        ).read_bytes()
    assert "learning_rate: 0.5" in (folder / "files/config/winner.yaml").read_text()
    outcome = read_outcome(folder)
    assert outcome is not None
    assert {"model/weights.safetensors", "files/parameters.safetensors"} <= outcome.files.keys()


def test_a_sweep_without_a_winner_stands_for_nothing(write_spec: WriteSpec) -> None:
    write_spec(ROWS)
    found = carry_out(declare(), [1, 1, 1], "KILLED")
    assert not (found.folder or Path()).joinpath("model").exists()
    with pytest.raises(UsageError, match=r"has no trial yet.*\n.*train resume"):
        find_run("tiny-sweep", Profile())


@pytest.mark.models
def test_a_recorded_sweep(train: Train, store: str, write_spec: WriteSpec) -> None:
    write_spec(ROWS)
    found = carry_out(declare(SWEEP.replace("objective: val_loss", "objective: val_accuracy")))
    record(found)
    runs = Runs(resolve_store(store, RUNS))
    sweep = runs.find("tiny-sweep")
    assert (sweep.status, sweep.trains) == ("FINISHED", True)
    assert runs.find("last") == sweep
    trials = runs.trials(sweep)
    assert trials[0].tags["trainer.trial"] == "1"
    assert [each.status for each in trials] == ["FINISHED", "PAUSED", "PAUSED"]
    assert sweep.params["sgd/learning_rate"] == "0.5"
    assert sweep.params["sgd/schedule/type"] == "cosine"
    assert sweep.metrics["test_loss"] == trials[0].metrics["test_loss"]
    assert runs.best(sweep.experiment)[0].id == trials[0].id
    # the model is the sweep's, and the winner's
    client = MlflowClient(store)
    models = [client.get_run(each.run_id).outputs.model_outputs for each in (sweep, trials[0])]
    assert models[0][0].model_id == models[1][0].model_id
    assert train("promote", "tiny-sweep", "moons@champion", "--quiet")[0] == 0
    version = client.get_model_version_by_alias("moons", "champion")
    assert version.run_id == sweep.run_id
    # by the store alone
    trained = load_model("tiny-sweep", profile=Profile(store=store))
    assert trained.run.run_id == trials[0].run_id
    # the view
    tags = client.get_experiment_by_name(sweep.experiment).tags
    packed = loads(tags[VIEW_TAG])["state"].removeprefix("deflate;")
    state = loads(zlib.decompress(b64decode(packed)))
    assert state["selectedColumns"][-2:] == [
        "params.`sgd/learning_rate`", "params.`sgd/schedule/type`",
    ]  # fmt: skip
    assert state["compareRunCharts"][0]["selectedMetrics"] == ["val_accuracy"]


@pytest.mark.parametrize("first", ["sweep", "trial"])
def test_a_sweep_is_sent_later_with_its_trials(
    train: Train, store: str, write_spec: WriteSpec, first: str
) -> None:
    write_spec(ROWS)
    found = carry_out(declare())
    assert found.folder is not None
    if first == "trial":  # as where the sweep was gone on with
        os.utime(found.folder / "run.json")
    code, out, err = train("sync")
    assert (code, err, len(out.splitlines())) == (0, "", 4)
    runs = Runs(resolve_store(store, RUNS))
    assert len(runs.trials(runs.find("tiny-sweep"))) == 3
    assert train("sync") == (0, "nothing waits to be sent\n", "")


# Finding and listing ----------------------------------------------------------------------------


@pytest.fixture
def swept(store: str) -> Store:
    """A run, and then a sweep of three trials, of which the first alone finished."""
    runs = Store(store)
    runs.add("alone", {"val_loss": [0.3]})
    sweep = runs.add("tuned", {"val_loss": [0.2]}, tags={
        "trainer.kind": "sweep", "trainer.objective": "minimise val_loss", "trainer.run": "e" * 32,
        "trainer.winner": "f" * 32,
    })  # fmt: skip
    for number, (status, value, paused) in enumerate(
        [("FINISHED", 0.2, 0), ("SCHEDULED", 0.1, 1), ("SCHEDULED", 0.15, 5), ("FAILED", 0.01, 0)]
    ):
        tags = {"mlflow.parentRunId": sweep, "trainer.trial": str(number)}
        tags |= {"trainer.paused": f"after epoch {paused} of 9"} if paused else {}
        runs.add(f"tuned trial {number}", {"val_loss": [value]}, status=status, tags=tags)
    return runs


def test_trials_stand_behind_their_sweep(swept: Store) -> None:
    runs = Runs(resolve_store(None, RUNS))
    assert runs.find("last").name == "tuned"
    assert [run.name for run in runs.best("one", 3)] == ["tuned trial 0", "alone"]
    names = [run.name for run in runs.trials(runs.find("tuned"))]
    assert names == [f"tuned trial {number}" for number in (0, 2, 1, 3)]
    assert [run.name for run in runs.trials(runs.find("tuned"), 2)] == names[:2]
    with pytest.raises(UsageError, match="is no sweep"):
        runs.trials(runs.find("alone"))


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["tuned", "alone"]),
        (["--trials", "--sort", "name", "--limit", 3],
         ["alone", "tuned", "tuned trial 0"]),
        (["--sweep", "tuned"], [f"tuned trial {number}" for number in (0, 2, 1, 3)]),
        (["--sweep", "tuned", "--sort", "val_loss", "--limit", 2],
         ["tuned trial 3", "tuned trial 1"]),
        (["--sweep", "tuned", "--filter", "metrics.val_loss > 0.12"],
         ["tuned trial 2", "tuned trial 0"]),
        (["--sort", "val_loss", "--filter", "metrics.val_loss > 0.1"], ["tuned", "alone"]),
    ],
)  # fmt: skip
def test_list_keeps_trials_apart(
    train: Train, swept: Store, arguments: list[object], names: list[str]
) -> None:
    code, out, _ = train("list", *arguments)
    assert code == 0
    shown = [line[34:].split("  ")[0] for line in out.splitlines()[1:] if line[:8].isalnum()]
    assert shown == names
    assert ("train list --sweep tuned" in out) == (arguments[:1] in ([], ["--sort"]))
    listed = loads(train("list", *arguments, "--json")[1])["runs"]
    assert [run["name"] for run in listed] == names


def test_list_shows_what_trials_chose(train: Train, swept: Store) -> None:
    swept.client.set_tag(swept.ids["tuned trial 1"], "trainer.value.sgd.momentum", "0.25")
    lines = train("list", "--sweep", "tuned")[1].splitlines()
    assert lines[0].endswith("sgd.momentum")
    assert [line.split()[-1] for line in lines[1:]] == ["—", "—", "0.25", "—"]


def test_compare_the_best_of_a_sweep(train: Train, swept: Store) -> None:
    out = loads(train("compare", "--sweep", "tuned", "--best", 2, "--json")[1])
    assert [run["name"] for run in out["runs"]] == ["tuned trial 0", "tuned trial 2"]
    assert len(loads(train("compare", "--sweep", "tuned", "alone", "--json")[1])["runs"]) == 5
    code, _, err = train("compare", "--sweep", "alone")
    assert (code, "(alone) is no sweep" in err) == (2, True)
