"""Claims and volumes in use are held by finalizers."""
from __future__ import annotations

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import pvcprotection, pvprotection, vacprotection, volumeexpand
from tiffin.controllers.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, VOLUME_ATTRIBUTES_CLASSES
from tiffin.machinery.object import Object


def user(name: str, node: str = "n") -> Object:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    return made(PODS, name, spec={"volumes": volumes} | ({"nodeName": node} if node else {}))


async def test_a_claim_stays_while_a_pod_on_a_node_uses_it() -> None:
    async with Cluster(pvcprotection, kubelet=False) as c:
        await c.create(PERSISTENT_VOLUME_CLAIMS, made(PERSISTENT_VOLUME_CLAIMS, "c"))
        assert c.one(PERSISTENT_VOLUME_CLAIMS, "c")["metadata"]["finalizers"] == [pvcprotection.FINALIZER]
        await c.create(PODS, user("p"))
        await c.create(PODS, user("unbound", node=""))
        await c.delete(PERSISTENT_VOLUME_CLAIMS, "c")
        assert "deletionTimestamp" in c.one(PERSISTENT_VOLUME_CLAIMS, "c")["metadata"]
        await c.patch(PODS, "p", {"status": {"phase": "Succeeded"}}, subresource="status")
        assert c.names(PERSISTENT_VOLUME_CLAIMS) == []


async def test_a_volume_stays_while_it_is_bound() -> None:
    async with Cluster(pvprotection) as c:
        await c.create(PERSISTENT_VOLUMES, made(PERSISTENT_VOLUMES, "v", namespace="", status={"phase": "Bound"}))
        await c.delete(PERSISTENT_VOLUMES, "v", namespace="")
        assert c.names(PERSISTENT_VOLUMES) == ["v"]
        await c.patch(PERSISTENT_VOLUMES, "v", {"status": {"phase": "Released"}}, namespace="", subresource="status")
        assert c.names(PERSISTENT_VOLUMES) == []


async def test_classes_of_attributes_stay_while_they_are_used() -> None:
    async with Cluster(vacprotection) as c:
        await c.create(VOLUME_ATTRIBUTES_CLASSES, made(VOLUME_ATTRIBUTES_CLASSES, "gold", ""))
        assert c.one(VOLUME_ATTRIBUTES_CLASSES, "gold", "")["metadata"]["finalizers"] == [vacprotection.FINALIZER]
        await c.create(PERSISTENT_VOLUME_CLAIMS, made(PERSISTENT_VOLUME_CLAIMS, "c", status={"currentVolumeAttributesClassName": "gold"}))
        await c.delete(VOLUME_ATTRIBUTES_CLASSES, "gold", namespace="")
        assert c.names(VOLUME_ATTRIBUTES_CLASSES) == ["gold"]
        await c.delete(PERSISTENT_VOLUME_CLAIMS, "c")
        assert c.names(VOLUME_ATTRIBUTES_CLASSES) == []


async def test_a_claim_that_wants_more_awaits_its_driver() -> None:
    async with Cluster(volumeexpand) as c:
        spec, status = {"resources": {"requests": {"storage": "1Gi"}}}, {"phase": "Bound", "capacity": {"storage": "1Gi"}}
        await c.create(PERSISTENT_VOLUME_CLAIMS, made(PERSISTENT_VOLUME_CLAIMS, "c", spec=spec) | {"status": status})
        await c.patch(PERSISTENT_VOLUME_CLAIMS, "c", {"status": status}, subresource="status")
        assert c.events() == []
        await c.patch(PERSISTENT_VOLUME_CLAIMS, "c", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
        assert c.events() == ["waiting for an external controller to expand this PVC"]
