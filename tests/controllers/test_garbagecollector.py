"""Garbage collection by owner references over config maps, custom resources and whole workloads."""
from __future__ import annotations

from typing import Any

import pytest

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import deployment, garbagecollector, replicaset
from tiffin.controllers.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, DEPLOYMENTS, NAMESPACES, NODES, PODS, REPLICA_SETS
from tiffin.machinery.object import Object, Resource, uid_of

WIDGETS = Resource("example.com", "v1", "widgets")


def owned(name: str, *owners: Object, blocks: bool = False, **metadata: Any) -> Object:
    references = [{"apiVersion": o["apiVersion"], "kind": o["kind"], "name": o["metadata"]["name"], "uid": uid_of(o)} for o in owners]
    references = [r | {"blockOwnerDeletion": True} if blocks else r for r in references]
    return made(CONFIG_MAPS, name, metadata={"ownerReferences": references, **metadata})


def boss(name: str = "boss", **metadata: Any) -> Object:
    return made(CONFIG_MAPS, name, metadata=metadata)


async def test_background() -> None:
    async with Cluster(garbagecollector) as c:
        b = await c.create(CONFIG_MAPS, boss())
        kid = await c.create(CONFIG_MAPS, owned("kid", b))
        await c.create(CONFIG_MAPS, owned("grandkid", kid))
        await c.create(CONFIG_MAPS, boss("stranger"))
        await c.delete(CONFIG_MAPS, "boss")
        assert c.names(CONFIG_MAPS) == ["stranger"]


async def test_foreground_waits_for_dependents_that_block() -> None:
    async with Cluster(garbagecollector) as c:
        b = await c.create(CONFIG_MAPS, boss())
        await c.create(CONFIG_MAPS, owned("kid", b, blocks=True, finalizers=["test/hold"]))
        await c.create(CONFIG_MAPS, owned("kid2", b, blocks=True))
        await c.delete(CONFIG_MAPS, "boss", propagation="Foreground")
        assert c.names(CONFIG_MAPS) == ["boss", "kid"] and "deletionTimestamp" in c.one(CONFIG_MAPS, "kid")["metadata"]
        await c.patch(CONFIG_MAPS, "kid", {"metadata": {"finalizers": None}})
        assert c.names(CONFIG_MAPS) == []


async def test_orphans_stay_without_reference() -> None:
    async with Cluster(garbagecollector) as c:
        b = await c.create(CONFIG_MAPS, boss())
        await c.create(CONFIG_MAPS, owned("kid", b))
        await c.delete(CONFIG_MAPS, "boss", propagation="Orphan")
        assert c.names(CONFIG_MAPS) == ["kid"] and "ownerReferences" not in c.one(CONFIG_MAPS, "kid")["metadata"]


async def test_an_owner_that_never_was() -> None:
    async with Cluster(garbagecollector) as c:
        await c.create(CONFIG_MAPS, owned("stray", boss(uid="11111111")))
        assert c.names(CONFIG_MAPS) == []


async def test_one_owner_of_two_is_enough() -> None:
    async with Cluster(garbagecollector) as c:
        a, b = await c.create(CONFIG_MAPS, boss("a")), await c.create(CONFIG_MAPS, boss("b"))
        await c.create(CONFIG_MAPS, owned("kid", a, b))
        await c.delete(CONFIG_MAPS, "a")
        assert [r["name"] for r in c.one(CONFIG_MAPS, "kid")["metadata"]["ownerReferences"]] == ["b"]
        await c.delete(CONFIG_MAPS, "b")
        assert c.names(CONFIG_MAPS) == []


async def test_an_owner_in_another_namespace_is_told_and_does_not_count() -> None:
    async with Cluster(garbagecollector) as c:
        for name in ("default", "other"):
            await c.create(NAMESPACES, made(NAMESPACES, name, namespace=""))
        b = await c.create(CONFIG_MAPS, made(CONFIG_MAPS, "boss", namespace="other"))
        await c.create(CONFIG_MAPS, owned("kid", b))
        assert c.names(CONFIG_MAPS) == ["boss"]
        assert c.events("OwnerRefInvalidNamespace") == [
            f'ownerRef [v1/ConfigMap, namespace: default, name: boss, uid: {uid_of(b)}] does not exist in namespace "default"'
        ]


