"""What the cells of a file's columns look like: how each can be read, and what stands for nothing.

Columns whose types the file tells are taken as they are; of texts the first rows are looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from trainer.data.columns.categories import text_of
from trainer.data.columns.cells import is_missing, looks_boolean
from trainer.data.columns.encoding import distinct, is_cell, is_text, missing_cells
from trainer.data.columns.looks import Numeral, is_marker, looks_like_date, numeral_of
from trainer.data.columns.numerals import number_of
from trainer.data.columns.seen import Seen
from trainer.data.columns.table import Column, listing, show
from trainer.data.reading.finding import MANY
from trainer.data.reading.tablefile import TableFile
from trainer.spec.columns import Kind

ROWS: Final = 200_000
"""The first rows of a file, which are looked at."""
WIDE: Final = 200
"""More categories than these become vectors, not a column each."""
RARE: Final = 5
"""Rows that a category with a vector of its own must have."""
_NOTHING: Final = re.compile(r"[?.*–—-]{1,3}|#.*|n[./]?a\.?|<na>", re.IGNORECASE)
"""What stands for nothing among texts too, where a word such as `none` may be a category."""
_CODE: Final = re.compile(r"0\d+")
_NO_SIGN: Final = re.compile(r"[^\d.,]")
_GROUPED: Final = re.compile(r"[1-9]\d{0,2}(\.\d{3})+|\d+")
"""A number whose points may stand between thousands."""
_AS_OTHERS: Final = "other columns have decimal commas"
_SLIPS: Final = 0.02
"""The share of cells that do not fit a column's kind which may be slips, and so be left empty."""
_FEW_SLIPS: Final = 5


@dataclass
class Looked:
    """A column as its first rows have it. `texts` says how often each text stands in it, but for
    columns whose type says what they are; `last` is that of the last row. `unfit` says why it can
    be no column of a table.
    """

    name: str
    typed: bool = False
    unfit: str = ""
    rows: int = 0
    missing: int = 0
    texts: Counter[str] = field(default_factory=Counter)
    last: str = ""

    def add(self, cells: Any, missing: Collection[str]) -> None:
        """Counts the cells of a pyarrow array."""
        self.rows += len(cells)
        if self.typed:
            self.missing += int(missing_cells(cells, missing).sum())
            return
        if len(cells):
            last = cells[len(cells) - 1].as_py()
            self.last = "" if last is None else text_of(last)
        values, places = distinct(cells)
        *counts, nulls = np.bincount(places, minlength=len(values) + 1).tolist()
        self.missing += nulls
        for value, count in zip(values, counts, strict=True):
            if is_missing(value, missing):
                self.missing += count
            else:
                self.texts[text_of(value)] += count

    @property
    def seen(self) -> Seen:
        """What the texts look like."""
        seen = Seen(rows=self.rows, texts={*self.texts}, present=self.texts.total())
        for text, count in self.texts.items():
            seen.add(text, count)
        return seen


def look(file: TableFile, target: str, unfit: Mapping[str, str]) -> dict[str, Looked]:
    """All columns of a file that have a name; of the target also the values of a column of numbers.
    Those that are `unfit` are not read.

    Raises what `TableFile.batches` raises.
    """
    looked = {
        name: Looked(name, unfit=unfit[name]) if name in unfit else _begin(file, name, target)
        for name in file.names
        if name
    }
    columns = [Column(name, "categorical") for name, each in looked.items() if not each.unfit]
    rows = 0
    for batch in file.batches(columns):
        for column in columns:
            looked[column.name].add(batch.column(column.name), file.missing)
        rows += batch.num_rows
        if rows >= ROWS:
            break
    return looked


def _begin(file: TableFile, name: str, target: str) -> Looked:
    import pyarrow as pa

    kind = file.types[name]
    if not is_cell(kind):
        return Looked(name, unfit=f"holds the type {kind}, not numbers or texts")
    texts = is_text(kind) or pa.types.is_dictionary(kind)
    return Looked(name, typed=not (texts or name == target))


# What is made of a column ------------------------------------------------------------------------


@dataclass
class Judged:
    """How a column can be read: what `data.columns` must say of it, which texts stand for nothing
    and why it is left `out` where it cannot be read, or tells nothing.
    """

    kind: Kind | None = None
    says: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    nothing: tuple[str, ...] = ()
    out: str = ""


def judge(looked: Looked) -> Judged:
    """What is made of a column that may be a feature."""
    if looked.unfit:
        return Judged(out=looked.unfit)
    if looked.rows == looked.missing:
        return Judged(out="has no value in any row")
    if looked.typed:
        return Judged()
    seen = looked.seen
    kind: Kind = seen.kind
    if kind == "categorical":
        return _categories(looked)
    slips = [text for text in looked.texts if not _fits(text, kind)]
    count = sum(looked.texts[text] for text in slips if not is_marker(text))
    if count > _SLIPS * seen.present or len(slips) > _FEW_SLIPS + sum(map(is_marker, slips)):
        odd = next(text for text in slips if not is_marker(text))
        if len(seen.texts) <= MANY and 2 * len(seen.texts) <= seen.present:
            return _categories(looked, f"not all are {_NAMES[kind]}: {show(odd)}")
        return Judged(kind, out=f"holds {show(odd)} and the like among its {_NAMES[kind]}")
    found = _numbers(looked, slips) if kind == "numeric" else Judged(kind)
    if kind == "date":
        found = _dates(seen)
    found.nothing = tuple(slips)
    return found


_NAMES: Final[Mapping[Kind, str]] = {
    "numeric": "numbers", "date": "dates", "boolean": "truth values"
}  # fmt: skip


