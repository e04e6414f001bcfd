"""Which endpoint of a Service the server dials."""
from __future__ import annotations

from typing import Any

import pytest

from tiffin.apiserver.nodes import NODES, SIMULATED
from tiffin.apiserver.ports import MemoryReader
from tiffin.apiserver.servicedial import SERVICES, SLICES, Endpoint, ServiceDialer
from tiffin.machinery.errors import ApiError


def dialer(address: str = "10.244.1.2", ready: bool = True, node: str = "real", **service: Any) -> ServiceDialer:
    reader = MemoryReader()
    ports = [{"name": "a", "port": 443}, {"name": "b", "port": 80}]
    reader.put(SERVICES, {"metadata": {"namespace": "n", "name": "s"}, "spec": {"ports": ports, **service}})
    endpoint = {"addresses": [address], "conditions": {"ready": ready}, "nodeName": node}
    reader.put(SLICES, {
        "metadata": {"namespace": "n", "name": "s-1", "labels": {"kubernetes.io/service-name": "s"}}, "addressType": "IPv4",
        "ports": [{"name": "a", "port": 8443}, {"name": "b", "port": 8080}], "endpoints": [endpoint]})
    reader.put(NODES, {"metadata": {"name": "made-up", "labels": {SIMULATED: "true"}}})
    return ServiceDialer(reader)


def test_the_target_port_of_a_ready_endpoint() -> None:
    assert dialer().resolve("n", "s", 443) == Endpoint("10.244.1.2", 8443)
    assert dialer().resolve("n", "s", 80) == Endpoint("10.244.1.2", 8080)


@pytest.mark.parametrize(("found", "namespace", "port", "message"), [
    (dialer(), "other", 443, 'service "s" not found'),
    (dialer(), "n", 1, 'no service port 1 found for service "s"'),
    (dialer(ready=False), "n", 443, 'no endpoints available for service "s"'),
    (dialer(node="made-up"), "n", 443, 'no endpoints available for service "s"'),
    (dialer(address="127.0.0.1"), "n", 443, "address not allowed"),
    (dialer(address="169.254.169.254"), "n", 443, "address not allowed"),
    (dialer(address="::ffff:127.0.0.1"), "n", 443, "address not allowed"),
    (dialer(type="ExternalName"), "n", 443, 'unsupported service type "ExternalName"'),
])
def test_what_is_not_dialled(found: ServiceDialer, namespace: str, port: int, message: str) -> None:
    with pytest.raises(ApiError, match=message):
        found.resolve(namespace, "s", port)
