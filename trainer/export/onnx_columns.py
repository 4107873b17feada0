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
from trainer.spec.columns import DatePart

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
    x = _bent(w, how, x)
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
    """The columns of x from left to right, before they are bent, shifted and scaled."""
    first = 0  # of a run of columns that stay
    for place in range(len(how.columns)):
        if not is_plain(how.columns[place], how.rules[place]):
            yield from _run(w, how, raw, first, place)
            yield from _columns(w, how, place, raw, gaps)
            first = place + 1
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


def _bent(w: Writer, how: Preprocessing, x: str) -> str:
    """The columns of x with their curves; all of one kind at once, however many there are."""
    curves = how.scaling.curves
    alike: dict[int, list[int]] = {}  # by the number of their quantiles: -1 for none, 0 for log1p
    for column in range(how.layout.width):
        quantiles = curves.get(column)
        number = -1 if column not in curves else 0 if quantiles is None else len(quantiles)
        alike.setdefault(number, []).append(column)
    pieces = []
    for number, columns in alike.items():
        piece = x
        if len(alike) > 1:
            piece = w.apply("Gather", x, w.constant(columns, np.int64), axis=1)
        if number > 0:
            each = [w.constants.pop(f"x/quantiles/{column}") for column in columns]
            piece = _rank(w, piece, np.stack(each))
        pieces.append(w.call("log1p", [piece]) if number == 0 else piece)
    if len(pieces) == 1:
        return pieces[0]
    order = w.constant(np.argsort(np.concatenate([*alike.values()])), np.int64)
    return w.apply("Gather", w.apply("Concat", *pieces, axis=1), order, axis=1)


def _rank(w: Writer, values: str, quantiles: Array) -> str:
    """Where values (N, columns) stand among the quantiles (columns, number); see `rank`."""
    known, steps, whole = (
        _Quantiles(w, quantiles),
        quantiles.shape[1] - 1,
        replace(w, dtype="int64"),
    )
    after = known.count("LessOrEqual", values)  # the first quantile above
    last = known.between(values, whole.apply("Sub", after, whole.constant(1)))
    before = known.count("Less", values)  # the first that is not below
    first = known.between(values, whole.apply("Sub", before, whole.constant(1)))
    ties = w.apply("Less", before, after)
    share = w.apply("Div", w.cast(before, "float64"), w.constant(steps))
    lower = w.apply("Where", ties, share, first)
    middle = w.apply("Mul", w.apply("Add", last, lower), w.constant(0.5))
    high = w.apply("GreaterOrEqual", values, w.constant(quantiles[:, -1]))
    low = w.apply("LessOrEqual", values, w.constant(quantiles[:, 0]))
    inner = w.apply("Where", high, w.constant(1), middle)
    found = w.apply("Where", low, w.constant(0), inner)
    return w.apply("Where", w.apply("IsNaN", values), values, found)


class _Quantiles:
    """The quantiles of columns, of shape (columns, number), one column behind the other."""

    def __init__(self, w: Writer, quantiles: Array) -> None:
        columns, self._number = quantiles.shape
        self._w, self._whole = w, replace(w, dtype="int64")
        self._all = w.constant(quantiles.ravel())
        self._starts = self._whole.constant(np.arange(columns) * self._number)

    def at(self, places: str) -> str:
        """Those at places (N, columns), each counted from the first of its column."""
        return self._w.apply("Gather", self._all, self._whole.apply("Add", self._starts, places))

    def count(self, test: str, values: str) -> str:
        """How many of its column fulfil the test before each value, of shape (N, columns).

        They do up to some place, which is searched for by halving: so memory grows with the values
        alone.
        """
        w, whole, number = self._w, self._whole, self._number
        found = whole.constant(0)
        for power in reversed(range(number.bit_length())):
            more = whole.apply("Add", found, whole.constant(2**power))
            place = whole.apply("Sub", more, whole.constant(1))
            there = self.at(whole.apply("Min", place, whole.constant(number - 1)))
            inside = whole.apply("LessOrEqual", more, whole.constant(number))
            fits = w.apply("And", inside, w.apply(test, there, values))
            found = whole.apply("Where", fits, more, found)
        return found

    def between(self, values: str, place: str) -> str:
        """(place + the way from the quantile there to the next) / steps."""
        w, whole, steps = self._w, self._whole, self._number - 1
        place = whole.apply("Min", place, whole.constant(steps - 1))
        place = whole.apply("Max", whole.constant(0), place)
        left, right = self.at(place), self.at(whole.apply("Add", place, whole.constant(1)))
        way = w.apply("Div", w.apply("Sub", values, left), w.apply("Sub", right, left))
        return w.apply("Div", w.apply("Add", w.cast(place, "float64"), way), w.constant(steps))


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