def _fits(text: str, kind: Kind) -> bool:
    if kind == "boolean":
        return looks_boolean(text)
    if kind == "date":
        return looks_like_date(text)
    number = number_of(text)
    return np.isfinite(number) if number is not None else numeral_of(text) is not None


def _categories(looked: Looked, why: str = "") -> Judged:
    nothing = tuple(text for text in looked.texts if _NOTHING.fullmatch(text.strip()))
    texts = Counter({text: n for text, n in looked.texts.items() if text not in nothing})
    count, cells = len(texts), texts.total()
    if count > MANY and 2 * count > cells:
        sample = show(min(texts))
        return Judged("categorical", out=f"{count:,} different texts, such as {sample}")
    says: dict[str, Any] = {"type": "categorical"} if why else {}
    if count > WIDE:
        says |= {"encode": "embedding", "min_count": RARE}
        why = why or f"{count:,} categories: a vector for each that has {RARE} rows"
    return Judged("categorical", says, why, nothing)


def _numbers(looked: Looked, slips: Collection[str]) -> Judged:
    texts = [text for text in looked.texts if text not in slips]
    if all(number_of(text) is not None for text in texts):
        if any(map(_CODE.fullmatch, texts)):
            return _categories(looked, "numbers with leading zeros are codes")
        return Judged("numeric")
    written = [found for text in texts if (found := numeral_of(text)) is not None]
    says = _notation(written, any("." in text for text in texts if numeral_of(text) is None))
    if says is not None:
        return Judged("numeric", says)
    if looked.seen.few:
        return _categories(looked, "its numbers are written in several ways")
    odd = next((text for text in texts if (n := numeral_of(text)) and n.odd), texts[0])
    return Judged("numeric", out=f"has numbers written in ways that are not read, as {show(odd)}")


def _notation(written: list[Numeral], points: bool) -> dict[str, str] | None:
    """How numbers are written; None for ways that no one notation reads. `points` tells that some
    are written with a decimal point as programs do.
    """
    decimals = {each.decimal for each in written if each.decimal} | ({"."} if points else set())
    gaps = {each.thousands for each in written if each.thousands}
    units = {each.unit for each in written if each.unit}
    either = any(each.either for each in written)  # 1,234 may be either
    if any(each.odd for each in written) or max(map(len, (decimals, gaps, units))) > 1:
        return None
    decimal, gap = "".join(decimals), "".join(gaps)
    if either and decimal != "," and not gap:
        gap = ","
    if decimal == gap != "":
        return None
    says = {"decimal": ","} if decimal == "," else {}
    says |= {"thousands": gap} if gap else {}
    return says | ({"unit": "".join(units)} if units else {})


def _dates(seen: Seen) -> Judged:
    first, *others = seen.possible_formats
    if not others:
        return Judged("date")
    own = {forms[0] for forms in seen.samples if len(forms) == 1}
    if {first, *others} <= own:
        return Judged("date", out=f"has dates written in several ways: {listing(sorted(own), 4)}")
    return Judged("date", {"format": first}, f"or {' or '.join(others)}: no date tells")


def agree(judged: Mapping[str, Judged], looked: Mapping[str, Looked]) -> None:
    """Has numbers that can be read in two ways read as those of other columns are: where these have
    decimal commas and none a decimal point, 1,234 has one too, and the point of 1.234 is none.
    """
    columns = [
        (each, [_NO_SIGN.sub("", text) for text in looked[name].texts if text not in each.nothing])
        for name, each in judged.items()
        if each.kind == "numeric" and not each.out
    ]
    commas = any(each.says.get("decimal") == "," for each, _ in columns)
    if not commas or any(_is_pointed(each, signs) for each, signs in columns):
        return
    for each, signs in columns:
        if each.says.get("thousands") == "," and all(text.count(",") < 2 for text in signs):
            each.says = {"decimal": ",", **each.says}
            del each.says["thousands"]
            each.why = _AS_OTHERS
        elif not each.says.keys() - {"unit"} and any("." in text for text in signs):
            each.says = {"decimal": ",", "thousands": ".", **each.says}
            each.why = _AS_OTHERS


def _is_pointed(judged: Judged, signs: list[str]) -> bool:
    """Whether numbers have decimal points that cannot stand between thousands."""
    plain = not judged.says.keys() - {"unit"}
    return plain and any("." in text and not _GROUPED.fullmatch(text) for text in signs)


def shared(judged: Mapping[str, Judged], looked: Mapping[str, Looked]) -> dict[str, str]:
    """How numbers are written in the whole file, if all are written alike, or without signs."""
    numbers: dict[str, dict[str, str]] = {
        name: {key: each.says[key] for key in ("decimal", "thousands") if key in each.says}
        for name, each in judged.items()
        if each.kind == "numeric" and not each.out
    }
    odd = [way for way in numbers.values() if way]
    if not odd or "decimal" not in odd[0] or any(way != odd[0] for way in odd):
        return {}
    plain = (name for name, way in numbers.items() if not way)
    pointed = any("." in text for name in plain for text in looked[name].texts)
    return {} if pointed else odd[0]


def ambiguous(judged: Mapping[str, Judged], looked: Mapping[str, Looked]) -> Iterator[str]:
    """Columns whose marks for nothing are categories of another column."""
    texts = {
        text for name, each in judged.items() if each.kind == "categorical" and not each.out
        for text in looked[name].texts if text not in each.nothing
    }  # fmt: skip
    return (name for name, each in judged.items() if not each.out and texts & {*each.nothing})


def as_categories(looked: Looked) -> Judged:
    """What is made of a column of truth values of which other texts are meant, too."""
    return _categories(looked, f"not all are {_NAMES['boolean']}")
