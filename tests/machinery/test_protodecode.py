"""Objects in protobuf: bytes as clients send them, and what becomes of them."""
from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.decode import DecodeError, decode_object
from tiffin.machinery.protodecode import parse_protobuf
from tiffin.machinery.schema import definition


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    made = b""
    while value > 0x7F:
        made += bytes([value & 0x7F | 0x80])
        value >>= 7
    return made + bytes([value])


def message(*fields: tuple[int, Any]) -> bytes:
    """Fields in their order: integers as varints, floats fixed, text and bytes with their length."""
    made = b""
    for number, value in fields:
        if isinstance(value, float):
            made += varint(number << 3 | 1) + struct.pack("<d", value)
        elif isinstance(value, int):
            made += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            made += varint(number << 3 | 2) + varint(len(data)) + data
    return made


def body(version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\0" + message((1, message((1, version), (2, kind))), (2, raw), (3, ""), (4, ""))


def entry(key: str, value: Any) -> bytes:
    return message((1, key), (2, value))


META = (1, message((1, "a"), (2, ""), (3, ""), (5, ""), (6, ""), (7, 0), (8, b""), (11, entry("app", "web"))))


def test_a_config_map_as_kubectl_sends_it() -> None:
    obj = parse_protobuf(body("v1", "ConfigMap", message(META, (2, entry("k", "v")), (2, entry("l", "")), (3, entry("b", b"\0\xff")), (4, 1))))
    assert decode_object(obj, definition("io.k8s.api.core.v1.ConfigMap")) == []
    assert obj == {
        "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "labels": {"app": "web"}},
        "data": {"k": "v", "l": ""}, "binaryData": {"b": "AP8="}, "immutable": True,
    }


def test_leaves_lists_and_embedded_structs() -> None:
    resources = message((2, entry("cpu", message((1, "250m")))))
    probe = message((1, message((2, message((1, "/"), (2, message((1, 1), (2, 0), (3, "http"))))))), (2, 5))
    ports = (message((1, ""), (2, 8080), (3, 80)), message((3, 81)))
    container = message((1, "web"), (2, "i"), (3, "sh"), (3, "-c"), *((6, port) for port in ports), (8, resources), (10, probe), (16, 0))
    volume = message((1, "v"), (2, message((2, message((1, "Memory"), (2, message((1, "1Gi"))))))))
    spec = message((1, volume), (2, container), (4, -1), (7, entry("disk", "ssd")))
    obj = parse_protobuf(body("v1", "Pod", message(META, (2, spec), (3, message()))))
    decode_object(obj, definition("io.k8s.api.core.v1.Pod"))
    assert obj["spec"] == {
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}],
        "containers": [
            {
                "name": "web", "image": "i", "command": ["sh", "-c"], "ports": [{"hostPort": 8080, "containerPort": 80}, {"containerPort": 81}],
                "resources": {"requests": {"cpu": "250m"}}, "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "initialDelaySeconds": 5},
            }
        ],
        "terminationGracePeriodSeconds": -1,
        "nodeSelector": {"disk": "ssd"},
    }


def test_times_named_lists_and_raw_values() -> None:
    times = message((8, message()), (9, message((1, 1767225600))), (17, message((1, "m"), (7, message((1, b'{"f:data":{}}'))))))
    metadata = parse_protobuf(body("v1", "ConfigMap", message((1, times))))["metadata"]
    assert metadata == {
        "creationTimestamp": None, "deletionTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}}],
    }
    lease = parse_protobuf(body("coordination.k8s.io/v1", "Lease", message((2, message((3, message((1, 1), (2, 5000))))))))
    assert lease["spec"] == {"acquireTime": "1970-01-01T00:00:01.000005Z"}
    review = message((2, message((3, "u"), (5, entry("scopes", message((1, "a"), (1, "b")))))))
    assert parse_protobuf(body("authorization.k8s.io/v1", "SubjectAccessReview", review))["spec"] == {"user": "u", "extra": {"scopes": ["a", "b"]}}


def test_unknown_fields_are_skipped() -> None:
    raw = message((99, "x"), (98, 1), (97, 1.0), META, (1 << 20, b"y")) + varint(96 << 3 | 5) + b"1234"
    assert parse_protobuf(body("v1", "ConfigMap", raw))["metadata"]["name"] == "a"


