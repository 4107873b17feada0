"""Why the service does not do what it was asked, in the words of the API.

TrainerError
└── Refused              what a request may not have, or not now
    ├── Unauthorised     nobody who is known asks
    ├── Forbidden        who asks may not do this
    ├── Missing          there is no such thing, or none that who asks may see
    ├── TooLarge         more bytes than are taken
    ├── Conflict         it does not fit to what is there
    ├── Quota            who asks has as much as it may have
    ├── Rate             who asks does so too often
    └── Draining         nothing new is begun
"""

from __future__ import annotations

from trainer.errors import TrainerError


class Refused(TrainerError):  # noqa: N818 (it is a refusal, no fault)
    """Base of what the service refuses. `seconds` is after how long to ask again, where that is
    of use.
    """

    exit_code = 2
    kind = "refused"

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class Unauthorised(Refused):
    """No token came along, or one that lets nobody in."""

    kind = "unauthorised"
    code = "TR-V004"


class Forbidden(Refused):
    """Who asks may not do this."""

    kind = "forbidden"
    code = "TR-V005"


class Missing(Refused):
    """There is no such thing, or none that who asks may see: the answer does not tell which."""

    kind = "missing"
    code = "TR-V006"


class TooLarge(Refused):
    """More bytes than are taken."""

    kind = "too_large"
    code = "TR-V011"


class Conflict(Refused):
    """It does not fit to what is there."""

    kind = "conflict"
    code = "TR-V007"


class Quota(Refused):
    """Who asks has as much as it may have."""

    kind = "quota"
    code = "TR-V008"


class Rate(Refused):
    """Who asks does so too often."""

    kind = "rate"
    code = "TR-V009"


class Draining(Refused):
    """The service is about to end, and begins nothing new."""

    kind = "draining"
    code = "TR-V010"
