"""Sending metrics to the store beside the training."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from mlflow import MlflowClient

Point: TypeAlias = tuple[str, float, int, int]
"""A value of a metric as MLflow takes it: name, value, milliseconds since 1970, step."""

BATCH: Final = 1000  # a call of log_batch takes no more metrics
PAUSE_SECONDS: Final = 1.0
SHARE: Final = 0.05
PATIENCE_SECONDS: Final = 5.0


class Sender:
    """Sends points from a thread of its own, each exactly once, in their order.

    While training runs it takes no more than a twentieth of the time of a core, and a store
    that fails is tried again at the next turn; what waits by then is sent by `finish`. A batch
    whose reply was lost is sent twice, which the store takes as once.
    """

    def __init__(
        self,
        client: MlflowClient,
        run_id: str,
        known: Mapping[tuple[str, int], float] | None = None,
    ) -> None:
        """`known` are the points that the store has already: the last value by name and step."""
        self._known = known or {}
        self._client = client
        self._run_id = run_id
        self._failure = Exception("some points were not sent")
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._send_some, name="tracker", daemon=True)
        self._thread.start()
        self.unsent: list[Point] = []
        """The points that the store does not have yet."""

    def put(self, points: Sequence[Point], again: bool = False) -> None:
        """Takes points that the store does not have yet; never waits.

        With `again` also those that it has with another value.
        """
        self.unsent += [p for p in points if self._is_new(p, again)]

    def _is_new(self, point: Point, again: bool) -> bool:
        name, value, _, step = point
        known = self._known.get((name, step))
        return known is None or (again and known != value)

    def finish(self) -> None:
        """Sends what is left. Raises the store's error once it has failed for seconds."""
        self._ending.set()
        self._thread.join(PATIENCE_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError("it does not answer")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.unsent:
            if self._send():
                deadline = time.monotonic() + PATIENCE_SECONDS
            elif time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS / 4)
            else:
                raise self._failure

    def _send_some(self) -> None:
        """The thread: a batch at a time until the end, with pauses in between."""
        pause = PAUSE_SECONDS
        while not self._ending.wait(pause):
            began = time.thread_time()
            self._send()
            pause = max(PAUSE_SECONDS, (time.thread_time() - began) / SHARE)

    def _send(self) -> bool:
        """Sends one batch and tells whether the store took it."""
        from mlflow.entities import Metric

        batch = self.unsent[:BATCH]
        if not batch:
            return True
        metrics = [Metric(*point) for point in batch]
        try:
            self._client.log_batch(self._run_id, metrics=metrics, synchronous=True)
        except Exception as error:  # whatever MLflow, SQLAlchemy or requests raise
            self._failure = error
            return False
        del self.unsent[: len(batch)]
        return True
