"""What the API server counts. Label values come from fixed sets, never from what a client sends (attack 10).

Every request is counted, so counting is two additions to plain numbers; the client library sees them only when somebody asks.
"""
from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

KNOWN_VERBS = frozenset(("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "post", "put", "head", "options"))
BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)
"""Upper bounds in seconds."""


class Requests(Collector):
    """Answered requests by verb, resource and code, and how long they took by verb."""

    def __init__(self) -> None:
        self._answered: dict[tuple[str, str, int], int] = {}
        self._durations: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def count(self, verb: str, resource: str, code: int, seconds: float, long_running: bool) -> None:
        """Notes one answered request; `resource` must be the name of a served resource or ""."""
        if verb not in KNOWN_VERBS:
            verb = "other"
        key = (verb, resource, code)
        self._answered[key] = self._answered.get(key, 0) + 1
        if not long_running:
            durations = self._durations.get(verb)
            if durations is None:
                durations = self._durations[verb] = [0] * (len(BUCKETS) + 1)
            durations[bisect_left(BUCKETS, seconds)] += 1
            self._seconds[verb] = self._seconds.get(verb, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        """The families of the exposition."""
        answered = CounterMetricFamily("apiserver_request_total", "Requests by verb, resource and HTTP code", labels=("verb", "resource", "code"))
        for (verb, resource, code), number in self._answered.items():
            answered.add_metric((verb, resource, str(code)), number)
        yield answered
        took = HistogramMetricFamily("apiserver_request_duration_seconds", "Time to the end of the answer, watches and streams left out", labels=("verb",))
        bounds = [*map(str, BUCKETS), "+Inf"]
        for verb, durations in self._durations.items():
            took.add_metric((verb,), list(zip(bounds, map(float, accumulate(durations)))), self._seconds[verb])
        yield took


REQUESTS = Requests()
REGISTRY = CollectorRegistry()
REGISTRY.register(REQUESTS)
count = REQUESTS.count


def exposition(*others: Collector) -> bytes:
    """The text format of /metrics, with what collectors of one server add."""
    own = CollectorRegistry()
    for other in others:
        own.register(other)
    return generate_latest(REGISTRY) + generate_latest(own)
