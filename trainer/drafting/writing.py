"""A plan as YAML with comments, as a person would write it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import yaml

from trainer.drafting.plan import Plan
from trainer.errors import visible
from trainer.spec.document import means_text

_WIDTH: Final = 100
_EDGE: Final = 40
"""Where comments begin behind short lines."""
_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w./%€$()+-]| (?![#&*!|>%@`]))*", re.ASCII)


class Line(NamedTuple):
    """A line and what is said behind it."""

    text: str
    why: str = ""


def to_text(plan: Plan) -> str:
    """The spec, with what was decided and why."""
    lines = [
        Line(f"# {_comment(plan.head)}"),
        Line(f"name: {value(plan.name)}"),
        Line(f"seed: {plan.seed}", plan.why.get("seed", "")),
        Line(""),
        *_data(plan),
        Line(""),
        *_model(plan),
        Line(""),
        Line("sgd:"),
        *_keys(plan, "sgd", plan.sgd),
    ]
    return "".join(f"{each}\n" for line in lines for each in _written(line))


def _written(line: Line) -> Iterator[str]:
    """The line with its comment behind it, or before it where both are too long."""
    why = _comment(line.why)
    if not why:
        yield line.text
        return
    behind = f"{line.text.ljust(_EDGE - 2)}  # {why}"
    if len(behind) <= _WIDTH or not line.text:
        yield behind
        return
    indent = line.text[: len(line.text) - len(line.text.lstrip())]
    for part in _wrapped(why, _WIDTH - len(indent) - 2):
        yield f"{indent}# {part}"
    yield line.text


def _comment(text: str) -> str:
    """A text that may stand behind `#`, whatever names and cells are in it: on one line, with all
    that YAML does not read written out.
    """
    return visible(" ".join(text.split()), keep="")


def _wrapped(text: str, width: int) -> Iterator[str]:
    held = ""
    for word in text.split(" "):
        if held and len(held) + 1 + len(word) > width:
            yield held
            held = ""
        held = f"{held} {word}" if held else word
    yield held


def _data(plan: Plan) -> Iterator[Line]:
    yield Line("data:")
    yield from _source(plan)
    yield Line(f"  target: {value(plan.target)}", plan.why.get("data.target", ""))
    yield from _features(plan)
    yield from _keys(plan, "data", plan.data)
    if plan.columns:
        yield Line("  columns:")
        for name, says in plan.columns.items():
            yield Line(f"    {value(name)}: {value(says)}", plan.column_why.get(name, ""))


def _source(plan: Plan) -> Iterator[Line]:
    keys, why = plan.source.keys, plan.source.why
    short = f"  source: {value(keys)}"
    if not why and len(short) <= _WIDTH:
        yield Line(short)
    else:
        yield Line("  source:")
        for key, what in keys.items():
            yield Line(f"    {key}: {value(what)}", why.get(key, ""))
    for name, told in plan.oddities.items():
        for part in _wrapped(_comment(f"'{name}' {told}"), _WIDTH - 4):
            yield Line(f"  # {part}")


def _features(plan: Plan) -> Iterator[Line]:
    """The columns that are no features, and those that perhaps should be none."""
    if plan.listed is not None:
        yield Line("  features:", "a column has no name, so the others are listed")
        yield from (
            Line(f"    - {value(name)}", plan.doubts.get(name, "")) for name in plan.features
        )
        yield from (Line(f"    # - {value(name)}", why) for name, why in plan.out.items())
        return
    if not plan.out and not plan.doubts:
        return
    mark = "" if plan.out else "# "
    yield Line(f"  {mark}features:")
    yield Line(f"  {mark}  except:")
    for name, why in plan.out.items():
        yield Line(f"      - {value(name)}", why)
    for name, why in plan.doubts.items():
        yield Line(f"  #   - {value(name)}" if plan.out else f"  #     - {value(name)}", why)


def _model(plan: Plan) -> Iterator[Line]:
    yield Line("model:")
    yield Line("  layers:")
    for layer in plan.layers:
        yield Line(f"    - {value(layer)}")
    yield Line(f"  loss: {plan.loss}", plan.task)
    yield from _keys(plan, "model", plan.model)


def _keys(plan: Plan, part: str, keys: Mapping[str, Any]) -> Iterator[Line]:
    for key, what in keys.items():
        path = f"{part}.{key}"
        yield Line(f"  {key}: {value(what)}", plan.why.get(path, ""))
        for other in plan.proposals.get(path, ()):
            yield Line(f"  # {_comment(other)}")


def value(what: Any) -> str:
    """A value in YAML's flow style; texts in quotation marks where they would read as else."""
    if isinstance(what, str):
        plain = _PLAIN.fullmatch(what) and means_text(what) and not what.endswith(" ")
        if plain:
            return what
        quoted: str = yaml.safe_dump(what, default_style='"', allow_unicode=True, width=10**9)
        return quoted.rstrip("\n")
    if isinstance(what, Mapping):
        return f"{{{', '.join(f'{value(k)}: {value(v)}' for k, v in what.items())}}}"
    if isinstance(what, Sequence):
        return f"[{', '.join(map(value, what))}]"
    return json.dumps(what)
