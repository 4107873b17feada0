"""What is computed outside of kernels, as hashes: `python tests/same_bits.py` prints them as JSON.

`test_same_bits.py` compares them with those of other settings of NumPy, and of other machines.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainer import Profile, load_spec, train
from trainer.data import load_dataset
from trainer.graph.initialisers import INITIALISERS
from trainer.metrics import scores_for
from trainer.metrics.by_group import by_class, by_target
from trainer.metrics.classes import Classes
from trainer.metrics.threshold import choose_cut, cut_of, f1_value, threshold_of
from trainer.network.importance import deviations
from trainer.network.scoring import loss_of
from trainer.network.trivial import fit_trivial
from trainer.numerics import functions
from trainer.numerics.draws import normal
from trainer.numerics.statistics import rising
from trainer.numerics.sums import column_sums, row_sums, total
from trainer.randomness import random_rows, stream
from trainer.spec import Spec
from trainer.spec.sgd import SGDSpec
from trainer.training.range_test import smooth
from trainer.training.schedule import rates_at

ROWS = 700


def numbers(*shape: int, seed: int = 0) -> Any:
    """Numbers whose sizes differ much, made of uniform ones by exact operations and quotients."""
    rng = stream(seed, "synthetic")
    return (rng.random(shape) - 0.5) / (rng.random(shape) + 1e-5)


def _functions() -> Iterable[Any]:
    x = numbers(5000)
    for dtype in ("float32", "float64"):
        some = x.astype(dtype)
        for name in ("exp", "expm1", "tanh", "sigmoid", "sin_turns", "cos_turns"):
            yield getattr(functions, name)(some)
        yield functions.log(np.abs(some))
        yield functions.log1p(np.abs(some))
        yield functions.softmax(some.reshape(-1, 10))
        yield functions.log_softmax(some.reshape(-1, 40))
    yield functions.power(0.97, np.abs(x))


def _sums() -> Iterable[Any]:
    for dtype in ("float32", "float64"):
        x = numbers(3001, 7).astype(dtype)
        yield [total(x), total(x[:, 0])]
        yield column_sums(x)
        yield row_sums(numbers(50, 333).astype(dtype))


def _draws() -> Iterable[Any]:
    yield normal(stream(3, "synthetic"), 40_001)
    yield random_rows(3, "dropout", 2, 1, 5, 30, 13)
    rng = stream(3, "order", 4)
    yield rng.permutation(1000)
    yield rng.random(1000)


def _initialisers() -> Iterable[Any]:
    for k, draw in enumerate(INITIALISERS.values()):
        for shape in ((90, 70), (70, 90), (7, 1)):
            yield draw(stream(1, "initialise", k), shape, *shape)


def _synthetic() -> Iterable[Any]:
    for name in ("xor", "two_moons", "spirals", "linear"):
        loss = "squared" if name == "linear" else "logistic"
        source = {"synthetic": name, "rows": 501, "noise": 0.1}
        dataset = load_dataset(_spec({"source": source, "standardize": True}, loss))
        yield dataset.train.x
        yield dataset.train.y
        yield dataset.sha256


def _spec(data: dict[str, Any], loss: str, **model: Any) -> Spec:
    return Spec.model_validate({
        "name": "same", "seed": 5, "data": data,
        "model": {"layers": [{"units": 1}], "loss": loss, "dtype": "float64", **model},
        "sgd": {"learning_rate": 0.1, "epochs": 1, "batch_size": "full"},
    })  # fmt: skip


def _table(folder: Path) -> Path:
    """Cells that are missing, tied, skewed, and far apart."""
    x = numbers(ROWS, 7, seed=2).tolist()
    lines = ["plain,gaps,skewed,ranked,spread,town,weight,target,sort"]
    for i, (a, b, c, d, e, f, g) in enumerate(x):
        gap = "" if i % 9 == 0 else f"{b!r}"
        cells = [repr(a), gap, repr(abs(c)), repr(round(d, 1)), repr(e), "abcd"[i * i % 4]]
        lines.append(",".join([*cells, repr(abs(f)), repr(abs(g)), ("no", "yes")[i % 2]]))
    path = folder / "table.csv"
    path.write_text("\n".join(lines))
    return path


def _statistics() -> Iterable[Any]:
    with tempfile.TemporaryDirectory() as folder:
        csv = {"csv": str(_table(Path(folder)))}
        for missing, scale in (("mean", "standard"), ("median", "robust"), ("mean", "minmax")):
            columns = {"skewed": {"scale": ["log1p", scale]},
                       "ranked": {"scale": ["quantile", scale]}}  # fmt: skip
            data = {"source": csv, "target": "target", "scale": [scale], "missing": missing,
                    "columns": columns, "weights": "weight", "target_scale": ["log1p", scale],
                    "features": ["plain", "gaps", "skewed", "ranked", "spread", "town"],
                    "split": {"validation": 0.2, "test": 0.1}}  # fmt: skip
            spec = _spec(data, "squared")
            yield from _dataset(spec)
            yield from _dataset(_spec(data, "huber"))
        data = {"source": csv, "target": "sort", "features": ["plain", "town"],
                "split": {"validation": 0.2}, "standardize": True}  # fmt: skip
        yield from _dataset(_spec(data, "logistic", class_weights="balanced"))
        data |= {"weights": "weight", "stream": True}
        yield from _dataset(_spec(data, "logistic"))


def _dataset(spec: Spec) -> Iterable[Any]:
    dataset = load_dataset(spec)
    how = dataset.preprocessing
    yield json.dumps(how.as_json())
    yield dataset.sha256
    for part in (dataset.train, dataset.validation):
        assert part is not None
        yield from part.span(0, len(part)).values()
    trivial = fit_trivial(spec, dataset, True)
    scores = scores_for(spec.model.loss, how.outputs, decode=how.decode_target)
    yield [*trivial.loss, *trivial.metrics]
    found = trivial.measure(spec.model, dataset.train, scores, True)
    yield [found[name] for name in sorted(found)]


def _metrics() -> Iterable[Any]:
    for loss, outputs, many in (("squared", 1, False), ("squared", 3, False),
                                ("logistic", 1, False), ("logistic", 4, False),
                                ("logistic", 3, True)):  # fmt: skip
        z, weight = numbers(ROWS, outputs, seed=4), np.abs(numbers(ROWS, 1, seed=5))
        y = numbers(ROWS, outputs, seed=6)
        if loss == "logistic":
            y = (y > 0).astype(float)
            y = np.eye(outputs)[np.arange(ROWS) % outputs] if outputs == 4 else y
        model = _spec({"source": {"synthetic": "xor"}}, loss).model
        for each in (None, weight):
            scores = scores_for(loss, outputs, multi_label=many)
            for start in range(0, ROWS, 130):
                some = slice(start, start + 130)
                scores.add(z[some], y[some], None if each is None else each[some])
            yield [*scores.values().values()]
            if loss == "logistic":
                yield [*by_class(Classes(outputs, many), range(outputs), z, y, each).values()]
            else:
                yield [*by_target([*"abc"][:outputs], z, y, each).values()]
            if not many:
                yield [loss_of(model, z, y, each)]
    cut = choose_cut(z[:, 0], y[:, 0] > 0, f1_value, weight[:, 0])
    assert cut is not None
    yield [cut, cut_of(0.3), threshold_of(cut)]
    yield deviations(numbers(30, 5))


def _schedules() -> Iterable[Any]:
    steps = np.arange(1.0, 800)
    for schedule in (
        {"type": "constant", "warmup": 3}, {"type": "step", "every": 7, "factor": 0.3},
        {"type": "exponential", "factor": 0.97}, {"type": "linear", "final": 0.01}, "cosine",
        {"type": "cosine", "cycle": 3, "growth": 1.3}, {"type": "one_cycle", "peak": 0.3},
    ):  # fmt: skip
        sgd = {"learning_rate": 0.3, "epochs": 100, "batch_size": 8, "schedule": schedule}
        yield rates_at(SGDSpec.model_validate(sgd), 8, steps)
    yield rising(1e-5, 10.0, 200)
    yield smooth(np.abs(numbers(200)), np.abs(numbers(200, seed=1)))


def _training(config: str) -> Iterable[Any]:
    """A shipped config, trained for a few epochs: what it learned, and what was measured."""
    path = Path(__file__).parent.parent / "configs" / f"{config}.yaml"
    run = train(load_spec(path, {"sgd.epochs": 3}), profile=Profile(runs=None))
    for name in sorted(run.parameters):
        yield run.parameters[name]
    names = sorted(name for name in run.metrics if not name.startswith("perf/"))
    yield json.dumps(names)
    yield [run.metrics[name] for name in names]
    yield run.history["train_loss_step"].values


CASES: dict[str, Callable[[], Iterable[Any]]] = {
    "functions": _functions,
    "sums": _sums,
    "draws": _draws,
    "initialisers": _initialisers,
    "synthetic data": _synthetic,
    "statistics": _statistics,
    "metrics": _metrics,
    "schedules": _schedules,
    "hidden_layer": partial(_training, "hidden_layer"),
    "spirals": partial(_training, "spirals"),
}


def hashed(case: str) -> str:
    """The hash of all that a case gives: arrays, lists of numbers, texts."""
    digest = hashlib.sha256()
    for found in CASES[case]():
        if isinstance(found, str):
            digest.update(found.encode())
        else:
            array = np.asarray(found)
            digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()[:16]


if __name__ == "__main__":
    # NumPy's own exponential, to tell whether the settings are others at all
    own = hashlib.sha256(np.exp(np.linspace(-9, 9, 5000)).tobytes()).hexdigest()[:16]
    print(json.dumps({case: hashed(case) for case in CASES} | {"NumPy's": own}))
