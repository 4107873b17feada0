"""Elementary functions that no kernel calls, in the style of `elementary`: for what is computed
around the kernels.

They are within 2 ulp of the exact value for every argument, with a true `fma` and without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trainer.numerics.elementary import (
    Arithmetic,
    Value,
    _exp_parts,
    _polynomial,
    constants_of,
)

# As in `elementary`: `python tests/test_numerics.py` prints the tables.

SIN: Final = {
    # (sin(2 π t) / t - 2 π) / t² as a function of t², |t| ≤ 1/8
    "float32": (
        -41.34167,
        81.593765,
        -75.445625,
    ),
    "float64": (
        -41.34170224039967,
        81.60524927596524,
        -76.70585970790692,
        42.058685394289725,
        -15.093822777015596,
        3.7812246106812593,
    ),
}
COS: Final = {
    # (cos(2 π t) - 1) / t² as a function of t², |t| ≤ 1/8
    "float32": (
        -19.739208,
        64.93932,
        -85.44324,
        59.229256,
    ),
    "float64": (
        -19.739208802178716,
        64.93939402266798,
        -85.45681720652829,
        60.24464132938647,
        -26.426250927384935,
        7.903091594801179,
        -1.6968348259505213,
    ),
}


@dataclass(frozen=True)
class Turn:
    """2 π, rounded, and what the rounded number lacks."""

    size: float
    rest: float


TURN: Final = {
    "float32": Turn(6.2831854820251465, -1.7484556e-07),
    "float64": Turn(6.283185307179586, 2.4492935982947064e-16),
}
EXPM1_LOW, EXPM1_HIGH = -60.0, 60.0  # below it is -1, above it eˣ, in both dtypes


def expm1(ar: Arithmetic, x: Value) -> Value:
    """eˣ - 1, with all of its digits near 0: exp(x) = (1 + p) 2ⁿ gives 2ⁿ p + (2ⁿ - 1)."""
    high = constants_of(ar.dtype).exp_high
    t = ar.where(x < EXPM1_LOW, EXPM1_LOW, x)
    t = ar.where(t > high, high, t)
    p, shifted = _exp_parts(ar, t, None)
    first, last = ar.powers(shifted)
    power = first * last
    near = ar.with_sign(ar.fma(power, p, power - 1.0), x)
    return ar.where(t > EXPM1_HIGH, ar.fma(p, first, first) * last, near)


def sin_turns(ar: Arithmetic, x: Value) -> Value:
    """sin(2 π x); what x has beyond whole turns is exact."""
    r = _part_of_turn(ar, x)
    t = ar.absolute(r)
    t = ar.where(t > 0.25, 0.5 - t, t)
    size = ar.where(t > 0.125, _cos_near(ar, 0.25 - t), _sin_near(ar, t))
    return ar.with_sign(size, r * x)


def cos_turns(ar: Arithmetic, x: Value) -> Value:
    """cos(2 π x), likewise."""
    t = ar.absolute(_part_of_turn(ar, x))
    far = t > 0.25
    t = ar.where(far, 0.5 - t, t)
    size = ar.where(t > 0.125, _sin_near(ar, 0.25 - t), _cos_near(ar, t))
    return ar.where(far, -size, size)


def _part_of_turn(ar: Arithmetic, x: Value) -> Value:
    """|x| without the nearest whole number, from -1/2 to 1/2."""
    whole = float(2 ** constants_of(ar.dtype).fraction)  # from here on numbers are whole
    t = ar.absolute(x)
    return ar.where(t < whole, t - ((t + whole) - whole), 0.0 * t)


def _sin_near(ar: Arithmetic, t: Value) -> Value:
    """sin(2 π t) for 0 ≤ t ≤ 1/8."""
    turn, u = TURN[ar.dtype], t * t
    return ar.fma(t, turn.size, t * ar.fma(u, _polynomial(ar, SIN[ar.dtype], u), turn.rest))


def _cos_near(ar: Arithmetic, t: Value) -> Value:
    """cos(2 π t), likewise."""
    u = t * t
    return ar.fma(u, _polynomial(ar, COS[ar.dtype], u), 1.0)
