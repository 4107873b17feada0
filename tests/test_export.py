"""Exported models: every op in every form, whole models, the files, and the command."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from conftest import TINY
from onnx import helper
from test_ops import CASES
from typed import MODELS as TYPED
from typed import typed_model

from trainer.data import Preprocessing
from trainer.data.columns.table import plain_columns
from trainer.data.columns.texts import written
from trainer.data.preparing.scaling import Scaling
from trainer.errors import TrainerError, UsageError
from trainer.export import check, files, nodes, onnx_columns, source
from trainer.export import onnx as onnx_file
from trainer.export.check import Answer, answer_model, compare
from trainer.export.copying import Program
from trainer.export.files import FORMATS, export_model
from trainer.export.program import model_arrays, program_code, write_program
from trainer.export.runtime import facts, functions
from trainer.export.tensors import read_safetensors
from trainer.graph import OPS, Graph, GraphBuilder
from trainer.graph.ops import ACTIVATIONS, Array
from trainer.network.model import Model
from trainer.spec import Spec
from trainer.tracking.model import SERVED

inf, nan = np.inf, np.nan
EDGES = np.array([0.0, -0.0, 1e-30, -1e-30, 0.5, -7.0, 8.5, -40.0, 90.0, -1000.0, inf, -inf, nan])
DTYPES = ["float32", "float64"]


# Every op ---------------------------------------------------------------------------------------


def inputs_of(op: str, dtype: str) -> list[tuple[list[Array], dict[str, Any]]]:
    """The inputs of the gradient's test, random ones, and for elementwise ops the extremes."""
    random = np.random.default_rng(7)
    cases = list(CASES[op])
    first, attributes = cases[0]
    cases.append(([random.uniform(0.1, 3, np.shape(a)) for a in first], attributes))
    if OPS[op].kernel is not None:
        every = [axis.ravel() for axis in np.meshgrid(*[EDGES] * OPS[op].arity, indexing="ij")]
        cases.append((every, {}))
    return [([np.asarray(a, dtype) for a in arrays], given) for arrays, given in cases]


def graph_of(op: str, arrays: list[Array], attributes: Mapping[str, Any]) -> Graph:
    """The graph of one op on parameters a, b and c."""
    builder = GraphBuilder(arrays[0].dtype.name)
    leaves = [
        builder.leaf("parameter", name, array.shape)
        for name, array in zip("abc", arrays, strict=False)
    ]
    builder.outputs["prediction"] = leaves[0].apply(op, *leaves[1:], **attributes).node.name
    return builder.build()


def by_numpy(graph: Graph, values: Mapping[str, Array]) -> Array:
    program = Program()
    program.give("DTYPE", f"DTYPE = np.dtype('{graph['a'].dtype}')", facts.__name__)
    source.give_network(program, graph, graph.outputs["prediction"], '"""One op."""')
    scope: dict[str, Any] = {}
    exec(program.text('"""An op."""', ["network"], functions.__name__), scope)
    with np.errstate(all="ignore"):
        return np.asarray(scope["network"](None, values))


def by_onnx(graph: Graph, values: Mapping[str, Array]) -> Array:
    writer = nodes.Writer(graph["a"].dtype)
    out = nodes.write_graph(
        writer, graph, graph.outputs["prediction"], {name: name for name in values}
    )
    kind = nodes.kind(graph["a"].dtype)
    made = helper.make_graph(
        writer.nodes,
        "op",
        [helper.make_tensor_value_info(name, kind, value.shape) for name, value in values.items()],
        [onnx.ValueInfoProto(name=out)],
        [onnx.numpy_helper.from_array(value, name) for name, value in writer.constants.items()],
    )
    opset = helper.make_opsetid("", onnx_file.OPSET)
    model = helper.make_model(made, opset_imports=[opset], ir_version=onnx_file.IR_VERSION)
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, dict(values))[0]


# the only formula that is another than the op's: NumPy itself has no error function
ROUNDED = {"gelu": 4, "normal_cdf": 4}


def check_numpy(op: str, dtype: str) -> None:
    for arrays, attributes in inputs_of(op, dtype):
        found = by_numpy(graph_of(op, arrays, attributes), dict(zip("abc", arrays, strict=False)))
        with np.errstate(all="ignore"):
            expected = np.asarray(OPS[op].forward(*arrays, **attributes))
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        ulp = ROUNDED.get(op, 0) * np.finfo(dtype).eps
        np.testing.assert_allclose(found, expected, rtol=ulp, atol=0)


