"""Which columns a trained model leans on: how much worse it is when one of them is shuffled.

The permutation importance of L. Breiman, "Random forests", 2001, section 10, for any model: the
cells of a column are put in another order among the rows, so that it keeps its values and loses
what they say of a row; what the model then loses of its score is what the column gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from trainer.graph.ops import Array
from trainer.metrics import METRICS
from trainer.network.model import Model
from trainer.network.scoring import measure_rows
from trainer.numerics.sums import row_means, row_sums
from trainer.randomness import stream

REPEATS: Final = 5
"""Orders that each column is put into."""


@dataclass(frozen=True, eq=False)
class Importance:
    """What a model loses by each column of the table, on so many `rows`.

    `score` and `loss` are those of the rows as they are; NaN for a score that is not defined.
    `score_lost`, of shape (columns, repeats), tells by how much the metric is worse with a column
    in another order, be it lower or, where less is better, higher; `loss_gained` by how much the
    loss is higher. A column that gives nothing has numbers around 0.
    """

    columns: tuple[str, ...]
    metric: str
    rows: int
    score: float
    loss: float
    score_lost: Array
    loss_gained: Array

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The numbers of the columns, the one that matters most first: by the score that is lost,
        then by the loss that is gained.
        """
        lost, gained = (_orderly(each) for each in (self.score_lost, self.loss_gained))
        return tuple(int(i) for i in np.lexsort((-gained, -lost)))

    def table(self) -> dict[str, list[Any]]:
        """A row a column, the one that matters most first: means and standard deviations."""
        order = list(self.order)
        found: dict[str, list[Any]] = {"column": [self.columns[i] for i in order]}
        for name, values in ((f"{self.metric}_lost", self.score_lost),
                             ("loss_gained", self.loss_gained)):  # fmt: skip
            found[name] = row_means(values)[order].tolist()
            found[f"{name}_deviation"] = deviations(values)[order].tolist()
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values; None for what is not defined."""
        table = self.table()
        return {
            "rows": self.rows,
            "repeats": self.score_lost.shape[1],
            "metric": self.metric,
            self.metric: _plain(self.score),
            "loss": _plain(self.loss),
            "columns": [
                {"column": name} | {
                    key: _plain(value) for key, value in zip([*table][1:], row, strict=True)
                }
                for name, *row in zip(*table.values(), strict=True)
            ],
        }  # fmt: skip


def permutation_importance(
    model: Model,
    raw: Array,
    targets: Array,
    weight: Array | None = None,
    *,
    metric: str,
    repeats: int = REPEATS,
    progress: Callable[[int], None] = lambda _: None,
) -> Importance:
    """Measures a model with each column of its rows in other orders.

    `raw` is as `Model.outputs` takes it, `targets` and `weight` as `score_rows`. The orders are
    drawn by the spec's seed and the number of the repeat, the same for all columns: so what is
    found of a column does not depend on the others. All that a column becomes in x is moved as
    one: its categories, its parts of a date, whether it is missing. `progress` is told how many
    columns are done.
    """
    x = model.encode(raw)
    of_column = _places(model.preprocessing.widths)
    better = 1 if METRICS[metric].better == "higher" else -1

    def measured() -> tuple[float, float]:
        found = measure_rows(model.spec.model, model.preprocessing, model.outputs_of(x), targets,
                             weight, [metric], model.decision.cut)  # fmt: skip
        return found.get(metric, np.nan), found.get("loss", np.nan)

    score, loss = measured()
    orders = [
        stream(model.spec.seed, "importance", repeat).permutation(len(x))
        for repeat in range(1, repeats + 1)
    ]
    scores, losses = (np.empty((len(of_column), repeats)) for _ in range(2))
    for column, places in enumerate(of_column):
        kept = x[:, places].copy()
        for repeat, order in enumerate(orders):
            x[:, places] = kept[order]
            scores[column, repeat], losses[column, repeat] = measured()
        x[:, places] = kept
        progress(column + 1)
    return Importance(
        model.preprocessing.features, metric, len(x), score, loss, better * (score - scores),
        losses - loss,
    )  # fmt: skip


def choose_rows(seed: int, count: int, most: int) -> Array:
    """The numbers of at most `most` of so many rows, ascending, drawn by the seed."""
    if count <= most:
        return np.arange(count)
    return np.sort(stream(seed, "importance", 0).permutation(count)[:most])


def deviations(values: Array) -> Array:
    """The standard deviation of each row's repeats, (columns,); 0 of a single one."""
    with np.errstate(over="ignore"):
        apart = values - row_means(values)[:, None]
        return np.asarray(np.sqrt(row_sums(apart * apart) / max(values.shape[1] - 1, 1)))


def _places(widths: Sequence[int]) -> list[slice]:
    """Where each raw column is in x."""
    ends = np.cumsum(widths).tolist()
    return [slice(end - width, end) for end, width in zip(ends, widths, strict=True)]


def _orderly(values: Array) -> Array:
    """Means by which one can sort, rounded so that the last bits of a sum order nothing."""
    with np.errstate(over="ignore"):
        return np.asarray(np.nan_to_num(np.round(row_means(values), 12), nan=-np.inf))


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
