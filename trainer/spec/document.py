"""YAML with positions: text in, a tree of values out that knows where each one stands.

PyYAML's parser reads the text; the meaning of plain scalars follows the core schema of YAML
1.2 (so `1e-3` is a number and `no` is text), and what a spec never needs is an error: tags,
aliases, merge keys, duplicate keys, several documents. PyYAML's own messages are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import yaml

from trainer.errors import Problem

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 25

_NULL = re.compile(r"(~|null|Null|NULL|)\Z")
_BOOL = re.compile(r"(true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED_INT = re.compile(r"(0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")

Value: TypeAlias = "None | bool | int | float | str | list[Value] | dict[str, Value]"
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A text that values come from: a file, or one `--set` option."""

    file: str
    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a source, counted from 1, and how many characters stand there."""

    source: Source
    line: int
    column: int
    width: int

    def problem(self, path: str, message: str, hint: str | None = None) -> Problem:
        """A problem at this place."""
        lines = self.source.lines
        text = lines[self.line - 1] if 0 < self.line <= len(lines) else ""
        return Problem(
            path, message, hint, self.source.file, self.line, self.column, text, self.width
        )


@dataclass(slots=True)
class Scalar:
    """A number, a text, a truth value or null."""

    value: None | bool | int | float | str
    mark: Mark


@dataclass(slots=True)
class List:
    """A sequence of nodes."""

    mark: Mark
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Map:
    """A mapping from text to nodes; the mark of each key is kept."""

    mark: Mark
    entries: dict[str, tuple[Mark, Node]] = field(default_factory=dict)


Node: TypeAlias = Scalar | List | Map


def plain(node: Node) -> Value:
    """The node as ordinary Python values."""
    if isinstance(node, Map):
        return {key: plain(child) for key, (_, child) in node.entries.items()}
    if isinstance(node, List):
        return [plain(child) for child in node.items]
    return node.value


def locate(root: Node, path: Path, *, key: bool = False) -> Mark:
    """Where the value at `path` stands, or its key; where it is absent, the nearest parent."""
    mark, node = root.mark, root
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(node, Map) and part in node.entries:
            key_mark, node = node.entries[str(part)]
            empty = isinstance(node, Scalar) and node.value is None and node.mark.width == 0
            mark = (
                key_mark if empty or (last and key) or not isinstance(node, Scalar) else node.mark
            )
        elif isinstance(node, List) and isinstance(part, int) and part < len(node.items):
            node = node.items[part]
            mark = node.mark
        else:
            break
    return mark


def show_path(path: Path) -> str:
    """`model.layers[0].units`: a path as messages write it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def parse(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The tree of one YAML document and every problem found in its structure.

    The tree is None where the text is not YAML at all. A duplicate key keeps its first value,
    so that the rest of the document can still be checked.
    """
    source = Source(file, text.splitlines())
    composer = _Composer(source)
    try:
        loader = yaml.SafeLoader(text)
        while loader.check_event():
            event: yaml.Event = loader.get_event()  # type: ignore[no-untyped-call]  # no stub
            if not composer.take(event):
                break
    except yaml.reader.ReaderError as error:
        return None, [_unreadable(error, text, source)]
    except yaml.MarkedYAMLError as error:
        return None, [*composer.problems, _syntax(error, source)]
    except ValueError:  # int() of an escape or version number out of range, inside PyYAML
        return None, [*composer.problems, Problem("", "this is not valid YAML", file=file)]
    if composer.root is None and not composer.problems:
        mark = Mark(source, 1, 1, 1)
        composer.problems.append(mark.problem("", "the file is empty", "see `train --help`"))
    return composer.root, composer.problems


class _Composer:
    """Builds the tree from parser events, with a stack in place of recursion."""

    def __init__(self, source: Source) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._source = source
        self._stack: list[tuple[Map | List, Path]] = []
        self._key: tuple[str, Mark] | None = None
        self._skip = 0  # depth inside a key that is no text, which is passed over
        self._documents = 0

    def take(self, event: yaml.Event) -> bool:
        """Adds one event; False stops the reading."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._report(event, (), "a second document starts here", "keep one spec a file")
                return False
        elif isinstance(event, yaml.AliasEvent):
            message = f"the alias '*{event.anchor}' is not allowed"
            self._report(event, self._path(), message, "write the value out")
            self._add(Scalar(None, self._mark(event)))
        elif isinstance(event, yaml.ScalarEvent):
            self._tag(event)
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            return self._open(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            if self._skip:
                self._skip -= 1
            else:
                self._stack.pop()
        return True

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> bool:
        self._tag(event)
        if len(self._stack) + self._skip >= MAX_DEPTH:
            self._report(event, (), f"more than {MAX_DEPTH} levels of nesting", None)
            self.root = None
            return False
        if self._skip:
            self._skip += 1
        elif self._expects_key():
            self._report(event, self._path(), "a key must be text, found a list or mapping", None)
            self._skip = 1
            self._key = ("", self._mark(event))  # its value is read, and thrown away
        else:
            path = self._path()
            kind = Map if isinstance(event, yaml.MappingStartEvent) else List
            node = kind(self._mark(event))
            self._add(node)
            self._stack.append((node, path))
        return True

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if self._skip:
            return
        mark = self._mark(event)
        text = event.value
        is_plain = not event.style
        if self._expects_key():
            dropped = True  # a key that is wrong takes its value with it
            if is_plain and text == "<<":
                self._report(event, self._path(), "the merge key '<<' is not allowed",
                             "write the values out")  # fmt: skip
            elif is_plain and not isinstance(_value(text), str):
                self._report(event, self._path(), f"a key must be text, found '{text}'",
                             f"write '{text}' in quotes if it is meant as a name")  # fmt: skip
            else:
                dropped = False
            self._key = ("" if dropped else text, mark)
            return
        path = self._path()
        value: None | bool | int | float | str = text
        if is_plain:
            value = _value(text)
            if isinstance(value, str) and _INT.match(text):
                digits = text.lstrip("+-")
                if len(digits) > MAX_DIGITS:
                    message = f"a number of {len(digits)} digits is too large"
                    self._report(event, path, message, None)
                else:
                    stripped = digits.lstrip("0")
                    self._report(event, path, f"the number '{text}' begins with 0",
                                 f"write {stripped}, or 0o{stripped} for base 8")  # fmt: skip
                value = 1
        self._add(Scalar(value, mark))

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1][0], Map) and self._key is None

    def _path(self) -> Path:
        """The path of the node that the next event starts."""
        if not self._stack:
            return ()
        parent, path = self._stack[-1]
        if isinstance(parent, List):
            return (*path, len(parent.items))
        return (*path, self._key[0]) if self._key else path

    def _add(self, node: Node) -> None:
        if self._skip:
            return
        if not self._stack:
            if self._documents == 1:
                self.root = node
            return
        parent = self._stack[-1][0]
        if isinstance(parent, List):
            parent.items.append(node)
        elif self._key is None:  # an alias where a key should stand
            self._key = ("", node.mark)
        else:
            key, mark = self._key
            self._key = None
            known = parent.entries.get(key)
            if known is not None:
                path = (*self._stack[-1][1], key)
                message = f"the key '{key}' stands here a second time"
                hint = f"the first is in line {known[0].line}; keep one of them"
                self.problems.append(mark.problem(show_path(path), message, hint))
            elif key:
                parent.entries[key] = (mark, node)

    def _tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            message = f"the tag '{_short_tag(event.tag)}' is not allowed"
            self._report(event, self._path(), message, "a spec holds plain values; remove it")

    def _mark(self, event: yaml.Event) -> Mark:
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        width = end.column - start.column if end.line == start.line else 1
        if isinstance(event, yaml.CollectionStartEvent):
            width = 1
        return Mark(self._source, start.line + 1, start.column + 1, width)

    def _report(self, event: yaml.Event, path: Path, message: str, hint: str | None) -> None:
        self.problems.append(self._mark(event).problem(show_path(path), message, hint))


