"""From a YAML file and overrides to a validated `Spec`, with every mistake reported at once."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any, Final, TypeAlias

from pydantic import ValidationError

from trainer.errors import Problem, SpecError, UsageError
from trainer.spec.document import List, Map, Mark, Node, Path, locate, parse, plain, show_path
from trainer.spec.messages import describe, explain, near
from trainer.spec.schema import Spec

MAX_BYTES: Final = 4 * 2**20
Overrides: TypeAlias = Mapping[str, Any] | Iterable[str]


def load_spec(path: str | FilePath, overrides: Overrides | None = None) -> Spec:
    """The validated spec in the YAML file `path`.

    `overrides` replaces values before validation: a mapping such as
    `{"sgd.learning_rate": 0.01, "model.layers.0.units": 32}`, or texts `key=value` whose value
    is YAML. Raises `SpecError` with every problem that was found.
    """
    file = FilePath(path)
    text = _read(file)
    root, problems = parse(text, str(path))
    if root is not None and not isinstance(root, Map):
        message = f"expected a mapping of keys, found {describe(plain(root))}"
        problems.append(root.mark.problem("", message, "begin with `name: …`"))
    if not isinstance(root, Map):
        raise SpecError(problems)
    for key, value in _pairs(overrides):
        problems += _override(root, key, value)
    spec, more = _validate(root)
    problems += more
    if problems or spec is None:
        raise SpecError(_in_order(problems))
    spec._text, spec._file = text, str(path)
    return spec


def _validate(root: Map) -> tuple[Spec | None, list[Problem]]:
    document = plain(root)
    try:
        spec = Spec.model_validate(document)
    except ValidationError as error:
        problems = []
        for item in error.errors(include_url=False):
            explained = explain(item, Spec, document)
            if explained is None:
                continue
            path, message, hint, key = explained
            mark = locate(root, path, key=key)
            problems.append(mark.problem(show_path(path), message, hint))
        return None, problems
    spec._document = root
    return spec, []


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Problems of the file in its order, then those of overrides."""
    return sorted(dict.fromkeys(problems), key=lambda p: (
        (p.file or "").startswith("--set"), p.line or 0, p.column or 0))  # fmt: skip


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
            size = f"{status.st_size / 2**20:.0f} MB"
            raise fail(f"a spec of {size} is too large (at most {MAX_BYTES // 2**20} MB)",
                       "keep data in a file of its own: `source: {csv: …}`")  # fmt: skip
        data = file.read_bytes()
    except FileNotFoundError:
        raise fail("no such file", _near_file(file)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise fail(f"cannot be read: {reason}") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise fail("this file is UTF-16", "save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8-sig", "replace")
        raise SpecError(
            Problem(
                "",
                f"the byte 0x{data[error.start]:02x} is not UTF-8",
                "save the file as UTF-8",
                str(file),
                good.count("\n") + 1,
                len(good) - (good.rfind("\n") + 1) + 1,
            )
        ) from None


def _near_file(file: FilePath) -> str | None:
    parent = file.parent
    if not parent.is_dir():
        return f"there is no directory '{parent}'"
    known = {path.name: path for path in parent.iterdir() if path.suffix in (".yaml", ".yml")}
    hint = near(file.name, known)
    return hint or (f"did you mean '{file}.yaml'?" if file.with_suffix(".yaml").exists() else None)


def _specs_in(folder: FilePath) -> str:
    names = sorted(path.name for path in folder.glob("*.yaml"))
    return f"it holds {', '.join(names[:5])}" if names else "give the path of a YAML file"


# Overrides -------------------------------------------------------------------------------------


def _pairs(overrides: Overrides | None) -> list[tuple[str, str]]:
    """Overrides as (key, YAML text)."""
    if overrides is None:
        return []
    if isinstance(overrides, Mapping):
        return [(key, json.dumps(value)) for key, value in overrides.items()]
    pairs = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            hint = "for example --set sgd.learning_rate=0.01"
            raise UsageError(f"--set {text}: expected key=value; {hint}")
        pairs.append((key.strip(), value))
    return pairs


def _override(root: Map, key: str, text: str) -> list[Problem]:
    """Puts the value of one override into the tree; returns what is wrong with it."""
    label = f"--set {key}"
    node, problems = parse(text, label)
    if node is None:
        return problems
    mark = node.mark
    path: Path = tuple(
        int(p) if p.isdigit() else p for p in key.replace("[", ".").replace("]", "").split(".")
    )
    parent: Node = root
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        here = show_path(path[:depth])
        if isinstance(parent, List):
            if not isinstance(part, int) or part >= len(parent.items):
                message = (
                    f"'{here}' has {len(parent.items)} items, counted from 0; there is no '{part}'"
                )
                return [*problems, mark.problem(show_path(path), message)]
            if last:
                parent.items[part] = node
            else:
                parent = parent.items[part]
        elif isinstance(parent, Map):
            part = str(part)
            if last:
                parent.entries[part] = (mark, node)
            else:
                parent = parent.entries.setdefault(part, (mark, Map(mark)))[1]
        else:
            message = f"'{here}' is {describe(plain(parent))}, which has no '{part}'"
            return [*problems, mark.problem(show_path(path), message)]
    return problems


__all__ = ["Mark", "Overrides", "load_spec"]
