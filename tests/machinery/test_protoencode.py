"""Objects to protobuf and back: the bytes are those of a Go client, nothing is lost on the way."""
from __future__ import annotations

import base64
import copy
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiffin.machinery.decode import decode_object
from tiffin.machinery.object import Object
from tiffin.machinery.protodecode import parse_protobuf
from tiffin.machinery.protoencode import NoProtobuf, encode_event, encode_protobuf
from tiffin.machinery.protolayout import message_of
from tiffin.machinery.schema import Bytes, IntOrString, List, Map, Quantity, Raw, Scalar, SchemaOr, Struct, Time, Type, definition

KINDS = (
    ("v1", "Pod"), ("v1", "Service"), ("v1", "Node"), ("v1", "Secret"), ("v1", "ConfigMap"), ("v1", "PersistentVolume"), ("v1", "Event"),
    ("v1", "Endpoints"), ("v1", "PodList"), ("v1", "Status"), ("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"), ("batch/v1", "CronJob"), ("networking.k8s.io/v1", "Ingress"), ("networking.k8s.io/v1", "NetworkPolicy"),
    ("autoscaling/v1", "Scale"), ("autoscaling/v2", "HorizontalPodAutoscaler"), ("policy/v1", "PodDisruptionBudget"), ("policy/v1", "Eviction"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"), ("coordination.k8s.io/v1", "Lease"), ("discovery.k8s.io/v1", "EndpointSlice"),
    ("authorization.k8s.io/v1", "SubjectAccessReview"), ("authentication.k8s.io/v1", "TokenReview"), ("v1", "APIResourceList"),
    ("certificates.k8s.io/v1", "CertificateSigningRequest"), ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"), ("apiregistration.k8s.io/v1", "APIService"), ("v1", "DeleteOptions"),
    ("meta.k8s.io/v1", "PartialObjectMetadataList"), ("resource.k8s.io/v1", "ResourceClaim"), ("storage.k8s.io/v1", "StorageClass"),
)

text = st.text(max_size=6)
scalars: dict[str, st.SearchStrategy[Any]] = {
    "string": text, "boolean": st.booleans(), "int32": st.integers(-2**31, 2**31 - 1), "int64": st.integers(-2**63, 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False).map(lambda f: int(f) if f.is_integer() and abs(f) < 2**53 else f),
}
raw = st.recursive(st.booleans() | st.integers(-9, 9) | text, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(text, inner, max_size=2), max_leaves=3)


def values(type: Type, depth: int) -> st.SearchStrategy[Any]:
    """Values of a type in JSON, canonical where a type has several spellings."""
    if isinstance(type, Struct):
        return structs(type, depth)
    if isinstance(type, Map):
        return st.dictionaries(text, values(type.values, depth - 1), min_size=1, max_size=2)
    if isinstance(type, List):
        return st.lists(values(type.items, depth - 1), min_size=1, max_size=2)
    if isinstance(type, SchemaOr):
        schema = structs(type.schema, depth - 1)
        other = {"boolean": st.booleans(), "list": st.lists(schema, min_size=1, max_size=2), "strings": st.lists(text, min_size=1, max_size=2)}
        return schema | other[type.alternative]
    if isinstance(type, Scalar):
        return scalars[type.kind]
    if isinstance(type, Time):
        shape = "%Y-%m-%dT%H:%M:%S.%fZ" if type.micro else "%Y-%m-%dT%H:%M:%SZ"
        return st.datetimes(min_value=datetime(1000, 1, 1)).map(lambda t: t.strftime(shape))
    return {
        Bytes: st.binary(min_size=1, max_size=5).map(lambda b: base64.b64encode(b).decode()), Quantity: st.sampled_from(["0", "1", "250m", "1Gi", "-3", "1e3"]),
        IntOrString: st.integers(-2**31, 2**31 - 1) | text, Raw: st.dictionaries(text, raw, max_size=2) if getattr(type, "objects", False) else raw,
    }[type.__class__]


def structs(type: Struct, depth: int) -> st.SearchStrategy[Object]:
    if depth <= 0:
        return st.just({})
    fields = {name: st.deferred(lambda t=field.type: values(t, depth - 1)) for name, field in type.fields.items() if name not in ("kind", "apiVersion")}
    names = st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=5) if fields else st.just([])
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen}))


