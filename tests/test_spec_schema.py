"""The JSON Schema that editors read: it takes what the spec takes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from conftest import ALL_CONFIGS, ROOT, SWEEPS
from pydantic import TypeAdapter
from specs import INLINE, SKETCH, TEXTS, read
from test_sweep_spec import IN_PLACE, SWEEP

from trainer.service.profile import ServiceProfile
from trainer.spec import Sketch, Spec
from trainer.spec.described import SAID
from trainer.sweeps.declaration import SweepSpec, load_sweep

SCHEMA = TypeAdapter(Spec | Sketch).json_schema()
SWEEP_SCHEMA = TypeAdapter(SweepSpec).json_schema()
PROFILE_SCHEMA = TypeAdapter(ServiceProfile).json_schema()
DEFINITIONS = PROFILE_SCHEMA["$defs"] | SWEEP_SCHEMA["$defs"] | SCHEMA["$defs"]


UNCHECKED = {"title", "default", "$defs", "$schema", *SAID}
"""What says nothing of which values are allowed."""


class Refused(Exception):
    """A value that the schema does not allow."""


def check_schema(value: Any, schema: dict[str, Any], where: str = "") -> None:
    """JSON Schema, as far as the spec's uses it. Raises `Refused`, and `KeyError` for the rest."""
    for keyword, rule in schema.items():
        if keyword not in UNCHECKED:
            CHECKS[keyword](value, rule, schema, where)


def _all_of(value: Any, rules: list[Any], least: int, most: int, where: str) -> None:
    reasons = []
    for rule in rules:
        try:
            check_schema(value, rule, where)
        except Refused as reason:
            reasons.append(str(reason))
    if not least <= len(rules) - len(reasons) <= most:
        raise Refused(f"{where}: {reasons}")


def _properties(value: Any, rules: dict[str, Any], schema: dict[str, Any], where: str) -> None:
    patterns = schema.get("patternProperties", {})
    for key, item in value.items() if isinstance(value, dict) else ():
        matching = [rule for pattern, rule in patterns.items() if re.search(pattern, key)]
        matching += [rules[key]] if key in rules else []
        rest = schema.get("additionalProperties", True)
        if not matching and rest is False:
            raise Refused(f"{where}: unknown key {key}")
        for rule in matching or ([rest] if isinstance(rest, dict) else []):
            check_schema(item, rule, f"{where}.{key}")


def _must(holds: bool, where: str, rule: Any) -> None:
    if not holds:
        raise Refused(f"{where}: {rule}")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


TYPES = {
    "object": lambda v: isinstance(v, dict), "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str), "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None, "number": _number,
    "integer": lambda v: _number(v) and v == int(v),
}  # fmt: skip
CHECKS: dict[str, Any] = {
    "type": lambda v, r, s, w: _must(
        any(TYPES[name](v) for name in ([r] if isinstance(r, str) else r)), w, r),
    "enum": lambda v, r, s, w: _must(v in r, w, r),
    "const": lambda v, r, s, w: _must(v == r, w, r),
    "$ref": lambda v, r, s, w: check_schema(v, DEFINITIONS[r.removeprefix("#/$defs/")], w),
    "anyOf": lambda v, r, s, w: _all_of(v, r, 1, len(r), w),
    "oneOf": lambda v, r, s, w: _all_of(v, r, 1, 1, w),
    "properties": _properties,
    "patternProperties": lambda v, r, s, w: None if "properties" in s else _properties(v, {}, s, w),
    "additionalProperties": lambda v, r, s, w: (
        None if {"properties", "patternProperties"} & s.keys() else _properties(v, {}, s, w)),
    "propertyNames": lambda v, r, s, w: [check_schema(key, r, f"{w}.{key}") for key in v],
    "required": lambda v, r, s, w: _must(not isinstance(v, dict) or set(r) <= v.keys(), w, r),
    "minProperties": lambda v, r, s, w: _must(not isinstance(v, dict) or len(v) >= r, w, r),
    "maxProperties": lambda v, r, s, w: _must(not isinstance(v, dict) or len(v) <= r, w, r),
    "items": lambda v, r, s, w: [check_schema(item, r, f"{w}[]") for item in v]
    if isinstance(v, list) else None,
    "minItems": lambda v, r, s, w: _must(not isinstance(v, list) or len(v) >= r, w, r),
    "maxItems": lambda v, r, s, w: _must(not isinstance(v, list) or len(v) <= r, w, r),
    "minLength": lambda v, r, s, w: _must(not isinstance(v, str) or len(v) >= r, w, r),
    "maxLength": lambda v, r, s, w: _must(not isinstance(v, str) or len(v) <= r, w, r),
    "pattern": lambda v, r, s, w: _must(not isinstance(v, str) or bool(re.search(r, v)), w, r),
    "minimum": lambda v, r, s, w: _must(not _number(v) or v >= r, w, r),
    "maximum": lambda v, r, s, w: _must(not _number(v) or v <= r, w, r),
    "exclusiveMinimum": lambda v, r, s, w: _must(not _number(v) or v > r, w, r),
    "exclusiveMaximum": lambda v, r, s, w: _must(not _number(v) or v < r, w, r),
}  # fmt: skip


