"""One real table, split once, and who is trained on it: this project and scikit-learn's MLP.

Both get the same rows for training, with validation rows among them, and the same test rows, and
both are scored by scikit-learn's functions on labels and numbers as the file writes them. What the
spec of a table does to its columns and its target is done for scikit-learn by its transformers, so
that what is compared is the training.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from threadpoolctl import threadpool_limits

import trainer
from benchmarks.split import SplitTable
from benchmarks.tables import TABLES, RealTable
from trainer.data import Preprocessing, load_dataset
from trainer.graph.ops import Array
from trainer.network.model import Model
from trainer.spec.columns import ColumnSpec
from trainer.training.events import Ended, Event, Started

SPECS: Final = Path(__file__).with_name("accuracy")
Solver = Literal["adam", "sgd"]
LARGE: Final = 10_000  # rows from which on scikit-learn keeps its default number of epochs


@dataclass(frozen=True)
class Fitted:
    """How a training ended: test accuracy and log loss, or R² and root mean squared error.

    `seconds` is the training alone; `total` holds reading and what else the call does, and of
    scikit-learn its transformers. `limited` says that the epochs were too few, by its own warning.
    """

    score: float
    error: float
    seconds: float
    total: float
    epochs: int
    limited: bool = False


@dataclass(frozen=True)
class Split(SplitTable):
    """One of the tables as the spec's seed splits it."""

    table: RealTable

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The same file as scikit-learn's users read it."""
        source: Any = self.spec.data.source
        texts = [*self.table.categorical, *self.table.ordinal]
        if self.table.task == "classes":
            texts.append(self.table.target)
        types = dict.fromkeys(texts, object)
        return pd.read_csv(source.csv, keep_default_na=False, na_values=[""], dtype=types)

    def score(self, predicted: Array, probabilities: Array | None) -> tuple[float, float]:
        """Accuracy and log loss of labels and probabilities, or R² and RMSE of numbers."""
        truth = self.frame[self.table.target].to_numpy()[self.rows[1]]
        if probabilities is None:
            predicted = np.ravel(predicted).astype(float)
            return r2_score(truth, predicted), root_mean_squared_error(truth, predicted)
        labels = [str(label) for label in self.own.classes or ()]
        order = np.argsort(labels)  # scikit-learn wants texts in their order
        loss = log_loss(truth, probabilities[:, order], labels=[labels[i] for i in order])
        return accuracy_score(truth, [str(label) for label in predicted]), loss


def split(name: str, folder: Path, seed: int, **overrides: Any) -> Split:
    """The table `name`, written into the folder unless it is there, split by the seed.

    `overrides` change values of its spec, with `__` for dots.
    """
    file = folder / f"{name}.csv"
    if not file.exists():
        TABLES[name].write(file)
    changes = {key.replace("__", "."): value for key, value in overrides.items()}
    where = {"data.source": {"csv": str(file)}, "seed": seed}
    return Split(trainer.load_spec(SPECS / f"{name}.yaml", where | changes), TABLES[name])


# This project ----------------------------------------------------------------------------------


def fit_own(given: Split) -> Fitted:
    """Trains the spec as `train` does, on one thread."""
    times: list[float] = []

    def listen(event: Event) -> None:
        if isinstance(event, Started | Ended):
            times.append(time.perf_counter())

    began = time.perf_counter()
    run = trainer.train(given.spec, profile=trainer.Profile(threads=1, runs=None), listen=listen)
    total = time.perf_counter() - began
    judge = Judge(given, load_dataset(given.spec).preprocessing)
    return Fitted(*judge.score(run.parameters), times[1] - times[0], total, run.epochs)


@dataclass(frozen=True)
class Judge:
    """Scores parameters of ours on the rows to test on, which the preprocessing encodes."""

    given: Split
    preprocessing: Preprocessing

    @cached_property
    def rows(self) -> Array:
        """The raw rows, as `Model.predict` takes them."""
        return self.preprocessing.adopt(self.given.own, self.given.rows[1])

    def score(self, parameters: Mapping[str, Array]) -> tuple[float, float]:
        """Accuracy and log loss, or R² and RMSE."""
        model = Model.from_parts(self.given.spec, parameters, self.preprocessing)
        found = model.predict(self.rows)
        probabilities = [found[name] for name in model.columns if name.startswith("probability/")]
        stacked = np.stack(probabilities, axis=1) if probabilities else None
        return self.given.score(found["prediction"], stacked)


# scikit-learn ----------------------------------------------------------------------------------


