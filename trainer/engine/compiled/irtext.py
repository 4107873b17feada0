"""LLVM's text for functions written by hand, as readable as what it says.

A `Value` knows its type, and operators on values write instructions: `(i + 1) * stride` is an `add`
and a `mul`, with whole numbers as constants. What a function does stands in the order of its lines,
loops and conditions are `with` statements. Nothing here may change the arithmetic of floats: there
are no flags, and `fma` is one rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeAlias

I64: Final = "i64"
PTR: Final = "ptr"


@dataclass(frozen=True)
class Real:
    """A type of floats: LLVM's name, its code in names of intrinsics, and its bytes."""

    name: str
    code: str
    bytes: int

    def vector(self, lanes: int) -> str:
        """The type of a vector."""
        return f"<{lanes} x {self.name}>"


REALS: Final = {"float32": Real("float", "f32", 4), "float64": Real("double", "f64", 8)}


@dataclass(slots=True, eq=False)
class Value:
    """What an instruction gave, or a constant, in the function that it belongs to."""

    text: str
    type: str
    of: Function

    def __str__(self) -> str:
        return f"{self.type} {self.text}"

    def _with(self, instruction: str, other: Number) -> Value:
        return self.of.let(self.type, f"{instruction} {self}, {_text(other)}")

    def _compared(self, how: str, other: Number) -> Value:
        return self.of.let("i1", f"icmp {how} {self}, {_text(other)}")

    def __add__(self, other: Number) -> Value:
        return self._with("add nsw", other)

    def __sub__(self, other: Number) -> Value:
        return self._with("sub nsw", other)

    def __mul__(self, other: Number) -> Value:
        return self._with("mul nsw", other)

    def __floordiv__(self, other: Number) -> Value:
        return self._with("udiv", other)

    def __and__(self, other: Number) -> Value:
        return self._with("and", other)

    def __or__(self, other: Number) -> Value:
        return self._with("or", other)

    def __lt__(self, other: Number) -> Value:
        return self._compared("slt", other)

    def __gt__(self, other: Number) -> Value:
        return self._compared("sgt", other)

    def __ge__(self, other: Number) -> Value:
        return self._compared("sge", other)

    def equals(self, other: Number) -> Value:
        """Whether two whole numbers are the same."""
        return self._compared("eq", other)

    def or_less(self, other: Number) -> Value:
        """The lesser of two whole numbers."""
        return (self < other).choose(self, other)

    def choose(self, yes: Number, no: Number) -> Value:
        """One of two, by this condition; of two vectors lane by lane, by a mask."""
        x, y = self.of.whole(yes), self.of.whole(no)
        return self.of.let(x.type, f"select {self}, {x}, {y}")


Number: TypeAlias = Value | int


def _text(number: Number) -> str:
    return number.text if isinstance(number, Value) else str(number)


@dataclass
class Turn:
    """What is done once or more often, and the values that it changes."""

    values: list[Value]
    """At its beginning; after `when` and `while_more`, what holds at their end."""
    next: list[Value] = field(default_factory=list)
    """For the body to set; after `repeat`, what holds at its end."""
    again: Value | None = None
    """For the body of `repeat` to set: whether another turn follows."""


