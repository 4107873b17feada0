"""Declare a network in YAML, train it, and get a run that can be compared and reproduced.

    import trainer

    spec = trainer.load_spec("configs/hidden_layer.yaml", {"sgd.epochs": 20})
    run = trainer.train(spec)
    run.metrics["test_accuracy"], run.parameters["dense_1/W"], run.history["val_loss"].values
    trainer.load_model(run.id).model.predict(rows)

Names are imported when they are first used, so `import trainer` is fast; MLflow is imported
when a run starts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.client import Client, RemoteJob
    from trainer.errors import (
        CheckpointError,
        DataError,
        DivergedError,
        GraphError,
        InterruptedRun,
        ServiceError,
        SpecError,
        TrackingError,
        TrainerError,
        UsageError,
    )
    from trainer.graph import Graph, gradients
    from trainer.network.build import build_graph
    from trainer.runs.importance import importance
    from trainer.runs.profile import Profile
    from trainer.runs.rate_search import find_learning_rate
    from trainer.runs.reproduce import reproduce
    from trainer.runs.resume import resume
    from trainer.runs.train import train
    from trainer.runs.use import load_model
    from trainer.spec import Spec, load_spec
    from trainer.sweeps.crossval import crossval
    from trainer.sweeps.declaration import SweepSpec, load_sweep
    from trainer.sweeps.drive import resume_sweep, sweep
    from trainer.sweeps.folds import plan_folds
    from trainer.sweeps.reproduce import reproduce_sweep
    from trainer.sweeps.standing import Sweep
    from trainer.training.result import Run, Series

_HOMES = {
    "build_graph": "network.build",
    "CheckpointError": "errors",
    "DataError": "errors",
    "DivergedError": "errors",
    "GraphError": "errors",
    "InterruptedRun": "errors",
    "ServiceError": "errors",
    "SpecError": "errors",
    "TrackingError": "errors",
    "TrainerError": "errors",
    "UsageError": "errors",
    "Client": "client",
    "RemoteJob": "client",
    "Graph": "graph",
    "gradients": "graph",
    "Run": "training.result",
    "Series": "training.result",
    "reproduce": "runs.reproduce",
    "resume": "runs.resume",
    "importance": "runs.importance",
    "find_learning_rate": "runs.rate_search",
    "Profile": "runs.profile",
    "crossval": "sweeps.crossval",
    "plan_folds": "sweeps.folds",
    "load_model": "runs.use",
    "train": "runs.train",
    "Spec": "spec",
    "load_spec": "spec",
    "load_sweep": "sweeps.declaration",
    "SweepSpec": "sweeps.declaration",
    "Sweep": "sweeps.standing",
    "sweep": "sweeps.drive",
    "resume_sweep": "sweeps.drive",
    "reproduce_sweep": "sweeps.reproduce",
}

__all__ = [
    "CheckpointError",
    "Client",
    "DataError",
    "DivergedError",
    "Graph",
    "GraphError",
    "InterruptedRun",
    "Profile",
    "RemoteJob",
    "Run",
    "Series",
    "ServiceError",
    "Spec",
    "SpecError",
    "Sweep",
    "SweepSpec",
    "TrackingError",
    "TrainerError",
    "UsageError",
    "build_graph",
    "crossval",
    "find_learning_rate",
    "gradients",
    "importance",
    "load_model",
    "load_spec",
    "load_sweep",
    "plan_folds",
    "reproduce",
    "reproduce_sweep",
    "resume",
    "resume_sweep",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'trainer' has no attribute '{name}'")
    return getattr(import_module(f"trainer.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
