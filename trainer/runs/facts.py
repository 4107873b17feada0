"""What is known of a run before its first step, as its folder keeps it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from trainer.addresses import shown_address
from trainer.checkpoints.environment import origin
from trainer.checkpoints.facts import Facts, Kind
from trainer.checkpoints.folder import new_id, next_moment
from trainer.data import Dataset
from trainer.metrics import default_metric
from trainer.runs.profile import Profile
from trainer.spec.schema import Spec

Origin: TypeAlias = Callable[[str | None], Mapping[str, Any]]
"""Who starts a run from a spec's file, and at which commit; see `origin`."""


def facts_of(
    spec: Spec, profile: Profile, kind: Kind = "train", origin_of: Origin = origin, **others: Any
) -> Facts:
    """The facts of a new run; `others` are those that the caller knows."""
    address = profile.address(spec)
    known: dict[str, Any] = {
        "id": new_id(),
        "kind": kind,
        "name": spec.name,
        "experiment": experiment_of(spec),
        "spec": spec.resolved(),
        "spec_sha256": spec.sha256,
        "spec_text": spec.text,
        "spec_file": str(Path(spec.file).resolve()) if spec.file else None,
        "origin": {"source": spec.file, **origin_of(spec.file)},
        "data": {},
        "engine": "",
        "environment": {},
        "description": [],
        "score": default_metric(spec.model.loss),
        "charts": {},
        "store": address and shown_address(address),
        "record": profile.recorded,
    }
    parent = others.get("parent")
    known["began"] = next_moment(profile.runs, [parent] if parent else None)
    return Facts(**known | others)


def spec_place(file: str | None, written: str | None) -> str | None:
    """The file of a run's spec, beside which its data are found: where it was, or where that folder
    is gone, since the run was moved, as it was `written`, from the current folder.
    """
    if file is None or Path(file).parent.is_dir():
        return file or written
    return written if written and not Path(written).is_absolute() else Path(file).name


def data_facts(data: Dataset) -> dict[str, Any]:
    """What is known of the data."""
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "sha256": data.sha256,
        "origin": data.origin,
        "features": len(data.features),
        "rows": {name: len(part) for name, part in parts.items() if part is not None},
    }


def named(spec: Spec, name: str | None) -> Spec:
    """The spec under another name, if one is given, in the experiment that it has."""
    if name is None:
        return spec
    experiment = spec.tracking.experiment or spec.name
    return spec.changed({"name": name, "tracking.experiment": experiment})


def is_placed_by_mlflow() -> bool:
    """Whether MLflow's environment names a run or an experiment by its id, which the store alone
    can call by its name.
    """
    return bool(os.environ.get("MLFLOW_RUN_ID") or os.environ.get("MLFLOW_EXPERIMENT_ID"))


def experiment_of(spec: Spec) -> str:
    """The experiment of the environment, else of the spec, else the spec's name."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or spec.tracking.experiment or spec.name
