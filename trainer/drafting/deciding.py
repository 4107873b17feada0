"""What a survey decides: what is left out, filled and scaled; the split; the network's size."""

from __future__ import annotations

from typing import Final

import numpy as np

from trainer.data import Table, listing
from trainer.drafting.network import Size, layers_for, loss_for, sgd_for
from trainer.drafting.plan import Plan
from trainer.drafting.writing import value
from trainer.graph.ops import Array
from trainer.survey import ColumnFacts, Finding, Survey
from trainer.survey.columns import Cells, features_of, moments, skewness, targets_of
from trainer.survey.findings import RARE

_OUT: Final = ("empty", "constant", "numbering", "copy")
"""Findings for which a column is left out."""
_ODD: Final = ("filler", "spelling")
"""Findings of cells that are to be mended in the file, or said otherwise of it."""
_GAPS: Final = 0.05
"""The share of missing cells from which on a column tells where they are."""
_SKEWED: Final = 2.0
"""Skewness from which on the logarithm is taken, if that halves it at least."""
_FAR: Final = 10.0
"""Standard deviations from the mean; one cell that is farther decides too much of what is said."""
_FEW: Final = 10
"""Numbers of fewer different values stay as they are."""
_PARTS: Final = 4
"""Columns that a date becomes."""
_SMALLEST: Final = 10
"""Fewer rows than these all train."""
_SMALL: Final = 40
"""Fewer rows than these are not held back for a test as well."""


def decide(plan: Plan, table: Table, survey: Survey) -> None:
    """Adds to the plan what follows from the table."""
    for finding in survey.findings:
        _heed(plan, finding)
    kept = [facts for facts in survey.features if facts.name not in plan.out]
    plan.data.pop("missing", None)
    _fill(plan, kept)
    _scale(plan, table)
    _split(plan, survey)
    if plan.loss == "logistic":
        _weigh(plan, survey)
    rows = int(survey.rows * (1 - sum(plan.data.get("split", {}).values())))
    width = sum(_width(plan, facts) for facts in kept)
    size = Size(rows, width, _outputs(table), plan.loss == "logistic")
    plan.layers, plan.sgd = layers_for(size), sgd_for(size)
    plan.model |= loss_for(size)
    plan.sgd["batch_size"] = max(1, min(plan.sgd["batch_size"], rows // 4))
    plan.why["sgd.epochs"] = f"{size.rows:,} rows train, {size.width:,} numbers each"


def _heed(plan: Plan, finding: Finding) -> None:
    name = finding.columns[0] if finding.columns else ""
    if name == plan.target and finding.kind not in _ODD:
        return
    if finding.kind in _OUT:
        plan.leave_out(name, finding.message)
    elif finding.kind in _ODD:
        plan.oddities[name] = f"{finding.message}; {finding.advice}"
    elif finding.kind == "leak":
        plan.doubts[name] = f"{finding.message}: {finding.advice}"


def _fill(plan: Plan, kept: list[ColumnFacts]) -> None:
    gaps = [(facts.name, facts.missing) for facts in kept if facts.missing]
    if not gaps and not plan.oddities.keys() & {facts.name for facts in kept}:
        return
    plan.data["missing"] = "median"
    if not gaps:
        plan.why["data.missing"] = "should some cells be empty"
        return
    plan.why["data.missing"] = "empty cells: " + listing([f"{n} {c:,}" for n, c in gaps], 4)
    for facts in kept:
        if facts.missing > _GAPS * facts.rows:
            plan.say(facts.name, indicator=True)


def _scale(plan: Plan, table: Table) -> None:
    """Standard scales, of a logarithm where that takes away most of a skew; ranks of columns that
    have a few values far away, where amounts are predicted that have none such.
    """
    plan.data["scale"] = "standard"
    ranked = plan.loss == "squared" and _farthest(targets_of(table)[0].present) < _FAR
    for cells in features_of(table):
        if cells.column.kind != "numeric" or cells.name in plan.out or cells.distinct <= _FEW:
            continue
        skewed = _is_skewed(cells)
        if skewed:
            plan.say(cells.name, scale=["log1p", "standard"])
        if ranked and _farthest(np.log1p(cells.present) if skewed else cells.present) > _FAR:
            plan.say(cells.name, "a few are far from all others", scale=["quantile", "standard"])
    if plan.loss == "squared":
        plan.data["target_scale"] = "standard"
        plan.why["data.target_scale"] = "predictions come back in the target's units"
        if _is_skewed(targets_of(table)[0]):
            plan.proposals["data.target_scale"] = [
                "a few are large: where a tenth too much counts alike for all, write this instead:",
                "target_scale: [log1p, standard]",
            ]


def _is_skewed(cells: Cells) -> bool:
    values = cells.present
    if cells.distinct <= _FEW or values.min() < 0:
        return False
    skew = skewness(values)
    return skew > _SKEWED and 2 * abs(skewness(np.log1p(values))) < skew


def _farthest(values: Array) -> float:
    """How many standard deviations the farthest value is from the mean."""
    mean, deviation, _ = moments(values)
    away = max(float(values.max()) - mean, mean - float(values.min()))
    return away / deviation if deviation > 0 else 0.0


def _split(plan: Plan, survey: Survey) -> None:
    """Rows held back by chance; other ways are proposed, not taken."""
    if survey.rows < _SMALLEST:
        plan.proposals["data.scale"] = [
            "split: {validation: 0.2}",
            "held back, these few rows would be missed",
        ]
        return
    parts = {"validation": 0.1, "test": 0.2} if survey.rows >= _SMALL else {"validation": 0.25}
    plan.data["split"] = parts
    others = plan.proposals.setdefault("data.split", [])
    for finding in survey.findings:
        key = {"ordered": "time", "grouped": "group"}.get(finding.kind)
        if key is not None and not plan.data.get("stream"):
            name = finding.columns[0]
            others.append(f"'{name}' {finding.message}; to heed it, write this instead:")
            others.append(f"split: {value(parts | {key: name})}")


def _weigh(plan: Plan, survey: Survey) -> None:
    [target] = survey.targets
    rare = [each for each in survey.findings
            if each.kind == "rare" and each.share * target.distinct < RARE]  # fmt: skip
    if rare:
        plan.model["class_weights"] = "balanced"
        plan.why["model.class_weights"] = (
            f"rare: '{plan.target}' {rare[0].message}; balanced, each class counts alike"
        )


def _width(plan: Plan, facts: ColumnFacts) -> int:
    """How many columns of x a feature becomes, about."""
    says = plan.columns.get(facts.name, {})
    gap = int(bool(says.get("indicator")))
    if facts.kind.startswith("categorical"):
        embedded = says.get("encode") == "embedding"
        return gap + (min(50, (facts.distinct + 1) // 2) if embedded else facts.distinct)
    return gap + (_PARTS if facts.kind.startswith("date") else 1)


def _outputs(table: Table) -> int:
    """Units of the last layer: of two classes one tells both."""
    return 1 if table.classes is None or len(table.classes) == 2 else len(table.classes)
