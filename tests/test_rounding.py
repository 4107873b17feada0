"""What rounding explains: no less than other kernels do, and no more than a fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_export import DTYPES, by_onnx, graph_of, inputs_of, make_model, rows_of
from typed import MODELS as TYPED
from typed import typed_model

from trainer.errors import TrainerError
from trainer.export.check import _random_rows, answer_model, compare
from trainer.export.rounding import lost, rounding
from trainer.graph import OPS
from trainer.graph.ops import Array
from trainer.network.model import Model

# Every op ---------------------------------------------------------------------------------------

NOT_PREDICTED = {"logistic_loss", "normal_cdf", "normal_pdf"}
"""Parts of a loss and of gradients."""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", [op for op in OPS if op not in NOT_PREDICTED])
def test_an_op_loses_no_more_than_is_said(op: str, dtype: str) -> None:
    """In NumPy and in onnxruntime; of float32 beside what it is in float64."""
    for arrays, attributes in inputs_of(op, dtype):
        graph = graph_of(op, arrays, attributes)
        exact = [array.astype(np.float64) for array in arrays]
        with np.errstate(all="ignore"):
            value = np.asarray(OPS[op].forward(*exact, **attributes))
            allowed = lost(graph[graph.outputs["prediction"]], value, exact)
            found = [
                np.asarray(OPS[op].forward(*arrays, **attributes)),
                by_onnx(graph, dict(zip("abc", arrays, strict=False))),
            ]
            constants = np.finfo(dtype).eps / 2 * np.abs(value)  # float64 has another 0.01
            there = np.isfinite(value) & np.isfinite(found[0])
            assert there.any()
            for numbers in found:
                apart = np.abs(numbers.astype(np.float64) - value)[there]
                assert (apart <= (allowed + constants)[there] + np.finfo(dtype).tiny).all()


# Models -----------------------------------------------------------------------------------------


def in_order(a: Array, b: Array) -> Array:
    """Term after term, as no kernel does it any more: the most that is rounded."""
    total = np.zeros((len(a), b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        total += a[:, k : k + 1] * b[k : k + 1]
    return total


def backwards(a: Array, b: Array) -> Array:
    return in_order(a[:, ::-1], b[::-1])


def by_halves(a: Array, b: Array) -> Array:
    half = a.shape[1] // 2
    if not half:
        return a * b
    return by_halves(a[:, :half], b[:half]) + by_halves(a[:, half:], b[half:])


ORDERS: dict[str, Callable[[Array, Array], Array]] = {
    "in order": in_order, "backwards": backwards, "by halves": by_halves, "BLAS": np.matmul,
}  # fmt: skip


def wide(signs: str = "any", **how: Any) -> tuple[Model, Array]:
    """300 features; weights of either sign, of one, or of one for each half of the features."""
    names = tuple(f"c{i}" for i in range(300))
    model = make_model(classes=None, features=names, scaled=False, **how)
    W = model.parameters["l/W"] / 17
    if signs != "any":
        W = np.abs(W)
    if signs == "halves":
        W[150:] *= -1
    model = dataclasses.replace(model, parameters={**model.parameters, "l/W": W})
    return model, np.abs(rows_of(model))


CASES: dict[str, Callable[[], tuple[Model, Array]]] = {
    "any signs": wide,
    "one sign": lambda: wide("one", hidden="relu"),
    "halves": lambda: wide("halves", hidden="identity"),
    "float64": lambda: wide(dtype="float64"),
    **{name: lambda how=how: typed_model(**how) for name, how in TYPED.items()},
}


@pytest.mark.parametrize("name", CASES)
def test_every_order_of_a_sum_is_within_the_bound(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the bound is near: 200 times the worst of the orders is far beyond it."""
    model, x = CASES[name]()
    allowed = rounding(model, x)
    found = {}
    for order, product in ORDERS.items():
        monkeypatch.setitem(OPS, "matmul", dataclasses.replace(OPS["matmul"], forward=product))
        found[order] = answer_model(model, x).numbers.astype(np.float64)
    used = [np.abs(found[a] - found[b]) / allowed for a in found for b in found]
    assert np.max(used) < 0.5
    assert np.max(used) > 0.005


# Faults -----------------------------------------------------------------------------------------


def off_by_a_thousandth(model: Model, x: Array) -> tuple[Model, Array]:
    W = model.parameters["dense_2/W"].copy()
    W[0, 0] += 1e-3
    return dataclasses.replace(model, parameters={**model.parameters, "dense_2/W": W}), x


def of_another_category(model: Model, x: Array) -> tuple[Model, Array]:
    wrong = x.copy()
    known = wrong[:, 2] >= 0
    wrong[known, 2] = (wrong[known, 2] + 1) % 4
    return model, wrong


def of_another_vector(model: Model, x: Array) -> tuple[Model, Array]:
    vectors = model.parameters["street/vectors"]
    wrong = {**model.parameters, "street/vectors": vectors[::-1].copy()}
    return dataclasses.replace(model, parameters=wrong), x


def with_swapped_columns(model: Model, x: Array) -> tuple[Model, Array]:
    return model, x[:, [8, *range(1, 8), 0, 9]]


FAULTS = [off_by_a_thousandth, of_another_category, of_another_vector, with_swapped_columns]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TYPED)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_no_rounding(fault: Any, name: str, dtype: str) -> None:
    """Also where only random rows are there to find it."""
    model, x = typed_model(dtype, **TYPED[name])
    for rows in (x, _random_rows(model, "").x):
        wrong = answer_model(*fault(model, rows))
        with pytest.raises(TrainerError, match="the file is not kept"):
            compare(wrong, model, rows)
