"""SIGINT and SIGTERM while a run is set up and trains."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from trainer.errors import InterruptedRun


class Interrupt:
    """The signal that asked for an end, if one did; `flagged` while the loop looks out for it."""

    number: int | None = None
    flagged = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Takes a signal. Raises `KeyboardInterrupt` where it is to stop at once."""
        at_once = self.number is not None or not self.flagged
        self.number = number
        if at_once:
            raise KeyboardInterrupt


@contextmanager
def signals_caught() -> Iterator[Interrupt]:
    """SIGINT and SIGTERM set a flag that the loop looks at; before it, and a second time, they
    stop at once: what is inside meets a `KeyboardInterrupt`, and `InterruptedRun` comes out.

    Within another such block, that one learns of the signal when this one is left. Only the main
    thread can handle signals; elsewhere the flag is never set.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield interrupt
    except KeyboardInterrupt:
        if interrupt.number is None:
            raise
        message = "stopped at once" if interrupt.flagged else "stopped before training began"
        raise InterruptedRun(message, interrupt.number) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
            if isinstance(handler, Interrupt) and interrupt.number is not None:
                handler.number = interrupt.number