class Function:
    """A function as it is written."""

    def __init__(self, module: Module, name: str, parameters: str, exported: bool = False) -> None:
        """`parameters` are LLVM's, of types `i64`, `i1` and `ptr`: "i64 m, ptr a"."""
        self.module, self.real = module, module.real
        pairs = [one.split() for one in parameters.split(",")]
        self.parameters = {name: Value(f"%{name}", kind, self) for kind, name in pairs}
        shown = ", ".join(
            f"{kind} noalias %{name}" if kind == PTR else f"{kind} %{name}" for kind, name in pairs
        )
        kind = "" if exported else "internal "
        self._lines = [f"define {kind}void @{name}({shown}) nounwind {{", "entry:"]
        self._block = "entry"
        self._count = 0

    def end(self) -> None:
        """Returns, and joins the module."""
        self._lines += ["  ret void", "}"]
        self.module.parts.append("\n".join(self._lines))

    # Instructions --------------------------------------------------------------------------------

    def do(self, instruction: str) -> None:
        """An instruction that gives nothing."""
        self._lines.append(f"  {instruction}")

    def let(self, kind: str, instruction: str) -> Value:
        """What an instruction gives, of this type."""
        self._count += 1
        name = f"%v{self._count}"
        self._lines.append(f"  {name} = {instruction}")
        return Value(name, kind, self)

    def whole(self, number: Number) -> Value:
        """A whole number as a value."""
        return number if isinstance(number, Value) else Value(str(number), I64, self)

    def flag(self, value: bool) -> Value:
        """A condition that is known."""
        return Value("true" if value else "false", "i1", self)

    def name(self, function: str) -> Value:
        """A function of the module, to be called."""
        return Value(f"@{function}", PTR, self)

    def call(self, function: Value | str, *arguments: Value | int) -> None:
        """Calls a function that gives nothing."""
        named = function.text if isinstance(function, Value) else f"@{function}"
        self.do(f"call void {named}({', '.join(str(self.whole(x)) for x in arguments)})")

    def array(self, count: int) -> Value:
        """Room for so many floats on the stack, for as long as the function runs; to be asked for
        at its beginning.
        """
        return self.let(PTR, f"alloca {self.real.name}, i64 {count}, align 64")

    # Memory --------------------------------------------------------------------------------------

    def at(self, pointer: Value, offset: Number) -> Value:
        """Where so many floats after a pointer is."""
        if offset == 0:
            return pointer
        return self.let(PTR, f"getelementptr {self.real.name}, {pointer}, i64 {_text(offset)}")

    def load(self, pointer: Value, lanes: int = 0, mask: Value | None = None) -> Value:
        """A float; or a vector, whose lanes are 0, and not read, where a mask is not set."""
        kind = self.real.vector(lanes) if lanes else self.real.name
        if mask is None:
            return self.let(kind, f"load {kind}, {pointer}, align {self.real.bytes}")
        name = f"llvm.masked.load.v{lanes}{self.real.code}.p0"
        self.module.declare(kind, name, PTR, mask.type, kind)
        where = f"ptr align {self.real.bytes} {pointer.text}"
        return self.let(kind, f"call {kind} @{name}({where}, {mask}, {self.zeros(lanes)})")

    def store(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        """Writes a float; or a vector, only its lanes where a mask is set."""
        if mask is None:
            self.do(f"store {value}, {pointer}, align {self.real.bytes}")
            return
        name = f"llvm.masked.store.v{self.lanes(value)}{self.real.code}.p0"
        self.module.declare("void", name, value.type, PTR, mask.type)
        self.do(f"call void @{name}({value}, ptr align {self.real.bytes} {pointer.text}, {mask})")

    # Vectors -------------------------------------------------------------------------------------

    def zeros(self, lanes: int = 0) -> Value:
        """+0, or a vector of it."""
        kind = self.real.vector(lanes) if lanes else self.real.name
        return Value("zeroinitializer", kind, self)

    def splat(self, value: Value, lanes: int) -> Value:
        """The same in every lane."""
        kind = f"<{lanes} x {value.type}>"
        one = self.let(kind, f"insertelement {kind} poison, {value}, i64 0")
        return self.shuffle(one, one, [0] * lanes)

    def shuffle(self, x: Value, y: Value, lanes: Sequence[int]) -> Value:
        """Lanes of two vectors, counted through both."""
        kind = f"<{len(lanes)} x {x.type[1:-1].split(' x ')[1]}>"
        places = ", ".join(f"i32 {lane}" for lane in lanes)
        return self.let(kind, f"shufflevector {x}, {y}, <{len(lanes)} x i32> <{places}>")

    def lane(self, vector: Value, place: int) -> Value:
        """One lane of a vector."""
        kind = vector.type[1:-1].split(" x ")[1]
        return self.let(kind, f"extractelement {vector}, i64 {place}")

    def lanes(self, vector: Value) -> int:
        """How many lanes a vector has."""
        return int(vector.type[1:].split()[0])

    def first(self, count: Value, lanes: int, start: int = 0) -> Value:
        """A mask of the lanes that are the first `count` of all, where the first one here is number
        `start`.
        """
        numbers = ", ".join(f"i64 {start + lane}" for lane in range(lanes))
        every = self.splat(count, lanes)
        return self.let(f"<{lanes} x i1>", f"icmp ugt {every}, <{numbers}>")

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """The fused `x y + z` of floats or vectors, rounded once."""
        many = f"v{self.lanes(x)}" if x.type.startswith("<") else ""
        name = f"llvm.fma.{many}{self.real.code}"
        self.module.declare(x.type, name, *[x.type] * 3)
        return self.let(x.type, f"call {x.type} @{name}({x}, {y}, {z})")

    def add(self, x: Value, y: Value) -> Value:
        """The sum of floats."""
        return self.let(x.type, f"fadd {x}, {y.text}")

    # Control -------------------------------------------------------------------------------------

    def _label(self) -> str:
        self._count += 1
        return f"b{self._count}"

    def _begin(self, label: str) -> None:
        self._lines.append(f"{label}:")
        self._block = label

    def _enter(self, label: str, values: Sequence[Value]) -> tuple[Turn, list[int]]:
        """Begins a block that carries values; `_again` completes the lines where they stand."""
        before, found, lines = self._block, [], []
        self._begin(label)
        for value in values:
            lines.append(len(self._lines))
            found.append(self.let(value.type, f"phi {value.type} [ {value.text}, %{before} ]"))
        return Turn(found), lines

    def _again(self, lines: Sequence[int], values: Sequence[Value]) -> None:
        """Another way into the block, from here, with these values."""
        for line, value in zip(lines, values, strict=True):
            self._lines[line] += f", [ {value.text}, %{self._block} ]"

    def _either(
        self, label: str, before: str, values: Sequence[Value], others: Sequence[Value]
    ) -> list[Value]:
        """Begins a block with values from the block `before`, or others from this one."""
        after = self._block
        self._begin(label)
        return [
            self.let(x.type, f"phi {x.type} [ {x.text}, %{before} ], [ {y.text}, %{after} ]")
            for x, y in zip(values, others, strict=True)
        ]

    @contextmanager
    def when(self, condition: Value, values: Sequence[Value] = ()) -> Iterator[Turn]:
        """What is done only if the condition holds, and may change values."""
        turn = Turn(list(values))
        before, yes, end = self._block, self._label(), self._label()
        self.do(f"br {condition}, label %{yes}, label %{end}")
        self._begin(yes)
        yield turn
        self.do(f"br label %{end}")
        turn.values = self._either(end, before, values, turn.next)

    @contextmanager
    def repeat(self, values: Sequence[Value]) -> Iterator[Turn]:
        """At least one turn, and more as long as `again` says so."""
        body, end = self._label(), self._label()
        self.do(f"br label %{body}")
        loop, lines = self._enter(body, values)
        yield loop
        assert loop.again is not None
        self._again(lines, loop.next)
        self.do(f"br {loop.again}, label %{body}, label %{end}")
        self._begin(end)

    @contextmanager
    def while_more(self, values: Sequence[Value], least: Number = 0) -> Iterator[Turn]:
        """Turns as long as the first of the carried values is greater than `least`.

        The test stands at the end of a turn, and once before the first: with the test at its top
        a loop has more values alive than LLVM has registers.
        """
        body, end = self._label(), self._label()
        before = self._block
        self.do(f"br {values[0] > least}, label %{body}, label %{end}")
        loop, lines = self._enter(body, values)
        yield loop
        self._again(lines, loop.next)
        self.do(f"br {loop.next[0] > least}, label %{body}, label %{end}")
        loop.values = self._either(end, before, values, loop.next)

    @contextmanager
    def each(self, stop: Value, step: Number = 1) -> Iterator[Value]:
        """0, step, 2 step, … below `stop`."""
        with self.when(stop > 0), self.repeat([self.whole(0)]) as loop:
            yield loop.values[0]
            loop.next = [loop.values[0] + step]
            loop.again = loop.next[0] < stop


class Module:
    """Functions, and what of LLVM's own they call."""

    def __init__(self, real: Real) -> None:
        """All floats of a module are of one type."""
        self.real = real
        self.parts: list[str] = []
        self._declared: dict[str, None] = {}

    def declare(self, kind: str, name: str, *parameters: str) -> None:
        """One of LLVM's own functions is called."""
        self._declared[f"declare {kind} @{name}({', '.join(parameters)})"] = None

    def __str__(self) -> str:
        return "\n".join([*self.parts, *self._declared, ""])
