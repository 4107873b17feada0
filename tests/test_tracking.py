"""What a run leaves in MLflow, and what happens when the store fails."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from safetensors.numpy import load_file
from trainer.tracking.describe import MAX_VALUE, flatten

from trainer import Run, TrackingError, load_spec, train
from trainer.engine import ReferenceEngine
from trainer.engine.compiled.engine import CompiledEngine
from trainer.errors import DivergedError, InterruptedRun
from trainer.tracking import sender
from trainer.tracking import store as store_module
from trainer.tracking.store import resolve_store
from trainer.training import EpochDone, StepsDone
from trainer.training.history import thinned

TRAIN = [sys.executable, "-m", "trainer"]
SPLIT = {"data.source": "iris", "data.split": {"validation": 0.2, "test": 0.2},
         "model.layers": [{"units": 4, "activation": "tanh"}, {"units": 3}],
         "sgd.batch_size": 16}  # fmt: skip
LINEAR = {"data.source": {"synthetic": "linear", "rows": 40}, "data.split": {"validation": 0.25},
          "model.loss": "squared", "sgd.learning_rate": 0.01}  # fmt: skip
DIVERGING = {**LINEAR, "sgd.learning_rate": 1e200}

RUNS = {"mlflow.db", "artifacts", "checkpoints"}

WriteSpec = Callable[..., Path]


def recorded(run: Run | str, store: str) -> Any:
    """The run as MLflow holds it."""
    return MlflowClient(store).get_run(run if isinstance(run, str) else str(run.run_id))


def only_run(store: str) -> Any:
    """The one run of a store."""
    client = MlflowClient(store)
    numbers = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(numbers)
    return run


def series(run: Run, store: str, name: str) -> dict[int, float]:
    """A metric's values by step."""
    points = MlflowClient(store).get_metric_history(str(run.run_id), name)
    values = {point.step: point.value for point in points}
    assert len(values) == len(points), f"{name} has a step twice"
    return values


def artifact(run: Run, store: str, name: str) -> Path:
    """The local path of an artifact."""
    return Path(MlflowClient(store).download_artifacts(str(run.run_id), name))


