"""The kernels' elementary functions, measured in ulp against mpmath, and where their tables
come from: `python tests/test_functions.py` prints the tables.
"""

import functools
import re

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from plain import POOL, compiled, kernel_of, run_both

from trainer.engine.compiled.lowering import PASSES, lower
from trainer.engine.compiled.target import host_target
from trainer.graph.loops import ArrayArgument, Element, For, Function, Name, Return, Store, Whole
from trainer.graph.loops import apply as apply_term
from trainer.graph.ops import OPS
from trainer.numerics import elementary
from trainer.numerics.elementary import FUNCTIONS, ArrayArithmetic

DTYPES = ("float32", "float64")
UNARY = sorted(set(FUNCTIONS) - {"logistic_loss"})
EACH = [(name, dtype) for name in sorted(FUNCTIONS) for dtype in DTYPES]
inf, nan = np.inf, np.nan


def loop_of(name, dtype):
    """A function over arrays of n numbers, in the kind of loop that a generated kernel has."""
    arrays = ["a", "b"] if name == "logistic_loss" else ["a"]
    i = Name("i", "int")
    value = apply_term(name, *(Element(array, (i,)) for array in arrays))
    loop = For("i", Whole(0), Name("n", "int"), (Store("out", (i,), value),))
    given = tuple(ArrayArgument(array, ("B",), dtype) for array in (*arrays, "out"))
    return Function("loop", given, ("n",), (loop, Return(Whole(0))))


@functools.cache
def kernel(name, dtype):
    return compiled({"loop": kernel_of(loop_of(name, dtype))}, dtype)


def apply(name, dtype, *arguments):
    arrays = [np.ascontiguousarray(np.atleast_1d(a), dtype=dtype) for a in arguments]
    out = np.empty_like(arrays[0])
    kernel(name, dtype).call("loop", [*arrays, out], (len(out),), POOL, 0)
    return out


@pytest.mark.parametrize(("name", "dtype"), EACH)
def test_python_and_machine_code_agree_in_every_bit(name, dtype):
    """Also in the last places of a vector, and for numbers that are none."""
    ranged = "softplus" if name == "logistic_loss" else name
    x = np.concatenate([arguments(ranged, dtype, 30), np.array([0.0, -0.0, inf, -inf, nan])])
    x = x.astype(dtype)
    with np.errstate(all="ignore"):
        arrays = [x, np.roll(x, 1)] if name == "logistic_loss" else [x]
        run_both(loop_of(name, dtype), dtype, [*arrays, np.empty_like(x)], len(x))


@pytest.mark.parametrize(("name", "dtype"), EACH)
def test_numpy_comes_close(name, dtype):
    """Where `fma` is rounded twice a few more bits are lost, not digits."""
    x = np.linspace(-6, 6, 241).astype(dtype)
    x = np.abs(x) + np.asarray(0.01, dtype) if name.startswith("log") else x
    inputs = (x, (x > 0).astype(dtype)) if name == "logistic_loss" else (x,)
    found = FUNCTIONS[name](ArrayArithmetic(dtype), *inputs)
    assert found.dtype == np.dtype(dtype)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found, apply(name, dtype, *inputs), 16 * eps, 16 * eps)


# The exact values ---------------------------------------------------------------------------------

mpmath.mp.dps = 50


def bounded(x, bound):
    """No float64 result changes beyond the bound, and mpmath is spared numbers like e^(10^300)."""
    return max(-mpf(bound), min(mpf(bound), x))


EXACT = {
    "exp": lambda x: mpmath.exp(bounded(x, 800)),
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "tanh": lambda x: mpmath.tanh(bounded(x, 800)),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-bounded(x, 800))),
    "softplus": lambda x: max(x, 0) + mpmath.log1p(mpmath.exp(-abs(bounded(x, 800)))),
    "normal_cdf": lambda x: mpmath.erfc(-bounded(x, 60) / mpmath.sqrt(2)) / 2,
    "normal_pdf": lambda x: mpmath.exp(-(bounded(x, 60) ** 2) / 2) / mpmath.sqrt(2 * mpmath.pi),
}
RANGES = {  # where results are neither 0, nor infinite, nor the limit at infinity
    "float32": {"exp": (-105, 90), "log": (0.5, 2), "log1p": (-1, 2), "tanh": (-10, 10),
                "sigmoid": (-105, 18), "softplus": (-105, 18), "normal_cdf": (-14.5, 6),
                "normal_pdf": (-14.5, 14.5)},
    "float64": {"exp": (-747, 711), "log": (0.5, 2), "log1p": (-1, 2), "tanh": (-20, 20),
                "sigmoid": (-747, 38), "softplus": (-747, 38), "normal_cdf": (-39, 9),
                "normal_pdf": (-39, 39)},
}  # fmt: skip


