"""What the reference says of each key: nothing may be missing, and examples must be allowed."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import ROOT
from test_spec_schema import (
    DEFINITIONS,
    PROFILE_SCHEMA,
    SWEEP_SCHEMA,
    Refused,
    check_schema,
)

from trainer.extras import package_version
from trainer.spec.described import described, tables_beside
from trainer.spec.fields import Strict

MODELS = DEFINITIONS | {"SweepSpec": SWEEP_SCHEMA, "ServiceProfile": PROFILE_SCHEMA}
KEYS = [
    pytest.param(model, name, key, id=f"{model}.{name}")
    for model, schema in MODELS.items()
    for name, key in schema.get("properties", {}).items()
]
TABLES = sorted((ROOT / "trainer").glob("*/described.yaml"))


def counts(key: dict[str, Any]) -> bool:
    """Whether a key may be a number, and nothing else that is not one of some words."""
    kinds = [kind for kind in key.get("anyOf", [key]) if kind != {"type": "null"}]
    if any("type" not in kind and "enum" not in kind and "const" not in kind for kind in kinds):
        return False
    numbers = [kind for kind in kinds if kind.get("type") in ("integer", "number")]
    return bool(numbers) and all("enum" in k or "const" in k or k in numbers for k in kinds)


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
    models = {model.__name__: model for model in all_models(Strict)}
    tables = tables_beside(path)
    for part in (*tables["examples"].values(), tables["units"]):
        for title, keys in part.items():
            fields = models[title].model_fields
            assert models[title].__module__.startswith(f"trainer.{path.parent.name}.")
            assert keys.keys() <= {field.alias or name for name, field in fields.items()}, title


def all_models(model: type[Strict]) -> list[type[Strict]]:
    """The models that inherit from this one."""
    return [each for direct in model.__subclasses__() for each in (direct, *all_models(direct))]


def test_what_a_key_inherits_is_told_of_it() -> None:
    from trainer.spec.layers import DropoutLayer

    assert described(DropoutLayer)["inputs"]["examples"] == [["place", "rest"]]
