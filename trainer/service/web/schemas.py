"""What the API says of its answers and bodies: forms and examples for OpenAPI.

Answers are not checked against these forms where they are made, which would take longer than making
them; tests do so.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trainer.service.desk import MAX_PRIORITY
from trainer.service.records import Kind, Role, Wish
from trainer.service.states import State


class Said(BaseModel):
    """Base of the forms of answers."""

    model_config = ConfigDict(extra="forbid")


class Body(BaseModel):
    """Base of the forms of bodies."""

    model_config = ConfigDict(extra="forbid")


# Errors -----------------------------------------------------------------------------------------


class ProblemOut(Said):
    """One mistake in a spec, or in the parameters of a request."""

    file: str | None
    line: int | None
    column: int | None
    path: str
    code: str | None
    message: str
    hint: str | None


class ErrorOut(Said):
    """Why a request was refused."""

    error: Literal[
        "usage", "unauthorised", "forbidden", "missing", "conflict", "too_large", "spec", "data",
        "quota", "rate", "draining", "away", "internal", "error",
    ]  # fmt: skip
    code: str | None
    message: str
    errors: list[ProblemOut] = Field(default_factory=list)


# Jobs -------------------------------------------------------------------------------------------


class CostOut(Said):
    """What a job will take; null where that is not known."""

    steps: int | None
    operations: int | None
    bytes: int | None
    seconds: float | None


class LinksOut(Said):
    """Where more of a job is."""

    self: str
    events: str
    mlflow: str | None


class JobOut(Said):
    """A job, and how far it is."""

    id: str
    number: int
    user: str
    name: str
    kind: Kind
    state: State
    reason: str
    wish: Wish | None
    priority: int
    options: dict[str, Any]
    again: bool
    fingerprint: str | None
    parent: str | None
    run: str | None
    known: bool
    attempt: int
    stuck: int
    step: int
    epoch: int
    epochs: int | None
    metrics: dict[str, float | None]
    cost: CostOut
    created: float
    started: float | None
    ended: float | None
    seconds: float
    digest: str
    links: LinksOut
    place: Annotated[int | None, Field(description="Of the queue, 1 is next.")] = None


class JobsOut(Said):
    """A page of jobs. `next` is the `after` of the next one."""

    jobs: list[JobOut]
    next: str | None
    total: int
    counts: dict[State, int]


class SubmitIn(Body):
    """A spec, and what is to be done with it."""

    spec: str | dict[str, Any]
    kind: Kind | None = None
    folds: Annotated[int | None, Field(ge=2, le=1000)] = None
    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = 0
    again: bool = False
    parent: Annotated[str | None, Field(max_length=64)] = None


class CheckIn(Body):
    """A spec to be looked at."""

    spec: str | dict[str, Any]
    kind: Kind | None = None
    folds: Annotated[int | None, Field(ge=2, le=1000)] = None


class PriorityIn(Body):
    """Which of a user's jobs is begun sooner."""

    priority: Annotated[int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)]


class CheckOut(Said):
    """What is known of a spec before it is trained; of one with mistakes, these alone."""

    valid: bool
    error: Annotated[Literal["spec", "data"] | None, Field(description="What the mistakes are of.")]
    errors: list[ProblemOut]
    kind: Kind | None
    name: str | None
    cost: CostOut | None
    layers: Annotated[list[dict[str, Any]], Field(description="The rows of the model's table.")]
    resolved: dict[str, Any] | None
    known: Annotated[str | None, Field(description="A job that has trained the same.")]
    notes: list[str]


class EventOut(Said):
    """Something that happened to a job."""

    number: int
    time: float
    kind: str
    data: dict[str, Any]


class ChangesOut(Said):
    """Every state that the job was in."""

    changes: list[EventOut]


class CurvesOut(Said):
    """Epoch and value of each point, by the name of the series."""

    series: dict[str, list[list[float | None]]]
    last: Annotated[int, Field(description="The last event in them: go on after it.")]


class DifferenceOut(Said):
    """A value that two specs do not share."""

    path: str
    one: Any
    other: Any


class DiffOut(Said):
    """Where two jobs differ."""

    one: str
    other: str
    differences: list[DifferenceOut]


class TrackedOut(Said):
    """Where MLflow has a run."""

    run_id: str | None
    experiment: str | None
    model_id: str | None
    whole: bool
    problem: str | None


class RunOut(Said):
    """How a run ended."""

    status: str
    epoch: int
    step: int
    reason: str
    metrics: dict[str, float | None]
    parameters_sha256: str | None
    findings: list[str]
    notes: list[str]
    description: list[str]
    tags: dict[str, str]
    seconds: float
    files: dict[str, str]
    engine: str
    mlflow: TrackedOut | None


class FileOut(Said):
    """A file of a run."""

    path: str
    size: int
    type: str


class FilesOut(Said):
    """The files of a run."""

    files: list[FileOut]


# Uploads ----------------------------------------------------------------------------------------


class UploadOut(Said):
    """A file that was sent, or a part of it."""

    sha256: str
    user: str
    size: int
    received: int
    created: float
    whole: bool


class UploadsOut(Said):
    """Files that were sent."""

    uploads: list[UploadOut]
    held: Annotated[int, Field(description="Bytes that are held for the user.")]
    most: Annotated[int | None, Field(description="Bytes that it may have.")]


# The service ------------------------------------------------------------------------------------


class HealthOut(Said):
    """Whether the service is there."""

    status: Literal["ok", "draining"]
    version: str


class WorkerOut(BaseModel):
    """A process or a slot of a cluster that trains."""

    name: str
    kind: str
    state: str
    job: str | None


class ServiceOut(Said):
    """The service as it is."""

    version: str
    workers: list[WorkerOut]
    counts: dict[State, int]
    draining: bool
    store: str
    tracking: str | None
    mlflow: str | None
    last: Annotated[int, Field(description="The number of the last event.")]


class SessionIn(Body):
    """A token, or a code that was made by one, for a cookie."""

    token: Annotated[str | None, Field(max_length=200)] = None
    code: Annotated[str | None, Field(max_length=200)] = None


class UserOut(Said):
    """Who asks."""

    user: str
    role: Role
    all: bool


class TokenIn(Body):
    """What a new token lets in, and for how many days."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    user: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")] = None
    role: Role = "submitter"
    all: bool = False
    days: Annotated[float | None, Field(gt=0, le=36_500)] = None


class TokenOut(Said):
    """A token. Its secret is told once, when it is made."""

    name: str
    user: str
    role: Role
    all: bool
    created: float
    expires: float | None
    revoked: float | None
    used: float | None


class TokensOut(Said):
    """All tokens."""

    tokens: list[TokenOut]


class SecretOut(Said):
    """A new token's secret."""

    token: str


class EntryOut(Said):
    """A line of the audit log."""

    number: int
    time: float
    user: str
    action: str
    target: str
    detail: dict[str, Any]
    hash: str


class AuditOut(Said):
    """Lines of the audit log. `next` is the `after` of the next ones."""

    entries: list[EntryOut]
    next: int | None
