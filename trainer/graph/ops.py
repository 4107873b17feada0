"""The table of ops: one row holds an op's shape rule, forward, gradient rule and formula.

To add an op or an activation, add a row. It is then validated, differentiated, run, documented
and tested by the code that walks this table.

Shapes are tuples of numbers and `BATCH`, the number of examples, which is known only when a
batch arrives. Forward functions take and return NumPy arrays of one dtype; they also accept
complex numbers where `analytic` is true, for the complex-step check of the gradient rules
(Squire and Trapp, SIAM Review 40, 1998).

A gradient rule is a vector-Jacobian product (vjp): from `g`, the gradient of the loss with
respect to the op's output, it writes the gradient with respect to one input, as graph nodes.
Its arguments are `g`, the output and the inputs. `None` stands for a derivative that is zero
wherever it exists. Rules of elementwise ops need not think of broadcasting: differentiation
sums over broadcast axes in one place (`autodiff.unbroadcast`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from trainer.graph.graph import Expr

BATCH: Final = "B"
Dim: TypeAlias = int | str
Shape: TypeAlias = tuple[Dim, ...]
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Axes: TypeAlias = tuple[int, ...]
Vjp: TypeAlias = "Callable[..., Expr]"

LEAVES: Final = frozenset({"input", "parameter", "state", "constant"})
LEAKY_SLOPE: Final = 0.01


class ShapeError(ValueError):
    """Inputs of an op do not fit together; the builder adds where."""


@dataclass(frozen=True)
class Op:
    """One row of the table.

    `shape(*shapes, **attributes)` gives the output's shape or raises `ShapeError`;
    `forward(*arrays, **attributes)` the output; `vjps` holds one gradient rule per input;
    `formula` writes the op with `{0}`, `{1}` for its inputs and `{start}` for an attribute.
    `analytic` says that the forward also takes complex numbers. `init` is set on activations,
    the ops that a layer of the spec can name: it is the initialiser that such a layer's weights
    get unless the spec says more.
    `kernel` is the forward of an elementwise op for one element, as the compiled engine writes
    it; `ZERO`, `ONE` and `SLOPE` are constants of the graph's dtype, functions stand for those
    of `engine/compiled/functions.py`.
    """

    name: str
    formula: str
    shape: Callable[..., Shape]
    forward: Callable[..., Array]
    vjps: tuple[Vjp | None, ...]
    analytic: bool = True
    init: str | None = None
    kernel: str | None = None

    @property
    def arity(self) -> int:
        """The number of inputs."""
        return len(self.vjps)

    def write(self, inputs: Sequence[str], attributes: Mapping[str, Any]) -> str:
        """The formula with these names in the places of the inputs."""
        return self.formula.format(*inputs, **attributes)


def show_shape(shape: Shape) -> str:
    """`(B, 16)`, `(3,)`, `()`: a shape as error messages print it."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


# Shape rules -----------------------------------------------------------------------------------


def _broadcast(*shapes: Shape, **_: Any) -> Shape:
    """NumPy's broadcasting: aligned at the right, equal or 1."""
    result: list[Dim] = []
    rank = max(map(len, shapes))
    for axis in range(-rank, 0):
        dims = {s[axis] for s in shapes if len(s) >= -axis} - {1}
        if len(dims) > 1:
            raise ShapeError(f"{' and '.join(map(show_shape, shapes))} do not broadcast")
        result.append(dims.pop() if dims else 1)
    return tuple(result)


def _same(shape: Shape, *_others: Shape, **_: Any) -> Shape:
    return shape


def _rows(shape: Shape, **_: Any) -> Shape:
    if not shape:
        raise ShapeError("it needs at least one axis")
    return shape


def _matmul(a: Shape, b: Shape) -> Shape:
    if len(a) != 2 or len(b) != 2:
        raise ShapeError("both must be matrices")
    if a[1] != b[0]:
        raise ShapeError(f"the inner dimensions {a[1]} and {b[0]} differ")
    return (a[0], b[1])


