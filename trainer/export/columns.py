"""The part of a program that makes x of raw columns, and predictions of outputs.

Models whose columns are all numbers without gaps need little of it; what else a model has adds its
constants and functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trainer.data import Column, Preprocessing, Rule, Scaling, is_plain
from trainer.export.snippets import (
    CATEGORY,
    CELLS,
    CHECK,
    CHECK_PLAIN,
    DATE,
    KNOWN,
    LABEL,
    ONE_HOT,
    PARTS,
    PLAIN_CELLS,
    RANK,
    TRUTH,
)
from trainer.graph.ops import Array


@dataclass(frozen=True)
class Parts:
    """What a program has of a preprocessing: modules to import, lines of constants, functions
    that read cells and that are needed later, the expressions of x and of the predicted numbers,
    and what is checked.
    """

    imports: tuple[str, ...]
    constants: str
    readers: str
    functions: str
    encoded: str
    decoded: str
    check: str


def write_parts(how: Preprocessing, missing: tuple[str, ...]) -> Parts:
    """The parts for a preprocessing; `missing` are the texts that stand for nothing."""
    plain = all(map(is_plain, how.columns, how.rules)) and all(
        column.kind == "numeric" and rule.fill is None
        for column, rule in zip(how.columns, how.rules, strict=True)
    )
    x = "raw" if plain else "expand(raw, p)"
    functions = [] if plain else [*_helpers(how), _expand(how)]
    if how.scaling.curves:
        x = f"bend({x}, p)"
        functions += _bend(how.scaling)
    if how.scaling.shift is not None:
        x = f'(({x} - p["x/mean"]) / p["x/scale"])'
    functions += _decode(how.target_scaling)
    return Parts(
        imports=() if plain else _imports(how),
        constants="" if plain else f"{_constants(how, missing)}\n",
        readers=PLAIN_CELLS if plain else "\n\n".join([CELLS, *_readers(how)]),
        functions="\n\n".join(["", *functions]),
        encoded=f"{x}.astype(DTYPE)",
        decoded="decode(out, p)" if how.target_scaling.changes else "out",
        check=CHECK_PLAIN if plain else CHECK,
    )


def scaling_arrays(how: Preprocessing) -> dict[str, Array]:
    """The numbers of a preprocessing by name: `x/mean` is what is subtracted, `x/scale` what is
    divided by, `x/fill` what stands for missing values, `x/quantiles/<column>` a curve; `y/…` are
    those of the targets.
    """
    found: dict[str, Array] = {}
    fills = [np.nan if rule.fill is None else rule.fill for rule in how.rules]
    if not np.isnan(fills).all():
        found["x/fill"] = np.array(fills)
    for place, scaling in (("x", how.scaling), ("y", how.target_scaling)):
        if scaling.shift is not None and scaling.scale is not None:
            found |= {f"{place}/mean": scaling.shift, f"{place}/scale": scaling.scale}
        for column, quantiles in scaling.curves.items():
            if quantiles is not None:
                found[f"{place}/quantiles/{column}"] = quantiles
    return found


# Reading cells ----------------------------------------------------------------------------------


def _kinds(how: Preprocessing) -> set[str]:
    return {"category" if column.categories else column.kind for column in how.columns}


def _imports(how: Preprocessing) -> tuple[str, ...]:
    kinds = _kinds(how)
    found = ["from datetime import datetime, timezone"] * ("date" in kinds)
    return (*found, *["import re"] * bool(kinds & {"category", "boolean"}))


def _readers(how: Preprocessing) -> Iterator[str]:
    """The functions that read cells, and the table of what reads each column."""
    kinds = _kinds(how)
    if kinds & {"category", "boolean"}:
        yield LABEL
    if "category" in kinds:
        yield CATEGORY
    if "boolean" in kinds:
        yield TRUTH
    if "date" in kinds:
        yield DATE
    lines = []
    for column in how.columns:
        if column.categories:
            what = "one of the order" if column.kind == "ordinal" else "a category"
            read = f"category(CATEGORIES[{column.name!r}])"
        elif column.kind == "boolean":
            what, read = "true or false", "truth"
        elif column.kind == "date":
            what, read = "a date as 2024-12-31", "date"
        else:
            continue
        lines.append(f"    {column.name!r}: ({what!r}, {read}),\n")
    yield f"READERS = {{\n{''.join(lines)}}}\n" if lines else "READERS = {}\n"


def _constants(how: Preprocessing, missing: tuple[str, ...]) -> str:
    names = how.encoded_names
    lines = [f"MISSING = {sorted({'', *missing})!r}"]
    lines.append(f"PLACES = {listed([how.place_of(i) for i in range(len(names))])}")
    kinds = _kinds(how)
    if "category" in kinds:
        pairs = "".join(
            f"    {column.name!r}: {listed(column.categories)},\n"
            for column in how.columns if column.categories
        )  # fmt: skip
        lines.append(f"CATEGORIES = {{\n{pairs}}}")
    if kinds & {"category", "boolean"}:
        lines.append('TRUTH = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}')
        lines.append(
            r'NUMBER = re.compile(r"-?(0|[1-9]\d{0,14}|(?=\.\d))(\.\d*)?([eE][-+]?\d\d?)?")'
        )
    if "date" in kinds:
        lines.append("EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)")
    return "\n".join(lines)


# From cells to x --------------------------------------------------------------------------------


def _helpers(how: Preprocessing) -> Iterator[str]:
    """The functions that `expand` calls."""
    pairs = list(zip(how.columns, how.rules, strict=True))
    if any(column.kind == "date" for column, _ in pairs):
        yield PARTS
    if any(column.kind == "categorical" and rule.dimensions is None for column, rule in pairs):
        yield ONE_HOT
    if any(_is_checked(column, rule) for column, rule in pairs):
        yield KNOWN


def _is_checked(column: Column, rule: Rule) -> bool:
    return bool(column.categories) and (
        rule.strict or (column.kind == "ordinal" and rule.dimensions is None)
    )


def _expand(how: Preprocessing) -> str:
    lines = [line for i in range(len(how.columns)) for line in _columns(how, i)]
    merged: list[str] = []
    for line in lines:  # neighbours that stay as they are, at once
        if merged and line.startswith("slice ") and merged[-1].startswith("slice "):
            merged[-1] = f"{merged[-1].rpartition(' ')[0]} {line.rpartition(' ')[2]}"
        else:
            merged.append(line)
    texts = [
        "raw[:, {1}:{2}]".format(*line.split()) if line.startswith("slice ") else line
        for line in merged
    ]
    body = "".join(f"        {text},\n" for text in texts)
    gaps = [rule for rule in how.rules if rule.fill is not None]
    uses_gaps = any(rule.indicator for rule in how.rules) or any("gap[" in text for text in texts)
    which = "gap" if uses_gaps else "np.isnan(raw)"
    filled = f'    raw = np.where({which}, p["x/fill"], raw)\n' if gaps else ""
    gap = "    gap = np.isnan(raw)\n" if uses_gaps else ""
    return (
        f'def expand(raw, p):\n    """The {how.layout.width} columns of x, before they are '
        f'scaled."""\n{gap}{filled}    return np.column_stack([\n{body}    ])\n'
    )


