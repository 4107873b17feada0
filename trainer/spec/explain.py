"""Pydantic's errors in our words: what was expected, what was found, what to write."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel

from trainer.spec.document import FAULT, Path, Value, meaning, show_text
from trainer.spec.messages import describe, near, near_or_all, plural
from trainer.spec.tagged import OTHER, by_tag, models_of

UNKNOWN_KEY: Final = "unknown key"
IN_FILE: Final = "write it at the top of the file"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_PATTERNS: Final[Mapping[str, str]] = {
    r"^[^\x00-\x1f]+$": "a text without control characters",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "a name of letters, digits and _ that begins with no digit",
    r"^[0-9a-f]{64}$": "a SHA-256 of 64 hexadecimal digits in lower case",
}

# The code and what was expected, by the type of pydantic's error; `found` is added.
_EXPECTED: Final[Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]]] = {
    "int_type": ("TR-S013", lambda c: "a whole number"),
    "int_from_float": ("TR-S013", lambda c: "a whole number"),
    "int_parsing_size": ("TR-S014", lambda c: "a whole number of fewer digits"),
    "float_type": ("TR-S013", lambda c: "a number"),
    "finite_number": ("TR-S014", lambda c: "a finite number"),
    "bool_type": ("TR-S013", lambda c: "true or false"),
    "string_type": ("TR-S013", lambda c: "a text"),
    "string_too_short": (
        "TR-S016",
        lambda c: f"a text of at least {plural(c['min_length'], 'character')}",
    ),
    "string_too_long": (
        "TR-S016",
        lambda c: f"a text of at most {plural(c['max_length'], 'character')}",
    ),
    "string_pattern_mismatch": ("TR-S016", lambda c: _PATTERNS[c["pattern"]]),
    "literal_error": ("TR-S015", lambda c: str(c["expected"])),
    "greater_than": ("TR-S014", lambda c: f"a number above {_number(c['gt'])}"),
    "greater_than_equal": ("TR-S014", lambda c: f"a number of at least {_number(c['ge'])}"),
    "less_than": ("TR-S014", lambda c: f"a number below {_number(c['lt'])}"),
    "less_than_equal": ("TR-S014", lambda c: f"a number of at most {_number(c['le'])}"),
    "tuple_type": ("TR-S013", lambda c: "a list"),
    "list_type": ("TR-S013", lambda c: "a list"),
    "too_short": ("TR-S017", lambda c: f"a list of at least {plural(c['min_length'], 'item')}"),
    "too_long": ("TR-S017", lambda c: f"a list of at most {plural(c['max_length'], 'item')}"),
    "model_type": ("TR-S013", lambda c: "a mapping"),
    "model_attributes_type": ("TR-S013", lambda c: "a mapping"),
    "dict_type": ("TR-S013", lambda c: "a mapping"),
    "choice": ("TR-S015", lambda c: str(c["what"])),
    "by_key": ("TR-S015", lambda c: str(c["what"])),
    "by_type": ("TR-S015", lambda c: str(c["what"])),
}


def explain(
    error: Mapping[str, Any], root: type[BaseModel], document: Value
) -> tuple[Path, str, str | None, bool, str] | None:
    """One of pydantic's errors as (path, message, hint, whether the key is at fault, code).

    None for an error that only follows from another one, which is reported itself.
    """
    kind, context = error["type"], error.get("ctx") or {}
    loc, of_key = error["loc"], error["loc"][-1:] == ("[key]",)
    path, _ = _follow(root, loc[:-1] if of_key else loc)
    if kind == "missing":
        return path, "required key is missing", None, True, "TR-S012"
    if kind == "extra_forbidden":
        keys = _keys(root, error["loc"][:-1])
        of_file = getattr(root, "file_keys", ()) if len(path) == 1 else ()
        if path[-1] in of_file:
            return path, "this stands in a spec's file alone", IN_FILE, True, "TR-S011"
        advice = near(path[-1], [*keys, *of_file]) or f"the keys here are {', '.join(keys)}"
        return path, UNKNOWN_KEY, advice, True, "TR-S011"
    if kind == "spec":
        path = (*path, *context["at"])
    value = path[-1] if of_key else _at(document, path)
    if kind == "by_type" and isinstance(value, dict):  # it is the type that fits no model
        if "type" not in value:
            advice = near_or_all(None, context["names"])
            return (*path, "type"), "required key is missing", advice, True, "TR-S012"
        path, value = (*path, "type"), value["type"]
    if kind == "default_factory_not_called" or _holds_fault(value):
        return None
    if kind == "too_short" and isinstance(value, list) and len(value) >= context["min_length"]:
        return None  # of its items only some are right
    if kind == "spec":
        key = of_key or context["key"]
        return path, context["message"], context["hint"], key, context["code"]
    code, expected = "TR-S013", "another value"
    if kind == "expected":
        expected = error["msg"]
    elif kind in _EXPECTED:
        code, said = _EXPECTED[kind]
        expected = said(context)
    found = describe(value)
    if kind in ("too_short", "too_long") and isinstance(value, list) and value:
        found = f"a list of {len(value)}"
    hint = _hint(kind, context, value)
    if kind == "model_type":
        hint = f"the keys here are {', '.join(_keys(root, loc))}"
    return path, f"expected {expected}, found {found}", hint, of_key, code


def _hint(kind: str, context: Mapping[str, Any], value: Any) -> str | None:
    """What to write in the place of `value`, where that can be told."""
    if kind in ("choice", "by_type"):
        return near_or_all(value, context["names"])
    if kind == "literal_error" and isinstance(value, str):
        return near(value, re.findall(r"'(.*?)'", context["expected"]))
    if kind == "by_key" and isinstance(value, dict):
        return next(filter(None, (near(key, context["names"]) for key in value)), None)
    if kind in ("tuple_type", "list_type") and isinstance(value, str | int | float):
        return f"write [{show_text(str(value))}]" if not isinstance(value, bool) else None
    if kind in ("int_type", "float_type"):
        return _as_number(value, whole=kind == "int_type")
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "put it in quotes if it is meant as a text"
    return None


_DECIMAL_COMMA: Final = re.compile(r"^([-+]?[0-9]*),([0-9]{1,2}|[0-9]{4,})$")  # 1,000 may be 1000


def _as_number(value: Any, *, whole: bool) -> str | None:
    """What to write for a text, or a whole number with a point, that was meant as a number."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return f"write {value:.0f}"
    if not isinstance(value, str):
        return None
    cleaned = _DECIMAL_COMMA.sub(r"\1.\2", value.strip().replace("_", ""))
    number = meaning(cleaned)
    kinds = int if whole else int | float
    if isinstance(number, bool) or not isinstance(number, kinds) or not math.isfinite(number):
        return None
    return f"write {cleaned} without quotes" if cleaned == value else f"write {cleaned}"


