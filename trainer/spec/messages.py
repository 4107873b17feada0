"""Pydantic's errors in our words: what was expected, what was found, what is near."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel

from trainer.spec.document import Path, Value


def describe(value: Any) -> str:
    """A value as people call it: `the text 'x'`, `the number 3`, `a list`, `null`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        shown = str(value)
        return f"the number {shown if len(shown) <= 30 else shown[:27] + '...'}"
    if isinstance(value, str):
        return f"the text '{value if len(value) <= 40 else value[:37] + '...'}'"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def near(word: Any, choices: Iterable[str]) -> str | None:
    """`did you mean '…'?` for the choice most like `word`, if one is near."""
    found = difflib.get_close_matches(str(word), list(choices), n=1, cutoff=0.6)
    return f"did you mean '{found[0]}'?" if found else None


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plural(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


_PATTERNS: Final[Mapping[str, str]] = {
    r"^[^\x00-\x1f]+$": "a text without control characters",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "a name of letters, digits and _ that begins with no digit",
}

# What was expected, by the type of pydantic's error; `found` is added.
_EXPECTED: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "int_type": lambda c: "a whole number",
    "int_from_float": lambda c: "a whole number",
    "int_parsing_size": lambda c: "a whole number of fewer digits",
    "float_type": lambda c: "a number",
    "finite_number": lambda c: "a finite number",
    "bool_type": lambda c: "true or false",
    "string_type": lambda c: "a text",
    "string_too_short": lambda c: f"a text of at least {_plural(c['min_length'], 'character')}",
    "string_too_long": lambda c: f"a text of at most {_plural(c['max_length'], 'character')}",
    "string_pattern_mismatch": lambda c: _PATTERNS[c["pattern"]],
    "literal_error": lambda c: str(c["expected"]),
    "greater_than": lambda c: f"a number above {_number(c['gt'])}",
    "greater_than_equal": lambda c: f"a number of at least {_number(c['ge'])}",
    "less_than": lambda c: f"a number below {_number(c['lt'])}",
    "less_than_equal": lambda c: f"a number of at most {_number(c['le'])}",
    "tuple_type": lambda c: "a list",
    "list_type": lambda c: "a list",
    "too_short": lambda c: f"a list of at least {_plural(c['min_length'], 'item')}",
    "model_type": lambda c: "a mapping",
    "model_attributes_type": lambda c: "a mapping",
    "dict_type": lambda c: "a mapping",
    "source_kind": lambda c: (
        "a bundled data set's name, or one of {csv: …}, {inline: …}, {synthetic: …}"
    ),
}


def explain(
    error: Mapping[str, Any], root: type[BaseModel], document: Value
) -> tuple[Path, str, str | None, bool] | None:
    """One of pydantic's errors as (path, message, hint, whether the key is at fault).

    None for an error that only follows from another one, which is reported itself.
    """
    kind, context = error["type"], error.get("ctx") or {}
    path, value = _real_path(error["loc"], document)
    if kind == "default_factory_not_called":
        return None
    if kind == "too_short" and isinstance(value, list) and len(value) >= context["min_length"]:
        return None
    if kind == "extra_forbidden":
        keys = _keys(root, error["loc"][:-1])
        advice = near(path[-1], keys) or f"the keys here are {', '.join(keys)}"
        return path, "unknown key", advice, True
    if kind == "missing":
        return (*path, error["loc"][-1]), "required key is missing", None, True
    if kind == "spec":
        return (*path, *context["at"]), context["message"], context["hint"], False
    found = describe(value)
    if kind == "expected":
        return path, f"expected {error['msg']}, found {found}", None, False
    if kind == "choice":
        names = context["names"]
        advice = (near(value, names) if isinstance(value, str) else None) or (
            f"choose one of {', '.join(names)}"
        )
        return path, f"expected {context['what']}, found {found}", advice, False
    hint: str | None = None
    if kind == "literal_error" and isinstance(value, str):
        hint = near(
            value, str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        )
    if kind == "source_kind" and isinstance(value, dict):
        hint = near(next(iter(value), ""), ("csv", "inline", "synthetic"))
    if kind in ("int_type", "float_type") and isinstance(value, str):
        hint = _as_number(value)
    expected = _EXPECTED.get(kind)
    message = f"expected {expected(context)}" if expected else "this value does not fit here"
    return path, f"{message}, found {found}", hint, False


def _as_number(text: str) -> str | None:
    """What to write for a text that was most likely meant as a number."""
    cleaned = text.replace("_", "").replace(",", ".").strip()
    try:
        float(cleaned)
    except ValueError:
        return None
    return f"write {cleaned} without quotes" if cleaned == text else f"write {cleaned}"


def _real_path(loc: tuple[str | int, ...], document: Value) -> tuple[Path, Any]:
    """The part of pydantic's location that exists in the document, and the value there.

    Pydantic also names the member of a union that it tried, which no user wrote.
    """
    path: list[str | int] = []
    node: Any = document
    for part in loc:
        if isinstance(node, dict) and part in node:
            node = node[str(part)]
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
        else:
            continue
        path.append(part)
    return tuple(path), node


def _keys(root: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys that the model at `loc` takes."""
    models = [root]
    for part in loc:
        inner = [m.model_fields[part].annotation for m in models if part in m.model_fields]
        if inner:
            models = _models(inner[0])
        elif isinstance(part, str):  # the tag of a union: the member that has such a field
            models = [m for m in models if part in m.model_fields] or models
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _models(kind: Any) -> list[type[BaseModel]]:
    """The models inside an annotation such as `tuple[DenseLayer, ...]` or a union."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and get_origin(kind) is None:
        return [kind]
    return [model for part in get_args(kind) for model in _models(part)]
