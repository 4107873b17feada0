"""Every mistake that a sweep's file can hold, with its words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_sweep_spec import IN_PLACE, RUN, SWEEP

from trainer.cli.app import main
from trainer.errors import SpecError, UsageError
from trainer.sweeps.declaration import SweepSpec, load_sweep

PLACES = {
    "rate": "{log: [1e-4, 0.3]}",
    "key": "sgd.learning_rate: {log: [1e-4, 0.3]}",
    "search": "{method: random, trials: 6}",
    "halving": "{from: 2}",
    "objective": "val_loss",
    "budget": "{time: 1.5h, disk: 2GB}",
    "spec": "runs/one.yaml",
    "more": "seed: 7",
}
"""What the words of a mistake take the place of."""


@pytest.fixture(autouse=True)
def _files(folder: Path) -> None:
    (folder / "runs").mkdir()
    (folder / "runs/one.yaml").write_text(RUN)
    (folder / "runs/bad.yaml").write_text(RUN.replace("tanh", "tahn").replace("0.4", "4"))
    (folder / "runs/graph.yaml").write_text("name: a\nmodel: {equations: {y: x}}\n")


def problems(text: str) -> list[str]:
    """Each problem with a sweep of this text: its place, path and message, then its hint."""
    Path("sweep.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_sweep("sweep.yaml")
    lines = []
    for p in caught.value.problems:
        place = f"{p.file}:{p.line}:{p.column}".removeprefix("sweep.yaml:")
        lines += [f"{place}: {p.path}: {p.message}", *([f"hint: {p.hint}"] if p.hint else [])]
    return lines


# a mistake, and indented what is said of it: problems by 2, hints by 4, what goes on a line by more
MISTAKES = r"""
rate: {lgo: [1, 2]}
  5:3: space."sgd.learning_rate": expected one of {integers: …}, {log: …}, {uniform: …}, {values:
        …}, found a mapping
    hint: did you mean 'log'?
rate: {log: [0, 1]}
  5:29: space."sgd.learning_rate".log[0]: expected a number above 0, found the number 0
    hint: a logarithm is of numbers above 0; write {uniform: …} for a range with 0
rate: {log: [1]}
  5:23: space."sgd.learning_rate".log: expected two numbers, [lowest, highest], found a list of 1
rate: {log: 3}
  5:28: space."sgd.learning_rate".log: expected two numbers, [lowest, highest], found the number 3
rate: {log: [a, 1]}
  5:29: space."sgd.learning_rate".log[0]: expected a number, found the text 'a'
rate: {log: [2, 1]}
  5:23: space."sgd.learning_rate".log: the lowest, 2, is not below the highest, 1
    hint: write [1, 2]
rate: {log: [1, 1]}
  5:23: space."sgd.learning_rate".log: the lowest, 1, is not below the highest, 1
    hint: write {values: [1]}
rate: {uniform: [.inf, 1]}
  5:33: space."sgd.learning_rate".uniform[0]: expected a number of at most 1e+30, found the number
        inf
rate: {uniform: [-1, 1]}
  5:33: space."sgd.learning_rate".uniform[0]: with sgd.learning_rate = -1: expected a number above
        0, found the number -1.0
rate: {uniform: [0.1, true]}
  5:38: space."sgd.learning_rate".uniform[1]: expected a number, found true
rate: {values: []}
  5:23: space."sgd.learning_rate".values: expected a list of at least 1 value, found an empty list
rate: {values: 3}
  5:31: space."sgd.learning_rate".values: expected a list of values, found the number 3
    hint: write [3]
rate: {values: [0.1, 0.2, 0.1]}
  5:42: space."sgd.learning_rate".values[2]: '0.1' stands here a second time
    hint: leave it out
rate: {values: [1, 1.0]}
  5:35: space."sgd.learning_rate".values[1]: '1.0' stands here a second time
    hint: leave it out
rate: {values: [-2, 0.1, -1]}
  5:32: space."sgd.learning_rate".values[0]: with sgd.learning_rate = -2: expected a number above
        0, found the number -2
  5:41: space."sgd.learning_rate".values[2]: with sgd.learning_rate = -1: expected a number above
        0, found the number -1
