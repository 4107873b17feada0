"""From raw columns to x, and from outputs to predicted numbers, as ONNX nodes in float64."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from trainer.data import DAY, FARTHEST, Preprocessing, is_plain
from trainer.export.nodes import Writer, kind
from trainer.graph.ops import Array
from trainer.spec.data import DatePart

ERAS: Final = 1000
"""How many times 400 years are added to dates, so that no number is negative: ONNX rounds quotients
towards 0. 400 years are 146097 days, which are whole weeks."""

# From days to a date of the proleptic Gregorian calendar, in whole numbers; the year begins in
# March, so that the leap day is its last. After E. G. Richards, "Calendars", in: Explanatory
# Supplement to the Astronomical Almanac, 3rd edition, 2013.
_DATE: Final[Mapping[str, str]] = {
    "z": f"m / {DAY} + 719468",  # days since 0000-03-01
    "era": "z / 146097",
    "of_era": "z - era * 146097",
    "years": "(of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365",
    "of_year": "of_era - (365 * years + years / 4 - years / 100)",
    "march": "(5 * of_year + 2) / 153",  # months since March
    "month": "march + 3 if march < 10 else march - 9",
    "all": "years + era * 400",
    "year": "all + 1 if month < 3 else all",
    "day": "of_year - (153 * march + 2) / 5 + 1",
    "fourth": "year / 4 * 4 == year",
    "first": "year / 100 * 100 == year and year / 400 * 400 < year",  # 1900, not 2000
    "january": "59 if first else (60 if fourth else 59)",  # days from January to February
    "yearday": "of_year - 305 if month < 3 else of_year + january + 1",
    "n": f"m / {DAY} + 3",
    "weekday": "n - n / 7 * 7",
    "h": "m / 3600000",
    "hour": "h - h / 24 * 24",
    "t": "m / 60000",
    "minute": "t - t / 60 * 60",
}


def write_encoding(writer: Writer, how: Preprocessing, x: str) -> str:
    """X of the network in float64, from raw rows `x`; its numbers are constants called `x/…`."""
    w = replace(writer, dtype="float64", place="x")
    gaps = w.apply("IsNaN", x) if any(rule.fill is not None for rule in how.rules) else ""
    if gaps:
        x = w.apply("Where", gaps, "x/fill", x)
    pieces = list(_pieces(w, how, x, gaps))
    x = pieces[0] if len(pieces) == 1 else w.apply("Concat", *pieces, axis=1)
    if how.scaling.shift is not None:
        x = w.apply("Div", w.apply("Sub", x, "x/mean"), "x/scale")
    return x


def write_decoding(writer: Writer, how: Preprocessing, out: str) -> str:
    """Predictions in the units of the targets, in float64; `out` itself where nothing is scaled."""
    scaling = how.target_scaling
    if not scaling.changes:
        return out
    w = replace(writer, dtype="float64", place="prediction")
    y = w.apply("Cast", out, to=kind("float64"))
    if scaling.shift is not None:
        y = w.apply("Add", w.apply("Mul", y, "y/scale"), "y/mean")
    if not scaling.curves:
        return y
    pieces = []
    for column in range(how.outputs):
        piece = _slice(w, y, column, column + 1)
        if column in scaling.curves:
            quantiles = scaling.curves[column]
            piece = _expm1(w, piece) if quantiles is None else (
                _unrank(w, piece, f"y/quantiles/{column}", quantiles)
            )  # fmt: skip
        pieces.append(piece)
    return w.apply("Concat", *pieces, axis=1)


# Columns ----------------------------------------------------------------------------------------


def _pieces(w: Writer, how: Preprocessing, raw: str, gaps: str) -> Iterator[str]:
    """The columns of x from left to right, before they are shifted and scaled."""
    first = 0  # of a run of columns that stay
    start = 0
    for place in range(len(how.columns)):
        if not (is_plain(how.columns[place], how.rules[place]) and start not in how.scaling.curves):
            yield from _run(w, how, raw, first, place)
            for number, piece in enumerate(_columns(w, how, place, raw, gaps)):
                yield _bent(w, how, piece, start + number)
            first = place + 1
        start += how.widths[place]
    yield from _run(w, how, raw, first, len(how.columns))


def _run(w: Writer, how: Preprocessing, raw: str, first: int, last: int) -> Iterator[str]:
    if (first, last) == (0, len(how.columns)):
        yield raw
    elif first < last:
        yield _slice(w, raw, first, last)


def _columns(w: Writer, how: Preprocessing, place: int, raw: str, gaps: str) -> Iterator[str]:
    """What one raw column becomes; categories are one piece, all else has a piece a column."""
    column, rule = how.columns[place], how.rules[place]
    count, values = len(column.categories), _slice(w, raw, place, place + 1)
    ranks = column.kind == "ordinal" and rule.dimensions is None
    if column.kind in ("categorical", "ordinal") and (rule.strict or ranks):
        inside = _inside(w, values, count)
        if gaps:
            inside = w.apply("Or", inside, _slice(w, gaps, place, place + 1))
        values = w.apply("Where", inside, values, w.constant(np.nan))
    if rule.grouped:
        inside = w.apply("Or", _inside(w, values, count), w.apply("IsNaN", values))
        values = w.apply("Where", inside, values, w.constant(count - 1))
    if column.kind == "date":
        yield from (_date_part(w, values, part) for part in rule.parts)
    elif column.kind == "categorical" and rule.dimensions is None:
        same = w.apply("Equal", values, w.constant(np.arange(count)))
        ones = w.apply("Cast", same, to=kind("float64"))
        yield w.apply("Where", w.apply("IsNaN", values), w.constant(np.nan), ones)
    else:
        yield values
    if rule.indicator:
        yield w.apply("Cast", _slice(w, gaps, place, place + 1), to=kind("float64"))


def _inside(w: Writer, values: str, count: int) -> str:
    above = w.apply("GreaterOrEqual", values, w.constant(0))
    return w.apply("And", above, w.apply("Less", values, w.constant(count)))


def _slice(w: Writer, x: str, start: int, stop: int) -> str:
    numbers = ([start], [stop], [1])
    return w.apply("Slice", x, *(w.constant(number, np.int64) for number in numbers))


def _date_part(w: Writer, days: str, part: DatePart) -> str:
    if part == "days":
        return days
    known = w.apply("LessOrEqual", w.apply("Abs", days), w.constant(FARTHEST))
    safe = w.apply("Where", known, days, w.constant(0))
    rounded = w.apply("Round", w.apply("Mul", safe, w.constant(DAY)))
    whole = replace(w, dtype="int64")
    number = whole.apply("Cast", rounded, to=kind(np.int64))
    names = {"m": whole.apply("Add", number, whole.constant(ERAS * 146_097 * DAY))}
    for name, text in _DATE.items():
        if name in _needed(part):
            names[name] = whole.expression(ast.parse(text, mode="eval").body, names)
    found = names[part]
    if part == "year":
        found = whole.apply("Sub", found, whole.constant(ERAS * 400))
    return w.apply("Where", known, w.apply("Cast", found, to=kind("float64")), w.constant(np.nan))


def _needed(part: str) -> set[str]:
    """The names of `_DATE` that a part depends on."""
    found, left = set(), [part]
    while left:
        name = left.pop()
        found.add(name)
        tree = ast.walk(ast.parse(_DATE.get(name, "0")))
        left += [node.id for node in tree if isinstance(node, ast.Name) and node.id not in found]
    return found


# Curves -----------------------------------------------------------------------------------------


def _bent(w: Writer, how: Preprocessing, values: str, column: int) -> str:
    if column not in how.scaling.curves:
        return values
    quantiles = how.scaling.curves[column]
    if quantiles is None:
        return w.call("log1p", [values])
    return _rank(w, values, f"x/quantiles/{column}", quantiles)


def _rank(w: Writer, values: str, name: str, quantiles: Array) -> str:
    """Where values (N, 1) stand among the quantiles, the constant of this name; see `rank`."""
    steps = len(quantiles) - 1
    after = _count(w, w.apply("LessOrEqual", name, values))  # the first quantile above
    last = _between(w, values, name, w.apply("Sub", after, w.constant(1)), steps)
    before = _count(w, w.apply("Less", name, values))  # the first that is not below
    first = _between(w, values, name, w.apply("Sub", before, w.constant(1)), steps)
    ties = w.apply("Less", w.apply("Add", before, w.constant(0)), after)
    lower = w.apply("Where", ties, w.apply("Div", before, w.constant(steps)), first)
    middle = w.apply("Mul", w.apply("Add", last, lower), w.constant(0.5))
    high = w.apply("GreaterOrEqual", values, w.constant(quantiles[-1]))
    low = w.apply("LessOrEqual", values, w.constant(quantiles[0]))
    inner = w.apply("Where", high, w.constant(1), middle)
    found = w.apply("Where", low, w.constant(0), inner)
    return w.apply("Where", w.apply("IsNaN", values), values, found)


def _count(w: Writer, which: str) -> str:
    """How many are true in each row, of shape (N, 1)."""
    ones = w.apply("Cast", which, to=kind("float64"))
    return w.apply("ReduceSum", ones, w.constant([1], np.int64), keepdims=1)


def _between(w: Writer, values: str, name: str, place: str, steps: int) -> str:
    """(place + the way from the quantile there to the next) / steps."""
    place = w.apply("Max", w.constant(0), w.apply("Min", place, w.constant(steps - 1)))
    left, right = _two(w, name, place)
    way = w.apply("Div", w.apply("Sub", values, left), w.apply("Sub", right, left))
    return w.apply("Div", w.apply("Add", place, way), w.constant(steps))


def _two(w: Writer, name: str, place: str) -> tuple[str, str]:
    """The quantiles at a place and behind it; those of NaN are any, for onnxruntime refuses all
    rows where one has no place.
    """
    place = w.apply("Where", w.apply("IsNaN", place), w.constant(0), place)
    number = w.apply("Cast", place, to=kind(np.int64))
    behind = w.apply("Add", number, w.constant(1, np.int64))
    return w.apply("Gather", name, number), w.apply("Gather", name, behind)


def _unrank(w: Writer, ranks: str, name: str, quantiles: Array) -> str:
    """The numbers with these ranks, which `rank` would give."""
    steps = len(quantiles) - 1
    inside = w.apply("Max", w.constant(0), w.apply("Min", ranks, w.constant(1)))
    way = w.apply("Mul", inside, w.constant(steps))
    place = w.apply("Min", w.apply("Floor", way), w.constant(steps - 1))
    left, right = _two(w, name, place)
    rest = w.apply("Mul", w.apply("Sub", way, place), w.apply("Sub", right, left))
    return w.apply("Add", left, rest)


def _expm1(w: Writer, x: str) -> str:
    """exp(x) - 1, for small x too: what exp(x) loses of x, its logarithm gives back (Kahan)."""
    text = "x if u == 1 else (-1 if u - 1 == -1 else (u - 1) * (x / log(u)))"
    names = {"x": x, "u": w.apply("Exp", x)}
    return w.expression(ast.parse(text, mode="eval").body, names)
