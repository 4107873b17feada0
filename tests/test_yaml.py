"""How the text of a spec is read: what each scalar means, and what is no YAML for a spec."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import SpecError, UsageError
from trainer.spec import Spec, load_spec

BASE = """\
name: tiny
data:
  source: {inline: {x: [[0, 0], [0, 1]], y: [0, 1]}}
model:
  layers: [{units: 3, activation: tanh}, {units: 1}]
  loss: logistic
sgd:
  learning_rate: 0.5
  batch_size: 2
  epochs: 3
"""
KEYS = "the keys here are name, seed, data, model, sgd, evaluation, tracking"
QUOTE = "put it in quotes if it is meant as a text"
SMALLER = "write a smaller number; or use quotes for a text"

pytestmark = pytest.mark.usefixtures("folder")


def load(text: str | bytes) -> Spec:
    Path("spec.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_spec("spec.yaml")


def rendered(text: str | bytes) -> str:
    """The whole message about a file of this text."""
    with pytest.raises(SpecError) as caught:
        load(text)
    return str(caught.value)


def problems(text: str | bytes) -> list[tuple[int | None, int | None, str, str, str | None]]:
    """Line, column, path, message and hint of each problem with a file of this text."""
    with pytest.raises(SpecError) as caught:
        load(text)
    assert all(p.file == "spec.yaml" for p in caught.value.problems)
    return [(p.line, p.column, p.path, p.message, p.hint) for p in caught.value.problems]


def with_rate(written: str) -> str:
    return BASE.replace("0.5", written)


def with_name(written: str) -> str:
    return BASE.replace("name: tiny", f"name: {written}")


# Scalars ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("1.0e3", 1000.0),
        ("1e+3", 1000.0),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+0.5", 0.5),
        ("2", 2.0),
        ("0o17", 15.0),
        ("0x1F", 31.0),
        ("&a 1", 1.0),
        ("9999999999999999999999999", 1e25),
    ],
)
def test_number(written: str, value: float) -> None:
    assert load(with_rate(written)).sgd.learning_rate == value


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("no", "expected a number, found the text 'no'", None),
        ("on", "expected a number, found the text 'on'", None),
        ("true", "expected a number, found true", None),
        ("False", "expected a number, found false", None),
        (".nan", "expected a finite number, found the number nan", None),
        (".inf", "expected a finite number, found the number inf", None),
        ("-.INF", "expected a finite number, found the number -inf", None),
        ("nan", "expected a number, found the text 'nan'", None),
        ("'0.1'", "expected a number, found the text '0.1'", "write 0.1 without quotes"),
        ('"1e-3"', "expected a number, found the text '1e-3'", "write 1e-3 without quotes"),
        ("010", "the number '010' begins with 0", "write 10; or use quotes for a text"),
        ("-08", "the number '-08' begins with 0", "write -8; or use quotes for a text"),
        ("00", "the number '00' begins with 0", "write 0; or use quotes for a text"),
        ("1_000", "expected a number, found the text '1_000'", "write 1000"),
        ("0,5", "expected a number, found the text '0,5'", "write 0.5"),
        ("1,000", "expected a number, found the text '1,000'", None),  # 1 or 1000: who knows
        ("1:30", "expected a number, found the text '1:30'", None),
        ("2020-01-01", "expected a number, found the text '2020-01-01'", None),
        ("2020-01-01 10:00:00", "expected a number, found the text '2020-01-01 10:00:00'", None),
        ("1e400", "the number 1e400 is too large", SMALLER),
        ("9" * 26, "a number of 26 digits is too large", SMALLER),
        ("9" * 5000, "a number of 5000 digits is too large", SMALLER),
        ("0x" + "f" * 30, "a number of 32 digits is too large", SMALLER),
        ("null", "expected a number, found nothing", None),
        ("~", "expected a number, found nothing", None),
        ("!!float 1", "the tag '!!float' is not allowed", "a spec holds plain values; remove it"),
        ("!!python/object:os.system x", "the tag '!!python/object:os.system' is not allowed",
         "a spec holds plain values; remove it"),
        ("!!binary aGk=", "the tag '!!binary' is not allowed",
         "a spec holds plain values; remove it"),
        ("!mine 1", "the tag '!mine' is not allowed", "a spec holds plain values; remove it"),
        ("*other", "the alias '*other' is not allowed", "write the value out"),
        (r'"\e[31m\n"', r"expected a number, found the text '\x1b[31m\n'", None),
        (r'"\ud800"', r"\ud800 is half of a character",
         r"write the character itself, or \U and its eight digits"),
        ("x" * 99, f"expected a number, found the text '{'x' * 37}...'", None),
    ],
)  # fmt: skip
def test_no_number(written: str, message: str, hint: str | None) -> None:
    assert problems(with_rate(written)) == [(8, 18, "sgd.learning_rate", message, hint)]


@pytest.mark.parametrize("written", ["", "[1]", "{a: 1}", "[]", "{}"])
def test_a_value_that_is_no_scalar_is_shown_at_its_key(written: str) -> None:
    found = {"": "nothing", "[1]": "a list", "{a: 1}": "a mapping", "[]": "an empty list",
             "{}": "an empty mapping"}[written]  # fmt: skip
    message = f"expected a number, found {found}"
    assert problems(with_rate(written)) == [(8, 3, "sgd.learning_rate", message, None)]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("'010'", "010"),
        ("'null'", "null"),
        ("=", "="),
        ("nan", "nan"),
        ('"\\u00e9"', "é"),
        ("été 😀", "été 😀"),
        ("a  # no part of it", "a"),
        ("a\n  b", "a b"),
        (">-\n  a\n  b", "a b"),
    ],
)
def test_text(written: str, value: str) -> None:
    assert load(with_name(written)).name == value


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("12", "expected a text, found the number 12", QUOTE),
        ("1e3", "expected a text, found the number 1000.0", QUOTE),
        ("true", "expected a text, found true", QUOTE),
        ("null", "expected a text, found nothing", None),
        ("010", "the number '010' begins with 0", "write 10; or use quotes for a text"),
        ("9" * 30, "a number of 30 digits is too large", SMALLER),
        ('""', "expected a text of at least 1 character, found the text ''", None),
        ('"a\\nb"', r"expected a text without control characters, found the text 'a\nb'", None),
        ("|\n  a\n  b", r"expected a text without control characters, found the text 'a\nb\n'",
         None),
        ("x" * 201, f"expected a text of at most 200 characters, found the text '{'x' * 37}...'",
         None),
    ],
)  # fmt: skip
def test_no_text(written: str, message: str, hint: str | None) -> None:
    assert problems(with_name(written)) == [(1, 7, "name", message, hint)]


def test_a_value_that_is_reported_causes_no_second_problem() -> None:
    """Neither for itself nor for what depends on it, here the loss."""
    text = BASE.replace("{units: 1}", "{units: 01, activation: softmax}")
    message, hint = "the number '01' begins with 0", "write 1; or use quotes for a text"
    assert problems(text) == [(5, 50, "model.layers[1].units", message, hint)]
    text = BASE.replace("y: [0, 1]", "y: [[0, 1], [*a, 1]]")
    message, hint = "the alias '*a' is not allowed", "write the value out"
    assert problems(text) == [(3, 55, "data.source.inline.y[1][0]", message, hint)]


# Keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("name: again",
         [(2, 1, "name", "the key 'name' stands here a second time",
           "the first is in line 1; keep one of them")]),
        ("seed: 1\nseed: 2\nseed: 3",
         [(3, 1, "seed", "the key 'seed' stands here a second time",
           "the first is in line 2; keep one of them"),
          (4, 1, "seed", "the key 'seed' stands here a second time",
           "the first is in line 2; keep one of them")]),
        ("<<: {seed: 1}",
         [(2, 1, "", "the merge key '<<' is not allowed", "write the values out")]),
        ("'<<': {seed: 1}", [(2, 1, "<<", "unknown key", KEYS)]),
        ("1: a\n'1': b",
         [(2, 1, "", "a key must be text, found '1'",
           "write '1' in quotes if it is meant as a name"),
          (3, 1, "1", "unknown key", KEYS)]),
        ("true: a",
         [(2, 1, "", "a key must be text, found 'true'",
           "write 'true' in quotes if it is meant as a name")]),
        ("010: a",
         [(2, 1, "", "a key must be text, found '010'",
           "write '010' in quotes if it is meant as a name")]),
        ("'': a", [(2, 1, "", "unknown key", KEYS)]),
        ("no: a", [(2, 1, "no", "unknown key", KEYS)]),
        (r'"a\nb": 1', [(2, 1, r"a\nb", "unknown key", KEYS)]),
        (r'"\ud800": 1',
         [(2, 1, "", r"\ud800 is half of a character",
           r"write the character itself, or \U and its eight digits")]),
        ("? [a, *b, {c: 010}]\n: {d: {e: f}}",
         [(2, 3, "", "a key must be text, found a list or mapping", "write `key: value`")]),
        ("*a : 1", [(2, 1, "", "the alias '*a' is not allowed", "write the value out")]),
        ("!!str seed: 1",
         [(2, 1, "", "the tag '!!str' is not allowed", "a spec holds plain values; remove it")]),
    ],
)  # fmt: skip
def test_key(lines: str, expected: list[tuple[int, int, str, str, str]]) -> None:
    assert problems(BASE.replace("name: tiny", f"name: tiny\n{lines}")) == expected


# The whole text --------------------------------------------------------------------------------

SYNTAX = "this is not valid YAML"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, 1, "the file is empty", "begin with `name: …`")),
        ("# only this\n", (1, 1, "the file is empty", "begin with `name: …`")),
        ("---\n", (2, 1, "expected a mapping of keys, found nothing", "begin with `name: …`")),
        ("- a\n", (1, 1, "expected a mapping of keys, found a list", "begin with `name: …`")),
        ("abc", (1, 1, "expected a mapping of keys, found the text 'abc'",
                 "begin with `name: …`")),
        ("*a", (1, 1, "the alias '*a' is not allowed", "write the value out")),
        (BASE + "---\nname: other\n", (11, 1, "a second document starts here",
                                       "keep one spec a file")),
        (BASE + "...\nname: other\n", (12, 1, "text follows the end of the document",
                                       "keep one spec a file; check the indentation")),
        (BASE.replace("  loss", "\tloss"),
         (6, 1, "a tab stands where indentation or a value is expected", "indent with spaces")),
        ("sgd:\n\tepochs: 1\n",
         (2, 1, "a tab stands where indentation or a value is expected", "indent with spaces")),
        ("a: 1\nb: \x00\n", (2, 4, "the character U+0000 is not allowed", "remove it")),
        ("a: 1\rb: \x1b\n", (2, 4, "the character U+001B is not allowed", "remove it")),
        (b"\xef\xbb\xbfname: \xff\n", (1, 7, "the byte 0xff is not UTF-8",
                                       "save the file as UTF-8")),
        ("name: été\nseed: ".encode() + b"\xe9\n", (2, 7, "the byte 0xe9 is not UTF-8",
                                                   "save the file as UTF-8")),
        (BASE.encode("utf-16"), (None, None, "this file is UTF-16", "save it as UTF-8")),
        (BASE.encode("utf-16-be"), (1, 1, "the character U+0000 is not allowed", "remove it")),
        ("[" * 500, (1, 65, "more than 64 levels of nesting",
                     "a spec needs five or six; check the brackets")),
        ("{a: " * 500, (1, 257, "more than 64 levels of nesting",
                        "a spec needs five or six; check the brackets")),
        ("".join(f"{' ' * i}a:\n" for i in range(500)),
         (65, 65, "more than 64 levels of nesting",
          "a spec needs five or six; check the brackets")),
        ("a: [1, 2\nb: 3\n", (1, 4, "the list that opens here is not closed",
                              "separate items by commas and end with ]")),
        ("a: {b: 1\nc: 2\n", (1, 4, "the mapping that opens here is not closed",
                              "separate entries by commas and end with }")),
        ("a: 'b\nc: 2\n", (1, 4, "a quotation mark opens here and is never closed",
                           "close the quotation mark")),
        ('a: "b\n---\n', (1, 4, "a quotation mark opens here and is never closed",
                          "close the quotation mark")),
        ("a: b: c\n", (1, 5, "a ':' is not expected here",
                       "check the indentation, and quote a text that holds ': '")),
        ("a: 1\n b: 2\n", (2, 3, "a ':' is not expected here",
                           "check the indentation, and quote a text that holds ': '")),
        ("a:\n  b: 1\n c: 2\n", (3, 2, "this does not continue what stands above",
                                 "check the indentation")),
        ("a: 1\nb\n", (2, 1, "a key without its ':'", "write `key: value`")),
        ("a: - b\n", (1, 4, "a list item is not expected here",
                      "begin the list on a line of its own, and quote a text that begins "
                      "with '- '")),
        ("a: ? b\n", (1, 4, "a '?' is not expected here", "put the value in quotes")),
        ("a: ]\n", (1, 4, "a value is expected here", "check the commas, brackets and quotes")),
        ("a: @b\n", (1, 4, "this character cannot begin a value", "put the value in quotes")),
        ("a: *\n", (1, 5, "a name is expected here",
                    "put a text that begins with & or * in quotes")),
        ('a: "C:\\data"', (1, 8, "an unknown escape in a double-quoted text",
                           "double the backslash, or use single quotes")),
        ('a: "\\xZZ"', (1, 7, "an unknown escape in a double-quoted text",
                        "double the backslash, or use single quotes")),
        ('a: "\\UFFFFFFFF"', (1, 7, "an escape or a version is out of range",
                              "\\U takes at most 0010FFFF")),
        (f"%YAML 1.{'9' * 5000}\n---\n", (1, 9, "an escape or a version is out of range",
                                          "\\U takes at most 0010FFFF")),
        ("%YAML 2.0\n---\n", (1, 1, SYNTAX, "check the indentation, brackets and quotes")),
        ("a: !b!c d\n", (1, 4, "this tag is not allowed", "a spec holds plain values")),
    ],
)  # fmt: skip
def test_no_spec(text: str | bytes, expected: tuple[int, int, str, str]) -> None:
    line, column, message, hint = expected
    assert problems(text) == [(line, column, "", message, hint)]


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf" + BASE.encode(),
        BASE.replace("\n", "\r\n"),
        BASE.replace("\n", "\r"),
        "%YAML 1.2\n---\n" + BASE + "...\n",
        "\n\n# first\n" + BASE,
    ],
    ids=["BOM", "CRLF", "CR", "document marks", "comments"],
)
def test_same_spec(text: str | bytes) -> None:
    assert load(text).sha256 == load(BASE).sha256


def test_self_alias() -> None:
    assert problems(BASE + "seed: &a [*a]\n") == [
        (11, 11, "seed[0]", "the alias '*a' is not allowed", "write the value out")
    ]


def test_alias_bomb() -> None:
    """Nothing is expanded: each alias is an error of its own, and the first hundred are shown."""
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    start = time.perf_counter()
    found = problems("\n".join(lines))
    assert time.perf_counter() - start < 2
    message, hint = "the alias '*a0' is not allowed", "write the value out"
    assert (2, 10, "a1[0]", message, hint) in found
    assert len(found) == 101
    assert found[-1] == (None, None, "", "224 more problems like these", None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: tiny\nname: again\n---\n", """\
