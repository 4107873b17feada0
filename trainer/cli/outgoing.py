"""A spec on its way to a service: with the changes of `--set`, and files that were sent under their
hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from trainer.client.specs import Written
from trainer.client.whole import read_whole
from trainer.data.misfits import MisfitError
from trainer.data.reading.files import KINDS, find_files, suffix_of
from trainer.data.reading.packed import COMPRESSED
from trainer.errors import DataError
from trainer.spec.changes import as_tree
from trainer.spec.document import Map, Scalar, locate, plain, show_path
from trainer.spec.document import Path as Place
from trainer.spec.reading import read_text

Send = Callable[[Path], str]
"""Sends a file; its hash."""
PARTS: Final = ("validation", "test")
"""Keys of `data` that name files, too."""


def outgoing(config: Path, changes: Sequence[str] | None, send: Send | None) -> Written:
    """What to send of a spec's file. Raises `SpecError` for one that cannot be read, and
    `DataError` for files that it names and that are not there.
    """
    whole = read_whole(read_text(config), str(config), changes)
    if send is not None:
        whole = whole.apart()
        _Files(whole.root, whole.folder, send).put_in_place()
    return Written(*whole.sent())


# Files ------------------------------------------------------------------------------------------


class _Files:
    """Sends the files that a document names, and names them by their hashes there."""

    def __init__(self, root: Map, folder: Path, send: Send) -> None:
        self._root, self._folder, self._send = root, folder, send
        self._sent: dict[Path, str] = {}

    def put_in_place(self) -> None:
        """Works on a spec, on a sweep with the parts of one, and on one with a whole spec. Raises
        `DataError`.
        """
        spec = self._root.entries.get("spec")
        for root, before in ((self._root, ()), (spec and spec[1], ("spec",))):
            data = root.entries.get("data") if isinstance(root, Map) else None
            if data is not None and isinstance(data[1], Map):
                self._of_data(data[1], (*before, "data"))

    def _of_data(self, data: Map, place: Place) -> None:
        source = data.entries.get("source", (None, None))[1]
        kind = _kind(source)
        if kind is None or not isinstance(source, Map):
            return
        for key in (kind, "y"):
            if key in source.entries:
                self._replace(source, key, kind, (*place, "source"))
        for part in PARTS:
            if part in data.entries:
                self._replace(data, part, kind, place)

    def _replace(self, parent: Map, key: str, kind: str, place: Place) -> None:
        """Puts files that were sent in the place of the paths of a key."""
        key_mark, node = parent.entries[key]
        paths = [plain(node)] if isinstance(node, Scalar) else plain(node)
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            return  # a mistake that the service tells, or a file that was sent
        place = (*place, key)
        with self._told(place):
            found = find_files([str(path) for path in paths], self._folder, place, kind)
        if any(file.keys for file in found):
            message = "columns that the names of folders hold do not come along"
            raise DataError(
                key_mark.problem(show_path(place), message, "make columns of them", code="TR-V019")
            )
        uploads = [self._upload(file.path, kind) for file in found]
        value = as_tree(uploads[0] if len(uploads) == 1 else uploads, node.mark)
        parent.entries[key] = (key_mark, value)

    def _upload(self, file: Path, kind: str) -> Mapping[str, str]:
        if file not in self._sent:
            self._sent[file] = self._send(file)
        return {"upload": self._sent[file], "as": _ending(file, kind)}

    @contextmanager
    def _told(self, place: Place) -> Iterator[None]:
        """What does not fit is told at its place."""
        try:
            yield
        except MisfitError as error:
            raise DataError([
                replace(locate(self._root, each.path, key=each.key).problem(
                    show_path(each.path), each.message, each.hint, code=each.code
                )) for each in error.misfits
            ]) from None  # fmt: skip


def _kind(source: Any) -> str | None:
    """The key of a source of files."""
    entries = source.entries if isinstance(source, Map) else {}
    return next((key for key in KINDS if key in entries), None)


def _ending(file: Path, kind: str) -> str:
    """What the service is told of the kind of a file: how its name ends, where that says it."""
    packed = next((each for each in COMPRESSED if file.name.lower().endswith(each)), "")
    own = suffix_of(file)
    return f"{own.removeprefix('.') if own in KINDS[kind].suffixes else kind}{packed}"
