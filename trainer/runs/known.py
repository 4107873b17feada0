"""Runs that were trained before: spec, data and engine decide every bit, so they are found."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from trainer.checkpoints.arrays import read_arrays
from trainer.checkpoints.disk import (
    TEMPORARY,
    check_sealed,
    damaged,
    is_regular,
    read_sealed,
    read_within,
    told,
    write_file,
)
from trainer.checkpoints.environment import known_environment
from trainer.checkpoints.facts import OUTCOME, Facts, read_facts, read_outcome, write_json
from trainer.checkpoints.folder import CHECKPOINTS, FILES, JOURNAL, MODEL, write_facts
from trainer.checkpoints.journal import read_journal
from trainer.errors import CheckpointError
from trainer.network.fingerprint import parameters_sha256
from trainer.spec.emit import to_yaml
from trainer.training import Ended, History, Run

KNOWN: Final = ".known"
OTHERWISE_TAG: Final = "trainer.otherwise"
"""Of a run that went on although something differed: its bits are not those that its facts decide.
"""
KNOWN_TAG: Final = "trainer.known"
"""Of a run that was not trained: the id of the one that was."""
ID: Final = re.compile("[0-9a-f]{32}")
PARAMETERS: Final = f"{FILES}/parameters.safetensors"


@dataclass(frozen=True)
class Decided:
    """What decides the bits of a run: the fingerprints of spec and data, and the engine."""

    spec_sha256: str
    data_sha256: str
    engine: str

    @property
    def key(self) -> str:
        """A name for it."""
        decides = f"{self.spec_sha256} {self.data_sha256} {self.engine}"
        return hashlib.sha256(decides.encode()).hexdigest()[:32]


def decided_by(facts: Facts) -> Decided:
    """What decides the bits of a run with these facts."""
    return Decided(facts.spec_sha256, facts.data["sha256"], facts.engine)


def remember(folder: Path, facts: Facts) -> None:
    """Lets `find_known` find the run, as far as the disk allows it, where its facts decide it."""
    if OTHERWISE_TAG in facts.tags:
        return
    with suppress(OSError):
        (folder.parent / KNOWN).mkdir(exist_ok=True)
        write_file(folder.parent / KNOWN / decided_by(facts).key, facts.id.encode())


def find_known(runs: Path, decided: Decided) -> Run | None:
    """A run that was trained to its end with the bits that are decided so, on such a machine;
    None where there is none, or it is not whole.
    """
    here = known_environment(decided.engine)
    try:
        name = read_within(runs, f"{KNOWN}/{decided.key}").decode()
        if not ID.fullmatch(name):
            return None
        folder = runs / name
        known = read_facts(folder)
        if decided_by(known) != decided or here.items() - known.environment.items():
            return None
        if OTHERWISE_TAG in known.tags:
            return None
        run = load_run(folder)
    except (OSError, ValueError, CheckpointError):
        return None
    whole = parameters_sha256(run.parameters) == run.parameters_sha256
    return replace(run, known=True) if whole and run.status == "FINISHED" else None


def load_run(folder: Path) -> Run:
    """What a run left that has ended. Raises `CheckpointError` where it is damaged."""
    facts, outcome, history = read_facts(folder), read_outcome(folder), History()
    data = read_sealed(folder, PARAMETERS, outcome.files) if outcome else None
    if outcome is None or data is None:
        raise CheckpointError(f"the run {folder.name[:8]} has no end", code="TR-R010")
    check_sealed(folder, {JOURNAL: outcome.files.get(JOURNAL, "")})
    ended = None
    try:
        for event in read_journal(folder / JOURNAL):
            history.on(event)
            ended = event if isinstance(event, Ended) else None
    except (OSError, ValueError) as error:
        raise damaged(folder / JOURNAL, error) from None
    if ended is None:
        raise damaged(folder / JOURNAL, "it does not tell the end")
    return Run(
        name=facts.name,
        status=outcome.status,
        epochs=outcome.epoch,
        steps=outcome.step,
        parameters=read_arrays(folder / PARAMETERS, data),
        metrics=outcome.metrics,
        history=history.series(),
        parameters_sha256=outcome.parameters_sha256 or "",
        spec_sha256=facts.spec_sha256,
        data_sha256=facts.data["sha256"],
        findings=tuple(outcome.findings),
        notes=tuple(outcome.notes),
        seconds=outcome.seconds,
        folder=folder,
        experiment=facts.experiment,
    )


def copy_run(known: Path, facts: Facts) -> Path:
    """The run of these facts that has what the known one left, sharing its files; its folder is
    new, or still empty. Raises `CheckpointError`.
    """
    folder = known.parent / facts.id
    was, outcome = read_facts(known), read_outcome(known)
    assert outcome is not None
    again = replace(
        was, id=facts.id, name=facts.name, experiment=facts.experiment, spec=facts.spec,
        spec_text=facts.spec_text, spec_file=facts.spec_file, origin=facts.origin,
        store=facts.store, record=facts.record, parent=facts.parent, register=facts.register,
        attempt=1, tags={**facts.tags, KNOWN_TAG: known.name}, began=facts.began,
    )  # fmt: skip
    again = replace(again, description=_renamed(was.description, was, again))
    check_sealed(known, {**was.files, **outcome.files})
    own = {f"{FILES}/config/resolved.yaml": to_yaml(dict(facts.spec)).encode()}
    if facts.spec_text is not None:
        own[f"{FILES}/config/spec.yaml"] = facts.spec_text.encode()
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in own.items()}
    again = replace(again, files={**was.files, **hashes})
    with told(folder):
        folder.mkdir(exist_ok=True)
        for place in (CHECKPOINTS, FILES, MODEL):
            if (known / place).is_dir():
                shutil.copytree(
                    known / place, folder / place, copy_function=_share, ignore=_strange,
                    dirs_exist_ok=True,
                )  # fmt: skip
        shutil.copy(known / JOURNAL, folder / JOURNAL)  # it may grow
        for name, data in own.items():
            write_file(folder / name, data)
    renamed = _renamed(outcome.description, was, again)
    write_json(folder, OUTCOME, replace(outcome, description=renamed))
    write_facts(folder, again)
    return folder


def _renamed(description: Sequence[str], was: Facts, now: Facts) -> list[str]:
    """The description under another name, with the commands for another id."""
    names = {f"**{was.name}**": f"**{now.name}**", f" {was.id[:8]}": f" {now.id[:8]}"}
    lines = list(description)
    for old, new in names.items():
        lines = [line.replace(old, new, 1) for line in lines]
    return lines


def _strange(folder: str, names: Sequence[str]) -> list[str]:
    """What no run has left in its folder: links, devices, pipes; and halves of files."""
    paths = {name: Path(folder) / name for name in names}
    return [
        name
        for name, path in paths.items()
        if name.startswith(TEMPORARY) or path.is_symlink()
        or not (path.is_dir() or is_regular(path))
    ]  # fmt: skip


def _share(file: str, copy: str) -> None:
    """A second name for a file that is never changed, only replaced; a copy where that fails."""
    try:
        os.link(file, copy)
    except OSError:
        shutil.copy(file, copy)
