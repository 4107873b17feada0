"""The elementwise ops: one row holds an op's formula, forward, gradient rules and kernel.

To add an elementwise op or an activation, add a row. It is then validated, differentiated, run,
compiled, exported, explained, documented and tested by the code that walks the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from trainer.graph.ops.op import LEAKY_SLOPE, Array, Dim, Op, Shape, ShapeError, Vjp, show_shape


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


def _logistic_loss(z: Array, y: Array) -> Array:
    return np.asarray(_positive_part(z) - z * y + np.log1p(np.exp(-_signed(z))))


def _elementwise(
    name: str,
    formula: str,
    forward: Callable[..., Array],
    *vjps: Vjp | None,
    analytic: bool = True,
    kernel: str,
    init: str | None = None,
    latex: str = "",
) -> Op:
    return Op(name, formula, _broadcast, forward, vjps, analytic, init, latex, kernel=kernel)


ELEMENTWISE: Final = (
    # arithmetic
    _elementwise("add", "{0} + {1}", np.add,
                 lambda g, o, x, y: g, lambda g, o, x, y: g, kernel="{0} + {1}"),
    _elementwise("sub", "{0} - {1}", np.subtract,
                 lambda g, o, x, y: g, lambda g, o, x, y: -g, kernel="{0} - {1}"),
    _elementwise("mul", "{0} · {1}", np.multiply,
                 lambda g, o, x, y: g * y, lambda g, o, x, y: g * x, kernel="{0} * {1}"),
    _elementwise("div", "{0} / {1}", np.divide,
                 lambda g, o, x, y: g / y, lambda g, o, x, y: -(g * o / y), kernel="{0} / {1}",
                 latex=r"\frac{@0}{@1}"),
    _elementwise("neg", "-{0}", np.negative, lambda g, o, x: -g, kernel="-{0}"),
    _elementwise("square", "{0}²", np.square, lambda g, o, x: g * (2 * x), kernel="{0} * {0}"),
    _elementwise("sqrt", "√{0}", np.sqrt, lambda g, o, x: g / (2 * o), kernel="sqrt({0})",
                 latex=r"\sqrt{@0}"),
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
)  # fmt: skip
