"""Records as the API shows them."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, Final

from trainer.service.records import Event, Job, Token, Upload, User

_HIDDEN: Final = frozenset({"text", "resolved", "file", "cost"})
_JOB: Final = tuple(each.name for each in fields(Job) if each.name not in _HIDDEN)


def shown_job(job: Job, place: int | None = None, mlflow: str | None = None) -> dict[str, Any]:
    """A job, without its spec."""
    shown = {name: getattr(job, name) for name in _JOB}
    shown["cost"] = asdict(job.cost)
    shown["place"] = place
    here = f"/jobs/{job.id}"
    shown["links"] = {"self": here, "events": f"{here}/events", "mlflow": mlflow}
    return shown


def shown_event(event: Event) -> dict[str, Any]:
    """An event."""
    return {
        "number": event.number, "time": event.time, "kind": event.kind, "data": dict(event.data),
    }  # fmt: skip


def shown_user(user: User) -> dict[str, Any]:
    """Who asks."""
    return {"user": user.name, "role": user.role, "all": user.sees_all}


def shown_token(token: Token) -> dict[str, Any]:
    """A token, whose secret nobody knows any more."""
    return asdict(token)


def shown_upload(upload: Upload) -> dict[str, Any]:
    """A file that was sent."""
    return asdict(upload) | {"whole": upload.whole}
