"""What a run leaves in MLflow, and in which store."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import WriteSpec
from mlflow import MlflowClient
from safetensors.numpy import load_file
from stores import artifact, only_run, recorded, series, tree

from trainer import Run, TrackingError, load_spec, train
from trainer.runs.facts import named
from trainer.runs.profile import Profile
from trainer.tracking.names import MAX_VALUE, flatten
from trainer.training import Event, StepsDone
from trainer.training.history import thinned

pytestmark = pytest.mark.models

SPLIT = {"data.source": "iris", "data.split": {"validation": 0.2, "test": 0.2},
         "model.layers": [{"units": 4, "activation": "tanh"}, {"units": 3}],
         "sgd.batch_size": 16}  # fmt: skip
LINEAR = {"data.source": {"synthetic": "linear", "rows": 40}, "data.split": {"validation": 0.25},
          "model.loss": "squared", "sgd.learning_rate": 0.01}  # fmt: skip


# What is recorded ------------------------------------------------------------------------------


def test_status_name_and_tags(store: str, write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec())
    run = train(named(spec, "first try"))
    found = recorded(run, store)
    tags = found.data.tags
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "first try" == tags["mlflow.runName"]
    assert found.info.end_time >= found.info.start_time
    assert tags["mlflow.source.name"] == spec.file
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.note.content"].startswith("**first try**: a network of 2 → 3 → 1")
    assert tags["trainer.run"] == run.id
    assert tags["trainer.spec_sha256"] == spec.sha256 == run.spec_sha256
    assert tags["trainer.data_sha256"] == run.data_sha256
    assert tags["trainer.parameters_sha256"] == run.parameters_sha256
    assert tags["trainer.engine"]
    assert tags["trainer.version"]
    assert "trainer.diverged" not in tags
    assert not [name for name in tags if name.startswith("mlflow.source.git")]


def test_the_run_is_called_like_the_spec_by_default(store: str, write_spec: WriteSpec) -> None:
    run = train(load_spec(write_spec()))
    assert recorded(run, store).info.run_name == "tiny"
    assert run.tracking_uri == store


def test_git_tags_of_the_specs_repository(store: str, folder: Path, write_spec: WriteSpec) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)
        return done.stdout.decode().strip()

    def tags() -> dict[str, str]:
        found = recorded(train(load_spec(spec), again=True), store).data.tags
        return {name.rpartition(".")[2]: found[name] for name in found if ".source.git." in name}

    spec = write_spec()
    git("init", "--initial-branch", "trunk")
    assert tags() == {}, "a repository without a commit"
    git("add", "spec.yaml")
    git("commit", "--message", "a spec")
    commit = git("rev-parse", "HEAD")
    clean = {"commit": commit, "branch": "trunk", "dirty": "false"}
    assert tags() == clean, "untracked files such as runs/ do not matter"
    spec.write_text(spec.read_text() + "# changed\n")
    assert tags() == clean | {"dirty": "true"}
    git("checkout", "spec.yaml")
    spec = write_spec(name="new.yaml")
    assert tags() == clean | {"dirty": "true"}, "the commit does not hold the spec"


def test_parameters_are_the_leaves_of_the_resolved_spec(store: str, write_spec: WriteSpec) -> None:
    rows = [[i, i + 0.5] for i in range(200)]
    changes = {"data.source": {"inline": {"x": rows, "y": [i % 2 for i in range(200)]}}}
    spec = load_spec(write_spec(changes))
    params = recorded(train(spec), store).data.params
    assert params["model/layers/0/units"] == "3"
    assert params["model/layers/0/activation"] == "tanh"
    assert params["sgd/learning_rate"] == "0.5"
    assert params["sgd/nesterov"] == "false"
    assert params["sgd/clip_norm"] == "null"
    assert params["seed"] == "5"
    assert params == flatten(spec.resolved())
    long = params["data/source/inline/x"]
    assert len(long) <= MAX_VALUE
    assert long.startswith("[[0.0, 0.5], ")
    assert long.endswith(f"… ({len(json.dumps(spec.resolved()['data']['source']['inline']['x']))}"
                         " characters)")  # fmt: skip


def test_more_parameters_than_a_call_of_mlflow_takes(store: str, write_spec: WriteSpec) -> None:
    layers = [*({"units": 2} for _ in range(30)), {"units": 1}]
    spec = load_spec(write_spec({"model.layers": layers, "sgd.epochs": 1}))
    params = recorded(train(spec), store).data.params
    assert len(params) > 150
    assert params == flatten(spec.resolved())


@pytest.mark.parametrize(("changes", "score"), [(SPLIT, "accuracy"), (LINEAR, "r2")])
def test_metrics_are_the_history_bit_for_bit(
    store: str, write_spec: WriteSpec, changes: dict[str, Any], score: str
) -> None:
    run = train(load_spec(write_spec(changes)))
    by_epoch = {"train_loss", "val_loss", f"train_{score}", f"val_{score}"}
    by_step = {"train_loss_step", "grad_norm_step"}
    assert by_epoch | by_step | {"grad_norm", "learning_rate"} <= set(run.history)
    for name, values in run.history.items():
        expected = dict(zip(values.steps.tolist(), values.values.tolist(), strict=True))
        assert series(run, store, name) == expected, name
    for name in by_epoch:
        assert list(series(run, store, name)) == [0, 1, 2, 3]
    assert list(series(run, store, "train_loss_step")) == list(range(1, run.steps + 1))
    assert list(series(run, store, "perf/examples_per_second")) == [1, 2, 3]
    for name in run.parameters:
        assert list(series(run, store, f"grad_norm/{name}")) == [1, 2, 3]

    shown = recorded(run, store).data.metrics
    assert {name: shown[name] for name in run.metrics} == dict(run.metrics)
    summaries = {"best_val_loss", "best_epoch"} | ({"test_loss"} if changes is SPLIT else set())
    for name in summaries:
        assert series(run, store, name) == {0: run.metrics[name]}
    others = {f"grad_norm/{name}" for name in run.parameters} | {"perf/examples_per_second"}
    assert set(shown) == set(run.metrics) | by_step | others


def test_long_series_are_thinned(store: str, write_spec: WriteSpec) -> None:
    run = train(load_spec(write_spec({"sgd.epochs": 400})))
    assert run.steps == 800
    ends = {
        "train_loss_step": 800,
        "grad_norm_step": 800,
        "grad_norm/dense_1/W": 400,
        "perf/examples_per_second": 400,
    }
    for name, last in ends.items():
        steps = list(series(run, store, name))
        assert len(steps) == 320, name
        assert (steps[0], steps[-1]) == (1, last)
        assert set(np.diff(steps)) <= {1, 2, 3}
        if name in run.history:
            kept = dict(zip(run.history[name].steps, run.history[name].values, strict=True))
            assert series(run, store, name) == {step: kept[step] for step in steps}
    assert list(series(run, store, "train_loss")) == list(range(401)), "epochs are all there"


@pytest.mark.parametrize("count", [1, 319, 320, 321, 2500, 10**6])
def test_thinned_numbers(count: int) -> None:
    numbers = thinned(count)
    assert len(numbers) == len(set(numbers)) == min(count, 320)
    assert (numbers[0], numbers[-1]) == (1, count)
    assert sorted(numbers) == list(numbers)


def test_experiments(store: str, write_spec: WriteSpec) -> None:
    client = MlflowClient(store)
    for changes, name in (({}, "tiny"), ({"tracking.experiment": "my tests"}, "my tests")):
        run = train(load_spec(write_spec(changes)))
        experiment = client.get_experiment_by_name(name)
        assert run.experiment == name
        assert recorded(run, store).info.experiment_id == experiment.experiment_id != "0"
        assert experiment.tags["mlflow.experiment.primaryMetric.name"] == "val_loss"
        assert experiment.tags["mlflow.experiment.primaryMetric.greaterIsBetter"] == "False"
        artifacts = Path("runs/artifacts").resolve().as_uri()
        assert experiment.artifact_location == artifacts
        assert recorded(run, store).info.artifact_uri.startswith(f"{artifacts}/{run.run_id}/")
    assert client.search_runs(["0"]) == []
    assert not Path("mlruns").exists()


def test_the_packages_of_the_machine_are_not_looked_through(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow would, for a third of a second, to find the modules of the three that it checks."""
    from mlflow.utils import requirements_utils as known

    looked: list[str] = []
    monkeypatch.setattr(known, "_MODULES_TO_PACKAGES", None)
    monkeypatch.setattr(
        known.importlib_metadata, "packages_distributions", lambda: looked.append("all") or {}
    )
    run = train(load_spec(write_spec()))
    assert len(recorded(run, store).outputs.model_outputs) == 1
    assert looked == []
    assert known._MODULES_TO_PACKAGES is None, "it looks for itself when others ask"


