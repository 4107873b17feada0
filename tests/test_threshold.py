"""When the second of two classes is said: chosen by hand-worked rows, kept, and used everywhere."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import Train
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

import trainer
from trainer import Profile, SpecError, load_spec
from trainer.checkpoints.bundle import CODE
from trainer.checkpoints.facts import read_facts
from trainer.checkpoints.folder import MODEL
from trainer.data import load_dataset
from trainer.export.bundle import bundle_code
from trainer.export.files import export_model
from trainer.metrics import Classes
from trainer.metrics.threshold import (
    choose_cut,
    cost_value,
    cut_of,
    f1_value,
    threshold_of,
    value_of,
)
from trainer.network.decision import Decision
from trainer.runs.use import load_model
from trainer.tracking.model import SERVED
from trainer.training.soundness import check_soundness

KEPT = Profile(record=False)

# Choosing, by hand -------------------------------------------------------------------------------

EQUAL = cost_value(1, 1)
CHOSEN = [
    # logits, which are of class 1, by what, the cut
    ([-2, -1, 1, 3], [0, 0, 1, 1], f1_value, 0.0),  # 0 lies between what it tells apart
    ([-4, -3, -1, -0.5], [0, 0, 1, 1], f1_value, -2.0),  # halfway from -3 to -1
    ([1, 2, 4, 5], [0, 0, 1, 1], f1_value, 3.0),
    ([-1, 1], [1, 0], EQUAL, -2.0),  # as bad all over: 1 mistake at best, outside of all logits
    ([-3, -1, 1, 3], [1, 0, 1, 0], cost_value(1, 9), -4.0),  # say it always, one below the last
    ([-3, -1, 1, 3], [1, 0, 1, 0], cost_value(9, 1), 4.0),  # never, one above it
    ([-5, -3, 3, 5], [0, 1, 0, 1], EQUAL, -4.0),  # one mistake at -4 and at 4: the lower
    ([-5, -3, -3, -1], [0, 0, 1, 1], EQUAL, -2.0),  # equal logits go together; -4 is as good
    ([0, 0, 0, 2], [0, 0, 0, 1], EQUAL, 0.0),  # 0 itself is not above 0
    ([1e8, 3e8], [0, 1], EQUAL, 2e8),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("logits", "right", "value", "cut"), CHOSEN)
def test_cuts_by_hand(
    logits: list[float], right: list[int], value: Any, cut: float, dtype: str
) -> None:
    found = choose_cut(np.array(logits, dtype), np.array(right, bool), value)
    assert found == cut


def test_rows_of_one_class_choose_none() -> None:
    for right in (np.zeros(3, bool), np.ones(3, bool)):
        assert choose_cut(np.arange(3.0), right, f1_value) is None
    assert choose_cut(np.arange(2.0), np.array([True, False]), EQUAL, np.array([1.0, 0.0])) is None


def test_weights_count_as_so_many_rows() -> None:
    logits, right = np.array([-3.0, -2, 1, 4]), np.array([False, True, False, True])
    weight = np.array([1, 5, 2, 1])
    often = np.repeat(np.arange(4), weight)
    for value in (f1_value, EQUAL, cost_value(3, 1)):
        plain = choose_cut(logits[often], right[often], value)
        assert choose_cut(logits, right, value, weight) == plain


ROWS = st.lists(st.tuples(st.integers(-8, 8), st.booleans()), min_size=2, max_size=30)


@settings(max_examples=30, deadline=None)
@given(ROWS, st.sampled_from(["f1", (1.0, 1.0), (5.0, 1.0), (0.3, 2.0)]))
def test_no_other_cut_is_better(rows: list[tuple[int, bool]], by: Any) -> None:
    """Against every cut there is, with scikit-learn's F1 and costs counted one by one."""
    logits, right = np.array([r[0] for r in rows]) / 2, np.array([r[1] for r in rows])
    names = ("false_positive", "false_negative")
    value = value_of("f1" if by == "f1" else {"cost": dict(zip(names, by, strict=True))})
    cut = choose_cut(logits, right, value)
    if cut is None:
        assert right.all() or not right.any()
        return

    def worth(at: float) -> float:
        said = logits > at
        if by == "f1":
            kinds = sorted({*said.tolist(), *right.tolist()})
            return float(sk.f1_score(right, said, labels=kinds, average="macro", zero_division=0))
        return -float(by[0] * (said & ~right).sum() + by[1] * (~said & right).sum())

    others = [*(np.unique(logits) + 0.25), *(np.unique(logits) - 0.25), 0.0]
    best = max(map(worth, others))
    assert worth(cut) == pytest.approx(best)
    if worth(0.0) == best:
        assert cut == 0.0, "0.5 stays where nothing is better"


