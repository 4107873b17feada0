"""The events of the service as they come: read once from the store, for all streams together.

The store calls when something was written; nothing asks it again and again. The last events are
kept, so that streams which are near the end, as nearly all are, read no database. One that is
further behind reads pages of the store until it is near.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool

from trainer.errors import TrainerError
from trainer.service.records import Event
from trainer.service.store import Store

log = logging.getLogger(__name__)

KEPT: Final = 4096
"""Events in memory, for all streams."""
PAGE: Final = 200
"""Events that a stream takes at a time."""
AWAY: Final = 1.0
"""Seconds until a store that is away is asked again."""


@dataclass(frozen=True)
class Wanted:
    """Which events a stream tells: of one job, of one user's jobs, or all."""

    job: str | None = None
    user: str | None = None

    def takes(self, event: Event) -> bool:
        """Whether it tells this one."""
        return self.job in (None, event.job) and self.user in (None, event.user)


class Feed:
    """Belongs to the thread of the event loop, but for `close`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._since = 0  # all events after this one, up to `last`, are kept
        self.last = 0
        self._told = 0
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self.closed = False
        self.access = 0
        """Grows whenever somebody may see less than before."""

    async def start(self) -> None:
        """Follows the store from now on."""
        self._loop = asyncio.get_running_loop()
        self._unsubscribe = self._store.subscribe(self._heard)
        self.last = self._since = await run_in_threadpool(self._store.last_event)
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Ends all streams, and follows no more."""
        self._end()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def close(self) -> None:
        """Ends all streams, so that the server can end; from any thread."""
        self._call(self._end)

    def check_access(self) -> None:
        """Has every stream look whether it may still be read; from any thread."""
        self._call(self._recheck)

    def _call(self, do: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended, and all streams with it
            if self._loop is not None:
                self._loop.call_soon_threadsafe(do)

    def _heard(self, number: int) -> None:
        """The store wrote events up to this one; it calls in its own thread."""
        self._call(lambda: self._wake(number))

    def _wake(self, number: int) -> None:
        self._told = max(self._told, number)
        self._news.set()

    def _end(self) -> None:
        self.closed = True
        self._turn()

    def _recheck(self) -> None:
        self.access += 1
        self._turn()

    def _turn(self) -> None:
        """Wakes every stream that waits."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _follow(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self.last < self._told:
                if not await self._read():
                    await asyncio.sleep(AWAY)

    async def _read(self) -> bool:
        """Takes the next page; false where the store is away."""
        try:
            page = await run_in_threadpool(self._store.events, self.last, None, None, PAGE)
        except TrainerError as error:
            log.warning("the events cannot be read: %s", error)
            return False
        for event in page:
            if len(self._kept) == KEPT:
                self._since = self._kept[0].number
            self._kept.append(event)
        self.last = page[-1].number if page else self._told
        self._turn()
        return True

    # For streams --------------------------------------------------------------------------------

    async def after(self, number: int, wanted: Wanted) -> tuple[list[Event], int]:
        """Events after this one, the oldest first, and the number up to which nothing is left out:
        some now, or none where there are none. Raises what the store raises.
        """
        if number >= self._since:
            return self._from_kept(number, wanted)
        last = self.last
        page = await run_in_threadpool(self._store.events, number, wanted.job, wanted.user, PAGE)
        if len(page) == PAGE:
            return page, page[-1].number
        return page, max(last, page[-1].number if page else 0)

    def _from_kept(self, number: int, wanted: Wanted) -> tuple[list[Event], int]:
        begin = bisect_right(self._kept, number, key=lambda event: event.number)
        found: list[Event] = []
        for k in range(begin, len(self._kept)):
            event = self._kept[k]
            if wanted.takes(event):
                found.append(event)
                if len(found) == PAGE:
                    return found, event.number
        return found, max(number, self.last)

    async def wait(self, number: int, access: int, seconds: float) -> bool:
        """Until there is something after this number, or `access` or the end to look at; false
        where there is nothing for so long.
        """
        if not self._is_quiet(number, access):
            return True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
        return not self._is_quiet(number, access)

    def _is_quiet(self, number: int, access: int) -> bool:
        return self.last <= number and self.access == access and not self.closed
