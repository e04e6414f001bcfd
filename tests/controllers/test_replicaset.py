"""Replica sets and replication controllers: adoption, ranking, batches, failures."""
from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import pods as p
from tiffin.controllers import replicaset, replicationcontroller
from tiffin.controllers.config import Config
from tiffin.controllers.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from tiffin.machinery.errors import forbidden
from tiffin.machinery.object import Key, Object, name_of
from tiffin.runtime.controller import Create, Together
from tiffin.runtime.snapshot import run_table

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def rs(replicas: int = 2, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "rs"}}, "spec": {"containers": []}}
    return made(REPLICA_SETS, "rs", spec={"replicas": replicas, "selector": {"matchLabels": {"app": "rs"}}, "template": template, **spec}, metadata={"uid": "u"})


def pod(name: str, **metadata: Any) -> Object:
    return made(PODS, name, metadata={"uid": name, "labels": {"app": "rs"}, **metadata})


async def test_adopts_what_matches_and_leaves_what_has_another_controller() -> None:
    async with Cluster(replicaset) as c:
        await c.create(PODS, pod("bare"))
        await c.create(PODS, pod("owned", ownerReferences=[{"kind": "ConfigMap", "name": "boss", "uid": "x", "controller": True}]))
        await c.create(REPLICA_SETS, rs(1))
        assert c.names(PODS) == ["bare", "owned"]
        assert c.one(PODS, "bare")["metadata"]["ownerReferences"] == [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "u", "controller": True, "blockOwnerDeletion": True}
        ]
        assert c.one(REPLICA_SETS, "rs")["status"]["replicas"] == 1


async def test_says_what_it_makes_and_deletes() -> None:
    async with Cluster(replicaset) as c:
        await c.create(REPLICA_SETS, rs(1))
        (name,) = c.names(PODS)
        await c.patch(REPLICA_SETS, "rs", {"spec": {"replicas": 0}})
        assert c.events() == [f"Created pod: {name}", f"Deleted pod: {name}"]


async def test_a_failed_pod_is_replaced_and_left() -> None:
    async with Cluster(replicaset) as c:
        await c.create(REPLICA_SETS, rs(1))
        (name,) = c.names(PODS)
        await c.patch(PODS, name, {"status": {"phase": "Failed"}}, subresource="status")
        assert len(c.names(PODS)) == 2 and c.one(REPLICA_SETS, "rs")["status"]["replicas"] == 1


async def test_a_refusal_is_a_condition_until_it_succeeds() -> None:
    async with Cluster(replicaset) as c:
        quota = forbidden("pods", "rs-x", "exceeded quota: none, requested: pods=1, used: pods=0, limited: pods=0")
        c.client.fault = lambda verb, resource, key: quota if (verb, resource) == ("create", PODS) else None
        await c.create(REPLICA_SETS, rs(8))
        (condition,) = c.one(REPLICA_SETS, "rs")["status"]["conditions"]
        assert condition | {"lastTransitionTime": ""} == {
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": quota.message, "lastTransitionTime": "",
        }  # fmt: skip
        assert c.events("FailedCreate") == [f"Error creating: {quota.message}"]
        c.client.fault = lambda verb, resource, key: None
        await c.clock.advance(60)
        assert len(c.names(PODS)) == 8 and "conditions" not in c.one(REPLICA_SETS, "rs")["status"]


async def test_counts_pods_as_available_after_min_ready_seconds() -> None:
    async with Cluster(replicaset) as c:
        await c.create(REPLICA_SETS, rs(1, minReadySeconds=30))
        assert c.one(REPLICA_SETS, "rs")["status"].get("availableReplicas", 0) == 0
        await c.clock.advance(31)
        assert c.one(REPLICA_SETS, "rs")["status"]["availableReplicas"] == 1


def test_batches_double() -> None:
    changes = run_table(replicaset.controller(Config()), {REPLICA_SETS: [rs(10)]}, Key("default", "rs"), NOW).changes
    assert [len(change.changes) for change in changes if isinstance(change, Together)] == [1, 2, 4, 3]


def test_a_deleted_set_makes_and_adopts_nothing() -> None:
    going = rs(2)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    changes = run_table(replicaset.controller(Config()), {REPLICA_SETS: [going], PODS: [pod("bare")]}, Key("default", "rs"), NOW).changes
    assert not any(isinstance(change, (Create, Together)) for change in changes)


async def test_replication_controller_has_its_own_status_and_kind() -> None:
    async with Cluster(replicationcontroller) as c:
        template = {"metadata": {"labels": {"app": "rc"}}, "spec": {}}
        await c.create(REPLICATION_CONTROLLERS, made(REPLICATION_CONTROLLERS, "rc", spec={"selector": {"app": "rc"}, "template": template}))
        status = c.one(REPLICATION_CONTROLLERS, "rc")["status"]
        assert status == {"replicas": 1, "fullyLabeledReplicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}


def ranked(name: str, node: str = "n", phase: str = "Running", ready: str = "10:00:00", **more: Any) -> Object:
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": f"2026-01-01T{ready}Z"}] if ready else []
    statuses = [{"restartCount": more.pop("restarts", 0)}]
    spec = {"nodeName": node} if node else {}
    metadata = {"creationTimestamp": "2026-01-01T09:00:00Z", **more}
    return pod(name, **metadata) | {"spec": spec, "status": {"phase": phase, "conditions": conditions, "containerStatuses": statuses}}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (ranked("z", node=""), ranked("a")),
        (ranked("z", phase="Pending"), ranked("a")),
        (ranked("z", ready=""), ranked("a")),
        (ranked("z", annotations={p.DELETION_COST: "-5"}), ranked("a")),
        (ranked("z", node="crowded"), ranked("a")),
        (ranked("z", ready="11:59:00"), ranked("a")),
        (ranked("z", restarts=3), ranked("a")),
        (ranked("z", creationTimestamp="2026-01-01T11:59:00Z"), ranked("a")),
        (ranked("a", ready="10:00:00"), ranked("z", ready="10:00:30")),
    ],
)
def test_who_goes_first(first: Object, then: Object) -> None:
    crowding = {name_of(first): 2, name_of(then): 1} if first["spec"].get("nodeName") == "crowded" else {}
    for order in ([first, then], [then, first]):
        assert [name_of(x) for x in p.by_deletion_preference(order, crowding, NOW)] == [name_of(first), name_of(then)]
