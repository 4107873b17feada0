"""The best epoch of a training, and the parameters after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from trainer.graph.ops import Array
from trainer.metrics import direction
from trainer.spec.schema import Spec

if TYPE_CHECKING:
    from trainer.training.job import Job


class Best:
    """The best epoch by the validation rows, and the parameters after it.

    What is compared is the loss, or what early stopping watches. Without validation rows it is the
    training loss: those parameters are needed only where a training diverges.
    """

    def __init__(self, spec: Spec, validated: bool) -> None:
        stopping = spec.sgd.early_stopping
        name = stopping.monitor if stopping else "loss"
        self.watched = f"val_{name}" if validated else "train_loss"
        """The name of what is compared."""
        self._least = stopping.min_delta if stopping else 0.0
        self._restores = stopping is not None and stopping.restore_best
        self._validated = validated
        self.start: float | None = None
        self.value: float | None = None
        self.epoch = 0
        self.parameters: dict[str, Array] = {}
        self.measured: Mapping[str, float] = {}
        """What was measured after that epoch."""

    def see(self, epoch: int, metrics: Mapping[str, float], job: Job | None = None) -> None:
        """Takes what was measured after an epoch, and the parameters of the job if one is given."""
        found = metrics.get(self.watched)
        if epoch == 0:
            self.start = found
        if found is None:
            return
        sign = direction(self.watched)
        if self.value is None or sign * found > sign * self.value + self._least:
            self.value, self.epoch, self.measured = found, epoch, metrics
            self.parameters = job.parameters if job else {}

    def kept(self, last: Mapping[str, float]) -> Mapping[str, float]:
        """The metrics of what is kept if the training ends after the epoch with the `last` ones."""
        return self.measured if self._restores and self.measured else last

    def confirm(self, measured: Mapping[str, float]) -> None:
        """Takes what the best parameters themselves give; drops them where that is no better than
        the start. The training loss of an epoch is a mean over its steps, which may have been good
        until the last.
        """
        start, found = self.start, measured.get(self.watched)
        if start is not None and (found is None or direction(self.watched) * (found - start) <= 0):
            self.parameters = {}

    @property
    def restored(self) -> bool:
        """Whether the best parameters are the result of the training."""
        return self._restores and bool(self.parameters)

    @property
    def learned(self) -> bool:
        """Whether any epoch was better than the start."""
        return self.epoch > 0 and bool(self.parameters)

    def summary(self) -> dict[str, float]:
        """The best value on the validation rows, and its epoch."""
        if self.value is None or not self._validated:
            return {}
        return {f"best_{self.watched}": self.value, "best_epoch": float(self.epoch)}
