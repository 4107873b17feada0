"""A resolved spec as YAML that the loader reads back to the same values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from trainer.spec.document import List, Map, Node, Path, Scalar, means_text, parse


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # as YAML was built
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, value: str) -> yaml.ScalarNode:
    style = None if means_text(value) and value.isprintable() else '"'
    node: yaml.ScalarNode = dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)
    return node


_Dumper.add_representer(str, _text)


def to_yaml(resolved: dict[str, Any], comments: Mapping[Path, str] | None = None) -> str:
    """YAML of plain values, keys in their order, texts in quotes where they would read as else; and
    with comments on the lines of the values at these paths.
    """
    width = 2**30 if comments else 100  # no value goes on in a second line
    text: str = yaml.dump(
        resolved, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width
    )
    return _with_comments(text, comments) if comments else text


def _with_comments(text: str, comments: Mapping[Path, str]) -> str:
    root, _ = parse(text, "")
    assert root is not None
    lines = text.split("\n")
    for path, line in _lines(root, root.mark.line, ()):
        if path in comments:
            lines[line - 1] += f"  # {comments[path]}"
    return "\n".join(lines)


def _lines(node: Node, line: int, path: Path) -> Iterator[tuple[Path, int]]:
    """The line of each value, or of its key, where it begins in the next one."""
    empty = isinstance(node, Scalar) or not (node.entries if isinstance(node, Map) else node.items)
    yield path, node.mark.line if empty else line
    if isinstance(node, Map):
        for key, (mark, child) in node.entries.items():
            yield from _lines(child, mark.line, (*path, key))
    elif isinstance(node, List):
        for i, item in enumerate(node.items):
            yield from _lines(item, item.mark.line, (*path, i))
