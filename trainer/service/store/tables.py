"""The tables of the database.

    counters   the last number of each sequence: jobs, events, served
    jobs       one row a job, as in `records.Job`, and how far its journal was read
    specs      what of a job is long, and read only for one job at a time
    counts     how many jobs of each user are in each state, kept along with every change
    served     when a user's job was last begun, as a number that grows
    events     what happened, each with the next number
    tokens, sessions, codes    who may come in: hashes of the secrets, never the secrets
    audit, audit_head          who did what, as a chain of hashes, and where it ends
    uploads    files that were sent, or begun to be sent
    speeds     how soon workers were

`migrations/` makes them, and each later form of them; a test holds the two together.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

from trainer.service.store.columns import Json, Whole, Words

METADATA: Final = MetaData()

counters: Final = Table(
    "counters",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("value", Whole, nullable=False),
)

jobs: Final = Table(
    "jobs",
    METADATA,
    Column("number", Whole, primary_key=True, autoincrement=False),
    Column("id", Words, nullable=False),
    Column("user", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("file", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("wish", Words),
    Column("priority", Integer, nullable=False),
    Column("options", Json, nullable=False),
    Column("again", Boolean, nullable=False),
    Column("fingerprint", Words),
    Column("parent", Words),
    Column("run", Words),
    Column("known", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("stuck", Integer, nullable=False),
    Column("step", Whole, nullable=False),
    Column("epoch", Whole, nullable=False),
    Column("epochs", Whole),
    Column("metrics", Json, nullable=False),
    Column("cost", Json, nullable=False),
    Column("created", Double, nullable=False),
    Column("started", Double),
    Column("ended", Double),
    Column("seconds", Double, nullable=False),
    Column("digest", Words, nullable=False),
    Column("place", Whole, nullable=False),  # in its run, until which it was told
    Column("key", Words),  # that its user gave to its request
    Column("request", Words, nullable=False),  # SHA-256 of what was asked
    UniqueConstraint("id", name="jobs_id"),
)
Index(
    "jobs_key", jobs.c.user, jobs.c.key, unique=True,
    sqlite_where=jobs.c.key.is_not(None), postgresql_where=jobs.c.key.is_not(None),
)  # fmt: skip
Index(
    "jobs_next", jobs.c.user, jobs.c.priority.desc(), jobs.c.number,
    sqlite_where=text("state = 'queued'"), postgresql_where=text("state = 'queued'"),
)  # fmt: skip
Index("jobs_state", jobs.c.state, jobs.c.number)
Index("jobs_user", jobs.c.user, jobs.c.number)
Index("jobs_name", jobs.c.name, jobs.c.number)
Index("jobs_created", jobs.c.created, jobs.c.number)
Index("jobs_ended", jobs.c.ended, jobs.c.number)
Index(  # what lists are filtered and sorted by: reading it takes a fraction of reading the table
    "jobs_list", jobs.c.user, jobs.c.state, jobs.c.kind, jobs.c.priority, jobs.c.created,
    jobs.c.ended, jobs.c.epoch, jobs.c.seconds, jobs.c.name, jobs.c.id, jobs.c.number,
)  # fmt: skip
Index(
    "jobs_parent", jobs.c.parent, jobs.c.number,
    sqlite_where=jobs.c.parent.is_not(None), postgresql_where=jobs.c.parent.is_not(None),
)  # fmt: skip

specs: Final = Table(
    "specs",
    METADATA,
    Column("job", Words, ForeignKey("jobs.id"), primary_key=True),
    Column("text", Words, nullable=False),
    Column("resolved", Json, nullable=False),
)

counts: Final = Table(
    "counts",
    METADATA,
    Column("user", Words, primary_key=True),
    Column("state", Words, primary_key=True),
    Column("jobs", Whole, nullable=False),
)

served: Final = Table(
    "served",
    METADATA,
    Column("user", Words, primary_key=True),
    Column("last", Whole, nullable=False),
)

events: Final = Table(
    "events",
    METADATA,
    Column("number", Whole, primary_key=True, autoincrement=False),
    Column("job", Words, ForeignKey("jobs.id"), nullable=False),
    Column("user", Words, nullable=False),
    Column("time", Double, nullable=False),
    Column("kind", Words, nullable=False),
    Column("data", Json, nullable=False),
    Column("mark", Words),  # of the change that it tells of: it is made once
)
Index("events_job", events.c.job, events.c.number)
Index("events_user", events.c.user, events.c.number)
Index(
    "events_mark", events.c.mark, unique=True,
    sqlite_where=events.c.mark.is_not(None), postgresql_where=events.c.mark.is_not(None),
)  # fmt: skip

tokens: Final = Table(
    "tokens",
    METADATA,
    Column("name", Words, primary_key=True),
    Column("hash", Words, nullable=False),
    Column("user", Words, nullable=False),
    Column("role", Words, nullable=False),
    Column("all", Boolean, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double),
    Column("revoked", Double),
    Column("used", Double),
    UniqueConstraint("hash", name="tokens_hash"),
)

sessions: Final = Table(
    "sessions",
    METADATA,
    Column("hash", Words, primary_key=True),
    Column("user", Words, nullable=False),
    Column("role", Words, nullable=False),
    Column("all", Boolean, nullable=False),
    Column("token", Words, nullable=False),
    Column("expires", Double, nullable=False),
)

codes: Final = Table(
    "codes",
    METADATA,
    Column("hash", Words, primary_key=True),
    Column("user", Words, nullable=False),
    Column("role", Words, nullable=False),
    Column("all", Boolean, nullable=False),
    Column("token", Words, nullable=False),
    Column("expires", Double, nullable=False),
    Column("redeemed", Words),  # the mark of who was let in
)

audit: Final = Table(
    "audit",
    METADATA,
    Column("number", Whole, primary_key=True, autoincrement=False),
    Column("time", Double, nullable=False),
    Column("user", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("detail", Json, nullable=False),
    Column("hash", Words, nullable=False),
    Column("mark", Words, nullable=False),
    UniqueConstraint("mark", name="audit_mark"),
)

audit_head: Final = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("lines", Whole, nullable=False),
    Column("hash", Words, nullable=False),
)

uploads: Final = Table(
    "uploads",
    METADATA,
    Column("sha256", Words, primary_key=True),
    Column("user", Words, primary_key=True),
    Column("size", Whole, nullable=False),
    Column("received", Whole, nullable=False),
    Column("created", Double, nullable=False),
)
Index("uploads_user", uploads.c.user)

speeds: Final = Table(
    "speeds",
    METADATA,
    Column("kind", Words, primary_key=True),
    Column("operations", Double, nullable=False),
    Column("seconds", Double, nullable=False),
)
