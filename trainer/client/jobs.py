"""What the service tells of jobs, as dataclasses. Nothing that it sends is taken for granted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar, get_args

from trainer.errors import ServiceError
from trainer.service.records import Cost, Event, Heard, Kind, Token, User, Wish
from trainer.service.states import OVER, State
from trainer.stored import from_json

T = TypeVar("T")


@dataclass(frozen=True)
class RemoteJob:
    """A job of the service as it was when it was asked for. See `trainer.service.records.Job` for
    what its fields mean. `place` counts the jobs that begin before it at most, and itself, while it
    is queued; `mlflow` is the address of its run, where it has one.
    """

    id: str
    number: int
    user: str
    name: str
    kind: Kind
    state: State
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
    step: int = 0
    epoch: int = 0
    epochs: int | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    created: float = 0.0
    started: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    digest: str = ""
    place: int | None = None
    mlflow: str | None = None

    @property
    def over(self) -> bool:
        """Whether it stays as it is."""
        return self.state in OVER


@dataclass(frozen=True)
class RemoteFile:
    """A file of a job's run; `path` is relative to the run's folder, with `/`."""

    path: str
    size: int


def told(kind: type[T], value: object) -> T:
    """What the service sent as this dataclass; fields that it left out have their defaults.

    Raises `ServiceError`.
    """
    try:
        if not isinstance(value, dict):
            raise ValueError("expected an object")
        return from_json(kind, _defaults(kind) | value, whole=False)
    except ValueError as error:
        what = kind.__name__.removeprefix("Remote").lower()
        raise ServiceError(
            f"what the service tells is no {what}: {error}", code="TR-V003"
        ) from None


def _defaults(kind: Any) -> dict[str, Any]:
    """The default values of its fields as JSON has them."""
    found = {}
    for each in fields(kind):
        if each.default is not MISSING:
            found[each.name] = each.default
        elif each.default_factory is not MISSING:
            found[each.name] = _plain(each.default_factory())
    return found


def _plain(value: Any) -> Any:
    return vars(value) if isinstance(value, Cost) else value


def job_of(value: Any, server: str) -> RemoteJob:
    """A job, from its JSON."""
    links = value.get("links") if isinstance(value, dict) else None
    mlflow = links.get("mlflow") if isinstance(links, dict) else None
    if not isinstance(value, dict) or not isinstance(mlflow, str | None):
        raise ServiceError("what the service tells is no job", code="TR-V003")
    address = f"{server}{mlflow}" if mlflow is not None and mlflow.startswith("/") else mlflow
    return told(RemoteJob, {**value, "mlflow": address})


def user_of(value: Mapping[str, Any]) -> User:
    """Who asks, from the answer of `GET /session`; of its token the service tells nothing."""
    named = {"name": value.get("user"), "role": value.get("role"), "all": value.get("all", False)}
    return told(User, {**named, "token": ""})


def token_of(value: object) -> Token:
    """A token, without its secret."""
    return told(Token, value)


def event_of(number: int, kind: str, data: object) -> Event | None:
    """An event of the stream; None for a kind that this version does not know."""
    if kind not in get_args(Heard):
        return None
    if not isinstance(data, dict):
        raise ServiceError("the service's stream of events holds what is no event", code="TR-V003")
    facts = {"number": number, "kind": kind, "user": "", "time": 0.0}
    own = {name: data[name] for name in ("job", "user", "time") if name in data}
    rest = {name: value for name, value in data.items() if name not in ("job", "user", "time")}
    return told(Event, {**facts, **own, "data": rest})
