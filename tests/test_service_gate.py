"""The gate of the service: who comes in, from where, how often; a table of all routes.

Each hole that another service had is a test: routes without authentication, methods that a check of
origins forgot, names that were made to lead here, no authentication by default.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from faults.served import SPEC, Client, Served, serving

from trainer.service.records import User
from trainer.service.settings import Settings
from trainer.service.store import JobFilter, StoreAway
from trainer.service.web import app as app_module
from trainer.service.web import roles
from trainer.service.web.guard import check_host, names_of, origin_of
from trainer.service.web.limits import MOST, Buckets
from trainer.service.web.roles import PUBLIC, is_public, stated_roles

SHA256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"  # of "hello"
HI = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"  # of "hi"
JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for tests that change nothing that others look at."""
    with serving(tmp_path_factory.mktemp("shared"), logins_per_minute=60_000) as made:
        yield made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, logins_per_minute=60_000) as made:
        yield made


# Every route, every kind of visitor -------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A route as it is asked, what the right visitor gets, and one who sees only other jobs."""

    path: str
    right: int
    other: int | None = None  # None: as the right one
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


ROUTES = {
    "get_health": Row("/health", 200),
    "get_page": Row("/", 200),
    "get_static": Row("/static/no-such-file", 404),
    "log_in": Row("/session", 401, body=b'{"token": "trn_wrong"}', headers=JSON),
    "who_am_i": Row("/session", 200),
    "log_out": Row("/session", 204),
    "get_metrics": Row("/metrics", 200, 403),
    "get_service": Row("/service", 200),
    "drain_service": Row("/service/drain", 200),
    "get_schema": Row("/schema", 200),
    "get_openapi": Row("/openapi.json", 200),
    "check_spec": Row("/check", 200, body=SPEC.encode(), headers=YAML),
    "submit_job": Row("/jobs", 201, body=SPEC.encode(), headers=YAML),
    "list_jobs": Row("/jobs", 200),
    "get_job": Row("/jobs/{id}", 200, 404),
    "prioritize_job": Row("/jobs/{id}", 200, 404, body=b'{"priority": 3}', headers=JSON),
    "cancel_job": Row("/jobs/{id}/cancel", 200, 404),
    "pause_job": Row("/jobs/{id}/pause", 200, 404),
    "resume_job": Row("/jobs/{id}/resume", 200, 404),
    "get_job_spec": Row("/jobs/{id}/spec", 200, 404),
    "get_job_resolved": Row("/jobs/{id}/resolved", 200, 404),
    "get_job_changes": Row("/jobs/{id}/changes", 200, 404),
    "get_job_curves": Row("/jobs/{id}/curves", 200, 404),
    "get_job_run": Row("/jobs/{id}/run", 404, 404),
    "diff_jobs": Row("/jobs/{id}/diff?with={id}", 200, 404),
    "list_job_files": Row("/jobs/{id}/files", 200, 404),
    "get_job_file": Row("/jobs/{id}/files/files/a.txt", 200, 404),
    "stream_events": Row("/events", 200),
    "stream_job_events": Row("/jobs/{id}/events", 200, 404),
    "list_data": Row("/data", 200),
    "head_data": Row(f"/data/{SHA256}", 200, 404),
    "put_data": Row(
        "/data/8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4", 201, body=b"hi"
    ),
    "delete_data": Row(f"/data/{SHA256}", 204, 404),
    "list_tokens": Row("/tokens", 200),
    "add_token": Row("/tokens", 201, body=b'{"name": "{name}"}', headers=JSON),
    "revoke_token": Row("/tokens/{name}", 204),
    "list_audit": Row("/audit", 200),
    "ask_mlflow": Row("/mlflow/", 404),
}
"""By operation. One that is not here fails the test."""


