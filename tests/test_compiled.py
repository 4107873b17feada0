"""The compiled engine agrees with the reference engine, whatever the spec declares."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CONFIGS, ROOT, take_steps
from hypothesis import HealthCheck, Phase, assume, given, settings
from plain import POOL, PlainKernels, compiled, plain_engine, same_bits
from test_autodiff import random_graphs
from test_ops import ROWS

import trainer
from trainer import Profile, build_graph, load_spec
from trainer.data import load_dataset
from trainer.data.preparing.layout import Layout
from trainer.engine import (
    EngineName,
    Gradients,
    ReferenceEngine,
    evaluate,
    make_engine,
    reduce,
    shards_of,
)
from trainer.engine.compiled import target, writer
from trainer.engine.compiled.engine import CompiledEngine, allocate, kernel_source
from trainer.engine.compiled.kernels import Kernel, kernels_of, training_kernel, values_kernel
from trainer.errors import TrainerError
from trainer.graph import Graph, GraphBuilder, gradients
from trainer.graph.initialisers import initial_parameters
from trainer.graph.ops import BATCH, Array
from trainer.network.fingerprint import parameters_sha256
from trainer.training import compile_kernels, make_job, run_job, training_graph
from trainer.training.loop import GATHERED
from trainer.training.masks import draw_masks

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
        loss, evaluated = job.session.predict(job.dataset.train.arrays, 100)
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


def of_layers(sizes: Sequence[int], sgd: Mapping[str, Any], dtype: str = "float32") -> Graph:
    """The training graph of a network of relu."""
    layers: list[dict[str, Any]] = [{"units": n, "activation": "relu"} for n in sizes[1:-1]]
    spec = trainer.Spec.model_validate({
        "name": "sizes", "data": {"source": "iris"},
        "model": {"layers": [*layers, {"units": sizes[-1]}], "loss": "squared", "dtype": dtype},
        "sgd": {"learning_rate": 0.01, "epochs": 1, **sgd},
    })  # fmt: skip
    return training_graph(build_graph(spec, Layout.plain(sizes[0], sizes[-1])), spec.sgd)


@pytest.mark.parametrize("shards", [1, 3])
def test_the_number_of_threads_changes_no_bit(shards: int) -> None:
    """A wide network in float32, whose products run in tiles, on 1, 2 and 4 threads."""
    graph = of_layers((512, 1024, 1024, 10), {"batch_size": 256, "shards": shards})
    rng = np.random.default_rng(0)
    arrays = {"x": rng.standard_normal((256, 512), dtype=np.float32),
              "y": rng.standard_normal((256, 10), dtype=np.float32)}  # fmt: skip
    hashes = set()
    for threads in (1, 2, 4):
        engine = make_engine(graph, "compiled", 256, threads=threads, shards=shards)
        session = engine.load(initial_parameters(graph, 0))
        session.train(arrays, {"learning_rate": np.array([0.01])}, 256, 0, 1)
        hashes.add(parameters_sha256(session.fetch()))
    assert len(hashes) == 1


# Machine code and plain Python -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_have_the_bits_of_plain_python(path: Path, dtype: str) -> None:
    """Two steps, the second of a few rows, and an evaluation; also by code that is made soon."""
    spec = load_spec(path, {"model.dtype": dtype})
    job = jobs_of(spec)[0]
    size, rows = job.batch_size, job.dataset.train.span(0, min(40, job.batch_size) + 3)
    size = min(size, 40)
    arrays = rows | draw_masks(job.masks, spec.seed, 1, 0, len(rows["x"]))
    steps = -(-len(rows["x"]) // size)
    engines = [plain_engine(job.graph, size, 16), make_engine(job.graph, "compiled", size, 16),
               make_engine(job.graph, "compiled", size, 16)]  # fmt: skip
    engines[-1].prepare(steps)
    sessions = [engine.load(job.state) for engine in engines]
    found = []
    for session in sessions:
        record, predictions = session.train(arrays, job.rates.at(1, steps), size, 0, steps)
        loss, evaluated = session.predict({name: array[:21] for name, array in rows.items()}, 16)
        found.append([record.losses, record.grad_norms, record.parameter_norms, predictions,
                      np.array(loss), evaluated, *session.fetch().values()])  # fmt: skip
    for plain, machine, soon in zip(*found, strict=True):
        same_bits(machine, plain)
        same_bits(soon, plain)


def test_a_kernel_that_computes_otherwise_is_noticed() -> None:
    """The comparison above can fail: a sum that is added up in another order."""
    builder = GraphBuilder("float64")
    builder.leaf("parameter", "p", (100,)).apply("sum", name="out", axes=(0,))
    kernel = values_kernel(builder.build(), ["out"])
    values = np.random.default_rng(0).standard_normal(100)
    found = []
    for kind in (compiled, PlainKernels):
        code = kind({"values": kernel}, "float64")
        if isinstance(code, PlainKernels):
            code._module["total"] = lambda lanes: sum(lanes.tolist())  # one after the other
        out = np.empty(())
        code.call("values", [values, out], (1,), POOL, 0)
        found.append(out)
    assert found[0] == pytest.approx(float(found[1]), rel=1e-12)
    with pytest.raises(AssertionError):
        same_bits(*found)


# Parts of a step ----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["compiled", "reference"])
@pytest.mark.parametrize("shards", [1, 3, 7])
def test_shards_give_the_same_bits_wherever_they_are_computed(engine, shards) -> None:
    """Gradients of shards in any order and by other engines, reduced in order, then updated."""
    spec = load_spec(ROOT / "configs/residual.yaml", {"sgd.shards": shards, "sgd.momentum": 0.9})
    dataset = load_dataset(spec)
    graph = build_graph(spec, dataset.layout)
    job = make_job(spec, dataset, graph, engine)
    helpers = [make_job(spec, dataset, graph, engine) for _ in range(2)]
    rows = dataset.train.span(0, job.batch_size + job.batch_size // 3)
    count = len(rows["x"])
    arrays = rows | draw_masks(job.masks, spec.seed, 1, 0, count)
    rates = job.rates.at(1, 2)
    whole, made = job.session.train(arrays, rates, job.batch_size, 0, 2)
    parts, last = [], helpers[0].session
    for step, begin in enumerate((0, job.batch_size)):
        cuts = shards_of(begin, min(begin + job.batch_size, count), job.batch_size, shards)
        given: list[Gradients] = []
        for k, cut in reversed([*enumerate(cuts)]):
            other = helpers[k % 2].engine.load(last.fetch())
            given.insert(0, other.gradients(arrays, *cut))
        total = reduce(given) if shards > 1 else given[0]
        parts.append((last.update(total, {k: float(v[step]) for k, v in rates.items()}), total))
    same_bits(np.concatenate([step.losses for step, _ in parts]), whole.losses)
    same_bits(np.concatenate([step.grad_norms for step, _ in parts]), whole.grad_norms)
    same_bits(np.concatenate([total.predictions for _, total in parts]), made)
    for name, value in job.state.items():
        same_bits(last.fetch()[name], value)


def test_shards_are_a_mean_by_rows() -> None:
    """Of a network without batch normalisation the gradient is that of the whole batch."""
    results = []
    for shards in (1, 4):
        spec = load_spec(ROOT / "configs/hidden_layer.yaml",
                         {"sgd.shards": shards, "model.dtype": "float64"})  # fmt: skip
        job = jobs_of(spec)[0]
        take_steps(job, 0, 5)
        results.append(job.state)
    agree(results[1], results[0], 1e-13)


def test_an_update_that_diverges_changes_nothing() -> None:
    job = jobs_of(load_spec(ROOT / "configs/hidden_layer.yaml"))[0]
    before = job.state
    gradients = job.session.gradients(job.dataset.train.arrays, 0, 5)
    assert gradients.rows == 5
    values = {name: value * np.float32(np.inf) for name, value in gradients.values.items()}
    rates = {name: float(value[0]) for name, value in job.rates.at(1, 1).items()}
    with np.errstate(invalid="ignore"):
        steps = job.session.update(Gradients(values, gradients.predictions), rates)
    assert steps.diverged
    assert len(steps.losses) == steps.rows == 0
    agree(job.state, before, 0)


# Single ops and random graphs -------------------------------------------------------------------


def run_values(
    graph: Graph, fetch: list[str], feeds: Mapping[str, Array], share: bool = False
) -> dict[str, Array]:
    """The nodes `fetch` by a kernel, as machine code and as Python, which agree in every bit.

    With `share` all loops are cut into pieces.
    """
    dtype = graph.nodes[0].dtype
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "JOB_NUMBERS", 1)
        kernel = values_kernel(graph, fetch, share)
    results = []
    for kind in (compiled, PlainKernels):
        code = kind({"values": kernel}, dtype)
        arrays = [np.array(feeds[name], dtype=dtype, order="C") for name in kernel.inputs]
        buffers = allocate(kernel.buffers, 1, np.dtype(dtype))
        for buffer in buffers:
            buffer.fill(np.nan)
        outputs = [np.empty([int(d) for d in graph[name].shape], dtype) for name in fetch]
        code.call("values", [*arrays, *buffers, *outputs], (1,), POOL, 1 if share else 0)
        results.append(outputs)
    for machine, plain in zip(*results, strict=True):
        same_bits(machine, plain)
    return dict(zip(fetch, results[0], strict=True))


@pytest.mark.parametrize(("op", "inputs", "attributes"), ROWS)
def test_ops_agree(op: str, inputs: list[Array], attributes: dict[str, Any]) -> None:
    """With the reference to rounding errors, in both dtypes, and to the bit with plain Python."""
    from derivatives import graph_of

    graph, values = graph_of(op, inputs, attributes)
    for dtype, tolerance in (("float64", 1e-13), ("float32", 1e-5)):
        typed = in_dtype(graph, dtype)
        for share in (False, True):
            found = run_values(typed, ["out", "loss"], values, share)
            agree(found, evaluate(graph, values, ["out", "loss"]), tolerance)


def in_dtype(graph: Graph, dtype: str) -> Graph:
    """The same graph of other numbers."""
    nodes = tuple(replace(node, dtype=dtype) for node in graph)
    return Graph(nodes, graph.outputs, graph.updates)


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


@pytest.mark.parametrize("part", range(6))  # that workers can share
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(case=random_graphs())
def test_random_graphs_agree(part: int, case: tuple[Graph, dict[str, Array]]) -> None:
    """Machine code, plain Python and the reference engine, on 300 graphs in all."""
    graph, values = case
    names = [node.name for node in graph.parameters]
    graph = gradients(graph, "loss", names)
    expected = evaluate(graph, values)
    assume(all(np.abs(v).max() < 1e3 for v in expected.values()))
    fetch = ["loss", *dict.fromkeys(graph.outputs[f"gradient/{name}"] for name in names)]
    scale = max(float(np.abs(expected[name]).max()) for name in fetch)
    share = bool(len(graph) % 2)
    found = run_values(graph, fetch, values, share)
    for name in fetch:
        assert np.abs(found[name] - expected[name]).max() <= 1e-12 * max(scale, 1.0)
    run_values(in_dtype(graph, "float32"), fetch, values, not share)


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


def test_auto_compiles(write_spec) -> None:
    spec = load_spec(write_spec())
    job = make_job(spec, load_dataset(spec), build_graph(spec, Layout.plain(2, 1)))
    assert job.engine.name == "compiled"


def test_make_engine_by_name(write_spec) -> None:
    graph = jobs_of(load_spec(write_spec()))[1].graph
    assert isinstance(make_engine(graph, "reference", 2), ReferenceEngine)
    assert isinstance(make_engine(graph, "compiled", 2), CompiledEngine)


def test_a_cpu_that_cannot_fuse_is_told_before_training(write_spec, monkeypatch) -> None:
    monkeypatch.setenv(
        target.VARIABLE, "x86-64" if "x86" in target.host_target().triple else "none"
    )
    spec = load_spec(write_spec())
    with pytest.raises(TrainerError, match=r"cannot fuse .* --engine reference trains without"):
        trainer.train(spec, profile=unkept("auto"))
    assert trainer.train(spec, profile=unkept("reference")).status == "FINISHED"


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
