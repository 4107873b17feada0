"""TR-T: the tracking store, which MLflow keeps."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-T001",
        "the tracking store does not answer",
        "No server or database answers at the address, or not to the end.",
        "Start it, check the address, or train without it and send the run later.",
        "train run flats.yaml --offline-ok\ntrain sync",
    ),
    Entry(
        "TR-T002",
        "the tracking store refuses who asks",
        "The server knows neither the user nor the token, or allows them less than a run needs.",
        "Set what the message tells in the environment.",
        "MLFLOW_TRACKING_USERNAME=me MLFLOW_TRACKING_PASSWORD=… train run flats.yaml",
    ),
    Entry(
        "TR-T003",
        "this is no address of a tracking store",
        "The address names a folder, no file, a path that MLflow cannot open, or a kind of "
        "store that cannot do what is asked.",
        "Use a database in a file, or the address of a server.",
        "train run flats.yaml --tracking-uri sqlite:///runs/mlflow.db",
    ),
    Entry(
        "TR-T004",
        "the tracking store cannot be written",
        "The file of the database, or its folder, cannot be written, or the store refuses what "
        "is sent.",
        "Check its permissions, or name another store.",
        "train run flats.yaml --tracking-uri sqlite:///other/mlflow.db",
    ),
    Entry(
        "TR-T005",
        "there are no runs yet",
        "The store that is asked is not there, or holds no run of this kind.",
        "Train something first, or name another store.",
        "train configs/hidden_layer.yaml",
    ),
    Entry(
        "TR-T006",
        "there is no such experiment",
        "No experiment of the store has this name.",
        "Take one of those that are told.",
        "train list",
    ),
    Entry(
        "TR-T007",
        "the experiment takes no run",
        "It is deleted, or is MLflow's own, whose files go elsewhere.",
        "Restore it in MLflow's UI, or name another one.",
        "tracking: {experiment: flats}",
    ),
    Entry(
        "TR-T008",
        "MLFLOW_RUN_ID does not fit",
        "The variable names one run to join, and that is another one's, or several are to be "
        "recorded.",
        "Unset it, and name an experiment instead.",
        "unset MLFLOW_RUN_ID",
    ),
    Entry(
        "TR-T009",
        "the run is kept and not recorded",
        "It was trained, and the tracking store did not take it. Nothing is lost: the folder of "
        "the run has everything.",
        "Send it when the store is there again.",
        "train sync",
    ),
    Entry(
        "TR-T010",
        "an address with a user or password",
        "The address would be recorded with each run, and its secret with it; secrets are not "
        "kept.",
        "Give the address in the environment.",
        "MLFLOW_TRACKING_URI=postgresql://user:password@host/name train run flats.yaml",
    ),
)
"""The entries, in the order of their codes."""
