"""What is odd about a table, by kind: each kind is one function from columns to findings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from trainer.data import Table, listing
from trainer.graph.ops import Array
from trainer.survey.columns import Cells

FindingKind = Literal[
    "empty", "constant", "numbering", "copy", "leak", "missing", "rare", "repeated", "shared",
    "ordered", "grouped", "shift",
]  # fmt: skip

NEARLY: Final = 0.999
"""The share of cells from which on a column is nearly constant."""
MOSTLY: Final = 0.5
"""The share of missing cells from which on a column is told."""
FEW: Final = 10
"""Rows that a class should have at least."""
RARE: Final = 0.1
"""A class is rare below this part of the rows that it would have if all had as many."""
TELLS: Final = 0.99
"""How much of the target one column may explain before it is a leak; see `explained`."""
SHIFT: Final = 0.1
"""How far the distributions of two parts may be apart, at least, before it is told."""
_LEVEL: Final = 0.001
"""The chance by which parts of one distribution would be told to differ, over all columns."""
_PIECES: Final = 50
"""Into how many pieces numbers are cut to see what they tell of the target."""
_IDS: Final = re.compile(
    r"(?i)(.*[_\W])?(id|ids|key|uuid|guid|index|idx|rownames?|row|row_?(no|num|number|id)|nr|no"
    r"|record|serial|unnamed.*)|.+I[dD]|.+_?(id|nr|no)"
)
_TIMES: Final = re.compile(r"(?i).*(year|yr|date|time|day|month|week|quarter|hour|age|period).*")


@dataclass(frozen=True)
class Finding:
    """One thing that people should know: of which columns, what it is, and what to do.

    `grave` tells that training on it would mislead. `share` is the part of cells or rows that it
    concerns, or how strong it is, from 0 to 1.
    """

    kind: FindingKind
    columns: tuple[str, ...]
    message: str
    advice: str = ""
    grave: bool = False
    share: float = 1.0


# Single columns ----------------------------------------------------------------------------------


def idle(columns: Sequence[Cells]) -> Iterator[Finding]:
    """Columns that tell nothing: empty, or the same in all rows, or in nearly all."""
    for cells in columns:
        rows, (values, counts) = len(cells.values), cells.counted
        if not len(values):
            yield Finding("empty", (cells.name,), "has no value in any row", "leave it out")
            continue
        most = int(counts.argmax())
        if counts[most] == rows or (len(values) == 1 and cells.are_amounts):
            where = "all rows" if counts[most] == rows else "all rows that have a value"
            message = f"is {cells.show(float(values[most]))!r} in {where}"
            yield Finding("constant", (cells.name,), message, "leave it out")
        elif counts[most] >= NEARLY * rows and rows - counts[most] < FEW:
            message = f"is {cells.show(float(values[most]))!r} in {counts[most]:,} of {rows:,} rows"
            yield Finding("constant", (cells.name,), message, "leave it out", share=NEARLY)


def gaps(columns: Sequence[Cells]) -> Iterator[Finding]:
    """Columns that are mostly missing."""
    for cells in columns:
        rows = len(cells.values)
        missing = rows - len(cells.present)
        if MOSTLY * rows <= missing < rows:
            message = f"has no value in {missing:,} of {rows:,} rows"
            advice = "say with `indicator: true` that the gap itself may tell something"
            yield Finding("missing", (cells.name,), message, advice, share=missing / rows)


def numbering(columns: Sequence[Cells]) -> Iterator[Finding]:
    """Columns of whole numbers that are all different and number the rows."""
    for cells in columns:
        values, rows = cells.values, len(cells.values)
        if cells.column.kind != "numeric" or cells.distinct < rows or rows < FEW:
            continue
        if not (values == np.floor(values)).all() or _TIMES.fullmatch(cells.name):
            continue
        steps = np.diff(cells.counted[0])
        counts = bool((steps == steps[0]).all())
        rises = bool((np.diff(values) > 0).all())
        if counts or (_IDS.fullmatch(cells.name) and (rises or rows >= 10 * FEW)):
            first, last = (cells.show(float(v)) for v in cells.counted[0][[0, -1]])
            what = "numbers the rows" if counts or rises else "has another number in every row"
            message = f"{what}, from {first} to {last}"
            yield Finding("numbering", (cells.name,), message, "leave it out")


# Columns beside each other -----------------------------------------------------------------------


def copies(columns: Sequence[Cells]) -> Iterator[Finding]:
    """Columns that say the same as an earlier one: the same values, or the same categories under
    other names.
    """
    known: dict[bytes, str] = {}
    for cells in columns:
        if cells.distinct < 2:
            continue
        other = known.setdefault(_same_rows(cells), cells.name)
        if other != cells.name:
            message = f"says in every row the same as '{other}'"
            yield Finding("copy", (cells.name, other), message, "leave one of them out")


def _same_rows(cells: Cells) -> bytes:
    """What two columns share if each value of the one goes with one value of the other; of amounts
    that are nearly all different, if the values are the same.
    """
    filled = np.where(np.isnan(cells.values), np.inf, cells.values) + 0.0
    if cells.are_amounts and 2 * cells.distinct > len(filled):
        return filled.tobytes()
    _, first, places = np.unique(filled, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[places].astype(np.int64).tobytes()


def leaks(columns: Sequence[Cells], target: Cells) -> Iterator[Finding]:
    """Columns that tell the target nearly by themselves."""
    if target.distinct < 2:
        return
    for cells in columns:
        if cells.distinct < 2 or len(cells.present) < len(cells.values) / 2:
            continue
        share = explained(cells, target)
        if share >= TELLS:
            message = f"tells '{target.name}' by itself ({share:.1%} of it)"
            advice = "leave it out, unless it is known before the target is"
            yield Finding("leak", (cells.name,), message, advice, grave=True, share=share)


def explained(cells: Cells, target: Cells) -> float:
    """How much of the target a column tells, from 0 to 1: in each half of the rows what is said by
    the other half. Of numbers it is R², of classes the part of the mistakes of always saying the
    most frequent one that is avoided.
    """
    places = _pieces(cells)
    odd = np.arange(len(places)) % 2 == 1
    halves = [(~odd, odd), (odd, ~odd)]
    if target.are_amounts:
        found = [_r2(places[a], target.values[a], places[b], target.values[b]) for a, b in halves]
        if cells.are_amounts:
            found = [max(*found, _linear(cells.values, target.values))]
    else:
        codes = target.values.astype(np.int64)
        found = [_avoided(places[a], codes[a], places[b], codes[b]) for a, b in halves]
    return max(0.0, float(np.mean(found)))


def _pieces(cells: Cells) -> Array:
    """Each row's place among the values, or among pieces of as many rows; missing ones are one."""
    values = np.where(np.isnan(cells.values), np.inf, cells.values)
    if cells.are_amounts and cells.distinct > _PIECES:
        edges = np.unique(np.quantile(cells.present, np.linspace(0, 1, _PIECES + 1)[1:-1]))
        return np.asarray(np.searchsorted(edges, values, side="right") + (values == np.inf))
    return np.asarray(np.unique(values, return_inverse=True)[1])


