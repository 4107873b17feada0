"""What is wrong with a trial, told where the space has the value that brought it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from trainer.errors import Problem
from trainer.spec.changes import parts_of
from trainer.spec.declaration import Declaration
from trainer.spec.document import Path
from trainer.sweeps.space import LogDimension, Space, UniformDimension
from trainer.sweeps.values import same, show_value

SHOWN: Final = 4
"""So many values are told where none of them alone is at fault."""
_NUMBER: Final = re.compile(r"[0-9][0-9.,e+-]*")
_PLACE: Final = re.compile(r"(?:data|model|sgd|evaluation)[^ :]*(?=: )")


def blame(sweep: Declaration, space: Space, problem: Problem, values: Mapping[str, Any]) -> Problem:
    """A problem of the trial with these values, with its place in the file of the sweep."""
    inner = problem.path or (found[0] if (found := _PLACE.match(problem.message)) else "")
    key = _key_at_fault(parts_of(inner) if inner else [], space)
    told = {key: values[key]} if key is not None and key in values else dict(values)
    shown = [f"{name} = {show_value(value)}" for name, value in told.items()]
    more = ["…"] * (len(shown) > SHOWN)
    message = problem.message
    if inner == problem.path and (key is None or parts_of(inner) != parts_of(key)):
        message = f"{inner}: {message}" if inner else message
    hint = problem.hint
    if key is not None and message.startswith("expected a whole number"):
        hint = _in_integers(space, key) or hint
    where: Path = ("space",) if key is None else ("space", key, *_place_of(space, key, values))
    message = f"with {', '.join([*shown[:SHOWN], *more])}: {message}"
    return sweep.problem(where, message, hint, code=problem.code)


def _key_at_fault(path: list[str], space: Space) -> str | None:
    """The key that a path of the spec lies in, or that lies in it; else the one key that there is,
    or that shares the longest way with it.
    """
    if len(space) == 1:
        return next(iter(space))
    shared: dict[str, int] = {}
    for key in space:
        parts = parts_of(key)
        pairs = zip(parts, path, strict=False)
        length = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(parts), len(path)))
        if length and length == min(len(parts), len(path)):
            return key
        shared[key] = length
    most = max(shared.values())
    nearest = [key for key, length in shared.items() if length == most]
    return nearest[0] if most and len(nearest) == 1 else None


def _place_of(space: Space, key: str, values: Mapping[str, Any]) -> Path:
    """Where in its dimension the value stands, if it does."""
    dimension = space[key]
    kind = dimension.tag()
    for i, each in enumerate(getattr(dimension, kind)):
        if key in values and same(each, values[key]):
            return (kind, i)
    return ()


def _in_integers(space: Space, key: str) -> str | None:
    """The dimension of whole numbers between the bounds of one of floats."""
    dimension = space[key]
    if not isinstance(dimension, LogDimension | UniformDimension):
        return None
    low, high = dimension.bounds
    log = ", log: true" * isinstance(dimension, LogDimension)
    return f"write {{integers: [{low:.0f}, {high:.0f}]{log}}}" if low < high - 1 else None


def told_once(problems: Iterable[Problem]) -> list[Problem]:
    """The problems of several trials: what is wrong with a key is told once for all its values, but
    of `values` for each.
    """
    found: dict[tuple[str, str], Problem] = {}
    keys: set[tuple[str, str]] = set()
    for each in problems:
        place = parts_of(each.path)
        what = _NUMBER.sub("", each.message.rpartition(": ")[2].partition(", found")[0])
        of_key = (str(place[:2]), what)
        if of_key not in keys or place[2:3] == ["values"]:
            found.setdefault((each.path, what), each)
        keys.add(of_key)
    return list(found.values())