rate: {integers: [1, 3.0]}
  5:37: space."sgd.learning_rate".integers[1]: expected a whole number, found the number 3.0
    hint: write 3
rate: {integers: [1, 2.5]}
  5:37: space."sgd.learning_rate".integers[1]: expected a whole number, found the number 2.5
rate: {integers: [0, 4], log: true}
  5:46: space."sgd.learning_rate".log: a logarithm is of numbers above 0, and the lowest is 0
    hint: begin at 1, or leave log out
rate: {integers: [1, 9999999999999]}
  5:37: space."sgd.learning_rate".integers[1]: expected a whole number of at most 1e+12, found the
        number 9999999999999
rate: [0.1, 0.2]
  5:3: space."sgd.learning_rate": expected one of {integers: …}, {log: …}, {uniform: …}, {values:
        …}, found a list
    hint: write {values: [0.1, 0.2]}
rate: 0.1
  5:22: space."sgd.learning_rate": expected one of {integers: …}, {log: …}, {uniform: …}, {values:
        …}, found the number 0.1
    hint: write {values: [0.1]}
rate:
  5:3: space."sgd.learning_rate": expected one of {integers: …}, {log: …}, {uniform: …}, {values:
        …}, found nothing
rate: {log: [1e-4, 1], steps: 1}
  5:46: space."sgd.learning_rate".steps: expected a number of at least 2, found the number 1
rate: {log: [1e-4, 1], uniform: [0, 1]}
  5:39: space."sgd.learning_rate".uniform: unknown key
    hint: the keys here are log, steps
rate: {log: [1e-4, 1], base: 10}
  5:39: space."sgd.learning_rate".base: unknown key
    hint: the keys here are log, steps
rate: {}
  5:3: space."sgd.learning_rate": expected one of {integers: …}, {log: …}, {uniform: …}, {values:
        …}, found an empty mapping
key: sgd.lerning_rate: {values: [1]}
  5:3: space."sgd.lerning_rate": unknown key
    hint: did you mean 'sgd.learning_rate'?
key: sdg.learning_rate: {values: [1]}
  5:3: space."sdg.learning_rate": unknown key
    hint: did you mean 'sgd.learning_rate'?
key: learning_rate: {values: [1]}
  5:3: space.learning_rate: unknown key
    hint: did you mean 'sgd.learning_rate'?
key: lr: {values: [1]}
  5:3: space.lr: unknown key
    hint: the keys here are name, seed, data, model, sgd, evaluation, tracking
key: model.layers.5.units: {values: [1]}
  5:3: space."model.layers.5.units": there is no item 5: the list has 2 items
    hint: items are counted from 0
key: model.layers.0.units.x: {values: [1]}
  5:3: space."model.layers.0.units.x": this is the number 3, which has no 'x'
  6:3: space."model.layers.0.units": 'model.layers.0.units.x' lies within 'model.layers.0.units'
    hint: keep one of them
key: name: {values: [a]}
  5:3: space.name: 'name' decides nothing of what a trial learns
    hint: leave it out
key: tracking.experiment: {values: [a]}
  5:3: space."tracking.experiment": 'tracking' decides nothing of what a trial learns
    hint: leave it out
key: sgd.epochs: {values: [9]}
  5:3: space."sgd.epochs": with halving all trials have the same epochs
    hint: leave it out: with halving trials end at different epochs by themselves
key: sgd: {values: [{}]}
  5:18: space.sgd.values[0]: with sgd = {}: sgd.learning_rate: required key is missing
key: model.layers.0: {values: [{units: 2}]}
  6:3: space."model.layers.0.units": 'model.layers.0.units' lies within 'model.layers.0'
    hint: keep one of them
  7:3: space."model.layers[0].activation": 'model.layers[0].activation' lies within
        'model.layers.0'
    hint: keep one of them
key: model.layers[0].units: {values: [2]}
  6:3: space."model.layers.0.units": this is the key 'model.layers[0].units' again
    hint: keep one of them
