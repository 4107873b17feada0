"""From a YAML file and overrides to a validated `Spec`, with every mistake reported at once."""

from __future__ import annotations

import codecs
import stat
from collections.abc import Iterable, Iterator, Mapping
from numbers import Integral, Real
from os import PathLike
from pathlib import Path as FilePath
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from trainer.errors import Problem, SpecError, UsageError
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
    locate,
    parse,
    plain,
    show_path,
    show_text,
)
from trainer.spec.equations import Sketch
from trainer.spec.messages import describe, explain, near, plural
from trainer.spec.problems import equation_problems
from trainer.spec.schema import Spec

MAX_BYTES: Final = 2**20
MAX_PROBLEMS: Final = 100
Overrides: TypeAlias = Mapping[str, Any] | Iterable[str]


def load_spec(path: str | FilePath, overrides: Overrides | None = None) -> Spec:
    """The validated spec in the YAML file `path`.

    `overrides` replaces values before validation: a mapping such as
    `{"sgd.learning_rate": 0.01, "model.layers.0.units": 32}`, or texts `key=value` whose value
    is YAML. Raises `SpecError` with every problem that was found, and `UsageError` for
    overrides that are not of this form.
    """
    return read_spec(_read(FilePath(path)), str(path), overrides)


def read_spec(text: str, file: str, overrides: Overrides | None = None) -> Spec:
    """As `load_spec`, from the text of the file at this path."""
    root, problems = _root(text, file, overrides)
    if _is_sketch(root):
        raise UsageError(
            f"{file} declares a graph without data, which cannot be trained\n"
            f"  hint: train explain {file} shows it"
        )
    spec = _checked(root, problems, Spec, text, file)
    assert isinstance(spec, Spec)
    return spec


def load_any(path: str | FilePath, overrides: Overrides | None = None) -> Spec | Sketch:
    """As `load_spec`, or the graph without data that the file declares."""
    file = str(path)
    text = _read(FilePath(path))
    root, problems = _root(text, file, overrides)
    kind = Sketch if _is_sketch(root) else Spec
    return _checked(root, problems, kind, text, file)


def _root(text: str, file: str, overrides: Overrides | None) -> tuple[Map, list[Problem]]:
    """The tree with the overrides in it."""
    root, problems = _parse(text, file)
    for key, node, found in _read_overrides(overrides):
        problems += found
        if node is not None:
            problems += _override(root, key, node)
    return root, problems


def _is_sketch(root: Map) -> bool:
    """Whether the document declares equations on given numbers, without data to train on."""
    model = root.entries.get("model")
    equations = model is not None and isinstance(model[1], Map) and "equations" in model[1].entries
    return equations and not {"data", "sgd"} & root.entries.keys()


def _checked(
    root: Map, problems: list[Problem], kind: type[Spec] | type[Sketch], text: str, file: str
) -> Spec | Sketch:
    spec, found = _validate(root, kind)
    problems += found
    if spec is not None and not problems:
        problems += equation_problems(spec)
    if problems or spec is None:
        raise SpecError(_in_order(problems))
    spec._text, spec._file = text, file
    return spec


def _parse(text: str, file: str) -> tuple[Map, list[Problem]]:
    """The tree and its problems. Raises `SpecError` where there are no keys to check."""
    root, problems = parse(text, file)
    hint = "begin with `name: …`"
    if isinstance(root, Map):
        return root, problems
    if root is not None:
        message = f"expected a mapping of keys, found {describe(plain(root))}"
        problems.append(root.mark.problem("", message, hint))
    elif not problems:
        start = Source.of(file, text).after("")
        problems.append(start.problem("", "the file is empty", hint))
    raise SpecError(_in_order(problems))


