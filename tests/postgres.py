"""A PostgreSQL server of the tests' own, where the machine has one: started when first asked for,
ended with this process.
"""

from __future__ import annotations

import atexit
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest


def needed() -> bool:
    """Whether tests must not do without it."""
    return os.environ.get("TRAINER_POSTGRES") == "required"


@cache
def cluster() -> Cluster:
    """The server. Skips the test where there is none, or fails it where one is required."""
    programs = _programs()
    if programs is None:
        (pytest.fail if needed() else pytest.skip)("PostgreSQL is not installed")
    return Cluster(programs)


class Cluster:
    """A server at a socket in a folder of its own. What is written is not flushed to the disk."""

    def __init__(self, programs: Path) -> None:
        self._numbers = count()
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path is short
        user = _other_user()
        if user is not None:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        as_user = [] if user is None else _as(user)
        data = self.folder / "data"
        make = [
            str(programs / "initdb"),
            "-D",
            str(data),
            "-A",
            "trust",
            "-U",
            "trainer",
            "-E",
            "UTF8",
        ]
        made = subprocess.run(
            [*as_user, *make, "--no-sync", "--locale=C"], capture_output=True, text=True
        )
        assert made.returncode == 0, made.stderr
        settings = {
            "listen_addresses": "", "unix_socket_directories": self.folder, "fsync": "off",
            "max_connections": "200",
        }  # fmt: skip
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(
            [*as_user, programs / "postgres", "-D", data, *options],
            stdout=self._log,
            stderr=self._log,
        )
        atexit.register(self.stop)
        self._wait()

    def _wait(self) -> None:
        import psycopg

        until = time.monotonic() + 30
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.02)

    def address(self) -> str:
        """That of an empty database: a schema of its own. The connections to it carry its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE SCHEMA {name}")
        options = f"options=-csearch_path%3D{name}&application_name={name}"
        return f"postgresql://trainer@/postgres?host={self.folder}&{options}"

    def execute(self, query: str) -> list[Any]:
        """What the server answers."""
        import psycopg

        where = f"host={self.folder} user=trainer dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            cursor = connection.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def end_connections(self, address: str) -> int:
        """Ends all connections to the database at this address, and tells how many."""
        name = address.rpartition("=")[2]
        return len(
            self.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE application_name = '{name}'"
            )
        )

    def stop(self) -> None:
        """Ends it, and removes its folder."""
        self._process.send_signal(signal.SIGINT)  # without waiting for who is connected
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _programs() -> Path | None:
    """The folder of the newest server's programs."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).resolve().parent
    folders = [Path(name) for name in glob.glob("/usr/lib/postgresql/*/bin")]
    folders = [folder for folder in folders if (folder / "initdb").exists()]
    return max(folders, key=lambda folder: float(folder.parent.name), default=None)


def _other_user() -> pwd.struct_passwd | None:
    """Whom the server is run as, since it refuses root; None for whoever this is."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("the server needs a user that is not root")


def _as(user: pwd.struct_passwd) -> list[str]:
    """How a command is run as the user, and ended with this process."""
    who = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return ["setpriv", *who, "--pdeathsig=INT", "--"]
