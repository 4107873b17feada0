"""Sweeps as people start them: by processes that are killed, gone on with, recorded, repeated."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from faults import sweeps
from here import open_here
from mlflow import MlflowClient

import trainer
from trainer import Profile, Sweep, SweepSpec, load_sweep
from trainer.checkpoints.facts import read_facts
from trainer.checkpoints.folder import RunFolder
from trainer.errors import CheckpointError, DivergedError, InterruptedRun, SpecError, UsageError
from trainer.network.fingerprint import parameters_sha256
from trainer.sweeps.log import LOG, Promoted, read_log
from trainer.sweeps.space import draw
from trainer.sweeps.standing import Standing, SweepEvent

TPE = {"search": {"method": "tpe", "trials": 12, "startup": 4}}
RUNS = Path("runs")
UNRECORDED = Profile(record=False, workers=1)


@pytest.fixture
def spec(folder: Path) -> SweepSpec:
    """The small sweep."""
    (folder / "sweep.yaml").write_text(sweeps.SWEEP)
    return load_sweep("sweep.yaml")


@pytest.fixture
def _workers_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.sweeps.carrying.open_workers", open_here)


in_this_process = pytest.mark.usefixtures("_workers_here")
"""What is tested of a sweep has nothing to do with the processes that train it."""


def here(number: int, runs: str = "runs", **others: Any) -> Profile:
    return Profile(record=False, workers=number, runs=Path(runs), **others)


def test_the_same_for_any_number_of_workers(spec: SweepSpec) -> None:
    found = [trainer.sweep(spec, profile=here(n, f"runs {n}")) for n in (1, 3)]
    assert [each.decisions_sha256 for each in found] == [sweeps.DIGEST, sweeps.DIGEST]
    first, third = (each.winner for each in found)
    assert first is not None
    assert third is not None
    assert first.values == third.values
    assert first.parameters_sha256 == third.parameters_sha256
    assert first.value == min(t.value or 9.0 for t in found[0].trials if t.status == "finished")
    assert found[0].epochs < 0.6 * 12 * 12
    assert {trial.status for trial in found[0].trials} == {"finished", "waiting"}
    proof = trainer.reproduce_sweep("small", profile=here(2, "runs 1"))
    assert str(proof).startswith("identical: 12 trials, ")


@in_this_process
def test_a_paused_trial_that_goes_on_has_the_bits_of_one_that_never_was(spec: SweepSpec) -> None:
    found = trainer.sweep(spec, profile=here(1))
    winner = found.winner
    assert winner is not None
    assert len(winner.results) > 1
    alone = trainer.train(spec.trial(winner.values), profile=Profile(runs=None))
    assert alone.parameters_sha256 == winner.parameters_sha256
    history = dict(zip(alone.history["val_loss"].steps.tolist(),
                       alone.history["val_loss"].values.tolist(), strict=True))  # fmt: skip
    assert {epoch: history[epoch] for epoch in winner.results} == winner.results


def test_tpe_by_any_number_of_workers(spec: SweepSpec) -> None:
    found = trainer.sweep(spec.changed(TPE), profile=here(2))
    assert trainer.reproduce_sweep(str(found.id), profile=here(1)).identical
    drawn = [draw(spec.space, spec.seed, number) for number in range(12)]
    chosen = [trial.values for trial in found.trials]
    assert chosen[:4] == drawn[:4]
    assert all(values not in drawn for values in chosen[4:])


def test_without_optuna_tpe_says_what_to_install(spec: SweepSpec, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"pip install 'specgrad\[sweep\]'"):
        trainer.sweep(spec.changed(TPE), profile=UNRECORDED)


# Again, going on, two at once --------------------------------------------------------------------


def stopping_after(answers: int) -> dict[str, Any]:
    """The arguments that pause a sweep once so many trials have got somewhere."""
    reached = 0

    def listen(event: SweepEvent) -> None:
        nonlocal reached
        if isinstance(event, Standing):
            reached = sum(trial.epochs > 0 for trial in event.sweep.trials)

    return {"listen": listen, "stop": lambda: reached >= answers}


@in_this_process
def test_stopped_and_gone_on_with(spec: SweepSpec) -> None:
    with pytest.raises(InterruptedRun, match="train resume") as stopped:
        trainer.sweep(spec, profile=UNRECORDED, **stopping_after(2))
    found = stopped.value.run
    assert isinstance(found, Sweep)
    assert (found.status, found.id is not None) == ("KILLED", True)
    with pytest.raises(
        UsageError, match=r"not finished: \w+ \[TR-W008\]\n  hint: --resume goes on with it"
    ):
        trainer.sweep(spec, profile=UNRECORDED)
    whole = trainer.sweep(spec, profile=UNRECORDED, resume=True)
    assert (whole.id, whole.decisions_sha256) == (found.id, sweeps.DIGEST)
    assert read_facts(RUNS / str(whole.id)).attempt == 2
    with pytest.raises(UsageError, match="is finished"):
        trainer.resume_sweep("small", profile=UNRECORDED)


@in_this_process
def test_a_sweep_that_is_done_is_found(spec: SweepSpec) -> None:
    whole = trainer.sweep(spec, profile=UNRECORDED)
    assert trainer.sweep(spec, profile=UNRECORDED) == replace(whole, seconds=whole.seconds)
    wider = spec.changed({"search.trials": 13})
    longer = trainer.sweep(wider, profile=UNRECORDED)
    assert longer.id != whole.id
    known = [trial.number for trial in longer.trials if trial.known]
    finished = [trial.number for trial in whole.trials if trial.status == "finished"]
    assert known == finished  # these are not trained again


@in_this_process
@pytest.mark.parametrize("name", ["files/parameters.safetensors", "run.json", "result.json"])
def test_a_winner_that_is_damaged_is_trained_again(spec: SweepSpec, name: str) -> None:
    """As a machine leaves a sweep that lost its power at its end."""
    whole = trainer.sweep(spec, profile=UNRECORDED)
    assert whole.winner is not None
    (RUNS / str(whole.id) / "result.json").unlink()
    path = RUNS / whole.winner.id / name
    path.write_bytes(path.read_bytes()[:20])
    again = trainer.resume_sweep("small", profile=UNRECORDED)
    assert again.decisions_sha256 == whole.decisions_sha256
    model = trainer.load_model("small", profile=UNRECORDED).model
    assert parameters_sha256(model.parameters) == whole.winner.parameters_sha256


@in_this_process
def test_the_second_driver_is_told(spec: SweepSpec) -> None:
    with pytest.raises(InterruptedRun) as stopped:
        trainer.sweep(spec, profile=UNRECORDED, **stopping_after(1))
    assert isinstance(stopped.value.run, Sweep)
    held = RunFolder(RUNS / str(stopped.value.run.id))
    with pytest.raises(CheckpointError, match="is being written by process"):
        trainer.sweep(spec, profile=UNRECORDED, resume=True)
    held.release()


@in_this_process
def test_other_data_cannot_be_gone_on_with(folder: Path) -> None:
    rows = "".join(f"{i},{i % 7},{i % 2}\n" for i in range(60))
    (folder / "rows.csv").write_text("a,b,y\n" + rows)
    text = sweeps.SWEEP.replace("source: iris", "source: {csv: rows.csv}\n  target: y")
    (folder / "sweep.yaml").write_text(text.replace("{units: 3}", "{units: 1}"))
    spec = load_sweep("sweep.yaml")
    with pytest.raises(InterruptedRun):
        trainer.sweep(spec, profile=UNRECORDED, **stopping_after(1))
    (folder / "rows.csv").write_text("a,b,y\n" + rows + "3,4,0\n")
    with pytest.raises(CheckpointError, match=r"since this differs: \[TR-R005\]\n  data_sha256: "):
        trainer.resume_sweep("small", profile=UNRECORDED)


@in_this_process
def test_a_log_of_another_sweep_is_refused(spec: SweepSpec) -> None:
    with pytest.raises(InterruptedRun) as stopped:
        trainer.sweep(spec, profile=UNRECORDED, **stopping_after(1))
    assert isinstance(stopped.value.run, Sweep)
    path = RUNS / str(stopped.value.run.id) / LOG
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first.replace(b'"compiled"', b'"reference"'), *rest]))
    with pytest.raises(CheckpointError, match="decisions"):
        trainer.resume_sweep("small", profile=UNRECORDED)


# Endings ----------------------------------------------------------------------------------------


@in_this_process
def test_all_trials_diverge(spec: SweepSpec) -> None:
    wild = spec.changed({"space": {"sgd.learning_rate": {"log": [1e20, 1e21]}},
                         "model.loss": "squared", "search.trials": 3,
                         "model.layers": [{"units": 1}], "data.source": "diabetes",
                         "model.dtype": "float64", "data.standardize": False})  # fmt: skip
    with pytest.raises(DivergedError, match="none of the 3 trials came to a good end") as raised:
        trainer.sweep(wild, profile=UNRECORDED)
    assert isinstance(raised.value.run, Sweep)
    assert [trial.status for trial in raised.value.run.trials] == ["diverged"] * 3
    assert all("at step" in trial.reason for trial in raised.value.run.trials)


def test_nothing_is_trained_of_a_sweep_with_a_mistake(spec: SweepSpec, folder: Path) -> None:
    wrong = spec.changed({"space": {"sgd.batch_size": {"values": [16, 400]}}})
    with pytest.raises(SpecError, match="400"):
        trainer.sweep(wrong, profile=UNRECORDED)
    assert not (folder / "runs").exists()


def test_a_cluster_that_is_not_there_leaves_no_sweep(spec: SweepSpec, monkeypatch) -> None:
    monkeypatch.setattr("trainer.workers.cluster.CONNECT_SECONDS", 0.2)
    nowhere = Profile(record=False, cluster="tcp://127.0.0.1:9")
    with pytest.raises(UsageError, match="no Dask scheduler answers at"):
        trainer.sweep(spec, profile=nowhere)
    assert not [*RUNS.glob("*/run.json")]


@in_this_process
def test_nothing_is_kept_where_no_folder_is_named(spec: SweepSpec, folder: Path) -> None:
    few = spec.changed({"search.trials": 2, "halving": None, "sgd.epochs": 2})
    found = trainer.sweep(few, profile=Profile(runs=None, workers=1))
    assert (found.id, len(found.trials), found.winner is not None) == (None, 2, True)
    assert not (folder / "runs").exists()


# Killed -----------------------------------------------------------------------------------------


def test_killed_at_any_moment(folder: Path) -> None:
    tally = sweeps.kills(folder, 2)
    assert tally.lost == []
    entries, _ = read_log(next(folder.glob(f"*/runs/*/{LOG}")).parent)
    assert sum(isinstance(entry, Promoted) for entry in entries) > 3


# Recorded ---------------------------------------------------------------------------------------


@in_this_process
@pytest.mark.pictures
@pytest.mark.models
def test_in_mlflow(spec: SweepSpec, store: str) -> None:
    few = spec.changed({"search.trials": 4, "halving.factor": 3})
    found = trainer.sweep(few, profile=Profile(workers=1), promote="flowers@best")
    client = MlflowClient(store)
    parent = client.get_run(str(found.run_id))
    assert parent.data.tags["trainer.kind"] == "sweep"
    assert parent.data.tags["trainer.decisions_sha256"] == found.decisions_sha256
    assert found.winner is not None
    runs = client.search_runs([parent.info.experiment_id],
                              f"tags.`mlflow.parentRunId` = '{found.run_id}'")  # fmt: skip
    by_id = {run.data.tags["trainer.run"]: run for run in runs}
    assert by_id.keys() == {trial.id for trial in found.trials}
    for trial in found.trials:
        run = by_id[trial.id]
        ended = {"finished": "FINISHED", "waiting": "SCHEDULED"}[trial.status]
        assert run.info.status == ended
        assert run.data.tags["trainer.trial"] == str(trial.number)
        assert float(run.data.params["sgd/learning_rate"]) == trial.values["sgd.learning_rate"]
    files = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"trials.csv", "plots", "parameters.safetensors", "config"} <= files
    version = client.get_model_version_by_alias("flowers", "best")
    assert version.run_id == found.run_id
    again = trainer.sweep(few, profile=Profile(workers=1), promote="others@best")
    assert again.id == found.id
    assert client.get_model_version_by_alias("others", "best").run_id == found.run_id
    rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.1, 5.6, 2.4]]
    loaded = trainer.load_model("small").model
    alone = trainer.train(few.trial(found.winner.values), profile=Profile(runs=None))
    for name, value in alone.parameters.items():
        assert (loaded.parameters[name] == value).all()
    assert list(loaded.predict(rows)["prediction"]) == ["setosa", "virginica"]
