"""How close predicted numbers come to the true ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.metrics.numbers import R2
from trainer.report.outcome import Outcome
from trainer.report.style import (
    BLUE,
    COLOURS,
    GREY,
    PALE,
    drawable,
    key,
    linear_limits,
    new_figure,
    place,
    short,
)
from trainer.training import Job

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS: Final = "os^Dv<"  # for as many outputs; more share one
CLEAR: Final = 500  # so many points are large
POINTS: Final = 3000  # so many can be told apart
CELLS: Final = 120
EDGES: Final = 41


def predictions(job: Job, outcome: Outcome) -> Figure:
    """Predicted against true numbers in the units of the targets, and the residuals: true less
    predicted.
    """
    how = job.dataset.preprocessing
    prediction, y = how.decode_target(outcome.prediction), how.decode_target(outcome.y)
    kept = drawable(prediction).all(axis=1)
    outcome = replace(outcome, prediction=prediction[kept], y=y[kept])
    score = R2()
    score.add(outcome.prediction, outcome.y)
    value = score.value()
    told = f"'{short(job.dataset.target, 20)}' of {outcome.where}"
    told += "" if value is None else f", R² {value:.4g}"
    figure = new_figure(job.spec.name, told)
    axes = place(figure, 0.85, 0.6, 3.1, 3.1)
    limits = linear_limits(np.append(outcome.y, outcome.prediction))
    axes.set(xlim=limits, ylim=limits, xlabel="true", ylabel="predicted")
    dense = " (darker: more rows)" if outcome.y.size > POINTS else ""
    axes.set_title(f"predicted against true{dense}")
    handles = _points(axes, outcome.y, outcome.prediction)
    axes.plot(limits, limits, color=GREY, linewidth=1, linestyle="--")
    beside = place(figure, 4.9, 0.6, 3.0, 3.1)
    _residuals(beside, place(figure, 8.05, 0.6, 0.75, 3.1), outcome)
    if len(handles) > 1:
        named = len(how.targets) == how.outputs
        names = [short(name, 20) if named else f"output {name}" for name in how.output_names]
        key(figure, handles, names)
    return figure


def _residuals(axes: Axes, aside: Axes, outcome: Outcome) -> None:
    """Residuals against predictions, and beside them their histogram."""
    residual = outcome.y - outcome.prediction
    limits = linear_limits(np.append(residual, 0))
    axes.set(xlim=linear_limits(outcome.prediction), ylim=limits, xlabel="predicted")
    axes.set_title("residual: true less predicted")
    _points(axes, outcome.prediction, residual)
    axes.axhline(0, color=GREY, linewidth=1, linestyle="--")
    counts, edges = np.histogram(residual, np.linspace(*limits, EDGES))
    aside.stairs(counts, edges, orientation="horizontal", fill=True, color=PALE)
    aside.set(ylim=limits, xlim=(0, None), xlabel="count")
    aside.tick_params(labelleft=False)
    aside.locator_params("x", nbins=2, prune="lower")


def _points(axes: Axes, x: Array, y: Array) -> list[Any]:
    """A point for each row and output; very many are counted in cells, the darker the more."""
    if x.size > POINTS:
        _density(axes, x, y)
        return []
    size, opacity = (4.5, 0.8) if x.size <= CLEAR else (3, 0.5)
    look: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0}
    look |= {"markersize": size, "alpha": opacity}
    if not 1 < x.shape[1] <= len(MARKERS):
        return axes.plot(x.ravel(), y.ravel(), marker="o", color=BLUE, **look)
    return [
        axes.plot(x[:, i], y[:, i], marker=MARKERS[i], color=COLOURS[i], **look)[0]
        for i in range(x.shape[1])
    ]


def _density(axes: Axes, x: Array, y: Array) -> None:
    """The logarithm of the number of points in each of many cells."""
    across, up = axes.get_xlim(), axes.get_ylim()
    counts = np.histogram2d(x.ravel(), y.ravel(), CELLS, (across, up))[0].T
    shades = np.ma.log(np.ma.masked_equal(counts, 0))
    most = max(float(shades.max()), 1.0)
    axes.imshow(
        shades, extent=(*across, *up), vmin=-0.5 * most, vmax=most,
        cmap="Blues", origin="lower", aspect="auto", interpolation="nearest", zorder=1,
    )  # fmt: skip
