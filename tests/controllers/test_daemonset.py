"""Daemon sets: one pod per node, replaced in place or beside each other, with a history."""
from __future__ import annotations

from typing import Any

import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import daemonset, nodefit
from tiffin.controllers.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from tiffin.machinery.object import Object, dig, name_of


def ds(version: str = "1", **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "ds", "v": version}}, "spec": {"containers": [{"name": "c"}], "nodeSelector": {"mine": "yes"}}}
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    return made(DAEMON_SETS, "ds", spec={"selector": {"matchLabels": {"app": "ds"}}, "template": template, "updateStrategy": rolling, **spec})


def template(version: str) -> Object:
    return {"spec": {"template": {"metadata": {"labels": {"v": version}}}}}


def node(name: str, **labels: str) -> Object:
    return made(NODES, name, namespace="", metadata={"labels": labels or {"mine": "yes"}}, spec={})


class Daemons(Cluster):
    """A cluster of two fitting nodes and one that does not fit."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(daemonset, **arguments)
        self.client.put(NODES, node("a"), node("b"), node("other", mine="no"))

    def status(self) -> tuple[int, ...]:
        fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable")
        return tuple(self.one(DAEMON_SETS, "ds")["status"].get(field, 0) for field in fields)

    def versions(self) -> dict[str, list[str]]:
        """Templates of the pods by the node they were made for."""
        found: dict[str, list[str]] = {}
        for pod in self.all(PODS):
            terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
            found.setdefault(terms[0]["matchFields"][0]["values"][0], []).append(pod["metadata"]["labels"]["v"])
        return found

    async def ready(self, *pods: str) -> None:
        for pod in pods:
            conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]
            await self.patch(PODS, pod, {"status": {"phase": "Running", "conditions": conditions}}, subresource="status")


async def test_one_pod_on_every_node_it_fits() -> None:
    async with Daemons(kubelet=False) as c:
        await c.create(DAEMON_SETS, ds())
        assert c.versions() == {"a": ["1"], "b": ["1"]} and c.status() == (2, 2, 0, 2, 0)
        await c.ready(*c.names(PODS))
        assert c.status() == (2, 2, 2, 2, 2)
        await c.create(NODES, node("c"))
        assert sorted(c.versions()) == ["a", "b", "c"]
        (revision,) = c.all(CONTROLLER_REVISIONS)
        assert revision["revision"] == 1 and revision["data"]["spec"]["template"]["$patch"] == "replace"


async def test_taints() -> None:
    async with Daemons(kubelet=False) as c:
        await c.create(DAEMON_SETS, ds())
        await c.patch(NODES, "a", {"spec": {"taints": [{"key": "out", "effect": "NoSchedule"}]}}, namespace="")
        assert sorted(c.versions()) == ["a", "b"]
        await c.patch(NODES, "a", {"spec": {"taints": [{"key": "out", "effect": "NoExecute"}]}}, namespace="")
        assert sorted(c.versions()) == ["b"] and c.status()[0] == 1


async def test_rolls_one_node_after_the_other() -> None:
    async with Daemons(kubelet=False) as c:
        await c.create(DAEMON_SETS, ds())
        await c.ready(*c.names(PODS))
        await c.patch(DAEMON_SETS, "ds", template("2"))
        assert sorted(c.versions().values()) == [["1"], ["2"]]
        await c.ready(*c.names(PODS))
        assert list(c.versions().values()) == [["2"], ["2"]]
        await c.patch(DAEMON_SETS, "ds", template("1"))
        revisions = {dig(r, "metadata", "labels", "v"): r["revision"] for r in c.all(CONTROLLER_REVISIONS)}
        assert revisions == {"1": 3, "2": 2}


async def test_surge_keeps_the_old_pod_until_the_new_one_is_ready() -> None:
    async with Daemons(kubelet=False) as c:
        await c.create(DAEMON_SETS, ds(updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}))
        await c.ready(*c.names(PODS))
        old = set(c.names(PODS))
        await c.patch(DAEMON_SETS, "ds", template("2"))
        assert sorted(map(sorted, c.versions().values())) == [["1"], ["1", "2"]]
        await c.ready(*(set(c.names(PODS)) - old))
        assert sorted(map(sorted, c.versions().values())) == [["1", "2"], ["2"]]


async def test_on_delete_leaves_it_to_others() -> None:
    async with Daemons(kubelet=False) as c:
        await c.create(DAEMON_SETS, ds(updateStrategy={"type": "OnDelete"}))
        await c.patch(DAEMON_SETS, "ds", template("2"))
        assert list(c.versions().values()) == [["1"], ["1"]] and c.status()[3] == 0
        await c.delete(PODS, c.names(PODS)[0])
        assert sorted(c.versions().values()) == [["1"], ["2"]]


async def test_a_failed_pod_is_replaced() -> None:
    async with Daemons(kubelet=False) as c:
        await c.create(DAEMON_SETS, ds())
        failed = c.names(PODS)[0]
        await c.patch(PODS, failed, {"status": {"phase": "Failed"}}, subresource="status")
        assert failed not in c.names(PODS) and len(c.names(PODS)) == 2 and len(c.events("FailedDaemonPod")) == 1


async def test_history_limit() -> None:
    async with Daemons(kubelet=False) as c:
        await c.create(DAEMON_SETS, ds(revisionHistoryLimit=1))
        for version in "234":
            await c.patch(DAEMON_SETS, "ds", template(version))
            for _ in range(2):
                await c.ready(*c.names(PODS))
        assert sorted(dig(r, "metadata", "labels", "v") for r in c.all(CONTROLLER_REVISIONS)) == ["3", "4"]


LABELLED = made(NODES, "n", namespace="", metadata={"labels": {"zone": "z1", "size": "8"}})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({"key": "zone", "operator": "In", "values": ["z1"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["z1"]}, False),
        ({"key": "gone", "operator": "NotIn", "values": ["z1"]}, True),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "zone", "operator": "DoesNotExist"}, False),
        ({"key": "size", "operator": "Gt", "values": ["7"]}, True),
        ({"key": "size", "operator": "Lt", "values": ["8"]}, False),
        ({"key": "zone", "operator": "Gt", "values": ["7"]}, False),
    ],
)
def test_node_affinity(expression: Object, expected: bool) -> None:
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    spec = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}
    assert nodefit.matches_node(spec, LABELLED) is expected and name_of(LABELLED) == "n"
