"""Walks over a loop program: what it names, reads and computes, and how it is rewritten."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from trainer.graph.loops import (
    Apply,
    Choose,
    Element,
    For,
    If,
    Matrix,
    Name,
    Share,
    Statement,
    Term,
    Whole,
)

_T = TypeVar("_T")


def statements(body: Sequence[Statement]) -> Iterator[Statement]:
    """All statements of a body and of the bodies in it, in order."""
    for statement in body:
        yield statement
        if isinstance(statement, For | If | Share):
            yield from statements(statement.body)


def terms_of(statement: Statement) -> Iterator[Term]:
    """The terms that a statement itself computes, without those of its body."""
    for each in fields(statement):
        value = getattr(statement, each.name)
        if isinstance(value, Term):
            yield value
        elif isinstance(value, Matrix):
            yield from (value.row, value.column)
        elif each.name == "at":
            yield from value


def walk(term: Term) -> Iterator[Term]:
    """The term and all in it."""
    yield term
    match term:
        case Apply(_, terms):
            for inner in terms:
                yield from walk(inner)
        case Choose(test, yes, no):
            for inner in (test, yes, no):
                yield from walk(inner)
        case Element(_, at):
            for inner in at:
                yield from walk(inner)


def all_terms(body: Sequence[Statement]) -> Iterator[Term]:
    """Every term in a body."""
    for statement in statements(body):
        for term in terms_of(statement):
            yield from walk(term)


def rewrite(term: Term, change: Callable[[Term], Term | None]) -> Term:
    """The term with what `change` gives for its parts, outermost first, in their place."""
    found = change(term)
    if found is not None:
        return found
    match term:
        case Apply(op, terms):
            return Apply(op, tuple(rewrite(inner, change) for inner in terms))
        case Choose(test, yes, no):
            return Choose(rewrite(test, change), rewrite(yes, change), rewrite(no, change))
        case Element(array, at):
            return Element(array, tuple(rewrite(inner, change) for inner in at))
    return term


def rewrite_all(body: Sequence[_T], change: Callable[[Term], Term | None]) -> tuple[_T, ...]:
    """The statements with their terms rewritten."""
    return tuple(_rewritten(statement, change) for statement in body)


def _rewritten(statement: Any, change: Callable[[Term], Term | None]) -> Any:
    changed: dict[str, Any] = {}
    for each in fields(statement):
        value = getattr(statement, each.name)
        if isinstance(value, Term):
            changed[each.name] = rewrite(value, change)
        elif isinstance(value, Matrix):
            row, column = rewrite(value.row, change), rewrite(value.column, change)
            changed[each.name] = Matrix(value.array, row, column)
        elif each.name == "at":
            changed[each.name] = tuple(rewrite(term, change) for term in value)
        elif each.name == "body":
            changed[each.name] = rewrite_all(value, change)
    return replace(statement, **changed)


# Where a choice changes sides --------------------------------------------------------------------


def split_at_choices(
    index: str, start: int, stop: int, body: Sequence[Statement]
) -> list[For]:  # fmt: skip
    """A loop of known length as one loop for each range in which every test of the loop's own
    variable against a constant has one outcome: so no test is left within.
    """
    cuts = {
        term.terms[1].value
        for term in all_terms(body)
        if isinstance(term, Apply) and term.op == "less" and term.terms[0] == Name(index, "int")
        if isinstance(term.terms[1], Whole)
    }
    places = [start, *sorted(cut for cut in cuts if start < cut < stop), stop]
    loops = []
    for first, last in itertools.pairwise(places):

        def resolve(term: Term, first: int = first) -> Term | None:
            match term:
                case Choose(Apply("less", (Name(name), Whole(cut))), yes, no) if name == index:
                    return rewrite(yes if first < cut else no, resolve)
            return None

        loops.append(For(index, Whole(first), Whole(last), rewrite_all(body, resolve)))
    return loops