async def test_a_namespaced_owner_of_a_cluster_object_is_not_followed() -> None:
    async with Cluster(garbagecollector) as c:
        b = boss(uid="u")
        references = owned("x", b)["metadata"]["ownerReferences"]
        await c.create(NODES, made(NODES, "n", namespace="", metadata={"ownerReferences": references}))
        assert c.names(NODES) == ["n"] and len(c.events("OwnerRefInvalidNamespace")) == 1


async def test_an_owner_of_an_unknown_kind_decides_nothing() -> None:
    async with Cluster(garbagecollector) as c:
        b = boss(uid="u") | {"apiVersion": "nobody.example.com/v1", "kind": "Ghost"}
        await c.create(CONFIG_MAPS, owned("kid", b))
        assert c.names(CONFIG_MAPS) == ["kid"]


async def test_custom_resources_own_and_are_owned() -> None:
    async with Cluster(garbagecollector) as c:
        names = {"plural": "widgets", "kind": "Widget"}
        versions = [{"name": "v1", "served": True, "storage": True}]
        crd = made(CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com", namespace="", spec={"group": "example.com", "names": names, "versions": versions, "scope": "Namespaced"})
        await c.create(CUSTOM_RESOURCE_DEFINITIONS, crd | {"status": {"conditions": [{"type": "Established", "status": "True"}]}})
        widget = await c.client.create(WIDGETS, "default", {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}})
        await c.create(CONFIG_MAPS, owned("kid", widget))
        await c.delete(WIDGETS, "w")
        assert c.names(CONFIG_MAPS) == []


async def test_a_cache_that_lags_does_not_cost_a_dependent_its_life() -> None:
    """The owner's cache shows it late; the server knows better."""
    c = Cluster(garbagecollector)
    watch = c.client.watch

    async def blind(resource: Resource, *arguments: Any, **options: Any):  # type: ignore[no-untyped-def]
        async for event in watch(resource, *arguments, **options):
            if event.object["metadata"]["name"] != "late":
                yield event

    c.client.watch = blind  # type: ignore[method-assign, assignment]
    async with c:
        late = await c.create(NAMESPACES, made(NAMESPACES, "late", namespace=""))
        await c.create(CONFIG_MAPS, owned("kid", late))
        await c.clock.advance(5)
        assert c.names(CONFIG_MAPS) == ["kid"]


async def test_a_deployment_goes_with_all_it_owns_in_every_way() -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {}}
    web = made(DEPLOYMENTS, "web", spec={"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template})
    for propagation, left in (("Background", (0, 0)), ("Foreground", (0, 0)), ("Orphan", (1, 2))):
        async with Cluster(garbagecollector, deployment, replicaset) as c:
            await c.create(DEPLOYMENTS, web)
            await c.delete(DEPLOYMENTS, "web", propagation=propagation)
            assert c.names(DEPLOYMENTS) == [] and (len(c.names(REPLICA_SETS)), len(c.names(PODS))) == left


RETIRED = Resource("apiregistration.k8s.io", "v1", "apiservices")


@pytest.mark.parametrize("served", [True, False])
async def test_an_owner_by_the_group_it_had_once(served: bool) -> None:
    """Where nobody serves that group, nobody knows whether there is such an owner."""
    async with Cluster(garbagecollector) as c:
        if served:
            await c.create(RETIRED, {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.extensions"}})
        old = boss(uid="u") | {"apiVersion": "extensions/v1beta1", "kind": "Deployment"}
        await c.create(CONFIG_MAPS, owned("kid", old))
        assert c.names(CONFIG_MAPS) == ([] if served else ["kid"])
