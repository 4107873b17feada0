"""Names of columns: in one form, whoever wrote them, and how two differ that look the same."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from trainer.spec.messages import near

_UNSEEN: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\u2061\u2062\u2063\ufeff"))
"""Marks without a width, of which no script needs any."""
_JOINERS: Final = dict.fromkeys(map(ord, "\u200c\u200d\u200e\u200f"))
"""Marks without a width that some scripts need."""
_ALIKE: Final = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухԁԛԝһΑΒΕΖΗΙΚΜΝΟΡΤΥΧαινορυχ‐‑–—−’‘`´″×",
    "ABESIJKMHOPCTYXaesijopcyxdqwhABEZHIKMNOPTYXaivopux-----''''\"x",
)
"""Letters and signs that look like others."""


def clean_name(name: str) -> str:
    """A column's name as it is known: composed (NFC), with plain blanks, none of them at its ends,
    line ends of one kind, and without marks that have no width.
    """
    if name.isascii() and name.isprintable():
        return name.strip()
    text = unicodedata.normalize("NFC", name).translate(_UNSEEN).replace("\r\n", "\n")
    return "".join(" " if c.isspace() and c != "\n" else c for c in text).strip()


def clean_names(value: Any) -> Any:
    """The texts of what should be a name, or several, in their one form."""
    if isinstance(value, list | tuple):
        return [clean_names(item) for item in value]
    return clean_name(value) if isinstance(value, str) else value


def collisions(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The different names that are one once they are clean."""
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        alike[clean_name(name)].append(name)
    return [tuple(each) for clean, each in alike.items() if clean and len(each) > 1]


def visible(name: str) -> str:
    """A name in which all that cannot be seen is written as Python would write it."""
    decomposed = unicodedata.normalize("NFC", name) != name
    return "".join(_escape(c) if _is_unseen(c, decomposed) else c for c in name)


def _is_unseen(character: str, decomposed: bool) -> bool:
    if character == " ":
        return False
    combining = decomposed and unicodedata.combining(character)
    return bool(combining) or not character.isprintable() or ord(character) in _JOINERS


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def look_alike(name: str, names: Sequence[str]) -> str | None:
    """How one of the names differs that looks like `name`; None where none does."""
    wanted = _skeleton(name)
    for other in names:
        if other != name and _skeleton(other) == wanted:
            return f"{visible(other)!r} looks the same, but {_difference(name, other)}"
    return None


def like(name: str, names: Sequence[str]) -> str | None:
    """What may be said of a name that is not among the names, if one of them is like it."""
    return look_alike(name, names) or near(name, names)


def _skeleton(name: str) -> str:
    text = unicodedata.normalize("NFKC", clean_name(name)).translate(_ALIKE)
    return " ".join(text.translate(_JOINERS).split())


def _difference(name: str, other: str) -> str:
    if clean_name(name).split() == clean_name(other).split():
        return "has other blanks between its words"
    mine, theirs = clean_name(name), clean_name(other)
    place = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), None)
    place = min(len(mine), len(theirs)) if place is None else place
    if place >= len(theirs):
        return f"lacks the {_called(mine[place])} at its end"
    has = f"has {_called(theirs[place])} at place {place + 1}"
    return f"{has}, not {_called(mine[place])}" if place < len(mine) else has


def _called(character: str) -> str:
    return f"{unicodedata.name(character, 'a mark').lower()} (U+{ord(character):04X})"
