"""MLflow's servers for this machine alone: started, awaited, and stopped with all their parts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from trainer.errors import TrackingError, UsageError


def serve(
    arguments: Sequence[str], port: int, health: str, ready: str, settings: Mapping[str, str]
) -> None:
    """Runs `mlflow ARGUMENTS` on a port of this machine until it is stopped by Ctrl-C.

    `ready` is printed once the server answers at the path `health`; `settings` are variables of
    its environment. Raises `TrackingError` when it ends.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    server = _start([*arguments, "--host", "127.0.0.1", "--port", str(port)], settings)
    try:
        _wait_until_ready(server, port, health)
        if server.poll() is None:
            print(ready, flush=True)
        code = server.wait()
    except KeyboardInterrupt:
        return
    finally:
        _end(server)
    raise TrackingError(f"the MLflow server ended with code {code}", code="TR-T001")


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def check_port(port: int) -> None:
    """Raises `UsageError` where another program has the port."""
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind(("127.0.0.1", port))
        except OSError as error:
            other = port + 1 if port < 65535 else 5000
            raise UsageError(
                f"port {port} cannot be used ({error.strerror}): "
                f"choose another one, such as --port {other}",
                code="TR-U005",
            ) from None


def _start(arguments: Sequence[str], settings: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """The server, in a process group of its own, since it starts others; those are looked for
    beside this Python first. All that it prints is for standard error.
    """
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"} | os.environ
    environment |= settings
    beside = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([beside, environment.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "mlflow", *arguments]
    return subprocess.Popen(command, env=environment, stdout=sys.stderr, start_new_session=True)


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, health: str) -> None:
    """Returns when the server answers, or has ended."""
    while server.poll() is None:
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}{health}", timeout=5).close()
            return
        time.sleep(0.1)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Stops the server, and with it the processes that it started and may leave behind."""
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(5)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