class Visitors:
    """A service with visitors of every kind. Each finds a job, a file and a token that nobody has
    changed before it.
    """

    def __init__(self, served: Served) -> None:
        self.served = served
        served.app.state.feed.closed = True  # streams tell where they are, and end
        self.owner = served.token("ada")
        served.token("old", expires=served.clock.now - 1)
        served.token("gone")
        served.store.revoke("gone")
        served.token("root", "admin")
        served.token("bob")
        served.token("eve", "reader")
        served.token("ann", "reader", user="ada")
        served.token("all", "reader", all=True)
        self.count = 0
        self.submit()

    def submit(self) -> None:
        """A new job, whose run has left a file."""
        self.job = self.served.client(self.owner).submit().json()["id"]
        folder = self.served.desk.runs / self.job / "files"
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("a")

    def ask(self, method: str, row: Row, headers: Mapping[str, str]) -> httpx2.Response:
        path = row.path.replace("{id}", self.job).replace("{name}", f"spare-{self.count}")
        body = row.body.replace(b"{name}", f"new-{self.count}".encode())
        return self.served.client().ask(
            method, path, content=body, headers={**row.headers, **headers}
        )

    def renew(self, row: Row) -> None:
        """Has what the row needs be as it was."""
        served, self.count = self.served, self.count + 1
        served.work.draining = False
        if "/tokens" in row.path:
            served.token(f"spare-{self.count}")
        if SHA256 in row.path:
            served.client(self.owner).ask("PUT", f"/data/{SHA256}", content=b"hello")
        if row.path.endswith(("cancel", "pause", "resume")):
            self.submit()


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def cookie(secret: str) -> dict[str, str]:
    return {"Cookie": f"trainer_session={secret}", "Origin": "http://localhost"}


def strangers(visitors: Visitors) -> dict[str, dict[str, str]]:
    """Headers of those who are let in nowhere, by what they are."""
    tokens, right = visitors.served.tokens, visitors.owner
    return {
        "nobody": {},
        "wrong": bearer("trn_" + "A" * 43),
        "expired": bearer(tokens["old"]),
        "revoked": bearer(tokens["gone"]),
        "another scheme": {"Authorization": f"Basic {right}"},
        "a secret without a scheme": {"Authorization": right},
        "an empty secret": {"Authorization": "Bearer "},
        "a token as a cookie": cookie(right),
        "a cookie of nobody": cookie("x" * 43),
        "a wrong token beside a right cookie": {
            **bearer("trn_" + "B" * 43),
            **cookie(visitors.served.store.add_session(User("ada", "submitter", "ada"), 1)),
        },
        "in the query": {},
    }


def stated(served: Served) -> dict[str, roles.Stated]:
    found = {}
    for each in stated_roles(served.app):
        key = each.operation or "ask_mlflow"
        if key != "ask_mlflow" or each.method == "GET":
            found[key] = each
    return found


def test_every_route_has_its_row(served: Served) -> None:
    assert set(stated(served)) == set(ROUTES)
    public = {(each.method, each.path) for each in stated(served).values() if each.role is None}
    assert public == PUBLIC


def test_nobody_whom_we_do_not_know_comes_in_anywhere(served: Served) -> None:
    visitors = Visitors(served)
    before = served.store.jobs(JobFilter()).total
    for name, route in stated(served).items():
        row = ROUTES[name]
        for kind, headers in strangers(visitors).items():
            if kind == "in the query":
                sign = "&" if "?" in row.path else "?"
                row = Row(f"{row.path}{sign}token={visitors.owner}", row.right, None, row.body)
            answer = visitors.ask(route.method, row, headers)
            if route.role is None:
                assert answer.status_code in (row.right, 400), (name, kind)
                continue
            assert answer.status_code == 401, (name, kind, answer.text)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            if route.method != "HEAD":
                assert set(answer.json()) == {"error", "code", "message"}
    assert served.store.jobs(JobFilter()).total == before
    assert [e.action for e in served.store.entries()] == ["submit_job"] + ["log_in"] * 10


WHO = ("eve", "ann", "all", "bob", "ada", "root")
SPECIAL = {
    "get_metrics": {"eve": 403, "ann": 403, "all": 200, "bob": 403, "ada": 403, "root": 200},
    "head_data": {"eve": 404, "ann": 200, "all": 404, "bob": 404, "ada": 200, "root": 404},
    "delete_data": {"eve": 403, "ann": 403, "all": 403, "bob": 404, "ada": 204, "root": 404},
}
"""What does not follow from the role: measures are of all jobs, files each user's own."""


def expected(name: str, role: str | None) -> dict[str, int]:
    """What each visitor gets: a reader who sees others' jobs or not, one who is the owner, a
    submitter who is not, the owner, an admin.
    """
    row = ROUTES[name]
    right, other = row.right, row.other if row.other is not None else row.right
    by_role: dict[str | None, tuple[int, ...]] = {
        None: (right,) * 6,
        "reader": (other, right, right, other, right, right),
        "submitter": (403, 403, 403, other, right, right),
        "admin": (403, 403, 403, 403, 403, right),
    }
    return dict(zip(WHO, by_role[role], strict=True)) | SPECIAL.get(name, {})


