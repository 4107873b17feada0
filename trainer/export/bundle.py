"""The trained model as the folder of its run keeps it: code, numbers, and what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.checkpoints.arrays import read_arrays
from trainer.checkpoints.bundle import CODE, WEIGHTS, Bundle
from trainer.checkpoints.disk import read_sealed, read_within, told_of
from trainer.checkpoints.facts import Facts, read_outcome
from trainer.checkpoints.fitted import read_decision, read_preprocessing
from trainer.checkpoints.folder import FILES, MODEL
from trainer.data import holds_texts, written
from trainer.export.program import model_arrays, program_code
from trainer.graph.ops import Array
from trainer.network.decision import UNDECIDED, Decision
from trainer.network.model import Model
from trainer.spec.schema import Spec

FITTED: Final = f"{FILES}/preprocessing.json"
DECIDED: Final = f"{FILES}/decision.json"


def write_bundle(model: Model, rows: Array, epoch: int, ending: str, folder: Path) -> None:
    """Writes the files of a model into a new folder; `rows` are the raw ones of the example, of
    shape (rows, features). The code ends as the file of the module `ending`. Raises `OSError`.
    """
    from safetensors.numpy import save_file

    how = model.preprocessing
    about = Bundle(
        kind="regressor" if how.classes is None and not how.multi_label else "classifier",
        inputs=list(how.features),
        texts=[column.name for column in how.columns if holds_texts(column)],
        outputs=_types(model),
        example={name: _plain(values) for name, values in written(rows, how.columns).items()},
        predicted={name: _plain(values) for name, values in model.predict(rows).items()},
        epoch=epoch,
    )
    folder.mkdir()
    (folder / CODE).write_text(program_code(model, ending), encoding="utf-8")
    save_file(model_arrays(model), folder / WEIGHTS)
    about.write(folder)


def bundle_code(run: Path, facts: Facts, ending: str) -> str:
    """The code of the model in the folder of a run, made anew from its spec, its preprocessing, its
    decision and its numbers: the text that lies there is not what is run.

    Raises `CheckpointError` where they are not as the run left them, `SpecError` for a spec of
    another version.
    """
    how = read_preprocessing(run / FITTED, read_sealed(run, FITTED, facts.files))
    with told_of(run / MODEL / WEIGHTS):
        data = read_within(run, f"{MODEL}/{WEIGHTS}")
    arrays = read_arrays(run / MODEL / WEIGHTS, data)
    learned = {name: v for name, v in arrays.items() if not name.startswith(("x/", "y/"))}
    spec = Spec.from_resolved(facts.spec, file=facts.spec_file, text=facts.spec_text)
    return program_code(Model.from_parts(spec, learned, how, _decision(run)), ending)


def _decision(run: Path) -> Decision:
    """What was decided when the run came to its end. Raises `CheckpointError`."""
    outcome = read_outcome(run)
    data = read_sealed(run, DECIDED, outcome.files if outcome is not None else {})
    return UNDECIDED if data is None else read_decision(run / DECIDED, data)


def _plain(values: Array | list[Any]) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


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
