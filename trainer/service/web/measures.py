"""What Prometheus is told: requests as they were answered, jobs and workers as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from trainer.service.desk import Desk
from trainer.service.states import STATES
from trainer.service.store import JobFilter

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds of the histogram of answers."""
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


class Measures:
    """A registry of the service's own. `unsent` tells how many runs MLflow does not have whole."""

    def __init__(self, desk: Desk, unsent: Callable[[], int] | None = None) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "trainer_requests", "Answers, by route.", ["method", "route", "status"],
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "trainer_request_seconds", "Time until an answer was whole, by route; of streams none.",
            ["method", "route"], buckets=BOUNDS, registry=self.registry,
        )  # fmt: skip
        self.streams = Gauge("trainer_streams", "Streams that are open.", registry=self.registry)
        self.registry.register(_Now(desk, unsent))

    def request(self, scope: Any, status: int, seconds: float) -> None:
        """Counts an answer; one that no route gave is of the route `none`."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        if not route.endswith("/events"):
            self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


_METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


class _Now(Collector):
    """What is looked up when it is asked for."""

    def __init__(self, desk: Desk, unsent: Callable[[], int] | None) -> None:
        self._desk, self._unsent = desk, unsent

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts = self._desk.store.counts(None)
        jobs = GaugeMetricFamily("trainer_jobs", "Jobs, by state.", labels=["state"])
        for state in STATES:
            jobs.add_metric([state], counts.get(state, 0))
        yield jobs
        workers = GaugeMetricFamily("trainer_workers", "Workers, by state.", labels=["state"])
        states = [str(each["state"]) for each in self._desk.work.workers()]
        for each in sorted({"idle", "busy", "starting", *states}):
            workers.add_metric([each], states.count(each))
        yield workers
        age = "Seconds since the oldest queued job came."
        yield GaugeMetricFamily("trainer_queue_age_seconds", age, value=self._age())
        draining = float(self._desk.work.draining)
        yield GaugeMetricFamily("trainer_draining", "1 if nothing new is begun.", value=draining)
        if self._unsent is not None:
            unsent = "Runs that MLflow does not have whole."
            yield GaugeMetricFamily("trainer_runs_unsent", unsent, value=self._unsent())

    def _age(self) -> float:
        page = self._desk.store.jobs(JobFilter(states=("queued",)), "number", 1)
        return max(0.0, self._desk.clock() - page.items[0].created) if page.items else 0.0