spec.yaml:1:1: data: required key is missing [TR-S012]
    1 | name: tiny
      | ^
spec.yaml:1:1: model: required key is missing [TR-S012]
    1 | name: tiny
      | ^
spec.yaml:1:1: sgd: required key is missing [TR-S012]
    1 | name: tiny
      | ^
spec.yaml:2:1: name: the key 'name' stands here a second time [TR-S007]
    2 | name: again
      | ^^^^
      hint: the first is in line 1; keep one of them
spec.yaml:3:1: a second document starts here [TR-S006]
    3 | ---
      | ^^^
      hint: keep one spec a file"""),
        ("a: 1\nb: \x00\x1b[31m\n", """\
spec.yaml:2:4: the character U+0000 is not allowed [TR-S005]
    2 | b: \ufffd\ufffd[31m
      |    ^
      hint: remove it"""),
        (b"name: tiny\nseed: \xe9 \xe8\n", """\
spec.yaml:2:7: the byte 0xe9 is not UTF-8 [TR-S004]
    2 | seed: \ufffd \ufffd
      |       ^
      hint: save the file as UTF-8"""),
        ("- " * 500, "spec.yaml:1:129: more than 64 levels of nesting [TR-S006]\n"
         f"    1 | {'- ' * 50}\n      | {' ' * 50}^\n"
         "      hint: a spec needs five or six; check the brackets"),
        (with_rate("9" * 5000), "spec.yaml:8:18: sgd.learning_rate: a number of 5000 digits is "
         f"too large [TR-S008]\n    8 |   learning_rate: {'9' * 83}\n      |{' ' * 18}{'^' * 83}\n"
         f"      hint: {SMALLER}"),
    ],
)  # fmt: skip
def test_rendered(text: str | bytes, expected: str) -> None:
    assert rendered(text) == expected


# The file --------------------------------------------------------------------------------------


def message_of(path: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(path)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_file_that_is_no_spec() -> None:
    Path("sub").mkdir()
    Path("empty").mkdir()
    for name in ("sub/b.yaml", "sub/a.yaml", "iris.yaml"):
        Path(name).touch()
    os.mkfifo("pipe.yaml")
    with Path("huge.yaml").open("wb") as file:
        file.truncate(100 * 2**20)
    table = {
        "sub": "sub: this is a directory [TR-S002]\n      hint: it holds a.yaml, b.yaml",
        "empty": "empty: this is a directory [TR-S002]\n      hint: give the path of a YAML file",
        "pipe.yaml": "pipe.yaml: this is a named pipe "
        "[TR-S002]\n      hint: give the path of a YAML file",
        "huge.yaml": "huge.yaml: a spec of 100.0 MiB is too large (at most 1 MiB) [TR-S003]\n"
        "      hint: keep data in a file of its own: `source: {csv: …}`",
        "Iris.yml": "Iris.yml: no such file [TR-S001]\n      hint: did you mean 'iris.yaml'?",
        "iris": "iris: no such file [TR-S001]\n      hint: did you mean 'iris.yaml'?",
        "zzzzzzzz": "zzzzzzzz: no such file [TR-S001]",
        "none/a.yaml": "none/a.yaml: no such file "
        "[TR-S001]\n      hint: there is no directory 'none'",
        "iris.yaml/a": "iris.yaml/a: cannot be read: Not a directory [TR-S002]",
        "\0": "\0: no file can have this name [TR-S002]",
    }
    assert {path: message_of(path) for path in table} == table


def test_the_largest_spec_is_read_in_reasonable_time() -> None:
    """A file of 1 MiB in which every item is wrong neither hangs nor prints without end."""
    row = "[a, b, c, d, e], "
    text = with_name("big").replace("[[0, 0], ", "[" + row * 10_000)
    start = time.perf_counter()
    found = problems(text)
    assert time.perf_counter() - start < 20
    assert found[0][2:4] == ("data.source.inline.x[0][0]", "expected a number, found the text 'a'")
    assert found[-1] == (None, None, "", "49900 more problems like these", None)


# Overrides -------------------------------------------------------------------------------------


def overridden(*options: str) -> list[tuple[str | None, int | None, str, str, str | None]]:
    Path("spec.yaml").write_text(BASE)
    with pytest.raises(SpecError) as caught:
        load_spec("spec.yaml", options)
    return [(p.file, p.column, p.path, p.message, p.hint) for p in caught.value.problems]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("name=[1", (1, "", "the list that opens here is not closed",
                     "separate items by commas and end with ]")),
        ("name=a: b: c", (5, "", "a ':' is not expected here",
                          "check the indentation, and quote a text that holds ': '")),
        ("name=*a", (1, "", "the alias '*a' is not allowed", "write the value out")),
        ("name=!x a", (1, "", "the tag '!x' is not allowed",
                       "a spec holds plain values; remove it")),
        ("name=010", (1, "", "the number '010' begins with 0",
                      "write 10; or use quotes for a text")),
        ("name=a\n--- b", (1, "", "a second document starts here", "keep one spec a file")),
        ("name=\ud800", (1, "", "the character U+D800 is not allowed", "remove it")),
        ("name=", (None, "", "expected a value after the =", "write name=null for no value")),
        ("name=  # nothing", (None, "", "expected a value after the =",
                              "write name=null for no value")),
    ],
)  # fmt: skip
def test_yaml_of_an_override(option: str, expected: tuple[int | None, str, str, str]) -> None:
    assert overridden(option) == [("--set name", *expected)]


@pytest.mark.parametrize("option", ["sgd.learning_rate", "=3", " =3", ""])
def test_override_without_key_or_value(option: str) -> None:
    Path("spec.yaml").write_text(BASE)
    with pytest.raises(UsageError) as caught:
        load_spec("spec.yaml", [option])
    hint = "for example --set sgd.learning_rate=0.01 [TR-S024]"
    assert str(caught.value) == f"--set {option}: expected key=value; {hint}"


# Mutations -------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [b"\t", b"\n", b" ", b":", b"- ", b"[", b"]", b"{", b"}", b"'", b'"', b"\\", b"#", b"&a ",
     b"*a", b"!", b"!!int ", b"<<: ", b"? ", b"|", b">", b"%", b"@", b"---\n", b"...\n", b"\xff",
     b"\0", b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b"1e9", b"-1", b"010", b"null",
     b'"\\ud800"', b'"\\UFFFFFFFF"', b"x", b","]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The base text after some bytes were deleted, replaced or inserted, or a line doubled."""
    text = BASE.encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 6))
        kind = draw(st.sampled_from(["delete", "replace", "insert", "double"]))
        if kind == "delete":
            text = text[:start] + text[end:]
        elif kind == "double":
            lines = text.splitlines(keepends=True)
            line = draw(st.integers(0, max(0, len(lines) - 1)))
            text = b"".join([*lines[: line + 1], *lines[line:]])
        else:
            piece = draw(PIECES | st.binary(max_size=3))
            text = text[:start] + piece + text[end if kind == "replace" else start :]
    return text


def outcome(path: Path) -> Spec | SpecError:
    try:
        return load_spec(path)
    except SpecError as error:
        return error


@given(mutated())
@settings(max_examples=500, deadline=2000)
def test_a_mutated_file_is_a_spec_or_a_clear_error(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "spec.yaml"
        path.write_bytes(text)
        result = outcome(path)
    if isinstance(result, Spec):
        assert len(result.sha256) == 64
    else:
        assert result.problems
        assert str(result).encode()  # it can be printed
        assert "another value" not in str(result)
