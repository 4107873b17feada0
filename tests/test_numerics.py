"""Arithmetic outside of kernels: sums in one order, functions, draws, orthonormal columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from test_functions import of_root, remez, worst

from trainer.numerics import functions, further
from trainer.numerics.draws import PAIRS, normal
from trainer.numerics.orthogonal import orthonormal
from trainer.numerics.sums import (
    Sum,
    column_means,
    column_sums,
    mean,
    row_means,
    row_sums,
    total,
)

DTYPES = ("float32", "float64")
inf, nan = np.inf, np.nan


def draws(*shape: int, seed: int = 0, dtype: str = "float64") -> Any:
    """Numbers of very different sizes, so that the order of additions shows."""
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 6, shape)).astype(dtype)


# Sums ---------------------------------------------------------------------------------------------


def by_halves(lanes: list[Any]) -> Any:
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [lanes[i] + lanes[i + half] for i in range(half)]
    return lanes[0]


def pairwise(sums: list[Any]) -> Any:
    sums, d = list(sums), 1
    while d < len(sums):
        for i in range(0, len(sums) - d, 2 * d):
            sums[i] = sums[i] + sums[i + d]
        d *= 2
    return sums[0]


def lanes_of(rows: Any) -> Any:
    """The sum of some rows: 32 lanes that run over them, place after place."""
    lanes = [rows.dtype.type(0)] * 32
    for row in rows:
        for j, value in enumerate(row):
            lanes[j % 32] += value
    return by_halves(lanes)


def segments(rows: Any) -> Iterator[Any]:
    return (rows[start : start + 64] for start in range(0, len(rows), 64))


def plain_total(x: Any) -> Any:
    """The rule as it is told, number after number."""
    if x.ndim == 1 or 1 in x.shape:
        x = np.append(x.ravel(), np.zeros(-x.size % 32, x.dtype)).reshape(-1, 32)
    return pairwise([lanes_of(rows) for rows in segments(x)])


def plain_column_sums(x: Any) -> Any:
    if x.shape[1] == 1:
        return [plain_total(x)]
    chains = []
    for rows in segments(x):
        chain = np.zeros(x.shape[1], x.dtype)
        for row in rows:
            chain = chain + row
        chains.append(chain)
    return pairwise(chains)


SHAPES = [(1,), (31,), (33,), (2047,), (2048,), (2049,), (7000,), (1, 5000), (5000, 1), (3, 7),
          (64, 32), (65, 33), (200, 70), (1500, 3), (130, 17), (64 * 20, 40)]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sums_are_in_the_order_that_is_told(shape: tuple[int, ...], dtype: str) -> None:
    x = draws(*shape, dtype=dtype)
    assert total(x) == plain_total(x)
    assert mean(x) == plain_total(x) / x.dtype.type(x.size)
    if len(shape) == 1:
        return
    for found in (column_sums(x), row_sums(x), column_means(x), row_means(x)):
        assert found.dtype == dtype
    np.testing.assert_array_equal(column_sums(x), plain_column_sums(x))
    np.testing.assert_array_equal(column_means(x), column_sums(x) / x.dtype.type(len(x)))
    some = x[:: max(1, len(x) // 20)]
    np.testing.assert_array_equal(row_sums(some), [lanes_of(row[None]) for row in some])
    np.testing.assert_array_equal(row_sums(x)[:: max(1, len(x) // 20)], row_sums(some))


def test_sums_of_nothing_and_of_what_is_not_finite() -> None:
    assert (total(np.zeros(0)), mean(np.zeros(0))) == (0, pytest.approx(nan, nan_ok=True))
    assert column_sums(np.zeros((0, 3))).tolist() == [0, 0, 0]
    assert row_sums(np.zeros((2, 0))).tolist() == [0, 0]
    assert row_sums(np.zeros((0, 2))).tolist() == []
    x = np.ones((100, 3))
    x[70, 1], x[3, 2] = inf, nan
    np.testing.assert_array_equal(column_sums(x), [100, inf, nan])
    assert np.signbit([total(np.array([-0.0])), column_sums(np.full((3, 2), -0.0))[0]]).sum() == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_as_good_as_pairwise_ones(dtype: str) -> None:
    x = np.random.default_rng(5).random((60_000, 4)).astype(dtype)
    exact = x.astype(np.longdouble).sum(axis=0)
    ours, theirs = (np.abs(s - exact).max() for s in (column_sums(x), x.T.copy().sum(axis=1)))
    assert ours <= 2 * theirs + np.spacing(exact.max().astype(dtype))


@settings(max_examples=40, deadline=None)
@given(
    columns=st.sampled_from([None, 1, 2, 5, 40]),
    cuts=st.lists(st.integers(0, 900), max_size=8),
    restored=st.integers(0, 8),
)
def test_pieces_change_no_bit(columns: int | None, cuts: list[int], restored: int) -> None:
    """However rows are cut, and where the sum was kept and taken up again in between."""
    x = draws(3000) if columns is None else draws(3000, columns)
    found = Sum(columns)
    for i, rows in enumerate(np.split(x, np.cumsum(cuts))):
        if i == restored:
            found = Sum.of({name: value.copy() for name, value in found.state().items()})
        found.add(rows)
    whole = total(x) if columns is None else column_sums(x)
    np.testing.assert_array_equal(found.value(), whole)
    assert found.value().shape == (() if columns is None else (columns,))
    np.testing.assert_array_equal(
        Sum(columns).value(), np.zeros(() if columns is None else columns)
    )


# Functions ----------------------------------------------------------------------------------------

EXACT: dict[str, Callable[[mpf], mpf]] = {
    "sin_turns": lambda x: mpmath.sinpi(2 * x),
    "cos_turns": lambda x: mpmath.cospi(2 * x),
    "expm1": mpmath.expm1,
}
SPECIAL = {
    "sin_turns": [(0, 0), (-0.0, -0.0), (0.25, 1), (-0.25, -1), (0.5, 0), (0.75, -1), (-3, -0.0),
                  (2.0**60, 0), (inf, nan), (-inf, nan)],
    "cos_turns": [(0, 1), (-0.0, 1), (0.25, 0), (-0.5, -1), (0.75, 0), (-7, 1), (2.0**60, 1),
                  (inf, nan), (-inf, nan)],
    "expm1": [(0, 0), (-0.0, -0.0), (-inf, -1), (inf, inf), (-1e30, -1), (1e30, inf)],
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_functions_within_two_ulp(name: str, dtype: str) -> None:
    """Without a fused multiply-add, as NumPy computes them."""
    rng = np.random.default_rng(3)
    x = np.concatenate([
        np.linspace(-2, 2, 201), rng.uniform(-3, 3, 200), rng.uniform(-1e-3, 1e-3, 50),
        rng.uniform(-60, 70, 100), 2.0 ** rng.uniform(-120, 0, 50), [1e-40],
    ]).astype(dtype)  # fmt: skip
    x = x[x != 0]
    error, at = worst(EXACT[name], x, getattr(functions, name)(x), dtype)
    assert error <= 2, f"{error} ulp at {at!r}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_special_values(name: str, dtype: str) -> None:
    x, expected = np.array([*SPECIAL[name], (nan, nan)], dtype=dtype).T
    found = getattr(functions, name)(x)
    np.testing.assert_array_equal(found, expected)
    if name != "cos_turns":
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found[known]), np.signbit(expected[known]))


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "tanh", "sigmoid"])
def test_functions_are_those_of_numpy_but_for_the_last_bits(name: str) -> None:
    x = draws(20_000, seed=2) if name != "log" else np.abs(draws(20_000, seed=2))
    with np.errstate(all="ignore"):
        expected = 1 / (1 + np.exp(-x)) if name == "sigmoid" else getattr(np, name)(x)
    found = getattr(functions, name)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-300)
    np.testing.assert_array_equal(
        found.reshape(100, 200), getattr(functions, name)(x.reshape(100, -1))
    )


def test_softmax_of_rows() -> None:
    z = np.array([[0.0, np.log(3)], [1000, 0], [-1e308, 1e308]])
    np.testing.assert_allclose(functions.softmax(z), [[0.25, 0.75], [1, 0], [0, 1]], rtol=1e-15)
    np.testing.assert_allclose(
        functions.log_softmax(z), [np.log([0.25, 0.75]), [0, -1000], [-inf, 0]], rtol=1e-15
    )
    assert functions.softmax(z[:2].astype(np.float32)).dtype == np.float32


def test_powers() -> None:
    found = functions.power(0.5, np.array([0.0, 1, 2, 10, 0.5, 1074, 2000]))
    assert found.tolist() == [1, 0.5, 0.25, 2.0**-10, pytest.approx(0.5**0.5, rel=1e-15), 5e-324, 0]
    x = np.array([3.0, 7.25, 0.1])
    np.testing.assert_allclose(functions.power(0.9, x), 0.9**x, rtol=1e-15)
    assert functions.power(0.1, np.array([3.0]))[0] == 0.1 * (0.1 * 0.1)


ROW = (mpf(0), mpf(1) / 64)
SIN = (
    of_root(lambda t: (mpmath.sinpi(2 * t) / t - 2 * mpmath.pi) / t**2),
    of_root(lambda t: t**3 / mpmath.sinpi(2 * t)),
)
COS = (
    of_root(lambda t: (mpmath.cospi(2 * t) - 1) / t**2),
    of_root(lambda t: t**2 / mpmath.cospi(2 * t)),
)
APPROXIMATIONS = {
    ("SIN", "float32"): (*SIN, *ROW, 2),
    ("SIN", "float64"): (*SIN, *ROW, 5),
    ("COS", "float32"): (*COS, *ROW, 3),
    ("COS", "float64"): (*COS, *ROW, 6),
}  # as in test_functions


def table(name: str, dtype: str) -> tuple[tuple[float, ...], mpf]:
    kind = np.dtype(dtype).type
    with mpmath.workdps(40):
        coefficients, error = remez(*APPROXIMATIONS[name, dtype])
    return tuple(float(str(kind(float(c)))) for c in coefficients), error


@pytest.mark.parametrize(("name", "dtype"), APPROXIMATIONS)
def test_tables_come_from_the_exchange(name: str, dtype: str) -> None:
    coefficients, error = table(name, dtype)
    assert getattr(further, name)[dtype] == coefficients
    assert error < np.finfo(dtype).eps / 8


# Draws --------------------------------------------------------------------------------------------


def generator(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


def test_a_pair_of_normal_draws_by_hand() -> None:
    u, v, w, t = generator().random(4).tolist()
    expected = [
        np.sqrt(-2 * np.log1p(-u)) * np.cos(2 * np.pi * v),
        np.sqrt(-2 * np.log1p(-u)) * np.sin(2 * np.pi * v),
        np.sqrt(-2 * np.log1p(-w)) * np.cos(2 * np.pi * t),
    ]
    np.testing.assert_allclose(normal(generator(), 3), expected, rtol=1e-14)
    np.testing.assert_array_equal(normal(generator(), (3, 1)), normal(generator(), 3)[:, None])
    assert normal(generator(), 0).shape == (0,)


def test_normal_draws_go_on_where_the_last_ended() -> None:
    count = 2 * PAIRS + 6
    rng = generator()
    pieces = [normal(rng, 4), normal(rng, (count - 6, 1)).ravel(), normal(rng, 2)]
    np.testing.assert_array_equal(normal(generator(), count), np.concatenate(pieces))


class Given:
    """A generator with these uniform numbers."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = np.array(numbers)

    def random(self, shape: tuple[int, ...]) -> Any:
        return self.numbers.reshape(shape)


