"""Every key of the spec, with a value of its own: round trip, fingerprint, odd values."""

from __future__ import annotations

import copy
import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from specs import INLINE, SKETCHES, SPECS, VALUES, read

from trainer.codes import ENTRIES
from trainer.errors import SpecError
from trainer.spec import Sketch, Spec, load_spec
from trainer.spec.document import show_path
from trainer.spec.emit import to_yaml
from trainer.spec.explain import explain
from trainer.spec.names import clean_name

DEFINITIONS = TypeAdapter(Spec | Sketch).json_schema()["$defs"]
of_every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


# The fixtures ----------------------------------------------------------------------------------


def models(value: Any) -> Iterator[BaseModel]:
    """All models within a value, itself included."""
    if isinstance(value, BaseModel):
        yield value
        value = [getattr(value, name) for name in type(value).model_fields]
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, BaseModel | dict | tuple | list):
            yield from models(item)


def owned(kind: type[BaseModel], name: str) -> str:
    """A key with the class that it stands in, which others may inherit from."""
    owner = next(base for base in kind.__mro__ if name in base.__annotations__)
    return f"{owner.__name__}.{name}"


def test_every_key_has_another_value_than_its_default_somewhere() -> None:
    """A new key needs a value here; then the tests of this file hold for it."""
    found, kinds = set(), set()
    for model in models([*SPECS, *SKETCHES]):
        kinds.add(type(model))
        for name in model.model_fields_set:
            if getattr(model, name) != type(model).model_fields[name].default:
                found.add(owned(type(model), name))
    assert {kind.__name__ for kind in kinds} == DEFINITIONS.keys()
    wanted = {
        owned(kind, name)
        for kind in kinds
        for name, value in DEFINITIONS[kind.__name__]["properties"].items()
        if "const" not in value or "default" not in value  # which can have no other value
    }
    assert wanted - found == set()


@pytest.mark.parametrize("values", VALUES, ids=lambda values: str(values["name"]))
def test_a_file_with_these_values_is_loaded(values: dict[str, Any]) -> None:
    assert isinstance(loaded_from(to_yaml(values)), Spec)


# Round trip and fingerprint --------------------------------------------------------------------


@of_every_spec
def test_the_resolved_spec_is_the_spec(spec: Spec) -> None:
    resolved = spec.resolved()
    again = Spec.model_validate(resolved)
    assert again == spec
    assert again.resolved() == resolved
    assert again.sha256 == spec.sha256
    assert Spec.model_validate(read(to_yaml(resolved))) == spec


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all values within nested mappings and lists."""
    if not isinstance(value, dict | list):
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [place for key, child in items for place in [(*path, key), *places(child, (*path, key))]]


def at(values: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        values = values[part]
    return values


OTHERS: list[Any] = [
    3, 0.75, "other", "squared", "xor", "swa", "linear", "tanh", "zeros", ["other"],
]  # fmt: skip
"""Values of which one at least takes the place of any that cannot be left out."""


def variants(values: dict[str, Any], path: tuple[str | int, ...]) -> Iterator[dict[str, Any]]:
    """The values without the one at this path, and with others in its place."""
    *parents, last = path
    without = copy.deepcopy(values)
    del at(without, tuple(parents))[last]
    yield without
    for other in OTHERS:
        changed = copy.deepcopy(values)
        at(changed, tuple(parents))[last] = other
        if at(values, path) != other:
            yield changed


def test_every_value_that_decides_the_numbers_changes_the_fingerprint() -> None:
    """Left out or another: the hash is another, whatever the key; only what the run is called and
    where it is recorded leave it as it is.
    """
    changed, tried = set(), set()
    for values, spec in zip(VALUES, SPECS, strict=True):
        for path in places(values):
            if isinstance(at(values, path), dict):
                continue
            key = next(part for part in reversed(path) if isinstance(part, str))
            tried.add(key)
            for variant in variants(values, path):
                try:
                    other = Spec.model_validate(variant)
                except ValidationError:
                    continue
                same = path[0] in ("name", "tracking")
                assert (other.sha256 == spec.sha256) == same, (path, variant)
                changed.add(key)
    assert tried - changed == set()


def test_the_fingerprint_ignores_how_the_spec_is_written() -> None:
    spec = SPECS[-1]
    reversed_keys = {key: VALUES[-1][key] for key in reversed(VALUES[-1])}
    defaults = "  momentum: 0\n  clip_norm: null\nevaluation: {batch_size: 1024}\ntracking: {}\n"
    same = [
        "# a comment\n" + INLINE.replace("loss: logistic", "loss: 'logistic'"),
        INLINE.replace("units: 3,", "units: 3, type: dense, bias: true, init: glorot_uniform,"),
        INLINE.replace("schedule: cosine", "schedule: {type: cosine, warmup: 0.0}"),
        INLINE.replace("{learning_rate: 1, ", "\n  learning_rate: 1\n  ").replace(
            ", schedule: cosine}", "\n  schedule: cosine").replace(", epochs", "\n  epochs")
        + defaults,
        to_yaml(reversed_keys),
        to_yaml(spec.resolved()),
    ]  # fmt: skip
    assert {Spec.model_validate(read(text)).sha256 for text in same} == {spec.sha256}


TRICKY = st.sampled_from(
    ["no", "on", "1e3", "1e-3", "0o7", "0x1F", "010", "1_000", "1:30", "2020-01-01", "null", "~",
     "true", "a: b", "a #b", "- a", "? a", "*a", "&a", "!a", "%a", "@a", "`a", "{a", "[a", "'", '"',
     "<<", "=", ".nan", "-.inf", " a", "a ", "a\\b", "\x7f", "\x85", "\u2028", "\ufeff", "\ufffe",
     "été", "😀", "\U0010ffff", "---", "...", "a  b " * 30, "9" * 30, "-", ":", ":a", "a:", ","]
)  # fmt: skip
NAMES = TRICKY | st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1)


def loaded_from(text: str) -> Spec | SpecError:
    """The spec in a file of this text, or the error."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "spec.yaml"
        path.write_text(text)
        try:
            return load_spec(path)
        except SpecError as error:
            return error


