"""A spec that builds on another file: `defaults: base.yaml`, whose values hold where the spec says
nothing.
"""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from pathlib import Path as FilePath
from typing import Any, Final

from trainer.errors import SpecError
from trainer.spec.declaration import Declaration, in_order
from trainer.spec.document import FAULT, List, Map, Mark, Node, Scalar, plain
from trainer.spec.merging import merged, models_at
from trainer.spec.messages import describe
from trainer.spec.origins import with_places
from trainer.spec.reading import Document, beside, read_named, read_root, read_text, shortened

DEFAULTS: Final = "defaults"


def read_document(path: str | FilePath, kind: Any) -> Document:
    """What a file declares, with the values of its `defaults`. `kind` is the declaration that it is
    read as, or a union of them.

    Raises `SpecError` where one of the files cannot be read, or has no keys to check.
    """
    file, text = str(path), read_text(FilePath(path))
    return with_defaults(Document(*read_root(text, file, None), text, file), kind)


def with_defaults(own: Document, kind: Any) -> Document:
    """The document of a file with the values of its `defaults`, each with its place; its text is
    that of both. See `read_document`.
    """
    if DEFAULTS not in own.root.entries:
        return own
    entries = dict(own.root.entries)
    key_mark, node = entries.pop(DEFAULTS)
    mark = node.mark if isinstance(node, Scalar) and node.mark.width else key_mark
    try:
        base = _read(own.file, node, mark)
    except SpecError as error:
        raise SpecError(in_order([*own.problems, *error.problems], own.file)) from None
    _see_paths_from(own.file, str(plain(node)), base.root, kind)
    root = merged(Map(own.root.mark, entries), base.root, kind)
    problems = [*own.problems, *base.problems]
    text = own.text if problems else with_places(root, without=own.file)
    return Document(root, problems, text, own.file)


def _read(file: str, node: Node, mark: Mark) -> Document:
    """The file that another one names."""
    path = plain(node)
    if path is FAULT:  # which is told already
        raise SpecError([])
    if not isinstance(path, str) or not path:
        message = f"expected the path of a YAML file, found {describe(path)}"
        raise SpecError(mark.problem(DEFAULTS, message, code="TR-S013"))
    place = beside(file, path)
    with suppress(OSError, ValueError):
        if os.path.samefile(place, file):
            message = "a file does not build on itself"
            hint = "name another one, or leave it out"
            raise SpecError(mark.problem(DEFAULTS, message, hint, code="TR-S037"))
    base = read_named(place, mark, (DEFAULTS,), below=True)
    if DEFAULTS in base.root.entries:
        own = base.root.entries[DEFAULTS][0]
        message = "what others build on has no defaults of its own"
        hint = f"write its values here, or name it in {file}"
        problem = own.problem(DEFAULTS, message, hint, code="TR-S037")
        raise SpecError([*base.problems, problem])
    return base


# Paths ------------------------------------------------------------------------------------------


def _see_paths_from(file: str, base: str, root: Map, kind: Any) -> None:
    """Changes the paths in the tree of a base, which are relative to it, to what they are from the
    file that names it so.
    """
    folder, here = os.path.dirname(base), os.path.dirname(file)
    for model in models_at(kind) if folder else ():
        for parent, key in model.files_in(root) if issubclass(model, Declaration) else ():
            mark, node = parent.entries[key]
            parent.entries[key] = (mark, _seen(node, folder, here))


def _seen(node: Node, folder: str, here: str) -> Node:
    """A path, or a list of them, from a folder above."""
    if isinstance(node, List):
        return List(node.mark, [_seen(item, folder, here) for item in node.items])
    path = node.value if isinstance(node, Scalar) else None
    if not isinstance(path, str) or not path or path.startswith("~") or "://" in path:
        return node  # no path, which is told as it is written
    whole = os.path.join(glob.escape(folder) if glob.has_magic(path) else folder, path)
    return Scalar(shortened(whole, here), node.mark)
