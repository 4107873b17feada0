"""The compiled engine agrees with the reference engine, whatever the spec declares."""

from __future__ import annotations

import itertools
import math
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CONFIGS, ROOT, take_steps
from hypothesis import HealthCheck, assume, given, settings
from test_autodiff import random_graphs
from test_ops import ROWS

import trainer
from trainer import Profile, build_graph, load_spec
from trainer.data import load_dataset
from trainer.data.preparing.layout import Layout
from trainer.engine import EngineName, ReferenceEngine, evaluate, make_engine
from trainer.engine.compiled import cache, functions, writer
from trainer.engine.compiled.codegen import (
    FUNCTIONS,
    Kernel,
    kernel_source,
    kernels_of,
    module_source,
    training_kernel,
    values_kernel,
)
from trainer.engine.compiled.engine import CompiledEngine
from trainer.graph import Graph, GraphBuilder, gradients
from trainer.graph.ops import BATCH, Array
from trainer.network.fingerprint import parameters_sha256
from trainer.training import compile_kernels, make_job, run_job
from trainer.training.loop import GATHERED

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def unkept(engine: EngineName) -> Profile:
    return Profile(engine, runs=None)


def jobs_of(spec: trainer.Spec) -> Any:
    dataset = load_dataset(spec)
    model = build_graph(spec, dataset.layout)
    return [make_job(spec, dataset, model, engine) for engine in ("compiled", "reference")]


def agree(found: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float) -> None:
    for name, value in expected.items():
        scale = max(float(np.abs(value).max()), 1e-30)
        assert np.abs(found[name] - value).max() <= tolerance * scale, name


# Whole specs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_agree(path: Path, dtype: str) -> None:
    """After one step, hidden state such as momentum included; and so do evaluations."""
    spec = load_spec(path, {"model.dtype": dtype})
    compiled, reference = jobs_of(spec)
    results = []
    for job in (compiled, reference):
        steps, predictions = take_steps(job, 0, 1)
        loss, evaluated = job.engine.predict(job.state, job.dataset.train.arrays, 100)
        measured = {"losses": steps.losses, "norms": steps.grad_norms, "loss": np.array(loss),
                    "parameter_norms": steps.parameter_norms, "predictions": predictions,
                    "evaluated": evaluated}  # fmt: skip
        results.append((job.state, measured, steps.rows))
    agree(results[0][0], results[1][0], TOLERANCE[dtype])
    agree(results[0][1], results[1][1], TOLERANCE[dtype])
    assert results[0][2] == results[1][2]


SETTINGS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01, "clip_norm": 0.05},
    {"weight_decay": 0.01, "batch_size": 7},
]
LAYERS = [
    [{"units": 5, "activation": name, "name": name}]
    for name in ("sigmoid", "tanh", "relu", "leaky_relu", "softplus", "gelu", "identity")
] + [[{"units": 6, "activation": "tanh", "bias": False}, {"units": 4, "activation": "gelu"}]]


@pytest.mark.parametrize(("loss", "source", "units"), [
    ("squared", {"synthetic": "linear"}, 1), ("logistic", "breast_cancer", 1),
    ("logistic", "wine", 3),
])  # fmt: skip
@pytest.mark.parametrize("case", range(len(LAYERS)))
def test_settings_agree(write_spec, loss, source, units, case) -> None:
    """Every activation, loss and setting, over an epoch with a short last batch."""
    sgd = SETTINGS[case % len(SETTINGS)]
    last = {"units": units} | ({"activation": "softmax"} if units == 3 and case % 2 else {})
    path = write_spec({
        "data": {"source": source, "standardize": True},
        "model": {"dtype": "float64", "layers": [*LAYERS[case], last], "loss": loss},
        "sgd": {"learning_rate": 1e-3, "batch_size": 48, "epochs": 2, **sgd},
    })  # fmt: skip
    compiled, reference = jobs_of(load_spec(path))
    for job in (compiled, reference):
        train = job.dataset.train
        count = job.steps_per_epoch
        assert len(train) % job.batch_size
        take_steps(job, 0, count)
    agree(compiled.state, reference.state, 1e-11)


