"""What one does with a trained run: predict, evaluate, give its model a name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from trainer.checkpoints.arrays import read_arrays
from trainer.checkpoints.disk import damaged, text_of
from trainer.checkpoints.fitted import read_decision, read_preprocessing
from trainer.errors import TrackingError, UsageError
from trainer.network.decision import UNDECIDED
from trainer.network.fingerprint import parameters_sha256
from trainer.network.model import Model
from trainer.report.recorded import RecordedRun, doubts
from trainer.runs.finding import (
    DECISION,
    PARAMETERS,
    PREPROCESSING,
    RESOLVED,
    FoundRun,
    Warn,
    find_run,
)
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.trace import TRACE, read_trace
from trainer.spec import read_spec
from trainer.tracking.model import RegisteredName
from trainer.tracking.record import KeptModel, kept_model, promote_run, record_metrics
from trainer.tracking.runs import Runs
from trainer.training.history import thinned

NEEDED: Final = (RESOLVED, PREPROCESSING, PARAMETERS)


@dataclass(frozen=True)
class TrainedRun:
    """A run and its model, with the parameters that it kept."""

    run: FoundRun
    model: Model


def load_model(run: str, *, profile: Profile = DEFAULT, warn: Warn | None = None) -> TrainedRun:
    """A run with its model, whose `predict` takes raw rows.

    `run` is a name, an id, the beginning of an id, `last` or `best`. `warn` is told what is not as
    one might think; by default it is a Python warning. Raises `UsageError` where there is no such
    run, it has no parameters yet, or it diverged and has none of use, `TrackingError` and
    `CheckpointError`.
    """
    found = find_run(run, profile, warn=warn)
    if found.kind != "train":
        raise UsageError(f"the run {found.id[:8]} ({found.kind}) trained no model", code="TR-R009")
    if (doubt := doubts(found.id[:8], found.status, found.tags)) is not None:
        (warn or warnings.warn)(doubt)
    files = found.files((*NEEDED, DECISION))
    if PARAMETERS not in files:
        raise UsageError(
            f"the run {found.id[:8]} ({found.status}) has no parameters: "
            "it did not come to its end",
            code="TR-R009",
        )
    missing = [name for name in NEEDED if name not in files]
    if missing:
        raise TrackingError(
            f"the run {found.id[:8]} has no {' and no '.join(missing)}", code="TR-R011"
        )
    return TrainedRun(found, _model(found, files))


def _model(run: FoundRun, files: Mapping[str, bytes]) -> Model:
    """The model in these files. Raises `CheckpointError` where they are not those of the run's
    hashes, or do not fit each other.
    """
    spec = read_spec(text_of(run.place / RESOLVED, files[RESOLVED]), run.source)
    parameters = read_arrays(run.place / PARAMETERS, files[PARAMETERS])
    found = {"spec_sha256": (RESOLVED, spec.sha256),
             "parameters_sha256": (PARAMETERS, parameters_sha256(parameters))}  # fmt: skip
    for name, (file, sha256) in found.items():
        if run.hashes[name] != sha256:
            why = f"its {name} is {sha256[:16]}…, the run recorded {run.hashes[name][:16]}…"
            raise damaged(run.place / file, why)
    how = read_preprocessing(run.place / PREPROCESSING, files[PREPROCESSING])
    decision = UNDECIDED
    if DECISION in files:
        decision = read_decision(run.place / DECISION, files[DECISION])
    return Model.from_parts(spec, parameters, how, decision)


def gradient_norms(run: str, *, profile: Profile = DEFAULT) -> dict[str, Any] | None:
    """The norms of each parameter's gradient by epoch, as `explain.page` takes them, from the trace
    of all steps; None where the run has none. Raises what `load_model` raises.
    """
    found = find_run(run, profile)
    trace = found.files([TRACE]).get(TRACE)
    if trace is None:
        return None
    table = read_trace(found.place / TRACE, trace)
    names = [name for name in table.column_names if name.startswith("grad_norm/")]
    if not table.num_rows or not names:
        return None
    means = table.group_by("epoch").aggregate([(name, "mean") for name in names]).sort_by("epoch")
    shown = [number - 1 for number in thinned(means.num_rows)]
    by_name = {name.removeprefix("grad_norm/"): means[f"{name}_mean"].to_numpy()[shown].tolist()
               for name in names}  # fmt: skip
    return {"epochs": means["epoch"].to_numpy()[shown].tolist(), "grad_norm": by_name}


def find_model(run: str, *, profile: Profile = DEFAULT, warn: Warn | None = None) -> KeptModel:
    """The MLflow model that a run kept. Raises what `load_model` raises."""
    return kept_model(Runs(profile.find_store(), warn), run)


def promote(
    run: str, name: str, *, profile: Profile = DEFAULT, warn: Warn | None = None
) -> tuple[RecordedRun, RegisteredName, str]:
    """Registers the model of a run under `NAME` or `NAME@alias`.

    Returns the run, the name and the version. A model that is registered under
    the name keeps its version. Raises `UsageError` for what is no name, and what `load_model`
    raises.
    """
    wanted = RegisteredName.parse(name)
    found, version = promote_run(Runs(profile.find_store(), warn), run, wanted)
    return found, wanted, version


def record_evaluation(
    run: FoundRun, metrics: Mapping[str, float], *, profile: Profile = DEFAULT
) -> None:
    """Adds metrics to a run in MLflow, as `eval/accuracy`; the last evaluation counts.

    Raises `UsageError` where MLflow does not have the run, and `TrackingError`.
    """
    if run.run_id is None:
        raise UsageError(
            f"the run {run.id[:8]} is not recorded yet: send it with train sync", code="TR-R013"
        )
    named = {f"eval/{name}": value for name, value in metrics.items()}
    record_metrics(profile.find_store(), run.run_id, named)
