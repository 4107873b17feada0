"""A program by itself: from CSV to CSV, with the numbers of its model inside."""

from __future__ import annotations

import base64
import csv
import sys
from io import TextIOWrapper

from trainer.export.runtime.bodies import read_csv
from trainer.export.runtime.facts import DELIMITER, WEIGHTS
from trainer.export.runtime.rows import arrays, predict

P = arrays(base64.b64decode(WEIGHTS))


def main() -> None:
    """Predicts the rows of the CSV file that is named, or of standard input; writes CSV."""
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", newline="")
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="utf-8-sig", newline="") as file:
            found = predict(read_csv(file), P)
    else:
        found = predict(read_csv(sys.stdin), P)
    out = csv.writer(sys.stdout, delimiter=DELIMITER, lineterminator="\n")
    out.writerow(found)
    out.writerows(zip(*found.values(), strict=True))


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, csv.Error) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
