"""One table in files of every kind is one matrix, to the bit, whichever reader takes it."""

from __future__ import annotations

import datetime
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trainer import TrainerError
from trainer.data import Column, Table, load_table
from trainer.data.reading.pieces import TableOnDisk
from trainer.spec import Spec

from .cells import KINDS
from .models import declared
from .tally import Tally

ROWS = 40


def campaign(folder: Path, number: int, seed: int = 1) -> Tally:
    """So many tables of every kind of column, each in a file of every kind."""
    tally = Tally("one table, every reader")
    for kind, column in KINDS.items():
        for i in range(number):
            chance = random.Random(f"{seed}/{kind}/{i}")
            sources = _write(folder, column, chance)
            expected = _read(column, sources.pop("CSV"))
            for name, source in sources.items():
                try:
                    wrong = _difference(_read(column, source, stream="streamed" in name), expected)
                except TrainerError as error:
                    wrong = f"refused: {error}"
                tally.case(f"{kind}, {name}, table {i} of seed {seed}", wrong)
    return tally


def _write(folder: Path, column: Column, chance: random.Random) -> dict[str, Any]:
    """Files of one table, by what they are, as sources of a spec."""
    gaps = chance.choice([0, 0.2])
    cells = [None if chance.random() < gaps else _cell(column, chance) for _ in range(ROWS)]
    cells[0] = cells[0] if cells[0] is not None else _cell(column, chance)
    texts = ["" if cell is None else _text(cell) for cell in cells]
    padded = [chance.choice([text, f" {text}", f"{text} "]) for text in texts]
    for name, written in (("plain", texts), ("padded", padded)):
        lines = [f'"{text.replace(chr(34), 2 * chr(34))}",{i}' for i, text in enumerate(written)]
        (folder / f"{name}.csv").write_text("a,y\n" + "\n".join(lines) + "\n", newline="")
    table = pa.table({"a": pa.array(cells), "y": [float(i) for i in range(ROWS)]})
    pq.write_table(table, folder / "t.parquet", row_group_size=chance.choice([7, 1000]))
    with pa.ipc.new_file(folder / "t.arrow", table.schema) as file:
        file.write_table(table, max_chunksize=chance.choice([7, 1000]))
    encoded = table.set_column(0, "a", table["a"].dictionary_encode())
    pq.write_table(encoded, folder / "coded.parquet")
    sources: dict[str, Any] = {
        "CSV": {"csv": str(folder / "plain.csv")},
        "CSV with blanks": {"csv": str(folder / "padded.csv")},
        "CSV, streamed": {"csv": str(folder / "plain.csv")},
        "Parquet": {"parquet": str(folder / "t.parquet")},
        "Parquet, streamed": {"parquet": str(folder / "t.parquet")},
        "Parquet with a dictionary": {"parquet": str(folder / "coded.parquet")},
        "Arrow": {"arrow": str(folder / "t.arrow")},
    }
    if None not in cells:
        dtype = "datetime64[s]" if column.kind == "date" else None
        np.savez(folder / "t.npz", a=np.array(cells, dtype), y=np.arange(float(ROWS)))
        sources["NumPy"] = {"npz": str(folder / "t.npz")}
    return sources


def _cell(column: Column, chance: random.Random) -> Any:
    """A cell of the type that a column of this kind has where types are kept."""
    if column.kind == "numeric":
        return chance.choice([0.0, -1.5, 1e-300, 1 / 3, 2.0**70, chance.gauss(0, 1)])
    if column.kind == "boolean":
        return chance.random() < 0.5
    if column.kind == "date":
        days, minutes = chance.randrange(-9000, 30_000), chance.choice([0, 61])
        return datetime.datetime(1970, 1, 1) + datetime.timedelta(days, minutes=minutes)
    text = chance.choice(column.categories)
    if all(each.lstrip("-").isdigit() and str(int(each)) == each for each in column.categories):
        return int(text)
    if all(each.replace(".", "").isdigit() and each[0] != "0" for each in column.categories):
        return float(text)
    return text


def _text(cell: Any) -> str:
    return repr(cell) if isinstance(cell, float) else str(cell)


def _read(column: Column, source: Mapping[str, Any], stream: bool = False) -> Table:
    """The columns that are found and their raw matrix."""
    spec = Spec.model_validate({
        "name": "read", "seed": 1,
        "data": {"source": source, "target": "y", "columns": {"a": declared(column)},
                 "split": {"validation": 0.5}, "stream": stream},
        "model": {"layers": [{"units": 1}], "loss": "squared"},
        "sgd": {"learning_rate": 0.1, "batch_size": 1, "epochs": 1},
    })  # fmt: skip
    if not stream:
        return load_table(spec)
    ((_, table),) = TableOnDisk.open(spec).pieces()
    return table


def _difference(found: Table, expected: Table) -> str | None:
    if found.columns != expected.columns:
        return f"{_about(found.columns)}, not {_about(expected.columns)}"
    same = np.ascontiguousarray(found.x).tobytes() == np.ascontiguousarray(expected.x).tobytes()
    return None if same else f"{found.x[:, 0].tolist()}, not {expected.x[:, 0].tolist()}"


def _about(columns: Sequence[Column]) -> list[tuple[str, Sequence[str]]]:
    return [(column.kind, column.categories) for column in columns]
