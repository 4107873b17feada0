"""Local derivatives as symbols: what a gradient rule writes, without the factors of 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trainer.graph import Node
from trainer.graph.graph import Expr

_SUM, _PRODUCT, _POWER, _ATOM = range(4)
_LEVEL: Final = {
    "add": _SUM, "sub": _SUM, "mul": _PRODUCT, "div": _PRODUCT, "neg": _PRODUCT, "square": _POWER,
    "matmul": _PRODUCT, "transpose": _POWER,
}  # fmt: skip
_MOVES: Final = {"columns": "∂concat", "pad_columns": "∂columns", "scatter": "∂lookup"}
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
    if node.op == "expand_like":
        return parts[0]
    if node.op == "count":
        return "n", _ATOM
    if node.op == "mul" and "1" in texts:
        return parts[1 - texts.index("1")]
    if node.op == "div" and texts[1] == "1":
        return parts[0]
    if node.op in ("sum", "mean") and texts[0] == "1":
        return "1", _ATOM
    if node.op in _MOVES and texts[0] == "1":  # what the op does to places, no factor
        return _MOVES[node.op], _ATOM
    if node.op == "where" and texts[1:] == ["1", "0"]:
        return f"[{texts[0]} > 0]", _ATOM
    if node.op == "where" and texts[1:] == ["0", "1"]:
        return f"1 - [{texts[0]} > 0]", _SUM
    level = _LEVEL.get(node.op, _ATOM)
    if node.op in _LEVEL:
        texts = [
            f"({text})" if own < level or (own == level == _PRODUCT and i and node.op == "div")
            or (node.op == "sub" and i and own == _SUM) else text
            for i, (text, own) in enumerate(parts)
        ]  # fmt: skip
    from trainer.graph.ops import OPS

    return OPS[node.op].write(texts, node.attributes), level
