"""The look of the pictures: sizes, colours, scales. Matplotlib is imported when one is drawn."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from trainer.graph.ops import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT, DPI = 9.0, 4.5, 110  # inches, inches, pixels an inch
BLUE, VERMILLION, GREY, PALE = "#0072B2", "#D55E00", "#707070", "#C8C8C8"
# the palette of Okabe and Ito, "Color universal design", 2008, without its yellow
COLOURS: Final = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: Final = ("-", "--", "-.", ":")
POINTS: Final = 1000  # of a curve; there are fewer pixels
MARKED: Final = 12  # a curve of so few points shows them
LARGEST: Final = 1e100  # what is larger is taken for infinite, and its inverse for zero

_LOOK: Final[dict[str, Any]] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelcolor": "#404040",
    "axes.edgecolor": "#808080",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "xtick.color": "#606060",
    "ytick.color": "#606060",
    "xtick.labelcolor": "#404040",
    "ytick.labelcolor": "#404040",
    "text.parse_math": False,  # a class may be called '$'
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib as these pictures need it, whatever the user's settings are; they come back.

    Without its log, which tells of folders and fonts that do not matter here.
    """
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        import matplotlib

        defaults = matplotlib.rcParamsDefault
        plain: Any = {key: defaults[key] for key in defaults if not key.startswith("backend")}
        with matplotlib.rc_context(plain | _LOOK), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # letters that no font here has
            yield
    finally:
        logger.setLevel(level)


def new_figure(run: str, told: str) -> Figure:
    """An empty figure that Agg draws; its title is the run's name and what is seen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI)
    FigureCanvasAgg(figure)
    title = f"{short(run, 24)}: {told}"
    figure.text(0.15 / WIDTH, 1 - 0.13 / HEIGHT, title, fontsize=11, weight="bold", va="top")
    return figure


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """New axes whose frame lies at these inches from the figure's lower left."""
    return figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))


def key(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """A legend in one line below the title, where it hides no curve."""
    figure.legend(
        handles, labels, loc="upper left", ncols=len(labels), borderpad=0, borderaxespad=0,
        columnspacing=1.6, handlelength=2.2, handletextpad=0.6,
        bbox_to_anchor=(0.15 / WIDTH, 1 - 0.42 / HEIGHT),
    )  # fmt: skip


def save(figure: Figure, path: Path) -> Path:
    """Writes a PNG file that holds neither date nor version. Raises `OSError`."""
    figure.savefig(path, format="png", metadata={"Software": None})
    return path


def short(name: object, length: int) -> str:
    """A name of the user's in one line; a long one keeps its beginning and its end."""
    text = " ".join(str(name).split())
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    if len(text) <= length:
        return text
    end = (length - 1) // 2
    return f"{text[: length - 1 - end]}…{text[-end:]}"


def tail(key: str, length: int) -> str:
    """A key of the spec in one line; of a long one its last parts, which tell it from others."""
    text = short(key, len(key))
    if len(text) <= length:
        return text
    kept = text[len(text) - length + 1 :]
    whole = kept.partition(".")[2] if len(kept.partition(".")[2]) > length // 2 else kept
    return f"…{whole}"


def compact(count: int) -> str:
    """A count in at most four letters, up to 10⁶: `9999`, `12k`."""
    return f"{count}" if count < 10_000 else f"{count / 1000:.0f}k"


def thin(count: int) -> Array:
    """Which of so many points a curve shows: all, or `POINTS` of them, first and last included."""
    return np.linspace(0, count - 1, min(count, POINTS)).round().astype(int)


def drawable(values: Array) -> Array:
    """Which values a picture can show: finite ones that leave room for arithmetic with them."""
    return np.isfinite(values) & (np.abs(values) < LARGEST)


def positive(values: Array) -> Array:
    """Which values a logarithmic axis can show."""
    return drawable(values) & (values > 1 / LARGEST)


def linear_limits(values: Array, margin: float = 0.05) -> tuple[float, float]:
    """The ends of an axis for these values, with a margin; alike values are put in the middle."""
    low, high = float(values.min()), float(values.max())
    largest = max(abs(low), abs(high))
    room = margin * (high - low)
    if high - low < 1e-6 * largest or largest < 1 / LARGEST:
        room = 0.1 * largest if largest > 1 / LARGEST else 1.0
    return low - room, high + room


def log_limits(values: Array, margin: float = 0.05, least: float = 0.7) -> tuple[float, float]:
    """As `linear_limits` for positive values on a logarithmic axis of `least` decades or more."""
    low, high = math.log10(values.min()), math.log10(values.max())
    room = max(margin * (high - low), (least - (high - low)) / 2)
    return 10 ** (low - room), 10 ** (high + room)


def log_axis(
    axes: Axes, which: Literal["x", "y"], limits: tuple[float, float], ticks: int = 7
) -> None:
    """Makes an axis logarithmic, with at most `ticks` ticks."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    set_scale, set_limits = (
        (axes.set_xscale, axes.set_xlim) if which == "x" else (axes.set_yscale, axes.set_ylim)
    )
    set_scale("log")
    set_limits(*limits)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator(log_ticks(*limits, ticks)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
    axis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers between two positive ones, at most `most`: where there are three, powers of
    ten, else 1, 2 and 5 times these.
    """
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    ticks = [10.0**exponent for exponent in range(first, last + 1)]
    if len(ticks) < 3:
        fine = [digit * 10.0**e for e in range(first - 1, last + 1) for digit in (1, 2, 5)]
        fine = [tick for tick in fine if low <= tick <= high]
        ticks = fine if len(fine) <= most or len(ticks) < 2 else ticks
    return ticks[:: -(-len(ticks) // most)]


def power(value: float) -> str:
    """A number of one digit as a tick shows it: `0.01`, `20000`, `10⁻⁵`, `2·10⁶`."""
    exponent = math.floor(math.log10(value) + 1e-9)
    if -3 <= exponent <= 4:
        return f"{value:.5g}"
    digit = round(value / 10.0**exponent)
    raised = str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{'' if digit == 1 else f'{digit}·'}10{raised}"


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Places in [0, 1] moved as little as need be until neighbours are `gap` apart.

    Less the gaps below them, the new places are the isotonic regression of the old ones, found by
    pooling adjacent violators.
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    pools: list[tuple[float, int]] = []  # mean and number
    for below, i in enumerate(order):
        mean, count = places[i] - below * gap, 1
        while pools and pools[-1][0] > mean:
            other, more = pools.pop()
            mean, count = (mean * count + other * more) / (count + more), count + more
        pools.append((mean, count))
    ceiling = max(0.0, 1 - (len(places) - 1) * gap)
    means = [min(max(mean, 0.0), ceiling) for mean, count in pools for _ in range(count)]
    moved = {i: means[below] + below * gap for below, i in enumerate(order)}
    return [moved[i] for i in range(len(places))]
