"""Equations in a spec: what is read and refused, what they mean for a batch, what they train to."""

from __future__ import annotations

import ast
import copy
import csv
import itertools
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import TINY
from derivatives import backprop, complex_step, relative_error
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

import trainer
from trainer import Profile, Run, build_graph, load_spec
from trainer.data import load_dataset
from trainer.data.preparing.layout import Layout
from trainer.engine import EngineName, evaluate
from trainer.errors import GraphError, InterruptedRun, SpecError, UsageError
from trainer.export.check import answer_model
from trainer.export.files import FORMATS, export_model
from trainer.graph import Graph, GraphBuilder
from trainer.graph.initialisers import initial_parameters
from trainer.graph.ops import BATCH, Array
from trainer.network.model import Model
from trainer.runs.resume import resume
from trainer.spec import Sketch, Spec, load_any
from trainer.spec.expressions import (
    FUNCTIONS,
    EquationError,
    Expression,
    Name,
    Number,
    names_in,
    parse_equation,
)
from trainer.spec.lifting import Lifted, lift_equations
from trainer.training import StepsDone

UNKEPT = Profile(runs=None)

WriteSpec = Callable[..., Path]
Found = tuple[int | None, int | None, str, str, str | None]

# What is read -----------------------------------------------------------------------------------


def show(expression: Expression) -> str:
    """The expression with a parenthesis around every call."""
    if isinstance(expression, Number):
        return f"{expression.value:g}"
    if isinstance(expression, Name):
        return expression.name
    return f"({' '.join([expression.function, *map(show, expression.arguments)])})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b", "(+ a b)"),
        ("  a  ", "a"),
        ("(((a)))", "a"),
        ("a - b - c", "(- (- a b) c)"),
        ("a + b * c", "(+ a (* b c))"),
        ("(a + b) * c", "(* (+ a b) c)"),
        ("a / b / c", "(/ (/ a b) c)"),
        ("W @ x + b", "(+ (@ W x) b)"),
        ("-x ** 2", "(neg (** x 2))"),
        ("x ** -2", "(** x -2)"),
        ("a ** b ** c", "(** a (** b c))"),
        ("+a", "a"),
        ("--3", "3"),
        ("-a * b", "(* (neg a) b)"),
        ("sigmoid(W @ x + b)", "(sigmoid (+ (@ W x) b))"),
        ("minimum(a, dot(b, c))", "(minimum a (dot b c))"),
        ("1e-3 + .5 + 2. + 1_000 + 0x10", "(+ (+ (+ (+ 0.001 0.5) 2) 1000) 16)"),
        ("a\n  + b\r\n  + c", "(+ (+ a b) c)"),
        ("_a1 + tanh", "(+ _a1 tanh)"),
        ("W1is + _2or", "(+ W1is _2or)"),
        ("(" * 100 + "a" + ")" * 100, "a"),
    ],
)
def test_what_a_text_means(text: str, expected: str) -> None:
    assert show(parse_equation(text)) == expected


def test_names_know_their_places() -> None:
    text = " a + tanh(bb*a) "
    found = [(n.name, n.span.at, n.span.width) for n in names_in(parse_equation(text))]
    assert found == [("a", 1, 1), ("bb", 10, 2), ("a", 13, 1)]
    assert [text[at : at + width] for _, at, width in found] == ["a", "bb", "a"]


