"""Old manifests against a whole server: applied, read in both versions, patched, watched, scaled, rolled back, warned of."""
from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from tests.apiserver.inprocess import APPLY, JSON_PATCH, MERGE, STRATEGIC, TOKENS, InProcess, in_process
from tiffin.api.kind import builtin_kinds
from tiffin.api.legacy.load import with_legacy
from tiffin.apiserver.registry import Registry, Served
from tiffin.apiserver.server import Assembly, Options, served_kinds
from tiffin.machinery.object import Object, dig
from tiffin.net.pki import Pki
from tiffin.store.log import MemoryLog
from tiffin.store.store import Store

MANIFESTS = [m for m in yaml.safe_load_all((Path(__file__).parents[1] / "api/legacy/manifests.yaml").read_text()) if m]
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
REGISTRY = Registry(with_legacy(builtin_kinds()))
OLD = [served for served in REGISTRY if served.owns_as_stored or served.kind.kind == "PodSecurityPolicy"]


@pytest.fixture
async def old(pki: Pki) -> AsyncIterator[InProcess]:
    async with in_process(pki, legacy_apis=True) as running:
        yield running


def served_as(api_version: str, kind: str) -> Served:
    group, _, version = api_version.rpartition("/")
    return next(served for served in REGISTRY.of_version(group, version) if served.kind.kind == kind)


def collection(served: Served) -> str:
    group, version, plural = served.resource
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return f"{root}/namespaces/default/{plural}" if served.kind.namespaced else f"{root}/{plural}"


def current(served: Served) -> str:
    stored = REGISTRY.stored(served.storage)
    assert stored is not None
    return collection(stored)


def copy(manifest: Object) -> Any:
    return orjson.loads(orjson.dumps(manifest))


def missing(said: Any, found: Any, path: str = "") -> list[str]:
    """Where an object lacks what was said; what is empty need not be said again."""
    if isinstance(said, dict):
        return [m for key, value in said.items() if value or key in found for m in missing(value, found.get(key), f"{path}.{key}")]
    if isinstance(said, list):
        if not isinstance(found, list) or len(found) != len(said):
            return [path]
        return [m for index, value in enumerate(said) for m in missing(value, found[index], f"{path}[{index}]")]
    return [] if said == found else [path]