key: sgd.batch_size: {uniform: [1, 9]}
  5:30: space."sgd.batch_size".uniform[0]: with sgd.batch_size = 1: expected a whole number of at
        least 1, or 'full', found the number 1.0
    hint: write {integers: [1, 9]}
key: sgd.batch_size: {log: [1, 9]}
  5:26: space."sgd.batch_size".log[0]: with sgd.batch_size = 1: expected a whole number of at least
        1, or 'full', found the number 1.0
    hint: write {integers: [1, 9], log: true}
key: sgd.average.decay: {uniform: [0.9, 0.99]}
  5:33: space."sgd.average.decay".uniform[0]: with sgd.average.decay = 0.9: sgd.average.type:
        required key is missing
key: sgd.shards: {integers: [1, 3]}
  5:30: space."sgd.shards".integers[1]: with sgd.shards = 3: 3 shards of a batch of 2 examples
    hint: let a shard have one example at least
key: sgd.schedule: {values: [step, {type: cosine, warmup: 50}, {type: cosin}]}
  5:27: space."sgd.schedule".values[0]: with sgd.schedule = step: sgd.schedule.every: required key
        is missing
  5:33: space."sgd.schedule".values[1]: with sgd.schedule = {"type": "cosine", "warmup": 50}:
        sgd.schedule.warmup: the warm-up takes 50 epochs, and sgd.epochs is 20
    hint: make it shorter than the training
  5:61: space."sgd.schedule".values[2]: with sgd.schedule = {"type": "cosin"}: sgd.schedule.type:
        expected a type of schedule, found the text 'cosin'
    hint: did you mean 'cosine'?
key: data.split.validation: {values: [0.2, 0]}
  5:41: space."data.split.validation".values[1]: with data.split.validation = 0: there are no
        validation rows, so there is no val_loss
    hint: write data.split: {validation: 0.2} in runs/one.yaml
search: {method: random}
  8:1: search.trials: the search 'random' needs to know how many trials
    hint: write for example trials: 32
search: tpe
  8:9: search.trials: the search 'tpe' needs to know how many trials
    hint: write for example trials: 32
search: grid
  5:3: space."sgd.learning_rate": a grid needs to know how many values to take
    hint: write for example steps: 5
search: {method: bayes, trials: 3}
  8:18: search.method: expected a method of search, found the text 'bayes'
    hint: choose one of grid, random, tpe
search: {method: random, trials: 6, startup: 3}
  8:46: search.startup: startup belongs to the search 'tpe'
    hint: leave it out
search: {method: random, trials: 0}
  8:34: search.trials: expected a number of at least 1, found the number 0
search: [grid]
  8:1: search: expected a mapping, found a list
    hint: the keys here are method, trials, startup
halving: {from: 20}
  9:17: halving.from: the first rung is at epoch 20, and a trial has 20
    hint: make it sooner
halving: {}
  9:1: halving.from: required key is missing
halving: asha
  9:10: halving: expected a mapping, found the text 'asha'
    hint: the keys here are method, from, factor
halving: {from: 2, factor: 1}
  9:28: halving.factor: expected a number of at least 2, found the number 1
halving: {form: 2}
  9:1: halving.from: required key is missing
  9:11: halving.form: unknown key
    hint: did you mean 'from'?
halving: {from: 2, method: hyperband}
  9:28: halving.method: expected a method of halving, found the text 'hyperband'
    hint: choose one of asha
objective: loss
  10:12: objective: expected a metric such as val_loss, found the text 'loss'
    hint: did you mean 'val_loss'?
objective: accuracy
  10:12: objective: expected a metric such as val_loss, found the text 'accuracy'
    hint: did you mean 'val_accuracy'?
objective: test_loss
  10:12: objective: the test rows are for the end, when all is chosen
    hint: write val_loss
objective: {maximise: val_loss}
  10:23: objective.maximise: of val_loss less is better
    hint: write {minimise: val_loss}
objective: {minimise: val_accuracy}
  10:23: objective.minimise: of val_accuracy more is better
    hint: write {maximise: val_accuracy}