ALLOWED = "expected numbers, names, + - * / @ ** and functions, found"
ALL = f"there are {', '.join(FUNCTIONS)}"
PARENTHESIS = "a parenthesis is missing, or there is one too many"
PART = "give a part of it a name: an equation of its own"
LETTERS = "names are made of a to z, digits and _"
MISSING = "something is missing at the end"
POWER = "write x ** 2 for a power"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # what Python could run
        ("__import__('os')", ("this is no equation from \"'\" on", 11, 1, None)),
        ("2 * exec(1)", ("there is no function 'exec'", 4, 4, ALL)),
        ("a.b", (f"{ALLOWED} 'a.b'", 0, 3, None)),
        ("W.T @ x", (f"{ALLOWED} 'W.T'", 0, 3, None)),
        ("1 + a[0]", (f"{ALLOWED} 'a[0]'", 4, 4, None)),
        ("a.b(c)", ("'a.b' is no function", 0, 6, None)),
        ("tanh(a)(b)", ("'tanh(a)' is no function", 0, 10, None)),
        ("lambda x: x", (f"{ALLOWED} 'lambda x: x'", 0, 11, None)),
        ("[x for x in y]", (f"{ALLOWED} '[x for x in y]'", 0, 14, None)),
        ("{a: b}", (f"{ALLOWED} '{{a: b}}'", 0, 6, None)),
        ("a, b", (f"{ALLOWED} 'a, b'", 0, 4, None)),
        ("(a := 1)", (f"{ALLOWED} 'a := 1'", 1, 6, None)),
        ("f'{a}'", ("this is no equation from \"'\" on", 1, 1, None)),
        ("a if b else c", (f"{ALLOWED} 'a if b else c'", 0, 13, None)),
        ("a - 1if a else b", ("this is no equation from '1' on", 4, 1, None)),
        ("1.5e3or a", ("this is no equation from '1' on", 0, 1, None)),
        ('"\\d"', ("this is no equation from '\"' on", 0, 1, None)),
        ("a \\\n+ b", ("this is no equation from '\\\\' on", 2, 1, None)),
        ("a < b", (f"{ALLOWED} 'a < b'", 0, 5, None)),
        ("a and b", (f"{ALLOWED} 'a and b'", 0, 7, None)),
        ("~a", (f"{ALLOWED} '~a'", 0, 2, None)),
        ("a // b", (f"{ALLOWED} 'a // b'", 0, 6, None)),
        ("a % b", (f"{ALLOWED} 'a % b'", 0, 5, None)),
        ("await a", (f"{ALLOWED} 'await a'", 0, 7, None)),
        ("yield", ("this is no equation from 'y' on", 0, 1, None)),
        # functions
        ("sigmod(a)", ("there is no function 'sigmod'", 0, 6, "did you mean 'sigmoid'?")),
        ("b * tanh()", ("tanh takes 1 argument, found 0", 4, 6, None)),
        ("minimum(a)", ("minimum takes 2 arguments, found 1", 0, 10, None)),
        ("tanh(x=a)", ("tanh takes plain arguments", 0, 9, None)),
        ("tanh(*a)", ("tanh takes plain arguments", 0, 8, None)),
        # numbers and texts
        ("'abc'", ("this is no equation from \"'\" on", 0, 1, None)),
        ("a + True", ("expected a number, found 'True'", 4, 4, None)),
        ("None", ("expected a number, found 'None'", 0, 4, None)),
        ("2 + 1j", ("expected a number, found '1j'", 4, 2, None)),
        ("...", ("expected a number, found '...'", 0, 3, None)),
        ("1e999", ("this number is too large for float64", 0, 5, None)),
        ("-" + "9" * 400, ("this number is too large for float64", 1, 400, None)),
        ("2a", ("this is no equation from '2' on", 0, 1, None)),
        ("07", ("this is no equation from '0' on", 0, 1, None)),
        # letters
        ("é + 1", ("'é' is no name", 0, 1, LETTERS)),
        ("1 + \uff41", ("'\uff41' is no name", 4, 1, LETTERS)),
        ("é * sin(a)", ("'é' is no name", 0, 1, LETTERS)),
        ("ééé(a)", ("there is no function 'ééé'", 0, 3, ALL)),
        ("2 * √x", ("this is no equation from '√' on", 4, 1, None)),
        ("a · b", ("this is no equation from '·' on", 2, 1, None)),
        ("x²", ("this is no equation from '²' on", 1, 1, None)),
        ("\ud800", ("this is no equation", 0, 1, None)),
        # what is no expression
        ("", ("expected an equation, found nothing", 0, 1, None)),
        (" \n ", ("expected an equation, found nothing", 0, 1, None)),
        ("a + b +", (MISSING, 7, 1, None)),
        ("a + b +  ", (MISSING, 7, 1, None)),
        ("  a b", ("this is no equation from 'b' on", 4, 1, None)),
        ("tanh(x", ("this is no equation from '(' on", 4, 1, PARENTHESIS)),
        ("a)", ("this is no equation from ')' on", 1, 1, PARENTHESIS)),
        ("a ^ b", ("there is no operator ^", 0, 5, POWER)),
        ("a = b", ("this is no equation from '=' on", 2, 1,
                   "the name stands before the colon: `h: sigmoid(z)`")),
        ("a; b", ("this is no equation from ';' on", 1, 1, None)),
        ("a # b\n+ c", ("an equation holds no comment", 2, 1,
                        "write it behind the quotes, or in a line of its own")),
        # size
        ("a" * 2001, ("an equation of 2001 characters (at most 2000)", 0, 1, None)),
        ("+".join("a" * 102), ("more than 100 levels of nesting", 0, 1, PART)),
        ("-" * 1999 + "a", ("more than 100 levels of nesting", 101, 1899, PART)),
        ("(" * 300, ("this is no equation from '(' on", 200, 1, PARENTHESIS)),
        ("tanh(" * 150 + "a" + ")" * 150,
         ("more than 100 levels of nesting", 505, 295, PART)),
    ],
    ids=lambda value: ascii(value)[:30] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_refused(text: str, expected: tuple[str, int, int, str | None]) -> None:
    began = time.process_time()
    with pytest.raises(EquationError) as caught:
        parse_equation(text)
    error = caught.value
    assert (error.message, error.at, error.width, error.hint) == expected
    assert time.process_time() - began < 1


def test_another_thread_that_parses_is_no_fault_of_the_equation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parse, told = ast.parse, iter([SystemError("AST constructor recursion depth mismatch")] * 2)

    def disturbed(text: str, mode: str) -> ast.AST:
        for error in told:
            raise error
        return parse(text, mode=mode)

    monkeypatch.setattr(ast, "parse", disturbed)
    assert show(parse_equation("a + 2")) == show(parse_equation("a+2"))
    assert next(told, None) is None


def parses_or_refuses(text: str) -> None:
    """Nothing but an expression, whose names stand where it says, or an error within the text."""
    names, places = [], [(0, 1)]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            names = list(names_in(parse_equation(text)))
        except EquationError as error:
            places = [(error.at, error.width)]
    assert told == []
    assert all(0 <= at <= len(text) and width >= 1 for at, width in places)
    for name in names:
        assert text[name.span.at : name.span.at + name.span.width] == name.name