def _holds_fault(value: Any) -> bool:
    """Whether the value, or one within it, is reported already."""
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(_holds_fault, value)) if isinstance(value, list) else value is FAULT


def _at(document: Value, path: Path) -> Value:
    """The value at `path`; None where there is none."""
    value: Any = document
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    found: Value = value
    return found


# Pydantic's locations --------------------------------------------------------------------------


def _follow(root: type[BaseModel], loc: Path) -> tuple[Path, Any]:
    """A location of pydantic's as a path in the document, and the annotation that holds there.

    Pydantic also names the member of a union that it chose, by its tag, which no user wrote.
    """
    path: list[str | int] = []
    kind: Any = root
    for part in loc:
        tagged = by_tag(kind)
        if part in tagged:
            kind = tagged[str(part)]
            continue
        if part == OTHER and models_of(kind):
            kind = str
            continue
        path.append(part)
        if isinstance(part, int) and get_origin(kind) is tuple:
            kind = get_args(kind)[0]
        elif get_origin(kind) is dict:  # of names that the user chose
            kind = get_args(kind)[1]
        elif isinstance(part, str):
            fields = [model.model_fields.get(part) for model in _models(kind)]
            kind = next((field.annotation for field in fields if field), None)
    return tuple(path), kind


def _keys(root: type[BaseModel], loc: Path) -> list[str]:
    """The keys that the model at `loc` takes."""
    models = _models(_follow(root, loc)[1])
    return [field.alias or name for m in models for name, field in m.model_fields.items()]


def _models(kind: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as `tuple[DenseLayer, ...]`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for part in get_args(kind) for model in _models(part)]
