"""Values against schemas: what is said, in which words and order, and what an old value lets pass."""
from __future__ import annotations

from typing import Any

import pytest

from tiffin.machinery.field import go_number
from tiffin.machinery.structural.values import Validator

TEXT, NUMBER, WHOLE = {"type": "string"}, {"type": "number"}, {"type": "integer"}
A_OR_B = {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}

REFUSED: list[tuple[dict[str, Any], Any, list[str]]] = [
    (WHOLE, "x", ['f: Invalid value: "string": f in body must be of type integer: "string"']),
    (WHOLE, None, ['f: Invalid value: "null": f in body must be of type integer: "null"']),
    (WHOLE, True, ['f: Invalid value: "boolean": f in body must be of type integer: "boolean"']),
    (WHOLE, 1.5, ['f: Invalid value: "number": f in body must be of type integer: "number"',
                  '<nil>: Invalid value: "": Checked value must be of type integer (default format) in f']),
    ({**WHOLE, "format": "int32"}, 2**31, ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in f']),
    ({"x-kubernetes-int-or-string": True}, [1], ['f: Invalid value: "array": f in body must be of type integer,string: "array"']),
    ({**WHOLE, "multipleOf": 2, "maximum": 10}, 13, ["f: Invalid value: 13: f in body should be a multiple of 2",
                                                     "f: Invalid value: 13: f in body should be less than or equal to 10"]),
    ({**NUMBER, "minimum": 0.5}, 0.25, ["f: Invalid value: 0.25: f in body should be greater than or equal to 0.5"]),
    ({**NUMBER, "minimum": 0, "exclusiveMinimum": True}, 0, ["f: Invalid value: 0: f in body should be greater than 0"]),
    ({**NUMBER, "maximum": 1, "exclusiveMaximum": True}, 1, ["f: Invalid value: 1: f in body should be less than 1"]),
    ({**TEXT, "maxLength": 2, "pattern": "^[a-z]+$"}, "ABC", ["f: Too long: may not be more than 2 bytes"]),
    ({**TEXT, "minLength": 2, "pattern": "^[a-z]+$"}, "A", ['f: Invalid value: "A": f in body should be at least 2 chars long']),
    ({**TEXT, "pattern": "^[a-z]+$"}, "a\n", ['f: Invalid value: "a\\n": f in body should match \'^[a-z]+$\'']),
    ({**TEXT, "enum": ["a", "b"]}, "c", ['f: Unsupported value: "c": supported values: "a", "b"']),
    ({**WHOLE, "enum": [1, 2]}, 3, ['f: Unsupported value: 3: supported values: "1", "2"']),
    ({**TEXT, "format": "date"}, "2020-13-01", ['f: Invalid value: "2020-13-01": f in body must be of type date: "2020-13-01"']),
    ({"type": "array", "minItems": 1, "items": TEXT}, [], ["f: Invalid value: 0: f in body should have at least 1 items"]),
    ({"type": "array", "maxItems": 1, "items": TEXT}, ["a", 3], ['f[1]: Invalid value: "integer": f[1] in body must be of type string: "integer"',
                                                                 "f: Too many: 2: must have at most 1 item"]),
    ({"type": "object", "minProperties": 1}, {}, ["f: Invalid value: 0: f in body should have at least 1 properties"]),
    ({"type": "object", "maxProperties": 1, "required": ["z"]}, {"a": 1, "b": 2}, ["f: Too many: 2: must have at most 1 item"]),
    ({"type": "object", "required": ["z", "y"]}, {}, ["f.z: Required value", "f.y: Required value"]),
    ({"type": "object", "additionalProperties": WHOLE}, {"k": "v"}, ['f.k: Invalid value: "string": f.k in body must be of type integer: "string"']),
    (A_OR_B, {}, ['<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found none valid', "f.a: Required value"]),
    (A_OR_B, {"a": 1, "b": 2}, ['<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives']),
    ({"type": "object", "not": {"required": ["c"]}}, {"c": 1}, ['<nil>: Invalid value: "": "f" must not validate the schema (not)']),
    ({**TEXT, "allOf": [{"minLength": 2}, {"maxLength": 9}]}, "x", [
        'f: Invalid value: "x": f in body should be at least 2 chars long', '<nil>: Invalid value: "": "f" must validate all the schemas (allOf)']),
    ({**TEXT, "anyOf": [{"minLength": 3}, {"pattern": "^z"}]}, "x", [
        '<nil>: Invalid value: "": "f" must validate at least one schema (anyOf)', 'f: Invalid value: "x": f in body should be at least 3 chars long']),
]


@pytest.mark.parametrize(("schema", "value", "found"), REFUSED)
def test_what_is_refused(schema: dict[str, Any], value: Any, found: list[str]) -> None:
    assert [str(error) for error in Validator(schema).validate(value, "f")] == found


@pytest.mark.parametrize(("schema", "value"), [
    (WHOLE, 4.0), (NUMBER, 4), ({**TEXT, "nullable": True}, None), ({"x-kubernetes-int-or-string": True}, "80%"), ({}, {"any": 1}),
    ({**TEXT, "format": "of-my-own"}, "x"), ({**WHOLE, "format": "int64"}, 2**60), (A_OR_B, {"a": 1}), ({**TEXT, "enum": ["a"]}, "a"),
    ({**TEXT, "anyOf": [{"minLength": 3}, {"pattern": "^z"}]}, "z"), ({**NUMBER, "multipleOf": 0.5}, 2.5)])
def test_what_is_accepted(schema: dict[str, Any], value: Any) -> None:
    assert Validator(schema).validate(value, "f") == []


def test_of_alternatives_the_nearest_is_told() -> None:
    schema = {"type": "object", "anyOf": [
        {"required": ["x"]}, {"properties": {"a": {"minLength": 1}, "b": {"minLength": 5}}, "required": ["a"]}]}
    found = Validator(schema).validate({"a": "ok", "b": "no"}, "f")
    assert [error.field for error in found] == ["<nil>", "f.b"]


LIMITED = {"type": "integer", "maximum": 10}
LISTS = {"map": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}, "set": {"x-kubernetes-list-type": "set"}, "none": {}}


