"""Local derivatives as symbols: what a gradient rule writes, without the factors of 1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from trainer.graph import OPS, Node
from trainer.graph.graph import Expr

_SUM, _PRODUCT, _POWER, _ATOM = range(4)
TOO_LONG: Final = 72

Symbol = tuple[str, int]
"""A text and how tightly it binds: what needs parentheses in a product."""


def write_symbol(expr: Expr, known: Mapping[str, str]) -> str:
    """What a rule wrote, in terms of the nodes in `known`; 1 stands for the incoming gradient."""
    return _write(expr.node, expr, known)[0]


def product(upstream: str, local: str) -> str:
    """Two symbols multiplied."""
    if "1" in (upstream, local):
        return local if upstream == "1" else upstream
    if local in ("-1", "-(1)"):
        return f"-{_wrapped(upstream)}"
    return f"{_wrapped(upstream)} · {_wrapped(local)}"


def _wrapped(text: str) -> str:
    """In parentheses if it is a sum."""
    depth = 0
    for i, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 and i and text[i : i + 3] in (" + ", " - "):
            return f"({text})"
    return f"({text})" if text.startswith("-") else text


def _write(node: Node, expr: Expr, known: Mapping[str, str]) -> Symbol:
    if node.name in known:
        return known[node.name], _ATOM
    if node.op == "constant":
        return f"{node.attributes['value']:g}", _ATOM
    parts = [_write(expr.builder[name].node, expr, known) for name in node.inputs]
    texts = [text for text, _ in parts]
    row = OPS[node.op]
    if row.form == "repeat":
        return parts[0]
    if row.form == "count":
        return "n", _ATOM
    if node.op == "mul" and "1" in texts:
        return parts[1 - texts.index("1")]
    if node.op == "div" and texts[1] == "1":
        return parts[0]
    if row.form in ("sum", "mean") and texts[0] == "1":
        return "1", _ATOM
    if row.undoes and texts[0] == "1":  # what the op does to places, no factor
        return f"∂{row.undoes}", _ATOM
    if node.op == "where" and texts[1:] == ["1", "0"]:
        return f"[{texts[0]} > 0]", _ATOM
    if node.op == "where" and texts[1:] == ["0", "1"]:
        return f"1 - [{texts[0]} > 0]", _SUM
    level = _level(row.formula)
    texts = [
        f"({text})" if own < level or (own == level == _PRODUCT and i and node.op == "div")
        or (node.op == "sub" and i and own == _SUM) else text
        for i, (text, own) in enumerate(parts)
    ] if level < _ATOM else texts  # fmt: skip
    return row.write(texts, node.attributes), level


def _level(formula: str) -> int:
    """How tightly an op binds: what its formula is outside of all parentheses."""
    outside = re.sub(r"\(.*\)|\[.*\]", "", formula)
    if re.search(r" [+-] ", outside):
        return _SUM
    if re.search(r" [·/@] |^-", outside):
        return _PRODUCT
    return _POWER if outside.endswith(("²", "ᵀ")) else _ATOM
