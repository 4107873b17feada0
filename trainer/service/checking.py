"""A spec is told all of its mistakes before it is queued, or what it will take.

What a spec may name is decided here, too: data that are bundled, drawn, in the spec, sent to the
service, or below its one folder of data; no other path, no link, no other store, and no run of
somebody else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, Final, Protocol, TypeVar

from trainer.data.misfits import MisfitError
from trainer.engine import choose_engine
from trainer.errors import DataError, Problem, SpecError, UsageError
from trainer.network.cost import epoch_operations
from trainer.network.magnitudes import check_magnitudes
from trainer.network.summary import layer_rows
from trainer.runs.known import Decided, find_known
from trainer.runs.prepare import Prepared
from trainer.service.records import Cost, Kind
from trainer.service.sending import PARTS, UPLOADS, with_uploads, without_folders
from trainer.service.settings import Settings
from trainer.spec.declaration import in_order
from trainer.spec.document import Map
from trainer.spec.document import Path as Place
from trainer.spec.fields import as_tuple
from trainer.spec.loader import is_sketch, is_sweep, read_root
from trainer.spec.schema import Spec
from trainer.spec.sources import FileSource, NpySource
from trainer.sweeps.checking import NUMBERS_ALONE, check_trials
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.folds import plan_folds
from trainer.workers.shelf import Shelf, are_settled, data_files, identity

LABEL: Final = "spec.yaml"
"""What a spec that was sent is called in messages."""
CHECK_BYTES: Final = 32 * 2**20
"""Larger data are first read by the worker."""
SHELF: Final = 32
FITS: Final = 512
STEP_SECONDS: Final = 5e-6
SPEED: Final = 3e9
"""Operations a second, until this service has trained something."""
SPEED_SECONDS: Final = 10.0
"""So long it counts, before the store is asked anew."""
START_SECONDS: Final = 0.2

_NOT_OURS: Final = "this file is none that the service may read"


class Belongings(Protocol):
    """What users have."""

    def run(self, user: str, name: str) -> str | None:
        """The whole id of a run with this beginning, if it is that of a job of this user."""

    def upload(self, user: str, sha256: str) -> bool:
        """Whether this user has sent all of a file."""


@dataclass(frozen=True)
class Checked:
    """A spec without mistakes, and what is known of it before it is trained.

    `resolved` are its values with all defaults, whose paths are relative to `file`. `fingerprint`
    names what decides the result, and `known` is the id of this user's run that has it already.
    `layers` are the rows of the model's table: name, activation, shape, parameters. `notes` say
    what is worth knowing.
    """

    kind: Kind
    name: str
    text: str
    resolved: Mapping[str, Any]
    file: str
    fingerprint: str | None = None
    cost: Cost = field(default_factory=Cost)
    epochs: int | None = None
    known: str | None = None
    layers: list[dict[str, Any]] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fits:
    """What is known of a spec once it was held against its data: their hash, the rows of the
    model's table, the steps and the operations of an epoch, bytes of memory.
    """

    data_sha256: str
    layers: tuple[dict[str, Any], ...]
    steps: int
    operations: int
    memory: int
    notes: tuple[str, ...]

    @classmethod
    def of(cls, prepared: Prepared) -> Fits:
        """That of a spec that was prepared."""
        data = prepared.dataset
        measured = 0 if data.validation is None else len(data.validation)
        operations = epoch_operations(
            prepared.training, len(data.train), prepared.batch_size, measured
        )
        names = ("name", "activation", "shape", "parameters")
        rows = layer_rows(prepared.spec, prepared.model)
        return cls(
            data.sha256, tuple(dict(zip(names, row, strict=True)) for row in rows),
            prepared.steps_per_epoch, operations, prepared.memory.total, tuple(data.notes),
        )  # fmt: skip


class Checker:
    """Checks specs; data that were read for one are kept for the next."""

    def __init__(
        self, settings: Settings, belongings: Belongings, speed: Callable[[], float | None]
    ) -> None:
        self._runs = settings.runs.absolute()
        self._uploads = self._runs / UPLOADS
        self._data = settings.data_folder.absolute() if settings.data_folder else None
        self._belongings, self._speed = belongings, speed
        self._speed_is: float | None = None
        self._speed_until = 0.0
        self._shelf = Shelf(most=SHELF)
        self._known_fits: dict[str, Fits] = {}

    def check(
        self,
        text: str,
        user: str,
        kind: Kind | None = None,
        options: Mapping[str, Any] | None = None,
        json: bool = False,
    ) -> Checked:
        """What is known of a spec, in YAML or `json`, which is YAML too.

        Raises `SpecError` and `DataError` with all mistakes at their lines, and `UsageError` for
        options that do not fit the kind.
        """
        try:
            return self._check(text, user, kind, options or {})
        except (SpecError, DataError) as error:
            raise self._cleaned(error) from None

    def _check(
        self, text: str, user: str, kind: Kind | None, options: Mapping[str, Any]
    ) -> Checked:
        root, problems = read_root(text, LABEL, None)
        kind = _kind(root, kind, options)
        sent = with_uploads(
            root, self._uploads, lambda sha256: self._belongings.upload(user, sha256)
        )
        folder = self._uploads if sent.names or self._data is None else self._data
        file = str(folder / LABEL)
        problems = [*problems, *sent.problems, *_refused(root)]
        if kind == "sweep":
            sweep = _whole(SweepSpec, sent.root, problems, file, text)
            self._check_paths(sweep.base, folder, sent.names, user)
            return self._sweep(sweep, file, text)
        spec = _whole(Spec, sent.root, problems, file, text)
        spec = self._check_paths(spec, folder, sent.names, user)
        checked = self._train(spec, file, text, user)
        return checked if kind == "train" else self._folds(checked, spec, options)

    # What may be named ----------------------------------------------------------------------

    def _check_paths(self, spec: Spec, folder: Path, sent: list[str], user: str) -> Spec:
        """The spec, all of whose files are where they may be. Raises `SpecError`.

        What may not be named is not even looked for.
        """
        places = [*_places(spec)]
        wrong = [at for at, path in places if path not in sent and not self._may_be(path, folder)]
        if not wrong and self._data is not None:
            wrong = [("data",) for path in _found(spec) if not self._is_ours(path, sent)]
        problems = [spec.problem(at, _NOT_OURS, self._hint) for at in dict.fromkeys(wrong)]
        start = spec.model.init_from
        if start is not None and start.run is not None:
            run = self._belongings.run(user, start.run)
            where = ("model", "init_from", "run")
            if run is None:
                problems.append(spec.problem(where, "no job of yours has this id"))
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
        if path.name in sent and path.parent == self._uploads:
            return True
        if not path.is_relative_to(self._data):
            return False
        return path.resolve() == self._data.resolve() / path.relative_to(self._data)

    def _cleaned(self, error: SpecError | DataError) -> SpecError | DataError:
        """The error without the folders of this machine."""
        return type(error)([
            replace(
                problem, message=self._shown(problem.message), hint=self._shown(problem.hint),
                file=self._shown(problem.file),
            )
            for problem in error.problems
        ])  # fmt: skip

    def _shown(self, text: Any) -> Any:
        return text and without_folders(text, filter(None, (self._uploads, self._data)))

    # What it takes --------------------------------------------------------------------------

    def _train(self, spec: Spec, file: str, text: str, user: str) -> Checked:
        checked = Checked("train", spec.name, text, spec.resolved(), file, epochs=spec.sgd.epochs)
        if spec.data.stream or _bytes(spec) > CHECK_BYTES:
            return replace(checked, notes=("the data are large: a worker checks them",))
        check_magnitudes(spec)
        fits = self._fits(spec)
        decided = Decided(spec.sha256, fits.data_sha256, choose_engine("auto"))
        epochs = spec.sgd.epochs
        return replace(
            checked, fingerprint=decided.key, known=self._known(decided, user), notes=fits.notes,
            layers=[dict(row) for row in fits.layers],
            cost=self._of(epochs * fits.steps, epochs * fits.operations, fits.memory),
        )  # fmt: skip

    def _fits(self, spec: Spec) -> Fits:
        """What is known of the spec with its data. The same comes again and again, with other
        names, rates and seeds, and is not worked out for each of them. (What goes wrong with the
        split of one seed alone, as a class of which no row trains, is told by the worker.)
        """
        key = self._key(spec)
        if key is None or key not in self._known_fits:
            fits = Fits.of(self._shelf.prepare(spec))
            if key is None:
                return fits
            if len(self._known_fits) >= FITS:
                self._known_fits.clear()
            self._known_fits[key] = fits
        return self._known_fits[key]

    def _key(self, spec: Spec) -> str | None:
        """What all of that depends on; None where it cannot be told."""
        files = identity(spec)
        if files is None or not are_settled(files):
            return None
        values = spec.resolved()
        for name in ("name", "seed", "tracking"):
            values.pop(name, None)
        values["sgd"] = {k: v for k, v in values["sgd"].items() if k not in NUMBERS_ALONE}
        values["sgd"]["momentum"] = spec.sgd.momentum > 0
        return json.dumps([spec.file, files, values], default=str)

    def _known(self, decided: Decided, user: str) -> str | None:
        """The user's run that has trained the same."""
        run = find_known(self._runs, decided)
        if run is None or run.id is None:
            return None
        return self._belongings.run(user, run.id)

    def _of(self, steps: int, operations: int, memory: int, runs: int = 1) -> Cost:
        speed = self._present_speed() or SPEED
        seconds = runs * START_SECONDS + steps * STEP_SECONDS + operations / speed
        return Cost(steps, operations, memory, round(seconds, 2))

    def _present_speed(self) -> float | None:
        if time.monotonic() >= self._speed_until:
            self._speed_is, self._speed_until = self._speed(), time.monotonic() + SPEED_SECONDS
        return self._speed_is

    def _folds(self, one: Checked, spec: Spec, options: Mapping[str, Any]) -> Checked:
        plan = plan_folds(spec, options.get("folds"))
        count, cost = len(plan.specs), one.cost
        if cost.steps is not None and cost.operations is not None and cost.bytes is not None:
            cost = self._of(count * cost.steps, count * cost.operations, cost.bytes, count)
        return replace(
            one, kind="crossval", cost=cost, epochs=count, known=None, fingerprint=None,
            options={"folds": count},
        )  # fmt: skip

    def _sweep(self, sweep: SweepSpec, file: str, text: str) -> Checked:
        trials = check_trials(sweep, self._shelf)
        sizes = trials.sizes or trials.edges
        count, looked = sweep.planned, max(len(sizes), 1)
        steps = sum(size.steps * size.epochs for size in sizes) * count // looked
        operations = sum(size.operations * size.epochs for size in sizes) * count // looked
        memory = max((size.memory for size in sizes), default=0)
        cost = self._of(steps, operations, memory, count)
        return Checked(
            "sweep", sweep.name, text, sweep.resolved(), file, cost=cost, epochs=count
        )  # fmt: skip


