"""Dimensions of a space: which values they have, and how one is picked."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from typing import Any

import pytest
import yaml
from conftest import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from trainer.spec import Spec
from trainer.spec.emit import to_yaml
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.space import DimensionSpec, ValuesDimension, draw, edges, grid
from trainer.sweeps.values import same

ADAPTER: TypeAdapter[Any] = TypeAdapter(DimensionSpec)


def dimension(**values: Any) -> Any:
    return ADAPTER.validate_python(values)


@pytest.mark.parametrize(
    ("given_", "u", "value"),
    [
        ({"uniform": [0, 0.99]}, 0, 0.0),
        ({"uniform": [0, 0.99]}, 0.5, 0.495),
        ({"uniform": [0, 1]}, 1 / 3, 0.333333),  # six digits
        ({"uniform": [-2, 2]}, 0.25, -1.0),
        ({"uniform": [0.1234564, 1]}, 0, 0.1234564),  # a bound is itself, and nothing is beyond it
        ({"log": [1e-4, 1]}, 0, 1e-4),
        ({"log": [1e-4, 1]}, 0.5, 0.01),
        ({"log": [1e-4, 1]}, 0.75, 0.1),
        ({"log": [1, 8]}, 1 / 3, 2.0),
        ({"integers": [1, 4]}, 0.249, 1),
        ({"integers": [1, 4]}, 0.25, 2),
        ({"integers": [1, 4]}, 0.999, 4),
        ({"integers": [-1, 1]}, 0.5, 0),
        ({"integers": [1, 4], "log": True}, 0.49, 1),  # up to log(3) / log(9) = ½
        ({"integers": [1, 4], "log": True}, 0.51, 2),
        ({"integers": [1, 4], "log": True}, 0.999, 4),
        ({"values": ["a", "b", "c"]}, 0.33, "a"),
        ({"values": ["a", "b", "c"]}, 0.34, "b"),
        ({"uniform": [0, 1], "steps": 3}, 0.5, 0.5),  # each of three has a third
        ({"uniform": [0, 1], "steps": 3}, 0.7, 1.0),
        ({"integers": [0, 9], "steps": 2}, 0.4, 0),
    ],
)
def test_at(given_: dict[str, Any], u: float, value: Any) -> None:
    assert dimension(**given_).at(u) == value


@pytest.mark.parametrize(
    ("given_", "points"),
    [
        ({"uniform": [0, 1], "steps": 5}, [0, 0.25, 0.5, 0.75, 1]),
        ({"uniform": [0, 1], "steps": 4}, [0, 0.333333, 0.666667, 1]),
        ({"log": [1e-4, 0.1], "steps": 4}, [1e-4, 1e-3, 1e-2, 0.1]),
        ({"log": [0.1234567, 1], "steps": 2}, [0.1234567, 1]),
        ({"integers": [3, 6]}, [3, 4, 5, 6]),
        ({"integers": [0, 10], "steps": 3}, [0, 5, 10]),
        ({"integers": [4, 64], "log": True, "steps": 5}, [4, 8, 16, 32, 64]),
        ({"integers": [1, 3], "steps": 9}, [1, 2, 3]),  # each once
        ({"values": [8, "full", None]}, [8, "full", None]),
    ],
)
def test_points(given_: dict[str, Any], points: list[Any]) -> None:
    found = dimension(**given_)
    assert list(found.points()) == points
    assert not found.is_endless
    assert {found.corners()[0], found.corners()[-1]} == {points[0], points[-1]}


@pytest.mark.parametrize("given_", [{"uniform": [0, 1]}, {"log": [1, 2]}])
def test_a_grid_has_no_end_without_steps(given_: dict[str, Any]) -> None:
    assert dimension(**given_).is_endless
    with pytest.raises(ValueError, match="between any two"):
        dimension(**given_).points()


@pytest.mark.parametrize(
    ("given_", "x", "value"),
    [
        ({"uniform": [0, 1]}, 0.12345678, 0.123457),
        ({"uniform": [0, 1]}, 7, 1),
        ({"log": [1e-3, 1]}, 1e-9, 1e-3),
        ({"integers": [1, 9]}, 3.4, 3),
        ({"uniform": [0, 1], "steps": 5}, 0.6, 0.5),
        ({"log": [1, 100], "steps": 3}, 30, 10),  # by factors: 3, and 3.3
        ({"log": [1, 100], "steps": 3}, 33, 100),
    ],
)
def test_snap(given_: dict[str, Any], x: float, value: float) -> None:
    assert dimension(**given_).snap(x) == value


def test_integers_on_a_log_scale_come_as_often_as_is_said() -> None:
    low, high, draws = 1, 9, 1_000
    found = Counter(dimension(integers=[low, high], log=True).at(i / draws) for i in range(draws))
    whole = math.log((high + 0.5) / (low - 0.5))
    for k in range(low, high + 1):
        assert abs(found[k] / draws - math.log((k + 0.5) / (k - 0.5)) / whole) < 2 / draws


numbers = st.floats(-1e30, 1e30, allow_nan=False)
positive = st.floats(1e-300, 1e30)
whole = st.integers(-(10**12), 10**12)
units = st.floats(0, 1, exclude_max=True)


def pairs(of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(of, min_size=2, max_size=2, unique=True).map(sorted)


steps = st.none() | st.integers(2, 50)
ranges = st.one_of(
    st.builds(lambda b, n: dimension(uniform=b, steps=n), pairs(numbers), steps),
    st.builds(lambda b, n: dimension(log=b, steps=n), pairs(positive), steps),
    st.builds(lambda b, n: dimension(integers=b, steps=n), pairs(whole), steps),
    st.builds(
        lambda b, n: dimension(integers=b, steps=n, log=True), pairs(st.integers(1, 10**12)), steps
    ),
)


@settings(max_examples=40, deadline=None)
@given(ranges, st.lists(units, min_size=2, max_size=8))
def test_ranges_are_monotone_and_within_their_bounds(found: Any, us: list[float]) -> None:
    values = [found.at(u) for u in sorted(us)]
    assert values == sorted(values)
    assert found.bounds[0] <= values[0]
    assert values[-1] <= found.bounds[1]
    for value in values:
        assert found.snap(value) == value
        inner = value not in found.bounds
        assert not inner or found.is_whole or value == float(f"{value:.6g}")


@settings(deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6), units, st.booleans())
def test_every_integer_is_reached(low: int, width: int, part: float, log: bool) -> None:
    low = abs(low) + 1 if log else low
    high = min(low + width, 10**12)
    low = min(low, high - 1)
    k = low + math.floor(part * (high - low + 1))
    scale = math.log if log else float
    before, here, after = (scale(x) for x in (low - 0.5, k, high + 0.5))
    found = dimension(integers=[low, high], log=log)
    assert found.at((here - before) / (after - before)) == k
    assert found.at(0.0) == low
    assert found.at(math.nextafter(1, 0)) == high


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, unique=True), units)
def test_values_have_equal_parts(values: list[int], u: float) -> None:
    found = dimension(values=values)
    assert isinstance(found, ValuesDimension)
    assert found.at(u) == values[math.floor(u * len(values))]


SPACES = {
    "sgd.learning_rate": pairs(st.floats(1e-6, 1)).map(lambda b: {"log": b}),
    "sgd.momentum": pairs(st.floats(0, 0.999)).map(lambda b: {"uniform": b}),
    "sgd.batch_size": st.lists(
        st.sampled_from([1, 2, 3, "full"]), min_size=1, unique=True
    ).map(lambda values: {"values": values}),
    "model.layers.0.units": pairs(st.integers(1, 99)).map(lambda b: {"integers": b, "log": True}),
    "model.layers[0].activation": st.just({"values": ["relu", "tanh"]}),
    "sgd.schedule": st.just({"values": ["constant", {"type": "cosine", "warmup": 1}]}),
}  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.sampled_from(list(SPACES)), min_size=1, unique=True).flatmap(
        lambda keys: st.fixed_dictionaries({key: SPACES[key] for key in keys})
    ),
    units,
    st.integers(0, 2**63 - 1),
)
def test_what_is_kept_of_a_sweep_is_the_sweep(space: dict[str, Any], u: float, seed: int) -> None:
    """Read back, from JSON and from YAML, it has the same fingerprint and the same trials."""
    model = {"layers": [{"units": 3}, {"units": 1}], "loss": "logistic"}
    spec = TINY | {"model": model, "data": TINY["data"] | {"split": {"validation": 0.25}}}
    sweep = SweepSpec.from_resolved({
        "name": "a", "seed": seed, "spec": spec, "space": space,
        "search": {"method": "random", "trials": 3}, "objective": "val_loss",
    })  # fmt: skip
    kept = sweep.resolved()
    values = {key: each.at(u) for key, each in sweep.space.items()}
    trial = sweep.trial(values, 1)
    assert trial.sha256 == Spec.model_validate(spec).changed(values).sha256
    for again in (json.loads(json.dumps(kept)), yaml.safe_load(to_yaml(kept))):
        read = SweepSpec.from_resolved(again)
        assert (read.sha256, read.resolved()) == (sweep.sha256, kept)
        assert read.trial(values, 1).sha256 == trial.sha256


def test_a_grid_goes_as_the_file_does_the_last_key_quickest() -> None:
    space = {"a": dimension(values=["x", "y"]), "b": dimension(integers=[1, 3])}
    expected = [{"a": a, "b": b} for a, b in itertools.product("xy", (1, 2, 3))]
    assert list(grid(space)) == expected


def test_a_grid_of_very_many_points_begins_at_once() -> None:
    space = {"a": dimension(integers=[0, 10**12]), "b": dimension(values=["x", "y"])}
    first = list(itertools.islice(grid(space), 3))
    assert first == [{"a": 0, "b": "x"}, {"a": 0, "b": "y"}, {"a": 1, "b": "x"}]


@pytest.mark.parametrize(
    ("a", "b", "one"),
    [
        (1, 1.0, True), (1, True, False), (0, False, False), ("1", 1, False), (None, "null", False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True), ([1, 2], (1, 2), True), ([1], 1, False),
        (float("nan"), float("nan"), True), (0.1, 0.1000001, False), ({}, [], False),
    ],
)  # fmt: skip
def test_same(a: Any, b: Any, one: bool) -> None:
    assert same(a, b) is one


def test_draws_depend_on_the_seed_and_the_number_alone() -> None:
    space = {"a": dimension(log=[1e-4, 1]), "b": dimension(integers=[1, 1000])}
    assert draw(space, 7, 3) == {"a": 0.134843, "b": 849}
    assert draw({"a": space["a"]}, 7, 3) == {"a": 0.134843}
    drawn = [draw(space, seed, number)["b"] for seed in (1, 2) for number in range(20)]
    assert len(set(drawn)) > 35


def test_edges() -> None:
    space = {"a": dimension(uniform=[0, 1]), "b": dimension(values=[1, 2, 3])}
    assert edges(space) == [
        {"a": 0.0, "b": 2}, {"a": 1.0, "b": 2},
        {"a": 0.5, "b": 1}, {"a": 0.5, "b": 2}, {"a": 0.5, "b": 3},
        {"a": 0.0, "b": 1},
        {"a": 1.0, "b": 3},
        {"a": 0.5, "b": 2},
    ]  # fmt: skip