def test_each_route_is_for_the_roles_that_it_says(served: Served) -> None:
    visitors = Visitors(served)
    for name, route in stated(served).items():
        found = {}
        for who in WHO:
            visitors.renew(ROUTES[name])
            headers = bearer(served.tokens[who])
            found[who] = visitors.ask(route.method, ROUTES[name], headers).status_code
        assert found == expected(name, route.role), name


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/docs", "/redoc", "/openapi.json/", "/jobs/", "/Health", "/health/",
     "/health%2F..%2Fjobs", "/static", "/staticx", "/%2e%2e/health", "/session/x", "/metrics",
     "/mlflow", "/mlflow/ajax-api/2.0/mlflow/runs/search", "/docs/oauth2-redirect", "/.env"],
)  # fmt: skip
def test_what_is_not_there_is_no_way_in_either(path: str, shared: Served) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
        assert shared.client().ask(method, path).status_code == 401, method
    assert shared.client(shared.token("ada")).get(path).status_code in (403, 404)


def test_public_paths_are_public_for_one_method_only(served: Served) -> None:
    for method, path in (("POST", "/health"), ("DELETE", "/"), ("PUT", "/static/app.js"),
                         ("GET", "/session"), ("PATCH", "/session"), ("HEAD", "/")):  # fmt: skip
        assert served.client().ask(method, path).status_code == 401
    assert not is_public("GET", "/static")
    assert is_public("GET", "/static/x")


def test_websockets_are_refused(served: Served) -> None:
    sent: list[Any] = []

    async def connect() -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": "/events", "headers": [], "query_string": b""}
        await served.app(scope, receive, send)

    asyncio.run(connect())
    assert [each["type"] for each in sent] == ["websocket.close"]


# Faults that are planted ------------------------------------------------------------------------


def leaking(**how: Any) -> APIRouter:
    router = APIRouter()
    router.add_api_route("/leak", lambda: {"secret": 1}, **how)
    return router


@pytest.mark.parametrize(
    ("router", "says"),
    [
        (leaking(), "must say one role, and says 0"),
        (leaking(dependencies=[roles.Anybody]), "may not be public"),
        (leaking(dependencies=[roles.Anybody, roles.Depends(roles.Needs("admin"))]), "says 2"),
    ],
)
def test_an_app_with_a_route_that_says_no_role_is_not_made(
    router: APIRouter, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "ROUTERS", (*app_module.ROUTERS, router))
    with pytest.raises(ValueError, match=says), serving(tmp_path):
        pass


def test_a_mount_is_not_made_either(served: Served) -> None:
    async def anything(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it was reached")

    served.app.mount("/files", anything)
    with pytest.raises(ValueError, match="/files must say one role"):
        stated_roles(served.app)
    assert served.client().get("/files/x").status_code == 401


def test_a_route_that_was_planted_later_is_found_and_closed(served: Served) -> None:
    served.app.include_router(leaking())
    with pytest.raises(ValueError, match="/leak must say one role"):
        stated_roles(served.app)
    assert served.client().get("/leak").status_code == 401


def test_the_walk_itself_notices_an_open_door(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.service.web.gate.is_public", lambda method, path: True)
    monkeypatch.setattr(roles.Needs, "__call__", _lets_in)
    with pytest.raises(AssertionError):
        test_nobody_whom_we_do_not_know_comes_in_anywhere(served)


async def _lets_in(self: roles.Needs, request: roles.Request) -> User:
    return User("ada", "admin", "ada", True)


# Names of the service (DNS rebinding) -----------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("localhost:8400", 200), ("127.0.0.1:9", 200), ("[::1]:8400", 200),
     ("LOCALHOST", 200), ("localhost.", 200), ("evil.example", 400),
     ("localhost.evil.example", 400), ("127.0.0.1.nip.io", 400), ("", 400),
     ("localhost:80:80", 400), ("localhost@evil.example", 400),
     ("localhost/evil", 400), ("evil.example:8400", 400), ("0.0.0.0", 400), ("localhost:x", 400)],
)  # fmt: skip
def test_a_request_names_the_service(host: str, status: int, shared: Served) -> None:
    for path in ("/health", "/jobs", "/"):
        headers = {"Host": host, **bearer(shared.token("ada"))}
        answer = shared.client().get(path, headers=headers)
        assert answer.status_code == status, path


