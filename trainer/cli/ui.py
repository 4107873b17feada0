"""`train ui` and `train serve`: the recorded runs in MLflow's UI, a model over HTTP."""

from __future__ import annotations

import sys
from pathlib import Path

from trainer.cli.options import store_at
from trainer.cli.servers import check_port, serve
from trainer.errors import TrackingError, UsageError
from trainer.tracking.store import check_store, latest_experiment
from trainer.tracking.view import view_path


def serve_ui(tracking_uri: str | None, kept: Path | None, port: int) -> None:
    """Serves the UI until it is stopped by Ctrl-C. A store that is a server is only named.

    Raises `TrackingError` when there are no runs yet, `UsageError` when the port is taken.
    """
    store = store_at(tracking_uri, kept).find_store()
    if store.uri.startswith(("http://", "https://")):
        check_store(store)
        print(f"The runs are in {store.shown}: open it in a browser.")
        return
    check_port(port)
    _say("starting MLflow's UI")
    if store.database is None:
        raise UsageError(
            f"`train ui` shows databases of the kind sqlite:///…, not {store.shown}", code="TR-T003"
        )
    if not store.database.exists():
        raise TrackingError(
            f"there are no runs in '{store.database}' yet\n"
            "  hint: train something first: train configs/hidden_layer.yaml",
            code="TR-T005",
        )
    check_store(store)
    arguments = [
        "server",
        "--backend-store-uri", store.uri,
        "--artifacts-destination", str(store.artifacts),
        "--workers", "1",
        "--uvicorn-opts", "--log-level=warning",
    ]  # fmt: skip
    latest = latest_experiment(store.database)
    path = view_path(latest) if latest else ""
    ready = f"Open http://127.0.0.1:{port}/{path} in a browser. Stop with Ctrl-C."
    serve(arguments, port, "/health", ready, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})


def serve_model(run: str, tracking_uri: str | None, kept: Path | None, port: int) -> None:
    """Serves the model of a run until it is stopped by Ctrl-C: `mlflow models serve`.

    Raises `UsageError` where there is no such run, it kept no model, or the port is taken.
    """
    from trainer.runs.use import find_model

    check_port(port)
    _say(f"looking for the model of '{run}', and starting its server")
    profile = store_at(tracking_uri, kept)
    model, store = find_model(run, profile=profile), profile.find_store()
    arguments = ["models", "serve", "--model-uri", model.uri, "--env-manager", "local"]
    ready = (
        f"Send rows to http://127.0.0.1:{port}/invocations as JSON, "
        'such as {"dataframe_records": [{"column": 1.5, …}]}. Stop with Ctrl-C.'
    )
    serve(arguments, port, "/ping", ready, {"MLFLOW_TRACKING_URI": store.uri})


def _say(text: str) -> None:
    """A line at once, as MLflow is slow."""
    print(f"{text}: this takes some seconds", file=sys.stderr, flush=True)
