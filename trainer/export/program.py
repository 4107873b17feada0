"""One Python file that predicts, and needs NumPy alone.

The same text, with another ending, is the code of the model that a run keeps in MLflow.
"""

from __future__ import annotations

import base64
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from trainer.data import written
from trainer.export.check import Answer, answer_columns
from trainer.export.columns import give_preprocessing, scaling_arrays
from trainer.export.copying import Program
from trainer.export.literals import literal, long_text
from trainer.export.runtime import alone, facts
from trainer.export.source import give_network
from trainer.graph.ops import Array
from trainer.network.model import Model
from trainer.spec.sources import CsvSource

_FIRST: Final = ("FEATURES", "COLUMNS", "DTYPE", "ROWS", "predict")
"""What a program begins with, so that readers find it; what else it needs comes by itself."""


def model_arrays(model: Model) -> dict[str, Array]:
    """The numbers of a model by name: what it learned, and those of its preprocessing."""
    found = {name: np.ascontiguousarray(value) for name, value in model.parameters.items()}
    return found | scaling_arrays(model.preprocessing)


def write_program(model: Model, path: Path, about: Mapping[str, str] | None = None) -> None:
    """Writes a Python file that holds the whole model and predicts: `predict(rows, P)`.

    As a script it reads CSV and writes CSV, with the delimiter of the file that the model was
    trained on. `about` stands in its docstring. Raises `OSError`.
    """
    from safetensors.numpy import save

    program = _program(model)
    weights = base64.encodebytes(save(model_arrays(model))).decode().splitlines()
    program.give("WEIGHTS", f"WEIGHTS = {long_text(['', *weights])}")
    text = program.text(_title(model, about or {}), _FIRST, alone.__name__)
    path.write_text(text, encoding="utf-8", newline="\n")


def program_code(model: Model, ending: str) -> str:
    """The program without its numbers, and with what the file of the module `ending` runs."""
    return _program(model).text(_title(model, {}), _FIRST, ending)


def answer_program(model: Model, path: Path, x: Array) -> Answer:
    """What the file says of raw rows of shape (rows, features)."""
    scope = runpy.run_path(str(path))
    how = model.preprocessing
    found = scope["predict"](written(x, how.columns), scope["P"])
    return answer_columns(how, list(found.values()))


def _program(model: Model) -> Program:
    """What all programs of the model have."""
    how, source = model.preprocessing, model.spec.data.source
    program = Program()
    program.set("FEATURES", list(how.features))
    program.set("COLUMNS", list(model.columns))
    program.set("CLASSES", list(how.classes or ()))
    program.give("DTYPE", f"DTYPE = np.dtype({literal(how.dtype)})", facts.__name__)
    program.set("DELIMITER", source.separator if isinstance(source, CsvSource) else ",")
    program.set("CUT", model.decision.cut)
    give_preprocessing(program, how, source, model.decision.cut)
    what = "logits" if model.spec.model.loss == "logistic" else "outputs"
    given, made = (f"(rows, {literal(n)})" for n in (how.layout.width, how.outputs))
    about = f"The {what}, of shape {made}, for x of shape {given}."
    give_network(program, model.graph, model.graph.outputs["prediction"], long_text([about]))
    return program


def _title(model: Model, about: Mapping[str, str]) -> str:
    """The docstring."""
    how, count = model.preprocessing, len(model.preprocessing.features)
    columns = f"{count} column{'s' * (count != 1)}"
    lines = [f"{model.spec.name}: predicts {how.target} from {columns}."]
    return long_text([*lines, *([""] if about else []), *(f"{k}: {v}" for k, v in about.items())])
