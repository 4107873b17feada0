"""The best trial's model and parameters, which the sweep's own folder has too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from trainer.checkpoints.arrays import read_arrays
from trainer.checkpoints.disk import damaged, read_sealed
from trainer.checkpoints.facts import Facts, Outcome, read_facts, read_outcome
from trainer.checkpoints.fitted import read_decision, read_preprocessing
from trainer.checkpoints.folder import FILES, RunFolder
from trainer.errors import CheckpointError, DataError
from trainer.network.decision import UNDECIDED
from trainer.network.model import Model
from trainer.runs.facts import spec_place
from trainer.runs.finding import DECISION, PARAMETERS, PREPROCESSING
from trainer.runs.leave import place_model
from trainer.runs.prepare import prepare
from trainer.spec.emit import to_yaml
from trainer.spec.schema import Spec

SPEC: Final = f"{FILES}/config/winner.yaml"
"""The spec of the best trial, which `train run` takes."""
KEPT: Final = (PREPROCESSING, PARAMETERS, DECISION)


def leave_winner(folder: RunFolder, trial: Path) -> None:
    """Writes what the run in the folder `trial` learned into that of its sweep: the model, and the
    files that it is made of, as `train predict` and MLflow know those of a run.

    The rows of the model's example are read from the data. Raises `CheckpointError` where the
    trial's files are not as it left them, `SpecError`, and `DataError` where the data are others.
    """
    facts, outcome = read_facts(trial), read_outcome(trial)
    if outcome is None:
        raise CheckpointError(f"the run {trial.name[:8]} has no end", code="TR-R010")
    spec = Spec.from_resolved(
        facts.spec, file=spec_place(facts.spec_file, facts.origin["source"]), text=facts.spec_text
    )
    files = _files(trial, facts, outcome)
    for name, data in files.items():
        folder.write(f"{FILES}/{name}", data)
    folder.write(SPEC, to_yaml(dict(facts.spec)))
    dataset = prepare(spec).dataset
    if dataset.sha256 != facts.data["sha256"]:
        raise DataError(
            f"the data are not those of the trial {trial.name[:8]} any more", code="TR-D038"
        )
    place_model(folder, _model(trial, spec, files), dataset.sample, _kept_epoch(spec, outcome))


def _kept_epoch(spec: Spec, outcome: Outcome) -> int:
    """The epoch whose parameters the trial kept: its last, or its best where early stopping says
    so.
    """
    stopping = spec.sgd.early_stopping
    restores = stopping is not None and stopping.restore_best
    return int(outcome.metrics.get("best_epoch", outcome.epoch)) if restores else outcome.epoch


def _files(trial: Path, facts: Facts, outcome: Outcome) -> dict[str, bytes]:
    """What the trial learned and decided, by name."""
    sealed = {**facts.files, **outcome.files}
    found = {name: read_sealed(trial, f"{FILES}/{name}", sealed) for name in KEPT}
    for name in (PREPROCESSING, PARAMETERS):
        if found[name] is None:
            raise damaged(trial / FILES / name, "it is gone")
    return {name: data for name, data in found.items() if data is not None}


def _model(trial: Path, spec: Spec, files: dict[str, bytes]) -> Model:
    place = trial / FILES
    parameters = read_arrays(place / PARAMETERS, files[PARAMETERS])
    how = read_preprocessing(place / PREPROCESSING, files[PREPROCESSING])
    decision = UNDECIDED
    if DECISION in files:
        decision = read_decision(place / DECISION, files[DECISION])
    return Model.from_parts(spec, parameters, how, decision)
