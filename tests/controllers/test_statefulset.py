"""Stateful sets: order, names, claims, partitions, revisions."""
from __future__ import annotations

from typing import Any

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import garbagecollector, statefulset
from tiffin.controllers.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object


def web(replicas: int = 3, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": "web", "v": "1"}}, "spec": {"containers": [{"name": "c"}]}}
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    selector = {"matchLabels": {"app": "web"}}
    return made(STATEFUL_SETS, "web", spec={"replicas": replicas, "serviceName": "svc", "selector": selector, "template": template, "updateStrategy": strategy, **spec})


def template(version: str) -> Object:
    return {"spec": {"template": {"metadata": {"labels": {"v": version}}}}}


class Sets(Cluster):
    async def ready(self, *pods: str, ready: str = "True") -> None:
        for pod in pods:
            conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
            await self.patch(PODS, pod, {"status": {"phase": "Running", "conditions": conditions}}, subresource="status")

    def versions(self) -> list[str]:
        return [pod["metadata"]["labels"]["v"] for pod in self.all(PODS)]

    def status(self) -> Object:
        return self.one(STATEFUL_SETS, "web")["status"]


CLAIMS = [{"metadata": {"name": "data", "labels": {"role": "store"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}]


async def test_one_after_the_other() -> None:
    async with Sets(statefulset, kubelet=False) as c:
        await c.create(STATEFUL_SETS, web())
        assert c.names(PODS) == ["web-0"]
        (pod,), (revision,) = c.all(PODS), c.all(CONTROLLER_REVISIONS)
        name = revision["metadata"]["name"]
        assert pod["metadata"]["labels"] == {
            "app": "web", "v": "1", "apps.kubernetes.io/pod-index": "0", "statefulset.kubernetes.io/pod-name": "web-0", "controller-revision-hash": name,
        }  # fmt: skip
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"], pod["metadata"]["generateName"]) == ("web-0", "svc", "web-")
        assert c.status() == {
            "observedGeneration": 1, "replicas": 1, "currentReplicas": 1, "updatedReplicas": 1, "currentRevision": name, "updateRevision": name,
            "collisionCount": 0, "availableReplicas": 0,
        }  # fmt: skip
        await c.ready("web-0")
        assert c.names(PODS) == ["web-0", "web-1"]
        await c.ready("web-1")
        assert c.names(PODS) == ["web-0", "web-1", "web-2"]


async def test_scaled_down_from_the_top_once_the_lower_are_ready() -> None:
    async with Sets(statefulset, kubelet=False) as c:
        await c.create(STATEFUL_SETS, web())
        await c.ready("web-0")
        await c.ready("web-1")
        await c.ready("web-0", ready="False")
        await c.patch(STATEFUL_SETS, "web", {"spec": {"replicas": 1}})
        assert c.names(PODS) == ["web-0", "web-1", "web-2"]
        await c.ready("web-0")
        assert c.names(PODS) == ["web-0"]


async def test_parallel_with_a_first_ordinal() -> None:
    async with Sets(statefulset, kubelet=False) as c:
        await c.create(STATEFUL_SETS, web(podManagementPolicy="Parallel", ordinals={"start": 5}))
        assert c.names(PODS) == ["web-5", "web-6", "web-7"]
        await c.patch(STATEFUL_SETS, "web", {"spec": {"replicas": 2, "ordinals": {"start": 4}}})
        assert c.names(PODS) == ["web-4", "web-5"]


async def test_rolls_from_the_top_to_the_partition() -> None:
    async with Sets(statefulset, kubelet=False) as c:
        await c.create(STATEFUL_SETS, web(podManagementPolicy="Parallel"))
        await c.ready("web-0", "web-1", "web-2")
        await c.patch(STATEFUL_SETS, "web", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}})
        await c.patch(STATEFUL_SETS, "web", template("2"))
        assert c.versions() == ["1", "1", "2"]
        await c.ready("web-2")
        assert c.versions() == ["1", "2", "2"]
        await c.ready("web-1")
        assert c.versions() == ["1", "2", "2"] and c.status()["currentRevision"] != c.status()["updateRevision"]
        await c.delete(PODS, "web-0")
        assert c.versions() == ["1", "2", "2"]
        await c.ready("web-0")
        await c.patch(STATEFUL_SETS, "web", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}})
        await c.ready("web-0")
        assert c.versions() == ["2", "2", "2"] and c.status()["currentRevision"] == c.status()["updateRevision"]


async def test_a_failed_pod_is_made_again_under_its_name() -> None:
    async with Sets(statefulset, kubelet=False) as c:
        await c.create(STATEFUL_SETS, web(1))
        first = c.one(PODS, "web-0")["metadata"]["uid"]
        await c.patch(PODS, "web-0", {"status": {"phase": "Failed"}}, subresource="status")
        assert c.one(PODS, "web-0")["metadata"]["uid"] != first
        assert c.events("RecreatingFailedPod") == ["StatefulSet default/web is recreating failed Pod web-0"]


async def test_claims_stay_when_scaled_down() -> None:
    async with Sets(statefulset, kubelet=False) as c:
        await c.create(STATEFUL_SETS, web(2, podManagementPolicy="Parallel", volumeClaimTemplates=CLAIMS))
        assert c.one(PERSISTENT_VOLUME_CLAIMS, "data-web-0")["metadata"]["labels"] == {"app": "web", "role": "store"}
        assert c.one(PODS, "web-1")["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-1"}}]
        await c.patch(STATEFUL_SETS, "web", {"spec": {"replicas": 1}})
        assert c.names(PERSISTENT_VOLUME_CLAIMS) == ["data-web-0", "data-web-1"] and c.names(PODS) == ["web-0"]


async def test_claims_go_where_the_policy_says() -> None:
    async with Sets(statefulset, garbagecollector, kubelet=False) as c:
        policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
        await c.create(STATEFUL_SETS, web(2, podManagementPolicy="Parallel", volumeClaimTemplates=CLAIMS, persistentVolumeClaimRetentionPolicy=policy))
        assert [r["kind"] for r in c.one(PERSISTENT_VOLUME_CLAIMS, "data-web-0")["metadata"]["ownerReferences"]] == ["StatefulSet"]
        await c.patch(STATEFUL_SETS, "web", {"spec": {"replicas": 1}})
        assert c.names(PERSISTENT_VOLUME_CLAIMS) == ["data-web-0"]
        await c.delete(STATEFUL_SETS, "web")
        assert c.names(PERSISTENT_VOLUME_CLAIMS) == [] and c.names(PODS) == []


async def test_a_claim_that_is_refused_is_told_of_claim_and_pod() -> None:
    async with Sets(statefulset, kubelet=False) as c:
        quota = ApiError(403, "Forbidden", "exceeded quota")
        c.client.fault = lambda verb, resource, key: quota if (verb, resource) == ("create", PERSISTENT_VOLUME_CLAIMS) else None
        await c.create(STATEFUL_SETS, web(volumeClaimTemplates=CLAIMS))
        assert c.names(PODS) == [] and c.events("FailedCreate")[:2] == [
            "create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: exceeded quota",
            "create Pod web-0 in StatefulSet web failed error: failed to create PVC data-web-0: exceeded quota",
        ]
