"""Declare a network in YAML, train it, and get a run that can be compared and reproduced.

    import trainer

    spec = trainer.load_spec("configs/hidden_layer.yaml", {"sgd.epochs": 20})
    run = trainer.train(spec)
    run.metrics["test_accuracy"], run.parameters["dense_1/W"], run.history["val_loss"].values
    trainer.load_model(run.run_id).model.predict(rows)

Names are imported when they are first used, so `import trainer` is fast; MLflow is imported
when a run starts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.build import build_graph
    from trainer.crossval import train_folds
    from trainer.errors import (
        CheckpointError,
        DataError,
        DivergedError,
        GraphError,
        InterruptedRun,
        SpecError,
        TrackingError,
        TrainerError,
        UsageError,
    )
    from trainer.folding import plan_folds
    from trainer.graph import Graph, gradients
    from trainer.proof import reproduce
    from trainer.result import Run, Series
    from trainer.resuming import resume
    from trainer.run import train
    from trainer.searching import find_learning_rate
    from trainer.spec import Spec, load_spec
    from trainer.using import load_model

_HOMES = {
    "build_graph": "build",
    "CheckpointError": "errors",
    "DataError": "errors",
    "DivergedError": "errors",
    "GraphError": "errors",
    "InterruptedRun": "errors",
    "SpecError": "errors",
    "TrackingError": "errors",
    "TrainerError": "errors",
    "UsageError": "errors",
    "Graph": "graph",
    "gradients": "graph",
    "Run": "result",
    "Series": "result",
    "reproduce": "proof",
    "resume": "resuming",
    "find_learning_rate": "searching",
    "plan_folds": "folding",
    "train_folds": "crossval",
    "load_model": "using",
    "train": "run",
    "Spec": "spec",
    "load_spec": "spec",
}

__all__ = [
    "CheckpointError",
    "DataError",
    "DivergedError",
    "Graph",
    "GraphError",
    "InterruptedRun",
    "Run",
    "Series",
    "Spec",
    "SpecError",
    "TrackingError",
    "TrainerError",
    "UsageError",
    "build_graph",
    "find_learning_rate",
    "gradients",
    "load_model",
    "load_spec",
    "plan_folds",
    "reproduce",
    "resume",
    "train",
    "train_folds",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trainer' has no attribute '{name}'")
    return getattr(import_module(f"trainer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
