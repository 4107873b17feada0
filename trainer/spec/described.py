"""What is said of each key of a model: the text below it, and in `described.yaml` beside its file
an example, the version that brought it, and what its numbers count.

The JSON Schema that editors read has all of it, and the reference is made from the schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from inspect import cleandoc, getsourcefile
from pathlib import Path
from typing import Any, Final

import yaml

OURS: Final = "trainer."
SAID: Final = ("description", "examples", "x-since", "x-unit")
"""The words of JSON Schema for it."""
_CLASS: Final = re.compile(r"^class (?P<name>\w+)\b.*\n(?P<body>(?:[ )].*\n|\n)*)", re.MULTILINE)
_ATTRIBUTE: Final = re.compile(
    r'^    (?P<name>\w+): .*\n(?:    [ )\]}].*\n)*    """(?P<text>[^"]*(?:"{1,2}[^"]+)*)"""$',
    re.MULTILINE,
)
"""Read as text and not parsed: Python's parser fails now and then when several threads use it, and
a service is asked by many.
"""


def described(model: type) -> dict[str, dict[str, Any]]:
    """What JSON Schema says of each key of the model and of those that it inherits, as far as it
    says something of it (`SAID`). Texts are by the attribute's name, the rest by the key's.
    """
    found: dict[str, dict[str, Any]] = {
        name: {"description": text} for name, text in texts_below(model).items()
    }
    for each in _lineage(model):
        tables = tables_beside(Path(getsourcefile(each) or ""))
        for version, models in tables["examples"].items():
            for name, example in models.get(each.__name__, {}).items():
                found.setdefault(name, {}).update({"examples": [example], "x-since": version})
        for name, unit in tables["units"].get(each.__name__, {}).items():
            found.setdefault(name, {})["x-unit"] = unit
    return found


def said_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a key in its schema."""
    return {word: schema[word] for word in SAID if word in schema}


def texts_below(model: type) -> dict[str, str]:
    """The text below each attribute of a class, its own and those that it inherits."""
    found: dict[str, str] = {}
    for each in _lineage(model):
        found |= texts_of(Path(getsourcefile(each) or ""))[each.__name__]
    return found


@cache
def texts_of(source: Path) -> dict[str, dict[str, str]]:
    """The texts below the attributes of each class of a file."""
    return {
        each["name"]: {
            attribute["name"]: cleandoc(attribute["text"])
            for attribute in _ATTRIBUTE.finditer(each["body"])
        }
        for each in _CLASS.finditer(source.read_text(encoding="utf-8"))
    }


def _lineage(model: type) -> list[type]:
    """The model and the classes of this package that it inherits from, these first."""
    return [each for each in reversed(model.__mro__) if each.__module__.startswith(OURS)]


@cache
def tables_beside(source: Path) -> dict[str, dict[str, Any]]:
    """The tables beside a file of models, of which there may be none."""
    path = source.with_name("described.yaml")
    if not path.is_file():
        return {"examples": {}, "units": {}}
    tables: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tables
