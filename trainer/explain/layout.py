"""Where the boxes of a graph are drawn: layers from left to right, few crossings, short edges.

Layered drawing after Sugiyama, Tagawa and Toda (IEEE Trans. SMC 11, 1981): boxes get layers by
their depth, an edge over several layers gets a bend in each, barycentres order each layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

SWEEPS: Final = 12  # over the layers
BEND: Final = 0.5  # of a row: an edge needs less room than a box
LIGHT: Final = 1e-3  # how much the place of a leaf counts beside that of what is computed

Place = tuple[float, float]
_Cell = str | tuple[int, int]  # a box, or the bend (edge, layer)


@dataclass(frozen=True)
class Layout:
    """The places of boxes as (layer, row), and of each edge the places that it passes."""

    places: Mapping[str, Place]
    routes: Sequence[Sequence[Place]]
    layers: int
    rows: float


def group_nodes(inputs: Mapping[str, Sequence[str]], most: int) -> dict[str, list[str]]:
    """Groups of nodes by name, in an order in which each stands after those that it takes.

    `inputs` holds the nodes in topological order, each with the nodes that it takes. Up to `most`
    nodes every node is a group. Beyond, nodes whose names agree up to the first "/" are one group,
    and groups that take each other in a circle are one, with the name of the largest.
    """
    group = {name: name.partition("/")[0] if len(inputs) > most else name for name in inputs}
    above: dict[str, set[str]] = {name: set() for name in group.values()}
    for name, sources in inputs.items():
        above[group[name]] |= {group[source] for source in sources} - {group[name]}
    reach = {name: _reached(name, above) for name in above}
    size = {name: sum(g == name for g in group.values()) for name in above}
    merged = {
        name: max((other for other in above if other == name or
                   (other in reach[name] and name in reach[other])), key=lambda o: size[o])
        for name in above
    }  # fmt: skip
    members: dict[str, list[str]] = {}
    for name in inputs:
        members.setdefault(merged[group[name]], []).append(name)
    depth = {name: len({merged[r] for r in reach[name]} - {name}) for name in members}
    grouped = len(members) < len(inputs)
    return {name: members[name] for name in sorted(members, key=lambda m: grouped * depth[m])}


def _reached(name: str, above: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [*above[name]]
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += above[other]
    return found


def lay_out(boxes: Sequence[str], edges: Sequence[tuple[str, str]]) -> Layout:
    """The places of `boxes`, which stand in topological order; `edges` are (from, to)."""
    layer = _depths(boxes, edges)
    cells: list[list[_Cell]] = [[] for _ in range(max(layer.values()) + 1)]
    for box in boxes:
        cells[layer[box]].append(box)
    chains: list[list[_Cell]] = []
    for i, (source, target) in enumerate(edges):
        bends: list[_Cell] = [(i, at) for at in range(layer[source] + 1, layer[target])]
        for at, bend in enumerate(bends, layer[source] + 1):
            cells[at].append(bend)
        chains.append([source, *bends, target])
    links = [pair for chain in chains for pair in pairwise(chain)]
    rows = _rows(_ordered(cells, links), links)
    places = {cell: (float(at), rows[cell]) for at, column in enumerate(cells) for cell in column}
    return Layout(
        {box: places[box] for box in boxes},
        [[places[cell] for cell in chain] for chain in chains],
        len(cells),
        max(rows.values()) + 1,
    )


def _depths(boxes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The layer of each box: after all that it takes; a leaf stands just before what takes it."""
    depth = dict.fromkeys(boxes, 0)
    for box in boxes:
        depth[box] = max((depth[a] + 1 for a, b in edges if b == box), default=0)
    targets = {b for _, b in edges}
    for box in boxes:
        if box not in targets:
            depth[box] = min((depth[b] - 1 for a, b in edges if a == box), default=0)
    return depth


def _ordered(cells: list[list[_Cell]], links: Sequence[tuple[_Cell, _Cell]]) -> list[list[_Cell]]:
    """The cells of each layer from top to bottom: the order with the fewest crossings found."""
    best, least = [list(column) for column in cells], _crossings(cells, links)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for column in cells if forward else reversed(cells):
            at = {cell: float(i) for other in cells for i, cell in enumerate(other)}
            middle = {cell: _mean(_beside(cell, links, forward), at, at[cell]) for cell in column}
            column.sort(key=middle.__getitem__)
        crossings = _crossings(cells, links)
        if crossings < least:
            best, least = [list(column) for column in cells], crossings
    return best


def _beside(
    cell: _Cell, links: Sequence[tuple[_Cell, _Cell]], left: bool | None = None
) -> Iterator[_Cell]:
    for a, b in links:
        if b == cell and left is not False:
            yield a
        if a == cell and left is not True:
            yield b


def _mean(cells: Iterator[_Cell], at: Mapping[_Cell, float], otherwise: float) -> float:
    places = [at[cell] for cell in cells]
    return sum(places) / len(places) if places else otherwise


def _crossings(cells: list[list[_Cell]], links: Sequence[tuple[_Cell, _Cell]]) -> int:
    at = {cell: (layer, i) for layer, column in enumerate(cells) for i, cell in enumerate(column)}
    ends = sorted((at[a], at[b]) for a, b in links)
    return sum(
        a[0] == c[0] and a[1] < c[1] and b[1] > d[1]
        for i, (a, b) in enumerate(ends) for c, d in ends[i + 1 :]
    )  # fmt: skip


def _rows(cells: list[list[_Cell]], links: Sequence[tuple[_Cell, _Cell]]) -> dict[_Cell, float]:
    """The row of each cell, from 0: near to what it is linked to, and apart from its neighbours.

    What is computed comes first, so that it stands in straight lines; leaves find room beside it.
    """
    rows = {cell: float(i) for column in cells for i, cell in enumerate(column)}
    leaves = {a for a, _ in links} - {b for _, b in links}
    others = [(a, b) for a, b in links if a not in leaves]
    linked = {cell for link in others for cell in link}
    sides = [True, False] * SWEEPS + [None, None]  # by those to the left, to the right, by both
    for left in sides:
        for column in reversed(cells) if left is False else cells:
            wanted = [
                _mean(_beside(cell, others, left) if cell in linked else _beside(cell, links),
                      rows, rows[cell])
                for cell in column
            ]  # fmt: skip
            weights = [LIGHT if cell in leaves else 1.0 for cell in column]
            gaps = [(_room(a) + _room(b)) / 2 for a, b in pairwise(column)]
            rows.update(zip(column, _apart(wanted, weights, gaps), strict=True))
    top = min(rows.values())
    return {cell: round(row - top, 3) for cell, row in rows.items()}


def _room(cell: _Cell) -> float:
    return 1.0 if isinstance(cell, str) else BEND


def _apart(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The places nearest to those wanted, in the same order, at least the gaps apart.

    Weighted least squares: neighbours that are too near are pooled at their mean.
    """
    offsets = [sum(gaps[:i]) for i in range(len(wanted))]
    pools: list[tuple[float, float, int]] = []  # place, weight, count
    for place, weight, offset in zip(wanted, weights, offsets, strict=True):
        pools.append((place - offset, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, v, m), (b, w, n) = pools[-2:]
            pools[-2:] = [((a * v + b * w) / (v + w), v + w, m + n)]
    means = [mean for mean, _, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
