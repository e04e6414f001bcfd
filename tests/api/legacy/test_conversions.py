"""Conversions of retired versions: nothing that an old version could say is lost on the way to the current one and back."""
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.api.kind import Kind, Version, builtin_kinds
from tiffin.api.legacy.load import with_legacy
from tiffin.machinery import schema as s
from tiffin.machinery.decode import decode_object
from tiffin.machinery.object import Object

KINDS = list(with_legacy(builtin_kinds()))
VERSIONS = {f"{v.group}/{v.version} {k.kind}": (k, v) for k in KINDS for v in k.versions if v.owned_as_stored}


def copy(obj: Object) -> Any:
    return json.loads(json.dumps(obj))


def pair(name: str) -> tuple[Kind, Version]:
    return VERSIONS[name]


def values(type: s.Type, depth: int = 0) -> st.SearchStrategy[Any]:
    """Values of a type, as a client may send them; sparse, and not deep."""
    if isinstance(type, s.Struct):
        if depth > 4 or type.name.endswith(("JSONSchemaProps", "PodTemplateSpec", "PersistentVolumeClaim", "ManagedFieldsEntry")):
            return st.just({})
        fields = {name: values(field.type, depth + 1) for name, field in type.fields.items() if name not in ("kind", "apiVersion", "metadata")}
        return st.fixed_dictionaries({}, optional=fields)
    if isinstance(type, s.List):
        return st.lists(values(type.items, depth + 1), max_size=2)
    if isinstance(type, s.Map):
        return st.dictionaries(st.sampled_from(["a", "kubernetes.io/hostname", "topology.kubernetes.io/zone"]), values(type.values, depth + 1), max_size=2)
    if isinstance(type, s.Scalar):
        return {"boolean": st.booleans(), "string": st.sampled_from(["", "x", "User", "Resource", "Pods"]), "double": st.just(1.5)}.get(type.kind, st.integers(0, 90))
    if isinstance(type, s.IntOrString):
        return st.one_of(st.integers(1, 99), st.sampled_from(["http", "50%"]))
    if isinstance(type, s.Quantity):
        return st.sampled_from(["1", "500m", "2Gi"])
    if isinstance(type, s.Time):
        return st.just("2019-01-01T00:00:00.000000Z" if type.micro else "2019-01-01T00:00:00Z")
    if isinstance(type, s.Bytes):
        return st.just("YQ==")
    return st.just({"raw": 1})


def objects(kind: Kind, version: Version) -> st.SearchStrategy[Object]:
    head = {"kind": kind.kind, "apiVersion": f"{version.group}/{version.version}", "metadata": {"name": "x", "annotations": {"kept": "yes"}}}
    return values(s.definition(version.schema)).map(lambda body: {**head, **body})


def normal(obj: Any) -> Any:
    """Without what is as good as absent."""
    if isinstance(obj, dict):
        return {key: value for key, value in ((key, normal(value)) for key, value in obj.items()) if value not in (None, "", 0, False, [], {})}
    return [normal(item) for item in obj] if isinstance(obj, list) else obj


# What a conversion settles: said in two ways, it is said in one afterwards.
SETTLED = {"rbac.authorization.k8s.io/v1alpha1 ClusterRoleBinding", "rbac.authorization.k8s.io/v1alpha1 RoleBinding", "autoscaling/v2beta1 HorizontalPodAutoscaler",
           "apiextensions.k8s.io/v1beta1 CustomResourceDefinition", "discovery.k8s.io/v1beta1 EndpointSlice", "networking.k8s.io/v1beta1 Ingress", "extensions/v1beta1 Ingress"}


@pytest.mark.parametrize("name", sorted(VERSIONS))
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_round_trip(name: str, data: st.DataObject) -> None:
    kind, version = pair(name)
    old = data.draw(objects(kind, version))
    decode_object(old, s.definition(version.schema))
    version.default(old)
    before = copy(old)
    stored = version.to_stored(old)
    assert old == before, "a conversion changes nothing in place"
    assert stored["apiVersion"] == kind.api_version and list(stored)[:2] == ["kind", "apiVersion"]
    assert not decode_object(copy(stored), s.definition(kind.schema)), "what is stored is of the stored version"
    frozen = copy(stored)
    back = version.from_stored(stored)
    assert stored == frozen
    assert not decode_object(copy(back), s.definition(version.schema)), "what is shown is of the old version"
    if name not in SETTLED:
        assert normal(back) == normal(before)
    again = version.from_stored(version.to_stored(copy(back)))
    assert normal(again) == normal(back), "and it stays so"


@pytest.mark.parametrize("name", sorted(VERSIONS))
@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_anything_stored_can_be_shown_and_written_back(name: str, data: st.DataObject) -> None:
    kind, version = pair(name)
    body = data.draw(values(s.definition(kind.schema)))
    stored = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"name": "x"}, **body}
    decode_object(stored, s.definition(kind.schema))
    shown = version.from_stored(stored)
    decode_object(copy(shown), s.definition(version.schema))
    version.to_stored(shown)


def version_of(name: str) -> Version:
    return pair(name)[1]


