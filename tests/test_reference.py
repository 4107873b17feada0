"""What the reference says of each key: nothing may be missing, and examples must be allowed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from inspect import cleandoc
from itertools import pairwise
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from conftest import ROOT
from test_spec_schema import (
    DEFINITIONS,
    PROFILE_SCHEMA,
    SWEEP_SCHEMA,
    Refused,
    check_schema,
)

from trainer.engine import Steps
from trainer.extras import package_version
from trainer.service.records import DATA
from trainer.service.records import Event as ServiceEvent
from trainer.spec.described import described, tables_beside, texts_of
from trainer.spec.fields import Strict
from trainer.training.events import Event

MODELS = DEFINITIONS | {"SweepSpec": SWEEP_SCHEMA, "ServiceProfile": PROFILE_SCHEMA}
KEYS = [
    pytest.param(model, name, key, id=f"{model}.{name}")
    for model, schema in MODELS.items()
    for name, key in schema.get("properties", {}).items()
]
EVENTS = [*get_args(Event), Steps, ServiceEvent, *DATA.values()]
TABLES = sorted((ROOT / "trainer").glob("*/described.yaml"))


def counts(key: dict[str, Any]) -> bool:
    """Whether a key may be a number, and nothing else that is not one of some words."""
    kinds = [kind for kind in key.get("anyOf", [key]) if kind != {"type": "null"}]
    if any("type" not in kind and "enum" not in kind and "const" not in kind for kind in kinds):
        return False
    numbers = [kind for kind in kinds if kind.get("type") in ("integer", "number")]
    return bool(numbers) and all("enum" in k or "const" in k or k in numbers for k in kinds)


def _lines_below(definition: ast.ClassDef) -> dict[str, str]:
    """The text below each attribute, as Python's parser finds it."""
    found = {}
    for attribute, below in pairwise(definition.body):
        match attribute, below:
            case (
                ast.AnnAssign(target=ast.Name(name)),
                ast.Expr(ast.Constant(str() as text)),
            ):
                found[name] = cleandoc(text)
    return found


def test_texts_are_those_that_the_parser_finds() -> None:
    count = 0
    for source in sorted((ROOT / "trainer").rglob("*.py")):
        expected = {
            each.name: _lines_below(each)
            for each in ast.parse(source.read_text(encoding="utf-8")).body
            if isinstance(each, ast.ClassDef)
        }
        assert texts_of(source) == expected, source
        count += sum(map(len, expected.values()))
    assert count > 250


@pytest.mark.parametrize(("model", "name", "key"), KEYS)
def test_each_key_is_told(model: str, name: str, key: dict[str, Any]) -> None:
    assert key["description"].rstrip().endswith((".", "`")), "a meaning: the text below the key"
    assert len(key["examples"]) == 1, "an example: trainer/*/described.yaml"
    assert "x-unit" in key or not counts(key), "a unit: trainer/*/described.yaml"
    since, now = (tuple(map(int, v.split("."))) for v in (key["x-since"], package_version()))
    assert since <= now


@pytest.mark.parametrize(("model", "name", "key"), KEYS)
def test_each_example_is_allowed(model: str, name: str, key: dict[str, Any]) -> None:
    check_schema(key["examples"][0], key)


def test_a_wrong_example_would_be_noticed() -> None:
    momentum = DEFINITIONS["SGDSpec"]["properties"]["momentum"]
    assert counts(momentum)
    with pytest.raises(Refused):
        check_schema(1.5, momentum)


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.parent.name)
def test_the_tables_name_no_key_that_is_not_there(path: Any) -> None:
    tables = tables_beside(path)
    for part in (*tables["examples"].values(), tables["units"]):
        for title, keys in part.items():
            (kind,) = (each for each in (*all_models(Strict), *EVENTS) if each.__name__ == title)
            assert kind.__module__.startswith(f"trainer.{path.parent.name}.")
            assert keys.keys() <= names_of(kind), title


def names_of(kind: Any) -> set[str]:
    """The keys of a model, or the fields of an event."""
    if issubclass(kind, Strict):
        return {field.alias or name for name, field in kind.model_fields.items()}
    return {field.name for field in fields(kind)}


def all_models(model: type[Strict]) -> list[type[Strict]]:
    """The models that inherit from this one."""
    return [each for direct in model.__subclasses__() for each in (direct, *all_models(direct))]


def test_what_a_key_inherits_is_told_of_it() -> None:
    from trainer.spec.layers import DropoutLayer

    assert described(DropoutLayer)["inputs"]["examples"] == [["place", "rest"]]


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
def test_each_field_of_an_event_is_told(kind: Any) -> None:
    said, hints = described(kind), get_type_hints(kind)
    assert fields(kind)
    for field in fields(kind):
        assert said[field.name]["description"].endswith("."), field.name
        numbers = {int, float, np.ndarray} & {*flat(hints[field.name])}
        assert bool(numbers) is ("x-unit" in said[field.name]), f"{kind}.{field.name}: a unit"


def flat(hint: Any) -> Iterator[Any]:
    """The types that a type is made of."""
    yield get_origin(hint) or hint
    for inner in get_args(hint) if get_origin(hint) is not np.ndarray else ():
        yield from flat(inner)
