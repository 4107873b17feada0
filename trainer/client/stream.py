"""The service's events as they come (`text/event-stream`): each once, in order, none missed.

A stream that breaks is asked for anew with the number of the last event.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import requests

from trainer.client.answers import AwayError, LostError, no_service
from trainer.client.jobs import RemoteJob, event_of
from trainer.client.wire import Request, Wire
from trainer.errors import ServiceError
from trainer.service.records import Event
from trainer.service.states import OVER

_END: Final = re.compile("\r\n|\n|\r(?!$)")  # a \r at the end may be half of a line's end
_MOST: Final = 2**24
"""Characters of one event."""


@dataclass
class _Message:
    """An event while its lines come in."""

    kind: str = "message"
    id: str | None = None
    data: list[str] = field(default_factory=list)


def messages(pieces: Iterable[bytes]) -> Iterator[_Message | None]:
    """The messages of a stream, of which some only tell their number; and None for each line that
    keeps it open. One that was not ended is none. Raises `ServiceError` for one without an end.
    """
    message = _Message()
    for line in _lines(pieces):
        if not line:
            if message.data or message.id is not None:
                yield message
            message = _Message()
        elif line.startswith(":"):
            yield None
        else:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                message.data.append(value)
            elif name == "event":
                message.kind = value
            elif name == "id":
                message.id = value


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    rest = ""
    for piece in pieces:
        *lines, rest = _END.split(rest + decode(piece))
        yield from lines
        if len(rest) > _MOST:
            raise ServiceError(
                "the service's stream of events holds a line without an end", code="TR-V003"
            )


def _event(message: _Message) -> tuple[int, Event | None]:
    """The number of a message, and its event, if it has one. Raises `ServiceError` for what is none
    of the service's.
    """
    try:
        number = int(message.id or "")
        data = json.loads("\n".join(message.data)) if message.data else None
    except ValueError:
        raise ServiceError(
            "the service's stream of events holds what is no event\n"
            "  hint: is this the service's address, and does a proxy change what it sends?",
            code="TR-V003",
        ) from None
    return number, event_of(number, message.kind, data) if message.data else None


class Follower:
    """Follows the events of a job, or of all that one may see. `look` asks how the job is; with it
    the events end where it does.
    """

    def __init__(
        self, wire: Wire, path: str, after: int | None, look: Callable[[], RemoteJob] | None
    ) -> None:
        self._wire = wire
        self._path = path
        self._last = after
        self._look = look
        self._ended = False
        self._over_before = False

    def events(self) -> Iterator[Event]:
        """Yields them. Raises `ServiceError` where the service stays away."""
        patience = self._wire.waiting()
        while True:
            before, failure = self._last, None
            try:
                with self._open() as response:
                    patience.extend()
                    yield from self._read(response)
                self._ended = self._ended or self._is_over()
            except (AwayError, LostError) as error:
                failure = error
                if not self._wire.met:
                    raise
            if self._ended:
                return
            if self._last != before:
                patience.begin()
            patience.wait(failure)

    def _open(self) -> requests.Response:
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if self._last is not None:
            headers["Last-Event-ID"] = str(self._last)
        response = self._wire.open(Request("GET", self._path, headers=headers))
        if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            response.close()
            raise no_service(response)
        return response

    def _read(self, response: requests.Response) -> Iterator[Event]:
        for message in messages(self._pieces(response)):
            if message is None:
                self._ended = self._is_over()
                if self._ended:
                    return
                continue
            number, event = _event(message)
            if self._last is not None and number <= self._last:
                continue
            self._last = number
            if event is None:
                continue
            self._over_before = False
            over = event.kind == "state" and event.data.get("to") in OVER
            self._ended = self._look is not None and over
            yield event
            if self._ended:
                return

    def _pieces(self, response: requests.Response) -> Iterator[bytes]:
        size = None if getattr(response.raw, "chunked", False) else 1
        with self._wire.told():
            yield from response.iter_content(size)

    def _is_over(self) -> bool:
        """Whether the job is over and its last events are read: nothing new came since it was found
        to be over before.
        """
        if self._look is None:
            return False
        before, self._over_before = self._over_before, self._look().over
        return before and self._over_before
