"""Every row of the table of ops: its gradients, its dtypes, its extremes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from derivatives import backprop, central, complex_step, graph_of, relative_error

from trainer.engine import evaluate
from trainer.graph import OPS, GraphBuilder, gradients
from trainer.graph.ops import ACTIVATIONS, BATCH, Array, ShapeError

ANALYTIC, NUMERIC = 1e-12, 1e-7

M = np.array([[0.3, -1.2, 2.0], [-0.7, 1.5, 0.4]])
N = np.array([[1.1, 0.6, -0.9], [0.8, -1.4, 2.2]])
V = np.array([0.5, -0.8, 1.7])
COLUMN = np.array([[0.6], [-1.1]])
S = np.array(1.3)
P = np.abs(M) + 0.1  # positive, for log and sqrt
WIDE = np.array([[-30.0, -4.0, -0.5], [0.2, 3.0, 25.0]])
TABLE = np.array([[0.2, -0.6], [1.4, 0.7], [-1.1, 0.9]])
INDEX = np.array([[1.0], [2.0], [1.0], [3.0], [-1.0], [np.nan]])  # row 0 never, row 1 twice
LOOKED_UP = np.array([[0.4, 1.2], [-0.3, 0.8], [2.1, -0.5], [0.6, 0.1], [-1.7, 0.3], [0.9, 1.5]])

CASES: dict[str, list[tuple[list[Array], dict[str, Any]]]] = {
    "add": [([M, N], {}), ([M, V], {}), ([S, M], {}), ([M, COLUMN], {}), ([V, COLUMN], {})],
    "sub": [([M, N], {}), ([V, M], {}), ([COLUMN, V], {})],
    "mul": [([M, N], {}), ([M, V], {}), ([COLUMN, V], {}), ([S, S + 1], {})],
    "div": [([M, N], {}), ([V, N], {}), ([M, S], {})],
    "neg": [([M], {})],
    "square": [([M], {})],
    "sqrt": [([P], {})],
    "exp": [([M], {})],
    "log": [([P], {})],
    "minimum": [([M, N], {}), ([M, S], {})],
    "positive": [([M], {})],
    "sign": [([M], {}), ([WIDE], {})],
    "where": [([M, N, V], {}), ([COLUMN, S, M], {}), ([V, COLUMN, N], {})],
    "sigmoid": [([M], {}), ([WIDE], {})],
    "tanh": [([M], {}), ([WIDE / 10], {})],
    "relu": [([M], {}), ([WIDE], {})],
    "leaky_relu": [([M], {}), ([WIDE], {})],
    "leaky_slope": [([M], {})],
    "softplus": [([M], {}), ([WIDE], {})],
    "gelu": [([M], {}), ([WIDE / 10], {})],
    "normal_cdf": [([M], {})],
    "normal_pdf": [([M], {})],
    "softmax": [([M], {}), ([V], {})],
    "log_softmax": [([M], {}), ([V], {}), ([WIDE], {})],
    "logistic_loss": [([M, P], {}), ([WIDE, (N > 0) * 1.0], {})],
    "matmul": [([M, N.T], {}), ([COLUMN, V[None]], {})],
    "transpose": [([M], {})],
    "sum": [
        ([M], {"axes": (0,)}),
        ([M], {"axes": (1,), "keepdims": True}),
        ([M], {"axes": (0, 1)}),
    ],
    "mean": [([M], {"axes": (0, 1)}), ([M], {"axes": (1,)}), ([V], {"axes": (0,)})],
    "count": [([M], {"axes": (0, 1)})],
    "expand_like": [
        ([V, M], {"axes": (0,)}),
        ([COLUMN, M], {"axes": (1,), "keepdims": True}),
        ([S, M], {"axes": (0, 1)}),
    ],
    "concat": [([M, COLUMN], {}), ([COLUMN, N], {}), ([V, V[:2]], {})],
    "columns": [
        ([M], {"start": 1, "stop": 3}),
        ([M], {"start": 0, "stop": 3}),
        ([V], {"start": 0, "stop": 2}),
    ],
    "pad_columns": [
        ([COLUMN, M], {"start": 1, "stop": 2}),
        ([V[:2], V], {"start": 0, "stop": 2}),
        ([N, M], {"start": 0, "stop": 3}),
    ],
    "lookup": [([TABLE, INDEX], {}), ([M, COLUMN], {})],
    "scatter": [([LOOKED_UP, INDEX, TABLE], {}), ([N, COLUMN, M], {})],
}
ROWS = [
    pytest.param(op, inputs, attributes, id=f"{op}-{i}")
    for op, cases in CASES.items()
    for i, (inputs, attributes) in enumerate(cases)
]


def test_every_op_has_a_case() -> None:
    assert set(CASES) == set(OPS)


def errors_of(op: str, inputs: list[Array], attributes: dict[str, Any]) -> list[float]:
    """The relative error of each input's gradient against differences."""
    graph, values = graph_of(op, inputs, attributes)
    names = list("abc"[: len(inputs)])
    found = backprop(graph, values, names)
    differences = complex_step if OPS[op].analytic else central
    return [relative_error(found[name], differences(graph, values, name)) for name in names]


