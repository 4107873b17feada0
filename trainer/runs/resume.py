"""Going on with a run that was killed, failed, or is to train for more epochs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from trainer.checkpoints.arrays import read_arrays
from trainer.checkpoints.disk import damaged, read_sealed
from trainer.checkpoints.environment import numeric_environment
from trainer.checkpoints.facts import Facts, read_facts, read_outcome
from trainer.checkpoints.folder import FILES, RunFolder, check_room, find_folder
from trainer.checkpoints.keeper import Every
from trainer.data import Dataset
from trainer.errors import OtherBitsError, UsageError
from trainer.graph.ops import Array
from trainer.runs.attempt import Attempt, Kept
from trainer.runs.describe import describe_run
from trainer.runs.facts import data_facts, spec_place
from trainer.runs.known import OTHERWISE_TAG
from trainer.runs.leave import leave_start
from trainer.runs.prepare import Prepare, prepare
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.recording import open_recorder
from trainer.spec.changes import Changes
from trainer.spec.schema import Spec, decides_numbers
from trainer.spec.sgd import SGDSpec
from trainer.tracking.names import flatten, read_all
from trainer.tracking.store import address_again
from trainer.training import (
    Job,
    Listener,
    Run,
    Stop,
    Warned,
    compile_kernels,
    make_job,
    never,
    nobody,
)

EXTENDED: Final = "sgd/epochs"
TRAINED_BY: Final = "sgd/"
INITIAL: Final = f"{FILES}/initial.safetensors"

Differences = Mapping[str, tuple[str, str]]


def resume(
    run: str,
    *,
    changes: Changes = (),
    force: bool = False,
    profile: Profile = DEFAULT,
    listen: Listener = nobody,
    stop: Stop = never,
) -> Run:
    """Goes on with a run of the profile's folder of runs, from its last checkpoint.

    The result has every bit of that of a run that was never interrupted. `run` is its id, the
    beginning of its id, its name, or `last`. `changes` may raise `sgd.epochs`
    (`{"sgd.epochs": 100}`); a run that diverged goes on after its best epoch where they change
    what else `sgd` says. `force` goes on although the spec, the data, the engine or the numeric
    environment differ from those of the run, and records what did. Of the profile the engine is
    not asked for: it is the run's.

    Raises `UsageError` for a run that is not there or has nothing left to do,
    `CheckpointError` where another process holds it, its files are damaged, or something
    differs; and what `train` raises.
    """
    began = time.monotonic()
    path = find_folder(profile.runs or Path("runs"), run)
    folder, recorder = RunFolder(path), None
    try:
        facts = read_facts(path)
        if facts.kind != "train":
            raise UsageError(
                f"the run {path.name[:8]} ({facts.kind}) cannot be gone on with", code="TR-R007"
            )
        if profile.recorded:
            store = address_again(profile.store, facts.store)
            recorder = open_recorder(replace(profile, store=store))
        kept, job = restored(folder, facts, profile, listen, changes=changes, force=force)
    except BaseException:
        if recorder is not None:
            recorder.cancel()
        folder.release()
        raise
    if recorder is not None:
        kept.recorder = recorder.follow(path, kept.facts.attempt)
    return Attempt(job, listen, stop, kept, began).carry_out()


def restored(
    folder: RunFolder,
    facts: Facts,
    profile: Profile,
    listen: Listener,
    *,
    changes: Changes = (),
    force: bool = False,
    prepare: Prepare = prepare,
    attempt: int | None = None,
) -> tuple[Kept, Job]:
    """The job where it was, and the run's folder with what is known at this start; `attempt` is the
    number of this one, by default the next. Raises what `resume` raises.
    """
    path = folder.path
    spec = spec_of(facts)
    prepared = prepare(spec.changed(changes) if changes else spec, listen)
    spec, dataset, model = prepared.spec, prepared.dataset, prepared.model
    engine: Any = facts.engine
    job = make_job(spec, dataset, model, engine, profile.threads, initial=_initial(path, facts))
    events, size = folder.restore(job, lambda text: listen(Warned(text)))
    compile_kernels(job)
    environment = numeric_environment(job.engine.name)
    differences = _differences(facts, spec, dataset, environment)
    back = _diverged_late(path, job) and any(name.startswith(TRAINED_BY) for name in differences)
    if back:
        events, size = folder.go_back(job)
    _check(path, facts, job, differences, force, back)
    check_room(path, job)
    now = replace(
        facts,
        attempt=attempt or facts.attempt + 1,
        spec=spec.resolved(),
        spec_sha256=spec.sha256,
        data=data_facts(dataset),
        environment=environment,
        description=describe_run(job),
        charts=job.charts,
        record=facts.record or profile.recorded,
        tags={**facts.tags, **_tags(differences, job)},
    )  # fmt: skip
    folder.reopen()  # before anything of it is written anew
    if differences or not folder.keeps(facts.files):
        leave_start(folder, job, prepared.describe(), facts.origin["git"])
    folder.begin(now, size)
    every = Every.parse(profile.save_every)
    return Kept(folder, now, every, offline_ok=profile.offline_ok, past=events, size=size), job


def spec_of(facts: Facts) -> Spec:
    """The resolved spec of a run; its data are found as `spec_place` says."""
    here = spec_place(facts.spec_file, facts.origin["source"])
    return Spec.from_resolved(facts.spec, file=here, text=facts.spec_text)


def _initial(path: Path, facts: Facts) -> dict[str, Array]:
    """The values that the run began with. Raises `CheckpointError`."""
    data = read_sealed(path, INITIAL, facts.files)
    if data is None:
        raise damaged(path / INITIAL, "the run does not name its hash")
    return read_arrays(path / INITIAL, data)


def _differences(
    facts: Facts, spec: Spec, dataset: Dataset, environment: Mapping[str, str]
) -> Differences:
    """What decides the numbers and is not as it was, by name: old and new."""
    old = {
        **read_all(flatten(facts.spec)),
        "data_sha256": facts.data["sha256"],
        **facts.environment,
    }
    new = {**read_all(flatten(spec.resolved())), "data_sha256": dataset.sha256, **environment}
    return changed_facts(old, new)


def changed_facts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Differences:
    """What is not the same in both, by name: old and new."""
    return {
        name: (str(old.get(name)), str(new.get(name)))
        for name in {**old, **new}
        if old.get(name) != new.get(name) and decides_numbers(name)
    }


def _diverged_late(path: Path, job: Job) -> bool:
    """Whether the run diverged after it was good."""
    outcome = read_outcome(path)
    return outcome is not None and outcome.status == "DIVERGED" and job.progress.best.learned


def _check(
    path: Path, facts: Facts, job: Job, differences: Differences, force: bool, back: bool
) -> None:
    """Raises where the run cannot or need not go on. One that goes `back` to its best epoch is
    another training from there, and may be trained otherwise.
    """
    lines = [f"  {name}: {old} → {new}" for name, (old, new) in differences.items()
             if name != EXTENDED and not (back and name.startswith(TRAINED_BY))]  # fmt: skip
    if lines and not force:
        raise OtherBitsError("\n".join([
            f"the run {path.name[:8]} cannot go on to the bit, since this differs:", *lines,
            "  hint: --force goes on all the same, and records it",
        ]))  # fmt: skip
    before, epochs = int(facts.spec["sgd"]["epochs"]), job.spec.sgd.epochs
    whole = job.progress.epoch - 1
    if epochs < whole or (epochs == whole and job.progress.done):
        more = "more than " if job.progress.done else ""
        trained = f"has trained for {more}{whole} epochs, not {epochs}"
        raise UsageError(f"the run {path.name[:8]} {trained}", code="TR-R007")
    if epochs != before and not back:
        _check_rates(path, facts, job, whole)
    outcome = read_outcome(path)
    if job.ended and outcome is not None and outcome.status == "FINISHED":
        hint = f"train it for longer with --set sgd.epochs={2 * epochs}"
        if whole < epochs:  # more epochs would not help
            hint = f"it stopped early, after {whole} epochs: sgd.early_stopping says when"
        raise UsageError(f"the run {path.name[:8]} is finished\n  hint: {hint}", code="TR-R007")


def _check_rates(path: Path, facts: Facts, job: Job, whole: int) -> None:
    """Raises where a run of more epochs would have taken other steps until here."""
    before = replace(job.rates, sgd=SGDSpec.model_validate(facts.spec["sgd"]))
    steps = max(job.progress.step, 1)
    old, new = before.at(1, steps), job.rates.at(1, steps)
    if any((old[name] != new[name]).any() for name in old):
        raise UsageError(
            f"the run {path.name[:8]} cannot be made longer: its schedule goes by the number of "
            f"epochs, and with {job.spec.sgd.epochs} its first {whole} would have been others\n"
            "  hint: start a new run, from its parameters if you like: model.init_from",
            code="TR-R008",
        )


def _tags(differences: Differences, job: Job) -> dict[str, str]:
    """What MLflow is told of going on."""
    tags = {"trainer.resumed_at_step": str(job.progress.step)}
    changed = "; ".join(f"{name}: {old} → {new}" for name, (old, new) in differences.items())
    if any(name != EXTENDED for name in differences):
        tags[OTHERWISE_TAG] = "true"
    return tags | ({"trainer.changed": changed[:5000]} if changed else {})
