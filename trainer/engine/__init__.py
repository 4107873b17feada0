"""What runs a graph: `Engine` is what every engine can do, `make_engine` makes one."""

from trainer.engine.choice import EngineName, choose_engine, make_engine
from trainer.engine.contract import Engine, Session
from trainer.engine.reference import Interpreter, ReferenceEngine, evaluate
from trainer.engine.steps import Gradients, Steps, reduce, shards_of

__all__ = [
    "Engine",
    "EngineName",
    "Gradients",
    "Interpreter",
    "ReferenceEngine",
    "Session",
    "Steps",
    "choose_engine",
    "evaluate",
    "make_engine",
    "reduce",
    "shards_of",
]
