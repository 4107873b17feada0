"""One run's folder on its way to the store: what the store has not yet is told to it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from trainer.checkpoints.disk import TEMPORARY, check_sealed, is_regular
from trainer.checkpoints.facts import (
    FACTS,
    OUTCOME,
    RECORDED,
    WINNER_TAG,
    Facts,
    Outcome,
    Recorded,
    read_facts,
    read_outcome,
    recorded_of,
    write_json,
)
from trainer.checkpoints.folder import FILES, JOURNAL, LOCK, MODEL, is_held
from trainer.checkpoints.journal import Follower
from trainer.errors import CheckpointError, TrackingError, TrainerError
from trainer.tracking.client import answers_of, no_collection
from trainer.tracking.model import RegisteredName, log_model, register
from trainer.tracking.opening import (
    DESCRIPTION,
    FILES_TAG,
    RUN_TAG,
    files_tag,
    find_experiment,
    join_run,
    make_run,
    open_client,
    record_start,
)
from trainer.tracking.points import Points
from trainer.tracking.store import Store, check_store
from trainer.tracking.sweeps import facts_of_winner, link_model, record_winner, show_keys
from trainer.training.events import Ended
from trainer.training.result import Status

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE_SECONDS: Final = 5.0  # with a store that refuses, once the run has ended
PAUSE_SECONDS: Final = 1.0
SCRATCH: Final = ".sending"  # a folder beside what the run leaves
SHARE: Final = 0.05  # of a core, while the run trains
STATUS: Final[dict[Status, str]] = {
    "FINISHED": "FINISHED",
    "PAUSED": "SCHEDULED",  # it may go on; the tag trainer.paused says after which epoch
    "KILLED": "KILLED",
    "DIVERGED": "FAILED",  # MLflow has no word for it; the tag trainer.diverged says it
    "FAILED": "FAILED",
}


class Recording:
    """Follows one attempt at a run, from its first moment to the end of what it leaves.

    `step` does what can be done now and says whether all is done. While the run trains it takes
    no more than a twentieth of a core, and a store that fails is asked again later; what went
    wrong stands in `recorded.json`. Every step can be repeated, by this process or by another.
    """

    def __init__(self, folder: Path, store: Store, joins: str | None = None) -> None:
        """`joins` is the id of an MLflow run that is there for this one. Raises
        `CheckpointError`.
        """
        self.folder, self._store = folder, store
        self._joins = joins
        self.facts = read_facts(folder)
        self._moment = (folder / FACTS).stat().st_mtime_ns
        self._follower = Follower(folder / JOURNAL)
        self._ended: Ended | None = None
        self._client: MlflowClient | None = None
        self._points: Points
        self._not_before = 0.0
        self._uploaded: set[tuple[Path, int]] = set()
        self._told = self._checked = False
        self._outcome: Outcome | None = None
        self._noted: Recorded | None = None  # what recorded.json says
        before = recorded_of(folder)  # where it is damaged, the store is asked
        if before is None or before.store != store.shown:
            before = Recorded(store.shown, self.facts.attempt)
        self._state = replace(
            before, attempt=self.facts.attempt, whole=False, problem=None, model_id=None
        )

    @property
    def is_whole(self) -> bool:
        """Whether the store has all of the run."""
        return self._state.whole

    def step(self) -> bool:
        """Does a little; whether nothing is left to do. Raises nothing that a store can cause."""
        if self._is_over():
            return True
        alive = is_held(self.folder / LOCK)
        if alive and time.monotonic() < self._not_before:
            return False
        began = time.thread_time()
        self._read()
        try:
            with answers_of(self._store), no_collection():
                done = self._tell(alive)
            self._note(problem=None)
        except TrainerError as error:  # of the store, or of the folder's disk
            with suppress(CheckpointError):
                self._note(problem=str(error))
            done = False
        if self._state.problem or not self._told:
            spent = time.thread_time() - began
            self._not_before = time.monotonic() + max(PAUSE_SECONDS, spent / SHARE)
        return done

    def give_up(self) -> None:
        """Says in the store that the run is not whole there, if the store still answers."""
        with suppress(Exception):
            if self._state.run_id:
                check_store(self._store)
                client = self._client or open_client(self._store)
                client.set_terminated(self._state.run_id, "FAILED")

    @property
    def waits_for_store(self) -> bool:
        """Whether the run has ended, and the store alone is in the way."""
        return self._state.problem is not None and not is_held(self.folder / LOCK)

    # Reading the folder --------------------------------------------------------------------

    def _is_over(self) -> bool:
        """Whether another attempt began, which has a recorder of its own, or the folder is gone."""
        try:
            now = (self.folder / FACTS).stat().st_mtime_ns
            return now != self._moment and read_facts(self.folder).attempt != self.facts.attempt
        except OSError:
            return True
        except TrainerError:
            return False

    def _read(self) -> None:
        """Takes what is new in the journal; nothing of what another attempt wrote there."""
        if self._client is None:
            return
        with suppress(FileNotFoundError):
            while events := self._follower.news():
                if self._is_over():
                    return
                for event in events:
                    self._points.add(event)
                    # the end of an earlier attempt is none, once steps follow it
                    self._ended = event if isinstance(event, Ended) else None

    # Telling the store ---------------------------------------------------------------------

    def _tell(self, alive: bool) -> bool:
        if self._client is None:
            self._open()
            self._read()
        client, run_id = self._client, self._state.run_id
        assert client is not None
        assert run_id is not None
        outcome = read_outcome(self.folder)
        if outcome is None and alive:
            self._points.send(client, run_id)
            return False
        if outcome is None:
            outcome = _killed(self.facts)
            client.set_terminated(run_id, outcome.status)  # at once: the rest may take a while
        self._outcome = outcome
        self._read()
        self._points.end(self._ended, outcome)
        while self._points.unsent:
            self._points.send(client, run_id)
        if not self._told:
            self._tell_outcome(client, run_id, outcome)
            self._told = True
        self._upload(client, run_id)
        if is_held(self.folder / LOCK):  # it still makes pictures
            return False
        self._upload(client, run_id)
        client.set_terminated(run_id, STATUS[outcome.status], end_time=self._ended_at(outcome))
        self._note(whole=True)
        return True

    def _open(self) -> None:
        """Makes or finds the run, and records what was known at its start."""
        check_store(self._store)
        client = open_client(self._store)
        joined = self._state.run_id or self._joins
        experiment = find_experiment(client, self._store, self.facts) if not joined else None
        if joined is None and (self.folder / RECORDED).exists():
            assert experiment is not None
            joined = _asked_for(client, experiment.experiment_id, self.folder.name)
        if joined is None:
            assert experiment is not None
            self._note()
            run = make_run(client, experiment, self.facts)
        else:
            run = join_run(client, joined, self.facts)
        name = client.get_experiment(run.info.experiment_id).name
        self._note(run_id=run.info.run_id, experiment=name)
        known, latest = {}, 0
        for metric in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, metric)
            points = sorted(history, key=lambda point: point.timestamp)
            known.update({(metric, point.step): point.value for point in points})
            latest = max([latest, *(point.timestamp for point in points)])
        record_start(client, run, self.facts, self._parent())
        if self.facts.kind == "sweep":
            show_keys(client, run, self.facts)
        self._upload(client, run.info.run_id)
        self._points = Points(self.facts, known, latest)
        self._follower = Follower(self.folder / JOURNAL)
        self._client = client

    def _parent(self) -> str | None:
        """The id in MLflow of the run that this one belongs to."""
        if self.facts.parent is None:
            return None
        recorded = recorded_of(self.folder.parent / self.facts.parent)
        if recorded is None or recorded.run_id is None:
            problem = recorded and recorded.problem
            raise TrackingError(
                problem or "the run that it belongs to is not recorded yet", code="TR-T009"
            )
        return recorded.run_id

    def _tell_outcome(self, client: MlflowClient, run_id: str, outcome: Outcome) -> None:
        """Tags, description and model."""
        from mlflow.entities import RunTag

        tags = {**outcome.tags, FILES_TAG: files_tag({**self.facts.files, **outcome.files})}
        if outcome.parameters_sha256 is not None:
            tags["trainer.parameters_sha256"] = outcome.parameters_sha256
        if outcome.description:
            tags[DESCRIPTION] = "\n".join(outcome.description)
        named = [RunTag(key, value) for key, value in tags.items()]
        client.log_batch(run_id, tags=named, synchronous=True)
        winner = outcome.tags.get(WINNER_TAG)
        facts = self.facts if winner is None else facts_of_winner(self.folder, self.facts, winner)
        if winner is not None:
            record_winner(client, run_id, facts)
        if not (self.folder / MODEL).is_dir():
            return
        with _scratch(self.folder / SCRATCH) as scratch:
            model_id = log_model(client, run_id, facts, self.folder / MODEL, scratch)
        if winner is not None:
            link_model(client, self.folder.parent / winner, model_id, self.folder / MODEL)
        if self.facts.register is not None and outcome.status == "FINISHED":
            register(client, RegisteredName.parse(self.facts.register), model_id, run_id)
        self._note(model_id=model_id)

    def _ended_at(self, outcome: Outcome) -> int:
        """When the training ended, in milliseconds since 1970; not before it can have ended, as a
        clock that was set back would say.
        """
        moment = time.time()
        with suppress(OSError):
            moment = (self.folder / OUTCOME).lstat().st_mtime
        return int(max(moment, self.facts.began + outcome.seconds) * 1000)

    def _upload(self, client: MlflowClient, run_id: str) -> None:
        """Stores the files that are new. Raises `CheckpointError` for one that was changed."""
        if not self._checked and self._outcome is not None:
            check_sealed(self.folder, {**self.facts.files, **self._outcome.files})
            self._checked = True
        files = self.folder / FILES
        for path in sorted(files.rglob("*")):
            if is_regular(path) and not path.name.startswith(TEMPORARY):
                known = path, path.lstat().st_mtime_ns
                if known not in self._uploaded:
                    parent = path.parent.relative_to(files).as_posix()
                    client.log_artifact(run_id, str(path), None if parent == "." else parent)
                    self._uploaded.add(known)

    def _note(self, **changes: object) -> None:
        """Keeps what the recorder knows, where that is new."""
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]  # fields by name
        if self._state != self._noted:
            write_json(self.folder, RECORDED, self._state)
            self._noted = self._state


def _killed(facts: Facts) -> Outcome:
    """The end of a run whose process is gone and said nothing."""
    told = f"- Result: killed; go on with `train resume {facts.id[:8]}`"
    first, blank, *rest = facts.description or ["", ""]
    return Outcome("KILLED", 0, 0, "", {}, description=[first, blank, told, *rest])


def _asked_for(client: MlflowClient, experiment: str, name: str) -> str | None:
    """The run that an earlier recorder asked the store to make, if the store made it."""
    found = client.search_runs([experiment], f"tags.`{RUN_TAG}` = '{name}'", max_results=1)
    return str(found[0].info.run_id) if found else None


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """An empty folder for files on their way to the store; a recorder that was killed left one."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
