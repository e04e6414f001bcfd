"""Which pods leave a drained node, who is asked, and what is said when they do not go."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tiffin.client.memory import MemoryClient
from tiffin.cluster.drain import Fate, NotDrained, drain, fate
from tiffin.cluster.leaving import LEASE_NAMESPACE, LEASES, PODS, remove_objects
from tiffin.cluster.nodes_ready import NODES
from tiffin.machinery import errors
from tiffin.machinery.object import Object, Resource, name_of, uid_of
from tiffin.runtime.clock import FakeClock


def pod(name: str, node: str = "a", owner: str = "ReplicaSet", phase: str = "Running", **annotations: str) -> Object:
    owners = [{"apiVersion": "apps/v1", "kind": owner, "name": "o", "uid": "o", "controller": True}] if owner else []
    metadata = {"name": name, "namespace": "default", "ownerReferences": owners, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node}, "status": {"phase": phase}}


class Server(MemoryClient):
    """Evicts what no budget of its protects; `patience` refusals are given first."""

    def __init__(self, patience: int = 0) -> None:
        super().__init__(FakeClock().now)
        self.refusals, self.evicted = patience, list[str]()

    async def create(self, resource: Resource, namespace: str, obj: Object, *, name: str = "", subresource: str = "") -> Object:
        if subresource != "eviction":
            return await super().create(resource, namespace, obj, name=name, subresource=subresource)
        there = await self.get(PODS, namespace, name)
        assert obj["deleteOptions"]["preconditions"]["uid"] == uid_of(there)
        if self.refusals:
            self.refusals -= 1
            raise errors.ApiError(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")
        self.evicted.append(name)
        await self.delete(PODS, namespace, name, grace_period=0)
        return {}


async def cluster(*pods: Object, patience: int = 0) -> Server:
    server = Server(patience)
    for name in ("a", "b"):
        await server.create(NODES, "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {}})
        await server.create(LEASES, LEASE_NAMESPACE, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}})
    for each in pods:
        await server.create(PODS, "default", each)
    return server


@pytest.mark.parametrize(
    "what, expected",
    [
        (pod("p"), Fate.MOVES),
        (pod("p", owner=""), Fate.LOST),
        (pod("p", owner="", phase="Succeeded"), Fate.MOVES),
        (pod("p", owner="DaemonSet"), Fate.STAYS),
        (pod("p", owner="", **{"kubernetes.io/config.mirror": "x"}), Fate.STAYS),
    ],
)
def test_fates(what: Object, expected: Fate) -> None:
    assert fate(what) is expected


async def test_a_drained_node_is_cordoned_and_keeps_only_its_own() -> None:
    server = await cluster(pod("one"), pod("own", owner="DaemonSet"), pod("other", node="b"))
    assert await drain(server, "a", 5, force=False) == 1
    assert server.evicted == ["one"]
    assert (await server.get(NODES, "", "a"))["spec"]["unschedulable"] is True


async def test_pods_without_a_controller_are_lost_only_by_force() -> None:
    server = await cluster(pod("one"), pod("lone", owner=""))
    with pytest.raises(NotDrained, match="no controller and would be lost: default/lone"):
        await drain(server, "a", 5, force=False)
    assert server.evicted == []
    assert await drain(server, "a", 5, force=True) == 2


async def test_a_budget_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.cluster.drain.RETRY", 0.0)
    server = await cluster(pod("one"), patience=3)
    assert await drain(server, "a", 0, force=False) == 1


async def test_what_a_budget_holds_is_named_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.cluster.drain.RETRY", 0.0)
    server = await cluster(pod("one"), patience=10**9)
    with pytest.raises(NotDrained, match=r"still there after 0.05 s: default/one\n    default/one: Cannot evict pod"):
        await drain(server, "a", 0.05, force=False)


async def test_a_forgotten_node_leaves_no_objects() -> None:
    server = await cluster(pod("one"), pod("own", owner="DaemonSet"), pod("other", node="b"))
    await asyncio.gather(remove_objects(server, ["a", "never-there"]))

    def left(resource: Resource) -> list[Any]:
        return [name_of(obj) for obj in server.objects(resource)]

    assert (left(NODES), left(PODS), left(LEASES)) == (["b"], ["other"], ["b"])
