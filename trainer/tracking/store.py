"""Where runs are recorded: the tracking store, resolved by us so that MLflow's defaults that
depend on the current folder never apply.
"""

from __future__ import annotations

import os
import sqlite3
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final

from trainer.errors import TrackingError

RUNS: Final = Path("runs")
ANSWER_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Store:
    """A tracking store: MLflow's URI, and the file of the database where it is an SQLite one."""

    uri: str
    database: Path | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the database; its artifacts are stored below."""
        return self.database.parent if self.database else None

    @property
    def artifacts(self) -> str | None:
        """Where artifacts of new experiments go; None leaves it to the server."""
        return (self.folder / "artifacts").as_uri() if self.folder else None


def resolve_store(flag: str | None = None, spec: str | None = None) -> Store:
    """The store: the flag, else MLFLOW_TRACKING_URI, else the spec's, else runs/mlflow.db.

    `runs/` is in the current folder. Raises `TrackingError` when MLflow could not use the URI;
    `check_store` looks at the store itself.
    """
    uri = flag or os.environ.get("MLFLOW_TRACKING_URI") or spec
    if not uri:
        return _sqlite(str(RUNS / "mlflow.db"))
    if uri.startswith("sqlite:"):
        return _sqlite(uri.removeprefix("sqlite:").removeprefix("///"))
    if uri.startswith("file:") or ":" not in uri:
        raise TrackingError(
            f"the tracking store '{uri}' is a folder, which MLflow no longer writes to\n"
            "  hint: use sqlite:///path/mlflow.db, or the address of a server"
        )
    return Store(uri)


def _sqlite(path: str) -> Store:
    """The store in the database at `path`."""
    if not path or path.startswith((":", "//")):
        raise TrackingError(
            f"the tracking store 'sqlite:///{path}' names no file: use sqlite:///path/mlflow.db"
        )
    file = Path(path).resolve()
    if "?" in str(file) or "%" in str(file):
        raise TrackingError(f"MLflow cannot open '{file}': its path holds a '?' or a '%'")
    return Store(f"sqlite:///{file}", file)


def check_store(store: Store) -> None:
    """Raises `TrackingError` within seconds when the store cannot be used.

    MLflow itself would retry for minutes. A server passes with any answer below 500, also one
    that asks for a password. A database must be one and be writable; its folder is made.
    """
    if store.database is not None:
        _check_database(store.database)
    elif store.uri.startswith(("http://", "https://")):
        _check_server(store.uri)


def _check_database(file: Path) -> None:
    if file.is_dir():
        raise TrackingError(f"the tracking store '{file}' is a folder, not a database file")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackingError(
            f"the folder '{file.parent}' cannot be made: {error.strerror}"
        ) from None
    if not file.exists():
        return
    try:
        database = sqlite3.connect(file, timeout=ANSWER_SECONDS)
        try:
            database.execute("BEGIN IMMEDIATE")
        finally:
            database.close()
    except sqlite3.Error as error:
        raise TrackingError(
            f"the tracking store '{file}' cannot be written: {error}\n"
            "  hint: name another one with --tracking-uri sqlite:///path/mlflow.db"
        ) from None


def _check_server(uri: str) -> None:
    try:
        address = f"{uri.rstrip('/')}/health"
        with urllib.request.urlopen(address, timeout=ANSWER_SECONDS):  # noqa: S310 (http, as checked)
            return
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < 500:
            return
        reason = f"it answers {error.code}"
    except (OSError, ValueError, HTTPException) as error:
        reason = str(getattr(error, "reason", None) or error)
    raise TrackingError(
        f"no MLflow server at {uri}: {reason}\n"
        "  hint: start the server, or leave the address out to record in runs/mlflow.db"
    )
