"""What runs a graph."""

from trainer.engine.reference import Interpreter, ReferenceEngine, Steps, evaluate

__all__ = ["Interpreter", "ReferenceEngine", "Steps", "evaluate"]
