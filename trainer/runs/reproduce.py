"""Running a recorded run again, and proving that it gives the same bits."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from trainer.checkpoints.environment import numeric_environment
from trainer.data import Reading, silent
from trainer.errors import DataError, DivergedError, TrackingError, UsageError
from trainer.graph.ops import Array
from trainer.runs.train import Listener, train, warn_by_default
from trainer.spec import Spec, read_spec
from trainer.tracking.experiments import KIND_TAG
from trainer.tracking.record import Record, read_record, record_proof
from trainer.tracking.store import resolve_store
from trainer.training import Job
from trainer.training.result import Run

MEASURED: Final = "perf/"  # metrics that tell of the machine


@dataclass(frozen=True)
class Difference:
    """A value that is not the same: where, what was recorded and found, and how far apart they
    are, relative to the largest value of the tensor or series.
    """

    where: str
    recorded: float
    found: float
    relative: float

    def as_json(self) -> dict[str, Any]:
        """Its fields; numbers that are not finite become null."""
        numbers = {"recorded": self.recorded, "found": self.found, "relative": self.relative}
        return {"where": self.where} | {name: _number(value) for name, value in numbers.items()}


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


@dataclass
class Proof:
    """What running a run again gave: whether all bits are the same, how much was compared, what
    differs, and which recorded facts are others now.

    `allowed` is the largest relative difference that the float type allows after a training:
    the root of its machine epsilon, 3e-4 in float32 and 1.5e-8 in float64.
    """

    run_id: str
    allowed: float
    tensors: int = 0
    points: int = 0
    differences: list[Difference] = field(default_factory=list)
    facts: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def identical(self) -> bool:
        """Whether every bit is the same."""
        return not self.differences

    def __str__(self) -> str:
        counted = f"{self.tensors} tensors, {self.points} metric points"
        if self.identical:
            return f"identical: {counted}"
        first = self.differences[0]
        largest = max(self.differences, key=lambda difference: difference.relative)
        within = "within" if largest.relative <= self.allowed else "beyond"
        lines = [
            f"different: {len(self.differences)} tensors and series ({counted})",
            f"  first: {first.where} was {first.recorded!r}, is {first.found!r} "
            f"(relative {first.relative:.1e})",
            f"  largest: {largest.where}, relative {largest.relative:.1e}, "
            f"{within} what the float type allows ({self.allowed:.1e})",
        ]
        lines += [f"  {name}: {old} → {new}" for name, (old, new) in self.facts.items()]
        if not self.facts:
            lines.append("  no recorded fact of the environment differs")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train reproduce --json`."""
        return {
            "run_id": self.run_id,
            "identical": self.identical,
            "tensors": self.tensors,
            "metric_points": self.points,
            "differences": [difference.as_json() for difference in self.differences[:100]],
            "largest_relative_difference": _number(
                max((difference.relative for difference in self.differences), default=0.0)
            ),
            "allowed": self.allowed,
            "facts": {name: list(change) for name, change in self.facts.items()},
        }


def reproduce(
    run: str,
    *,
    tracking_uri: str | None = None,
    threads: int | None = None,
    listeners: Sequence[Listener] = (),
    on_start: Callable[[Job], None] | None = None,
    warn: Callable[[str], None] = warn_by_default,
    on_reading: Reading = silent,
) -> Proof:
    """Trains a recorded run again from what MLflow holds of it, compares every parameter and
    every point of every metric bit by bit, and records the proof with the run.

    `run` is its id, the beginning of its id, its name, or `last`. Raises `UsageError` for a run
    that is not there or did not end, `DataError` where its data are gone or others, and
    `TrackingError`.
    """
    store = resolve_store(tracking_uri)
    record = read_record(store, run)
    if record.status == "RUNNING" or (
        record.status != "FINISHED" and "trainer.diverged" not in record.tags
    ):
        short = record.run_id[:8]
        raise UsageError(f"the run {short} did not end: go on with it by `train resume {short}`")
    if KIND_TAG in record.tags:
        kind = record.tags[KIND_TAG]
        raise UsageError(f"the run {record.run_id[:8]} ({kind}) trained no model")
    missing = {"config/resolved.yaml", "parameters.safetensors"} - record.files.keys()
    if missing:
        raise TrackingError(
            f"the run {record.run_id[:8]} has no {' and no '.join(sorted(missing))}"
        )
    spec = _spec(record)
    try:
        found = train(
            spec, track=False, engine=_engine(record), threads=threads, listeners=listeners,
            on_start=_check_data(record, on_start), warn=warn, on_reading=on_reading,
        )  # fmt: skip
    except DataError as error:
        expected = f"  expected data with the SHA-256 {record.tags.get('trainer.data_sha256')}"
        raise DataError(f"{error}\n{expected}") from None
    except DivergedError as error:
        if error.run is None:
            raise
        found = error.run
    proof = compare(record, found, spec)
    verdict = "identical" if proof.identical else str(proof).splitlines()[2].strip()
    record_proof(store, record.run_id, verdict, proof.as_json())
    return proof


