"""The same bits on every CPU: other kinds of this machine's, and AArch64 by emulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from cpus import configs, hashes, settings
from foreign import MISSING, foreign_engine
from plain import same_bits

from trainer import build_graph, load_spec
from trainer.data import load_dataset
from trainer.training import make_job
from trainer.training.masks import draw_masks

SHORT = [str(path) for path in configs() if path.stem in ("residual", "flats", "iris", "xor")]


def test_every_kind_of_cpu_gives_the_same_hash() -> None:
    """A few epochs of some configs; `python tests/cpus.py` trains all of them whole."""
    arguments = ["--epochs", "2", *SHORT]
    table = {name: hashes(environment, arguments) for name, environment in settings().items()}
    expected = table["this CPU"]
    assert len(expected) == len(SHORT)
    assert len(set(expected.values())) == len(SHORT), "a hash tells configs apart"
    for name, found in table.items():
        assert found == expected, name


@pytest.mark.skipif(bool(MISSING), reason=f"there is no {' and no '.join(MISSING)}")
@pytest.mark.parametrize("config", ["flats", "residual", "xor"])
def test_aarch64_gives_the_same_bits(config: str) -> None:
    """The kernels built for it and emulated, on the same arrays: a few steps, and an evaluation."""
    spec = load_spec(ROOT / f"configs/{config}.yaml")
    dataset = load_dataset(spec)
    job = make_job(spec, dataset, build_graph(spec, dataset.layout))
    rows = dataset.train.span(0, min(2 * job.batch_size + 5, len(dataset.train)))
    arrays = rows | draw_masks(job.masks, spec.seed, 1, 0, len(rows["x"]))
    steps = -(-len(rows["x"]) // job.batch_size)
    other = foreign_engine(job.graph, job.batch_size, spec.evaluation.batch_size)
    found: list[list[Any]] = []
    for session in (job.session, other.load(job.state)):
        record, made = session.train(arrays, job.rates.at(1, steps), job.batch_size, 0, steps)
        assert len(record.losses) == steps
        loss, evaluated = session.predict(rows, 100)
        found.append([record.losses, record.grad_norms, record.parameter_norms, made,
                      np.array(loss), evaluated, *session.fetch().values()])  # fmt: skip
    for here, there in zip(*found, strict=True):
        same_bits(there, here)
