"""YAML with positions: text in, a tree of values out that knows where each one stands.

PyYAML's parser reads the text; the meaning of plain scalars follows the core schema of YAML
1.2 (so `1e-3` is a number and `no` is text), and what a spec never needs is an error: tags,
aliases, merge keys, duplicate keys, several documents. PyYAML's own messages are not shown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import yaml

from trainer.addresses import without_secrets
from trainer.errors import Problem, visible

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 25

_NULL = re.compile(r"(~|null|Null|NULL|)\Z")
_BOOL = re.compile(r"(true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED_INT = re.compile(r"(0o[0-7]+|0x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_SPECIAL_FLOAT = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")

_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Fault:
    """Stands for a value whose problem is reported already; it fits no field of the spec."""


FAULT: Final = Fault()

Atom: TypeAlias = None | bool | int | float | str | Fault
Value: TypeAlias = "Atom | list[Value] | dict[str, Value]"
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """A text that values come from: a file, or one `--set` option; `file` is empty for a value
    that a program gave. `named` is the place in a file that builds on this one, and names it.
    """

    file: str
    lines: Sequence[str] = ()
    named: Mark | None = None

    @classmethod
    def of(cls, file: str, text: str, named: Mark | None = None) -> Source:
        """The source that holds `text`, with a sign in the place of what cannot be printed."""
        lines = [_UNPRINTABLE.sub("\ufffd", line) for line in _LINE_BREAK.split(text)]
        return cls(file, lines, named)

    def after(self, text: str) -> Mark:
        """The place that follows `text`, with which the source begins."""
        lines = _LINE_BREAK.split(text)
        return Mark(self, len(lines), len(lines[-1]) + 1)


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a source, counted from 1, and how many characters stand there.

    `line` and `column` are 0 in a source without text.
    """

    source: Source
    line: int = 0
    column: int = 0
    width: int = 1

    def within(self, text: str, at: int, width: int) -> Mark:
        """The place of some characters of the text that stands here, if that is one line."""
        line = self.source.lines[self.line - 1] if 0 < self.line <= len(self.source.lines) else ""
        start = line.find(text, max(self.column - 1, 0)) if line else -1
        if start < 0:
            return self
        return Mark(self.source, self.line, start + at + 1, width)

    def problem(
        self, path: str, message: str, hint: str | None = None, *, code: str | None
    ) -> Problem:
        """A problem at this place."""
        lines = self.source.lines
        text = lines[self.line - 1] if 0 < self.line <= len(lines) else ""
        place = (self.line or None, self.column or None)
        return Problem(
            path, message, hint, self.source.file or None, *place, text, self.width, code
        )


@dataclass(slots=True)
class Scalar:
    """A number, a text, a truth value, null, or a fault in their place."""

    value: Atom
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


def value_at(root: Node, path: Sequence[str]) -> Node | None:
    """The node that the keys lead to, if there is one."""
    node: Node | None = root
    for key in path:
        node = node.entries.get(key, (None, None))[1] if isinstance(node, Map) else None
    return node


def locate(
    root: Node, path: Path, *, key: bool = False, span: tuple[int, int] | None = None
) -> Mark:
    """Where the value at `path` stands, or its key, or of a text the characters of a span; where
    it is absent, the nearest parent; or where that may be completed, in the file that builds on it.
    """
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
            completed = isinstance(node, Map) and not any(isinstance(p, int) for p in path[:depth])
            return (completed and mark.source.named) or mark
    text = node.value if isinstance(node, Scalar) else None
    return mark.within(text, *span) if span and isinstance(text, str) else mark


def show_path(path: Path) -> str:
    """`model.layers[0].units`: a path as messages write it."""
    text = ""
    for part in path:
        name = f"[{part}]" if isinstance(part, int) else _show_key(part)
        text += f".{name}" if text and isinstance(part, str) else name
    return text


def _show_key(key: str) -> str:
    """A key of a path, in quotation marks where `--set` needs them."""
    text = show_text(key)
    return f'"{text}"' if set(key) & set(".[") else text


def show_text(text: str, size: int = 40) -> str:
    """A text as messages print it: in one line, without control characters and an address's
    secrets, not too long.
    """
    text = without_secrets(text)
    short = text if len(text) <= size else text[: size - 3] + "..."
    return visible(short, keep="")


