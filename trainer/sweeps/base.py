"""The spec that a sweep varies: named by its path, or written in the sweep's file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter, ValidationError

from trainer.errors import Problem, SpecError
from trainer.spec.changes import Changes, as_tree, copied_tree, parts_of, put, with_changes
from trainer.spec.declaration import located
from trainer.spec.defaults import with_defaults
from trainer.spec.document import FAULT, Map, Mark, Node, Scalar, plain, show_path
from trainer.spec.explain import UNKNOWN_KEY
from trainer.spec.loader import is_sketch, is_sweep
from trainer.spec.messages import describe
from trainer.spec.reading import beside, read_named
from trainer.spec.schema import Spec
from trainer.sweeps.space import DimensionSpec

PARTS: Final = ("data", "model", "sgd", "evaluation")
"""The parts of a spec that a sweep's file may have in place."""
TAKEN: Final = ("name", "seed", "tracking")
"""What such a spec has from the sweep."""
_ADVICE: Final = re.compile(r"did you mean '(.*)'\?")
_DIMENSION: Final[TypeAdapter[Any]] = TypeAdapter(DimensionSpec)


class Whole(NamedTuple):
    """The document of a sweep with its spec in it, what is wrong so far, and the text of the spec's
    own file, where that was read.
    """

    root: Map
    problems: list[Problem]
    text: str | None = None


class Base(NamedTuple):
    """The spec of a sweep's document, None where it is wrong, and what is wrong with it."""

    spec: Spec | None
    problems: list[Problem]


# A spec's file becomes a part of the document ---------------------------------------------------


def with_spec(
    root: Map, file: str | None, changes: Changes | None = None, label: str = ""
) -> Whole:
    """The document with what the file holds in the place of its path, each value with the place
    that it has there; and with the changes in it, whose `label` is that of `with_changes`. A fault
    stands where the file cannot be used.
    """
    own, others = _divided(changes) if "spec" in root.entries else (changes, None)
    before = root.entries.get("spec", (root.mark, None))[1]
    root, problems = with_changes(root, own, label)
    key_mark, node = root.entries.get("spec", (root.mark, None))
    if isinstance(before, Map) and isinstance(node, Scalar):  # another spec: it has its own file
        root.entries.pop("spec_file", None)
    text = None
    problems += _no_file(root, node)
    if isinstance(node, Scalar) and isinstance(node.value, str):
        mark = Scalar(node.value, node.mark)
        node, wrong, text = _read(beside(file, node.value), node.mark)
        root = Map(root.mark, {**root.entries, "spec": (key_mark, node)})
        root.entries["spec_file"] = (key_mark, mark)
        problems += wrong
    if isinstance(node, Map) and others:
        changed, wrong = with_changes(node, others, label)
        root = Map(root.mark, {**root.entries, "spec": (key_mark, changed)})
        problems += wrong
    return Whole(root, problems, text)


def _no_file(root: Map, spec: Node | None) -> list[Problem]:
    """That a file is named whose values do not stand here."""
    key_mark, node = root.entries.get("spec_file", (root.mark, None))
    if node is None or plain(node) is None or isinstance(spec, Map):
        return []
    if isinstance(spec, Scalar) and spec.value is FAULT:
        return []
    message = "this belongs to a `spec` whose values stand here"
    return [key_mark.problem("spec_file", message, "leave it out", code="TR-S020")]


def _divided(changes: Changes | None) -> tuple[Changes | None, Changes | None]:
    """The changes of the sweep, and those of the spec that it varies."""

    def is_others(key: str) -> bool:
        return parts_of(key.strip())[0] in PARTS

    if isinstance(changes, Mapping):
        others = {key: value for key, value in changes.items() if is_others(str(key))}
        return {key: changes[key] for key in changes if key not in others}, others
    texts = list(changes or ())
    of_spec = [text for text in texts if is_others(text.partition("=")[0])]
    return [text for text in texts if text not in of_spec], of_spec


