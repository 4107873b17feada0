"""`train reproduce`: a recorded run gives the same bits again, or the difference is told."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from safetensors.numpy import load_file, save_file

from trainer import Profile, Run, load_spec
from trainer import train as begin
from trainer.checkpoints.environment import numeric_environment
from trainer.errors import DivergedError, InterruptedRun
from trainer.network.fingerprint import parameters_sha256
from trainer.runs.finding import PARAMETERS
from trainer.runs.reproduce import Difference, Proof
from trainer.runs.reproduce import reproduce as again
from trainer.runs.resume import resume as go_on
from trainer.training import EpochDone, Event

WriteSpec = Callable[..., Path]
Train = Callable[..., tuple[int, str, str]]

SPLIT = {"data.split": {"validation": 0.2, "test": 0.2}, "model.layers": [{"units": 1}],
         "sgd.momentum": 0.9, "sgd.batch_size": 4, "evaluation.batch_size": 3}  # fmt: skip
SQUARED = {**SPLIT, "data.source": {"synthetic": "linear", "rows": 37}, "model.loss": "squared",
           "sgd.learning_rate": 0.01}  # fmt: skip
LOGISTIC = {**SPLIT, "data.source": {"synthetic": "two_moons", "rows": 37}, "sgd.nesterov": True}


def artifact(run_id: str, name: str) -> Path:
    return Path("runs/artifacts") / run_id / "artifacts" / name


def tags(store: str, run_id: str) -> Mapping[str, str]:
    return dict(MlflowClient(store).get_run(run_id).data.tags)


def counted(store: str, run_id: str) -> str:
    """What a proof should have compared: tensors, all points of the store but those of the
    machine, and the two series of the trace.
    """
    client = MlflowClient(store)
    names = [n for n in client.get_run(run_id).data.metrics if not n.startswith("perf/")]
    points = sum(len(client.get_metric_history(run_id, name)) for name in names)
    points += 2 * pq.read_table(artifact(run_id, "trace.parquet")).num_rows
    tensors = len(load_file(artifact(run_id, "parameters.safetensors")))
    return f"{tensors} tensors, {points} metric points"


def proofs(store: str, run_id: str) -> list[Any]:
    """The proofs that are kept with a run."""
    client = MlflowClient(store)
    paths = [item.path for item in client.list_artifacts(run_id, "reproduce")]
    return [json.loads(artifact(run_id, path).read_text()) for path in paths]


# Identical --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "changes"),
    [
        ("reference", {}),
        ("reference", LOGISTIC),
        ("reference", SQUARED),
        ("compiled", LOGISTIC),
        ("compiled", SQUARED),
    ],
    ids=["tiny", "logistic", "squared", "compiled-logistic", "compiled-squared"],
)
def test_a_run_is_the_same_again(
    train: Train, store: str, write_spec: WriteSpec, engine: Any, changes: dict[str, Any]
) -> None:
    run_id = str(begin(load_spec(write_spec(changes)), profile=Profile(engine)).run_id)
    count = counted(store, run_id)
    assert train("reproduce", "tiny", "--threads", 1, "--quiet") == (0, "", "")
    code, out, _ = train("reproduce", "last")
    assert (code, out) == (0, f"identical: {count}\n")
    assert tags(store, run_id)["trainer.reproduced"] == "identical"
    assert tags(store, run_id)["trainer.engine"] == engine
    assert counted(store, run_id) == count, "the new run is not recorded"
    assert MlflowClient(store).get_run(run_id).info.status == "FINISHED"


def test_the_proof_as_json(train: Train, store: str, write_spec: WriteSpec) -> None:
    run = begin(load_spec(write_spec(SQUARED)))
    run_id = str(run.run_id)
    code, out, err = train("reproduce", run.id, "--json")
    proof = json.loads(out)
    assert (code, err) == (0, "")
    tensors, points = proof.pop("tensors"), proof.pop("metric_points")
    assert f"{tensors} tensors, {points} metric points" == counted(store, run_id)
    assert proof == {
        "id": run.id, "run_id": run_id, "identical": True, "missing": [], "differences": [],
        "largest_relative_difference": 0.0, "allowed": pytest.approx(2**-26), "facts": {},
    }  # fmt: skip
    assert proofs(store, run_id) == [json.loads(out)]


def test_more_steps_than_a_chart_shows(store: str, write_spec: WriteSpec) -> None:
    """The store holds some points of each series, the trace all of them."""
    run_id = str(begin(load_spec(write_spec({"sgd.epochs": 400}))).run_id)
    proof = again(run_id)
    assert proof.identical
    assert f"{proof.tensors} tensors, {proof.points} metric points" == counted(store, run_id)
    assert proof.points > 2 * 800


def stopping_after(epoch: int) -> dict[str, Any]:
    """The arguments `listen` and `stop` that end a run after this epoch."""
    done: list[int] = []

    def listen(event: Event) -> None:
        if isinstance(event, EpochDone):
            done.append(event.epoch)

    return {"listen": listen, "stop": lambda: epoch in done}


def test_a_run_that_was_interrupted_and_extended(store: str, write_spec: WriteSpec) -> None:
    with pytest.raises(InterruptedRun):
        begin(load_spec(write_spec(SQUARED)), **stopping_after(2))
    run = str(go_on("last").id)
    assert again(run).identical
    go_on(run, changes=["sgd.epochs=5"])
    assert again(run).identical


def test_a_run_that_diverged_does_so_again(train: Train, store: str, write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec(SQUARED | {"sgd.learning_rate": 1e40}))
    with pytest.raises(DivergedError) as caught:
        begin(spec)
    assert caught.value.run is not None
    assert caught.value.run.steps > 1
    run_id = str(caught.value.run.run_id)
    code, out, _ = train("reproduce", run_id)
    assert (code, out) == (0, f"identical: {counted(store, run_id)}\n")
    assert tags(store, run_id)["trainer.reproduced"] == "identical"


# Different --------------------------------------------------------------------------------------


@pytest.fixture
def finished(store: str, write_spec: WriteSpec) -> Run:
    return begin(load_spec(write_spec(SQUARED)))


def replace_parameters(run_id: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the parameters that the store holds, and its hashes of them."""
    database = Path("runs/mlflow.db").resolve()
    path, client = artifact(run_id, PARAMETERS), MlflowClient(f"sqlite:///{database}")
    parameters = load_file(path)
    change(parameters)
    save_file(parameters, path)
    hashes = json.loads(client.get_run(run_id).data.tags["trainer.files"])
    hashes[PARAMETERS] = hashlib.sha256(path.read_bytes()).hexdigest()
    client.set_tag(run_id, "trainer.files", json.dumps(hashes))
    client.set_tag(run_id, "trainer.parameters_sha256", parameters_sha256(parameters))


