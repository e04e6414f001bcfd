"""Admission webhooks: a whole server asks real HTTPS servers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.apiserver.hook_server import Hook, as_json, hook_server, reviewed
from tests.apiserver.inprocess import JSON_PATCH, Answer, InProcess
from tiffin.apiserver import servicedial
from tiffin.machinery.object import Object
from tiffin.net.pki import Pki

V1 = "/apis/admissionregistration.k8s.io/v1"
MAPS = "/api/v1/namespaces/default/configmaps"
ANY_MAP = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}


def webhook(hook: Hook, name: str = "a.example.com", rule: Object = ANY_MAP, **more: Any) -> Object:
    client = more.pop("clientConfig", hook.url("/" + name))
    base = {"name": name, "clientConfig": client, "rules": [rule], "sideEffects": "None", "admissionReviewVersions": ["v1"]}
    return base | more


async def configure(api: InProcess, kind: str, *hooks: Object, name: str = "w") -> Answer:
    plural = f"{kind.lower()}webhookconfigurations"
    body = {"kind": f"{kind}WebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}, "webhooks": list(hooks)}
    answer = await api.post(f"{V1}/{plural}", body)
    assert answer.status == 201, answer.text
    return answer


def config_map(name: str = "m", **data: str) -> Object:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


def adding(*operations: Object) -> Any:
    return lambda review: reviewed(review, patch=list(operations))


def set_data(key: str, value: str) -> Object:
    return {"op": "add", "path": f"/data/{key}", "value": value}


async def test_the_request_as_the_webhook_sees_it(api: InProcess, pki: Pki) -> None:
    async with hook_server(pki) as hook:
        await configure(api, "Validating", webhook(hook))
        await api.made(f"{MAPS}?fieldManager=me", config_map(a="1"))
        (asked,) = hook.requests
        assert hook.seen[0]["apiVersion"] == "admission.k8s.io/v1" and hook.seen[0]["kind"] == "AdmissionReview"
        assert asked["kind"] == asked["requestKind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
        assert asked["resource"] == asked["requestResource"] == {"group": "", "version": "v1", "resource": "configmaps"}
        assert (asked["name"], asked["namespace"], asked["operation"], asked["dryRun"]) == ("m", "default", "CREATE", False)
        assert asked["userInfo"] == {"username": "admin", "uid": "1", "groups": ["system:masters", "system:authenticated"]}
        assert asked["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"}
        assert asked["object"]["data"] == {"a": "1"} and asked["object"]["kind"] == "ConfigMap" and asked["oldObject"] is None
        assert "subResource" not in asked and hook.targets == ["/a.example.com?timeout=10s"]


async def test_update_and_delete_show_the_stored_object(api: InProcess, pki: Pki) -> None:
    stored = await api.made(MAPS, config_map(a="1"))
    async with hook_server(pki) as hook:
        await configure(api, "Validating", webhook(hook))
        updated = (await api.patch(f"{MAPS}/m", {"data": {"a": "2"}})).object
        await api.delete(f"{MAPS}/m", {"dryRun": ["All"]})
        update, delete = hook.requests
        assert update["oldObject"] == stored and update["object"]["data"] == {"a": "2"}
        assert (delete["operation"], delete["object"], delete["oldObject"]) == ("DELETE", None, updated)
        assert delete["dryRun"] is True and delete["options"]["kind"] == "DeleteOptions"


async def test_attack_15_a_validating_webhook_sees_the_stored_old_object_on_every_retry(api: InProcess, pki: Pki) -> None:
    """CVE-2021-25735: another write comes between; the webhook is asked anew, about what is stored now, and the client cannot feign it."""
    await api.made(MAPS, config_map(a="1"))

    async def meddle(review: Object) -> Any:
        if len(hook.seen) == 1:
            await api.patch(f"{MAPS}/m", {"metadata": {"labels": {"locked": "yes"}}})
        locked = (review["request"]["oldObject"]["metadata"].get("labels") or {}).get("locked")
        return reviewed(review, not locked or "locked" in (review["request"]["object"]["metadata"].get("labels") or {}))

    async with hook_server(pki) as hook:
        await configure(api, "Validating", webhook(hook))
        hook.answer = meddle
        forged = config_map(a="2") | {"metadata": {"name": "m", "creationTimestamp": "2001-01-01T00:00:00Z"}}
        answer = await api.put(f"{MAPS}/m", forged)
        assert answer.status == 400 and "denied the request" in answer.message
        olds = [asked["oldObject"] for asked in hook.requests]
        assert [old["metadata"].get("labels") for old in olds] == [None, None, {"locked": "yes"}]
        assert all(old["data"] == {"a": "1"} and old["metadata"]["creationTimestamp"] != "2001-01-01T00:00:00Z" for old in olds)
        assert hook.requests[2]["object"]["metadata"]["creationTimestamp"] == olds[0]["metadata"]["creationTimestamp"]


async def test_mutating_webhooks_run_in_order_and_validating_ones_see_the_outcome(api: InProcess, pki: Pki) -> None:
    def answer(review: Object) -> Any:
        name = hook.targets[-1][1:2]
        if name == "v":
            return reviewed(review)
        before = review["request"]["object"]["data"].get("order", "")
        return reviewed(review, patch=[set_data("order", before + name)])

    async with hook_server(pki) as hook:
        hook.answer = answer
        await configure(api, "Mutating", webhook(hook, "c.example.com"), name="z")
        await configure(api, "Mutating", webhook(hook, "b.example.com"), webhook(hook, "a.example.com"), name="y")
        await configure(api, "Validating", webhook(hook, "v.example.com"))
        made = await api.made(MAPS, config_map(a="1"))
        assert made["data"] == {"a": "1", "order": "bac"}
        assert hook.requests[-1]["object"]["data"]["order"] == "bac"


async def test_the_denial_carries_code_reason_and_message(api: InProcess, pki: Pki) -> None:
    async with hook_server(pki) as hook:
        await configure(api, "Validating", webhook(hook))
        words = 'admission webhook "a.example.com" denied the request'
        for status, code, reason, message in (
            ({}, 400, "", f"{words} without explanation"),
            ({"message": "no maps"}, 400, "", f"{words}: no maps"),
            ({"reason": "Conflict"}, 400, "Conflict", f"{words}: Conflict"),
            ({"code": 418, "message": "tea", "reason": "Teapot"}, 418, "Teapot", f"{words}: tea"),
            ({"code": 200, "status": "Success", "message": "fine"}, 400, "", f"{words}: fine"),
        ):
            hook.answer = lambda review, status=status: reviewed(review, False, status=status)  # type: ignore[misc]
            answer = await api.post(MAPS, config_map())
            assert (answer.status, answer.reason, answer.message) == (code, reason, message)
            assert answer.object["status"] == "Failure"
        assert (await api.get(MAPS)).object["items"] == []


async def test_warnings_reach_the_client(api: InProcess, pki: Pki) -> None:
    async with hook_server(pki, lambda review: reviewed(review, warnings=["think twice"])) as hook:
        await configure(api, "Validating", webhook(hook))
        assert (await api.post(MAPS, config_map())).warnings == ('299 - "think twice"',)


async def test_a_webhook_behind_a_service(api: InProcess, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint of the Service is dialled, under the Service's name; here the pod's address stands for the loopback socket."""
    monkeypatch.setattr(servicedial, "checked_address", lambda address: {"10.1.2.3": "127.0.0.1"}[address])
    async with hook_server(pki, lambda review: reviewed(review, False, status={"message": "no"})) as hook:
        service = {"namespace": "default", "name": "hook", "path": "/check"}
        await configure(api, "Validating", webhook(hook, clientConfig={"service": service, "caBundle": hook.ca_bundle}))
        asked = 'failed calling webhook "a.example.com": failed to call webhook: Post "https://hook.default.svc:443/check?timeout=10s": '
        assert (await api.post(MAPS, config_map())).message == f'Internal error occurred: {asked}service "hook" not found'
        ports = [{"name": "https", "port": 443, "targetPort": hook.port}]
        await api.made("/api/v1/namespaces/default/services", {"metadata": {"name": "hook"}, "spec": {"ports": ports}})
        assert (await api.post(MAPS, config_map())).message == f'Internal error occurred: {asked}no endpoints available for service "hook"'
        await api.made("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
            "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
            "ports": [{"name": "https", "port": hook.port}], "endpoints": [{"addresses": ["10.1.2.3"]}]})  # fmt: skip
        assert (await api.post(MAPS, config_map())).message == 'admission webhook "a.example.com" denied the request: no'
        assert hook.targets == ["/check?timeout=10s"]