def test_a_message_that_comes_twice_is_merged() -> None:
    first, second = message((1, "a"), (11, entry("x", "1"))), message((3, "b"), (11, entry("y", "2")))
    metadata = parse_protobuf(body("v1", "ConfigMap", message((1, first), (1, second), (4, 1), (4, 0))))
    assert metadata["metadata"] == {"name": "a", "namespace": "b", "labels": {"x": "1", "y": "2"}}
    assert metadata["immutable"] is False


def test_integers_are_cut_to_their_size_and_may_be_packed() -> None:
    spec = parse_protobuf(body("apps/v1", "Deployment", message((2, message((1, (1 << 32) + 5))))))["spec"]
    assert spec == {"replicas": 5}
    context = message((14, message((4, varint(7) + varint(-1)), (4, 9))))
    pod = parse_protobuf(body("v1", "Pod", message((2, context))))
    assert pod["spec"]["securityContext"]["supplementalGroups"] == [7, -1, 9]


def test_raw_values_may_be_objects_in_protobuf() -> None:
    inner = body("v1", "ConfigMap", message(META))
    revision = parse_protobuf(body("apps/v1", "ControllerRevision", message((2, message((1, inner))))))
    assert (revision["data"]["kind"], revision["data"]["metadata"]["name"]) == ("ConfigMap", "a")


def test_depth_is_bounded() -> None:
    schema = b""
    for _ in range(3000):
        schema = message((28, schema))
    deep = message((2, message((7, message((4, message((1, schema))))))))
    with pytest.raises(DecodeError, match="exceeded max depth"):
        parse_protobuf(body("apiextensions.k8s.io/v1", "CustomResourceDefinition", deep))
    nested = b""
    for _ in range(1000):
        nested = body("apps/v1", "ControllerRevision", message((2, message((1, nested)))))
    with pytest.raises(DecodeError, match="exceeded max depth"):
        parse_protobuf(nested)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"{}", r"expected prefix \[107 56 115 0\]"),
        (b"", "expected prefix"),
        (b"k8s\0", 'no kind "" is registered for version ""'),
        (body("v1", "Nonsense", b""), 'no kind "Nonsense" is registered for version "v1"'),
        (body("example.com/v1", "ConfigMap", b""), "no kind"),
        (body("v1", "ConfigMap", message(META)[:-1]), "unexpected EOF"),
        (body("v1", "ConfigMap", b"\xff"), "unexpected EOF"),
        (body("v1", "ConfigMap", b"\xff" * 11), "integer overflow"),
        (body("v1", "ConfigMap", b"\x00"), "illegal tag 0"),
        (body("v1", "ConfigMap", b"\x0b"), "illegal wireType 3"),
        (body("v1", "ConfigMap", message((1, 5))), "wrong wireType = 0"),
        (body("v1", "ConfigMap", message((4, "x"))), "wrong wireType = 2"),
        (body("v1", "ConfigMap", message((1, message((1, b"\xff"))))), "invalid UTF-8"),
        (body("v1", "ConfigMap", message((1, message((9, message((1, 1 << 62))))))), "timestamp out of range"),
        (body("v1", "ConfigMap", message((1, message((17, message((7, message((1, b"{"))))))))), "unexpected"),
    ],
)
def test_what_cannot_be_read(data: bytes, words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        parse_protobuf(data)


@given(st.binary(max_size=60), st.sampled_from([("v1", "Pod"), ("apps/v1", "Deployment"), ("autoscaling/v2", "HorizontalPodAutoscaler")]))
def test_any_bytes_are_an_object_or_refused(raw: bytes, kind: tuple[str, str]) -> None:
    try:
        obj = parse_protobuf(body(*kind, raw))
    except DecodeError:
        return
    assert (obj["apiVersion"], obj["kind"]) == kind


@given(st.data())
def test_damaged_objects_are_objects_or_refused(data: st.DataObject) -> None:
    spec = message((1, message((1, "v"), (2, message((2, message((1, "Memory"))))))), (2, message((1, "c"), (6, message((3, 80))))), (4, -1))
    whole = bytearray(body("v1", "Pod", message(META, (2, spec), (3, message((7, message((1, 5))))))))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        obj = parse_protobuf(bytes(whole[:data.draw(st.integers(4, len(whole)))]))
    except DecodeError:
        return
    assert obj["kind"]
