"""A run as a store holds it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from trainer.checkpoints.facts import TRIAL_TAG, VALUE_TAG, has_model
from trainer.errors import UsageError

FALLBACK: Final = "train_loss"
"""What runs are told apart by where they have no validation loss."""
DIVERGED_TAG: Final = "trainer.diverged"
PAUSED_TAG: Final = "trainer.paused"
"""Of a run that waits after an epoch, until it goes on: which of how many."""
OBJECTIVE_TAG: Final = "trainer.objective"
"""What the trials of a sweep are compared by: `minimise val_loss`, `maximise val_accuracy`."""
KEPT_TAG: Final = "trainer.kept_epoch"
"""The epoch whose parameters a run has that diverged; without it they are of no use."""


def doubts(run: str, status: str, tags: Mapping[str, str]) -> str | None:
    """What to know before the parameters of the run, which is called so in messages, are used; None
    where it came to a good end. Raises `UsageError` where it diverged and kept none of use.
    """
    if status != "DIVERGED":
        return None
    if KEPT_TAG not in tags:
        raise UsageError(
            f"the run {run} diverged, and no epoch of it was better than the start: its parameters "
            "are of no use\n  hint: train it anew with a lower sgd.learning_rate",
            code="TR-R009",
        )
    epoch = tags[KEPT_TAG]
    return f"the run {run} diverged: these are its parameters after epoch {epoch}, its best"


def objective_of(tags: Mapping[str, str]) -> tuple[bool, str]:
    """Whether more is better, and of which metric, by the tags of a sweep."""
    way, _, metric = tags.get(OBJECTIVE_TAG, "").partition(" ")
    return way == "maximise", metric or "val_loss"


@dataclass(frozen=True)
class RecordedRun:
    """What the store holds of a run, without its files and without the points of its metrics.

    `status` is FINISHED, RUNNING, KILLED or FAILED, or DIVERGED for a failed run that says so, and
    PAUSED for one that waits after an epoch. `started` has the local time zone; `seconds` is None
    until the run has ended. `params` are the leaves of the spec, `metrics` the last value of each.
    """

    run_id: str
    name: str
    experiment: str
    status: str
    started: datetime
    seconds: float | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]

    @property
    def id(self) -> str:
        """The name of its folder, or the store's id where it came without one."""
        return self.tags.get("trainer.run", self.run_id)

    @property
    def trains(self) -> bool:
        """Whether it stands for a model: see `has_model`."""
        return has_model(self.tags.get("trainer.kind", "train"), self.tags)

    @property
    def is_sweep(self) -> bool:
        """Whether it is a sweep."""
        return self.tags.get("trainer.kind") == "sweep"

    @property
    def chosen(self) -> dict[str, str]:
        """What a trial of a sweep chose, by key."""
        return {
            tag.removeprefix(VALUE_TAG): value
            for tag, value in self.tags.items()
            if tag.startswith(VALUE_TAG)
        }

    @property
    def is_trial(self) -> bool:
        """Whether it is a trial of a sweep."""
        return TRIAL_TAG in self.tags

    @property
    def paused_after(self) -> int:
        """The epoch after which it waits; 0 where it does not."""
        found = re.search("[0-9]+", self.tags.get(PAUSED_TAG, ""))
        return int(found[0]) if found else 0

    @property
    def about(self) -> str:
        """When it began, how it ended, and how well."""
        metric = next((m for m in ("val_loss", FALLBACK) if m in self.metrics), None)
        value = f"  {metric} {self.metrics[metric]:.5g}" if metric else ""
        return f"{self.started:%Y-%m-%d %H:%M}  {self.status:<8}{value}"

    def as_json(self) -> dict[str, Any]:
        """A run in the JSON of `train list` and `train compare`, without its tags."""
        return {
            "id": self.id,
            "run_id": self.run_id,
            "name": self.name,
            "experiment": self.experiment,
            "status": self.status,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": self.seconds,
            "params": dict(self.params),
            "metrics": {
                name: value if math.isfinite(value) else None
                for name, value in sorted(self.metrics.items())
            },
        }
