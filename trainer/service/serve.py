"""The whole service on one machine: the queue, workers, the recorder, MLflow, the way in."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from trainer.errors import MachineError, UsageError
from trainer.machine import available_cores
from trainer.runs.profile import Profile
from trainer.service.checking import Checker
from trainer.service.desk import Desk
from trainer.service.records import User
from trainer.service.sending import UPLOADS
from trainer.service.settings import Settings
from trainer.service.store import Database, Store
from trainer.service.web.app import create_app
from trainer.service.web.feed import Feed
from trainer.service.work.dispatch import Dispatcher
from trainer.service.work.recorders import Recorders
from trainer.service.work.slots import make_slots
from trainer.tracking.beside import UiProcess
from trainer.tracking.store import Store as Tracking
from trainer.tracking.store import check_database

MLFLOW: Final = "/mlflow"
"""Where MLflow's UI is, below the service's own address."""
FIRST: Final = User("admin", "admin", "first")
"""Who starts the service is let in as this user."""
TELL_SECONDS: Final = 10.0
"""So long the recorder may take, when the service ends, for what MLflow has not yet."""
LOOK_SECONDS: Final = 0.1
SWITCH_SECONDS: Final = 0.0005
"""So soon a thread that checks a spec lets others have their turn, who are to answer."""
UI_SECONDS: Final = 5.0
"""MLflow's server is started again after so long, where it is lost."""


@dataclass(frozen=True)
class Belongings:
    """What users have, as the store knows it."""

    store: Store

    def run(self, user: str, name: str) -> str | None:
        """The whole id of a run with this beginning, if it is that of a job of this user."""
        job = self.store.job(name)
        return job.run or job.id if job is not None and job.user == user else None

    def upload(self, user: str, sha256: str) -> bool:
        """Whether this user has sent all of a file."""
        found = self.store.upload(sha256, user)
        return found is not None and found.whole


class Service:
    """The parts of a service. It is made when it can start: raises `UsageError` for a port that is
    taken or an address that cannot be used, `MachineError` for a database that is away, and
    `TrackingError`.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        runs = settings.runs.absolute()
        (runs / UPLOADS).mkdir(parents=True, exist_ok=True)
        self._socket = bound(settings)
        self._database = Database.open(settings.database, runs)
        self.store = Store(self._database)
        tracking = Profile(runs=runs, store=settings.tracking_uri).find_store()
        if tracking.database is not None:
            check_database(tracking.database)
        self.tracking = tracking
        self._recorders = Recorders(runs, tracking)
        count = settings.workers or available_cores()
        self.work = Dispatcher(
            self.store, runs, make_slots(count, settings.cluster, runs), self._recorders,
            most=settings.running_per_user,
            hidden=[settings.data_folder.absolute()] if settings.data_folder else [],
            tracking=tracking.uri, cluster=settings.cluster,
            threads=max(1, available_cores() // count), save_every=settings.save_every,
        )  # fmt: skip
        checker = Checker(settings, Belongings(self.store), lambda: self.store.speed("process"))
        shown = replace(settings, tracking_uri=tracking.shown)
        self.desk = Desk(self.store, checker, self.work, shown)
        self._ui = _Ui(tracking) if settings.mlflow else None
        app = create_app(
            self.desk, mlflow=f"unix:{self._ui.socket}" if self._ui else None,
            unsent=lambda: self._recorders.unsent,
        )  # fmt: skip
        self._web = _Web(app, self._socket, settings)

    @property
    def address(self) -> str:
        """Where it answers."""
        scheme = "https" if self.settings.tls_cert else "http"
        host = self.settings.host
        shown = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104 (it is compared)
        shown = f"[{shown}]" if ":" in shown else shown
        return f"{scheme}://{shown}:{self._socket.getsockname()[1]}"

    @property
    def trains(self) -> str:
        """How many jobs, in words."""
        count = len(self.work.workers())
        return f"{count} job{'s' * (count != 1)}"

    @property
    def link(self) -> str:
        """An address that lets a browser in as the first user, once."""
        return f"{self.address}/#login={self.store.one_time(FIRST)}"

    def start(self) -> None:
        """Begins to answer and to train."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self._recorders.start()
        self.work.start()
        self._web.start()
        if self._ui is not None:
            self._ui.start()

    def run(self, asked: Callable[[], bool], drain: bool, say: Callable[[str], None]) -> None:
        """Serves until it is `asked` to stop. Then nothing new begins; with `drain` what runs comes
        to its end; otherwise, or where a `KeyboardInterrupt` says that this takes too long, it is
        saved and goes on when the service starts anew. Raises `MachineError` where the HTTP server
        ended by itself.
        """
        while not asked() and not self._web.failed:
            time.sleep(LOOK_SECONDS)
        self.work.drain()
        if drain and not self._web.failed:
            say("Waiting for the running jobs to end; stop again to save them.")
            with suppress(KeyboardInterrupt):
                while not self.work.is_idle:
                    time.sleep(LOOK_SECONDS)
        if not self.work.is_idle:
            say("Saving the running jobs.")
        self.close()
        if self._web.failed:
            raise MachineError(
                "the HTTP server ended by itself; start the service again", code="TR-A009"
            )

    def close(self) -> None:
        """Saves what runs, and ends all parts."""
        self.work.leave()
        self._web.stop()
        self._recorders.stop(TELL_SECONDS)
        if self._ui is not None:
            self._ui.stop()
        self.store.close()