def content(obj: Object) -> Object:
    """All but what controllers write."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def label(manifest: Object) -> str:
    return f"{manifest['apiVersion']} {manifest['kind']} {manifest['metadata']['name']}"


def test_every_old_version_has_a_manifest() -> None:
    """But those that leave nothing behind, which have tests of their own."""
    tried = {(m["apiVersion"], m["kind"]) for m in MANIFESTS}
    assert {(s.api_version, s.kind.kind) for s in OLD if s.kind.stored} == tried


def test_nothing_old_is_served_unasked() -> None:
    served = Registry(served_kinds(False))
    assert [s.resource for s in served] == [s.resource for s in Registry(builtin_kinds())]
    assert not [s for s in served if s.owns_as_stored or s.resource.group == "extensions"]
    assert {s.resource for s in REGISTRY} - {s.resource for s in served} == {s.resource for s in OLD}


SAID_OTHERWISE = {
    "rbac1-everybody": [".subjects[0].kind", ".subjects[0].name"],  # the user `*` is a group since v1beta1
}


@pytest.mark.parametrize("manifest", MANIFESTS, ids=label)
async def test_a_manifest_lives(old: InProcess, manifest: Object) -> None:
    """Created, read back with all that was said, seen in the current version, changed in both, listed, printed, deleted."""
    served = served_as(manifest["apiVersion"], manifest["kind"])
    base, path = collection(served), f"{collection(served)}/{manifest['metadata']['name']}"
    made = await old.post(f"{base}?fieldValidation=Strict", copy(manifest))
    assert made.status == 201, made.text
    told = served.kind.deprecation
    assert told.startswith(f"{manifest['apiVersion']} {manifest['kind']} is deprecated in v1.")
    assert made.warnings[0] == f'299 - "{told}"'
    assert missing(manifest, made.object) == SAID_OTHERWISE.get(manifest["metadata"]["name"], [])
    now = (await old.get(f"{current(served)}/{manifest['metadata']['name']}")).object
    assert now["apiVersion"] == served.kind.api_version
    patched = await old.patch(path, {"metadata": {"labels": {"patched": "yes"}}}, type=STRATEGIC)
    assert patched.status == 200, patched.text
    again = await old.put(path, patched.object)
    assert (again.status, again.object) == (200, patched.object), again.text
    listed = (await old.get(base)).object
    assert listed["kind"] == f"{manifest['kind']}List" and listed["apiVersion"] == manifest["apiVersion"]
    assert [item for item in listed["items"] if item["metadata"]["name"] == manifest["metadata"]["name"]] == [
        {k: v for k, v in patched.object.items() if k not in ("kind", "apiVersion")}]
    tables = [(await old.get(place, accept=TABLE)).object for place in (base, current(served))]
    assert tables[0]["columnDefinitions"] == tables[1]["columnDefinitions"]
    assert [row["cells"] for row in tables[0]["rows"]] == [row["cells"] for row in tables[1]["rows"]]
    gone = await old.delete(path)
    assert gone.status == 200, gone.text


@pytest.mark.parametrize("manifest", MANIFESTS, ids=label)
async def test_a_manifest_can_be_applied(old: InProcess, manifest: Object) -> None:
    """Server-side apply creates, changes nothing the second time, and gives up what it no longer says, in either version."""
    served = served_as(manifest["apiVersion"], manifest["kind"])
    path = f"{collection(served)}/{manifest['metadata']['name']}?fieldManager=book"
    noted = copy(manifest)
    noted["metadata"].setdefault("labels", {})["edition"] = "1"
    first = await old.patch(path, orjson.dumps(noted), type=APPLY)
    assert first.status == 201, first.text
    second = await old.patch(path, orjson.dumps(noted), type=APPLY)
    assert second.status == 200 and content(second.object) == content(first.object), second.text
    third = await old.patch(path, orjson.dumps(manifest), type=APPLY)
    assert third.status == 200 and "edition" not in (third.object["metadata"].get("labels") or {})
    (entry,) = [e for e in third.object["metadata"].get("managedFields", []) if e["manager"] == "book"] or [{"apiVersion": served.kind.api_version}]
    assert entry["apiVersion"] == served.kind.api_version


async def test_owners_are_the_same_in_both_versions(old: InProcess) -> None:
    ingress: Object = {"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "i"},
                       "spec": {"backend": {"serviceName": "a", "servicePort": 80}}}
    path = "/apis/{}/namespaces/default/ingresses/i"
    await old.patch(path.format("extensions/v1beta1") + "?fieldManager=one", orjson.dumps(ingress), type=APPLY)
    new = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {"defaultBackend": {"service": {"name": "b"}}}}
    clash = await old.patch(path.format("networking.k8s.io/v1") + "?fieldManager=two", orjson.dumps(new), type=APPLY)
    assert clash.status == 409 and clash.message == 'Apply failed with 1 conflict: conflict with "one": .spec.defaultBackend.service.name'
    clash = await old.patch(path.format("networking.k8s.io/v1beta1") + "?fieldManager=two", orjson.dumps(
        {**ingress, "apiVersion": "networking.k8s.io/v1beta1", "spec": {"backend": {"serviceName": "b", "servicePort": 80}}}), type=APPLY)
    assert clash.status == 409
    forced = await old.patch(path.format("networking.k8s.io/v1") + "?fieldManager=two&force=true", orjson.dumps(new), type=APPLY)
    assert forced.object["spec"]["defaultBackend"]["service"] == {"name": "b", "port": {"number": 80}}


async def test_what_cannot_be_applied(old: InProcess) -> None:
    path = "/apis/extensions/v1beta1/namespaces/default/ingresses/i?fieldManager=one"
    body: Object = {"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {"defaultBackend": {}}}
    answer = await old.patch(path, orjson.dumps(body), type=APPLY)
    assert answer.status == 500 and ".spec.defaultBackend: field not declared in schema" in answer.message


# field validation

async def test_fields_are_those_of_the_version(old: InProcess) -> None:
    rule = {"http": {"paths": [{"path": "/", "backend": {"serviceName": "a", "servicePort": 80, "service": {"name": "a"}}}]}}
    ingress = {"metadata": {"name": "i"}, "spec": {"rules": [rule]}}
    path = "/apis/extensions/v1beta1/namespaces/default/ingresses"
    strict = await old.post(f"{path}?fieldValidation=Strict", ingress)
    assert strict.status == 400 and 'unknown field "spec.rules[0].http.paths[0].backend.service"' in strict.message
    warned = await old.post(f"{path}?fieldValidation=Warn", ingress)
    assert any("unknown field" in text for text in warned.warnings) and len(warned.warnings) == 2
    wrong = await old.post(path, {"metadata": {"name": "j"}, "spec": {"backend": {"serviceName": 3}}})
    assert wrong.status == 400 and "Ingress in version \"v1beta1\" cannot be handled as a Ingress" in wrong.message


async def test_the_body_has_to_be_of_the_version(old: InProcess) -> None:
    answer = await old.post("/apis/extensions/v1beta1/namespaces/default/ingresses", {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress"})
    assert answer.status == 400 and "does not match the expected API version (extensions/v1beta1)" in answer.message


# what old versions fill in

WORKLOAD: Object = {"metadata": {"name": "w"}, "spec": {"template": {"metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
SELECTED: Object = {**WORKLOAD, "spec": {**WORKLOAD["spec"], "selector": {"matchLabels": {"app": "w"}}}}


@pytest.mark.parametrize("path, body, expected", [
    ("extensions/v1beta1/namespaces/default/deployments", WORKLOAD, {
        "replicas": 1, "selector": {"matchLabels": {"app": "w"}}, "progressDeadlineSeconds": 2147483647, "revisionHistoryLimit": 2147483647,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}),
    ("apps/v1beta1/namespaces/default/deployments", WORKLOAD, {
        "selector": {"matchLabels": {"app": "w"}}, "progressDeadlineSeconds": 600, "revisionHistoryLimit": 2,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}}),
    ("apps/v1beta2/namespaces/default/deployments", SELECTED, {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10}),
    ("extensions/v1beta1/namespaces/default/daemonsets", WORKLOAD, {"updateStrategy": {"type": "OnDelete"}, "selector": {"matchLabels": {"app": "w"}}}),
    ("apps/v1beta2/namespaces/default/daemonsets", SELECTED, {"updateStrategy": {"type": "RollingUpdate"}}),
    ("apps/v1beta1/namespaces/default/statefulsets", WORKLOAD, {"updateStrategy": {"type": "OnDelete"}, "selector": {"matchLabels": {"app": "w"}}}),
    ("apps/v1beta2/namespaces/default/statefulsets", SELECTED, {"updateStrategy": {"type": "RollingUpdate"}}),
    ("extensions/v1beta1/namespaces/default/replicasets", WORKLOAD, {"replicas": 1, "selector": {"matchLabels": {"app": "w"}}}),
])  # fmt: skip
async def test_workloads(old: InProcess, path: str, body: Object, expected: Object) -> None:
    made = await old.made(f"/apis/{path}", copy(body))
    assert missing(expected, made["spec"]) == []
    assert (made["metadata"].get("labels") == {"app": "w"}) is (body is WORKLOAD)
    kind = path.rpartition("/")[2]
    now = (await old.get(f"/apis/apps/v1/namespaces/default/{kind}/w")).object
    assert missing(expected, now["spec"]) == []
    # and what was made in the current version is not changed by a look through the old one
    await old.delete(f"/apis/{path}/w")
    fresh = await old.made(f"/apis/apps/v1/namespaces/default/{kind}", copy(SELECTED))
    await old.patch(f"/apis/{path}/w", {"metadata": {"annotations": {"a": "b"}}})
    later = (await old.get(f"/apis/apps/v1/namespaces/default/{kind}/w")).object
    assert later["spec"] == fresh["spec"]


async def test_apps_v1beta2_takes_no_selector_from_the_template(old: InProcess) -> None:
    answer = await old.post("/apis/apps/v1beta2/namespaces/default/deployments", copy(WORKLOAD))
    assert answer.status == 422 and "spec.selector: Required value" in answer.message


async def test_webhooks(old: InProcess) -> None:
    rule = {"apiGroups": ["none.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    hook: Object = {"name": "a.b.example.com", "clientConfig": {"url": "https://a.example.com/"}, "rules": [rule]}
    base = "/apis/admissionregistration.k8s.io/{}/validatingwebhookconfigurations"
    made = await old.made(base.format("v1beta1"), {"metadata": {"name": "h"}, "webhooks": [hook]})
    assert missing({"failurePolicy": "Ignore", "matchPolicy": "Exact", "sideEffects": "Unknown", "timeoutSeconds": 30, "admissionReviewVersions": ["v1beta1"]},
                   made["webhooks"][0]) == []
    assert (await old.post(base.format("v1"), {"metadata": {"name": "i"}, "webhooks": made["webhooks"]})).status == 422
    # what it has already, it may keep
    assert (await old.patch(base.format("v1") + "/h", {"metadata": {"labels": {"a": "b"}}})).status == 200


async def test_certificate_signers(old: InProcess) -> None:
    manifest = next(m for m in MANIFESTS if m["kind"] == "CertificateSigningRequest")
    base = "/apis/certificates.k8s.io/{}/certificatesigningrequests"
    made = await old.made(base.format("v1beta1"), copy(manifest))
    assert made["spec"]["signerName"] == "kubernetes.io/legacy-unknown"
    refused = await old.post(base.format("v1"), {"metadata": {"name": "n"}, "spec": {**manifest["spec"], "signerName": "kubernetes.io/legacy-unknown"}})
    assert refused.status == 422 and "the legacy signerName is not allowed via this API version" in refused.message
    approval = {**made, "status": {"conditions": [{"type": "Approved", "reason": "Yes"}]}}
    approved = await old.put(f"{base.format('v1beta1')}/csr-one/approval", approval)
    assert approved.status == 200 and approved.object["status"]["conditions"][0]["status"] == "True"


# subresources

async def test_scale(old: InProcess) -> None:
    await old.made("/apis/apps/v1/namespaces/default/deployments", copy(SELECTED))
    for group in ("extensions/v1beta1", "apps/v1beta1", "apps/v1beta2"):
        path = f"/apis/{group}/namespaces/default/deployments/w/scale"
        scale = (await old.get(path)).object
        assert (scale["apiVersion"], scale["kind"]) == (group, "Scale")
        assert scale["status"] == {"replicas": 0, "selector": {"app": "w"}, "targetSelector": "app=w"}
        count = dig(scale, "spec", "replicas") + 1
        put = await old.put(path, {**scale, "spec": {"replicas": count}})
        assert put.status == 200 and put.object["spec"] == {"replicas": count} and put.object["apiVersion"] == group
        for body, type in (({"spec": {"replicas": count + 1}}, MERGE), ([{"op": "replace", "path": "/spec/replicas", "value": count + 2}], JSON_PATCH)):
            patched = await old.patch(path, body, type=type)
            assert patched.status == 200 and patched.object["status"]["targetSelector"] == "app=w", patched.text
        applied = {"apiVersion": group, "kind": "Scale", "metadata": {"name": "w"}, "spec": {"replicas": count}}
        answer = await old.patch(f"{path}?fieldManager=h&force=true", orjson.dumps(applied), type=APPLY)
        assert answer.status == 200 and answer.object["spec"] == {"replicas": count}, answer.text
        wrong = await old.put(path, {**scale, "apiVersion": "autoscaling/v1"})
        assert wrong.status == 400
    assert (await old.get("/apis/apps/v1/namespaces/default/deployments/w")).object["spec"]["replicas"] == 4


async def test_rollback(old: InProcess) -> None:
    await old.made("/apis/apps/v1/namespaces/default/deployments", copy(SELECTED))
    for group in ("extensions/v1beta1", "apps/v1beta1"):
        path = f"/apis/{group}/namespaces/default/deployments/w"
        body: Object = {"kind": "DeploymentRollback", "apiVersion": group, "name": "w", "updatedAnnotations": {"why": "because"}, "rollbackTo": {"revision": 3}}
        answer = await old.post(f"{path}/rollback", body)
        assert answer.status == 201 and answer.message == 'rollback request for deployment "w" succeeded'
        notes = (await old.get("/apis/apps/v1/namespaces/default/deployments/w")).object["metadata"]["annotations"]
        assert notes == {"why": "because", "deprecated.deployment.rollback.to": "3"}
        shown = (await old.get(path)).object
        assert shown["spec"]["rollbackTo"] == {"revision": 3} and shown["metadata"]["annotations"] == {"why": "because"}
        assert (await old.post(f"{path}/rollback", {**body, "name": "other"})).message == "name in URL does not match name in DeploymentRollback object"
        bad = await old.post(f"{path}/rollback", {**body, "rollbackTo": {"revision": -1}})
        assert bad.status == 422
        cleared = await old.patch(path, {"spec": {"rollbackTo": None}})
        assert "deprecated.deployment.rollback.to" not in cleared.object["metadata"].get("annotations", {})
    assert (await old.post("/apis/apps/v1/namespaces/default/deployments/w/rollback", {})).status == 404
    assert (await old.post("/apis/apps/v1beta2/namespaces/default/deployments/w/rollback", {})).status == 404
    missing_one = await old.post("/apis/apps/v1beta1/namespaces/default/deployments/x/rollback", {**body, "name": "x"})
    assert missing_one.status == 404


async def test_old_evictions(old: InProcess) -> None:
    await old.made("/api/v1/namespaces/default/pods", {"metadata": {"name": "p"}, "spec": WORKLOAD["spec"]["template"]["spec"]})
    answer = await old.post("/api/v1/namespaces/default/pods/p/eviction", {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}})
    assert answer.status == 201


# what leaves nothing behind

async def test_reviews(old: InProcess) -> None:
    spec: Object = {"group": ["system:masters"], "user": "a", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}
    path = "/apis/authorization.k8s.io/v1beta1/subjectaccessreviews"
    answer = await old.post(path, {"spec": spec})
    assert answer.status == 201 and answer.object["apiVersion"] == "authorization.k8s.io/v1beta1"
    assert answer.object["status"]["allowed"] is True and answer.object["spec"] == spec
    assert "use authorization.k8s.io/v1 SubjectAccessReview" in answer.warnings[0]
    local = await old.post("/apis/authorization.k8s.io/v1beta1/namespaces/default/localsubjectaccessreviews", {"metadata": {"namespace": "default"}, "spec": {**spec, "group": []}})
    assert local.status == 201 and local.object["status"]["allowed"] is False
    mine = await old.post("/apis/authorization.k8s.io/v1beta1/selfsubjectaccessreviews", {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}})
    assert mine.object["status"]["allowed"] is True
    rules = await old.post("/apis/authorization.k8s.io/v1beta1/selfsubjectrulesreviews", {"spec": {"namespace": "default"}})
    assert rules.object["apiVersion"] == "authorization.k8s.io/v1beta1" and rules.object["status"]["resourceRules"]
    token = await old.post("/apis/authentication.k8s.io/v1beta1/tokenreviews", {"spec": {"token": "admin-token"}})
    assert token.object["apiVersion"] == "authentication.k8s.io/v1beta1" and token.object["status"]["user"]["username"] == "admin"


# watches and selectors

async def test_watches_show_the_version(old: InProcess) -> None:
    stream = await old.watch("/apis/extensions/v1beta1/namespaces/default/ingresses?watch=1")
    backend = {"service": {"name": "a", "port": {"name": "http"}}}
    await old.made("/apis/networking.k8s.io/v1/namespaces/default/ingresses", {"metadata": {"name": "i"}, "spec": {"defaultBackend": backend}})
    event = await stream.next()
    assert event["type"] == "ADDED" and event["object"]["apiVersion"] == "extensions/v1beta1"
    assert event["object"]["spec"] == {"backend": {"serviceName": "a", "servicePort": "http"}}
    await old.delete("/apis/networking.k8s.io/v1beta1/namespaces/default/ingresses/i")
    assert (await stream.next())["type"] == "DELETED"


async def test_events_keep_their_selectors(old: InProcess) -> None:
    await old.made(collection(served_as("events.k8s.io/v1beta1", "Event")), copy(next(m for m in MANIFESTS if m["kind"] == "Event")))
    found = await old.get("/apis/events.k8s.io/v1beta1/namespaces/default/events?fieldSelector=regarding.name=web")
    assert found.names == ["event-one"]
    stored = (await old.get("/api/v1/namespaces/default/events/event-one")).object
    assert stored["count"] == 3 and stored["involvedObject"]["name"] == "web"


# custom resources

async def test_a_definition_without_a_schema_keeps_all_fields(old: InProcess) -> None:
    await old.made("/apis/apiextensions.k8s.io/v1beta1/customresourcedefinitions", copy(next(m for m in MANIFESTS if m["metadata"]["name"].startswith("websites"))))
    stored = (await old.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/websites.extensions.example.com")).object
    assert stored["spec"]["preserveUnknownFields"] is True and stored["spec"]["versions"] == [{"name": "v1", "served": True, "storage": True}]
    await established(old, "websites.extensions.example.com")
    site: Object = {"apiVersion": "extensions.example.com/v1", "kind": "Website", "metadata": {"name": "kubia"}, "spec": {"gitRepo": "https://example.com"}, "any": [1]}
    made = await old.made("/apis/extensions.example.com/v1/namespaces/default/websites", site)
    assert made["spec"] == site["spec"] and made["any"] == [1]
    # such a definition can be changed in v1, but not made there
    changed = await old.patch("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/websites.extensions.example.com", {"metadata": {"labels": {"a": "b"}}})
    assert changed.status == 200, changed.text
    other = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x.extensions.example.com"},
             "spec": {**stored["spec"], "names": {"plural": "x", "kind": "X"}}}
    refused = await old.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", other)
    assert refused.status == 422 and "cannot set to true" in refused.message


async def test_a_schema_that_is_not_structural_only_validates(old: InProcess) -> None:
    names = {"plural": "things", "singular": "thing", "kind": "Thing"}
    schema = {"properties": {"spec": {"required": ["size"], "properties": {"size": {"type": "integer", "minimum": 1}, "list": {"type": "array", "items": {"properties": {"a": {"type": "string"}}}}}}}}
    await old.made("/apis/apiextensions.k8s.io/v1beta1/customresourcedefinitions", {
        "metadata": {"name": "things.example.com"}, "spec": {"group": "example.com", "version": "v1", "names": names, "validation": {"openAPIV3Schema": schema}}})
    await established(old, "things.example.com")
    path = "/apis/example.com/v1/namespaces/default/things"
    made = await old.post(path, {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"size": 1, "more": {"x": 1}, "list": [{"a": "b", "c": 1}]}})
    assert made.status == 201 and made.object["spec"] == {"size": 1, "more": {"x": 1}, "list": [{"a": "b", "c": 1}]}, made.text
    wrong = await old.post(path, {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "b"}, "spec": {"size": 0}})
    assert wrong.status == 422 and "spec.size" in wrong.message


async def test_a_definition_with_columns_and_subresources(old: InProcess) -> None:
    manifest = next(m for m in MANIFESTS if m["metadata"]["name"].startswith("crontabs"))
    await old.made("/apis/apiextensions.k8s.io/v1beta1/customresourcedefinitions", copy(manifest))
    stored = (await old.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.stable.example.com")).object["spec"]
    assert [v["name"] for v in stored["versions"]] == ["v1", "v1beta1"]
    for version in stored["versions"]:
        assert version["subresources"]["scale"] and version["schema"]["openAPIV3Schema"] and version["additionalPrinterColumns"][0]["jsonPath"] == ".spec.cronSpec"
    await established(old, "crontabs.stable.example.com")
    path = "/apis/stable.example.com/v1beta1/namespaces/default/crontabs"
    made = await old.made(path, {"apiVersion": "stable.example.com/v1beta1", "kind": "CronTab", "metadata": {"name": "c"}, "spec": {"cronSpec": "* * * * */5", "odd": 1}})
    assert made["spec"] == {"cronSpec": "* * * * */5"}
    table = (await old.get(path, accept=TABLE)).object
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Spec", "Age"] and table["rows"][0]["cells"][1] == "* * * * */5"


async def established(api: InProcess, name: str) -> None:
    """Until a definition is served."""
    stream = await api.watch(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions?watch=1&fieldSelector=metadata.name={name}")
    while True:
        conditions = dig(await stream.next(), "object", "status", "conditions", default=[])
        if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
            return stream.leave()


# documents and rights

async def test_documents(old: InProcess) -> None:
    found = (await old.get("/apis/extensions/v1beta1")).object
    assert [r["name"] for r in found["resources"]] == [
        "daemonsets", "daemonsets/status", "deployments", "deployments/rollback", "deployments/scale", "deployments/status", "ingresses",
        "ingresses/status", "networkpolicies", "podsecuritypolicies", "replicasets", "replicasets/scale", "replicasets/status"]
    by_name = {r["name"]: r for r in found["resources"]}
    assert by_name["deployments/rollback"]["kind"] == "DeploymentRollback" and by_name["deployments/scale"]["kind"] == "Scale"
    assert all("shortNames" not in r and "categories" not in r for r in found["resources"])  # `deploy` and `all` mean those of apps alone
    groups = [group["name"] for group in (await old.get("/apis")).object["groups"]]
    assert groups[-1] == "extensions"
    preferred = {g["name"]: g["preferredVersion"]["version"] for g in (await old.get("/apis")).object["groups"]}
    assert preferred["apps"] == preferred["networking.k8s.io"] == preferred["batch"] == "v1" and preferred["autoscaling"] == "v2"
    three = (await old.get("/openapi/v3/apis/extensions/v1beta1")).object
    backend = three["components"]["schemas"]["io.k8s.api.extensions.v1beta1.IngressBackend"]["properties"]
    assert set(backend) == {"resource", "serviceName", "servicePort"}
    assert backend["serviceName"]["description"] == "The name of the service, in the namespace of the Ingress."
    two = (await old.get("/openapi/v2")).object
    own = [name for name in two["definitions"] if ".v1beta1.PodSecurityPolicySpec" in name or ".v1beta1.RollbackConfig" in name]
    assert own and all("description" in field for name in own for field in two["definitions"][name]["properties"].values())
    assert "/apis/extensions/v1beta1/namespaces/{namespace}/deployments/{name}/rollback" in two["paths"]
    assert {"io.k8s.api.policy.v1beta1.PodSecurityPolicySpec", "io.k8s.api.apps.v1beta1.DeploymentRollback"} <= set(two["definitions"])


async def test_no_document_knows_of_them_unasked(api: InProcess) -> None:
    assert (await api.get("/apis/extensions/v1beta1")).status == 404
    assert "extensions" not in [group["name"] for group in (await api.get("/apis")).object["groups"]]
    assert (await api.get("/apis/policy/v1beta1/podsecuritypolicies")).status == 404
    assert not [name for name in (await api.get("/openapi/v2")).object["paths"] if "beta" in name]


async def test_a_server_that_serves_them_no_more_keeps_what_they_wrote(pki: Pki) -> None:
    log, services = MemoryLog(), "/apis/apiregistration.k8s.io/v1/apiservices"
    async with in_process(pki, log, legacy_apis=True) as old:
        await old.made("/apis/extensions/v1beta1/namespaces/default/ingresses", copy(next(m for m in MANIFESTS if m["metadata"]["name"] == "ext-ingress")))
        await old.made(collection(served_as("policy/v1beta1", "PodSecurityPolicy")), copy(next(m for m in MANIFESTS if m["metadata"]["name"] == "policy-privileged")))
        assert "v1beta1.extensions" in (await old.get(services)).names
        index = old.store.index
    assembly = Assembly(Store(MemoryLog(), index), Options(pki, TOKENS, "127.0.0.1:6443", "10.96.0.0/16"))
    await assembly.start()
    now = InProcess(assembly)
    try:
        assert [name for name in (await now.get(services)).names if "beta" in name] == []
        assert (await now.get("/apis/extensions/v1beta1")).status == 404
        stored = (await now.get("/apis/networking.k8s.io/v1/namespaces/default/ingresses/ext-ingress")).object
        assert stored["spec"]["defaultBackend"]["service"]["name"] == "fallback"
    finally:
        await now.stop()


async def test_old_versions_have_no_protobuf_form(old: InProcess) -> None:
    await old.made("/apis/apps/v1beta2/namespaces/default/deployments", copy(SELECTED))
    path, binary = "/apis/apps/v1beta2/namespaces/default/deployments/w", "application/vnd.kubernetes.protobuf"
    assert (await old.get(path, accept=binary)).status == 406
    either = await old.get(path, accept=f"{binary},application/json")
    assert either.status == 200 and either.object["apiVersion"] == "apps/v1beta2"
    assert (await old.get(path.replace("v1beta2", "v1"), accept=binary)).status == 200


async def test_rights_are_those_of_the_old_group(old: InProcess) -> None:
    """A rule about apps says nothing about extensions."""
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]}
    await old.made("/apis/rbac.authorization.k8s.io/v1beta1/namespaces/default/roles", {"metadata": {"name": "r"}, "rules": [rule]})
    binding = {"metadata": {"name": "r"}, "subjects": [{"kind": "User", "name": "nobody"}], "roleRef": {"kind": "Role", "name": "r"}}
    await old.made("/apis/rbac.authorization.k8s.io/v1beta1/namespaces/default/rolebindings", binding)
    assert (await old.get("/apis/apps/v1beta1/namespaces/default/deployments", token="nobody-token")).status == 200
    assert (await old.get("/apis/extensions/v1beta1/namespaces/default/deployments", token="nobody-token")).status == 403


# admission by others sees the version it asks for

async def test_a_policy_for_an_old_group_sees_old_objects(old: InProcess) -> None:
    """Also those that are written in the current version, as both are the same resource."""
    rule = {"apiGroups": ["extensions"], "apiVersions": ["v1beta1"], "operations": ["CREATE", "UPDATE"], "resources": ["ingresses"]}
    base = "/apis/admissionregistration.k8s.io/v1"
    await old.made(f"{base}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "object.spec.backend.serviceName != 'bad'", "message": "no bad backends"}]}})
    await old.made(f"{base}/validatingadmissionpolicybindings", {"metadata": {"name": "p"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}})
    refused = await old.post("/apis/networking.k8s.io/v1/namespaces/default/ingresses", {
        "metadata": {"name": "i"}, "spec": {"defaultBackend": {"service": {"name": "bad", "port": {"number": 1}}}}})
    assert refused.status == 422 and "no bad backends" in refused.message, refused.text
    for version in ("extensions/v1beta1", "networking.k8s.io/v1beta1"):
        path = f"/apis/{version}/namespaces/default/ingresses"
        refused = await old.post(path, {"metadata": {"name": "i"}, "spec": {"backend": {"serviceName": "bad", "servicePort": 1}}})
        assert refused.status == 422 and "no bad backends" in refused.message, refused.text
        assert (await old.post(f"{path}?dryRun=All", {"metadata": {"name": "i"}, "spec": {"backend": {"serviceName": "good", "servicePort": 1}}})).status == 201


async def test_a_policy_for_the_current_group_sees_what_is_written_in_an_old_one(old: InProcess) -> None:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments", "deployments/scale"]}
    base = "/apis/admissionregistration.k8s.io/v1"
    await old.made(f"{base}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "object.spec.replicas < 5"}]}})
    await old.made(f"{base}/validatingadmissionpolicybindings", {"metadata": {"name": "p"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}})
    path = "/apis/extensions/v1beta1/namespaces/default/deployments"
    many: Any = copy(WORKLOAD)
    many["spec"]["replicas"] = 9
    assert (await old.post(path, many)).status == 422
    await old.made(path, copy(WORKLOAD))
    assert (await old.patch(f"{path}/w", {"spec": {"replicas": 9}})).status == 422
    assert (await old.patch(f"{path}/w/scale", {"spec": {"replicas": 9}})).status == 422
    assert (await old.patch(f"{path}/w/scale", {"spec": {"replicas": 3}})).status == 200