def _value(text: str) -> None | bool | int | float | str:
    """The meaning of a plain scalar in YAML 1.2's core schema.

    Numbers with a leading 0 (8 or 10 as their base, depending on whom one asks) and numbers of
    absurd length come back as text; the composer reports them.
    """
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text.lower() == "true"
    if _INT.match(text):
        digits = text.lstrip("+-")
        ambiguous = len(digits) > 1 and digits.startswith("0")
        return text if ambiguous or len(digits) > MAX_DIGITS else int(text)
    if _BASED_INT.match(text) and len(text) <= MAX_DIGITS:
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.match(text):
        return float(text)
    if _SPECIAL_FLOAT.match(text):
        return float(text.replace(".", "").lower())
    return text


def means_text(text: str) -> bool:
    """Whether this plain scalar would be read as the text that it is."""
    return isinstance(_value(text), str) and not _INT.match(text)


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


_SYNTAX: Final = (
    # a part of PyYAML's problem, our words, what to do, where: at the problem or its context
    ("'\\t'", "a tab stands where indentation or a value is expected",
     "indent with spaces", "problem"),
    ("mapping values are not allowed", "a ':' is not expected here",
     "check the indentation, and quote a text that holds ': '", "problem"),
    ("could not find expected ':'", "a key without its ':'", "write `key: value`", "context"),
    ("unexpected end of stream", "a quotation mark opens here and is never closed",
     "close the quotation mark", "context"),
    ("unexpected document separator", "a quotation mark opens here and is never closed",
     "close the quotation mark", "context"),
    ("expected ',' or ']'", "the list that opens here is not closed",
     "separate items by commas and end with ]", "context"),
    ("expected ',' or '}'", "the mapping that opens here is not closed",
     "separate entries by commas and end with }", "context"),
    ("expected <block end>", "this does not continue what stands above",
     "check the indentation", "problem"),
    ("that cannot start any token", "this character cannot begin a value",
     "put the value in quotes", "problem"),
    ("undefined tag handle", "this tag is not allowed", "a spec holds plain values", "problem"),
    ("unknown escape character", "an unknown escape in a double-quoted text",
     r"double the backslash, or use single quotes", "problem"),
    ("expected '<document start>'", "text follows the end of the document",
     "keep one spec a file; check the indentation", "problem"),
)  # fmt: skip


def _syntax(error: yaml.MarkedYAMLError, source: Source) -> Problem:
    """PyYAML's error in our words."""
    where = error.problem_mark or error.context_mark
    message, hint = "this is not valid YAML", "check the indentation, brackets and quotes"
    for part, words, advice, place in _SYNTAX:
        if part in (error.problem or ""):
            message, hint = words, advice
            if place == "context" and error.context_mark is not None:
                where = error.context_mark
            break
    if where is None:
        return Problem("", message, hint, source.file)
    return Mark(source, where.line + 1, where.column + 1, 1).problem("", message, hint)


def _unreadable(error: yaml.reader.ReaderError, text: str, source: Source) -> Problem:
    before = text[: error.position]
    line = before.count("\n") + 1
    column = error.position - (before.rfind("\n") + 1) + 1
    code = ord(error.character) if isinstance(error.character, str) else error.character
    message = f"the character U+{code:04X} is not allowed"
    return Mark(source, line, column, 1).problem("", message, "remove it")
