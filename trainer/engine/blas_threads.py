"""One thread for BLAS, whose threads would add in another order each time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from threadpoolctl import threadpool_info, threadpool_limits

from trainer.errors import TrainerError

_GUARD: Final = threading.Lock()
_LIMITS: Final = ExitStack()
_inside = 0
_keeper: ThreadPoolExecutor


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Every BLAS that is loaded by now computes with one thread, in the whole process, until the
    last of those that asked for it at the same time is done.

    Raises `TrainerError` where a BLAS does not take the limit.
    """
    if not _enter():
        yield
        return
    try:
        with _limit():  # where a limit holds for the thread that sets it, or that one has set it
            _check()
            yield
    finally:
        _leave()


def _limit() -> threadpool_limits:
    return threadpool_limits(limits=1, user_api="blas")


def _enter() -> bool:
    """Sets the limit in a thread of its own: what holds for the whole process, only the thread that
    has set it can change, and those that train may end in any order. Whether that was needed: a
    process may have been begun with one thread, as workers are.
    """
    global _inside, _keeper
    with _GUARD:
        if _inside == 0:
            if not _with_more():
                return False
            _keeper = ThreadPoolExecutor(1, thread_name_prefix="blas")
        _inside += 1
        _keeper.submit(lambda: _LIMITS.enter_context(_limit())).result()
        return True


def _leave() -> None:
    global _inside
    with _GUARD:
        _inside -= 1
        if _inside == 0:
            _keeper.submit(_LIMITS.close).result()
            _keeper.shutdown()


def _check() -> None:
    for name in _with_more():
        raise TrainerError(
            f"the BLAS '{name}' does not take the limit of one thread", code="TR-M007"
        )


def _with_more() -> list[str | None]:
    """The libraries of BLAS that compute with more than one thread."""
    found: list[dict[str, Any]] = threadpool_info()
    blas = [library for library in found if library.get("user_api") == "blas"]
    return [library.get("internal_api") for library in blas if library["num_threads"] != 1]
