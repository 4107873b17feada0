"""What was kept as JSON, read back as the dataclasses that it was written from.

Nothing is converted: a value has the type that its field declares, or is refused. So whoever reads
a file of a run knows as much of what it holds as whoever made it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union

T = TypeVar("T")


def from_json(kind: type[T], value: object, where: str = "", *, whole: bool = True) -> T:
    """The dataclass `kind` with these fields, which must all be there, and unless `whole` is false
    no others. Raises `ValueError`, which names the field after `where`.
    """
    if not isinstance(value, dict):
        raise ValueError(f"expected {_named(where, 'an object')}, found {_show(value)}")
    types_by_name = _types(typing.cast("Hashable", kind))
    for name in types_by_name:
        if name not in value:
            raise ValueError(f"{_named(where + name, 'its value')} is missing")
    if whole and value.keys() - types_by_name.keys():
        other = sorted(map(str, value.keys() - types_by_name.keys()))[0]
        raise ValueError(f"{_named(where + other, 'a value')} is not known here")
    found = {name: _read(hint, value[name], where + name) for name, hint in types_by_name.items()}
    return kind(**found)


@cache
def _types(kind: Any) -> Mapping[str, Any]:
    """The types of the fields that a dataclass is made of, by name."""
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in fields(kind) if each.init}


def _read(hint: Any, value: Any, where: str) -> Any:
    """The value, if it is of the type, as the type has it. Raises `ValueError`."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in (Any, object):
        return value
    if origin in (Union, types.UnionType):
        return _first(inner, value, where)
    if origin is Literal:
        if any(value == each and type(value) is type(each) for each in inner):
            return value
        raise _refused(where, f"one of {', '.join(map(str, inner))}", value)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _refused(where, "an object", value)
        return {key: _read(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise _refused(where, "a list", value)
        return origin(_read(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if is_dataclass(hint):
        return from_json(typing.cast("type[Any]", hint), value, f"{where}.")
    if hint is float and type(value) is int:
        return _as_float(value, where)
    if type(value) is not hint:
        raise _refused(where, _WORDS[hint], value)
    return value


def _first(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    """The value as the first of several types that it has; an integer is one before a float."""
    if value is None and type(None) in hints:
        return None
    some = [hint for hint in hints if hint is not type(None)]
    if type(value) in some:
        return value
    for hint in some[:-1]:
        try:
            return _read(hint, value, where)
        except ValueError:
            continue
    return _read(some[-1], value, where)


def _as_float(value: int, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _refused(where, "a number", value) from None


_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def _refused(where: str, expected: str, value: object) -> ValueError:
    return ValueError(f"expected '{where}' to be {expected}, found {_show(value)}")


def _named(where: str, otherwise: str) -> str:
    return f"'{where.rstrip('.')}'" if where else otherwise


def _show(value: object) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = ascii(value) if not isinstance(value, int) or abs(value) < 10**40 else "a huge number"
    return {"None": "null"}.get(text, text if len(text) <= 40 else text[:37] + "...")
