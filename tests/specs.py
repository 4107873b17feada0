"""Specs that together give every key a value of its own, other than its default."""

from __future__ import annotations

from typing import Any

from trainer.spec import Sketch, Spec
from trainer.spec.document import parse, plain

CLASSES = """\
name: classes
seed: 7
data:
  source: {csv: [a.csv, "more-*.csv.gz"], delimiter: ";", missing_values: ["-", "?"]}
  target: sort
  features: [age, pay, town, grade, day, kept]
  columns:
    age: {type: numeric, missing: median, indicator: true, scale: [quantile, minmax]}
    pay: {missing: {constant: 0}, scale: log1p}
    town: {type: categorical, encode: embedding, dimensions: 4, unknown: error}
    grade: {type: ordinal, order: [low, 2, high], missing: {constant: low}}
    day: {type: date, parts: [year, yearday, days], missing: mean}
    kept: {type: boolean, missing: most_frequent, scale: none}
  missing: most_frequent
  scale: robust
  weights: counts
  split: {validation: 0.2, test: 0.1, group: person}
model:
  inputs: {who: [age, pay], grades: grade}
  layers:
    - {type: embedding, name: towns, inputs: town, units: 3, init: {normal: 0.5}, freeze: true}
    - {units: 4, name: left, inputs: who, activation: relu, init: {uniform: 0.1}, bias: false}
    - {type: batch_norm, name: even, inputs: left, momentum: 0.2, epsilon: 1e-3, affine: false,
       freeze: true}
    - {type: dropout, name: gaps, inputs: even, rate: 0.25}
    - {units: 4, name: right, inputs: grades, freeze: true, init: {values: [[1, 2, 3, 4]]}}
    - {type: layer_norm, name: alike, inputs: right, epsilon: 1e-3, affine: false, freeze: true}
    - {type: activation, name: bent, inputs: alike, activation: gelu}
    - {type: add, name: sum, inputs: [gaps, bent]}
    - {type: multiply, name: product, inputs: [gaps, bent]}
    - {type: concat, name: beside, inputs: [sum, product, towns]}
    - {units: 2, name: one, inputs: beside}
    - {units: 1, name: two, inputs: beside}
  outputs: [one, two]
  loss: logistic
  label_smoothing: 0.1
  class_weights: {a: 2, b: 0.5}
  dtype: float64
  init_from: {run: first, layers: [left, right], sha256: "%s"}
sgd:
  learning_rate: 0.1
  schedule: {type: cosine, warmup: 2, final: 0.01, cycle: 5, growth: 2}
  momentum: 0.9
  nesterov: true
  weight_decay: 0.01
  l1: 0.001
  clip_norm: 1
  max_norm: 3
  batch_size: full
  accumulate: 4
  shards: 2
  epochs: 40
  average: {type: ema, decay: 0.99}
  early_stopping: {patience: 5, min_delta: 0.01, monitor: f1, restore_best: false}
evaluation: {batch_size: 64, metrics: [auc, f1], threshold: f1}
tracking: {experiment: e, uri: "sqlite:///a.db"}
""" % ("0a" * 32)
NUMBERS = """\
name: numbers
data:
  source: {parquet: [a.parquet, b.parquet]}
  target: [price, rent]
  scale: [log1p, standard]
  target_scale: [log1p, minmax]
  validation: [v.parquet, w.parquet]
  test: t.parquet
  stream: true
model:
  inputs: {place: [lon, lat], age: age}
  parameters:
    w: {shape: [2], init: zeros, decay: true}
    b: {values: [0.5, 1]}
  equations:
    other: w * dot(place, place)
    y_hat: other + b * age
  output: y_hat
  loss: huber
  huber_delta: 2
  init_from: {file: first.safetensors}
sgd:
  learning_rate: 1
  schedule: {type: one_cycle, start: 0.1, peak: 0.5, final: 0.01}
  epochs: 4
  average: {type: swa, start: 0.5}
"""
LABELS = """\
name: labels
data: {source: {npz: a.npz}, target: [a], split: {validation: 0.1, time: at}}
model: {layers: [{units: 1}], loss: logistic, multi_label: true}
sgd: {learning_rate: 1, epochs: 4, schedule: {type: linear, warmup: 1, final: 0.5}}
"""
FOLDS = """\
name: folds
data: {source: {arrow: a.arrow}, target: y, split: {folds: 5, fold: 2}, standardize: true,
       columns: {a: {encode: embedding}}}
model: {layers: [{units: 1}], loss: squared}
sgd: {learning_rate: 1, epochs: 4, schedule: {type: step, every: 2, factor: 0.5, warmup: 1}}
"""
ARRAYS = """\
name: arrays
data: {source: {npy: x.npy, y: y.npy}}
model: {layers: [{units: 3}], loss: logistic, class_weights: balanced}
sgd: {learning_rate: 1, epochs: 4, schedule: {type: exponential, factor: 0.5, warmup: 1}}
"""
DRAWN = """\
name: drawn
data: {source: {synthetic: linear, rows: 10, noise: 0.5}}
model: {layers: [{units: 1, name: other, init: orthogonal}], outputs: other, loss: squared}
sgd: {learning_rate: 1, epochs: 4, batch_size: 5, schedule: {warmup: 1}}
"""
INLINE = """\
name: inline
data: {source: {inline: {x: [[0, 0], [0, 1], [1, 0]], y: [0, 1, 1]}}}
model: {layers: [{units: 3, activation: tanh}, {units: 1}], loss: logistic}
sgd: {learning_rate: 1, epochs: 4, schedule: cosine}
"""
WRITTEN = """\
name: written
data:
  source: {csv: a.data, delimiter: blanks, decimal: ",", thousands: ".", encoding: cp1252,
           skip_lines: 2, header: false, names: [price, day, town, y], quote: "'", comment: "#"}
  target: y
  columns:
    price: {decimal: ".", thousands: ",", unit: "$"}
    day: {format: day.month.year}
    town: {max_categories: 9, min_count: 3}
  drop_rows: {missing: [target, price]}
  max_categories: 20
  min_count: 2
model: {layers: [{units: 1}], loss: squared}
sgd: {learning_rate: 1, epochs: 4}
"""
NAMELESS = """\
name: nameless
data: {source: {csv: a.csv, header: false}, target: column_3}
model: {layers: [{units: 1}], loss: squared}
sgd: {learning_rate: 1, epochs: 4}
"""
SHEETS = """\
name: sheets
data: {source: {excel: [a.xlsx, b.xlsx], sheet: Data, skip_lines: 2}, target: y}
model: {layers: [{units: 1}], loss: squared}
sgd: {learning_rate: 1, epochs: 4}
"""
LINES = """\
name: lines
data: {source: {jsonl: a.jsonl}, target: y, features: {except: name, also: when}}
model: {layers: [{units: 1}], loss: squared}
sgd: {learning_rate: 1, epochs: 4}
"""
SKETCH = """\
name: sketch
seed: 3
model:
  inputs: {a: 2, b: [1, 2]}
  parameters: {w: {shape: [2], init: ones, decay: false}}
  equations: {c: "a * dot(w, b)"}
  output: c
  dtype: float32
"""
TEXTS = [CLASSES, NUMBERS, LABELS, FOLDS, ARRAYS, DRAWN, WRITTEN, NAMELESS, LINES, SHEETS, INLINE]


def read(text: str) -> dict[str, Any]:
    """The values of a YAML text, by the rules of the spec."""
    root, problems = parse(text, "spec.yaml")
    assert root is not None
    assert not problems
    values = plain(root)
    assert isinstance(values, dict)
    return values


VALUES = [read(text) for text in TEXTS]
SPECS = [Spec.model_validate(values) for values in VALUES]
SKETCHES = [Sketch.model_validate(read(SKETCH))]
