"""What is explained: the graph of a spec, and one example for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trainer.data import AnyPart, Preprocessing, Table, listing, load_table, preprocess
from trainer.errors import UsageError
from trainer.explain.explanation import Explanation, explain_graph
from trainer.graph import Graph
from trainer.graph.initialisers import initial_parameters, initial_state
from trainer.graph.ops import Array
from trainer.network.build import build_graph
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


def case_of_spec(spec: Spec, *, row: int = 0, **how: Any) -> Case:
    """The case of one row: see `cases_of_spec`."""
    return cases_of_spec(spec, rows=range(row, row + 1), **how)[0]


def cases_of_spec(
    spec: Spec,
    *,
    rows: range = range(1),
    at: Mapping[str, Array] | None = None,
    parameters: Mapping[str, Array] | None = None,
    preprocessing: Preprocessing | None = None,
) -> list[Case]:
    """The model and loss of a spec at rows of its data, counted from 0, or at given features.

    Of the rows those that are there; the first must be.

    `at` may hold `x`, the features as they stand in the data (a category by its number, a date as
    days since 1970-01-01), and `y`, the target (a class by its number); without y it is 0. The
    parameters are the initial ones unless others are given, whose
    `preprocessing` then belongs to them. Values are in float64.

    Raises `UsageError` for a row or a value that does not fit, and what reading the data raises.
    """
    examples: list[tuple[Array, Array, str]] = []
    if at is None or preprocessing is None:
        table = load_table(spec, rows.stop)
        preprocessing = preprocessing or preprocess(spec, table)
        if at is None:
            examples = _of_rows(table, preprocessing, rows)
    how = preprocessing
    if at is not None:
        examples = [_given(at, how)]
    graph = _in_float64(spec, how)
    values: Mapping[str, Array] = initial_state(graph) | initial_parameters(graph, spec.seed)
    values = values if parameters is None else parameters
    notes = ["initial parameters" if parameters is None else "parameters after training"]
    notes += _notes(spec, how)
    of = graph.outputs["loss"]
    return [
        Case(spec.name, graph, _feeds(values, _encoded(how, x), y), of, (note, *notes))
        for x, y, note in examples
    ]


def _notes(spec: Spec, how: Preprocessing) -> list[str]:
    """What the raw features become."""
    found = []
    if how.encoded_names != how.features:
        found.append(f"x is {listing(how.encoded_names, 12)}")
    if how.scaling.changes:
        standard = spec.data.scale == ("standard",) and not how.scaling.curves
        found.append("x is standardised" if standard else "x is scaled")
    return found


def _encoded(how: Preprocessing, raw: Array) -> Array:
    """One raw row as x. Raises `UsageError` where it cannot be encoded."""
    x = how.encode(raw[None, :])
    fault = how.fault(raw[None, :], x)
    if fault is not None:
        raise UsageError(f"the feature '{fault.column}': {fault.message}")
    return x


def _of_rows(table: Table, how: Preprocessing, rows: range) -> list[tuple[Array, Array, str]]:
    """Features, encoded target and what they are, of the rows that are there."""
    if rows[0] >= len(table.x):
        raise UsageError(f"there is no row {rows[0]}: the data have {len(table.x)}, from 0")
    there = [row for row in rows if row < len(table.x)]
    x, y = how.adopt(table, np.array(there)), how.encode_target(table.target[there])
    return [(x[i], y[i : i + 1], f"row {row} of {table.origin}") for i, row in enumerate(there)]


def _feeds(parameters: Mapping[str, Array], x: Array, y: Array) -> dict[str, Array]:
    """The parameters and one example, in float64; x and y have a batch axis of 1."""
    feeds = {**parameters, "x": x, "y": np.reshape(y, (1, -1))}
    return {name: np.asarray(value, np.float64) for name, value in feeds.items()}


def cases_of_part(
    spec: Spec, parameters: Mapping[str, Array], preprocessing: Preprocessing, part: AnyPart,
    count: int,
) -> list[Case]:  # fmt: skip
    """The first examples of a part of the data, at these parameters."""
    graph = _in_float64(spec, preprocessing)
    first = part.span(0, count)
    return [
        Case(spec.name, graph, _feeds(parameters, x[None, :], y), graph.outputs["loss"],
             (f"example {i}", "parameters after training"))
        for i, (x, y) in enumerate(zip(first["x"], first["y"], strict=True), 1)
    ]  # fmt: skip


def _in_float64(spec: Spec, how: Preprocessing) -> Graph:
    wide = spec.changed({"model.dtype": "float64"})
    # one example has no weight beside others
    return build_graph(wide, replace(how.layout, weighted=False), training=False)


def _given(at: Mapping[str, Array], how: Preprocessing) -> tuple[Array, Array, str]:
    """Features and target as they were given."""
    unknown = [name for name in at if name not in ("x", "y")]
    if unknown or "x" not in at:
        wrong = f"there is no input '{unknown[0]}'" if unknown else "x is missing"
        raise UsageError(f"{wrong}: give x, and y if you like: --at x=1,2 --at y=0")
    x = np.ravel(at["x"])
    if len(x) != len(how.features):
        raise UsageError(f"x takes {len(how.features)} numbers, found {len(x)}")
    nothing = np.zeros(how.outputs if how.classes is None else 1)
    y, note = np.ravel(at.get("y", nothing)), "a given example"
    if "y" not in at:
        note += ", y = 0"
    if how.classes is not None and len(y) == 1:
        number = int(y[0])
        if not 0 <= number < len(how.classes) or number != y[0]:
            raise UsageError(f"y is the number of a class, from 0 to {len(how.classes) - 1}")
        return x, how.encode_target(np.array([number])), note
    if len(y) != how.outputs:
        raise UsageError(f"y takes {how.outputs} numbers, found {len(y)}")
    return x, how.encode_target(y[None, :]), note


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