@settings(max_examples=400, deadline=None)
@given(st.one_of(
    st.text(max_size=40),
    st.text(alphabet="ab1.+-*/@^()[]{},:= '\"\\#~%&|<>!é²_\n\t\r\f\x00", max_size=30),
    st.lists(st.sampled_from([*"ab1(),.+-*/@=", "**", "tanh", "dot", "lambda", "if", "for", " "]),
             max_size=60).map("".join),
))  # fmt: skip
def test_any_text(text: str) -> None:
    parses_or_refuses(text)


VALID = ["sigmoid(W @ x + b)", "(a + b) * (b + 1) / 2.5e-1", "minimum(a ** 2, dot(b, c)) - -d",
         "norm(softmax(W @ tanh(V @ x)))"]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_valid_equations_with_a_change(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(VALID))
    for _ in range(data.draw(st.integers(1, 3))):
        i, j = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))
        new = data.draw(st.one_of(st.just(""), st.just(text[i:j] * 2), st.text(max_size=3)))
        text = text[:i] + new + text[min(j, i + 4) :]
    parses_or_refuses(text)


# Mistakes in a spec -----------------------------------------------------------------------------

NET = """\
name: net
seed: 5
data:
  source: {inline: {x: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [0, 1, 1, 0]}}
model:
  dtype: float64
  inputs: {x: 2}
  parameters:
    W1: {shape: [2, 3]}
    b1: {shape: [3], init: zeros}
    W2: {shape: [3, 1]}
  equations:
    h: tanh(x @ W1 + b1)
    y_hat: h @ W2
  output: y_hat
  loss: logistic
sgd: {learning_rate: 0.5, batch_size: 2, epochs: 3}
"""
SKETCH = """\
name: two_paths
model:
  inputs: {a: 2.0, b: 1.0}
  equations: {c: a + b, d: b + 1, e: c * d}
  output: e
"""
NAMES = "there are W1, W2, b1, x"


