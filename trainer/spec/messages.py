"""The words of messages: how a value is called, what is near it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainer.spec.document import show_text


def describe(value: Any) -> str:
    """A value as people call it: `the text 'x'`, `the number 3`, `a list`, `nothing`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {show_text(str(value), 30)}"
    if isinstance(value, str):
        return f"the text '{show_text(value)}'"
    kind = "mapping" if isinstance(value, Mapping) else "list"
    return f"a {kind}" if value else f"an empty {kind}"


def near(word: Any, choices: Iterable[str], cutoff: float = 0.65) -> str | None:
    """`did you mean '…'?` for the choice most like `word`, if one is near."""
    known = {choice.casefold(): choice for choice in choices}
    start = str(word).casefold()[:200]
    found = [
        name for name in known
        if len(start) > 2 and (name.startswith(start) or sorted(name) == sorted(start))
    ]  # fmt: skip
    if len(found) != 1:
        found = difflib.get_close_matches(start, known, n=1, cutoff=cutoff)
    return f"did you mean '{show_text(known[found[0]])}'?" if found else None


def near_or_all(value: Any, names: Iterable[str]) -> str:
    """Advice on a value that should be one of these names."""
    advice = near(value, names, 0.7) if isinstance(value, str) else None
    return advice or f"choose one of {', '.join(names)}"


def words(items: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, end = items
    return f"{', '.join(first)} {last} {end}" if first else end


def either(items: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return words(items, "or")


def plural(count: int, what: str) -> str:
    """`1 item`, `2 items`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
