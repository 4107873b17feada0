"""Which loops can be written in vectors, and what in them is the same at every place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from trainer.graph.loops import (
    Add,
    Apply,
    Choose,
    Dim,
    Element,
    For,
    Let,
    Name,
    Number,
    Remark,
    Store,
    Term,
    Whole,
)
from trainer.graph.walking import terms_of, walk

Shape: TypeAlias = tuple[Dim, ...]
ShapeOf: TypeAlias = Callable[[str], Shape]


def vectorises(loop: For, shape: ShapeOf) -> bool:
    """Whether every place of a loop is computed by itself, from neighbouring places of arrays or
    from ones that are the same for all.
    """
    index, made, stored = loop.index, set[str](), dict[str, set[tuple[Term, ...]]]()
    for each in loop.body:
        match each:
            case Let(name, _):
                made.add(name)
            case Store(array, at, _):
                stored.setdefault(array, set()).add(at)
                if _step(at, index, shape(array)) != 1:
                    return False
            case Add() | Remark():
                pass
            case _:
                return False
    return all(
        _is_placewise(term, index, made, stored, shape)
        for each in loop.body
        for term in (each.at if isinstance(each, Store) else ())
        if _names(term) & made
    ) and all(
        _is_placewise(term, index, made, stored, shape)
        for each in loop.body
        for term in _values(each)
    )


def _values(statement: object) -> Iterator[Term]:
    """The real terms of a statement."""
    if isinstance(statement, Let | Store | Add):
        yield statement.term


def _is_placewise(
    term: Term, index: str, made: set[str], stored: dict[str, set[tuple[Term, ...]]], shape: ShapeOf
) -> bool:
    match term:
        case Name(text):
            return text != index  # its number itself is wanted
        case Number() | Whole():
            return True
        case Element(array, at):
            if any(_names(each) & made for each in at) or any(
                isinstance(part, Element) and index in _names(part)
                for each in at
                for part in walk(each)
            ):
                return False
            if array in stored and stored[array] != {at}:
                return False
            return _step(at, index, shape(array)) in (0, 1)
        case Apply("int", _):
            return not _names(term) & {index, *made}
        case Choose(test, yes, no):
            read = {part for part in walk(test) if isinstance(part, Element)}
            guarded = any(
                isinstance(part, Element) and part not in read
                for arm in (yes, no)
                for part in walk(arm)
            )
            if guarded and _names(test) & {index, *made}:
                return False
            parts: Sequence[Term] = (test, yes, no)
        case Apply(_, terms):
            parts = terms
        case _:
            return False
    return all(_is_placewise(part, index, made, stored, shape) for part in parts)


def _names(term: Term) -> set[str]:
    return {part.text for part in walk(term) if isinstance(part, Name)}


def _step(at: Sequence[Term], index: str, shape: Shape) -> int | None:
    """How many numbers further on an element is at the next place of the loop; None where that
    is not the same everywhere.
    """
    total = 0
    for axis, term in enumerate(at):
        factor = _factor(term, index)
        if factor is None:
            return None
        if factor:
            size = 1
            for dim in shape[axis + 1 :]:
                if not isinstance(dim, int):
                    return None
                size *= dim
            total += factor * size
    return total


def _factor(term: Term, index: str) -> int | None:
    """What the loop's variable is multiplied with in a place."""
    match term:
        case Name(text):
            return int(text == index)
        case Whole():
            return 0
        case Apply("add", (a, b)):
            x, y = _factor(a, index), _factor(b, index)
            return None if x is None or y is None else x + y
        case Apply("sub", (a, b)):
            x, y = _factor(a, index), _factor(b, index)
            return None if x is None or y is None else x - y
    return None if index in _names(term) else 0


def hoistable(loop: For, shape: ShapeOf) -> Iterator[Term]:
    """The largest terms that are the same at every place and may be computed before the loop."""
    made = {each.name for each in loop.body if isinstance(each, Let)} | {loop.index}
    stored = {each.array for each in loop.body if isinstance(each, Store)}
    for each in loop.body:
        for term in terms_of(each):
            if not isinstance(each, Store) or term is each.term:
                yield from _same(term, made, stored)


def _same(term: Term, made: set[str], stored: set[str]) -> Iterator[Term]:
    if isinstance(term, Number | Whole | Name):
        return
    fixed = not _names(term) & made and not any(
        isinstance(part, Element) and part.array in stored for part in walk(term)
    )
    if fixed:
        yield term
        return
    match term:
        case Apply(_, terms):
            for inner in terms:
                yield from _same(inner, made, stored)
        case Choose(test, _, _):  # an arm may read what is there only where the test holds
            yield from _same(test, made, stored)
