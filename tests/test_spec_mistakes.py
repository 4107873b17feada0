"""Every mistake that a spec for tables, layers, losses or SGD can hold, with its words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.cli.app import main
from trainer.errors import SpecError
from trainer.spec import load_spec
from trainer.spec.layers import LayerSpec
from trainer.spec.sgd import ScheduleSpec
from trainer.spec.sources import SourceSpec
from trainer.spec.tagged import Tagged, models_of
from trainer.sweeps.settings import ObjectiveSpec
from trainer.sweeps.space import DimensionSpec

BASE = """\
name: table
data:
  source: {csv: a.csv}
  target: y
model:
  layers:
    - {units: 3, name: h}
    - {units: 1, name: out}
  loss: logistic
sgd:
  learning_rate: 0.1
  epochs: 9
"""
EQUATIONS = """\
name: equations
data:
  source: {csv: a.csv}
  target: y
model:
  inputs: {x: 2}
  parameters:
    w: {shape: [2]}
  equations:
    out: dot(w, x)
  output: out
  loss: logistic
sgd:
  learning_rate: 0.1
  epochs: 9
"""
PLACES = {
    "source": ("{csv: a.csv}", "%s"),
    "target": ("target: y", "target: %s"),
    "data": ("target: y", "target: y\n  %s"),
    "column": ("target: y", "target: y\n  columns: {a: {%s}}"),
    "split": ("target: y", "target: y\n  split: {%s}"),
    "network": ("layers:", "%s\n  layers:"),
    "layer": ("{units: 3, name: h}", "{units: 3, name: h}\n    - {%s}"),
    "last": ("{units: 1, name: out}", "{%s}"),
    "model": ("loss: logistic", "loss: logistic\n  %s"),
    "squared": ("loss: logistic", "loss: squared\n  %s"),
    "sgd": ("epochs: 9", "epochs: 9\n  %s"),
    "schedule": ("epochs: 9", "epochs: 9\n  schedule: %s"),
    "metrics": ("epochs: 9", "epochs: 9\nevaluation: {metrics: %s}"),
}
"""What the words of a mistake take the place of."""

pytestmark = pytest.mark.usefixtures("folder")

Found = tuple[int | None, int | None, str, str, str | None]


def problems(text: str) -> list[Found]:
    """Line, column, path, message and hint of each problem with a spec of this text."""
    Path("spec.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_spec("spec.yaml")
    return [(p.line, p.column, p.path, p.message, p.hint) for p in caught.value.problems]


def changed(old: str, new: str, base: str = BASE) -> str:
    assert base.count(old) == 1
    return base.replace(old, new)


@pytest.mark.parametrize(
    ("where", "words", "expected"),
    [
        # where the rows come from
        ("source", "a.csv",
         (3, 11, "data.source", "expected a bundled data set, found the text 'a.csv'",
          "for a file write {csv: a.csv}")),
        ("source", "[data/a.tsv.gz, b.csv]",
         (3, 3, "data.source", "expected a bundled data set, found a list",
          "for a file write {csv: [data/a.tsv.gz, …]}")),
        ("source", "[iris]",
         (3, 3, "data.source", "expected a bundled data set, found a list",
          "choose one of iris, wine, breast_cancer, digits, diabetes")),
        ("source", "{}",
         (3, 3, "data.source",
          "expected a bundled data set's name, or one of {csv: …}, {jsonl: …}, {excel: …}, "
          "{parquet: …}, {arrow: …}, {npz: …}, {npy: …}, {inline: …}, {synthetic: …}, "
          "found an empty mapping", None)),
        ("source", "{delimiter: ';', cvs: a.csv}",
         (3, 3, "data.source",
          "expected a bundled data set's name, or one of {csv: …}, {jsonl: …}, {excel: …}, "
          "{parquet: …}, {arrow: …}, {npz: …}, {npy: …}, {inline: …}, {synthetic: …}, "
          "found a mapping",
          "did you mean 'csv'?")),
        ("source", "{csv: []}",
         (3, 12, "data.source.csv", "expected a text or a list of texts, found an empty list",
          None)),
        ("source", "{csv: [a.csv, 3]}",
         (3, 25, "data.source.csv[1]", "expected a text, found the number 3",
          "put it in quotes if it is meant as a text")),
        ("source", "{csv: [a.csv, a.csv]}",
         (3, 25, "data.source.csv[1]", "'a.csv' is named twice", None)),
        ("source", "{csv: ''}",
         (3, 17, "data.source.csv",
          "expected a text of 1 to 1000 characters, none of them control characters", None)),
        ("source", "{arrow: {a: b}}",
         (3, 12, "data.source.arrow", "expected a text, found a mapping", None)),
        ("source", "{csv: a.csv, missing_values: [NA, 9]}",
         (3, 45, "data.source.missing_values[1]", "expected a text, found the number 9",
          "put it in quotes if it is meant as a text")),
        ("source", "{csv: a.csv, missing_values: NA}",
         (3, 40, "data.source.missing_values", "expected a list, found the text 'NA'",
          "write [NA]")),
        ("source", "{npy: x.npy}",
         (3, 3, "data.source.y", "required key is missing", None)),
        ("source", "{npz: a.npz, delimiter: ;}",
         (3, 24, "data.source.delimiter", "unknown key", "the keys here are npz")),
        ("target", "[y, y]",
         (4, 15, "data.target[1]", "'y' is named twice", None)),
        ("target", "[]",
         (4, 3, "data.target", "expected a text or a list of texts, found an empty list", None)),
        ("target", "3",
         (4, 11, "data.target", "expected a text, found the number 3",
          "put it in quotes if it is meant as a text")),
        ("target", "[y, z]",
         (9, 9, "model.loss", "'logistic' takes one target, found 2",
          "if each is a yes or no, write multi_label: true")),
        ("data", "features: []",
         (5, 3, "data.features", "expected a list of at least 1 item, found an empty list",
          None)),
        ("data", "features: a",
         (5, 13, "data.features", "expected a list, found the text 'a'", "write [a]")),
        ("data", "weights: y",
         (5, 12, "data.weights", "'y' is among the targets and cannot be a weight",
          "name another column")),
        ("data", "features: [a, w]\n  weights: w",
         (6, 12, "data.weights", "'w' is among the features and cannot be a weight",
          "name another column")),
        # columns
        ("data", "columns: [a]",
         (5, 3, "data.columns", "expected a mapping, found a list", None)),
        ("data", "columns: {a: numeric}",
         (5, 16, "data.columns.a", "expected a mapping, found the text 'numeric'",
          "the keys here are type, missing, indicator, scale, encode, dimensions, order, "
          "parts, unknown, max_categories, min_count, decimal, thousands, unit, format")),
        ("data", "columns: {'': {}}",
         (5, 13, "data.columns.", "expected a text of at least 1 character, found the text ''",
          None)),
        ("column", "type: categorial",
         (5, 23, "data.columns.a.type",
          "expected 'numeric', 'categorical', 'boolean', 'ordinal' or 'date', found the text "
          "'categorial'", "did you mean 'categorical'?")),
        ("column", "typ: date",
         (5, 17, "data.columns.a.typ", "unknown key", "did you mean 'type'?")),
        ("column", "encode: onehot",
         (5, 25, "data.columns.a.encode",
          "expected 'one_hot' or 'embedding', found the text 'onehot'",
          "did you mean 'one_hot'?")),
        ("column", "type: date, encode: embedding",
         (5, 37, "data.columns.a.encode",
          "a column of the type 'date' has no categories to embed",
          "leave encode out, or write type: categorical")),
        ("column", "dimensions: 3",
         (5, 29, "data.columns.a.dimensions", "dimensions belong to an embedding",
          "write encode: embedding, or leave it out")),
        ("column", "encode: embedding, dimensions: 0",
         (5, 48, "data.columns.a.dimensions",
          "expected a number of at least 1, found the number 0", None)),
        ("column", "type: numeric, order: [a, b]",
         (5, 32, "data.columns.a.order", "an order belongs to an ordinal column",
          "write type: ordinal")),
        ("column", "order: [a]",
         (5, 17, "data.columns.a.order", "expected a list of at least 2 items, found a list of 1",
          None)),
        ("column", "order: [a, [b]]",
         (5, 28, "data.columns.a.order[1]", "expected a text or a number, found a list", None)),
        ("column", "order: [1, '1']",
         (5, 28, "data.columns.a.order[1]", "'1' stands twice", None)),
        ("column", "order: [true, false]",
         (5, 25, "data.columns.a.order[0]", "expected a text or a number, found true", None)),
        ("column", "type: boolean, parts: [year]",
         (5, 32, "data.columns.a.parts", "parts belong to a date", "write type: date")),
        ("column", "parts: []",
         (5, 17, "data.columns.a.parts",
          "expected a list of at least 1 item, found an empty list", None)),
        ("column", "parts: [years]",
         (5, 25, "data.columns.a.parts[0]",
          "expected 'year', 'month', 'day', 'weekday', 'yearday', 'hour', 'minute' or 'days', "
          "found the text 'years'", "did you mean 'year'?")),
        ("column", "parts: [year, month, year]",
         (5, 38, "data.columns.a.parts[2]", "'year' is named twice", None)),
        ("column", "order: [a, b], parts: [year]",
         (5, 32, "data.columns.a.parts", "an ordinal column has no parts",
          "leave order or parts out")),
        ("column", "unknown: zero",
         (5, 26, "data.columns.a.unknown", "expected 'zeros' or 'error', found the text 'zero'",
          "did you mean 'zeros'?")),
        ("column", "indicator: 'yes'",
         (5, 28, "data.columns.a.indicator", "expected true or false, found the text 'yes'",
          None)),
        # missing values and scales
        ("column", "missing: zero",
         (5, 26, "data.columns.a.missing",
          "expected a way to treat missing values, found the text 'zero'",
          "choose one of error, mean, median, most_frequent, {constant: …}")),
        ("column", "missing: medain",
         (5, 26, "data.columns.a.missing",
          "expected a way to treat missing values, found the text 'medain'",
          "did you mean 'median'?")),
        ("column", "missing: {constant: .inf}",
         (5, 37, "data.columns.a.missing.constant",
          "expected a number or a text, found the number inf", None)),
        ("column", "missing: {constant: true}",
         (5, 37, "data.columns.a.missing.constant", "expected a number or a text, found true",
          None)),
        ("column", "missing: {value: 3}",
         (5, 17, "data.columns.a.missing",
          "expected a way to treat missing values, found a mapping",
          "choose one of error, mean, median, most_frequent, {constant: …}")),
        ("column", "scale: log",
         (5, 24, "data.columns.a.scale", "expected a scale, found the text 'log'",
          "did you mean 'log1p'?")),
        ("column", "scale: [standard, log1p]",
         (5, 17, "data.columns.a.scale",
          "expected one scale, or first log1p or quantile and then another",
          "for example [log1p, standard]")),
        ("column", "scale: [none, log1p]",
         (5, 25, "data.columns.a.scale[0]", "'none' stands alone",
          "leave the others out, or this one")),
        ("column", "scale: [log1p, standrad]",
         (5, 32, "data.columns.a.scale[1]", "expected a scale, found the text 'standrad'",
          "did you mean 'standard'?")),
        ("column", "scale: [log1p, quantile, standard]",
         (5, 17, "data.columns.a.scale",
          "expected one scale, or first log1p or quantile and then another",
          "for example [log1p, standard]")),
        ("data", "missing: null",
         (5, 12, "data.missing", "expected a way to treat missing values, found nothing",
          "choose one of error, mean, median, most_frequent, {constant: …}")),
        ("data", "scale: {log1p: true}",
         (5, 3, "data.scale", "expected a scale, found a mapping",
          "choose one of none, log1p, quantile, standard, minmax, robust")),
        ("data", "standardize: true\n  scale: minmax",
         (6, 10, "data.scale", "`standardize: true` is a scale already",
          "leave one of them out")),
        ("data", "target_scale: log2",
         (5, 17, "data.target_scale", "expected a scale, found the text 'log2'",
          "choose one of none, log1p, quantile, standard, minmax, robust")),
        ("data", "target_scale: standard",
         (10, 9, "model.loss", "classes are not scaled, and data.target_scale says so",
          "leave data.target_scale out")),
        # splits and files
        ("split", "group: g, time: t",
         (5, 27, "data.split.time", "rows are split by group or by time, not by both",
          "leave one of them out")),
        ("split", "folds: 1",
         (5, 18, "data.split.folds", "expected a number of at least 2, found the number 1",
          None)),
        ("split", "folds: 5, fold: 6",
         (5, 27, "data.split.fold", "there are 5 folds, found 6", "folds are counted from 1")),
        ("split", "fold: 1",
         (5, 17, "data.split.fold", "a fold needs folds",
          "write for example {folds: 5, fold: 1}")),
        ("split", "folds: 5, fold: 0",
         (5, 27, "data.split.fold", "expected a number of at least 1, found the number 0", None)),
        ("split", "test: 0.1, folds: 5",
         (5, 29, "data.split.folds", "one of the folds is for testing", "leave `test` out")),
        ("split", "group: [g]",
         (5, 11, "data.split.group", "expected a text, found a list", None)),
        ("data", "split: {validation: 0.1}\n  validation: v.csv",
         (6, 15, "data.validation", "the validation rows are given and split off",
          "leave split.validation out")),
        ("data", "test: t.csv\n  split: {folds: 5}",
         (5, 9, "data.test", "one of the folds is for testing", "leave `test` out")),
        ("data", "test: [t.csv, t.csv]",
         (5, 17, "data.test[1]", "'t.csv' is named twice", None)),
        ("source", "iris\n  validation: v.csv",
         (4, 15, "data.validation", "the source is no file, so this cannot be one",
          "write split: {validation: 0.2}")),
        ("source", "{npy: x.npy, y: y.npy}\n  test: t.npy",
         (4, 9, "data.test", "rows of .npy files are in two files",
          "use .npz files, or a split")),
        ("source", "{npz: a.npz}\n  stream: true",
         (4, 11, "data.stream", "only rows of csv, jsonl, parquet and arrow files can stay on disk",
          "leave stream out")),
        ("source", "{excel: a.xlsx}\n  stream: true",
         (4, 11, "data.stream", "only rows of csv, jsonl, parquet and arrow files can stay on disk",
          "leave stream out")),
        ("source", "{excel: a.xlsx, sheet: 0}",
         (3, 34, "data.source.sheet",
          "expected the name of a sheet, or its number from 1, found the number 0", None)),
        ("source", "{excel: a.xlsx, sheet: true}",
         (3, 34, "data.source.sheet",
          "expected the name of a sheet, or its number from 1, found true", None)),
        ("data", "stream: true\n  split: {time: t}",
         (5, 11, "data.stream", "rows that stay on disk are split by chance alone",
          "leave group, time and folds out")),
        ("data", "stream: 1",
         (5, 11, "data.stream", "expected true or false, found the number 1", None)),
        ("source", "{cvs: a.csv}\n  stream: true\n  test: t.csv",
         (3, 3, "data.source",
          "expected a bundled data set's name, or one of {csv: …}, {jsonl: …}, {excel: …}, "
          "{parquet: …}, {arrow: …}, {npz: …}, {npy: …}, {inline: …}, {synthetic: …}, "
          "found a mapping",
          "did you mean 'csv'?")),
        # layers
        ("layer", "type: conv",
         (8, 14, "model.layers[1].type", "expected a type of layer, found the text 'conv'",
          "choose one of dense, activation, dropout, batch_norm, layer_norm, embedding, add, "
          "multiply, concat")),
        ("layer", "type: batchnorm",
         (8, 14, "model.layers[1].type", "expected a type of layer, found the text 'batchnorm'",
          "did you mean 'batch_norm'?")),
        ("layer", "type: null",
         (8, 14, "model.layers[1].type", "expected a type of layer, found nothing",
          "choose one of dense, activation, dropout, batch_norm, layer_norm, embedding, add, "
          "multiply, concat")),
        ("layer", "rate: 0.5",
         (8, 7, "model.layers[1].type", "required key is missing",
          "choose one of dense, activation, dropout, batch_norm, layer_norm, embedding, add, "
          "multiply, concat")),
        ("layer", "type: dropout",
         (8, 7, "model.layers[1].rate", "required key is missing", None)),
        ("layer", "type: dropout, rate: 0",
         (8, 29, "model.layers[1].rate", "expected a number above 0, found the number 0", None)),
        ("layer", "type: dropout, rate: 1",
         (8, 29, "model.layers[1].rate", "expected a number below 1, found the number 1", None)),
        ("layer", "type: dropout, units: 3, rate: 0.1",
         (8, 23, "model.layers[1].units", "unknown key",
          "the keys here are name, inputs, type, rate")),
        ("layer", "type: batch_norm, momentum: 0",
         (8, 36, "model.layers[1].momentum", "expected a number above 0, found the number 0",
          None)),
        ("layer", "type: layer_norm, epsilon: 0",
         (8, 35, "model.layers[1].epsilon", "expected a number above 0, found the number 0",
          None)),
        ("layer", "type: activation, activation: softmax",
         (8, 38, "model.layers[1].activation", "softmax fits the last layer alone",
          "use it on the last layer, or another activation here")),
        ("layer", "type: embedding, units: 3",
         (8, 7, "model.layers[1].inputs", "required key is missing", None)),
        ("layer", "type: embedding, inputs: [a, b], units: 3",
         (8, 25, "model.layers[1].inputs", "expected 1 input, found 2",
          "give each column a layer of its own")),
        ("layer", "type: add, inputs: h",
         (8, 27, "model.layers[1].inputs", "expected at least 2 inputs, found 1",
          "write inputs: [first, second]")),
        ("layer", "type: multiply",
         (8, 7, "model.layers[1].inputs", "required key is missing", None)),
        ("layer", "type: concat, inputs: [h, hh]",
         (8, 34, "model.layers[1].inputs[1]", "no input or layer before this one is called 'hh'",
          "did you mean 'h'?")),
        ("layer", "type: concat, inputs: [h, h]",
         (8, 34, "model.layers[1].inputs[1]", "'h' is named twice", None)),
        ("layer", "units: 3, inputs: [h, x]",
         (8, 18, "model.layers[1].inputs", "expected 1 input, found 2",
          "put a layer of the type concat before it")),
        ("layer", "units: 3, inputs: g",
         (8, 26, "model.layers[1].inputs", "no input or layer before this one is called 'g'",
          "known here are x, h")),
        ("layer", "units: 3, freeze: 1",
         (8, 26, "model.layers[1].freeze", "expected true or false, found the number 1", None)),
        ("layer", "units: 3, name: eval",
         (8, 24, "model.layers[1].name", "the layer name 'eval' is taken by a node of the graph",
          "choose another name")),
        ("layer", "units: 3, name: aside}\n    - {units: 2, inputs: h",
         (8, 7, "model.layers[1]", "nothing takes the layer 'aside'",
          "name it in `inputs` of a later layer or in `outputs`, or remove it")),
        ("last", "type: layer_norm, inputs: x",
         (8, 7, "model.layers[1]",
          "the width of the last layer 'layer_norm_2' depends on the features",
          "end with a dense layer")),
        ("layer", "units: 3, init: norml",
         (8, 24, "model.layers[1].init", "expected an initialiser, found the text 'norml'",
          "did you mean 'normal'?")),
        ("layer", "units: 3, init: 3",
         (8, 24, "model.layers[1].init", "expected an initialiser, found the number 3",
          "choose one of glorot_uniform, glorot_normal, he_uniform, he_normal, lecun_uniform, "
          "lecun_normal, orthogonal, normal, uniform, zeros, ones")),
        ("layer", "units: 3, init: {norml: 1}",
         (8, 18, "model.layers[1].init", "expected one of {normal: …}, {uniform: …}, {values: …}",
          "did you mean 'normal'?")),
        ("layer", "units: 3, init: {normal: 0}",
         (8, 33, "model.layers[1].init.normal", "expected a number above 0, found the number 0",
          None)),
        ("layer", "units: 3, init: {uniform: a}",
         (8, 34, "model.layers[1].init.uniform", "expected a number above 0, found the text 'a'",
          None)),
        ("layer", "units: 3, init: {values: null}",
         (8, 33, "model.layers[1].init.values",
          "expected a number, a list of numbers or a list of rows, found nothing", None)),
        ("layer", "units: 3, init: {values: [[1, a]]}",
         (8, 38, "model.layers[1].init.values[0][1]", "expected a number, found the text 'a'",
          None)),
        ("layer", "units: 3, init: {values: [[1, 2], [3]]}",
         (8, 25, "model.layers[1].init.values",
          "expected a list of numbers, or a list of rows of one length", None)),
        # named inputs and outputs
        ("network", "inputs: {y: [a]}",
         (6, 12, "model.inputs.y", "the input name 'y' is taken by a node of the graph",
          "choose another name")),
        ("network", "inputs: {a b: [a]}",
         (6, 12, "model.inputs.a b",
          "expected a name of letters, digits and _ that begins with no digit, found the text "
          "'a b'", None)),
        ("network", "inputs: {a: []}",
         (6, 12, "model.inputs.a", "expected a text or a list of texts, found an empty list",
          None)),
        ("network", "inputs: [a]",
         (6, 3, "model.inputs", "expected a mapping, found a list", None)),
        ("network", "inputs: {left: [a]}",
         (6, 12, "model.inputs.left", "no layer takes the input 'left'",
          "name it in `inputs` of a layer, or remove it")),
        ("network", "inputs: {h: a}",
         (8, 24, "model.layers[0].name", "the layer name 'h' is taken by an input",
          "choose another name")),
        ("network", "outputs: ou",
         (6, 12, "model.outputs", "there is no layer 'ou'", "did you mean 'out'?")),
        ("network", "outputs: [out, h1]",
         (6, 18, "model.outputs[1]", "there is no layer 'h1'", "did you mean 'h'?")),
        ("network", "outputs: [out, out]",
         (6, 18, "model.outputs[1]", "'out' is named twice", None)),
        ("network", "outputs: h",
         (9, 7, "model.layers[1]", "nothing takes the layer 'out'",
          "name it in `inputs` of a later layer or in `outputs`, or remove it")),
        # losses
        ("model", "huber_delta: 2",
         (10, 16, "model.huber_delta", "huber_delta belongs to the loss 'huber'",
          "leave it out")),
        ("model", "label_smoothing: 1",
         (10, 20, "model.label_smoothing", "expected a number below 1, found the number 1",
          None)),
        ("model", "class_weights: even",
         (10, 18, "model.class_weights",
          "expected 'balanced' or a weight by class, found the text 'even'",
          "for example {yes: 2.0, no: 1.0}")),
        ("model", "class_weights: {}",
         (10, 3, "model.class_weights",
          "expected 'balanced' or a weight by class, found an empty mapping",
          "for example {yes: 2.0, no: 1.0}")),
        ("model", "class_weights: {a: -1}",
         (10, 22, "model.class_weights.a", "expected a number of at least 0, found the number -1",
          None)),
        ("model", "class_weights: {a: b, c: 1}",
         (10, 22, "model.class_weights.a", "expected a number of at least 0, found the text 'b'",
          None)),
        ("model", "class_weights: {a: 0, b: 0}",
         (10, 3, "model.class_weights", "all weights are 0", "give some class a weight above 0")),
        ("model", "multi_label: true\n  class_weights: balanced",
         (10, 16, "model.multi_label", "class weights are for one target, not for several labels",
          "leave one of them out")),
        ("squared", "label_smoothing: 0.1",
         (10, 20, "model.label_smoothing", "label_smoothing belongs to the loss 'logistic'",
          "leave it out")),
        ("squared", "class_weights: balanced",
         (10, 18, "model.class_weights", "class_weights belongs to the loss 'logistic'",
          "leave it out")),
        ("squared", "multi_label: true",
         (10, 16, "model.multi_label", "multi_label belongs to the loss 'logistic'",
          "leave it out")),
        ("last", "units: 1, name: weight}\n  class_weights: {a: 1",
         (8, 24, "model.layers[1].name", "the name 'weight' is taken by the weights of the rows",
          "choose another name")),
        # a start from another run
        ("model", "init_from: hidden",
         (10, 14, "model.init_from", "expected a mapping, found the text 'hidden'",
          "the keys here are run, file, layers, sha256")),
        ("model", "init_from: {}",
         (10, 3, "model.init_from", "expected either a run or a file",
          "for example {run: hidden_layer}")),
        ("model", "init_from: {run: a, file: b}",
         (10, 3, "model.init_from", "expected either a run or a file",
          "for example {run: hidden_layer}")),
        ("model", "init_from: {run: a, layers: []}",
         (10, 23, "model.init_from.layers",
          "expected a list of at least 1 item, found an empty list", None)),
        ("model", "init_from: {run: a, layers: [1st]}",
         (10, 32, "model.init_from.layers[0]",
          "expected a name of letters, digits and _ that begins with no digit, found the text "
          "'1st'", None)),
        ("model", "init_from: {run: a, sha256: abc}",
         (10, 31, "model.init_from.sha256",
          "expected a SHA-256 of 64 hexadecimal digits in lower case, found the text 'abc'",
          None)),
        # schedules
        ("schedule", "cosin",
         (13, 13, "sgd.schedule", "expected a type of schedule, found the text 'cosin'",
          "did you mean 'cosine'?")),
        ("schedule", "fast",
         (13, 13, "sgd.schedule", "expected a type of schedule, found the text 'fast'",
          "choose one of constant, step, exponential, cosine, linear, one_cycle")),
        ("schedule", "step",
         (13, 13, "sgd.schedule.every", "required key is missing", None)),
        ("schedule", "3",
         (13, 13, "sgd.schedule", "expected a type of schedule, found the number 3",
          "choose one of constant, step, exponential, cosine, linear, one_cycle")),
        ("schedule", "{type: cos}",
         (13, 20, "sgd.schedule.type", "expected a type of schedule, found the text 'cos'",
          "did you mean 'cosine'?")),
        ("schedule", "{every: 3}",
         (13, 3, "sgd.schedule.type", "required key is missing",
          "choose one of constant, step, exponential, cosine, linear, one_cycle")),
        ("schedule", "{warmpu: 1}",
         (13, 14, "sgd.schedule.warmpu", "unknown key", "did you mean 'warmup'?")),
        ("schedule", "{warmup: -1}",
         (13, 22, "sgd.schedule.warmup", "expected a number of at least 0, found the number -1",
          None)),
        ("schedule", "{warmup: 9}",
         (13, 22, "sgd.schedule.warmup", "the warm-up takes 9 epochs, and sgd.epochs is 9",
          "make it shorter than the training")),
        ("schedule", "{type: one_cycle, warmup: 1}",
         (13, 39, "sgd.schedule.warmup", "'one_cycle' begins with a rise of its own",
          "leave warmup out; its peak says how long the rise is")),
        ("schedule", "{type: step, every: 0}",
         (13, 33, "sgd.schedule.every", "expected a number above 0, found the number 0", None)),
        ("schedule", "{type: step, every: 2, factor: 2}",
         (13, 44, "sgd.schedule.factor", "expected a number of at most 1, found the number 2",
          None)),
        ("schedule", "{type: exponential, factor: 0}",
         (13, 41, "sgd.schedule.factor", "expected a number above 0, found the number 0", None)),
        ("schedule", "{type: cosine, final: 2}",
         (13, 35, "sgd.schedule.final", "expected a number of at most 1, found the number 2",
          None)),
        ("schedule", "{type: cosine, cycle: 2, growth: 0.5}",
         (13, 46, "sgd.schedule.growth", "expected a number of at least 1, found the number 0.5",
          None)),
        ("schedule", "{type: linear, cycle: 2}",
         (13, 28, "sgd.schedule.cycle", "unknown key", "the keys here are warmup, type, final")),
        ("schedule", "{type: one_cycle, peak: 1}",
         (13, 37, "sgd.schedule.peak", "expected a number below 1, found the number 1", None)),
        ("schedule", "{type: one_cycle, start: 0}",
         (13, 38, "sgd.schedule.start", "expected a number above 0, found the number 0", None)),
        # averages and the end
        ("sgd", "l1: -1",
         (13, 7, "sgd.l1", "expected a number of at least 0, found the number -1", None)),
        ("sgd", "max_norm: 0",
         (13, 13, "sgd.max_norm", "expected a number above 0, found the number 0", None)),
        ("sgd", "accumulate: 0",
         (13, 15, "sgd.accumulate", "expected a number of at least 1, found the number 0", None)),
        ("sgd", "average: ema",
         (13, 12, "sgd.average", "expected a mapping, found the text 'ema'",
          "the keys here are type, decay, start")),
        ("sgd", "average: {type: mean}",
         (13, 19, "sgd.average.type", "expected 'ema' or 'swa', found the text 'mean'", None)),
        ("sgd", "average: {type: ema, decay: 1}",
         (13, 31, "sgd.average.decay", "expected a number below 1, found the number 1", None)),
        ("sgd", "average: {type: ema, start: 0.5}",
         (13, 31, "sgd.average.start", "start belongs to the average 'swa'", "leave it out")),
        ("sgd", "average: {type: swa, decay: 0.9}",
         (13, 31, "sgd.average.decay", "decay belongs to the average 'ema'", "leave it out")),
        ("sgd", "early_stopping: 5",
         (13, 19, "sgd.early_stopping", "expected a mapping, found the number 5",
          "the keys here are patience, min_delta, monitor, restore_best")),
        ("sgd", "early_stopping: {patience: 0}",
         (13, 30, "sgd.early_stopping.patience",
          "expected a number of at least 1, found the number 0", None)),
        ("sgd", "early_stopping: {patience: 3}",
         (13, 3, "sgd.early_stopping", "early stopping needs validation rows",
          "write data.split: {validation: 0.2}")),
        ("sgd", "early_stopping: {min_delta: -1, patience: 1}",
         (13, 31, "sgd.early_stopping.min_delta",
          "expected a number of at least 0, found the number -1", None)),
        ("metrics", "f1",
         (13, 23, "evaluation.metrics", "expected a list, found the text 'f1'", "write [f1]")),
        ("metrics", "[f2]",
         (13, 24, "evaluation.metrics[0]", "expected a metric, found the text 'f2'",
          "choose one of accuracy, balanced_accuracy, f1, auc, log_loss, r2, rmse, mae")),
        ("metrics", "[auc, rmse]",
         (13, 29, "evaluation.metrics[1]", "'rmse' does not fit the loss 'logistic'",
          "choose from accuracy, balanced_accuracy, f1, auc, log_loss")),
        ("metrics", "[f1, f1]",
         (13, 28, "evaluation.metrics[1]", "'f1' is named twice", None)),
    ],
)  # fmt: skip
def test_mistake(where: str, words: str, expected: Found) -> None:
    old, new = PLACES[where]
    assert problems(changed(old, new.replace("%s", words))) == [expected]


@pytest.mark.parametrize(
    ("monitor", "message", "hint"),
    [
        ("f1", "'f1' is not measured", "write evaluation: {metrics: [f1]}"),
        ("rmse", "'rmse' does not fit the loss 'logistic'",
         "choose from loss, accuracy, balanced_accuracy, f1, auc, log_loss"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("metrics", ["", "\nevaluation: {metrics: [auc]}"])
def test_early_stopping_watches_what_is_measured(
    monitor: str, message: str, hint: str, metrics: str
) -> None:
    base = changed("target: y", "target: y\n  validation: v.csv")
    watched = "epochs: 9\n  early_stopping: {patience: 2, monitor: %s}" + metrics
    found = problems(changed("epochs: 9", watched % monitor, base))
    assert found == [(14, 42, "sgd.early_stopping.monitor", message, hint)]
    for fine in ("loss", "accuracy", *(["auc"] if metrics else [])):
        Path("spec.yaml").write_text(changed("epochs: 9", watched % fine, base))
        stopping = load_spec("spec.yaml").sgd.early_stopping
        assert stopping is not None
        assert stopping.monitor == fine


OF_ROWS = ("the name 'weight' is taken by the weights of the rows", "choose another name")
OF_GRAPH = ("the name 'eval' is taken by a node of the graph", "choose another name")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("w: {shape: [2]}", "weight: {shape: [2]}", (9, 5, "model.parameters.weight", *OF_ROWS)),
        ("out: dot(w, x)", "weight: dot(w, x)\n    out: weight",
         (11, 5, "model.equations.weight", *OF_ROWS)),
        ("inputs: {x: 2}", "inputs: {weight: a}", (7, 12, "model.inputs.weight", *OF_ROWS)),
        ("w: {shape: [2]}", "eval: {shape: [2]}", (9, 5, "model.parameters.eval", *OF_GRAPH)),
    ],
)  # fmt: skip
def test_equations_take_no_names_of_the_graph(old: str, new: str, expected: Found) -> None:
    weighted = changed("target: y", "target: y\n  weights: rows", EQUATIONS)
    assert problems(changed(old, new, weighted)) == [expected]


@pytest.mark.parametrize("name", ["weight", "mask", "share", "rate", "average", "accumulate"])
def test_other_names_are_free(name: str) -> None:
    Path("spec.yaml").write_text(changed("name: h", f"name: {name}"))
    assert load_spec("spec.yaml").model.layers[0].name == name


def leaves(model: type[Tagged]) -> Iterator[type[Tagged]]:
    for below in model.__subclasses__():
        yield from leaves(below) if below.__subclasses__() else [below]


def test_every_layer_source_and_schedule_stands_in_its_union() -> None:
    """A class alone is not yet known: its name in the union makes it so."""
    unions = [LayerSpec, SourceSpec, ScheduleSpec, DimensionSpec, ObjectiveSpec]
    assert set(leaves(Tagged)) == {model for union in unions for model in models_of(union).values()}
    assert [" ".join(models_of(union)) for union in unions] == [
        "dense activation dropout batch_norm layer_norm embedding add multiply concat",
        "csv jsonl excel parquet arrow npz npy inline synthetic",
        "constant step exponential cosine linear one_cycle",
        "integers log uniform values",
        "minimise maximise",
    ]


MANY = """\
name: many
data:
  source: {csv: a.csv, delimiter: x}
  target: [y, y]
  columns:
    age: {missing: medain, scale: [standard, log1p]}
model:
  layers:
    - {type: conv, units: 3}
    - {type: dropout, rate: 1.5}
    - {rate: 0.5}
  loss: logistic
  huber_delta: 2
sgd:
  learning_rate: 0.1
  schedule: {type: cos}
  average: {type: emma}
"""


def test_many_mistakes_are_shown_at_once_in_their_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("spec.yaml").write_text(MANY)
    with pytest.raises(SystemExit) as caught:
        main(["check", "spec.yaml"])
    assert caught.value.code == 2
    shown = capsys.readouterr().err.splitlines()
    assert shown[0] == "train: the spec has 11 problems"
    places = [line.split(": ")[0] for line in shown if line.startswith("spec.yaml:")]
    expected = ["3:35", "4:15", "6:20", "6:28", "9:14", "10:29", "11:7", "13:16", "14:1", "16:20",
                "17:19"]  # fmt: skip
    assert places == [f"spec.yaml:{place}" for place in expected]
