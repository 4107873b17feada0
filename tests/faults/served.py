"""A service for tests: its store and its app, without workers, behind a real port or in memory."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from trainer.errors import Problem, SpecError
from trainer.service.desk import Desk
from trainer.service.records import Cost, Kind, Role
from trainer.service.settings import Settings
from trainer.service.store import Database, Store
from trainer.service.web.app import create_app

SPEC = "name: xor\n"
"""What the checker of tests takes for a spec: a name, and `known: ID` or `mistake: TEXT`."""


@dataclass(frozen=True)
class FakeChecked:
    kind: Kind
    name: str
    text: str
    resolved: Mapping[str, Any]
    file: str = "spec.yaml"
    fingerprint: str | None = None
    cost: Cost = field(default_factory=lambda: Cost(10, 20, 30, 0.5))
    epochs: int | None = 3
    known: str | None = None
    layers: list[dict[str, Any]] = field(default_factory=list)
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class FakeChecker:
    """Reads lines `key: value`."""

    def check(
        self,
        text: str,
        user: str,
        kind: Kind | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> FakeChecked:
        lines = {
            line.partition(":")[0].strip(' "'): line.partition(":")[2].strip(' ",')
            for line in text.splitlines()
            if ":" in line
        }
        if "name" not in lines:
            raise SpecError(Problem("name", "its value is missing", None, "spec.yaml", 1, 1))
        if "mistake" in lines:
            raise SpecError(
                [
                    Problem("a", lines["mistake"], "a hint", "spec.yaml", 2, 1, "mistake: x"),
                    Problem("b", "another", None, "spec.yaml", 3, 1),
                ]
            )
        return FakeChecked(
            kind or "train", lines["name"], text, dict(lines), known=lines.get("known"),
            options=dict(options or {}),
        )  # fmt: skip


@dataclass
class FakeWork:
    """Workers that do nothing; what they were told is kept."""

    draining: bool = False
    pokes: int = 0
    stopped: list[str] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)

    def poke(self) -> None:
        self.pokes += 1

    def stop_job(self, job: str) -> None:
        self.stopped.append(job)

    def workers(self) -> list[dict[str, Any]]:
        return self.seen

    def drain(self) -> None:
        self.draining = True


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Served:
    """A service, and its tokens by name."""

    app: FastAPI
    desk: Desk
    work: FakeWork
    clock: Clock
    ticks: Clock
    tokens: dict[str, str] = field(default_factory=dict)
    address: str = "http://localhost"

    @property
    def store(self) -> Store:
        return self.desk.store

    def token(self, name: str, role: Role = "submitter", **more: Any) -> str:
        """The token of a user of this name."""
        if name not in self.tokens:
            self.tokens[name] = self.store.add_token(
                name, more.get("user", name), role, more.get("all", False), more.get("expires")
            )
        return self.tokens[name]

    def client(self, token: str | None = None, **more: Any) -> Client:
        """A client in this process, without a port."""
        return Client(self.app, self.address, token, **more)


class Client:
    """Asks an app in this process, as if it came from `address`; each request has a loop of its
    own.
    """

    def __init__(
        self, app: FastAPI, base: str, token: str | None = None, address: str = "127.0.0.1"
    ) -> None:
        self._app, self._base, self._token, self._address = app, base, token, address

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        return asyncio.run(self._ask(method, path, **more))

    async def _ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = dict(more.pop("headers", None) or {})
        if self._token is not None:
            headers.setdefault("Authorization", f"Bearer {self._token}")
        transport = httpx2.ASGITransport(self._app, client=(self._address, 1))
        async with httpx2.AsyncClient(transport=transport, base_url=self._base) as client:
            return await client.request(method, path, headers=headers, **more)

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx2.Response:
        return self.ask("POST", path, **more)

    def submit(self, text: str = SPEC, **more: Any) -> httpx2.Response:
        headers = {"Content-Type": "application/yaml", **more.pop("headers", {})}
        return self.post("/jobs", content=text, headers=headers, **more)


@contextmanager
def serving(folder: Path, mlflow: str | None = None, **settings: Any) -> Iterator[Served]:
    """A service whose database and runs are in the folder."""
    made = Settings(**{"runs": folder / "runs", **settings})
    made.runs.mkdir(exist_ok=True)
    clock, ticks = Clock(1_796_000_000.0), Clock(0.0)
    store = Store(Database.open(made.database, made.runs), clock=clock)
    work = FakeWork()
    desk = Desk(store, FakeChecker(), work, made, clock=clock)
    app = create_app(desk, mlflow=mlflow, clock=ticks, unsent=lambda: 0)
    served = Served(app, desk, work, clock, ticks)
    try:
        yield served
    finally:
        store.close()


@contextmanager
def listening(served: Served) -> Iterator[str]:
    """The service at a real port; its address."""
    with socket.socket(proto=socket.IPPROTO_TCP) as bound:  # else asyncio leaves Nagle on
        bound.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            served.app, log_level="error", lifespan="on", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started and time.monotonic() < until:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            served.app.state.feed.close()
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
