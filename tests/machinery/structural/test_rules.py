"""CEL rules of schemas: messages, paths, old values, ratcheting and costs."""
from __future__ import annotations

from typing import Any

import pytest

from tiffin.machinery.cel.budget import Budget
from tiffin.machinery.structural.rules import OUT_OF_BUDGET, rule_node

TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


def asked(schema: dict[str, Any], new: Any, old: Any = None, budget: Budget | None = None) -> list[str]:
    node = rule_node(schema, resource=False)
    assert node is not None
    return [str(error) for error in node.violations(new, old, budget)]


def ruled(schema: dict[str, Any], **rule: Any) -> dict[str, Any]:
    return {**schema, "x-kubernetes-validations": [rule]}


def fields(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(("schema", "value", "found"), [
    (fields(a=ruled(WHOLE, rule="self < 5")), {"a": 9}, ["a: Invalid value: 9: failed rule: self < 5"]),
    (fields(a=ruled(WHOLE, rule="self < 5", message="too much")), {"a": 9}, ["a: Invalid value: 9: too much"]),
    (fields(a=ruled(WHOLE, rule="self < 5", messageExpression="'have ' + string(self)")), {"a": 9}, ["a: Invalid value: 9: have 9"]),
    (fields(a=ruled(WHOLE, rule="self < 5", message="plain", messageExpression="'a\\nb'")), {"a": 9}, ["a: Invalid value: 9: plain"]),
    (fields(a=ruled(TEXT, rule="false", reason="FieldValueRequired", message="no")), {"a": "x"}, ["a: Required value: no"]),
    (fields(a=ruled(TEXT, rule="false", reason="FieldValueDuplicate", message="no")), {"a": "x"}, ['a: Duplicate value: "x"']),
    (ruled(fields(a=WHOLE), rule="self.a > 1"), {"a": 1}, ["<nil>: Invalid value: failed rule: self.a > 1"]),
    (ruled(fields(a=WHOLE), rule="self.a > 1", fieldPath=".a", reason="FieldValueForbidden", message="m"), {"a": 1}, ["a: Forbidden: m"]),
    (fields(s=ruled(fields(a=WHOLE), rule="self.a > 1", fieldPath=".a")), {"s": {"a": 1}}, ["s.a: Invalid value: failed rule: self.a > 1"]),
    (ruled(fields(a=WHOLE), rule="self.a > 1"), {}, ['<nil>: Invalid value: "object": no such key: a evaluating rule: self.a > 1']),
    (fields(l={"type": "array", "items": ruled(WHOLE, rule="self < 5")}), {"l": [1, 9]}, ["l[1]: Invalid value: 9: failed rule: self < 5"]),
    (fields(m={"type": "object", "additionalProperties": ruled(WHOLE, rule="self < 5")}), {"m": {"k": 9}}, ["m[k]: Invalid value: 9: failed rule: self < 5"]),
    (fields(a=ruled(WHOLE, rule="self < 5", messageExpression="' one line\\n '")), {"a": 9}, ["a: Invalid value: 9: one line"]),
    (fields(s=ruled(fields(**{"a-b": WHOLE}), rule="false", fieldPath="['a-b']")), {"s": {}}, ["s.a-b: Invalid value: failed rule: false"]),
    (fields(s=ruled(fields(m={"type": "object", "additionalProperties": TEXT}), rule="false", fieldPath=".m['k.l']")), {"s": {}}, [
        "s.m[k.l]: Invalid value: failed rule: false"]),
    (fields(a=ruled(WHOLE, rule="self < 5")), {"a": None}, []), (fields(a=ruled(WHOLE, rule="self < 5")), {}, []),
])
def test_what_rules_say(schema: dict[str, Any], value: Any, found: list[str]) -> None:
    assert asked(schema, value) == found


FIXED = {"rule": "self == oldSelf", "message": "fixed"}
KEYED = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": fields(k=TEXT, v={**TEXT, "x-kubernetes-validations": [FIXED]})}


@pytest.mark.parametrize(("schema", "new", "old", "found"), [
    (fields(a=ruled(TEXT, **FIXED)), {"a": "x"}, None, []), (fields(a=ruled(TEXT, **FIXED)), {"a": "x"}, {}, []),
    (fields(a=ruled(TEXT, **FIXED)), {"a": "x"}, {"a": "y"}, ['a: Invalid value: "x": fixed']), (fields(a=ruled(TEXT, **FIXED)), {"a": "x"}, {"a": "x"}, []),
    (fields(l=KEYED), {"l": [{"k": "b", "v": "2"}, {"k": "a", "v": "1"}]}, {"l": [{"k": "a", "v": "1"}]}, []),
    (fields(l=KEYED), {"l": [{"k": "b", "v": "2"}, {"k": "a", "v": "3"}]}, {"l": [{"k": "a", "v": "1"}]}, ['l[1].v: Invalid value: "3": fixed']),
    (fields(a=ruled(TEXT, rule="oldSelf.hasValue() || self == 'new'", optionalOldSelf=True, message="m")), {"a": "x"}, None, ['a: Invalid value: "x": m']),
    (fields(a=ruled(TEXT, rule="oldSelf.hasValue() || self == 'new'", optionalOldSelf=True, message="m")), {"a": "x"}, {"a": "y"}, []),
    (fields(a=ruled(WHOLE, rule="self < 5")), {"a": 9}, {"a": 9}, []),
    (fields(a=ruled(WHOLE, rule="self < 5"), b=WHOLE), {"a": 9, "b": 2}, {"a": 9, "b": 1}, []),
    (fields(a=ruled(WHOLE, rule="self < 5")), {"a": 9}, {"a": 8}, ["a: Invalid value: 9: failed rule: self < 5"]),
])
def test_old_values(schema: dict[str, Any], new: Any, old: Any, found: list[str]) -> None:
    assert asked(schema, new, old) == found


def test_whole_objects_have_names() -> None:
    node = rule_node(ruled(fields(spec=fields(n=WHOLE)), rule="self.metadata.name.startsWith('ok-') && self.kind == 'W'", message="m"), resource=True)
    assert node is not None
    assert node.violations({"apiVersion": "e/v1", "kind": "W", "metadata": {"name": "ok-a"}}) == []
    assert len(node.violations({"apiVersion": "e/v1", "kind": "W", "metadata": {"name": "a"}})) == 1


def test_a_budget_ends() -> None:
    schema = fields(a=ruled({"type": "array", "items": WHOLE}, rule="self.all(x, x > 0)"), b=ruled(WHOLE, rule="false"))
    assert asked(schema, {"a": list(range(1, 50)), "b": 1}, budget=Budget(10)) == [f'a: Invalid value: "array": {OUT_OF_BUDGET}']


def test_no_rules_no_node() -> None:
    assert rule_node(fields(a=TEXT, l={"type": "array", "items": TEXT})) is None


SMALL = {"rule": "self < 5", "message": "small"}


@pytest.mark.parametrize(("schema", "new", "old", "found"), [
    # what has no old value of its own is as unchanged as what holds it
    (fields(l={"type": "array", "items": ruled(WHOLE, **SMALL)}, b=WHOLE), {"l": [9], "b": 2}, {"l": [9], "b": 1}, []),
    (fields(l={"type": "array", "items": ruled(WHOLE, **SMALL)}), {"l": [9, 1]}, {"l": [9]}, ["l[0]: Invalid value: 9: small"]),
    (fields(l={"type": "array", "items": fields(a=ruled(WHOLE, **SMALL))}, b=WHOLE), {"l": [{"a": 9}], "b": 2}, {"l": [{"a": 9}], "b": 1}, []),
    (fields(m={"type": "object", "additionalProperties": ruled(WHOLE, **SMALL)}), {"m": {"x": 9, "y": 9}}, {"m": {"x": 9}}, ["m[y]: Invalid value: 9: small"]),
])
def test_ratcheting_below_lists(schema: dict[str, Any], new: Any, old: Any, found: list[str]) -> None:
    assert asked(schema, new, old) == found


def test_what_is_passed_over_is_told_apart() -> None:
    node = rule_node(fields(a=ruled(WHOLE, **SMALL)))
    assert node is not None
    passed: list[Any] = []
    assert node.violations({"a": 9}, {"a": 9}, passed=passed) == [] and [str(error) for error in passed] == ["a: Invalid value: 9: small"]


def test_a_message_may_cost_too_much() -> None:
    schema = fields(a=ruled({"type": "array", "items": WHOLE}, rule="false", messageExpression="self.exists(x, x < 0) ? 'a' : 'b'"))
    words = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
    assert asked(schema, {"a": list(range(50))}, budget=Budget(10)) == [f'a: Invalid value: "array": {words}']
