"""What the API server counts. Label values come from fixed sets, never from what a client sends (attack 10)."""
from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
REQUESTS = Counter("apiserver_request_total", "Requests by verb, resource and HTTP code", ["verb", "resource", "code"], registry=REGISTRY)
SECONDS = Histogram(
    "apiserver_request_duration_seconds", "Time to the end of the answer, watches and streams left out", ["verb"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 30), registry=REGISTRY)
INFLIGHT = Gauge("apiserver_current_inflight_requests", "Requests being answered", ["request_kind"], registry=REGISTRY)
OBJECTS = Gauge("apiserver_storage_objects", "Stored objects by resource", ["resource"], registry=REGISTRY)
KNOWN_VERBS = frozenset(("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "post", "put", "head", "options"))

_children: dict[tuple[str, str, int], Counter] = {}


def count(verb: str, resource: str, code: int, seconds: float, long_running: bool) -> None:
    """Notes one answered request; `resource` must be the name of a served resource or ""."""
    verb = verb if verb in KNOWN_VERBS else "other"
    key = (verb, resource, code)
    child = _children.get(key)
    if child is None:
        child = _children[key] = REQUESTS.labels(verb, resource, str(code))
    child.inc()
    if not long_running:
        SECONDS.labels(verb).observe(seconds)


def exposition() -> bytes:
    """The text format of /metrics."""
    return generate_latest(REGISTRY)