def compare(record: Record, found: Run, spec: Spec) -> Proof:
    """Every tensor and every point of the record beside those of the run that was found."""
    from safetensors.numpy import load

    allowed = float(np.sqrt(np.finfo(np.dtype(spec.model.dtype)).eps))
    proof = Proof(record.run_id, allowed, facts=_changed_facts(record))
    kept = load(record.files["parameters.safetensors"])
    for name in sorted({*kept, *found.parameters}):
        proof.tensors += 1
        proof.differences += _differing(name, kept.get(name), found.parameters.get(name))
    for name, recorded, again in _series(record, found):
        proof.points += len(recorded)
        proof.differences += _differing(name, recorded, again)
    return proof


def _series(record: Record, found: Run) -> Iterator[tuple[str, Array, Array | None]]:
    """Each metric as recorded and as found, at the recorded steps; the trace of all steps last."""
    for name, points in record.points.items():
        if name.startswith(MEASURED):
            continue
        series = found.history.get(name)
        if series is None:  # a summary: its last value counts
            last = found.metrics.get(name)
            again = None if last is None else np.array([last])
            yield name, np.array([points[-1][1]]), again
            continue
        values = dict(zip(series.steps.tolist(), series.values.tolist(), strict=True))
        steps = [step for step, _ in points]
        again = np.array([values.get(step, np.nan) for step in steps])
        yield name, np.array([value for _, value in points]), again
    if "trace.parquet" in record.files and "train_loss_step" in found.history:
        import pyarrow.parquet as pq

        trace = pq.read_table(io.BytesIO(record.files["trace.parquet"]))
        for column, name in (("loss", "train_loss_step"), ("grad_norm", "grad_norm_step")):
            yield f"trace/{column}", np.array(trace[column]), found.history[name].values


def _differing(where: str, recorded: Array | None, found: Array | None) -> list[Difference]:
    """One difference for two arrays that are not the same to the bit: the first, with the
    largest relative one of all.
    """
    if recorded is None or found is None:
        return [Difference(f"{where} (only one has it)", 0.0, 0.0, float("inf"))]
    if recorded.shape != found.shape or recorded.dtype != found.dtype:
        return [Difference(f"{where} (of another shape)", recorded.size, found.size, float("inf"))]
    bits = f"u{recorded.dtype.itemsize}"
    apart = np.flatnonzero(np.ravel(recorded).view(bits) != np.ravel(found).view(bits))
    if not len(apart):
        return []
    old, new = np.ravel(recorded).astype(np.float64), np.ravel(found).astype(np.float64)
    with np.errstate(all="ignore"):
        relative = float(np.abs(old - new).max() / np.abs(old).max())
    place = int(apart[0])
    far = relative if np.isfinite(relative) else float("inf")
    return [Difference(f"{where}[{place}]", float(old[place]), float(new[place]), far)]


def _changed_facts(record: Record) -> dict[str, tuple[str, str]]:
    """The facts of the numeric environment that are not as recorded: old and new."""
    try:
        old = json.loads(record.files["environment.json"])["numeric"]
    except (KeyError, ValueError):
        old = {}
    new = numeric_environment()
    return {
        name: (str(old.get(name)), str(new.get(name)))
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    }


def _spec(record: Record) -> Spec:
    file = record.tags.get("mlflow.source.name", "spec")
    return read_spec(record.files["config/resolved.yaml"].decode(), file)


def _engine(record: Record) -> Any:
    engine = record.tags.get("trainer.engine")
    if engine not in ("reference", "compiled"):
        raise TrackingError(f"the run {record.run_id[:8]} names no engine: it is not this tool's")
    return engine


def _check_data(
    record: Record, on_start: Callable[[Job], None] | None
) -> Callable[[Job], None]:  # fmt: skip
    """Before the first step: the data must be those of the run."""

    def check(job: Job) -> None:
        expected = record.tags.get("trainer.data_sha256")
        if job.dataset.sha256 != expected:
            raise DataError(
                f"the data in {job.dataset.origin} are not those of the run: "
                f"their SHA-256 is {job.dataset.sha256}"
            )
        if on_start is not None:
            on_start(job)

    return check
