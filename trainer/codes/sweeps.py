"""TR-W: sweeps, cross-validation, and the workers that train for them."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-W001",
        "nothing varies",
        "`space` holds the keys of the spec that vary, with their values, and here it holds none.",
        "Name at least one key.",
        "space:\n  sgd.learning_rate: {log: [1e-4, 0.3]}",
    ),
    Entry(
        "TR-W002",
        "this is no range and no list of values",
        "A key varies over `values`, or over a range: `uniform`, `log` or `integers`, from a "
        "lowest to a larger highest number; a logarithm is of numbers above 0.",
        "Write one of these.",
        "space:\n  sgd.learning_rate: {log: [1e-4, 0.3]}\n  sgd.batch_size: {values: [16, 32]}",
    ),
    Entry(
        "TR-W003",
        "a key that a sweep cannot vary",
        "The key is none of the spec, decides nothing of what a trial learns, lies within "
        "another one, or is the same for all trials.",
        "Take the near key that is told, or leave it out.",
    ),
    Entry(
        "TR-W004",
        "the spec of the sweep",
        "A sweep varies one spec: it names its file, or holds `data`, `model` and `sgd` itself, "
        "and not both.",
        "Write `spec` with the path of a file that declares one run.",
        "spec: flats.yaml",
    ),
    Entry(
        "TR-W005",
        "the objective cannot be optimised",
        "Trials are compared by a metric of validation or training rows, which is measured and "
        "has one direction that is better. Test rows are for the end, when all is chosen.",
        "Name a metric that is measured.",
        "objective: val_loss",
    ),
    Entry(
        "TR-W006",
        "the search does not say how many trials",
        "A random search needs a number of trials, a grid as many values of each range, and "
        "both stay below the most that a sweep has.",
        "Write the number.",
        "search: {method: random, trials: 32}",
    ),
    Entry(
        "TR-W007",
        "the rungs do not fit the epochs",
        "Halving compares trials at some epochs, and the first is later than the last epoch of "
        "a trial.",
        "Make it sooner, or leave `halving` out.",
        "halving: {from: 5}",
    ),
    Entry(
        "TR-W008",
        "a sweep of this declaration is not finished",
        "Its trials are kept and need not be trained again.",
        "Go on with it, or begin anew.",
        "train sweep sweep.yaml --resume",
    ),
    Entry(
        "TR-W009",
        "this is no sweep",
        "The command is for sweeps, and this is a run of another kind.",
        "Take the id of a sweep.",
        "train list",
    ),
    Entry(
        "TR-W010",
        "the sweep has no good trial yet",
        "No trial has come to a good end, so there is no best one.",
        "Go on with the sweep.",
        "train resume SWEEP",
    ),
    Entry(
        "TR-W011",
        "the rows do not fit the folds",
        "A fold tests the rows that the others train on: rows that are set aside for testing "
        "leave nothing to do, and each class needs a row for each fold.",
        "Leave the test rows out, or take fewer folds.",
        "train crossval flats.yaml --folds 5",
    ),
    Entry(
        "TR-W012",
        "no scheduler answers",
        "The cluster is reached through a Dask scheduler, and none answers at this address.",
        "Start one, and workers.",
        "dask scheduler\ndask worker tcp://127.0.0.1:8786",
    ),
    Entry(
        "TR-W013",
        "the workers do not have what the spec names",
        "The workers of a cluster are other machines, which have the files that are sent along "
        "and no runs.",
        "Export the parameters to a file and name it.",
        "train export RUN --to safetensors --out flats.safetensors",
    ),
    Entry(
        "TR-W014",
        "a worker failed",
        "What trains this was lost several times, ended for a reason outside, or sent what no "
        "run has.",
        "See the reason, and go on: what is trained is kept.",
        "train resume SWEEP",
    ),
)
"""The entries, in the order of their codes."""
