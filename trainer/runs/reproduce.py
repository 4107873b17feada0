"""Running a recorded run again, and proving that it gives the same bits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.checkpoints.arrays import read_arrays
from trainer.checkpoints.disk import text_of
from trainer.checkpoints.environment import numeric_environment
from trainer.errors import DataError, DivergedError, TrackingError, UsageError
from trainer.graph.ops import Array
from trainer.network.fingerprint import parameters_sha256
from trainer.runs.attempt import Attempt
from trainer.runs.finding import PARAMETERS, RESOLVED, spec_file_of
from trainer.runs.prepare import prepare
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.resume import changed_facts
from trainer.runs.start import first_values
from trainer.runs.trace import TRACE, read_trace
from trainer.spec import read_spec
from trainer.tracking.names import read, written
from trainer.tracking.opening import KIND_TAG
from trainer.tracking.record import Record, read_record, record_proof
from trainer.training import (
    Job,
    Listener,
    Run,
    Series,
    Stop,
    compile_kernels,
    make_job,
    never,
    nobody,
)
from trainer.training.history import thinned

LATER: Final = ("perf/", "eval/")  # metrics of the machine, and of evaluations after the run
_SHOWN: Final = 10


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
    differs, what the record lacks, and which recorded facts are others now.

    `allowed` is the largest relative difference that the float type allows after a training:
    the root of its machine epsilon, 3e-4 in float32 and 1.5e-8 in float64.
    """

    id: str
    run_id: str
    allowed: float
    tensors: int = 0
    points: int = 0
    differences: list[Difference] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    facts: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def identical(self) -> bool:
        """Whether every bit is the same, and there was one to compare with each."""
        return not self.differences and not self.missing

    def __str__(self) -> str:
        counted = f"{self.tensors} tensors, {self.points} metric points"
        if self.identical:
            return f"identical: {counted}"
        if not self.differences:
            lines = [f"not proven: what was compared is the same ({counted}), the record lacks"]
            lines += [f"  {text}" for text in self.missing[:_SHOWN]]
            more = len(self.missing) - _SHOWN
            return "\n".join(lines + [f"  … and {more} more"] * (more > 0))
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
        lines += [f"  the record lacks {text}" for text in self.missing[:_SHOWN]]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train reproduce --json`."""
        return {
            "id": self.id,
            "run_id": self.run_id,
            "identical": self.identical,
            "tensors": self.tensors,
            "metric_points": self.points,
            "missing": self.missing,
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
    job = _prepared(record, profile, listen)
    proof = compare(record, _train_again(job, listen, stop), job.charts)
    verdict = "identical"
    if not proof.identical:  # the largest difference, or that it is none
        verdict = str(proof).splitlines()[2 if proof.differences else 0].strip()
    record_proof(store, record.run_id, verdict, proof.as_json())
    return proof


def _check_whole(record: Record) -> None:
    """Raises where there is nothing to prove."""
    short = record.id[:8]
    if record.status not in ("FINISHED", "DIVERGED"):
        raise UsageError(
            f"the run {short} did not end: go on with it by `train resume {short}`", code="TR-R010"
        )
    if KIND_TAG in record.tags:
        raise UsageError(
            f"the run {short} ({record.tags[KIND_TAG]}) trained no model", code="TR-R009"
        )
    missing = {RESOLVED, PARAMETERS} - record.files.keys()
    if missing:
        raise TrackingError(
            f"the run {short} has no {' and no '.join(sorted(missing))}", code="TR-R011"
        )


def _prepared(record: Record, profile: Profile, listen: Listener) -> Job:
    """A job of the record's spec, data and engine."""
    text = text_of(_place(record, RESOLVED), record.files[RESOLVED])
    spec = read_spec(text, spec_file_of(record.tags))
    expected = record.tags.get("trainer.data_sha256")
    try:
        prepared = prepare(spec, listen)
        data = prepared.dataset
        if data.sha256 != expected:
            other = f"their SHA-256 is {data.sha256}"
            raise DataError(
                f"the data in {data.origin} are not those of the run: {other}", code="TR-D038"
            )
    except DataError as error:
        raise DataError(
            f"{error}\n  expected data with the SHA-256 {expected}", code=error.code
        ) from None
    spec, initial = first_values(spec, prepared.model, profile)
    job = make_job(
        spec, data, prepared.model, _engine(record), profile.threads, initial=initial
    )  # fmt: skip
    compile_kernels(job)
    return job


def _train_again(job: Job, listen: Listener, stop: Stop) -> Run:
    """What the job gives."""
    try:
        return Attempt(job, listen, stop).carry_out()
    except DivergedError as error:
        if not isinstance(error.run, Run):
            raise
        return error.run


def compare(record: Record, found: Run, charts: Mapping[str, int]) -> Proof:
    """Every tensor and every point of the record beside those of the run that was found; `charts`
    says how many steps and epochs there can be, of which a run records some.
    """
    dtype = next(iter(found.parameters.values())).dtype
    facts = changed_facts(_recorded_facts(record), numeric_environment(_engine(record)))
    proof = Proof(record.id, record.run_id, float(np.sqrt(np.finfo(dtype).eps)), facts=dict(facts))
    kept = read_arrays(_place(record, PARAMETERS), record.files[PARAMETERS])
    for name in sorted({*kept, *found.parameters}):
        proof.tensors += 1
        proof.differences += _differing(name, kept.get(name), found.parameters.get(name))
    for name, recorded, again in _series(record, found):
        proof.points += len(recorded)
        proof.differences += _differing(name, recorded, again)
    hashes = {
        "spec_sha256": found.spec_sha256,
        "data_sha256": found.data_sha256,
        "parameters_sha256": parameters_sha256(kept),  # its tensors are compared above
    }
    for name, value in hashes.items():
        _compare_hash(proof, name, record.tags.get(f"trainer.{name}"), value)
    proof.missing += lacking(record, found, charts)
    return proof


def _compare_hash(proof: Proof, name: str, recorded: str | None, found: str) -> None:
    if recorded is None:
        proof.missing.append(f"the tag trainer.{name}")
    elif recorded != found:
        proof.differences.append(Difference(f"{name} (another hash)", 0, 0, float("inf")))
        proof.facts[name] = (recorded, found)


def lacking(record: Record, found: Run, charts: Mapping[str, int]) -> Iterator[str]:
    """What a run records of what was found, and the record does not have: then nothing was
    compared with that.
    """
    if TRACE not in record.files:
        yield f"{TRACE}: the loss and gradient norm of every step"
    for name, series in found.history.items():
        finite = np.isfinite(series.values)
        expected = set(series.steps[finite].tolist()) & _shown(name, series, charts)
        absent = len(expected - {step for step, _ in record.points.get(name, ())})
        if absent:
            yield f"{absent} of {len(expected)} points of {name}"
    for name, value in found.metrics.items():
        if name not in found.history and np.isfinite(value) and name not in record.points:
            yield f"the metric {name}"


def _shown(name: str, series: Series, charts: Mapping[str, int]) -> set[int]:
    """The epochs or steps of which a run records this series: of long ones not all."""
    if name.endswith("_step"):
        return set(thinned(charts["steps"]))
    return set(
        thinned(charts["epochs"]) if name.startswith("grad_norm/") else series.steps.tolist()
    )


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
    if TRACE in record.files and "train_loss_step" in found.history:
        trace = read_trace(_place(record, TRACE), record.files[TRACE])
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


def _place(record: Record, name: str) -> Path:
    """The artifact as messages name it."""
    return Path(f"MLflow run {record.id[:8]}") / name


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
        raise TrackingError(
            f"the run {record.id[:8]} names no engine: it is not this tool's", code="TR-R011"
        )
    return engine
