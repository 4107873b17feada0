"""Where runs are recorded: the tracking store, resolved by us so that MLflow's defaults that
depend on the current folder never apply.
"""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import ssl
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from trainer.addresses import HIDDEN, shown_address
from trainer.errors import TrackingError
from trainer.tracking.waiting import within

DATABASE: Final = "mlflow.db"
ANSWER_SECONDS: Final = 4.0
WORKSPACES: Final = ("databricks", "databricks-uc", "uc")
"""What MLflow takes for a workspace or catalogue of Databricks, as a word or a scheme."""
PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""The servers of databases that MLflow can use, and where they answer by default."""
DRIVERS: Final = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient, or pymysql and write mysql+pymysql://…",
}
"""How the packages of drivers are installed whose modules have another name."""
_SET_BOTH: Final = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"


@dataclass(frozen=True)
class Store:
    """A tracking store: MLflow's URI, and the file of the database where it is an SQLite one."""

    uri: str
    database: Path | None = None

    @property
    def shown(self) -> str:
        """The address without its secrets, as it is printed, recorded and kept."""
        return shown_address(self.uri)

    @property
    def folder(self) -> Path | None:
        """The folder of the database; its artifacts are stored below."""
        return self.database.parent if self.database else None

    @property
    def artifacts(self) -> str | None:
        """Where artifacts of new experiments go; None leaves it to the server."""
        return (self.folder / "artifacts").as_uri() if self.folder else None


def store_address(flag: str | None, spec: str | None = None) -> str | None:
    """The address that was asked for: by the flag, else by MLFLOW_TRACKING_URI, else by the spec;
    None where the runs are recorded beside their folders.
    """
    return flag or os.environ.get("MLFLOW_TRACKING_URI") or spec or None


def resolve_store(uri: str | None, runs: Path) -> Store:
    """The store at the address, or mlflow.db in the folder of runs.

    Raises `TrackingError` when MLflow could not use the address; `check_store` looks at the store
    itself.
    """
    if not uri:
        return _sqlite(str(runs / DATABASE))
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.lower()
    if uri in WORKSPACES or (colon and scheme in WORKSPACES):
        return Store(uri if not colon else f"{scheme}:{rest}")
    if scheme in ("sqlite", "sqlite+pysqlite") and colon:
        return _sqlite(rest.removeprefix("///"))
    if not colon or scheme == "file" or len(scheme) == 1:  # a letter names a drive of Windows
        raise TrackingError(
            f"the tracking store '{uri}' is a folder, which MLflow no longer writes to\n"
            "  hint: use sqlite:///path/mlflow.db, or the address of a server",
            code="TR-T003",
        )
    if scheme in ("http", "https") and re.match("//[^/]*@", rest):
        raise TrackingError(
            "the address of the MLflow server holds a user, who would be recorded with each run\n"
            f"  hint: leave it out, and {_SET_BOTH}",
            code="TR-T010",
        )
    return Store(f"{scheme}:{rest}")


def address_again(asked: str | None, kept: str | None) -> str | None:
    """The address for a run that is there: the one that is asked for, else the one that it keeps.

    Raises `TrackingError` where that one lacks its secret, which is never kept.
    """
    if asked or kept is None or HIDDEN not in kept:
        return asked or kept
    named = os.environ.get("MLFLOW_TRACKING_URI")
    if named and shown_address(named) == kept:
        return named
    raise TrackingError(
        f"the run is recorded in {kept}, and its password is not kept\n"
        "  hint: set MLFLOW_TRACKING_URI to the whole address",
        code="TR-T010",
    )


def _sqlite(path: str) -> Store:
    """The store in the database at `path`."""
    if not path or path.startswith((":", "//")):
        raise TrackingError(
            f"the tracking store 'sqlite:///{path}' names no file: use sqlite:///path/mlflow.db",
            code="TR-T003",
        )
    file = Path(path).resolve()
    if "?" in str(file) or "%" in str(file):
        raise TrackingError(
            f"MLflow cannot open '{file}': its path holds a '?' or a '%'", code="TR-T003"
        )
    return Store(f"sqlite:///{file}", file)


def check_store(store: Store) -> None:
    """Raises `TrackingError` within seconds when the store cannot be used; imports MLflow for a
    server alone.

    MLflow itself would retry for minutes. A server passes with any answer below 500 that is not
    about who asks. A database must be one and be writable; its folder is made.
    """
    if store.database is not None:
        check_database(store.database)
    elif store.uri.startswith(("http:", "https:")):
        _check_server(store.uri)
    elif store.uri.partition(":")[0] in WORKSPACES:
        _check_workspace(store)
    elif store.uri.partition(":")[0].partition("+")[0] in PORTS:
        _check_database_server(store)


