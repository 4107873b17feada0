"""The same run is not trained twice: spec, data and engine decide every bit of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Train, WriteSpec
from stores import all_runs, assert_whole, only_run, recorded

from trainer import Run, Spec, load_spec, train
from trainer.checkpoints.facts import FACTS, OUTCOME, read_outcome
from trainer.checkpoints.folder import FILES, JOURNAL, MODEL, find_folder, folders
from trainer.errors import InterruptedRun
from trainer.runs.facts import named
from trainer.runs.profile import Profile
from trainer.runs.sync import unsent_runs
from trainer.training import Event, Started, Trained

UNRECORDED = Profile(record=False)


def same(run: Run, other: Run) -> None:
    """Both have the same numbers, to the bit."""
    assert run.parameters_sha256 == other.parameters_sha256
    assert dict(run.metrics) == dict(other.metrics)
    assert run.history.keys() == other.history.keys()
    for name, series in run.history.items():
        np.testing.assert_array_equal(series.values, other.history[name].values)
        np.testing.assert_array_equal(series.steps, other.history[name].steps)
    for name, value in run.parameters.items():
        np.testing.assert_array_equal(value, other.parameters[name])
    assert (run.findings, run.notes) == (other.findings, other.notes)


def trained(spec: Spec, profile: Profile = UNRECORDED, **how: Any) -> tuple[Run, bool]:
    """The run, and whether anything was trained for it."""
    heard: list[Event] = []
    run = train(spec, profile=profile, listen=heard.append, **how)
    assert isinstance(heard[-1], Trained)
    return run, any(isinstance(event, Started) for event in heard)


def test_a_known_run_is_found(store: str, write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec({"data.split": {"validation": 0.5}, "sgd.batch_size": 1}))
    first, _ = trained(spec, Profile())
    again, anew = trained(spec, Profile())
    assert (first.known, again.known, anew) == (False, True, False)
    assert (again.id, again.run_id, again.tracking_uri) == (first.id, first.run_id, store)
    same(again, first)
    assert_whole(again, store)
    assert only_run(store).info.run_id == first.run_id
    assert [path.name for path in folders(Path("runs"))] == [first.id]

    anew_run, anew = trained(spec, Profile(), again=True)
    assert (anew_run.known, anew) == (False, True)
    assert anew_run.id != first.id
    same(anew_run, first)
    assert len(all_runs(store)) == 2


def test_it_is_the_last_one(write_spec: WriteSpec) -> None:
    """What was shown last is what `last` means, though another was trained after it."""
    first, second = (load_spec(write_spec({"seed": seed}, f"{seed}.yaml")) for seed in (1, 2))
    ids = [trained(spec)[0].id for spec in (first, second)]
    assert find_folder(Path("runs"), "last").name == ids[1]
    assert trained(first)[0].id == ids[0]
    assert find_folder(Path("runs"), "last").name == ids[0]


def test_the_command_says_so(train: Train, store: str, write_spec: WriteSpec) -> None:
    path = write_spec()
    _, first, _ = train(path)
    code, out, err = train(path)
    assert (code, err) == (0, "")
    known = [line for line in out.splitlines() if line.startswith("FINISHED in ")]
    assert known == [line + "; trained before, --again trains it anew"
                     for line in first.splitlines() if line.startswith("FINISHED in ")]  # fmt: skip
    assert out.splitlines()[-2:] == first.splitlines()[-2:], "the same run, at the same place"
    _, shown, _ = train(path, "--json")
    assert json.loads(shown)["known"] is True
    code, out, _ = train(path, "--again")
    assert code == 0
    assert "trained before" not in out
    assert len(all_runs(store)) == 2


def test_what_names_and_places_it_does_not_train_it(write_spec: WriteSpec) -> None:
    """Neither comments, nor the order of keys, nor how often it is saved, decide a bit."""
    path = write_spec()
    first, _ = trained(load_spec(path))
    path.write_text("# the same\n" + path.read_text())
    for profile in (replace(UNRECORDED, save_every="1epoch"), replace(UNRECORDED, threads=1)):
        again, anew = trained(load_spec(path), profile)
        assert (again.id, anew) == (first.id, False)


AS_ANOTHER: Mapping[str, Callable[[Spec], Spec]] = {
    "name": lambda spec: named(spec, "mine"),
    "experiment": lambda spec: spec.changed({"tracking.experiment": "elsewhere"}),
}


@pytest.mark.parametrize("what", AS_ANOTHER)
def test_as_another_it_is_recorded_from_the_known_folder(
    store: str, write_spec: WriteSpec, what: str
) -> None:
    spec = load_spec(write_spec())
    first, _ = trained(spec, Profile())
    other = AS_ANOTHER[what](spec)
    run, anew = trained(other, Profile())
    assert (run.known, anew) == (True, False)
    assert run.id != first.id
    assert run.run_id != first.run_id
    same(run, first)
    for each in (first, run):
        assert_whole(each, store)
    tags = recorded(run, store).data.tags
    assert (tags["trainer.known"], tags["trainer.run"]) == (first.id, run.id)
    assert tags["trainer.parameters_sha256"] == first.parameters_sha256
    assert recorded(run, store).info.run_name == other.name
    assert run.experiment == (other.tracking.experiment or other.name)
    assert recorded(run, store).data.tags["mlflow.note.content"].startswith(f"**{other.name}**")


def test_in_another_store_it_is_recorded_too(
    store: str, folder: Path, write_spec: WriteSpec
) -> None:
    (folder / "other.db").write_bytes((folder / "runs" / "mlflow.db").read_bytes())
    spec = load_spec(write_spec())
    first, _ = trained(spec, Profile())
    run, anew = trained(spec, Profile(store="sqlite:///other.db"))
    assert (run.known, anew, run.tracking_uri) == (True, False, f"sqlite:///{folder}/other.db")
    assert_whole(run, str(run.tracking_uri))
    assert_whole(first, store)
    assert unsent_runs() == []


def test_a_known_run_that_was_never_recorded_is_recorded_now(
    store: str, write_spec: WriteSpec
) -> None:
    spec = load_spec(write_spec())
    first, _ = trained(spec)
    assert all_runs(store) == []
    run, anew = trained(spec, Profile())
    assert (run.known, anew, run.id) == (True, False, first.id)
    assert_whole(run, store)


OTHERS: Mapping[str, tuple[Mapping[str, Any], Profile]] = {
    "seed": ({"seed": 6}, UNRECORDED),
    "epochs": ({"sgd.epochs": 4}, UNRECORDED),
    "data": ({"data.source": {"inline": {"x": [[0, 0], [0, 1], [1, 0], [1, 2]],
                                         "y": [0, 1, 1, 0]}}}, UNRECORDED),
    "engine": ({}, replace(UNRECORDED, engine="compiled")),
    "folder of runs": ({}, replace(UNRECORDED, runs=Path("others"))),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_another_run_is_trained(write_spec: WriteSpec, what: str) -> None:
    changes, profile = OTHERS[what]
    trained(load_spec(write_spec()), replace(UNRECORDED, engine="reference"))
    run, anew = trained(load_spec(write_spec(changes)), profile)
    assert (run.known, anew) == (False, True)


def test_a_file_of_data_that_has_changed_is_trained(folder: Path, write_spec: WriteSpec) -> None:
    changes = {"data.source": {"csv": "data.csv"}, "data.target": "y"}
    rows = ["a,b,y", "0,0,0", "0,1,1", "1,0,1", "1,1,0"]
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    spec = load_spec(write_spec(changes))
    trained(spec)
    assert trained(spec)[1] is False
    (folder / "data.csv").write_text("\n".join([*rows[:-1], "1,1,1"]) + "\n")
    assert trained(spec)[1] is True


def test_a_run_that_was_stopped_is_not_known(write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec())
    with pytest.raises(InterruptedRun):
        train(spec, profile=UNRECORDED, stop=lambda: True)
    run, anew = trained(spec)
    assert (run.known, anew) == (False, True)


def cut(path: Path) -> None:
    """Takes the second half of a file away."""
    data = path.read_bytes()
    path.unlink()  # another run may share it
    path.write_bytes(data[: len(data) // 2])


def flip(path: Path) -> None:
    """Changes a bit near the end of a file."""
    data = bytearray(path.read_bytes())
    data[-3] ^= 16
    path.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", [FACTS, OUTCOME, JOURNAL, f"{FILES}/parameters.safetensors"])
def test_a_damaged_folder_is_not_used(
    write_spec: WriteSpec, name: str, damage: Callable[[Path], None]
) -> None:
    spec = load_spec(write_spec())
    first, _ = trained(spec)
    assert first.folder is not None
    damage(first.folder / name)
    run, anew = trained(spec)
    assert (run.known, anew) == (False, True)
    same(run, first)
    again, anew = trained(spec)
    assert (again.id, anew) == (run.id, False), "the whole one is known from now on"


def test_one_that_shares_its_files_outlives_the_first(store: str, write_spec: WriteSpec) -> None:
    """Files are shared, not moved: either can be damaged or deleted without the other."""
    spec = load_spec(write_spec())
    first, _ = trained(spec, Profile())
    run, _ = trained(named(spec, "mine"), Profile())
    assert first.folder is not None
    assert run.folder is not None
    for path in sorted(first.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    first.folder.rmdir()
    outcome = read_outcome(run.folder)
    assert outcome is not None
    assert outcome.parameters_sha256 == first.parameters_sha256
    assert (run.folder / MODEL).is_dir()
    assert trained(spec)[1] is True, "the one that was deleted is not known"