def check_onnx(op: str, dtype: str) -> None:
    tolerance = {"float32": 1e-6, "float64": 1e-14}[dtype]
    for arrays, attributes in inputs_of(op, dtype):
        found = by_onnx(graph_of(op, arrays, attributes), dict(zip("abc", arrays, strict=False)))
        with np.errstate(all="ignore"):
            expected = np.asarray(OPS[op].forward(*arrays, **attributes))
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


CHECKS = {"numpy": check_numpy, "onnx": check_onnx}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("form", CHECKS)
def test_an_op_is_written_as_it_is(form: str, op: str, dtype: str) -> None:
    CHECKS[form](op, dtype)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("form", CHECKS)
def test_an_op_that_is_written_wrong_is_noticed(
    form: str, op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = OPS[op]
    if row.kernel is not None:
        wrong = dataclasses.replace(row, kernel=f"({row.kernel}) * 1.0001")
    elif form == "numpy":
        places = [f"{{{i}}}" for i in range(row.arity)]
        given = [f"{name}={{{name}}}" for name in CASES[op][0][1]]
        right = row.program or f"{row.forward.__name__}({', '.join(places + given)})"
        monkeypatch.setattr(source, "_is_copied", lambda node: node.op == op)
        wrong = dataclasses.replace(row, program=f"({right}) * DTYPE.type(1.0001)")
    else:

        def times(w: Any, *x: Any, **a: Any) -> Any:
            return w.apply("Mul", row.onnx(w, *x, **a), w.constant(1.0001))

        wrong = dataclasses.replace(row, onnx=times)
    monkeypatch.setitem(OPS, op, wrong)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        CHECKS[form](op, "float64")


@pytest.mark.parametrize("form", CHECKS)
def test_a_new_op_needs_an_expression(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    new = dataclasses.replace(OPS["softmax"], name="new", onnx=None, forward=lambda x: x)
    monkeypatch.setitem(OPS, "new", new)
    monkeypatch.setitem(CASES, "new", CASES["softmax"])
    with pytest.raises(NotImplementedError, match="'new'"):
        CHECKS[form]("new", "float64")
    monkeypatch.setitem(OPS, "new", dataclasses.replace(new, kernel="unheard_of({0})"))
    with pytest.raises((KeyError, NameError), match="unheard_of"):
        CHECKS[form]("new", "float64")


# Models -----------------------------------------------------------------------------------------

AWKWARD = ('say "hi"', "back\\slash", "line\nbreak", "a\u2028b", "größe ✓", "{x} $y %s", "'''")


def make_model(
    classes: tuple[Any, ...] | None = ("no", "yes"),
    outputs: int = 1,
    hidden: str = "tanh",
    dtype: str = "float32",
    scaled: bool = True,
    features: tuple[str, ...] = ("a", "b", "c"),
    target: str = "y",
    last: str = "identity",
    **layer: Any,
) -> Model:
    """A model of random numbers, with a hidden layer of 5 units."""
    layers = [
        {"units": 5, "activation": hidden, "name": "l", **layer},
        {"units": outputs, "activation": last, "name": "prediction", **layer},
    ]
    loss = "squared" if classes is None else "logistic"
    values = TINY | {"model": {"layers": layers, "loss": loss, "dtype": dtype}}
    random = np.random.default_rng(3)
    shapes = {"l/W": (len(features), 5), "l/b": (5,), "prediction/W": (5, outputs),
              "prediction/b": (outputs,)}  # fmt: skip
    count = len(features)
    scales = Scaling({}, random.normal(size=count), random.uniform(0.1, 9, count))
    how = Preprocessing(
        columns=plain_columns(features),
        targets=(target,),
        classes=classes,
        outputs=outputs,
        dtype=dtype,
        scaling=scales if scaled else Scaling(),
    )
    parameters = {name: random.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    return Model.from_parts(Spec.model_validate(values), parameters, how)


MODELS: dict[str, dict[str, Any]] = {
    "texts": {},
    "numbers": {"classes": (-3, 7)},
    "truth values": {"classes": (False, True)},
    "reals": {"classes": (0.5, 2.0, 1e300), "outputs": 3},
    "two logits": {"outputs": 2},
    "unicode": {"classes": ("größe", "✓", 'q"\\'), "outputs": 3},
    "regression": {"classes": None},
    "regressions": {"classes": None, "outputs": 3},
    "softmax of outputs": {"classes": None, "outputs": 3, "last": "softmax"},
    "float64": {"dtype": "float64"},
    "not scaled": {"scaled": False},
    "no bias": {"bias": False},
    "awkward names": {"features": AWKWARD, "target": 'the "target"\\\n'},
    **{f"{name} {dtype}": {"hidden": name, "dtype": dtype, "classes": None}
       for name in ACTIVATIONS if name != "softmax" for dtype in DTYPES},
}  # fmt: skip
FACTS = {"run_id": "0123", "run_name": 'a "run"', "data_sha256": "none"}


def rows_of(model: Model, count: int = 50) -> Array:
    return np.random.default_rng(11).normal(size=(count, len(model.preprocessing.features))) * 3


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("name", MODELS)
def test_a_file_predicts_as_the_model(name: str, to: str, tmp_path: Path) -> None:
    model = make_model(**MODELS[name])
    path = tmp_path / "model"
    made = export_model(model, to, path, FACTS)
    assert (made.path, made.size) == (path, path.stat().st_size)
    x = rows_of(model)
    found, expected = FORMATS[to].answer(model, path, x), answer_model(model, x)
    assert (found.numbers.dtype, found.numbers.shape) == (
        expected.numbers.dtype, expected.numbers.shape)  # fmt: skip
    exact = to != "onnx" and "gelu" not in name
    tolerance = 0 if exact else 1e-6 if model.preprocessing.dtype == "float32" else 1e-13
    np.testing.assert_allclose(found.numbers, expected.numbers, rtol=tolerance, atol=tolerance)
    if expected.labels is not None:
        assert found.labels is not None
        assert len(set(found.labels.tolist())) > 1
        assert found.labels.tolist() == expected.labels.tolist()


# The NumPy program ------------------------------------------------------------------------------


def layered(names: list[str], activation: str) -> Model:
    """A model whose layers have these names."""
    layers = [{"units": 2, "activation": activation, "name": name} for name in names]
    values = TINY | {"model": {"layers": layers, "loss": "squared", "dtype": "float32"}}
    values["data"] = {"source": {"inline": {"x": [[0.0, 0.0]], "y": [[0.0, 0.0]]}}}
    random = np.random.default_rng(3)
    parameters = {f"{name}/W": random.normal(size=(2, 2)) for name in names}
    parameters |= {f"{name}/b": random.normal(size=2) for name in names}
    parameters = {name: value.astype(np.float32) for name, value in parameters.items()}
    how = Preprocessing(plain_columns(("a", "b")), ("y",), None, 2, "float32")
    return Model.from_parts(Spec.model_validate(values), parameters, how)


@pytest.mark.parametrize("to", FORMATS)
def test_layers_may_have_any_name(to: str, tmp_path: Path) -> None:
    """Also Python's words, and what a program or an ONNX file uses itself."""
    names = ["class", "np", "p", "sigmoid", "sigmoid_", "ZERO", "l", "prediction", "constant_0"]
    model = layered(names, "sigmoid")
    export_model(model, to, tmp_path / "model.py", FACTS)
    assert to != "numpy" or not lint(tmp_path / "model.py")


def lint(*paths: Path) -> str:
    """What ruff finds in programs, but for long lines."""
    rules = ["--isolated", "--no-cache", "--select", "E,F,I,W", "--ignore", "E501", "--quiet"]
    command = [sys.executable, "-m", "ruff", "check", *rules, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_programs_are_clean(tmp_path: Path) -> None:
    for i, changes in enumerate(MODELS.values()):
        model = make_model(**changes)
        write_program(model, tmp_path / f"m{i}.py", FACTS)
        (tmp_path / f"in_mlflow{i}.py").write_text(program_code(model, SERVED))
    assert lint(*tmp_path.glob("*.py")) == ""
    (tmp_path / "m0.py").write_text("import math\n")
    assert "F401" in lint(tmp_path / "m0.py")


ALONE = """
import sys, numpy, runpy
class Nothing:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "numpy"}:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Nothing)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def script(path: Path, *arguments: str, given: str = "") -> tuple[int, str, str]:
    """Runs a program where NumPy alone can be imported: exit code, output, errors."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(path), *arguments],
        input=given, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_program_needs_numpy_alone(tmp_path: Path) -> None:
    """It reads CSV from a file or from its input, in any order of the columns."""
    model = make_model(features=AWKWARD, classes=("größe", 'a "b", c'))
    program, table = tmp_path / "model.py", tmp_path / "rows.csv"
    write_program(model, program)
    x = rows_of(model, 5)
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow([*reversed(AWKWARD), "other"])
    rows.writerows([*reversed(row), "text"] for row in x.tolist())
    table.write_text(out.getvalue(), encoding="utf-8-sig", newline="")
    code, found, err = script(program, str(table))
    assert (code, err) == (0, "")
    header, *answers = csv.reader(io.StringIO(found))
    expected = model.predict(x)
    assert header == list(expected)
    assert [row[0] for row in answers] == expected["prediction"].tolist()
    numbers = np.array([row[1:] for row in answers], dtype=np.float32)
    np.testing.assert_array_equal(numbers.T, [expected[name] for name in header[1:]])
    assert max(len(cell) for row in answers for cell in row[1:]) < 16  # no more digits than it has
    assert script(program, given=out.getvalue()) == (0, found, "")


def test_the_block_on_imports_works(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("import trainer\n")
    code, _, err = script(tmp_path / "m.py")
    assert (code, "trainer is not there" in err) == (1, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "missing columns: a, b, c"),
        ("a,c\n1,2\n", "missing columns: b (there are a, c)"),
        ("a,b,c,a\n1,2,3,4\n", "columns that stand twice: a"),
        ("a,b,c\n1,2,3\n1,2\n", "row 1: expected 3 cells, found 2"),
        ("a,b,c\n1,2,3\n\n1,x,3\n", "row 1, column 'b': expected a number, found the text 'x'"),
        ("a,b,c\n1,,3\n", "row 0, column 'b': expected a value, found an empty cell"),
        ("a,b,c\n1,nan,3\n", "row 0, column 'b': expected a finite number, found 'nan'"),
        ("a,b,c\n1,2,1e39\n", "row 0, column 'c': expected a number that is finite in float32, "
         "found 1e+39"),
        ('a,b,c\n"1,2,3\n', "row 0: no CSV (unexpected end of data)"),
    ],
)  # fmt: skip
def test_faults_of_a_table_are_told(
    given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(make_model(scaled=False), tmp_path / "m.py")
    scope = runpy.run_path(str(tmp_path / "m.py"))
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared in full)
        scope["predict"](scope["read_csv"](io.StringIO(given)), scope["P"])
    assert str(error.value) == message


def test_a_fault_of_a_table_ends_a_program(tmp_path: Path) -> None:
    write_program(make_model(), tmp_path / "m.py")
    code, out, err = script(tmp_path / "m.py", given="a,b\n1,2\n")
    assert (code, out, err) == (
        1,
        "",
        f"{tmp_path / 'm.py'}: missing columns: c (there are a, b)\n",
    )


def test_a_program_takes_large_numbers_where_scaling_makes_them_small(tmp_path: Path) -> None:
    model = make_model()
    large = Scaling({}, np.full(3, 1e40), np.full(3, 1e39))
    how = dataclasses.replace(model.preprocessing, scaling=large)
    model = dataclasses.replace(model, preprocessing=how)
    write_program(model, tmp_path / "m.py")
    scope = runpy.run_path(str(tmp_path / "m.py"))
    x = np.full((1, 3), 1.05e40)
    found, expected = scope["predict"](x.tolist(), scope["P"]), model.predict(x)
    assert all((found[name] == expected[name]).all() for name in expected)


@pytest.mark.parametrize("name", ["texts", "reals", "regressions", "gelu float32"])
def test_rows_of_every_form(name: str, tmp_path: Path) -> None:
    """Lists, tables of columns, no rows, and more rows than are computed at a time."""
    model = make_model(**MODELS[name])
    write_program(model, tmp_path / "m.py")
    scope = runpy.run_path(str(tmp_path / "m.py"))
    features = model.preprocessing.features

    def predict(rows: Any) -> dict[str, Array]:
        return scope["predict"](rows, scope["P"])

    x = rows_of(model, 9000)
    expected = model.predict(x)
    for found in (predict(x.tolist()), predict(dict(zip(features, x.T, strict=True)))):
        assert list(found) == list(expected)
        for column in expected:
            assert found[column].dtype == expected[column].dtype
            np.testing.assert_array_equal(found[column], expected[column])
    for nothing in ([], {feature: [] for feature in features}):
        found = predict(nothing)
        assert [(name, len(column)) for name, column in found.items()] == [
            (name, 0) for name in expected
        ]
    with pytest.raises(ValueError, match="row 1: expected 3 numbers, found 2"):
        predict([[1, 2, 3], [1, 2]])


def test_a_program_reads_what_the_model_was_trained_on(tmp_path: Path) -> None:
    source_ = {"csv": "rows.csv", "delimiter": "\t"}
    spec = Spec.model_validate(TINY | {"data": {"source": source_, "target": "y"}})
    model = dataclasses.replace(make_model(), spec=spec)
    write_program(model, tmp_path / "m.py")
    code, out, _ = script(tmp_path / "m.py", given="a\tb\tc\n1\t2\t3\n")
    assert (code, out.splitlines()[0]) == (0, "prediction\tprobability/no\tprobability/yes")


# The ONNX file ----------------------------------------------------------------------------------


def session_of(model: Model, path: Path) -> Any:
    onnx_file.write_onnx(model, path, FACTS)
    return onnxruntime.InferenceSession(path)


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("texts", [("prediction", "tensor(string)", ["N"]),
                   ("probabilities", "tensor(float)", ["N", 2])]),
        ("numbers", [("prediction", "tensor(int64)", ["N"]),
                     ("probabilities", "tensor(float)", ["N", 2])]),
        ("truth values", [("prediction", "tensor(bool)", ["N"]),
                          ("probabilities", "tensor(float)", ["N", 2])]),
        ("reals", [("prediction", "tensor(double)", ["N"]),
                   ("probabilities", "tensor(float)", ["N", 3])]),
        ("float64", [("prediction", "tensor(string)", ["N"]),
                     ("probabilities", "tensor(double)", ["N", 2])]),
        ("regressions", [("prediction", "tensor(float)", ["N", 3])]),
    ],
)  # fmt: skip
def test_what_goes_in_and_comes_out_of_onnx(
    name: str, outputs: list[tuple[str, str, list[Any]]], tmp_path: Path
) -> None:
    model = make_model(**MODELS[name])
    session = session_of(model, tmp_path / "m.onnx")
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("x", "tensor(double)", ["N", 3])
    ]
    assert [(o.name, o.type, o.shape) for o in session.get_outputs()] == outputs
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["features"]) == ["a", "b", "c"]
    assert about["run_name"] == 'a "run"'
    for count in (0, 1, 3):
        found = session.run(None, {"x": np.zeros((count, 3))})
        assert [len(value) for value in found] == [count] * len(outputs)


