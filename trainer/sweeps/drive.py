"""Sweeps: what the command `train sweep` calls, and going on with one that was stopped."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from trainer.checkpoints.environment import numeric_environment
from trainer.checkpoints.facts import Facts, Outcome, read_facts, read_outcome
from trainer.checkpoints.folder import find_folder, folders
from trainer.engine import choose_engine
from trainer.errors import (
    CheckpointError,
    OtherBitsError,
    UsageError,
)
from trainer.report.recorded import OBJECTIVE_TAG
from trainer.runs.facts import facts_of, spec_place
from trainer.runs.profile import DEFAULT, Profile
from trainer.runs.use import promote as promote_run
from trainer.sweeps.carrying import (
    Sweeping,
    engine_of,
    hears_nothing,
    placed,
    spent_seconds,
)
from trainer.sweeps.checking import check_trials
from trainer.sweeps.declaration import SweepSpec
from trainer.sweeps.describe import objective_tag
from trainer.sweeps.log import read_log
from trainer.sweeps.standing import Sweep, SweepListener
from trainer.sweeps.trials import Trials
from trainer.sweeps.unfinished import DATA_TAG
from trainer.sweeps.view import View, course_of
from trainer.tracking.model import RegisteredName
from trainer.tracking.store import address_again
from trainer.training import Stop, never
from trainer.workers.shelf import Shelf

KIND: Final = "sweep"


def sweep(
    spec: SweepSpec,
    *,
    profile: Profile = DEFAULT,
    listen: SweepListener = hears_nothing,
    stop: Stop = never,
    again: bool = False,
    resume: bool = False,
    promote: str | None = None,
    id: str | None = None,  # noqa: A002 (it is that of the run)
) -> Sweep:
    """Tries the spec's settings and returns what was found.

    All trials, results and promotions and the winner are the same for any number of workers,
    however often the sweep is stopped and gone on with (unless it decides by arrival, or a budget
    of time ends it). `profile` says where and how: `workers` processes, or those of a `cluster`.
    `listen` hears how far it is, and `stop` is asked whether to pause. A sweep of the same
    declaration, data and engine that came to its end in this folder of runs is found, not repeated;
    one that did not is gone on with where `resume` says so. `again` begins anew, and trains also
    what was trained before. `promote` (`NAME`, `NAME@alias`) registers the winner's model. Who
    carries out sweeps by themselves gives the `id` of the run: then it is no earlier one of the
    same declaration, though trials that were trained before are found.

    Raises `SpecError` and `DataError` with all that is wrong before anything trains, `UsageError`
    where an earlier one is not finished, `CheckpointError` where another process carries it out;
    `InterruptedRun` where it was stopped, `DivergedError` where no trial came to a good end,
    `MachineError` where one cannot be trained for a reason outside, and `TrackingError`.
    """
    if promote is not None:
        RegisteredName.parse(promote)
    began = time.monotonic()
    shelf = Shelf()
    facts = facts_of_sweep(spec, profile, shelf, promote)
    before = None
    if id is not None:
        facts = replace(facts, id=id)
    elif not again and profile.runs is not None:
        before = _earlier(profile.runs, facts)
    if before is not None:
        path, outcome = before
        if outcome is not None and outcome.status == "FINISHED":
            if promote is not None:
                promote_run(path.name, promote, profile=profile)
            return recall(path, profile)
        over = outcome is not None and outcome.status == "DIVERGED"
        if not resume and not over:
            raise UsageError(
                f"a sweep of this declaration and these data is not finished: {path.name[:8]}\n"
                f"  hint: --resume goes on with it, --again begins anew",
                code="TR-W008",
            )
        return resume_sweep(path.name, profile=profile, listen=listen, stop=stop, promote=promote)
    check_trials(spec, shelf)
    if profile.runs is not None:
        path = profile.runs / facts.id
        return Sweeping(spec, facts, path, profile, listen, stop, again, shelf, began).carry_out()
    with scratch_runs(profile) as elsewhere:
        path = (elsewhere.runs or Path()) / facts.id
        sweeping = Sweeping(
            spec, facts, path, elsewhere, listen, stop, True, shelf, began, kept=False
        )
        return replace(sweeping.carry_out(), folder=None)


def resume_sweep(
    sweep: str,
    *,
    profile: Profile = DEFAULT,
    listen: SweepListener = hears_nothing,
    stop: Stop = never,
    promote: str | None = None,
) -> Sweep:
    """Goes on with a sweep of the profile's folder of runs: its id, the beginning of its id, or its
    name. What comes out is what an untouched one gives. Of the profile the engine is not
    asked for: it is the sweep's.

    Raises `UsageError` for one that is not there or is finished, `CheckpointError` where another
    process carries it out, its files are damaged, or its data or this version's arithmetic are
    others; and what `sweep` raises.
    """
    began = time.monotonic()
    path = find_folder(profile.runs or Path("runs"), sweep)
    facts, outcome = read_facts(path), read_outcome(path)
    if facts.kind != KIND:
        raise UsageError(f"the run {path.name[:8]} ({facts.kind}) is no sweep", code="TR-W009")
    if outcome is not None and outcome.status == "FINISHED":
        raise UsageError(f"the sweep {path.name[:8]} is finished", code="TR-R007")
    spec, shelf = spec_of(facts), Shelf()
    store = address_again(profile.store, facts.store)
    profile = replace(profile, engine=engine_of(facts), store=store)
    now = facts_of_sweep(spec, profile, shelf)
    _check_same(path, facts, now)
    facts = replace(
        facts, attempt=facts.attempt + 1, record=facts.record or profile.recorded,
        register=promote or facts.register,
    )  # fmt: skip
    return Sweeping(spec, facts, path, profile, listen, stop, False, shelf, began).carry_out()


def spec_of(facts: Facts) -> SweepSpec:
    """The declaration of a sweep; its data are found as `spec_place` says."""
    here = spec_place(facts.spec_file, facts.origin["source"])
    return SweepSpec.from_resolved(facts.spec, file=here, text=facts.spec_text)


@contextmanager
def scratch_runs(profile: Profile) -> Iterator[Profile]:
    """The profile with a folder of runs that is gone afterwards, and nothing recorded."""
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        yield replace(profile, runs=Path(folder), record=False)


# Facts ------------------------------------------------------------------------------------------


def facts_of_sweep(
    spec: SweepSpec, profile: Profile, shelf: Shelf, promote: str | None = None
) -> Facts:
    """What is known of a sweep before it has a trial. Raises `SpecError` and `DataError`."""
    base = spec.base
    engine = choose_engine(profile.engine)
    data = shelf.prepare(base).dataset.sha256
    facts = facts_of(
        base, profile, KIND, name=spec.name, spec_sha256=spec.sha256, spec_text=spec.text,
        spec_file=str(Path(spec.file).resolve()) if spec.file else None, engine=engine,
        environment=numeric_environment(engine), register=promote,
        tags={DATA_TAG: data, OBJECTIVE_TAG: objective_tag(spec.objective.objective)},
    )  # fmt: skip
    return replace(facts, spec=spec.resolved())


def _check_same(path: Path, facts: Facts, now: Facts) -> None:
    """Raises where the trials to come would not be those of an untouched sweep."""
    old = {"data_sha256": facts.tags.get(DATA_TAG), **facts.environment}
    new = {"data_sha256": now.tags.get(DATA_TAG), **now.environment}
    lines = [f"  {n}: {old.get(n)} → {new.get(n)}" for n in old | new if old.get(n) != new.get(n)]
    if lines:
        text = f"the sweep {path.name[:8]} cannot go on to the bit, since this differs:"
        hint = "  hint: begin anew with --again; trials that are still the same are found"
        raise OtherBitsError("\n".join([text, *lines, hint]))


def _earlier(runs: Path, facts: Facts) -> tuple[Path, Outcome | None] | None:
    """The newest sweep of the same declaration, data and engine."""
    for path in reversed([*folders(runs)]):
        with suppress(CheckpointError):
            was = read_facts(path)
            if (
                was.kind == KIND
                and all(
                    getattr(was, name) == getattr(facts, name)
                    for name in ("name", "spec_sha256", "engine", "environment")
                )
                and was.tags.get(DATA_TAG) == facts.tags.get(DATA_TAG)
            ):
                return path, read_outcome(path)
    return None


def recall(path: Path, profile: Profile) -> Sweep:
    """The sweep in a folder, as far as its log tells of it. Raises `CheckpointError`."""
    facts, outcome = read_facts(path), read_outcome(path)
    spec = spec_of(facts)
    entries, digest = read_log(path)
    trials = Trials(spec, path.name, path.parent, profile, engine_of(facts))
    view = View(spec, trials, course_of(spec, entries))
    status, seconds = (
        (outcome.status, outcome.seconds) if outcome else ("KILLED", spent_seconds(path))
    )
    return placed(view.sweep(status, digest, seconds), path)
