"""Equations as people write them: `sigmoid(W @ x + b)`, parsed and never evaluated.

Python's own parser reads the text; only numbers, names, `+ - * / @ **` and calls of the functions
in `FUNCTIONS` are let through.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

FUNCTIONS: Final[Mapping[str, int]] = {
    "sigmoid": 1,
    "tanh": 1,
    "relu": 1,
    "leaky_relu": 1,
    "softplus": 1,
    "gelu": 1,
    "softmax": 1,
    "log_softmax": 1,
    "exp": 1,
    "log": 1,
    "sqrt": 1,
    "square": 1,
    "sum": 1,
    "mean": 1,
    "norm": 1,
    "dot": 2,
    "minimum": 2,
}
"""What an equation can call, and with how many arguments."""

MAX_LENGTH: Final = 2000
MAX_DEPTH: Final = 100
NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_LINE_BREAKS: Final = re.compile(r"[\n\r\f]")
# What no equation holds, and of which Python would warn while it reads: texts, and `1if`.
_NEVER: Final = re.compile(r"""['"\\]|(?<!\w)[0-9][\w.]*(?:and|else|for|if|in|is|not|or)""")


class EquationError(ValueError):
    """An equation that is none. `at` is where in its text the fault begins, `width` its length;
    `equation` its name, where that is known.
    """

    def __init__(
        self,
        message: str,
        at: int = 0,
        width: int = 1,
        hint: str | None = None,
        *,
        code: str | None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        self.width = width
        self.hint = hint
        self.code = code
        self.equation = ""


class Span(NamedTuple):
    """The characters of a text that an expression stands in."""

    at: int
    width: int


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float
    span: Span


@dataclass(frozen=True)
class Name:
    """An input, a parameter, or the name of an earlier equation."""

    name: str
    span: Span


@dataclass(frozen=True)
class Call:
    """A function or an operator (`+`, `-`, `*`, `/`, `@`, `**`, and `neg`) with its arguments."""

    function: str
    arguments: tuple[Expression, ...]
    span: Span


Expression: TypeAlias = Number | Name | Call

_OPERATORS: Final[Mapping[type, str]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
    ast.Pow: "**",
}


def parse_equation(text: str) -> Expression:
    """The expression that a text writes. Raises `EquationError` with the place of the fault."""
    if len(text) > MAX_LENGTH:
        raise EquationError(
            f"an equation of {len(text)} characters (at most {MAX_LENGTH})", code="TR-G001"
        )
    if not text.strip():
        raise EquationError("expected an equation, found nothing", code="TR-G001")
    if "#" in text:  # after which Python would read nothing, not even the next line
        hint = "write it behind the quotes, or in a line of its own"
        raise EquationError(
            "an equation holds no comment", text.index("#"), 1, hint, code="TR-G001"
        )
    never = _NEVER.search(text)
    if never:
        raise EquationError(
            f"this is no equation from {never[0][0]!r} on", never.start(), code="TR-G001"
        )
    text = _LINE_BREAKS.sub(" ", text)
    start = len(text) - len(text.lstrip())
    try:
        tree = _parsed(text.lstrip())
    except SyntaxError as error:
        raise _not_understood(text, error, start) from None
    except (ValueError, RecursionError, MemoryError):
        raise EquationError("this is no equation", code="TR-G001") from None
    return _Reader(text, start).read(tree.body, 0)


def _parsed(text: str) -> ast.Expression:
    for _ in range(100):
        # Where two threads parse at once, Python 3.11 may stop with "recursion depth mismatch".
        with suppress(SystemError):
            return ast.parse(text, mode="eval")
    return ast.parse(text, mode="eval")


def names_in(expression: Expression) -> Iterator[Name]:
    """All names in an expression, from left to right."""
    if isinstance(expression, Name):
        yield expression
    elif isinstance(expression, Call):
        for argument in expression.arguments:
            yield from names_in(argument)


def _not_understood(text: str, error: SyntaxError, start: int) -> EquationError:
    end = len(text.rstrip())
    at = min(start + error.offset - 1, end) if error.offset else end  # 0 where more should come
    hint = "write x ** 2 for a power" if "^" in text else None
    if text.count("(") != text.count(")"):
        hint = "a parenthesis is missing, or there is one too many"
    if "=" in text:
        hint = "the name stands before the colon: `h: sigmoid(z)`"
    if at == end:
        return EquationError("something is missing at the end", at, 1, hint, code="TR-G001")
    return EquationError(f"this is no equation from {text[at]!r} on", at, 1, hint, code="TR-G001")


class _Reader:
    """Turns what Python parsed into an expression, and refuses everything else."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._start = start

    def read(self, node: ast.expr, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            hint = "give a part of it a name: an equation of its own"
            raise self._wrong(node, f"more than {MAX_DEPTH} levels of nesting", hint)
        if isinstance(node, ast.Constant):
            return self._number(node)
        if isinstance(node, ast.Name):
            if not self._shown(node).isascii():  # Python reads several letters as one
                hint = "names are made of a to z, digits and _"
                raise self._wrong(node, f"'{self._shown(node)}' is no name", hint)
            return Name(node.id, self._span(node))
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            both = (self.read(node.left, depth + 1), self.read(node.right, depth + 1))
            return Call(_OPERATORS[type(node.op)], both, self._span(node))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
            raise self._wrong(node, "there is no operator ^", "write x ** 2 for a power")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            value = self.read(node.operand, depth + 1)
            if isinstance(node.op, ast.UAdd):
                return value
            if isinstance(value, Number):
                return Number(-value.value, self._span(node))
            return Call("neg", (value,), self._span(node))
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        known = "numbers, names, + - * / @ ** and functions"
        raise self._wrong(node, f"expected {known}, found '{self._shown(node)}'")

    def _call(self, node: ast.Call, depth: int) -> Call:
        if not isinstance(node.func, ast.Name):
            raise self._wrong(node, f"'{self._shown(node.func)}' is no function", code="TR-G002")
        name = node.func.id
        if name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(FUNCTIONS)}"
            raise self._wrong(node.func, f"there is no function '{name}'", hint, code="TR-G002")
        if node.keywords or any(isinstance(item, ast.Starred) for item in node.args):
            raise self._wrong(node, f"{name} takes plain arguments", code="TR-G003")
        if len(node.args) != FUNCTIONS[name]:
            wanted = f"{FUNCTIONS[name]} argument{'s' * (FUNCTIONS[name] > 1)}"
            message = f"{name} takes {wanted}, found {len(node.args)}"
            raise self._wrong(node, message, code="TR-G003")
        arguments = tuple(self.read(item, depth + 1) for item in node.args)
        return Call(name, arguments, self._span(node))

    def _number(self, node: ast.Constant) -> Number:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(node, f"expected a number, found '{self._shown(node)}'")
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if number in (float("inf"), float("-inf")):
            raise self._wrong(node, "this number is too large for float64")
        return Number(number, self._span(node))

    def _span(self, node: ast.expr) -> Span:
        line = self._text[self._start :].encode()
        before = len(line[: node.col_offset].decode(errors="replace"))
        until = len(line[: node.end_col_offset].decode(errors="replace"))
        return Span(self._start + before, max(until - before, 1))

    def _shown(self, node: ast.expr) -> str:
        span = self._span(node)
        text = self._text[span.at : span.at + span.width]
        return text if len(text) <= 40 else f"{text[:37]}..."

    def _wrong(
        self, node: ast.expr, message: str, hint: str | None = None, *, code: str = "TR-G001"
    ) -> EquationError:
        span = self._span(node)
        return EquationError(message, *span, hint, code=code)