def test_onnx_that_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(UsageError, match=r"whole numbers of more than 64 bits \[TR-U011\]"):
        export_model(make_model(classes=(1, 10**30)), "onnx", path, FACTS)
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 100)
    with pytest.raises(
        UsageError, match=r"an ONNX file holds 2 GiB \[TR-U011\]\n  hint: .* safetensors"
    ):
        export_model(make_model(), "onnx", path, FACTS)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"pip install 'specgrad\[onnx\]'"):
        export_model(make_model(), "onnx", path, FACTS)
    assert not list(tmp_path.iterdir())


# The safetensors file ---------------------------------------------------------------------------


def test_what_a_safetensors_file_holds(tmp_path: Path) -> None:
    from safetensors import safe_open

    model = make_model()
    path = tmp_path / "m.safetensors"
    export_model(model, "safetensors", path, FACTS)
    with safe_open(path, "numpy") as file:
        assert sorted(file.keys()) == [
            "l/W", "l/b", "prediction/W", "prediction/b", "x/mean", "x/scale",
        ]  # fmt: skip
        about = file.metadata()
    assert about.keys() == {*FACTS, "preprocessing", "spec"}
    again = read_safetensors(path)
    assert again.spec == model.spec
    assert again.preprocessing.as_json() == model.preprocessing.as_json()
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], value)