BROKEN: list[tuple[Any, str]] = [
    (lambda r: as_json({}), "received invalid webhook response: webhook response was absent"),
    (lambda r: as_json([1]), "received invalid webhook response: webhook response was absent"),
    (lambda r: as_json({"response": {"uid": r["request"]["uid"], "allowed": True}}),
     "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="),
    (lambda r: reviewed(r | {"request": {"uid": "other"}}), 'received invalid webhook response: expected response.uid="'),
    (lambda r: reviewed(r, patch=[]), "received invalid webhook response: validating webhook may not return response.patch"),
    (lambda r: as_json({}, 500), 'failed to call webhook: an error on the server ("unknown") has prevented the request from succeeding'),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "message"), BROKEN)
async def test_a_webhook_that_answers_nonsense_fails_or_is_ignored(api: InProcess, pki: Pki, broken: Any, message: str) -> None:
    async with hook_server(pki, broken) as hook:
        await configure(api, "Validating", webhook(hook))
        answer = await api.post(MAPS, config_map())
        assert (answer.status, answer.reason) == (500, "InternalError")
        assert answer.message.startswith(f'Internal error occurred: failed calling webhook "a.example.com": {message}')
        ignore = [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
        await api.patch(f"{V1}/validatingwebhookconfigurations/w", ignore, JSON_PATCH)
        assert (await api.post(MAPS, config_map())).status == 201


async def test_v1beta1_needs_no_uid(api: InProcess, pki: Pki) -> None:
    async with hook_server(pki, lambda review: as_json({"response": {"allowed": True}})) as hook:
        await configure(api, "Validating", webhook(hook, admissionReviewVersions=["v2", "v1beta1", "v1"]))
        await api.made(MAPS, config_map())
        assert hook.seen[0]["apiVersion"] == "admission.k8s.io/v1beta1"


@pytest.mark.parametrize(("patch", "message"), [
    ([{"op": "remove", "path": "/data/none"}], "Unable to remove nonexistent key: none"),
    ([{"op": "add", "path": "/data", "value": "text"}], "json: cannot unmarshal string into Go struct field ConfigMap.data of type map[string]string"),
])  # fmt: skip
async def test_a_patch_that_cannot_be_used_is_an_error_of_the_server(api: InProcess, pki: Pki, patch: list[Object], message: str) -> None:
    async with hook_server(pki, adding(*patch)) as hook:
        await configure(api, "Mutating", webhook(hook))
        answer = await api.post(MAPS, config_map(a="1"))
        assert answer.status == 500 and message in answer.message


async def test_a_mutated_object_is_defaulted_and_validated_again(api: InProcess, pki: Pki) -> None:
    pods = ANY_MAP | {"resources": ["pods"]}
    container = {"op": "add", "path": "/spec/containers/-", "value": {"name": "side", "image": "i", "ports": [{"containerPort": 1}]}}
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    async with hook_server(pki, adding(container)) as hook:
        await configure(api, "Mutating", webhook(hook, rule=pods))
        added = (await api.made("/api/v1/namespaces/default/pods", pod))["spec"]["containers"][1]
        assert added["imagePullPolicy"] == "Always" and added["ports"][0]["protocol"] == "TCP"
        hook.answer = adding({"op": "add", "path": "/spec/containers/-", "value": {"name": "c", "image": "i"}})
        answer = await api.post("/api/v1/namespaces/default/pods", pod | {"metadata": {"name": "q"}})
        assert answer.status == 422 and 'Duplicate value: "c"' in answer.message


async def test_a_mutating_webhook_cannot_change_what_is_deleted(api: InProcess, pki: Pki) -> None:
    await api.made(MAPS, config_map())
    async with hook_server(pki, adding(set_data("a", "1"))) as hook:
        await configure(api, "Mutating", webhook(hook))
        answer = await api.delete(f"{MAPS}/m")
        assert answer.status == 500 and "attempted to modify the object, which is not supported for this operation" in answer.message


async def test_identity_cannot_be_mutated(api: InProcess, pki: Pki) -> None:
    forged = [{"op": "add", "path": "/metadata/uid", "value": "mine"}, {"op": "add", "path": "/metadata/creationTimestamp", "value": "2001-01-01T00:00:00Z"}]
    async with hook_server(pki, adding(*forged)) as hook:
        await configure(api, "Mutating", webhook(hook))
        metadata = (await api.made(MAPS, config_map()))["metadata"]
        assert metadata["uid"] != "mine" and metadata["creationTimestamp"] != "2001-01-01T00:00:00Z"


async def test_objects_are_not_moved(api: InProcess, pki: Pki) -> None:
    await api.made(MAPS, config_map())
    async with hook_server(pki, adding({"op": "replace", "path": "/metadata/namespace", "value": "kube-system"})) as hook:
        await configure(api, "Mutating", webhook(hook))
        for answer in (await api.post(MAPS, config_map("n")), await api.patch(f"{MAPS}/m", {"data": {"a": "1"}})):
            assert (answer.status, answer.message) == (400, "the namespace of the provided object does not match the namespace sent on the request")
        hook.answer = adding({"op": "replace", "path": "/metadata/name", "value": "other"})
        assert (await api.made(MAPS, config_map("n")))["metadata"]["name"] == "other"
        answer = await api.patch(f"{MAPS}/m", {"data": {"a": "1"}})
        assert answer.status == 422 and 'metadata.name: Invalid value: "other": field is immutable' in answer.message


@pytest.mark.parametrize(("policy", "order"), [("Never", "abc"), ("IfNeeded", "abca")])
async def test_reinvocation(api: InProcess, pki: Pki, policy: str, order: str) -> None:
    """The first is asked again, for the second has changed the object since; the second has seen everything."""

    def answer(review: Object) -> Any:
        name = hook.targets[-1][1:2]
        return reviewed(review, patch=[set_data(name, "1")]) if name in "bc" else reviewed(review)

    async with hook_server(pki) as hook:
        hook.answer = answer
        names = ("a.example.com", "b.example.com", "c.example.com")
        await configure(api, "Mutating", *(webhook(hook, n, reinvocationPolicy=policy if n[0] == "a" else "Never") for n in names))
        await api.made(MAPS, config_map(x="1"))
        assert "".join(target[1] for target in hook.targets) == order


async def test_selectors_scopes_and_operations(api: InProcess, pki: Pki) -> None:
    await api.made("/api/v1/namespaces", {"metadata": {"name": "other", "labels": {"team": "red"}}})
    async with hook_server(pki) as hook:
        red = {"matchLabels": {"team": "red"}}
        everything = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["*"]}
        await configure(
            api, "Validating", webhook(hook, "ns.example.com", namespaceSelector=red), webhook(hook, "obj.example.com", objectSelector=red),
            webhook(hook, "cluster.example.com", everything | {"scope": "Cluster"}),
            webhook(hook, "scale.example.com", everything | {"resources": ["*/scale"]}))

        async def asked(path: str, body: Object) -> set[str]:
            hook.targets.clear()
            await api.made(path, body)
            return {target[1:].partition(".")[0] for target in hook.targets}

        assert await asked(MAPS, config_map()) == set()
        assert await asked(MAPS, config_map("r") | {"metadata": {"name": "r", "labels": {"team": "red"}}}) == {"obj"}
        assert await asked("/api/v1/namespaces/other/configmaps", config_map()) == {"ns"}
        assert await asked("/api/v1/namespaces", {"metadata": {"name": "third"}}) == {"cluster"}


