"""What the answer of a worker, or its loss, means for a job. Pure: a table in words.

The fault of the spec or of the data ends a job. A worker that is lost, a machine that refuses, a
disk that is full are tried again, from the last checkpoint. Three attempts in a row that take no
step end it, too; and twelve that take steps, but get no farther than those before them: whatever
kills workers now and then does not strike at the same place so often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from trainer.service.records import Job
from trainer.service.states import State
from trainer.training.result import Status
from trainer.workers.task import Answer

LIMIT: Final = 12
"""So much counts together until a job ends: an attempt without a step as `STILL`, one that gets no
farther as 1."""
STILL: Final = 4
STARTS: Final = 20
"""So many processes in a row may be lost before they could begin."""
LATER_SECONDS: Final = 5.0
"""A disk that was full, or a cluster that was away, is tried again after so long."""
_ENDS: Final[Mapping[Status, State]] = {"FINISHED": "finished", "DIVERGED": "diverged"}


@dataclass(frozen=True)
class Verdict:
    """What a job comes to be, and why; `fields` of it that change. What is `waiting` comes into the
    queue again after so many seconds, or where that is None when the service starts anew.
    """

    to: State
    reason: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    after: float | None = None


@dataclass(frozen=True)
class Got:
    """How far an attempt got: the step that it, or one before it, was seen at; and whether it
    took steps itself, or there were none to take any more.
    """

    step: int
    stepped: bool


def verdict_of(job: Job, answer: Answer, got: Got, leaving: bool) -> Verdict:
    """That of an answer. `job` is as it was claimed, but for its wish; `leaving` says that the
    service had it stop.
    """
    fields: dict[str, Any] = {"seconds": job.seconds + answer.seconds}
    if answer.status in _ENDS:
        fields |= {
            "run": answer.id, "known": answer.known, "metrics": answer.metrics,
            "digest": answer.parameters_sha256, "step": max(answer.step, job.step),
            "epoch": answer.epoch, "stuck": 0,
        }  # fmt: skip
        return Verdict(_ENDS[answer.status], answer.reason, fields)
    if answer.status in ("KILLED", "PAUSED"):
        return _stopped(job, fields | {"stuck": 0}, leaving)
    if answer.fault in ("spec", "data"):
        return Verdict("failed", answer.reason, fields)
    if answer.fault == "bits":
        return Verdict("waiting", answer.reason, fields)
    if answer.fault in ("room", "away"):
        return Verdict("waiting", answer.reason, fields, LATER_SECONDS)
    return _again(job, answer.reason, got, fields)


def _stopped(job: Job, fields: Mapping[str, Any], leaving: bool) -> Verdict:
    if job.wish == "cancel":
        return Verdict("cancelled", "as was asked", fields)
    if job.wish == "pause":
        return Verdict("paused", "as was asked", fields)
    why = "the service stopped" if leaving else "its worker was stopped"
    return Verdict("queued", f"{why}; it goes on from where it was saved", fields)


def verdict_of_loss(job: Job, got: Got, begun: bool, lost: int) -> Verdict:
    """That of a worker that is gone: killed, or the machine has too little memory. `begun` says
    whether it could begin at all, and `lost` how many in a row could not.
    """
    if job.wish == "cancel":
        return Verdict("cancelled", "as was asked")
    if not begun and lost < STARTS:
        return Verdict("queued", "its worker was lost before it could begin")
    if not begun:
        reason = f"{STARTS} processes were lost before they could begin"
        return Verdict("waiting", reason, after=LATER_SECONDS)
    return _again(job, "its worker was lost", got, {})


def _again(job: Job, why: str, got: Got, fields: Mapping[str, Any]) -> Verdict:
    """Another attempt, unless too many did not get farther."""
    step = max(got.step, job.step)
    stuck = 0 if got.step > job.step else job.stuck + (1 if got.stepped else STILL)
    fields = {**fields, "stuck": stuck, "step": step}
    if stuck >= LIMIT:
        text = f"attempts in a row got no step farther than step {step}, {job.attempt} in all"
        return Verdict("failed", f"{text}: {why}", fields)
    if stuck < STILL:
        return Verdict("queued", f"{why}; it goes on after step {got.step}", fields)
    return Verdict("waiting", f"{why}; it is tried again", fields, after=float(stuck // STILL))
