"""The table of metrics: one row each, which everything else that knows metrics walks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np

from trainer.graph.ops import Array
from trainer.metrics.classes import Auc, Classes, OfCounts, balanced_accuracy, mean_f1
from trainer.metrics.numbers import R2, absolute_errors, squared_errors
from trainer.metrics.score import Mean, Score, Scores


@dataclass(frozen=True)
class Metric:
    """What a metric is called in specs and records, and in pictures; which values are better; what
    it measures; and how it is collected, given how logits are read.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    of: Literal["classes", "numbers"]
    score: Callable[[Classes], Score]

    def fits(self, loss: str) -> bool:
        """Whether it goes with a loss: the logistic one has classes, the others numbers."""
        return self.of == ("classes" if loss == "logistic" else "numbers")


_ROWS: Final = (
    Metric("accuracy", "accuracy", "higher", "classes", lambda of: Mean(of.hits)),
    Metric("balanced_accuracy", "balanced accuracy", "higher", "classes",
           lambda of: OfCounts(of, balanced_accuracy)),
    Metric("f1", "F1", "higher", "classes", lambda of: OfCounts(of, mean_f1)),
    Metric("auc", "area under the ROC curve", "higher", "classes", Auc),
    Metric("log_loss", "log loss", "lower", "classes", lambda of: Mean(of.cross_entropy)),
    Metric("r2", "R²", "higher", "numbers", lambda _: R2()),
    Metric("rmse", "root mean squared error", "lower", "numbers",
           lambda _: Mean(squared_errors, np.sqrt)),
    Metric("mae", "mean absolute error", "lower", "numbers", lambda _: Mean(absolute_errors)),
)  # fmt: skip
METRICS: Final[Mapping[str, Metric]] = {row.name: row for row in _ROWS}
"""The metrics by name, in the order in which they are told; of those that fit a loss, the first is
always measured."""


def fitting_metrics(loss: str) -> tuple[str, ...]:
    """The names of the metrics that fit a loss: those of classes, or those of numbers."""
    return tuple(row.name for row in _ROWS if row.fits(loss))


def default_metric(loss: str) -> str:
    """The metric that is always measured: `accuracy` of classes, `r2` of numbers."""
    return fitting_metrics(loss)[0]


DEFAULTS: Final = tuple(default_metric(loss) for loss in ("logistic", "squared"))
"""The metrics of which each run has one."""


def scores_for(
    loss: str,
    outputs: int,
    names: Sequence[str] | None = None,
    *,
    multi_label: bool = False,
    decode: Callable[[Array], Array] | None = None,
    cut: float = 0.0,
) -> Scores:
    """Empty scores of the metrics `names` for a network with so many outputs; by default of all
    that fit the loss.

    With `multi_label` each output is a yes or no: accuracy and log_loss are means over rows and
    outputs, the others over outputs. `decode` is for numbers: it brings them back to the target's
    units. `cut` is that of two classes (see `Classes`). Raises `ValueError` for names that do not
    fit the loss.
    """
    fitting = fitting_metrics(loss)
    wanted = fitting if names is None else names
    unfit = [name for name in wanted if name not in fitting]
    if unfit:
        raise ValueError(f"no metrics of the loss '{loss}': {', '.join(unfit)}")
    classes = Classes(outputs, multi_label, cut)
    chosen = [METRICS[name] for name in fitting if name in wanted]
    return Scores({row.name: partial(row.score, classes) for row in chosen}, decode)


_ERRORS: Final = frozenset({"loss", "error", "mse"})
"""Words that say of what others recorded too that less is better."""


def direction(recorded: str) -> int:
    """1 where more of a recorded number is better, -1 where less is, 0 where neither is known.

    The name tells it: that of a metric or a loss, with more words around it (`val_loss`,
    `best_val_f1`, `r2/price`). How far runs deviate from each other is neither.
    """
    words = re.split("[_/ -]", recorded.lower())
    if "deviation" in words:
        return 0
    spelled = f"_{'_'.join(words)}_"
    for row in _ROWS:
        if f"_{row.name}_" in spelled:
            return 1 if row.better == "higher" else -1
    return -1 if _ERRORS & set(words) else 0