objective: {maximize: val_accuracy}
  10:1: objective: expected a metric, or one of {minimise: …}, {maximise: …}, found a mapping
    hint: did you mean 'maximise'?
objective: val_f1
  10:12: objective.maximise: 'val_f1' is not measured
    hint: write evaluation: {metrics: [f1]} in runs/one.yaml
objective: val_rmse
  10:12: objective.minimise: 'val_rmse' does not fit the loss 'logistic'
    hint: choose from val_loss, val_accuracy, val_balanced_accuracy, val_f1, val_auc, val_log_loss
objective: train_f1
  10:12: objective.maximise: 'train_f1' is not measured
    hint: of the training rows there are train_loss and train_accuracy
objective: 3
  10:12: objective: expected a metric, or one of {minimise: …}, {maximise: …}, found the number 3
objective: {}
  10:1: objective: expected a metric, or one of {minimise: …}, {maximise: …}, found an empty
        mapping
objective: [val_loss]
  10:1: objective: expected a metric, or one of {minimise: …}, {maximise: …}, found a list
budget: {time: 2, disk: 2gb}
  11:16: budget.time: expected an amount such as 2h, found the number 2
    hint: with a unit: 2h
  11:25: budget.disk: expected an amount such as 2GB, found the text '2gb'
    hint: write 2GB
budget: {time: 2 hours}
  11:16: budget.time: expected an amount such as 2h, found the text '2 hours'
    hint: units are s, min, h, d
budget: {disk: 0GB}
  11:16: budget.disk: expected more than nothing
    hint: leave it out for no limit
budget: {room: 2GB}
  11:10: budget.room: unknown key
    hint: the keys here are time, disk
budget: 2h
  11:9: budget: expected a mapping, found the text '2h'
    hint: the keys here are time, disk
spec: runs/on.yaml
  3:7: spec: runs/on.yaml: no such file
    hint: did you mean 'one.yaml'?
spec: runs
  3:7: spec: runs: this is a directory
    hint: it holds bad.yaml, graph.yaml, one.yaml
spec: sweep.yaml
  3:7: spec: sweep.yaml declares a sweep itself
    hint: name a file that declares one run
spec: 3
  3:7: spec: expected the path of a spec, found the number 3
spec:
  3:1: spec: expected the path of a spec, found nothing
spec: runs/bad.yaml
  runs/bad.yaml:5:23: data.split.validation: expected a number below 1, found the number 4
  runs/bad.yaml:8:30: model.layers[0].activation: expected an activation, found the text 'tahn'
    hint: did you mean 'tanh'?
spec: runs/one.yaml\nsgd: {epochs: 3}
  4:1: sgd: the spec is named already, and has this itself
    hint: write it there, or leave `spec` out
spec: {name: a}
  3:7: data: required key is missing
  3:7: model: required key is missing
  3:7: sgd: required key is missing
spec: runs/graph.yaml
  3:7: spec: runs/graph.yaml declares a graph without data
    hint: name a file that declares one run
spec: runs/one.yaml\nspec_file: a.yaml
  4:1: spec_file: this belongs to a `spec` whose values stand here
    hint: leave it out
more: modle: {}
  2:1: modle: unknown key
    hint: did you mean 'model'?
more: objectiv: val_loss
  2:1: objectiv: unknown key
    hint: did you mean 'objective'?
more: slots: 0
  2:8: slots: expected a number of at least 1, found the number 0
more: decide: never
  2:9: decide: expected a way to decide, found the text 'never'
    hint: choose one of clock, arrival
more: spec_file: a.yaml
  2:1: spec_file: this belongs to a `spec` whose values stand here
    hint: leave it out
more: tracking: {experiment: ''}
  2:24: tracking.experiment: expected a text of at least 1 character, found the text ''
more: spce: a
  2:1: spce: unknown key
    hint: did you mean 'spec'?
