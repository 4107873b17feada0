"""Values of a model as Python code: the only way in which they enter a program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

WIDEST: Final = 80


def literal(value: object) -> str:
    """The code of a value of Python's own plain types; long lists have an item a line.

    Raises `TypeError` for anything else, numbers that are not finite among it.
    """
    short = _short(value)
    if len(short) <= WIDEST or type(value) not in (list, dict):
        return short
    if isinstance(value, dict):
        lines = [f"{_short(key)}: {literal(item)}" for key, item in value.items()]
        return "{\n" + "".join(f"    {line},\n" for line in lines) + "}"
    assert isinstance(value, list)
    return "[\n" + "".join(f"    {_short(item)},\n" for item in value) + "]"


def _short(value: object) -> str:
    _check(value)
    return repr(value)


def _check(value: object) -> None:
    """Raises `TypeError` where `repr` is not the code of the value."""
    if type(value) in (list, tuple):
        assert isinstance(value, list | tuple)
        for item in value:
            _check(item)
    elif type(value) is dict:
        for pair in value.items():
            _check(pair)
    elif type(value) not in (str, bool, int, float, type(None)) or repr(value) in _NOT_FINITE:
        raise TypeError(f"{value!r} of the type {type(value).__name__} has no literal")


_NOT_FINITE: Final = ("nan", "inf", "-inf")


def long_text(lines: Sequence[str]) -> str:
    """The code of these lines as one text in three quotes, where they are lines too.

    Several end with a line break. Whatever a line holds, another one among it, is kept.
    """
    text = "\n".join([*map(_escaped, lines), *[""] * (len(lines) > 1)])
    return '"""' + re.sub(r'"(?="|\Z)', r"\"", text) + '"""'


def _escaped(line: str) -> str:
    if "\\" not in line and line.isprintable():
        return line
    return "".join(repr(c)[1:-1] if c == "\\" or not c.isprintable() else c for c in line)