@pytest.mark.pictures
def test_artifacts(store: str, write_spec: WriteSpec) -> None:
    path = write_spec(SPLIT)
    path.write_bytes(b"# \xc3\xbc\r\n" + path.read_bytes())
    spec = load_spec(path, {"sgd.epochs": 2})
    run = train(spec)
    client = MlflowClient(store)
    names = {item.path for item in client.list_artifacts(str(run.run_id))}
    assert names == {"config", "environment.json", "trace.parquet", "model_summary.txt",
                     "initial.safetensors", "parameters.safetensors", "preprocessing.json",
                     "decision.json", "plots", "explain"}  # fmt: skip
    plots = {item.path for item in client.list_artifacts(str(run.run_id), "plots")}
    assert plots == {
        f"plots/{name}.png"
        for name in ("learning_curves", "gradient_norms", "weights", "confusion", "roc_calibration")
    }

    assert artifact(run, store, "config/spec.yaml").read_bytes() == path.read_bytes()
    resolved = load_spec(artifact(run, store, "config/resolved.yaml"))
    assert resolved.sha256 == spec.sha256
    environment = json.loads(artifact(run, store, "environment.json").read_text())
    assert environment["packages"]["numpy"] == np.__version__
    assert {"trainer", "engine", "python", "platform", "cpu", "cores", "blas", "git"} <= set(
        environment
    )
    assert "dense_1" in artifact(run, store, "model_summary.txt").read_text()

    final = load_file(artifact(run, store, "parameters.safetensors"))
    assert {name: value.shape for name, value in final.items()} == {
        "dense_1/W": (4, 4), "dense_1/b": (4,), "dense_2/W": (4, 3), "dense_2/b": (3,),
    }  # fmt: skip
    for name, value in final.items():
        assert value.dtype == np.float64
        np.testing.assert_array_equal(value, run.parameters[name])
    initial = load_file(artifact(run, store, "initial.safetensors"))
    assert initial.keys() == final.keys()
    assert not np.array_equal(initial["dense_1/W"], final["dense_1/W"])