def test_a_whole_run_agrees_and_is_recorded(store, write_spec) -> None:
    spec = load_spec(
        ROOT / "configs/hidden_layer.yaml", {"model.dtype": "float64", "sgd.epochs": 5}
    )
    compiled = trainer.train(spec, profile=Profile("compiled"))
    reference = trainer.train(spec, profile=unkept("reference"))
    assert compiled.metrics.keys() == reference.metrics.keys()
    for name, series in reference.history.items():
        np.testing.assert_allclose(compiled.history[name].values, series.values, rtol=1e-9)
    from mlflow import MlflowClient

    assert MlflowClient(store).get_run(compiled.run_id).data.tags["trainer.engine"] == "compiled"


def test_the_same_bits_however_the_epoch_is_cut(write_spec) -> None:
    """Steps run one by one or all at once give the same parameters, to the bit."""
    spec = load_spec(write_spec({"data": {"source": "iris", "standardize": True},
                                 "model.layers": [{"units": 9, "activation": "tanh"}, {"units": 3}],
                                 "sgd.batch_size": 16, "sgd.momentum": 0.9}))  # fmt: skip
    states = []
    for cuts in ([0, 10], list(range(11)), [0, 3, 4, 10]):
        job = jobs_of(spec)[0]
        for first, last in itertools.pairwise(cuts):
            take_steps(job, first, last)
        states.append(parameters_sha256(job.parameters))
    assert len(set(states)) == 1


def test_a_step_that_fails_changes_nothing(write_spec) -> None:
    """The compiled engine stops at the step at which the reference engine does."""
    spec = load_spec(write_spec({
        "data.source": {"inline": {"x": [[1.0], [2.0]], "y": [1.0, 3.0]}},
        "model": {"layers": [{"units": 1}], "loss": "squared"},
        "sgd": {"learning_rate": 1e5, "momentum": 0.5, "batch_size": 1, "epochs": 50},
    }))  # fmt: skip
    found = []
    for engine in ("compiled", "reference"):
        with pytest.raises(trainer.DivergedError) as error:
            trainer.train(spec, profile=unkept(engine))
        assert error.value.run is not None
        assert all(np.isfinite(v).all() for v in error.value.run.parameters.values())
        found.append(error.value.run.steps)
    assert found[0] == found[1]


WIDE = """
import numpy as np
from threadpoolctl import threadpool_limits
from trainer import Spec, build_graph
from trainer.data.preparing.layout import Layout
from trainer.engine import make_engine
from trainer.network.fingerprint import parameters_sha256
from trainer.graph.initialisers import initial_parameters
from trainer.training import training_graph

layers = [{"units": 2048, "activation": "relu"}] * 2 + [{"units": 10}]
spec = Spec.model_validate({
    "name": "wide", "data": {"source": "iris"}, "model": {"layers": layers, "loss": "squared"},
    "sgd": {"learning_rate": 0.01, "batch_size": 512, "epochs": 1},
})
graph = training_graph(build_graph(spec, Layout.plain(1024, 10)), spec.sgd)
rng = np.random.default_rng(0)
x = rng.standard_normal((512, 1024), dtype=np.float32)
y = rng.standard_normal((512, 10), dtype=np.float32)
for threads in (1, 2, 4):
    engine = make_engine(graph, "compiled", 512, 1, threads=threads)
    state = initial_parameters(graph, 0)
    with threadpool_limits(1, "blas"):
        rates = {"learning_rate": np.array([0.01])}
        engine.train(state, {"x": x, "y": y}, rates, 512, 0, 1)
    print(parameters_sha256(state))
"""


def test_the_number_of_threads_changes_no_bit() -> None:
    """The `wide` network in float32, whose products run in tiles, on 1, 2 and 4 threads."""
    done = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, check=True)
    hashes = done.stdout.split()
    assert len(hashes) == 3
    assert len(set(hashes)) == 1


# Single ops and random graphs -------------------------------------------------------------------


class LoneTeam:
    """A team of one thread, which takes the pieces of a job in any order, to run by Python."""

    def __init__(self) -> None:
        self.job, self.left = 0, []

    def __getitem__(self, place: str) -> int:
        return self.job if place == "JOB" else 0

    def post(self, job: int, pieces: int, begin: int, rows: int) -> None:
        assert not self.left
        self.job, self.left = job, list(np.random.default_rng(0).permutation(pieces))

    def take(self, stay: int) -> int:
        return self.left.pop() if self.left else -1

    def finish(self) -> None:
        pass

    def wait(self) -> None:
        assert not self.left


