"""The compiled engine's matrix products: right, never reading `out`, the same bits anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from hashlib import sha256

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from trainer.engine.compiled import blas

FORMS = ["nn", "tn", "nt"]
SHAPES = [  # m, n, k of an m × n result
    (1, 1, 1), (1, 7, 5), (5, 1, 7), (7, 5, 1), (1, 1, 9), (1, 64, 1), (33, 1, 64), (32, 64, 30),
    (3, 2, 65), (31, 17, 13), (64, 10, 128), (65, 129, 67), (97, 101, 803), (130, 300, 200),
]  # fmt: skip
LARGE = [(65, 2051, 33), (520, 10, 2048), (1030, 10, 515), (511, 600, 700), (1030, 1100, 20)]
WIDE = {"nn": (512, 2048, 1024), "tn": (1024, 2048, 512), "nt": (512, 1024, 2048)}


def operands(form, m, n, k, dtype, seed=0):
    """A, B with A @ B of m × n, and both as `form` wants them: slices of the rows of more."""
    rng = np.random.default_rng(seed)
    A, B = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    a, b = A.T if form == "tn" else A, B.T if form == "nt" else B

    def sliced(x):
        more = np.full((len(x) + 5, x.shape[1]), np.nan, dtype)
        more[2:-3] = x
        return more[2:-3]

    return A.astype(dtype), B.astype(dtype), sliced(a), sliced(b)


def check(function, form, m, n, k, dtype):
    A, B, a, b = operands(form, m, n, k, dtype)
    more = np.full((m + 2, n), np.nan, dtype)
    function(a, b, more[1:-1])
    A, B = A.astype(np.float64), B.astype(np.float64)
    bound = (k + 2) * np.finfo(dtype).eps * (np.abs(A) @ np.abs(B))
    assert (np.abs(more[1:-1] - A @ B) <= bound).all()
    assert np.isnan(more[[0, -1]]).all()


@pytest.fixture(autouse=True)
def _one_blas_thread():
    with threadpool_limits(1, "blas"):
        yield


def in_tiles(form: str, a, b, out) -> None:
    """The whole product, tile by tile from the last to the first."""
    m, n = out.shape
    rows, columns = blas.tile_shape(form, m, n, a.shape[0 if form == "tn" else 1])
    for tile in reversed(range(-(-m // rows) * -(-n // columns))):
        getattr(blas, f"gemm_{form}_tile")(tile, rows, columns, a, b, out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_products(form, dtype) -> None:
    for shape in SHAPES:
        check(getattr(blas, f"gemm_{form}"), form, *shape, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_tiled_products(form, dtype) -> None:
    for shape in [*SHAPES, *LARGE]:
        check(partial(in_tiles, form), form, *shape, dtype)


def test_other_arrays_are_refused() -> None:
    x = np.ones((4, 4))
    for a, out in [(x.T, x.copy()), (x, x.astype(np.float32)), (x.astype(int), x.astype(int))]:
        with pytest.raises(numba.errors.TypingError):
            blas.gemm_nn(a, a, out)


def test_the_choice_depends_on_sizes_alone() -> None:
    assert blas.use_loops(1, 2, 3)
    assert blas.use_loops(32, 64, 1)
    assert not blas.use_loops(32, 64, 30)
    assert blas.use_tiles(512, 2048, 1024)
    assert not blas.use_tiles(32, 64, 30)


# ------------------------------------------------------------------------- bits and threads

DIGEST = """
import sys
sys.path.insert(0, {tests!r})
from test_blas import digests, threadpool_limits
with threadpool_limits(1, "blas"):
    print(*digests())
"""


def digests() -> list[str]:
    """What `wide` and medium products give, as hashes."""
    found = []
    for form in FORMS:
        for shape in [WIDE[form], (128, 256, 600), (515, 10, 2048)]:
            _, _, a, b = operands(form, *shape, np.float32)
            out = np.full(shape[:2], np.nan, np.float32)
            in_tiles(form, a, b, out)
            found.append(sha256(out.tobytes()).hexdigest()[:16])
    return found


def script(source: str, **environment: str) -> list[str]:
    environment = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", source], env=environment, check=True,
                          capture_output=True, text=True).stdout.split()  # fmt: skip


def test_the_same_bits_whatever_blas_was_told() -> None:
    found = {tuple(digests())}
    source = DIGEST.format(tests=os.path.dirname(__file__))
    for threads in "14":
        found.add(tuple(script(source, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)))
    assert len(found) == 1


# ------------------------------------------------------------------------------- the cache

MODULE = """
from numba import njit
from trainer.engine.compiled.blas import gemm_nn, gemm_nn_tile

@njit(cache=True)
def both(a, b, once, tiled):
    gemm_nn(a, b, once)
    gemm_nn_tile(0, 70, 70, a, b, tiled)
"""

USE = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
import kernel
a = np.ones((70, 70), np.float32)
once, tiled = np.full_like(a, np.nan), np.full_like(a, np.nan)
kernel.both(a, a, once, tiled)
assert (once == 70).all() and (tiled == 70).all()
print(sum(kernel.both.stats.cache_hits.values()), sum(kernel.both.stats.cache_misses.values()))
"""


def test_a_cached_kernel_works_in_a_new_process(tmp_path) -> None:
    (tmp_path / "kernel.py").write_text(MODULE)
    source = USE.format(folder=str(tmp_path))
    assert script(source) == ["0", "1"]
    assert script(source) == ["1", "0"]
