"""Sending what the tracking store did not take when a run ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import Queue

from trainer.checkpoints.facts import Facts, Recorded, read_facts, recorded_of
from trainer.checkpoints.folder import LOCK, find_folder, folders, is_held
from trainer.errors import CheckpointError, TrackingError
from trainer.runs.profile import DEFAULT, Profile
from trainer.tracking.recorder import RECORDER_LOCK, Orders, follow
from trainer.tracking.store import address_again, resolve_store


def unsent_runs(profile: Profile = DEFAULT) -> list[str]:
    """The ids of the runs that their store has not whole and nobody records, the oldest first."""
    return [path.name for path, _ in _unsent(profile.runs or Path("runs"))]


def _unsent(runs: Path) -> Iterator[tuple[Path, Facts]]:
    for path in folders(runs):
        try:
            facts, recorded = read_facts(path), recorded_of(path)
        except CheckpointError:
            continue
        held = is_held(path / LOCK) or is_held(path / RECORDER_LOCK)
        if facts.record and not held and not (recorded and recorded.whole):
            yield path, facts


def send(run: str, profile: Profile = DEFAULT) -> Recorded:
    """Sends what the store has not of a run, and trains nothing. `run` is its id, the beginning of
    its id, its name, or `last`; the store is that of the profile, else the one it asked for.

    Raises `UsageError` where there is no such run, `CheckpointError` and `TrackingError`.
    """
    path = find_folder(profile.runs or Path("runs"), run)
    facts = read_facts(path)
    store = resolve_store(address_again(profile.store, facts.store), path.parent)
    orders: Orders = Queue()
    orders.put({"folder": str(path.resolve()), "store": store.uri, "attempt": facts.attempt})
    orders.put(None)
    whole, recorded = follow(orders), recorded_of(path)
    if not whole or recorded is None:
        problem = (recorded and recorded.problem) or "not all of it could be sent"
        raise TrackingError(problem)
    return recorded
