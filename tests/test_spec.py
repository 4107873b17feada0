"""What a spec may say: mistakes and their words, what fits no data or graph, overrides.

Those of tables, layers, losses and SGD are in test_spec_mistakes.py, the rest in test_spec_*.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.data import load_dataset
from trainer.errors import GraphError, SpecError, UsageError
from trainer.graph import Graph, GraphBuilder, Node
from trainer.graph.ops import ACTIVATIONS, BATCH
from trainer.network.build import build_graph
from trainer.network.memory import check_memory
from trainer.spec import Spec, load_spec

BASE = """\
name: tiny
seed: 5
data:
  source:
    inline:
      x: [[0, 0], [0, 1], [1, 0], [1, 1]]
      y: [0, 1, 1, 0]
model:
  layers:
    - {units: 3, activation: tanh}
    - {units: 1}
  loss: logistic
sgd:
  learning_rate: 0.5
  batch_size: 2
  epochs: 3
"""
SOURCE = BASE[BASE.index("source:") : BASE.index("model:")]
KEYS = "the keys here are name, seed, data, model, sgd, evaluation, tracking"

pytestmark = pytest.mark.usefixtures("folder")

Found = tuple[int | None, int | None, str, str, str | None]


def load(text: str, overrides: Any = None) -> Spec:
    Path("spec.yaml").write_text(text)
    return load_spec("spec.yaml", overrides)


def changed(old: str, new: str) -> str:
    assert BASE.count(old) == 1
    return BASE.replace(old, new)


def problems(call: Callable[[], object]) -> list[Found]:
    """Line, column, path, message and hint of each problem that the call raises."""
    with pytest.raises(SpecError) as caught:
        call()
    assert caught.value.exit_code == 2
    return [(p.line, p.column, p.path, p.message, p.hint) for p in caught.value.problems]


# Mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # keys
        ("seed", "sed", (2, 1, "sed", "unknown key", "did you mean 'seed'?")),
        ("seed", "zzz", (2, 1, "zzz", "unknown key", KEYS)),
        ("epochs: 3", "epochs: 3\n  Epochs: 4",
         (17, 3, "sgd.Epochs", "unknown key", "did you mean 'epochs'?")),
        ("units: 3,", "units: 3, activaton: relu,",
         (10, 18, "model.layers[0].activaton", "unknown key", "did you mean 'activation'?")),
        ("      y:", "      z: 1\n      y:",
         (7, 7, "data.source.inline.z", "unknown key", "the keys here are x, y")),
        ("    inline:", "    csv: a.csv\n    inline:",
         (6, 5, "data.source.inline", "unknown key",
          "the keys here are csv, delimiter, missing_values, decimal, thousands, encoding, "
          "skip_lines, header, names, quote, comment")),
        ("name: tiny\n", "", (1, 1, "name", "required key is missing", None)),
        ("  epochs: 3\n", "", (13, 1, "sgd.epochs", "required key is missing", None)),
        ("{units: 1}", "{bias: false}",
         (11, 7, "model.layers[1].units", "required key is missing", None)),
        # numbers
        ("0.5", "true", (14, 18, "sgd.learning_rate", "expected a number, found true", None)),
        ("0.5", ".nan", (14, 18, "sgd.learning_rate",
                         "expected a finite number, found the number nan", None)),
        ("0.5", ".inf", (14, 18, "sgd.learning_rate",
                         "expected a finite number, found the number inf", None)),
        ("0.5", '"0.1"', (14, 18, "sgd.learning_rate",
                          "expected a number, found the text '0.1'", "write 0.1 without quotes")),
        ("0.5", "0", (14, 18, "sgd.learning_rate",
                      "expected a number above 0, found the number 0", None)),
        ("0.5", "-1e-9", (14, 18, "sgd.learning_rate",
                          "expected a number above 0, found the number -1e-09", None)),
        ("epochs: 3", "epochs: 0", (16, 11, "sgd.epochs",
                                    "expected a number of at least 1, found the number 0", None)),
        ("epochs: 3", "epochs: 2.5", (16, 11, "sgd.epochs",
                                      "expected a whole number, found the number 2.5", None)),
        ("epochs: 3", "epochs: 1e2", (16, 11, "sgd.epochs",
                                      "expected a whole number, found the number 100.0",
                                      "write 100")),
        ("epochs: 3", "epochs: '2.5'", (16, 11, "sgd.epochs",
                                        "expected a whole number, found the text '2.5'", None)),
        ("epochs: 3", "epochs: true", (16, 11, "sgd.epochs",
                                       "expected a whole number, found true", None)),
        ("epochs: 3", "epochs: ", (16, 3, "sgd.epochs",
                                   "expected a whole number, found nothing", None)),
        ("epochs: 3", "epochs: 3\n  momentum: 1",
         (17, 13, "sgd.momentum", "expected a number below 1, found the number 1", None)),
        ("epochs: 3", "epochs: 3\n  momentum: -0.1",
         (17, 13, "sgd.momentum", "expected a number of at least 0, found the number -0.1", None)),
        ("epochs: 3", "epochs: 3\n  nesterov: 1",
         (17, 13, "sgd.nesterov", "expected true or false, found the number 1", None)),
        ("epochs: 3", "epochs: 3\n  nesterov: true",
         (17, 13, "sgd.nesterov", "nesterov needs momentum",
          "set sgd.momentum, for example to 0.9")),
        ("epochs: 3", "epochs: 3\n  clip_norm: 0",
         (17, 14, "sgd.clip_norm", "expected a number above 0, found the number 0", None)),
        ("seed: 5", "seed: -1",
         (2, 7, "seed", "expected a number of at least 0, found the number -1", None)),
        ("seed: 5", f"seed: {'9' * 30}",
         (2, 7, "seed", "a number of 30 digits is too large",
          "write a smaller number; or use quotes for a text")),
        ("seed: 5", f"seed: {2**63}",
         (2, 7, "seed", f"expected a number below {2**63}, found the number {2**63}", None)),
        *[("batch_size: 2", f"batch_size: {value}",
           (15, 15, "sgd.batch_size",
            f"expected a whole number of at least 1, or 'full', found {found}", None))
          for value, found in [("0", "the number 0"), ("-1", "the number -1"), ("true", "true"),
                               ("1.0", "the number 1.0"), ("ful", "the text 'ful'"),
                               ("null", "nothing")]],
        # the model
        ("tanh", "rleu", (10, 30, "model.layers[0].activation",
                          "expected an activation, found the text 'rleu'", "did you mean 'relu'?")),
        ("tanh", "ReLU", (10, 30, "model.layers[0].activation",
                          "expected an activation, found the text 'ReLU'", "did you mean 'relu'?")),
        ("tanh", "3", (10, 30, "model.layers[0].activation",
                       "expected an activation, found the number 3",
                       f"choose one of {', '.join(ACTIVATIONS)}")),
        ("tanh", "softmax", (10, 30, "model.layers[0].activation",
                             "softmax fits the last layer alone",
                             "use it on the last layer, or another activation here")),
        ("tanh", "tanh, init: he_unifrm",
         (10, 42, "model.layers[0].init", "expected an initialiser, found the text 'he_unifrm'",
          "did you mean 'he_uniform'?")),
        ("tanh", "tanh, type: Dens", (10, 42, "model.layers[0].type",
                                      "expected a type of layer, found the text 'Dens'",
                                      "did you mean 'dense'?")),
        ("tanh", "tanh, name: 1st",
         (10, 42, "model.layers[0].name", "expected a name of letters, digits and _ that begins "
          "with no digit, found the text '1st'", None)),
        ("tanh", "tanh, name: dense_2",
         (11, 7, "model.layers[1].name", "the layer name 'dense_2' is used twice",
          "layer 1 has it already")),
        ("tanh", "tanh, name: loss",
         (10, 42, "model.layers[0].name", "the layer name 'loss' is taken by a node of the graph",
          "choose another name")),
        ("logistic", "logistc", (12, 9, "model.loss",
                                 "expected 'squared', 'logistic' or 'huber', found the text "
                                 "'logistc'", "did you mean 'logistic'?")),
        ("logistic", "[squared]", (12, 3, "model.loss",
                                   "expected 'squared', 'logistic' or 'huber', found a list",
                                   None)),
        ("logistic", "logistic\n  dtype: float16",
         (13, 10, "model.dtype", "expected 'float32' or 'float64', found the text 'float16'",
          "did you mean 'float64'?")),
        ("{units: 1}", "{units: 1, activation: tanh}",
         (12, 9, "model.loss",
          "the loss 'logistic' with 1 output does not fit a last layer with 'tanh'",
          "give the last layer no activation, or 'sigmoid'")),
        ("{units: 1}", "{units: 2, activation: sigmoid}",
         (12, 9, "model.loss",
          "the loss 'logistic' with 2 outputs does not fit a last layer with 'sigmoid'",
          "give the last layer no activation, or 'softmax'")),
        ("{units: 1}", "5", (11, 7, "model.layers[1]", "expected a mapping, found the number 5",
                             "the keys here are name, inputs, type, units, activation, init, bias, "
                             "freeze")),
        ("\n    - {units: 3, activation: tanh}\n    - {units: 1}", " []",
         (9, 3, "model.layers", "expected a list of at least 1 item, found an empty list", None)),
        ("\n    - {units: 3, activation: tanh}\n    - {units: 1}", " {units: 1}",
         (9, 3, "model.layers", "expected a list, found a mapping", None)),
        # the data
        (SOURCE, "source: irsi\n", (4, 11, "data.source", "expected a bundled data set, found the "
                                    "text 'irsi'", "did you mean 'iris'?")),
        (SOURCE, "source: 3\n", (4, 11, "data.source", "expected a bundled data set, found the "
                                 "number 3",
                                 "choose one of iris, wine, breast_cancer, digits, diabetes")),
        (SOURCE, "source: {csv: a.csv}\n",
         (3, 1, "data.target", "required key is missing",
          "name the column to predict: `target: …`")),
        (SOURCE, "source: {csv: a.csv, delimiter: ''}\n  target: y\n",
         (4, 35, "data.source.delimiter", "expected ',', ';', '\\t', '|', ':', ' ' or 'blanks', "
          "found the text ''", None)),
        (SOURCE, "source: {csv: a.csv}\n  target: y\n  features: [a, y]\n",
         (6, 17, "data.features[1]", "'y' is the target and cannot also be a feature", None)),
        (SOURCE, "source: {csv: a.csv}\n  target: y\n  features: [a, a]\n",
         (6, 17, "data.features[1]", "'a' is named twice", None)),
        (SOURCE, "source: {synthetic: xro}\n",
         (4, 23, "data.source.synthetic", "expected a synthetic data set, found the text 'xro'",
          "did you mean 'xor'?")),
        (SOURCE, "source: {synthetic: xor, rows: 1e9}\n",
         (4, 34, "data.source.rows", "expected a whole number, found the number 1000000000.0",
          "write 1000000000")),
        (SOURCE, "source: {synthetic: xor, rows: 1000000000}\n",
         (4, 34, "data.source.rows", "expected a number of at most 100000000, found the number "
          "1000000000", None)),
        ("[1, 0]", "[1, a]", (6, 31, "data.source.inline.x[2][1]",
                              "expected a number, found the text 'a'", None)),
        ("[1, 0]", "[1]", (6, 27, "data.source.inline.x[2]",
                           "expected 2 numbers as in the first row, found 1", None)),
        ("[0, 1, 1, 0]", "[0, 1]", (7, 7, "data.source.inline.y",
                                    "expected 4 targets, one a row of x, found 2", None)),
        (SOURCE, SOURCE + "  split: {validation: 0.5, test: 0.5}\n",
         (8, 34, "data.split.test", "validation and test together take 1 of the rows",
          "leave some rows for training: keep the sum below 1")),
    ],
)  # fmt: skip
def test_mistake(old: str, new: str, expected: Found) -> None:
    assert problems(lambda: load(changed(old, new))) == [expected]


def test_five_mistakes_are_reported_at_once_and_in_order() -> None:
    text = BASE
    for old, new in [
        ("seed: 5", "seed: 05"),
        ("tanh", "than"),
        ("logistic", "hinge"),
        ("learning_rate", "learning_rat"),
        ("epochs: 3", "epochs: three"),
    ]:
        text = text.replace(old, new)
    with pytest.raises(SpecError) as caught:
        load(text)
    assert (
        str(caught.value)
        == """\
