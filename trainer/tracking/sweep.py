"""Recording a search for a learning rate as a run of its own."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trainer.spec.emit import to_yaml
from trainer.spec.schema import Spec
from trainer.tracking.client import answers_of, import_mlflow, no_collection
from trainer.tracking.describe import flatten
from trainer.tracking.experiments import (
    KIND_TAG,
    MAX_PARAMS,
    find_experiment,
    open_client,
    origin_tags,
    scratch_folder,
)
from trainer.tracking.sender import BATCH
from trainer.tracking.store import Store, check_store
from trainer.training.history import thinned
from trainer.training.range_test import Sweep

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

KIND: Final = "lr-find"


@dataclass(frozen=True)
class SweepRun:
    """What is recorded of a search: under which name, what it found, when it began in seconds
    since 1970, and `draw`, which writes its pictures into a folder.
    """

    spec: Spec
    name: str
    sweep: Sweep
    began: float
    draw: Callable[[Path], None]


def record_sweep(store: Store, run: SweepRun) -> tuple[str, str]:
    """Records the search; returns the run's id and the experiment's name.

    The curve is in the metrics `learning_rate`, `train_loss_step` and `smoothed_loss_step` by
    step, as many points of it as a chart can show, and as a whole in `lr_find.json`; the result is
    in `suggested_learning_rate` and `minimum_learning_rate`. There is no `train_loss` and no
    `val_loss`, so such a run is never the best of its experiment. Raises `TrackingError`.
    """
    check_store(store)
    import_mlflow()
    files = scratch_folder(store.folder)
    try:
        with answers_of(store), no_collection():
            client = open_client(store, files)
            experiment = find_experiment(client, store, run.spec)
            begun = client.create_run(
                experiment.experiment_id,
                start_time=int(run.began * 1000),
                tags=origin_tags(run.spec) | {KIND_TAG: KIND},
                run_name=run.name,
            )
            run_id = begun.info.run_id
            try:
                _log(client, run_id, run)
                _write(files, run)
                client.log_artifacts(run_id, str(files))
                client.set_terminated(run_id, "FINISHED")
            except BaseException:
                with suppress(Exception):
                    client.set_terminated(run_id, "FAILED")
                raise
    finally:
        shutil.rmtree(files, ignore_errors=True)
    return run_id, experiment.name


def _log(client: MlflowClient, run_id: str, run: SweepRun) -> None:
    from mlflow.entities import Param

    params = [Param(key, value) for key, value in flatten(run.spec.resolved()).items()]
    for i in range(0, len(params), MAX_PARAMS):
        client.log_batch(run_id, params=params[i : i + MAX_PARAMS], synchronous=True)
    metrics = list(_metrics(run.sweep))
    for i in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[i : i + BATCH], synchronous=True)


def _metrics(sweep: Sweep) -> Iterator[Metric]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    curves = {
        "learning_rate": sweep.rates,
        "train_loss_step": sweep.losses,
        "smoothed_loss_step": sweep.smoothed,
    }
    for name, values in curves.items():
        for step in thinned(len(values)):
            yield Metric(name, float(values[step - 1]), now, step)
    yield Metric("minimum_learning_rate", sweep.minimum, now, 0)
    if sweep.suggestion is not None:
        yield Metric("suggested_learning_rate", sweep.suggestion, now, 0)


def _write(files: Path, run: SweepRun) -> None:
    """The spec, the whole curve, the pictures."""
    config, plots = files / "config", files / "plots"
    config.mkdir()
    (config / "resolved.yaml").write_text(to_yaml(run.spec.resolved()), encoding="utf-8")
    found = json.dumps(run.sweep.as_json(), indent=1) + "\n"
    (files / "lr_find.json").write_text(found, encoding="utf-8")
    plots.mkdir()
    run.draw(plots)
