"""Which kind a column is, as far as its cells tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from trainer.data.columns.cells import looks_boolean, looks_numeric
from trainer.data.columns.dates import days_of
from trainer.data.columns.looks import date_formats, is_marker, looks_like_date, numeral_of
from trainer.data.columns.notation import PLAIN, Notation
from trainer.spec.columns import Kind

FEW: Final = 20
"""So many distinct texts are categories, if each stands in several rows."""
_CLOSELY: Final = 2**14
"""Distinct texts of a column that are looked at closely; the others are of the same kinds."""


@dataclass
class Seen:
    """What the cells of a column look like, counted. `present` are those that are not missing;
    `numerals` numbers as people write them, of which `quantities` may as well be names (500 ml);
    `markers` what often stands for nothing; `formats` the dates that are not of ISO 8601, by each
    format that they fit, and `samples` one of them for all formats that fit the same. `texts` are
    the distinct ones, if the column is `whole`.
    """

    notation: Notation = PLAIN
    rows: int = 0
    present: int = 0
    numbers: int = 0
    numerals: int = 0
    quantities: int = 0
    booleans: int = 0
    dates: int = 0
    markers: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    texts: set[str] = field(default_factory=set)
    quantity: str = ""
    samples: dict[tuple[str, ...], str] = field(default_factory=dict)
    whole: bool = True

    def add(self, text: str, count: int) -> None:
        """Counts cells of a text."""
        if self.notation.number(text) is not None or looks_numeric(text):
            self.numbers += count
        elif looks_boolean(text):
            self.booleans += count
        elif len(self.texts) <= _CLOSELY:
            self._look_closely(text, count)
        elif days_of(text.strip()) is not None:
            self.dates += count

    def _look_closely(self, text: str, count: int) -> None:
        if is_marker(text):
            self.markers += count
        elif numeral := numeral_of(text):
            self.numerals += count
            self.quantities += count * numeral.quantity
            self.quantity = self.quantity or text * numeral.quantity
        elif looks_like_date(text):
            self.dates += count
            forms = date_formats(text)
            if forms and days_of(text.strip()) is None:
                self.formats.update(dict.fromkeys(forms, count))
                self.samples.setdefault(forms, text)

    @property
    def few(self) -> bool:
        """Whether there are few distinct texts, each in two rows at least, on average."""
        return len(self.texts) <= FEW and 2 * len(self.texts) <= self.present

    @property
    def scattered(self) -> bool:
        """Whether there are many distinct texts, most of them in a single row or two."""
        return len(self.texts) > FEW and 2 * len(self.texts) > self.present

    @property
    def kind(self) -> Kind:
        """The kind that fits at least half of the cells, the others being mistakes or markers; of
        texts that are nearly all distinct, and so no categories, a fifth.
        """
        meant = self.present - self.markers
        if not meant:
            return "categorical" if self.markers else "numeric"
        names = self.quantities if self.few else 0
        counts: dict[Kind, int] = {
            "numeric": self.numbers + self.numerals - names,
            "boolean": self.booleans,
            "date": self.dates,
        }
        kind = max(counts, key=lambda kind: counts[kind])
        share = 5 if self.scattered else 2
        return kind if share * counts[kind] >= meant else "categorical"

    @property
    def possible_formats(self) -> tuple[str, ...]:
        """The formats that fit the most dates, which are several where no cell tells them apart."""
        if not self.formats:
            return (PLAIN.format,)
        most = max(self.formats.values())
        return tuple(form for form, count in self.formats.items() if count == most)
