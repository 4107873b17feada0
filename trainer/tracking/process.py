"""Starting the recorder as a process of its own, without importing what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class RecorderProcess:
    """The recorder, which imports MLflow while it waits to be told which folders to follow.

    Signals to this process do not reach it. When this process is gone, however it ended, the
    recorder ends what it follows.
    """

    def __init__(self) -> None:
        here = str(Path(__file__).parent.parent.parent)
        path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "trainer.tracking.recorder"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip

    def send(self, order: Mapping[str, Any]) -> None:
        """Tells it to follow a folder."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it is gone, which `wait` tells
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """Tells it that there is no more to follow."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()

    def wait(self) -> int:
        """Waits for its end; its exit code."""
        return self._process.wait()

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def terminate(self) -> None:
        """Ends it: there is nothing to record."""
        self._process.terminate()
        self.close()
        self._process.wait()
