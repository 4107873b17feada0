"""A spec can be changed: what a change means, how it is checked, where its problems are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from specs import INLINE, SKETCH, SKETCHES, SPECS, read

from trainer.errors import SpecError, UsageError
from trainer.spec import Sketch, Spec, load_any, load_spec, read_spec
from trainer.spec.changes import Changes, parts_of

TEXT = """\
name: tiny
data: {source: {synthetic: linear, rows: 20}}
model:
  layers:
    - {units: 3}
    - {units: 1}
  loss: squared
sgd: {learning_rate: 1, epochs: 4}
"""

pytestmark = pytest.mark.usefixtures("folder")


def of_file() -> Spec:
    Path("spec.yaml").write_text(TEXT)
    return load_spec("spec.yaml")


MADE: dict[str, Callable[[], Spec]] = {
    "file": of_file,
    "text": lambda: read_spec(TEXT, "spec.yaml"),
    "python": lambda: Spec.model_validate(read(TEXT)),
    "changed": lambda: of_file().changed({"sgd.epochs": 9}).changed(["sgd.epochs=4"]),
}
every_way = pytest.mark.parametrize("made", MADE.values(), ids=MADE)


@every_way
@pytest.mark.parametrize(
    "changes",
    [
        {},
        [],
        {"sgd.epochs": 100, "model.layers.0.units": 8, "data.split.folds": None},
        ["sgd.epochs=100", "model.layers[0].units=8", "data.split.folds=null"],
        {"data.split": {"validation": 0.25}, "sgd.early_stopping": {"patience": 2}},
        {
            "model.layers": ({"units": np.int64(2)}, {"units": 1}),
            "sgd.learning_rate": np.float32(1),
        },
        {"model.layers.0.activation": "relu"},
        {"data": {"source": {"csv": Path("a.csv")}, "target": "y"}, "name": "010"},
    ],
)
def test_a_change_is_an_override(made: Callable[[], Spec], changes: Changes) -> None:
    before = made()
    resolved = before.resolved()
    spec = before.changed(changes)
    assert before.resolved() == resolved
    expected = of_file() and load_spec("spec.yaml", changes)
    assert dict(spec) == dict(expected)
    assert spec.resolved() == expected.resolved()
    assert spec.sha256 == expected.sha256


@every_way
def test_defaults_are_found_anew(made: Callable[[], Spec]) -> None:
    layer = made().changed({"model.layers.0.activation": "relu"}).resolved()["model"]["layers"][0]
    assert (layer["activation"], layer["init"]) == ("relu", "he_uniform")


@pytest.mark.parametrize("spec", SPECS + SKETCHES, ids=lambda spec: spec.name)
def test_nothing_changed_is_the_same(spec: Spec | Sketch) -> None:
    again = type(spec).from_resolved(spec.resolved(), file="/a/spec.yaml", text="name: …")
    for same in (spec.changed({}), again, again.changed([])):
        assert dict(same) == dict(spec)
        assert same.resolved() == spec.resolved()
    assert (again.file, again.text) == ("/a/spec.yaml", "name: …")


def test_document_text_and_file_are_kept() -> None:
    spec = of_file().changed({"sgd.epochs": 5})
    assert (spec.file, spec.text) == ("spec.yaml", TEXT)
    python = Spec.model_validate(read(TEXT)).changed({"sgd.epochs": 5})
    assert (python.file, python.text) == (None, None)


def kept(spec: Spec, file: str | None) -> Spec:
    return Spec.from_resolved(spec.resolved(), file=file)


def told(call: Callable[[], object]) -> str:
    with pytest.raises(SpecError) as caught:
        call()
    return str(caught.value)


@every_way
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sgd.epochs": 0}, "sgd.epochs: expected a number of at least 1, found the number 0 "
                            "[TR-S014]"),
        ({"sgd.epochs": 3.0}, "sgd.epochs: expected a whole number, found the number 3.0 "
                              "[TR-S013]\n"
         "      hint: write 3"),
        ({"sgd.epochs": True}, "sgd.epochs: expected a whole number, found true [TR-S013]"),
        ({"sgd.epochs": "3"}, "sgd.epochs: expected a whole number, found the text '3' [TR-S013]\n"
         "      hint: write 3 without quotes"),
        ({"sgd.learning_rate": float("nan")},
         "sgd.learning_rate: expected a finite number, found the number nan [TR-S014]"),
        ({"sgd.epoch": 3}, "sgd.epoch: unknown key [TR-S011]\n      hint: did you mean 'epochs'?"),
        ({"model.layers.0": {"unit": 3}, "seed": -1},
         "model.layers[0].unit: unknown key [TR-S011]\n      hint: did you mean 'units'?\n"
         "model.layers[0].units: required key is missing [TR-S012]\n"
         "seed: expected a number of at least 0, found the number -1 [TR-S014]"),
        ({"model.layers.2.units": 1}, "model.layers: there is no item 2: the list has 2 items "
                                      "[TR-S025]\n"
         "      hint: items are counted from 0"),
        ({"name.first": 1}, "name: this is the text 'tiny', which has no 'first' [TR-S025]"),
        (["sgd.epochs=many"],
         "--set sgd.epochs:1:1: sgd.epochs: expected a whole number, found the text 'many' "
         "[TR-S013]\n"
         "    1 | many\n      | ^^^^"),
    ],
)  # fmt: skip
def test_a_change_that_does_not_fit(
    made: Callable[[], Spec], changes: Changes, message: str
) -> None:
    assert sorted(told(lambda: made().changed(changes)).split("\n")) == sorted(message.split("\n"))


def test_the_other_side_of_a_misfit_is_in_the_file() -> None:
    """The layers fit no longer: what was written in the file is located there."""
    assert told(
        lambda: of_file().changed({"model.loss": "logistic", "data.target_scale": "minmax"})
    ) == (
        "model.loss: classes are not scaled, and data.target_scale says so [TR-S032]\n"
        "      hint: leave data.target_scale out"
    )
    assert told(lambda: of_file().changed({"model.outputs": "dense_1"})) == (
        "spec.yaml:6:7: model.layers[1]: nothing takes the layer 'dense_2' [TR-G006]\n"
        "    6 |     - {units: 1}\n      |       ^\n"
        "      hint: name it in `inputs` of a later layer or in `outputs`, or remove it"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sgd.epochs": object()},
         "the override 'sgd.epochs': a spec holds numbers, texts, lists and mappings, no object "
         "[TR-S024]"),
        (["sgd.epochs"],
         "--set sgd.epochs: expected key=value; for example --set sgd.learning_rate=0.01 "
         "[TR-S024]"),
    ],
)  # fmt: skip
def test_no_change(changes: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        of_file().changed(changes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("made", "epochs", "units"),
    [
        (lambda: of_file().changed({"sgd.epochs": 5}),
         (None, None, None), ("spec.yaml", 5, 15)),
        (lambda: of_file().changed(["sgd.epochs=5"]),
         ("--set sgd.epochs", 1, 1), ("spec.yaml", 5, 15)),
        (lambda: of_file().changed({"sgd.epochs": 5}).changed({"model.layers.0.units": 4}),
         (None, None, None), (None, None, None)),
        (lambda: Spec.model_validate(read(TEXT)).changed({"sgd.epochs": 5}),
         (None, None, None), (None, None, None)),
        (lambda: kept(of_file(), "/a.yaml").changed({"sgd.epochs": 5}),
         (None, None, None), ("/a.yaml", None, None)),
        (lambda: kept(of_file(), None), (None, None, None), (None, None, None)),
    ],
)  # fmt: skip
def test_later_problems_are_at_the_change_or_in_the_file(
    made: Callable[[], Spec], epochs: tuple[object, ...], units: tuple[object, ...]
) -> None:
    spec = made()
    for path, place in ((("sgd", "epochs"), epochs), (("model", "layers", 0, "units"), units)):
        problem = spec.problem(path, "too many", code="TR-S014")
        assert (problem.file, problem.line, problem.column) == place
        assert problem.message == "too many"


def test_values_that_a_run_kept_are_checked() -> None:
    values = of_file().resolved() | {"seed": -1}
    assert told(lambda: Spec.from_resolved(values, file="/a/spec.yaml")) == (
        "/a/spec.yaml: seed: expected a number of at least 0, found the number -1 [TR-S014]"
    )


def test_a_graph_without_data_is_changed_too() -> None:
    Path("sketch.yaml").write_text(SKETCH)
    sketch = load_any("sketch.yaml")
    changed = sketch.changed({"model.inputs.a": 3, "model.equations.c": "a * sum(b * w)"})
    assert isinstance(changed, Sketch)
    assert changed.model.inputs["a"] == 3.0
    assert told(lambda: sketch.changed({"model.equations.c": "a * dot(w, z)"})) == (
        "model.equations.c: there is no 'z' here [TR-G004]\n      hint: there are a, b, w"
    )


def test_the_fingerprint_of_a_change() -> None:
    spec = Spec.model_validate(read(INLINE))
    named = spec.changed({"name": "other", "tracking.experiment": "e", "tracking.uri": "u"})
    assert named != spec
    assert named.sha256 == spec.sha256 != spec.changed({"seed": 1}).sha256


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("sgd.learning_rate", ["sgd", "learning_rate"]),
        ("model.layers[0].units", ["model", "layers", "0", "units"]),
        ("model.layers.0.units", ["model", "layers", "0", "units"]),
        ('data.columns."w.h".missing', ["data", "columns", "w.h", "missing"]),
        ('data.columns["w.h"].missing', ["data", "columns", "w.h", "missing"]),
        ("columns.'a \"b\" [c]'", ["columns", 'a "b" [c]']),
        ("columns.Price (€).scale", ["columns", "Price (€)", "scale"]),
        ("columns.it's.scale", ["columns", "it's", "scale"]),
        ('columns.6" pipe.scale', ["columns", '6" pipe', "scale"]),
        ("a..b", ["a", "", "b"]),
        ("a[0", ["a", "0"]),
        ('"', ['"']),
    ],
)
def test_the_parts_of_a_key(key: str, parts: list[str]) -> None:
    assert parts_of(key) == parts


def test_messages_name_keys_as_set_takes_them() -> None:
    with pytest.raises(SpecError) as caught:
        of_file().changed(['data.columns."w.h".missing=medain'])
    assert 'data.columns."w.h".missing: expected a way to treat missing' in str(caught.value)