def run_values(
    graph: Graph, fetch: list[str], feeds: Mapping[str, Array], share: bool = False
) -> Any:
    """The nodes `fetch` by a kernel, whose source is run by Python as it stands.

    With `share` all loops are cut into pieces.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "JOB_NUMBERS", 1)
        kernel = values_kernel(graph, fetch, share)
    source = module_source("Values.", "float64", [kernel])
    source = source.replace("from numba import int64, njit", "int64 = int")
    source = re.sub(r"from trainer.engine.compiled.(team|pipeline) import .*", "", source)
    source = re.sub(r"@njit.*", "", source)
    scope: dict[str, Any] = {name: getattr(LoneTeam, name) for name in
                             ("post", "take", "finish", "wait")}  # fmt: skip
    scope |= {"expose": id, "JOB": "JOB", "BEGIN": "BEGIN", "ROWS": "ROWS"}
    with np.errstate(all="ignore"):
        exec(compile(source, "kernel", "exec"), scope)
        arrays = [np.array(feeds[name], dtype=np.float64) for name in kernel.leaves]
        buffers = {name: np.full([int(d) for d in shape], np.nan)
                   for name, shape in kernel.buffers.items()}  # fmt: skip
        outputs = [np.empty([int(d) for d in graph[name].shape]) for name in fetch]
        team = [LoneTeam()] if kernel.shared else []
        scope["values"](*team, *arrays, *buffers.values(), *outputs)
    return dict(zip(fetch, outputs, strict=True))


def test_every_function_is_there() -> None:
    for name in FUNCTIONS:
        assert hasattr(functions, f"{name}_f32")
        assert hasattr(functions, f"{name}_f64")


@pytest.mark.parametrize(("op", "inputs", "attributes"), ROWS)
def test_ops_agree(op: str, inputs: list[Array], attributes: dict[str, Any]) -> None:
    from derivatives import graph_of

    graph, values = graph_of(op, inputs, attributes)
    for share in (False, True):
        found = run_values(graph, ["out", "loss"], values, share)
        agree(found, evaluate(graph, values, ["out", "loss"]), 1e-13)


@pytest.mark.parametrize("share", [False, True])
def test_a_value_that_is_read_transposed_is_there_whole(share: bool) -> None:
    """Of square matrices, which have the shape of their transposes."""
    builder = GraphBuilder("float64")
    p = builder.leaf("parameter", "p", (2, 1))
    both = p + p.T
    again = (both.T + both).apply("tanh")
    again.apply("sum", name="loss", axes=(0, 1))
    graph = gradients(builder.build(), "loss", ["p"])
    fetch, feeds = ["loss", graph.outputs["gradient/p"]], {"p": np.array([[0.3], [-0.7]])}
    agree(run_values(graph, fetch, feeds, share), evaluate(graph, feeds, fetch), 1e-14)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("op", ["transpose", "lookup"])
def test_a_value_does_not_overwrite_what_is_read_at_other_places(op: str, share: bool) -> None:
    """h is read for the last time where a value of its shape is stored: not in its buffer.

    And that value is read elsewhere when all of it is there, not in the same loop.
    """
    builder = GraphBuilder("float64")
    p, index = builder.leaf("parameter", "p", (4, 4)), builder.leaf("parameter", "i", (4, 1))
    h = p @ p
    others = [index] if op == "lookup" else []
    read = h.apply(op, *others) * 2.0
    again = read.apply(op, *others) + read
    (read @ again).apply("add", 1.0, name="out")
    feeds = {"p": np.arange(16.0).reshape(4, 4), "i": np.array([[3.0], [0.0], [1.0], [0.0]])}
    graph = builder.build()
    agree(run_values(graph, ["out"], feeds, share), evaluate(graph, feeds, ["out"]), 1e-14)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_graphs())
def test_random_graphs_agree(case: tuple[Graph, dict[str, Array]]) -> None:
    """The generated source is run as Python, which is what it is; Numba compiles the same text."""
    graph, values = case
    names = [node.name for node in graph.parameters]
    graph = gradients(graph, "loss", names)
    expected = evaluate(graph, values)
    assume(all(np.abs(v).max() < 1e3 for v in expected.values()))
    fetch = ["loss", *dict.fromkeys(graph.outputs[f"gradient/{name}"] for name in names)]
    scale = max(float(np.abs(expected[name]).max()) for name in fetch)
    for share in (False, True):
        found = run_values(graph, fetch, values, share)
        for name in fetch:
            assert np.abs(found[name] - expected[name]).max() <= 1e-12 * max(scale, 1.0)


# The kernel -------------------------------------------------------------------------------------


def test_the_source_is_the_same_each_time_and_names_the_spec(write_spec) -> None:
    job = jobs_of(load_spec(write_spec()))[1]
    source = kernel_source(job.graph, 2, 4)
    assert source == kernel_source(job.graph, 2, 4)
    assert "# dense_1 = tanh(dense_1/sum)" in source
    assert "dense_1_at = tanh(dense_1_sum_at)" in source


def test_parameters_are_updated_in_place(write_spec) -> None:
    """No buffer holds a copy of a parameter or a velocity."""
    job = jobs_of(load_spec(write_spec({"sgd.momentum": 0.9, "sgd.nesterov": True})))[1]
    kernel: Kernel = training_kernel(job.graph, 2)
    assert not [name for name in kernel.buffers if name.startswith("update")]
    assert all(BATCH in shape or name.startswith("grad") for name, shape in kernel.buffers.items())


def test_auto_compiles_long_runs_alone(write_spec) -> None:
    short, long = write_spec(name="a.yaml"), write_spec({"sgd.epochs": 10**6}, name="b.yaml")
    for path, name in ((short, "reference"), (long, "compiled")):
        spec = load_spec(path)
        dataset = load_dataset(spec)
        job = make_job(spec, dataset, build_graph(spec, Layout.plain(2, 1)))
        assert job.engine.name == name


def test_make_engine_by_name(write_spec) -> None:
    graph = jobs_of(load_spec(write_spec()))[1].graph
    assert isinstance(make_engine(graph, "reference", 2, 10**9), ReferenceEngine)
    assert isinstance(make_engine(graph, "compiled", 2, 1), CompiledEngine)


# The cache --------------------------------------------------------------------------------------

PROGRAM = """
import sys, trainer
spec = trainer.load_spec(sys.argv[1])
print(trainer.train(spec, profile=trainer.Profile("compiled", runs=None)).parameters_sha256)
"""


def test_two_processes_at_once_and_a_third_from_the_cache(
    write_spec, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("TRAINER_CACHE", str(tmp_path / "kernels"))
    command = [sys.executable, "-c", PROGRAM, str(write_spec())]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    results = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "kernels").rglob("*.nbc")}
    assert kept
    third = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert {*results, third} == {third}
    now = {file: file.stat().st_mtime_ns for file in (tmp_path / "kernels").rglob("*.nbc")}
    assert kept == now, "nothing was compiled again"


def test_the_cache_forgets_what_was_used_longest_ago(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TRAINER_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "MAX_BYTES", 50)
    for number in range(3):
        module = cache.load_module(f"VALUE = {number}\n{'#' * 30}\n")
        found = module.VALUE
        assert found == number
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_of_the_cache_is_written_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TRAINER_CACHE", str(tmp_path))
    for _ in range(2):
        assert cache.load_module("VALUE = 1\n").VALUE == 1
        [file] = tmp_path.rglob("kernel.py")
        assert file.read_text() == "VALUE = 1\n"
        file.write_text("VALUE = 2\n")


TWICE = """\
from numba import njit

