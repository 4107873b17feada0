"""TR-R: runs and what is kept of them: folders, checkpoints, going on, reproducing."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-R001",
        "there is no such run, or more than one",
        "A run is named by its id, the beginning of its id, or its name. None, or several, are "
        "called so.",
        "Give more characters of the id.",
        "train list",
    ),
    Entry(
        "TR-R002",
        "the run is being written",
        "Another process trains this run, and holds the lock of its folder.",
        "Wait until it has ended, or stop it there; the message names it. The system gives the "
        "lock back however a process ends.",
    ),
    Entry(
        "TR-R003",
        "what is kept of a run is damaged",
        "A file of the run is gone, cannot be read, or has another SHA-256 than the run has "
        "recorded. Nothing is computed from such a file.",
        "Bring back the file as it was, or train again.",
        "train run flats.yaml --again",
    ),
    Entry(
        "TR-R004",
        "this is no folder of a run",
        "The folder has not the files that every run leaves, or cannot be read.",
        "Name the folder of runs with --runs, or the run by its id.",
        "train list",
    ),
    Entry(
        "TR-R005",
        "the run would not go on to the same bits",
        "Data, versions or the engine differ from those that began the run, so it would end "
        "with other numbers than an untouched one.",
        "Bring back what differs, train anew, or go on all the same, which is recorded.",
        "train resume RUN --force",
    ),
    Entry(
        "TR-R006",
        "a checkpoint that does not fit",
        "The checkpoint is of another version, or its arrays are not those of the spec.",
        "Train the run again, or go on with the version that began it.",
        "train run flats.yaml --again",
    ),
    Entry(
        "TR-R007",
        "the run cannot be gone on with",
        "It is finished, stopped early, or is of a kind that has no next step.",
        "Follow the hint; a finished run is made longer with more epochs.",
        "train resume RUN --set sgd.epochs=200",
    ),
    Entry(
        "TR-R008",
        "the run cannot be made longer",
        "Its schedule goes by the number of epochs; with more of them the steps that are done "
        "would have had other learning rates.",
        "Start a new run, from its parameters if you like.",
        "model:\n  init_from: {run: flats}",
    ),
    Entry(
        "TR-R009",
        "the run has no model",
        "It did not come to a good end, trained no model, or kept none.",
        "Take a finished run, or train it again.",
        "train list",
    ),
    Entry(
        "TR-R010",
        "the run has not ended",
        "What is asked for is of a whole run.",
        "Go on with it first.",
        "train resume RUN",
    ),
    Entry(
        "TR-R011",
        "the record of a run lacks what is needed",
        "The run in the tracking store has not what this tool records: it was written by "
        "something else, or files of it were deleted.",
        "Take another run.",
    ),
    Entry(
        "TR-R012",
        "the first parameters cannot be taken from there",
        "The run or file that `init_from` names is not there, has no or other parameters, or "
        "its layers have other names or shapes.",
        "Choose a finished run, and name the layers that are alike.",
        "model:\n  init_from: {run: flats, layers: [dense_1]}",
    ),
    Entry(
        "TR-R013",
        "the run is not recorded yet",
        "It is trained, and the tracking store does not know it, as the store was away.",
        "Send it.",
        "train sync",
    ),
    Entry(
        "TR-R014",
        "an exported file is not kept",
        "The file that was written was read again and predicts something else than the model, "
        "so it was thrown away.",
        "Export in another format, and report it: this is a fault of the export.",
        "train export RUN --to numpy",
    ),
)
"""The entries, in the order of their codes."""
