"""A real table, the spec that was drafted for it, and who is trained on its rows.

The rows to test on are those of the spec's own split. scikit-learn's MLP has all the others, those
for validation among them, and the columns that the draft has kept, as pandas reads them.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, balanced_accuracy_score, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import trainer
from benchmarks.split import SplitTable
from trainer.graph.ops import Array

SCORES: Final = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "r2": r2_score,
}
"""What test rows are judged by, under the names of our metrics."""


@dataclass(frozen=True)
class Trained:
    """How a training ended: its test scores by name, and the seconds from the file on."""

    scores: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Drafted(SplitTable):
    """A table as a spec's seed splits it; `folder` has both."""

    folder: Path

    @classmethod
    def load(cls, file: Path, seed: int) -> Drafted:
        """The spec in the file, with another seed."""
        return cls(trainer.load_spec(file, {"seed": seed}), file.parent)

    @property
    def metric(self) -> str:
        """Which score decides."""
        if self.own.classes is None:
            return "r2"
        return "balanced_accuracy" if self.spec.model.class_weights else "accuracy"

    @property
    def scored(self) -> tuple[str, ...]:
        """The scores that there are."""
        return ("r2",) if self.own.classes is None else ("accuracy", "balanced_accuracy")

    @property
    def y(self) -> Array:
        """The targets, of shape (rows,): numbers, or those of the classes."""
        return self.own.target if self.own.classes is not None else self.own.target[:, 0]

    def read(self) -> pd.DataFrame:
        """The whole file, as scikit-learn's users read it."""
        source: Any = self.spec.data.source
        missing = list(source.missing_values)
        path = self.folder / source.csv
        return pd.read_csv(path, keep_default_na=False, na_values=missing, skipinitialspace=True)

    def frame(self) -> pd.DataFrame:
        """The columns that the draft keeps as numbers and texts; its rows are those of `own`."""
        kept = self.read()[list(self.own.features)]
        texts = kept.select_dtypes(exclude="number").columns
        kept[texts] = kept[texts].astype(object).map(str, na_action="ignore")
        return kept.iloc[self.own.numbered(np.arange(len(self.own.x)))]


def fit_own(given: Drafted) -> Trained:
    """Trains the spec as `train` does, on one thread."""
    began = time.perf_counter()
    run = trainer.train(given.spec, profile=trainer.Profile(threads=1, runs=None))
    seconds = time.perf_counter() - began
    return Trained({name: run.metrics[f"test_{name}"] for name in given.scored}, seconds)


def fit_sklearn(given: Drafted) -> Trained:
    """Trains scikit-learn's MLP with its defaults, on one thread."""
    train, test = given.rows
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore")  # that it has not converged, as its defaults often do
        began = time.perf_counter()
        frame = given.frame()
        model = make_pipeline(transformer(frame), mlp(given))
        model.fit(frame.iloc[train], given.y[train])
        seconds = time.perf_counter() - began
        return Trained(_score(given, model.predict(frame.iloc[test])), seconds)


def fit_trivial(given: Drafted) -> Trained:
    """The most frequent class, or the mean, of the same rows."""
    train, test = given.rows
    began = time.perf_counter()
    model = DummyRegressor() if given.own.classes is None else DummyClassifier()
    model.fit(given.own.x[train], given.y[train])
    return Trained(_score(given, model.predict(given.own.x[test])), time.perf_counter() - began)


def mlp(given: Drafted) -> MLPClassifier | TransformedTargetRegressor:
    """The network with its defaults, for numbers with a standardised target."""
    if given.own.classes is not None:
        return MLPClassifier(random_state=given.spec.seed)
    network = MLPRegressor(random_state=given.spec.seed)
    return TransformedTargetRegressor(network, transformer=StandardScaler())


def transformer(frame: pd.DataFrame) -> ColumnTransformer:
    """What most would write: numbers filled and scaled, texts filled and one-hot."""
    numbers = frame.select_dtypes("number").columns
    return ColumnTransformer([
        ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (
            "texts",
            make_pipeline(
                SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
            ),
            frame.columns.difference(numbers, sort=False),
        ),
    ])  # fmt: skip


def _score(given: Drafted, predicted: Array) -> dict[str, float]:
    truth = given.y[given.rows[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes that are predicted and in no test row
        return {name: float(SCORES[name](truth, predicted)) for name in given.scored}
