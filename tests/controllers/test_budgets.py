"""Disruption budgets and resource quotas: what their status says."""
from __future__ import annotations

from typing import Any

import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import disruption, replicaset, resourcequota
from tiffin.controllers.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    LEASES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    SERVICES,
)
from tiffin.machinery.object import Object, Resource


def budget(**spec: Any) -> Object:
    return made(POD_DISRUPTION_BUDGETS, "b", spec={"selector": {"matchLabels": {"app": "web"}}, **spec})


def numbers(c: Cluster) -> tuple[int, ...]:
    status = c.one(POD_DISRUPTION_BUDGETS, "b")["status"]
    return tuple(status[name] for name in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"))


async def test_min_available_counts_the_pods_there_are() -> None:
    async with Cluster(disruption) as c:
        for name in "ab":
            await c.create(PODS, made(PODS, name, metadata={"labels": {"app": "web"}}))
        await c.create(POD_DISRUPTION_BUDGETS, budget(minAvailable=1))
        assert numbers(c) == (1, 2, 1, 2)
        await c.delete(PODS, "a")
        assert numbers(c) == (0, 1, 1, 1)
        (condition,) = c.one(POD_DISRUPTION_BUDGETS, "b")["status"]["conditions"]
        assert (condition["status"], condition["reason"], condition["observedGeneration"]) == ("False", "InsufficientPods", 1)


async def test_percentages_count_the_pods_there_should_be() -> None:
    async with Cluster(disruption, replicaset) as c:
        template = {"metadata": {"labels": {"app": "web"}}, "spec": {}}
        await c.create(REPLICA_SETS, made(REPLICA_SETS, "rs", spec={"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}))
        await c.create(POD_DISRUPTION_BUDGETS, budget(maxUnavailable="50%"))
        assert numbers(c) == (2, 3, 1, 3)
        await c.patch(POD_DISRUPTION_BUDGETS, "b", {"spec": {"maxUnavailable": 0}})
        assert numbers(c) == (0, 3, 3, 3)


async def test_bare_pods_cannot_be_counted() -> None:
    async with Cluster(disruption) as c:
        await c.create(PODS, made(PODS, "a", metadata={"labels": {"app": "web"}}))
        await c.create(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
        assert numbers(c) == (0, 1, 0, 0) and len(c.events("UnmanagedPods")) == 1


async def test_pods_let_go_count_for_two_minutes() -> None:
    async with Cluster(disruption) as c:
        await c.create(PODS, made(PODS, "a", metadata={"labels": {"app": "web"}}))
        await c.create(POD_DISRUPTION_BUDGETS, budget(minAvailable=0))
        await c.patch(POD_DISRUPTION_BUDGETS, "b", {"status": {"disruptedPods": {"a": "2026-01-01T00:00:00Z"}}}, subresource="status")
        assert numbers(c)[:2] == (0, 0)
        await c.clock.advance(121)
        assert numbers(c)[:2] == (1, 1) and "disruptedPods" not in c.one(POD_DISRUPTION_BUDGETS, "b")["status"]


def pod(name: str, cpu: str, memory: str) -> Object:
    resources = {"requests": {"cpu": cpu}, "limits": {"memory": memory}}
    return made(PODS, name, spec={"containers": [{"name": "c", "resources": resources}]}, status={"phase": "Pending"})


async def test_quota_counts_and_gives_back() -> None:
    async with Cluster(resourcequota, kubelet=False) as c:
        await c.create(PODS, pod("a", "400m", "512Mi"))
        await c.create(PODS, pod("b", "100m", "1Mi"))
        await c.create(LEASES, made(LEASES, "l", spec={}))
        await c.create(SERVICES, made(SERVICES, "s", spec={"type": "NodePort", "ports": [{"port": 80}]}))
        hard = {"pods": "2", "requests.cpu": "1", "limits.memory": "1Gi", "count/leases.coordination.k8s.io": "1", "services.nodeports": "2", "secrets": "9"}
        await c.create(RESOURCE_QUOTAS, made(RESOURCE_QUOTAS, "q", spec={"hard": hard}))
        status = c.one(RESOURCE_QUOTAS, "q")["status"]
        assert status["hard"] == hard and status["used"] == {
            "pods": "2", "requests.cpu": "500m", "limits.memory": "513Mi", "count/leases.coordination.k8s.io": "1", "services.nodeports": "1", "secrets": "0",
        }  # fmt: skip
        await c.delete(PODS, "a")
        assert c.one(RESOURCE_QUOTAS, "q")["status"]["used"]["limits.memory"] == "1Mi"
        await c.patch(PODS, "b", {"status": {"phase": "Succeeded"}}, subresource="status")
        assert c.one(RESOURCE_QUOTAS, "q")["status"]["used"]["pods"] == "0"
        await c.delete(LEASES, "l")
        assert c.one(RESOURCE_QUOTAS, "q")["status"]["used"]["count/leases.coordination.k8s.io"] == "0"


def owned(name: str, kind: str, version: str, owner: str = "o", uid: str = "u") -> Object:
    reference = {"apiVersion": version, "kind": kind, "name": owner, "uid": uid, "controller": True}
    return made(PODS, name, metadata={"labels": {"app": "web"}, "ownerReferences": [reference]})


@pytest.mark.parametrize(
    ("kind", "version", "error"),
    [
        ("Job", "batch/v1", "jobs.batch does not implement the scale subresource"),
        ("DaemonSet", "apps/v1", "daemonsets.apps does not implement the scale subresource"),
        ("ReplicaSet", "apps/v1", 'found no controllers for pod "a"'),
        ("Odd", "odd.io/v1", 'no matches for kind "Odd" in version "odd.io/v1"'),
    ],
)
async def test_owners_that_cannot_say_how_many_pods_they_want(kind: str, version: str, error: str) -> None:
    async with Cluster(disruption) as c:
        await c.create(PODS, owned("a", kind, version))
        await c.create(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
        (condition,) = c.one(POD_DISRUPTION_BUDGETS, "b")["status"]["conditions"]
        assert (condition["status"], condition["reason"], condition["message"]) == ("False", "SyncFailed", error)
        assert numbers(c) == (0, 0, 0, 0)
        assert c.events("CalculateExpectedPodCountFailed") == [f"Failed to calculate the number of expected pods: {error}"]


async def test_custom_owners_say_it_by_their_scale() -> None:
    scale = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    versions = [{"name": "v1", "served": True, "storage": True, "subresources": {"scale": scale}}]
    spec = {"group": "odd.io", "scope": "Namespaced", "names": {"plural": "odds", "kind": "Odd"}, "versions": versions}
    established = {"conditions": [{"type": "Established", "status": "True"}]}
    odds = Resource("odd.io", "v1", "odds")
    async with Cluster(disruption) as c:
        definition = made(CUSTOM_RESOURCE_DEFINITIONS, "odds.odd.io", "", spec=spec)
        c.client.put(CUSTOM_RESOURCE_DEFINITIONS, definition | {"status": established})
        c.client.put(odds, {"apiVersion": "odd.io/v1", "kind": "Odd", "metadata": {"name": "o", "namespace": "default", "uid": "u"}, "spec": {"size": 3}})
        await c.settle()
        for name in "abc":
            await c.create(PODS, owned(name, "Odd", "odd.io/v1"))
        await c.create(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
        assert numbers(c) == (1, 3, 2, 3)
