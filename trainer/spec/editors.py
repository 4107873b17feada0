"""The JSON Schema of files, which editors read: of a whole spec, and of one that builds on another
and need not say all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trainer.spec.described import said_of

_REF: Final = "#/$defs/"
_NULL: Final = {"type": "null"}
_DEFAULTS: Final = {
    "type": "string",
    "minLength": 1,
    "description": "Another file, relative to this one, whose values hold where this one says "
    "nothing. `key: null` takes a key of it away.",
    "examples": ["base.yaml"],
    "x-since": "0.1",
}


def with_partial(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of models as that of files, which may have `defaults`: then no key of a mapping is
    required, and each may be null.
    """
    definitions = dict(schema["$defs"])
    models = schema.get("anyOf")
    if models is None:
        definitions[schema["title"]] = {k: v for k, v in schema.items() if k != "$defs"}
        models = [{"$ref": f"{_REF}{schema['title']}"}]
    partial = [_partial(model, definitions) for model in models]
    for each in partial:
        model = definitions[each["$ref"].removeprefix(_REF)]
        model["properties"] = {"defaults": _DEFAULTS, **model["properties"]}
        model["required"] = ["defaults"]
    return {"$defs": definitions, "anyOf": [*models, *partial]}


def _partial(schema: Mapping[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of what need not say all. Lists and what is in them are whole."""
    made: dict[str, Any] = {}
    for word, rule in schema.items():
        if word == "$ref":
            made[word] = _REF + _named(rule.removeprefix(_REF), definitions)
        elif word in ("anyOf", "oneOf"):
            made["anyOf"] = [_partial(each, definitions) for each in rule]
        elif word in ("properties", "patternProperties"):
            made[word] = {key: _or_null(each, definitions) for key, each in rule.items()}
        elif word == "additionalProperties" and isinstance(rule, Mapping):
            made[word] = _or_null(rule, definitions)
        elif word not in ("required", "default"):
            made[word] = rule
    return made


def _named(name: str, definitions: dict[str, Any]) -> str:
    """The name of the partial model."""
    other = f"Partial{name}"
    if other not in definitions:
        definitions[other] = {}  # a model may be within itself
        definitions[other].update(_partial(definitions[name], definitions))
    return other


def _or_null(schema: Mapping[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    made = _partial(schema, definitions)
    said = said_of(made)
    rest = {word: rule for word, rule in made.items() if word not in said}
    return {"anyOf": [rest, _NULL], **said}
