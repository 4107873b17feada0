"""A run on disk: its folder, its journal, its checkpoints; nothing here knows who reads them."""

from trainer.checkpoints.checkpoint import Saver, load_checkpoint
from trainer.checkpoints.facts import (
    Facts,
    Outcome,
    Recorded,
    read_facts,
    read_outcome,
    read_recorded,
)
from trainer.checkpoints.folder import RunFolder, find_folder, folders, load_progress, new_id
from trainer.checkpoints.journal import Follower, Journal, read_journal
from trainer.checkpoints.keeper import Every, Keeper

__all__ = [
    "Every",
    "Facts",
    "Follower",
    "Journal",
    "Keeper",
    "Outcome",
    "Recorded",
    "RunFolder",
    "Saver",
    "find_folder",
    "folders",
    "load_checkpoint",
    "load_progress",
    "new_id",
    "read_facts",
    "read_journal",
    "read_outcome",
    "read_recorded",
]
