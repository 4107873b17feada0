"""What a run did epoch by epoch: loss, score, and the norms of its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.metrics import METRICS, default_metric
from trainer.report.style import (
    BLUE,
    COLOURS,
    DASHES,
    GREY,
    MARKED,
    POINTS,
    VERMILLION,
    drawable,
    key,
    linear_limits,
    log_axis,
    log_limits,
    new_figure,
    place,
    positive,
    short,
    spread,
    thin,
)
from trainer.training import Job
from trainer.training.history import History
from trainer.training.result import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DECADES: Final = 1  # of a loss, from which on its axis is logarithmic
LABELLED: Final = 10  # so many parameters have their names beside their curves
CURVES: Final = {"train": ("training", BLUE, "-"), "val": ("validation", VERMILLION, "--")}


def learning_curves(job: Job, history: History) -> Figure | None:
    """Loss and score of training and validation rows by epoch; None before the first."""
    series = history.series()
    losses = _of_parts(series, "loss")
    if not losses:
        return None
    score = METRICS[default_metric(job.spec.model.loss)]
    scores = _of_parts(series, score.name)
    figure = new_figure(job.spec.name, _outcome(losses))
    width = 3.75 if scores else 8.15
    axes = place(figure, 0.7, 0.55, width, 3.1)
    axes.set_title("loss")
    best = best_epoch(losses)
    handles = _draw_parts(axes, losses)
    labels = [CURVES[part][0] for part in losses]
    if best is not None:
        handles.append(_mark(axes, losses["val"], best))
        labels.append(f"least validation loss, after epoch {best}")
    _loss_axis(axes, np.concatenate([line.values for line in losses.values()]))
    if scores:
        beside = place(figure, 5.1, 0.55, width, 3.1)
        beside.set_title(score.title)
        _draw_parts(beside, scores)
        if best is not None and "val" in scores:
            _mark(beside, scores["val"], best)
        beside.set_ylim(*_score_limits(np.concatenate([line.values for line in scores.values()])))
    key(figure, handles, labels)
    return figure


def best_epoch(losses: Mapping[str, Series]) -> int | None:
    """The first epoch with the least validation loss; None without validation rows."""
    line = losses.get("val")
    return None if line is None else int(line.steps[line.values.argmin()])


def _outcome(losses: Mapping[str, Series]) -> str:
    """The last losses in words."""
    last = int(max(line.steps[-1] for line in losses.values()))
    values = " and ".join(f"{CURVES[p][0]} loss {s.values[-1]:.4g}" for p, s in losses.items())
    return f"{values} after {last} epoch{'s' * (last > 1)}" if last else f"{values} before training"


def _of_parts(series: Mapping[str, Series], name: str) -> dict[str, Series]:
    """The drawable points of a metric on the training and validation rows, if there are any."""
    found = {}
    for part in CURVES:
        line = series.get(f"{part}_{name}")
        if line is not None and (shown := drawable(line.values)).any():
            found[part] = Series(line.steps[shown], line.values[shown])
    return found


def _draw_parts(axes: Axes, lines: Mapping[str, Series]) -> list[Any]:
    handles = []
    for part, line in lines.items():
        _, colour, dashes = CURVES[part]
        handles += _draw(axes, line, color=colour, linestyle=dashes)
    _epoch_axis(axes, max(lines.values(), key=lambda line: len(line.steps)).steps)
    return handles


def _draw(axes: Axes, line: Series, **look: Any) -> list[Any]:
    shown = thin(len(line.steps))
    marker = "o" if len(shown) <= MARKED else None
    return axes.plot(line.steps[shown], line.values[shown], marker=marker, **look)


def _mark(axes: Axes, line: Series, epoch: int) -> Any:
    """A ring around a curve's point of this epoch."""
    at = np.flatnonzero(line.steps == epoch)
    look: dict[str, Any] = {"color": "black", "markerfacecolor": "none", "markeredgewidth": 1.4}
    (ring,) = axes.plot(line.steps[at], line.values[at], "o", markersize=8, zorder=5, **look)
    return ring


