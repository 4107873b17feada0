"""Which columns of the data are what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from trainer.data.columns.table import listing
from trainer.data.columns.targets import TARGET, Goal
from trainer.data.misfits import Misfit, MisfitError
from trainer.errors import SpecError
from trainer.spec.data import DataSpec
from trainer.spec.document import Path
from trainer.spec.messages import near


@dataclass(frozen=True)
class Roles:
    """Which columns of the data are what; `goal` is what the targets are."""

    features: tuple[str, ...]
    targets: tuple[str, ...]
    goal: Goal
    weights: str | None = None
    group: str | None = None
    time: str | None = None

    @property
    def others(self) -> tuple[str, ...]:
        """The columns beside the features, each once: targets, weights, group, time."""
        extra = (self.weights, self.group, self.time)
        return tuple(dict.fromkeys((*self.targets, *(name for name in extra if name))))


def choose(columns: Sequence[str], data: DataSpec, goal: Goal, y: tuple[str, ...] = ()) -> Roles:
    """Which of `columns` are features, targets and so on, as the spec asks.

    `y` are columns that the target `y` means all together. Raises `MisfitError` for every name
    that is no column, and for what is declared of a column that is no feature.
    """
    targets = y if y and data.targets == ("y",) else data.targets
    roles = Roles((), targets, goal, data.weights, data.split.group, data.split.time)
    features = data.features or tuple(name for name in columns if name not in roles.others)
    roles = replace(roles, features=features)
    misfits = list(_misfits(columns, data, roles))
    if not misfits and not features:
        misfits.append(Misfit(TARGET, "the data has no column beside the target"))
    if misfits:
        raise MisfitError(SpecError, *misfits)
    return roles


def _misfits(columns: Sequence[str], data: DataSpec, roles: Roles) -> Iterator[Misfit]:
    """What is wrong with the names in the spec, in the order in which they are told."""

    def unknown(name: str, path: Path, *, key: bool = False) -> Iterator[Misfit]:
        if name not in columns:
            hint = near(name, columns) or f"the columns are {listing(columns, 12)}"
            yield Misfit(path, f"the data has no column '{name}'", hint, key)

    for i, name in enumerate(roles.targets):
        yield from unknown(name, TARGET if isinstance(data.target, str) else (*TARGET, i))
    for i, name in enumerate(data.features or ()):
        yield from unknown(name, ("data", "features", i))
    split: Path = ("data", "split")
    for path, role in (
        (("data", "weights"), roles.weights), ((*split, "group"), roles.group),
        ((*split, "time"), roles.time),
    ):  # fmt: skip
        if role:
            yield from unknown(role, path)
        if role in roles.targets:
            yield Misfit(path, f"'{role}' is a target", "name another column")
    for name in data.columns:
        path = ("data", "columns", name)
        yield from unknown(name, path, key=True)
        if name in columns and name in roles.others and name not in roles.features:
            message, hint = f"'{name}' is no feature", "only features are described here"
            yield Misfit(path, message, hint, key=True)
