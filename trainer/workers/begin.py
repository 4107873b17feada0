"""The first moments of a process that works for another one.

Nothing heavy is imported here: what is set must be set before NumPy is.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection, parent_process
from typing import Any, Final

ALONE: Final = (signal.SIGINT, signal.SIGHUP)
"""Signals that the terminal sends to all of its processes, and that are for the first one alone."""
_THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

stop: Callable[[], bool]
"""Whether this process was told to save and to stop."""


def begin(flag: Any, nice: int = 0) -> None:
    """Makes this process a worker. `flag` is shared memory: not 0 once it is to stop; `nice` is how
    far it stands back where others want the cores, too.
    """
    global stop
    if nice:
        os.nice(nice)
    for name in _THREADS:  # there is a worker a core
        os.environ[name] = "1"
    for number in ALONE:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ALONE)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    atexit.register(os._exit, 0)  # taking the interpreter down would take a quarter of a second

    def is_told() -> bool:
        return bool(flag.value)

    stop = is_told


def _end_with_parent() -> None:
    """Ends this process, at once, when the one that began it is gone, however it ended."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)
