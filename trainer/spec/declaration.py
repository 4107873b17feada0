"""What every validated YAML file is: it knows its place, and can be changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final, Self

from pydantic import PrivateAttr, ValidationError

from trainer.addresses import without_secrets
from trainer.errors import Problem, SpecError
from trainer.spec.changes import Changes, as_document, with_changes
from trainer.spec.document import Map, Path, Value, locate, plain, show_path
from trainer.spec.explain import explain
from trainer.spec.fields import Strict
from trainer.spec.messages import plural

MAX_PROBLEMS: Final = 100


class Declaration(Strict):
    """The content of one YAML file, whose problems are located in the file."""

    file_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of its file that are none of its values."""
    _document: Map | None = PrivateAttr(default=None)
    _text: str | None = PrivateAttr(default=None)
    _file: str | None = PrivateAttr(default=None)

    @classmethod
    def from_document(
        cls,
        root: Map,
        problems: Iterable[Problem] = (),
        *,
        file: str | None = None,
        text: str | None = None,
    ) -> Self:
        """The validated tree of a document. Raises `SpecError` with every problem that was found,
        those of its structure, which are given, among them.
        """
        values, found, made = plain(root), [*problems], None
        try:
            made = cls.model_validate(values)
        except ValidationError as error:
            found += located(error, cls, root, values)
        else:
            made._keep(root, file, text)
            found = found or made.faults()
        if made is None or found:
            raise SpecError(in_order(found, file))
        return made

    def _keep(self, root: Map, file: str | None, text: str | None) -> None:
        """Remembers where the values come from."""
        self._document, self._file = root, file
        self._text = text and without_secrets(text)  # its comments may hold some

    @classmethod
    def from_resolved(
        cls, values: Mapping[str, Any], *, file: str | None = None, text: str | None = None
    ) -> Self:
        """What has these values, as `resolved` gave them.

        `file` and `text` are those of the YAML that they came from; problems name the file.
        Raises `SpecError`.
        """
        try:
            document = as_document(values, file or "")
        except TypeError as error:
            raise SpecError(f"what was kept is no spec: {error}", code="TR-S023") from None
        return cls.from_document(document, file=file, text=text)

    def changed(self, changes: Changes) -> Self:
        """The same with other values, validated as a file is.

        `changes` are values by key, `{"sgd.epochs": 100, "model.layers.0.units": 8}`, as YAML
        would hold them, or texts `key=value`. What is left out is found anew: another activation
        brings its own `init`, unless the spec says one. Problems of a changed value are located at
        its key, those of others where they were. Raises `SpecError`, and `UsageError` for changes
        that are not of this form.
        """
        root, problems = with_changes(self.document, changes, label="")
        return self.from_document(root, problems, file=self._file, text=self._text)

    def faults(self) -> list[Problem]:
        """What is wrong beyond the values of single fields."""
        return []

    def resolved(self) -> dict[str, Any]:
        """All values with every default filled in, as plain JSON values."""
        return self.model_dump(mode="json")

    def written(self) -> dict[str, Any]:
        """The values that the file or the program said, as plain JSON values; no defaults."""
        values = plain(self.document)
        assert isinstance(values, dict)
        return values

    @classmethod
    def files_in(cls, root: Map) -> Iterator[tuple[Map, str]]:
        """Where a document names files: the mappings, and their keys."""
        return iter(())

    @property
    def document(self) -> Map:
        """The tree of what was written, each value with its place."""
        return self._document or as_document(self.model_dump(mode="json", exclude_unset=True))

    @property
    def text(self) -> str | None:
        """The YAML as it was written, where it came from a file; addresses without secrets."""
        return self._text

    @property
    def file(self) -> str | None:
        """The path of the YAML file as it was given."""
        return self._file

    def problem(
        self,
        path: Path,
        message: str,
        hint: str | None = None,
        *,
        key: bool = False,
        span: tuple[int, int] | None = None,
        code: str | None,
    ) -> Problem:
        """A problem with the value at `path`, or with its `key`, located in the file; of a text
        with the characters of `span`: where they begin, and how many they are.
        """
        shown = show_path(path)
        if self._document is None:
            return Problem(shown, message, hint, code=code)
        return locate(self._document, path, key=key, span=span).problem(
            shown, message, hint, code=code
        )


def located(
    error: ValidationError, kind: type[Declaration], root: Map, values: Value
) -> list[Problem]:
    """Pydantic's errors in our words and in the file."""
    explained = (explain(item, kind, values) for item in error.errors(include_url=False))
    return [
        locate(root, path, key=key).problem(show_path(path), message, hint, code=code)
        for path, message, hint, key, code in filter(None, explained)
    ]


def in_order(problems: Iterable[Problem], file: str | None) -> list[Problem]:
    """Problems of the file in its order, then those of changes; of very many, the first."""
    ordered = sorted(
        dict.fromkeys(problems), key=lambda p: (p.file != file, p.line or 0, p.column or 0)
    )
    more = len(ordered) - MAX_PROBLEMS
    if more <= 0:
        return ordered
    rest = f"{plural(more, 'more problem')} like these"
    return [*ordered[:MAX_PROBLEMS], Problem("", rest, file=ordered[0].file, code="TR-S027")]
