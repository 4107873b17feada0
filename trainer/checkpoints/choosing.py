"""Which run a word stands for, of those in a folder or in a store: one rule for both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TypeVar

from trainer.errors import UsageError

ID_BEGINS: Final = re.compile(r"[0-9a-f]{4,32}")
_SHOWN: Final = 5  # runs that a message lists


class Candidate(Protocol):
    """A run that a word may stand for."""

    @property
    def id(self) -> str:
        """The name of its folder, or what stands for that."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def trains(self) -> bool:
        """Whether it stands for a model: searches and cross-validations have a spec's name too."""

    @property
    def about(self) -> str:
        """What else tells it from others, in a line."""


T = TypeVar("T", bound=Candidate)


def matching(reference: str, candidates: Sequence[T]) -> list[T]:
    """The newest that is called so, if it can be one that stands for a model; where there is none,
    those whose id begins so, with at least four characters. The newest stand first.
    """
    named = newest(each for each in candidates if each.name == reference)
    if named or not ID_BEGINS.fullmatch(reference):
        return named
    return [each for each in candidates if each.id.startswith(reference)]


def newest(named: Iterable[T]) -> list[T]:
    """The first of these that stands for a model, else the first, if there is one."""
    found = list(named)
    return [each for each in found if each.trains][:1] or found[:1]


def the_one(reference: str, found: Sequence[T], where: str, latest: Sequence[T] = ()) -> T:
    """The only one that was found. Raises `UsageError` where there is none, with the `latest` that
    are there, or several, the latest of which stand first.
    """
    if len(found) == 1:
        return found[0]
    if found:
        lines = [f"'{reference}' may be any of several runs: choose one by its id"]
        lines += [f"  {each.id[:8]}  {each.about}".rstrip() for each in found[:_SHOWN]]
        if len(found) > _SHOWN:
            lines.append(f"  … and {len(found) - _SHOWN} before them")
        raise UsageError("\n".join(lines), code="TR-R001")
    lines = [f"there is no run '{reference}' {where}"]
    if 0 < len(reference) < 4 and re.fullmatch("[0-9a-f]+", reference):
        lines.append("  hint: give at least four characters of an id")
    elif latest:
        names = ", ".join(f"{each.id[:8]} ({each.name})" for each in latest[:_SHOWN])
        lines.append(f"  the latest: {names}")
    raise UsageError("\n".join(lines), code="TR-R001")
