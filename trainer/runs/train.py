"""One run from a spec: what the command `train` calls."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainer.checkpoints.environment import numeric_environment, origin
from trainer.checkpoints.facts import Facts, read_facts, recorded_of
from trainer.checkpoints.folder import RunFolder, check_room, make_last, new_id
from trainer.checkpoints.keeper import Every
from trainer.engine import choose_engine
from trainer.graph.ops import Array
from trainer.runs.attempt import Attempt, Kept
from trainer.runs.describe import describe_run
from trainer.runs.facts import Origin, data_facts, facts_of
from trainer.runs.known import copy_run, decided_by, find_known
from trainer.runs.leave import leave_start
from trainer.runs.prepare import Prepare, Prepared, prepare
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.recording import Recorder, found_in, open_recorder
from trainer.runs.start import first_values
from trainer.spec.schema import Spec
from trainer.tracking.model import RegisteredName
from trainer.training import (
    Job,
    Listener,
    Run,
    Stop,
    Trained,
    compile_kernels,
    make_job,
    never,
    nobody,
)


def train(
    spec: Spec,
    *,
    profile: Profile = DEFAULT,
    listen: Listener = nobody,
    stop: Stop = never,
    again: bool = False,
    register: str | None = None,
) -> Run:
    """Trains `spec` and returns what came out.

    `profile` says where and how. `listen` is called with each event (see `trainer.training`), and
    `stop` is asked between two calls of the engine whether to end the run there, with a checkpoint.
    What was trained to its end in this folder of runs is not trained twice: the run is found, with
    the attribute `known`, unless `again` says otherwise; under another name or experiment, or for
    another store, it is recorded as a run of its own. `register` (`NAME`, `NAME@alias`) makes the
    model the next version of a registered model.

    Raises `SpecError`, `DataError`, `UsageError`, `TrackingError` and `CheckpointError` before
    training; `DivergedError` when the loss stops being finite, `InterruptedRun` where it was
    stopped, and `TrackingError` when the store did not take all of the run. The last three carry
    what was trained as their attribute `run`. What a listener raises ends the run and comes out.
    """
    if register is not None:
        RegisteredName.parse(register)
    Every.parse(profile.save_every)
    recorder = open_recorder(profile, spec) if profile.recorded else None
    order = Order(spec, profile, listen, stop, again, register, recorder=recorder, awaits=True)
    return carry_out(order)


@dataclass(frozen=True)
class Order:
    """A spec to train, and how.

    `parent` is the id of the run that this one belongs to; `recorder` tells MLflow of it, which
    `awaits` says to wait for; `tags` are what a store shows besides. `folder` is the run's, held by
    this process, where it has one already. It waits after the epoch `pause_after`. At its end it
    leaves its `model` and `pictures`. Who trains many runs has a `prepare` that reads data once,
    and an `origin_of` that asks for the commit once.
    """

    spec: Spec
    profile: Profile
    listen: Listener = nobody
    stop: Stop = never
    again: bool = False
    register: str | None = None
    parent: str | None = None
    recorder: Recorder | None = None
    awaits: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    folder: RunFolder | None = None
    pause_after: int | None = None
    model: bool = True
    pictures: bool = True
    prepare: Prepare = prepare
    origin_of: Origin = origin
    began: float = field(default_factory=time.monotonic)


def carry_out(order: Order) -> Run:
    """What `train` does, for a run by itself or for one of several."""
    recorder = order.recorder
    try:
        attempt = _prepared(order)
    except BaseException:
        if recorder is not None and order.awaits:
            recorder.cancel()
        raise
    return attempt if isinstance(attempt, Run) else attempt.carry_out()


def known_run(order: Order) -> Run | None:
    """The run that the order asks for, if it was trained before: what `carry_out` gives then."""
    prepared, _ = _ready(order)
    return _known(order, _facts(order, prepared))


def _prepared(order: Order) -> Attempt | Run:
    """All but the training itself; or the run that is known."""
    prepared, initial = _ready(order)
    if order.profile.runs is None:
        job = _job(prepared, order.profile, initial)
        compile_kernels(job)
        return Attempt(job, order.listen, order.stop, began=order.began)
    facts = _facts(order, prepared)
    known = _known(order, facts)
    if known is not None:
        return known
    kept, job = _begin(order, prepared, initial, facts)
    if order.recorder is not None:
        kept.recorder = order.recorder.follow(kept.folder.path, facts.attempt)
    return Attempt(job, order.listen, order.stop, kept, order.began, order.pause_after)


def _ready(order: Order) -> tuple[Prepared, Mapping[str, Array]]:
    """What is to be trained, and the first values of parameters that do not come from the seed."""
    prepared = order.prepare(order.spec, order.listen)
    spec, initial = first_values(order.spec, prepared.model, order.profile, prepared.here)
    return replace(prepared, spec=spec), initial


def _begin(
    order: Order, prepared: Prepared, initial: Mapping[str, Array], facts: Facts
) -> tuple[Kept, Job]:
    """The job, ready to train, and the run's folder with all that is known at its start."""
    job = _job(prepared, order.profile, initial)
    every = Every.parse(order.profile.save_every)
    path = (order.profile.runs or Path()) / facts.id
    check_room(path.parent, job)
    compile_kernels(job, order.pause_after)
    facts = replace(
        facts,
        environment=numeric_environment(job.engine.name),
        description=describe_run(job),
        charts=job.charts,
    )
    folder = order.folder or RunFolder(path)
    try:
        leave_start(folder, job, prepared.describe(), facts.origin["git"])
        folder.begin(facts)
    except BaseException:
        folder.release()
        raise
    kept = Kept(
        folder, facts, every, awaits=order.awaits, offline_ok=order.profile.offline_ok,
        model=order.model, pictures=order.pictures,
    )  # fmt: skip
    return kept, job