@pytest.mark.parametrize(
    ("settings", "name", "good"),
    [
        (Settings(), "localhost", True),
        (Settings(host="10.1.2.3"), "10.1.2.3:8400", True),
        (Settings(host="10.1.2.3"), "10.1.2.4", False),
        (Settings(host="::1"), "[::1]:8400", True),
        (Settings(hosts=("train.example",)), "train.example", True),
        (Settings(hosts=("train.example",)), "TRAIN.example:443", True),
        (Settings(hosts=("train.example",)), "localhost", False),
        (Settings(hosts=("train.example:8443",)), "train.example:8443", True),
        (Settings(hosts=("train.example:8443",)), "train.example", False),
        (Settings(hosts=("*",)), "anything", False),
    ],
)
def test_its_names_are_those_that_are_set(settings: Settings, name: str, good: bool) -> None:
    try:
        check_host(name, names_of(settings))
        found = True
    except Exception:
        found = False
    assert found is good


@pytest.mark.parametrize("name", ["Host", "Authorization", "Origin", "Content-Length"])
def test_a_header_that_comes_twice_is_refused(name: str, shared: Served) -> None:
    value = {"Host": "localhost", "Authorization": f"Bearer {shared.token('ada')}",
             "Origin": "http://localhost", "Content-Length": "0"}[name]  # fmt: skip
    headers = [
        (b"host", b"localhost"),
        (b"authorization", f"Bearer {shared.token('ada')}".encode()),
    ]
    pair = (name.lower().encode(), value.encode())
    headers += [pair] * (2 - sum(each[0] == pair[0] for each in headers))
    assert raw(shared, "POST", "/jobs", headers)[0] == 400


def raw(
    served: Served, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes = b"",
    scheme: str = "http", query: bytes = b"",
) -> tuple[int, dict[str, str], bytes]:  # fmt: skip
    """What the app answers to exactly these headers."""
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": method, "path": path, "raw_path": path.encode(), "query_string": query,
        "root_path": "", "scheme": scheme, "headers": headers, "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }  # fmt: skip
    asyncio.run(served.app(scope, receive, send))
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], head, b"".join(each.get("body", b"") for each in sent[1:])


# Pages of other sites (CSRF) --------------------------------------------------------------------

UNSAFE = ("POST", "PUT", "PATCH", "DELETE", "PROPPATCH")


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    ("headers", "good"),
    [
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://localhost:80"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://localhost:8401"}, False),
        ({"Origin": "https://localhost"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "http://localhost/"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Referer": "http://localhost/"}, False),
    ],
)
def test_only_our_page_changes_something_by_the_cookie(
    method: str, headers: Mapping[str, str], good: bool, shared: Served
) -> None:
    session = shared.store.add_session(User("ada", "submitter", "ada"), 1)
    asked = {"Cookie": f"trainer_session={session}", **headers}
    answer = shared.client().ask(method, "/jobs/none", headers=asked)
    assert (answer.status_code == 403) is not good, answer.text
    if good:
        assert answer.status_code in (400, 404, 405)


@pytest.mark.parametrize("method", UNSAFE)
def test_a_token_needs_no_origin_but_no_other_one_either(method: str, shared: Served) -> None:
    client = shared.client(shared.token("ada"))
    for headers, good in (({}, True), ({"Origin": "http://evil.example"}, False),
                          ({"Origin": "null"}, False), ({"Sec-Fetch-Site": "cross-site"}, False),
                          ({"Origin": "http://localhost"}, True)):  # fmt: skip
        status = client.ask(method, "/jobs/none", headers=headers).status_code
        assert (status != 403) is good, headers


def test_nobody_is_logged_in_by_another_site(served: Served) -> None:
    token = {"token": served.token("ada")}
    for headers, status in (({}, 200), ({"Origin": "http://localhost"}, 200),
                            ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403),
                            ({"Sec-Fetch-Site": "cross-site"}, 403)):  # fmt: skip
        answer = served.client().post("/session", json=token, headers=headers)
        assert answer.status_code == status
        assert ("set-cookie" in answer.headers) is (status == 200)
    form = {"Content-Type": "text/plain"}
    answer = served.client().post("/session", content=json.dumps(token), headers=form)
    assert answer.status_code == 400  # what a form can send is no JSON


