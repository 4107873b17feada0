"""A sweep's file: what it declares, and what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer import load_spec
from trainer.errors import UsageError
from trainer.spec import load_any
from trainer.sweeps.declaration import SweepSpec, load_sweep
from trainer.sweeps.standing import Objective

RUN = """\
name: one
seed: 5
data:
  source: {inline: {x: [[0, 0], [0, 1], [1, 0], [1, 1], [2, 2]], y: [0, 1, 1, 0, 1]}}
  split: {validation: 0.4}
model:
  layers:
    - {units: 3, activation: tanh}
    - {units: 1}
  loss: logistic
sgd: {learning_rate: 0.5, batch_size: 2, epochs: 20}
"""
SWEEP = """\
name: many
seed: 7
spec: runs/one.yaml
space:
  sgd.learning_rate: {log: [1e-4, 0.3]}
  model.layers.0.units: {integers: [4, 64], log: true}
  model.layers[0].activation: {values: [relu, tanh]}
search: {method: random, trials: 6}
halving: {from: 2}
objective: val_loss
budget: {time: 1.5h, disk: 2GB}
"""
IN_PLACE = SWEEP.replace("spec: runs/one.yaml\n", RUN.partition("seed: 5\n")[2]).replace(
    "learning_rate: 0.5, ", ""
)


@pytest.fixture
def files(folder: Path) -> Path:
    """A sweep beside the folder of its spec."""
    (folder / "runs").mkdir()
    (folder / "runs/one.yaml").write_text(RUN)
    (folder / "many.yaml").write_text(SWEEP)
    (folder / "in_place.yaml").write_text(IN_PLACE)
    return folder


pytestmark = pytest.mark.usefixtures("files")


def test_a_sweep_of_a_file() -> None:
    sweep = load_sweep("many.yaml")
    assert (sweep.planned, sweep.rungs, sweep.slots) == (6, (2, 6, 18, 20), 8)
    assert sweep.keys == tuple(sweep.space)
    assert sweep.objective.objective == Objective("val_loss")
    assert (sweep.budget.seconds, sweep.budget.bytes) == (5400, 2_000_000_000)
    assert sweep.base.sha256 == load_spec("runs/one.yaml").sha256
    assert sweep.base.file == "runs/one.yaml"  # beside which its data are


def test_a_trial() -> None:
    sweep = load_sweep("many.yaml")
    values = {"sgd.learning_rate": 0.1, "model.layers.0.units": 8,
              "model.layers[0].activation": "relu"}  # fmt: skip
    trial = sweep.trial(values, 3)
    assert (trial.name, trial.tracking.experiment, trial.file) == (
        "trial 3 of many", "one", "runs/one.yaml"
    )  # fmt: skip
    assert trial.sha256 == load_spec("runs/one.yaml", values).sha256
    assert trial.model.layers[0].init == "he_uniform"  # found anew, as for `--set`


def test_a_sweep_with_all_in_place() -> None:
    sweep = load_sweep("in_place.yaml")
    assert (sweep.base.name, sweep.base.seed, sweep.base.file) == ("many", 7, "in_place.yaml")
    trial = sweep.trial({"sgd.learning_rate": 0.1}, 0)
    assert (trial.sgd.learning_rate, trial.tracking.experiment) == (0.1, "many")
    assert sweep.changed({"seed": 9}).base.seed == 9


@pytest.mark.parametrize("name", ["many", "in_place"])
def test_round_trip(name: str) -> None:
    sweep = load_sweep(f"{name}.yaml", {"sgd.epochs": 9, "slots": 3})
    assert (sweep.base.sgd.epochs, sweep.slots, sweep.rungs) == (9, 3, (2, 6, 9))
    again = SweepSpec.from_resolved(sweep.resolved(), file=sweep.file)
    assert again.resolved() == sweep.resolved()
    assert again.sha256 == sweep.sha256
    assert again.base.file == sweep.base.file
    values = {"sgd.learning_rate": 0.1, "model.layers[0].activation": "relu"}
    assert again.trial(values).sha256 == sweep.trial(values).sha256
    assert again.changed({"sgd.momentum": 0.5}).base.sgd.momentum == 0.5


def test_another_spec() -> None:
    """By a change; it is found beside the sweep's file, and its data beside it."""
    Path("other").mkdir()
    Path("other/two.yaml").write_text(RUN.replace("name: one", "name: two"))
    sweep = load_sweep("many.yaml", {"spec": "other/two.yaml", "sgd.epochs": 9})
    assert (sweep.base.name, sweep.base.file, sweep.base.sgd.epochs) == ("two", "other/two.yaml", 9)
    again = load_sweep("many.yaml").changed({"spec": "other/two.yaml"})
    assert (again.base.name, again.base.file, again.spec_file) == ("two",) + ("other/two.yaml",) * 2


def test_changes() -> None:
    sweep = load_sweep("many.yaml", ["search.trials=9", "sgd.momentum=0.5"])
    assert (sweep.planned, sweep.base.sgd.momentum) == (9, 0.5)
    assert sweep.changed({"halving": None, "sgd.epochs": 3}).rungs == (3,)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"name": "other"}, True),
        ({"tracking": {"experiment": "e"}}, True),
        ({"budget.time": "9d"}, True),
        ({"budget.disk": "9GB"}, True),
        ({"seed": 8}, False),
        ({"slots": 9}, False),
        ({"decide": "arrival"}, False),
        ({"sgd.momentum": 0.5}, False),
        ({"model.layers.0.init": "glorot_uniform"}, False),  # of tanh as before, not of relu
        ({"objective": {"minimise": "val_loss"}}, True),
        ({"objective": "val_accuracy"}, False),
        ({"space": {"sgd.learning_rate": {"log": [1e-4, 0.3]}}}, False),
    ],
)
def test_fingerprint(changes: dict[str, object], same: bool) -> None:
    sweep = load_sweep("many.yaml")
    assert (sweep.changed(changes).sha256 == sweep.sha256) is same


def test_commands_are_named_for_the_other_kind_of_file() -> None:
    for load in (load_spec, load_any):
        with pytest.raises(UsageError, match=r"many.yaml declares a sweep.*\n.*train sweep many"):
            load("many.yaml")
    with pytest.raises(
        UsageError, match=r"one run, no sweep \[TR-S026\]\n.*train run runs/one.yaml"
    ):
        load_sweep("runs/one.yaml")
