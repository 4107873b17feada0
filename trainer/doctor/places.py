"""Where runs are kept and recorded: the folder, its disk, the stores."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from trainer.doctor.finding import Finding
from trainer.errors import TrackingError
from trainer.machine import show_bytes

LEAST_DISK: Final = 10**9  # bytes
_ELSEWHERE: Final = "name another folder with --runs FOLDER, or mend the rights of this one"


def runs_folder(runs: Path) -> Finding:
    """Whether runs can be written where they are kept, and SQLite can lock a database there."""
    there = _nearest(runs.absolute())
    facts: dict[str, Any] = {
        "folder": str(runs.absolute()), "exists": os.path.exists(runs),
        "sqlite": sqlite3.sqlite_version,
    }  # fmt: skip
    says = f"{runs.absolute()}{'' if facts['exists'] else ', made with the first run'}"
    try:
        with suppress(FileNotFoundError):
            runs.stat()  # which fails where nothing can be made by this name, either
        free = shutil.disk_usage(there).free
        _try_out(there)
    except (OSError, sqlite3.Error) as error:
        why = getattr(error, "strerror", None) or error
        return Finding("runs", "bad", f"{says}: cannot be written: {why}", _ELSEWHERE, facts)
    facts["free"] = free
    says += f": writable, {show_bytes(free)} free, SQLite {facts['sqlite']}"
    if free < LEAST_DISK:
        return Finding("runs", "warning", says, "make room on this disk", facts)
    return Finding("runs", "ok", says, facts=facts)


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(each for each in (folder, *folder.parents) if os.path.lexists(each))


def _try_out(folder: Path) -> None:
    """Writes a database as MLflow's is written, and removes it. Raises `OSError`, and
    `sqlite3.Error` where the file system cannot lock.
    """
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as place:
        file = Path(place) / "try.db"
        with closing(sqlite3.connect(file, timeout=1)) as database:
            database.execute("create table t (x)")
            database.execute("begin immediate")
            database.execute("insert into t values (1)")
            database.commit()


def stores(runs: Path, tracking_uri: str | None) -> list[Finding]:
    """The usual store, and the one that is asked for."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    usual = _store("store", named, runs)
    return [usual] if not tracking_uri else [usual, _store("--tracking-uri", tracking_uri, runs)]


def _store(name: str, address: str | None, runs: Path) -> Finding:
    from trainer.tracking.store import check_store, resolve_store

    try:
        store = resolve_store(address, runs)
        facts: dict[str, str | None] = {"address": store.shown}
        if store.database is not None and not store.database.exists():
            return Finding(name, "ok", f"{store.shown}, made with the first run", facts=facts)
        check_store(store)
    except OSError as error:
        says = f"{address or runs}: cannot be looked at: {error.strerror or error}"
        return Finding(name, "bad", says, _ELSEWHERE)
    except TrackingError as error:
        says, _, todo = error.message.partition("\n  hint: ")
        facts = {"code": error.code}
        return Finding(name, "bad", says, todo or None, facts, error.exit_code)
    return Finding(name, "ok", f"{store.shown} can be reached", facts=facts)