def arguments(name, dtype, count):
    """A grid and random numbers where the function varies, around 0, and of every exponent."""
    rng = np.random.default_rng(11)
    info = np.finfo(dtype)
    low, high = RANGES[dtype][name]
    powers = np.exp2(rng.uniform(info.minexp - info.nmant, info.maxexp, count))
    x = np.concatenate([
        np.linspace(low, high, count),
        rng.uniform(low, high, count),
        rng.uniform(-2, 2, count),
        powers,
        -powers,
        np.exp2(rng.uniform(-60, 0, count)) - 1,
    ])  # fmt: skip
    with np.errstate(over="ignore"):
        x = x.astype(dtype)
    x = x[np.isfinite(x)]
    return x[x > {"log": 0, "log1p": -1}.get(name, -inf)]


def steps(exact, got, dtype):
    """|got - exact| in ulp of the exact value; below the normal numbers, in their spacing."""
    info = np.finfo(dtype)
    if exact == 0:
        return 0 if got == 0 else inf
    exponent = max(mpmath.frexp(exact)[1] - 1, int(info.minexp))
    ulp = mpmath.ldexp(1, exponent - info.nmant)
    if np.isinf(got):
        return 0 if abs(exact) >= mpf(float(info.max)) + ulp / 2 else inf
    return float(abs(mpf(float(got)) - exact) / ulp)


def worst(exact, x, got, dtype):
    errors = [steps(exact(mpf(float(a))), b, dtype) for a, b in zip(x, got, strict=True)]
    at = int(np.argmax(errors))
    return errors[at], x[at]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_within_two_ulp(name, dtype):
    x = arguments(name, dtype, 250)
    error, at = worst(EXACT[name], x, apply(name, dtype, x), dtype)
    assert error <= 2, f"{error} ulp at {at!r}"


def steps_of_float32(reference, got):
    """`steps` for many float32 numbers at once, from float64 results."""
    _, exponent = np.frexp(reference)
    ulp = np.ldexp(1.0, np.maximum(exponent - 1, -126) - 23)
    with np.errstate(invalid="ignore"):
        error = np.abs(got - reference) / ulp
    limit = float(np.finfo(np.float32).max)
    overflows = np.abs(reference) >= limit + np.ldexp(1.0, 103)
    return np.where(np.isinf(got), np.where(overflows, 0, inf), error)


@pytest.mark.parametrize("name", UNARY)
def test_float32_within_two_ulp_at_many_points(name):
    x = arguments(name, "float32", 100_000)
    reference = apply(name, "float64", x.astype(np.float64))
    errors = steps_of_float32(reference, apply(name, "float32", x).astype(np.float64))
    assert errors.max() <= 2, f"{errors.max()} ulp at {x[errors.argmax()]!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("y", [0, 1])
def test_logistic_loss_within_four_ulp(y, dtype):
    z = arguments("softplus", dtype, 200) * (1 - 2 * y)
    got = apply("logistic_loss", dtype, z, np.full_like(z, y))
    error, at = worst(lambda z: EXACT["softplus"](-z if y else z), z, got, dtype)
    assert error <= 4, f"{error} ulp at {at!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) & set(OPS)))
def test_means_what_the_op_means(name, dtype):
    x = np.linspace(-6, 6, 241).astype(dtype)
    x = np.abs(x) + np.asarray(0.01, dtype) if name == "log" else x
    inputs = (x, x[::-1] / 12 + np.asarray(0.5, dtype)) if name == "logistic_loss" else (x,)
    expected = OPS[name].forward(*inputs)
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(apply(name, dtype, *inputs), expected, tolerance, tolerance)


# Special values -----------------------------------------------------------------------------------

