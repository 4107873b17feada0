"""Going on with a run that was killed, failed, or is to train for more epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer.checkpoints.environment import numeric_environment
from trainer.checkpoints.keeper import (
    FINISHED,
    UNSENT,
    Every,
    RunFolder,
    check_room,
    load_progress,
    read_facts,
)
from trainer.cli.signals import signals_caught
from trainer.data import Reading, silent
from trainer.errors import (
    CheckpointError,
    DivergedError,
    InterruptedRun,
    UsageError,
)
from trainer.runs.train import (
    CHECKPOINT_EVERY,
    CHECKPOINTS,
    Callbacks,
    Listener,
    Recording,
    Running,
    follow,
    prepare,
    warn_by_default,
)  # fmt: skip
from trainer.spec import read_spec
from trainer.spec.emit import to_yaml
from trainer.spec.schema import Spec
from trainer.spec.sgd import SGDSpec
from trainer.tracking.describe import flatten
from trainer.tracking.store import resolve_store
from trainer.training import Ended, Event, Job
from trainer.training.result import Run

EXTENDED = "sgd/epochs"


def resume(
    run: str,
    *,
    changes: Iterable[str] = (),
    force: bool = False,
    threads: int | None = None,
    checkpoint_every: str = CHECKPOINT_EVERY,
    offline_ok: bool = False,
    listeners: Sequence[Listener] = (),
    on_start: Callable[[Job], None] | None = None,
    warn: Callable[[str], None] = warn_by_default,
    on_reading: Reading = silent,
) -> Run:
    """Goes on with a run of runs/checkpoints, in the same MLflow run, from its last checkpoint.

    The result has every bit of that of a run that was never interrupted. `run` is its id, the
    beginning of its id, its name, or `last`. `changes` may raise `sgd.epochs`
    (`sgd.epochs=100`). `force` goes on although the spec, the data, the engine or the numeric
    environment differ from those of the run, and records what did. With `offline_ok` a store
    that cannot be used does not matter: `train sync` sends the run later.

    Raises `UsageError` for a run that is not there or has nothing left to do,
    `CheckpointError` where another process holds it, its files are damaged, or something
    differs; and what `train` raises.
    """
    calls = Callbacks(listeners, on_start, warn, on_reading)
    return _go_on(run, tuple(changes), force, threads, checkpoint_every, calls, offline_ok)


def send(run: str, *, warn: Callable[[str], None] = warn_by_default) -> Run:
    """Sends what the store did not take of a run, and trains nothing.

    Returns what was sent. Raises what `resume` raises; that the run was interrupted or diverged
    is no error here.
    """
    try:
        return _go_on(run, (), False, None, CHECKPOINT_EVERY, Callbacks(warn=warn), train=False)
    except (InterruptedRun, DivergedError) as error:
        if error.run is None:
            raise
        return error.run


def _go_on(
    run: str,
    changes: Sequence[str],
    force: bool,
    threads: int | None,
    checkpoint_every: str,
    calls: Callbacks,
    offline_ok: bool = False,
    train: bool = True,
) -> Run:
    began, warn = time.monotonic(), calls.warn
    every = Every.parse(checkpoint_every)
    path = find_run(run)
    folder = RunFolder(path)
    try:
        facts = read_facts(path)
        spec = _spec(facts, changes)
        with signals_caught() as interrupt:
            store = resolve_store(facts["tracking_uri"])
            job, summary = prepare(
                spec, facts["engine"], threads, store, not offline_ok, calls.on_reading
            )
            events, size = folder.restore(job, warn)
            differences = _differences(facts, job)
            _check(path, facts, job, events, differences, force)
            check_room(path, job)
            tracker, keeper = Recording(
                store, facts["name"], every, offline_ok, warn, facts["run_id"], folder, size,
                _tags(differences, job),
            ).begin(job, summary)  # fmt: skip
            running = Running(job, began, interrupt, calls, store, tracker, keeper, events)
            if not train:
                running.ended = _last_end(path)
            return follow(running)
    finally:
        folder.release()


def _last_end(path: Path) -> Ended:
    """How the run ended when it was last trained. Raises `CheckpointError` if it did not."""
    _, events = load_progress(path, lambda _: None)
    ends = [event for event in events if isinstance(event, Ended)]
    if not ends:
        short = path.name[:8]
        raise CheckpointError(f"the end of the run {short} is lost; train resume {short} finds it")
    return ends[-1]


def find_run(reference: str) -> Path:
    """The folder of the run with this name, id or beginning of an id; `last` is the latest.

    Raises `UsageError` where there is none, or where several begin like this.
    """
    folders = [path.parent for path in CHECKPOINTS.glob("*/run.json")]
    folders.sort(key=lambda path: (path / "run.json").stat().st_mtime_ns)
    if not folders:
        raise UsageError(f"there is no run in {CHECKPOINTS}")
    if reference == "last":
        return folders[-1]
    found = [path for path in folders if _name(path) == reference]
    if not found:
        found = [path for path in folders if path.name.startswith(reference)]
    if not found:
        names = ", ".join(f"{path.name[:8]} ({_name(path)})" for path in folders[-5:])
        raise UsageError(f"there is no run '{reference}' in {CHECKPOINTS}\n  the latest: {names}")
    if len(found) > 1:
        names = ", ".join(path.name for path in found[-5:])
        raise UsageError(f"'{reference}' may be any of {len(found)} runs: {names}")
    return found[0]


def unsent_runs() -> list[str]:
    """The ids of the runs that their store did not take whole, the oldest first."""
    marks = sorted(CHECKPOINTS.glob(f"*/{UNSENT}"), key=lambda path: path.stat().st_mtime_ns)
    return [mark.parent.name for mark in marks]


def _name(path: Path) -> str:
    try:
        return str(read_facts(path).get("name"))
    except CheckpointError:
        return "?"


def _spec(facts: Mapping[str, Any], changes: Iterable[str]) -> Spec:
    """The resolved spec of the run, with the changes; its data are found where they were."""
    file = facts["spec_file"]
    spec = read_spec(to_yaml(facts["spec"]), file or "spec", list(changes))
    spec._text, spec._file = facts["spec_text"], file
    return spec


def _differences(facts: Mapping[str, Any], job: Job) -> dict[str, tuple[str, str]]:
    """What is not as it was, by name: old and new."""
    old: dict[str, Any] = {
        **flatten(facts["spec"]),
        "data_sha256": facts["data_sha256"],
        "engine": facts["engine"],
        **facts["environment"],
    }
    new: dict[str, Any] = {
        **flatten(job.spec.resolved()),
        "data_sha256": job.dataset.sha256,
        "engine": job.engine.name,
        **numeric_environment(),
    }
    return {
        name: (str(old.get(name)), str(new.get(name)))
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    }


def _check(
    path: Path,
    facts: Mapping[str, Any],
    job: Job,
    events: Sequence[Event],
    differences: Mapping[str, tuple[str, str]],
    force: bool,
) -> None:
    """Raises where the run cannot or need not go on."""
    lines = [f"  {name}: {old} → {new}" for name, (old, new) in differences.items()
             if name != EXTENDED]  # fmt: skip
    if lines and not force:
        raise CheckpointError("\n".join([
            f"the run {path.name[:8]} cannot go on to the bit, since this differs:", *lines,
            "  hint: --force goes on all the same, and records it",
        ]))  # fmt: skip
    before, epochs = int(facts["spec"]["sgd"]["epochs"]), job.spec.sgd.epochs
    whole = job.progress.epoch - 1
    if epochs < whole or (epochs == whole and job.progress.done):
        more = "more than " if job.progress.done else ""
        trained = f"has trained for {more}{whole} epochs, not {epochs}"
        raise UsageError(f"the run {path.name[:8]} {trained}")
    if epochs != before:
        _check_rates(path, facts, job, whole)
    sent = not (path / UNSENT).exists()
    if job.ended and sent and (path / FINISHED).exists():
        hint = f"train it for longer with --set sgd.epochs={2 * epochs}"
        if whole < epochs:  # more epochs would not help
            hint = f"it stopped early, after {whole} epochs: sgd.early_stopping says when"
        raise UsageError(f"the run {path.name[:8]} is finished\n  hint: {hint}")


def _check_rates(path: Path, facts: Mapping[str, Any], job: Job, whole: int) -> None:
    """Raises where a run of more epochs would have taken other steps until here."""
    before = replace(job.rates, sgd=SGDSpec.model_validate(facts["spec"]["sgd"]))
    steps = max(job.progress.step, 1)
    old, new = before.at(1, steps), job.rates.at(1, steps)
    if any((old[name] != new[name]).any() for name in old):
        raise UsageError(
            f"the run {path.name[:8]} cannot be made longer: its schedule goes by the number of "
            f"epochs, and with {job.spec.sgd.epochs} its first {whole} would have been others\n"
            "  hint: start a new run, from its parameters if you like: model.init_from"
        )


def _tags(differences: Mapping[str, tuple[str, str]], job: Job) -> dict[str, str]:
    """What MLflow is told of going on."""
    tags = {"trainer.resumed_at_step": str(job.progress.step)}
    changed = "; ".join(f"{name}: {old} → {new}" for name, (old, new) in differences.items())
    return tags | ({"trainer.changed": changed[:5000]} if changed else {})