def _transposed(a: Shape) -> Shape:
    if len(a) != 2:
        raise ShapeError("it must be a matrix")
    return (a[1], a[0])


def _reduced(shape: Shape, *, axes: Axes, keepdims: bool = False) -> Shape:
    if any(not 0 <= axis < len(shape) for axis in axes):
        raise ShapeError(f"there are no axes {axes}")
    kept = [1 if i in axes else dim for i, dim in enumerate(shape)]
    return tuple(dim for i, dim in enumerate(kept) if keepdims or i not in axes)


def _expanded(g: Shape, x: Shape, *, axes: Axes, keepdims: bool = False) -> Shape:
    if _reduced(x, axes=axes, keepdims=keepdims) != g:
        raise ShapeError(f"{show_shape(g)} is not {show_shape(x)} without axes {axes}")
    return x


def _width(shape: Shape) -> int:
    """The length of the last axis."""
    if not shape or not isinstance(shape[-1], int):
        raise ShapeError(f"{show_shape(shape)} has no columns")
    return shape[-1]


def _concatenated(a: Shape, b: Shape) -> Shape:
    width = _width(a) + _width(b)
    if a[:-1] != b[:-1]:
        raise ShapeError(f"{show_shape(a)} and {show_shape(b)} differ in more than their columns")
    return (*a[:-1], width)


def _cut(x: Shape, *, start: int, stop: int) -> Shape:
    if not 0 <= start < stop <= _width(x):
        raise ShapeError(f"{show_shape(x)} has no columns {start}:{stop}")
    return (*x[:-1], stop - start)


def _padded(g: Shape, x: Shape, *, start: int, stop: int) -> Shape:
    if _cut(x, start=start, stop=stop) != g:
        raise ShapeError(f"{show_shape(g)} is not columns {start}:{stop} of {show_shape(x)}")
    return x


def _looked_up(table: Shape, index: Shape) -> Shape:
    if len(table) != 2 or not all(isinstance(dim, int) for dim in table):
        raise ShapeError(f"{show_shape(table)} is no table of rows")
    if len(index) != 2 or index[1] != 1:
        raise ShapeError(f"{show_shape(index)} is no column of row numbers")
    return (index[0], table[1])


def _scattered(g: Shape, index: Shape, table: Shape) -> Shape:
    if _looked_up(table, index) != g:
        raise ShapeError(f"{show_shape(g)} is not what a lookup in {show_shape(table)} gives")
    return table


# Forward functions that are more than one NumPy call --------------------------------------------


def _signed(x: Array) -> Array:
    """|x| for real x, and its analytic continuation: x or -x by the sign of the real part."""
    return np.where(np.real(x) >= 0, x, -x)


def _positive(x: Array) -> Array:
    return (np.real(x) > 0).astype(x.dtype)


def _sign(x: Array) -> Array:
    return np.asarray(np.sign(np.real(x)), dtype=x.dtype)


def _where(c: Array, a: Array, b: Array) -> Array:
    return np.where(np.real(c) > 0, a, b)


def _sigmoid(x: Array) -> Array:
    e = np.exp(-_signed(x))  # in (0, 1]: never overflows
    return np.where(np.real(x) >= 0, 1 / (1 + e), e / (1 + e))


def _relu(x: Array) -> Array:
    return np.where(np.real(x) > 0, x, np.zeros_like(x))


def _positive_part(x: Array) -> Array:
    """relu(x) as a part of a smooth function: the pieces of log(1 + exp(x)) must change sides at
    the same place, else a complex step at exactly 0 would see half of each.
    """
    return np.where(np.real(x) >= 0, x, np.zeros_like(x))


def _leaky_slope(x: Array) -> Array:
    return np.where(np.real(x) > 0, 1, LEAKY_SLOPE).astype(x.dtype)


def _softplus(x: Array) -> Array:
    return np.asarray(_positive_part(x) + np.log1p(np.exp(-_signed(x))))


