"""One thread for BLAS, whose threads would add in another order each time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from threadpoolctl import threadpool_info, threadpool_limits

from trainer.errors import TrainerError

_GUARD: Final = threading.Lock()
_LIMITS: Final = ExitStack()
_inside = 0


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Every BLAS that is loaded by now computes with one thread, in the whole process, until the
    last of those that asked for it at the same time is done.

    Raises `TrainerError` where a BLAS does not take the limit.
    """
    global _inside
    with _GUARD:
        _LIMITS.enter_context(threadpool_limits(limits=1, user_api="blas"))
        _inside += 1
    try:
        _check()
        yield
    finally:
        with _GUARD:
            _inside -= 1
            if _inside == 0:
                _LIMITS.close()


def _check() -> None:
    library: dict[str, Any]
    for library in threadpool_info():
        if library.get("user_api") == "blas" and library["num_threads"] != 1:
            name = library.get("internal_api")
            raise TrainerError(f"the BLAS '{name}' does not take the limit of one thread")
