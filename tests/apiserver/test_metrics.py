from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tiffin.apiserver.metrics import Requests


def test_what_was_counted_is_exposed() -> None:
    requests, registry = Requests(), CollectorRegistry()
    registry.register(requests)
    requests.count("get", "pods", 200, 0.001, False)
    requests.count("get", "pods", 200, 0.3, False)
    requests.count("get", "pods", 404, 99.0, False)
    requests.count("watch", "pods", 200, 5.0, True)
    requests.count("brew", "", 405, 0.01, False)
    samples = {(s.name, *sorted(s.labels.items())): s.value for family in text_string_to_metric_families(generate_latest(registry).decode()) for s in family.samples}
    total = "apiserver_request_total"
    assert samples[total, ("code", "200"), ("resource", "pods"), ("verb", "get")] == 2
    assert samples[total, ("code", "404"), ("resource", "pods"), ("verb", "get")] == 1
    assert samples[total, ("code", "405"), ("resource", ""), ("verb", "other")] == 1
    seconds = "apiserver_request_duration_seconds"
    bucket = {dict(key[1:])["le"]: value for key, value in samples.items() if key[0] == f"{seconds}_bucket" and ("verb", "get") in key}
    assert bucket == {"0.001": 1, "0.005": 1, "0.025": 1, "0.1": 1, "0.5": 2, "1.0": 2, "5.0": 2, "30.0": 2, "+Inf": 3}
    assert samples[f"{seconds}_count", ("verb", "get")] == 3 and samples[f"{seconds}_sum", ("verb", "get")] == 99.301
    assert (f"{seconds}_count", ("verb", "watch")) not in samples, "a watch takes as long as the client likes"
