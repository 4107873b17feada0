"""From a table to a plan, and from a plan to a spec that trains."""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from pydantic import TypeAdapter

from trainer.data import Table, listing, load_dataset, load_head
from trainer.data.columns.roles import WRITTEN
from trainer.data.columns.table import show
from trainer.data.reading.formats import open_source
from trainer.data.reading.tablefile import TableFile
from trainer.drafting.cells import (
    ROWS,
    Judged,
    Looked,
    agree,
    ambiguous,
    as_categories,
    judge,
    look,
    shared,
)
from trainer.drafting.deciding import decide
from trainer.drafting.plan import Plan
from trainer.drafting.source import Source, source_of
from trainer.drafting.task import Loss, Task, task_of
from trainer.drafting.writing import to_text
from trainer.errors import DataError, SpecError, UsageError
from trainer.machine import machine_memory
from trainer.spec import Spec, read_spec
from trainer.spec.messages import near
from trainer.spec.names import clean_name
from trainer.spec.sources import MISSING_VALUES, FileSource, SourceSpec
from trainer.survey import Survey, survey_table
from trainer.survey.findings import is_total

_COLUMN: Final = re.compile(r"column (['\"].*['\"])")
_FEATURE: Final = re.compile(r"feature (['\"].*?['\"]) ")
_SEEDS: Final = 20
"""So many seeds are tried where a class has very few rows."""
_STREAMED: Final = 8
"""A file that takes more than this part of the memory stays on disk."""


@dataclass(frozen=True)
class Draft:
    """A spec for a table: its text, the same read, and what was found on the way."""

    text: str
    spec: Spec
    plan: Plan
    survey: Survey


def draft(
    data: Path, target: str | None, folder: Path | None = None, loss: Loss | None = None
) -> Draft:
    """A spec for the table in a file, to lie in `folder`, by default in the working folder.

    The columns are those of the whole file, but texts are looked at in its first rows; tables that
    are large for this machine's memory are drafted by their first rows alone. The spec is read, and
    the data with it, before it is handed out. Raises `DataError` for a file that cannot be read,
    and `UsageError` for a target that it does not have, or that cannot be predicted.
    """
    folder = folder or Path()
    source = source_of(data, folder, target)
    file = _opened(source, data)
    where = str(folder / f"{data.stem}.yaml")
    target = _target(target, file)
    looked = _looked(file, source, target, where)
    if not looked[target].rows:
        raise UsageError(f"'{data}' has no rows below the names of its columns", code="TR-U012")
    task = task_of(looked[target], loss)
    plan = _plan(data, source, target, looked, task)
    if data.stat().st_size > machine_memory() / _STREAMED:
        plan.data["stream"] = True
        plan.why["data.stream"] = "the table is large for the memory of this machine"
    if "" in file.names:
        plan.listed = tuple(looked)
    return _whole(plan, looked, where)


def _whole(plan: Plan, looked: Mapping[str, Looked], where: str) -> Draft:
    """The draft that follows from a plan of what the cells say, once the table can be read by it.

    A column of which something is wrong after all is left out, with that as the reason; a class of
    so few rows that none of them trains has the rows split by another seed. Raises `DataError` for
    what is wrong with the file, and `UsageError` for a table that cannot train.
    """
    names = [name for name in looked if name != plan.target]
    for _ in range(len(names) + _SEEDS):
        _check_features(plan, names)
        try:
            return _decided(deepcopy(plan), where)
        except (DataError, SpecError) as error:
            found = {name: why for name, why in _faulty(error, names) if name not in plan.out}
            for name, why in found.items():
                plan.leave_out(name, why)
            if not found and not _other_seed(plan, error):
                raise _told(error, where) from None
    raise AssertionError("each time a column is left out, or another seed is taken")


def _decided(plan: Plan, where: str) -> Draft:
    table = _load(plan, where)
    survey = survey_table(table, {})
    decide(plan, table, survey)
    _check_features(plan, table.features)
    text = to_text(plan)
    spec = read_spec(text, where)
    if not spec.data.stream:
        load_dataset(spec)
    return Draft(text, spec, plan, survey)


def _check_features(plan: Plan, names: Sequence[str]) -> None:
    """Raises `UsageError` where no column is left."""
    if any(name not in plan.out for name in names):
        return
    out = "".join(f"\n  {name}: {why}" for name, why in plan.out.items())
    message = f"no column is left from which '{plan.target}' can be predicted{out}"
    raise UsageError(message, code="TR-U012")


def _other_seed(plan: Plan, error: DataError | SpecError) -> bool:
    """Whether the rows may be split in another way, by the next seed."""
    if plan.seed + 1 == _SEEDS or all(each.code != "TR-D031" for each in error.problems):
        return False
    plan.seed += 1
    plan.why["seed"] = "with smaller ones a class had no row that trains"
    return True


