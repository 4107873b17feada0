"""What came of a request: an answer, or an error in words for people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import requests

from trainer.errors import (
    DataError,
    GraphError,
    Problem,
    ServiceError,
    SpecError,
    TrainerError,
    UsageError,
    coded,
    is_code,
)

_MOST: Final = 2000  # characters of a message that a server sends
_WORD: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s,\[\]{}:]+""")
_SPECS: Final[Mapping[str, type[SpecError | DataError]]] = {
    "spec": SpecError, "graph": GraphError, "data": DataError,
}  # fmt: skip


class AwayError(ServiceError):
    """The service is not there, or busy: what was asked is surely not done. It wants to be asked
    again after `seconds`.
    """

    code = "TR-V001"

    def __init__(self, message: str, seconds: float = 0.0, *, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.seconds = seconds


class LostError(ServiceError):
    """The connection ended before there was an answer: what was asked may be done or not."""

    code = "TR-V002"


class MissingError(UsageError):
    """There is no such thing, or none that who asks may see."""

    code = "TR-V006"


@dataclass(frozen=True)
class Sent:
    """The spec that a request is about: the file that it is from, and its text where it has one.
    Where it is from several files, `here` gives a problem the place that it has in them.
    """

    file: str | None = None
    text: str | None = None
    here: Callable[[Problem], Problem] | None = None


NO_SPEC: Final = Sent()


def as_object(response: requests.Response) -> Mapping[str, Any]:
    """The JSON object of an answer. Raises `ServiceError` where it is none."""
    found = _json(response)
    if not isinstance(found, dict):
        raise no_service(response)
    return found


def _json(response: requests.Response) -> Any:
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def no_service(response: requests.Response) -> ServiceError:
    """What is said of an answer that no training service gives."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip() or "nothing known"
    return ServiceError(
        f"{_place(response)} answers, but not as a training service does "
        f"(status {response.status_code}, {kind[:60]})\n"
        "  hint: is this the service's address, and does a proxy let it through?",
        code="TR-V003",
    )


def _place(response: requests.Response) -> str:
    return str(response.url).partition("?")[0]


def refusal(response: requests.Response, sent: Sent) -> TrainerError:
    """The error that an answer stands for."""
    told, status = _json(response), response.status_code
    if 300 <= status < 400:
        return _elsewhere(response)
    own = isinstance(told, dict) and isinstance(told.get("message"), str)
    if status == 401:
        return ServiceError(
            f"the service at {_place(response)} takes no such token: it is missing, unknown, "
            "revoked or expired\n"
            "  hint: set TRAINER_TOKEN, or name a profile; an administrator makes tokens",
            code="TR-V004",
        )
    if not own:
        head = status == 404 and response.request.method == "HEAD"
        return MissingError("there is no such thing") if head else _without_words(response)
    message, code = told["message"][:_MOST], _code(told)
    if status == 422 and told.get("error") in _SPECS:
        problems = located(told.get("errors"), sent)
        return _SPECS[told["error"]](problems or coded(message, code))
    if status == 404:
        return MissingError(message, code=code)
    if status in (400, 409, 413, 422):
        return UsageError(message, code=code)
    if status == 403 or told.get("error") == "quota":
        return ServiceError(message, code=code)
    return _passing(response, f"the service cannot do that now ({status}): {message}", code)


def _passing(response: requests.Response, message: str, code: str | None) -> ServiceError:
    """The error of a service, or of the proxy before it, that may soon be well again."""
    if response.status_code in (429, 503):
        return AwayError(message, _retry_after(response), code=code)
    # a proxy may have handed on what was asked
    family = LostError if response.status_code in (502, 504) else ServiceError
    return family(message, code=code)


def _retry_after(response: requests.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "")))
    except ValueError:
        return 0.0


def _without_words(response: requests.Response) -> ServiceError:
    """What is said where the answer is not the service's own."""
    status = response.status_code
    if status == 413:
        hint = "its limit for the size of a request is too low"
        return ServiceError(
            f"a proxy before {_place(response)} refuses the size\n  hint: {hint}", code="TR-V003"
        )
    if status != 429 and status < 500:
        return no_service(response)
    hint = "its log says why; a proxy before it says this where it is not running"
    message = f"the service at {_place(response)} fails (status {status})\n  hint: {hint}"
    return _passing(response, message, "TR-V017")


def _elsewhere(response: requests.Response) -> ServiceError:
    where = str(response.headers.get("Location", "another address"))[:200]
    return ServiceError(
        f"{_place(response)} sends on to {where}, where neither the request nor the token went\n"
        "  hint: if that is the service, give its address",
        code="TR-V003",
    )


# Problems of specs ------------------------------------------------------------------------------


def located(errors: object, sent: Sent) -> Sequence[Problem]:
    """The problems of a spec as a check of the file itself tells them, with the line."""
    found = errors if isinstance(errors, list) else []
    return [_problem(each, sent) for each in found if isinstance(each, dict)]


def _problem(told: Mapping[str, Any], sent: Sent) -> Problem:
    line, column = _number(told.get("line")), _number(told.get("column"))
    lines = (sent.text or "").splitlines()
    source = lines[line - 1] if line is not None and line <= len(lines) else ""
    word = _WORD.match(source, column - 1) if source and column is not None else None
    hint = told.get("hint")
    problem = Problem(
        path=str(told.get("path") or ""),
        message=str(told.get("message") or "it is wrong")[:_MOST],
        hint=str(hint)[:_MOST] if hint else None,
        file=sent.file or (str(told["file"]) if told.get("file") else None),
        line=line if sent.text is not None else None,
        column=column if sent.text is not None else None,
        source=source,
        width=len(word[0]) if word else 1,
        code=_code(told),
    )
    return sent.here(problem) if sent.here else problem


def _code(told: Mapping[str, Any]) -> str | None:
    code = told.get("code")
    return code if isinstance(code, str) and is_code(code) else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and value > 0 else None
