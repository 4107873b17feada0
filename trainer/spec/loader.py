"""From a YAML file and overrides to a validated `Spec`, with every mistake reported at once."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Final, TypeVar

from trainer.errors import UsageError
from trainer.spec.changes import Changes, with_changes
from trainer.spec.defaults import read_document
from trainer.spec.document import Map
from trainer.spec.reading import Document, read_root
from trainer.spec.schema import Sketch, Spec

D = TypeVar("D", Spec, Sketch)
SWEEP_KEYS: Final = frozenset({"spec", "space", "search", "halving", "objective"})
"""Keys that a sweep has and a spec has not."""


def load_spec(path: str | FilePath, overrides: Changes | None = None) -> Spec:
    """The validated spec in the YAML file `path`, and in the one that its `defaults` names.

    `overrides` replaces values before validation: a mapping such as
    `{"sgd.learning_rate": 0.01, "model.layers.0.units": 32}`, or texts `key=value` whose value
    is YAML. Raises `SpecError` with every problem that was found, and `UsageError` for
    overrides that are not of this form.
    """
    return _run(_read(path, overrides))


def read_spec(text: str, file: str, overrides: Changes | None = None) -> Spec:
    """As `load_spec`, from the text of the file at this path, which stands alone."""
    return _run(Document(*read_root(text, file, overrides), text, file))


def load_any(path: str | FilePath, overrides: Changes | None = None) -> Spec | Sketch:
    """As `load_spec`, or the graph without data that the file declares."""
    read = _read(path, overrides)
    _check_is_run(read)
    return _declared(Sketch, read) if is_sketch(read.root) else _declared(Spec, read)


def _read(path: str | FilePath, overrides: Changes | None) -> Document:
    read = read_document(path, Spec)
    root, problems = with_changes(read.root, overrides)
    return read._replace(root=root, problems=[*read.problems, *problems])


def _run(read: Document) -> Spec:
    _check_is_run(read)
    if is_sketch(read.root):
        raise UsageError(
            f"{read.file} declares a graph without data, which cannot be trained\n"
            f"  hint: train explain {read.file} shows it",
            code="TR-S026",
        )
    return _declared(Spec, read)


def _declared(kind: type[D], read: Document) -> D:
    return kind.from_document(read.root, read.problems, file=read.file, text=read.text)


def is_sweep(root: Map) -> bool:
    """Whether the document declares many runs, as `train sweep` takes it."""
    return not SWEEP_KEYS.isdisjoint(root.entries)


def _check_is_run(read: Document) -> None:
    if is_sweep(read.root):
        file = read.file
        raise UsageError(
            f"{file} declares a sweep, which is many runs\n  hint: train sweep {file}",
            code="TR-S026",
        )


def is_sketch(root: Map) -> bool:
    """Whether the document declares equations on given numbers, without data to train on."""
    model = root.entries.get("model")
    equations = model is not None and isinstance(model[1], Map) and "equations" in model[1].entries
    return equations and not {"data", "sgd"} & root.entries.keys()
