"""Importing MLflow, connecting to a store, and what it answers in words for people."""

from __future__ import annotations

import gc
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from trainer.errors import TrackingError, TrainerError, UsageError
from trainer.tracking.store import Store, check_store
from trainer.tracking.waiting import limited

if TYPE_CHECKING:
    from mlflow import MlflowClient

_DATABASE_REASON: Final = re.compile(r"\(sqlite3\.\w+\) (.*)")  # SQLAlchemy adds its own advice


def import_mlflow() -> None:
    """Imports MLflow, with its telemetry, notices, bars and long retries off unless the user set
    them.

    It takes more than a second, so nothing else of this package imports it.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # there if tqdm is
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    for name in ("alembic", "mlflow.tracking.fluent"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # what a database refuses is raised as well; the log repeats it with its SQL
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    with no_collection():
        import mlflow.entities
        import mlflow.tracking  # noqa: F401 (the point is the import)


@contextmanager
def no_collection() -> Iterator[None]:
    """Without the garbage collector: MLflow makes many objects, and looking through them again
    and again takes a fifth of the time of importing it and of sending to it.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def connect(store: Store) -> MlflowClient:
    """A client of a store that is there. Raises `UsageError` where it is not, `TrackingError`
    where it cannot be used.
    """
    if store.database is not None and not store.database.exists():
        raise UsageError(
            f"there is no tracking store at {store.database}\n"
            "  hint: train something first, or name another store with --tracking-uri",
            code="TR-T005",
        )
    check_store(store)
    import_mlflow()
    with answers_of(store), no_collection():
        return client_of(store)


def client_of(store: Store) -> MlflowClient:
    """A client of the store, which must be there. Its calls have an end unless it is a database
    on this disk, which has its own. Raises what MLflow raises.
    """
    from mlflow import MlflowClient

    if store.database is not None:
        return MlflowClient(tracking_uri=store.uri)
    return limited(
        lambda: MlflowClient(tracking_uri=store.uri), f"the tracking store {store.shown}"
    )


@contextmanager
def answers_of(store: Store) -> Iterator[None]:
    """What MLflow, SQLAlchemy or requests raise becomes a `TrackingError` of a line or two."""
    try:
        yield
    except TrainerError:
        raise
    except Exception as error:
        refused = f"the tracking store {store.shown} refused: {_reason(error)}"
        raise TrackingError(refused, code="TR-T004") from error


@contextmanager
def words_of(store: Store, examples: str) -> Iterator[None]:
    """As `answers_of`; what MLflow does not understand of a user's words is a `UsageError`."""
    try:
        with answers_of(store):
            yield
    except TrackingError as error:
        if getattr(error.__cause__, "error_code", "") != "INVALID_PARAMETER_VALUE":
            raise
        why = _reason(error.__cause__).removeprefix("INVALID_PARAMETER_VALUE: ")
        raise UsageError(f"MLflow says: {why}; {examples}", code="TR-U003") from None


def _reason(error: BaseException | None) -> str:
    """The one line of an error that tells a person what happened."""
    text = str(error).strip()
    found = _DATABASE_REASON.search(text)
    why = found[1] if found else (text.splitlines() or [type(error).__name__])[0][:300]
    if "error code 403" in why:
        why += "\n  hint: ask for the right to edit, or name your own tracking.experiment"
    return why