def next_float(parameters: dict[str, Any]) -> None:
    value = parameters["dense_1/W"]
    value[1, 0] = np.nextafter(value[1, 0], 9)


def test_a_changed_bit_of_a_parameter(train: Train, store: str, finished: Run) -> None:
    run_id, was = str(finished.run_id), finished.parameters["dense_1/W"]
    replace_parameters(run_id, next_float)
    code, out, _ = train("reproduce", run_id[:8])
    recorded, found = float(np.nextafter(was[1, 0], 9)), float(was[1, 0])
    next_float(kept := {"dense_1/W": was.copy()})
    relative = abs(recorded - found) / float(np.abs(kept["dense_1/W"]).max())
    assert (code, out.splitlines()) == (1, [
        f"different: 1 tensors and series ({counted(store, run_id)})",
        f"  first: dense_1/W[1] was {recorded!r}, is {found!r} (relative {relative:.1e})",
        f"  largest: dense_1/W[1], relative {relative:.1e}, "
        "within what the float type allows (1.5e-08)",
        "  no recorded fact of the environment differs",
    ])  # fmt: skip
    assert tags(store, run_id)["trainer.reproduced"].startswith("largest: dense_1/W[1], relative")
    (proof,) = proofs(store, run_id)
    assert proof["identical"] is False
    assert proof["differences"] == [
        {"where": "dense_1/W[1]", "recorded": recorded, "found": found, "relative": relative}
    ]
    assert train("reproduce", run_id, "--quiet")[1] == out, "what differs is always told"


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda p: p.pop("dense_1/b"), "dense_1/b (only one has it)"),
        (lambda p: p.update(more=np.zeros(1)), "more (only one has it)"),
        (lambda p: p.update({"dense_1/b": np.zeros(2)}), "dense_1/b (of another shape)"),
        (
            lambda p: p.update({"dense_1/b": p["dense_1/b"].astype("float32")}),
            "dense_1/b (of another shape)",
        ),
    ],
    ids=["one less", "one more", "another shape", "another type"],
)
def test_other_tensors(
    train: Train, store: str, finished: Run, change: Callable[[dict[str, Any]], None], where: str
) -> None:
    run_id = str(finished.run_id)
    replace_parameters(run_id, change)
    code, out, err = train("reproduce", run_id, "--json")
    proof = json.loads(out)
    assert (code, err) == (1, "")
    assert [difference["where"] for difference in proof["differences"]] == [where]
    assert proof["largest_relative_difference"] is None