# The check --------------------------------------------------------------------------------------


def changed(answer: Answer, labels: list[str] | None = None, by: Any = 0.0) -> Answer:
    return Answer(np.array(labels) if labels else answer.labels, answer.numbers + by)


def test_another_answer_is_an_error() -> None:
    model = make_model()
    x = rows_of(model, 2)
    right = answer_model(model, x)
    assert compare(right, model, x) == 0
    assert compare(changed(right, by=1e-7), model, x) == pytest.approx(1e-7, rel=0.5)
    with pytest.raises(TrainerError, match=r"other numbers than the model: 1\.0e-03 apart"):
        compare(changed(right, by=1e-3), model, x)
    with pytest.raises(TrainerError, match="nan apart"):
        compare(changed(right, by=nan), model, x)
    assert right.labels is not None
    others = ["yes" if label == "no" else "no" for label in right.labels]
    with pytest.raises(TrainerError, match="other labels than the model"):
        compare(changed(right, labels=others), model, x)


def test_a_tie_may_have_either_label() -> None:
    model = make_model(hidden="relu")
    zeros = {name: np.zeros_like(value) for name, value in model.parameters.items()}
    model = dataclasses.replace(model, parameters=zeros)
    x = rows_of(model, 2)
    right = answer_model(model, x)
    assert right.numbers.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert compare(changed(right, labels=["yes", "no"]), model, x) == 0


