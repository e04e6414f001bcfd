"""Whom the server answers."""
from __future__ import annotations

import pytest

from tests.dns.cluster import Cluster
from tiffin.dns.sources import REMEMBERED, Sources


def node(name: str, *ranges: str) -> dict:
    return {"metadata": {"name": name, "resourceVersion": "1"}, "spec": {"podCIDRs": list(ranges)}}


@pytest.mark.parametrize(("source", "allowed"), [
    ("10.244.0.7", True), ("fd00:244::7", True), ("10.244.1.7", False), ("10.199.0.2", True), ("10.199.0.3", False), ("10.199.0.1", False),
    ("10.96.0.10", True), ("127.0.0.1", True), ("::1", True), ("192.0.2.1", False), ("fe80::1%eth0", False),
])
def test_pods_of_this_node_and_the_node(source: str, allowed: bool) -> None:
    cluster = Cluster()
    sources = Sources(cluster.caches, "n1", ("10.199.0.2", "10.96.0.10"))
    assert not sources.allowed("10.244.0.7")
    cluster.put(node("n1", "10.244.0.0/24", "fd00:244::/64"))
    cluster.put(node("n2", "10.244.1.0/24"))
    assert sources.allowed(source) is allowed


def test_what_is_remembered_is_bounded() -> None:
    sources = Sources(Cluster().caches, "n1", ())
    for n in range(2 * REMEMBERED + 10):
        sources.allowed(f"198.51.{n // 250 % 250}.{n % 250}")
    assert len(sources._known) <= REMEMBERED
