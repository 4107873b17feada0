"""A worker that is a process of this machine: it writes the folders of runs itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from trainer.checkpoints.folder import CHECKPOINTS
from trainer.workers import begin
from trainer.workers.spawning import Fresh
from trainer.workers.task import Answer, Task

if TYPE_CHECKING:
    from trainer.workers.shelf import Shelf

T = TypeVar("T")

TRIES: Final = 3
STARTS: Final = 20
KERNELS: Final = 16
_STEP: Final = re.compile(r"step-(\d+)\.json")


class LostError(Exception):
    """A process is gone, before its answer; `begun` says whether it had begun with the work."""

    def __init__(self, begun: bool) -> None:
        super().__init__()
        self.begun = begun


class OwnProcess:
    """A process that does one thing at a time, and is made anew where it is lost."""

    def __init__(self, flag: Any, nice: int = 0) -> None:
        """`flag` is shared memory that tells it to save and to stop, once it is not 0; `nice` is
        that of `begin`.
        """
        self._begins = flag, nice
        self._executor: ProcessPoolExecutor | None = None
        self._begin()

    def _begin(self) -> ProcessPoolExecutor:
        """A process that begins to import what it needs. Raises `OSError`."""
        if self._executor is None:
            made = ProcessPoolExecutor(1, Fresh(), begin.begin, self._begins)
            self._warm: Future[None] = made.submit(warm)
            self._executor = made
        return self._executor

    @property
    def is_warm(self) -> bool:
        """Whether it has imported what it needs."""
        return self._warm.done() and self._warm.exception() is None

    def do(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function of a module gives there. Raises what it raises, and `LostError` where
        the process is lost, or the machine has no new one.
        """
        try:
            return self._begin().submit(function, *arguments).result()
        except BrokenProcessPool:
            begun = self.is_warm
            self.close()
            with suppress(OSError):  # there may be no room for a process now: the next one tries it
                self._begin()
            raise LostError(begun) from None
        except OSError:
            if self._executor is not None:
                raise
            raise LostError(False) from None

    def close(self) -> None:
        """Ends it, once it has answered."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(cancel_futures=True)


class ProcessWorker:
    """One process that trains tasks."""

    def __init__(self, runs: Path, flag: Any) -> None:
        """`flag` is that of `OwnProcess`."""
        self._runs, self._flag = runs.absolute(), flag
        self._process = OwnProcess(flag)

    def answer(self, task: Task) -> Answer:
        """What the process answers. A task whose process is lost goes on in a new one, from its
        last checkpoint; one that loses three without having got farther has failed. A process that
        is lost before it could begin has nothing to do with the task.
        """
        lost, never_begun, place = 0, 0, self._step(task)
        while lost < TRIES and never_begun < STARTS:
            if self._flag.value:
                return Answer(task.id, "KILLED")
            try:
                return self._process.do(work, task, self._runs)
            except LostError as error:
                if not error.begun:
                    never_begun += 1
                    continue
            before, place, never_begun = place, self._step(task), 0
            lost = lost + 1 if place == before else 1
        reason = f"its process was lost {TRIES} times after step {place}"
        if lost < TRIES:
            reason = f"{STARTS} processes were lost before they could begin"
        reason += ": killed, or the machine has too little memory"
        return Answer(task.id, "FAILED", step=place, reason=reason, fault="machine")

    def _step(self, task: Task) -> int:
        return saved_step(self._runs / task.id)

    def close(self) -> None:
        """Ends the process, once it has answered."""
        self._process.close()


def saved_step(folder: Path) -> int:
    """The step of the last checkpoint of a run; 0 where it has none."""
    with suppress(OSError):
        names = [path.name for path in (folder / CHECKPOINTS).iterdir()]
        return max((int(m[1]) for name in names if (m := _STEP.fullmatch(name))), default=0)
    return 0


# In the process ---------------------------------------------------------------------------------

_shelf: Shelf | None = None


def shelf() -> Shelf:
    """The data sets that this process keeps."""
    assert _shelf is not None
    return _shelf


def warm() -> None:
    """Imports what training needs, before there is something to train."""
    global _shelf
    from trainer.engine.compiled.engine import keep_kernels
    from trainer.workers.shelf import Shelf
    from trainer.workers.train import train_task  # noqa: F401 (the import is what is wanted)

    _shelf = Shelf()
    keep_kernels(KERNELS)


def work(task: Task, runs: Path) -> Answer:
    """Trains the task's run. What takes a moment is not worth waiting for the disk: where a machine
    has lost its power, it is trained again.
    """
    from trainer.checkpoints.disk import unflushed
    from trainer.workers.train import train_task

    with unflushed():
        return train_task(task, runs, stop=begin.stop, shelf=_shelf)
