"""Workers: what trains many runs at once, here or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Protocol

from trainer.machine import available_cores
from trainer.workers.task import Answer, Task


class Worker(Protocol):
    """Does one task at a time."""

    def answer(self, task: Task) -> Answer:
        """Trains the task's run, and says how far it is."""

    def close(self) -> None:
        """Lets go of what it holds, once it has answered."""


class Workers:
    """Several workers, and the tasks that wait for one: those that came first begin first.

    Leaving the context waits for the tasks that have begun; where an error leaves it they are
    asked to stop, and those that wait are cancelled.
    """

    def __init__(self, workers: Sequence[Worker], ask: Callable[[], None]) -> None:
        """`ask` tells all of the workers to save what they do, and to stop."""
        self.count: Final = len(workers)
        self._all, self._ask = [*workers], ask
        self._free: SimpleQueue[Worker] = SimpleQueue()
        for worker in workers:
            self._free.put(worker)
        self._threads = ThreadPoolExecutor(self.count, "worker")

    def submit(self, task: Task) -> Future[Answer]:
        """Has a task done as soon as a worker is free. The future raises nothing that a run can
        meet; see `Answer`.
        """
        return self._threads.submit(self._do, task)

    def _do(self, task: Task) -> Answer:
        worker = self._free.get()
        try:
            return worker.answer(task)
        finally:
            self._free.put(worker)

    def pause(self) -> None:
        """Has all tasks answer KILLED soon: those that have begun with a checkpoint, those that
        wait without having begun.
        """
        self._ask()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if error is not None:
            self._ask()
        self._threads.shutdown(cancel_futures=error is not None)
        with ThreadPoolExecutor(self.count, "end") as ends:  # side by side
            list(ends.map(lambda worker: worker.close(), self._all))


def open_workers(count: int | None, cluster: str | None, runs: Path) -> Workers:
    """So many workers, by default one a core, for runs whose folders are in `runs`.

    They are processes of this machine, or of the Dask cluster whose scheduler has the address
    `cluster`. Raises `UsageError` where that cannot be used.
    """
    runs.mkdir(parents=True, exist_ok=True)
    if cluster is not None:
        from trainer.workers.cluster import Cluster

        found = Cluster.open(cluster, runs)
        return Workers(found.workers(count), found.stop)
    from trainer.workers.processes import ProcessWorker
    from trainer.workers.spawning import Fresh

    flag = Fresh().RawValue("b", 0)

    def ask() -> None:
        flag.value = 1

    return Workers([ProcessWorker(runs, flag) for _ in range(count or available_cores())], ask)
