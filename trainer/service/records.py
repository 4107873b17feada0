"""What the service knows: jobs, their events, who may do what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from trainer.service.states import State

Kind: TypeAlias = Literal["train", "sweep", "crossval"]
Role: TypeAlias = Literal["reader", "submitter", "admin"]
ROLES: Final[tuple[Role, ...]] = ("reader", "submitter", "admin")
"""From the one that may least."""
Wish: TypeAlias = Literal["cancel", "pause"]
Heard: TypeAlias = Literal["state", "progress", "note"]


@dataclass(frozen=True)
class Cost:
    """What a job will take, as far as it can be told before: None where that is not known.

    `steps` are SGD steps and `operations` their floating-point operations, `bytes` the memory of a
    worker, `seconds` an estimate from what this service has trained so far.
    """

    steps: int | None = None
    operations: int | None = None
    bytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Job:
    """A spec that was submitted, and how far it is.

    `number` counts jobs in the order in which they came. `text` is the spec as it was written,
    `resolved` its values with all defaults, relative to `file`; `options` are those of a kind, such
    as the `folds` of a cross-validation. `again` trains what was trained before.
    `fingerprint` names what decides the result (spec, data, engine), None where that is not known.
    `parent` is the job that this one was cloned from. `run` is the id of its run's folder: its own
    id, or that of the run that was known.

    `reason` says in words why it is in its `state`. `wish` is what someone asked for and the worker
    has not yet done. `attempt` counts the workers that began it, and `stuck` those in a row that
    were lost without a new step. `step` and `epoch` are how far it was seen; `metrics` are the
    last ones. `created`, `started` and `ended` are seconds of the epoch, for people; the order of
    things is that of events. `seconds` were spent training. `digest` is the SHA-256 of what came
    out: of the parameters, or of a sweep's decisions.
    """

    id: str
    number: int
    user: str
    name: str
    kind: Kind
    text: str
    resolved: Mapping[str, Any]
    file: str
    state: State = "queued"
    reason: str = ""
    wish: Wish | None = None
    priority: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False
    fingerprint: str | None = None
    parent: str | None = None
    run: str | None = None
    known: bool = False
    attempt: int = 0
    stuck: int = 0
    step: int = 0
    epoch: int = 0
    epochs: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    digest: str = ""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job."""

    number: int
    """Counts all events of the service: who has read up to one, and asks for what comes after it,
    misses nothing. Of one job, or of one user's jobs, some numbers are missing."""
    job: str
    """The id of the job."""
    user: str
    """Whose job it is."""
    time: float
    """When that was, by the service's clock; the order of things is that of numbers."""
    kind: Heard
    """What happened."""
    data: Mapping[str, Any]
    """More of it, by its kind."""


@dataclass(frozen=True)
class StateData:
    """The job is in another state, or was submitted."""

    from_: State | None
    """The state before; null of a job that is new."""
    to: State
    """The state now."""
    reason: str
    """Why, in words; often empty."""
    attempt: int
    """The attempt that it belongs to: how often a worker began the job."""


@dataclass(frozen=True)
class ProgressData:
    """The job is farther than it was."""

    epoch: int
    """Epochs that are done; of a sweep trials that have ended."""
    epochs: int | None
    """How many there will be; null where that is not known."""
    step: int
    """Steps that are done; of a sweep decisions."""
    series: Mapping[str, list[list[float | None]]]
    """Of each metric the points that are new, as pairs of an epoch and a value: at most 50 at a
    time, evenly. The run's folder has all of them."""


@dataclass(frozen=True)
class NoteData:
    """Something that people may want to know."""

    text: str
    """What it is."""


DATA: Final[Mapping[Heard, type]] = {
    "state": StateData, "progress": ProgressData, "note": NoteData,
}  # fmt: skip
"""What the data of each kind of event hold (`from` is written without the underscore)."""


@dataclass(frozen=True)
class User:
    """Who asks: the name on a token, and what it may do. `all` sees and stops also the jobs of
    others; an admin always does.
    """

    name: str
    role: Role
    token: str
    all: bool = False

    @property
    def sees_all(self) -> bool:
        """Whether the jobs of others are for it, too."""
        return self.all or self.role == "admin"

    def may(self, role: Role) -> bool:
        """Whether it may do what needs this role."""
        return ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Token:
    """A secret that lets a user in, of which only the hash is kept. `name` names it to people;
    times are seconds of the epoch.
    """

    name: str
    user: str
    role: Role
    all: bool
    created: float
    expires: float | None = None
    revoked: float | None = None
    used: float | None = None


@dataclass(frozen=True)
class Entry:
    """A line of the audit log. `hash` is the SHA-256 of the line before it and of all of its own:
    nothing can be changed or taken out of the middle unseen.
    """

    number: int
    time: float
    user: str
    action: str
    target: str
    detail: Mapping[str, Any]
    hash: str


@dataclass(frozen=True)
class Upload:
    """A file that was sent to the service. `sha256` and `size` are those of the whole file,
    `received` the bytes that are here so far.
    """

    sha256: str
    user: str
    size: int
    received: int
    created: float

    @property
    def whole(self) -> bool:
        """Whether all of it is here, and has its hash."""
        return self.received == self.size
