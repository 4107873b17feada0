"""What is explained: the graph of a spec, and one example for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trainer.build import build_graph
from trainer.data import Part, Preprocessing, load_table, preprocess
from trainer.errors import UsageError
from trainer.explain.explanation import Explanation, explain_graph
from trainer.graph import Graph
from trainer.graph.initialisers import initial_parameters
from trainer.graph.ops import Array
from trainer.spec.lifting import lift_model
from trainer.spec.schema import Sketch, Spec


@dataclass(frozen=True)
class Case:
    """A graph with the values of its parameters and one example; `of` is the node whose gradient
    is asked for. `notes` say where the numbers come from.
    """

    name: str
    graph: Graph
    feeds: Mapping[str, Array]
    of: str
    notes: tuple[str, ...] = ()

    def explain(self) -> Explanation:
        """All values and gradients."""
        return explain_graph(self.graph, self.feeds, self.of, self.name, self.notes)


def case_of_sketch(sketch: Sketch, at: Mapping[str, Array] | None = None) -> Case:
    """The graph of a sketch at its inputs, or at others. Raises `UsageError` for unknown names."""
    lifted, builder = lift_model(sketch.model)
    graph = builder.build()
    given = {name: np.asarray(value, graph[name].dtype)
             for name, value in sketch.model.inputs.items() if name in graph}  # fmt: skip
    for name, value in (at or {}).items():
        if name not in given:
            raise UsageError(f"there is no input '{name}': there are {', '.join(given)}")
        given[name] = value
    feeds = {name: _batch(name, value, graph) for name, value in given.items()}
    parameters = initial_parameters(graph, sketch.seed)
    return Case(sketch.name, graph, parameters | feeds, lifted.node.node.name)


def case_of_spec(
    spec: Spec,
    *,
    row: int = 0,
    at: Mapping[str, Array] | None = None,
    parameters: Mapping[str, Array] | None = None,
    preprocessing: Preprocessing | None = None,
) -> Case:
    """The model and loss of a spec at one row of its data, counted from 0, or at given features.

    `at` may hold `x`, the features as they stand in the data, and `y`, the target (a class by its
    number); without y it is 0. The parameters are the initial ones unless others are given, whose
    `preprocessing` then belongs to them. Values are in float64.

    Raises `UsageError` for a row or a value that does not fit, and what reading the data raises.
    """
    if at is None or preprocessing is None:
        table = load_table(spec)
        how = preprocessing or preprocess(spec, table)
    else:
        table, how = None, preprocessing
    graph = _in_float64(spec, how)
    if at is not None:
        x, y, note = _given(at, how)
    else:
        assert table is not None
        if not 0 <= row < len(table.x):
            raise UsageError(f"there is no row {row}: the data have {len(table.x)}, from 0")
        target = table.target[row : row + 1]
        target = target[:, None] if table.classes is not None else target
        x, y, note = table.x[row], how.encode(target), f"row {row} of {table.origin}"
    values = dict(parameters) if parameters is not None else initial_parameters(graph, spec.seed)
    feeds = {name: np.asarray(value, np.float64) for name, value in values.items()}
    feeds["x"] = np.asarray(how.standardise(x[None, :]), np.float64)
    feeds["y"] = np.asarray(y, np.float64).reshape(1, how.outputs)
    notes = [note, "initial parameters" if parameters is None else "parameters after training"]
    if how.mean is not None:
        notes.append("x is standardised")
    return Case(spec.name, graph, feeds, graph.outputs["loss"], tuple(notes))


def cases_of_part(
    spec: Spec, parameters: Mapping[str, Array], preprocessing: Preprocessing, part: Part,
    count: int,
) -> list[Case]:  # fmt: skip
    """The first examples of a part of the data, at these parameters."""
    graph = _in_float64(spec, preprocessing)
    values = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
    rows = range(min(count, len(part)))
    return [
        Case(spec.name, graph, values | {
            "x": part.x[i : i + 1].astype(np.float64), "y": part.y[i : i + 1].astype(np.float64),
        }, graph.outputs["loss"], (f"example {i + 1}", "parameters after training"))
        for i in rows
    ]  # fmt: skip


def _in_float64(spec: Spec, how: Preprocessing) -> Graph:
    model = spec.model.model_copy(update={"dtype": "float64"})
    wide = spec.model_copy(update={"model": model})
    return build_graph(wide, len(how.features), how.outputs)


def _given(at: Mapping[str, Array], how: Preprocessing) -> tuple[Array, Array, str]:
    """Features and target as they were given."""
    unknown = [name for name in at if name not in ("x", "y")]
    if unknown or "x" not in at:
        wrong = f"there is no input '{unknown[0]}'" if unknown else "x is missing"
        raise UsageError(f"{wrong}: give x, and y if you like: --at x=1,2 --at y=0")
    x = np.ravel(at["x"])
    if len(x) != len(how.features):
        raise UsageError(f"x takes {len(how.features)} numbers, found {len(x)}")
    y, note = np.ravel(at.get("y", np.zeros(1))), "a given example"
    if "y" not in at:
        note += ", y = 0"
    if how.classes is not None and len(y) == 1:
        number = int(y[0])
        if not 0 <= number < len(how.classes) or number != y[0]:
            raise UsageError(f"y is the number of a class, from 0 to {len(how.classes) - 1}")
        return x, how.encode(np.array([[number]])), note
    if len(y) != how.outputs:
        raise UsageError(f"y takes {how.outputs} numbers, found {len(y)}")
    return x, y, note


def _batch(name: str, value: Array, graph: Graph) -> Array:
    """The value with a batch axis of 1, where the node has one."""
    shape = graph[name].shape
    if shape and shape[0] == "B":
        flat = np.ravel(value)
        if len(flat) != shape[1]:
            raise UsageError(f"'{name}' takes {shape[1]} numbers, found {len(flat)}")
        return flat.reshape(1, -1)
    if np.shape(value) != shape:
        raise UsageError(f"'{name}' has the shape {shape}, found {np.shape(value)}")
    return value
