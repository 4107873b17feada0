"""Which names equations take, and what is wrong with their texts and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.spec.expressions import EquationError, Expression, Span, names_in, parse_equation
from trainer.spec.messages import near


@dataclass(frozen=True)
class Fault:
    """What is wrong with an equation or a leaf of this name; `span` is where in the text it is, or
    None where all of it is at fault.
    """

    name: str
    message: str
    hint: str | None
    span: Span | None
    code: str | None


def find_faults(equations: Mapping[str, str], output: str, leaves: Sequence[str]) -> list[Fault]:
    """What is wrong with the texts and names of equations, of every one of them."""
    faults = []
    parsed: dict[str, Expression] = {}
    for name, text in equations.items():
        try:
            parsed[name] = parse_equation(text)
        except EquationError as error:
            span = Span(error.at, error.width)
            faults.append(Fault(name, error.message, error.hint, span, error.code))
    seen: set[str] = set(leaves)
    for name in equations:
        for found in names_in(parsed[name]) if name in parsed else ():
            if found.name not in seen:
                message, hint, code = _unknown(found.name, name, equations, seen)
                faults.append(Fault(name, message, hint, found.span, code))
        seen.add(name)
    if not faults:
        used = {output, *_needed(parsed, output)}
        faults += [
            Fault(name, f"'{name}' is not used by '{output}'", "remove it", None, "TR-G006")
            for name in (*equations, *leaves) if name not in used
        ]  # fmt: skip
    return faults


def _unknown(
    name: str, at: str, equations: Mapping[str, str], seen: set[str]
) -> tuple[str, str | None, str]:
    if name == at:
        return f"'{name}' takes itself: a graph has no cycles", None, "TR-G005"
    if name in equations:
        message = f"'{name}' comes later: an equation takes what stands above it"
        return message, "move it up", "TR-G005"
    hint = near(name, seen) or f"there are {', '.join(sorted(seen))}"
    return f"there is no '{name}' here", hint, "TR-G004"


def _needed(parsed: Mapping[str, Expression], output: str) -> set[str]:
    needed: set[str] = set()
    waiting = [output]
    while waiting:
        for found in names_in(parsed[waiting.pop()]):
            if found.name not in needed:
                needed.add(found.name)
                waiting += [found.name] if found.name in parsed else []
    return needed
