"""A sweep's trials as runs: their names, specs, what an epoch of them costs, and their tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.checkpoints.facts import TRIAL_TAG, VALUE_TAG
from trainer.engine import EngineName
from trainer.network.cost import epoch_operations
from trainer.report.choices import written
from trainer.runs.profile import Profile
from trainer.spec.schema import Spec
from trainer.sweeps.course import Place
from trainer.sweeps.declaration import SweepSpec
from trainer.workers.shelf import Shelf
from trainer.workers.task import Task


@dataclass(frozen=True)
class Trials:
    """The trials of a sweep; `sweep` is the id of its folder, and `runs` where theirs are. `again`
    has those trained that were trained before, and `store` is MLflow's address where it is told.
    """

    spec: SweepSpec
    sweep: str
    runs: Path
    profile: Profile
    engine: EngineName
    store: str | None = None
    again: bool = False
    shelf: Shelf = field(default_factory=Shelf)

    def id(self, number: int) -> str:
        """The name of a trial's folder: the same whoever asks, so that it is found again."""
        return hashlib.sha256(f"{self.sweep} {number}".encode()).hexdigest()[:32]

    def folder(self, number: int) -> Path:
        """The folder of a trial."""
        return self.runs / self.id(number)

    def spec_of(self, number: int, values: Mapping[str, Any]) -> Spec:
        """The spec of a trial. Raises `SpecError`."""
        return self.spec.trial(values, number)

    def cost(self, number: int, values: Mapping[str, Any]) -> int:
        """What an epoch of a trial costs in virtual time: the operations of its graph; 1 where no
        decision depends on it. Raises `SpecError` and `DataError`.
        """
        spec, epochs = self.spec_of(number, values), self.spec.rungs[-1]
        if self.spec.halving is None and self.spec.search.method != "tpe":
            return 1
        prepared = self.shelf.prepare(spec)
        rows, batch = len(prepared.dataset.train), prepared.batch_size
        # where the space has `sgd.epochs` the clock knows those of the sweep's spec alone
        validation = prepared.dataset.validation
        measured = 0 if validation is None else len(validation)
        cost = epoch_operations(prepared.training, rows, batch, measured)
        return max(cost * spec.sgd.epochs // epochs, 1)

    def task(self, place: Place) -> Task:
        """What a worker is to do for a trial."""
        spec, profile = self.spec_of(place.number, place.values), self.profile
        shown = {f"{VALUE_TAG}{key}": written(value) for key, value in place.values.items()}
        return Task(
            id=self.id(place.number),
            spec=spec.resolved(),
            file=spec.file,
            until=place.until if self.spec.halving is not None else None,
            parent=self.sweep,
            tags={TRIAL_TAG: f"{place.number}", **shown},
            engine=self.engine,
            threads=profile.threads or 1,
            save_every=profile.save_every,
            record=profile.recorded,
            store=self.store,
            again=self.again,
        )
