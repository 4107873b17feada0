"""Gradient health: what a run's recorded norms and its last parameters say about its training.

The *size* of a weight matrix of shape (m, n) is the norm that Glorot's initialiser gives it,
√(2 m n / (m + n)); the *relative norm* of its gradient is the gradient's norm by that size. The
*move* of a step is the norm of the update, learning_rate / (1 - momentum) times that of the clipped
gradient, by the norm of the weights: the largest of their size, at the start and at the end.

The thresholds come from 1,585 runs: the shipped configs with their learning rate × 0.3 to 3, twice
the units, other seeds, batches of one row to all and up to 25 times the epochs; and networks of 0
to 10 hidden layers, six activations, learning rates 1e-9 to 100, raw and standardised inputs. Each
constant tells what the runs showed that learned; docs/health.md tells the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, groupby, islice
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from trainer.data import Part
from trainer.engine import evaluate
from trainer.graph.ops import BATCH, Array
from trainer.training import Ended, Job
from trainer.training.history import History
from trainer.training.soundness import normalises_batches

Kind: TypeAlias = Literal[
    "vanishing_gradients",
    "exploding_gradients",
    "dead_units",
    "saturated_units",
    "updates_too_large",
    "updates_too_small",
    "one_row_batches",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
"""All kinds of findings, in the order in which `examine` gives them."""

APART: Final = 100  # times, between the gradients of two layers; runs that learned: up to 24
GROWN: Final = 100  # times the largest of the first steps; runs that learned: up to 33
FIRST_STEPS: Final = 10
OUT_OF_SCALE: Final = 100  # relative norm by the error at the output; runs that learned: 0.05 to 6
LOST: Final = 0.5  # of a layer's units; runs that learned: up to 0.44
NEAR: Final = 0.01  # a limit of sigmoid or tanh: the slope is 4 or 2 % of the largest at most
OFTEN: Final = 0.95  # of the rows
LARGE_MOVE: Final = 0.1  # median of epochs; shipped configs, three times their rate: up to 0.03
SMALL_MOVE: Final = 1e-5  # in the epoch with the largest; runs that learned: from 1e-3
SMALL_WAY: Final = 0.01  # all moves together; runs that learned: from 0.16
GOOD_MOVE: Final = 1e-3  # the usual rule of thumb
LARGE_INPUT: Final = 10  # mean of absolute values; that of standardised features is about 0.8
ROWS: Final = 2000  # that units are looked at for
WORK: Final = 10**9  # rows times parameters: a large network sees fewer rows, from 250 on


@dataclass(frozen=True)
class Finding:
    """Something that keeps a run from learning: what was measured, and what to try.

    `where` is the layer or parameter, or `grad_norm` for the whole gradient.
    """

    kind: Kind
    where: str
    message: str
    advice: str

    def as_json(self) -> dict[str, str]:
        """The four texts by name."""
        return asdict(self)


def examine(job: Job, history: History) -> list[Finding]:
    """What is wrong with the gradients of a run, in the order of `KINDS`; nothing if it is sound.

    `job` holds the parameters at the end, `history` all events. A run that was stopped in its first
    epoch recorded too little and gives nothing. Takes one forward pass of at most 2,000 rows.
    """
    if "grad_norm" not in history.last and history.ended.status != "DIVERGED":
        return []
    with np.errstate(all="ignore"):  # a run that diverged ends with any numbers
        rows = _sample(job)
        traces = _Traces.of(job, history)
        lost = list(_lost_units(job, rows.x))
        vanishing = list(_vanishing(traces, lost))
        found = [*vanishing, *islice(_exploding(traces, rows, history.ended), 1), *lost]
        found += _moves(traces, hopeless=bool(vanishing and not lost))
        found += _one_row_batches(job)
    return sorted(found, key=lambda finding: KINDS.index(finding.kind))


def verdict(findings: Sequence[Finding]) -> str:
    """`healthy`, or the kinds that were found, with commas: the value of a tag."""
    return ",".join(dict.fromkeys(finding.kind for finding in findings)) or "healthy"


def summarise(findings: Sequence[Finding]) -> str:
    """The findings for a terminal, a line each, and below those with one advice what to try."""
    lines: list[str] = []
    for advice, alike in groupby(findings, key=lambda finding: finding.advice):
        lines += [*(finding.message for finding in alike), f"  {advice}"]
    return "\n".join(lines) or "gradients look healthy"


# What is measured ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Traces:
    """What was recorded, of the weight matrices `names` in the order of the layers, W of them.

    `relative` holds the relative norms of their gradients, means over the steps of an epoch, of
    shape (epochs, W), and `moves` likewise; `grown` how many times the norm at the start is the one
    that moves are measured by, of shape (W,). `steps` is the norm of the whole gradient, by step,
    and `losses` the training loss from epoch 0 on.
    """

    job: Job
    names: list[str]
    relative: Array
    moves: Array
    grown: Array
    steps: Array
    losses: Array

    @classmethod
    def of(cls, job: Job, history: History) -> _Traces:
        series = {name: found.values for name, found in history.series().items()}
        trained = [node.name for node in job.graph.trainable]
        norms = {name: series.get(f"grad_norm/{name}", _NONE) for name in trained}
        names = [name for name in trained if job.initial[name].ndim == 2]
        epochs = len(next(iter(norms.values()), _NONE))
        gradient = np.array([norms[name] for name in names]).reshape(len(names), epochs).T
        m, n = np.array([job.initial[name].shape for name in names]).reshape(-1, 2).T
        size = np.sqrt(2 * m * n / (m + n))
        start, end = (
            np.array([np.linalg.norm(at[name].astype(np.float64)) for name in names])
            for at in (job.initial, job.state)
        )
        start = np.maximum(start, size)
        sgd = job.spec.sgd
        update = gradient * (sgd.learning_rate / (1 - sgd.momentum))
        if sgd.clip_norm is not None:
            total = np.sqrt(np.square(list(norms.values())).sum(axis=0))
            update *= np.minimum(1, sgd.clip_norm / (total + 1e-6))[:, None]
        norm = np.maximum(start, end)
        steps, losses = (series.get(name, _NONE) for name in ("grad_norm_step", "train_loss"))
        return cls(job, names, gradient / size, update / norm, norm / start, steps, losses)

    @property
    def alive(self) -> Array:
        """The epochs in which any weight had a gradient, of shape (epochs,)."""
        return np.asarray((self.relative > 0).any(axis=1))

    def pairs(self) -> list[tuple[float, str, str]]:
        """Of each matrix and each behind it: their median relative norms' ratio, their names."""
        if not self.alive.any():
            return []
        typical = np.median(self.relative[self.alive], axis=0).tolist()
        both = combinations(zip(typical, self.names, strict=True), 2)
        return [(a / b, first, second) for (a, first), (b, second) in both if b > 0]


