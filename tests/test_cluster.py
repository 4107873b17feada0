"""Workers that share no disk with the driver: the bits are those of a run that is trained here."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import WriteSpec
from elsewhere import Watched, opened, place

import trainer
from trainer import CheckpointError, Profile, Run, Spec, UsageError, load_spec
from trainer.checkpoints.facts import FACTS, read_facts, read_outcome
from trainer.checkpoints.folder import CHECKPOINTS, JOURNAL, RunFolder
from trainer.engine.compiled.engine import keep_kernels
from trainer.runs.known import load_run
from trainer.workers import cluster as clusters
from trainer.workers.cluster import Cluster
from trainer.workers.pieces import Piece, Written, look, pack, unpack
from trainer.workers.pool import open_workers
from trainer.workers.remote import _desk
from trainer.workers.task import Answer, Task
from trainer.workers.train import train_task

RUNS = Path("runs")
ID = "0" * 31 + "1"
OTHER = "0" * 31 + "2"
ROWS = [(i * 0.1, (i * 7) % 5, i % 2) for i in range(40)]
TRAINED = {"sgd.epochs": 30, "sgd.momentum": 0.5, "data.split": {"validation": 0.25}}


def task(spec: Spec, name: str = ID, until: int | None = None, **others: Any) -> Task:
    return Task(name, spec.resolved(), spec.file, until, **others)


def whole(spec: Spec) -> Run:
    return trainer.train(spec, profile=Profile(runs=Path("others"), record=False))


def check_same(answer: Answer, run: Run) -> None:
    """The answer, and what the folder here says, are those of the run."""
    found = load_run(RUNS / answer.id)
    assert (answer.status, answer.reason) == ("FINISHED", "")
    assert answer.parameters_sha256 == found.parameters_sha256 == run.parameters_sha256
    assert answer.metrics == found.metrics == run.metrics
    for name, series in run.history.items():
        assert found.history[name].values.tobytes() == series.values.tobytes(), name


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.filterwarnings("ignore")  # of what Dask leaves open in the end
def test_a_cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, elsewhere, one of which is killed in mid-trial; at last the trial is paused."""
    from distributed import LocalCluster

    monkeypatch.setattr(clusters, "SLICE_SECONDS", 0.1)
    (folder / "data").mkdir()
    rows = "".join(f"{a},{b},{y}\n" for a, b, y in ROWS * 10)
    (folder / "data" / "rows.csv").write_text("a,b,y\n" + rows)
    (folder / "data" / "spec.yaml").write_text(
        "name: elsewhere\ndata: {source: {csv: rows.csv}, target: y, split: {validation: 0.2}}\n"
        "model: {loss: logistic, layers: [{units: 4, activation: tanh}, {units: 1}]}\n"
        "sgd: {learning_rate: 0.05, batch_size: 4, epochs: 10, momentum: 0.5}\n"
    )
    short = load_spec("data/spec.yaml")
    endless = short.changed({"sgd.epochs": 10**6})
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as local,
        open_workers(None, local.scheduler_address, RUNS) as workers,
    ):
        client = workers._all[0]._cluster.client
        client.register_plugin(Watched(str(folder)))
        places = client.run(place)
        assert len({where for _, where in places.values()}) == workers.count == 2
        first, second = (workers.submit(task(each, name)) for each, name in
                         ((endless, ID), (short, OTHER)))  # fmt: skip
        ended = second.result(60)
        wait_for(lambda: size_of(RUNS / ID / JOURNAL) and any(client.processing().values()))
        busy = next(address for address, keys in client.processing().items() if keys)
        before = size_of(RUNS / ID / JOURNAL)
        os.kill(places[busy][0], signal.SIGKILL)
        wait_for(lambda: size_of(RUNS / ID / JOURNAL) > before)
        wait_for(lambda: client.run(opened))  # of the new worker, too
        asked = time.monotonic()
        workers.pause()
        paused = first.result(60)
        assert time.monotonic() - asked < 5
        assert not any(client.run(opened).values())
        client.run(os.open, str(folder / "data" / "rows.csv"), os.O_RDONLY)
        assert all(client.run(opened).values())  # they are watched indeed
    check_same(ended, whole(short))
    assert (paused.status, paused.attempt) == ("KILLED", 1)  # slices are no attempts
    facts = read_facts(RUNS / ID)
    assert facts.spec_file == str(folder / "data" / "spec.yaml")
    assert facts.data["origin"] == str(folder / "data" / "rows.csv")
    until = paused.epoch + 1
    gone_on, again = (train_task(task(endless, name, until), RUNS) for name in (ID, "a" * 32))
    assert (gone_on.epoch, gone_on.attempt, again.attempt) == (until, 2, 1)
    assert gone_on.parameters_sha256 == again.parameters_sha256
    assert gone_on.metrics == again.metrics


# Without a cluster ------------------------------------------------------------------------------


