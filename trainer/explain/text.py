"""An explanation as plain text: values forward, gradients backward, path by path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from trainer.explain.explanation import Explanation, Path, Step
from trainer.graph.ops import Array

SMALL: Final = 12
"""Elements up to which an array is shown whole."""


def describe(explanation: Explanation, full: bool = False) -> str:
    """The explanation as text of many lines; with `full` all elements of large arrays."""
    writer = _Writer(explanation, full)
    lines = [f"{explanation.name}: {explanation.of} = {_number(explanation.loss)}"]
    lines += [f"  {note}" for note in explanation.notes]
    lines += ["", "forward", *writer.forward()]
    lines += ["", "backward", *writer.backward()]
    outer = list(writer.outer_products())
    if outer:
        lines += ["", "local errors δ, and the gradients of the weights as outer products", *outer]
    return "\n".join(lines)


class _Writer:
    def __init__(self, explanation: Explanation, full: bool) -> None:
        self._all = explanation
        self._full = full

    def forward(self) -> Iterator[str]:
        """Each node, its formula and its value."""
        names = [step.node.name for step in self._all.steps]
        width = max(map(len, names))
        formulas = [("" if s.is_leaf else "= ") + s.node.formula for s in self._all.steps]
        wide = max(map(len, formulas))
        for step, formula in zip(self._all.steps, formulas, strict=True):
            shown = self._array(step.value)
            yield f"  {step.node.name:<{width}}  {formula:<{wide}}  {shown}".rstrip()

    def backward(self) -> Iterator[str]:
        """Each gradient, from the end to the inputs: upstream times local, summed over paths."""
        for step in reversed(self._all.steps):
            if not step.paths:
                if step.node.name == self._all.of:
                    yield f"  {self._partial(step.node.name)} = 1"
                continue
            yield from self._gradient(step)

    def _gradient(self, step: Step) -> Iterator[str]:
        name = step.node.name
        if len(step.paths) == 1:
            yield f"  {self._partial(name)} = {self._term(step.paths[0], name)}"
            return
        yield f"  {self._partial(name)}: {len(step.paths)} paths meet"
        for path in step.paths:
            yield f"      through {path.through}: {self._term(path, name)}"
        yield f"      sum: {self._sum(step)}"

    def _term(self, path: Path, name: str) -> str:
        """`∂e/∂c · ∂c/∂a = 2 · 1 = 2`; of arrays the letters, and the result."""
        slope = f"∂{_wrapped(path.through)}/∂{_wrapped(name)}"
        chain = f"{self._partial(path.through)} · {slope}"
        if path.local is None or max(path.local.size, path.term.size, path.upstream.size) > 1:
            local = f", with {slope} = {path.local_symbol}" if path.local_symbol else ""
            return f"{chain} = {self._array(path.term)}{local}"
        letters = f" = {path.symbol}" if path.symbol not in ("", "1") else ""
        numbers = f"{_number(path.upstream.item())} · {_number(path.local.item())}"
        return f"{chain}{letters} = {numbers} = {_number(path.term.item())}"

    def _sum(self, step: Step) -> str:
        """`(b + 1) + (a + b) = 2 + 3 = 5`."""
        if step.gradient.size > 1:
            return self._array(step.gradient)
        letters = " + ".join(self._expanded(path.symbol) for path in step.paths)
        numbers = " + ".join(_number(path.term.item()) for path in step.paths)
        total = f"{numbers.replace('+ -', '- ')} = {_number(step.gradient.item())}"
        return f"{letters} = {total}" if all(path.symbol for path in step.paths) else total

    def _expanded(self, symbol: str) -> str:
        """A name of an intermediate value as what it is: `d` as `(b + 1)`."""
        step = self._all.index.get(symbol)
        return symbol if step is None or step.is_leaf else f"({step.node.formula})"

    def outer_products(self) -> Iterator[str]:
        """For each weight matrix the error at its product, and the input that it multiplies."""
        for step in self._all.steps:
            if step.node.op != "matmul":
                continue
            x, right = step.node.inputs
            weights, transposed = self._all.index.get(right), False
            if weights is not None and weights.node.op == "transpose":
                weights, transposed = self._all.index.get(weights.node.inputs[0]), True
            if weights is None or weights.node.op != "parameter":
                continue
            product = f"δ ⊗ {x}" if transposed else f"{x} ⊗ δ"
            yield f"  δ({step.node.name}) = {self._array(step.gradient)}"
            yield f"  ∇{weights.node.name} = {product} = {self._array(weights.gradient)}"

    def _partial(self, name: str) -> str:
        return f"∂{_wrapped(self._all.of)}/∂{_wrapped(name)}"

    def _array(self, value: Array) -> str:
        """A number, all elements of a small array, or what a large one is like."""
        if value.ndim == 0:
            return _number(value.item())
        if self._full or value.size <= SMALL:
            return _nested(value)
        shape = " × ".join(map(str, value.shape))
        low, high = _number(float(value.min())), _number(float(value.max()))
        norm = _number(float(np.linalg.norm(value.ravel())))
        return f"{shape} values from {low} to {high}, norm {norm}"


def _wrapped(name: str) -> str:
    """A name below or above the line of a derivative."""
    return f"({name})" if "/" in name else name


def _nested(value: Array) -> str:
    if value.ndim == 1:
        return f"[{', '.join(_number(float(item)) for item in value)}]"
    return f"[{', '.join(_nested(row) for row in value)}]"


def _number(value: float) -> str:
    """At most six digits, without an empty fraction."""
    return f"{value:.6g}"
