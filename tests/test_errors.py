"""Errors have codes, which the catalogue explains: each place that raises one gives its code, and
what people read ends with it.

`docs/errors.yaml` keeps the messages that are met here, for the page.
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from conftest import ROOT, Train, WriteSpec

import trainer.errors
from trainer.cli.commands import COMMANDS, Loaded
from trainer.codes import ENTRIES, LETTERS
from trainer.errors import DataError, Problem, SpecError, TrainerError, UsageError

MET: Final[Mapping[str, str]] = yaml.safe_load((ROOT / "docs" / "errors.yaml").read_text())
"""The first line of a message of each code that is cheap to meet."""

# The catalogue ----------------------------------------------------------------------------------


def test_codes_are_numbered_by_letter_without_gaps() -> None:
    for letter, (about, entries) in LETTERS.items():
        assert about
        assert [each.code for each in entries] == [
            f"TR-{letter}{number:03}" for number in range(1, len(entries) + 1)
        ]


@pytest.mark.parametrize("code", ENTRIES)
def test_an_entry_says_what_why_and_what_to_do(code: str) -> None:
    entry = ENTRIES[code]
    assert not entry.title.endswith("."), "a title is no sentence"
    assert entry.why.endswith((".", ":"))
    assert entry.do.endswith(".")
    assert len({entry.title, entry.why, entry.do}) == 3


def examples() -> Iterator[tuple[str, str]]:
    for entry in ENTRIES.values():
        for line in entry.example.splitlines():
            words = re.sub(r"^(\w+=\S+ )+", "", line)
            if words.startswith("train ") and not words.endswith("--help"):
                yield entry.code, words.removeprefix("train ")


@pytest.mark.parametrize(("code", "words"), [*examples()])
def test_the_commands_in_examples_are_there(code: str, words: str, folder: Path) -> None:
    """With their options: what names files or runs is not looked for."""
    arguments = shlex.split(words)
    if arguments[0] not in COMMANDS:
        arguments = ["run", *arguments]
    command: Any = Loaded()[arguments.pop(0)]
    while hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        command = command.commands[arguments.pop(0)]
    command.make_context("train", arguments)


@pytest.mark.parametrize(
    "code", [code for code, entry in ENTRIES.items() if re.match(r"[-\w.]+:[ \n]", entry.example)]
)
def test_the_keys_in_examples_are_yaml(code: str) -> None:
    assert isinstance(yaml.safe_load(ENTRIES[code].example), dict)


# What raises ------------------------------------------------------------------------------------

CODE: Final = re.compile(r"TR-[A-Z][0-9]{3}")
FAMILY: Final = {
    name for name, thing in vars(trainer.errors).items()
    if inspect.isclass(thing) and issubclass(thing, TrainerError)
}  # fmt: skip
MADE_OF_PROBLEMS: Final = {"SpecError", "GraphError", "DataError"}
SAID: Final = {"Problem", "Misfit", "EquationError", "problem", "wrong"}
"""What else says what is wrong, to become a part of an error."""


def name_of(node: ast.expr) -> str:
    """The last part of a name."""
    return getattr(node, "id", getattr(node, "attr", ""))


def family(trees: Iterable[ast.Module]) -> tuple[set[str], set[str]]:
    """The classes of errors by their names, and those of them that have a code of their own."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found, coded = {*FAMILY}, set[str]()
    for _ in classes:  # as often as classes may stand above each other
        before = len(found) + len(coded)
        for each in classes:
            bases = {*map(name_of, each.bases)}
            own = any(
                isinstance(line, ast.Assign) and name_of(line.targets[0]) == "code"
                for line in each.body
            )
            if each.name in found or bases & found:
                found.add(each.name)
                coded |= {each.name} if own or bases & coded else set()
        if len(found) + len(coded) == before:
            break
    return found, coded