async def test_an_equivalent_version_is_matched_and_shown(api: InProcess, pki: Pki) -> None:
    hpas = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    hpa = {"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2", "metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target, "metrics": [metric]}}
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["horizontalpodautoscalers"]}
    async with hook_server(pki, adding({"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 70})) as hook:
        await configure(api, "Mutating", webhook(hook, rule=rule), webhook(hook, "exact.example.com", rule=rule, matchPolicy="Exact"))
        made = await api.made(hpas, hpa)
        (asked,) = hook.requests
        assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v1", "v2")
        assert asked["object"]["apiVersion"] == "autoscaling/v1" and asked["object"]["spec"]["targetCPUUtilizationPercentage"] == 50
        assert made["apiVersion"] == "autoscaling/v2" and made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 70


async def test_nobody_is_asked_about_configurations(api: InProcess, pki: Pki) -> None:
    async with hook_server(pki, lambda review: reviewed(review, False)) as hook:
        await configure(api, "Validating", webhook(hook, rule={"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}))
        await configure(api, "Mutating", name="other")
        assert (await api.delete(f"{V1}/validatingwebhookconfigurations/w")).status == 200
        assert not hook.seen


async def test_a_webhook_with_possible_side_effects_is_not_asked_in_a_dry_run(api: InProcess, pki: Pki) -> None:
    async with hook_server(pki) as hook:
        await configure(api, "Validating", webhook(hook, sideEffects="NoneOnDryRun"))
        assert (await api.post(f"{MAPS}?dryRun=All", config_map())).status == 201
        assert hook.requests[0]["dryRun"] is True and hook.requests[0]["options"]["dryRun"] == ["All"]


async def test_validating_webhooks_are_asked_at_once(api: InProcess, pki: Pki) -> None:
    both = asyncio.Event()

    async def together(review: Object) -> Any:
        if len(hook.seen) == 2:
            both.set()
        await both.wait()
        return reviewed(review, False, status={"message": "no"})

    async with hook_server(pki, together) as hook:
        await configure(api, "Validating", webhook(hook, "a.example.com"), webhook(hook, "b.example.com"))
        assert (await api.post(MAPS, config_map())).message == 'admission webhook "a.example.com" denied the request: no'


WIDGETS = "/apis/example.com/v2/namespaces/default/widgets"


def widget_definition(hook: Hook, **conversion: Any) -> Object:
    """v1 has a size, v2 a length; the webhook of the tests converts."""
    def version(name: str, field: str, storage: bool) -> Object:
        spec = {"type": "object", "properties": {field: {"type": "integer"}}}
        return {"name": name, "served": True, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}

    webhook = {"clientConfig": hook.url("/convert"), "conversionReviewVersions": ["v1"]}
    spec = {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}}
    versions = [version("v1", "size", False), version("v2", "length", True)]
    return {"metadata": {"name": "widgets.example.com"}, "spec": spec | {"versions": versions, "conversion": {"strategy": "Webhook", "webhook": webhook}}}


def converting(review: Object) -> Any:
    fields = {"example.com/v1": "size", "example.com/v2": "length"}
    request = review["request"]
    wanted = request["desiredAPIVersion"]
    objects = [{**o, "apiVersion": wanted, "spec": {fields[wanted]: o["spec"][fields[o["apiVersion"]]]}} for o in request["objects"]]
    response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects}
    return as_json({"apiVersion": review["apiVersion"], "kind": "ConversionReview", "response": response})


async def test_custom_resources_are_shown_as_their_conversion_webhook_converts_them(api: InProcess, pki: Pki) -> None:
    async with hook_server(pki) as hook:
        patch = [{"op": "replace", "path": "/spec/size", "value": 7}]
        hook.answer = lambda review: converting(review) if review["kind"] == "ConversionReview" else reviewed(review, patch=patch)
        await api.made("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", widget_definition(hook))
        async with asyncio.timeout(5):
            while (await api.get(WIDGETS)).status != 200:
                await asyncio.sleep(0)
        rule = {"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["widgets"]}
        await configure(api, "Mutating", webhook(hook, rule=rule))
        made = await api.made(WIDGETS, {"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": "x"}, "spec": {"length": 1}})
        (asked,) = (review["request"] for review in hook.seen if review["kind"] == "AdmissionReview")
        assert asked["object"]["apiVersion"] == "example.com/v1" and asked["object"]["spec"] == {"size": 1}
        assert made["apiVersion"] == "example.com/v2" and made["spec"] == {"length": 7}