@given(st.floats(1e-6, 1 - 1e-6))
def test_a_threshold_and_its_cut(threshold: float) -> None:
    assert threshold_of(cut_of(threshold)) == pytest.approx(threshold)
    assert cut_of(0.5) == 0.0


@pytest.mark.parametrize(("outputs", "logits", "cut", "said"), [
    (1, [[-1.0], [0.4], [0.6]], 0.5, [0, 0, 1]),
    (1, [[-1.0], [0.5]], -2.0, [1, 1]),
    (2, [[0.0, 0.4], [0.0, 0.6], [1.0, 0.0]], 0.5, [0, 1, 0]),
    (2, [[0.0, 0.0]], 0.0, [0]),
    (3, [[0.0, 0.1, 0.2]], 0.0, [2]),
])  # fmt: skip
def test_which_class_is_said(
    outputs: int, logits: list[list[float]], cut: float, said: list[int]
) -> None:
    assert Classes(outputs, cut=cut).predicted(np.array(logits))[:, 0].tolist() == said


# In a spec ---------------------------------------------------------------------------------------


def spec_of(folder: Path, threshold: Any = None, **changes: Any) -> Path:
    """120 rows, a fifth of which are 'yes', and overlap with the rest."""
    rng = np.random.default_rng(3)
    yes = rng.random(120) < 0.2
    a = (rng.normal(size=120) + 1.5 * yes).round(3)
    rows = [f"{x},{'yes' if y else 'no'}" for x, y in zip(a, yes, strict=True)]
    (folder / "rows.csv").write_text("\n".join(["a,y", *rows]) + "\n")
    values: dict[str, Any] = {
        "name": "t",
        "data": {"source": {"csv": "rows.csv"}, "target": "y",
                 "split": {"validation": 0.3, "test": 0.2}},
        "model": {"layers": [{"units": 1}], "loss": "logistic"},
        "sgd": {"learning_rate": 0.5, "epochs": 8, "batch_size": 16},
    }  # fmt: skip
    if threshold is not None:
        values["evaluation"] = {"threshold": threshold}
    for key, value in changes.items():
        room, _, name = key.partition("__")
        values[room][name] = value
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


COSTS = {"cost": {"false_positive": 1, "false_negative": 8}}
WRONG = [
    (0, {}, "expected a probability between 0 and 1, f1, or {cost:"),
    (1.0, {}, "expected a probability between 0 and 1, f1, or {cost:"),
    (True, {}, "expected a probability"),
    ("auc", {}, "expected a probability"),
    ("cost", {}, "'cost' needs what the two kinds of mistakes cost"),
    ({"costs": 1}, {}, "did you mean 'cost'?"),
    ({"cost": {"false_positive": 1}}, {}, "the costs of a false_positive and a false_negative"),
    ({"cost": {"false_positive": 1, "false_negative": 0}}, {}, "expected a number above 0"),
    ("f1", {"data__split": {"test": 0.2}}, "chosen on validation rows, and there are none"),
    (0.3, {"model__loss": "squared", "data__target": "a", "data__features": ["a"]}, "has none"),
    (0.3, {"model__multi_label": True}, "is between two classes, not for several labels"),
]


@pytest.mark.parametrize(("threshold", "changes", "message"), WRONG)
def test_mistakes(folder: Path, threshold: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as error:
        load_spec(spec_of(folder, threshold, **changes))
    assert message in str(error.value)
    assert "evaluation.threshold" in str(error.value)


def test_three_classes_are_refused_with_the_data(folder: Path) -> None:
    data = {"source": "iris", "split": {"validation": 0.2}}
    path = spec_of(folder, "f1", model__layers=[{"units": 3}])
    values = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**values, "data": data}))
    spec = load_spec(path)
    with pytest.raises(SpecError, match="a threshold is between two classes, found 3"):
        check_soundness(spec, load_dataset(spec))