@pytest.mark.parametrize(
    "name", ["val_loss", "train_loss_step", "test_loss", "grad_norm/dense_1/W"]
)
def test_a_changed_metric(train: Train, store: str, finished: Run, name: str) -> None:
    """The last point of the metric is another number, in the store's history of it."""
    run_id = str(finished.run_id)
    history = MlflowClient(store).get_metric_history(run_id, name)
    last = history[-1]
    found, largest = last.value, max(abs(point.value) for point in history[:-1] or [last])
    recorded = 2 * found + 1
    database = sqlite3.connect("runs/mlflow.db")
    with database:
        changed = database.execute(
            "UPDATE metrics SET value = ? WHERE run_uuid = ? AND key = ? AND step = ?",
            (recorded, run_id, name, last.step),
        ).rowcount
    database.close()
    assert changed == 1
    code, out, _ = train("reproduce", run_id)
    relative = abs(recorded - found) / max(largest, recorded)
    assert code == 1
    assert out.splitlines()[:3] == [
        f"different: 1 tensors and series ({counted(store, run_id)})",
        f"  first: {name}[{len(history) - 1}] was {recorded!r}, is {found!r} "
        f"(relative {relative:.1e})",
        f"  largest: {name}[{len(history) - 1}], relative {relative:.1e}, "
        "beyond what the float type allows (1.5e-08)",
    ]


