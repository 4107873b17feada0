"""The folds of a cross-validation side by side: a table, and a picture."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.report.style import (
    BLUE,
    GREY,
    HEIGHT,
    PALE,
    WIDTH,
    drawable,
    key,
    linear_limits,
    new_figure,
    place,
    save,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Measured = Mapping[str, Sequence[float | None]]
TABLE: Final = "folds.csv"
PICTURE: Final = "folds.png"
PANELS: Final = 6  # there is no room for more
COLUMNS: Final = 3


def write_folds(
    name: str, measured: Measured, runs: Sequence[str | None], folder: Path
) -> list[Path]:
    """Writes `folds.csv` and `plots/folds.png` into the folder, and returns the files.

    `measured` has a value a fold for each metric, None where a fold lacks it. The same values
    give the same bytes. Raises `OSError` where a file cannot be written.
    """
    table = folder / TABLE
    _write_table(table, measured, runs)
    return [table, *draw_folds(name, measured, folder)]


def draw_folds(name: str, measured: Measured, folder: Path) -> list[Path]:
    """The picture alone, where there is something to draw."""
    drawn = {metric: np.array(values, dtype=float) for metric, values in measured.items()}
    drawn = {metric: values for metric, values in drawn.items() if drawable(values).any()}
    if not drawn:
        return []
    (folder / "plots").mkdir(exist_ok=True)
    with styled():
        return [save(folds(name, drawn), folder / "plots" / PICTURE)]


def _write_table(path: Path, measured: Measured, runs: Sequence[str | None]) -> None:
    """A row a fold: its number, its run, its metrics in their shortest exact form."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["fold", "run", *measured])
        for i, run in enumerate(runs):
            cells = [values[i] for values in measured.values()]
            writer.writerow([i + 1, run or "", *("" if v is None else repr(v) for v in cells)])


def folds(name: str, measured: Mapping[str, Array]) -> Figure:
    """A panel for each of the first metrics: a dot a fold, the mean, a band of one deviation.

    Values are arrays of shape (folds,), NaN where a fold lacks the metric; the deviation is the
    sample's, and there is none of one value.
    """
    shown = dict(list(measured.items())[:PANELS])
    count = len(next(iter(shown.values())))
    figure = new_figure(name, f"{count} fold{'s' * (count > 1)}, each tested on its own rows")
    columns = min(len(shown), COLUMNS)
    rows = -(-len(shown) // columns)
    width, height = (WIDTH - 0.15) / columns, (HEIGHT - 0.75) / rows
    handles: list[Any] = []
    for i, (metric, values) in enumerate(shown.items()):
        left, bottom = 0.65 + (i % columns) * width, (rows - 1 - i // columns) * height + 0.45
        axes = place(figure, left, bottom, width - 0.75, height - 0.75)
        handles = _panel(axes, metric, values, fontsize=10 if columns < COLUMNS else 9)
        if i // columns == rows - 1:
            axes.set_xlabel("fold")
    key(figure, handles, ["a fold", "mean", "mean ± sample deviation"][: len(handles)])
    return figure


def _panel(axes: Axes, metric: str, values: Array, fontsize: int) -> list[Any]:
    """The dots, the mean and the band; what stands for them in the legend."""
    kept = np.flatnonzero(drawable(values))
    some = values[kept].tolist()
    mean = statistics.fmean(some)
    dots = axes.plot(kept + 1, some, "o", color=BLUE, markersize=5, zorder=3)[0]
    line = axes.axhline(mean, color=GREY, linewidth=1, linestyle="--")
    handles: list[Any] = [dots, line]
    title, ends = f"{metric.removeprefix('test_').replace('_', ' ')}: {mean:.3g}", [mean]
    if len(some) > 1:
        deviation = statistics.stdev(some)
        ends = [mean - deviation, mean + deviation]
        handles.append(axes.axhspan(*ends, color=PALE, alpha=0.45, linewidth=0))
        title += f" ± {deviation:.2g}"
    axes.set_title(title, fontsize=fontsize)
    axes.set(xlim=(0.5, len(values) + 0.5), ylim=linear_limits(np.array(some + ends), 0.1))
    step = -(-len(values) // 10)
    axes.set_xticks(range(1, len(values) + 1, step))
    return handles
