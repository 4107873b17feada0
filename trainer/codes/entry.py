"""What stands in the catalogue of errors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of mistake, as people think of it.

    `title` names it in a few words, `why` says what it means and why it is refused, `do` what to
    do. `example` is a command, or lines of YAML, that helps.
    """

    code: str
    title: str
    why: str
    do: str
    example: str = ""