class Here:
    """A client whose only worker is this process, which has no file below `hidden` meanwhile."""

    def __init__(self, hidden: Path | None = None, lost: Callable[[], bool] = bool) -> None:
        self._hidden, self._lost = hidden, lost
        self.slices = 0

    def get_executor(self, **_: Any) -> Here:
        return self

    def scheduler_info(self, **_: Any) -> Any:
        return {"workers": {"here": {"nthreads": 1}}}

    def run(self, function: Callable[..., Any], *arguments: Any, **_: Any) -> None:
        function(*arguments)

    def close(self) -> None:
        """Nothing is to be closed."""

    def submit(self, function: Callable[..., Any], *arguments: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.slices += 1
        with self._away():
            result = function(*arguments)
        if self._lost():
            future.set_exception(OSError("the worker is gone"))
        else:
            future.set_result(result)
        return future

    @contextmanager
    def _away(self) -> Iterator[None]:
        if self._hidden is None:
            yield
            return
        elsewhere = self._hidden.with_name("away")
        self._hidden.rename(elsewhere)
        try:
            yield
        finally:
            elsewhere.rename(self._hidden)


@pytest.fixture(autouse=True)
def _new_desk() -> Iterator[None]:
    """Each test has a worker that has nothing yet."""
    yield
    _desk.cache_clear()
    keep_kernels(0)


def ask(client: Here, *tasks: Task) -> list[Answer]:
    cluster = Cluster(client, RUNS)
    (worker,) = cluster.workers(None)
    return [worker.answer(each) for each in tasks]


def write_rows(folder: Path, kind: str) -> dict[str, str]:
    """Writes the rows in a format, in the folder; the source that names them."""
    table = pa.table({name: [row[i] for row in ROWS] for i, name in enumerate("aby")})
    if kind == "csv":
        text = "a,b,y\n" + "".join(f"{a},{b},{y}\n" for a, b, y in ROWS)
        (folder / "rows.csv").write_text(text)
    elif kind == "parquet":
        for part in range(2):
            (folder / f"rows.parquet/year={part}").mkdir(parents=True)
            pq.write_table(
                table.slice(20 * part, 20), folder / f"rows.parquet/year={part}/p.parquet"
            )
    elif kind == "jsonl":
        (folder / "rows.jsonl").write_text(
            "".join(f'{{"a":{a},"b":{b},"y":{y}}}\n' for a, b, y in ROWS)
        )
    elif kind == "npz":
        np.savez(folder / "rows.npz", x=np.array(ROWS)[:, :2], y=np.array(ROWS)[:, 2].astype(int))
    return {kind: f"rows.{kind}"}


SOURCES = ("csv", "parquet", "jsonl", "npz", "bundled", "inline", "test files", "npy",
           "absolute", "above", "on disk", "started")  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source(write_spec: WriteSpec, folder: Path, kind: str) -> None:
    """A worker that has not the files of the driver trains by what it is sent."""
    (folder / "data" / "specs").mkdir(parents=True)
    beside = folder / "data" / "specs"
    changes: dict[str, Any] = TRAINED | {"data.target": "y"}
    if kind in ("csv", "parquet", "jsonl", "npz"):
        changes["data.source"] = write_rows(beside, kind)
    elif kind == "bundled":
        changes |= {"data.source": "breast_cancer", "data.target": "target", "sgd.epochs": 2}
    elif kind == "inline":
        del changes["data.target"]
    elif kind == "test files":
        changes |= {"data.source": write_rows(beside, "csv"), "data.test": "tested-*.csv"}
        shutil.copy(beside / "rows.csv", beside / "tested-1.csv")
        shutil.copy(beside / "rows.csv", beside / "tested-2.csv")
    elif kind == "npy":
        np.save(beside / "x.npy", np.array(ROWS)[:, :2])
        np.save(beside / "y.npy", np.array(ROWS)[:, 2].astype(int))
        del changes["data.target"]
        changes["data.source"] = {"npy": "x.npy", "y": str(beside / "y.npy")}
    elif kind == "absolute":
        write_rows(beside, "csv")
        changes["data.source"] = {"csv": str(beside / "rows.csv")}
    elif kind == "above":
        write_rows(folder / "data", "csv")
        changes["data.source"] = {"csv": "../rows.csv"}
    elif kind == "on disk":
        changes |= {"data.source": write_rows(beside, "csv"), "data.stream": True}
    elif kind == "started":
        changes["data.source"] = write_rows(beside, "csv")
        first = whole(load_spec(write_spec(changes, "data/specs/first.yaml")))
        assert first.folder is not None
        shutil.copy(first.folder / "files" / "parameters.safetensors", beside / "begin.safetensors")
        changes["model.init_from"] = {"file": "begin.safetensors"}
    spec = load_spec(write_spec(changes, "data/specs/spec.yaml"))
    client = Here(folder / "data")
    (answer,) = ask(client, task(spec))
    assert client.slices == 1 + (kind not in ("bundled", "inline"))
    expected = whole(spec)
    check_same(answer, expected)
    assert expected.folder is not None
    told, here = (read_facts(path) for path in (RUNS / ID, expected.folder))
    other = {"id": here.id, "began": here.began, "files": {}, "spec_text": None}
    assert replace(told, **other) == replace(here, files={}, spec_text=None)


def test_a_task_in_slices(write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them are lost: what is here is what counts. A promotion is an attempt of its own."""
    monkeypatch.setattr(clusters, "SLICE_SECONDS", 0.0)
    spec = load_spec(write_spec(TRAINED | {"sgd.epochs": 4}))
    turns = iter(range(1000))
    client = Here(lost=lambda: next(turns) % 3 == 1)
    told = ask(client, task(spec, until=2), task(spec), task(spec, until=1))
    assert [(a.status, a.epoch, a.attempt) for a in told] == [
        ("PAUSED", 2, 1), ("FINISHED", 4, 2), ("PAUSED", 1, 2),
    ]  # fmt: skip
    assert client.slices > 4
    check_same(told[1], whole(spec))


def test_what_is_known_is_not_sent(write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec(TRAINED))
    run = trainer.train(spec, profile=Profile(record=False))
    client = Here()
    told = ask(client, task(spec.changed({"name": "again"})), task(spec, OTHER, 3))
    assert client.slices == 0
    assert [(a.status, a.known, a.epoch) for a in told] == [
        ("FINISHED", True, 30), ("PAUSED", True, 3),
    ]  # fmt: skip
    assert told[0].parameters_sha256 == run.parameters_sha256


def test_a_cluster_that_is_gone(write_spec: WriteSpec) -> None:
    client = Here(lost=lambda: True)
    (answer,) = ask(client, task(load_spec(write_spec(TRAINED))))
    assert (answer.status, answer.fault, client.slices) == ("FAILED", "machine", 3)
    assert not (RUNS / ID).exists()


def test_what_a_cluster_cannot_have(write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec(TRAINED | {"model.init_from": {"run": "abc"}}))
    (answer,) = ask(Here(), task(spec))
    assert (answer.status, answer.fault) == ("FAILED", "spec")
    assert "model.init_from: the workers of a cluster" in answer.reason


def test_a_pause(write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "SLICE_SECONDS", 0.0)
    cluster = Cluster(Here(), RUNS)
    (worker,) = cluster.workers(None)
    cluster.stop()
    assert worker.answer(task(load_spec(write_spec(TRAINED)))).status == "KILLED"
    assert cluster.name in _desk().stopped


def test_no_scheduler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_SECONDS", 0.2)
    with pytest.raises(UsageError, match="no Dask scheduler answers"):
        open_workers(1, "tcp://127.0.0.1:1", RUNS)


def test_without_dask(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install 'specgrad\[dask\]'"):
        open_workers(1, "tcp://127.0.0.1:1", RUNS)


# Pieces of a folder -----------------------------------------------------------------------------


def test_pieces(write_spec: WriteSpec) -> None:
    """Each brings what is new, and the folder is the same there."""
    spec, before = load_spec(write_spec(TRAINED | {"sgd.epochs": 6})), Written()
    there = RunFolder(Path("there") / ID)
    for until in (2, 4, None):
        train_task(task(spec, until=until), RUNS)
        piece = pack(RUNS / ID, before)
        assert until == 2 or "files/initial.safetensors" not in piece.files
        unpack(there, piece)
        before = piece.after
        assert look(there.path) == look(RUNS / ID) == before
    there.release()
    assert load_run(there.path).parameters_sha256 == load_run(RUNS / ID).parameters_sha256


HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "name",
    ["../x", "/tmp/x", "files/../../x", "lock", "journal", "recorded.json", "files/.hidden",
     "files//x", "checkpoints", "other/x", "run.json/x", "files/./x"],
)  # fmt: skip
def test_a_place_where_no_run_has_files(folder: Path, name: str) -> None:
    there = RunFolder(RUNS / ID)
    before = sorted(path for path in folder.rglob("*"))
    for piece in (
        Piece({name: b""}, 0, b"", Written({name: HASH})),
        Piece({}, 0, b"", Written({name: HASH})),
    ):
        with pytest.raises(CheckpointError, match="a worker sent a file that no run has"):
            unpack(there, piece)
    assert sorted(path for path in folder.rglob("*")) == before
    there.release()


@pytest.mark.parametrize("what", ["file", "journal", "start"])
def test_a_piece_that_is_not_whole(write_spec: WriteSpec, what: str) -> None:
    train_task(task(load_spec(write_spec(TRAINED)), until=2), RUNS)
    piece = pack(RUNS / ID, Written())
    if what == "file":
        name = next(iter(piece.files))
        piece = replace(piece, files={**piece.files, name: b"other"})
    elif what == "journal":
        piece = replace(piece, journal=piece.journal[:-1])
    else:
        piece = replace(piece, start=10)
    there = RunFolder(Path("there") / ID)
    with pytest.raises(CheckpointError, match="came from a worker with other contents"):
        unpack(there, piece)
    assert not (there.path / FACTS).exists()
    assert not (there.path / JOURNAL).exists()
    assert not [*(there.path / CHECKPOINTS).iterdir()]
    assert read_outcome(there.path) is None
    there.release()
