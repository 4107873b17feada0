"""From a graph to the source of its kernels: readable Python that Numba compiles.

A kernel is one function that runs many steps. Its arrays are arguments: the examples, the
parameters and states, one buffer for each value that outlives its loop. Elementwise ops are
written as the `kernel` of their row in the table of ops.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trainer.engine.compiled.schedule import plan
from trainer.engine.compiled.writer import FUNCTIONS, Writer
from trainer.engine.steps import inputs_of
from trainer.graph.graph import Graph
from trainer.graph.ops import LEAKY_SLOPE, Shape

JIT: Final = (
    'njit(cache=True, error_model="numpy", fastmath={"contract"}, nogil=True, _nrt=False, '
    "pipeline_class=NoAlias)"
)
FEW_ROWS: Final = 8  # full batches of no more rows get code of their own
TEAM: Final = ("expose", "finish", "post", "take", "wait")


@dataclass
class Kernel:
    """The source of one function and the arrays that it needs beside the examples.

    `leaves` are the parameters and states in the order of the arguments, `buffers` the shapes
    of the work arrays by argument name, where `BATCH` is the largest batch. A kernel that is
    `shared` has a team as its first argument; other threads join its work by calling
    `<name>_pieces` with the tuple of the arguments up to the last buffer, and 1.
    """

    source: str
    leaves: tuple[str, ...]
    buffers: Mapping[str, Shape]
    shared: bool = False


def training_kernel(graph: Graph, batch_size: int, full: bool = False) -> Kernel:
    """`train([team,] *rows, *leaves, *buffers, batch_size, first, last, *rates, losses, norms,
    parameter_norms, predictions)`: the steps first … last; returns how many were done.

    `rows` are the inputs with a row for each example, x first; `rates` the scalar ones, an array
    each with a value for each step. It stops before a step whose loss or gradient norm is not
    finite; that changes nothing. With `full` it is called `train_full` and takes full batches
    alone: loops over a few rows are then of known length, and vanish.
    """
    trained = [node.name for node in graph.trainable]
    rows, rates = inputs_of(graph)
    loss, norm = graph.outputs["loss"], graph.outputs["grad_norm"]
    norms = [graph.outputs[f"grad_norm/{name}"] for name in trained]
    prediction = graph.outputs["prediction"]
    schedule = plan(graph, [loss, norm, *norms, prediction], list(graph.updates.values()))
    w = Writer(graph, schedule, batch_size, full)
    w.line("done = 0")
    with w.block("for step in range(first, last):"):
        w.line("begin = step * batch_size")
        if not full:
            w.line("n = min(batch_size, x.shape[0] - begin)")
        for name in rates:
            w.line(f"{w.name(name)} = {w.name(name)}s[step - first]")
        w.steps(schedule.steps[: schedule.checked])
        w.line(f"if not (isfinite({w.scalar(loss)}) and isfinite({w.scalar(norm)})):")
        w.line("    return done")
        w.line(f"losses[done] = {w.scalar(loss)}")
        w.line(f"norms[done] = {w.scalar(norm)}")
        for k, name in enumerate(norms):
            w.line(f"parameter_norms[done, {k}] = {w.scalar(name)}")
        w.copy_rows("predictions", prediction, "begin - first * batch_size")
        w.steps(schedule.steps[schedule.checked :], graph.updates)
        w.line("done += 1")
    w.line("return done")
    after = ["batch_size", "first", "last", *(f"{w.name(name)}s" for name in rates)]
    after += ["losses", "norms", "parameter_norms", "predictions"]
    return _kernel(graph, w, "train_full" if full else "train", rows, after)


def evaluation_kernel(graph: Graph, batch_size: int) -> Kernel:
    """`evaluate([team,] *rows, *leaves, *buffers, batch_size, first, last, total, predictions)`:
    adds the loss of the batches first … last, times their rows, to `total` and returns it.
    """
    loss, prediction = graph.outputs["eval/loss"], graph.outputs["eval/prediction"]
    needed = graph.ancestors([loss, prediction])
    rows = [name for name in inputs_of(graph)[0] if name in needed]
    schedule = plan(graph, [loss, prediction])
    w = Writer(graph, schedule, batch_size)
    with w.block("for step in range(first, last):"):
        w.line("begin = step * batch_size")
        w.line("n = min(batch_size, x.shape[0] - begin)")
        w.steps(schedule.steps)
        w.line(f"total += float64({w.scalar(loss)}) * n")
        w.copy_rows("predictions", prediction, "begin")
    w.line("return total")
    after = ["batch_size", "first", "last", "total", "predictions"]
    return _kernel(graph, w, "evaluate", rows, after)


def values_kernel(graph: Graph, fetch: Sequence[str], share: bool = False) -> Kernel:
    """`values([team,] *leaves, *buffers, *outputs)`: the nodes `fetch`, once; inputs count as
    leaves.
    """
    schedule = plan(graph, fetch)
    w = Writer(graph, schedule, share=share)
    w.line("begin = n = 0")
    w.steps(schedule.steps)
    for k, name in enumerate(fetch):
        w.copy(f"out{k}", name)
    return _kernel(graph, w, "values", [], [f"out{k}" for k in range(len(fetch))])


def _kernel(graph: Graph, w: Writer, name: str, before: list[str], after: list[str]) -> Kernel:
    """The function of what was written, and where there are jobs the one that does their pieces,
    which other threads can join.
    """
    kinds = ("parameter", "state") if before else ("parameter", "state", "input")
    leaves = tuple(node.name for node in graph if node.op in kinds)
    arrays = [*(w.name(name) for name in (*before, *leaves)), *w.buffers]
    shared = bool(w.jobs)
    team = ["team"] if shared else []
    work = f"({', '.join([*team, *arrays])})"
    lines = [f"@{JIT}", f"def {name}({', '.join([*team, *arrays, *after])}):"]
    if shared:
        lines += [f"    work = {work}", "    expose(work)"]
    lines += w.lines
    if shared:
        lines = [*_pieces(work, w.jobs), "", "", *lines]
        lines = [line.replace("pieces(work", f"{name}_pieces(work") for line in lines]
    return Kernel("\n".join(lines), leaves, dict(w.buffers), shared)


def _pieces(work: str, jobs: Sequence[Sequence[str]]) -> list[str]:
    """The function that takes pieces and does them, job by job."""
    lines = [
        f"@{JIT}",
        "def pieces(work, stay):",
        f"    {work} = work",
        "    expose(work)",
        "    while True:",
        "        piece = take(team, stay)",
        "        if piece < 0:",
        "            return",
        "        job, begin, n = team[JOB], team[BEGIN], team[ROWS]",
    ]
    for number, body in enumerate(jobs):
        lines += [f"        {'elif' if number else 'if'} job == {number}:", *body]
    return [*lines, "        finish(team)"]


def kernels_of(graph: Graph, batch_size: int, evaluation_rows: int) -> dict[str, Kernel]:
    """The kernels of a training graph, by the names of their functions.

    The batch sizes decide how matrix products are computed; any batch may have fewer rows.
    """
    kernels = {"train": training_kernel(graph, batch_size)}
    if batch_size <= FEW_ROWS:
        kernels["train_full"] = training_kernel(graph, batch_size, full=True)
    return kernels | {"evaluate": evaluation_kernel(graph, evaluation_rows)}


def kernel_source(graph: Graph, batch_size: int, evaluation_rows: int) -> str:
    """The whole source that runs a training graph."""
    title = "Kernels for many SGD steps and for evaluation, made from a spec's graph."
    kernels = kernels_of(graph, batch_size, evaluation_rows).values()
    return module_source(title, graph.nodes[0].dtype, list(kernels))


def module_source(title: str, dtype: str, kernels: Sequence[Kernel]) -> str:
    """The module that holds the kernels; it imports and computes in `dtype` alone."""
    short = {"float32": "f32", "float64": "f64"}[dtype]
    body = "\n\n\n".join(kernel.source for kernel in kernels)
    code = re.sub(r"#.*", "", body)

    def used(names: Sequence[str]) -> list[str]:
        return [name for name in names if re.search(rf"\b{name}\(", code)]

    products = sorted(set(re.findall(r"\b(gemm_(?:nn|tn|nt)(?:_tile)?)\(", code)))
    imports = {
        "blas": [*products],
        "functions": [f"{name}_{short} as {name}" for name in used(FUNCTIONS)],
        "pipeline": ["NoAlias"],
        "team": [*(("BEGIN", "JOB", "ROWS") if "team[" in code else ()), *used(TEAM)],
    }
    body = re.sub(r"^ *C_\w+ = .*\n", "", body, flags=re.MULTILINE)
    return "\n".join([
        f'"""{title}"""', "",
        "from math import isfinite, sqrt",
        "from numba import int64, njit",
        f"from numpy import {dtype} as real",
        "from numpy import float64", "",
        *(f"from trainer.engine.compiled.{module} import {', '.join(names)}"
          for module, names in imports.items() if names), "",
        f"ZERO, ONE, SLOPE = real(0), real(1), real({LEAKY_SLOPE})",
        *sorted(set(re.findall(r"\bC_\w+ = .*", code))), "", "",
        body, "",
    ])  # fmt: skip
