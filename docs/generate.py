"""Writes the parts of the documentation that are made from the code: `python docs/generate.py`.

Each part stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->` in a page. A test fails
when a page is not what this script would write.
"""

from __future__ import annotations

import json
import os
import re
import runpy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import fields
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from unittest.mock import patch

import numpy as np
import yaml
from pydantic import TypeAdapter

from trainer.cli.app import main
from trainer.cli.commands import Loaded
from trainer.codes import LETTERS, Entry
from trainer.engine import Steps
from trainer.graph import OPS
from trainer.graph.initialisers import INITIALISERS
from trainer.graph.ops import ACTIVATIONS
from trainer.metrics import METRICS
from trainer.service.desk import Desk
from trainer.service.profile import ServiceProfile
from trainer.service.records import DATA
from trainer.service.records import Event as ServiceEvent
from trainer.service.settings import Settings
from trainer.service.store import Database, Store
from trainer.service.web.app import create_app
from trainer.spec import Sketch, Spec
from trainer.spec.described import described
from trainer.sweeps.declaration import SweepSpec
from trainer.training.events import Event
from trainer.training.result import Run

PAGES = Path(__file__).parent
SPEC = TypeAdapter(Spec | Sketch).json_schema()["$defs"]
SWEEP = TypeAdapter(SweepSpec).json_schema()
PROFILE = TypeAdapter(ServiceProfile).json_schema()
DEFINITIONS = {**PROFILE["$defs"], "ServiceProfile": PROFILE,
               **SWEEP["$defs"], "SweepSpec": SWEEP, **SPEC}  # fmt: skip


def _code(value: object) -> str:
    """A value as it is written, in a cell of a table."""
    text = value if isinstance(value, str) and value.strip() else json.dumps(value)
    return f"`{text}`".replace("|", "\\|")


def _link(title: str) -> str:
    """A link to the table of a model: members of a union by their `type`, others by name."""
    kind = _kind(title)
    return f"[{f'`{kind}`' if kind else title}](#{title.lower()})"


def _kind(title: str) -> str | None:
    """The `type` of a model that is one of several kinds."""
    found: str | None = DEFINITIONS[title]["properties"].get("type", {}).get("const")
    return found


def _either(options: list[str]) -> str:
    different = list(dict.fromkeys(options))
    return " or ".join([", ".join(different[:-1]), different[-1]] if different[1:] else different)


def _type(value: dict[str, Any]) -> str:
    """A JSON Schema type in a few words."""
    options = value.get("anyOf", value.get("oneOf"))
    if options:
        optional = "default" in value and value["default"] is None
        options = [option for option in options if not optional or option != {"type": "null"}]
        options = [option for option in options if option.get("title") not in DEFINITIONS]
        return _either([_option(option, options) for option in options])
    if "$ref" in value:
        return _link(value["$ref"].split("/")[-1])
    if "enum" in value:
        return " \\| ".join(map(_code, value["enum"]))
    if "const" in value:
        return _code(value["const"])
    kind = value.get("type", "any value")
    if isinstance(kind, list):
        return _either([_type({"type": name}) for name in kind])
    if kind == "array":
        return f"list of {_type(value['items'])}" if value.get("items") else "list"
    if kind == "object":
        return _mapping(value)
    words = {"integer": "whole number", "string": "text", "boolean": "true or false",
             "null": "nothing"}  # fmt: skip
    return " ".join(part for part in (words.get(kind, kind), _bounds(value)) if part)


def _option(value: dict[str, Any], options: Sequence[dict[str, Any]]) -> str:
    """One of several types, in words that go with the others."""
    names = {name for option in options for name in option.get("enum", ())}
    items = value.get("items", {}).get("enum")
    if items and set(items) <= names:
        return "list of these"
    kinds = {_kind(option["$ref"].split("/")[-1]) for option in options if "$ref" in option}
    return "one of these names" if names <= kinds and "enum" in value else _type(value)


def _mapping(value: dict[str, Any]) -> str:
    """A mapping whose keys are known, or chosen by the user."""
    if "properties" in value:
        return _either([f"`{{{key}: …}}`" for key in value["properties"]])
    kinds = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
    return f"mapping of names to {_type(kinds[0])}"


