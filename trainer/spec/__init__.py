"""The spec: what a YAML file may say, and how it is read."""

from trainer.spec.loader import load_spec, read_spec
from trainer.spec.schema import Spec

__all__ = ["Spec", "load_spec", "read_spec"]
