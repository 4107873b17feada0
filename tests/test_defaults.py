"""Specs that build on another file: what both are together, and where mistakes are told."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ALL_CONFIGS, TINY, Train, WriteSpec
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from specs import INLINE, SKETCH, TEXTS, VALUES, read
from stub_service import TOKEN, Answer, job, stub
from test_service_checking import Has
from test_spec_schema import DEFINITIONS, Refused, check_schema
from test_sweep_spec import IN_PLACE, RUN, SWEEP

from trainer import load_spec
from trainer.client import Client
from trainer.errors import Problem, SpecError, TrainerError, UsageError
from trainer.service.checking import Checker
from trainer.service.settings import Settings
from trainer.spec import Sketch, Spec, load_any
from trainer.spec.changes import as_document
from trainer.spec.document import List, Map, Mark, Node, Scalar, locate, parse, plain
from trainer.spec.editors import with_partial
from trainer.spec.merging import merged
from trainer.spec.origins import with_places
from trainer.spec.schema import FILES
from trainer.spec.sources import SourceSpec
from trainer.spec.tagged import models_of
from trainer.sweeps.declaration import SweepSpec, load_sweep
from trainer.sweeps.space import DimensionSpec

BASE = """\
name: base
data: {source: iris, split: {validation: 0.2, test: 0.2}}
model:
  layers: [{units: 8, activation: tanh}, {units: 3}]
  loss: logistic
