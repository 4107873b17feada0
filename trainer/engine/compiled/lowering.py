"""A loop program as LLVM's text.

Loops over neighbouring places are written in vectors, with what is left over in shorter ones or
under a mask; which width they have changes no bit, since every lane is computed by itself. All
else is written as it stands. A kernel `f` becomes `f(work)`, where `work` is a block of 64-bit
slots: the team's address, the arrays' addresses, the numbers, and the addresses of the products.
Where there are jobs, `f_pieces(work, stay)` does pieces of them until none is left, or, with
`stay`, until the kernel has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trainer.engine.compiled.assembler import BYTES, REALS, Assembler, Value
from trainer.engine.compiled.body import Body
from trainer.engine.compiled.looping import used_lanes
from trainer.engine.compiled.target import Target
from trainer.engine.compiled.team import CAPTURED, JOB, team_text
from trainer.graph.loops import (
    ArrayArgument,
    Element,
    Function,
    Name,
    Pairwise,
    Product,
    Share,
    Statement,
    Store,
)
from trainer.graph.walking import all_terms, statements

PRODUCTS: Final = ("nn", "nt", "tn", "column")
PASSES: Final = ("sroa", "instruction_combine")


def lower(functions: Sequence[Function], dtype: str, target: Target) -> str:
    """LLVM's text of the functions. Raises `LoweringError`."""
    declared: set[str] = set()
    parts: list[str] = []
    jobs = False
    for function in functions:
        kernel = KernelText(function, dtype, target, declared)
        parts += kernel.written()
        jobs = jobs or bool(kernel.jobs)
    if any(isinstance(s, Pairwise) for f in functions for s in statements(f.body)):
        parts.append(_PAIRWISE.format(real=REALS[dtype]))
    if jobs:
        parts.append(team_text(target.triple))
    bits = target.vector_bytes * 8
    attributes = f'nounwind "min-legal-vector-width"="{bits}" "prefer-vector-width"="{bits}"'
    return "\n".join([*parts, *sorted(declared), f"attributes #0 = {{ {attributes} }}", ""])


def slots_of(function: Function) -> list[str]:
    """What the block of arguments of a function holds, in order."""
    arrays = [array.name for array in function.arrays]
    return ["team", *arrays, *function.numbers, *(f"product_{form}" for form in PRODUCTS)]


def arrays_in(body: Sequence[Statement]) -> set[str]:
    """The arrays that statements name."""
    found = {term.array for term in all_terms(body) if isinstance(term, Element)}
    for each in statements(body):
        match each:
            case Store(array) | Pairwise(array):
                found.add(array)
            case Product(a=a, b=b, out=out):
                found |= {a.array, b.array, out.array}
    return found


