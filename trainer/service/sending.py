"""Files that were sent to the service, as specs name them: `{upload: SHA-256, as: csv}`.

They stand where a spec has a source or the path of a file. The file has its hash as its name, and a
second name that ends as its kind, so that a spec is read as if it named a file beside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from trainer.data.reading.files import KINDS
from trainer.data.reading.packed import COMPRESSED
from trainer.errors import Problem
from trainer.spec.document import List, Map, Mark, Node, Scalar
from trainer.spec.messages import describe, near_or_all

UPLOADS: Final = "uploads"
"""The folder of files that were sent, below that of runs."""
PARTS: Final = ("validation", "test")
"""Keys of `data` whose value is a file."""
_SHA256: Final = re.compile("[0-9a-f]{64}")
_KINDS: Final[Mapping[str, tuple[str, str]]] = {
    **{suffix[1:]: (key, suffix) for key, kind in KINDS.items() for suffix in kind.suffixes},
    **{key: (key, kind.suffixes[0]) for key, kind in KINDS.items()},
}
"""What `as` says: the key of the source, and how the file's name ends."""


@dataclass
class Sent:
    """A document in which files that were sent are named as files of a folder; the names, and what
    is wrong.
    """

    root: Map
    names: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def with_uploads(root: Map, folder: Path, has: Callable[[str], bool]) -> Sent:
    """The document with its uploads as files of the folder; `has` says whether who names a file by
    its SHA-256 has sent all of it.
    """
    return _Uploads(folder, has).put_into(root)


def without_folders(text: str, folders: Iterable[Path]) -> str:
    """What was said of files, without the folders of this machine."""
    for folder in folders:
        text = text.replace(f"{folder}/", "").replace(str(folder), "its folder")
    return text


def drop_names(folder: Path, sha256: str) -> None:
    """Takes the names from a file that is dropped."""
    for path in folder.glob(f"{sha256}.*"):
        path.unlink(missing_ok=True)


