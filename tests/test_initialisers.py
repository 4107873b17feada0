"""Initial values: their spread, their shape, their streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import TINY

from trainer import Spec, build_graph
from trainer.data.preparing.layout import Layout
from trainer.errors import GraphError
from trainer.graph import Graph, GraphBuilder
from trainer.graph.initialisers import INITIALISERS, initial_parameters, initial_state
from trainer.graph.ops import Array
from trainer.numerics.draws import normal
from trainer.randomness import stream

FEATURES, UNITS = 300, 200


def graph_of(init: Any, features: int = FEATURES, units: int = UNITS, **changes: Any) -> Graph:
    layers = [{"units": units, "init": init}, {"units": 1}]
    model = {"layers": layers, "loss": "logistic", "dtype": "float64", **changes}
    return build_graph(Spec.model_validate(TINY | {"model": model}), Layout.plain(features, 1))


def drawn(init: Any, features: int = FEATURES, units: int = UNITS) -> Array:
    return initial_parameters(graph_of(init, features, units), seed=1)["dense_1/W"]


# The variance of a 300 × 200 matrix, which estimates it to 1 %
VARIANCE = {
    "glorot_uniform": 2 / 500, "glorot_normal": 2 / 500, "he_uniform": 2 / 300,
    "he_normal": 2 / 300, "lecun_uniform": 1 / 300, "lecun_normal": 1 / 300,
    "orthogonal": 1 / 300, "normal": 0.05**2, "uniform": 0.05**2 / 3, "zeros": 0.0, "ones": 0.0,
}  # fmt: skip


def test_every_initialiser_has_a_row() -> None:
    assert set(VARIANCE) == set(INITIALISERS)


@pytest.mark.parametrize("name", INITIALISERS)
def test_initialisers(name: str) -> None:
    W = drawn(name)
    assert W.var() == pytest.approx(VARIANCE[name], rel=0.03)
    mean = 1.0 if name == "ones" else 0.0
    assert abs(W.mean() - mean) <= 0.02 * W.std()
    if name.endswith("uniform"):
        assert np.abs(W).max() <= (3 * VARIANCE[name]) ** 0.5
    np.testing.assert_array_equal(W, drawn(name))
    assert not initial_parameters(graph_of(name), seed=1)["dense_1/b"].any()


def test_the_size_of_a_spread_can_be_given() -> None:
    assert drawn({"normal": 0.3}).std() == pytest.approx(0.3, rel=0.02)
    # the deviation scales what is drawn, and nothing else
    np.testing.assert_array_equal(drawn({"normal": 0.05}), drawn("normal"))
    W = drawn({"uniform": 2.0})
    assert W.min() == pytest.approx(-2, abs=0.01)
    assert W.max() == pytest.approx(2, abs=0.01)
    np.testing.assert_array_equal(drawn({"uniform": 0.05}), drawn("uniform"))


@pytest.mark.parametrize(("features", "units"), [(7, 3), (3, 7), (5, 5), (1, 4), (4, 1)])
def test_orthogonal_matrices(features: int, units: int) -> None:
    """The shorter side is orthonormal; the signs are those of a QR whose R has a positive diagonal,
    so that Q alone tells which matrix was drawn.
    """
    W = drawn("orthogonal", features, units)
    assert W.shape == (features, units)
    tall = W if features >= units else W.T
    np.testing.assert_allclose(tall.T @ tall, np.eye(tall.shape[1]), atol=1e-14)
    R = tall.T @ normal(stream(1, "initialise", 0), tall.shape)
    np.testing.assert_allclose(np.tril(R, -1), 0, atol=1e-13)
    assert (np.diag(R) > 0).all()


def test_values_are_taken_as_they_stand() -> None:
    rows = [[1.5, -2.0], [0.25, 3.0], [1e-9, 7.0]]
    assert drawn({"values": rows}, 3, 2).tolist() == rows


def test_values_of_another_shape() -> None:
    with pytest.raises(GraphError) as error:
        graph_of({"values": [[1.0, 2.0]]}, 3, 2)
    assert str(error.value).splitlines()[0] == (
        "model.layers[0].init.values: expected values of the shape (3, 2), found (1, 2) [TR-G007]"
    )


def test_each_parameter_has_its_stream() -> None:
    """Parameter number k is drawn from stream k, whatever the others are."""
    values = initial_parameters(graph_of("zeros"), seed=1)
    limit = np.sqrt(6 / (UNITS + 1))
    expected = (2 * stream(1, "initialise", 2).random((UNITS, 1)) - 1) * limit
    np.testing.assert_array_equal(values["dense_2/W"], expected)


def test_float32_starts_where_float64_does() -> None:
    wide, narrow = (
        initial_parameters(graph_of("orthogonal", 5, 3, dtype=dtype), 3)
        for dtype in ("float64", "float32")
    )
    for name, value in wide.items():
        assert narrow[name].dtype == np.float32
        np.testing.assert_array_equal(narrow[name], value.astype(np.float32))


def test_states_that_begin_at_a_number() -> None:
    builder = GraphBuilder("float32")
    builder.leaf("state", "n/mean", (2,), initial=0.0, statistic=True)
    builder.leaf("state", "n/variance", (2,), initial=1.0, statistic=True)
    builder.leaf("state", "velocity/W", (3,))
    found = initial_state(builder.build())
    assert {name: value.tolist() for name, value in found.items()} == {
        "n/mean": [0, 0], "n/variance": [1, 1],
    }  # fmt: skip
    assert {value.dtype for value in found.values()} == {np.dtype("float32")}
