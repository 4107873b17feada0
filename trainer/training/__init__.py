"""One training: its job, its loop, and the events that the loop tells; no files, no terminal."""

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
from trainer.training.history import History
from trainer.training.job import Job, full_batch, make_job
from trainer.training.loop import compile_kernels, run_job
from trainer.training.result import Run, Series, Status
from trainer.training.sgd import training_graph
from trainer.training.snapshot import Snapshot

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
