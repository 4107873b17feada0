"""A run that waits after an epoch, and goes on, ends with the bits of one that never waited."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import WriteSpec

import trainer
from trainer import Profile, Spec, load_spec, resume
from trainer.checkpoints.facts import read_facts, read_outcome
from trainer.checkpoints.folder import MODEL, load_progress
from trainer.runs.known import load_run
from trainer.runs.prepare import prepare
from trainer.runs.sync import send
from trainer.tracking.runs import Runs
from trainer.tracking.store import resolve_store
from trainer.training import Ended, EpochDone, make_job, never, run_job
from trainer.training.loop import _evaluate
from trainer.workers.task import Answer, Task
from trainer.workers.train import train_task

RUNS = Path("runs")
ID = "0" * 31 + "1"
UNTOLD = Profile(record=False)
ROWS = {
    "data.source": {"synthetic": "two_moons", "rows": 40},
    "data.split": {"validation": 0.3, "test": 0.2},
    "sgd.batch_size": 4,
    "sgd.epochs": 8,
}
KINDS: dict[str, dict[str, Any]] = {
    "momentum": {"sgd.momentum": 0.9, "sgd.nesterov": True},
    "averages": {"sgd.average": {"type": "ema", "decay": 0.8}, "sgd.accumulate": 3},
    "early stopping": {"sgd.learning_rate": 3.0, "sgd.early_stopping": {"patience": 2}},
    "the best": {"sgd.learning_rate": 2.0,
                 "sgd.early_stopping": {"patience": 6, "restore_best": True}},
    "a schedule": {"sgd.schedule": {"type": "cosine", "warmup": 2}},
    "dropout": {"model.layers": [{"units": 5, "activation": "relu"},
                                 {"type": "dropout", "rate": 0.4}, {"type": "batch_norm"},
                                 {"units": 1}]},
    "a threshold": {"evaluation": {"threshold": "f1", "metrics": ["f1"]}},
}  # fmt: skip


def task(spec: Spec, until: int | None, **others: Any) -> Task:
    return Task(ID, spec.resolved(), spec.file, until, save_every="1000 epochs", **others)


def ask(spec: Spec, untils: Sequence[int | None], **others: Any) -> list[Answer]:
    return [train_task(task(spec, until, **others), RUNS) for until in untils]


@pytest.mark.parametrize("engine", ["reference", "compiled"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bits_of_a_run_that_never_waited(write_spec: WriteSpec, kind: str, engine: Any) -> None:
    spec = load_spec(write_spec(ROWS | KINDS[kind]))
    whole = trainer.train(spec, profile=Profile(engine, record=False, runs=Path("others")))
    told = ask(spec, [2, 5, None], engine=engine)
    found = load_run(RUNS / ID)
    assert [answer.status for answer in told[:1] + told[2:]] == ["PAUSED", "FINISHED"]
    assert told[-1].parameters_sha256 == found.parameters_sha256 == whole.parameters_sha256
    assert told[-1].metrics == found.metrics == whole.metrics
    for name, series in whole.history.items():
        assert found.history[name].values.tobytes() == series.values.tobytes(), name
    assert whole.folder is not None
    ends = [load_progress(path, pytest.fail)[0] for path in (RUNS / ID, whole.folder)]
    assert all(end is not None for end in ends)
    one, other = ({n: v.tobytes() for n, v in e.arrays.items()} for e in ends if e is not None)
    assert one == other


def test_the_metrics_are_those_of_what_it_would_keep(write_spec: WriteSpec) -> None:
    """With `restore_best` those of the best epoch so far, else of the last; and so they are told
    of a run that is farther by now.
    """
    for changes in (KINDS["the best"], KINDS["momentum"]):
        spec = load_spec(write_spec(ROWS | changes))
        prepared = prepare(spec)
        job = make_job(spec, prepared.dataset, prepared.model, "reference")
        *_, end = run_job(job, pause_after=4)
        assert isinstance(end, Ended)
        assert (end.status, end.epoch) == ("PAUSED", 4)
        again = make_job(spec, prepared.dataset, prepared.model, "reference")
        done = [e for e in run_job(again) if isinstance(e, EpochDone)]
        losses = [each.metrics["val_loss"] for each in done[:5]]
        best = losses.index(min(losses))
        restores = spec.sgd.early_stopping is not None
        kept = best if restores else 4
        assert best < 4
        assert end.summary["val_loss"] == losses[kept]
        assert (end.summary["best_epoch"], job.kept_epoch) == (best, kept)
        # of the very parameters that it keeps
        measured = _evaluate(job, {"val": prepared.dataset.validation}, never)
        assert measured["val_loss"] == losses[kept]
        answer = ask(spec, [4], engine="reference")[0]
        ask(spec, [None], engine="reference")
        later = ask(spec, [4], engine="reference")[0]
        assert later.metrics == answer.metrics == {**end.summary}
        assert (later.status, later.epoch, later.step) == ("PAUSED", 4, answer.step)
        shutil.rmtree(RUNS / ID)


def test_what_is_over_does_not_wait(write_spec: WriteSpec) -> None:
    """The last epoch ends a run, and so does early stopping at that very epoch."""
    short = load_spec(write_spec(ROWS | {"sgd.epochs": 4}))
    told = [(answer.status, answer.epoch) for answer in ask(short, [3, 4])]
    assert told == [("PAUSED", 3), ("FINISHED", 4)]
    shutil.rmtree(RUNS / ID)
    stopping = {"patience": 2, "min_delta": 100.0}  # after epochs 1 and 2 none is better
    stopped = load_spec(write_spec(ROWS | {"sgd.early_stopping": stopping}))
    told = [(answer.status, answer.epoch) for answer in ask(stopped, [1, 2])]
    assert told == [("PAUSED", 1), ("FINISHED", 2)]


def test_what_a_paused_run_leaves(store: str, write_spec: WriteSpec) -> None:
    """A checkpoint, its numbers and how it ended, no model; MLflow is told what it waits for."""
    spec = load_spec(write_spec(ROWS | KINDS["momentum"]))
    answer = ask(spec, [3], record=True, parent=None, tags={"trainer.trial": "1"})[0]
    folder = RUNS / ID
    outcome, facts = read_outcome(folder), read_facts(folder)
    assert outcome is not None
    assert (outcome.status, outcome.epoch) == ("PAUSED", 3)
    assert outcome.tags["trainer.paused"] == "after epoch 3 of 8"
    assert f"train resume {ID[:8]}" in "\n".join(outcome.description)
    assert not (folder / MODEL).exists()
    assert (facts.record, facts.tags["trainer.trial"]) == (True, "1")
    assert answer.parameters_sha256 == outcome.parameters_sha256
    send(ID)
    waiting = Runs(resolve_store(store, RUNS)).find(ID)
    assert (waiting.status, waiting.tags["trainer.paused"]) == ("PAUSED", "after epoch 3 of 8")
    assert waiting.metrics["val_loss"] == answer.metrics["val_loss"]
    run = resume(ID)
    assert (run.status, run.epochs) == ("FINISHED", 8)
    ended = Runs(resolve_store(store, RUNS)).find(ID)
    assert (ended.status, "trainer.paused" in ended.tags) == ("FINISHED", False)
