"""Silent nodes, their taints, the pods on them, and their pod ranges."""
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import nodeipam, nodelifecycle, podgc, tainteviction
from tiffin.controllers.config import Config
from tiffin.controllers.resources import LEASES, NODES, PODS
from tiffin.machinery.object import Object, dig
from tiffin.machinery.timestamps import format_micro

START = datetime(2026, 1, 1, tzinfo=UTC)


def node(name: str = "n", ready: str = "True", **spec: Any) -> Object:
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": "2020-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z"}]
    labels = {"kubernetes.io/os": "linux"}
    return made(NODES, name, namespace="", metadata={"labels": labels}, spec=spec, status={"conditions": conditions if ready else []})


def pod(name: str, on: str = "n", **spec: Any) -> Object:
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    spec = {"terminationGracePeriodSeconds": 0} | ({"nodeName": on} if on else {}) | spec
    return made(PODS, name, spec=spec, status={"phase": "Running", "conditions": conditions})


def taints(c: Cluster, name: str = "n") -> list[tuple[str, str]]:
    found = dig(c.one(NODES, name, namespace=""), "spec", "taints", default=[])
    return [(t["key"].removeprefix("node.kubernetes.io/"), t["effect"]) for t in found]


def ready(c: Cluster, name: str = "n") -> tuple[str, str]:
    (condition,) = [x for x in c.one(NODES, name, namespace="")["status"]["conditions"] if x["type"] == "Ready"]
    return condition["status"], condition.get("reason", "")


async def renewed(c: Cluster, name: str, seconds: float) -> None:
    """Time passes while the node renews its lease."""
    for _ in range(int(seconds / 10)):
        await c.client.patch(LEASES, "kube-node-lease", name, {"spec": {"renewTime": format_micro(c.clock.now())}})
        await c.clock.advance(10)


async def test_a_silent_node_becomes_unknown_and_drives_its_pods_off_and_returns() -> None:
    async with Cluster(nodelifecycle, tainteviction, kubelet=False) as c:
        c.client.put(LEASES, made(LEASES, "a", namespace="kube-node-lease", spec={}))
        await c.create(NODES, node())
        await c.create(NODES, node("a"))
        await c.create(PODS, pod("p", tolerations=[{"key": "node.kubernetes.io/unreachable", "operator": "Exists", "tolerationSeconds": 300}]))
        await renewed(c, "a", 40)
        assert ready(c) == ("True", "") and taints(c) == []
        await renewed(c, "a", 20)
        assert ready(c) == ("Unknown", "NodeStatusUnknown") and ready(c, "a")[0] == "True"
        assert taints(c) == [("unreachable", "NoSchedule"), ("unreachable", "NoExecute")]
        assert c.one(PODS, "p")["status"]["conditions"][0]["status"] == "False"
        assert c.one(NODES, "n", namespace="")["metadata"]["labels"]["beta.kubernetes.io/os"] == "linux"
        await renewed(c, "a", 280)
        assert c.names(PODS) == ["p"]
        await renewed(c, "a", 30)
        assert c.names(PODS) == [] and c.events("TaintManagerEviction") == ["Marking for deletion Pod default/p"]
        await c.patch(NODES, "n", node()["status"] and {"status": node()["status"]}, namespace="", subresource="status")
        await c.patch(NODES, "n", {"status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "now"}]}}, namespace="", subresource="status")
        assert taints(c) == []


async def test_nobody_is_driven_off_when_every_node_is_silent() -> None:
    async with Cluster(nodelifecycle, tainteviction, kubelet=False) as c:
        await c.create(NODES, node())
        await c.create(PODS, pod("p"))
        await c.clock.advance(600)
        assert taints(c) == [("unreachable", "NoSchedule")] and c.names(PODS) == ["p"]


async def test_a_node_that_never_reported_gets_a_minute() -> None:
    async with Cluster(nodelifecycle, kubelet=False) as c:
        await c.create(NODES, node(ready=""))
        await c.clock.advance(50)
        assert dig(c.one(NODES, "n", namespace=""), "status", "conditions") == []
        await c.clock.advance(15)
        assert ready(c) == ("Unknown", "NodeStatusNeverUpdated")


async def test_conditions_become_taints_and_other_taints_stay() -> None:
    async with Cluster(nodelifecycle, kubelet=False) as c:
        await c.create(NODES, node(taints=[{"key": "mine", "effect": "NoExecute"}], unschedulable=True))
        assert taints(c) == [("mine", "NoExecute"), ("unschedulable", "NoSchedule")]
        conditions = [*node()["status"]["conditions"], {"type": "MemoryPressure", "status": "True"}]
        await c.patch(NODES, "n", {"status": {"conditions": conditions}}, namespace="", subresource="status")
        await c.patch(NODES, "n", {"spec": {"unschedulable": None}}, namespace="")
        assert taints(c) == [("mine", "NoExecute"), ("memory-pressure", "NoSchedule")]


async def test_no_execute_taints() -> None:
    async with Cluster(tainteviction, kubelet=False) as c:
        await c.create(NODES, node())
        out = {"key": "out", "operator": "Exists", "effect": "NoExecute"}
        await c.create(PODS, pod("go", terminationGracePeriodSeconds=300))
        await c.create(PODS, pod("stay", tolerations=[out]))
        await c.create(PODS, pod("later", tolerations=[out | {"tolerationSeconds": 5}]))
        await c.patch(NODES, "n", {"spec": {"taints": [{"key": "out", "effect": "NoExecute"}]}}, namespace="")
        gone = c.one(PODS, "go")
        assert gone["metadata"]["deletionTimestamp"] and gone["status"]["conditions"][-1] | {"lastTransitionTime": ""} == {
            "type": "DisruptionTarget", "observedGeneration": 1, "status": "True", "lastProbeTime": None, "lastTransitionTime": "",
            "reason": "DeletionByTaintManager", "message": "Taint manager: deleting due to NoExecute taint",
        }  # fmt: skip
        assert c.names(PODS) == ["go", "later", "stay"]
        await c.clock.advance(5)
        assert c.names(PODS) == ["go", "stay"]


async def test_an_eviction_that_comes_no_more_is_told() -> None:
    async with Cluster(tainteviction, kubelet=False) as c:
        await c.create(NODES, node())
        out = {"key": "out", "operator": "Exists", "effect": "NoExecute"}
        for name in "ab":
            await c.create(PODS, pod(name, tolerations=[out | {"tolerationSeconds": 60}]))
        await c.create(PODS, pod("stay", tolerations=[out]))
        await c.patch(NODES, "n", {"spec": {"taints": [{"key": "out", "effect": "NoExecute"}]}}, namespace="")
        await c.client.delete(PODS, "default", "a", grace_period=0)
        await c.settle()
        assert c.events() == ["Cancelling deletion of Pod default/a"]
        await c.patch(NODES, "n", {"spec": {"taints": None}}, namespace="")
        assert c.events() == ["Cancelling deletion of Pod default/a", "Cancelling deletion of Pod default/b"]
        await c.clock.advance(120)
        assert c.names(PODS) == ["b", "stay"]


TAINT = {"key": "k", "value": "v", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "value": "v", "effect": "NoSchedule"}, False),
        ({"key": "j", "operator": "Exists"}, False),
        ({"value": "v"}, False),
    ],
)
def test_tolerations(toleration: Object, expected: bool) -> None:
    assert tainteviction.tolerates(toleration, TAINT) is expected


