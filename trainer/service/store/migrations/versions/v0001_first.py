"""The first tables."""

import sqlalchemy as sa
from alembic import op

from trainer.service.store.columns import Json, Whole, Words

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes them."""
    op.create_table(
        "audit",
        sa.Column("number", Whole, autoincrement=False, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("user", Words, nullable=False),
        sa.Column("action", Words, nullable=False),
        sa.Column("target", Words, nullable=False),
        sa.Column("detail", Json, nullable=False),
        sa.Column("hash", Words, nullable=False),
        sa.Column("mark", Words, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("mark", name="audit_mark"),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("lines", Whole, nullable=False),
        sa.Column("hash", Words, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "codes",
        sa.Column("hash", Words, nullable=False),
        sa.Column("user", Words, nullable=False),
        sa.Column("role", Words, nullable=False),
        sa.Column("all", sa.Boolean, nullable=False),
        sa.Column("token", Words, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.Column("redeemed", Words),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "counters",
        sa.Column("name", Words, nullable=False),
        sa.Column("value", Whole, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "counts",
        sa.Column("user", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("jobs", Whole, nullable=False),
        sa.PrimaryKeyConstraint("user", "state"),
    )
    op.create_table(
        "jobs",
        sa.Column("number", Whole, autoincrement=False, nullable=False),
        sa.Column("id", Words, nullable=False),
        sa.Column("user", Words, nullable=False),
        sa.Column("name", Words, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("file", Words, nullable=False),
        sa.Column("state", Words, nullable=False),
        sa.Column("reason", Words, nullable=False),
        sa.Column("wish", Words),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("options", Json, nullable=False),
        sa.Column("again", sa.Boolean, nullable=False),
        sa.Column("fingerprint", Words),
        sa.Column("parent", Words),
        sa.Column("run", Words),
        sa.Column("known", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("stuck", sa.Integer, nullable=False),
        sa.Column("step", Whole, nullable=False),
        sa.Column("epoch", Whole, nullable=False),
        sa.Column("epochs", Whole),
        sa.Column("metrics", Json, nullable=False),
        sa.Column("cost", Json, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("started", sa.Double),
        sa.Column("ended", sa.Double),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("digest", Words, nullable=False),
        sa.Column("place", Whole, nullable=False),
        sa.Column("key", Words),
        sa.Column("request", Words, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id", name="jobs_id"),
    )
    op.create_index("jobs_created", "jobs", ["created", "number"])
    op.create_index("jobs_ended", "jobs", ["ended", "number"])
    op.create_index(
        "jobs_key",
        "jobs",
        ["user", "key"],
        unique=True,
        sqlite_where=sa.text("key IS NOT NULL"),
        postgresql_where=sa.text("key IS NOT NULL"),
    )
    op.create_index(
        "jobs_list",
        "jobs",
        [
            "user",
            "state",
            "kind",
            "priority",
            "created",
            "ended",
            "epoch",
            "seconds",
            "name",
            "id",
            "number",
        ],
    )
    op.create_index("jobs_name", "jobs", ["name", "number"])
    op.create_index(
        "jobs_next",
        "jobs",
        ["user", sa.literal_column("priority DESC"), "number"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "jobs_parent",
        "jobs",
        ["parent", "number"],
        sqlite_where=sa.text("parent IS NOT NULL"),
        postgresql_where=sa.text("parent IS NOT NULL"),
    )
    op.create_index("jobs_state", "jobs", ["state", "number"])
    op.create_index("jobs_user", "jobs", ["user", "number"])
    op.create_table(
        "served",
        sa.Column("user", Words, nullable=False),
        sa.Column("last", Whole, nullable=False),
        sa.PrimaryKeyConstraint("user"),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", Words, nullable=False),
        sa.Column("user", Words, nullable=False),
        sa.Column("role", Words, nullable=False),
        sa.Column("all", sa.Boolean, nullable=False),
        sa.Column("token", Words, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_table(
        "speeds",
        sa.Column("kind", Words, nullable=False),
        sa.Column("operations", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("kind"),
    )
    op.create_table(
        "tokens",
        sa.Column("name", Words, nullable=False),
        sa.Column("hash", Words, nullable=False),
        sa.Column("user", Words, nullable=False),
        sa.Column("role", Words, nullable=False),
        sa.Column("all", sa.Boolean, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("expires", sa.Double),
        sa.Column("revoked", sa.Double),
        sa.Column("used", sa.Double),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("hash", name="tokens_hash"),
    )
    op.create_table(
        "uploads",
        sa.Column("sha256", Words, nullable=False),
        sa.Column("user", Words, nullable=False),
        sa.Column("size", Whole, nullable=False),
        sa.Column("received", Whole, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("sha256", "user"),
    )
    op.create_index("uploads_user", "uploads", ["user"])
    op.create_table(
        "events",
        sa.Column("number", Whole, autoincrement=False, nullable=False),
        sa.Column("job", Words, nullable=False),
        sa.Column("user", Words, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("kind", Words, nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("mark", Words),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("events_job", "events", ["job", "number"])
    op.create_index(
        "events_mark",
        "events",
        ["mark"],
        unique=True,
        sqlite_where=sa.text("mark IS NOT NULL"),
        postgresql_where=sa.text("mark IS NOT NULL"),
    )
    op.create_index("events_user", "events", ["user", "number"])
    op.create_table(
        "specs",
        sa.Column("job", Words, nullable=False),
        sa.Column("text", Words, nullable=False),
        sa.Column("resolved", Json, nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("job"),
    )
    counters = sa.table("counters", sa.column("name", Words), sa.column("value", Whole))
    rows = [{"name": name, "value": 0} for name in ("jobs", "events", "served")]
    op.bulk_insert(counters, rows)
    head = sa.table(
        "audit_head", sa.column("id", sa.Integer), sa.column("lines", Whole),
        sa.column("hash", Words),
    )  # fmt: skip
    op.bulk_insert(head, [{"id": 1, "lines": 0, "hash": ""}])
