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

from trainer.engine.compiled.arithmetic import REALS, Kind, Value
from trainer.engine.compiled.body import Body
from trainer.engine.compiled.function import Function, Module
from trainer.engine.compiled.looping import used_lanes
from trainer.engine.compiled.target import Target
from trainer.engine.compiled.team import CAPTURED, JOB, team_text
from trainer.graph import loops
from trainer.graph.loops import Element, Name, Pairwise, Product, Share, Statement, Store
from trainer.graph.walking import all_terms, statements

PRODUCTS: Final = ("nn", "nt", "tn", "column")
PASSES: Final = ("sroa", "instruction_combine")


def lower(
    functions: Sequence[loops.Function], dtype: str, target: Target, soon: bool = False
) -> str:
    """LLVM's text of the functions. With `soon` it is short: loops take one place at a time. Raises
    `LoweringError`.
    """
    bits = target.vector_bytes * 8
    attributes = f'nounwind "min-legal-vector-width"="{bits}" "prefer-vector-width"="{bits}"'
    module = Module(REALS[dtype], attributes)
    every = [each for function in functions for each in statements(function.body)]
    for function in functions:
        KernelText(function, module, target, soon).write()
    if any(isinstance(each, Pairwise) for each in every):
        _add_pairwise(module)
    if any(isinstance(each, Share) for each in every):
        module.parts.append(team_text(target.triple))
    return str(module)


def slots_of(function: loops.Function) -> list[str]:
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

    def __init__(
        self, function: loops.Function, module: Module, target: Target, soon: bool = False
    ) -> None:
        self.function = function
        self.target = target
        self.soon = soon
        self.used_lanes = used_lanes(function.body)
        self._module = module
        self._slots = slots_of(function)
        self._arrays = [array.name for array in function.arrays]
        self._jobs: list[list[str]] = []  # the slots that each one reads

    def write(self) -> None:
        """Adds the body, who calls it, the jobs, and who does their pieces."""
        name, slots = self.function.name, self._slots
        f = self._begun(f"{name}.body", slots, "ptr work", result="int")
        body = Body(self, f)
        body.env |= {number: f.parameters[number] for number in self.function.numbers}
        if any(isinstance(each, Share) for each in statements(self.function.body)):
            for array in self._arrays:  # other threads change them, too, while this one waits
                f.call("team.expose", f.parameters[array])
        body.run(self.function.body)
        f.end()
        f = Function(self._module, name, "ptr work", exported=True, result="int")
        work = f.parameters["work"]
        f.give(f.called(f"{name}.body", *self._loaded(f, slots), work))
        f.end()
        if self._jobs:
            self._add_pieces()

    def add_job(self, share: Share, free: Sequence[Name]) -> int:
        """Adds a job's function, to which the free names are captured; returns its number."""
        number, names = len(self._jobs), arrays_in(share.body)
        slots = [slot for slot in self._slots if slot in names or slot.startswith("product_")]
        self._jobs.append(slots)
        name = f"{self.function.name}.job{number}"
        f = self._begun(name, slots, "i64 piece, ptr captured")
        body = Body(self, f)
        for k, each in enumerate(free):
            at = f.at(f.parameters["captured"], k, "int")
            body.env[each.text] = f.load(at, kind=each.kind)
        body.env[share.index] = f.parameters["piece"]
        body.run(share.body)
        f.end()
        return number

    def _begun(
        self, name: str, slots: Sequence[str], more: str, result: Kind | None = None
    ) -> Function:
        """A function of what the slots hold, and more."""
        kinds = {"int": "i64", "ptr": "ptr"}
        given = [
            f"{'array' if slot in self._arrays else kinds[self._kind(slot)]} {slot}"
            for slot in slots
        ]
        return Function(self._module, name, ", ".join([*given, more]), result=result)

    def _kind(self, slot: str) -> Kind:
        return "int" if slot in self.function.numbers else "ptr"

    def _loaded(self, f: Function, slots: Sequence[str]) -> list[Value]:
        """What the slots hold, for a function that has `work`."""
        work, found = f.parameters["work"], []
        for slot in slots:
            place = f.at(work, self._slots.index(slot), "int")
            found.append(f.load(place, kind=self._kind(slot)))
        return found

    def _add_pieces(self) -> None:
        """Adds `f_pieces`, which takes pieces of the jobs as long as there are any."""
        f = Function(
            self._module, f"{self.function.name}_pieces", "ptr work, i64 stay", exported=True
        )
        work, stay = f.parameters.values()
        team = f.load(work, kind="ptr")
        with f.while_more([f.called("team.take", team, stay)], -1) as turns:
            [piece] = turns.values
            job = f.load(f.at(team, JOB, "int"), kind="int")
            captured = f.load(f.at(team, CAPTURED, "int"), kind="ptr")
            for number in f.switch(job, len(self._jobs)):
                given = self._loaded(f, self._jobs[number])
                f.call(f"{self.function.name}.job{number}", *given, piece, captured)
            f.call("team.finish", team)
            turns.next = [f.called("team.take", team, stay)]
        f.end()


def _add_pairwise(module: Module) -> None:
    """Adds `pairwise`: the rows of an array, added to the first one by pairs, pairs of pairs, …"""
    f = Function(module, "pairwise", "array a, i64 count, i64 width")
    a, count, width = f.parameters.values()
    with f.when(count > 1), f.repeat([f.whole(1)]) as loop:
        [apart] = loop.values
        with f.each(count - apart, apart * 2) as row, f.each(width) as column:
            first = f.at(a, row * width + column)
            other = f.at(a, (row + apart) * width + column)
            f.store(f.load(first) + f.load(other), first)
        loop.next = [apart * 2]
        loop.again = loop.next[0] < count
    f.end()