class KernelText:
    """All functions that one function of a program becomes."""

    def __init__(self, function: Function, dtype: str, target: Target, declared: set[str]) -> None:
        self.function = function
        self.dtype = dtype
        self.target = target
        self.declared = declared
        self.used_lanes = used_lanes(function.body)
        self.jobs: list[tuple[str, list[ArrayArgument], list[Name], list[str]]] = []

    @property
    def slots(self) -> list[str]:
        """What the block of arguments holds, in order."""
        return slots_of(self.function)

    def written(self) -> list[str]:
        """The text: the body, who calls it, the jobs, and who does their pieces."""
        function = self.function
        has_jobs = any(isinstance(each, Share) for each in statements(function.body))
        body = Body(self, Assembler(self.dtype, self.declared))
        for number in function.numbers:
            body.env[number] = Value(body.code, "int", f"%{number}")
        if has_jobs:  # other threads change the arrays, too, while this one waits for them
            for array in function.arrays:
                body.code.line(f"call void @team.expose(ptr %{array.name})")
        body.run(function.body)
        slots = self.slots
        given = [self._parameter(slot) for slot in slots]
        text = [
            f"define internal i64 @{function.name}.body({', '.join([*given, 'ptr %work'])}) "
            "noinline #0 {",
            "entry:", *body.code.allocas, *body.code.lines, "}", "",
            f"define i64 @{function.name}(ptr %work) #0 {{",
        ]  # fmt: skip
        loads, passed = self._loaded(slots)
        call = f"call i64 @{function.name}.body({', '.join([*passed, 'ptr %work'])})"
        text += [*loads, f"  %result = {call}", "  ret i64 %result", "}", ""]
        if has_jobs:
            text += self._written_jobs()
        return text

    def _parameter(self, slot: str) -> str:
        array = next((a for a in self.function.arrays if a.name == slot), None)
        if array is None:
            return f"{'i64' if slot in self.function.numbers else 'ptr'} %{slot}"
        return f"ptr noalias noundef nonnull align {BYTES[array.dtype]} %{slot}"

    def _loaded(self, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
        """Instructions that read arguments from their slots, and what is passed on then."""
        loads, passed = [], []
        places = {slot: k for k, slot in enumerate(self.slots)}
        for slot in wanted:
            kind = "i64" if slot in self.function.numbers else "ptr"
            at = f"%{slot}.at"
            loads += [
                f"  {at} = getelementptr inbounds i64, ptr %work, i64 {places[slot]}",
                f"  %{slot} = load {kind}, ptr {at}, align 8",
            ]
            passed.append(f"{kind} %{slot}")
        return loads, passed

    def add_job(self, share: Share, free: Sequence[Name]) -> int:
        """Writes a job's function; returns its number."""
        body = Body(self, Assembler(self.dtype, self.declared))
        code = body.code
        for k, name in enumerate(free):
            at = code.raw(f"getelementptr inbounds i64, ptr %captured, i64 {k}")
            kind = code.type_of(name.kind, 1)
            body.env[name.text] = code.emit(name.kind, f"load {kind}, ptr {at}, align 8")
        body.env[share.index] = Value(code, "int", "%piece")
        body.run((*share.body,))
        code.line("ret void")
        names = arrays_in(share.body)
        arrays = [array for array in self.function.arrays if array.name in names]
        self.jobs.append(("", arrays, list(free), [*code.allocas, *code.lines]))
        return len(self.jobs) - 1

    def _written_jobs(self) -> list[str]:
        name = self.function.name
        text: list[str] = []
        cases: list[str] = []
        blocks: list[str] = []
        products = [f"product_{form}" for form in PRODUCTS]
        for number, (_, arrays, _, lines) in enumerate(self.jobs):
            given = [self._parameter(slot) for slot in (*(a.name for a in arrays), *products)]
            job = f"{name}.job{number}"
            head = ", ".join([*given, "i64 %piece", "ptr %captured"])
            text += [
                f"define internal void @{job}({head}) noinline #0 {{",
                "entry:",
                *lines,
                "}",
                "",
            ]
            wanted = [*(a.name for a in arrays), *products]
            loads, passed = self._loaded(wanted)
            wrapper = [
                f"define internal void @{job}.call(ptr %work, i64 %piece, ptr %captured) #0 {{"
            ]
            call = ", ".join([*passed, "i64 %piece", "ptr %captured"])
            text += [*wrapper, *loads, f"  call void @{job}({call})", "  ret void", "}", ""]
            cases.append(f"    i64 {number}, label %job{number}")
            blocks += [
                f"job{number}:",
                f"  call void @{job}.call(ptr %work, i64 %piece, ptr %captured)",
                "  br label %done",
            ]
        return [
            *text,
            f"define void @{name}_pieces(ptr %work, i64 %stay) #0 {{",
            "entry:",
            "  %team = load ptr, ptr %work, align 8",
            "  br label %again",
            "again:",
            "  %piece = call i64 @team.take(ptr %team, i64 %stay)",
            "  %none = icmp slt i64 %piece, 0",
            "  br i1 %none, label %leave, label %found",
            "found:",
            f"  %job.at = getelementptr inbounds i64, ptr %team, i64 {JOB}",
            "  %job = load i64, ptr %job.at, align 8",
            f"  %captured.at = getelementptr inbounds i64, ptr %team, i64 {CAPTURED}",
            "  %captured = load ptr, ptr %captured.at, align 8",
            "  switch i64 %job, label %done [",
            *cases,
            "  ]",
            *blocks,
            "done:",
            "  call void @team.finish(ptr %team)",
            "  br label %again",
            "leave:",
            "  ret void",
            "}",
            "",
        ]


_PAIRWISE: Final = """
define internal void @pairwise(ptr %a, i64 %count, i64 %width) noinline #0 {{
entry:
  br label %distance
distance:
  %d = phi i64 [ 1, %entry ], [ %twice, %next ]
  %more = icmp slt i64 %d, %count
  br i1 %more, label %rows, label %done
rows:
  %twice = shl i64 %d, 1
  br label %row
row:
  %i = phi i64 [ 0, %rows ], [ %i.next, %row.end ]
  %other = add i64 %i, %d
  %inside = icmp slt i64 %other, %count
  br i1 %inside, label %columns, label %next
columns:
  %at.i = mul i64 %i, %width
  %at.o = mul i64 %other, %width
  br label %column
column:
  %j = phi i64 [ 0, %columns ], [ %j.next, %column ]
  %x.j = add i64 %at.i, %j
  %y.j = add i64 %at.o, %j
  %x.p = getelementptr inbounds {real}, ptr %a, i64 %x.j
  %y.p = getelementptr inbounds {real}, ptr %a, i64 %y.j
  %x = load {real}, ptr %x.p
  %y = load {real}, ptr %y.p
  %s = fadd {real} %x, %y
  store {real} %s, ptr %x.p
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j.next, %width
  br i1 %j.more, label %column, label %row.end
row.end:
  %i.next = add i64 %i, %twice
  br label %row
next:
  br label %distance
done:
  ret void
}}
"""
