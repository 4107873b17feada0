"""Statements of the loop program as LLVM's instructions, one after the other.

Who lowers a statement may choose instructions, registers and the width of vectors, and no
operation nor its order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trainer.engine.compiled.arithmetic import REALS, Value
from trainer.engine.compiled.function import Function
from trainer.engine.compiled.lanes import LaneVectors
from trainer.engine.compiled.looping import write_loop
from trainer.engine.compiled.memory import Memory, offset_of
from trainer.engine.compiled.small import write_small_product
from trainer.engine.compiled.text import line_of, written
from trainer.engine.compiled.vectors import Shape
from trainer.graph.loops import (
    LANES,
    Add,
    Apply,
    Choose,
    Element,
    For,
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
from trainer.graph.walking import all_terms, statements, walk
from trainer.numerics.elementary import FUNCTIONS

if TYPE_CHECKING:
    from trainer.engine.compiled.lowering import KernelText


class LoweringError(Exception):
    """A statement that cannot be lowered, which is a mistake of ours; its line is named."""


class Body:
    """Lowers statements, one after the other, into one function."""

    def __init__(self, kernel: KernelText, code: Function) -> None:
        self.kernel = kernel
        self.code = code
        self.env: dict[str, Value] = {}
        self.lanes: dict[str, LaneVectors] = {}
        # what was computed in this block, and the arrays that it was read from
        self._known: dict[Term, tuple[Value, set[str]]] = {}
        self._memory = Memory(code)
        self._hoisted: dict[Term, Value] = {}
        self._index = ""  # of the loop that is written in vectors
        self._width = 1
        self._mask: Value | None = None
        self._lane: int | None = None  # of the first place, where it is known
        self.full = kernel.target.vector_bytes // code.real.bytes

    def shape(self, array: str) -> Shape:
        """The lengths of an array's axes; only the first may be unknown."""
        return self.kernel.function.array(array).shape

    # Statements ------------------------------------------------------------------------------

    def run(self, body: Sequence[Statement]) -> None:
        """The statements of a block."""
        for statement in body:
            try:
                self._statement(statement)
            except LoweringError:
                raise
            except Exception as error:
                raise LoweringError(
                    f"{line_of(statement)}: {type(error).__name__}: {error}"
                ) from error

    def _statement(self, statement: Statement) -> None:
        match statement:
            case Remark():
                pass
            case Let(name, term):
                self.env[name] = self.term(term)
            case Store(array, at, term):
                self._store(array, at, self.term(term))
            case For():
                write_loop(self, statement)
            case If(test, body):
                with self.code.when(self.term(test)), self.block():
                    self.run(body)
            case Share():
                self._share(statement)
            case Lanes(name, greatest):
                used = self.kernel.used_lanes.get(name, 1)
                lanes = LaneVectors(self.code, self.full, greatest, used)
                lanes.clear()
                self.lanes[name] = lanes
            case Add(lanes, index, term):
                self._add(lanes, index, self.term(term))
            case Total(name, lanes):
                self.env[name] = self.lanes[lanes.name].total()
            case Pairwise(array, count, width):
                self.code.call("pairwise", self._parameter(array), self.term(count), width)
                self._forget(array)
            case Product():
                self._product(statement)
            case Return(term):
                self.code.give(self.term(term))

    def _forget(self, array: str) -> None:
        """What was read of an array may have changed."""
        self._forget_terms(array)
        self._memory.forget(array)

    def _forget_terms(self, array: str) -> None:
        for term in [term for term, (_, read) in self._known.items() if array in read]:
            del self._known[term]

    def _know(self, term: Term, value: Value) -> None:
        read = {part.array for part in walk(term) if isinstance(part, Element)}
        self._known[term] = value, read

    @contextmanager
    def block(self) -> Iterator[None]:
        """What is named and computed inside is not known outside."""
        env, hoisted = dict(self.env), dict(self._hoisted)
        self._known = {}
        yield
        self.env, self._hoisted, self._known = env, hoisted, {}

    @contextmanager
    def wide(
        self, index: str, at: Value, width: int, mask: Value | None, lane: int | None
    ) -> Iterator[None]:  # fmt: skip
        """A block for as many places of a loop, from `at` on, at once."""
        with self.block():
            self._index, self._width, self._mask, self._lane = index, width, mask, lane
            self.env[index] = at
            yield
            self._index, self._width, self._mask, self._lane = "", 1, None, None

    def hoist(self, term: Term) -> None:
        """Computes what is the same at every place of a loop, before it."""
        if term not in self._hoisted:
            self._hoisted[term] = self.term(term)

    def _share(self, share: Share) -> None:
        code = self.code
        free = _free_names(share)
        number = self.kernel.add_job(share, free)
        captured = code.array(max(1, len(free)), kind="int")
        for k, name in enumerate(free):
            code.store(self.env[name.text], code.at(captured, k, "int"))
        team = self._parameter("team")
        code.call("team.post", team, number, self.term(share.pieces), captured)
        code.call(f"{self.kernel.function.name}_pieces", self._parameter("work"), 0)
        code.call("team.wait", team)
        self._known, self._memory = {}, Memory(code)

    def _product(self, product: Product) -> None:
        code = self.code
        if product.small:
            write_small_product(self, product)
        else:
            given: list[Value | int] = [self.term(x) for x in (product.m, product.n, product.k)]
            for part in (product.a, product.b, product.out):
                given += [self._matrix(part), int(self.shape(part.array)[1])]
            code.call(self._parameter(f"product_{product.form}"), *given)
        self._forget(product.out.array)

    def _matrix(self, part: Matrix) -> Value:
        """The address at which a part of a matrix begins."""
        if part.row == part.column == Whole(0):
            return self._parameter(part.array)
        return self._address(part.array, [self.term(part.row), self.term(part.column)])

    # Lanes -----------------------------------------------------------------------------------

    def _add(self, lanes: Lanes, index: Term, value: Value) -> None:
        """To the lanes of the places that are computed at once."""
        code, found = self.code, self.lanes[lanes.name]
        if not self._index:
            found.add_at(value, self.term(index))
            return
        value = code.splat(value, self._width)
        if self._mask is not None:
            value = self._mask.choose(value, found.nothing(self._width))
        if self._lane is None:
            found.add_and_rotate(value)
        else:
            found.add(value, self._lane % LANES)

    # Terms -----------------------------------------------------------------------------------

    def term(self, term: Term) -> Value:
        """The value of a term; what was computed in this block is not computed again."""
        code = self.code
        match term:
            case Number(value):
                return code.number(value)
            case Whole(value):
                return code.whole(value)
            case Name(text):
                return self.env[text]
        known = self._known.get(term)
        found = known[0] if known else self._hoisted.get(term)
        if found is None:
            found = self._computed(term)
            self._know(term, found)
        return found

    def _computed(self, term: Term) -> Value:
        code = self.code
        match term:
            case Element(array, at):
                return self._load(array, at)
            case Choose(test, yes, no):
                return self._choose(test, yes, no)
            case Apply("fma", terms):
                return code.fma(*map(self.term, terms))
            case Apply("real", (inner,)):
                return code.let("real", f"sitofp {self.term(inner)} to {code.real.name}")
            case Apply("int", (inner,)):
                return code.let("int", f"fptosi {self.term(inner)} to i64")
            case Apply("up", (length, part)):
                more = self.term(part)
                return (self.term(length) + (more - 1)) // more
            case Apply("least", (a, b)):
                x, y = self.term(a), self.term(b)
                return y.or_less(x)
            case Apply("not", (a,)):
                return ~self.term(a)
            case Apply("neg", (a,)):
                return -self.term(a)
            case Apply("sqrt", (a,)):
                return code.sqrt(self.term(a))
            case Apply("isfinite", (a,)):
                return code.absolute(self.term(a)) < float("inf")
            case Apply(op, terms) if op in FUNCTIONS:
                found: Value = FUNCTIONS[op](code, *map(self.term, terms))
                return found
            case Apply(op, (a, b)):
                return code.binary(op, self.term(a), self.term(b))
        raise LoweringError(f"{term} is no term")

    def _choose(self, test: Term, yes: Term, no: Term) -> Value:
        """A select, or branches where an arm reads an array that the test does not read."""
        code = self.code
        read = {part for part in walk(test) if isinstance(part, Element)}
        guarded = any(
            isinstance(part, Element) and part not in read
            for arm in (yes, no)
            for part in walk(arm)
        )
        condition = self.term(test)
        if not guarded:
            return code.where(condition, self.term(yes), self.term(no))
        if condition.lanes > 1:
            raise LoweringError(f"{written(test)} guards what is read, place by place")
        before = self._known

        def computed(arm: Term) -> Value:
            self._known = {}
            return code.splat(self.term(arm), self._width)

        found = code.one_of(condition, lambda: computed(yes), lambda: computed(no))
        self._known = before
        return found

    # Memory ----------------------------------------------------------------------------------

    def load_at(
        self, part: Matrix, at: tuple[Value, Value], width: int, mask: Value | None
    ) -> Value:
        """Elements of a part of a matrix, from a place in it on."""
        return self._read(part.array, self._place_in(part, at), width, mask)

    def store_at(
        self, part: Matrix, at: tuple[Value, Value], value: Value, mask: Value | None
    ) -> None:
        """The same the other way."""
        self._write(part.array, self._place_in(part, at), value, mask)

    def _place_in(self, part: Matrix, at: tuple[Value, Value]) -> list[Value]:
        starts = (self.term(part.row), self.term(part.column))
        return [start + place for start, place in zip(starts, at, strict=True)]

    def _parameter(self, name: str) -> Value:
        return self.code.parameters[name]

    def _address(self, array: str, at: Sequence[Value]) -> Value:
        """The address of an element."""
        found, begin = self.kernel.function.array(array), self._parameter(array)
        if not at:
            return begin
        inner = REALS[found.dtype].name
        for size in reversed(found.shape[1:]):
            inner = f"[{size} x {inner}]"
        where = ", ".join(map(str, at))
        return self.code.let("ptr", f"getelementptr inbounds {inner}, {begin}, {where}")

    def _load(self, array: str, at: Sequence[Term]) -> Value:
        found = self.kernel.function.array(array)
        if found.dtype != self.code.dtype:
            raise LoweringError(f"{array} is of {found.dtype}")
        wide = self._width > 1 and _moves(at, self._index)
        width, mask = (self._width, self._mask) if wide else (1, None)
        return self._read(array, [self.term(each) for each in at], width, mask)

    def _store(self, array: str, at: tuple[Term, ...], value: Value) -> None:
        found, code = self.kernel.function.array(array), self.code
        places = [self.term(each) for each in at]
        if self._width > 1:
            value = code.splat(value, self._width)
        if found.dtype == code.dtype:
            self._write(array, places, value, self._mask)
            self._know(Element(array, at), value)
        elif value.lanes > 1:
            raise LoweringError(f"{array} is of {found.dtype}")
        else:
            wide = code.let("real", f"fpext {value} to double").text
            code.do(f"store double {wide}, {self._address(array, places)}, align 8")

    def _read(self, array: str, at: Sequence[Value], width: int, mask: Value | None) -> Value:
        """Elements from a place on, from memory or from where they were just computed."""
        offset = None if mask else offset_of(at, self.shape(array))
        if offset is None:
            return self.code.load(self._address(array, at), width, mask)
        place = (array, offset, width)
        found = self._memory.find(place)
        if found is None:
            found = self.code.load(self._address(array, at), width)
            self._memory.note(place, found)
        return found

    def _write(self, array: str, at: Sequence[Value], value: Value, mask: Value | None) -> None:
        self.code.store(value, self._address(array, at), mask)
        self._forget_terms(array)
        offset = None if mask else offset_of(at, self.shape(array))
        if offset is None:
            self._memory.forget(array)
        else:
            self._memory.write((array, offset, value.lanes), value)


def _moves(at: Sequence[Term], index: str) -> bool:
    return any(part == Name(index, "int") for each in at for part in walk(each))


def _free_names(share: Share) -> list[Name]:
    """The numbers that a job reads from around it."""
    inside = {share.index}
    for each in statements(share.body):
        match each:
            case Let(name) | Total(name):
                inside.add(name)
            case For(index):
                inside.add(index)
    names = (term for term in all_terms(share.body) if isinstance(term, Name))
    return list(dict.fromkeys(name for name in names if name.text not in inside))
