"""A model as one ONNX file, which most inference engines read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from trainer.data import Preprocessing
from trainer.errors import UsageError
from trainer.export.check import Answer
from trainer.export.nodes import Writer, kind, write_graph
from trainer.export.onnx_columns import write_decoding, write_encoding
from trainer.export.program import model_arrays
from trainer.extras import install
from trainer.graph.ops import Array
from trainer.network.model import Model

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

OPSET: Final = 17  # of 2022: older engines read it, and newer ones add nothing that is needed here
IR_VERSION: Final = 8  # the one that goes with it
ROWS: Final = 1024  # how many onnxruntime is given at a time
MAX_BYTES: Final = 2**31 - 2**20
"""How many bytes of numbers a file holds: its format ends at 2 GiB."""


def write_onnx(model: Model, path: Path, facts: Mapping[str, str]) -> None:
    """Writes the model, preprocessing included; `facts` become its metadata.

    The input `x` is float64 of shape (N, features), in the order of the metadata `features`, a
    JSON list. NaN stands for a missing value, a category is its number among the `categories` that
    the metadata `columns` list (-1 for others), true is 1, a date is the days since 1970-01-01.
    The output `prediction` has the label of each row, of shape (N,), and `probabilities` the shape
    (N, classes); several labels have a column each in both, 0 or 1 in `prediction`. Without classes
    `prediction` has the shape (N, outputs). Raises `UsageError` where onnx is not installed or
    cannot hold the model, and `OSError`.
    """
    _require()
    import onnx

    made = onnx_model(model, facts)
    onnx.checker.check_model(made, full_check=True)
    path.write_bytes(made.SerializeToString())


def answer_onnx(model: Model, path: Path, x: Array) -> Answer:
    """What onnxruntime makes of the file for raw rows of shape (rows, features)."""
    _require()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = [session.run(names, {"x": x[i : i + ROWS]}) for i in range(0, len(x), ROWS)]
    outputs = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return Answer(None, outputs[0]) if len(outputs) == 1 else Answer(outputs[0], outputs[1])


def onnx_model(model: Model, facts: Mapping[str, str]) -> ModelProto:
    """The model in onnx's words. Raises `UsageError` where ONNX cannot hold it."""
    from onnx import helper, numpy_helper

    how, arrays = model.preprocessing, model_arrays(model)
    size = sum(value.nbytes for value in arrays.values())
    if size > MAX_BYTES:
        raise UsageError(
            f"the model has {size / 2**30:.1f} GiB of numbers, and an ONNX file holds 2 GiB\n"
            "  hint: export it with --to safetensors",
            code="TR-U011",
        )
    writer = Writer(how.dtype, constants=dict(arrays))
    outputs = _outputs(writer, model, _network(writer, model))
    graph = helper.make_graph(
        writer.nodes,
        model.spec.name,
        [_declared("x", np.float64, ("N", len(how.features)))],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in writer.constants.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    made = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
    made.producer_name = "trainer"
    helper.set_model_props(made, {**_about(how), **facts})
    return made


def _about(how: Preprocessing) -> dict[str, str]:
    """What a user must know of the input: the names of its columns, and what their numbers mean
    where they are not numbers already.
    """
    about = {"features": json.dumps(how.features)}
    if any(column.kind != "numeric" for column in how.columns):
        columns = [
            {"name": column.name, "type": column.kind, "categories": list(column.categories)}
            for column in how.columns
        ]
        about["columns"] = json.dumps(columns)
    if len(how.targets) > 1:
        about["targets"] = json.dumps(how.targets)
    return about


def _network(writer: Writer, model: Model) -> str:
    """From raw features to the outputs or logits."""
    how, x = model.preprocessing, "x"
    writer.place = "x"
    x = write_encoding(writer, how, x)
    if how.dtype != "float64":
        x = writer.apply("Cast", x, to=kind(how.dtype))
    names = {name: name for name in model.parameters} | {"x": x}
    return write_graph(writer, model.graph, model.graph.outputs["prediction"], names)


def _outputs(writer: Writer, model: Model, out: str) -> list[ValueInfoProto]:
    """From the outputs or logits to what is asked for."""
    how, cut, writer.place = model.preprocessing, model.decision.cut, "prediction"
    if how.multi_label:
        writer.apply("Sigmoid", out, name="probabilities")
        above = writer.apply("Greater", out, writer.constant(0))
        writer.apply("Cast", above, to=kind(np.int64), name="prediction")
        return [
            _declared("prediction", np.int64, ("N", how.outputs)),
            _declared("probabilities", how.dtype, ("N", how.outputs)),
        ]
    if how.classes is None:
        writer.apply("Identity", write_decoding(writer, how, out), name="prediction")
        dtype = "float64" if how.target_scaling.changes else how.dtype
        return [_declared("prediction", dtype, ("N", how.outputs))]
    if how.outputs == 1:
        sides = [writer.apply("Sigmoid", z) for z in (writer.apply("Neg", out), out)]
        writer.apply("Concat", *sides, axis=1, name="probabilities")
        number = _above(writer, out, cut)
    elif how.outputs == 2 and cut:
        writer.apply("Softmax", out, axis=1, name="probabilities")
        sides = [
            writer.apply("Gather", out, writer.constant([i], np.int64), axis=1) for i in (1, 0)
        ]
        number = _above(writer, writer.apply("Sub", *sides), cut)
    else:
        writer.apply("Softmax", out, axis=1, name="probabilities")
        number = writer.apply("ArgMax", out, axis=1, keepdims=0)
    labels = _labels(model)
    writer.constants["labels"] = labels
    writer.apply("Gather", "labels", number, name="prediction")
    return [
        _declared("prediction", labels.dtype, ("N",)),
        _declared("probabilities", how.dtype, ("N", len(how.classes))),
    ]


def _above(writer: Writer, logits: str, cut: float) -> str:
    """1 where a logit, of shape (N, 1), is above the cut, else 0; of shape (N,)."""
    above = writer.apply("Greater", logits, writer.constant(cut))
    column = writer.apply("Cast", above, to=kind(np.int64))
    return writer.apply("Squeeze", column, writer.constant([1], np.int64))


def _labels(model: Model) -> Array:
    """The classes as ONNX holds them: texts as objects. Raises `UsageError` for huge numbers."""
    labels = np.array(model.preprocessing.classes)
    if labels.dtype.kind == "O":
        raise UsageError(
            "ONNX has no labels that are whole numbers of more than 64 bits", code="TR-U011"
        )
    return labels.astype(object) if labels.dtype.kind == "U" else labels


def _declared(name: str, dtype: Any, shape: tuple[str | int, ...]) -> ValueInfoProto:
    from onnx import helper

    return helper.make_tensor_value_info(name, kind(dtype), shape)


def _require() -> None:
    """Raises `UsageError` where the packages for ONNX are not there."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"ONNX needs packages that are not installed ({error})\n  hint: {install('onnx')}",
            code="TR-E001",
        ) from None