def test_trace_holds_every_step(store: str, write_spec: WriteSpec) -> None:
    heard: list[Event] = []
    run = train(load_spec(write_spec({"sgd.epochs": 400})), listen=heard.append)
    events = [event for event in heard if isinstance(event, StepsDone)]
    trace = pq.read_table(artifact(run, store, "trace.parquet"))
    norms = [f"grad_norm/{name}" for name in run.parameters]
    assert trace.column_names == ["step", "epoch", "loss", "grad_norm", *norms]
    columns = {name: trace[name].to_numpy() for name in trace.column_names}
    np.testing.assert_array_equal(columns["step"], np.arange(1, 801))
    np.testing.assert_array_equal(columns["epoch"], np.repeat(np.arange(1, 401), 2))
    np.testing.assert_array_equal(columns["loss"], run.history["train_loss_step"].values)
    np.testing.assert_array_equal(columns["grad_norm"], run.history["grad_norm_step"].values)
    expected = np.concatenate([event.steps.parameter_norms for event in events])
    np.testing.assert_array_equal(np.column_stack([columns[name] for name in norms]), expected)


def test_trace_in_several_pieces(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.runs.trace.HELD_VALUES", 100)
    run = train(load_spec(write_spec({"sgd.epochs": 50})))
    file = pq.ParquetFile(artifact(run, store, "trace.parquet"))
    assert file.num_row_groups > 5
    np.testing.assert_array_equal(file.read()["step"].to_numpy(), np.arange(1, 101))


def test_parameters_sha256_by_the_documented_recipe(store: str, write_spec: WriteSpec) -> None:
    run = train(load_spec(write_spec({"model.dtype": "float32"})))
    digest = hashlib.sha256()
    for name, value in sorted(load_file(artifact(run, store, "parameters.safetensors")).items()):
        shape = ",".join(str(size) for size in value.shape)
        digest.update(b"\0".join([name.encode(), b"float32", shape.encode(), b""]))
        digest.update(value.astype("<f4").tobytes(order="C"))
    assert recorded(run, store).data.tags["trainer.parameters_sha256"] == digest.hexdigest()


def test_data_is_recorded_as_inputs(store: str, write_spec: WriteSpec) -> None:
    run = train(load_spec(write_spec(SPLIT)))
    inputs = recorded(run, store).inputs.dataset_inputs
    parts = {item.tags[0].value: item.dataset for item in inputs}
    assert [item.tags[0].key for item in inputs] == ["mlflow.data.context"] * 3
    assert set(parts) == {"train", "validation", "test"}
    assert {part.digest for part in parts.values()} == {run.data_sha256[:36]}
    assert {name: part.name for name, part in parts.items()} == {
        "train": "iris/train", "validation": "iris/validation", "test": "iris/test",
    }  # fmt: skip
    assert json.loads(parts["test"].profile) == {"rows": 30, "features": 4}


# Where it is recorded --------------------------------------------------------------------------


def test_precedence_of_stores(
    folder: Path, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile's, else the environment's, else the spec's, else the one beside the runs."""
    spec = load_spec(write_spec({"tracking.uri": "sqlite:///spec.db"}))
    assert Profile().find_store().uri == f"sqlite:///{folder}/runs/mlflow.db"
    assert Profile(runs=Path("mine")).find_store().uri == f"sqlite:///{folder}/mine/mlflow.db"
    assert Profile().find_store(spec).uri == f"sqlite:///{folder}/spec.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert Profile().find_store(spec).uri == "http://environment"
    absolute = Profile(store=f"sqlite:///{folder}/a b/flag.db").find_store(spec)
    assert absolute.uri == f"sqlite:///{folder}/a b/flag.db"
    assert absolute.artifacts == (folder / "a b" / "artifacts").as_uri()
    assert tree(folder) == {"spec.yaml"}, "looking makes nothing"


def test_the_specs_store_and_the_environments(
    store: str, folder: Path, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("spec", "environment"):
        (folder / f"{name}.db").write_bytes((folder / "runs" / "mlflow.db").read_bytes())
    spec = load_spec(write_spec({"tracking.uri": "sqlite:///spec.db"}))
    assert only_run(str(train(spec).tracking_uri))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///environment.db")
    run = train(spec)
    assert run.tracking_uri == f"sqlite:///{folder}/environment.db"
    assert only_run(run.tracking_uri).info.run_id == run.run_id
    assert train(spec, profile=Profile(store=store)).tracking_uri == store
    assert only_run(store)


def test_a_fresh_database_and_an_old_mlruns_folder(folder: Path, write_spec: WriteSpec) -> None:
    (folder / "mlruns" / "0").mkdir(parents=True)
    (folder / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\n")
    before = tree(folder)
    run = train(load_spec(write_spec()))
    assert only_run(f"sqlite:///{folder}/runs/mlflow.db").info.run_id == run.run_id
    written = tree(folder) - before - {"spec.yaml", "runs", "runs/mlflow.db", "runs/artifacts"}
    places = (f"runs/artifacts/{run.run_id}", f"runs/{run.id}", "runs/.known",
              "runs/artifacts/models")  # fmt: skip
    assert all(name.startswith(places) for name in written)


def test_folders_with_odd_names(
    tmp_path: Path, folder: Path, store: str, monkeypatch: pytest.MonkeyPatch, write_spec: WriteSpec
) -> None:
    spec = load_spec(write_spec())
    for name in ("a b", "a#b", "ünï😀"):
        (tmp_path / name / "runs").mkdir(parents=True)
        database = tmp_path / name / "runs" / "mlflow.db"
        database.write_bytes((tmp_path / "runs" / "mlflow.db").read_bytes())
        monkeypatch.chdir(tmp_path / name)
        run = train(spec)
        assert only_run(f"sqlite:///{database}").info.run_id == run.run_id
        assert Path(f"runs/artifacts/{run.run_id}/artifacts/trace.parquet").exists()
        assert artifact(run, f"sqlite:///{database}", "trace.parquet").exists()
    for name in ("a?b", "a%20b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with pytest.raises(TrackingError, match=r"its path holds a '\?' or a '%'"):
            train(spec)


@pytest.mark.parametrize("by", ["NAME", "ID"])
def test_the_environments_experiment(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    number = MlflowClient(store).create_experiment("theirs")
    monkeypatch.setenv(f"MLFLOW_EXPERIMENT_{by}", {"NAME": "theirs", "ID": number}[by])
    run = train(load_spec(write_spec({"tracking.experiment": "ours"})))
    assert run.experiment == "theirs"
    assert recorded(run, store).info.experiment_id == number
    assert MlflowClient(store).get_experiment_by_name("ours") is None


def test_a_run_that_mlflow_has_begun_is_joined(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.tracking.recorder.PATIENCE_SECONDS", 0.3)
    client = MlflowClient(store)
    begun = client.create_run(client.create_experiment("theirs"))
    client.log_param(begun.info.run_id, "config", "spec.yaml")
    monkeypatch.setenv("MLFLOW_RUN_ID", begun.info.run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    run = train(load_spec(write_spec()))
    found = only_run(store)
    assert run.run_id == found.info.run_id == begun.info.run_id
    assert (found.info.status, run.experiment) == ("FINISHED", "theirs")
    assert found.data.params["config"] == "spec.yaml"
    assert found.data.metrics["train_loss"] == run.metrics["train_loss"]

    refused = [
        ("RUN_ID", begun.info.run_id, f"is that of the run {run.id}, and records no other"),
        ("RUN_ID", "0" * 32, "not found"),
        ("EXPERIMENT_ID", "12345", "12345"),
    ]
    for epochs, (setting, value, said) in enumerate(refused, start=4):
        monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
        monkeypatch.setenv(f"MLFLOW_{setting}", value)
        with pytest.raises(TrackingError, match=said) as caught:
            train(load_spec(write_spec({"sgd.epochs": epochs})))
        assert isinstance(caught.value.run, Run)
        assert caught.value.run.folder is not None
        assert (caught.value.run.folder / "files" / "parameters.safetensors").exists()


@pytest.mark.parametrize(
    "name", ["ünï/cödé \"quoted\" 'x' 😀", "`a`.b; DROP", "x" * 200, "%s {} \\"]
)
def test_names_of_all_kinds(store: str, write_spec: WriteSpec, name: str) -> None:
    changes = {"name": name, "tracking.experiment": f"{name[:190]} tests", "sgd.epochs": 1}
    run = train(load_spec(write_spec(changes)))
    found = recorded(run, store)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == name
    assert MlflowClient(store).get_experiment_by_name(f"{name[:190]} tests") is not None


def test_only_runs_is_written(store: str, folder: Path, write_spec: WriteSpec) -> None:
    """Nothing in the home folder but lists of fonts and kernels, no temporary files are left."""
    write_spec()
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    before = tree(folder)
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    environment = kept | {"HOME": str(home), "TMPDIR": str(temporary)}
    code = """
import sys
import trainer
from trainer.runs.profile import Profile
spec = trainer.load_spec('spec.yaml')
trainer.train(spec, profile=Profile(runs=None))
run = trainer.train(spec)
assert 'mlflow' not in sys.modules
print(run.id, run.run_id)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    id_, run_id = done.stdout.split()
    places = (f"runs/artifacts/{run_id}", f"runs/{id_}", "runs/artifacts/models/m-")
    places += ("runs/.known/", "home/.cache/matplotlib", "home/.config/matplotlib")
    places += ("home/.cache/trainer/kernels",)
    new = {name for name in tree(folder) - before if not name.startswith(places)}
    assert new - {"home/.cache", "home/.cache/trainer", "home/.config"} == {
        "runs/artifacts", "runs/artifacts/models", "runs/.known"
    }  # fmt: skip
    assert not [name for name in tree(folder) if "__pycache__" in name]