def test_no_other_page_is_let_read(served: Served) -> None:
    headers = {"Origin": "http://evil.example", **bearer(served.token("ada"))}
    for method in ("GET", "OPTIONS"):
        answer = served.client().ask(
            method, "/jobs", headers={**headers, "Access-Control-Request-Method": "DELETE"}
        )
        assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    ("text", "origin"),
    [("http://a", ("http", "a", "80")), ("https://A:443", ("https", "a", "443")),
     ("http://[::1]:8", ("http", "[::1]", "8")), ("null", None), ("", None), ("a", None),
     ("file://", None), ("http://a/b", None), ("http://u@a", None), ("ftp://a", None)],
)  # fmt: skip
def test_origins(text: str, origin: Any) -> None:
    assert origin_of(text) == origin


# Sessions ---------------------------------------------------------------------------------------


def logged_in(served: Served, **asked: Any) -> tuple[str, str]:
    """The cookie's secret, and the header that set it."""
    answer = served.client().post("/session", json=asked)
    assert answer.status_code == 200, answer.text
    header = answer.headers["set-cookie"]
    return header.partition("=")[2].partition(";")[0], header


def test_a_cookie_that_no_script_reads(served: Served) -> None:
    secret, header = logged_in(served, token=served.token("ada"))
    words = {word.strip().lower() for word in header.split(";")}
    assert {"httponly", "samesite=strict", "path=/"} <= words
    assert "secure" not in words
    assert served.tokens["ada"] not in header
    me = served.client().get("/session", headers=cookie(secret)).json()
    assert me == {"user": "ada", "role": "submitter", "all": False}


def test_the_cookie_is_for_tls_alone_where_there_is_tls(served: Served) -> None:
    body = json.dumps({"token": served.token("ada")}).encode()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    _, head, _ = raw(served, "POST", "/session", headers, body, scheme="https")
    assert "; secure" in head["set-cookie"].lower()


def test_a_code_lets_in_once(served: Served) -> None:
    served.token("ada")
    code = served.store.one_time(User("ada", "submitter", "ada"))
    logged_in(served, code=code)
    assert served.client().post("/session", json={"code": code}).status_code == 401


def test_a_session_ends_with_its_token_its_time_and_its_user(served: Served) -> None:
    for end in ("logout", "revoke", "time"):
        name = f"ada-{end}"
        secret, _ = logged_in(served, token=served.token(name))
        assert served.client().get("/jobs", headers=cookie(secret)).status_code == 200
        if end == "logout":
            answer = served.client().ask("DELETE", "/session", headers=cookie(secret))
            assert answer.status_code == 204
            assert "max-age=0" in answer.headers["set-cookie"].lower()
        elif end == "revoke":
            admin = served.client(served.token("root", "admin"))
            assert admin.ask("DELETE", f"/tokens/{name}").status_code == 204
        else:
            served.clock.now += 168 * 3600 + 1
            served.ticks.now += 168 * 3600 + 1
        assert served.client().get("/jobs", headers=cookie(secret)).status_code == 401


@pytest.mark.parametrize("text", ["trainer_session=a; trainer_session=b", "trainer_session=", "x"])
def test_cookies_that_tell_nobody(text: str, shared: Served) -> None:
    assert shared.client().get("/jobs", headers={"Cookie": text}).status_code == 401


# Limits -----------------------------------------------------------------------------------------


def test_a_user_may_ask_so_often(tmp_path: Path) -> None:
    with serving(tmp_path, requests_per_second=5) as served:
        ada, bob = served.client(served.token("ada")), served.client(served.token("bob"))
        assert [ada.get("/session").status_code for _ in range(6)] == [200] * 5 + [429]
        answer = ada.get("/session")
        assert answer.json()["error"] == "rate"
        assert int(answer.headers["Retry-After"]) == 1
        assert bob.get("/session").status_code == 200
        served.ticks.now += 0.2
        assert [ada.get("/session").status_code for _ in range(2)] == [200, 429]
        again = served.client(served.token("ada-2", user="ada"))  # another token, the same user
        assert again.get("/session").status_code == 429


def test_guessing_is_slowed_down_by_address(tmp_path: Path) -> None:
    with serving(tmp_path, logins_per_minute=3) as served:
        wrong = {"token": "trn_" + "x" * 43}
        here, there = served.client(), served.client(address="10.0.0.9")
        assert [here.post("/session", json=wrong).status_code for _ in range(5)] == [
            401, 401, 401, 429, 429,
        ]  # fmt: skip
        right = {"token": served.token("ada")}
        assert here.post("/session", json=right).status_code == 429
        assert there.post("/session", json=right).status_code == 200
        assert served.client(served.token("ada")).get("/jobs").status_code == 200
        served.ticks.now += 20
        assert here.post("/session", json=right).status_code == 200
        guess = {"Authorization": "Bearer trn_" + "y" * 43}
        assert [here.get("/jobs", headers=guess).status_code for _ in range(5)] == [
            401, 401, 401, 429, 429,
        ]  # fmt: skip
        # who knows a secret is not locked out by others at the same address
        assert served.client(served.token("ada")).get("/jobs").status_code == 200