def _r2(known: Array, y: Array, asked: Array, truth: Array) -> float:
    """R² of the means of the pieces; pieces that are not known have the mean of all."""
    count = np.bincount(known, minlength=asked.max() + 1)
    total = np.bincount(known, y, minlength=len(count))
    means = np.where(count > 0, total / np.maximum(count, 1), y.mean())
    spread = ((truth - truth.mean()) ** 2).sum()
    return 1 - float(((truth - means[asked]) ** 2).sum() / spread) if spread > 0 else 0.0


def _linear(x: Array, y: Array) -> float:
    both = ~np.isnan(x)
    x, y = x[both], y[both]
    if len(x) < len(both) or not (x.std() > 0 and y.std() > 0):
        return 0.0
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def _avoided(known: Array, y: Array, asked: Array, truth: Array) -> float:
    """Of the mistakes of the most frequent class, the part that the pieces' own ones avoid."""
    classes = int(max(y.max(), truth.max())) + 1
    count = np.zeros((int(max(known.max(), asked.max())) + 1, classes))
    np.add.at(count, (known, y), 1)
    often = int(np.bincount(y, minlength=classes).argmax())
    said = np.where(count.sum(axis=1) > 0, count.argmax(axis=1), often)
    trivial, ours = (truth != often).sum(), (truth != said[asked]).sum()
    return 1 - float(ours / trivial) if trivial else 0.0


# Rows --------------------------------------------------------------------------------------------


def rare_classes(target: Cells) -> Iterator[Finding]:
    """Classes of few rows."""
    values, counts = target.counted
    even = counts.sum() / max(1, len(counts))
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        if count < FEW or count < RARE * even:
            message = f"has {target.show(value)!r} in {count:,} of {counts.sum():,} rows"
            advice = "`model.class_weights: balanced` lets each class count alike"
            share = count / counts.sum()
            yield Finding("rare", (target.name,), message, advice, share=share)


