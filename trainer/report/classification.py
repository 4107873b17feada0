"""How well classes are told apart: confusion matrix, ROC curves, calibration."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.metrics import Classes
from trainer.report.outcome import (
    Outcome,
    area_under,
    calibration,
    confusion_matrix,
    roc_curve,
    shares,
)
from trainer.report.style import (
    BLUE,
    COLOURS,
    DASHES,
    GREY,
    PALE,
    VERMILLION,
    compact,
    key,
    new_figure,
    place,
    short,
    thin,
)
from trainer.training import Job

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED: Final = 12  # so many classes have their counts in the cells
NAMED: Final = 24  # so many have their names at the axes, of more some
CURVES: Final = 10  # ROC curves with a name; of more classes, those with the least area


def class_names(job: Job) -> list[str]:
    """The classes as the pictures write them."""
    return [short(label, 14) for label in job.dataset.classes or ()]


def class_numbers(outcome: Outcome, cut: float = 0.0) -> tuple[Array, Array]:
    """The numbers of the right and of the predicted class of each row; `cut` as in `Classes`."""
    classes = Classes(outcome.y.shape[1], cut=cut)
    right, predicted = classes.right(outcome.y), classes.predicted(outcome.prediction)
    return right[:, 0].astype(int), predicted[:, 0].astype(int)


# Confusion ---------------------------------------------------------------------------------------


def confusion(job: Job, outcome: Outcome) -> Figure:
    """Which classes are taken for which, and how well each is found."""
    names = class_names(job)
    true, predicted = class_numbers(outcome, job.cut)
    counts = confusion_matrix(true, predicted, len(names))
    right = int(np.trace(counts))
    told = f"{right:,} right ({right / counts.sum():.1%}) of {outcome.where}"
    figure = new_figure(job.spec.name, told)
    longest = max(map(len, names))
    turned = longest * len(names) > 32  # letters that stand side by side below the matrix
    left, bottom, side = 0.6 + 0.08 * longest, 1.05 if turned else 0.65, 2.6 if turned else 3.0
    axes = place(figure, left, bottom, side, side)
    _cells(axes, place(figure, left + side + 0.12, bottom, 0.12, side), counts)
    _name_classes(axes, names, 90 if turned else 0)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title("rows (colour: share of the true class)")
    beside = left + side + 1.0
    handles = _by_class(place(figure, beside, bottom, 8.75 - beside, side), counts)
    recall, precision = "recall: found, of the true ones", "precision: right, of those predicted"
    key(figure, handles, [recall, precision])
    return figure


def _cells(axes: Axes, scale: Axes, counts: Array) -> None:
    """The matrix, coloured by share of its row; a square root makes few errors visible too."""
    share = np.nan_to_num(shares(counts, counts.sum(axis=1, keepdims=True)))
    look: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 1, "aspect": "auto"}
    axes.imshow(np.sqrt(share), **look)
    scale.imshow(np.linspace(1, 0, 64)[:, None], extent=(0, 1, 0, 1), **look)
    ticks = {"0": 0, "1%": 0.01, "10%": 0.1, "25%": 0.25, "50%": 0.5, "100%": 1}
    scale.set_yticks(np.sqrt([*ticks.values()]), [*ticks], fontsize=8)
    scale.set_xticks([])
    scale.yaxis.tick_right()
    for image in (axes, scale):
        image.grid(False)
        image.spines[:].set_visible(True)
    if len(counts) > NUMBERED:
        return
    size = 10 if len(counts) <= 6 else 8
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if share[row, column] > 0.4 else "black"
            text = f"{count:,}" if size == 10 else compact(count)
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def _name_classes(axes: Axes, names: Sequence[str], rotation: int) -> None:
    ticks = range(0, len(names), -(-len(names) // NAMED))
    size = 9 if len(names) <= NUMBERED else 7
    axes.set_yticks(ticks, [names[i] for i in ticks], fontsize=size)
    below = [short(names[i], 10 if rotation else 14) for i in ticks]
    axes.set_xticks(ticks, below, fontsize=size, rotation=rotation)
    axes.tick_params(length=0)


def _by_class(axes: Axes, counts: Array) -> list[Any]:
    """Recall and precision of each class, beside its row of the matrix."""
    hits, rows = np.diag(counts), np.arange(len(counts))
    size = 6 if len(counts) <= NAMED else 2.5
    recall, precision = shares(hits, counts.sum(axis=1)), shares(hits, counts.sum(axis=0))
    look: dict[str, Any] = {"markersize": size, "linestyle": "none", "clip_on": False}
    found = axes.plot(recall, rows, marker="o", color=BLUE, **look)
    look |= {"markersize": 1.4 * size, "markerfacecolor": "none"}
    right = axes.plot(precision, rows, marker="D", color=VERMILLION, **look)
    least = np.nanmin(np.append(recall, precision))
    axes.set(xlim=(max(0, math.floor(10 * least) / 10 - 0.1), 1), ylim=(len(counts) - 0.5, -0.5))
    axes.set(yticks=rows if len(counts) <= NAMED else [], title="recall and precision by class")
    axes.tick_params("y", length=0, labelleft=False)
    axes.locator_params("x", nbins=5)
    return [*found, *right]


# Ranking and calibration -------------------------------------------------------------------------


def roc_calibration(job: Job, outcome: Outcome) -> Figure:
    """How well probabilities rank the rows, and whether they come true as often as they say."""
    figure = new_figure(job.spec.name, f"predicted probabilities of {outcome.where}")
    axes = place(figure, 0.75, 0.6, 3.2, 3.2)
    if job.spec.model.multi_label:
        came_true, of, what = _labels(job, outcome, axes)
    else:
        came_true, of, what = _classes(job, outcome, axes)
    upper, lower = place(figure, 5.3, 1.45, 3.2, 2.35), place(figure, 5.3, 0.6, 3.2, 0.65)
    _reliability(upper, lower, came_true, of)
    upper.set_title("calibration, with 95% intervals")
    lower.set_xlabel(f"predicted probability {what}")
    return figure


def _classes(job: Job, outcome: Outcome, axes: Axes) -> tuple[Array, Array, str]:
    """Draws the ROC curves; returns what came true, how probable it was, and what it is."""
    names = class_names(job)
    true, predicted = class_numbers(outcome, job.cut)
    probability = Classes(outcome.y.shape[1]).probabilities(outcome.prediction)
    if len(names) == 2:
        _roc_curves(axes, names[1:], (true == 1)[:, None], probability[:, 1:])
        return true == 1, probability[:, 1], f"of '{names[1]}'"
    _roc_curves(axes, names, true[:, None] == np.arange(len(names)), probability)
    return predicted == true, probability.max(axis=1), "of the predicted class"


def _labels(job: Job, outcome: Outcome, axes: Axes) -> tuple[Array, Array, str]:
    """The same for several labels, of which a row may have any; together for the calibration."""
    names = [short(name, 14) for name in job.dataset.preprocessing.targets]
    labels = Classes(outcome.y.shape[1], multi_label=True)
    there, probability = labels.right(outcome.y), labels.probabilities(outcome.prediction)
    _roc_curves(axes, names, there, probability, "ROC of each label")
    return there.ravel(), probability.ravel(), "of a label"


def _roc_curves(
    axes: Axes, names: Sequence[str], positive: Array, probability: Array,
    title: str = "ROC, each class against the others",
) -> None:  # fmt: skip
    """A curve for each column: which rows are positive, and how probable that was."""
    curves = {
        i: curve
        for i in range(len(names))
        if (curve := roc_curve(positive[:, i], probability[:, i])) is not None
    }
    areas = {i: area_under(*curve) for i, curve in curves.items()}
    named = sorted(sorted(areas, key=lambda i: areas[i])[:CURVES])
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle="--")
    for i in curves.keys() - named:
        _curve(axes, *curves[i], color=PALE, linewidth=0.6)
    handles = []
    for n, i in enumerate(named):
        colour, dashes = COLOURS[n % len(COLOURS)], DASHES[n % len(DASHES)]
        handles += _curve(axes, *curves[i], color=colour, linestyle=dashes)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.set_title(f"ROC of '{names[0]}'" if len(names) == 1 else title)
    if named:
        few = f" (least of {len(areas)})" if len(areas) > CURVES else ""
        size = 10 if len(named) <= 4 else 8
        axes.legend(
            handles, [f"{names[i]}: {areas[i]:.4f}" for i in named], loc="lower right",
            title=f"area under the curve{few}", fontsize=size, title_fontsize=size,
            frameon=True, edgecolor="none",
        )  # fmt: skip
    else:
        text = "one class alone: no curve"
        axes.text(0.5, 0.4, text, ha="center", color=GREY, transform=axes.transAxes)


def _curve(axes: Axes, x: Array, y: Array, **look: Any) -> list[Any]:
    shown = thin(len(x))
    return axes.plot(x[shown], y[shown], **look)


def _reliability(upper: Axes, lower: Axes, came_true: Array, probability: Array) -> None:
    """Observed against predicted probability by bin, and how many rows each bin holds."""
    bins = calibration(came_true, probability)
    upper.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle="--")
    full = bins.count > 0
    x, y = bins.predicted[full], bins.observed[full]
    reach = np.maximum([y - bins.low[full], bins.high[full] - y], 0)
    upper.errorbar(x, y, reach, fmt="o", color=BLUE, elinewidth=1)
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), ylabel="observed share")
    upper.tick_params(labelbottom=False)
    edges = np.linspace(0, 1, len(bins.count) + 1)
    lower.stairs(bins.count, edges, fill=True, color=PALE)
    for edge, count in zip(edges, bins.count, strict=False):
        lower.text(edge + 0.05, count, compact(count), ha="center", va="bottom", fontsize=8)
    lower.set(xlim=(-0.02, 1.02), ylim=(0, 1.45 * bins.count.max()), ylabel="rows", yticks=[])
    lower.grid(False)
