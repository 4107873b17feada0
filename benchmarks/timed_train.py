"""The command `train`, telling how long its parts took.

    python -m benchmarks.timed_train BEGAN PARTS ARGUMENT…

BEGAN is the value of `time.monotonic()` when the process was started; PARTS is the JSON file to
write: seconds by part. Time that nothing below claims counts as `rest`.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Clock:
    """Adds up the time of each part. While an inner part runs, the outer one stands still."""

    def __init__(self, part: str, began: float) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._part, self._since = part, began

    def switch(self, part: str) -> str:
        """Begins another part; returns the one before."""
        now = time.monotonic()
        self.seconds[self._part] += now - self._since
        before, self._part, self._since = self._part, part, now
        return before

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Gives the time of a block to a part."""
        before = self.switch(name)
        try:
            yield
        finally:
            self.switch(before)

    def wrap(self, owner: Any, name: str, part: str, calls: float = float("inf")) -> None:
        """Gives the time of a function's first calls to a part."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls -= 1
            if calls < 0:
                return function(*arguments, **named)
            with self.part(part):
                return function(*arguments, **named)

        setattr(owner, name, timed)


def watch(clock: Clock) -> None:
    """Has the parts of the command timed."""
    from trainer.runs import train as run
    from trainer.tracking import tracker

    make_job, run_job = vars(run)["make_job"], vars(run)["run_job"]

    def make(*arguments: Any, **named: Any) -> Any:
        job = make_job(*arguments, **named)
        clock.wrap(job.engine, "prepare", "compile")
        return job

    def train(*arguments: Any, **named: Any) -> Iterator[Any]:
        events = run_job(*arguments, **named)
        while True:
            with clock.part("train"):
                event = next(events, None)
            if event is None:
                return
            yield event

    vars(run).update(make_job=make, run_job=train)
    clock.wrap(run, "load_dataset", "data")
    clock.wrap(run, "build_graph", "compile")
    clock.wrap(run, "make_job", "compile")
    for method in ("start", "on", "close"):
        clock.wrap(tracker.MlflowTracker, method, "log")
    clock.wrap(tracker, "import_mlflow", "import")  # what is left of it after compiling


def main() -> None:
    began, parts, *arguments = sys.argv[1:]
    clock = Clock("import", float(began))
    from trainer.cli import main as train

    watch(clock)
    clock.switch("rest")
    try:
        train(arguments)
    finally:
        clock.switch("rest")
        Path(parts).write_text(json.dumps(clock.seconds))


if __name__ == "__main__":
    main()
