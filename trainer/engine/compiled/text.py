"""A loop program as Python: to be read, and to be run by tests to the bits of the machine code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from trainer.graph.loops import (
    OPERATIONS,
    Add,
    Apply,
    Choose,
    Element,
    For,
    Function,
    If,
    Lanes,
    Let,
    Matrix,
    Name,
    Number,
    Pairwise,
    Product,
    Remark,
    Return,
    Share,
    Statement,
    Store,
    Term,
    Total,
    Whole,
)
from trainer.graph.walking import all_terms
from trainer.numerics.elementary import FUNCTIONS

_CALLS: Final = frozenset({"fma", "sqrt", "isfinite", "real", "int", "least", *FUNCTIONS})


def source_of(title: str, dtype: str, functions: Sequence[Function]) -> str:
    """The whole program: what it uses, its constants, its functions."""
    numbers = {
        term.value
        for function in functions
        for term in all_terms(function.body)
        if isinstance(term, Number)
    }
    constants = [f"{_constant(value)} = real({value!r})" for value in sorted(numbers)]
    text = [
        f'"""{title}"""', "",
        f"from numpy import {dtype} as real", "",
        *constants,
    ]  # fmt: skip
    for function in functions:
        text += ["", "", *_function(function)]
    return "\n".join(text) + "\n"


def _function(function: Function) -> list[str]:
    given = [*(array.name for array in function.arrays), *function.numbers]
    return [f"def {function.name}({', '.join(given)}):", *_indented(function.body)]


def _indented(body: Sequence[Statement]) -> list[str]:
    return [f"    {line}" for statement in body for line in _lines(statement)]


def line_of(statement: Statement) -> str:
    """The statement's first line."""
    return next(_lines(statement))


def _lines(statement: Statement) -> Iterator[str]:
    """One statement."""
    match statement:
        case Remark(text):
            yield f"# {text}"
        case Let(name, term):
            yield f"{name} = {written(term)}"
        case Store(array, at, term):
            yield _stored(array, at, term)
        case For(index, start, stop, body):
            places = [written(stop)] if start == Whole(0) else [written(start), written(stop)]
            yield f"for {index} in range({', '.join(places)}):"
            yield from _indented(body)
        case Share(index, pieces, body):
            yield f"for {index} in shared(range({written(pieces)})):"
            yield from _indented(body)
        case If(test, body):
            yield f"if {written(test)}:"
            yield from _indented(body)
        case Lanes(name, greatest):
            yield f"{name} = {'greatest' if greatest else 'lanes'}()"
        case Add(lanes, index, term):
            place = f"{lanes.name}[{_within(index)} % 32]"
            if lanes.greatest:
                yield f"{place} = max({place}, {written(term)})"
            else:
                yield f"{place} += {written(term)}"
        case Total(name, lanes):
            yield f"{name} = total({lanes.name})"
        case Pairwise(array, count, width):
            yield f"pairwise({array}, {written(count)}, {width})"
        case Product(form, m, n, k, a, b, out):
            sizes = ", ".join(map(written, (m, n, k)))
            parts = ", ".join(map(_matrix, (a, b, out)))
            yield f"product_{form}({sizes}, {parts})"
        case Return(term):
            yield f"return {written(term)}"


def _stored(array: str, at: Sequence[Term], term: Term) -> str:
    place = _element(array, at)
    match term:
        case Apply("add", (Element(name, places), more)) if (name, places) == (array, tuple(at)):
            return f"{place} += {written(more)}"
    return f"{place} = {written(term)}"


def _matrix(part: Matrix) -> str:
    if part.row == part.column == Whole(0):
        return part.array
    return f"{part.array}[{written(part.row)}:, {written(part.column)}:]"


def _element(array: str, at: Sequence[Term]) -> str:
    return f"{array}[{', '.join(map(written, at)) or '()'}]"


def written(term: Term) -> str:
    """The term as an expression of Python."""
    match term:
        case Number(value):
            return _constant(value)
        case Whole(value):
            return str(value)
        case Name(text):
            return text
        case Element(array, at):
            return _element(array, at)
        case Choose(test, yes, no):
            return f"{_within(yes)} if {written(test)} else {_within(no)}"
        case Apply(op, terms) if op in OPERATIONS:
            inner = map(written, terms) if op in _CALLS else map(_within, terms)
            return OPERATIONS[op].format(*inner)
        case Apply(op, terms):
            return f"{op}({', '.join(map(written, terms))})"
    raise TypeError(f"{term!r} is no term")


def _within(term: Term) -> str:
    """The term as an operand: in brackets where it is an operation itself."""
    text = written(term)
    simple = not isinstance(term, Apply | Choose) or (
        isinstance(term, Apply) and (term.op in _CALLS or term.op not in OPERATIONS)
    )
    return text if simple else f"({text})"


def _constant(value: float) -> str:
    """The name of a number."""
    if value == 0 and str(value) == "0.0":
        return "ZERO"
    if value == 1:
        return "ONE"
    return "C_" + "".join(c if c.isalnum() else "_" for c in repr(value))
