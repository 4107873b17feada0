"""Which columns matter: the picture, and the table as a file."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.metrics import METRICS
from trainer.network.importance import Importance, deviations
from trainer.numerics.sums import row_means
from trainer.report.style import (
    BLUE,
    GREY,
    VERMILLION,
    drawable,
    linear_limits,
    new_figure,
    place,
    save,
    short,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN: Final = 20
"""Columns that a picture or a screen has room for."""


def write_importance(found: Importance, name: str, where: str, path: Path) -> None:
    """Draws what is lost by each of the first columns as a PNG file. Raises `OSError`."""
    with styled():
        save(_figure(found, name, where), path)


def importance_csv(found: Importance) -> str:
    """The table of all columns, the one that matters most first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    table = found.table()
    writer.writerow(table)
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue()


def title_of(found: Importance) -> str:
    """What is told of the score: `accuracy lost`, or `rmse gained` where less is better."""
    verb = "lost" if METRICS[found.metric].better == "higher" else "gained"
    return f"{found.metric} {verb}"


def _figure(found: Importance, name: str, where: str) -> Figure:
    order = list(found.order[:SHOWN])
    more = len(found.columns) - len(order)
    first = f", the first {len(order)} of {len(found.columns)}" if more else ""
    figure = new_figure(name, f"columns shuffled among {short(where, 40)}{first}")
    left = place(figure, 1.9, 0.6, 3.3, 3.25)
    right = place(figure, 5.5, 0.6, 3.3, 3.25)
    _bars(left, found.score_lost[order], BLUE, title_of(found))
    _bars(right, found.loss_gained[order], VERMILLION, "loss gained")
    size = min(10, 160 / max(len(order), 1))
    names = [short(found.columns[i], 24) for i in order]
    left.set_yticks(range(len(order)), names, fontsize=max(size, 7))
    right.set_yticks(range(len(order)), [""] * len(order))
    return figure


def _bars(axes: Axes, values: Array, colour: str, title: str) -> None:
    """A bar a column, the first on top, with the standard deviation over the repeats."""
    means, spread = row_means(values), deviations(values)
    shown = drawable(means) & drawable(spread)
    means, spread = np.where(shown, means, 0), np.where(shown, spread, 0)
    axes.barh(range(len(means)), means, xerr=spread, color=colour, height=0.7,
              error_kw={"ecolor": GREY, "elinewidth": 1, "capsize": 2})  # fmt: skip
    ends = np.concatenate([means - spread, means + spread, [0]])
    axes.set(xlim=linear_limits(ends), ylim=(len(means) - 0.4, -0.6))
    axes.axvline(0, color=GREY, linewidth=0.7)
    axes.grid(visible=False, axis="y")
    axes.set_title(title)
