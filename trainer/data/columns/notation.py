"""How the numbers and dates of a column are written as texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final

from trainer.data.columns.dates import days_of
from trainer.data.columns.numerals import number_of
from trainer.spec.columns import Kind


@dataclass(frozen=True)
class Notation:
    """Numbers have this decimal sign, perhaps separators between `thousands`, and perhaps the
    `unit` before or behind them. Dates have this `format`, or that of ISO 8601.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    format: str = "iso"

    def of(self, kind: Kind | None) -> Notation:
        """As far as it matters to columns of a kind."""
        if kind == "numeric":
            return replace(self, format=PLAIN.format)
        return Notation(format=self.format) if kind == "date" else PLAIN

    @property
    def has_plain_numbers(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self.of("numeric") == PLAIN

    @property
    def sample(self) -> str:
        """A number as it is written so: `1.234,5 €`."""
        number = f"1{self.thousands}234{self.decimal}5"
        return f"{number} {self.unit}" if self.unit else number

    def describe(self, kind: Kind) -> str:
        """A kind, and how its cells are written where that is not plain: `date, day/month/year`."""
        own = self.of(kind)
        if own == PLAIN:
            return kind
        return f"{kind}, {own.format if kind == 'date' else own.sample}"

    def number(self, text: str) -> float | None:
        """The number of a text, which is infinite where it is too large; None for others."""
        return number_of(text, self.decimal, self.thousands, self.unit)

    def written(self, number: str) -> str:
        """A number that programs have written, as it is written here."""
        return number.replace(".", self.decimal)

    def days(self, text: str) -> float | None:
        """The days since 1970-01-01 of a text; None for one that is no such date."""
        return days_of(text, self.format)

    def as_json(self) -> dict[str, str]:
        """What differs from plain notation."""
        plain = asdict(PLAIN)
        return {key: value for key, value in asdict(self).items() if value != plain[key]}


PLAIN: Final = Notation()
"""Numbers as programs write them, dates of ISO 8601."""
