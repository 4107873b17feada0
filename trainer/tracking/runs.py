"""The runs of a store: searching, and finding the one that a word stands for."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trainer.checkpoints.choosing import ID_BEGINS, newest, the_one
from trainer.checkpoints.disk import check_seal, damaged
from trainer.checkpoints.facts import TRIAL_TAG, WINNER_TAG
from trainer.errors import UsageError
from trainer.report.recorded import DIVERGED_TAG, FALLBACK, PAUSED_TAG, RecordedRun, objective_of
from trainer.tracking.client import answers_of, connect, words_of
from trainer.tracking.names import read_all, written
from trainer.tracking.opening import FILES_TAG, KIND_TAG, PARENT, RUN_TAG
from trainer.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Experiment, Run

Warn = Callable[[str], None]
_EXAMPLES: Final = (
    "a filter is such as metrics.val_loss < 0.1 and params.`sgd/epochs` = '50', "
    "an order such as metrics.val_loss DESC"
)
LATEST: Final = "attributes.start_time DESC"
_PAGE: Final = 1000  # runs that the store is asked for at once
_FEW: Final = 20  # runs, of which one is nearly always a training


def find_run(
    store: Store, reference: str, experiment: str | None = None, warn: Warn | None = None
) -> RecordedRun:
    """The run that `reference` stands for, of all experiments or of the one with this name.

    It is a name, which stands for the newest run that has it, an id (of the run's folder or
    MLflow's), at least four characters that one id alone begins with, `last` for the training or
    sweep that started last (a trial of a sweep is none), or `best`: the finished training, trials
    too, with the best primary metric of the experiment, or without one given of that of the last
    run. Where none of its runs has that metric, the best is by `train_loss`, and `warn` is told.

    Raises `UsageError` where there is no such run, or more than one, and `TrackingError`.
    """
    return Runs(store, warn).find(reference, experiment)


class Runs:
    """The runs of a store, which is connected once. Deleted runs and experiments are not there.

    `warn` is told what is not as one might think; by default it is a Python warning.
    """

    def __init__(self, store: Store, warn: Warn | None = None) -> None:
        self.store = store
        self.warn = warn or _warn_by_default
        self.client = connect(store)

    # One run -------------------------------------------------------------------------------

    def find(self, reference: str, experiment: str | None = None) -> RecordedRun:
        """The run that `reference` stands for, as `find_run` says."""
        if reference == "last":
            return self._last(experiment)
        if reference == "best":
            return self.best(experiment)[0]
        found = self._named(reference, experiment) or self._beginning(reference, experiment)
        return the_one(reference, found, self._where(experiment))

    def _last(self, experiment: str | None) -> RecordedRun:
        for limit in (_FEW, None):
            for run in self.search(experiment=experiment, limit=limit, lacking=TRIAL_TAG):
                if run.trains:
                    return run
        raise UsageError(f"there are no runs {self._where(experiment)} yet", code="TR-T005")

    def _named(self, name: str, experiment: str | None) -> list[RecordedRun]:
        """Filters have no way to write a quote, so a pattern stands for it."""
        test = f"= '{name}'" if "'" not in name else f"LIKE '{name.replace(chr(39), '_')}'"
        found = self.search(f"attributes.run_name {test}", experiment=experiment)
        return newest(run for run in found if run.name == name)

    def _beginning(self, text: str, experiment: str | None) -> list[RecordedRun]:
        if not ID_BEGINS.fullmatch(text):
            return []
        for name in (f"tags.`{RUN_TAG}`", "attributes.run_id"):
            found = self.search(f"{name} LIKE '{text}%'", experiment=experiment)
            if found:
                return found
        return []

    def _where(self, experiment: str | None) -> str:
        return f"in {self.store.shown}" if experiment is None else f"in experiment '{experiment}'"

    # Several runs --------------------------------------------------------------------------

    def search(
        self,
        where: str = "",
        *,
        experiment: str | None = None,
        order: str = LATEST,
        limit: int | None = None,
        lacking: str | None = None,
    ) -> list[RecordedRun]:
        """The runs that fit the filter `where`, the first in `order` first, and have no tag
        `lacking`.

        Both are in MLflow's words, such as "metrics.val_loss < 0.1" and "metrics.val_loss DESC".
        Raises `UsageError` for words that MLflow does not understand, and `TrackingError`.
        """
        kept = self._experiments if experiment is None else [self._experiment(experiment)]
        names = {found.experiment_id: found.name for found in kept}
        if lacking is not None:
            where = f"{_no(lacking)} and {where}" if where else _no(lacking)
        runs: list[Run] = []
        token, left = None, limit
        with words_of(self.store, _EXAMPLES):
            while left is None or left > 0:
                page = self.client.search_runs(
                    list(names), where, order_by=[order], page_token=token,
                    max_results=_PAGE if left is None else min(left, _PAGE),
                )  # fmt: skip
                runs += page
                token, left = page.token, None if left is None else left - len(page)
                if not token:
                    break
        return [_recorded(run, names[run.info.experiment_id]) for run in runs]

    def best(self, experiment: str | None = None, count: int = 1) -> list[RecordedRun]:
        """The finished runs with the best primary metric, the best first; at least one.

        Raises `UsageError` where the experiment has no finished run.
        """
        name = experiment or self._last(None).experiment
        tags = self._experiment(name).tags
        metric = tags.get("mlflow.experiment.primaryMetric.name") or "val_loss"
        greater = tags.get("mlflow.experiment.primaryMetric.greaterIsBetter", "") == "True"
        found = self._ranked(name, metric, greater, count)
        if not found:
            found = self._ranked(name, FALLBACK, False, count)
            if found:
                self.warn(f"no finished run of '{name}' has {metric}: the best is by {FALLBACK}")
        if not found:
            raise UsageError(
                f"the experiment '{name}' has no finished run with {metric}", code="TR-U008"
            )
        return found

    def _ranked(self, experiment: str, metric: str, greater: bool, count: int) -> list[RecordedRun]:
        """Runs without the metric come last; MLflow takes what is not finite for a number."""
        order = f"metrics.`{metric}` {'DESC' if greater else 'ASC'}"
        finished = "attributes.status = 'FINISHED'"
        found = self.search(
            finished, experiment=experiment, order=order, limit=count, lacking=KIND_TAG
        )
        return [run for run in found if math.isfinite(run.metrics.get(metric, math.nan))]

    def of_sweep(self, sweep: RecordedRun) -> str:
        """The filter for the runs below a sweep. Raises `UsageError` where it is none."""
        if not sweep.is_sweep:
            raise UsageError(f"the run {sweep.id[:8]} ({sweep.name}) is no sweep", code="TR-W009")
        return f"tags.`{PARENT}` = '{sweep.run_id}'"

    def trials(self, sweep: RecordedRun, count: int | None = None) -> list[RecordedRun]:
        """The trials of a sweep, the best first: those that finished, then those that came
        farther. Raises `UsageError` where the run is no sweep, or has no trial yet.
        """
        found = self.search(self.of_sweep(sweep), experiment=sweep.experiment)
        found = [run for run in found if run.is_trial]
        if not found:
            raise UsageError(f"the sweep {sweep.id[:8]} has no trials here yet", code="TR-W010")
        return sorted(found, key=lambda run: _rank(run, sweep))[:count]

    @cached_property
    def _experiments(self) -> list[Experiment]:
        found: list[Experiment] = []
        token = None
        with answers_of(self.store):
            while True:
                page = self.client.search_experiments(page_token=token)
                found += page
                token = page.token
                if not token:
                    return found

    def _experiment(self, name: str) -> Experiment:
        for found in self._experiments:
            if found.name == name:
                return found
        names = [found.name for found in self._experiments]
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)}"
        raise UsageError(
            f"there is no experiment '{name}' in {self.store.shown}\n  hint: {hint}", code="TR-T006"
        )

    # Files ---------------------------------------------------------------------------------

    def files(self, run: RecordedRun, names: Sequence[str]) -> dict[str, bytes]:
        """Those of the artifacts `names` that the run recorded. Raises `TrackingError`, and
        `CheckpointError` for one that is gone, or is not what the run recorded.
        """
        run_id, found, hashes = run.run_id, {}, file_hashes(run.tags)
        names = [name for name in names if name in hashes]
        with tempfile.TemporaryDirectory() as folder, answers_of(self.store):
            there = {
                item.path
                for parent in {name.rpartition("/")[0] for name in names}
                for item in self.client.list_artifacts(run_id, parent or None)
            }
            for name in names:
                if name in there:
                    path = self.client.download_artifacts(run_id, name, folder)
                    found[name] = Path(path).read_bytes()
        for name in names:
            if name not in found:
                raise damaged(artifacts_of(run) / name, "it is gone")
            sha256 = hashlib.sha256(found[name]).hexdigest()
            check_seal(artifacts_of(run) / name, sha256, hashes[name])
        return found

    # Metrics -------------------------------------------------------------------------------

    def points(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Every point of a metric as (step, value), in the order in which they came."""
        with answers_of(self.store):
            history = self.client.get_metric_history(run_id, written(metric))
        return [(p.step, p.value) for p in sorted(history, key=lambda p: (p.timestamp, p.step))]


def artifacts_of(run: RecordedRun) -> Path:
    """Where the artifacts of a run are, as messages name it."""
    return Path(f"MLflow run {run.id[:8]}")


def file_hashes(tags: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of the artifacts that a run recorded, by name; those that are read back."""
    try:
        found = json.loads(tags.get(FILES_TAG, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: sha256 for name, sha256 in found.items() if isinstance(sha256, str)}


def _no(tag: str) -> str:
    """The filter for runs without a tag."""
    return f"tags.`{tag}` IS NULL"


def _rank(trial: RecordedRun, sweep: RecordedRun) -> tuple[bool, int, float, int]:
    """What trials are sorted by: whether and how far they came, what they are compared by."""
    maximise, metric = objective_of(sweep.tags)
    value = trial.metrics.get(metric, math.nan)
    loss = -value if maximise else value
    lost = trial.status in ("DIVERGED", "FAILED") or not math.isfinite(loss)
    number = trial.tags[TRIAL_TAG]
    order = int(number) if number.isdecimal() else 0
    if lost:
        return True, 0, math.inf, order
    return trial.status != "FINISHED", -trial.paused_after, loss, order


def _own(params: Mapping[str, str], tags: Mapping[str, str]) -> Mapping[str, str]:
    """The parameters of a run; of a sweep those of its winner, not of the spec that trials vary."""
    if WINNER_TAG not in tags:
        return params
    return {name: value for name, value in params.items() if not name.startswith("spec/")}


def _warn_by_default(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=4)


def _recorded(run: Run, experiment: str) -> RecordedRun:
    info, data = run.info, run.data
    ended: Any = info.end_time
    status = "DIVERGED" if info.status == "FAILED" and DIVERGED_TAG in data.tags else info.status
    status = "PAUSED" if status == "SCHEDULED" and PAUSED_TAG in data.tags else status
    return RecordedRun(
        info.run_id,
        info.run_name or "",
        experiment,
        status,
        datetime.fromtimestamp(info.start_time / 1000).astimezone(),
        (ended - info.start_time) / 1000 if ended and info.status != "RUNNING" else None,
        _own(read_all(data.params), data.tags),
        read_all(data.metrics),
        data.tags,
    )
