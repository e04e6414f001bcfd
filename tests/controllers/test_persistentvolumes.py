"""Claims and volumes find one another, and each says what has become of it."""
from __future__ import annotations

from typing import Any

import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import persistentvolumes
from tiffin.controllers.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from tiffin.machinery.object import Object, dig


def volume(name: str, size: str = "1Gi", modes: tuple[str, ...] = ("ReadWriteOnce",), of_class: str = "c", **spec: Any) -> Object:
    metadata = spec.pop("metadata", {})
    base = {"capacity": {"storage": size}, "accessModes": list(modes), "storageClassName": of_class, "persistentVolumeReclaimPolicy": "Retain"}
    return made(PERSISTENT_VOLUMES, name, namespace="", metadata=metadata, spec=base | spec, status={"phase": "Pending"})


def claim(name: str, size: str = "1Gi", modes: tuple[str, ...] = ("ReadWriteOnce",), of_class: str | None = "c", **spec: Any) -> Object:
    base: dict[str, Any] = {"accessModes": list(modes), "resources": {"requests": {"storage": size}}}
    if of_class is not None:
        base["storageClassName"] = of_class
    return made(PERSISTENT_VOLUME_CLAIMS, name, spec=base | spec, status={"phase": "Pending"})


def storage_class(name: str, provisioner: str = "example.com/p", mode: str = "Immediate", **metadata: Any) -> Object:
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name, **metadata}, "provisioner": provisioner, "volumeBindingMode": mode}


def cluster() -> Cluster:
    return Cluster(persistentvolumes, kubelet=False)


def phase(c: Cluster, name: str) -> tuple[str, str]:
    """A claim's phase and volume."""
    found = c.one(PERSISTENT_VOLUME_CLAIMS, name)
    return dig(found, "status", "phase"), dig(found, "spec", "volumeName", default="")


def volume_phase(c: Cluster, name: str) -> str:
    return str(dig(c.one(PERSISTENT_VOLUMES, name, ""), "status", "phase"))


async def test_a_claim_and_a_volume_name_each_other() -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUMES, volume("v"))
        assert volume_phase(c, "v") == "Available"
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a", "500Mi"))
        bound, named = c.one(PERSISTENT_VOLUME_CLAIMS, "a"), c.one(PERSISTENT_VOLUMES, "v", "")
        assert bound["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
        assert bound["metadata"]["annotations"] == {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
        assert named["spec"]["claimRef"]["uid"] == bound["metadata"]["uid"]
        assert named["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": "yes"}
        assert volume_phase(c, "v") == "Bound"


async def test_a_volume_that_comes_later_is_taken_at_once() -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
        assert c.events("ProvisioningFailed") == ['storageclass.storage.k8s.io "c" not found']
        await c.create(PERSISTENT_VOLUMES, volume("v"))
        assert phase(c, "a") == ("Bound", "v")


@pytest.mark.parametrize("unfit", [
    {"size": "2Gi"}, {"modes": ("ReadOnlyMany",)}, {"of_class": "other"}, {"volumeMode": "Block"}, {"selector": {"matchLabels": {"k": "zzz"}}},
])
async def test_what_does_not_suit_is_not_taken(unfit: dict[str, Any]) -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUMES, volume("v"))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a", **unfit))
        assert phase(c, "a") == ("Pending", "")
        assert volume_phase(c, "v") == "Available"


async def test_fewest_modes_first_and_then_the_smallest() -> None:
    async with cluster() as c:
        for each in (volume("large", "9Gi"), volume("many", "2Gi", ("ReadWriteMany", "ReadWriteOnce")), volume("small", "3Gi")):
            await c.create(PERSISTENT_VOLUMES, each)
        for name in ("first", "second", "third"):
            await c.create(PERSISTENT_VOLUME_CLAIMS, claim(name))
        assert [phase(c, name)[1] for name in ("first", "second", "third")] == ["small", "large", "many"]


async def test_two_claims_never_get_one_volume() -> None:
    async with cluster() as c:
        for name in ("a", "b"):
            await c.client.create(PERSISTENT_VOLUME_CLAIMS, "default", claim(name))
        await c.create(PERSISTENT_VOLUMES, volume("v"))
        assert sorted(phase(c, name)[0] for name in ("a", "b")) == ["Bound", "Pending"]


async def test_a_claim_that_names_its_volume() -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("early", volumeName="v"))
        assert phase(c, "early")[0] == "Pending"
        await c.create(PERSISTENT_VOLUMES, volume("v"))
        assert phase(c, "early") == ("Bound", "v")
        assert c.one(PERSISTENT_VOLUME_CLAIMS, "early")["metadata"]["annotations"] == {"pv.kubernetes.io/bind-completed": "yes"}
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("late", volumeName="v"))
        assert c.events("FailedBinding") == ['volume "v" already bound to a different claim.']
        await c.create(PERSISTENT_VOLUMES, volume("w"))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("big", "2Gi", volumeName="w"))
        assert c.events("VolumeMismatch") == ['Cannot bind to requested volume "w": requested PV is too small']


async def test_a_volume_reserved_for_a_claim_waits_for_it() -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUMES, volume("v", claimRef={"namespace": "default", "name": "mine"}))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("other"))
        assert (volume_phase(c, "v"), phase(c, "other")[0]) == ("Available", "Pending")
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("mine"))
        assert phase(c, "mine") == ("Bound", "v")
        assert "annotations" not in c.one(PERSISTENT_VOLUMES, "v", "")["metadata"]


