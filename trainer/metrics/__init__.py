"""How well predictions fit their targets: one table of metrics, collected batch by batch.

Each is what scikit-learn's function computes, with its `sample_weight` where rows have weights;
scikit-learn itself takes a second to import. Predictions are the outputs of the network: logits
for classes, numbers otherwise. Targets are columns of y, as the loss takes them.

This room stands before the spec, which takes from it what may be measured and watched; so it knows
arrays and losses' names, but neither specs nor data.
"""

from trainer.metrics.classes import Classes
from trainer.metrics.score import Score, Scores
from trainer.metrics.table import (
    DEFAULTS,
    METRICS,
    Metric,
    default_metric,
    direction,
    fitting_metrics,
    scores_for,
)

__all__ = [
    "DEFAULTS",
    "METRICS",
    "Classes",
    "Metric",
    "Score",
    "Scores",
    "default_metric",
    "direction",
    "fitting_metrics",
    "scores_for",
]
