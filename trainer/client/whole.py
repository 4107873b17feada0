"""The file of a spec with all in it that it takes from others, since a service has no file beside
it; and the mistakes that a service tells at their places in these files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from trainer.client.answers import Sent
from trainer.errors import Problem, SpecError
from trainer.spec.changes import OPTION, parts_of, with_changes
from trainer.spec.declaration import in_order
from trainer.spec.defaults import with_defaults
from trainer.spec.document import List, Map, Node, Scalar, locate, plain, value_at
from trainer.spec.document import Path as Place
from trainer.spec.emit import to_yaml
from trainer.spec.explain import UNKNOWN_KEY
from trainer.spec.loader import is_sweep
from trainer.spec.reading import Document, read_root
from trainer.spec.schema import Spec
from trainer.sweeps.base import with_spec
from trainer.sweeps.declaration import SweepSpec


class Whole(NamedTuple):
    """The tree of a spec or a sweep from the file `file`, whose paths are relative to `folder`;
    what is wrong so far; and the text of the file, where that is all of it.
    """

    root: Map
    file: str
    folder: Path
    problems: list[Problem]
    text: str | None = None

    def apart(self) -> Whole:
        """What is sent as the tree says it. Raises `SpecError` where something is wrong already."""
        if self.problems:
            raise SpecError(in_order(self.problems, self.file))
        return self._replace(text=None)

    def sent(self) -> tuple[str, Sent]:
        """The text that is sent, and where it is from."""
        if self.text is not None:
            return self.text, Sent(self.file, self.text)
        values = plain(self.root)
        assert isinstance(values, dict)
        return to_yaml(values), Sent(self.file, here=partial(_here, self.root))


def read_whole(text: str, file: str, changes: Sequence[str] | None = None) -> Whole:
    """What the text of a file declares: with the values of its `defaults`, those of a sweep's spec
    in the place of its path, and changes. Raises `SpecError` where something is wrong with one of
    the files before its values are looked at.
    """
    own = Document(*read_root(text, file, None), text, file)
    read = with_defaults(own, SweepSpec | Spec)
    named = is_sweep(read.root) and isinstance(value_at(read.root, ["spec"]), Scalar)
    folder = Path(file).parent
    if read is own and not changes and not named:
        return Whole(own.root, file, folder, own.problems, text)  # the service tells all mistakes
    if is_sweep(read.root):
        root, problems, _ = with_spec(read.root, file, changes, OPTION)
        root = Map(root.mark, dict(root.entries))
        if "spec_file" in root.entries:
            folder = (folder / str(plain(root.entries.pop("spec_file")[1]))).parent
    else:
        root, problems = with_changes(read.root, changes)
    return Whole(root, file, folder, [*read.problems, *problems]).apart()


# Mistakes ---------------------------------------------------------------------------------------


def _here(root: Map, problem: Problem) -> Problem:
    """The problem at its place in the files that the document is from."""
    path = _place(root, problem.path)
    key = problem.message == UNKNOWN_KEY
    mark = locate(root, path, key=key)
    return mark.problem(problem.path, problem.message, problem.hint, code=problem.code)


def _place(root: Map, shown: str) -> Place:
    """The keys and numbers on the way to a value, as a message writes them."""
    path: list[str | int] = []
    node: Node | None = root
    for part in parts_of(shown) if shown else ():
        if isinstance(node, List) and part.isdecimal():
            path.append(int(part))
            node = node.items[int(part)] if int(part) < len(node.items) else None
        else:
            path.append(part)
            node = node.entries.get(part, (None, None))[1] if isinstance(node, Map) else None
    return tuple(path)
