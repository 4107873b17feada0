"""The machine: its CPU and what the engine makes of it, cores, memory, terminal, settings."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from trainer.doctor.finding import Finding
from trainer.errors import TrainerError
from trainer.machine import available_cores, machine_memory, show_bytes

GROUP_CORES: Final = Path("/sys/fs/cgroup/cpu.max")
MEMORY: Final = Path("/proc/meminfo")
LEAST_MEMORY: Final = 10**9  # bytes: about what a training with MLflow beside it takes
FEATURES: Final = ("fma", "avx2", "avx512f", "neon", "sve")
SHOWN: Final = (
    "TRAINER_CPU", "TRAINER_CACHE", "OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
)  # fmt: skip
"""Variables whose values are told; all others may be secrets, and only their names are."""
NAMED: Final = ("TRAINER_", "MLFLOW_", "DATABRICKS_")


def processor() -> Finding:
    """The CPU, and for what the engine compiles."""
    from llvmlite import binding as llvm

    from trainer.checkpoints.environment import cpu
    from trainer.engine.compiled.target import VARIABLE, host_target

    known = llvm.get_host_cpu_features()
    facts = {
        "model": cpu(), "llvm": llvm.get_host_cpu_name(),
        "features": [name for name in FEATURES if known.get(name)],
        "chosen": os.environ.get(VARIABLE),
    }  # fmt: skip
    try:
        target = host_target()
    except TrainerError as error:
        todo = f"unset {VARIABLE}" if facts["chosen"] else "train CONFIG --engine reference"
        return Finding("processor", "bad", f"{facts['model']}: {error.message}", todo, facts)
    facts |= {"target": target.cpu, "vector_bits": 8 * target.vector_bytes}
    says = f"{facts['model']}: compiled for {target.cpu}, vectors of {facts['vector_bits']} bits"
    if facts["chosen"] and target.cpu != facts["llvm"]:
        todo = f"{VARIABLE} says so; unset it to compile for {facts['llvm']}"
        return Finding("processor", "note", says, todo, facts)
    return Finding("processor", "ok", says, facts=facts)


def cores() -> Finding:
    """The cores that there are, and the threads that train."""
    there, usable, quota = os.cpu_count() or 1, available_cores(), _quota()
    facts = {"cores": there, "usable": usable, "quota": quota, "threads": usable}
    says = f"{usable} of {there} may be used: `train` uses {usable} thread{'s' * (usable > 1)}"
    if quota is not None and quota < usable:
        fitting = max(1, int(quota))
        todo = f"train CONFIG --threads {fitting}" if fitting < usable else None
        says += f", but a limit leaves the time of {quota:g} cores"
        return Finding("cores", "warning", says, todo, facts)
    return Finding("cores", "ok", says, facts=facts)


def _quota() -> float | None:
    """The cores whose time this control group may use, if there is a limit."""
    with suppress(OSError, ValueError):
        time, period = GROUP_CORES.read_text().split()
        return None if time == "max" else int(time) / int(period)
    return None


def memory() -> Finding:
    """The memory that this process may use, and how much of it is free."""
    whole, free = machine_memory(), _free_memory()
    facts = {"bytes": whole, "free": free}
    says = show_bytes(whole) + (f", {show_bytes(free)} of it free" if free is not None else "")
    if min(whole, free if free is not None else whole) < LEAST_MEMORY:
        return Finding("memory", "warning", says, "end other programs, or train elsewhere", facts)
    return Finding("memory", "ok", says, facts=facts)


def _free_memory() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in MEMORY.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return min(1024 * int(line.split()[1]), machine_memory())
    return None


def cache() -> Finding:
    """Where compiled code is kept."""
    from trainer.engine.compiled.objects import cache_folder

    try:
        folder = cache_folder()
        sizes = [file.stat().st_size for file in folder.iterdir()]
    except (OSError, RuntimeError) as error:
        todo = "name a folder of yours in TRAINER_CACHE; until then each run compiles anew"
        return Finding("kernel cache", "warning", f"none: {error}", todo)
    facts = {"folder": str(folder), "files": len(sizes), "bytes": sum(sizes)}
    says = f"{folder}: {len(sizes)} files, {show_bytes(sum(sizes))}"
    return Finding("kernel cache", "ok", says, facts=facts)


def terminal() -> Finding:
    """Where is printed to."""
    size = shutil.get_terminal_size()
    facts = {
        "terminal": sys.stdout.isatty(), "columns": size.columns,
        "encoding": sys.stdout.encoding, "term": os.environ.get("TERM"),
    }  # fmt: skip
    wide = str(facts["encoding"]).lower().startswith("utf")
    where = f"{size.columns} columns" if facts["terminal"] else "none, plain lines"
    says = f"{where}, {facts['encoding']}"
    if not wide:
        todo = "PYTHONIOENCODING=utf-8 shows charts as they are meant, where the terminal can"
        return Finding("terminal", "note", says, todo, facts)
    return Finding("terminal", "ok", says, facts=facts)


def settings() -> Finding:
    """The variables that change what is done: harmless ones with their values."""
    values = {name: os.environ[name] for name in SHOWN if os.environ.get(name)}
    names = sorted(name for name in os.environ if name.startswith(NAMED) and name not in SHOWN)
    shown = [*(f"{name}={value}" for name, value in values.items()), *(f"{n}=…" for n in names)]
    facts = {"values": values, "set": names}
    return Finding("settings", "note", ", ".join(shown) or "no variable is set", facts=facts)