def problems(text: str, old: str = "", new: str = "") -> list[Found]:
    """Line, column, path, message and hint of each problem with `text` after the change."""
    assert not old or text.count(old) == 1
    Path("spec.yaml").write_text(text.replace(old, new) if old else text)
    with pytest.raises(SpecError) as caught:
        load_any("spec.yaml")
    return [(p.line, p.column, p.path, p.message, p.hint) for p in caught.value.problems]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        # places within an equation
        (NET, "+ b1", "+ b11", (13, 22, "model.equations.h", "there is no 'b11' here",
                                "did you mean 'b1'?")),
        (NET, "+ b1", "+ zzz", (13, 22, "model.equations.h", "there is no 'zzz' here", NAMES)),
        (NET, "tanh(x @ W1 + b1)", "'tanh(x @ W1 + zzz)'",
         (13, 23, "model.equations.h", "there is no 'zzz' here", NAMES)),
        (NET, "tanh(x @ W1 + b1)", '"tanh(x @ W1 + zzz)"  # tanh(x @ W1 + zzz)',
         (13, 23, "model.equations.h", "there is no 'zzz' here", NAMES)),
        (NET, "h: tanh(x @ W1 + b1)", "'h': >\n      tanh(x @ W1\n      + zzz)",
         (13, 10, "model.equations.h", "there is no 'zzz' here", NAMES)),
        (SKETCH, "{c: a + b, d: b + 1, e: c * d}", "{c: a, d: b + c, e: b + c + d, f: b + c + g}",
         (4, 56, "model.equations.f", "there is no 'g' here", "there are a, b, c, d, e")),
        (SKETCH, "c: a + b, d: b + 1", "aa: a, c: a + bb, d: aa + b",
         (4, 29, "model.equations.c", "there is no 'bb' here", "did you mean 'b'?")),
        (NET, "tanh(x @ W1 + b1)", "tahn(x @ W1 + b1)",
         (13, 8, "model.equations.h", "there is no function 'tahn'", "did you mean 'tanh'?")),
        (NET, "tanh(x @ W1 + b1)", "tanh(x @ W1 + b1",
         (13, 12, "model.equations.h", "this is no equation from '(' on", PARENTHESIS)),
        (NET, "h @ W2", "'h @ '", (14, 16, "model.equations.y_hat", MISSING, None)),
        # names
        (NET, "h @ W2", "y_hat @ W2", (14, 12, "model.equations.y_hat",
                                       "'y_hat' takes itself: a graph has no cycles", None)),
        (NET, "x @ W1 + b1", "x @ W1 + b1 + y_hat",
         (13, 27, "model.equations.h",
          "'y_hat' comes later: an equation takes what stands above it", "move it up")),
        (NET, "+ b1", "", (10, 5, "model.parameters.b1", "'b1' is not used by 'y_hat'",
                           "remove it")),
        (SKETCH, "a: 2.0", "a: 2.0, z: 1", (3, 20, "model.inputs.z", "'z' is not used by 'e'",
                                            "remove it")),
        (SKETCH, "c * d", "c * 2", (4, 25, "model.equations.d", "'d' is not used by 'e'",
                                    "remove it")),
        (NET, "b1: {shape: [3], init: zeros}", "h: {shape: [3]}",
         (13, 5, "model.equations.h", "the name 'h' is taken by a parameter",
          "choose another name")),
        (SKETCH, "c: a", "a: a", (4, 15, "model.equations.a", "the name 'a' is taken by an input",
                                  "choose another name")),
        (NET, "b1: {", "x: {", (10, 5, "model.parameters.x", "the name 'x' is taken by an input",
                                "choose another name")),
        (NET, "b1: {", "y: {", (10, 5, "model.parameters.y",
                                "the name 'y' is taken by a node of the graph",
                                "choose another name")),
        (NET, "    h: ", "    loss: ", (13, 5, "model.equations.loss",
                                        "the name 'loss' is taken by a node of the graph",
                                        "choose another name")),
        (NET, "b1: {", "lambda: {", (10, 5, "model.parameters.lambda",
                                     "the name 'lambda' cannot stand in an equation",
                                     "write lambda_")),
        (NET, "b1: {", "b-1: {", (10, 5, "model.parameters.b-1",
                                  "expected a name of letters, digits and _ that begins with no "
                                  "digit, found the text 'b-1'", None)),
        # the output
        (NET, "output: y_hat", "output: y_hut", (15, 11, "model.output",
                                                 "there is no equation 'y_hut'",
                                                 "did you mean 'y_hat'?")),
        (NET, "output: y_hat", "output: x", (15, 11, "model.output", "there is no equation 'x'",
                                             None)),
        (NET, "h @ W2", "h @ W2 + 0 * sum(b1 @ W2) + zz",
         (14, 40, "model.equations.y_hat", "there is no 'zz' here",
          "there are W1, W2, b1, h, x")),
        (SKETCH, "a: 2.0", "a: [2.0, 3.0]",
         (4, 35, "model.equations.e", "the output must be a number, 'e' is 'e' (2,)", None)),
        (NET, "h @ W2", "softmax(h @ W2)",
         (14, 12, "model.equations.y_hat",
          "the loss 'logistic' with 1 output does not fit an outermost 'softmax'",
          "leave it out, or write 'sigmoid'")),
        # shapes
        (NET, "[2, 3]", "[4, 3]", (13, 13, "model.equations.h",
                                   "@ of 'x' (2,) and 'W1' (4, 3): 2 and 4 differ", None)),
        (NET, "[3], ", "[2], ", (13, 13, "model.equations.h",
                                 "+ of 'h/matmul' (3,) and 'b1' (2,): the shapes differ", None)),
        (NET, "x @ W1", "x * W1", (13, 13, "model.equations.h",
                                   "* of 'x' (2,) and 'W1' (2, 3): the shapes differ",
                                   "write @ for a product with a matrix")),
        (NET, "h @ W2", "2 @ W2 + h @ W2", (14, 12, "model.equations.y_hat",
                                            "@ of a number and 'W2' (3, 1): a number is no vector",
                                            "write * for a product with a number")),
        (NET, "h @ W2", "sum(x) ** W2 @ h @ h",
         (14, 12, "model.equations.y_hat",
          "'W2' (3, 1) and a number: the result would be a matrix for each example, which has no "
          "place in a batch", None)),
        (NET, "h @ W2", "softmax(W2) @ h", (14, 12, "model.equations.y_hat",
                                            "softmax takes a vector, found 'W2' (3, 1)", None)),
        (NET, "h @ W2", "dot(h, W2)", (14, 12, "model.equations.y_hat",
                                       "dot takes two vectors, found 'h' (3,) and 'W2' (3, 1)",
                                       None)),
        (NET, "h @ W2", "(h @ W2) ** 17", (14, 24, "model.equations.y_hat",
                                           "the power 17: whole powers go up to 16",
                                           "write it as a power of a power")),
        (NET, "h @ W2", "h @ W2 + sum(h) ** 0", (14, 21, "model.equations.y_hat",
                                                 "the power 0 is 1, whatever it is of",
                                                 "write 1")),
        # parameters and inputs
        (NET, "b1: {shape: [3], init: zeros}", "b1: {shape: [3], values: [1, 2, 3]}",
         (10, 22, "model.parameters.b1.values", "expected either a shape or values",
          "for example {shape: [3, 2]}")),
        (NET, "b1: {shape: [3], init: zeros}", "b1: {init: zeros}",
         (10, 5, "model.parameters.b1.values", "expected either a shape or values",
          "for example {shape: [3, 2]}")),
        (NET, "[2, 3]", "[2, 3, 4]",
         (9, 10, "model.parameters.W1.shape",
          "expected a list of at most 2 items, found a list of 3", None)),
        (NET, "[2, 3]", "[2, 0]", (9, 21, "model.parameters.W1.shape[1]",
                                   "expected a number of at least 1, found the number 0", None)),
        (NET, "init: zeros", "init: zero", (10, 28, "model.parameters.b1.init",
                                            "expected an initialiser, found the text 'zero'",
                                            "did you mean 'zeros'?")),
        (NET, "init: zeros", "inti: zeros", (10, 22, "model.parameters.b1.inti", "unknown key",
                                             "did you mean 'init'?")),
        (NET, "{x: 2}", "{z: 2}",
         (7, 15, "model.inputs.z", "expected the names of features, found the number 2",
          "the vector of all columns is called x: `x: 2`")),
        (NET, "{x: 2}", "{x: 2, z: 0}",
         (7, 21, "model.inputs.z", "expected a whole number of at least 1, or the names of "
          "features, found the number 0", None)),
        (NET, "{x: 2}", "{x: [a, b]}",
         (7, 12, "model.inputs.x", "x is the vector of all columns, found a list",
          "write how many: `x: 3`; or choose another name")),
        (NET, "{x: 2}", "{x: [1, 2]}", (7, 16, "model.inputs.x[0]",
                                        "expected a text, found the number 1",
                                        "put it in quotes if it is meant as a text")),
        (NET, "h: tanh(x @ W1 + b1)", "h: 3", (13, 8, "model.equations.h",
                                               "expected a text, found the number 3",
                                               "put it in quotes if it is meant as a text")),
        (SKETCH, "b: 1.0", "b: .nan", (3, 23, "model.inputs.b",
                                       "expected a finite number, found the number nan", None)),
        (SKETCH, "b: 1.0", "b: ", (3, 20, "model.inputs.b",
                                   "expected a number, a list of numbers or a list of rows, found "
                                   "nothing", None)),
        (SKETCH, "b: 1.0", "b: one", (3, 23, "model.inputs.b",
                                      "expected a number, a list of numbers or a list of rows, "
                                      "found the text 'one'", None)),
        *[(SKETCH, "b: 1.0", f"b: {values}",
           (3, 20, "model.inputs.b",
            "expected a list of numbers, or a list of rows of one length", None))
          for values in ("[[1, 2], [3]]", "[1, [2]]", "[[[1]]]")],
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)  # fmt: skip
def test_mistake(text: str, old: str, new: str, expected: Found) -> None:
    assert problems(text, old, new) == [expected]


