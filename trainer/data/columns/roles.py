"""Which columns of the data are what, and what is wanted of them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, assert_never

from trainer.data.columns.notation import PLAIN, Notation
from trainer.data.columns.table import Column, Label, listing, show
from trainer.data.columns.targets import TARGET, Goal
from trainer.data.misfits import Misfit, MisfitError
from trainer.errors import SpecError
from trainer.spec.choosing import PARTS, listed, named
from trainer.spec.columns import Kind
from trainer.spec.data import DataSpec
from trainer.spec.document import Path
from trainer.spec.names import like

ALL: Final = ("target", "features")
"""The words in `drop_rows.missing` that stand for several columns."""


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


def choose(
    columns: Sequence[str],
    data: DataSpec,
    goal: Goal,
    y: tuple[str, ...] = (),
    index: Container[str] = (),
) -> Roles:
    """Which of `columns` are features, targets and so on, as the spec asks.

    `y` are columns that the target `y` means all together, and `index` those that number the rows:
    they are features only where the spec names them. Raises `MisfitError` for every name
    that is no column, and for what is declared of a column that is no feature.
    """
    targets = y if y and data.targets == ("y",) else data.targets
    roles = Roles((), targets, goal, data.weights, data.split.group, data.split.time)
    plain = [name for name in columns if name not in index or name in data.columns]
    roles = replace(roles, features=_features(plain, data, roles))
    misfits = list(_misfits(columns, data, roles))
    if not misfits and not roles.features and data.features:
        message = "no column is left to predict from"
        misfits.append(Misfit(("data", "features"), message, "leave fewer out", code="TR-D025"))
    elif not misfits and not roles.features:
        message, hint = "the data has no column beside the target", "add one to predict it from"
        misfits.append(Misfit(TARGET, message, hint, code="TR-D025"))
    if misfits:
        raise MisfitError(SpecError, *misfits)
    return roles


def _features(columns: Sequence[str], data: DataSpec, roles: Roles) -> tuple[str, ...]:
    """The features that the spec names, or all columns but those that it leaves out."""
    if isinstance(data.features, tuple):
        return data.features
    no, yes = ({name for _, name in listed(data.features, part)} for part in PARTS)
    no = {*roles.others, *no} - yes
    return tuple(name for name in columns if name not in no)


def _misfits(columns: Sequence[str], data: DataSpec, roles: Roles) -> Iterator[Misfit]:
    """What is wrong with the names in the spec, in the order in which they are told."""
    there = set(columns)

    def unknown(
        name: str, path: Path, *, key: bool = False, words: tuple[str, ...] = ()
    ) -> Iterator[Misfit]:
        if name not in there and name not in words:
            hint = like(name, (*words, *columns)) or f"the columns are {listing(columns, 12)}"
            yield Misfit(path, f"the data has no column '{name}'", hint, key, code="TR-D023")

    for i, name in enumerate(roles.targets):
        yield from unknown(name, TARGET if isinstance(data.target, str) else (*TARGET, i))
    for at, name in _named_features(data):
        yield from unknown(name, ("data", "features", *at))
    for at, name in _required(data):
        yield from unknown(name, ("data", "drop_rows", "missing", *at), words=ALL)
    split: Path = ("data", "split")
    for path, role in (
        (("data", "weights"), roles.weights), ((*split, "group"), roles.group),
        ((*split, "time"), roles.time),
    ):  # fmt: skip
        if role:
            yield from unknown(role, path)
        if role in roles.targets:
            yield Misfit(path, f"'{role}' is a target", "name another column", code="TR-S036")
    for name in data.columns:
        path = ("data", "columns", name)
        yield from unknown(name, path, key=True)
        if name in there and name in roles.others and name not in roles.features:
            said = data.columns[name].model_fields_set
            if said - WRITTEN:
                hint = f"of other columns only {listing(sorted(WRITTEN), 4)} are said here"
                if name not in roles.targets and name != roles.weights:
                    hint = f"write `data.features: {{also: [{name}]}}` to make it one"
                yield Misfit(path, f"'{name}' is no feature", hint, key=True, code="TR-D026")


def _named_features(data: DataSpec) -> Iterator[tuple[Path, str]]:
    """The names in `features`, with their places below it."""
    yield from named(data.features)
    yield from listed(data.features, "except")


def _required(data: DataSpec) -> list[tuple[Path, str]]:
    """The words in `drop_rows.missing`, with their places below it."""
    asked = data.drop_rows.missing if data.drop_rows else ()
    if isinstance(asked, str):
        return [((), asked)]
    return [((i,), name) for i, name in enumerate(asked)]


def required(data: DataSpec, targets: Sequence[str], features: Sequence[str]) -> tuple[str, ...]:
    """The columns without a value in which a row is left out, each once."""
    words: dict[str, Sequence[str]] = dict(zip(ALL, (targets, features), strict=True))
    names = (words.get(word, (word,)) for _, word in _required(data))
    return tuple(dict.fromkeys(name for several in names for name in several))


# What is wanted -----------------------------------------------------------------------------------

EXPECTED: Final[Mapping[Kind | None, str]] = {
    None: "a number",
    "numeric": "a number",
    "categorical": "a category",
    "ordinal": "a category",
    "boolean": "true or false",
    "date": "a date",
}
"""What a cell is called, by the kind of its column."""


WRITTEN: Final = frozenset({"decimal", "thousands", "unit", "format"})
"""What is said of how cells are written, which may be said of every column."""


def notation_of(name: str, data: DataSpec) -> Notation:
    """How the spec says that the cells of a column are written: of it, or of all."""
    own = data.columns.get(name)
    where = own if own and (own.decimal or own.thousands) else data.source
    return Notation(
        getattr(where, "decimal", None) or PLAIN.decimal,
        getattr(where, "thousands", None) or PLAIN.thousands,
        (own.unit if own else None) or PLAIN.unit,
        (own.format if own else None) or PLAIN.format,
    )


def as_written(columns: Iterable[Column], data: DataSpec) -> tuple[Column, ...]:
    """The columns, written as the spec says."""
    return tuple(
        replace(column, notation=notation_of(column.name, data).of(column.kind))
        for column in columns
    )


@dataclass(frozen=True)
class Wanted:
    """A column to read. `kind` is None where it is to be found.

    `expected` is what a cell of it is called, `advice` what to do about one that does not fit,
    and `empty` about one that is missing. `optional` tells whether cells may be missing, and
    `identifiers` whether there may be as many categories as rows. `order` are the labels of an
    ordinal column. `notation` is how its cells are written; `formatted` tells that the format of
    dates is declared, not to be found, and `declarable` that the spec can still say more of it.
    """

    name: str
    kind: Kind | None
    expected: str
    advice: str | None = None
    empty: str = "fill it in, or leave the row out"
    optional: bool = False
    identifiers: bool = True
    order: tuple[Label, ...] = ()
    notation: Notation = PLAIN
    formatted: bool = False
    declarable: bool = False


def _leave(name: str) -> str:
    """What to do about missing cells of a column that must have values."""
    plain = name.replace(" ", "_").isidentifier()
    left = f"`data.drop_rows: {{missing: {name if plain else show(name)}}}`"
    return f"fill it in, or leave the row out: {left}"


def declaration(name: str, what: str) -> str:
    """How the spec says something of a column."""
    plain = name.replace(" ", "_").isidentifier()
    return f"`data.columns: {{{name if plain else show(name)}: {{{what}}}}}`"


def wanted_features(names: Sequence[str], data: DataSpec) -> list[Wanted]:
    """What the spec says of features."""
    return [_written(_wanted_feature(name, data), data) for name in names]


def _written(want: Wanted, data: DataSpec) -> Wanted:
    """The same, written as the spec says."""
    own = data.columns.get(want.name)
    formatted = own is not None and own.format is not None
    return replace(
        want, notation=notation_of(want.name, data), formatted=formatted, declarable=True
    )


def _wanted_feature(name: str, data: DataSpec) -> Wanted:
    declared = data.columns.get(name)
    kind = declared.kind if declared else None
    if declared and kind is None and declared.encode == "embedding":
        kind = "categorical"  # whose numbers name something
    missing = (declared.missing if declared else None) or data.missing
    advice = "correct it, or leave the column out"
    if kind is None:
        advice = f"correct it, or write {declaration(name, 'type: categorical')}"
    order = (declared.order if declared else None) or ()
    return Wanted(
        name, kind, EXPECTED[kind], advice, _fill(name, kind), missing != "error", False, order
    )


def wanted_targets(roles: Roles, data: DataSpec) -> list[Wanted]:
    """What the columns to predict must be."""
    return [_written(_wanted_target(name, roles.goal), data) for name in roles.targets]


def _wanted_target(name: str, goal: Goal) -> Wanted:
    match goal:
        case "labels":
            return Wanted(name, "boolean", "true or false", empty=_leave("target"))
        case "class":
            return Wanted(name, "categorical", "a class label", empty=_leave("target"))
        case "numbers":
            advice = "use `loss: logistic` if the column names classes"
            return Wanted(name, "numeric", "a number", advice, _leave("target"))
    assert_never(goal)


def wanted_extra(roles: Roles, data: DataSpec) -> list[Wanted]:
    """What weights, group and time must be."""
    wanted = []
    if roles.weights:
        empty = _leave(roles.weights)
        wanted.append(Wanted(roles.weights, "numeric", "a weight", empty=empty))
    if roles.group:
        empty = _leave(roles.group)
        wanted.append(Wanted(roles.group, "categorical", "a group", empty=empty))
    if roles.time:
        advice, empty = "write numbers, or dates as 2024-12-31", _leave(roles.time)
        wanted.append(Wanted(roles.time, None, "a time", advice, empty))
    return [_written(want, data) for want in wanted]


def _fill(name: str, kind: Kind | None) -> str:
    """What to do about missing cells of a feature."""
    fill = "median" if kind in (None, "numeric", "date") else "most_frequent"
    own = declaration(name, f"missing: {fill}")
    return f"write `data.missing: {fill}` or {own}, or leave the column out"


def as_found(want: Wanted, column: Column) -> Wanted:
    """What is told of a feature whose kind was found."""
    if want.kind is not None or want.identifiers:
        return want
    kind = column.kind
    return replace(want, expected=EXPECTED[kind], empty=_fill(want.name, kind))