def test_the_farthest_normal_draws() -> None:
    """The least and the largest number that the generator has."""
    most = 1 - 2.0**-53
    found = normal(Given(0, 0.3, most, 0, most, 0.5, 0.5, most), 8)  # type: ignore[arg-type]  # a generator's stand-in
    far = (2 * 53 * np.log(2)) ** 0.5
    expected = [0, 0, far, 0, -far, 0, (2 * np.log(2)) ** 0.5, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-14)
    assert np.isfinite(found).all()


def test_normal_draws_are_normal() -> None:
    z = normal(generator(7), 200_001)
    count = len(z)
    moments = [np.mean(z**k) for k in range(1, 7)]
    # the k-th moment of n draws deviates by √(variance of z^k / n)
    for k, (found, expected, variance) in enumerate(
        zip(moments, [0, 1, 0, 3, 0, 15], [1, 2, 15, 96, 945, 10170], strict=True), 1
    ):
        assert abs(found - expected) < 4 * (variance / count) ** 0.5, k
    below = np.sort(np.vectorize(lambda x: mpmath.ncdf(x))(np.sort(z)[::100])).astype(float)
    ranks = np.arange(0, count, 100) / count
    assert np.abs(below - ranks).max() < 1.63 / count**0.5 + 1 / count  # Kolmogorov, 1 %
    for size, tail in ((2, 0.0455), (3, 0.0027), (4, 6.33e-5)):
        expected = count * tail
        assert abs((np.abs(z) > size).sum() - expected) < 4 * expected**0.5, size
    assert abs(np.mean(z[:-1] * z[1:])) < 4 / count**0.5  # the two of a pair among them