@pytest.mark.parametrize(("op", "inputs", "attributes"), ROWS)
def test_gradient(op: str, inputs: list[Array], attributes: dict[str, Any]) -> None:
    tolerance = ANALYTIC if OPS[op].analytic else NUMERIC
    assert max(errors_of(op, inputs, attributes)) <= tolerance


@pytest.mark.parametrize("op", [name for name, row in OPS.items() if any(row.vjps)])
def test_a_planted_wrong_gradient_is_caught(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule in turn is made wrong by 0.01 %; the check of that op must fail."""
    row = OPS[op]
    for position, rule in enumerate(row.vjps):
        if rule is None:
            continue
        wrong = list(row.vjps)
        wrong[position] = lambda g, *rest, rule=rule: rule(g * 1.0001, *rest)
        monkeypatch.setitem(OPS, op, dataclasses.replace(row, vjps=tuple(wrong)))
        tolerance = ANALYTIC if row.analytic else NUMERIC
        assert errors_of(op, *CASES[op][0])[position] > tolerance
        monkeypatch.setitem(OPS, op, row)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"), [row for row in ROWS if OPS[str(row.values[0])].analytic]
)
def test_second_derivative(op: str, inputs: list[Array], attributes: dict[str, Any]) -> None:
    """A gradient is a graph like any other: it can be differentiated again."""
    graph, values = graph_of(op, inputs, attributes)
    first = gradients(graph, "loss", ["a"])
    slope = first.outputs["gradient/a"]
    builder = GraphBuilder.extend(first)
    rank = len(builder[slope].shape)
    builder[slope].apply("square").apply("sum", name="slopes", axes=tuple(range(rank)))
    second = gradients(builder.build(), "slopes", ["a"])
    name = second.outputs["gradient/a"]
    found = evaluate(second, values, [name])[name]
    expected = complex_step(second, values, "a", of="slopes")
    assert relative_error(found, expected) <= 1e-11


@pytest.mark.parametrize(("op", "inputs", "attributes"), ROWS)
def test_float32_stays_float32(op: str, inputs: list[Array], attributes: dict[str, Any]) -> None:
    narrow = OPS[op].forward(*[x.astype(np.float32) for x in inputs], **attributes)
    wide = OPS[op].forward(*inputs, **attributes)
    assert np.asarray(narrow).dtype == np.float32
    assert relative_error(np.asarray(narrow, dtype=np.float64), wide) <= 1e-6


@pytest.mark.parametrize(("op", "inputs", "attributes"), ROWS)
def test_shape_rule_is_the_shape(op: str, inputs: list[Array], attributes: dict[str, Any]) -> None:
    value = OPS[op].forward(*inputs, **attributes)
    assert OPS[op].shape(*[x.shape for x in inputs], **attributes) == np.shape(value)


EXTREMES = [
    # op, x, value, derivative; all exact in float64
    ("sigmoid", 1000.0, 1.0, 0.0),
    ("sigmoid", -1000.0, 0.0, 0.0),
    ("tanh", 1000.0, 1.0, 0.0),
    ("softplus", 1000.0, 1000.0, 1.0),
    ("softplus", -1000.0, 0.0, 0.0),
    ("gelu", 1000.0, 1000.0, 1.0),
    ("gelu", -1000.0, 0.0, 0.0),
    ("relu", 0.0, 0.0, 0.0),
    ("relu", 5e-324, 5e-324, 1.0),
    ("leaky_relu", 0.0, 0.0, 0.01),
]


@pytest.mark.parametrize(("op", "x", "value", "slope"), EXTREMES)
def test_extremes(op: str, x: float, value: float, slope: float) -> None:
    graph, values = graph_of(op, [np.array(x)], {})
    values["weights"] = np.array(1.0)
    assert evaluate(graph, values, ["out"])["out"] == value
    assert backprop(graph, values, ["a"])["a"] == slope


@pytest.mark.parametrize(
    ("z", "y", "loss", "slope"),
    [
        # log(1 + e^z) - z y and σ(z) - y, at logits where the naive forms overflow or cancel
        (1000.0, 1.0, 0.0, 0.0),
        (1000.0, 0.0, 1000.0, 1.0),
        (-1000.0, 1.0, 1000.0, -1.0),
        (-1000.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.6931471805599453, -0.5),
        (40.0, 1.0, 4.248354255291589e-18, 0.0),
    ],
)
def test_logistic_loss_values(z: float, y: float, loss: float, slope: float) -> None:
    graph, values = graph_of("logistic_loss", [np.array(z), np.array(y)], {})
    values["weights"] = np.array(1.0)
    assert evaluate(graph, values, ["out"])["out"] == pytest.approx(loss, rel=1e-15, abs=0)
    assert backprop(graph, values, ["a"])["a"] == slope


VALUES: list[tuple[str, list[Any], dict[str, Any], Any]] = [
    ("sign", [[-3.0, -0.0, 0.0, 5e-324, np.inf, np.nan]], {}, [-1, 0, 0, 1, 1, np.nan]),
    ("where", [[-1.0, 0.0, 2.0, np.nan], 1.0, [5.0, 6.0, np.nan, 8.0]], {}, [5, 6, 1, 8]),
    ("concat", [[[1.0, 2.0], [3.0, 4.0]], [[5.0], [6.0]]], {}, [[1, 2, 5], [3, 4, 6]]),
    ("columns", [[[1.0, 2.0, 3.0]]], {"start": 1, "stop": 3}, [[2, 3]]),
    ("pad_columns", [[[5.0]], [[np.inf, 2.0, 3.0]]], {"start": 1, "stop": 2}, [[0, 5, 0]]),
    # rows -1, 3 and nan are not there; of 1.9 the whole number is 1
    ("lookup", [TABLE, [[2.0], [-1.0], [3.0], [np.nan], [1.9], [-0.5]]], {},
     [[-1.1, 0.9], [0, 0], [0, 0], [0, 0], [1.4, 0.7], [0, 0]]),
    # in order: (1 + 1e16) - 1e16 is 0, and 1 + (1e16 - 1e16) would be 1
    ("scatter", [[[1.0], [1e16], [7.0], [-1e16], [9.0]], [[1.0], [1.0], [0.0], [1.0], [2.0]],
                 [[0.0], [0.0]]], {}, [[7], [0]]),
]  # fmt: skip


@pytest.mark.parametrize(("op", "inputs", "attributes", "value"), VALUES, ids=lambda v: str(v)[:8])
def test_values(op: str, inputs: list[Any], attributes: dict[str, Any], value: Any) -> None:
    found = OPS[op].forward(*map(np.asarray, inputs), **attributes)
    np.testing.assert_array_equal(found, np.asarray(value, dtype=np.float64))


def test_a_branch_that_is_not_chosen_has_gradient_0() -> None:
    """√(b where c ≤ 0): at b = 0 the slope is infinite, and times [c > 0] it would be nan."""
    builder = GraphBuilder()
    c, a, b = (builder.leaf("parameter", name, (2,)) for name in "cab")
    c.apply("where", a, b).apply("sqrt").apply("sum", name="loss", axes=(0,))
    values = {"c": np.array([-1.0, 1.0]), "a": np.array([np.nan, 9.0]), "b": np.array([0.0, 25.0])}
    found = backprop(builder.build(), values, ["a", "b", "c"])
    expected = {"a": [0, 1 / 6], "b": [np.inf, 0], "c": [0, 0]}
    assert {name: value.tolist() for name, value in found.items()} == expected


MISFITS: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("concat", [(2, 3), (4, 3)], {}, "(2, 3) and (4, 3) differ in more than their columns"),
    ("concat", [(3,), (1, 3)], {}, "(3,) and (1, 3) differ in more than their columns"),
    ("concat", [(), (3,)], {}, "() has no columns"),
    ("concat", [(3, BATCH), (3, 2)], {}, "(3, B) has no columns"),
    ("columns", [(BATCH, 3)], {"start": 1, "stop": 4}, "(B, 3) has no columns 1:4"),
    ("columns", [(BATCH, 3)], {"start": 2, "stop": 2}, "(B, 3) has no columns 2:2"),
    ("columns", [(BATCH, 3)], {"start": -1, "stop": 2}, "(B, 3) has no columns -1:2"),
    ("pad_columns", [(BATCH, 1), (BATCH, 3)], {"start": 0, "stop": 2},
     "(B, 1) is not columns 0:2 of (B, 3)"),
    ("lookup", [(BATCH, 3), (BATCH, 1)], {}, "(B, 3) is no table of rows"),
    ("lookup", [(4, 3), (BATCH, 2)], {}, "(B, 2) is no column of row numbers"),
    ("lookup", [(4, 3), (BATCH,)], {}, "(B,) is no column of row numbers"),
    ("scatter", [(BATCH, 2), (BATCH, 1), (4, 3)], {},
     "(B, 2) is not what a lookup in (4, 3) gives"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "shapes", "attributes", "message"), MISFITS)
def test_shapes_that_do_not_fit(
    op: str, shapes: list[Any], attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ShapeError) as error:
        OPS[op].shape(*shapes, **attributes)
    assert str(error.value) == message


def test_activations_are_the_rows_with_an_initialiser() -> None:
    known = {
        "identity": "glorot_uniform", "sigmoid": "glorot_uniform", "tanh": "glorot_uniform",
        "relu": "he_uniform", "leaky_relu": "he_uniform", "softplus": "he_uniform",
        "gelu": "he_uniform", "softmax": "glorot_uniform",
    }  # fmt: skip
    assert known.items() <= ACTIVATIONS.items()  # what a spec means by them stays
    assert set(ACTIVATIONS) - known.keys() <= set(CASES)
    assert list(ACTIVATIONS) == ["identity", *(name for name, op in OPS.items() if op.init)]
