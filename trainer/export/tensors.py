"""A model as one safetensors file: its numbers by name, all else as metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from trainer.checkpoints.fitted import read_preprocessing
from trainer.export.program import model_arrays
from trainer.network.model import Model
from trainer.spec import Spec


def write_safetensors(model: Model, path: Path, facts: Mapping[str, str]) -> None:
    """Writes what was learned by name, and the numbers of the preprocessing as `x/…` and `y/…`.

    The metadata are `facts`, `preprocessing` and `spec`, the last two as JSON. Raises `OSError`.
    """
    from safetensors.numpy import save

    about = {
        "preprocessing": json.dumps(model.preprocessing.as_json()),
        "spec": json.dumps(model.spec.resolved()),
    }
    path.write_bytes(save(model_arrays(model), metadata={**facts, **about}))


def read_safetensors(path: Path) -> Model:
    """The model in a file that `write_safetensors` wrote."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        about = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    parameters = {
        name: value for name, value in arrays.items() if not name.startswith(("x/", "y/"))
    }
    how = read_preprocessing(path, about["preprocessing"].encode())
    spec = Spec.model_validate(json.loads(about["spec"]))
    return Model.from_parts(spec, parameters, how)