sgd: {learning_rate: 0.05, momentum: 0.9, epochs: 40}
"""
OWN = "defaults: base.yaml\n"

pytestmark = pytest.mark.usefixtures("folder")


def write(**files: str) -> None:
    """Files by their names, without the suffix."""
    for name, text in files.items():
        Path(f"{name}.yaml").write_text(text)


def told(path: str, **more: Any) -> list[str]:
    """The problems that reading the spec raises, with their places and hints."""
    with pytest.raises(SpecError) as caught:
        load_spec(path, **more)
    return [shown(problem) for problem in caught.value.problems]


def shown(problem: Problem) -> str:
    place = f"{problem.file}:{problem.line}:{problem.column}"
    text = ": ".join(part for part in (place, problem.path, problem.message) if part)
    return f"{text} ({problem.hint})" if problem.hint else text


# What both are together -------------------------------------------------------------------------

DATA = "name: a\nmodel: {layers: [{units: 1}], loss: squared}\nsgd: {learning_rate: 1, epochs: 4}\n"
CURVED = INLINE.replace("cosine", "{type: cosine, final: 0.1, warmup: 1}")


@pytest.mark.parametrize(
    ("base", "own", "both"),
    [
        # mappings by key; lists and single values whole
        (BASE, "", BASE),
        ("seed: 1", BASE, f"{BASE}seed: 1"),
        (BASE, "sgd: {epochs: 9}", BASE.replace("40", "9")),
        (BASE, "sgd: {nesterov: true}", BASE.replace("40", "40, nesterov: true")),
        (BASE, "model: {layers: [{units: 3}]}",
         BASE.replace("{units: 8, activation: tanh}, ", "")),
        (BASE, "data: {split: {test: 0.3}}", BASE.replace("test: 0.2", "test: 0.3")),
        (BASE, "sgd: {}", BASE),
        (BASE, "evaluation: {metrics: [log_loss]}", BASE + "evaluation: {metrics: [log_loss]}"),
        # null takes away
        (BASE, "sgd: {momentum: null}", BASE.replace("momentum: 0.9, ", "")),
        (BASE, "sgd: {momentum: }", BASE.replace("momentum: 0.9, ", "")),
        (BASE, "data: {split: null}", BASE.replace(", split: {validation: 0.2, test: 0.2}", "")),
        (BASE, "data: {target: null, split: ~}", BASE.replace("iris, split: {validation: 0.2, "
                                                              "test: 0.2}", "iris, target: null")),
        (f"{BASE}seed: 3", "seed: null", BASE),
        # what is of another kind is replaced
        (BASE, "data: {source: {synthetic: two_moons, rows: 90}}\nmodel: {layers: [{units: 1}]}",
         BASE.replace("iris", "{synthetic: two_moons, rows: 90}")
             .replace("{units: 8, activation: tanh}, {units: 3}", "{units: 1}")),
        (DATA + "data: {source: {csv: a.csv, delimiter: ';'}, target: y}",
         "data: {source: {parquet: a.parquet}}",
         DATA + "data: {source: {parquet: a.parquet}, target: y}"),
        (DATA + "data: {source: {csv: a.csv, delimiter: ';'}, target: y}",
         "data: {source: {csv: b.csv}}",
         DATA + "data: {source: {csv: b.csv, delimiter: ';'}, target: y}"),
        (DATA + "data: {source: {csv: a.csv, delimiter: ';'}, target: y}",
         "data: {source: {encoding: cp1252}}",
         DATA + "data: {source: {csv: a.csv, delimiter: ';', encoding: cp1252}, target: y}"),
        (DATA + "data: {source: {npy: x.npy, y: y.npy}}",
         "data: {source: {npy: z.npy}}", DATA + "data: {source: {npy: z.npy, y: y.npy}}"),
        (CURVED, "sgd: {schedule: {type: linear}}", INLINE.replace("cosine", "{type: linear}")),
        (CURVED, "sgd: {schedule: linear}", INLINE.replace("cosine", "linear")),
        (CURVED, "sgd: {schedule: {type: cosine, final: 0.2}}",
         CURVED.replace("0.1", "0.2")),
        (CURVED, "sgd: {schedule: {warmup: 2}}", CURVED.replace("warmup: 1", "warmup: 2")),
        (INLINE, "sgd: {schedule: {warmup: 2}}",
         INLINE.replace("cosine", "{type: cosine, warmup: 2}")),
        (INLINE.replace("cosine", "{warmup: 1}"), "sgd: {schedule: {type: linear}}",
         INLINE.replace("cosine", "{type: linear, warmup: 1}")),
        (INLINE.replace("cosine", "cosine, average: {type: ema, decay: 0.9}"),
         "sgd: {average: {type: swa}}", INLINE.replace("cosine", "cosine, average: {type: swa}")),
        (DATA + "data: {source: {csv: a.csv}, target: y, columns: {b: {missing: mean}, "
         "c: {type: numeric, scale: log1p}}}",
         "data: {columns: {b: {indicator: true}, c: {type: categorical}, d: {parts: [year]}}}",
         DATA + "data: {source: {csv: a.csv}, target: y, columns: {b: {missing: mean, "
         "indicator: true}, c: {type: categorical}, d: {parts: [year]}}}"),
        (DATA + "data: {source: {csv: a.csv}, target: y, missing: {constant: 1}}",
         "data: {missing: median}",
         DATA + "data: {source: {csv: a.csv}, target: y, missing: median}"),
        (INLINE, "model: {inputs: {x: 2}, parameters: {w: {shape: [2]}}, "
         "equations: {z: w @ x}, output: z, loss: squared}",
         INLINE.replace("layers: [{units: 3, activation: tanh}, {units: 1}], loss: logistic",
                        "inputs: {x: 2}, parameters: {w: {shape: [2]}}, equations: {z: w @ x}, "
                        "output: z, loss: squared")),
        (INLINE.replace("layers: [{units: 3, activation: tanh}, {units: 1}], loss: logistic",
                        "inputs: {x: 2}, parameters: {w: {shape: [2]}}, equations: {z: w @ x}, "
                        "output: z, loss: squared"),
         "model: {parameters: {w: {shape: null, values: [1, 2]}}, equations: {z: tanh(w @ x)}}",
         INLINE.replace("layers: [{units: 3, activation: tanh}, {units: 1}], loss: logistic",
                        "inputs: {x: 2}, parameters: {w: {values: [1, 2]}}, "
                        "equations: {z: tanh(w @ x)}, output: z, loss: squared")),
        # a base need not be whole, nor the spec
        ("sgd: {epochs: 4, learning_rate: 1}", INLINE.partition("sgd:")[0],
         INLINE.replace(", schedule: cosine", "")),
    ],
)  # fmt: skip
def test_both_together(base: str, own: str, both: str) -> None:
    """The spec is the one that says all of it in one file, and what is kept is this one, too."""
    write(base=base, own=f"{OWN}{own}\n", hand=both)
    spec, hand = load_spec("own.yaml"), load_spec("hand.yaml")
    assert spec.sha256 == hand.sha256
    assert spec.resolved() == hand.resolved()
    assert spec.written() == hand.written()
    write(kept=str(spec.text), resolved=with_places(spec.document, spec.resolved()))
    assert load_spec("kept.yaml").written() == hand.written()
    assert load_spec("resolved.yaml").sha256 == hand.sha256
    assert "defaults" not in spec.written()


@pytest.mark.parametrize("values", VALUES, ids=lambda values: values["name"])
def test_a_base_that_says_all_of_it(values: Mapping[str, Any]) -> None:
    write(base=yaml.safe_dump(values, sort_keys=False), own=f"{OWN}name: other\n")
    spec = load_spec("own.yaml")
    assert spec.sha256 == Spec.model_validate(values).sha256
    assert spec.name == "other"


@pytest.mark.parametrize(
    ("union", "place"), [(SourceSpec, ("data", "source")), (DimensionSpec, ("space", "sgd.l1"))]
)
def test_no_two_kinds_are_mixed(union: Any, place: tuple[str, str]) -> None:
    for below, above in permutations(models_of(union), 2):
        if (below, above) == ("integers", "log"):  # which is a key of integers
            continue
        nodes = [as_document({place[0]: {place[1]: {kind: 1}}}) for kind in (above, below)]
        assert plain(merged(*nodes, SweepSpec | Spec)) == {place[0]: {place[1]: {above: 1}}}


def test_a_graph_without_data_builds_on_another() -> None:
    write(base=SKETCH, own=f"{OWN}model: {{inputs: {{a: 3}}}}\n")
    found = load_any("own.yaml")
    assert isinstance(found, Sketch)
    assert found.resolved() == load_any("base.yaml", {"model.inputs.a": 3}).resolved()


def test_set_comes_last() -> None:
    write(base=BASE, own=f"{OWN}sgd: {{epochs: 9}}\n")
    spec = load_spec("own.yaml", ["sgd.epochs=5", "model.layers.0.units=4", "sgd.momentum=0.5"])
    assert (spec.sgd.epochs, spec.model.layers[0].units, spec.sgd.momentum) == (5, 4, 0.5)
    assert told("own.yaml", overrides=["sgd.epochs=0", "sgd.l1=-1", "defaults=x.yaml"]) == [
        "--set sgd.l1:1:1: sgd.l1: expected a number of at least 0, found the number -1",
        "--set sgd.epochs:1:1: sgd.epochs: expected a number of at least 1, found the number 0",
        "--set defaults:1:1: defaults: this stands in a spec's file alone "
        "(write it at the top of the file)",
    ]


def test_a_spec_that_is_changed_knows_both_files() -> None:
    write(base=BASE, own=f"{OWN}sgd: {{epochs: 9}}\n")
    spec = load_spec("own.yaml")
    with pytest.raises(SpecError) as caught:
        spec.changed({"sgd.nesterov": True, "sgd.momentum": 0, "data.split.test": 0.9})
    assert [(p.file, p.line, p.path) for p in caught.value.problems] == [
        (None, None, "data.split.test"), (None, None, "sgd.nesterov"),
    ]  # fmt: skip
    with pytest.raises(SpecError) as caught:
        spec.changed({"sgd.schedule": {"type": "constant", "warmup": 9}, "data.source": "x"})
    assert [(p.file, p.line) for p in caught.value.problems] == [(None, None), (None, None)]
    places = {
        ("sgd", "epochs"): ("own.yaml", 2, 15), ("sgd", "momentum"): ("base.yaml", 6, 38),
        ("sgd",): ("own.yaml", 2, 1), ("model", "layers", 0, "units"): ("base.yaml", 4, 20),
        ("model",): ("base.yaml", 3, 1), ("sgd", "l1"): ("own.yaml", 2, 1),
        ("evaluation", "metrics"): ("own.yaml", 1, 1), ("model", "outputs"): ("own.yaml", 1, 11),
        ("model", "layers", 0, "init"): ("base.yaml", 4, 12),
    }  # fmt: skip
    for path, place in places.items():
        problem = spec.problem(path, "here", code="TR-S014")
        assert (problem.file, problem.line, problem.column) == place, path


# Mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "own", "problems"),
    [
        # in the file that the value came from
        (BASE.replace("0.9", "9"), "sgd: {epochs: 0}", [
            "own.yaml:2:15: sgd.epochs: expected a number of at least 1, found the number 0",
            "base.yaml:6:38: sgd.momentum: expected a number below 1, found the number 9"]),
        (BASE.replace("0.9", "9"), "sgd: {momentum: 0.5}", []),
        (BASE.replace("tanh", "tahn"), "", [
            "base.yaml:4:35: model.layers[0].activation: expected an activation, found the text "
            "'tahn' (did you mean 'tanh'?)"]),
        (BASE.replace("momentum", "momentun"), "sgd: {epoch: 4}", [
            "own.yaml:2:7: sgd.epoch: unknown key (did you mean 'epochs'?)",
            "base.yaml:6:28: sgd.momentun: unknown key (did you mean 'momentum'?)"]),
        (f"{BASE}seed: 1\nseed: 2\n", "", [
            "base.yaml:8:1: seed: the key 'seed' stands here a second time (the first is in line "
            "7; keep one of them)"]),
        (BASE, "seed: 1\nseed: 2", [
            "own.yaml:3:1: seed: the key 'seed' stands here a second time (the first is in line "
            "2; keep one of them)"]),
        ("sgd: {schedule: cosin}", INLINE.replace(", schedule: cosine", ""), [
            "base.yaml:1:17: sgd.schedule: expected a type of schedule, found the text "
            "'cosin' (did you mean 'cosine'?)"]),
        # what is missing, in the spec
        (BASE.replace(", epochs: 40", ""), "", [
            "own.yaml:1:11: sgd.epochs: required key is missing"]),
        (BASE.replace(", epochs: 40", ""), "sgd: {l1: 0}", [
            "own.yaml:2:1: sgd.epochs: required key is missing"]),
        (BASE, "sgd: {epochs: null}", [
            "own.yaml:2:1: sgd.epochs: required key is missing"]),
        (BASE.replace("name: base", "seed: 1"), "sgd: {epochs: 4}", [
            "own.yaml:1:1: name: required key is missing"]),
        (BASE.replace("units: 8, ", ""), "", [  # no other file says what is in a list
            "base.yaml:4:12: model.layers[0].units: required key is missing"]),
        # null where there is nothing to take away
        (BASE, "sgd: {l1: null}", [
            "own.yaml:2:11: sgd.l1: expected a number, found nothing"]),
        # what two values are together
        (BASE, "sgd: {momentum: 0, nesterov: true}", [
            "own.yaml:2:30: sgd.nesterov: nesterov needs momentum (set sgd.momentum, for example "
            "to 0.9)"]),
        (BASE, "data: {split: {validation: 0.8}}", [
            "base.yaml:2:53: data.split.test: validation and test together take 1 of the rows "
            "(leave some rows for training: keep the sum below 1)"]),
        # a base that is none
        ("", "", ["base.yaml:1:1: the file is empty (begin with `name: …`)"]),
        ("- a", "", ["base.yaml:1:1: expected a mapping of keys, found a list "
                     "(begin with `name: …`)"]),
        ("a: [", "", ["base.yaml:1:5: a value is expected here (check the commas, "
                      "brackets and quotes)"]),
        (f"defaults: other.yaml\n{BASE}", "sgd: {epochs: 0}", [
            "base.yaml:1:1: defaults: what others build on has no defaults of its own (write its "
            "values here, or name it in own.yaml)"]),
        (f"defaults: own.yaml\n{BASE}", "", [
            "base.yaml:1:1: defaults: what others build on has no defaults of its own (write its "
            "values here, or name it in own.yaml)"]),
        ("space: {sgd.l1: {values: [0, 1]}}", "", None),
    ],
)  # fmt: skip
def test_mistake(base: str, own: str, problems: list[str] | None) -> None:
    write(base=base, own=f"{OWN}{own}\n")
    if problems is None:
        with pytest.raises(UsageError, match=r"own\.yaml declares a sweep"):
            load_spec("own.yaml")
    elif problems:
        assert told("own.yaml") == problems
    else:
        load_spec("own.yaml")


def test_the_source_line_is_that_of_the_file() -> None:
    write(base=BASE.replace("0.9", "9"), own=OWN)
    with pytest.raises(SpecError) as caught:
        load_spec("own.yaml")
    assert "    6 | sgd: {learning_rate: 0.05, momentum: 9, epochs: 40}\n" in str(caught.value)
    write(base=BASE.replace(", epochs: 40", ""))
    with pytest.raises(SpecError) as caught:
        load_spec("own.yaml")
    assert "    1 | defaults: base.yaml\n      |           ^^^^^^^^^" in str(caught.value)


def _no_files() -> None:
    """What may stand in the place of a base."""
    Path("folder").mkdir()
    Path("folder/a.yaml").write_text(BASE)
    os.mkfifo("fifo")
    os.symlink("own.yaml", "link.yaml")
    os.symlink("gone.yaml", "broken.yaml")
    os.symlink("circle.yaml", "circle.yaml")
    Path("large.yaml").write_text("#" * 2**20 + BASE)
    Path("binary.yaml").write_bytes(b"name: \xff\xfe\n")
    Path("zeros.yaml").write_bytes(bytes(9))
    Path("wide.yaml").write_text(BASE, encoding="utf-16")
    Path("good.yaml").write_text(BASE)
    os.symlink("good.yaml", "fine.yaml")


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("gone.yaml", "own.yaml:1:11: defaults: gone.yaml: no such file "
                      "(did you mean 'own.yaml'?)"),
        ("goo.yaml", "own.yaml:1:11: defaults: goo.yaml: no such file (did you mean 'good.yaml'?)"),
        ("no/base.yaml", "own.yaml:1:11: defaults: no/base.yaml: no such file "
                         "(there is no directory 'no')"),
        ("good.yaml/x", "own.yaml:1:11: defaults: good.yaml/x: cannot be read: Not a directory"),
        ("folder", "own.yaml:1:11: defaults: folder: this is a directory (it holds a.yaml)"),
        (".", "own.yaml:1:11: defaults: .: this is a directory (it holds binary.yaml, broken.yaml, "
              "circle.yaml, fine.yaml, good.yaml)"),
        ("fifo", "own.yaml:1:11: defaults: fifo: this is a named pipe (give the path of a YAML "
                 "file)"),
        ("/dev/zero", "own.yaml:1:11: defaults: /dev/zero: this is a device (give the path of a "
                      "YAML file)"),
        ("large.yaml", "own.yaml:1:11: defaults: large.yaml: a spec of 1.0 MiB is too large (at "
                       "most 1 MiB) (keep data in a file of its own: `source: {csv: …}`)"),
        ("wide.yaml", "own.yaml:1:11: defaults: wide.yaml: this file is UTF-16 (save it as UTF-8)"),
        ("binary.yaml", "binary.yaml:1:7: the byte 0xff is not UTF-8 (save the file as UTF-8)"),
        ("zeros.yaml", "zeros.yaml:1:1: the character U+0000 is not allowed (remove it)"),
        ("own.yaml", "own.yaml:1:11: defaults: a file does not build on itself (name another one, "
                     "or leave it out)"),
        ("./folder/../own.yaml", "own.yaml:1:11: defaults: a file does not build on itself (name "
                                 "another one, or leave it out)"),
        ("link.yaml", "own.yaml:1:11: defaults: a file does not build on itself (name another one, "
                      "or leave it out)"),
        ("broken.yaml", "own.yaml:1:11: defaults: broken.yaml: no such file "
                        "(did you mean 'own.yaml'?)"),
        ("circle.yaml", "own.yaml:1:11: defaults: circle.yaml: cannot be read: Too many levels of "
                        "symbolic links"),
        ('"a\\0b"', "own.yaml:1:11: defaults: a\0b: no file can have this name"),
        ("é" * 200, f"own.yaml:1:11: defaults: {'é' * 200}: cannot be read: File name too long"),
        ("http://a/b", "own.yaml:1:11: defaults: http:/a/b: no such file "
                       "(there is no directory 'http:/a')"),
        ("3", "own.yaml:1:11: defaults: expected the path of a YAML file, found the number 3"),
        ("", "own.yaml:1:1: defaults: expected the path of a YAML file, found nothing"),
        ("''", "own.yaml:1:11: defaults: expected the path of a YAML file, found the text ''"),
        ("null", "own.yaml:1:11: defaults: expected the path of a YAML file, found nothing"),
        ("[a.yaml]", "own.yaml:1:1: defaults: expected the path of a YAML file, found a list"),
        ("{a: b}", "own.yaml:1:1: defaults: expected the path of a YAML file, found a mapping"),
        ("!!str a", "own.yaml:1:11: defaults: the tag '!!str' is not allowed "
                    "(a spec holds plain values; remove it)"),
        ("fine.yaml", None), ("good.yaml", None),
    ],
)  # fmt: skip
def test_what_is_no_base(named: str, problem: str | None) -> None:
    """It is told where it is named, beside what is wrong in the spec; and never waited for."""
    _no_files()
    write(own=f"defaults: {named}\nname: own\n")
    if problem is None:
        assert load_spec("own.yaml").name == "own"
        return
    assert told("own.yaml") == [problem]
    write(own=f"defaults: {named}\nname: own\nname: again\n")
    assert len(told("own.yaml")) == 2


# Paths ------------------------------------------------------------------------------------------


def test_all_that_names_files_is_known() -> None:
    """A field that is the path of a file says so."""
    definitions = TypeAdapter(Spec).json_schema()["$defs"]
    named = {
        name
        for definition in definitions.values()
        for name, field in definition.get("properties", {}).items()
        if field.get("description", "").startswith(
            ("Path of", "Files with", "A file", "Parameters")
        )
    }
    assert named >= {"csv", "y", "validation", "test"}
    assert named | {"file"} == {place[-1] for place in FILES}


@pytest.mark.parametrize(
    ("base", "path", "seen"),
    [
        ("below/base.yaml", "a.csv", "below/a.csv"),
        ("below/base.yaml", "../a.csv", "a.csv"),
        ("below/base.yaml", "day-*.csv", "below/day-*.csv"),
        ("./below/base.yaml", "a.csv", "below/a.csv"),
        ("./base.yaml", "./a.csv", "a.csv"),
        ("base.yaml", "./a.csv", "./a.csv"),
        ("../above.yaml", "a.csv", "../a.csv"),
        ("../above.yaml", "here/a.csv", "../here/a.csv"),
        ("below/base.yaml", "/data/a.csv", "/data/a.csv"),
        ("below/base.yaml", "~/a.csv", "~/a.csv"),
        ("below/base.yaml", "s3://b/a.csv", "s3://b/a.csv"),
        ("link/base.yaml", "../a.csv", "link/../a.csv"),
        ("o[l]d/base.yaml", "a.csv", "o[l]d/a.csv"),
        ("o[l]d/base.yaml", "*.csv", "o[[]l]d/*.csv"),
    ],
)
def test_paths_are_relative_to_the_file_that_has_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, base: str, path: str, seen: str
) -> None:
    here = folder / "here"
    for name in ("below", "o[l]d", "far/away"):
        (here / name).mkdir(parents=True)
    os.symlink("far/away", here / "link")
    monkeypatch.chdir(here)
    Path(base).write_text(DATA + f"data: {{source: {{csv: '{path}'}}, target: y}}\n")
    write(own=f"defaults: '{base}'\n")
    spec = load_spec("own.yaml")
    assert spec.data.source.csv == seen
    monkeypatch.chdir(folder)  # and so they are from wherever it is read
    assert load_spec("here/own.yaml").sha256 == spec.sha256


def test_all_paths_are(folder: Path) -> None:
    (folder / "below").mkdir()
    text = DATA.replace("loss", "init_from: {file: first.safetensors}, loss") + (
        "data: {source: {csv: [a.csv, b.csv]}, validation: v.csv, test: [t.csv], target: y}\n"
    )
    Path("below/base.yaml").write_text(text)
    write(own="defaults: below/base.yaml\ndata: {test: t.csv}\n")
    spec = load_spec("own.yaml")
    assert spec.data.source.paths == ("below/a.csv", "below/b.csv")
    assert (spec.data.validation, spec.data.test) == ("below/v.csv", "t.csv")
    assert spec.model.init_from.file == "below/first.safetensors"


def test_data_that_is_not_there_is_told_in_the_base(folder: Path, train: Train) -> None:
    (folder / "below").mkdir()
    Path("below/base.yaml").write_text(DATA + "data: {source: {csv: a.csv}, target: y}\n")
    write(own="defaults: below/base.yaml\n")
    code, _, err = train("check", "own.yaml")
    assert code == 3
    assert "below/base.yaml:4:22: data.source.csv: there is no file 'below/a.csv'" in err


# Sweeps -----------------------------------------------------------------------------------------


def test_the_spec_of_a_sweep_builds_on_another(folder: Path) -> None:
    (folder / "runs").mkdir()
    (folder / "runs/base.yaml").write_text(RUN)
    (folder / "runs/one.yaml").write_text(f"{OWN}sgd: {{epochs: 40}}\n")
    write(many=SWEEP)
    sweep = load_sweep("many.yaml")
    (folder / "runs/one.yaml").write_text(RUN.replace("20", "40"))
    hand = load_sweep("many.yaml")
    assert sweep.sha256 == hand.sha256
    assert sweep.resolved() == hand.resolved()
    assert "defaults" not in str(sweep.base.text)
    (folder / "runs/one.yaml").write_text(f"{OWN}sgd: {{epochs: 0}}\n")
    (folder / "runs/base.yaml").write_text(RUN.replace("0.5", "x"))
    with pytest.raises(SpecError) as caught:
        load_sweep("many.yaml")
    assert [(p.file, p.line) for p in caught.value.problems] == [
        ("runs/one.yaml", 2), ("runs/base.yaml", 11),
    ]  # fmt: skip
    (folder / "runs/one.yaml").write_text("defaults: gone.yaml\n")
    with pytest.raises(SpecError, match=r"one\.yaml:1:11: defaults: runs/gone\.yaml: no such file"):
        load_sweep("many.yaml")


@pytest.mark.parametrize(
    ("base", "own", "both"),
    [
        (IN_PLACE, "search: {trials: 9}", IN_PLACE.replace("trials: 6", "trials: 9")),
        (IN_PLACE, "sgd: {epochs: 30}\nhalving: null",
         IN_PLACE.replace("epochs: 20", "epochs: 30").replace("halving: {from: 2}\n", "")),
        (RUN, f"name: many\nseed: 7\n{SWEEP.partition('runs/one.yaml')[2]}",
         f"{RUN.replace('one', 'many').replace('seed: 5', 'seed: 7')}"
         f"{SWEEP.partition('runs/one.yaml')[2]}"),
        (IN_PLACE, "space: {sgd.learning_rate: {values: [0.1, 0.2]}, model.layers.0.units: null}",
         IN_PLACE.replace("{log: [1e-4, 0.3]}", "{values: [0.1, 0.2]}")
                 .replace("  model.layers.0.units: {integers: [4, 64], log: true}\n", "")),
        (IN_PLACE, "space: {model.layers.0.units: {integers: [8, 16]}}",
         IN_PLACE.replace("[4, 64]", "[8, 16]")),
        (IN_PLACE, "objective: {minimise: loss}", None),
    ],
)  # fmt: skip
def test_a_sweep_builds_on_another(base: str, own: str, both: str | None) -> None:
    write(base=base, own=f"{OWN}{own}\n", hand=both or base)
    if both is None:
        with pytest.raises(SpecError, match=r"own\.yaml:2:"):
            load_sweep("own.yaml")
        return
    sweep, hand = load_sweep("own.yaml"), load_sweep("hand.yaml")
    assert sweep.sha256 == hand.sha256
    assert sweep.resolved() == hand.resolved()
    again = sweep.changed({"search.trials": 5, "sgd.epochs": 25})
    assert (again.planned, again.base.sgd.epochs) == (5, 25)


def test_the_paths_of_a_sweep(folder: Path) -> None:
    """Seen from the sweep that builds on another: that of the spec, or those in the spec."""
    for name in ("runs", "below/runs"):
        (folder / name).mkdir(parents=True)
    (folder / "below/runs/one.yaml").write_text(RUN)
    (folder / "below/base.yaml").write_text(SWEEP)
    write(own="defaults: below/base.yaml\n")
    assert load_sweep("own.yaml").spec_file == "below/runs/one.yaml"
    values = read(RUN)
    values["data"] |= {"source": {"csv": "a.csv"}, "target": "y"}
    rows = yaml.safe_dump(values)
    inside = "spec:\n" + "".join(f"  {line}\n" for line in rows.splitlines())
    for more, expected in (("", "below/a.csv"), ("spec_file: runs/x.yaml\n", "a.csv")):
        text = SWEEP.replace("spec: runs/one.yaml\n", inside + more)
        (folder / "below/base.yaml").write_text(text)
        sweep = load_sweep("own.yaml")
        assert sweep.base.data.source.csv == expected
        assert sweep.spec_file == ("below/runs/x.yaml" if more else None)


# Commands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [["run"], ["crossval", "--folds", "3"], ["lr-find"], ["check"], ["check", "--resolved"],
     ["explain"], ["gradcheck"], ["sweep"]],
    ids="-".join,
)  # fmt: skip
def test_every_command_reads_the_base(train: Train, command: list[str]) -> None:
    text = IN_PLACE if command == ["sweep"] else BASE
    write(base=text.replace("momentum: 0.9", "momentum: 9").replace("epochs: 20", "epochs: no"),
          own=OWN)  # fmt: skip
    first, *options = command
    code, _, err = train(first, "own.yaml", *options)
    assert code == 2
    assert "\nbase.yaml:" in err


def test_check_shows_where_values_are_from(train: Train) -> None:
    write(base=BASE, own=f"{OWN}sgd:\n  epochs: 9\nname: own\n")
    options = ["--resolved", "--set", "sgd.l1=0.5", "--set", "model.layers.0.units=4"]
    code, out, _ = train("check", "own.yaml", *options)
    assert code == 0
    shown = [line.strip() for line in out.splitlines() if "#" in line]
    assert shown == [
        "name: own  # own.yaml:4", "source: iris  # base.yaml:2", "validation: 0.2  # base.yaml:2",
        "test: 0.2  # base.yaml:2", "units: 4  # --set", "activation: tanh  # base.yaml:4",
        "units: 3  # base.yaml:4", "loss: logistic  # base.yaml:5",
        "learning_rate: 0.05  # base.yaml:6", "momentum: 0.9  # base.yaml:6",
        "l1: 0.5  # --set", "epochs: 9  # own.yaml:3",
    ]  # fmt: skip
    write(again=out)
    _, told_, _ = train("check", "own.yaml", "--json", *options)
    found = json.loads(told_)
    assert load_spec("again.yaml").sha256 == found["spec_sha256"]
    assert found["resolved"] == load_spec("again.yaml").resolved()
    assert found["places"]["model.layers[0].units"] == "--set"
    assert found["places"]["sgd.epochs"] == "own.yaml:3"
    assert "seed" not in found["places"]
    code, out, _ = train("check", "own.yaml", "--json", "--resolved", "--set", "sgd.epochs=0")
    assert (code, json.loads(out)["valid"]) == (2, False)


@pytest.mark.parametrize("name", ["a\nname: other", "é" * 60, "a # b"])
def test_places_do_not_become_values(name: str) -> None:
    """A file may be called as it likes."""
    write(base=BASE)
    Path(f"{name}.yaml").write_text(OWN)
    spec = load_spec(f"{name}.yaml")
    write(again=with_places(spec.document, spec.resolved()))
    assert load_spec("again.yaml").resolved() == spec.resolved()


def test_a_run_keeps_what_both_are(train: Train, write_spec: WriteSpec, store: str) -> None:
    """It needs neither file any more, and the spec that says it in one is known."""
    write_spec(name="base.yaml")
    write(own=f"{OWN}name: own\nsgd: {{epochs: 2}}\n")
    hand = write_spec({"sgd.epochs": 2, "name": "own"}, "hand.yaml")
    code, out, _ = train("run", "own.yaml", "--json")
    assert code == 0
    [run] = (path for path in Path("runs").iterdir() if path.is_dir() and len(path.name) == 32)
    kept = {path.name: path.read_text() for path in run.rglob("*.yaml")}
    assert "defaults" not in kept["resolved.yaml"] + kept["spec.yaml"]
    write(kept=kept["spec.yaml"])
    assert load_spec("kept.yaml").sha256 == load_spec(hand).sha256 == json.loads(out)["spec_sha256"]
    Path("base.yaml").unlink()
    Path("own.yaml").unlink()
    code, out, _ = train("run", "hand.yaml", "--json")
    assert json.loads(out)["known"] is True
    assert train("reproduce", "own")[0] == 0


# The service ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [f"{OWN}{BASE}", "defaults: fifo\n", '{"defaults": "fifo"}', "defaults: [/etc/passwd]\n",
     f"defaults: null\n{BASE}", f"{OWN}{IN_PLACE}",
     SWEEP.replace("runs/one.yaml", "{defaults: fifo}")],
    ids=lambda text: text[:16],
)  # fmt: skip
def test_a_service_opens_no_base(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    os.mkfifo("fifo")
    write(base=BASE)
    checker = Checker(Settings(runs=folder / "runs", data_folder=folder), Has(), lambda: None)
    monkeypatch.setattr(
        "trainer.spec.reading.read_text", lambda *_: pytest.fail("a file is opened")
    )
    with pytest.raises(SpecError) as caught:
        checker.check(text, "ada")
    [problem] = caught.value.problems
    assert problem.path in ("defaults", "spec.defaults")
    assert "no file beside this one" in problem.message


def test_a_sent_file_in_the_place_of_one(folder: Path) -> None:
    checker = Checker(Settings(runs=folder / "runs"), Has(), lambda: None)
    text = DATA + f"data: {{source: {{csv: a.csv, upload: {'0a' * 32}, as: csv}}, target: y}}\n"
    with pytest.raises(SpecError, match="a file that was sent stands here already"):
        checker.check(text, "ada")


MANY = SWEEP.replace("runs/one.yaml", "one.yaml")
NINE = read(BASE.replace("40", "9"))


@pytest.mark.parametrize("call", ["check", "submit"])
@pytest.mark.parametrize(
    ("own", "sent", "path", "place"),
    [
        (f"{OWN}name: own\n", {**read(BASE), "name": "own"}, "sgd.momentum", "base.yaml:6:38"),
        (f"{OWN}sgd: {{epochs: 9}}\n", NINE, "sgd.epochs", "own.yaml:2:15"),
        (f"{OWN}sgd: {{epochs: 9}}\n", NINE, "data.scale", "own.yaml:1:11"),
        (MANY, {**read(MANY), "spec": {**read(BASE), "seed": 3}}, "spec.seed", "one.yaml:2:7"),
        (MANY, {**read(MANY), "spec": {**read(BASE), "seed": 3}}, "spec.sgd.epochs",
         "base.yaml:6:51"),
        (f"{OWN}{MANY.replace('spec: one.yaml', '')}",
         {**read(BASE), **read(MANY.replace("spec: one.yaml", ""))}, "model.loss", "base.yaml:5:9"),
    ],
)  # fmt: skip
def test_a_client_sends_what_both_are(
    call: str, own: str, sent: Any, path: str, place: str
) -> None:
    """And tells mistakes where they stand here."""
    write(base=BASE, own=own, one=f"{OWN}seed: 3\n")
    error = {"file": "spec.yaml", "line": 1, "column": 1, "path": path, "message": "no"}
    with stub() as service, Client(service.url, TOKEN) as client:
        service.on("POST /check", {"valid": False, "errors": [error]})
        service.on("POST /jobs", Answer({"error": "spec", "message": "m", "errors": [error]}, 422))
        with pytest.raises(SpecError) as caught:
            getattr(client, call)(Path("own.yaml"))
        assert [shown(each) for each in caught.value.problems] == [f"{place}: {path}: no"]
        assert read(service.asked[0].json["spec"]) == sent


def test_a_client_sends_nothing_of_what_cannot_be_read() -> None:
    write(own="defaults: gone.yaml\nname: own\n")
    with stub() as service, Client(service.url, TOKEN) as client:
        with pytest.raises(SpecError, match=r"own\.yaml:1:11: defaults: gone\.yaml: no such file"):
            client.submit("own.yaml")
        assert service.asked == []


def test_submit_sends_what_both_are(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    write(base=BASE, own=f"{OWN}name: own\n")
    monkeypatch.setenv("TRAINER_TOKEN", TOKEN)
    with stub() as service:
        monkeypatch.setenv("TRAINER_SERVER", service.url)
        service.on("POST /jobs", Answer(job(), 201))
        assert train("submit", "own.yaml", "--set", "sgd.epochs=9")[0] == 0
        assert read(service.asked[0].json["spec"]) == {**NINE, "name": "own"}


# Editors ----------------------------------------------------------------------------------------

SCHEMA = with_partial(TypeAdapter(Spec | Sketch).json_schema())
SWEEPS = with_partial(TypeAdapter(SweepSpec).json_schema())
DEFINITIONS.update({**SWEEPS["$defs"], **SCHEMA["$defs"]})


@pytest.mark.parametrize(
    ("text", "schema", "fits"),
    [
        *[(path.read_text(), SCHEMA, True) for path in ALL_CONFIGS[:3]],
        *[(OWN + text, SCHEMA, True) for text in (*TEXTS, SKETCH)],
        (OWN, SCHEMA, True), ("name: a\n", SCHEMA, False), ("defaults: 3\n", SCHEMA, False),
        (f"{OWN}sgd: {{epochs: 4, schedule: {{warmup: 2}}}}", SCHEMA, True),
        (f"{OWN}sgd: {{epochs: null, schedule: {{every: 2}}}}", SCHEMA, True),
        (f"{OWN}data: {{source: {{delimiter: ';'}}, columns: {{a: null}}}}", SCHEMA, True),
        (f"{OWN}model: {{equations: {{h: w @ x}}}}", SCHEMA, True),
        (f"{OWN}model: {{layers: [{{activation: relu}}]}}", SCHEMA, False),
        (f"{OWN}sgd: {{epoch: 4}}", SCHEMA, False), (f"{OWN}sgd: {{epochs: 0}}", SCHEMA, False),
        (f"{OWN}search: grid", SCHEMA, False), (f"{OWN}search: grid", SWEEPS, True),
        (f"{OWN}space: {{sgd.l1: null}}\nsgd: {{epochs: 3}}", SWEEPS, True),
        (IN_PLACE, SWEEPS, True), (IN_PLACE.replace("search", "serch"), SWEEPS, False),
    ],
)  # fmt: skip
def test_the_schema_of_files(text: str, schema: dict[str, Any], fits: bool) -> None:
    rules = {"anyOf": schema["anyOf"]}
    if fits:
        check_schema(read(text), rules)
    else:
        with pytest.raises(Refused):
            check_schema(read(text), rules)


# Properties -------------------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b", "type", "csv", "x.y"])
LEAVES = st.one_of(
    st.integers(0, 3), st.sampled_from(["x", "y"]), st.lists(st.integers(0, 9), max_size=2)
)
TREES = st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=12)
DOCUMENTS = st.dictionaries(KEYS, st.one_of(TREES, st.none()), max_size=4)


def by_hand(own: Any, base: Any) -> Any:
    """Two nested dicts as one."""
    if not isinstance(own, dict) or not isinstance(base, dict):
        return own
    both = {
        **base,
        **{key: by_hand(own[key], base[key]) if key in base else own[key] for key in own},
    }
    return {key: value for key, value in both.items()
            if not (key in own and own[key] is None and key in base)}  # fmt: skip


def tree(values: Any, file: str) -> Map:
    """The values, read from a file."""
    root, problems = parse(yaml.safe_dump(values, sort_keys=False), file)
    assert isinstance(root, Map)
    assert not problems
    return root


def leaves(node: Node, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Mark, Node]]:
    for key, (mark, child) in node.entries.items() if isinstance(node, Map) else ():
        if isinstance(child, Map):
            yield from leaves(child, (*path, key))
        else:
            yield (*path, key), mark, child


def at(values: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        values = values[key] if isinstance(values, dict) and key in values else ...
    return values


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_a_merged_tree_is_that_of_both_by_hand(own: Any, base: Any) -> None:
    """And each value keeps the place that it has in the file that it is from."""
    found = merged(tree(own, "own"), tree(base, "base"), None)
    assert plain(found) == by_hand(own, base)
    assert list(found.entries) == list(by_hand(own, base))
    for path, mark, child in leaves(found):
        file = "own" if at(own, path) is not ... else "base"
        assert {mark.source.file, child.mark.source.file} == {file}
        assert locate(found, path).source.file == file
        assert plain(child) == at(own if file == "own" else base, path)
        assert isinstance(child, List | Scalar)


SPEC: dict[str, Any] = {
    **TINY, "tracking": {"experiment": "e"}, "evaluation": {"batch_size": 64},
    "sgd": {"learning_rate": 0.5, "batch_size": 2, "epochs": 3, "momentum": 0.5,
            "schedule": {"type": "cosine", "warmup": 1, "final": 0.1},
            "early_stopping": {"patience": 3, "min_delta": 0.1}},
}  # fmt: skip
SPEC["data"] = {**TINY["data"], "split": {"validation": 0.5}}
LEAF_PATHS = [path for path, _, _ in leaves(tree(SPEC, ""))]
NUMBERS = [path for path in LEAF_PATHS if isinstance(at(SPEC, path), int | float)]


def put(values: dict[str, Any], path: tuple[Any, ...], value: Any) -> None:
    for key in path[:-1]:
        values = values.setdefault(key, {})
    values[path[-1]] = value


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["own", "base", "both"]), min_size=len(LEAF_PATHS),
             max_size=len(LEAF_PATHS)),
    st.sampled_from(NUMBERS),
)  # fmt: skip
def test_a_mistake_is_told_in_the_file_that_has_it(
    tmp_path_factory: pytest.TempPathFactory, where: list[str], wrong: tuple[Any, ...]
) -> None:
    """A spec is dealt to two files: together they are the spec, and a number that is wrong in the
    one that decides it is told there.
    """
    files: dict[str, dict[str, Any]] = {"own": {}, "base": {}}
    for path, file in zip(LEAF_PATHS, where, strict=True):
        put(files["own" if file == "both" else file], path, at(SPEC, path))
        if file == "both":
            put(files["base"], path, at(SPEC, path) if path[-1] == "type" else "another")
    path = tmp_path_factory.getbasetemp() / "dealt"
    path.mkdir(exist_ok=True)
    decides = "base" if where[LEAF_PATHS.index(wrong)] == "base" else "own"

    def written(files: Mapping[str, dict[str, Any]]) -> str:
        (path / "base.yaml").write_text(yaml.safe_dump(files["base"] or {"seed": 5}))
        own = {"defaults": "base.yaml", **files["own"]}
        (path / "own.yaml").write_text(yaml.safe_dump(own, sort_keys=False))
        return str(path / "own.yaml")

    assert load_spec(written(files)).resolved() == Spec.model_validate(SPEC).resolved()
    files = copy.deepcopy(files)
    put(files[decides], wrong, "wrong")
    with pytest.raises(TrainerError) as caught:
        load_spec(written(files))
    assert isinstance(caught.value, SpecError)
    [problem] = caught.value.problems
    assert (Path(str(problem.file)).stem, problem.path) == (decides, ".".join(wrong))
    assert problem.column is not None
    assert problem.source[problem.column - 1 :].startswith("wrong")
