"""A process of its own for each contender: libraries in one process fight over its threads."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.peers import Contender
from trainer.graph.ops import Array

SPAWN = multiprocessing.get_context("spawn")


class WorkerError(Exception):
    """The contender could not do it; the message is its own."""


class _Runner:
    """What a worker answers."""

    def __init__(self, contender: Contender, case: Case) -> None:
        self._case = case
        self._epoch = contender.prepare(case)

    def ready(self) -> None:
        """Answers once everything is set up."""

    def record(self, epochs: int) -> tuple[Array, Array]:
        """The losses and norms of the next epochs."""
        losses, norms = zip(*(self._epoch() for _ in range(epochs)), strict=True)
        return np.concatenate(losses), np.concatenate(norms)

    def cost(self, seconds: float) -> float:
        """Seconds a step, over as many epochs as fill the time."""
        began = time.perf_counter()
        epochs, passed = 0, 0.0
        while not epochs or passed < seconds:
            self._epoch()
            epochs += 1
            passed = time.perf_counter() - began
        return passed / (epochs * self._case.steps)

    def peak(self) -> int:
        """The most bytes of memory that the process had."""
        return peak_memory()


class Worker:
    """A running contender. `ask` sends a question, `answer` waits for what comes back."""

    def __init__(self, contender: Contender, case: Case) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self._process = SPAWN.Process(target=_serve, args=(theirs, contender, case))
        self._process.start()
        theirs.close()
        self.ask("ready")

    def ask(self, question: str, *arguments: Any) -> None:
        """Sends the name and arguments of a method of the runner."""
        self._pipe.send((question, arguments))

    def answer(self) -> Any:
        """What the last question gave. Raises `WorkerError` when it failed."""
        try:
            done, value = self._pipe.recv()
        except EOFError:
            done, value = False, "the process ended"
        if not done:
            raise WorkerError(value)
        return value

    def __call__(self, question: str, *arguments: Any) -> Any:
        self.ask(question, *arguments)
        return self.answer()

    def end(self) -> None:
        """Ends the process."""
        self._pipe.close()
        self._process.join(10)
        self._process.kill()


def peak_memory() -> int:
    """The most bytes of memory that this process had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _serve(pipe: Connection, contender: Contender, case: Case) -> None:
    try:
        runner = _Runner(contender, case)
        while True:
            question, arguments = pipe.recv()
            pipe.send((True, getattr(runner, question)(*arguments)))
    except EOFError:  # no more questions
        pass
    except Exception as error:  # whatever a library raises is its answer
        lines = str(error).strip().splitlines() or [""]
        pipe.send((False, f"{type(error).__name__}: {lines[0][:200]}"))
