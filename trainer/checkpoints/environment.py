"""What a run ran on: packages, BLAS, CPU, and the commit of the spec's repository."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_info

PACKAGES: Final = (
    "numpy", "numba", "llvmlite", "scipy", "scikit-learn", "pyarrow", "pydantic", "PyYAML",
    "safetensors", "mlflow",
)  # fmt: skip


def package_version() -> str:
    """The version of this package, or `0` where it runs without being installed."""
    try:
        return version("trainer")
    except PackageNotFoundError:
        return "0"


def describe_environment(engine: str) -> dict[str, Any]:
    """The facts that can change the last bit of a result, as JSON values."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    keep = ("user_api", "internal_api", "version", "threading_layer", "architecture", "num_threads")
    return {
        "trainer": package_version(),
        "engine": engine,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "blas": [{key: pool.get(key) for key in keep} for pool in threadpool_info()],
        "packages": packages,
        "numeric": numeric_environment(),
    }


def numeric_environment() -> dict[str, str]:
    """What can change the last bit of a result, by name: versions of what computes, the CPU, and
    the kernels that BLAS, NumPy and LLVM chose for it.
    """
    import scipy.linalg.cython_blas  # noqa: F401 (else its BLAS counts only where it is in use)

    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    blas = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
    kernels = sorted({f"{b['internal_api']} {b['version']} {b.get('architecture')}" for b in blas})
    named = ("numpy", "numba", "llvmlite", "scipy")
    return {
        "trainer": package_version(),
        **{name: version(name) for name in named},
        "cpu": _cpu(),
        "blas": ", ".join(kernels),
        "numpy_simd": " ".join([*simd.get("baseline", []), *simd.get("found", [])]),
        "numba_cpu": " ".join(
            os.environ.get(name, "") for name in ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
        ).strip()
        or "host",
    }


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def git_tags(file: str | None) -> Mapping[str, str]:
    """MLflow's tags for the commit, branch and dirty flag of the repository of a spec's file,
    or of the current folder where there is no file.

    Dirty: a tracked file was changed, or the spec is not in the commit. Empty where there is no
    repository or no git.
    """
    folder, name = (Path(file).parent, Path(file).name) if file else (Path.cwd(), ".")
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    tracked = _git(folder, "ls-files", "--", name)
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": branch or "",
        "mlflow.source.git.dirty": str(bool(changed) or not tracked).lower(),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