@njit(cache=True, nogil=True)
def twice(x):
    return FACTOR * x
"""


def compiled(factor: int) -> Any:
    """A function that multiplies, from the cache if it is there; and whether it was."""
    module = cache.load_module(TWICE.replace("FACTOR", str(factor)))
    assert module.twice(4) == factor * 4
    cache.seal_module(module)
    return sum(module.twice.stats.cache_hits.values())


def numba_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".nbi", ".nbc"))


def swap(path: Path) -> None:
    """The machine code of another kernel stands there."""
    other = next(p for p in numba_files(path.parents[2]) if p.parent != path.parent
                 and p.suffix == path.suffix)  # fmt: skip
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:1000]),
    lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
    lambda path: path.unlink(),
    swap,
    lambda path: (path.parent / "more.nbc").write_bytes(b""),
    lambda path: (path.parents[1] / cache.SEAL).write_text("[" * 10_000),
    lambda path: (path.parents[1] / cache.SEAL).unlink(),
    lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
    lambda path: (path.unlink(), os.mkfifo(path)),
], ids=["empty", "cut", "changed", "gone", "swapped", "one more", "bad seal", "no seal", "link",
        "pipe"])  # fmt: skip
@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_damaged_machine_code_is_compiled_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], object], suffix: str
) -> None:
    monkeypatch.setenv("TRAINER_CACHE", str(tmp_path / "kernels"))
    assert [compiled(2), compiled(3), compiled(2), compiled(3)] == [0, 0, 1, 1]
    damage(next(path for path in numba_files(tmp_path) if path.suffix == suffix))
    assert compiled(2) + compiled(3) == 1, "what is whole is used, what is not is not"
    assert compiled(2) + compiled(3) == 2


@pytest.mark.parametrize("place", ["", "kernels"])
def test_a_cache_that_others_can_write_to_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Machine code that another user put there would run as this one."""
    monkeypatch.setenv("TRAINER_CACHE", str(tmp_path / "kernels"))
    assert [compiled(2), compiled(2)] == [0, 1]
    (folder,) = (tmp_path / "kernels").iterdir()
    assert [path.stat().st_mode & 0o077 for path in (folder, folder.parent)] == [0, 0]
    (folder.parent if place else folder).chmod(0o770)
    assert compiled(2) == 0


