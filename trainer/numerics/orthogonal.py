"""Orthonormal columns of a matrix, by the process of Gram and Schmidt, in an order of our own.

LAPACK's kernels differ between CPUs. Here columns are taken in panels of 64. Twice, what earlier
panels hold of a panel is taken off, by two products whose sums are exact, so that their order
decides nothing; then its columns are made orthonormal among themselves, one after the other. Twice
is enough for rounding to leave nothing (L. Giraud, J. Langou, M. Rozložník and J. van den Eshof,
"Rounding error analysis of the classical Gram-Schmidt orthogonalization process", 2005).
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

import numpy as np

from trainer.numerics.sums import row_sums, total

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

PANEL: Final = 64  # columns
SLICES: Final = 3
EXACT: Final = 52  # bits of a whole number that float64 surely holds, with its sign


def orthonormal(x: Array) -> Array:
    """Q of x = Q R, with R upper triangular and its diagonal positive, in float64.

    `x` has shape (rows, columns) and independent columns, so no more of them than rows.
    """
    vectors = np.array(x.T, np.float64, order="C")
    bits = (EXACT - len(x).bit_length()) // 2
    kept = np.empty((SLICES, *vectors.shape))  # of the vectors that are done
    for start in range(0, len(vectors), PANEL):
        panel, done = vectors[start : start + PANEL], kept[:, :start]
        for _ in range(2):
            if start:
                shares = _product(panel, done.transpose(0, 2, 1), bits)
                panel -= _product(shares, done, bits)
            _gram_schmidt(panel)
        kept[:, start : start + PANEL] = _sliced(panel, bits)
    return vectors.T


def _gram_schmidt(vectors: Array) -> None:
    """Makes rows orthonormal, in place: each in turn gets the length 1, and its share in each of
    the rest is taken off that.
    """
    for i, vector in enumerate(vectors):
        vector /= np.sqrt(total(vector * vector))
        rest = vectors[i + 1 :]
        rest -= row_sums(rest * vector)[:, None] * vector


def _product(a: Array, b: Array, bits: int) -> Array:
    """`a b`, where b has numbers up to 1 and is given by its slices.

    The products of slices i and j of both, from 0, are exact, and added where i + j < 3: from those
    of the greatest i + j on, and of these from the least i.
    """
    scale = math.ldexp(1.0, math.frexp(np.abs(a).max())[1])  # a power of two above all of a
    slices, found = _sliced(a / scale, bits), np.zeros((len(a), b.shape[2]))
    for both in reversed(range(SLICES)):
        for i in range(both + 1):
            found += (slices[i] @ b[both - i]) * math.ldexp(scale, -bits * (both + 2))
    return found


def _sliced(x: Array, bits: int) -> Array:
    """Numbers up to 1 as sums of slices: whole numbers times 2⁻ᵏ, 2⁻²ᵏ, 2⁻³ᵏ for k `bits`, each
    rounded to the nearest, and to the even of two. So sums of products of slices are exact.
    """
    slices, rest = np.empty((SLICES, *x.shape)), x
    for some in slices:
        rest = rest * float(2**bits)
        np.rint(rest, out=some)
        rest = rest - some
    return slices