def _columns(how: Preprocessing, place: int) -> Iterator[str]:
    """The expressions of what one raw column becomes."""
    column, rule, raw = how.columns[place], how.rules[place], f"raw[:, {place}]"
    if _is_checked(column, rule):
        raw = f"known({raw}, {len(column.categories)}, gap[:, {place}])"
    if column.kind == "date":
        yield from (f"part({raw}, {name!r})" for name in rule.parts)
    elif column.kind == "categorical" and rule.dimensions is None:
        yield f"one_hot({raw}, {len(column.categories)})"
    elif raw.startswith("known"):
        yield raw
    else:
        yield f"slice {place} {place + 1}"
    if rule.indicator:
        yield f"gap[:, {place}]"


def _bend(scaling: Scaling) -> Iterator[str]:
    logs = [column for column, quantiles in scaling.curves.items() if quantiles is None]
    ranked = [column for column, quantiles in scaling.curves.items() if quantiles is not None]
    lines = [
        "def bend(x, p):",
        '    """The columns whose scale is a curve, bent."""',
        "    x = np.array(x)",
    ]
    if logs:
        lines += [f"    for j in {logs!r}:", "        x[:, j] = np.log1p(x[:, j])"]
    if ranked:
        yield RANK
        lines += [
            f"    for j in {ranked!r}:",
            '        x[:, j] = rank(x[:, j], p[f"x/quantiles/{j}"])',
        ]
    yield "\n".join([*lines, "    return x\n"])


def _decode(scaling: Scaling) -> Iterator[str]:
    if not scaling.changes:
        return
    lines = [
        "def decode(out, p):",
        '    """Outputs in the units of the targets."""',
        "    y = out.astype(np.float64)",
    ]
    if scaling.shift is not None:
        lines.append('    y = y * p["y/scale"] + p["y/mean"]')
    for column, quantiles in scaling.curves.items():
        own = f"y[:, {column}]"
        if quantiles is None:
            lines.append(f"    {own} = np.expm1({own})")
        else:
            lines.append(f'    quantiles = p["y/quantiles/{column}"]')
            lines.append(f"    ranks = np.linspace(0, 1, {len(quantiles)})")
            lines.append(f"    {own} = np.interp({own}, ranks, quantiles)")
    yield "\n".join([*lines, "    return y\n"])


def listed(values: tuple[object, ...] | list[int]) -> str:
    """A list as Python code, an item a line where it is long."""
    short = repr(list(values))
    if len(short) <= 80:
        return short
    lines = "".join(f"    {value!r},\n" for value in values)
    return f"[\n{lines}]"


def missing_texts(source: object) -> tuple[str, ...]:
    """The texts that stand for nothing in files of a source."""
    return tuple(getattr(source, "missing_values", ()))
