"""What the steps of one epoch add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from trainer.engine import Steps
from trainer.graph.ops import Array
from trainer.numerics.sums import column_means, mean, total

if TYPE_CHECKING:
    from trainer.training.job import Job


class EpochRecord:
    """What the steps of one epoch add up to."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._steps: list[Steps] = []
        self.scores = job.scores()

    def restore(self, scores: Mapping[str, Array], steps: Sequence[Steps]) -> None:
        """Takes what another record of the same steps held."""
        self._steps = list(steps)
        self.scores.restore(scores)

    def add(self, steps: Steps, predictions: Array, rows: Mapping[str, Array]) -> None:
        """Takes some steps, what they predicted, and their rows."""
        self._steps.append(steps)
        weight = rows.get("weight") if self._job.weighs_scores else None
        self.scores.add(predictions, rows["y"], weight)

    def metrics(self) -> dict[str, float]:
        """`train_loss` and the score over the epoch, the mean norm, the last learning rate."""
        losses = np.concatenate([steps.losses for steps in self._steps])
        norms = np.concatenate([steps.grad_norms for steps in self._steps])
        rows = np.full(len(losses), float(self._job.batch_size))
        rows[-1] = len(self._job.dataset.train) - self._job.batch_size * (len(losses) - 1)
        metrics = {"train_loss": total(losses * rows) / len(self._job.dataset.train)}
        metrics |= {f"train_{name}": value for name, value in self.scores.values().items()}
        metrics["grad_norm"] = mean(norms)
        rate = self._job.rates.learning_rate(self._job.progress.step, 1)
        metrics["learning_rate"] = float(rate[0])
        return metrics

    def parameter_norms(self) -> dict[str, float]:
        """The mean gradient norm of each parameter that is trained."""
        norms = column_means(np.concatenate([steps.parameter_norms for steps in self._steps]))
        names = [node.name for node in self._job.graph.trainable]
        return dict(zip(names, norms.tolist(), strict=True))
