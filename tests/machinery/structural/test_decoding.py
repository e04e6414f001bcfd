"""From JSON to an object with defaults: what goes, what comes, and what is said of it."""
from __future__ import annotations

from typing import Any

import pytest

from tiffin.machinery.decode import DecodeError
from tiffin.machinery.structural.decoding import Structure, without_prose

TEXT = {"type": "string"}
KEEP = {"x-kubernetes-preserve-unknown-fields": True}


def structure(spec: dict[str, Any]) -> Structure:
    return Structure(lambda: {"type": "object", "properties": {"spec": spec}})


def decoded(spec: dict[str, Any], value: Any) -> tuple[Any, list[str]]:
    obj = {"apiVersion": "e.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": value}
    made = structure(spec)
    problems = [problem.path for problem in made.decode(obj)]
    made.default(obj)
    return obj.get("spec"), problems


@pytest.mark.parametrize(("schema", "given", "kept", "unknown"), [
    ({"type": "object", "properties": {"a": TEXT}}, {"a": "x", "b": 1, "c": {"d": 1}}, {"a": "x"}, ["spec.b", "spec.c"]),
    ({"type": "object", **KEEP, "properties": {"in": {"type": "object", "properties": {"a": TEXT}}}}, {"z": 1, "in": {"a": "b", "c": 1}},
     {"z": 1, "in": {"a": "b"}}, ["spec.in.c"]),
    ({"type": "object", "additionalProperties": {"type": "object", "properties": {"v": TEXT}}}, {"k": {"v": "x", "w": 1}}, {"k": {"v": "x"}}, ["spec.k.w"]),
    ({"type": "array", "items": {"type": "object", "properties": {"v": TEXT}}}, [{"v": "x"}, {"w": 1}], [{"v": "x"}, {}], ["spec[1].w"]),
    ({"type": "array", "items": TEXT}, {"a": 1}, {}, ["spec.a"]),
    ({"type": "object"}, {"a": {"b": [1]}}, {}, ["spec.a"]),
])
def test_unknown_fields_go(schema: dict[str, Any], given: Any, kept: Any, unknown: list[str]) -> None:
    assert decoded(schema, given) == (kept, unknown)


@pytest.mark.parametrize(("properties", "given", "kept"), [
    ({"a": TEXT}, {"a": None}, {}), ({"a": {**TEXT, "nullable": True}}, {"a": None}, {"a": None}),
    ({"a": {**TEXT, "default": "x"}}, {"a": None}, {"a": "x"}), ({"a": {**TEXT, "default": "x"}}, {}, {"a": "x"}),
    ({"a": {**TEXT, "default": "x", "nullable": True}}, {"a": None}, {"a": None}), ({"a": {**TEXT, "default": "x"}}, {"a": ""}, {"a": ""}),
    ({"a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 3}}}}, {}, {"a": {"b": 3}}),
    ({"a": {"type": "object", "properties": {"b": {"type": "integer", "default": 3}}}}, {}, {}),
    ({"l": {"type": "array", "items": {"type": "object", "properties": {"w": {"type": "integer", "default": 7}}}}}, {"l": [{}, {"w": 1}]}, {"l": [{"w": 7}, {"w": 1}]}),
    ({"l": {"type": "array", "items": {**TEXT, "default": "x"}}}, {"l": [None, "y"]}, {"l": ["x", "y"]}),
    ({"m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"w": {"type": "integer", "default": 7}}}}}, {"m": {"k": {}}}, {"m": {"k": {"w": 7}}}),
])
def test_nulls_and_defaults(properties: dict[str, Any], given: Any, kept: Any) -> None:
    assert decoded({"type": "object", "properties": properties}, given) == (kept, [])


def test_defaults_are_not_shared() -> None:
    schema = {"type": "object", "properties": {"l": {"type": "array", "default": [], "items": TEXT}}}
    made = structure(schema)
    one: dict[str, Any] = {"spec": {}}
    other: dict[str, Any] = {"spec": {}}
    made.default(one)
    one["spec"]["l"].append("x")
    made.default(other)
    assert other == {"spec": {"l": []}}


def test_metadata_is_typed() -> None:
    made = structure({"type": "object"})
    obj: dict[str, Any] = {"metadata": {"name": "w", "odd": 1}}
    assert [p.path for p in made.decode(obj)] == ["metadata.odd"]
    with pytest.raises(DecodeError, match=r"Go struct field ObjectMeta\.labels of type string"):
        made.decode({"metadata": {"labels": {"a": 5}}})
    with pytest.raises(DecodeError, match="cannot unmarshal string into Go value"):
        made.decode({"metadata": "x"})


EMBEDDED = {"type": "object", "x-kubernetes-embedded-resource": True, **KEEP}


def test_embedded_resources() -> None:
    value, unknown = decoded({"type": "object", "properties": {"pod": EMBEDDED}}, {
        "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "odd": 1}, "spec": {"any": 1}}})
    assert value == {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"any": 1}}}
    assert unknown == ["spec.pod.metadata.odd"]
    made = structure({"type": "object", "properties": {"pod": EMBEDDED}})
    assert [str(e) for e in made.embedded_violations({"spec": {"pod": {"a": 1}}})] == ["spec.pod.apiVersion: Required value", "spec.pod.kind: Required value"]
    assert next(str(e) for e in made.embedded_violations({"spec": {"pod": {"apiVersion": "", "kind": "x_"}}})) == "spec.pod.apiVersion: Required value"
    found = made.embedded_violations({"spec": {"pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "Bad_Name", "finalizers": ["any"], "labels": {"a b": "c"}}}}})
    assert [error.field for error in found] == ["spec.pod.metadata.labels"]


@pytest.mark.parametrize(("keywords", "value", "found"), [
    ({"x-kubernetes-list-type": "set"}, ["a", "b", "a", "a"], ['spec.l[2]: Duplicate value: "a"']),
    ({"x-kubernetes-list-type": "set"}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}], ['spec.l[1]: Duplicate value: {"a":1,"b":2}']),
    ({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["p", "n"]}, [{"n": 1, "p": "x", "v": 1}, {"n": 1, "p": "x", "v": 2}, {"n": 2}],
     ['spec.l[1]: Duplicate value: {"n":1,"p":"x"}']),
    ({}, ["a", "a"], []),
])
def test_repeated_elements(keywords: dict[str, Any], value: list[Any], found: list[str]) -> None:
    made = structure({"type": "object", "properties": {"l": {"type": "array", **keywords}}})
    assert [str(error) for error in made.repeated({"spec": {"l": value}})] == found


def test_fields_named_like_keywords_survive_without_prose() -> None:
    schema = {"type": "object", "description": "x", "properties": {"description": {"type": "string", "title": "y"}}}
    assert without_prose(schema) == {"type": "object", "properties": {"description": {"type": "string"}}}
