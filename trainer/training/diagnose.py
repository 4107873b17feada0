"""Why a loss stopped being finite: the first node that did, and what most likely made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trainer.engine import evaluate
from trainer.graph.ops import LEAVES, Array

if TYPE_CHECKING:
    from trainer.training.loop import Job

LARGE_INPUT = 1e3


def diagnose(job: Job, x: Array, y: Array, when: str) -> str:
    """The first node whose value is not finite, walking the graph for these rows, and the cause.

    `when` says at which step, or on which rows, it was noticed.
    """
    size = max(job.batch_size, job.spec.evaluation.batch_size)
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        fault = _first_fault(job, x[rows], y[rows])
        if fault:
            cause = _cause(job, x[rows])
            return (
                f"the loss or its gradient is not finite {when}: {fault}\n  likely cause: {cause}"
            )
    return f"the loss is not finite {when}"  # each batch is finite, their sum is not


def _first_fault(job: Job, x: Array, y: Array) -> str | None:
    """The first node, in the graph's order, whose value for these rows is not finite."""
    graph = job.graph
    feeds = job.state | {"x": x, "y": y, "learning_rate": x.dtype.type(0)}
    needed = graph.ancestors([*graph.outputs.values()])
    nodes = [node for node in graph if node.name in needed]
    values = evaluate(graph, feeds, [node.name for node in nodes])
    for node in nodes:
        value = values[node.name]
        if np.isfinite(value).all():
            continue
        found = "nan" if np.isnan(value).any() else "inf"
        if node.op in LEAVES:
            return f"the {node.op} '{node.name}' holds {found}"
        sizes = [f"'{name}' reaches {np.abs(values[name]).max():.2g}" for name in node.inputs]
        first = f"the first such node is '{node.name}' = {node.formula}"
        return f"{first}, which gives {found} ({', '.join(sizes)})"
    return None


def _cause(job: Job, x: Array) -> str:
    spec = job.spec
    largest = float(np.abs(x).max())
    if largest > LARGE_INPUT and not spec.data.standardize:
        return f"features as large as {largest:.2g}; try `standardize: true`"
    grown = max(float(np.abs(job.state[name]).max()) for name in job.initial)
    started = max(float(np.abs(value).max()) for value in job.initial.values())
    rate = spec.sgd.learning_rate
    if not np.isfinite(grown) or grown > 10 * max(started, 1.0):
        advice = f"try `learning_rate: {rate / 10:g}`"
        if spec.sgd.clip_norm is None:
            advice += ", or `clip_norm: 1`"
        return f"the learning rate {rate:g} is too large and the parameters ran away; {advice}"
    if spec.model.dtype == "float32":
        return "a value too large for float32; try `dtype: float64`, or rescale the target"
    return "targets or features too large to square; rescale them"
