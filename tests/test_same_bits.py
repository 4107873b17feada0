"""What stands outside of kernels has the same bits on every CPU.

It is computed with all of NumPy's dispatched features and with none, two trainings with it, and
compared with what other machines found; and no room that makes numbers of a run may call what
NumPy or the C library compute by the CPU.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from conftest import ROOT
from numpy._core import _multiarray_umath as umath
from same_bits import CASES

HASHES = {
    "functions": "a02cdb179c92074e",
    "sums": "a078da3370d530ef",
    "draws": "2ff9a42e90698419",
    "initialisers": "82bed9951cdbd1cb",
    "synthetic data": "e1a556798aa0f287",
    "statistics": "35702be1e72a19ba",
    "metrics": "accb093bcc53c55b",
    "schedules": "3ee72780ebf3da2c",
    "hidden_layer": "1491df4805a780c3",
    "spirals": "906057ec92ecca27",
}
DISPATCHED = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]
"""What NumPy has kernels for and this CPU can do."""


@cache
def computed(**environment: str) -> dict[str, str]:
    """The hashes of all cases, in a process of its own."""
    script = Path(__file__).with_name("same_bits.py")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True,
        env=os.environ | environment,
    )  # fmt: skip
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_bits_are_those_of_other_machines() -> None:
    found = computed()
    assert {case: found[case] for case in CASES} == HASHES
    assert set(HASHES) == set(CASES)


@pytest.mark.skipif(not DISPATCHED, reason="NumPy has nothing to turn off here")
def test_the_bits_are_the_same_without_dispatched_features() -> None:
    off = {"NPY_DISABLE_CPU_FEATURES": " ".join(DISPATCHED)}
    if "X86_V3" in DISPATCHED:  # and with other kernels of BLAS, on more threads, and of ours
        off |= {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "2"}
        off |= {"TRAINER_CPU": "haswell"}
    found = computed(**off)
    assert {case: found[case] for case in CASES} == HASHES
    if "X86_V4" in DISPATCHED:  # else NumPy may happen to round alike
        assert found["NumPy's"] != computed()["NumPy's"]


# Which operations there are ---------------------------------------------------------------------

NUMPY: Final = """
    exp exp2 expm1 log log2 log10 log1p logaddexp sin cos tan sinh cosh tanh arcsin arccos arctan
    arctan2 power float_power cbrt hypot sum nansum mean nanmean average std nanstd var nanvar
    median nanmedian quantile nanquantile percentile nanpercentile cumsum nancumsum dot vdot inner
    matmul tensordot einsum linalg fft interp trapezoid cov corrcoef convolve correlate polyfit
    polyval geomspace logspace
"""
MATH: Final = """
    exp exp2 expm1 log log2 log10 log1p pow sin cos tan sinh cosh tanh asin acos atan atan2 erf
    erfc gamma lgamma hypot cbrt dist
"""
DRAWS: Final = """
    standard_normal normal standard_exponential exponential standard_gamma gamma beta
"""
METHODS: Final = frozenset({"sum", "mean", "std", "var", "dot", "cumsum"})
LOOPS: Final = frozenset({"reduce", "reduceat", "at"})


def uses(source: str) -> Iterator[str]:
    """The operations of a source that NumPy or the C library compute by the CPU, or in an order
    that they do not promise.

    Sums that are said to be of whole numbers, with `dtype=np.int64`, are exact; so are powers of
    whole numbers. NumPy refuses the first for others.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(ast.Name("np"), name) if name in NUMPY.split():
                yield f"np.{name}"
            case ast.Attribute(ast.Name("math"), name) if name in MATH.split():
                yield f"math.{name}"
            case ast.Attribute(ast.Attribute(ast.Name("np"), ufunc), name) if name in LOOPS:
                yield f"np.{ufunc}.{name}"
            case ast.Attribute(_, name) if name in DRAWS.split():
                yield name
            case ast.Call(ast.Attribute(owner, name), _, keywords) if name in METHODS:
                if ast.unparse(owner) == "np":
                    continue
                if not any(ast.unparse(keyword) == "dtype=np.int64" for keyword in keywords):
                    yield f".{name}()"
            case ast.BinOp(_, ast.MatMult()):
                yield "@"
            case ast.BinOp(ast.Constant(int()), ast.Pow()):
                pass
            case ast.BinOp(_, ast.Pow()):
                yield "**"
            case ast.Import(names=names) if any(n.name.startswith("scipy") for n in names):
                yield "scipy"
            case ast.ImportFrom(module=str(module)) if module.startswith("scipy"):
                yield "scipy"


