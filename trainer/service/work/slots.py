"""Where a job is trained: a process of this machine, or a worker of a Dask cluster.

A slot does one errand at a time. Processes share the folder of runs with the service; what a worker
of a cluster trains comes here piece by piece, and is written into the folder that it belongs to.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from trainer.errors import UsageError
from trainer.service.work.errands import Errand, carry_out
from trainer.workers.processes import OwnProcess
from trainer.workers.spawning import Fresh
from trainer.workers.task import Answer

NICE: Final = 10
"""Who asks the service is answered first, also where all cores train."""


class Slot(Protocol):
    """A place for one job at a time."""

    kind: str

    @property
    def is_ready(self) -> bool:
        """Whether it can begin at once."""

    def do(self, errand: Errand) -> Answer:
        """Carries out an errand. Raises `LostError` where its process is gone."""

    def stop(self) -> None:
        """Has the errand that it does, or that is about to come, answer soon, with a checkpoint."""

    def close(self) -> None:
        """Ends it, once it has answered."""


class ProcessSlot:
    """A process of this machine."""

    kind = "process"

    def __init__(self) -> None:
        self._flag: Any = Fresh().RawValue("b", 0)
        self._process = OwnProcess(self._flag, NICE)

    @property
    def is_ready(self) -> bool:
        """Whether the process has imported what it needs."""
        return self._process.is_warm

    def do(self, errand: Errand) -> Answer:
        """What the process answers; see `Slot`."""
        try:
            return self._process.do(carry_out, errand)
        finally:
            self._flag.value = 0

    def stop(self) -> None:
        """Tells the process to save and to answer."""
        self._flag.value = 1

    def close(self) -> None:
        """Ends the process."""
        self._process.close()


@dataclass
class ClusterSlot:
    """A place of a Dask cluster. Sweeps and cross-validations are led by a process of this machine,
    and their trials are trained there.
    """

    address: str
    runs: Path
    number: int
    kind: str = "dask"
    _lead: ProcessSlot = field(default_factory=ProcessSlot)
    _cluster: Any = None
    _stopped: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether the cluster was reached."""
        return self._cluster is not None

    def do(self, errand: Errand) -> Answer:
        """What the cluster answers; see `Slot`."""
        try:
            return self._answer(errand)
        finally:
            self._stopped = False

    def _answer(self, errand: Errand) -> Answer:
        if errand.kind != "train":
            return self._lead.do(errand)
        try:
            worker = self._worker()
            if self._stopped:
                return Answer(errand.id, "KILLED")
            answer: Answer = worker.answer(errand.task)
            if answer.status == "FAILED" and answer.fault == "machine":
                self._let_go()
                self._worker()  # is it the task, or is the cluster away?
        except UsageError as error:
            return Answer(errand.id, "FAILED", reason=str(error), fault="away")
        return answer

    def _worker(self) -> Any:
        """A worker for one task, which can be stopped by itself."""
        from trainer.workers.cluster import Cluster

        if self._cluster is None:
            self._cluster = Cluster.open(self.address, self.runs)
        self._cluster.name, self._cluster.stopped = secrets.token_hex(8), False
        places = self._cluster.workers(None)
        return places[self.number % len(places)]

    def _let_go(self) -> None:
        if self._cluster is not None:
            self._cluster.client.close(timeout=1)
            self._cluster = None

    def stop(self) -> None:
        """Has the slice that is trained end soon."""
        self._stopped = True
        self._lead.stop()
        if self._cluster is not None:
            self._cluster.stop()

    def close(self) -> None:
        """Lets go of the cluster."""
        self._let_go()
        self._lead.close()


def make_slots(count: int, cluster: str | None, runs: Path) -> list[Callable[[], Slot]]:
    """What makes each of so many slots."""
    if cluster is None:
        return [ProcessSlot] * count
    return [partial(ClusterSlot, cluster, runs, number) for number in range(count)]
