"""The signals that ask a command to end: Ctrl-C, SIGTERM, and that of a terminal that is closed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from trainer.errors import InterruptedRun

if TYPE_CHECKING:
    from trainer.training import Event

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupt:
    """The signal that asked for an end, if one did. While a run trains it is one that the run is
    asked to take note of, between two steps; before, behind, and a second time it stops at once.
    """

    def __init__(self, told: str | None = None) -> None:
        self.number: int | None = None
        self._told = told
        self._begun = self._training = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Takes a signal. Raises `KeyboardInterrupt` where it is to stop at once."""
        at_once = self.number is not None or not self._training
        self.number = number
        if at_once:
            raise KeyboardInterrupt

    def asked(self) -> bool:
        """Whether the training is to stop."""
        return self.number is not None

    def hear(self, event: Event) -> None:
        """Learns from the events of a run whether it trains."""
        from trainer.training import Started, Trained

        if isinstance(event, Started | Trained):
            self.begun(isinstance(event, Started))

    def begun(self, training: bool) -> None:
        """Learns whether what has begun still trains."""
        self._training = training
        self._begun = True

    def told(self) -> str:
        """What is said of an end at once."""
        began = "stopped at once" if self._begun else "stopped before training began"
        return self._told or began


@contextmanager
def signals_caught(told: str | None = None) -> Iterator[Interrupt]:
    """All of them go to an `Interrupt`; what they end comes out as an `InterruptedRun` with the
    exit code of the signal, and where it ends at once with the words `told`. One that is ignored,
    as `nohup` has it, stays so. Only the main thread can handle signals.
    """
    interrupt = Interrupt(told)
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    numbers = [each for each in ENDING if signal.getsignal(each) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield interrupt
    except (InterruptedRun, KeyboardInterrupt) as error:
        if interrupt.number is None:
            raise
        ended = error if isinstance(error, InterruptedRun) else InterruptedRun(interrupt.told())
        ended.exit_code = 128 + interrupt.number
        raise ended from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
