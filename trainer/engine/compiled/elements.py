"""An op's kernel, which is an expression of Python, as a term of the loop program."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from trainer.graph.loops import Apply, Choose, Number, Term
from trainer.graph.ops import LEAKY_SLOPE
from trainer.numerics.elementary import FUNCTIONS

CONSTANTS: Final = {"ZERO": 0.0, "ONE": 1.0, "SLOPE": LEAKY_SLOPE}
_BINARY: Final[Mapping[type[ast.AST], str]] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div",
    ast.Lt: "less", ast.LtE: "at_most", ast.Gt: "more", ast.GtE: "at_least",
    ast.Eq: "equal", ast.NotEq: "differs", ast.And: "and", ast.Or: "or",
}  # fmt: skip


def element(kernel: str, inputs: Sequence[Term]) -> Term:
    """The kernel with these terms for its inputs.

    Raises `ValueError` where it holds more than arithmetic, choices and known functions.
    """
    return _term(_parsed(kernel, len(inputs)), inputs)


@cache
def _parsed(kernel: str, inputs: int) -> ast.expr:
    places = [f"_{i}" for i in range(inputs)]
    return ast.parse(kernel.format(*places), mode="eval").body


def _term(tree: ast.expr, inputs: Sequence[Term]) -> Term:
    match tree:
        case ast.Name(name) if name in CONSTANTS:
            return Number(CONSTANTS[name])
        case ast.Name(name):
            return inputs[int(name[1:])]
        case ast.Constant(float(value)):
            return Number(value)
        case ast.UnaryOp(ast.USub(), operand):
            return Apply("neg", (_term(operand, inputs),))
        case ast.BinOp(left, operator, right) if type(operator) in _BINARY:
            return Apply(_BINARY[type(operator)], (_term(left, inputs), _term(right, inputs)))
        case ast.Compare(left, [operator], [right]):
            return Apply(_BINARY[type(operator)], (_term(left, inputs), _term(right, inputs)))
        case ast.BoolOp(operator, [first, second]):
            return Apply(_BINARY[type(operator)], (_term(first, inputs), _term(second, inputs)))
        case ast.IfExp(test, yes, no):
            return Choose(_term(test, inputs), _term(yes, inputs), _term(no, inputs))
        case ast.Call(ast.Name(name), terms) if name in FUNCTIONS or name == "sqrt":
            return Apply(name, tuple(_term(each, inputs) for each in terms))
    raise ValueError(f"a kernel cannot hold `{ast.unparse(tree)}`")
