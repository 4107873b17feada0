"""Why a loss stopped being finite: the first node that did, and what most likely made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from trainer.engine import evaluate
from trainer.graph.ops import LEAVES, Array

if TYPE_CHECKING:
    from trainer.training.job import Job

LARGE_INPUT = 1e3


def diagnose(job: Job, batches: Iterable[Mapping[str, Array]], when: str, *, training: bool) -> str:
    """The first node whose value is not finite, walking the graph for these rows, and the cause.

    `batches` hold the rows by the names of the graph's inputs. `training` tells whether a step
    met them or an evaluation; `when` says at which step, or on which rows, it was noticed.
    """
    for rows in batches:
        fault = _first_fault(job, rows, training)
        if fault:
            cause = _cause(job, rows["x"])
            return (
                f"the loss or its gradient is not finite {when}: {fault}\n  likely cause: {cause}"
            )
    return f"the loss is not finite {when}"  # each batch is finite, their sum is not


def _first_fault(job: Job, rows: Mapping[str, Array], training: bool) -> str | None:
    """The first node, in the graph's order, whose value for these rows is not finite."""
    graph, outputs = job.graph, dict(job.graph.outputs)
    evaluated = [outputs.pop("eval/loss"), outputs.pop("eval/prediction")]
    rates = {node.name: rows["x"].dtype.type(0) for node in graph.leaves("input") if not node.shape}
    state = job.state if training else job.evaluated_state
    feeds = {**state, **rows, **rates}
    needed = graph.ancestors(list(outputs.values()) if training else evaluated)
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
    if largest > LARGE_INPUT and not spec.data.scale:
        return f"features as large as {largest:.2g}; try `standardize: true`"
    state = job.state
    grown = max(float(np.abs(state[name]).max()) for name in job.initial)
    started = max(float(np.abs(value).max()) for value in job.initial.values())
    rate = spec.sgd.learning_rate
    if not np.isfinite(grown) or grown > 10 * max(started, 1.0):
        advice = f"try `learning_rate: {rate / 10:g}`"
        if spec.sgd.clip_norm is None:
            advice += ", or `clip_norm: 1`"
        now = float(job.rates.learning_rate(max(job.progress.step, 1), 1)[0])
        which = f"{rate:g}" if now == rate else f"{rate:g} (by then {now:.3g})"
        return f"the learning rate {which} is too large and the parameters ran away; {advice}"
    if spec.model.dtype == "float32":
        return "a value too large for float32; try `dtype: float64`, or rescale the target"
    return "targets or features too large to square; rescale them"
