"""Where and how to run: nothing of it changes a bit of what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.engine import EngineName
from trainer.spec.schema import Spec
from trainer.tracking.store import Store, resolve_store, store_address


@dataclass(frozen=True)
class Profile:
    """Where and how to run.

    `engine` is `reference` (NumPy, node by node), `compiled` (one kernel for many steps) or
    `auto`, which compiles; `threads` limits the compiled one. Each run has a folder in
    `runs`, with a checkpoint every `save_every` (`30s`, `5min`, `1000steps`, `1epoch`) and at its
    end; where `runs` is None nothing is kept. The trials of a sweep and the folds of a
    cross-validation are trained by so many `workers`, processes of this machine, by default one a
    core for trials and this one for folds; or by the Dask cluster whose scheduler has the address
    `cluster`, by default by all of it. With `record` MLflow is told, at the address `store`,
    else that of MLFLOW_TRACKING_URI, else the spec's, else in the database beside the folders; with
    `offline_ok` a store that cannot be used does not matter: `train sync` sends the run later.
    """

    engine: EngineName = "auto"
    threads: int | None = None
    runs: Path | None = Path("runs")
    store: str | None = None
    record: bool = True
    offline_ok: bool = False
    save_every: str = "30s"
    workers: int | None = None
    cluster: str | None = None

    @property
    def recorded(self) -> bool:
        """Whether MLflow is told of runs."""
        return self.record and self.runs is not None

    def address(self, spec: Spec | None = None) -> str | None:
        """The store's address, if one was asked for."""
        return store_address(self.store, spec.tracking.uri if spec is not None else None)

    def find_store(self, spec: Spec | None = None) -> Store:
        """The store. Raises `TrackingError` for an address that MLflow could not use."""
        return resolve_store(self.address(spec), self.runs or Path("runs"))


DEFAULT = Profile()
