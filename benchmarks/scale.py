"""What an example costs as the data grow and as the network grows."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.worker import SPAWN, peak_memory
from trainer.data import load_dataset
from trainer.engine import EngineName
from trainer.network.build import build_graph
from trainer.spec import Spec
from trainer.training import EpochDone, make_job, run_job

BATCH = 256
NETWORK = "2-16-1"
LEAST_ROWS = 50_000  # as many rows as this are trained in any case


@dataclass(frozen=True)
class Rows:
    """Seconds an example to draw, split and encode, and to shuffle and train; bytes at most."""

    rows: int
    load: float
    train: float
    peak: int


def measure_rows(counts: Sequence[int], engine: EngineName) -> list[Rows]:
    """The cost of each number of rows, each in a process of its own."""
    found = []
    for rows in counts:
        with ProcessPoolExecutor(1, mp_context=SPAWN) as pool:
            found.append(pool.submit(_measure_rows, rows, engine).result())
    return found


def _measure_rows(rows: int, engine: EngineName) -> Rows:
    """Trains as the command does, without validation and tracking; the first epoch is a warm-up."""
    spec = Spec.model_validate(
        {
            "name": "rows",
            "data": {"source": {"synthetic": "two_moons", "rows": rows}},
            "model": {
                "layers": [{"units": 16, "activation": "sigmoid"}, {"units": 1}],
                "loss": "logistic",
            },
            "sgd": {
                "learning_rate": 0.1,
                "batch_size": BATCH,
                "epochs": 3 + LEAST_ROWS // rows,
            },
        }
    )
    with threadpool_limits(limits=1, user_api="blas"):
        began = time.perf_counter()
        dataset = load_dataset(spec)
        loaded = time.perf_counter() - began
        model = build_graph(spec, dataset.layout)
        job = make_job(spec, dataset, model, engine)
        ends = [time.perf_counter() for event in run_job(job) if isinstance(event, EpochDone)]
    train = float(np.median(np.diff(ends)[1:]))
    return Rows(rows, loaded / rows, train / rows, peak_memory())