def _bounds(value: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    return ", ".join(f"{s} {_bound(value[k])}" for k, s in signs.items() if k in value)


def _bound(number: float) -> str:
    power = int(number).bit_length() - 1
    if number > 2**53 and number == 2**power:
        return f"2^{power}"
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def _default(name: str, value: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    if "default" not in value:
        return "none" if value.get("type") == "object" else "from the other keys"
    default = value["default"]
    if isinstance(default, dict):
        return _code(default["type"]) if "type" in default else "all defaults"
    if default == [] and "none" in _type(value):
        return "`none`"
    return "none" if default in (None, []) else _code(default)


def _titles(value: Any) -> Iterator[str]:
    """The models that a schema refers to, each followed by those that it refers to itself."""
    if isinstance(value, dict) and "$ref" in value:
        title = value["$ref"].split("/")[-1]
        yield title
        yield from _titles(DEFINITIONS[title])
    else:
        for item in value.values() if isinstance(value, dict) else value:
            if isinstance(item, dict | list):
                yield from _titles(item)


def spec_keys() -> str:
    """A table for each model of the schema, in the order in which a spec refers to them."""
    return _tables(_titles([{"$ref": "/Spec"}, {"$ref": "/Sketch"}]))


def sweep_keys() -> str:
    """A table for each model that a sweep has of its own, beside those of its spec."""
    text = _tables(title for title in _titles({"$ref": "/SweepSpec"}) if title not in SPEC)
    return text.replace("| from the other keys |", "| none |")


def service_keys() -> str:
    """A table for each model of a service's profile."""
    return _tables(_titles({"$ref": "/ServiceProfile"}))


def _tables(titles: Iterable[str]) -> str:
    """A table for each of these models."""
    lines: list[str] = []
    for title in dict.fromkeys(titles):
        model = DEFINITIONS[title]
        lines += [f"### {title}", "", _line(model["description"].split("\n\n")[0]), ""]
        lines += ["| key | meaning | value | default | unit | example | since |", f"|{7 * '---|'}"]
        for name, value in model["properties"].items():
            default = _default(name, value, model.get("required", []))
            cells = (f"`{name}`", _line(value["description"]), _type(value), default,
                     value.get("x-unit", ""), _example(name, value), value["x-since"])  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).strip()


def _line(text: str) -> str:
    """A text of several lines, in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _example(name: str, value: dict[str, Any]) -> str:
    """The key as it may stand in a file."""
    (example,) = value["examples"]
    shown = yaml.safe_dump(example, default_flow_style=True, sort_keys=False, width=10**6,
                           allow_unicode=True)  # fmt: skip
    return _code(f"{name}: {shown.strip().removesuffix('...').strip()}")


def training_events() -> str:
    """A table for each event that `listen` hears, and for what steps record."""
    return _fields([*get_args(Event), Steps])


def service_events() -> str:
    """A table for an event of the service, and for the data of each kind."""
    return _fields([ServiceEvent, *DATA.values()])


def _fields(kinds: Iterable[type]) -> str:
    """A table for each of these dataclasses."""
    lines: list[str] = []
    for kind in kinds:
        said, hints = described(kind), get_type_hints(kind)
        title = next((f"Data of `{name}`" for name in DATA if DATA[name] is kind), kind.__name__)
        lines += [f"### {title}", "", _line((kind.__doc__ or "").split("\n\n")[0]), ""]
        lines += ["| field | type | unit | meaning |", "|---|---|---|---|"]
        for field in fields(kind):
            about = said[field.name]
            cells = (f"`{field.name.rstrip('_')}`", _python_type(hints[field.name]),
                     about.get("x-unit", ""), _line(about["description"]))  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines).strip()


PYTHON_TYPES = {
    int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "none",
    Any: "any value", Steps: "[Steps](#steps)", Run: "[Run](api.md#runs)",
}  # fmt: skip


def _python_type(hint: Any) -> str:
    """The type of a field in a few words."""
    if hint in PYTHON_TYPES:
        return PYTHON_TYPES[hint]
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return " \\| ".join(map(_code, inner))
    if kind in (Union, UnionType):
        return _either([_python_type(each) for each in inner])
    if kind is Mapping:
        return f"mapping of names to {_python_type(inner[1])}"
    if kind is np.ndarray:
        return "array"
    assert kind in (list, tuple), hint
    return f"list of {_python_type(inner[0])}"


def ops_table() -> str:
    """The rows of the table of ops."""
    lines = ["| op | formula | inputs | differentiable | checked by |", "|---|---|---|---|---|"]
    for op in OPS.values():
        smooth = "yes" if all(op.vjps) else "in part" if any(op.vjps) else "derivative 0"
        way = "complex step" if op.analytic else "central differences"
        formula = op.write(["x", "y", "z"], {"start": "start", "stop": "stop"}).replace("|", "\\|")
        lines.append(f"| `{op.name}` | {formula} | {op.arity} | {smooth} | {way} |")
    return "\n".join(lines)


def activations() -> str:
    """The activations and the initialisers that go with them."""
    lines = ["| activation | default `init` |", "|---|---|"]
    lines += [f"| `{name}` | `{init}` |" for name, init in ACTIVATIONS.items()]
    lines += ["", f"`init` is one of {', '.join(f'`{name}`' for name in INITIALISERS)}."]
    return "\n".join(lines)


def metrics_table() -> str:
    """The rows of the table of metrics."""
    lines = ["| metric | what it is | of | better |", "|---|---|---|---|"]
    lines += [f"| `{r.name}` | {r.title} | {r.of} | {r.better} |" for r in METRICS.values()]
    return "\n".join(lines)


def _commands(group: Mapping[str, Any]) -> Iterator[list[str]]:
    """The words of each command, and of those below it."""
    for name, command in group.items():
        yield [name]
        yield from ([name, *words] for words in _commands(getattr(command, "commands", {})))


def _help_of(arguments: list[str]) -> str:
    with (
        patch.dict(os.environ, COLUMNS="80", TERM="dumb"),
        redirect_stdout(StringIO()) as out,
        suppress(SystemExit),
    ):
        main([*arguments, "--help"])
    return out.getvalue()


def cli_help() -> str:
    """`--help` of the command and of each of its commands."""
    lines = []
    for arguments in [[], *_commands(Loaded())]:
        shown = _help_of(arguments)
        lines += [f"## {' '.join(['train', *arguments])}", "", "```text", shown.strip(), "```", ""]
    return "\n".join(lines).strip()


MET = yaml.safe_load((PAGES / "errors.yaml").read_text(encoding="utf-8"))
"""The first line of messages, by code, as `tests/test_errors.py` meets them."""


def errors() -> str:
    """The catalogue of errors, by the letters of their codes."""
    lines = []
    for letter, (about, entries) in LETTERS.items():
        lines += [f"## TR-{letter}: {about}", ""]
        for entry in entries:
            lines += [*_entry(entry), ""]
    return "\n".join(lines).strip()


def _entry(entry: Entry) -> Iterator[str]:
    title = f"{entry.title[0].upper()}{entry.title[1:]}"
    yield from (f"### {entry.code}", "", f"**{title}.** {entry.why}", "")
    if entry.code in MET:
        yield from ("```text", f"{MET[entry.code]} [{entry.code}]", "```", "")
    yield entry.do
    if entry.example:
        is_yaml = re.match(r"(- \{|[\w.-]+:[ \n])", entry.example)
        is_shell = re.match(r"(train|python|dask|cd|chmod|unset|ulimit|[A-Z_]+=\S)", entry.example)
        kind = "yaml" if is_yaml else "sh" if is_shell else "text"
        yield from ("", f"```{kind}", entry.example, "```")


PARTS: dict[str, Callable[[], str]] = {
    "spec-keys": spec_keys,
    "sweep-keys": sweep_keys,
    "service-keys": service_keys,
    "training-events": training_events,
    "service-events": service_events,
    "ops": ops_table,
    "activations": activations,
    "metrics": metrics_table,
    "help": cli_help,
    "errors": errors,
}


def pages() -> Iterator[tuple[Path, str]]:
    """Each page that has made parts, with the text that it should have."""
    pattern = re.compile(r"(<!-- begin: ([a-z-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)
    for path in sorted(PAGES.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        made = pattern.sub(lambda m: f"{m[1]}{PARTS[m[2]]()}\n{m[3]}", text)
        if pattern.search(text):
            yield path, made
    yield PAGES / "service.openapi.json", openapi()
    yield PAGES / "images" / "house.svg", runpy.run_path(str(PAGES / "house.py"))["drawing"]()


def openapi() -> str:
    """What the service's API says of itself, of an app that serves nobody."""
    with TemporaryDirectory() as folder:
        settings = Settings(runs=Path(folder))
        store = Store(Database.open(None, settings.runs))
        try:
            nobody: Any = None  # neither checks nor trains
            made = create_app(Desk(store, nobody, nobody, settings)).openapi()
        finally:
            store.close()
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for page, text in pages():
        page.write_text(text, encoding="utf-8")
