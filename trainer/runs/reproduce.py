"""Running a recorded run again, and proving that it gives the same bits."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from trainer.checkpoints.environment import numeric_environment
from trainer.errors import DataError, DivergedError, TrackingError, UsageError
from trainer.graph.ops import Array
from trainer.runs.attempt import Attempt
from trainer.runs.finding import spec_file_of
from trainer.runs.prepare import prepare
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.resume import changed_facts
from trainer.runs.start import first_values
from trainer.spec import read_spec
from trainer.tracking.names import read, written
from trainer.tracking.opening import KIND_TAG
from trainer.tracking.record import Record, read_record, record_proof
from trainer.training import Listener, Run, Stop, compile_kernels, make_job, never, nobody

LATER: Final = ("perf/", "eval/")  # metrics of the machine, and of evaluations after the run


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

    id: str
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
            "id": self.id,
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
    run: str, *, profile: Profile = DEFAULT, listen: Listener = nobody, stop: Stop = never
) -> Proof:
    """Trains a recorded run again from what MLflow holds of it, compares every parameter and
    every point of every metric bit by bit, and records the proof with the run.

    `run` is its id, the beginning of its id, its name, or `last`. Of the profile the engine is
    not asked for, and nothing is kept. Raises `UsageError` for a run that is not there or did not
    end, `DataError` where its data are gone or others, `TrackingError`, and `InterruptedRun`.
    """
    store = profile.find_store()
    record = read_record(store, run)
    _check_whole(record)
    found = _train_again(record, profile, listen, stop)
    proof = compare(record, found)
    verdict = "identical" if proof.identical else str(proof).splitlines()[2].strip()
    record_proof(store, record.run_id, verdict, proof.as_json())
    return proof


def _check_whole(record: Record) -> None:
    """Raises where there is nothing to prove."""
    short = record.id[:8]
    if record.status not in ("FINISHED", "DIVERGED"):
        raise UsageError(f"the run {short} did not end: go on with it by `train resume {short}`")
    if KIND_TAG in record.tags:
        raise UsageError(f"the run {short} ({record.tags[KIND_TAG]}) trained no model")
    missing = {"config/resolved.yaml", "parameters.safetensors"} - record.files.keys()
    if missing:
        raise TrackingError(f"the run {short} has no {' and no '.join(sorted(missing))}")


def _train_again(record: Record, profile: Profile, listen: Listener, stop: Stop) -> Run:
    """What the record's spec, data and engine give now."""
    file = spec_file_of(record.tags)
    spec = read_spec(record.files["config/resolved.yaml"].decode(), file)
    expected = record.tags.get("trainer.data_sha256")
    try:
        prepared = prepare(spec, listen)
        data = prepared.dataset
        if data.sha256 != expected:
            other = f"their SHA-256 is {data.sha256}"
            raise DataError(f"the data in {data.origin} are not those of the run: {other}")
    except DataError as error:
        raise DataError(f"{error}\n  expected data with the SHA-256 {expected}") from None
    spec, initial = first_values(spec, prepared.model, profile)
    job = make_job(
        spec, data, prepared.model, _engine(record), profile.threads, initial=initial
    )  # fmt: skip
    compile_kernels(job)
    try:
        return Attempt(job, listen, stop).carry_out()
    except DivergedError as error:
        if not isinstance(error.run, Run):
            raise
        return error.run


def compare(record: Record, found: Run) -> Proof:
    """Every tensor and every point of the record beside those of the run that was found."""
    from safetensors.numpy import load

    dtype = next(iter(found.parameters.values())).dtype
    facts = changed_facts(_recorded_facts(record), numeric_environment(_engine(record)))
    proof = Proof(record.id, record.run_id, float(np.sqrt(np.finfo(dtype).eps)), facts=dict(facts))
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
    history = {read(written(name)): series for name, series in found.history.items()}
    metrics = {read(written(name)): value for name, value in found.metrics.items()}
    for name, points in record.points.items():
        if name.startswith(LATER):
            continue
        series = history.get(name)
        if series is None:  # a summary: its last value counts
            last = metrics.get(name)
            again = None if last is None else np.array([last])
            yield name, np.array([points[-1][1]]), again
            continue
        values = dict(zip(series.steps.tolist(), series.values.tolist(), strict=True))
        latest = dict(points)  # of a step that was told twice
        if f"last_{name}" in record.points:  # the last point is of the parameters that are kept
            values[max(latest)] = found.metrics.get(name, np.nan)
        again = np.array([values.get(step, np.nan) for step in latest])
        yield name, np.array(list(latest.values())), again
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


def _recorded_facts(record: Record) -> dict[str, Any]:
    """The facts of the numeric environment of the run."""
    try:
        facts: dict[str, Any] = json.loads(record.files["environment.json"])["numeric"]
    except (KeyError, ValueError):
        return {}
    return facts


def _engine(record: Record) -> Any:
    engine = record.tags.get("trainer.engine")
    if engine not in ("reference", "compiled"):
        raise TrackingError(f"the run {record.id[:8]} names no engine: it is not this tool's")
    return engine
