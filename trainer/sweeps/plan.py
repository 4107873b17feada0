"""What a sweep will take, told before it starts: `train sweep --check`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Any, Final

from trainer.engine import EngineName
from trainer.machine import available_cores, machine_memory, show_bytes
from trainer.runs.prepare import Prepared
from trainer.spec.changes import parts_of
from trainer.spec.messages import plural, words
from trainer.sweeps.checking import Size, check_trials
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.sampling import sampler_of
from trainer.sweeps.space import edges
from trainer.training import compile_kernels, make_job, run_job
from trainer.workers.shelf import Shelf

MEASURED_SECONDS: Final = 1.0
"""So long two trials are trained to see how quick this machine is."""
FOLDER_BYTES: Final = 20_000
EPOCH_BYTES: Final = 300
STEP_BYTES: Final = 145
"""What a trial's folder has, of each epoch, and of each step: about, by what runs have left."""
WORKER_BYTES: Final = 200_000_000
"""What Python and its libraries take in a worker."""
STARTING_SECONDS: Final = 2.0
"""Until workers are there."""
NEW_SECONDS: Final = 0.05
"""Of a trial whose kernels nobody has compiled yet, at least."""
TASK_SECONDS: Final = 0.03
"""Of a worker beyond its training, each time that a trial begins or goes on."""
TPE_SECONDS: Final = 0.03
"""Of choosing a trial by what the others found; the driver does it, one after the other."""
OTHER_ROWS: Final = ("seed", "data.source", "data.split", "data.validation", "data.drop_rows")
"""Keys that decide which rows are validation rows."""