def _normal_cdf(x: Array) -> Array:
    from scipy.special import erfc  # imported here: it costs 0.2 s and only gelu needs it

    return np.asarray(0.5 * erfc(x * -np.sqrt(0.5)), dtype=x.dtype)


def _normal_pdf(x: Array) -> Array:
    return np.asarray((np.exp(x * x * -0.5) * np.sqrt(0.5 / np.pi)).astype(x.dtype))


def _log_softmax(x: Array) -> Array:
    shifted = x - np.real(x).max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _softmax(x: Array) -> Array:
    e = np.exp(x - np.real(x).max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def _logistic_loss(z: Array, y: Array) -> Array:
    return np.asarray(_positive_part(z) - z * y + np.log1p(np.exp(-_signed(z))))


def _sum(x: Array, *, axes: Axes, keepdims: bool = False) -> Array:
    return np.asarray(np.sum(x, axis=axes, keepdims=keepdims))


def _mean(x: Array, *, axes: Axes) -> Array:
    return np.asarray(np.sum(x, axis=axes) / _count(x, axes=axes))


def _count(x: Array, *, axes: Axes) -> Array:
    return np.asarray(np.prod([x.shape[axis] for axis in axes], dtype=x.real.dtype))


def _expand(g: Array, x: Array, *, axes: Axes, keepdims: bool = False) -> Array:
    return np.broadcast_to(g if keepdims else np.expand_dims(g, axes), x.shape)


def _pad(g: Array, x: Array, *, start: int, stop: int) -> Array:
    out = np.zeros(x.shape, g.dtype)
    out[..., start:stop] = g
    return out


def _row_numbers(index: Array, rows: int) -> tuple[Array, Array]:
    """Of an index of shape (B, 1): which numbers name one of so many rows, and these numbers.

    A fraction is cut off; nan names no row. Where a number names none, row 0 stands.
    """
    number = np.real(index)[:, 0]
    inside = (number >= 0) & (number < rows)
    return inside, np.where(inside, number, 0).astype(np.int64)


def _lookup(table: Array, index: Array) -> Array:
    inside, numbers = _row_numbers(index, len(table))
    return np.where(inside[:, None], table[numbers], table.dtype.type(0))


def _scatter(g: Array, index: Array, table: Array) -> Array:
    inside, numbers = _row_numbers(index, len(table))
    out = np.zeros(table.shape, g.dtype)
    np.add.at(out, numbers[inside], g[inside])  # one row after the other, in their order
    return out


# Gradient rules of reductions -------------------------------------------------------------------


def _sum_vjp(g: Expr, out: Expr, x: Expr) -> Expr:
    return g.apply("expand_like", x, **out.node.attributes)


def _mean_vjp(g: Expr, out: Expr, x: Expr) -> Expr:
    axes = out.node.attributes["axes"]
    return (g / x.apply("count", axes=axes)).apply("expand_like", x, axes=axes)


def _expand_vjp(g: Expr, out: Expr, _g: Expr, _x: Expr) -> Expr:
    return g.apply("sum", **out.node.attributes)


def _row_sum(x: Expr) -> Expr:
    return x.apply("sum", axes=(len(x.shape) - 1,), keepdims=True)


# Gradient rules of what takes or places columns ---------------------------------------------------


def _left_vjp(g: Expr, _out: Expr, a: Expr, _b: Expr) -> Expr:
    return g.apply("columns", start=0, stop=a.shape[-1])


def _right_vjp(g: Expr, out: Expr, a: Expr, _b: Expr) -> Expr:
    return g.apply("columns", start=a.shape[-1], stop=out.shape[-1])


def _columns_vjp(g: Expr, out: Expr, x: Expr) -> Expr:
    return g.apply("pad_columns", x, **out.node.attributes)


def _pad_vjp(g: Expr, out: Expr, _g: Expr, _x: Expr) -> Expr:
    return g.apply("columns", **out.node.attributes)


# The table --------------------------------------------------------------------------------------


def _elementwise(
    name: str,
    formula: str,
    forward: Callable[..., Array],
    *vjps: Vjp | None,
    analytic: bool = True,
    kernel: str,
    init: str | None = None,
) -> Op:
    return Op(name, formula, _broadcast, forward, vjps, analytic, init, kernel)


_TABLE: tuple[Op, ...] = (
    # arithmetic
    _elementwise("add", "{0} + {1}", np.add,
                 lambda g, o, x, y: g, lambda g, o, x, y: g, kernel="{0} + {1}"),
    _elementwise("sub", "{0} - {1}", np.subtract,
                 lambda g, o, x, y: g, lambda g, o, x, y: -g, kernel="{0} - {1}"),
    _elementwise("mul", "{0} · {1}", np.multiply,
                 lambda g, o, x, y: g * y, lambda g, o, x, y: g * x, kernel="{0} * {1}"),
    _elementwise("div", "{0} / {1}", np.divide,
                 lambda g, o, x, y: g / y, lambda g, o, x, y: -(g * o / y), kernel="{0} / {1}"),
    _elementwise("neg", "-{0}", np.negative, lambda g, o, x: -g, kernel="-{0}"),
    _elementwise("square", "{0}²", np.square, lambda g, o, x: g * (2 * x), kernel="{0} * {0}"),
    _elementwise("sqrt", "√{0}", np.sqrt, lambda g, o, x: g / (2 * o), kernel="sqrt({0})"),
    _elementwise("exp", "exp({0})", np.exp, lambda g, o, x: g * o, kernel="exp({0})"),
    _elementwise("log", "log({0})", np.log, lambda g, o, x: g / x, kernel="log({0})"),
    # where two inputs are equal, the minimum's derivative goes to the first
    _elementwise("minimum", "min({0}, {1})", np.minimum,
                 lambda g, o, x, y: g * (1 - (x - y).apply("positive")),
                 lambda g, o, x, y: g * (x - y).apply("positive"), analytic=False,
                 kernel="{0} if {0} <= {1} or {0} != {0} else {1}"),
    _elementwise("positive", "[{0} > 0]", _positive, None, analytic=False,
                 kernel="ONE if {0} > ZERO else ZERO"),
    # of 0 the sign is 0, of nan it is nan
    _elementwise("sign", "sign({0})", _sign, None, analytic=False,
                 kernel="ONE if {0} > ZERO else -ONE if {0} < ZERO else {0} - {0}"),
    # the second where the first is positive, else the third. The rules choose too: a product with
    # 0 would let an infinite gradient of the other branch through as nan
    _elementwise("where", "where({0}, {1}, {2})", _where, None,
                 lambda g, o, c, a, b: c.apply("where", g, 0.0),
                 lambda g, o, c, a, b: c.apply("where", 0.0, g),
                 kernel="{1} if {0} > ZERO else {2}"),
    # activations
    _elementwise("sigmoid", "σ({0})", _sigmoid, lambda g, o, x: g * (o * (1 - o)),
                 init="glorot_uniform", kernel="sigmoid({0})"),
    _elementwise("tanh", "tanh({0})", np.tanh, lambda g, o, x: g * (1 - o.apply("square")),
                 init="glorot_uniform", kernel="tanh({0})"),
    # at 0 the derivative of relu is taken as 0, of leaky_relu as its slope below 0; the output is
    # positive exactly where the input is, and nothing else needs the input to be kept
    _elementwise("relu", "relu({0})", _relu, lambda g, o, x: g * o.apply("positive"),
                 analytic=False, init="he_uniform", kernel="{0} if {0} > ZERO else ZERO"),
    _elementwise("leaky_relu", "leaky_relu({0})", lambda x: x * _leaky_slope(x),
                 lambda g, o, x: g * o.apply("leaky_slope"), analytic=False, init="he_uniform",
                 kernel="{0} if {0} > ZERO else {0} * SLOPE"),
    _elementwise("leaky_slope", "leaky_relu'({0})", _leaky_slope, None, analytic=False,
                 kernel="ONE if {0} > ZERO else SLOPE"),
    _elementwise("softplus", "softplus({0})", _softplus, lambda g, o, x: g * x.apply("sigmoid"),
                 init="he_uniform", kernel="softplus({0})"),
    # gelu(x) = x Φ(x), with Φ the normal distribution function (Hendrycks and Gimpel, 2016)
    _elementwise("gelu", "gelu({0})", lambda x: x * _normal_cdf(x),
                 lambda g, o, x: g * (x.apply("normal_cdf") + x * x.apply("normal_pdf")),
                 init="he_uniform", kernel="{0} * normal_cdf({0})"),
    _elementwise("normal_cdf", "Φ({0})", _normal_cdf, lambda g, o, x: g * x.apply("normal_pdf"),
                 kernel="normal_cdf({0})"),
    _elementwise("normal_pdf", "φ({0})", _normal_pdf, lambda g, o, x: -(g * (x * o)),
                 kernel="normal_pdf({0})"),
    # the loss of one binary output: log(1 + exp(z)) - z y, without overflow or cancellation
    _elementwise("logistic_loss", "log(1 + exp({0})) - {0} · {1}", _logistic_loss,
                 lambda g, o, z, y: g * (z.apply("sigmoid") - y), lambda g, o, z, y: -(g * z),
                 kernel="logistic_loss({0}, {1})"),
    # of rows
    Op("softmax", "softmax({0})", _rows, _softmax, (lambda g, o, x: o * (g - _row_sum(g * o)),),
       init="glorot_uniform"),
    Op("log_softmax", "log_softmax({0})", _rows, _log_softmax,
       (lambda g, o, x: g - x.apply("softmax") * _row_sum(g),)),
    # matrices
    Op("matmul", "{0} @ {1}", _matmul, np.matmul,
       (lambda g, o, a, b: g @ b.T, lambda g, o, a, b: a.T @ g)),
    Op("transpose", "{0}ᵀ", _transposed, np.transpose, (lambda g, o, a: g.T,)),
    # reductions, and what undoes them: expand_like repeats the first input along `axes`
    Op("sum", "sum({0})", _reduced, _sum, (_sum_vjp,)),
    Op("mean", "mean({0})", _reduced, _mean, (_mean_vjp,)),
    Op("count", "count({0})", lambda x, *, axes: (), _count, (None,), analytic=False),
    Op("expand_like", "expand({0})", _expanded, _expand, (_expand_vjp, None)),
    # columns, which are places of the last axis; pad_columns puts the first input back among
    # zeros, in the shape of the second
    Op("concat", "concat({0}, {1})", _concatenated,
       lambda a, b: np.concatenate((a, b), axis=-1), (_left_vjp, _right_vjp)),
    Op("columns", "columns({0}, {start}, {stop})", _cut,
       lambda x, *, start, stop: x[..., start:stop], (_columns_vjp,)),
    Op("pad_columns", "pad_columns({0}, {start}, {stop})", _padded, _pad, (_pad_vjp, None)),
    # rows of a table (V, D) by their numbers, whole numbers of the graph's dtype in (B, 1); a
    # number outside of 0 … V - 1 gives zeros. scatter adds rows up by number, in their order, so
    # that the sum has the same bits everywhere; of its third input, the table, it needs the shape
    Op("lookup", "lookup({0}, {1})", _looked_up, _lookup,
       (lambda g, o, table, i: g.apply("scatter", i, table), None)),
    Op("scatter", "scatter({0}, {1})", _scattered, _scatter,
       (lambda g, o, _g, i, table: g.apply("lookup", i), None, None)),
)  # fmt: skip

OPS: Final[Mapping[str, Op]] = {op.name: op for op in _TABLE}
ACTIVATIONS: Final[Mapping[str, str]] = {
    "identity": "glorot_uniform",
    **{op.name: op.init for op in _TABLE if op.init},
}
"""The activations that a layer can name, and the default initialiser of its weights."""
