"""Carrying out a recorded sweep again, and proving that every decision of it is the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from trainer.checkpoints.environment import numeric_environment
from trainer.checkpoints.facts import read_facts, read_outcome
from trainer.checkpoints.folder import find_folder
from trainer.errors import DataError, UsageError
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.resume import changed_facts
from trainer.sweeps.carrying import Sweeping, engine_of, hears_nothing
from trainer.sweeps.drive import KIND, facts_of_sweep, scratch_runs, spec_of
from trainer.sweeps.driver import Script
from trainer.sweeps.log import NAMES, Entry, Found, read_log
from trainer.sweeps.standing import SweepListener
from trainer.sweeps.unfinished import DATA_TAG
from trainer.training import Stop, never
from trainer.workers.shelf import Shelf

SHOWN = 5


@dataclass
class SweepProof:
    """What carrying out a sweep again gave: how many decisions and trials were compared, the digest
    of the recorded ones and of those that were found, which differ, and which facts are others now.
    """

    id: str
    trials: int
    decisions: int
    recorded: str
    found: str
    differences: list[str] = field(default_factory=list)
    facts: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def identical(self) -> bool:
        """Whether every trial, result and promotion is the same, and so is every finished trial's
        hash of its parameters.
        """
        return self.recorded == self.found

    def __str__(self) -> str:
        counted = f"{self.trials} trials, {self.decisions} decisions"
        if self.identical:
            return f"identical: {counted}, {self.found[:16]}"
        lines = [f"different: {len(self.differences)} of them ({counted})"]
        lines += [f"  {text}" for text in self.differences[:SHOWN]]
        lines += [f"  {name}: {old} → {new}" for name, (old, new) in self.facts.items()]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train reproduce --json` for a sweep."""
        return {
            "id": self.id,
            "identical": self.identical,
            "trials": self.trials,
            "decisions": self.decisions,
            "recorded_sha256": self.recorded,
            "found_sha256": self.found,
            "differences": self.differences[:100],
            "facts": {name: list(change) for name, change in self.facts.items()},
        }


def reproduce_sweep(
    sweep: str,
    *,
    profile: Profile = DEFAULT,
    listen: SweepListener = hears_nothing,
    stop: Stop = never,
) -> SweepProof:
    """Carries out a sweep of the profile's folder of runs again, from its declaration and data, and
    compares every decision. Every trial is trained; nothing is kept or recorded.

    A sweep that decided by arrival takes its results in the recorded order, and one that its budget
    ended closes where that one did. Raises `UsageError` for one that is not there or did not end,
    `DataError` where its data are others, and what `sweep` raises.
    """
    path = find_folder(profile.runs or Path("runs"), sweep)
    facts, outcome = read_facts(path), read_outcome(path)
    if facts.kind != KIND:
        raise UsageError(f"the run {path.name[:8]} ({facts.kind}) is no sweep", code="TR-W009")
    if outcome is None or outcome.status not in ("FINISHED", "DIVERGED"):
        short = path.name[:8]
        raise UsageError(
            f"the sweep {short} did not end: go on with it by `train resume {short}`",
            code="TR-R010",
        )
    entries, digest = read_log(path)
    with scratch_runs(replace(profile, engine=engine_of(facts))) as elsewhere:
        spec, shelf = spec_of(facts), Shelf()
        again = facts_of_sweep(spec, elsewhere, shelf)
        if again.tags[DATA_TAG] != facts.tags[DATA_TAG]:
            raise DataError(
                f"the data are not those of the sweep: their SHA-256 is {again.tags[DATA_TAG]}\n"
                f"  expected {facts.tags[DATA_TAG]}",
                code="TR-D038",
            )
        there = (elsewhere.runs or Path()) / again.id
        sweeping = Sweeping(
            spec, again, there, elsewhere, listen, stop, True, shelf, time.monotonic(),
            Script.of(entries), kept=False,
        )  # fmt: skip
        sweeping.carry_out()
        found, found_digest = read_log(there)
    others = changed_facts(facts.environment, numeric_environment(facts.engine))
    proof = SweepProof(path.name, _trials(entries), len(entries), digest, found_digest,
                       facts=dict(others))  # fmt: skip
    proof.differences += _differences(entries, found)
    return proof


def _trials(entries: Sequence[Entry]) -> int:
    return len({entry.trial for entry in entries if isinstance(entry, Found)})


def _differences(recorded: Sequence[Entry], found: Sequence[Entry]) -> list[str]:
    """What is not the same, a line each."""
    lines = []
    for number, (old, new) in enumerate(zip_longest(recorded, found), start=1):
        if old != new:
            lines.append(f"decision {number} was {_shown(old)}, is {_shown(new)}")
    return lines


def _shown(entry: Entry | None) -> str:
    if entry is None:
        return "none"
    return f"{NAMES[type(entry)]} {asdict(entry)}"
