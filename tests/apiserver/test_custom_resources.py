"""Custom resources of a whole server: definitions served at once, versions, conversion, scale, status, and what becomes of the stored."""
from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.apiserver.inprocess import APPLY, JSON_PATCH, TOKENS, InProcess, in_process
from tiffin.apiserver.server import Assembly, Options
from tiffin.apiserver.webhooks.client import WebhookError
from tiffin.net.pki import Pki
from tiffin.store.log import MemoryLog
from tiffin.store.store import Store

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = f"{CRDS}/widgets.e.com"
V1, V2 = "/apis/e.com/v1/namespaces/default/widgets", "/apis/e.com/v2/namespaces/default/widgets"
TEXT = {"type": "string"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def spec(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


def version(name: str, schema: dict[str, Any] | None = None, storage: bool = False, **more: Any) -> dict[str, Any]:
    keep = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": schema or keep}, **more}


async def define(api: InProcess, *versions: dict[str, Any], scope: str = "Namespaced", **more: Any) -> None:
    await api.made(CRDS, {"metadata": {"name": "widgets.e.com"}, "spec": {
        "group": "e.com", "scope": scope, "names": {"plural": "widgets", "kind": "Widget"}, "versions": list(versions), **more}})
    async with asyncio.timeout(5):
        while (await api.get(f"/apis/e.com/{versions[0]['name']}/widgets")).status == 404:
            await asyncio.sleep(0)


def widget(name: str = "w", version: str = "v1", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": f"e.com/{version}", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


async def test_a_new_schema_is_in_force_at_once(api: InProcess) -> None:
    await define(api, version("v1", spec(a=TEXT), True))
    await api.made(V1, widget(a="x"))
    path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/b"
    late = {**TEXT, "default": "late", "maxLength": 4}
    assert (await api.patch(WIDGETS, [{"op": "add", "path": path, "value": late}], type=JSON_PATCH)).status == 200
    assert (await api.get(f"{V1}/w")).object["spec"] == {"a": "x", "b": "late"}
    assert [item["spec"] for item in (await api.get(V1)).object["items"]] == [{"a": "x", "b": "late"}]
    assert (await api.post(V1, widget("v", b="much too long"))).message == 'Widget.e.com "v" is invalid: spec.b: Too long: may not be more than 4 bytes'
    (stored,) = api.store.entries("widgets.e.com")
    assert stored.object["spec"] == {"a": "x"}, "reading changes nothing"


async def test_a_server_that_starts_again_reads_by_the_same_rules(pki: Pki) -> None:
    async with in_process(pki) as api:
        await define(api, version("v1", spec(a={**TEXT, "default": "d"}), True))
        await api.made(V1, widget(odd=1))
        index = api.store.index
    again = InProcess(Assembly(Store(MemoryLog(), index), Options(pki, TOKENS, "127.0.0.1:6443", "10.96.0.0/16")))
    await again.assembly.start()
    try:
        assert (await again.get(f"{V1}/w")).object["spec"] == {"a": "d"}
        assert (await again.post(V1, widget("v", a=1))).status == 422
    finally:
        await again.stop()


async def test_versions_without_conversion(api: InProcess) -> None:
    await define(api, version("v1", spec(a=TEXT), True), version("v2", spec(a=TEXT, b={**TEXT, "default": "from v2"})))
    stream = await api.watch(f"{V2}?watch=1")
    await api.made(V1, widget(a="1"))
    event = await stream.next()
    assert (event["type"], event["object"]["apiVersion"], event["object"]["spec"]) == ("ADDED", "e.com/v2", {"a": "1"})
    assert (await api.made(V2, widget("two", "v2", a="2", b="dropped")))["spec"] == {"a": "2"}
    assert (await stream.next())["object"]["apiVersion"] == "e.com/v2"
    assert [item["apiVersion"] for item in (await api.get(V2)).object["items"]] == ["e.com/v2"] * 2
    changed = (await api.patch(f"{V2}/two", {"metadata": {"labels": {"x": "y"}}})).object
    assert changed["apiVersion"] == "e.com/v2" and changed["metadata"]["generation"] == 2, "a default that is not stored comes anew"
    assert (await api.delete(f"{V2}/two")).status == 200


async def test_the_storage_version_moves_by_writing(api: InProcess) -> None:
    await define(api, version("v1", None, True), version("v2"))
    await api.made(V1, widget(a="1"))
    move = [{"op": "replace", "path": "/spec/versions/0/storage", "value": False}, {"op": "replace", "path": "/spec/versions/1/storage", "value": True}]
    assert (await api.patch(WIDGETS, move, type=JSON_PATCH)).object["status"]["storedVersions"] == ["v1", "v2"]
    (entry,) = api.store.entries("widgets.e.com")
    assert entry.object["apiVersion"] == "e.com/v1"
    read = (await api.get(f"{V2}/w")).object
    written = await api.put(f"{V2}/w", read)
    assert written.status == 200 and written.object["metadata"]["generation"] == 1
    (entry,) = api.store.entries("widgets.e.com")
    assert entry.object["apiVersion"] == "e.com/v2", "a write that changes nothing else migrates"
    refused = await api.patch(WIDGETS, [{"op": "remove", "path": "/spec/versions/0"}], type=JSON_PATCH)
    assert refused.status == 422 and "must remain in spec.versions until a storage migration" in refused.message


class Converter:
    """A webhook: it moves `spec.host` to `spec.hosts` and back. `spoil` changes its answer."""

    def __init__(self, api: InProcess) -> None:
        self.calls: list[int] = []
        self.spoil: Any = None
        api.assembly.webhooks.post = self.post  # type: ignore[method-assign]

    async def post(self, config: Any, review: Any, timeout: int) -> Any:
        await asyncio.sleep(0)
        request = review["request"]
        self.calls.append(len(request["objects"]))
        objects = [self.convert(obj, request["desiredAPIVersion"]) for obj in request["objects"]]
        answer = {"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": {
            "uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}}
        if self.spoil is not None:
            self.spoil(answer)
        return answer

    @staticmethod
    def convert(obj: Any, wanted: str) -> Any:
        made = {**obj, "apiVersion": wanted, "metadata": dict(obj["metadata"])}
        if wanted.endswith("v2"):
            made["spec"] = {"hosts": [obj["spec"]["host"]]}
        else:
            made["spec"] = {"host": obj["spec"]["hosts"][0]}
        return made


WEBHOOK = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": {"name": "c", "namespace": "default"}}}}
HOST, HOSTS = spec(host={**TEXT, "minLength": 2}), spec(hosts={"type": "array", "items": TEXT})


async def test_conversion_by_webhook(api: InProcess) -> None:
    converter = Converter(api)
    await define(api, version("v1", HOST, True), version("v2", HOSTS), conversion=WEBHOOK)
    stream = await api.watch(f"{V2}?watch=1")
    await api.made(V1, widget("a", host="aa"))
    assert (await stream.next())["object"]["spec"] == {"hosts": ["aa"]}
    assert (await api.made(V2, widget("b", "v2", hosts=["bb"])))["spec"] == {"hosts": ["bb"]}
    assert (await api.get(f"{V1}/b")).object["spec"] == {"host": "bb"}
    converter.calls.clear()
    assert [item["spec"] for item in (await api.get(V2)).object["items"]] == [{"hosts": ["aa"]}, {"hosts": ["bb"]}]
    assert [item["spec"] for item in (await api.get(V1)).object["items"]] == [{"host": "aa"}, {"host": "bb"}]
    assert converter.calls[0] == 2, "one call for a list, and none for what needs no conversion"
    assert (await api.patch(f"{V2}/a", {"spec": {"hosts": ["cc"]}})).object["spec"] == {"hosts": ["cc"]}
    assert (await api.get(f"{V1}/a")).object["spec"] == {"host": "cc"}
    applied = await api.patch(f"{V2}/n?fieldManager=m", widget("n", "v2", hosts=["nn"]), type=APPLY)
    assert applied.status == 201 and applied.object["metadata"]["managedFields"][0]["apiVersion"] == "e.com/v2"
    assert (await api.delete(f"{V2}/a")).status == 200
    kinds = [(await stream.next())["type"] for _ in range(4)]
    assert kinds == ["ADDED", "MODIFIED", "ADDED", "DELETED"]


def _answer(**changes: Any) -> Any:
    return lambda answer: answer["response"].update(changes)


def _converted(change: Any) -> Any:
    return lambda answer: [change(obj) for obj in answer["response"]["convertedObjects"]]


FAILURES = {
    "no response": (lambda answer: answer.pop("response"), "failed: no response provided"),
    "another kind": (lambda answer: answer.update(kind="Odd"),
                     "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=Odd"),
    "refused": (_answer(result={"status": "Failure", "message": "too odd"}), "failed: too odd"),
    "too few": (_answer(convertedObjects=[]), "returned 0 objects, expected 1"),
    "version": (_converted(lambda obj: obj.update(apiVersion="e.com/v9")), "returned invalid object at index 0: invalid groupVersion (expected e.com/v2, received e.com/v9)"),
    "kind": (_converted(lambda obj: obj.update(kind="Odd")), "returned invalid object at index 0: invalid kind (expected Widget, received Odd)"),
    "name": (_converted(lambda obj: obj["metadata"].update(name="z")), "returned invalid object: must have the same name: a != z"),
    "metadata": (_converted(lambda obj: obj.pop("metadata")), "returned invalid object: must have the same name: a != "),
    "labels": (_converted(lambda obj: obj["metadata"].update(labels={"k": 1})), "returned invalid metadata: metadata.labels[k] must be a string, but is int64 in converted object"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_what_a_webhook_may_not_answer(api: InProcess, failure: str) -> None:
    converter = Converter(api)
    await define(api, version("v1", HOST, True), version("v2", HOSTS), conversion=WEBHOOK)
    await api.made(V1, widget("a", host="aa"))
    converter.spoil, told = FAILURES[failure]
    for answer in (await api.get(f"{V2}/a"), await api.get(V2), await api.patch(f"{V2}/a", {"spec": {}}), await api.delete(f"{V2}/a")):
        assert (answer.status, answer.message) == (500, f"conversion webhook for e.com/v1, Kind=Widget {told}")
    assert (await api.get(f"{V1}/a")).status == 200, "who needs no conversion is not disturbed"


async def test_a_webhook_changes_labels_and_nothing_else_of_the_metadata(api: InProcess) -> None:
    converter = Converter(api)
    await define(api, version("v1", HOST, True), version("v2", HOSTS), conversion=WEBHOOK)
    await api.made(V1, widget("a", host="aa"))
    converter.spoil = _converted(lambda obj: obj["metadata"].update(labels={"k": "v"}, finalizers=["x.io/y"], generation=9))
    metadata = (await api.get(f"{V2}/a")).object["metadata"]
    assert metadata["labels"] == {"k": "v"} and metadata["generation"] == 1 and "finalizers" not in metadata


async def test_an_unreachable_webhook(api: InProcess) -> None:
    async def post(*_: Any) -> Any:
        raise WebhookError('Post "https://c.default.svc:443/?timeout=30s": service "c" not found')

    api.assembly.webhooks.post = post  # type: ignore[method-assign]
    await define(api, version("v1", HOST, True), version("v2", HOSTS), conversion=WEBHOOK)
    told = 'failed: Post "https://c.default.svc:443/?timeout=30s": service "c" not found'
    answer = await api.post(V2, widget("b", "v2", hosts=["bb"]))
    assert (answer.status, answer.message) == (500, f"conversion webhook for e.com/v2, Kind=Widget {told}")
    assert (await api.get(V1)).names == []


async def test_scale(api: InProcess) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    paths = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.selector"}
    await define(api, version("v1", schema, True, subresources={"status": {}, "scale": paths}))
    await api.made(V1, widget())
    assert (await api.get(f"{V1}/w/scale")).message == 'Internal error occurred: the spec replicas field ".spec.size" does not exist'
    await api.patch(f"{V1}/w", {"spec": {"size": 3}})
    await api.patch(f"{V1}/w/status", {"status": {"size": 2, "selector": "a=b"}})
    scale = (await api.get(f"{V1}/w/scale")).object
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2, "selector": "a=b"})
    assert (await api.put(f"{V1}/w/scale", {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "w"}, "spec": {"replicas": 5}})).status == 200
    assert (await api.get(f"{V1}/w")).object["spec"] == {"size": 5}
    assert (await api.patch(f"{V1}/w/scale", {"spec": {"replicas": -1}})).message.endswith(".spec.size: Invalid value: -1: should be a non-negative integer")
    assert (await api.patch(f"{V1}/w", {"spec": {"size": "x"}})).message.endswith("accessor error: x is of the type string, expected int64")


async def test_columns(api: InProcess) -> None:
    columns = [{"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
               {"name": "N", "type": "integer", "jsonPath": ".spec.n", "priority": 1}, {"name": "When", "type": "date", "jsonPath": ".spec.when"}]
    await define(api, version("v1", None, True, additionalPrinterColumns=columns))
    await api.made(V1, {**widget("a", n=3, when="odd"), "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    await api.made(V1, widget("b", n="text"))
    table = (await api.get(V1, accept=TABLE)).object
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Ready", "N", "When"]
    assert [row["cells"] for row in table["rows"]] == [["a", "True", 3, "<invalid>"], ["b", None, None, None]]


async def test_names_wait_for_others_to_go(api: InProcess) -> None:
    await define(api, version("v1", None, True))
    other = {"metadata": {"name": "gadgets.e.com"}, "spec": {
        "group": "e.com", "scope": "Cluster", "names": {"plural": "gadgets", "kind": "Widget"}, "versions": [version("v1", None, True)]}}
    await api.made(CRDS, other)
    async with asyncio.timeout(5):
        while not (found := (await api.get(f"{CRDS}/gadgets.e.com")).object["status"]["conditions"]):
            await asyncio.sleep(0)
        assert [(c["reason"], c["message"]) for c in found] == [
            ("ListKindConflict", '"WidgetList" is already in use'), ("NotAccepted", "not all names are accepted")]
        assert (await api.get("/apis/e.com/v1/gadgets")).status == 404
        await api.delete(WIDGETS)
        while (await api.get("/apis/e.com/v1/gadgets")).status == 404:
            await asyncio.sleep(0)


async def test_a_definition_that_goes_takes_no_new_objects(api: InProcess) -> None:
    await define(api, version("v1", None, True))
    held = widget("held")
    held["metadata"]["finalizers"] = ["e.com/hold"]
    await api.made(V1, held)
    gone = (await api.delete(WIDGETS)).object
    assert [c["reason"] for c in gone["status"]["conditions"]][-1] == "InstanceDeletionPending"
    assert gone["metadata"]["generation"] == 1
    answer = await api.post(V1, widget("late"))
    assert (answer.status, answer.message) == (405, "create not allowed while custom resource definition is terminating")
    async with asyncio.timeout(5):
        while not (await api.get(f"{V1}/held")).object["metadata"].get("deletionTimestamp"):
            await asyncio.sleep(0)
        assert (await api.patch(f"{V1}/held", {"metadata": {"finalizers": None}})).status == 200
        while (await api.get(WIDGETS)).status != 404:
            await asyncio.sleep(0)
    assert (await api.get(V1)).text == "404 page not found\n"


async def test_strict_clients_are_told_of_all_unknown_fields(api: InProcess) -> None:
    await define(api, version("v1", spec(a=TEXT), True))
    answer = await api.post(f"{V1}?fieldValidation=Strict", {**widget(b=1), "odd": 1})
    assert answer.message == 'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "odd", unknown field "spec.b"'
    warned = await api.patch(f"{V1}/w?fieldManager=m", widget(a="x"), type=APPLY)
    assert warned.status == 201
    assert (await api.patch(f"{V1}/w", {"spec": {"b": 1}})).warnings == ('299 - "unknown field \\"spec.b\\""',)
    assert (await api.patch(f"{V1}/w?fieldManager=m", widget(b="x"), type=APPLY)).status == 500


async def test_wrong_types_never_break_the_server(api: InProcess) -> None:
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
        "type": "object", "required": ["k"], "properties": {"k": TEXT}}}
    await define(api, version("v1", spec(a=TEXT, l=keyed, s={"type": "array", "x-kubernetes-list-type": "set", "items": TEXT}, m={
        "type": "object", "additionalProperties": TEXT}), True, subresources={"status": {}}))
    await api.made(V1, widget("w", a="x", l=[{"k": "1"}], s=["x"], m={"a": "b"}))
    for value in (None, True, 1, 1.5, "x", [], [1], [None], [[]], {}, {"a": 1}, {"k": []}, [{"k": {}}], [{"k": "1"}, {"k": "1"}]):
        for field in ("a", "l", "s", "m"):
            for answer in (await api.post(V1, widget("n", **{field: value})), await api.patch(f"{V1}/w", {"spec": {field: value}}),
                           await api.put(f"{V1}/w", {**widget("w", **{field: value}), "status": value})):
                assert answer.status in (200, 201, 422), (field, value, answer.text)
            await api.delete(f"{V1}/n")
        assert (await api.patch(f"{V1}/w", {"spec": value})).status in (200, 422)


async def test_a_status_has_its_defaults_from_the_beginning(api: InProcess) -> None:
    status = {"type": "object", "default": {"observed": -1}, "properties": {"observed": {"type": "integer"}}}
    await define(api, version("v1", {"type": "object", "properties": {"spec": {"type": "object"}, "status": status}}, True, subresources={"status": {}}))
    assert (await api.made(V1, {**widget(), "status": {"observed": 9}}))["status"] == {"observed": -1}
    assert (await api.get(f"{V1}/w")).object["status"] == {"observed": -1}


async def test_what_is_wrong_with_a_status_is_told_from_there(api: InProcess) -> None:
    status = {"type": "object", "properties": {"n": {"type": "integer"}, "one": {"oneOf": [{"minimum": 1}, {"maximum": 2}], "type": "integer"}}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "status": status}}
    await define(api, version("v1", schema, True, subresources={"status": {}}))
    await api.made(V1, widget())
    answer = await api.patch(f"{V1}/w/status", {"status": {"n": "x", "one": 1}})
    assert [(c["field"], c["message"]) for c in answer.object["details"]["causes"]] == [
        ("status.n", 'Invalid value: "string": n in body must be of type integer: "string"'),
        ("status", 'Invalid value: "": "one" must validate one and only one schema (oneOf). Found 2 valid alternatives')]


async def test_a_status_can_be_written_though_the_rest_is_not_valid_any_more(api: InProcess) -> None:
    await define(api, version("v1", None, True, subresources={"status": {}}))
    await api.made(V1, widget(a=1))
    strict = {"type": "object", "required": ["more"], "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}, "status": {
        "type": "object", "properties": {"n": {"type": "integer"}}}}}
    await api.patch(WIDGETS, {"spec": {"versions": [version("v1", strict, True, subresources={"status": {}})]}})
    assert (await api.patch(f"{V1}/w/status", {"status": {"n": 1}})).status == 200
    assert (await api.patch(f"{V1}/w", {"spec": {"a": 2}})).status == 422


async def test_finalizers_need_no_domain_but_are_warned_of(api: InProcess) -> None:
    await define(api, version("v1", None, True))
    answer = await api.post(V1, widget() | {"metadata": {"name": "w", "finalizers": ["mine", "e.com/mine"]}})
    told = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
    assert answer.status == 201 and answer.warnings == (f'299 - "metadata.finalizers: \\"mine\\": {told}"',)
    answer = await api.patch(f"{V1}/w", {"metadata": {"finalizers": []}})
    assert answer.status == 200 and not answer.warnings


async def test_unchanged_values_that_break_a_rule_are_warned_of(api: InProcess) -> None:
    whole = {"type": "integer"}
    await define(api, version("v1", spec(a=whole, b=whole), True))
    await api.made(V1, widget(a=9, b=1))
    await api.patch(WIDGETS, {"spec": {"versions": [version("v1", spec(a={**whole, "x-kubernetes-validations": [{"rule": "self < 5"}]}, b=whole), True)]}})
    answer = await api.patch(f"{V1}/w", {"spec": {"b": 2}})
    assert answer.status == 200 and answer.warnings == ('299 - "spec.a: Invalid value: 9: failed rule: self < 5"',)