def test_a_regression_is_measured_in_the_targets_units() -> None:
    model = make_model(classes=None)
    x = rows_of(model)
    large = {**model.parameters, "prediction/W": model.parameters["prediction/W"] * 1e6}
    model = dataclasses.replace(model, parameters=large)
    right = answer_model(model, x)
    assert np.abs(right.numbers).max() > 1e5
    assert 0 < compare(changed(right, by=0.1), model, x) < 1e-6
    with pytest.raises(TrainerError):
        compare(changed(right, by=100.0), model, x)


def test_rounding_of_the_model_itself_is_no_error() -> None:
    """A network that rounds badly may differ by what its rounding can do, and no more: the large
    halves of its sum cancel, and leave what each kernel rounds in its own way.
    """
    model = make_model(classes=None, hidden="relu")
    W = model.parameters["prediction/W"].copy()
    W[0], W[1] = 1e6, -1e6
    hidden = model.parameters["l/W"].copy()
    hidden[:, 1] = hidden[:, 0]
    bias = np.zeros_like(model.parameters["l/b"])
    parameters = {**model.parameters, "l/W": hidden, "l/b": bias, "prediction/W": W}
    model = dataclasses.replace(model, parameters=parameters)
    x = rows_of(model)
    right = answer_model(model, x)
    assert np.abs(right.numbers).max() < 100
    active = model.preprocessing.encode(x) @ hidden[:, 0] > 1  # the others are 0, exactly
    one_rounding = np.where(active, 1e6 * np.finfo(np.float32).eps, 0)[:, None]
    assert compare(changed(right, by=one_rounding), model, x) > 1e-3
    with pytest.raises(TrainerError):
        compare(changed(right, by=1000 * one_rounding), model, x)


