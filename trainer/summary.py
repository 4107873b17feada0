"""The model as a table that people read: layers, shapes, numbers of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.data import Dataset
from trainer.graph import Graph, Node
from trainer.graph.ops import show_shape
from trainer.memory import MemoryEstimate, count_parameters, show_bytes
from trainer.spec.expressions import names_in, parse_equation
from trainer.spec.schema import EquationsSpec, LayersSpec, Spec, layer_names


def layer_rows(spec: Spec, model: Graph) -> list[tuple[str, str, str, str]]:
    """(layer, activation, output shape, parameters) for the input and each layer."""
    rows = [("x", "", show_shape(model["x"].shape), "")]
    if isinstance(spec.model, EquationsSpec):
        return rows + _equation_rows(spec.model, model)
    for layer, name in zip(spec.model.layers, layer_names(spec.model.layers), strict=True):
        own = [n for n in model.parameters if n.name in (f"{name}/W", f"{name}/b")]
        rows.append((name, layer.activation, show_shape(model[name].shape), _count(own)))
    return rows


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
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    rows = ", ".join(f"{len(part):,} {name}" for name, part in parts.items() if part is not None)
    lines += ["", f"data    {dataset.origin}: {rows} rows, target '{dataset.target}'"]
    if dataset.classes is not None:
        shown = ", ".join(map(str, dataset.classes[:10]))
        lines.append(f"classes {shown}{', …' if len(dataset.classes) > 10 else ''}")
    lines.append(
        f"memory  about {show_bytes(memory.total)} (data {show_bytes(memory.data)}, parameters "
        f"{show_bytes(memory.parameters)}, batch {show_bytes(memory.batch)})"
    )
    last = spec.model.layers[-1].activation if isinstance(spec.model, LayersSpec) else "identity"
    if spec.model.loss == "logistic" and last != "identity":
        lines.append(f"fused   {last} of the last layer and the logistic loss, into one stable op")
    lines += [f"note    {note}" for note in dataset.notes]
    return "\n".join(lines) + "\n"
