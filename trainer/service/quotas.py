"""How much a user may have: jobs that are not over, seconds of training a day, bytes of uploads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from trainer.service.records import User
from trainer.service.refusals import Quota
from trainer.service.settings import Settings
from trainer.service.store import JobFilter, Store

DAY: Final = 86_400.0
COUNTED_SECONDS: Final = 2.0
WAITING: Final = ("queued", "waiting", "paused")
"""Jobs in these states count as queued."""


@dataclass
class _Known:
    """How many jobs of a user wait at most, and until when that is taken to be so."""

    most: int
    until: float


class Quotas:
    """Looks whether there is room, and keeps it while something is taken in: what several requests
    of one user ask for at once counts, too.
    """

    def __init__(self, store: Store, settings: Settings, clock: Callable[[], float]) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._lock = threading.Lock()
        self._jobs: Counter[str] = Counter()
        self._known: dict[str, _Known] = {}

    @contextmanager
    def room_for_job(self, user: User, none: bool = False) -> Iterator[None]:
        """Room for one more job, unless it takes `none`. Raises `Quota`."""
        most = self._settings.queued_per_user
        if none or (most is None and self._settings.seconds_per_user is None):
            yield
            return
        with self._lock:
            self._jobs[user.name] += 1
        try:
            if most is not None:
                self._check_queued(user, most)
            if self._settings.seconds_per_user is not None:
                self._check_seconds(user, self._settings.seconds_per_user)
            yield
        finally:
            with self._lock:
                self._jobs[user.name] -= 1
                if not self._jobs[user.name]:
                    del self._jobs[user.name]

    def _check_queued(self, user: User, most: int) -> None:
        """Counts only where as many may wait as it may have: since they were counted last, there
        are no more than have come through here, but for the few that lost their worker.
        """
        with self._lock:
            known = self._known.get(user.name)
            if known is not None and known.until > time.monotonic():
                known.most += 1
                if known.most <= most:
                    return
            coming = self._jobs[user.name]
            counts = self._store.counts(user.name)
            waiting = sum(counts.get(state, 0) for state in WAITING) + coming
            self._known[user.name] = _Known(waiting, time.monotonic() + COUNTED_SECONDS)
        if waiting > most:
            raise Quota(f"{user.name} has as many jobs queued as it may have: {most:,}", seconds=60)

    def _check_seconds(self, user: User, most: float) -> None:
        """Of what was submitted in the last day."""
        wanted = JobFilter(user=user.name, since=self._clock() - DAY)
        used, after = 0.0, None
        while True:
            page = self._store.jobs(wanted, "number", 500, after)
            used += sum(job.seconds for job in page.items)
            after = page.next
            if used >= most or after is None:
                break
        if used >= most:
            raise Quota(f"{user.name} has trained its {most:,.0f} seconds of a day", seconds=3600)