@pytest.mark.parametrize("to", FORMATS)
def test_a_file_that_is_wrong_is_not_kept(
    to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = make_model(), tmp_path / "model"
    path.write_text("the old file")
    wrong = {**model.parameters, "l/b": model.parameters["l/b"] + np.float32(1e-3)}
    other = dataclasses.replace(model, parameters=wrong)
    form = FORMATS[to]
    faulty = dataclasses.replace(form, write=lambda _, *rest: form.write(other, *rest))
    monkeypatch.setattr(files, "FORMATS", {to: faulty})
    with pytest.raises(TrainerError, match="the file is not kept"):
        export_model(model, to, path, FACTS)
    assert path.read_text() == "the old file"
    assert list(tmp_path.iterdir()) == [path]


# The command ------------------------------------------------------------------------------------

ROWS = "a,b,y\n" + "".join(f"{i},{i % 3},{'pqr'[i % 3]}\n" for i in range(12))


@pytest.fixture
def trained(train, store, folder, write_spec) -> None:
    """A run called `a run: 1`, of a table of three classes with four test rows."""
    (folder / "rows.csv").write_text(ROWS)
    data = {"source": {"csv": "rows.csv"}, "target": "y", "split": {"test": 0.34}}
    layers = [{"units": 4, "activation": "gelu"}, {"units": 3}]
    path = write_spec({"data": {**data, "standardize": True}, "model.layers": layers})
    assert train(path, "--quiet", "--name", "a run: 1")[0] == 0


def json_of(train: Any, *arguments: object) -> dict[str, Any]:
    code, out, err = train("export", "last", *arguments, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    return json.loads(out)


def test_export(train, trained, folder: Path) -> None:
    """One line says what was written where, and how it was checked; a file is replaced."""
    checks = {"onnx": "onnxruntime", "safetensors": "safetensors", "numpy": "NumPy"}
    for to, reader in checks.items():
        path = folder / f"a_run_1{FORMATS[to].suffix}"
        found = json_of(train, "--to", to)
        checked, size = found.pop("checked"), path.stat().st_size
        ids = found.pop("id"), found.pop("run_id")
        assert len(set(ids)) == 2
        assert found == {"to": to, "file": path.name, "bytes": size}
        assert checked.pop("largest_difference") < 1e-12
        assert checked == {"with": reader, "rows": 4, "on": "4 test rows"}
        for run in ids:  # that of its folder, and MLflow's
            path.write_text("old")
            code, out, err = train("export", run, "--to", to)
            assert (code, err, out.count("\n"), path.stat().st_size) == (0, "", 1, size)
            assert f" of a run: 1 ({ids[0][:8]}): {path.name}, {size:,} bytes; " in out
            assert f"; checked with {reader} on 4 test rows: " in out
    meta = onnxruntime.InferenceSession("a_run_1.onnx").get_modelmeta().custom_metadata_map
    assert sorted(meta) == [
        "data_sha256", "features", "parameters_sha256", "run_id", "run_name", "spec_sha256",
    ]  # fmt: skip
    assert all(len(meta[name]) == 64 for name in meta if name.endswith("sha256"))


def test_what_is_not_as_it_should_be_is_told(train, trained, folder: Path) -> None:
    """A place that cannot be written; and data that are not there any more."""
    for out, message in {
        "nowhere/m.onnx": "there is no folder 'nowhere' for the file 'm.onnx'",
        "runs": "'runs' is a folder, where the name of a file is expected",
        "m" * 300: f"'{'m' * 300}' cannot be written: File name too long",
    }.items():
        code, _, err = train("export", "last", "--to", "onnx", "--out", out)
        assert (code, err.startswith(f"train: {message}")) == (2, True)
    table = folder / "rows.csv"
    around = "256 random rows around the mean of the training rows, since the run's data"
    table.write_text(ROWS.replace("11,", "12,"))
    assert json_of(train, "--to", "onnx")["checked"]["on"] == f"{around} have changed"
    table.unlink()
    assert json_of(train, "--to", "onnx")["checked"]["on"] == f"{around} cannot be read"


# Columns of every kind --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["number", "ranked number", "classes"])
def test_an_odd_row_changes_no_other(name: str, tmp_path: Path) -> None:
    """In an ONNX file, whatever stands in which column: no row may fail the batch."""
    model, raw = typed_model(**TYPED[name])
    session = session_of(model, tmp_path / "m.onnx")
    three = raw[1:4]
    expected = session.run(None, {"x": three})
    for column in range(raw.shape[1]):
        for odd in (nan, inf, -inf, 1e300, -7.0, 99.0, 0.5):
            x = np.insert(three, 1, three[0], axis=0)
            x[1, column] = odd
            for found, others in zip(session.run(None, {"x": x}), expected, strict=True):
                if found.dtype.kind == "f":
                    np.testing.assert_allclose(found[[0, 2, 3]], others, rtol=1e-5)
                else:
                    assert found[[0, 2, 3]].tolist() == others.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TYPED)
def test_columns_of_every_kind(name: str, dtype: str, tmp_path: Path) -> None:
    """The program, the code in MLflow and the ONNX file say what the model says."""
    model, raw = typed_model(dtype, **TYPED[name])
    expected = answer_model(model, raw)
    for to, form in FORMATS.items():
        form.write(model, tmp_path / to, FACTS)
        found = form.answer(model, tmp_path / to, raw)
        assert found.numbers.dtype == expected.numbers.dtype
        tolerance = 0 if to != "onnx" else 1e-5 if dtype == "float32" else 1e-11
        np.testing.assert_allclose(found.numbers, expected.numbers, rtol=tolerance, atol=tolerance)
        if expected.labels is not None:
            assert found.labels is not None
            assert found.labels.tolist() == expected.labels.tolist()
        compare(found, model, raw)
    assert export_model(model, "onnx", tmp_path / "file.onnx", FACTS).rows == check.DRAWN
    (tmp_path / "code.py").write_text(program_code(model, SERVED))
    shutil.copy(tmp_path / "numpy", tmp_path / "program.py")
    assert lint(tmp_path / "program.py", tmp_path / "code.py") == ""
    network = runpy.run_path(str(tmp_path / "code.py"))["Network"]()
    network.p = model_arrays(model)
    frame = network.predict(None, pd.DataFrame(written(raw, model.preprocessing.columns)))
    for column, values in model.predict(raw).items():
        assert frame[column].to_numpy().tolist() == values.tolist()


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("rooms", "", "row 1, column 'rooms': expected a value, found an empty cell"),
        ("rooms", "big", "row 1, column 'rooms': expected a number, found the text 'big'"),
        ("size", "huge", "row 1, column 'size': expected one of the order that the model knows"),
        ("owner", "maybe", "row 1, column 'owner': expected true or false, found the text 'maybe'"),
        ("sold", "soon", "row 1, column 'sold': expected a date, found the text 'soon'"),
        ("income", -3, "row 1, column 'income': expected a number that is finite in float32, "
         "found -3.0"),
    ],
)  # fmt: skip
def test_faults_of_typed_columns_are_told(
    column: str, cell: Any, message: str, tmp_path: Path
) -> None:
    model, raw = typed_model()
    write_program(model, tmp_path / "m.py")
    scope = runpy.run_path(str(tmp_path / "m.py"))
    rows = {
        name: list(values) for name, values in written(raw, model.preprocessing.columns).items()
    }
    scope["predict"](rows, scope["P"])
    rows[column][1] = cell
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the message is compared in full)
        scope["predict"](rows, scope["P"])
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "wrong"), [("month", "march + 2"), ("january", "59"), ("weekday", "n - n / 7 * 7 + 1")]
)
def test_a_date_that_is_written_wrong_is_noticed(
    name: str, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dates = dict(onnx_columns._DATE) | {name: wrong}
    monkeypatch.setattr(onnx_columns, "_DATE", dates)
    model, _ = typed_model("float64")
    with pytest.raises(TrainerError, match="predicts other numbers than the model"):
        export_model(model, "onnx", tmp_path / "m.onnx", FACTS)


def test_cells_may_be_written_in_several_ways(tmp_path: Path) -> None:
    """As pandas, JSON and CSV hold them."""
    model, raw = typed_model()
    write_program(model, tmp_path / "m.py")
    scope = runpy.run_path(str(tmp_path / "m.py"))
    raw = np.repeat(raw[:1], 4, axis=0)
    raw[:, [2, 4, 6]] = [3, 1, 19723.25]
    rows = {
        name: list(values) for name, values in written(raw, model.preprocessing.columns).items()
    }
    rows["city"] = ["7", 7, 7.0, np.int64(7)]
    rows["owner"] = ["Yes", True, 1, np.True_]
    moment = pd.Timestamp("2024-01-01 06:00")
    rows["sold"] = [
        moment,
        "2024-01-01T07:00:00+01:00",
        moment.to_pydatetime(),
        moment.to_datetime64(),
    ]
    found = scope["predict"](rows, scope["P"])["prediction"]
    assert found.tolist() == model.predict(raw)["prediction"].tolist()
    rows["age"] = [None, np.nan, pd.NA, "NA"]
    raw[:, 0] = np.nan
    found = scope["predict"](rows, scope["P"])["prediction"]
    assert found.tolist() == model.predict(raw)["prediction"].tolist()
