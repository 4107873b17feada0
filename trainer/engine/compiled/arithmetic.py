"""Straight lines of LLVM's instructions: numbers, vectors of them, and the arithmetic of a dtype.

A `Value` knows its kind, and operators on values write instructions: `(i + 1) * stride` is an `add`
and a `mul`. Nothing here may choose an order or fuse what was not asked for: there are no fast-math
flags, and `fma` is an instruction of its own.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from trainer.numerics.elementary import constants_of

Kind: TypeAlias = Literal["real", "int", "bool", "ptr", "bits"]
"""Those of the loop program, pointers, and whole numbers as wide as a real, which wrap around."""


@dataclass(frozen=True)
class Real:
    """A type of reals: its dtype, LLVM's name, and its bytes."""

    dtype: str
    name: str
    bytes: int


REALS: Final = {x.dtype: x for x in (Real("float32", "float", 4), Real("float64", "double", 8))}
_COMPARE: Final = {
    "less": ("slt", "olt"), "at_most": ("sle", "ole"), "more": ("sgt", "ogt"),
    "at_least": ("sge", "oge"), "equal": ("eq", "oeq"), "differs": ("ne", "une"),
}  # fmt: skip
_INSTRUCTIONS: Final[dict[Kind, dict[str, str]]] = {
    "real": {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
    | {op: f"fcmp {real}" for op, (_, real) in _COMPARE.items()},
    "int": {"add": "add nsw", "sub": "sub nsw", "mul": "mul nsw", "over": "udiv", "rest": "urem",
            "and": "and"}
    | {op: f"icmp {whole}" for op, (whole, _) in _COMPARE.items()},
    "bool": {"and": "and", "or": "or", "differs": "xor"},
    "bits": {"add": "add", "sub": "sub", "and": "and", "or": "or", "left": "shl", "right": "lshr"},
}  # fmt: skip
_KNOWN: Final[dict[str, Callable[[int, int], int]]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul,
    "over": operator.floordiv, "rest": operator.mod,
}  # fmt: skip


def _operator(op: str) -> Callable[[Value, Given], Value]:
    return lambda value, other: value.code.binary(op, value, other)


def _reflected(op: str) -> Callable[[Value, float], Value]:
    return lambda value, other: value.code.binary(op, value.code.constant(other, value.kind), value)


@dataclass(slots=True, eq=False)
class Value:
    """A number, or a vector of `lanes` of them, as LLVM's text names it; `known` is the number of a
    constant.
    """

    code: Arithmetic
    kind: Kind
    text: str
    lanes: int = 1
    known: float | int | None = None
    type: str = field(init=False)
    """LLVM's."""

    def __post_init__(self) -> None:
        self.type = self.code.type_of(self.kind, self.lanes)

    def __str__(self) -> str:
        return f"{self.type} {self.text}"

    __add__, __radd__ = _operator("add"), _reflected("add")
    __sub__, __rsub__ = _operator("sub"), _reflected("sub")
    __mul__, __rmul__ = _operator("mul"), _reflected("mul")
    __truediv__, __rtruediv__ = _operator("div"), _reflected("div")
    __floordiv__ = _operator("over")
    __and__, __or__ = _operator("and"), _operator("or")
    __lshift__, __rshift__ = _operator("left"), _operator("right")
    __lt__, __le__ = _operator("less"), _operator("at_most")
    __gt__, __ge__ = _operator("more"), _operator("at_least")

    def __neg__(self) -> Value:
        return self.code.negative(self)

    def __invert__(self) -> Value:
        return self.code.binary("differs", self, 1)

    def equals(self, other: Given) -> Value:
        """Whether two numbers are equal."""
        return self.code.equal(self, other)

    def choose(self, yes: Given, no: Given) -> Value:
        """One of two, by this condition; by a mask, lane by lane."""
        return self.code.where(self, yes, no)

    def or_less(self, other: Given) -> Value:
        """The lesser of two whole numbers."""
        return (self < other).choose(self, other)


Given: TypeAlias = Value | float
"""A number of Python's is a constant, of the kind of what it is computed with, or real."""


class Arithmetic:
    """Instructions, as they are written, for reals of one dtype.

    It is an `Arithmetic` of the elementary functions too: run on values, they write themselves.
    """

    def __init__(self, real: Real, declared: dict[str, None]) -> None:
        """`declared` gets a line for each of LLVM's own functions that is called."""
        self.dtype, self.real = real.dtype, real
        self.lines: list[str] = []
        self._declared = declared
        self._count = 0
        self._wholes: dict[tuple[int, Kind], Value] = {}
        self._splats: dict[tuple[str, int], Value] = {}  # of this block
        self._types: dict[Kind, str] = {
            "real": real.name, "int": "i64", "bool": "i1", "ptr": "ptr",
            "bits": f"i{8 * real.bytes}",
        }  # fmt: skip

    # Text ----------------------------------------------------------------------------------------

    def do(self, instruction: str) -> None:
        """An instruction that gives nothing."""
        self.lines.append(f"  {instruction}")

    def let(self, kind: Kind, instruction: str, lanes: int = 1) -> Value:
        """What an instruction gives. No name of an argument has a point."""
        self._count += 1
        name = f"%v.{self._count}"
        self.lines.append(f"  {name} = {instruction}")
        return Value(self, kind, name, lanes)

    def type_of(self, kind: Kind, lanes: int = 1) -> str:
        """LLVM's type of so many numbers of a kind."""
        one = self._types[kind]
        return one if lanes == 1 else f"<{lanes} x {one}>"

    def intrinsic(self, name: str, *values: Value) -> Value:
        """One of LLVM's own functions of reals."""
        lanes, kind = values[0].lanes, values[0].type
        full = f"llvm.{name}.{self._code_of(lanes)}"
        self.declare(kind, full, *[kind] * len(values))
        return self.let("real", f"call {kind} @{full}({', '.join(map(str, values))})", lanes)

    def declare(self, result: str, name: str, *parameters: str) -> None:
        """One of LLVM's own functions is called."""
        self._declared[f"declare {result} @{name}({', '.join(parameters)})"] = None

    def _code_of(self, lanes: int) -> str:
        """A vector of reals in the names of these functions."""
        one = f"f{8 * self.real.bytes}"
        return one if lanes == 1 else f"v{lanes}{one}"

    # Constants -----------------------------------------------------------------------------------

    def number(self, value: float, lanes: int = 1) -> Value:
        """A real constant, rounded to the dtype, in every lane."""
        value = float(value)
        if self.dtype == "float32" and abs(value) < 3.5e38:
            value = struct.unpack("f", struct.pack("f", value))[0]
        [bits] = struct.unpack("<Q", struct.pack("<d", value))
        return self.splat(Value(self, "real", f"0x{bits:016X}", 1, value), lanes)

    def whole(self, value: int, kind: Kind = "int") -> Value:
        """A whole constant; of a condition, 0 or 1."""
        found = self._wholes.get((value, kind))
        if found is None:
            found = self._wholes[value, kind] = Value(self, kind, str(int(value)), 1, int(value))
        return found

    def vector(self, kind: Kind, numbers: Iterable[int]) -> Value:
        """A vector of whole constants, or a mask of 0 and 1."""
        texts = [str(self.whole(number, kind)) for number in numbers]
        return Value(self, kind, f"<{', '.join(texts)}>", len(texts))

    def constant(self, number: Given, kind: Kind) -> Value:
        """A number of Python's as a constant of a kind; a value as it is."""
        if isinstance(number, Value):
            return number
        return self.number(number) if kind == "real" else self.whole(int(number), kind)

    def alike(self, *given: Given) -> list[Value]:
        """Values of all, with as many lanes as the widest."""
        values = [each for each in given if isinstance(each, Value)]
        if len(values) < len(given):
            kind = values[0].kind if values else "real"
            values = [self.constant(each, kind) for each in given]
        lanes = max([value.lanes for value in values])
        return [x if x.lanes == lanes else self.splat(x, lanes) for x in values]

    # Vectors -------------------------------------------------------------------------------------

    def splat(self, value: Value, lanes: int) -> Value:
        """The same in every lane; once in a block."""
        if value.lanes == lanes:
            return value
        if value.known is not None:
            return Value(self, value.kind, f"splat ({value})", lanes, value.known)
        found = self._splats.get((value.text, lanes))
        if found is None:
            kind = self.type_of(value.kind, lanes)
            first = self.let(value.kind, f"insertelement {kind} poison, {value}, i64 0", lanes)
            text = f"shufflevector {first}, {kind} poison, <{lanes} x i32> zeroinitializer"
            found = self._splats[value.text, lanes] = self.let(value.kind, text, lanes)
        return found

    def places(self, first: Value | int, lanes: int) -> Value:
        """A vector of whole numbers: the first, the next one, and so on."""
        if isinstance(first, int):
            return self.vector("int", range(first, first + lanes))
        return first + self.places(0, lanes)

    def shuffle(self, x: Value, y: Value | None, places: Sequence[int]) -> Value:
        """The lanes at these places of two vectors, laid end to end; a number, if it is one."""
        if len(places) == 1:
            vector, place = divmod(places[0], x.lanes)
            return self.lane(y if vector and y is not None else x, place)
        other = "poison" if y is None else y.text
        where = ", ".join(f"i32 {place}" for place in places)
        text = f"shufflevector {x}, {x.type} {other}, <{len(places)} x i32> <{where}>"
        return self.let(x.kind, text, len(places))

    def lane(self, vector: Value, place: int) -> Value:
        """One lane of a vector."""
        if vector.lanes == 1:
            return vector
        return self.let(vector.kind, f"extractelement {vector}, i64 {place}")

    def replaced(self, vector: Value, place: int, value: Value) -> Value:
        """A vector with another number in one lane."""
        return self.let(
            vector.kind, f"insertelement {vector}, {value}, i64 {place}", vector.lanes
        )  # fmt: skip

    # Arithmetic ----------------------------------------------------------------------------------

    def binary(self, op: str, a: Value, b: Given) -> Value:
        """An operation by its name in the loop program; nan differs from all.

        Whole numbers are computed here where they are known.
        """
        kind = a.kind
        if not isinstance(b, Value):
            b = self.constant(b, kind)
        if a.lanes != b.lanes:
            a, b = self.alike(a, b)
        if kind == "int" and a.lanes == 1 and (a.known is not None or b.known is not None):
            found = self._folded(op, a, b)
            if found is not None:
                return found
        instruction = f"{_INSTRUCTIONS[kind][op]} {a}, {b.text}"
        return self.let("bool" if op in _COMPARE else kind, instruction, a.lanes)

    def _folded(self, op: str, a: Value, b: Value) -> Value | None:
        if a.known is not None and b.known is not None and op in _KNOWN:
            return self.whole(_KNOWN[op](int(a.known), int(b.known)))
        if (b.known == 0 and op in ("add", "sub")) or (b.known == 1 and op in ("mul", "over")):
            return a
        return b if a.known == 0 and op == "add" else None

    def negative(self, x: Value) -> Value:
        """-x"""
        if x.kind == "int":
            return 0 - x
        if x.known is not None:
            return self.number(-x.known, x.lanes)
        return self.let("real", f"fneg {x}", x.lanes)

    def equal(self, a: Value, b: Given) -> Value:
        """Whether two numbers are equal."""
        return self.binary("equal", a, b)

    def where(self, test: Value, a: Given, b: Given) -> Value:
        """The first where the test holds, else the second."""
        x, y = self.alike(a, b)
        if test.lanes > 1:
            x, y = self.splat(x, test.lanes), self.splat(y, test.lanes)
        return self.let(x.kind, f"select {test}, {x}, {y}", x.lanes)

    def fma(self, a: Given, b: Given, c: Given) -> Value:
        """`a b + c`, rounded once."""
        return self.intrinsic("fma", *self.alike(a, b, c))

    def sqrt(self, x: Value) -> Value:
        """The square root."""
        return self.intrinsic("sqrt", x)

    def absolute(self, x: Value) -> Value:
        """The number without its sign."""
        return self.intrinsic("fabs", x)

    def with_sign(self, size: Given, sign: Given) -> Value:
        """The first with the sign of the second."""
        return self.intrinsic("copysign", *self.alike(size, sign))

    def powers(self, shifted: Value) -> tuple[Value, Value]:
        """2^⌊n/2⌋ and 2^⌈n/2⌉, as `elementary.Arithmetic` has them; so does `split`."""
        c = constants_of(self.dtype)
        exponent = self._read_as("bits", shifted) & (4 * c.bias + 3)
        floor = exponent >> 1
        rest = exponent - floor
        return self._read_as("real", floor << c.fraction), self._read_as("real", rest << c.fraction)

    def split(self, x: Value) -> tuple[Value, Value, Value]:
        """(m, k, 2⁻ᵏ) with x = m 2ᵏ."""
        c = constants_of(self.dtype)
        form = ("<d", "<Q") if self.dtype == "float64" else ("<f", "<I")
        [root] = struct.unpack(form[1], struct.pack(form[0], 0.5**0.5))
        bits = self._read_as("bits", x) + ((c.bias << c.fraction) - root)
        biased = bits >> c.fraction
        m = (bits & (2**c.fraction - 1)) + root
        k = biased | ((c.bias + c.fraction) << c.fraction)
        inverse = (2 * c.bias - biased) << c.fraction
        return (
            self._read_as("real", m),
            self._read_as("real", k) - float(2**c.fraction + c.bias),
            self._read_as("real", inverse),
        )

    def _read_as(self, kind: Kind, x: Value) -> Value:
        """The same bits as a number of another kind."""
        return self.let(kind, f"bitcast {x} to {self.type_of(kind, x.lanes)}", x.lanes)
