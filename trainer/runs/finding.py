"""Finding the run that a word stands for: among the folders here, else in MLflow's store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainer.checkpoints.disk import read_sealed
from trainer.checkpoints.facts import WINNER_TAG, read_facts, read_outcome, recorded_of
from trainer.checkpoints.folder import FILES, find_folder
from trainer.errors import UsageError
from trainer.runs.facts import spec_place
from trainer.runs.profile import Profile
from trainer.spec.schema import Spec
from trainer.tracking.opening import KIND_TAG, SPEC_FILE
from trainer.tracking.runs import Runs, artifacts_of

RESOLVED: Final = "config/resolved.yaml"
PREPROCESSING: Final = "preprocessing.json"
PARAMETERS: Final = "parameters.safetensors"
DECISION: Final = "decision.json"

Warn = Callable[[str], None]


@dataclass(frozen=True)
class FoundRun:
    """A run that was found: in its folder, or in the store where it has none here.

    `id` is the name of its folder, or its id in the store where it has none; `run_id` its id in
    the store. `place` is where its files are, as messages name it. `kind` is `train`, or what a run
    is that trained no model; `tags` are what its end told the store.
    """

    id: str
    run_id: str | None
    name: str
    status: str
    kind: str
    source: str
    hashes: Mapping[str, str]
    tags: Mapping[str, str]
    place: Path
    _files: Callable[[Sequence[str]], Mapping[str, bytes]]

    def files(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Those of these files that the run left, as it left them. Raises `TrackingError`, and
        `CheckpointError` for one that was changed or is gone.
        """
        return self._files(names)


def find_run(
    reference: str, profile: Profile, spec: Spec | None = None, warn: Warn | None = None
) -> FoundRun:
    """The run that `reference` stands for: a name, an id, the beginning of an id, `last` or `best`.

    A sweep stands for its best trial. A run whose folder is here is found there, unless a store was
    named; `best` is looked for in the store. Raises `UsageError` where there is no such run, more
    than one, or a sweep without a best trial, and `TrackingError`.
    """
    folder = None
    if profile.runs is not None and reference != "best" and profile.store is None:
        with suppress(UsageError):
            folder = find_folder(profile.runs, reference)
    if folder is not None:
        found = _in_folder(folder)
        return _in_folder(folder.parent / _winner(found)) if found.kind == "sweep" else found
    runs = Runs(profile.find_store(spec), warn)
    found = _in_store(runs, reference)
    return _in_store(runs, _winner(found)) if found.kind == "sweep" else found


def _winner(sweep: FoundRun) -> str:
    """The id of the trial that a sweep stands for. Raises `UsageError` where it has none."""
    if WINNER_TAG not in sweep.tags:
        short = sweep.id[:8]
        hint = f"\n  hint: go on with it by `train resume {short}`"
        raise UsageError(
            f"the sweep {short} ({sweep.status}) has no trial yet that came to a good end"
            + hint * (sweep.status in ("RUNNING", "KILLED")),
            code="TR-W010",
        )
    return sweep.tags[WINNER_TAG]


def _in_store(runs: Runs, reference: str) -> FoundRun:
    found = runs.find(reference)
    tags = {name: found.tags.get(f"trainer.{name}", "") for name in HASHES}
    return FoundRun(
        found.tags.get("trainer.run", found.run_id), found.run_id, found.name, found.status,
        found.tags.get(KIND_TAG, "train"), spec_file_of(found.tags), tags, found.tags,
        artifacts_of(found), lambda names: runs.files(found, names),
    )  # fmt: skip


def spec_file_of(tags: Mapping[str, str]) -> str:
    """The file of the spec of a recorded run, as `spec_place` finds it."""
    return spec_place(tags.get(SPEC_FILE), tags.get("mlflow.source.name")) or "spec"


HASHES: Final = ("spec_sha256", "data_sha256", "parameters_sha256")


def _in_folder(path: Path) -> FoundRun:
    facts, outcome, recorded = read_facts(path), read_outcome(path), recorded_of(path)
    sealed = {**facts.files, **(outcome.files if outcome else {})}
    hashes = {
        "spec_sha256": facts.spec_sha256,
        "data_sha256": facts.data.get("sha256", ""),
        "parameters_sha256": (outcome and outcome.parameters_sha256) or "",
    }

    def files(names: Sequence[str]) -> Mapping[str, bytes]:
        found = {name: read_sealed(path, f"{FILES}/{name}", sealed) for name in names}
        return {name: data for name, data in found.items() if data is not None}

    return FoundRun(
        path.name, recorded.run_id if recorded else None, facts.name,
        outcome.status if outcome else "RUNNING", facts.kind,
        spec_place(facts.spec_file, facts.origin["source"]) or "spec", hashes,
        outcome.tags if outcome else {}, path / FILES, files,
    )  # fmt: skip
