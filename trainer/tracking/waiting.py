"""Every wait for a store has an end, however slowly the store answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from trainer.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

CALL_SECONDS: Final = 30.0
"""How long one call may take. MLflow's own limit is one for each piece of an answer, which a
server that sends a byte now and then never meets."""
FILE_SECONDS: Final = 300.0
"""The same of a call that sends or fetches files."""
_OF_FILES: Final = ("log_artifact", "log_model_artifacts", "log_text", "download_artifacts")


def within(seconds: float, action: Callable[[], T], who: str) -> T:
    """What the action returns or raises. Raises `TrackingError` where `who` takes longer; what
    the action does then is left to itself.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def act() -> None:
        try:
            done.append(action())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=act, daemon=True)  # the end of the process waits for none
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not done:
        raise TrackingError(
            f"{who} has not answered to the end within {seconds:g} s", code="TR-T001"
        )
    return done[0]


class _Limited:
    """A client of MLflow whose calls all have an end."""

    def __init__(self, client: MlflowClient, who: str) -> None:
        self._client, self._who = client, who

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        seconds = FILE_SECONDS if name in _OF_FILES else CALL_SECONDS

        @wraps(method)
        def call(*args: Any, **named: Any) -> Any:
            return within(seconds, lambda: method(*args, **named), self._who)

        return call


def limited(make: Callable[[], MlflowClient], who: str) -> MlflowClient:
    """A client whose calls, and whose making, take no longer than they may; `who` is the store as
    messages call it. Raises what `within` raises.
    """
    client = within(CALL_SECONDS, make, who)
    return cast("MlflowClient", _Limited(client, who))
