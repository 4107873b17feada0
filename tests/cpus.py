"""One hash for each config, whatever computes it: `python tests/cpus.py` trains the shipped configs
whole for several kinds of CPU, without NumPy's dispatched features, with 1 to 3 threads, and
prints the table of docs/numerics.md; it exits with 1 where two hashes differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
CPUS: Final = {"haswell": "avx2", "skylake-avx512": "avx512vl", "znver4": "avx512_vbmi2"}
"""Kinds of CPU by LLVM's name, and which of Linux's flags says that this one runs their code."""


def configs() -> list[Path]:
    """The shipped configs that train."""
    found = [*sorted((ROOT / "configs").glob("*.yaml"))]
    found += sorted((ROOT / "configs/lecture").glob("*.yaml"))
    return [path for path in found if "sgd:" in path.read_text(encoding="utf-8")]


def hash_of(path: Path, threads: int = 1, changes: Mapping[str, Any] | None = None) -> str:
    """Of a config, trained: the hash of its parameters, metrics and losses of all steps."""
    from trainer import Profile, load_spec, train

    if changes and "cosine, warmup" in path.read_text(encoding="utf-8"):
        changes = {**changes, "sgd.schedule": "cosine"}
    spec = load_spec(path, dict(changes or {}))
    run = train(spec, profile=Profile("compiled", threads=threads, runs=None))
    digest = hashlib.sha256(run.parameters_sha256.encode())
    for name, series in sorted(run.history.items()):
        digest.update(name.encode() + series.values.tobytes())
    digest.update(json.dumps(run.metrics, sort_keys=True).encode())
    return digest.hexdigest()


def settings() -> dict[str, dict[str, str]]:
    """The environments in which everything is trained, by what they are called."""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        flags = next((set(x.split(":")[1].split()) for x in lines if x.startswith("flags")), set())
    found = {"this CPU": {}, "this CPU, 2 threads": {"THREADS": "2"}}
    for cpu, needed in CPUS.items():
        if needed in flags:
            found[cpu] = {"TRAINER_CPU": cpu}
    found["haswell, 3 threads"] = {"TRAINER_CPU": "haswell", "THREADS": "3"}
    found["NumPy without dispatched features"] = {"NPY_DISABLE_CPU_FEATURES": dispatched()}
    return found


def dispatched() -> str:
    """The features of this CPU for which NumPy has code of its own."""
    import numpy as np

    return " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", []))


def hashes(environment: Mapping[str, str], arguments: Sequence[str] = ()) -> dict[str, str]:
    """By config, from a process with this environment."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--hashes", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hashes", action="store_true", help="print those of this process alone")
    parser.add_argument("--epochs", type=int, help="train no more of them")
    parser.add_argument("configs", nargs="*", type=Path, help="by default all")
    options = parser.parse_args()
    chosen = options.configs or configs()
    if options.hashes:
        threads = int(os.environ.get("THREADS", "1"))
        changes = {"sgd.epochs": options.epochs} if options.epochs else {}
        print(json.dumps({path.stem: hash_of(path, threads, changes) for path in chosen}))
        return 0
    arguments = [*(["--epochs", str(options.epochs)] if options.epochs else []), *map(str, chosen)]
    table = {name: hashes(each, arguments) for name, each in settings().items()}
    names = list(table)
    print(f"| config | {' | '.join(names)} |")
    print(f"|---{'|---' * len(names)}|")
    for config in table[names[0]]:
        print(f"| {config} | {' | '.join(f'`{table[name][config][:8]}`' for name in names)} |")
    same = all(found == table[names[0]] for found in table.values())
    print("\nAll are the same." if same else "\nThey differ.")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
