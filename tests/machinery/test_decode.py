"""Decoding: what stays, what goes, and the words for what is wrong."""
from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.machinery.decode import DecodeError, decode_object, parse_json, strict_error, strict_problems
from tiffin.machinery.schema import definition

CORE = "io.k8s.api.core.v1."
POD, CONFIG_MAP, SECRET = (definition(CORE + name) for name in ("Pod", "ConfigMap", "Secret"))


def decoded(obj: dict[str, Any], name: str) -> dict[str, Any]:
    assert decode_object(obj, definition(name)) == []
    return obj


@pytest.mark.parametrize(("name", "before", "after"), [
    ("core.v1.ConfigMap", {"metadata": {"labels": None, "annotations": {}, "finalizers": []}, "data": {}, "binaryData": None, "immutable": None},
     {"metadata": {}}),
    ("core.v1.ConfigMap", {"metadata": {"labels": {"a": None, "b": ""}}, "data": {"k": None}, "immutable": False},
     {"metadata": {"labels": {"a": "", "b": ""}}, "data": {"k": ""}, "immutable": False}),
    ("core.v1.Secret", {"metadata": None, "data": {"a": "", "b": None, "c": "dGV4dB==\n"}}, {"metadata": {}, "data": {"a": "", "b": "", "c": "dGV4dA=="}}),
    ("coordination.v1.Lease", {"spec": None}, {"metadata": {}, "spec": {}}),
    ("rbac.v1.Role", {"rules": []}, {"metadata": {}, "rules": None}),
    ("core.v1.Container", {"env": [], "command": None, "resources": {"limits": {}}, "securityContext": {}, "tty": False, "stdin": True},
     {"name": "", "resources": {}, "securityContext": {}, "stdin": True}),
    ("core.v1.ResourceRequirements", {"limits": {"cpu": 1, "memory": "1024Mi", "x": 0.5}}, {"limits": {"cpu": "1", "memory": "1Gi", "x": "500m"}}),
    ("core.v1.EnvVarSource", {"resourceFieldRef": {"resource": "limits.cpu"}}, {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}),
    ("core.v1.ServicePort", {"port": 80, "nodePort": 0, "appProtocol": ""}, {"port": 80, "targetPort": 0, "appProtocol": ""}),
    ("core.v1.PodCondition", {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T02:00:00.5+02:00"},
     {"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z", "lastProbeTime": None}),
    ("coordination.v1.LeaseSpec", {"renewTime": "2020-01-01T00:00:00.120000+00:00"}, {"renewTime": "2020-01-01T00:00:00.120000Z"}),
    ("apps.v1.ControllerRevision", {"data": {"a": None}}, {"metadata": {}, "revision": 0, "data": {"a": None}}),
    ("networking.v1.Ingress", {}, {"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}}),
    ("core.v1.PodSpec", {"containers": [None]}, {"containers": [{"name": "", "resources": {}}]}),
])
def test_round_trip(name: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert decoded(before, "io.k8s.api." + name) == after


def test_numbers_of_schemas() -> None:
    schema = {"maximum": 1.0, "minimum": 0.5, "items": [{"type": ""}], "additionalProperties": False, "default": {"x": None},
              "properties": {"a": {"nullable": False}}}
    assert decoded(schema, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps") == {
        "maximum": 1, "minimum": 0.5, "items": [{}], "additionalProperties": False, "default": {"x": None}, "properties": {"a": {}}}


INTO = "json: cannot unmarshal {} into Go struct field {} of type {}"


@pytest.mark.parametrize(("obj", "words"), [
    ({"spec": {"containers": {}}}, INTO.format("object", "PodSpec.spec.containers", "[]v1.Container")),
    ({"spec": {"containers": [{"image": 5}]}}, INTO.format("number", "Container.spec.containers.image", "string")),
    ({"spec": {"hostNetwork": "yes"}}, INTO.format("string", "PodSpec.spec.hostNetwork", "bool")),
    ({"spec": {"containers": [{"ports": [{"containerPort": 1.5}]}]}},
     INTO.format("number 1.5", "ContainerPort.spec.containers.ports.containerPort", "int32")),
    ({"spec": {"containers": [{"ports": [{"containerPort": 99999999999}]}]}},
     INTO.format("number 99999999999", "ContainerPort.spec.containers.ports.containerPort", "int32")),
    ({"spec": {"containers": [{"livenessProbe": {"httpGet": {"port": {}}}}]}},
     INTO.format("object", "HTTPGetAction.spec.containers.livenessProbe.ProbeHandler.httpGet.port", "int32")),
    ({"metadata": {"name": ["p"]}}, INTO.format("array", "ObjectMeta.metadata.name", "string")),
    ({"metadata": {"labels": {"a": 1}}}, INTO.format("number", "ObjectMeta.metadata.labels", "string")),
    ({"metadata": {"labels": []}}, INTO.format("array", "ObjectMeta.metadata.labels", "map[string]string")),
    ({"metadata": {"creationTimestamp": 5}}, INTO.format("number", "ObjectMeta.metadata.creationTimestamp", "string")),
    ({"metadata": 5}, INTO.format("number", "Pod.metadata", "v1.ObjectMeta")),
    ({"metadata": {"creationTimestamp": "yesterday"}},
     'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"'),
    ({"metadata": {"creationTimestamp": "2020-13-01T00:00:00Z"}}, 'parsing time "2020-13-01T00:00:00Z": month out of range'),
    ({"metadata": {"creationTimestamp": "2020-02-30T00:00:00Z"}}, 'parsing time "2020-02-30T00:00:00Z": day out of range'),
    ({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Zx"}}, 'parsing time "2020-01-01T00:00:00Zx": extra text: "x"'),
    ({"spec": {"overhead": {"cpu": "abc"}}},
     "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
])
def test_wrong_types(obj: dict[str, Any], words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_object(obj, POD)
    assert str(caught.value) == words


@pytest.mark.parametrize(("text", "position"), [("not base64!", 3), ("YQ=", 3), ("YQ", 0), ("YWI=x", 4), ("=", 0), ("YQ=a", 3)])
def test_base64(text: str, position: int) -> None:
    with pytest.raises(DecodeError, match=f"^illegal base64 data at input byte {position}$"):
        decode_object({"data": {"a": text}}, SECRET)


def test_unknown_fields_are_dropped_and_reported() -> None:
    obj = {"odd": 1, "metadata": {"Labels": {}}, "Data": {}, "data": {"k": "v"}}
    assert list(map(str, decode_object(obj, CONFIG_MAP))) == ['unknown field "odd"', 'unknown field "metadata.Labels"', 'unknown field "Data"']
    assert obj == {"metadata": {}, "data": {"k": "v"}}


def test_strict_text_is_in_the_order_of_the_document() -> None:
    body = (b'{"metadata":{"odd":1,"labels":{"x":"y"},"labels":{"x":"z"}},"odd":2,"odd":{"a":1,"a":2},"immutable":false,"immutable":false,'
            b'"data":{"k":"v","k":"w"}}')
    obj, repeated = parse_json(body, True)
    problems = strict_problems(repeated, decode_object(obj, CONFIG_MAP))
    assert strict_error(problems) == ('strict decoding error: unknown field "metadata.odd", duplicate field "metadata.labels", '
                                      'unknown field "odd", duplicate field "immutable", duplicate field "data.k"')
    assert obj == {"metadata": {"labels": {"x": "z"}}, "immutable": False, "data": {"k": "w"}}


def test_repeated_maps_merge() -> None:
    assert parse_json(b'{"data":{"k":"v"},"data":{"l":"w"}}', False) == ({"data": {"k": "v", "l": "w"}}, [])


def test_text_that_looks_like_fields_is_no_repetition() -> None:
    body = orjson.dumps({"data": {"a": '":" "a": \\" {"a":1}', "b": "\u2028"}})
    assert parse_json(body, True) == (orjson.loads(body), [])
    assert parse_json(b'{"a\\u0022":1,"b":2}', True)[1] == []


@pytest.mark.parametrize(("body", "words"), [
    (b"", "unexpected end of JSON input"),
    (b'{"a":', "unexpected end of JSON input"),
    (b'{"a":1}}', "invalid character '}' after top-level value"),
    (b"{'a'}", r"invalid character '\'' looking for beginning of object key string"),
    (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
    (b'{"a" 1}', "invalid character '1' after object key"),
    (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
    (b'{"a":[1 2]}', "invalid character '2' after array element"),
    (b'{"a":nul}', "invalid character '}' in literal null (expecting 'l')"),
    (b'{"a":1.x}', "invalid character 'x' after decimal point in numeric literal"),
    (b'{"a":-x}', "invalid character 'x' in numeric literal"),
    (b'{"a":"\\x"}', "invalid character 'x' in string escape code"),
    (b'{"a":"\n"}', r"invalid character '\n' in string literal"),
    (b"NaN", "invalid character 'N' looking for beginning of value"),
    (b'{"a":' * 300 + b"1" + b"}" * 300, "exceeded max depth"),
    (b"[" * 100_000, "unexpected end of JSON input"),
])
def test_syntax_errors(body: bytes, words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        parse_json(body, True)
    expected = "exceeded max depth" if body.startswith(b"[[") else words
    assert str(caught.value) == expected


def test_not_utf8_is_replaced() -> None:
    assert parse_json(b'{"a":"\xff","b":"\\ud800"}', True) == ({"a": "\ufffd", "b": "\ufffd"}, [])


def test_schema_that_nests_for_ever() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"not": schema}
    with pytest.raises(DecodeError, match="max depth"):
        decode_object({"openAPIV3Schema": schema}, definition("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceValidation"))


_json = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "1Gi", "2020-01-01T00:00:00Z", "YQ=="]),
                     lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "a"]), inner, max_size=2), max_leaves=4)


def _values_of(name: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from([*definition(name).fields, "odd"]), _json, max_size=6)


@given(st.sampled_from(["PodSpec", "Container", "ServiceSpec", "Secret", "Probe", "EventSource", "NodeStatus", "ServicePort"]).flatmap(
    lambda name: st.tuples(st.just(CORE + name), _values_of(CORE + name))))
def test_decoding_twice_changes_nothing(case: tuple[str, dict[str, Any]]) -> None:
    name, obj = case
    try:
        decode_object(obj, definition(name))
    except DecodeError:
        return
    once = copy.deepcopy(obj)
    assert decode_object(obj, definition(name)) == []
    assert obj == once
