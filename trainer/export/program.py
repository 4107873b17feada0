"""One Python file that predicts, and needs NumPy alone.

The same text, with another ending, is the code of the model that a run keeps in MLflow.
"""

from __future__ import annotations

import base64
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Final

import numpy as np

from trainer.data import Preprocessing, written
from trainer.export.check import Answer, answer_columns
from trainer.export.columns import listed, missing_texts, scaling_arrays, write_parts
from trainer.export.source import write_source
from trainer.graph.ops import Array
from trainer.network.model import Model
from trainer.spec.data import CsvSource

_BODY: Final = Template('''\
"""$title"""

$imports

$constants
$functions

def network(x, p):
    """The $what, of shape (rows, $outputs), for x of shape (rows, $inputs)."""
$body


def arrays(data):
    """The arrays in the bytes of a safetensors file, by name."""
    (size,) = struct.unpack("<Q", data[:8])
    header, found = json.loads(data[8 : 8 + size]), {}
    kinds = {"F32": "<f4", "F64": "<f8"}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            flat = np.frombuffer(data[begin:end], dtype=kinds[entry["dtype"]])
            found[name] = flat.reshape(entry["shape"])
    return found


def matrix(rows):
    """The rows as float64 of shape (rows, features), from columns by name or from lists."""
    if hasattr(rows, "keys"):
        missing = [name for name in FEATURES if name not in rows]
        if missing:
            raise ValueError(f"missing columns: {', '.join(missing)}")
        columns = [rows[name] for name in FEATURES]
    else:
        rows = list(rows)
        for i, row in enumerate(rows):
            if len(row) != len(FEATURES):
                raise ValueError(f"row {i}: expected {len(FEATURES)} numbers, found {len(row)}")
        columns = zip(*rows) if rows else [[] for _ in FEATURES]
    return np.stack([numbers(*pair) for pair in zip(FEATURES, columns)], axis=1)


$reading

def encode(rows, p):
    """What the network takes, in its dtype, for raw rows. Rows of messages count from 0."""
    raw = matrix(rows)
    with np.errstate(all="ignore"):
        x = $encoded
$check    return x


def predict(rows, p):
    """A value a row for each of COLUMNS, from raw rows: columns by name, or lists of numbers."""
    x = encode(rows, p)
    starts = range(0, max(len(x), 1), ROWS)
    with np.errstate(all="ignore"):
        out = np.concatenate([network(x[i : i + ROWS], p) for i in starts])
$answer
''')

_ALONE: Final = Template('''\
WEIGHTS = """
$weights
"""
P = arrays(base64.b64decode(WEIGHTS))


def read(file):
    """The columns of a CSV file with a header, by name."""
    header, *rows = [row for row in csv.reader(file, delimiter="$delimiter") if row] or [[]]
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {i}: expected {len(header)} cells, found {len(row)}")
    twice = [name for name in FEATURES if header.count(name) > 1]
    if twice:
        raise ValueError(f"columns that stand twice: {', '.join(twice)}")
    return dict(zip(header, zip(*rows) if rows else [[] for _ in header]))


def main():
    """Predicts the rows of the CSV file that is named, or of standard input; writes CSV."""
    sys.stdin.reconfigure(encoding="utf-8-sig", newline="")
    sys.stdout.reconfigure(encoding="utf-8", newline="")
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="utf-8-sig", newline="") as file:
            found = predict(read(file), P)
    else:
        found = predict(read(sys.stdin), P)
    out = csv.writer(sys.stdout, delimiter="$delimiter", lineterminator="\\n")
    out.writerow(found)
    out.writerows(zip(*found.values()))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, csv.Error) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
''')

_IN_MLFLOW: Final = '''\
class Network(mlflow.pyfunc.PythonModel):
    """Takes raw rows and gives a value a row for each of COLUMNS."""

    def load_context(self, context):
        with open(context.artifacts["weights"], "rb") as file:
            self.p = arrays(file.read())

    def predict(self, context, model_input: pandas.DataFrame, params=None):
        try:
            return pandas.DataFrame(predict(model_input, self.p))
        except ValueError as error:  # so that a server answers 400, with this text
            raise mlflow.MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(Network())
'''

_NUMBERS: Final = """\
    return dict(zip(COLUMNS, $decoded.T))"""
_LABELS: Final = """\
    e = np.exp(-np.abs(out))  # in (0, 1]: never overflows
    probabilities = np.where(out >= 0, 1 / (1 + e), e / (1 + e))
    return dict(zip(COLUMNS, [*(out > 0).astype(np.int64).T, *probabilities.T]))"""
_ONE_LOGIT: Final = """\
    e = np.exp(-np.abs(out))  # in (0, 1]: never overflows
    small, large = e / (1 + e), 1 / (1 + e)
    below, above = np.where(out >= 0, [small, large], [large, small])
    labels = np.array(CLASSES)[(out[:, 0] > 0).astype(int)]
    return dict(zip(COLUMNS, [labels, below[:, 0], above[:, 0]]))"""
