"""A new op is defined in one place, and everything takes it: here two that nobody knows."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import test_compiled
import test_export
from derivatives import backprop, central, complex_step, graph_of, relative_error

import trainer
from trainer.engine import evaluate
from trainer.explain.explanation import Step, explain_graph
from trainer.explain.latex import Letters
from trainer.export import nodes
from trainer.export.copying import read_file
from trainer.export.runtime import functions as program_functions
from trainer.graph import OPS, Graph, GraphBuilder, Op, gradients
from trainer.graph.loops import Term, Whole
from trainer.graph.ops import ACTIVATIONS, LEAVES, Array, OnnxWriter, Places, Read, Shape
from trainer.numerics.elementary import FUNCTIONS

# All that is known of the op `mirror`: x with its columns the other way round.


def mirrored(x: Array) -> Array:
    """The columns of x from the last to the first."""
    return x[..., ::-1]


def _element(read: Read, shapes: Sequence[Shape], at: Sequence[Term]) -> Term:
    *before, column = at
    return read(0, [*before, Whole(int(shapes[0][-1]) - 1) - column])


def _onnx(w: OnnxWriter, x: str) -> str:
    ends = (w.constant([number], np.int64) for number in (-1, -(2**62), -1, -1))
    return w.apply("Slice", x, *ends)


MIRROR = Op(
    name="mirror",
    formula="mirror({0})",
    latex=r"\overleftarrow{@0}",
    shape=lambda x: x,
    forward=mirrored,
    vjps=(lambda g, o, x: g.apply("mirror"),),
    undoes="mirror",
    form=Places(_element),
    onnx=_onnx,
)

# And of the activation `gated`: x σ(x).

GATED = Op(
    name="gated",
    formula="gated({0})",
    shape=OPS["tanh"].shape,
    forward=lambda x: x * OPS["sigmoid"].forward(x),
    vjps=(lambda g, o, x: g * (o + x.apply("sigmoid") * (1 - o)),),
    init="he_uniform",
    kernel="{0} * sigmoid({0})",
)
NEW = {op.name: op for op in (MIRROR, GATED)}
X = np.array([[0.3, -1.2, 2.0], [-0.7, 1.5, 0.4]])


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, op in NEW.items():
        monkeypatch.setitem(OPS, name, op)
        monkeypatch.setitem(test_export.CASES, name, [([X], {})])


@pytest.mark.parametrize("op", NEW)
def test_the_reference_engine_and_its_gradient(op: str) -> None:
    graph, values = graph_of(op, [X], {})
    assert evaluate(graph, values, ["out"])["out"].shape == X.shape
    found = backprop(graph, values, ["a"])["a"]
    assert relative_error(found, complex_step(graph, values, "a")) <= 1e-12
    assert relative_error(found, central(graph, values, "a")) <= 1e-7


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("op", NEW)
def test_a_kernel(op: str, share: bool) -> None:
    graph, values = graph_of(op, [X], {})
    graph = gradients(graph, "loss", ["a"])
    fetch = ["out", "loss", graph.outputs["gradient/a"]]
    found = test_compiled.run_values(graph, fetch, values, share)
    test_compiled.agree(found, evaluate(graph, values, fetch), 1e-13)


@pytest.mark.parametrize("dtype", test_export.DTYPES)
@pytest.mark.parametrize("op", NEW)
@pytest.mark.parametrize("form", test_export.CHECKS)
def test_programs_and_onnx(form: str, op: str, dtype: str) -> None:
    test_export.CHECKS[form](op, dtype)


def explained(op: str) -> tuple[Graph, Step]:
    builder = GraphBuilder()
    builder.leaf("parameter", "W", (1, 3)).apply(op, name="h").apply("sum", axes=(0, 1), name="e")
    graph = builder.build()
    return graph, explain_graph(graph, {"W": X[:1]}, "e").index["W"]


@pytest.mark.parametrize(
    ("op", "local_symbol", "letters"),
    [
        ("mirror", "∂mirror", r"\overleftarrow{W}"),
        ("gated", "h + σ(W) · (1 - h)", r"\operatorname{gated}(W)"),
    ],
)
def test_explanations_and_latex(op: str, local_symbol: str, letters: str) -> None:
    graph, step = explained(op)
    (path,) = step.paths
    assert path.local_symbol == local_symbol
    whole = gradients(graph, "e", ["W"])
    name = whole.outputs["gradient/W"]
    expected = evaluate(whole, {"W": X[:1]}, [name])[name]
    np.testing.assert_array_equal(step.gradient, expected)
    assert Letters(["W", "h", "e"]).formula(graph["h"]) == letters


# Completeness -----------------------------------------------------------------------------------


def faults(op: Op) -> list[str]:
    """What a row lacks."""
    found = []
    if (op.kernel is None) == (op.form is None):
        found.append("either a kernel or a form")
    if (op.form is None) == (op.onnx is not None):
        found.append("ONNX, where it is not elementwise")
    if op.form is not None and not op.program:
        name = op.forward.__name__
        if name not in read_file(op.forward.__module__).definitions:
            found.append("a forward that can be copied, or a program")
    if op.locals and len(op.locals) != op.arity:
        found.append("a derivative for each input")
    if op.undoes and op.undoes not in OPS:
        found.append("an op that it undoes")
    if op.reads is not None and not 0 <= op.reads <= op.arity:
        found.append("inputs that it reads")
    return found


@pytest.mark.parametrize("op", [*OPS, *NEW])
def test_every_op_is_complete(op: str) -> None:
    assert op not in LEAVES
    assert faults(OPS[op]) == []


@pytest.mark.parametrize("op", ["matmul", "softmax", "lookup", "tanh", "mirror", "gated"])
def test_an_op_without_one_of_its_parts_is_noticed(op: str) -> None:
    row = OPS[op]
    lacking = [replace(row, kernel=None, form=None), replace(row, kernel="x", form="sum")]
    if row.form is not None:
        lacking += [replace(row, onnx=None), replace(row, program="", forward=lambda x: x)]
    assert all(faults(wrong) for wrong in lacking)
    assert faults(replace(row, undoes="nothing"))
    assert faults(replace(row, reads=9))


def test_what_kernels_call_is_known_to_all() -> None:
    """The functions of kernel expressions: compiled, in NumPy programs and as ONNX."""
    called: set[str] = set()
    for op in OPS.values():
        if op.kernel is not None:
            tree = ast.parse(op.kernel.format(*("xyz"[: op.arity])), mode="eval")
            called |= {
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
    assert called <= FUNCTIONS.keys() | {"sqrt"}
    assert called <= set(read_file(program_functions.__name__).definitions)
    assert called <= nodes.NODES.keys() | nodes.EXPRESSIONS.keys()


def test_an_activation_is_one_row() -> None:
    assert {op.name for op in OPS.values() if op.init} - set(ACTIVATIONS) == {"gated"}


def test_what_asks_the_rows_names_no_op() -> None:
    """The engine and the exports have no case for a single op: its row says what they must know."""
    package = Path(trainer.__file__).parent
    names = {op.name for op in OPS.values() if op.kernel is None} - {"sum", "mean", "count"}
    for path in [*(package / "engine").rglob("*.py"), *(package / "export").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        assert not [name for name in names if f'op == "{name}"' in text or f'"{name}":' in text], (
            path
        )
