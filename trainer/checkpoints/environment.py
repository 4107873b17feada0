"""What a run ran on: packages, BLAS, CPU, and the commit of the spec's repository."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from threadpoolctl import threadpool_info

from trainer.extras import package_version
from trainer.numerics import EDITION

PACKAGES: Final = (
    "numpy", "llvmlite", "scipy", "scikit-learn", "pyarrow", "pydantic", "PyYAML", "safetensors",
    "mlflow",
)  # fmt: skip
CHOICES: Final = ("OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES")
"""The variables by which a user has NumPy compute by other kernels than those of the CPU."""


def describe_environment(engine: str) -> dict[str, Any]:
    """The facts that can change the last bit of a result, and what else was installed, as JSON
    values.
    """
    versions = {name: package_version(name) for name in PACKAGES}
    keep = ("user_api", "internal_api", "version", "threading_layer", "architecture", "num_threads")
    return {
        "trainer": package_version(),
        "engine": engine,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "blas": [{key: pool.get(key) for key in keep} for pool in threadpool_info()],
        "packages": {name: found for name, found in versions.items() if found != "0"},
        "numeric": numeric_environment(engine),
    }


def known_environment(engine: str) -> dict[str, str]:
    """The part of `numeric_environment` that is known before anything is loaded; it decides the
    rest. The order in which NumPy shuffles may change with its version.
    """
    known = {
        "trainer": package_version(), "arithmetic": str(EDITION), "numpy": package_version("numpy"),
    }  # fmt: skip
    if engine == "compiled":
        return known
    chosen = " ".join(f"{name}={os.environ[name]}" for name in CHOICES if os.environ.get(name))
    return known | {"cpu": cpu(), "chosen": chosen}


def numeric_environment(engine: str) -> dict[str, str]:
    """What can change the last bit of what an engine computes, by name: versions, and for the
    reference engine the CPU and the kernels that BLAS and NumPy chose for it. The compiled engine
    gives the same bits on every CPU.
    """
    if engine == "compiled":
        return known_environment(engine)
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return known_environment(engine) | {
        "blas": ", ".join(_blas_kernels()),
        "numpy_simd": " ".join([*simd.get("baseline", []), *simd.get("found", [])]),
    }


def _blas_kernels() -> list[str]:
    """The kernels of NumPy's BLAS, or of every one that is loaded where it has none of its own."""
    blas = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
    own = [pool for pool in blas if "numpy" in pool.get("filepath", "")]
    return sorted(
        {f"{b['internal_api']} {b['version']} {b.get('architecture')}" for b in own or blas}
    )


@cache
def cpu() -> str:
    """The name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:  # not Linux
        pass
    return platform.processor() or platform.machine()


def origin(file: str | None) -> dict[str, Any]:
    """Who starts a run from a spec's file, and the commit, branch and dirty flag of the file's
    repository, or of the current folder's where there is no file.

    Dirty: a tracked file was changed, or the spec is not in the commit. `git` is empty where there
    is no repository or no git.
    """
    return {"user": _user(), "version": package_version(), "git": dict(_commit(file))}


def _commit(file: str | None) -> Mapping[str, str]:
    folder, name = (Path(file).parent, Path(file).name) if file else (Path.cwd(), ".")
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    branch = _git(folder, "rev-parse", "--abbrev-ref", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    tracked = _git(folder, "ls-files", "--", name)
    dirty = str(bool(changed) or not tracked).lower()
    return {"commit": commit, "branch": branch or "", "dirty": dirty}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(folder), *arguments],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no name for this user number
        return "unknown"
