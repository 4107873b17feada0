"""What a spec that is sent may name: data that are bundled, drawn, in the spec, sent to the
service, or below its one folder of data; no other path, no link, no other store, no run of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, Final, Protocol

from trainer.data.misfits import MisfitError
from trainer.errors import DataError, Problem, SpecError
from trainer.service.sending import PARTS, without_folders
from trainer.spec.changes import parts_of
from trainer.spec.document import Map
from trainer.spec.document import Path as Place
from trainer.spec.fields import as_tuple
from trainer.spec.schema import Spec
from trainer.spec.sources import FileSource, NpySource
from trainer.sweeps.declaration import SweepSpec
from trainer.workers.shelf import data_files

NOT_OURS: Final = "this file is none that the service may read"
FILES: Final = (("data", "source"), *(("data", part) for part in PARTS), ("model", "init_from"))
"""Where a spec names files and runs."""


class Belongings(Protocol):
    """What users have."""

    def run(self, user: str, name: str) -> str | None:
        """The whole id of a run with this beginning, if it is that of a job of this user."""

    def upload(self, user: str, sha256: str) -> bool:
        """Whether this user has sent all of a file."""


class Naming:
    """What specs may name, whose uploads are in one folder, and which may name files in another, if
    there is one.
    """

    def __init__(self, uploads: Path, data: Path | None, belongings: Belongings) -> None:
        self.uploads, self._data, self._belongings = uploads, data, belongings

    def folder(self, sent: list[str]) -> Path:
        """The folder that paths of a spec are relative to, which names these uploads."""
        return self.uploads if sent or self._data is None else self._data

    def checked(self, spec: Spec, sent: list[str], user: str) -> Spec:
        """The spec, all of whose files are where they may be. Raises `SpecError`.

        What may not be named is not even looked for.
        """
        places, folder = [*_places(spec)], self.folder(sent)
        wrong = [at for at, path in places if path not in sent and not self._may_be(path, folder)]
        if not wrong and self._data is not None:
            wrong = [("data",) for path in files_of(spec) if not self._is_ours(path, sent)]
        problems = [
            spec.problem(at, NOT_OURS, self._hint, code="TR-V019") for at in dict.fromkeys(wrong)
        ]
        start = spec.model.init_from
        if start is not None and start.run is not None:
            run = self._belongings.run(user, start.run)
            where = ("model", "init_from", "run")
            if run is None:
                problems.append(spec.problem(where, "no job of yours has this id", code="TR-V006"))
            elif not problems:
                spec = spec.changed({"model.init_from.run": run})
        if problems:
            raise SpecError(problems)
        return spec

    @property
    def _hint(self) -> str:
        hint = "send it (train upload FILE) and name it {upload: SHA-256, as: csv}"
        return hint if self._data is None else f"name a file of the folder of data, or {hint}"

    def _may_be(self, path: str, folder: Path) -> bool:
        """Whether a path that was written can be one below the folder of data."""
        strange = path.startswith("~") or "://" in path or ".." in PurePath(path).parts
        return folder == self._data and not strange and not PurePath(path).is_absolute()

    def _is_ours(self, path: Path, sent: list[str]) -> bool:
        """Whether a file that was found is no link, and lies behind none."""
        assert self._data is not None
        if path.name in sent and path.parent == self.uploads:
            return True
        if not path.is_relative_to(self._data):
            return False
        return path.resolve() == self._data.resolve() / path.relative_to(self._data)

    def cleaned(self, error: SpecError | DataError) -> SpecError | DataError:
        """The error without the folders of this machine."""
        return type(error)([
            replace(
                problem, message=self._shown(problem.message), hint=self._shown(problem.hint),
                file=self._shown(problem.file),
            )
            for problem in error.problems
        ])  # fmt: skip

    def _shown(self, text: Any) -> Any:
        return text and without_folders(text, filter(None, (self.uploads, self._data)))


def refused(root: Map) -> Iterator[Problem]:
    """What a document cannot ask of a service: another store, and files beside it."""
    if "defaults" in root.entries:
        message = "the service has no file beside this one"
        hint = "send it from its file, as `train submit` does: with all values in it"
        yield root.entries["defaults"][0].problem("defaults", message, hint, code="TR-V019")
    tracking = root.entries.get("tracking")
    if tracking is not None and isinstance(tracking[1], Map) and "uri" in tracking[1].entries:
        mark = tracking[1].entries["uri"][0]
        message = "the service records all runs in its own store"
        yield mark.problem("tracking.uri", message, "leave it out", code="TR-V019")
    spec = root.entries.get("spec")
    if spec is not None:
        if not isinstance(spec[1], Map):
            message = "the service has no file beside the sweep"
            hint = "write the values of the spec in its place"
            yield spec[0].problem("spec", message, hint, code="TR-V019")
        else:
            yield from (replace(p, path=f"spec.{p.path}") for p in refused(spec[1]))
    if "spec_file" in root.entries:
        mark = root.entries["spec_file"][0]
        yield mark.problem(
            "spec_file", "the service has no file beside the sweep", "leave it out", code="TR-V019"
        )


def check_space(sweep: SweepSpec) -> None:
    """Raises `SpecError` for keys that would have trials name files or runs, each of its own."""
    problems = []
    for key in sweep.space:
        parts = tuple(parts_of(key))
        if any(parts[:2] == place[: len(parts)] for place in FILES):
            message = "in a service the trials of a sweep have one source of data and one beginning"
            at = ("space", key)
            problems.append(
                sweep.problem(at, message, "submit a sweep for each", key=True, code="TR-V019")
            )
    if problems:
        raise SpecError(problems)


def _places(spec: Spec) -> Iterator[tuple[Place, str]]:
    """Every path of a file in the spec as it is written, and where it stands."""
    data, source = spec.data, spec.data.source
    if isinstance(source, FileSource):
        yield from ((("data", "source", source.tag()), path) for path in source.paths)
    if isinstance(source, NpySource):
        yield from ((("data", "source", "y"), path) for path in as_tuple(source.y))
    for part in PARTS:
        yield from ((("data", part), path) for path in as_tuple(getattr(data, part) or ()))
    start = spec.model.init_from
    if start is not None and start.file is not None:
        yield ("model", "init_from", "file"), start.file


def files_of(spec: Spec) -> list[Path]:
    """The files of a spec's data; none where one is not there, which is told when it is read."""
    with suppress(OSError, ValueError, MisfitError):
        return [*data_files(spec)]
    return []