def _epoch_axis(axes: Axes, epochs: Array) -> None:
    from matplotlib.ticker import MaxNLocator

    first, last, count = int(epochs[0]), int(epochs[-1]), len(epochs)
    room = 0.02 * (last - first) or 0.5
    axes.set_xlim(first - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    if first == last:
        axes.set_xticks([first])
    axes.set_xlabel("epoch" if count <= POINTS else f"epoch ({POINTS:,} of {count:,} drawn)")


def _loss_axis(axes: Axes, values: Array) -> None:
    """A logarithmic axis where positive losses span decades."""
    above = values[positive(values)]
    if len(above) and above.max() > above.min() * 10**DECADES:
        log_axis(axes, "y", log_limits(above))
    else:
        axes.set_ylim(*linear_limits(values))


def _score_limits(values: Array) -> tuple[float, float]:
    """No score is above 1; an R² far below 0, as before training, would hide the others."""
    low, high = linear_limits(values)
    if values.max() > 0:
        low = max(low, -0.5)
    return low, min(high, max(1.02, low + 0.1))


def gradient_norms(job: Job, history: History) -> Figure | None:
    """The norm of each parameter's gradient by epoch; None before the first whole epoch."""
    series = history.series()
    norms = {node.name: series.get(f"grad_norm/{node.name}") for node in job.graph.trainable}
    known = {name: line for name, line in norms.items() if line and drawable(line.values).any()}
    if not known:
        return None
    figure = new_figure(job.spec.name, "norm of the loss's gradient, mean by epoch")
    axes = place(figure, 0.75, 0.55, 6.65, 3.25)
    whole = {"all": series["grad_norm"]} if len(known) > 1 else {}
    lines = {name: _positive_part(line) for name, line in (whole | known).items()}
    lines = {name: line for name, line in lines.items() if len(line.steps)}
    layers = list(dict.fromkeys(map(_layer, known)))
    looks = {name: _look(name, layers, len(known) <= LABELLED) for name in lines}
    for name, line in lines.items():
        _draw(axes, line, **looks[name])
    _epoch_axis(axes, series["grad_norm"].steps)
    if lines:
        log_axis(axes, "y", log_limits(np.concatenate([line.values for line in lines.values()])))
    else:
        _draw(axes, series["grad_norm"], **_look("all", layers, True))
    if len(known) > LABELLED:
        _layer_scale(figure, layers)
    elif lines:
        _label_ends(axes, lines, looks)
    _key_of_kinds(figure, [name for name in known if name not in lines])
    return figure


def _positive_part(line: Series) -> Series:
    shown = positive(line.values)
    return Series(line.steps[shown], line.values[shown])


def _layer(name: str) -> str:
    return name.rpartition("/")[0]


def _is_bias(name: str) -> bool:
    return name.endswith("/b")


def _look(name: str, layers: list[str], labelled: bool) -> dict[str, Any]:
    """Colour by layer, dashes for biases; the whole gradient is a thick black line."""
    import matplotlib

    if name == "all":
        return {"color": "black", "linewidth": 2.4, "linestyle": "-"}
    depth = layers.index(_layer(name))
    if labelled:
        colour: Any = COLOURS[:-1][depth % (len(COLOURS) - 1)]
    else:
        colour = matplotlib.colormaps["viridis"](_shade(depth, len(layers)))
    return {"color": colour, "linestyle": DASHES[1 if _is_bias(name) else 0], "linewidth": 1.3}


def _shade(depth: float, layers: int) -> float:
    """Where a layer stands on the colour map, whose yellow end is too bright for a line."""
    return 0.9 * depth / max(layers - 1, 1)


def _label_ends(axes: Axes, lines: Mapping[str, Series], looks: Mapping[str, Any]) -> None:
    """Names at the right ends of the curves, moved apart where these meet."""
    low, high = np.log10(axes.get_ylim())
    ends = [(np.log10(line.values[-1]) - low) / (high - low) for line in lines.values()]
    for name, end, beside in zip(lines, ends, spread(ends, 0.066), strict=True):
        look = {"color": looks[name]["color"], "transform": axes.transAxes, "clip_on": False}
        axes.plot([1.0, 1.03], [end, beside], linewidth=0.7, scalex=False, scaley=False, **look)
        axes.text(1.035, beside, short(name, 20), va="center", fontsize=9, **look)


def _layer_scale(figure: Figure, layers: list[str]) -> None:
    """A scale of the layers' colours at the right."""
    import matplotlib

    axes = place(figure, 7.6, 0.55, 0.14, 3.25)
    shades = [[_shade(depth, len(layers))] for depth in range(len(layers))]
    axes.imshow(shades, aspect="auto", cmap=matplotlib.colormaps["viridis"], vmin=0, vmax=1)
    ticks = sorted(set(np.linspace(0, len(layers) - 1, 6).round().astype(int).tolist()))
    axes.set_yticks(ticks, [short(layers[i], 12) for i in ticks], fontsize=9)
    axes.yaxis.tick_right()
    axes.tick_params(length=2)
    axes.set_xticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _key_of_kinds(figure: Figure, zero: list[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color="black", linewidth=2.4),
        Line2D([], [], color=GREY, linestyle=DASHES[0], linewidth=1.3),
        Line2D([], [], color=GREY, linestyle=DASHES[1], linewidth=1.3),
    ]
    labels = ["all parameters", "weights W", "biases b"]
    if zero:
        handles.append(Line2D([], [], linestyle="none"))
        more = f" and {len(zero) - 1} more" * (len(zero) > 1)
        labels.append(f"always 0, not shown: {short(zero[0], 20)}{more}")
    key(figure, handles, labels)