async def test_a_released_volume_is_kept_until_somebody_frees_it() -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUMES, volume("v"))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
        await c.delete(PERSISTENT_VOLUME_CLAIMS, "a")
        assert volume_phase(c, "v") == "Released"
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("b"))
        assert phase(c, "b")[0] == "Pending"
        await c.patch(PERSISTENT_VOLUMES, "v", {"spec": {"claimRef": None}}, namespace="")
        assert phase(c, "b") == ("Bound", "v")


@pytest.mark.parametrize(("policy", "more", "expected"), [
    ("Delete", {}, "Failed"), ("Recycle", {}, "Failed"), ("Delete", {"csi": {"driver": "d", "volumeHandle": "h"}}, "Released"),
    ("Delete", {"metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": "example.com/p"}}}, "Released"),
])
async def test_what_no_provisioner_made_nobody_deletes(policy: str, more: dict[str, Any], expected: str) -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUMES, volume("v", persistentVolumeReclaimPolicy=policy, **more))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
        await c.delete(PERSISTENT_VOLUME_CLAIMS, "a")
        assert volume_phase(c, "v") == expected


@pytest.mark.parametrize(("path", "message"), [("/data", "host_path deleter only supports /tmp/.+ but received provided /data"), ("/tmp/x", None)])
async def test_directories_below_tmp_are_for_tests(path: str, message: str | None) -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUMES, volume("v", persistentVolumeReclaimPolicy="Delete", hostPath={"path": path}))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
        await c.delete(PERSISTENT_VOLUME_CLAIMS, "a")
        if message is None:
            assert c.names(PERSISTENT_VOLUMES) == []
        else:
            status = c.one(PERSISTENT_VOLUMES, "v", "")["status"]
            assert (status["phase"], status["message"]) == ("Failed", message) and c.events("VolumeFailedDelete") == [message]


async def test_a_lost_volume_is_said_and_found_again() -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUMES, volume("v"))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
        await c.delete(PERSISTENT_VOLUMES, "v", namespace="")
        assert phase(c, "a")[0] == "Lost"
        assert c.events("ClaimLost") == ["Bound claim has lost its PersistentVolume. Data on the volume is lost!"]
        await c.create(PERSISTENT_VOLUMES, volume("v"))
        assert phase(c, "a") == ("Bound", "v")


async def test_an_external_provisioner_is_asked() -> None:
    async with cluster() as c:
        await c.create(STORAGE_CLASSES, storage_class("c"))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
        noted = c.one(PERSISTENT_VOLUME_CLAIMS, "a")["metadata"]["annotations"]
        assert noted == {"volume.kubernetes.io/storage-provisioner": "example.com/p", "volume.beta.kubernetes.io/storage-provisioner": "example.com/p"}
        assert "external provisioner 'example.com/p'" in c.events("ExternalProvisioning")[0]


async def test_a_claim_without_a_class_gets_the_default_when_there_is_one() -> None:
    async with cluster() as c:
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a", of_class=None))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("none", of_class=""))
        assert c.events("FailedBinding") == ["no persistent volumes available for this claim and no storage class is set"] * 2
        await c.create(STORAGE_CLASSES, storage_class("std", annotations={"storageclass.kubernetes.io/is-default-class": "true"}))
        assert dig(c.one(PERSISTENT_VOLUME_CLAIMS, "a"), "spec", "storageClassName") == "std"
        assert dig(c.one(PERSISTENT_VOLUME_CLAIMS, "none"), "spec", "storageClassName") == ""


async def test_a_claim_may_wait_for_its_first_consumer() -> None:
    async with cluster() as c:
        await c.create(STORAGE_CLASSES, storage_class("c", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"))
        await c.create(PERSISTENT_VOLUMES, volume("v"))
        await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
        assert phase(c, "a")[0] == "Pending"
        assert c.events("WaitForFirstConsumer") == ["waiting for first consumer to be created before binding"]
        await c.create(PODS, made(PODS, "p", spec={"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "a"}}]}))
        await c.patch(PERSISTENT_VOLUME_CLAIMS, "a", {"metadata": {"labels": {"x": "y"}}})
        assert c.events("WaitForPodScheduled") == ["waiting for pod p to be scheduled"]
        await c.patch(PERSISTENT_VOLUMES, "v", {"spec": {"claimRef": {"namespace": "default", "name": "a"}}}, namespace="")
        assert phase(c, "a") == ("Bound", "v")


@pytest.mark.parametrize("stranger", [
    {"spec": {"volumeName": "v"}},
    {"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}}, "spec": {"volumeName": "v"}},
    {"name": "b", "spec": {"volumeName": "v"}},
])
async def test_attack_27_a_claim_of_another_namespace_gets_no_volume_that_is_taken_or_reserved(stranger: dict[str, Any]) -> None:
    """Neither by naming the volume, nor by bearing the name of the claim it is for, nor by pretending to be bound already."""
    for reserved in (True, False):
        async with cluster() as c:
            await c.create(PERSISTENT_VOLUMES, volume("v", claimRef={"namespace": "default", "name": "a"}) if reserved else volume("v"))
            if not reserved:
                await c.create(PERSISTENT_VOLUME_CLAIMS, claim("a"))
            mine = claim(stranger.get("name", "a"), **stranger["spec"])
            mine["metadata"] |= {"namespace": "other", **stranger.get("metadata", {})}
            await c.create(PERSISTENT_VOLUME_CLAIMS, mine)
            named = c.one(PERSISTENT_VOLUMES, "v", "")
            assert named["spec"]["claimRef"]["namespace"] == "default"
            found = c.one(PERSISTENT_VOLUME_CLAIMS, mine["metadata"]["name"], "other")
            assert dig(found, "status", "phase") in ("Pending", "Lost")
