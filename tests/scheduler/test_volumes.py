"""Where pods with claims may go, what their claims get there, and the order in which it is written."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.scheduler.stage import Board, Shelf, Stage, node, nothing_selects, pod
from tiffin.controllers import persistentvolumes
from tiffin.controllers.config import Config
from tiffin.machinery.object import Object, dig, name_of
from tiffin.runtime.manager import run_controllers
from tiffin.scheduler.podinfo import PodInfo
from tiffin.scheduler.profile import default_profile
from tiffin.scheduler.volumes import CLAIMS, STORAGE_CLASSES, VOLUMES
from tiffin.scheduler.writes import condition

DONE = {"pv.kubernetes.io/bind-completed": "yes"}


def claim(name: str, size: str = "1Gi", *, volume: str = "", of_class: str | None = "late", **metadata: Any) -> Object:
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
    spec |= ({"volumeName": volume} if volume else {}) | ({"storageClassName": of_class} if of_class is not None else {})
    if volume:
        metadata["annotations"] = DONE
    return {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default", "uid": f"u-{name}", **metadata}, "spec": spec, "status": {}}


def volume(name: str, size: str = "1Gi", on: str = "", **spec: Any) -> Object:
    base: dict[str, Any] = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "late"} | spec
    if on:
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}]}]
        base["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    return {"kind": "PersistentVolume", "apiVersion": "v1", "metadata": {"name": name, "uid": f"u-{name}"}, "spec": base, "status": {"phase": "Available"}}


def late(provisioner: str = "kubernetes.io/no-provisioner", **more: Any) -> Object:
    return {"kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "metadata": {"name": "late"}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer", **more}


def user(*claims: str, **spec: Any) -> Object:
    return pod(**spec, volumes=[{"name": f"v{i}", "persistentVolumeClaim": {"claimName": name}} for i, name in enumerate(claims)])


def board(*storage: Object) -> Board:
    return Board(node("a"), node("b", labels={"zone": "1"}), profile=default_profile(nothing_selects, Shelf(*storage)))


@pytest.mark.parametrize(("storage", "wanted", "possible"), [
    ((claim("c", volume="v"), volume("v")), ("c",), "a b"),
    ((claim("c", volume="v"), volume("v", on="b")), ("c",), "b"),
    ((claim("c", volume="v"),), ("c",), ""),
    ((late(), claim("c"), volume("v", on="b")), ("c",), "b"),
    ((late(), claim("c", "2Gi"), volume("v", on="b")), ("c",), ""),
    ((late(), claim("c"), claim("d"), volume("v", on="a"), volume("w", on="b"), volume("x", on="b")), ("c", "d"), "b"),
    ((late(), claim("c"), claim("d", "2Gi"), volume("v", on="a"), volume("w", "2Gi", on="a")), ("c", "d"), "a"),
    ((late("example.com/p"), claim("c")), ("c",), "a b"),
    ((late("example.com/p", allowedTopologies=[{"matchLabelExpressions": [{"key": "zone", "values": ["1"]}]}]), claim("c")), ("c",), "b"),
    ((late("example.com/p"), claim("c", annotations={"volume.kubernetes.io/selected-node": "a"})), ("c",), "a"),
    ((claim("c", of_class=""),), ("c",), ""),
])
def test_where_a_pod_with_claims_may_go(storage: tuple[Object, ...], wanted: tuple[str, ...], possible: str) -> None:
    assert board(*storage).possible(user(*wanted)) == possible


@pytest.mark.parametrize(("storage", "reason"), [
    ((claim("c", volume="v"), volume("v", on="gone")), "2 node(s) didn't match PersistentVolume's node affinity"),
    ((claim("c", volume="v"),), "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"),
    ((late(), claim("c")), "2 node(s) didn't find available persistent volumes to bind"),
    ((claim("c", of_class=""),), "pod has unbound immediate PersistentVolumeClaims"),
])
def test_what_is_said_where_there_is_no_node(storage: tuple[Object, ...], reason: str) -> None:
    assert board(*storage).message(user("c")).startswith(f"0/2 nodes are available: {reason}.")


def test_the_smallest_volume_that_reaches_the_node_is_chosen() -> None:
    there = board(late(), claim("c"), volume("large", "5Gi", on="a"), volume("small", "2Gi", on="a"), volume("tiny", on="b"))
    (choice,) = there.profile.volumes.choose(PodInfo.of(user("c")), "a", there.state)
    assert choice.volume is not None and name_of(choice.volume) == "small"


async def test_the_volume_is_bound_before_the_pod() -> None:
    async with Stage(node("a"), node("b")) as stage:
        binder = [asyncio.create_task(run_controllers(lambda name: stage.client, [persistentvolumes.controller(Config())], stage.clock))]
        try:
            stage.put(late(), STORAGE_CLASSES)
            stage.put(claim("c"), CLAIMS)
            await stage.add(user("c", name="p"))
            assert "didn't find available persistent volumes to bind" in condition(stage.pod("p"), "PodScheduled")["message"]
            stage.put(volume("v", on="b"), VOLUMES)
            await stage.clock.advance(20)
            assert stage.where("p") == "b"
            (bound,) = stage.client.objects(CLAIMS)
            assert (dig(bound, "status", "phase"), bound["spec"]["volumeName"]) == ("Bound", "v")
        finally:
            for task in binder:
                task.cancel()
            await asyncio.gather(*binder, return_exceptions=True)


async def test_a_volume_promised_to_one_claim_is_not_given_to_another() -> None:
    async with Stage(node("a")) as stage:
        stage.put(late(), STORAGE_CLASSES)
        stage.put(volume("v"), VOLUMES)
        for name in ("c", "d"):
            stage.put(claim(name), CLAIMS)
            await stage.add(user(name, name=f"user-of-{name}"))
        assert "didn't find available persistent volumes" in condition(stage.pod("user-of-d"), "PodScheduled")["message"]
        assert dig(stage.client.objects(VOLUMES)[0], "spec", "claimRef", "name") == "c"


async def test_a_provisioner_is_told_the_node() -> None:
    async with Stage(node("a")) as stage:
        stage.put(late("example.com/p"), STORAGE_CLASSES)
        stage.put(claim("c"), CLAIMS)
        await stage.add(user("c", name="p"))
        assert stage.client.objects(CLAIMS)[0]["metadata"]["annotations"] == {"volume.kubernetes.io/selected-node": "a"}
        assert stage.where("p") == ""
        stage.put(claim("c", volume="made"), CLAIMS)
        await stage.clock.settle()
        assert stage.where("p") == "a"
