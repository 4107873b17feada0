"""SGD, the training loop and its events."""

from trainer.training.events import Ended, EpochDone, Event, StepsDone
from trainer.training.job import Job, full_batch, make_job
from trainer.training.loop import compile_kernels, run_job
from trainer.training.sgd import training_graph

__all__ = [
    "Ended",
    "EpochDone",
    "Event",
    "Job",
    "StepsDone",
    "compile_kernels",
    "full_batch",
    "make_job",
    "run_job",
    "training_graph",
]
