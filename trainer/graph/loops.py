"""The loop program: what a kernel does, as data.

A `Function` is a list of statements over arrays and numbers. Like a graph it can be asked
anything by a small function that walks it: it is printed as Python (`engine/compiled/text.py`),
and lowered to machine code (`engine/compiled/lowering.py`). Whoever writes a program decides every
operation and its order; whoever lowers it may choose neither.

Numbers are of three kinds: `real` (of the program's dtype), `int` (64 bits) and `bool`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["real", "int", "bool"]

LANES: Final = 32
SEGMENT: Final = 64  # rows that a sum adds up by themselves

# Terms -------------------------------------------------------------------------------------------


class Term:
    """An expression; arithmetic on terms makes terms."""

    __slots__ = ()

    def __add__(self, other: Given) -> Term:
        return _arithmetic("add", self, other)

    def __sub__(self, other: Given) -> Term:
        return _arithmetic("sub", self, other)

    def __mul__(self, other: Given) -> Term:
        return _arithmetic("mul", self, other)

    def __truediv__(self, other: Given) -> Term:
        return _arithmetic("div", self, other)

    def __neg__(self) -> Term:
        return Apply("neg", (self,))

    def __lt__(self, other: Given) -> Term:
        return compare("less", self, other)

    def __le__(self, other: Given) -> Term:
        return compare("at_most", self, other)


Given: TypeAlias = Term | int | float


@dataclass(frozen=True, slots=True)
class Number(Term):
    """A real constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Whole(Term):
    """An integer constant."""

    value: int


@dataclass(frozen=True, slots=True)
class Name(Term):
    """A number that was computed before, an argument, or the variable of a loop."""

    text: str
    kind: Kind = "real"


@dataclass(frozen=True, slots=True)
class Element(Term):
    """An element of an array."""

    array: str
    at: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Apply(Term):
    """An operation of `OPERATIONS`, or an elementary function by its name."""

    op: str
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Choose(Term):
    """The first term where the test holds, else the second. The other one is not computed where
    it reads an array.
    """

    test: Term
    yes: Term
    no: Term


OPERATIONS: Final[Mapping[str, str]] = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}",
    "neg": "-{0}", "least": "min({0}, {1})", "over": "{0} // {1}", "rest": "{0} % {1}",
    "up": "-(-{0} // {1})",
    "less": "{0} < {1}", "at_most": "{0} <= {1}", "more": "{0} > {1}", "at_least": "{0} >= {1}",
    "equal": "{0} == {1}", "differs": "{0} != {1}",
    "and": "{0} and {1}", "or": "{0} or {1}", "not": "not {0}",
    "fma": "fma({0}, {1}, {2})", "sqrt": "sqrt({0})", "isfinite": "isfinite({0})",
    "real": "real({0})", "int": "int({0})",
}  # fmt: skip
"""How each operation is written; `least`, `over`, `rest` and `up` are for integers from 0 on."""

TESTS: Final = frozenset({
    "less", "at_most", "more", "at_least", "equal", "differs", "and", "or", "not", "isfinite",
})  # fmt: skip


def kind_of(term: Term) -> Kind:
    """Of what kind a term's number is."""
    match term:
        case Number() | Element():
            return "real"
        case Whole():
            return "int"
        case Name():
            return term.kind
        case Choose():
            return kind_of(term.yes)
        case Apply(op, terms):
            if op in TESTS:
                return "bool"
            if op in ("real", "int"):
                return "real" if op == "real" else "int"
            return kind_of(terms[0])
    raise TypeError(f"{term!r} is no term")


def apply(op: str, *terms: Given) -> Term:
    """An operation on terms and numbers; a number is of the kind of the first term."""
    first = next(term for term in terms if isinstance(term, Term))
    whole = kind_of(first) == "int"
    return Apply(op, tuple(_term(term, whole) for term in terms))


def compare(op: str, a: Given, b: Given) -> Term:
    """A test; of two integer constants its result is known, and is a constant, 0 or 1."""
    test = apply(op, a, b)
    match test:
        case Apply("less", (Whole(x), Whole(y))):
            return Whole(int(x < y))
        case Apply("at_most", (Whole(x), Whole(y))):
            return Whole(int(x <= y))
    return test


def choose(test: Term, yes: Given, no: Given) -> Term:
    """A choice, or its outcome where that is known."""
    if isinstance(test, Whole):
        return _term(yes if test.value else no, whole=False)
    return Choose(test, _term(yes, whole=False), _term(no, whole=False))


