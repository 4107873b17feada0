"""A program by itself: from CSV to CSV, with the numbers of its model inside."""

from __future__ import annotations

import base64
import csv
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper

from trainer.export.runtime.facts import DELIMITER, FEATURES, WEIGHTS
from trainer.export.runtime.rows import arrays, predict

P = arrays(base64.b64decode(WEIGHTS))


def read(file: Iterable[str]) -> dict[str, Sequence[str]]:
    """The columns of a CSV file with a header, by name."""
    header, *rows = [row for row in csv.reader(file, delimiter=DELIMITER) if row] or [[]]
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(f"row {i}: expected {len(header)} cells, found {len(row)}")
    twice = [name for name in FEATURES if header.count(name) > 1]
    if twice:
        raise ValueError(f"columns that stand twice: {', '.join(twice)}")
    columns = zip(*rows, strict=True) if rows else [[] for _ in header]
    return dict(zip(header, columns, strict=True))


def main() -> None:
    """Predicts the rows of the CSV file that is named, or of standard input; writes CSV."""
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", newline="")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="utf-8-sig", newline="") as file:
            found = predict(read(file), P)
    else:
        found = predict(read(sys.stdin), P)
    out = csv.writer(sys.stdout, delimiter=DELIMITER, lineterminator="\n")
    out.writerow(found)
    out.writerows(zip(*found.values(), strict=True))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, csv.Error) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