FREE: Final = {
    "engine": "kernels have a rule of their own; the reference engine is the oracle",
    "graph/ops": "the forwards of the oracle, and the text of kernels",
    "explain": "shows the reference engine's numbers",
    "export": "programs for NumPy, ONNX and their checks: other arithmetics by their nature",
    "survey": "tells people of a table",
    "drafting": "what it decides is written down, and that is what trains",
    "report": "pictures, and findings in words",
    "service": "counts jobs, in SQL; what it trains is trained by the rooms above",
    "client": "shows numbers",
    "cli": "shows numbers",
}
"""Rooms whose numbers are only shown, or are an oracle's."""
CHAIN = "adds one by one, by its definition"
WHOLE = "of whole numbers"
ALLOWED: Final = {
    ("data/columns/arrow.py", "np.cumsum"): WHOLE,
    ("data/preparing/splitting.py", "np.cumsum"): WHOLE,
    ("metrics/classes.py", "np.cumsum"): CHAIN,
    ("metrics/threshold.py", "np.cumsum"): CHAIN,
    ("network/importance.py", "np.cumsum"): WHOLE,
    ("network/trivial.py", "np.cumsum"): CHAIN,
    ("numerics/elementary.py", "**"): "powers of two, and the root of 1/2, all exactly rounded",
    ("numerics/orthogonal.py", "@"): "sums of whole numbers below 2⁵³, exact in any order",
}


def found_in(package: Path) -> set[tuple[str, str]]:
    """What is used in the rooms of a package that are not free, by file."""
    files = {path.relative_to(package).as_posix(): path for path in package.rglob("*.py")}
    return {
        (name, use)
        for name, path in files.items()
        if not name.startswith(tuple(f"{room}/" for room in FREE))
        for use in uses(path.read_text())
    }


def test_no_number_of_a_run_depends_on_the_cpu() -> None:
    assert found_in(ROOT / "trainer") == set(ALLOWED)


@pytest.mark.parametrize(
    ("line", "use"),
    [
        ("y = np.exp(x)", "np.exp"), ("f = np.tanh", "np.tanh"), ("math.log(2)", "math.log"),
        ("x.sum(axis=0)", ".sum()"), ("x.mean()", ".mean()"), ("np.std(x)", "np.std"),
        ("x @ w", "@"), ("x.dot(w)", ".dot()"), ("np.linalg.qr(x)", "np.linalg"),
        ("np.add.reduce(x)", "np.add.reduce"), ("np.quantile(x, 0.5)", "np.quantile"),
        ("rng.standard_normal(3)", "standard_normal"), ("rng.normal()", "normal"),
        ("x ** 3", "**"), ("0.5 ** n", "**"), ("import scipy.special", "scipy"),
        ("from scipy.linalg import qr", "scipy"), ("np.cumsum(x)", "np.cumsum"),
        ("x.sum(dtype=np.float64)", ".sum()"),
    ],
)  # fmt: skip
def test_what_depends_on_the_cpu_is_caught(line: str, use: str, tmp_path: Path) -> None:
    room = tmp_path / "metrics"
    room.mkdir()
    (room / "new.py").write_text(f"def f(x):\n    {line}\n")
    assert found_in(tmp_path) == {("metrics/new.py", use)}
    room.rename(tmp_path / "cli")
    assert not found_in(tmp_path)


@pytest.mark.parametrize(
    "line",
    ["np.sqrt(x)", "x.sum(dtype=np.int64)", "2**k", "np.count_nonzero(x)", "math.sqrt(2)",
     "total(x)", "x.max()", "np.minimum.accumulate(x)", "statistics.fmean(x)"],
)  # fmt: skip
def test_what_is_exact_is_not(line: str) -> None:
    assert not [*uses(line)]
