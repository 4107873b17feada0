"""Explanations as one page of HTML that goes through the graph step by step, without a network."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path as FilePath
from typing import Any, Final

import numpy as np

from trainer.errors import GraphError
from trainer.explain.explanation import Explanation, Path, Step
from trainer.explain.layout import group_nodes, lay_out
from trainer.graph.ops import Array

MOST_BOXES: Final = 40
"""Nodes up to which each has a box of its own; beyond, those of a layer or equation share one."""
MOST_ENTRIES: Final = 4096
"""Entries up to which an array is on the page; of a larger one there is a summary."""
_EXACT: Final = 64  # entries up to which numbers keep all digits
_SCRIPTS: Final = ("notation.js", "formulas.js", "graph.js", "panel.js", "history.js", "page.js")
_HERE: Final = FilePath(__file__).parent / "web"


def write_page(
    explanations: Sequence[Explanation],
    path: FilePath,
    *,
    history: Mapping[str, Any] | None = None,
) -> None:
    """Writes the page to `path`: a file of its own, to be opened in a browser.

    The explanations are of one graph, at different examples or parameters; a slider chooses.
    `history` is of a run: `{"epochs": [...], "grad_norm": {parameter: [...]}}`, with one norm for
    each epoch. Raises `GraphError` where there is no explanation, or the graphs differ.
    """
    path.write_text(make_page(explanations, history), encoding="utf-8", newline="\n")


def make_page(explanations: Sequence[Explanation], history: Mapping[str, Any] | None = None) -> str:
    """The text of the page; the same for the same explanations."""
    data = page_data(explanations, history)
    title = f"Backprop · {data['name']}" if data["name"] else "Backprop"
    parts = {
        "TITLE": escape(title),
        "STYLE": _file("page.css"),
        "SCRIPT": "".join(map(_file, _SCRIPTS)),
        "DATA": _embedded(data),
    }
    page = _file("page.html")
    before = []
    for key in sorted(parts, key=lambda key: page.index(f"{{{{{key}}}}}")):
        first, _, page = page.partition(f"{{{{{key}}}}}")
        before += [first, parts[key]]
    return "".join([*before, page])


def page_data(
    explanations: Sequence[Explanation], history: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What the page shows: the drawn graph once, and the numbers of each explanation."""
    if not explanations:
        raise GraphError(
            "there is nothing to show: a page takes at least one explanation", code="TR-G018"
        )
    shown = [fold_transposes(explanation) for explanation in explanations]
    first = shown[0][0]
    shape = [(step.node.name, step.node.inputs) for step in first.steps]
    for other, _ in shown[1:]:
        if [(step.node.name, step.node.inputs) for step in other.steps] != shape:
            raise GraphError(
                "the explanations on a page are of one graph; these graphs differ", code="TR-G018"
            )
    return {
        "name": first.name,
        "of": first.of,
        "nodes": [_structure(step) for step in first.steps],
        "transposes": shown[0][1],
        **_drawing(first, shown[0][1]),
        "examples": [_example(explanation) for explanation, _ in shown],
        "history": None if history is None else _history(history),
    }


def fold_transposes(explanation: Explanation) -> tuple[Explanation, dict[str, str]]:
    """The explanation without the transposes of matrices that vectors are multiplied with.

    An equation `W @ x` is `x @ Wᵀ` in the graph of a batch. The page writes it as the equation
    does: what leads to Wᵀ leads to W. Also returns the matrix of each transpose left out.
    """
    folded: dict[str, str] = {}
    for step in explanation.steps:
        takes = [p for p in step.paths if explanation.index[p.through].node.op == "matmul"]
        if (
            step.node.op == "transpose"
            and all(p.position == 1 for p in takes)
            and (len(takes) == len(step.paths) > 0)
        ):
            folded[step.node.name] = step.node.inputs[0]
    steps = []
    for step in explanation.steps:
        if step.node.name not in folded:
            paths = [
                replace(path, through=behind.through, position=1, local=None, symbol="",
                        upstream=behind.upstream, term=np.transpose(behind.term))
                if path.through in folded else path
                for path in step.paths
                for behind in (explanation.index[path.through].paths
                               if path.through in folded else [path])
            ]  # fmt: skip
            steps.append(replace(step, paths=tuple(paths)))
    return replace(explanation, steps=tuple(steps)), folded


