"""What a program needs to make x of raw columns, and predictions of outputs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trainer.data import Column, Preprocessing, Rule, Scaling, is_plain, spellings_of
from trainer.data.columns import categories
from trainer.data.columns import cells as data_cells
from trainer.export.copying import Program
from trainer.export.literals import literal
from trainer.export.runtime import answers, cells, columns, plain_cells, scales
from trainer.graph.ops import Array


def give_preprocessing(
    program: Program, how: Preprocessing, source: object, cut: float = 0.0
) -> None:
    """Gives the program what it knows of columns and scales, and its functions for them.

    The source that the model was trained on says which texts stand for nothing.
    """
    plain = all(map(is_plain, how.columns, how.rules)) and all(
        column.kind == "numeric" and column.notation.has_plain_numbers and rule.fill is None
        for column, rule in zip(how.columns, how.rules, strict=True)
    )
    program.choose("numbers", plain_cells.plain_numbers if plain else cells.any_numbers)
    program.choose("check", plain_cells.check_plain if plain else cells.check_any)
    if plain:
        program.choose("expand", columns.unchanged)
    else:
        program.give("expand", _expand(how), columns.__name__)
    program.choose("scaled", _SCALED[bool(how.scaling.curves), how.scaling.shift is not None])
    program.choose("answer", _answer(how, cut))
    _give_cells(program, how, source)
    for prefix, scaling in (("", how.scaling), ("TARGET_", how.target_scaling)):
        logs, ranked = _curves(scaling)
        program.set(f"{prefix}LOGS", logs)
        program.set(f"{prefix}RANKED", ranked)


_SCALED = {  # by whether there are curves, and whether there is a shift
    (False, False): scales.unscaled,
    (False, True): scales.standardized,
    (True, False): scales.bend,
    (True, True): scales.bent_and_standardized,
}


def _answer(how: Preprocessing, cut: float) -> answers.Answer:
    if how.multi_label:
        return answers.of_labels
    if how.classes is None:
        return answers.of_scaled_numbers if how.target_scaling.changes else answers.of_numbers
    if how.outputs == 1:
        return answers.of_one_logit
    return answers.of_two_logits if cut and how.outputs == 2 else answers.of_logits


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


def _curves(scaling: Scaling) -> tuple[list[int], list[int]]:
    """The columns with a logarithm, and those that are ranked."""
    logs = [column for column, quantiles in scaling.curves.items() if quantiles is None]
    return logs, [column for column in scaling.curves if column not in logs]


# Reading cells ----------------------------------------------------------------------------------


def _give_cells(program: Program, how: Preprocessing, source: object) -> None:
    places = [how.place_of(i) for i in range(len(how.encoded_names))]
    known = {c.name: list(c.categories) for c in how.columns if c.categories}
    program.set("MISSING", sorted({"", *spellings_of(how.columns, source)}))
    program.set("PLACES", places)
    program.set("CATEGORIES", known)
    lines = [line for column in how.columns for line in _reader(column)]
    table = "{\n" + "".join(f"    {line},\n" for line in lines) + "}" if lines else "{}"
    program.give("READERS", f"READERS = {table}", data_cells.__name__, categories.__name__)


def _reader(column: Column) -> Iterator[str]:
    """What the cells of a column are and what reads them, where they are no numbers."""
    name = literal(column.name)
    if column.categories:
        what = "one of the order" if column.kind == "ordinal" else "a category"
        yield f"{name}: ({literal(what)}, matcher(CATEGORIES[{name}]))"
    elif column.kind == "boolean":
        yield f"{name}: ('true or false', boolean)"
    elif column.kind == "date":
        form = column.notation.format
        how, read = (
            ("2024-12-31", "date") if form == "iso" else (form, f"dates_as({literal(form)})")
        )
        yield f"{name}: ({literal(f'a date as {how}')}, {read})"
    elif not column.notation.has_plain_numbers:
        signs = (column.notation.decimal, column.notation.thousands, column.notation.unit)
        yield f"{name}: ('a number', numbers_as({', '.join(map(literal, signs))}))"


# From cells to x --------------------------------------------------------------------------------


def _expand(how: Preprocessing) -> str:
    """The function that makes the columns of x."""
    pieces = list(_merged([piece for i in range(len(how.columns)) for piece in _pieces(how, i)]))
    fills = any(rule.fill is not None for rule in how.rules)
    uses_gaps = any("gap[" in text for text in pieces)
    which = "gap" if uses_gaps else "np.isnan(raw)"
    width = literal(how.layout.width)
    lines = [
        "def expand(raw, p):",
        f'    """The {width} columns of x, before they are scaled."""',
        *["    gap = np.isnan(raw)"] * uses_gaps,
        *[f'    raw = np.where({which}, p["x/fill"], raw)'] * fills,
        "    return np.column_stack([",
        *(f"        {text}," for text in pieces),
        "    ])",
    ]
    return "\n".join(lines)


def _merged(pieces: list[str | tuple[int, int]]) -> Iterator[str]:
    """Columns that stay as they are and are neighbours at once, as slices."""
    first = last = -1
    for piece in [*pieces, ""]:
        if isinstance(piece, tuple) and piece[0] == last:
            last = piece[1]
            continue
        if last > first:
            yield f"raw[:, {literal(first)}:{literal(last)}]"
        first, last = piece if isinstance(piece, tuple) else (-1, -1)
        if isinstance(piece, str) and piece:
            yield piece


def _pieces(how: Preprocessing, place: int) -> Iterator[str | tuple[int, int]]:
    """What one raw column becomes: expressions, or from where to where it stays as it is."""
    column, rule, number = how.columns[place], how.rules[place], literal(place)
    count = literal(len(column.categories))
    raw, checked = f"raw[:, {number}]", _is_checked(column, rule)
    if checked:
        raw = f"known({raw}, {count}, gap[:, {number}])"
    if rule.grouped:
        raw = f"grouped({raw}, {count})"
    if column.kind == "date":
        yield from (f"part({raw}, {literal(name)})" for name in rule.parts)
    elif column.kind == "categorical" and rule.dimensions is None:
        yield f"one_hot({raw}, {count})"
    else:
        yield raw if checked or rule.grouped else (place, place + 1)
    if rule.indicator:
        yield f"gap[:, {number}]"


def _is_checked(column: Column, rule: Rule) -> bool:
    return bool(column.categories) and (
        rule.strict or (column.kind == "ordinal" and rule.dimensions is None)
    )