def fit_sklearn(given: Split, solver: Solver, early: bool) -> Fitted:
    """Trains a pipeline of scikit-learn's, on one thread; with `early` it holds back a quarter of
    its rows for early stopping.
    """
    train, test = (given.frame.iloc[rows] for rows in given.rows)
    began = time.perf_counter()
    x = transformer(given)
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        encoded = x.fit_transform(train)
        model = mlp(given, solver, early)
        started = time.perf_counter()
        model.fit(encoded, train[given.table.target].to_numpy())
        seconds, total = time.perf_counter() - started, time.perf_counter() - began
        rows = x.transform(test)
        classes = given.table.task == "classes"
        scores = given.score(model.predict(rows), model.predict_proba(rows) if classes else None)
    inner = model if classes else model.regressor_
    return Fitted(*scores, seconds, total, inner.n_iter_, limited=bool(caught))


def mlp(given: Split, solver: Solver, early: bool) -> Any:
    """`adam`: the defaults of scikit-learn, with more epochs where they are cheap. `sgd`: our
    network, batch size, learning rate, momentum and weight decay.
    """
    spec, classes = given.spec, given.table.task == "classes"
    few = given.table.rows < LARGE
    options: dict[str, Any] = {
        "solver": solver,
        "max_iter": 400 if few else 200,
        "early_stopping": early,
        "validation_fraction": 0.25,
        "random_state": spec.seed,
    }
    if solver == "sgd":
        sgd, layers = spec.sgd, [layer for layer in spec.model.layers if layer.type == "dense"]
        hidden = [layer for layer in layers if layer.activation != "identity"]
        squares = 1 if classes else 2  # its squared loss is half of ours
        options |= {
            "hidden_layer_sizes": [layer.units for layer in hidden],
            "activation": "tanh" if hidden[0].activation == "tanh" else "relu",
            "batch_size": sgd.batch_size,
            "learning_rate_init": sgd.learning_rate * squares,
            "learning_rate": "adaptive",
            "momentum": sgd.momentum,
            "nesterovs_momentum": sgd.nesterov,
            "alpha": sgd.weight_decay * sgd.batch_size / squares,
        }
    if classes:
        return MLPClassifier(**options)
    target = make_pipeline(*map(_scaler, spec.data.target_scale))
    return TransformedTargetRegressor(MLPRegressor(**options), transformer=target)


def transformer(given: Split) -> ColumnTransformer:
    """What the spec does to the columns, in scikit-learn's words."""
    table, data = given.table, given.spec.data
    alike: dict[tuple[Any, ...], list[str]] = {}
    for column in (name for name in given.frame if name != table.target):
        kind = "numeric"
        if column in table.categorical or column in table.ordinal:
            kind = "ordinal" if column in table.ordinal else "categorical"
        own = data.columns.get(column, ColumnSpec())
        missing = data.missing if own.missing is None else own.missing
        scale = data.scale if own.scale is None else own.scale
        alike.setdefault((kind, str(missing), own.indicator, scale), []).append(column)
    steps = []
    for (kind, _, indicator, scale), columns in alike.items():
        own = data.columns.get(columns[0], ColumnSpec())
        missing = data.missing if own.missing is None else own.missing
        fill, name = _imputer(missing, kind), f"{kind} {len(steps)}"
        chain: list[Any] = [OneHotEncoder(handle_unknown="ignore", sparse_output=False)]
        if kind != "categorical":
            chain = [_scaler(step) for step in scale]
        if kind == "ordinal":
            orders = [[str(label) for label in data.columns[name].order or ()] for name in columns]
            chain.insert(0, OrdinalEncoder(categories=orders))
        steps.append((name, make_pipeline(*fill, *chain), columns))
        if indicator:
            steps.append((f"{name} missing", MissingIndicator(features="all"), columns))
    return ColumnTransformer(steps)


def _imputer(missing: Any, kind: str) -> list[SimpleImputer]:
    if missing == "error":
        return []
    if isinstance(missing, dict):
        return [SimpleImputer(strategy="constant", fill_value=missing["constant"])]
    return [SimpleImputer(strategy=missing if kind == "numeric" else "most_frequent")]


_SCALERS: Final = {
    "standard": StandardScaler,
    "minmax": MinMaxScaler,
    "robust": RobustScaler,
    "quantile": partial(QuantileTransformer, random_state=0),
    "log1p": partial(FunctionTransformer, np.log1p, np.expm1, check_inverse=False),
}


def _scaler(step: str) -> Any:
    return _SCALERS[step]()
