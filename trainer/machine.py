"""What this machine has: how much memory and how many cores a process may use."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
MAPPED: Final = Path("/proc/self/statm")


def machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, its control group's limit, or what
    `ulimit -v` leaves beside what is mapped already.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    have = page * os.sysconf("SC_PHYS_PAGES")
    return int(min(have, _of_group(), _of_process(page)))


def available_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _of_group() -> float:
    try:
        return int(CGROUP_LIMIT.read_text())
    except (OSError, ValueError):  # no control groups here, or no limit ("max")
        return float("inf")


def _of_process(page: int) -> float:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return float("inf")
    try:
        mapped = int(MAPPED.read_text().split()[0]) * page
    except (OSError, ValueError, IndexError):  # no such file here
        mapped = 0
    return max(0, limit - mapped)


def show_bytes(count: float) -> str:
    """`1.4 MB`: bytes as people read them."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        del units[0]
    return f"{count:.0f} B" if units[0] == "B" else f"{count:.1f} {units[0]}"
