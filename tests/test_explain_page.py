"""The page of an explanation: what it embeds, how it groups and places; without a browser."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.errors import GraphError
from trainer.explain.explanation import Explanation, explain_graph
from trainer.explain.layout import group_nodes, lay_out
from trainer.explain.page import MOST_BOXES, MOST_ENTRIES, make_page, page_data, write_page
from trainer.graph import GraphBuilder
from trainer.spec.equations import SketchModel
from trainer.spec.lifting import lift_model

TWO_PATHS: dict[str, Any] = {
    "inputs": {"a": 2.0, "b": 1.0},
    "equations": {"c": "a + b", "d": "b + 1", "e": "c * d"},
    "output": "e",
}
NETWORK: dict[str, Any] = {
    "inputs": {"x": [1.0, 2.0, 0.5], "t": 1.0},
    "parameters": {
        "W1": {"values": [[0.5, -0.2, 0.1], [-0.3, 0.8, 0.4]]},
        "W2": {"values": [[1.0, -1.5]]},
    },
    "equations": {"h": "sigmoid(W1 @ x)", "yhat": "W2 @ h", "L": "sum((t - yhat)**2)"},
    "output": "L",
}


def explained(model: dict[str, Any], name: str = "some", **inputs: Any) -> Explanation:
    """A model of equations at its own numbers, or at other inputs."""
    spec = SketchModel.model_validate(model)
    graph = lift_model(spec)[1].build()
    given = {**spec.inputs, **{n: p.values for n, p in spec.parameters.items()}, **inputs}
    feeds = {
        node.name: np.array(given[node.name], dtype=float).reshape(
            [1 if dim == "B" else int(dim) for dim in node.shape]
        )
        for node in graph if node.op in ("input", "parameter")
    }  # fmt: skip
    return explain_graph(graph, feeds, spec.output, name)


def embedded(page: str) -> Any:
    """The data of a page, as a browser reads it."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_numbers_are_those_of_the_json() -> None:
    found = explained(NETWORK)
    steps = embedded(make_page([found]))["examples"][0]["steps"]
    for node in found.as_json()["nodes"]:
        if node["op"] == "transpose":
            assert node["name"] not in steps  # the page writes W @ x
            continue
        for what in ("value", "gradient"):
            array = steps[node["name"]][what]
            assert array["shape"] == list(np.shape(node[what]))
            assert array["data"] == np.ravel(node[what]).tolist()
    (path,) = steps["W1"]["paths"]
    assert (path["through"], path["position"]) == ("h/matmul", 1)


def test_nothing_ends_the_script_early() -> None:
    page = make_page([explained(TWO_PATHS, "</script><b>&\u2028")])
    assert page.count("</script>") == 2
    assert "<b>" not in page
    assert "<title>Backprop · &lt;/script&gt;&lt;b&gt;&amp;" in page
    assert embedded(page)["name"] == "</script><b>&\u2028"


def test_a_name_like_a_place_in_the_template_stays_as_it_is() -> None:
    assert embedded(make_page([explained(TWO_PATHS, "{{SCRIPT}}")]))["name"] == "{{SCRIPT}}"


def test_the_page_is_the_same_each_time_and_needs_nothing_else(tmp_path: Path) -> None:
    found = [explained(NETWORK), explained(NETWORK, x=[0.0, 1.0, 2.0])]
    history = {"epochs": [1, 2], "grad_norm": {"W1": [1.0, 0.5], "W2": [2.0, float("nan")]}}
    write_page(found, tmp_path / "page.html", history=history)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text == make_page([explained(NETWORK), explained(NETWORK, x=[0, 1, 2])], history)
    addresses = set(re.findall(r"\w+://[^\"' )]*", text))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"}
    assert not re.search(r"\b(src|href)=|@import|\b(fetch|XMLHttpRequest)\b", text)
    assert "default-src 'none'" in text
    assert embedded(text)["history"]["norms"]["W2"] == [2, "NaN"]
    assert len(text) - len(json.dumps(embedded(text))) < 150_000


@pytest.mark.parametrize(("entries", "whole"), [(MOST_ENTRIES, True), (MOST_ENTRIES + 1, False)])
def test_a_large_array_is_summed_up(entries: int, whole: bool) -> None:
    model = {"inputs": {"x": [3.0] * entries}, "equations": {"L": "sum(x * x)"}, "output": "L"}
    value = page_data([explained(model)])["examples"][0]["steps"]["x"]["value"]
    assert ("data" in value) is whole
    assert (value["shape"], value["min"], value["max"]) == ([entries], 3, 3)
    assert value["norm"] == pytest.approx(3 * entries**0.5)


def test_what_is_not_a_number_is_shown_as_it_is() -> None:
    model = {"inputs": {"x": 0.0}, "equations": {"L": "log(x)"}, "output": "L"}
    with np.errstate(all="ignore"):
        steps = embedded(make_page([explained(model)]))["examples"][0]["steps"]
    assert steps["L"]["value"]["data"] == ["-Infinity"]
    assert steps["x"]["gradient"]["data"] == ["Infinity"]


