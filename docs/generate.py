"""Writes the parts of the documentation that are made from the code: `python docs/generate.py`.

Each part stands between `<!-- begin: NAME -->` and `<!-- end: NAME -->` in a page. A test fails
when a page is not what this script would write.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from trainer.cli.app import app
from trainer.graph import OPS
from trainer.graph.initialisers import INITIALISERS
from trainer.graph.ops import ACTIVATIONS
from trainer.spec import Sketch, Spec

PAGES = Path(__file__).parent


def _type(value: dict[str, Any]) -> str:
    """A JSON Schema type in a few words."""
    if "$ref" in value:
        return f"[{value['$ref'].split('/')[-1]}](#{value['$ref'].split('/')[-1].lower()})"
    if "enum" in value:
        return " \\| ".join(f"`{name}`" for name in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "anyOf" in value or "oneOf" in value:
        return " or ".join(_type(option) for option in value.get("anyOf", value.get("oneOf")))
    if value.get("type") == "array":
        return f"list of {_type(value['items']) or 'values'}" if value.get("items") else "list"
    words = {"integer": "whole number", "string": "text", "boolean": "true or false"}
    return words.get(value.get("type", ""), value.get("type", ""))


def _bounds(value: dict[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    options = [value, *value.get("anyOf", [])]
    found = {f"{s} {o[k]:g}" for o in options for k, s in signs.items() if k in o}
    return ", ".join(sorted(found, reverse=True))


def _default(name: str, value: dict[str, Any], required: list[str]) -> str:
    if name in required:
        return "required"
    if "default" in value and not isinstance(value["default"], dict):
        return f"`{json.dumps(value['default'])}`"
    return "all defaults" if "default" in value else "see below"


def spec_keys() -> str:
    """A table for each model of the schema."""
    definitions = TypeAdapter(Spec | Sketch).json_schema()["$defs"]
    lines: list[str] = []
    first = {name: definitions[name] for name in ("Spec", "Sketch")}
    models = first | definitions
    for title, model in models.items():
        text = model["description"].split("\n\n")[0]
        lines += [
            f"### {title}",
            "",
            text,
            "",
            "| key | value | default | meaning |",
            "|---|---|---|---|",
        ]
        for name, value in model["properties"].items():
            kind = " ".join(part for part in (_type(value), _bounds(value)) if part)
            meaning = " ".join(value.get("description", "see there").split())
            default = _default(name, value, model.get("required", []))
            default = "from the other keys" if default == "see below" else default
            lines.append(f"| `{name}` | {kind} | {default} | {meaning} |")
        lines.append("")
    return "\n".join(lines).strip()


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


def cli_help() -> str:
    """`--help` of the command and of each of its commands."""
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    environment = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    lines = []
    for arguments in [[], *[[name] for name in names]]:
        shown = subprocess.run(
            [sys.executable, "-m", "trainer", *arguments, "--help"],
            capture_output=True, text=True, check=True, env=environment,
        ).stdout  # fmt: skip
        lines += [f"## {' '.join(['train', *arguments])}", "", "```text", shown.strip(), "```", ""]
    return "\n".join(lines).strip()


PARTS: dict[str, Callable[[], str]] = {
    "spec-keys": spec_keys,
    "ops": ops_table,
    "activations": activations,
    "help": cli_help,
}


def pages() -> Iterator[tuple[Path, str]]:
    """Each page that has made parts, with the text that it should have."""
    pattern = re.compile(r"(<!-- begin: ([a-z-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)
    for path in sorted(PAGES.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        made = pattern.sub(lambda m: f"{m[1]}{PARTS[m[2]]()}\n{m[3]}", text)
        if pattern.search(text):
            yield path, made


if __name__ == "__main__":
    for page, text in pages():
        page.write_text(text, encoding="utf-8")
