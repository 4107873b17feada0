"""What a run's folder says of its run: the facts at its start, the outcome at its end.

They are JSON files of one form, sealed (`seal.py`) and read back as they were written. Each names
the SHA-256 of the files that were written before it and that are read back. The folder can be moved
to another machine, so nothing in them is the only way to find the folder itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar

from trainer.checkpoints.disk import damaged, read_within, told, write_file
from trainer.checkpoints.seal import sealed, unsealed
from trainer.errors import CheckpointError
from trainer.stored import from_json
from trainer.training.result import Status

FACTS: Final = "run.json"
OUTCOME: Final = "result.json"
RECORDED: Final = "recorded.json"

Kind: TypeAlias = Literal["train", "crossval", "lr-find", "sweep"]
TRIAL_TAG: Final = "trainer.trial"
"""Of a run that is a trial of a sweep: its number."""
VALUE_TAG: Final = "trainer.value."
"""The beginning of the tags of a trial that say what it chose, by key."""
WINNER_TAG: Final = "trainer.winner"
"""Of a sweep: the id of the trial for whose model it stands."""


def has_model(kind: str, tags: Mapping[str, str]) -> bool:
    """Whether a run of this kind stands for a model: a training, or a sweep for that of its best
    trial. Trials stand behind their sweep.
    """
    return kind == "sweep" or (kind == "train" and TRIAL_TAG not in tags)


@dataclass(frozen=True)
class Facts:
    """What is known of a run when it starts.

    `attempt` counts the processes that began or went on with it. `spec` is the resolved spec,
    `spec_sha256` its fingerprint, `spec_text` and `spec_file` what it was read from. `origin` says
    who started it and at which commit; `data` its hash, origin, features and rows. `store` is
    MLflow's address as it was asked for, None for the one beside the run's folder, and `record`
    whether it is to be told; `parent` is the id of the run that this one belongs to. `charts` says
    how many steps and epochs there can be, and the training rows, and `score` which metric is
    measured beside the loss. `tags` are what a store shows besides. `files` has the SHA-256 of what
    the run left before its first step, by name.
    """

    id: str
    kind: Kind
    name: str
    experiment: str
    spec: Mapping[str, Any]
    spec_sha256: str
    spec_text: str | None
    spec_file: str | None
    origin: Mapping[str, Any]
    data: Mapping[str, Any]
    engine: str
    environment: Mapping[str, str]
    description: list[str]
    score: str
    charts: Mapping[str, int]
    store: str | None = None
    record: bool = True
    parent: str | None = None
    register: str | None = None
    attempt: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What is known of a run when it has ended.

    `metrics` are the last values of all, and `curves` series beside those of the journal, by name
    as (steps, values). `description` holds lines of Markdown, `tags` what a store shows besides.
    `files` has the SHA-256 of what the run left at its end and of its journal, by name.
    """

    status: Status
    epoch: int
    step: int
    reason: str
    metrics: Mapping[str, float]
    parameters_sha256: str | None = None
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    description: list[str] = field(default_factory=list)
    tags: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, list[list[float]]] = field(default_factory=dict)
    seconds: float = 0.0
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """What the recorder says of a run: where it is in MLflow, and whether all of it is there.

    `store` is MLflow's address, `attempt` the one that was followed, `problem` what is in the way,
    in words for people. `run_id` is None from before the store is asked to make a run until it has
    answered, `model_id` until it has the model; `whole` says that nothing is left to send.
    """

    store: str
    attempt: int
    run_id: str | None = None
    experiment: str | None = None
    model_id: str | None = None
    whole: bool = False
    problem: str | None = None


T = TypeVar("T", Facts, Outcome, Recorded)


def write_json(folder: Path, name: str, content: Facts | Outcome | Recorded) -> None:
    """Keeps what is known. Raises `CheckpointError`."""
    with told(folder):
        write_file(folder / name, sealed(asdict(content), indent=1) + b"\n")


def read_json(folder: Path, name: str, kind: type[T]) -> T:
    """What is kept. Raises `CheckpointError` where it is damaged, `FileNotFoundError` where it is
    not there.
    """
    try:
        return from_json(kind, unsealed(read_within(folder, name)))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(folder / name) from None
    except OSError as error:
        raise damaged(folder / name, error.strerror or error) from None
    except (ValueError, RecursionError) as error:
        raise damaged(folder / name, error) from None


@dataclass(frozen=True)
class _Origin:
    """What is always known of who started a run."""

    source: str | None
    user: str
    version: str
    git: Mapping[str, str]


@dataclass(frozen=True)
class _Data:
    """What is always known of data that were read."""

    sha256: str
    origin: str
    features: int
    rows: Mapping[str, int]


def read_facts(folder: Path) -> Facts:
    """The facts of the run. Raises `CheckpointError`."""
    try:
        facts = read_json(folder, FACTS, Facts)
        from_json(_Origin, facts.origin, "origin.", whole=False)
        if facts.data or facts.kind == "train":
            from_json(_Data, facts.data, "data.", whole=False)
        return facts
    except ValueError as error:
        raise damaged(folder / FACTS, error) from None
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} is no folder of a run: it has no {FACTS}", code="TR-R004"
        ) from None


def read_outcome(folder: Path) -> Outcome | None:
    """How the run ended; None where it did not. Raises `CheckpointError`."""
    try:
        return read_json(folder, OUTCOME, Outcome)
    except FileNotFoundError:
        return None


def read_recorded(folder: Path) -> Recorded | None:
    """What the recorder says; None where there was none. Raises `CheckpointError`."""
    try:
        return read_json(folder, RECORDED, Recorded)
    except FileNotFoundError:
        return None


def recorded_of(path: Path) -> Recorded | None:
    """What the recorder says; nothing where that is damaged, since no number depends on it."""
    with suppress(CheckpointError):
        return read_recorded(path)
    return None
