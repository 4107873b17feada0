"""A sweep made by hand: its folder and its trials', as if a driver had decided so."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer import Profile
from trainer.checkpoints.folder import RunFolder
from trainer.report.recorded import OBJECTIVE_TAG
from trainer.runs.facts import facts_of
from trainer.runs.recording import open_recorder
from trainer.sweeps.declaration import SweepSpec, load_sweep
from trainer.sweeps.describe import describe_sweep, leave_sweep, objective_tag
from trainer.sweeps.standing import Sweep, Trial, TrialStatus
from trainer.training import Status
from trainer.workers.task import Answer, Task
from trainer.workers.train import train_task

RUNS = Path("runs")
SWEEP = """
name: tiny-sweep
spec: spec.yaml
space:
  sgd.learning_rate: {log: [1e-3, 10]}
  sgd.schedule: {values: [constant, {type: cosine, warmup: 1}]}
search: {method: random, trials: 3}
halving: {from: 1, factor: 3}
objective: val_loss
"""
CHOSEN: Sequence[Mapping[str, Any]] = (
    {"sgd.learning_rate": 0.001, "sgd.schedule": "constant"},
    {"sgd.learning_rate": 0.5, "sgd.schedule": {"type": "cosine", "warmup": 1}},
    {"sgd.learning_rate": 0.002, "sgd.schedule": "constant"},
)
STATUSES: Mapping[Status, TrialStatus] = {
    "PAUSED": "waiting", "FINISHED": "finished", "DIVERGED": "diverged",
}  # fmt: skip


def declare(text: str = SWEEP) -> SweepSpec:
    """The sweep of a text, beside the spec of the current folder."""
    Path("sweep.yaml").write_text(text)
    return load_sweep("sweep.yaml")


def carry_out(
    spec: SweepSpec, untils: Sequence[int | None] = (1, None, 1), status: Status = "FINISHED",
    chosen: Sequence[Mapping[str, Any]] = CHOSEN,
) -> Sweep:  # fmt: skip
    """Trains a trial of each of these values until these epochs, and leaves what a sweep leaves."""
    objective = spec.objective.objective
    own = facts_of(spec.base, Profile(), "sweep", id=hashlib.sha256(b"sweep").hexdigest()[:32])
    tags = {OBJECTIVE_TAG: objective_tag(objective)}
    facts = replace(own, name=spec.name, spec=spec.resolved(), spec_sha256=spec.sha256, tags=tags)
    folder = RunFolder(RUNS / facts.id)
    folder.begin(facts)
    trials = []
    for number, (values, until) in enumerate(zip(chosen, untils, strict=True)):
        name = hashlib.sha256(f"{facts.id} {number}".encode()).hexdigest()[:32]
        trial = spec.trial(values, number)
        answer = train_task(
            Task(name, trial.resolved(), trial.file, until, parent=facts.id, record=True,
                 tags={"trainer.trial": str(number)}), RUNS,
        )  # fmt: skip
        trials.append(trial_of(number, values, answer, objective.metric))
    found = Sweep(
        spec.name, status, objective, spec.resolved()["space"], spec.planned, trials,
        seconds=1.0, folder=folder.path,
    )  # fmt: skip
    leave_sweep(folder, found, spec)
    folder.end(describe_sweep(found, spec))
    folder.release()
    return found


def record(found: Sweep) -> None:
    """Has MLflow told of a sweep and its trials."""
    assert found.folder is not None
    recorder = open_recorder(Profile())
    for folder in (found.folder, *(RUNS / each.id for each in found.trials)):
        recorder.follow(folder, 1)
    recorder.finish()


def trial_of(number: int, values: Mapping[str, Any], answer: Answer, metric: str) -> Trial:
    """The trial that a worker's answer tells of."""
    status = STATUSES[answer.status]
    value = math.inf if status == "diverged" else answer.metrics[metric]
    return Trial(
        number, answer.id, values, status, answer.epoch, answer.epoch, {answer.epoch: value},
        answer.metrics, answer.parameters_sha256, answer.reason,
    )  # fmt: skip