async def test_pods_of_a_node_that_is_gone() -> None:
    async with Cluster(podgc, kubelet=False) as c:
        await c.create(NODES, node())
        await c.create(PODS, pod("a", finalizers=[]))
        await c.create(PODS, pod("ghost", on="never"))
        await c.create(PODS, pod("b"))
        await c.delete(NODES, "n", namespace="")
        await c.clock.advance(30)
        assert c.names(PODS) == ["a", "b", "ghost"]
        await c.patch(PODS, "b", {"metadata": {"finalizers": ["test/hold"]}})
        await c.clock.advance(20)
        assert c.names(PODS) == ["b"]
        left = c.one(PODS, "b")
        assert left["status"]["phase"] == "Failed" and left["status"]["conditions"][-1]["message"] == "PodGC: node no longer exists"


async def test_a_node_that_comes_back_keeps_its_pods() -> None:
    async with Cluster(podgc, kubelet=False) as c:
        await c.create(NODES, node())
        await c.create(PODS, pod("a"))
        await c.delete(NODES, "n", namespace="")
        await c.clock.advance(30)
        await c.create(NODES, node())
        await c.clock.advance(60)
        assert c.names(PODS) == ["a"]


async def test_deleted_pods_without_a_node_fail() -> None:
    async with Cluster(podgc, kubelet=False) as c:
        c.client.put(PODS, made(PODS, "held", metadata={"finalizers": ["test/hold"]}, status={"phase": "Pending"}))
        await c.delete(PODS, "held")
        await c.clock.advance(25)
        assert c.one(PODS, "held")["status"]["phase"] == "Failed"


async def test_finished_pods_beyond_the_threshold() -> None:
    async with Cluster(podgc, config=Config(terminated_pod_threshold=2), kubelet=False) as c:
        await c.create(NODES, node())
        for n in range(4):
            created = f"2026-01-01T00:00:0{n}Z"
            await c.create(PODS, pod(f"p{n}") | {"status": {"phase": "Succeeded"}, "metadata": {"name": f"p{n}", "namespace": "default", "creationTimestamp": created}})
        await c.clock.advance(25)
        assert c.names(PODS) == ["p2", "p3"]


async def test_ranges_are_unique_and_returned() -> None:
    config = Config(cluster_cidr="10.244.0.0/16")
    async with Cluster(nodeipam, config=config, kubelet=False) as c:
        await c.create(NODES, node("fixed", podCIDR="10.244.1.0/24", podCIDRs=["10.244.1.0/24"]))
        for name in "abc":
            await c.client.create(NODES, "", node(name))
        await c.settle()
        assert sorted(dig(n, "spec", "podCIDR") for n in c.all(NODES)) == [f"10.244.{n}.0/24" for n in range(4)]
        assert all(n["spec"]["podCIDRs"] == [n["spec"]["podCIDR"]] for n in c.all(NODES))


async def test_a_full_range_is_told_and_served_when_room_comes() -> None:
    async with Cluster(nodeipam, config=Config(cluster_cidr="10.244.0.0/23"), kubelet=False) as c:
        for name in "abc":
            await c.create(NODES, node(name))
        assert c.events("CIDRNotAvailable") == ["Node c status is now: CIDRNotAvailable"]
        await c.delete(NODES, "a", namespace="")
        assert dig(c.one(NODES, "c", namespace=""), "spec", "podCIDR") == "10.244.0.0/24"


async def test_nodes_that_come_and_go_are_told() -> None:
    async with Cluster(nodelifecycle) as c:
        await c.create(NODES, made(NODES, "m", ""))
        assert c.events("RegisteredNode") == ["Node m event: Registered Node m in Controller"]
        await c.patch(NODES, "m", {"metadata": {"labels": {"a": "b"}}}, namespace="")
        await c.delete(NODES, "m", namespace="")
        assert c.events("RemovingNode") == ["Node m event: Removing Node m from Controller"] and len(c.events("RegisteredNode")) == 1