def tree(folder: Path) -> set[str]:
    """All files and folders below `folder`."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# What is recorded ------------------------------------------------------------------------------


def test_status_name_and_tags(store: str, write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec())
    run = train(spec, name="first try")
    found = recorded(run, store)
    tags = found.data.tags
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "first try" == tags["mlflow.runName"]
    assert found.info.end_time >= found.info.start_time
    assert tags["mlflow.source.name"] == spec.file
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.note.content"].startswith("**tiny**: a network of 2 → 3 → 1")
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
        found = recorded(train(load_spec(spec)), store).data.tags
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


def test_artifacts(store: str, write_spec: WriteSpec) -> None:
    path = write_spec(SPLIT)
    path.write_bytes(b"# \xc3\xbc\r\n" + path.read_bytes())
    spec = load_spec(path, {"sgd.epochs": 2})
    run = train(spec)
    client = MlflowClient(store)
    names = {item.path for item in client.list_artifacts(str(run.run_id))}
    assert names == {"config", "environment.json", "trace.parquet", "model_summary.txt",
                     "initial.safetensors", "parameters.safetensors", "preprocessing.json",
                     "plots", "explain"}  # fmt: skip
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
    events: list[StepsDone] = []

    def listener(event: object) -> None:
        if isinstance(event, StepsDone):
            events.append(event)

    run = train(load_spec(write_spec({"sgd.epochs": 400})), listeners=[listener])
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
    monkeypatch.setattr("trainer.tracking.trace.HELD_VALUES", 100)
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


def test_precedence_of_stores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_store(None, None).uri == f"sqlite:///{folder}/runs/mlflow.db"
    assert resolve_store(None, "sqlite:///spec.db").uri == f"sqlite:///{folder}/spec.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert resolve_store(None, "sqlite:///spec.db").uri == "http://environment"
    absolute = resolve_store(f"sqlite:///{folder}/a b/flag.db", "sqlite:///spec.db")
    assert absolute.uri == f"sqlite:///{folder}/a b/flag.db"
    assert absolute.artifacts == (folder / "a b" / "artifacts").as_uri()
    assert tree(folder) == set(), "looking makes nothing"


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
    assert train(spec, tracking_uri=store).tracking_uri == store
    assert only_run(store)


def test_a_fresh_database_and_an_old_mlruns_folder(folder: Path, write_spec: WriteSpec) -> None:
    (folder / "mlruns" / "0").mkdir(parents=True)
    (folder / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\n")
    before = tree(folder)
    run = train(load_spec(write_spec()))
    assert only_run(f"sqlite:///{folder}/runs/mlflow.db").info.run_id == run.run_id
    written = tree(folder) - before - {"spec.yaml", "runs", "runs/mlflow.db"}
    written -= {"runs/artifacts", "runs/checkpoints"}
    places = (f"runs/artifacts/{run.run_id}", f"runs/checkpoints/{run.run_id}",
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

    with pytest.raises(TrackingError, match="Changing param values is not allowed"):
        train(load_spec(write_spec({"sgd.epochs": 4})))
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(TrackingError, match="not found"):
        train(load_spec(write_spec()))
    monkeypatch.delenv("MLFLOW_RUN_ID")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "12345")
    with pytest.raises(TrackingError, match="12345"):
        train(load_spec(write_spec()))


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
    """Nothing in the home folder but matplotlib's list of fonts, no temporary files are left."""
    write_spec()
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    before = tree(folder)
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    environment = kept | {"HOME": str(home), "TMPDIR": str(temporary)}
    code = (
        "import sys, trainer, trainer.runs.train; spec = trainer.load_spec('spec.yaml');"
        "trainer.train(spec, track=False); assert 'mlflow' not in sys.modules;"
        "print(trainer.train(spec).run_id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    run_id = done.stdout.strip()
    places = ("runs/artifacts/" + run_id, "runs/checkpoints/" + run_id)
    places += ("runs/artifacts/models/m-", "home/.cache/matplotlib", "home/.config/matplotlib")
    new = {name for name in tree(folder) - before if not name.startswith(places)}
    assert new - {"home/.cache", "home/.config"} == {
        "runs/artifacts", "runs/artifacts/models", "runs/checkpoints"
    }  # fmt: skip
    assert not [name for name in tree(folder) if "__pycache__" in name]


# Stores that cannot be used --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file:///tmp/x", "the tracking store 'file:///tmp/x' is a folder, which MLflow no longer"),
        ("./mlruns", "the tracking store './mlruns' is a folder, which MLflow no longer"),
        ("sqlite://", "names no file: use sqlite:///path/mlflow.db"),
        ("sqlite:///:memory:", "names no file: use sqlite:///path/mlflow.db"),
        ("sqlite:///spec.yaml/x.db", "spec.yaml' cannot be made: "),
        ("sqlite:///runs", "runs' is a folder, not a database file"),
        ("sqlite:///spec.yaml", "spec.yaml' cannot be written: file is not a database"),
        ("nonsense://x", "nonsense://x refused: "),
    ],
)  # fmt: skip
def test_unusable_stores(store: str, write_spec: WriteSpec, uri: str, message: str) -> None:
    spec = load_spec(write_spec())
    before = tree(Path.cwd())
    with pytest.raises(TrackingError) as caught:
        train(spec, tracking_uri=uri)
    assert message in str(caught.value)
    assert caught.value.exit_code == 5
    assert tree(Path.cwd()) == before


def test_a_read_only_database(store: str, write_spec: WriteSpec) -> None:
    Path("runs/mlflow.db").chmod(0o400)
    if os.access("runs/mlflow.db", os.W_OK):
        pytest.skip("this user may write everything")
    with pytest.raises(TrackingError, match="cannot be written: attempt to write a readonly"):
        train(load_spec(write_spec()))


