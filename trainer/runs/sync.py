"""Sending what the tracking store did not take when a run ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import Queue

from trainer.checkpoints.facts import FACTS, Facts, Recorded, read_facts, recorded_of
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
    """Sends what the store has not of a run, and trains nothing; of a sweep with its trials. `run`
    is its id, the beginning of its id, its name, or `last`; the store is that of the profile, else
    the one it asked for.

    Raises `UsageError` where there is no such run, `CheckpointError` and `TrackingError`.
    """
    path = find_folder(profile.runs or Path("runs"), run)
    facts = read_facts(path)
    store = resolve_store(address_again(profile.store, facts.store), path.parent)
    orders: Orders = Queue()
    for each in _together(path, facts):
        attempt = read_facts(each).attempt
        orders.put({"folder": str(each.resolve()), "store": store.uri, "attempt": attempt})
    orders.put(None)
    follow(orders)
    recorded = recorded_of(path)
    if recorded is None or not recorded.whole:
        problem = (recorded and recorded.problem) or "not all of it could be sent"
        raise TrackingError(problem, code="TR-T009")
    return recorded


def sent_with_others(run: str, profile: Profile = DEFAULT) -> Recorded | None:
    """What the store has of the run with this id, if that is all of it by now."""
    recorded = recorded_of((profile.runs or Path("runs")) / run)
    return recorded if recorded is not None and recorded.whole else None


def _together(path: Path, facts: Facts) -> list[Path]:
    """The folders that go together: the run's alone; of a sweep also its trials', which it needs to
    be whole; of a trial also those, where the store does not have its sweep.
    """
    if facts.kind == "sweep":
        return [path, *_below(path)]
    parent = path.parent / facts.parent if facts.parent else None
    if parent is None or not (parent / FACTS).is_file():
        return [path]
    known = recorded_of(parent)
    if known is not None and known.run_id is not None:
        return [path]
    return [parent, *_below(parent)] if read_facts(parent).kind == "sweep" else [parent, path]


def _below(sweep: Path) -> list[Path]:
    """The trials of a sweep that the store has not whole."""
    return [path for path, facts in _unsent(sweep.parent) if facts.parent == sweep.name]
