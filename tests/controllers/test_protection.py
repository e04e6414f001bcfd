"""Claims and volumes in use are held by finalizers."""
from __future__ import annotations

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import pvcprotection, pvprotection
from tiffin.controllers.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
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