@pytest.mark.usefixtures("folder")
def test_several_mistakes_at_once() -> None:
    text = NET.replace("tanh(x @ W1 + b1)", "tanh(x @ W3 + sin(b1))\n    g: x +")
    assert problems(text, "h @ W2", "h @ W2 @ g @ later @ y_hat") == [
        (13, 22, "model.equations.h", "there is no function 'sin'", ALL),
        (14, 11, "model.equations.g", MISSING, None),
        (15, 25, "model.equations.y_hat", "there is no 'later' here",
         "there are W1, W2, b1, g, h, x"),
        (15, 33, "model.equations.y_hat", "'y_hat' takes itself: a graph has no cycles", None),
    ]  # fmt: skip


@pytest.mark.usefixtures("folder")
def test_an_output_without_x() -> None:
    text = NET.replace("h: tanh(x @ W1 + b1)", "h: tanh(W1 @ b1) @ W1")
    found = problems(text)
    assert found == [(7, 12, "model.inputs.x", "'x' is not used by 'y_hat'", "remove it")]


@pytest.mark.usefixtures("folder")
def test_the_message_shows_the_place() -> None:
    Path("spec.yaml").write_text(NET.replace("+ b1", "+ bias"))
    with pytest.raises(SpecError) as caught:
        load_spec("spec.yaml")
    assert (
        str(caught.value)
        == f"""\
spec.yaml:13:22: model.equations.h: there is no 'bias' here [TR-G004]
   13 |     h: tanh(x @ W1 + bias)
      |                      ^^^^
      hint: {NAMES}"""
    )


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("{x: 2}", "{x: 3}",
         (7, 15, "model.inputs.x", "the data have 2 features, found 3", "write x: 2")),
        ("W2: {shape: [3, 1]}", "W2: {shape: [3, 4]}",
         (15, 11, "model.output", "'y' has 2 classes (0, 1), found 4 outputs",
          "outputs that 'y_hat' needs: 1")),
    ],
)  # fmt: skip
def test_no_fit_to_the_data(old: str, new: str, expected: Found) -> None:
    text = NET.replace("[2, 3]", "[3, 3]") if "x: 3" in new else NET
    Path("spec.yaml").write_text(text.replace(old, new))
    spec = load_spec("spec.yaml")
    with pytest.raises(SpecError) as caught:
        load_dataset(spec)
    (p,) = caught.value.problems
    assert (p.line, p.column, p.path, p.message) == expected[:4]


@pytest.mark.usefixtures("folder")
def test_a_graph_without_data_is_no_spec_to_train() -> None:
    Path("spec.yaml").write_text(SKETCH)
    assert isinstance(load_any("spec.yaml"), Sketch)
    with pytest.raises(UsageError, match="declares a graph without data"):
        load_spec("spec.yaml")


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("h @ W3", "there is no 'W3' here"),
        ("y_hat @ W2", "'y_hat' takes itself: a graph has no cycles"),
        ("h @ W1", "@ of 'h' (3,) and 'W1' (2, 3): 3 and 2 differ"),
        ("h @", MISSING),
    ],
)
def test_a_spec_made_in_python_is_told_too(equation: str, message: str) -> None:
    values = yaml.safe_load(NET)
    values["model"]["equations"]["y_hat"] = equation
    with pytest.raises(GraphError, match=r"model\.equations\.y_hat") as caught:
        build_graph(Spec.model_validate(values), Layout.plain(2, 1))
    assert message in str(caught.value)


# What an equation means for a batch -------------------------------------------------------------

