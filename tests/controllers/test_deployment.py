"""Deployments with real replica sets below them, and the arithmetic by table and property."""
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import deployment, replicaset
from tiffin.controllers import rollout as r
from tiffin.controllers.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, dig, name_of


def web(replicas: int = 2, version: str = "1", **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web", "v": version}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    selector = {"matchLabels": {"app": "web"}}
    return made(DEPLOYMENTS, "web", spec={"replicas": replicas, "selector": selector, "template": template, "progressDeadlineSeconds": 600, **spec})


def template(version: str) -> Object:
    return {"spec": {"template": {"metadata": {"labels": {"v": version}}}}}


def cluster(**arguments: Any) -> Cluster:
    return Cluster(deployment, replicaset, **arguments)


def sets(c: Cluster) -> dict[str, int]:
    """Sizes of the replica sets by their template's version."""
    return {dig(rs, "spec", "template", "metadata", "labels", "v"): rs["spec"]["replicas"] for rs in c.all(REPLICA_SETS)}


def conditions(c: Cluster) -> list[tuple[str, str, str]]:
    return [(x["type"], x["status"], x["reason"]) for x in dig(c.one(DEPLOYMENTS, "web"), "status", "conditions", default=[])]


async def test_becomes_available() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web())
        d, (rs,) = c.one(DEPLOYMENTS, "web"), c.all(REPLICA_SETS)
        assert d["metadata"]["generation"] == 1 and d["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
        assert {k: v for k, v in d["status"].items() if k != "conditions"} == {
            "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "terminatingReplicas": 0,
        }  # fmt: skip
        assert conditions(c) == [("Available", "True", "MinimumReplicasAvailable"), ("Progressing", "True", "NewReplicaSetAvailable")]
        assert d["status"]["conditions"][1]["message"] == f'ReplicaSet "{name_of(rs)}" has successfully progressed.'
        assert rs["metadata"]["annotations"] == {
            "deployment.kubernetes.io/desired-replicas": "2", "deployment.kubernetes.io/max-replicas": "3", "deployment.kubernetes.io/revision": "1",
        }  # fmt: skip
        assert rs["status"] == {
            "replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "terminatingReplicas": 0, "observedGeneration": 1,
        }  # fmt: skip
        assert c.events("ScalingReplicaSet") == [f"Scaled up replica set {name_of(rs)} from 0 to 2"]
        assert len(c.events("SuccessfulCreate")) == 2


async def test_rollout_and_rollback_keep_history() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web())
        await c.patch(DEPLOYMENTS, "web", template("2") | {"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}}})
        assert sets(c) == {"1": 0, "2": 2}
        await c.patch(DEPLOYMENTS, "web", template("1"))
        assert sets(c) == {"1": 2, "2": 0} and c.one(DEPLOYMENTS, "web")["metadata"]["annotations"][r.REVISION] == "3"
        notes = {dig(rs, "metadata", "labels", "v"): rs["metadata"]["annotations"] for rs in c.all(REPLICA_SETS)}
        assert (notes["1"][r.REVISION], notes["1"][r.HISTORY], notes["2"][r.REVISION]) == ("3", "1", "2")
        assert notes["2"]["kubernetes.io/change-cause"] == "second"
        assert conditions(c)[-1] == ("Progressing", "True", "NewReplicaSetAvailable")


async def test_never_too_few_available_nor_too_many_pods_while_rolling() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web(5))
        await c.client.patch(DEPLOYMENTS, "default", "web", template("2"))
        start = len(c.client._history)
        await c.settle()
        running, most, least = {name_of(p) for p in c.all(PODS)}, 0, 99
        state = {"web": 5}
        for record in c.client._history[start:]:
            if record.resource == REPLICA_SETS and record.new:
                state[name_of(record.new)] = record.new["spec"]["replicas"]
                most = max(most, sum(v for k, v in state.items() if k != "web"))
                least = min(least, sum(v for k, v in state.items() if k != "web") or 99)
        assert sets(c) == {"1": 0, "2": 5} and most <= 7 and len(running) == 5


async def test_a_stuck_rollout_times_out_and_keeps_the_old_pods() -> None:
    c = cluster(kubelet=True)
    async with c:
        await c.create(DEPLOYMENTS, web(5))
        c._running.pop().cancel()
        await c.patch(DEPLOYMENTS, "web", template("2"))
        assert sets(c) == {"1": 4, "2": 3}
        await c.clock.advance(650)
        assert conditions(c)[-1] == ("Progressing", "False", "ProgressDeadlineExceeded")
        assert sets(c) == {"1": 4, "2": 3}


async def test_recreate_waits_for_old_pods() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web(strategy={"type": "Recreate"}))
        pod = c.names(PODS)[0]
        await c.patch(PODS, pod, {"metadata": {"finalizers": ["test/hold"]}})
        await c.patch(DEPLOYMENTS, "web", template("2"))
        assert sets(c) == {"1": 0}
        await c.patch(PODS, pod, {"metadata": {"finalizers": None}})
        assert sets(c) == {"1": 0, "2": 2}


