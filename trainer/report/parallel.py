"""A sweep in parallel coordinates: an axis a key, a line a trial."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.report.axis import Scale
from trainer.report.choices import Choice
from trainer.report.objective import Measure, first_of
from trainer.report.style import (
    GREY,
    HEIGHT,
    VERMILLION,
    key,
    new_figure,
    place,
    short,
    tail,
)
from trainer.report.sweeps import SweepShown, TrialShown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEYS: Final = 8  # beside the objective, whose axis is the last
TICKS: Final = 6
CATEGORIES: Final = 12
SPREAD: Final = 0.35  # of the room of a category, over which its lines are drawn


def parallel(sweep: SweepShown) -> Figure:
    """An axis for each key, as it was drawn, and for the objective; a line a trial.

    The colour tells the rank, the best dark; the winner is drawn strong.
    """
    keys = sweep.first_keys(KEYS)
    figure = new_figure(sweep.name, f"what the trials chose{first_of(sweep, keys)}")
    axes = place(figure, 0.6, 0.4, 7.55, 3.15)
    axes.set(xlim=(0, len(keys)), ylim=(-0.03, 1.03))
    axes.axis("off")
    measure = Measure.of(sweep)
    scale = Scale(measure.low, measure.high, measure.log)
    axes_of = [*(sweep.choices[name] for name in keys), Choice(sweep.metric, scale)]
    handles, labels = _lines(axes, sweep, axes_of, measure)
    for i, choice in enumerate(axes_of):
        _axis(axes, i, choice, len(axes_of))
    key(figure, handles, labels)
    if len(sweep.ranked) > 1:
        _shades(figure, len(sweep.ranked))
    return figure


def _lines(
    axes: Axes, sweep: SweepShown, across: list[Choice], measure: Measure
) -> tuple[list[Any], list[str]]:
    """The lines of the trials, the worst below; what stands for them in the legend."""
    from matplotlib.lines import Line2D

    ranked = sweep.ranked
    width = 1.1 if len(ranked) <= 60 else 0.7 if len(ranked) <= 300 else 0.45
    worst = [trial for trial in sweep.trials if trial.results and not trial.counts]
    for trial in worst:
        axes.plot(range(len(across)), _places(sweep, trial, across, measure), color=GREY,
                  linewidth=0.6, linestyle=(0, (2, 2)), alpha=0.5, zorder=1)  # fmt: skip
    for rank in reversed(range(len(ranked))):
        trial = ranked[rank]
        if trial.number != sweep.winner:
            axes.plot(range(len(across)), _places(sweep, trial, across, measure),
                      color=_shade(rank, len(ranked)), linewidth=width, alpha=0.75,
                      zorder=2)  # fmt: skip
    handles: list[Any] = []
    labels = []
    for trial in ranked:
        if trial.number == sweep.winner:
            handles += axes.plot(
                range(len(across)), _places(sweep, trial, across, measure), color=VERMILLION,
                linewidth=2.6, marker="o", markersize=5, zorder=4, clip_on=False,
            )  # fmt: skip
            labels.append(f"the best, trial {trial.number}")
    if len(ranked) > len(handles):
        handles.append(Line2D([], [], color=_shade(0, 2), linewidth=1.2))
        labels.append("others, by rank")
    if worst:
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (2, 2))))
        labels.append("diverged")
    return handles, labels


def _shade(rank: int, count: int) -> Any:
    """Dark for the best; the yellow end of the map is too bright for a line."""
    import matplotlib

    return matplotlib.colormaps["viridis"](0.9 * rank / max(count - 1, 1))


def _places(sweep: SweepShown, trial: TrialShown, across: list[Choice], measure: Measure) -> Array:
    """Where the line of a trial meets each axis; NaN where it has no value there."""
    heights = [choice.place(trial.values.get(choice.key)) for choice in across[:-1]]
    spread = (trial.number + 0.5) / len(sweep.trials) - 0.5
    for i, choice in enumerate(across[:-1]):
        if choice.scale is None:  # lines of a category lie side by side
            heights[i] += SPREAD * spread / max(len(choice.categories), 1)
    objective = across[-1].scale
    assert objective is not None
    heights.append(objective.place(float(measure.within([trial.value])[0])))
    return np.array(heights)


def _axis(axes: Axes, at: int, choice: Choice, count: int) -> None:
    """A vertical axis with its ticks at the left of it, and its name on top."""
    last = at == count - 1
    axes.plot([at, at], [0, 1], color="#404040" if last else "#808080", zorder=3,
              linewidth=1.6 if last else 0.9, clip_on=False)  # fmt: skip
    inches = 7.55 / (count - 1)
    letters = max(5, int((0.55 if not at else inches) / 0.075) - 2)
    box: dict[str, Any] = {"facecolor": "white", "alpha": 0.88, "edgecolor": "none", "pad": 0.6}
    side, align = (1, "left") if last else (-1, "right")
    for height, text in choice.ticks(TICKS if choice.scale else CATEGORIES).items():
        axes.annotate(
            short(text, letters), (at, height), (side * 4, 0), textcoords="offset points",
            ha=align, va="center", fontsize=8, color="#404040", zorder=5, bbox=box,
            annotation_clip=False,
        )  # fmt: skip
        axes.plot([at], [height], marker="_", color="#808080", markersize=5, zorder=3,
                  clip_on=False)  # fmt: skip
    rows = 2 if count > 5 else 1  # of titles
    title = tail(choice.key, max(8, int(rows * inches / 0.078)))
    axes.annotate(
        title, (at, 1), (0, 9 + 11 * (at % rows)), textcoords="offset points",
        ha="left" if not at else "right" if last else "center", va="bottom", fontsize=8.5,
        weight="bold" if last else "normal", annotation_clip=False,
    )  # fmt: skip


def _shades(figure: Figure, count: int) -> None:
    """A scale of the colours at the right: from the best to the worst."""
    import matplotlib

    axes = place(figure, 8.62, 0.9, 0.1, HEIGHT - 2.2)
    axes.imshow([[0.9 * i / 63] for i in range(64)], aspect="auto", vmin=0, vmax=1,
                cmap=matplotlib.colormaps["viridis"])  # fmt: skip
    axes.set_yticks([0, 63], ["best", "last"], fontsize=8)
    axes.yaxis.tick_right()
    axes.tick_params(length=0, pad=1)
    axes.set_xticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
