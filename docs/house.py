"""Draws the house: the rooms in the order in which they may import, and the way of the data through
them. `docs/generate.py` writes it to `images/house.svg`; a test holds its rooms to that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

FLOORS: Final = (
    ("what all need", (
        ("codes", "what errors mean"), ("addresses", "without secrets"), ("errors", "one family"),
        ("extras", "names to install"), ("inputs", "files to read"), ("numerics", "equal bits"),
        ("randomness", "draws by counter"), ("machine", "memory, cores"),
        ("outputs", "written whole"), ("stored", "JSON, typed"),
    )),
    ("what is declared", (
        ("graph", "nodes, ops, gradients"), ("metrics", "one table"), ("spec", "YAML, checked"),
    )),
    ("what computes", (
        ("data", "read, split, fit, encode"), ("survey", "what a table holds"),
        ("drafting", "a first spec"), ("engine", "runs a graph"),
        ("network", "a spec as nodes"), ("training", "steps and epochs"),
    )),
    ("what is kept and shown", (
        ("checkpoints", "the run's folder"), ("explain", "values, paths"),
        ("export", "NumPy, ONNX"), ("report", "pictures, findings"), ("tracking", "MLflow"),
    )),
    ("what is called", (
        ("runs", "train, resume"), ("doctor", "does it work?"),
        ("workers", "where it trains"), ("sweeps", "several runs"),
        ("service", "jobs over HTTP"), ("client", "asks a service"),
    )),
    ("the rim", (("cli", "parse, call, print, exit code"),)),
)  # fmt: skip
"""The rooms, each with what it holds; a room imports only from those before it."""

WAY: Final = (
    (("YAML", "a spec, and its data"),),
    (("spec", "one tree; all mistakes at once"),),
    (("data", "read → split → fit → encode"), ("network", "layers and loss as nodes")),
    (("training", "gradients and SGD as nodes, too"),),
    (("engine", "runs the steps"),),
    (("runs", "hands on each event as it comes"),),
    (("checkpoints", "journal and checkpoints: the run's folder"),),
    (("tracking", "recorder → MLflow"), ("export", "and resume, predict, compare")),
)
"""The way of the data: rooms side by side at each step."""

WIDTH, LEFT, RIGHT = 1060, 560, 400
ROW, GAP, PAD = 46, 8, 20
STYLE: Final = """
  svg { font-family: system-ui, sans-serif; }
  .card { fill: #ffffff; stroke: #d0d7de; }
  .floor { fill: #f6f8fa; stroke: #d0d7de; }
  .room { fill: #ffffff; stroke: #8c959f; }
  .on { fill: #ddf4ff; stroke: #0969da; }
  .name { font-size: 13px; font-weight: 600; fill: #1f2328; text-anchor: middle; }
  .says { font-size: 10px; fill: #57606a; text-anchor: middle; }
  .title { font-size: 15px; font-weight: 600; fill: #1f2328; }
  .label { font-size: 11px; fill: #57606a; }
  .way { stroke: #0969da; stroke-width: 1.6; fill: none; marker-end: url(#head); }
"""


def drawing() -> str:
    """The whole drawing as SVG."""
    house, below = _house(PAD + 34)
    way, end = _way(PAD + 34)
    height = max(below, end) + PAD
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{_words()}">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#0969da"/></marker></defs>',
        f'<rect class="card" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="12"/>',
        f'<text class="title" x="{PAD}" y="{PAD + 16}">The house</text>',
        f'<text class="label" x="{PAD + 110}" y="{PAD + 16}">a room imports only from those above, '
        "and to the left of it</text>",
        f'<text class="title" x="{WIDTH - PAD - RIGHT}" y="{PAD + 16}">The way of the data</text>',
        *house,
        *way,
        "</svg>",
    ]) + "\n"  # fmt: skip


def _words() -> str:
    """The drawing for who cannot see it."""
    floors = "; ".join(", ".join(name for name, _ in rooms) for _, rooms in FLOORS)
    way = ", then ".join(" and ".join(name for name, _ in step) for step in WAY)
    return escape(f"The rooms, from the top: {floors}. The way of the data: {way}.", quote=True)


def _house(top: int) -> tuple[list[str], int]:
    """The floors, and where they end."""
    shown: list[str] = []
    used = {name for step in WAY for name, _ in step}
    for title, rooms in FLOORS:
        rows = [rooms[i : i + 5] for i in range(0, len(rooms), 5)] if len(rooms) > 6 else [rooms]
        height = 20 + len(rows) * (ROW + GAP) + 4
        shown.append(_box("floor", PAD, top, LEFT, height, 8))
        shown.append(f'<text class="label" x="{PAD + 10}" y="{top + 15}">{escape(title)}</text>')
        for i, row in enumerate(rows):
            shown += _row(row, used, PAD + GAP, top + 20 + i * (ROW + GAP), LEFT - 2 * GAP)
        top += height + GAP
    return shown, top - GAP


def _way(top: int) -> tuple[list[str], int]:
    """The steps one below the other with arrows, and where they end."""
    start, shown = WIDTH - PAD - RIGHT, []
    space = 24
    for number, step in enumerate(WAY):
        if number:
            for x in _middles(max(len(step), len(WAY[number - 1])), start):
                y = top - space
                shown.append(f'<path class="way" d="M{x:g} {y + 2} V{top - 2}"/>')
        shown += _row(step, {name for name, _ in step}, start, top, RIGHT)
        top += ROW + space
    return shown, top - space


def _middles(count: int, start: float) -> Iterator[float]:
    width = (RIGHT - GAP * (count - 1)) / count
    for i in range(count):
        yield start + i * (width + GAP) + width / 2


def _row(
    rooms: Sequence[tuple[str, str]], used: set[str], left: float, top: float, width: float
) -> Iterator[str]:
    each = (width - GAP * (len(rooms) - 1)) / len(rooms)
    for i, (name, says) in enumerate(rooms):
        x = left + i * (each + GAP)
        yield _box("room on" if name in used else "room", x, top, each, ROW, 6)
        middle = x + each / 2
        yield f'<text class="name" x="{middle:g}" y="{top + 20:g}">{escape(name)}</text>'
        yield f'<text class="says" x="{middle:g}" y="{top + 35:g}">{escape(says)}</text>'


def _box(kind: str, x: float, y: float, width: float, height: float, radius: int) -> str:
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
        f'rx="{radius}"/>'
    )


if __name__ == "__main__":
    print(drawing(), end="")
