"""Programs made of definitions that stand in files: each is copied with all that it needs.

What a file of this package defines is followed from name to name, other modules are imported.
Functions lose the types of their arguments, which only this package checks; classes keep them.
"""

from __future__ import annotations

import ast
import re
import symtable
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from trainer.export.literals import literal
from trainer.export.runtime import facts, model

PACKAGE: Final = __name__.partition(".")[0]
EXAMPLE: Final = (facts.__name__, model.__name__)
"""The files whose definitions are those of an example: a program has its own."""
_FOR_CHECKERS: Final = re.compile(r"  # (type: ignore|noqa).*")


@dataclass(frozen=True)
class File:
    """What a Python file has at its top level, by name: `definitions` as texts, `imports` as the
    module and the name in it, which is empty for the module itself. `ending` is what runs when the
    file does.
    """

    definitions: Mapping[str, str]
    imports: Mapping[str, tuple[str, str]]
    ending: str


@dataclass
class Program:
    """Collects what a program consists of; `text` writes it.

    What is `own` stands in it in place of the definition of that name in any file.
    """

    own: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)
    _ordered: list[str] = field(default_factory=list)
    _modules: set[str] = field(default_factory=set)
    _members: dict[str, set[str]] = field(default_factory=dict)

    def give(self, name: str, text: str, *files: str) -> None:
        """A definition of the program's own, and the files whose names it uses, if any."""
        self.own[name] = text, files

    def set(self, name: str, value: object) -> None:
        """A constant: a value of Python's own plain types."""
        self.give(name, f"{name} = {literal(value)}")

    def choose(self, name: str, function: Callable[..., Any]) -> None:
        """A function of some file, which other files call by this name."""
        text = read_file(function.__module__).definitions[function.__name__]
        text = text.replace(f"def {function.__name__}(", f"def {name}(", 1)
        self.give(name, text, function.__module__)

    def text(self, docstring: str, names: Iterable[str], file: str) -> str:
        """The program: these names, the ending of `file`, and what they need."""
        ending = read_file(file).ending
        for name in [*names, *names_used(ending)]:
            self._need(name, (file,))
        parts = [docstring, self._import_lines(), self._definitions(), ending]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _need(self, name: str, files: tuple[str, ...]) -> None:
        """Adds what a name stands for in these files, after what that needs itself."""
        if name in self.own:
            self._add(name, *self.own[name])
            return
        for file in files:
            known = read_file(file)
            if name in known.definitions:
                if file in EXAMPLE:
                    raise ValueError(f"a program needs '{name}' of its own")
                self._add(name, known.definitions[name], (file,))
                return
            if name in known.imports:
                self._need_import(name, *known.imports[name])
                return

    def _need_import(self, name: str, module: str, member: str) -> None:
        if module.partition(".")[0] == PACKAGE:
            self._need(member, (module,))
        elif member:
            self._members.setdefault(module, set()).add(member)
        else:
            self._modules.add(f"import {module}" + (f" as {name}" if name != module else ""))

    def _add(self, name: str, text: str, files: tuple[str, ...]) -> None:
        if name in self._known:
            if self._known[name] != text:
                raise ValueError(f"two definitions of '{name}' meet in one program")
            return
        self._known[name] = text
        for needed in names_used(text) if files else ():
            self._need(needed, files)
        self._ordered.append(text)

    def _import_lines(self) -> str:
        """Python's own modules first, each kind in the order of its letters."""
        lines = sorted(self._modules) + [
            f"from {module} import {', '.join(sorted(self._members[module]))}"
            for module in sorted(self._members)
        ]
        own = [line for line in lines if re.split("[ .]", line)[1] in sys.stdlib_module_names]
        others = [line for line in lines if line not in own]
        return "\n\n".join("\n".join(group) for group in (own, others) if group)

    def _definitions(self) -> str:
        """Lines of constants, then functions two lines apart."""
        text, blocks = "", True  # as if imports were a block
        for found in dict.fromkeys(self._ordered):
            block = found.startswith(("def ", "class ", "@"))
            text += ("\n\n" if block or (blocks and text) else "") + found + "\n"
            blocks = block
        return text.removeprefix("\n")


@cache
def read_file(module: str) -> File:
    """What the file of a module has; the module is not imported."""
    found = find_spec(module)
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).read_text(encoding="utf-8")
    lines = _FOR_CHECKERS.sub("", _untyped(source)).split("\n")
    definitions: dict[str, str] = {}
    imports: dict[str, tuple[str, str]] = {}
    ending = []
    for statement in ast.parse("\n".join(lines)).body:
        first = min([statement, *getattr(statement, "decorator_list", [])], key=lambda n: n.lineno)
        text = "\n".join(lines[first.lineno - 1 : statement.end_lineno])
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                definitions[name] = text
            case ast.Assign(targets=[ast.Name(id=name)]):
                definitions[name] = text
            case ast.Assign(targets=[ast.Tuple(elts=elements)]):
                definitions |= {ast.unparse(name): text for name in elements}
            case ast.Import(names=names):
                imports |= {alias.asname or alias.name: (alias.name, "") for alias in names}
            case ast.ImportFrom(module=str(origin), names=names) if origin != "__future__":
                imports |= {alias.asname or alias.name: (origin, alias.name) for alias in names}
            case ast.Expr(value=ast.Constant()):
                pass  # a docstring
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.ImportFrom():
                pass
            case _:
                ending.append(text)
    return File(definitions, imports, "\n".join(ending))


def names_used(text: str) -> list[str]:
    """The names that a text takes from outside of its functions, in order."""
    return list(dict.fromkeys(_globals(symtable.symtable(text, "program", "exec"))))


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _globals(child)


def _untyped(source: str) -> str:
    """The source without the types of top-level functions and names."""
    spans: list[tuple[int, int]] = []
    raw = source.encode()
    starts = [0]
    for line in raw.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def cut(begin: int, node: ast.expr) -> None:
        """Away with the type that ends with this node; a default stands closer then."""
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        spans.append((begin, starts[node.end_lineno - 1] + node.end_col_offset))

    def place(node: ast.expr | ast.arg) -> int:
        return starts[node.lineno - 1] + node.col_offset

    tree = ast.parse(source)
    for function in [node for top in tree.body if isinstance(top, ast.FunctionDef)
                     for node in ast.walk(top) if isinstance(node, ast.FunctionDef)]:  # fmt: skip
        every = function.args
        for argument in [*every.posonlyargs, *every.args, *every.kwonlyargs]:
            if argument.annotation is not None:
                cut(place(argument) + len(argument.arg.encode()), argument.annotation)
        if function.returns is not None:
            arrow = raw.rindex(b"->", 0, place(function.returns))
            cut(raw.rindex(b")", 0, arrow) + 1, function.returns)
    for statement in [node for top in tree.body if not isinstance(top, ast.ClassDef)
                      for node in ast.walk(top)]:  # fmt: skip
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            target = statement.target
            cut(place(target) + len(target.id.encode()), statement.annotation)
    for begin, end in sorted(spans, reverse=True):
        default = raw[end : end + 3] == b" = " and b"(" in raw[raw.rfind(b"\n", 0, begin) : begin]
        raw = raw[:begin] + (b"=" + raw[end + 3 :] if default else raw[end:])
    return raw.decode()