def _told(error: DataError | SpecError, where: str) -> DataError | SpecError | UsageError:
    """What is wrong with a spec that nobody has is told as of the table."""
    if any(each.file != where for each in error.problems):
        return error
    said = [f"{p.message}\n  hint: {p.hint}" if p.hint else p.message for p in error.problems]
    return UsageError("the table cannot train as it is: " + "\n".join(said), code="TR-U012")


def _target(name: str | None, file: TableFile) -> str:
    """The column to predict. Raises `UsageError` where it is not there."""
    names = [each for each in (*file.names, *file.y[:1]) if each]
    if name is not None and clean_name(name) in names:
        return clean_name(name)
    message = f"{file.label} has no column '{name}'" if name else "which column is to be predicted?"
    hint = (near(name, names) if name else None) or f"the columns are {listing(names, 20)}"
    raise UsageError(f"{message}\n  hint: `--target COLUMN`: {hint}", code="TR-U012")


def _opened(source: Source, path: Path) -> TableFile:
    form = TypeAdapter[object](SourceSpec).validate_python(source.keys)
    return open_source(cast("FileSource", form), path)


def _looked(file: TableFile, source: Source, target: str, where: str) -> dict[str, Looked]:
    """What the columns look like; those that hold no cells, as lists, are told of as unfit. What
    cannot be read at all is told as it is in training.
    """
    unfit: dict[str, str] = {}
    try:
        while True:
            try:
                return look(file, target, unfit)
            except DataError as error:
                names = [name for name in file.names if name not in {*unfit, target}]
                found = dict(_faulty(error, names))
                if not found:
                    raise
                unfit |= found
    except (ValueError, csv.Error, OSError):
        plan = Plan("draft", "", source, target, "squared", "")
        _load(plan, where)
        raise


def _plan(
    data: Path, source: Source, target: str, looked: Mapping[str, Looked], task: Task
) -> Plan:
    """What the cells of each column decide."""
    judged = {name: judge(each) for name, each in looked.items() if name != target}
    judged[target] = task.judged
    command = shlex.join(["train", "init", data.name, "--target", target])
    head = f"Written by `{command}`: a start, to be changed."
    plan = Plan(_name(data), head, source, target, task.loss, task.why)
    agree(judged, looked)
    for name in [*ambiguous(judged, looked)]:
        if name != target and judged[name].kind == "boolean":
            judged[name] = as_categories(looked[name])
        elif name != target:
            marks = listing(list(map(show, judged[name].nothing)), 3)
            judged[name] = Judged(out=f"has {marks} among its values, which another column means")
    _say_nothing(plan, judged)
    alike = shared(judged, looked)
    source.keys |= alike
    for name, each in judged.items():
        says = {key: what for key, what in each.says.items() if alike.get(key) != what}
        if each.out:
            plan.leave_out(name, each.out)
        elif name == target:
            written = {key: what for key, what in says.items() if key in WRITTEN}
            plan.say(name, each.why if written else "", **written)
        elif says:
            plan.say(name, each.why, **says)
    plan.oddities |= source.odd
    for name, column in looked.items():
        if column.texts[column.last] == 1 and is_total(column.last):
            text = show(column.last)
            plan.oddities[name] = f"is {text} in the last row: a sum of the others? delete that row"
    plan.data["missing"] = "median"  # until it is known what is missing
    if looked[target].missing or task.judged.nothing:
        plan.data["drop_rows"] = {"missing": "target"}
        plan.why["data.drop_rows"] = f"rows without '{target}' cannot train"
    return plan


def _say_nothing(plan: Plan, judged: Mapping[str, Judged]) -> None:
    """What stands for nothing in the whole file, beside what always does."""
    found: dict[str, str] = {}
    for name, each in judged.items():
        for text in each.nothing if not each.out else ():
            found.setdefault(text.strip(), name)
    new = [text for text in found if text not in MISSING_VALUES]
    if not new or "csv" not in plan.source.keys:
        return
    plan.source.keys["missing_values"] = [*MISSING_VALUES, *new]
    marks = [f"{show(text)} in {show(found[text])}" for text in new[:4]]
    plan.source.why["missing_values"] = f"for nothing stand also {listing(marks, 3)}"


def _name(data: Path) -> str:
    """The name of the table as that of a spec."""
    plain = re.sub(r"[^\w.-]+", "_", data.name.split(".")[0]).strip("_.-")
    return plain or "table"


# Reading -----------------------------------------------------------------------------------------


def _load(plan: Plan, where: str) -> Table:
    return load_head(read_spec(to_text(plan), where), ROWS)[0]


def _faulty(error: DataError | SpecError, names: list[str]) -> Iterator[tuple[str, str]]:
    """The columns of which problems tell, and what they tell."""
    for problem in error.problems:
        told = _COLUMN.search(problem.path) or _FEATURE.search(problem.message)
        for name in names:
            if told and told[1] in (show(name), f"'{name}'"):
                yield name, problem.message
