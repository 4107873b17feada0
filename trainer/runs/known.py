"""Runs that were trained before: spec, data and engine decide every bit, so they are found."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.numpy import load

from trainer.checkpoints.disk import told, write_file
from trainer.checkpoints.environment import known_environment
from trainer.checkpoints.facts import FACTS, OUTCOME, Facts, read_facts, read_outcome, write_json
from trainer.checkpoints.folder import CHECKPOINTS, FILES, JOURNAL, MODEL, new_id
from trainer.checkpoints.journal import read_journal
from trainer.errors import CheckpointError
from trainer.graph.ops import Array
from trainer.network.fingerprint import parameters_sha256
from trainer.training import History, Run

KNOWN: Final = ".known"
PARAMETERS: Final = f"{FILES}/parameters.safetensors"


def key_of(facts: Facts) -> str:
    """The name of what decides the bits of a run."""
    decides = f"{facts.spec_sha256} {facts.data['sha256']} {facts.engine}"
    return hashlib.sha256(decides.encode()).hexdigest()[:32]


def remember(folder: Path, facts: Facts) -> None:
    """Lets `find_known` find the run, as far as the disk allows it."""
    with suppress(OSError):
        (folder.parent / KNOWN).mkdir(exist_ok=True)
        write_file(folder.parent / KNOWN / key_of(facts), facts.id.encode())


def find_known(runs: Path, facts: Facts) -> Path | None:
    """The folder of a run that was trained to its end with the bits that these facts decide, on
    such a machine; None where there is none, or it is not whole.
    """
    try:
        folder = runs / (runs / KNOWN / key_of(facts)).read_text()
        known, outcome = read_facts(folder), read_outcome(folder)
    except (OSError, ValueError, CheckpointError):
        return None
    here = known_environment(facts.engine)
    if key_of(known) != key_of(facts) or here.items() - known.environment.items():
        return None
    if outcome is None or outcome.status != "FINISHED":
        return None
    try:
        whole = parameters_sha256(_parameters(folder)) == outcome.parameters_sha256
    except (OSError, ValueError, SafetensorError):
        return None
    return folder if whole else None


def load_run(folder: Path) -> Run:
    """What a run left that has ended. Raises `CheckpointError` where it is damaged."""
    facts, outcome, history = read_facts(folder), read_outcome(folder), History()
    try:
        parameters = _parameters(folder)
        for event in read_journal(folder / JOURNAL):
            history.on(event)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"the run {folder.name[:8]} cannot be read: {error}") from None
    if outcome is None:
        raise CheckpointError(f"the run {folder.name[:8]} has no end")
    return Run(
        name=facts.name,
        status=outcome.status,
        epochs=outcome.epoch,
        steps=outcome.step,
        parameters=parameters,
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
    """A new run of these facts that has what the known one left, sharing its files. Raises
    `CheckpointError`.
    """
    folder = known.parent / new_id()
    was = read_facts(known)
    again = replace(
        was, id=folder.name, name=facts.name, experiment=facts.experiment, spec=facts.spec,
        spec_text=facts.spec_text, spec_file=facts.spec_file, origin=facts.origin,
        store=facts.store, record=facts.record, parent=facts.parent, register=facts.register,
        attempt=1, tags={**facts.tags, "trainer.known": known.name}, began=time.time(),
    )  # fmt: skip
    with told(folder):
        folder.mkdir()
        for place in (CHECKPOINTS, FILES, MODEL):
            if (known / place).is_dir():
                shutil.copytree(known / place, folder / place, copy_function=_share)
        shutil.copy(known / JOURNAL, folder / JOURNAL)  # it may grow
        _share(str(known / OUTCOME), str(folder / OUTCOME))
    write_json(folder, FACTS, again)
    return folder


def _share(file: str, copy: str) -> None:
    """A second name for a file that is never changed, only replaced; a copy where that fails."""
    try:
        os.link(file, copy)
    except OSError:
        shutil.copy(file, copy)


def _parameters(folder: Path) -> dict[str, Array]:
    return load((folder / PARAMETERS).read_bytes())
