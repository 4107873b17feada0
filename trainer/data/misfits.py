"""What does not fit between a spec and its data: raised where it is found, located once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from trainer.errors import DataError, SpecError
from trainer.spec.document import Path
from trainer.spec.schema import Spec


class Misfit(NamedTuple):
    """What is wrong with the value at a path of the spec, or with its `key`; and what to do."""

    path: Path
    message: str
    hint: str | None = None
    key: bool = False
    code: str | None = None


class MisfitError(Exception):
    """What does not fit, before it is located; `kind` is the error that people are shown."""

    def __init__(self, kind: type[DataError | SpecError], *misfits: Misfit) -> None:
        super().__init__(*misfits)
        self.kind, self.misfits = kind, misfits


@contextmanager
def located(spec: Spec) -> Iterator[None]:
    """`DataError` or `SpecError`, with the places in the spec, for what does not fit it."""
    try:
        yield
    except MisfitError as error:
        problems = [
            spec.problem(each.path, each.message, each.hint, key=each.key, code=each.code)
            for each in error.misfits
        ]
        raise error.kind(problems) from None