ROWS = 4
EXAMPLES: dict[str, Callable[..., Array]] = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "relu": lambda x: x * (x > 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "softmax": lambda x: np.exp(x) / np.sum(np.exp(x)),
    "log_softmax": lambda x: np.log(np.exp(x) / np.sum(np.exp(x))),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "square": lambda x: x * x,
    "sum": np.sum,
    "mean": np.mean,
    "norm": lambda x: np.sqrt(np.sum(x * x)),
    "dot": np.dot,
    "minimum": np.minimum,
}
"""What the functions mean for one example."""
TEXTS: dict[str, Callable[..., Array]] = {
    **{f"{name}({'a, b'[: 3 * count - 2]})": EXAMPLES[name] for name, count in FUNCTIONS.items()},
    "a + b": np.add, "a - b": np.subtract, "a * b": np.multiply, "a / b": np.divide,
    "a @ b": np.matmul, "a ** b": np.power, "-a": np.negative,
    "a + 2": lambda a: a + 2, "2 - a": lambda a: 2 - a, "a * 3": lambda a: a * 3,
    "2 / a": lambda a: 2 / a, "3 ** a": lambda a: 3.0**a,
    "minimum(1, a)": lambda a: np.minimum(1, a),
    **{f"a ** {p}": partial(lambda p, a: np.power(a, float(p)), p)
       for p in (1, 2, 3, 16, -1, -2, 0.5, 1.5, -0.5)},
    "a + a * a": lambda a: a + a * a, "sum(tanh(a)) * a": lambda a: np.sum(np.tanh(a)) * a,
}  # fmt: skip
BINARY = {"a + b", "a - b", "a * b", "a / b", "a @ b", "a ** b", "dot(a, b)", "minimum(a, b)"}
SHAPES = {"number": (), "one": (1,), "vector": (3,), "two": (2,), "matrix": (3, 3), "wide": (2, 3)}
KINDS = [(shape, batched) for shape in SHAPES for batched in (False, True)
         if not (batched and len(SHAPES[shape]) == 2)]  # fmt: skip


def fits(text: str, a: tuple[str, bool], b: tuple[str, bool] | None) -> bool:
    """Whether the equation has a meaning: what the documentation says of shapes."""
    left, right = SHAPES[a[0]], SHAPES[b[0]] if b else None
    if text.startswith(("softmax", "log_softmax")):
        return len(left) == 1
    if right is None:
        return True
    if text == "dot(a, b)":
        return len(left) == len(right) == 1 and left == right
    if text == "a @ b":
        return bool(left and right) and left[-1] == right[0]
    result = max(left, right, key=len)
    one = (1,) in (left, right) and len(left) == len(right) == 1
    matrices = len(result) == 2 and (a[1] or (b is not None and b[1]))
    return (left == right or () in (left, right) or one) and not matrices


def lift(text: str, kinds: Mapping[str, tuple[str, bool]]) -> tuple[Lifted, GraphBuilder]:
    """The equation on leaves a and b of these kinds."""
    builder = GraphBuilder("float64")

    def leaf(name: str) -> Lifted:
        shape, batched = SHAPES[kinds[name][0]], kinds[name][1]
        whole = (BATCH, *(shape or (1,))) if batched else shape or (1,)
        known = builder[name] if name in builder else builder.leaf("parameter", name, whole)
        return Lifted(known, shape, batched)

    leaves = {name: partial(leaf, name) for name in kinds}
    return lift_equations(builder, {"out": text}, "out", leaves), builder


@pytest.mark.parametrize("text", TEXTS)
def test_each_example_by_itself(text: str) -> None:
    """For every combination of shapes, depending on the example or not: the values for each
    example are NumPy's, and the gradients of the batch those of complex steps.
    """
    names = "ab" if text in BINARY else "a"
    fitting = 0
    for chosen in itertools.product(KINDS, repeat=len(names)):
        kinds = dict(zip(names, chosen, strict=True))
        if not fits(text, chosen[0], chosen[1] if len(chosen) > 1 else None):
            with pytest.raises(EquationError):
                lift(text, kinds)
            continue
        fitting += 1
        _check_examples(text, kinds)
    assert fitting >= 4


def _check_examples(text: str, kinds: Mapping[str, tuple[str, bool]]) -> None:
    random = np.random.default_rng(len(text))
    each = {
        name: random.uniform(0.3, 1.7, (ROWS if batched else 1, *SHAPES[shape]))
        for name, (shape, batched) in kinds.items()
    }
    values = {
        name: value.reshape(ROWS, -1) if kinds[name][1] else np.atleast_1d(value[0])
        for name, value in each.items()
    }
    lifted, builder = lift(text, kinds)
    found = evaluate(builder.build(), values)[lifted.node.node.name]
    rows = range(ROWS if lifted.batched else 1)
    assert lifted.batched == any(batched for _, batched in kinds.values())
    assert not lifted.batched or found.shape == (ROWS, *(lifted.dims or (1,)))
    for row in rows:
        expected = np.asarray(TEXTS[text](*(value[row % len(value)] for value in each.values())))
        assert expected.shape == lifted.dims
        one = (found[row] if lifted.batched else found).reshape(lifted.dims)
        np.testing.assert_allclose(one, expected, rtol=1e-12, atol=1e-14, err_msg=str(kinds))

    node = lifted.node
    values["weights"] = random.normal(size=found.shape)
    weighted = node * builder.leaf("input", "weights", node.shape)
    weighted.apply("sum", name="loss", axes=tuple(range(len(node.shape))))
    graph = builder.build()
    gradient = backprop(graph, values, list(kinds))
    for name in kinds:
        expected = complex_step(graph, values, name)
        assert relative_error(gradient[name], expected) <= 1e-12, (text, kinds, name)