def test_a_locked_database(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "ANSWER_SECONDS", 0.2)
    other = sqlite3.connect("runs/mlflow.db")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TrackingError, match="cannot be written: database is locked"):
        train(load_spec(write_spec()))
    other.close()
    assert train(load_spec(write_spec())).status == "FINISHED"


def test_deleted_and_default_experiments(store: str, write_spec: WriteSpec) -> None:
    client = MlflowClient(store)
    client.delete_experiment(client.create_experiment("tiny"))
    with pytest.raises(TrackingError, match=r"the experiment 'tiny' is deleted in .*\n  hint: "):
        train(load_spec(write_spec()))
    with pytest.raises(TrackingError, match="the experiment 'Default' is MLflow's own"):
        train(load_spec(write_spec({"name": "Default"})))
    assert tree(Path.cwd()) == {"runs", "runs/mlflow.db", "spec.yaml"}


def test_an_unreachable_server(folder: Path, write_spec: WriteSpec) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{unused.getsockname()[1]}"
    write_spec()
    began = time.monotonic()
    done = subprocess.run(
        [*TRAIN, "spec.yaml", "--quiet", "--tracking-uri", uri], capture_output=True, text=True
    )
    assert time.monotonic() - began < 5
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr == (
        f"train: no MLflow server at {uri}: [Errno 111] Connection refused\n"
        "  hint: start the server, or leave the address out to record in runs/mlflow.db\n"
    )
    assert tree(folder) == {"spec.yaml"}