async def test_paused_makes_nothing_until_resumed() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web(paused=True))
        assert c.names(REPLICA_SETS) == []
        assert conditions(c) == [("Progressing", "Unknown", "DeploymentPaused"), ("Available", "False", "MinimumReplicasUnavailable")]
        await c.patch(DEPLOYMENTS, "web", {"spec": {"paused": None}})
        assert sets(c) == {"1": 2}
        await c.patch(DEPLOYMENTS, "web", {"spec": {"paused": True, "replicas": 3, "template": {"metadata": {"labels": {"v": "2"}}}}})
        assert sets(c) == {"1": 3}


async def test_history_limit() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web(revisionHistoryLimit=1))
        for version in "23":
            await c.patch(DEPLOYMENTS, "web", template(version))
        assert sets(c) == {"2": 0, "3": 2}


async def test_resized_in_the_middle_of_a_rollout_keeps_proportions() -> None:
    async with cluster() as c:
        rolling = {"maxSurge": 3, "maxUnavailable": 2}
        await c.create(DEPLOYMENTS, web(10, strategy={"type": "RollingUpdate", "rollingUpdate": rolling}))
        c._running.pop().cancel()
        await c.patch(DEPLOYMENTS, "web", template("2"))
        assert sets(c) == {"1": 8, "2": 5}
        await c.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 15}})
        assert sets(c) == {"1": 11, "2": 7}


async def test_a_pod_relabelled_leaves_and_returns() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web(1))
        (pod,) = c.names(PODS)
        await c.patch(PODS, pod, {"metadata": {"labels": {"app": "debug"}}})
        assert len(c.names(PODS)) == 2 and "ownerReferences" not in c.one(PODS, pod)["metadata"]
        await c.patch(PODS, pod, {"metadata": {"labels": {"app": "web"}}})
        (left,) = c.all(PODS)
        assert left["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"


async def test_an_orphaned_replica_set_is_adopted_again() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web(1))
        (name,) = c.names(REPLICA_SETS)
        await c.client.delete(DEPLOYMENTS, "default", "web")
        await c.patch(REPLICA_SETS, name, {"metadata": {"ownerReferences": None}})
        new = await c.create(DEPLOYMENTS, web(1))
        (rs,) = c.all(REPLICA_SETS)
        assert name_of(rs) == name and rs["metadata"]["ownerReferences"][0]["uid"] == new["metadata"]["uid"]


async def test_a_taken_name_is_avoided() -> None:
    async with cluster() as c:
        await c.create(DEPLOYMENTS, web(1))
        (name,) = c.names(REPLICA_SETS)
        await c.client.delete(DEPLOYMENTS, "default", "web")
        await c.client.delete(REPLICA_SETS, "default", name)
        await c.create(REPLICA_SETS, made(REPLICA_SETS, name, spec={"replicas": 0, "selector": {"matchLabels": {"x": "y"}}, "template": {}}))
        await c.create(DEPLOYMENTS, web(1))
        assert c.one(DEPLOYMENTS, "web")["status"]["collisionCount"] == 1 and len(c.names(REPLICA_SETS)) == 2


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [(5, "25%", "25%", (2, 1)), (2, "25%", "25%", (1, 0)), (1, 0, 0, (0, 1)), (10, 3, "30%", (3, 3)), (0, "25%", "25%", (0, 1))],
)
def test_fenceposts(replicas: int, surge: Any, unavailable: Any, expected: tuple[int, int]) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    assert r.fenceposts(web(replicas, strategy=strategy)) == expected


@given(st.lists(st.integers(1, 50), min_size=2, max_size=5), st.integers(0, 100), st.integers(1, 60))
def test_proportions_add_up(sizes: list[int], replicas: int, before: int) -> None:
    replica_sets = [made(REPLICA_SETS, f"rs{n}", spec={"replicas": size}, metadata={"annotations": {r.MAXIMUM: str(before)}}) for n, size in enumerate(sizes)]
    d = web(replicas)
    shares = r.proportions(d, replica_sets)
    allowed = replicas + r.max_surge(d) if replicas else 0
    assert all(share >= 0 for share in shares.values())
    if allowed >= sum(sizes):
        assert sum(shares.values()) == allowed


def test_hash_ignores_nothing_but_itself() -> None:
    a, b = web()["spec"]["template"], web(version="2")["spec"]["template"]
    assert r.template_hash(a, None) != r.template_hash(b, None) != r.template_hash(b, 1)
    assert r.same_template(a, {**a, "metadata": {"labels": {**a["metadata"]["labels"], "pod-template-hash": "x"}}}) and not r.same_template(a, b)


async def test_a_replica_set_that_is_refused_is_told_as_event_and_condition() -> None:
    async with cluster() as c:
        quota = ApiError(403, "Forbidden", 'replicasets.apps "web-1" is forbidden: exceeded quota: q')
        c.client.fault = lambda verb, resource, key: quota if (verb, resource) == ("create", REPLICA_SETS) else None
        await c.create(DEPLOYMENTS, web())
        assert conditions(c) == [("Progressing", "False", "ReplicaSetCreateError")]
        (message,) = c.events("ReplicaSetCreateError")
        assert message.startswith('Failed to create new replica set "web-') and message.endswith(quota.message)
