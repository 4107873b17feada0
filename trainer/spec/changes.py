"""Changes of a spec: values put into its tree before it is checked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from os import PathLike
from typing import Any, TypeAlias

from trainer.errors import Problem, UsageError
from trainer.spec.document import (
    FAULT,
    MAX_DEPTH,
    MAX_DIGITS,
    List,
    Map,
    Mark,
    Node,
    Path,
    Scalar,
    Source,
    parse,
    show_path,
    show_text,
)
from trainer.spec.messages import describe, plural

Changes: TypeAlias = Mapping[str, Any] | Iterable[str]
"""Values by key, `{"sgd.learning_rate": 0.01, "model.layers.0.units": 32}`, or texts `key=value`
whose value is YAML."""
OPTION = "--set"


def with_changes(
    root: Map, changes: Changes | None, label: str = OPTION
) -> tuple[Map, list[Problem]]:
    """A tree with the changes in it, and what is wrong with their keys and texts.

    `label` stands before the key where problems with values by key are located; without one the
    path of a problem says where it is. Raises `UsageError` for what is no change.
    """
    problems: list[Problem] = []
    if changes:
        root = copied_tree(root)
    for key, node, found in _read(changes, label):
        problems += found
        if node is not None:
            problems += put(root, key, node)
    return root, problems


def as_document(values: Mapping[str, Any], file: str = "") -> Map:
    """The tree of values that no text says. Raises `TypeError` for what a spec cannot hold."""
    mark = Mark(Source(file))
    return Map(mark, {key: (mark, as_tree(value, mark, 1)) for key, value in values.items()})


def as_tree(value: object, mark: Mark, depth: int = 0) -> Node:
    """The tree of a value, all at one place. Raises `TypeError` for what a spec cannot hold."""
    if depth > MAX_DEPTH:
        raise TypeError(f"more than {MAX_DEPTH} levels of nesting")
    if isinstance(value, Mapping):
        entries = {str(key): (mark, as_tree(v, mark, depth + 1)) for key, v in value.items()}
        return Map(mark, entries)
    if isinstance(value, list | tuple):
        return List(mark, [as_tree(item, mark, depth + 1) for item in value])
    if value is None or isinstance(value, bool):
        return Scalar(value, mark)
    if isinstance(value, Integral):
        if abs(int(value)) >= 10**MAX_DIGITS:
            raise TypeError(f"a number of more than {MAX_DIGITS} digits is too large")
        return Scalar(int(value), mark)
    if isinstance(value, Real):
        return Scalar(float(value), mark)
    if isinstance(value, str | PathLike):
        return Scalar(_encodable(str(value)), mark)
    raise TypeError(f"a spec holds numbers, texts, lists and mappings, no {type(value).__name__}")


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TypeError("the text holds half of a character, which no file can hold") from None
    return text


def copied_tree(node: Map) -> Map:
    """The tree anew, but for its values and marks."""

    def copied(node: Node) -> Node:
        if isinstance(node, List):
            return List(node.mark, [copied(item) for item in node.items])
        return copied_tree(node) if isinstance(node, Map) else node

    entries = {key: (mark, copied(child)) for key, (mark, child) in node.entries.items()}
    return Map(node.mark, entries)


def _read(changes: Changes | None, label: str) -> Iterator[tuple[str, Node | None, list[Problem]]]:
    """The key of each change, its value, and the problems with reading the value."""
    if isinstance(changes, Mapping):
        for key, value in changes.items():
            mark = Mark(Source(_place(label, str(key)) if label else ""))
            try:
                yield str(key), as_tree(value, mark), []
            except TypeError as error:
                raise UsageError(f"the override '{key}': {error}", code="TR-S024") from None
        return
    for option in changes or ():
        key, equals, text = option.partition("=")
        if not equals or not key.strip():
            hint = f"for example {OPTION} sgd.learning_rate=0.01"
            raise UsageError(f"{OPTION} {option}: expected key=value; {hint}", code="TR-S024")
        key = key.strip()
        place = _place(OPTION, key)
        node, problems = parse(text, place)
        if node is None and not problems:
            hint = f"write {key}=null for no value"
            problems = [
                Mark(Source(place)).problem(
                    "", "expected a value after the =", hint, code="TR-S024"
                )
            ]
        yield key, node, problems


def _place(label: str, key: str) -> str:
    """What stands in the place of a file for a value that was changed."""
    return f"{label} {show_text(key, 80)}"


_PART = re.compile(
    r"""(?:\A|\.|(?=\[))                       # a part begins, follows a dot, or is in brackets
    (?: \[ \s* (?: "(?P<a>[^"]*)" | '(?P<b>[^']*)' | (?P<c>[^]]*) ) \s* \]
      | "(?P<d>[^"]*)" (?=\Z|[.[])
      | '(?P<e>[^']*)' (?=\Z|[.[])
      | (?P<f>[^.[]*) )""",
    re.VERBOSE,
)


def parts_of(key: str) -> list[str]:
    """The keys on the way to a value: `a.b`, `layers[0].units`, and where a key holds a dot or a
    bracket, `columns."w.h".missing` or `columns["w.h"].missing`.
    """
    parts: list[str] = []
    at = 0
    while at < len(key) or not parts:
        found = _PART.match(key, at)
        if found is None or found.end() == at < len(key):
            # a bracket that is never closed, or stands alone, is a sign as others
            return key.replace("[", ".").replace("]", "").split(".")
        parts.append(next(part for part in found.groups() if part is not None))
        at = found.end()
    return parts


def put(root: Map, key: str, value: Node) -> list[Problem]:
    """Puts the value of one change into the tree; returns what is wrong with its key."""
    mark = value.mark
    parts = parts_of(key)
    if len(parts) > MAX_DEPTH:
        return [mark.problem("", f"more than {MAX_DEPTH} levels of nesting", code="TR-S006")]
    path: Path = ()
    here: Node = root
    for depth, part in enumerate(parts, start=1):
        last = depth == len(parts)
        if isinstance(here, Map):
            path = (*path, part)
            if last:
                here.entries[part] = (mark, value)
            here = here.entries.setdefault(part, (mark, Map(mark)))[1]
        elif isinstance(here, List):
            index = next((i for i in range(len(here.items)) if str(i) == part), None)
            if index is None:
                count = plural(len(here.items), "item")
                message = f"there is no item {show_text(part)}: the list has {count}"
                return [
                    mark.problem(
                        show_path(path), message, "items are counted from 0", code="TR-S025"
                    )
                ]
            path = (*path, index)
            if last:
                here.items[index] = value
            here = here.items[index]
        elif here.value is FAULT:
            return []
        else:
            message = f"this is {describe(here.value)}, which has no '{show_text(part)}'"
            return [mark.problem(show_path(path), message, code="TR-S025")]
    return []
