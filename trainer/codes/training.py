"""TR-X: trainings that did not come to a good end."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-X001",
        "the training diverged",
        "The loss, a gradient or a metric stopped being finite. The message tells at which step "
        "and node; the last good parameters are kept.",
        "Lower the learning rate, scale the features, or clip the gradient.",
        "sgd: {learning_rate: 0.01}\ndata: {scale: standard}",
    ),
    Entry(
        "TR-X002",
        "it was stopped",
        "Ctrl-C or a signal stopped it. What was trained is kept, up to the last step.",
        "Go on with it; it ends with the bits that it would have had.",
        "train resume RUN",
    ),
    Entry(
        "TR-X003",
        "no trial came to a good end",
        "Every trial of the sweep diverged or failed, so there is no best one.",
        "Look at one of the trials, and let the space begin at smaller learning rates.",
        "space: {sgd.learning_rate: {log: [1e-4, 0.1]}}",
    ),
)
"""The entries, in the order of their codes."""
