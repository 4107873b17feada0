"""Recording runs in MLflow; the only part that imports it, and only when a run starts."""

from trainer.tracking.store import Store, resolve_store

__all__ = ["Store", "resolve_store"]