@pytest.mark.parametrize("reason", ["no folder", "full disk"])
def test_a_cache_that_cannot_be_written(tmp_path, write_spec, monkeypatch, reason) -> None:
    """The kernel is compiled for this process alone, and nothing is left behind."""
    if reason == "no folder":
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("TRAINER_CACHE", str(tmp_path / "file" / "kernels"))
    else:
        monkeypatch.setenv("TRAINER_CACHE", str(tmp_path / "kernels"))
        monkeypatch.setattr(cache, "ROOM", 2**60)
    spec = load_spec(write_spec())
    run = trainer.train(spec, profile=unkept("compiled"))
    assert run.status == "FINISHED"
    assert not list(tmp_path.rglob("kernel.py"))


# Memory -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "units", "sgd"), [
    ({"synthetic": "two_moons", "rows": 2_000_000}, 4, {"batch_size": 1000}),
    ({"synthetic": "two_moons", "rows": 2000}, 700, {"batch_size": 50}),
    ({"synthetic": "two_moons", "rows": 2000}, 700, {"batch_size": 50, "momentum": 0.9}),
    ({"synthetic": "linear", "rows": 20_000}, 64, {"batch_size": "full"}),
], ids=["rows", "parameters", "momentum", "batch"])  # fmt: skip
def test_memory(write_spec, source, units, sgd) -> None:
    """At most 1.5 x (data + 4 x parameters + one batch), where the data are held once."""
    loss = "squared" if source["synthetic"] == "linear" else "logistic"
    layers = [{"units": units, "activation": "relu"}, {"units": units}, {"units": 1}]
    spec = load_spec(write_spec({
        "data.source": source, "model": {"layers": layers, "loss": loss, "dtype": "float32"},
        "sgd": {"learning_rate": 1e-3, "epochs": 2, **sgd},
    }))  # fmt: skip
    job = jobs_of(spec)[0]
    train = job.dataset.train
    compile_kernels(job)
    tracemalloc.start()
    list(run_job(job))
    kept = job.parameters
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    data = train.x.nbytes + train.y.nbytes
    parameters = sum(value.nbytes for value in kept.values())
    velocity = sum(value.nbytes for value in job.state.values()) - parameters
    rows = {"train": job.batch_size, "evaluate": spec.evaluation.batch_size}
    kernels = kernels_of(job.graph, *rows.values())
    batch = sum(
        4 * math.prod(rows[name] if dim == BATCH else int(dim) for dim in shape)
        for name in rows
        for shape in kernels[name].buffers.values()
        if BATCH in shape
    ) + max(GATHERED, job.batch_size * data // len(train))  # fmt: skip
    held = data + 2 * parameters + velocity  # before tracing began
    assert held + peak <= 1.5 * (data + 4 * parameters + velocity + batch)