SPECIAL = {
    "exp": [(0, 1), (-0.0, 1), (-inf, 0), (inf, inf), (-1e30, 0), (1e30, inf)],
    "log": [(1, 0), (0, -inf), (-0.0, -inf), (-1, nan), (-inf, nan), (inf, inf), (-1e-45, nan)],
    "log1p": [(0, 0), (-0.0, -0.0), (-1, -inf), (-1.5, nan), (-inf, nan), (inf, inf),
              (1e-45, 1e-45)],
    "tanh": [(0, 0), (-0.0, -0.0), (-inf, -1), (inf, 1), (-30, -1), (30, 1), (1e-45, 1e-45),
             (-1e30, -1), (1e30, 1)],
    "sigmoid": [(0, 0.5), (-0.0, 0.5), (-inf, 0), (inf, 1), (-1e4, 0), (1e4, 1)],
    "softplus": [(-inf, 0), (inf, inf), (-1e4, 0), (1e4, 1e4), (1e30, 1e30)],
    "normal_cdf": [(0, 0.5), (-0.0, 0.5), (-inf, 0), (inf, 1), (-40, 0), (40, 1), (-1e30, 0),
                   (1e30, 1)],
    "normal_pdf": [(-inf, 0), (inf, 0), (40, 0), (-40, 0), (1e30, 0)],
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_special_values(name, dtype):
    x, expected = np.array([*SPECIAL[name], (nan, nan)], dtype=dtype).T
    got = apply(name, dtype, x)
    np.testing.assert_array_equal(got, expected)
    known = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(expected[known]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values_of_the_logistic_loss(dtype):
    z = [-1e4, -1e4, 1e4, 1e4, -inf, inf, nan, 0]
    y = [0, 1, 0, 1, 1, 0, 0, nan]
    np.testing.assert_array_equal(
        apply("logistic_loss", dtype, z, y), [0, 1e4, 1e4, 0, inf, nan, nan, nan]
    )  # inf · 0 is nan, here as in the op


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus", "normal_cdf", "normal_pdf"])
def test_subnormal_results_are_not_flushed(name, dtype):
    low, _ = RANGES[dtype][name]
    got = apply(name, dtype, np.linspace(low, low * 0.9, 500))
    tiny = np.finfo(dtype).tiny
    assert len(np.unique(got[(got > 0) & (got < tiny)])) > 20


# Properties ---------------------------------------------------------------------------------------

logits = st.floats(-1e4, 1e4, width=32)


@settings(max_examples=100, deadline=None)
@given(x=logits, dtype=st.sampled_from(DTYPES))
def test_logits_give_finite_numbers(x, dtype):
    eps = np.finfo(dtype).eps
    sigmoid = apply("sigmoid", dtype, [x, -x])
    assert ((sigmoid >= 0) & (sigmoid <= 1)).all()
    assert abs(float(sigmoid[0]) + float(sigmoid[1]) - 1) <= 2 * eps
    softplus = apply("softplus", dtype, [x, -x])
    assert np.isfinite(softplus).all()
    assert (softplus >= np.maximum([x, -x], 0)).all()
    assert np.isfinite(apply("logistic_loss", dtype, [x, x], [0, 1])).all()
    assert (apply("exp", dtype, [x, -x]) >= 0).all()
    assert (np.abs(apply("tanh", dtype, [x, -x])) <= 1).all()


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(set(UNARY) - {"normal_pdf"})),
    dtype=st.sampled_from(DTYPES),
    x=st.floats(-800, 800, width=32),
    y=st.floats(-800, 800, width=32),
)
def test_rising_within_ulps(name, dtype, x, y):
    if name in ("log", "log1p"):
        x, y = abs(x), abs(y)
    x = np.asarray(min(x, y), dtype)
    for higher in (np.nextafter(x, np.asarray(inf, dtype)), max(x, y)):
        low, high = apply(name, dtype, [x, higher])
        assert low <= high or low - high <= 4 * np.spacing(np.abs(low))


@settings(max_examples=100, deadline=None)
@given(x=logits, dtype=st.sampled_from(DTYPES))
def test_tanh_is_odd(x, dtype):
    up, down = apply("tanh", dtype, [x, -x])
    assert up == -down


# The code -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dtype"), EACH)
def test_loops_become_vector_code(name, dtype):
    code = lower([loop_of(name, dtype)], dtype, host_target())
    kind = {"float32": "float", "float64": "double"}[dtype]
    assert re.search(rf"fmul <\d+ x {kind}>", code)
    if dtype == "float32":
        assert "double" not in code  # nothing widens


@pytest.mark.parametrize(("name", "dtype"), EACH)
def test_llvm_may_choose_nothing(name, dtype):
    """No flag that lets it fuse, reorder or forget signs and numbers that are none."""
    code = lower([loop_of(name, dtype)], dtype, host_target())
    assert not re.search(r"\b(fast|contract|reassoc|nnan|ninf|nsz|arcp|afn)\b", code)
    assert PASSES == ("sroa", "instruction_combine")


