"""What `docs/contributing.md` adds, at work, where its diffs are applied (`test_contributing`)."""

from __future__ import annotations

import runpy
from math import cosh, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, TINY, Train

import trainer
from trainer import Spec
from trainer.graph import OPS
from trainer.graph.ops import ACTIVATIONS
from trainer.runs.profile import Profile
from trainer.training.result import Run
from trainer.training.schedule import learning_rates

LINEAR = {"source": {"synthetic": "linear", "rows": 60}, "split": {"validation": 0.25}}
SGD = {"learning_rate": 0.05, "epochs": 3, "batch_size": 15}


def trained(engine: Any = "auto", **changes: Any) -> Run:
    """The tiny spec with other parts, trained."""
    profile = Profile(runs=None, engine=engine)
    spec = Spec.model_validate(TINY | {"data": LINEAR, "sgd": SGD} | changes)
    return trainer.train(spec, profile=profile)


def net(*layers: dict[str, Any], loss: str = "squared") -> dict[str, Any]:
    return {"layers": [*layers, {"units": 1}], "loss": loss, "dtype": "float64"}


def test_the_activation_trains_alike_on_both_engines() -> None:
    model = net({"units": 3, "activation": "swish"})
    runs = [trained(engine, model=model) for engine in ("compiled", "reference")]
    for name, values in runs[0].parameters.items():
        np.testing.assert_allclose(values, runs[1].parameters[name], rtol=1e-12)
    losses = runs[0].history["train_loss"].values
    assert losses[-1] < losses[0]


def test_the_activation_is_documented_and_checked(train: Train, folder: Path) -> None:
    made = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    assert "| `swish` | swish(x) | 1 | yes | complex step |" in made["ops_table"]()
    assert "| `swish` | `he_uniform` |" in made["activations"]()
    assert ACTIVATIONS["swish"] == "he_uniform"
    assert '"swish"' in train("schema")[1]
    text = "name: a\ndata: {source: {synthetic: linear}}\nsgd: {learning_rate: 0.1, epochs: 1}\n"
    for name, code, says in (("swish", 0, '"op": "swish"'), ("swich", 2, "did you mean 'swish'?")):
        model = f"model: {{loss: squared, layers: [{{units: 1, activation: {name}}}]}}\n"
        Path("a.yaml").write_text(text + model)
        found, told, _ = train("check", "a.yaml", "--json")
        assert found == code
        assert says in told


def test_the_op_is_a_function_of_equations() -> None:
    assert OPS["abs"].vjps[0] is not None
    model = {
        "inputs": {"x": 3}, "parameters": {"w": {"shape": [3]}},
        "equations": {"y_hat": "abs(dot(w, x)) - 1"}, "output": "y_hat", "loss": "squared",
    }  # fmt: skip
    losses = trained(model=model).history["train_loss"].values
    assert losses[-1] < losses[0]


def test_the_layer_is_trained() -> None:
    run = trained(model=net({"type": "scale", "name": "s"}))
    assert run.parameters["s/scale"].shape == (3,)
    assert not np.array_equal(run.parameters["s/scale"], np.ones(3))


def test_the_loss_is_as_its_formula_says() -> None:
    data = {"source": {"inline": {"x": [[0.0]], "y": [3.0]}}}
    sgd = {"epochs": 1, "learning_rate": 1e-9, "batch_size": 1}
    run = trained(model=net(loss="log_cosh"), data=data, sgd=sgd)
    assert run.metrics["train_loss"] == pytest.approx(log(cosh(3)), rel=1e-6)


def test_the_metric_is_measured() -> None:
    run = trained(model=net(), evaluation={"metrics": ["mse", "rmse"]})
    assert run.metrics["val_mse"] == pytest.approx(run.metrics["val_rmse"] ** 2)


def test_the_schedule_decides_the_rates() -> None:
    sgd = SGD | {"schedule": "inverse"}
    spec = Spec.model_validate(TINY | {"data": LINEAR, "model": net(), "sgd": sgd})
    assert learning_rates(spec.sgd, 3, 1, 7)[::3].tolist() == pytest.approx([0.05, 0.025, 0.05 / 3])
    assert trained(model=net(), sgd=sgd).status == "FINISHED"


def test_the_source_is_read() -> None:
    data = {"source": {"synthetic": "rings", "rows": 200}}
    sgd = {"learning_rate": 0.1, "epochs": 100, "batch_size": 10}
    model = net({"units": 8, "activation": "tanh"}, loss="logistic")
    assert trained(data=data, model=model, sgd=sgd).metrics["train_accuracy"] > 0.9


def test_the_command_answers(train: Train, folder: Path) -> None:
    assert train("where") == (0, f"{folder.resolve() / 'runs'}\n", "")
