"""Protobuf in requests and answers: what built-in kinds speak and custom resources do not."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.apiserver.inprocess import ADMIN, InProcess, Stream
from tiffin.machinery.object import Object
from tiffin.machinery.protodecode import parse_protobuf
from tiffin.machinery.protoencode import encode_protobuf

PROTOBUF = "application/vnd.kubernetes.protobuf"
CLIENT_GO = f"{PROTOBUF},application/json"
MAPS = "/api/v1/namespaces/default/configmaps"
THINGS = "/apis/example.com/v1/namespaces/default/things"
CONFIG_MAP = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "v"}}
PARTIAL = "as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"


async def both(api: InProcess, target: str) -> tuple[Object, Object]:
    """What the server answers in JSON and in protobuf."""
    answer = await api.get(target, accept=CLIENT_GO)
    assert (answer.status, answer.headers["Content-Type"]) == (200, PROTOBUF)
    return (await api.get(target)).object, parse_protobuf(answer.body)


def frames(stream: Stream) -> list[Any]:
    """Type and object of each whole frame of a watch in protobuf; a frame reads as an event inside an envelope does."""
    found, rest = [], stream.data
    while len(rest) >= 4 and len(rest) >= 4 + int.from_bytes(rest[:4], "big"):
        size = int.from_bytes(rest[:4], "big")
        message, rest = rest[4:4 + size], rest[4 + size:]
        named = b"\x0a\x10\x0a\x02v1\x12\x0aWatchEvent"
        event = parse_protobuf(b"k8s\0" + named + b"\x12" + varint(len(message)) + message)
        found.append((event["type"], event["object"]))
    return found


def varint(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80]) + varint(value >> 7) if value > 0x7F else bytes([value])


async def next_frame(stream: Stream, index: int) -> Any:
    await stream._wait(lambda: len(frames(stream)) > index)
    return frames(stream)[index]


async def things(api: InProcess) -> None:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    names = {"plural": "things", "kind": "Thing"}
    definition = {
        "kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}}
    answer = await api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", encode_protobuf(definition), type=PROTOBUF)
    assert answer.status == 201, answer.text
    assert answer.object["spec"]["versions"][0]["schema"] == version["schema"]
    async with asyncio.timeout(5):
        while (await api.get(THINGS)).status == 404:  # served once its names are accepted
            await asyncio.sleep(0)


async def test_both_encodings_make_the_same_object(api: InProcess) -> None:
    made = await api.post(MAPS, encode_protobuf(CONFIG_MAP), type=PROTOBUF, accept=CLIENT_GO)
    assert (made.status, made.headers["Content-Type"]) == (201, PROTOBUF)
    obj = parse_protobuf(made.body)
    assert (obj["data"], obj["metadata"]["labels"]) == ({"k": "v"}, {"x": "y"})
    changed = await api.put(f"{MAPS}/a", encode_protobuf({**obj, "data": {"k": "w"}}), type=PROTOBUF)
    assert changed.object["data"] == {"k": "w"}


@pytest.mark.parametrize("target", [
    f"{MAPS}/a", MAPS, "/api/v1/namespaces", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "/api/v1/serviceaccounts",
    "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", "/api", "/apis", "/apis/apps", "/apis/apps/v1", "/api/v1"])
async def test_answers_say_the_same(api: InProcess, target: str) -> None:
    await api.made(MAPS, CONFIG_MAP)
    plain, decoded = await both(api, target)
    assert without_empty(decoded) | {"apiVersion": "v1"} == without_empty(plain) | {"apiVersion": "v1"}


def without_empty(value: Any) -> Any:
    """Leaves out zero values, which a message without types cannot tell from absent ones."""
    if isinstance(value, dict):
        return {k: kept for k, v in value.items() if (kept := without_empty(v)) not in ("", 0, None, False, [], {})}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


async def test_only_who_asks_first_for_protobuf_gets_it(api: InProcess) -> None:
    await api.made(MAPS, CONFIG_MAP)
    for accept, expected in ((CLIENT_GO, PROTOBUF), (f"application/json,{PROTOBUF}", "application/json"), (f"{PROTOBUF};q=0.5,application/yaml", "application/yaml"),
                             (f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1,{CLIENT_GO}", PROTOBUF), ("*/*", "application/json")):
        assert (await api.get(f"{MAPS}/a", accept=accept)).headers["Content-Type"] == expected
    table = f"{PROTOBUF};as=Table;g=meta.k8s.io;v=v1"
    assert (await api.get(MAPS, accept=table)).status == 406


async def test_errors_and_deletions_are_statuses_in_protobuf(api: InProcess) -> None:
    missing = await api.get(f"{MAPS}/none", accept=CLIENT_GO)
    status = parse_protobuf(missing.body)
    assert (missing.status, missing.headers["Content-Type"], status["reason"], status["code"]) == (404, PROTOBUF, "NotFound", 404)
    assert (await api.post(MAPS, b"k8s\0\xff", type=PROTOBUF)).status == 400
    await api.made(MAPS, CONFIG_MAP)
    options = encode_protobuf({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}})
    assert (await api.delete(f"{MAPS}/a", options, type=PROTOBUF)).status == 409
    options = encode_protobuf({"kind": "DeleteOptions", "apiVersion": "apps/v1", "dryRun": ["All"]})
    gone = await api.delete(f"{MAPS}/a", options, type=PROTOBUF, accept=CLIENT_GO)
    assert parse_protobuf(gone.body)["status"] == "Success"
    assert (await api.get(f"{MAPS}/a")).status == 200


async def test_subresources_speak_it(api: InProcess) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    await api.made("/apis/apps/v1/namespaces/default/deployments", {
        "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}})
    target = "/apis/apps/v1/namespaces/default/deployments/d/scale"
    scale = parse_protobuf((await api.get(target, accept=CLIENT_GO)).body)
    scale["spec"]["replicas"] = 3
    assert parse_protobuf((await api.put(target, encode_protobuf(scale), type=PROTOBUF, accept=CLIENT_GO)).body)["spec"] == {"replicas": 3}
    await api.made("/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    eviction = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p"}}
    answer = await api.post("/api/v1/namespaces/default/pods/p/eviction", encode_protobuf(eviction), type=PROTOBUF)
    assert answer.status == 201, answer.text
    request = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {"expirationSeconds": 600}}
    answer = await api.post("/api/v1/namespaces/default/serviceaccounts/default/token", encode_protobuf(request), type=PROTOBUF, accept=CLIENT_GO)
    assert parse_protobuf(answer.body)["status"]["token"]
    review = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    answer = await api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", encode_protobuf(review), type=PROTOBUF, accept=CLIENT_GO)
    assert parse_protobuf(answer.body)["status"]["allowed"] is True


async def test_watches_send_frames(api: InProcess) -> None:
    await api.made(MAPS, CONFIG_MAP)
    response = await api.raw("GET", f"{MAPS}?watch=true", token=ADMIN, accept=f"{PROTOBUF};stream=watch,application/json")
    assert response.headers["Content-Type"] == f"{PROTOBUF};stream=watch"
    whole = await api.watch(f"{MAPS}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", accept=CLIENT_GO)
    partial = await api.watch(f"{MAPS}?watch=true&fieldSelector=metadata.name%3Da", accept=f"{PROTOBUF};{PARTIAL.format('')}")
    type, obj = await next_frame(whole, 0)
    assert (type, obj["metadata"]["name"], obj["data"]) == ("ADDED", "a", {"k": "v"})
    type, obj = await next_frame(whole, 1)
    assert (type, obj["kind"], obj["metadata"]["annotations"]) == ("BOOKMARK", "ConfigMap", {"k8s.io/initial-events-end": "true"})
    await api.patch(f"{MAPS}/a", {"data": {"k": "w"}})
    assert (await next_frame(whole, 2))[1]["data"] == {"k": "w"}
    await api.delete(f"{MAPS}/a")
    assert (await next_frame(whole, 3))[0] == "DELETED"
    types = [(type, obj["kind"], obj.get("data")) for type, obj in [await next_frame(partial, index) for index in range(3)]]
    assert types == [(type, "PartialObjectMetadata", None) for type in ("ADDED", "MODIFIED", "DELETED")]


async def test_a_watch_tells_its_error_in_a_frame(api: InProcess) -> None:
    stream = await api.watch(f"{MAPS}?watch=true&resourceVersion=99999999", accept=CLIENT_GO)
    type, obj = await next_frame(stream, 0)
    assert (type, obj["kind"], obj["status"]) == ("ERROR", "Status", "Failure")


async def test_custom_resources_have_none_but_their_metadata_has(api: InProcess) -> None:
    await things(api)
    thing = {"kind": "Thing", "apiVersion": "example.com/v1", "metadata": {"name": "t"}, "spec": {"x": 1}}
    await api.made(THINGS, thing)
    assert (await api.get(THINGS, accept=CLIENT_GO)).headers["Content-Type"] == "application/json"
    refused = await api.get(THINGS, accept=PROTOBUF)
    assert (refused.status, parse_protobuf(refused.body)["reason"]) == (406, "NotAcceptable")
    listed = parse_protobuf((await api.get(THINGS, accept=f"{PROTOBUF};{PARTIAL.format('List')},application/json")).body)
    assert (listed["kind"], listed["items"][0]["metadata"]["name"]) == ("PartialObjectMetadataList", "t")
    sent = encode_protobuf(CONFIG_MAP)
    assert (await api.post(THINGS, sent, type=PROTOBUF)).status == 415
    options = encode_protobuf({"kind": "DeleteOptions", "apiVersion": "v1"})
    assert (await api.delete(f"{THINGS}/t", options, type=PROTOBUF)).status == 200
