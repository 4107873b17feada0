"""What is asked of those who report and contribute, and the checks before a commit."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from conftest import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
KINDS = {
    "markdown": {"value"}, "textarea": {"label"}, "input": {"label"},
    "dropdown": {"label", "options"}, "checkboxes": {"label", "options"},
}  # fmt: skip
"""The parts of a form, with what each must say."""


def faults(form: dict[str, Any]) -> list[str]:
    """What a form for reports lacks."""
    found = [key for key in ("name", "description", "body") if not form.get(key)]
    ids = [part.get("id") for part in form.get("body", [])]
    found += [f"{name} twice" for name in set(ids) if ids.count(name) > 1]
    for part in form.get("body", []):
        lacks = KINDS.get(part["type"], {"known type"}) - set(part.get("attributes", {}))
        found += [f"{part['type']}: {name}" for name in sorted(lacks)]
    return found


@pytest.mark.parametrize("path", [path for path in FORMS if path.stem != "config"], ids=str)
def test_forms_are_whole_and_ask_for_what_doctor_tells(path: Any) -> None:
    form = yaml.safe_load(path.read_text())
    assert faults(form) == []
    (doctor,) = [part for part in form["body"] if part.get("id") == "doctor"]
    assert "`train doctor --json`" in doctor["attributes"]["label"]
    assert doctor["attributes"]["render"] == "json"
    assert (path.stem == "fault") == doctor.get("validations", {}).get("required", False)


def test_a_form_that_lacks_something_is_noticed() -> None:
    parts = [{"type": "textarea", "id": "a"}, {"type": "picture", "id": "a"}]
    assert faults({"name": "x", "body": parts}) == [
        "description", "a twice", "textarea: label", "picture: known type",
    ]  # fmt: skip


def test_a_change_is_asked_for_it_too() -> None:
    assert "train doctor --json" in (ROOT / ".github" / "pull_request_template.md").read_text()


def test_what_runs_before_a_commit_is_what_make_check_runs() -> None:
    """By the tools of .venv: nothing is fetched."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    entries = [hook["entry"].replace(" --force-exclude", "") for hook in repository["hooks"]]
    recipe = re.search(r"^check: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    made = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    assert entries == [line.removesuffix(" .") for line in made]
