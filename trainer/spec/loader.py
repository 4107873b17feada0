"""From a YAML file and overrides to a validated `Spec`, with every mistake reported at once."""

from __future__ import annotations

import codecs
from pathlib import Path as FilePath
from typing import Final

from trainer.errors import Problem, SpecError, UsageError
from trainer.inputs import NotAFileError, check_regular, open_regular
from trainer.spec.changes import Changes, with_changes
from trainer.spec.declaration import in_order
from trainer.spec.document import Map, Source, parse, plain
from trainer.spec.messages import describe, near
from trainer.spec.schema import Sketch, Spec

MAX_BYTES: Final = 2**20
SWEEP_KEYS: Final = frozenset({"spec", "space", "search", "halving", "objective"})
"""Keys that a sweep has and a spec has not."""


def load_spec(path: str | FilePath, overrides: Changes | None = None) -> Spec:
    """The validated spec in the YAML file `path`.

    `overrides` replaces values before validation: a mapping such as
    `{"sgd.learning_rate": 0.01, "model.layers.0.units": 32}`, or texts `key=value` whose value
    is YAML. Raises `SpecError` with every problem that was found, and `UsageError` for
    overrides that are not of this form.
    """
    return read_spec(read_text(FilePath(path)), str(path), overrides)


def read_spec(text: str, file: str, overrides: Changes | None = None) -> Spec:
    """As `load_spec`, from the text of the file at this path."""
    root, problems = read_root(text, file, overrides)
    _check_is_run(root, file)
    if is_sketch(root):
        raise UsageError(
            f"{file} declares a graph without data, which cannot be trained\n"
            f"  hint: train explain {file} shows it"
        )
    return Spec.from_document(root, problems, file=file, text=text)


def load_any(path: str | FilePath, overrides: Changes | None = None) -> Spec | Sketch:
    """As `load_spec`, or the graph without data that the file declares."""
    file, text = str(path), read_text(FilePath(path))
    root, problems = read_root(text, file, overrides)
    _check_is_run(root, file)
    kind = Sketch if is_sketch(root) else Spec
    return kind.from_document(root, problems, file=file, text=text)


def read_root(text: str, file: str, overrides: Changes | None) -> tuple[Map, list[Problem]]:
    """The tree with the overrides in it, and its problems. Raises `SpecError` where there are no
    keys to check.
    """
    root, problems = parse(text, file)
    hint = "begin with `name: …`"
    if isinstance(root, Map):
        root, found = with_changes(root, overrides)
        return root, problems + found
    if root is not None:
        message = f"expected a mapping of keys, found {describe(plain(root))}"
        problems.append(root.mark.problem("", message, hint))
    elif not problems:
        start = Source.of(file, text).after("")
        problems.append(start.problem("", "the file is empty", hint))
    raise SpecError(in_order(problems, file))


def is_sweep(root: Map) -> bool:
    """Whether the document declares many runs, as `train sweep` takes it."""
    return not SWEEP_KEYS.isdisjoint(root.entries)


def _check_is_run(root: Map, file: str) -> None:
    if is_sweep(root):
        raise UsageError(f"{file} declares a sweep, which is many runs\n  hint: train sweep {file}")


def is_sketch(root: Map) -> bool:
    """Whether the document declares equations on given numbers, without data to train on."""
    model = root.entries.get("model")
    equations = model is not None and isinstance(model[1], Map) and "equations" in model[1].entries
    return equations and not {"data", "sgd"} & root.entries.keys()


def read_text(file: FilePath) -> str:
    """The file's text, or a `SpecError` that says why it cannot be had."""

    def fail(message: str, hint: str | None = None) -> SpecError:
        return SpecError(Problem("", message, hint, file=str(file)))

    try:
        status = check_regular(file)
        if status.st_size > MAX_BYTES:
            size = f"{status.st_size / 2**20:.1f} MiB"
            raise fail(f"a spec of {size} is too large (at most {MAX_BYTES // 2**20} MiB)",
                       "keep data in a file of its own: `source: {csv: …}`")  # fmt: skip
        with open_regular(file) as opened:
            data = opened.read()
    except NotAFileError as error:
        hint = _specs_in(file) if error.what == "a directory" else "give the path of a YAML file"
        raise fail(f"this is {error.what}", hint) from None
    except FileNotFoundError:
        raise fail("no such file", _near_file(file)) from None
    except OSError as error:
        raise fail(f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in the path, or what the file system cannot encode
        raise fail("no file can have this name") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise fail("this file is UTF-16", "save it as UTF-8")
    return _decode(data.removeprefix(codecs.BOM_UTF8), str(file))


def _decode(data: bytes, file: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        source = Source.of(file, data.decode(errors="replace"))
        mark = source.after(data[: error.start].decode())
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise SpecError(mark.problem("", message, "save the file as UTF-8")) from None


def _near_file(file: FilePath) -> str | None:
    if not file.parent.is_dir():
        return f"there is no directory '{file.parent}'"
    known = [path.name for path in file.parent.glob("*.y*ml")]
    return near(file.name, known) or near(f"{file.name}.yaml", known)


def _specs_in(folder: FilePath) -> str:
    names = sorted(path.name for path in folder.glob("*.yaml"))
    return f"it holds {', '.join(names[:5])}" if names else "give the path of a YAML file"
