"""How often someone may ask: buckets of tokens, which fill again as time goes by."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST: Final = 10_000
"""Buckets that are kept; the one that was used longest ago is full again, or nearly."""


class Buckets:
    """A bucket by name. Each holds `size` at most, and gets `rate` a second. It is used by one
    thread, that of the event loop.
    """

    def __init__(
        self, rate: float, size: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._size, self._clock = rate, max(1.0, size), clock
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> float:
        """Takes one; 0, or after how many seconds there is one, if there is none."""
        now = self._clock()
        left = self._left(name, now)
        self._kept[name] = (left - 1 if left >= 1 else left, now)
        self._kept.move_to_end(name)
        if len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def wait(self, name: str) -> float:
        """After how many seconds there is one, without taking it."""
        left = self._left(name, self._clock())
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def _left(self, name: str, now: float) -> float:
        left, then = self._kept.get(name, (self._size, now))
        return min(self._size, left + (now - then) * self._rate)
