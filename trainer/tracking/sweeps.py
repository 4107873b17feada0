"""What a sweep's run in MLflow has of its winner: its parameters and its model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainer.checkpoints.bundle import Bundle
from trainer.checkpoints.facts import Facts, read_facts, recorded_of
from trainer.errors import TrackingError
from trainer.report.recorded import objective_of
from trainer.tracking.names import flatten, written
from trainer.tracking.opening import record_params
from trainer.tracking.view import VIEW_TAG, shared_view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

COLUMNS: Final = 8
"""Keys of the space that have a column of their own."""


def facts_of_winner(sweep: Path, facts: Facts, winner: str) -> Facts:
    """The facts of the trial that a sweep stands for, under the name of the sweep. Raises
    `CheckpointError`.
    """
    return replace(read_facts(sweep.parent / winner), name=facts.name)


def record_winner(client: MlflowClient, run_id: str, winner: Facts) -> None:
    """Gives the sweep's run the parameters that its winner has, where it has none so called."""
    record_params(client, client.get_run(run_id), flatten(winner.spec))


def link_model(client: MlflowClient, trial: Path, model_id: str, bundle: Path) -> None:
    """Shows the model of the sweep with the trial that it is of. Raises `TrackingError` where that
    is not recorded yet.
    """
    from mlflow.entities import LoggedModelOutput

    there = recorded_of(trial)
    if there is None or there.run_id is None:
        raise TrackingError(
            (there and there.problem) or "the best trial is not recorded yet", code="TR-T009"
        )
    outputs = client.get_run(there.run_id).outputs
    if model_id not in [kept.model_id for kept in (outputs.model_outputs if outputs else ())]:
        step = Bundle.read(bundle).epoch
        client.log_outputs(there.run_id, [LoggedModelOutput(model_id, step=step)])


def show_keys(client: MlflowClient, run: Run, sweep: Facts) -> None:
    """Has the view of the experiment show what the trials are compared by, and what they chose."""
    from mlflow.exceptions import MlflowException

    _, metric = objective_of(sweep.tags)
    space: Mapping[str, Any] = sweep.spec.get("space", {})
    keys = [written(name) for key, declared in space.items() if (name := _param(key, declared))]
    view = shared_view(sweep.score, keys[:COLUMNS], metric)
    with suppress(MlflowException):  # who may not change the experiment sees it as it is
        client.set_experiment_tag(run.info.experiment_id, VIEW_TAG, view)


def _param(key: str, declared: Mapping[str, Any]) -> str | None:
    """The name of the parameter that tells what was chosen; None where several do."""
    name = key.replace(".", "/")
    values = declared.get("values") or ()
    if any(isinstance(value, list | tuple) for value in values):
        return None
    if any(isinstance(value, Mapping) for value in values):
        tagged = any(isinstance(value, Mapping) and "type" in value for value in values)
        return f"{name}/type" if tagged else None
    return name
