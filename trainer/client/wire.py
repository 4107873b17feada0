"""One request to the service: its token, how long it is waited for, and when it is sent again.

What was surely not done, and what may be done twice without harm, is sent again while there is
patience. No redirect is followed: a token is for one address.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import NewConnectionError

from trainer.client.access import Access
from trainer.client.answers import (
    NO_SPEC,
    AwayError,
    LostError,
    MissingError,
    Sent,
    as_object,
    refusal,
)
from trainer.errors import ServiceError, UsageError

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 60.0
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
SAFE: Final = frozenset({"GET", "HEAD", "PUT", "PATCH", "DELETE"})
"""What may be sent twice: a second time changes nothing more."""
_JITTER: Final = SystemRandom()


class _Bearer(AuthBase):
    """Puts the token into a request, in the place of what a `.netrc` would."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


@dataclass(frozen=True)
class Request:
    """What is asked. `data` is sent as JSON, or `body` as it is. `again` says whether it may be
    sent twice, by default whether its method says so. `sent` is the spec that it is about.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    again: bool | None = None
    sent: Sent = NO_SPEC

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent twice."""
        return self.method in SAFE if self.again is None else self.again


class Patience:
    """How long something is tried again: so many seconds, with pauses that grow, and that are not
    the same for everyone who waits.
    """

    def __init__(self, seconds: float, sleep: Callable[[float], None]) -> None:
        self._seconds = seconds
        self._sleep = sleep
        self.begin()

    def begin(self) -> None:
        """Begins anew, since something went well."""
        self.extend()
        self._pause = FIRST_PAUSE

    def extend(self) -> None:
        """Has as many seconds again, with pauses that still grow."""
        self._until = time.monotonic() + self._seconds

    def wait(self, failure: Exception | None, seconds: float = 0.0) -> None:
        """Waits, at least for so long. Raises what failed where patience has an end."""
        pause = max(seconds, self._pause * _JITTER.uniform(0.75, 1.25))
        if failure is not None and time.monotonic() + pause > self._until:
            raise failure
        self._sleep(pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


class Wire:
    """The connection to a service. `patience` is for how many seconds it may be away, once it was
    `met`: nobody waits for one that was never there.
    """

    def __init__(
        self,
        access: Access,
        patience: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.access = access
        self.patience = patience
        self.met = False
        self._sleep = sleep
        self._bearer = _Bearer(access.token)
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=8, max_retries=0))

    def object(self, request: Request) -> Mapping[str, Any]:
        """The JSON object that the service answers with."""
        return as_object(self.ask(request))

    def ask(self, request: Request) -> requests.Response:
        """The answer, whole. Raises a `TrainerError`; `AwayError` and `LostError` pass by."""
        return self._patient(request, stream=False)

    def open(self, request: Request) -> requests.Response:
        """The answer, whose body is still to be read."""
        return self._patient(request, stream=True)

    def close(self) -> None:
        """Lets go of its connections."""
        self._session.close()

    def head(self, path: str) -> Mapping[str, str] | None:
        """The headers of what is there; None where nothing is."""
        try:
            return self.ask(Request("HEAD", path)).headers
        except MissingError:
            return None

    def waiting(self) -> Patience:
        """Patience that begins now."""
        return Patience(self.patience, self._sleep)

    # Again and again ------------------------------------------------------------------------

    def _patient(self, request: Request, stream: bool) -> requests.Response:
        patience, asked = self.waiting(), 0.0
        while True:
            try:
                response = self._once(request, stream)
                self.met = self.met or response.status_code < 500
                if response.status_code < 300:
                    return response
                response.close()
                raise refusal(response, request.sent)
            except AwayError as error:
                failure: ServiceError = error
                asked = error.seconds
                if not self.met:
                    raise
            except LostError as error:
                failure = error
                if not (request.repeatable and self.met):
                    raise
            patience.wait(failure, asked)

    def _once(self, request: Request, stream: bool) -> requests.Response:
        body = request.body
        headers = {"User-Agent": "trainer", "Accept": "application/json", **request.headers}
        if request.data is not None:
            body = _as_json(request.data)
            headers["Content-Type"] = "application/json"
        with self.told():
            response = self._session.request(
                request.method,
                f"{self.access.server}{request.path}",
                params=request.query,
                data=body,
                headers=headers,
                auth=self._bearer,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=stream,
                verify=str(self.access.ca) if self.access.ca else None,
            )
            if response.status_code >= 300:
                _ = response.content  # what it says is read within these words
            return response

    @contextmanager
    def told(self) -> Iterator[None]:
        """What `requests` raises within becomes a `TrainerError`. Its own words are not told: they
        hold addresses of memory, and what they are chained to holds the token.
        """
        server = self.access.server
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise ServiceError(
                f"the certificate of {server} is not trusted: {_reason(error)}\n"
                "  hint: give the file of the authority that signed it as `ca` in a profile, "
                "or in REQUESTS_CA_BUNDLE",
                code="TR-V016",
            ) from None
        except requests.exceptions.InvalidURL:
            raise UsageError(f"'{server}' is no address of a service", code="TR-V014") from None
        except (requests.ConnectTimeout, requests.exceptions.ProxyError):
            raise self._away("it does not answer") from None
        except requests.ConnectionError as error:
            why = _not_sent(error)
            if why is not None:
                raise self._away(why) from None
            raise self._lost("the connection was cut") from None
        except requests.Timeout:
            raise self._lost(f"no answer within {READ_SECONDS:.0f} s") from None
        except OSError as error:
            if isinstance(error, requests.RequestException):
                raise self._lost("the connection was cut") from None
            raise ServiceError(f"{server} cannot be asked: {error}", code="TR-V001") from None

    def _away(self, why: str) -> AwayError:
        return AwayError(
            f"no training service at {self.access.server}: {why}\n"
            "  hint: is the address right, and is the service running (`train service`)?"
        )

    def _lost(self, why: str) -> LostError:
        self.met = True  # there was a connection
        return LostError(
            f"{self.access.server} did not answer to the end: {why}\n"
            "  hint: what was asked may be done or not; ask again"
        )


def _as_json(data: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(data, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"what is sent must be plain numbers, texts and lists: {error}", code="TR-U009"
        ) from None


def _not_sent(error: BaseException) -> str | None:
    """Why there was no connection; None where there was one."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    if not isinstance(cause, NewConnectionError):
        return None
    text = str(cause)
    if "refused" in text:
        return "the connection is refused"
    return "its name is not known" if "resolve" in text else "it cannot be reached"


def _reason(error: BaseException) -> str:
    """The part of a refusal by TLS that tells what is wrong."""
    text = str(error)
    for sign in ("self-signed", "self signed", "expired", "Hostname mismatch", "doesn't match"):
        if sign in text:
            return "it is for another name" if "match" in sign else f"it is {sign}"
    return "no known authority signed it"
