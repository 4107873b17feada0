"""Sweeps whose driver, or one of its workers, is killed again and again: one digest names all."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from .tally import Tally

ROOT: Final = Path(__file__).parents[2]
SWEEP: Final = """
name: small
seed: 11
data:
  source: iris
  split: {validation: 0.3}
  standardize: true
model:
  layers: [{units: 8, activation: tanh}, {units: 3}]
  loss: logistic
sgd: {learning_rate: 0.1, batch_size: 16, momentum: 0.5, epochs: 12}
space:
  sgd.learning_rate: {log: [1e-3, 1]}
  model.layers.0.units: {integers: [4, 16]}
  sgd.schedule: {values: [constant, {type: cosine, warmup: 1}]}
search: {method: random, trials: 12}
halving: {method: asha, from: 2, factor: 2}
objective: val_loss
slots: 3
"""
DIGEST: Final = "61bf7ed2e0a4db9e381a4824f6100da1a4ac34959fb483b47ec279d6764bcc5f"
"""Names all decisions of this sweep: the same on every machine, as its runs have the same bits."""
DRIVER: Final = """
import json, sys
from pathlib import Path
import trainer
profile = trainer.Profile(record=False, workers=2, runs=Path("runs"), cluster=sys.argv[1] or None)
found = trainer.sweep(trainer.load_sweep("sweep.yaml"), profile=profile, resume=True)
print(json.dumps(found.as_json()))
"""
CLUSTER: Final = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None,
                      silence_logs=50) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


def kills(folder: Path, count: int, most: int = 10, cluster: str = "") -> Tally:
    """So many kills, at most some a sweep; where there is a cluster its workers are killed too."""
    tally = Tally("kills of a sweep" + (" on a cluster" if cluster else ""))
    sweeps = left = 0
    while tally.cases < count:
        sweeps += 1
        left = min(most, count - tally.cases)
        place = folder / f"sweep-{sweeps}"
        place.mkdir(parents=True)
        (place / "sweep.yaml").write_text(SWEEP)
        digest, done = carried_out(place, random.Random(sweeps), left, cluster)
        fault = None if digest == DIGEST else f"its digest is {digest}"
        for kill in range(done):
            tally.case(f"kill {kill + 1} of sweep {sweeps}", fault)
    tally.notes.append(f"in {sweeps} sweeps")
    return tally


def carried_out(
    place: Path, draw: random.Random, most: int, cluster: str = ""
) -> tuple[str | None, int]:
    """The digest of the sweep in the folder, carried out by drivers that are killed at random
    moments, or whose workers are, at most so many times; and how often that was.
    """
    done, seconds = 0, 1.5
    while True:
        process = _driver(place, cluster)
        try:
            limit = draw.uniform(0.3, seconds) if done < most else 120
            out, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            victim = draw.choice([process.pid, process.pid, *_workers(process.pid, cluster)])
            os.kill(victim, signal.SIGKILL)
            done, seconds = done + 1, seconds * 1.15  # so that it comes to its end
            if victim == process.pid or done < most:
                process.kill()
                process.communicate()
                continue
            out, errors = process.communicate(timeout=120)
        if process.returncode:
            return f"none: {errors.decode()[-300:]}", max(done, 1)
        return str(json.loads(out)["decisions_sha256"]), max(done, 1)


def _driver(place: Path, cluster: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, cluster], cwd=place, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


def _workers(driver: int, cluster: str) -> list[int]:
    """The processes that train."""
    if not cluster:
        return _children(driver)
    from distributed import Client

    with Client(cluster) as client:
        return [int(each) for each in client.run(os.getpid).values()]


def _children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(each) for each in found.read_text().split()] if found.exists() else []


def on_a_cluster(folder: Path, count: int) -> Tally:
    """Kills of a sweep's driver and of the workers of a Dask cluster, which start anew."""
    script = folder / "cluster.py"
    script.write_text(CLUSTER)
    process = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        return kills(folder, count, cluster=process.stdout.readline().decode().strip())
    finally:
        process.communicate()
