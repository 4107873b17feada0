"""`train explain` and `train gradcheck` on the lecture's examples, other specs and runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ALL_CONFIGS, ROOT

import trainer
from trainer import UsageError, load_spec
from trainer.explain.cases import Case, case_of_sketch, case_of_spec
from trainer.explain.explanation import Explanation
from trainer.explain.gradcheck import check_gradients
from trainer.graph import OPS, Graph, GraphBuilder
from trainer.graph.ops import BATCH
from trainer.spec import Sketch, load_any

Train = Callable[..., tuple[int, str, str]]
WriteSpec = Callable[..., Path]
LECTURE = ROOT / "configs" / "lecture"


def case(path: Path, **how: Any) -> Case:
    spec = load_any(path)
    return case_of_sketch(spec) if isinstance(spec, Sketch) else case_of_spec(spec, **how)


def explained(name: str, **how: Any) -> Explanation:
    return case(LECTURE / f"{name}.yaml", **how).explain()


def gradient(explanation: Explanation, name: str) -> Any:
    return explanation.index[name].gradient


def value(explanation: Explanation, name: str) -> Any:
    return explanation.index[name].value


# The lecture's numbers --------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(3.0, 1.0), (-0.5, 7.0)])
def test_one_path(a: float, b: float) -> None:
    """e = (a + b) d at d = 2: ∂e/∂c = 2, ∂c/∂a = 1, so ∂e/∂a = ∂e/∂b = 2, and ∂e/∂d = a + b."""
    sketch = load_any(LECTURE / "1_one_path.yaml")
    assert isinstance(sketch, Sketch)
    found = case_of_sketch(sketch, {"a": np.array(a), "b": np.array(b)}).explain()
    assert found.loss == (a + b) * 2
    assert [gradient(found, name) for name in "abcd"] == [2, 2, 2, a + b]
    (path,) = found.index["a"].paths
    assert (path.through, path.upstream, path.local, path.term) == ("c", 2, 1, 2)


def test_two_paths() -> None:
    """∂e/∂b = (b + 1) + (a + b) = 2 + 3 = 5; ∂e/∂a = b + 1 = 2; e = 6."""
    found = explained("2_two_paths")
    assert (found.loss, gradient(found, "a"), gradient(found, "b")) == (6, 2, 5)
    assert [(p.through, p.upstream, p.local, p.term) for p in found.index["b"].paths] == [
        ("c", 2, 1, 2), ("d", 3, 1, 3),
    ]  # fmt: skip
    assert found.index["b"].symbol == "d + c"


@pytest.mark.parametrize("row", range(6))
def test_logistic_regression(row: int) -> None:
    """∇w L = (σ(w·x + b) - y) x and ∂L/∂b = σ(w·x + b) - y, which SGD descends."""
    found = explained("3_logistic_regression", row=row)
    x, y, w, b = (value(found, name) for name in ("x", "y", "w", "b"))
    error = 1 / (1 + np.exp(-(w @ x + b))) - y
    np.testing.assert_allclose(gradient(found, "w"), error * x, rtol=1e-14)
    np.testing.assert_allclose(gradient(found, "b"), error, rtol=1e-14)


@pytest.mark.parametrize("row", range(5))
def test_linear_regression(row: int) -> None:
    """∂L/∂w = 2 (ŷ - y) x and ∂L/∂b = 2 (ŷ - y)."""
    found = explained("4_linear_regression", row=row)
    x, y, w, b = (value(found, name) for name in ("x", "y", "w", "b"))
    error = 2 * (w * x + b - y)
    assert gradient(found, "w") == pytest.approx(error * x, rel=1e-14)
    assert gradient(found, "b") == pytest.approx(error, rel=1e-14)


@pytest.mark.parametrize("row", range(5))
def test_hidden_unit(row: int) -> None:
    """∂L/∂w1 = 2 (ŷ - y) w2 x, ∂L/∂b1 = 2 (ŷ - y) w2, ∂L/∂w2 = 2 (ŷ - y) h, ∂L/∂b2 = 2 (ŷ - y)."""
    found = explained("5_hidden_unit", row=row)
    x, y, w1, b1, w2, b2 = (value(found, n) for n in ("x", "y", "w1", "b1", "w2", "b2"))
    h = w1 * x + b1
    error = 2 * (w2 * h + b2 - y)
    expected = {"w1": error * w2 * x, "b1": error * w2, "w2": error * h, "b2": error}
    for name, right in expected.items():
        assert gradient(found, name) == pytest.approx(right, rel=1e-14), name


@pytest.mark.parametrize("row", range(6))
def test_network(row: int) -> None:
    """∇W2 = ∂L/∂ŷ hᵀ; δᵢ = ∂L/∂ŷ W2ᵢ hᵢ (1 - hᵢ); row i of ∇W1 is δᵢ xᵀ."""
    found = explained("6_network", row=row)
    x, y, W1, W2 = (value(found, name) for name in ("x", "y", "W1", "W2"))
    h = 1 / (1 + np.exp(-(W1 @ x)))
    error = 2 * (W2 @ h - y)
    delta = error * W2[0] * h * (1 - h)
    np.testing.assert_allclose(gradient(found, "W2"), np.outer(error, h), rtol=1e-13)
    np.testing.assert_allclose(gradient(found, "h/matmul"), delta, rtol=1e-13)
    np.testing.assert_allclose(gradient(found, "W1"), np.outer(delta, x), rtol=1e-13)


# The commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ALL_CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_explained_and_checked(path: Path, train: Train) -> None:
    code, out, err = train("explain", path)
    assert (code, err) == (0, "")
    assert {"forward", "backward"} <= set(out.splitlines())
    code, out, _ = train("gradcheck", path, "--json")
    found = json.loads(out)
    assert (code, found["passed"]) == (0, True)
    assert all(set(p) == {"name", "max_relative_error", "worst_index", "method", "checked",
                          "kinks", "passed"} for p in found["parameters"])  # fmt: skip
    assert sum(p["checked"] for p in found["parameters"]) > 0


def test_the_json_form(train: Train) -> None:
    code, out, _ = train("explain", LECTURE / "2_two_paths.yaml", "--json")
    found = json.loads(out)
    assert (code, found["loss"], found["of"], found["parameters"]) == (0, 6.0, "e", {})
    b = next(node for node in found["nodes"] if node["name"] == "b")
    assert {key: b[key] for key in ("op", "formula", "inputs", "shape", "value", "gradient")} == {
        "op": "input", "formula": "input", "inputs": [], "shape": [], "value": 1.0, "gradient": 5.0,
    }  # fmt: skip
    assert b["paths"][0] == {
        "through": "c", "position": 1, "local": 1.0, "upstream": 2.0, "term": 2.0,
        "local_symbol": "1", "symbol": "d",
    }  # fmt: skip


def test_what_a_run_has_learned(train: Train, store: str) -> None:
    spec = load_spec(LECTURE / "6_network.yaml", {"sgd.epochs": 20, "model.dtype": "float64"})
    run = trainer.train(spec)
    code, out, _ = train("explain", "--run", "last", "--row", "3", "--json")
    found = json.loads(out)
    assert code == 0
    for name, values in run.parameters.items():
        assert found["parameters"][name]["value"] == values.tolist()
    assert train("gradcheck", "--run", "last")[0] == 0


def test_a_given_example(train: Train) -> None:
    config = LECTURE / "5_hidden_unit.yaml"
    code, out, _ = train("explain", config, "--at", "x=3", "--at", "y=2", "--json")
    found = json.loads(out)
    assert (code, found["loss"]) == (0, pytest.approx((0.8 * 0.5 * 3 - 2) ** 2))
    code, out, _ = train("explain", LECTURE / "2_two_paths.yaml", "--at", "a=4", "--json")
    assert (code, json.loads(out)["loss"]) == (0, 10.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["5_hidden_unit", "--row", "5"], "there is no row 5: the data have 5, from 0"),
        (["5_hidden_unit", "--at", "x=1,2"], "x takes 1 numbers, found 2"),
        (["5_hidden_unit", "--at", "z=1"], "there is no column 'z'"),
        (["5_hidden_unit", "--at", "x=one"], "expected a name and numbers"),
        (["3_logistic_regression", "--at", "x=1,2", "--at", "y=2"], "of a class, from 0 to 1"),
        (["2_two_paths", "--at", "q=1"], "there is no input 'q'"),
    ],
)  # fmt: skip
def test_wrong_examples(arguments: list[str], message: str, train: Train) -> None:
    code, _, err = train("explain", LECTURE / f"{arguments[0]}.yaml", *arguments[1:])
    assert (code, message in err) == (2, True)


def test_a_page_has_the_rows_that_follow(train: Train, folder: Path) -> None:
    for row, examples in (("0", 5), ("3", 2)):
        config = LECTURE / "5_hidden_unit.yaml"
        assert train("explain", config, "--row", row, "--html", "p.html") == (0, "", "")
        assert (folder / "p.html").read_text().count(" of inline") == examples


def test_overrides_of_a_run(train: Train, store: str) -> None:
    code, _, err = train("explain", "--run", "last", "--set", "seed=1")
    assert (code, "--set has no place with --run" in err) == (2, True)


def test_neither_a_spec_nor_a_run(train: Train) -> None:
    code, _, err = train("explain")
    assert (code, "name a spec, or a run with --run" in err) == (2, True)


def test_a_graph_without_data_cannot_be_trained(train: Train) -> None:
    code, _, err = train(LECTURE / "2_two_paths.yaml")
    assert (code, "declares a graph without data" in err) == (2, True)
    with pytest.raises(UsageError, match="train explain"):
        load_spec(LECTURE / "2_two_paths.yaml")


def test_large_arrays_are_summarised(train: Train) -> None:
    config = ROOT / "configs" / "digits.yaml"
    short, whole = train("explain", config)[1], train("explain", config, "--full")[1]
    assert "64 × 128 values from" in short
    assert len(whole) > 10 * len(short)


# The check of gradients -------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["sigmoid", "tanh", "relu"])
def test_a_wrong_gradient_is_caught(
    op: str, train: Train, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    spec = write_spec({"model.layers": [{"units": 5, "activation": op}, {"units": 1}]})
    assert train("gradcheck", spec, "--row", "1")[0] == 0
    right = OPS[op].vjps[0]
    assert right is not None
    wrong = replace(OPS[op], vjps=(lambda g, o, x: right(g, o, x) * 1.001,))
    monkeypatch.setitem(OPS, op, wrong)
    code, out, _ = train("gradcheck", spec, "--row", "1", "--json")
    found = json.loads(out)
    assert (code, found["passed"]) == (1, False)
    failed = {p["name"] for p in found["parameters"] if not p["passed"]}
    assert failed == {"dense_1/W", "dense_1/b"}  # those behind the wrong rule
    assert "FAIL" in train("gradcheck", spec, "--row", "1")[1]


def test_a_kink_is_told() -> None:
    builder = GraphBuilder()
    x = builder.leaf("input", "x", (BATCH, 2))
    w = builder.leaf("parameter", "w", (2,), init="zeros", decay=False)
    builder.outputs["loss"] = (x * w).apply("relu").apply("sum", axes=(0, 1)).node.name
    graph: Graph = builder.build()
    feeds = {"x": np.array([[1.0, 1.0]]), "w": np.array([0.0, 2.0])}
    (found,) = check_gradients(Case("kink", graph, feeds, graph.outputs["loss"])).parameters
    assert (found.kinks, found.checked, found.passed) == (1, 1, True)
