"""TR-S: the file that declares a run, its YAML, its keys and values."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-S001",
        "there is no such file of a spec",
        "The path that was given names nothing. It is relative to the folder in which the command "
        "is called.",
        "Check the path. A near name is told as a hint where there is one.",
        "train check configs/hidden_layer.yaml",
    ),
    Entry(
        "TR-S002",
        "the file of a spec cannot be read",
        "The path names a folder, a device or a pipe, the system refuses to open it, or no file "
        "can have this name.",
        "Give the path of a YAML file that you may read.",
    ),
    Entry(
        "TR-S003",
        "a spec is too large",
        "A spec has at most 1 MiB, so that it can be checked, shown and kept with each run. Larger "
        "ones mostly hold data.",
        "Keep the data in a file of its own and name it in the spec.",
        "data:\n  source: {csv: flats.csv}",
    ),
    Entry(
        "TR-S004",
        "a spec is not encoded as UTF-8",
        "The bytes of the file mean nothing in UTF-8, the one encoding that specs have. The place "
        "of the first of them is told.",
        "Save the file as UTF-8; editors offer it where they save.",
    ),
    Entry(
        "TR-S005",
        "this is not valid YAML",
        "The text does not follow the grammar of YAML at this place: an indentation, a bracket, a "
        "quotation mark or a colon is not where it must be, or a character is not allowed.",
        "Look at the place that is told and at the line above it. Indent with blanks, and put a "
        "text that holds `: ` or begins with a sign in quotes.",
        "name: 'flats: first try'",
    ),
    Entry(
        "TR-S006",
        "a part of YAML that specs do not take",
        "Tags, aliases, merge keys, several documents and very deep nesting are refused: a spec "
        "holds plain values that everyone reads in the same way, and that execute nothing.",
        "Write the values out.",
    ),
    Entry(
        "TR-S007",
        "a key stands twice",
        "The same key stands in one mapping a second time. Which of the two values counts would "
        "depend on who reads the file.",
        "Keep one of them; the line of the first is told.",
    ),
    Entry(
        "TR-S008",
        "a number that can be misread, or is too large",
        "Numbers with a leading 0 are read with base 8 by some programs and with base 10 by "
        "others; numbers of very many digits or beyond 1.8e308 fit no float64.",
        "Write the number without the 0, or smaller; or put it in quotes if it is meant as a text.",
        "seed: 7      # not 007",
    ),
    Entry(
        "TR-S009",
        "a key is no text",
        "Keys are names. A number, true, null, a list or a mapping stands in the place of one.",
        "Put it in quotes if it is meant as a name.",
        "class_weights: {'1': 2.0, '0': 1.0}",
    ),
    Entry(
        "TR-S010",
        "there are no keys",
        "The file is empty, or its outermost value is a list, a text or a number. A spec is a "
        "mapping of keys.",
        "Begin with `name: …`. A whole spec stands in the README.",
    ),
    Entry(
        "TR-S011",
        "an unknown key",
        "No key of this name stands here. Unknown keys are errors, since a misspelt key would "
        "otherwise be a setting that is silently not made.",
        "Take the near name that the hint tells, or remove the key. `train schema` prints all "
        "keys; docs/spec.md explains them.",
    ),
    Entry(
        "TR-S012",
        "a required key is missing",
        "Some values have no default that would be right for everyone, such as the target and the "
        "number of epochs.",
        "Add the key at the place that is told.",
        "data:\n  target: rent",
    ),
    Entry(
        "TR-S013",
        "a value of another kind",
        "A number, a text, a list, a mapping, or true or false is expected, and something else "
        "stands there. Nothing is converted by guess: '3' in quotes is a text.",
        "Write a value of the kind that is told.",
        "sgd: {epochs: 20}      # not '20', and not [20]",
    ),
    Entry(
        "TR-S014",
        "a number out of range",
        "The number is too small, too large or not finite for what it decides, or it does not "
        "go together with another one: a warm-up is shorter than the training, a shard has one "
        "example at least, a fold is one of the folds.",
        "Take one within the bounds that are told.",
        "sgd:\n  epochs: 50\n  schedule: {type: cosine, warmup: 5}",
    ),
    Entry(
        "TR-S015",
        "a value that is none of the choices",
        "Only some values can stand here, such as the names of activations, losses or sources.",
        "Take one of those that are told.",
    ),
    Entry(
        "TR-S016",
        "a text of another form",
        "The text is empty, too long, holds control characters, or does not follow the form "
        "that names, hashes, units and amounts have here.",
        "Write it in the form that is told; an amount has a unit.",
        "budget: {time: 2h}",
    ),
    Entry(
        "TR-S017",
        "a list that is too short or too long",
        "The list is empty, or has another number of items than can stand here.",
        "Write as many items as are told, or leave the key out.",
    ),
    Entry(
        "TR-S018",
        "the same name stands twice",
        "The list names one thing twice; it would count twice, or one of the two is a mistake.",
        "Keep one of them.",
    ),
    Entry(
        "TR-S019",
        "two things that exclude each other",
        "Both say the same in different ways, or one leaves no place for the other; or one of "
        "the two must be there and neither is.",
        "Keep one of them.",
        "scale: [log1p, standard]      # one scale, and before it log1p or quantile",
    ),
    Entry(
        "TR-S020",
        "a key that belongs to something else",
        "The key has a meaning only together with another value, such as `huber_delta` with "
        "`loss: huber`. Here it would decide nothing.",
        "Leave it out, or write the value that it belongs to.",
    ),
    Entry(
        "TR-S021",
        "a name that is taken",
        "Layers, inputs, parameters and equations are nodes of one graph, in which names differ. "
        "Some names belong to nodes that every graph has.",
        "Choose another name.",
    ),
    Entry(
        "TR-S022",
        "an address with a password in a spec",
        "Specs are shown, kept with runs and shared, and this address holds a secret.",
        "Leave it out of the spec and give the whole address in the environment.",
        "MLFLOW_TRACKING_URI=postgresql://user:password@host/name train run flats.yaml",
    ),
    Entry(
        "TR-S023",
        "a spec that was kept is none any more",
        "The spec that a run has kept cannot be read as one: it was changed, or is of a later "
        "version.",
        "Bring back the file as it was, or train the run anew from its YAML file.",
    ),
    Entry(
        "TR-S024",
        "an override is not key=value",
        "`--set` takes a key of the spec, a sign =, and a value in YAML. In Python, overrides are "
        "numbers, texts, lists and mappings by key.",
        "Write the key as messages show it. `key=null` stands for no value.",
        "train run flats.yaml --set sgd.learning_rate=0.01 --set model.layers[0].units=32",
    ),
    Entry(
        "TR-S025",
        "an override names no place of the spec",
        "The key goes through a value that has no keys, or through a list that has no such item; "
        "items are counted from 0.",
        "Check the key; `train check` shows the layers of a spec in their order.",
        "train check flats.yaml --set model.layers[0].units=32",
    ),
    Entry(
        "TR-S026",
        "a file for another command",
        "A spec declares one run, a sweep with `space` declares many, and equations on given "
        "numbers without `data` and `sgd` can be explained but not trained.",
        "Use the command that the hint tells.",
        "train sweep sweep.yaml\ntrain explain configs/two_paths.yaml",
    ),
    Entry(
        "TR-S027",
        "there are more problems",
        "Only the first problems are shown.",
        "Mend those that are shown and check again. Very many at once often have one cause, "
        "such as an indentation or the delimiter of a file.",
        "train check flats.yaml",
    ),
    Entry(
        "TR-S028",
        "this needs validation rows",
        "Early stopping, and a threshold that is chosen, look at rows that are not trained on; "
        "this spec sets none aside.",
        "Split some off, or name a file of them.",
        "data:\n  split: {validation: 0.2}",
    ),
    Entry(
        "TR-S029",
        "a metric that does not fit the loss",
        "Metrics of classes need a loss for classes, and those of numbers one for numbers.",
        "Take one of those that are told; docs/spec.md has the table.",
    ),
    Entry(
        "TR-S030",
        "a metric that is not measured",
        "What is watched or optimised must be measured after every epoch; only the loss and one "
        "score are without being asked for.",
        "Name it in `evaluation.metrics`.",
        "evaluation: {metrics: [auc]}",
    ),
    Entry(
        "TR-S031",
        "a threshold that has no meaning here",
        "A threshold is between two classes. This loss has none, there are more classes, or each "
        "label is a yes or no of its own.",
        "Leave `evaluation.threshold` out.",
    ),
    Entry(
        "TR-S032",
        "the targets do not fit the loss",
        "`logistic` predicts classes of one target, or a yes or no for each of several; classes "
        "are not scaled.",
        "Take another loss, leave `target_scale` out, or write `multi_label: true` if each target "
        "is a yes or no.",
    ),
    Entry(
        "TR-S033",
        "a file is named where a bundled data set is expected",
        "A text alone is the name of a data set that comes with the package. Files are named with "
        "their kind.",
        "Write the kind before the path.",
        "data:\n  source: {csv: flats.csv}",
    ),
    Entry(
        "TR-S034",
        "the rows in the spec are not alike",
        "Rows that stand in the spec itself have the same number of values each, one target a row, "
        "and targets of one kind.",
        "Complete the row that is told.",
        "data:\n  source: {inline: {x: [[0, 1], [1, 0]], y: [1, 0]}}",
    ),
    Entry(
        "TR-S035",
        "rows that cannot stay on disk",
        "`stream: true` reads the rows piece by piece, which needs a file that can be read so and "
        "a split by chance alone.",
        "Leave `stream` out, or save the rows as Parquet and split them by chance.",
    ),
    Entry(
        "TR-S036",
        "a column has two roles",
        "A column is a feature, a target, a weight, a group or a time. As a feature, the target "
        "would tell itself.",
        "Name another column, or leave it out of one of the two places.",
    ),
    Entry(
        "TR-S037",
        "a file that builds on another one that does",
        "`defaults` names another file, which has no `defaults` of its own: so each value is said "
        "in one of two files.",
        "Write the values of the third file in one of the two.",
        "defaults: base.yaml",
    ),
)
"""The entries, in the order of their codes."""