def converted(name: str, **body: Any) -> Object:
    old = {"kind": "X", "apiVersion": "x", "metadata": {}, **copy(body)}
    version = version_of(name)
    version.default(old)
    return {k: v for k, v in version.to_stored(old).items() if k not in ("kind", "apiVersion")}


BINDING = "rbac.authorization.k8s.io/v1alpha1 RoleBinding"
GROUP = "rbac.authorization.k8s.io"


@pytest.mark.parametrize("old, new", [
    ({"kind": "User", "name": "*"}, {"kind": "Group", "apiGroup": GROUP, "name": "system:authenticated"}),
    ({"kind": "User", "name": "a", "apiVersion": f"{GROUP}/v1alpha1"}, {"kind": "User", "name": "a", "apiGroup": GROUP}),
    ({"kind": "ServiceAccount", "name": "a", "namespace": "n", "apiVersion": "v1"}, {"kind": "ServiceAccount", "name": "a", "namespace": "n"}),
    ({"kind": "Robot", "name": "a", "apiVersion": "example.com/v1"}, {"kind": "Robot", "name": "a", "apiGroup": "example.com"}),
])  # fmt: skip
def test_subjects(old: Object, new: Object) -> None:
    assert converted(BINDING, subjects=[old])["subjects"] == [new]


RESERVED = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"


@pytest.mark.parametrize("old, new", [
    (None, None),
    ({}, {"matchExpressions": [{"key": RESERVED, "operator": "Exists"}]}),
    ({"matchExpressions": [{"key": RESERVED, "operator": "DoesNotExist"}]}, {}),
    ({"matchLabels": {"a": "b"}}, {"matchLabels": {"a": "b"}}),
])  # fmt: skip
def test_an_empty_selector_of_a_budget_chose_nobody(old: Object | None, new: Object | None) -> None:
    assert converted("policy/v1beta1 PodDisruptionBudget", spec={"selector": old})["spec"]["selector"] == new
    stored = {"kind": "X", "apiVersion": "x", "spec": {"selector": new}}
    assert version_of("policy/v1beta1 PodDisruptionBudget").from_stored(stored)["spec"]["selector"] == old


@pytest.mark.parametrize("old, new", [
    ({"addresses": ["1"], "topology": {"topology.kubernetes.io/zone": "z", "r": "1"}}, {"addresses": ["1"], "zone": "z", "deprecatedTopology": {"r": "1"}}),
    ({"nodeName": "n", "topology": {"kubernetes.io/hostname": "n"}}, {"nodeName": "n"}),
    ({"topology": {"kubernetes.io/hostname": "n"}}, {"deprecatedTopology": {"kubernetes.io/hostname": "n"}}),
])  # fmt: skip
def test_topology(old: Object, new: Object) -> None:
    assert converted("discovery.k8s.io/v1beta1 EndpointSlice", endpoints=[old])["endpoints"] == [new]
    shown = version_of("discovery.k8s.io/v1beta1 EndpointSlice").from_stored({"kind": "X", "apiVersion": "x", "endpoints": [new]})
    assert shown["endpoints"] == [old]


def test_behaviour_of_an_autoscaler_travels_in_an_annotation() -> None:
    version = version_of("autoscaling/v2beta1 HorizontalPodAutoscaler")
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 60, "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}}
    stored = {"kind": "X", "apiVersion": "autoscaling/v2", "metadata": {"name": "a"}, "spec": {"maxReplicas": 3, "behavior": behavior}}
    shown = version.from_stored(stored)
    assert set(shown["metadata"]["annotations"]) == {"autoscaling.alpha.kubernetes.io/behavior"} and "behavior" not in shown["spec"]
    assert version.to_stored(shown) == stored


def test_template_generation_is_a_field_of_the_first_daemon_sets() -> None:
    version = version_of("extensions/v1beta1 DaemonSet")
    stored = {"kind": "DaemonSet", "apiVersion": "apps/v1", "metadata": {"name": "a", "annotations": {"deprecated.daemonset.template.generation": "3"}}, "spec": {}}
    shown = version.from_stored(stored)
    assert shown["spec"] == {"templateGeneration": 3} and "annotations" not in shown["metadata"]
    assert version.to_stored(shown) == stored


@pytest.mark.parametrize("webhook", [None, {"clientConfig": {"url": "https://x"}, "conversionReviewVersions": ["v1"]}])
def test_conversion_of_definitions(webhook: Object | None) -> None:
    version = version_of("apiextensions.k8s.io/v1beta1 CustomResourceDefinition")
    conversion: Object = {"strategy": "Webhook", "webhook": webhook} if webhook else {"strategy": "None"}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}, {"name": "v2", "served": True, "storage": False}]
    stored = {"kind": "X", "apiVersion": "apiextensions.k8s.io/v1", "spec": {"group": "g", "versions": versions, "conversion": conversion}}
    shown = version.from_stored(stored)
    assert shown["spec"]["version"] == "v1" and "validation" not in shown["spec"]
    assert shown["spec"]["versions"] == versions
    assert shown["spec"]["conversion"] == ({"strategy": "Webhook", "webhookClientConfig": webhook["clientConfig"], "conversionReviewVersions": ["v1"]} if webhook else conversion)
    assert version.to_stored(shown) == stored
