"""Where runs are recorded: the tracking store, resolved by us so that MLflow's defaults that
depend on the current folder never apply.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from trainer.errors import TrackingError

RUNS: Final = Path("runs")
PROBE_SECONDS: Final = 4.0


@dataclass(frozen=True)
class Store:
    """A tracking store: MLflow's URI, and the local folder beside its database, if it has one."""

    uri: str
    folder: Path | None

    @property
    def artifacts(self) -> str | None:
        """Where artifacts of new experiments go; None leaves it to the server."""
        return (self.folder / "artifacts").as_uri() if self.folder else None


def resolve_store(flag: str | None = None, spec: str | None = None) -> Store:
    """The store: the flag, else MLFLOW_TRACKING_URI, else the spec's, else runs/mlflow.db.

    `runs/` is in the current folder. For an SQLite store the folder of the database is made.
    Raises `TrackingError` when that is impossible.
    """
    uri = flag or os.environ.get("MLFLOW_TRACKING_URI") or spec
    if not uri:
        uri = f"sqlite:///{(RUNS / 'mlflow.db').resolve()}"
    if uri.startswith("file:") or ":" not in uri:
        raise TrackingError(
            f"the tracking store '{uri}' is a folder, which MLflow no longer writes to\n"
            "  hint: use sqlite:///path/mlflow.db, or the address of a server"
        )
    if not uri.startswith("sqlite:"):
        return Store(uri, None)
    path = unquote(urlsplit(uri).path.removeprefix("/"))
    if not path:
        raise TrackingError(
            f"the tracking store '{uri}' names no file: use sqlite:///path/mlflow.db"
        )
    file = Path(path).resolve()
    if file.is_dir():
        raise TrackingError(f"the tracking store '{file}' is a folder, not a database file")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackingError(
            f"the folder '{file.parent}' cannot be made: {error.strerror}"
        ) from None
    return Store(f"sqlite:///{file}", file.parent)


def probe(store: Store) -> None:
    """Raises `TrackingError` within seconds when a server does not answer.

    MLflow itself would retry for minutes. Any answer counts, also one that asks for a password.
    """
    if not store.uri.startswith(("http://", "https://")):
        return
    try:
        address = f"{store.uri.rstrip('/')}/health"
        with urllib.request.urlopen(address, timeout=PROBE_SECONDS):  # noqa: S310 (http, as checked)
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return
        reason = f"it answers {error.code}"
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", None) or error)
    raise TrackingError(
        f"no MLflow server at {store.uri}: {reason}\n"
        "  hint: start the server, or leave the address out to record in runs/mlflow.db"
    )
