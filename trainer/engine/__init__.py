"""What runs a graph: `Engine` is what every engine can do, `make_engine` chooses one."""

from trainer.engine.choice import EngineName, make_engine
from trainer.engine.contract import Engine
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
