"""`train ui`: MLflow's own server on the store of the runs, for this machine alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from trainer.errors import TrackingError, UsageError
from trainer.tracking.store import Store, check_store, resolve_store


def serve_ui(tracking_uri: str | None, port: int) -> None:
    """Serves until it is stopped by Ctrl-C. A store that is a server itself is only named.

    Raises `TrackingError` when there are no runs yet, `UsageError` when the port is taken.
    """
    store = resolve_store(tracking_uri)
    if store.uri.startswith(("http://", "https://")):
        check_store(store)
        print(f"The runs are in {store.uri}: open it in a browser.")
        return
    if store.database is None:
        raise UsageError(f"`train ui` shows databases of the kind sqlite:///…, not {store.uri}")
    if not store.database.exists():
        raise TrackingError(
            f"there are no runs in '{store.database}' yet\n"
            "  hint: train something first: train configs/hidden_layer.yaml"
        )
    check_store(store)
    _check_port(port)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    server = _start(store, port)
    try:
        _wait_until_ready(server, port)
        print(f"Open http://127.0.0.1:{port} in a browser. Stop with Ctrl-C.", flush=True)
        code = server.wait()
    except KeyboardInterrupt:
        return
    finally:
        _end(server)
    raise TrackingError(f"the MLflow server ended with code {code}")


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _check_port(port: int) -> None:
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind(("127.0.0.1", port))
        except OSError as error:
            other = port + 1 if port < 65535 else 5000
            raise UsageError(
                f"port {port} cannot be used ({error.strerror}): "
                f"choose another one, such as --port {other}"
            ) from None


def _start(store: Store, port: int) -> subprocess.Popen[bytes]:
    """MLflow's server, in a process group of its own, since it starts others.

    All that it prints is for standard error.
    """
    command = [
        sys.executable, "-m", "mlflow", "server",
        "--backend-store-uri", store.uri,
        "--artifacts-destination", str(store.artifacts),
        "--host", "127.0.0.1",
        "--port", str(port),
        "--workers", "1",
        "--uvicorn-opts", "--log-level=warning",
    ]  # fmt: skip
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"} | os.environ
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    return subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True)


def _wait_until_ready(server: subprocess.Popen[bytes], port: int) -> None:
    """Returns when the server answers, or has ended."""
    while server.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
            return
        time.sleep(0.1)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stops the server, and with it the processes that it started and may leave behind."""
    server.terminate()
    server.wait()
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
