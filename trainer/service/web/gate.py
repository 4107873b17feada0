"""The one gate: every request comes through it before anything else sees it.

It asks for a name of ours, for an origin of ours where something is to be changed, and for somebody
whom we know, but for the few public routes: whatever is not in their list needs a token, also what
is not there at all. It limits how much and how often, puts safe headers on every answer, and writes
down who has changed something before the answer says so.
"""

from __future__ import annotations

import re
import time
from asyncio import wrap_future
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trainer.errors import TrainerError, UsageError
from trainer.service.desk import Desk
from trainer.service.records import User
from trainer.service.refusals import Rate, TooLarge, Unauthorised
from trainer.service.web.answers import internal, refusal
from trainer.service.web.guard import SAFE, Headers, check_host, check_origin, names_of
from trainer.service.web.limits import Buckets
from trainer.service.web.measures import Measures
from trainer.service.web.roles import AGAIN, AUDIT, FAILED, USER, is_public

COOKIE: Final = "trainer_session"
ROOM: Final = 2**16
"""Bytes of a body beside the spec in it."""
MLFLOW_BYTES: Final = 64 * 2**20
_BEARER: Final = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,200})", re.I)
_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""What every answer says that does not say something else there."""


@dataclass(frozen=True)
class Credential:
    """What a request shows: the secret of a token, or of a session's cookie."""

    secret: str
    cookie: bool = False


ACCESS: Final = ("/tokens", "/session")
"""Where it is changed who comes in."""
KNOWN_SECONDS: Final = 1.0
"""So long a token that was taken from us beside this server may still let somebody in."""
MOST_KNOWN: Final = 1000