@pytest.mark.parametrize(("kind", "old", "new", "fields"), [
    ("map", [{"k": "a", "v": 50}], [{"k": "b", "v": 1}, {"k": "a", "v": 50}], []),
    ("map", [{"k": "a", "v": 50}], [{"k": "b", "v": 50}], ["l[0].v"]),
    ("map", [{"k": "a", "v": 50}], [{"k": "a", "v": 51}], ["l[0].v"]),
    ("none", [{"v": 50}], [{"v": 50}, {"v": 60}], ["l[0].v", "l[1].v"]),
    ("none", [{"v": 50}, {"v": 1}], [{"v": 50}, {"v": 1}], []),
    ("set", [{"v": 50}], [{"v": 50}], []),
])
def test_unchanged_items_pass(kind: str, old: list[Any], new: list[Any], fields: list[str]) -> None:
    items = {"type": "object", "properties": {"k": TEXT, "v": LIMITED}}
    schema = {"type": "object", "properties": {"l": {"type": "array", "items": items, **LISTS[kind]}}}
    assert [error.field for error in Validator(schema).validate_update({"l": new}, {"l": old})] == fields


def test_an_unchanged_field_passes_and_a_new_one_does_not() -> None:
    validator = Validator({"type": "object", "properties": {"a": LIMITED, "b": LIMITED}, "required": ["c"]})
    assert [str(e) for e in validator.validate_update({"a": 50, "b": 50}, {"a": 50})] == [
        "b: Invalid value: 50: b in body should be less than or equal to 10", "c: Required value"]


@pytest.mark.parametrize(("number", "text"), [(1, "1"), (1.0, "1"), (0.5, "0.5"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (0.00001, "1e-05"), (2**70, str(2**70))])
def test_numbers_as_go_prints_them(number: float, text: str) -> None:
    assert go_number(number) == text
