"""Claims of ephemeral volumes: made for the pod, never taken from others."""
from __future__ import annotations

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import ephemeralvolumes
from tiffin.controllers.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object

SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def pod() -> Object:
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": SPEC}
    return made(PODS, "p", spec={"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}, {"name": "e", "emptyDir": {}}]})


async def test_makes_a_claim_that_the_pod_owns() -> None:
    async with Cluster(ephemeralvolumes, kubelet=False) as c:
        uid = (await c.create(PODS, pod()))["metadata"]["uid"]
        (claim,) = c.all(PERSISTENT_VOLUME_CLAIMS)
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid, "controller": True, "blockOwnerDeletion": True}
        assert (claim["metadata"]["name"], claim["metadata"]["labels"], claim["metadata"]["annotations"]) == ("p-scratch", {"a": "b"}, {"c": "d"})
        assert claim["metadata"]["ownerReferences"] == [owner] and claim["spec"] == SPEC
        await c.delete(PERSISTENT_VOLUME_CLAIMS, "p-scratch")
        assert c.names(PERSISTENT_VOLUME_CLAIMS) == ["p-scratch"]


async def test_never_takes_a_claim_of_others() -> None:
    async with Cluster(ephemeralvolumes, kubelet=False) as c:
        await c.create(PERSISTENT_VOLUME_CLAIMS, made(PERSISTENT_VOLUME_CLAIMS, "p-scratch", spec=SPEC))
        await c.create(PODS, pod())
        message = "ephemeral volume scratch: PVC default/p-scratch was not created for pod default/p (pod is not owner)"
        assert c.events("FailedBinding") == [message] and "ownerReferences" not in c.one(PERSISTENT_VOLUME_CLAIMS, "p-scratch")["metadata"]


async def test_says_why_a_claim_was_refused() -> None:
    async with Cluster(ephemeralvolumes, kubelet=False) as c:
        c.client.fault = lambda verb, resource, key: ApiError(403, "Forbidden", "exceeded quota") if resource == PERSISTENT_VOLUME_CLAIMS and verb == "create" else None
        await c.create(PODS, pod())
        assert c.events("FailedBinding")[0] == "ephemeral volume scratch: create PVC p-scratch: exceeded quota"
