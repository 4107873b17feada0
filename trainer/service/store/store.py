"""The store: all of its parts as one."""

from __future__ import annotations

import time
from collections.abc import Callable

from trainer.service.store.access import Access
from trainer.service.store.audit import Audit
from trainer.service.store.changing import Changing
from trainer.service.store.claiming import Claiming
from trainer.service.store.database import Database
from trainer.service.store.events import Events
from trainer.service.store.jobs import Jobs
from trainer.service.store.listing import Listing
from trainer.service.store.speeds import Speeds
from trainer.service.store.uploads import Uploads


class Store(Jobs, Changing, Claiming, Listing, Events, Access, Audit, Uploads, Speeds):
    """What the service keeps: jobs and their events, who may come in, the audit log, uploads.

    Every method that writes returns once it counts, and has happened once however often a
    connection was lost. Times are for people: only what expires is decided by `clock`.
    """

    def __init__(self, db: Database, clock: Callable[[], float] = time.time) -> None:
        super().__init__(db, clock)

    def close(self) -> None:
        """Writes what waits, and lets another server have the database."""
        self._db.close()
