"""`train ui`: MLflow's own server on the store of the runs, for this machine alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from trainer.errors import TrackingError, UsageError
from trainer.tracking.store import probe, resolve_store


def serve_ui(tracking_uri: str | None, port: int) -> None:
    """Serves until it is stopped by Ctrl-C. A store that is a server itself is only named.

    Raises `TrackingError` when there are no runs yet, `UsageError` when the port is taken.
    """
    store = resolve_store(tracking_uri)
    if store.folder is None:
        probe(store)
        print(f"The runs are in {store.uri}: open it in a browser.")
        return
    database = Path(store.uri.removeprefix("sqlite:///"))
    if not database.exists():
        raise TrackingError(
            f"there are no runs in '{database}' yet\n"
            "  hint: train something first: train configs/hidden_layer.yaml"
        )
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind(("127.0.0.1", port))
        except OSError:
            message = f"port {port} is taken: choose another one, such as --port {port + 1}"
            raise UsageError(message) from None
    command = [
        sys.executable, "-m", "mlflow", "server",
        "--backend-store-uri", store.uri,
        "--artifacts-destination", str(store.artifacts),
        "--host", "127.0.0.1",
        "--port", str(port),
        "--workers", "1",
    ]  # fmt: skip
    environment = os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": os.environ.get("MLFLOW_DISABLE_TELEMETRY", "true"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    print(f"Open http://127.0.0.1:{port} in a browser. Stop with Ctrl-C.", flush=True)
    server = subprocess.Popen(command, env=environment)
    try:
        code = server.wait()
    except KeyboardInterrupt:
        server.terminate()
        server.wait()
        return
    if code:
        raise TrackingError(f"the MLflow server ended with code {code}")