def _read(place: FilePath, mark: Mark) -> tuple[Node, list[Problem], str | None]:
    """The tree and the text of a spec's file; a fault, and why, where it has none. `mark` is where
    it is named.
    """
    fault = Scalar(FAULT, mark)
    try:
        root, problems, text, _ = with_defaults(read_named(place, mark, ("spec",)), Spec)
    except SpecError as error:
        return fault, [*error.problems], None
    if is_sweep(root) or is_sketch(root):
        what = "a sweep itself" if is_sweep(root) else "a graph without data"
        hint = "name a file that declares one run"
        return fault, [mark.problem("spec", f"{place} declares {what}", hint, code="TR-W004")], None
    return root, problems, text


# The document's spec ----------------------------------------------------------------------------


def base_of(root: Map, file: str | None, text: str | None) -> Base:
    """The spec of a document that holds it; `text` is that of its own file, if it has one."""
    tree, problems = _tree_of(root)
    if tree is None:
        return Base(None, problems)
    named = root.entries.get("spec_file")
    place = file
    if named and isinstance(named[1], Scalar) and isinstance(named[1].value, str):
        place = str(beside(file, named[1].value))
    try:
        return Base(Spec.from_document(tree, file=place, text=text), problems)
    except SpecError as error:
        return Base(None, [*problems, *(_of_key(root, each) for each in error.problems)])


def _of_key(root: Map, problem: Problem) -> Problem:
    """A problem of the spec; where it is with a key of the space, as that of this key."""
    for key, (mark, _) in _space(root).items():
        place = (mark.source.file, mark.line, mark.column)
        if mark.line and place == (problem.file, problem.line, problem.column):
            hint = _meant(parts_of(key), len(parts_of(problem.path)), problem.hint, {})
            return replace(problem, path=show_path(("space", key)), hint=hint)
    return problem


def _tree_of(root: Map) -> tuple[Map | None, list[Problem]]:
    """The tree of the spec: as it stands there, or put together of what stands in place."""
    parts = [key for key in PARTS if key in root.entries]
    key_mark, node = root.entries.get("spec", (root.mark, None))
    if "spec" not in root.entries:
        if parts:
            return _in_place(root, parts), []
        hint = "write `spec: path`, or `data`, `model` and `sgd` here"
        return None, [root.mark.problem("spec", "required key is missing", hint, code="TR-S012")]
    problems = [
        root.entries[key][0].problem(key, "the spec is named already, and has this itself",
                                     "write it there, or leave `spec` out", code="TR-W004")
        for key in parts
    ]  # fmt: skip
    if isinstance(node, Map):
        tracking = root.entries.get("tracking")
        if tracking is not None and plain(tracking[1]) is not None:
            node = Map(node.mark, {**node.entries, "tracking": tracking})
        return node, problems
    value = plain(node) if node is not None else None
    if value is not FAULT:
        mark = node.mark if isinstance(node, Scalar) and node.mark.width else key_mark
        message = f"expected the path of a spec, found {describe(value)}"
        problems.append(mark.problem("spec", message, code="TR-S013"))
    return None, problems


def _in_place(root: Map, parts: Sequence[str]) -> Map:
    """A spec of the parts in the sweep's file. Keys of the space may be left out of it: what lies
    in the middle of their values stands there then.
    """
    entries = {key: root.entries[key] for key in (*TAKEN, *parts) if key in root.entries}
    tree = copied_tree(Map(root.mark, entries))
    for key, (mark, node) in _space(root).items():
        path = parts_of(key)
        if path[0] in parts and not _holds(tree, path):
            put(tree, key, _middle(node, mark))
    return tree


def _middle(node: Node, mark: Mark) -> Node:
    """What lies in the middle of a dimension; a fault where that is wrong itself."""
    try:
        return as_tree(_DIMENSION.validate_python(plain(node)).at(0.5), mark)
    except (ValidationError, TypeError):
        return Scalar(FAULT, mark)


