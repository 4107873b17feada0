"""Which columns the model of a run leans on. What the command `train importance` calls."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.data import held_out, matched
from trainer.engine.blas_threads import one_blas_thread
from trainer.errors import DataError, Problem, UsageError
from trainer.graph.ops import Array
from trainer.metrics import default_metric, fitting_metrics
from trainer.network.importance import REPEATS, Importance, choose_rows, permutation_importance
from trainer.network.model import Model
from trainer.report.importance import importance_csv, write_importance
from trainer.runs.finding import FoundRun, Warn
from trainer.runs.predict import check_rows, checked_rows
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.use import load_model
from trainer.spec.messages import near_or_all
from trainer.tracking.record import record_files

MOST_ROWS: Final = 10_000
"""Rows that are taken, unless more are asked for: more of them change little."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of the model of a run; `where` names the rows: `test`, `validation`,
    `train`, or a file, of which there are `there` in all.
    """

    run: FoundRun
    where: str
    there: int
    importance: Importance

    @property
    def told(self) -> str:
        """The rows in words: `80 test rows`, `1,000 of 50,000 rows of rows.csv`."""
        drawn = self.importance.rows
        count = f"{drawn:,}" if drawn == self.there else f"{drawn:,} of {self.there:,}"
        if self.where in _PARTS:
            return f"{count} {_PARTS[self.where]} rows"
        return f"{count} rows of {self.where}"

    def as_json(self) -> dict[str, Any]:
        """The JSON of `train importance`."""
        about = {"id": self.run.id, "run_id": self.run.run_id, "data": self.where}
        return about | {"rows_there": self.there} | self.importance.as_json()


_PARTS: Final = {"test": "test", "validation": "validation", "train": "training"}


def importance(
    run: str,
    data: Path | None = None,
    *,
    metric: str | None = None,
    repeats: int = REPEATS,
    rows: int = MOST_ROWS,
    profile: Profile = DEFAULT,
    progress: Callable[[int, int], None] = lambda *_: None,
    warn: Warn | None = None,
) -> Measured:
    """Measures what the model of a run loses when a column of its table is shuffled among rows: of
    the test part of its data, else the validation part, else the training part; or of a file.

    `run` is as `load_model` takes it; `metric` one that fits the loss, by default `accuracy` or
    `r2`. Of more than `rows` rows so many are drawn by the seed. `progress` hears how many columns
    of all are done. Raises what `load_model` raises, `UsageError`, and `DataError`, also where the
    data are no longer those that the run was trained on: which rows it has not seen is then not
    known.
    """
    if repeats < 1 or rows < 2:
        raise UsageError("importance takes at least 1 repeat, and 2 rows", code="TR-U003")
    trained = load_model(run, profile=profile, warn=warn)
    model, loss = trained.model, trained.model.spec.model.loss
    chosen = metric or default_metric(loss)
    if chosen not in fitting_metrics(loss):
        hint = near_or_all(chosen, fitting_metrics(loss))
        raise UsageError(
            f"'{chosen}' is no metric of the loss '{loss}'\n  hint: {hint}", code="TR-U008"
        )
    if data is None:
        where, there, found = _rows_of_run(trained.run, model, rows)
    else:
        where, (there, found) = str(data), _rows_of_file(model, data, rows)
    columns = len(model.preprocessing.columns)
    with one_blas_thread():
        measured = permutation_importance(
            model, *found, metric=chosen, repeats=repeats,
            progress=lambda done: progress(done, columns),
        )  # fmt: skip
    return Measured(trained.run, where, there, measured)


def record_importance(found: Measured, *, profile: Profile = DEFAULT) -> bool:
    """Adds the table and the picture to the run in MLflow, as `importance/test.csv` and so on; the
    last of the same rows count. Returns whether MLflow has the run.

    Raises `TrackingError`.
    """
    if found.run.run_id is None:
        return False
    name = re.sub(r"[^\w.-]", "_", Path(found.where).name)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "importance.png"
        write_importance(found.importance, found.run.name, found.told, picture)
        files = {f"importance/{name}.csv": importance_csv(found.importance).encode(),
                 f"importance/{name}.png": picture.read_bytes()}  # fmt: skip
    record_files(profile.find_store(), found.run.run_id, files)
    return True


_Rows = tuple[Array, Array, Array | None]
"""Raw rows, their targets, and how much each counts."""


def _rows_of_run(run: FoundRun, model: Model, most: int) -> tuple[str, int, _Rows]:
    """Which part of the run's data is taken, how many rows it has, and those that are chosen."""
    spec, how = model.spec, model.preprocessing
    part = held_out(spec, lambda count: choose_rows(spec.seed, count, most))
    table = matched(part.table, how)
    known = run.hashes.get("data_sha256")
    if known and part.sha256 is not None and part.sha256 != known:
        message = "the data are not those any more that the run was trained on"
        hint = "which rows it has not seen is not known: name a file of such rows with --data"
        raise DataError(Problem("", message, hint, table.origin, code="TR-D038"))
    raw = how.adopt(table, slice(None))
    check_rows(how, raw, table.numbered(np.arange(len(raw))), table.origin)
    weight = None if table.weights is None else table.weights[:, None]
    return part.part, part.rows, (raw, table.target, weight)


def _rows_of_file(model: Model, data: Path, most: int) -> tuple[int, _Rows]:
    """How many rows a file has, and those that are chosen."""
    pieces = list(checked_rows(model, data, target=True))
    raw, target, weight = (
        None if getattr(pieces[0], name) is None
        else np.concatenate([getattr(piece, name) for piece in pieces])
        for name in ("x", "target", "weight")
    )  # fmt: skip
    assert raw is not None
    assert target is not None
    rows = choose_rows(model.spec.seed, len(raw), most)
    return len(raw), (raw[rows], target[rows], None if weight is None else weight[rows])
