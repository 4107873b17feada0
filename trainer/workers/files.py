"""The files that a run reads, on their way to a machine that has them not."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final

from trainer.data import Dataset, Reading
from trainer.runs.prepare import Prepared
from trainer.spec.fields import as_tuple
from trainer.spec.schema import Spec
from trainer.spec.sources import FileSource
from trainer.training import Listener, nobody
from trainer.workers.shelf import Shelf, data_files

MOST_BYTES: Final = 2**32
"""Of files that a worker keeps; those of the run that it trains are there in any case."""


@dataclass(frozen=True)
class Needed:
    """The files that a spec reads: the SHA-256 of each by its absolute path where they belong, and
    the absolute folder of the spec.
    """

    folder: str
    files: Mapping[str, str]

    @property
    def key(self) -> str:
        """A name for these files in these places."""
        return hashlib.sha256(repr(sorted(self.files.items())).encode()).hexdigest()[:32]


# Where they belong ------------------------------------------------------------------------------


class Source:
    """What files specs need, and what is in them; a file is hashed once, as long as it is the
    same.
    """

    def __init__(self) -> None:
        self._hashes: dict[tuple[str, int, int, int, int], str] = {}
        self._paths: dict[str, Path] = {}

    def needed(self, spec: Spec) -> Needed:
        """The files that the spec reads. Raises what reading them raises where they are not
        there.
        """
        folder = Path(spec.file).parent.absolute() if spec.file else Path.cwd()
        paths = [*data_files(spec)]
        start = spec.model.init_from
        if start is not None and start.file is not None:
            paths.append(folder / start.file)
        return Needed(str(folder), {_place(path): self._hash(path) for path in paths})

    def _hash(self, path: Path) -> str:
        about = os.stat(path)
        key = (_place(path), about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino)
        if key not in self._hashes:
            with path.open("rb") as file:
                self._hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
        self._paths[self._hashes[key]] = path
        return self._hashes[key]

    def contents(self, hashes: Iterable[str]) -> dict[str, bytes]:
        """The files with these hashes. Raises `OSError`."""
        return {sha256: self._paths[sha256].read_bytes() for sha256 in hashes}


def _place(path: Path) -> str:
    return os.path.normpath(path.absolute())


# Where they are needed --------------------------------------------------------------------------


class Store:
    """The files that a worker keeps, in a folder of its own."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._users = 0
        self._guard = Lock()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Nothing is dropped meanwhile; what is too much is dropped when nobody uses it."""
        with self._guard:
            self._users += 1
        try:
            yield
        finally:
            with self._guard:
                self._users -= 1
                if not self._users and self._bytes() > self._most_bytes:
                    for name in ("data", "places"):
                        shutil.rmtree(self._folder / name, ignore_errors=True)

    def _bytes(self) -> int:
        with suppress(OSError):
            return sum(path.stat().st_size for path in (self._folder / "data").iterdir())
        return 0

    def lacks(self, needed: Needed) -> list[str]:
        """The hashes of the files that are not here."""
        hashes = dict.fromkeys(needed.files.values())
        return [sha256 for sha256 in hashes if not (self._folder / "data" / sha256).exists()]

    def add(self, contents: Mapping[str, bytes]) -> None:
        """Keeps files by their hashes. Raises `ValueError` for one that has another hash, and
        `OSError`.
        """
        (self._folder / "data").mkdir(parents=True, exist_ok=True)
        for sha256, data in contents.items():
            if hashlib.sha256(data).hexdigest() != sha256:
                raise ValueError(f"the file {sha256[:16]}… came with other contents")
            _write(self._folder / "data" / sha256, data)

    def place(self, needed: Needed) -> Path:
        """A folder below which the files are as they were below the root of their machine."""
        root = self._folder / "places" / needed.key
        for path, sha256 in needed.files.items():
            here = within(root, path)
            if not here.exists():
                here.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileExistsError):  # another thread was quicker
                    os.link(self._folder / "data" / sha256, here)
        within(root, needed.folder).mkdir(parents=True, exist_ok=True)  # for paths with `..`
        return root


def within(root: Path, path: str) -> Path:
    """An absolute path, below another root."""
    return root / os.path.normpath(path).lstrip("/")


def _write(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)


class Elsewhere(Shelf):
    """Data sets of specs whose files are below another root than where they belong."""

    def __init__(self, root: Path, needed: Needed, shelf: Shelf, origin: Mapping[str, Any]) -> None:
        super().__init__()
        self._root, self._needed, self._shelf = root, needed, shelf
        self.origin_of = lambda _: origin

    def prepare(self, spec: Spec, listen: Listener = nobody) -> Prepared:
        """What `prepare` does, with the files that are here."""
        return replace(super().prepare(spec, listen), here=self.moved(spec))

    def load(self, spec: Spec, told: Reading) -> Dataset:
        """What `load_dataset` does; the places that it tells are those where the files belong."""
        found = self._shelf.load(self.moved(spec), told)
        notes = tuple(note.replace(str(self._root), "") for note in found.notes)
        return replace(found, origin=found.origin.replace(str(self._root), ""), notes=notes)

    def moved(self, spec: Spec) -> Spec:
        """The spec, whose files are those that are here."""
        name = Path(spec.file).name if spec.file else "spec.yaml"
        file = within(self._root, self._needed.folder) / name
        values = spec.resolved()
        data, source = values["data"], values["data"]["source"]
        paths = [(data, "validation"), (data, "test")]
        if isinstance(spec.data.source, FileSource):
            paths += [(source, spec.data.source.tag()), (source, "y")]
        for part, key in paths:
            if part.get(key) is not None:
                part[key] = [self._here(path) for path in as_tuple(part[key])]
        start = values["model"].get("init_from") or {}
        if start.get("file"):
            start["file"] = self._here(start["file"])
        return Spec.from_resolved(values, file=str(file))

    def _here(self, path: str) -> str:
        return str(within(self._root, path)) if path.startswith("/") else path