@dataclass(frozen=True)
class Plan:
    """What a sweep will take. `epochs` are those of all trials if each trains to its end, and
    `usual_epochs` what halving leaves of them, about. Bytes and seconds are estimates: `memory` of
    all `workers` at once, `trial_memory` of the largest trial alone, `disk` of all trials as they
    are kept. `checked` trials were looked at.
    """

    name: str
    method: str
    keys: dict[str, str]
    objective: str
    trials: int
    rungs: tuple[int, ...]
    epochs: int
    usual_epochs: int
    workers: int
    slots: int
    memory: int
    trial_memory: int
    disk: int
    seconds: float
    checked: int
    sha256: str
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train sweep --check --json`."""
        return asdict(self) | {"seconds": round(self.seconds, 1)}

    def describe(self) -> str:
        """The plan as people read it, of several lines."""
        width = max(map(len, ("key", *self.keys)))
        rows = [("key", "values"), *self.keys.items()]
        table = [f"{key.ljust(width)}  {values}" for key, values in rows]
        last = plural(self.rungs[-1], "epoch")
        trials = f"{self.trials:,} trial{'s' * (self.trials > 1)} of {last}"
        epochs = f"{self.epochs:,} if each trial trains to its end"
        if len(self.rungs) > 1:
            rungs = words([str(each) for each in self.rungs[:-1]])
            trials += f"; compared after {rungs}, where the others wait"
            epochs = f"about {self.usual_epochs:,}, at most {self.epochs:,}"
        on = plural(self.workers, "worker")
        lines = [
            f"{self.name}: {self.method} search for the best {self.objective}",
            "",
            *table,
            "",
            f"trials  {trials}",
            f"epochs  {epochs}",
            f"memory  about {show_bytes(self.memory)} for {on}, of which the largest trial takes "
            f"{show_bytes(self.trial_memory)}",
            f"disk    about {show_bytes(self.disk)}",
            f"time    about {show_seconds(self.seconds)} on {on}",
            f"checked {self.checked:,} points of the space against the data",
            *(f"note    {note}" for note in self.notes),
        ]
        return "\n".join(lines) + "\n"


def plan_sweep(
    spec: SweepSpec,
    workers: int | None = None,
    *,
    engine: EngineName = "auto",
    shelf: Shelf | None = None,
) -> Plan:
    """What the sweep will take on so many workers, by default one a core. To tell how long, two of
    its trials are trained for a second at most.

    Raises what `check_trials` raises, and `UsageError` where what chooses is not installed.
    """
    shelf = shelf or Shelf()
    sampler_of(spec)
    checked = check_trials(spec, shelf)
    count = max(1, min(workers or available_cores(), spec.planned))
    trials = spec.planned
    epochs = round(trials * fmean(size.epochs for size in checked.sizes))
    usual = min(usual_epochs(spec), epochs) if spec.halving else epochs
    size = fmean(size.operations for size in checked.sizes)
    largest = max(size.memory for size in (*checked.sizes, *checked.edges))
    memory = (WORKER_BYTES + largest) * count
    disk = round(trials * fmean(_disk_of(size, usual / trials) for size in checked.sizes))
    seconds = _seconds(spec, usual * size, count, *_measured(spec, shelf, engine))
    return Plan(
        name=spec.name,
        method=spec.search.method,
        keys={key: dimension.shown for key, dimension in spec.space.items()},
        objective=spec.objective.objective.metric,
        trials=trials,
        rungs=spec.rungs,
        epochs=epochs,
        usual_epochs=usual,
        workers=count,
        slots=spec.slots,
        memory=memory,
        trial_memory=largest,
        disk=disk,
        seconds=seconds,
        checked=checked.count,
        sha256=spec.sha256,
        notes=(*notes_of(spec), *_limits(spec, memory, count, disk, seconds)),
    )


def usual_epochs(spec: SweepSpec) -> int:
    """About how many epochs all trials take that are halved: at each rung one of `factor` goes on,
    and at least one to the end.
    """
    steps = (rung - before for before, rung in pairwise((0, *spec.rungs)))
    return round(sum(there * step for there, step in zip(_there(spec), steps, strict=True)))


def _there(spec: SweepSpec) -> list[float]:
    """How many trials come to each rung, about."""
    factor = spec.halving.factor if spec.halving else 1
    there = accumulate(spec.rungs, lambda count, _: count / factor, initial=float(spec.planned))
    return [max(count, 1.0) for count, _ in zip(there, spec.rungs, strict=False)]


# Estimates --------------------------------------------------------------------------------------


def _disk_of(size: Size, epochs: float) -> float:
    """The bytes that a trial leaves after so many epochs: its first parameters, its last and its
    best ones, a checkpoint, and what was measured.
    """
    measured = epochs * (EPOCH_BYTES + STEP_BYTES * size.steps)
    return FOLDER_BYTES + measured + (3 + size.copies) * size.parameters * size.item


def _seconds(
    spec: SweepSpec, operations: float, workers: int, start: float, speed: float
) -> float:  # fmt: skip
    """How long so many operations take: a trial begins in `start` seconds, and `speed` are
    operations a second.
    """
    tasks = sum(_there(spec))  # so often a trial begins or goes on
    asked = max(spec.planned - spec.search.startup, 0) if spec.search.method == "tpe" else 0
    work = spec.planned * start + tasks * TASK_SECONDS + operations / speed
    return STARTING_SECONDS + asked * TPE_SECONDS + work / workers


def _measured(spec: SweepSpec, shelf: Shelf, engine: EngineName) -> tuple[float, float]:
    """Seconds until a trial trains, and its operations a second: of two trials that differ, of
    which the first also waits for what is imported.
    """
    *_, highest, middle = edges(spec.space)
    found = [_one(shelf.prepare(spec.trial(values)), engine) for values in (middle, highest)]
    return max(found[-1][0], NEW_SECONDS), sum(done for _, done, _ in found) / sum(
        took for *_, took in found
    )


def _one(prepared: Prepared, engine: EngineName) -> tuple[float, float, float]:
    """Seconds until the trial trains, operations done and the seconds of these."""
    began = time.perf_counter()
    job = make_job(prepared.spec, prepared.dataset, prepared.model, engine, threads=1)
    compile_kernels(job)
    trains = time.perf_counter()
    for _ in run_job(job, lambda: time.perf_counter() - trains > MEASURED_SECONDS):
        pass
    took = time.perf_counter() - trains
    epochs = max(job.progress.step, 1) / prepared.steps_per_epoch
    return trains - began, epochs * Size.of(prepared).operations, took


def show_seconds(seconds: float) -> str:
    """`40 s`, `12 min`, `2.5 h`: an estimate."""
    if seconds < 100:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# Notes ------------------------------------------------------------------------------------------


def notes_of(spec: SweepSpec) -> Iterator[str]:
    """What a reader should know of the search."""
    search, points = spec.search, spec.planned
    if search.method == "grid" and search.trials is not None and points < search.trials:
        yield f"the grid has {plural(points, 'point')}, fewer than the {search.trials} trials"
    if search.method == "tpe" and search.startup >= points:
        yield f"all trials are drawn at random: the startup has {search.startup}"
    moved = [key for key in spec.space if ".".join(parts_of(key)).startswith(OTHER_ROWS)]
    if moved:
        yield f"trials are measured on different rows: {words(moved)} decides which these are"
    if spec.decide == "arrival":
        yield "which trials go on depends on whose result is there first: it cannot be reproduced"


def _limits(
    spec: SweepSpec, memory: int, count: int, disk: int, seconds: float
) -> Iterator[str]:  # fmt: skip
    """What this machine or the budget has less of."""
    have, room, limit = machine_memory(), spec.budget.bytes, spec.budget.seconds
    if memory > have:
        fit = max(1, count * have // memory)
        yield f"this machine has {show_bytes(have)} of memory: take {plural(fit, 'worker')}"
    if room is not None and disk > room:
        yield f"beyond the budget of {spec.budget.disk} the worst trials that wait are dropped"
    if limit is not None and seconds > limit:
        yield f"the budget of {spec.budget.time} ends it before all trials are done"
