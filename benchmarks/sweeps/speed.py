"""How many trials a minute: ours beside Optuna and Ray Tune that drive scikit-learn.

python -m benchmarks.sweeps.speed

All try the space of `configs/sweeps/flats.yaml` on the same rows, for 200 epochs a trial at most
and with early stopping after 30 that are no better, as the spec says. Each contender has a process
of its own and an empty cache of kernels, and is timed from its start to its end: what it imports,
compiles and draws and which workers it starts are its own affair.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

SWEEP: Final = Path(__file__).parents[2] / "configs" / "sweeps" / "flats.yaml"
TRIALS: Final = 64
EPOCHS: Final = 200
PATIENCE: Final = 30
WORKERS: Final = 2


# Ours -------------------------------------------------------------------------------------------


def ours(workers: int, **changes: Any) -> Mapping[str, float]:
    """Our sweep; every trial leaves its folder, nothing is recorded in MLflow."""
    import trainer

    spec = trainer.load_sweep(SWEEP, changes)
    with tempfile.TemporaryDirectory() as folder:
        profile = trainer.Profile(workers=workers, runs=Path(folder), record=False)
        found = trainer.sweep(spec, profile=profile)
    assert found.winner is not None
    return {"trials": len(found.trials), "best": found.winner.value or 0.0, "epochs": found.epochs}


# Others -----------------------------------------------------------------------------------------


class Fit:
    """A trial of scikit-learn's on the rows that ours are trained on."""

    def __init__(self) -> None:
        import trainer
        from trainer.runs.prepare import prepare

        data = prepare(trainer.load_sweep(SWEEP).base).dataset
        train, held = (part.span(0, len(part)) for part in (data.train, data.validation))
        self._train = train["x"].copy(), train["y"].ravel().copy()
        self._held = held["x"].copy(), held["y"].ravel().copy()

    def __call__(self, rate: float, momentum: float, batch: int, units: int) -> float:
        """The mean squared error on the validation rows."""
        from sklearn.neural_network import MLPRegressor

        model = MLPRegressor(
            hidden_layer_sizes=(units,), activation="tanh", solver="sgd", alpha=1e-3,
            batch_size=batch,
            learning_rate_init=rate, momentum=momentum, nesterovs_momentum=False,
            max_iter=EPOCHS, early_stopping=True, validation_fraction=0.2,
            n_iter_no_change=PATIENCE, random_state=0,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                model.fit(*self._train)
                return float(((model.predict(self._held[0]) - self._held[1]) ** 2).mean())
            except ValueError:  # it diverged
                return 1e9


def _objective(fit: Fit) -> Callable[[Any], float]:
    def objective(trial: Any) -> float:
        return fit(
            trial.suggest_float("rate", 1e-4, 0.1, log=True),
            trial.suggest_float("momentum", 0, 0.99),
            trial.suggest_categorical("batch", [8, 16, 32]),
            trial.suggest_int("units", 4, 64, log=True),
        )

    return objective


def optuna_alone() -> Mapping[str, float]:
    """Optuna's TPE in one process."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=7, n_startup_trials=16))
    study.optimize(_objective(Fit()), n_trials=TRIALS)
    return {"trials": len(study.trials), "best": study.best_value}


def _optuna_worker(journal: str, seed: int, trials: int) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=16, constant_liar=True)
    storage = JournalStorage(JournalFileBackend(journal))
    study = optuna.load_study(study_name="flats", storage=storage, sampler=sampler)
    study.optimize(_objective(Fit()), n_trials=trials)


def optuna_two() -> Mapping[str, float]:
    """Optuna's TPE in two processes that share a journal."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with tempfile.TemporaryDirectory() as folder:
        journal = f"{folder}/journal"
        storage = JournalStorage(JournalFileBackend(journal))
        study = optuna.create_study(study_name="flats", storage=storage)
        spawn = get_context("spawn")
        share = TRIALS // WORKERS
        workers = [
            spawn.Process(target=_optuna_worker, args=(journal, seed, share))
            for seed in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return {"trials": len(study.trials), "best": study.best_value}


def ray_tune() -> Mapping[str, float]:
    """Ray Tune with two workers, at random."""
    import ray
    from ray import tune

    fit = Fit()

    def trainable(config: dict[str, Any]) -> dict[str, float]:
        return {"loss": fit(**config)}

    ray.init(num_cpus=WORKERS, include_dashboard=False, logging_level="ERROR",
             log_to_driver=False)  # fmt: skip
    space = {"rate": tune.loguniform(1e-4, 0.1), "momentum": tune.uniform(0, 0.99),
             "batch": tune.choice([8, 16, 32]), "units": tune.lograndint(4, 65)}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space=space,
            tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=TRIALS),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        found = tuner.fit()
        best = found.get_best_result().metrics
        ray.shutdown()
        return {"trials": len(found), "best": (best or {})["loss"]}


CONTENDERS: Final[Mapping[str, Callable[[], Mapping[str, float]]]] = {
    "trainer, as it is declared, 2 workers": lambda: ours(WORKERS),
    "trainer, all trials whole, 2 workers": lambda: ours(WORKERS, halving=None),
    "trainer, as it is declared, 1 worker": lambda: ours(1),
    "Optuna and scikit-learn, 1 process": optuna_alone,
    "Optuna and scikit-learn, 2 processes": optuna_two,
    "Ray Tune and scikit-learn, 2 workers": ray_tune,
}


# Side by side -----------------------------------------------------------------------------------


def measure(name: str) -> Mapping[str, float]:
    """One contender, in a process of its own."""
    cache = tempfile.mkdtemp()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sweeps.speed", "--one", name],
        capture_output=True, text=True, check=False, env=os.environ | {"TRAINER_CACHE": cache},
    )  # fmt: skip
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "seconds": seconds, "rate": found["trials"] * 60 / seconds}


def table(results: Mapping[str, Mapping[str, float]]) -> str:
    """The contenders, a row each, as Markdown."""
    others = [r["rate"] for name, r in results.items() if not name.startswith("trainer")]
    best = max(others, default=float("nan"))
    lines = ["| contender | trials a minute | seconds | best loss | of the best other |",
             "| --- | ---: | ---: | ---: | ---: |"]  # fmt: skip
    for name, r in results.items():
        rate, seconds = f"{r['rate']:,.0f}", f"{r['seconds']:.1f}"
        lines.append(f"| {name} | {rate} | {seconds} | {r['best']:.4f} | {r['rate'] / best:.2f} |")
    return "\n".join(lines) + "\n"


def measured() -> dict[str, Mapping[str, float]]:
    """All contenders, one after the other; one that is not installed is left out."""
    results = {}
    for name in CONTENDERS:
        try:
            results[name] = measure(name)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            continue
        print(name, {k: round(v, 4) for k, v in results[name].items()}, file=sys.stderr)
    return results


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--one")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(CONTENDERS[asked.one]()))
    else:
        print(table(measured()))


if __name__ == "__main__":
    main()