def test_every_function_is_checked() -> None:
    assert EXAMPLES.keys() == FUNCTIONS.keys()


# Layers and equations ---------------------------------------------------------------------------


def as_equations(values: Mapping[str, Any], features: int) -> dict[str, Any]:
    """The spec with its layers written as equations."""
    changed = copy.deepcopy(dict(values))
    model = changed["model"]
    parameters, equations, before, width = {}, {}, "x", features
    for i, layer in enumerate(model.pop("layers"), start=1):
        text = f"{before} @ W{i}"
        parameters[f"W{i}"] = {"shape": [width, layer["units"]], "init": layer["init"]}
        if layer.get("bias", True):
            parameters[f"b{i}"] = {"shape": [layer["units"]], "init": "zeros"}
            text += f" + b{i}"
        if layer.get("activation", "identity") != "identity":
            text = f"{layer['activation']}({text})"
        before, width = f"h{i}", layer["units"]
        equations[before] = text
    model |= {"inputs": {"x": features}, "parameters": parameters, "equations": equations,
              "output": before}  # fmt: skip
    return changed


def structure(graph: Graph) -> list[Any]:
    """The graph without names and places."""
    at = {node.name: i for i, node in enumerate(graph)}
    nodes = [(node.op, [at[name] for name in node.inputs], node.shape, node.dtype,
              dict(node.attributes)) for node in graph]  # fmt: skip
    return [nodes, {role: at[name] for role, name in graph.outputs.items()}]


def bits(run: trainer.Run) -> list[Any]:
    """What was learned, and every number of the history, without names of parameters."""
    series = [s.values.tobytes() for name, s in run.history.items()
              if not name.startswith(("perf", "grad_norm/"))]  # fmt: skip
    return [[value.tobytes() for value in run.parameters.values()], series]


def layer(units: int, activation: str = "identity", **others: Any) -> dict[str, Any]:
    return {"units": units, "activation": activation, "init": "glorot_uniform", **others}


SAME: dict[str, tuple[int, dict[str, Any]]] = {
    "tanh": (2, {"layers": [layer(3, "tanh"), layer(1)]}),
    "outermost sigmoid": (2, {"layers": [layer(5, "gelu"), layer(1, "sigmoid")], "momentum": 0.9}),
    "softmax of wine": (13, {"layers": [layer(6, "relu"), layer(3, "softmax")], "source": "wine",
                             "standardize": True, "batch_size": 48, "weight_decay": 0.01}),
    "squared": (10, {"layers": [layer(4, "softplus", bias=False), layer(1)], "source": "diabetes",
                     "standardize": True, "loss": "squared", "batch_size": 100,
                     "learning_rate": 1e-3, "momentum": 0.9, "nesterov": True}),
    "float32": (2, {"layers": [layer(7, "leaky_relu"), layer(4, "sigmoid"), layer(1)],
                    "dtype": "float32", "source": {"synthetic": "two_moons", "rows": 50},
                    "batch_size": "full", "clip_norm": 0.1}),
}  # fmt: skip


def spec_values(settings_: Mapping[str, Any]) -> dict[str, Any]:
    values = copy.deepcopy(TINY)
    for key, value in settings_.items():
        if key in ("source", "standardize"):
            values["data"][key] = value
        else:
            values["model" if key in ("layers", "loss", "dtype") else "sgd"][key] = value
    return values


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("name", SAME)
def test_layers_and_equations_are_the_same(name: str, engine: Any) -> None:
    features, settings_ = SAME[name]
    values = spec_values(settings_)
    layers = Spec.model_validate(values)
    equations = Spec.model_validate(as_equations(values, features))
    assert structure(build_graph(layers)) == structure(build_graph(equations))
    unkept = Profile(engine, runs=None)
    runs = [trainer.train(spec, profile=unkept) for spec in (layers, equations)]
    assert bits(runs[0]) == bits(runs[1])
    assert len(runs[0].history) > 1


def test_the_order_of_names_does_not_matter() -> None:
    features, settings_ = SAME["softmax of wine"]
    values = as_equations(spec_values(settings_), features)
    values["model"]["equations"] = {
        "u": "x @ W1 + b1", "v": "b2 * 2", "h": "relu(u)", "out": "h @ W2 + v",
    }  # fmt: skip
    values["model"]["output"] = "out"
    other = copy.deepcopy(values)
    other["model"]["parameters"] = dict(reversed(values["model"]["parameters"].items()))
    other["model"]["equations"] = {
        name: values["model"]["equations"][name] for name in ("v", "u", "h", "out")
    }
    runs = [trainer.train(Spec.model_validate(v), profile=UNKEPT) for v in (values, other)]
    assert bits(runs[0]) == bits(runs[1])
    assert list(runs[0].parameters) == list(runs[1].parameters) == ["W1", "b1", "b2", "W2"]


