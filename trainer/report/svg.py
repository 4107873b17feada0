"""A line chart as SVG for a page: no script, no fonts, no network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Final

from trainer.report.axis import Scale, drawable
from trainer.report.style import spread

WIDTH, HEIGHT = 440, 270
LEFT, RIGHT, TOP, BOTTOM = 50, 26, 10, 36
VERTICES: Final = 800  # of a line; a screen has no more pixels for it
TOUCHED: Final = 60  # points of a line that tell their value when the pointer is on them
ROOM: Final = 7  # pixels between the least value and the axis of epochs
APART: Final = 12  # pixels between the letters at the ends of lines

Point = tuple[int, float]


@dataclass(frozen=True)
class Line:
    """A curve as (epoch, value), its letter, the name that its points tell, and its class."""

    points: Sequence[Point]
    letter: str
    name: str
    style: str


def line_chart(title: str, lines: Sequence[Line], steps: str, logarithmic: bool) -> str:
    """The curves as an `<svg>` element; its colours are the page's, by the classes of the lines.

    `steps` names what counts from left to right; the axis of values may be `logarithmic`. Values
    that a chart cannot show are left out. Empty where no curve has two points.
    """
    shown = [replace(line, points=drawable(line.points)) for line in lines]
    shown = sorted((line for line in shown if line.points), key=lambda line: -len(line.points))
    if not shown or len(shown[0].points) < 2:
        return ""
    x = Scale.of_epochs(step for line in shown for step, _ in line.points)
    y = Scale.around((value for line in shown for _, value in line.points), logarithmic)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} by {steps}">',
        *_axes(x, y, steps),
        *(part for line in shown for part in _drawn(line, x, y)),
        *_letters(shown, x, y),
        *(part for line in shown for part in _touched(line, x, y, title, steps)),
        "</svg>",
    ]
    return "\n".join(parts)


def _across(x: Scale, step: float) -> float:
    return LEFT + x.place(step) * (WIDTH - LEFT - RIGHT)


def _down(y: Scale, value: float) -> float:
    return HEIGHT - BOTTOM - ROOM - y.place(value) * (HEIGHT - BOTTOM - ROOM - TOP)


def _axes(x: Scale, y: Scale, steps: str) -> Iterator[str]:
    bottom = HEIGHT - BOTTOM
    for value, text in y.ticks(6).items():
        place = _down(y, value)
        yield f'<path class="grid" d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}"/>'
        yield _text(LEFT - 6, place + 4, text, "end")
    for value, text in x.ticks(6, whole=True).items():
        place = _across(x, value)
        yield f'<path class="axis" d="M{place:.1f} {bottom}v4"/>'
        yield _text(place, bottom + 17, text, "middle")
    yield f'<path class="axis" d="M{LEFT} {bottom}H{WIDTH - RIGHT}"/>'
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, steps, "middle")


def _text(across: float, down: float, text: str, anchor: str) -> str:
    return (
        f'<text class="tick" x="{across:.1f}" y="{down:.1f}" text-anchor="{anchor}">{text}</text>'
    )


def _drawn(line: Line, x: Scale, y: Scale) -> Iterator[str]:
    places = [
        f"{_across(x, step):.1f} {_down(y, value):.1f}"
        for step, value in thinned(line.points, VERTICES)
    ]
    yield f'<path class="line {line.style}" d="M{"L".join(places)}"/>'
    if len(places) == 1:
        left, _, top = places[0].partition(" ")
        yield f'<circle class="dot {line.style}" cx="{left}" cy="{top}" r="3"/>'


def _letters(lines: Sequence[Line], x: Scale, y: Scale) -> Iterator[str]:
    """Each letter right of its line's end, as near to it as the letters beside it let it be."""
    span = HEIGHT - BOTTOM - TOP
    for beside in _together(lines, x):
        gap = min(APART / span, 1 / len(beside))
        places = spread([(_down(y, line.points[-1][1]) - TOP) / span for line in beside], gap)
        for line, place in zip(beside, places, strict=True):
            across, down = _across(x, line.points[-1][0]) + 6, TOP + place * span + 4
            yield f'<text class="letter" x="{across:.1f}" y="{down:.1f}">{line.letter}</text>'


def _together(lines: Sequence[Line], x: Scale) -> list[list[Line]]:
    """The lines in groups that end at about the same epoch."""
    groups: list[list[Line]] = []
    last = -math.inf
    for line in sorted(lines, key=lambda line: line.points[-1][0]):
        across = _across(x, line.points[-1][0])
        if across - last >= APART:
            groups.append([])
            last = across
        groups[-1].append(line)
    return groups


def _touched(line: Line, x: Scale, y: Scale, title: str, steps: str) -> Iterator[str]:
    for step, value in thinned(line.points, TOUCHED):
        said = escape(f"{line.letter} {line.name}\n{title} {value:.5g} at {steps} {step}")
        yield (
            f'<circle class="touch {line.style}" cx="{_across(x, step):.1f}" '
            f'cy="{_down(y, value):.1f}" r="6"><title>{said}</title></circle>'
        )


def thinned(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many points, evenly spread, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[(len(points) - 1) * i // (most - 1)] for i in range(most)]
