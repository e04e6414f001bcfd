"""Namespaces that go, with all that is in them."""
from __future__ import annotations

from tests.controllers.cluster import Cluster, made
from tiffin.controllers import namespace
from tiffin.controllers.resources import CONFIG_MAPS, NAMESPACES, SECRETS


async def test_goes_when_its_content_has_gone() -> None:
    async with Cluster(namespace) as c:
        await c.create(NAMESPACES, made(NAMESPACES, "ns", namespace="", spec={"finalizers": ["kubernetes"]}))
        for n in range(120):
            c.client.put(SECRETS, made(SECRETS, f"s{n}", namespace="ns"))
        c.client.put(SECRETS, made(SECRETS, "mine"))
        await c.delete(NAMESPACES, "ns", namespace="")
        assert c.names(NAMESPACES) == [] and c.names(SECRETS) == ["mine"]


async def test_says_what_remains() -> None:
    async with Cluster(namespace) as c:
        await c.create(NAMESPACES, made(NAMESPACES, "ns", namespace="", spec={"finalizers": ["kubernetes"]}))
        await c.create(CONFIG_MAPS, made(CONFIG_MAPS, "held", namespace="ns", metadata={"finalizers": ["test/hold"]}))
        await c.delete(NAMESPACES, "ns", namespace="")
        conditions = c.one(NAMESPACES, "ns", namespace="")["status"]["conditions"]
        assert [(x["type"], x["status"], x["reason"], x["message"]) for x in conditions] == [
            ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered", "All resources successfully discovered"),
            ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
            ("NamespaceDeletionContentFailure", "False", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
            ("NamespaceContentRemaining", "True", "SomeResourcesRemain", "Some resources are remaining: configmaps. has 1 resource instances"),
            (
                "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
                "Some content in the namespace has finalizers remaining: test/hold in 1 resource instances",
            ),
        ]  # fmt: skip
        await c.patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, namespace="ns")
        await c.clock.advance(20)
        assert c.names(NAMESPACES) == []