SHARED = {
    "a shared matrix": ({"W": [2, 2], "v": [2]}, {"h": "tanh(W @ x)", "g": "tanh(W @ h + x)",
                                                  "out": "dot(v, g) + dot(v, x)"}),
    "a skip of two layers": ({"W": [2, 3], "V": [3, 2], "w": [2], "b": []},
                             {"h": "sigmoid(x @ W)", "g": "x + h @ V", "out": "g @ w + b"}),
    "a gate": ({"W": [2, 2], "w": [2]}, {"s": "sigmoid(x @ W)", "g": "s * x + (1 - s) * tanh(x)",
                                         "out": "w @ g / (1 + norm(w))"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_shared_weights_and_skips(name: str) -> None:
    """Gradients are those of complex steps, both engines learn alike, and the loss falls."""
    shapes, equations = SHARED[name]
    values = yaml.safe_load(NET)
    values["model"] |= {"parameters": {n: {"shape": s} for n, s in shapes.items()},
                        "equations": equations, "output": "out", "loss": "squared"}  # fmt: skip
    values["sgd"] |= {"epochs": 20, "learning_rate": 0.1}
    spec = Spec.model_validate(values)
    graph = build_graph(spec)
    random = np.random.default_rng(0)
    feeds = {n: random.normal(size=s) for n, s in shapes.items()}
    feeds |= {"x": random.normal(size=(5, 2)), "y": random.normal(size=(5, 1))}
    found = backprop(graph, feeds, list(shapes))
    for parameter in shapes:
        assert relative_error(found[parameter], complex_step(graph, feeds, parameter)) <= 1e-12
    engines: list[EngineName] = ["reference", "compiled"]
    runs = {e: trainer.train(spec, profile=Profile(e, runs=None)) for e in engines}
    for parameter, value in runs["reference"].parameters.items():
        assert relative_error(runs["compiled"].parameters[parameter], value) <= 1e-10
    losses = runs["reference"].history["train_loss"].values
    assert losses[-1] < losses[0]


def test_first_values_and_shapes_of_parameters() -> None:
    values = yaml.safe_load(NET)
    values["model"]["parameters"] |= {"b1": {"values": [1, -2, 0.5]}, "s": {"values": 3},
                                      "r": {"shape": []}}  # fmt: skip
    values["model"]["equations"]["y_hat"] = "s * (h @ W2) + r"
    parameters = initial_parameters(build_graph(Spec.model_validate(values)), 5)
    assert parameters["b1"].tolist() == [1, -2, 0.5]
    assert parameters["s"].item() == 3
    assert -3 < parameters["r"].item() < 3


# Whole runs -------------------------------------------------------------------------------------

CSV = "u,v,t\n" + "".join(f"{i % 5},{i % 3},{'ab'[(i % 5 + i % 3) % 2]}\n" for i in range(30))


@pytest.fixture
def net(folder: Path) -> Path:
    """A spec of equations, on a table with rows held back."""
    values = yaml.safe_load(NET)
    values["data"] = {"source": {"csv": "rows.csv"}, "target": "t", "standardize": True,
                      "split": {"validation": 0.2, "test": 0.2}}  # fmt: skip
    (folder / "rows.csv").write_text(CSV)
    (folder / "net.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return folder / "net.yaml"


def test_a_run_is_reproduced_and_predicts(train: Any, store: str, net: Path) -> None:
    assert train(net, "--quiet")[0] == 0
    code, out, err = train("reproduce", "last")
    assert (code, out.split(":")[0]) == (0, "identical"), err
    code, out, err = train("predict", "last", "--data", "rows.csv")
    assert code == 0, err
    rows = list(csv.DictReader(out.splitlines()))
    assert len(rows) == 30
    assert {value for row in rows for value in row.values()} & {"a", "b"} == {"a", "b"}


def test_a_run_goes_on(store: str, net: Path) -> None:
    expected = trainer.train(load_spec(net))

    done: list[int] = []

    def listen(event: object) -> None:
        if isinstance(event, StepsDone):
            done.append(event.first + len(event.steps.losses) - 1)

    with pytest.raises(InterruptedRun) as caught:
        trainer.train(
            load_spec(net), listen=listen, stop=lambda: max(done, default=0) >= 12, again=True
        )
    assert isinstance(caught.value.run, Run)
    found = resume(str(caught.value.run.id))
    assert (found.status, found.parameters_sha256) == ("FINISHED", expected.parameters_sha256)
    assert found.metrics == expected.metrics


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("name", SHARED)
def test_exports_predict_as_the_model(name: str, to: str, tmp_path: Path) -> None:
    shapes, equations = SHARED[name]
    values = yaml.safe_load(NET)
    values["model"] |= {"parameters": {n: {"shape": s} for n, s in shapes.items()},
                        "equations": equations, "output": "out"}  # fmt: skip
    spec = Spec.model_validate(values)
    run = trainer.train(spec, profile=UNKEPT)
    model = Model.from_parts(spec, run.parameters, load_dataset(spec).preprocessing)
    path = tmp_path / "model"
    export_model(model, to, path, {"run_id": "1", "run_name": "r", "data_sha256": "none"})
    x = np.random.default_rng(1).normal(size=(20, 2))
    found, expected = FORMATS[to].answer(model, path, x), answer_model(model, x)
    np.testing.assert_allclose(found.numbers, expected.numbers, rtol=1e-12)
