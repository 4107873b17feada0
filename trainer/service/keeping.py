"""What a job's run has left: its files, how it ended, its curves, and how two jobs differ."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from trainer.checkpoints.disk import open_within
from trainer.checkpoints.facts import read_facts, read_outcome, recorded_of
from trainer.checkpoints.folder import FILES, JOURNAL, MODEL
from trainer.checkpoints.journal import read_journal
from trainer.errors import CheckpointError
from trainer.service.records import Event, Job
from trainer.service.refusals import Conflict, Missing
from trainer.service.sending import UPLOADS, without_folders
from trainer.service.store import Store
from trainer.training.events import EpochDone

SHOWN: Final = (FILES, MODEL)
"""The folders of a run whose files are for people."""
MAX_FILES: Final = 10_000
PAGE: Final = 1000
"""Events that are read at a time."""
POINTS: Final = 2000
"""Of a curve, at most."""

Curve = list[tuple[float, float | None]]
"""Epoch and value of each point; None for a value that is not finite."""


# Files ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """A file of a run: its path below the run's folder, and its bytes."""

    path: str
    size: int


def files_of(folder: Path) -> list[Kept]:
    """The regular files for people of the run in this folder; none where there is no run."""
    found: list[Kept] = []
    for name in SHOWN:
        for kept in _below(folder, name):
            if len(found) == MAX_FILES:
                return found
            found.append(kept)
    return found


def _below(folder: Path, name: str) -> Iterator[Kept]:
    """The files below a folder, by name, deeper ones last. Nothing is followed where it links."""
    folders = [name]
    while folders:
        inner = folders.pop(0)
        try:
            if not stat.S_ISDIR((folder / inner).lstat().st_mode):
                continue
            entries = sorted(os.scandir(folder / inner), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            about = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(about.st_mode):
                folders.append(f"{inner}/{entry.name}")
            elif stat.S_ISREG(about.st_mode):
                yield Kept(f"{inner}/{entry.name}", about.st_size)


def open_file(folder: Path, path: str) -> tuple[IO[bytes], int]:
    """One of these files, and its bytes. Raises `Missing` for whatever is none of them: a path
    that leads out of the folder, a link on the way, a file of another place of the run.
    """
    missing = Missing(f"the run has no file '{path}'")
    parts = path.split("/")
    if parts[0] not in SHOWN or any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise missing
    if not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise missing
    try:
        file = open_within(folder, path)
    except (OSError, ValueError):
        raise missing from None
    return file, os.fstat(file.fileno()).st_size


# How it ended -----------------------------------------------------------------------------------


def outcome_of(folder: Path) -> dict[str, Any] | None:
    """How the run in this folder ended, and where MLflow has it; None where it did not end.

    Raises `Conflict` where its files are damaged.
    """
    try:
        outcome = read_outcome(folder)
        if outcome is None:
            return None
        engine = read_facts(folder).engine
    except CheckpointError:  # whose words name the folders of this machine
        raise Conflict("the files of the run are damaged, or were changed") from None
    known: dict[str, Any] = _clean(asdict(outcome), folder.absolute().parent)
    del known["curves"]
    return known | {"mlflow": tracked(folder), "engine": engine}


def _clean(value: Any, runs: Path) -> Any:
    """What a run says of itself, without the folders of this machine."""
    if isinstance(value, str):
        return without_folders(value, (runs / UPLOADS, runs))
    if isinstance(value, dict):
        return {key: _clean(each, runs) for key, each in value.items()}
    return [_clean(each, runs) for each in value] if isinstance(value, list) else value


def tracked(folder: Path) -> dict[str, Any] | None:
    """Where MLflow has the run, as far as its recorder has said."""
    recorded = recorded_of(folder)
    if recorded is None:
        return None
    return {
        "run_id": recorded.run_id,
        "experiment": recorded.experiment,
        "model_id": recorded.model_id,
        "whole": recorded.whole,
        "problem": recorded.problem,
    }


# Events -----------------------------------------------------------------------------------------


def _events(store: Store, job: Job) -> Iterator[Event]:
    """All events of a job, read a page at a time."""
    after = 0
    while page := store.events(after, job.id, None, PAGE):
        yield from page
        after = page[-1].number


def changes_of(store: Store, job: Job) -> list[Event]:
    """Every state that a job was in, and what was noted of it."""
    return [event for event in _events(store, job) if event.kind != "progress"]


def curves_of(store: Store, job: Job, folder: Path) -> tuple[dict[str, Curve], int]:
    """The series of a job by name, and the number of the last event that is in them.

    Those of a run that was known are read from its folder, as no event of this job told them.
    """
    last = store.last_event(job.id)
    series = _told(store, job) or _kept(folder)
    return {name: thinned(sorted(points.items())) for name, points in series.items()}, last


def _told(store: Store, job: Job) -> dict[str, dict[float, float]]:
    """What its events say. A run that went back tells some epochs twice: the last time counts."""
    found: dict[str, dict[float, float]] = {}
    for event in _events(store, job):
        for name, points in event.data.get("series", {}).items():
            found.setdefault(name, {}).update((x, y) for x, y in points)
    return found


def _kept(folder: Path) -> dict[str, dict[float, float]]:
    """What the journal of its run says."""
    found: dict[str, dict[float, float]] = {}
    try:
        for event in read_journal(folder / JOURNAL):
            if isinstance(event, EpochDone):
                for name, value in event.metrics.items():
                    found.setdefault(name, {})[event.epoch] = value
    except (OSError, ValueError):
        return found
    return found


def thinned(points: list[tuple[float, float]], most: int = POINTS) -> Curve:
    """The points, or the lowest and the highest of each of so many stretches of them: what a curve
    of fewer pixels shows.
    """
    if len(points) <= most:
        return [_shown(point) for point in points]
    stretches = max(1, most // 2 - 1)
    kept = {0, len(points) - 1}
    for k in range(stretches):
        stretch = range(k * len(points) // stretches, (k + 1) * len(points) // stretches)
        kept.add(min(stretch, key=lambda i: _height(points[i][1], math.inf)))
        kept.add(max(stretch, key=lambda i: _height(points[i][1], -math.inf)))
    return [_shown(points[i]) for i in sorted(kept)]


def _height(value: float | None, otherwise: float) -> float:
    return value if value is not None and math.isfinite(value) else otherwise


def _shown(point: tuple[float, float | None]) -> tuple[float, float | None]:
    x, y = point
    return x, y if y is not None and math.isfinite(y) else None


# Differences ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A value of a spec that two jobs do not share; None where one has none."""

    path: str
    one: Any
    other: Any


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[Difference]:
    """Where two resolved specs differ, in the order of their keys."""
    first, second = dict(_leaves(one)), dict(_leaves(other))
    return [
        Difference(path, first.get(path), second.get(path))
        for path in dict.fromkeys([*first, *second])
        if path not in first or path not in second or _unlike(first[path], second[path])
    ]


def _unlike(one: Any, other: Any) -> bool:
    return bool(one != other) or isinstance(one, bool) != isinstance(other, bool)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value that holds no others, by its path; an empty mapping or list is one, too."""
    waiting: list[tuple[str, Any]] = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        inner: list[tuple[str, Any]] = []
        if isinstance(value, Mapping):
            inner = [(f"{path}.{key}" if path else str(key), each) for key, each in value.items()]
        elif isinstance(value, list | tuple):
            inner = [(f"{path}[{i}]", each) for i, each in enumerate(value)]
        if inner:
            waiting += reversed(inner)
        else:
            yield path, value
