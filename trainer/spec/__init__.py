"""The spec: what a YAML file may say, and how it is read."""

from trainer.spec.loader import load_any, load_spec, read_spec
from trainer.spec.schema import Sketch, Spec

__all__ = ["Sketch", "Spec", "load_any", "load_spec", "read_spec"]