@contextmanager
def server(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server that answers everything in one way."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            respond(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_a_server_that_answers_500(folder: Path, write_spec: WriteSpec) -> None:
    message = r"no MLflow server at .*: it answers 500"
    with (
        server(lambda request: request.send_error(500)) as uri,
        pytest.raises(TrackingError, match=message),
    ):
        train(load_spec(write_spec()), tracking_uri=uri)


def test_a_server_that_hangs(
    folder: Path, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_module.ANSWER_SECONDS < 5
    monkeypatch.setattr(store_module, "ANSWER_SECONDS", 0.5)
    done = threading.Event()
    with server(lambda request: done.wait(10) and None) as uri:
        began = time.monotonic()
        with pytest.raises(TrackingError, match=r"no MLflow server at .*: timed out"):
            train(load_spec(write_spec()), tracking_uri=uri)
        assert time.monotonic() - began < 3
        done.set()


def test_a_server_that_is_not_mlflow(folder: Path, write_spec: WriteSpec) -> None:
    with (
        server(lambda request: request.send_error(404)) as uri,
        pytest.raises(TrackingError, match=r"the tracking store .* refused: .*404"),
    ):
        train(load_spec(write_spec()), tracking_uri=uri)
    assert tree(folder) == {"spec.yaml"}


def test_runs_that_start_at_the_same_time_on_a_fresh_store(
    folder: Path, write_spec: WriteSpec
) -> None:
    write_spec()
    begun = [
        subprocess.Popen([*TRAIN, "spec.yaml", "--quiet"], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[1] for process in begun] == [""] * 2
    client = MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    number = client.get_experiment_by_name("tiny").experiment_id
    assert [run.info.status for run in client.search_runs([number])] == ["FINISHED"] * 2
    assert {path.name for path in Path("runs").iterdir()} == RUNS


# Stores that fail in mid-run -------------------------------------------------------------------


@pytest.fixture
def break_store(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Makes log_batch of metrics fail: at the calls of these numbers, before or after it wrote."""
    real = MlflowClient.log_batch
    monkeypatch.setattr(sender, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 0.3)

    def breaking(fails: Callable[[int], bool], *, wrote: bool = False) -> list[int]:
        calls: list[int] = []

        def log_batch(self: MlflowClient, run_id: str, metrics: Any = (), **others: Any) -> None:
            if metrics:
                calls.append(len(metrics))
            failing = bool(metrics) and fails(len(calls))
            if not failing or wrote:
                real(self, run_id, metrics=metrics, **others)
            if failing:
                raise ConnectionError("the line is dead\nat some place")

        monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
        return calls

    return breaking


@pytest.mark.parametrize("wrote", [False, True], ids=["request lost", "reply lost"])
def test_points_arrive_once_when_the_store_recovers(
    store: str, write_spec: WriteSpec, break_store: Callable[..., list[int]], wrote: bool
) -> None:
    calls = break_store(lambda call: call <= 4, wrote=wrote)

    def slow(event: object) -> None:
        if isinstance(event, EpochDone):
            time.sleep(0.01)

    run = train(load_spec(write_spec({"sgd.epochs": 30})), listeners=[slow])
    assert len(calls) >= 5
    assert recorded(run, store).info.status == "FINISHED"
    for name in ("train_loss", "grad_norm", "train_loss_step"):
        expected = run.history[name]
        got = series(run, store, name)
        assert list(got) == expected.steps.tolist()
        assert list(got.values()) == expected.values.tolist()


def test_a_store_that_stays_broken_keeps_the_run_locally(
    store: str, write_spec: WriteSpec, break_store: Callable[..., list[int]]
) -> None:
    break_store(lambda call: True)
    seen: list[Any] = []
    with pytest.raises(TrackingError) as caught:
        train(load_spec(write_spec({"sgd.epochs": 30})), listeners=[seen.append])
    assert seen[-1].status == "FINISHED", "the training went on to its end"
    run = only_run(store)
    assert str(caught.value) == (
        f"the tracking store {store} refused: the line is dead\n"
        "  the run is trained, and kept on this disk; send it later with: train sync"
    )
    assert caught.value.exit_code == 5
    assert run.info.status == "FAILED", "MLflow does not hold all of it"
    assert {path.name for path in Path("runs").iterdir()} == RUNS


def test_a_store_that_fails_at_the_end(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MlflowClient, "set_terminated", refuse)
    with pytest.raises(TrackingError, match="No space left on device\n  the run is trained, "):
        train(load_spec(write_spec()))


def test_a_full_disk_does_not_stop_the_training(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainer.tracking.trace.HELD_VALUES", 10)
    monkeypatch.setattr(pq, "ParquetWriter", refuse)
    seen: list[Any] = []
    with pytest.raises(TrackingError, match="No space left on device\n  the run is trained, "):
        train(load_spec(write_spec()), listeners=[seen.append])
    assert seen[-1].status == "FINISHED"


def test_what_mlflow_refuses_is_an_error_before_training(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.tracking.tracker.flatten", lambda _: {"a*b": "1"})
    seen: list[Any] = []
    with pytest.raises(TrackingError, match=r"Invalid value .*a\*b"):
        train(load_spec(write_spec()), listeners=[seen.append])
    assert seen == []
    assert only_run(store).info.status == "FAILED"
    assert tree(Path.cwd()) == {"runs", "runs/mlflow.db", "spec.yaml"}


# Runs that do not end well ---------------------------------------------------------------------


def test_a_diverged_run(store: str, write_spec: WriteSpec) -> None:
    with pytest.raises(DivergedError) as caught:
        train(load_spec(write_spec(DIVERGING)))
    run = caught.value.run
    assert run is not None
    found = recorded(run, store)
    assert found.info.status == "FAILED"
    assert found.data.tags["trainer.diverged"] == str(caught.value)
    assert found.data.tags["trainer.parameters_sha256"] == run.parameters_sha256
    with sqlite3.connect("runs/mlflow.db") as database:
        stored = database.execute("SELECT value, is_nan FROM metrics").fetchall()
    database.close()
    assert stored
    assert all(not is_nan and abs(value) < 1.7e308 for value, is_nan in stored)


def test_a_listener_that_fails(store: str, write_spec: WriteSpec) -> None:
    def fail(event: Any) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(load_spec(write_spec()), listeners=[fail])
    found = only_run(store)
    assert found.info.status == "FAILED"
    assert found.data.metrics["train_loss_step"]
    assert "trainer.parameters_sha256" not in found.data.tags


def test_a_second_interruption_stops_at_once(store: str, write_spec: WriteSpec) -> None:
    def interrupt(event: Any) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    with pytest.raises(InterruptedRun, match="stopped at once") as caught:
        train(load_spec(write_spec()), listeners=[interrupt])
    assert caught.value.exit_code == 130
    assert only_run(store).info.status == "KILLED"


@pytest.mark.parametrize("kind", [ReferenceEngine, CompiledEngine], ids=lambda kind: kind.name)
def test_a_signal_before_training_stops_at_once(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """Even where it comes while the kernel is compiled."""

    def slow(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(kind, "prepare", slow)
    with pytest.raises(InterruptedRun, match="stopped before training began") as caught:
        train(load_spec(write_spec()), engine=kind.name)
    assert caught.value.exit_code == 143
    assert caught.value.run is None


def test_an_interruption_while_the_rest_is_sent(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sender.Sender, "finish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(load_spec(write_spec()))
    found = only_run(store)
    assert found.info.status == "KILLED"
    assert (Path("runs/checkpoints") / found.info.run_id / "unsent").exists()


def test_an_interruption_while_the_run_is_opened(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, "log_inputs", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(load_spec(write_spec()))
    assert only_run(store).info.status == "KILLED"
    assert tree(Path.cwd()) == {"runs", "runs/mlflow.db", "spec.yaml"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals(store: str, write_spec: WriteSpec, number: int, code: int) -> None:
    write_spec({"sgd.epochs": 10**6})
    process = subprocess.Popen([*TRAIN, "spec.yaml"], stderr=subprocess.PIPE, text=True,
                               preexec_fn=hear_signals)  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()  # says that training begins
    time.sleep(0.3)
    process.send_signal(number)
    _, error = process.communicate(timeout=20)
    assert process.returncode == code
    assert error.splitlines()[-1].startswith("train: interrupted after ")
    assert "Traceback" not in error
    found = only_run(store)
    assert found.info.status == "KILLED"
    assert found.info.end_time is not None
    assert {path.name for path in Path("runs").iterdir()} == RUNS


def hear_signals() -> None:
    """A shell may start the tests with SIGINT ignored, which children inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupted_run_keeps_what_was_trained(store: str, write_spec: WriteSpec) -> None:
    def interrupt(event: Any) -> None:
        if isinstance(event, EpochDone) and event.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRun) as caught:
        train(load_spec(write_spec()), listeners=[interrupt])
    run = caught.value.run
    assert run is not None
    assert (run.epochs, run.status, caught.value.exit_code) == (2, "KILLED", 143)
    kept = load_file(artifact(run, store, "parameters.safetensors"))
    for name, value in run.parameters.items():
        np.testing.assert_array_equal(kept[name], value)
    assert recorded(run, store).info.status == "KILLED"


def test_a_trained_run_is_not_lost_when_its_end_cannot_be_recorded(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr(MlflowClient, "set_terminated", fail)
    with pytest.raises(TrackingError, match="refused: gone") as caught:
        train(load_spec(write_spec()))
    assert caught.value.run is not None
    assert caught.value.run.status == "FINISHED"


def test_the_reason_of_a_database_is_told_without_its_sql(
    store: str, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLAlchemy puts it when the disk is full in the middle of a run."""

    def fail(*_: object) -> None:
        raise OSError(
            "(raised as a result of Query-invoked autoflush; consider this)\n"
            "(sqlite3.OperationalError) database or disk is full\n[SQL: INSERT INTO metrics]"
        )

    monkeypatch.setattr(MlflowClient, "set_terminated", fail)
    with pytest.raises(TrackingError) as caught:
        train(load_spec(write_spec()))
    first, second = str(caught.value).splitlines()
    assert first == f"the tracking store {store} refused: database or disk is full"
    assert second.endswith("send it later with: train sync")
