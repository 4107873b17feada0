"""A run in the words of MLflow: the names of its parameters and metrics, and their values.

MLflow takes letters, digits, `_`, `-`, `.`, `:`, `/` and blanks, at most 250 of them, and no name
that reads as a path does another way (`a//b`, `../a`). What people call their columns and classes
is written with what it refuses as code points between colons, in hexadecimal: `Price (€)` is
`Price :28.20ac.29:`. No two names are written alike, and reading gives back what was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, TypeVar

T = TypeVar("T")

MAX_VALUE: Final = 500  # characters of a parameter; MLflow's tables show fewer
MAX_NAME: Final = 250
_REFUSED: Final = re.compile(r"[^\w.\- ]+|^ +| +$|^\.{1,2}$")
_WRITTEN: Final = re.compile(r":([0-9a-f.]*):")
_HASH: Final = 16  # characters of a hash that stand for the rest of a name that is too long
_SHORTENED: Final = re.compile(rf"[^:]*(?::[^:]*:[^:]*)*:[0-9a-f]{{{_HASH}}}(?<=.{{200}})", re.S)
"""Names of 200 characters or more whose last colon has no partner."""


@lru_cache(2**12)
def written(name: str) -> str:
    """The name of a metric or parameter as MLflow takes it; a `/` in it makes groups there. What
    `read` made of a shortened name is written as it was.
    """
    whole = "/".join(map(_written_part, name.split("/")))
    return name if _SHORTENED.fullmatch(name) else _short(whole)


def read(name: str) -> str:
    """The name that was written so; of one that was too long, its beginning and a hash."""
    return name if _SHORTENED.fullmatch(name) else _WRITTEN.sub(_read_code_points, name)


def read_all(values: Mapping[str, T]) -> dict[str, T]:
    """The values by the names that were written."""
    return {read(name): value for name, value in values.items()}


def _written_part(part: str) -> str:
    """What stands between two slashes. A part that holds one is written as any other sign is."""
    return _REFUSED.sub(_code_points, part) or "::"


def _code_points(found: re.Match[str]) -> str:
    return f":{'.'.join(f'{ord(sign):x}' for sign in found[0])}:"


def _read_code_points(found: re.Match[str]) -> str:
    try:
        return "".join(chr(int(code, 16)) for code in found[1].split(".") if code)
    except (ValueError, OverflowError):  # written by others
        return found[0]


def _short(name: str) -> str:
    """The name, or as much of it as fits before a colon and a hash. That colon has no partner, as
    those of all other names have.
    """
    if len(name) <= MAX_NAME:
        return name
    start = name[: MAX_NAME - _HASH - 2]
    if start.count(":") % 2:  # within code points: the last one may be cut, so it goes
        opened, code = start.rindex(":"), start.rfind(".")
        start = start[:opened] if code < opened else f"{start[:code]}:"
    return f"{start}:{hashlib.sha256(name.encode()).hexdigest()[:_HASH]}"


def flatten(value: Any) -> dict[str, str]:
    """Nested values as MLflow's parameters, one a leaf: `model/layers/0/units`.

    A list of plain values is one leaf, and so are inline rows; long values are shortened.
    """
    return {_short(path): text for path, text in _leaves(value, ())}


def _leaves(value: Any, path: tuple[str, ...]) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        items = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list) and any(isinstance(child, dict) for child in value):
        items = [(str(i), child) for i, child in enumerate(value)]
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if len(text) > MAX_VALUE:
            text = f"{text[: MAX_VALUE - 30]}… ({len(text)} characters)"
        return [("/".join(path), text)]
    return [leaf for key, child in items for leaf in _leaves(child, (*path, _written_part(key)))]
