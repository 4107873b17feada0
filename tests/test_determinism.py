"""The same spec gives the same bits in every process, whatever surrounds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from trainer import Profile, TrainerError, load_spec, train
from trainer.training import EpochDone, Event, StepsDone

PROCESSES = int(os.environ.get("DETERMINISM_PROCESSES", "5"))
"""How many processes are compared; 20 differ in every way that `surroundings` knows."""

SPEC = {
    "data": {"source": "breast_cancer", "split": {"validation": 0.2, "test": 0.2},
             "standardize": True},
    "model": {"dtype": "float32", "loss": "logistic", "layers": [{"units": 1}]},
    "sgd.momentum": 0.9, "sgd.batch_size": 24, "sgd.learning_rate": 0.05,
}  # fmt: skip

CODE = """
import json, sys
from trainer import Profile, load_spec, train
path, threads = sys.argv[1], int(sys.argv[2]) or None
found = {}
for engine in ("reference", "compiled"):
    run = train(load_spec(path), profile=Profile(engine, threads, runs=None))
    values = {name: s.values.tobytes().hex() for name, s in run.history.items()}
    found[engine] = [run.parameters_sha256, run.data_sha256, run.spec_sha256, values]
print(json.dumps(found))
"""


def surroundings(number: int) -> tuple[dict[str, str], int]:
    """The environment of a process, and how many threads it is allowed, 0 for all."""
    settings = {
        "OMP_NUM_THREADS": ["1", "2", "7"][number % 3],
        "OPENBLAS_NUM_THREADS": ["2", "1", "4", "3"][number % 4],
        "TRAINER_CPU": ["haswell", ""][number % 2],
        "PYTHONHASHSEED": ["0", "1", "random", "4294967295"][number % 4],
        "LC_ALL": ["C", "C.UTF-8", "de_DE.UTF-8", "tr_TR.UTF-8", "POSIX"][number % 5],
        "TZ": ["UTC", "Asia/Kathmandu", "America/St_Johns"][number % 3],
        "PYTHONOPTIMIZE": ["", "1"][number // 2 % 2],
        "PYTHONPATH": str(ROOT),
    }
    return settings, [0, 1, 2, 5][number % 4]


def process(number: int, spec: Path, folder: Path) -> Any:
    """What a process of its own finds, in a folder of its own."""
    place = folder / f"place {number}" / "ü"
    place.mkdir(parents=True)
    settings, threads = surroundings(number)
    path = os.path.relpath(spec, place) if number % 2 else spec
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path), str(threads)],
        cwd=place, env=os.environ | settings, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(place.iterdir()) == [], "a run that is not recorded writes nothing"
    return json.loads(done.stdout)


def test_processes_agree_to_the_bit(write_spec: Callable[..., Path], tmp_path: Path) -> None:
    """Parameters, data, the spec's fingerprint and all metrics; each engine for itself."""
    path = write_spec(SPEC)
    runs = {
        engine: train(load_spec(path), profile=Profile(engine, runs=None))
        for engine in ("reference", "compiled")
    }
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda i: process(i, path, tmp_path), range(PROCESSES)))
    for engine, run in runs.items():
        values = {name: s.values.tobytes().hex() for name, s in run.history.items()}
        expected = [run.parameters_sha256, run.data_sha256, run.spec_sha256, values]
        for number, each in enumerate(found):
            assert each[engine] == expected, (engine, *surroundings(number))


def test_the_resolved_spec_says_how_rows_are_evaluated(write_spec: Callable[..., Path]) -> None:
    """The last bits of a loss depend on it, so it is a part of the fingerprint."""
    default = load_spec(write_spec())
    other = load_spec(write_spec({"evaluation.batch_size": 3}))
    assert default.resolved()["evaluation"]["batch_size"] == 1024
    assert other.resolved()["evaluation"]["batch_size"] == 3
    assert default.sha256 != other.sha256


# One thread of BLAS -----------------------------------------------------------------------------


def pool(threads: int, api: str = "blas", name: str = "mkl") -> dict[str, Any]:
    return {"user_api": api, "internal_api": name, "num_threads": threads}


@pytest.mark.parametrize(
    ("pools", "refused"),
    [
        ([], None),
        ([pool(1)], None),
        ([pool(1), pool(8, "openmp", "libgomp")], None),
        ([pool(2)], "mkl"),
        ([pool(1), pool(4, name="blis")], "blis"),
    ],
)
def test_a_blas_that_does_not_take_the_limit(
    write_spec: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    pools: list[dict[str, Any]],
    refused: str | None,
) -> None:
    """It is found before the first step, so no run has bits that depend on its threads."""
    monkeypatch.setattr("trainer.engine.blas_threads.threadpool_info", lambda: pools)
    spec = load_spec(write_spec())
    seen: list[Event] = []
    try:
        train(spec, profile=Profile(runs=None), listen=seen.append)
        told = None
    except TrainerError as error:
        told = str(error)
    message = f"the BLAS '{refused}' does not take the limit of one thread [TR-M007]"
    expected = message if refused else None
    assert told == expected
    assert any(isinstance(event, StepsDone) for event in seen) is (refused is None)


def test_blas_has_one_thread_while_it_trains(write_spec: Callable[..., Path]) -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    def look(event: Event) -> None:
        if isinstance(event, StepsDone | EpochDone):
            found.append([p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"])

    found: list[list[int]] = []
    with threadpool_limits(2, "blas"):
        train(load_spec(write_spec()), profile=Profile(runs=None), listen=look)
        assert 2 in [p["num_threads"] for p in threadpool_info()], "it has them again"
    assert found
    assert all(counts and set(counts) == {1} for counts in found)
