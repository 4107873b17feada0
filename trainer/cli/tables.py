"""Tables on a terminal, as wide as it is, and as plain aligned lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from trainer.cli.streams import console
from trainer.errors import visible

GAP: Final = "  "


@dataclass
class Column:
    """A column: its title, its cells, and what may happen to it where there is no room.

    It may be cut to `least` characters; columns with the highest `rank` are left out first, and
    those of rank 0 never. `styles` are rich's, one a cell.
    """

    title: str
    cells: Sequence[str]
    right: bool = False
    least: int | None = None
    rank: int = 0
    styles: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        self.title = visible(self.title, keep="")
        self.cells = [visible(cell, keep="") for cell in self.cells]

    @property
    def width(self) -> int:
        """Characters of its widest cell."""
        return max(map(cell_len, [self.title, *self.cells]))


class Output:
    """Standard output: `width` is that of the terminal, or None where there is none."""

    def __init__(self) -> None:
        self._console = console()
        self.width = self._console.width if self._console.is_terminal else None

    def show(self, *lines: Text | str) -> None:
        """Prints lines, which are not broken."""
        for line in lines:
            shown = line if isinstance(line, Text) else visible(line)
            self._console.print(shown, soft_wrap=True)


def table(columns: Sequence[Column], width: int | None) -> tuple[list[Text], list[str]]:
    """The lines of a table, and the titles of the columns for which there is no room."""
    kept, dropped = list(columns), []
    while width is not None and _needed(kept, least=True) > width:
        rank = max(column.rank for column in kept)
        if rank == 0:
            break
        gone = next(column for column in reversed(kept) if column.rank == rank)
        kept.remove(gone)
        dropped.append(gone.title)
    widths = [column.width for column in kept]
    over = _needed(kept) - width if width is not None else 0
    for i, column in enumerate(kept):
        if column.least is not None and over > 0:
            cut = min(over, max(0, widths[i] - column.least))
            widths[i] -= cut
            over -= cut
    titles = _line([column.title for column in kept], kept, widths, ["bold"] * len(kept))
    rows = range(len(kept[0].cells))
    return [titles, *(_row(i, kept, widths) for i in rows)], dropped


def _needed(columns: Sequence[Column], least: bool = False) -> int:
    widths = [min(c.width, c.least) if least and c.least else c.width for c in columns]
    return sum(widths) + len(GAP) * (len(columns) - 1)


def _row(i: int, columns: Sequence[Column], widths: Sequence[int]) -> Text:
    styles = [column.styles[i] if column.styles else "" for column in columns]
    return _line([column.cells[i] for column in columns], columns, widths, styles)


def _line(
    cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], styles: Sequence[str]
) -> Text:
    text = Text()
    for i, (cell, column, width) in enumerate(zip(cells, columns, widths, strict=True)):
        size = cell_len(cell)
        shown = cell if size <= width else set_cell_size(cell, width - 1) + "…"
        blank = " " * (width - cell_len(shown))
        text.append(GAP if i else "")
        text.append(blank if column.right else "")
        text.append(shown, styles[i] or None)
        text.append("" if column.right else blank)
    text.rstrip()
    return text


def sheets(
    first: Column, columns: Sequence[Column], width: int | None
) -> Iterator[Sequence[Column]]:
    """The columns as several tables that fit, each beginning with the first column."""
    held: list[Column] = []
    for column in columns:
        if held and width is not None and _needed([first, *held, column]) > width:
            yield [first, *held]
            held = []
        held.append(column)
    yield [first, *held]
