"""The features as layers see them: columns of x, and a trained vector for each category.

A feature that is embedded (`encode: embedding` in `data.columns`) is one column of x with the
number of its category. Wherever `x` or an input of the model holds it, a row of the parameter
`<feature>/vectors`, of shape (categories, dimensions), stands in its place; a category that no
training row has is zeros. Where nothing is embedded, `x` is the leaf itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trainer.errors import GraphError
from trainer.graph import Expr, GraphBuilder
from trainer.graph.initialisers import initialised
from trainer.spec.document import Path
from trainer.spec.fields import as_tuple
from trainer.spec.layers import RESERVED_NAMES, EmbeddingLayer, LayersSpec
from trainer.spec.messages import near
from trainer.spec.schema import Spec

if TYPE_CHECKING:
    from trainer.data import Field, Layout

VECTORS = "vectors"


class Features:
    """The features of one graph, by name; nodes are made where they are first needed."""

    def __init__(self, spec: Spec, layout: Layout, builder: GraphBuilder) -> None:
        self._spec = spec
        self._builder = builder
        self._fields: dict[str, list[Field]] = {}
        for field in layout.fields:
            self._fields.setdefault(field.feature, []).append(field)
        self._words = _words(field.feature for field in layout.fields if field.categories)
        self._known: dict[str, Expr] = {}
        self._x = builder.leaf("input", "x", ("B", layout.width))

    def whole(self) -> Expr:
        """What `x` stands for: all features, but for those that an embedding layer takes."""
        if "x" not in self._known:
            taken = _embedded_by_layers(self._spec)
            fields = [
                field for several in self._fields.values() for field in several
                if field.categories is None or field.feature not in taken
            ]  # fmt: skip
            if not fields:
                message = "x is empty: embedding layers take every feature"
                hint = "name a layer in `inputs` instead"
                raise GraphError(
                    self._spec.problem(("model", "layers"), message, hint, code="TR-G013")
                )
            self._known["x"] = self._beside(fields)
        return self._known["x"]

    def group(self, name: str, features: Sequence[str], where: Path) -> Expr:
        """The input `name` of the model: these features, side by side. Its last node has that name
        too, unless it is one that others share.

        Raises `GraphError` for a feature that there is not, with its place below `where`.
        """
        if name not in self._known:
            fields: list[Field] = []
            for i, feature in enumerate(features):
                fields += self._of(feature, (*where, i) if len(features) > 1 else where)
            self._known[name] = self._beside(fields, name)
        return self._known[name]

    def width(self, feature: str, where: Path) -> int:
        """How many columns a feature has, its vector included. Raises `GraphError`."""
        return sum(
            field.dimensions or field.stop - field.start for field in self._of(feature, where)
        )

    def codes(self, feature: str, where: Path) -> tuple[Expr, int]:
        """The column (B, 1) with the numbers of a feature's categories, and how many there are.

        Raises `GraphError` for a feature that there is not, or that is not embedded.
        """
        field = self._of(feature, where)[0]
        if field.categories is None:
            hint = f"write data.columns: {{{feature}: {{encode: embedding}}}}"
            raise GraphError(
                self._spec.problem(
                    where, f"the feature '{feature}' is not embedded", hint, code="TR-G013"
                )
            )
        return self._columns(field.start, field.stop), field.categories

    def _of(self, feature: str, where: Path) -> list[Field]:
        if feature not in self._fields:
            names = list(self._fields)
            shown = ", ".join([*names[:10], *["…"] * (len(names) > 10)])
            hint = near(feature, names) or f"the features are {shown}"
            raise GraphError(
                self._spec.problem(where, f"there is no feature '{feature}'", hint, code="TR-D023")
            )
        return self._fields[feature]

    def _beside(self, fields: Sequence[Field], name: str | None = None) -> Expr:
        """These features side by side; neighbouring columns are taken at once."""
        runs = _runs(fields)
        alone = name if len(runs) == 1 else None
        with self._builder.inside("x"):
            parts = [
                self._columns(run.start, run.stop, alone)
                if run.categories is None else self._vectors(run)
                for run in runs
            ]  # fmt: skip
            beside = parts[0]
            for i, part in enumerate(parts[1:], start=2):
                beside = beside.apply("concat", part, name=name if i == len(parts) else None)
            return beside

    def _columns(self, start: int, stop: int, name: str | None = None) -> Expr:
        if (start, stop) == (0, self._x.shape[1]):
            return self._x
        name = name or f"x/{start}_{stop}"
        if name in self._builder:
            return self._builder[name]
        return self._x.apply("columns", name=name, start=start, stop=stop)

    def _vectors(self, field: Field) -> Expr:
        """The vectors of an embedded feature, (B, dimensions)."""
        word = self._words[field.feature]
        if f"{word}/vector" in self._builder:
            return self._builder[f"{word}/vector"]
        assert field.categories is not None
        assert field.dimensions is not None
        shape = (field.categories, field.dimensions)
        how: dict[str, Any] = {**initialised("normal"), "decay": True}
        table = self._builder.leaf("parameter", f"{word}/{VECTORS}", shape, **how)
        codes = self._columns(field.start, field.stop)
        return table.apply("lookup", codes, name=f"{word}/vector")


def _runs(fields: Sequence[Field]) -> list[Field]:
    """The same columns in the same order, neighbours as one field; but each embedded one alone."""
    runs: list[Field] = []
    for field in fields:
        last = runs[-1] if runs else None
        if last and last.categories is field.categories is None and last.stop == field.start:
            runs[-1] = replace(last, stop=field.stop)
        else:
            runs.append(field)
    return runs


def _embedded_by_layers(spec: Spec) -> set[str]:
    """The features that layers of the type embedding take."""
    layers = spec.model.layers if isinstance(spec.model, LayersSpec) else ()
    return {as_tuple(layer.inputs)[0] for layer in layers if isinstance(layer, EmbeddingLayer)}


def _words(features: Iterable[str]) -> Mapping[str, str]:
    """Names for nodes, made of the features' names: other characters become _."""
    words: dict[str, str] = {}
    for feature in features:
        word = re.sub(r"\W", "_", feature, flags=re.ASCII)
        if not word or word[0].isdigit() or word in RESERVED_NAMES:
            word = f"_{word}"
        number, unique = 1, word
        while unique in words.values():
            number += 1
            unique = f"{word}_{number}"
        words[feature] = unique
    return words