def _kind(root: Map, kind: Kind | None, options: Mapping[str, Any]) -> Kind:
    """What is to be done with a document. Raises `UsageError` where it does not fit."""
    if is_sweep(root):
        if kind not in (None, "sweep"):
            raise UsageError(f"the spec declares a sweep, which cannot be done as '{kind}'")
        found: Kind = "sweep"
    elif is_sketch(root):
        raise SpecError(Problem(
            "", "this is a graph without data, which cannot be trained", "add `data` and `sgd`",
            file=LABEL,
        ))  # fmt: skip
    elif kind == "sweep":
        raise UsageError("the spec declares one run, no sweep: it has no `space`")
    else:
        found = kind or ("crossval" if options.get("folds") else "train")
    if options.get("folds") is not None and found != "crossval":
        raise UsageError(f"`folds` belongs to a cross-validation, and this is '{found}'")
    return found


def _refused(root: Map) -> Iterator[Problem]:
    """What a spec cannot ask of a service: another store, and files beside it."""
    tracking = root.entries.get("tracking")
    if tracking is not None and isinstance(tracking[1], Map) and "uri" in tracking[1].entries:
        mark = tracking[1].entries["uri"][0]
        message = "the service records all runs in its own store"
        yield mark.problem("tracking.uri", message, "leave it out")
    spec = root.entries.get("spec")
    if spec is not None:
        if not isinstance(spec[1], Map):
            message = "the service has no file beside the sweep"
            hint = "write the values of the spec in its place"
            yield spec[0].problem("spec", message, hint)
        else:
            yield from (replace(p, path=f"spec.{p.path}") for p in _refused(spec[1]))
    if "spec_file" in root.entries:
        mark = root.entries["spec_file"][0]
        yield mark.problem("spec_file", "the service has no file beside the sweep", "leave it out")


D = TypeVar("D", Spec, SweepSpec)


def _whole(kind: type[D], root: Map, problems: list[Problem], file: str, text: str) -> D:
    """What the document declares. Raises `SpecError` with every mistake in it."""
    refused = [p for p in problems if p.path == "spec"]
    if refused:  # its file must not even be looked for
        raise SpecError(in_order(problems, LABEL))
    return kind.from_document(root, problems, file=file, text=text)


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


def _bytes(spec: Spec) -> int:
    """Of the files of a spec's data."""
    with suppress(OSError):
        return sum(path.stat().st_size for path in _found(spec))
    return 0


def _found(spec: Spec) -> list[Path]:
    """The files of a spec's data; none where one is not there, which is told when it is read."""
    with suppress(OSError, ValueError, MisfitError):
        return [*data_files(spec)]
    return []
