"""What is explained: the graph of a spec, and one example for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trainer.data import (
    AnyPart,
    Preprocessing,
    Table,
    listing,
    load_table,
    matched,
    preprocess,
    some_rows,
)
from trainer.errors import UsageError
from trainer.explain.explanation import Explanation, explain_graph
from trainer.explain.given import Example, Given, example_of, numbers_in
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


def case_of_sketch(sketch: Sketch, at: Given | None = None) -> Case:
    """The graph of a sketch at its inputs, or at others. Raises `UsageError` for unknown names."""
    lifted, builder = lift_model(sketch.model)
    graph = builder.build()
    given = {name: np.asarray(value, graph[name].dtype)
             for name, value in sketch.model.inputs.items() if name in graph}  # fmt: skip
    for name, value in (at or {}).items():
        if name not in given:
            raise UsageError(
                f"there is no input '{name}': there are {', '.join(given)}", code="TR-U006"
            )
        numbers = numbers_in(name, value)
        given[name] = numbers[0] if numbers.shape == (1,) else numbers
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
    at: Given | None = None,
    parameters: Mapping[str, Array] | None = None,
    preprocessing: Preprocessing | None = None,
) -> list[Case]:
    """The model and loss of a spec at rows of its data, counted from 0, or at given features.

    Of the rows those that are there; the first must be.

    `at` holds cells by the names of their columns, as texts in their own units; the others are
    those of the first row. Or it holds `x`, all features as numbers (a category by its number, a
    date as days since 1970-01-01), and `y`, the target (a class by its number); without y it is 0.
    The parameters are the initial ones unless others are given, whose `preprocessing` then belongs
    to them: columns are found by their names, as the data may have changed. Values are in float64.

    Raises `UsageError` for a row or a value that does not fit, and what reading the data raises.
    """
    how, examples = _examples(spec, rows, at, preprocessing)
    graph = _in_float64(spec, how)
    values: Mapping[str, Array] = initial_state(graph) | initial_parameters(graph, spec.seed)
    values = values if parameters is None else parameters
    notes = ["initial parameters" if parameters is None else "parameters after training"]
    notes += _notes(spec, how)
    of = graph.outputs["loss"]
    return [
        Case(spec.name, graph, _feeds(values, _encoded(how, example.x), example.y), of,
             (example.told, *notes))
        for example in examples
    ]  # fmt: skip


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
        raise UsageError(f"the feature '{fault.column}': {fault.message}", code="TR-U006")
    return x


def _examples(
    spec: Spec, rows: range, at: Given | None, how: Preprocessing | None
) -> tuple[Preprocessing, list[Example]]:
    """The preprocessing, that of the data where none is given, and the examples that are asked for.
    Data are read where they are needed.
    """

    def read() -> Table:
        return load_table(spec, rows.stop)

    missing = getattr(spec.data.source, "missing_values", ())
    if how is not None and at is not None:
        known = how
        return how, [example_of(at, how, lambda: _of_rows(read(), known, rows[:1])[0], missing)]
    table = read()
    found = how or preprocess(spec, table)
    if at is None:
        return found, _of_rows(table, found, rows)
    return found, [example_of(at, found, lambda: _of_rows(table, found, rows[:1])[0], missing)]


def _of_rows(table: Table, how: Preprocessing, rows: range) -> list[Example]:
    """Those of the rows that are there; the first must be, or else be row 0: where that is left
    out, the next one begins.
    """
    numbers = table.numbered(np.arange(len(table.x)))
    places = {row: i for i, row in enumerate(numbers.tolist())}
    if rows.start not in places:
        later = numbers[numbers > rows.start].tolist()
        if not later:
            raise UsageError(
                f"there is no row {rows.start}: the data have {numbers[-1] + 1}, from 0",
                code="TR-U006",
            )
        if rows.start > 0:
            left = f"row {rows.start} is left out: it has an empty cell (`data.drop_rows`)"
            raise UsageError(f"{left}\n  hint: the next is row {later[0]}", code="TR-U006")
        rows = range(later[0], later[0] + len(rows))
    there = [row for row in rows if row in places]
    some = matched(some_rows(table, np.array([places[row] for row in there])), how)
    x, y = how.adopt(some, slice(None)), how.encode_target(some.target)
    return [
        Example(x[i], y[i : i + 1], f"row {row} of {table.origin}") for i, row in enumerate(there)
    ]


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


def _batch(name: str, value: Array, graph: Graph) -> Array:
    """The value with a batch axis of 1, where the node has one."""
    shape = graph[name].shape
    if shape and shape[0] == "B":
        flat = np.ravel(value)
        if len(flat) != shape[1]:
            raise UsageError(
                f"'{name}' takes {shape[1]} numbers, found {len(flat)}", code="TR-U006"
            )
        return flat.reshape(1, -1)
    if np.shape(value) != shape:
        raise UsageError(f"'{name}' has the shape {shape}, found {np.shape(value)}", code="TR-U006")
    return value