def without_code(tree: ast.Module, errors: set[str], coded: set[str]) -> Iterator[int]:
    """The lines that raise or describe an error, and give no code."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not (call.args or call.keywords):
            continue
        name, first = name_of(call.func), call.args[0] if call.args else None
        is_text = isinstance(first, ast.JoinedStr | ast.BinOp) or (
            isinstance(first, ast.Constant) or name_of(first or call.func) in ("message", "text")
        )
        of_text = name in errors - coded and (name not in MADE_OF_PROBLEMS or is_text)
        if name in SAID or of_text:
            code = next((each.value for each in call.keywords if each.arg == "code"), None)
            known = isinstance(code, ast.Constant | ast.IfExp | ast.Name | ast.Attribute | ast.Call)
            if not known or (isinstance(code, ast.Constant) and code.value not in ENTRIES):
                yield call.lineno


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    """The package, but for the catalogue and what is copied into programs."""
    package = ROOT / "trainer"
    paths = [path for path in package.rglob("*.py") if path.parent != package / "codes"]
    return {path.relative_to(ROOT): ast.parse(path.read_text()) for path in sorted(paths)}


def test_each_place_that_raises_gives_a_code(trees: Mapping[Path, ast.Module]) -> None:
    """One that is known, or the one that it was told: of another error, or by who calls it."""
    errors, coded = family(trees.values())
    told = {Path("trainer/spec/document.py"): 1}  # Mark.problem, which hands on all that it has
    for path, tree in trees.items():
        lines = [*without_code(tree, errors, coded)]
        assert len(lines) <= told.get(path, 0), f"{path}: {lines}"


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("raise UsageError('no')", [1]),
        ("raise UsageError('no', code='TR-U999')", [1]),
        ("raise UsageError('no', code='TR-U001')", []),
        ("raise SpecError(f'{no}')", [1]),
        ("raise SpecError(problems)", []),
        ("raise SpecError(spec.problem(('a',), 'no'))", [1]),
        ("x = 1\nreturn Misfit(('a',), 'no', 'do')", [2]),
        ("raise wrong('no', code='TR-S013')", []),
        ("class Ours(UsageError):\n    code = 'TR-U001'\nraise Ours('no')", []),
        ("class Ours(UsageError):\n    kind = 'ours'\nraise Ours('no')", [3]),
    ],
)
def test_a_code_that_is_missing_is_found(planted: str, found: list[int]) -> None:
    tree = ast.parse(planted)
    assert [*without_code(tree, *family([tree]))] == found


def test_each_code_is_given_somewhere_and_each_that_is_given_is_known(
    trees: Mapping[Path, ast.Module],
) -> None:
    given = {
        node.value
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if CODE.fullmatch(node.value)
    }
    assert given == {*ENTRIES}


# How it reads -----------------------------------------------------------------------------------


def test_the_first_line_ends_with_the_code() -> None:
    error = UsageError("no such thing\n  hint: another one", code="TR-U001")
    assert str(error) == "no such thing [TR-U001]\n  hint: another one"
    assert error.message == "no such thing\n  hint: another one"
    assert error.as_json() == {
        "error": "usage", "exit_code": 2, "code": "TR-U001",
        "message": "no such thing\n  hint: another one",
    }  # fmt: skip


def test_a_text_brings_its_code_along() -> None:
    """So what another process or machine has told keeps it."""
    first = DataError("a cell is wrong\n  hint: mend it", code="TR-D018")
    again = DataError(str(first))
    assert (str(again), again.code, again.problems[0].code) == (str(first), "TR-D018", "TR-D018")
    assert str(UsageError(str(first), code="TR-U001")) == str(first)


def test_each_problem_has_its_code_before_its_place_is_shown() -> None:
    error = SpecError([
        Problem("a", "no", "do", "s.yaml", 1, 4, "a: 1", code="TR-S013"),
        Problem("b", "never", file="s.yaml", code="TR-S011"),
    ])  # fmt: skip
    assert str(error) == (
        "s.yaml:1:4: a: no [TR-S013]\n    1 | a: 1\n      |    ^\n      hint: do\n"
        "s.yaml: b: never [TR-S011]"
    )
    assert error.code == "TR-S013"
    assert "TR-" not in error.message
    errors: Any = error.as_json()["errors"]
    assert [each["code"] for each in errors] == ["TR-S013", "TR-S011"]


def test_other_words_keep_the_code() -> None:
    error = UsageError("no", code="TR-U001")
    error.reword(f"fold 1: {error.message}; go on")
    assert (str(error), error.code) == ("fold 1: no; go on [TR-U001]", "TR-U001")


# train help -------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["TR-D018", "tr-d018", "D018", "d018", "[TR-D018]", "d18"])
def test_help_takes_a_code_in_all_its_forms(train: Train, written: str) -> None:
    code, out, err = train("help", written)
    entry = ENTRIES["TR-D018"]
    assert (code, err) == (0, "")
    assert out.startswith(f"TR-D018: {entry.title}\n\n")
    words = " ".join(out.split())
    assert f"{entry.why} What to do: {entry.do}" in words
    assert "rooms: {type: categorical}" in out


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("TR-D999", f"the codes of this letter end with {LETTERS['D'][1][-1].code}"),
        ("TR-O001", "did you mean TR-"),
        ("resume", "`train COMMAND --help` the options of a command"),
    ],
)
def test_help_of_a_code_that_is_none(train: Train, written: str, hint: str) -> None:
    code, out, err = train("help", written)
    assert (code, out) == (2, "")
    assert f"there is no error with the code '{written}' [TR-U010]\n" in err
    assert hint in err


def test_help_without_a_code_tells_the_letters(train: Train) -> None:
    code, out, _ = train("help")
    assert code == 0
    for letter, (about, entries) in LETTERS.items():
        assert re.search(rf"^  TR-{letter} +{len(entries)}  {re.escape(about)}$", out, re.MULTILINE)


def test_help_as_json(train: Train) -> None:
    code, out, _ = train("help", "d018", "--json")
    found = yaml.safe_load(out)
    assert (code, found["code"], found["do"]) == (0, "TR-D018", ENTRIES["TR-D018"].do)


# Errors that are met ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Met:
    """How an error is met: a command, in a folder with the tiny spec, changed, and with files."""

    code: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str | bytes | Callable[[Path], None]] = field(default_factory=dict)
    command: str = "check spec.yaml"
    without: str | None = None
    """A module that is not installed."""


TABLE: Final = "a,b,y\n1,2,0\n3,4,1\n5,6,0\n7,8,1\n"
BASE: Final = {"source": {"csv": "t.csv"}, "target": "y"}


def table(code: str, text: str | bytes = TABLE, more: Mapping[str, Any] | None = None,
          **data: Any) -> Met:  # fmt: skip
    """An error of a table, or of what the spec says of it."""
    return Met(code, {"data": {**BASE, **data}, **(more or {})}, {"t.csv": text})


def file(
    code: str, name: str, content: bytes | str | Callable[[Path], None], kind: str,
    without: str | None = None, **source: Any,
) -> Met:  # fmt: skip
    """An error of a file of another kind."""
    data = {**BASE, "source": {kind: name, **source}}
    return Met(code, {"data": data}, {name: content}, without=without)


def written(code: str, text: str | bytes) -> Met:
    """An error of a spec that is this text."""
    return Met(code, {}, {"spec.yaml": text})


def equations(code: str, equation: str, x: int = 2, w: int = 2, **others: Any) -> Met:
    """An error of a model that is written as equations."""
    model = {
        "inputs": {"x": x}, "parameters": {"w": {"shape": [w]}, **others},
        "equations": {"z": equation}, "output": "z", "loss": "squared",
    }  # fmt: skip
    return Met(code, {"model": model})


def layers(code: str, *kinds: Mapping[str, Any], **model: Any) -> Met:
    """An error of the layers."""
    found = {"layers": [*kinds], "loss": "logistic", **model}
    return Met(code, {"model": found})


def sweep(code: str, space: Any = None, **others: Any) -> Met:
    """An error of a sweep."""
    declared = {
        "name": "s", "spec": "spec.yaml",
        "space": {"sgd.learning_rate": {"log": [0.01, 1]}} if space is None else space,
        "search": {"method": "random", "trials": 2}, "objective": "train_loss", **others,
    }  # fmt: skip
    files = {"sweep.yaml": yaml.safe_dump(declared, sort_keys=False)}
    return Met(code, {}, files, "sweep sweep.yaml --check")


def workbook(cell: object) -> Callable[[Path], None]:
    """Writes a workbook with this cell in the second row."""

    def write(path: Path) -> None:
        from openpyxl import Workbook

        book = Workbook()
        for row in (["a", "b", "y"], [1, cell, 0], [3, 4, 1]):
            book.worksheets[0].append(row)
        book.save(path)

    return write


def objects(path: Path) -> None:
    """Writes an array of Python's objects."""
    import numpy as np

    np.savez(path, a=np.array([{}, []], dtype=object), y=np.array([0, 1]))


