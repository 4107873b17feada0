"""A spec is told all of its mistakes before it is queued, or what it will take."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from trainer.engine import choose_engine
from trainer.errors import DataError, Problem, SpecError, UsageError
from trainer.network.cost import epoch_operations
from trainer.network.magnitudes import check_magnitudes
from trainer.network.summary import layer_rows
from trainer.runs.known import Decided, find_known
from trainer.runs.prepare import Prepared
from trainer.service.naming import Belongings, Naming, check_space, files_of, refused
from trainer.service.records import Cost, Kind
from trainer.service.sending import UPLOADS, with_uploads
from trainer.service.settings import Settings
from trainer.spec.declaration import in_order
from trainer.spec.document import Map
from trainer.spec.loader import is_sketch, is_sweep
from trainer.spec.reading import read_root
from trainer.spec.schema import Spec
from trainer.sweeps.checking import NUMBERS_ALONE, check_trials
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.folds import plan_folds
from trainer.workers.shelf import Shelf, are_settled, identity

ALONE: Final = ("spec", "defaults", "spec.defaults")
"""Keys that would name a file: where one does, this alone is told, and nothing is looked for."""
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
        data = settings.data_folder.absolute() if settings.data_folder else None
        self._naming = Naming(self._runs / UPLOADS, data, belongings)
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
    ) -> Checked:
        """What is known of a spec, in YAML, which JSON is too.

        Raises `SpecError` and `DataError` with all mistakes at their lines, and `UsageError` for
        options that do not fit the kind.
        """
        try:
            return self._check(text, user, kind, options or {})
        except (SpecError, DataError) as error:
            raise self._naming.cleaned(error) from None

    def _check(
        self, text: str, user: str, kind: Kind | None, options: Mapping[str, Any]
    ) -> Checked:
        root, problems = read_root(text, LABEL, None)
        kind = _kind(root, kind, options)
        sent = with_uploads(
            root, self._naming.uploads, lambda sha256: self._belongings.upload(user, sha256)
        )
        file = str(self._naming.folder(sent.names) / LABEL)
        problems = [*problems, *sent.problems, *refused(root)]
        if kind == "sweep":
            sweep = _whole(SweepSpec, sent.root, problems, file, text)
            check_space(sweep)
            found = self._naming.checked(sweep.base, sent.names, user)
            if found.model.init_from != sweep.base.model.init_from:
                where = ("model", "init_from", "run")
                raise SpecError(
                    sweep.base.problem(where, "expected the whole id of a job", code="TR-V019")
                )
            return self._sweep(sweep, file, text)
        spec = _whole(Spec, sent.root, problems, file, text)
        spec = self._naming.checked(spec, sent.names, user)
        checked = self._train(spec, file, text, user)
        return checked if kind == "train" else self._folds(checked, spec, options)

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
        fits = self._known_fits.get(key) if key is not None else None
        if fits is None:
            fits = Fits.of(self._shelf.prepare(spec))
            if len(self._known_fits) >= FITS:
                self._known_fits.clear()
            if key is not None:
                self._known_fits[key] = fits
        return fits

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
            raise UsageError(
                f"the spec declares a sweep, which cannot be done as '{kind}'", code="TR-S026"
            )
        found: Kind = "sweep"
    elif is_sketch(root):
        raise SpecError(Problem(
            "", "this is a graph without data, which cannot be trained", "add `data` and `sgd`",
            file=LABEL,
            code="TR-S026",
        ))  # fmt: skip
    elif kind == "sweep":
        raise UsageError("the spec declares one run, no sweep: it has no `space`", code="TR-S026")
    else:
        found = kind or ("crossval" if options.get("folds") else "train")
    if options.get("folds") is not None and found != "crossval":
        raise UsageError(
            f"`folds` belongs to a cross-validation, and this is '{found}'", code="TR-V012"
        )
    return found


D = TypeVar("D", Spec, SweepSpec)


def _whole(kind: type[D], root: Map, problems: list[Problem], file: str, text: str) -> D:
    """What the document declares. Raises `SpecError` with every mistake in it."""
    if any(problem.path in ALONE for problem in problems):
        raise SpecError(in_order(problems, LABEL))
    return kind.from_document(root, problems, file=file, text=text)


def _bytes(spec: Spec) -> int:
    """Of the files of a spec's data."""
    with suppress(OSError):
        return sum(path.stat().st_size for path in files_of(spec))
    return 0
