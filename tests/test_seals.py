"""What is read back of a run is what the run wrote, or is refused; texts of it never are code."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import time
import tokenize
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from conftest import TINY, Train, WriteSpec
from folders import make_folder, some_facts
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from trainer import Profile, Run, Spec, load_spec
from trainer import train as begin
from trainer.checkpoints.arrays import load_arrays
from trainer.checkpoints.disk import hash_within, open_within, read_within, write_file
from trainer.checkpoints.facts import FACTS, OUTCOME, read_facts, write_json
from trainer.checkpoints.folder import LOCK, Lock, RunFolder, folders, is_held, next_moment
from trainer.checkpoints.journal import Journal
from trainer.checkpoints.seal import sealed, unsealed
from trainer.data import Column, Preprocessing, Rule, load_dataset
from trainer.errors import CheckpointError, TrainerError
from trainer.export.program import program_code
from trainer.network.build import build_graph
from trainer.network.model import Model
from trainer.runs.reproduce import reproduce
from trainer.runs.resume import resume
from trainer.runs.use import load_model
from trainer.stored import from_json
from trainer.tracking.model import SERVED
from trainer.tracking.points import Points
from trainer.training import EpochDone
from trainer.training.job import make_job

KEPT = Profile(engine="reference", record=False)

# Types ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inner:
    one: int


@dataclass(frozen=True)
class Outer:
    text: str
    number: float
    maybe: int | None
    word: Literal["a", "b"]
    several: tuple[str, ...]
    by_name: dict[str, float]
    inner: Inner
    either: Literal["all"] | list[float]


RIGHT: dict[str, Any] = {
    "text": "t", "number": 2, "maybe": None, "word": "a", "several": ["x"], "by_name": {"k": 1.5},
    "inner": {"one": 1}, "either": [1, 2.5],
}  # fmt: skip


def test_json_becomes_what_it_was() -> None:
    expected = Outer("t", 2.0, None, "a", ("x",), {"k": 1.5}, Inner(1), [1.0, 2.5])
    assert from_json(Outer, RIGHT) == expected
    assert from_json(Outer, RIGHT | {"either": "all", "maybe": 3}).maybe == 3


@pytest.mark.parametrize(("changes", "message"), [
    ({"text": 3}, "expected 'text' to be a text, found 3"),
    ({"number": True}, "expected 'number' to be a number, found True"),
    ({"number": 10**400}, "expected 'number' to be a number, found a huge number"),
    ({"maybe": 2.0}, "expected 'maybe' to be a whole number, found 2.0"),
    ({"word": "c"}, "expected 'word' to be one of a, b, found 'c'"),
    ({"several": "x"}, "expected 'several' to be a list, found 'x'"),
    ({"several": ["x", None]}, "expected 'several[1]' to be a text, found null"),
    ({"by_name": {"k": "1"}}, "expected 'by_name.k' to be a number, found '1'"),
    ({"inner": {}}, "'inner.one' is missing"),
    ({"inner": []}, "expected 'inner', found a list"),
    ({"more": 1}, "'more' is not known here"),
    ({"either": "none"}, "expected 'either' to be a list, found 'none'"),
])  # fmt: skip
def test_other_types_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        from_json(Outer, RIGHT | changes)
    assert str(caught.value) == message


@pytest.mark.parametrize("data", [
    b"", b"{", b"[]", b"7", b"null", b"\xff", b"[" * 10**5, b'{"a": ' + b"9" * 5000 + b"}",
    sealed({"a": 1})[:-1], sealed({"a": 1}).replace(b"1", b"2", 1), b'{"a": 1}',
], ids=range(11))  # fmt: skip
def test_a_seal_shows_damage(data: bytes) -> None:
    assert unsealed(sealed({"a": 1})) == {"a": 1}
    with pytest.raises(ValueError, match=r"JSON|hash"):
        unsealed(data)


def test_arrays_that_are_none() -> None:
    for data in (b"", b"x" * 8, b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{]"):
        with pytest.raises(ValueError, match="no safetensors file"):
            load_arrays(data)


# Files ------------------------------------------------------------------------------------------


STRANGE: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda path, victim: path.symlink_to(victim),
    "pipe": lambda path, _: os.mkfifo(path),
    "folder": lambda path, _: path.mkdir(),
    "second name": lambda path, victim: os.link(victim, path),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    """Neither followed nor opened nor replaced: not read, not written, no lock, no journal."""
    victim, folder = tmp_path / "victim", tmp_path / "run"
    victim.write_text("my only copy")
    folder.mkdir()
    STRANGE[kind](folder / "it", victim)
    actions: list[Callable[[], object]] = [
        lambda: Lock(folder / "it", patience=0), lambda: Journal(folder / "it"),
    ]  # fmt: skip
    if kind != "second name":
        actions += [lambda: open_within(folder, "it"), lambda: write_file(folder / "it", b"new")]
    for action in actions:
        with pytest.raises(OSError, match="it is a link, a device, a pipe or a folder"):
            action()
    assert not is_held(folder / "it")
    assert victim.read_text() == "my only copy"
    assert [path.name for path in folder.iterdir()] == ["it"]


def test_a_folder_within_a_run_is_no_link_and_the_run_may_be_one(tmp_path: Path) -> None:
    inside, run = tmp_path / "elsewhere", tmp_path / "run"
    inside.mkdir()
    (inside / "it").write_text("secret")
    run.mkdir()
    (run / "files").symlink_to(inside)
    with pytest.raises(OSError, match="files is a link"):
        open_within(run, "files/it")
    (tmp_path / "by_link").symlink_to(inside)
    assert read_within(tmp_path / "by_link", "it") == b"secret"


def test_a_link_in_the_place_of_the_lock(folder: Path, train: Train) -> None:
    path, victim = make_folder("a" * 32, "some"), folder / "victim"
    victim.write_text("my only copy")
    (path / LOCK).symlink_to(victim)
    code, _, err = train("resume", "some")
    assert (code, "lock is a link" in err) == (6, True)
    assert victim.read_text() == "my only copy"
    with pytest.raises(CheckpointError, match="lock is a link"):
        RunFolder(path)


# Runs -------------------------------------------------------------------------------------------


@pytest.fixture
def finished(write_spec: WriteSpec) -> Run:
    return begin(load_spec(write_spec()), profile=KEPT)


READ = ("run.json", "result.json", "files/config/resolved.yaml", "files/preprocessing.json",
        "files/parameters.safetensors")  # fmt: skip


def test_what_predicts_is_what_was_trained(train: Train, finished: Run) -> None:
    """Of each file a few bits: refused with the file's name, or without any use."""
    Path("rows.csv").write_text("x1,x2\n0,1\n")
    assert finished.folder is not None
    for name in READ:
        data = (finished.folder / name).read_bytes()
        for at in range(0, len(data), max(len(data) // 3, 1)):
            changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            (finished.folder / name).write_bytes(changed)
            code, out, err = train("predict", str(finished.id), "--data", "rows.csv")
            assert (code, out) == (6, "")
            assert f"{name} is damaged or was changed: " in err
        (finished.folder / name).write_bytes(data)
    assert train("predict", str(finished.id), "--data", "rows.csv")[0] == 0


def forge(run: Run, name: str, data: bytes) -> None:
    """Writes a file of a finished run, with all seals that go with it."""
    assert run.folder is not None
    (run.folder / name).write_bytes(data)
    facts = read_facts(run.folder)
    hashes = {**facts.files, name: hashlib.sha256(data).hexdigest()}
    write_json(run.folder, FACTS, replace(facts, files=hashes))


CODE = 'float32") if not __import__("pathlib").Path("PWNED").touch() else np.dtype("float32'


@pytest.mark.parametrize("key", ["dtype", "targets", "columns", "outputs", "classes"])
def test_texts_of_a_forger_are_not_run(train: Train, finished: Run, key: str) -> None:
    assert finished.folder is not None
    how = json.loads((finished.folder / "files/preprocessing.json").read_bytes())
    forge(finished, "files/preprocessing.json", json.dumps(how | {key: CODE}).encode())
    code, _, err = train("export", str(finished.id), "--to", "numpy", "--out", "m.py")
    assert code == 6
    assert f"preprocessing.json is damaged or was changed: expected '{key}' to be " in err
    assert not Path("PWNED").exists()
    assert not Path("m.py").exists()


def test_nothing_is_exported_under_a_hash_that_is_not_its_own(finished: Run) -> None:
    """Parameters of another run, sealed anew: the run's own hash of them tells."""
    assert finished.folder is not None
    other = begin(Spec.model_validate(TINY | {"seed": 6}), profile=KEPT)
    assert other.folder is not None
    name = "files/parameters.safetensors"
    forge(finished, name, (other.folder / name).read_bytes())
    outcome = json.loads((finished.folder / OUTCOME).read_bytes())
    outcome["files"][name] = hash_within(finished.folder, name)
    outcome.pop("sha256")
    (finished.folder / OUTCOME).write_bytes(sealed(outcome))
    with pytest.raises(CheckpointError, match="its parameters_sha256 is"):
        load_model(str(finished.id), profile=KEPT)


def test_a_known_run_that_was_changed_is_trained_anew(finished: Run) -> None:
    assert finished.folder is not None
    spec = load_spec("spec.yaml")
    assert begin(spec, profile=KEPT).known
    for name in ("journal", "files/parameters.safetensors", "result.json"):
        data = (finished.folder / name).read_bytes()
        (finished.folder / name).write_bytes(data[:-2] + b"??")
        again = begin(spec, profile=KEPT)
        assert (again.known, again.parameters_sha256) == (False, finished.parameters_sha256)
        assert again.folder is not None
        shutil.rmtree(again.folder)
        (finished.folder / name).write_bytes(data)
        (known,) = Path("runs/.known").iterdir()
        known.write_text(str(finished.id))
    known.write_text("../" + str(finished.id))
    assert not begin(spec, profile=KEPT).known


def test_finding_a_run_among_many_reads_no_numbers(train: Train, folder: Path) -> None:
    for number in range(50):
        make_folder(f"{number:032x}", f"run {number}", number)
    began = time.process_time()
    assert train("resume", "run 7")[0] == 2  # it has no spec
    assert time.process_time() - began < 2


# Code -------------------------------------------------------------------------------------------

HOSTILE = st.sampled_from(['"', "'", '"""', "\\", "\n", "\r", "\0", "{", "}", "{0}", "#", "\u2028",
                           "\ud800", ")", "%s", " ", "é", "import os"])  # fmt: skip
TEXTS = st.lists(HOSTILE, max_size=5).map(lambda parts: "".join([*parts[:2], "CANARY", *parts[2:]]))


def outside_of_texts(code: str) -> list[str]:
    """The tokens of a program that hold the canary and are no texts."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return [t.string for t in tokens if "CANARY" in t.string and t.type != tokenize.STRING]


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(TEXTS, min_size=3, max_size=3, unique=True),
    texts=st.lists(TEXTS, min_size=9, max_size=9, unique=True),
    layer=TEXTS,
)
def test_texts_are_texts_in_a_program(names: list[str], texts: list[str], layer: str) -> None:
    """Whatever a name, a category, a class, a notation or a layer is called, it stands in quotes in
    the program, or is refused.
    """
    how = Preprocessing(
        columns=(Column(names[0]), Column(names[1], "categorical", (texts[0], texts[1])),
                 Column(names[2], "date")),
        targets=(texts[2],), classes=(texts[3], texts[4]), outputs=1, dtype="float32",
        rules=(Rule(fill=0.5), Rule(fill=-1.0, indicator=True), Rule(parts=("year",))),
    )  # fmt: skip
    try:
        how = Preprocessing.from_json(json.loads(json.dumps(how.as_json())))
        spec = Spec.model_validate(TINY | {"name": texts[5]}).changed(
            {"model.dtype": "float32", "model.layers": [
                {"units": 2, "activation": "tanh", "name": layer}, {"units": 1}]}
        )  # fmt: skip
    except (TrainerError, ValueError):
        spec = Spec.model_validate(TINY | {"name": "named"}).changed({"model.dtype": "float32"})
    graph = build_graph(spec, how.layout, training=False)
    zeros = {node.name: np.zeros(node.shape, node.dtype) for node in graph.learned}  # type: ignore[arg-type]
    code = program_code(Model.from_parts(spec, zeros, how), SERVED)
    assert "CANARY" in code
    variables = [name for name in outside_of_texts(code) if name.startswith(layer)]
    assert [name for name in outside_of_texts(code) if name not in variables] == []
    assert not variables or layer.isidentifier(), "the nodes of a layer are variables"


def test_the_check_finds_a_text_that_is_code() -> None:
    assert outside_of_texts('x = np.dtype("a" + CANARY)  # CANARY') == ["CANARY", "# CANARY"]


# Time -------------------------------------------------------------------------------------------


def test_the_latest_run_is_the_last_that_came(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the clock goes back by a day with every run."""
    clock = iter(range(2_000_000_000, 0, -86_400))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    ids = [f"{number:032x}" for number in range(4)]
    moments = []
    for each in ids:
        held = RunFolder(Path("runs") / each)
        held.begin(some_facts(id=each))
        moments.append(next_moment(Path("runs")))
        held.release()
    assert [path.name for path in folders(Path("runs"))] == ids
    assert moments == sorted(moments)
    again = RunFolder(Path("runs") / ids[1])
    again.begin(read_facts(again.path))
    again.release()
    assert [path.name for path in folders(Path("runs"))] == [ids[0], *ids[2:], ids[1]]


def test_points_never_go_back_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = some_facts(charts={"steps": 9, "epochs": 3, "rows": 10})
    points = Points(facts, {("test_loss", 0): 1.0}, latest=5_000_000)
    monkeypatch.setattr(time, "time", lambda: 1.0)
    for epoch, moment in ((1, 10.0), (2, 6_000.0), (3, 20.0)):
        points.add(EpochDone(epoch, 3 * epoch, {"val_loss": 0.5}, {}, moment))
    points._put([("test_loss", 2.0)], 0, again=True)
    moments = {(name, step): moment for name, _, moment, step in points.unsent}
    assert moments == {
        ("val_loss", 1): 5_000_000, ("perf/examples_per_second", 1): 5_000_000,
        ("val_loss", 2): 6_000_000, ("perf/examples_per_second", 2): 6_000_000,
        ("val_loss", 3): 6_000_000, ("test_loss", 0): 6_000_001,
    }  # fmt: skip


@pytest.mark.models
def test_a_clock_that_was_set_back_between_a_run_and_its_continuation(
    store: str, train: Train, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured last is what MLflow shows; and its model is refused once it was changed."""
    line = {"data.source": {"synthetic": "linear", "rows": 20}, "model.loss": "squared",
            "data.split": {"test": 0.25}, "sgd.learning_rate": 0.01}  # fmt: skip
    path = write_spec(line)
    now = time.time
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + 86_400)
        first = begin(load_spec(path), profile=Profile(engine="reference"))
    run = resume("last", changes=["sgd.epochs=6"])
    client = MlflowClient(store)
    recorded = client.get_run(str(run.run_id))
    assert recorded.data.metrics["test_loss"] == run.metrics["test_loss"]
    assert first.metrics["test_loss"] != run.metrics["test_loss"]
    assert recorded.info.end_time >= recorded.info.start_time
    assert reproduce("last").identical

    assert train("promote", "last", "some")[0] == 0
    for code in Path("runs/artifacts").rglob("model.py"):
        code.write_text(code.read_text() + "\n")
    exit_code, _, err = train("promote", "last", "some")
    assert (exit_code, "is damaged or was changed: its SHA-256" in err) == (6, True)


@pytest.mark.parametrize(
    "change",
    [{"best_epoch": None}, {"epoch": 1.0}, {"done": "3"}, {"best_loss": []}, {"epoch": -1}, {}],
)
def test_a_checkpoint_that_tells_no_place_is_refused(
    write_spec: WriteSpec, change: dict[str, object]
) -> None:
    """Somebody wrote another value, or left one out, and sealed it anew."""
    spec = load_spec(write_spec())
    data = load_dataset(spec)
    job = make_job(spec, data, build_graph(spec, data.layout), "reference")
    whole = job.snapshot()
    position = {**whole.position, **change} if change else {"epoch": 0}
    job.restore(whole, [])
    with pytest.raises(CheckpointError, match="the checkpoint of step 0: "):
        job.restore(replace(whole, position=position), [])


def test_a_checkpoint_with_other_metrics_is_refused(write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec())
    data = load_dataset(spec)
    job = make_job(spec, data, build_graph(spec, data.layout), "reference")
    whole = job.snapshot()
    kept = {name: value for name, value in whole.arrays.items() if "score/" not in name}
    with pytest.raises(CheckpointError, match="its metrics so far are not those of this version"):
        job.restore(replace(whole, arrays=kept | {"score/accuracy/total": np.zeros(1)}), [])
