"""What a job may become.

    queued ──> running ──> finished, diverged, failed
      │ ^        │  │
      v │        │  └────> queued again where its worker was lost
    waiting <────┘         (waiting: not before something else is so, which its reason says)

A job that is not over can be paused and cancelled. What is over stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

State: TypeAlias = Literal[
    "queued", "waiting", "running", "paused", "finished", "diverged", "failed", "cancelled"
]
STATES: Final[tuple[State, ...]] = get_args(State)
OVER: Final[frozenset[State]] = frozenset({"finished", "diverged", "failed", "cancelled"})
"""How a job ends."""
OPEN: Final[frozenset[State]] = frozenset(STATES) - OVER

_NEXT: Final[Mapping[State, frozenset[State]]] = {
    "queued": frozenset({"running", "waiting", "paused", "cancelled", "failed", "finished"}),
    "waiting": frozenset({"queued", "running", "paused", "cancelled", "failed"}),
    "running": frozenset(STATES) - {"running"},
    "paused": frozenset({"queued", "cancelled"}),
    **dict.fromkeys(OVER, frozenset()),
}


def may_become(state: State, other: State) -> bool:
    """Whether a job in this state may come into the other one."""
    return other in _NEXT[state]
