"""Backprop held against differences: every parameter's gradient, element by element.

Where all ops are analytic, a step into the complex plane: Im f(x + ih) / h has no cancellation
(Squire and Trapp, SIAM Review 40, 1998). Else central differences, twice: where those of step h and
h / 2 disagree, the function has a kink near the point (relu at 0), and there is no derivative to
compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from trainer.engine import evaluate
from trainer.explain.cases import Case
from trainer.graph import Graph, GraphBuilder, gradients
from trainer.graph.ops import LEAVES, OPS, Array

COMPLEX_STEP: Final = 1e-30
DIFFERENCE: Final = 1e-6
ALLOWED: Final = {"complex step": 1e-9, "central differences": 1e-5}
"""Largest relative error that passes: of rounding, and of rounding and the step."""
MOST_ELEMENTS: Final = 200
"""Elements of a parameter that are checked; of a larger one as many, evenly spread."""


@dataclass(frozen=True)
class Checked:
    """What was found of one parameter. Errors are relative to the largest gradient in it.

    `worst_index` is the place of the largest error; `kinks` the number of elements at which the
    function has no derivative; `checked` how many were compared.
    """

    name: str
    max_relative_error: float
    worst_index: tuple[int, ...]
    method: str
    checked: int
    kinks: int

    @property
    def passed(self) -> bool:
        """Whether the error is what rounding explains."""
        return self.max_relative_error <= ALLOWED[self.method]

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return {
            "name": self.name,
            "max_relative_error": self.max_relative_error,
            "worst_index": list(self.worst_index),
            "method": self.method,
            "checked": self.checked,
            "kinks": self.kinks,
            "passed": self.passed,
        }


@dataclass(frozen=True)
class GradientCheck:
    """The check of all parameters (of a graph without any, of its inputs)."""

    name: str
    parameters: tuple[Checked, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether all of them passed."""
        return all(checked.passed for checked in self.parameters)

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form of `train gradcheck --json`."""
        return {
            "name": self.name,
            "passed": self.passed,
            "parameters": [checked.as_json() for checked in self.parameters],
        }


def check_gradients(case: Case) -> GradientCheck:
    """Compares backprop with differences at the parameters and the example of a case."""
    graph, root = _with_root(case.graph, case.of)
    needed = graph.ancestors([root])
    names = [node.name for node in graph.parameters if node.name in needed] or [
        node.name for node in graph.leaves("input") if node.name in needed
    ]
    backward = gradients(graph, root, names)
    wanted = [backward.outputs[f"gradient/{name}"] for name in names]
    found = evaluate(backward, case.feeds, wanted)
    analytic = all(
        node.op in LEAVES or OPS[node.op].analytic for node in graph if node.name in needed
    )
    function = _Function(graph, root, case.feeds)
    return GradientCheck(case.name, tuple(
        _check(name, found[gradient], function, analytic)
        for name, gradient in zip(names, wanted, strict=True)
    ))  # fmt: skip


def _with_root(graph: Graph, of: str) -> tuple[Graph, str]:
    """The graph, and the scalar node to differentiate."""
    if graph[of].shape == ():
        return graph, of
    builder = GraphBuilder.extend(graph)
    axes = tuple(range(len(graph[of].shape)))
    root = builder[of].apply("sum", name="_root", axes=axes).node.name
    return builder.build(), root


class _Function:
    """The loss as a function of one element of one parameter."""

    def __init__(self, graph: Graph, root: str, feeds: Mapping[str, Array]) -> None:
        self._graph, self._root, self._feeds = graph, root, feeds

    def complex_slope(self, name: str, index: tuple[int, ...]) -> float:
        """The derivative by a complex step."""
        feeds = {key: np.asarray(value, np.complex128) for key, value in self._feeds.items()}
        feeds[name] = feeds[name].copy()
        feeds[name][index] += 1j * COMPLEX_STEP
        value = evaluate(self._graph, feeds, [self._root])[self._root]
        return float(np.imag(value)) / COMPLEX_STEP

    def real_slope(self, name: str, index: tuple[int, ...], step: float) -> tuple[float, float]:
        """The derivative by central differences, and that to the right less that to the left."""
        values = []
        for sign in (-1, 0, 1):
            changed = np.array(self._feeds[name], np.float64)
            changed[index] += sign * step
            feeds = {**self._feeds, name: changed}
            values.append(float(evaluate(self._graph, feeds, [self._root])[self._root]))
        low, middle, high = values
        return (high - low) / (2 * step), (high - 2 * middle + low) / step


def _check(name: str, gradient: Array, function: _Function, analytic: bool) -> Checked:
    indices = list(np.ndindex(*gradient.shape))
    spread = np.unique(np.linspace(0, len(indices) - 1, MOST_ELEMENTS).round().astype(int))
    scale = max(float(np.abs(gradient).max()), 1e-8)
    worst, where, kinks, checked = 0.0, indices[0], 0, 0
    for index in (indices[i] for i in spread):
        if analytic:
            slope = function.complex_slope(name, index)
        else:
            slope, bend = function.real_slope(name, index, DIFFERENCE)
            _, half = function.real_slope(name, index, DIFFERENCE / 2)
            # a bend that stays as the step shrinks is a corner; a curve's halves with it
            if abs(half) > 1e-3 * scale and abs(half) > 0.75 * abs(bend):
                kinks += 1
                continue
        checked += 1
        error = abs(slope - float(gradient[index])) / scale
        if not error <= worst:
            worst, where = error, index
    method = "complex step" if analytic else "central differences"
    return Checked(name, worst, tuple(map(int, where)), method, checked, kinks)