def lists(path: Path) -> None:
    """Writes a column of lists."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.table({"a": [[1], [2, 3]], "y": [0, 1]}), path)


CASES: Final = [
    Met("TR-S001", command="check nothing.yaml"),
    Met("TR-S002", command="check ."),
    written("TR-S003", "#" * 2**20 + "\n"),
    written("TR-S004", b"name: \xe9\n"),
    written("TR-S005", "name: 'tiny\n"),
    written("TR-S006", "name: !tiny tiny\n"),
    written("TR-S007", "name: tiny\nname: tiny\n"),
    written("TR-S008", "name: tiny\nseed: 007\n"),
    written("TR-S009", "1: tiny\n"),
    written("TR-S010", ""),
    Met("TR-S011", {"sgd.epoch": 3}),
    table("TR-S012", target=None),
    Met("TR-S013", {"sgd.epochs": "three"}),
    Met("TR-S014", {"sgd.epochs": 0}),
    Met("TR-S015", {"model.loss": "hinge"}),
    Met("TR-S016", {"name": ""}),
    Met("TR-S017", {"model.layers": []}),
    table("TR-S018", features=["a", "a"]),
    table("TR-S019", split={"group": "a", "time": "b", "test": 0.2}),
    Met("TR-S020", {"model.huber_delta": 2.0}),
    layers("TR-S021", {"units": 2, "name": "h"}, {"units": 1, "name": "h"}),
    Met("TR-S022", {"tracking": {"uri": "postgresql://ada:secret@host/runs"}}),
    Met("TR-S024", command="check spec.yaml --set epochs"),
    Met("TR-S025", command="check spec.yaml --set name.first=1"),
    Met("TR-S026", {"space": {}}),
    Met("TR-S027", {f"key_{number}": 1 for number in range(102)}),
    Met("TR-S028", {"sgd.early_stopping": {"patience": 2}}),
    Met("TR-S029", {"evaluation": {"metrics": ["rmse"]}}),
    Met("TR-S030", {"data.split": {"validation": 0.5},
                    "sgd.early_stopping": {"patience": 2, "monitor": "auc"}}),
    Met("TR-S031", {"model.loss": "squared", "evaluation": {"threshold": 0.3}}),
    Met("TR-S032", {"data.target_scale": "standard"}),
    Met("TR-S033", {"data.source": "flats.csv"}),
    Met("TR-S034", {"data.source": {"inline": {"x": [[0, 0], [0]], "y": [0, 1]}}}),
    Met("TR-S035", {"data.stream": True}),
    table("TR-S036", features=["a", "y"]),
    Met("TR-S037", {"defaults": "spec.yaml"}),
    equations("TR-G001", "w @ x +"),
    equations("TR-G002", "sigmid(w @ x)"),
    equations("TR-G003", "sigmoid(w, x)"),
    equations("TR-G004", "w @ q"),
    equations("TR-G005", "w @ x + z"),
    equations("TR-G006", "w @ x", v={"shape": [2]}),
    equations("TR-G007", "w @ x", w=3),
    layers("TR-G008", {"type": "activation", "activation": "relu"}),
    layers("TR-G009", {"units": 1, "activation": "tanh"}),
    layers("TR-G010", {"units": 1, "inputs": "hidden"}),
    layers("TR-G011", {"units": 1, "name": "h"}, {"type": "add", "inputs": ["h"]}),
    layers("TR-G012", {"units": 1, "freeze": True}),
    layers("TR-G013", {"type": "embedding", "inputs": "x1", "units": 1}, {"units": 1}),
    equations("TR-G014", "w @ x", x=3, w=3),
    layers("TR-G015", {"units": 3}),
    table("TR-D001", source={"csv": "flat.csv"}),
    table("TR-D002", source={"csv": "/dev/null"}),
    file("TR-D003", "t.parquet", TABLE, "parquet"),
    file("TR-D004", "t.parquet", b"PAR1\x00\x01\x02\x03", "parquet"),
    file("TR-D005", "t.csv.gz", TABLE, "csv"),
    table("TR-D006", b"a,y\n\xe9,1\n"),
    table("TR-D007", "a,b,y\n"),
    table("TR-D008", "1,2,0\n3,4,1\n"),
    table("TR-D009", "a,a,y\n1,2,0\n"),
    table("TR-D010", "a,b,y\n1,2,0\n3,1\n"),
    table("TR-D011", 'a,b,y\n1,2,0\n"3,4,1\n'),
    file("TR-D012", "t.jsonl", '{"a": 1, "y": 0}\n[1, 2]\n', "jsonl"),
    file("TR-D013", "t.xlsx", workbook(7), "excel", sheet="Flats"),
    file("TR-D014", "t.xlsx", workbook("=1/0"), "excel"),
    file("TR-D016", "t.npz", objects, "npz"),
    table("TR-D017", source={"csv": ["t.csv", "*.csv"]}),
    table("TR-D018", "a,b,y\n1,2,0\n3,many,1\n5,6,0\n7,8,1\n", columns={"b": {"type": "numeric"}}),
    table("TR-D019", "a,b,y\n1,2,0\n3,,1\n5,6,0\n7,8,1\n"),
    table("TR-D020", "a,b,y\n1,2,0\n3,1e300,1\n5,6,0\n7,8,1\n", {"model.dtype": "float32"}),
    table("TR-D021", "a,b,y\n1,03/04/2024,0\n3,05/04/2024,1\n5,03/04/2024,0\n"),
    table("TR-D022", "a,y\n" + "".join(f"id-{n}x,{n % 2}\n" for n in range(300))),
    table("TR-D023", target="rent"),
    Met("TR-D024", {"data": {**BASE, "source": {"csv": ["t.csv", "u.csv"]}}},
        {"t.csv": TABLE, "u.csv": "a,c,y\n1,2,0\n"}),
    table("TR-D025", "y\n0\n1\n"),
    table("TR-D026", weights="b", columns={"b": {"scale": "standard"}}),
    table("TR-D027", "a,y\n1,0.5\n2,0.7\n3,1.0\n"),
    table("TR-D028", more={"model.class_weights": {"2": 3.0}}),
    table("TR-D029", "a,b,y\n1,x,0\n3,z,1\n5,x,0\n7,z,1\n", columns={"b": {"scale": "standard"}}),
    table("TR-D030", "a,b,y\n1,-2,0\n3,4,1\n5,6,0\n7,8,1\n", scale="log1p"),
    table("TR-D031", split={"validation": 0.01}),
    table("TR-D032", "a,b,y\n1,x,0\n3,z,1\n5,x,0\n7,z,1\n",
          split={"time": "b", "test": 0.25}),
    table("TR-D033", "a,b,y\n1,-2,0\n3,4,1\n5,6,0\n7,8,1\n", weights="b"),
    Met("TR-D034", {"sgd.batch_size": 100}),
    file("TR-D039", "t.parquet", lists, "parquet"),
    Met("TR-D040", {"data.split": {"validation": 0.25}, "evaluation": {"metrics": ["auc"]},
                    "sgd.early_stopping": {"patience": 2, "monitor": "auc"},
                    "sgd.batch_size": 1}),
    Met("TR-D041", {"model.layers": [{"type": "batch_norm"}, {"units": 1}], "sgd.batch_size": 1}),
    Met("TR-U001", command="resum"),
    Met("TR-U002", command="explain --run last --set seed=1"),
    Met("TR-U003", command="check spec.yaml --epochs 3"),
    Met("TR-U004", command="check spec.yaml --png schedule.jpg"),
    Met("TR-U006", command="explain spec.yaml --row 99"),
    Met("TR-U010", command="help TR-S999"),
    Met("TR-R001", command="resume nobody --runs ."),
    sweep("TR-W001", {}),
    sweep("TR-W002", {"sgd.learning_rate": {"log": [0, 1]}}),
    sweep("TR-W003", {"name": {"values": ["a", "b"]}}),
    sweep("TR-W004", spec="sweep.yaml"),
    sweep("TR-W005", objective="test_loss"),
    sweep("TR-W006", search={"method": "random"}),
    sweep("TR-W007", halving={"from": 5}),
    Met("TR-W011", {"data.split": {"test": 0.25}}, command="crossval spec.yaml --folds 9"),
    Met("TR-T003", command="list --tracking-uri sqlite:///"),
    Met("TR-T005", command="list --tracking-uri sqlite:///none.db"),
    Met("TR-V001", command="jobs --server http://127.0.0.1:1"),
    Met("TR-V014", command="jobs --server ftp://host"),
    Met("TR-V015", {}, {"who.yaml": "sever: x\n"}, "jobs --profile ./who.yaml"),
    Met("TR-A001", command="service --tls-cert spec.yaml"),
    Met("TR-A002", command="token list --database mysql://host/name"),
    Met("TR-M002", {"model.layers": [{"units": 10**10}, {"units": 1}]}),
    file("TR-E004", "t.xlsx", b"", "excel", "openpyxl"),
    Met("TR-E003", {}, sweep("", search={"method": "tpe", "trials": 2}).files,
        "sweep sweep.yaml --check", "optuna"),
]  # fmt: skip


def meet(case: Met, train: Train, write_spec: WriteSpec) -> str:
    """The first line that ends with the code, without it and what stands before."""
    write_spec(case.changes)
    for name, content in case.files.items():
        if callable(content):
            content(Path(name))
        else:
            Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return said(case.code, case.command, train)


def said(code: str, command: str, train: Train) -> str:
    """What the command says with this code, without what is another one on each machine."""
    status, out, err = train(*shlex.split(command))
    assert status != 0, out
    ends = f" [{code}]"
    line = next((line for line in err.splitlines() if line.endswith(ends)), None)
    assert line is not None, err
    line = line.replace(f"{Path.cwd()}/", "").removesuffix(ends).removeprefix("train: ")
    line = re.sub(r"import of (\w+) halted; None in sys.modules", r"No module named '\1'", line)
    return re.sub(r"(?<=this machine has )[\d.]+ \wB", "16 GB", line)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_message_ends_with_its_code(
    case: Met, train: Train, write_spec: WriteSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case.without is not None:
        monkeypatch.setitem(sys.modules, case.without, None)
    assert meet(case, train, write_spec) == MET[case.code]
    code, out, _ = train("help", case.code)
    assert (code, out.splitlines()[0]) == (0, f"{case.code}: {ENTRIES[case.code].title}")


OF_A_RUN: Final = {
    "TR-R007": "resume RUN",
    "TR-R008": "resume RUN --set sgd.epochs=6",
    "TR-U007": "predict RUN --data -",
    "TR-U008": "list --sort val_lose",
    "TR-D037": "predict RUN --data few.csv",
    "TR-T006": "list --experiment nobody",
    "TR-W009": "list --sweep RUN",
    "TR-E001": "export RUN --to onnx --out model.onnx",
    "TR-X001": "run diverging.yaml",
    "TR-R003": "resume RUN",
}
"""Commands on a run that is finished, the last of them when its facts were changed."""


def test_messages_about_a_run(
    train: Train, write_spec: WriteSpec, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    diverging = {"model.loss": "squared", "sgd.learning_rate": 1e300, "sgd.epochs": 50}
    write_spec(diverging, "diverging.yaml")
    write_spec({"sgd.schedule": {"type": "cosine"}})
    Path("few.csv").write_text("x1\n0\n")
    code, out, _ = train("run", "spec.yaml", "--json")
    assert code == 0
    run = str(yaml.safe_load(out)["id"])
    for wanted, command in OF_A_RUN.items():
        if wanted == "TR-R003":
            (Path("runs") / run / "run.json").write_bytes(b"")
        line = said(wanted, command.replace("RUN", run), train)
        assert line.replace(run, "RUN").replace(run[:8], "RUN") == MET[wanted]


def test_every_letter_is_met() -> None:
    assert {code[3] for code in MET} == {*LETTERS}
    met = {*OF_A_RUN, *(case.code for case in CASES)}
    assert [*MET] == sorted(met, key=[*ENTRIES].index)
