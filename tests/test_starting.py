"""Starting from the parameters of another run, and layers that stay as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import trainer
from trainer import Profile, SpecError, UsageError, load_spec

REFERENCE = Profile("reference")

LAYERS = [{"units": 4, "activation": "tanh", "name": "left"}, {"type": "batch_norm"},
          {"units": 3, "name": "right"}]  # fmt: skip
BASE = {
    "name": "first",
    "data": {"source": "iris", "split": {"validation": 0.2}, "standardize": True},
    "model": {"layers": LAYERS, "loss": "logistic"},
    "sgd": {"learning_rate": 0.1, "batch_size": 16, "epochs": 2},
}


def spec_of(write_spec: Any, changes: dict[str, Any]) -> trainer.Spec:
    return load_spec(write_spec(BASE), changes)


@pytest.fixture
def first(store: str, write_spec: Any) -> trainer.Run:
    return trainer.train(spec_of(write_spec, {}), profile=REFERENCE)


def begun(run: trainer.Run) -> float:
    return float(run.history["val_loss"].values[0])


def test_a_run_goes_on_from_another(store: str, write_spec: Any, first: trainer.Run) -> None:
    """Its first evaluation is the last of the other, running averages included; the spec that
    was recorded names the whole id and the hash; and it is reproduced to the bit.
    """
    spec = spec_of(write_spec, {"name": "second", "model.init_from": {"run": "first"}})
    second = trainer.train(spec, profile=REFERENCE)
    assert begun(second) == first.metrics["val_loss"]
    assert second.parameters_sha256 != first.parameters_sha256
    from mlflow import MlflowClient

    params = MlflowClient(store).get_run(str(second.run_id)).data.params
    assert params["model/init_from/run"] == first.id
    assert params["model/init_from/sha256"] == first.parameters_sha256
    assert trainer.reproduce(str(second.id)).identical


def test_some_layers_and_the_rest_anew(store: str, write_spec: Any, first: trainer.Run) -> None:
    start = {"run": str(first.id)[:8], "layers": ["left"]}
    frozen = [{**LAYERS[0], "freeze": True}, LAYERS[1], {"units": 8}, {"units": 3}]
    changes = {"name": "second", "model.init_from": start, "model.layers": frozen}
    second = trainer.train(spec_of(write_spec, changes), profile=REFERENCE)
    for name in ("left/W", "left/b"):
        np.testing.assert_array_equal(second.parameters[name], first.parameters[name])
    assert second.parameters["dense_3/W"].shape == (4, 8)
    assert "grad_norm/left/W" not in second.history
    assert "grad_norm/dense_3/W" in second.history
    compiled = trainer.train(
        spec_of(write_spec, changes), profile=Profile("compiled", record=False)
    )
    np.testing.assert_array_equal(compiled.parameters["left/W"], first.parameters["left/W"])
    np.testing.assert_allclose(
        compiled.parameters["dense_3/W"], second.parameters["dense_3/W"], rtol=1e-4, atol=1e-6
    )


def test_a_file(store: str, write_spec: Any, first: trainer.Run, folder: Path) -> None:
    """Relative to the spec; what an exported model holds besides is left alone."""
    save_file({**first.parameters, "x/shift": np.zeros(4)}, folder / "kept.safetensors")
    spec = spec_of(write_spec, {"model.init_from": {"file": "kept.safetensors"}})
    second = trainer.train(spec, profile=Profile("reference", record=False))
    assert begun(second) == first.metrics["val_loss"]


@pytest.mark.parametrize(("start", "layers", "message"), [
    ({"run": "nobody"}, LAYERS, "there is no run 'nobody'"),
    ({"file": "nothing.safetensors"}, LAYERS, "cannot be read: No such file"),
    ({"file": "spec.yaml"}, LAYERS, "it is no safetensors file"),
    ({"run": "first", "layers": ["lift"]}, LAYERS, "no layer with parameters is called 'lift'"),
    ({"run": "first", "sha256": "0" * 64}, LAYERS, "have another hash"),
    ({"run": "first"}, [{"units": 5, "name": "left"}, {"units": 3, "name": "right"}],
     r"(?s)expected 'left/W' of \(4, 5\), the run first has an array of \(4, 4\).*'right/W'"),
    ({"run": "first"}, [{"units": 3, "name": "other"}],
     r"expected 'other/W' of \(4, 3\), the run first has nothing"),
])  # fmt: skip
@pytest.mark.usefixtures("first")
def test_mistakes(write_spec: Any, start: dict[str, Any], layers: Any, message: str) -> None:
    spec = spec_of(write_spec, {"model.init_from": start, "model.layers": layers})
    with pytest.raises((SpecError, UsageError), match=message):
        trainer.train(spec, profile=REFERENCE)


def test_a_run_without_parameters(store: str, write_spec: Any, first: trainer.Run) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(store)
    experiment = client.get_run(str(first.run_id)).info.experiment_id
    client.create_run(experiment, run_name="empty")
    spec = spec_of(write_spec, {"model.init_from": {"run": "empty"}})
    with pytest.raises(SpecError, match="has no parameters"):
        trainer.train(spec, profile=REFERENCE)
