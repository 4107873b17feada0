"""What is odd about a column by itself: each kind is one function from a column to findings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import numpy as np

from trainer.data import listing
from trainer.data.columns.numerals import number_of
from trainer.data.columns.table import show
from trainer.graph.ops import Array
from trainer.survey.columns import Cells

FindingKind = Literal[
    "leak", "shared", "empty", "constant", "filler", "total", "spelling", "numbering", "copy",
    "repeated", "rare", "missing", "ordered", "grouped", "shift",
]  # fmt: skip
KINDS: Final[tuple[FindingKind, ...]] = get_args(FindingKind)
"""In the order in which they are told."""

NEARLY: Final = 0.999
"""The share of cells from which on a column is nearly constant."""
MOSTLY: Final = 0.5
"""The share of missing cells from which on a column is told."""
FEW: Final = 10
"""Rows that a class should have at least, and that say too little of others."""
RARE: Final = 0.1
"""A class is rare below this part of the rows that it would have if all had as many."""
_AGAIN: Final = 0.9
"""The share of different values from which on identifiers are taken for those of rows."""
_OTHERS: Final = 3
"""Different numbers from which one may be far."""
_NAMED: Final = 5
"""Rare classes that are named."""

_THINGS: Final = (
    "account|car|case|client|company|customer|device|document|employee|file|firm|hospital|house"
    "|household|image|invoice|item|member|message|order|package|page|patient|person|player|product"
    "|row|sample|school|session|shop|store|student|subject|team|ticket|transaction|unit|user"
    "|vehicle"
)
_IDS: Final = re.compile(
    rf"(?:(?i:(?:.*[_\W])?(?:ids?|uuid|guid)|(?:.*[_\W])?(?:{_THINGS})[_ ]?(?:ids?|nr|no))"
    r"|.*[a-z](?:Id|ID))"
)
"""Names of columns that name things: `id`, `patient_id`, `userid`, `storeId`."""
_NUMBERS: Final = re.compile(
    r"(?i)(?:.*[_\W])?"
    r"(?:key|index|idx|nr|rownames?|row|row_?(?:num|number)|record|serial|unnamed.*)"
)
"""Further names of columns that number rows."""
_NINES: Final = re.compile(r"-?9+\.?9*|9999-.*")
"""What is written where there is no number, and no date."""
_NAME_IT: Final = "if that stands for nothing, name it in the source's `missing_values`"
_TOTAL: Final = re.compile(
    r"(?i)(?:(?:grand |sub)?totals?|sum|summe|gesamt(?:summe)?|insgesamt|somme|totale|suma|average"
    r"|mean|mittelwert|durchschnitt|moyenne|media)[\s:.]*"
)
_TIMES: Final = re.compile(
    r"(?i).*(?:year|yr|date|time|day|month|week|quarter|hour|minute|second|epoch|age|period).*"
)


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

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def idle(cells: Cells) -> Iterator[Finding]:
    """A column that tells nothing: empty, or the same in all rows, or in nearly all."""
    rows, (values, counts) = len(cells.values), cells.counted
    if rows < 2:
        return
    if not len(values):
        yield Finding("empty", (cells.name,), "has no value in any row", "leave it out")
        return
    most = int(counts.argmax())
    if counts[most] < NEARLY * rows or counts[most] <= rows - FEW:
        return
    where = "all rows" if counts[most] == rows else f"{counts[most]:,} of {rows:,} rows"
    message = f"is {cells.tell(float(values[most]))} in {where}"
    share = counts[most] / rows
    yield Finding("constant", (cells.name,), message, "leave it out", share=float(share))


def gaps(cells: Cells) -> Iterator[Finding]:
    """A column that is mostly missing, or of which only the gaps can tell something."""
    rows, missing = len(cells.values), cells.missing
    alone = cells.distinct == 1 and missing >= FEW
    if cells.distinct and missing and (missing >= MOSTLY * rows or alone):
        message = f"has no value in {missing:,} of {rows:,} rows"
        if alone:
            message += f" and is {cells.tell(float(cells.counted[0][0]))} in all others"
        advice = "say with `indicator: true` that the gap itself may tell something"
        yield Finding("missing", (cells.name,), message, advice, share=missing / rows)


def fillers(cells: Cells) -> Iterator[Finding]:
    """Numbers of nines that are farther from all others than these are from each other, as -999
    is among ages: often they stand for a missing value. Of dates those of the year 9999.
    """
    (values, counts), rows = cells.counted, len(cells.values)
    if rows < FEW:
        return
    if not cells.are_amounts:
        yield from _filling_words(cells)
        return
    near = values / 4  # whose differences are finite
    low, high = 0, len(values) - 1  # of those that are none
    while high - low >= _OTHERS or (high - low == 2 and _are_classes_and_one(values)):
        if near[low + 1] - near[low] > near[high] - near[low + 1]:
            at, (low, high) = low, (low + 1, high)
        elif near[high] - near[high - 1] > near[high - 1] - near[low]:
            at, (low, high) = high, (low, high - 1)
        else:
            return
        found = cells.show(float(values[at]))
        if _NINES.fullmatch(found) is None:
            return
        others = " to ".join(cells.show(float(values[i])) for i in (low, high))
        message = f"is {found} in {counts[at]:,} of {rows:,} rows, far from all others, {others}"
        share = float(counts[at] / rows)
        yield Finding("filler", (cells.name,), message, _NAME_IT, share=share)


def _are_classes_and_one(values: Array) -> bool:
    """Whether there are three numbers, of which two, as 0 and 1, stand for yes and no."""
    pairs = (values[:2].tolist(), values[1:].tolist())
    return len(values) == 3 and any(pair in pairs for pair in ([0, 1], [1, 2]))


def _filling_words(cells: Cells) -> Iterator[Finding]:
    """A number of nines among names that are no numbers."""
    names = [cells.show(float(value)).strip() for value in cells.counted[0]]
    if any(number_of(name) is not None and not _NINES.fullmatch(name) for name in names):
        return
    for name, count in zip(names, cells.counted[1].tolist(), strict=True):
        if _NINES.fullmatch(name) and len(names) > 1:
            message = f"is {name} in {count:,} of {len(cells.values):,} rows, names in the others"
            share = count / len(cells.values)
            yield Finding("filler", (cells.name,), message, _NAME_IT, share=share)


def total(cells: Cells) -> Iterator[Finding]:
    """A name in the last row alone that says that this is no example: the sum of the others."""
    last = cells.values[-1] if len(cells.values) >= FEW else np.nan
    if cells.are_amounts or np.isnan(last) or int((cells.values == last).sum()) > 1:
        return
    name = cells.show(float(last))
    if is_total(name):
        message = f"is {show(name)} in the last row: a sum of the others?"
        yield Finding(
            "total", (cells.name,), message, "delete that row", share=1 / len(cells.values)
        )


def is_total(name: str) -> bool:
    """Whether a name is that of a row which sums up others."""
    return _TOTAL.fullmatch(name.strip()) is not None


def spellings(cells: Cells) -> Iterator[Finding]:
    """Names that differ in nothing but case and blanks, and are taken for different ones."""
    if cells.are_amounts:
        return
    alike: dict[str, list[str]] = {}
    for value in cells.counted[0]:
        name = cells.show(float(value))
        alike.setdefault(" ".join(name.split()).casefold(), []).append(name)
    several = [names for names in alike.values() if len(names) > 1]
    if several:
        more = f"; so do {len(several) - 1:,} more" if len(several) > 1 else ""
        named = listing([show(name) for name in several[0]], _NAMED)
        message = f"has {named}, which differ in case or blanks alone{more}"
        yield Finding(
            "spelling", (cells.name,), message, "write them alike: they count as different"
        )


def numbering(cells: Cells) -> Iterator[Finding]:
    """A column that is different in each row: names, or whole numbers that number the rows; of
    identifiers few may stand again, as where rows were copied.
    """
    kind, rows = cells.column.kind, len(cells.values)
    named = names_things(cells) or _NUMBERS.fullmatch(cells.name) is not None
    if rows < FEW or cells.distinct < (_AGAIN if named else 1) * rows:
        return
    all_differ = "every" if cells.distinct == rows else "nearly every"
    found = f"has another text in {all_differ} row" if kind == "categorical" else ""
    if kind == "numeric" and cells.are_whole and (named or not _TIMES.fullmatch(cells.name)):
        if _counts(cells, named):
            found = "numbers the rows"
        elif named and rows >= 10 * FEW:
            found = f"has another number in {all_differ} row"
    if found:
        first, last = (listing([cells.show(float(v))], 1) for v in cells.counted[0][[0, -1]])
        message = f"{found}, from {first} to {last}"
        yield Finding("numbering", (cells.name,), message, "leave it out")


def _counts(cells: Cells, named: bool) -> bool:
    """Whether two of three are so: the numbers are evenly spaced, stand in their order, and are
    called as identifiers are. Others, such as ranks, may tell something.
    """
    if cells.distinct < len(cells.values):
        return False
    steps, ways = np.diff(cells.counted[0]), np.diff(cells.places)
    even = bool((steps == steps[0]).all())
    sorted_ = bool((ways > 0).all() or (ways < 0).all())
    return even + sorted_ + named >= 2


def ordered(cells: Cells) -> Iterator[Finding]:
    """Dates in whose order the rows stand."""
    dated = cells.column.kind == "date" or _is_year(cells)
    if dated and not cells.missing and cells.distinct > FEW:
        steps = np.diff(cells.places)
        if (steps >= 0).all() or (steps <= 0).all():
            message = "has the dates in whose order the rows stand"
            advice = f"`data.split.time: {listing([cells.name], 1)}` tests on the latest rows"
            yield Finding("ordered", (cells.name,), message, advice)


def _is_year(cells: Cells) -> bool:
    named = re.fullmatch(r"(?i).*year.*|.*jahr.*", cells.name) is not None
    values = cells.counted[0]
    return bool(
        named and len(values) and cells.are_whole and 1000 <= values[0] <= values[-1] <= 2200
    )


def grouped(cells: Cells) -> Iterator[Finding]:
    """Identifiers that stand in several rows each, which are then no examples by themselves."""
    some = FEW <= cells.distinct <= len(cells.values) / 2
    if some and cells.are_whole and cells.column.kind != "date" and names_things(cells):
        message = f"names {cells.distinct:,} things, which stand in several rows each"
        advice = f"`data.split.group: {listing([cells.name], 1)}` keeps the rows of each together"
        yield Finding("grouped", (cells.name,), message, advice)


def names_things(cells: Cells) -> bool:
    """Whether the name of a column says that it holds identifiers."""
    return _IDS.fullmatch(cells.name) is not None


def rare_classes(target: Cells) -> Iterator[Finding]:
    """Classes of few rows, in one finding, or that nearly all classes have few."""
    values, counts = target.counted
    if len(values) < 2:
        return
    rows, even = int(counts.sum()), counts.sum() / len(values)
    rare = np.flatnonzero((counts < RARE * even) | ((counts < FEW) & (counts < even / 2)))
    if even < FEW and len(values) > FEW:
        message = f"has {len(values):,} classes in {rows:,} rows, {even:.1f} each on average"
        advice = "some may not be learnt from so few; put those together that mean the same"
        yield Finding("rare", (target.name,), message, advice, share=float(counts.min() / rows))
    elif len(rare):
        order = rare[np.argsort(counts[rare], kind="stable")]
        each = [f"{target.tell(float(values[i]))} in {counts[i]:,}" for i in order[:_NAMED]]
        if len(order) > _NAMED:
            each.append(f"{len(order) - _NAMED:,} more classes in few")
        named = " and ".join(filter(None, (", ".join(each[:-1]), each[-1])))
        message = f"has {named} of {rows:,} rows"
        advice = "`model.class_weights: balanced` lets each class count alike"
        share = float(counts[order[0]] / rows)
        yield Finding("rare", (target.name,), message, advice, share=share)
