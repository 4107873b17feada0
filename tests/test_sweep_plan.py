"""What a sweep will take, and its trials held against the data before any trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_sweep_spec import RUN, SWEEP

from trainer.errors import DataError, SpecError
from trainer.spec import Spec
from trainer.sweeps.checking import check_trials, first_trials
from trainer.sweeps.declaration import SweepSpec, load_sweep
from trainer.sweeps.plan import _disk_of, plan_sweep, show_seconds, usual_epochs
from trainer.sweeps.space import draw
from trainer.workers.shelf import Shelf


@pytest.fixture(autouse=True)
def _files(folder: Path) -> None:
    (folder / "runs").mkdir()
    (folder / "runs/one.yaml").write_text(RUN)


def sweep(space: str, changes: dict[str, Any] | None = None) -> SweepSpec:
    """A sweep of this space."""
    start, rest = SWEEP.split("space:\n")
    after = rest[rest.index("search:") :]
    Path("sweep.yaml").write_text(f"{start}space:\n  {space}\n{after}")
    return load_sweep("sweep.yaml", changes)


class Counting(Shelf):
    """Counts what is prepared, and how often data are read."""

    prepared = 0

    def prepare(self, spec: Spec, *others: Any) -> Any:
        self.prepared += 1
        return super().prepare(spec, *others)


# Checking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "changes", "found"),
    [
        # the data have five rows, of which two are held back
        ("sgd.batch_size: {integers: [2, 9]}", {},
         '5:34: space."sgd.batch_size".integers[1]: with sgd.batch_size = 9: a batch of 9 rows '
         "is larger than the 3 training rows"),
        ("model.layers.1.units: {values: [1, 4]}", {},
         '5:38: space."model.layers.1.units".values[1]: with model.layers.1.units = 4: '),
        ("model.layers.0.units: {integers: [1, 900000000000]}", {},
         '5:40: space."model.layers.0.units".integers[1]: with model.layers.0.units = '
         "900000000000: "),
        ("sgd.learning_rate: {log: [1, 1e30]}", {"model.dtype": "float32", "sgd.momentum": 0.1},
         None),
        ("sgd.clip_norm: {values: [1e39]}", {"model.dtype": "float32"},
         '5:28: space."sgd.clip_norm".values[0]: with sgd.clip_norm = 1e+39: float32 holds no '
         "number as large as 1e+39"),
        ("data.features: {values: [[x1], [x3]]}", {},
         '5:34: space."data.features".values[1]: with data.features = ["x3"]: '),
    ],
)  # fmt: skip
def test_a_trial_that_does_not_fit_is_told_at_its_value(
    space: str, changes: dict[str, Any], found: str | None
) -> None:
    spec = sweep(space, changes)
    if found is None:
        assert check_trials(spec).count
        return
    with pytest.raises((SpecError, DataError)) as caught:
        check_trials(spec)
    assert str(caught.value).startswith(f"sweep.yaml:{found}"), str(caught.value)


def test_every_point_of_a_grid_is_checked() -> None:
    """None of the edges is wrong, and three of twelve points are."""
    space = "sgd.batch_size: {values: [2, 1, 3, full]}\n  sgd.shards: {values: [2, 1, 3]}"
    spec = sweep(space, {"search": {"method": "grid"}})
    with pytest.raises(SpecError) as caught:
        check_trials(spec)
    shards = 'space."sgd.shards".values'
    assert [(p.path, p.message) for p in caught.value.problems] == [
        (f"{shards}[0]", "with sgd.shards = 2: 2 shards of a batch of 1 examples"),
        (f"{shards}[2]", "with sgd.shards = 3: 3 shards of a batch of 2 examples"),
    ]
    assert check_trials(spec.changed({"search.trials": 2})).count == 2 + 4 + 3 + 3


def test_mistakes_of_the_spec_are_told_in_its_file() -> None:
    spec = sweep("sgd.momentum: {uniform: [0, 0.9]}", {"sgd.batch_size": 9})
    with pytest.raises(SpecError, match=r"--set sgd.batch_size: sgd.batch_size: a batch of 9"):
        check_trials(spec)


def test_data_are_read_once_and_like_trials_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Spec] = []
    from trainer.data import load_dataset

    def counted(spec: Spec, *others: Any) -> Any:
        read.append(spec)
        return load_dataset(spec, *others)

    monkeypatch.setattr("trainer.workers.shelf.load_dataset", counted)
    shelf = Counting()
    spec = sweep(
        "sgd.learning_rate: {log: [1e-4, 1], steps: 30}\n  sgd.momentum: {uniform: [0, 0.9], "
        "steps: 10}\n  model.layers.0.units: {values: [2, 3]}",
        {"search": "grid"},
    )
    found = check_trials(spec, shelf)
    edges = 2 + 2 + 2 + 3
    assert (found.count, len(found.sizes)) == (600 + edges, 600)
    assert shelf.prepared == 1 + 2 * 2  # the spec, and of both widths with momentum and without
    assert len(read) == 1


def test_the_first_trials_are_those_that_will_be_drawn() -> None:
    spec = load_sweep(_many())
    drawn = [draw(spec.space, 7, number) for number in range(6)]
    assert list(first_trials(spec)) == drawn
    tpe = spec.changed({"search": {"method": "tpe", "trials": 50, "startup": 4}})
    assert list(first_trials(tpe)) == drawn[:4]


def _many() -> Path:
    Path("many.yaml").write_text(SWEEP)
    return Path("many.yaml")


# Planning ---------------------------------------------------------------------------------------


def test_the_plan() -> None:
    spec = load_sweep(_many(), {"search.trials": 27})
    plan = plan_sweep(spec, 2)
    # 27 to epoch 2, 9 to 6, 3 to 18, 1 to 20
    assert plan.usual_epochs == 27 * 2 + 9 * 4 + 3 * 12 + 1 * 2
    assert (plan.trials, plan.rungs, plan.epochs) == (27, (2, 6, 18, 20), 540)
    assert plan.memory == 2 * (200_000_000 + plan.trial_memory)
    assert plan.checked == 27 + 2 + 2 + 2 + 3
    assert 0 < plan.seconds < 60
    assert plan.disk > 27 * 20_000
    assert json.loads(json.dumps(plan.as_json()))["keys"] == {
        "sgd.learning_rate": "0.0001 to 0.3, by factors",
        "model.layers.0.units": "4 to 64, whole numbers, by factors",
        "model.layers[0].activation": "relu, tanh",
    }
    text = plan.describe()
    assert text.startswith("many: random search for the best val_loss\n\nkey ")
    for line in (
        "trials  27 trials of 20 epochs; compared after 2, 6 and 18, where the others wait",
        "epochs  about 128, at most 540",
        "checked 36 points of the space against the data",
    ):
        assert f"\n{line}\n" in text


def test_usual_epochs_have_one_trial_at_the_end() -> None:
    spec = load_sweep(_many(), {"search.trials": 2, "halving": {"from": 1, "factor": 10}})
    assert usual_epochs(spec) == 2 * 1 + 1 * 9 + 1 * 10


def test_epochs_that_vary_are_added_up() -> None:
    spec = sweep("sgd.epochs: {values: [3, 5]}", {"halving": None, "search": "grid"})
    plan = plan_sweep(spec, 8)
    assert (plan.epochs, plan.usual_epochs, plan.workers) == (8, 8, 2)  # as many as trials
    assert "epochs  8 if each trial trains to its end" in plan.describe()


@pytest.mark.parametrize(
    ("space", "changes", "note"),
    [
        ("sgd.momentum: {values: [0, 0.5]}", {"search": {"method": "grid", "trials": 9}},
         "the grid has 2 points, fewer than the 9 trials"),
        ("sgd.momentum: {values: [0, 0.5]}", {"search": {"method": "tpe", "trials": 9}},
         "all trials are drawn at random: the startup has 16"),
        ("seed: {values: [0, 1]}", {},
         "trials are measured on different rows: seed decides which these are"),
        ("data.split.validation: {values: [0.2, 0.4]}", {},
         "trials are measured on different rows: data.split.validation decides which these are"),
        ("sgd.momentum: {values: [0, 0.5]}", {"decide": "arrival"},
         "which trials go on depends on whose result is there first: it cannot be reproduced"),
        ("sgd.momentum: {values: [0, 0.5]}", {"budget.disk": "2kB"},
         "beyond the budget of 2kB the worst trials that wait are dropped"),
        ("sgd.momentum: {values: [0, 0.5]}", {"budget.time": "0.1s"},
         "the budget of 0.1s ends it before all trials are done"),
    ],
)  # fmt: skip
def test_notes(space: str, changes: dict[str, Any], note: str) -> None:
    assert note in plan_sweep(sweep(space, changes), 2, engine="reference").notes


def test_more_memory_than_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.sweeps.plan.machine_memory", lambda: 700_000_000)
    plan = plan_sweep(load_sweep(_many()), 5, engine="reference")
    assert "this machine has 700.0 MB of memory: take 3 workers" in plan.notes


def test_the_estimate_of_the_disk_is_what_a_trial_leaves() -> None:
    """Within a factor of two."""
    from trainer.workers.task import Task
    from trainer.workers.train import train_task

    spec = load_sweep(_many())
    size = check_trials(spec).sizes[0]
    trial = spec.trial(next(iter(first_trials(spec))))
    answer = train_task(Task("a" * 32, trial.resolved(), trial.file), Path("runs"))
    assert answer.status == "FINISHED"
    there = sum(f.stat().st_size for f in Path("runs", "a" * 32).rglob("*") if f.is_file())
    assert 0.5 < _disk_of(size, 20) / there < 2


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "1 s"), (99, "99 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_seconds(seconds: float, text: str) -> None:
    assert show_seconds(seconds) == text
