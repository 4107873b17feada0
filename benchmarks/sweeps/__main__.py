"""Measures sweeps beside others and writes the page.

python -m benchmarks.sweeps [--seeds 10] [--write FILE]
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import Final

from benchmarks.report import machine
from benchmarks.sweeps import quality, speed

PAGE: Final = Path(__file__).parents[1] / "SWEEPS.md"
TEXT: Final = """# Sweeps beside others

Written by `make sweeps` on {day}. {machine}
## Trials a minute

The 64 trials of `configs/sweeps/flats.yaml`: 144 rows to train on, 200 epochs a trial at most, and
early stopping after 30 that are no better. scikit-learn's `MLPRegressor` gets the same rows, the
same space (its batch sizes, units, rates and momenta; not the schedule) and its own early stopping.
Each contender has a process of its own and no kernel that was compiled before, and is timed from
its start to its end: imports, workers, pictures and all. Ours writes the folder of every trial;
nobody records in MLflow. "best loss" is the mean squared error of the best trial on the same
validation rows, in the scaled units of the target.

{speed}
Of our time a second is spent on importing, one on starting workers, and one on pictures; a new
architecture takes 30 ms to compile, and a trial 20 ms to begin. On rows so few all of that counts,
and scikit-learn's epochs take less than a millisecond.

## The winner at equal epochs

Our TPE with halving by pauses beside Optuna's own TPE with its `SuccessiveHalvingPruner`, which
drives the same training in one process: {trials} trials of ours, rungs after 2, 6 and 18 of 54
epochs, five keys, `slots: 2`; then Optuna goes on with new trials until it has trained as many
epochs. {seeds} seeds of data split, first values and search. The validation loss of the winners,
and the difference with its standard error; "equal" is within one of it. The last column says which
part of the epochs ours trained that all trials whole would take.

{quality}"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--write", type=Path, default=PAGE)
    asked = parser.parse_args()
    text = TEXT.format(
        day=datetime.date.today(),
        machine=machine("compiled"),
        speed=speed.table(speed.measured()),
        trials=quality.TRIALS,
        seeds=asked.seeds,
        quality=quality.page(quality.measured(asked.seeds)),
    )
    asked.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
