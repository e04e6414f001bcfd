"""The OpenAPI documents: what clients look up in them."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tiffin.api.kind import Kind, builtin_kinds
from tiffin.apiserver import openapi_schemas
from tiffin.apiserver.openapi import general_v3, general_v3_keys, openapi_v2, openapi_v3, openapi_v3_index
from tiffin.apiserver.registry import Registry, Served
from tiffin.machinery.structural import custom_type

SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "description": "What is wanted.", "properties": {
    "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, "size": {"type": "integer", "default": 3}}}}}


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = Registry(builtin_kinds())
    thing = Served(Kind(group="stable.example.com", version="v1", kind="Thing", plural="things", schema=""), None, custom_type(SCHEMA, "Thing"))
    registry.add_custom(thing, [thing])
    return registry


def document(registry: Registry, group: str, version: str) -> dict[str, Any]:
    return orjson.loads(openapi_v3(registry.of_version(group, version), group, version))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (v for k, v in value.items() if k == "$ref" and isinstance(v, str))
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_reference_leads_somewhere(registry: Registry) -> None:
    for group, versions in registry.groups().items():
        for version in versions:
            made = document(registry, group, version)
            assert {r.rpartition("/")[2] for r in references(made)} <= set(made["components"]["schemas"]), (group, version)
    made = orjson.loads(openapi_v2(registry))
    assert {r.rpartition("/")[2] for r in references(made)} <= set(made["definitions"])


def test_operation_ids_are_unique(registry: Registry) -> None:
    made = orjson.loads(openapi_v2(registry))
    names = [o["operationId"] for p in made["paths"].values() for m, o in p.items() if m != "parameters"]
    assert len(names) == len(set(names))


def test_what_kubectl_asks_of_a_patch(registry: Registry) -> None:
    item = document(registry, "apps", "v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]
    patch = item["patch"]
    assert patch["operationId"] == "patchAppsV1NamespacedDeployment"
    assert patch["x-kubernetes-action"] == "patch"
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "fieldValidation" in [p["name"] for p in patch["parameters"]]
    assert list(patch["requestBody"]["content"]) == [
        "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"]
    assert [p["name"] for p in item["parameters"]] == ["name", "namespace", "pretty"]


def without_prose(value: Any) -> Any:
    """A document as it is where the optional package with descriptions is not installed."""
    if isinstance(value, dict):
        return {key: without_prose(each) for key, each in value.items() if not (key == "description" and isinstance(each, str))}
    return [without_prose(each) for each in value] if isinstance(value, list) else value


def test_a_component_carries_the_extensions(registry: Registry) -> None:
    schemas = without_prose(document(registry, "", "v1")["components"]["schemas"])
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers == {
        "type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}, "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-list-type": "map", "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"}
    pod = schemas["io.k8s.api.core.v1.Pod"]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]
    assert pod["properties"]["spec"] == {"default": {}, "allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.PodSpec"}]}
    assert schemas["io.k8s.api.core.v1.ServicePort"]["properties"]["protocol"] == {"type": "string", "default": "TCP", "enum": ["SCTP", "TCP", "UDP"]}
    assert schemas["io.k8s.api.core.v1.ObjectReference"]["x-kubernetes-map-type"] == "atomic"
    assert schemas["io.k8s.api.core.v1.PersistentVolumeSpec"]["properties"]["claimRef"]["x-kubernetes-map-type"] == "granular"
    assert schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"] == {"oneOf": [{"type": "string"}, {"type": "number"}]}
    assert [k["group"] for k in schemas["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"]] == [""]


def test_subresources(registry: Registry) -> None:
    paths = document(registry, "", "v1")["paths"]
    pod = "/api/v1/namespaces/{namespace}/pods/{name}"
    assert set(paths[f"{pod}/exec"]) == {"get", "post", "parameters"}
    assert paths[f"{pod}/exec"]["get"]["operationId"] == "connectCoreV1GetNamespacedPodExec"
    assert paths[f"{pod}/proxy/{{path}}"]["put"]["operationId"] == "connectCoreV1PutNamespacedPodProxyWithPath"
    assert paths[f"{pod}/eviction"]["post"]["x-kubernetes-group-version-kind"] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert "tailLines" in [p["name"] for p in paths[f"{pod}/log"]["parameters"]]
    assert set(paths["/api/v1/namespaces/{name}/finalize"]) == {"put", "parameters"}
    scale = document(registry, "apps", "v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]
    assert scale["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("io.k8s.api.autoscaling.v1.Scale")


def test_custom_resources_are_published_as_declared(registry: Registry) -> None:
    made = document(registry, "stable.example.com", "v1")
    thing = made["components"]["schemas"]["com.example.stable.v1.Thing"]
    assert thing["properties"]["spec"] == SCHEMA["properties"]["spec"]
    assert thing["x-kubernetes-group-version-kind"] == [{"group": "stable.example.com", "kind": "Thing", "version": "v1"}]
    item = made["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/things/{name}"]
    assert item["get"]["operationId"] == "readStableExampleComV1NamespacedThing"
    assert "application/strategic-merge-patch+json" not in item["patch"]["requestBody"]["content"]
    flat = orjson.loads(openapi_v2(registry))["definitions"]["com.example.stable.v1.Thing"]
    assert flat["properties"]["spec"]["properties"] == {"port": {"x-kubernetes-int-or-string": True}, "size": {"type": "integer"}}


def test_version_2_says_the_same(registry: Registry) -> None:
    made = orjson.loads(openapi_v2(registry))
    create = made["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"]
    assert create["parameters"][0] == {"name": "body", "in": "body", "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"}, "required": True}
    assert create["responses"]["201"] == {"description": "Created", "schema": {"$ref": "#/definitions/io.k8s.api.core.v1.Pod"}}
    assert made["paths"]["/version/"]["get"]["operationId"] == "getCodeVersion"
    assert made["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] == {"type": "string", "format": "int-or-string"}


def test_the_index_tells_documents_apart(registry: Registry) -> None:
    index = openapi_v3_index(registry)
    assert {"api/v1", "apis/apps/v1", "apis/stable.example.com/v1"} <= set(index)
    other = Registry(builtin_kinds())
    assert openapi_v3_index(other)["apis/apps/v1"] == index["apis/apps/v1"]


def test_prose_comes_from_the_optional_package(monkeypatch: pytest.MonkeyPatch, registry: Registry) -> None:
    prose = {"io.k8s.api.core.v1.Pod": {"description": "A pod.", "properties": {"spec": {"description": "Its spec."}}}}
    monkeypatch.setattr(openapi_schemas, "descriptions", lambda: prose)
    pod = document(registry, "", "v1")["components"]["schemas"]["io.k8s.api.core.v1.Pod"]
    assert pod["description"] == "A pod."
    assert pod["properties"]["spec"]["description"] == "Its spec."


def test_documents_of_no_version(registry: Registry) -> None:
    keys = general_v3_keys(registry)
    assert {"api", "apis", "apis/apps", "version", "openid/v1/jwks", ".well-known/openid-configuration"} <= set(keys)
    assert "apis/stable.example.com" not in keys and general_v3(registry, "apis/stable.example.com") is None
    for key in keys:
        made = orjson.loads(general_v3(registry, key) or b"")
        assert list(made["paths"]) == [f"/{key}/"]
        assert {r.rpartition("/")[2] for r in references(made)} <= set(made["components"].get("schemas", ()))


def test_a_group_of_custom_resources_has_no_discovery_in_documents(registry: Registry) -> None:
    paths = orjson.loads(openapi_v2(registry))["paths"]
    assert not {"/apis/stable.example.com/", "/apis/stable.example.com/v1/"} & set(paths)
    assert paths["/apis/apps/v1/"]["get"]["consumes"] == paths["/apis/apps/v1/"]["get"]["produces"]
