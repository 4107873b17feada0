"""Cross-validations that were killed before they could say so, and their folds: closed by the next
one of the same spec and data, which goes on with what they trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from trainer.checkpoints.facts import Facts, Outcome, read_facts, read_outcome, read_recorded
from trainer.checkpoints.folder import LOCK, RunFolder, folders, is_held
from trainer.errors import CheckpointError
from trainer.runs.recording import Recorder

DATA_TAG: Final = "trainer.data_sha256"


def close_killed(facts: Facts, runs: Path, recorder: Recorder | None) -> None:
    """Ends as KILLED what nobody ended of earlier cross-validations with these facts; `recorder`
    tells the store, where that had some of it.
    """
    for path, killed in _killed(facts, runs):
        with suppress(CheckpointError):  # another process has it, or the disk refuses
            folder = RunFolder(path)
            try:
                folder.end(_outcome(killed, facts.id))
            finally:
                folder.release()
            recorded = read_recorded(path)
            if recorder is not None and killed.record and not (recorded and recorded.whole):
                recorder.follow(path, killed.attempt)


def _killed(facts: Facts, runs: Path) -> Iterator[tuple[Path, Facts]]:
    """The folders of such cross-validations, and of folds below them, that have no end."""
    known: dict[Path, Facts] = {}
    for path in folders(runs):
        with suppress(CheckpointError):
            known[path] = read_facts(path)
    before = {i.id for i in known.values() if _is_same(i, facts) and i.id != facts.id}
    for path, each in known.items():
        with suppress(CheckpointError):
            ours = each.id in before or each.parent in before
            if ours and read_outcome(path) is None and not is_held(path / LOCK):
                yield path, each


def _is_same(one: Facts, other: Facts) -> bool:
    data = one.tags.get(DATA_TAG), other.tags.get(DATA_TAG)
    return one.kind == other.kind and one.spec_sha256 == other.spec_sha256 and data[0] == data[1]


def _outcome(killed: Facts, by: str) -> Outcome:
    told = f"- Result: killed; gone on with by {by[:8]}"
    first, blank, *rest = killed.description or ["", ""]
    reason = f"killed; gone on with by {by[:8]}"
    return Outcome("KILLED", 0, 0, reason, {}, description=[first, blank, told, *rest])