_NONE: Final = np.zeros(0)


def _sample(job: Job) -> Part:
    """Evenly spaced training rows."""
    train = job.dataset.train
    parameters = sum(value.size for value in job.initial.values())
    count = min(len(train), ROWS, max(ROWS // 8, WORK // parameters))
    rows = np.linspace(0, len(train) - 1, count).astype(np.intp)
    return Part(**train.take(rows))


def _output_error(job: Job, y: Array) -> float:
    """About the norm of the gradient of a row's loss by its prediction, before training."""
    logistic = job.spec.model.loss == "logistic"  # a probability minus 0 or 1
    return 1.0 if logistic else 2 * math.sqrt(np.square(y, dtype=float).mean() / y.shape[1])


# What is found ---------------------------------------------------------------------------------


def _vanishing(traces: _Traces, lost: Sequence[Finding]) -> Iterator[Finding]:
    """A layer that the gradient hardly reaches, compared with a later one."""
    times, early, late = min(traces.pairs(), default=(1.0, "", ""))
    if times * APART < 1:
        smaller = f"{_figure(1 / times)} times smaller than that" if times else "0, unlike that"
        message = f"for its size, the gradient of {early} is {smaller} of {late} (median epoch)"
        sigmoid = any(node.op == "sigmoid" and not node.via for node in traces.job.graph)
        advice = "relu or tanh instead of sigmoid" if sigmoid else "another activation"
        advice = f"try {advice}, or fewer layers"
    elif traces.relative.size and not traces.alive.any():
        early, message = traces.names[0], "the gradients of all weights were 0 in all epochs"
        advice = "try an `init` other than zeros"
    else:
        return
    if lost:
        advice = f"try what helps {lost[0].where}, whose units pass little or nothing on"
    yield Finding("vanishing_gradients", early, message, advice)


def _exploding(traces: _Traces, rows: Part, ended: Ended) -> Iterator[Finding]:
    """Gradients that grew, that are out of scale, or that grow from the last layer to the first."""
    kind: Kind = "exploding_gradients"
    job, steps, scale = traces.job, traces.steps, traces.relative
    clip = ", `sgd.clip_norm: 1`" if job.spec.sgd.clip_norm is None else ""
    calm = f"try {_standardise(rows.x)}{_rate(job, 0.1)}{clip}"
    start = steps[: max(1, min(FIRST_STEPS, len(steps) // 2))].max(initial=0)
    error = _output_error(job, rows.y)
    if steps.max(initial=0) > GROWN * max(start, error):
        message = f"the gradient norm reached {steps.max():.2g} at step {steps.argmax() + 1}, "
        message += f"{_figure(steps.max() / start)} times the largest of the first steps"
        yield Finding(kind, "grad_norm", message, calm)
    if scale.max(initial=0) > OUT_OF_SCALE * error > 0:
        epoch, i = divmod(int(scale.argmax()), len(traces.names))
        message = f"for its size and the error at the output, the gradient of {traces.names[i]} is "
        times = _figure(scale.max() / error)
        message += f"{times} times larger than usual (mean of epoch {epoch + 1})"
        yield Finding(kind, traces.names[i], message, f"{calm}, or another `init`")
    ratio, early, late = max(traces.pairs(), default=(1.0, "", ""))
    if ratio > APART and min(traces.pairs())[0] * APART >= 1:  # else the later one vanished
        message = f"for its size, the gradient of {early} is {_figure(ratio)} times larger than "
        yield Finding(kind, early, f"{message}that of {late} (median epoch)", calm)
    if ended.status == "DIVERGED":
        when = f"after step {ended.step}" if ended.step else "before the first step"
        message = f"the loss or its gradient stopped being finite {when}"
        yield Finding(kind, "grad_norm", message, calm)


_LOST: Final = {
    "relu": lambda value: (value <= 0).all(axis=0),
    "sigmoid": lambda value: (np.abs(value - 0.5) >= 0.5 - NEAR).mean(axis=0) >= OFTEN,
    "tanh": lambda value: (np.abs(value) >= 1 - NEAR).mean(axis=0) >= OFTEN,
}
"""By op: which units are lost, of shape (units,), from their outputs of shape (rows, units)."""


def _lost_units(job: Job, x: Array) -> Iterator[Finding]:
    """Layers of which half the units or more are dead (relu) or saturated (sigmoid, tanh)."""
    graph, prediction = job.graph, job.graph.outputs["eval/prediction"]
    forward = graph.ancestors([prediction]) - {prediction}
    hidden = [n for n in graph if n.name in forward and n.op in _LOST and n.shape[:1] == (BATCH,)]
    values = evaluate(graph, {**job.evaluated_state, "x": x}, [node.name for node in hidden])
    advice = f"try {_standardise(x)}{_rate(job, 0.1)}, or "
    for node in hidden:
        value = values[node.name].reshape(len(x), -1)
        lost, units = int(_LOST[node.op](value).sum()), value.shape[1]
        if lost < LOST * units:
            continue
        message = f"{lost} of {units} units of {node.name.removeprefix('eval/')} ({node.op}) "
        if node.op == "relu":
            message += f"give 0 for each of {len(x):,} training rows, and so no longer learn"
            yield Finding("dead_units", node.name, message, f"{advice}leaky_relu")
        else:
            message += f"are within {NEAR} of a limit for {OFTEN:.0%} of {len(x):,} training rows"
            yield Finding("saturated_units", node.name, message, f"{advice}relu")


def _moves(traces: _Traces, hopeless: bool) -> Iterator[Finding]:
    """Steps too long or too short for the weights; `hopeless` if other rates would not help."""
    if not traces.alive.any():
        return
    names, losses, moves = traces.names, traces.losses, traces.moves
    usual, largest = np.median(moves[traces.alive], axis=0), moves.max(axis=0)
    i, k = int(usual.argmax()), int(largest.argmax())
    small = (largest * traces.grown).max()
    way = (moves.sum(axis=0) * traces.grown).max() * traces.job.steps_per_epoch
    if usual[i] > LARGE_MOVE:
        message = f"each step moves {names[i]} by {usual[i]:.0%} of its norm (median epoch)"
        advice = f"try {_rate(traces.job, 10 * GOOD_MOVE / usual[i])}"
        yield Finding("updates_too_large", names[i], message, advice)
    elif largest[k] > LARGE_MOVE and not hopeless and not losses[-1] < losses[0]:
        message = f"in one epoch each step moved {names[k]} by {largest[k]:.0%} of its norm, and "
        message += f"the training loss went from {losses[0]:.3g} to {losses[-1]:.3g}"
        advice = f"try {_rate(traces.job, 10 * GOOD_MOVE / largest[k])}"
        yield Finding("updates_too_large", names[k], message, advice)
    elif small < SMALL_MOVE and way < SMALL_WAY:
        message = f"no step moves any weights by more than {small:.1g} of their norm, and all "
        message += f"steps together move them by no more than {way:.1g}"
        advice = f"try {_rate(traces.job, GOOD_MOVE / small)}"
        yield Finding("updates_too_small", names[k], message, advice)


def _one_row_batches(job: Job) -> Iterator[Finding]:
    """A last batch of one row, of which batch normalisation makes 0."""
    rows, size = len(job.dataset.train), job.batch_size
    if rows % size != 1 or not normalises_batches(job.spec):
        return
    message = f"the last of {job.steps_per_epoch} batches of an epoch has one row, of which "
    message += "batch_norm makes 0: that step learns nothing of the inputs"
    better = next(n for n in range(size + 1, rows + 2) if rows % n != 1)
    advice = f"try `sgd.batch_size: {better}`"
    yield Finding("one_row_batches", "sgd.batch_size", message, advice)


# What to try -----------------------------------------------------------------------------------


def _standardise(x: Array) -> str:
    """The first advice where the inputs are large."""
    return "`data.standardize: true`, " if np.abs(x).mean() > LARGE_INPUT else ""


def _rate(job: Job, times: float) -> str:
    """A learning rate so many times the run's, to one figure."""
    return f"`sgd.learning_rate: {float(f'{job.spec.sgd.learning_rate * times:.0e}'):g}`"


def _figure(times: float) -> str:
    """`28,000`: two figures."""
    return f"{float(f'{times:.1e}'):,.0f}" if times < 1e9 else f"{times:.1e}"
