"""A line chart of characters: curves of braille dots, which letters tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from trainer.report.axis import Scale

WIDTH, HEIGHT = 70, 15  # characters, with the scale's numbers and the letters
LETTERS_WIDTH: Final = 4
VISIBLE: Final = 12  # characters of a line that one must see to mark it within
COLOURS: Final = ("cyan", "magenta", "green", "red", "yellow", "blue", "bright_black")
# the bits of a braille character: its dots in two columns of four, from the top
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))

Curve = Sequence[tuple[int, float]]


def draw(
    curves: Sequence[Curve], letters: Sequence[str], steps: str, logarithmic: bool, width: int
) -> list[Text]:
    """Lines of text that show the curves in at most `width` characters.

    `curves[i]`, as (epoch, value), ends in `letters[i]`, and has it within where it is long;
    empty ones are left out, and at least one is not. `steps` names what counts from left to
    right; the axis of values may be `logarithmic`.
    """
    x = Scale.of_epochs(step for curve in curves for step, _ in curve)
    y = Scale.around((value for curve in curves for _, value in curve), logarithmic)
    ticks = {HEIGHT - 1 - round(y.place(v) * (HEIGHT - 1)): t for v, t in y.ticks(6).items()}
    gutter = max(map(len, ticks.values()), default=0)
    columns = max(10, min(WIDTH, width) - gutter - 2 - LETTERS_WIDTH)
    canvas = _Canvas(columns, HEIGHT)
    _draw_lines(canvas, curves, letters, x, y)
    rows = []
    for row, cells in enumerate(canvas.rows()):
        axis = "┤" if row in ticks else "│"
        rows.append(Text(f"{ticks.get(row, ''):>{gutter}} {axis}").append_text(cells))
    return [*rows, *_epochs(x, gutter, columns, steps)]


def style(i: int) -> str:
    """The colour of the i-th curve on a terminal that has colours."""
    return COLOURS[i % len(COLOURS)]


def _draw_lines(
    canvas: _Canvas, curves: Sequence[Curve], letters: Sequence[str], x: Scale, y: Scale
) -> None:
    """Long curves first: a short one may be the beginning of a long one, and lies on it."""
    ends = {}
    for i in sorted(range(len(curves)), key=lambda i: -len(curves[i])):
        if curves[i]:
            places = [(x.place(step), y.place(value)) for step, value in curves[i]]
            ends[i] = canvas.line(places, i)
    for i, end in sorted(ends.items()):
        canvas.letter(letters[i], end, i)
        canvas.letter_within(letters[i], i, (i + 1) / (len(curves) + 1))


def _epochs(x: Scale, gutter: int, columns: int, title: str) -> list[Text]:
    """The axis of epochs and its numbers below."""
    line, numbers = ["─"] * columns, [" "] * (columns + LETTERS_WIDTH)
    for value, text in x.ticks(max(2, columns // 12), whole=True).items():
        column = round(x.place(value) * (columns - 1))
        line[column] = "┬"
        start = min(max(0, column - len(text) // 2), len(numbers) - len(text))
        numbers[start : start + len(text)] = text
    margin = " " * (gutter + 1)
    below = "".join(numbers).rstrip()
    return [Text(f"{margin}└{''.join(line)}"), Text(f"{margin} {below}  {title}")]


class _Canvas:
    """Characters of 2 by 4 dots each, with room for letters at their right."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns = columns
        self._rows = rows
        self._dots: dict[tuple[int, int], int] = {}
        self._letters: dict[tuple[int, int], str] = {}
        self._curve: dict[tuple[int, int], int] = {}

    def line(self, places: Sequence[tuple[float, float]], curve: int) -> tuple[int, int]:
        """Draws a line through places in [0, 1]²; returns the row and column of its end."""
        across, up = 2 * self._columns - 1, 4 * self._rows - 1
        points = [(round(x * across), round((1 - y) * up)) for x, y in places]
        for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
            steps = max(abs(x1 - x0), abs(y1 - y0), 1)
            for i in range(steps + 1):
                self._dot(x0 + round((x1 - x0) * i / steps), y0 + round((y1 - y0) * i / steps),
                          curve)  # fmt: skip
        return points[-1][1] // 4, points[-1][0] // 2

    def _dot(self, x: int, y: int, curve: int) -> None:
        cell = y // 4, x // 2
        self._dots[cell] = self._dots.get(cell, 0) | _DOTS[y % 4][x % 2]
        self._curve[cell] = curve

    def letter(self, letter: str, end: tuple[int, int], curve: int) -> None:
        """Puts a letter right of the end of a line, or as near to there as it is free."""
        for cell in self._around(*end):
            if cell not in self._letters:
                self._letters[cell] = letter
                self._curve[cell] = curve
                return

    def letter_within(self, letter: str, curve: int, share: float) -> None:
        """Puts a letter on a line, after this share of what one sees of it, if that is enough."""
        seen = [cell for cell, owner in self._curve.items() if owner == curve]
        if len(seen) >= VISIBLE:
            seen.sort(key=lambda cell: cell[1])
            self._letters.setdefault(seen[int(share * len(seen))], letter)

    def _around(self, row: int, column: int) -> Iterator[tuple[int, int]]:
        for distance in range(self._rows):
            for near in dict.fromkeys((row - distance, row + distance)):
                if 0 <= near < self._rows:
                    room = min(column + 1 + LETTERS_WIDTH, self._columns + LETTERS_WIDTH)
                    yield from ((near, place) for place in range(column + 1, room))

    def rows(self) -> Iterator[Text]:
        """The lines of text, without what is blank at their ends."""
        for row in range(self._rows):
            text = Text()
            for column in range(self._columns + LETTERS_WIDTH):
                cell = row, column
                shown = self._letters.get(cell) or chr(0x2800 + self._dots.get(cell, 0))
                bold = "bold " * (cell in self._letters)
                blank = shown == "\u2800"
                text.append(" " if blank else shown,
                            None if blank else bold + style(self._curve[cell]))  # fmt: skip
            text.rstrip()
            yield text
