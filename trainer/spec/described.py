"""What is said of each key of a model: the text below it, and in `described.yaml` beside its file
an example, the version that brought it, and what its numbers count.

The JSON Schema that editors read has all of it, and the reference is made from the schema.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from inspect import cleandoc, getsource, getsourcefile
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from threading import Lock
from typing import Any, Final

import yaml

OURS: Final = "trainer."
SAID: Final = ("description", "examples", "x-since", "x-unit")
"""The words of JSON Schema for it."""
_PARSING: Final = Lock()
"""Python 3.11 parses wrongly in several threads at once."""


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


@cache
def texts_below(model: type) -> dict[str, str]:
    """The text below each attribute of a class, its own and those that it inherits."""
    found: dict[str, str] = {}
    for each in _lineage(model):
        with _PARSING:
            (definition,) = ast.parse(dedent(getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for attribute, below in pairwise(definition.body):
            match attribute, below:
                case (
                    ast.AnnAssign(target=ast.Name(name)),
                    ast.Expr(ast.Constant(str() as text)),
                ):
                    found[name] = cleandoc(text)
    return found


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