DEPLOYMENT = bytes.fromhex(
    "6b3873000a150a07617070732f7631120a4465706c6f796d656e7412b8010a1f0a0377656212001a0022002a003200380042005a0a0a036170701203776562128601"
    "0803120c0a0a0a0361707012037765621a6c0a1c0a0012001a0022002a003200380042005a0a0a036170701203776562124c122e0a056e67696e7812056e67696e78"
    "2a00320a0a001000185022002a0042006a007200800100880100900100a201001a00320042004a0052005800600068008201008a01009a0100c2010022020a002800"
    "38001a0c0800100018002000280038001a002200")
"""What kubectl 1.36 sends for `kubectl create deployment web --image=nginx --replicas=3 --port=80`."""


def test_the_bytes_are_those_of_a_go_client() -> None:
    obj = parse_protobuf(DEPLOYMENT)
    decode_object(obj, definition("io.k8s.api.apps.v1.Deployment"))
    container = {"name": "nginx", "image": "nginx", "ports": [{"containerPort": 80}], "resources": {}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template, "strategy": {}}
    assert obj == {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web", "labels": {"app": "web"}}, "spec": spec, "status": {}}
    assert encode_protobuf(obj) == DEPLOYMENT


@pytest.mark.parametrize("data, expected", [
    ({"b": "2", "a": ""}, b"\x12\x05\x0a\x01a\x12\x00\x12\x06\x0a\x01b\x12\x012"),
    ({"\u00e9": "\U0001f600"}, b"\x12\x0a\x0a\x02\xc3\xa9\x12\x04\xf0\x9f\x98\x80"),
])
def test_maps_are_written_in_the_order_of_their_keys(data: dict[str, str], expected: bytes) -> None:
    assert expected in encode_protobuf({"kind": "ConfigMap", "apiVersion": "v1", "data": data})


def test_pointers_keep_zero_and_empty_lists_are_left_out() -> None:
    config_map = {"kind": "ConfigMap", "apiVersion": "v1"}
    assert encode_protobuf({**config_map, "immutable": False}) != encode_protobuf(config_map)
    assert encode_protobuf({**config_map, "data": {}, "metadata": {"finalizers": []}}) == encode_protobuf(config_map)
    assert encode_protobuf({**config_map, "metadata": {"name": "", "generation": 0}}) == encode_protobuf(config_map)


def test_null_in_lists_and_maps_is_the_zero_value() -> None:
    role = {"kind": "Role", "apiVersion": "rbac.authorization.k8s.io/v1", "rules": [None, {"verbs": [None, "get"]}]}
    assert parse_protobuf(encode_protobuf(role))["rules"] == [{}, {"verbs": ["", "get"]}]
    quota = {"kind": "ResourceQuota", "apiVersion": "v1", "spec": {"hard": {"cpu": None}}}
    assert parse_protobuf(encode_protobuf(quota))["spec"]["hard"] == {"cpu": "0"}


def test_schemas_hold_schemas() -> None:
    inner: Object = {"type": "object", "additionalProperties": True, "items": [{"type": "string"}], "dependencies": {"a": ["b"], "c": {"type": "x"}}}
    for _ in range(3):
        inner = {"type": "object", "properties": {"p": inner}, "default": {"x": [1, None]}, "maximum": 1.5}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": inner}}
    obj = {"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": {}, "spec": {"versions": [version]}}
    again = parse_protobuf(encode_protobuf(obj))
    decode_object(again, definition("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"))
    assert again["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == inner


def test_events_are_framed() -> None:
    whole = encode_protobuf({"kind": "Status", "apiVersion": "v1", "code": 410})
    frame = encode_event("ERROR", whole)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert frame[4:].startswith(b"\x0a\x05ERROR\x12")
    assert frame.endswith(whole)


def test_what_has_no_protobuf_form() -> None:
    for api_version, kind in (("example.com/v1", "Thing"), ("meta.k8s.io/v1", "Table"), ("v1", "Thing")):
        with pytest.raises(NoProtobuf, match=kind):
            encode_protobuf({"kind": kind, "apiVersion": api_version})


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_nothing_is_lost(data: st.DataObject) -> None:
    api_version, kind = data.draw(st.sampled_from(KINDS))
    type = message_of(api_version, kind)
    assert type is not None
    obj = {"kind": kind, "apiVersion": api_version, **data.draw(structs(type, 5))}
    decode_object(obj, type)
    before = copy.deepcopy(obj)
    body = encode_protobuf(obj)
    assert obj == before
    again = parse_protobuf(body)
    assert decode_object(again, type) == []
    assert again == obj
    assert encode_protobuf(again) == body
