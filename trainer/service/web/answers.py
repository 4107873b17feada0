"""What is answered: JSON made once, and every refusal in one shape."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from trainer.addresses import without_secrets
from trainer.errors import (
    CheckpointError,
    DataError,
    MachineError,
    SpecError,
    TrackingError,
    TrainerError,
    UsageError,
)
from trainer.service import refusals
from trainer.service.store import KeyTaken, NoJob, NotAllowed, Stale

log = logging.getLogger(__name__)

KINDS: Final[tuple[tuple[type[TrainerError], int, str], ...]] = (
    (refusals.Unauthorised, 401, "unauthorised"),
    (refusals.Forbidden, 403, "forbidden"),
    (refusals.Missing, 404, "missing"),
    (refusals.Conflict, 409, "conflict"),
    (refusals.TooLarge, 413, "too_large"),
    (refusals.Quota, 429, "quota"),
    (refusals.Rate, 429, "rate"),
    (refusals.Draining, 503, "draining"),
    (KeyTaken, 409, "conflict"),
    (NotAllowed, 409, "conflict"),
    (Stale, 409, "conflict"),
    (NoJob, 404, "missing"),
    (SpecError, 422, "spec"),
    (DataError, 422, "data"),
    (CheckpointError, 409, "conflict"),
    (MachineError, 503, "away"),
    (TrackingError, 503, "away"),
    (UsageError, 400, "usage"),
)
"""Status and word of each family of errors; the first that fits counts."""
STATUS_KINDS: Final[Mapping[int, tuple[str, str]]] = {
    404: ("missing", "TR-V006"), 413: ("too_large", "TR-V011"), 429: ("rate", "TR-V009"),
}  # fmt: skip
"""Word and code of refusals that come from the framework; the others are `usage`."""
LATER: Final = 1.0
"""Seconds after which to ask again, where nothing better is known."""


class Reply(Response):
    """JSON that is written once, and no model looks at again."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of it. What is no number in JSON is null."""
        return encoded(content)


def encoded(content: Any) -> bytes:
    """A value as JSON, in UTF-8. What is no number in JSON is null."""
    try:
        text = _dumped(content)
    except ValueError:
        text = _dumped(_finite(content))
    return text.encode("utf-8", "replace")


def _dumped(content: Any) -> str:
    return json.dumps(
        content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain
    )


def _plain(value: Any) -> Any:
    """What JSON has no form for: mappings and sequences that are not Python's own."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if hasattr(value, "__iter__") else str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


# Refusals ---------------------------------------------------------------------------------------


def refusal(error: TrainerError) -> Response:
    """The answer that tells of an error."""
    status, kind = next(
        ((status, kind) for family, status, kind in KINDS if isinstance(error, family)),
        (500, "error"),
    )
    body: dict[str, Any] = {"error": kind, "code": error.code, "message": error.message}
    problems = error.as_json().get("errors")
    if problems is not None:
        body["errors"] = problems
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="trainer"'
    if status in (429, 503):
        seconds = getattr(error, "seconds", None) or LATER
        headers["Retry-After"] = str(math.ceil(seconds))
    return Reply(body, status, headers)


def internal(error: BaseException) -> Response:
    """The answer to a fault of the service's own: nothing of it is told but that it was logged."""
    log.error("a request failed", exc_info=error)
    message = "the service failed; its log says why"
    return Reply({"error": "internal", "code": "TR-V017", "message": message}, 500)


def handle_errors(app: FastAPI) -> None:
    """Has every error of a route become an answer of this shape."""
    app.add_exception_handler(TrainerError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, TrainerError)
    return refusal(error)


async def _invalid(_: Request, error: Exception) -> Response:
    """Parameters that FastAPI has refused."""
    assert isinstance(error, RequestValidationError)
    return invalid(error.errors())


def invalid(found: Any) -> Response:
    """The answer to values of the wrong form, as pydantic tells of them."""
    problems = [
        {
            "file": None,
            "line": None,
            "column": None,
            "path": ".".join(str(part) for part in each["loc"]),
            "code": "TR-V012",
            "message": without_secrets(each["msg"]),
            "hint": None,
        }
        for each in found
    ]
    message = "; ".join(f"{each['path']}: {each['message']}" for each in problems)
    told = {"error": "usage", "code": "TR-V012", "message": message, "errors": problems}
    return Reply(told, 400)


async def _http(request: Request, error: Exception) -> Response:
    """What the framework refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    kind, code = STATUS_KINDS.get(error.status_code, ("usage", "TR-V012"))
    headers = dict(error.headers or {})
    message = str(error.detail)
    if error.status_code == 404:
        message = f"there is nothing at {request.url.path}"
    elif error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
        message = f"{request.url.path} takes {headers['Allow']}"
    return Reply({"error": kind, "code": code, "message": message}, error.status_code, headers)


def _methods(request: Request) -> set[str]:
    """The methods that some route takes at this path."""
    return {
        method
        for route in iter_route_contexts(request.app.routes)
        if route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