@pytest.mark.parametrize("threshold", [0.25, "f1", COSTS])
@pytest.mark.parametrize("units", [1, 2])
def test_it_is_kept_and_used(folder: Path, train: Train, threshold: Any, units: int) -> None:
    """In metrics, by predict, evaluate and exported programs; AUC and loss are as without it."""
    path = spec_of(folder, threshold, model__layers=[{"units": units}])
    run = trainer.train(load_spec(path), profile=KEPT)
    plain = trainer.train(
        load_spec(spec_of(folder, model__layers=[{"units": units}])), profile=KEPT
    )
    assert run.parameters_sha256 == plain.parameters_sha256
    for name in ("test_auc", "test_loss", "test_log_loss", "val_loss"):
        assert run.metrics[name] == plain.metrics[name], name
    chosen = run.metrics["threshold"]
    assert 0 < chosen < 0.5
    assert any(note.startswith("says 'yes' above a probability of ") for note in run.notes)

    model = load_model(run.id, profile=KEPT).model
    assert model.decision.threshold == chosen
    rows = np.linspace(-2, 4, 200)[:, None]
    found = model.predict(rows)
    said = np.where(found["probability/yes"] > chosen, "yes", "no")
    np.testing.assert_array_equal(found["prediction"], said)
    assert (found["prediction"] == "yes").sum() > (found["probability/yes"] > 0.5).sum()
    for form in ("numpy", "onnx"):
        made = export_model(model, form, folder / f"m.{form}", {})
        assert made.difference < 1e-6

    code = bundle_code(run.folder, read_facts(run.folder), SERVED)  # what MLflow keeps
    assert f"\nCUT = {model.decision.cut}\n" in code
    assert code == (run.folder / MODEL / CODE).read_text()

    code, out, err = train("evaluate", run.id, "--data", "rows.csv", "--json")
    assert code == 0, err
    metrics = json.loads(out)["metrics"]
    table = np.genfromtxt("rows.csv", delimiter=",", names=True, dtype=None, encoding="utf-8")
    answers = model.predict(table["a"][:, None])["prediction"]
    assert metrics["accuracy"] == pytest.approx(sk.accuracy_score(table["y"], answers))
    assert metrics["f1"] == pytest.approx(sk.f1_score(table["y"], answers, average="macro"))


def test_what_is_chosen_is_best_on_the_validation_rows(folder: Path) -> None:
    run = trainer.train(load_spec(spec_of(folder, "f1")), profile=Profile(runs=None))
    assert run.metrics["last_val_accuracy"] == run.history["val_accuracy"].values[-1]
    path = spec_of(folder, "f1")
    values = yaml.safe_load(path.read_text())
    found = {}
    for threshold in ("f1", 0.5, 0.1, 0.2, 0.3, 0.7):
        values["evaluation"] = {"threshold": threshold, "metrics": ["f1"]}
        path.write_text(yaml.safe_dump(values))
        found[threshold] = trainer.train(load_spec(path), profile=Profile(runs=None)).metrics[
            "val_f1"
        ]
    assert found["f1"] == max(found.values()) > found[0.5]


def test_validation_rows_of_one_class_are_told(folder: Path) -> None:
    path = spec_of(folder, "f1")
    rows = (folder / "rows.csv").read_text().splitlines()
    (folder / "valid.csv").write_text("\n".join(r for r in rows if not r.endswith("yes")) + "\n")
    values = yaml.safe_load(path.read_text())
    values["data"] = {**values["data"], "validation": "valid.csv", "split": {"test": 0.2}}
    path.write_text(yaml.safe_dump(values))
    run = trainer.train(load_spec(path), profile=Profile(runs=None))
    assert run.metrics["threshold"] == 0.5
    assert "the validation rows hold one class: the threshold stays 0.5" in run.notes


def test_check_says_when_it_is_said(folder: Path, train: Train) -> None:
    spec_of(folder, COSTS)
    code, out, _ = train("check", "spec.yaml")
    assert code == 0
    assert "answer  'yes' above a probability that is chosen by cost on the validation rows" in out


def test_a_decision_is_read_back_to_the_bit() -> None:
    made = Decision(None, 0.1 + 0.2)
    assert Decision.from_json(json.loads(json.dumps(made.as_json()))) == made
    for wrong in (math.nan, math.inf):
        with pytest.raises(ValueError, match="the cut is"):
            Decision.from_json({"trivial": None, "cut": wrong})