def test_a_changed_environment_is_told(
    train: Train, store: str, finished: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, old = str(finished.run_id), numeric_environment("compiled")
    monkeypatch.setattr(
        "trainer.runs.reproduce.numeric_environment", lambda engine: old | {"numpy": "other"}
    )
    code, out, _ = train("reproduce", run_id, "--json")
    assert (code, json.loads(out)["facts"]) == (0, {"numpy": [old["numpy"], "other"]})
    replace_parameters(run_id, next_float)
    code, out, _ = train("reproduce", run_id)
    assert (code, out.splitlines()[3:]) == (1, [f"  numpy: {old['numpy']} → other"])


# Not proven -------------------------------------------------------------------------------------


def forget(store: str, table: str, where: str) -> None:
    with sqlite3.connect(store.removeprefix("sqlite:///")) as database:
        assert database.execute(f"DELETE FROM {table} WHERE {where}").rowcount
    database.close()


def test_what_the_record_lacks_is_told(train: Train, store: str, finished: Run) -> None:
    """Without metrics, trace and hashes there is less to compare: that proves less, and says so."""
    run_id = str(finished.run_id)
    forget(store, "metrics", "key = 'val_loss' AND step = 2")
    forget(store, "metrics", "key = 'train_loss_step'")
    forget(store, "latest_metrics", "key IN ('train_loss_step', 'test_loss')")
    forget(store, "tags", "key = 'trainer.spec_sha256'")
    files = json.loads(tags(store, run_id)["trainer.files"])
    del files["trace.parquet"]
    MlflowClient(store).set_tag(run_id, "trainer.files", json.dumps(files))
    code, out, _ = train("reproduce", run_id)
    first, *lines = out.splitlines()
    assert code == 1
    assert first.startswith("not proven: what was compared is the same (2 tensors, ")
    assert lines == [
        "  the tag trainer.spec_sha256",
        "  trace.parquet: the loss and gradient norm of every step",
        "  1 of 4 points of val_loss",
        f"  {finished.steps} of {finished.steps} points of train_loss_step",
        "  the metric test_loss",
    ]
    assert tags(store, run_id)["trainer.reproduced"] == first
    (proof,) = proofs(store, run_id)
    assert (proof["identical"], len(proof["missing"])) == (False, 5)


def test_a_recorded_hash_that_is_another(train: Train, store: str, finished: Run) -> None:
    MlflowClient(store).set_tag(str(finished.run_id), "trainer.parameters_sha256", "dead")
    code, out, _ = train("reproduce", "last")
    assert code == 1
    assert "  first: parameters_sha256 (another hash)" in out
    assert f"  parameters_sha256: dead → {finished.parameters_sha256}" in out


def test_a_damaged_artifact_is_refused(train: Train, store: str, finished: Run) -> None:
    for name in (PARAMETERS, "trace.parquet", "config/resolved.yaml", "environment.json"):
        path = artifact(str(finished.run_id), name)
        data = path.read_bytes()
        for changed in (b"", data[:-1], bytes([data[0] ^ 1]) + data[1:], None):
            path.unlink() if changed is None else path.write_bytes(changed)
            code, _, err = train("reproduce", "last")
            assert (code, f"/{name} is damaged or was changed: " in err) == (6, True)
        path.write_bytes(data)


@pytest.mark.parametrize(("relative", "word"), [(1e-4, "within"), (1e-3, "beyond")])
def test_what_a_float_type_allows(relative: float, word: str) -> None:
    differences = [Difference("a[0]", 1.0, 1.0, 0.0), Difference("b[0]", 1.0, 2.0, relative)]
    proof = Proof("id", "run id", 3.5e-4, 2, 5, differences)
    assert not proof.identical
    assert str(proof).splitlines()[2].endswith(f"{word} what the float type allows (3.5e-04)")


# Data and runs that do not serve ----------------------------------------------------------------


@pytest.fixture
def of_table(store: str, write_spec: WriteSpec) -> Run:
    """A finished run of table.csv."""
    rows = [f"{i},{i * i % 7},{i % 2}" for i in range(12)]
    Path("table.csv").write_text("\n".join(["a,b,y", *rows]) + "\n")
    path = write_spec({"data": {"source": {"csv": "table.csv"}, "target": "y"},
                       "sgd.learning_rate": 0.01})  # fmt: skip
    return begin(load_spec(path))


@pytest.mark.parametrize("damage", ["changed", "another shape", "gone"])
def test_other_data(train: Train, store: str, of_table: Run, damage: str) -> None:
    table, run_id = Path("table.csv"), str(of_table.run_id)
    if damage == "gone":
        table.unlink()
    elif damage == "changed":
        table.write_text(table.read_text().replace("11,2,1", "11,3,1"))
    else:
        table.write_text("a,y\n0,1\n2,0\n")
    code, out, err = train("reproduce", run_id)
    assert (code, out) == (3, "")
    assert "table.csv" in err
    assert err.splitlines()[-1] == f"  expected data with the SHA-256 {of_table.data_sha256}"
    assert proofs(store, run_id) == []
    assert "trainer.reproduced" not in tags(store, run_id)


def test_the_same_data_written_again(of_table: Run) -> None:
    table = Path("table.csv")
    table.write_bytes(table.read_bytes())
    assert again(str(of_table.run_id)).identical


def test_a_run_that_did_not_end(train: Train, store: str, write_spec: WriteSpec) -> None:
    with pytest.raises(InterruptedRun) as caught:
        begin(load_spec(write_spec()), **stopping_after(1))
    code, out, err = train("reproduce", "last")
    assert isinstance(caught.value.run, Run)
    short = str(caught.value.run.id)[:8]
    assert (code, out) == (2, "")
    said = f"train: the run {short} did not end: go on with it by `train resume {short}` [TR-R010]"
    assert err.splitlines()[0] == said


def test_references_to_no_run(train: Train, store: str, write_spec: WriteSpec) -> None:
    spec = load_spec(write_spec())
    begin(spec)
    begin(spec, again=True)
    for reference in ("nobody", "a'b", "50%"):
        code, _, err = train("reproduce", reference)
        assert code == 2
        assert err.startswith(f"train: there is no run '{reference}' in sqlite:///")


def test_without_a_store(train: Train, folder: Path) -> None:
    code, _, err = train("reproduce", "last")
    assert code == 2
    assert err.startswith("train: there is no tracking store at ")


def test_a_run_of_another_tool(train: Train, store: str) -> None:
    client = MlflowClient(store)
    run = client.create_run(client.create_experiment("theirs", Path("theirs").absolute().as_uri()))
    client.set_terminated(run.info.run_id)
    code, _, err = train("reproduce", run.info.run_id)
    assert code == 5
    assert "has no config/resolved.yaml and no parameters.safetensors" in err


# Other kernels of BLAS, NumPy and LLVM ----------------------------------------------------------

PROVE = """
import json, sys
from trainer import Profile, load_spec, train
from trainer.runs.reproduce import reproduce
run_id, engine = sys.argv[1:]
proof = reproduce(run_id)
found = train(load_spec("spec.yaml"), profile=Profile(engine, runs=None))
values = {name: s.values.tobytes().hex() for name, s in found.history.items()}
print(json.dumps([proof.as_json(), str(proof), found.parameters_sha256, values]))
"""
WIDE = {**SPLIT, "data.source": "breast_cancer", "data.standardize": True,
        "model.dtype": "float32", "sgd.batch_size": 32}  # fmt: skip


SIMD: Any = np.show_config(mode="dicts")["SIMD Extensions"]


def avx512() -> str:
    """The groups of AVX-512 instructions of NumPy that this machine has."""
    found = SIMD.get("found", [])
    return " ".join(name for name in found if name == "X86_V4" or name.startswith("AVX512"))


KERNELS = [
    ("reference", {"OPENBLAS_CORETYPE": "Nehalem"}, {"blas", "chosen"}),
    ("reference", {"NPY_DISABLE_CPU_FEATURES": avx512()}, {"numpy_simd", "chosen"}),
    ("compiled", {"TRAINER_CPU": "haswell", "NPY_DISABLE_CPU_FEATURES": avx512()}, set()),
]


@pytest.mark.parametrize(("engine", "settings", "names"), KERNELS)
def test_other_kernels(
    store: str, write_spec: WriteSpec, engine: Any, settings: dict[str, str], names: set[str]
) -> None:
    """Where bits differ the proof says so, and names what changed; else they are all the same."""
    changes, allowed = (WIDE, "3.5e-04") if engine == "reference" else (LOGISTIC, "1.5e-08")
    run = begin(load_spec(write_spec(changes)), profile=Profile(engine))
    done = subprocess.run(
        [sys.executable, "-c", PROVE, str(run.run_id), engine],
        env=os.environ | settings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    proof, text, sha256, values = json.loads(done.stdout)
    same = sha256 == run.parameters_sha256 and all(
        values[name] == series.values.tobytes().hex() for name, series in run.history.items()
    )
    assert proof["identical"] is same
    if engine == "compiled":
        assert same
        assert not proof["facts"]
        return
    if changes_kernels(settings):
        assert names <= set(proof["facts"]) <= names | {"blas"}, "which BLAS are loaded may differ"
    if not same:
        assert "  largest: " in text
        assert f", within what the float type allows ({allowed})" in text
        for name in proof["facts"]:
            assert f"  {name}: {proof['facts'][name][0]} → " in text
        assert proof["facts"], "bits differ for a reason"


SAY_FACTS = (
    "from trainer.checkpoints.environment import numeric_environment as facts\n"
    "print(facts('reference'), facts('compiled'))"
)


@pytest.mark.parametrize(
    ("before", "settings"),
    [
        pytest.param(
            "import scipy.linalg\n",
            {},
        ),
        pytest.param(
            "",
            {"NPY_DISABLE_CPU_FEATURES": " ".join(SIMD.get("found", []))},
        ),
    ],
    ids=["scipy is loaded", "no instructions beyond the baseline"],
)
def test_facts_of_the_environment(before: str, settings: dict[str, str]) -> None:
    """They are there on every machine, and do not depend on what else was imported."""
    done = subprocess.run(
        [sys.executable, "-c", before + SAY_FACTS],
        env=os.environ | settings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if not settings:
        plain = subprocess.run([sys.executable, "-c", SAY_FACTS], capture_output=True, text=True,
                               check=True)  # fmt: skip
        assert done.stdout == plain.stdout


def changes_kernels(settings: Mapping[str, str]) -> bool:
    """Whether the settings are others than those of this machine."""
    kernel = settings.get("OPENBLAS_CORETYPE")
    if kernel is None:
        return any(settings.values())
    return kernel not in numeric_environment("reference")["blas"]
