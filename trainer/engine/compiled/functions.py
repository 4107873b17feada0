"""Elementary functions for generated kernels: scalar, branch-free, and vectorised by LLVM.

A call of `math.exp` in a loop keeps the loop scalar. The functions here are straight lines of
arithmetic and selects, so that `for j in range(n): out[j] = sigmoid_f64(a[j])` becomes SIMD code
when they are inlined. Each exists for float32 and float64 from one definition (`_functions`).

Accuracy: at most 2 units in the last place (ulp) of the exact result for every argument,
relative tails included; 4 for `logistic_loss` where y is 0 or 1. Subnormal results are computed,
not flushed, to 2 steps of the subnormal spacing. nan gives nan, and signed zeros and infinities
give what the limit gives. The tests measure this against mpmath.

What a caller must know:

- `fastmath` may hold "contract" and nothing else. "reassoc" cancels `(x + SHIFT) - SHIFT` and
  the error terms, and with them the result.
- With "contract" LLVM fuses a product and a sum where the machine can, also across the border of
  an inlined function. Results on machines with and without FMA differ in their last bits, and
  both keep the bounds; without, `sigmoid` and the normal functions call the C library's `fma`.
- Arguments must have the dtype of the name: a literal in a kernel is a float64 to Numba.
- `error_model="numpy"` belongs to the caller's loop too; otherwise its divisions branch.
- They are inlined where a kernel is compiled: a kernel cached on disk holds the functions of its
  day, so its cache key must cover this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Function: TypeAlias = Callable[..., Any]

OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy", "fastmath": {"contract"}}
"""The options of `njit` here, and those that the kernels around them need."""

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

# Operations on the bits of a number, and fused ones ----------------------------------------------


def _layout(real: types.Float) -> tuple[ir.IntType, int, int]:
    """The integer as wide as `real`, the bits of its fraction, the bias of its exponent."""
    return (ir.IntType(64), 52, 1023) if real == types.float64 else (ir.IntType(32), 23, 127)


def _intrinsic(function: Function) -> Function:
    result: Function = intrinsic(function)
    return result


def _polynomial(coefficients: Sequence[float]) -> Function:
    """An intrinsic that evaluates the polynomial by Horner's rule."""

    @_intrinsic
    def polynomial(typing_context: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            (x,) = arguments
            value = ir.Constant(x.type, coefficients[-1])
            for coefficient in coefficients[-2::-1]:
                product = builder.fmul(value, x, flags=("contract",))
                value = builder.fadd(product, ir.Constant(x.type, coefficient), flags=("contract",))
            return value

        return x(x), codegen

    return polynomial


@_intrinsic
def _fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """`a b + c`, rounded once: where the error of a product is what is wanted."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, a, a), codegen


@_intrinsic
def _with_sign(typing_context: Any, size: Any, sign: Any) -> Any:
    """The first number with the sign of the second; -0 has one."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        function = ir.FunctionType(kind, (kind, kind))
        copysign = builder.module.declare_intrinsic("llvm.copysign", (kind,), function)
        return builder.call(copysign, arguments)

    return size(size, size), codegen


@_intrinsic
def _times_power(typing_context: Any, x: Any, shifted: Any) -> Any:
    """`x 2ⁿ`, where the low bits of `shifted` hold n + 2 bias (see `SHIFT`).

    In two steps, 2^⌊n/2⌋ and 2^⌈n/2⌉: both factors are normal numbers where 2ⁿ is not, the first
    product is exact and the second rounds once, to a subnormal, zero or infinity if need be.
    """
    integer, fraction, bias = _layout(x)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, shifted = arguments
        exponent = builder.and_(builder.bitcast(shifted, integer), integer(4 * bias + 3))
        floor = builder.lshr(exponent, integer(1))
        for half in (floor, builder.sub(exponent, floor)):
            x = builder.fmul(x, builder.bitcast(builder.shl(half, integer(fraction)), x.type))
        return x

    return x(x, x), codegen


@_intrinsic
def _split(typing_context: Any, x: Any) -> Any:
    """(m, k, 2⁻ᵏ) with x = m 2ᵏ, m from √½ to √2, for a positive, normal and finite x."""
    integer, fraction, bias = _layout(x)
    one = bias << fraction
    root = int(np.array(0.5**0.5, dtype=x.name).view(f"uint{integer.width}"))
    whole = (bias + fraction) << fraction  # 2^fraction: the last bit is worth 1

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        kind = value.type
        bits = builder.add(builder.bitcast(value, integer), integer(one - root))
        biased = builder.lshr(bits, integer(fraction))  # k + bias
        m = builder.add(builder.and_(bits, integer(2**fraction - 1)), integer(root))
        k = builder.fsub(
            builder.bitcast(builder.or_(biased, integer(whole)), kind),
            ir.Constant(kind, float(2**fraction + bias)),
        )
        inverse = builder.shl(builder.sub(integer(2 * bias), biased), integer(fraction))
        results = [builder.bitcast(m, kind), k, builder.bitcast(inverse, kind)]
        return context.make_tuple(builder, signature.return_type, results)

    return types.UniTuple(x, 3)(x), codegen


# The functions ------------------------------------------------------------------------------------


def _scalar(function: Function) -> Function:
    compiled: Function = njit(**OPTIONS, forceinline=True)(function)
    return compiled


def _functions(real: Any) -> dict[str, Function]:
    """All functions for one dtype, `np.float32` or `np.float64`.

    Every constant is of that dtype, so that no operation widens to float64.
    """
    dtype = real.__name__
    double = real is np.float64
    bias = 1023 if double else 127
    fraction = 52 if double else 23

    ZERO, HALF, ONE, TWO, INF, NAN = map(real, (0, 0.5, 1, 2, np.inf, np.nan))
    SMALLEST_NORMAL = real(2.0 ** (1 - bias))
    # Adding SHIFT rounds to an integer n, and leaves n + 2 bias in the low bits of the sum.
    SHIFT = real(1.5 * 2.0**fraction + 2 * bias)
    LOG2_E = real(1.4426950408889634)
    # log(2) in two parts; the first has so many zeros at its end that n times it is exact.
    LN2 = real(0.6931471805598903 if double else 0.693145751953125)
    LN2_REST = real(5.497923018708371e-14 if double else 1.4286068203094173e-06)
    # exp is 0 below and infinite above; Φ and its density are 0 farther out than that.
    EXP_LOW, EXP_HIGH = (real(-746), real(710)) if double else (real(-104), real(89))
    NORMAL_FAR = real(39) if double else real(14.5)
    # 1 / √(2 π) in two parts
    DENSITY = real(0.3989422804014327)
    DENSITY_REST = real(-2.49232720227773e-17 if double else -1.133517010526318e-08)
    # where tanh changes over from its polynomial, and where it is 1 in both dtypes
    TANH_NEAR, TANH_FAR = real(0.625), real(20)
    # the constants of the approximation MILLS
    MILLS_CENTRE, MILLS_SHIFT, MILLS_MEAN = real(5), real(0.8125), real(0.4375)
    # log's numbers from here on are normal
    LIFT, LIFT_EXPONENT = real(2.0**54), real(54)
    LOG1P_LARGE = real(2.0**60)

    exp_polynomial = _polynomial(EXP[dtype])
    log_polynomial = _polynomial(LOG[dtype])
    tanh_polynomial = _polynomial(TANH[dtype])
    mills_polynomial = _polynomial(MILLS[dtype])

    @_scalar
    def exp_parts(x: Any, rest: Any) -> Any:
        """`p` and `shifted`: exp(x - rest) = (1 + p) 2ⁿ, |p| < 0.42, for a small `rest`."""
        shifted = x * LOG2_E + SHIFT
        n = shifted - SHIFT
        r = ((x - n * LN2) - rest) - n * LN2_REST
        return r + (r * r) * exp_polynomial(r), shifted

    @_scalar
    def exp(x: Any) -> Any:
        x = EXP_LOW if x < EXP_LOW else x
        x = EXP_HIGH if x > EXP_HIGH else x
        p, shifted = exp_parts(x, ZERO)
        return _times_power(ONE + p, shifted)

    @_scalar
    def log_gap(f: Any, low: Any) -> Any:
        """`f - log(1 + f) - low`, -1/2 ≤ f ≤ 1: f itself the callers add, unrounded.

        With s = f / (2 + f), log(1 + f) = 2 atanh(s) = 2 s + s³ P(s²), and 2 s = f - s f.
        """
        s = f / (TWO + f)
        w = s * s
        h = HALF * f * f
        return h - (s * (h + w * log_polynomial(w)) + low)

    @_scalar
    def log(x: Any) -> Any:
        subnormal = x < SMALLEST_NORMAL
        m, k, _ = _split(x * LIFT if subnormal else x)
        k = k - LIFT_EXPONENT if subnormal else k
        f = m - ONE
        result = k * LN2 + (f - log_gap(f, k * LN2_REST))
        result = result if x < INF else x
        outside = -INF if x == ZERO else NAN
        return outside if x <= ZERO else result

    @_scalar
    def log1p(x: Any) -> Any:
        u = ONE + x
        back = u - x
        lost = (ONE - back) + (x - (u - back))  # 1 + x = u + lost
        m, k, inverse = _split(u)
        lost = lost * inverse if u < LOG1P_LARGE else ZERO
        f = (m - ONE) + lost
        result = k * LN2 + (f - log_gap(f, k * LN2_REST))
        result = _with_sign(result if x < INF else x, x)
        outside = -INF if x == -ONE else NAN
        return outside if x <= -ONE else result

    @_scalar
    def tanh(x: Any) -> Any:
        """For t = |x|: t + t³ P(t²) near 0, where the rest, 1 - 2 / (1 + exp(2 t)), cancels."""
        t = abs(x)
        u = t * t
        near = t + t * (u * tanh_polynomial(u))
        p, shifted = exp_parts(TWO * (TANH_FAR if t > TANH_FAR else t), ZERO)
        far = ONE - TWO / (ONE + _times_power(ONE + p, shifted))
        return _with_sign(near if t < TANH_NEAR else far, x)

    @_scalar
    def ratio(top: Any, top_rest: Any, bottom: Any, bottom_rest: Any) -> Any:
        """(top + top_rest) / (bottom + bottom_rest), rounded about once.

        The rests are the rounding errors of `top` and `bottom`: taken as they are, the three
        roundings would add up to more than 2 ulp in the functions below.
        """
        inverse = ONE / bottom
        quotient = top * inverse
        residual = _fma(-quotient, bottom, top) + (top_rest - quotient * bottom_rest)
        return quotient + residual * inverse

    @_scalar
    def sigmoid(x: Any) -> Any:
        e = exp(-abs(x))
        bottom = ONE + e
        return ratio(ONE if x >= ZERO else e, ZERO, bottom, e - (bottom - ONE))

    @_scalar
    def softplus(x: Any) -> Any:
        """log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|))"""
        e = exp(-abs(x))
        return e + ((x if x > ZERO else ZERO) - log_gap(e, ZERO))

    @_scalar
    def logistic_loss(z: Any, y: Any) -> Any:
        """log(1 + exp(z)) - z y"""
        e = exp(-abs(z))
        return e + (((z if z > ZERO else ZERO) - z * y) - log_gap(e, ZERO))

    @_scalar
    def gauss_parts(x: Any) -> Any:
        """`t = |x|`, at most `NORMAL_FAR`, and exp(-t²/2) as `exp_parts` has it, from all of t²."""
        t = abs(x)
        t = NORMAL_FAR if t > NORMAL_FAR else t
        square = t * t
        p, shifted = exp_parts(-HALF * square, HALF * _fma(t, t, -square))
        return t, p, shifted

    @_scalar
    def normal_pdf(x: Any) -> Any:
        _, p, shifted = gauss_parts(x)
        return _times_power(DENSITY + (p * DENSITY + DENSITY_REST), shifted)

    @_scalar
    def normal_cdf(x: Any) -> Any:
        """Φ(-t) = exp(-t²/2) M / (t + c), where the slowly varying M is a polynomial; then Φ(t)."""
        t, p, shifted = gauss_parts(x)
        b = mills_polynomial(TWO * t / (t + MILLS_CENTRE) - ONE)
        b = b + p * (MILLS_MEAN + b)
        top = MILLS_MEAN + b
        top_rest = b - (top - MILLS_MEAN)
        bottom = t + MILLS_SHIFT
        back = bottom - t
        bottom_rest = (t - (bottom - back)) + (MILLS_SHIFT - back)
        below = _times_power(ratio(top, top_rest, bottom, bottom_rest), shifted)
        return ONE - below if x > ZERO else below

    public = (exp, log, log1p, tanh, sigmoid, softplus, logistic_loss, normal_cdf, normal_pdf)
    return {function.__name__: function for function in public}


_F32, _F64 = _functions(np.float32), _functions(np.float64)

exp_f32, exp_f64 = _F32["exp"], _F64["exp"]
log_f32, log_f64 = _F32["log"], _F64["log"]
log1p_f32, log1p_f64 = _F32["log1p"], _F64["log1p"]
tanh_f32, tanh_f64 = _F32["tanh"], _F64["tanh"]
sigmoid_f32, sigmoid_f64 = _F32["sigmoid"], _F64["sigmoid"]
softplus_f32, softplus_f64 = _F32["softplus"], _F64["softplus"]
logistic_loss_f32, logistic_loss_f64 = _F32["logistic_loss"], _F64["logistic_loss"]
normal_cdf_f32, normal_cdf_f64 = _F32["normal_cdf"], _F64["normal_cdf"]
normal_pdf_f32, normal_pdf_f64 = _F32["normal_pdf"], _F64["normal_pdf"]

FUNCTIONS: Final = {(name, f"float{bits}"): f"{name}_f{bits}" for name in _F64 for bits in (32, 64)}
"""(name, dtype) to the name under which this module has it."""