def _holds(tree: Node, path: list[str]) -> bool:
    """Whether a value stands at the path, or none can."""
    for part in path:
        if not isinstance(tree, Map):
            return True
        if part not in tree.entries:
            return False
        tree = tree.entries[part][1]
    return True


# The keys of its space --------------------------------------------------------------------------


def _space(root: Map) -> Mapping[str, tuple[Mark, Node]]:
    node = root.entries.get("space", (None, None))[1]
    return node.entries if isinstance(node, Map) else {}


def key_problems(root: Map, base: Spec) -> list[Problem]:
    """What is wrong with the keys of the space: they name nothing of the spec, or what no trial can
    have for itself, or lie within each other.
    """
    problems: list[Problem] = []
    tree = copied_tree(base.document)
    fine: dict[str, list[str]] = {}
    for key, (mark, _) in _space(root).items():
        path, where = parts_of(key), show_path(("space", key))
        found = _refused(root, path) or _clash(key, path, fine)
        if found is None:
            fine[key] = path
            problems += [replace(p, path=where) for p in put(tree, key, Scalar(FAULT, mark))]
        else:
            problems.append(mark.problem(where, *found, code="TR-W003"))
    values = plain(tree)
    try:
        Spec.model_validate(values)
    except ValidationError as error:  # the faults hide all but where they stand
        for problem in located(error, Spec, tree, values):
            found_at = parts_of(problem.path)
            for key, path in fine.items():
                if problem.message == UNKNOWN_KEY and path[: len(found_at)] == found_at:
                    hint = _meant(path, len(found_at), problem.hint, base.resolved())
                    problems.append(replace(problem, path=show_path(("space", key)), hint=hint))
    return problems


def _meant(path: Sequence[str], wrong: int, hint: str | None, values: Any) -> str | None:
    """The whole key that was meant, where the hint names its part number `wrong` from 1, or where
    the key names only the end of one of the values.
    """
    one = _ADVICE.fullmatch(hint or "")
    if one:
        return f"did you mean '{'.'.join([*path[: wrong - 1], one[1], *path[wrong:]])}'?"
    ends = {key: key.rpartition(".")[2] for key in _leaves(values)}
    fitting = [key for key, end in ends.items() if end == path[-1]]
    return f"did you mean '{fitting[0]}'?" if fitting else hint


def _leaves(values: Any, before: str = "") -> Iterator[str]:
    """The keys of all values of a spec, as `--set` takes them."""
    pairs: Iterable[tuple[object, Any]] = ()
    if isinstance(values, dict):
        pairs = values.items()
    elif isinstance(values, list):
        pairs = enumerate(values)
    for key, value in pairs:
        yield f"{before}{key}"
        yield from _leaves(value, f"{before}{key}.")


def _refused(root: Map, path: list[str]) -> tuple[str, str | None] | None:
    """Why a key is none of a space, and what to do."""
    halves = root.entries.get("halving")
    if path[0] in ("name", "tracking"):
        return f"'{path[0]}' decides nothing of what a trial learns", "leave it out"
    if path == ["sgd", "epochs"] and halves and plain(halves[1]) is not None:
        hint = "leave it out: with halving trials end at different epochs by themselves"
        return "with halving all trials have the same epochs", hint
    return None


def _clash(
    key: str, path: list[str], others: dict[str, list[str]]
) -> tuple[str, str | None] | None:
    """Whether a key is another one, or one of two lies within the other."""
    for name, other in others.items():
        if path == other:
            return f"this is the key '{name}' again", "keep one of them"
        short = min(len(path), len(other))
        if path[:short] == other[:short]:
            inner, outer = (key, name) if len(path) > len(other) else (name, key)
            return f"'{inner}' lies within '{outer}'", "keep one of them"
    return None