spec.yaml:2:7: seed: the number '05' begins with 0 [TR-S008]
    2 | seed: 05
      |       ^^
      hint: write 5; or use quotes for a text
spec.yaml:10:30: model.layers[0].activation: expected an activation, found the text 'than' [TR-S015]
   10 |     - {units: 3, activation: than}
      |                              ^^^^
      hint: did you mean 'tanh'?
spec.yaml:12:9: model.loss: expected 'squared', 'logistic' or 'huber', found the text 'hinge' \
[TR-S015]
   12 |   loss: hinge
      |         ^^^^^
spec.yaml:13:1: sgd.learning_rate: required key is missing [TR-S012]
   13 | sgd:
      | ^^^
spec.yaml:14:3: sgd.learning_rat: unknown key [TR-S011]
   14 |   learning_rat: 0.5
      |   ^^^^^^^^^^^^
      hint: did you mean 'learning_rate'?
spec.yaml:16:11: sgd.epochs: expected a whole number, found the text 'three' [TR-S013]
   16 |   epochs: three
      |           ^^^^^"""
    )
    assert caught.value.as_json()["exit_code"] == 2


# What does not fit the data or the machine -----------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("batch_size: 2", "batch_size: 5",
         (15, 15, "sgd.batch_size", "a batch of 5 rows is larger than the 4 training rows",
          "write batch_size: full, or at most 4")),
        ("{units: 1}", "{units: 4}",
         (11, 15, "model.layers[1].units", "'y' has 2 classes (0, 1), found 4 units",
          "write units: 1")),
        ("[0, 1, 1, 0]", "[a, b, c, a]",
         (11, 15, "model.layers[1].units", "'y' has 3 classes (a, b, c), found 1 unit",
          "write units: 3")),
    ],
)  # fmt: skip
def test_no_fit_to_the_data(old: str, new: str, expected: Found) -> None:
    spec = load(changed(old, new))
    assert problems(lambda: load_dataset(spec)) == [expected]


def test_too_many_units_are_refused_before_anything_is_allocated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("trainer.network.memory.machine_memory", lambda: 16 * 10**9)
    spec = load(changed("units: 3", "units: 1000000000"))
    dataset = load_dataset(spec)
    model = build_graph(spec, dataset.layout)
    assert problems(lambda: check_memory(spec, dataset, model)) == [
        (10, 15, "model.layers[0].units",
         "1000000000 units need about 112.0 GB of memory, this machine has 16.0 GB",
         "use fewer units or a smaller batch")
    ]  # fmt: skip


# The graph -------------------------------------------------------------------------------------


def node(name: str, *inputs: str) -> Node:
    return Node(name, "add" if inputs else "input", inputs, (2,), "float64")


LATER = (
    "which comes after it: a graph has no cycles, and inputs stand before the nodes that take them "
    "[TR-G016]"
)


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ([node("a", "b"), node("b", "a")], {}, f"node 'a' takes 'b', {LATER}"),
        ([node("a", "a")], {}, "node 'a' takes itself: a graph has no cycles [TR-G016]"),
        ([node("a", "b")], {}, "node 'a' takes 'b', which does not exist [TR-G016]"),
        ([node("a"), node("a")], {}, "two nodes are named 'a': names must differ [TR-G016]"),
        ([node("a")], {"loss": "b"}, "'loss' is node 'b', which does not exist [TR-G016]"),
    ],
    ids=["cycle", "loop", "dangling input", "name used twice", "dangling output"],
)
def test_no_graph(nodes: list[Node], outputs: dict[str, str], message: str) -> None:
    with pytest.raises(GraphError) as caught:
        Graph(tuple(nodes), outputs)
    assert str(caught.value) == message


def test_unused_nodes() -> None:
    graph = Graph((node("a"), node("b"), node("c", "a"), node("d", "b")), {"loss": "c"})
    assert [unused.name for unused in graph.unused()] == ["b", "d"]


@pytest.mark.parametrize(
    ("op", "shape", "message"),
    [
        ("matmul", (4, 2), "model.layers[0]: node 'h': matmul of 'x' (B, 3) and 'w' (4, 2): "
         "the inner dimensions 3 and 4 differ [TR-G007]"),
        ("matmul", (3,), "model.layers[0]: node 'h': matmul of 'x' (B, 3) and 'w' (3,): "
         "both must be matrices [TR-G007]"),
        ("add", (4,), "model.layers[0]: node 'h': add of 'x' (B, 3) and 'w' (4,): "
         "(B, 3) and (4,) do not broadcast [TR-G007]"),
        ("frob", (3,), "model.layers[0]: node 'h': there is no op 'frob' [TR-G016]"),
        ("neg", (3,), "model.layers[0]: node 'h': neg takes 1 input, not 2 [TR-G016]"),
    ],
)  # fmt: skip
def test_nodes_that_do_not_fit(op: str, shape: tuple[int, ...], message: str) -> None:
    builder = GraphBuilder()
    x = builder.leaf("input", "x", (BATCH, 3))
    w = builder.leaf("parameter", "w", shape)
    with builder.at("model.layers[0]"), pytest.raises(GraphError) as caught:
        x.apply(op, w, name="h")
    assert str(caught.value) == message


def test_name_used_twice_in_a_builder() -> None:
    builder = GraphBuilder()
    builder.leaf("input", "x", (BATCH, 3))
    with builder.at("model.layers[0]"), pytest.raises(GraphError) as caught:
        builder.leaf("input", "x", (BATCH, 3))
    assert (
        str(caught.value) == "model.layers[0]: two nodes are named 'x': names must differ [TR-G016]"
    )


# Overrides -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "read", "value"),
    [
        (["sgd.learning_rate=0.01", "model.layers.0.units=32"],
         lambda s: (s.sgd.learning_rate, s.model.layers[0].units), (0.01, 32)),
        ({"sgd.learning_rate": 0.01, "model.layers.0.units": 32},
         lambda s: (s.sgd.learning_rate, s.model.layers[0].units), (0.01, 32)),
        (["model.layers[1].name=last"], lambda s: s.model.layers[1].name, "last"),
        (["tracking.experiment=mine"], lambda s: s.tracking.experiment, "mine"),
        (["data.split={test: 0.25}"], lambda s: s.data.split.test, 0.25),
        (["seed=1", "seed=2"], lambda s: s.seed, 2),
        ([" seed = 3 "], lambda s: s.seed, 3),
        (["name=a=b"], lambda s: s.name, "a=b"),
        (["sgd.clip_norm=null"], lambda s: s.sgd.clip_norm, None),
        (["model.layers=[{units: 1}]"], lambda s: len(s.model.layers), 1),
        ({"model.layers": ({"units": 1},)}, lambda s: len(s.model.layers), 1),
        ({"name": "010"}, lambda s: s.name, "010"),
        ({"name": "été 😀"}, lambda s: s.name, "été 😀"),
        ({"sgd.learning_rate": np.float32(0.5)}, lambda s: s.sgd.learning_rate, 0.5),
        ({"sgd.epochs": np.int64(7)}, lambda s: s.sgd.epochs, 7),
        ({"data.source": {"csv": Path("a.csv")}, "data.target": "y"},
         lambda s: s.data.source.csv, "a.csv"),
        ({}, lambda s: s.seed, 5),
        ([], lambda s: s.seed, 5),
    ],
)  # fmt: skip
def test_override(overrides: Any, read: Callable[[Spec], object], value: object) -> None:
    assert read(load(BASE, overrides)) == value


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sgd.epochs=many"],
         "--set sgd.epochs:1:1: sgd.epochs: expected a whole number, found the text 'many' "
         "[TR-S013]\n"
         "    1 | many\n      | ^^^^"),
        ({"sgd.learning_rate": "fast"},
         "--set sgd.learning_rate: sgd.learning_rate: expected a number, found the text 'fast' "
         "[TR-S013]"),
        ({"sgd.learning_rate": math.nan},
         "--set sgd.learning_rate: sgd.learning_rate: expected a finite number, found the number "
         "nan [TR-S014]"),
        (["sgd.lerning_rate=1"],
         "--set sgd.lerning_rate:1:1: sgd.lerning_rate: unknown key "
         "[TR-S011]\n    1 | 1\n      | ^\n"
         "      hint: did you mean 'learning_rate'?"),
        (["model.layers.2.units=1"],
         "--set model.layers.2.units:1:1: model.layers: there is no item 2: the list has 2 items "
         "[TR-S025]\n"
         "    1 | 1\n      | ^\n      hint: items are counted from 0"),
        ({"model.layers.-1.units": 1},
         "--set model.layers.-1.units: model.layers: there is no item -1: the list has 2 items "
         "[TR-S025]\n"
         "      hint: items are counted from 0"),
        ({"model.layers.²": 1},
         "--set model.layers.²: model.layers: there is no item ²: the list has 2 items [TR-S025]\n"
         "      hint: items are counted from 0"),
        ({"name.first": 1},
         "--set name.first: name: this is the text 'tiny', which has no 'first' [TR-S025]"),
        ({".".join("a" * 99): 1},
         f"--set {'a.' * 38}a...: more than 64 levels of nesting [TR-S006]"),
        (["seed=x", "name=1"],
         "--set name:1:1: name: expected a text, found the number 1 "
         "[TR-S013]\n    1 | 1\n      | ^\n"
         "      hint: put it in quotes if it is meant as a text\n"
         "--set seed:1:1: seed: expected a whole number, found the text 'x' [TR-S013]\n"
         "    1 | x\n      | ^"),
    ],
)  # fmt: skip
def test_override_that_does_not_fit(overrides: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        load(BASE, overrides)
    assert str(caught.value) == message


def test_problems_of_the_file_come_before_those_of_overrides() -> None:
    found = problems(lambda: load(changed("epochs: 3", "epochs: 0"), {"seed": -1, "sgd.a": 1}))
    assert [path for _, _, path, _, _ in found] == ["sgd.epochs", "seed", "sgd.a"]


def test_override_below_a_value_that_is_reported() -> None:
    assert problems(lambda: load("name: x\nsgd: *a\n", ["sgd.epochs=3"])) == [
        (1, 1, "data", "required key is missing", None),
        (1, 1, "model", "required key is missing", None),
        (2, 6, "sgd", "the alias '*a' is not allowed", "write the value out"),
    ]


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "a spec holds numbers, texts, lists and mappings, no object [TR-S024]"),
        (b"x", "a spec holds numbers, texts, lists and mappings, no bytes [TR-S024]"),
        ({"a": {1, 2}}, "a spec holds numbers, texts, lists and mappings, no set [TR-S024]"),
        (10**5000, "a number of more than 25 digits is too large [TR-S024]"),
        ("\ud800", "the text holds half of a character, which no file can hold [TR-S024]"),
        (CYCLE, "more than 64 levels of nesting [TR-S024]"),
    ],
    ids=["object", "bytes", "set", "digits", "surrogate", "cycle"],
)
def test_override_that_no_file_could_hold(value: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(BASE, {"name": value})
    assert str(caught.value) == f"the override 'name': {message}"