def repeated(table: Table, parts: Mapping[str, Array]) -> Iterator[Finding]:
    """Rows that stand several times, and those for testing that train as well."""
    whole = np.column_stack([table.x, table.target.reshape(len(table.x), -1)])
    marked = np.ascontiguousarray(np.where(np.isnan(whole), np.inf, whole) + 0.0)
    seen = marked.view(np.dtype((np.void, marked.dtype.itemsize * marked.shape[1]))).ravel()
    _, first, places = np.unique(seen, return_index=True, return_inverse=True)
    again = len(seen) - len(first)
    if not again:
        return
    rows = len(seen)
    message = f"{again:,} of {rows:,} rows stand in the table before, in all their cells"
    share = again / rows
    yield Finding("repeated", (), message, "are they meant to count again?", share=share)
    known = np.zeros(len(first), bool)
    known[places[parts["train"]]] = True
    for part in ("validation", "test"):
        shared = int(known[places[parts.get(part, np.array([], np.int64))]].sum())
        if shared:
            message = f"{shared:,} of {len(parts[part]):,} {part} rows stand in the training rows"
            advice = "a metric of such rows tells what was learnt by heart"
            share = shared / len(parts[part])
            yield Finding("shared", (), message, advice, grave=share > SHIFT, share=share)


def ordered(columns: Sequence[Cells]) -> Iterator[Finding]:
    """Dates in whose order the rows stand."""
    for cells in columns:
        dated = cells.column.kind == "date" or _is_year(cells)
        if dated and len(cells.present) == len(cells.values) and cells.distinct > FEW:
            steps = np.diff(cells.values)
            if (steps >= 0).all() or (steps <= 0).all():
                message = "has the dates in whose order the rows stand"
                advice = f"`data.split.time: {cells.name}` tests on the latest rows"
                yield Finding("ordered", (cells.name,), message, advice)


def _is_year(cells: Cells) -> bool:
    values = cells.present
    named = re.fullmatch(r"(?i).*year.*|.*jahr.*", cells.name) is not None
    whole = len(values) > 0 and bool((values == np.floor(values)).all())
    return named and whole and values.min() >= 1000 and values.max() <= 2200


def grouped(columns: Sequence[Cells]) -> Iterator[Finding]:
    """Identifiers that stand in several rows each, which are then no examples by themselves."""
    for cells in columns:
        whole = bool((cells.present == np.floor(cells.present)).all())
        some = FEW <= cells.distinct <= len(cells.values) / 2
        if some and whole and cells.column.kind != "date" and _IDS.fullmatch(cells.name):
            message = f"names {cells.distinct:,} things, each in several rows"
            advice = f"`data.split.group: {cells.name}` keeps the rows of each together"
            yield Finding("grouped", (cells.name,), message, advice)


# Parts -------------------------------------------------------------------------------------------


def shifts(columns: Sequence[Cells], parts: Mapping[str, Array]) -> Iterator[Finding]:
    """Columns that are distributed otherwise in the test rows than in the training rows; where
    there are none, in the validation rows.
    """
    part = next((p for p in ("test", "validation") if len(parts.get(p, ()))), None)
    if part is None or not columns:
        return
    train, other = parts["train"], parts[part]
    n, m = len(train), len(other)
    bound = np.sqrt(np.log(2 * len(columns) / _LEVEL) / 2 * (n + m) / (n * m))
    for cells in columns:
        apart = distance(cells, train, other)
        free = 1.0 if cells.are_amounts else np.sqrt(max(1, cells.distinct - 1))
        if apart >= max(SHIFT, bound * free):
            message = f"differs between training and {part} rows by {apart:.0%}"
            advice = "what was learnt of it may not hold there"
            yield Finding("shift", (cells.name,), message, advice, share=apart)


def distance(cells: Cells, first: Array, second: Array) -> float:
    """How far a column's distributions in two parts are apart, from 0 to 1: of amounts the largest
    distance of the distribution functions (Kolmogorov and Smirnov), else half the sum of the
    differences of all shares. Missing cells count as a value, above all others.
    """
    values = np.where(np.isnan(cells.values), np.inf, cells.values)
    all_values, places = np.unique(values, return_inverse=True)
    shares = [
        np.bincount(places[rows], minlength=len(all_values)) / len(rows) for rows in (first, second)
    ]
    gap = shares[0] - shares[1]
    if cells.are_amounts:
        return float(np.abs(np.cumsum(gap)).max())
    return float(np.abs(gap).sum() / 2)


def named(findings: Sequence[Finding], kind: FindingKind) -> str:
    """The columns of a kind, with commas between them."""
    return listing([each.columns[0] for each in findings if each.kind == kind], 8)
