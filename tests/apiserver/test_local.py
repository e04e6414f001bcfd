"""The client inside the server's process: the same rules as over HTTP, and stored objects by reference."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.apiserver.inprocess import InProcess
from tiffin.apiserver.local import LocalClient
from tiffin.apiserver.user import User
from tiffin.client.client import PatchType, WatchEvent
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Resource

MAPS = Resource("", "v1", "configmaps")
PODS = Resource("", "v1", "pods")
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))


def config_map(name: str = "x", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "data": {"value": "0"}}


@pytest.fixture
def client(api: InProcess) -> LocalClient:
    return api.assembly.client(ADMIN, "test-agent")


async def taken(events: Any, count: int) -> list[tuple[str, str]]:
    found: list[WatchEvent] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found.append(await anext(events))
    return [(event.type, event.object["metadata"]["name"]) for event in found]


async def test_what_is_read_is_what_is_stored(api: InProcess, client: LocalClient) -> None:
    given = config_map()
    created = await client.create(MAPS, "default", given)
    assert given == config_map(), "what is handed in stays the caller's"
    assert created is (await client.get(MAPS, "default", "x"))
    assert created is (await client.list(MAPS, "default")).items[0]
    assert created["metadata"]["managedFields"][0]["manager"] == "test-agent"
    assert (await api.get("/api/v1/namespaces/default/configmaps/x")).object == created


async def test_every_verb(client: LocalClient) -> None:
    created = await client.create(MAPS, "default", config_map())
    updated = await client.update(MAPS, "default", {**created, "data": {"value": "1"}})
    assert created["data"] == {"value": "0"} and updated["data"] == {"value": "1"}
    for type, patch in ((PatchType.MERGE, {"data": {"value": "2"}}), (PatchType.JSON, [{"op": "replace", "path": "/data/value", "value": "3"}])):
        patched = await client.patch(MAPS, "default", "x", patch, type=type)
    assert patched["data"] == {"value": "3"}
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"other": "4"}}
    assert (await client.patch(MAPS, "default", "x", applied, type=PatchType.APPLY, field_manager="me"))["data"] == {"value": "3", "other": "4"}
    with pytest.raises(ApiError) as stale:
        await client.update(MAPS, "default", {**created, "data": {"value": "9"}})
    assert stale.value.code == 409
    with pytest.raises(ApiError) as other:
        await client.delete(MAPS, "default", "x", uid="other")
    assert other.value.code == 409
    await client.delete(MAPS, "default", "x")
    with pytest.raises(ApiError) as gone:
        await client.get(MAPS, "default", "x")
    assert gone.value.code == 404


async def test_lists_select_and_page(client: LocalClient) -> None:
    for name, color in (("a", "red"), ("b", "blue"), ("c", "red")):
        await client.create(MAPS, "default", config_map(name, color=color))
    assert [o["metadata"]["name"] for o in (await client.list(MAPS, labels="color=red")).items] == ["a", "c"]
    assert [o["metadata"]["name"] for o in (await client.list(MAPS, "default", fields="metadata.name=b")).items] == ["b"]
    first = await client.list(MAPS, "default", limit=2)
    rest = await client.list(MAPS, "default", limit=2, continue_token=first.continue_token)
    assert [o["metadata"]["name"] for o in first.items + rest.items] == ["a", "b", "c"]


async def test_a_watch_tells_of_its_namespace_and_selection(client: LocalClient) -> None:
    since = (await client.list(MAPS)).resource_version
    every, red = client.watch(MAPS, resource_version=since), client.watch(MAPS, "default", labels="color=red", resource_version=since)
    await client.create(MAPS, "kube-system", config_map("theirs", color="red"))
    await client.create(MAPS, "default", config_map("ours", color="red"))
    await client.patch(MAPS, "default", "ours", {"metadata": {"labels": {"color": "blue"}}})
    await client.delete(MAPS, "default", "ours")
    assert await taken(every, 4) == [("ADDED", "theirs"), ("ADDED", "ours"), ("MODIFIED", "ours"), ("DELETED", "ours")]
    assert await taken(red, 2) == [("ADDED", "ours"), ("DELETED", "ours")]
    await every.aclose()  # type: ignore[attr-defined]
    await red.aclose()  # type: ignore[attr-defined]


async def test_a_watch_from_too_long_ago_is_a_410(api: InProcess, client: LocalClient) -> None:
    api.store.index.compacted = api.store.revision
    with pytest.raises(ApiError) as caught:
        await anext(client.watch(MAPS, resource_version="1"))
    assert caught.value.code == 410


async def test_a_fault_in_a_watch_reaches_who_watches(api: InProcess, client: LocalClient, monkeypatch: pytest.MonkeyPatch) -> None:
    events = client.watch(MAPS, resource_version=str(api.store.revision))
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)

    def fail(*arguments: Any) -> Any:
        raise RuntimeError("a fault inside")

    monkeypatch.setattr("tiffin.apiserver.local._EventQueue._convert", fail)
    assert (await api.post("/api/v1/namespaces/default/configmaps", config_map())).status == 201
    with pytest.raises(RuntimeError, match="a fault inside"):
        await waiting


@pytest.mark.parametrize("verb", ["get", "list", "create", "update", "patch", "delete"])
async def test_whoever_may_not_is_refused(api: InProcess, verb: str) -> None:
    nobody = api.assembly.client(User("nobody", groups=("system:authenticated",)), "test")
    calls = {
        "get": lambda: nobody.get(MAPS, "default", "x"), "list": lambda: nobody.list(MAPS, "default"), "create": lambda: nobody.create(MAPS, "default", config_map()),
        "update": lambda: nobody.update(MAPS, "default", config_map()), "patch": lambda: nobody.patch(MAPS, "default", "x", {}), "delete": lambda: nobody.delete(MAPS, "default", "x")}
    with pytest.raises(ApiError) as caught:
        await calls[verb]()
    assert caught.value.code == 403 and f'cannot {verb} resource "configmaps"' in caught.value.message


async def test_subresources_with_handlers_of_their_own(api: InProcess, client: LocalClient) -> None:
    await client.create(PODS, "default", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    await client.create(PODS, "default", binding, name="p", subresource="binding")
    assert (await client.get(PODS, "default", "p"))["spec"]["nodeName"] == "n"
    with pytest.raises(ApiError) as again:
        await client.create(PODS, "default", binding, name="p", subresource="binding")
    assert again.value.code == 409
    with pytest.raises(ApiError) as unknown:
        await client.create(PODS, "default", {}, name="p", subresource="nonsense")
    assert unknown.value.code == 404


async def test_the_scale_is_patched(client: LocalClient) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    deployments = Resource("apps", "v1", "deployments")
    await client.create(deployments, "default", {"metadata": {"name": "d"}, "spec": spec})
    scale = await client.patch(deployments, "default", "d", {"spec": {"replicas": 3}}, subresource="scale")
    assert scale["kind"] == "Scale" and (await client.get(deployments, "default", "d"))["spec"]["replicas"] == 3