def check_database(file: Path) -> None:
    """Raises `TrackingError` where the file is no database, or cannot be written."""
    if file.is_dir():
        raise TrackingError(
            f"the tracking store '{file}' is a folder, not a database file", code="TR-T003"
        )
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackingError(
            f"the folder '{file.parent}' cannot be made: {error.strerror}",
            code="TR-T004",
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
            "  hint: name another one with --tracking-uri sqlite:///path/mlflow.db",
            code="TR-T004",
        ) from None


def _check_server(uri: str) -> None:
    """Asks for an experiment in MLflow's own way: with its credentials, certificates, proxies."""
    from trainer.tracking.client import import_mlflow

    import_mlflow()
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    who = get_default_host_creds(uri)
    todo = "start the server, or leave the address out to record in runs/mlflow.db"
    try:
        code = within(2 * ANSWER_SECONDS, lambda: http_request(
            who, "/api/2.0/mlflow/experiments/search", "GET", params={"max_results": 1},
            timeout=ANSWER_SECONDS, max_retries=0, raise_on_status=False,
        ).status_code, "it")  # fmt: skip
    except Exception as error:  # whatever MLflow and requests raise
        cause = _first_cause(error)
        reason = str(cause)
        if isinstance(cause, ssl.SSLCertVerificationError):
            todo = "if you trust it, name its certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"
    else:
        if code in (401, 403):
            raise TrackingError(_not_let_in(uri, who, code), code="TR-T002")
        if code < 500:
            return
        reason = f"it answers {code}"
    raise TrackingError(f"no MLflow server at {uri}: {reason}\n  hint: {todo}", code="TR-T001")


def _check_workspace(store: Store) -> None:
    """Whether MLflow finds out which Databricks workspace is meant, and who asks."""
    from trainer.tracking.client import import_mlflow

    import_mlflow()
    from mlflow.utils.databricks_utils import get_databricks_host_creds

    try:
        get_databricks_host_creds(store.uri)
    except Exception as error:  # whatever MLflow and Databricks' own package raise
        raise TrackingError(
            f"'{store.uri}' is a workspace of Databricks, and MLflow finds no way into it\n"
            "  hint: set DATABRICKS_HOST and DATABRICKS_TOKEN, or leave the address out to record "
            "in runs/mlflow.db",
            code="TR-T003",
        ) from error


def _check_database_server(store: Store) -> None:
    """Whether a driver for the database is installed, and something answers at its address."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    kind = store.uri.partition(":")[0].partition("+")[0]
    try:
        url = make_url(store.uri)
        url.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise TrackingError(
            f"{store.shown} is no address of a database: {error}", code="TR-T003"
        ) from None
    except ImportError as error:
        raise TrackingError(
            f"the tracking store {store.shown} needs the package {error.name}\n"
            f"  hint: pip install {DRIVERS.get(error.name or '', error.name)}",
            code="TR-E005",
        ) from None
    if url.host is None:  # a socket, or ODBC's own text
        return
    try:
        socket.create_connection((url.host, url.port or PORTS[kind]), ANSWER_SECONDS).close()
    except OSError as error:
        raise TrackingError(
            f"no database answers at {store.shown}: {error.strerror or error}\n"
            "  hint: start it, or leave the address out to record in runs/mlflow.db",
            code="TR-T001",
        ) from None


def _first_cause(error: BaseException) -> BaseException:
    """What happened, without what MLflow, requests and urllib3 each say about it."""
    while True:
        inner = (error.__cause__, error.__context__, *error.args)
        cause = next((each for each in inner if isinstance(each, BaseException)), None)
        if cause is None:
            return error
        error = cause


def _not_let_in(uri: str, who: Any, code: int) -> str:
    """What to tell someone whom a server refuses; `who` is MLflow's record of the credentials."""
    server = f"the MLflow server at {uri}"
    if who.username and who.password:
        refused = f"refuses the user '{who.username}' with this password"
        todo = "correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    elif who.token:
        refused, todo = "refuses this token", "correct MLFLOW_TRACKING_TOKEN"
    else:
        refused, todo = "wants to know who you are", f"{_SET_BOTH}, or MLFLOW_TRACKING_TOKEN"
    return f"{server} {refused} (it answers {code})\n  hint: {todo}"


def latest_experiment(database: Path) -> str | None:
    """The id of the experiment of the run that started last, read without MLflow."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as store:
            found = store.execute(
                "select experiment_id from runs where lifecycle_stage = 'active' "
                "order by start_time desc limit 1"
            ).fetchone()
    except sqlite3.Error:  # MLflow tells what is wrong with it
        return None
    return str(found[0]) if found else None
