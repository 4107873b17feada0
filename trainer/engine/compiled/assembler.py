"""LLVM's instructions, one by one: values, blocks, memory, and the arithmetic of a dtype.

Nothing here may choose an order or fuse what was not asked for: there are no fast-math flags, and
`fma` is an instruction of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from trainer.graph.loops import Kind
from trainer.numerics.elementary import constants_of

BYTES: Final = {"float32": 4, "float64": 8}
REALS: Final = {"float32": "float", "float64": "double"}
_COMPARE: Final = {
    "less": ("slt", "olt"), "at_most": ("sle", "ole"), "more": ("sgt", "ogt"),
    "at_least": ("sge", "oge"), "equal": ("eq", "oeq"), "differs": ("ne", "une"),
}  # fmt: skip
_REAL: Final = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_WHOLE: Final = {
    "add": "add nsw", "sub": "sub nsw", "mul": "mul nsw", "over": "udiv", "rest": "urem",
}  # fmt: skip


class Value:
    """A number, or a vector of `lanes` of them: how LLVM's text names it.

    `known` is the number where it is a constant. Real values have the operators of arithmetic, so
    that the elementary functions can be run on them, which emits their instructions.
    """

    __slots__ = ("code", "kind", "known", "lanes", "text")

    def __init__(
        self, code: Assembler, kind: Kind, text: str, lanes: int = 1,
        known: float | int | None = None,
    ) -> None:  # fmt: skip
        self.code = code
        self.kind = kind
        self.text = text
        self.lanes = lanes
        self.known = known

    def __add__(self, other: Any) -> Value:
        return self.code.binary("add", self, other)

    def __radd__(self, other: Any) -> Value:
        return self.code.binary("add", other, self)

    def __sub__(self, other: Any) -> Value:
        return self.code.binary("sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.code.binary("sub", other, self)

    def __mul__(self, other: Any) -> Value:
        return self.code.binary("mul", self, other)

    def __rmul__(self, other: Any) -> Value:
        return self.code.binary("mul", other, self)

    def __truediv__(self, other: Any) -> Value:
        return self.code.binary("div", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return self.code.binary("div", other, self)

    def __neg__(self) -> Value:
        return self.code.negative(self)

    def __lt__(self, other: Any) -> Value:
        return self.code.compare("less", self, other)

    def __le__(self, other: Any) -> Value:
        return self.code.compare("at_most", self, other)

    def __gt__(self, other: Any) -> Value:
        return self.code.compare("more", self, other)

    def __ge__(self, other: Any) -> Value:
        return self.code.compare("at_least", self, other)


class Assembler:
    """Writes the blocks of one function. It is an `Arithmetic` of its dtype too."""

    def __init__(self, dtype: str, declared: set[str]) -> None:
        self.dtype = dtype
        self.real = REALS[dtype]
        self.bytes = BYTES[dtype]
        self.lines: list[str] = []
        self.allocas: list[str] = []
        self.block = "entry"
        self._declared = declared
        self._fresh = 0
        self._splats: dict[tuple[str, int], Value] = {}

    # Text ------------------------------------------------------------------------------------

    def fresh(self, stem: str = "t") -> str:
        """A name that was not used before."""
        self._fresh += 1
        return f"{stem}{self._fresh}"

    def line(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def emit(self, kind: Kind, text: str, lanes: int = 1) -> Value:
        """An instruction, and its result."""
        name = f"%{self.fresh()}"
        self.lines.append(f"  {name} = {text}")
        return Value(self, kind, name, lanes)

    def raw(self, text: str) -> str:
        """An instruction whose result is no number."""
        name = f"%{self.fresh()}"
        self.lines.append(f"  {name} = {text}")
        return name

    def start(self, label: str) -> None:
        """Begins a block."""
        self.lines.append(f"{label}:")
        self.block = label
        self._splats = {}

    def jump(self, label: str) -> None:
        """Ends a block."""
        self.line(f"br label %{label}")

    def branch(self, test: Value, yes: str, no: str) -> None:
        """Ends a block, by a test."""
        self.line(f"br i1 {test.text}, label %{yes}, label %{no}")

    @contextmanager
    def counting(self, first: Value, last: Value, step: int) -> Iterator[Value]:
        """A loop over `first`, `first + step`, … before `last`, tested at its end, so that what
        is kept in registers stays there.
        """
        known = first.known is not None and last.known is not None
        body, end = self.fresh("body"), self.fresh("end")
        if known:
            before = self.block
            self.jump(body)
        else:
            before = self.fresh("head")
            some = self.compare("less", first, last)
            self.branch(some, before, end)
            self.start(before)
            self.jump(body)
        self.start(body)
        place, mark = f"%{self.fresh()}", len(self.lines)
        self.lines.append("")
        yield Value(self, "int", place)
        following = self.emit("int", f"add nuw nsw i64 {place}, {step}")
        more = self.emit("bool", f"icmp slt i64 {following.text}, {last.text}")
        self.branch(more, body, end)
        self.lines[mark] = (
            f"  {place} = phi i64 [ {first.text}, %{before} ], [ {following.text}, %{self.block} ]"
        )
        self.start(end)

    # Constants and types ---------------------------------------------------------------------

    def number(self, value: float) -> Value:
        """A real constant, rounded to the dtype."""
        value = float(value)
        if self.dtype == "float32" and abs(value) < 3.5e38:
            value = struct.unpack("f", struct.pack("f", value))[0]
        bits = struct.unpack("<Q", struct.pack("<d", value))[0]
        return Value(self, "real", f"0x{bits:016X}", 1, value)

    def whole(self, value: int) -> Value:
        """An integer constant."""
        return Value(self, "int", str(int(value)), 1, int(value))

    def type(self, value: Value) -> str:
        """LLVM's type of a value."""
        return self.type_of(value.kind, value.lanes)

    def type_of(self, kind: Kind, lanes: int) -> str:
        """LLVM's type of so many numbers of a kind."""
        one = {"real": self.real, "int": "i64", "bool": "i1"}[kind]
        return one if lanes == 1 else f"<{lanes} x {one}>"

    def value(self, given: Any) -> Value:
        """A value, also of a number of Python's."""
        return given if isinstance(given, Value) else self.number(given)

    def splat(self, value: Value, lanes: int) -> Value:
        """A vector of one number."""
        if value.lanes == lanes:
            return value
        one = self.type_of(value.kind, 1)
        if value.known is not None:
            text = f"splat ({one} {value.text})"
            return Value(self, value.kind, text, lanes, value.known)
        found = self._splats.get((value.text, lanes))
        if found is None:
            vector = f"<{lanes} x {one}>"
            first = self.raw(f"insertelement {vector} poison, {one} {value.text}, i64 0")
            text = f"shufflevector {vector} {first}, {vector} poison"
            found = self.emit(value.kind, f"{text}, <{lanes} x i32> zeroinitializer", lanes)
            self._splats[value.text, lanes] = found
        return found

    def alike(self, *values: Value) -> tuple[list[Value], int]:
        """The values with as many lanes as the widest, and how many these are."""
        lanes = max(value.lanes for value in values)
        return [self.splat(value, lanes) for value in values], lanes

    def call(self, name: str, *values: Value, result: str | None = None) -> str:
        """A call of one of LLVM's functions for reals, which is declared."""
        kind, lanes = self.type(values[0]), values[0].lanes
        width = f"f{self.bytes * 8}" if lanes == 1 else f"v{lanes}f{self.bytes * 8}"
        function = f"@llvm.{name}.{width}"
        kinds = ", ".join([kind] * len(values))
        self._declared.add(f"declare {result or kind} {function}({kinds})")
        given = ", ".join(f"{kind} {value.text}" for value in values)
        return f"call {result or kind} {function}({given})"

    # Arithmetic ------------------------------------------------------------------------------

    def binary(self, op: str, a: Any, b: Any) -> Value:
        """One of `add sub mul div`, of integers also `over rest`."""
        a, b = self.value(a), self.value(b)
        if a.kind == "int":
            return self._of_whole(op, a, b)
        (a, b), lanes = self.alike(a, b)
        return self.emit("real", f"{_REAL[op]} {self.type(a)} {a.text}, {b.text}", lanes)

    def _of_whole(self, op: str, a: Value, b: Value) -> Value:
        if a.known is not None and b.known is not None:
            x, y = int(a.known), int(b.known)
            results = {"add": x + y, "sub": x - y, "mul": x * y}
            return self.whole(results[op] if op in results else x // y if op == "over" else x % y)
        if b.known == 0 and op in ("add", "sub"):
            return a
        if a.known == 0 and op == "add":
            return b
        if b.known == 1 and op in ("mul", "over"):
            return a
        return self.emit("int", f"{_WHOLE[op]} i64 {a.text}, {b.text}")

    def negative(self, x: Value) -> Value:
        """-x"""
        if x.known is not None and x.lanes == 1:
            return self.number(-x.known) if x.kind == "real" else self.whole(-int(x.known))
        if x.kind == "int":
            return self.emit("int", f"sub nsw i64 0, {x.text}")
        return self.emit("real", f"fneg {self.type(x)} {x.text}", x.lanes)

    def compare(self, op: str, a: Any, b: Any) -> Value:
        """A test; nan differs from all."""
        a, b = self.value(a), self.value(b)
        of_whole, of_real = _COMPARE[op]
        if a.kind == "int":
            return self.emit("bool", f"icmp {of_whole} i64 {a.text}, {b.text}")
        (a, b), lanes = self.alike(a, b)
        return self.emit("bool", f"fcmp {of_real} {self.type(a)} {a.text}, {b.text}", lanes)

    def equal(self, a: Value, b: Any) -> Value:
        """Whether two numbers are equal."""
        return self.compare("equal", a, b)

    def both(self, op: str, a: Value, b: Value) -> Value:
        """`and` or `or` of two tests."""
        (a, b), lanes = self.alike(a, b)
        return self.emit("bool", f"{op} {self.type(a)} {a.text}, {b.text}", lanes)

    def opposite(self, a: Value) -> Value:
        """Where a test does not hold."""
        true = "true" if a.lanes == 1 else "splat (i1 true)"
        return self.emit("bool", f"xor {self.type(a)} {a.text}, {true}", a.lanes)

    def where(self, test: Value, a: Any, b: Any) -> Value:
        """The first where the test holds, else the second."""
        a, b = self.value(a), self.value(b)
        if test.lanes > 1:
            a, b = self.splat(a, test.lanes), self.splat(b, test.lanes)
        (a, b), lanes = self.alike(a, b)
        kind = self.type(a)
        text = f"select {self.type(test)} {test.text}, {kind} {a.text}, {kind} {b.text}"
        return self.emit(a.kind, text, lanes)

    def fma(self, a: Any, b: Any, c: Any) -> Value:
        """`a b + c`, rounded once."""
        values, lanes = self.alike(self.value(a), self.value(b), self.value(c))
        return self.emit("real", self.call("fma", *values), lanes)

    def sqrt(self, x: Value) -> Value:
        """The square root."""
        return self.emit("real", self.call("sqrt", x), x.lanes)

    def absolute(self, x: Value) -> Value:
        """The number without its sign."""
        return self.emit("real", self.call("fabs", x), x.lanes)

    def with_sign(self, size: Value, sign: Value) -> Value:
        """The first with the sign of the second."""
        (size, sign), lanes = self.alike(size, sign)
        return self.emit("real", self.call("copysign", size, sign), lanes)

    def is_finite(self, x: Value) -> Value:
        """Whether it is neither infinite nor nan."""
        return self.compare("less", self.absolute(x), self.number(float("inf")))

    def powers(self, shifted: Value) -> tuple[Value, Value]:
        """2^⌊n/2⌋ and 2^⌈n/2⌉."""
        c, lanes = constants_of(self.dtype), shifted.lanes
        integer, at = self._integer(lanes), self._whole_splat
        bits = self.raw(f"bitcast {self.type(shifted)} {shifted.text} to {integer}")
        exponent = self.raw(f"and {integer} {bits}, {at(4 * c.bias + 3, lanes)}")
        floor = self.raw(f"lshr {integer} {exponent}, {at(1, lanes)}")
        rest = self.raw(f"sub {integer} {exponent}, {floor}")

        def power(half: str) -> Value:
            raw = self.raw(f"shl {integer} {half}, {at(c.fraction, lanes)}")
            return self.emit("real", f"bitcast {integer} {raw} to {self.type(shifted)}", lanes)

        return power(floor), power(rest)

    def split(self, x: Value) -> tuple[Value, Value, Value]:
        """(m, k, 2⁻ᵏ) with x = m 2ᵏ."""
        c, lanes, kind = constants_of(self.dtype), x.lanes, self.type(x)
        integer, at = self._integer(lanes), self._whole_splat
        form = ("<d", "<Q") if self.dtype == "float64" else ("<f", "<I")
        root = struct.unpack(form[1], struct.pack(form[0], 0.5**0.5))[0]
        one = c.bias << c.fraction
        bits = self.raw(f"bitcast {kind} {x.text} to {integer}")
        bits = self.raw(f"add {integer} {bits}, {at(one - root, lanes)}")
        biased = self.raw(f"lshr {integer} {bits}, {at(c.fraction, lanes)}")
        m = self.raw(f"and {integer} {bits}, {at(2**c.fraction - 1, lanes)}")
        m = self.raw(f"add {integer} {m}, {at(root, lanes)}")
        k = self.raw(f"or {integer} {biased}, {at((c.bias + c.fraction) << c.fraction, lanes)}")
        inverse = self.raw(f"sub {integer} {at(2 * c.bias, lanes)}, {biased}")
        inverse = self.raw(f"shl {integer} {inverse}, {at(c.fraction, lanes)}")

        def number(raw: str) -> Value:
            return self.emit("real", f"bitcast {integer} {raw} to {kind}", lanes)

        return number(m), number(k) - float(2**c.fraction + c.bias), number(inverse)

    def _integer(self, lanes: int) -> str:
        one = f"i{self.bytes * 8}"
        return one if lanes == 1 else f"<{lanes} x {one}>"

    def _whole_splat(self, value: int, lanes: int) -> str:
        return str(value) if lanes == 1 else f"splat (i{self.bytes * 8} {value})"

    # Vectors and memory ----------------------------------------------------------------------

    def places_from(self, first: Value, lanes: int) -> str:
        """A vector of integers: `first`, the next, and so on."""
        many = f"<{lanes} x i64>"
        numbers = ", ".join(f"i64 {k}" for k in range(lanes))
        return self.raw(f"add nsw {many} {self.splat(first, lanes).text}, <{numbers}>")

    def shuffle(self, a: Value, b: Value | None, places: Sequence[int]) -> Value:
        """The elements at these places of two vectors, laid end to end."""
        kind = self.type(a)
        other = "poison" if b is None else b.text
        where = ", ".join(f"i32 {place}" for place in places)
        text = f"shufflevector {kind} {a.text}, {kind} {other}, <{len(places)} x i32> <{where}>"
        return self.emit(a.kind, text, len(places))

    def extract(self, vector: Value, place: int) -> Value:
        """One element of a vector."""
        return self.emit("real", f"extractelement {self.type(vector)} {vector.text}, i64 {place}")

    def load(self, pointer: str, lanes: int, mask: str = "") -> Value:
        """Numbers of the dtype from memory; those outside of the mask are 0."""
        kind = self.type_of("real", lanes)
        if not mask:
            return self.emit("real", f"load {kind}, ptr {pointer}, align {self.bytes}", lanes)
        name = f"@llvm.masked.load.v{lanes}f{self.bytes * 8}.p0"
        self._declared.add(f"declare {kind} {name}(ptr, <{lanes} x i1>, {kind})")
        given = f"ptr align {self.bytes} {pointer}, <{lanes} x i1> {mask}, {kind} zeroinitializer"
        return self.emit("real", f"call {kind} {name}({given})", lanes)

    def store(self, value: Value, pointer: str, mask: str = "") -> None:
        """Numbers of the dtype to memory; none outside of the mask."""
        kind, lanes = self.type(value), value.lanes
        if not mask:
            self.line(f"store {kind} {value.text}, ptr {pointer}, align {self.bytes}")
            return
        name = f"@llvm.masked.store.v{lanes}f{self.bytes * 8}.p0"
        self._declared.add(f"declare void {name}({kind}, ptr, <{lanes} x i1>)")
        given = f"{kind} {value.text}, ptr align {self.bytes} {pointer}, <{lanes} x i1> {mask}"
        self.line(f"call void {name}({given})")

    def offset(self, pointer: str, offset: Value) -> str:
        """A place so many numbers of the dtype on."""
        if offset.known == 0:
            return pointer
        return self.raw(f"getelementptr inbounds {self.real}, ptr {pointer}, i64 {offset.text}")

    def alloca(self, kind: str, count: int = 1) -> str:
        """Memory of the function's own."""
        name = f"%{self.fresh('own')}"
        size = f", i64 {count}" if count > 1 else ""
        self.allocas.append(f"  {name} = alloca {kind}{size}, align 64")
        return name
