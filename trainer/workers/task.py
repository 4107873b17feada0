"""What goes to a worker and what comes back; all of it can be pickled, and holds no code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from trainer.engine import EngineName
from trainer.training.result import Status


@dataclass(frozen=True)
class Task:
    """A run that is to be trained until an epoch, from where its folder says that it is.

    `id` is the name of the run's folder, there already or not. `spec` are the resolved values and
    `file` the file beside which their data are found; `text` is what that says, if the run is to
    keep it. It trains `until` this epoch is done and pauses there, or to its end where that is None
    or not before it. `parent` is the run that this
    one belongs to and `tags` are what a store shows of it. With `model` a run that comes to its end
    leaves its model, with `pictures` its pictures; `record` says whether MLflow is to be told of
    it, at the address `store`. What `find_known` finds is not trained, unless `again` says so.
    """

    id: str
    spec: Mapping[str, Any]
    file: str | None
    until: int | None = None
    parent: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    engine: EngineName = "auto"
    threads: int | None = 1
    save_every: str = "30s"
    record: bool = False
    store: str | None = None
    model: bool = False
    pictures: bool = False
    again: bool = False
    text: str | None = None


Told: TypeAlias = Literal["spec", "data", "machine", "room", "bits", "away"]


OURS: Final[tuple[Told, ...]] = ("spec", "data")
"""What is to blame where another try would fail alike."""


@dataclass(frozen=True)
class Answer:
    """How far a task's run is.

    `status` is PAUSED at the epoch that was asked for, FINISHED or DIVERGED; KILLED where the
    worker was told to stop, with a checkpoint; FAILED where it could not train, for `reason` in
    words: `fault` is `spec` or `data` where these are to blame, and another try would fail alike,
    and `machine` where one may help, `room` once the disk has some, `bits` on a machine where the
    same bits come out, and `away` once there is a cluster again. `metrics` are those of the epoch
    at which it is, of the parameters that it would keep if it ended there; `epoch` counts the whole
    epochs that are done. `parameters_sha256` is that of these parameters, empty where the run is
    farther by now.
    `known` tells that it was trained before.
    """

    id: str
    status: Status
    epoch: int = 0
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters_sha256: str = ""
    seconds: float = 0.0
    attempt: int = 1
    known: bool = False
    reason: str = ""
    fault: Told | None = None
