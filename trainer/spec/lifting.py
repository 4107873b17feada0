"""Equations for one example become nodes for a batch of them.

An equation sees one example: numbers of shape (), vectors of shape (n,), matrices of shape (m, n).
What depends on the example is lifted to a batch of B examples: a number to (B, 1), a vector to
(B, n). Parameters keep their shapes. So `W @ x` becomes `x @ Wᵀ`, and `dot(w, x)` the sum of
`w · x` along each row; everything elementwise broadcasts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import mul
from typing import Any, Final

from trainer.errors import GraphError
from trainer.graph.graph import Expr, GraphBuilder
from trainer.graph.ops import BATCH, show_shape
from trainer.spec.equations import EquationsSpec, ParameterSpec, SketchModel
from trainer.spec.expressions import (
    Call,
    EquationError,
    Expression,
    Name,
    Number,
    Span,
    names_in,
    parse_equation,
)
from trainer.spec.fields import shape_of
from trainer.spec.references import find_faults

LARGEST_POWER: Final = 16
Dims = tuple[int, ...]


@dataclass(frozen=True)
class Lifted:
    """A value of an equation: its node, its shape for one example, and whether it depends on the
    example (and the node has a batch axis).
    """

    node: Expr
    dims: Dims
    batched: bool


def lift_equations(
    builder: GraphBuilder,
    equations: Mapping[str, str],
    output: str,
    leaves: Mapping[str, Callable[[], Lifted]],
    drop: Sequence[str] = (),
) -> Lifted:
    """Adds the nodes of `output` and of all that it needs, and returns it.

    `leaves` make the inputs and parameters when they are first needed: the order of the nodes
    depends on what the equations say alone, not on the order in which they stand. Of the output's
    equation an outermost function that is in `drop` is left out.

    Raises `EquationError` with the name of the equation.
    """
    for fault in find_faults(equations, output, list(leaves)):
        if fault.span is not None:
            raise _in(
                fault.name, EquationError(fault.message, *fault.span, fault.hint, code=fault.code)
            )
    parsed = {name: _parsed(name, text) for name, text in equations.items()}
    last = parsed[output]
    if isinstance(last, Call) and last.function in drop:
        parsed[output] = last.arguments[0]
    known: dict[str, Lifted] = {}
    for name in _order(parsed, output):
        with builder.at(f"model.equations.{name}"), builder.inside(name):
            writer = _Writer(builder, name, known, leaves)
            try:
                known[name] = writer.write(parsed[name], name)
            except EquationError as error:
                raise _in(name, error) from None
    return known[output]


def lift_model(
    model: EquationsSpec | SketchModel,
    builder: GraphBuilder | None = None,
    given: Mapping[str, Expr] | None = None,
) -> tuple[Lifted, GraphBuilder]:
    """The output of a model of equations, in a new builder unless one is there; its inputs are new
    leaves, unless nodes of that builder are `given` for them, of the shape (B, n).

    Raises `EquationError`.
    """
    builder = builder or GraphBuilder(model.dtype)
    leaves: dict[str, Callable[[], Lifted]] = {}
    for name, value in model.inputs.items():
        node = (given or {}).get(name)
        leaves[name] = partial(_input, builder, name, value, node)
    for name, parameter in model.parameters.items():
        leaves[name] = partial(_parameter, builder, name, parameter)
    drop: tuple[str, ...] = ()
    if getattr(model, "loss", None) == "logistic":
        # sigmoid or softmax and the logistic loss are one stable function of the logits
        drop = ("sigmoid", "softmax")
    return lift_equations(builder, model.equations, model.output, leaves, drop), builder


def _input(builder: GraphBuilder, name: str, value: Any, given: Expr | None) -> Lifted:
    """An input that is so many columns, so many features by name, or these numbers."""
    dims = (value,) if isinstance(value, int) else shape_of(value)
    if given is not None:
        return Lifted(given, dims, True)
    if len(dims) == 2:  # only graphs without data have these
        return _once(builder, name, lambda: builder.leaf("input", name, dims), dims, False)
    return _once(
        builder, name, lambda: builder.leaf("input", name, (BATCH, *(dims or (1,)))), dims, True
    )


def _parameter(builder: GraphBuilder, name: str, spec: ParameterSpec) -> Lifted:
    """A trainable leaf; a number is kept as an array of one element, which broadcasts alike."""
    how: dict[str, Any] = {"init": spec.init, "decay": spec.decay}
    if spec.values is not None:
        values = spec.values if spec.dims else (spec.values,)
        how = {"init": "values", "values": values, "decay": spec.decay}
    shape = spec.dims or (1,)
    return _once(
        builder, name, lambda: builder.leaf("parameter", name, shape, **how), spec.dims, False
    )


def _once(
    builder: GraphBuilder, name: str, make: Callable[[], Expr], dims: Dims, batched: bool
) -> Lifted:
    """The leaf, made where it is first needed."""
    return Lifted(builder[name] if name in builder else make(), dims, batched)


def _parsed(name: str, text: str) -> Expression:
    try:
        return parse_equation(text)
    except EquationError as error:
        raise _in(name, error) from None


def _in(name: str, error: EquationError) -> EquationError:
    found = EquationError(error.message, error.at, error.width, error.hint, code=error.code)
    found.equation = name
    return found


def _order(parsed: Mapping[str, Expression], output: str) -> list[str]:
    """The equations that `output` needs, each after those that it takes; without recursion."""
    order: list[str] = []
    waiting: list[tuple[str, bool]] = [(output, False)]
    done: set[str] = set()
    while waiting:
        name, ready = waiting.pop()
        if ready:
            order.append(name)
        elif name not in done:
            done.add(name)
            waiting.append((name, True))
            taken = [n.name for n in names_in(parsed[name]) if n.name in parsed]
            waiting += [(other, False) for other in reversed(taken)]
    return order


class _Writer:
    """Writes one equation as nodes; the last one has the equation's name."""

    def __init__(
        self,
        builder: GraphBuilder,
        equation: str,
        known: Mapping[str, Lifted],
        leaves: Mapping[str, Callable[[], Lifted]],
    ) -> None:
        self._builder = builder
        self._equation = equation
        self._known = known
        self._leaves = leaves

    def write(self, expression: Expression, name: str | None = None) -> Lifted:
        if isinstance(expression, Number):
            return Lifted(self._builder.constant(expression.value), (), False)
        if isinstance(expression, Name):
            found = self._known.get(expression.name)
            return found or self._leaves[expression.name]()
        arguments = [self.write(argument) for argument in expression.arguments]
        try:
            return self._call(expression, arguments, name)
        except GraphError as error:
            raise self._wrong(expression.span, error.message, code="TR-G007") from None

    def _call(self, call: Call, arguments: list[Lifted], name: str | None) -> Lifted:
        function = call.function
        if function in _ELEMENTWISE:
            return self._elementwise(call, _ELEMENTWISE[function], arguments, name)
        if function == "**":
            return self._power(call, arguments, name)
        if function in ("@", "dot"):
            return self._product(call, arguments, name)
        (x,) = arguments
        if function in ("softmax", "log_softmax"):
            if len(x.dims) != 1:
                raise self._wrong(call.span, f"{function} takes a vector, found {said(x)}")
            return Lifted(self._apply(x, function, name=name), x.dims, x.batched)
        if function == "sum":
            return self._sum(x, name)
        if function == "mean":
            count = float(reduce(mul, x.dims, 1))
            total = self._sum(x)
            return Lifted(self._apply(total, "div", count, name=name), (), x.batched)
        square = Lifted(self._apply(x, "square"), x.dims, x.batched)
        total = self._sum(square)  # norm
        return Lifted(self._apply(total, "sqrt", name=name), (), x.batched)

    def _elementwise(
        self, call: Call, op: str, arguments: list[Lifted], name: str | None
    ) -> Lifted:
        first, *others = arguments
        dims = first.dims
        for other in others:
            dims = self._fit(call, first, other)
        batched = any(value.batched for value in arguments)
        if batched and len(dims) > 1:
            raise self._wrong(
                call.span, f"{said(first)} and {said(others[0])}: the result would be a matrix "
                "for each example, which has no place in a batch")  # fmt: skip
        node = self._builder.add(op, *(value.node for value in arguments), name=name)
        return Lifted(node, dims, batched)

    def _fit(self, call: Call, a: Lifted, b: Lifted) -> Dims:
        """The shape of two values together: one of them is a number, or both have one shape."""
        if a.dims in ((), b.dims):
            return b.dims
        if b.dims == () or (len(a.dims) == len(b.dims) == 1 and b.dims == (1,)):
            return a.dims
        if len(a.dims) == len(b.dims) == 1 and a.dims == (1,):
            return b.dims
        hint = "write @ for a product with a matrix" if call.function == "*" else None
        message = f"{call.function} of {said(a)} and {said(b)}: the shapes differ"
        raise self._wrong(call.span, message, hint)

    def _power(self, call: Call, arguments: list[Lifted], name: str | None) -> Lifted:
        base, exponent = arguments
        number = call.arguments[1]
        if not isinstance(number, Number):
            logged = Lifted(self._apply(base, "log"), base.dims, base.batched)
            scaled = self._elementwise(call, "mul", [exponent, logged], None)
            return replace(scaled, node=self._apply(scaled, "exp", name=name))
        power = number.value
        if power == 2:
            node = self._apply(base, "square", name=name)
        elif power == 0.5:
            node = self._apply(base, "sqrt", name=name)
        elif power == int(power) and abs(power) > LARGEST_POWER:
            message = f"the power {power:g}: whole powers go up to {LARGEST_POWER}"
            raise self._wrong(number.span, message, "write it as a power of a power")
        elif power == 0:
            raise self._wrong(call.span, "the power 0 is 1, whatever it is of", "write 1")
        elif power == int(power):
            node = self._integer_power(base, int(power), name)
        else:
            log = self._apply(base, "log")
            node = (log * power).apply("exp", name=name)
        return Lifted(node, base.dims, base.batched)

    def _integer_power(self, base: Lifted, power: int, name: str | None) -> Expr:
        """X · x · …, one factor after the other; 1 by that where the power is negative."""
        factors = [base.node] * (abs(power) - 1)
        result = base.node
        for i, factor in enumerate(factors):
            last = i == len(factors) - 1 and power > 0
            result = result.apply("mul", factor, name=name if last else None)
        if power < 0:
            result = self._builder.constant(1.0).apply("div", result, name=name)
        return result

    def _product(self, call: Call, arguments: list[Lifted], name: str | None) -> Lifted:
        """`a @ b` of vectors and matrices; the inner dimensions are equal."""
        a, b = arguments
        if not a.dims or not b.dims:
            message = f"{call.function} of {said(a)} and {said(b)}: a number is no vector"
            raise self._wrong(call.span, message, "write * for a product with a number")
        if call.function == "dot" and (len(a.dims), len(b.dims)) != (1, 1):
            raise self._wrong(call.span, f"dot takes two vectors, found {said(a)} and {said(b)}")
        if a.dims[-1] != b.dims[0]:
            both = f"{call.function} of {said(a)} and {said(b)}"
            raise self._wrong(call.span, f"{both}: {a.dims[-1]} and {b.dims[0]} differ")
        dims = a.dims[:-1] + b.dims[1:]
        batched = a.batched or b.batched
        if len(a.dims) == len(b.dims) == 1:
            each = Lifted(self._builder.add("mul", a.node, b.node), a.dims, batched)
            return self._sum(each, name)
        if len(a.dims) == len(b.dims) == 2:
            return Lifted(self._apply(a, "matmul", b.node, name=name), dims, False)
        vector, matrix = (a, b) if len(a.dims) == 1 else (b, a)
        if vector.batched:
            right = matrix.node if vector is a else matrix.node.T
            return Lifted(vector.node.apply("matmul", right, name=name), dims, True)
        rows = matrix.node.T if vector is a else matrix.node
        each_node = rows.apply("mul", vector.node)
        return Lifted(each_node.apply("sum", name=name, axes=(1,)), dims, False)

    def _sum(self, x: Lifted, name: str | None = None) -> Lifted:
        """The sum over all that one example has."""
        if not x.batched:
            axes = tuple(range(len(x.dims)))
            return Lifted(self._apply(x, "sum", name=name, axes=axes), (), False)
        return Lifted(self._apply(x, "sum", name=name, axes=(1,), keepdims=True), (), True)

    def _apply(
        self,
        x: Lifted,
        op: str,
        *others: Expr | float,
        name: str | None = None,
        **attributes: object,
    ) -> Expr:
        return x.node.apply(op, *others, name=name, **attributes)

    def _wrong(
        self, span: Span, message: str, hint: str | None = None, *, code: str = "TR-G007"
    ) -> EquationError:
        return EquationError(message, *span, hint, code=code)


_ELEMENTWISE: Final[Mapping[str, str]] = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "div",
    "neg": "neg",
    **{name: name for name in (
        "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "gelu", "exp", "log", "sqrt",
        "square", "minimum",
    )},
}  # fmt: skip


def said(value: Lifted) -> str:
    """A value in a message: its name where it has one, and its shape for one example."""
    kinds = {0: "a number", 1: "a vector", 2: "a matrix"}
    shape = show_shape(value.dims)
    return f"'{value.node.node.name}' {shape}" if value.dims else kinds[0]
