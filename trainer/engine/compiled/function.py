"""LLVM's text for functions, as readable as what it says.

What a function does stands in the order of its lines; loops and conditions are `with` statements,
memory is read and written by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Final

from trainer.engine.compiled.arithmetic import Arithmetic, Given, Kind, Real, Value

KINDS: Final[dict[str, Kind]] = {"i64": "int", "i1": "bool", "ptr": "ptr", "array": "ptr"}


class Module:
    """Functions, and what of LLVM's own they call."""

    def __init__(self, real: Real, attributes: str = "nounwind") -> None:
        """All reals of a module are of one type; the attributes are those of its functions."""
        self.real = real
        self.parts: list[str] = []
        self.declared: dict[str, None] = {}
        self._attributes = attributes

    def __str__(self) -> str:
        return "\n".join(
            [*self.parts, *self.declared, f"attributes #0 = {{ {self._attributes} }}", ""]
        )


@dataclass
class Turn:
    """What is done once or more often, and the values that it changes."""

    values: list[Value]
    """At its beginning; after `when` and `while_more`, what holds at their end."""
    next: list[Value] = field(default_factory=list)
    """For the body to set; after `repeat`, what holds at its end."""
    again: Value | None = None
    """For the body of `repeat` to set: whether another turn follows."""


class Function(Arithmetic):
    """A function as it is written."""

    def __init__(
        self, module: Module, name: str, parameters: str,
        exported: bool = False, result: Kind | None = None,
    ) -> None:  # fmt: skip
        """`parameters` are of types `i64`, `i1`, `ptr`, and `array`, a pointer to what no other one
        points to: "i64 m, array a".
        """
        super().__init__(module.real, module.declared)
        pairs = [one.split() for one in parameters.split(",")]
        self.parameters = {name: Value(self, KINDS[kind], f"%{name}") for kind, name in pairs}
        shown = ", ".join(
            f"{'ptr noalias' if kind == 'array' else kind} %{name}" for kind, name in pairs
        )
        kind = self.type_of(result) if result else "void"
        linkage = "" if exported else "internal "
        self._head = f"define {linkage}{kind} @{name}({shown}) noinline #0 {{"
        self._parts = module.parts
        self._arrays: list[str] = []
        self._open = True  # more may follow in this block
        self.block = "entry"

    def end(self) -> None:
        """Returns, if it has not yet, and joins the module."""
        if self._open:
            self.do("ret void")
        self._parts += [self._head, "entry:", *self._arrays, *self.lines, "}"]

    # Calls ---------------------------------------------------------------------------------------

    def name(self, function: str) -> Value:
        """A function of the module, to be called."""
        return Value(self, "ptr", f"@{function}")

    def call(self, function: Value | str, *arguments: Value | int) -> None:
        """Calls a function that gives nothing."""
        self.do(self._call("void", function, arguments))

    def called(self, function: str, *arguments: Value | int, kind: Kind = "int") -> Value:
        """What a function gives."""
        return self.let(kind, self._call(self.type_of(kind), function, arguments))

    def _call(self, kind: str, function: Value | str, arguments: Sequence[Value | int]) -> str:
        named = function.text if isinstance(function, Value) else f"@{function}"
        given = ", ".join([str(self.constant(each, "int")) for each in arguments])
        return f"call {kind} {named}({given})"

    def give(self, value: Value) -> None:
        """Returns a value."""
        self.do(f"ret {value}")
        self._open = False

    # Memory --------------------------------------------------------------------------------------

    def array(self, count: int, lanes: int = 1, kind: Kind = "real") -> Value:
        """Room for so many numbers or vectors, for as long as the function runs."""
        self._count += 1
        name = f"%a.{self._count}"
        self._arrays.append(f"  {name} = alloca {self.type_of(kind, lanes)}, i64 {count}, align 64")
        return Value(self, "ptr", name)

    def at(self, pointer: Value, offset: Value | int, kind: Kind = "real") -> Value:
        """Where so many numbers after a pointer is."""
        places = self.constant(offset, "int")
        if places.known == 0:
            return pointer
        return self.let("ptr", f"getelementptr {self.type_of(kind)}, {pointer}, {places}")

    def load(
        self, pointer: Value, lanes: int = 1, mask: Value | None = None, kind: Kind = "real"
    ) -> Value:  # fmt: skip
        """A number; or a vector, whose lanes are 0, and not read, where a mask is not set."""
        shown = self.type_of(kind, lanes)
        if mask is None:
            return self.let(kind, f"load {shown}, {pointer}, align {self._align(kind)}", lanes)
        name = f"llvm.masked.load.{self._code_of(lanes)}.p0"
        self.declare(shown, name, "ptr", mask.type, shown)
        where = f"ptr align {self.real.bytes} {pointer.text}"
        given = f"{where}, {mask}, {shown} zeroinitializer"
        return self.let("real", f"call {shown} @{name}({given})", lanes)

    def store(self, value: Value, pointer: Value, mask: Value | None = None) -> None:
        """Writes a number; or a vector, only its lanes where a mask is set."""
        if mask is None:
            self.do(f"store {value}, {pointer}, align {self._align(value.kind)}")
            return
        name = f"llvm.masked.store.{self._code_of(value.lanes)}.p0"
        self.declare("void", name, value.type, "ptr", mask.type)
        self.do(f"call void @{name}({value}, ptr align {self.real.bytes} {pointer.text}, {mask})")

    def _align(self, kind: Kind) -> int:
        return self.real.bytes if kind == "real" else 8

    # Blocks --------------------------------------------------------------------------------------

    def _label(self) -> str:
        self._count += 1
        return f"b.{self._count}"

    def _begin(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block, self._open, self._splats = label, True, {}

    def _jump(self, label: str) -> None:
        if self._open:
            self.do(f"br label %{label}")

    def _branch(self, condition: Value, yes: str, no: str) -> None:
        self.do(f"br {condition}, label %{yes}, label %{no}")

    def _enter(self, label: str, values: Sequence[Value]) -> tuple[Turn, list[int]]:
        """Begins a block that carries values; `_again` completes the lines where they stand."""
        before, found, lines = self.block, [], []
        self._begin(label)
        for value in values:
            lines.append(len(self.lines))
            found.append(self._joined((value, before)))
        return Turn(found), lines

    def _again(self, lines: Sequence[int], values: Sequence[Value]) -> None:
        """Another way into the block, from here, with these values."""
        for line, value in zip(lines, values, strict=True):
            self.lines[line] += f", [ {value.text}, %{self.block} ]"

    def _joined(self, *ways: tuple[Value, str]) -> Value:
        """A value by the block that one comes from."""
        first = ways[0][0]
        incoming = ", ".join([f"[ {value.text}, %{block} ]" for value, block in ways])
        return self.let(first.kind, f"phi {first.type} {incoming}", first.lanes)

    def _either(
        self, label: str, before: str, values: Sequence[Value], others: Sequence[Value]
    ) -> list[Value]:
        """Begins a block with values from the block `before`, or others from this one."""
        after = self.block
        self._begin(label)
        return [
            self._joined((x, before), (y, after)) for x, y in zip(values, others, strict=True)
        ]  # fmt: skip

    # Control -------------------------------------------------------------------------------------

    @contextmanager
    def when(self, condition: Value, values: Sequence[Value] = ()) -> Iterator[Turn]:
        """What is done only if the condition holds, and may change values."""
        turn = Turn(list(values))
        before, yes, end = self.block, self._label(), self._label()
        self._branch(condition, yes, end)
        self._begin(yes)
        yield turn
        self._jump(end)
        turn.values = self._either(end, before, values, turn.next)

    def one_of(
        self, condition: Value, yes: Callable[[], Value], no: Callable[[], Value]
    ) -> Value:  # fmt: skip
        """One of two values, of which the other is not computed."""
        labels, end, ways = (self._label(), self._label()), self._label(), []
        self._branch(condition, *labels)
        for label, computed in zip(labels, (yes, no), strict=True):
            self._begin(label)
            ways.append((computed(), self.block))
            self._jump(end)
        self._begin(end)
        return self._joined(*ways)

    def switch(self, number: Value, cases: int) -> Iterator[int]:
        """0, 1, … below `cases`: what is written meanwhile is done for this number alone."""
        labels, end = [self._label() for _ in range(cases)], self._label()
        ways = " ".join(f"i64 {k}, label %{label}" for k, label in enumerate(labels))
        self.do(f"switch {number}, label %{end} [ {ways} ]")
        for k, label in enumerate(labels):
            self._begin(label)
            yield k
            self._jump(end)
        self._begin(end)

    @contextmanager
    def repeat(self, values: Sequence[Value]) -> Iterator[Turn]:
        """At least one turn, and more as long as `again` says so."""
        body, end = self._label(), self._label()
        self._jump(body)
        loop, lines = self._enter(body, values)
        yield loop
        assert loop.again is not None
        self._again(lines, loop.next)
        self._branch(loop.again, body, end)
        self._begin(end)

    @contextmanager
    def while_more(self, values: Sequence[Value], least: Given = 0) -> Iterator[Turn]:
        """Turns as long as the first of the carried values is greater than `least`.

        The test stands at the end of a turn, and once before the first: with the test at its top
        a loop has more values alive than LLVM has registers.
        """
        body, end = self._label(), self._label()
        before = self.block
        self._branch(values[0] > least, body, end)
        loop, lines = self._enter(body, values)
        yield loop
        self._again(lines, loop.next)
        self._branch(loop.next[0] > least, body, end)
        loop.values = self._either(end, before, values, loop.next)

    @contextmanager
    def each(
        self, stop: Value | int, step: Value | int = 1, start: Value | int = 0
    ) -> Iterator[Value]:  # fmt: skip
        """`start`, `start + step`, … below `stop`; of two constants the stop is the greater."""
        first, last = self.constant(start, "int"), self.constant(stop, "int")
        known = first.known is not None and last.known is not None
        some: AbstractContextManager[object] = nullcontext() if known else self.when(first < last)
        with some, self.repeat([first]) as loop:
            [place] = loop.values
            yield place
            loop.next = [place + step]
            loop.again = loop.next[0] < last