_LOGITS: Final = """\
    e = np.exp(out - out.max(axis=-1, keepdims=True))
    probabilities = e / e.sum(axis=-1, keepdims=True)
    labels = np.array(CLASSES)[out.argmax(axis=-1)]
    return dict(zip(COLUMNS, [labels, *probabilities.T]))"""


def model_arrays(model: Model) -> dict[str, Array]:
    """The numbers of a model by name: what it learned, and those of its preprocessing."""
    found = {name: np.ascontiguousarray(value) for name, value in model.parameters.items()}
    return found | scaling_arrays(model.preprocessing)


def write_program(model: Model, path: Path, facts: Mapping[str, str] | None = None) -> None:
    """Writes a Python file that holds the whole model and predicts: `predict(rows, P)`.

    As a script it reads CSV and writes CSV, with the delimiter of the file that the model was
    trained on. `facts` stand in its docstring. Raises `OSError`.
    """
    from safetensors.numpy import save

    source = model.spec.data.source
    delimiter = source.separator if isinstance(source, CsvSource) else ","
    ending = _ALONE.substitute(
        weights=base64.encodebytes(save(model_arrays(model))).decode().strip(),
        delimiter="\\t" if delimiter == "\t" else delimiter,
    )
    text = _text(model, ["base64", "csv", "json", "struct", "sys"], ["numpy as np"], facts)
    path.write_text(f"{text}\n\n{ending}", encoding="utf-8", newline="\n")


def mlflow_code(model: Model) -> str:
    """The code of an MLflow model that finds its numbers in the artifact `weights`."""
    text = _text(model, ["json", "struct"], ["mlflow", "numpy as np", "pandas"])
    return f"{text}\n\n{_IN_MLFLOW}"


def answer_program(model: Model, path: Path, x: Array) -> Answer:
    """What the file says of raw rows of shape (rows, features)."""
    scope = runpy.run_path(str(path))
    how = model.preprocessing
    found = scope["predict"](written(x, how.columns), scope["P"])
    return answer_columns(how, list(found.values()))


def _text(
    model: Model,
    standard: Sequence[str],
    others: Sequence[str],
    facts: Mapping[str, str] | None = None,
) -> str:
    """The program up to `predict`, with these imports."""
    how = model.preprocessing
    parts = write_parts(how, missing_texts(model.spec.data.source))
    source = write_source(model.graph, model.graph.outputs["prediction"])
    lines = [f"import {name}" for name in standard] + list(parts.imports)
    if "math." in source.functions:
        lines.append("import math")
    lines.sort(key=lambda line: (line.startswith("from"), line))
    groups = ["\n".join(lines), "\n".join(f"import {name}" for name in others)]
    functions = "\n\n".join(text.strip() for text in (source.functions,) if text)
    return _BODY.substitute(
        title=_title(model, facts or {}),
        imports="\n\n".join(groups),
        constants=_constants(model, parts.constants),
        functions=f"\n\n{functions}\n" if functions else "",
        what="outputs" if model.spec.model.loss != "logistic" else "logits",
        inputs=how.layout.width,
        outputs=how.outputs,
        body=source.body,
        reading=f"{parts.readers.strip()}\n{parts.functions}".rstrip() + "\n",
        encoded=parts.encoded,
        check=parts.check,
        answer=_answer(how, parts.decoded),
    )


def _answer(how: Preprocessing, decoded: str) -> str:
    """The end of `predict`."""
    if how.multi_label:
        return _LABELS
    if how.classes is None:
        return _NUMBERS.replace("$decoded", decoded)
    return _ONE_LOGIT if how.outputs == 1 else _LOGITS


def _title(model: Model, facts: Mapping[str, str]) -> str:
    """The text of the docstring."""
    how, count = model.preprocessing, len(model.preprocessing.features)
    columns = f"{count} column{'s' * (count != 1)}"
    lines = [f"{model.spec.name}: predicts {how.target} from {columns}."]
    lines += ["", *(f"{name}: {value}" for name, value in facts.items())] if facts else []
    plain = ["".join(c if c.isprintable() else " " for c in line) for line in lines]
    text = "\n".join(plain).replace("\\", "/").replace('"', "'")
    return f"{text}\n" if facts else text


def _constants(model: Model, more: str) -> str:
    """What the functions know of the model."""
    how = model.preprocessing
    lines = [f"FEATURES = {listed(how.features)}", f"COLUMNS = {listed(model.columns)}"]
    if how.classes is not None:
        lines.append(f"CLASSES = {listed(how.classes)}")
    if more:
        lines.append(more.rstrip())
    lines += [f'DTYPE = np.dtype("{how.dtype}")', "ROWS = 4096  # how many are computed at a time"]
    return "\n".join(lines)