class _Uploads:
    def __init__(self, folder: Path, has: Callable[[str], bool]) -> None:
        self._folder, self._has = folder, has
        self._names: list[str] = []
        self._problems: list[Problem] = []

    def put_into(self, root: Map) -> Sent:
        """Works on a spec, on a sweep whose spec has its values in place, and on one beside it."""
        root = self._with_data(root, "")
        spec = root.entries.get("spec")
        if spec is not None and isinstance(spec[1], Map):
            root = _with(root, "spec", self._with_data(spec[1], "spec."))
        return Sent(root, self._names, self._problems)

    def _with_data(self, root: Map, before: str) -> Map:
        if "data" not in root.entries or not isinstance(root.entries["data"][1], Map):
            return root
        data = root.entries["data"][1]
        source = data.entries.get("source")
        if source is not None and isinstance(source[1], Map):
            made = self._source(source[1], f"{before}data.source")
            data = _with(data, "source", made)
        for part in PARTS:
            if part in data.entries:
                made_part = self._path(data.entries[part][1], f"{before}data.{part}", "csv")
                data = _with(data, part, made_part)
        return _with(root, "data", data)

    def _source(self, source: Map, path: str) -> Map:
        """The source of a file, in whose options another file may stand."""
        if "upload" not in source.entries:
            entries = {
                key: (mark, self._path(node, f"{path}.{key}", key))
                for key, (mark, node) in source.entries.items()
            }
            return Map(source.mark, entries)
        name = self._path(source, path, None, whole=False)
        mark = source.entries["upload"][0]
        key = self._kind(source, path)[0]
        others = {k: v for k, v in source.entries.items() if k not in ("upload", "as")}
        for other in others.keys() & KINDS.keys():
            problem = others.pop(other)[0].problem(
                f"{path}.{other}", "a file that was sent stands here already",
                f"leave it out; where `defaults` says it, write `{other}: null`",
                code="TR-S019",
            )  # fmt: skip
            self._problems.append(problem)
        others = {k: (m, self._path(n, f"{path}.{k}", key)) for k, (m, n) in others.items()}
        return Map(source.mark, {key: (mark, name), **others})

    def _path(self, node: Node, path: str, usual: str | None, whole: bool = True) -> Node:
        """The name of a file, where one stands that was sent."""
        if isinstance(node, List):
            items = [self._path(item, f"{path}[{i}]", usual) for i, item in enumerate(node.items)]
            return List(node.mark, items)
        if not isinstance(node, Map) or "upload" not in node.entries:
            return node
        if whole:
            for key in node.entries.keys() - {"upload", "as"}:
                mark = node.entries[key][0]
                self._problems.append(
                    mark.problem(f"{path}.{key}", "unknown key", "leave it out", code="TR-S011")
                )
        key_mark, value = node.entries["upload"]
        mark = value.mark if isinstance(value, Scalar) else key_mark
        sha256 = value.value if isinstance(value, Scalar) else None
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256):
            found = describe(sha256) if isinstance(value, Scalar) else "several values"
            message = f"expected the SHA-256 of a file in 64 hexadecimal digits, found {found}"
            self._problems.append(mark.problem(f"{path}.upload", message, code="TR-S016"))
            return Scalar("none", mark)
        _, suffix = self._kind(node, path, usual)
        return Scalar(self._named(sha256, suffix, mark, path), mark)

    def _named(self, sha256: str, suffix: str, mark: Mark, path: str) -> str:
        """The name of the file that ends so; it is made where it is not there."""
        name = f"{sha256}{suffix}"
        if not self._has(sha256) or not (self._folder / sha256).is_file():
            hint = "send it first: train upload FILE"
            message = "you have sent no such file"
            self._problems.append(mark.problem(f"{path}.upload", message, hint, code="TR-V006"))
        else:
            with suppress(FileExistsError):
                os.link(self._folder / sha256, self._folder / name, follow_symlinks=False)
        self._names.append(name)
        return name

    def _kind(self, node: Map, path: str, usual: str | None = None) -> tuple[str, str]:
        """The key of the source, and how the name of the file ends."""
        mark, value = node.entries.get("as", (node.entries["upload"][0], None))
        said: Any = value.value if isinstance(value, Scalar) else usual if value is None else None
        text, packed = str(said), ""
        for each in COMPRESSED:
            if text.endswith(each):
                text, packed = text.removesuffix(each), each
        if text in _KINDS and isinstance(said, str):
            key, suffix = _KINDS[text]
            return key, suffix + packed
        if all(problem.path != f"{path}.as" for problem in self._problems):
            found = f", found {describe(said)}" if said else ""
            message = f"expected the kind of the file{found}"
            hint = near_or_all(said, tuple(KINDS))
            self._problems.append(mark.problem(f"{path}.as", message, hint, code="TR-S015"))
        return "csv", ".csv"


def _with(root: Map, key: str, node: Node) -> Map:
    return Map(root.mark, {**root.entries, key: (root.entries[key][0], node)})


# In the schema ----------------------------------------------------------------------------------


def schema_with_uploads(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema of specs, or of sweeps, in which files may be those that were sent."""
    upload = {
        "type": "object",
        "title": "Upload",
        "description": "A file that was sent to this service, by its SHA-256.",
        "properties": {
            "upload": {"type": "string", "pattern": "^[0-9a-f]{64}$",
                       "description": "The SHA-256 of the file."},
            "as": {"type": "string", "description": "Its kind, such as csv, csv.gz or parquet."},
        },
        "required": ["upload", "as"],
    }  # fmt: skip
    made = dict(schema)
    made["$defs"] = {**schema.get("$defs", {}), "Upload": upload}
    for data in _data_parts(made):
        for key in ("source", *PARTS):
            if key in data["properties"]:
                known = data["properties"][key]
                about = {k: known[k] for k in ("description", "default") if k in known}
                data["properties"][key] = {"anyOf": [known, {"$ref": "#/$defs/Upload"}], **about}
    return made


def _data_parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The definitions of `data`."""
    for name, each in list(schema["$defs"].items()):
        if name == "DataSpec":
            fresh = {**each, "properties": dict(each["properties"])}
            schema["$defs"][name] = fresh
            yield fresh
