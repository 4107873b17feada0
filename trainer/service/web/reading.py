"""What comes in as a body: bytes, strict JSON, and values of a form."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from trainer.errors import Problem, UsageError

M = TypeVar("M", bound=BaseModel)


class WrongForm(UsageError):  # noqa: N818 (a refusal, as the others)
    """A body is not of the form that is declared; `problems` are those of its values."""

    code = "TR-V012"

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{each.path}: {each.message}" for each in problems))
        self.problems = problems

    def as_json(self) -> dict[str, object]:
        """With all of its problems."""
        return super().as_json() | {"errors": [each.as_json() for each in self.problems]}


async def body_of(request: Request) -> bytes:
    """The whole body, which the gate has limited."""
    return await request.body()


def media_type(request: Request) -> str:
    """What the body is said to be, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def takes(model: type[M]) -> Callable[[Request], Coroutine[Any, Any, M]]:
    """A dependency: the body as this model."""

    async def read(request: Request) -> M:
        kind = media_type(request)
        if kind != "application/json":
            raise UsageError(
                f"Content-Type: expected application/json, found '{kind}'", code="TR-V012"
            )
        return as_model(model, strict_json(await request.body()))

    return read


def as_model(model: type[M], value: Any) -> M:
    """The value as this model. Raises `WrongForm`."""
    try:
        return model.model_validate(value, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise WrongForm(
            [
                Problem(
                    path=".".join(map(str, each["loc"])) or "body",
                    message=each["msg"],
                    code="TR-V012",
                )
                for each in found
            ]
        ) from None


def strict_json(data: bytes) -> Any:
    """What the JSON says. Raises `UsageError` for what is none, or could be read in two ways: a key
    that comes twice, a number that is none, half a character, a NUL; and for what is too deep.
    """
    try:
        text = data.decode()
        value = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_number
        )
        if "\\u" in text:
            _check_texts(value)
    except RecursionError:
        raise UsageError("the JSON is too deep", code="TR-V012") from None
    except UnicodeDecodeError:
        raise UsageError("the JSON is not UTF-8", code="TR-V012") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"this is no JSON: {error.msg}, at {place}", code="TR-V012") from None
    except ValueError as error:
        raise UsageError(f"this is no JSON: {error}", code="TR-V012") from None
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice[:100]}' comes twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large")
    return number


def _check_texts(value: Any) -> None:
    """Raises `ValueError` for a text that UTF-8 has no bytes for, or that a database refuses."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            if "\0" in each or any("\ud800" <= letter <= "\udfff" for letter in each):
                raise ValueError("a text holds a character that is none")
        elif isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            waiting += each
