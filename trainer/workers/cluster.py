"""A worker that is somewhere in a Dask cluster, and shares no disk with this machine.

A task goes there in slices of some seconds, each with what the worker lacks; what a slice brings
back is written into the folder of the run here. So a worker that is gone has taken a slice with it.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from concurrent.futures import CancelledError, Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from trainer.checkpoints.facts import FACTS, read_facts
from trainer.checkpoints.folder import RunFolder
from trainer.errors import SpecError, UsageError
from trainer.extras import install
from trainer.runs.known import remember
from trainer.spec.schema import Spec
from trainer.workers.files import Needed, Source
from trainer.workers.pieces import Piece, Written, pack, unpack
from trainer.workers.reached import as_far_as
from trainer.workers.remote import Lacking, Parcel, Slice, train_slice
from trainer.workers.remote import stop as stop_there
from trainer.workers.shelf import Shelf
from trainer.workers.task import Answer, Task
from trainer.workers.train import PATIENCE_SECONDS, attempted, known_answer

SLICE_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 10
TRIES: Final = 3
LOOK_SECONDS: Final = 5.0
"""So often the scheduler is asked whether it still has a slice."""
UNKNOWN_LOOKS: Final = 2
NO_WORKER: Final = "no-worker"
"""What Dask's scheduler says of a task that no worker may take."""
UNKNOWN: Final = "unknown"
"""The state of a folder of which no worker has told."""


@dataclass
class Cluster:
    """A Dask cluster, as far as all of its workers share it here."""

    client: Any
    runs: Path
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    source: Source = field(default_factory=Source)
    shelf: Shelf = field(default_factory=Shelf)
    states: dict[str, str] = field(default_factory=dict)
    stopped: bool = False

    @classmethod
    def open(cls, address: str, runs: Path) -> Cluster:
        """The cluster whose scheduler has this address. Raises `UsageError`."""
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError(
                f"a cluster needs a package that is not installed ({error})\n"
                f"  hint: {install('dask')}",
                code="TR-E002",
            ) from None
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(
                f"no Dask scheduler answers at {address}: {error}\n"
                "  hint: start one with: dask scheduler; and workers with: dask worker ADDRESS",
                code="TR-W012",
            ) from None
        return cls(client, runs)

    def workers(self, count: int | None) -> list[ClusterWorker]:
        """So many, by default one for each thread that the cluster has now."""
        threads = [
            address
            for address, about in self.client.scheduler_info(n_workers=-1)["workers"].items()
            for _ in range(about["nthreads"])
        ] or [None]
        count = count or len(threads)
        return [ClusterWorker(self, threads[i % len(threads)], i == 0) for i in range(count)]

    def state(self, key: str) -> str | None:
        """The scheduler's word for where the task of this key is; None where it has none: one that
        was started anew has not, and tells nobody who waits for it.
        """
        ask = self.client.scheduler.get_task_status
        try:
            found = self.client.sync(ask, keys=[key], callback_timeout=CONNECT_SECONDS)
        except Exception:  # Dask's, of a scheduler that is gone
            return None
        state: str | None = found.get(key)
        return state

    def stop(self) -> None:
        """Has all slices end soon, and begins no more."""
        self.stopped = True
        self.client.run(stop_there, self.name, on_error="ignore")


