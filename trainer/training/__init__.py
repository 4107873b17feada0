"""SGD, the training loop and its events."""

from trainer.training.loop import (
    Ended,
    EpochDone,
    Event,
    Job,
    StepsDone,
    full_batch,
    make_job,
    run_job,
)
from trainer.training.sgd import training_graph

__all__ = [
    "Ended",
    "EpochDone",
    "Event",
    "Job",
    "StepsDone",
    "full_batch",
    "make_job",
    "run_job",
    "training_graph",
]
