"""A sweep: what one YAML file says of many runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from pydantic import Field, GetJsonSchemaHandler, ValidationError, field_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from trainer.errors import DataError, Problem, SpecError, UsageError
from trainer.spec.changes import OPTION, Changes
from trainer.spec.declaration import Declaration, in_order, located
from trainer.spec.defaults import read_document
from trainer.spec.described import said_of
from trainer.spec.document import Map, plain
from trainer.spec.explain import UNKNOWN_KEY
from trainer.spec.fields import Name, OneOf, wrong
from trainer.spec.loader import is_sweep
from trainer.spec.messages import describe, near
from trainer.spec.schema import Spec, TrackingSpec
from trainer.sweeps.base import PARTS, base_of, key_problems, with_spec
from trainer.sweeps.blame import blame, told_once
from trainer.sweeps.settings import (
    MOST_TRIALS,
    BudgetSpec,
    HalvingSpec,
    ObjectiveSpec,
    Search,
    unmeasured,
)
from trainer.sweeps.space import DimensionSpec, count_points, edges

E = TypeVar("E", bound=SpecError | DataError)

SLOTS: Final = 8
MOST_SLOTS: Final = 10_000


class SweepSpec(Declaration):
    """The validated content of a sweep's YAML file. It alone decides the trials and the winner.

    Made by `load_sweep`. `spec` is the run that the trials vary, from its own file or from the
    parts of the sweep's.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("defaults",)
    name: Name
    """What the sweep is called."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Decides what is drawn of the space; and all of a run whose parts stand in the file."""
    spec: Spec
    """The run whose keys vary: the path of its file, relative to the sweep's; or its values. In
    their place `data`, `model`, `sgd` and `evaluation` may stand in the sweep's file."""
    spec_file: Name | None = None
    """Where `spec` has values: the file beside which their data are, by default the sweep's."""
    tracking: TrackingSpec | None = None
    """Where the trials are recorded; by default as the spec says."""
    space: dict[str, DimensionSpec]
    """What varies: keys of the spec as `--set` takes them, and the values of each."""
    search: Search
    """How the values of a trial are chosen."""
    halving: HalvingSpec | None = None
    """Which trials go on; by default each trains to its end."""
    objective: ObjectiveSpec
    """What trials are compared by, of the metrics of an epoch: `val_loss`, or
    `{maximise: val_accuracy}`."""
    slots: Annotated[int, Field(ge=1, le=MOST_SLOTS)] = SLOTS
    """So many trials are in training at a time, by the clock that decides; whatever the number of
    workers is."""
    decide: Annotated[
        Literal["clock", "arrival"], OneOf("a way to decide", ("clock", "arrival"))
    ] = "clock"
    """`clock`: the same trials and the same winner for any number of workers. `arrival`: by what
    is there first, which no one can reproduce."""
    budget: BudgetSpec = BudgetSpec()
    """Where it ends early."""

    @field_validator("space", mode="before")
    @classmethod
    def _some_keys(cls, space: Any) -> Any:
        if not isinstance(space, dict):
            message = f"expected keys of the spec and their values, found {describe(space)}"
            hint = "for example {sgd.learning_rate: {log: [1e-4, 0.3]}}"
            raise wrong(message, hint, code="TR-W001")
        if not space:
            hint = "for example sgd.learning_rate: {log: [1e-4, 0.3]}"
            message = "nothing varies: expected at least one key of the spec"
            raise wrong(message, hint, code="TR-W001")
        return space

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """As a file may be: with the path of the spec, or with its parts in place."""
        found = super().__get_pydantic_json_schema__(schema, handler)
        made = handler.resolve_ref_schema(found)
        keys, required = made["properties"], made["required"]
        spec = keys["spec"]
        parts = handler.resolve_ref_schema(spec)["properties"]
        path = {"type": "string", "minLength": 1}
        keys["spec"] = {"anyOf": [path, {"$ref": spec["$ref"]}], **said_of(spec)}
        required.remove("spec")
        keys |= {part: {k: v for k, v in parts[part].items() if k != "default"} for part in PARTS}
        sgd = dict(handler.resolve_ref_schema(parts["sgd"]))
        del sgd["required"]  # what the space says need not stand there
        keys["sgd"] = {"anyOf": [parts["sgd"], sgd], **said_of(parts["sgd"])}
        return found

    # Reading --------------------------------------------------------------------------------

    @classmethod
    def from_document(
        cls,
        root: Map,
        problems: Iterable[Problem] = (),
        *,
        file: str | None = None,
        text: str | None = None,
        spec_text: str | None = None,
    ) -> Self:
        """The validated sweep of a document; `spec_text` is the text of the spec's own file.

        Raises `SpecError` with every problem that was found, in the sweep's file and in the spec's.
        """
        root, wrong_there, read = with_spec(root, file)
        base = base_of(root, file, spec_text or read)
        found = [*problems, *wrong_there, *base.problems]
        if base.spec is not None:
            found += key_problems(root, base.spec)
        values = {key: plain(node) for key, (_, node) in root.entries.items() if key not in PARTS}
        try:
            made = cls.model_validate({**values, "spec": base.spec})
        except ValidationError as error:
            others = located(error, cls, root, values)
            # what is wrong with the spec is told already
            found += [_near_part(each) for each in others if each.path != "spec"]
            raise SpecError(in_order(found, file)) from None
        made._keep(root, file, text)
        found = found or made.faults()
        if found:
            raise SpecError(in_order(found, file))
        return made

    @classmethod
    def files_in(cls, root: Map) -> Iterator[tuple[Map, str]]:
        """Where a document names files: the mappings, and their keys; but for those of a spec in
        place that are relative to another file.
        """
        yield from ((root, key) for key in ("spec", "spec_file") if key in root.entries)
        spec = root.entries.get("spec", (None, None))[1]
        if isinstance(spec, Map) and "spec_file" not in root.entries:
            yield from Spec.files_in(spec)

    def changed(self, changes: Changes) -> Self:
        """The sweep with other values; keys such as `sgd.epochs` are those of its spec. See
        `Declaration.changed`.
        """
        root, problems, read = with_spec(self.document, self.file, changes)
        text = read or (self.base.text if self.spec_file else None)
        return self.from_document(root, problems, file=self.file, text=self.text, spec_text=text)

    def resolved(self) -> dict[str, Any]:
        """All values of the sweep with every default filled in, as plain JSON values; and of the
        spec those that were written, since a trial may find others anew: another activation brings
        its own `init`.
        """
        own = self.model_dump(mode="json", by_alias=True, exclude={"spec"})
        return {
            "name": own.pop("name"),
            "seed": own.pop("seed"),
            "spec": self.base.written(),
            **own,
        }

    # What it decides ------------------------------------------------------------------------

    @property
    def base(self) -> Spec:
        """The run that the trials vary, as it is without them."""
        return self.spec

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that vary, in the order of the file."""
        return tuple(self.space)

    @property
    def planned(self) -> int:
        """How many trials there will be."""
        trials = self.search.trials
        if self.search.method != "grid":
            assert trials is not None
            return trials
        points = count_points(self.space)
        return points if trials is None else min(points, trials)

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which trials are compared; the last is the spec's `sgd.epochs`."""
        epochs, found = self.base.sgd.epochs, []
        if self.halving is not None:
            rung = self.halving.first
            while rung < epochs:
                found.append(rung)
                rung *= self.halving.factor
        return (*found, epochs)

    @property
    def sha256(self) -> str:
        """The fingerprint of what decides trials and results: SHA-256, as canonical JSON, of the
        values of the sweep without `name`, `tracking` and `budget`; for the spec stand the
        fingerprints of the trials at the edges of the space.
        """
        own = self.model_dump(
            mode="json", by_alias=True, exclude={"name", "tracking", "spec", "spec_file", "budget"}
        )
        trials = [self.base.changed(values).sha256 for values in edges(self.space)]
        decisive = own | {"trials": trials}
        text = json.dumps(decisive, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def trial(self, values: Mapping[str, Any], number: int | None = None) -> Spec:
        """The run with these values at the keys of the space, in the experiment of the others; it
        is called after the sweep and its number. Raises `SpecError`, located in the sweep's file.
        """
        name = self.name if number is None else f"trial {number} of {self.name[:180]}"
        experiment = self.base.tracking.experiment or self.base.name
        where = {"name": name, "tracking.experiment": experiment}
        try:
            spec = self.base.changed({**where, **values})
        except SpecError as error:
            raise self.blamed(error, values) from None
        problem = self._unmeasured(spec)
        if problem is not None:
            if self._unmeasured(self.base) is None:  # it is a value of the space that does it
                raise SpecError(blame(self, self.space, problem, values))
            at = ("objective", self.objective.tag())
            raise SpecError(self.problem(at, problem.message, problem.hint, code=problem.code))
        return spec

    # What is wrong --------------------------------------------------------------------------

    def faults(self) -> list[Problem]:
        """What is wrong beyond the values of single fields, trials at the edges of the space among
        it.
        """
        found = [*self._endless(), *self._halving_faults()]
        for values in edges(self.space):
            try:
                self.trial(values)
            except SpecError as error:
                found += error.problems
        return told_once(found)

    def _endless(self) -> Iterator[Problem]:
        """What keeps a grid from having an end."""
        if self.search.method != "grid":
            return
        endless = [key for key, each in self.space.items() if each.is_endless]
        for key in endless:
            message = "a grid needs to know how many values to take"
            yield self.problem(
                ("space", key), message, "write for example steps: 5", key=True, code="TR-W006"
            )
        if not endless and self.planned > MOST_TRIALS:
            message = f"the grid has {count_points(self.space):,} points"
            hint = f"a sweep has at most {MOST_TRIALS:,} trials; write trials, or search at random"
            yield self.problem(("search",), message, hint, key=True, code="TR-W006")

    def _halving_faults(self) -> Iterator[Problem]:
        epochs = self.base.sgd.epochs
        if self.halving is not None and self.halving.first >= epochs:
            message = f"the first rung is at epoch {self.halving.first}, and a trial has {epochs}"
            hint = "make it sooner" if epochs > 1 else "leave halving out"
            yield self.problem(("halving", "from"), message, hint, code="TR-W007")

    def _unmeasured(self, spec: Spec) -> Problem | None:
        """That trials of this spec have no objective; the path is what of the spec it is due to."""
        found = unmeasured(self.objective.objective.metric, spec)
        if found is None:
            return None
        place = f" in {self.base.file}" if self.spec_file and self.base.file else ""
        in_spec = place if found.hint and found.hint.startswith("write") else ""
        return replace(found, hint=f"{found.hint}{in_spec}")

    def blamed(self, error: E, values: Mapping[str, Any]) -> E:
        """The error of a trial of these values with its problems at the keys of the space."""
        return type(error)([blame(self, self.space, each, values) for each in error.problems])


def _near_part(problem: Problem) -> Problem:
    """An unknown key of the sweep may be meant as a part of its spec."""
    hint = near(problem.path, PARTS) if problem.message == UNKNOWN_KEY else None
    return replace(problem, hint=hint) if hint else problem


def load_sweep(path: str | FilePath, overrides: Changes | None = None) -> SweepSpec:
    """The validated sweep in the YAML file `path`.

    `overrides` are as those of `load_spec`: keys of the sweep (`search.trials`), or of the spec
    that it varies (`sgd.epochs`). Raises `SpecError` with every problem that was found, in both
    files and in those that their `defaults` name, and `UsageError` for overrides that are not of
    this form and for a file that declares one run.
    """
    root, problems, text, file = read_document(path, SweepSpec | Spec)
    if not is_sweep(root) and "sgd" in root.entries:
        raise UsageError(
            f"{file} declares one run, no sweep\n  hint: train run {file}", code="TR-S026"
        )
    root, found, spec_text = with_spec(root, file, overrides, label=OPTION)
    return SweepSpec.from_document(
        root, [*problems, *found], file=file, text=text, spec_text=spec_text
    )