@pytest.mark.parametrize(
    ("inputs", "most", "groups"),
    [
        ({"x": [], "d/W": [], "d": ["x", "d/W"]}, 3, {"x": ["x"], "d/W": ["d/W"], "d": ["d"]}),
        ({"x": [], "d/W": [], "d": ["x", "d/W"]}, 2, {"x": ["x"], "d": ["d/W", "d"]}),
        # the loss takes a node of another name that takes the loss: one group, or a circle
        ({"x": [], "l/a": ["x"], "mul": ["l/a"], "l/b": ["mul"], "l": ["l/b"]}, 1,
         {"x": ["x"], "l": ["l/a", "mul", "l/b", "l"]}),
        # a group stands after those it takes, whatever the order of its nodes
        ({"b/W": [], "a": [], "b": ["a", "b/W"]}, 1, {"a": ["a"], "b": ["b/W", "b"]}),
    ],
)  # fmt: skip
def test_groups(inputs: dict[str, list[str]], most: int, groups: dict[str, list[str]]) -> None:
    found = group_nodes(inputs, most)
    assert found == groups
    assert list(found) == list(groups)


@pytest.mark.parametrize(("layers", "grouped"), [(9, False), (10, True)])
def test_a_deep_network_is_grouped_by_layers(layers: int, grouped: bool) -> None:
    builder = GraphBuilder("float64")
    h = builder.leaf("input", "x", ("B", 2))
    for i in range(layers):
        weights = builder.leaf("parameter", f"l{i}/W", (2, 2), init="zeros", decay=True)
        bias = builder.leaf("parameter", f"l{i}/b", (2,), init="zeros", decay=False)
        h = h.apply("matmul", weights, name=f"l{i}/product").apply("add", bias, name=f"l{i}")
    h.apply("sum", name="L", axes=(0, 1))
    graph = builder.build()
    feeds = {node.name: np.ones([1 if d == "B" else int(d) for d in node.shape])
             for node in graph if node.op in ("input", "parameter")}  # fmt: skip
    data = page_data([explain_graph(graph, feeds, "L")])
    assert data["grouped"] is grouped is (len(data["nodes"]) > MOST_BOXES)
    names = [box["name"] for box in data["boxes"]]
    if grouped:
        assert names == ["x", *(f"l{i}" for i in range(layers)), "L"]
        assert data["boxes"][1]["members"] == ["l0/W", "l0/b", "l0/product", "l0"]
    else:
        assert len(names) == len(data["nodes"])


def test_places() -> None:
    layout = lay_out("abcde", [("a", "c"), ("b", "c"), ("b", "d"), ("c", "e"), ("d", "e")])
    assert [layout.places[name][0] for name in "abcde"] == [0, 0, 1, 1, 2]
    assert layout.layers == 3
    assert 2 <= layout.rows < 2.5
    rows = {name: row for name, (_, row) in layout.places.items()}
    assert rows["b"] - rows["a"] == rows["d"] - rows["c"] == 1
    assert rows["e"] == pytest.approx((rows["c"] + rows["d"]) / 2, abs=0.01)


def test_a_chain_is_straight_and_its_leaves_are_beside_it() -> None:
    edges = [("x", "p"), ("W", "p"), ("p", "s"), ("b", "s"), ("s", "q"), ("V", "q"), ("q", "L")]
    layout = lay_out(["x", "W", "p", "b", "s", "V", "q", "L"], edges)
    chain = {layout.places[name][1] for name in "psqL"}
    assert max(chain) - min(chain) < 0.01
    assert {layout.places[n][0] - layout.places[m][0] for n, m in [("p", "W"), ("q", "V")]} == {1}


def test_edges_cross_no_more_than_they_must_and_boxes_are_apart() -> None:
    boxes = [*"abcdef", "z"]
    edges = [("a", "f"), ("b", "e"), ("c", "d"), *((n, "z") for n in "def"), ("a", "z")]
    layout = lay_out(boxes, edges)
    rows = {n: row for n, (_, row) in layout.places.items()}
    assert sorted("abc", key=rows.__getitem__) == [
        {"d": "c", "e": "b", "f": "a"}[n] for n in sorted("def", key=rows.__getitem__)
    ]
    for layer in range(layout.layers):
        column = sorted(row for at, row in layout.places.values() if at == layer)
        assert all(b - a >= 0.999 for a, b in pairwise(column))
    assert len(layout.routes[-1]) == 3  # a bend where it passes the layer between


def test_faults() -> None:
    with pytest.raises(GraphError, match="at least one explanation"):
        make_page([])
    with pytest.raises(GraphError, match="these graphs differ"):
        make_page([explained(TWO_PATHS), explained(NETWORK)])
