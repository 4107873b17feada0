"""What the store does not do, and why.

UsageError
├── KeyTaken      the key of a request came with another request before
├── NotAllowed    the job cannot come into this state from the one that it is in
├── Stale         who asks knows an older state of the job than there is
└── NoJob         there is no such job
MachineError
├── StoreAway     the database did not answer for long
├── StoreFull     its disk is full
└── Broken        a line of the audit log is not what was written
"""

from __future__ import annotations

from trainer.errors import MachineError, UsageError


class KeyTaken(UsageError):  # noqa: N818 (a refusal, as the others)
    """The key of a request came with another request before."""

    kind = "conflict"
    code = "TR-V013"


class NotAllowed(UsageError):  # noqa: N818 (a refusal, as the others)
    """The job cannot come into this state from the one that it is in."""

    kind = "conflict"
    code = "TR-V007"


class Stale(UsageError):  # noqa: N818 (a refusal, as the others)
    """The job is not as who asks takes it to be: another attempt has begun, or it runs no more."""

    kind = "conflict"
    code = "TR-V007"


class NoJob(UsageError):  # noqa: N818 (a refusal, as the others)
    """There is no job with this id."""

    kind = "missing"
    code = "TR-V006"


class StoreAway(MachineError):  # noqa: N818 (a refusal, as the others)
    """The database did not answer for as long as one would wait, or the store is closed."""

    kind = "away"
    code = "TR-A005"


class StoreFull(MachineError):  # noqa: N818 (a refusal, as the others)
    """The disk of the database has no room. What is in it stays whole, and may be written to again
    once there is some.
    """

    code = "TR-M001"


class Broken(MachineError):  # noqa: N818 (a refusal, as the others)
    """A line of the audit log is not what was written, or is missing: `line` counts from 1."""

    code = "TR-A008"

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
