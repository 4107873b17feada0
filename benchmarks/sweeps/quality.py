"""How good the winner is at equal epochs: our TPE with pauses beside Optuna's TPE with its pruner.

python -m benchmarks.sweeps.quality [--seeds 10] [--tables iris …]

Both choose with Optuna's TPE and halve by the same rungs. Ours pauses trials and may go on with
them later; Optuna's `SuccessiveHalvingPruner` ends them. Optuna goes on with new trials until it
has trained as many epochs as our sweep did. Both train by this project's engine.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Final

import trainer
from trainer.training import EpochDone, compile_kernels, make_job, run_job
from trainer.workers.shelf import Shelf

TRIALS: Final = 64
STARTUP: Final = 16
FIRST, FACTOR, EPOCHS = 2, 3, 54
SLOTS: Final = 2
TABLES: Final[Mapping[str, tuple[str, int]]] = {
    "iris": ("logistic", 3),
    "wine": ("logistic", 3),
    "breast_cancer": ("logistic", 1),
    "digits": ("logistic", 10),
    "diabetes": ("squared", 1),
}
SPACE: Final[Mapping[str, Any]] = {
    "sgd.learning_rate": {"log": [1e-3, 1.0]},
    "sgd.momentum": {"uniform": [0, 0.99]},
    "sgd.batch_size": {"values": [16, 32, 64]},
    "sgd.weight_decay": {"log": [1e-6, 0.1]},
    "model.layers.0.units": {"integers": [4, 64], "log": True},
}


@dataclass(frozen=True)
class Pair:
    """The winners' validation losses of a table and a seed, and what they took."""

    table: str
    seed: int
    ours: float
    theirs: float
    epochs: int
    their_epochs: int
    trials: int
    their_trials: int


def declaration(table: str, seed: int) -> trainer.SweepSpec:
    """Our sweep of a table."""
    loss, units = TABLES[table]
    data: dict[str, Any] = {"source": table, "split": {"validation": 0.25}, "standardize": True}
    if loss == "squared":
        data["target_scale"] = "standard"
    return trainer.SweepSpec.from_resolved({
        "name": f"{table}-{seed}", "seed": seed,
        "spec": {
            "name": table, "seed": seed, "data": data,
            "model": {"layers": [{"units": 16, "activation": "tanh"}, {"units": units}],
                      "loss": loss},
            "sgd": {"learning_rate": 0.1, "batch_size": 32, "epochs": EPOCHS},
        },
        "space": dict(SPACE),
        "search": {"method": "tpe", "trials": TRIALS, "startup": STARTUP},
        "halving": {"method": "asha", "from": FIRST, "factor": FACTOR},
        "objective": "val_loss",
        "slots": SLOTS,
    })  # fmt: skip


def optuna_at(spec: trainer.SweepSpec, budget: int) -> tuple[float, int, int]:
    """Optuna's best whole trial within so many epochs, the epochs and the trials that it took."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(
        seed=spec.seed, n_startup_trials=STARTUP, multivariate=True
    )
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=FIRST, reduction_factor=FACTOR)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    spent, shelf = 0, Shelf()

    def objective(trial: optuna.Trial) -> float:
        nonlocal spent
        prepared = shelf.prepare(spec.trial({
            "sgd.learning_rate": trial.suggest_float("rate", 1e-3, 1, log=True),
            "sgd.momentum": trial.suggest_float("momentum", 0, 0.99),
            "sgd.batch_size": trial.suggest_categorical("batch", [16, 32, 64]),
            "sgd.weight_decay": trial.suggest_float("decay", 1e-6, 0.1, log=True),
            "model.layers.0.units": trial.suggest_int("units", 4, 64, log=True),
        }))  # fmt: skip
        job = make_job(prepared.spec, prepared.dataset, prepared.model, "compiled", 1)
        compile_kernels(job)
        value = math.inf
        for event in run_job(job):
            if isinstance(event, EpochDone) and event.epoch:
                spent += 1
                value = event.metrics.get("val_loss", math.inf)
                trial.report(value, event.epoch)
                if event.epoch in spec.rungs[:-1] and trial.should_prune():
                    raise optuna.TrialPruned
                if spent >= budget and event.epoch < EPOCHS:
                    raise optuna.TrialPruned
        if job.progress.diverged:
            raise optuna.TrialPruned
        return value

    while spent < budget:
        study.optimize(objective, n_trials=1)
    whole = [t.value for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE]
    return min((v for v in whole if v is not None), default=math.inf), spent, len(study.trials)


def pair(table: str, seed: int) -> Pair:
    """Both, on one table and seed."""
    spec = declaration(table, seed)
    found = trainer.sweep(spec, profile=trainer.Profile(runs=None, workers=1))
    assert found.winner is not None
    theirs, epochs, trials = optuna_at(spec, found.epochs)
    return Pair(table, seed, found.winner.value or 0.0, theirs, found.epochs, epochs,
                len(found.trials), trials)  # fmt: skip


def page(pairs: Sequence[Pair]) -> str:
    """A row a table, as Markdown."""
    lines = [
        "| table | ours | Optuna | difference | verdict | epochs of those all whole would take |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for table in dict.fromkeys(each.table for each in pairs):
        rows = [each for each in pairs if each.table == table]
        apart = [each.ours - each.theirs for each in rows]
        error = stdev(apart) / len(apart) ** 0.5 if len(apart) > 1 else math.nan
        mean = fmean(apart)
        verdict = "equal" if abs(mean) <= error else "better" if mean < 0 else "worse"
        share = fmean(each.epochs / (TRIALS * EPOCHS) for each in rows)
        ours, theirs = fmean(r.ours for r in rows), fmean(r.theirs for r in rows)
        lines.append(f"| {table} | {ours:.4f} | {theirs:.4f} | {mean:+.4f} ± {error:.4f} "
                     f"| {verdict} | {share:.0%} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def measured(
    seeds: int, tables: Sequence[str] = tuple(TABLES), processes: int = 2
) -> Sequence[Pair]:
    """Every table with so many seeds, some at a time."""
    cases = [(table, seed) for table in tables for seed in range(seeds)]
    pairs = []
    with ProcessPoolExecutor(processes) as pool:
        for found in pool.map(pair, *zip(*cases, strict=True)):
            print(found, file=sys.stderr, flush=True)
            pairs.append(found)
    return pairs


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tables", nargs="*", default=list(TABLES))
    asked = parser.parse_args()
    print(page(measured(asked.seeds, asked.tables)))


if __name__ == "__main__":
    main()
