"""Create, update, patch, delete: conflicts, dry runs, names, finalizers, propagation."""
from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from tests.apiserver.inprocess import APPLY, JSON_PATCH, MERGE, STRATEGIC, Answer, InProcess, in_process
from tiffin.apiserver.writes import SUFFIX_LETTERS
from tiffin.net.pki import Pki
from tiffin.store.log import LogError, MemoryLog

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def config_map(name: str = "x", **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"value": "0"}}


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}


def refused(answer: Answer, status: int, reason: str, part: str) -> None:
    assert (answer.status, answer.reason) == (status, reason), answer.text
    assert part in answer.message, answer.message


# creating


async def test_what_the_server_gives_a_new_object(api: InProcess) -> None:
    given = config_map(uid="mine", creationTimestamp="2001-01-01T00:00:00Z", generation=5, deletionTimestamp="2001-01-01T00:00:00Z", selfLink="/x")
    made = (await api.made(MAPS, given))["metadata"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made["uid"])
    assert made["creationTimestamp"] > "2025" and made["namespace"] == "default"
    assert not made.keys() & {"deletionTimestamp", "selfLink"}
    assert int(made["resourceVersion"]) == api.store.revision


@pytest.mark.parametrize(("body", "status", "reason", "part"), [
    (config_map(), 409, "AlreadyExists", 'configmaps "x" already exists'),
    (config_map("y", resourceVersion="5"), 500, "", "resourceVersion should not be set on objects to be created"),
    (config_map("y", namespace="other"), 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"),
    (config_map("Y_"), 422, "Invalid", 'ConfigMap "Y_" is invalid: metadata.name: Invalid value: "Y_": a lowercase RFC 1123 subdomain must consist of'),
    ({"data": {}}, 422, "Invalid", "metadata.name: Required value: name or generateName is required"),
    ({"kind": "Secret", "metadata": {"name": "y"}}, 400, "BadRequest", 'cannot be handled as a ConfigMap'),
    ({"apiVersion": "v2", "metadata": {"name": "y"}}, 400, "BadRequest", "no kind \"ConfigMap\" is registered for version"),
    ({"metadata": {"name": "y"}, "data": {"a": 1}}, 400, "BadRequest", "cannot be handled as a ConfigMap"),
    ({"metadata": {"name": ["y"]}}, 400, "BadRequest", "cannot be handled as a ConfigMap"),
    ([], 400, "BadRequest", "json: cannot unmarshal array into Go value of type struct"),
    (b"{", 400, "BadRequest", ""),
    (b"\xff\xfe", 400, "BadRequest", ""),
    (b'{"metadata":{"name":"\\ud800"}}', 422, "Invalid", 'metadata.name: Invalid value: "\ufffd"'),
])
async def test_what_cannot_be_created(api: InProcess, body: Any, status: int, reason: str, part: str) -> None:
    await api.made(MAPS, config_map())
    before = api.store.revision
    refused(await api.post(MAPS, body), status, reason, part)
    assert api.store.revision == before


async def test_an_empty_body_is_no_object(api: InProcess) -> None:
    answer = await api.post(MAPS, None)
    assert answer.status in (400, 422) and answer.object["kind"] == "Status"


async def test_generated_names(api: InProcess) -> None:
    made = await asyncio.gather(*(api.made(MAPS, {"metadata": {"generateName": "gen-"}}) for _ in range(200)))
    names = {obj["metadata"]["name"] for obj in made}
    assert len(names) == 200
    assert all(re.fullmatch(f"gen-[{SUFFIX_LETTERS}]{{5}}", name) for name in names)
    long = await api.made(MAPS, {"metadata": {"generateName": "a" * 63}})
    assert len(long["metadata"]["name"]) == 63, "the base is cut to leave room"
    named = await api.made(MAPS, config_map("named", generateName="gen-"))
    assert named["metadata"]["name"] == "named"


async def test_a_taken_generated_name_is_replaced_by_another(api: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    suffixes = iter(["aaaaa", "aaaaa", "aaaaa", "bbbbb"])
    monkeypatch.setattr("tiffin.apiserver.writes.random_suffix", lambda: next(suffixes))
    assert (await api.made(MAPS, {"metadata": {"generateName": "g"}}))["metadata"]["name"] == "gaaaaa"
    assert (await api.made(MAPS, {"metadata": {"generateName": "g"}}))["metadata"]["name"] == "gbbbbb"


async def test_many_create_the_same_name_and_one_does(api: InProcess) -> None:
    answers = await asyncio.gather(*(api.post(MAPS, config_map()) for _ in range(30)))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 29


# updating


async def test_an_update_of_an_old_version_is_a_conflict(api: InProcess) -> None:
    first = await api.made(MAPS, config_map())
    second = await api.put(f"{MAPS}/x", {**first, "data": {"value": "1"}})
    assert second.status == 200
    refused(await api.put(f"{MAPS}/x", {**first, "data": {"value": "2"}}), 409, "Conflict", f'Operation cannot be fulfilled on configmaps "x": {MODIFIED}')
    for blind in ("", "0"):
        body = config_map()
        body["metadata"]["resourceVersion"] = blind
        body["data"]["value"] = f"blind{blind}"
        assert (await api.put(f"{MAPS}/x", body)).status == 200


async def test_patches_too_may_name_the_version_they_mean(api: InProcess) -> None:
    made = await api.made(MAPS, config_map())
    old = made["metadata"]["resourceVersion"]
    assert (await api.patch(f"{MAPS}/x", {"metadata": {"resourceVersion": old}, "data": {"value": "1"}})).status == 200
    refused(await api.patch(f"{MAPS}/x", {"metadata": {"resourceVersion": old}, "data": {"value": "2"}}), 409, "Conflict", MODIFIED)
    uid = [{"op": "test", "path": "/metadata/uid", "value": "other"}, {"op": "replace", "path": "/data/value", "value": "3"}]
    assert (await api.patch(f"{MAPS}/x", uid, type=JSON_PATCH)).status == 422
    assert (await api.get(f"{MAPS}/x")).object["data"] == {"value": "1"}


async def test_a_storm_of_patches_loses_none(api: InProcess) -> None:
    await api.made(MAPS, config_map())
    answers = await asyncio.gather(*(api.patch(f"{MAPS}/x", {"data": {f"k{n}": "v"}}) for n in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert len((await api.get(f"{MAPS}/x")).object["data"]) == 101
    assert len({answer.revision for answer in answers}) == 100


async def test_of_many_updates_of_one_version_one_wins(api: InProcess) -> None:
    made = await api.made(MAPS, config_map())
    answers = await asyncio.gather(*(api.put(f"{MAPS}/x", {**made, "data": {"value": str(n)}}) for n in range(1, 30)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 28
    (winner,) = [answer for answer in answers if answer.status == 200]
    assert (await api.get(f"{MAPS}/x")).object == winner.object


async def test_an_update_that_changes_nothing_writes_nothing(api: InProcess) -> None:
    made = await api.made(MAPS, config_map())
    for answer in (
        await api.put(f"{MAPS}/x", made), await api.patch(f"{MAPS}/x", {"data": {"value": "0"}}), await api.patch(f"{MAPS}/x", {}, type=STRATEGIC),
        await api.patch(f"{MAPS}/x", [], type=JSON_PATCH)):
        assert (answer.status, answer.object) == (200, made)
    assert api.store.revision == int(made["metadata"]["resourceVersion"])


@pytest.mark.parametrize(("body", "status", "part"), [
    (config_map("y"), 400, "the name of the object (y) does not match the name on the URL (x)"), ({"data": {}}, 400, "name must be provided"),
    (config_map(namespace="other"), 400, "the namespace of the provided object does not match"), (config_map(uid="other"), 409, "Precondition failed: UID in precondition: other"),
    (config_map(resourceVersion="abc"), 500, "resourceVersion")])
async def test_what_cannot_be_put(api: InProcess, body: Any, status: int, part: str) -> None:
    await api.made(MAPS, config_map())
    answer = await api.put(f"{MAPS}/x", body)
    assert answer.status == status and part in answer.message, answer.text


async def test_what_is_not_there_cannot_be_changed(api: InProcess) -> None:
    for answer in (
        await api.put(f"{MAPS}/none", config_map("none", resourceVersion="1")), await api.patch(f"{MAPS}/none", {}), await api.delete(f"{MAPS}/none"),
        await api.get(f"{MAPS}/none")):
        refused(answer, 404, "NotFound", 'configmaps "none" not found')
        assert answer.object["details"] == {"name": "none", "kind": "configmaps"}


@pytest.mark.parametrize(("type", "body", "status"), [
    (MERGE, b"{", 400), (MERGE, b"[]", 400), (JSON_PATCH, b"{}", 400), (JSON_PATCH, b'[{"op":"remove","path":"/nothing"}]', 422),
    (JSON_PATCH, b'[{"op":"nonsense","path":"/data"}]', 422), (STRATEGIC, b'{"data":5}', 422), ("text/plain", b"{}", 415), ("application/json", b"{}", 415),
    (MERGE, b'{"kind":"Pod"}', 422), (APPLY, b"a: [", 400), (APPLY, b"[]", 400)])
async def test_patches_that_are_none(api: InProcess, type: str, body: bytes, status: int) -> None:
    await api.made(MAPS, config_map())
    before = api.store.revision
    answer = await api.patch(f"{MAPS}/x?fieldManager=me", body, type=type)
    assert answer.status == status and answer.object["kind"] == "Status", answer.text
    assert api.store.revision == before


# dry run


async def test_a_dry_run_answers_and_changes_nothing(api: InProcess) -> None:
    made = await api.made(MAPS, config_map())
    since = api.store.revision
    stream = await api.watch(f"{MAPS}?watch=1&resourceVersion={since}")
    created = await api.post(f"{MAPS}?dryRun=All", config_map("y"))
    assert created.status == 201 and created.object["metadata"]["uid"]
    changed = await api.put(f"{MAPS}/x?dryRun=All", {**made, "data": {"value": "1"}})
    assert (changed.status, changed.object["data"]) == (200, {"value": "1"})
    assert (await api.patch(f"{MAPS}/x?dryRun=All", {"data": {"value": "2"}})).object["data"] == {"value": "2"}
    for options in (None, {"dryRun": ["All"]}):
        assert (await api.delete(f"{MAPS}/x" + ("" if options else "?dryRun=All"), options)).status == 200
    refused(await api.post(f"{MAPS}?dryRun=All", config_map()), 409, "AlreadyExists", "already exists")
    refused(await api.post(f"{MAPS}?dryRun=Some", config_map("y")), 422, "Invalid", 'dryRun: Unsupported value: ')
    assert api.store.revision == since and stream.events == []
    assert (await api.get(MAPS)).names == ["x"]


# deleting


async def test_a_deletion_says_what_went(api: InProcess) -> None:
    made = await api.made(MAPS, config_map())
    answer = await api.delete(f"{MAPS}/x")
    assert (answer.status, answer.object["status"]) == (200, "Success")
    assert answer.object["details"] == {"name": "x", "kind": "configmaps", "uid": made["metadata"]["uid"]}


async def test_finalizers_hold_until_the_last_is_gone(api: InProcess) -> None:
    await api.made(MAPS, config_map(finalizers=["example.org/a", "example.org/b"]))
    answer = await api.delete(f"{MAPS}/x")
    assert (answer.status, answer.object["kind"]) == (200, "ConfigMap")
    marked = answer.object["metadata"]
    assert marked["deletionTimestamp"] and marked["deletionGracePeriodSeconds"] == 0
    again = await api.delete(f"{MAPS}/x")
    assert again.object["metadata"]["resourceVersion"] == marked["resourceVersion"], "a second deletion changes nothing"
    refused(await api.post(MAPS, config_map()), 409, "AlreadyExists", "object is being deleted: ")
    assert (await api.patch(f"{MAPS}/x", {"metadata": {"finalizers": ["example.org/a"]}})).status == 200
    refused(await api.patch(f"{MAPS}/x", {"metadata": {"finalizers": ["example.org/a", "example.org/c"]}}), 422, "Invalid", "no new finalizers can be added if the object is being deleted")
    last = await api.patch(f"{MAPS}/x", {"metadata": {"finalizers": None}})
    assert last.status == 200
    assert (await api.get(f"{MAPS}/x")).status == 404


async def test_a_deletion_timestamp_cannot_be_written(api: InProcess) -> None:
    await api.made(MAPS, config_map(finalizers=["example.org/a"]))
    stamp = (await api.delete(f"{MAPS}/x")).object["metadata"]["deletionTimestamp"]
    await api.patch(f"{MAPS}/x", {"metadata": {"deletionTimestamp": None, "labels": {"a": "b"}}})
    after = (await api.get(f"{MAPS}/x")).object["metadata"]
    assert (after["deletionTimestamp"], after["labels"]) == (stamp, {"a": "b"})


@pytest.mark.parametrize(("options", "finalizers"), [
    ({"propagationPolicy": "Foreground"}, ["foregroundDeletion"]), ({"propagationPolicy": "Orphan"}, ["orphan"]), ({"orphanDependents": True}, ["orphan"]),
    ({"propagationPolicy": "Background"}, None), ({"orphanDependents": False}, None), ({}, None)])
async def test_propagation(api: InProcess, options: dict[str, Any], finalizers: list[str] | None) -> None:
    await api.made(MAPS, config_map())
    answer = await api.delete(f"{MAPS}/x", options)
    found = await api.get(f"{MAPS}/x")
    if finalizers is None:
        assert found.status == 404
    else:
        assert found.object["metadata"]["finalizers"] == finalizers
        assert answer.object["metadata"]["deletionTimestamp"]


@pytest.mark.parametrize(("options", "part"), [
    ({"propagationPolicy": "Sideways"}, 'propagationPolicy: Unsupported value: "Sideways"'), ({"dryRun": ["Some"]}, "dryRun: Unsupported value"),
    ({"propagationPolicy": "Orphan", "orphanDependents": True}, "orphanDependents and deletionPropagation cannot be both set")])
async def test_options_that_are_refused(api: InProcess, options: dict[str, Any], part: str) -> None:
    await api.made(MAPS, config_map())
    refused(await api.delete(f"{MAPS}/x", options), 422, "Invalid", part)
    assert (await api.get(f"{MAPS}/x")).status == 200


async def test_preconditions(api: InProcess) -> None:
    made = (await api.made(MAPS, config_map()))["metadata"]
    refused(await api.delete(f"{MAPS}/x", {"preconditions": {"uid": "other"}}), 409, "Conflict", f"the UID in the precondition (other) does not match the UID in record ({made['uid']})")
    refused(await api.delete(f"{MAPS}/x", {"preconditions": {"resourceVersion": "1"}}), 409, "Conflict", "the ResourceVersion in the precondition (1) does not match")
    assert (await api.delete(f"{MAPS}/x", {"preconditions": {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}})).status == 200


async def test_a_pod_on_a_node_goes_gracefully_and_one_on_none_at_once(api: InProcess) -> None:
    await api.made(PODS, pod("free"))
    assert (await api.delete(f"{PODS}/free")).status == 200
    assert (await api.get(f"{PODS}/free")).status == 404
    await api.made(PODS, pod("bound", nodeName="n"))
    first = (await api.delete(f"{PODS}/bound?gracePeriodSeconds=20")).object["metadata"]
    assert first["deletionGracePeriodSeconds"] == 20
    later = (await api.delete(f"{PODS}/bound?gracePeriodSeconds=90")).object["metadata"]
    assert (later["deletionGracePeriodSeconds"], later["deletionTimestamp"]) == (20, first["deletionTimestamp"]), "the end never moves away"
    sooner = (await api.delete(f"{PODS}/bound?gracePeriodSeconds=5")).object["metadata"]
    assert sooner["deletionGracePeriodSeconds"] == 5
    assert (await api.delete(f"{PODS}/bound?gracePeriodSeconds=0")).status == 200
    assert (await api.get(f"{PODS}/bound")).status == 404


async def test_many_delete_one_object_and_one_does(api: InProcess) -> None:
    await api.made(MAPS, config_map())
    answers = await asyncio.gather(*(api.delete(f"{MAPS}/x") for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [404] * 19


# custom resources take the same path


async def test_a_definition_is_served_as_soon_as_it_is_made(api: InProcess) -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1}}}}}
    names = {"plural": "boxes", "singular": "box", "kind": "Box"}
    definition = {"metadata": {"name": "boxes.example.org"}, "spec": {
        "group": "example.org", "scope": "Namespaced", "names": names,
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}}
    await api.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
    boxes = "/apis/example.org/v1/namespaces/default/boxes"
    async with asyncio.timeout(5):
        while (await api.get(boxes)).status == 404:
            await asyncio.sleep(0)
    box = {"apiVersion": "example.org/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": {"size": 2}}
    assert (await api.made(boxes, box))["spec"] == {"size": 2}
    await api.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/boxes.example.org")
    async with asyncio.timeout(5):
        while (await api.get(boxes)).status != 404:
            await asyncio.sleep(0)
    assert api.store.index.count("boxes.example.org") == 0


# a log that fails


async def test_a_full_disk_is_an_error_and_changes_nothing(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryLog):
        full = False

        def append(self, batch: Any) -> None:
            if self.full:
                raise LogError("database or disk is full")

    log = Full()
    async with in_process(pki, log) as api:
        made = await api.made(MAPS, config_map())
        log.full = True
        for answer in (
            await api.post(MAPS, config_map("y")), await api.patch(f"{MAPS}/x", {"data": {"value": "1"}}), await api.delete(f"{MAPS}/x")):
            assert answer.status == 500 and answer.reason == "InternalError"
        assert (await api.get(f"{MAPS}/x")).object == made and (await api.get(MAPS)).names == ["x"]
        log.full = False
        assert (await api.patch(f"{MAPS}/x", {"data": {"value": "2"}})).status == 200


@pytest.mark.parametrize(("path", "body", "times", "any_finalizer"), [
    (MAPS, {}, 4, False),
    ("/api/v1/namespaces/default/podtemplates", {"template": pod()}, 3, True),
    ("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", {}, 5, False),
    ("/apis/policy/v1/namespaces/default/poddisruptionbudgets", {"spec": {}}, 2, True),
])
async def test_metadata_is_looked_at_as_often_as_its_kind_does(api: InProcess, path: str, body: dict[str, Any], times: int, any_finalizer: bool) -> None:
    await api.made(path, {"metadata": {"name": "x"}} | body)
    answer = await api.patch(f"{path}/x", {"metadata": {"labels": {"a b": "c"}}}, type=MERGE)
    assert [cause["field"] for cause in answer.object["details"]["causes"]] == ["metadata.labels"] * times
    answer = await api.patch(f"{path}/x", {"metadata": {"finalizers": ["short"]}}, type=MERGE)
    assert answer.status == (200 if any_finalizer else 422), answer.text


@pytest.mark.parametrize(("patch", "message"), [
    ("null", ""), ("[]", ""), ("[1]", "json: cannot unmarshal number into Go value of type jsonpatch.Operation"),
    ('"x"', "json: cannot unmarshal string into Go value of type jsonpatch.Patch"),
    ("{", "unexpected end of JSON input"), ("[null]", "the server rejected our request due to an error in our request"),
])
async def test_json_patches_that_are_none(api: InProcess, patch: str, message: str) -> None:
    await api.made(MAPS, config_map())
    answer = await api.patch(f"{MAPS}/x", patch.encode(), type=JSON_PATCH)
    assert (answer.message if message else answer.status) == (message or 200), answer.text


@pytest.mark.parametrize(("query", "orphan"), [
    ("orphanDependents=", True), ("orphanDependents=perhaps", True), ("orphanDependents=FALSE", False), ("orphanDependents=0", False), ("", False)])
async def test_booleans_of_options(api: InProcess, query: str, orphan: bool) -> None:
    await api.made(MAPS, config_map())
    answer = await api.delete(f"{MAPS}/x?dryRun=All&{query}")
    assert (answer.object["metadata"].get("finalizers") == ["orphan"]) is orphan
