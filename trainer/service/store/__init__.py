"""The service's memory, a database: SQLite's in a file, or PostgreSQL's.

columns, tables, migrations/   what is kept, and how it came to be so
connections, holding, schema   an address; one server at a time; the tables made
writing, database, faults      one thread writes, many read; what errors of a database mean
jobs, changing, claiming, listing, events, access, audit, uploads, speeds   the parts of `Store`
"""

from trainer.service.store.database import Database
from trainer.service.store.listing import JobFilter, Page
from trainer.service.store.refusals import (
    Broken,
    KeyTaken,
    NoJob,
    NotAllowed,
    Stale,
    StoreAway,
    StoreFull,
)
from trainer.service.store.store import Store

__all__ = [
    "Broken", "Database", "JobFilter", "KeyTaken", "NoJob", "NotAllowed", "Page", "Stale", "Store",
    "StoreAway", "StoreFull",
]  # fmt: skip
