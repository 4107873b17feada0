"""The model as a table that people read: layers, shapes, numbers of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from trainer.data import Column, Dataset, Rule, listing, show_raw
from trainer.graph import Graph, Node
from trainer.graph.ops import show_shape
from trainer.machine import show_bytes
from trainer.network.features import VECTORS
from trainer.network.memory import MemoryEstimate, count_parameters
from trainer.spec.equations import EquationsSpec
from trainer.spec.evaluation import EVEN, EvaluationSpec
from trainer.spec.expressions import names_in, parse_equation
from trainer.spec.layers import LayersSpec, layer_names
from trainer.spec.schema import Spec

MOST_COLUMNS: Final = 20


def layer_rows(spec: Spec, model: Graph) -> list[tuple[str, str, str, str]]:
    """(layer, activation or type, output shape, parameters) for the input and each layer.

    `model` is the graph that trains. The vectors of embedded features count as the input's.
    """
    x = show_shape(model["x"].shape)
    if isinstance(spec.model, EquationsSpec):
        return [("x", "", x, ""), *_equation_rows(spec.model, model)]
    names = layer_names(spec.model.layers)
    owned = {name: [n for n in model.parameters if _belongs(n, name)] for name in names}
    embedded = [n for n in model.parameters if not any(n in own for own in owned.values())]
    rows = [("x", "", x, _count(embedded) if embedded else "")]
    for layer, name in zip(spec.model.layers, names, strict=True):
        what = getattr(layer, "activation", layer.type)
        node = name
        while node not in model:  # an activation that is fused with the loss
            [node] = spec.model.sources(names.index(node))
        rows.append((name, what, show_shape(model[node].shape), _count(owned[name])))
    return rows


def _belongs(parameter: Node, layer: str) -> bool:
    """Whether the parameter is the layer's, and not the vectors of a feature of this name."""
    owner, _, name = parameter.name.rpartition("/")
    return owner == layer and name != VECTORS


def _equation_rows(equations: EquationsSpec, model: Graph) -> list[tuple[str, str, str, str]]:
    """Each equation, and the parameters that no earlier one takes."""
    rows: list[tuple[str, str, str, str]] = []
    seen: set[str] = set()
    for name, text in equations.equations.items():
        taken = {found.name for found in names_in(parse_equation(text))}
        own = [node for node in model.parameters if node.name in taken - seen]
        seen |= taken
        shape = show_shape(model[name].shape) if name in model else ""
        rows.append((name, " ".join(text.split()), shape, _count(own)))
    return rows


def _count(parameters: Sequence[Node]) -> str:
    return f"{sum(math.prod(int(dim) for dim in node.shape) for node in parameters):,}"


def column_rows(spec: Spec, dataset: Dataset) -> list[tuple[str, str, str, str]]:
    """(column, type, what it becomes, missing training rows) for each feature."""
    how = dataset.preprocessing
    rows: list[tuple[str, str, str, str]] = []
    for column, rule, count in zip(how.columns, how.rules, dataset.missing, strict=True):
        own = spec.data.columns.get(column.name)
        scale = own.scale if own is not None and own.scale is not None else spec.data.scale
        scaled = column.kind in ("numeric", "date") or (own is not None and own.scale)
        parts = [_becomes(column, rule)]
        if scale and (scaled or (column.kind == "ordinal" and rule.dimensions is None)):
            parts.append(", ".join(scale))
        if rule.indicator:
            parts.append("whether it is missing")
        missing = ""
        if count:
            assert rule.fill is not None
            missing = f"{count:,}, filled with {show_raw(rule.fill, column)}"
        kind = column.notation.describe(column.kind)
        rows.append((column.name, kind, "; ".join(filter(None, parts)), missing))
    return rows


def _becomes(column: Column, rule: Rule) -> str:
    """What a feature becomes before it is scaled; nothing for a number, which stays one."""
    count = len(column.categories)
    if rule.dimensions is not None:
        return f"a vector of {rule.dimensions} for each of {count} categories"
    if column.kind == "categorical":
        return f"{count} column{'s' * (count != 1)}: {listing(column.categories, 3)}"
    if column.kind == "ordinal":
        return f"0 to {count - 1}: {listing(column.categories, 3)}"
    if column.kind == "date":
        return ", ".join(rule.parts)
    return "0 or 1" if column.kind == "boolean" else ""


def _column_table(spec: Spec, dataset: Dataset) -> list[str]:
    """The features, where they are not plain numbers alone."""
    rows = column_rows(spec, dataset)
    if all(kind == "numeric" and not missing for _, kind, _, missing in rows):
        return []
    table = [("column", "type", "becomes", "missing"), *rows[:MOST_COLUMNS]]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    more = len(rows) - MOST_COLUMNS
    return ["", *lines, *[f"… and {more:,} more"] * (more > 0)]


def describe_threshold(
    evaluation: EvaluationSpec, label: object, chosen: float | None = None
) -> str:
    """When the second of two classes is said, in words; by which threshold, once it is `chosen`."""
    threshold = evaluation.threshold if isinstance(evaluation.threshold, float) else chosen
    how = ""
    if evaluation.chooses:
        by = "f1" if evaluation.threshold == "f1" else "cost"
        how = f"chosen by {by} on the validation rows"
    if threshold is None:
        return f"{label!r} above a probability that is {how}"
    return f"{label!r} above a probability of {threshold:.4g}" + (f", {how}" if how else "")


def describe_model(spec: Spec, dataset: Dataset, model: Graph, memory: MemoryEstimate) -> str:
    """What is trained on what: data, layers, loss, memory. Plain text of several lines."""
    layers = isinstance(spec.model, LayersSpec)
    titles = ("layer", "activation") if layers else ("name", "equation")
    table = [(*titles, "output", "parameters"), *layer_rows(spec, model)]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    lines = [
        f"{spec.name}: {count_parameters(model):,} parameters, {spec.model.dtype}, "
        f"loss {spec.model.loss}",
        "",
    ]
    for layer, activation, output, count in table:
        cells = [layer.ljust(widths[0]), activation.ljust(widths[1]), output.ljust(widths[2])]
        lines.append("  ".join([*cells, count.rjust(widths[3])]).rstrip())
    lines += _column_table(spec, dataset)
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    rows = ", ".join(f"{len(part):,} {name}" for name, part in parts.items() if part is not None)
    several = len(dataset.preprocessing.targets) > 1
    targets = f"target{'s' * several} '{listing(dataset.preprocessing.targets, 8)}'"
    lines += ["", f"data    {dataset.origin}: {rows} rows, {targets}"]
    if dataset.classes is not None:
        shown = ", ".join(map(str, dataset.classes[:10]))
        lines.append(f"classes {shown}{', …' if len(dataset.classes) > 10 else ''}")
    if spec.evaluation.threshold != EVEN and dataset.classes is not None:
        lines.append(f"answer  {describe_threshold(spec.evaluation, dataset.classes[-1])}")
    lines.append(
        f"memory  about {show_bytes(memory.total)} (data {show_bytes(memory.data)}, parameters "
        f"{show_bytes(memory.parameters)}, batch {show_bytes(memory.batch)})"
    )
    last = "identity"
    if isinstance(spec.model, LayersSpec):
        last = getattr(spec.model.layers[-1], "activation", last)
    if spec.model.loss == "logistic" and last != "identity":
        lines.append(f"fused   {last} of the last layer and the logistic loss, into one stable op")
    lines += [f"note    {note}" for note in dataset.notes]
    return "\n".join(lines) + "\n"
