"""Every shipped config trains and reaches what its comment promises."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from conftest import ALL_CONFIGS, CONFIGS, ROOT, SWEEPS

import trainer
from trainer import Profile, load_spec
from trainer.sweeps.declaration import load_sweep
from trainer.sweeps.plan import plan_sweep

# config: metric, what it must reach, and whether less is better
GOALS: dict[str, dict[str, tuple[float, float]]] = {
    "hidden_layer": {"test_accuracy": (0.96, 1.0)},
    "logistic_regression": {"test_accuracy": (0.93, 1.0)},
    "linear_regression": {"test_r2": (0.4, 0.6), "test_loss": (0, 3500)},
    "digits": {"test_accuracy": (0.97, 1.0)},
    "residual": {"test_accuracy": (0.97, 1.0)},
    "flats": {"test_r2": (0.9, 1.0), "test_rmse": (0, 100)},
    "iris": {"test_accuracy": (0.9, 1.0)},
    "xor": {"train_accuracy": (1.0, 1.0), "train_loss": (0, 0.01)},
    "spirals": {"test_accuracy": (0.97, 1.0)},
    "3_logistic_regression": {"train_accuracy": (1.0, 1.0)},
    "4_linear_regression": {"train_r2": (0.99, 1.0)},
    "5_hidden_unit": {"train_r2": (0.99, 1.0)},
    "6_network": {"train_r2": (0.99, 1.0)},
}

# sweep: its trials, and about how many epochs they take together
PLANS = {"flats": (64, 1025), "iris": (24, 24 * 60)}


def test_every_config_has_a_goal() -> None:
    assert sorted(GOALS) == sorted(path.stem for path in CONFIGS)
    assert sorted(PLANS) == sorted(path.stem for path in SWEEPS)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_sweep(path: Any) -> None:
    """Every trial that is known fits its data, and all together are soon done."""
    spec = load_sweep(path)
    plan = plan_sweep(spec, 2)
    assert (plan.trials, plan.usual_epochs) == PLANS[path.stem]
    assert plan.seconds < 60
    assert not plan.notes
    assert spec.name == f"{path.stem}-sweep"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.models
def test_config(path: Any, store: str) -> None:
    spec = load_spec(path)
    run = trainer.train(spec)
    assert run.status == "FINISHED"
    for metric, (least, most) in GOALS[path.stem].items():
        assert least <= run.metrics[metric] <= most, metric
    losses = run.history["train_loss"].values
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("path", [*ALL_CONFIGS, *SWEEPS], ids=lambda path: path.stem)
def test_config_is_short_named_and_known_to_editors(path: Any) -> None:
    text, kind = path.read_text(), "sweep" if path in SWEEPS else "spec"
    first, second = text.splitlines()[:2]
    relative = "/".join([".."] * len(path.relative_to(ROOT).parts[:-1]))
    assert first == f"# yaml-language-server: $schema={relative}/docs/{kind}.schema.json"
    assert second.startswith("# ")  # what to look at
    assert len(text.splitlines()) <= 40
    assert yaml.safe_load(text)["name"].removesuffix("-sweep") == path.stem


@pytest.mark.parametrize(
    ("name", "seeds", "least"), [("hidden_layer", 10, 0.96), ("digits", 5, 0.97)]
)
def test_the_accuracy_is_not_owed_to_the_seed(name: str, seeds: int, least: float) -> None:
    """The mean over other seeds, which split and start differently, reaches the goal as well."""
    found = []
    for seed in range(seeds):
        spec = load_spec(ROOT / "configs" / f"{name}.yaml", {"seed": seed})
        found.append(trainer.train(spec, profile=Profile(runs=None)).metrics["test_accuracy"])
    assert sum(found) / seeds >= least