def least(a: Given, b: Given) -> Term:
    """The lesser of two integers."""
    match _term(a, whole=True), _term(b, whole=True):
        case Whole(x), Whole(y):
            return Whole(min(x, y))
        case x, y:
            return Apply("least", (x, y))


def parts_of(length: Term, part: int) -> Term:
    """How many parts of so many places a length has; the last one may be shorter."""
    if isinstance(length, Whole):
        return Whole(-(-length.value // part))
    return length if part == 1 else Apply("up", (length, Whole(part)))


def _term(value: Given, whole: bool) -> Term:
    if isinstance(value, Term):
        return value
    return Whole(int(value)) if whole else Number(float(value))


def _arithmetic(op: str, a: Term, b: Given) -> Term:
    term = apply(op, a, b)
    match term:
        case Apply("add", (Whole(x), Whole(y))):
            return Whole(x + y)
        case Apply("sub", (Whole(x), Whole(y))):
            return Whole(x - y)
        case Apply("mul", (Whole(x), Whole(y))):
            return Whole(x * y)
        case (
            Apply("add", (x, Whole(0))) | Apply("sub", (x, Whole(0))) | Apply("add", (Whole(0), x))
        ):
            return x
        case Apply("mul", (x, Whole(1))) | Apply("mul", (Whole(1), x)):
            return x
    return term


# Statements --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Remark:
    """What a reader is told."""

    text: str


@dataclass(frozen=True, slots=True)
class Let:
    """Gives a number a name, which has it until the end of the block."""

    name: str
    term: Term


@dataclass(frozen=True, slots=True)
class Store:
    """Writes an element of an array."""

    array: str
    at: tuple[Term, ...]
    term: Term


@dataclass(frozen=True, slots=True)
class For:
    """For every place from `start` on and before `stop`."""

    index: str
    start: Term
    stop: Term
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class If:
    """Only where the test holds."""

    test: Term
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """Pieces that any threads do, in any order, each once; the next statement begins when all are
    done.
    """

    index: str
    pieces: Term
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Lanes:
    """New lanes: 32 numbers that are added up apart, from 0; or the greatest of each, from -∞."""

    name: str
    greatest: bool = False


@dataclass(frozen=True, slots=True)
class Add:
    """To the lane of a place of a loop: place j belongs to the lane j mod 32."""

    lanes: Lanes
    index: Term
    term: Term


@dataclass(frozen=True, slots=True)
class Total:
    """The lanes' one number: lane l with l + 16, then with l + 8, 4, 2 and 1."""

    name: str
    lanes: Lanes


@dataclass(frozen=True, slots=True)
class Pairwise:
    """Adds the first `count` rows of an array up, in place: for d = 1, 2, 4, … row i with i + d,
    for every i that is a multiple of 2 d. The first row then holds the sum.
    """

    array: str
    count: Term
    width: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """A part of an array of two axes: where it begins."""

    array: str
    row: Term = Whole(0)
    column: Term = Whole(0)


@dataclass(frozen=True, slots=True)
class Product:
    """`out = a b`, of m × n elements with the inner length k, in a canonical order.

    The form is `nn`, `nt` or `tn` where b or a is read transposed, or `column`, where b has one
    column. `small` ones are written out in loops.
    """

    form: str
    m: Term
    n: Term
    k: Term
    a: Matrix
    b: Matrix
    out: Matrix
    small: bool = False


@dataclass(frozen=True, slots=True)
class Return:
    """Ends the function, with an integer."""

    term: Term


Statement: TypeAlias = (
    Remark | Let | Store | For | If | Share | Lanes | Add | Total | Pairwise | Product | Return
)

Dim: TypeAlias = int | str
"""The length of an axis: a number, `B` for the rows of a batch, or `B/64` for its segments."""


@dataclass(frozen=True, slots=True)
class ArrayArgument:
    """An array that a function is given; its shape as far as it is known."""

    name: str
    shape: tuple[Dim, ...]
    dtype: str


@dataclass(frozen=True)
class Function:
    """A function with its arguments: arrays, then integers."""

    name: str
    arrays: tuple[ArrayArgument, ...]
    numbers: tuple[str, ...]
    body: tuple[Statement, ...]
    _by_name: Mapping[str, ArrayArgument] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {array.name: array for array in self.arrays})

    def array(self, name: str) -> ArrayArgument:
        """The array of this name."""
        return self._by_name[name]
