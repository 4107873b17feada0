"""The graph of an explanation as one SVG: boxes with values and gradients, edges with terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.explain.explanation import Explanation, Step
from trainer.explain.page import page_data
from trainer.graph.ops import Array

WIDTH: Final = 132  # of a box, in pixels
HEIGHT: Final = 64
ACROSS: Final = 210  # from one layer to the next
DOWN: Final = 88  # from one row to the next
MARGIN: Final = 16
_LONGEST: Final = 17  # characters that fit into a box
_STYLE: Final = """\
svg { font: 13px system-ui, sans-serif; color: #1f2328; }
rect { fill: none; stroke: currentColor; }
.leaf { stroke-dasharray: 4 3; }
path { fill: none; stroke: #57606a; }
text { fill: currentColor; }
.value { fill: #0a5ea8; }
.gradient, .term { fill: #a63d00; }
.term { text-anchor: middle; }
@media (prefers-color-scheme: dark) {
  svg { color: #e6edf3; } path { stroke: #9198a1; }
  .value { fill: #79b8ff; } .gradient, .term { fill: #ffa657; }
}"""


def write_drawing(explanation: Explanation, path: Path) -> None:
    """Writes the drawing of the graph to `path`. Raises `OSError`."""
    path.write_text(draw(explanation), encoding="utf-8", newline="\n")


def draw(explanation: Explanation) -> str:
    """The drawing as text: inputs to the left, the end to the right.

    A box tells a node's formula, its value and its gradient; an edge, the term of the gradient that
    comes back along it. Above some dozens of nodes a box is a layer.
    """
    data = page_data([explanation])
    places = {box["name"]: _corner(box["at"]) for box in data["boxes"]}
    width = (data["layers"] - 1) * ACROSS + WIDTH + 2 * MARGIN
    height = max(y for _, y in places.values()) + HEIGHT + MARGIN
    title = f"{explanation.name}: {explanation.of} = {_number(explanation.loss)}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{_STYLE}\n</style>",
        *_edges(data["edges"], explanation),
    ]
    for box in data["boxes"]:
        lines += _box(box, places[box["name"]], explanation)
    return "\n".join([*lines, "</svg>", ""])


def _corner(at: Sequence[float]) -> tuple[float, float]:
    return MARGIN + at[0] * ACROSS, MARGIN + at[1] * DOWN


def _edges(edges: Sequence[Mapping[str, Any]], explanation: Explanation) -> Iterator[str]:
    for edge in edges:
        corners = [_corner(at) for at in edge["route"]]
        points = [(corners[0][0] + WIDTH, corners[0][1] + HEIGHT / 2)]
        for x, y in corners[1:-1]:
            points += [(x, y + HEIGHT / 2), (x + WIDTH, y + HEIGHT / 2)]
        points.append((corners[-1][0], corners[-1][1] + HEIGHT / 2))
        yield f'<path d="{_curve(points)}"/>'
        term = _term(explanation.index.get(edge["from"]), edge["to"])
        if term:
            (x0, y0), (x1, y1) = points[-2:]
            yield f'<text class="term" x="{(x0 + x1) / 2:.1f}" y="{(y0 + y1) / 2 - 5:.1f}">'
            yield f"{escape(term)}</text>"


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line from left to right."""
    parts = [f"M {points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (x0 + x1) / 2
        parts.append(f"C {middle:.1f} {y0:.1f}, {middle:.1f} {y1:.1f}, {x1:.1f} {y1:.1f}")
    return " ".join(parts)


def _term(step: Step | None, through: str) -> str:
    """What comes back along the edges from a node to another; nothing for arrays."""
    terms = [path.term for path in step.paths if path.through == through] if step else []
    if not terms or any(term.size > 1 for term in terms):
        return ""
    return " + ".join(_number(term.item()) for term in terms)


def _box(box: Mapping[str, Any], at: tuple[float, float], explanation: Explanation) -> list[str]:
    x, y = at
    step = explanation.index.get(box["name"])
    alone = step is not None and len(box["members"]) == 1
    kind = "leaf" if alone and step is not None and step.is_leaf else "node"
    texts = [("", _cut(_label(box, step, alone)))]
    if step is not None:
        texts += [("value", f"= {_shown(step.value)}"), ("gradient", f"∂ {_shown(step.gradient)}")]
    lines = [
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>'
    ]
    for i, (style, text) in enumerate(texts):
        mark = f' class="{style}"' if style else ""
        place = f'x="{x + 9:.1f}" y="{y + 19 + 18 * i:.1f}"'
        lines.append(f"<text{mark} {place}>{escape(text)}</text>")
    return lines


def _label(box: Mapping[str, Any], step: Step | None, alone: bool) -> str:
    """`e = c · d`; the name alone of a leaf, of a layer, or where it would not fit."""
    name = str(box["name"])
    if step is None or not alone or step.is_leaf:
        return name
    whole = f"{name} = {step.node.formula}"
    return whole if len(whole) <= _LONGEST else name


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _shown(value: Array) -> str:
    """A number, a short vector, or the norm of what is larger."""
    if value.size == 1:
        return _number(value.item())
    if value.ndim == 1 and value.size <= 3:
        text = f"[{', '.join(f'{item:.2g}' for item in value)}]"
        if len(text) <= _LONGEST - 2:
            return text
    return f"‖·‖ {_number(float(np.linalg.norm(value.ravel())))}"


def _number(value: float) -> str:
    return f"{value:.4g}"
