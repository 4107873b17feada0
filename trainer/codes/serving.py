"""TR-A: running a service: its database, its tokens, its port."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-A001",
        "a file or folder of the service is missing",
        "The service needs a certificate and its key together, and files and folders that are "
        "there.",
        "Give both, or correct the path.",
        "train service --tls-cert cert.pem --tls-key key.pem",
    ),
    Entry(
        "TR-A002",
        "this is no address of a database for the service",
        "The service keeps its queue in SQLite or PostgreSQL.",
        "Write an address of one of the two.",
        "train service --database sqlite:///runs/service.db",
    ),
    Entry(
        "TR-A003",
        "the database is not the service's",
        "The file is no database, or holds tables of something else or of a later version. The "
        "service writes over neither.",
        "Give the service a database of its own, or install the later version.",
        "train service --database sqlite:///runs/service.db",
    ),
    Entry(
        "TR-A004",
        "another service holds the database",
        "One service writes a database at a time; the message names who does.",
        "Stop the other one, or use another database.",
    ),
    Entry(
        "TR-A005",
        "the database does not answer",
        "It is away, busy for long, or closed.",
        "Look at the database; the service asks it again by itself.",
    ),
    Entry(
        "TR-A006",
        "the database is damaged or refuses",
        "What the database says is told.",
        "Stop the service and restore the database from a copy; docs/service.md says how.",
    ),
    Entry(
        "TR-A007",
        "a token of this name",
        "Names of tokens stay taken also when they are revoked, so that the audit log is clear; "
        "or there is no token of this name.",
        "Choose another name, or list the tokens.",
        "train token list",
    ),
    Entry(
        "TR-A008",
        "the audit log was changed",
        "A line of it is missing, or is not what was written: each line holds the hash of the "
        "one before.",
        "Find out who could write the database; restore it from a copy.",
    ),
    Entry(
        "TR-A009",
        "the server of the service ended",
        "The HTTP server ended by itself.",
        "Start the service again; jobs go on from where they were saved.",
        "train service",
    ),
)
"""The entries, in the order of their codes."""
