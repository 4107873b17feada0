"""Parameters before and after training, and the updates of the first and of the next step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.engine import evaluate
from trainer.graph.ops import Array, show_shape
from trainer.randomness import stream
from trainer.report.style import (
    BLUE,
    GREY,
    HEIGHT,
    PALE,
    WIDTH,
    drawable,
    key,
    linear_limits,
    log_axis,
    log_limits,
    new_figure,
    place,
    positive,
    short,
)
from trainer.training import Job
from trainer.training.masks import draw_masks, masks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BATCH_ROWS: Final = 4096  # of a batch, from which an update is computed again
BATCH_WORK: Final = 2**31  # parameters by rows, which takes less than a second
VALUES: Final = 2**18  # of a parameter, evenly spaced
FEW: Final = 4  # so many parameters are all shown, of more the weights alone
PANELS: Final = 6
RUG: Final = 16  # so few values are lines, not a histogram
DECADES: Final = 12  # below the largest update, where the axis ends


def weights(job: Job) -> Figure:
    """Histograms of parameters and of the sizes of their updates, at the start and the end."""
    names = chosen([node.name for node in job.graph.trainable])
    state = job.state
    rest = {node.name: np.zeros_like(state[node.name]) for node in job.graph.leaves("state")}
    rows = batch_rows(job, 1, 0)
    first = step_update(job, rest | job.initial, rows, names)
    upcoming = step_update(job, state, batch_rows(job, *next_step(job)), names)
    figure = new_figure(job.spec.name, _told(names, job))
    room = 8.5 / len(names)
    for i, name in enumerate(names):
        left, width = 0.45 + room * i, min(room - 0.25, 4)
        upper = place(figure, left, 2.4, width, 1.05)
        upper.set_title(f"{short(name, int(12 * width))}\n{show_shape(job.initial[name].shape)}")
        _values(upper, job.initial[name], state[name])
        _sizes(place(figure, left, 0.6, width, 1.05), first[name], upcoming[name])
    cut = len(rows) < min(job.batch_size, len(job.dataset.train))
    _label_rows(figure, f" (by the first {len(rows)} rows of the batch)" if cut else "")
    return figure


def chosen(names: Sequence[str]) -> list[str]:
    """The parameters that are shown: all of few, else weights alone, and `PANELS` at most."""
    if len(names) <= FEW:
        return list(names)
    matrices = [name for name in names if name.endswith("/W")]
    count = min(len(matrices), PANELS)
    return [matrices[i] for i in np.linspace(0, len(matrices) - 1, count).round().astype(int)]


# Updates -----------------------------------------------------------------------------------------


def next_step(job: Job) -> tuple[int, int]:
    """The epoch and the step in it, from 0, that would come next if training went on."""
    epoch, done = max(job.progress.epoch, 1), job.progress.done
    return (epoch, done) if done < job.steps_per_epoch else (epoch + 1, 0)


def batch_rows(job: Job, epoch: int, step: int) -> Array:
    """The training rows of a step's batch in their order; of a large batch the first of them."""
    parameters = sum(value.size for value in job.initial.values())
    most = min(job.batch_size, BATCH_ROWS, max(1, BATCH_WORK // parameters))
    order = stream(job.spec.seed, "order", epoch)
    return job.dataset.train.order(order, step * job.batch_size, most)


def step_update(
    job: Job, state: Mapping[str, Array], rows: Array, names: Sequence[str]
) -> dict[str, Array]:
    """What one SGD step on these training rows adds to the named parameters, by the reference
    engine.

    `state` holds all parameters and velocities by name. An update is the difference of a
    parameter after and before, as its dtype rounds it.
    """
    graph, given = job.graph, job.dataset.train.take(rows)
    dtype = given["x"].dtype
    given |= draw_masks(masks_of(graph), job.spec.seed, 0, 0, len(rows))
    rates = {name: dtype.type(values[0]) for name, values in job.rates.at(1, 1).items()}
    feeds = {**state, **given, **rates}
    after = evaluate(graph, feeds, [graph.updates[name] for name in names])
    with np.errstate(all="ignore"):
        return {name: after[graph.updates[name]] - state[name] for name in names}


# Histograms --------------------------------------------------------------------------------------


def _values(axes: Axes, *pair: Array) -> None:
    """Histograms of values at the start and the end."""
    shown = [values[drawable(values)] for values in map(_sampled, pair)]
    if not any(map(len, shown)):
        _say(axes, "not finite")
        axes.set(xticks=[], yticks=[])
        return
    limits = linear_limits(np.concatenate(shown))
    axes.set_xlim(*limits)
    _draw(axes, shown, np.linspace(*limits, _bins(pair[0].size)))
    axes.locator_params("x", nbins=2 + int(axes.bbox.width / 120))


def _sizes(axes: Axes, *pair: Array) -> None:
    """Histograms of the sizes of updates on a logarithmic axis; those of size 0 are counted."""
    sizes = [np.abs(_sampled(update).astype(np.float64)) for update in pair]
    shown = [size[positive(size)] for size in sizes]
    if not any(map(len, shown)):
        _say(axes, "all are 0" if all(drawable(size).all() for size in sizes) else "not finite")
        axes.set(xticks=[], yticks=[])
        return
    together = np.concatenate(shown)
    least = together.max() / 10.0**DECADES
    limits = log_limits(np.maximum(together, least))
    log_axis(axes, "x", limits, ticks=max(2, int(axes.bbox.width / 65)))
    edges = np.geomspace(*limits, _bins(pair[0].size))
    _draw(axes, [np.maximum(size, least) for size in shown], edges)
    zero = [float((size == 0).mean()) for size in sizes]
    if max(zero) >= 0.005:
        _say(axes, f"are 0: {zero[0]:.0%}, then {zero[1]:.0%}")


def _draw(axes: Axes, pair: Sequence[Array], edges: Array) -> None:
    """Shares of the values between the edges: the first filled, the second as an outline.

    Where there are few, or all are alike, each value is a line.
    """
    top = 0.0
    looks = ((PALE, True, 3.0, (0.0, 0.45)), (BLUE, False, 1.4, (0.55, 1.0)))
    for values, (colour, filled, width, span) in zip(pair, looks, strict=True):
        few = len(values) <= RUG
        if few or values.min() == values.max():
            places = values if few else values[:1]
            low, high = span if few else (0, 1)
            across = axes.get_xaxis_transform()
            axes.vlines(places, low, high, color=colour, linewidth=width, transform=across)
        else:
            share = np.histogram(values, edges)[0] / len(values)
            axes.stairs(share, edges, fill=filled, color=colour, linewidth=1.4)
            top = max(top, float(share.max()))
    axes.set_ylim(0, 1.1 * top or 1.0)
    axes.set_yticks([])


def _bins(size: int) -> int:
    """The number of a histogram's edges."""
    return 1 + min(40, max(6, int(1.5 * math.sqrt(size))))


def _sampled(values: Array) -> Array:
    """All values in one dimension, or evenly spaced ones of very many."""
    count = min(values.size, VALUES)
    return values.reshape(-1)[np.arange(count) * values.size // count].astype(np.float64)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.03, 0.98, text, transform=axes.transAxes, fontsize=8, color=GREY, va="top")


# Texts -------------------------------------------------------------------------------------------


def _told(names: Sequence[str], job: Job) -> str:
    """What the picture shows, and of how many layers."""
    layers = sum(node.name.endswith("/W") for node in job.graph.parameters)
    some = f" ({len(names)} of {layers} layers)" if layers > PANELS else ""
    return f"parameters and their updates, at the start and the end{some}"


def _label_rows(figure: Figure, part: str) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    line: dict[str, Any] = {"color": GREY, "linestyle": "none", "markersize": 11}
    handles = [
        Patch(color=PALE),
        Patch(facecolor="none", edgecolor=BLUE, linewidth=1.4),
        Line2D([], [], marker="|", markeredgewidth=1.4, **line),
    ]
    end = "at the end (step that would be next)"
    key(figure, handles, ["at the start (first step)", end, "one of few values"])
    for bottom, text in ((2.4, "value of a parameter"), (0.6, f"size of its update{part}")):
        figure.text(0.45 / WIDTH, (bottom - 0.29) / HEIGHT, text, va="top", color="#404040")
        up = (bottom + 1.05 / 2) / HEIGHT
        figure.text(0.25 / WIDTH, up, "share", rotation=90, ha="center", va="center")
