"""A sweep's trials are held against the data before any of them trains."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from trainer.errors import DataError, Problem, SpecError
from trainer.network.cost import epoch_operations
from trainer.network.magnitudes import check_magnitudes
from trainer.network.memory import count_parameters
from trainer.runs.prepare import Prepared
from trainer.spec.changes import parts_of
from trainer.spec.declaration import in_order
from trainer.sweeps.blame import told_once
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.space import draw, edges, grid
from trainer.workers.shelf import Shelf

DRAWN: Final = 64
"""So many trials that will be drawn at random are looked at."""
ENOUGH: Final = 1000
"""After so many trials that are wrong no more are looked at."""
NUMBERS_ALONE: Final = frozenset((
    "learning_rate", "schedule", "momentum", "nesterov", "weight_decay", "l1", "clip_norm",
    "max_norm",
))  # fmt: skip
"""Keys of `sgd` that change neither what is read nor whether data, network and machine fit."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """What a trial takes: its epochs; bytes of memory; operations and steps of an epoch; numbers
    that it learns, the bytes of each, and how many copies of them a checkpoint holds.
    """

    epochs: int
    memory: int
    operations: int
    steps: int
    parameters: int
    item: int
    copies: int

    @classmethod
    def of(cls, prepared: Prepared) -> Size:
        """That of a trial."""
        data, sgd, model = prepared.dataset, prepared.spec.sgd, prepared.model
        measured = 0 if data.validation is None else len(data.validation)
        operations = epoch_operations(
            prepared.training, len(data.train), prepared.batch_size, measured
        )
        copies = 1 + (sgd.momentum > 0) + (sgd.accumulate > 1) + (sgd.average is not None)
        item = 4 if prepared.spec.model.dtype == "float32" else 8
        count = count_parameters(model)
        steps = prepared.steps_per_epoch
        return cls(sgd.epochs, prepared.memory.total, operations, steps, count, item, copies)


@dataclass(frozen=True)
class Checked:
    """Trials that can be trained: how many were looked at, and what they take. `sizes` are those
    of trials as they will be, `edges` those at the edges of the space.
    """

    count: int
    sizes: tuple[Size, ...]
    edges: tuple[Size, ...]


def check_trials(spec: SweepSpec, shelf: Shelf | None = None) -> Checked:
    """Holds the sweep's trials against their data: every point of a grid; else each dimension's
    bounds with the others in the middle, all at their lowest and highest, and those that are drawn
    first. The data are read once for all that are alike.

    Raises `SpecError` and `DataError` with all that is wrong, at its place: what is wrong with the
    spec itself in its file, and what is wrong with a trial in the sweep's, with its values.
    """
    checker = _Checker(spec, shelf or Shelf())
    checker.base()
    at_edges = [size for values in edges(spec.space) if (size := checker.size(values))]
    sizes = [size for values in first_trials(spec) if (size := checker.size(values, alike=True))]
    checker.raise_problems()
    return Checked(checker.count, tuple(sizes), tuple(at_edges))


def first_trials(spec: SweepSpec) -> Iterator[Values]:
    """The values of the trials that are known before any is trained: of a grid all."""
    if spec.search.method == "grid":
        return islice(grid(spec.space), spec.planned)
    drawn = spec.search.startup if spec.search.method == "tpe" else spec.planned
    count = min(drawn, spec.planned, DRAWN)
    return (draw(spec.space, spec.seed, number) for number in range(count))


class _Checker:
    """Takes trials one by one, and keeps what is wrong with them."""

    def __init__(self, spec: SweepSpec, shelf: Shelf) -> None:
        self.count = 0
        self._spec, self._shelf = spec, shelf
        self._problems: list[Problem] = []
        self._kind: type[SpecError | DataError] = DataError
        self._wrong = 0
        self._sizes: dict[str, Size | None] = {}
        self._shape = [key for key in spec.space if not _is_number_alone(parts_of(key))]

    def base(self) -> None:
        """Raises what is wrong with the spec as it stands."""
        self._shelf.prepare(self._spec.base)

    def size(self, values: Values, *, alike: bool = False) -> Size | None:
        """What a trial takes; None where it cannot be trained. One that is like another, but for
        numbers that make no difference to it, is as large; `alike` says that these are within the
        edges.
        """
        if self._wrong > ENOUGH:
            return None
        self.count += 1
        shape = json.dumps([values[key] for key in self._shape], default=str)
        try:
            spec = self._spec.trial(values)
        except SpecError as error:
            self._take(error)
            return None
        shape += str(spec.sgd.momentum > 0)
        try:
            if shape not in self._sizes:
                self._sizes[shape] = None
                self._sizes[shape] = Size.of(self._shelf.prepare(spec))
            elif not alike:
                check_magnitudes(spec)
        except (SpecError, DataError) as error:
            self._take(self._spec.blamed(error, values))
            return None
        return self._sizes[shape]

    def _take(self, error: SpecError | DataError) -> None:
        """Keeps what is wrong with a trial."""
        self._wrong += 1
        if isinstance(error, SpecError):
            self._kind = SpecError
        self._problems += error.problems

    def raise_problems(self) -> None:
        """Raises what is wrong, if anything is."""
        if self._problems:
            raise self._kind(in_order(told_once(self._problems), self._spec.file))


def _is_number_alone(path: list[str]) -> bool:
    return path[0] == "sgd" and len(path) > 1 and path[1] in NUMBERS_ALONE