class ClusterWorker:
    """One place of a cluster, which trains a task at a time: on a worker of its own, or where that
    is gone on any other.
    """

    def __init__(self, cluster: Cluster, address: str | None, closes: bool) -> None:
        self._cluster, self._closes = cluster, closes
        place = {"workers": [address], "allow_other_workers": True} if address else {}
        self._executor: Executor = cluster.client.get_executor(pure=False, **place)
        self._placed = bool(place)

    def answer(self, task: Task) -> Answer:
        """What the cluster answers. A slice that is lost is trained again, from where the folder
        here is; where three are lost in a row the task has failed.
        """
        return attempted(task, lambda: self._answer(task))

    def close(self) -> None:
        """Lets go of the cluster."""
        if self._closes:
            self._cluster.client.close()

    def _answer(self, task: Task) -> Answer:
        spec = Spec.from_resolved(task.spec, file=task.file)
        _check_start(spec)
        folder = RunFolder(self._cluster.runs / task.id, PATIENCE_SECONDS)
        try:
            if (folder.path / FACTS).exists():
                reached = as_far_as(folder.path, task)
            else:
                folder.clear()
                reached = known_answer(task, folder, self._cluster.shelf)
            return reached or self._trained(task, folder, self._cluster.source.needed(spec))
        finally:
            folder.release()
            if not (folder.path / FACTS).exists():
                shutil.rmtree(folder.path, ignore_errors=True)

    def _trained(self, task: Task, folder: RunFolder, needed: Needed) -> Answer:
        """The answer after as many slices as it takes."""
        cluster = self._cluster
        answer = Answer(task.id, "KILLED")
        seconds, first = 0.0, True
        while answer.status == "KILLED" and not cluster.stopped:
            found = self._slice(task, folder.path, needed, first)
            if found is None:
                reason = f"its worker was lost {TRIES} times, or the cluster is gone"
                return replace(answer, status="FAILED", reason=reason, fault="machine")
            unpack(folder, found.piece)
            cluster.states[task.id] = found.token
            seconds, first = seconds + found.answer.seconds, False
            answer = replace(found.answer, seconds=seconds)
        if answer.status == "FINISHED":
            remember(folder.path, read_facts(folder.path))
        return answer

    def _slice(self, task: Task, path: Path, needed: Needed, first: bool) -> Slice | None:
        """What comes out of the next slice; None where it was lost again and again."""
        cluster, lost = self._cluster, 0
        contents: Mapping[str, bytes] = {}
        folder: Piece | None = None
        begins = not (path / FACTS).exists()
        while lost < TRIES:
            parcel = Parcel(
                _sent(task), {**cluster.shelf.origin_of(task.file), "source": task.file}, needed,
                cluster.name, SLICE_SECONDS, first,
                "" if begins else cluster.states.get(task.id, UNKNOWN), contents, folder,
            )  # fmt: skip
            try:
                found = self._awaited(parcel)
            except (Exception, CancelledError):  # Dask's, of a worker or a scheduler that is gone
                lost, contents, folder = lost + 1, {}, None
                continue
            if isinstance(found, Slice):
                return found
            assert isinstance(found, Lacking)
            contents = cluster.source.contents(found.files)
            folder = pack(path, Written()) if found.folder else None
        return None

    def _awaited(self, parcel: Parcel) -> Slice | Lacking:
        """What comes of a parcel. Raises what the cluster raises, and `CancelledError` where its
        scheduler knows nothing of it any more.
        """
        key, unknown = f"slice-{secrets.token_hex(8)}", 0
        future = self._executor.submit(train_slice, parcel, key=key)  # type: ignore[call-arg]  # Dask's executor takes what its client takes
        while unknown < UNKNOWN_LOOKS:
            try:
                return future.result(LOOK_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
            state = self._cluster.state(key)
            unknown = 0 if state else unknown + 1
            if state == NO_WORKER and self._placed:
                break
        future.cancel()
        if unknown < UNKNOWN_LOOKS:  # where a worker was named that is gone, Dask asks no later one
            self._executor, self._placed = self._cluster.client.get_executor(pure=False), False
            return self._awaited(parcel)
        raise CancelledError


def _sent(task: Task) -> Task:
    """The task as a worker elsewhere is to have it."""
    file = task.file and str(Path(task.file).absolute())
    return replace(task, file=file, again=True)  # what is known is known here


def _check_start(spec: Spec) -> None:
    """Raises `SpecError` where the run begins with the parameters of another one, which the workers
    of a cluster have not.
    """
    start = spec.model.init_from
    if start is not None and start.file is None:
        message = "the workers of a cluster do not have the runs of this machine"
        hint = f"train export {start.run} --to safetensors, and name the file: {{file: …}}"
        raise SpecError(spec.problem(("model", "init_from"), message, hint, code="TR-W013"))