@given(
    NAMES.filter(lambda text: len(text) <= 200 and clean_name(text)),
    st.floats(1e-300, 1e29),
    st.integers(0, 2**62),
)
@settings(max_examples=100, deadline=None)
def test_a_resolved_spec_loads_to_the_same_spec(name: str, rate: float, seed: int) -> None:
    values = copy.deepcopy(VALUES[-1]) | {"name": name, "seed": seed}
    values["sgd"]["learning_rate"] = rate
    values["data"]["source"]["inline"]["y"] = [name, "no", "1e3"]
    column = {"order": ["1e3", name + "x"], "missing": {"constant": name}}
    values["data"]["columns"] = {name: column}
    values["model"]["class_weights"] = {name: rate}
    spec = Spec.model_validate(values)
    again = loaded_from(to_yaml(spec.resolved()))
    assert isinstance(again, Spec)
    assert again.name == name
    assert again.resolved() == spec.resolved()
    assert again.sha256 == spec.sha256


# Any value anywhere ----------------------------------------------------------------------------

ODD = [
    10**24, 10**30, -(10**40), math.inf, -math.inf, math.nan, 1e300, "full", "iris", "csv", "relu",
    "cosine", "balanced", "0.1", "1,5", "\x00", "\x1b[31m", "a\nb", "x" * 300,
]  # fmt: skip
NUMBERS = st.integers(-3, 3) | st.integers() | st.floats()
ATOMS = st.none() | st.booleans() | NUMBERS | st.text(max_size=9) | st.sampled_from(ODD)
KEYS = st.sampled_from(["csv", "npy", "inline", "synthetic", "x", "y", "units", "type", "constant",
                        "values", "dense", "cosine", "layers", "", "1", "<<", "a\nb"])  # fmt: skip
ANYTHING = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def altered(draw: st.DrawFn) -> dict[str, Any]:
    """A valid spec in which one to three values were replaced by random ones."""
    values = copy.deepcopy(draw(st.sampled_from(VALUES)))
    for _ in range(draw(st.integers(1, 3))):
        *parents, last = draw(st.sampled_from(places(values)))
        at(values, tuple(parents))[last] = draw(ANYTHING)
    return values


FOREIGN = re.compile(r"another value|should be|pydantic|\bvalid\b|Input|permitted|error:|http")


def check_words(text: str, path: str, known: set[str]) -> None:
    """Words and a path that are not pydantic's; what is at fault is there, or what it should be
    in is.
    """
    assert not FOREIGN.search(text), text
    parent = re.sub(r"(\.[^.\[]*|\[\d+\]|^[^.\[]*)$", "", path)
    assert path in known or parent in known, path


def paths(values: dict[str, Any]) -> set[str]:
    return {show_path(path) for path in places(values)} | {""}


@given(altered())
@settings(max_examples=400, deadline=None)
def test_any_value_anywhere_gives_a_spec_or_words_of_our_own(values: dict[str, Any]) -> None:
    result = loaded_from(to_yaml(values))
    if isinstance(result, Spec):
        assert len(result.sha256) == 64
        return
    assert result.problems
    for problem in result.problems:
        assert problem.line is not None
        assert problem.column is not None
        check_words(f"{problem.message} {problem.hint}", problem.path, paths(values))


@pytest.mark.parametrize("odd", [None, True, 3, -0.5, "?", [], ["?"], {}, {"?": 1}, [[1, "?"]]])
def test_one_odd_value_at_every_place(odd: Any) -> None:
    refused = 0
    for values in VALUES:
        for *parents, last in places(values):
            changed = copy.deepcopy(values)
            at(changed, tuple(parents))[last] = odd
            try:
                Spec.model_validate(changed)
            except ValidationError as error:
                found = [explain(item, Spec, changed) for item in error.errors()]
                told = [item for item in found if item is not None]
                assert told
                for path, message, hint, _, code in told:
                    assert code in ENTRIES
                    check_words(f"{message} {hint}", show_path(path), paths(changed))
                refused += 1
    assert refused > 200
