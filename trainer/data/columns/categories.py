"""Which category a cell is: the one place that decides it, for every reader. Programs copy it.

A category is a text, and a cell that is this text is this category. Others are matched where a
single category can be meant:

- a number with the category that is the same number, in whatever way it is written: 1067 with
  `01067`, and 2.0 with `2`;
- true, yes, false and no with this word in any case; else, of two categories of which one is a word
  for true (true, yes, y, t, 1) and one a word for false, with the one that says the same.

It is an error (`CellError`) where several can be meant; for a text with leading zeros that is no
category though a category is the same number; for a truth value where no category is one, and a
number where none is a number; and for a real number too long for its type that may be a category
whose digits were lost. Any other cell is a category that is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from trainer.data.columns.values import CellError, Plain, decimal_text, plain

TRUTH = {
    "true": True, "yes": True, "y": True, "t": True, "1": True,
    "false": False, "no": False, "n": False, "f": False, "0": False,
}  # fmt: skip
WORDS = ("true", "yes", "false", "no")
WRITTEN = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)


def text_of(value: Any) -> str:
    """A cell as the text of a category: without blanks around it, 2 for 2.0, true for True.

    Raises what `plain` raises.
    """
    cell = plain(value)
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, Decimal):
        return decimal_text(cell)
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell)) if is_exact(cell) else str(cell)
    return str(cell)


def is_exact(number: Any) -> bool:
    """Whether a real number is so small that its type tells it from the next whole number."""
    return bool(abs(number) < 2 ** (np.finfo(type(number)).nmant + 1))


def real_of(text: str) -> float | None:
    """The number that a text is, as a real one; None for other texts."""
    real = float(text) if WRITTEN.fullmatch(text) else np.inf
    return real if np.isfinite(real) else None


def exact_number(cell: Plain, text: str) -> Any:
    """The number that a cell is: those that are the same have the same hash. None for a cell that
    is no number, or whose digits may be lost: a real number that is not exact, or its text.
    """
    if isinstance(cell, bool | int):
        return None if isinstance(cell, bool) else cell
    if isinstance(cell, Decimal):
        return float(cell) if is_exact(float(cell)) else cell
    if not isinstance(cell, str):
        return float(str(cell)) if cell is not None and is_exact(cell) else None
    real = real_of(text)
    if real is None or is_exact(real):
        return real
    return Decimal(text) if text.lstrip("+-").isdigit() else None


def matcher(categories: Sequence[str]) -> Callable[[Any], float]:
    """What tells the number of a cell's category, -1 for one that is not known.

    It raises `CellError` where several can be meant, and for what is no category at all.
    """
    known = {text: float(number) for number, text in enumerate(categories)}
    reals = [real for real in map(real_of, known) if real is not None]
    numbers: dict[Any, list[str]] = {}
    words: dict[str, list[str]] = {}
    for text in known:
        numbers.setdefault(exact_number(text, text), []).append(text)
        words.setdefault(text.lower(), []).append(text)
    pair = {TRUTH.get(text.lower()): text for text in known}
    sides = pair if len(known) == 2 and set(pair) == {True, False} else {}
    rounded: dict[Any, set[Any]] = {}  # the known numbers as other types hold them

    def match(value: Any) -> float:
        cell = plain(value)
        text = text_of(cell)
        number = exact_number(cell, text)
        if text in known and (
            isinstance(cell, str) or (number is None and not isinstance(cell, bool))
        ):
            return known[text]
        if number is None and not isinstance(cell, bool):
            check_digits(cell, text)
        word = text_of(number) if number is not None else text.lower()
        found = numbers.get(number, []) if number is not None else []
        if found and isinstance(cell, str) and re.match(r"[-+]?0\d", text):
            raise CellError(f"expected a known category, found {text!r}", f"is it {found[0]!r}?")
        found = found or (words.get(word, []) if word in WORDS else [])
        if len(found) > 1:
            raise CellError(f"several categories may be meant by {text}", meant(found))
        if found:
            return known[found[0]]
        if TRUTH.get(word) in sides:
            return known[sides[TRUTH[word]]]
        if isinstance(cell, bool) or not (isinstance(cell, str) or reals):
            what = "truth value" if isinstance(cell, bool) else "number"
            raise CellError(f"expected a category, found the {what} {text}", meant(known))
        return -1.0

    def check_digits(cell: Any, text: str) -> None:
        """Raises `CellError` where a known number is this one but for digits that are lost."""
        cell = real_of(text) if isinstance(cell, str) else cell
        if cell is None:
            return
        kind = type(cell)
        if kind not in rounded:
            rounded[kind] = {kind(real) for real in reals}
        if cell in rounded[kind]:
            message = f"the number {text} is too long for its type: digits of a category are lost"
            raise CellError(message, "write the column as whole numbers or as texts")

    return match


def meant(names: Iterable[str]) -> str:
    """What may be meant."""
    shown = [name if len(name) <= 40 else name[:37] + "..." for name in names]
    return "the categories are " + ", ".join(shown[:12]) + (", …" if len(shown) > 12 else "")
