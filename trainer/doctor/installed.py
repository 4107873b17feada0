"""Python, this package, and the packages that it needs or may use."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from trainer.doctor.finding import Finding
from trainer.extras import DISTRIBUTION, install, package_version

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[^]]*\])?\s*(?P<range>[^;]*)(;(?P<marker>.*))?")
_EXTRA = re.compile(r"extra\s*==\s*[\"']([\w-]+)[\"']")
_OF_DEVELOPERS = ("dev", "docs")


@dataclass(frozen=True)
class Needed:
    """A package that is needed: in which versions, as `>=2.0,<3`, and for which extra, if any."""

    name: str
    range: str
    extra: str | None

    @property
    def found(self) -> str | None:
        """The version that is installed."""
        try:
            return version(self.name)
        except PackageNotFoundError:
            return None

    @property
    def fits(self) -> bool:
        """Whether it is installed in one of these versions."""
        from packaging.specifiers import SpecifierSet

        found = self.found
        return found is not None and SpecifierSet(self.range).contains(found, prereleases=True)

    @property
    def wrong(self) -> str:
        """What is wrong with what is installed."""
        return f"{self.name} {self.found or 'is not installed'}, needed {self.range or 'any'}"


def needed() -> Iterator[Needed]:
    """What the installed package says that it needs. Raises `PackageNotFoundError`."""
    for text in requires(DISTRIBUTION) or []:
        parts = _REQUIREMENT.fullmatch(text)
        if parts is not None:
            extra = _EXTRA.search(parts["marker"] or "")
            yield Needed(parts["name"], parts["range"].strip(), extra[1] if extra else None)


def package() -> Finding:
    """The package itself, Python and the system."""
    facts = {
        "package": DISTRIBUTION, "version": package_version(), "python": platform.python_version(),
        "implementation": platform.python_implementation(), "platform": platform.platform(),
    }  # fmt: skip
    says = f"{DISTRIBUTION} {facts['version']}, Python {facts['python']}, {facts['platform']}"
    if facts["version"] == "0":
        todo = "it runs from its sources and is not installed: pip install ."
        return Finding("package", "warning", says, todo, facts)
    return Finding("package", "ok", says, facts=facts)


def dependencies() -> Finding:
    """The packages that are always needed."""
    try:
        wanted = [each for each in needed() if each.extra is None]
    except PackageNotFoundError:
        says = f"unknown, as {DISTRIBUTION} is not installed"
        return Finding("dependencies", "warning", says, "pip install .")
    versions = {each.name: each.found for each in wanted}
    wrong = [each.wrong for each in wanted if not each.fits]
    if wrong:
        todo = f"pip install --upgrade {DISTRIBUTION}"
        return Finding("dependencies", "bad", "; ".join(wrong), todo, versions)
    shown = ", ".join(f"{name} {versions[name]}" for name in ("numpy", "llvmlite", "mlflow"))
    return Finding("dependencies", "ok", f"all {len(wanted)}, among them {shown}", facts=versions)


def extras() -> list[Finding]:
    """The packages that some commands need, extra by extra."""
    try:
        wanted = list(needed())
        names = metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    except PackageNotFoundError:  # the dependencies tell it
        return []
    return [
        _extra(name, [each for each in wanted if each.extra == name])
        for name in sorted(names)
        if name not in _OF_DEVELOPERS
    ]


def _extra(name: str, wanted: list[Needed]) -> Finding:
    versions = {each.name: each.found for each in wanted}
    if not any(versions.values()):
        return Finding(f"extra {name}", "note", "not installed", install(name), versions)
    wrong = [each.wrong for each in wanted if not each.fits]
    if wrong:
        return Finding(f"extra {name}", "warning", "; ".join(wrong), install(name), versions)
    says = ", ".join(f"{package} {found}" for package, found in versions.items())
    return Finding(f"extra {name}", "ok", says, facts=versions)