def test_a_network_of_ipv6_is_one_address(tmp_path: Path) -> None:
    with serving(tmp_path, logins_per_minute=2) as served:
        found = []
        for k in range(4):
            client = Client(served.app, served.address, None, address=f"2001:db8:1:2::{k}")
            found.append(client.post("/session", json={"token": "trn_x"}).status_code)
        assert found == [401, 401, 429, 429]


def test_buckets_do_not_pile_up() -> None:
    buckets = Buckets(1, 1, lambda: 0.0)
    for k in range(3 * MOST):
        assert buckets.take(str(k)) == 0
    assert len(buckets._kept) == MOST


@pytest.mark.parametrize("told", [True, False])
def test_a_body_has_a_limit_told_or_not(told: bool, tmp_path: Path) -> None:
    with serving(tmp_path, spec_bytes=1000) as served:
        client = served.client(served.token("ada"))

        async def pieces() -> Any:
            for _ in range(200):
                yield b"x" * 1000

        content = b"x" * 200_000 if told else pieces()
        answer = client.post("/jobs", content=content, headers=YAML)
        assert answer.status_code == 413
        assert answer.json()["error"] == "too_large"
        answer = client.post("/jobs", content=b"name: " + b"x" * 1000, headers=YAML)
        assert answer.status_code == 413
        assert "at most 1,000 bytes" in answer.json()["message"]


# What every answer says -------------------------------------------------------------------------


def test_safe_headers_are_on_every_answer(served: Served) -> None:
    client = served.client(served.token("ada"))
    for path in ("/jobs", "/nothing", "/jobs?limit=x", "/health", "/", "/session"):
        answer = client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe-inline" not in policy
        assert answer.headers["cache-control"] == "no-store"


def test_a_fault_of_our_own_tells_nothing_of_itself(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise KeyError("/secret/path")

    monkeypatch.setattr(served.desk, "counts", fails)
    answer = served.client(served.token("ada")).get("/service")
    assert answer.status_code == 500
    assert answer.json()["error"] == "internal"
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_was_changed_is_written_down(served: Served) -> None:
    ada, root = served.client(served.token("ada")), served.client(served.token("root", "admin"))
    job = ada.submit().json()["id"]
    ada.post(f"/jobs/{job}/cancel")
    ada.post(f"/jobs/{job}/pause")
    ada.get("/jobs")
    ada.post("/service/drain")
    root.post("/tokens", json={"name": "new", "role": "reader"})
    served.client().post("/session", json={"token": "trn_no"})
    served.client().post("/jobs")
    entries = root.get("/audit").json()["entries"]
    found = [(e["user"], e["action"], e["target"], e["detail"]["status"]) for e in entries]
    assert found == [
        ("ada", "submit_job", "/jobs", 201),
        ("ada", "cancel_job", f"/jobs/{job}/cancel", 200),
        ("ada", "pause_job", f"/jobs/{job}/pause", 409),
        ("ada", "drain_service", "/service/drain", 403),
        ("root", "add_token", "/tokens", 201),
        ("", "log_in", "/session", 401),
    ]
    assert entries[0]["detail"]["job"] == job
    assert entries[0]["detail"]["token"] == "ada"
    assert "trn_" not in json.dumps(entries)
    assert served.store.verify() == 6


def test_what_cannot_be_written_down_is_not_said_to_be_well(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise StoreAway("the database is away")

    client = served.client(served.token("ada"))
    monkeypatch.setattr(served.store, "auditing", away)
    answer = client.submit()
    assert answer.status_code == 500
    assert answer.json()["error"] == "internal"


def test_a_store_that_is_away_says_when_to_come_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = served.client(served.token("ada"))

    def away(*_: Any) -> None:
        raise StoreAway("the database at postgresql://ada:secret@host/db is away")

    for name in ("token", "counts"):
        with monkeypatch.context() as patch:
            patch.setattr(served.store, name, away)
            answer = client.get("/jobs")
        assert answer.status_code == 503
        assert answer.json()["error"] == "away"
        assert "secret" not in answer.text
        assert answer.headers["Retry-After"] == "1"