def bound(settings: Settings) -> socket.socket:
    """The socket that the service listens on. Raises `UsageError` where it cannot."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # with TCP said, asyncio has small answers sent at once
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((settings.host, settings.port))
    except OSError as error:
        made.close()
        port = settings.port
        raise UsageError(
            f"the service cannot listen at {settings.host} port {port}: {error.strerror}\n"
            f"  hint: choose another port, such as --port {port + 1 if port < 65535 else 8400}",
            code="TR-U005",
        ) from None
    made.listen(2048)
    return made


class _Web(uvicorn.Server):
    """The HTTP server, in a thread of its own; signals are for the service."""

    def __init__(self, app: FastAPI, listening: socket.socket, settings: Settings) -> None:
        cert, key = settings.tls_cert, settings.tls_key
        super().__init__(uvicorn.Config(
            app, log_level="error", access_log=False, lifespan="on", timeout_graceful_shutdown=5,
            ssl_certfile=str(cert) if cert else None, ssl_keyfile=str(key) if key else None,
            server_header=False, proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=list(settings.proxies),
        ))  # fmt: skip
        self._feed: Feed = app.state.feed
        self._listening = listening
        self._thread = threading.Thread(target=self._answer, name="web", daemon=True)
        self.failed = False
        """Whether it ended by itself."""

    def _answer(self) -> None:
        try:
            self.run(sockets=[self._listening])
        finally:
            self.failed = not self.should_exit

    def start(self) -> None:
        """Returns once it answers."""
        self._thread.start()
        while not self.started and self._thread.is_alive():
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends it, with the streams that are open."""
        self._feed.close()  # it would wait for who reads on
        self.should_exit = True
        self._thread.join()


@dataclass
class _Ui:
    """MLflow's server, which is started again where it is lost."""

    tracking: Tracking

    def __post_init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="trainer-mlflow-")
        self.socket = Path(self._folder.name) / "socket"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="mlflow", daemon=True)

    def start(self) -> None:
        """Begins to start it: that takes some seconds."""
        self._thread.start()

    def _keep(self) -> None:
        while not self._over.is_set():
            with suppress(FileNotFoundError):
                self.socket.unlink()
            process = UiProcess(self.socket, MLFLOW, self.tracking)
            while not process.is_gone and not self._over.wait(LOOK_SECONDS):
                pass
            process.end()
            self._over.wait(UI_SECONDS)

    def stop(self) -> None:
        """Ends it."""
        self._over.set()
        self._thread.join()
        self._folder.cleanup()