"""


def mistakes() -> Iterator[tuple[str, str, list[str]]]:
    """Place, words, and the lines of what is said."""
    place, words, lines = "", "", list[str]()
    for line in [*MISTAKES.strip().splitlines(), ":"]:
        indent = len(line) - len(line.lstrip())
        if not indent:
            if place:
                yield place, words, lines
            place, _, words = line.replace(r"\n", "\n").partition(":")
            words, lines = words.removeprefix(" "), []
        elif indent <= 4:
            lines.append(line.strip())
        else:
            lines[-1] += f" {line.strip()}"


@pytest.mark.parametrize(("place", "words", "found"), list(mistakes()))
def test_mistake(place: str, words: str, found: list[str]) -> None:
    assert SWEEP.count(PLACES[place]) == 1
    assert problems(SWEEP.replace(PLACES[place], words)) == found


def test_all_mistakes_are_told_at_once() -> None:
    text = SWEEP.replace("seed: 7", "seed: -7\nslots: 0").replace("one.yaml", "bad.yaml")
    assert [line.partition(": ")[0] for line in problems(text.replace("val_loss", "val_f2"))] == [
        "2:7", "3:8", "11:12", "hint", "runs/bad.yaml:5:23", "runs/bad.yaml:8:30", "hint"
    ]  # fmt: skip


def test_an_empty_space() -> None:
    start, _, rest = SWEEP.partition("space:\n")
    text = f"{start}space: {{}}\n{rest.partition('activation: {values: [relu, tanh]}')[2]}"
    assert problems(text) == [
        "4:1: space: nothing varies: expected at least one key of the spec",
        "hint: for example sgd.learning_rate: {log: [1e-4, 0.3]}",
    ]


def test_mistakes_of_a_sweep_with_all_in_place() -> None:
    """Each once, at its place in the one file."""
    text = IN_PLACE.replace("[1e-4, 0.3]", "[-1, 0.3]").replace("epochs", "epocs")
    assert problems(text.replace("tanh]", "tahn]")) == [
        "11:1: sgd.epochs: required key is missing",
        "11:22: sgd.epocs: unknown key",
        "hint: did you mean 'epochs'?",
        '13:29: space."sgd.learning_rate".log[0]: expected a number above 0, found the number -1',
        "hint: a logarithm is of numbers above 0; write {uniform: …} for a range with 0",
    ]
    assert problems(IN_PLACE.replace("sgd.learning_rate", "sgd.lerning_rate"))[1:] == [
        '13:3: space."sgd.lerning_rate": unknown key',
        "hint: did you mean 'sgd.learning_rate'?",
    ]


def test_a_value_of_an_option_is_named() -> None:
    Path("sweep.yaml").write_text(SWEEP)
    for change, message in {
        "sgd.epochs=x": "--set sgd.epochs:1:1: sgd.epochs: expected a whole number, found the",
        "slots=0": "--set slots:1:1: slots: expected a number of at least 1, found the number 0",
        "sgd.epcohs=3": "--set sgd.epcohs:1:1: sgd.epcohs: unknown key",
    }.items():
        with pytest.raises(SpecError) as caught:
            load_sweep("sweep.yaml", [change])
        assert str(caught.value).startswith(message)


def test_the_caret_stands_under_the_value() -> None:
    Path("sweep.yaml").write_text(SWEEP.replace("[relu, tanh]", "[relu, tahn]"))
    with pytest.raises(SpecError) as caught:
        load_sweep("sweep.yaml")
    assert str(caught.value).splitlines()[1:] == [
        "    7 |   model.layers[0].activation: {values: [relu, tahn]}",
        "      |                                               ^^^^",
        "      hint: did you mean 'tanh'?",
    ]


def test_a_kept_sweep_that_is_damaged() -> None:
    with pytest.raises(SpecError, match=r"kept.yaml: space: required key is missing"):
        SweepSpec.from_resolved({"name": "a", "spec": "runs/one.yaml"}, file="kept.yaml")


@pytest.mark.parametrize("command", ["run", "check", "lr-find"])
def test_the_command_for_sweeps_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("sweep.yaml").write_text(SWEEP)
    with pytest.raises(SystemExit, match="2"):
        main([command, "sweep.yaml"])
    assert "hint: train sweep sweep.yaml" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"train run runs/one\.yaml"):
        load_sweep("runs/one.yaml")