# Orthonormal columns ------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(columns=st.integers(1, 150), more=st.integers(0, 100), seed=st.integers(0, 2**20))
def test_columns_become_orthonormal(columns: int, more: int, seed: int) -> None:
    x = normal(generator(seed), (columns + more, columns))
    q = orthonormal(x)
    np.testing.assert_allclose(q.T @ q, np.eye(columns), atol=1e-12)
    r = q.T @ x
    assert (np.diag(r) > 0).all()
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-11)
    np.testing.assert_allclose(q @ np.triu(r), x, atol=1e-11)


def test_orthonormal_columns_of_hardly_independent_ones() -> None:
    x = normal(generator(2), (200, 130))
    x[:, 100] = x[:, 3] + 1e-9 * x[:, 100]
    x *= 1e6
    q = orthonormal(x)
    np.testing.assert_allclose(q.T @ q, np.eye(130), atol=1e-12)


def test_the_order_of_sums_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The products of panels are exact: with rows in another order they are the same."""
    from trainer.numerics import orthogonal

    x = normal(generator(4), (150, 100))
    expected, usual = orthonormal(x), orthogonal._product

    def shuffled(a: Any, b: Any, bits: int) -> Any:
        order = np.random.default_rng(0).permutation(a.shape[1])
        return usual(a[:, order], b[:, order], bits)

    monkeypatch.setattr(orthogonal, "_product", shuffled)
    np.testing.assert_array_equal(orthonormal(x), expected)


if __name__ == "__main__":
    for row in APPROXIMATIONS:
        coefficients, error = table(*row)
        print(*row, f"error 2^{float(mpmath.log(error, 2)):.1f}", *coefficients, sep="\n    ")
