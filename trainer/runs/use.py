"""What one does with a trained run: predict, evaluate, give its model a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from trainer.runs.train import warn_by_default
from trainer.tracking.files import (
    KeptModel,
    TrainedRun,
    kept_model,
    load_run,
    log_metrics,
    promote_run,
)
from trainer.tracking.model import RegisteredName
from trainer.tracking.runs import Runs
from trainer.tracking.store import resolve_store

REFUSED = r"[^\w\-. :/]"
"""What MLflow takes in no name of a metric."""


def load_model(
    run: str,
    *,
    tracking_uri: str | None = None,
    warn: Callable[[str], None] = warn_by_default,
) -> TrainedRun:
    """A recorded run with its model, whose `predict` takes raw rows.

    `run` is a name, an id, the beginning of an id, `last` or `best`. Raises `UsageError` where
    there is no such run or it has no parameters yet, `TrackingError` and `CheckpointError`.
    """
    return load_run(resolve_store(tracking_uri), run, warn)


def gradient_norms(
    run: str,
    *,
    tracking_uri: str | None = None,
    warn: Callable[[str], None] = warn_by_default,
) -> dict[str, Any] | None:
    """The recorded norms of each parameter's gradient by epoch, as `explain.page` takes them.

    None where the run has none. Raises what `load_model` raises.
    """
    runs = Runs(resolve_store(tracking_uri), warn)
    found = runs.find(run)
    names = [name for name in found.metrics if name.startswith("grad_norm/")]
    points = {name.removeprefix("grad_norm/"): runs.points(found.run_id, name) for name in names}
    if not points:
        return None
    epochs = [step for step, _ in next(iter(points.values()))]
    return {
        "epochs": epochs,
        "grad_norm": {name: [value for _, value in series] for name, series in points.items()},
    }


def find_model(
    run: str,
    *,
    tracking_uri: str | None = None,
    warn: Callable[[str], None] = warn_by_default,
) -> KeptModel:
    """The MLflow model that a run kept. Raises what `load_model` raises."""
    return kept_model(Runs(resolve_store(tracking_uri), warn), run)


def promote(
    run: str,
    name: str,
    *,
    tracking_uri: str | None = None,
    warn: Callable[[str], None] = warn_by_default,
) -> tuple[str, RegisteredName, str]:
    """Registers the model of a run under `NAME` or `NAME@alias`.

    Returns the run's id, the name and the version. A model that is registered under
    the name keeps its version. Raises `UsageError` for what is no name, and what `load_model`
    raises.
    """
    wanted = RegisteredName.parse(name)
    found, version = promote_run(resolve_store(tracking_uri), run, wanted, warn)
    return found.run_id, wanted, version


def record_evaluation(
    run_id: str, metrics: Mapping[str, float], *, tracking_uri: str | None = None
) -> None:
    """Adds metrics to a run, as `eval/accuracy`; the last evaluation counts.

    Raises `TrackingError`.
    """
    named = {f"eval/{re.sub(REFUSED, '_', name)}": value for name, value in metrics.items()}
    log_metrics(resolve_store(tracking_uri), run_id, named)
