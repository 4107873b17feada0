"""Writing a model to a file that is checked before it has its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainer.export.check import Answer, answer_model, choose_rows, compare
from trainer.export.onnx import answer_onnx, write_onnx
from trainer.export.program import answer_program, write_program
from trainer.export.tensors import read_safetensors, write_safetensors
from trainer.graph.ops import Array
from trainer.network.model import Model
from trainer.outputs import replacing


@dataclass(frozen=True)
class Format:
    """A kind of file: its suffix, what is in it and with what it is checked, how it is written,
    and what it says of raw rows.
    """

    suffix: str
    what: str
    reader: str
    write: Callable[[Model, Path, Mapping[str, str]], None]
    answer: Callable[[Model, Path, Array], Answer]


FORMATS: Final[Mapping[str, Format]] = {
    "onnx": Format(".onnx", "ONNX model", "onnxruntime", write_onnx, answer_onnx),
    "safetensors": Format(
        ".safetensors", "tensors", "safetensors", write_safetensors,
        lambda model, path, x: answer_model(read_safetensors(path), x),
    ),
    "numpy": Format(".py", "NumPy program", "NumPy", write_program, answer_program),
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A file that was written: its bytes, the rows that it was checked on, and how far at most
    its numbers are from the model's.
    """

    path: Path
    size: int
    rows: int
    sample: str
    difference: float


def export_model(model: Model, to: str, path: Path, facts: Mapping[str, str]) -> Exported:
    """Writes the model in the format `to` and checks that the file predicts as the model does.

    `facts` go into the file; among them is `data_sha256`, the hash of the run's data. A file that
    is there is replaced, and only by one that is right. Raises `UsageError` for a name that is no
    file's, `MachineError` where it cannot be written, and `TrainerError` where it predicts
    differently.
    """
    form = FORMATS[to]
    with replacing(path) as fresh:
        form.write(model, fresh, facts)
        sample = choose_rows(model, facts.get("data_sha256", ""))
        difference = compare(form.answer(model, fresh, sample.x), model, sample.x)
        size = fresh.stat().st_size
    return Exported(path, size, len(sample.x), sample.what, difference)
