"""One training: its job, its loop, and the events that the loop tells; no files, no terminal.

Names are imported when they are first used: who only reads events needs no more than those.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainer.training.events import (
    Ended,
    EpochDone,
    Event,
    Listener,
    LoopEvent,
    Reading,
    Saved,
    Started,
    StepsDone,
    Stop,
    Trained,
    Warned,
    never,
    nobody,
)
from trainer.training.result import Run, Series, Status
from trainer.training.snapshot import Snapshot

if TYPE_CHECKING:
    from trainer.training.history import History
    from trainer.training.job import Job, full_batch, make_job
    from trainer.training.loop import compile_kernels, run_job
    from trainer.training.sgd import training_graph

_HOMES = {
    "History": "history",
    "Job": "job",
    "compile_kernels": "loop",
    "full_batch": "job",
    "make_job": "job",
    "run_job": "loop",
    "training_graph": "sgd",
}

__all__ = [
    "Ended",
    "EpochDone",
    "Event",
    "History",
    "Job",
    "Listener",
    "LoopEvent",
    "Reading",
    "Run",
    "Saved",
    "Series",
    "Snapshot",
    "Started",
    "Status",
    "StepsDone",
    "Stop",
    "Trained",
    "Warned",
    "compile_kernels",
    "full_batch",
    "make_job",
    "never",
    "nobody",
    "run_job",
    "training_graph",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trainer.training' has no attribute '{name}'")
    return getattr(import_module(f"trainer.training.{_HOMES[name]}"), name)
