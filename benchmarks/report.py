"""The tables as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from importlib.metadata import PackageNotFoundError, version
from statistics import median

from benchmarks.cases import Case
from benchmarks.command import Timed
from benchmarks.peers import Contender
from benchmarks.scale import BATCH, NETWORK, Rows
from benchmarks.sizes import Measured
from trainer.checkpoints.environment import describe_environment
from trainer.network.memory import show_bytes

PACKAGES = ("numpy", "scipy", "llvmlite", "scikit-learn", "torch", "jax", "jaxlib", "mlflow")


def machine(engine: str) -> str:
    """What it ran on."""
    found = describe_environment(engine)
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return (
        f"{found['cpu']}, {os.cpu_count()} cores, {platform.system()}; Python "
        f"{platform.python_version()}, {', '.join(versions)}. Machines are noisy: only ratios "
        "within one run count.\n"
    )


def sizes(contenders: Sequence[Contender], results: Sequence[tuple[Case, list[Measured]]]) -> str:
    """Table 1. The first contender is this project."""
    titles = [contender.title for contender in contenders]
    cases, times, peaks, far = [], [], [], []
    missing: dict[str, str] = {}
    for case, found in results:
        shape = [case.network, case.activation, case.loss, str(case.batch), case.dtype]
        cases.append([case.name, *shape, str(case.steps)])
        ours = found[0].step
        steps = {c: m.step for c, m in zip(contenders, found, strict=True) if not m.missing}
        peers = {contender: step for contender, step in steps.items() if contender.peer}
        best = min(peers, key=lambda contender: peers[contender]) if peers else None
        cells = [f"{steps[c] * 1e6:.3g}" if c in steps else "–" for c in contenders]
        if best is not None:
            cells[contenders.index(best)] = f"**{cells[contenders.index(best)]}**"
        ratio = f"{peers[best] / ours:.3g}" if best is not None else "–"
        floor = next((steps[c] / ours for c in steps if c.module == "products"), None)
        share = "–" if floor is None else f"{floor:.0%}"
        times.append([case.name, *map(_whole, cells), ratio, share])
        peaks.append([case.name, *(show_bytes(m.peak) if m.peak else "–" for m in found)])
        kinds = zip(*(m.difference for m in found), strict=True)
        worst = [
            f"{max(kind):.0e} of {most:.0e}"
            for kind, most in zip(kinds, case.tolerance, strict=True)
        ]
        far.append([case.name, str(case.checked * case.steps), *worst])
        missing |= {c.title: m.missing for c, m in zip(contenders, found, strict=True) if m.missing}
    lines = [
        "## A step of SGD",
        "",
        "Each step computes forward, loss, gradients, the norm of the whole gradient and the plain "
        "SGD update, and records loss and norm; scikit-learn computes no norm and records the mean "
        "loss of an epoch. All start from the same parameters and have the same rows, shuffled "
        "already, in memory. Each runs in a process of its own with its own default number of "
        "threads, in turn in each round. “Products alone” are the matrix products of a step, by "
        "NumPy: no peer, but a floor for large networks.",
        "",
        _table(["case", "network", "hidden", "loss", "batch", "dtype", "steps an epoch"], cases),
        "",
        "µs a step, medians over the rounds; the quickest peer in bold.",
        "",
        _table(["case", *titles, "best peer ÷ ours", "products ÷ ours"], times),
        "",
        "Largest relative difference between anyone's losses and norms and ours, of what is "
        "allowed.",
        "",
        _table(["case", "steps compared", "losses", "norms"], far),
        *(f"\n{title} is missing: {why}" for title, why in missing.items()),
        "",
        "Most memory of each process, libraries included.",
        "",
        _table(["case", *titles], peaks),
    ]
    return "\n".join(lines) + "\n"


def scale(engine: str, rows: Sequence[Rows], widths: Sequence[tuple[Case, Measured]]) -> str:
    """Table 2."""
    by_rows = [
        [f"{r.rows:,}", f"{r.load * 1e9:.0f}", f"{r.train * 1e9:.0f}", show_bytes(r.peak)]
        for r in rows
    ]
    by_width = [
        [
            case.network,
            _whole(f"{result.step / case.batch * 1e6:.3g}"),
            f"{case.flops / result.step / 1e9:.3g}",
            show_bytes(result.peak),
        ]
        for case, result in widths
    ]
    lines = [
        "## What an example costs at scale",
        "",
        f"Engine {engine}. First by rows: two_moons, {NETWORK}, batch {BATCH}, float32, without "
        "validation and tracking. Loading is drawing, hashing and encoding; training includes "
        "shuffling.",
        "",
        _table(["rows", "load, ns an example", "train, ns an example", "peak memory"], by_rows),
        "",
        "Then by width: two hidden layers, relu, squared loss, batch 256, float32.",
        "",
        _table(["network", "µs an example", "GFLOP/s of matrix products", "peak memory"], by_width),
        "",
        "Neither is a straight line at its ends. Up to 10⁴ rows the first call of each library "
        "counts, some milliseconds; at 10⁷ rows the data are far larger than the caches, and an "
        "epoch reads them in random order. Narrow networks spend their time beside the products; "
        "from a width of 256 on the rate is that of the products.",
    ]
    return "\n".join(lines) + "\n"


def command(runs: Sequence[tuple[str, Sequence[Timed]]]) -> str:
    """Table 3."""
    rows = [
        [title, *(f"{median(figures):.2f}" for figures in zip(*map(astuple, timed), strict=True))]
        for title, timed in runs
    ]
    lines = [
        "## The whole command",
        "",
        "Seconds from the shell until the result stands on the screen, and until the command ends, "
        "with all of the run in MLflow. Cold: MLflow's database is not there yet, and nothing is "
        "compiled. Trained before: the run is found, and nothing is computed. The script in torch "
        "calls `mlflow.log_metrics` once a step, and prints its result once it is trained.",
        "",
        _table(["command", "result on the screen", "recorded whole"], rows),
    ]
    return "\n".join(lines) + "\n"


def _whole(number: str) -> str:
    """`1.23e+04` as `12300`."""
    plain = number.strip("*")
    return number.replace(plain, f"{float(plain):.0f}") if "e+" in plain else number


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
