"""MLflow's server with its UI, beside a server of ours, which alone reaches it.

    python -m trainer.tracking.beside SOCKET PREFIX STORE ARTIFACTS

It answers on a Unix socket, in a folder that this user alone may open, and takes paths that begin
with PREFIX. It ends with the process that began it, however that ends: standard input is closed
then. A database that is not there yet is made first, by nobody else at the same time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from trainer.errors import TrainerError
from trainer.tracking.client import import_mlflow
from trainer.tracking.opening import open_client
from trainer.tracking.store import Store, resolve_store


class UiProcess:
    """MLflow's server, as the process sees it that has it beside it."""

    def __init__(self, socket: Path, prefix: str, store: Store) -> None:
        self.socket = socket
        here = str(Path(__file__).parent.parent.parent)
        path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "trainer.tracking.beside", str(socket), prefix, store.uri]
        self._process = subprocess.Popen(
            [*command, *filter(None, [store.artifacts])], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def end(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()


def command_of(arguments: Sequence[str]) -> list[str]:
    """The command of MLflow's server for the arguments of this module."""
    socket, prefix, store, *artifacts = arguments
    return [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store,
        *(["--artifacts-destination", *artifacts] if artifacts else []),
        "--static-prefix", prefix, "--workers", "1",
        "--uvicorn-opts", f"--log-level=warning --uds={socket}",
    ]  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit code."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    store = resolve_store(arguments[2], Path())
    import_mlflow()
    with suppress(TrainerError):
        open_client(store).search_experiments(max_results=1)  # makes a database that is not there
    environment = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip
    server = subprocess.Popen(
        command_of(arguments), env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    threading.Thread(target=_end_with_parent, args=[server.pid], daemon=True).start()
    return server.wait()


def _end_with_parent(server: int) -> None:
    """Ends the server, with the processes that it has started, once standard input is closed."""
    sys.stdin.buffer.read()
    with suppress(ProcessLookupError):
        os.killpg(server, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