@pytest.mark.parametrize("path", ALL_CONFIGS, ids=lambda path: path.stem)
def test_the_schema_takes_every_config(path: Any) -> None:
    check_schema(read(path.read_text()), SCHEMA)


@pytest.mark.parametrize("text", [*TEXTS, SKETCH], ids=lambda text: text.split()[1])
def test_the_schema_takes_every_key(text: str) -> None:
    check_schema(read(text), SCHEMA)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("epochs: 4", "epoch: 4"),
        ("epochs: 4", "epochs: 4.5"),
        ("epochs: 4", "epochs: 0"),
        ("epochs: 4", "epochs: 4, momentum: 1"),
        ("learning_rate: 1, ", ""),
        ("cosine", "cosin"),
        ("cosine", "step"),
        ("cosine", "{type: step, every: 0}"),
        ("cosine", "{type: step, every: 1, final: 0}"),
        ("units: 3", "type: conv, units: 3"),
        ("units: 3", "type: dropout, units: 3"),
        ("units: 3", "units: 3, init: hee_normal"),
        ("units: 3", "units: 3, init: {normal: 1, uniform: 1}"),
        ("units: 3", "units: 3, name: 1st"),
        ("loss: logistic", "loss: logistic, class_weights: {a: -1}"),
        ("[[0, 0], [0, 1], [1, 0]]", "[]"),
        ("data: {", "data: {columns: {a: {type: number}}, "),
        ("data: {", "data: {columns: {a: {parts: []}}, "),
        ("data: {", "data: {scale: [standard, log1p, none], "),
        ("data: {", "data: {missing: {value: 3}, "),
    ],
)
def test_the_schema_refuses(old: str, new: str) -> None:
    assert INLINE.count(old) == 1
    with pytest.raises(Refused):
        check_schema(read(INLINE.replace(old, new)), SCHEMA)


@pytest.mark.parametrize(
    "text", [SWEEP, IN_PLACE, *(path.read_text() for path in SWEEPS)], ids=lambda text: text[:12]
)
def test_the_schema_of_sweeps_takes(text: str) -> None:
    check_schema(read(text), SWEEP_SCHEMA)


def test_the_schema_of_sweeps_takes_what_is_kept() -> None:
    spec = load_sweep(SWEEPS[0])
    check_schema(spec.resolved(), SWEEP_SCHEMA)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("val_loss", "loss"),
        ("val_loss", "{maximise: 3}"),
        ("{from: 2}", "{first: 2}"),
        ("{log: [1e-4, 0.3]}", "{log: [0, 0.3]}"),
        ("{log: [1e-4, 0.3]}", "{log: [1e-4]}"),
        ("{log: [1e-4, 0.3]}", "{lgo: [1e-4, 0.3]}"),
        ("{log: [1e-4, 0.3]}", "[1e-4, 0.3]"),
        ("method: random", "method: bayes"),
        ("trials: 6", "trials: 0"),
        ("seed: 7", "seed: 7.5"),
        ("seed: 7", "slots: 0"),
        ("spec: runs/one.yaml", "spec: 3"),
        ("spec: runs/one.yaml", "sgd: {momentum: 2}"),
        ("objective:", "objectives:"),
    ],
)
def test_the_schema_of_sweeps_refuses(old: str, new: str) -> None:
    assert SWEEP.count(old) == 1
    with pytest.raises(Refused):
        check_schema(read(SWEEP.replace(old, new)), SWEEP_SCHEMA)


BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARTS = [
    (page, block)
    for page in ("spec", "data", "sgd")
    for block in BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text())
    if not re.match(r"# [\w.]+\n", block)  # a file, which test_docs.py checks
]


@pytest.mark.parametrize(("page", "block"), PARTS)
def test_examples_in_the_docs_are_parts_of_a_spec(page: str, block: str) -> None:
    """With what else a spec needs they are one."""
    values, given = read(INLINE), read(block)
    data = {"source": {"csv": "a.csv"}, "target": "t", "split": {"validation": 0.1}}
    if "validation" in given.get("data", {}):
        data["split"] = {}
    values["data"] = data | given.get("data", {})
    values["sgd"] = {"epochs": 9, "learning_rate": 1} | given.get("sgd", {})
    values["model"] = given.get("model", {"layers": [{"units": 1}], "loss": "squared"})
    assert given.keys() <= {"data", "model", "sgd"}
    assert isinstance(Spec.model_validate(values), Spec)
    check_schema(values, SCHEMA)
