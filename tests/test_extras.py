"""What the package is called where packages are installed."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import tomllib
from importlib.metadata import distribution

import pytest
from conftest import ROOT

from trainer.extras import DISTRIBUTION, EXTRAS, install, package_version

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_NAMES = "|".join([*EXTRAS, "dev"])
NAMED = re.compile(rf"""(?:pip install|[`'"])\s*['"]?([A-Za-z][\w.-]*)\[(?:{_NAMES})(?:,\w+)*\]""")
"""The name before an extra of this package, in a text that people read or that pip does."""


def named_otherwise(text: str) -> list[str]:
    """The names by which a text wants an extra of this package, where they are not its own."""
    return [name for name in NAMED.findall(text) if name != DISTRIBUTION]


def test_a_name_that_is_not_ours_is_found() -> None:
    text = "pip install 'trainer[onnx]', `trainer[dask,sweep]`, \"x.y[dev]\", 'mlflow[auth]'"
    assert named_otherwise(text) == ["trainer", "trainer", "x.y"]
    assert named_otherwise(install("onnx")) == []


def test_everything_names_the_package_by_its_name() -> None:
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True,
    ).stdout.rstrip("\0").split("\0")  # fmt: skip
    kinds = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".txt", ".ts", ""}
    paths = [ROOT / name for name in tracked if name != "tests/test_extras.py"]
    texts = {path: path.read_text() for path in paths if path.suffix in kinds and path.is_file()}
    assert not {str(path): wrong for path in texts if (wrong := named_otherwise(texts[path]))}


def test_hints_come_from_one_place() -> None:
    """No other module writes the name itself."""
    holding = {
        path.name
        for path in (ROOT / "trainer").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and f"{DISTRIBUTION}[" in str(node.value)
    }
    assert not holding - {"extras.py"}


def test_the_table_of_extras_is_that_of_the_project() -> None:
    extras = PROJECT["optional-dependencies"]
    assert PROJECT["name"] == DISTRIBUTION
    assert set(EXTRAS) == set(extras) - {"dev"}
    assert f"{DISTRIBUTION}[{','.join(EXTRAS)}]" in extras["dev"]
    assert package_version() == PROJECT["version"] == distribution(DISTRIBUTION).version


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_modules_of_an_extra(extra: str) -> None:
    for module in EXTRAS[extra]:
        assert importlib.util.find_spec(module)


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert package_version("no-such-package-at-all") == "0"