class Gate:
    """The outermost middleware."""

    def __init__(
        self, app: ASGIApp, desk: Desk, measures: Measures, clock: Callable[[], float]
    ) -> None:
        settings = desk.settings
        self._app, self._desk, self._measures = app, desk, measures
        self._names = names_of(settings)
        rate, logins = settings.requests_per_second, settings.logins_per_minute
        self._requests = Buckets(rate, rate, clock)
        self._failures = Buckets(logins / 60, logins, clock)
        self._clock = clock
        self._known: dict[Credential, tuple[User, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request in, or answers it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:  # nothing here speaks websocket
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(scope, send, self._desk, self._known.clear)
        began = time.perf_counter()
        try:
            headers = Headers.of(scope["headers"])
            await self._admit(scope, headers)
            body = _Body(receive, self._limit(scope), headers)
            await self._app(scope, body.receive, answer.send)
        except ClientDisconnect:
            return
        except Exception as error:
            response = _told(answer.failure or error)
            if not answer.status:
                await response(scope, receive, answer.send)
        finally:
            self._measures.request(scope, answer.status, time.perf_counter() - began)

    # Who comes ----------------------------------------------------------------------------------

    async def _admit(self, scope: Scope, headers: Headers) -> None:
        """Puts who comes into the scope. Raises what is to be answered instead."""
        check_host(headers.one("host"), self._names)
        if b"%00" in scope.get("raw_path", b"") or b"%00" in scope["query_string"]:
            raise UsageError("the address holds a NUL", code="TR-V012")
        scope[AUDIT] = {}
        shown = credential_of(headers)
        cookie = shown is not None and shown.cookie
        check_origin(headers, scope["method"], scope["scheme"], cookie)
        if is_public(scope["method"], scope["path"]):
            self._check_logins(scope)
            return
        user = None if shown is None else await self._known_user(shown)
        if shown is None or user is None:
            raise self._stranger(scope, shown)
        if wait := self._requests.take(user.name):
            rate = self._desk.settings.requests_per_second
            raise Rate(f"{user.name} may ask {rate:g} times a second", wait)
        scope[USER] = user
        scope[AGAIN] = partial(self._is_still, user, shown)

    async def _is_still(self, user: User, shown: Credential) -> bool:
        return await self._user(shown) == user

    async def _known_user(self, shown: Credential) -> User | None:
        """Who shows this. A program that asks many times a second is looked up once in a while."""
        user, until = self._known.get(shown, (None, 0.0))
        if user is None or self._clock() >= until:
            user = await self._user(shown)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            if user is not None:
                self._known[shown] = user, self._clock() + KNOWN_SECONDS
        return user

    async def _user(self, shown: Credential) -> User | None:
        store = self._desk.store
        find = store.session if shown.cookie else store.token
        return await run_in_threadpool(find, shown.secret)

    def _stranger(self, scope: Scope, shown: Credential | None) -> TrainerError:
        """What somebody is told whom we do not know. Who tries many secrets has to wait."""
        if shown is None:
            return Unauthorised("this needs a token: Authorization: Bearer trn_…")
        if wait := self._failures.take(f"secret {address_of(scope)}"):
            return Rate("too many tokens that let nobody in", wait)
        return Unauthorised("the token is not known, was revoked, or has expired")

    def _check_logins(self, scope: Scope) -> None:
        """Raises `Rate` before one more login is tried from an address with too many of them.

        The route takes one out for each that fails.
        """
        if scope["path"] == "/session":
            name = f"login {address_of(scope)}"
            if wait := self._failures.wait(name):
                raise Rate("too many logins that failed", wait)
            scope[FAILED] = lambda: self._failures.take(name)

    # How much -----------------------------------------------------------------------------------

    def _limit(self, scope: Scope) -> int:
        """How many bytes the body may have. JSON may write a byte of a spec as six."""
        settings, path = self._desk.settings, scope["path"]
        if path.startswith("/data/"):
            return settings.upload_bytes
        if path.startswith("/mlflow/"):
            return MLFLOW_BYTES
        return 6 * settings.spec_bytes + ROOM


def _told(error: Exception) -> Response:
    return refusal(error) if isinstance(error, TrainerError) else internal(error)


def credential_of(headers: Headers) -> Credential | None:
    """What the request shows. A token counts before a cookie: who sends one that is wrong is not
    let in by the other, nor who sends what is no token at all.
    """
    given = headers.one("authorization")
    if given is not None:
        found = _BEARER.fullmatch(given.strip())
        return Credential("" if found is None else found[1])
    secrets = [
        cookies[COOKIE]
        for text in headers.found.get("cookie", ())
        if (cookies := cookie_parser(text)).get(COOKIE)
    ]
    return Credential(secrets[0], cookie=True) if len(set(secrets)) == 1 else None


def address_of(scope: Scope) -> str:
    """Where the request comes from; of IPv6 the network, of which one has as many as one likes."""
    host = (scope.get("client") or ("?",))[0]
    return ":".join(host.split(":")[:4]) if host.count(":") > 3 else str(host)


@dataclass
class _Body:
    """The body of a request, as far as it may go."""

    inner: Receive
    limit: int
    headers: Headers
    taken: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        length = self.headers.one("content-length")
        if length is not None and (not length.isdecimal() or int(length) > self.limit):
            raise self._too_large()

    async def receive(self) -> Message:
        message = await self.inner()
        self.taken += len(message.get("body", b""))
        if self.taken > self.limit:
            raise self._too_large()
        return message

    def _too_large(self) -> TooLarge:
        return TooLarge(f"a body has at most {self.limit:,} bytes here")


class _Answer:
    """What is sent back, with the headers that every answer has. What has changed something is
    written down before it is answered.
    """

    def __init__(self, scope: Scope, send: Send, desk: Desk, forget: Callable[[], None]) -> None:
        """`forget` is called where it may have changed who comes in."""
        self._scope, self._send, self._desk, self._forget = scope, send, desk, forget
        self.status = 0
        self.failure: Exception | None = None

    async def send(self, message: Message) -> None:
        """Sends a message of the app."""
        if message["type"] == "http.response.start":
            if self._scope["method"] not in SAFE and self._scope["path"].startswith(ACCESS):
                self._forget()
            if self.failure is None:
                await self._audit(message["status"])
            self.status = message["status"]
            there = {name.lower() for name, _ in message.get("headers", ())}
            more = [each for each in _HEADERS if each[0] not in there]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await self._send(message)

    async def _audit(self, status: int) -> None:
        """Writes down what was asked, and what came of it. Of nobody whom we know that is only what
        the route has to say: else anybody could fill the log.

        Raises `RuntimeError` where it cannot be written: who asked is not told that all is well,
        nor, as it is done, that it may be asked again.
        """
        scope = self._scope
        user, more = scope.get(USER), scope.get(AUDIT)
        if scope["method"] in SAFE or status >= 500:
            return
        if more is None or more.get("skip") or not (user or more):
            return
        detail: dict[str, Any] = {"status": status, "from": address_of(scope), **more}
        name = str(more.get("user", ""))
        if isinstance(user, User):
            name, detail["token"] = user.name, user.token
        action = getattr(scope.get("route"), "operation_id", None)
        if action is None or status == 405:
            action = scope["method"]
        try:
            await wrap_future(self._desk.store.auditing(name, action, scope["path"], detail))
        except TrainerError as error:
            self.failure = RuntimeError("what was done could not be written into the audit log")
            raise self.failure from error