def _sources(step: Step, explanation: Explanation, transposes: Mapping[str, str]) -> list[str]:
    names = [transposes.get(name, name) for name in step.node.inputs]
    return [name for name in names if name in explanation.index]


def _file(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON inside an element `script`: nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _structure(step: Step) -> dict[str, Any]:
    node = step.node
    return {"name": node.name, "op": node.op, "formula": node.formula, "inputs": list(node.inputs)}


def _drawing(explanation: Explanation, transposes: Mapping[str, str]) -> dict[str, Any]:
    """The boxes in the order of the forward pass, and the edges between them, with their places."""
    inputs = {step.node.name: _sources(step, explanation, transposes) for step in explanation.steps}
    groups = group_nodes(inputs, MOST_BOXES)
    group_of = {name: group for group, members in groups.items() for name in members}
    edges = sorted({
        (group_of[source], group_of[name])
        for name, sources in inputs.items() for source in sources
        if group_of[source] != group_of[name]
    })  # fmt: skip
    layout = lay_out(list(groups), edges)
    return {
        "grouped": len(groups) < len(inputs),
        "boxes": [
            {"name": name, "members": members, "at": layout.places[name]}
            for name, members in groups.items()
        ],
        "edges": [
            {"from": source, "to": target, "route": route}
            for (source, target), route in zip(edges, layout.routes, strict=True)
        ],
        "layers": layout.layers,
        "rows": layout.rows,
    }


def _example(explanation: Explanation) -> dict[str, Any]:
    return {
        "notes": list(explanation.notes),
        "steps": {step.node.name: _numbers(step) for step in explanation.steps},
    }


def _numbers(step: Step) -> dict[str, Any]:
    return {
        "value": _array(step.value),
        "gradient": _array(step.gradient),
        "symbol": step.symbol,
        "paths": [_path(path, alone=len(step.paths) == 1) for path in step.paths],
    }


def _path(path: Path, alone: bool) -> dict[str, Any]:
    """A term; one that is alone is the gradient, and is not written twice."""
    return {
        "through": path.through,
        "position": path.position,
        "local": None if path.local is None or path.local.size > _EXACT else _array(path.local),
        "term": None if alone else _array(path.term),
        "localSymbol": path.local_symbol,
        "symbol": path.symbol,
    }


def _array(value: Array) -> dict[str, Any]:
    """The shape, the entries in rows where they are few enough, and what sums them up."""
    flat = np.asarray(value, dtype=float).ravel()
    found: dict[str, Any] = {"shape": list(value.shape)}
    if flat.size <= MOST_ENTRIES:
        digits = 17 if flat.size <= _EXACT else 7
        found["data"] = [_number(float(v), digits) for v in flat]
    if value.shape and flat.size:
        with np.errstate(all="ignore"):
            norm = float(np.sqrt(np.sum(flat * flat)))
        found |= {"min": _number(float(flat.min()), 7), "max": _number(float(flat.max()), 7),
                  "norm": _number(norm, 17)}  # fmt: skip
    return found


def _number(value: float, digits: int) -> float | int | str:
    """A number as JSON has it: what is not finite is a text that the page reads as a number."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    rounded = value if digits == 17 else float(f"{value:.{digits}g}")
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 1e15 else rounded


def _history(history: Mapping[str, Any]) -> dict[str, Any]:
    epochs = [int(epoch) for epoch in history["epochs"]]
    norms = {
        name: [_number(math.nan if v is None else float(v), 7) for v in values]
        for name, values in history["grad_norm"].items()
    }
    return {"epochs": epochs, "norms": norms}