def _job(prepared: Prepared, profile: Profile, initial: Mapping[str, Array]) -> Job:
    spec, dataset, model = prepared.spec, prepared.dataset, prepared.model
    return make_job(spec, dataset, model, profile.engine, profile.threads, initial=initial)


def _facts(order: Order, prepared: Prepared) -> Facts:
    """What is known of a run before it has a job."""
    spec, profile, data = prepared.spec, order.profile, prepared.dataset
    return facts_of(
        spec, profile, origin_of=order.origin_of, id=order.folder.id if order.folder else new_id(),
        data=data_facts(data), engine=choose_engine(profile.engine), parent=order.parent,
        register=order.register, tags=dict(order.tags),
    )  # fmt: skip


# What was trained before ------------------------------------------------------------------------


def _known(order: Order, facts: Facts) -> Run | None:
    assert order.profile.runs is not None
    known = None if order.again else find_known(order.profile.runs, decided_by(facts))
    return None if known is None else _known_run(order, known, facts)


def _known_run(order: Order, run: Run, facts: Facts) -> Run:
    """The known run; recorded as one of its own where it is asked for as another, and recorded to
    its end where it is not.
    """
    known, recorder = run.folder, order.recorder
    assert known is not None
    was, recorded = read_facts(known), recorded_of(known)
    alike = order.folder is None and all(
        getattr(was, name) == getattr(facts, name)
        for name in ("name", "experiment", "parent", "register")
    )
    elsewhere = recorder is not None and recorded and recorded.store != recorder.store.shown
    if elsewhere or not alike:
        known, recorded = copy_run(known, facts), None
        run = replace(run, name=facts.name, experiment=facts.experiment, folder=known)
    if order.parent is None:
        make_last(known)
    if recorder is not None:
        run = replace(run, tracking_uri=recorder.store.shown)
    if recorded is not None:
        run = found_in(run, recorded)
    order.listen(Trained(run))
    if recorder is None:
        return run
    if recorded is None or not recorded.whole:
        following = recorder.follow(known, read_facts(known).attempt)
        return found_in(run, following.wait()) if order.awaits else run
    if order.awaits:
        recorder.cancel()
    return run