# The tables ---------------------------------------------------------------------------------------


def horner(coefficients, x):
    return functools.reduce(lambda value, c: value * x + c, reversed(coefficients))


def remez(f, weight, low, high, degree):
    """The polynomial P with the least greatest |weight (f - P)| on a dense grid of the interval."""
    count, size = degree + 2, 40 * (degree + 2)
    nodes = [mpmath.cos(mpmath.pi * (size - j - mpf(1) / 2) / size) for j in range(size)]
    grid = [(low + high + (high - low) * node) / 2 for node in nodes]
    values, weights = [f(x) for x in grid], [weight(x) for x in grid]
    points = [round(i * (size - 1) / (count - 1)) for i in range(count)]
    for _ in range(20):
        # through `points` with an error of equal size and changing sign ...
        matrix, right = mpmath.matrix(count), mpmath.matrix(count, 1)
        for i, point in enumerate(points):
            for power in range(degree + 1):
                matrix[i, power] = grid[point] ** power
            matrix[i, degree + 1] = (-1) ** i / weights[point]
            right[i] = values[point]
        *coefficients, _ = mpmath.lu_solve(matrix, right)
        errors = [
            w * (v - horner(coefficients, x)) for x, v, w in zip(grid, values, weights, strict=True)
        ]
        # ... and on with the points where the error of each sign is greatest
        signs = np.array([error > 0 for error in errors])
        runs = np.split(np.arange(size), np.flatnonzero(np.diff(signs)) + 1)
        best = [max(run, key=lambda j: abs(errors[j])) for run in runs]
        while len(best) > count:
            del best[0 if abs(errors[best[0]]) < abs(errors[best[-1]]) else -1]
        if best == points:
            break
        points = best
    return coefficients, max(map(abs, errors))


def mills(y):
    t = 5 * (1 + y) / (1 - y)
    return mpmath.erfc(t / mpmath.sqrt(2)) * mpmath.exp(t * t / 2) / 2 * (t + mpf(13) / 16)


def mills_row(far, degree):
    high = (mpf(far) - 5) / (mpf(far) + 5)
    return lambda y: mills(y) - mpf(7) / 16, lambda y: 1 / mills(y), mpf(-1), high, degree


def of_root(f):
    return lambda w: f(mpmath.sqrt(w))


EXP_ROW = (lambda r: (mpmath.expm1(r) - r) / r**2, lambda r: r**2 / mpmath.exp(r),
           mpf("-0.347"), mpf("0.347"))  # fmt: skip
LOG_ROW = (of_root(lambda s: (2 * mpmath.atanh(s) / s - 2) / s**2), lambda w: w / 2,
           mpf(0), mpf(1) / 9)  # fmt: skip
TANH_ROW = (of_root(lambda x: (mpmath.tanh(x) / x - 1) / x**2),
            of_root(lambda x: x**3 / mpmath.tanh(x)), mpf(0), mpf(25) / 64)  # fmt: skip
APPROXIMATIONS = {  # function, weight, interval, degree
    ("EXP", "float32"): (*EXP_ROW, 4),
    ("EXP", "float64"): (*EXP_ROW, 9),
    ("LOG", "float32"): (*LOG_ROW, 3),
    ("LOG", "float64"): (*LOG_ROW, 9),
    ("TANH", "float32"): (*TANH_ROW, 4),
    ("TANH", "float64"): (*TANH_ROW, 10),
    ("MILLS", "float32"): mills_row(14.5, 10),
    ("MILLS", "float64"): mills_row(39, 22),
}


def table(name, dtype):
    with mpmath.workdps(40):
        coefficients, error = remez(*APPROXIMATIONS[name, dtype])
    kind = np.dtype(dtype).type
    return tuple(float(str(kind(float(c)))) for c in coefficients), error


@pytest.mark.parametrize(("name", "dtype"), APPROXIMATIONS)
def test_tables_come_from_the_exchange(name, dtype):
    coefficients, error = table(name, dtype)
    assert getattr(elementary, name)[dtype] == coefficients
    assert error < np.finfo(dtype).eps / 8


if __name__ == "__main__":
    for row in APPROXIMATIONS:
        coefficients, error = table(*row)
        print(*row, f"error 2^{float(mpmath.log(error, 2)):.1f}", *coefficients, sep="\n    ")