def _validate(
    root: Map, kind: type[Spec] | type[Sketch]
) -> tuple[Spec | Sketch | None, list[Problem]]:
    document = plain(root)
    try:
        spec = kind.model_validate(document)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False):
            explained = explain(item, kind, document)
            if explained is None:
                continue
            path, message, hint, key = explained
            mark = locate(root, path, key=key)
            problems.append(mark.problem(show_path(path), message, hint))
        return None, problems
    spec._document = root
    return spec, []


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Problems of the file in its order, then those of overrides; of very many, the first."""
    ordered = sorted(dict.fromkeys(problems), key=lambda p: (
        (p.file or "").startswith("--set"), p.line or 0, p.column or 0))  # fmt: skip
    more = len(ordered) - MAX_PROBLEMS
    if more <= 0:
        return ordered
    rest = f"{plural(more, 'more problem')} like these"
    return [*ordered[:MAX_PROBLEMS], Problem("", rest, file=ordered[0].file)]


def _read(file: FilePath) -> str:
    """The file's text, or a `SpecError` that says why it cannot be had."""

    def fail(message: str, hint: str | None = None) -> SpecError:
        return SpecError(Problem("", message, hint, file=str(file)))

    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            raise fail("this is a directory", _specs_in(file))
        if not stat.S_ISREG(status.st_mode):
            raise fail("this is no regular file", "give the path of a YAML file")
        if status.st_size > MAX_BYTES:
            size = f"{status.st_size / 2**20:.1f} MiB"
            raise fail(f"a spec of {size} is too large (at most {MAX_BYTES // 2**20} MiB)",
                       "keep data in a file of its own: `source: {csv: …}`")  # fmt: skip
        data = file.read_bytes()
    except FileNotFoundError:
        raise fail("no such file", _near_file(file)) from None
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the path, or what the file system cannot encode
        raise fail("no file can have this name") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise fail("this file is UTF-16", "save it as UTF-8")
    return _decode(data.removeprefix(codecs.BOM_UTF8), str(file))


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        source = Source.of(file, data.decode(errors="replace"))
        mark = source.after(data[: error.start].decode())
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise SpecError(mark.problem("", message, "save the file as UTF-8")) from None


def _near_file(file: FilePath) -> str | None:
    if not file.parent.is_dir():
        return f"there is no directory '{file.parent}'"
    known = [path.name for path in file.parent.glob("*.y*ml")]
    return near(file.name, known) or near(f"{file.name}.yaml", known)


def _specs_in(folder: FilePath) -> str:
    names = sorted(path.name for path in folder.glob("*.yaml"))
    return f"it holds {', '.join(names[:5])}" if names else "give the path of a YAML file"


# Overrides -------------------------------------------------------------------------------------


def _read_overrides(
    overrides: Overrides | None,
) -> Iterator[tuple[str, Node | None, list[Problem]]]:
    """The key of each override, its value, and the problems with reading the value."""
    if isinstance(overrides, Mapping):
        for key, value in overrides.items():
            try:
                yield str(key), _tree(value, Mark(Source(_label(key)))), []
            except TypeError as error:
                raise UsageError(f"the override '{key}': {error}") from None
        return
    for option in overrides or ():
        key, equals, text = option.partition("=")
        if not equals or not key.strip():
            hint = "for example --set sgd.learning_rate=0.01"
            raise UsageError(f"--set {option}: expected key=value; {hint}")
        key = key.strip()
        label = _label(key)
        node, problems = parse(text, label)
        if node is None and not problems:
            hint = f"write {key}=null for no value"
            problems = [Mark(Source(label)).problem("", "expected a value after the =", hint)]
        yield key, node, problems


def _label(key: object) -> str:
    """What stands in the place of a file for a value of an override."""
    return f"--set {show_text(str(key), 80)}"


def _tree(value: object, mark: Mark, depth: int = 0) -> Node:
    """A Python value as a node. Raises `TypeError` for what a spec cannot hold."""
    if depth > MAX_DEPTH:
        raise TypeError(f"more than {MAX_DEPTH} levels of nesting")
    if isinstance(value, Mapping):
        entries = {str(key): (mark, _tree(v, mark, depth + 1)) for key, v in value.items()}
        return Map(mark, entries)
    if isinstance(value, list | tuple):
        return List(mark, [_tree(item, mark, depth + 1) for item in value])
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


def _override(root: Map, key: str, value: Node) -> list[Problem]:
    """Puts the value of one override into the tree; returns what is wrong with its key."""
    mark = value.mark
    parts = key.replace("[", ".").replace("]", "").split(".")
    if len(parts) > MAX_DEPTH:
        return [mark.problem("", f"more than {MAX_DEPTH} levels of nesting")]
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
                return [mark.problem(show_path(path), message, "items are counted from 0")]
            path = (*path, index)
            if last:
                here.items[index] = value
            here = here.items[index]
        elif here.value is FAULT:
            return []
        else:
            message = f"this is {describe(here.value)}, which has no '{show_text(part)}'"
            return [mark.problem(show_path(path), message)]
    return []


__all__ = ["Mark", "Overrides", "load_spec"]
