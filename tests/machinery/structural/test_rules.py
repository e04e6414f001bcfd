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
