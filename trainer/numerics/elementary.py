"""Elementary functions, one definition for all who compute: straight lines of arithmetic.

Each is a chain of additions, products, divisions, fused multiply-adds (`fma`) and choices, in an
order that is written down here and nowhere else. What carries the operations out is an
`Arithmetic`: the compiler emits instructions, on vectors too; NumPy computes arrays. Every
operation is exactly rounded (IEEE 754), so wherever `fma` is true the bits are the same.

Accuracy with a true `fma`: at most 2 units in the last place (ulp) of the exact result for every
argument, relative tails included; 4 for `logistic_loss` where y is 0 or 1. Subnormal results are
computed, not flushed, to 2 steps of the subnormal spacing. nan gives nan, and signed zeros and
infinities give what the limit gives. The tests measure this against mpmath.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol, TypeAlias

import numpy as np

Value: TypeAlias = Any
"""A number or many, as an arithmetic has them: with `+ - * /`, the sign, and comparisons."""


class Arithmetic(Protocol):
    """What carries out the operations on values of one dtype, float32 or float64."""

    @property
    def dtype(self) -> str:
        """The dtype of all values."""

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """`a b + c`, rounded once."""

    def where(self, test: Value, a: Value, b: Value) -> Value:
        """The first where the test holds, else the second."""

    def equal(self, a: Value, b: Value) -> Value:
        """Whether two numbers are equal."""

    def absolute(self, x: Value) -> Value:
        """The number without its sign."""

    def with_sign(self, size: Value, sign: Value) -> Value:
        """The first number with the sign of the second; -0 has one."""

    def powers(self, shifted: Value) -> tuple[Value, Value]:
        """2^⌊n/2⌋ and 2^⌈n/2⌉, where the low bits of `shifted` hold n + 2 bias (see
        `Constants.shift`): both are normal numbers where 2ⁿ is not.
        """

    def split(self, x: Value) -> tuple[Value, Value, Value]:
        """(m, k, 2⁻ᵏ) with x = m 2ᵏ, m from √½ to √2, for a positive, normal and finite x."""


# Polynomials, lowest power first ------------------------------------------------------------------
#
# Each is the polynomial P of its degree that makes the greatest |weight · (f - P)| on the interval
# least: the weight turns an error of P into a relative error of the function that uses it. The
# exchange of Remez in 40 digits gives it, and its coefficients are then rounded to the dtype.
# `remez` and `APPROXIMATIONS` in tests/test_functions.py do just that and are compared with the
# tables; `python tests/test_functions.py` prints them.

EXP: Final = {
    # (expm1(r) - r) / r², |r| ≤ 0.347 (a bit more than log(2) / 2)
    "float32": (
        0.49999994,
        0.1666652,
        0.041668396,
        0.008368796,
        0.0013814423,
    ),
    "float64": (
        0.5000000000000011,
        0.1666666666666641,
        0.04166666666652895,
        0.008333333333495938,
        0.001388888894399547,
        0.00019841269504272533,
        2.4801492678923925e-05,
        2.7557587610325597e-06,
        2.7630411145838526e-07,
        2.4999935344276933e-08,
    ),
}
LOG: Final = {
    # (2 atanh(s) / s - 2) / s² as a function of s², |s| ≤ 1/3
    "float32": (
        0.6666641,
        0.400217,
        0.27999154,
        0.28024378,
    ),
    "float64": (
        0.6666666666666631,
        0.4000000000015723,
        0.28571428547854744,
        0.22222223969681437,
        0.18181743926636165,
        0.15386559886845846,
        0.13300974062033846,
        0.12106082474792079,
        0.08340118116354661,
        0.17018544309354156,
    ),
}
TANH: Final = {
    # (tanh(x) / x - 1) / x² as a function of x², |x| ≤ 5/8
    "float32": (
        -0.3333328,
        0.13331443,
        -0.053739727,
        0.020639123,
        -0.005705026,
    ),
    "float64": (
        -0.33333333333332854,
        0.13333333333262098,
        -0.05396825393127077,
        0.02186948757615423,
        -0.008863221003296347,
        0.003591989178443308,
        -0.0014549588987824112,
        0.0005863166009789034,
        -0.0002285643222285388,
        7.714448306832619e-05,
        -1.6072622941766833e-05,
    ),
}
MILLS: Final = {
    # Φ(-t) exp(t²/2) (t + 13/16) - 7/16 as a function of (t - 5) / (t + 5), 0 ≤ t ≤ 14.5 or 39
    "float32": (
        0.009593459,
        -0.06465399,
        0.009267581,
        0.025168171,
        -0.035376184,
        0.028924813,
        -0.016841315,
        0.006987575,
        -0.001752513,
        -7.854676e-05,
        0.00020699188,
    ),
    "float64": (
        0.009593460167224092,
        -0.06465399022200659,
        0.009267466197338262,
        0.025168079372231644,
        -0.03537392151961014,
        0.02892706958581593,
        -0.01685629738006677,
        0.0069680339744578,
        -0.001717238118634251,
        -1.738522869956064e-05,
        0.00019366439187676711,
        -5.3788219091955685e-05,
        -1.1142418977964623e-05,
        9.299123923154265e-06,
        5.785754614114429e-08,
        -1.3551496568552476e-06,
        1.1001318310185918e-07,
        2.056462391066224e-07,
        -1.9833808680044024e-08,
        -3.265078415845329e-08,
        1.0867565496621142e-10,
        3.981050492579434e-09,
        7.487327863433194e-10,
    ),
}

# Constants ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Constants:
    """What the functions need to know of a dtype. All numbers are of it."""

    fraction: int  # bits of the fraction
    bias: int  # of the exponent
    exp: tuple[float, ...]
    log: tuple[float, ...]
    tanh: tuple[float, ...]
    mills: tuple[float, ...]
    # log(2) in two parts; the first has so many zeros at its end that n times it is exact
    ln2: float
    ln2_rest: float
    # exp is 0 below and infinite above; Φ and its density are 0 farther out than that
    exp_low: float
    exp_high: float
    normal_far: float
    density_rest: float  # what the rounded 1 / √(2 π) lacks

    @property
    def shift(self) -> float:
        """Adding it rounds to an integer n, and leaves n + 2 bias in the low bits of the sum."""
        return 1.5 * 2.0**self.fraction + 2 * self.bias

    @property
    def smallest_normal(self) -> float:
        """The least number with a whole fraction."""
        return 2.0 ** (1 - self.bias)


LOG2_E: Final = 1.4426950408889634
DENSITY: Final = 0.3989422804014327  # 1 / √(2 π)
TANH_NEAR, TANH_FAR = 0.625, 20.0  # where tanh leaves its polynomial, and where it is 1
# the constants of the approximation MILLS
MILLS_CENTRE, MILLS_SHIFT, MILLS_MEAN = 5.0, 0.8125, 0.4375
LIFT, LIFT_EXPONENT = 2.0**54, 54.0  # log's numbers are normal when lifted
LOG1P_LARGE = 2.0**60
INF, NAN = float("inf"), float("nan")


@cache
def constants_of(dtype: str) -> Constants:
    """The constants of float32 or float64."""
    tables = (EXP[dtype], LOG[dtype], TANH[dtype], MILLS[dtype])
    if dtype == "float64":
        return Constants(
            52, 1023, *tables, 0.6931471805598903, 5.497923018708371e-14,
            -746.0, 710.0, 39.0, -2.49232720227773e-17,
        )  # fmt: skip
    return Constants(
        23, 127, *tables, 0.693145751953125, 1.4286068203094173e-06,
        -104.0, 89.0, 14.5, -1.133517010526318e-08,
    )  # fmt: skip


# The functions ------------------------------------------------------------------------------------


def exp(ar: Arithmetic, x: Value) -> Value:
    """eˣ"""
    high = constants_of(ar.dtype).exp_high
    return _exp_below(ar, ar.where(x > high, high, x))


def log(ar: Arithmetic, x: Value) -> Value:
    """The natural logarithm; of 0 it is -inf, of negative numbers nan."""
    c = constants_of(ar.dtype)
    subnormal = x < c.smallest_normal
    m, k, _ = ar.split(ar.where(subnormal, x * LIFT, x))
    k = ar.where(subnormal, k - LIFT_EXPONENT, k)
    f = m - 1.0
    result = ar.fma(k, c.ln2, f - _log_gap(ar, f, k * c.ln2_rest))
    result = ar.where(x < INF, result, x)
    return ar.where(x <= 0.0, ar.where(ar.equal(x, 0.0), -INF, NAN), result)


def log1p(ar: Arithmetic, x: Value) -> Value:
    """log(1 + x), with all of its digits near 0."""
    c = constants_of(ar.dtype)
    u = 1.0 + x
    back = u - x
    lost = (1.0 - back) + (x - (u - back))  # 1 + x = u + lost
    m, k, inverse = ar.split(u)
    lost = ar.where(u < LOG1P_LARGE, lost * inverse, 0.0)
    f = (m - 1.0) + lost
    result = ar.fma(k, c.ln2, f - _log_gap(ar, f, k * c.ln2_rest))
    result = ar.with_sign(ar.where(x < INF, result, x), x)
    return ar.where(x <= -1.0, ar.where(ar.equal(x, -1.0), -INF, NAN), result)


def tanh(ar: Arithmetic, x: Value) -> Value:
    """For t = |x|: t + t³ P(t²) near 0, where the rest, 1 - 2 / (1 + exp(2 t)), cancels."""
    c = constants_of(ar.dtype)
    t = ar.absolute(x)
    u = t * t
    near = ar.fma(t, u * _polynomial(ar, c.tanh, u), t)
    first, last = _exp_in_two(ar, 2.0 * ar.where(t > TANH_FAR, TANH_FAR, t))
    far = 1.0 - 2.0 / ar.fma(first, last, 1.0)
    return ar.with_sign(ar.where(t < TANH_NEAR, near, far), x)


def sigmoid(ar: Arithmetic, x: Value) -> Value:
    """1 / (1 + e⁻ˣ), by the exponential of -|x|, which does not overflow.

    1 + e is rounded; what it lacks changes the quotient q by as many times q / (1 + e), for which
    q (1 - e / 2) is good enough.
    """
    first, last = _exp_in_two(ar, -ar.absolute(x))
    e, bottom = first * last, ar.fma(first, last, 1.0)
    lacks = (e - (bottom - 1.0)) * ar.fma(e, -0.5, 1.0)
    q = ar.where(x >= 0.0, 1.0, e) / bottom
    return ar.fma(-q, lacks, q)


def softplus(ar: Arithmetic, x: Value) -> Value:
    """log(1 + eˣ) = max(x, 0) + log(1 + exp(-|x|))"""
    e = _exp_below(ar, -ar.absolute(x))
    return e + (ar.where(x > 0.0, x, 0.0) - _log_gap(ar, e, 0.0))


def logistic_loss(ar: Arithmetic, z: Value, y: Value) -> Value:
    """log(1 + e^z) - z y"""
    e = _exp_below(ar, -ar.absolute(z))
    return e + (ar.fma(-z, y, ar.where(z > 0.0, z, 0.0)) - _log_gap(ar, e, 0.0))


def normal_pdf(ar: Arithmetic, x: Value) -> Value:
    """φ(x), the density of the normal distribution."""
    c = constants_of(ar.dtype)
    _, p, shifted = _gauss_parts(ar, x)
    return _times_power(ar, DENSITY + ar.fma(p, DENSITY, c.density_rest), shifted)


def normal_cdf(ar: Arithmetic, x: Value) -> Value:
    """Φ(-t) = exp(-t²/2) M / (t + c), where the slowly varying M is a polynomial; then Φ(t)."""
    c = constants_of(ar.dtype)
    t, p, shifted = _gauss_parts(ar, x)
    b = _polynomial(ar, c.mills, 2.0 * t / (t + MILLS_CENTRE) - 1.0)
    b = ar.fma(p, MILLS_MEAN + b, b)
    top = MILLS_MEAN + b
    bottom = t + MILLS_SHIFT
    back = bottom - t
    bottom_rest = (t - (bottom - back)) + (MILLS_SHIFT - back)
    quotient = _ratio(ar, top, b - (top - MILLS_MEAN), bottom, bottom_rest)
    below = _times_power(ar, quotient, shifted)
    return ar.where(x > 0.0, 1.0 - below, below)


FUNCTIONS: Final[Mapping[str, Callable[..., Value]]] = {
    function.__name__: function
    for function in (
        exp, log, log1p, tanh, sigmoid, softplus, logistic_loss, normal_cdf, normal_pdf,
    )
}  # fmt: skip
"""The functions by the names that kernels call them by; each takes an arithmetic first."""


def _exp_below(ar: Arithmetic, x: Value) -> Value:
    """eˣ for numbers up to where it is infinite."""
    first, last = _exp_in_two(ar, x)
    return first * last


def _exp_in_two(ar: Arithmetic, x: Value) -> tuple[Value, Value]:
    """Two factors of eˣ, both normal numbers, so that their product rounds once, to a subnormal,
    zero or infinity if need be.
    """
    low = constants_of(ar.dtype).exp_low
    p, shifted = _exp_parts(ar, ar.where(x < low, low, x), None)
    first, last = ar.powers(shifted)
    return ar.fma(p, first, first), last


def _exp_parts(ar: Arithmetic, x: Value, rest: Value | None) -> tuple[Value, Value]:
    """`p` and `shifted`: exp(x - rest) = (1 + p) 2ⁿ, |p| < 0.42, for a small `rest`."""
    c = constants_of(ar.dtype)
    shifted = ar.fma(x, LOG2_E, c.shift)
    n = shifted - c.shift
    r = ar.fma(-n, c.ln2, x)
    r = ar.fma(-n, c.ln2_rest, r if rest is None else r - rest)
    return ar.fma(r * r, _polynomial(ar, c.exp, r), r), shifted


def _log_gap(ar: Arithmetic, f: Value, low: Value) -> Value:
    """`f - log(1 + f) - low`, -1/2 ≤ f ≤ 1: f itself the callers add, unrounded.

    With s = f / (2 + f), log(1 + f) = 2 atanh(s) = 2 s + s³ P(s²), and 2 s = f - s f.
    """
    s = f / (2.0 + f)
    w = s * s
    h = 0.5 * f * f
    return h - ar.fma(s, ar.fma(w, _polynomial(ar, constants_of(ar.dtype).log, w), h), low)


def _ratio(ar: Arithmetic, top: Value, top_rest: Value, bottom: Value, bottom_rest: Value) -> Value:
    """(top + top_rest) / (bottom + bottom_rest), rounded about once.

    The rests are the rounding errors of `top` and `bottom`: taken as they are, the three
    roundings would add up to more than 2 ulp in the functions above.
    """
    inverse = 1.0 / bottom
    quotient = top * inverse
    residual = ar.fma(-quotient, bottom, top) + ar.fma(-quotient, bottom_rest, top_rest)
    return ar.fma(residual, inverse, quotient)


def _gauss_parts(ar: Arithmetic, x: Value) -> tuple[Value, Value, Value]:
    """`t = |x|`, at most `normal_far`, and exp(-t²/2) as `_exp_parts` has it, from all of t²."""
    far = constants_of(ar.dtype).normal_far
    t = ar.absolute(x)
    t = ar.where(t > far, far, t)
    square = t * t
    p, shifted = _exp_parts(ar, -0.5 * square, 0.5 * ar.fma(t, t, -square))
    return t, p, shifted


def _times_power(ar: Arithmetic, x: Value, shifted: Value) -> Value:
    """`x 2ⁿ`: the first product is exact, the second rounds."""
    first, last = ar.powers(shifted)
    return x * first * last


def _polynomial(ar: Arithmetic, coefficients: Sequence[float], x: Value) -> Value:
    """Neighbouring powers in pairs, these in pairs, and so on (Estrin's scheme): few steps depend
    on each other.
    """
    terms: list[Value] = list(coefficients)
    while len(terms) > 1:
        pairs = zip(terms[::2], terms[1::2], strict=False)
        last = terms[-1:] if len(terms) % 2 else []
        terms = [ar.fma(high, x, low) for low, high in pairs] + last
        x = x * x
    return terms[0]


# NumPy --------------------------------------------------------------------------------------------


class ArrayArithmetic:
    """NumPy's arrays, where `fma` is a product and a sum, each rounded: NumPy has no other.

    Its results are as good as the others' to a few ulp, and the same on every CPU.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self._real = np.dtype(dtype).type
        c = constants_of(dtype)
        self._integer = np.dtype("u8" if dtype == "float64" else "u4").type
        self._fraction, self._bias = c.fraction, c.bias

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """`a b + c`, rounded twice."""
        if isinstance(a, float) and isinstance(b, float) and isinstance(c, float):
            return self._real(a) * self._real(b) + self._real(c)
        return a * b + c

    def where(self, test: Value, a: Value, b: Value) -> Value:
        """The first where the test holds, else the second."""
        return np.where(test, np.asarray(a, self.dtype), np.asarray(b, self.dtype))

    def equal(self, a: Value, b: Value) -> Value:
        """Whether numbers are equal."""
        return a == b

    def absolute(self, x: Value) -> Value:
        """The number without its sign."""
        return np.abs(x)

    def with_sign(self, size: Value, sign: Value) -> Value:
        """The first with the sign of the second."""
        return np.copysign(size, sign)

    def powers(self, shifted: Value) -> tuple[Value, Value]:
        """2^⌊n/2⌋ and 2^⌈n/2⌉."""
        fraction = self._integer(self._fraction)
        exponent = self._bits(shifted) & self._integer(4 * self._bias + 3)
        floor = exponent >> self._integer(1)
        return self._number(floor << fraction), self._number((exponent - floor) << fraction)

    def split(self, x: Value) -> tuple[Value, Value, Value]:
        """(m, k, 2⁻ᵏ)."""
        whole, fraction = self._integer, self._integer(self._fraction)
        root = self._bits(np.asarray(0.5**0.5, self.dtype))
        one = whole(self._bias << self._fraction)
        bits = self._bits(x) + (one - root)
        biased = bits >> fraction
        m = (bits & whole(2**self._fraction - 1)) + root
        k = biased.astype(self.dtype) - self._real(self._bias)
        inverse = (whole(2 * self._bias) - biased) << fraction
        return self._number(m), k, self._number(inverse)

    def _bits(self, x: Value) -> Value:
        return np.asarray(x, self.dtype).view(self._integer)

    def _number(self, bits: Value) -> Value:
        return np.asarray(bits, self._integer).view(self.dtype)
