"""Statements of the loop program as LLVM's instructions, one after the other.

Who lowers a statement may choose instructions, registers and the width of vectors, and no
operation nor its order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trainer.engine.compiled.assembler import REALS, Assembler, Value
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
    kind_of,
)
from trainer.graph.walking import all_terms, statements, walk
from trainer.numerics.elementary import FUNCTIONS

if TYPE_CHECKING:
    from trainer.engine.compiled.lowering import KernelText


class LoweringError(Exception):
    """A statement that cannot be lowered, which is a mistake of ours; its line is named."""


class Body:
    """Lowers statements, one after the other, into one function."""

    def __init__(self, kernel: KernelText, code: Assembler) -> None:
        self.kernel = kernel
        self.code = code
        self.env: dict[str, Value] = {}
        self.lanes: dict[str, LaneVectors] = {}
        self._known: dict[Term, Value] = {}  # what was computed in this block
        self._memory = Memory(code)
        self._hoisted: dict[Term, Value] = {}
        self._index = ""  # of the loop that is written in vectors
        self._width = 1
        self._mask = ""
        self._lane: int | None = None  # of the first place, where it is known
        self._ended = False
        self.full = kernel.target.vector_bytes // code.bytes

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
                self._if(test, body)
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
                rows = self.term(count)
                given = f"ptr %{array}, i64 {rows.text}, i64 {width}"
                self.code.line(f"call void @pairwise({given})")
                self._forget(array)
            case Product():
                self._product(statement)
            case Return(term):
                self.code.line(f"ret i64 {self.term(term).text}")
                self._ended = True

    def _forget(self, array: str) -> None:
        """What was read of an array may have changed."""
        self._forget_terms(array)
        self._memory.forget(array)

    def _forget_terms(self, array: str) -> None:
        for term in [term for term in self._known if _reads(term, array)]:
            del self._known[term]

    @contextmanager
    def block(self) -> Iterator[None]:
        """What is named and computed inside is not known outside."""
        env, hoisted = dict(self.env), dict(self._hoisted)
        self._known = {}
        yield
        self.env, self._hoisted, self._known = env, hoisted, {}

    @contextmanager
    def wide(
        self, index: str, at: Value, width: int, mask: str, lane: int | None
    ) -> Iterator[None]:  # fmt: skip
        """A block for as many places of a loop, from `at` on, at once."""
        with self.block():
            self._index, self._width, self._mask, self._lane = index, width, mask, lane
            self.env[index] = at
            yield
            self._index, self._width, self._mask, self._lane = "", 1, "", None

    def hoist(self, term: Term) -> None:
        """Computes what is the same at every place of a loop, before it."""
        if term not in self._hoisted:
            self._hoisted[term] = self.term(term)

    def _if(self, test: Term, body: Sequence[Statement]) -> None:
        code = self.code
        yes, end = code.fresh("yes"), code.fresh("end")
        code.branch(self.term(test), yes, end)
        code.start(yes)
        with self.block():
            self.run(body)
            if not self._ended:
                code.jump(end)
        self._ended = False
        code.start(end)

    def _share(self, share: Share) -> None:
        code = self.code
        free = _free_names(share)
        number = self.kernel.add_job(share, free)
        captured = code.alloca("i64", max(1, len(free)))
        for k, name in enumerate(free):
            at = code.raw(f"getelementptr inbounds i64, ptr {captured}, i64 {k}")
            value = self.env[name.text]
            code.line(f"store {code.type(value)} {value.text}, ptr {at}, align 8")
        pieces = self.term(share.pieces)
        work = f"i64 {number}, i64 {pieces.text}, ptr {captured}"
        code.line(f"call void @team.post(ptr %team, {work})")
        code.line(f"call void @{self.kernel.function.name}_pieces(ptr %work, i64 0)")
        code.line("call void @team.wait(ptr %team)")
        self._known, self._memory = {}, Memory(code)

    def _product(self, product: Product) -> None:
        code = self.code
        if product.small:
            write_small_product(self, product)
        else:
            sizes = [self.term(size) for size in (product.m, product.n, product.k)]
            given = [f"i64 {size.text}" for size in sizes]
            for part in (product.a, product.b, product.out):
                given += [f"ptr {self.matrix(part)}", f"i64 {self.shape(part.array)[1]}"]
            code.line(f"call void %product_{product.form}({', '.join(given)})")
        self._forget(product.out.array)

    def matrix(self, part: Matrix) -> str:
        """The address at which a part of a matrix begins."""
        if part.row == part.column == Whole(0):
            return f"%{part.array}"
        return self._address(part.array, [self.term(part.row), self.term(part.column)])

    # Lanes -----------------------------------------------------------------------------------

    def _add(self, lanes: Lanes, index: Term, value: Value) -> None:
        """To the lanes of the places that are computed at once."""
        code, found = self.code, self.lanes[lanes.name]
        if not self._index:
            found.add_at(value, self.term(index))
            return
        value = code.splat(value, self._width)
        if self._mask:
            kept = Value(code, "bool", self._mask, self._width)
            value = code.where(kept, value, found.nothing(self._width))
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
        found = self._hoisted.get(term) or self._known.get(term)
        if found is None:
            found = self._known[term] = self._computed(term)
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
                kind = f"sitofp i64 {self.term(inner).text} to {code.real}"
                return code.emit("real", kind)
            case Apply("int", (inner,)):
                return code.emit("int", f"fptosi {code.real} {self.term(inner).text} to i64")
            case Apply("up", (length, part)):
                more = self.term(part)
                less = code.binary("sub", more, code.whole(1))
                return code.binary("over", code.binary("add", self.term(length), less), more)
            case Apply("least", (a, b)):
                x, y = self.term(a), self.term(b)
                return code.where(code.compare("less", y, x), y, x)
            case Apply("and" | "or" as op, (a, b)):
                return code.both(op, self.term(a), self.term(b))
            case Apply("not", (a,)):
                return code.opposite(self.term(a))
            case Apply("neg", (a,)):
                return code.negative(self.term(a))
            case Apply("sqrt", (a,)):
                return code.sqrt(self.term(a))
            case Apply("isfinite", (a,)):
                return code.is_finite(self.term(a))
            case Apply("add" | "sub" | "mul" | "div" | "over" | "rest" as op, (a, b)):
                return code.binary(op, self.term(a), self.term(b))
            case Apply(op, terms) if op in FUNCTIONS:
                found: Value = FUNCTIONS[op](code, *map(self.term, terms))
                return found
            case Apply(op, (a, b)):
                return code.compare(op, self.term(a), self.term(b))
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
        labels = [code.fresh(stem) for stem in ("yes", "no", "end")]
        code.branch(condition, labels[0], labels[1])
        arms = []
        before = dict(self._known)
        for label, arm in zip(labels, (yes, no), strict=False):
            code.start(label)
            self._known = {}
            value = code.splat(self.term(arm), self._width)
            arms.append((value, code.block))
            code.jump(labels[2])
        code.start(labels[2])
        self._known = before
        incoming = ", ".join(f"[ {value.text}, %{block} ]" for value, block in arms)
        kind = code.type_of(kind_of(yes), self._width)
        return code.emit(kind_of(yes), f"phi {kind} {incoming}", self._width)

    # Memory ----------------------------------------------------------------------------------

    def load_at(self, part: Matrix, at: tuple[Value, Value], width: int, mask: str) -> Value:
        """Elements of a part of a matrix, from a place in it on."""
        return self._read(part.array, self._place_in(part, at), width, mask)

    def store_at(self, part: Matrix, at: tuple[Value, Value], value: Value, mask: str) -> None:
        """The same the other way."""
        self._write(part.array, self._place_in(part, at), value, mask)

    def _place_in(self, part: Matrix, at: tuple[Value, Value]) -> list[Value]:
        starts = (self.term(part.row), self.term(part.column))
        add = self.code.binary
        return [add("add", start, place) for start, place in zip(starts, at, strict=True)]

    def _address(self, array: str, at: Sequence[Value]) -> str:
        """The address of an element."""
        found = self.kernel.function.array(array)
        if not at:
            return f"%{array}"
        inner = REALS[found.dtype]
        for size in reversed(found.shape[1:]):
            inner = f"[{size} x {inner}]"
        where = ", ".join(f"i64 {value.text}" for value in at)
        return self.code.raw(f"getelementptr inbounds {inner}, ptr %{array}, {where}")

    def _load(self, array: str, at: Sequence[Term]) -> Value:
        found = self.kernel.function.array(array)
        if found.dtype != self.code.dtype:
            raise LoweringError(f"{array} is of {found.dtype}")
        wide = self._width > 1 and _moves(at, self._index)
        width, mask = (self._width, self._mask) if wide else (1, "")
        return self._read(array, [self.term(each) for each in at], width, mask)

    def _store(self, array: str, at: tuple[Term, ...], value: Value) -> None:
        found, code = self.kernel.function.array(array), self.code
        places = [self.term(each) for each in at]
        if self._width > 1:
            value = code.splat(value, self._width)
        if found.dtype == code.dtype:
            self._write(array, places, value, self._mask if self._width > 1 else "")
            self._known[Element(array, at)] = value
        elif value.lanes > 1:
            raise LoweringError(f"{array} is of {found.dtype}")
        else:
            wide = code.raw(f"fpext float {value.text} to double")
            code.line(f"store double {wide}, ptr {self._address(array, places)}, align 8")

    def _read(self, array: str, at: Sequence[Value], width: int, mask: str) -> Value:
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

    def _write(self, array: str, at: Sequence[Value], value: Value, mask: str) -> None:
        self.code.store(value, self._address(array, at), mask)
        self._forget_terms(array)
        offset = None if mask else offset_of(at, self.shape(array))
        if offset is None:
            self._memory.forget(array)
        else:
            self._memory.write((array, offset, value.lanes), value)


def _reads(term: Term, array: str) -> bool:
    return any(isinstance(part, Element) and part.array == array for part in walk(term))


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
