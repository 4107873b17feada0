"""What differs from step to step: the scalar inputs of a training graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np

from trainer.graph.ops import Array
from trainer.spec.sgd import SGDSpec
from trainer.training.schedule import learning_rates
from trainer.training.sgd import SETTINGS

LearningRates: TypeAlias = Callable[[int, int], Array]
"""From the number of a step, counted from 1, and a count: the rates of so many steps."""

BLOCK: Final = 1024  # steps whose rates are computed at a time


@dataclass(frozen=True)
class Rates:
    """The rates of one run: `rows` training rows in batches of `batch_size`."""

    sgd: SGDSpec
    rows: int
    batch_size: int
    given: LearningRates | None = None
    _blocks: dict[int, Array] = field(init=False, repr=False, compare=False, default_factory=dict)

    @property
    def steps_per_epoch(self) -> int:
        """The steps of an epoch; the last may have fewer rows."""
        return -(-self.rows // self.batch_size)

    def learning_rate(self, first: int, count: int) -> Array:
        """The learning rates of `count` steps from the number `first` on, counted from 1."""
        if self.given is not None:
            return self.given(first, count)
        blocks = [self._block(number) for number in range(
            (first - 1) // BLOCK, (first + count - 2) // BLOCK + 1)]  # fmt: skip
        start = (first - 1) % BLOCK
        return (blocks[0] if len(blocks) == 1 else np.concatenate(blocks))[start : start + count]

    def _block(self, number: int) -> Array:
        """The rates of a block of steps; the last one that was asked for is kept."""
        if number not in self._blocks:
            self._blocks.clear()
            first = number * BLOCK + 1
            self._blocks[number] = learning_rates(self.sgd, self.steps_per_epoch, first, BLOCK)
        return self._blocks[number]

    def at(self, first: int, count: int) -> Mapping[str, Array]:
        """All rates of these steps, by the names of the graph's inputs, in float64."""
        found = {"learning_rate": self.learning_rate(first, count)}
        for name, value in self._settings:
            found[name] = value[:count] if count <= BLOCK else np.full(count, value[0])
        if self.sgd.accumulate == 1 and self.sgd.average is None:
            return found
        steps = np.arange(first - 1, first - 1 + count)
        if self.sgd.accumulate > 1:
            found |= self._accumulation(steps % self.steps_per_epoch)
        if self.sgd.average is not None:
            found["average/rate"] = self._average(steps)
        return found

    @cached_property
    def _settings(self) -> Sequence[tuple[str, Array]]:
        """The inputs that stay as they are, where they are set, for a block of steps."""
        found = ((name, getattr(self.sgd, name)) for name in SETTINGS)
        return [(f"sgd/{name}", np.full(BLOCK, value)) for name, value in found if value]

    def _accumulation(self, step: Array) -> dict[str, Array]:
        """For steps counted from 0 within their epoch: an update takes `accumulate` of them, the
        last of an epoch those that are left. A step's share is its part of their rows.
        """
        k, last = self.sgd.accumulate, self.steps_per_epoch - 1
        in_step = np.where(step == last, self.rows - last * self.batch_size, self.batch_size)
        begin = step // k * k
        in_update = np.minimum((begin + k) * self.batch_size, self.rows) - begin * self.batch_size
        return {
            "accumulate/share": in_step / in_update,
            "accumulate/carry": (step % k != 0).astype(np.float64),
            "accumulate/apply": self._applies(step).astype(np.float64),
        }

    def _applies(self, step: Array) -> Array:
        """Whether steps, counted from 0 within their epoch, end an update."""
        k = self.sgd.accumulate
        return np.asarray((step % k == k - 1) | (step == self.steps_per_epoch - 1))

    def _average(self, step: Array) -> Array:
        """For steps counted from 0 over the run: how far the average moves to the parameters.

        `ema`: 1 - decay after an update, and 1/u after the first few, whose mean it then is.
        `swa`: after an epoch 1/n, where it is the n-th that counts (and 1 before).
        """
        average, length = self.sgd.average, self.steps_per_epoch
        assert average is not None
        epoch, within = step // length, step % length
        if average.type == "swa":
            skipped = int(average.start * self.sgd.epochs)
            rate = 1 / np.maximum(epoch + 1 - skipped, 1)
            return np.where(within == length - 1, rate, 0.0)
        updates = epoch * -(-length // self.sgd.accumulate) + within // self.sgd.accumulate + 1
        return np.where(self._applies(within), np.maximum(1 - average.decay, 1 / updates), 0.0)