def parse(text: str, file: str, named: Mark | None = None) -> tuple[Node | None, list[Problem]]:
    """The tree of one YAML document and every problem found in its structure; `named` is as that
    of `Source`.

    The tree is None where there is nothing to check: the text is empty, or is not YAML at all.
    A duplicate key keeps its first value, and a `Fault` stands where a value is of no use, so
    that the rest of the document can still be checked.
    """
    source = Source.of(file, text, named)
    composer = _Composer(source)
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        return None, [_unreadable(error, text, source)]
    try:
        while loader.check_event():
            event: yaml.Event = loader.get_event()  # type: ignore[no-untyped-call]  # no stub
            if not composer.take(event):
                break
    except yaml.MarkedYAMLError as error:
        return None, [*composer.problems, _syntax(error, source)]
    except (ValueError, OverflowError):  # PyYAML met an escape or a version out of range
        here = yaml.MarkedYAMLError(problem="out of range", problem_mark=loader.get_mark())
        return None, [*composer.problems, _syntax(here, source)]
    root = composer.root
    usable = not (isinstance(root, Scalar) and root.value is FAULT)
    return root if usable else None, composer.problems


class _Composer:
    """Builds the tree from parser events, with a stack in place of recursion."""

    def __init__(self, source: Source) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._source = source
        self._stack: list[tuple[Map | List, Path]] = []
        self._key: tuple[str | None, Mark] | None = None  # None for a key that is no text
        self._skip = 0  # depth inside such a key, which is passed over
        self._documents = 0

    def take(self, event: yaml.Event) -> bool:
        """Adds one event; False stops the reading."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                message = "a second document starts here"
                self._report(event, (), message, "keep one spec a file", "TR-S006")
                return False
        elif isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            self._leaf(event)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            return self._open(event)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            if self._skip:
                self._skip -= 1
            else:
                self._stack.pop()
        return True

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> bool:
        if len(self._stack) + self._skip >= MAX_DEPTH:
            message = f"more than {MAX_DEPTH} levels of nesting"
            hint = "a spec needs five or six; check the brackets"
            self._report(event, (), message, hint, "TR-S006")
            self.root = None
            return False
        path = self._path()
        if self._skip:
            self._skip += 1
        elif self._expects_key():
            message = "a key must be text, found a list or mapping"
            self._report(event, path, message, "write `key: value`", "TR-S009")
            self._skip = 1
            self._key = (None, self._mark(event))
        else:
            if event.tag is not None:
                self._report(event, path, *_tag_fault(event.tag))
            kind = Map if isinstance(event, yaml.MappingStartEvent) else List
            node = kind(self._mark(event))
            self._add(node)
            self._stack.append((node, path))
        return True

    def _leaf(self, event: yaml.ScalarEvent | yaml.AliasEvent) -> None:
        if self._skip:
            return
        mark, is_key = self._mark(event), self._expects_key()
        fault = _key_fault(event) if is_key else _leaf_fault(event)
        if fault:
            self._report(event, self._path(), *fault)
        value: Atom = FAULT
        if isinstance(event, yaml.ScalarEvent) and not fault:
            value = event.value if is_key or event.style else meaning(event.value)
        if is_key:
            self._key = (value if isinstance(value, str) else None, mark)
        else:
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
        return path if self._key is None or self._key[0] is None else (*path, self._key[0])

    def _add(self, node: Node) -> None:
        if not self._stack:
            self.root = node
            return
        parent, path = self._stack[-1]
        if isinstance(parent, List):
            parent.items.append(node)
            return
        assert self._key is not None
        (key, mark), self._key = self._key, None
        if key is None:  # a key that is wrong takes its value with it
            return
        if key in parent.entries:
            first = parent.entries[key][0].line
            message = f"the key '{show_text(key)}' stands here a second time"
            hint = f"the first is in line {first}; keep one of them"
            where = show_path((*path, key))
            self.problems.append(mark.problem(where, message, hint, code="TR-S007"))
        else:
            parent.entries[key] = (mark, node)

    def _mark(self, event: yaml.Event) -> Mark:
        start, end = event.start_mark, event.end_mark
        assert start is not None
        assert end is not None
        in_one_line = end.line == start.line and not isinstance(event, yaml.CollectionStartEvent)
        width = end.column - start.column if in_one_line else 1
        return Mark(self._source, start.line + 1, start.column + 1, width)

    def _report(self, event: yaml.Event, path: Path, message: str, hint: str, code: str) -> None:
        found = self._mark(event).problem(show_path(path), message, hint, code=code)
        self.problems.append(found)


# The meaning of scalars ------------------------------------------------------------------------


def meaning(text: str) -> Atom:
    """The meaning of a plain scalar in YAML 1.2's core schema.

    A `Fault` for numbers with a leading 0 (8 or 10 as their base, depending on whom one asks)
    and for numbers that are too large.
    """
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text.lower() == "true"
    if _INT.match(text):
        digits = text.lstrip("+-")
        ambiguous = len(digits) > 1 and digits.startswith("0")
        return FAULT if ambiguous or len(digits) > MAX_DIGITS else int(text)
    if _BASED_INT.match(text):
        return FAULT if len(text) > MAX_DIGITS else int(text, 0)
    if _FLOAT.match(text):
        number = float(text)
        return number if math.isfinite(number) else FAULT
    if _SPECIAL_FLOAT.match(text):
        return float(text.replace(".", "").lower())
    return text


def means_text(text: str) -> bool:
    """Whether this plain scalar would be read as the text that it is."""
    return isinstance(meaning(text), str)


_Fault: TypeAlias = tuple[str, str, str]
"""What is wrong, what to do about it, and the code."""


def _key_fault(event: yaml.ScalarEvent | yaml.AliasEvent) -> _Fault | None:
    """What is wrong with a key."""
    if isinstance(event, yaml.ScalarEvent) and not event.style and event.tag is None:
        text = show_text(event.value)
        if text == "<<":
            return "the merge key '<<' is not allowed", "write the values out", "TR-S006"
        if not means_text(event.value):
            hint = f"write '{text}' in quotes if it is meant as a name"
            return f"a key must be text, found '{text}'", hint, "TR-S009"
    return _leaf_fault(event)


def _leaf_fault(event: yaml.ScalarEvent | yaml.AliasEvent) -> _Fault | None:
    """What is wrong with a scalar."""
    if isinstance(event, yaml.AliasEvent):
        message = f"the alias '*{show_text(event.anchor or '')}' is not allowed"
        return message, "write the value out", "TR-S006"
    if event.tag is not None:
        return _tag_fault(event.tag)
    half = _SURROGATE.search(event.value)
    if half:
        message = f"{show_text(half[0])} is half of a character"
        return message, r"write the character itself, or \U and its eight digits", "TR-S005"
    if not event.style and meaning(event.value) is FAULT:
        return _number_fault(event.value)
    return None


def _number_fault(text: str) -> _Fault:
    sign, digits = "-" * text.startswith("-"), text.lstrip("+-")
    if len(digits) > MAX_DIGITS:
        message = f"a number of {len(digits)} digits is too large"
    elif _INT.match(text):
        number = sign + (digits.lstrip("0") or "0")
        hint = f"write {number}; or use quotes for a text"
        return f"the number '{text}' begins with 0", hint, "TR-S008"
    else:
        message = f"the number {text} is too large"
    return message, "write a smaller number; or use quotes for a text", "TR-S008"


def _tag_fault(tag: str) -> _Fault:
    short = show_text(tag.replace("tag:yaml.org,2002:", "!!"))
    return f"the tag '{short}' is not allowed", "a spec holds plain values; remove it", "TR-S006"


# PyYAML's errors in our words ------------------------------------------------------------------

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
    ("sequence entries are not allowed", "a list item is not expected here",
     "begin the list on a line of its own, and quote a text that begins with '- '", "problem"),
    ("mapping keys are not allowed", "a '?' is not expected here",
     "put the value in quotes", "problem"),
    ("expected the node content", "a value is expected here",
     "check the commas, brackets and quotes", "problem"),
    ("expected alphabetic or numeric", "a name is expected here",
     "put a text that begins with & or * in quotes", "problem"),
    ("hexadecimal", "an unknown escape in a double-quoted text",
     "double the backslash, or use single quotes", "problem"),
    ("out of range", "an escape or a version is out of range",
     r"\U takes at most 0010FFFF", "problem"),
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
     "double the backslash, or use single quotes", "problem"),
    ("expected '<document start>'", "text follows the end of the document",
     "keep one spec a file; check the indentation", "problem"),
)  # fmt: skip


def _syntax(error: yaml.MarkedYAMLError, source: Source) -> Problem:
    """A mistake in the syntax of YAML."""
    where = error.problem_mark or error.context_mark
    message, hint = "this is not valid YAML", "check the indentation, brackets and quotes"
    for part, words, advice, place in _SYNTAX:
        if part in (error.problem or ""):
            message, hint = words, advice
            if place == "context" and error.context_mark is not None:
                where = error.context_mark
            break
    assert where is not None
    return Mark(source, where.line + 1, where.column + 1).problem("", message, hint, code="TR-S005")


def _unreadable(error: yaml.reader.ReaderError, text: str, source: Source) -> Problem:
    """A character that YAML does not allow."""
    number = ord(error.character) if isinstance(error.character, str) else error.character
    mark = source.after(text[: error.position])
    message = f"the character U+{number:04X} is not allowed"
    return mark.problem("", message, "remove it", code="TR-S005")
