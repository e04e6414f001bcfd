"""Whatever comes: no schema that is accepted and no value breaks anything, and what is in form stays as it is."""
from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.machinery.decode import DecodeError
from tiffin.machinery.structural.decoding import Structure

NAMES = st.sampled_from(["a", "b", "k", "metadata", "kind"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-3, 3, allow_nan=False) | st.text("ab-0", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8)


def _leaf(draw: st.DrawFn) -> dict[str, Any]:
    return draw(st.sampled_from([
        {"type": "string"}, {"type": "string", "pattern": "^a", "maxLength": 2}, {"type": "string", "format": "date"}, {"type": "integer", "minimum": 1},
        {"type": "number", "multipleOf": 0.5}, {"type": "boolean", "nullable": True}, {"x-kubernetes-int-or-string": True}, {"type": "string", "enum": ["a"]},
        {"type": "integer", "default": 3}, {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"type": "string", "default": "a"},
        {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 3 || self == oldSelf"}]},
        {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}]))


@st.composite
def schemas(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    shape = draw(st.sampled_from(["leaf", "object", "map", "list", "set", "keyed", "junctors"])) if depth else "leaf"
    if shape == "leaf":
        return dict(_leaf(draw))
    if shape == "object":
        fields = draw(st.dictionaries(st.sampled_from(["a", "b", "k"]), schemas(depth - 1), min_size=1, max_size=3))
        return {"type": "object", "properties": fields, "required": draw(st.lists(NAMES, max_size=1))}
    if shape == "map":
        return {"type": "object", "additionalProperties": draw(schemas(depth - 1)), "maxProperties": 2}
    if shape == "keyed":
        return {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {
            "type": "object", "properties": {"k": {"type": "string"}, "v": draw(schemas(depth - 1))}}}
    if shape == "junctors":
        return {"type": "object", "properties": {"a": draw(schemas(depth - 1))}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "not": {"required": ["k"]}}
    return {"type": "array", "items": draw(schemas(depth - 1)), "maxItems": 2} | ({"x-kubernetes-list-type": "set"} if shape == "set" else {})


@settings(max_examples=150, deadline=None)
@given(schemas(), VALUES, VALUES)
def test_nothing_breaks(schema: dict[str, Any], value: Any, old: Any) -> None:
    structure = Structure(lambda: {"type": "object", "properties": {"spec": schema}})
    obj = {"apiVersion": "e.com/v1", "kind": "W", "metadata": {"name": "w"}, "spec": value}
    before = {"apiVersion": "e.com/v1", "kind": "W", "metadata": {"name": "w"}, "spec": old}
    try:
        for each in (obj, before):
            structure.decode(each)
            structure.default(each)
    except DecodeError:
        return
    once = orjson.dumps(obj)
    assert structure.decode(obj) == []
    structure.default(obj)
    assert orjson.dumps(obj) == once, "decoding twice changes nothing"
    for found in (structure.violations(obj), structure.update_violations(obj, before), structure.embedded_violations(obj), structure.repeated(obj)):
        assert all(isinstance(error.message, str) and error.field for error in found)
    if not structure.violations(obj):
        structure.rule_violations(obj, before, [])
    assert len(structure.update_violations(obj, before)) <= len(structure.violations(obj))
