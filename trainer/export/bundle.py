"""The trained model in the folder of its run: code, numbers, and what one must know of them.

The recorder makes MLflow's model of it, and knows nothing else of the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.data.columns.texts import written
from trainer.export.program import mlflow_code, model_arrays
from trainer.graph.ops import Array
from trainer.network.model import Model

CODE: Final = "model.py"
WEIGHTS: Final = "weights.safetensors"
ABOUT: Final = "model.json"


@dataclass(frozen=True)
class Bundle:
    """What goes into a model and comes out. `kind` is `classifier` or `regressor`; `outputs` has
    the type of each column by name (`double`, `float`, `long`, `boolean`, `string`). `example`
    holds some raw rows by column, `predicted` what the model says of them. `epoch` is the last one
    that was trained.
    """

    kind: str
    inputs: list[str]
    outputs: Mapping[str, str]
    example: Mapping[str, list[Any]]
    predicted: Mapping[str, list[Any]]
    epoch: int


def write_bundle(model: Model, rows: Array, epoch: int, folder: Path) -> None:
    """Writes the files of a model into a new folder; `rows` are the raw ones of the example, of
    shape (rows, features). Raises `OSError`.
    """
    from safetensors.numpy import save_file

    how = model.preprocessing
    about = Bundle(
        kind="regressor" if how.classes is None and not how.multi_label else "classifier",
        inputs=list(how.features),
        outputs=_types(model),
        example={name: _plain(values) for name, values in written(rows, how.columns).items()},
        predicted={name: _plain(values) for name, values in model.predict(rows).items()},
        epoch=epoch,
    )
    folder.mkdir()
    (folder / CODE).write_text(mlflow_code(model), encoding="utf-8")
    save_file(model_arrays(model), folder / WEIGHTS)
    (folder / ABOUT).write_text(json.dumps(asdict(about), ensure_ascii=False), encoding="utf-8")


def read_bundle(folder: Path) -> Bundle:
    """What a bundle says of itself. Raises `OSError`, `ValueError` and `TypeError`."""
    return Bundle(**json.loads((folder / ABOUT).read_text(encoding="utf-8")))


def _plain(values: Array | list[Any]) -> list[Any]:
    return np.asarray(values).tolist() if isinstance(values, np.ndarray) else list(values)


def _types(model: Model) -> dict[str, str]:
    """The types of what comes out, as MLflow calls them."""
    how = model.preprocessing
    wide = how.dtype == "float64" or how.target_scaling.changes
    kinds = dict.fromkeys(model.columns, "double" if wide else "float")
    if how.multi_label:
        kinds |= dict.fromkeys(model.columns[: how.outputs], "long")
    if how.classes is not None:
        labels = {str: "string", bool: "boolean", int: "long"}
        kinds["prediction"] = labels.get(type(how.classes[0]), "double")
    return kinds
