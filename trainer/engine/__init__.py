"""What runs a graph."""

from trainer.engine.choice import Engine, EngineName, make_engine
from trainer.engine.reference import Interpreter, ReferenceEngine, evaluate
from trainer.engine.steps import Steps

__all__ = [
    "Engine",
    "EngineName",
    "Interpreter",
    "ReferenceEngine",
    "Steps",
    "evaluate",
    "make_engine",
]
